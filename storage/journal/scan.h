/*
 * scan: what the journal of a broker that died holds.
 *
 * Purpose: finds, in the bytes of a journal's file, the commits that count, and hands out their
 * frames in order. Pure. Memory: malloc, while it runs.
 * What counts: commits of the header's life, from the newest one's tail on, one after the other.
 * Where one is missing that never ended (power went while it was written), those behind it count
 * for nothing, since none of them was acknowledged. One that had ended and is damaged now is
 * reported, and what follows goes on without it.
 */
#ifndef STORAGE_JOURNAL_SCAN_H
#define STORAGE_JOURNAL_SCAN_H

#include "storage/journal/format.h"

struct journal_scan {
    /* A frame; data is in the image, at byte `at` of it. Nonzero ends the scan with it. */
    int (*frame)(struct journal_scan *s, const struct journal_frame *f, const uint8_t *data,
                 uint64_t at);
    /* Damage; f: the frame that is lost, NULL: a commit, nobody knows of which partitions. */
    void (*damage)(struct journal_scan *s, const struct journal_frame *f, uint64_t at);
    uint64_t commits, frames, damaged; /* results */
};

/* image: the whole file, whose header is h. ERR_NO_MEMORY, or what frame returned. */
int journal_scan(struct journal_scan *s, const uint8_t *image, size_t n,
                 const struct journal_head *h);

#endif
