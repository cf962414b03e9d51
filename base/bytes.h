/*
 * bytes: big-endian integers and Kafka's variable-length integers in contiguous memory.
 *
 * Purpose: the primitives of the wire and disk formats. Loads and stores are unaligned-safe. The
 * caller has checked bounds, except where a function says that it does. Pure.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

/* Longest encodings in bytes. */
#define VARINT32_BYTES_MAX 5
#define VARINT64_BYTES_MAX 10

static inline uint16_t bytes_get_u16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return __builtin_bswap16(v);
}

static inline uint32_t bytes_get_u32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return __builtin_bswap32(v);
}

static inline uint64_t bytes_get_u64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, 8);
    return __builtin_bswap64(v);
}

static inline int16_t bytes_get_i16(const void *p)
{
    return (int16_t)bytes_get_u16(p);
}

static inline int32_t bytes_get_i32(const void *p)
{
    return (int32_t)bytes_get_u32(p);
}

static inline int64_t bytes_get_i64(const void *p)
{
    return (int64_t)bytes_get_u64(p);
}

static inline void bytes_put_u16(void *p, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(p, &v, 2);
}

static inline void bytes_put_u32(void *p, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(p, &v, 4);
}

static inline void bytes_put_u64(void *p, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(p, &v, 8);
}

/*
 * Unsigned LEB128 (the protocol's UNSIGNED_VARINT). Reads at most n bytes of p.
 * Returns the bytes consumed (1..5 or 1..10), ERR_NEED_MORE if n bytes do not end the number, or
 * ERR_MALFORMED if it is longer than allowed; *out untouched on error. Bits of the last byte that a
 * number of this width has no room for are dropped, as Kafka's ByteUtils does.
 */
int bytes_get_uvarint32(const uint8_t *p, size_t n, uint32_t *out);
int bytes_get_uvarint64(const uint8_t *p, size_t n, uint64_t *out);

/* Zigzag forms (record fields). Same returns. */
int bytes_get_varint32(const uint8_t *p, size_t n, int32_t *out);
int bytes_get_varint64(const uint8_t *p, size_t n, int64_t *out);

/* Write to p, which has room for the longest encoding; return the bytes written. */
size_t bytes_put_uvarint32(uint8_t *p, uint32_t v);
size_t bytes_put_uvarint64(uint8_t *p, uint64_t v);
size_t bytes_put_varint32(uint8_t *p, int32_t v);
size_t bytes_put_varint64(uint8_t *p, int64_t v);

/* Encoded length in bytes. */
static inline size_t bytes_uvarint32_len(uint32_t v)
{
    return v ? (size_t)(37 - __builtin_clz(v) + 1) / 7 : 1;
}

#endif
