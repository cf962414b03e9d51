#include "control/meta_properties.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/err.h"
#include "control/config/properties.h"

#define meta_properties_name      "meta.properties"
#define hidden_name               "sluice-meta.properties"
#define meta_properties_bytes_max 65536

static struct str find(const struct properties *all, const char *key)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (str_eqz(all->items[i].key, key))
            return all->items[i].value;
    return STR_NULL;
}

static struct str trimmed(struct str s)
{
    while (s.len && (unsigned char)s.p[s.len - 1] <= ' ')
        s.len--;
    return s;
}

/* A decimal int32. */
static bool number(struct str s, int32_t *out)
{
    char text[16];
    if (s.len == 0 || s.len >= sizeof(text))
        return false;
    memcpy(text, s.p, s.len);
    text[s.len] = '\0';
    char *end;
    long v = strtol(text, &end, 10);
    if (*end != '\0' || v < INT32_MIN || v > INT32_MAX)
        return false;
    *out = (int32_t)v;
    return true;
}

static int refuse(const char *path, const char *what, struct str found, char *why, size_t why_size)
{
    if (str_is_null(found))
        snprintf(why, why_size, "%s: %s is missing", path, what);
    else
        snprintf(why, why_size, "%s: %s=%.*s is not understood", path, what, STR_ARG(found));
    return ERR_INVALID;
}

static int understand(const struct properties *all, const char *path, struct meta_properties *out,
                      char *why, size_t why_size)
{
    struct meta_properties p = {0};
    struct str version = trimmed(find(all, "version"));
    if (!number(version, &p.version) || p.version < 0 || p.version > 1)
        return refuse(path, "version", version, why, why_size);
    const char *node_key = p.version == 0 ? "broker.id" : "node.id";
    struct str node = trimmed(find(all, node_key));
    if (!number(node, &p.node_id))
        return refuse(path, node_key, node, why, why_size);
    struct str cluster = trimmed(find(all, "cluster.id"));
    if (uuid_parse(cluster, &p.cluster_id) != 0)
        return refuse(path, "cluster.id", cluster, why, why_size);
    struct str directory = trimmed(find(all, "directory.id"));
    if (!str_is_null(directory) && uuid_parse(directory, &p.directory_id) != 0)
        return refuse(path, "directory.id", directory, why, why_size);
    *out = p;
    return 0;
}

static int64_t read_text(struct fs *fs, const char *path, char *text, size_t size)
{
    struct io_file *file;
    int err = fs->ops->open(fs, path, IO_OPEN_READ, &file);
    if (err)
        return err;
    int64_t n = fs->ops->pread(fs, file, text, size, 0);
    fs->ops->close(fs, file);
    return n == (int64_t)size ? ERR_TOO_LARGE : n;
}

static int parse(struct str text, const char *path, struct meta_properties *out, char *why,
                 size_t why_size)
{
    struct arena arena;
    struct properties all;
    struct properties_error error;
    arena_init(&arena, properties_text_bytes_max);
    int err = properties_parse(text, &arena, &all, &error);
    if (err)
        snprintf(why, why_size, "%s:%u: %s", path, error.line, error.what);
    else
        err = understand(&all, path, out, why, why_size);
    arena_free(&arena);
    return err;
}

static int read_name(struct fs *fs, const char *dir, const char *name, struct meta_properties *out,
                     char *why, size_t why_size)
{
    char path[io_path_bytes_max];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    char *text = malloc(meta_properties_bytes_max);
    if (!text)
        return ERR_NO_MEMORY;
    int64_t n = read_text(fs, path, text, meta_properties_bytes_max);
    int err = n < 0 ? (int)n : 0;
    if (err == 0)
        err = parse((struct str){text, (uint32_t)n}, path, out, why, why_size);
    else if (err != ERR_NOT_FOUND)
        snprintf(why, why_size, "%s cannot be read: %s", path, err_text(err));
    free(text);
    return err;
}

int meta_properties_read(struct fs *fs, const char *dir, struct meta_properties *out, char *why,
                         size_t why_size)
{
    int err = read_name(fs, dir, meta_properties_name, out, why, why_size);
    return err == ERR_NOT_FOUND ? read_name(fs, dir, hidden_name, out, why, why_size) : err;
}

static int move(struct fs *fs, const char *dir, const char *from, const char *to)
{
    char old_path[io_path_bytes_max], new_path[io_path_bytes_max];
    snprintf(old_path, sizeof(old_path), "%s/%s", dir, from);
    snprintf(new_path, sizeof(new_path), "%s/%s", dir, to);
    int err = fs->ops->rename(fs, old_path, new_path);
    if (err && err != ERR_NOT_FOUND)
        return err;
    /* it may have that name, and the medium not know it yet */
    return fs->ops->sync_dir(fs, dir);
}

int meta_properties_hide(struct fs *fs, const char *dir)
{
    return move(fs, dir, meta_properties_name, hidden_name);
}

int meta_properties_show(struct fs *fs, const char *dir)
{
    return move(fs, dir, hidden_name, meta_properties_name);
}

/* As java.util.Properties.store writes it: two comment lines, then the keys sorted. */
static int format(const struct meta_properties *p, int64_t wall_ms, char *out, size_t size)
{
    char cluster[UUID_TEXT_LEN + 1], directory[UUID_TEXT_LEN + 1], date[64];
    uuid_format(&p->cluster_id, cluster);
    uuid_format(&p->directory_id, directory);
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", &tm);
    return snprintf(out, size, "#\n#%s\ncluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n",
                    date, cluster, directory, p->node_id);
}

static int write_text(struct fs *fs, const char *path, const char *text, size_t n)
{
    struct io_file *file;
    int err = fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    err = fs->ops->pwrite(fs, file, text, n, 0);
    if (!err)
        err = fs->ops->sync(fs, file);
    fs->ops->close(fs, file);
    return err;
}

int meta_properties_write(struct fs *fs, const char *dir, const struct meta_properties *p,
                          int64_t wall_ms)
{
    char path[io_path_bytes_max], temp[io_path_bytes_max], text[512];
    snprintf(path, sizeof(path), "%s/" meta_properties_name, dir);
    snprintf(temp, sizeof(temp), "%s/" meta_properties_name ".tmp", dir);
    int n = format(p, wall_ms, text, sizeof(text));
    int err = write_text(fs, temp, text, (size_t)n);
    if (!err)
        err = fs->ops->rename(fs, temp, path);
    if (!err)
        err = fs->ops->sync_dir(fs, dir);
    return err;
}
