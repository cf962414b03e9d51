/*
 * Snappy's format, decoded as a stream. The library decodes whole blocks into one piece of memory,
 * and raw blocks of clients are as large as their batch: hence this decoder with a window of fixed
 * size. The window is large: encoders of such blocks (klauspost/compress, so franz-go) copy from
 * anywhere before. It is touched as far as a block goes.
 */
#include <string.h>

#include "storage/plog/unzip.h"

static const uint8_t xerial_magic[8] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
#define xerial_header_bytes 16

/* One byte of the block's input. */
static bool take(struct unzip *u, uint8_t *out)
{
    if (u->snappy.ahead_at < u->snappy.ahead_count) {
        *out = u->snappy.ahead[u->snappy.ahead_at++];
        return true;
    }
    if (u->snappy.frame_left <= 0 || !unzip_input(u))
        return false;
    *out = *u->in->p++;
    u->snappy.frame_left--;
    return true;
}

static bool take_le(struct unzip *u, uint32_t bytes, uint32_t *out)
{
    uint32_t v = 0;
    uint8_t b;
    for (uint32_t i = 0; i < bytes; i++) {
        if (!take(u, &b))
            return false;
        v |= (uint32_t)b << (8 * i);
    }
    *out = v;
    return true;
}

/* The uncompressed length before a block. */
static bool block_begin(struct unzip *u)
{
    struct snappy *s = &u->snappy;
    uint64_t v = 0;
    uint8_t b = 0x80;
    for (uint32_t shift = 0; b & 0x80; shift += 7) {
        if (shift > 28 || !take(u, &b))
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
    }
    if (v > UINT32_MAX)
        return false;
    s->out_left = (uint32_t)v;
    s->produced = s->literal = s->copy = 0;
    return true;
}

/* The next xerial frame with output. False: the end, or the stream is broken. */
static bool frame_begin(struct unzip *u)
{
    struct snappy *s = &u->snappy;
    for (;;) {
        if (!unzip_input(u)) {
            s->state = SNAPPY_END;
            return false;
        }
        uint8_t head[xerial_header_bytes];
        if (!batch_reader_copy(u->in, head, 4))
            return unzip_fail(u);
        uint32_t n = bytes_get_u32(head);
        if (n == bytes_get_u32(xerial_magic)) { /* another stream begins */
            if (!batch_reader_copy(u->in, head + 4, xerial_header_bytes - 4))
                return unzip_fail(u);
            continue;
        }
        s->frame_left = n;
        if (n > INT32_MAX || !block_begin(u))
            return unzip_fail(u);
        if (s->out_left > 0)
            return true;
        if (s->frame_left > 0)
            return unzip_fail(u);
    }
}

/*
 * Tells frames from a raw block. Three bytes are enough: a raw block that begins like the magic
 * would have a copy as its first element, which has nothing to copy from.
 */
static bool stream_begin(struct unzip *u)
{
    struct snappy *s = &u->snappy;
    uint8_t b;
    s->framed = false;
    s->frame_left = INT64_MAX;
    s->ahead_at = s->ahead_count = 0;
    bool same = true;
    while (same && s->ahead_count < 3) {
        if (!unzip_input(u))
            return unzip_fail(u);
        b = *u->in->p++;
        same = b == xerial_magic[s->ahead_count];
        s->ahead[s->ahead_count++] = b;
    }
    if (same) {
        uint8_t rest[xerial_header_bytes - 3];
        s->framed = true;
        s->ahead_count = 0;
        if (!batch_reader_copy(u->in, rest, sizeof(rest)) || memcmp(rest, xerial_magic + 3, 5) != 0)
            return unzip_fail(u);
        return frame_begin(u);
    }
    if (!block_begin(u))
        return unzip_fail(u);
    return s->out_left > 0;
}

/* Reads the next element's tag. */
static bool element(struct unzip *u)
{
    struct snappy *s = &u->snappy;
    uint8_t tag, b;
    uint32_t v;
    if (!take(u, &tag))
        return false;
    switch (tag & 3) {
    case 0:
        s->literal = (tag >> 2) + 1u;
        if (s->literal > 60) {
            if (!take_le(u, s->literal - 60, &v) || v == UINT32_MAX)
                return false;
            s->literal = v + 1;
        }
        break;
    case 1:
        if (!take(u, &b))
            return false;
        s->copy = ((tag >> 2) & 7) + 4u;
        s->back = ((uint32_t)(tag >> 5) << 8) | b;
        break;
    default:
        if (!take_le(u, (tag & 3) == 2 ? 2 : 4, &s->back))
            return false;
        s->copy = (tag >> 2) + 1u;
        break;
    }
    if (s->literal > s->out_left || s->copy > s->out_left)
        return false;
    return s->copy == 0 ||
           (s->back > 0 && s->back <= s->produced && s->back <= unzip_history_bytes);
}

/* Literal bytes, as many as the input piece and the buffer have. */
static bool literal(struct unzip *u, uint32_t room)
{
    struct snappy *s = &u->snappy;
    if (!unzip_input(u))
        return false;
    uint64_t n = (uint64_t)(u->in->end - u->in->p);
    if (n > s->literal)
        n = s->literal;
    if (n > room)
        n = room;
    if ((int64_t)n > s->frame_left)
        return false;
    memcpy(u->buffer + s->filled, u->in->p, n);
    u->in->p += n;
    s->frame_left -= (int64_t)n;
    s->literal -= (uint32_t)n;
    s->filled += (uint32_t)n;
    s->produced += (uint32_t)n;
    s->out_left -= (uint32_t)n;
    return true;
}

static void copy(struct unzip *u, uint32_t room)
{
    struct snappy *s = &u->snappy;
    uint32_t n = s->copy < room ? s->copy : room;
    uint8_t *to = u->buffer + s->filled;
    const uint8_t *from = to - s->back;
    if (s->back >= n)
        memcpy(to, from, n);
    else
        for (uint32_t i = 0; i < n; i++) /* overlapping: a pattern that repeats */
            to[i] = from[i];
    s->copy -= n;
    s->filled += n;
    s->produced += n;
    s->out_left -= n;
}

/* Fills the buffer up to size. */
static bool block_fill(struct unzip *u, uint32_t size)
{
    struct snappy *s = &u->snappy;
    while (s->out_left > 0 && s->filled < size) {
        if (s->literal == 0 && s->copy == 0 && !element(u))
            return false;
        if (s->literal > 0 && !literal(u, size - s->filled))
            return false;
        if (s->copy > 0)
            copy(u, size - s->filled);
    }
    return true;
}

bool snappy_more(struct reader *r)
{
    struct unzip *u = (struct unzip *)r;
    struct snappy *s = &u->snappy;
    if (s->state == SNAPPY_END)
        return false;
    if (s->state == SNAPPY_START) {
        s->state = SNAPPY_FRAME;
        s->filled = 0;
        if (!stream_begin(u))
            return false;
    } else if (s->out_left == 0) {
        if (!s->framed) {
            s->state = SNAPPY_END;
            return unzip_input(u) ? unzip_fail(u) : false;
        }
        if (s->frame_left > 0)
            return unzip_fail(u);
        s->filled = 0;
        if (!frame_begin(u))
            return false;
    }
    if (s->filled == unzip_buffer_bytes) {
        memcpy(u->buffer, u->buffer + unzip_history_bytes, unzip_history_bytes);
        s->filled = unzip_history_bytes;
    }
    uint32_t from = s->filled;
    if (!block_fill(u, from + unzip_out_bytes))
        return unzip_fail(u);
    u->produced += s->filled - from;
    u->out.p = u->buffer + from;
    u->out.end = u->buffer + s->filled;
    return u->out.p != u->out.end;
}
