#include "control/meta/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "control/meta/frame.h"
#include "control/meta/load.h"

struct meta_store {
    struct fs *fs;
    struct image *image;
    struct io_file *log;
    int64_t log_size;
    uint64_t snapshot_after, due_at; /* bytes of the log */
    struct meta_frame frame;
    bool failed;
    char dir[io_path_bytes_max];
    char log_path[io_path_bytes_max], log_temp[io_path_bytes_max];
    char snapshot_path[io_path_bytes_max], snapshot_temp[io_path_bytes_max];
};

/* ---- files written whole: temporary name, flush, rename ---- */

static int file_put(struct meta_store *s, const char *path, const struct meta_frame *frames,
                    const uint8_t head[meta_head_bytes], struct io_file **out)
{
    const struct fs_ops *ops = s->fs->ops;
    struct io_file *file;
    int err = ops->open(s->fs, path,
                        IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    err = ops->pwrite(s->fs, file, head, meta_head_bytes, 0);
    if (!err && frames)
        err = ops->pwrite(s->fs, file, frames->bytes, frames->size, meta_head_bytes);
    if (!err)
        err = ops->sync(s->fs, file);
    if (err) {
        ops->close(s->fs, file);
        ops->unlink(s->fs, path);
        return err;
    }
    *out = file;
    return 0;
}

/* A new, empty log that begins at `offset`; takes the place of the one before. */
static int log_begin(struct meta_store *s, int64_t offset)
{
    const struct fs_ops *ops = s->fs->ops;
    uint8_t head[meta_head_bytes];
    struct io_file *file;
    meta_head_encode(META_FILE_LOG, offset, head);
    int err = file_put(s, s->log_temp, NULL, head, &file);
    if (err)
        return err;
    err = ops->rename(s->fs, s->log_temp, s->log_path);
    if (err) {
        ops->close(s->fs, file);
        ops->unlink(s->fs, s->log_temp);
        return err;
    }
    /* From here on the old log is not under its name any more: an error is final. */
    if (s->log)
        ops->close(s->fs, s->log);
    s->log = file;
    s->log_size = meta_head_bytes;
    err = ops->sync_dir(s->fs, s->dir);
    if (err)
        s->failed = true;
    return err;
}

/* ---- open ---- */

static int paths_make(struct meta_store *s, const char *dir)
{
    size_t room = io_path_bytes_max;
    int longest = snprintf(s->snapshot_temp, room, "%s/%s.tmp", dir, meta_snapshot_name);
    if (longest >= (int)room)
        return ERR_TOO_LARGE;
    snprintf(s->dir, room, "%s", dir);
    snprintf(s->log_path, room, "%s/%s", dir, meta_log_name);
    snprintf(s->log_temp, room, "%s/%s.tmp", dir, meta_log_name);
    snprintf(s->snapshot_path, room, "%s/%s", dir, meta_snapshot_name);
    return 0;
}

static int open_record(void *ctx, enum meta_file file, int64_t offset, const struct meta_record *r)
{
    struct meta_store *s = ctx;
    return image_apply(s->image, r);
}

/* Opens the log that was read and cuts what a torn append left behind its good part. */
static int log_continue(struct meta_store *s, const struct meta_load *l)
{
    const struct fs_ops *ops = s->fs->ops;
    int err = ops->open(s->fs, s->log_path, IO_OPEN_READ | IO_OPEN_WRITE, &s->log);
    if (!err && l->log_good != l->log_bytes) {
        err = ops->truncate(s->fs, s->log, l->log_good);
        if (!err)
            err = ops->sync(s->fs, s->log);
    }
    s->log_size = l->log_good;
    return err;
}

static void due_set(struct meta_store *s, uint64_t snapshot_bytes)
{
    uint64_t least = 2 * snapshot_bytes;
    s->due_at = s->snapshot_after > least ? s->snapshot_after : least;
}

/* What stands on disk into the image; makes a first log where there is nothing. */
static int store_load(struct meta_store *s, char *why, size_t why_size)
{
    struct meta_load l = {
        .fs = s->fs, .dir = s->dir, .drop_cache = true, .record = open_record, .ctx = s};
    why[0] = '\0';
    int err = meta_load(&l, why, why_size);
    if (err && err != ERR_NOT_FOUND) {
        if (why[0] == '\0')
            snprintf(why, why_size, "metadata in %s: %s", s->dir, err_text(err));
        return err;
    }
    s->fs->ops->unlink(s->fs, s->snapshot_temp);
    s->fs->ops->unlink(s->fs, s->log_temp);
    bool fresh = err == ERR_NOT_FOUND;
    due_set(s, fresh ? 0 : (uint64_t)l.snapshot_bytes);
    err = fresh ? log_begin(s, 0) : log_continue(s, &l);
    if (err)
        snprintf(why, why_size, "%s cannot be opened for writing: %s", s->log_path, err_text(err));
    else if (!fresh)
        s->image->next_offset = l.next_offset;
    return err;
}

int meta_store_open(struct meta_store **out, const struct meta_store_options *options,
                    struct image *image, char *why, size_t why_size)
{
    struct meta_store *s = calloc(1, sizeof(*s));
    if (!s) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    s->fs = options->fs;
    s->image = image;
    s->snapshot_after = options->snapshot_after_bytes;
    int err = paths_make(s, options->dir);
    if (err)
        snprintf(why, why_size, "the metadata directory's path is too long");
    else
        err = store_load(s, why, why_size);
    if (err) {
        meta_store_close(s);
        return err;
    }
    *out = s;
    return 0;
}

/* ---- append ---- */

static int append_write(struct meta_store *s)
{
    const struct fs_ops *ops = s->fs->ops;
    int err = ops->pwrite(s->fs, s->log, s->frame.bytes, s->frame.size, s->log_size);
    if (err == ERR_NO_SPACE) {
        /* Nothing was promised yet; without the rest of it the frame must go again. */
        if (ops->truncate(s->fs, s->log, s->log_size) == 0)
            return err;
    } else if (err == 0) {
        err = ops->sync(s->fs, s->log);
    }
    if (err) {
        s->failed = true;
        return ERR_IO;
    }
    s->log_size += (int64_t)s->frame.size;
    return 0;
}

int meta_store_append(struct meta_store *s, const struct meta_record *records, uint32_t n)
{
    if (s->failed)
        return ERR_IO;
    if (n == 0)
        return 0;
    int err = 0;
    meta_frame_clear(&s->frame);
    for (uint32_t i = 0; i < n && !err; i++)
        err = meta_frame_add(&s->frame, &records[i]);
    if (!err)
        err = meta_frame_end(&s->frame, s->image->next_offset);
    if (!err)
        err = append_write(s);
    for (uint32_t i = 0; i < n && !err; i++) {
        err = image_apply(s->image, &records[i]);
        CHECK(err != ERR_CORRUPT);
        if (err) { /* no memory: disk and image differ now */
            s->failed = true;
            err = ERR_IO;
        }
    }
    return err;
}

/* ---- snapshot ---- */

struct snapshot {
    struct meta_store *store;
    struct meta_frame frame; /* the frame under construction */
    struct meta_frame all;   /* used as a plain buffer: the frames made so far */
};

#define snapshot_frame_bytes (1024 * 1024)

static int buffer_add(struct meta_frame *all, const struct meta_frame *frame)
{
    if (all->size + frame->size > all->room) {
        size_t room = all->room ? all->room : 2 * snapshot_frame_bytes;
        while (room < all->size + frame->size)
            room *= 2;
        uint8_t *grown = realloc(all->bytes, room);
        if (!grown)
            return ERR_NO_MEMORY;
        all->bytes = grown;
        all->room = room;
    }
    memcpy(all->bytes + all->size, frame->bytes, frame->size);
    all->size += frame->size;
    return 0;
}

static int snapshot_flush(struct snapshot *snap)
{
    int err = meta_frame_end(&snap->frame, 0);
    if (!err)
        err = buffer_add(&snap->all, &snap->frame);
    meta_frame_clear(&snap->frame);
    return err;
}

static int snapshot_record(void *ctx, const struct meta_record *r)
{
    struct snapshot *snap = ctx;
    int err = meta_frame_add(&snap->frame, r);
    if (!err && snap->frame.size >= snapshot_frame_bytes)
        err = snapshot_flush(snap);
    return err;
}

/* Frames of all records, then the empty one that ends them. */
static int snapshot_frames(struct snapshot *snap, const struct image *image)
{
    int err = image_records(image, snapshot_record, snap);
    if (!err && snap->frame.count != 0)
        err = snapshot_flush(snap);
    return err ? err : snapshot_flush(snap);
}

static int snapshot_put(struct meta_store *s, const struct meta_frame *all)
{
    const struct fs_ops *ops = s->fs->ops;
    uint8_t head[meta_head_bytes];
    struct io_file *file;
    meta_head_encode(META_FILE_SNAPSHOT, s->image->next_offset, head);
    int err = file_put(s, s->snapshot_temp, all, head, &file);
    if (err)
        return err;
    ops->close(s->fs, file);
    err = ops->rename(s->fs, s->snapshot_temp, s->snapshot_path);
    if (err)
        ops->unlink(s->fs, s->snapshot_temp);
    return err ? err : ops->sync_dir(s->fs, s->dir);
}

int meta_store_snapshot(struct meta_store *s)
{
    if (s->failed)
        return ERR_IO;
    struct snapshot snap = {.store = s};
    int err = snapshot_frames(&snap, s->image);
    if (!err)
        err = snapshot_put(s, &snap.all);
    if (!err)
        err = log_begin(s, s->image->next_offset);
    if (err)
        s->due_at += s->snapshot_after;
    else
        due_set(s, snap.all.size);
    meta_frame_free(&snap.frame);
    meta_frame_free(&snap.all);
    return err;
}

bool meta_store_snapshot_due(const struct meta_store *s)
{
    return !s->failed && (uint64_t)s->log_size >= s->due_at;
}

bool meta_store_failed(const struct meta_store *s)
{
    return s->failed;
}

void meta_store_close(struct meta_store *s)
{
    if (!s)
        return;
    if (s->log)
        s->fs->ops->close(s->fs, s->log);
    meta_frame_free(&s->frame);
    free(s);
}
