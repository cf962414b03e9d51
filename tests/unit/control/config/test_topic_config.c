#include "base/err.h"
#include "control/config/topic_config.h"
#include "fixture.h"

#define PAIRS(...)                                                                                 \
    ((struct config_pairs){(const struct config_pair[]){__VA_ARGS__},                              \
                           sizeof((const struct config_pair[]){__VA_ARGS__}) /                     \
                               sizeof(struct config_pair)})
#define PAIR(name, value)                                                                          \
    {                                                                                              \
        STR(name), STR(value)                                                                      \
    }

static void test_defaults(void)
{
    struct fixture f;
    struct topic_config t;
    fixture_load(&f, NULL, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(topic_config_build(f.config, (struct config_pairs){0}, &t), 0);
    CU_ASSERT_EQUAL(t.segment_bytes, 1 << 30);
    CU_ASSERT_EQUAL(t.segment_ms, 604800000);
    CU_ASSERT_EQUAL(t.segment_index_bytes, 10 << 20);
    CU_ASSERT_EQUAL(t.index_interval_bytes, 4096);
    CU_ASSERT_EQUAL(t.retention_ms, 604800000);
    CU_ASSERT_EQUAL(t.retention_bytes, -1);
    CU_ASSERT_EQUAL(t.max_message_bytes, 1048588);
    CU_ASSERT_EQUAL(t.timestamp_before_max_ms, INT64_MAX);
    CU_ASSERT_EQUAL(t.timestamp_after_max_ms, 3600000);
    CU_ASSERT_EQUAL(t.min_insync_replicas, 1);
    CU_ASSERT_EQUAL(t.compression, TOPIC_COMPRESSION_PRODUCER);
    CU_ASSERT_TRUE(t.is_deleted);
    CU_ASSERT_FALSE(t.is_compacted || t.is_append_time || t.is_preallocated);
    fixture_free(&f);
}

/* The broker's settings below the topic's own. */
static void test_layers(void)
{
    struct fixture f;
    struct topic_config t;
    fixture_load(&f,
                 "log.retention.minutes=2\nlog.segment.bytes=2000000\nlog.roll.hours=1\n"
                 "compression.type=zstd\nlog.cleanup.policy=compact\nmessage.max.bytes=5000\n"
                 "log.flush.scheduler.interval.ms=77\nlog.message.timestamp.type=LogAppendTime",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    CU_ASSERT_EQUAL_FATAL(
        topic_config_build(f.config, PAIRS(PAIR("retention.bytes", "9"), PAIR("nope", "1")), &t),
        0);
    CU_ASSERT_EQUAL(t.retention_ms, 120000);
    CU_ASSERT_EQUAL(t.retention_bytes, 9);
    CU_ASSERT_EQUAL(t.segment_bytes, 2000000);
    CU_ASSERT_EQUAL(t.segment_ms, 3600000);
    CU_ASSERT_EQUAL(t.flush_ms, 77);
    CU_ASSERT_EQUAL(t.compression, TOPIC_COMPRESSION_ZSTD);
    CU_ASSERT_TRUE(t.is_compacted && !t.is_deleted && t.is_append_time);
    CU_ASSERT_EQUAL_FATAL(
        topic_config_build(
            f.config,
            PAIRS(PAIR("retention.ms", " 8 "), PAIR("cleanup.policy", "delete,compact"),
                  PAIR("compression.type", "uncompressed"), PAIR("segment.bytes", "1048576"),
                  PAIR("internal.segment.bytes", "4096"), PAIR("max.message.bytes", "wrong"),
                  PAIR("message.timestamp.type", "CreateTime")),
            &t),
        0);
    CU_ASSERT_EQUAL(t.retention_ms, 8);
    CU_ASSERT_EQUAL(t.segment_bytes, 4096);
    CU_ASSERT_EQUAL(t.max_message_bytes, 5000); /* what is stored and wrong counts as not set */
    CU_ASSERT_EQUAL(t.compression, TOPIC_COMPRESSION_NONE);
    CU_ASSERT_TRUE(t.is_compacted && t.is_deleted && !t.is_append_time);
    CU_ASSERT_EQUAL_FATAL(
        topic_config_build(
            f.config, PAIRS(PAIR("cleanup.policy", ""), PAIR("internal.segment.bytes", "-1")), &t),
        0);
    CU_ASSERT_FALSE(t.is_compacted || t.is_deleted);
    CU_ASSERT_EQUAL(t.segment_bytes, 1);
    fixture_free(&f);
}

static void check(const struct fixture *f, struct config_pairs own, const char *message)
{
    struct arena arena;
    struct str why = STR("");
    arena_init(&arena, 1 << 20);
    int err = topic_config_validate(f->config, own, &arena, &why);
    CU_ASSERT_EQUAL(err, *message ? ERR_INVALID : 0);
    ASSERT_STR(why, message);
    arena_free(&arena);
}

static void test_validate(void)
{
    struct fixture f;
    fixture_load(&f, "log.cleaner.max.compaction.lag.ms=50", NULL, 0);
    check(&f, PAIRS(PAIR("retention.ms", "-1"), PAIR("segment.bytes", "1048576")), "");
    check(&f, PAIRS(PAIR("retention.ms", "x"), PAIR("nope", "1")),
          "Unknown topic config name: nope");
    check(&f, PAIRS(PAIR("x1", "1"), PAIR("x2", "2"), PAIR("a1", "3")),
          "Unknown topic config name: a1");
    check(&f, PAIRS(PAIR("retention.ms", "x"), PAIR("segment.bytes", "y")),
          "Invalid value y for configuration segment.bytes: Not a number of type INT");
    check(&f, PAIRS(PAIR("min.compaction.lag.ms", "51")),
          "conflict topic config setting min.compaction.lag.ms (51) > max.compaction.lag.ms (50)");
    check(&f, PAIRS(PAIR("remote.storage.enable", "true")),
          "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with "
          "remote log storage.");
    fixture_free(&f);
}

static void test_keys(void)
{
    for (unsigned i = 0; i < TOPIC_KEY_COUNT; i++) {
        const struct config_def *def = topic_key_def((enum topic_key)i);
        CU_ASSERT_EQUAL(topic_key_find(str_from(def->name)), i);
        enum config_key broker = topic_key_broker_key((enum topic_key)i);
        if (broker != CONFIG_KEY_NONE) /* the value is taken over as it is */
            CU_ASSERT_EQUAL(config_key_def(broker)->type, def->type);
    }
    CU_ASSERT_EQUAL(topic_key_find(STR("nope")), TOPIC_KEY_COUNT);
}

UNIT_MAIN("control/config/topic_config", UNIT_CASE(test_defaults), UNIT_CASE(test_layers),
          UNIT_CASE(test_validate), UNIT_CASE(test_keys))
