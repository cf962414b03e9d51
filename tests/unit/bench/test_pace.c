/* pace: a constant arrival keeps its distance, a Poisson one is exponential, seeded. Bounds: five deviations. */
#include <math.h>

#include "base/rng.h"
#include "bench/pace.h"
#include "tests/unit/unit.h"

#define seed    20240229 /* fixed: chance has no say in whether this passes */
#define samples 200000
#define rate    50000.0
#define mean_ns (1e9 / rate)

static void test_constant(void)
{
    struct rng rng;
    rng_seed(&rng, seed);
    int64_t at = 0;
    for (int i = 1; i <= 1000; i++) {
        at += pace_gap_ns(&rng, rate, false);
        CU_ASSERT_EQUAL(at, (int64_t)(i * mean_ns));
    }
    CU_ASSERT_EQUAL(pace_gap_ns(&rng, 0.5, false), 2000000000);
}

static void test_poisson(void)
{
    struct rng rng;
    double sum = 0, squares = 0;
    int over_mean = 0, over_twice = 0;
    rng_seed(&rng, seed);
    for (int i = 0; i < samples; i++) {
        int64_t gap = pace_gap_ns(&rng, rate, true);
        CU_ASSERT_FATAL(gap >= 0);
        sum += (double)gap;
        squares += (double)gap * (double)gap;
        over_mean += (double)gap > mean_ns;
        over_twice += (double)gap > 2 * mean_ns;
    }
    double mean = sum / samples, deviation = sqrt(squares / samples - mean * mean);
    CU_ASSERT_DOUBLE_EQUAL(mean, mean_ns, 5 * mean_ns / sqrt(samples));
    /* The fourth moment of an exponential: the deviation's own is mean * sqrt(2 / n). */
    CU_ASSERT_DOUBLE_EQUAL(deviation, mean_ns, 5 * mean_ns * sqrt(2.0 / samples));
    double e1 = exp(-1), e2 = exp(-2);
    CU_ASSERT_DOUBLE_EQUAL((double)over_mean / samples, e1, 5 * sqrt(e1 * (1 - e1) / samples));
    CU_ASSERT_DOUBLE_EQUAL((double)over_twice / samples, e2, 5 * sqrt(e2 * (1 - e2) / samples));
}

static void test_same_seed_same_gaps(void)
{
    struct rng a, b, other;
    int differ = 0;
    rng_seed(&a, seed);
    rng_seed(&b, seed);
    rng_seed(&other, seed + 1);
    for (int i = 0; i < 100; i++) {
        int64_t gap = pace_gap_ns(&a, rate, true);
        CU_ASSERT_EQUAL(pace_gap_ns(&b, rate, true), gap);
        differ += pace_gap_ns(&other, rate, true) != gap;
    }
    CU_ASSERT(differ > 90);
}

UNIT_MAIN("bench/pace", UNIT_CASE(test_constant), UNIT_CASE(test_poisson),
          UNIT_CASE(test_same_seed_same_gaps))
