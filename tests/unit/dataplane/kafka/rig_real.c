/* The rig's logs as real ones, on a simulated disk for each shard. */
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "core/worker.h"
#include "storage/io/sim.h"
#include "tests/unit/dataplane/kafka/rig.h"

#define real_dir         "/data"
#define real_logs_max    32
#define real_steps_max   64
#define worker_index     (shard_count_max + 2)
#define record_bytes_max 16 /* of a record beside its value */

struct rig_disk {
    struct io_sim sim;
    struct plog_env env;
    struct worker worker;
    struct plog *logs[real_logs_max];
    uint32_t log_count, detached;
    struct plog_detach detach[real_logs_max];
    struct rig_shard *shard;
};

static void on_disk_error(struct plog_env *env, struct plog *plog, int err)
{
    (void)env;
    (void)plog;
    (void)err;
    CU_FAIL("the disk failed");
}

static uint32_t run_disk(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct rig_disk *d = ctx;
    uint32_t n = cache_run(d->shard->cache, now_ns, budget);
    n += plog_env_run(&d->env, now_ns, budget);
    for (int i = 0; i < real_steps_max && io_sim_step(&d->sim); i++)
        n++;
    agent_flush(&d->shard->shard.agent);
    agent_enter(&d->worker.agent);
    n += worker_step(&d->worker, 16);
    agent_flush(&d->worker.agent);
    agent_enter(&d->shard->shard.agent);
    return n;
}

void rig_logs_up(struct rig *g, struct rig_shard *s)
{
    struct rig_disk *d = calloc(1, sizeof(*d));
    CHECK(d != NULL);
    s->disk = d;
    d->shard = s;
    io_sim_init(&d->sim, rng_u64(&g->rng));
    d->sim.wall_ms = g->clock.wall / CLOCK_NS_PER_MS;
    CHECK(worker_init(&d->worker, "worker", worker_index + s->shard.index) == 0);
    CHECK(cache_new(&s->cache, &s->shard.mem, &s->shard.agent, plog_evict) == 0);
    d->env = (struct plog_env){
        .self = &s->shard.agent,
        .worker = &d->worker.agent,
        .wheel = &s->shard.wheel,
        .mem = &s->shard.mem,
        .cache = s->cache,
        .io = &d->sim.io,
        .fs = &d->sim.fs,
        .clock = &g->clock.clock,
        .now_ns = &s->shard.now_ns,
        .wall_ms = &s->shard.wall_ms,
        .durability = g->o.durability,
        .disk_error = on_disk_error,
    };
    CHECK(d->sim.fs.ops->mkdir(&d->sim.fs, real_dir) == 0);
    CHECK(shard_add_stage(&s->shard, "disk", run_disk, d, 1000) == 0);
}

struct plog *rig_logs_open(struct rig *g, struct rig_shard *s, const struct rig_topic *t,
                           int32_t partition)
{
    struct rig_disk *d = s->disk;
    char why[256];
    struct plog_open o = {
        .fs = &d->sim.fs,
        .log_dir = real_dir,
        .topic = t->view.name,
        .partition = partition,
        .topic_id = t->view.id,
        .recovery_point = -1,
        .log_start = -1,
        .wall_ms = g->clock.wall / CLOCK_NS_PER_MS,
        .durability = g->o.durability,
        .config =
            {
                .segment_bytes = 4 << 20,
                .segment_ms = INT64_MAX,
                .segment_index_bytes = 1 << 20,
                .index_interval_bytes = 4096,
                .retention_ms = -1,
                .retention_bytes = -1,
                .file_delete_delay_ms = 60000,
                .max_message_bytes = 1 << 20,
                .timestamp_before_max_ms = INT64_MAX,
                .timestamp_after_max_ms = INT64_MAX,
                .flush_messages = INT64_MAX,
                .flush_ms = INT64_MAX,
                .producer_expiration_ms = 86400000,
                .cleanup_delete = true,
            },
    };
    CHECK(d->log_count < real_logs_max);
    struct plog *p;
    CHECK(plog_open(&p, &o, why, sizeof(why)) == 0);
    agent_enter(&s->shard.agent);
    plog_attach(p, &d->env);
    d->logs[d->log_count++] = p;
    return p;
}

void rig_logs_release(struct rig *g)
{
    (void)g;
}

static struct rig_disk *detaching;

static void on_detached(struct plog_detach *detach)
{
    (void)detach;
    detaching->detached++;
}

void rig_logs_down(struct rig *g, struct rig_shard *s)
{
    struct rig_disk *d = s->disk;
    detaching = d;
    agent_enter(&s->shard.agent);
    for (uint32_t i = 0; i < d->log_count; i++) {
        d->detach[i].done = on_detached;
        plog_detach(d->logs[i], &d->detach[i]);
    }
    for (int i = 0; i < 10000 && d->detached < d->log_count; i++) {
        run_disk(d, g->clock.mono, 1000);
        agent_receive(&s->shard.agent, 1000);
    }
    CU_ASSERT_EQUAL(d->detached, d->log_count);
    for (uint32_t i = 0; i < d->log_count; i++)
        CU_ASSERT_EQUAL(plog_close(d->logs[i]), 0);
    plog_env_fini(&d->env);
    cache_free(s->cache);
    worker_fini(&d->worker);
    io_sim_free(&d->sim);
    free(d);
}

/* Records of random values, about body_bytes long in all; a right checksum. */
uint32_t rig_batch(struct rig *g, uint8_t *out, int32_t records, uint32_t body_bytes,
                   int64_t max_ms)
{
    uint8_t *p = out + 61;
    uint32_t value = body_bytes / (uint32_t)records;
    value = value > record_bytes_max ? value - record_bytes_max : 1;
    for (int32_t i = 0; i < records; i++) {
        uint8_t r[64], *q = r;
        *q++ = 0; /* attributes */
        q += bytes_put_varint64(q, 0);
        q += bytes_put_varint32(q, i);
        q += bytes_put_varint32(q, -1); /* no key */
        q += bytes_put_varint32(q, (int32_t)value);
        p += bytes_put_varint32(p, (int32_t)((uint32_t)(q - r) + value + 1));
        memcpy(p, r, (size_t)(q - r));
        p += q - r;
        rng_fill(&g->rng, p, value);
        p += value;
        *p++ = 0; /* headers */
    }
    uint32_t len = (uint32_t)(p - out);
    CHECK(len <= rig_batch_bytes_max);
    memset(out, 0, 61);
    bytes_put_u32(out + 8, len - 12);
    memset(out + 12, 0xff, 4);
    out[16] = 2;
    bytes_put_u32(out + 23, (uint32_t)(records - 1));
    bytes_put_u64(out + 27, (uint64_t)max_ms);
    bytes_put_u64(out + 35, (uint64_t)max_ms);
    memset(out + 43, 0xff, 14);
    bytes_put_u32(out + 57, (uint32_t)records);
    bytes_put_u32(out + 17, crc32c(0, out + 21, len - 21));
    return len;
}
