/*
 * topics_start: from what the metadata says and what the disks hold to running topics.
 *
 * The log dirs are scanned first. A directory of a partition that the metadata knows decides where
 * the
 * partition lives; one that it does not know is a stray, as in Kafka, and renamed; what a
 * deletion left is removed. Then every partition is opened.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/topics_impl.h"

#define dir_name_bytes_max 512

struct scan {
    struct topics *t;
    uint32_t dir;
    int err;
    /* names to act upon after the listing, NUL-separated */
    char *names;
    size_t size, room;
};

/* ---- names ---- */

/* "topic-3" into its parts; false if it is no partition's directory. */
static bool name_split(const char *name, struct str *topic, int32_t *partition)
{
    const char *dash = strrchr(name, '-');
    if (!dash || dash == name || dash[1] == '\0' || strlen(dash) > 10)
        return false;
    int64_t v = 0;
    for (const char *p = dash + 1; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        v = v * 10 + (*p - '0');
    }
    if (v > INT32_MAX || (size_t)(dash - name) > topic_name_bytes_max)
        return false;
    *topic = (struct str){name, (uint32_t)(dash - name)};
    *partition = (int32_t)v;
    return true;
}

static bool ends_with(const char *name, const char *tail)
{
    size_t n = strlen(name), m = strlen(tail);
    return n > m && strcmp(name + n - m, tail) == 0;
}

static int scan_name(void *ctx, const char *name, bool is_dir)
{
    struct scan *s = ctx;
    size_t n = strlen(name) + 1;
    if (!is_dir)
        return 0;
    if (s->size + n > s->room) {
        size_t room = s->room ? s->room * 2 : 4096;
        while (room < s->size + n)
            room *= 2;
        char *grown = realloc(s->names, room);
        if (!grown) {
            s->err = ERR_NO_MEMORY;
            return 1;
        }
        s->names = grown;
        s->room = room;
    }
    memcpy(s->names + s->size, name, n);
    s->size += n;
    return 0;
}

/* ---- what a directory is ---- */

static struct image_topic *deleting_topic(struct topics *t, const char *dir, const char *name)
{
    struct uuid id;
    if (logdir_topic_id(t->o.fs, dir, name, &id) != 0)
        return NULL;
    struct image_topic *topic = image_by_id(&t->control->image, &id);
    return topic && topic->state == IMAGE_TOPIC_DELETING ? topic : NULL;
}

static void put_aside(struct scan *s, const char *name, const char *why)
{
    const char *dir = s->t->o.logdirs->dirs[s->dir].path;
    struct fs *fs = s->t->o.fs;
    char path[io_path_bytes_max];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) &&
        fs->ops->rmdir(fs, path) == 0) { /* as a removal leaves it that was cut off at its end */
        log_info("topics", "%s was empty (%s): removed", path, why);
        return;
    }
    int err = logdir_put_aside(fs, dir, name);
    if (err)
        log_error("topics", "%s/%s is a stray (%s) and cannot be renamed: %s", dir, name, why,
                  err_text(err));
    else
        log_warn("topics", "%s/%s is a stray (%s): renamed to -stray", dir, name, why);
}

/*
 * A log dir may have been away while a topic was deleted and made anew. What is in the recorded place
 * is left to plog_open, which keeps the partition closed: it may be ours, and damaged.
 */
static bool of_another_topic(const struct scan *s, const struct image_topic *topic,
                             const struct image_partition *p, const char *name)
{
    const struct log_dir *dir = &s->t->o.logdirs->dirs[s->dir];
    struct uuid id;
    return !uuid_eq(&p->directory, &dir->id) &&
           logdir_topic_id(s->t->o.fs, dir->path, name, &id) == 0 && !uuid_eq(&id, &topic->id);
}

/* Of two directories of one partition the one in the recorded log dir counts. */
static void partition_found(struct scan *s, struct image_topic *topic, int32_t partition,
                            const char *name)
{
    struct image_partition *p = &topic->partitions[partition];
    const struct logdirs *dirs = s->t->o.logdirs;
    if (of_another_topic(s, topic, p, name)) {
        put_aside(s, name, "it is of another topic of this name");
        return;
    }
    if (p->log_dir == image_no_log_dir) {
        p->log_dir = s->dir;
        return;
    }
    if (!uuid_eq(&p->directory, &dirs->dirs[s->dir].id)) {
        put_aside(s, name, "the partition is in another log dir too");
        return;
    }
    struct scan other = *s;
    other.dir = p->log_dir;
    put_aside(&other, name, "the partition is in another log dir too");
    p->log_dir = s->dir;
}

static void scan_remove(struct scan *s, const char *name)
{
    const char *dir = s->t->o.logdirs->dirs[s->dir].path;
    int err = logdir_remove(s->t->o.fs, dir, name);
    if (err)
        log_warn("topics", "%s/%s of a deleted topic cannot be removed: %s", dir, name,
                 err_text(err));
}

static void scan_entry(struct scan *s, const char *name)
{
    struct topics *t = s->t;
    const char *dir = t->o.logdirs->dirs[s->dir].path;
    struct str topic_name;
    int32_t partition;
    if (ends_with(name, "-delete")) {
        scan_remove(s, name);
    } else if (ends_with(name, "-stray")) {
        log_info("topics", "%s/%s was put aside earlier", dir, name);
    } else if (!name_split(name, &topic_name, &partition)) {
        log_warn("topics", "%s/%s is no partition's directory, it is left alone", dir, name);
    } else if (str_eqz(topic_name, "__cluster_metadata")) {
        log_info("topics", "%s/%s is Kafka's metadata, it is left alone", dir, name);
    } else {
        struct image_topic *topic = image_by_name(&t->control->image, topic_name);
        if (topic && partition < topic->partition_count)
            partition_found(s, topic, partition, name);
        else if (deleting_topic(t, dir, name))
            scan_remove(s, name);
        else
            put_aside(s, name, "the metadata does not know it");
    }
}

static int scan_dir(struct topics *t, uint32_t dir)
{
    struct scan s = {.t = t, .dir = dir};
    int err = t->o.fs->ops->list(t->o.fs, t->o.logdirs->dirs[dir].path, scan_name, &s);
    if (err >= 0 && s.err == 0)
        for (size_t at = 0; at < s.size; at += strlen(s.names + at) + 1)
            scan_entry(&s, s.names + at);
    free(s.names);
    if (s.err)
        return s.err;
    if (err < 0)
        topics_dir_failed(t, dir, err);
    return 0;
}

/* ---- where partitions live ---- */

static void partition_missing(struct topics *t, struct image_topic *topic, int32_t i)
{
    struct image_partition *p = &topic->partitions[i];
    p->log_dir = logdirs_by_id(t->o.logdirs, &p->directory);
    if (p->log_dir == image_no_log_dir)
        log_error("topics", "%s-%d is in a log dir that is not in log.dirs", topic->name, i);
    else if (t->o.logdirs->dirs[p->log_dir].online && topic->state != IMAGE_TOPIC_DELETING)
        log_warn("topics", "%s-%d has no directory in %s: an empty one is made", topic->name, i,
                 t->o.logdirs->dirs[p->log_dir].path);
}

/*
 * What was found outside the recorded log dir, while that is away, must say that it is ours: else the
 * partition's records are taken for a stray when the log dir is back.
 */
static void partition_doubt(struct topics *t, struct image_topic *topic, int32_t i)
{
    struct image_partition *p = &topic->partitions[i];
    const struct logdirs *dirs = t->o.logdirs;
    const char *dir = dirs->dirs[p->log_dir].path;
    uint32_t recorded = logdirs_by_id(dirs, &p->directory);
    char name[topic_name_bytes_max + 16];
    struct uuid id;
    if (uuid_is_zero(&p->directory) ||
        (recorded != image_no_log_dir && dirs->dirs[recorded].online))
        return;
    snprintf(name, sizeof(name), "%s-%d", topic->name, i);
    if (logdir_topic_id(t->o.fs, dir, name, &id) == 0 && uuid_eq(&id, &topic->id))
        return;
    log_error("topics",
              "%s/%s: it is not known whose it is, and the partition's own log dir is away: it is "
              "left alone",
              dir, name);
    p->log_dir = image_no_log_dir;
}

static int partition_moved(struct topics *t, struct image_topic *topic, int32_t i)
{
    struct logdirs *dirs = t->o.logdirs;
    const struct log_dir *dir = &dirs->dirs[topic->partitions[i].log_dir];
    if (uuid_eq(&topic->partitions[i].directory, &dir->id))
        return 0;
    struct meta_record r = {
        .type = META_PARTITION_DIRECTORY, .id = topic->id, .partition = i, .directory = dir->id};
    log_info("topics", "%s-%d was moved to %s", topic->name, i, dir->path);
    return topics_append(t, &r, 1);
}

static int topic_place(struct topics *t, struct image_topic *topic)
{
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct image_partition *p = &topic->partitions[i];
        p->shard = topic_part_shard(t, &topic->id, i);
        if (p->log_dir != image_no_log_dir)
            partition_doubt(t, topic, i);
        if (p->log_dir == image_no_log_dir)
            partition_missing(t, topic, i);
        else if (partition_moved(t, topic, i) != 0)
            return ERR_IO;
        if (p->log_dir != image_no_log_dir)
            t->o.logdirs->dirs[p->log_dir].partitions++;
    }
    t->partition_count += (uint32_t)topic->partition_count;
    return 0;
}

/* ---- running ---- */

static void started_visible(struct topic_work *w)
{
    struct topics *t = w->topics;
    w->topic->state = IMAGE_TOPIC_LIVE;
    t->starting--;
    topic_work_end(w, 0, NULL);
}

static void started_opened(struct topic_work *w)
{
    struct view_topic *view = topic_view_make(w);
    w->refused = false; /* what could not be opened is offline, the rest runs */
    if (view && topic_publish(w, view, started_visible, NULL) == 0)
        return;
    free(view);
    control_fail(w->topics->control, "out of memory");
}

static int works_make(struct topics *t)
{
    size_t cursor = 0;
    for (struct image_topic *topic;
         (topic = map_next(&t->control->image.by_id, &cursor)) != NULL;) {
        struct topic_work *w = topic_work_new(t, topic);
        if (!w)
            return ERR_NO_MEMORY;
        w->checkpointed = true;
        w->busy = true;
        t->busy_count++;
        if (topic_place(t, topic) != 0)
            return ERR_IO;
        if (topic->state == IMAGE_TOPIC_DELETING)
            continue;
        t->starting++;
        t->partitions_all += (uint32_t)topic->partition_count;
    }
    return 0;
}

/* Nothing was opened; and nobody knows what the dirs are like. */
static void start_refused(struct topics *t)
{
    for (uint32_t i = 0; i < t->o.logdirs->count; i++)
        t->dirty_close[i] = true;
    t->state = TOPICS_STOPPED;
}

int topics_start(struct topics *t)
{
    int err = 0;
    t->state = TOPICS_STARTING;
    for (uint32_t i = 0; i < t->o.logdirs->data_count && !err; i++)
        if (t->o.logdirs->dirs[i].online)
            err = scan_dir(t, i);
    if (!err)
        err = works_make(t);
    if (err) {
        start_refused(t);
        return err;
    }
    t->starting++; /* holds the end back while works are begun */
    struct topic_work *next;
    for (struct topic_work *w = t->works; w; w = next) {
        next = w->next;
        if (w->topic->state == IMAGE_TOPIC_DELETING)
            topic_delete_files(w); /* may free w; needs a pass, which comes at the end */
        else
            topic_parts_open(w, 0, w->topic->partition_count, started_opened);
    }
    topics_space_start(t);
    t->starting--;
    topics_start_check(t);
    return 0;
}

/* All topics run: a pass that begins now names no stray and no topic of before. Then it is over. */
void topics_start_check(struct topics *t)
{
    if (t->state != TOPICS_STARTING || t->starting != 0 || t->pass || !t->space_looked)
        return;
    if (!t->start_passed) {
        t->start_passed = true;
        topics_checkpoint(t);
        return;
    }
    t->state = TOPICS_RUNNING;
    topics_checkpoint_arm(t);
    if (t->stop_wanted)
        topics_stop(t);
}

bool topics_started(const struct topics *t)
{
    return t->state == TOPICS_RUNNING;
}

void topics_progress(const struct topics *t, uint32_t *done, uint32_t *all)
{
    *done = t->partitions_open;
    *all = t->partitions_all;
}
