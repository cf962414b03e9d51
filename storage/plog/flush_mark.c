/*
 * A flush of this log failed. What it covered may look written for as long as the machine runs, and be
 * nowhere on the medium: no later flush writes it, and none fails for it. With PLOG_FSYNC an open asks the
 * medium. With PLOG_OS the page cache may be the only place that has what was acknowledged: the open writes
 * that once more. A file says so; it need not outlive the machine, as the page cache does not.
 */
#include <stdio.h>

#include "base/log.h"
#include "storage/plog/plog_internal.h"

static const char mark_name[] = "flush-failed";

static bool path_of(const struct plog *p, char out[io_path_bytes_max])
{
    return snprintf(out, io_path_bytes_max, "%s/%s", p->dir, mark_name) < io_path_bytes_max;
}

void flush_mark_set(const struct plog *p)
{
    char path[io_path_bytes_max];
    struct io_file *file;
    if (!path_of(p, path))
        return;
    int err = p->fs->ops->open(p->fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    if (err == 0)
        p->fs->ops->close(p->fs, file);
    else
        log_error("storage",
                  "%s: %s: after a restart, and a power cut later on, records may be lost", path,
                  err_text(err));
}

int flush_or_mark(const struct plog *p, struct io_file *file)
{
    int err = p->fs->ops->sync(p->fs, file);
    if (err)
        flush_mark_set(p);
    return err;
}

bool flush_mark_found(const struct plog *p)
{
    char path[io_path_bytes_max];
    struct fs_stat st;
    return path_of(p, path) && p->fs->ops->stat(p->fs, path, &st) != ERR_NOT_FOUND;
}

void flush_mark_clear(const struct plog *p)
{
    char path[io_path_bytes_max];
    if (path_of(p, path))
        p->fs->ops->unlink(p->fs, path); /* if it stays, the next open writes more than it must */
}
