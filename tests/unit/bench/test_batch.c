/* batch: what the load sends is a batch that the log takes. */
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "storage/plog/batch.h"
#include "tests/unit/core/with_eal.h"

static struct rte_mempool *pool;

static void check_one(uint32_t records, uint32_t value_bytes)
{
    struct rng rng;
    struct bench_batch b;
    rng_seed(&rng, unit_seed());
    CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, records, value_bytes, 1700000000000, &rng), 0);
    CU_ASSERT_EQUAL(b.records, records);
    struct chain c;
    chain_init(&c);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&c, pool, b.bytes, b.len), 0);
    struct batch_rules rules = {.from_client = true, .max_bytes = 1 << 20};
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    bool marks;
    CU_ASSERT_EQUAL(
        batch_check((struct chain_view){chain_pos_at(&c, 0), b.len}, &rules, raw, &h, &marks), 0);
    CU_ASSERT_EQUAL(batch_check_fields(&h, true), 0);
    CU_ASSERT_EQUAL(h.last_delta, (int32_t)records - 1);
    CU_ASSERT(b.len >= records * value_bytes);
    chain_free(&c);
    free(b.bytes);
}

static void test_batches(void)
{
    check_one(1, 0);
    check_one(1, 100);
    check_one(150, 100);
    check_one(600, 100);
    check_one(1, 100000);
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(test_batches)};
    with_eal(64);
    pool = with_pool("data", 1023, 1024);
    return unit_run("bench/batch", cases, sizeof(cases) / sizeof(*cases));
}
