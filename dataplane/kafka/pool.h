/*
 * pool: objects of one size, taken at start.
 *
 * Purpose: conns, requests, parts and sessions without the heap. Owner: one shard. Memory: one
 * block, whose pages the kernel gives when an object is first used; what was given back last is
 * given out first. Objects lie on cache lines of their own and are not cleared.
 * Failure: pool_init ERR_NO_MEMORY; pool_take answers NULL when none is left.
 */
#ifndef DATAPLANE_KAFKA_POOL_H
#define DATAPLANE_KAFKA_POOL_H

#include <stdint.h>

struct pool {
    uint8_t *base;
    uint32_t stride, count; /* bytes; objects */
    uint32_t fresh;         /* objects never given out start here */
    uint32_t free;          /* objects that pool_take can give */
    void *list;             /* given back, newest first */
};

int pool_init(struct pool *p, uint32_t stride, uint32_t count);
void pool_fini(struct pool *p);
void *pool_take(struct pool *p);
void pool_give(struct pool *p, void *object);

#endif
