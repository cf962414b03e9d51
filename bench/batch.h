/*
 * batch: the record batch that a load sends again and again.
 *
 * Purpose: a valid batch of magic 2 without compression, random values. Pure but for malloc.
 * Owner and memory: the caller frees it with free. Failure: ERR_NO_MEMORY.
 */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

#include <stdint.h>

struct rng;

struct bench_batch {
    uint8_t *bytes;
    uint32_t len;
    uint32_t records;
};

/* records of value_bytes each, all with the timestamp wall_ms. */
int bench_batch_make(struct bench_batch *b, uint32_t records, uint32_t value_bytes, int64_t wall_ms,
                     struct rng *rng);

/* Byte offsets of header fields that a reader of batches needs. */
#define bench_batch_length_at  8
#define bench_batch_crc_at     17
#define bench_batch_covered_at 21 /* the checksum covers from here to the end */
#define bench_batch_records_at 57

#endif
