#include "control/record_batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "storage/plog/batch.h"
#include "storage/plog/decompress.h"

#define record_overhead_max                                                                        \
    (1 + VARINT64_BYTES_MAX + 5 * VARINT32_BYTES_MAX) /* attributes, times, lengths, headers */
#define marker_key_bytes 4
#define marker_commit    1

/* ---- build ---- */

static uint32_t item_bytes(const uint8_t *p, uint32_t n)
{
    return p ? n : 0;
}

size_t record_batch_bytes_max_of(const struct record_item *items, uint32_t n)
{
    size_t bytes = batch_header_bytes;
    for (uint32_t i = 0; i < n; i++)
        bytes += record_overhead_max + (size_t)item_bytes(items[i].key, items[i].key_len) +
                 item_bytes(items[i].value, items[i].value_len);
    return bytes;
}

static uint8_t *put_bytes(uint8_t *at, const uint8_t *p, uint32_t n)
{
    at += bytes_put_varint32(at, p ? (int32_t)n : -1);
    if (p && n)
        memcpy(at, p, n);
    return at + item_bytes(p, n);
}

static size_t varint_len(int32_t v)
{
    return bytes_uvarint32_len(((uint32_t)v << 1) ^ (uint32_t)(v >> 31));
}

static uint8_t *put_record(uint8_t *at, const struct record_item *item, uint32_t delta)
{
    uint32_t key = item_bytes(item->key, item->key_len);
    uint32_t value = item_bytes(item->value, item->value_len);
    size_t body = 1 + 1 + varint_len((int32_t)delta) + varint_len(item->key ? (int32_t)key : -1) +
                  key + varint_len(item->value ? (int32_t)value : -1) + value + 1;
    at += bytes_put_varint32(at, (int32_t)body);
    *at++ = 0; /* attributes */
    *at++ = 0; /* timestamp delta */
    at += bytes_put_varint32(at, (int32_t)delta);
    at = put_bytes(at, item->key, key);
    at = put_bytes(at, item->value, value);
    *at++ = 0; /* headers */
    return at;
}

static void put_header(uint8_t *p, uint32_t bytes, uint32_t n, int64_t timestamp_ms)
{
    bytes_put_u64(p + BATCH_BASE_OFFSET, 0);
    bytes_put_u32(p + BATCH_LENGTH, bytes - batch_overhead_bytes);
    bytes_put_u32(p + BATCH_LEADER_EPOCH, 0); /* the log writes its own */
    p[BATCH_MAGIC] = 2;
    bytes_put_u16(p + BATCH_ATTRIBUTES, 0);
    bytes_put_u32(p + BATCH_LAST_DELTA, n - 1);
    bytes_put_u64(p + BATCH_BASE_TIMESTAMP, (uint64_t)timestamp_ms);
    bytes_put_u64(p + BATCH_MAX_TIMESTAMP, (uint64_t)timestamp_ms);
    bytes_put_u64(p + BATCH_PRODUCER_ID, UINT64_MAX);
    bytes_put_u16(p + BATCH_PRODUCER_EPOCH, UINT16_MAX);
    bytes_put_u32(p + BATCH_BASE_SEQUENCE, UINT32_MAX);
    bytes_put_u32(p + BATCH_COUNT, n);
    bytes_put_u32(p + BATCH_CRC, crc32c(0, p + BATCH_ATTRIBUTES, bytes - BATCH_ATTRIBUTES));
}

int record_batch_build(const struct record_item *items, uint32_t n, int64_t timestamp_ms,
                       uint8_t **out, uint32_t *bytes)
{
    size_t room = record_batch_bytes_max_of(items, n);
    if (room > INT32_MAX)
        return ERR_TOO_LARGE;
    uint8_t *p = malloc(room);
    if (!p)
        return ERR_NO_MEMORY;
    uint8_t *at = p + batch_header_bytes;
    for (uint32_t i = 0; i < n; i++)
        at = put_record(at, &items[i], i);
    *bytes = (uint32_t)(at - p);
    put_header(p, *bytes, n, timestamp_ms);
    *out = p;
    return 0;
}

/* ---- walk ---- */

void record_walk_init(struct record_walk *w, int64_t from_offset)
{
    *w = (struct record_walk){.next_offset = from_offset, .bad_offset = -1};
}

void record_walk_free(struct record_walk *w)
{
    unzip_free(w->unzip);
    free(w->plain);
    *w = (struct record_walk){0};
}

struct cursor {
    const uint8_t *p, *end;
};

static bool take_varint(struct cursor *c, int32_t *out)
{
    int n = bytes_get_varint32(c->p, (size_t)(c->end - c->p), out);
    if (n <= 0)
        return false;
    c->p += n;
    return true;
}

static bool take_varlong(struct cursor *c, int64_t *out)
{
    int n = bytes_get_varint64(c->p, (size_t)(c->end - c->p), out);
    if (n <= 0)
        return false;
    c->p += n;
    return true;
}

static bool take_bytes(struct cursor *c, const uint8_t **p, uint32_t *len)
{
    int32_t n;
    if (!take_varint(c, &n))
        return false;
    *p = NULL;
    *len = 0;
    if (n < 0)
        return true;
    if (n > c->end - c->p)
        return false;
    *p = c->p;
    *len = (uint32_t)n;
    c->p += n;
    return true;
}

/* One record; c moves behind it. The headers are passed over. */
static bool take_record(struct cursor *c, const struct batch_header *h, struct record_view *out)
{
    int32_t len, delta;
    int64_t time;
    if (!take_varint(c, &len) || len < 1 || len > c->end - c->p)
        return false;
    struct cursor r = {c->p + 1, c->p + len};
    c->p += len;
    if (!take_varlong(&r, &time) || !take_varint(&r, &delta) || delta < 0 ||
        delta > h->last_delta || !take_bytes(&r, &out->item.key, &out->item.key_len) ||
        !take_bytes(&r, &out->item.value, &out->item.value_len))
        return false;
    out->offset = h->base_offset + delta;
    out->timestamp_ms = h->attributes & batch_log_append_time
                            ? h->max_timestamp
                            : (int64_t)((uint64_t)h->base_timestamp + (uint64_t)time);
    return true;
}

static int visit_marker(const struct record_view *r, const struct record_visitor *v)
{
    if (!r->item.key || r->item.key_len < marker_key_bytes)
        return 0;
    return v->marker(v->ctx, r->producer_id, bytes_get_u16(r->item.key + 2) == marker_commit);
}

static int visit_records(const struct batch_header *h, struct cursor c, int64_t from,
                         const struct record_visitor *v)
{
    struct record_view r = {.producer_id = h->producer_id,
                            .transactional = h->attributes & batch_transactional};
    for (int32_t i = 0; i < h->count; i++) {
        if (!take_record(&c, h, &r)) {
            v->corrupt(v->ctx, h->base_offset + i, "a record");
            return 0;
        }
        if (r.offset < from)
            continue;
        int err = h->attributes & batch_control ? visit_marker(&r, v) : v->record(v->ctx, &r);
        if (err < 0)
            return err;
    }
    return 0;
}

static int plain_grow(struct record_walk *w, size_t n)
{
    if (w->plain && n <= w->plain_room)
        return 0;
    if (n > record_batch_unzipped_bytes_max)
        return ERR_TOO_LARGE;
    size_t room = w->plain_room ? w->plain_room : 64 * KIB;
    while (room < n)
        room *= 2;
    uint8_t *grown = realloc(w->plain, room);
    if (!grown)
        return ERR_NO_MEMORY;
    w->plain = grown;
    w->plain_room = room;
    return 0;
}

/* The records of a compressed batch in one piece. ERR_CORRUPT, ERR_TOO_LARGE, ERR_NO_MEMORY. */
static int unzip_all(struct record_walk *w, const struct batch_header *h, const uint8_t *p,
                     size_t n, struct cursor *out)
{
    int err = w->unzip ? 0 : unzip_new(&w->unzip);
    if (err)
        return err;
    struct reader in;
    reader_init(&in, p, n);
    struct reader *r = unzip_open(w->unzip, batch_codec(h), &in);
    size_t at = 0;
    do {
        size_t piece = (size_t)(r->end - r->p);
        err = plain_grow(w, at + piece);
        if (!err && piece)
            memcpy(w->plain + at, r->p, piece);
        at += piece;
        r->p = r->end;
    } while (!err && reader_more(r));
    if (!err && r->err)
        err = ERR_CORRUPT;
    unzip_close(w->unzip);
    *out = (struct cursor){w->plain, w->plain + at};
    return err;
}

static bool batch_sound(const uint8_t *p, const struct batch_header *h)
{
    return p[BATCH_MAGIC] == 2 && h->count >= 0 && h->last_delta >= 0 &&
           batch_codec(h) < CODEC_COUNT &&
           crc32c(0, p + BATCH_ATTRIBUTES, h->bytes - BATCH_ATTRIBUTES) == h->crc;
}

/* Moves on; true if the batch's records are to be visited. */
static bool pass_batch(struct record_walk *w, const uint8_t *p, const struct batch_header *h,
                       const struct record_visitor *v)
{
    int64_t next = h->base_offset + (h->last_delta > 0 ? h->last_delta : 0) + 1;
    bool sound = batch_sound(p, h);
    if (!sound && h->base_offset != w->bad_offset) {
        v->corrupt(v->ctx, h->base_offset, "a batch");
        w->bad_offset = h->base_offset;
        next = h->base_offset + 1;
    }
    if (next <= w->next_offset)
        return false;
    w->next_offset = next;
    return sound;
}

static int visit_batch(struct record_walk *w, const uint8_t *p, const struct batch_header *h,
                       const struct record_visitor *v)
{
    int64_t from = w->next_offset;
    if (!pass_batch(w, p, h, v))
        return 0;
    struct cursor records = {p + batch_header_bytes, p + h->bytes};
    if (batch_codec(h) != CODEC_NONE) {
        int err = unzip_all(w, h, records.p, (size_t)(records.end - records.p), &records);
        if (err == ERR_NO_MEMORY)
            return err;
        if (err) {
            v->corrupt(v->ctx, h->base_offset, "a compressed batch");
            return 0;
        }
    }
    return visit_records(h, records, from, v);
}

int64_t record_walk(struct record_walk *w, const uint8_t *p, size_t n,
                    const struct record_visitor *v)
{
    size_t at = 0;
    while (n - at >= batch_header_bytes) {
        struct batch_header h;
        batch_decode(p + at, &h);
        if (h.bytes < batch_header_bytes || h.bytes > batch_bytes_max + batch_header_bytes)
            return at ? (int64_t)at : ERR_CORRUPT;
        if (h.bytes > n - at)
            break;
        int err = visit_batch(w, p + at, &h, v);
        if (err < 0)
            return err;
        at += h.bytes;
    }
    return (int64_t)at;
}
