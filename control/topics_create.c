/* topics_create: new topics and new partitions. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "base/rng.h"
#include "control/groups.h"
#include "control/topics_impl.h"

/* ---- records ---- */

/* Partition records [from, to) spread over the log dirs with the fewest partitions. */
static int partition_records(struct topics *t, const struct uuid *id, int32_t from, int32_t to,
                             struct meta_record *out)
{
    struct logdirs *dirs = t->o.logdirs;
    for (int32_t i = from; i < to; i++) {
        uint32_t dir = logdirs_choose(dirs);
        if (dir == image_no_log_dir)
            return ERR_IO;
        dirs->dirs[dir].partitions++;
        *out++ = (struct meta_record){
            .type = META_PARTITION, .id = *id, .partition = i, .directory = dirs->dirs[dir].id};
    }
    return 0;
}

/* The counts go back for records that were not appended. */
static void partition_records_undo(struct topics *t, const struct meta_record *r, uint32_t n)
{
    struct logdirs *dirs = t->o.logdirs;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dir =
            r[i].type == META_PARTITION ? logdirs_by_id(dirs, &r[i].directory) : image_no_log_dir;
        if (dir != image_no_log_dir)
            dirs->dirs[dir].partitions--;
    }
}

static void partitions_place(struct topics *t, struct image_topic *topic, int32_t from)
{
    for (int32_t i = from; i < topic->partition_count; i++)
        topic->partitions[i].log_dir = logdirs_by_id(t->o.logdirs, &topic->partitions[i].directory);
    t->partition_count += (uint32_t)(topic->partition_count - from);
}

static int create_append(struct topics *t, const struct topic_op *op, const struct uuid *id)
{
    uint32_t n = 0, count = 2 + (uint32_t)op->partition_count;
    if (op->config_count > meta_configs_max)
        return ERR_TOO_LARGE;
    struct meta_record *r = calloc(count, sizeof(*r));
    if (!r)
        return ERR_NO_MEMORY;
    struct meta_config configs[meta_configs_max];
    for (uint32_t i = 0; i < op->config_count; i++)
        configs[i] = (struct meta_config){op->configs[i].name, op->configs[i].value};
    r[n++] = (struct meta_record){
        .type = META_TOPIC, .id = *id, .name = op->name, .internal = op->internal};
    if (op->config_count)
        r[n++] = (struct meta_record){.type = META_TOPIC_CONFIGS,
                                      .id = *id,
                                      .configs = configs,
                                      .config_count = op->config_count};
    int err = partition_records(t, id, 0, op->partition_count, r + n);
    n += (uint32_t)op->partition_count;
    if (!err)
        err = topics_append(t, r, n);
    if (err)
        partition_records_undo(t, r, n);
    free(r);
    return err;
}

/* ---- create ---- */

static void create_undone(struct topic_work *w)
{
    struct topic_op *op = w->op;
    int16_t error = topics_kerr(w->err);
    snprintf(op->text, sizeof(op->text), "%.200s", w->why);
    w->op = NULL;
    topic_op_finish(op, error, op->text);
    topics_checkpoint_without(w);
}

/* The records of the creation stay: the next start finishes or finds it. */
static void create_stuck(struct topic_work *w)
{
    snprintf(w->op->text, sizeof(w->op->text), "%.200s", w->why);
    topic_work_end(w, topics_kerr(w->err), w->op->text);
}

/* A step failed: what was opened is removed again, then the records say that it never was. */
static void create_undo(struct topic_work *w)
{
    struct topics *t = w->topics;
    struct meta_record removing = {.type = META_TOPIC_REMOVING, .id = w->topic->id};
    int32_t n = 0;
    struct part_closing *parts = topic_parts_take(w, 0, image_no_log_dir, &n);
    if (!parts) {
        control_fail(t->control, "out of memory");
        return;
    }
    bool removed = topics_append(t, &removing, 1) == 0;
    if (!removed)
        control_fail(t->control, "a failed creation of %s cannot be undone", w->topic->name);
    topic_parts_close(w, parts, n, removed, removed ? create_undone : create_stuck);
}

static void create_visible(struct topic_work *w)
{
    w->topic->state = IMAGE_TOPIC_LIVE;
    w->op->created_id = w->topic->id;
    groups_topic_event(w->topics->control->groups, w->topic, GROUPS_TOPIC_CREATED);
    topic_work_end(w, KERR_NONE, NULL);
}

static void create_opened(struct topic_work *w)
{
    if (!w->refused) {
        struct view_topic *view = topic_view_make(w);
        if (view && topic_publish(w, view, create_visible, NULL) == 0)
            return;
        free(view);
        topic_work_refuse(w, ERR_NO_MEMORY, err_text(ERR_NO_MEMORY));
    }
    create_undo(w);
}

/* The topic of that name whose files are still being removed, if there is one. */
static struct topic_work *deleting_by_name(struct topics *t, struct str name)
{
    for (struct topic_work *w = t->works; w; w = w->next)
        if (w->topic && w->topic->state == IMAGE_TOPIC_DELETING && str_eqz(name, w->topic->name))
            return w;
    return NULL;
}

static int16_t create_check(struct topics *t, struct topic_op *op)
{
    if (image_by_name(&t->control->image, op->name)) {
        snprintf(op->text, sizeof(op->text), "Topic '%.*s' already exists.", STR_ARG(op->name));
        return KERR_TOPIC_ALREADY_EXISTS;
    }
    if (op->partition_count < 1 || op->partition_count > topic_partitions_max ||
        (uint32_t)op->partition_count > broker_partitions_max - t->partition_count) {
        snprintf(op->text, sizeof(op->text), "A topic has at most %d partitions, a broker %d.",
                 topic_partitions_max, broker_partitions_max);
        return KERR_POLICY_VIOLATION;
    }
    if (logdirs_online_count(t->o.logdirs) == 0) {
        snprintf(op->text, sizeof(op->text), "All log dirs are offline.");
        return KERR_KAFKA_STORAGE_ERROR;
    }
    /* a creation that fails half way needs room for the record that undoes it */
    const struct log_dir *metadata = &t->o.logdirs->dirs[t->o.logdirs->metadata];
    if (atomic_load(&metadata->space.level) >= PLOG_SPACE_FULL) {
        snprintf(op->text, sizeof(op->text), "The disk of the metadata is full.");
        return KERR_KAFKA_STORAGE_ERROR;
    }
    return 0;
}

void topic_create_begin(struct topics *t, struct topic_op *op)
{
    int16_t refusal = create_check(t, op);
    if (refusal) {
        topic_op_finish(op, refusal, op->text);
        return;
    }
    struct topic_work *before = deleting_by_name(t, op->name);
    if (before) {
        op->next = before->reborn;
        before->reborn = op;
        return;
    }
    struct topic_work *w = topic_work_new(t, NULL);
    struct uuid id = uuid_random(&t->control->rng);
    int err = w ? create_append(t, op, &id) : ERR_NO_MEMORY;
    if (err) {
        if (w)
            topic_work_free(w);
        topic_op_finish(op, topics_kerr(err), err_text(err));
        return;
    }
    w->topic = image_by_id(&t->control->image, &id);
    w->topic->work = w;
    w->op = op;
    w->busy = true;
    t->busy_count++;
    partitions_place(t, w->topic, 0);
    topic_parts_open(w, 0, w->topic->partition_count, create_opened);
}

/* ---- grow ---- */

static void grow_visible(struct topic_work *w)
{
    groups_topic_event(w->topics->control->groups, w->topic, GROUPS_TOPIC_GROWN);
    if (w->refused) {
        snprintf(w->op->text, sizeof(w->op->text), "%.200s", w->why);
        topic_op_finish(w->op, topics_kerr(w->err), w->op->text);
    } else {
        topic_op_finish(w->op, KERR_NONE, NULL);
    }
    w->op = NULL;
}

static void grow_released(struct topic_work *w)
{
    topic_work_end(w, KERR_NONE, NULL);
}

/* Partitions that could not be opened are there, but offline until the next start. */
static void grow_opened(struct topic_work *w)
{
    struct view_topic *view = topic_view_make(w);
    if (view && topic_publish(w, view, grow_visible, grow_released) == 0)
        return;
    free(view);
    topic_work_end(w, KERR_UNKNOWN_SERVER_ERROR, err_text(ERR_NO_MEMORY));
}

static int grow_append(struct topics *t, struct image_topic *topic, int32_t to)
{
    uint32_t n = (uint32_t)(to - topic->partition_count);
    struct meta_record *r = calloc(n, sizeof(*r));
    if (!r)
        return ERR_NO_MEMORY;
    int err = partition_records(t, &topic->id, topic->partition_count, to, r);
    if (!err)
        err = topics_append(t, r, n);
    if (err)
        partition_records_undo(t, r, n);
    free(r);
    return err;
}

void topic_grow_begin(struct topic_work *w)
{
    struct topics *t = w->topics;
    struct image_topic *topic = w->topic;
    int32_t from = topic->partition_count, to = w->op->partition_count;
    if (to <= from) {
        snprintf(w->op->text, sizeof(w->op->text),
                 "The topic %.60s currently has %d partition(s); %d would not be an increase.",
                 topic->name, from, to);
        topic_work_end(w, KERR_INVALID_PARTITIONS, w->op->text);
        return;
    }
    if (to > topic_partitions_max ||
        (uint32_t)(to - from) > broker_partitions_max - t->partition_count) {
        topic_work_end(w, KERR_POLICY_VIOLATION,
                       "The broker has no room for that many partitions.");
        return;
    }
    int err = grow_append(t, topic, to);
    if (err) {
        topic_work_end(w, topics_kerr(err), err_text(err));
        return;
    }
    partitions_place(t, topic, from);
    topic_parts_open(w, from, to, grow_opened);
}
