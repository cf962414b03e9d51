/* lag: samples come and go by part, names are escaped, a bound on all of them. */
#include "control/metrics/lag.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/metrics/text.h"
#include "tests/unit/unit.h"

static struct lag_sample *some(uint32_t n)
{
    struct lag_sample *s = calloc(n, sizeof(*s));
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT_TRUE(lag_sample_init(&s[i], STR("g"), STR("t")));
    return s;
}

static void test_names(void)
{
    char longest[lag_name_bytes_max + 1];
    struct lag_sample s;
    CU_ASSERT_TRUE(lag_sample_init(&s, STR("a\"b\\c\nd"), STR("t.1")));
    CU_ASSERT_STRING_EQUAL(s.labels, "group=\"a\\\"b\\\\c\\nd\",topic=\"t.1\"");
    memset(longest, '"', sizeof(longest));
    CU_ASSERT_TRUE(lag_sample_init(&s, (struct str){longest, lag_name_bytes_max}, STR("t")));
    CU_ASSERT_TRUE(strlen(s.labels) < lag_label_bytes_max);
    CU_ASSERT_FALSE(lag_sample_init(&s, (struct str){longest, lag_name_bytes_max + 1}, STR("t")));
}

static void test_bound(void)
{
    struct metrics_lag l;
    CU_ASSERT_EQUAL_FATAL(metrics_lag_init(&l), 0);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 3, some(lag_samples_max - 1), lag_samples_max - 1), 0);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 0, some(1), 1), 0);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 1, some(1), 1), ERR_FULL);
    CU_ASSERT_EQUAL(l.dropped, 1);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 0, some(2), 2), ERR_FULL); /* its old one is gone too */
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 1, some(1), 1), 0);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 3, NULL, 0), 0);
    CU_ASSERT_EQUAL(l.total, 1);
    CU_ASSERT_EQUAL(metrics_lag_set(&l, lag_parts_max, some(1), 1), ERR_INVALID);
    metrics_lag_fini(&l);
}

static void test_text(void)
{
    struct metrics_lag l;
    struct text t = {0};
    char *out;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(metrics_lag_init(&l), 0);
    struct lag_sample *s = some(1);
    s->records = 42;
    CU_ASSERT_EQUAL(metrics_lag_set(&l, 7, s, 1), 0);
    text_metric(&t, "lag", "gauge", "h");
    metrics_lag_write(&l, &t);
    CU_ASSERT_EQUAL_FATAL(text_take(&t, &out, &len), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "\nlag{group=\"g\",topic=\"t\"} 42\n"));
    free(out);
    metrics_lag_fini(&l);
}

UNIT_MAIN("control/metrics/lag", UNIT_CASE(test_names), UNIT_CASE(test_bound), UNIT_CASE(test_text))
