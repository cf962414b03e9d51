/*
 * journal_replay: what the journals of a broker that died hold, put into the segments.
 *
 * Purpose: with sluice.durability=fsync an append may be acknowledged when it is in a journal of its
 * log dir (storage/journal). The next start writes every piece that counts at its position before
 * any segment is scanned, whatever the number of shards now is; then it removes the journals.
 * Owner: the composition root, before any log is open; blocking. Memory: malloc, a journal's size.
 * Invariants: those of restore.h; a journal is never written, and goes only when everything of it is
 * in its files and synced, or is of topics that are gone, so that it may be interrupted anywhere.
 * Failure: ERR_BUSY: records of a partition that is in none of the dirs, and `missing` keeps them: the
 * journal stays. ERR_INVALID with a line: a journal of another log dir, a damaged header, a file that was
 * cut, another format version. Damage behind the header is reported with file and byte, and costs what it hit.
 */
#ifndef STORAGE_PLOG_JOURNAL_REPLAY_H
#define STORAGE_PLOG_JOURNAL_REPLAY_H

#include "storage/plog/restore.h"

struct journal_replay_report {
    uint32_t journals;
    uint64_t commits, frames, damaged;
    struct restore_report restored;
};

struct journal_replay_options {
    struct fs *fs;
    const char *log_dir; /* whose journals */
    struct uuid id;      /* its directory.id */
    /* Where their partitions may be, log_dir among them: a directory can be moved after a crash. */
    const char *const *dirs;
    uint32_t dir_count;
    /* NULL: RESTORE_DROP */
    enum restore_missing (*missing)(void *ctx, const struct uuid *topic_id, int32_t partition);
    void *ctx;
};

/* A log dir without journals: nothing happens. */
int journal_replay(const struct journal_replay_options *o, struct journal_replay_report *report,
                   char *why, size_t why_size);

#endif
