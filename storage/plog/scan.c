/* Batches of a segment's file, read at open. */
#include "storage/plog/scan.h"

#include <inttypes.h>
#include <stdio.h>

const uint8_t *scan_bytes(struct scan *k, int64_t at, size_t n)
{
    struct fs *fs = k->l->plog->fs;
    if (at + (int64_t)n > k->size)
        return NULL;
    if (at < k->buffer_at || at + (int64_t)n > k->buffer_at + (int64_t)k->buffered) {
        int64_t got = fs->ops->pread(fs, k->s->file, k->l->buffer, scan_buffer_bytes, at);
        if (got < 0) {
            k->err = (int)got;
            return NULL;
        }
        k->buffer_at = at;
        k->buffered = (size_t)got;
        if (n > k->buffered) {
            k->err = ERR_IO; /* the file is shorter than it was: not the end of what is good */
            return NULL;
        }
    }
    return k->l->buffer + (at - k->buffer_at);
}

bool scan_header(struct scan *k, struct batch_header *h, uint8_t *magic)
{
    const uint8_t *p = scan_bytes(k, k->at, batch_to_magic_bytes);
    if (p == NULL)
        return false;
    uint32_t length = bytes_get_u32(p + BATCH_LENGTH);
    *magic = p[BATCH_MAGIC];
    if (length < batch_length_min || length > segment_bytes_max - batch_overhead_bytes ||
        *magic > 2 || k->at + length + batch_overhead_bytes > k->size)
        return false;
    if (*magic < 2) {
        *h = (struct batch_header){
            .base_offset = bytes_get_i64(p),
            .bytes = length + batch_overhead_bytes,
            .leader_epoch = -1,
            .crc = bytes_get_u32(p + 12), /* where format 2 has the leader epoch */
            .max_timestamp = -1,
            .producer_id = -1,
        };
        return true;
    }
    p = scan_bytes(k, k->at, batch_header_bytes);
    if (p == NULL)
        return false;
    batch_decode(p, h);
    return h->bytes >= batch_header_bytes && h->last_delta >= 0;
}

int scan_fail(struct loader *l, const struct segment *s, int err, const char *what)
{
    char name[64];
    snprintf(name, sizeof(name), "%020" PRId64 ".log", s->base);
    return loader_fail(l, err, name, what);
}

int scan_open(struct loader *l, struct segment *s)
{
    char path[io_path_bytes_max];
    struct fs *fs = l->plog->fs;
    int err = segment_path(l->plog, s->base, ".log", path);
    if (err == 0)
        err = fs->ops->open(fs, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &s->file);
    return err ? scan_fail(l, s, err, "opening") : 0;
}
