/* fetch_reply: requests for one partition as bytes, and what stands in their replies. */
#include <string.h>

#define XXH_STATIC_LINKING_ONLY /* the state lies on the stack */
#include <xxhash.h>

#include <rte_mempool.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/limits.h"
#include "bench/batch.h"
#include "bench/fetch.h"
#include "bench/pack.h"

#define fetch_api         1
#define fetch_version     11
#define topic_bytes_max   249
#define request_fixed_max 128
#define reply_fixed_bytes                                                                          \
    60 /* everything up to the records but the topic's name and aborted list */
#define codec_mask         0x07
#define batch_prefix_bytes 12 /* base offset and length, which the length does not count */

static uint8_t *put_u32s(uint8_t *p, const uint32_t *v, int n)
{
    for (int i = 0; i < n; i++, p += 4)
        bytes_put_u32(p, v[i]);
    return p;
}

int fetch_ask_put(const struct fetch_ask *q, struct rte_mempool *pool, struct chain *out)
{
    uint8_t frame[request_fixed_max + topic_bytes_max], *p = frame + 4;
    uint16_t topic_len = (uint16_t)strlen(q->topic);
    bytes_put_u16(p, fetch_api);
    bytes_put_u16(p + 2, fetch_version);
    bytes_put_u32(p + 4, (uint32_t)q->correlation);
    bytes_put_u16(p + 8, 12);
    memcpy(p + 10, "sluice-bench", 12);
    p = put_u32s(p + 22,
                 (uint32_t[]){UINT32_MAX, q->max_wait_ms, q->bytes_min, fetch_reply_bytes_max}, 4);
    *p++ = 0;                                           /* isolation: read uncommitted */
    p = put_u32s(p, (uint32_t[]){0, UINT32_MAX, 1}, 3); /* no session; one topic */
    bytes_put_u16(p, topic_len);
    memcpy(p + 2, q->topic, topic_len);
    p = put_u32s(p + 2 + topic_len, (uint32_t[]){1, q->partition, UINT32_MAX}, 3);
    bytes_put_u64(p, (uint64_t)q->offset);
    bytes_put_u64(p + 8, UINT64_MAX); /* log start: not a follower */
    p = put_u32s(p + 16, (uint32_t[]){q->bytes_max, 0}, 2);
    bytes_put_u16(p, 0); /* rack */
    p += 2;
    bytes_put_u32(frame, (uint32_t)(p - frame) - 4);
    return chain_append_bytes(out, pool, frame, (size_t)(p - frame));
}

/* A place in a chain that moves forward. */
struct cursor {
    struct chain_view v;
    const uint8_t *p;
    uint32_t n; /* bytes at p */
};

static bool cursor_more(struct cursor *c)
{
    while (c->n == 0)
        if (!chain_view_next(&c->v, &c->p, &c->n))
            return false;
    return true;
}

/* Moves over n bytes, copying them to dst and adding them to *crc if these are not NULL. */
static bool cursor_take(struct cursor *c, uint64_t n, uint8_t *dst, uint32_t *crc)
{
    while (n > 0) {
        if (!cursor_more(c))
            return false;
        uint32_t take = n < c->n ? (uint32_t)n : c->n;
        if (dst) {
            memcpy(dst, c->p, take);
            dst += take;
        }
        if (crc)
            *crc = crc32c(*crc, c->p, take);
        c->p += take;
        c->n -= take;
        n -= take;
    }
    return true;
}

/* Moves over n bytes, adding them to *crc and to the hash if these are given. */
static bool cursor_hash(struct cursor *c, uint64_t n, uint32_t *crc, XXH3_state_t *state)
{
    while (n > 0) {
        if (!cursor_more(c))
            return false;
        uint32_t take = n < c->n ? (uint32_t)n : c->n;
        if (state)
            XXH3_64bits_update(state, c->p, take);
        if (!cursor_take(c, take, NULL, crc))
            return false;
        n -= take;
    }
    return true;
}

/* A zigzag varint; counts its bytes down from *left. */
static bool cursor_varint(struct cursor *c, uint32_t *crc, uint64_t *left, int64_t *out)
{
    uint64_t v = 0;
    uint8_t b = 0x80;
    for (uint32_t shift = 0; b & 0x80; shift += 7) {
        if (shift > 63 || *left == 0 || !cursor_take(c, 1, &b, crc))
            return false;
        (*left)--;
        v |= (uint64_t)(b & 0x7f) << shift;
    }
    *out = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
    return true;
}

/* One value of n bytes: false: the bytes ended. */
static bool read_value(struct cursor *c, uint64_t n, uint32_t *crc, uint64_t *faults)
{
    uint8_t stamp[bench_stamp_bytes];
    XXH3_state_t state;
    if (n < bench_stamped_min)
        return cursor_hash(c, n, crc, NULL);
    XXH3_64bits_reset(&state);
    if (!cursor_take(c, sizeof(stamp), stamp, crc) ||
        !cursor_hash(c, n - sizeof(stamp), crc, &state))
        return false;
    *faults += XXH3_64bits_digest(&state) != bytes_get_u64(stamp);
    return true;
}

/* Plain records, `left` bytes; what does not look like one of ours is a fault, the rest is skipped. crc may be NULL. */
static bool read_contents(struct cursor *c, uint32_t records, uint64_t left, uint32_t *crc,
                          uint64_t *faults)
{
    uint32_t i = 0;
    for (; i < records; i++) {
        int64_t length, ignored, key, value;
        if (!cursor_varint(c, crc, &left, &length) || length < 1 || (uint64_t)length > left)
            break;
        left -= (uint64_t)length;
        uint64_t rest = (uint64_t)length - 1;
        bool ours = cursor_take(c, 1, &(uint8_t){0}, crc) &&
                    cursor_varint(c, crc, &rest, &ignored) &&
                    cursor_varint(c, crc, &rest, &ignored) && cursor_varint(c, crc, &rest, &key) &&
                    cursor_varint(c, crc, &rest, &value);
        if (ours && key == -1 && value >= 0 && (uint64_t)value <= rest) {
            if (!read_value(c, (uint64_t)value, crc, faults))
                return false;
            rest -= (uint64_t)value;
        } else {
            (*faults)++;
        }
        if (!cursor_hash(c, rest, crc, NULL))
            return false;
    }
    *faults += left > 0 || i < records;
    return cursor_hash(c, left, crc, NULL);
}

/* The records of a compressed batch, `len` bytes. */
static bool read_packed(struct cursor *c, const uint8_t *h, uint64_t len, uint8_t *scratch,
                        uint32_t *crc, struct fetch_answer *out)
{
    uint8_t *plain = scratch ? scratch + fetch_reply_bytes_max : NULL;
    size_t n;
    if (!scratch || len > fetch_reply_bytes_max) {
        out->unchecked++;
        return cursor_take(c, len, NULL, crc);
    }
    if (!cursor_take(c, len, scratch, crc))
        return false;
    enum pack_codec codec = bytes_get_u16(h + bench_batch_covered_at) & codec_mask;
    int err = unpack(codec, scratch, len, plain, fetch_plain_bytes_max, &n);
    if (err == ERR_TOO_LARGE || err == ERR_NO_MEMORY) {
        out->unchecked++;
    } else if (err) {
        out->faults++;
    } else {
        struct cursor in = {.p = plain, .n = (uint32_t)n};
        if (!read_contents(&in, bytes_get_u32(h + bench_batch_records_at), n, NULL, &out->faults))
            out->faults++;
    }
    return true;
}

/* What follows the header of a batch, with its checksum continued in *crc. */
static bool read_body(struct cursor *c, const uint8_t *h, uint64_t len,
                      const struct fetch_ask *asked, enum fetch_verify verify, uint32_t *crc,
                      struct fetch_answer *out)
{
    if (verify != FETCH_VERIFY_CONTENTS)
        return cursor_take(c, len, NULL, verify ? crc : NULL);
    if (bytes_get_u16(h + bench_batch_covered_at) & codec_mask)
        return read_packed(c, h, len, asked->scratch, crc, out);
    return read_contents(c, bytes_get_u32(h + bench_batch_records_at), len, crc, &out->faults);
}

/* What is wrong with a batch's place: a gap, not what was asked for, offsets that are not its records'. */
static uint64_t place_faults(const uint8_t *h, const struct fetch_ask *asked,
                             const struct fetch_answer *before)
{
    int64_t base = bytes_get_i64(h), delta = bytes_get_i32(h + bench_batch_delta_at);
    bool misplaced = before->batches ? base != before->next_offset
                                     : base > asked->offset || base + delta < asked->offset;
    return misplaced + (uint64_t)(delta + 1 != bytes_get_i32(h + bench_batch_records_at));
}

/* The batches among `left` bytes; a batch that is cut at the end does not count. */
static int read_batches(struct cursor *c, uint64_t left, const struct fetch_ask *asked,
                        enum fetch_verify verify, struct fetch_answer *out)
{
    uint8_t h[batch_header_bytes];
    while (left >= batch_header_bytes) {
        if (!cursor_take(c, sizeof(h), h, NULL))
            return ERR_MALFORMED;
        uint64_t len = batch_prefix_bytes + (uint64_t)bytes_get_u32(h + bench_batch_length_at);
        int64_t base = bytes_get_i64(h);
        if (len < batch_header_bytes || base < 0 || base > INT64_MAX - UINT32_MAX)
            return ERR_MALFORMED;
        if (len > left)
            break;
        uint32_t crc = crc32c(0, h + bench_batch_covered_at, sizeof(h) - bench_batch_covered_at);
        if (!read_body(c, h, len - sizeof(h), asked, verify, &crc, out))
            return ERR_MALFORMED;
        if (verify)
            out->faults +=
                (crc != bytes_get_u32(h + bench_batch_crc_at)) + place_faults(h, asked, out);
        out->next_offset = base + bytes_get_i32(h + bench_batch_delta_at) + 1;
        out->records += bytes_get_u32(h + bench_batch_records_at);
        out->bytes += len;
        out->batches++;
        left -= len;
    }
    return 0;
}

bool fetch_stuck(uint32_t *empty, const struct fetch_answer *answer)
{
    if (answer->error || answer->batches || answer->next_offset >= answer->high_watermark) {
        *empty = 0;
        return false;
    }
    return ++*empty == fetch_empty_max;
}

int fetch_answer_read(const struct chain *rx, uint32_t len, const struct fetch_ask *asked,
                      enum fetch_verify verify, struct fetch_answer *out)
{
    uint32_t topic_len = (uint32_t)strlen(asked->topic);
    struct cursor c = {{chain_pos_at(rx, 0), len}, NULL, 0};
    uint8_t fixed[reply_fixed_bytes + topic_bytes_max];
    struct fetch_answer r = {.next_offset = asked->offset};
    /* correlation, throttle, error, session, topics */
    if (!cursor_take(&c, 4 + 4 + 2 + 4 + 4, fixed, NULL) ||
        bytes_get_i32(fixed) != asked->correlation)
        return ERR_MALFORMED;
    r.error = bytes_get_i16(fixed + 8);
    if (r.error) {
        *out = r;
        return 0;
    }
    /* name, partitions, index, error, high watermark, stable offset, log start, aborted */
    if (bytes_get_u32(fixed + 14) != 1 ||
        !cursor_take(&c, 2 + topic_len + 4 + 4 + 2 + 8 + 8 + 8 + 4, fixed, NULL))
        return ERR_MALFORMED;
    const uint8_t *p = fixed + 2 + topic_len;
    r.error = bytes_get_i16(p + 8);
    r.high_watermark = bytes_get_i64(p + 10);
    int32_t aborted = bytes_get_i32(p + 34);
    if (!cursor_take(&c, aborted > 0 ? 16 * (uint64_t)aborted : 0, NULL, NULL) ||
        !cursor_take(&c, 4 + 4, fixed, NULL)) /* preferred replica, bytes of records */
        return ERR_MALFORMED;
    int32_t bytes = bytes_get_i32(fixed + 4);
    int err = bytes > 0 ? read_batches(&c, (uint64_t)bytes, asked, verify, &r) : 0;
    if (!err)
        *out = r;
    return err;
}
