/*
 * plog_double: a partition's log in plain memory, behind the functions of storage/plog/plog.h.
 *
 * For tests of the request path alone: it checks nothing of a batch, and does what it is told: no
 * log memory, appends that become durable later, reads that answer later, errors. Never frees or
 * takes memory after plog_double_new.
 */
#ifndef TESTS_UNIT_DATAPLANE_KAFKA_PLOG_DOUBLE_H
#define TESTS_UNIT_DATAPLANE_KAFKA_PLOG_DOUBLE_H

#include "storage/plog/plog.h"

#define double_bytes_max   (16 * MIB)
#define double_batches_max 65536
#define double_epochs_max  8

struct double_batch {
    int64_t base, last, max_ms;
    uint32_t pos, len;
};

struct plog {
    struct rte_mempool *pool; /* of the mbufs that reads answer with */
    uint8_t *bytes;
    uint32_t used;
    struct double_batch *batches;
    uint32_t count;
    int64_t start, high_watermark, stable, end; /* stable -1: the high watermark */
    struct {
        int32_t epoch;
        int64_t start;
    } epochs[double_epochs_max];
    uint32_t epoch_count;
    struct plog_append *queue, **queue_end; /* appended, not durable */
    struct plog_read *reads, **reads_end;   /* to be answered later */
    struct plog_waiter *waiters;
    /* knobs */
    bool no_memory;  /* appends: ERR_FULL */
    bool hold_flush; /* appends stay undurable */
    bool hold_reads; /* reads answer in plog_double_release_reads */
    bool failed;
    int16_t append_error; /* answered to every append */
    int16_t lookup_error; /* and to every look-up by time */
    const char *append_message;
    uint32_t append_record_errors;
    int64_t append_time_ms;
    uint32_t appends, read_calls, waits;
    struct plog *next; /* of its shard */
};

struct plog *plog_double_new(struct rte_mempool *pool);
void plog_double_free(struct plog *p);

/* What was appended becomes durable and visible; waiters fire. */
uint32_t plog_double_flush(struct plog *p);
uint32_t plog_double_release_reads(struct plog *p);
void plog_double_fire(struct plog *p);

#endif
