/* The rig's logs as doubles. */
#include <string.h>

#include "base/check.h"
#include "tests/unit/dataplane/kafka/rig.h"

static void no_evict(struct chunk *chunk)
{
    (void)chunk;
    CHECK(!"the double keeps no chunks");
}

static uint32_t run_logs(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct rig_shard *s = ctx;
    uint32_t n = 0;
    (void)now_ns;
    (void)budget;
    for (struct plog *p = s->logs; p != NULL; p = p->next)
        if (!p->hold_flush)
            n += plog_double_flush(p);
    return n;
}

void rig_logs_up(struct rig *g, struct rig_shard *s)
{
    (void)g;
    CHECK(cache_new(&s->cache, &s->shard.mem, &s->shard.agent, no_evict) == 0);
    CHECK(shard_add_stage(&s->shard, "logs", run_logs, s, 1000) == 0);
}

struct plog *rig_logs_open(struct rig *g, struct rig_shard *s, const struct rig_topic *t,
                           int32_t partition)
{
    (void)g;
    (void)t;
    (void)partition;
    struct plog *log = plog_double_new(s->shard.mem.tx_pool);
    log->next = s->logs;
    s->logs = log;
    return log;
}

void rig_logs_release(struct rig *g)
{
    for (uint32_t i = 0; i < g->shard_count; i++)
        for (struct plog *p = g->shards[i].logs; p != NULL; p = p->next) {
            p->hold_flush = p->hold_reads = p->no_memory = false;
            plog_double_release_reads(p);
        }
}

void rig_logs_down(struct rig *g, struct rig_shard *s)
{
    (void)g;
    while (s->logs != NULL) {
        struct plog *p = s->logs;
        s->logs = p->next;
        plog_double_free(p);
    }
    cache_free(s->cache);
}

uint32_t rig_batch(struct rig *g, uint8_t *out, int32_t records, uint32_t body_bytes,
                   int64_t max_ms)
{
    uint32_t len = 61 + body_bytes;
    CHECK(len <= rig_batch_bytes_max);
    memset(out, 0, 61);
    bytes_put_u32(out + 8, len - 12);
    out[16] = 2;
    bytes_put_u32(out + 23, (uint32_t)(records - 1));
    bytes_put_u64(out + 27, (uint64_t)max_ms);
    bytes_put_u64(out + 35, (uint64_t)max_ms);
    memset(out + 43, 0xff, 14);
    bytes_put_u32(out + 57, (uint32_t)records);
    rng_fill(&g->rng, out + 61, body_bytes);
    return len;
}

static void fill_done(struct plog_append *a)
{
    (void)a;
}

void rig_fill(struct rig *g, struct plog *log, uint32_t batches, uint32_t body_bytes)
{
    static uint8_t batch[rig_batch_bytes_max];
    for (uint32_t i = 0; i < batches; i++) {
        uint32_t n = rig_batch(g, batch, 1, body_bytes, 1000 + log->end);
        struct plog_append a = {.done = fill_done};
        struct chain c = {0};
        CHECK(chain_append_bytes(&c, g->shards[0].shard.mem.rx_pool, batch, n) == 0);
        a.records = (struct chain_view){{c.head, 0}, n};
        CHECK(plog_append(log, &a) == 0);
        chain_free(&c);
        plog_double_flush(log);
    }
}
