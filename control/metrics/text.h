/*
 * text: Prometheus' exposition format (text, version 0.0.4), line by line.
 *
 * Purpose: HELP and TYPE lines, samples with labels, histograms from base/hist.h.
 * Owner: one thread. Memory: a growing buffer, at most metrics_text_bytes_max; text_take gives it
 * away. Failure: sticky in err; later calls do nothing.
 */
#ifndef CONTROL_METRICS_TEXT_H
#define CONTROL_METRICS_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct hist;

struct text {
    char *bytes;
    size_t len, size;
    int err;
    const char *name; /* of the metric being written */
};

/* Begins a metric. */
void text_metric(struct text *t, const char *name, const char *type, const char *help);

/* One sample; labels as they stand between the braces ("a=\"b\""), or NULL. */
void text_sample(struct text *t, const char *labels, double value);

/*
 * A histogram: buckets in seconds from 64 ns to 17 s, text_hist_steps to each power of two; h is in ns. An
 * edge is the first ns that its bucket does not count. The same lines (text_hist_lines) whatever was
 * recorded, so that buckets can be added up and compared over time.
 */
#define text_hist_octaves 28
#define text_hist_steps   8
#define text_hist_lines   (text_hist_octaves * text_hist_steps + 1 + 3) /* +Inf, _sum, _count */
void text_hist(struct text *t, const char *labels, const struct hist *h);

/* A summary: the quantiles 0.5, 0.99 and 0.999 in seconds, within the histogram's own 3.2 %; h is in ns. */
void text_summary(struct text *t, const char *labels, const struct hist *h);

/* The text, for free(); or the sticky error, after which nothing is kept. */
int text_take(struct text *t, char **out, size_t *len);

#endif
