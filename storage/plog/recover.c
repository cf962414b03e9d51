/* What a crash left: segments scanned, torn tails cut, indexes made anew. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/scan.h"

/* Of format 2: CRC32C from the attributes on; of the old ones: CRC32 from the magic byte on. */
static bool checksum_right(struct scan *k, const struct batch_header *h, uint8_t magic)
{
    int64_t at = k->at + (magic < 2 ? BATCH_MAGIC : BATCH_ATTRIBUTES), end = k->at + h->bytes;
    uint32_t crc = 0;
    while (at < end) {
        size_t n =
            end - at < (int64_t)scan_buffer_bytes / 2 ? (size_t)(end - at) : scan_buffer_bytes / 2;
        const uint8_t *p = scan_bytes(k, at, n);
        if (p == NULL)
            return false;
        crc = magic < 2 ? (uint32_t)crc32(crc, p, (uInt)n) : crc32c(crc, p, n);
        at += (int64_t)n;
    }
    return crc == h->crc || PLANT(TORN_TAIL);
}

/*
 * Offsets grow without holes where nothing was compacted, which is so at least in the last
 * segment: the base offset is not under the checksum.
 */
static bool batch_fits(const struct segment *s, const struct batch_header *h, int32_t epoch,
                       bool last)
{
    return h->base_offset >= s->next && (!last || h->base_offset == s->next) &&
           batch_last_offset(h) - s->base <= INT32_MAX &&
           (h->leader_epoch == -1 || (h->leader_epoch >= 0 && h->leader_epoch >= epoch));
}

/* Scans the whole segment into fresh indexes; *good is where the valid bytes end. */
static int scan_segment(struct loader *l, struct segment *s, int64_t file_size, bool last,
                        int64_t *good)
{
    struct plog *p = l->plog;
    struct scan k = {.l = l, .s = s, .size = file_size};
    struct batch_header h;
    uint8_t magic;
    int32_t epoch = -1;
    bool changed;
    s->size = s->since_index = 0;
    s->next = s->base;
    while (scan_header(&k, &h, &magic) && checksum_right(&k, &h, magic) &&
           batch_fits(s, &h, epoch, last && magic >= 2)) {
        if (h.leader_epoch >= 0) {
            epoch = h.leader_epoch;
            if (epoch > epochs_latest(&p->epochs)) {
                int err = epochs_assign(&p->epochs, epoch, h.base_offset, &changed);
                if (err)
                    return err;
                p->epochs_changed |= changed;
            }
        }
        segment_add(s, h.bytes, batch_last_offset(&h), h.max_timestamp,
                    p->config.index_interval_bytes);
        k.at += h.bytes;
    }
    *good = k.at;
    return k.err;
}

/* From the last index entry on: what the active segment's memory must know after a clean stop. */
static int walk_end(struct loader *l, struct segment *s, int64_t *good)
{
    struct scan k = {.l = l, .s = s, .size = s->size};
    struct batch_header h;
    uint8_t magic;
    uint32_t last = s->offsets.entries;
    if (s->size > 0 && scan_header(&k, &h, &magic))
        s->first_timestamp = h.max_timestamp;
    k.at = last ? offset_index_position(&s->offsets, last - 1) : 0;
    s->since_index = s->size - (uint32_t)k.at;
    s->next = s->base;
    if (k.at > 0 && scan_header(&k, &h, &magic) && h.base_offset > s->base)
        s->next = h.base_offset; /* what is before the last index entry is trusted */
    while (k.at < k.size && scan_header(&k, &h, &magic) && batch_fits(s, &h, -1, magic >= 2)) {
        if (h.max_timestamp > s->max_timestamp) {
            s->max_timestamp = h.max_timestamp;
            s->max_timestamp_offset = batch_last_offset(&h);
        }
        s->next = batch_last_offset(&h) + 1;
        k.at += h.bytes;
    }
    *good = k.at;
    return k.err;
}

/* --- one segment ------------------------------------------------------------------------------ */

/* 1 if the segment begins with something, 0 if with nothing or zeros, as room made ahead does. */
static int has_bytes(const struct plog *p, int64_t base)
{
    char path[io_path_bytes_max];
    uint8_t head[batch_overhead_bytes];
    struct io_file *file;
    int err = segment_path(p, base, ".log", path);
    if (err == 0)
        err = p->fs->ops->open(p->fs, path, IO_OPEN_READ, &file);
    if (err)
        return err;
    int64_t got = p->fs->ops->pread(p->fs, file, head, sizeof(head), 0);
    p->fs->ops->close(p->fs, file);
    if (got < 0)
        return (int)got;
    for (int64_t i = 0; i < got; i++)
        if (head[i] != 0)
            return 1;
    return 0;
}

/*
 * 1 if a segment behind the one at hand has bytes, 0 if none has. An error must not pass for
 * either: bytes would be cut away, or an empty segment stay behind a hole.
 */
static int bytes_behind(const struct loader *l)
{
    int has = 0;
    for (uint32_t k = l->at + 1; k < l->base_count && has == 0; k++)
        has = has_bytes(l->plog, l->bases[k]);
    return has;
}

/* The next segment goes on where the good bytes end: what follows them can only be room. */
static bool goes_on(const struct loader *l, const struct segment *s)
{
    return l->at + 1 < l->base_count && s->next == l->bases[l->at + 1];
}

/* What is behind the good bytes: 1 for room that was made ahead, 0 for something torn, or an error. */
static int is_room(const struct loader *l, const struct segment *s, int64_t good)
{
    struct fs *fs = l->plog->fs;
    uint8_t head[batch_overhead_bytes];
    int64_t got = fs->ops->pread(fs, s->file, head, sizeof(head), good);
    for (int64_t i = 0; i < got; i++)
        if (head[i] != 0)
            return 0;
    return got < 0 ? (int)got : 1;
}

/*
 * The segment at hand ends earlier than it should: what follows it cannot stay. The last one goes
 * first, so that a crash in between leaves no hole.
 */
static int drop_behind(struct loader *l)
{
    struct plog *p = l->plog;
    if (l->at + 1 == l->base_count)
        return 0;
    while (l->base_count > l->at + 1) {
        int err = loader_delete_segment(l, l->bases[l->base_count - 1]);
        if (err) /* left there it would stand among what is written from now on */
            return err;
        l->base_count--;
    }
    return p->fs->ops->sync_dir(p->fs, p->dir);
}

/* The last entry of the time index is believed until something would be deleted by it. */
static void take_entry(struct segment *s, int64_t timestamp_ms, uint32_t relative)
{
    s->max_timestamp = s->entry_timestamp = timestamp_ms;
    s->max_timestamp_offset = s->entry_offset = s->base + relative;
    s->age = AGE_BY_INDEX;
}

/* The newest entry of the time index; ERR_CORRUPT or ERR_NOT_FOUND when it must be made anew. */
static int peek_indexes(struct loader *l, struct segment *s)
{
    struct fs *fs = l->plog->fs;
    char path[io_path_bytes_max];
    struct fs_stat st;
    struct io_file *file;
    uint8_t entry[time_index_entry_bytes];
    int64_t got = 0;
    segment_path(l->plog, s->base, ".index", path);
    int err = fs->ops->stat(fs, path, &st);
    if (err)
        return err;
    if (st.size % offset_index_entry_bytes)
        return ERR_CORRUPT;
    segment_path(l->plog, s->base, ".timeindex", path);
    err = fs->ops->stat(fs, path, &st);
    if (err)
        return err;
    if (st.size % time_index_entry_bytes)
        return ERR_CORRUPT;
    if (st.size == 0)
        return 0;
    err = fs->ops->open(fs, path, IO_OPEN_READ, &file);
    if (err)
        return err;
    got = fs->ops->pread(fs, file, entry, sizeof(entry), st.size - (int64_t)sizeof(entry));
    fs->ops->close(fs, file);
    if (got < (int64_t)sizeof(entry))
        return got < 0 ? (int)got : ERR_CORRUPT;
    take_entry(s, bytes_get_i64(entry), bytes_get_u32(entry + 8));
    return s->max_timestamp > 0 ? 0 : ERR_CORRUPT; /* zeros: preallocated by Kafka, never trimmed */
}

/* Takes the index files into memory with room to grow. */
static int adopt_indexes(struct loader *l, struct segment *s)
{
    struct index offsets, times;
    void *memory;
    int err = segment_read_indexes(s, &offsets, &times, &memory);
    if (err)
        return err;
    if (offsets.entries > s->offsets.max || times.entries > s->times.max) {
        free(memory);
        return ERR_CORRUPT; /* segment.index.bytes was lowered: rebuilt, then rolled */
    }
    memcpy(s->offsets.map, offsets.map, (size_t)offsets.entries * offset_index_entry_bytes);
    memcpy(s->times.map, times.map, (size_t)times.entries * time_index_entry_bytes);
    s->offsets.entries = offsets.entries;
    s->times.entries = times.entries;
    if (times.entries)
        take_entry(s, time_index_timestamp(&s->times, times.entries - 1),
                   time_index_relative(&s->times, times.entries - 1));
    free(memory);
    return 0;
}

static int bad_batch(struct loader *l, struct segment *s, int64_t at)
{
    char what[80];
    snprintf(what, sizeof(what), "byte %" PRId64 ": bad batch before acked ones", at);
    return scan_fail(l, s, ERR_CORRUPT, what);
}

/*
 * With the promise of the medium no crash takes what the recovery point says is there, and nothing is
 * gone after a clean stop; a journal has been put back by now. next: where the log ends.
 */
static bool misses_flushed(const struct loader *l, int64_t next)
{
    bool holds = l->open->durability == PLOG_FSYNC || l->open->clean;
    return holds && next < l->open->recovery_point;
}

static int flushed_is_gone(struct loader *l, struct segment *s, int64_t at)
{
    char what[256];
    snprintf(what, sizeof(what),
             "byte %" PRId64 ": no batch where offset %" PRId64
             " is due; " CHECKPOINT_RECOVERY_POINT " says that all before %" PRId64
             " was flushed. To go on without it take the partition's line out there, with the "
             "broker stopped",
             at, s->next, l->open->recovery_point);
    return scan_fail(l, s, ERR_CORRUPT, what);
}

/*
 * 1 if what would be cut was acked, 0 if not, or an error. After a clean stop and below the recovery
 * point (no scan) nothing was torn; with the promise of the operating system the rest may go, as in Kafka.
 */
static int was_acked(const struct loader *l, bool scan, bool last, bool room)
{
    if (!scan && !last && !room)
        return 1;
    return scan && l->open->durability == PLOG_OS ? 0 : bytes_behind(l);
}

/* What is in it was deleted; retention removes it when the log is open. */
static bool below_start(const struct loader *l)
{
    return l->at + 1 < l->base_count && l->bases[l->at + 1] <= l->open->log_start;
}

/* The page cache has what a flush failed to bring to the medium: as if it were written only now. */
static int write_again(struct loader *l, struct segment *s, int64_t good)
{
    struct fs *fs = l->plog->fs;
    for (int64_t at = 0; at < good; at += scan_buffer_bytes) {
        size_t n = good - at < (int64_t)scan_buffer_bytes ? (size_t)(good - at) : scan_buffer_bytes;
        int64_t got = fs->ops->pread(fs, s->file, l->buffer, n, at);
        if (got != (int64_t)n)
            return got < 0 ? (int)got : ERR_IO;
        int err = fs->ops->pwrite(fs, s->file, l->buffer, n, at);
        if (err)
            return err;
    }
    return 0;
}

/* What is there now is on the medium, also what looks written and is not. */
static int make_durable(struct loader *l, struct segment *s, int64_t good)
{
    int err = l->rewrite ? write_again(l, s, good) : 0;
    return err ? err : flush_or_mark(l->plog, s->file);
}

/*
 * Makes indexes anew, cuts what is torn, makes it durable. scan: a crash may have torn it. *cut: bytes
 * that went.
 */
static int rebuild(struct loader *l, struct segment *s, int64_t file_size, bool scan, bool last,
                   int64_t *cut)
{
    struct fs *fs = l->plog->fs;
    int64_t good;
    s->offsets.entries = s->times.entries = 0;
    s->max_timestamp = s->max_timestamp_offset = -1;
    s->age = AGE_KNOWN;
    s->first_timestamp = unknown_timestamp;
    /* what a process that died has under way must not come after the look at what is there */
    int err = scan && !PLANT(UNSETTLED) ? fs->ops->settle(fs, s->file) : 0;
    /* after a failed flush an earlier process may have left what looks written and is not */
    if (err == 0 && l->open->durability == PLOG_FSYNC && !PLANT(STALE_CACHE))
        err = fs->ops->drop_cache(fs, s->file);
    if (err)
        return scan_fail(l, s, err, "syncing");
    err = scan_segment(l, s, file_size, last, &good);
    if (err)
        return loader_own(scan_fail(l, s, err, "reading"));
    int room = good < file_size ? is_room(l, s, good) : 1;
    if (room < 0)
        return loader_own(scan_fail(l, s, room, "looking behind"));
    *cut = (goes_on(l, s) && room) || below_start(l) ? 0 : file_size - good;
    int acked = *cut > 0 ? was_acked(l, scan, last, room) : 0;
    if (acked)
        return acked < 0 ? loader_own(scan_fail(l, s, acked, "looking behind"))
                         : bad_batch(l, s, good);
    if ((*cut > 0 || last) && misses_flushed(l, s->next))
        return flushed_is_gone(l, s, good);
    if (*cut > 0 && !room)
        log_warn("storage",
                 "%s: %020" PRId64 ".log: %" PRId64
                 " bytes that are no whole batch cut at %" PRId64,
                 l->plog->name, s->base, *cut, good);
    if (*cut > 0)
        err = drop_behind(l);
    if (err == 0)
        err = fs->ops->truncate(fs, s->file, good);
    if (err == 0)
        err = make_durable(l, s, good);
    return err ? scan_fail(l, s, err, "cutting") : 0;
}

/* Frees what only an active or scanned segment needs. */
static void put_away(struct segment *s)
{
    struct fs *fs = s->plog->fs;
    fs->ops->close(fs, s->file);
    s->file = NULL;
    segment_drop_memory(s);
    s->sealed = true;
}

static int load_sealed(struct loader *l, struct segment *s, int64_t file_size, bool scan,
                       int64_t *cut)
{
    s->size = (uint32_t)file_size;
    *cut = 0;
    if (!scan) {
        int err = peek_indexes(l, s);
        if (err == 0) {
            s->sealed = true;
            return 0;
        }
        if (err != ERR_NOT_FOUND && err != ERR_CORRUPT)
            return loader_own(scan_fail(l, s, err, "reading the index of"));
        log_warn("storage", "%s: %020" PRId64 ": index files are missing or corrupt, made anew",
                 l->plog->name, s->base);
    }
    int err = segment_index_room(s, (uint64_t)l->plog->config.segment_index_bytes);
    if (err == 0)
        err = scan_open(l, s);
    if (err == 0)
        err = rebuild(l, s, file_size, scan, false, cut);
    if (err)
        return err;
    segment_end_times(s);
    err = segment_write_indexes(s);
    if (err)
        return scan_fail(l, s, err, "writing the index of");
    put_away(s);
    return 0;
}

static int load_active(struct loader *l, struct segment *s, int64_t file_size, bool scan,
                       int64_t *cut)
{
    int64_t good = 0;
    *cut = 0;
    s->size = (uint32_t)file_size;
    int err = segment_index_room(s, (uint64_t)l->plog->config.segment_index_bytes);
    if (err == 0)
        err = scan_open(l, s);
    if (err)
        return err;
    if (!scan && adopt_indexes(l, s) == 0) {
        err = walk_end(l, s, &good);
        if (err)
            return loader_own(scan_fail(l, s, err, "reading"));
        if (good == file_size)
            return misses_flushed(l, s->next) ? flushed_is_gone(l, s, good) : 0;
    }
    return rebuild(l, s, file_size, scan, true, cut);
}

/* --- all segments ----------------------------------------------------------------------------- */

static int new_active(struct loader *l, int64_t base)
{
    struct plog *p = l->plog;
    struct segment *s;
    int err = segment_new(&s, p, base, (uint64_t)p->config.segment_bytes);
    if (err)
        return err;
    err = plog_add_segment(p, s);
    if (err) {
        segment_free(s);
        return err;
    }
    s->created_ms = s->modified_ms = l->open->wall_ms;
    err = segment_index_room(s, (uint64_t)p->config.segment_index_bytes);
    if (err == 0)
        err = scan_open(l, s);
    if (err == 0)
        err = p->fs->ops->sync_dir(p->fs, p->dir);
    return err;
}

static int load_one(struct loader *l, uint32_t i, bool scan, int64_t *cut)
{
    struct plog *p = l->plog;
    bool last = i + 1 == l->base_count;
    l->at = i;
    char path[io_path_bytes_max];
    struct fs_stat st;
    struct segment *s;
    int err = segment_path(p, l->bases[i], ".log", path);
    if (err == 0)
        err = p->fs->ops->stat(p->fs, path, &st);
    if (err)
        return loader_own(loader_fail(l, err, "", "reading a segment's size"));
    uint64_t room = (uint64_t)p->config.segment_bytes > (uint64_t)st.size
                        ? (uint64_t)p->config.segment_bytes
                        : (uint64_t)st.size;
    err = segment_new(&s, p, l->bases[i], last ? room : 0);
    if (err)
        return err;
    err = plog_add_segment(p, s);
    if (err) {
        segment_free(s);
        return err;
    }
    if (st.size > (int64_t)segment_bytes_max + write_block_bytes)
        return scan_fail(l, s, ERR_CORRUPT, "larger than any segment");
    s->created_ms = l->open->wall_ms;
    s->modified_ms = st.mtime_ms;
    if (last)
        return load_active(l, s, st.size, scan, cut);
    err = load_sealed(l, s, st.size, scan, cut);
    s->written = s->submitted = s->size;
    if (err || *cut > 0)
        return err;
    int behind = scan && s->next < l->bases[i + 1] && !below_start(l) ? bytes_behind(l) : 1;
    if (behind < 0)
        return loader_own(scan_fail(l, s, behind, "looking behind"));
    if (behind == 0) {
        /* its last bytes never came to the disk, and the next segment holds nothing yet */
        if (misses_flushed(l, s->next))
            return flushed_is_gone(l, s, s->size);
        *cut = l->bases[i + 1] - s->next;
        return drop_behind(l);
    }
    s->next = l->bases[i + 1];
    return 0;
}

/*
 * The first segment that a scan must begin with: the one that holds the recovery point, or ended
 * there when that was noted; it may have been rolled since, with room behind its last batch.
 */
static uint32_t scan_from(const struct loader *l)
{
    uint32_t i = l->base_count;
    if (l->open->clean)
        return i;
    while (i > 0 && l->bases[i - 1] >= l->open->recovery_point)
        i--;
    return i > 0 ? i - 1 : 0;
}

/* What was a sealed segment is the active one now. */
static int make_active(struct loader *l, uint32_t i)
{
    struct plog *p = l->plog;
    int64_t cut;
    segment_free(p->segments[--p->segment_count]);
    return load_one(l, i, true, &cut);
}

/* Records before the log start were durable when it moved: checkpoint or log is damaged. */
static int start_refuse(struct loader *l)
{
    const struct plog *p = l->plog;
    if (l->why && l->why_size)
        snprintf(l->why, l->why_size,
                 "%s/" CHECKPOINT_LOG_START ": log start %" PRId64 " of %s, whose log ends at "
                 "%" PRId64 ": one of them is damaged, nothing was removed. With the broker "
                 "stopped, take out its line, and 1 from the count in the second line: the log "
                 "then begins with its first segment",
                 p->log_dir, l->open->log_start, p->name, plog_active(p)->next);
    return ERR_CORRUPT;
}

/* PLOG_OS: a lost tail. As Kafka has it, nothing of the log stays. */
static int start_behind_end(struct loader *l)
{
    struct plog *p = l->plog;
    if (plog_active(p)->next >= l->open->log_start)
        return 0;
    if (l->open->durability == PLOG_FSYNC)
        return start_refuse(l);
    log_warn("storage",
             "%s: log end %" PRId64 " is before the log start %" PRId64 ": all segments removed",
             p->name, plog_active(p)->next, l->open->log_start);
    while (p->segment_count > 0) {
        struct segment *s = p->segments[--p->segment_count];
        int64_t base = s->base;
        segment_free(s);
        int err = loader_delete_segment(l, base);
        if (err)
            return err;
    }
    epochs_free(&p->epochs);
    p->epochs_changed = true;
    return new_active(l, l->open->log_start);
}

/* Of a log without segments. What the checkpoints speak of was given out once. */
static int64_t first_offset(const struct loader *l)
{
    int64_t start = l->open->log_start, point = l->open->recovery_point;
    int64_t known = start > point ? start : point;
    return known > 0 ? known : 0;
}

/* A new one; or the removal of its topic was cut short, or somebody took the files away. */
static int without_segments(struct loader *l)
{
    int64_t first = first_offset(l);
    if (first > 0 && misses_flushed(l, l->open->log_start))
        log_error("storage",
                  "%s: no segment is there; " CHECKPOINT_RECOVERY_POINT " says that all before "
                  "offset %" PRId64 " was flushed: the log is empty and goes on there",
                  l->plog->dir, l->open->recovery_point);
    return new_active(l, first);
}

int loader_recover(struct loader *l)
{
    struct plog *p = l->plog;
    uint32_t from = scan_from(l);
    int err = 0;
    for (uint32_t i = 0; i < l->base_count && err == 0; i++) {
        int64_t cut;
        bool last = i + 1 == l->base_count;
        err = load_one(l, i, i >= from, &cut);
        if (err == 0 && cut > 0 && !last)
            err = make_active(l, i);
    }
    if (err == 0 && p->segment_count == 0)
        err = without_segments(l);
    if (err == 0)
        err = start_behind_end(l);
    if (err)
        return err;
    p->log_start =
        p->segments[0]->base > l->open->log_start ? p->segments[0]->base : l->open->log_start;
    p->end = plog_active(p)->next;
    return 0;
}
