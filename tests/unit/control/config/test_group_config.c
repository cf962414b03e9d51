#include "control/config/group_config.h"

#include "base/err.h"
#include "control/config/alter.h"
#include "control/config/describe.h"
#include "fixture.h"

#define PAIRS(...)                                                                                 \
    ((struct config_pairs){(const struct config_pair[]){__VA_ARGS__},                              \
                           sizeof((const struct config_pair[]){__VA_ARGS__}) /                     \
                               sizeof(struct config_pair)})
#define PAIR(name, value)                                                                          \
    {                                                                                              \
        STR(name), STR(value)                                                                      \
    }
#define SESSION   "consumer.session.timeout.ms"
#define HEARTBEAT "consumer.heartbeat.interval.ms"
#define INTERVAL  "consumer.assignment.interval.ms"

static void test_values(void)
{
    struct fixture f;
    fixture_load(&f,
                 "group.consumer.session.timeout.ms=46000\n"
                 "group.consumer.max.session.timeout.ms=50000",
                 NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    enum group_key key = group_key_find(STR(SESSION));
    CU_ASSERT_EQUAL(key, GROUP_KEY_SESSION_TIMEOUT_MS);
    CU_ASSERT_EQUAL(group_key_find(STR("share.session.timeout.ms")), GROUP_KEY_COUNT);
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR_NULL), 46000);
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR("48000")), 48000);
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR("no number")), 46000);
    /* Stored under other bounds of the broker. */
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR("60000")), 50000);
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR("9999999999999")), 50000);
    CU_ASSERT_EQUAL(group_config_value(f.config, key, STR("1")), 45000);
    fixture_free(&f);
}

static void test_refused(void)
{
    static const struct {
        struct config_pair pair;
        const char *why;
    } bad[] = {
        {PAIR("no.such.key", "1"), "Unknown group config name: no.such.key"},
        {PAIR(SESSION, "x"),
         "Invalid value x for configuration " SESSION ": Not a number of type INT"},
        {PAIR(SESSION, "0"),
         "Invalid value 0 for configuration " SESSION ": Value must be at least 1"},
        {PAIR(SESSION, "44999"),
         SESSION " must be greater than or equal to group.consumer.min.session.timeout.ms"},
        {PAIR(SESSION, "60001"),
         SESSION " must be less than or equal to group.consumer.max.session.timeout.ms"},
        {PAIR(HEARTBEAT, "4999"),
         HEARTBEAT " must be greater than or equal to group.consumer.min.heartbeat.interval.ms"},
        {PAIR(INTERVAL, "15001"),
         INTERVAL " must be less than or equal to group.consumer.max.assignment.interval.ms"},
    };
    static const struct config_pair good[] = {PAIR(SESSION, "45000"),  PAIR(SESSION, "60000"),
                                              PAIR(HEARTBEAT, "5000"), PAIR(HEARTBEAT, "15000"),
                                              PAIR(INTERVAL, "0"),     PAIR(INTERVAL, "15000")};
    struct fixture f;
    struct arena arena;
    struct str why;
    arena_init(&arena, 1 << 20);
    fixture_load(&f, NULL, NULL, 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct config_pairs own = {&bad[i].pair, 1};
        CU_ASSERT_EQUAL(group_config_validate(f.config, own, &arena, &why), ERR_INVALID);
        CU_ASSERT_TRUE(str_eqz(why, bad[i].why));
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct config_pairs own = {&good[i], 1};
        CU_ASSERT_EQUAL(group_config_validate(f.config, own, &arena, &why), 0);
    }
    arena_free(&arena);
    fixture_free(&f);
}

/* The ops of one request, and what they come to. */
static void test_alter(void)
{
    struct config_op ops[] = {{STR(SESSION), STR(" 50000 "), CONFIG_OP_SET},
                              {STR(HEARTBEAT), STR_NULL, CONFIG_OP_DELETE},
                              {STR("no.such.key"), STR_NULL, CONFIG_OP_DELETE}};
    struct config_pairs now = PAIRS(PAIR(HEARTBEAT, "6000"), PAIR(INTERVAL, "7"));
    struct config_alter_result r;
    struct fixture f;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    fixture_load(&f, NULL, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(
        config_alter_group(f.config, CONFIG_ALTER_INCREMENTAL, now, ops, 3, &arena, &r), 0);
    CU_ASSERT_EQUAL(r.error, 0);
    CU_ASSERT_EQUAL_FATAL(r.pairs.count, 2);
    CU_ASSERT_TRUE(str_eqz(r.pairs.items[0].name, INTERVAL));
    CU_ASSERT_TRUE(str_eqz(r.pairs.items[1].value, "50000"));
    CU_ASSERT_EQUAL_FATAL(
        config_alter_group(f.config, CONFIG_ALTER_REPLACE, now, ops, 1, &arena, &r), 0);
    CU_ASSERT_EQUAL(r.pairs.count, 1);
    for (int8_t type = -1; type <= 4; type++) {
        struct config_op op = {STR(SESSION), STR("50000"), type};
        int16_t wanted = type == CONFIG_OP_SET || type == CONFIG_OP_DELETE ? 0
                         : type == CONFIG_OP_APPEND || type == CONFIG_OP_SUBTRACT
                             ? KERR_INVALID_CONFIG
                             : KERR_UNKNOWN_SERVER_ERROR;
        CU_ASSERT_EQUAL_FATAL(
            config_alter_group(f.config, CONFIG_ALTER_INCREMENTAL, now, &op, 1, &arena, &r), 0);
        CU_ASSERT_EQUAL(r.error, wanted);
    }
    arena_free(&arena);
    fixture_free(&f);
}

static void test_describe(void)
{
    struct config_entries entries;
    struct fixture f;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    fixture_load(&f, "group.consumer.heartbeat.interval.ms=6000", NULL, 0);
    CU_ASSERT_EQUAL_FATAL(
        config_describe_group(f.config, PAIRS(PAIR(SESSION, "50000")), &arena, &entries), 0);
    CU_ASSERT_EQUAL_FATAL(entries.count, GROUP_KEY_COUNT);
    const struct config_entry *session = &entries.items[GROUP_KEY_SESSION_TIMEOUT_MS];
    CU_ASSERT_TRUE(str_eqz(session->value, "50000"));
    CU_ASSERT_EQUAL(session->source, CONFIG_SOURCE_GROUP);
    CU_ASSERT_EQUAL(session->synonym_count, 2);
    const struct config_entry *beat = &entries.items[GROUP_KEY_HEARTBEAT_INTERVAL_MS];
    CU_ASSERT_TRUE(str_eqz(beat->value, "6000"));
    CU_ASSERT_EQUAL(beat->source, CONFIG_SOURCE_STATIC);
    CU_ASSERT_TRUE(str_eqz(beat->synonyms[0].name, "group.consumer.heartbeat.interval.ms"));
    arena_free(&arena);
    fixture_free(&f);
}

UNIT_MAIN("control/config/group_config", UNIT_CASE(test_values), UNIT_CASE(test_refused),
          UNIT_CASE(test_alter), UNIT_CASE(test_describe))
