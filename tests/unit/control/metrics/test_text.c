/* text: lines as Prometheus wants them, histograms that add up, a bound. */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/hist.h"
#include "base/rng.h"
#include "control/metrics/metrics.h"
#include "control/metrics/text.h"
#include "tests/unit/unit.h"

static void test_lines(void)
{
    struct text t = {0};
    char *out;
    size_t len;
    text_metric(&t, "a_total", "counter", "What it is.");
    text_sample(&t, NULL, 3);
    text_sample(&t, "x=\"1\"", 2.5);
    CU_ASSERT_EQUAL_FATAL(text_take(&t, &out, &len), 0);
    CU_ASSERT_STRING_EQUAL(
        out,
        "# HELP a_total What it is.\n# TYPE a_total counter\na_total 3\na_total{x=\"1\"} 2.5\n");
    CU_ASSERT_EQUAL(len, strlen(out));
    free(out);
}

/* Every bucket holds what the one before holds and more; the last holds all. */
static void test_histogram(void)
{
    static struct hist h;
    struct rng rng;
    struct text t = {0};
    char *out;
    size_t len;
    rng_seed(&rng, unit_seed());
    hist_init(&h);
    for (int i = 0; i < 10000; i++)
        hist_record(&h, rng_u64(&rng) >> (rng_below(&rng, 40) + 24));
    text_metric(&t, "s", "histogram", "h");
    text_hist(&t, "c=\"d\"", &h);
    CU_ASSERT_EQUAL_FATAL(text_take(&t, &out, &len), 0);
    unsigned long long last = 0, n = 0, count = 0;
    double edge = 0, before = 0;
    int buckets = 0;
    for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "s_bucket{c=\"d\",le=\"%lf\"} %llu", &edge, &n) == 2) {
            uint64_t counted = 0;
            double ns = edge * 1e9 * (1 - 1e-6); /* an edge is told with nine digits */
            for (uint32_t i = 0; i < HIST_BUCKETS && (double)hist_bucket_floor(i) < ns; i++)
                counted += h.bucket[i];
            CU_ASSERT(n >= last);
            CU_ASSERT_EQUAL(n, counted); /* all under the edge, and none over it */
            CU_ASSERT(edge > before && (before == 0 || isinf(edge) || edge <= before * 1.13));
            before = edge;
            last = n;
            buckets++;
        }
        sscanf(line, "s_count{c=\"d\"} %llu", &count);
    }
    CU_ASSERT_EQUAL(buckets, text_hist_lines - 2); /* without _sum and _count */
    CU_ASSERT_EQUAL(count, 10000);
    CU_ASSERT_EQUAL(last, 10000);
    free(out);
}

static void test_summary(void)
{
    static struct hist h;
    struct text t = {0};
    char *out;
    size_t len;
    double q[3] = {0}, sum = 0;
    hist_init(&h);
    for (uint64_t i = 1; i <= 1000; i++)
        hist_record(&h, i * 1000);
    text_metric(&t, "s", "summary", "h");
    text_summary(&t, "c=\"d\"", &h);
    CU_ASSERT_EQUAL_FATAL(text_take(&t, &out, &len), 0);
    const char *at = strstr(out, "s{c");
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    CU_ASSERT_EQUAL(sscanf(at,
                           "s{c=\"d\",quantile=\"0.5\"} %lf s{c=\"d\",quantile=\"0.99\"} %lf "
                           "s{c=\"d\",quantile=\"0.999\"} %lf s_sum{c=\"d\"} %lf",
                           &q[0], &q[1], &q[2], &sum),
                    4);
    CU_ASSERT_DOUBLE_EQUAL(q[0], 500e-6, 16e-6);
    CU_ASSERT_DOUBLE_EQUAL(q[1], 990e-6, 32e-6);
    CU_ASSERT_DOUBLE_EQUAL(q[2], 999e-6, 32e-6);
    CU_ASSERT_DOUBLE_EQUAL(sum, 0.5005, 1e-6);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\ns_count{c=\"d\"} 1000\n"));
    free(out);
}

static void test_bound(void)
{
    struct text t = {0};
    char *out = NULL;
    size_t len;
    text_metric(&t, "a", "gauge", "b");
    for (int i = 0; i < 2000000 && t.err == 0; i++)
        text_sample(&t, "label=\"value\"", i);
    CU_ASSERT_EQUAL(t.err, ERR_TOO_LARGE);
    CU_ASSERT(t.size <= metrics_text_bytes_max);
    CU_ASSERT_EQUAL(text_take(&t, &out, &len), ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(out);
}

UNIT_MAIN("control/metrics/text", UNIT_CASE(test_lines), UNIT_CASE(test_histogram),
          UNIT_CASE(test_summary), UNIT_CASE(test_bound))
