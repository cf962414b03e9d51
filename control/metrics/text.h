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

/* Buckets at the powers of two from 256 ns to 17 s, in seconds; h is in ns. */
void text_hist(struct text *t, const char *labels, const struct hist *h);

/* The text, for free(); or the sticky error, after which nothing is kept. */
int text_take(struct text *t, char **out, size_t *len);

#endif
