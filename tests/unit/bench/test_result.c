/* result: latency over time, merging; another process is read, a missing one is said to be missing. */
#include <unistd.h>

#include "bench/result.h"
#include "tests/unit/unit.h"

static void test_process(void)
{
    CU_ASSERT(process_cpu_s(getpid()) >= 0);
    CU_ASSERT(process_rss_kb(getpid()) > 0);
    CU_ASSERT(process_cpu_s(0) < 0);
    CU_ASSERT(process_cpu_s(-5) < 0);
    CU_ASSERT_EQUAL(process_rss_kb(0), 0);
}

static struct result r;

static void test_hiccups(void)
{
    result_init(&r, "test");
    CU_ASSERT(r.broker_cpu_s < 0);
    result_hiccups(&r, 0.01);
    CU_ASSERT(r.hiccup.count > 100);
    CU_ASSERT(r.hiccup.sum >= 9000000); /* the gaps add up to the time it took */
    CU_ASSERT_EQUAL(r.latency.count, 0);
}

/* 100 answers, one every 10 ms of a second, then two that came late. */
static void fill(struct result *x)
{
    result_init(x, "test");
    result_window(x, 1000, 1.0);
    for (int i = 0; i < 100; i++) {
        int64_t now = 1000 + i * 10000000LL;
        result_count(x, now, 2, 30);
        result_latency(x, now, now - 1000 * (i + 1));
    }
    result_latency(x, 1000 + 1500000000LL, 1000);
    result_latency(x, 1000 + 9500000000LL, 1000);
    x->seconds = 1;
    x->client_busy_s = 0.5;
    result_close(x);
}

static void test_over_time(void)
{
    fill(&r);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < result_slots_max; i++)
        sum += r.slot[i].records;
    CU_ASSERT_EQUAL(r.records, 200);
    CU_ASSERT_EQUAL(sum, 200);
    CU_ASSERT_EQUAL(r.latency.count, 102);
    CU_ASSERT(r.slot[0].latency.max <= 3000);
    CU_ASSERT(r.slot[result_slots_max - 1].latency.max >
              9000000000); /* late ones: the last piece */
    CU_ASSERT_EQUAL(r.slot[20].records, 2 * r.slot[20].latency.count);
}

static struct result other;

static void test_merge(void)
{
    fill(&r);
    fill(&other);
    other.client_busy_s = other.busiest_s = 0.99;
    other.errors = 3;
    other.first_error = 7;
    CU_ASSERT_FALSE(result_load_is_limit(&r));
    result_merge(&r, &other);
    CU_ASSERT_EQUAL(r.threads, 2);
    CU_ASSERT_EQUAL(r.records, 400);
    CU_ASSERT_EQUAL(r.latency.count, 204);
    CU_ASSERT_EQUAL(r.errors, 3);
    CU_ASSERT_EQUAL(r.first_error, 7);
    CU_ASSERT_EQUAL(r.seconds, 1);
    CU_ASSERT(result_load_is_limit(&r)); /* one thread that is always busy is enough */
}

/* As many codes as the table holds are told apart, the next one is counted without its name. */
static void test_codes(void)
{
    result_init(&r, "test");
    result_init(&other, "test");
    for (int16_t code = 1; code <= result_codes_max; code++)
        for (int16_t i = 0; i < code; i++)
            result_error(&r, code);
    CU_ASSERT_EQUAL(r.codes, result_codes_max);
    CU_ASSERT_EQUAL(r.other_codes, 0);
    CU_ASSERT_EQUAL(result_errors_of(&r, 3), 3);
    result_error(&r, result_codes_max + 1);
    CU_ASSERT_EQUAL(r.other_codes, 1);
    CU_ASSERT_EQUAL(result_errors_of(&r, result_codes_max + 1), 0);
    CU_ASSERT_EQUAL(r.first_error, 1);
    CU_ASSERT_EQUAL(r.errors, result_codes_max * (result_codes_max + 1) / 2 + 1);
    result_error(&other, 3);
    result_error(&other, -1);
    result_error(&other, -1);
    result_merge(&other, &r); /* one place is taken by -1: the last code finds none */
    CU_ASSERT_EQUAL(result_errors_of(&other, 3), 4);
    CU_ASSERT_EQUAL(result_errors_of(&other, -1), 2);
    CU_ASSERT_EQUAL(result_errors_of(&other, result_codes_max), 0);
    CU_ASSERT_EQUAL(other.other_codes, result_codes_max + 1);
    uint64_t sum = other.other_codes;
    for (uint32_t i = 0; i < other.codes; i++)
        sum += other.by_code[i].count;
    CU_ASSERT_EQUAL(sum, other.errors);
}

UNIT_MAIN("bench/result", UNIT_CASE(test_process), UNIT_CASE(test_hiccups),
          UNIT_CASE(test_over_time), UNIT_CASE(test_merge), UNIT_CASE(test_codes))
