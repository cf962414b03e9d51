#include "base/err.h"
#include "base/rng.h"
#include "control/config/number.h"
#include "control/config/topic_config.h"
#include "control/config/value.h"
#include "fixture.h"

static void test_long(void)
{
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"+7", true, 7},
                 {"-1", true, -1},
                 {"007", true, 7},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {"+", false, 0},
                 {" 1", false, 0},
                 {"1 ", false, 0},
                 {"0x10", false, 0},
                 {"1.5", false, 0},
                 {"--1", false, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t v = 42;
        CU_ASSERT_EQUAL(number_parse_long(str_from(cases[i].text), &v), cases[i].good);
        CU_ASSERT_EQUAL(v, cases[i].good ? cases[i].value : 42);
    }
}

static void test_size(void)
{
    int64_t v = 0;
    CU_ASSERT_TRUE(number_parse_size(STR("64m"), &v) && v == 64 << 20);
    CU_ASSERT_TRUE(number_parse_size(STR("3K"), &v) && v == 3072);
    CU_ASSERT_TRUE(number_parse_size(STR("2g"), &v) && v == 2LL << 30);
    CU_ASSERT_TRUE(number_parse_size(STR("1t"), &v) && v == 1LL << 40);
    CU_ASSERT_TRUE(number_parse_size(STR("123"), &v) && v == 123);
    v = 5;
    CU_ASSERT_FALSE(number_parse_size(STR("m"), &v));
    CU_ASSERT_FALSE(number_parse_size(STR(""), &v));
    CU_ASSERT_FALSE(number_parse_size(STR("-1k"), &v));
    CU_ASSERT_FALSE(number_parse_size(STR("1kb"), &v));
    CU_ASSERT_FALSE(number_parse_size(STR("1 k"), &v));
    CU_ASSERT_FALSE(number_parse_size(STR("9223372036854775807k"), &v));
    CU_ASSERT_FALSE(number_parse_size(STR("8388608t"), &v));
    CU_ASSERT_EQUAL(v, 5);
}

static void check_double(const char *text, const char *java)
{
    double d = 0;
    char shown[number_double_text_bytes];
    CU_ASSERT_TRUE_FATAL(number_parse_double(str_from(text), &d));
    number_format_double(d, shown);
    if (strcmp(shown, java) != 0)
        printf("    %s: %s, not %s\n", text, shown, java);
    CU_ASSERT_STRING_EQUAL(shown, java);
}

static void test_double(void)
{
    check_double("0.5", "0.5");
    check_double("1e-5", "1.0E-5");
    check_double("0.001", "0.001");
    check_double("0.00099", "9.9E-4");
    check_double("1e7", "1.0E7");
    check_double("9999999", "9999999.0");
    check_double("12345678", "1.2345678E7");
    check_double("1.7976931348623157E308", "1.7976931348623157E308");
    check_double("-0", "-0.0");
    check_double("+.5d", "0.5");
    check_double("1.F", "1.0");
    check_double("0x1p-1", "0.5");
    check_double("0x.8P1f", "1.0");
    check_double("NaN", "NaN");
    check_double("-Infinity", "-Infinity");
    check_double("123.456", "123.456");
    check_double("100", "100.0");
    check_double("0.1", "0.1");
    static const char *const bad[] = {"",    ".",    "e5", "1e",       "0x1",  "nan",   "inf",
                                      "1dd", "1.5x", " 1", "infinity", "0x1p", "1e5.5", "--1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        double d = 7;
        CU_ASSERT_FALSE(number_parse_double(str_from(bad[i]), &d));
        CU_ASSERT_EQUAL(d, 7);
    }
}

/* What is printed reads back as the same number. */
static void test_double_round_trip(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = rng_u64(&rng);
        double d, back = 0;
        char text[number_double_text_bytes];
        memcpy(&d, &bits, sizeof(d));
        if (i % 2)
            d = (double)(int64_t)rng_below(&rng, 1000000) / 1000;
        if (d != d)
            continue;
        number_format_double(d, text);
        CU_ASSERT_TRUE(number_parse_double(str_from(text), &back));
        CU_ASSERT_EQUAL(memcmp(&d, &back, sizeof(d)), 0);
    }
}

static void test_cpus(void)
{
    uint16_t cpus[8] = {0};
    CU_ASSERT_EQUAL(number_parse_cpus(STR("0-3,8"), cpus, 8), 5);
    CU_ASSERT_TRUE(cpus[0] == 0 && cpus[3] == 3 && cpus[4] == 8);
    CU_ASSERT_EQUAL(number_parse_cpus(STR("5"), cpus, 0), 1);
    CU_ASSERT_EQUAL(number_parse_cpus(STR(""), cpus, 8), 0);
    CU_ASSERT_EQUAL(number_parse_cpus(STR("0-4095"), cpus, 8), 4096);
    static const char *const bad[] = {"3-1",   "1,",   ",1",   "a",   "1-",    "1,1",
                                      "0-3,2", "4096", "1 ,2", "1;2", "99999", "-1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CU_ASSERT_EQUAL(number_parse_cpus(str_from(bad[i]), cpus, 8), ERR_INVALID);
}

/* Parses as a topic key and compares the text Kafka shows, or its message. */
static void check_value(const char *key, const char *raw, int err, const char *text)
{
    struct arena arena;
    struct config_value value = {0};
    struct str why = STR_NULL;
    const struct config_def *def = topic_key_def(topic_key_find(str_from(key)));
    arena_init(&arena, 1 << 20);
    int result = config_value_parse(def, str_from(raw), &arena, &value, &why);
    CU_ASSERT_EQUAL(result, err);
    ASSERT_STR(err ? why : config_value_text(def, &value, &arena), text);
    arena_free(&arena);
}

static void test_values(void)
{
    check_value("retention.ms", " 5 ", 0, "5");
    check_value("preallocate", "TRUE", 0, "true");
    check_value("preallocate", " false\t", 0, "false");
    check_value("compression.type", " gzip ", 0, "gzip");
    check_value("cleanup.policy", " compact , delete ", 0, "compact,delete");
    check_value("cleanup.policy", "delete,delete", 0, "delete");
    check_value("cleanup.policy", "", 0, "");
    check_value("leader.replication.throttled.replicas", "0:1,0:1,", 0, "0:1,0:1,");
    check_value("min.cleanable.dirty.ratio", "NaN", 0, "NaN");
    check_value("retention.ms", "abc", ERR_INVALID,
                "Invalid value abc for configuration retention.ms: Not a number of type LONG");
    check_value("segment.bytes", "99999999999", ERR_INVALID,
                "Invalid value 99999999999 for configuration segment.bytes: Not a number of type "
                "INT");
    check_value("segment.bytes", "+1000", ERR_INVALID,
                "Invalid value 1000 for configuration segment.bytes: Value must be at least "
                "1048576");
    check_value("min.cleanable.dirty.ratio", "2", ERR_INVALID,
                "Invalid value 2.0 for configuration min.cleanable.dirty.ratio: Value must be no "
                "more than 1");
    check_value("compression.gzip.level", "0", ERR_INVALID,
                "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 "
                "and 9 or equal to -1");
    check_value("cleanup.policy", "delete,", ERR_INVALID,
                "Configuration 'cleanup.policy' values must not be empty.");
    check_value("preallocate", "yes", ERR_INVALID,
                "Invalid value yes for configuration preallocate: Expected value to be either true "
                "or false");
}

static void test_list_limit(void)
{
    struct arena arena;
    struct config_list list = {0};
    char text[2 * config_list_items_max + 2];
    arena_init(&arena, 1 << 20);
    memset(text, ',', sizeof(text));
    CU_ASSERT_EQUAL(config_list_split((struct str){text, config_list_items_max}, &arena, &list),
                    ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(list.items);
    CU_ASSERT_EQUAL(config_list_split((struct str){text, config_list_items_max - 1}, &arena, &list),
                    0);
    CU_ASSERT_EQUAL(list.count, config_list_items_max);
    CU_ASSERT_EQUAL(config_list_split(STR(" \t"), &arena, &list), 0);
    CU_ASSERT_EQUAL(list.count, 0);
    arena_free(&arena);
    arena_init(&arena, 16);
    CU_ASSERT_EQUAL(config_list_split(STR("a,b,c"), &arena, &list), ERR_NO_MEMORY);
    arena_free(&arena);
}

/* Every default of both tables is a value of its key, but for those that mean "none". */
static void test_defaults(void)
{
    struct arena arena;
    arena_init(&arena, 4 << 20);
    for (unsigned i = 0; i < CONFIG_KEY_COUNT + TOPIC_KEY_COUNT; i++) {
        const struct config_def *def = i < CONFIG_KEY_COUNT
                                           ? config_key_def((enum config_key)i)
                                           : topic_key_def((enum topic_key)(i - CONFIG_KEY_COUNT));
        struct config_value value;
        CU_ASSERT_EQUAL(config_value_default(def, &arena, &value), 0);
        CU_ASSERT_EQUAL(value.null, def->default_text == NULL);
        if (def->default_text && *def->default_text) {
            struct str why = STR_NULL;
            int err = config_value_parse(def, str_from(def->default_text), &arena, &value, &why);
            if (err)
                printf("    %.*s\n", STR_ARG(why));
            CU_ASSERT_EQUAL(err, 0);
        }
        CU_ASSERT_TRUE(config_rule_text(def, &arena).len > 0);
        CU_ASSERT_TRUE(def->doc[0] != '\0');
    }
    arena_free(&arena);
}

UNIT_MAIN("control/config/value", UNIT_CASE(test_long), UNIT_CASE(test_size),
          UNIT_CASE(test_double), UNIT_CASE(test_double_round_trip), UNIT_CASE(test_cpus),
          UNIT_CASE(test_values), UNIT_CASE(test_list_limit), UNIT_CASE(test_defaults))
