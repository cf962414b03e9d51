/* What must be in a partition's log, and the comparison. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "storage/plog/batch.h"
#include "tests/sim/sim.h"

#define record_overhead_max 64
#define record_small_max    200

/* ---- batches ---- */

static uint8_t *put_record(uint8_t *at, uint32_t delta, uint64_t serial, uint32_t value_bytes)
{
    uint8_t body[record_overhead_max];
    size_t n = 0;
    body[n++] = 0;
    n += bytes_put_varint64(body + n, 0);
    n += bytes_put_varint32(body + n, (int32_t)delta);
    n += bytes_put_varint32(body + n, 8);
    bytes_put_u64(body + n, serial);
    n += 8;
    n += bytes_put_varint32(body + n, (int32_t)value_bytes);
    at += bytes_put_varint32(at, (int32_t)(n + value_bytes + 1));
    memcpy(at, body, n);
    at += n;
    struct rng filler;
    rng_seed(&filler, serial * 31 + delta);
    rng_fill(&filler, at, value_bytes);
    at += value_bytes;
    *at++ = 0; /* headers */
    return at;
}

/* The largest batch that the topic takes now, for a shard's log memory is small. */
static uint32_t batch_bytes_most(const struct sim_topic *t)
{
    int64_t most = 100000;
    if (t->config.segment_bytes < most)
        most = t->config.segment_bytes;
    return (uint32_t)(t->config.max_message_bytes < most ? t->config.max_message_bytes : most);
}

struct sim_batch *batch_new(struct world *w, struct sim_topic *t, const struct sim_flow *f,
                            int64_t timestamp_ms)
{
    struct sim_batch *b = calloc(1, sizeof(*b));
    CHECK(b != NULL);
    uint32_t most = batch_bytes_most(t);
    b->records = 1 + (uint32_t)rng_below(&w->rng, 4);
    uint32_t room = (most - batch_header_bytes) / b->records - record_overhead_max;
    uint32_t limit = rng_below(&w->rng, w->o.large_one_in) == 0 || room < record_small_max
                         ? room
                         : record_small_max;
    b->bytes = calloc(1, batch_header_bytes + b->records * (limit + record_overhead_max));
    CHECK(b->bytes != NULL);
    b->serial = ++w->serials;
    b->base = -1;
    b->refs = 1;
    uint8_t *h = b->bytes, *at = h + batch_header_bytes;
    for (uint32_t i = 0; i < b->records; i++)
        at = put_record(at, i, b->serial, (uint32_t)rng_below(&w->rng, limit));
    b->size = (uint32_t)(at - h);
    if (b->size > t->batch_most)
        t->batch_most = b->size;
    bytes_put_u32(h + BATCH_LENGTH, b->size - batch_overhead_bytes);
    bytes_put_u32(h + BATCH_LEADER_EPOCH, UINT32_MAX);
    h[BATCH_MAGIC] = 2;
    bytes_put_u32(h + BATCH_LAST_DELTA, b->records - 1);
    bytes_put_u64(h + BATCH_BASE_TIMESTAMP, (uint64_t)timestamp_ms);
    bytes_put_u64(h + BATCH_MAX_TIMESTAMP, (uint64_t)timestamp_ms);
    bytes_put_u64(h + BATCH_PRODUCER_ID, (uint64_t)f->id);
    bytes_put_u16(h + BATCH_PRODUCER_EPOCH, f->id < 0 ? UINT16_MAX : 0);
    bytes_put_u32(h + BATCH_BASE_SEQUENCE, f->id < 0 ? UINT32_MAX : (uint32_t)f->sequence);
    bytes_put_u32(h + BATCH_COUNT, b->records);
    bytes_put_u32(h + BATCH_CRC, crc32c(0, h + BATCH_ATTRIBUTES, b->size - BATCH_ATTRIBUTES));
    return b;
}

void batch_release(struct sim_batch *b)
{
    if (b == NULL || --b->refs > 0)
        return;
    free(b->bytes);
    free(b);
}

/* ---- the log ---- */

void model_accept(struct world *w, struct sim_part *p, struct sim_batch *b, int32_t epoch)
{
    MUST(w, p->count < sim_log_max, "the model is full");
    b->base = p->end;
    p->end += b->records;
    bytes_put_u64(b->bytes + BATCH_BASE_OFFSET, (uint64_t)b->base);
    bytes_put_u32(b->bytes + BATCH_LEADER_EPOCH, (uint32_t)epoch);
    b->refs++;
    p->log[p->count++] = b;
}

static void forget_from(struct sim_part *p, uint32_t count)
{
    while (p->count > count) {
        struct sim_batch *b = p->log[--p->count];
        b->base = -1;
        bytes_put_u64(b->bytes + BATCH_BASE_OFFSET, 0);
        batch_release(b);
    }
}

static void flow_clear(struct sim_flow *f)
{
    for (uint32_t i = 0; i < f->open_count; i++)
        batch_release(f->open[i]);
    batch_release(f->newest);
    f->newest = NULL;
    f->open_count = f->sent = 0;
}

void model_clear(struct sim_part *p)
{
    for (uint32_t i = 0; i < sim_flows_max; i++)
        flow_clear(&p->flows[i]);
    forget_from(p, 0);
    p->end = p->acked = p->seen = p->flushed = p->deleted = p->start_at = p->asked = 0;
}

/* Retention took what is before the log start: by age, or with as much left as it must leave. */
static void retention_may(struct world *w, const struct sim_part *p, int64_t log_start)
{
    int64_t left = 0;
    for (uint32_t i = p->count; i-- > 0 && p->log[i]->base >= log_start;)
        left += p->log[i]->size;
    MUST(w, w->o.retention_ms >= 0 || (w->o.retention_bytes >= 0 && left >= w->o.retention_bytes),
         "log start %" PRId64 ", asked was %" PRId64 "; %" PRId64 " bytes are left", log_start,
         p->asked, left);
}

void model_marks(struct world *w, struct sim_part *p)
{
    struct plog_marks m;
    plog_marks(p->plog, &m);
    if (m.log_start > p->start_at && m.log_start > p->asked)
        retention_may(w, p, m.log_start);
    if (m.log_start > p->start_at)
        p->start_at = m.log_start;
    if (m.failed)
        MUST(w, w->broken || w->disk.dead, "a partition failed without saying so");
    MUST(w, m.log_start <= m.stable && m.stable <= m.high_watermark && m.high_watermark <= m.end,
         "marks %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64, m.log_start, m.stable,
         m.high_watermark, m.end);
    if (w->disk.dead)
        return;
    MUST(w, m.log_start >= p->deleted, "log start %" PRId64 ", %" PRId64 " was deleted up to",
         m.log_start, p->deleted);
}

/* The live log: nothing but what the model accepted. */
static void marks_live(struct world *w, struct sim_part *p, const struct plog_marks *m)
{
    MUST(w, m->end == p->end, "the log ends at %" PRId64 ", the model at %" PRId64, m->end, p->end);
    MUST(w, m->high_watermark == m->end, "the high watermark is %" PRId64 " of %" PRId64,
         m->high_watermark, m->end);
}

void model_bytes(struct world *w, struct sim_part *p, int64_t offset, const uint8_t *bytes,
                 uint64_t n, int64_t end)
{
    uint32_t i = 0;
    uint64_t at = 0;
    while (i < p->count && p->log[i]->base + p->log[i]->records <= offset)
        i++;
    for (; at < n && i < p->count && p->log[i]->base < end; i++) {
        const struct sim_batch *b = p->log[i];
        uint64_t some = n - at < b->size ? n - at : b->size;
        MUST(w, memcmp(bytes + at, b->bytes, some) == 0,
             "offset %" PRId64 ": other bytes than the batch at %" PRId64 " (serial %" PRIu64 ")",
             offset, b->base, b->serial);
        at += some;
    }
    MUST(w, at == n, "offset %" PRId64 ": %" PRIu64 " bytes that nobody wrote", offset, n - at);
}

/* ---- after a start ---- */

static void read_done(struct plog_read *r)
{
    ((struct sim_read *)r)->done = true;
}

static void find(struct world *w, struct sim_part *p, const struct batch_header *h,
                 const uint8_t *bytes)
{
    uint32_t i = 0;
    while (i < p->count && p->log[i]->base != h->base_offset)
        i++;
    MUST(w,
         i < p->count && p->log[i]->size == h->bytes &&
             memcmp(bytes, p->log[i]->bytes, h->bytes) == 0,
         "nobody wrote the batch at %" PRId64, h->base_offset);
    p->log[i]->found = true;
}

/* True if the model has a batch in [offset, end). */
static bool expected(const struct sim_part *p, int64_t offset, int64_t end)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (p->log[i]->base + p->log[i]->records > offset && p->log[i]->base < end)
            return true;
    return false;
}

/* Returns the offset behind the last whole batch of the answer. */
static int64_t read_step(struct world *w, struct sim_part *p, int64_t offset, int64_t end,
                         bool lossy)
{
    struct sim_read r = {
        .read = {.offset = offset, .max_bytes = 50000, .min_one = true, .done = read_done}};
    agent_enter(&w->shards[p->shard].agent);
    plog_read(p->plog, &r.read);
    for (uint32_t i = 0; !r.done && i < sim_settle_max; i++)
        world_settle(w);
    MUST(w, r.done, "a read without an answer");
    if (r.read.error == KERR_KAFKA_STORAGE_ERROR && (w->o.faults || w->o.space))
        w->broken = true; /* the partition alone, until the next start */
    if (w->disk.dead || w->broken) {
        chain_free(&r.read.data);
        return end;
    }
    uint64_t n = r.read.data.bytes, at = 0;
    if (r.read.error == 0 && n == 0 &&
        (lossy || !expected(p, offset, end))) /* offsets that a lossy crash took, up to the end */
        return end;
    MUST(w, r.read.error == 0 && n > 0, "reading %" PRId64 ": error %d, %" PRIu64 " bytes", offset,
         r.read.error, n);
    uint8_t *bytes = malloc(n);
    CHECK(bytes != NULL);
    chain_copy_out(&r.read.data, 0, bytes, n);
    chain_free(&r.read.data);
    if (!lossy)
        model_bytes(w, p, offset, bytes, n, end);
    while (at + batch_header_bytes <= n) {
        struct batch_header h;
        batch_decode(bytes + at, &h);
        if (h.bytes > n - at)
            break;
        if (lossy)
            find(w, p, &h, bytes + at);
        at += h.bytes;
        offset = batch_last_offset(&h) + 1;
    }
    free(bytes);
    MUST(w, at > 0, "reading %" PRId64 ": no whole batch", offset);
    return offset;
}

/* Its newest batch may be gone: then it is the last unanswered one that is there. */
static void newest_left(struct sim_flow *f)
{
    if (f->newest == NULL || f->newest->base >= 0)
        return;
    batch_release(f->newest);
    f->newest = NULL;
    for (uint32_t i = f->open_count; i-- > 0 && f->newest == NULL;) {
        if (f->open[i]->base < 0)
            continue;
        f->newest = f->open[i];
        f->newest->refs++;
    }
}

/* Which of the accepted batches are there is decided now: a front part of them. */
static void follow(struct world *w, struct sim_part *p, const struct plog_marks *m)
{
    uint32_t count = p->count;
    while (count > 0 && p->log[count - 1]->base >= m->end)
        count--;
    forget_from(p, count);
    int64_t end = count ? p->log[count - 1]->base + p->log[count - 1]->records : m->log_start;
    /* behind offsets that a lossy crash left empty an empty segment may be the last */
    bool gap = w->gaps && m->end > end;
    MUST(w, m->end == end || count == 0 || gap, "the log ends at %" PRId64 " in a batch", m->end);
    p->end = m->end;
    for (uint32_t i = 0; i < sim_flows_max; i++)
        newest_left(&p->flows[i]);
}

/* What was flushed is there; but for a disk whose flushes fail, and what they covered after that. */
static void flushed_there(struct world *w, const struct sim_part *p, const struct plog_marks *m)
{
    for (uint32_t i = 0; i < p->count && !w->o.faults && !w->o.space; i++) {
        const struct sim_batch *b = p->log[i];
        int64_t next = b->base + b->records;
        MUST(w, b->found || next <= m->log_start || next > p->flushed,
             "flushed up to %" PRId64 ", the batch at %" PRId64 " is gone", p->flushed, b->base);
    }
}

/*
 * A power cut in `os` mode: any of them may be gone that was not flushed, but what is there is whole
 * and in its place. Producers begin anew.
 */
static void follow_lossy(struct world *w, struct sim_part *p, const struct plog_marks *m)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sim_flows_max; i++) {
        flow_clear(&p->flows[i]);
        p->flows[i] = (struct sim_flow){.id = i ? w->producer_ids++ : -1};
    }
    for (uint32_t i = 0; i < p->count; i++)
        p->log[i]->found = false;
    for (int64_t at = m->log_start; at < m->end && !w->disk.dead && !w->broken;)
        at = read_step(w, p, at, m->end, true);
    if (w->disk.dead || w->broken)
        return;
    flushed_there(w, p, m);
    for (uint32_t i = 0; i < p->count; i++) {
        struct sim_batch *b = p->log[i];
        if (b->found)
            p->log[kept++] = b;
        else
            batch_release(b);
    }
    p->count = kept;
    p->end = m->end;
    p->acked = p->seen = m->end;
    p->deleted = m->log_start;
}

void model_front(struct world *w, const struct sim_part *p)
{
    struct plog_marks m;
    plog_marks(p->plog, &m);
    MUST(w, m.log_start <= p->start_at,
         "log start %" PRId64 ", nobody asked for more than %" PRId64, m.log_start, p->start_at);
}

void model_read_all(struct world *w, struct sim_part *p)
{
    struct plog_marks m;
    plog_marks(p->plog, &m);
    for (int64_t at = m.log_start; at < m.high_watermark && !w->disk.dead && !w->broken;)
        at = read_step(w, p, at, m.high_watermark, false);
}

/* Where the last batch ends that was acknowledged; those behind it are under way. */
static int64_t acked_last(const struct sim_part *p)
{
    for (uint32_t i = p->count; i-- > 0;)
        if (p->log[i]->base + p->log[i]->records <= p->acked)
            return p->log[i]->base + p->log[i]->records;
    return 0;
}

void model_recovered(struct world *w, struct sim_part *p)
{
    struct plog_marks m;
    if (w->disk.dead)
        return;
    plog_marks(p->plog, &m);
    if (!w->lossy) {
        /* offsets that a lossy crash left empty at the end may be given out again */
        int64_t last = acked_last(p);
        if (w->gaps && p->acked > last)
            p->acked = last;
        if (w->gaps && p->seen > last)
            p->seen = last;
        MUST(w, m.end >= p->acked, "acked up to %" PRId64 ", there is %" PRId64, p->acked, m.end);
        MUST(w, m.end >= p->seen, "read up to %" PRId64 ", there is %" PRId64, p->seen, m.end);
        MUST(w, m.log_start >= p->deleted, "deleted up to %" PRId64 ", back at %" PRId64,
             p->deleted, m.log_start);
    }
    MUST(w, m.end <= p->end, "the log ends at %" PRId64 ", accepted was %" PRId64, m.end, p->end);
    if (w->lossy)
        follow_lossy(w, p, &m);
    else
        follow(w, p, &m);
    if (w->disk.dead || w->broken)
        return;
    marks_live(w, p, &m);
    model_read_all(w, p);
    if (!w->disk.dead && !w->broken)
        p->seen = m.end;
}
