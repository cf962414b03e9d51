/*
 * coordinator: all groups and committed offsets of one partition of __consumer_offsets.
 *
 * Purpose: Kafka's group coordinator as a pure state machine: (state, event, now) -> (state,
 * replies, records). No clock, no disk, no network; time and randomness are handed in.
 * Owner: one thread. Memory: malloc; everything is bounded by the limits below and by the settings.
 *
 * How it is driven. A request is a struct group_call plus the decoded generated request. Any
 * function below may produce outputs, which the owner fetches with coordinator_take right after:
 *   - replies: calls whose response is final and whose records are durable; send them;
 *   - appends: groups of records, each to be written as one batch, in order. When a batch is
 *     durable (or failed) the owner says coordinator_appended; replies that waited for it come out
 *     of the next coordinator_take. A reply never leaves before everything that its answer shows is
 *     durable.
 * A failed append makes the coordinator useless: it answers all calls, and coordinator_failed is
 * true. Throw it away and load a new one from the log.
 *
 * Life: coordinator_new, coordinator_replay for each record of the log in order, coordinator_loaded,
 * then requests and ticks; coordinator_close answers whoever waits; coordinator_free.
 *
 * Memory of a call: the caller owns struct group_call; the request (and what it points to) and the
 * arena must live until the call has been taken as a reply, or cancelled. The response lives in the
 * arena, and may point into the request. A response of NULL means that the arena is full: close the
 * connection.
 *
 * Failure: requests always get an answer with a Kafka error. Functions that return int use enum err.
 */
#ifndef CONTROL_GROUP_COORDINATOR_H
#define CONTROL_GROUP_COORDINATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"
#include "control/group/settings.h"

struct rng;
struct coordinator;
struct consumer_protocol;

struct join_group_request;
struct sync_group_request;
struct heartbeat_request;
struct leave_group_request;
struct offset_commit_request;
struct offset_fetch_request_group;
struct offset_delete_request;
struct list_groups_request;
struct consumer_group_heartbeat_request;

/* Both clocks of one moment: timers run on mono_ns, records carry wall_ms (ms since 1970). */
struct group_now {
    int64_t mono_ns;
    int64_t wall_ms;
};

/* One request under way. The caller clears it and fills the first part. */
struct group_call {
    int16_t api_key, version;
    struct str client_id;   /* of the request header; null is stored as "" */
    struct str client_host; /* "/127.0.0.1", as Kafka prints an InetAddress */
    struct arena *arena;
    void *user;

    /* The answer: the struct named at each function below. */
    void *response;

    /* The coordinator's, until the call is taken. */
    struct group_call *next, **prev;
    uint64_t after_seq;
    void *waits_in;
    uint8_t state;
};

struct group_record {
    const uint8_t *key;
    uint32_t key_len;
    const uint8_t *value; /* NULL: a tombstone */
    uint32_t value_len;
};

/* Records of one atomic batch; valid until coordinator_appended(seq) or coordinator_free. */
struct group_append {
    struct group_append *next;
    uint64_t seq;         /* 1, 2, 3 ... in the order in which they must be appended */
    int64_t timestamp_ms; /* of all its records */
    struct group_record *records;
    uint32_t n_records;
    uint32_t bytes; /* keys and values together */
};

/* What a step brought: singly linked by next, oldest first. */
struct group_outputs {
    struct group_call *replies;
    struct group_append *appends;
};

/* Matching of expressions, by all coordinators that share a thread. */
struct consumer_regex_turn {
    int64_t mono_ns; /* the turn of the thread that was the last with a slice */
    int64_t
        next_ns;   /* the next may be from then on: the thread is free for longer than it is not */
    uint64_t cost; /* spent in this one */
};

struct coordinator_options {
    struct group_settings settings;         /* copied */
    struct rng *rng;                        /* outlives the coordinator; member ids, hash seeds */
    struct group_topics topics;             /* outlives the coordinator */
    struct group_overrides overrides;       /* get may be NULL */
    struct consumer_regex_turn *regex_turn; /* outlives the coordinator; NULL: one of its own */
    /* KIP-848's part (consumer_group.h); NULL: those requests answer UNSUPPORTED_VERSION */
    const struct consumer_protocol *consumer;
};

/* ERR_INVALID: a setting is out of range; ERR_NO_MEMORY. */
int coordinator_new(struct coordinator **out, const struct coordinator_options *options,
                    struct group_now now);

/* Calls that still wait are forgotten, without a reply. NULL is accepted. */
void coordinator_free(struct coordinator *c);

/* Settings that changed at run time. ERR_INVALID: out of range, nothing is changed. */
int coordinator_set_settings(struct coordinator *c, const struct group_settings *settings);

/*
 * One record of the log, in order. value NULL: a tombstone. producer_id: of a transactional batch,
 * -1 for any other; its offsets count when coordinator_replay_marker says that it committed.
 * 0: applied. ERR_UNSUPPORTED: a type of record that we do not know (skip it, as Kafka does).
 * ERR_MALFORMED: corrupt (skip it, log it). ERR_NO_MEMORY: stop loading. Limits do not count here.
 */
int coordinator_replay(struct coordinator *c, const uint8_t *key, size_t key_len,
                       const uint8_t *value, size_t value_len, int64_t producer_id);
void coordinator_replay_marker(struct coordinator *c, int64_t producer_id, bool commit);

/* All is replayed: sessions and rebalances start to run. */
void coordinator_loaded(struct coordinator *c, struct group_now now);

/* Requests of one group. The response struct is named beside each. */
void coordinator_join(struct coordinator *c, struct group_call *call,
                      const struct join_group_request *req,
                      struct group_now now); /* join_group_response */
void coordinator_sync(struct coordinator *c, struct group_call *call,
                      const struct sync_group_request *req,
                      struct group_now now); /* sync_group_response */
void coordinator_heartbeat(struct coordinator *c, struct group_call *call,
                           const struct heartbeat_request *req,
                           struct group_now now); /* heartbeat_response */
void coordinator_leave(struct coordinator *c, struct group_call *call,
                       const struct leave_group_request *req,
                       struct group_now now); /* leave_group_response */
void coordinator_offset_commit(struct coordinator *c, struct group_call *call,
                               const struct offset_commit_request *req,
                               struct group_now now); /* offset_commit_response */
void coordinator_offset_delete(struct coordinator *c, struct group_call *call,
                               const struct offset_delete_request *req,
                               struct group_now now); /* offset_delete_response */
void coordinator_consumer_heartbeat(struct coordinator *c, struct group_call *call,
                                    const struct consumer_group_heartbeat_request *req,
                                    struct group_now now); /* consumer_group_heartbeat_response */

/*
 * Requests that name several groups: the owner makes one call per group (each with its own struct
 * group_call, they may share an arena) and puts the parts together.
 * offset_fetch: `group` as in v8+; for v1-7 the owner fills one from the flat fields, and flattens
 * the answer (v2-7: the group's error is the response's; v1: of each partition).
 */
void coordinator_offset_fetch(struct coordinator *c, struct group_call *call,
                              const struct offset_fetch_request_group *group, bool require_stable,
                              struct group_now now); /* offset_fetch_response_group */
void coordinator_delete(struct coordinator *c, struct group_call *call, struct str group_id,
                        struct group_now now); /* delete_groups_response_result */
/* authorized_operations of both describes is left at its default for the owner to fill. */
void coordinator_describe(struct coordinator *c, struct group_call *call, struct str group_id,
                          struct group_now now); /* describe_groups_response_group */
void coordinator_consumer_describe(
    struct coordinator *c, struct group_call *call, struct str group_id,
    struct group_now now); /* consumer_group_describe_response_group */

/* The groups of this coordinator that pass the filters; the owner joins the lists. */
void coordinator_list(struct coordinator *c, struct group_call *call,
                      const struct list_groups_request *req,
                      struct group_now now); /* list_groups_response */

/*
 * The call's connection is gone: it is not answered. Its effects stay (a member that waited in a
 * join or a sync stays until its session ends, as in Kafka). Does nothing if the call was taken.
 */
void coordinator_cancel(struct coordinator *c, struct group_call *call);

/* Moves all outputs that are ready into *out; true if there is one. */
bool coordinator_take(struct coordinator *c, struct group_outputs *out);

/*
 * The append of that sequence number is durable (kerr 0) or failed (kerr: the Kafka error of the
 * append, translated for clients as Kafka does). In order of seq.
 */
void coordinator_appended(struct coordinator *c, uint64_t seq, int16_t kerr, struct group_now now);

/* True once an append failed: take the replies, free it and load again. */
bool coordinator_failed(const struct coordinator *c);

/* Runs what is due: sessions, rebalances, expiry of offsets. Call at coordinator_next_deadline. */
void coordinator_tick(struct coordinator *c, struct group_now now);

/* mono_ns at which to tick next, INT64_MAX: never. May be early. Ask again after each call. */
int64_t coordinator_next_deadline(const struct coordinator *c);

/* Topics are gone (name and id): offsets committed for them are removed (tombstones). */
void coordinator_topics_deleted(struct coordinator *c, const struct group_topic *topics, size_t n,
                                struct group_now now);

/* Topics were created, grown or deleted: consumer groups look whether it concerns them. */
void coordinator_topics_changed(struct coordinator *c, struct group_now now);

/* Answers everything that waits with this Kafka error (the partition moves away, a stop). */
void coordinator_close(struct coordinator *c, int16_t kerr);

/*
 * Calls fn with records that make this state (as far as it is ever persisted) out of an empty
 * coordinator, in a fixed order; stops at and returns the first nonzero answer. Pending offsets of
 * open transactions are not among them. A record is valid during the call.
 */
typedef int coordinator_record_fn(void *ctx, const struct group_record *record);
int coordinator_dump(const struct coordinator *c, coordinator_record_fn *fn, void *ctx);

/* True while an open transaction holds offsets: a snapshot alone would lose them. */
bool coordinator_has_pending_transactions(const struct coordinator *c);

/* For metrics: every committed offset. */
typedef void coordinator_offset_fn(void *ctx, struct str group_id, struct str topic,
                                   int32_t partition, int64_t offset);
void coordinator_each_offset(const struct coordinator *c, coordinator_offset_fn *fn, void *ctx);

struct coordinator_stats {
    uint32_t groups, offsets, members, waiting_calls;
    uint32_t classic[5]; /* groups per enum classic_state: Empty, PreparingRebalance, ... */
    uint32_t consumer;
    uint64_t rebalances;         /* completed, since the start */
    uint64_t commits;            /* offsets committed, since the start */
    uint64_t expired, deletions; /* offsets, since the start */
};
void coordinator_stats(const struct coordinator *c, struct coordinator_stats *out);

#endif
