#include "bench/micro/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_mbuf.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "bench/batch.h"

#define log_memory_bytes (64 * MIB)
#define log_bytes_max    (192 * MIB) /* then it is made anew */
#define turns_max        100000      /* then it sleeps between them */
#define settle_s_max     120
#define detaches_max     1000 /* looks whether the log has let go */

static void on_disk_error(struct plog_env *env, struct plog *plog, int err)
{
    abort(); /* no figure without a disk */
}

/* ---- the loop ---- */

bool rig_turn(struct rig *r)
{
    struct shard *s = &r->shard;
    s->now_ns = clock_mono_ns(s->clock);
    agent_enter(&s->agent);
    bool busy = ring_reap(&r->ring, 256) > 0;
    busy |= plog_env_run(&r->env, s->now_ns, 256) > 0;
    busy |= cache_run(r->cache, s->now_ns, 256) > 0;
    ring_submit(&r->ring);
    agent_flush(&s->agent);
    busy |= worker_step(&r->worker, 16) > 0;
    busy |= agent_receive(&s->agent, 64) > 0;
    busy |= wheel_run(&s->wheel, s->now_ns, 64) > 0;
    return busy;
}

/* The disk may be busy with others: who has turned in vain for long leaves it the processor. */
static void settle(struct rig *r)
{
    const struct timespec pause = {.tv_nsec = 100000};
    int64_t end = clock_mono_ns(clock_system()) + settle_s_max * CLOCK_NS_PER_S;
    uint32_t turns = 0;
    while (rig_turn(r) || r->waiting || r->io.in_flight) {
        CHECK(clock_mono_ns(clock_system()) < end); /* what is under way refers to the rig */
        if (++turns > turns_max)
            nanosleep(&pause, NULL);
    }
}

/* ---- the log ---- */

static bool open_log(struct rig *r)
{
    char why[256] = "";
    struct plog_open o = {.fs = fs_real(),
                          .log_dir = r->dir,
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
                          .wall_ms = r->shard.wall_ms,
                          .durability = PLOG_OS};
    if (plog_open(&r->plog, &o, why, sizeof(why)) < 0) {
        fprintf(stderr, "sluice-micro: %s\n", why);
        return false;
    }
    plog_attach(r->plog, &r->env);
    r->appended = 0;
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

static void remove_log(struct rig *r)
{
    struct detaching d = {.d = {.done = on_detached}};
    plog_detach(r->plog, &d.d);
    for (uint32_t i = 0; i < detaches_max && !d.done; i++) {
        rig_turn(r);
        settle(r);
    }
    if (!d.done)
        abort();
    plog_remove(r->plog);
    r->plog = NULL;
}

void rig_settle(struct rig *r)
{
    settle(r);
    if (r->appended < log_bytes_max)
        return;
    remove_log(r);
    if (!open_log(r))
        abort();
}

static void on_appended(struct plog_append *a)
{
    struct rig_append *x = (struct rig_append *)a;
    x->rig->waiting--;
    if (a->error)
        abort();
}

void rig_append(struct rig *r, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct plog_append *a = &r->append[i % rig_appends_max].a;
        a->records = (struct chain_view){chain_pos_at(&r->batch, 0), (uint32_t)r->batch.bytes};
        a->from_client = true;
        a->done = on_appended;
        r->append[i % rig_appends_max].rig = r;
        r->waiting++;
        if (plog_append(r->plog, a) != 0)
            abort(); /* the settling in between makes room for more than a burst */
        r->appended += r->batch.bytes;
    }
}

/* ---- the shard around it ---- */

static bool name_memory(struct rig *r, uint32_t chunks)
{
    struct rng rng;
    rng_seed(&rng, (uint64_t)clock_wall_ms(r->shard.clock) << 20 ^ (uint64_t)getpid());
    struct uuid id = uuid_random(&rng);
    int err = region_make(&r->region, fs_real(), &id, 0, 1, chunks);
    if (err < 0) {
        fprintf(stderr, "sluice-micro: no named log memory: %s\n", err_text(err));
        return false;
    }
    cache_use_region(r->cache, &r->region);
    r->named = true;
    return true;
}

static bool shard_up(struct rig *r, bool named)
{
    struct mem_plan plan;
    struct shard_options o = {
        .cpu = -1, .poll = SHARD_POLL_ALWAYS, .clock = clock_system(), .seed = 1};
    if (mem_plan_make(log_memory_bytes, 1, &plan) < 0 || shard_init(&r->shard, &o, &plan) < 0)
        return false;
    if (ring_init(&r->ring, 256, NULL, 0) < 0 || worker_init(&r->worker, "worker", 1) < 0 ||
        cache_new(&r->cache, &r->shard.mem, &r->shard.agent, plog_evict) < 0)
        abort(); /* nothing that a benchmark could go on from */
    r->up = true;
    io_uring_backend_init(&r->io, &r->ring);
    r->pool =
        rte_pktmbuf_pool_create("micro-log", 255, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    r->env = (struct plog_env){.self = &r->shard.agent,
                               .worker = &r->worker.agent,
                               .wheel = &r->shard.wheel,
                               .mem = &r->shard.mem,
                               .cache = r->cache,
                               .io = &r->io.io,
                               .fs = fs_real(),
                               .clock = r->shard.clock,
                               .now_ns = &r->shard.now_ns,
                               .wall_ms = &r->shard.wall_ms,
                               .durability = PLOG_OS,
                               .disk_error = on_disk_error,
                               .ctx = r};
    return r->pool != NULL && (!named || name_memory(r, plan.log_chunks));
}

static bool make_batch(struct rig *r, uint32_t records)
{
    struct bench_batch b;
    struct bench_batch_spec spec = {.records = records, .value_bytes = 100};
    struct rng rng;
    rng_seed(&rng, records);
    if (bench_batch_make(&b, &spec, r->shard.wall_ms, &rng) < 0)
        return false;
    bool ok = chain_append_bytes(&r->batch, r->pool, b.bytes, b.len) == 0;
    bench_batch_free(&b);
    return ok;
}

void rig_free(void *ctx)
{
    struct rig *r = ctx;
    if (r->plog)
        remove_log(r);
    chain_free(&r->batch);
    if (r->up) {
        plog_env_fini(&r->env);
        cache_free(r->cache);
        worker_fini(&r->worker);
        rte_mempool_free(r->pool);
        shard_fini(&r->shard);
        ring_fini(&r->ring);
    }
    if (r->named)
        region_remove(&r->region);
    rmdir(r->dir);
    free(r);
}

struct rig *rig_new(uint32_t records, bool named)
{
    struct rig *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    chain_init(&r->batch);
    const char *tmp = getenv("TMPDIR");
    snprintf(r->dir, sizeof(r->dir), "%.40s/sluice-micro-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(r->dir) || !shard_up(r, named) || !make_batch(r, records) || !open_log(r)) {
        rig_free(r);
        return NULL;
    }
    return r;
}
