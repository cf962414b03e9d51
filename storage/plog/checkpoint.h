/*
 * checkpoint: Kafka's small text files: offsets per partition of a log dir, and how any such file
 * is replaced.
 *
 * Purpose: `recovery-point-offset-checkpoint`, `log-start-offset-checkpoint`, `replication-offset-
 * checkpoint` and `cleaner-offset-checkpoint` in a log dir's root: a version line (0), a count
 * line, lines of "topic partition offset". A file is replaced whole: temporary file, sync, rename,
 * directory sync.
 * Owner: the caller, on a thread that may block. Memory: malloc.
 * Failure: ERR_CORRUPT for text that does not parse, and what the file system answers.
 */
#ifndef STORAGE_PLOG_CHECKPOINT_H
#define STORAGE_PLOG_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/str.h"
#include "storage/io/io.h"

#define CHECKPOINT_RECOVERY_POINT "recovery-point-offset-checkpoint"
#define CHECKPOINT_LOG_START      "log-start-offset-checkpoint"
#define CHECKPOINT_REPLICATION    "replication-offset-checkpoint"
#define CHECKPOINT_CLEANER        "cleaner-offset-checkpoint"

#define checkpoint_file_bytes_max (64 * MIB)

struct checkpoint_entry {
    char topic[topic_name_bytes_max + 1];
    int32_t partition;
    int64_t offset;
};

/* Zeroed is valid and empty. */
struct checkpoint {
    struct checkpoint_entry *entries;
    uint32_t count, room;
};

void checkpoint_free(struct checkpoint *c);

/* Adds an entry; the topic's name is not longer than Kafka allows. ERR_NO_MEMORY, ERR_TOO_LARGE. */
int checkpoint_add(struct checkpoint *c, struct str topic, int32_t partition, int64_t offset);

/* The offset of a partition, or -1. The entries are sorted. */
int64_t checkpoint_find(const struct checkpoint *c, struct str topic, int32_t partition);

/* By topic and partition, for checkpoint_find. checkpoint_read has sorted. */
void checkpoint_sort(struct checkpoint *c);

/* name is one of the above, log_dir the root. A file that is not there is an empty checkpoint. */
int checkpoint_read(struct fs *fs, const char *log_dir, const char *name, struct checkpoint *out);
int checkpoint_write(struct fs *fs, const char *log_dir, const char *name,
                     const struct checkpoint *c);

/* ---- for any small file ---- */

/* Replaces dir/name with n bytes, on the medium when it returns 0. */
int file_replace(struct fs *fs, const char *dir, const char *name, const void *bytes, size_t n);

/*
 * The whole file, malloc'd with a NUL behind it. ERR_NOT_FOUND, ERR_NO_MEMORY, ERR_CORRUPT: it is larger
 * than max, which none of its kind can be.
 */
int file_load(struct fs *fs, const char *path, size_t max, char **out, size_t *n);

struct text_lines {
    const char *p, *end;
};

/* Reads a line of exactly n decimal numbers separated by blanks; false if it is none. */
bool text_numbers(struct text_lines *lines, int64_t *out, uint32_t n);

#endif
