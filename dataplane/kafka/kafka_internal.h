/*
 * kafka_internal: what the files of dataplane/kafka share; nobody else includes it.
 *
 * A conn frames bytes into requests. A request is split into parts, one per partition named; a part
 * runs on the shard that owns its partition. When no part is pending the request is done, and the
 * conn's replies leave in the order of its requests.
 *
 * Invariants
 *   1. A conn is in at most one waiting line (conn_wait); then no request of it is started.
 *   2. Requests of a conn run side by side only if all of them are Produce; any other runs alone.
 *   3. Bytes of rx belong to the frame at its front, then to frames not looked at. A request that
 *      needs its bytes after its start has moved them to `body`.
 *   4. r->pending counts the parts that are with a plog or another agent, plus one while the request
 *      is being started. At 0 it is done, once.
 *   5. Whoever holds a part's topic pointer holds the topic (view_hold); part_free lets go.
 */
#ifndef DATAPLANE_KAFKA_KAFKA_INTERNAL_H
#define DATAPLANE_KAFKA_KAFKA_INTERNAL_H

#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "core/stages.h"
#include "dataplane/kafka/forward.h"
#include "dataplane/kafka/kafka.h"
#include "dataplane/kafka/list.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/flexible.h"
#include "dataplane/proto/header.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

#define frame_prefix_bytes     4
#define ahead_bytes_max        (128 * KIB) /* read-ahead of a conn when there is plenty */
#define ahead_bytes_min        (4 * KIB)
#define small_frame_bytes      (4 * KIB) /* a whole frame up to this size needs no reserve to be kept */
#define scratch_bytes          (64 * KIB)
#define session_partitions_max 131072 /* partitions of all fetch sessions of a shard */
#define session_topics_max     16384
#define session_evict_ms       120000 /* MIN_INCREMENTAL_FETCH_SESSION_EVICTION_MS of Kafka */
#define park_chunks_max        256    /* a parked append asks for at most so many chunks at once */
#define idle_touch_ns          (100 * CLOCK_NS_PER_MS) /* activity is noted at this grain */
#define rx_low_check_ns        (10 * CLOCK_NS_PER_MS)
#define message_bytes_max      96

_Static_assert(scratch_bytes >= 2 * PROTO_STRING_BYTES_MAX, "the longest string fits the scratch");

/* ---- pool: objects of one size, taken at start, touched when first used ---- */

struct pool {
    uint8_t *base;
    uint32_t stride, count;
    uint32_t fresh; /* objects never given out yet start here */
    uint32_t free;  /* objects that pool_take can give */
    void *list;     /* given back, newest first */
};

int pool_init(struct pool *p, uint32_t stride, uint32_t count);
void pool_fini(struct pool *p);
void *pool_take(struct pool *p); /* NULL: none left; not cleared */
void pool_give(struct pool *p, void *object);

/* ---- conn ---- */

enum conn_wait {
    CONN_WAITS_NOT,
    CONN_WAITS_RESERVE, /* for bytes of mem.requests */
    CONN_WAITS_SLOT,    /* for a request slot, parts or mbufs */
    CONN_WAITS_LOG,     /* for log memory: appends are parked */
    CONN_WAIT_COUNT,
};

struct conn {
    struct tconn *tc;
    struct kafka *k;
    struct request *head, *tail; /* started, not answered yet, in order */
    uint32_t need;               /* bytes of the frame at the front of rx; 0: its length is not known */
    uint8_t prefix[4];           /* the part of the length word that has come */
    uint8_t prefix_len;
    uint8_t wait; /* enum conn_wait */
    uint16_t inflight;
    bool produce_only; /* all in flight are Produce */
    bool slow;         /* too many unsent reply bytes */
    bool doomed;       /* nothing more is read; closed when everything before is answered */
    bool closing;      /* tconn_close was called */
    uint32_t listener;
    uint64_t unsent;      /* reply bytes with the transport */
    uint64_t reserved;    /* bytes of mem.requests held for the frame at the front */
    int64_t received_ns;  /* of the bytes looked at now */
    int64_t active_ns;    /* last sign of life */
    int64_t partial_ns;   /* since when the frame at the front is incomplete */
    struct link wait_link, flush_link, resume_link, partial_link, idle_link;
    /* one reply in flight is followed to the wire */
    bool sampled;
    uint8_t sample_class;
    uint64_t sample_left; /* bytes to be sent until it is out */
    struct stamps sample;
};

/* ---- request ---- */

struct produce_state {
    int16_t acks;
    bool failed; /* acks=0 and something went wrong: the conn is closed */
    char message[message_bytes_max];
};

enum fetch_phase { FETCH_READ, FETCH_WAIT, FETCH_WAKE, FETCH_REREAD, FETCH_DONE };
enum fetch_context { FETCH_SESSIONLESS, FETCH_FULL, FETCH_INCREMENTAL, FETCH_SESSION_ERROR };

struct fetch_state {
    int32_t max_wait_ms, min_bytes, max_bytes, replica_id;
    int32_t session_id, session_epoch;
    uint64_t forgotten_off; /* of the forgotten topics in the frame; 0: none */
    struct session *session;
    uint8_t phase, context;
    int8_t isolation;
    bool issuing, settled;
    bool hurry; /* something that ends any waiting: an error or a divergence */
    int16_t error;       /* of the whole response */
    struct part *cursor; /* next part to read */
    uint32_t reading;    /* reads under way */
    uint32_t remote;     /* waits and cancels that are with other shards */
    uint64_t bytes;      /* read in this round */
    uint64_t promised;   /* limits of the reads under way */
    uint64_t available;  /* bytes known to be there while waiting */
    struct wheel_timer timer;
    struct link wait_link, ready_link;
};

struct list_state {
    int32_t replica_id;
    int8_t isolation;
};

struct request {
    struct conn *conn; /* NULL: its conn is gone */
    struct kafka *k;
    struct request *next;
    struct part *parts, *parts_tail;
    uint32_t part_count;
    uint32_t pending;
    int16_t api_key, api_version;
    int32_t correlation_id;
    uint32_t frame_bytes;
    bool done;
    bool silent; /* no reply */
    bool close;  /* close the conn instead of, or after, answering */
    uint32_t errors;
    uint64_t reserved; /* bytes of mem.requests held for body */
    struct chain body; /* the frame without its length word, if it was kept */
    struct stamps stamps;
    union {
        struct produce_state produce;
        struct fetch_state fetch;
        struct list_state list;
        struct forward forward;
    };
};

/* ---- part: one partition of a request ---- */

struct produce_part {
    struct plog_append append;
    struct part *park_next;
    uint32_t rec_off, rec_len; /* the batch in the frame */
    uint32_t records;
    int16_t check; /* KERR_* of the batch's outer form */
    bool parked;
};

enum fetch_part_state {
    FETCH_PART_IDLE,
    FETCH_PART_ARMED, /* its waiter is with a plog of this shard */
    FETCH_PART_AWAY,  /* its wait is with another shard */
};

struct fetch_part {
    int64_t offset, log_start;
    int32_t max_bytes, leader_epoch, last_epoch;
    uint32_t limit; /* bytes of this round's read */
    int32_t diverging_epoch;
    int64_t diverging_end;
    uint8_t state;  /* enum fetch_part_state; the home shard's */
    bool erroneous; /* never read: unknown topic or partition */
    bool include;   /* in the response */
    bool lost;      /* the log cannot serve the offset any more: stop waiting */
    bool armed;     /* on the owner, for another shard */
    uint64_t available; /* bytes there are, as the owner saw last */
    uint64_t reported;  /* what of it the home shard counts */
    struct plog_read read;
    struct plog_waiter waiter;
    struct link fired_link;
    struct call cancel;
    struct session_part *cached;
    struct chain pre; /* encoded bytes that stand before the data */
};

struct list_part {
    int64_t timestamp;
    int32_t leader_epoch;
    struct plog_time_lookup lookup;
    int64_t offset, found_ms;
    int32_t epoch;
};

struct part {
    struct part *next;
    struct part *run_tail; /* in the first part of a topic: its last one */
    struct request *r;
    struct view_topic *topic; /* held; NULL: unknown */
    struct view_partition *partition;
    struct kafka *owner; /* of the partition's shard; r->k: here */
    int32_t index;
    int16_t error;
    struct uuid topic_id;
    struct str name;             /* of the topic; p NULL: name_off in r->body */
    uint32_t name_off, name_len; /* in the frame */
    struct call call;
    union {
        struct produce_part produce;
        struct fetch_part fetch;
        struct list_part list;
    };
};

/* ---- fetch sessions ---- */

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

/* ---- the shard's request path ---- */

struct seen_slot {
    uint32_t stamp;
    struct part *part;
};

struct kafka {
    struct kafka_options o;
    struct shard *shard;
    struct agent *self;
    struct reserve *reserve;
    struct transport_events events;
    struct pool conns, requests, parts;
    bool draining;
    uint64_t ahead;       /* read-ahead of a conn now */
    uint64_t unsent;      /* reply bytes with the transport */
    struct link waiting[CONN_WAIT_COUNT];
    struct link flush, resume, partials, idle;
    struct link fired;        /* parts whose plog_waiter fired */
    struct link fetch_ready;  /* requests whose wait is over */
    struct link fetch_waiting;
    struct part *parked_head, *parked_tail; /* appends that wait for log memory */
    struct cache_waiter park_waiter;
    uint32_t park_chunks;     /* of the log memory, half */
    struct wheel_timer timer; /* next idle or partial conn */
    int64_t rx_checked_ns;
    bool rx_low;
    uint64_t removals; /* of the view, as of the last run */
    struct sessions sessions;
    struct seen_slot *seen; /* to find duplicates in one request */
    uint32_t seen_mask, seen_stamp;
    struct arena arena; /* over scratch: strings that straddle mbufs */
    uint8_t *scratch;
    struct log_limit log_limit;
    struct kafka_counters counters;
    struct stage_clocks clocks;
};

static inline int64_t kafka_clock(const struct kafka *k)
{
    return clock_mono_ns(k->shard->clock);
}

/* kafka.c: the request paths of all shards find each other through the admission they share. */
struct kafka *kafka_peer(struct kafka *k, uint32_t shard);
struct arena *kafka_arena(struct kafka *k); /* emptied */

/* admission.c */
int admission_enter(struct admission *a, const struct sockaddr_storage *peer);
void admission_leave(struct admission *a, const struct sockaddr_storage *peer);
void admission_join(struct admission *a, uint32_t shard, struct kafka *k); /* k NULL: leaves */
struct kafka *admission_peer(const struct admission *a, uint32_t shard);

/* conn.c */
void conn_events(struct kafka *k);
void conn_input(struct conn *c);
void conn_line_up(struct conn *c, enum conn_wait wait);
void conn_frame_taken(struct conn *c, struct request *r);
void conn_push(struct conn *c, struct request *r);
void conn_answered(struct conn *c, struct request *r);
void conn_doom(struct conn *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void conn_close(struct conn *c, bool abort);
void conn_close_when_answered(struct conn *c);
uint32_t conn_serve_waiting(struct kafka *k, uint32_t budget);
void conn_expire(struct kafka *k, int64_t now_ns);
void conn_ahead(struct kafka *k);
void conn_settle_want(struct conn *c);

/* request.c */
enum request_result { REQUEST_TAKEN, REQUEST_LATER };
enum request_result request_start(struct conn *c);
struct request *request_new(struct conn *c, const struct proto_request_header *h);
void request_drop(struct request *r); /* before it was pushed */
int request_take_body(struct conn *c, struct request *r);
int request_keep_body(struct conn *c, struct request *r);
void request_done(struct request *r);
void request_free(struct request *r);
void request_unpend(struct request *r);
struct part *part_new(struct request *r);
void part_append(struct request *r, struct part *p);
void part_free(struct kafka *k, struct part *p);
void parts_free(struct request *r);

/* A topic as a request names it. */
struct topic_ref {
    struct view_topic *topic; /* NULL: unknown */
    struct uuid id;
    struct str name; /* in the frame, or the topic's own */
    bool straddles;  /* name is in the scratch: two mbufs hold it */
    uint32_t name_off, name_len;
};
void topic_ref_read(struct topic_ref *ref, struct kafka *k, struct reader *rd, bool by_id,
                    bool flexible, uint32_t frame_bytes);
void part_refer(struct part *p, const struct topic_ref *ref, int32_t index);
void part_resolve(struct part *p, struct view_topic *topic);
int16_t part_partition_error(const struct part *p, int32_t leader_epoch);
void part_call(struct part *p, void (*run)(struct call *), void (*done)(struct call *));
struct str part_name(const struct part *p, void *buf);
bool part_same_topic(const struct part *a, const struct part *b);
bool parts_need_names(const struct request *r);
void parts_dedupe(struct request *r, void (*merge)(struct part *kept, struct part *again));
void parts_group(struct request *r);

/* produce.c */
enum request_result produce_start(struct conn *c, const struct proto_request_header *h,
                                  struct reader *rd);
void produce_unpark(struct cache_waiter *w);
void produce_encode(struct request *r, struct writer *w);

/* fetch.c, fetch_read.c, waiters.c, fetch_reply.c */
enum request_result fetch_start(struct conn *c, const struct proto_request_header *h,
                                struct reader *rd);
void fetch_part_init(struct part *p);
void fetch_release(struct request *r);
void fetch_begin(struct request *r);
void fetch_wait(struct request *r);
void fetch_wake(struct request *r);
void fetch_wake_all(struct kafka *k, bool removed_only);
uint32_t fetch_run(struct kafka *k, uint32_t budget);
uint64_t fetch_available(struct part *p);
int fetch_encode(struct request *r, struct chain *out);

/* session.c */
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

/* list_offsets.c */
enum request_result list_start(struct conn *c, const struct proto_request_header *h,
                               struct reader *rd);
void list_encode(struct request *r, struct writer *w);

/* forward.c */
enum request_result forward_start(struct conn *c, const struct proto_request_header *h,
                                  uint64_t header_bytes);

/* reply.c */
void reply_flush(struct conn *c);
void reply_queue(struct conn *c);
struct writer_frame reply_open(struct writer *w, const struct request *r);
void reply_topic(struct writer *w, const struct part *p, bool by_id, bool flexible);
void reply_endpoint(struct writer *w, const struct request *r);
const struct kafka_endpoint *reply_endpoint_of(const struct request *r);

#endif
