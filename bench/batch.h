/*
 * batch: the record batches that a load sends again and again.
 *
 * Purpose: a valid batch of magic 2, random values, any compression, sizes drawn from a distribution. Pure but for
 * malloc. Owner and memory: the caller frees it with bench_batch_free. Failure: ERR_NO_MEMORY; ERR_TOO_LARGE.
 */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

#include <stdint.h>

#include "base/limits.h"

struct rng;

/* How sizes lie around their mean. */
enum spread {
    SPREAD_FIXED,
    SPREAD_UNIFORM,     /* 1 to twice the mean */
    SPREAD_EXPONENTIAL, /* at most ten times the mean */
};
uint32_t spread_draw(enum spread spread, uint32_t mean, struct rng *rng);

/* The values of the batch's attributes. */
enum pack_codec { PACK_NONE, PACK_GZIP, PACK_SNAPPY, PACK_LZ4, PACK_ZSTD, PACK_COUNT };

struct bench_batch_spec {
    uint32_t records, value_bytes; /* value_bytes: the mean */
    enum spread value_spread;
    enum pack_codec codec;
    uint32_t random_pct; /* per cent of a value that is random; the rest is one letter. 0: all */
};

struct bench_batch {
    uint8_t *bytes;
    uint32_t len;
    uint32_t records;
    /* The checksum of what follows the header, as a function of the checksum before it (see batch.c). */
    uint32_t tail_crc, tail_step[32];
};

/* All records have the timestamp wall_ms. */
int bench_batch_make(struct bench_batch *b, const struct bench_batch_spec *spec, int64_t wall_ms,
                     struct rng *rng);
void bench_batch_free(struct bench_batch *b);

/* The header of b with a producer's stamp and the checksum that goes with it; takes no pass over the records. */
void bench_batch_stamp(const struct bench_batch *b, int64_t producer_id, int16_t epoch,
                       int32_t sequence, uint8_t header[batch_header_bytes]);

/*
 * A value of at least bench_stamped_min bytes begins with the XXH3 of what follows in it, so that a reader can tell
 * that the contents are a load's own (fetch --verify 2).
 */
#define bench_stamp_bytes 8
#define bench_stamped_min 16

/* Byte offsets of header fields that a reader of batches needs. */
#define bench_batch_length_at  8
#define bench_batch_crc_at     17
#define bench_batch_covered_at 21 /* the checksum covers from here to the end */
#define bench_batch_delta_at   23 /* of the last offset */
#define bench_batch_records_at 57

#endif
