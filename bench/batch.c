#include "bench/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/rng.h"

#define record_overhead_max 48

static uint8_t *put_record(uint8_t *p, struct rng *rng, uint32_t index, uint32_t value_len)
{
    uint8_t body[32];
    size_t n = 0;
    body[n++] = 0;                        /* attributes */
    n += bytes_put_varint64(body + n, 0); /* timestamp delta */
    n += bytes_put_varint32(body + n, (int32_t)index);
    n += bytes_put_varint32(body + n, -1); /* no key */
    n += bytes_put_varint32(body + n, (int32_t)value_len);
    p += bytes_put_varint32(p, (int32_t)(n + value_len + 1));
    memcpy(p, body, n);
    p += n;
    rng_fill(rng, p, value_len);
    p += value_len;
    *p++ = 0; /* headers */
    return p;
}

int bench_batch_make(struct bench_batch *b, uint32_t records, uint32_t value_bytes, int64_t wall_ms,
                     struct rng *rng)
{
    uint8_t *h = malloc(batch_header_bytes + (size_t)records * (value_bytes + record_overhead_max));
    if (!h)
        return ERR_NO_MEMORY;
    uint8_t *p = h + batch_header_bytes;
    for (uint32_t i = 0; i < records; i++)
        p = put_record(p, rng, i, value_bytes);
    *b = (struct bench_batch){.bytes = h, .len = (uint32_t)(p - h), .records = records};
    bytes_put_u64(h, 0);
    bytes_put_u32(h + bench_batch_length_at, b->len - 12);
    bytes_put_u32(h + 12, UINT32_MAX); /* leader epoch */
    h[16] = 2;
    bytes_put_u16(h + bench_batch_covered_at, 0);
    bytes_put_u32(h + 23, records - 1);
    bytes_put_u64(h + 27, (uint64_t)wall_ms);
    bytes_put_u64(h + 35, (uint64_t)wall_ms);
    bytes_put_u64(h + 43, UINT64_MAX);
    bytes_put_u16(h + 51, UINT16_MAX);
    bytes_put_u32(h + 53, UINT32_MAX);
    bytes_put_u32(h + bench_batch_records_at, records);
    bytes_put_u32(h + bench_batch_crc_at,
                  crc32c(0, h + bench_batch_covered_at, b->len - bench_batch_covered_at));
    return 0;
}
