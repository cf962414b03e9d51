#include "dataplane/proto/writer.h"

#include <string.h>

#include <rte_mbuf.h>

#include "base/check.h"

void writer_init(struct writer *w, struct rte_mempool *pool)
{
    *w = (struct writer){.pool = pool, .refs = pool};
}

void writer_init_count(struct writer *w)
{
    *w = (struct writer){0};
}

/* Moves the open mbuf into the chain. */
static void close_open(struct writer *w)
{
    if (w->open == NULL)
        return;
    w->open->data_len = (uint16_t)(w->p - w->start);
    chain_append(&w->chain, w->open);
    w->open = NULL;
    w->p = w->end = w->start = NULL;
}

/* Takes a fresh mbuf; false (and sticky) if the pool is empty. */
static bool open_next(struct writer *w)
{
    close_open(w);
    struct rte_mbuf *m = rte_pktmbuf_alloc(w->pool);
    if (m == NULL || rte_pktmbuf_tailroom(m) == 0) {
        rte_pktmbuf_free(m);
        writer_fail(w, ERR_NO_MEMORY);
        return false;
    }
    w->open = m;
    w->start = w->p = rte_pktmbuf_mtod(m, uint8_t *);
    w->end = w->p + rte_pktmbuf_tailroom(m);
    return true;
}

int writer_finish(struct writer *w, struct chain *out)
{
    int err = w->err;
    if (err) {
        writer_abort(w);
        return err;
    }
    close_open(w);
    chain_join(out, &w->chain);
    *w = (struct writer){.pool = w->pool, .refs = w->refs};
    return 0;
}

void writer_abort(struct writer *w)
{
    close_open(w);
    chain_free(&w->chain);
    *w = (struct writer){.pool = w->pool, .refs = w->refs};
}

void writer_fail(struct writer *w, int err)
{
    if (w->err)
        return;
    w->err = err;
    close_open(w);
}

uint64_t writer_bytes(const struct writer *w)
{
    return w->counted + w->chain.bytes + (uint64_t)(w->p - w->start);
}

void writer_raw_slow(struct writer *w, const void *p, size_t n)
{
    const uint8_t *from = p;
    if (w->err)
        return;
    if (w->pool == NULL) {
        w->counted += n;
        return;
    }
    while (n > 0) {
        if (w->p == w->end && !open_next(w))
            return;
        size_t here = (size_t)(w->end - w->p);
        if (here > n)
            here = n;
        memcpy(w->p, from, here);
        w->p += here;
        from += here;
        n -= here;
    }
}

/* False after a length that the protocol cannot carry. */
static bool str_is_valid(struct writer *w, struct str s, bool nullable)
{
    if ((s.p == NULL && !nullable) || s.len > PROTO_STRING_BYTES_MAX) {
        writer_fail(w, ERR_INVALID);
        return false;
    }
    return true;
}

void writer_str(struct writer *w, struct str s, bool nullable)
{
    if (!str_is_valid(w, s, nullable))
        return;
    if (s.p == NULL) {
        writer_i16(w, -1);
        return;
    }
    writer_i16(w, (int16_t)s.len);
    writer_raw(w, s.p, s.len);
}

void writer_compact_str(struct writer *w, struct str s, bool nullable)
{
    if (!str_is_valid(w, s, nullable))
        return;
    if (s.p == NULL) {
        writer_uvarint(w, 0);
        return;
    }
    writer_uvarint(w, s.len + 1);
    writer_raw(w, s.p, s.len);
}

/* The length before bytes, records or an array; -1 is null. */
static void put_len(struct writer *w, int64_t len, bool nullable, bool compact)
{
    if (len > INT32_MAX || len < -1 || (len == -1 && !nullable))
        writer_fail(w, ERR_INVALID);
    else if (compact)
        writer_uvarint(w, (uint32_t)(len + 1));
    else
        writer_i32(w, (int32_t)len);
}

static void put_bytes(struct writer *w, struct proto_bytes b, bool nullable, bool compact)
{
    put_len(w, b.p ? (int64_t)b.len : -1, nullable, compact);
    if (b.p != NULL)
        writer_raw(w, b.p, b.len);
}

void writer_bytes_field(struct writer *w, struct proto_bytes b, bool nullable)
{
    put_bytes(w, b, nullable, false);
}

void writer_compact_bytes_field(struct writer *w, struct proto_bytes b, bool nullable)
{
    put_bytes(w, b, nullable, true);
}

void writer_array_len(struct writer *w, int32_t n, bool nullable)
{
    put_len(w, n, nullable, false);
}

void writer_compact_array_len(struct writer *w, int32_t n, bool nullable)
{
    put_len(w, n, nullable, true);
}

void writer_view(struct writer *w, struct chain_view v)
{
    if (w->err || v.len == 0)
        return;
    if (w->pool == NULL) {
        w->counted += v.len;
        return;
    }
    close_open(w);
    int err = chain_share(v, w->refs, &w->chain);
    if (err)
        writer_fail(w, err);
}

void writer_chain(struct writer *w, struct chain *c)
{
    if (w->err || w->pool == NULL) {
        w->counted += w->err ? 0 : c->bytes;
        chain_free(c);
        return;
    }
    close_open(w);
    chain_join(&w->chain, c);
}

static void put_records(struct writer *w, struct proto_records rec, bool nullable, bool compact)
{
    put_len(w, rec.is_null ? -1 : (int64_t)rec.view.len, nullable, compact);
    if (!rec.is_null)
        writer_view(w, rec.view);
}

void writer_records(struct writer *w, struct proto_records rec, bool nullable)
{
    put_records(w, rec, nullable, false);
}

void writer_compact_records(struct writer *w, struct proto_records rec, bool nullable)
{
    put_records(w, rec, nullable, true);
}

struct writer_mark writer_reserve_i32(struct writer *w)
{
    static const uint8_t zeros[4];
    if (w->err == 0 && w->pool != NULL && w->end - w->p < 4 && !open_next(w))
        return (struct writer_mark){NULL};
    struct writer_mark mark = {w->pool != NULL && w->err == 0 ? w->p : NULL};
    writer_raw(w, zeros, sizeof(zeros));
    return mark;
}

void writer_patch_i32(struct writer *w, struct writer_mark mark, int32_t v)
{
    if (mark.at != NULL && w->err == 0)
        bytes_put_u32(mark.at, (uint32_t)v);
}

struct writer_frame writer_frame_begin(struct writer *w)
{
    struct writer_frame frame = {.mark = writer_reserve_i32(w)};
    frame.start = writer_bytes(w);
    return frame;
}

void writer_frame_end(struct writer *w, struct writer_frame frame)
{
    uint64_t bytes = writer_bytes(w) - frame.start;
    if (bytes > INT32_MAX)
        writer_fail(w, ERR_TOO_LARGE);
    writer_patch_i32(w, frame.mark, (int32_t)bytes);
}
