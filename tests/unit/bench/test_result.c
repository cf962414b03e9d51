/* result: another process is read, a missing one is said to be missing. */
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

UNIT_MAIN("bench/result", UNIT_CASE(test_process), UNIT_CASE(test_hiccups))
