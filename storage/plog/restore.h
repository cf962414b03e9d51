/*
 * restore: pieces of segments that a broker which died kept elsewhere, put into their files.
 *
 * Purpose: what was acknowledged in named log memory (tail.h) or in a journal (journal_replay.h) is
 * written at its position before any segment is scanned; then the ordinary recovery follows.
 * Owner: the composition root, before any log is open; blocking. Memory: malloc, while it runs.
 * Invariants: a range goes only into a directory whose partition.metadata has its topic id, and only
 * over bytes that are the same or zeros (or past the file's end); doing it again changes nothing, so
 * it may be interrupted anywhere.
 * Failure: a file that cannot be written ends it with the error and a line naming the file.
 */
#ifndef STORAGE_PLOG_RESTORE_H
#define STORAGE_PLOG_RESTORE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/cache/region.h"

struct restore_range {
    struct region_place place;
    const uint8_t *data; /* of place.start */
};

/* What to do with ranges of a partition that none of the directories has. */
enum restore_missing {
    RESTORE_DROP, /* the topic is gone */
    RESTORE_KEEP, /* its log dir is not there now: the replay must not end well */
};

struct restore_options {
    struct fs *fs;
    const char *source;      /* where the ranges were, for messages */
    bool create;             /* a segment whose file is not there is made; else it was deleted */
    bool gaps;               /* ranges nobody can name are missing: what comes behind one is said */
    const char *const *dirs; /* log dirs that are there and were not stopped cleanly */
    uint32_t dir_count;
    /* Asked about each range without a place. NULL: RESTORE_DROP */
    enum restore_missing (*missing)(void *ctx, const struct uuid *topic_id, int32_t partition);
    void *ctx;
};

struct restore_report {
    uint32_t partitions, ranges; /* written */
    uint64_t bytes;
    uint32_t dropped;     /* ranges of partitions or segments that are gone */
    uint32_t refused;     /* ranges whose file holds something else: another program wrote to it */
    uint32_t behind_gaps; /* of those written: it seems that nothing stands before them */
};

/*
 * Sorts the ranges and writes them. 0: everything that has a place is in its file, and the files are
 * synced. ERR_BUSY: a partition's directory is missing and `missing` said RESTORE_KEEP. Others: as
 * the file system says.
 */
int restore_ranges(const struct restore_options *o, struct restore_range *ranges, uint32_t count,
                   struct restore_report *report, char *why, size_t why_size);

#endif
