#include "storage/plog/validate.h"

#include <string.h>

#include "base/kerr.h"

/* --- a record that lies in one piece: the common case ---------------------------------------- */

struct flat {
    const uint8_t *p, *end;
};

/* One and two bytes, nearly all there are, without a call. */
static inline bool flat_varint(struct flat *f, int32_t *out)
{
    if (f->end - f->p >= 2 && (f->p[0] & f->p[1]) < 0x80) {
        uint32_t v = f->p[0];
        uint32_t two = v >> 7;
        v = (v & 0x7f) | (two ? (uint32_t)f->p[1] << 7 : 0);
        f->p += 1 + two;
        *out = (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
        return true;
    }
    int n = bytes_get_varint32(f->p, (size_t)(f->end - f->p), out);
    if (n <= 0)
        return false;
    f->p += n;
    return true;
}

static inline bool flat_varlong(struct flat *f, int64_t *out)
{
    if (f->p < f->end && *f->p < 0x80) {
        uint64_t v = *f->p++;
        *out = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
        return true;
    }
    int n = bytes_get_varint64(f->p, (size_t)(f->end - f->p), out);
    if (n <= 0)
        return false;
    f->p += n;
    return true;
}

/* A length and that many bytes; -1 (or less, which Kafka takes for null too) has none. */
static inline bool flat_bytes(struct flat *f, int32_t *len)
{
    if (!flat_varint(f, len))
        return false;
    if (*len <= 0)
        return true;
    if (*len > f->end - f->p)
        return false;
    f->p += *len;
    return true;
}

static bool flat_headers(struct flat *f)
{
    int32_t count, len;
    if (!flat_varint(f, &count) || count < 0 || count > f->end - f->p)
        return false;
    for (int32_t i = 0; i < count; i++) {
        if (!flat_bytes(f, &len) || len < 0)
            return false;
        if (!flat_bytes(f, &len))
            return false;
    }
    return true;
}

static bool flat_record(struct flat *f, struct record_info *out, int64_t *delta)
{
    if (f->p == f->end)
        return false;
    f->p++; /* attributes: none is in use */
    return flat_varlong(f, delta) && flat_varint(f, &out->offset_delta) &&
           flat_bytes(f, &out->key_bytes) && flat_bytes(f, &out->value_bytes) && flat_headers(f) &&
           f->p == f->end;
}

/* --- a record across pieces ------------------------------------------------------------------- */

/* Bytes of the record that are left, beside where they are. */
struct pieces {
    struct reader *r;
    int64_t left;
};

static bool piece_byte(struct pieces *s, uint8_t *out)
{
    if (s->left <= 0)
        return false;
    while (s->r->p == s->r->end)
        if (!reader_more(s->r))
            return false;
    *out = *s->r->p++;
    s->left--;
    return true;
}

static bool piece_varlong(struct pieces *s, int64_t *out)
{
    uint64_t v = 0;
    uint8_t b;
    for (uint32_t shift = 0; shift < 70; shift += 7) {
        if (!piece_byte(s, &b))
            return false;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
            return true;
        }
    }
    return false;
}

static bool piece_varint(struct pieces *s, int32_t *out)
{
    uint32_t v = 0;
    uint8_t b;
    for (uint32_t shift = 0; shift < 35; shift += 7) {
        if (!piece_byte(s, &b))
            return false;
        v |= (uint32_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
            return true;
        }
    }
    return false;
}

static bool piece_bytes(struct pieces *s, int32_t *len)
{
    if (!piece_varint(s, len))
        return false;
    if (*len <= 0)
        return true;
    if (*len > s->left || !batch_reader_skip(s->r, (uint64_t)*len))
        return false;
    s->left -= *len;
    return true;
}

static bool piece_headers(struct pieces *s)
{
    int32_t count, len;
    if (!piece_varint(s, &count) || count < 0 || count > s->left)
        return false;
    for (int32_t i = 0; i < count; i++) {
        if (!piece_bytes(s, &len) || len < 0)
            return false;
        if (!piece_bytes(s, &len))
            return false;
    }
    return true;
}

static bool piece_record(struct reader *r, int32_t size, struct record_info *out, int64_t *delta)
{
    struct pieces s = {r, size};
    uint8_t attributes;
    return piece_byte(&s, &attributes) && piece_varlong(&s, delta) &&
           piece_varint(&s, &out->offset_delta) && piece_bytes(&s, &out->key_bytes) &&
           piece_bytes(&s, &out->value_bytes) && piece_headers(&s) && s.left == 0;
}

/* --- records ---------------------------------------------------------------------------------- */

static bool record_size(struct reader *r, int32_t *size)
{
    struct flat f = {r->p, r->end};
    if (f.end - f.p >= VARINT32_BYTES_MAX) {
        if (!flat_varint(&f, size))
            return false;
        r->p = f.p;
        return true;
    }
    struct pieces s = {r, VARINT32_BYTES_MAX};
    return piece_varint(&s, size);
}

static inline int64_t record_time(const struct batch_header *h, int64_t delta)
{
    return h->attributes & batch_log_append_time
               ? h->max_timestamp
               : (int64_t)((uint64_t)h->base_timestamp + (uint64_t)delta);
}

int record_next(struct reader *r, const struct batch_header *h, struct record_info *out)
{
    int32_t size;
    int64_t delta = 0;
    while (r->p == r->end)
        if (!reader_more(r))
            return ERR_NEED_MORE;
    if (!record_size(r, &size) || size < 0)
        return ERR_MALFORMED;
    if (size <= r->end - r->p) {
        struct flat f = {r->p, r->p + size};
        if (!flat_record(&f, out, &delta))
            return ERR_MALFORMED;
        r->p += size;
    } else if (!piece_record(r, size, out, &delta)) {
        return ERR_MALFORMED;
    }
    out->timestamp_ms = record_time(h, delta);
    return 0;
}

/* --- a record without surprises --------------------------------------------------------------- */

#define plain_margin_bytes 16 /* read without a check behind a record's last length */

/* A zigzag number of one to three bytes; NULL: longer. Reads three bytes. */
static inline const uint8_t *plain_varint(const uint8_t *p, int32_t *out)
{
    uint32_t v = *p++;
    if (v >= 0x80) {
        uint32_t b = *p++;
        v = (v & 0x7f) | (b & 0x7f) << 7;
        if (b >= 0x80) {
            b = *p++;
            if (b >= 0x80)
                return NULL;
            v |= b << 14;
        }
    }
    *out = (int32_t)(v >> 1) ^ -(int32_t)(v & 1);
    return p;
}

/*
 * Reads a record at p that ends before the piece does, has short numbers and no headers. Returns its
 * end; NULL: it is another kind, or broken, and record_next says which.
 */
static inline const uint8_t *plain_record(const uint8_t *p, const uint8_t *piece_end,
                                          int64_t *delta, struct record_info *out)
{
    int32_t size, time;
    if (piece_end - p < plain_margin_bytes || (p = plain_varint(p, &size)) == NULL || size < 6 ||
        size > piece_end - p - plain_margin_bytes)
        return NULL;
    const uint8_t *end = p + size;
    if ((p = plain_varint(p + 1, &time)) == NULL ||
        (p = plain_varint(p, &out->offset_delta)) == NULL ||
        (p = plain_varint(p, &out->key_bytes)) == NULL)
        return NULL;
    if (out->key_bytes > 0) {
        if (out->key_bytes > end - p)
            return NULL;
        p += out->key_bytes;
    }
    if ((p = plain_varint(p, &out->value_bytes)) == NULL)
        return NULL;
    if (out->value_bytes > 0) {
        if (out->value_bytes > end - p)
            return NULL;
        p += out->value_bytes;
    }
    if (*p != 0 || p + 1 != end) /* the number of headers */
        return NULL;
    *delta = time;
    return end;
}

static void error_add(struct validate_result *out, enum validate_kind kind, int32_t index,
                      const struct record_info *info)
{
    if (kind != VALIDATE_NO_KEY)
        out->timestamp_error = true;
    if (out->error_count < validate_errors_max) {
        out->errors[out->error_count] = (struct validate_error){
            .kind = kind,
            .index = index,
            .timestamp_ms = info->timestamp_ms,
            .key_bytes = info->key_bytes > 0 ? info->key_bytes : 0,
            .value_bytes = info->value_bytes > 0 ? info->value_bytes : 0,
        };
    }
    out->error_count++;
}

/* now - timestamp in 64 bits without overflow, as the bounds are at most 2^63 - 1. */
static bool timestamp_outside(int64_t timestamp, const struct validate_rules *rules)
{
    __int128 diff = (__int128)rules->now_ms - timestamp;
    return diff > rules->before_max_ms || -diff > rules->after_max_ms;
}

static void check_record(const struct record_info *info, int32_t index,
                         const struct batch_header *h, const struct validate_rules *rules,
                         struct validate_result *out)
{
    if (rules->compacted && info->key_bytes < 0)
        error_add(out, VALIDATE_NO_KEY, index, info);
    else if (!rules->log_append_time && info->timestamp_ms != -1) {
        if (timestamp_outside(info->timestamp_ms, rules))
            error_add(out, VALIDATE_TIMESTAMP, index, info);
    } else if (h->attributes & batch_log_append_time) {
        error_add(out, VALIDATE_TIMESTAMP_TYPE, index, info);
    }
}

/* The timestamps that are not outside. */
static void bounds_of(const struct validate_rules *rules, int64_t *first, int64_t *last)
{
    if (__builtin_sub_overflow(rules->now_ms, rules->before_max_ms, first))
        *first = INT64_MIN;
    if (__builtin_add_overflow(rules->now_ms, rules->after_max_ms, last))
        *last = INT64_MAX;
}

int16_t validate_records(struct reader *r, const struct batch_header *h,
                         const struct validate_rules *rules, struct validate_result *out)
{
    struct record_info info;
    int64_t delta, first, last, max = -1;
    bool each =
        rules->compacted || rules->log_append_time || (h->attributes & batch_log_append_time) != 0;
    bounds_of(rules, &first, &last);
    out->error_count = 0;
    out->timestamp_error = false;
    for (int32_t i = 0; i < h->count; i++) {
        const uint8_t *next = plain_record(r->p, r->end, &delta, &info);
        if (next != NULL) {
            r->p = next;
            info.timestamp_ms = record_time(h, delta);
        } else if (record_next(r, h, &info) != 0 || r->err) {
            return r->err ? KERR_UNKNOWN_SERVER_ERROR : KERR_INVALID_RECORD;
        }
        if (info.offset_delta != i)
            return KERR_INVALID_RECORD;
        if (each || info.timestamp_ms < first || info.timestamp_ms > last)
            check_record(&info, i, h, rules, out);
        if (info.timestamp_ms > max)
            max = info.timestamp_ms;
    }
    out->max_timestamp_ms = max;
    if (r->p != r->end || reader_more(r))
        return KERR_INVALID_RECORD; /* records still remaining */
    return r->err ? KERR_UNKNOWN_SERVER_ERROR : 0;
}
