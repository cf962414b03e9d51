#include "control/metrics/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hist.h"
#include "control/metrics/metrics.h"

#define text_start_bytes 65536
#define hist_first       6                                         /* 2^6 ns */
#define hist_step        ((1u << HIST_SUB_BITS) / text_hist_steps) /* buckets of struct hist */

static int grow(struct text *t, size_t need)
{
    size_t size = t->size ? t->size : text_start_bytes;
    while (size < need)
        size *= 2;
    if (size > metrics_text_bytes_max)
        return ERR_TOO_LARGE;
    char *bytes = realloc(t->bytes, size);
    if (!bytes)
        return ERR_NO_MEMORY;
    t->bytes = bytes;
    t->size = size;
    return 0;
}

static void put(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void put(struct text *t, const char *fmt, ...)
{
    va_list args;
    if (t->err)
        return;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (t->len + (size_t)n + 1 > t->size)
        t->err = grow(t, t->len + (size_t)n + 1);
    if (t->err)
        return;
    va_start(args, fmt);
    vsnprintf(t->bytes + t->len, (size_t)n + 1, fmt, args);
    va_end(args);
    t->len += (size_t)n;
}

void text_metric(struct text *t, const char *name, const char *type, const char *help)
{
    t->name = name;
    put(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void text_sample(struct text *t, const char *labels, double value)
{
    put(t, labels ? "%s{%s} %.17g\n" : "%s%s %.17g\n", t->name, labels ? labels : "", value);
}

void text_hist(struct text *t, const char *labels, const struct hist *h)
{
    uint64_t below = 0;
    uint32_t at = 0;
    uint32_t last = hist_bucket_index(1ULL << (hist_first + text_hist_octaves));
    for (uint32_t end = hist_bucket_index(1ULL << hist_first); end <= last; end += hist_step) {
        for (; at < end; at++)
            below += h->bucket[at];
        put(t, "%s_bucket{%s,le=\"%.9g\"} %llu\n", t->name, labels,
            (double)hist_bucket_floor(end) / 1e9, (unsigned long long)below);
    }
    for (; at < HIST_BUCKETS; at++)
        below += h->bucket[at];
    put(t, "%s_bucket{%s,le=\"+Inf\"} %llu\n", t->name, labels, (unsigned long long)below);
    put(t, "%s_sum{%s} %.9g\n%s_count{%s} %llu\n", t->name, labels, (double)h->sum / 1e9, t->name,
        labels, (unsigned long long)below);
}

void text_summary(struct text *t, const char *labels, const struct hist *h)
{
    static const double quantiles[] = {0.5, 0.99, 0.999};
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++)
        put(t, "%s{%s,quantile=\"%g\"} %.9g\n", t->name, labels, quantiles[i],
            (double)hist_quantile(h, quantiles[i]) / 1e9);
    put(t, "%s_sum{%s} %.9g\n%s_count{%s} %llu\n", t->name, labels, (double)h->sum / 1e9, t->name,
        labels, (unsigned long long)h->count);
}

int text_take(struct text *t, char **out, size_t *len)
{
    if (t->err || !t->bytes) {
        int err = t->err ? t->err : ERR_NO_MEMORY;
        free(t->bytes);
        *t = (struct text){0};
        return err;
    }
    *out = t->bytes;
    *len = t->len;
    *t = (struct text){0};
    return 0;
}
