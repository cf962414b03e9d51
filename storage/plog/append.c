/* A batch in: checked, copied, given its offsets, queued. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

/* Where the batch goes: the rest of the tail chunk, then fresh chunks linked by next. */
struct landing {
    struct chunk *first; /* the tail chunk, or the first fresh one */
    uint32_t first_at;   /* its byte where the batch begins */
    struct chunk *fresh; /* taken for this batch */
    uint32_t bytes;
    bool rolling;     /* into a new segment */
    struct chunk *at; /* where the copying is */
    uint32_t at_off;
};

/* Reads the batch back, piece by piece. */
struct landing_reader {
    struct reader r;
    const struct chunk *chunk;
    uint32_t left; /* bytes behind the piece at hand */
};

struct incoming {
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    struct landing to;
    struct producer_append producer;
    int64_t max_timestamp;
};

static int answered(struct plog_append *a, int16_t error, bool marks_known)
{
    a->error = error;
    if (marks_known)
        a->log_start_offset = a->plog->log_start;
    a->plog->env->rejects++;
    a->done(a);
    return 0;
}

/* The log memory could never hold it, however long it waits. */
static int answer_never_fits(struct plog_append *a, uint32_t bytes)
{
    struct plog *p = a->plog;
    struct plog_shard *shard = p->env->shard;
    uint64_t most = cache_size(p->env->cache) / 2 * (uint64_t)tail_chunk_bytes;
    if (log_limit_pass(&shard->large_told, *p->env->now_ns, NULL))
        log_warn("storage",
                 "%s: a batch of %" PRIu32 " bytes is refused, %" PRIu64
                 " is the most that the log "
                 "memory of a shard takes: raise sluice.memory",
                 p->name, bytes, most);
    a->error_message =
        "The batch is larger than half of the log memory of a shard (sluice.memory).";
    return answered(a, KERR_MESSAGE_TOO_LARGE, false);
}

/* --- messages --------------------------------------------------------------------------------- */

static const char *text_put(struct plog_append *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A message in the append's own room; NULL when it is full. */
static const char *text_put(struct plog_append *a, const char *fmt, ...)
{
    char *at = a->text + a->text_used;
    size_t room = sizeof(a->text) - a->text_used;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(at, room, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= room)
        return NULL;
    a->text_used += (uint32_t)n + 1;
    return at;
}

static const char *record_message(struct plog_append *a, const struct validate_error *e,
                                  const struct validate_rules *rules, bool compressed)
{
    const char *text = NULL;
    switch (e->kind) {
    case VALIDATE_NO_KEY:
        text =
            text_put(a, "Compacted topic cannot accept message without key in topic partition %s",
                     a->plog->name);
        return text ? text : "Compacted topic cannot accept message without key";
    case VALIDATE_TIMESTAMP:
        text = text_put(a,
                        "Timestamp %" PRId64 " of message with offset %d is out of range. The "
                        "timestamp should be within [%" PRId64 ", %" PRId64 "]",
                        e->timestamp_ms, e->index,
                        (int64_t)((uint64_t)rules->now_ms - (uint64_t)rules->before_max_ms),
                        (int64_t)((uint64_t)rules->now_ms + (uint64_t)rules->after_max_ms));
        return text ? text : "Timestamp of message is out of range";
    case VALIDATE_TIMESTAMP_TYPE:
        text = text_put(
            a,
            "Invalid timestamp type in message %sDefaultRecord(offset=%d, timestamp=%" PRId64
            ", key=%d bytes, value=%d bytes). Producer should not set "
            "timestamp type to LogAppendTime.",
            compressed ? "Partial" : "", e->index, e->timestamp_ms, e->key_bytes, e->value_bytes);
        return text ? text : "Producer should not set timestamp type to LogAppendTime.";
    }
    return NULL;
}

/* Kafka's message for records without keys, which shows the first three. */
static const char *keys_message(struct plog_append *a, uint32_t errors)
{
    char list[plog_error_text_bytes_max];
    size_t at = 0;
    for (uint32_t i = 0; i < a->record_error_count && i < 3; i++) {
        int n = snprintf(list + at, sizeof(list) - at, "%sRecordError(batchIndex=%d, message='%s')",
                         i ? ", " : "", a->record_errors[i].index, a->record_errors[i].message);
        if (n < 0 || (size_t)n >= sizeof(list) - at)
            return NULL;
        at += (size_t)n;
    }
    return text_put(a,
                    "One or more records have been rejected due to %u record errors in total, and "
                    "only showing the first three errors at most: [%s]",
                    errors, list);
}

static int16_t record_errors(struct plog_append *a, const struct validate_result *result,
                             const struct validate_rules *rules, bool compressed)
{
    uint32_t n =
        result->error_count < plog_record_errors_max ? result->error_count : plog_record_errors_max;
    a->record_error_count = n;
    a->text_used = 0;
    if (result->timestamp_error)
        a->error_message = "One or more records have been rejected due to invalid timestamp";
    const char *same = NULL; /* the messages about keys are all alike */
    for (uint32_t i = 0; i < n; i++) {
        const struct validate_error *e = &result->errors[i];
        a->record_errors[i].index = e->index;
        if (e->kind == VALIDATE_NO_KEY) {
            if (same == NULL)
                same = record_message(a, e, rules, compressed);
            a->record_errors[i].message = same;
        } else {
            a->record_errors[i].message = record_message(a, e, rules, compressed);
        }
    }
    if (result->timestamp_error)
        return KERR_INVALID_TIMESTAMP;
    const char *text = keys_message(a, result->error_count);
    a->error_message = text ? text : "One or more records have been rejected";
    return KERR_INVALID_RECORD;
}

/* --- landing ---------------------------------------------------------------------------------- */

/*
 * Takes the chunks. ERR_FULL: nothing happened; ERR_TOO_LARGE: the log memory could never hold it.
 */
static int landing_take(struct plog *p, struct landing *to)
{
    struct segment *s = plog_active(p);
    uint32_t off = to->rolling ? 0 : s->size % tail_chunk_bytes;
    uint32_t slot = s->size / tail_chunk_bytes;
    struct chunk *tail = to->rolling || off == 0 ? NULL : s->chunks[slot];
    uint32_t room = tail ? tail_chunk_bytes - off : 0;
    uint32_t need = 0;
    if (to->bytes > room) {
        uint32_t first = tail ? 0 : off; /* a tail that was evicted is taken up again at its end */
        need = (uint32_t)(((uint64_t)to->bytes - room + first + tail_chunk_bytes - 1) /
                          tail_chunk_bytes);
    }
    if (need > cache_size(p->env->cache) / 2)
        return ERR_TOO_LARGE;
    int err = cache_take(p->env->cache, need, &to->fresh);
    if (err)
        return err;
    /* taking may have evicted this very tail */
    if (tail && s->chunks[slot] != tail) {
        for (struct chunk *c = to->fresh, *next; c; c = next) {
            next = c->next;
            chunk_release(p->env->cache, c);
        }
        return landing_take(p, to);
    }
    to->first = tail ? tail : to->fresh;
    to->first_at = off;
    if (tail)
        tail->next = to->fresh;
    to->at = to->first;
    to->at_off = off;
    return 0;
}

static void landing_undo(struct plog *p, struct landing *to)
{
    for (struct chunk *c = to->fresh, *next; c; c = next) {
        next = c->next;
        chunk_release(p->env->cache, c);
    }
}

static uint32_t landing_copy(struct landing *to, uint32_t crc, const uint8_t *p, uint32_t n)
{
    while (n > 0) {
        if (to->at_off == tail_chunk_bytes) {
            to->at = to->at->next;
            to->at_off = 0;
        }
        uint32_t room = tail_chunk_bytes - to->at_off;
        uint32_t part = n < room ? n : room;
        crc = crc32c_copy(crc, to->at->data + to->at_off, p, part);
        to->at_off += part;
        p += part;
        n -= part;
    }
    return crc;
}

/*
 * The header (already patched) and the records; returns the checksum of what the checksum covers.
 */
static uint32_t landing_fill(struct landing *to, const uint8_t raw[batch_header_bytes],
                             struct chain_view records)
{
    const uint8_t *p;
    uint32_t n, skip = batch_header_bytes, left = to->bytes - batch_header_bytes;
    landing_copy(to, 0, raw, BATCH_ATTRIBUTES);
    uint32_t crc =
        landing_copy(to, 0, raw + BATCH_ATTRIBUTES, batch_header_bytes - BATCH_ATTRIBUTES);
    while (left > 0 && chain_view_next(&records, &p, &n)) {
        if (skip >= n) {
            skip -= n;
            continue;
        }
        uint32_t part = n - skip < left ? n - skip : left;
        crc = landing_copy(to, crc, p + skip, part);
        left -= part;
        skip = 0;
    }
    return crc;
}

/* Overwrites n bytes of the header at byte `at` of the batch. */
static void landing_patch(struct landing *to, uint32_t at, const uint8_t *p, uint32_t n)
{
    struct chunk *chunk = to->first;
    uint32_t off = to->first_at + at;
    for (uint32_t i = 0; i < n; i++, off++) {
        while (off >= tail_chunk_bytes) {
            off -= tail_chunk_bytes;
            chunk = chunk->next;
        }
        chunk->data[off] = p[i];
    }
}

static bool landing_more(struct reader *r)
{
    struct landing_reader *l = (struct landing_reader *)r;
    if (l->left == 0)
        return false;
    l->chunk = l->chunk->next;
    uint32_t n = l->left < tail_chunk_bytes ? l->left : tail_chunk_bytes;
    r->p = l->chunk->data;
    r->end = r->p + n;
    l->left -= n;
    return true;
}

/* From byte `from` of the batch on. */
static void landing_read(const struct landing *to, uint32_t from, struct landing_reader *out)
{
    const struct chunk *chunk = to->first;
    uint32_t off = to->first_at + from, left = to->bytes - from;
    while (off >= tail_chunk_bytes) {
        off -= tail_chunk_bytes;
        if (left == 0 && off == 0 && chunk->next == NULL)
            break; /* the batch has no records and ends with the chunk */
        chunk = chunk->next;
    }
    uint32_t n = left < tail_chunk_bytes - off ? left : tail_chunk_bytes - off;
    *out = (struct landing_reader){
        .r = {.p = chunk->data + off, .end = chunk->data + off + n, .more = landing_more},
        .chunk = chunk,
        .left = left - n,
    };
}

/* --- checks ----------------------------------------------------------------------------------- */

static int16_t check_records(struct plog *p, struct plog_append *a, struct incoming *in)
{
    const struct plog_config *c = &p->config;
    struct plog_shard *shard = p->env->shard;
    struct validate_rules rules = {
        .compacted = c->cleanup_compact && !(in->h.attributes & batch_control),
        .log_append_time = c->timestamp_type == PLOG_LOG_APPEND_TIME,
        .now_ms = *p->env->wall_ms,
        .before_max_ms = c->timestamp_before_max_ms,
        .after_max_ms = c->timestamp_after_max_ms,
    };
    struct landing_reader plain;
    landing_read(&in->to, batch_header_bytes, &plain);
    struct reader *r = &plain.r;
    enum batch_codec codec = batch_codec(&in->h);
    if (codec != CODEC_NONE)
        r = unzip_open(shard->unzip, codec, r);
    int16_t err = validate_records(r, &in->h, &rules, &shard->result);
    if (codec != CODEC_NONE)
        unzip_close(shard->unzip);
    if (err)
        return err;
    if (shard->result.error_count > 0)
        return record_errors(a, &shard->result, &rules, codec != CODEC_NONE);
    in->max_timestamp = rules.log_append_time ? rules.now_ms : shard->result.max_timestamp_ms;
    if (rules.log_append_time)
        a->log_append_time_ms = rules.now_ms;
    return 0;
}

/* Kafka writes timestamp type and largest timestamp anew when they are not what it found. */
static void patch_timestamps(struct plog *p, struct incoming *in)
{
    uint8_t field[8];
    bool append_time = p->config.timestamp_type == PLOG_LOG_APPEND_TIME;
    bool is_append_time = in->h.attributes & batch_log_append_time;
    if (append_time == is_append_time && in->h.max_timestamp == in->max_timestamp)
        return;
    int16_t attributes = in->h.attributes & batch_attributes_known & ~batch_log_append_time;
    if (append_time)
        attributes |= batch_log_append_time;
    bytes_put_u16(field, (uint16_t)attributes);
    landing_patch(&in->to, BATCH_ATTRIBUTES, field, 2);
    bytes_put_u64(field, (uint64_t)in->max_timestamp);
    landing_patch(&in->to, BATCH_MAX_TIMESTAMP, field, 8);
    struct landing_reader all;
    uint32_t crc = 0;
    landing_read(&in->to, BATCH_ATTRIBUTES, &all);
    do {
        crc = crc32c(crc, all.r.p, (size_t)(all.r.end - all.r.p));
    } while (reader_more(&all.r));
    bytes_put_u32(field, crc);
    landing_patch(&in->to, BATCH_CRC, field, 4);
}

/* 0, an error, or -2 with *repeated set: the batch is one that the log has. */
static int16_t check_producer(struct plog *p, struct plog_append *a, struct incoming *in,
                              const struct producer_batch **repeated)
{
    const struct batch_header *h = &in->h;
    *repeated = NULL;
    if (h->producer_id < 0)
        return 0;
    in->producer = (struct producer_append){
        .producer_id = h->producer_id,
        .base_offset = p->end,
        .last_offset = p->end + h->last_delta,
        .max_timestamp_ms = in->max_timestamp,
        .base_sequence = h->base_sequence,
        .last_sequence =
            h->base_sequence < 0 ? -1 : batch_sequence_add(h->base_sequence, h->last_delta),
        .epoch = h->producer_epoch,
        .transactional = h->attributes & batch_transactional,
        .from_client = a->from_client,
    };
    if (h->attributes & batch_control)
        return 0;
    if (a->from_client) {
        *repeated = producers_duplicate(&p->producers, &in->producer);
        if (*repeated)
            return 0;
    }
    int16_t err = producers_check(&p->producers, &in->producer);
    if (err)
        return err;
    if (producers_reserve(&p->producers, h->producer_id) == 0)
        return 0;
    producers_expire(&p->producers, *p->env->wall_ms, p->config.producer_expiration_ms);
    return producers_reserve(&p->producers, h->producer_id) ? KERR_UNKNOWN_SERVER_ERROR : 0;
}

/* --- commit ----------------------------------------------------------------------------------- */

static void queue_push(struct plog *p, struct plog_append *a)
{
    a->next = NULL;
    a->end_total = p->appended_total;
    if (p->queue_tail)
        p->queue_tail->next = a;
    else
        p->queue_head = a;
    p->queue_tail = a;
}

/* A duplicate is acked like its original: with its offset, and not before that is durable. */
static int answer_repeated(struct plog *p, struct plog_append *a, const struct producer_batch *b)
{
    p->env->duplicates++;
    a->base_offset = b->last_offset - b->offset_delta;
    a->last_offset = b->last_offset;
    a->log_append_time_ms = b->timestamp_ms;
    a->log_start_offset = p->log_start;
    a->segment = NULL;
    if (b->last_offset < p->high_watermark || PLANT(REPEAT_EARLY)) {
        a->durable_ns = clock_mono_ns(p->env->clock);
        a->done(a);
        return 0;
    }
    queue_push(p, a);
    return 0;
}

/* The fresh chunks become the segment's; from here on the bytes count. */
static void place_chunks(struct plog *p, struct segment *s, struct landing *to)
{
    uint32_t at = s->size, end = s->size + to->bytes;
    struct chunk *chunk = to->first;
    struct region_place place = {
        .topic_id = p->topic_id,
        .partition = p->partition,
        .leader_epoch = p->leader_epoch,
        .base = s->base,
    };
    while (at < end) {
        uint32_t slot = at / tail_chunk_bytes, off = at % tail_chunk_bytes;
        uint32_t n = end - at < tail_chunk_bytes - off ? end - at : tail_chunk_bytes - off;
        if (s->chunks[slot] != chunk) {
            CHECK(s->chunks[slot] == NULL);
            s->chunks[slot] = chunk;
            s->chunk_count++;
            chunk->owner = s;
            chunk->file_pos = (int64_t)slot * tail_chunk_bytes;
            chunk->start = off;
        } else {
            chunk_dirty(p->env->cache, chunk);
        }
        chunk->used = off + n;
        CRASH_POINT();
        chunk_mark(p->env->cache, chunk, &place);
        CRASH_POINT();
        at += n;
        chunk = chunk->next;
    }
}

static void commit(struct plog *p, struct plog_append *a, struct incoming *in)
{
    struct segment *s = plog_active(p);
    int64_t last = p->end + in->h.last_delta;
    place_chunks(p, s, &in->to);
    segment_add(s, in->to.bytes, last, in->max_timestamp, p->config.index_interval_bytes);
    if (in->h.producer_id >= 0 && !(in->h.attributes & batch_control)) {
        producers_update(&p->producers, &in->producer);
        if (in->producer.transactional)
            p->first_unstable = producers_first_unstable(&p->producers);
    }
    a->base_offset = p->end;
    a->last_offset = last;
    a->log_start_offset = p->log_start;
    a->segment = s;
    a->end_position = s->size;
    a->appended_ns = clock_mono_ns(p->env->clock);
    p->end = last + 1;
    p->size_bytes += in->to.bytes;
    p->appended_total += in->to.bytes;
    p->env->appends++;
    p->env->append_bytes += in->to.bytes;
    queue_push(p, a);
    plog_grown(p);
    if (plog_store_acks(p))
        plog_complete(p);
}

/* The copied batch through all checks that need its bytes. Returns what plog_append returns. */
static int append_copied(struct plog *p, struct plog_append *a, struct incoming *in, uint32_t crc)
{
    const struct producer_batch *repeated = NULL;
    int16_t error = 0;
    bool marks_known = true;
    if (crc != in->h.crc) {
        error = KERR_CORRUPT_MESSAGE;
        marks_known = false;
    }
    if (error == 0)
        error = batch_check_fields(&in->h, a->from_client);
    if (error == 0)
        error = check_records(p, a, in);
    if (error == 0 && in->to.bytes > p->config.segment_bytes) {
        error = KERR_RECORD_LIST_TOO_LARGE;
        marks_known = false;
    }
    if (error == 0)
        error = check_producer(p, a, in, &repeated);
    if (error || repeated) {
        landing_undo(p, &in->to);
        if (error)
            a->log_append_time_ms = -1;
        return error ? answered(a, error, marks_known) : answer_repeated(p, a, repeated);
    }
    patch_timestamps(p, in);
    int err = 0;
    if (in->to.rolling)
        err = plog_roll(p);
    else if (plog_active(p)->size == 0)
        err = segment_widen(plog_active(p), (uint64_t)p->config.segment_bytes);
    if (err) {
        landing_undo(p, &in->to);
        return ERR_FULL;
    }
    commit(p, a, in);
    return 0;
}

int plog_append(struct plog *p, struct plog_append *a)
{
    struct incoming in;
    bool marks_known;
    a->plog = p;
    a->error = 0;
    a->error_message = NULL;
    a->base_offset = a->log_append_time_ms = a->log_start_offset = -1;
    a->record_error_count = 0;
    a->appended_ns = a->durable_ns = 0;
    if (p->failed)
        return answered(a, KERR_KAFKA_STORAGE_ERROR, false);
    if (p->state != PLOG_ATTACHED)
        return answered(a, KERR_NOT_LEADER_OR_FOLLOWER, false);

    if (space_refuses(p, a->from_client)) {
        a->error_message = "The log dir is nearly full: it takes no records until there is room.";
        return answered(a, KERR_KAFKA_STORAGE_ERROR, false);
    }
    struct batch_rules rules = {a->from_client, a->zstd_refused, p->config.max_message_bytes};
    int16_t error = batch_check(a->records, &rules, in.raw, &in.h, &marks_known);
    if (error)
        return answered(a, error, marks_known);

    int64_t max_timestamp =
        p->config.timestamp_type == PLOG_LOG_APPEND_TIME ? *p->env->wall_ms : in.h.max_timestamp;
    int64_t last = p->end + (in.h.last_delta > 0 ? in.h.last_delta : 0);
    in.to = (struct landing){
        .bytes = in.h.bytes,
        .rolling = plog_roll_needed(p, in.h.bytes, max_timestamp, last),
    };
    int err = landing_take(p, &in.to);
    if (err == ERR_TOO_LARGE)
        return answer_never_fits(a, in.to.bytes);
    if (err) {
        p->env->shard->pressed = true; /* what waits for a write need not wait longer */
        return err;
    }
    bytes_put_u64(in.raw + BATCH_BASE_OFFSET, (uint64_t)p->end);
    bytes_put_u32(in.raw + BATCH_LEADER_EPOCH, (uint32_t)p->leader_epoch);
    return append_copied(p, a, &in, landing_fill(&in.to, in.raw, a->records));
}
