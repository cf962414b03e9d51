/*
 * produce: a load of Produce requests.
 *
 * Purpose: closed loop (each connection keeps `in_flight` requests outstanding) or open loop
 * (requests are due at a constant or Poisson rate; latency counts from the time at which a request
 * was due, so that no stall hides). The batch is encoded once. Every reply is checked.
 * Works against any broker that speaks Produce v7. Owner: the bench's main thread. Memory: one slot
 * table per connection. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_PRODUCE_H
#define BENCH_PRODUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/batch.h"
#include "bench/result.h"
#include "core/chain.h"

#define produce_conns_max      4096
#define produce_in_flight_max  256
#define produce_partitions_max 10000
#define produce_head_bytes_max 512

struct produce_options {
    const char *host;
    uint16_t port;
    const char *topic;
    uint32_t partitions;
    bool keyed; /* a random partition for each request; else round and round */
    uint32_t connections, in_flight;
    uint32_t records, record_bytes;
    int16_t acks;
    double rate;  /* requests a second over all connections; 0: closed loop */
    bool poisson; /* arrivals of an open loop; else at equal distances */
    double warmup_s, seconds;
    uint64_t bytes_max; /* ends early when so many bytes are acknowledged; 0: no such end */
    bool setup;         /* create the topic and wait for its leaders (not with the null broker) */
    int broker_pid;
    uint64_t seed;
};

int produce_run(const struct produce_options *options, struct result *out, char *why,
                size_t why_size);

/* The bytes of a Produce v7 request before its batch, with places to fill in. */
struct produce_head {
    uint8_t bytes[produce_head_bytes_max];
    uint32_t len, correlation_at, partition_at;
};
void produce_head_make(struct produce_head *h, const char *topic, int16_t acks, uint32_t batch_len);

/* The error code of a Produce v7 reply for one partition; KERR_UNKNOWN_SERVER_ERROR if malformed. */
int16_t produce_reply_error(const struct chain *rx, uint32_t len, const char *topic,
                            int32_t correlation);

#endif
