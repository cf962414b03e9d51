/*
 * plog_internal: a partition's log from inside, shared by the files of this folder.
 *
 * Which file does what: plog.c life and marks; append.c a batch in; ack.c answers out; write.c bytes to
 * disk; group.c which go through a journal; flush.c flush.messages and flush.ms, flush_mark.c flushes
 * that failed; space.c what a full disk refuses. read.c ranges out, read_op.c those that wait; span.c
 * bytes at hand; stream.c bytes from the disk; lookup.c by timestamp. segment.c one segment and its
 * files; jobs.c what the worker does for a segment; roll.c new segments; retain.c old ones, age.c how
 * old. load.c opening and closing; recover.c what a crash left; replay.c producers at open; scan.c
 * batches of a file at open; before that restore.c writes back what tail.c (named memory) and journal_replay.c find.
 */
#ifndef STORAGE_PLOG_PLOG_INTERNAL_H
#define STORAGE_PLOG_PLOG_INTERNAL_H

#include "base/err.h"
#include "base/kerr.h"
#include "storage/cache/cache.h"
#include "storage/journal/journal.h"
#include "storage/plog/batch.h"
#include "storage/plog/decompress.h"
#include "storage/plog/epochs.h"
#include "storage/plog/index.h"
#include "storage/plog/plog.h"
#include "storage/plog/segment.h"
#include "storage/plog/validate.h"
#include "storage/producer/producer.h"

enum plog_state { PLOG_OPENED, PLOG_ATTACHED, PLOG_DETACHING, PLOG_DETACHED };

struct plog {
    char *name, *log_dir, *dir;
    struct fs *fs;
    struct uuid topic_id;
    int32_t partition;
    struct plog_config config;
    struct plog_env *env;
    enum plog_state state;
    bool failed;
    int failure;           /* why, while failed */
    bool disk_failed;      /* not the partition alone */
    _Atomic int flush_err; /* of a flush at the worker: what it covered may read as zeros now */

    int64_t log_start, stable, high_watermark, end;
    int64_t first_unstable; /* first offset of the oldest open transaction, -1 */
    int64_t flushed;        /* the medium has all before this offset, with PLOG_OS */
    int32_t leader_epoch;
    struct epochs epochs;
    struct producers producers;

    struct segment **segments; /* by base offset, the active one last; never empty */
    uint32_t segment_count, segment_room;
    int64_t size_bytes;
    struct segment *visible; /* the high watermark is at visible_end in it */
    uint32_t visible_end;
    struct segment *doomed; /* deleted, not yet unlinked */
    uint32_t rolls_pending;
    int64_t snapshot_offset; /* of the newest snapshot, -1 */

    struct plog_append *queue_head, *queue_tail; /* accepted, not durable, in order */
    uint64_t appended_total, written_total;      /* bytes since the plog was opened */
    uint64_t submitted_total; /* bytes that are written or whose write is under way */
    uint64_t drain_total;     /* up to here everything is written at once, whole blocks or not */
    struct write_op *writes, **writes_tail; /* under way, in order */
    uint32_t write_count;
    struct plog *lazy_next; /* of the shard's list of plogs with bytes that wait for a write */
    int64_t lazy_since_ns;
    bool lazy;
    struct dir_space *space;               /* of its log dir */
    struct group *group;                   /* whose journal it may use; NULL: none */
    struct journal_log journal;            /* totals as in written_total */
    struct plog *group_next, **group_prev; /* waits for a commit; prev NULL: it does not */
    bool fire_wanted;                      /* the high watermark moved */
    struct lookup *lookups;                /* wait until what they search is written */

    struct io_req flush; /* flush.messages, flush.ms */
    struct segment *flushing;
    struct job flush_job; /* of the directory */
    int64_t flush_target;
    uint64_t flush_total; /* a flush waits until so much is written; 0: none waits */
    struct wheel_timer flush_timer;

    struct plog_waiter *waiters;
    struct plog_detach *detach;
    struct wheel_timer retention_timer;
    uint32_t jobs, reads;
    struct job epoch_job; /* writes the leader-epoch-checkpoint */
    bool epoch_job_busy, epochs_changed;
    struct plog *dirty_next;
    bool dirty;
};

#include "storage/plog/shard.h"

/* True if the store into log memory is the acknowledgement. */
static inline bool plog_store_acks(const struct plog *p)
{
    return p->env->durability == PLOG_OS && cache_named(p->env->cache);
}

static inline struct segment *plog_active(const struct plog *p)
{
    return p->segments[p->segment_count - 1];
}

/* --- segment.c; the rest of it in segment.h --- */
/* Index of the segment that holds the offset, or would. */
uint32_t plog_segment_at(const struct plog *p, int64_t offset);
/* ERR_NO_MEMORY. */
int plog_add_segment(struct plog *p, struct segment *s);
/* Where in the segment the visible part ends. */
uint32_t segment_visible(const struct segment *s);

/* --- jobs.c --- */
/* A line, sometimes: `what` failed with plog_err_is_want, and its asker asks again. */
void plog_want_tell(struct plog *p, int err, const char *what);
void job_start(struct plog *p, struct segment *s, struct job *job, job_fn *run, job_fn *done);
void segment_create(struct segment *s);
/* Gives a segment that grows room ahead of its writes. */
void segment_make_room(struct segment *s);
void segment_seal(struct segment *s);
void segment_rename_doomed(struct segment *s);
void segment_unlink_doomed(struct segment *s);
/*
 * True: file and indexes are at hand and pinned; false: op goes on when they are, or the plog has
 * failed.
 */
bool segment_open_for(struct segment *s, struct read_op *op);
/* True if it is open; otherwise it will be, if nothing goes wrong. */
bool segment_open_soon(struct segment *s);
/* Reads that came while a job had the segment, which is not open, are seen to. */
void segment_open_waiting(struct segment *s);
void segment_unpin(struct segment *s);
void segment_unlist(struct segment *s);
void plog_write_epochs(struct plog *p);

/* --- roll.c --- */
bool plog_roll_needed(const struct plog *p, uint32_t bytes, int64_t max_timestamp,
                      int64_t last_offset);
/* A new active segment at the end offset. ERR_FULL, ERR_NO_MEMORY: nothing happened. */
int plog_roll(struct plog *p);

/* --- ack.c --- */
void plog_fire(struct plog *p);
void plog_fail(struct plog *p, int err, const char *what);
/* True: memory or files of the process are short; the disk is as good as before. */
static inline bool plog_err_is_want(int err)
{
    return err == ERR_NO_MEMORY || err == ERR_FULL;
}
/* The same for what is this partition's alone: its log dir stays. */
void plog_fail_alone(struct plog *p, int err, const char *what);
/* What was done where in a segment, for the two. */
#define plog_place_bytes_max 96
const char *plog_place(char out[plog_place_bytes_max], const char *what, const struct segment *s,
                       uint64_t at);
void plog_move_stable(struct plog *p);
/* Fails the log if the worker saw a flush of it fail: before what was read or written is believed. */
void plog_fail_flush(struct plog *p);
/* The last write of a failed plog has ended. */
void plog_fail_end(struct plog *p);
/* Moves the marks over what the promise holds for now, and answers the appends. */
void plog_complete(struct plog *p);

/* --- write.c --- */
void plog_mark_dirty(struct plog *p);
void plog_write(struct plog *p);
/* Everything appended until now is written soon, also what fills no block. */
void plog_drain(struct plog *p);
/* Bytes were appended. */
void plog_grown(struct plog *p);
/* Its bytes wait for a write, as long as they may; nothing of it waits for one any more. */
void plog_lazy_add(struct plog *p);
void plog_lazy_remove(struct plog *p);

/* --- group.c --- */
void group_attach(struct plog *p);
/* Nothing of the plog waits for a commit. */
void group_forget(struct plog *p);
void group_detach(struct plog *p);
/* What was appended waits for a commit, or is written to the segment now. */
void group_step(struct plog *p);
/* Begins commits, and drains what makes the journal full. Returns how many logs it took. */
uint32_t group_run(struct plog_env *env);
bool group_writing(const struct plog_env *env); /* a commit of some log dir is under way */
void group_fini(struct plog_env *env);
/* True if appends may be acked by a journal: writes to the segment may wait. */
bool group_acks(const struct plog *p);

/* --- space.c --- */
void space_attach(struct plog *p);
void space_fini(struct plog_shard *shard);
/* True if there is no room for a batch of a client, or of a coordinator. */
bool space_refuses(const struct plog *p, bool from_client);

/* --- flush.c --- */
void plog_flush_check(struct plog *p);
void plog_flush_timer(struct wheel_timer *timer, int64_t now_ns);

/* --- flush_mark.c: blocking --- */
/* Syncs one of the log's segments; what fails is marked. */
int flush_or_mark(const struct plog *p, struct io_file *file);
void flush_mark_set(const struct plog *p);
/* True also if that cannot be told. */
bool flush_mark_found(const struct plog *p);
void flush_mark_clear(const struct plog *p);

/* --- lookup.c: begins or ends the look-ups that waited for writes. --- */
void plog_lookups_go(struct plog *p);

/* --- read.c, read_op.c --- */
void read_op_arrived(struct read_op *op); /* the stream has more, or an error */
void read_op_resume(struct read_op *op);
void read_op_fail(struct read_op *op, int16_t error);
/* Its segment cannot be opened now: an empty answer, and the reader asks again. */
void read_op_defer(struct read_op *op);
/* Answers the reads that wait for log memory: the plog failed or is being detached. */
void plog_reads_give_up(struct plog *p);

/* --- retain.c --- */
void plog_retention_arm(struct plog *p);
void plog_retention(struct plog *p);
void segment_doom_step(struct segment *s);
/* Those of the deleted segments that can go on do so. */
void plog_doom_steps(struct plog *p);

/* --- age.c --- */
/* Has the worker compare the segment's time with its batches; then plog_retention looks again. */
void segment_age_look(struct segment *s);

/* --- plog.c --- */
/* Makes what the plogs of a shard share, if it is not there. */
void plog_env_shard(struct plog_env *env);
void plog_check(const struct plog *p);
void plog_detach_try(struct plog *p);

#endif
