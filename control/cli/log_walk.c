#include "control/cli/log_walk.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/crc32c.h"
#include "base/err.h"

#define name_digits 20
#define zeros_bytes 65536

int log_walk_open(struct log_walk *w, struct fs *fs, const char *path)
{
    *w = (struct log_walk){.fs = fs};
    int err = fs->ops->open(fs, path, IO_OPEN_READ, &w->file);
    if (err)
        return err;
    err = fs->ops->size(fs, w->file, &w->size);
    if (err)
        log_walk_close(w);
    return err;
}

void log_walk_close(struct log_walk *w)
{
    if (w->file)
        w->fs->ops->close(w->fs, w->file);
    w->file = NULL;
    free(w->buffer);
    w->buffer = NULL;
}

/* n bytes at the position, in the buffer. ERR_CORRUPT: the file is shorter by now. */
static int fill(struct log_walk *w, int64_t at, size_t n)
{
    if (n > w->buffer_bytes) {
        uint8_t *more = realloc(w->buffer, n);
        if (more == NULL)
            return ERR_NO_MEMORY;
        w->buffer = more;
        w->buffer_bytes = n;
    }
    int64_t got = w->fs->ops->pread(w->fs, w->file, w->buffer, n, at);
    if (got < 0)
        return (int)got;
    return (size_t)got == n ? 0 : ERR_CORRUPT;
}

/* True if there are only zeros from here to the end. */
static int only_zeros(struct log_walk *w, bool *out)
{
    *out = true;
    for (int64_t at = w->at; at < w->size && *out;) {
        size_t n = w->size - at < zeros_bytes ? (size_t)(w->size - at) : zeros_bytes;
        int err = fill(w, at, n);
        if (err)
            return err;
        for (size_t i = 0; i < n && *out; i++)
            *out = w->buffer[i] == 0;
        at += (int64_t)n;
    }
    return 0;
}

static bool crc_right(const struct log_batch *b)
{
    if (b->magic < 2)
        return (uint32_t)crc32(0, b->bytes + BATCH_MAGIC, b->h.bytes - BATCH_MAGIC) == b->h.crc;
    return crc32c(0, b->bytes + BATCH_ATTRIBUTES, b->h.bytes - BATCH_ATTRIBUTES) == b->h.crc;
}

static int wrong(struct log_walk *w, const char *text)
{
    snprintf(w->text, sizeof(w->text), "%s", text);
    return ERR_CORRUPT;
}

/* What stands where a batch should begin is none; zeros to the end are no fault. */
static int no_batch(struct log_walk *w, uint64_t bytes)
{
    bool zeros;
    int err = only_zeros(w, &zeros);
    if (err)
        return err;
    if (zeros) {
        w->room = w->size - w->at;
        return 0;
    }
    if (bytes < batch_overhead_bytes + batch_length_min)
        return wrong(w, "no batch begins here");
    snprintf(w->text, sizeof(w->text), "a batch of %" PRIu64 " bytes, the file has %" PRId64, bytes,
             w->size - w->at);
    return ERR_CORRUPT;
}

int log_walk_next(struct log_walk *w, struct log_batch *out)
{
    uint8_t raw[batch_header_bytes] = {0};
    int64_t left = w->size - w->at;
    if (left == 0)
        return 0;
    size_t head = left < batch_header_bytes ? (size_t)left : batch_header_bytes;
    int err = fill(w, w->at, head);
    if (err)
        return err == ERR_CORRUPT ? wrong(w, "the file was cut meanwhile") : err;
    memcpy(raw, w->buffer, head);
    batch_decode(raw, &out->h);
    if (out->h.bytes < batch_overhead_bytes + batch_length_min || out->h.bytes > left ||
        out->h.bytes < batch_overhead_bytes)
        return no_batch(w, out->h.bytes);
    out->magic = raw[BATCH_MAGIC];
    if (out->magic > 2 || (out->magic == 2 && out->h.bytes < batch_header_bytes))
        return wrong(w, "a batch of an unknown format");
    err = fill(w, w->at, out->h.bytes);
    if (err)
        return err == ERR_CORRUPT ? wrong(w, "the file was cut meanwhile") : err;
    out->position = w->at;
    out->bytes = w->buffer;
    out->crc_right = crc_right(out);
    if (out->magic < 2) { /* base_offset of the old formats is that of the last message */
        out->h.last_delta = 0;
        out->h.leader_epoch = -1;
    }
    w->at += out->h.bytes;
    return 1;
}

/* ---- a directory ---- */

bool log_base(const char *name, const char *suffix, int64_t *out)
{
    char *end;
    if (strlen(name) != name_digits + strlen(suffix) || strspn(name, "0123456789") != name_digits ||
        strcmp(name + name_digits, suffix) != 0)
        return false;
    *out = (int64_t)strtoull(name, &end, 10);
    return *out >= 0;
}

struct bases {
    int64_t *all;
    uint32_t count, room;
    int err;
};

static int add_base(void *ctx, const char *name, bool is_dir)
{
    struct bases *b = ctx;
    int64_t base;
    if (is_dir || !log_base(name, ".log", &base))
        return 0;
    if (b->count == b->room) {
        uint32_t room = b->room ? b->room * 2 : 64;
        int64_t *all = realloc(b->all, room * sizeof(*all));
        if (all == NULL)
            return b->err = ERR_NO_MEMORY;
        b->all = all;
        b->room = room;
    }
    b->all[b->count++] = base;
    return 0;
}

static int base_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int log_segments(struct fs *fs, const char *dir, int64_t **bases, uint32_t *count)
{
    struct bases b = {0};
    int err = fs->ops->list(fs, dir, add_base, &b);
    if (err == 0)
        err = b.err;
    if (err) {
        free(b.all);
        return err;
    }
    if (b.count)
        qsort(b.all, b.count, sizeof(*b.all), base_order);
    *bases = b.all;
    *count = b.count;
    return 0;
}
