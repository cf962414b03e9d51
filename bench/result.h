/*
 * result: what a load counted, and how it is told.
 *
 * Purpose: one struct for every load; a line of JSON for machines or a few lines for people.
 * Owner: the caller. Memory: fixed (histograms are large: keep it off the stack). Failure: none.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

struct result {
    const char *load;
    double seconds;
    uint64_t requests, records, bytes;
    uint64_t errors; /* replies with an error code: they are in no other count */
    int16_t first_error;
    uint64_t faults;     /* what --verify found wrong */
    double rate;         /* requests a second asked for; 0: closed loop */
    struct hist latency; /* ns; in an open loop from the time at which the request was due */
    struct hist hiccup;  /* ns between two looks at the clock of an idle spin before the run */
    double client_cpu_s, client_busy_s; /* the load spins: busy is what it needed */
    double broker_cpu_s;                /* -1: unknown */
    uint64_t broker_rss_kb;             /* 0: unknown */
};

void result_init(struct result *r, const char *load);
void result_json(const struct result *r);
void result_table(const struct result *r);

/* Spins for that long and records every gap between two looks at the clock. */
void result_hiccups(struct result *r, double seconds);

/* CPU seconds and resident KiB of another process of this machine; -1 and 0 if it cannot be read. */
double process_cpu_s(int pid);
uint64_t process_rss_kb(int pid);

#endif
