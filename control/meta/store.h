/*
 * store: the metadata log on disk, under the image.
 *
 * Purpose: a record is written and flushed before anybody acts upon it; then it is applied to the
 * image. Two plain files in one directory: `sluice.meta.log` and, once the log has grown
 * over a limit, `sluice.meta.snapshot` (format: frame.h).
 * Owner: the control thread; calls block for a write and a flush. Memory: malloc.
 * Invariants: an append is whole or absent after any crash; a snapshot is on the medium under its
 * name before the log that it replaces goes.
 * Failure: meta_store_open refuses a damaged log, naming file and byte. ERR_NO_SPACE of an append
 * leaves log and image as they were. Any other failure of an append is final: what is on the disk
 * is not
 * known any more, every later call answers ERR_IO, and the broker must stop.
 */
#ifndef CONTROL_META_STORE_H
#define CONTROL_META_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/meta/image.h"
#include "control/meta/record.h"
#include "storage/io/io.h"

#define meta_snapshot_after_bytes_default (4 * 1024 * 1024)

struct meta_store;

struct meta_store_options {
    struct fs *fs;
    const char *dir;               /* exists and is locked by the caller */
    uint64_t snapshot_after_bytes; /* the log's size at which a snapshot is due */
};

/*
 * Makes both what is on disk and *image (fresh from image_init) current. A torn last append is cut.
 */
int meta_store_open(struct meta_store **out, const struct meta_store_options *options,
                    struct image *image, char *why, size_t why_size);

/*
 * All n records or none: on the medium, then in the image. ERR_TOO_LARGE, ERR_INVALID,
 * ERR_NO_MEMORY, ERR_NO_SPACE: nothing happened. ERR_IO: final, see above. The records fit the
 * image (the caller has looked): one that does not is a fault of the program and CHECKed.
 */
int meta_store_append(struct meta_store *s, const struct meta_record *records, uint32_t n);

/* True when the log has grown over its limit (or twice the last snapshot, if that is more). */
bool meta_store_snapshot_due(const struct meta_store *s);

/* Writes a snapshot of the image and begins a new log. After an error the old log goes on, unless
 * meta_store_failed says otherwise; the next attempt is due after another limit's worth of bytes.
 * */
int meta_store_snapshot(struct meta_store *s);

/* True after a final failure. */
bool meta_store_failed(const struct meta_store *s);

/* Closes the files; NULL is accepted. Writes nothing. */
void meta_store_close(struct meta_store *s);

#endif
