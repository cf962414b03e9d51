#include "control/meta/record.h"

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

static const enum meta_record_type types[] = {
    META_CLUSTER,
    META_BOOT,
    META_TOPIC,
    META_PARTITION,
    META_PARTITION_DIRECTORY,
    META_TOPIC_CONFIGS,
    META_TOPIC_REMOVING,
    META_TOPIC_REMOVED,
    META_BROKER_CONFIGS,
    META_CLUSTER_CONFIGS,
    META_PRODUCER_IDS,
    META_GROUP_CONFIGS,
};
#define type_count (sizeof(types) / sizeof(types[0]))

static struct meta_config sample_configs[3] = {{{"retention.ms", 12}, {"1000", 4}},
                                               {{"a", 1}, {"", 0}},
                                               {{"cleanup.policy", 14}, {"compact", 7}}};

/* Every field set; which of them a type carries is the codec's business. */
static struct meta_record sample(enum meta_record_type type)
{
    struct meta_record r = {.type = type,
                            .name = STR("orders"),
                            .internal = true,
                            .partition = 7,
                            .leader_epoch = 3,
                            .partition_epoch = 4,
                            .value = 1234567890123,
                            .os_durability = true,
                            .configs = sample_configs,
                            .config_count = 3};
    memset(r.id.b, 0x11, 16);
    memset(r.directory.b, 0x22, 16);
    return r;
}

static void every_type_comes_back(void)
{
    for (size_t i = 0; i < type_count; i++) {
        struct meta_record in = sample(types[i]), out;
        struct meta_config configs[meta_configs_max];
        uint8_t bytes[512], again[512];
        int64_t n = meta_record_size(&in);
        CU_ASSERT_FATAL(n > 0 && n < 512);
        CU_ASSERT_EQUAL(meta_record_encode(&in, bytes), (size_t)n);
        CU_ASSERT_EQUAL(meta_record_decode(bytes, (size_t)n, &out, configs), n);
        CU_ASSERT_EQUAL(out.type, in.type);
        CU_ASSERT_EQUAL(meta_record_encode(&out, again), (size_t)n);
        CU_ASSERT_EQUAL(memcmp(bytes, again, (size_t)n), 0);
        CU_ASSERT_STRING_NOT_EQUAL(meta_record_type_name(types[i]), "unknown");
    }
}

static void fields_are_kept(void)
{
    struct meta_record in = sample(META_PARTITION), out;
    struct meta_config configs[meta_configs_max];
    uint8_t bytes[512];
    size_t n = meta_record_encode(&in, bytes);
    CU_ASSERT_FATAL(meta_record_decode(bytes, n, &out, configs) > 0);
    CU_ASSERT_EQUAL(out.partition, 7);
    CU_ASSERT_EQUAL(out.leader_epoch, 3);
    CU_ASSERT_EQUAL(out.partition_epoch, 4);
    CU_ASSERT_TRUE(uuid_eq(&out.id, &in.id) && uuid_eq(&out.directory, &in.directory));

    in = sample(META_TOPIC_CONFIGS);
    n = meta_record_encode(&in, bytes);
    CU_ASSERT_FATAL(meta_record_decode(bytes, n, &out, configs) > 0);
    CU_ASSERT_EQUAL_FATAL(out.config_count, 3);
    CU_ASSERT_TRUE(str_eqz(out.configs[2].name, "cleanup.policy"));
    CU_ASSERT_TRUE(str_eqz(out.configs[2].value, "compact"));
    CU_ASSERT_TRUE(str_eqz(out.configs[1].value, ""));

    in = sample(META_BOOT);
    n = meta_record_encode(&in, bytes);
    CU_ASSERT_FATAL(meta_record_decode(bytes, n, &out, configs) > 0);
    CU_ASSERT_EQUAL(out.value, 1234567890123);
    CU_ASSERT_TRUE(out.os_durability);
}

static void cut_records_need_more(void)
{
    for (size_t i = 0; i < type_count; i++) {
        struct meta_record in = sample(types[i]), out = {.partition = -5};
        struct meta_config configs[meta_configs_max];
        uint8_t bytes[512];
        size_t n = meta_record_encode(&in, bytes);
        for (size_t cut = 0; cut < n; cut++) {
            uint8_t *exact = malloc(cut + 1);
            memcpy(exact, bytes, cut);
            CU_ASSERT_EQUAL(meta_record_decode(exact, cut, &out, configs), ERR_NEED_MORE);
            free(exact);
        }
        CU_ASSERT_EQUAL(out.partition, -5);
    }
}

static void unknown_types_and_versions_are_refused(void)
{
    struct meta_record in = sample(META_TOPIC), out;
    struct meta_config configs[meta_configs_max];
    uint8_t bytes[512];
    size_t n = meta_record_encode(&in, bytes);
    bytes[0] = 200;
    CU_ASSERT_EQUAL(meta_record_decode(bytes, n, &out, configs), ERR_UNSUPPORTED);
    bytes[0] = META_TOPIC;
    bytes[1] = 1;
    CU_ASSERT_EQUAL(meta_record_decode(bytes, n, &out, configs), ERR_UNSUPPORTED);
    struct meta_record wrong = {.type = 99};
    CU_ASSERT_EQUAL(meta_record_size(&wrong), ERR_INVALID);
}

static void lengths_that_disagree_are_malformed(void)
{
    struct meta_record in = sample(META_TOPIC), out;
    struct meta_config configs[meta_configs_max];
    uint8_t bytes[512] = {0};
    size_t n = meta_record_encode(&in, bytes);
    bytes[5]++; /* one byte more than the fields take */
    CU_ASSERT_EQUAL(meta_record_decode(bytes, n + 1, &out, configs), ERR_MALFORMED);
    bytes[5] -= 2; /* one less */
    CU_ASSERT_EQUAL(meta_record_decode(bytes, n, &out, configs), ERR_MALFORMED);
}

static void configs_at_the_limit(void)
{
    struct meta_config many[meta_configs_max + 1], configs[meta_configs_max];
    for (int i = 0; i <= meta_configs_max; i++)
        many[i] = (struct meta_config){STR("k"), STR("v")};
    struct meta_record in = {
        .type = META_BROKER_CONFIGS, .configs = many, .config_count = meta_configs_max};
    uint8_t *bytes = malloc(meta_configs_max * 10 + 64);
    int64_t n = meta_record_size(&in);
    CU_ASSERT_FATAL(n > 0);
    meta_record_encode(&in, bytes);
    struct meta_record out;
    CU_ASSERT_EQUAL(meta_record_decode(bytes, (size_t)n, &out, configs), n);
    CU_ASSERT_EQUAL(out.config_count, meta_configs_max);
    in.config_count++;
    CU_ASSERT_EQUAL(meta_record_size(&in), ERR_TOO_LARGE);
    free(bytes);

    char *long_text = calloc(1, meta_record_bytes_max);
    struct meta_config big = {STR("k"), {long_text, meta_record_bytes_max - 6 - 4 - 8 - 1}};
    in.configs = &big;
    in.config_count = 1;
    CU_ASSERT_EQUAL(meta_record_size(&in), meta_record_bytes_max);
    big.value.len++;
    CU_ASSERT_EQUAL(meta_record_size(&in), ERR_TOO_LARGE);
    free(long_text);
}

static void random_bytes_never_read_outside(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 20000; i++) {
        struct meta_record in = sample(types[rng_below(&rng, type_count)]), out;
        struct meta_config configs[meta_configs_max];
        uint8_t bytes[512];
        size_t n = meta_record_encode(&in, bytes);
        for (int k = 0; k < 3; k++)
            bytes[1 + rng_below(&rng, n - 1)] = (uint8_t)rng_u64(&rng);
        uint8_t *exact = malloc(n);
        memcpy(exact, bytes, n);
        int64_t got = meta_record_decode(exact, n, &out, configs);
        CU_ASSERT_TRUE(got == (int64_t)n || got < 0);
        free(exact);
    }
}

UNIT_MAIN("control/meta/record", UNIT_CASE(every_type_comes_back), UNIT_CASE(fields_are_kept),
          UNIT_CASE(cut_records_need_more), UNIT_CASE(unknown_types_and_versions_are_refused),
          UNIT_CASE(lengths_that_disagree_are_malformed), UNIT_CASE(configs_at_the_limit),
          UNIT_CASE(random_bytes_never_read_outside))
