/*
 * frames: an echo of bare Ethernet frames over a port: what the cable and its driver can do.
 *
 * Purpose: the yardstick beside every figure of our own TCP on the same cable. One side sends every
 * frame back; the other (ask) keeps a number outstanding and counts what returns, its number checked.
 * Owner: the calling thread. Memory: the port's pool. Failure: a negative err with a line in `why`.
 */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/result.h"

#define frames_outstanding_max 1024

struct frames_options {
    const char *ports; /* one port, as sluice.dpdk.ports */
    bool ask;
    uint32_t bytes, outstanding; /* bytes: behind the Ethernet header */
    double warmup_s, seconds;    /* the echo side: seconds, 0: until a signal */
};

/* EAL must be up with cable_eal_mb. */
int frames_run(const struct frames_options *options, struct result *out, char *why,
               size_t why_size);

#endif
