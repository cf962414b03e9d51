/*
 * disk: what the disk alone does, as the yardstick of durable rows and of catch-up reads.
 *
 * Purpose: sequential O_DIRECT writes of one size through io_uring, each on the medium before it counts (RWF_DSYNC), a
 * fixed number under way, into room made beforehand; or reads of that room. Owner: its thread. Memory: the blocks. Failure: a negative err
 * with one line in `why` (a file system without O_DIRECT: ERR_UNSUPPORTED).
 */
#ifndef BENCH_DISK_H
#define BENCH_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/crew.h"
#include "bench/result.h"

#define disk_depth_max 64

struct disk_options {
    const char *folder;
    uint32_t block_bytes; /* a multiple of 4 KiB */
    uint32_t depth;       /* requests under way */
    bool reads;           /* instead of writes */
    double warmup_s, seconds;
    struct crew_member *member; /* NULL: alone */
};

/* A record is a request. */
int disk_run(const struct disk_options *options, struct result *out, char *why, size_t why_size);

#endif
