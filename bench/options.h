/*
 * options: what can be asked of sluice-bench, as one table.
 *
 * Purpose: names, defaults, bounds and help of every option of every load; which load knows which. Owner: main.
 * Memory: texts point into argv. Failure: one line on stderr that names the option, and false.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

enum load {
    LOAD_PRODUCE = 1,
    LOAD_FETCH = 2,
    LOAD_E2E = 4,
    LOAD_IDLE = 8,
    LOAD_NULL = 16,
    LOAD_ECHO = 32,
    LOAD_MIXED = 64,
    LOAD_DISK = 128,
    LOAD_FRAMES = 256,
    LOAD_LOOP = 512,
    LOAD_RAW = 1024,
};

/* Everything that can be asked for, over all loads. */
struct settings {
    const char *host, *topic, *arrival, *spread, *compression, *record_spread, *batch_spread,
        *progress, *write, *way, *folder, *ports, *peer_ports, *admin_host, *metrics;
    double port, admin_port, outstanding, threads, partitions, connections, in_flight, records,
        record_bytes, random_pct, idempotent, acks, rate, ramp, overload, frame_bytes,
        fetch_connections, fetch_bytes, max_wait_ms, bytes_min, verify, follow, echo, warmup,
        seconds, setup, broker_pid, seed, bytes, json, block, depth;
};

/* 0: there is no such load. */
enum load load_by_name(const char *name);
const char *load_name(enum load load);

/* Defaults, then what argv says, then whether it makes sense together. */
bool options_parse(struct settings *s, enum load load, int argc, char **argv);

void options_usage(FILE *to);

/* The place of text in a list of choices separated by blanks; -1: none. */
int options_choice(const char *choices, const char *text);

#define options_spreads "fixed uniform exponential" /* in the order of enum spread */
#define options_codecs  "none gzip snappy lz4 zstd" /* in the order of enum pack_codec */

#endif
