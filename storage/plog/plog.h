/*
 * plog: a partition's log.
 *
 * Purpose: batches in, offsets out; ranges out as references to log memory; what a crash left is
 * made whole again. On disk it is Kafka's own layout (segments, indexes, snapshots, checkpoints).
 * Owner: exactly one shard. plog_open, plog_close and plog_remove run on a worker thread while no
 * shard has the plog; every other function on the owning shard between plog_attach and plog_detach.
 * Memory: recent batches live in chunks of the shard's log memory (storage/cache); what a read
 * lends is given back when its mbufs are freed, by message if that happens on another thread.
 *
 * Invariants (checked in plog.c, plog_check):
 *   1. log start <= stable end <= high watermark <= end offset; offsets only grow, except by
 *      truncation.
 *   2. durable end <= end offset; the high watermark never passes the durable end (one replica:
 *      they are equal).
 *   3. an append is done without error only when its last offset < durable end.
 *   4. batches of a segment are contiguous in offsets as appended, epochs never decrease.
 *   5. bytes in [written, tail end) of the active segment are in tail chunks; a chunk is dropped
 *      only when its bytes are written (or kept, when the plog fails and they were acked).
 *   6. a FAILED plog accepts nothing and answers KAFKA_STORAGE_ERROR until it is opened anew.
 *   7. a segment is written to only when all segments before it are written.
 *   8. bytes that are acked and not written are in a journal on the medium (PLOG_FSYNC), or in named
 *      memory (PLOG_OS); writes of a segment begin where the last one ended, so that they cover what
 *      the journal alone has.
 * Durability: PLOG_FSYNC: on the medium, in the segment or the journal. PLOG_OS: handed to the operating
 * system, or stored where the log memory has a name: survives the death of the process.
 * Failure: a failing disk moves the plog to FAILED and is told to env->disk_error, once;
 * damage in its files (ERR_CORRUPT), or bytes that cannot be read, move it to FAILED alone. A damaged
 * index only costs time. Where memory or file descriptors are short, reads are empty, look-ups are
 * answered OFFSET_NOT_AVAILABLE, and both are asked again.
 */
#ifndef STORAGE_PLOG_PLOG_H
#define STORAGE_PLOG_PLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/uuid.h"
#include "core/chain.h"
#include "core/mailbox.h"
#include "core/mem.h"
#include "core/wheel.h"
#include "storage/io/io.h"
#include "storage/plog/reads.h"

struct plog;
struct segment;
struct plog_shard;
struct cache;
struct chunk;
struct rng;

enum plog_durability { PLOG_FSYNC, PLOG_OS };
enum plog_timestamp_type { PLOG_CREATE_TIME = 0, PLOG_LOG_APPEND_TIME = 1 };

/* Effective settings of one topic; the names are Kafka's topic configs. Bytes, ms; -1: no limit. */
struct plog_config {
    int64_t segment_bytes, segment_ms, segment_index_bytes, index_interval_bytes;
    int64_t retention_ms, retention_bytes, file_delete_delay_ms;
    int64_t max_message_bytes;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
    int64_t flush_messages, flush_ms;
    int64_t producer_expiration_ms; /* producer.id.expiration.ms */
    enum plog_timestamp_type timestamp_type;
    bool cleanup_delete, cleanup_compact;
};

/* What all plogs of a shard share. Made by the composition root, outlives them. */
struct plog_env {
    struct agent *self;   /* the shard's agent */
    struct agent *worker; /* for roll, deletion of segments, snapshots */
    struct wheel *wheel;
    struct mem *mem;
    struct cache *cache;
    struct io *io;
    struct fs *fs;
    struct clock *clock;
    const int64_t *now_ns, *wall_ms; /* the shard's time of this step */
    enum plog_durability durability;
    /* A disk error took this plog's log dir down; called once, on the shard. Not for ERR_CORRUPT. */
    void (*disk_error)(struct plog_env *env, struct plog *plog, int err);
    void *ctx;
    int64_t retention_check_ms; /* log.retention.check.interval.ms; 0: never */
    uint64_t journal_bytes;     /* PLOG_FSYNC: of a journal for each log dir (0: none) */
    struct rng *rng;            /* for journals */
    /* The directory.id of a log dir; false: no journal there. */
    bool (*dir_id)(struct plog_env *env, const char *log_dir, struct uuid *out);
    struct plog *dirty_head, *dirty_tail; /* private: plogs with work for plog_env_run */
    struct plog_shard *shard;             /* private: made by the first plog_attach */
    uint64_t appends, append_bytes, writes, duplicates, rejects; /* counters */
    struct plog_reads reads;
};

/* The storage stage: starts writes for what was appended since, retention and roll checks. */
uint32_t plog_env_run(void *env, int64_t now_ns, uint32_t budget);

/* When every plog is detached: gives back what plog_attach made for the shard. */
void plog_env_fini(struct plog_env *env);

/* For cache_new: lets go of a chunk of a plog. */
void plog_evict(struct chunk *chunk);

/* ---- off the shard (worker thread) ---- */

struct plog_open {
    struct fs *fs;
    const char *log_dir; /* root of the log dir */
    struct str topic;    /* at most topic_name_bytes_max */
    int32_t partition;
    struct uuid topic_id;
    int32_t leader_epoch; /* of this leadership; a new one is entered at the end offset */
    struct plog_config config;
    bool clean;             /* .kafka_cleanshutdown was there: sizes and indexes are trusted */
    int64_t recovery_point; /* from the checkpoint; -1 unknown */
    int64_t log_start;      /* from the checkpoint; -1 unknown */
    int64_t wall_ms;
    enum plog_durability durability; /* what was promised when the log was written */
    bool rewrite; /* PLOG_OS, but now the medium is promised: what is kept is written once more */
};

/*
 * Opens, creating directory, partition.metadata and first segment if they are not there, and
 * recovers: segments from the recovery point on are scanned, torn tails cut, indexes rebuilt,
 * producer state loaded from its newest snapshot and replayed. why gets one line naming the file.
 * ERR_EXISTS: partition.metadata is whole and of another topic id; ERR_UNSUPPORTED: of a newer version;
 * ERR_CORRUPT: it is damaged, files cannot be read, or (PLOG_FSYNC; with PLOG_OS the log is cut there, as
 * in Kafka) a bad batch before acked ones, or a log start behind the end; others: as the file system says.
 */
int plog_open(struct plog **out, const struct plog_open *o, char *why, size_t why_size);

/* After plog_detach: cuts to size, writes indexes and producers, syncs, frees. ERR_CORRUPT: failed alone. */
int plog_close(struct plog *p);

/* After plog_detach: renames the directory to "<name>.<uuid>-delete", removes it, closes, frees. */
int plog_remove(struct plog *p);

/* At start: removes every "*-delete" directory of a log dir that a plog_remove left behind. */
int plog_sweep(struct fs *fs, const char *log_dir);

/* ---- on the owning shard ---- */

void plog_attach(struct plog *p, struct plog_env *env);

/*
 * Refuses new work with NOT_LEADER_OR_FOLLOWER and fires the waiters; what was accepted before is
 * written and answered, reads under way end; then done is called (later, never from inside).
 */
struct plog_detach {
    void (*done)(struct plog_detach *d);
    bool removing; /* plog_remove follows: nothing is kept in named memory */
    struct plog_detach *next;
};
void plog_detach(struct plog *p, struct plog_detach *d);

void plog_configure(struct plog *p, const struct plog_config *config);

#define plog_record_errors_max    16
#define plog_error_text_bytes_max 768

struct plog_record_error {
    int32_t index; /* record's index in the batch */
    const char *message;
};

/* One partition's part of a produce request. Filled in by the caller, answered by done. */
struct plog_append {
    struct chain_view records; /* read only during the call of plog_append */
    bool from_client;          /* false: coordinators (control batches and such allowed) */
    bool zstd_refused;         /* Produce before version 7 */
    /* exactly once after plog_append returned 0, maybe from inside it */
    void (*done)(struct plog_append *a);
    /* answer */
    int16_t error;              /* KERR_* */
    const char *error_message;  /* static or in `text`; NULL: Kafka gives none */
    int64_t base_offset;        /* -1 on error */
    int64_t log_append_time_ms; /* -1 with CreateTime */
    int64_t log_start_offset;
    uint32_t record_error_count;
    struct plog_record_error record_errors[plog_record_errors_max];
    int64_t appended_ns, durable_ns; /* stage clocks */
    /* private */
    struct plog *plog;
    struct plog_append *next;
    struct segment *segment;
    int64_t last_offset;
    uint64_t end_total;    /* bytes appended to the plog up to and with this batch */
    uint32_t end_position; /* and where that is in the segment */
    uint32_t text_used;
    char text[plog_error_text_bytes_max]; /* messages with figures in them */
};

/*
 * Checks, copies and checksums the batch into the tail in one pass, gives offsets and queues the
 * write. 0: accepted or answered (done). ERR_FULL: no log memory right now, nothing happened;
 * try again when cache_wait says so.
 * Kafka's rules and error codes (UnifiedLog.append, LogValidator, ProducerStateManager of 4.3).
 */
int plog_append(struct plog *p, struct plog_append *a);

#define plog_reads_max           64        /* of a shard, not from log memory, at once; more wait */
#define plog_read_disk_bytes_max (1 * MIB) /* of one read from disk (or one larger batch) */

/*
 * A range for a fetch. An offset outside [log start, end] is OFFSET_OUT_OF_RANGE. Less than
 * max_bytes may come back: a read stops at a segment's end and at plog_read_disk_bytes_max. The
 * last batch may be cut, as Kafka cuts it; a first batch that does not fit is left out unless
 * min_one is set. Where read memory is short the answer is empty: without min_one at once, with it
 * after plog_read_wait_ms.
 */
struct plog_read {
    int64_t offset;
    uint32_t max_bytes;
    bool min_one;        /* at least the first batch, whatever its size (KIP-74) */
    bool read_committed; /* up to the last stable offset */
    uint64_t reader;     /* whose unsent answers may not hold all read memory; 0: not bounded */
    void (*done)(struct plog_read *r); /* exactly once, maybe from inside plog_read */
    /* answer */
    int16_t error;
    struct chain data; /* whole bytes of the log from the batch that holds `offset`; caller frees */
    int64_t high_watermark, last_stable_offset, log_start_offset;
    /* private */
    struct plog *plog;
    struct plog_read *next;
    void *state;
};
void plog_read(struct plog *p, struct plog_read *r);

struct plog_marks {
    int64_t log_start, stable, high_watermark, durable, end; /* offsets */
    int32_t leader_epoch;
    int64_t size_bytes; /* of all segments */
    bool failed;
};
void plog_marks(const struct plog *p, struct plog_marks *out);

/* Bytes a fetch at `offset` could get now (0 at the high watermark; within index.interval.bytes). */
uint64_t plog_readable(const struct plog *p, int64_t offset, bool read_committed);

/*
 * A delayed fetch: fires (once per arm) when the high watermark moves, the plog fails, is truncated
 * or detached.
 */
struct plog_waiter {
    void (*fire)(struct plog_waiter *w);
    struct plog_waiter *next, **prev; /* prev == NULL: not armed */
};
void plog_wait(struct plog *p, struct plog_waiter *w);
void plog_wait_cancel(struct plog_waiter *w);

/* Offset of the first record with timestamp >= the one given (ListOffsets, one partition). */
struct plog_time_lookup {
    int64_t timestamp_ms; /* >= 0, or PLOG_TIME_MAX for the record with the largest timestamp */
    bool read_committed;
    void (*done)(struct plog_time_lookup *l);
    /* answer; offset -1: none */
    int16_t error;
    int64_t offset, found_timestamp_ms;
    int32_t leader_epoch;
    struct plog *plog;
    void *state;
};
#define PLOG_TIME_MAX (-3)
void plog_time_lookup(struct plog *p, struct plog_time_lookup *l);

/* OffsetForLeaderEpoch: the largest epoch <= the one asked, its end offset (-1, -1: undefined). */
void plog_epoch_end(const struct plog *p, int32_t epoch, int32_t *found_epoch, int64_t *end_offset);

/* Epoch of the batch at an offset, -1 unknown. */
int32_t plog_epoch_at(const struct plog *p, int64_t offset);

/*
 * DeleteRecords: moves the log start; offset -1: to the high watermark. Returns KERR_*, *low the
 * new start. Segments that are wholly before it go with the next retention check.
 */
int16_t plog_delete_records(struct plog *p, int64_t offset, int64_t *low);

/*
 * Moves the log start of any log, compacted ones too, up to offset (at most the high watermark), for
 * who has written what the prefix said anew behind it. Does nothing to a failed log.
 */
void plog_drop_before(struct plog *p, int64_t offset);

struct plog_producer {
    int64_t producer_id, last_timestamp_ms, current_txn_start_offset; /* -1: none */
    int16_t producer_epoch;
    int32_t last_sequence, coordinator_epoch;
};
/* Copies at most `max` producers; returns how many there are. */
uint32_t plog_producers(const struct plog *p, struct plog_producer *out, uint32_t max);

/* For checkpoints and logs; valid while the plog lives. */
const char *plog_name(const struct plog *p); /* "topic-3" */
const char *plog_log_dir(const struct plog *p);
/* Below it no look is needed after a crash; write the log start first: deleted files may come back. */
int64_t plog_recovery_point(const struct plog *p);

#endif
