/* mem: plans add up, pools of a plan really fit, reserves hold their limit. */
#include "core/mem.h"

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "tests/unit/core/with_eal.h"

static void check_plan(uint64_t total, uint32_t shards)
{
    struct mem_plan p;
    CU_ASSERT_EQUAL_FATAL(mem_plan_make(total, shards, &p), 0);
    CU_ASSERT_EQUAL(p.total_bytes, total);
    CU_ASSERT_EQUAL(p.shards, shards);
    uint64_t reads = (uint64_t)p.read_chunks * tail_chunk_bytes;
    uint64_t log = (uint64_t)p.log_chunks * tail_chunk_bytes + reads;
    uint64_t rx = (uint64_t)p.rx_bufs * rx_buffer_bytes;
    uint64_t share = total / shards;
    /* The pools with all they cost, and the log memory, are within the total. */
    uint64_t pools = ((uint64_t)mem_plan_eal_mb(&p) - eal_own_mb - 1) * MIB;
    CU_ASSERT(pools + log * shards <= total);
    CU_ASSERT(pools + log * shards >= total / 100 * 97);
    CU_ASSERT(rx >= share / 4 && rx <= share / 100 * 35);
    CU_ASSERT(log >= share / 100 * 55 && log <= share / 100 * 62);
    CU_ASSERT(reads >= read_bytes_min && reads <= read_bytes_chosen);
    CU_ASSERT(reads <= log / 8);
    CU_ASSERT(reads >= log / 9 || reads == read_bytes_chosen);
    CU_ASSERT(p.request_max >= request_bytes_min);
    CU_ASSERT(p.request_max <= p.request_bytes);
    CU_ASSERT(p.request_bytes <= rx);
    CU_ASSERT(p.tx_bufs >= 1000 && p.ref_bufs >= 5 * p.tx_bufs);
}

static void plans(void)
{
    check_plan(memory_bytes_min, 1);
    check_plan(512 * MIB, 1);
    check_plan(512 * MIB, 2);
    check_plan(512 * MIB, 8);
    check_plan(4 * GIB, 1);
    check_plan(4 * GIB, 8);
    check_plan(4 * GIB, shard_count_max);
    check_plan(256 * GIB, 4);
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 2000; i++) {
        uint32_t shards = 1 + (uint32_t)rng_below(&rng, shard_count_max);
        check_plan(shards * memory_bytes_min + rng_below(&rng, 64 * GIB), shards);
    }
}

/* Read memory as told, between its least and half of what there is; the sum stays. */
static void plans_of_reads(void)
{
    struct mem_plan p;
    CU_ASSERT_EQUAL_FATAL(mem_plan_make(512 * MIB, 1, &p), 0);
    uint32_t both = p.log_chunks + p.read_chunks;
    mem_plan_reads(&p, 16 * MIB);
    CU_ASSERT_EQUAL(p.read_chunks, 16 * MIB / tail_chunk_bytes);
    CU_ASSERT_EQUAL(p.log_chunks + p.read_chunks, both);
    mem_plan_reads(&p, read_bytes_min);
    CU_ASSERT_EQUAL(p.read_chunks, read_bytes_min / tail_chunk_bytes);
    mem_plan_reads(&p, read_bytes_min - 1);
    CU_ASSERT_EQUAL(p.read_chunks, read_bytes_min / tail_chunk_bytes);
    mem_plan_reads(&p, UINT64_MAX);
    CU_ASSERT_EQUAL(p.read_chunks, both / 2);
    CU_ASSERT_EQUAL(p.log_chunks + p.read_chunks, both);
}

static void plans_refused(void)
{
    struct mem_plan p = {.shards = 77}, before = p;
    CU_ASSERT_EQUAL(mem_plan_make(memory_bytes_min - 1, 1, &p), ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(mem_plan_make(2 * memory_bytes_min - 1, 2, &p), ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(mem_plan_make(GIB, 0, &p), ERR_INVALID);
    CU_ASSERT_EQUAL(mem_plan_make(64 * GIB, shard_count_max + 1, &p), ERR_INVALID);
    CU_ASSERT_EQUAL(memcmp(&p, &before, sizeof(p)), 0);
}

static void reserves(void)
{
    struct reserve r = {.limit = 100};
    CU_ASSERT(reserve_take(&r, 60));
    CU_ASSERT_FALSE(reserve_take(&r, 41));
    CU_ASSERT_FALSE(reserve_take(&r, UINT64_MAX));
    CU_ASSERT(reserve_take(&r, 40));
    CU_ASSERT_FALSE(reserve_take(&r, 1));
    CU_ASSERT(reserve_take(&r, 0));
    CU_ASSERT_EQUAL(r.refused, 3);
    reserve_give(&r, 70);
    CU_ASSERT(reserve_take(&r, 10));
    CU_ASSERT(r.used == 40 && r.peak == 100);
}

/* Takes every mbuf and uses both ends of its room; the count must be the plan's. */
static bool drain(struct rte_mempool *pool, uint32_t bufs, uint32_t room)
{
    struct rte_mbuf *all = NULL;
    uint32_t n = 0;
    for (struct rte_mbuf *m; (m = rte_pktmbuf_alloc(pool)) != NULL; n++) {
        if (rte_pktmbuf_tailroom(m) != room)
            return false;
        if (room > 0) {
            memset(rte_pktmbuf_mtod(m, void *), 1, 1);
            memset(rte_pktmbuf_mtod_offset(m, void *, room - 1), 1, 1);
        }
        m->next = all;
        all = m;
    }
    while (all != NULL) {
        struct rte_mbuf *next = all->next;
        all->next = NULL;
        rte_pktmbuf_free(all);
        all = next;
    }
    return n == bufs;
}

struct size {
    uint64_t total;
    uint32_t shards;
};

static bool use_shard(struct mem *m, const struct mem_plan *plan)
{
    bool ok = drain(m->rx_pool, plan->rx_bufs, rx_buffer_bytes) &&
              drain(m->tx_pool, plan->tx_bufs, tx_buffer_bytes) &&
              drain(m->ref_pool, plan->ref_bufs, 0);
    ok = ok && m->log_bytes == (uint64_t)plan->log_chunks * tail_chunk_bytes;
    ok = ok && m->read_bytes == (uint64_t)plan->read_chunks * tail_chunk_bytes;
    ok = ok && (uintptr_t)m->log_base % 4096 == 0;
    m->log_base[0] = 1;
    m->log_base[m->log_bytes - 1] = 1;
    m->read_base[0] = m->read_base[m->read_bytes - 1] = 1;
    return ok && m->requests.limit == plan->request_bytes && m->request_max == plan->request_max;
}

/* In a child: EAL with exactly the planned heap, and every shard's pools out of it. */
static int fits(const void *arg)
{
    const struct size *size = arg;
    struct mem_plan plan;
    if (mem_plan_make(size->total, size->shards, &plan) != 0)
        return 2;
    with_eal(mem_plan_eal_mb(&plan));
    static struct mem shards[shard_count_max];
    for (uint32_t i = 0; i < size->shards; i++)
        if (mem_init(&shards[i], &plan, i) != 0)
            return 3;
    for (uint32_t i = 0; i < size->shards; i++)
        if (!use_shard(&shards[i], &plan))
            return 4;
    /* One more does not fit, and leaves nothing behind: the same again after giving back. */
    struct mem more = {0};
    if (mem_init(&more, &plan, size->shards) != ERR_NO_MEMORY || more.rx_pool != NULL)
        return 5;
    for (int round = 0; round < 3; round++) {
        mem_fini(&shards[0]);
        if (mem_init(&shards[0], &plan, 0) != 0)
            return 6;
    }
    for (uint32_t i = 0; i < size->shards; i++)
        mem_fini(&shards[i]);
    mem_fini(NULL);
    return 0;
}

static void planned_pools_fit(void)
{
    const struct size sizes[] = {{64 * MIB, 1}, {128 * MIB, 2}, {512 * MIB, 1}, {512 * MIB, 8}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        CU_ASSERT_EQUAL(with_child(fits, &sizes[i]), 0);
}

UNIT_MAIN("core/mem", UNIT_CASE(plans), UNIT_CASE(plans_of_reads), UNIT_CASE(plans_refused),
          UNIT_CASE(reserves), UNIT_CASE(planned_pools_fit))
