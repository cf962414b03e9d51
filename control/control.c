#include "control/control.h"

#include <rte_mbuf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "control/broker.h"
#include "dataplane/kafka/reply.h"
#include "dataplane/proto/apis.h"
#include "control/groups.h"
#include "control/meta/store.h"
#include "core/mem.h"

#define control_timer_budget 256

/* ---- life ---- */

static int pools_make(struct control *c)
{
    c->reply_pool = rte_pktmbuf_pool_create("control-reply", control_reply_bufs, 0, 0,
                                            RTE_PKTMBUF_HEADROOM + tx_buffer_bytes, SOCKET_ID_ANY);
    c->reply_ref_pool =
        rte_pktmbuf_pool_create("control-ref", control_reply_refs, 0, 0, 0, SOCKET_ID_ANY);
    return c->reply_pool && c->reply_ref_pool ? 0 : ERR_NO_MEMORY;
}

/* Without hugepages DPDK keeps these buffers from crossing pages: one page each. */
uint32_t control_eal_mb(void)
{
    uint64_t bytes = (uint64_t)control_reply_bufs * 4 * KIB + (uint64_t)control_reply_refs * 512;
    _Static_assert(tx_buffer_bytes + RTE_PKTMBUF_HEADROOM + 512 <= 4 * KIB, "one page");
    return (uint32_t)(bytes / MIB) + 3;
}

int control_init(struct control *c, const struct control_options *o)
{
    *c = (struct control){.broker = o->broker, .static_config = o->config, .clock = o->clock};
    int err = agent_init(&c->agent, "control", o->agent_index, mailbox_slots_default, o->wake,
                         o->wake_ctx);
    if (err)
        return err;
    rng_seed(&c->rng, o->seed);
    err = image_init(&c->image);
    if (!err && o->replies)
        err = pools_make(c);
    if (err) {
        control_fini(c);
        return err;
    }
    image_seed(&c->image, rng_u64(&c->rng));
    c->now_ns = clock_mono_ns(c->clock);
    c->wall_ms = clock_wall_ms(c->clock);
    wheel_init(&c->wheel, c->now_ns);
    return 0;
}

void control_fini(struct control *c)
{
    image_free(&c->image);
    config_free(c->config);
    rte_mempool_free(c->reply_pool);
    rte_mempool_free(c->reply_ref_pool);
    agent_fini(&c->agent);
    *c = (struct control){0};
}

void control_fail(struct control *c, const char *fmt, ...)
{
    if (c->failed)
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->failure, sizeof(c->failure), fmt, ap);
    va_end(ap);
    c->failed = true;
    log_error("control", "the broker must stop: %s", c->failure);
}

/* ---- one pass ---- */

int64_t control_step(struct control *c, int64_t now_ns)
{
    struct agent *before = agent_current();
    agent_enter(&c->agent);
    c->now_ns = now_ns;
    c->wall_ms = clock_wall_ms(c->clock);
    uint32_t units = agent_receive(&c->agent, control_mail_budget);
    units += wheel_run(&c->wheel, now_ns, control_timer_budget);
    if (c->store && meta_store_snapshot_due(c->store)) {
        int err = meta_store_snapshot(c->store);
        if (err)
            log_warn("control", "no snapshot of the metadata: %s", err_text(err));
        if (meta_store_failed(c->store))
            control_fail(c, "the metadata log cannot be replaced: %s", err_text(err));
    }
    uint32_t waiting = agent_flush(&c->agent);
    agent_enter(before);
    if (units > 0 || waiting > 0)
        return now_ns;
    return wheel_next(&c->wheel);
}

/* ---- settings ---- */

static struct config_pairs pairs_of(const struct image_configs *set, struct config_pair *room)
{
    for (uint32_t i = 0; i < set->count; i++)
        room[i] = (struct config_pair){str_from(set->items[i].name), str_from(set->items[i].value)};
    return (struct config_pairs){room, set->count};
}

int control_apply_configs(struct control *c)
{
    struct config_pair cluster[meta_configs_max], broker[meta_configs_max];
    struct config *made;
    uint32_t ignored = 0;
    int err = config_with_dynamic(&made, c->static_config, pairs_of(&c->image.cluster, cluster),
                                  pairs_of(&c->image.broker, broker), &ignored);
    if (err)
        return err;
    if (ignored)
        log_warn("control", "%u stored dynamic settings are not valid and ignored", ignored);
    config_free(c->config);
    c->config = made;
    if (c->broker)
        broker_settings_changed(c->broker);
    groups_settings_changed(c->groups);
    return 0;
}

/* ---- requests ---- */

static void request_end(struct control_request *rq)
{
    struct control *c = rq->control;
    struct forward *f = rq->forward;
    arena_free(&rq->arena);
    free(rq);
    c->requests_in_work--;
    f->work = NULL;
    call_finish(&f->call);
}

static void forward_close(struct control *c, struct forward *f, const char *why)
{
    uint64_t suppressed = 0;
    f->close = true;
    if (log_limit_pass(&c->close_limit, c->now_ns, &suppressed))
        log_warn("control", "connection of %s closed: %s (%s v%d, %llu lines suppressed)", f->peer,
                 why, api_name(f->api_key), f->api_version, (unsigned long long)suppressed);
}

void control_close(struct control_request *rq, const char *why)
{
    forward_close(rq->control, rq->forward, why);
    request_end(rq);
}

void control_drop(struct control_request *rq)
{
    rq->forward->close = true;
    request_end(rq);
}

void control_reply(struct control_request *rq, const void *response, control_encode_fn *encode)
{
    struct control *c = rq->control;
    struct forward *f = rq->forward;
    struct writer w;
    reply_begin(&w, c->reply_pool, c->reply_ref_pool, f->api_key, f->api_version,
                f->correlation_id);
    int err = encode(response, &w, rq->version);
    if (err < 0)
        writer_fail(&w, err);
    err = reply_end(&w, &f->reply);
    if (err < 0)
        forward_close(c, f,
                      err == ERR_NO_MEMORY ? "no buffers left for the reply"
                                           : "the reply cannot be encoded");
    request_end(rq);
}

void control_forward_run(struct call *call)
{
    struct forward *f = (struct forward *)((char *)call - offsetof(struct forward, call));
    struct control *c = (struct control *)((char *)call->callee - offsetof(struct control, agent));
    api_fn *handler = api_handler(f->api_key);
    struct control_request *rq = handler && !c->stopping ? calloc(1, sizeof(*rq)) : NULL;
    if (!rq) {
        forward_close(c, f, handler ? "the broker is stopping" : "no such API here");
        call_finish(call);
        return;
    }
    f->work = rq;
    rq->control = c;
    rq->forward = f;
    rq->version = f->api_version;
    arena_init(&rq->arena, request_arena_bytes_max);
    reader_init_chain(&rq->body, &f->body);
    c->requests_in_work++;
    handler(rq);
}

/* The request may have ended while this message was on its way. */
void control_forward_cancel(struct call *call)
{
    struct forward *f = (struct forward *)((char *)call - offsetof(struct forward, cancel));
    struct control_request *rq = f->work;
    if (rq && rq->cancel)
        rq->cancel(rq);
    call_finish(call);
}
