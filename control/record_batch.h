/*
 * record_batch: record batches (Kafka's format 2) as control writes and reads them.
 *
 * Purpose: build one uncompressed batch out of keys and values; walk the bytes of a log record by
 * record, whatever codec a batch has. Pure.
 * Memory: a built batch is malloc'd; a walker keeps a decompressor of its own, made when the first
 * compressed batch comes, and lends what it shows until the call returns.
 * Failure: a corrupt batch or record is told once, with its offset, and passed over.
 */
#ifndef CONTROL_RECORD_BATCH_H
#define CONTROL_RECORD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

#define record_batch_unzipped_bytes_max (128 * MIB) /* records of one compressed batch */

struct record_item {
    const uint8_t *key; /* NULL: none */
    uint32_t key_len;
    const uint8_t *value; /* NULL: a tombstone */
    uint32_t value_len;
};

/* Bytes of a batch of these records, at most. */
size_t record_batch_bytes_max_of(const struct record_item *items, uint32_t n);

/*
 * One batch of n >= 1 records of one time, offsets from 0, no producer. *out is malloc'd.
 * ERR_NO_MEMORY; ERR_TOO_LARGE: more than 2 GiB.
 */
int record_batch_build(const struct record_item *items, uint32_t n, int64_t timestamp_ms,
                       uint8_t **out, uint32_t *bytes);

struct record_view {
    int64_t offset, timestamp_ms;
    int64_t producer_id; /* -1: none */
    bool transactional;
    struct record_item item;
};

struct record_visitor {
    void *ctx;
    /* 0, or a negative err that ends the walk. */
    int (*record)(void *ctx, const struct record_view *r);
    /* The end of a transaction. */
    int (*marker)(void *ctx, int64_t producer_id, bool commit);
    /* What could not be read: a batch, or one record of it and what follows in it. */
    void (*corrupt)(void *ctx, int64_t offset, const char *what);
};

struct unzip;

struct record_walk {
    int64_t next_offset; /* records below it are passed over; moves on with each batch */
    int64_t bad_offset;  /* of the last batch told to be corrupt, -1: none */
    struct unzip *unzip;
    uint8_t *plain; /* of the compressed batch at hand */
    size_t plain_room;
};

void record_walk_init(struct record_walk *w, int64_t from_offset);
void record_walk_free(struct record_walk *w);

/*
 * Walks whole batches at the front of p[0, n); a cut one at the end is left. Returns the bytes
 * walked (0: the first batch is not whole), ERR_CORRUPT: the first bytes are no batch at all, or
 * what the visitor answered. A corrupt batch's last offset is not believed before it is met a second
 * time: what follows it in p goes on; if next_offset stays where it was, the log cannot be read on.
 */
int64_t record_walk(struct record_walk *w, const uint8_t *p, size_t n,
                    const struct record_visitor *v);

#endif
