/* stages: percentiles from a page of metrics, and pages that have none. */
#include <string.h>

#include "base/err.h"
#include "control/cli/stages.h"
#include "tests/unit/unit.h"

static char out_text[4096];

static int table(const char *text)
{
    char *page = strdup(text);
    FILE *out = fmemopen(out_text, sizeof(out_text), "w");
    int err = stages_table(page, out);
    fclose(out);
    free(page);
    return err;
}

static void test_percentiles(void)
{
    CU_ASSERT_EQUAL(
        table("# HELP x y\n"
              "sluice_stage_seconds_bucket{class=\"produce\",stage=\"durable\",le=\"1e-06\"} 10\n"
              "sluice_stage_seconds_bucket{class=\"produce\",stage=\"durable\",le=\"2e-06\"} 60\n"
              "sluice_stage_seconds_bucket{class=\"produce\",stage=\"durable\",le=\"4e-06\"} 100\n"
              "sluice_stage_seconds_bucket{class=\"produce\",stage=\"durable\",le=\"+Inf\"} 100\n"
              "sluice_stage_seconds_bucket{class=\"other\",stage=\"total\",le=\"1e-06\"} 0\n"),
        0);
    char cls[32], name[32];
    unsigned long long n;
    double p50, p99;
    const char *row = strstr(out_text, "\nproduce");
    CU_ASSERT_PTR_NOT_NULL_FATAL(row);
    CU_ASSERT_EQUAL_FATAL(sscanf(row, "%31s %31s %llu %lf %lf", cls, name, &n, &p50, &p99), 5);
    CU_ASSERT_STRING_EQUAL(name, "durable");
    CU_ASSERT_EQUAL(n, 100);
    CU_ASSERT_DOUBLE_EQUAL(p50, 2.0, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(p99, 4.0, 0.01);
    CU_ASSERT_PTR_NULL(strstr(out_text, "other")); /* nothing was counted there */
}

static void test_no_page(void)
{
    char why[256] = "";
    CU_ASSERT_EQUAL(table("<html>not this</html>\n"), ERR_MALFORMED);
    CU_ASSERT_EQUAL(table(""), ERR_MALFORMED);
    CU_ASSERT_EQUAL(stages_print("nonsense", stdout, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "not an address"));
    CU_ASSERT_EQUAL(stages_print("127.0.0.1:1", stdout, why, sizeof(why)), ERR_CLOSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "nobody answers"));
}

UNIT_MAIN("control/cli/stages", UNIT_CASE(test_percentiles), UNIT_CASE(test_no_page))
