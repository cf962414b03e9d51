/*
 * internal: what control does with the log of an internal topic's partition, on the shard that owns
 * it: append one batch, read one piece.
 *
 * Purpose: coordinators live on the control thread and their logs on shards. Control sends a call
 * whose run function starts one of these operations; its done function leads to call_finish.
 * Owner: the shard from *_start until done. Memory: the structs are embedded in their owner; batch
 * bytes are the caller's and stay until done. What a read lends is mbufs over log memory: they may
 * be freed on any thread.
 * Invariants: 1. appends of one lane are appended in the order of their start, whatever waits for
 * log memory. 2. A lane is touched by the shard alone while one of its appends is under way.
 * Failure: the Kafka error of the append or read; nothing is retried here.
 */
#ifndef DATAPLANE_KAFKA_INTERNAL_H
#define DATAPLANE_KAFKA_INTERNAL_H

#include <stdint.h>

#include "storage/cache/cache.h"
#include "storage/plog/plog.h"

#define internal_batch_bytes_max (2 * MIB) /* one batch of control's; a larger one is refused */

struct internal_append;

/* The appends of one plog that wait for log memory, in order. Zeroed is empty. */
struct internal_lane {
    struct internal_append *head, *tail;
    struct cache_waiter waiter;
};

struct internal_append {
    /* in */
    struct plog *plog;
    struct cache *cache; /* of the plog's shard */
    struct internal_lane *lane;
    const uint8_t *batch; /* one record batch, format 2, with its checksum */
    uint32_t bytes;
    void (*done)(struct internal_append *a); /* once, maybe from inside internal_append_start */
    /* answer */
    int16_t error; /* KERR_*; 0: durable as the durability in force says */
    int64_t base_offset;
    /* private */
    struct plog_append append;
    struct internal_append *next;
};

void internal_append_start(struct internal_append *a);

struct internal_read {
    /* in */
    struct plog *plog;
    int64_t offset;
    uint32_t bytes_max;                    /* at least one batch comes, whatever its size */
    void (*done)(struct internal_read *r); /* once, maybe from inside internal_read_start */
    /* answer; the chain is the caller's */
    int16_t error;
    struct chain data;
    int64_t log_start, end; /* offsets; end: the high watermark */
    /* private */
    struct plog_read read;
};

void internal_read_start(struct internal_read *r);

#endif
