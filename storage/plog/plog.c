/* Life on the shard: attach, marks, waiters, detach. */
#include "storage/plog/plog.h"

#include <stdlib.h>

#include "base/check.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

/* The numbered invariants of plog.h, those that a look at the marks can check. */
void plog_check(const struct plog *p)
{
    CHECK(p->log_start <= p->stable && p->stable <= p->high_watermark);
    CHECK(p->high_watermark <= p->end);
    CHECK(p->segment_count > 0 && p->visible != NULL);
    bool ahead = plog_store_acks(p) || p->journal.durable > p->written_total;
    CHECK(p->visible_end <= (ahead ? p->visible->size : p->visible->written));
    const struct segment *active = plog_active(p);
    CHECK(active->next == p->end && active->written <= active->submitted);
    CHECK(active->submitted <= active->size);
}

static void shard_writes(struct plog_shard *shard)
{
    shard->writes = calloc(plog_shard_writes_max, sizeof(*shard->writes));
    shard->write_blocks =
        aligned_alloc(write_block_bytes, (size_t)plog_shard_writes_max * write_block_bytes);
    CHECK(shard->writes != NULL && shard->write_blocks != NULL);
    for (uint32_t i = 0; i < plog_shard_writes_max; i++) {
        shard->writes[i].block = shard->write_blocks + (size_t)i * write_block_bytes;
        shard->writes[i].next = shard->writes_free;
        shard->writes_free = &shard->writes[i];
    }
}

static struct plog_shard *shard_new(struct plog_env *env)
{
    struct plog_shard *shard = calloc(1, sizeof(*shard));
    CHECK(shard != NULL);
    shard->ops = calloc(plog_reads_max, sizeof(*shard->ops));
    CHECK(shard->ops != NULL && unzip_new(&shard->unzip) == 0);
    for (uint32_t i = 0; i < plog_reads_max; i++) {
        shard->ops[i].next = shard->ops_free;
        shard->ops_free = &shard->ops[i];
    }
    shard->open_tail = &shard->open;
    shard->lazy_tail = &shard->lazy;
    shard->large_tail = &shard->large_waiting;
    shard->wrote_ns = INT64_MIN / 2;
    CHECK(streams_init(&shard->streams, env) == 0);
    shard_writes(shard);
    return shard;
}

void plog_env_shard(struct plog_env *env)
{
    if (env->shard == NULL)
        env->shard = shard_new(env); /* at start: before the first plog of the shard is attached */
}

void plog_env_fini(struct plog_env *env)
{
    if (env == NULL || env->shard == NULL)
        return;
    wheel_cancel(env->wheel, &env->shard->lazy_timer);
    group_fini(env);
    space_fini(env->shard);
    unzip_free(env->shard->unzip);
    streams_fini(&env->shard->streams);
    free(env->shard->ops);
    free(env->shard->writes);
    free(env->shard->write_blocks);
    free(env->shard);
    env->shard = NULL;
}

void plog_reads_chunks(const struct plog_env *env, uint32_t *all, uint32_t *free)
{
    struct cache_stats stats = {0};
    if (env->shard)
        cache_stats(env->shard->streams.memory, &stats);
    *all = stats.chunks;
    *free = stats.free;
}

void plog_attach(struct plog *p, struct plog_env *env)
{
    CHECK(p->state == PLOG_OPENED || p->state == PLOG_DETACHED);
    plog_env_shard(env);
    p->env = env;
    p->state = PLOG_ATTACHED;
    group_attach(p);
    space_attach(p);
    plog_retention_arm(p);
    plog_check(p);
}

void plog_configure(struct plog *p, const struct plog_config *config)
{
    p->config = *config;
}

/* --- detach ----------------------------------------------------------------------------------- */

/*
 * Calls done when nothing is under way. Only plog_env_run gets that far, so never from inside
 * plog_detach.
 */
void plog_detach_try(struct plog *p)
{
    if (p->state != PLOG_DETACHING)
        return;
    if (p->jobs > 0 || p->reads > 0 || p->writes || p->flushing)
        return;
    if (!p->failed && p->written_total < p->appended_total)
        return;
    if (p->dirty)
        return; /* comes back from plog_env_run */
    struct plog_detach *d = p->detach;
    if (d == NULL)
        return;
    p->detach = NULL;
    plog_lazy_remove(p);
    group_detach(p);
    bool keep = plog_store_acks(p) && !d->removing;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        segment_drop_chunks(p->segments[i], p->env->cache, keep);
        segment_unlist(p->segments[i]);
    }
    if (d->removing) /* what it kept when it failed */
        cache_drop_kept(p->env->cache, &p->topic_id, p->partition);
    p->state = PLOG_DETACHED;
    d->done(d);
}

void plog_detach(struct plog *p, struct plog_detach *d)
{
    CHECK(p->state == PLOG_ATTACHED);
    p->state = PLOG_DETACHING;
    p->detach = d;
    group_forget(p); /* from here on everything goes to the segments */
    wheel_cancel(p->env->wheel, &p->retention_timer);
    wheel_cancel(p->env->wheel, &p->flush_timer);
    for (struct segment *s = p->doomed; s; s = s->next_doomed)
        wheel_cancel(p->env->wheel, &s->unlink_timer);
    plog_mark_dirty(p); /* done comes from plog_env_run, not from what is answered here */
    plog_fire(p);
    plog_reads_give_up(p);
}

/* --- marks ------------------------------------------------------------------------------------ */

void plog_marks(const struct plog *p, struct plog_marks *out)
{
    *out = (struct plog_marks){
        .log_start = p->log_start,
        .stable = p->stable,
        .high_watermark = p->high_watermark,
        .durable = p->high_watermark,
        .end = p->end,
        .leader_epoch = p->leader_epoch,
        .size_bytes = p->size_bytes,
        .failed = p->failed,
    };
}

uint64_t plog_readable(const struct plog *p, int64_t offset, bool read_committed)
{
    int64_t limit = read_committed ? p->stable : p->high_watermark;
    if (p->failed || offset >= limit)
        return 0;
    uint32_t i = plog_segment_at(p, offset);
    const struct segment *s = p->segments[i];
    uint64_t bytes = segment_visible(s);
    uint32_t at = s->loaded && offset > s->base
                      ? offset_index_lookup(&s->offsets, (uint32_t)(offset - s->base))
                      : 0;
    bytes = bytes > at ? bytes - at : 0;
    while (++i < p->segment_count && bytes < segment_bytes_max)
        bytes += segment_visible(p->segments[i]);
    return bytes ? bytes : 1;
}

void plog_wait(struct plog *p, struct plog_waiter *w)
{
    CHECK(w->prev == NULL);
    w->next = p->waiters;
    w->prev = &p->waiters;
    if (w->next)
        w->next->prev = &w->next;
    p->waiters = w;
}

void plog_wait_cancel(struct plog_waiter *w)
{
    if (w->prev == NULL)
        return;
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->prev = NULL;
}

void plog_epoch_end(const struct plog *p, int32_t epoch, int32_t *found_epoch, int64_t *end_offset)
{
    epochs_end(&p->epochs, epoch, p->end, found_epoch, end_offset);
}

int32_t plog_epoch_at(const struct plog *p, int64_t offset)
{
    return epochs_at(&p->epochs, offset);
}

uint32_t plog_producers(const struct plog *p, struct plog_producer *out, uint32_t max)
{
    const struct producers *all = &p->producers;
    for (uint32_t i = 0; i < all->count && i < max; i++) {
        const struct producer *e = &all->entries[i];
        const struct producer_batch *last = producer_last(e);
        out[i] = (struct plog_producer){
            .producer_id = e->id,
            .last_timestamp_ms = e->last_timestamp_ms,
            .current_txn_start_offset = e->txn_first_offset,
            .producer_epoch = e->epoch,
            .last_sequence = last ? last->last_sequence : -1,
            .coordinator_epoch = e->coordinator_epoch,
        };
    }
    return all->count;
}

const char *plog_name(const struct plog *p)
{
    return p->name;
}

const char *plog_log_dir(const struct plog *p)
{
    return p->log_dir;
}

/* Not past the first rolled segment whose indexes are not on disk: recovery makes them anew. */
int64_t plog_recovery_point(const struct plog *p)
{
    if (PLANT(EARLY_POINT))
        return p->end;
    int64_t point = p->env && p->env->durability == PLOG_FSYNC ? p->high_watermark : p->flushed;
    for (uint32_t i = p->segment_count - 1; i-- > 0;) {
        const struct segment *s = p->segments[i];
        if (s->sealed)
            break;
        if (s->base < point)
            point = s->base;
    }
    return point;
}
