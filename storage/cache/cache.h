/*
 * cache: log memory of a shard, in chunks, counted by references and lent to replies.
 *
 * Purpose: tail buffers of plogs (mem.log_base) and, as an object of its own, buffers of disk reads
 * (mem.read_base): who reads old data does not evict what others read from the tail.
 * Owner: one shard. A chunk is held by its plog (or read) and by every reply range that lends it; a
 * lent range leaves as mbufs with external buffers that share one rte_mbuf_ext_shared_info (so its
 * 16-bit count stays under 60,000) and comes back to this shard by message when the last mbuf is
 * freed elsewhere.
 * Memory: fixed at start; nothing is allocated later. Failure: ERR_FULL when all chunks hold bytes
 * that are not written yet or are being sent; a cache_waiter is told when one came back, or when so
 * many are kept for the next start that it would wait for ever (cache_hopeless).
 * With a region (cache_use_region) the memory outlives the process, and each chunk has a mark there
 * that says what it holds while that is not in a file.
 */
#ifndef STORAGE_CACHE_CACHE_H
#define STORAGE_CACHE_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/chain.h"
#include "core/mailbox.h"
#include "core/mem.h"
#include "storage/cache/region.h"

struct cache;
struct holder;

struct chunk {
    uint8_t *data;                      /* tail_chunk_bytes */
    uint32_t used;                      /* bytes filled */
    uint32_t refs;                      /* holders: owner + lent ranges */
    uint32_t lends;                     /* of them lent ranges */
    int64_t file_pos;                   /* position of data[0] in its segment file */
    struct chunk *next;                 /* the owner's list */
    struct chunk *lru_next, **lru_prev; /* clean and evictable; private to the cache */
    void *owner;    /* who must let go when it is evicted; NULL when the owner let go */
    uint32_t start; /* data before this byte was never there (a tail taken up again) */
    bool clean;     /* private to the cache */
    bool kept;      /* by chunk_keep; private too */
    bool placed;    /* the mark's place is that of this use of the chunk; private too */
    uint64_t place_hash;
};

/*
 * Called when the cache wants a clean chunk back: the owner unlinks it, its hold passes to the
 * cache. Never a chunk that is dirty or lent.
 */
typedef void cache_evict_fn(struct chunk *chunk);

#define lend_chunks_max 16 /* chunks of one lend block; a longer range takes several */

/* ERR_NO_MEMORY. mem outlives the cache. */
int cache_new(struct cache **out, struct mem *mem, struct agent *self, cache_evict_fn *evict);
/*
 * The same over mem's read memory: buffers of disk reads, which are lent to replies as tail buffers
 * are. Whoever takes a chunk gives it back; none is ever clean, so that none is evicted. At most so
 * many reads count chunks (cache_hold) at once.
 */
int cache_new_reads(struct cache **out, struct mem *mem, struct agent *self, uint32_t reads);
void cache_free(struct cache *c);

/*
 * Before anything is taken: puts the region's memory in the place of mem's. The region has as many
 * chunks as the cache and outlives it.
 */
void cache_use_region(struct cache *c, struct region *r);
/* True with a region. */
bool cache_named(const struct cache *c);

/*
 * Says in the region that bytes [start, used) of a dirty chunk are there. `place` counts only the
 * first time after the chunk was taken (position and start are the chunk's own). Without a region:
 * nothing.
 */
void chunk_mark(struct cache *c, struct chunk *chunk, const struct region_place *place);

/*
 * The owner lets go of a dirty chunk whose bytes must outlive the process: chunk and mark stay as
 * they are until then.
 */
void chunk_keep(struct cache *c, struct chunk *chunk);

/* The partition is deleted: what was kept of it is let go of, with its marks. */
void cache_drop_kept(struct cache *c, const struct uuid *topic_id, int32_t partition);

/*
 * Takes n chunks (all or none) as a list linked by next, each dirty, empty and with one hold,
 * evicting the longest unused clean ones if need be. ERR_FULL. n == 0 gives an empty list.
 */
int cache_take(struct cache *c, uint32_t n, struct chunk **out_list);

/* Drops one hold; the chunk is free when nobody holds it. */
void chunk_release(struct cache *c, struct chunk *chunk);

/*
 * The owner says that the chunk's bytes are on disk: it may be evicted (oldest first), and its mark
 * is cleared. And the opposite.
 */
void chunk_clean(struct cache *c, struct chunk *chunk);
void chunk_dirty(struct cache *c, struct chunk *chunk);

/* A piece of a reply: bytes [off, off + len) of a chunk. */
struct cache_piece {
    struct chunk *chunk;
    uint32_t off, len;
};

/*
 * Appends n pieces to `out` as mbufs with external buffers, taking a hold on each chunk until all
 * are freed. In a cache of read memory they are counted for the reader until then (0: for nobody).
 * ERR_NO_MEMORY (no mbufs or lend blocks left): out unchanged.
 */
int cache_lend(struct cache *c, uint64_t reader, const struct cache_piece *pieces, uint32_t n,
               struct chain *out);
/* What a reader's answers hold (a chunk counts for each lend); chunks that are lent at all. */
uint32_t cache_held(const struct cache *c, uint64_t reader);
uint32_t cache_lent_chunks(const struct cache *c);
/* Counts n chunks (at least 1) that a reader is about to be lent; NULL for nobody. */
struct holder *cache_hold(struct cache *c, uint64_t reader, uint32_t n);
void cache_unhold(struct cache *c, struct holder *holder, uint32_t n);

/* Chunks that could be taken now, and all there are. */
uint32_t cache_available(const struct cache *c);
uint32_t cache_dirty(const struct cache *c); /* of them with bytes that are on no disk */
uint32_t cache_size(const struct cache *c);
/* Chunks that stay as they are until the next start (chunk_keep). */
uint32_t cache_kept(const struct cache *c);
/* True if so many chunks can never be taken at once, whatever else comes back: too many are kept. */
bool cache_hopeless(const struct cache *c, uint32_t n);

struct cache_waiter {
    void (*ready)(struct cache_waiter *w);
    struct cache_waiter *next, **prev; /* prev == NULL: not waiting */
    uint32_t chunks;                   /* wanted */
};
/* FIFO; ready is called from cache_run when that many chunks can be taken, or never will be. */
void cache_wait(struct cache *c, struct cache_waiter *w);
void cache_wait_cancel(struct cache *c, struct cache_waiter *w);
/* Chunks that the first waiter wants; 0: there is none, or it wants none. */
uint32_t cache_wanted(const struct cache *c);

/* Stage: serves waiters. */
uint32_t cache_run(void *c, int64_t now_ns, uint32_t budget);

struct cache_stats {
    uint32_t chunks, free, dirty, lent; /* lent: lend blocks that are out */
    uint32_t kept;                      /* by chunk_keep */
    uint64_t evictions, waits;
};
void cache_stats(const struct cache *c, struct cache_stats *out);

#endif
