/*
 * fetch: a load of Fetch requests, from the log's start over and over (or along its end), and its parts for others.
 *
 * Purpose: each connection reads one partition at a time, one request in flight (as a consumer
 * does); in an open loop a request is due at a constant or Poisson rate and goes to the next connection that is free,
 * its latency counts from when it was due; batches are counted from their headers and, if asked, verified. Works against any broker that speaks Fetch v11. Owner: its thread.
 * Memory: fixed per connection. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_FETCH_H
#define BENCH_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/crew.h"
#include "bench/result.h"
#include "core/chain.h"

struct rte_mempool;

#define fetch_reply_bytes_max (64u << 20)
#define fetch_plain_bytes_max (64u << 20) /* of a compressed batch's records */
#define fetch_scratch_bytes   (fetch_reply_bytes_max + fetch_plain_bytes_max)
#define fetch_empty_max       8 /* answers in a row without a batch, below the high watermark */

/* What is looked at in what is read; each includes the one before. */
enum fetch_verify {
    FETCH_TRUST,
    FETCH_VERIFY_BATCHES, /* offsets dense, as asked, as many as there are records; checksums right */
    FETCH_VERIFY_CONTENTS, /* and each value's own hash */
};

struct fetch_options {
    const char *host;
    uint16_t port;
    const char *topic;
    uint32_t partitions, connections;
    uint32_t bytes_max; /* of a partition in one reply */
    uint32_t max_wait_ms, bytes_min;
    enum fetch_verify verify;
    bool follow;         /* at the end of the log wait for more, instead of beginning anew */
    uint32_t first_conn; /* of several threads: the number of this one's first connection */
    double rate;         /* requests a second over all connections; 0: closed loop */
    bool poisson;        /* arrivals of an open loop; else at equal distances */
    double warmup_s, seconds;
    int broker_pid;
    uint64_t seed;              /* of the arrivals */
    struct crew_member *member; /* NULL: alone */
};

int fetch_run(const struct fetch_options *options, struct result *out, char *why, size_t why_size);

/* One Fetch v11 request for one partition, without a session. ERR_NO_MEMORY: out is as it was. */
struct fetch_ask {
    const char *topic;
    int32_t correlation;
    uint32_t partition, bytes_max, max_wait_ms, bytes_min;
    int64_t offset;
    uint8_t
        *scratch; /* fetch_scratch_bytes to open compressed batches in; NULL: they stay unchecked */
};
int fetch_ask_put(const struct fetch_ask *q, struct rte_mempool *pool, struct chain *out);

/* What a reply held. */
struct fetch_answer {
    int16_t error;
    int64_t high_watermark, next_offset; /* next_offset: as asked when there was no whole batch */
    uint64_t records, bytes, batches;
    uint64_t faults; /* only with verify */
    uint64_t
        unchecked; /* batches whose values' hashes were to be looked at and could not be: too large, no scratch */
};

/* Reads the frame at the head of rx. ERR_MALFORMED. */
int fetch_answer_read(const struct chain *rx, uint32_t len, const struct fetch_ask *asked,
                      enum fetch_verify verify, struct fetch_answer *out);

/*
 * True at the fetch_empty_max'th answer in a row that brings nothing though there is something. *empty: how many there
 * were, at first 0.
 */
bool fetch_stuck(uint32_t *empty, const struct fetch_answer *answer);

#endif
