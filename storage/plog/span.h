/*
 * span: bytes of a segment that are at hand: read from the disk for a stream, then cached in the tail.
 *
 * Purpose: looking at batch headers and lending, whichever memory the bytes are in. Owner: the shard,
 * for the length of a call: chunks may go when anything else runs. Memory: borrows. Pure but for lending.
 */
#ifndef STORAGE_PLOG_SPAN_H
#define STORAGE_PLOG_SPAN_H

#include "storage/cache/cache.h"

struct segment;

/* Bytes by position: chunks[0] begins at position base. */
struct window {
    struct chunk **chunks;
    uint32_t base;
    uint32_t end; /* position behind the last byte that is there */
    struct cache *cache;
};

/* Bytes before disk.end are in disk, those behind in tail. */
struct span {
    struct window disk, tail;
    uint32_t end; /* of both */
};

/* Cached bytes from `at` on, until `limit` or a hole. */
struct span span_cached(const struct segment *s, uint32_t at, uint32_t limit);
/* What the window has of [at, limit), and what is cached behind it. */
struct span span_joined(const struct segment *s, const struct window *disk, uint32_t at,
                        uint32_t limit);

/* False: the n bytes at `at` are not all there. */
bool span_copy(const struct span *sp, uint32_t at, uint8_t *dst, uint32_t n);

enum scan_result { SCAN_FOUND, SCAN_MORE, SCAN_CORRUPT };

/*
 * Walks batch headers from *at to the first batch that ends at or behind `offset`; *bytes is its
 * size. SCAN_MORE: the span ends before; *at is the batch that could not be looked at.
 */
enum scan_result span_scan(const struct span *sp, const struct segment *s, uint32_t *at,
                           int64_t offset, uint32_t *bytes);

/*
 * Of [from, to): the end of the last whole batch, and the offset behind it. `from` is a batch.
 * False: there is none.
 */
bool span_last(const struct span *sp, const struct segment *s, uint32_t from, uint32_t to,
               uint32_t *position, int64_t *next_offset);

/* Base offset of the batch at `at`, -1 if there cannot be one. */
int64_t span_base_offset(const struct span *sp, const struct segment *s, uint32_t at);

/* Lends [from, to) to the end of `out`, see cache_lend. ERR_NO_MEMORY: out is as it was. */
int span_lend(const struct span *sp, uint32_t from, uint32_t to, uint64_t reader,
              struct chain *out);

#endif
