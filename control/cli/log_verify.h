/*
 * log_verify: is a partition's log on disk what it should be?
 *
 * Purpose: `sluice log verify` and `stat`. Looks at every byte of the segments: lengths, checksums,
 * offsets without holes, epochs that do not decrease, index entries that point at batches, producer
 * snapshots, the epoch checkpoint, the metadata file. Reads only.
 * Owner: the calling thread. Failure: ERR_CORRUPT with the first fault; what the file system says,
 * with the file in the fault.
 */
#ifndef CONTROL_CLI_LOG_VERIFY_H
#define CONTROL_CLI_LOG_VERIFY_H

#include <stdbool.h>

#include "storage/io/io.h"
#include "storage/plog/batch.h"

struct log_verify_rules {
    bool compacted;         /* offsets may be missing */
    bool torn_snapshots;    /* no fault: a crash may leave one that is passed over at the start */
    int64_t index_interval; /* bytes between index entries at most, besides a batch; -1: any */
};

struct log_fault {
    char file[io_path_bytes_max];
    int64_t position; /* byte in the file */
    char text[256];
};

struct log_totals {
    uint32_t segments;
    uint64_t batches, records, bytes;
    uint64_t room;       /* zeros made ahead behind the last batch */
    int64_t first, next; /* offsets: of the first batch; behind the last one; -1 without any */
    int64_t oldest_ms, newest_ms; /* largest timestamps of batches; -1 */
    int32_t epoch;                /* of the last batch */
    uint64_t codec_batches[CODEC_COUNT], codec_bytes[CODEC_COUNT];
};

/* path: a segment file or a partition's directory. totals hold what was seen, also on a fault. */
int log_verify(struct fs *fs, const char *path, const struct log_verify_rules *rules,
               struct log_totals *totals, struct log_fault *fault);

#endif
