#include "base/err.h"
#include "base/rng.h"
#include "control/config/alter.h"
#include "control/config/topic_config.h"
#include "fixture.h"

static struct str field(const char *text)
{
    return strcmp(text, "\\0") == 0 ? STR_NULL : str_from(text);
}

static int8_t op_type(const char *name)
{
    static const char *const names[] = {"SET", "DELETE", "APPEND", "SUBTRACT"};
    for (int8_t i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return 9;
}

/* Runs one recorded line: error, message, T|B|C, name, operations. */
static void run_line(const struct config *c, char *fields[], int n, struct arena *arena)
{
    struct config_op ops[16];
    struct config_alter_result result;
    uint32_t count = 0;
    bool create = fields[2][0] == 'C';
    for (int i = 4; i + (create ? 1 : 2) < n; i += create ? 2 : 3)
        ops[count++] = create ? (struct config_op){field(fields[i]), field(fields[i + 1]), 0}
                              : (struct config_op){field(fields[i + 1]), field(fields[i + 2]),
                                                   op_type(fields[i])};
    int err = fields[2][0] == 'B'
                  ? config_alter_broker(c, CONFIG_ALTER_INCREMENTAL, str_from(fields[3]), true, ops,
                                        count, arena, &result)
                  : config_alter_topic(c, create ? CONFIG_ALTER_CREATE : CONFIG_ALTER_INCREMENTAL,
                                       (struct config_pairs){0}, ops, count, arena, &result);
    CU_ASSERT_EQUAL(err, 0);
    CU_ASSERT_STRING_EQUAL(kerr_name(result.error), fields[0]);
    struct str message = result.message.p ? result.message : STR("");
    if (!str_eqz(message, fields[1]) || strcmp(kerr_name(result.error), fields[0]) != 0)
        printf("    %s %s %s %s: %s '%.*s'\n", fields[2], fields[3], n > 5 ? fields[5] : "",
               n > 6 ? fields[6] : "", kerr_name(result.error), STR_ARG(message));
    ASSERT_STR(message, fields[1]);
}

/* Every recorded change gets the answer that stock Kafka gave. */
static void test_like_kafka(void)
{
    struct fixture f;
    struct config *c;
    struct config_pair fresh = {STR("min.insync.replicas"), STR("1")}; /* set on a new cluster */
    char line[4096], *fields[FIXTURE_FIELDS_MAX];
    int n, lines = 0;
    fixture_recorded(&f);
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&c, f.config, (struct config_pairs){&fresh, 1},
                                              (struct config_pairs){0}, NULL),
                          0);
    FILE *file = fopen(TEST_DIR "/stock_alter.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    while ((n = fixture_line(file, line, sizeof(line), fields)) >= 0) {
        arena_reset(&f.arena);
        run_line(c, fields, n, &f.arena);
        lines++;
    }
    CU_ASSERT_EQUAL(lines, 285);
    fclose(file);
    config_free(c);
    fixture_free(&f);
}

#define OP(type, name, value)                                                                      \
    {                                                                                              \
        STR(name), value, CONFIG_OP_##type                                                         \
    }

static void check_pairs(const struct config_alter_result *r, const char *text)
{
    char all[512] = "";
    CU_ASSERT_EQUAL(r->error, KERR_NONE);
    for (uint32_t i = 0; i < r->pairs.count; i++)
        add(all, sizeof(all), "%.*s=%.*s;", STR_ARG(r->pairs.items[i].name),
            STR_ARG(r->pairs.items[i].value));
    CU_ASSERT_STRING_EQUAL(all, text);
}

static void test_topic_results(void)
{
    struct fixture f;
    struct config_alter_result r;
    struct config_pair now[] = {{STR("retention.ms"), STR("5")},
                                {STR("cleanup.policy"), STR("delete")},
                                {STR("flush.ms"), STR("9")}};
    struct config_pairs current = {now, 3};
    fixture_load(&f, NULL, NULL, 0);
    struct config_op ops[] = {OP(SET, "segment.ms", STR(" 7 ")), OP(DELETE, "flush.ms", STR_NULL),
                              OP(APPEND, "cleanup.policy", STR("compact")),
                              OP(SET, "retention.ms", STR("6")),
                              OP(DELETE, "max.message.bytes", STR("1"))};
    config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, current, ops, 5, &f.arena, &r);
    check_pairs(&r, "retention.ms=6;cleanup.policy=delete,compact;segment.ms= 7 ;");
    struct config_op lists[] = {
        OP(SUBTRACT, "cleanup.policy", STR("compact,delete")),
        OP(APPEND, "leader.replication.throttled.replicas", STR("0:1,0:2"))};
    config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, current, lists, 2, &f.arena, &r);
    check_pairs(&r, "retention.ms=5;cleanup.policy=;flush.ms=9;"
                    "leader.replication.throttled.replicas=0:1,0:2;");
    struct config_op none[] = {OP(SUBTRACT, "cleanup.policy", STR("delete"))};
    config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, (struct config_pairs){0}, none, 1,
                       &f.arena, &r);
    check_pairs(&r, "cleanup.policy=;");
    config_alter_topic(f.config, CONFIG_ALTER_REPLACE, current, ops, 1, &f.arena, &r);
    check_pairs(&r, "segment.ms= 7 ;");
    config_alter_topic(f.config, CONFIG_ALTER_REPLACE, current, ops, 0, &f.arena, &r);
    check_pairs(&r, "");
    struct config_op twice[] = {OP(SET, "retention.ms", STR("x")),
                                OP(SET, "retention.ms", STR("1"))};
    config_alter_topic(f.config, CONFIG_ALTER_CREATE, current, twice, 2, &f.arena, &r);
    check_pairs(&r, "retention.ms=1;");
    fixture_free(&f);
}

static void test_topic_refusals(void)
{
    struct fixture f;
    struct config_alter_result r;
    fixture_load(&f, NULL, NULL, 0);
    struct config_op nulls[] = {OP(SET, "retention.ms", STR_NULL), OP(SET, "nope", STR("5")),
                                OP(SET, "a", STR_NULL)};
    config_alter_topic(f.config, CONFIG_ALTER_CREATE, (struct config_pairs){0}, nulls, 3, &f.arena,
                       &r);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_CONFIG);
    ASSERT_STR(r.message, "Null value not supported for topic configs: retention.ms,a");
    config_alter_topic(f.config, CONFIG_ALTER_REPLACE, (struct config_pairs){0}, nulls, 3, &f.arena,
                       &r);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_REQUEST);
    ASSERT_STR(r.message, "Null value not supported for : retention.ms, a");
    struct config_op odd[] = {{STR("retention.ms"), STR("1"), 7}};
    config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, (struct config_pairs){0}, odd, 1,
                       &f.arena, &r);
    CU_ASSERT_EQUAL(r.error, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_TRUE(str_is_null(r.message));
    config_alter_broker(f.config, CONFIG_ALTER_INCREMENTAL, STR("1"), false, odd, 1, &f.arena, &r);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_REQUEST);
    ASSERT_STR(r.message, "Unknown operations type 7");
    fixture_free(&f);
}

static void check_broker_refusal(const struct fixture *f, const char *name, const char *key,
                                 const char *value, const char *message)
{
    struct config_alter_result r;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct config_op op = {str_from(key), str_from(value), CONFIG_OP_SET};
    CU_ASSERT_EQUAL(config_alter_broker(f->config, CONFIG_ALTER_INCREMENTAL, str_from(name), false,
                                        &op, 1, &arena, &r),
                    0);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_REQUEST);
    ASSERT_STR(r.message, message);
    arena_free(&arena);
}

static void test_broker(void)
{
    struct fixture f;
    struct config_alter_result r;
    fixture_load(&f, "node.id=4\nnum.io.threads=8\nlog.cleaner.threads=4", NULL, 0);
    CU_ASSERT_EQUAL_FATAL(f.result, 0);
    check_broker_refusal(&f, "2", "log.retention.ms", "5",
                         "Unexpected broker id, expected 4, but received 2");
    check_broker_refusal(&f, "x", "log.retention.ms", "5",
                         "Node id must be an integer, but it is: x");
    check_broker_refusal(&f, "4", "sluice.memory", "1g",
                         "Cannot update these configs dynamically: [sluice.memory]");
    check_broker_refusal(&f, "4", "listeners", "PLAINTEXT://:7",
                         "listeners cannot change while this broker runs");
    check_broker_refusal(&f, "4", "num.io.threads", "3",
                         "Invalid value org.apache.kafka.common.config.ConfigException: Dynamic "
                         "thread count update validation failed for num.io.threads=3, value should "
                         "be at least half the current value 8 for configuration Invalid dynamic "
                         "configuration");
    check_broker_refusal(
        &f, "", "log.cleaner.threads", "1",
        "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner "
        "threads cannot be reduced to less than half the current value 4 for "
        "configuration Invalid dynamic configuration");
    check_broker_refusal(
        &f, "", "log.cleaner.threads", "0",
        "Invalid value org.apache.kafka.common.config.ConfigException: Log cleaner "
        "threads should be at least 1 for configuration Invalid dynamic "
        "configuration");
    struct config_op ops[] = {OP(SET, "log.retention.ms", STR("5")), OP(SET, "foo", STR("bar"))};
    config_alter_broker(f.config, CONFIG_ALTER_INCREMENTAL, STR("04"), true, ops, 2, &f.arena, &r);
    check_pairs(&r, "log.retention.ms=5;foo=bar;");
    struct config *c; /* the next change builds on the settings in force */
    CU_ASSERT_EQUAL_FATAL(
        config_with_dynamic(&c, f.config, (struct config_pairs){0}, r.pairs, NULL), 0);
    struct config_op more[] = {OP(DELETE, "foo", STR_NULL),
                               OP(SET, "log.retention.bytes", STR("9"))};
    config_alter_broker(c, CONFIG_ALTER_INCREMENTAL, STR("4"), true, more, 2, &f.arena, &r);
    check_pairs(&r, "log.retention.ms=5;log.retention.bytes=9;");
    config_alter_broker(c, CONFIG_ALTER_REPLACE, STR("4"), true, more + 1, 1, &f.arena, &r);
    check_pairs(&r, "log.retention.bytes=9;");
    config_free(c);
    fixture_free(&f);
}

static void test_min_insync(void)
{
    struct fixture f;
    struct config *c;
    struct config_alter_result r;
    struct config_pair fresh = {STR("min.insync.replicas"), STR("1")};
    fixture_load(&f, NULL, NULL, 0);
    CU_ASSERT_EQUAL_FATAL(config_with_dynamic(&c, f.config, (struct config_pairs){&fresh, 1},
                                              (struct config_pairs){0}, NULL),
                          0);
    config_alter_broker(c, CONFIG_ALTER_REPLACE, STR(""), true, NULL, 0, &f.arena, &r);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_CONFIG);
    ASSERT_STR(r.message,
               "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.");
    config_alter_broker(c, CONFIG_ALTER_REPLACE, STR(""), false, NULL, 0, &f.arena, &r);
    check_pairs(&r, "");
    config_free(c);
    fixture_free(&f);
}

static void test_limits(void)
{
    struct fixture f;
    struct config_alter_result r;
    uint32_t n = config_dynamic_pairs_max + 1;
    struct config_op *ops = calloc(n, sizeof(*ops));
    char(*names)[16] = calloc(n, sizeof(*names));
    fixture_load(&f, NULL, NULL, 0);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "k%u", i);
        ops[i] = (struct config_op){str_from(names[i]), STR("v"), CONFIG_OP_SET};
    }
    config_alter_broker(f.config, CONFIG_ALTER_INCREMENTAL, STR(""), true, ops, n, &f.arena, &r);
    CU_ASSERT_EQUAL(r.error, KERR_INVALID_REQUEST);
    config_alter_broker(f.config, CONFIG_ALTER_INCREMENTAL, STR(""), true, ops, n - 1, &f.arena,
                        &r);
    CU_ASSERT_EQUAL(r.error, KERR_NONE);
    CU_ASSERT_EQUAL(r.pairs.count, n - 1);
    for (int kind = CONFIG_ALTER_INCREMENTAL; kind <= CONFIG_ALTER_CREATE; kind++) {
        config_alter_topic(f.config, (enum config_alter_kind)kind, (struct config_pairs){0}, ops, n,
                           &f.arena, &r);
        CU_ASSERT_NOT_EQUAL(r.error, KERR_NONE);
    }
    struct arena small; /* whatever the memory: an answer or ERR_NO_MEMORY, never a wrong yes */
    struct config_op bad = OP(SET, "retention.ms", STR("x"));
    for (size_t limit = 0; limit < 3000; limit += 40) {
        arena_init(&small, limit);
        int err = config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, (struct config_pairs){0},
                                     &bad, 1, &small, &r);
        CU_ASSERT_TRUE(err == ERR_NO_MEMORY || (err == 0 && r.error == KERR_INVALID_CONFIG));
        arena_free(&small);
    }
    free(ops);
    free(names);
    fixture_free(&f);
}

/* Random operations: what is accepted passes the check again, and builds. */
static void test_random(void)
{
    static const char *const values[] = {
        "", "1", "-1", "delete", "compact,delete", "x", "true", "0:1", "*", "gzip", "1e3", " 5 "};
    struct fixture f;
    struct rng rng;
    struct config_pairs current = {0};
    fixture_load(&f, NULL, NULL, 0);
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 1000; round++) {
        struct config_op ops[4];
        struct config_alter_result r;
        uint32_t n = (uint32_t)rng_below(&rng, 5);
        for (uint32_t i = 0; i < n; i++)
            ops[i] = (struct config_op){
                str_from(topic_key_def((enum topic_key)rng_below(&rng, TOPIC_KEY_COUNT))->name),
                str_from(values[rng_below(&rng, sizeof(values) / sizeof(values[0]))]),
                (int8_t)rng_below(&rng, 4)};
        CU_ASSERT_EQUAL(
            config_alter_topic(f.config, CONFIG_ALTER_INCREMENTAL, current, ops, n, &f.arena, &r),
            0);
        if (r.error != KERR_NONE)
            continue;
        struct str why;
        struct topic_config t;
        current = r.pairs;
        CU_ASSERT_EQUAL(topic_config_validate(f.config, current, &f.arena, &why), 0);
        CU_ASSERT_EQUAL(topic_config_build(f.config, current, &t), 0);
    }
    fixture_free(&f);
}

UNIT_MAIN("control/config/alter", UNIT_CASE(test_like_kafka), UNIT_CASE(test_topic_results),
          UNIT_CASE(test_topic_refusals), UNIT_CASE(test_broker), UNIT_CASE(test_min_insync),
          UNIT_CASE(test_limits), UNIT_CASE(test_random))
