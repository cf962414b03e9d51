/* scan: reads batches from a segment's file at open, through the loader's buffer. Private. */
#ifndef STORAGE_PLOG_SCAN_H
#define STORAGE_PLOG_SCAN_H

#include "storage/plog/loader.h"

/* One pass over a segment file; err: why it ended, 0 at the end or at what is no batch. */
struct scan {
    struct loader *l;
    struct segment *s;
    int64_t at, size; /* of the next batch, of the file */
    int64_t buffer_at;
    size_t buffered;
    int err;
};

/* n bytes (at most scan_buffer_bytes) at position `at`; NULL with err set, or past the end. */
const uint8_t *scan_bytes(struct scan *k, int64_t at, size_t n);

/*
 * Looks at the batch at k->at. False: the end, a torn or bad batch, or an error in k->err. Of the
 * old formats only length, offset and checksum are known.
 */
bool scan_header(struct scan *k, struct batch_header *h, uint8_t *magic);

/* Opens the segment's file for reading and writing, with the reason in `why` on error. */
int scan_open(struct loader *l, struct segment *s);
int scan_fail(struct loader *l, const struct segment *s, int err, const char *what);

#endif
