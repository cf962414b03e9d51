/*
 * codec: reading and writing of the fields that records of __consumer_offsets are made of.
 *
 * Purpose: Kafka's primitive types in contiguous memory, both forms (fixed lengths, and compact
 * ones with tagged fields). Owner: whoever made the struct. Memory: codec_out grows by malloc and is
 * freed with codec_out_free; codec_in points into the bytes given.
 * Failure: sticky. A reader past its end or at an illegal length sets `bad` and gives zeros; a
 * writer without memory sets `failed`. Look once, at the end.
 */
#ifndef CONTROL_GROUP_CODEC_H
#define CONTROL_GROUP_CODEC_H

#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/str.h"
#include "base/uuid.h"

struct codec_out {
    uint8_t *p;
    uint32_t len, capacity;
    bool failed;
};

struct codec_in {
    const uint8_t *p, *end;
    bool bad;
};

static inline void codec_out_free(struct codec_out *o)
{
    free(o->p);
    *o = (struct codec_out){0};
}

/* Room for n more bytes, counted in; NULL without memory. */
static inline uint8_t *codec_room(struct codec_out *o, size_t n)
{
    if (o->failed || n > UINT32_MAX / 2 - o->len) {
        o->failed = true;
        return NULL;
    }
    if (o->len + n > o->capacity) {
        size_t capacity = o->capacity ? o->capacity : 128;
        while (capacity < o->len + n)
            capacity *= 2;
        uint8_t *p = realloc(o->p, capacity);
        if (p == NULL) {
            o->failed = true;
            return NULL;
        }
        o->p = p;
        o->capacity = (uint32_t)capacity;
    }
    o->len += (uint32_t)n;
    return o->p + o->len - n;
}

static inline void codec_put_i8(struct codec_out *o, int8_t v)
{
    uint8_t *p = codec_room(o, 1);
    if (p)
        *p = (uint8_t)v;
}

static inline void codec_put_i16(struct codec_out *o, int16_t v)
{
    uint8_t *p = codec_room(o, 2);
    if (p)
        bytes_put_u16(p, (uint16_t)v);
}

static inline void codec_put_i32(struct codec_out *o, int32_t v)
{
    uint8_t *p = codec_room(o, 4);
    if (p)
        bytes_put_u32(p, (uint32_t)v);
}

static inline void codec_put_i64(struct codec_out *o, int64_t v)
{
    uint8_t *p = codec_room(o, 8);
    if (p)
        bytes_put_u64(p, (uint64_t)v);
}

static inline void codec_put_uvarint(struct codec_out *o, uint32_t v)
{
    uint8_t buf[VARINT32_BYTES_MAX];
    size_t n = bytes_put_uvarint32(buf, v);
    uint8_t *p = codec_room(o, n);
    if (p)
        memcpy(p, buf, n);
}

static inline void codec_put_raw(struct codec_out *o, const void *bytes, uint32_t n)
{
    uint8_t *p = codec_room(o, n);
    if (p && n)
        memcpy(p, bytes, n);
}

/* Length in 16 bits; null as -1. */
static inline void codec_put_str(struct codec_out *o, struct str s)
{
    if (s.p != NULL && s.len > INT16_MAX) {
        o->failed = true;
        return;
    }
    codec_put_i16(o, s.p ? (int16_t)s.len : -1);
    codec_put_raw(o, s.p, s.p ? s.len : 0);
}

/* Compact: length + 1 as varint; null as 0. */
static inline void codec_put_cstr(struct codec_out *o, struct str s)
{
    codec_put_uvarint(o, s.p ? s.len + 1 : 0);
    codec_put_raw(o, s.p, s.p ? s.len : 0);
}

/* Length in 32 bits; p NULL is written as empty. */
static inline void codec_put_bytes(struct codec_out *o, const void *p, uint32_t n)
{
    codec_put_i32(o, (int32_t)n);
    codec_put_raw(o, p, n);
}

/* n bytes; NULL (and bad) if there are fewer. */
static inline const uint8_t *codec_take(struct codec_in *in, size_t n)
{
    static const uint8_t zeros[16];
    if (in->bad || (size_t)(in->end - in->p) < n) {
        in->bad = true;
        return n <= sizeof(zeros) ? zeros : NULL;
    }
    const uint8_t *p = in->p;
    in->p += n;
    return p;
}

static inline int8_t codec_get_i8(struct codec_in *in)
{
    return (int8_t)*codec_take(in, 1);
}

static inline int16_t codec_get_i16(struct codec_in *in)
{
    return bytes_get_i16(codec_take(in, 2));
}

static inline int32_t codec_get_i32(struct codec_in *in)
{
    return bytes_get_i32(codec_take(in, 4));
}

static inline int64_t codec_get_i64(struct codec_in *in)
{
    return bytes_get_i64(codec_take(in, 8));
}

static inline uint32_t codec_get_uvarint(struct codec_in *in)
{
    uint32_t v = 0;
    int n = in->bad ? ERR_MALFORMED : bytes_get_uvarint32(in->p, (size_t)(in->end - in->p), &v);
    if (n < 0) {
        in->bad = true;
        return 0;
    }
    in->p += n;
    return v;
}

static inline struct uuid codec_get_uuid(struct codec_in *in)
{
    struct uuid id;
    memcpy(id.b, codec_take(in, 16), 16);
    return id;
}

/* A view of n bytes; n < 0 is null. */
static inline struct str codec_view(struct codec_in *in, int64_t n)
{
    if (n < 0)
        return STR_NULL;
    if (n > in->end - in->p)
        in->bad = true;
    const uint8_t *p = in->bad ? (const uint8_t *)"" : codec_take(in, (size_t)n);
    return in->bad ? STR_NULL : (struct str){(const char *)p, (uint32_t)n};
}

/* Strings: fixed (16-bit length) or compact. Null is allowed by the reader; the caller looks. */
static inline struct str codec_get_str(struct codec_in *in, bool compact)
{
    if (compact)
        return codec_view(in, (int64_t)codec_get_uvarint(in) - 1);
    int16_t n = codec_get_i16(in);
    if (n < -1)
        in->bad = true;
    return codec_view(in, n);
}

/* Bytes: 32-bit length or compact. */
static inline struct str codec_get_bytes(struct codec_in *in, bool compact)
{
    if (compact)
        return codec_view(in, (int64_t)codec_get_uvarint(in) - 1);
    int32_t n = codec_get_i32(in);
    if (n < -1)
        in->bad = true;
    return codec_view(in, n);
}

/*
 * Count of an array whose elements take at least `least` bytes each (so that a lie about the count
 * costs nothing); -1 for null.
 */
static inline int32_t codec_get_count(struct codec_in *in, bool compact, size_t least)
{
    int64_t n = compact ? (int64_t)codec_get_uvarint(in) - 1 : codec_get_i32(in);
    if (n < -1 || (n > 0 && (size_t)n > (size_t)(in->end - in->p) / least))
        in->bad = true;
    return in->bad ? 0 : (int32_t)n;
}

/* Passes over tagged fields. */
static inline void codec_skip_tags(struct codec_in *in)
{
    for (uint32_t n = codec_get_uvarint(in); n > 0 && !in->bad; n--) {
        codec_get_uvarint(in);
        codec_view(in, codec_get_uvarint(in));
    }
}

#endif
