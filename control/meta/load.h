/*
 * load: reading the metadata files of a directory.
 *
 * Purpose: hands every record of the snapshot and the log, in order, to a visitor: the store at
 * start, `sluice meta dump` offline. Changes nothing on disk.
 * Owner: the calling thread. Memory: a file is read whole (meta_file_bytes_max) and freed again.
 * What a crash can leave is not an error: a log whose last append is torn (log_good says where the
 * good part ends; each append is flushed before the next one begins, so at most one is torn), and
 * a log that still holds records that are in the snapshot.
 * Failure: ERR_CORRUPT with the file and the byte in why; ERR_NOT_FOUND: neither file is there.
 */
#ifndef CONTROL_META_LOAD_H
#define CONTROL_META_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/meta/frame.h"
#include "control/meta/record.h"
#include "storage/io/io.h"

#define meta_log_name       "sluice.meta.log"
#define meta_snapshot_name  "sluice.meta.snapshot"
#define meta_file_bytes_max (1024LL * 1024 * 1024)

struct meta_load {
    struct fs *fs;
    const char *dir;
    /* for who goes on writing: reads what the medium has, not what a failed flush left in memory */
    bool drop_cache;
    /* offset: of the record in the log; of the snapshot's end for a record of the snapshot. An
     * error of its own stops the load and is returned. Strings are valid during the call. */
    int (*record)(void *ctx, enum meta_file file, int64_t offset, const struct meta_record *r);
    void *ctx;
    /* out */
    int64_t snapshot_offset, snapshot_bytes; /* -1, 0: there is none */
    int64_t log_base;                        /* offset of the log's first record */
    int64_t log_good, log_bytes;             /* bytes of whole frames with the head, of the file */
    int64_t next_offset;
};

int meta_load(struct meta_load *l, char *why, size_t why_size);

#endif
