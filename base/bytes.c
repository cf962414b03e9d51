#include "base/bytes.h"

/* LEB128 with at most `max` bytes. */
static int get_uvarint(const uint8_t *p, size_t n, size_t max, uint64_t *out)
{
    uint64_t v = 0;
    for (size_t i = 0; i < max; i++) {
        if (i == n)
            return ERR_NEED_MORE;
        uint8_t b = p[i];
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return (int)i + 1;
        }
    }
    return ERR_MALFORMED;
}

int bytes_get_uvarint32(const uint8_t *p, size_t n, uint32_t *out)
{
    uint64_t v;
    int r = get_uvarint(p, n, VARINT32_BYTES_MAX, &v);
    if (r > 0)
        *out = (uint32_t)v;
    return r;
}

int bytes_get_uvarint64(const uint8_t *p, size_t n, uint64_t *out)
{
    return get_uvarint(p, n, VARINT64_BYTES_MAX, out);
}

int bytes_get_varint32(const uint8_t *p, size_t n, int32_t *out)
{
    uint32_t v;
    int r = bytes_get_uvarint32(p, n, &v);
    if (r > 0)
        *out = (int32_t)((v >> 1) ^ (0u - (v & 1)));
    return r;
}

int bytes_get_varint64(const uint8_t *p, size_t n, int64_t *out)
{
    uint64_t v;
    int r = bytes_get_uvarint64(p, n, &v);
    if (r > 0)
        *out = (int64_t)((v >> 1) ^ (0ull - (v & 1)));
    return r;
}

size_t bytes_put_uvarint64(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        p[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    p[n++] = (uint8_t)v;
    return n;
}

size_t bytes_put_uvarint32(uint8_t *p, uint32_t v)
{
    return bytes_put_uvarint64(p, v);
}

size_t bytes_put_varint32(uint8_t *p, int32_t v)
{
    return bytes_put_uvarint32(p, ((uint32_t)v << 1) ^ (uint32_t)(v >> 31));
}

size_t bytes_put_varint64(uint8_t *p, int64_t v)
{
    return bytes_put_uvarint64(p, ((uint64_t)v << 1) ^ (uint64_t)(v >> 63));
}
