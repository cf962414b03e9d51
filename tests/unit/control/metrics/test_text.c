/* text: lines as Prometheus wants them, histograms that add up, a bound. */
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
            CU_ASSERT(n >= last);
            CU_ASSERT(edge > before);
            before = edge;
            last = n;
            buckets++;
        }
        sscanf(line, "s_count{c=\"d\"} %llu", &count);
    }
    CU_ASSERT(buckets > 20);
    CU_ASSERT_EQUAL(count, 10000);
    CU_ASSERT_EQUAL(last, 10000);
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
          UNIT_CASE(test_bound))
