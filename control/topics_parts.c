/* topics_parts: opening, attaching, detaching, closing and removing plogs, a few at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "control/topics_impl.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint32_t topic_part_shard(const struct topics *t, const struct uuid *id, int32_t partition)
{
    uint8_t key[20];
    memcpy(key, id->b, 16);
    bytes_put_u32(key + 16, (uint32_t)partition);
    return (uint32_t)(XXH3_64bits(key, sizeof(key)) % t->o.shard_count);
}

static void slots_dispatch(struct topics *t);

/* ---- ranges ---- */

static void range_begin(struct topic_work *w, enum part_mode mode, int32_t from, int32_t to,
                        topic_step_fn *then)
{
    struct topics *t = w->topics;
    w->mode = mode;
    w->part_next = from;
    w->part_end = to;
    w->parts_done = then;
    CHECK(w->part_running == 0);
    if (from == to) {
        then(w);
        return;
    }
    w->range_next = NULL;
    *t->ranges_tail = w;
    t->ranges_tail = &w->range_next;
    slots_dispatch(t);
}

static void slot_release(struct part_slot *slot)
{
    struct topics *t = slot->topics;
    struct topic_work *w = slot->work;
    slot->work = NULL;
    slot->plog = NULL;
    slot->next = t->slots_free;
    t->slots_free = slot;
    if (--w->part_running == 0 && w->part_next == w->part_end)
        w->parts_done(w);
    slots_dispatch(t);
}

/* ---- opening ---- */

static struct image_partition *slot_partition(struct part_slot *slot)
{
    return &slot->work->topic->partitions[slot->partition];
}

static void part_failed(struct part_slot *slot)
{
    struct topic_work *w = slot->work;
    log_error("topics", "partition %s-%d is offline: %s", w->topic->name, slot->partition,
              slot->why);
    topic_work_refuse(w, slot->err, slot->why);
    slot_partition(slot)->unopened = w->topics->state == TOPICS_STARTING;
    if (slot_partition(slot)->log_dir < w->topics->o.logdirs->count)
        w->topics->dirty_close[slot_partition(slot)->log_dir] = true;
    if (topics_dir_error(slot->err))
        topics_dir_failed(w->topics, slot_partition(slot)->log_dir, slot->err);
}

static void slot_attached(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    slot_partition(slot)->plog = slot->plog;
    slot->topics->partitions_open++;
    slot_release(slot);
}

static void slot_attach_run(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    uint32_t shard = slot->closing.shard;
    plog_attach(slot->plog, slot->topics->o.shards[shard].plogs);
    call_finish(call);
}

static void slot_opened(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    if (slot->strayed)
        log_warn("topics", "%s/%s-%d was in the way of a new partition: renamed to -stray",
                 slot->open.log_dir, slot->work->topic->name, slot->partition);
    if (slot->err) {
        part_failed(slot);
        slot->topics->partitions_open++;
        slot_release(slot);
        return;
    }
    slot->call.run = slot_attach_run;
    slot->call.done = slot_attached;
    agent_call(topics_agent(slot->topics), slot->topics->o.shards[slot->closing.shard].agent,
               &slot->call);
}

/* Nothing can be ours in a directory that is there before the partition is. */
static bool in_the_way(const struct part_slot *slot)
{
    return slot->is_new &&
           (slot->err == ERR_EXISTS || slot->err == ERR_CORRUPT || slot->err == ERR_UNSUPPORTED);
}

static int log_name(void *ctx, const char *name, bool is_dir)
{
    size_t n = strlen(name);
    bool *found = ctx;
    *found |= !is_dir && n > 4 && strcmp(name + n - 4, ".log") == 0;
    return 0;
}

/* A creation failed: what it leaves goes, but not what may be another topic's records. */
static void creation_undo(const struct plog_open *o)
{
    char name[topic_name_bytes_max + 16], path[io_path_bytes_max];
    struct uuid id;
    bool has_log = false;
    snprintf(name, sizeof(name), "%.*s-%d", STR_ARG(o->topic), o->partition);
    if (snprintf(path, sizeof(path), "%s/%s", o->log_dir, name) >= (int)sizeof(path))
        return;
    int err = logdir_topic_id(o->fs, o->log_dir, name, &id);
    if (err && (o->fs->ops->list(o->fs, path, log_name, &has_log) != 0 || has_log))
        return;
    if (err || uuid_eq(&id, &o->topic_id))
        logdir_remove(o->fs, o->log_dir, name);
}

/*
 * On a worker. At a start nothing is put aside here: a directory in its place whose
 * partition.metadata says something else may hold the partition's records, and be damaged.
 */
static void slot_open_run(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    const struct plog_open *o = &slot->open;
    slot->err = plog_open(&slot->plog, o, slot->why, sizeof(slot->why));
    if (in_the_way(slot)) {
        char name[topic_name_bytes_max + 16];
        snprintf(name, sizeof(name), "%.*s-%d", STR_ARG(o->topic), o->partition);
        slot->strayed = logdir_put_aside(o->fs, o->log_dir, name) == 0;
        if (slot->strayed)
            slot->err = plog_open(&slot->plog, o, slot->why, sizeof(slot->why));
    }
    if (slot->err && slot->remove)
        creation_undo(o);
    call_finish(call);
}

static void slot_open_start(struct part_slot *slot)
{
    struct topics *t = slot->topics;
    struct topic_work *w = slot->work;
    struct image_partition *p = slot_partition(slot);
    struct logdirs *dirs = t->o.logdirs;
    struct str name = str_from(w->topic->name);
    p->shard = topic_part_shard(t, &w->topic->id, slot->partition);
    if (p->log_dir >= dirs->count || !dirs->dirs[p->log_dir].online) {
        slot->err = ERR_IO;
        snprintf(slot->why, sizeof(slot->why), "its log dir is offline or not in log.dirs");
        part_failed(slot);
        t->partitions_open++;
        slot_release(slot);
        return;
    }
    bool creating = w->op && w->op->kind == TOPIC_CREATE;
    bool known = t->state == TOPICS_STARTING;
    slot->closing.shard = p->shard;
    slot->remove = creating; /* a failed creation leaves nothing behind */
    slot->is_new = !known;
    slot->strayed = false;
    slot->why[0] = '\0';
    slot->open = (struct plog_open){
        .fs = t->o.fs,
        .log_dir = dirs->dirs[p->log_dir].path,
        .topic = name,
        .partition = slot->partition,
        .topic_id = w->topic->id,
        .leader_epoch = p->leader_epoch,
        .clean = dirs->dirs[p->log_dir].clean,
        .recovery_point =
            known ? logdirs_offset(dirs, p->log_dir, LOG_DIR_RECOVERY_POINT, name, slot->partition)
                  : -1,
        .log_start =
            known ? logdirs_offset(dirs, p->log_dir, LOG_DIR_LOG_START, name, slot->partition) : -1,
        .wall_ms = t->control->wall_ms,
        .durability = t->o.recover_os ? PLOG_OS : PLOG_FSYNC,
        .rewrite = t->o.rewrite,
    };
    topic_plog_config(w, &slot->open.config);
    slot->call.run = slot_open_run;
    slot->call.done = slot_opened;
    agent_call(topics_agent(t), slot->worker, &slot->call);
}

void topic_parts_open(struct topic_work *w, int32_t from, int32_t to, topic_step_fn *then)
{
    range_begin(w, PART_OPEN, from, to, then);
}

/* ---- closing ---- */

static void slot_closed(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    struct topics *t = slot->topics;
    uint32_t dir = slot->closing.log_dir;
    if (slot->err) {
        t->dirty_close[dir] = true;
        log_error("topics", "%s of %s-%d failed: %s", slot->remove ? "removal" : "closing",
                  slot->work->topic->name, slot->partition, err_text(slot->err));
        if (topics_dir_error(slot->err))
            topics_dir_failed(t, dir, slot->err);
    }
    slot_release(slot);
}

static void slot_close_run(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    slot->err = slot->remove ? plog_remove(slot->plog) : plog_close(slot->plog);
    call_finish(call);
}

static void slot_detached(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    struct topics *t = slot->topics;
    if (t->state == TOPICS_STOPPING && !slot->remove &&
        topics_checkpoint_note(t, slot->work, slot->plog, slot->partition, slot->closing.log_dir) !=
            0)
        t->dirty_close[slot->closing.log_dir] = true;
    slot->call.run = slot_close_run;
    slot->call.done = slot_closed;
    agent_call(topics_agent(t), slot->worker, &slot->call);
}

static void slot_detach_done(struct plog_detach *d)
{
    struct part_slot *slot = (struct part_slot *)((char *)d - offsetof(struct part_slot, detach));
    call_finish(&slot->call);
}

static void slot_detach_run(struct call *call)
{
    struct part_slot *slot = (struct part_slot *)call;
    slot->detach = (struct plog_detach){.done = slot_detach_done, .removing = slot->remove};
    plog_detach(slot->plog, &slot->detach);
}

static void slot_close_start(struct part_slot *slot, const struct part_closing *closing)
{
    struct topics *t = slot->topics;
    slot->closing = *closing;
    slot->plog = closing->plog;
    slot->partition = closing->partition;
    slot->remove = slot->work->mode == PART_REMOVE;
    slot->call.run = slot_detach_run;
    slot->call.done = slot_detached;
    agent_call(topics_agent(t), t->o.shards[closing->shard].agent, &slot->call);
}

static void closing_done(struct topic_work *w)
{
    free(w->closing);
    w->closing = NULL;
    w->pending_done(w);
}

void topic_parts_close(struct topic_work *w, struct part_closing *closing, int32_t n, bool remove,
                       topic_step_fn *then)
{
    w->closing = closing;
    w->pending_done = then;
    range_begin(w, remove ? PART_REMOVE : PART_CLOSE, 0, n, closing_done);
}

struct part_closing *topic_parts_take(struct topic_work *w, int32_t from, uint32_t dir, int32_t *n)
{
    struct image_topic *topic = w->topic;
    struct part_closing *taken = calloc((size_t)topic->partition_count + 1, sizeof(*taken));
    if (!taken)
        return NULL;
    int32_t count = 0;
    for (int32_t i = from; i < topic->partition_count; i++) {
        struct image_partition *p = &topic->partitions[i];
        if (!p->plog || (dir != image_no_log_dir && p->log_dir != dir))
            continue;
        taken[count++] = (struct part_closing){p->plog, i, p->shard, p->log_dir};
        p->plog = NULL;
    }
    *n = count;
    return taken;
}

/* ---- dispatch ---- */

/* Not reentered: what a step starts from inside is picked up by the loop that is running. */
static void slots_dispatch(struct topics *t)
{
    if (t->dispatching)
        return;
    t->dispatching = true;
    while (t->slots_free && t->ranges) {
        struct topic_work *w = t->ranges;
        struct part_slot *slot = t->slots_free;
        int32_t index = w->part_next++;
        t->slots_free = slot->next;
        slot->work = w;
        slot->partition = index;
        slot->err = 0;
        w->part_running++;
        if (w->part_next == w->part_end) {
            t->ranges = w->range_next;
            if (!t->ranges)
                t->ranges_tail = &t->ranges;
        }
        if (w->mode == PART_OPEN)
            slot_open_start(slot);
        else
            slot_close_start(slot, &w->closing[index]);
    }
    t->dispatching = false;
}
