/*
 * broker_start: up, in an order in which what can be refused is refused before anything is written:
 * addresses, locks, metadata, memory, rings; then the log dirs are begun, the threads started, the
 * logs
 * recovered, and the doors opened last.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/broker_impl.h"
#include "dataplane/nic/lane.h"
#include "dataplane/transport/dpdk_net.h"

/* ---- sizes ---- */

/* As many shards as there are CPUs for them and memory to feed them. */
static uint32_t shards_wanted(const struct broker *b)
{
    int32_t configured = config_int(b->config, CONFIG_SLUICE_SHARDS);
    if (configured > 0)
        return (uint32_t)configured;
    uint16_t cpus[shard_count_max];
    int pinned = config_cpus(b->config, cpus, shard_count_max);
    uint64_t n = pinned > 0 ? (uint64_t)pinned : process_cpu_count();
    uint64_t fed = (uint64_t)config_long(b->config, CONFIG_SLUICE_MEMORY) / (2 * memory_bytes_min);
    n = fed < n ? fed : n;
    n = n > shard_count_max ? shard_count_max : n;
    return n ? (uint32_t)n : 1;
}

/* The value of sluice.memory with which requests of so many bytes can be admitted, whole MiB. */
static uint64_t memory_for(uint64_t request, uint64_t memory, uint32_t shards)
{
    struct mem_plan plan;
    while (mem_plan_make(memory, shards, &plan) != 0 || plan.request_max < request)
        memory += memory / 64 + MIB;
    return (memory + MIB - 1) / MIB * MIB;
}

static void requests_tell(const struct broker *b, uint64_t memory)
{
    uint64_t wanted = (uint64_t)config_int(b->config, CONFIG_SOCKET_REQUEST_MAX_BYTES);
    uint64_t whole = (uint64_t)config_long(b->config, CONFIG_SLUICE_MEMORY);
    if (b->plan.request_max >= wanted)
        return;
    log_info(
        "broker",
        "requests over %llu bytes are refused: socket.request.max.bytes=%llu needs "
        "sluice.memory=%llum with %u shards",
        (unsigned long long)b->plan.request_max, (unsigned long long)wanted,
        (unsigned long long)((memory_for(wanted, memory, b->shard_count) + whole - memory) / MIB),
        b->shard_count);
}

static int plan_make(struct broker *b, char *why, size_t why_size)
{
    uint64_t memory = (uint64_t)config_long(b->config, CONFIG_SLUICE_MEMORY);
    b->shard_count = shards_wanted(b);
    int err = broker_dpdk_plan(b, &memory, why, why_size);
    if (err)
        return err;
    err = mem_plan_make(memory, b->shard_count, &b->plan);
    if (err)
        snprintf(why, why_size,
                 "sluice.memory=%llu is too little for %u shards: each needs %llu MiB",
                 (unsigned long long)memory, b->shard_count,
                 (unsigned long long)(memory_bytes_min / MIB));
    if (!err)
        broker_requests_bound(b->config, &b->plan);
    int64_t reads = config_long(b->config, CONFIG_SLUICE_READ_BYTES);
    if (!err && reads >= 0)
        mem_plan_reads(&b->plan, (uint64_t)reads);
    if (!err)
        broker_dpdk_bound(b);
    if (!err)
        requests_tell(b, memory);
    return err;
}

static void files_check(const struct broker *b)
{
    uint64_t conns = (uint64_t)config_int(b->config, CONFIG_MAX_CONNECTIONS);
    uint64_t partitions = 0;
    size_t cursor = 0;
    for (struct image_topic *t; (t = map_next(&b->control.image.by_id, &cursor)) != NULL;)
        partitions += (uint64_t)t->partition_count;
    uint64_t needed = partitions * broker_partition_files + broker_files_kept;
    if (conns < broker_conns_max)
        needed += conns;
    if (b->limits.files < needed)
        log_warn("broker",
                 "%llu file descriptors are too few for %llu partitions and max.connections: "
                 "raise the limit (ulimit -Hn) to %llu",
                 (unsigned long long)b->limits.files, (unsigned long long)partitions,
                 (unsigned long long)needed);
}

/* ---- parts ---- */

static int eal_begin(struct broker *b, char *why, size_t why_size)
{
    struct str extra = config_string(b->config, CONFIG_SLUICE_DPDK_EAL_ARGS);
    char args[eal_args_bytes_max];
    if (extra.len >= sizeof(args)) {
        snprintf(why, why_size, "sluice.dpdk.eal.args is too long");
        return ERR_TOO_LARGE;
    }
    snprintf(args, sizeof(args), "%.*s", STR_ARG(extra));
    char cards[eal_args_bytes_max];
    if (dpdk_ports_eal_args(&b->ports, cards, sizeof(cards)) < 0 ||
        strlen(args) + strlen(cards) + 2 > sizeof(args)) {
        snprintf(why, why_size, "sluice.dpdk.eal.args and sluice.dpdk.ports are too long");
        return ERR_TOO_LARGE;
    }
    snprintf(args + strlen(args), sizeof(args) - strlen(args), " %s", cards);
    struct eal_options o = {.memory_mb = mem_plan_eal_mb(&b->plan) + control_eal_mb() +
                                         broker_dpdk_eal_mb(b),
                            .extra_args = args};
    int err = eal_up(&o, &b->eal, why, why_size);
    return err == ERR_EXISTS ? 0 : err; /* a process may have had a broker before */
}

static int control_begin(struct broker *b, char *why, size_t why_size)
{
    struct control_options o = {
        .agent_index = b->shard_count,
        .wake = control_loop_wake,
        .wake_ctx = &b->loop,
        .broker = b,
        .config = b->config,
        .clock = b->seams.clock,
        .seed = b->seams.seed,
        .replies = true,
    };
    int err = control_init(&b->control, &o);
    b->has_control = err == 0;
    if (!err)
        err = control_loop_init(&b->loop, &b->control);
    if (!err)
        atomic_store(&b->has_loop, true);
    if (!err && atomic_load(&b->stop_asked))
        control_loop_stop(&b->loop);
    if (err)
        snprintf(why, why_size, "the control thread cannot be set up: %s", err_text(err));
    return err;
}

static int workers_make(struct broker *b, char *why, size_t why_size)
{
    uint32_t n = (uint32_t)config_int(b->config, CONFIG_NUM_RECOVERY_THREADS_PER_DATA_DIR) *
                 b->logdirs->data_count;
    b->worker_count = n < 2 ? 2 : n > topics_workers_max ? topics_workers_max : n;
    for (uint32_t i = 0; i < b->worker_count; i++) {
        struct broker_worker *w = &b->workers[i];
        snprintf(w->name, sizeof(w->name), "worker-%u", i);
        int err = worker_init(&w->worker, w->name, b->shard_count + 1 + i);
        if (err) {
            snprintf(why, why_size, "a worker cannot be set up: %s", err_text(err));
            return err;
        }
        w->made = true;
    }
    return 0;
}

/*
 * Where clients of each listener find us: what is advertised, with the port that was really bound.
 */
static void endpoints_make(struct broker *b)
{
    for (uint32_t i = 0; i < b->listeners.count; i++) {
        const struct config_listener *l = b->listeners.items[i].config;
        b->endpoints[i] = (struct kafka_endpoint){
            .host = l->advertised_host,
            .port = l->advertised_port ? l->advertised_port : b->listeners.items[i].port,
            .rack = config_has(b->config, CONFIG_BROKER_RACK)
                        ? config_string(b->config, CONFIG_BROKER_RACK)
                        : STR_NULL,
        };
    }
}

static int shards_make(struct broker *b, char *why, size_t why_size)
{
    b->shards = aligned_alloc(64, (sizeof(*b->shards) * b->shard_count + 63) / 64 * 64);
    if (!b->shards || broker_limits_make(b) != 0) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    memset(b->shards, 0, sizeof(*b->shards) * b->shard_count);
    for (uint32_t i = 0; i < b->shard_count; i++) {
        int err = broker_shard_make(b, i, why, why_size);
        if (err)
            return err;
    }
    return 0;
}

/* The HTTP endpoint, if one is asked for; from now on it says that the broker starts. */
static int metrics_make(struct broker *b, char *why, size_t why_size)
{
    struct str address = config_string(b->config, CONFIG_SLUICE_METRICS_LISTENER);
    struct metrics *m = &b->metrics;
    int err = broker_dpdk_captures(b, why, why_size);
    if (err)
        return err;
    m->captures = b->captures;
    m->clock = b->seams.clock;
    m->started_ns = clock_mono_ns(m->clock);
    m->shard_count = b->shard_count;
    for (uint32_t i = 0; i < b->shard_count; i++)
        m->shards[i] =
            (struct metrics_shard){&b->shards[i].shard, b->shards[i].kafka, b->shards[i].cache,
                                   &b->shards[i].plogs, &b->shards[i].io};
    for (uint32_t i = 0; i < b->shard_count; i++)
        for (uint32_t k = 0; b->shards[i].dpdk && k < b->ports.count; k++)
            metrics_lane_add(m,
                             lane_counters(dpdk_net_lane(dpdk_transport_net(b->shards[i].dpdk), k)),
                             i, b->ports.items[k].device);
    for (uint32_t i = 0; i < b->logdirs->data_count; i++)
        m->dirs[m->dir_count++] =
            (struct metrics_dir){b->logdirs->dirs[i].path, &b->logdirs->dirs[i].space};
    if (address.len == 0)
        return 0;
    err = metrics_lag_init(&b->lag);
    if (err)
        return err;
    m->lag = &b->lag;
    err = metrics_http_new(&b->metrics_http, address, m, why, why_size);
    if (err)
        metrics_lag_fini(&b->lag);
    return err;
}

static int topics_make(struct broker *b, char *why, size_t why_size)
{
    struct topics_options o = {.shard_count = b->shard_count,
                               .worker_count = b->worker_count,
                               .logdirs = b->logdirs,
                               .fs = b->seams.fs,
                               .node_id = broker_node_id(b),
                               .recover_os = b->recover_os,
                               .rewrite = b->recover_os && broker_durability(b) == PLOG_FSYNC};
    for (uint32_t i = 0; i < b->shard_count; i++)
        o.shards[i] = (struct topics_shard){&b->shards[i].shard.agent, &b->shards[i].view,
                                            &b->shards[i].plogs};
    for (uint32_t i = 0; i < b->worker_count; i++)
        o.workers[i] = &b->workers[i].worker.agent;
    int err = topics_new(&b->control.topics, &b->control, &o);
    err = err ? err : groups_new(&b->control.groups, &b->control);
    if (err)
        snprintf(why, why_size, "%s", err_text(err));
    return err;
}

static int threads_start(struct broker *b, char *why, size_t why_size)
{
    int err = 0;
    b->running = true;
    for (uint32_t i = 0; i < b->worker_count && !err; i++)
        err = worker_start(&b->workers[i].worker);
    for (uint32_t i = 0; i < b->shard_count && !err; i++)
        err = shard_start(&b->shards[i].shard);
    if (err)
        snprintf(why, why_size, "a thread cannot be started: %s", err_text(err));
    return err;
}

/* ---- recovery and doors ---- */

static void progress_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct broker *b = (struct broker *)((char *)timer - offsetof(struct broker, progress));
    uint32_t done, all;
    topics_progress(b->control.topics, &done, &all);
    log_info("broker", "opening partitions: %u of %u", done, all);
    wheel_arm(&b->control.wheel, timer, now_ns + broker_progress_ns);
}

static bool topics_are_started(void *ctx)
{
    struct broker *b = ctx;
    return topics_started(b->control.topics);
}

static int recover(struct broker *b, char *why, size_t why_size)
{
    struct control *c = &b->control;
    b->progress.fire = progress_fire;
    wheel_arm(&c->wheel, &b->progress, clock_mono_ns(c->clock) + broker_progress_ns);
    int err = topics_start(c->topics);
    if (!err)
        err = control_loop_run(&b->loop, topics_are_started, b, -1);
    wheel_cancel(&c->wheel, &b->progress);
    if (err == ERR_CANCELLED && !c->failed)
        snprintf(why, why_size, "stopped while partitions were being opened");
    else if (err)
        snprintf(why, why_size, "%s", c->failed ? c->failure : err_text(err));
    return err;
}

static int doors_open(struct broker *b, char *why, size_t why_size)
{
    int err = broker_shards_call(b, broker_shard_listen_run, -1);
    if (err) {
        snprintf(why, why_size, "stopped before the listeners were open");
        return err;
    }
    for (uint32_t i = 0; i < b->shard_count; i++) {
        const struct broker_shard *s = &b->shards[i];
        if (s->err == 0)
            continue;
        const struct config_listener *l = b->listeners.items[s->listen_failed].config;
        snprintf(why, why_size, "listener %.*s on port %u cannot be opened: %s", STR_ARG(l->name),
                 b->listeners.items[s->listen_failed].port,
                 s->errnum ? strerror(s->errnum) : err_text(s->err));
        return s->err;
    }
    listeners_release(&b->listeners);
    return 0;
}

static bool was_clean(const struct broker *b)
{
    for (uint32_t i = 0; i < b->logdirs->data_count; i++)
        if (b->logdirs->dirs[i].online && !b->logdirs->dirs[i].clean)
            return false;
    return true;
}

static void say_hello(const struct broker *b)
{
    char cluster[UUID_TEXT_LEN + 1];
    uuid_format(&b->control.image.cluster_uuid, cluster);
    log_info("broker", "node %d of cluster %s, start %llu, %u log dirs, %s", broker_node_id(b),
             cluster, (unsigned long long)b->control.image.boots, b->logdirs->data_count,
             b->control.image.boots == 1 ? "the first start"
             : was_clean(b)              ? "the stop before was clean"
                                         : "no clean stop before: recovering");
    log_info("broker",
             "durability %s (an acknowledgement survives %s), transport %s, %u shards, "
             "memory %llu MiB, hugepages %s",
             broker_durability(b) == PLOG_OS ? "os" : "fsync",
             broker_durability(b) == PLOG_OS ? "the death of the process" : "a loss of power",
             b->ports.count ? "uring and dpdk" : "uring", b->shard_count,
             (unsigned long long)(b->plan.total_bytes / MIB), b->eal.hugepages ? "yes" : "no");
}

/* Everything that may be refused without a trace. */
static int prepare(struct broker *b, char *why, size_t why_size)
{
    process_ignore_sigpipe();
    b->limits = process_limits_raise();
    int err = listeners_reserve(&b->listeners, b->config, why, why_size);
    if (!err)
        err = plan_make(b, why, why_size);
    if (!err)
        err = eal_begin(b, why, why_size);
    if (!err)
        err = broker_dpdk_open(b, why, why_size);
    if (!err)
        err = control_begin(b, why, why_size);
    if (!err)
        err = broker_open_dirs(b, why, why_size);
    if (!err)
        err = broker_open_meta(b, why, why_size);
    if (!err)
        err = broker_tail_open(b, why, why_size);
    if (!err)
        err = workers_make(b, why, why_size);
    if (err)
        return err;
    endpoints_make(b);
    files_check(b);
    err = shards_make(b, why, why_size);
    if (!err)
        err = metrics_make(b, why, why_size);
    return err ? err : topics_make(b, why, why_size);
}

int broker_start(struct broker *b, char *ready, size_t ready_size, char *why, size_t why_size)
{
    int err = prepare(b, why, why_size);
    if (!err)
        err = broker_begin_dirs(b, why, why_size);
    if (err)
        return err;
    say_hello(b);
    err = broker_journals_begin(b, why, why_size);
    if (!err)
        err = broker_tail_begin(b, why, why_size);
    if (err)
        return err;
    err = threads_start(b, why, why_size);
    if (!err)
        err = recover(b, why, why_size);
    if (!err) {
        groups_start(b->control.groups); /* loads in the background: the doors do not wait */
        if (b->metrics_http)
            groups_lag_start(b->control.groups, &b->lag);
        err = doors_open(b, why, why_size);
    }
    if (err)
        return err;
    listeners_text(&b->listeners, ready, ready_size);
    atomic_store(&b->metrics.state, METRICS_READY);
    return 0;
}
