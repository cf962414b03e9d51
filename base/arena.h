/*
 * arena: a bump allocator with a hard limit, emptied as a whole.
 *
 * Purpose: memory of one decoded request or one reply under construction.
 * Owner: whoever made it, one thread. Memory: taken in blocks from malloc up to `limit` bytes; a
 * fixed arena uses only the buffer that it was given (for the fast path) and never calls malloc.
 * Failure: arena_alloc returns NULL at the limit; nothing else fails.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; NULL in a fixed arena */
    uint8_t *next, *end;        /* free room of the current block */
    size_t used, limit;         /* bytes handed out in total, bytes allowed */
    uint8_t *fixed;             /* start of the given buffer of a fixed arena */
};

/* A growing arena that hands out at most limit bytes. */
void arena_init(struct arena *a, size_t limit);

/* An arena over buf of size bytes, which outlives it. */
void arena_init_fixed(struct arena *a, void *buf, size_t size);

/* size bytes aligned to 8, not cleared; NULL at the limit. size 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);

/* count * size bytes, cleared; NULL at the limit or if the product overflows. */
void *arena_calloc(struct arena *a, size_t count, size_t size);

/* A copy of n bytes of p; NULL at the limit. */
void *arena_dup(struct arena *a, const void *p, size_t n);

/* A NUL-terminated copy (the NUL is not counted in len). A null str stays null; at the limit, null. */
struct str arena_str(struct arena *a, struct str s);

/* printf into the arena. Null str at the limit. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Everything handed out becomes invalid; keeps one block for reuse. */
void arena_reset(struct arena *a);

/* Gives all memory back. NULL is accepted. */
void arena_free(struct arena *a);

#endif
