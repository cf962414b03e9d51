#include "tests/unit/dataplane/kafka/plog_double.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/kerr.h"

struct plog *plog_double_new(struct rte_mempool *pool)
{
    struct plog *p = calloc(1, sizeof(*p));
    CHECK(p != NULL);
    p->pool = pool;
    p->bytes = malloc(double_bytes_max);
    p->batches = malloc(double_batches_max * sizeof(*p->batches));
    CHECK(p->bytes != NULL && p->batches != NULL);
    p->epoch_count = 1;
    p->stable = -1;
    p->append_time_ms = -1;
    p->queue_end = &p->queue;
    p->reads_end = &p->reads;
    return p;
}

void plog_double_free(struct plog *p)
{
    if (p == NULL)
        return;
    CHECK(p->queue == NULL && p->reads == NULL && p->waiters == NULL);
    free(p->bytes);
    free(p->batches);
    free(p);
}

void plog_double_fire(struct plog *p)
{
    struct plog_waiter *list = p->waiters;
    p->waiters = NULL;
    if (list != NULL)
        list->prev = &list;
    while (list != NULL) {
        struct plog_waiter *w = list;
        plog_wait_cancel(w);
        w->fire(w);
    }
}

uint32_t plog_double_flush(struct plog *p)
{
    uint32_t n = 0;
    if (p->high_watermark != p->end) {
        p->high_watermark = p->end;
        plog_double_fire(p);
        n++;
    }
    while (p->queue != NULL) {
        struct plog_append *a = p->queue;
        p->queue = a->next;
        if (p->queue == NULL)
            p->queue_end = &p->queue;
        a->done(a);
        n++;
    }
    return n;
}

static void refuse(struct plog *p, struct plog_append *a)
{
    a->error = p->append_error;
    a->error_message = p->append_message;
    a->record_error_count = p->append_record_errors;
    for (uint32_t i = 0; i < a->record_error_count; i++)
        a->record_errors[i] = (struct plog_record_error){(int32_t)i * 3, i % 2 ? "odd" : NULL};
    a->log_start_offset = p->start;
    a->done(a);
}

int plog_append(struct plog *p, struct plog_append *a)
{
    if (p->no_memory)
        return ERR_FULL;
    p->appends++;
    a->base_offset = a->log_append_time_ms = a->log_start_offset = -1;
    a->record_error_count = 0;
    a->error_message = NULL;
    a->error = 0;
    if (p->append_error != 0) {
        refuse(p, a);
        return 0;
    }
    CHECK(p->used + a->records.len <= double_bytes_max && p->count < double_batches_max);
    CHECK(a->records.len >= 61);
    struct double_batch *b = &p->batches[p->count++];
    uint8_t *to = p->bytes + p->used;
    *b = (struct double_batch){.pos = p->used, .len = a->records.len, .base = p->end};
    chain_view_copy(a->records, to, a->records.len);
    bytes_put_u64(to, (uint64_t)p->end);
    b->last = p->end + bytes_get_i32(to + 23);
    b->max_ms = bytes_get_i64(to + 35);
    p->used += b->len;
    p->end = b->last + 1;
    a->base_offset = b->base;
    a->log_append_time_ms = p->append_time_ms;
    a->log_start_offset = p->start;
    a->next = NULL;
    *p->queue_end = a;
    p->queue_end = &a->next;
    return 0;
}

static int64_t visible_end(const struct plog *p, bool committed)
{
    return committed && p->stable >= 0 ? p->stable : p->high_watermark;
}

static void answer_read(struct plog *p, struct plog_read *r)
{
    r->high_watermark = p->high_watermark;
    r->last_stable_offset = visible_end(p, true);
    r->log_start_offset = p->start;
    r->error = p->failed                                    ? KERR_KAFKA_STORAGE_ERROR
               : r->offset < p->start || r->offset > p->end ? KERR_OFFSET_OUT_OF_RANGE
                                                            : 0;
    chain_init(&r->data);
    int64_t end = visible_end(p, r->read_committed);
    for (uint32_t i = 0; i < p->count && r->error == 0; i++) {
        const struct double_batch *b = &p->batches[i];
        if (b->last < r->offset || b->base >= end)
            continue;
        bool first = r->data.bytes == 0 && r->min_one;
        if (!first && r->data.bytes + b->len > r->max_bytes)
            break;
        CHECK(chain_append_bytes(&r->data, p->pool, p->bytes + b->pos, b->len) == 0);
    }
    r->done(r);
}

void plog_read(struct plog *p, struct plog_read *r)
{
    p->read_calls++;
    if (!p->hold_reads) {
        answer_read(p, r);
        return;
    }
    r->next = NULL;
    *p->reads_end = r;
    p->reads_end = &r->next;
}

uint32_t plog_double_release_reads(struct plog *p)
{
    uint32_t n = 0;
    while (p->reads != NULL) {
        struct plog_read *r = p->reads;
        p->reads = r->next;
        if (p->reads == NULL)
            p->reads_end = &p->reads;
        answer_read(p, r);
        n++;
    }
    return n;
}

void plog_marks(const struct plog *p, struct plog_marks *out)
{
    *out = (struct plog_marks){
        .log_start = p->start,
        .stable = visible_end(p, true),
        .high_watermark = p->high_watermark,
        .durable = p->high_watermark,
        .end = p->end,
        .leader_epoch = p->epochs[p->epoch_count - 1].epoch,
        .size_bytes = p->used,
        .failed = p->failed,
    };
}

uint64_t plog_readable(const struct plog *p, int64_t offset, bool read_committed)
{
    uint64_t n = 0;
    int64_t end = visible_end(p, read_committed);
    for (uint32_t i = 0; i < p->count; i++)
        if (p->batches[i].last >= offset && p->batches[i].base < end)
            n += p->batches[i].len;
    return n;
}

void plog_wait(struct plog *p, struct plog_waiter *w)
{
    p->waits++;
    w->next = p->waiters;
    w->prev = &p->waiters;
    if (w->next != NULL)
        w->next->prev = &w->next;
    p->waiters = w;
}

void plog_wait_cancel(struct plog_waiter *w)
{
    if (w->prev == NULL)
        return;
    *w->prev = w->next;
    if (w->next != NULL)
        w->next->prev = w->prev;
    w->prev = NULL;
}

void plog_time_lookup(struct plog *p, struct plog_time_lookup *l)
{
    l->error = p->failed ? KERR_KAFKA_STORAGE_ERROR : p->lookup_error;
    l->offset = l->found_timestamp_ms = -1;
    l->leader_epoch = -1;
    const struct double_batch *found = NULL;
    for (uint32_t i = 0; i < p->count && l->error == 0; i++) {
        const struct double_batch *b = &p->batches[i];
        if (l->timestamp_ms == PLOG_TIME_MAX) {
            if (found == NULL || b->max_ms > found->max_ms)
                found = b;
        } else if (found == NULL && b->max_ms >= l->timestamp_ms) {
            found = b;
        }
    }
    if (found != NULL) {
        l->offset = found->base;
        l->found_timestamp_ms = found->max_ms;
        l->leader_epoch = plog_epoch_at(p, found->base);
    }
    l->done(l);
}

void plog_epoch_end(const struct plog *p, int32_t epoch, int32_t *found_epoch, int64_t *end_offset)
{
    *found_epoch = -1;
    *end_offset = -1;
    for (uint32_t i = 0; i < p->epoch_count; i++) {
        if (p->epochs[i].epoch > epoch)
            break;
        *found_epoch = p->epochs[i].epoch;
        *end_offset = i + 1 < p->epoch_count ? p->epochs[i + 1].start : p->end;
    }
    if (epoch > p->epochs[p->epoch_count - 1].epoch) {
        *found_epoch = -1;
        *end_offset = -1;
    }
}

int32_t plog_epoch_at(const struct plog *p, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < p->epoch_count && p->epochs[i].start <= offset; i++)
        epoch = p->epochs[i].epoch;
    return epoch;
}
