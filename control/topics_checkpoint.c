/*
 * topics_checkpoint: the offset checkpoints of the log dirs; and the look whether they are still there.
 *
 * A pass asks every shard for the offsets of its plogs (one call each), then a worker writes the
 * files. Passes run one at a time: periodically, at the end of the start, and before a deleted
 * topic's name is free again, since an entry of the old topic would be taken for one of the new.
 */
#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "control/config/config.h"
#include "control/topics_impl.h"

/*
 * The name is the image's: a topic that stands in a running pass is forgotten after that pass only.
 */
struct entry {
    const char *topic;
    int32_t partition;
    uint32_t log_dir, shard;
    const struct plog *plog;
    int64_t offset[LOG_DIR_CHECKPOINT_COUNT];
};

struct checkpoint_entries {
    struct entry *items;
    uint32_t count, room;
};

struct pass_shard {
    struct call call; /* first */
    struct checkpoint_pass *pass;
    uint32_t from, to; /* its entries */
};

struct checkpoint_pass {
    struct topics *topics;
    struct checkpoint_entries entries;
    struct pass_shard shards[shard_count_max];
    uint32_t pending;
    struct call write;
    bool *online;   /* copy for the worker, by log dir */
    int *dir_error; /* by log dir */
    struct topic_work *forget;
    void (*then)(struct topics *t); /* of the last pass, at a stop */
};

/* ---- entries ---- */

static struct entry *entries_add(struct checkpoint_entries *e, const char *topic, int32_t partition,
                                 const struct image_partition *p)
{
    if (e->count == e->room) {
        uint32_t room = e->room ? e->room * 2 : 64;
        struct entry *grown = realloc(e->items, room * sizeof(*grown));
        if (!grown)
            return NULL;
        e->items = grown;
        e->room = room;
    }
    struct entry *x = &e->items[e->count++];
    *x = (struct entry){.topic = topic,
                        .partition = partition,
                        .log_dir = p->log_dir,
                        .shard = p->shard,
                        .plog = p->plog};
    return x;
}

static void entry_read(struct entry *x, const struct plog *plog)
{
    struct plog_marks marks;
    plog_marks(plog, &marks);
    x->offset[LOG_DIR_RECOVERY_POINT] = plog_recovery_point(plog);
    x->offset[LOG_DIR_LOG_START] = marks.log_start;
    x->offset[LOG_DIR_HIGH_WATERMARK] = marks.high_watermark;
}

static int entry_cmp(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return (x->shard > y->shard) - (x->shard < y->shard);
}

/* ---- writing, on a worker ---- */

/* As Kafka: log starts of 0 are left out, the file would name every partition otherwise. */
static bool entry_counts(const struct entry *x, enum log_dir_checkpoint which)
{
    return x->offset[which] > (which == LOG_DIR_LOG_START ? 0 : -1);
}

static int dir_write(const struct checkpoint_pass *pass, uint32_t dir,
                     enum log_dir_checkpoint which)
{
    struct topics *t = pass->topics;
    struct checkpoint c = {0};
    int err = 0;
    for (uint32_t i = 0; i < pass->entries.count && !err; i++) {
        const struct entry *x = &pass->entries.items[i];
        if (x->log_dir == dir && entry_counts(x, which))
            err = checkpoint_add(&c, str_from(x->topic), x->partition, x->offset[which]);
    }
    if (!err)
        err = checkpoint_write(t->o.fs, t->o.logdirs->dirs[dir].path,
                               log_dir_checkpoint_name(which), &c);
    checkpoint_free(&c);
    return err;
}

static void write_run(struct call *call)
{
    struct checkpoint_pass *pass =
        (struct checkpoint_pass *)((char *)call - offsetof(struct checkpoint_pass, write));
    struct logdirs *dirs = pass->topics->o.logdirs;
    for (uint32_t dir = 0; dir < dirs->data_count; dir++)
        for (int which = 0; which < LOG_DIR_CHECKPOINT_COUNT; which++)
            if (pass->online[dir] && pass->dir_error[dir] == 0)
                pass->dir_error[dir] = dir_write(pass, dir, (enum log_dir_checkpoint)which);
    /* Only the metadata is in the others, and a file that is open does not say that its name went. */
    struct fs *fs = pass->topics->o.fs;
    struct fs_stat there;
    for (uint32_t dir = dirs->data_count; dir < dirs->count; dir++)
        if (pass->online[dir])
            pass->dir_error[dir] = fs->ops->stat(fs, dirs->dirs[dir].path, &there);
    call_finish(call);
}

/* ---- passes ---- */

static void pass_free(struct checkpoint_pass *pass)
{
    if (!pass)
        return;
    free(pass->entries.items);
    free(pass->online);
    free(pass->dir_error);
    free(pass);
}

/*
 * A full disk leaves the old files: a later recovery scans more, nothing is lost; so the last ones of
 * a stop must be there, or it was not clean. False: a dir in use still has its old files. (A dir that
 * failed is read again at a start only, and that ends with a pass.)
 */
static bool pass_errors(struct checkpoint_pass *pass)
{
    struct topics *t = pass->topics;
    bool all = true;
    for (uint32_t dir = 0; dir < t->o.logdirs->count; dir++) {
        int err = pass->dir_error[dir];
        struct log_dir *d = &t->o.logdirs->dirs[dir];
        d->checkpointed |= err == 0 && pass->online[dir];
        d->stale = err && !d->checkpointed;
        if (err == 0)
            continue;
        if (dir < t->o.logdirs->data_count)
            log_warn("logdirs", "%s: checkpoints cannot be written: %s",
                     t->o.logdirs->dirs[dir].path, err_text(err));
        t->dirty_close[dir] |= pass->then != NULL;
        if (topics_dir_error(err))
            topics_dir_failed(t, dir, err);
        else
            all = false;
    }
    return all;
}

/*
 * Deletions whose entries are in no file any more end. The others wait for the next pass, and a stop
 * does not wait for them: the next start begins them again.
 */
static void forget(struct topics *t, struct topic_work *w, bool written)
{
    while (w) {
        struct topic_work *next = w->checkpoint_next;
        if (written) {
            topic_delete_forget(w);
        } else {
            if (w->busy)
                t->busy_count--;
            w->busy = false;
            w->checkpoint_next = t->checkpoint_wait;
            t->checkpoint_wait = w;
        }
        w = next;
    }
}

static void write_done(struct call *call)
{
    struct checkpoint_pass *pass =
        (struct checkpoint_pass *)((char *)call - offsetof(struct checkpoint_pass, write));
    struct topics *t = pass->topics;
    t->pass = NULL;
    bool written = pass_errors(pass);
    struct topic_work *gone = pass->forget;
    void (*then)(struct topics *) = pass->then;
    pass_free(pass);
    forget(t, gone, written);
    if (t->pass_again && !t->pass)
        topics_checkpoint(t);
    if (then)
        then(t);
    topics_start_check(t);
    topics_stop_check(t);
}

static void pass_write(struct checkpoint_pass *pass)
{
    struct topics *t = pass->topics;
    for (uint32_t i = 0; i < t->o.logdirs->count; i++)
        pass->online[i] = t->o.logdirs->dirs[i].online;
    pass->write.run = write_run;
    pass->write.done = write_done;
    agent_call(topics_agent(t), t->o.workers[0], &pass->write);
}

static void shard_run(struct call *call)
{
    struct pass_shard *s = (struct pass_shard *)call;
    for (uint32_t i = s->from; i < s->to; i++)
        if (s->pass->entries.items[i].plog)
            entry_read(&s->pass->entries.items[i], s->pass->entries.items[i].plog);
    call_finish(call);
}

static void shard_done(struct call *call)
{
    struct pass_shard *s = (struct pass_shard *)call;
    if (--s->pass->pending == 0)
        pass_write(s->pass);
}

static struct checkpoint_pass *pass_new(struct topics *t)
{
    struct checkpoint_pass *pass = calloc(1, sizeof(*pass));
    if (!pass)
        return NULL;
    pass->topics = t;
    pass->online = calloc(t->o.logdirs->count, sizeof(bool));
    pass->dir_error = calloc(t->o.logdirs->count, sizeof(int));
    if (!pass->online || !pass->dir_error) {
        pass_free(pass);
        return NULL;
    }
    return pass;
}

/*
 * What the start found of a partition that it could not open: the next start must know, too, what of
 * it had been on the medium.
 */
static int unopened_add(struct checkpoint_pass *pass, struct topic_work *w, int32_t index)
{
    const struct image_partition *p = &w->topic->partitions[index];
    const struct logdirs *dirs = pass->topics->o.logdirs;
    if (!p->unopened || p->log_dir >= dirs->data_count)
        return 0;
    struct entry *x = entries_add(&pass->entries, w->topic->name, index, p);
    if (!x)
        return ERR_NO_MEMORY;
    for (int which = 0; which < LOG_DIR_CHECKPOINT_COUNT; which++)
        x->offset[which] = logdirs_offset(dirs, p->log_dir, (enum log_dir_checkpoint)which,
                                          str_from(x->topic), index);
    w->checkpointed = true;
    return 0;
}

/* opened: those that are open as well, whose offsets the shards tell. */
static int pass_gather(struct checkpoint_pass *pass, bool opened)
{
    for (struct topic_work *w = pass->topics->works; w; w = w->next) {
        if (!w->topic || w->topic->state == IMAGE_TOPIC_DELETING)
            continue;
        for (int32_t i = 0; i < w->topic->partition_count; i++) {
            if (unopened_add(pass, w, i) != 0)
                return ERR_NO_MEMORY;
            if (!opened || !w->topic->partitions[i].plog)
                continue;
            if (!entries_add(&pass->entries, w->topic->name, i, &w->topic->partitions[i]))
                return ERR_NO_MEMORY;
            w->checkpointed = true;
        }
    }
    if (pass->entries.count)
        qsort(pass->entries.items, pass->entries.count, sizeof(struct entry), entry_cmp);
    return 0;
}

static void pass_ask(struct checkpoint_pass *pass)
{
    struct topics *t = pass->topics;
    uint32_t at = 0;
    pass->pending = 1;
    for (uint32_t i = 0; i < t->o.shard_count; i++) {
        struct pass_shard *s = &pass->shards[i];
        s->pass = pass;
        s->from = at;
        while (at < pass->entries.count && pass->entries.items[at].shard == i)
            at++;
        s->to = at;
        if (s->from == s->to)
            continue;
        s->call.run = shard_run;
        s->call.done = shard_done;
        pass->pending++;
        agent_call(topics_agent(t), t->o.shards[i].agent, &s->call);
    }
    if (--pass->pending == 0)
        pass_write(pass);
}

void topics_checkpoint(struct topics *t)
{
    if (t->pass) {
        t->pass_again = true;
        return;
    }
    t->pass_again = false;
    struct checkpoint_pass *pass = pass_new(t);
    if (!pass || pass_gather(pass, true) != 0) {
        pass_free(pass);
        control_fail(t->control, "out of memory");
        return;
    }
    pass->forget = t->checkpoint_wait;
    t->checkpoint_wait = NULL;
    t->pass = pass;
    pass_ask(pass);
}

void topics_checkpoint_without(struct topic_work *w)
{
    if (!w->checkpointed) {
        topic_delete_forget(w);
        return;
    }
    w->checkpoint_next = w->topics->checkpoint_wait;
    w->topics->checkpoint_wait = w;
    if (w->topics->state != TOPICS_STARTING) /* the start ends with a pass */
        topics_checkpoint(w->topics);
}

/* ---- the periodic job ---- */

static void timer_fire(struct wheel_timer *timer, int64_t now_ns)
{
    struct topics *t = (struct topics *)((char *)timer - offsetof(struct topics, checkpoint_timer));
    if (t->state != TOPICS_RUNNING)
        return;
    topics_checkpoint(t);
    topics_checkpoint_arm(t);
}

void topics_checkpoint_arm(struct topics *t)
{
    struct control *c = t->control;
    int64_t ms = config_int(c->config, CONFIG_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS);
    t->checkpoint_timer.fire = timer_fire;
    wheel_arm(&c->wheel, &t->checkpoint_timer, c->now_ns + (ms > 0 ? ms : 1) * CLOCK_NS_PER_MS);
}

/* ---- the clean stop ---- */

int topics_checkpoint_note(struct topics *t, const struct topic_work *w, const struct plog *plog,
                           int32_t partition, uint32_t log_dir)
{
    if (!t->noted)
        t->noted = calloc(1, sizeof(*t->noted));
    struct image_partition where = {.log_dir = log_dir};
    struct entry *x = t->noted ? entries_add(t->noted, w->topic->name, partition, &where) : NULL;
    if (!x)
        return ERR_NO_MEMORY;
    entry_read(x, plog);
    /* What follows is plog_close, which leaves everything on the medium. */
    struct plog_marks marks;
    plog_marks(plog, &marks);
    if (!marks.failed)
        x->offset[LOG_DIR_RECOVERY_POINT] = marks.end;
    return 0;
}

void topics_checkpoint_final(struct topics *t, void (*then)(struct topics *t))
{
    struct checkpoint_pass *pass = pass_new(t);
    if (pass && t->noted) {
        pass->entries = *t->noted;
        *t->noted = (struct checkpoint_entries){0};
    }
    if (!pass || pass_gather(pass, false) != 0) {
        pass_free(pass);
        for (uint32_t i = 0; i < t->o.logdirs->count; i++)
            t->dirty_close[i] = true;
        then(t);
        return;
    }
    pass->then = then;
    t->pass = pass;
    pass_write(pass);
}

void topics_checkpoint_free(struct topics *t)
{
    if (t->noted)
        free(t->noted->items);
    free(t->noted);
    pass_free(t->pass);
}
