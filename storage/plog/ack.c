/* Answers out: when the promise of an append holds, or never will. */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

/* Only those armed now: one that arms again from inside `fire` waits for the next time. */
void plog_fire(struct plog *p)
{
    struct plog_waiter *list = p->waiters;
    p->waiters = NULL;
    p->fire_wanted = false;
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
    a->durable_ns = clock_mono_ns(a->plog->env->clock);
    a->done(a);
}

/*
 * A failed plog holds no log memory, once the device is done with it; but bytes that were acked when
 * they were stored stay until the next start writes them.
 */
static void drop_chunks(struct plog *p)
{
    struct cache *cache = p->env->cache;
    uint32_t before = cache_kept(cache);
    for (uint32_t i = 0; i < p->segment_count; i++)
        segment_drop_chunks(p->segments[i], cache, plog_store_acks(p));
    if (cache_kept(cache) > before)
        log_warn("storage",
                 "%s/%s: acknowledged records stay in log memory until the next start writes them; "
                 "%u KiB of the shard's %u KiB are held so",
                 p->log_dir, p->name, cache_kept(cache) * (tail_chunk_bytes / 1024),
                 cache_size(cache) * (tail_chunk_bytes / 1024));
}

const char *plog_place(char out[plog_place_bytes_max], const char *what, const struct segment *s,
                       uint64_t at)
{
    snprintf(out, plog_place_bytes_max, "%s %020" PRId64 ".log at byte %" PRIu64, what, s->base,
             at);
    return out;
}

void plog_fail_alone(struct plog *p, int err, const char *what)
{
    if (p->failed)
        return;
    p->failed = true;
    p->failure = err;
    log_error("storage", "%s/%s: %s: %s; the partition is offline", p->log_dir, p->name, what,
              err_text(err));
    struct plog_append *a = p->queue_head;
    p->queue_head = p->queue_tail = NULL;
    while (a) {
        struct plog_append *next = a->next;
        answer(a, KERR_KAFKA_STORAGE_ERROR);
        a = next;
    }
    group_forget(p);
    plog_fire(p);
    plog_reads_give_up(p);
    plog_lookups_go(p);
    if (p->writes == NULL)
        drop_chunks(p);
}

void plog_fail(struct plog *p, int err, const char *what)
{
    plog_fail_alone(p, err, what);
    /* damage in its own files is the partition's alone: the disk does what it is told */
    if (p->disk_failed || err == ERR_CORRUPT || plog_err_is_want(err))
        return;
    p->disk_failed = true;
    if (p->env->disk_error)
        p->env->disk_error(p->env, p, err);
}

void plog_fail_flush(struct plog *p)
{
    int err = atomic_load_explicit(&p->flush_err, memory_order_acquire);
    if (err)
        plog_fail(p, err, "flushing");
}

/* The last write of a failed plog has ended. */
void plog_fail_end(struct plog *p)
{
    drop_chunks(p);
}

void plog_move_stable(struct plog *p)
{
    p->stable = p->high_watermark;
    if (p->first_unstable >= 0 && p->first_unstable < p->stable)
        p->stable = p->first_unstable < p->log_start ? p->log_start : p->first_unstable;
}

/* Marks first, then answers in order; the waiters follow from plog_env_run. */
void plog_complete(struct plog *p)
{
    uint64_t safe = p->journal.durable > p->written_total ? p->journal.durable : p->written_total;
    if (plog_store_acks(p) || PLANT(EARLY_ACK))
        safe = p->appended_total;
    struct plog_append *first = p->queue_head, *last = NULL;
    int64_t before = p->high_watermark;
    for (struct plog_append *a = first; a && a->end_total <= safe; a = a->next) {
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
    if (p->high_watermark != before) {
        p->fire_wanted = true;
        plog_mark_dirty(p);
    }
    while (first) {
        struct plog_append *next = first->next;
        answer(first, 0);
        first = next;
    }
}
