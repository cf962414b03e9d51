/* journal_internal: what journal.c (the ring), carry.c (what logs left in it) and make.c (its file) share. */
#ifndef STORAGE_JOURNAL_JOURNAL_INTERNAL_H
#define STORAGE_JOURNAL_JOURNAL_INTERNAL_H

#include "storage/journal/journal.h"

struct commit {
    uint64_t sequence;
    uint32_t bytes, entries, first_entry;
    uint32_t start, blocks, skipped; /* in the ring; skipped: unused blocks before the wrap */
    uint32_t live;                   /* entries that no segment has */
    uint32_t left, left_bytes;       /* of them: those whose log left, and their bytes */
    struct commit *carries; /* the commit whose entries these are, until this one is done */
    bool carried;           /* made by carry.c */
    bool done;
};

/* A frame of a commit that still takes space in the ring. */
struct journal_entry {
    struct journal_log *log; /* NULL: its segment has it, or it left */
    bool left;               /* it left: no segment will have it before the next start */
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
    uint32_t left;                               /* entries of logs that left */
    uint32_t left_blocks;                        /* the most that those of one commit take */
    uint32_t carried_blocks;                     /* of commits that carry.c made */
    struct commit *carrying;     /* the oldest one, while it is read and written again */
    struct journal_write *carry; /* while it is read */
    bool stuck;                  /* the oldest one cannot be carried */
    uint64_t written, frames, write_bytes;
};

/* Memory alone, no file. */
int journal_new(struct journal **out, const struct journal_options *o, uint32_t blocks);

/* The i-th oldest. */
static inline struct commit *commit_at(const struct journal *j, uint32_t i)
{
    return &j->commits[(j->commit_first + i) % j->commit_max];
}
static inline struct journal_entry *entry_of(const struct journal *j, const struct commit *c,
                                             uint32_t i)
{
    return &j->entries[(c->first_entry + i) % j->entry_max];
}

/*
 * Where n blocks in a row are free, `keep` of others left; *skip are left unused at the ring's end.
 * 0: nowhere.
 */
uint32_t journal_find_room(const struct journal *j, uint32_t n, uint32_t keep, uint32_t *skip);
/* There is a free one. */
struct journal_write *journal_write_take(struct journal *j);
void journal_write_give(struct journal *j, struct journal_write *w);
/* Its place in the ring, for which there is room; its entries are not set. */
struct commit *journal_commit_place(struct journal *j, const struct commit *build);
/* Writes it: frames and data are in w->buffer. */
void journal_commit_write(struct journal *j, struct commit *c, struct journal_write *w);

/* carry.c. Entry e of a log that leaves. */
void journal_carry_add(struct journal *j, struct journal_entry *e);
/* Blocks that commits must leave free. */
uint32_t journal_carry_room(const struct journal *j);
/* Begins to carry the oldest commit, if only what logs left keeps it. */
void journal_carry_try(struct journal *j);
/* The carrying commit c is on the medium. */
void journal_carry_end(struct journal *j, struct commit *c);

#endif
