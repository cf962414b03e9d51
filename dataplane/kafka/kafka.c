#include "dataplane/kafka/kafka.h"

#include <rte_mempool.h>
#include <stdlib.h>

#include "dataplane/kafka/kafka_internal.h"

#define run_rounds_max 4 /* answers free what more requests need: so often in one run */

/* ---- life ---- */

static int take_memory(struct kafka *k)
{
    const struct kafka_options *o = &k->o;
    uint32_t seen = 64;
    while (seen < 2 * (uint64_t)o->partition_ops && seen < 1u << 30)
        seen *= 2;
    k->seen_mask = seen - 1;
    k->seen = calloc(seen, sizeof(*k->seen));
    k->scratch = malloc(scratch_bytes);
    if (k->seen == NULL || k->scratch == NULL)
        return ERR_NO_MEMORY;
    int rc = pool_init(&k->conns, sizeof(struct conn), o->conn_max);
    if (rc == 0)
        rc = pool_init(&k->requests, sizeof(struct request), o->request_slots);
    if (rc == 0)
        rc = pool_init(&k->parts, sizeof(struct part), o->partition_ops);
    if (rc == 0)
        rc = sessions_init(&k->sessions, o->fetch_session_slots, k->shard->index, &k->shard->rng);
    return rc;
}

static void expire(struct wheel_timer *timer, int64_t now_ns)
{
    conn_expire(container_of(timer, struct kafka, timer), now_ns);
}

static void init_lists(struct kafka *k)
{
    for (int i = 0; i < CONN_WAIT_COUNT; i++)
        link_init(&k->waiting[i]);
    struct link *heads[] = {&k->flush, &k->resume,      &k->partials,     &k->idle,
                            &k->fired, &k->fetch_ready, &k->fetch_waiting};
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        link_init(heads[i]);
}

static bool options_valid(const struct kafka_options *o)
{
    return o->conn_max > 0 && o->request_slots > 0 && o->partition_ops > 0 &&
           o->request_bytes_max > 0 && o->request_bytes_max <= INT32_MAX &&
           o->request_bytes_max <= o->shard->mem.requests.limit && o->fetch_bytes_max > 0;
}

int kafka_new(struct kafka **out, const struct kafka_options *options)
{
    if (!options_valid(options))
        return ERR_INVALID;
    struct kafka *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return ERR_NO_MEMORY;
    k->o = *options;
    k->shard = options->shard;
    k->self = &options->shard->agent;
    k->reserve = &options->shard->mem.requests;
    k->timer.fire = expire;
    k->park_waiter.ready = produce_unpark;
    k->removals = options->view->removals;
    init_lists(k);
    int rc = take_memory(k);
    if (rc < 0) {
        kafka_free(k);
        return rc;
    }
    struct cache_stats stats;
    cache_stats(options->cache, &stats);
    k->park_chunks = stats.chunks / 2 > 0 ? stats.chunks / 2 : 1;
    if (k->park_chunks > park_chunks_max)
        k->park_chunks = park_chunks_max;
    for (int i = 0; i < STAGE_CLASS_COUNT; i++)
        for (int j = 0; j < STAMP_COUNT; j++)
            hist_init(&k->clocks.gap[i][j]);
    conn_events(k);
    conn_ahead(k);
    if (options->admission != NULL)
        admission_join(options->admission, k->shard->index, k);
    *out = k;
    return 0;
}

void kafka_free(struct kafka *k)
{
    if (k == NULL)
        return;
    wheel_cancel(&k->shard->wheel, &k->timer);
    cache_wait_cancel(k->o.cache, &k->park_waiter);
    if (k->o.admission != NULL)
        admission_join(k->o.admission, k->shard->index, NULL);
    sessions_fini(&k->sessions);
    pool_fini(&k->conns);
    pool_fini(&k->requests);
    pool_fini(&k->parts);
    free(k->seen);
    free(k->scratch);
    free(k);
}

const struct transport_events *kafka_events(struct kafka *k)
{
    return &k->events;
}

const struct kafka_counters *kafka_counters(const struct kafka *k)
{
    return &k->counters;
}

const struct stage_clocks *kafka_stage_clocks(const struct kafka *k)
{
    return &k->clocks;
}

struct kafka *kafka_peer(struct kafka *k, uint32_t shard)
{
    if (shard == k->shard->index || k->o.admission == NULL)
        return k;
    struct kafka *peer = admission_peer(k->o.admission, shard);
    CHECK(peer != NULL);
    return peer;
}

struct arena *kafka_arena(struct kafka *k)
{
    arena_init_fixed(&k->arena, k->scratch, scratch_bytes);
    return &k->arena;
}

/* ---- the stage ---- */

static uint32_t flush_replies(struct kafka *k)
{
    struct link now;
    link_take_all(&now, &k->flush);
    uint32_t n = 0;
    while (!link_alone(&now)) {
        struct conn *c = container_of(now.next, struct conn, flush_link);
        link_remove(&c->flush_link);
        reply_flush(c);
        n++;
    }
    return n;
}

static void check_rx_pool(struct kafka *k, int64_t now_ns)
{
    if (link_alone(&k->partials) || now_ns - k->rx_checked_ns < rx_low_check_ns)
        return;
    k->rx_checked_ns = now_ns;
    struct rte_mempool *pool = k->shard->mem.rx_pool;
    bool low = rte_mempool_avail_count(pool) < pool->size / 16;
    bool fell = low && !k->rx_low;
    k->rx_low = low;
    if (fell)
        conn_expire(k, now_ns);
}

uint32_t kafka_run(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct kafka *k = ctx;
    uint32_t work = 0;
    if (k->removals != k->o.view->removals) {
        k->removals = k->o.view->removals;
        fetch_wake_all(k, true);
    }
    if (k->o.admission != NULL && admission_owed(k->o.admission, k->shard->index) > 0)
        conn_close_excess(k);
    for (int round = 0; round < run_rounds_max; round++) {
        uint32_t n = waiters_run(k, budget);
        n += conn_serve_waiting(k, budget);
        n += flush_replies(k);
        work += n;
        if (n == 0 || work >= budget)
            break;
    }
    check_rx_pool(k, now_ns);
    return work;
}

bool kafka_drain(struct kafka *k)
{
    if (!k->draining) {
        k->draining = true;
        fetch_wake_all(k, false);
    }
    return k->counters.requests_in_work == 0 && link_alone(&k->flush);
}
