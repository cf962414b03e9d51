/* stages: percentiles from a page of metrics, and pages that have none. */
#include <string.h>

#include "base/err.h"
#include "base/hist.h"
#include "control/cli/stages.h"
#include "control/metrics/text.h"
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
    CU_ASSERT_DOUBLE_EQUAL(p50, 1.8, 0.01); /* 40 of the 50 between 1 and 2 us */
    CU_ASSERT_DOUBLE_EQUAL(p99, 3.95, 0.01);
    CU_ASSERT_PTR_NULL(strstr(out_text, "other")); /* nothing was counted there */
}

/* What took longer than the last edge is counted, and told as that edge. */
static void test_beyond_the_last_edge(void)
{
    CU_ASSERT_EQUAL(
        table("sluice_stage_seconds_bucket{class=\"fetch\",stage=\"total\",le=\"1\"} 0\n"
              "sluice_stage_seconds_bucket{class=\"fetch\",stage=\"total\",le=\"16\"} 1\n"
              "sluice_stage_seconds_bucket{class=\"fetch\",stage=\"total\",le=\"+Inf\"} 3\n"),
        0);
    unsigned long long n = 0;
    double p50 = 0;
    const char *row = strstr(out_text, "\nfetch");
    CU_ASSERT_PTR_NOT_NULL_FATAL(row);
    CU_ASSERT_EQUAL_FATAL(sscanf(row, " fetch total %llu %lf", &n, &p50), 2);
    CU_ASSERT_EQUAL(n, 3);
    CU_ASSERT_DOUBLE_EQUAL(p50, 16e6, 1);
}

/* The page that the broker writes: what is told is what was recorded, to a few per cent. */
static void test_own_page(void)
{
    static struct hist h;
    struct text t = {0};
    char *page, *again;
    size_t len;
    hist_init(&h);
    for (uint64_t ns = 100; ns <= 100000; ns++)
        hist_record(&h, ns);
    text_metric(&t, "sluice_stage_seconds", "histogram", "x");
    text_hist(&t, "class=\"produce\",stage=\"parsed\"", &h);
    text_metric(&t, "sluice_shard_stage_seconds", "summary", "x");
    text_summary(&t, "shard=\"0\",class=\"produce\",stage=\"parsed\"", &h);
    text_summary(&t, "shard=\"1\",class=\"produce\",stage=\"parsed\"", &h);
    CU_ASSERT_EQUAL_FATAL(text_take(&t, &page, &len), 0);
    again = strndup(page, len);
    for (int by_shard = 0; by_shard < 2; by_shard++) {
        FILE *out = fmemopen(out_text, sizeof(out_text), "w");
        char *text = by_shard ? again : page;
        CU_ASSERT_EQUAL(by_shard ? stages_shards(text, out) : stages_table(text, out), 0);
        fclose(out);
        const char *row = strstr(out_text, by_shard ? "\n1     produce" : "\nproduce");
        unsigned long long n = 0;
        double p50 = 0, p99 = 0, p999 = 0;
        CU_ASSERT_PTR_NOT_NULL_FATAL(row);
        row = strstr(row, "parsed");
        CU_ASSERT_EQUAL(sscanf(row, "parsed %llu %lf %lf %lf", &n, &p50, &p99, &p999), 4);
        CU_ASSERT_EQUAL(n, 99901);
        CU_ASSERT_DOUBLE_EQUAL(p50, 50.05, 50.05 * 0.033);
        CU_ASSERT_DOUBLE_EQUAL(p99, 99.0, 99.0 * 0.07);
        CU_ASSERT_DOUBLE_EQUAL(p999, 99.9, 99.9 * 0.07);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(out_text, "\n0     produce"));
    free(page);
    free(again);
}

static void test_no_page(void)
{
    char why[256] = "", nothing[] = "";
    CU_ASSERT_EQUAL(stages_shards(nothing, stdout), ERR_MALFORMED);
    CU_ASSERT_EQUAL(table("<html>not this</html>\n"), ERR_MALFORMED);
    CU_ASSERT_EQUAL(table(""), ERR_MALFORMED);
    CU_ASSERT_EQUAL(stages_print("nonsense", false, stdout, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "not an address"));
    CU_ASSERT_EQUAL(stages_print("127.0.0.1:1", false, stdout, why, sizeof(why)), ERR_CLOSED);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "nobody answers"));
}

UNIT_MAIN("control/cli/stages", UNIT_CASE(test_percentiles), UNIT_CASE(test_beyond_the_last_edge),
          UNIT_CASE(test_own_page), UNIT_CASE(test_no_page))
