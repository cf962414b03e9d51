#include "core/mem.h"

#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/check.h"
#include "base/err.h"

#define huge_page_bytes (2 * MIB)
#define read_share      8 /* of what is left for log and read memory */
/* Header and alignment that EAL's heap adds to a zone; a pool has three zones. */
#define zone_overhead_bytes 256
#define pool_cache_bufs_max 256

/* Objects lie anywhere: with --iova-mode=va all of the heap is contiguous to a device. */
#define pool_flags RTE_MEMPOOL_F_NO_IOVA_CONTIG
/* Producers and consumers of the pool's ring may be preempted: nobody spins for them. */
#define pool_ops "ring_mt_rts"

/* --- what a pool costs ----------------------------------------------------------------------- */

static uint32_t room_with_headroom(uint32_t data_bytes)
{
    return data_bytes == 0 ? 0 : data_bytes + RTE_PKTMBUF_HEADROOM;
}

static uint32_t element_bytes(uint32_t data_bytes)
{
    return (uint32_t)sizeof(struct rte_mbuf) + room_with_headroom(data_bytes);
}

static uint64_t object_bytes(uint32_t data_bytes)
{
    return rte_mempool_calc_obj_size(element_bytes(data_bytes), pool_flags, NULL);
}

/* The pool's head with one cache for each possible lcore. */
static uint64_t pool_fixed_bytes(void)
{
    return sizeof(struct rte_mempool) + RTE_MAX_LCORE * sizeof(struct rte_mempool_cache) +
           sizeof(struct rte_pktmbuf_pool_private) + sizeof(struct rte_ring) +
           3ULL * zone_overhead_bytes;
}

/* Each object has a pointer in the pool's ring, whose size is the next power of two. */
static uint64_t pool_bytes(uint32_t bufs, uint32_t data_bytes)
{
    return pool_fixed_bytes() + bufs * object_bytes(data_bytes) +
           (uint64_t)rte_align32pow2(bufs + 1) * sizeof(void *);
}

static uint32_t bufs_within(uint64_t bytes, uint32_t data_bytes)
{
    return (uint32_t)(bytes / (object_bytes(data_bytes) + 2 * sizeof(void *)));
}

/* --- the plan -------------------------------------------------------------------------------- */

static uint64_t plan_pool_bytes(const struct mem_plan *plan)
{
    return pool_bytes(plan->rx_bufs, rx_buffer_bytes) + pool_bytes(plan->tx_bufs, tx_buffer_bytes) +
           pool_bytes(plan->ref_bufs, 0);
}

int mem_plan_make(uint64_t total_bytes, uint32_t shards, struct mem_plan *out)
{
    if (shards == 0 || shards > shard_count_max)
        return ERR_INVALID;
    uint64_t share = total_bytes / shards;
    if (share < memory_bytes_min)
        return ERR_TOO_LARGE;

    uint64_t data = share - 3 * pool_fixed_bytes();
    struct mem_plan plan = {
        .total_bytes = total_bytes,
        .shards = shards,
        .rx_bufs = bufs_within(data / 100 * 32, rx_buffer_bytes),
        .tx_bufs = bufs_within(data / 100 * 5, tx_buffer_bytes),
        .ref_bufs = bufs_within(data / 100 * 3, 0),
    };
    uint64_t pools = plan_pool_bytes(&plan);
    CHECK(pools < share);
    plan.log_chunks = (uint32_t)((share - pools) / tail_chunk_bytes);
    plan.request_bytes = (uint64_t)plan.rx_bufs * rx_buffer_bytes / 5 * 4;
    plan.request_max = plan.request_bytes / 2;
    if (plan.request_max < request_bytes_min)
        plan.request_max = request_bytes_min;
    CHECK(plan.request_max <= plan.request_bytes);
    uint64_t reads = (uint64_t)plan.log_chunks * tail_chunk_bytes / read_share;
    mem_plan_reads(&plan, reads < read_bytes_chosen ? reads : read_bytes_chosen);
    *out = plan;
    return 0;
}

void mem_plan_reads(struct mem_plan *plan, uint64_t bytes)
{
    uint32_t both = plan->log_chunks + plan->read_chunks;
    uint64_t most = (uint64_t)both * tail_chunk_bytes / 2;
    if (bytes < read_bytes_min)
        bytes = read_bytes_min;
    if (bytes > most)
        bytes = most;
    plan->read_chunks = (uint32_t)(bytes / tail_chunk_bytes);
    plan->log_chunks = both - plan->read_chunks;
}

uint32_t mem_plan_eal_mb(const struct mem_plan *plan)
{
    uint64_t bytes = plan_pool_bytes(plan) * plan->shards;
    return (uint32_t)((bytes + MIB - 1) / MIB) + eal_own_mb;
}

/* --- reserves -------------------------------------------------------------------------------- */

void reserve_give(struct reserve *r, uint64_t bytes)
{
    CHECK(bytes <= r->used);
    r->used -= bytes;
}

/* --- pools and log memory -------------------------------------------------------------------- */

/*
 * rte_pktmbuf_pool_create would ask for objects that do not cross pages, which with 4 KiB pages
 * rounds each receive buffer up to 20 KiB: hence the same steps with our flags.
 */
static struct rte_mempool *pool_make(const char *use, const struct mem *m, uint32_t shard_index,
                                     uint32_t bufs, uint32_t data_bytes)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof(name), "%s%u.%lx", use, shard_index, (unsigned long)(uintptr_t)m);
    uint32_t cache = bufs / 8 < pool_cache_bufs_max ? bufs / 8 : pool_cache_bufs_max;
    struct rte_mempool *pool = rte_mempool_create_empty(
        name, bufs, element_bytes(data_bytes), cache, sizeof(struct rte_pktmbuf_pool_private),
        SOCKET_ID_ANY, pool_flags);
    if (pool == NULL)
        return NULL;
    struct rte_pktmbuf_pool_private room = {
        .mbuf_data_room_size = (uint16_t)room_with_headroom(data_bytes),
    };
    if (rte_mempool_set_ops_byname(pool, pool_ops, NULL) != 0) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_pktmbuf_pool_init(pool, &room);
    if (rte_mempool_populate_default(pool) < (int)bufs) {
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

static uint64_t whole_huge_pages(uint64_t bytes)
{
    return (bytes + huge_page_bytes - 1) / huge_page_bytes * huge_page_bytes;
}

/* Ordinary pages, aligned so that the kernel can make them huge where it does so on advice. */
static uint8_t *map_aligned(uint64_t bytes)
{
    uint8_t *p = mmap(NULL, bytes + huge_page_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    uint64_t before = whole_huge_pages((uintptr_t)p) - (uintptr_t)p;
    if (before > 0)
        munmap(p, before);
    munmap(p + before + bytes, huge_page_bytes - before);
    madvise(p + before, bytes, MADV_HUGEPAGE); /* a wish: refused where huge pages are off */
    return p + before;
}

static uint8_t *log_map(uint64_t bytes)
{
    if (rte_eal_has_hugepages()) {
        void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
        if (p != MAP_FAILED)
            return p;
    }
    return map_aligned(bytes);
}

int mem_init(struct mem *m, const struct mem_plan *plan, uint32_t shard_index)
{
    struct mem made = {
        .rx_pool = pool_make("rx", m, shard_index, plan->rx_bufs, rx_buffer_bytes),
        .tx_pool = pool_make("tx", m, shard_index, plan->tx_bufs, tx_buffer_bytes),
        .ref_pool = pool_make("ref", m, shard_index, plan->ref_bufs, 0),
        .log_bytes = (uint64_t)plan->log_chunks * tail_chunk_bytes,
        .read_bytes = (uint64_t)plan->read_chunks * tail_chunk_bytes,
        .requests = {.limit = plan->request_bytes},
        .request_max = plan->request_max,
    };
    made.log_base = log_map(whole_huge_pages(made.log_bytes));
    if (made.read_bytes > 0)
        made.read_base = log_map(whole_huge_pages(made.read_bytes));
    if (made.rx_pool == NULL || made.tx_pool == NULL || made.ref_pool == NULL ||
        made.log_base == NULL || (made.read_bytes > 0 && made.read_base == NULL)) {
        mem_fini(&made);
        return ERR_NO_MEMORY;
    }
    *m = made;
    return 0;
}

void mem_log_use(struct mem *m, uint8_t *base)
{
    if (!m->log_foreign)
        munmap(m->log_base, whole_huge_pages(m->log_bytes));
    m->log_base = base;
    m->log_foreign = true;
}

void mem_fini(struct mem *m)
{
    if (m == NULL)
        return;
    rte_mempool_free(m->rx_pool);
    rte_mempool_free(m->tx_pool);
    rte_mempool_free(m->ref_pool);
    if (m->log_base != NULL && !m->log_foreign)
        munmap(m->log_base, whole_huge_pages(m->log_bytes));
    if (m->read_base != NULL)
        munmap(m->read_base, whole_huge_pages(m->read_bytes));
    memset(m, 0, sizeof(*m));
}
