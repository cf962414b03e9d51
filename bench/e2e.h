/*
 * e2e: end to end: a record is produced, a fetch that waits for it returns it.
 *
 * Purpose: one connection produces at a constant or Poisson rate, one record a request; another
 * waits in Fetch at the log's end. Latency is from the time at which the record was due to the time
 * at which the fetch brought it; records are told apart by their offsets.
 * Owner: its thread. Memory: fixed. Failure: a negative err with one line in `why`;
 * e2e_behind_max records under way end the run.
 */
#ifndef BENCH_E2E_H
#define BENCH_E2E_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/crew.h"
#include "bench/result.h"

#define e2e_behind_max 65536

struct e2e_options {
    const char *host;
    uint16_t port;
    const char *topic; /* one partition of it is used: 0 */
    uint32_t record_bytes;
    int16_t acks;
    double rate; /* records a second */
    bool poisson;
    double warmup_s, seconds;
    int broker_pid;
    uint64_t seed;
    struct crew_member *member; /* NULL: alone */
};

int e2e_run(const struct e2e_options *options, struct result *out, char *why, size_t why_size);

#endif
