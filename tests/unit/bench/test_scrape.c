/* scrape: what moved between two pages, and nothing else. */
#include <string.h>

#include "base/err.h"
#include "bench/scrape.h"
#include "tests/unit/unit.h"

#define bucket "sluice_stage_seconds_bucket{class=\"produce\",stage=\"durable\",le="
#define page(a, b, c, d)                                                                           \
    "# HELP some_total Some.\n# TYPE some_total counter\nsome_total{shard=\"0\"} " a               \
    "\nsome_total{shard=\"1\"} 7\n# TYPE now gauge\nnow 5\n"                                       \
    "# TYPE sluice_stage_seconds histogram\n" bucket "\"1e-06\"} " b "\n" bucket "\"2e-06\"} " c   \
    "\n" bucket "\"+Inf\"} " d "\nsluice_stage_seconds_sum{class=\"produce\"} 1\n"

static void test_difference(void)
{
    struct scrape *s;
    const struct scrape_counter *counter;
    const struct scrape_stage *stage;
    CU_ASSERT_EQUAL_FATAL(
        scrape_of(&s, page("10", "100", "100", "100"), page("25", "150", "198", "200")), 0);
    CU_ASSERT_EQUAL_FATAL(scrape_counters(s, &counter), 1); /* the other one did not move */
    CU_ASSERT_STRING_EQUAL(counter->name, "some_total{shard=\"0\"}");
    CU_ASSERT_EQUAL(counter->value, 15);
    CU_ASSERT_EQUAL_FATAL(scrape_stages(s, &stage), 1);
    CU_ASSERT_STRING_EQUAL(stage->stage_name, "durable");
    CU_ASSERT_EQUAL(stage->count, 100);
    CU_ASSERT_DOUBLE_EQUAL(scrape_quantile_us(stage, 0.5), 1, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(scrape_quantile_us(stage, 0.51), 2, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(scrape_quantile_us(stage, 0.999), 2, 1e-9); /* beyond the last edge */
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    scrape_json(s, to);
    fclose(to);
    CU_ASSERT_STRING_EQUAL(
        text, "\"broker\": {\"counters\": {\"some_total{shard=\\\"0\\\"}\": 15}, \"stages\": "
              "[{\"class\": \"produce\", \"stage\": \"durable\", \"count\": 100, \"p50_us\": 1.0, "
              "\"p99_us\": 2.0, \"p99.9_us\": 2.0}]}");
    free(text);
    scrape_free(s);
}

static void test_refusals(void)
{
    struct scrape *s = NULL;
    char why[200] = "";
    CU_ASSERT_EQUAL(scrape_of(&s, page("10", "1", "1", "1"), page("9", "1", "1", "1")), ERR_RANGE);
    CU_ASSERT_EQUAL(scrape_of(&s, page("1", "2", "2", "2"), page("1", "1", "2", "2")), ERR_RANGE);
    CU_ASSERT_EQUAL(scrape_of(&s, "", page("1", "1", "1", "1")), ERR_MALFORMED);
    CU_ASSERT_EQUAL(scrape_of(&s, page("1", "1", "1", "1"), "<html>"), ERR_MALFORMED);
    for (int i = 0; i < 5; i++) {
        static const char *const bad[] = {"", "9600", "127.0.0.1:", "127.0.0.1:70000", "host:80"};
        why[0] = '\0';
        CU_ASSERT_EQUAL(scrape_begin(&s, bad[i], why, sizeof(why)), ERR_INVALID);
        CU_ASSERT(strstr(why, "--metrics") != NULL);
    }
    CU_ASSERT_PTR_NULL(s);
    scrape_free(NULL);
}

/* More counters than are kept: the first ones are. */
static void test_many(void)
{
    struct scrape *s;
    const struct scrape_counter *counter;
    size_t size = (scrape_counters_max + 10) * 32;
    char *before = malloc(size), *after = malloc(size);
    CU_ASSERT_FATAL(before != NULL && after != NULL);
    int b = snprintf(before, size, "# TYPE c counter\n"), a = snprintf(after, size, "%s", before);
    for (int i = 0; i < scrape_counters_max + 5; i++) {
        b += snprintf(before + b, size - (size_t)b, "c{n=\"%d\"} 1\n", i);
        a += snprintf(after + a, size - (size_t)a, "c{n=\"%d\"} 3\n", i);
    }
    CU_ASSERT_EQUAL_FATAL(scrape_of(&s, before, after), 0);
    CU_ASSERT_EQUAL(scrape_counters(s, &counter), scrape_counters_max);
    CU_ASSERT_EQUAL(counter[scrape_counters_max - 1].value, 2);
    scrape_free(s);
    free(before);
    free(after);
}

UNIT_MAIN("bench/scrape", UNIT_CASE(test_difference), UNIT_CASE(test_refusals),
          UNIT_CASE(test_many))
