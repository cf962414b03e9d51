#include "base/rng.h"
#include "tests/unit/unit.h"

#include <string.h>

static void same_seed_same_run(void)
{
    struct rng a, b, c;
    rng_seed(&a, 42);
    rng_seed(&b, 42);
    rng_seed(&c, 43);
    int differ = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t v = rng_u64(&a);
        CU_ASSERT(v == rng_u64(&b));
        differ += v != rng_u64(&c);
    }
    CU_ASSERT(differ == 1000);
}

static void below_stays_below_and_spreads(void)
{
    struct rng r;
    rng_seed(&r, unit_seed());
    int count[10] = {0};
    for (int i = 0; i < 100000; i++) {
        uint64_t v = rng_below(&r, 10);
        CU_ASSERT_FATAL(v < 10);
        count[v]++;
    }
    for (int i = 0; i < 10; i++)
        CU_ASSERT(count[i] > 9000 && count[i] < 11000);
    for (int i = 0; i < 1000; i++)
        CU_ASSERT(rng_below(&r, 1) == 0);
}

static void fill_every_length(void)
{
    struct rng r;
    rng_seed(&r, unit_seed());
    for (size_t n = 0; n < 40; n++) {
        unsigned char b[41];
        memset(b, 0, sizeof(b));
        rng_fill(&r, b, n);
        CU_ASSERT(b[n] == 0);
    }
    CU_ASSERT(rng_entropy() != rng_entropy());
}

UNIT_MAIN("rng", UNIT_CASE(same_seed_same_run), UNIT_CASE(below_stays_below_and_spreads),
          UNIT_CASE(fill_every_length))
