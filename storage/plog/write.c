/* Bytes to the disk, answers out. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/plog/plog_internal.h"

void plog_mark_dirty(struct plog *p)
{
    struct plog_env *env = p->env;
    if (p->dirty)
        return;
    p->dirty = true;
    p->dirty_next = NULL;
    if (env->dirty_tail)
        env->dirty_tail->dirty_next = p;
    else
        env->dirty_head = p;
    env->dirty_tail = p;
}

uint32_t plog_env_run(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct plog_env *env = ctx;
    uint32_t done = 0;
    struct plog *last = env->dirty_tail;
    while (env->dirty_head && done < budget) {
        struct plog *p = env->dirty_head;
        env->dirty_head = p->dirty_next;
        if (env->dirty_head == NULL)
            env->dirty_tail = NULL;
        p->dirty = false;
        done++;
        plog_write(p);
        if (p->state == PLOG_DETACHING)
            plog_detach_try(p); /* p may be gone now */
        if (p == last)
            break;
    }
    return done;
}

/* Only those armed now: one that arms again from inside `fire` waits for the next time. */
void plog_fire(struct plog *p)
{
    struct plog_waiter *list = p->waiters;
    p->waiters = NULL;
    if (list)
        list->prev = &list;
    while (list) {
        struct plog_waiter *w = list;
        plog_wait_cancel(w);
        w->fire(w);
    }
}

static void answer(struct plog_append *a, int16_t error)
{
    if (error) {
        a->error = error;
        a->error_message = NULL;
        a->base_offset = -1;
        a->log_append_time_ms = -1;
        a->log_start_offset = -1;
    }
    a->durable_ns = *a->plog->env->now_ns;
    a->done(a);
}

/* A failed plog holds no log memory, once the device is done with it. */
static void drop_chunks(struct plog *p)
{
    if (p->writing)
        return;
    for (uint32_t i = 0; i < p->segment_count; i++)
        segment_drop_chunks(p->segments[i], p->env->cache);
}

void plog_fail(struct plog *p, int err, const char *what)
{
    if (p->failed)
        return;
    p->failed = true;
    log_error("storage", "%s/%s: %s: %s; the partition is offline", p->log_dir, p->name, what,
              err_text(err));
    struct plog_append *a = p->queue_head;
    p->queue_head = p->queue_tail = NULL;
    while (a) {
        struct plog_append *next = a->next;
        answer(a, KERR_KAFKA_STORAGE_ERROR);
        a = next;
    }
    plog_fire(p);
    plog_reads_give_up(p);
    drop_chunks(p);
    if (p->env->disk_error)
        p->env->disk_error(p->env, p, err);
}

void plog_move_stable(struct plog *p)
{
    p->stable = p->high_watermark;
    if (p->first_unstable >= 0 && p->first_unstable < p->stable)
        p->stable = p->first_unstable < p->log_start ? p->log_start : p->first_unstable;
}

/* What the completed writes cover is durable: marks first, then answers in order, then waiters. */
static void complete_appends(struct plog *p)
{
    struct plog_append *first = p->queue_head, *last = NULL;
    int64_t before = p->high_watermark;
    for (struct plog_append *a = first; a && a->end_total <= p->written_total; a = a->next) {
        last = a;
        if (a->segment == NULL)
            continue; /* a duplicate of what is durable by now */
        p->high_watermark = a->last_offset + 1;
        p->visible = a->segment;
        p->visible_end = a->end_position;
    }
    if (last == NULL)
        return;
    p->queue_head = last->next;
    if (p->queue_head == NULL)
        p->queue_tail = NULL;
    last->next = NULL;
    plog_move_stable(p);
    plog_check(p);
    while (first) {
        struct plog_append *next = first->next;
        answer(first, 0);
        first = next;
    }
    if (p->high_watermark != before)
        plog_fire(p);
}

/* Written chunks may be evicted; the last one as well, until something is appended to it. */
static void clean_chunks(struct plog *p, struct segment *s, uint32_t from)
{
    for (uint32_t slot = from / tail_chunk_bytes; slot < s->chunk_slots; slot++) {
        struct chunk *chunk = s->chunks[slot];
        uint64_t end = (uint64_t)slot * tail_chunk_bytes;
        if (chunk == NULL || end + chunk->used > s->written)
            break;
        chunk_clean(p->env->cache, chunk);
    }
}

/* --- flush.messages and flush.ms, which add to PLOG_OS ---------------------------------------- */

static void flush_done(struct io_req *req, int64_t result)
{
    struct plog *p = (struct plog *)((char *)req - offsetof(struct plog, flush));
    struct segment *s = p->flushing;
    p->flushing = NULL;
    segment_unpin(s);
    if (result < 0)
        plog_fail(p, (int)result, "flushing");
    else if (p->flush_target > p->flushed)
        p->flushed = p->flush_target;
    plog_detach_try(p);
}

static void flush_start(struct plog *p)
{
    struct segment *s = p->visible;
    if (p->flushing || p->failed || s->file == NULL || p->flushed >= p->high_watermark)
        return;
    p->flushing = s;
    s->pins++;
    p->flush_target = p->high_watermark;
    /* earlier segments are flushed by their seal, or not yet: then the mark stays before them */
    for (uint32_t i = p->segment_count; i-- > 0;)
        if (p->segments[i]->base < s->base && !p->segments[i]->sealed)
            p->flush_target = p->flushed;
    p->flush = (struct io_req){.op = IO_FLUSH, .file = s->file, .done = flush_done};
    io_submit(p->env->io, &p->flush);
}

static void flush_arm(struct plog *p)
{
    const int64_t longest_ms = INT64_MAX / CLOCK_NS_PER_MS / 4;
    if (p->state != PLOG_ATTACHED || p->config.flush_ms > longest_ms ||
        wheel_armed(&p->flush_timer))
        return;
    p->flush_timer.fire = plog_flush_timer;
    wheel_arm(p->env->wheel, &p->flush_timer,
              *p->env->now_ns + p->config.flush_ms * CLOCK_NS_PER_MS);
}

void plog_flush_timer(struct wheel_timer *timer, int64_t now_ns)
{
    flush_start((struct plog *)((char *)timer - offsetof(struct plog, flush_timer)));
}

/* --- writes ----------------------------------------------------------------------------------- */

static void write_done(struct io_req *req, int64_t result)
{
    struct plog *p = (struct plog *)((char *)req - offsetof(struct plog, write));
    struct segment *s = p->writing;
    p->writing = NULL;
    if (result < 0)
        plog_fail(p, (int)result, "writing");
    if (p->failed) {
        drop_chunks(p);
        plog_detach_try(p);
        return;
    }
    uint32_t from = s->written;
    s->written += (uint32_t)result;
    p->written_total += (uint64_t)result;
    clean_chunks(p, s, from);
    if (s != plog_active(p))
        segment_seal(s);
    plog_mark_dirty(p);
    complete_appends(p);
    if (p->env->durability == PLOG_OS) {
        flush_arm(p);
        if (p->high_watermark - p->flushed >= p->config.flush_messages)
            flush_start(p);
    }
    plog_detach_try(p);
}

/* The oldest segment with bytes to write: unwritten bytes are at the end of the log. */
static struct segment *write_segment(const struct plog *p)
{
    uint32_t i = p->segment_count - 1;
    while (i > 0 && p->segments[i - 1]->written < p->segments[i - 1]->size)
        i--;
    return p->segments[i];
}

void plog_write(struct plog *p)
{
    if (p->failed || p->writing || p->state == PLOG_DETACHED)
        return;
    struct segment *s = write_segment(p);
    if (s->file == NULL || s->written == s->size)
        return;
    uint32_t at = s->written, n = 0;
    while (at < s->size && n < plog_write_chunks_max) {
        struct chunk *chunk = s->chunks[at / tail_chunk_bytes];
        uint32_t off = at % tail_chunk_bytes;
        CHECK(chunk != NULL && off >= chunk->start && off < chunk->used);
        p->write_iov[n++] = (struct iovec){chunk->data + off, chunk->used - off};
        at += chunk->used - off;
    }
    p->writing = s;
    p->write = (struct io_req){
        .op = IO_WRITE,
        .durable = p->env->durability == PLOG_FSYNC,
        .file = s->file,
        .iov = p->write_iov,
        .iov_count = n,
        .offset = s->written,
        .bytes = at - s->written,
        .done = write_done,
    };
    p->env->writes++;
    io_submit(p->env->io, &p->write);
}
