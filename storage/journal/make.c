/* The journal's file: made, removed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "storage/journal/journal_internal.h"
#include "storage/journal/probe.h"
#include "storage/plant.h"

#define zero_bytes (1 * MIB)

static int path_of(char out[io_path_bytes_max], const char *log_dir, const char *name)
{
    return snprintf(out, io_path_bytes_max, "%s/%s", log_dir, name) >= io_path_bytes_max
               ? ERR_TOO_LARGE
               : 0;
}

/* Past the page cache where that can be had. */
static int file_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    flags |= IO_OPEN_READ | IO_OPEN_WRITE;
    if (fs->ops->open(fs, path, flags | IO_OPEN_DIRECT, out) == 0)
        return 0;
    return fs->ops->open(fs, path, flags, out);
}

static int head_write(struct fs *fs, struct io_file *file, const struct journal_options *o,
                      uint32_t blocks)
{
    uint8_t *block = aligned_alloc(journal_block_bytes, journal_block_bytes);
    if (block == NULL)
        return ERR_NO_MEMORY;
    memset(block, 0, journal_block_bytes);
    struct journal_head h = {.dir = o->dir, .shard = o->shard, .blocks = blocks, .life = o->life};
    journal_head_put(block, &h);
    int err = fs->ops->pwrite(fs, file, block, journal_block_bytes, 0);
    free(block);
    return err ? err : fs->ops->sync(fs, file);
}

/* Zeros everywhere, so that a commit finds its blocks written and changes no metadata. */
static int zeros_write(struct fs *fs, struct io_file *file, uint32_t blocks)
{
    uint64_t bytes = (uint64_t)blocks * journal_block_bytes;
    size_t room = bytes < zero_bytes ? (size_t)bytes : zero_bytes;
    uint8_t *zeros = aligned_alloc(journal_block_bytes, room);
    if (zeros == NULL)
        return ERR_NO_MEMORY;
    memset(zeros, 0, room);
    int err = fs->ops->allocate(fs, file, (int64_t)bytes);
    if (err == ERR_UNSUPPORTED)
        err = 0;
    for (uint64_t at = 0; err == 0 && at < bytes; at += room) {
        size_t n = bytes - at < room ? (size_t)(bytes - at) : room;
        err = fs->ops->pwrite(fs, file, zeros, n, (int64_t)at);
    }
    free(zeros);
    return err ? err : fs->ops->sync(fs, file);
}

/* Zeros, and what the device took for such writes. A clock that stood still measures nothing. */
static int zeros_timed(const struct journal_options *o, struct io_file *file, uint32_t blocks,
                       uint64_t *worth)
{
    int64_t from = o->clock ? clock_mono_ns(o->clock) : 0;
    int err = zeros_write(o->fs, file, blocks);
    if (err || o->clock == NULL || clock_mono_ns(o->clock) == from)
        return err;
    return probe_run(o->fs, file, (uint64_t)blocks * journal_block_bytes, o->clock, worth);
}

/*
 * Under another name until it is whole: no start ever sees a header of which a part was written. The
 * rename takes the place of one that is there, whose commits are in the segments.
 */
static int file_make(const struct journal_options *o, const char *path, uint32_t blocks,
                     struct io_file **out, uint64_t *worth)
{
    struct fs *fs = o->fs;
    struct io_file *file;
    char name[journal_name_bytes_max], made[io_path_bytes_max];
    journal_name_unfinished(o->shard, name);
    int err = path_of(made, o->log_dir, name);
    bool old = PLANT(STALE_LAP) && err == 0 && fs->ops->rename(fs, path, made) == 0;
    if (err == 0)
        err = file_open(fs, made, old ? 0 : IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    if (!old)
        err = zeros_timed(o, file, blocks, worth);
    if (err == 0)
        err = head_write(fs, file, o, blocks);
    if (err == 0)
        err = fs->ops->rename(fs, made, path);
    if (err)
        fs->ops->unlink(fs, made); /* it only takes room */
    else
        err = fs->ops->sync_dir(fs, o->log_dir);
    if (err) {
        fs->ops->close(fs, file);
        return err;
    }
    *out = file;
    return 0;
}

int journal_make(struct journal **out, const struct journal_options *o)
{
    char name[journal_name_bytes_max], path[io_path_bytes_max];
    uint64_t blocks = o->bytes / journal_block_bytes;
    struct journal *j;
    if (blocks < journal_blocks_min || blocks > journal_blocks_max)
        return ERR_INVALID;
    journal_name(o->shard, name);
    int err = path_of(path, o->log_dir, name);
    if (err == 0)
        err = journal_new(&j, o, (uint32_t)blocks);
    if (err)
        return err;
    err = file_make(o, path, (uint32_t)blocks, &j->file, &j->worth);
    if (err) {
        journal_free(j);
        return err;
    }
    *out = j;
    return 0;
}

/* ---- removal ---- */

struct removal {
    char name[journal_name_bytes_max];
    bool found;
};

/* Also one that a broker did not finish making. */
static int removal_name(void *ctx, const char *name, bool is_dir)
{
    struct removal *r = ctx;
    uint32_t shard;
    if (is_dir || !(journal_name_parse(name, &shard) || journal_is_unfinished(name)))
        return 0;
    snprintf(r->name, sizeof(r->name), "%s", name);
    r->found = true;
    return 1;
}

int journal_remove_all(struct fs *fs, const char *log_dir)
{
    char path[io_path_bytes_max];
    for (;;) {
        struct removal r = {.found = false};
        int err = fs->ops->list(fs, log_dir, removal_name, &r);
        if (err < 0)
            return err;
        if (!r.found)
            return fs->ops->sync_dir(fs, log_dir); /* one that died may have removed them */
        err = path_of(path, log_dir, r.name);
        if (err == 0)
            err = fs->ops->unlink(fs, path);
        if (err)
            return err;
    }
}
