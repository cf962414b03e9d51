#include "storage/plog/index.h"

void offset_index_add(struct index *x, uint32_t relative, uint32_t position)
{
    if (offset_index_full(x) ||
        (x->entries > 0 && relative <= offset_index_relative(x, x->entries - 1)))
        return;
    uint8_t *at = x->map + (uint64_t)x->entries * offset_index_entry_bytes;
    bytes_put_u32(at, relative);
    bytes_put_u32(at + 4, position);
    x->entries++;
}

void time_index_add(struct index *x, int64_t timestamp_ms, uint32_t relative)
{
    if (x->entries >= x->max || timestamp_ms < 0)
        return;
    if (x->entries > 0 && (timestamp_ms <= time_index_timestamp(x, x->entries - 1) ||
                           relative < time_index_relative(x, x->entries - 1)))
        return;
    uint8_t *at = x->map + (uint64_t)x->entries * time_index_entry_bytes;
    bytes_put_u64(at, (uint64_t)timestamp_ms);
    bytes_put_u32(at + 8, relative);
    x->entries++;
}

/* Where the last entry begins whose `key` is at most this; 0: there is none. Both keys of an entry rise. */
static uint32_t position_at_most(const struct index *x, uint32_t most,
                                 uint32_t (*key)(const struct index *, uint32_t))
{
    uint32_t low = 0, high = x->entries; /* the answer is the last one before high */
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (key(x, mid) <= most)
            low = mid + 1;
        else
            high = mid;
    }
    return low == 0 ? 0 : offset_index_position(x, low - 1);
}

uint32_t offset_index_lookup(const struct index *x, uint32_t relative)
{
    return position_at_most(x, relative, offset_index_relative);
}

uint32_t offset_index_before(const struct index *x, uint32_t position)
{
    return position_at_most(x, position, offset_index_position);
}

bool time_index_lookup(const struct index *x, int64_t timestamp_ms, uint32_t *relative)
{
    uint32_t low = 0, high = x->entries;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (time_index_timestamp(x, mid) <= timestamp_ms)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == 0)
        return false;
    *relative = time_index_relative(x, low - 1);
    return true;
}

bool offset_index_sane(const struct index *x, uint64_t segment_bytes)
{
    for (uint32_t i = 0; i < x->entries; i++) {
        if (offset_index_position(x, i) >= segment_bytes || offset_index_relative(x, i) > INT32_MAX)
            return false;
        if (i > 0 && (offset_index_relative(x, i) <= offset_index_relative(x, i - 1) ||
                      offset_index_position(x, i) <= offset_index_position(x, i - 1)))
            return false;
    }
    return true;
}

bool time_index_sane(const struct index *x)
{
    for (uint32_t i = 0; i < x->entries; i++) {
        if (time_index_relative(x, i) > INT32_MAX)
            return false;
        if (i > 0 && (time_index_timestamp(x, i) <= time_index_timestamp(x, i - 1) ||
                      time_index_relative(x, i) < time_index_relative(x, i - 1)))
            return false;
    }
    return true;
}
