/* logdirs_files: directories of partitions that nobody has open: put aside, removed, identified. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/logdirs.h"

#define kafka_dir_name_bytes_max     255 /* Kafka keeps directory names within this */
#define partition_metadata_bytes_max 1024
#define metadata_name                "partition.metadata"

static int dir_path(char *out, size_t size, const char *log_dir, const char *name)
{
    return snprintf(out, size, "%s/%s", log_dir, name) >= (int)size ? ERR_TOO_LARGE : 0;
}

/* <name>.<32 hex digits>-stray, the name cut so that it fits. The digits only make it unique. */
static int stray_path(struct fs *fs, const char *log_dir, const char *name, char *out, size_t size)
{
    const size_t tail = 1 + 32 + strlen("-stray");
    for (unsigned i = 0; i < 10000; i++) {
        struct fs_stat st;
        int n = snprintf(out, size, "%s/%.*s.%032x-stray", log_dir,
                         (int)(kafka_dir_name_bytes_max - tail), name, i);
        if (n >= (int)size)
            return ERR_TOO_LARGE;
        if (fs->ops->stat(fs, out, &st) == ERR_NOT_FOUND)
            return 0;
    }
    return ERR_EXISTS;
}

int logdir_put_aside(struct fs *fs, const char *log_dir, const char *name)
{
    char from[io_path_bytes_max], to[io_path_bytes_max];
    int err = dir_path(from, sizeof(from), log_dir, name);
    if (!err)
        err = stray_path(fs, log_dir, name, to, sizeof(to));
    if (!err)
        err = fs->ops->rename(fs, from, to);
    return err ? err : fs->ops->sync_dir(fs, log_dir);
}

struct removal {
    struct fs *fs;
    const char *dir;
    char first[io_path_bytes_max]; /* a file to unlink next */
    bool found;
};

static int removal_name(void *ctx, const char *name, bool is_dir)
{
    struct removal *r = ctx;
    if (strcmp(name, metadata_name) == 0)
        return 0;
    r->found = !is_dir && dir_path(r->first, sizeof(r->first), r->dir, name) == 0;
    return r->found;
}

/*
 * One file at a time: the listing is not changed while it runs. What says whose it was goes last, so
 * that who dies in between leaves what the next start can tell, or an empty directory.
 */
int logdir_remove(struct fs *fs, const char *log_dir, const char *name)
{
    char path[io_path_bytes_max];
    int err = dir_path(path, sizeof(path), log_dir, name);
    if (err)
        return err;
    if (fs->ops->unlink(fs, path) == 0) /* a symbolic link: what it points to is not ours */
        return fs->ops->sync_dir(fs, log_dir);
    struct removal r = {.fs = fs, .dir = path};
    do {
        r.found = false;
        err = fs->ops->list(fs, path, removal_name, &r);
        if (!err && r.found)
            err = fs->ops->unlink(fs, r.first);
    } while (!err && r.found);
    if (!err) {
        err = dir_path(r.first, sizeof(r.first), path, metadata_name);
        if (!err)
            err = fs->ops->unlink(fs, r.first);
        if (err == ERR_NOT_FOUND)
            err = 0;
    }
    if (!err)
        err = fs->ops->rmdir(fs, path);
    return err ? err : fs->ops->sync_dir(fs, log_dir);
}

int logdir_remove_partition(struct fs *fs, const char *log_dir, struct str topic, int32_t partition)
{
    char name[topic_name_bytes_max + 16];
    snprintf(name, sizeof(name), "%.*s-%d", STR_ARG(topic), partition);
    return logdir_remove(fs, log_dir, name);
}

int logdir_topic_id(struct fs *fs, const char *log_dir, const char *name, struct uuid *out)
{
    char path[io_path_bytes_max], *text;
    size_t n;
    if (snprintf(path, sizeof(path), "%s/%s/" metadata_name, log_dir, name) >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    int err = file_load(fs, path, partition_metadata_bytes_max, &text, &n);
    if (err)
        return err;
    const char *key = strstr(text, "topic_id:");
    err = ERR_INVALID;
    if (key) {
        key += strlen("topic_id:");
        key += strspn(key, " ");
        struct str id = {key, (uint32_t)strcspn(key, "\r\n ")};
        err = uuid_parse(id, out);
    }
    free(text);
    return err;
}
