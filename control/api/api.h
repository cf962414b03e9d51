/*
 * api: what the handlers of control/api share.
 *
 * Purpose: decoding with the right ending, counting down parallel work, the checks on topic names.
 * Owner: the control thread. Memory: everything a handler needs lives in its request's arena, which
 * goes away with control_reply or control_close. Failure: a full arena closes the connection.
 */
#ifndef CONTROL_API_API_H
#define CONTROL_API_API_H

#include "base/kerr.h"
#include "control/broker.h"
#include "control/control.h"
#include "control/topics.h"

/*
 * Decodes into *req or closes the connection and returns from the handler, as Kafka closes on a
 * request that it cannot parse.
 */
#define API_DECODE(rq, name, req)                                                                  \
    do {                                                                                           \
        name##_init(req);                                                                          \
        if (name##_decode((req), &(rq)->body, (rq)->version, &(rq)->arena) < 0) {                  \
            control_close((rq), "malformed " #name);                                               \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* The encoder of a response in the shape that control_reply wants. */
#define API_ENCODER(name)                                                                          \
    static int name##_encode_any(const void *response, struct writer *w, int version)              \
    {                                                                                              \
        return name##_encode(response, w, version);                                                \
    }

/* Room for n elements of an array in the request's arena; closes and returns if there is none. */
#define API_ALLOC(rq, pointer, n)                                                                  \
    do {                                                                                           \
        (pointer) = arena_calloc(&(rq)->arena, (size_t)(n), sizeof(*(pointer)));                   \
        if (!(pointer)) {                                                                          \
            control_close((rq), "the request needs too much memory");                              \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/*
 * Parallel work of one request: begin with fan_begin, fan_add before each piece, fan_done after it;
 * fan_end when all are started. `finish` runs once, when the last piece is done.
 */
struct fan {
    struct control_request *rq;
    uint32_t pending;
    void (*finish)(struct fan *fan);
};

static inline void fan_begin(struct fan *f, struct control_request *rq,
                             void (*finish)(struct fan *))
{
    *f = (struct fan){rq, 1, finish};
}

static inline void fan_add(struct fan *f)
{
    f->pending++;
}

static inline void fan_done(struct fan *f)
{
    if (--f->pending == 0)
        f->finish(f);
}

static inline void fan_end(struct fan *f)
{
    fan_done(f);
}

/* Kafka's Topic.validate: a null str if the name is legal, else "Topic name is invalid: ...". */
struct str topic_name_error(struct arena *arena, struct str name);

/* The existing live topic whose name differs only in '.' and '_' (their metrics would collide), or NULL. */
const struct image_topic *topic_name_collision(const struct image *image, struct str name);

/* Kafka's internal topics, whether they exist or not. */
bool topic_name_is_internal(struct str name);

/* A live topic by name, or NULL (creating and deleting ones do not exist for clients). */
struct image_topic *api_topic(struct control_request *rq, struct str name);

/* How often a key stands in a list. */
enum api_repeat { API_ONCE, API_REPEATED_FIRST, API_REPEATED_LATER };

/*
 * Fills repeats[i] for each key (null keys are passed over); repeats comes in cleared. False: no
 * memory.
 */
bool api_mark_repeats(struct control_request *rq, const struct str *keys, int32_t n,
                      enum api_repeat *repeats);

/* Bit sets of AclOperation codes that may be done without an authoriser. */
#define API_TOPIC_OPERATIONS   0x0df8
#define API_CLUSTER_OPERATIONS 0x1fa0
#define API_OPERATIONS_OMITTED INT32_MIN

/* Host and port that clients of this request's listener should use. */
struct str api_advertised_host(const struct control_request *rq);
int32_t api_advertised_port(const struct control_request *rq);

/* The cluster id as text, in the request's arena. */
struct str api_cluster_id(struct control_request *rq);

/* Checks that a manual assignment names this broker, once. A null str if it does; one-node rules of Kafka's
 * validateManualPartitionAssignment. `replicas_before` is the count of earlier partitions or -1. */
struct str api_assignment_error(struct control_request *rq, const int32_t *broker_ids,
                                int32_t count, int32_t replicas_before);

/* metadata.version 4.3-IV0 as a feature level: the newest that Kafka 4.3 finalises. */
#define API_METADATA_VERSION_LEVEL 30

/* One per API (api/table.c). */
api_fn api_versions, api_metadata, api_create_topics, api_delete_topics, api_create_partitions,
    api_delete_records, api_describe_configs, api_alter_configs, api_incremental_alter_configs,
    api_describe_cluster, api_describe_topic_partitions, api_describe_log_dirs,
    api_init_producer_id, api_find_coordinator, api_describe_producers,
    api_list_partition_reassignments, api_offset_for_leader_epoch, api_join_group, api_sync_group,
    api_heartbeat, api_leave_group, api_offset_commit, api_offset_fetch, api_offset_delete,
    api_list_groups, api_describe_groups, api_delete_groups, api_consumer_group_heartbeat,
    api_consumer_group_describe, api_list_config_resources;

#endif
