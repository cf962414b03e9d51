/*
 * control: the slow path. One thread with an event loop (libuv) that owns metadata, topics and
 * every request that is not Produce, Fetch or ListOffsets.
 *
 * Purpose: the context that API handlers (control/api) work in. A handler decodes its request,
 * looks at the image, maybe starts operations (topics.h), and replies now or later.
 * Owner: the control thread. Memory: malloc; a control_request lives from dispatch to
 * control_reply.
 * Failure: a request that cannot be decoded closes its connection (as Kafka does), with a log line.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "control/config/config.h"
#include "control/config/topic_config.h"
#include "control/meta/image.h"
#include "core/mailbox.h"
#include "core/wheel.h"
#include "dataplane/kafka/forward.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

#define control_reply_bufs    4096 /* mbufs of control's replies under way */
#define control_reply_refs    1024
#define control_mail_budget   1024 /* messages between two looks at the timers */
#define control_failure_bytes 256

struct broker;
struct groups;
struct meta_store;
struct topics;

struct control {
    struct agent agent;
    struct broker *broker;              /* the composition root: shards, workers, log dirs */
    struct config *config;              /* with the dynamic settings on top */
    const struct config *static_config; /* as started; outlives control */
    struct image image;
    struct meta_store *store;
    struct topics *topics;
    struct groups *groups; /* NULL: no groups are served (tests of parts) */
    struct clock *clock;
    struct rng rng;
    struct rte_mempool *reply_pool, *reply_ref_pool; /* control's own mbufs */
    struct wheel wheel;
    int64_t now_ns, wall_ms; /* of this step */
    struct log_limit close_limit, auto_create_limit;
    uint64_t requests_in_work;
    uint32_t auto_creates; /* topics being created on first mention (api/metadata.c) */
    bool stopping;
    bool failed; /* the broker cannot go on: its owner must stop it */
    char failure[control_failure_bytes];
};

struct control_options {
    uint32_t agent_index;
    void (*wake)(struct agent *); /* of the loop around control_step; NULL: it polls */
    void *wake_ctx;
    struct broker *broker; /* NULL in tests of parts */
    const struct config *config;
    struct clock *clock;
    uint64_t seed;
    bool replies; /* false: no mbufs of its own (no requests will come) */
};

/*
 * The empty control: no store, no topics (the composition root adds them). Needs EAL.
 * ERR_NO_MEMORY: nothing is kept.
 */
int control_init(struct control *c, const struct control_options *options);
void control_fini(struct control *c);

/* Megabytes of EAL's heap for the reply buffers. */
uint32_t control_eal_mb(void);

/*
 * One pass: mail, timers, flush. Returns the time at which it must be called again at the latest
 * (now:
 * there is more to do), WHEEL_NEVER if only mail can bring work.
 */
int64_t control_step(struct control *c, int64_t now_ns);

/* What the shards call through kafka_options.forward_run. */
void control_forward_run(struct call *call);
/* And through kafka_options.forward_cancel: the connection of a request in work is gone. */
void control_forward_cancel(struct call *call);

/* Remembers the first reason for which the broker must stop, with a line in the log. */
void control_fail(struct control *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Makes config anew from the static one and the dynamic settings in the image. ERR_NO_MEMORY. */
int control_apply_configs(struct control *c);

/* One forwarded request. */
struct control_request {
    struct control *control;
    struct forward *forward;
    struct arena arena; /* for the decoded request and the response; request_arena_bytes_max */
    struct reader body;
    int16_t version;
    void *state; /* the handler's, in the arena, for asynchronous work */
    /* The connection is gone: ends the request with control_drop if it only waits. May be NULL. */
    void (*cancel)(struct control_request *rq);
};

typedef void api_fn(struct control_request *rq);

/* api/table.c: NULL if control does not answer that key. */
api_fn *api_handler(int16_t api_key);

/*
 * Ends the request. encode is the generated function of the response struct. On an encoding error
 * the connection is closed with a log line.
 */
typedef int control_encode_fn(const void *response, struct writer *w, int version);
void control_reply(struct control_request *rq, const void *response, control_encode_fn *encode);

/* Ends the request of a connection that is gone. */
void control_drop(struct control_request *rq);

/* Ends the request by closing its connection; why goes to the log (rate-limited). */
void control_close(struct control_request *rq, const char *why);

#endif
