/* journal_internal: what journal.c (the ring) and make.c (its file) share. */
#ifndef STORAGE_JOURNAL_JOURNAL_INTERNAL_H
#define STORAGE_JOURNAL_JOURNAL_INTERNAL_H

#include "storage/journal/journal.h"

struct commit {
    uint64_t sequence;
    uint32_t bytes, entries, first_entry;
    uint32_t start, blocks, skipped; /* in the ring; skipped: unused blocks before the wrap */
    uint32_t live;                   /* entries that no segment has */
    bool done;
};

/* A frame of a commit that still takes space in the ring. */
struct journal_entry {
    struct journal_log *log; /* NULL: its segment has it, or it left */
    struct journal_entry *next;
    struct commit *commit;
    struct journal_frame frame;
    uint64_t end_total;
};

struct journal_write {
    struct io_req req;
    struct iovec iov;
    struct journal *journal;
    struct commit *commit;
    uint8_t *buffer;
    uint64_t tail; /* that it says */
    bool ended;
    struct journal_write *next;
};

struct journal {
    struct fs *fs;
    struct io *io;
    struct io_file *file;
    uint64_t life;
    uint64_t worth;                 /* as journal_worth */
    uint32_t blocks, commit_blocks; /* of the file; of the largest commit */
    uint32_t head, used;            /* next block; blocks that are not free */
    struct commit *commits;         /* a ring, in order */
    uint32_t commit_first, commit_count, commit_max;
    struct journal_entry *entries; /* a ring, in the order of the commits */
    uint32_t entry_first, entry_count, entry_max;
    uint64_t sequence, done; /* of the next commit; up to here all have ended */
    uint64_t tail_durable;   /* those before it are spent, and the medium says so */
    struct commit build;
    bool building, failed;
    int err;
    uint8_t *buffers;
    struct journal_write writes[journal_writes_max], *writes_free;
    struct journal_write *flight, **flight_tail; /* in order */
    uint64_t written, frames, write_bytes;
};

/* Memory alone, no file. */
int journal_new(struct journal **out, const struct journal_options *o, uint32_t blocks);

#endif
