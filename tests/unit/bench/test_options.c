/* options: the table refuses what it says it refuses, and each default is within its own bounds. */
#include <string.h>

#include "bench/options.h"
#include "tests/unit/unit.h"

static bool takes(enum load load, const char *name, const char *value, struct settings *s)
{
    char *argv[] = {(char *)name, (char *)value};
    return options_parse(s, load, 2, argv);
}

static void test_defaults(void)
{
    static const char *const names[] = {"produce", "fetch", "e2e",  "idle", "null",
                                        "echo",    "mixed", "disk", "raw"};
    struct settings s;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        enum load load = load_by_name(names[i]);
        CU_ASSERT_FATAL(load != 0);
        CU_ASSERT_STRING_EQUAL(load_name(load), names[i]);
        CU_ASSERT(options_parse(&s, load, 0, NULL));
    }
    CU_ASSERT_EQUAL(load_by_name("nonsense"), 0);
    CU_ASSERT_EQUAL(s.connections, 4);
}

static void test_bounds(void)
{
    struct settings s;
    CU_ASSERT(takes(LOAD_PRODUCE, "--in-flight", "255", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--in-flight", "256", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--in-flight", "", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--in-flight", "5x", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--in-flight", "nan", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "in-flight", "5", &s));
    CU_ASSERT_FALSE(takes(LOAD_FETCH, "--in-flight", "5", &s)); /* not an option of fetch */
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--threads", "5", &s)); /* more than connections */
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--acks", "0", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--idempotent", "1", &s)); /* acks is 1 */
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--ramp", "1", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--topic", "", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--seconds", "0", &s));
    CU_ASSERT_FALSE(takes(LOAD_RAW, "--seconds", "0", &s));
    CU_ASSERT_FALSE(takes(LOAD_RAW, "--rate", "5", &s)); /* a closed loop */
    CU_ASSERT_FALSE(options_parse(&s, LOAD_PRODUCE, 1, (char *[]){"--seconds"}));
}

/* What would do nothing, or the opposite of another, is refused; a load has defaults of its own. */
static void test_null(void)
{
    struct settings s;
    CU_ASSERT(options_parse(&s, LOAD_NULL, 0, NULL));
    CU_ASSERT_EQUAL(s.port, 0);
    CU_ASSERT_EQUAL(s.seconds, 0);
    CU_ASSERT_STRING_EQUAL(s.host, "127.0.0.1");
    CU_ASSERT(options_parse(&s, LOAD_PRODUCE, 0, NULL));
    CU_ASSERT_EQUAL(s.port, 9092);
    CU_ASSERT_EQUAL(s.seconds, 5);
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--port", "0", &s));
    CU_ASSERT(takes(LOAD_NULL, "--port", "0", &s));
    CU_ASSERT(takes(LOAD_NULL, "--write", "folder", &s));
    char *with_echo[] = {"--write", "folder", "--echo", "1"};
    char *with_ports[] = {"--write", "folder", "--ports", "net_memif0"};
    CU_ASSERT_FALSE(options_parse(&s, LOAD_NULL, 4, with_echo));
    CU_ASSERT_FALSE(options_parse(&s, LOAD_NULL, 4, with_ports));
    CU_ASSERT_FALSE(takes(LOAD_DISK, "--broker-pid", "1", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--admin-port", "9093", &s));
    CU_ASSERT_FALSE(takes(LOAD_FETCH, "--admin-host", "127.0.0.2", &s));
    char *over_ports[] = {"--ports", "net_memif0", "--admin-port", "9093"};
    CU_ASSERT(options_parse(&s, LOAD_PRODUCE, 4, over_ports));
    char *open_loop[] = {"--rate", "100", "--follow", "1"};
    CU_ASSERT_FALSE(options_parse(&s, LOAD_FETCH, 4, open_loop));
    CU_ASSERT(options_parse(&s, LOAD_FETCH, 2, open_loop));
}

static void test_choices(void)
{
    struct settings s;
    CU_ASSERT(takes(LOAD_PRODUCE, "--compression", "zstd", &s));
    CU_ASSERT_EQUAL(options_choice(options_codecs, s.compression), 4);
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--compression", "zst", &s));
    CU_ASSERT_FALSE(takes(LOAD_PRODUCE, "--compression", "gzip snappy", &s));
    CU_ASSERT_EQUAL(options_choice("a b", ""), -1);
    CU_ASSERT_EQUAL(options_choice("a b", "b"), 1);
}

UNIT_MAIN("bench/options", UNIT_CASE(test_defaults), UNIT_CASE(test_bounds), UNIT_CASE(test_null),
          UNIT_CASE(test_choices))
