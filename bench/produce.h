/*
 * produce: a load of Produce requests.
 *
 * Purpose: closed or open loop (flow.h). The batches are encoded once; every reply is checked. Idempotent: each
 * connection is a producer of its own, and each request's header is stamped. Works against any broker that speaks
 * Produce v7. Owner: its thread. Memory: the batches, a sequence for each partition and connection.
 * Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_PRODUCE_H
#define BENCH_PRODUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/batch.h"
#include "bench/flow.h"
#include "core/chain.h"

#define produce_partitions_max 10000
#define produce_sequences_max  (16u << 20) /* connections times partitions, idempotent */
#define produce_head_bytes_max 512
#define produce_batches_max    64 /* encoded beforehand when sizes vary */

struct produce_options {
    struct flow_options flow;
    const char *topic;
    uint32_t partitions;
    bool keyed;                     /* a random partition for each request; else round and round */
    uint32_t first_conn, all_conns; /* of several threads: this one's part of all connections */
    struct bench_batch_spec batch;
    enum spread batch_spread; /* of the records in a batch */
    bool idempotent;
    int16_t acks;
    bool setup; /* create the topic and wait for its leaders (not with the null broker) */
};

int produce_run(const struct produce_options *options, struct result *out, char *why,
                size_t why_size);

/* The bytes of a Produce v7 request before its batch, with places to fill in. */
struct produce_head {
    uint8_t bytes[produce_head_bytes_max];
    uint32_t len, correlation_at, partition_at, batch_len_at;
};
void produce_head_make(struct produce_head *h, const char *topic, int16_t acks, uint32_t batch_len);

/* Another request of the same head. */
void produce_head_set(struct produce_head *h, int32_t correlation, uint32_t partition,
                      uint32_t batch_len);

/* The error code of a Produce v7 reply for one partition; KERR_UNKNOWN_SERVER_ERROR if malformed. */
int16_t produce_reply_error(const struct chain *rx, uint32_t len, const char *topic,
                            int32_t correlation);

#endif
