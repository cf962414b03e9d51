#include "dataplane/kafka/produce_batch.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/kerr.h"
#include "base/limits.h"

/* Offsets in a batch; the first four are those of all formats. */
#define at_size       8
#define at_magic      16
#define at_attributes 21
#define at_records    57
#define log_overhead  12 /* offset and size */
#define magic_end     17
#define size_min      14 /* LegacyRecord.RECORD_OVERHEAD_V0 */
#define magic_now     2
#define zstd          4
#define codec_mask    0x07
#define txn_flag      0x10

/* The bytes left for an iterator: is there another batch, or something that it trips over? */
static int16_t look_behind(const uint8_t *p, uint32_t n)
{
    if (n < log_overhead)
        return 0;
    int32_t size = bytes_get_i32(p + at_size);
    if (size < size_min)
        return KERR_CORRUPT_MESSAGE;
    if (n < magic_end)
        return 0;
    if ((int8_t)p[at_magic] < 0 || (int8_t)p[at_magic] > magic_now)
        return KERR_CORRUPT_MESSAGE;
    return n - log_overhead >= (uint32_t)size ? KERR_INVALID_RECORD : 0;
}

static int16_t look_at_trailer(struct chain_view records, uint32_t from)
{
    uint8_t head[magic_end];
    const uint8_t *p;
    uint32_t n, skip = from, have = 0, left = records.len - from;
    struct chain_view v = records;
    while (have < sizeof(head) && chain_view_next(&v, &p, &n)) {
        uint32_t drop = skip < n ? skip : n;
        uint32_t take = n - drop < sizeof(head) - have ? n - drop : (uint32_t)sizeof(head) - have;
        skip -= drop;
        memcpy(head + have, p + drop, take);
        have += take;
    }
    return look_behind(head, left);
}

void batch_look(struct batch_look *out, struct chain_view records, int version)
{
    uint8_t h[batch_header_bytes];
    uint32_t n = records.len < sizeof(h) ? records.len : (uint32_t)sizeof(h);
    *out = (struct batch_look){.error = KERR_INVALID_RECORD, .bytes = records.len};
    if (n < log_overhead)
        return;
    chain_view_copy(records, h, n);
    out->size = bytes_get_i32(h + at_size);
    out->corrupt = out->size < size_min;
    if (out->corrupt || n < magic_end)
        return;
    out->magic = (int8_t)h[at_magic];
    out->corrupt = out->magic < 0 || out->magic > magic_now;
    if (out->corrupt || records.len - log_overhead < (uint32_t)out->size)
        return;
    out->bytes = log_overhead + (uint32_t)out->size;
    if (out->magic != magic_now)
        return;
    /* A batch is at least 26 bytes long here: the attributes are among them. */
    uint16_t attributes = bytes_get_u16(h + at_attributes);
    out->transactional = attributes & txn_flag;
    if (version < 7 && (attributes & codec_mask) == zstd) {
        out->error = KERR_UNSUPPORTED_COMPRESSION_TYPE;
        return;
    }
    if (out->bytes >= sizeof(h))
        out->records = bytes_get_u32(h + at_records);
    out->error = records.len > out->bytes ? look_at_trailer(records, out->bytes) : 0;
}

void batch_corrupt_text(const struct batch_look *look, char *out, size_t size)
{
    if (look->size < size_min)
        snprintf(out, size, "Record size %d is less than the minimum record overhead (%d)",
                 look->size, size_min);
    else
        snprintf(out, size, "Invalid magic found in record: %d", look->magic);
}
