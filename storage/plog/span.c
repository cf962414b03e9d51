/* Bytes of a segment at hand, whichever memory they are in. */
#include "storage/plog/span.h"

#include <string.h>

#include "storage/plog/plog_internal.h"

#define lend_pieces 32

/* Extends over cached chunks from `at` on, until `limit` or a hole. */
static struct window window_cached(const struct segment *s, uint32_t at, uint32_t limit)
{
    struct window w = {s->chunks, 0, at, s->plog->env->cache};
    while (w.end < limit && w.end / tail_chunk_bytes < s->chunk_slots) {
        const struct chunk *chunk = s->chunks[w.end / tail_chunk_bytes];
        uint32_t off = w.end % tail_chunk_bytes;
        if (chunk == NULL || off < chunk->start || off >= chunk->used)
            break;
        w.end += chunk->used - off;
        if (chunk->used < tail_chunk_bytes)
            break;
    }
    if (w.end > limit)
        w.end = limit;
    return w;
}

struct span span_cached(const struct segment *s, uint32_t at, uint32_t limit)
{
    struct window w = window_cached(s, at, limit);
    return (struct span){{NULL, 0, 0, NULL}, w, w.end};
}

struct span span_joined(const struct segment *s, const struct window *disk, uint32_t at,
                        uint32_t limit)
{
    struct span sp = {.disk = *disk};
    if (sp.disk.end > limit)
        sp.disk.end = limit;
    uint32_t from = at < sp.disk.base || sp.disk.end <= at ? at : sp.disk.end;
    if (from == at)
        sp.disk.end = 0;
    sp.tail = window_cached(s, from, limit);
    sp.end = sp.tail.end;
    return sp;
}

/* The bytes from `at` on that lie in one piece; at < sp->end. */
static struct cache_piece piece_at(const struct span *sp, uint32_t at, uint32_t end,
                                   struct cache **cache)
{
    const struct window *w = at < sp->disk.end ? &sp->disk : &sp->tail;
    uint32_t off = (at - w->base) % tail_chunk_bytes, n = tail_chunk_bytes - off;
    if (n > w->end - at)
        n = w->end - at;
    if (n > end - at)
        n = end - at;
    *cache = w->cache;
    return (struct cache_piece){w->chunks[(at - w->base) / tail_chunk_bytes], off, n};
}

bool span_copy(const struct span *sp, uint32_t at, uint8_t *dst, uint32_t n)
{
    struct cache *cache;
    if (at > sp->end || n > sp->end - at)
        return false;
    for (uint32_t end = at + n; at < end;) {
        struct cache_piece piece = piece_at(sp, at, end, &cache);
        memcpy(dst, piece.chunk->data + piece.off, piece.len);
        dst += piece.len;
        at += piece.len;
    }
    return true;
}

/* The batch at `at`: its size and last offset; *last is -1 if there cannot be one. */
static bool batch_look(const struct span *sp, const struct segment *s, uint32_t at, uint32_t *bytes,
                       int64_t *base, int64_t *last)
{
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    *last = -1;
    if (!span_copy(sp, at, raw, BATCH_MAGIC + 1))
        return false;
    batch_decode(raw, &h);
    *bytes = h.bytes;
    *base = h.base_offset; /* of the old formats: the offset of the last message in it */
    if (h.bytes < batch_overhead_bytes + batch_length_min || h.bytes > segment_bytes_max ||
        h.base_offset < s->base || h.base_offset >= s->next)
        return true;
    int64_t delta = 0;
    if (raw[BATCH_MAGIC] >= 2) {
        if (!span_copy(sp, at, raw, BATCH_LAST_DELTA + 4))
            return false;
        delta = bytes_get_i32(raw + BATCH_LAST_DELTA);
    }
    if (delta >= 0 && h.base_offset + delta < s->next)
        *last = h.base_offset + delta;
    return true;
}

enum scan_result span_scan(const struct span *sp, const struct segment *s, uint32_t *at,
                           int64_t offset, uint32_t *bytes)
{
    int64_t base, last;
    while (batch_look(sp, s, *at, bytes, &base, &last)) {
        if (last < 0)
            return SCAN_CORRUPT;
        if (last >= offset)
            return SCAN_FOUND;
        *at += *bytes;
    }
    return SCAN_MORE;
}

bool span_last(const struct span *sp, const struct segment *s, uint32_t from, uint32_t to,
               uint32_t *position, int64_t *next_offset)
{
    uint32_t bytes;
    int64_t base, last;
    bool any = false;
    while (from < to && batch_look(sp, s, from, &bytes, &base, &last) && last >= 0 &&
           bytes <= to - from) {
        from += bytes;
        *position = from;
        *next_offset = last + 1;
        any = true;
    }
    return any;
}

int64_t span_base_offset(const struct span *sp, const struct segment *s, uint32_t at)
{
    uint32_t bytes;
    int64_t base, last;
    return batch_look(sp, s, at, &bytes, &base, &last) && last >= 0 ? base : -1;
}

int span_lend(const struct span *sp, uint32_t from, uint32_t to, uint64_t reader, struct chain *out)
{
    struct chain lent;
    int err = 0;
    chain_init(&lent);
    while (from < to && err == 0) {
        struct cache_piece pieces[lend_pieces];
        struct cache *cache = NULL, *other = NULL;
        uint32_t n = 0;
        while (from < to && n < lend_pieces) {
            pieces[n] = piece_at(sp, from, to, &other);
            if (cache && other != cache)
                break;
            cache = other;
            from += pieces[n++].len;
        }
        err = cache_lend(cache, reader, pieces, n, &lent);
    }
    if (err)
        chain_free(&lent);
    else
        chain_join(out, &lent);
    return err;
}
