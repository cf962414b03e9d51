/*
 * flow: requests over the connections of one thread, closed or open loop.
 *
 * Purpose: closed loop: each connection keeps `in_flight` requests outstanding. Open loop: requests are due at a
 * constant or Poisson rate; latency counts from the time at which a request was due, so that no stall hides. What a
 * request is and what its answer is worth is the user's (produce, echo). Owner: one thread. Memory: one slot table per
 * connection. Failure: a negative err with one line in `why`; what was measured until then stays in the result.
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"
#include "bench/client.h"

#define flow_conns_max     4096
#define flow_in_flight_max 256

/* What an answered request was worth; error: a Kafka error code, then it is worth nothing. */
struct flow_worth {
    int16_t error;
    uint32_t records, bytes;
};

struct flow_ops {
    /* Appends request number n of a connection to out; false: no memory, nothing was appended. */
    bool (*put)(void *ctx, uint32_t conn, uint32_t n, struct chain *out);
    /* Reads the answer to request n, of len bytes at the head of rx. */
    struct flow_worth (*answer)(void *ctx, uint32_t conn, uint32_t n, const struct chain *rx,
                                uint32_t len);
};

struct flow_options {
    const char *host;
    uint16_t port;
    uint32_t connections, in_flight;
    double rate;   /* requests a second over all connections; 0: closed loop */
    bool poisson;  /* arrivals of an open loop; else at equal distances */
    bool overload; /* what is due and not sent when the time is over is counted, not sent */
    double warmup_s, seconds;
    uint64_t bytes_max; /* ends early when so many bytes are answered; 0: no such end */
    int broker_pid;
    uint64_t seed;
    struct crew_member *member; /* NULL: alone */
};

struct flow;

/* Memory and transport. Nothing is kept on an error. options, ops and their ctx outlive the flow. */
int flow_new(struct flow **out, const struct flow_options *options, const struct flow_ops *ops,
             void *ctx, struct result *result, char *why, size_t why_size);
void flow_free(struct flow *f);

/* Opens, meets the crew, warms up, measures, waits for what is in flight, closes. */
int flow_run(struct flow *f, char *why, size_t why_size);

/* For the user's put. */
struct client *flow_client(struct flow *f);
struct rng *flow_rng(struct flow *f);

#endif
