#include "control/topics_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"

/* ---- life ---- */

static int slots_make(struct topics *t)
{
    t->slot_count = t->o.worker_count * topics_slots_per_worker;
    t->slots = calloc(t->slot_count, sizeof(*t->slots));
    if (!t->slots)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < t->slot_count; i++) {
        struct part_slot *slot = &t->slots[i];
        slot->topics = t;
        slot->worker = t->o.workers[i % t->o.worker_count];
        slot->next = t->slots_free;
        t->slots_free = slot;
    }
    return 0;
}

int topics_new(struct topics **out, struct control *c, const struct topics_options *options)
{
    CHECK(options->shard_count > 0 && options->worker_count > 0);
    struct topics *t = calloc(1, sizeof(*t));
    if (!t)
        return ERR_NO_MEMORY;
    t->control = c;
    t->o = *options;
    t->ranges_tail = &t->ranges;
    t->dirty_close = calloc(options->logdirs->count, sizeof(bool));
    if (!t->dirty_close || slots_make(t) != 0 || topics_space_new(t) != 0) {
        topics_free(t);
        return ERR_NO_MEMORY;
    }
    *out = t;
    return 0;
}

void topics_free(struct topics *t)
{
    if (!t)
        return;
    wheel_cancel(&t->control->wheel, &t->checkpoint_timer);
    while (t->works) {
        struct image_topic *topic = t->works->topic;
        free(topic->view);
        topic->view = NULL;
        topic_work_free(t->works);
    }
    topics_checkpoint_free(t);
    topics_space_free(t);
    free(t->dirty_close);
    free(t->slots);
    free(t);
}

struct agent *topics_agent(struct topics *t)
{
    return &t->control->agent;
}

/* ---- works ---- */

struct topic_work *topic_work_new(struct topics *t, struct image_topic *topic)
{
    struct topic_work *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    w->topics = t;
    w->topic = topic;
    w->queue_tail = &w->queue;
    w->next = t->works;
    w->prev = &t->works;
    if (w->next)
        w->next->prev = &w->next;
    t->works = w;
    t->work_count++;
    if (topic)
        topic->work = w;
    return w;
}

void topic_work_free(struct topic_work *w)
{
    if (w->topic)
        w->topic->work = NULL;
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
    w->topics->work_count--;
    if (w->busy)
        w->topics->busy_count--;
    free(w);
}

void topic_work_refuse(struct topic_work *w, int err, const char *why)
{
    if (w->refused)
        return;
    w->refused = true;
    w->err = err;
    snprintf(w->why, sizeof(w->why), "%s", why);
}

void topic_op_finish(struct topic_op *op, int16_t error, const char *message)
{
    op->error = error;
    op->message = message;
    op->done(op);
}

int16_t topics_kerr(int err)
{
    switch (err) {
    case 0:
        return KERR_NONE;
    case ERR_IO:
    case ERR_NO_SPACE:
    case ERR_PERMISSION:
    case ERR_NOT_FOUND:
    case ERR_CORRUPT:
    case ERR_UNSUPPORTED:
    case ERR_EXISTS:
        return KERR_KAFKA_STORAGE_ERROR;
    case ERR_TOO_LARGE:
        return KERR_POLICY_VIOLATION;
    default:
        return KERR_UNKNOWN_SERVER_ERROR;
    }
}

bool topics_dir_error(int err)
{
    return err == ERR_IO || err == ERR_NOT_FOUND || err == ERR_PERMISSION || err == ERR_TIMEOUT;
}

int topics_append(struct topics *t, const struct meta_record *records, uint32_t n)
{
    struct meta_store *store = t->control->store;
    int err = meta_store_append(store, records, n);
    if (meta_store_failed(store))
        control_fail(t->control, "the metadata log cannot be written any more: %s", err_text(err));
    return err;
}

/* ---- queues ---- */

static void op_begin(struct topic_work *w, struct topic_op *op)
{
    w->busy = true;
    w->topics->busy_count++;
    w->op = op;
    w->refused = false;
    switch (op->kind) {
    case TOPIC_DELETE:
        topic_delete_begin(w);
        return;
    case TOPIC_GROW:
        topic_grow_begin(w);
        return;
    case TOPIC_CONFIGURE:
    case TOPIC_RECONFIGURE:
        topic_configure_begin(w);
        return;
    case TOPIC_OFFLINE:
        topic_offline_begin(w);
        return;
    case TOPIC_CREATE:
        break;
    }
    CHECK(!"a creation is never queued");
}

static void work_next(struct topic_work *w)
{
    struct topic_op *op = w->queue;
    if (w->busy || !op)
        return;
    w->queue = op->next;
    if (!w->queue)
        w->queue_tail = &w->queue;
    op->next = NULL;
    op_begin(w, op);
}

static void work_enqueue(struct topic_work *w, struct topic_op *op)
{
    op->next = NULL;
    *w->queue_tail = op;
    w->queue_tail = &op->next;
    work_next(w);
}

void topic_work_end(struct topic_work *w, int16_t error, const char *message)
{
    struct topics *t = w->topics;
    struct topic_op *op = w->op;
    w->op = NULL;
    w->busy = false;
    t->busy_count--;
    if (op)
        topic_op_finish(op, error, message);
    work_next(w);
    topics_start_check(t);
    topics_stop_check(t);
}

static void own_done(struct topic_op *op)
{
    free(op);
}

void topics_enqueue_own(struct topics *t, struct topic_work *w, enum topic_op_kind kind)
{
    struct topic_op *op = calloc(1, sizeof(*op));
    if (!op) {
        control_fail(t->control, "out of memory");
        return;
    }
    op->kind = kind;
    op->id = w->topic->id;
    op->done = own_done;
    work_enqueue(w, op);
}

void topics_submit(struct control *c, struct topic_op *op)
{
    struct topics *t = c->topics;
    op->error = 0;
    op->message = NULL;
    if (t->state != TOPICS_RUNNING) {
        topic_op_finish(op, KERR_BROKER_NOT_AVAILABLE, "The broker is starting or stopping.");
        return;
    }
    if (op->kind == TOPIC_CREATE) {
        topic_create_begin(t, op);
        return;
    }
    struct image_topic *topic = image_by_id(&c->image, &op->id);
    if (!topic || topic->state == IMAGE_TOPIC_DELETING) {
        topic_op_finish(op, KERR_UNKNOWN_TOPIC_ID, NULL);
        return;
    }
    work_enqueue(topic->work, op);
}

/* ---- calls to plogs ---- */

static void partition_call_done(struct call *call)
{
    struct partition_call *pc = (struct partition_call *)call;
    struct topic_work *w = pc->topic->work;
    pc->user_done(call); /* pc may be gone */
    if (--w->calls == 0 && w->calls_gone) {
        topic_step_fn *gone = w->calls_gone;
        w->calls_gone = NULL;
        gone(w);
    }
}

int16_t partition_call_start(struct control *c, struct image_topic *t, int32_t partition,
                             struct partition_call *pc, void (*run)(struct call *),
                             void (*done)(struct call *))
{
    if (t->state != IMAGE_TOPIC_LIVE || partition < 0 || partition >= t->partition_count)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    struct image_partition *p = &t->partitions[partition];
    if (!p->plog || c->topics->state != TOPICS_RUNNING)
        return KERR_KAFKA_STORAGE_ERROR;
    struct topic_work *w = t->work;
    pc->plog = p->plog;
    pc->plogs = c->topics->o.shards[p->shard].plogs;
    pc->topic = t;
    pc->partition = partition;
    pc->error = 0;
    pc->user_done = done;
    pc->call.run = run;
    pc->call.done = partition_call_done;
    w->calls++;
    agent_call(&c->agent, c->topics->o.shards[p->shard].agent, &pc->call);
    return 0;
}

/* ---- log dirs that fail ---- */

static bool work_uses_dir(const struct topic_work *w, uint32_t dir)
{
    for (int32_t i = 0; i < w->topic->partition_count; i++)
        if (w->topic->partitions[i].log_dir == dir)
            return true;
    return false;
}

void topics_dir_failed(struct topics *t, uint32_t dir, int err)
{
    struct logdirs *dirs = t->o.logdirs;
    if (dir >= dirs->count || !dirs->dirs[dir].online)
        return;
    dirs->dirs[dir].online = false;
    t->dirty_close[dir] = true;
    log_error("logdirs",
              "%s is offline: %s; its partitions answer KAFKA_STORAGE_ERROR until the "
              "next start",
              dirs->dirs[dir].path, err_text(err));
    if (dir == dirs->metadata)
        control_fail(t->control, "the log dir of the metadata, %s, failed", dirs->dirs[dir].path);
    else if (logdirs_online_count(dirs) == 0)
        control_fail(t->control, "all log dirs failed");
    if (t->closing_all)
        return; /* every plog goes anyway, and nothing that is queued now would be begun */
    for (struct topic_work *w = t->works; w; w = w->next)
        if (w->topic && w->topic->state != IMAGE_TOPIC_DELETING && work_uses_dir(w, dir))
            topics_enqueue_own(t, w, TOPIC_OFFLINE);
}
