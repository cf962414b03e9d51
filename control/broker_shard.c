/* broker_shard: one shard put together: ring, disk, log memory, request path, transport, stages. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "control/broker_impl.h"

#define budget_completions 1024
#define budget_mail        512
#define budget_timers      256
#define budget_storage     1024
#define budget_requests    512
#define budget_frames      32 /* few: their answers leave while the next are received */
#define budget_sends       4096

/* ---- a disk that fails ---- */

static void failure_deliver(struct msg *msg)
{
    struct dir_failure *f = (struct dir_failure *)msg;
    topics_dir_failed(f->broker->control.topics, f->dir, f->err);
}

/* On the shard. Posted once per log dir: what follows is the same news. */
static void disk_error(struct plog_env *env, struct plog *plog, int err)
{
    struct broker_shard *s = env->ctx;
    struct broker *b = s->broker;
    for (uint32_t i = 0; i < b->logdirs->data_count; i++) {
        if (strcmp(b->logdirs->dirs[i].path, plog_log_dir(plog)) != 0)
            continue;
        struct dir_failure *f = &s->failures[i];
        if (f->posted)
            return;
        *f = (struct dir_failure){
            .msg.deliver = failure_deliver, .broker = b, .dir = i, .err = err, .posted = true};
        agent_post(&s->shard.agent, &b->control.agent, &f->msg);
        return;
    }
}

/* ---- parts ---- */

/* Of shards that always poll, the kernel's threads work elsewhere, if a CPU is left for them. */
static void keep_workers_off(struct ring *ring, const uint16_t *cpus, int cpu_count)
{
    cpu_set_t rest;
    if (sched_getaffinity(0, sizeof(rest), &rest) != 0)
        return;
    for (int i = 0; i < cpu_count; i++)
        CPU_CLR(cpus[i], &rest);
    if (CPU_COUNT(&rest) > 0)
        ring_workers(ring, &rest);
}

static int part_shard(struct broker_shard *s, uint32_t index, char *why, size_t why_size)
{
    struct broker *b = s->broker;
    const struct config *c = b->config;
    uint16_t cpus[shard_count_max];
    int cpu_count = config_cpus(c, cpus, shard_count_max);
    int err = ring_init(&s->ring, ring_entries, why, why_size);
    if (err)
        return err;
    s->has_ring = true;
    struct shard_options o = {
        .index = index,
        .cpu = (int)index < cpu_count ? cpus[index] : -1,
        .poll = str_eqz(config_string(c, CONFIG_SLUICE_POLL), "always") ? SHARD_POLL_ALWAYS
                                                                        : SHARD_POLL_ADAPTIVE,
        .spin_ns = shard_spin_ns_default,
        .clock = b->seams.clock,
        .seed = rng_u64(&b->control.rng),
        .parking = shard_parking_ring(&s->ring),
    };
    s->parking = (struct dpdk_parking){.below = o.parking, .clock = b->seams.clock};
    if (b->ports.count > 0)
        o.parking = dpdk_parking(&s->parking);
    if (o.poll == SHARD_POLL_ALWAYS && o.cpu >= 0)
        keep_workers_off(&s->ring, cpus, cpu_count);
    err = shard_init(&s->shard, &o, &b->plan);
    s->has_shard = err == 0;
    if (err)
        snprintf(why, why_size, "no memory for shard %u: %s", index, err_text(err));
    return err;
}

static int part_storage(struct broker_shard *s, uint32_t index)
{
    struct broker *b = s->broker;
    s->failures = calloc(b->logdirs->count, sizeof(*s->failures));
    if (!s->failures)
        return ERR_NO_MEMORY;
    int err = cache_new(&s->cache, &s->shard.mem, &s->shard.agent, plog_evict);
    if (err)
        return err;
    io_uring_backend_init(&s->io, &s->ring);
    s->plogs = (struct plog_env){
        .self = &s->shard.agent,
        .worker = &b->workers[index % b->worker_count].worker.agent,
        .wheel = &s->shard.wheel,
        .mem = &s->shard.mem,
        .cache = s->cache,
        .io = &s->io.io,
        .fs = b->seams.fs,
        .clock = b->seams.clock,
        .now_ns = &s->shard.now_ns,
        .wall_ms = &s->shard.wall_ms,
        .durability = broker_durability(b),
        .disk_error = disk_error,
        .ctx = s,
        .retention_check_ms = config_long(b->config, CONFIG_LOG_RETENTION_CHECK_INTERVAL_MS),
    };
    broker_journal_plan(s);
    return 0;
}

static uint32_t smaller(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

static int filter_make(struct broker_shard *s, uint32_t conn_max)
{
    static const struct filter_mark how = {.key = broker_test_filter_key};
    struct filter_options o = {.ops = &filter_mark_ops,
                               .ctx = (void *)&how,
                               .mem = &s->shard.mem,
                               .events = kafka_events(s->kafka),
                               .conn_max = conn_max};
    return filter_new(&s->filter, &o);
}

static int part_requests(struct broker_shard *s)
{
    struct broker *b = s->broker;
    const struct config *c = b->config;
    int err = view_init(&s->view, s->shard.index, rng_u64(&b->control.rng));
    if (err)
        return err;
    s->has_view = true;
    uint64_t wanted = (uint64_t)config_int(c, CONFIG_SOCKET_REQUEST_MAX_BYTES);
    uint32_t sockets = smaller(b->limits.files, broker_conns_max); /* max.connections may change */
    uint32_t ours =
        b->ports.count > 0 ? (uint32_t)config_int(c, CONFIG_SLUICE_DPDK_CONNECTIONS) : 0;
    struct kafka_options k = {
        .shard = &s->shard,
        .view = &s->view,
        .cache = s->cache,
        .plogs = &s->plogs,
        .control = &b->control.agent,
        .forward_run = control_forward_run,
        .forward_cancel = control_forward_cancel,
        .admission = b->admission,
        .node_id = broker_node_id(b),
        .conn_max = sockets > ours ? sockets : ours,
        .request_slots = broker_request_slots,
        .partition_ops = broker_partition_ops,
        .request_bytes_max = smaller(wanted, s->shard.mem.request_max),
        .reply_bytes_max = broker_reply_bytes_max,
        .idle_ns = config_long(c, CONFIG_CONNECTIONS_MAX_IDLE_MS) * CLOCK_NS_PER_MS,
        .partial_request_ns = broker_partial_ns,
        .fetch_session_slots =
            (uint32_t)config_int(c, CONFIG_MAX_INCREMENTAL_FETCH_SESSION_CACHE_SLOTS),
        .fetch_bytes_max = (uint32_t)config_int(c, CONFIG_FETCH_MAX_BYTES),
        .endpoints = b->endpoints,
        .endpoint_count = b->listeners.count,
    };
    err = kafka_new(&s->kafka, &k);
    if (!err && str_eqz(config_string(c, CONFIG_SLUICE_TEST_FILTER), "xor"))
        err = filter_make(s, k.conn_max);
    if (err)
        return err;
    struct uring_options u = {
        .ring = &s->ring,
        .mem = &s->shard.mem,
        .events = s->filter ? filter_lower_events(s->filter) : kafka_events(s->kafka),
        .conn_max = sockets,
        .listen_backlog = (uint32_t)config_int(c, CONFIG_SOCKET_LISTEN_BACKLOG_SIZE),
    };
    int send = config_int(c, CONFIG_SOCKET_SEND_BUFFER_BYTES);
    int receive = config_int(c, CONFIG_SOCKET_RECEIVE_BUFFER_BYTES);
    u.send_buffer_bytes = send > 0 ? (uint32_t)send : 0; /* Kafka's -1: the system's choice */
    u.receive_buffer_bytes = receive > 0 ? (uint32_t)receive : 0;
    err = uring_transport_new(&s->transport, &u);
    return err ? err : broker_dpdk_shard(s, ours);
}

/* The loop, in one place: what came in, what it completes, what it asks for, what goes out. */
static int part_stages(struct broker_shard *s)
{
    struct shard *x = &s->shard;
    int err = shard_add_stage(x, "complete", ring_stage_reap, &s->ring, budget_completions);
    if (s->dpdk)
        err = err ? err
                  : shard_add_stage(x, "receive", dpdk_transport_receive, s->dpdk, budget_frames);
    err = err ? err : shard_stage_mailbox(x, budget_mail);
    err = err ? err : shard_stage_timers(x, budget_timers);
    err = err ? err : shard_add_stage(x, "memory", cache_run, s->cache, budget_storage);
    err = err ? err : shard_add_stage(x, "storage", plog_env_run, &s->plogs, budget_storage);
    err = err ? err : shard_add_stage(x, "requests", kafka_run, s->kafka, budget_requests);
    if (s->filter)
        err = err ? err : shard_add_stage(x, "filter", filter_flush, s->filter, budget_sends);
    if (s->dpdk)
        err =
            err ? err : shard_add_stage(x, "transmit", dpdk_transport_flush, s->dpdk, budget_sends);
    err = err ? err : shard_add_stage(x, "send", uring_transport_flush, s->transport, budget_sends);
    return err ? err : shard_add_stage(x, "submit", ring_stage_submit, &s->ring, 1);
}

int broker_shard_make(struct broker *b, uint32_t index, char *why, size_t why_size)
{
    struct broker_shard *s = &b->shards[index];
    s->broker = b;
    int err = part_shard(s, index, why, why_size);
    if (err)
        return err;
    err = part_storage(s, index);
    if (!err)
        err = part_requests(s);
    if (!err)
        err = part_stages(s);
    if (err)
        snprintf(why, why_size, "shard %u cannot be set up: %s", index, err_text(err));
    return err;
}

/* The thread has ended. The ring goes first: nothing completes any more. */
void broker_shard_free(struct broker_shard *s)
{
    if (s->has_ring)
        ring_fini(&s->ring);
    dpdk_transport_free(s->dpdk);
    uring_transport_free(s->transport);
    filter_free(s->filter);
    kafka_free(s->kafka);
    if (s->has_view)
        view_fini(&s->view);
    if (s->cache)
        plog_env_fini(&s->plogs);
    cache_free(s->cache);
    if (s->has_shard)
        shard_fini(&s->shard);
    free(s->failures);
}

/* ---- calls from control ---- */

static void shards_call_done(struct call *call)
{
    broker_shard_of(call)->broker->calls_pending--;
}

static bool shards_called(void *ctx)
{
    struct broker *b = ctx;
    return b->calls_pending == 0;
}

int broker_shards_call(struct broker *b, void (*run)(struct call *), int64_t timeout_ns)
{
    /* Calls that an interrupted start left under way come home first. */
    int err = b->calls_pending ? control_loop_run(&b->loop, shards_called, b, timeout_ns) : 0;
    if (err)
        return err;
    for (uint32_t i = 0; i < b->shard_count; i++) {
        struct broker_shard *s = &b->shards[i];
        s->err = 0;
        s->call.run = run;
        s->call.done = shards_call_done;
        b->calls_pending++;
        agent_call(&b->control.agent, &s->shard.agent, &s->call);
    }
    return control_loop_run(&b->loop, shards_called, b, timeout_ns);
}

void broker_shard_listen_run(struct call *call)
{
    struct broker_shard *s = broker_shard_of(call);
    struct listeners *l = &s->broker->listeners;
    for (uint32_t i = 0; i < l->count && s->err == 0; i++) {
        uint16_t port = 0;
        if (!l->items[i].serves)
            continue;
        const struct sockaddr *address = (const struct sockaddr *)&l->items[i].address;
        s->err = l->items[i].config->transport == CONFIG_TRANSPORT_DPDK
                     ? dpdk_transport_listen(s->dpdk, address, i, &port)
                     : uring_transport_listen(s->transport, address, i, &port, &s->errnum);
        s->listen_failed = i;
    }
    call_finish(call);
}

void broker_shard_drain_run(struct call *call)
{
    struct broker_shard *s = broker_shard_of(call);
    uring_transport_stop_listening(s->transport);
    if (s->dpdk)
        dpdk_transport_stop_listening(s->dpdk);
    s->drained = kafka_drain(s->kafka);
    call_finish(call);
}
