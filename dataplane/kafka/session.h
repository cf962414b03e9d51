/*
 * session: incremental fetch sessions (KIP-227) of one shard. Internal to dataplane/kafka.
 *
 * Purpose: remembers what a consumer fetches, so that its requests name only what changed and the
 * responses only what is new. Owner: the shard. Memory: fixed pools of sessions, partitions and
 * topics; without room the consumer gets no session and names everything each time, as with Kafka's
 * full cache.
 * Invariants: a session in use by a request (users) is never evicted, and one that is removed
 * meanwhile is freed when nobody uses it; the ids of a shard come from a range of its own.
 * Failure: ERR_FULL of session_put; the session is as it was.
 */
#ifndef DATAPLANE_KAFKA_SESSION_H
#define DATAPLANE_KAFKA_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/uuid.h"
#include "dataplane/kafka/list.h"
#include "dataplane/kafka/pool.h"

#define session_partitions_max 131072 /* partitions of all sessions of a shard */
#define session_topics_max     16384
#define session_evict_ms       120000 /* MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS of Kafka */

struct part;

struct session_topic {
    struct session_topic *hash_next;
    struct session *session;
    uint64_t hash;
    uint32_t refs;
    bool by_id;
    struct uuid id;
    uint32_t name_len; /* 0: never resolved */
    char name[topic_name_bytes_max];
};

struct session_part {
    struct session_part *hash_next;
    struct link link; /* in the session's order */
    struct session *session;
    struct session_topic *topic;
    int32_t index;
    int32_t max_bytes, leader_epoch, last_epoch;
    int64_t offset, log_start, high_watermark, local_start;
};

struct session {
    int32_t id, epoch;
    bool by_id;    /* made by a version with topic ids */
    bool detached; /* out of the cache; freed when users is 0 */
    uint32_t users;
    uint32_t count;    /* partitions */
    struct link parts; /* in the order of fetching */
    struct link used_link;
    int64_t created_ns, used_ns;
};

struct sessions {
    struct pool slots, parts, topics;
    struct map by_id;
    struct session_part **part_hash;
    struct session_topic **topic_hash;
    uint32_t part_mask, topic_mask;
    struct link used; /* least recently used first */
    int32_t id_first, id_range;
    uint64_t seed;
    struct rng *rng;
    uint64_t evictions;
};

/* shard: the index, for the range of ids. ERR_NO_MEMORY: sessions_fini takes down what there is. */
int sessions_init(struct sessions *s, uint32_t slots, uint32_t shard, struct rng *rng);
void sessions_fini(struct sessions *s);
struct session *session_find(struct sessions *s, int32_t id);
void session_remove(struct sessions *s, struct session *session);
void session_hold(struct session *session);
void session_drop(struct sessions *s, struct session *session);
void session_touch(struct sessions *s, struct session *session, int64_t now_ns);
struct session *session_create(struct sessions *s, uint32_t partitions, bool by_id, int64_t now_ns);
int session_put(struct sessions *s, struct session *session, const struct part *p,
                struct session_part **out);
void session_forget(struct sessions *s, struct session *session, const struct uuid *id,
                    struct str name, int32_t index);
void session_part_params(struct session_part *sp, const struct part *p);
static inline int32_t session_next_epoch(int32_t epoch)
{
    return epoch < 0 ? -1 : epoch == INT32_MAX ? 1 : epoch + 1;
}

#endif
