/*
 * internal_log: one partition of an internal topic as its coordinator on the control thread sees it.
 *
 * Purpose: appends batches in order and tells when each is durable; replays the log from its start
 * to its end in bounded pieces; drops a prefix that is not needed any more. The partition's shard
 * does the work (dataplane/kafka/internal.h); the calls go through topics.h, so a topic is never
 * taken away under one.
 * Owner: the control thread. Memory: malloc; a batch is kept from internal_log_append until it was
 * answered. Nothing here may be freed while internal_log_busy.
 * Invariants: answers come in the order of the appends; at most internal_log_window_max batches are
 * with the shard; internal_log_bytes_max are queued at most.
 * Failure: appended gets the Kafka error. A log that could not append one batch refuses those behind
 * it as long as they are queued.
 */
#ifndef CONTROL_INTERNAL_LOG_H
#define CONTROL_INTERNAL_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "control/record_batch.h"
#include "control/topics.h"
#include "dataplane/kafka/internal.h"

#define internal_log_window_max 32          /* batches with the shard at once */
#define internal_log_bytes_max  (256 * MIB) /* of one log, queued */

struct internal_write;
struct internal_load;

struct internal_log {
    struct control *control;
    struct uuid topic_id;
    int32_t partition;
    void *ctx;
    /* Durable (kerr 0) or failed. May be called from inside internal_log_append. */
    void (*appended)(void *ctx, uint64_t tag, int16_t kerr, int64_t base_offset, uint32_t bytes);
    /* private */
    struct internal_lane lane;
    struct internal_write *head, **tail, *unsent;
    struct internal_load *load;
    uint32_t with_shard, drops;
    uint64_t queued_bytes;
    int16_t broken; /* the first failure, as long as something is queued */
    bool delivering;
};

void internal_log_init(struct internal_log *l, struct control *c, const struct uuid *topic_id,
                       int32_t partition);

/* True while something is under way. */
bool internal_log_busy(const struct internal_log *l);

/*
 * Queues one batch; tag comes back with appended. ERR_NO_MEMORY, ERR_TOO_LARGE (a batch over
 * internal_batch_bytes_max), ERR_FULL (internal_log_bytes_max): nothing is queued.
 */
int internal_log_append(struct internal_log *l, const struct record_item *items, uint32_t n,
                        int64_t timestamp_ms, uint64_t tag);

/* Forgets what is queued and not with the shard yet; appended is not called for it. */
void internal_log_discard(struct internal_log *l);

struct internal_load_result {
    /* 0; ERR_NOT_FOUND: the partition is not there or offline; ERR_IO; ERR_FULL: the shard was short
     * of memory or files, the log may be sound; ERR_CORRUPT: it cannot be read to its end; what a
     * visitor said */
    int err;
    int64_t log_start, end; /* offsets */
    uint64_t bytes;         /* replayed */
};

/*
 * Replays [log start, high watermark) with pieces of about piece_bytes. One at a time, and nothing may be
 * appended meanwhile. The visitor and done run later, never from inside. ERR_NO_MEMORY,
 * ERR_NOT_FOUND: the partition is not there or offline.
 */
int internal_log_load(struct internal_log *l, uint32_t piece_bytes,
                      const struct record_visitor *visitor,
                      void (*done)(void *ctx, const struct internal_load_result *result));

/* Moves the log's start up to offset, when it can. */
void internal_log_drop_before(struct internal_log *l, int64_t offset);

#endif
