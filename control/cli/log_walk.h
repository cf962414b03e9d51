/*
 * log_walk: the batches of a segment file, one after the other, whatever state it is in.
 *
 * Purpose: what `sluice log` is made of. Reads only, also beside a running broker.
 * Owner: the calling thread. Memory: malloc, as large as the largest batch.
 * Failure: ERR_CORRUPT with the position and a text; what the file system answers.
 */
#ifndef CONTROL_CLI_LOG_WALK_H
#define CONTROL_CLI_LOG_WALK_H

#include <stdbool.h>

#include "storage/io/io.h"
#include "storage/plog/batch.h"

struct log_batch {
    int64_t position;
    struct batch_header h;
    uint8_t magic;
    bool crc_right;
    const uint8_t *bytes; /* h.bytes of them, until the next call */
};

struct log_walk {
    struct fs *fs;
    struct io_file *file;
    int64_t size, at; /* bytes of the file; where the next batch begins */
    int64_t room;     /* zeros behind the last batch: made ahead by a running broker, or a crash */
    uint8_t *buffer;
    size_t buffer_bytes;
    char text[128]; /* what is wrong at `at` */
};

int log_walk_open(struct log_walk *w, struct fs *fs, const char *path);
void log_walk_close(struct log_walk *w);

/* 1: a batch whose length fits into the file; 0: the end; ERR_CORRUPT: see at and text. */
int log_walk_next(struct log_walk *w, struct log_batch *out);

/* The base offsets of the segments in a partition's directory, sorted; malloc'd. */
int log_segments(struct fs *fs, const char *dir, int64_t **bases, uint32_t *count);

/* The offset that a name such as 00000000000000000042.log begins with; false if it is none. */
bool log_base(const char *name, const char *suffix, int64_t *out);

#endif
