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
 * Those of requests and sessions stand in request.h and session.h.
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
#include "dataplane/kafka/pool.h"
#include "dataplane/kafka/request.h"
#include "dataplane/kafka/session.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/flexible.h"
#include "dataplane/proto/header.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

#define frame_prefix_bytes  4
#define ahead_bytes_max     (128 * KIB) /* read-ahead of a conn when there is plenty */
#define ahead_bytes_min     (4 * KIB)
#define small_frame_bytes   ahead_bytes_min /* frames up to this size live within the read-ahead */
#define scratch_bytes       (64 * KIB)
#define park_chunks_max     256 /* a parked append asks for at most so many chunks at once */
#define relieve_fetches_max 32  /* delayed fetches ended early in one run, when others lack slots */
#define idle_touch_ns       (100 * CLOCK_NS_PER_MS) /* activity is noted at this grain */
#define rx_low_check_ns     (10 * CLOCK_NS_PER_MS)

_Static_assert(scratch_bytes >= 2 * PROTO_STRING_BYTES_MAX, "the longest string fits the scratch");

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
    uint32_t need;     /* bytes of the frame at the front of rx; 0: its length is not known */
    uint8_t prefix[4]; /* the part of the length word that has come */
    uint8_t prefix_len;
    uint8_t wait; /* enum conn_wait */
    uint16_t inflight;
    bool produce_only; /* all in flight are Produce */
    bool slow;         /* too many unsent reply bytes */
    bool doomed;       /* nothing more is read; closed when everything before is answered */
    bool closing;      /* tconn_close was called */
    bool ended;        /* the peer sends no more; what it sent is worked on and answered first */
    bool claimed;      /* closed for max.connections, see admission_claim */
    uint32_t listener;
    uint64_t unsent;     /* reply bytes with the transport */
    uint64_t reserved;   /* bytes of mem.requests held for the frame at the front */
    int64_t received_ns; /* of the bytes looked at now */
    int64_t active_ns;   /* last sign of life */
    int64_t partial_ns;  /* since when the frame at the front is incomplete */
    struct link wait_link, flush_link, resume_link, partial_link, idle_link;
    /* one reply in flight is followed to the wire */
    bool sampled;
    uint8_t sample_class;
    uint64_t sample_left; /* bytes to be sent until it is out */
    struct stamps sample;
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
    uint64_t ahead;  /* read-ahead of a conn now */
    uint64_t unsent; /* reply bytes with the transport */
    struct link waiting[CONN_WAIT_COUNT];
    struct link flush, resume, partials, idle;
    struct link fired;       /* parts whose plog_waiter fired */
    struct link fetch_ready; /* requests whose wait is over */
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

/* Another one for each conn there is, on any shard; never 0. NULL: 0. */
static inline uint64_t conn_number(const struct conn *c)
{
    if (c == NULL)
        return 0;
    const struct pool *all = &c->k->conns;
    uint64_t i = (uint64_t)((const uint8_t *)c - all->base) / all->stride;
    return (uint64_t)(c->k->shard->index + 1) << 32 | i;
}

static inline int64_t kafka_clock(const struct kafka *k)
{
    return clock_mono_ns(k->shard->clock);
}

/* kafka.c: the request paths of all shards find each other through the admission they share. */
struct kafka *kafka_peer(struct kafka *k, uint32_t shard);
struct arena *kafka_arena(struct kafka *k); /* emptied */

/* admission.c */
/* NULL: counted in; otherwise why it is refused. */
const char *admission_enter(struct admission *a, const struct sockaddr_storage *peer,
                            uint32_t shard, uint32_t listener);
/* claimed: by admission_claim, which answered true for it. */
void admission_leave(struct admission *a, const struct sockaddr_storage *peer, uint32_t shard,
                     uint32_t listener, bool claimed);
uint32_t admission_owed(const struct admission *a, uint32_t shard); /* conns it has to close */
/* True: a conn of this listener is to be closed, and counts as claimed until it leaves. */
bool admission_claim(struct admission *a, uint32_t shard, uint32_t listener);
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
void conn_close_excess(struct kafka *k);
void conn_ahead(struct kafka *k);
void conn_settle_want(struct conn *c);

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
void fetch_relieve(struct kafka *k);
void fetch_wake_all(struct kafka *k, bool removed_only);
uint32_t waiters_run(struct kafka *k, uint32_t budget);
uint64_t fetch_available(struct part *p);
int fetch_encode(struct request *r, struct chain *out);

/* list_offsets.c */
enum request_result list_start(struct conn *c, const struct proto_request_header *h,
                               struct reader *rd);
void list_encode(struct request *r, struct writer *w);

/* forward.c */
enum request_result forward_start(struct conn *c, const struct proto_request_header *h,
                                  uint64_t header_bytes);
void forward_orphan(struct request *r);

/* reply.c */
void reply_flush(struct conn *c);
void reply_queue(struct conn *c);
struct writer_frame reply_open(struct writer *w, const struct request *r);
void reply_topic(struct writer *w, const struct part *p, bool by_id, bool flexible);
void reply_endpoint(struct writer *w, const struct request *r);
const struct kafka_endpoint *reply_endpoint_of(const struct request *r);

#endif
