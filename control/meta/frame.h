/*
 * frame: how the metadata files look on disk.
 *
 * Purpose: the byte format of `sluice.meta.log` and `sluice.meta.snapshot`, apart from any disk.
 * Pure.
 * Both begin with a head, then come frames; a frame is one append: some records under one
 * checksum, so that they are there together or not at all. All integers are big-endian.
 *   head:  magic (8 bytes, by kind) | version u32 | offset u64 | CRC32C u32 of what stands before
 *   frame: magic u32 | length u32 of the records | offset u64 of the first | count u32 | CRC32C u32
 *          of length, offset, count and the records | records (record.h)
 * A log's head has the offset of its first record. A snapshot's head has the offset of the first
 * record that it does not contain; its frames have offset 0, and one with count 0 ends it.
 * Failure: ERR_NEED_MORE (cut short), ERR_CORRUPT, ERR_UNSUPPORTED (a newer version).
 */
#ifndef CONTROL_META_FRAME_H
#define CONTROL_META_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "control/meta/record.h"

#define meta_head_bytes        24
#define meta_frame_head_bytes  24
#define meta_frame_bytes_max   (64 * 1024 * 1024) /* the records of one append */
#define meta_frame_records_max 200000

enum meta_file { META_FILE_LOG, META_FILE_SNAPSHOT };

void meta_head_encode(enum meta_file kind, int64_t offset, uint8_t out[meta_head_bytes]);
int meta_head_decode(enum meta_file kind, const uint8_t *p, size_t n, int64_t *offset);

/* A growing buffer in which a frame is built; malloc'd. */
struct meta_frame {
    uint8_t *bytes; /* frame head and records */
    size_t size, room;
    uint32_t count;
};

/* ERR_TOO_LARGE, ERR_INVALID, ERR_NO_MEMORY: the frame is as it was. */
int meta_frame_add(struct meta_frame *f, const struct meta_record *r);

/* Writes the head: bytes[0, size) is ready. ERR_NO_MEMORY (only for an empty frame). */
int meta_frame_end(struct meta_frame *f, int64_t offset);

void meta_frame_clear(struct meta_frame *f); /* keeps the room */
void meta_frame_free(struct meta_frame *f);

struct meta_frame_view {
    int64_t offset;
    uint32_t count, length;
    const uint8_t *records;
};

/* The frame at p, checksum verified. Returns its size in bytes or an error. */
int64_t meta_frame_decode(const uint8_t *p, size_t n, struct meta_frame_view *out);

#endif
