#include "base/hist.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

#include <string.h>

static void buckets_are_ordered_and_tight(void)
{
    uint64_t last = 0;
    for (uint32_t i = 1; i < HIST_BUCKETS; i++) {
        uint64_t floor = hist_bucket_floor(i);
        CU_ASSERT_FATAL(floor > last);
        CU_ASSERT_FATAL(hist_bucket_index(floor) == i);
        CU_ASSERT_FATAL(hist_bucket_index(floor - 1) == i - 1);
        CU_ASSERT_FATAL(i < 64 || (floor - last) * 32 <= last);
        last = floor;
    }
    CU_ASSERT(hist_bucket_index(UINT64_MAX) == HIST_BUCKETS - 1);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_against_sorting(void)
{
    static struct hist h, half;
    static uint64_t v[20000];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    hist_init(&h);
    hist_init(&half);
    CU_ASSERT(hist_quantile(&h, 0.5) == 0);
    for (int i = 0; i < 20000; i++) {
        v[i] = rng_below(&rng, 1ull << (1 + rng_below(&rng, 40)));
        hist_record(i & 1 ? &h : &half, v[i]);
    }
    hist_merge(&h, &half);
    CU_ASSERT(h.count == 20000);
    qsort(v, 20000, sizeof(v[0]), by_value);
    CU_ASSERT(h.min == v[0] && h.max == v[19999]);
    for (double q = 0.01; q <= 1.0; q += 0.01) {
        uint64_t rank = (uint64_t)(q * 20000 + 0.5);
        uint64_t exact = v[rank - 1], got = hist_quantile(&h, q);
        CU_ASSERT_FATAL(got >= exact && got <= exact + exact / 31 + 1);
    }
}

UNIT_MAIN("hist", UNIT_CASE(buckets_are_ordered_and_tight), UNIT_CASE(quantiles_against_sorting))
