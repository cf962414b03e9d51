/* ramp: it climbs until the rate is not reached, names the saturation, and marks what failed. */
#include <string.h>

#include "base/err.h"
#include "bench/ramp.h"
#include "tests/unit/unit.h"

/* A broker that answers so many requests a second and no more. */
struct broker {
    double limit;
    unsigned runs, fail_at, refuse_at, wrong_at;
    double rates[64];
};

static int run(void *ctx, double rate, struct result *out)
{
    struct broker *b = ctx;
    double reached = rate == 0 || rate > b->limit ? b->limit : rate;
    result_init(out, "test");
    b->rates[b->runs++] = rate;
    out->seconds = 2;
    out->rate = rate;
    out->requests = (uint64_t)(2 * reached);
    out->unsent = rate > reached ? (uint64_t)(2 * (rate - reached)) : 0;
    out->errors = b->runs == b->refuse_at;
    out->faults = b->runs == b->wrong_at;
    return b->runs == b->fail_at ? ERR_CLOSED : 0;
}

static void test_climbs(void)
{
    struct broker b = {.limit = 5000};
    struct ramp_options o = {.rate = 1000, .factor = 2, .overload = 1.5, .json = true};
    CU_ASSERT_EQUAL(ramp_run(&o, run, &b), 0);
    CU_ASSERT_EQUAL_FATAL(b.runs, 5);
    CU_ASSERT_DOUBLE_EQUAL(b.rates[3], 8000, 1); /* not reached: the last step */
    CU_ASSERT_DOUBLE_EQUAL(b.rates[4], 7500, 1); /* one and a half of 5,000 */
}

static void test_closed_loop_first(void)
{
    struct broker b = {.limit = 300};
    struct ramp_options o = {.overload = 2, .json = false};
    CU_ASSERT_EQUAL(ramp_run(&o, run, &b), 0);
    CU_ASSERT_EQUAL_FATAL(b.runs, 2);
    CU_ASSERT_DOUBLE_EQUAL(b.rates[0], 0, 0);
    CU_ASSERT_DOUBLE_EQUAL(b.rates[1], 600, 1);
}

static void test_never_ends_by_itself(void)
{
    struct broker b = {.limit = 1e30};
    struct ramp_options o = {.rate = 1000, .factor = 1.05, .json = true};
    CU_ASSERT_EQUAL(ramp_run(&o, run, &b), 0);
    CU_ASSERT_EQUAL(b.runs, ramp_steps_max);
}

static void test_failure_ends_it(void)
{
    struct broker b = {.limit = 1e9, .fail_at = 3};
    struct ramp_options o = {.rate = 1000, .factor = 2, .overload = 2, .json = true};
    CU_ASSERT_EQUAL(ramp_run(&o, run, &b), ERR_CLOSED);
    CU_ASSERT_EQUAL(b.runs, 3);
}

/* It goes on, but one wrong answer in one step makes the whole no clean figure. */
static void test_wrong_answers_are_no_figure(void)
{
    struct broker refuses = {.limit = 5000, .refuse_at = 2}, lies = {.limit = 5000, .wrong_at = 2};
    struct ramp_options o = {.rate = 1000, .factor = 2, .json = true};
    CU_ASSERT_EQUAL(ramp_run(&o, run, &refuses), ERR_INVALID);
    CU_ASSERT_EQUAL(refuses.runs, 4);
    CU_ASSERT_EQUAL(ramp_run(&o, run, &lies), ERR_INVALID);
    CU_ASSERT_EQUAL(lies.runs, 4);
}

UNIT_MAIN("bench/ramp", UNIT_CASE(test_climbs), UNIT_CASE(test_closed_loop_first),
          UNIT_CASE(test_never_ends_by_itself), UNIT_CASE(test_failure_ends_it),
          UNIT_CASE(test_wrong_answers_are_no_figure))
