/*
 * scrape: what Sluice counted while a load ran.
 *
 * Purpose: reads the page of sluice.metrics.listener before and after a run and tells what its counters and stage clocks
 * moved by. Over a blocking socket of its own; the broker renders it beside its shards. What ran in between counts, the
 * warm-up too, and whatever others did. Owner: main, outside of the run. Memory: the two pages, malloc'd, each at most
 * scrape_page_bytes_max. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_SCRAPE_H
#define BENCH_SCRAPE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define scrape_page_bytes_max (4u << 20)
#define scrape_wait_s         10
#define scrape_counters_max   4096
#define scrape_stages_max     32 /* of one class each */
#define scrape_edges_max      64
#define scrape_name_max       32

/* What a counter rose by. The name with its labels, as on the page. */
struct scrape_counter {
    const char *name;
    double value;
};

/* How often a stage ended within its edges; edge: seconds, rising; below: at most that long. */
struct scrape_stage {
    char class_name[scrape_name_max], stage_name[scrape_name_max];
    uint32_t edges;
    double edge[scrape_edges_max];
    uint64_t below[scrape_edges_max];
    uint64_t count;
};

struct scrape;

/* address: numeric, with a port: 127.0.0.1:9600, [::1]:9600. Reads the page for the first time. */
int scrape_begin(struct scrape **out, const char *address, char *why, size_t why_size);

/* Reads it again. ERR_RANGE: a counter went back, it is another process. */
int scrape_end(struct scrape *s, char *why, size_t why_size);
void scrape_free(struct scrape *s);

/* The same from pages that are there; both are copied. A page without any counter: ERR_MALFORMED. */
int scrape_of(struct scrape **out, const char *before, const char *after);

/* After scrape_end. Counters that did not move, and stages without a request, are left out. */
uint32_t scrape_counters(const struct scrape *s, const struct scrape_counter **out);
uint32_t scrape_stages(const struct scrape *s, const struct scrape_stage **out);

/* The edge in us below which a share q lies; the last one if it lies beyond. */
double scrape_quantile_us(const struct scrape_stage *stage, double q);

/* "broker": {...} as a field of an object. */
void scrape_json(const struct scrape *s, FILE *to);
void scrape_table(const struct scrape *s, FILE *to);

#endif
