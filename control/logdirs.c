#include "control/logdirs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "control/meta/image.h"
#include "control/meta_properties.h"
#include "storage/journal/journal.h"

#define clean_mark_name ".kafka_cleanshutdown"
#define lock_name       ".lock"

const char *log_dir_checkpoint_name(enum log_dir_checkpoint which)
{
    static const char *const names[] = {CHECKPOINT_LOG_START, CHECKPOINT_RECOVERY_POINT,
                                        CHECKPOINT_REPLICATION};
    return names[which];
}

/* ---- open ---- */

/*
 * Makes one directory that stays: its name is on the medium. Also if it is there already: a start
 * before may have died between the two, and a power cut would take it away with all that is in it.
 */
static int mkdir_durable(struct fs *fs, const char *path)
{
    int made = fs->ops->mkdir(fs, path);
    if (made && made != ERR_EXISTS)
        return made;
    char parent[io_path_bytes_max];
    snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    int err = fs->ops->sync_dir(fs, slash ? parent : ".");
    return made ? made : err; /* the parent of what is there need not be ours to open */
}

/* The directory and those above it. */
static int dir_make(struct fs *fs, const char *path)
{
    char part[io_path_bytes_max];
    snprintf(part, sizeof(part), "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir_durable(fs, part); /* what is wrong shows at the last one */
        *slash = '/';
    }
    int err = mkdir_durable(fs, part);
    if (err != ERR_EXISTS)
        return err;
    struct fs_stat st;
    err = fs->ops->stat(fs, path, &st);
    return err ? err : st.is_dir ? 0 : ERR_EXISTS;
}

static int dir_lock(struct logdirs *l, struct log_dir *dir, char *why, size_t why_size)
{
    char path[io_path_bytes_max + 16];
    snprintf(path, sizeof(path), "%s/" lock_name, dir->path);
    int err = l->fs->ops->lock(l->fs, path, &dir->lock);
    if (err == ERR_BUSY)
        snprintf(why, why_size,
                 "%s is already locked, by another process or because log.dirs and "
                 "metadata.log.dir name this directory in two ways",
                 path);
    else if (err)
        snprintf(why, why_size, "%s cannot be locked: %s", path, err_text(err));
    return err;
}

static int dir_identify(struct logdirs *l, struct log_dir *dir, char *why, size_t why_size)
{
    struct meta_properties p;
    int err = meta_properties_read(l->fs, dir->path, &p, why, why_size);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err)
        return err;
    if (p.node_id != l->node_id) {
        snprintf(
            why, why_size,
            "%s/meta.properties says node.id=%d, configured is %d: it is another node's directory",
            dir->path, p.node_id, l->node_id);
        return ERR_INVALID;
    }
    dir->cluster_id = p.cluster_id;
    if (!uuid_is_zero(&p.directory_id)) {
        dir->id = p.directory_id;
        dir->identified = p.version == 1;
    }
    return 0;
}

static int dir_open(struct logdirs *l, struct log_dir *dir, char *why, size_t why_size)
{
    int err = dir_make(l->fs, dir->path);
    if (err)
        snprintf(why, why_size, "log dir %s cannot be used: %s", dir->path,
                 err == ERR_EXISTS ? "it is not a directory" : err_text(err));
    if (!err)
        err = dir_lock(l, dir, why, why_size);
    if (!err)
        err = dir_identify(l, dir, why, why_size);
    return err;
}

/* Without what changes nothing: doubled and last slashes, "." between them. */
static void path_plain(struct str path, char out[io_path_bytes_max])
{
    size_t n = 0;
    for (uint32_t i = 0; i < path.len && n + 1 < io_path_bytes_max; i++) {
        bool end = i + 1 == path.len || path.p[i + 1] == '/';
        bool begin = n == 0 || out[n - 1] == '/';
        if ((path.p[i] == '/' && begin && n > 0) || (path.p[i] == '.' && begin && end && n > 0))
            continue;
        out[n++] = path.p[i];
    }
    while (n > 1 && out[n - 1] == '/')
        n--;
    out[n] = '\0';
}

static bool path_same(struct str a, struct str b)
{
    char x[io_path_bytes_max], y[io_path_bytes_max];
    path_plain(a, x);
    path_plain(b, y);
    return strcmp(x, y) == 0;
}

static int paths_set(struct logdirs *l, const struct logdirs_options *o)
{
    uint32_t n = o->paths.count;
    l->dirs = calloc(n + 1, sizeof(*l->dirs));
    if (!l->dirs)
        return ERR_NO_MEMORY;
    l->count = l->data_count = n;
    for (uint32_t i = 0; i < n; i++) {
        struct str path = o->paths.items[i];
        snprintf(l->dirs[i].path, io_path_bytes_max, "%.*s", STR_ARG(path));
        if (o->metadata_path.len && path_same(path, o->metadata_path))
            l->metadata = i;
    }
    if (o->metadata_path.len && !path_same(o->metadata_path, str_from(l->dirs[l->metadata].path))) {
        snprintf(l->dirs[n].path, io_path_bytes_max, "%.*s", STR_ARG(o->metadata_path));
        l->metadata = l->count++;
    }
    return 0;
}

/* What says that the directory is somebody else's stops the start; what says that it is broken
 * takes it offline, as long as the metadata is elsewhere. */
static int dirs_open(struct logdirs *l, struct rng *rng, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct log_dir *dir = &l->dirs[i];
        dir->id = uuid_random(rng);
        int err = dir_open(l, dir, why, why_size);
        if (err == ERR_BUSY || err == ERR_INVALID || (err && i == l->metadata))
            return err;
        dir->online = err == 0;
        if (err)
            log_error("logdirs", "%s; it is offline", why);
    }
    if (logdirs_online_count(l) > 0)
        return 0;
    snprintf(why, why_size, "none of the log dirs can be used");
    return ERR_IO;
}

int logdirs_open(struct logdirs **out, const struct logdirs_options *options, char *why,
                 size_t why_size)
{
    struct logdirs *l = calloc(1, sizeof(*l));
    int err = l ? paths_set(l, options) : ERR_NO_MEMORY;
    if (err) {
        snprintf(why, why_size, "%s", err_text(err));
        free(l);
        return err;
    }
    l->fs = options->fs;
    l->clock = options->clock;
    l->node_id = options->node_id;
    err = dirs_open(l, options->rng, why, why_size);
    if (err) {
        logdirs_close(l);
        return err;
    }
    *out = l;
    return 0;
}

void logdirs_close(struct logdirs *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->count; i++) {
        if (l->dirs[i].lock)
            l->fs->ops->close(l->fs, l->dirs[i].lock);
        for (int k = 0; k < LOG_DIR_CHECKPOINT_COUNT; k++)
            checkpoint_free(&l->dirs[i].found[k]);
    }
    free(l->dirs);
    free(l);
}

/* ---- begin ---- */

int logdirs_cluster_id(const struct logdirs *l, struct uuid *out, char *why, size_t why_size)
{
    const struct log_dir *first = NULL;
    for (uint32_t i = 0; i < l->count; i++) {
        const struct log_dir *dir = &l->dirs[i];
        if (uuid_is_zero(&dir->cluster_id))
            continue;
        if (first && !uuid_eq(&first->cluster_id, &dir->cluster_id)) {
            char a[UUID_TEXT_LEN + 1], b[UUID_TEXT_LEN + 1];
            uuid_format(&first->cluster_id, a);
            uuid_format(&dir->cluster_id, b);
            snprintf(why, why_size,
                     "the log dirs belong to two clusters: %s has cluster.id=%s, %s has %s",
                     first->path, a, dir->path, b);
            return ERR_INVALID;
        }
        first = dir;
    }
    *out = first ? first->cluster_id : UUID_ZERO;
    return 0;
}

static int dir_checkpoints(struct logdirs *l, struct log_dir *dir)
{
    for (int i = 0; i < LOG_DIR_CHECKPOINT_COUNT; i++) {
        const char *name = log_dir_checkpoint_name((enum log_dir_checkpoint)i);
        int err = checkpoint_read(l->fs, dir->path, name, &dir->found[i]);
        if (err == ERR_CORRUPT) /* Kafka goes on with an empty one too */
            log_warn("logdirs", "%s/%s is damaged and not used", dir->path, name);
        else if (err)
            return err;
    }
    return 0;
}

static int dir_begin(struct logdirs *l, struct log_dir *dir, const struct uuid *cluster_id)
{
    char path[io_path_bytes_max + 32];
    struct fs_stat st;
    int err = dir_checkpoints(l, dir);
    if (err)
        return err;
    snprintf(path, sizeof(path), "%s/" clean_mark_name, dir->path);
    err = l->fs->ops->stat(l->fs, path, &st);
    if (err && err != ERR_NOT_FOUND) /* left there, it would be believed after the next crash */
        return err;
    dir->clean = err == 0;
    err = dir->clean ? l->fs->ops->unlink(l->fs, path) : 0;
    /* also without the mark: a start before may have died between the two, and a power cut brought
     * the mark back */
    if (!err)
        err = l->fs->ops->sync_dir(l->fs, dir->path);
    dir->begun = !err;
    if (!err && !dir->identified) {
        struct meta_properties p = {
            .cluster_id = *cluster_id, .directory_id = dir->id, .node_id = l->node_id};
        err = meta_properties_write(l->fs, dir->path, &p, clock_wall_ms(l->clock));
        dir->identified = !err;
    }
    return err ? err : meta_properties_hide(l->fs, dir->path);
}

int logdirs_begin(struct logdirs *l, const struct uuid *cluster_id, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct log_dir *dir = &l->dirs[i];
        if (!dir->online)
            continue;
        int err = dir_begin(l, dir, cluster_id);
        if (!err)
            continue;
        snprintf(why, why_size, "log dir %s cannot be written: %s", dir->path, err_text(err));
        if (i == l->metadata)
            return err;
        dir->online = false;
        log_error("logdirs", "%s; it is offline", why);
    }
    return 0;
}

void logdirs_make_room(struct logdirs *l, int64_t free_bytes, int64_t reserve_bytes)
{
    for (uint32_t i = 0; i < l->count; i++) {
        const struct log_dir *dir = &l->dirs[i];
        uint64_t total, available;
        if (!dir->online || l->fs->ops->space(l->fs, dir->path, &total, &available) != 0)
            continue;
        struct space_limits limits = space_limits(free_bytes, reserve_bytes, total);
        if (available >= limits.mark || reserve_drop(l->fs, dir->path) != 0)
            continue;
        log_warn("logdirs",
                 "%s: %llu bytes free, mark %llu (sluice.disk.free.bytes): the reserve is given up "
                 "for what the start must write",
                 dir->path, (unsigned long long)available, (unsigned long long)limits.mark);
    }
}

/* ---- while it runs ---- */

int64_t logdirs_offset(const struct logdirs *l, uint32_t dir, enum log_dir_checkpoint which,
                       struct str topic, int32_t partition)
{
    return checkpoint_find(&l->dirs[dir].found[which], topic, partition);
}

static bool dir_before(const struct log_dir *a, const struct log_dir *b)
{
    bool full_a = atomic_load(&a->space.level) >= PLOG_SPACE_LOW;
    bool full_b = atomic_load(&b->space.level) >= PLOG_SPACE_LOW;
    if (a->stale != b->stale)
        return b->stale;
    return full_a == full_b ? a->partitions < b->partitions : full_b;
}

uint32_t logdirs_choose(const struct logdirs *l)
{
    uint32_t best = image_no_log_dir;
    for (uint32_t i = 0; i < l->data_count; i++)
        if (l->dirs[i].online &&
            (best == image_no_log_dir || dir_before(&l->dirs[i], &l->dirs[best])))
            best = i;
    return best;
}

uint32_t logdirs_by_id(const struct logdirs *l, const struct uuid *id)
{
    for (uint32_t i = 0; i < l->data_count; i++)
        if (uuid_eq(&l->dirs[i].id, id))
            return i;
    return image_no_log_dir;
}

uint32_t logdirs_online_count(const struct logdirs *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->data_count; i++)
        n += l->dirs[i].online;
    return n;
}

int logdirs_mark_clean(struct logdirs *l, uint32_t dir, uint64_t boots)
{
    char text[96];
    int n = snprintf(text, sizeof(text), "{\"version\":0,\"brokerEpoch\":%llu}",
                     (unsigned long long)boots);
    int err = journal_remove_all(l->fs, l->dirs[dir].path);
    if (!err)
        err = meta_properties_show(l->fs, l->dirs[dir].path);
    return err ? err : file_replace(l->fs, l->dirs[dir].path, clean_mark_name, text, (size_t)n);
}
