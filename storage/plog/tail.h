/*
 * tail: what the named log memory of a broker that died holds, put back into the files.
 *
 * Purpose: with sluice.durability=os an append is acknowledged when it is in named log memory
 * (storage/cache/region.h). The next start writes every marked range at its position before any
 * segment is scanned; then the ordinary recovery follows. How many shards there are now is of no
 * importance.
 * Owner: the composition root, before any log is open; blocking. Memory: malloc, while it runs.
 * Invariants: a range goes only into a directory whose partition.metadata has its topic id, and only
 * over bytes that are the same or zeros (or past the file's end); doing it again changes nothing, so
 * it may be interrupted anywhere.
 * Failure: a file that cannot be written ends it with the error and a line naming the file; the
 * regions are never changed.
 */
#ifndef STORAGE_PLOG_TAIL_H
#define STORAGE_PLOG_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "storage/cache/region.h"
#include "storage/plog/restore.h"

struct tail_options {
    struct fs *fs;
    const struct region *regions;
    uint32_t region_count;
    const char *const *dirs; /* log dirs that are there and were not stopped cleanly */
    uint32_t dir_count;
    enum restore_missing (*missing)(void *ctx, const struct uuid *topic_id, int32_t partition);
    void *ctx;
};

/*
 * 0: everything that has a place is in its file, and the files are synced. ERR_BUSY: a partition's
 * directory is missing and `missing` said RESTORE_KEEP. Others: as the file system says.
 */
int tail_replay(const struct tail_options *o, struct restore_report *report, char *why,
                size_t why_size);

#endif
