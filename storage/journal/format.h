/*
 * format: the bytes of a shard's journal: a header block, then a ring of commits. docs/storage.md
 * has it byte by byte.
 *
 * Purpose: appends of many partitions are made durable by one write. A commit is that write: whole
 * blocks, a header, a table of frames, and the frames' data one after the other. A frame is a piece
 * of a segment's file with its place. Pure. Memory: the caller's.
 * Invariants: everything of a commit is under checksums (the table under the header's, data under
 * the frame's); a commit of another life of the journal, or one that is older than the oldest live
 * one, is never looked at.
 */
#ifndef STORAGE_JOURNAL_FORMAT_H
#define STORAGE_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/uuid.h"

#define journal_version         1
#define journal_block_bytes     4096
#define journal_head_bytes      64
#define journal_commit_head     64
#define journal_frame_head      48
#define journal_blocks_min      16
#define journal_blocks_max      (1 << 20) /* 4 GiB */
#define journal_name_prefix     "sluice-journal-"
#define journal_name_bytes_max  32
#define journal_commit_frames   1024 /* of one commit, at most */
#define journal_commit_size_max (512 * KIB)

/* The header block says whose journal it is, and which of its commits count: those of `life`. */
struct journal_head {
    struct uuid dir; /* directory.id of the log dir */
    uint32_t shard, blocks;
    uint64_t life; /* random: nobody can write a commit of it into a record */
};

struct journal_commit {
    uint64_t life, sequence; /* 1, 2, ... within a life: the lap */
    uint64_t tail;           /* those before it are in the segments and flushed */
    uint64_t done;           /* those up to it had ended when this one began */
    uint32_t bytes, frames;  /* with this header; the rest of the last block is zeros */
};

/* Bytes [position, position + bytes) of the segment's file. */
struct journal_frame {
    struct uuid topic_id;
    int64_t base; /* base offset of the segment */
    int32_t partition, leader_epoch;
    uint32_t position, bytes;
};

/* "sluice-journal-<shard>" */
void journal_name(uint32_t shard, char out[journal_name_bytes_max]);
/* False if the name is none. */
bool journal_name_parse(const char *name, uint32_t *shard);
/* The same with ".tmp": what it is called while it is made. */
void journal_name_unfinished(uint32_t shard, char out[journal_name_bytes_max]);
bool journal_is_unfinished(const char *name);

void journal_head_put(uint8_t p[journal_head_bytes], const struct journal_head *h);
/*
 * ERR_UNSUPPORTED: another format version; ERR_CORRUPT, zeros as well: a journal gets its name when it
 * is finished.
 */
int journal_head_get(const uint8_t p[journal_head_bytes], struct journal_head *out);

/* The table must be in place behind the header: it is under the same checksum. */
void journal_commit_put(uint8_t *p, const struct journal_commit *c);
/* False: no commit, or its header or table is damaged, or it does not fit into n bytes. */
bool journal_commit_get(const uint8_t *p, size_t n, struct journal_commit *out);

/* Entry i of the table of the commit at p; its data is at data. */
void journal_frame_put(uint8_t *p, uint32_t i, const struct journal_frame *f, const uint8_t *data);
/* *data_check: what journal_data_check must say of its data. */
void journal_frame_get(const uint8_t *p, uint32_t i, struct journal_frame *out,
                       uint64_t *data_check);
uint64_t journal_data_check(const uint8_t *data, uint32_t n);

/* Where the data of a commit with so many frames begins. */
static inline uint32_t journal_data_at(uint32_t frames)
{
    return journal_commit_head + frames * journal_frame_head;
}

static inline uint32_t journal_blocks_of(uint32_t bytes)
{
    return (bytes + journal_block_bytes - 1) / journal_block_bytes;
}

#endif
