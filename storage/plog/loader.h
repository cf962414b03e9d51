/* loader: a log that is being opened (load.c, recover.c, replay.c, scan.c). Private to this folder. */
#ifndef STORAGE_PLOG_LOADER_H
#define STORAGE_PLOG_LOADER_H

#include "storage/plog/plog_internal.h"

struct loader {
    const struct plog_open *open;
    struct plog *plog;
    char *why;
    size_t why_size;
    int64_t *bases; /* of the .log files found */
    uint32_t base_count, base_room;
    uint32_t at;        /* index of the segment that is being loaded */
    int64_t *snapshots; /* offsets of the .snapshot files found */
    uint32_t snapshot_count, snapshot_room;
    uint8_t *buffer; /* scan_bytes */
    bool rewrite;    /* what looks written may be nowhere on the medium (flush_mark.c) */
};
int loader_fail(struct loader *l, int err, const char *file, const char *what);
/*
 * What becomes of an error in reading the partition's own files: bytes that its medium cannot give are
 * damage to it, as they are later on; writing, and the names in a directory, are the log dir's.
 */
static inline int loader_own(int err)
{
    return err == ERR_IO ? ERR_CORRUPT : err;
}
int loader_recover(struct loader *l);
int loader_producers(struct loader *l);
/* Removes the files of one segment, at open. An error of its .log; the others are found again. */
int loader_delete_segment(struct loader *l, int64_t base);

#endif
