#include "dataplane/proto/reader.h"

#include <string.h>

/* Where an empty piece points: strings of length 0 are not null. */
static const uint8_t nothing[1];

/* Steps to the next mbuf of the range; the current one is used up and more > 0. */
static void next_seg(struct reader *r)
{
    do {
        r->seg = r->seg->next;
        uint32_t n = r->seg->data_len;
        if (n > r->more)
            n = (uint32_t)r->more;
        r->p = rte_pktmbuf_mtod(r->seg, const uint8_t *);
        r->end = r->p + n;
        r->more -= n;
    } while (r->p == r->end && r->more > 0);
}

static void init_range(struct reader *r, struct chain_pos at, uint64_t bytes)
{
    *r = (struct reader){.p = nothing, .end = nothing};
    if (bytes == 0)
        return;
    uint32_t n = at.seg->data_len - at.off;
    if (n > bytes)
        n = (uint32_t)bytes;
    r->seg = at.seg;
    r->p = rte_pktmbuf_mtod(at.seg, const uint8_t *) + at.off;
    r->end = r->p + n;
    r->more = bytes - n;
}

void reader_init(struct reader *r, struct chain_view view)
{
    init_range(r, view.at, view.len);
}

void reader_init_chain(struct reader *r, const struct chain *c)
{
    init_range(r, (struct chain_pos){c->head, 0}, c->bytes);
}

void reader_init_memory(struct reader *r, const void *p, size_t n)
{
    *r = (struct reader){.p = nothing, .end = nothing};
    if (n == 0)
        return;
    r->p = p;
    r->end = r->p + n;
}

void reader_fail(struct reader *r, int err)
{
    if (r->err == 0)
        r->err = err;
    r->p = r->end;
    r->more = 0;
}

bool reader_copy(struct reader *r, void *dst, size_t n)
{
    uint8_t *to = dst;
    if (n > reader_left(r)) {
        reader_fail(r, ERR_MALFORMED);
        return false;
    }
    while (n > 0) {
        if (r->p == r->end)
            next_seg(r);
        size_t here = (size_t)(r->end - r->p);
        if (here > n)
            here = n;
        memcpy(to, r->p, here);
        r->p += here;
        to += here;
        n -= here;
    }
    return true;
}

void reader_skip(struct reader *r, uint64_t n)
{
    if (n > reader_left(r)) {
        reader_fail(r, ERR_MALFORMED);
        return;
    }
    while (n > (uint64_t)(r->end - r->p)) {
        n -= (uint64_t)(r->end - r->p);
        next_seg(r);
    }
    r->p += n;
}

const uint8_t *reader_piece(struct reader *r, size_t n, struct arena *arena)
{
    if (n == 0)
        return r->err ? NULL : nothing;
    if (n > reader_left(r)) {
        reader_fail(r, ERR_MALFORMED);
        return NULL;
    }
    if (r->p == r->end)
        next_seg(r);
    if ((size_t)(r->end - r->p) >= n) {
        const uint8_t *p = r->p;
        r->p += n;
        return p;
    }
    uint8_t *copy = arena_alloc(arena, n);
    if (copy == NULL) {
        reader_fail(r, ERR_NO_MEMORY);
        return NULL;
    }
    reader_copy(r, copy, n);
    return copy;
}

struct chain_view reader_view(struct reader *r, uint32_t n)
{
    if (n > reader_left(r) || (n > 0 && r->seg == NULL)) {
        reader_fail(r, ERR_MALFORMED);
        return (struct chain_view){0};
    }
    if (r->seg == NULL)
        return (struct chain_view){0};
    if (r->p == r->end && r->more > 0)
        next_seg(r);
    uint32_t off = (uint32_t)(r->p - rte_pktmbuf_mtod(r->seg, const uint8_t *));
    struct chain_view view = {{r->seg, off}, n};
    reader_skip(r, n);
    return view;
}

uint32_t reader_uvarint_slow(struct reader *r)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift <= 28; shift += 7) {
        uint8_t byte = (uint8_t)reader_i8(r);
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return r->err ? 0 : value;
    }
    reader_fail(r, ERR_MALFORMED);
    return 0;
}

struct str reader_str_len(struct reader *r, int32_t len, bool nullable, struct arena *arena)
{
    if (len < 0 || len > PROTO_STRING_BYTES_MAX) {
        if (len > 0 || !nullable)
            reader_fail(r, ERR_MALFORMED);
        return STR_NULL;
    }
    const uint8_t *p = reader_piece(r, (size_t)len, arena);
    return p ? (struct str){(const char *)p, (uint32_t)len} : STR_NULL;
}

struct proto_bytes reader_bytes_len(struct reader *r, int32_t len, bool nullable,
                                    struct arena *arena)
{
    if (len < 0) {
        if (!nullable)
            reader_fail(r, ERR_MALFORMED);
        return PROTO_BYTES_NULL;
    }
    const uint8_t *p = reader_piece(r, (size_t)len, arena);
    return p ? (struct proto_bytes){p, (uint32_t)len} : PROTO_BYTES_NULL;
}

struct proto_records reader_records_len(struct reader *r, int32_t len, bool nullable)
{
    if (len < 0) {
        if (!nullable)
            reader_fail(r, ERR_MALFORMED);
        return PROTO_RECORDS_NULL;
    }
    return (struct proto_records){reader_view(r, (uint32_t)len), false};
}

int32_t reader_count(struct reader *r, int32_t len, bool nullable, uint32_t element_bytes_min)
{
    if (len < 0) {
        if (!nullable)
            reader_fail(r, ERR_MALFORMED);
        return -1;
    }
    if ((uint64_t)len > reader_left(r) / element_bytes_min) {
        reader_fail(r, ERR_MALFORMED);
        return 0;
    }
    return len;
}

void *reader_alloc(struct reader *r, struct arena *arena, int32_t count, size_t size)
{
    if (count <= 0 || r->err)
        return NULL;
    void *p = arena_alloc(arena, (size_t)count * size);
    if (p == NULL)
        reader_fail(r, ERR_NO_MEMORY);
    return p;
}

void reader_skip_tags(struct reader *r)
{
    uint32_t n = reader_uvarint(r);
    for (; n > 0 && r->err == 0; n--) {
        struct reader_tag tag = reader_tag_begin(r);
        reader_skip(r, tag.size);
    }
}
