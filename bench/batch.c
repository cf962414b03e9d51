#include "bench/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/rng.h"
#include "bench/pack.h"

#define record_overhead_max 48
#define spread_factor_max   10 /* of the mean */
#define producer_at         43

uint32_t spread_draw(enum spread spread, uint32_t mean, struct rng *rng)
{
    if (spread == SPREAD_FIXED || mean == 0)
        return mean;
    if (spread == SPREAD_UNIFORM)
        return 1 + (uint32_t)rng_below(rng, 2 * (uint64_t)mean);
    double u = ((double)rng_below(rng, UINT32_MAX) + 1) / ((double)UINT32_MAX + 1);
    double size = -log(u) * mean;
    return (uint32_t)fmin(fmax(size, 1), (double)spread_factor_max * mean);
}

static uint8_t *put_record(uint8_t *p, struct rng *rng, uint32_t index, uint32_t value_len,
                           uint32_t random_pct)
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
    uint32_t random = random_pct ? (uint32_t)((uint64_t)value_len * random_pct / 100) : value_len;
    rng_fill(rng, p, random);
    memset(p + random, 'x', value_len - random);
    if (value_len >= bench_stamped_min)
        bytes_put_u64(p, XXH3_64bits(p + bench_stamp_bytes, value_len - bench_stamp_bytes));
    p += value_len;
    *p++ = 0; /* headers */
    return p;
}

/* The records, plain, malloc'd. */
static int make_records(const struct bench_batch_spec *spec, struct rng *rng, uint8_t **out,
                        uint32_t *len)
{
    uint32_t *sizes = malloc(((size_t)spec->records + 1) * sizeof(*sizes));
    uint64_t total = 0;
    if (!sizes)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < spec->records; i++) {
        sizes[i] = spread_draw(spec->value_spread, spec->value_bytes, rng);
        total += sizes[i] + record_overhead_max;
    }
    uint8_t *plain = total < INT32_MAX ? malloc(total + 1) : NULL;
    uint8_t *p = plain;
    for (uint32_t i = 0; plain && i < spec->records; i++)
        p = put_record(p, rng, i, sizes[i], spec->random_pct);
    free(sizes);
    if (!plain)
        return total < INT32_MAX ? ERR_NO_MEMORY : ERR_TOO_LARGE;
    *out = plain;
    *len = (uint32_t)(p - plain);
    return 0;
}

static void put_header(uint8_t *h, const struct bench_batch *b, enum pack_codec codec,
                       int64_t wall_ms)
{
    bytes_put_u64(h, 0);
    bytes_put_u32(h + bench_batch_length_at, b->len - 12);
    bytes_put_u32(h + 12, UINT32_MAX); /* leader epoch */
    h[16] = 2;
    bytes_put_u16(h + bench_batch_covered_at, (uint16_t)codec);
    bytes_put_u32(h + bench_batch_delta_at, b->records - 1);
    bytes_put_u64(h + 27, (uint64_t)wall_ms);
    bytes_put_u64(h + 35, (uint64_t)wall_ms);
    bytes_put_u64(h + producer_at, UINT64_MAX);
    bytes_put_u16(h + producer_at + 8, UINT16_MAX);
    bytes_put_u32(h + producer_at + 10, UINT32_MAX);
    bytes_put_u32(h + bench_batch_records_at, b->records);
    bytes_put_u32(h + bench_batch_crc_at,
                  crc32c(0, h + bench_batch_covered_at, b->len - bench_batch_covered_at));
}

/*
 * A CRC continued from c is affine in c: crc(c, tail) = crc(0, tail) ^ (the sum over the bits of c of what each bit
 * changes). So a batch whose header alone changes needs no pass over its records.
 */
static void learn_tail(struct bench_batch *b)
{
    const uint8_t *tail = b->bytes + batch_header_bytes;
    size_t n = b->len - batch_header_bytes;
    b->tail_crc = crc32c(0, tail, n);
    for (uint32_t i = 0; i < 32; i++)
        b->tail_step[i] = crc32c(1u << i, tail, n) ^ b->tail_crc;
}

void bench_batch_stamp(const struct bench_batch *b, int64_t producer_id, int16_t epoch,
                       int32_t sequence, uint8_t header[batch_header_bytes])
{
    memcpy(header, b->bytes, batch_header_bytes);
    bytes_put_u64(header + producer_at, (uint64_t)producer_id);
    bytes_put_u16(header + producer_at + 8, (uint16_t)epoch);
    bytes_put_u32(header + producer_at + 10, (uint32_t)sequence);
    uint32_t before =
        crc32c(0, header + bench_batch_covered_at, batch_header_bytes - bench_batch_covered_at);
    uint32_t crc = b->tail_crc;
    for (uint32_t i = 0; i < 32; i++)
        crc ^= before >> i & 1 ? b->tail_step[i] : 0;
    bytes_put_u32(header + bench_batch_crc_at, crc);
}

int bench_batch_make(struct bench_batch *b, const struct bench_batch_spec *spec, int64_t wall_ms,
                     struct rng *rng)
{
    uint8_t *plain = NULL;
    uint32_t plain_len = 0;
    int err = make_records(spec, rng, &plain, &plain_len);
    if (err)
        return err;
    size_t room = pack_bound(spec->codec, plain_len);
    uint8_t *h = malloc(batch_header_bytes + room);
    size_t packed = 0;
    err = h ? pack(spec->codec, plain, plain_len, h + batch_header_bytes, room, &packed)
            : ERR_NO_MEMORY;
    free(plain);
    if (err) {
        free(h);
        return err;
    }
    *b = (struct bench_batch){
        .bytes = h, .len = batch_header_bytes + (uint32_t)packed, .records = spec->records};
    put_header(h, b, spec->codec, wall_ms);
    learn_tail(b);
    return 0;
}

void bench_batch_free(struct bench_batch *b)
{
    free(b->bytes);
    b->bytes = NULL;
}
