/* topics_delete: topics that go, and partitions that went with their log dir. */
#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/groups.h"
#include "control/topics_impl.h"

/* ---- delete ---- */

/* Operations that waited behind the deletion find nothing any more. */
static void queue_flush(struct topic_work *w)
{
    struct topic_op *op = w->queue;
    w->queue = NULL;
    w->queue_tail = &w->queue;
    while (op) {
        struct topic_op *next = op->next;
        topic_op_finish(op, KERR_UNKNOWN_TOPIC_ID, NULL);
        op = next;
    }
}

/* The last step: nothing of the topic is left but its records. The work is gone afterwards. */
void topic_delete_forget(struct topic_work *w)
{
    struct topics *t = w->topics;
    struct image_topic *topic = w->topic;
    struct topic_op *reborn = w->reborn;
    struct meta_record removed = {.type = META_TOPIC_REMOVED, .id = topic->id};
    for (int32_t i = 0; i < topic->partition_count; i++)
        if (topic->partitions[i].log_dir != image_no_log_dir)
            t->o.logdirs->dirs[topic->partitions[i].log_dir].partitions--;
    t->partition_count -= (uint32_t)topic->partition_count;
    queue_flush(w);
    topic_work_free(w);
    /* If it cannot be appended (a full disk) the next start does this step again. */
    topics_append(t, &removed, 1);
    while (reborn) {
        struct topic_op *op = reborn;
        reborn = op->next;
        topics_submit(t->control, op);
    }
    topics_start_check(t);
    topics_stop_check(t);
}

void topic_delete_files(struct topic_work *w)
{
    int32_t n = 0;
    struct part_closing *parts = topic_parts_take(w, 0, image_no_log_dir, &n);
    if (!parts) {
        control_fail(w->topics->control, "out of memory");
        return;
    }
    topic_parts_close(w, parts, n, true, topics_checkpoint_without);
}

static void delete_released(struct topic_work *w)
{
    if (w->calls)
        w->calls_gone = topic_delete_files;
    else
        topic_delete_files(w);
}

static void delete_visible(struct topic_work *w)
{
    struct topic_op *op = w->op;
    w->op = NULL;
    if (op)
        topic_op_finish(op, KERR_NONE, NULL);
}

void topic_delete_begin(struct topic_work *w)
{
    struct meta_record removing = {.type = META_TOPIC_REMOVING, .id = w->topic->id};
    int err = topics_append(w->topics, &removing, 1);
    if (err) {
        topic_work_end(w, topics_kerr(err), err_text(err));
        return;
    }
    queue_flush(w);
    groups_topic_event(w->topics->control->groups, w->topic, GROUPS_TOPIC_DELETED);
    err = topic_publish(w, NULL, delete_visible, delete_released);
    if (err)
        control_fail(w->topics->control, "out of memory");
}

/* ---- partitions of a failed log dir ---- */

static void offline_closed(struct topic_work *w)
{
    topic_work_end(w, KERR_NONE, NULL);
}

static void offline_close(struct topic_work *w)
{
    struct part_closing *closing = w->closing;
    int32_t n = w->part_end; /* kept there by offline_begin */
    topic_parts_close(w, closing, n, false, offline_closed);
}

static void offline_released(struct topic_work *w)
{
    if (w->calls)
        w->calls_gone = offline_close;
    else
        offline_close(w);
}

/* Takes the plogs of all offline dirs out of the image; several dirs may have failed. */
static struct part_closing *offline_take(struct topic_work *w, int32_t *n)
{
    const struct logdirs *dirs = w->topics->o.logdirs;
    struct image_topic *topic = w->topic;
    struct part_closing *all = calloc((size_t)topic->partition_count + 1, sizeof(*all));
    int32_t count = 0;
    for (int32_t i = 0; all && i < topic->partition_count; i++) {
        struct image_partition *p = &topic->partitions[i];
        if (!p->plog || dirs->dirs[p->log_dir].online)
            continue;
        all[count++] = (struct part_closing){p->plog, i, p->shard, p->log_dir};
        p->plog = NULL;
    }
    *n = count;
    return all;
}

void topic_offline_begin(struct topic_work *w)
{
    int32_t n = 0;
    struct part_closing *closing = offline_take(w, &n);
    if (!closing || n == 0) {
        free(closing);
        topic_work_end(w, KERR_NONE, NULL);
        return;
    }
    w->closing = closing;
    w->part_end = n;
    struct view_topic *view = topic_view_make(w);
    if (view && topic_publish(w, view, NULL, offline_released) == 0)
        return;
    free(view);
    control_fail(w->topics->control, "out of memory");
}
