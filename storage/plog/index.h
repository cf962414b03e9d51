/*
 * index: the sparse offset and time indexes of a segment, as arrays in Kafka's file format.
 *
 * Purpose: `.index` (8 bytes: offset relative to the base, position) and `.timeindex` (12 bytes:
 * timestamp, relative offset), big-endian. The array in memory is what the file holds. Pure.
 * Owner: the segment. Memory: the segment's; max is how many entries it has room for.
 */
#ifndef STORAGE_PLOG_INDEX_H
#define STORAGE_PLOG_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define offset_index_entry_bytes 8
#define time_index_entry_bytes   12

struct index {
    uint8_t *map;
    uint32_t entries, max;
};

static inline uint32_t offset_index_relative(const struct index *x, uint32_t n)
{
    return bytes_get_u32(x->map + (uint64_t)n * offset_index_entry_bytes);
}

static inline uint32_t offset_index_position(const struct index *x, uint32_t n)
{
    return bytes_get_u32(x->map + (uint64_t)n * offset_index_entry_bytes + 4);
}

static inline int64_t time_index_timestamp(const struct index *x, uint32_t n)
{
    return bytes_get_i64(x->map + (uint64_t)n * time_index_entry_bytes);
}

static inline uint32_t time_index_relative(const struct index *x, uint32_t n)
{
    return bytes_get_u32(x->map + (uint64_t)n * time_index_entry_bytes + 8);
}

static inline bool offset_index_full(const struct index *x)
{
    return x->entries >= x->max;
}

/* One entry is kept free for the segment's end. */
static inline bool time_index_full(const struct index *x)
{
    return x->entries + 1 >= x->max;
}

/* Appends; does nothing when full or not larger than the last one. */
void offset_index_add(struct index *x, uint32_t relative, uint32_t position);
void time_index_add(struct index *x, int64_t timestamp_ms, uint32_t relative);

/* Position of the last entry with an offset <= relative; 0 without one. */
uint32_t offset_index_lookup(const struct index *x, uint32_t relative);

/* Position of the last entry at or before `position`; 0 without one. */
uint32_t offset_index_before(const struct index *x, uint32_t position);

/* Relative offset of the last entry with a timestamp <= the given one; false without one. */
bool time_index_lookup(const struct index *x, int64_t timestamp_ms, uint32_t *relative);

/* Kafka's sanity checks and ours: entries grow and lie within the segment's size. */
bool offset_index_sane(const struct index *x, uint64_t segment_bytes);
bool time_index_sane(const struct index *x);

#endif
