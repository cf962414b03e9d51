/*
 * load: a produce load on one thread, closed loop, over our own transport and codec.
 *
 * Purpose: n connections, each with a window of requests in flight, pre-encoded batches of random
 * records; counts what is acknowledged, checks every reply, measures latency from send to reply.
 * Works against any broker that speaks Produce v7. Owner: the bench's main thread. Memory: mbufs
 * from one plan, a slot table per connection. Failure: a negative err with a line in `why`; any reply with an
 * error code is counted by code and never counts as a record.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hist.h"

#define load_conns_max      1024
#define load_in_flight_max  256
#define load_partitions_max 4096

struct load_options {
    const char *host; /* numeric address */
    uint16_t port;
    const char *topic;
    uint32_t partitions; /* requests go round over them; created if they are not there */
    uint32_t connections, in_flight;
    uint32_t records, record_bytes; /* per batch; bytes of a value */
    int16_t acks;
    double warmup_s, seconds;
    bool setup; /* create the topic and wait for its leaders (not with the null broker) */
    uint64_t seed;
};

struct load_result {
    double seconds;
    uint64_t requests, records, bytes, errors;
    int16_t first_error; /* KERR_* of the first error reply */
    struct hist latency; /* ns */
    double client_cpu_s;
};

int load_run(const struct load_options *options, struct load_result *out, char *why,
             size_t why_size);

#endif
