/*
 * kafka: the request path of one shard, from bytes of a connection to bytes of a reply.
 *
 * Purpose: frames requests, admits them by reserve, dispatches by API, runs Produce, Fetch and
 * ListOffsets here and on the partition's owner, forwards the rest to control, and sends replies in
 * the order of requests, per connection.
 * Owner: one per shard, driven by its transport's events and its stage. Memory: a fixed number of
 * request slots, conn blocks and partition ops taken at start; nothing from the heap later.
 * Failure: a client's error is answered or its connection closed with one rate-limited log line.
 */
#ifndef DATAPLANE_KAFKA_KAFKA_H
#define DATAPLANE_KAFKA_KAFKA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/shard.h"
#include "core/stages.h"
#include "dataplane/kafka/view.h"
#include "dataplane/transport/transport.h"
#include "storage/cache/cache.h"
#include "storage/plog/plog.h"

struct kafka;
struct admission;

/* Where clients of one listener find this broker: goes with NOT_LEADER_OR_FOLLOWER. */
struct kafka_endpoint {
    struct str host;
    int32_t port;
    struct str rack; /* may be null */
};

struct kafka_options {
    struct shard *shard;
    struct view *view;
    struct cache *cache;
    struct plog_env *plogs;
    struct agent *control;
    void (*forward_run)(struct call *call);    /* control's handler of struct forward */
    void (*forward_cancel)(struct call *call); /* and of its cancel */
    /* Shared by all shards, who find each other through it. NULL: one shard, no limits. */
    struct admission *admission;
    int32_t node_id;
    uint32_t conn_max;          /* conn blocks of this shard */
    uint32_t request_slots;     /* requests in work on this shard */
    uint32_t partition_ops;     /* partition parts of requests in work on this shard */
    uint64_t request_bytes_max; /* socket.request.max.bytes, lowered to what the budget can admit */
    uint64_t reply_bytes_max;   /* unsent reply bytes of a conn before its requests wait */
    int64_t idle_ns;            /* connections.max.idle.ms; not over 0: conns may idle for ever */
    int64_t partial_request_ns; /* a request that holds a reserve must be complete after this */
    uint32_t fetch_session_slots;           /* max.incremental.fetch.session.cache.slots */
    uint32_t fetch_bytes_max;               /* fetch.max.bytes of the broker */
    const struct kafka_endpoint *endpoints; /* by listener number, outlive the kafka; may be NULL */
    uint32_t endpoint_count;
};

int kafka_new(struct kafka **out, const struct kafka_options *options);
void kafka_free(struct kafka *k);

/* What to give to the transport: events whose ctx is this kafka. */
const struct transport_events *kafka_events(struct kafka *k);

/*
 * The request stage: requests that waited (for data, slots, log memory, reserves), replies, idle
 * conns; returns work done. It stands behind the stages that complete requests (transport receive,
 * io, plog_env_run, mailbox, timers) and before the one that starts the transport's sends: replies
 * of a step leave with it.
 */
uint32_t kafka_run(void *kafka, int64_t now_ns, uint32_t budget);

/* Drain before a stop: no new requests are read; true when no request is in work. */
bool kafka_drain(struct kafka *k);

struct kafka_counters {
    uint64_t requests[128], errors[128];                    /* by API key */
    uint64_t bytes_in, bytes_out;                           /* of requests and replies, whole */
    uint64_t records_in, record_bytes_in, record_bytes_out; /* appended; in answers to Fetch */
    uint64_t conns_closed_bad, reserve_waits;
    uint32_t conns, requests_in_work;
};
const struct kafka_counters *kafka_counters(const struct kafka *k);
const struct stage_clocks *kafka_stage_clocks(const struct kafka *k);

/*
 * admission: the limits of connections over all shards: max.connections, of the broker and of a
 * listener, and max.connections.per.ip with its overrides. The only state that shards share; a mutex
 * guards it, taken on accept, close and a change of the limits, never per request. A conn over a
 * limit is refused. When max.connections is lowered, conns of unprotected listeners are closed until
 * it is kept: of each shard in proportion, those first that were silent longest, at its next step.
 */
#define admission_listeners_max 32
#define admission_overrides_max 1024

struct admission_override {
    uint8_t address[16]; /* IPv6, or IPv4 mapped into it */
    uint32_t conn_max;
};

struct admission_options {
    uint32_t conn_max, conn_per_ip_max;
    uint32_t listener_max[admission_listeners_max]; /* by listener number */
    uint32_t listener_count;                        /* of listener_max; others have no limit */
    bool protects_listener; /* max.connections neither refuses nor closes conns of this one */
    uint32_t protected_listener;
    const struct admission_override *overrides; /* copied */
    uint32_t override_count;
};

/* ERR_TOO_LARGE: more overrides or listeners than the maxima. ERR_NO_MEMORY. */
int admission_new(struct admission **out, const struct admission_options *options);
void admission_free(struct admission *a);

/* From any thread, while shards run. Errors as admission_new; then the old limits stay. */
int admission_set(struct admission *a, const struct admission_options *options);

/* Conns that shards must close, and have not begun to; a parked shard must be woken for it. */
uint32_t admission_excess(const struct admission *a);

#endif
