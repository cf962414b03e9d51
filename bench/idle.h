/*
 * idle: connections that are opened and do nothing.
 *
 * Purpose: what an open connection costs the broker in memory and CPU. Owner: its
 * thread. Memory: a block per connection. Failure: a negative err with one line in `why`; a
 * connection that the broker closes ends the run, as does the operator; how long they were held until then is told,
 * marked partial. What cannot be read of the broker's process (broker_pid 0: whose?) is said to be unknown.
 */
#ifndef BENCH_IDLE_H
#define BENCH_IDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/crew.h"
#include "bench/result.h"

struct idle_options {
    const char *host;
    uint16_t port;
    uint32_t connections;
    double seconds;
    int broker_pid;
    struct crew_member *member; /* NULL: alone */
};

/* Prints its own line (JSON or text), since it has no requests to count; out gets `open` alone, for who watches. */
int idle_run(const struct idle_options *options, bool json, struct result *out, char *why,
             size_t why_size);

#endif
