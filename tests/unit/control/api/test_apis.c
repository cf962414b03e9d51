/* Every API of control at every version: a good request, and bytes that are none. */
#include <string.h>

#include "base/bytes.h"
#include "tests/unit/control/api/goods.h"

static struct ask ask;

static void each(void (*run)(const struct good *g, int version, struct ask_bytes b))
{
    log_set_level(LOG_LEVEL_ERROR); /* hundreds of conns are closed */
    ask_up(&ask);
    for (size_t i = 0; i < goods_count; i++) {
        const struct api_range range = api_find(goods[i].key)->served;
        for (int v = range.min; v <= range.max; v++) {
            struct ask_bytes b = goods[i].make(&ask, v);
            run(&goods[i], v, b);
            free(b.p);
        }
    }
    ask_down(&ask);
}

static void answered(const struct good *g, int version, struct ask_bytes b)
{
    struct reader rd;
    CU_ASSERT_FATAL(ask_raw(&ask, g->key, version, b.p, b.n, &rd));
    g->check(&ask, version, &rd);
}

static void good_ones(void)
{
    each(answered);
}

static void closed_at_each_cut(const struct good *g, int version, struct ask_bytes b)
{
    struct reader rd;
    for (size_t n = 0; n < b.n; n++)
        CU_ASSERT_FALSE(ask_raw(&ask, g->key, version, b.p, n, &rd));
    answered(g, version, b);
}

static void cut_at_every_byte(void)
{
    each(closed_at_each_cut);
}

/* What may be a small count, or what may be one in an unsigned varint (one more than the count). */
static bool small_number(const uint8_t *p, bool compact)
{
    return compact ? *p >= 2 && *p <= 9 : bytes_get_u32(p) - 1 < 9;
}

/* A billion and one entries wherever a few are claimed. */
static void claim(const struct good *g, int version, struct ask_bytes b, bool compact)
{
    static const uint8_t varint[] = {0x82, 0x94, 0xeb, 0xdc, 0x03};
    uint8_t plain[4];
    bytes_put_u32(plain, 1000000001);
    const uint8_t *p = compact ? varint : plain;
    size_t width = compact ? 1 : sizeof(plain), n = compact ? sizeof(varint) : sizeof(plain);
    uint8_t *lie = malloc(b.n + n);
    CU_ASSERT_PTR_NOT_NULL_FATAL(lie);
    for (size_t at = 0; at + width <= b.n; at++) {
        struct reader rd;
        if (!small_number(b.p + at, compact))
            continue;
        memcpy(lie, b.p, at);
        memcpy(lie + at, p, n);
        memcpy(lie + at + n, b.p + at + width, b.n - at - width);
        if (ask_raw(&ask, g->key, version, lie, b.n - width + n, &rd))
            CU_ASSERT(reader_left(&rd) > 0); /* it was no count: an answer, whatever it says */
    }
    free(lie);
}

static void claims_everywhere(const struct good *g, int version, struct ask_bytes b)
{
    claim(g, version, b, false);
    claim(g, version, b, true);
}

static void a_billion_entries(void)
{
    each(claims_everywhere);
}

/* The outermost array is the first thing in these. */
static void first_array_claims(void)
{
    static const int16_t keys[] = {API_Metadata,        API_CreateTopics,     API_DeleteTopics,
                                   API_DescribeConfigs, API_CreatePartitions, API_DeleteRecords};
    static const uint32_t counts[] = {1000000000, INT32_MAX, 0x80000000, 0xfffffffe};
    log_set_level(LOG_LEVEL_ERROR);
    ask_up(&ask);
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        for (size_t k = 0; k < sizeof(counts) / sizeof(counts[0]); k++) {
            uint8_t b[64] = {0};
            struct reader rd;
            bytes_put_u32(b, counts[k]);
            /* Kafka reads any negative count as null, which Metadata takes for all topics. */
            bool null_taken = keys[i] == API_Metadata && counts[k] > INT32_MAX;
            CU_ASSERT_EQUAL(ask_raw(&ask, keys[i], 1, b, sizeof(b), &rd), null_taken);
        }
    ask_down(&ask);
}

static void noise(void)
{
    uint8_t b[200];
    log_set_level(LOG_LEVEL_ERROR);
    ask_up(&ask);
    for (int i = 0; i < 3000; i++) {
        const struct good *g = &goods[rng_below(&ask.rng, goods_count)];
        const struct api_range range = api_find(g->key)->served;
        int version = range.min + (int)rng_below(&ask.rng, (uint64_t)(range.max - range.min + 1));
        struct reader rd;
        rng_fill(&ask.rng, b, sizeof(b));
        if (i % 3 == 0)
            memset(b, 0, rng_below(&ask.rng, 20));
        ask_raw(&ask, g->key, version, b, rng_below(&ask.rng, sizeof(b)), &rd);
    }
    struct ask_bytes m = goods[1].make(&ask, 12);
    answered(&goods[1], 12, m);
    free(m.p);
    ask_down(&ask);
}

/* Honest arrays whose decoded form does not fit into request_arena_bytes_max. */
static void arena_full(void)
{
    enum { entries = 3000000 };
    size_t n = 4 + 2 * (size_t)entries;
    uint8_t *b = calloc(1, n);
    struct reader rd;
    CU_ASSERT_PTR_NOT_NULL_FATAL(b);
    log_set_level(LOG_LEVEL_ERROR);
    ask_up(&ask);
    bytes_put_u32(b, entries);
    CU_ASSERT_FALSE(ask_raw(&ask, API_Metadata, 1, b, n, &rd));
    bytes_put_u32(b, 100); /* what follows is ignored, as Kafka does */
    CU_ASSERT_TRUE(ask_raw(&ask, API_Metadata, 1, b, n, &rd));
    free(b);
    ask_down(&ask);
}

static void unknown_keys(void)
{
    struct reader rd;
    log_set_level(LOG_LEVEL_ERROR);
    ask_up(&ask);
    CU_ASSERT_FALSE(ask_raw(&ask, 99, 0, "", 0, &rd));
    CU_ASSERT_FALSE(ask_raw(&ask, -1, 0, "", 0, &rd));
    CU_ASSERT_FALSE(ask_raw(&ask, API_Produce, 9, "", 0, &rd));
    ask_down(&ask);
}

UNIT_MAIN("control/api/apis", UNIT_CASE(good_ones), UNIT_CASE(cut_at_every_byte),
          UNIT_CASE(a_billion_entries), UNIT_CASE(first_array_claims), UNIT_CASE(noise),
          UNIT_CASE(arena_full), UNIT_CASE(unknown_keys))
