/* Producer state at open: the newest snapshot, and the batches behind it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/scan.h"

#define snapshot_bytes_max (producer_ids_max * (size_t)64) /* an entry takes 46 */

static void remove_snapshot(struct loader *l, int64_t offset)
{
    char path[io_path_bytes_max];
    struct fs *fs = l->plog->fs;
    if (segment_path(l->plog, offset, ".snapshot", path) == 0)
        fs->ops->unlink(fs, path);
}

static bool is_base(const struct plog *p, int64_t offset)
{
    return p->segments[plog_segment_at(p, offset)]->base == offset;
}

/*
 * Kafka's removeStraySnapshots and truncateAndReload: those of no segment go, but for the newest.
 */
static void drop_snapshots(struct loader *l)
{
    struct plog *p = l->plog;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < l->snapshot_count; i++) {
        int64_t at = l->snapshots[i];
        bool newest = i + 1 == l->snapshot_count || l->snapshots[i + 1] > p->end;
        bool stray = !is_base(p, at) && !(newest && at > plog_active(p)->base);
        if (at > p->end || at <= p->log_start || stray)
            remove_snapshot(l, at);
        else
            l->snapshots[kept++] = at;
    }
    l->snapshot_count = kept;
}

/* The newest snapshot that is whole; -1 without one. */
static int load_snapshot(struct loader *l, int64_t *offset)
{
    struct plog *p = l->plog;
    *offset = -1;
    while (l->snapshot_count > 0) {
        int64_t at = l->snapshots[l->snapshot_count - 1];
        char path[io_path_bytes_max], *bytes;
        size_t n;
        int err = segment_path(p, at, ".snapshot", path);
        if (err == 0)
            err = file_load(p->fs, path, snapshot_bytes_max, &bytes, &n);
        if (err && err != ERR_CORRUPT)
            return loader_own(loader_fail(l, err, "", "reading a producer snapshot"));
        if (err == 0) {
            err = producers_load(&p->producers, (uint8_t *)bytes, n, l->open->wall_ms,
                                 p->config.producer_expiration_ms);
            free(bytes);
        }
        if (err == 0) {
            *offset = at;
            return 0;
        }
        if (err != ERR_CORRUPT)
            return err;
        log_warn("storage", "%s is damaged, removed: producers are read from the log", path);
        remove_snapshot(l, at);
        l->snapshot_count--;
    }
    return 0;
}

/* The end marker of a transaction: key (version, type), value (version, coordinator epoch). */
static int replay_marker(struct scan *k, const struct batch_header *h)
{
    struct plog *p = k->l->plog;
    uint8_t copy[256];
    size_t n = h->bytes - batch_header_bytes;
    const uint8_t *b = n <= sizeof(copy) ? scan_bytes(k, k->at + batch_header_bytes, n) : NULL;
    if (b == NULL)
        return k->err;
    int32_t v, key, value;
    int64_t delta;
    const uint8_t *at = b, *end = b + n;
    int used = bytes_get_varint32(at, n, &v); /* record length */
    if (used <= 0 || end - (at += used) < 1)
        return 0;
    at++; /* attributes */
    if ((used = bytes_get_varint64(at, (size_t)(end - at), &delta)) <= 0)
        return 0;
    at += used;
    if ((used = bytes_get_varint32(at, (size_t)(end - at), &v)) <= 0)
        return 0;
    at += used;
    if ((used = bytes_get_varint32(at, (size_t)(end - at), &key)) <= 0 || key < 4 ||
        end - (at += used) < key)
        return 0;
    int16_t type = bytes_get_i16(at + 2);
    at += key;
    if ((used = bytes_get_varint32(at, (size_t)(end - at), &value)) <= 0 || value < 6 ||
        end - (at += used) < value || type > 1)
        return 0;
    int err = producers_reserve(&p->producers, h->producer_id);
    if (err)
        return err;
    producers_end_transaction(&p->producers, h->producer_id, h->producer_epoch,
                              bytes_get_i32(at + 2), h->base_timestamp + delta);
    return 0;
}

static int replay_batch(struct scan *k, const struct batch_header *h)
{
    struct plog *p = k->l->plog;
    if (h->producer_id < 0)
        return 0;
    if (h->attributes & batch_control)
        return replay_marker(k, h);
    int err = producers_reserve(&p->producers, h->producer_id);
    if (err)
        return err;
    struct producer_append a = {
        .producer_id = h->producer_id,
        .base_offset = h->base_offset,
        .last_offset = batch_last_offset(h),
        .max_timestamp_ms = h->max_timestamp,
        .base_sequence = h->base_sequence,
        .last_sequence =
            h->base_sequence < 0 ? -1 : batch_sequence_add(h->base_sequence, h->last_delta),
        .epoch = h->producer_epoch,
        .transactional = h->attributes & batch_transactional,
    };
    producers_update(&p->producers, &a);
    return 0;
}

/* To the segment's end; *from follows. ERR_CORRUPT: no batch where one is due. */
static int replay_batches(struct scan *k, int64_t *from)
{
    struct batch_header h;
    uint8_t magic;
    int err = 0;
    while (err == 0 && scan_header(k, &h, &magic)) {
        if (h.base_offset >= *from) {
            err = replay_batch(k, &h);
            *from = batch_last_offset(&h) + 1;
        }
        if (err == 0)
            k->at += h.bytes;
    }
    if (err || k->err)
        return err ? err : k->err;
    return k->at < k->size ? ERR_CORRUPT : 0;
}

static int replay_segment(struct loader *l, struct segment *s, int64_t from)
{
    struct plog *p = l->plog;
    bool opened = s->file == NULL;
    int err = opened ? scan_open(l, s) : 0;
    if (err)
        return err;
    struct scan k = {.l = l, .s = s, .size = s->size};
    if (s->loaded && from > s->base)
        k.at = offset_index_lookup(&s->offsets, (uint32_t)(from - s->base));
    bool by_index = k.at > 0;
    err = replay_batches(&k, &from);
    if (err == ERR_CORRUPT && by_index) {
        segment_distrust(s, "an entry names a byte where no batch begins");
        k.at = 0;
        err = replay_batches(&k, &from);
    }
    if (opened) {
        p->fs->ops->close(p->fs, s->file);
        s->file = NULL;
    }
    if (err == 0)
        return 0;
    char what[80];
    snprintf(what, sizeof(what), "byte %" PRId64 ": replaying producers from", k.at);
    return loader_own(scan_fail(l, s, err, what));
}

int loader_producers(struct loader *l)
{
    struct plog *p = l->plog;
    int64_t from;
    drop_snapshots(l);
    bool had = l->snapshot_count > 0; /* maybe damaged ones, which the batches replace */
    int err = load_snapshot(l, &from);
    if (err || PLANT(FORGOTTEN_PRODUCERS))
        return err;
    p->snapshot_offset = from >= 0 ? from : p->log_start;
    /* a clean stop without any snapshot: nothing was known then, as in Kafka */
    if (from < 0 && l->open->clean && !had)
        return 0;
    if (from < 0)
        from = p->log_start;
    for (uint32_t i = plog_segment_at(p, from); i < p->segment_count && from < p->end; i++) {
        err = replay_segment(l, p->segments[i], from);
        if (err)
            return err;
    }
    producers_expire(&p->producers, l->open->wall_ms, p->config.producer_expiration_ms);
    return 0;
}
