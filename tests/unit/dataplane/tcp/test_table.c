/* table: against a flat model, with removals that close gaps, at its limit. */
#include "dataplane/tcp/table.h"

#include <string.h>

#include "tests/unit/unit.h"

#define KEYS 4000

static struct tcp_key keys[KEYS];

static const struct tcp_key *key_of(const void *ctx, table_ref ref)
{
    return &keys[table_ref_index(ref)];
}

static void against_a_model(void)
{
    static bool in[KEYS];
    struct rng r;
    struct table t;
    rng_seed(&r, unit_seed());
    rng_fill(&r, keys, sizeof keys);
    memset(in, 0, sizeof in);
    CU_ASSERT_EQUAL_FATAL(table_init(&t, KEYS, rng_u64(&r), key_of, NULL), 0);
    for (int i = 0; i < 200000; i++) {
        uint32_t k = (uint32_t)rng_below(&r, KEYS);
        table_ref ref = table_ref_of(TCP_BLOCK_CONN, k);
        CU_ASSERT_EQUAL_FATAL(table_get(&t, &keys[k]), in[k] ? ref : 0);
        if (in[k])
            table_remove(&t, &keys[k]);
        else
            table_put(&t, &keys[k], ref);
        in[k] = !in[k];
    }
    uint32_t count = 0;
    for (uint32_t k = 0; k < KEYS; k++)
        count += in[k];
    CU_ASSERT_EQUAL(t.count, count);
    table_free(&t);
}

static void full(void)
{
    struct table t;
    struct rng r;
    rng_seed(&r, unit_seed() + 1);
    rng_fill(&r, keys, sizeof keys);
    CU_ASSERT_EQUAL_FATAL(table_init(&t, KEYS, 7, key_of, NULL), 0);
    for (uint32_t k = 0; k < KEYS; k++)
        table_put(&t, &keys[k], table_ref_of(TCP_BLOCK_SYN, k));
    for (uint32_t k = 0; k < KEYS; k++) {
        table_ref ref = table_get(&t, &keys[k]);
        CU_ASSERT_TRUE_FATAL(table_ref_kind(ref) == TCP_BLOCK_SYN && table_ref_index(ref) == k);
        table_replace(&t, &keys[k], table_ref_of(TCP_BLOCK_CONN, k));
    }
    for (uint32_t k = 0; k < KEYS; k++)
        table_remove(&t, &keys[k]);
    CU_ASSERT_EQUAL(t.count, 0);
    table_free(&t);
}

UNIT_MAIN("dataplane/tcp/table", UNIT_CASE(against_a_model), UNIT_CASE(full))
