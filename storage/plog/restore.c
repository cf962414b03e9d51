/* Pieces of segments into their files, before any log is open. */
#include "storage/plog/restore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/str.h"
#include "storage/plant.h"
#include "storage/plog/batch.h"
#include "storage/plog/checkpoint.h"

#define metadata_bytes_max 4096
#define compare_bytes      4096

struct replay {
    const struct restore_options *o;
    struct restore_range *ranges; /* by partition, segment, position */
    uint32_t count;
    bool *placed; /* by range: its partition was found */
    struct restore_report *report;
    const char *dir; /* log dir at hand */
    int err;
    char *why;
    size_t why_size;
};

static int range_order(const void *a, const void *b)
{
    const struct region_place *x = &((const struct restore_range *)a)->place;
    const struct region_place *y = &((const struct restore_range *)b)->place;
    int d = memcmp(x->topic_id.b, y->topic_id.b, 16);
    if (d == 0)
        d = (x->partition > y->partition) - (x->partition < y->partition);
    if (d == 0)
        d = (x->base > y->base) - (x->base < y->base);
    if (d == 0)
        d = (x->position > y->position) - (x->position < y->position);
    return d ? d : (x->sequence > y->sequence) - (x->sequence < y->sequence);
}

/* The first range of the partition; r->count if there is none. */
static uint32_t find(const struct replay *r, const struct uuid *id, int32_t partition)
{
    struct restore_range key = {
        .place = {.topic_id = *id, .partition = partition, .base = INT64_MIN}};
    uint32_t low = 0, high = r->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (range_order(&r->ranges[mid], &key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool same_partition(const struct restore_range *x, const struct uuid *id, int32_t partition)
{
    return memcmp(x->place.topic_id.b, id->b, 16) == 0 && x->place.partition == partition;
}

static int fail(struct replay *r, int err, const char *path, const char *what)
{
    snprintf(r->why, r->why_size, "%s: %s what was acknowledged: %s", path, what, err_text(err));
    return err;
}

/* --- one file --------------------------------------------------------------------------------- */

/* True if what the file has there is the same, zeros, or nothing. */
static bool fits(struct fs *fs, struct io_file *file, const uint8_t *p, uint32_t n, int64_t at,
                 int *err)
{
    uint8_t have[compare_bytes];
    for (uint32_t done = 0; done < n;) {
        uint32_t part = n - done < compare_bytes ? n - done : compare_bytes;
        int64_t got = fs->ops->pread(fs, file, have, part, at + done);
        if (got < 0) {
            *err = (int)got;
            return false;
        }
        for (int64_t i = 0; i < got; i++)
            if (have[i] != 0 && have[i] != p[done + i])
                return false;
        done += part;
    }
    return true;
}

/*
 * True if nothing is in front of `at`. Records that end in so many zeros look the same: who asks may
 * say so and not act on it.
 */
static bool gap_before(struct fs *fs, struct io_file *file, int64_t at)
{
    uint8_t have[batch_header_bytes];
    int64_t n = at < (int64_t)sizeof(have) ? at : (int64_t)sizeof(have);
    int64_t got = fs->ops->pread(fs, file, have, (size_t)n, at - n);
    for (int64_t i = 0; i < got; i++)
        if (have[i] != 0)
            return got < n;
    return n > 0;
}

static void gap_say(struct replay *r, const char *path, int64_t at, uint32_t bytes)
{
    log_error("storage",
              "%s: before byte %" PRId64 " there are zeros: a damaged commit of %s held what was "
              "there, it seems; then the %u bytes that are put behind it are cut with it, and what "
              "follows them",
              path, at, r->o->source, bytes);
    r->report->behind_gaps++;
}

static int write_ranges(struct replay *r, struct io_file *file, const char *path, uint32_t from,
                        uint32_t to)
{
    struct fs *fs = r->o->fs;
    for (uint32_t i = from; i < to; i++) {
        const struct restore_range *x = &r->ranges[i];
        uint32_t n = x->place.used - x->place.start;
        int64_t at = (int64_t)x->place.position + x->place.start;
        int err = 0;
        if (!fits(fs, file, x->data, n, at, &err)) {
            if (err)
                return fail(r, err, path, "reading beside");
            log_error("storage",
                      "%s: another program wrote at %" PRId64
                      " after the broker died: %u bytes of %s are not put there",
                      path, at, n, r->o->source);
            r->report->refused += to - i;
            return 0; /* what follows would leave a hole */
        }
        if (r->o->gaps && gap_before(fs, file, at))
            gap_say(r, path, at, n);
        err = fs->ops->pwrite(fs, file, x->data, n, at);
        if (err)
            return fail(r, err, path, "writing");
        r->report->ranges++;
        r->report->bytes += n;
    }
    return 0;
}

static int replay_file(struct replay *r, const char *dir, uint32_t from, uint32_t to)
{
    struct fs *fs = r->o->fs;
    char path[io_path_bytes_max];
    struct io_file *file;
    if (snprintf(path, sizeof(path), "%s/%020" PRId64 ".log", dir, r->ranges[from].place.base) >=
        (int)sizeof(path))
        return ERR_TOO_LARGE;
    bool create = r->o->create || PLANT(TRUNCATE_UNFRAMED);
    int err = fs->ops->open(fs, path, IO_OPEN_READ | IO_OPEN_WRITE | (create ? IO_OPEN_CREATE : 0),
                            &file);
    if (err == ERR_NOT_FOUND && !create) {
        r->report->dropped += to - from; /* the segment was deleted since */
        return 0;
    }
    if (err)
        return fail(r, err, path, "opening the file for");
    if (!PLANT(UNSETTLED)) /* writes of the dead process must not come after ours */
        err = fs->ops->settle(fs, file);
    if (err)
        fail(r, err, path, "preparing the file for");
    if (err == 0)
        err = write_ranges(r, file, path, from, to);
    if (err == 0) {
        err = fs->ops->sync(fs, file);
        if (err)
            fail(r, err, path, "syncing");
    }
    fs->ops->close(fs, file);
    return err;
}

/* --- partitions ------------------------------------------------------------------------------- */

static int replay_partition(struct replay *r, const char *dir, uint32_t from)
{
    const struct region_place *first = &r->ranges[from].place;
    uint32_t at = from;
    int err = 0;
    while (err == 0 && at < r->count &&
           same_partition(&r->ranges[at], &first->topic_id, first->partition)) {
        uint32_t to = at;
        while (to < r->count && r->ranges[to].place.base == r->ranges[at].place.base &&
               same_partition(&r->ranges[to], &first->topic_id, first->partition))
            r->placed[to++] = true;
        err = replay_file(r, dir, at, to);
        at = to;
    }
    r->report->partitions++;
    return err ? err : r->o->fs->ops->sync_dir(r->o->fs, dir);
}

/*
 * ERR_NOT_FOUND: there is no topic id in it, or none that can be read: damage to that partition alone,
 * whose records, if there are any, have no place then.
 */
static int topic_id_read(struct fs *fs, const char *dir, struct uuid *out)
{
    char path[io_path_bytes_max], *text;
    size_t n;
    if (snprintf(path, sizeof(path), "%s/partition.metadata", dir) >= (int)sizeof(path))
        return ERR_NOT_FOUND;
    int err = file_load(fs, path, metadata_bytes_max, &text, &n);
    if (err == ERR_IO || err == ERR_CORRUPT) {
        log_warn("storage", "%s: %s: not known whose log it is", path, err_text(err));
        return ERR_NOT_FOUND;
    }
    if (err)
        return err;
    const char *at = strstr(text, "topic_id: ");
    bool ok = at && uuid_parse((struct str){at + 10, UUID_TEXT_LEN}, out) == 0;
    free(text);
    return ok ? 0 : ERR_NOT_FOUND;
}

/* A partition's directory ends in its number; others (-delete, -stray) do not. */
static bool partition_of(const char *name, int32_t *out)
{
    const char *dash = strrchr(name, '-');
    if (dash == NULL || dash == name || dash[1] == '\0' || strlen(dash) > 11)
        return false;
    int64_t v = 0;
    for (const char *p = dash + 1; *p; p++) {
        if (*p < '0' || *p > '9')
            return false;
        v = v * 10 + (*p - '0');
    }
    *out = (int32_t)v;
    return v <= INT32_MAX;
}

struct name_list {
    char *names; /* NUL-separated */
    size_t used, room;
    int err;
};

static int list_name(void *ctx, const char *name, bool is_dir)
{
    struct name_list *l = ctx;
    size_t n = strlen(name) + 1;
    if (!is_dir)
        return 0;
    if (l->used + n > l->room) {
        size_t room = (l->used + n) * 2;
        char *grown = realloc(l->names, room);
        if (grown == NULL) {
            l->err = ERR_NO_MEMORY;
            return 1;
        }
        l->names = grown;
        l->room = room;
    }
    memcpy(l->names + l->used, name, n);
    l->used += n;
    return 0;
}

static int replay_name(struct replay *r, const char *log_dir, const char *name)
{
    char path[io_path_bytes_max];
    struct uuid id;
    int32_t partition;
    if (!partition_of(name, &partition) ||
        snprintf(path, sizeof(path), "%s/%s", log_dir, name) >= (int)sizeof(path))
        return 0;
    int err = topic_id_read(r->o->fs, path, &id);
    if (err && err != ERR_NOT_FOUND)
        return fail(r, err, path, "reading partition.metadata for");
    if (err)
        return 0;
    uint32_t at = find(r, &id, partition);
    if (at == r->count || !same_partition(&r->ranges[at], &id, partition))
        return 0;
    return replay_partition(r, path, at);
}

static int replay_dir(struct replay *r, const char *log_dir)
{
    struct name_list l = {0};
    int err = r->o->fs->ops->list(r->o->fs, log_dir, list_name, &l);
    if (err >= 0)
        err = l.err;
    if (err)
        fail(r, err, log_dir, "listing for");
    for (size_t at = 0; err == 0 && at < l.used; at += strlen(l.names + at) + 1)
        err = replay_name(r, log_dir, l.names + at);
    free(l.names);
    return err;
}

/* Asks about each of them, also when one is to be kept already. */
static int replay_missing(struct replay *r)
{
    int err = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        const struct region_place *x = &r->ranges[i].place;
        if (r->placed[i])
            continue;
        r->report->dropped++;
        if (r->o->missing == NULL ||
            r->o->missing(r->o->ctx, &x->topic_id, x->partition) == RESTORE_DROP || err)
            continue;
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&x->topic_id, id);
        snprintf(r->why, r->why_size,
                 "%s holds acknowledged records of partition %d of the topic with id %s, "
                 "whose log dir is not there",
                 r->o->source, x->partition, id);
        err = ERR_BUSY;
    }
    return err;
}

int restore_ranges(const struct restore_options *o, struct restore_range *ranges, uint32_t count,
                   struct restore_report *report, char *why, size_t why_size)
{
    struct replay r = {.o = o,
                       .ranges = ranges,
                       .count = count,
                       .report = report,
                       .why = why,
                       .why_size = why_size};
    *report = (struct restore_report){0};
    if (count == 0)
        return 0;
    r.placed = calloc(count, sizeof(*r.placed));
    if (r.placed == NULL) {
        snprintf(why, why_size, "%s", err_text(ERR_NO_MEMORY));
        return ERR_NO_MEMORY;
    }
    qsort(ranges, count, sizeof(*ranges), range_order);
    int err = 0;
    for (uint32_t i = 0; i < o->dir_count && err == 0; i++)
        err = replay_dir(&r, o->dirs[i]);
    if (err == 0)
        err = replay_missing(&r);
    free(r.placed);
    return err;
}
