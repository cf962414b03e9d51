/*
 * log: a partition's log on the machine's disk, the shard's part of it alone: batches in, ranges out, look-ups.
 * What the disk does meanwhile is waited for between the runs, and the log is made anew before it grows large.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "bench/micro/micro.h"
#include "core/ring.h"
#include "core/worker.h"
#include "storage/cache/cache.h"
#include "storage/io/io.h"
#include "storage/plog/index.h"
#include "storage/plog/plog.h"

#define log_memory_bytes (64 * MIB)
#define log_bytes_max    (192 * MIB) /* then it is made anew */
#define appends_max      64
#define read_bytes       (1u << 20)
#define index_entries    4096
#define turns_max        100000

struct log;
struct appending {
    struct plog_append a;
    struct log *log;
};

struct log {
    char dir[64];
    struct ring ring;
    struct io_uring_backend io;
    struct mem mem;
    struct agent agent;
    struct worker worker;
    struct wheel wheel;
    struct cache *cache;
    struct plog_env env;
    struct plog *plog;
    int64_t now_ns, wall_ms;
    struct rte_mempool *pool;
    struct chain batch;
    uint64_t appended;
    uint32_t waiting;
    struct appending append[appends_max];
};

static void on_disk_error(struct plog_env *env, struct plog *plog, int err)
{
    abort(); /* no figure without a disk */
}

/* ---- the shard around it ---- */

static bool turn(struct log *l)
{
    l->now_ns = clock_mono_ns(clock_system());
    agent_enter(&l->agent);
    bool busy = ring_reap(&l->ring, 256) > 0;
    busy |= plog_env_run(&l->env, l->now_ns, 256) > 0;
    busy |= cache_run(l->cache, l->now_ns, 256) > 0;
    ring_submit(&l->ring);
    agent_flush(&l->agent);
    agent_enter(&l->worker.agent);
    busy |= worker_step(&l->worker, 16) > 0;
    agent_enter(&l->agent);
    busy |= agent_receive(&l->agent, 64) > 0;
    busy |= wheel_run(&l->wheel, l->now_ns, 64) > 0;
    return busy;
}

static void settle(struct log *l)
{
    for (uint32_t i = 0; i < turns_max && (turn(l) || l->waiting || l->io.in_flight); i++)
        ;
}

static bool open_log(struct log *l)
{
    char why[256] = "";
    struct plog_open o = {.fs = fs_real(),
                          .log_dir = l->dir,
                          .topic = STR("micro"),
                          .topic_id = {{1}},
                          .config = {.segment_bytes = 1 << 30,
                                     .segment_ms = INT64_MAX,
                                     .segment_index_bytes = 10 << 20,
                                     .index_interval_bytes = 4096,
                                     .retention_ms = -1,
                                     .retention_bytes = -1,
                                     .max_message_bytes = 1 << 20,
                                     .timestamp_before_max_ms = INT64_MAX,
                                     .timestamp_after_max_ms = INT64_MAX,
                                     .flush_messages = INT64_MAX,
                                     .flush_ms = INT64_MAX,
                                     .producer_expiration_ms = 86400000,
                                     .cleanup_delete = true},
                          .recovery_point = 0,
                          .log_start = -1,
                          .wall_ms = l->wall_ms,
                          .durability = PLOG_OS};
    if (plog_open(&l->plog, &o, why, sizeof(why)) < 0) {
        fprintf(stderr, "sluice-micro: %s\n", why);
        return false;
    }
    plog_attach(l->plog, &l->env);
    l->appended = 0;
    return true;
}

struct detaching {
    struct plog_detach d;
    bool done;
};

static void on_detached(struct plog_detach *d)
{
    ((struct detaching *)d)->done = true;
}

static void remove_log(struct log *l)
{
    struct detaching d = {.d = {.done = on_detached}};
    plog_detach(l->plog, &d.d);
    for (uint32_t i = 0; i < turns_max && !d.done; i++)
        turn(l);
    settle(l);
    plog_remove(l->plog);
    l->plog = NULL;
}

static void log_free(void *ctx)
{
    struct log *l = ctx;
    if (l->plog)
        remove_log(l);
    chain_free(&l->batch);
    if (l->cache) {
        plog_env_fini(&l->env);
        cache_free(l->cache);
        worker_fini(&l->worker);
        agent_fini(&l->agent);
        rte_mempool_free(l->pool);
        mem_fini(&l->mem);
        ring_fini(&l->ring);
    }
    rmdir(l->dir);
    free(l);
}

static bool shard_up(struct log *l)
{
    struct mem_plan plan;
    if (mem_plan_make(log_memory_bytes, 1, &plan) < 0 || mem_init(&l->mem, &plan, 0) < 0)
        return false;
    if (ring_init(&l->ring, 256, NULL, 0) < 0 ||
        agent_init(&l->agent, "shard", 0, 256, NULL, NULL) < 0 ||
        worker_init(&l->worker, "worker", 1) < 0 ||
        cache_new(&l->cache, &l->mem, &l->agent, plog_evict) < 0)
        abort(); /* nothing that a benchmark could go on from */
    io_uring_backend_init(&l->io, &l->ring);
    wheel_init(&l->wheel, l->now_ns);
    l->pool =
        rte_pktmbuf_pool_create("micro-log", 255, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    l->env = (struct plog_env){.self = &l->agent,
                               .worker = &l->worker.agent,
                               .wheel = &l->wheel,
                               .mem = &l->mem,
                               .cache = l->cache,
                               .io = &l->io.io,
                               .fs = fs_real(),
                               .clock = clock_system(),
                               .now_ns = &l->now_ns,
                               .wall_ms = &l->wall_ms,
                               .durability = PLOG_OS,
                               .disk_error = on_disk_error,
                               .ctx = l};
    return l->pool != NULL;
}

static bool make_batch(struct log *l, uint32_t records)
{
    struct bench_batch b;
    struct bench_batch_spec spec = {.records = records, .value_bytes = 100};
    struct rng rng;
    rng_seed(&rng, records);
    if (bench_batch_make(&b, &spec, l->wall_ms, &rng) < 0)
        return false;
    bool ok = chain_append_bytes(&l->batch, l->pool, b.bytes, b.len) == 0;
    bench_batch_free(&b);
    return ok;
}

static struct log *log_new(uint32_t records)
{
    struct log *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    chain_init(&l->batch);
    const char *tmp = getenv("TMPDIR");
    snprintf(l->dir, sizeof(l->dir), "%.40s/sluice-micro-XXXXXX", tmp ? tmp : "/tmp");
    l->now_ns = clock_mono_ns(clock_system());
    l->wall_ms = clock_wall_ms(clock_system());
    if (!mkdtemp(l->dir) || !shard_up(l) || !make_batch(l, records) || !open_log(l)) {
        log_free(l);
        return NULL;
    }
    return l;
}

/* ---- append ---- */

static void on_appended(struct plog_append *a)
{
    struct appending *x = (struct appending *)a;
    x->log->waiting--;
    if (a->error)
        abort();
}

static void run_append(void *ctx, uint32_t n)
{
    struct log *l = ctx;
    for (uint32_t i = 0; i < n; i++) {
        struct plog_append *a = &l->append[i % appends_max].a;
        a->records = (struct chain_view){chain_pos_at(&l->batch, 0), (uint32_t)l->batch.bytes};
        a->from_client = true;
        a->done = on_appended;
        l->append[i % appends_max].log = l;
        l->waiting++;
        if (plog_append(l->plog, a) != 0)
            abort(); /* the settling in between makes room for more than a burst */
        l->appended += l->batch.bytes;
    }
}

static void settle_append(void *ctx)
{
    struct log *l = ctx;
    settle(l);
    if (l->appended < log_bytes_max)
        return;
    remove_log(l);
    if (!open_log(l))
        abort();
}

/* ---- read ---- */

static void on_read(struct plog_read *r)
{
}

static void run_read(void *ctx, uint32_t n)
{
    struct log *l = ctx;
    for (uint32_t i = 0; i < n; i++) {
        struct plog_read r = {
            .offset = 0, .max_bytes = read_bytes, .min_one = true, .done = on_read};
        chain_init(&r.data);
        plog_read(l->plog, &r);
        if (r.error || r.data.bytes == 0)
            abort(); /* all of it is in memory */
        chain_free(&r.data);
    }
}

static void *setup_read(void)
{
    struct log *l = log_new(150);
    if (!l)
        return NULL;
    for (uint32_t i = 0; i < 2; i++) {
        run_append(l, appends_max);
        settle(l);
    }
    return l;
}

static void *setup_one(void)
{
    return log_new(1);
}

static void *setup_many(void)
{
    return log_new(150);
}

/* ---- index ---- */

static void index_free(void *ctx)
{
    struct index *x = ctx;
    free(x->map);
    free(x);
}

static void *setup_index(void)
{
    struct index *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->max = index_entries;
    x->map = calloc(index_entries, offset_index_entry_bytes);
    if (!x->map) {
        index_free(x);
        return NULL;
    }
    for (uint32_t i = 1; i <= index_entries; i++)
        offset_index_add(x, i * 37, i * 4200);
    return x;
}

static void run_index(void *ctx, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += offset_index_lookup(ctx, i * 2654435761u % (index_entries * 37));
    micro_keep(sum);
}

static const struct micro_case cases[] = {
    {.shim = {"log_append/1", appends_max, 175, setup_one, run_append, settle_append, log_free,
              NULL}},
    {.shim = {"log_append/150", appends_max, 16500, setup_many, run_append, settle_append, log_free,
              NULL}},
    {.shim = {"log_read/1M", 16, read_bytes, setup_read, run_read, NULL, log_free, NULL}},
    {.shim = {"index_lookup", 1024, 0, setup_index, run_index, NULL, index_free, NULL}},
};
const struct micro_group micro_log = {cases, sizeof(cases) / sizeof(*cases)};
