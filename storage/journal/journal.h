/*
 * journal: what many partitions append is made durable by one write.
 *
 * Purpose: one ring of commits for each shard and log dir, preallocated and once written, so that a
 * commit is a single durable write that changes no metadata. It holds bytes of segments until these
 * have them on the medium too; then its space is used again. Format: format.h.
 * Owner: one shard; journal_make blocks and runs on a worker before the shard has the journal.
 * Memory: taken by journal_make, fixed; a journal_log is part of its owner.
 * Invariants: a commit counts only when all before it do; it begins on a fresh block and its blocks
 * are written again only when every piece in it is in its segment on the medium (journal_written).
 * What a failed partition left (journal_leave) stays until the next start: when the ring comes round
 * to it, it is read and put into a new commit (carry.c).
 * Failure: a write that fails ends the journal: the logs in it are told, nothing is taken any more.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_H
#define STORAGE_JOURNAL_JOURNAL_H

#include "base/clock.h"
#include "base/rng.h"
#include "storage/io/io.h"
#include "storage/journal/format.h"

#define journal_writes_max 4 /* commits under way */

struct journal;
struct journal_entry;

/* A partition as the journal knows it. Totals count bytes as their owner does; they only grow. */
struct journal_log {
    struct journal *journal;            /* NULL: none */
    struct journal_entry *first, *last; /* its pieces that are in the journal alone; private */
    uint64_t submitted, durable;        /* up to here commits were begun, have ended */
    /* Copies the piece into the commit. */
    void (*copy)(struct journal_log *log, const struct journal_frame *f, uint8_t *dst);
    void (*moved)(struct journal_log *log);           /* durable grew */
    void (*failed)(struct journal_log *log, int err); /* what was submitted is not durable */
};

struct journal_options {
    struct fs *fs;
    struct io *io;
    const char *log_dir;
    struct uuid dir; /* its directory.id */
    uint32_t shard;
    uint64_t bytes;      /* of the file; at least journal_blocks_min blocks */
    uint64_t life;       /* random */
    struct clock *clock; /* the device is measured by it (probe.h); NULL: it is not */
};

/*
 * Makes the file, in place of one that is there (nothing in which counts: see journal_replay.h).
 * ERR_NO_SPACE, ERR_NO_MEMORY, ERR_INVALID (the size) and what the disk answers.
 */
int journal_make(struct journal **out, const struct journal_options *o);
/* No commit is under way. Closes the file, which stays. NULL is accepted. */
void journal_free(struct journal *j);

/* How a commit begins: JOURNAL_BUSY: when one ends; JOURNAL_FULL: when segments have been written. */
enum journal_begin { JOURNAL_BEGUN, JOURNAL_BUSY, JOURNAL_FULL, JOURNAL_FAILED };
enum journal_begin journal_begin(struct journal *j);
int journal_error(const struct journal *j);    /* 0, or what its first failed write said */
bool journal_writing(const struct journal *j); /* a commit is under way */
/* A piece that ends at end_total of its log. False: it does not fit any more. */
bool journal_add(struct journal *j, struct journal_log *log, const struct journal_frame *f,
                 uint64_t end_total);
/* The largest piece that fits into a commit. */
uint32_t journal_piece_max(const struct journal *j);
/* Pieces of so many bytes are worth their place on this device (probe.h); 0: nobody knows. */
uint64_t journal_worth(const struct journal *j);
/* Submits what was added; nothing if nothing was. */
void journal_commit(struct journal *j);

/* The segments have everything of the log up to total on the medium. */
void journal_written(struct journal_log *log, uint64_t total);
/* The log goes, or failed. What it has in the journal alone stays there. */
void journal_leave(struct journal_log *log);

/*
 * Over half full: 0 or a sequence number. Logs whose journal_oldest is before it should be written
 * to their segments.
 */
uint64_t journal_pressed(const struct journal *j);
uint64_t journal_oldest(const struct journal_log *log); /* UINT64_MAX: it has nothing there */

struct journal_stats {
    uint32_t blocks, used;                 /* of the ring */
    uint32_t commits;                      /* that hold what is in no segment */
    uint64_t written, frames, write_bytes; /* commits ever, their frames, their bytes */
    uint32_t left;                         /* pieces of logs that left */
    bool stuck; /* full of them: it takes nothing before the next start */
    bool failed;
};
void journal_stats(const struct journal *j, struct journal_stats *out);

/* Removes every journal of a log dir: nothing in them is needed. Blocking. */
int journal_remove_all(struct fs *fs, const char *log_dir);

#endif
