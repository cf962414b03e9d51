/* topics_stop: the clean end: what runs is finished, every plog closed, the checkpoints written. */
#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/topics_impl.h"

static void final_written(struct topics *t)
{
    t->state = TOPICS_STOPPED;
}

static void closed(struct topic_work *w)
{
    struct topics *t = w->topics;
    w->busy = false;
    if (--t->busy_count == 0)
        topics_checkpoint_final(t, final_written);
}

static void close_all(struct topics *t)
{
    t->closing_all = true;
    t->busy_count++; /* holds the end back while works are begun */
    for (struct topic_work *w = t->works; w; w = w->next) {
        int32_t n = 0;
        struct part_closing *parts = topic_parts_take(w, 0, image_no_log_dir, &n);
        if (!parts) {
            for (uint32_t i = 0; i < t->o.logdirs->count; i++)
                t->dirty_close[i] = true;
            continue;
        }
        w->busy = true;
        t->busy_count++;
        topic_parts_close(w, parts, n, false, closed);
    }
    if (--t->busy_count == 0)
        topics_checkpoint_final(t, final_written);
}

void topics_stop_check(struct topics *t)
{
    if (t->state == TOPICS_STOPPING && !t->closing_all && t->busy_count == 0 && !t->pass &&
        !topics_space_busy(t))
        close_all(t);
}

static void refuse(struct topic_op *op)
{
    while (op) {
        struct topic_op *next = op->next;
        topic_op_finish(op, KERR_BROKER_NOT_AVAILABLE, "The broker is stopping.");
        op = next;
    }
}

static void queue_refuse(struct topic_work *w)
{
    struct topic_op *queued = w->queue, *reborn = w->reborn;
    w->queue = NULL;
    w->queue_tail = &w->queue;
    w->reborn = NULL;
    refuse(queued);
    refuse(reborn);
}

/* Nothing was opened: what a crash left is still to be recovered. */
static void never_started(struct topics *t)
{
    const struct logdirs *dirs = t->o.logdirs;
    for (uint32_t i = 0; i < dirs->count; i++)
        t->dirty_close[i] = !dirs->dirs[i].clean;
    t->state = TOPICS_STOPPED;
}

/* A start that is not over goes to its end first. */
void topics_stop(struct topics *t)
{
    t->stop_wanted = true;
    if (t->state == TOPICS_NEW)
        never_started(t);
    if (t->state != TOPICS_RUNNING)
        return;
    wheel_cancel(&t->control->wheel, &t->checkpoint_timer);
    topics_space_stop(t);
    t->state = TOPICS_STOPPING;
    for (struct topic_work *w = t->works; w; w = w->next)
        queue_refuse(w);
    topics_stop_check(t);
}

bool topics_stopped(const struct topics *t)
{
    return t->state == TOPICS_STOPPED;
}

bool topics_dir_closed_clean(const struct topics *t, uint32_t dir)
{
    return t->state == TOPICS_STOPPED && t->o.logdirs->dirs[dir].online && !t->dirty_close[dir];
}
