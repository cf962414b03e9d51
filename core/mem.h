/*
 * mem: the budget. All memory of the data path is taken at start from `sluice.memory`.
 *
 * Purpose: a plan divides the total over shards and uses; each shard then has its mbuf pools, its
 * log memory, and counters from which requests reserve before their bytes are read.
 * Owner: the plan is the composition root's; a struct mem belongs to its shard (mempools may be
 * given back to from other threads, reserves only from the shard).
 * Memory: mempools from EAL's heap; log memory from one anonymous mapping (huge pages when there
 * are any). Failure: mem_init answers ERR_NO_MEMORY and has released everything.
 */
#ifndef CORE_MEM_H
#define CORE_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct rte_mempool;

/*
 * Shares of one shard in bytes and counts; the sum over shards, with what the pools cost beside
 * their data, is at most the total. EAL's own needs (eal_own_mb) come on top.
 */
struct mem_plan {
    uint64_t total_bytes; /* sluice.memory */
    uint32_t shards;
    uint32_t rx_bufs;       /* receive mbufs of rx_buffer_bytes */
    uint32_t tx_bufs;       /* mbufs of tx_buffer_bytes for headers and replies */
    uint32_t ref_bufs;      /* mbufs without data room: indirect and external */
    uint32_t log_chunks;    /* chunks of tail_chunk_bytes */
    uint32_t read_chunks;   /* and those that old data is read into from the disk */
    uint64_t request_bytes; /* what requests may reserve at once */
    uint64_t request_max;   /* largest single request that can be admitted, bytes */
};

#define tx_buffer_bytes      2048
#define memory_bytes_min     (64 * MIB) /* for each shard */
#define memory_bytes_default (512 * MIB)
#define request_bytes_min    (8 * MIB) /* every plan admits a request of this size */
#define read_bytes_min       (1 * MIB) /* of a shard's read memory */
#define read_bytes_chosen    (64 * MIB)
#define eal_own_mb           4 /* EAL's tables, beside the pools */

/*
 * About 32 % of a share become receive buffers, 60 % log and read memory (an eighth of it read
 * memory, at most read_bytes_chosen), the rest headers and references;
 * four fifths of the receive buffers may be promised to requests (the rest is armed, or holds the
 * starts of requests not admitted yet). ERR_INVALID: shards is 0 or over shard_count_max.
 * ERR_TOO_LARGE: memory_bytes_min for each of so many shards is over the total.
 */
int mem_plan_make(uint64_t total_bytes, uint32_t shards, struct mem_plan *out);

/*
 * Gives read memory that many bytes, rounded to chunks, out of what is planned for both: at least
 * read_bytes_min, at most half.
 */
void mem_plan_reads(struct mem_plan *plan, uint64_t bytes);

/* Megabytes that EAL's heap needs for this plan (its -m). */
uint32_t mem_plan_eal_mb(const struct mem_plan *plan);

/* A reserve: bytes promised out of a limit. One owner, no locking. */
struct reserve {
    uint64_t limit, used, peak, refused;
};

static inline bool reserve_take(struct reserve *r, uint64_t bytes)
{
    if (bytes > r->limit - r->used) {
        r->refused++;
        return false;
    }
    r->used += bytes;
    if (r->used > r->peak)
        r->peak = r->used;
    return true;
}

void reserve_give(struct reserve *r, uint64_t bytes); /* CHECKs that it was taken */

struct mem {
    struct rte_mempool *rx_pool;  /* data room: headroom + rx_buffer_bytes */
    struct rte_mempool *tx_pool;  /* data room: headroom + tx_buffer_bytes */
    struct rte_mempool *ref_pool; /* no data room */
    uint8_t *log_base;            /* log_chunks * tail_chunk_bytes, 4 KiB aligned (2 MiB if huge) */
    uint64_t log_bytes;
    bool log_foreign;   /* log_base came from mem_log_use */
    uint8_t *read_base; /* read_chunks * tail_chunk_bytes, aligned likewise */
    uint64_t read_bytes;
    struct reserve requests;
    uint64_t request_max;
};

/*
 * Pools are named after the shard's index and the address of m, so that several brokers fit in one
 * process. Needs EAL.
 */
int mem_init(struct mem *m, const struct mem_plan *plan, uint32_t shard_index);
/*
 * Puts other memory of log_bytes, aligned to 4 KiB, in the place of the log memory, before anybody
 * uses it; it stays the caller's and outlives m.
 */
void mem_log_use(struct mem *m, uint8_t *base);
/* After every mbuf has come back. NULL is accepted. */
void mem_fini(struct mem *m);

#endif
