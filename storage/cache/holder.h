/*
 * holder: how many lends of chunks each reader has that did not come back.
 *
 * Purpose: a reader that takes no bytes of its answers must not hold all read memory; who decides
 * what it may have asks here. Owner: the shard of the cache. Memory: a table of fixed size, made at
 * start. A holder is there as long as it has chunks. Pure.
 * Invariant: there are never more holders than chunks counted for them.
 */
#ifndef STORAGE_CACHE_HOLDER_H
#define STORAGE_CACHE_HOLDER_H

#include <stdint.h>

struct holder {
    uint64_t id;
    uint32_t chunks;
    struct holder *next; /* of its bucket; of the free ones */
};

struct holders {
    struct holder *all, *free, **buckets;
    uint32_t mask; /* buckets - 1 */
};

/* At most so many at once. ERR_NO_MEMORY. */
int holders_init(struct holders *h, uint32_t most);
void holders_fini(struct holders *h);

/* Counts n chunks (at least 1) for the id, 0 excepted. NULL: there are as many holders as can be. */
struct holder *holders_add(struct holders *h, uint64_t id, uint32_t n);
/* So many of them came back. */
void holders_drop(struct holders *h, struct holder *holder, uint32_t n);
/* What an id has. */
uint32_t holders_chunks(const struct holders *h, uint64_t id);

#endif
