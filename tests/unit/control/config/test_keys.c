#include "control/config/keys.h"
#include "fixture.h"

static void test_find(void)
{
    for (unsigned i = 0; i < CONFIG_KEY_COUNT; i++) {
        const struct config_def *def = config_key_def((enum config_key)i);
        CU_ASSERT_EQUAL(config_key_find(str_from(def->name)), i); /* no name twice */
        CU_ASSERT_TRUE(strlen(def->name) <= config_name_bytes_max);
    }
    CU_ASSERT_EQUAL(config_key_find(STR("num.partitions")), CONFIG_NUM_PARTITIONS);
    CU_ASSERT_EQUAL(config_key_find(STR("Num.partitions")), CONFIG_KEY_NONE);
    CU_ASSERT_EQUAL(config_key_find(STR("")), CONFIG_KEY_NONE);
    CU_ASSERT_EQUAL(config_key_find(STR_NULL), CONFIG_KEY_NONE);
}

static void test_synonyms(void)
{
    enum config_key keys[config_synonyms_max];
    CU_ASSERT_EQUAL(config_key_synonyms(CONFIG_LOG_RETENTION_HOURS, keys), 3);
    CU_ASSERT_EQUAL(keys[0], CONFIG_LOG_RETENTION_MS);
    CU_ASSERT_EQUAL(keys[1], CONFIG_LOG_RETENTION_MINUTES);
    CU_ASSERT_EQUAL(keys[2], CONFIG_LOG_RETENTION_HOURS);
    CU_ASSERT_EQUAL(config_key_synonyms(CONFIG_LOG_ROLL_MS, keys), 2);
    CU_ASSERT_EQUAL(config_key_synonyms(CONFIG_LOG_FLUSH_INTERVAL_MS, keys), 2);
    CU_ASSERT_EQUAL(config_key_synonyms(CONFIG_LOG_FLUSH_SCHEDULER_INTERVAL_MS, keys), 1);
    CU_ASSERT_EQUAL(keys[0], CONFIG_LOG_FLUSH_SCHEDULER_INTERVAL_MS);
    CU_ASSERT_EQUAL(config_key_synonyms(CONFIG_NODE_ID, keys), 1);
}

static void test_listener_names(void)
{
    struct str listener, rest;
    CU_ASSERT_TRUE(
        config_key_split_listener(STR("listener.name.in.sluice.transport"), &listener, &rest));
    ASSERT_STR(listener, "in");
    ASSERT_STR(rest, "sluice.transport");
    CU_ASSERT_FALSE(config_key_split_listener(STR("listener.name.x"), &listener, &rest));
    CU_ASSERT_FALSE(config_key_split_listener(STR("listener.name."), &listener, &rest));
    CU_ASSERT_FALSE(config_key_split_listener(STR("listeners"), &listener, &rest));
}

static void test_suggest(void)
{
    CU_ASSERT_STRING_EQUAL(config_key_suggest(STR("num.partition")), "num.partitions");
    CU_ASSERT_STRING_EQUAL(config_key_suggest(STR("log.retention.hour")), "log.retention.hours");
    CU_ASSERT_STRING_EQUAL(config_key_suggest(STR("sluice.durabilty")), "sluice.durability");
    CU_ASSERT_PTR_NULL(config_key_suggest(STR("something.else.entirely")));
    CU_ASSERT_PTR_NULL(config_key_suggest(STR("abc")));
    CU_ASSERT_PTR_NULL(config_key_suggest(STR("")));
    char text[config_name_bytes_max + 2];
    memset(text, 'a', sizeof(text));
    CU_ASSERT_PTR_NULL(config_key_suggest((struct str){text, config_name_bytes_max}));
    CU_ASSERT_PTR_NULL(config_key_suggest((struct str){text, config_name_bytes_max + 1}));
    CU_ASSERT_PTR_NOT_NULL(config_key_removed(STR("zookeeper.connect")));
    CU_ASSERT_PTR_NOT_NULL(config_key_removed(STR("inter.broker.protocol.version")));
    CU_ASSERT_PTR_NULL(config_key_removed(STR("zookeeper")));
}

/* Orders that stock Kafka 4.3.1 gave: a Java map with 64 buckets, a set of two. */
static void test_java_order(void)
{
    const char *const names[] = {"segment.bytes", "retention.ms", "cleanup.policy",
                                 "compression.type"};
    uint16_t order[4];
    config_java_order(names, 4, 64, order);
    CU_ASSERT_STRING_EQUAL(names[order[0]], "compression.type");
    CU_ASSERT_STRING_EQUAL(names[order[1]], "cleanup.policy");
    CU_ASSERT_STRING_EQUAL(names[order[2]], "segment.bytes");
    CU_ASSERT_STRING_EQUAL(names[order[3]], "retention.ms");
    CU_ASSERT_EQUAL(config_java_buckets(0), 16);
    CU_ASSERT_EQUAL(config_java_buckets(12), 16);
    CU_ASSERT_EQUAL(config_java_buckets(13), 32);
    CU_ASSERT_EQUAL(config_java_buckets(340), 512);
}

UNIT_MAIN("control/config/keys", UNIT_CASE(test_find), UNIT_CASE(test_synonyms),
          UNIT_CASE(test_listener_names), UNIT_CASE(test_suggest), UNIT_CASE(test_java_order))
