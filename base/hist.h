/*
 * hist: a log-linear histogram of durations (HdrHistogram's idea: exponent and linear sub-bucket).
 *
 * Purpose: latencies at a relative error under 1/32 (3.2 %) from 1 ns to 73 minutes, in fixed memory, with a
 * record of a few nanoseconds. Shared by the stage clocks and the load generator.
 * Owner: one writer; a reader on another thread sees torn totals at worst (counts are monotonic).
 * Never fails: values are clamped to the range.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdint.h>

#define HIST_SUB_BITS  5  /* 32 linear buckets per power of two */
#define HIST_EXPONENTS 38 /* up to 2^42 ns */
#define HIST_BUCKETS   ((HIST_EXPONENTS + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t count, sum, min, max; /* sum, min, max in the recorded unit (ns) */
    uint64_t bucket[HIST_BUCKETS];
};

void hist_init(struct hist *h);
void hist_record(struct hist *h, uint64_t value);
void hist_record_n(struct hist *h, uint64_t value, uint64_t n);
void hist_merge(struct hist *into, const struct hist *from);

/* Value at quantile q in [0, 1]: the upper edge of its bucket, at most max; 0 when empty. */
uint64_t hist_quantile(const struct hist *h, double q);
double hist_mean(const struct hist *h);

/* Lower edge of a bucket, for export. */
uint64_t hist_bucket_floor(uint32_t index);
uint32_t hist_bucket_index(uint64_t value);

#endif
