/*
 * group: what the files of this folder share; nobody else includes it.
 *
 * Purpose: a group of one of two protocols with its committed offsets, and the services that a
 * protocol uses: records out, replies out, timers. Classic groups are in classic*.c, consumer groups
 * (KIP-848) in consumer_*.c behind struct consumer_protocol.
 * Owner: the coordinator's thread. Memory: malloc; a group belongs to its coordinator.
 *
 * Rules for a protocol:
 *   - change the state first, emit the records that say so in the same step, then reply. A reply
 *     that is made in a step leaves when all records emitted up to then are durable;
 *   - group_emit never fails towards its caller: without memory the coordinator fails as a whole;
 *   - a step's records are one atomic batch. group_step_fits tells beforehand whether they fit;
 *   - state must be a function of the records (replay) but for what is only in memory (sessions);
 *   - `c->now` is the time of the step, in timers too.
 */
#ifndef CONTROL_GROUP_GROUP_H
#define CONTROL_GROUP_GROUP_H

#include "base/kerr.h"
#include "base/map.h"
#include "control/group/coordinator.h"
#include "core/wheel.h"

struct classic_group;
struct consumer_group;
struct join_group_request;
struct consumer_group_describe_response_group;

enum group_type {
    GROUP_NONE, /* holds offsets only, does not exist for clients */
    GROUP_CLASSIC,
    GROUP_CONSUMER,
};

/* A committed offset. */
struct group_offset {
    int32_t partition;
    int32_t leader_epoch; /* -1: none */
    int64_t offset;
    int64_t commit_ms;
    int64_t expire_ms; /* -1: by the broker's setting */
    uint64_t order;    /* of its record among all that were replayed or emitted */
    struct uuid topic_id;
    struct str metadata; /* malloc'd unless empty */
};

/* Offsets of one topic, in the order of partitions. */
struct group_topic_offsets {
    struct str name; /* malloc'd */
    struct group_offset *items;
    uint32_t count, capacity;
};

struct group {
    struct coordinator *c;
    struct group *next, **prev; /* all groups, the oldest first */
    struct str id;              /* malloc'd */
    enum group_type type;
    union {
        struct classic_group *classic;
        struct consumer_group *consumer;
    };
    struct map topics; /* struct group_topic_offsets by name */
    uint32_t n_offsets;
    uint32_t n_pending_offsets; /* held by open transactions */
};

/* An append with what the coordinator does when it is durable. */
struct group_pending_append {
    struct group_append pub; /* first */
    struct group_pending_append *in_flight_next;
    struct group *sync_group; /* an assignment of this group; NULL: none, or the group is gone */
    int32_t sync_generation;
    uint32_t capacity; /* of pub.records */
};

/* Calls in a row; each knows its predecessor's link. */
struct call_list {
    struct group_call *head, **end;
};

struct coordinator {
    struct group_settings settings;
    struct rng *rng;
    struct group_topics topics;
    struct group_overrides overrides;
    struct consumer_regex_turn *regex_turn, own_regex_turn;
    const struct consumer_protocol *consumer; /* NULL: not offered */
    struct group_now now;                     /* of the step */
    struct wheel wheel;
    struct wheel_timer expiry; /* offsets.retention.check.interval.ms */
    struct map by_id;          /* struct group */
    struct group *groups, **groups_end;
    uint32_t n_groups;                 /* without GROUP_NONE */
    struct map txns;                   /* struct group_txn by producer id (txn.c) */
    struct group_pending_append *open; /* records of the step */
    struct group_pending_append *in_flight, **in_flight_end;
    struct group_append *appends, **appends_end; /* not yet taken */
    struct call_list replies;                    /* ready */
    struct call_list held;                       /* wait for an append, by after_seq */
    struct call_list parked;                     /* wait in a join or a sync */
    uint32_t n_parked;
    uint64_t next_seq;     /* of the next append */
    uint64_t durable_seq;  /* all up to it are durable */
    uint64_t record_order; /* counts records replayed and emitted */
    int16_t failed;        /* Kafka error, 0: works */
    bool loaded;
    struct coordinator_stats stats;
};

/* --- groups --- */

/* By id; NULL if there is none, or only a holder of offsets (GROUP_NONE). */
struct group *group_find(struct coordinator *c, struct str id);

/* The same, with holders; made if it does not exist (GROUP_NONE). NULL: no memory. */
struct group *group_find_or_make(struct coordinator *c, struct str id);

/* True if one more group fits (settings.groups_max). */
bool group_room(const struct coordinator *c);

/*
 * Changes what kind of group it is; the caller has freed what the old kind held and sets the new
 * pointer. GROUP_NONE: the group goes away, now or with its last offset; do not touch it after.
 */
void group_set_type(struct group *g, enum group_type type);

/* Removes the group: tombstones for its offsets and for itself, in as many batches as it takes. */
void group_delete(struct group *g);

/* Lets a GROUP_NONE that holds nothing go. */
void group_maybe_destroy(struct group *g);

/* --- records --- */

/* Adds a record (copied) to the step's batch; value NULL: a tombstone. */
void group_emit(struct coordinator *c, const void *key, uint32_t key_len, const void *value,
                uint32_t value_len);

/* True if this many more bytes of keys and values fit into one batch with what the step emitted. */
bool group_step_fits(const struct coordinator *c, size_t bytes);

/* Ends the batch: what is emitted next is another one (for work that need not be atomic). */
void group_step_end(struct coordinator *c);

/* --- replies --- */

/* The response is final: it leaves when the records so far are durable. */
void group_reply(struct coordinator *c, struct group_call *call);

/*
 * Parks the call until group_unpark; *slot then points to it, and becomes NULL when the call is
 * cancelled. False at settings.waiting_calls_max: the caller answers COORDINATOR_NOT_AVAILABLE.
 */
bool group_park(struct coordinator *c, struct group_call *call, struct group_call **slot);
/* *slot leaves the park and is NULL then; returns the call (NULL if it was cancelled) to reply to. */
struct group_call *group_unpark(struct coordinator *c, struct group_call **slot);

/* The default response of the call's API with this error. group_id: for the APIs that echo it. */
void group_reply_error(struct coordinator *c, struct group_call *call, int16_t kerr);

/* --- timers --- */

/* Arms at c->now + ms (negative counts as 0). fire is set beforehand; it runs as a step. */
void group_timer_arm(struct coordinator *c, struct wheel_timer *t, int64_t ms);
void group_timer_cancel(struct coordinator *c, struct wheel_timer *t);

/* A new member id: prefix, '-', a random UUID as Java prints it. malloc'd; null: no memory. */
struct str group_member_id(struct coordinator *c, struct str prefix);

/* malloc'd copy with a NUL behind it, null for null; *ok becomes false without memory. */
struct str group_str_dup(struct str s, bool *ok);
void group_str_free(struct str *s);

/* --- how the coordinator uses the parts of this folder (step.c, reply.c) --- */

/* A request or another event begins. False: the coordinator has failed, the call is answered. */
bool group_step_begin(struct coordinator *c, struct group_call *call, struct group_now now);

/* Releases what waited for appends up to durable_seq. */
void group_release(struct coordinator *c);

/* Answers all held and parked calls with this error; from now on nothing works. */
void group_fail(struct coordinator *c, int16_t kerr);

/* Turns a call's response, made or not, into one that says this error. */
void group_response_fail(struct group_call *call, int16_t kerr);

/* The error of a failed append as Kafka tells it to clients. */
int16_t group_append_error(int16_t kerr);

/* The oldest append, which must have this sequence number, leaves the queue; NULL: it is another. */
struct group_pending_append *group_append_pop(struct coordinator *c, uint64_t seq);
void group_append_free(struct group_pending_append *a);
void group_appends_free(struct coordinator *c);

/* --- groups' memory (groups.c) --- */
void group_free_all(struct coordinator *c);

/*
 * KIP-848's part. Each function runs inside a step (timers too). `g` is GROUP_CONSUMER with
 * g->consumer set unless said otherwise. Functions that fill a response use call->arena and return
 * false when it is full.
 */
struct consumer_protocol {
    /* Frees g->consumer and its timers. Parked calls have been answered. */
    void (*free)(struct group *g);
    /*
     * A record whose key has this type (3 to 8, 16). key and value (NULL: tombstone) begin behind
     * the type. Makes, changes and removes groups (group_find_or_make, group_set_type).
     * ERR_UNSUPPORTED, ERR_MALFORMED, ERR_NO_MEMORY as coordinator_replay.
     */
    int (*replay)(struct coordinator *c, int16_t type, const uint8_t *key, size_t key_len,
                  const uint8_t *value, size_t value_len);
    /* All is replayed: arm sessions and rebalance time-outs. */
    void (*loaded)(struct group *g);
    /* ConsumerGroupHeartbeat, for any or no group; replies. An empty classic group is replaced with
     * classic_group_replace; others are its own matter (online upgrade). */
    void (*heartbeat)(struct coordinator *c, struct group_call *call,
                      const struct consumer_group_heartbeat_request *req);
    /* ConsumerGroupDescribe: fills out (group_id and error are set). */
    bool (*describe)(const struct group *g, struct group_call *call,
                     struct consumer_group_describe_response_group *out);
    /* Members of the classic protocol in a consumer group that is not empty; each replies. */
    void (*join)(struct group *g, struct group_call *call, const struct join_group_request *req);
    void (*sync)(struct group *g, struct group_call *call, const struct sync_group_request *req);
    void (*classic_heartbeat)(struct group *g, struct group_call *call,
                              const struct heartbeat_request *req);
    void (*leave)(struct group *g, struct group_call *call, const struct leave_group_request *req);
    /* "Empty", "Assigning", "Reconciling", "Stable", as ListGroups shows it. */
    const char *(*state)(const struct group *g);
    bool (*is_empty)(const struct group *g); /* no members */
    bool (*is_subscribed)(const struct group *g, struct str topic);
    uint32_t (*members)(const struct group *g);
    /* Kafka errors or 0. commit_partition: Kafka 4.3's CommitPartitionValidator, after commit. */
    int16_t (*check_commit)(struct group *g, struct str member_id, struct str instance_id,
                            int32_t epoch, int16_t api_version);
    int16_t (*check_commit_partition)(struct group *g, struct str member_id, int32_t epoch,
                                      const struct group_topic *topic, int32_t partition);
    int16_t (*check_fetch)(struct group *g, struct str member_id, int32_t epoch);
    /* Emits the tombstones of all records of the group. */
    void (*emit_tombstones)(struct group *g);
    /* The metadata changed (coordinator_topics_changed). */
    void (*topics_changed)(struct group *g);
    /* coordinator_dump's part: the group's records, in a fixed order. */
    int (*dump)(const struct group *g, coordinator_record_fn *fn, void *ctx);
};

#endif
