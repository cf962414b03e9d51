/*
 * raw: the barest client there can be, as the yardstick of the produce load itself.
 *
 * Purpose: Produce v7 over plain sockets and epoll, one thread, requests encoded once and side by side in memory,
 * replies only counted and looked at for an error. It shares no transport, codec or flow with the produce load (only
 * the bytes of a batch), so what that load reaches of this one's rate on the same broker says what it costs. The topic
 * has to be there. Owner: its thread. Memory: connections times in_flight requests, at most raw_bytes_max. Failure: a
 * negative err with one line in `why`; a reply with an error is ERR_IO and no figure.
 */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stddef.h>
#include <stdint.h>

#include "bench/batch.h"
#include "bench/crew.h"
#include "bench/result.h"

#define raw_bytes_max (1u << 30)

struct raw_options {
    const char *host; /* numeric */
    uint16_t port;
    const char *topic;
    uint32_t partitions, connections,
        in_flight; /* connection i writes to partition i % partitions */
    struct bench_batch_spec batch;
    double warmup_s, seconds;
    uint64_t seed;
    struct crew_member *member; /* NULL: alone */
};

/* Closed loop. Latency is from when a reply made room for a request to that request's reply. */
int raw_run(const struct raw_options *options, struct result *out, char *why, size_t why_size);

#endif
