/*
 * admin: what a load needs before it starts: the topic made and led.
 *
 * Purpose: CreateTopics, Metadata, ListOffsets, InitProducerId over a blocking socket of its own. Owner: the caller's thread.
 * Memory: mbufs from the pool given. A broker that does not answer in admin_answer_wait_s is given up. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_ADMIN_H
#define BENCH_ADMIN_H

#include <stddef.h>
#include <stdint.h>

struct rte_mempool;

#define admin_answer_wait_s 30

/* Creates the topic if it is not there and waits (10 s at most) until each partition has a leader. */
int admin_prepare_topic(const char *host, uint16_t port, struct rte_mempool *pool,
                        const char *topic, uint32_t partitions, char *why, size_t why_size);

#define admin_earliest (-2)
#define admin_latest   (-1)

/* ListOffsets of one partition; timestamp: one of the above, or ms since 1970. ERR_NOT_FOUND: the broker answers
 * with an error, which `why` names. */
int admin_list_offset(const char *host, uint16_t port, struct rte_mempool *pool, const char *topic,
                      uint32_t partition, int64_t timestamp, int64_t *out, char *why,
                      size_t why_size);

/* A fresh producer id. An error that the broker answers with: ERR_INVALID, named in `why`. */
int admin_producer_id(const char *host, uint16_t port, struct rte_mempool *pool, int64_t *id,
                      int16_t *epoch, char *why, size_t why_size);

#endif
