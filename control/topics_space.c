/*
 * topics_space: looks at the free space of the log dirs, and tells the shards.
 *
 * A look is one job of a worker: the file systems are asked, since that may block, and the reserves
 * given back or made anew. Its findings become levels here; levels that changed go to every shard. Looks follow each
 * other the sooner, the less room there is (control/space.h), so that between two of them not even a
 * fast disk gets from the mark to its end.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/topics_impl.h"

struct look_dir {
    char path[io_path_bytes_max];
    bool online;
    enum plog_space before; /* in */
    struct space_limits limits;
    uint64_t total, available; /* out, like all below */
    enum plog_space level;
    int64_t next_ms;
    int err, reserve_err;
    bool dropped, made;
};

struct look_shard {
    struct call call; /* first */
    struct topics_space *space;
    struct plog_env *plogs;
};

struct topics_space {
    struct topics *topics;
    struct wheel_timer timer;
    struct call look;
    int64_t free_bytes, reserve_bytes; /* settings */
    uint32_t dir_count, pending;
    bool busy;
    struct look_shard shards[shard_count_max];
    struct look_dir dirs[];
};

/* ---- on a worker ---- */

/*
 * Room is short: the reserve is what the journal and the checkpoints may now use. It comes back when
 * there is room for it above the mark.
 */
static void reserve_step(struct fs *fs, struct look_dir *d, bool held)
{
    const struct space_limits *l = &d->limits;
    if (l->reserve == 0)
        return;
    if (held && d->level == PLOG_SPACE_FULL) {
        d->reserve_err = reserve_drop(fs, d->path);
        d->dropped = d->reserve_err == 0;
    } else if (!held && d->level < PLOG_SPACE_LOW) {
        d->reserve_err = reserve_make(fs, d->path, l->reserve);
        d->made = d->reserve_err == 0;
    }
}

static void dir_look(const struct topics_space *s, struct look_dir *d)
{
    struct fs *fs = s->topics->o.fs;
    d->dropped = d->made = false;
    d->reserve_err = 0;
    d->err = fs->ops->space(fs, d->path, &d->total, &d->available);
    if (d->err)
        return;
    d->limits = space_limits(s->free_bytes, s->reserve_bytes, d->total);
    bool held = reserve_held(fs, d->path, d->limits.reserve);
    uint64_t usable = space_usable(&d->limits, d->available, held);
    d->level = space_level(d->before, &d->limits, usable);
    d->next_ms = space_look_ms(&d->limits, usable);
    reserve_step(fs, d, held);
}

static void look_run(struct call *call)
{
    struct topics_space *s =
        (struct topics_space *)((char *)call - offsetof(struct topics_space, look));
    for (uint32_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].online)
            dir_look(s, &s->dirs[i]);
    call_finish(call);
}

/* ---- on a shard ---- */

static void shard_run(struct call *call)
{
    struct look_shard *l = (struct look_shard *)call;
    const struct topics_space *s = l->space;
    for (uint32_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].online)
            plog_env_space(l->plogs, s->dirs[i].path, s->dirs[i].level);
    call_finish(call);
}

/* ---- on control ---- */

static void look_end(struct topics_space *s)
{
    struct topics *t = s->topics;
    int64_t ms = space_look_ms_max;
    for (uint32_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].online && s->dirs[i].err == 0 && s->dirs[i].next_ms < ms)
            ms = s->dirs[i].next_ms;
    s->busy = false;
    t->space_looked = true;
    if (t->state < TOPICS_STOPPING && !t->stop_wanted)
        wheel_arm(&t->control->wheel, &s->timer, t->control->now_ns + ms * CLOCK_NS_PER_MS);
    topics_start_check(t);
    topics_stop_check(t);
}

static void shard_done(struct call *call)
{
    struct topics_space *s = ((struct look_shard *)call)->space;
    if (--s->pending == 0)
        look_end(s);
}

static void tell_shards(struct topics_space *s)
{
    struct topics *t = s->topics;
    s->pending = t->o.shard_count;
    for (uint32_t i = 0; i < t->o.shard_count; i++) {
        struct look_shard *l = &s->shards[i];
        *l = (struct look_shard){.call = {.run = shard_run, .done = shard_done},
                                 .space = s,
                                 .plogs = t->o.shards[i].plogs};
        agent_call(topics_agent(t), t->o.shards[i].agent, &l->call);
    }
}

static void say_level(const struct look_dir *d)
{
    static const char *const what[] = {
        [PLOG_SPACE_AMPLE] = "there is room again",
        [PLOG_SPACE_TIGHT] = "there is room, but no more than a few times the mark",
        [PLOG_SPACE_LOW] = "batches of clients are refused with KAFKA_STORAGE_ERROR",
        [PLOG_SPACE_FULL] = "all batches are refused with KAFKA_STORAGE_ERROR",
    };
    bool worse = d->level >= PLOG_SPACE_LOW && d->level > d->before;
    log_write(worse ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "space",
              "%s: %llu bytes free, mark %llu (sluice.disk.free.bytes): %s", d->path,
              (unsigned long long)d->available, (unsigned long long)d->limits.mark, what[d->level]);
}

static void say_reserve(const struct look_dir *d)
{
    if (d->dropped)
        log_warn("space", "%s: the reserve of %llu bytes is given up for what must be written",
                 d->path, (unsigned long long)d->limits.reserve);
    else if (d->reserve_err && d->reserve_err != ERR_NOT_FOUND && d->before != d->level)
        log_warn("space", "%s: no reserve of %llu bytes: %s", d->path,
                 (unsigned long long)d->limits.reserve, err_text(d->reserve_err));
}

/* True: the shards must hear of it. */
static bool dir_looked(struct topics *t, uint32_t index, struct look_dir *d)
{
    struct space *space = &t->o.logdirs->dirs[index].space;
    if (d->err) {
        d->level = d->before;
        if (topics_dir_error(d->err))
            topics_dir_failed(t, index, d->err);
        return false;
    }
    atomic_store(&space->available, d->available);
    atomic_store(&space->total, d->total);
    atomic_store(&space->mark, d->limits.mark);
    say_reserve(d);
    if (d->level == d->before)
        return false;
    if (d->level >= PLOG_SPACE_LOW || d->before >= PLOG_SPACE_LOW)
        say_level(d);
    atomic_store(&space->level, d->level);
    return true;
}

static void look_done(struct call *call)
{
    struct topics_space *s =
        (struct topics_space *)((char *)call - offsetof(struct topics_space, look));
    bool changed = false;
    for (uint32_t i = 0; i < s->dir_count; i++)
        if (s->dirs[i].online)
            changed |= dir_looked(s->topics, i, &s->dirs[i]);
    if (changed)
        tell_shards(s);
    else
        look_end(s);
}

static void look_begin(struct topics_space *s)
{
    struct topics *t = s->topics;
    const struct logdirs *dirs = t->o.logdirs;
    for (uint32_t i = 0; i < s->dir_count; i++) {
        s->dirs[i].online = dirs->dirs[i].online;
        s->dirs[i].before = (enum plog_space)atomic_load(&dirs->dirs[i].space.level);
    }
    s->busy = true;
    s->look.run = look_run;
    s->look.done = look_done;
    agent_call(topics_agent(t), t->o.workers[t->o.worker_count - 1], &s->look);
}

static void timer_fire(struct wheel_timer *timer, int64_t now_ns)
{
    look_begin((struct topics_space *)((char *)timer - offsetof(struct topics_space, timer)));
}

int topics_space_new(struct topics *t)
{
    uint32_t n = t->o.logdirs->count;
    struct topics_space *s = calloc(1, sizeof(*s) + n * sizeof(s->dirs[0]));
    if (!s)
        return ERR_NO_MEMORY;
    s->topics = t;
    s->dir_count = n;
    s->timer.fire = timer_fire;
    for (uint32_t i = 0; i < n; i++)
        memcpy(s->dirs[i].path, t->o.logdirs->dirs[i].path, sizeof(s->dirs[i].path));
    t->space = s;
    return 0;
}

void topics_space_free(struct topics *t)
{
    if (t->space)
        wheel_cancel(&t->control->wheel, &t->space->timer);
    free(t->space);
}

void topics_space_start(struct topics *t)
{
    const struct config *c = t->control->config;
    t->space->free_bytes = config_long(c, CONFIG_SLUICE_DISK_FREE_BYTES);
    t->space->reserve_bytes = config_long(c, CONFIG_SLUICE_DISK_RESERVE_BYTES);
    look_begin(t->space);
}

void topics_space_stop(struct topics *t)
{
    wheel_cancel(&t->control->wheel, &t->space->timer);
}

bool topics_space_busy(const struct topics *t)
{
    return t->space->busy;
}
