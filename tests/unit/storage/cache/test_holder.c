/* holder: counts of lends by reader, against a plain table; the table is never larger than it was made. */
#include "storage/cache/holder.h"

#include "base/rng.h"
#include "tests/unit/unit.h"

#define ids 50

static void test_counts(void)
{
    enum { most = 20 };
    struct holders h;
    struct rng rng;
    struct holder *at[ids + 1] = {0};
    uint32_t counts[ids + 1] = {0}, there = 0;
    rng_seed(&rng, unit_seed());
    CU_ASSERT_EQUAL_FATAL(holders_init(&h, most), 0);
    for (int i = 0; i < 20000; i++) {
        uint64_t id = 1 + rng_below(&rng, ids);
        if (counts[id] > 0 && rng_below(&rng, 2)) {
            uint32_t n = 1 + (uint32_t)rng_below(&rng, counts[id]);
            holders_drop(&h, at[id], n);
            counts[id] -= n;
            there -= counts[id] == 0;
        } else {
            uint32_t n = 1 + (uint32_t)rng_below(&rng, 5);
            struct holder *x = holders_add(&h, id, n);
            CU_ASSERT_EQUAL(x == NULL, there == most && counts[id] == 0);
            if (x == NULL)
                continue;
            CU_ASSERT(counts[id] == 0 || x == at[id]);
            at[id] = x;
            there += counts[id] == 0;
            counts[id] += n;
        }
        CU_ASSERT_EQUAL(holders_chunks(&h, id), counts[id]);
    }
    for (uint64_t id = 1; id <= ids; id++)
        CU_ASSERT_EQUAL(holders_chunks(&h, id), counts[id]);
    holders_fini(&h);
}

UNIT_MAIN("cache/holder", UNIT_CASE(test_counts))
