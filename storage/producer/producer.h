/*
 * producer: what a partition remembers of its idempotent producers.
 *
 * Purpose: Kafka's ProducerStateManager and ProducerAppendInfo: the last producer_batches_kept
 * batches of each producer, so that a retry is recognised, a gap refused and an old epoch fenced;
 * and its snapshot file.
 * Owner: the plog's owner. Memory: malloc, grown only when a producer id is seen for the first
 * time, up to producer_ids_max entries; at the limit about a sixteenth of them, of those that wrote
 * nothing for longest, is forgotten as if it had expired (tens of milliseconds, once in so many new
 * ids; Kafka has no limit). Who has a transaction open stays. Failure: KERR_* from producers_check;
 * ERR_FULL if all have one.
 */
#ifndef STORAGE_PRODUCER_PRODUCER_H
#define STORAGE_PRODUCER_PRODUCER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define producer_batches_kept 5
#define producer_ids_max                                                                           \
    262144 /* of one partition; expiry by producer.id.expiration.ms keeps below */

struct producer_batch {
    int64_t last_offset, timestamp_ms;
    int32_t last_sequence, offset_delta; /* delta: last offset - first offset */
};

struct producer {
    int64_t id, last_timestamp_ms, txn_first_offset; /* -1: no transaction open */
    int32_t coordinator_epoch;
    int16_t epoch;        /* -1: none yet */
    uint8_t count, first; /* batches, the oldest is at first */
    uint32_t next;        /* of the same bucket, private */
    struct producer_batch batches[producer_batches_kept];
};

struct producers {
    struct producer *entries;
    uint32_t *buckets; /* a power of two of them; index + 1 into entries */
    uint32_t count, room, bucket_mask;
    uint64_t seed;
};

/* A batch as far as its producer's state is concerned. */
struct producer_append {
    int64_t producer_id; /* >= 0 */
    int64_t base_offset, last_offset, max_timestamp_ms;
    int32_t base_sequence, last_sequence;
    int16_t epoch;
    bool transactional;
    bool from_client; /* sequences are checked */
};

/* Nothing is allocated until the first producer. */
void producers_init(struct producers *p, uint64_t seed);
void producers_free(struct producers *p);
void producers_clear(struct producers *p);

struct producer *producers_find(const struct producers *p, int64_t id);

/* Newest batch of a producer, NULL without one. */
const struct producer_batch *producer_last(const struct producer *e);

/* The batch that `a` repeats, or NULL. */
const struct producer_batch *producers_duplicate(const struct producers *p,
                                                 const struct producer_append *a);

/* 0, or KERR_INVALID_PRODUCER_EPOCH, KERR_OUT_OF_ORDER_SEQUENCE_NUMBER, KERR_INVALID_TXN_STATE. */
int16_t producers_check(const struct producers *p, const struct producer_append *a);

/*
 * Makes sure that producers_update of this id cannot fail; others may be forgotten for it, and what was
 * found before is not valid any more. ERR_FULL, ERR_NO_MEMORY.
 */
int producers_reserve(struct producers *p, int64_t id);

/* Enters a batch that was appended (or is replayed). The id was reserved. */
void producers_update(struct producers *p, const struct producer_append *a);

/* Enters a transaction's end marker; the id was reserved. */
void producers_end_transaction(struct producers *p, int64_t id, int16_t epoch,
                               int32_t coordinator_epoch, int64_t timestamp_ms);

/* Forgets who wrote nothing for expiration_ms and has no open transaction; returns how many. */
uint32_t producers_expire(struct producers *p, int64_t now_ms, int64_t expiration_ms);

/* Smallest first offset of an open transaction, or -1. */
int64_t producers_first_unstable(const struct producers *p);

/* The snapshot file's bytes: Kafka's ProducerSnapshot, version 1. */
size_t producers_snapshot_bytes(const struct producers *p);
void producers_snapshot(const struct producers *p, uint8_t *out);

/*
 * Replaces the state. ERR_CORRUPT, ERR_NO_MEMORY, ERR_FULL (the state is empty then). Expired ones
 * are left out.
 */
int producers_load(struct producers *p, const uint8_t *bytes, size_t n, int64_t now_ms,
                   int64_t expiration_ms);

#endif
