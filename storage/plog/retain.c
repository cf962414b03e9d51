/* Old segments: by age, by size, and before the log start. */
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

/*
 * Renames go from the oldest on: a crash between two of them must not leave a hole in front of
 * segments that stay.
 */
static bool older_waits(const struct segment *s)
{
    for (const struct segment *d = s->plog->doomed; d; d = d->next_doomed)
        if (d->base < s->base && !d->renamed && !PLANT(HOLE_IN_FRONT))
            return true;
    return false;
}

void plog_doom_steps(struct plog *p)
{
    for (struct segment *s = p->doomed; s; s = s->next_doomed)
        if (!s->renamed)
            segment_doom_step(s);
}

/* Deletion goes on when nobody uses the segment: rename, delay, unlink. */
void segment_doom_step(struct segment *s)
{
    struct plog *p = s->plog;
    if (!s->doomed || s->busy || s->pins > 0 || p->failed || p->state != PLOG_ATTACHED)
        return;
    if (!s->renamed) {
        /* the log's end must not be forgotten: the file of the active segment may be on its way */
        if (!older_waits(s) && plog_active(p)->file)
            segment_rename_doomed(s);
    } else if (!wheel_armed(&s->unlink_timer)) {
        wheel_arm(p->env->wheel, &s->unlink_timer,
                  *p->env->now_ns + p->config.file_delete_delay_ms * CLOCK_NS_PER_MS);
    }
}

static void unlink_due(struct wheel_timer *timer, int64_t now_ns)
{
    segment_unlink_doomed(
        (struct segment *)((char *)timer - offsetof(struct segment, unlink_timer)));
}

static void segment_doom(struct segment *s)
{
    struct plog *p = s->plog;
    s->doomed = true;
    s->unlink_timer.fire = unlink_due;
    s->next_doomed = NULL;
    struct segment **last = &p->doomed; /* the oldest first */
    while (*last)
        last = &(*last)->next_doomed;
    *last = s;
    p->size_bytes -= s->size;
    segment_unlist(s);
    segment_drop_chunks(s, p->env->cache, false);
    streams_forget(p, s);
    segment_doom_step(s);
}

static void epochs_follow(struct plog *p)
{
    if (epochs_truncate_start(&p->epochs, p->log_start))
        plog_write_epochs(p);
}

/* Removes the first n segments; never the last one. */
static void delete_first(struct plog *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct segment *s = p->segments[i];
        CHECK(s->next <= p->high_watermark);
        if (s == p->visible) {
            p->visible = p->segments[i + 1];
            p->visible_end = 0;
        }
    }
    struct segment *gone[16];
    while (n > 0) {
        uint32_t some = n < 16 ? n : 16;
        for (uint32_t i = 0; i < some; i++)
            gone[i] = p->segments[i];
        p->segment_count -= some;
        for (uint32_t i = 0; i < p->segment_count; i++)
            p->segments[i] = p->segments[i + some];
        for (uint32_t i = 0; i < some; i++)
            segment_doom(gone[i]);
        n -= some;
    }
    if (p->segments[0]->base > p->log_start) {
        p->log_start = p->segments[0]->base;
        epochs_follow(p);
    }
}

static int64_t largest_timestamp(const struct segment *s)
{
    return s->max_timestamp >= 0 && s->age != AGE_OF_FILE ? s->max_timestamp : s->modified_ms;
}

static bool wholly_visible(const struct plog *p, const struct segment *s)
{
    return s->next <= p->high_watermark && s->written == s->size;
}

static bool too_old(const struct plog *p, const struct segment *s)
{
    return *p->env->wall_ms - largest_timestamp(s) > p->config.retention_ms &&
           wholly_visible(p, s) && (s != plog_active(p) || s->size > 0);
}

/*
 * How many of the oldest segments go: those before the log start, over the size, over the age.
 * *unsure: the next one would go if its index is right.
 */
static uint32_t count_deletable(const struct plog *p, struct segment **unsure)
{
    const struct plog_config *c = &p->config;
    uint32_t n = 0;
    *unsure = NULL;
    while (n + 1 < p->segment_count && p->segments[n + 1]->base <= p->log_start &&
           wholly_visible(p, p->segments[n]))
        n++;
    if (!c->cleanup_delete)
        return n;
    int64_t over = 0;
    if (c->retention_bytes >= 0) {
        over = p->size_bytes - c->retention_bytes;
        for (uint32_t i = 0; i < n; i++)
            over -= p->segments[i]->size;
        for (; n < p->segment_count && over >= (int64_t)p->segments[n]->size; n++) {
            const struct segment *s = p->segments[n];
            if (!wholly_visible(p, s) || (n + 1 == p->segment_count && s->size == 0))
                break;
            over -= s->size;
        }
    }
    if (c->retention_ms < 0)
        return n;
    while (n < p->segment_count && too_old(p, p->segments[n]) &&
           p->segments[n]->age != AGE_BY_INDEX)
        n++;
    if (n < p->segment_count && too_old(p, p->segments[n]))
        *unsure = p->segments[n];
    return n;
}

void plog_retention(struct plog *p)
{
    if (p->failed || p->state != PLOG_ATTACHED)
        return;
    producers_expire(&p->producers, *p->env->wall_ms, p->config.producer_expiration_ms);
    struct segment *unsure;
    uint32_t n = count_deletable(p, &unsure);
    if (unsure)
        segment_age_look(unsure);
    if (n == 0)
        return;
    if (PLANT(DELETED_MORE) && n + 1 < p->segment_count && wholly_visible(p, p->segments[n]))
        n++;
    /* the active segment goes too: a new one takes its place first */
    if (n == p->segment_count && plog_roll(p) != 0)
        n--;
    if (n == 0)
        return;
    log_info("storage", "%s: deleting %u segments before offset %lld", p->name, n,
             (long long)p->segments[n]->base);
    delete_first(p, n);
    plog_check(p);
}

static void retention_due(struct wheel_timer *timer, int64_t now_ns)
{
    struct plog *p = (struct plog *)((char *)timer - offsetof(struct plog, retention_timer));
    plog_retention(p);
    plog_retention_arm(p);
}

void plog_retention_arm(struct plog *p)
{
    if (p->env->retention_check_ms <= 0 || p->state != PLOG_ATTACHED)
        return;
    p->retention_timer.fire = retention_due;
    wheel_arm(p->env->wheel, &p->retention_timer,
              *p->env->now_ns + p->env->retention_check_ms * CLOCK_NS_PER_MS);
}

static void start_move(struct plog *p, int64_t offset)
{
    if (offset <= p->log_start)
        return;
    p->log_start = offset;
    epochs_follow(p);
    if (p->stable < offset)
        p->stable = offset;
    plog_check(p);
}

int16_t plog_delete_records(struct plog *p, int64_t offset, int64_t *low)
{
    if (p->failed)
        return KERR_KAFKA_STORAGE_ERROR;
    if (p->state != PLOG_ATTACHED)
        return KERR_NOT_LEADER_OR_FOLLOWER;
    if (!p->config.cleanup_delete)
        return KERR_POLICY_VIOLATION;
    if (offset == -1)
        offset = p->high_watermark;
    if (offset < 0 || offset > p->high_watermark)
        return KERR_OFFSET_OUT_OF_RANGE;
    start_move(p, offset);
    *low = p->log_start;
    return 0;
}

void plog_drop_before(struct plog *p, int64_t offset)
{
    if (!p->failed && p->state == PLOG_ATTACHED)
        start_move(p, offset < p->high_watermark ? offset : p->high_watermark);
}
