/*
 * segment: one file of a log with its indexes, and work on it that blocks. For this folder and its
 * tests.
 *
 * Owner: the shard of its plog; while a job has it (busy) the job reads what the shard does not change.
 * Memory: malloc; indexes that grow are mapped, touched as they fill.
 */
#ifndef STORAGE_PLOG_SEGMENT_H
#define STORAGE_PLOG_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "core/mailbox.h"
#include "core/wheel.h"
#include "storage/io/io.h"
#include "storage/plog/index.h"

struct cache;
struct chunk;
struct plog;
struct read_op;

#define segment_bytes_max INT32_MAX
#define unknown_timestamp INT64_MIN
#define scan_buffer_bytes (1 * MIB)
#define write_block_bytes 4096 /* O_DIRECT: positions, lengths and addresses are multiples of it */
#define ahead_from_bytes  (64 * KIB) /* a segment of that size is given room ahead */
#define ahead_bytes_min   (1 * MIB)
#define ahead_bytes_max   (64 * MIB)

struct job;
typedef void job_fn(struct job *job);

/*
 * Work that may block: run on the worker, then done on the shard, where err and file are its
 * results.
 */
struct job {
    struct call call;
    struct plog *plog;
    struct segment *segment; /* NULL: of the plog as a whole */
    job_fn *run, *done;
    int err;
    struct io_file *file, *direct;
    void *memory; /* what run gives back */
    size_t memory_bytes;
};

/* What a segment's max_timestamp goes by. */
enum segment_age {
    AGE_KNOWN,    /* its batches */
    AGE_BY_INDEX, /* the last entry of its time index, which nobody has compared with them */
    AGE_OF_FILE,  /* they cannot be read: the file's modification time counts */
};

struct segment {
    struct plog *plog;
    int64_t base, next;     /* offsets: the file's name; behind the last batch */
    uint32_t size, written; /* bytes: appended; written, without a gap */
    uint32_t submitted;     /* bytes that are written or whose write is under way */
    struct io_file *file;   /* NULL: being made, or closed */
    struct io_file *direct; /* the same with O_DIRECT; NULL: it cannot have it */
    int64_t room;           /* size of the file that was made ahead, or is being made */
    bool no_room;           /* the disk had none to make ahead */
    bool grown;             /* the file may be longer than what was appended */
    struct index offsets, times;
    bool loaded;          /* the indexes are at hand */
    bool sealed;          /* rolled, and indexes and snapshot are on disk */
    bool busy;            /* a job is under way */
    bool gap_told;        /* that offsets are missing behind it */
    bool name_kept;       /* the medium has its file's name */
    bool doomed, renamed; /* deleted: waits for its readers; its files carry .deleted */
    void *memory;         /* behind the indexes */
    size_t memory_bytes;  /* of the anonymous mapping; 0: malloc'd */
    int64_t max_timestamp, max_timestamp_offset; /* -1: none */
    enum segment_age age;
    int64_t entry_timestamp, entry_offset; /* AGE_BY_INDEX: what that entry says */
    int64_t first_timestamp;               /* of the first batch, or unknown_timestamp */
    int64_t created_ms, modified_ms;       /* wall time */
    uint32_t since_index;                  /* bytes since the last index entry */
    struct chunk **chunks;                 /* cached bytes, by position / tail_chunk_bytes */
    uint32_t chunk_slots, chunk_count;
    uint32_t pins;           /* reads and look-ups that need the file */
    struct read_op *openers; /* reads that wait until it is open */
    uint8_t *snapshot;       /* producers at the roll, until the seal has written them */
    size_t snapshot_bytes;
    struct job job;
    struct wheel_timer unlink_timer;
    struct segment *lru_next,
        **lru_prev; /* of the shard's open sealed segments; prev NULL: not in it */
    struct segment *next_doomed;
};

/* A segment with room for chunks up to bytes; its indexes are empty and absent. ERR_NO_MEMORY. */
int segment_new(struct segment **out, struct plog *p, int64_t base, uint64_t bytes);
/* Of an empty one: room for chunks up to bytes, if segment.bytes grew since. ERR_NO_MEMORY. */
int segment_widen(struct segment *s, uint64_t bytes);
void segment_free(struct segment *s);
/* Lets go of the indexes. */
void segment_drop_memory(struct segment *s);
/* Room for indexes of index_bytes each, touched as they fill. ERR_NO_MEMORY. */
int segment_index_room(struct segment *s, uint64_t index_bytes);
int segment_path(const struct plog *p, int64_t base, const char *suffix,
                 char out[io_path_bytes_max]);
/* keep: those whose bytes are in no file stay as they are (chunk_keep). */
void segment_drop_chunks(struct segment *s, struct cache *cache, bool keep);
/* Nothing is written to the segment any more: cuts what was made ahead. Blocking. */
int segment_cut(struct segment *s);
/* Opens the file with O_DIRECT (flags besides); NULL where it cannot be had. Blocking. */
struct io_file *segment_open_direct(const struct segment *s, uint32_t flags);
void segment_add(struct segment *s, uint32_t bytes, int64_t last_offset, int64_t max_timestamp,
                 int64_t index_interval);
/* The last time index entry, when nothing more is appended. */
void segment_end_times(struct segment *s);
int segment_write_indexes(struct segment *s);
/* Reads the index files into memory of their size. ERR_NOT_FOUND, ERR_CORRUPT. */
int segment_read_indexes(struct segment *s, struct index *offsets, struct index *times,
                         void **memory);
/*
 * For what is sealed: damaged, missing or unreadable ones are told and replaced by empty ones, which
 * only cost time. An error is one of plog_err_is_want.
 */
int segment_use_indexes(struct segment *s, struct index *offsets, struct index *times,
                        void **memory);
/* Tells the operator that an index is damaged. Any thread. */
void segment_distrust(const struct segment *s, const char *what);
int segment_write_snapshot(const struct plog *p, int64_t offset, const uint8_t *bytes, size_t n);

#endif
