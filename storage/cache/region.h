/*
 * region: a shard's log memory under a name, so that it outlives the process.
 *
 * Purpose: with sluice.durability=os the store into log memory is the acknowledgement. The region
 * is named memory (struct fs: map_named) that holds the chunks and, for each, a mark that says which
 * bytes of which log are in it. After the death of the process at any instant the marks of the next
 * start say which bytes are whole. Format: docs/storage.md.
 * Owner: made and opened by the composition root while no shard runs; marks are stored by the
 * shard. Memory: the mapping.
 * Invariants: a mark is set only after the bytes that it counts were stored, and cleared before its
 * chunk is used for anything else; the last word of a mark is stored whole, and 0 says "nothing".
 * Failure: ERR_INVALID with a line that says what does not fit; nothing is changed then.
 */
#ifndef STORAGE_CACHE_REGION_H
#define STORAGE_CACHE_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/uuid.h"
#include "storage/io/io.h"

#define region_version      1
#define region_header_bytes 4096
#define region_mark_bytes   64

/* What a chunk holds: bytes [start, used) of it are at `position` + their place in it. */
struct region_place {
    struct uuid topic_id;
    int32_t partition;
    int32_t leader_epoch; /* of the log when they were stored: its incarnation */
    int64_t base;         /* base offset of the segment */
    uint32_t position;    /* in the segment's file, of the chunk's first byte */
    uint32_t start, used; /* bytes in the chunk */
    uint64_t sequence;    /* grows with every chunk that is taken into use */
};

/* In memory as here, in this machine's byte order: it never leaves the machine. */
struct region_mark {
    uint8_t topic_id[16];
    int64_t base;
    uint64_t sequence;
    int32_t partition;
    int32_t leader_epoch;
    uint32_t position;
    uint32_t start;
    uint64_t zero;
    _Atomic uint64_t word; /* used | check << 32 */
};

struct region {
    struct fs *fs;
    struct fs_named named;
    char name[fs_named_name_bytes_max + 1];
    struct region_mark *marks;
    uint8_t *data; /* chunks, one after the other; 4 KiB aligned */
    uint32_t chunks;
    uint32_t shards; /* as many as the broker had that made it */
};

/* The name of a shard's region: the id of the log dir that has the metadata, and the shard. */
void region_name(const struct uuid *dir, uint32_t shard, char out[fs_named_name_bytes_max + 1]);

/*
 * Makes an empty region; there must be none of that name. ERR_EXISTS, ERR_NO_SPACE,
 * ERR_PERMISSION, ERR_NOT_FOUND (no place for named memory).
 */
int region_make(struct region *out, struct fs *fs, const struct uuid *dir, uint32_t shard,
                uint32_t shards, uint32_t chunks);

/*
 * Opens the one that is there. ERR_NOT_FOUND; ERR_INVALID: it is another directory's, of another
 * format or size: why gets a line. One that was never finished is removed and not found.
 */
int region_open(struct region *out, struct fs *fs, const struct uuid *dir, uint32_t shard,
                char *why, size_t why_size);

/* Unmaps; the bytes stay. NULL and one that was never opened are accepted. */
void region_close(struct region *r);
/* Unmaps and removes. */
int region_remove(struct region *r);

/* How many marks are set. */
uint32_t region_count(const struct region *r);

/* ---- marks; on the shard ---- */

/* Everything but `used`, for a mark that is clear. Returns what region_mark_store wants. */
uint64_t region_mark_place(struct region_mark *m, const struct region_place *place);
/* bytes [start, used) are there; one store. */
void region_mark_store(struct region_mark *m, uint64_t place_hash, uint32_t used);
void region_mark_clear(struct region_mark *m);
/* False: clear, or torn (possible only where something else wrote into the region). */
bool region_mark_read(const struct region_mark *m, struct region_place *out);

#endif
