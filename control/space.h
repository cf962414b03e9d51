/*
 * space: how much room a log dir has left, and what follows from it.
 *
 * Purpose: the rules about free space, without a disk; and the reserve, a file in each log dir
 * that holds room back for a recovery on a full disk. Who looks and who is told: topics_space.c.
 * Owner: `struct space` belongs to the control thread, which alone writes it; its atomic figures are
 * read by whoever exports them. The reserve's functions block: a worker, or the start.
 * Invariants: a level falls back only a good step above the mark where it began, so that it does not
 * flap; room that the reserve should hold and does not is not counted as free.
 * Failure: reserve_make and reserve_drop answer an err; a missing reserve is no failure.
 */
#ifndef CONTROL_SPACE_H
#define CONTROL_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/io/io.h"
#include "storage/plog/space.h"

#define space_mark_bytes_max    (1024 * MIB) /* chosen by itself */
#define space_mark_share        20           /* also: that part of the file system */
#define space_reserve_bytes_max (64 * MIB)   /* chosen by itself */
#define space_look_ms_min       100
#define space_look_ms_max       5000
#define space_fill_bytes_per_ms (4 * MIB) /* faster than disks fill up */

struct space_limits {
    uint64_t mark;    /* bytes; below it no batches of clients are taken; 0: never */
    uint64_t reserve; /* bytes; 0: none is kept */
};

struct space {
    _Atomic uint64_t available, total; /* bytes, as the file system says; total 0: not looked yet */
    _Atomic uint64_t mark;
    _Atomic int level; /* enum plog_space */
};

/*
 * From the settings sluice.disk.free.bytes and sluice.disk.reserve.bytes (-1: choose) and the file
 * system's size.
 */
struct space_limits space_limits(int64_t free_bytes, int64_t reserve_bytes, uint64_t total);

/* What counts as free: without what the reserve has still to get. */
uint64_t space_usable(const struct space_limits *l, uint64_t available, bool reserve_held);

enum plog_space space_level(enum plog_space before, const struct space_limits *l, uint64_t usable);

/* Milliseconds until the next look: before half of what is above the half mark can be written. */
int64_t space_look_ms(const struct space_limits *l, uint64_t usable);

const char *space_level_name(enum plog_space level);

/* Whether dir has a reserve of that size. Blocking, like the two below. */
bool reserve_held(struct fs *fs, const char *dir, uint64_t bytes);
/* ERR_NO_SPACE, ERR_UNSUPPORTED: there is none afterwards. */
int reserve_make(struct fs *fs, const char *dir, uint64_t bytes);
/* Gives the room back. ERR_NOT_FOUND. */
int reserve_drop(struct fs *fs, const char *dir);

#endif
