#include "control/meta/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

struct loaded {
    uint8_t *bytes;
    size_t size;
    char path[io_path_bytes_max];
};

static int refuse(const struct loaded *f, size_t at, int err, const char *what, char *why,
                  size_t why_size)
{
    snprintf(why, why_size, "%s is corrupt at byte %zu: %s", f->path, at, what);
    return err;
}

static int read_whole(struct fs *fs, struct io_file *file, struct loaded *out)
{
    int64_t size;
    int err = fs->ops->size(fs, file, &size);
    if (err)
        return err;
    if (size > meta_file_bytes_max)
        return ERR_TOO_LARGE;
    uint8_t *bytes = malloc((size_t)size + 1);
    if (!bytes)
        return ERR_NO_MEMORY;
    int64_t n = fs->ops->pread(fs, file, bytes, (size_t)size, 0);
    if (n != size) {
        free(bytes);
        return n < 0 ? (int)n : ERR_IO;
    }
    out->bytes = bytes;
    out->size = (size_t)size;
    return 0;
}

/* ERR_NOT_FOUND without a text; other errors with one. */
static int file_load(struct meta_load *l, const char *name, struct loaded *out, char *why,
                     size_t why_size)
{
    *out = (struct loaded){0};
    if (snprintf(out->path, sizeof(out->path), "%s/%s", l->dir, name) >= (int)sizeof(out->path))
        return ERR_TOO_LARGE;
    struct io_file *file;
    int err = l->fs->ops->open(l->fs, out->path, IO_OPEN_READ, &file);
    if (err == ERR_NOT_FOUND)
        return err;
    if (err == 0) {
        if (l->drop_cache)
            err = l->fs->ops->drop_cache(l->fs, file);
        if (err == 0)
            err = read_whole(l->fs, file, out);
        l->fs->ops->close(l->fs, file);
    }
    if (err)
        snprintf(why, why_size, "%s cannot be read: %s", out->path, err_text(err));
    return err;
}

/* Hands the records of a frame to the visitor; `offset` moves on unless it is a snapshot. */
static int frame_visit(struct meta_load *l, enum meta_file kind, const struct loaded *f,
                       const struct meta_frame_view *v, int64_t offset, char *why, size_t why_size)
{
    struct meta_config configs[meta_configs_max];
    size_t at = 0;
    for (uint32_t i = 0; i < v->count; i++) {
        struct meta_record r;
        size_t place = (size_t)(v->records - f->bytes) + at;
        int64_t n = meta_record_decode(v->records + at, v->length - at, &r, configs);
        if (n < 0)
            return refuse(f, place, n == ERR_UNSUPPORTED ? ERR_UNSUPPORTED : ERR_CORRUPT,
                          n == ERR_UNSUPPORTED ? "a record of a newer version"
                                               : "a record cannot be decoded",
                          why, why_size);
        int err = l->record(l->ctx, kind, kind == META_FILE_LOG ? offset + i : offset, &r);
        if (err == ERR_CORRUPT)
            return refuse(f, place, err, "a record does not fit what stands before it", why,
                          why_size);
        if (err)
            return err;
        at += (size_t)n;
    }
    if (at != v->length)
        return refuse(f, (size_t)(v->records - f->bytes) + at, ERR_CORRUPT,
                      "bytes behind the last record of a frame", why, why_size);
    return 0;
}

static const char *head_text(int err)
{
    return err == ERR_UNSUPPORTED ? "a file of a newer format version"
                                  : "not the head of such a file";
}

static int snapshot_visit(struct meta_load *l, const struct loaded *f, char *why, size_t why_size)
{
    int64_t end;
    int err = meta_head_decode(META_FILE_SNAPSHOT, f->bytes, f->size, &end);
    if (err)
        return refuse(f, 0, err == ERR_UNSUPPORTED ? err : ERR_CORRUPT, head_text(err), why,
                      why_size);
    for (size_t at = meta_head_bytes;;) {
        struct meta_frame_view v;
        int64_t n = meta_frame_decode(f->bytes + at, f->size - at, &v);
        if (n < 0)
            return refuse(f, at, ERR_CORRUPT, "a frame is damaged", why, why_size);
        err = frame_visit(l, META_FILE_SNAPSHOT, f, &v, end, why, why_size);
        if (err)
            return err;
        at += (size_t)n;
        if (v.count == 0) {
            if (at != f->size)
                return refuse(f, at, ERR_CORRUPT, "bytes behind the end", why, why_size);
            break;
        }
    }
    l->snapshot_offset = l->next_offset = end;
    l->snapshot_bytes = (int64_t)f->size;
    return 0;
}

/* Whether a whole frame with a later offset stands anywhere behind a damaged one. */
static bool frame_follows(const struct loaded *f, size_t at, int64_t offset)
{
    for (size_t p = at + 1; p + meta_frame_head_bytes <= f->size; p++) {
        struct meta_frame_view v;
        if (f->bytes[p] == 'S' && meta_frame_decode(f->bytes + p, f->size - p, &v) > 0 &&
            v.offset > offset)
            return true;
    }
    return false;
}

static int log_frame(struct meta_load *l, const struct loaded *f, size_t at, int64_t *offset,
                     const struct meta_frame_view *v, char *why, size_t why_size)
{
    if (v->offset != *offset)
        return refuse(f, at, ERR_CORRUPT, "a frame has the wrong offset", why, why_size);
    int64_t end = *offset + v->count;
    if (*offset < l->snapshot_offset && end > l->snapshot_offset)
        return refuse(f, at, ERR_CORRUPT, "a frame straddles the snapshot's end", why, why_size);
    if (*offset >= l->snapshot_offset) {
        int err = frame_visit(l, META_FILE_LOG, f, v, *offset, why, why_size);
        if (err)
            return err;
    }
    *offset = end;
    return 0;
}

static int log_visit(struct meta_load *l, const struct loaded *f, char *why, size_t why_size)
{
    int64_t offset;
    int err = meta_head_decode(META_FILE_LOG, f->bytes, f->size, &offset);
    if (err)
        return refuse(f, 0, err == ERR_UNSUPPORTED ? err : ERR_CORRUPT, head_text(err), why,
                      why_size);
    if (offset > (l->snapshot_offset < 0 ? 0 : l->snapshot_offset))
        return refuse(f, 0, ERR_CORRUPT, "records between the snapshot and the log are missing",
                      why, why_size);
    l->log_base = offset;
    size_t at = meta_head_bytes;
    while (at < f->size) {
        struct meta_frame_view v;
        int64_t n = meta_frame_decode(f->bytes + at, f->size - at, &v);
        if (n < 0 && !frame_follows(f, at, offset))
            break;
        if (n < 0)
            return refuse(f, at, ERR_CORRUPT, "a frame is damaged and others follow it", why,
                          why_size);
        err = log_frame(l, f, at, &offset, &v, why, why_size);
        if (err)
            return err;
        at += (size_t)n;
    }
    l->log_good = (int64_t)at;
    l->log_bytes = (int64_t)f->size;
    if (offset < l->next_offset)
        return refuse(f, at, ERR_CORRUPT, "the log ends before the snapshot does", why, why_size);
    l->next_offset = offset;
    return 0;
}

static int both_visit(struct meta_load *l, const struct loaded *snapshot, const struct loaded *log,
                      char *why, size_t why_size)
{
    if (!snapshot->bytes && !log->bytes)
        return ERR_NOT_FOUND;
    if (!log->bytes) {
        snprintf(why, why_size, "%s is missing beside its snapshot", log->path);
        return ERR_CORRUPT;
    }
    int err = snapshot->bytes ? snapshot_visit(l, snapshot, why, why_size) : 0;
    return err ? err : log_visit(l, log, why, why_size);
}

int meta_load(struct meta_load *l, char *why, size_t why_size)
{
    struct loaded snapshot, log = {0};
    l->snapshot_offset = -1;
    l->snapshot_bytes = l->log_base = l->log_good = l->log_bytes = l->next_offset = 0;
    int err = file_load(l, meta_snapshot_name, &snapshot, why, why_size);
    if (err == 0 || err == ERR_NOT_FOUND) {
        err = file_load(l, meta_log_name, &log, why, why_size);
        if (err == 0 || err == ERR_NOT_FOUND)
            err = both_visit(l, &snapshot, &log, why, why_size);
    }
    free(snapshot.bytes);
    free(log.bytes);
    return err;
}
