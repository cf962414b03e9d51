#include "control/cli/log_verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/uuid.h"
#include "control/cli/log_walk.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/epochs.h"
#include "storage/plog/index.h"
#include "storage/producer/producer.h"

#define small_file_max (64 * MIB)

struct verify {
    struct fs *fs;
    const struct log_verify_rules *rules;
    struct log_totals *totals;
    struct log_fault *fault;
    struct epochs epochs;
    bool has_epochs;
};

/* One index file while its segment is walked. */
struct entries {
    char path[io_path_bytes_max];
    char *bytes;
    uint32_t count, at, size; /* size: of an entry */
};

static int fault_at(struct verify *v, const char *file, int64_t position, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fault_at(struct verify *v, const char *file, int64_t position, const char *format, ...)
{
    va_list args;
    snprintf(v->fault->file, sizeof(v->fault->file), "%s", file);
    v->fault->position = position;
    va_start(args, format);
    vsnprintf(v->fault->text, sizeof(v->fault->text), format, args);
    va_end(args);
    return ERR_CORRUPT;
}

static int failed(struct verify *v, const char *file, int err)
{
    fault_at(v, file, 0, "%s", err_text(err));
    return err;
}

/* ---- indexes ---- */

/* Room that Kafka makes ahead is zeros. */
static bool entry_is_zero(const struct entries *e, uint32_t n)
{
    for (uint32_t i = 0; i < e->size; i++)
        if (e->bytes[(uint64_t)n * e->size + i])
            return false;
    return true;
}

static int entries_load(struct verify *v, struct entries *e, const char *log, const char *suffix,
                        uint32_t size)
{
    size_t n = 0, keep = strlen(log) - strlen(".log");
    *e = (struct entries){.size = size};
    if (snprintf(e->path, sizeof(e->path), "%.*s%s", (int)keep, log, suffix) >=
        (int)sizeof(e->path))
        return ERR_TOO_LARGE;
    int err = file_load(v->fs, e->path, small_file_max, &e->bytes, &n);
    if (err == ERR_NOT_FOUND) /* written when a segment is full or closed, made anew otherwise */
        return 0;
    if (err)
        return failed(v, e->path, err);
    if (n % size)
        return fault_at(v, e->path, (int64_t)(n - n % size), "half of an entry");
    e->count = (uint32_t)(n / size);
    while (e->count > 0 && entry_is_zero(e, e->count - 1))
        e->count--;
    return 0;
}

static const uint8_t *entry_bytes(const struct entries *e)
{
    return (const uint8_t *)e->bytes + (uint64_t)e->at * e->size;
}

static int offset_entries(struct verify *v, struct entries *e, int64_t base,
                          const struct log_batch *b, uint32_t *since)
{
    bool here = false;
    for (; e->at < e->count; e->at++) {
        int64_t offset = base + bytes_get_u32(entry_bytes(e));
        int64_t position = bytes_get_u32(entry_bytes(e) + 4);
        if (position > b->position)
            break;
        if (position < b->position || here)
            return fault_at(v, e->path, (int64_t)e->at * e->size,
                            "entry %u points at byte %" PRId64 ", where no batch begins", e->at,
                            position);
        if (offset < b->h.base_offset || offset > batch_last_offset(&b->h))
            return fault_at(v, e->path, (int64_t)e->at * e->size,
                            "entry %u is of offset %" PRId64 ", the batch there of %" PRId64
                            " to %" PRId64,
                            e->at, offset, b->h.base_offset, batch_last_offset(&b->h));
        here = true;
        *since = 0;
    }
    if (v->rules->index_interval >= 0 && e->bytes && *since > v->rules->index_interval)
        return fault_at(v, e->path, (int64_t)e->at * e->size,
                        "no entry for the batch at byte %" PRId64 ", %u bytes after the last one",
                        b->position, *since);
    *since += b->h.bytes;
    return 0;
}

static int time_entries(struct verify *v, struct entries *e, int64_t base,
                        const struct log_batch *b)
{
    for (; e->at < e->count; e->at++) {
        int64_t timestamp = bytes_get_i64(entry_bytes(e));
        int64_t offset = base + bytes_get_u32(entry_bytes(e) + 8);
        if (offset > batch_last_offset(&b->h))
            return 0;
        if (offset < b->h.base_offset && b->magic >= 2)
            return fault_at(v, e->path, (int64_t)e->at * e->size,
                            "entry %u is of offset %" PRId64 ", which no batch has", e->at, offset);
        if (timestamp != b->h.max_timestamp && b->magic >= 2)
            return fault_at(v, e->path, (int64_t)e->at * e->size,
                            "entry %u says %" PRId64 " ms, the batch %" PRId64, e->at, timestamp,
                            b->h.max_timestamp);
    }
    return 0;
}

static int entries_end(struct verify *v, const struct entries *e)
{
    if (e->at == e->count)
        return 0;
    return fault_at(v, e->path, (int64_t)e->at * e->size, "entry %u is behind the last batch",
                    e->at);
}

/* ---- batches ---- */

static int batch_verify(struct verify *v, const char *path, const struct log_batch *b)
{
    struct log_totals *t = v->totals;
    const struct batch_header *h = &b->h;
    if (!b->crc_right)
        return fault_at(v, path, b->position,
                        "the checksum of the batch at offset %" PRId64 " is wrong", h->base_offset);
    if (h->last_delta < 0 || (t->next >= 0 && h->base_offset < t->next))
        return fault_at(v, path, b->position, "offset %" PRId64 " where %" PRId64 " is due",
                        h->base_offset, t->next);
    if (t->next >= 0 && h->base_offset > t->next && !v->rules->compacted && b->magic >= 2)
        return fault_at(v, path, b->position, "offsets %" PRId64 " to %" PRId64 " are missing",
                        t->next, h->base_offset - 1);
    if (b->magic >= 2 && h->count != h->last_delta + 1 && !v->rules->compacted)
        return fault_at(v, path, b->position, "%d records, but offsets for %d", h->count,
                        h->last_delta + 1);
    if (h->leader_epoch < -1 || (h->leader_epoch >= 0 && h->leader_epoch < t->epoch))
        return fault_at(v, path, b->position, "leader epoch %d after %d", h->leader_epoch,
                        t->epoch);
    if (v->has_epochs && h->leader_epoch >= 0 && v->epochs.count &&
        h->base_offset >= v->epochs.entries[0].start &&
        epochs_at(&v->epochs, h->base_offset) != h->leader_epoch)
        return fault_at(v, path, b->position, "leader epoch %d, leader-epoch-checkpoint says %d",
                        h->leader_epoch, epochs_at(&v->epochs, h->base_offset));
    return 0;
}

static void batch_count(struct log_totals *t, const struct log_batch *b)
{
    const struct batch_header *h = &b->h;
    enum batch_codec codec = batch_codec(h);
    if (t->first < 0)
        t->first = h->base_offset;
    t->next = batch_last_offset(h) + 1;
    t->batches++;
    t->records += b->magic >= 2 ? (uint32_t)h->count : 1;
    if (codec < CODEC_COUNT && b->magic >= 2) {
        t->codec_batches[codec]++;
        t->codec_bytes[codec] += h->bytes;
    }
    if (h->leader_epoch >= 0)
        t->epoch = h->leader_epoch;
    if (b->magic < 2 || h->max_timestamp < 0)
        return;
    if (t->oldest_ms < 0 || h->max_timestamp < t->oldest_ms)
        t->oldest_ms = h->max_timestamp;
    if (h->max_timestamp > t->newest_ms)
        t->newest_ms = h->max_timestamp;
}

/* ---- segments ---- */

static int segment_walk(struct verify *v, const char *path, int64_t base, struct entries *offsets,
                        struct entries *times)
{
    struct log_walk w;
    struct log_batch b;
    uint32_t since = 0;
    int err = log_walk_open(&w, v->fs, path), got = 0;
    if (err)
        return failed(v, path, err);
    while (err == 0 && (got = log_walk_next(&w, &b)) > 0) {
        if (b.position == 0 && b.h.base_offset != base && b.magic >= 2 && !v->rules->compacted)
            err = fault_at(v, path, 0, "offset %" PRId64 " where %" PRId64 " is due",
                           b.h.base_offset, base);
        if (err == 0)
            err = batch_verify(v, path, &b);
        if (err == 0 && b.h.base_offset < base)
            err = fault_at(v, path, b.position, "offset %" PRId64 " in the segment of %" PRId64,
                           b.h.base_offset, base);
        if (err == 0)
            err = offset_entries(v, offsets, base, &b, &since);
        if (err == 0)
            err = time_entries(v, times, base, &b);
        if (err == 0)
            batch_count(v->totals, &b);
    }
    if (err == 0 && got == ERR_CORRUPT)
        err = fault_at(v, path, w.at, "%s", w.text);
    else if (err == 0 && got < 0)
        err = failed(v, path, got);
    v->totals->bytes += (uint64_t)w.size;
    v->totals->room = (uint64_t)w.room;
    v->totals->segments++;
    log_walk_close(&w);
    if (err == 0)
        err = entries_end(v, offsets);
    return err ? err : entries_end(v, times);
}

static int segment_verify(struct verify *v, const char *path, int64_t base)
{
    struct entries offsets, times = {.bytes = NULL};
    int err = entries_load(v, &offsets, path, ".index", offset_index_entry_bytes);
    if (err == 0)
        err = entries_load(v, &times, path, ".timeindex", time_index_entry_bytes);
    if (err == 0)
        err = segment_walk(v, path, base, &offsets, &times);
    free(offsets.bytes);
    free(times.bytes);
    return err;
}

/* ---- the other files of a directory ---- */

static int snapshot_verify(struct verify *v, const char *path)
{
    struct producers producers;
    char *bytes;
    size_t n;
    if (v->rules->torn_snapshots)
        return 0;
    int err = file_load(v->fs, path, small_file_max, &bytes, &n);
    if (err)
        return failed(v, path, err);
    producers_init(&producers, 1);
    err = producers_load(&producers, (uint8_t *)bytes, n, 0, INT64_MAX);
    producers_free(&producers);
    free(bytes);
    return err == ERR_CORRUPT ? fault_at(v, path, 0,
                                         "no producer snapshot, or its checksum is "
                                         "wrong")
                              : err;
}

static int metadata_verify(struct verify *v, const char *path)
{
    struct uuid id;
    char *text;
    size_t n;
    int err = file_load(v->fs, path, small_file_max, &text, &n);
    if (err)
        return failed(v, path, err);
    const char *at = strstr(text, "topic_id: ");
    bool good = strncmp(text, "version: 0\n", 11) == 0 && at && strlen(at + 10) >= UUID_TEXT_LEN &&
                uuid_parse((struct str){at + 10, UUID_TEXT_LEN}, &id) == 0;
    free(text);
    return good ? 0 : fault_at(v, path, 0, "no topic id");
}

static int epochs_load(struct verify *v, const char *path)
{
    char *text;
    size_t n;
    int err = file_load(v->fs, path, small_file_max, &text, &n);
    if (err)
        return failed(v, path, err);
    err = n ? epochs_parse(&v->epochs, text, n) : 0;
    free(text);
    v->has_epochs = err == 0 && n > 0;
    return err == ERR_CORRUPT ? fault_at(v, path, 0, "no list of epochs and offsets") : err;
}

struct other {
    struct verify *v;
    const char *dir;
    int err;
};

static int other_file(void *ctx, const char *name, bool is_dir)
{
    struct other *o = ctx;
    char path[io_path_bytes_max];
    int64_t offset;
    if (is_dir || snprintf(path, sizeof(path), "%s/%s", o->dir, name) >= (int)sizeof(path))
        return 0;
    if (log_base(name, ".snapshot", &offset))
        o->err = snapshot_verify(o->v, path);
    else if (strcmp(name, "partition.metadata") == 0)
        o->err = metadata_verify(o->v, path);
    else if (strcmp(name, "leader-epoch-checkpoint") == 0)
        o->err = epochs_load(o->v, path);
    return o->err;
}

static int dir_verify(struct verify *v, const char *dir)
{
    struct other other = {v, dir, 0};
    int64_t *bases = NULL;
    uint32_t count = 0;
    int err = v->fs->ops->list(v->fs, dir, other_file, &other);
    if (err || other.err)
        return other.err ? other.err : failed(v, dir, err);
    err = log_segments(v->fs, dir, &bases, &count);
    if (err)
        return failed(v, dir, err);
    for (uint32_t i = 0; i < count && err == 0; i++) {
        char path[io_path_bytes_max];
        if (snprintf(path, sizeof(path), "%s/%020" PRId64 ".log", dir, bases[i]) >=
            (int)sizeof(path))
            err = ERR_TOO_LARGE;
        else if (v->totals->next >= 0 && v->totals->next != bases[i] && !v->rules->compacted)
            err = fault_at(v, path, 0, "offset %" PRId64 " is due: what is before is missing",
                           v->totals->next);
        else
            err = segment_verify(v, path, bases[i]);
        if (err == 0 && v->totals->next < bases[i])
            v->totals->next = bases[i];
    }
    free(bases);
    return err;
}

int log_verify(struct fs *fs, const char *path, const struct log_verify_rules *rules,
               struct log_totals *totals, struct log_fault *fault)
{
    struct verify v = {.fs = fs, .rules = rules, .totals = totals, .fault = fault};
    struct fs_stat st;
    *totals =
        (struct log_totals){.first = -1, .next = -1, .oldest_ms = -1, .newest_ms = -1, .epoch = -1};
    *fault = (struct log_fault){.position = 0};
    int err = fs->ops->stat(fs, path, &st);
    const char *name = strrchr(path, '/');
    int64_t base = 0;
    if (err)
        return failed(&v, path, err);
    if (st.is_dir)
        err = dir_verify(&v, path);
    else if (log_base(name ? name + 1 : path, ".log", &base))
        err = segment_verify(&v, path, base);
    else
        err = failed(&v, path, ERR_INVALID);
    epochs_free(&v.epochs);
    return err;
}
