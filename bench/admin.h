/*
 * admin: what a load needs before it starts: the topic made and led.
 *
 * Purpose: CreateTopics and Metadata over a blocking socket of its own. Owner: the caller's thread.
 * Memory: mbufs from the pool given. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_ADMIN_H
#define BENCH_ADMIN_H

#include <stddef.h>
#include <stdint.h>

struct rte_mempool;

/* Creates the topic if it is not there and waits (10 s at most) until each partition has a leader. */
int admin_prepare_topic(const char *host, uint16_t port, struct rte_mempool *pool,
                        const char *topic, uint32_t partitions, char *why, size_t why_size);

#endif
