#include "storage/plog/batch.h"

#include <string.h>

#include "base/kerr.h"

void batch_decode(const uint8_t *p, struct batch_header *out)
{
    *out = (struct batch_header){
        .base_offset = bytes_get_i64(p + BATCH_BASE_OFFSET),
        .bytes = bytes_get_u32(p + BATCH_LENGTH) + batch_overhead_bytes,
        .leader_epoch = bytes_get_i32(p + BATCH_LEADER_EPOCH),
        .crc = bytes_get_u32(p + BATCH_CRC),
        .attributes = bytes_get_i16(p + BATCH_ATTRIBUTES),
        .last_delta = bytes_get_i32(p + BATCH_LAST_DELTA),
        .base_timestamp = bytes_get_i64(p + BATCH_BASE_TIMESTAMP),
        .max_timestamp = bytes_get_i64(p + BATCH_MAX_TIMESTAMP),
        .producer_id = bytes_get_i64(p + BATCH_PRODUCER_ID),
        .producer_epoch = bytes_get_i16(p + BATCH_PRODUCER_EPOCH),
        .base_sequence = bytes_get_i32(p + BATCH_BASE_SEQUENCE),
        .count = bytes_get_i32(p + BATCH_COUNT),
    };
}

int32_t batch_sequence_add(int32_t sequence, int32_t n)
{
    if (sequence > INT32_MAX - n)
        return n - (INT32_MAX - sequence) - 1;
    return sequence + n;
}

/*
 * How Kafka's iterator sees the bytes at a place where a batch could begin
 * (ByteBufferLogInputStream): 0 and *bytes: a whole batch; KERR_INVALID_RECORD: none begins or it
 * is cut short; KERR_CORRUPT_MESSAGE.
 */
static int16_t batch_at(const uint8_t *p, uint32_t have, uint32_t left, uint32_t *bytes)
{
    if (left < batch_overhead_bytes)
        return KERR_INVALID_RECORD;
    int32_t length = bytes_get_i32(p + BATCH_LENGTH);
    if (length < batch_length_min)
        return KERR_CORRUPT_MESSAGE;
    if (left < batch_to_magic_bytes || have < batch_to_magic_bytes)
        return KERR_INVALID_RECORD;
    if (p[BATCH_MAGIC] > 2)
        return KERR_CORRUPT_MESSAGE;
    if ((uint64_t)length + batch_overhead_bytes > left)
        return KERR_INVALID_RECORD;
    *bytes = (uint32_t)length + batch_overhead_bytes;
    return 0;
}

/* Nothing but a cut-off batch may follow (it is dropped, as Kafka does). */
static int16_t check_rest(struct chain_view records, uint32_t bytes)
{
    uint32_t rest = records.len - bytes;
    if (rest < batch_overhead_bytes)
        return 0;
    const uint8_t *p;
    uint32_t n, skip = bytes, have = 0;
    uint8_t raw[batch_to_magic_bytes];
    while (have < sizeof(raw) && chain_view_next(&records, &p, &n)) {
        if (skip >= n) {
            skip -= n;
            continue;
        }
        uint32_t take = n - skip < sizeof(raw) - have ? n - skip : (uint32_t)sizeof(raw) - have;
        memcpy(raw + have, p + skip, take);
        have += take;
        skip = 0;
    }
    uint32_t next;
    int16_t err = batch_at(raw, have, rest, &next);
    if (err == 0)
        return KERR_INVALID_RECORD; /* exactly one batch per partition */
    return err == KERR_CORRUPT_MESSAGE ? err : 0;
}

int16_t batch_check(struct chain_view records, const struct batch_rules *rules,
                    uint8_t raw[batch_header_bytes], struct batch_header *h, bool *marks_known)
{
    uint32_t bytes, have = records.len < batch_header_bytes ? records.len : batch_header_bytes;
    *marks_known = false;
    memset(raw, 0, batch_header_bytes);
    chain_view_copy(records, raw, have);
    int16_t err = batch_at(raw, have, records.len, &bytes);
    if (err)
        return err;
    if (raw[BATCH_MAGIC] != 2)
        return KERR_INVALID_RECORD;
    batch_decode(raw, h);
    if (rules->zstd_refused && batch_codec(h) == CODEC_ZSTD)
        return KERR_UNSUPPORTED_COMPRESSION_TYPE;
    err = check_rest(records, bytes);
    if (err)
        return err;
    if (rules->from_client && h->base_offset != 0) {
        *marks_known = true;
        return KERR_INVALID_RECORD;
    }
    if (bytes > rules->max_bytes || bytes > batch_bytes_max)
        return KERR_MESSAGE_TOO_LARGE;
    if (bytes < batch_header_bytes)
        return KERR_CORRUPT_MESSAGE;
    return 0;
}

int16_t batch_check_fields(const struct batch_header *h, bool from_client)
{
    if (batch_codec(h) >= CODEC_COUNT)
        return KERR_UNKNOWN_SERVER_ERROR; /* an exception without a code of its own in Kafka */
    if (h->count < 0 || h->last_delta < 0)
        return KERR_INVALID_RECORD;
    if (!from_client)
        return 0;
    if (h->count == 0 || (int64_t)h->last_delta + 1 != h->count)
        return KERR_INVALID_RECORD;
    if (h->attributes & batch_control)
        return KERR_INVALID_RECORD;
    if (h->producer_id >= 0 && h->base_sequence < 0)
        return KERR_INVALID_RECORD;
    return 0;
}

bool batch_reader_skip(struct reader *r, uint64_t n)
{
    for (;;) {
        uint64_t have = (uint64_t)(r->end - r->p);
        if (have >= n) {
            r->p += n;
            return true;
        }
        n -= have;
        r->p = r->end;
        if (!reader_more(r))
            return false;
    }
}

bool batch_reader_copy(struct reader *r, void *dst, size_t n)
{
    uint8_t *to = dst;
    while (n > 0) {
        size_t have = (size_t)(r->end - r->p);
        if (have == 0) {
            if (!reader_more(r))
                return false;
            continue;
        }
        size_t take = have < n ? have : n;
        memcpy(to, r->p, take);
        r->p += take;
        to += take;
        n -= take;
    }
    return true;
}
