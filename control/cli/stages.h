/*
 * stages: where the time of requests goes, as a table, from a running broker.
 *
 * Purpose: `sluice stages [--shards] <address>`: reads /metrics of sluice.metrics.listener and turns the
 * stage clocks' buckets into percentiles, or shows the quantiles of each shard. Owner: the calling thread.
 * Memory: the page, malloc'd, at most stages_page_bytes_max. Failure: an err with a line in why.
 */
#ifndef CONTROL_CLI_STAGES_H
#define CONTROL_CLI_STAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define stages_page_bytes_max (8u << 20)

/* address: "127.0.0.1:9404". ERR_CLOSED: nobody answers; ERR_MALFORMED: not a broker's page. */
int stages_print(const char *address, bool by_shard, FILE *out, char *why, size_t why_size);

/*
 * The same from a page's text (changed while it is read). ERR_MALFORMED: no stage clocks in it. Percentiles of
 * the shards together are right to half a bucket's width or so, at most one (12.5 %).
 */
int stages_table(char *page, FILE *out);

/* A row for each stage of each shard that has passed it, right to 3.2 %. */
int stages_shards(char *page, FILE *out);

#endif
