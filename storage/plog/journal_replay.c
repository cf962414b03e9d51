#include "storage/plog/journal_replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "storage/journal/journal.h"
#include "storage/journal/scan.h"
#include "storage/plant.h"

struct one {
    struct journal_scan scan; /* first */
    const struct journal_replay_options *o;
    struct fs *fs;
    char path[io_path_bytes_max];
    struct journal_head head;
    uint8_t *image;
    size_t bytes;
    struct restore_range *ranges;
    uint32_t count, room;
    uint64_t sequence;
    bool headless; /* a commit whose partitions nobody knows was damaged */
    char *why;
    size_t why_size;
};

static int fail(struct one *x, int err, const char *what)
{
    snprintf(x->why, x->why_size, "%s: %s: %s", x->path, what, err_text(err));
    return err;
}

/* ---- frames ---- */

static bool damaged_before(const struct one *x, const struct journal_frame *f)
{
    for (uint32_t i = 0; i < x->count; i++) {
        const struct region_place *p = &x->ranges[i].place;
        if (x->ranges[i].data == NULL && p->partition == f->partition &&
            uuid_eq(&p->topic_id, &f->topic_id))
            return true;
    }
    return false;
}

static int range_add(struct one *x, const struct journal_frame *f, const uint8_t *data)
{
    if (x->count == x->room) {
        uint32_t room = x->room ? x->room * 2 : 256;
        struct restore_range *grown = realloc(x->ranges, room * sizeof(*grown));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        x->ranges = grown;
        x->room = room;
    }
    x->ranges[x->count++] = (struct restore_range){
        .place = {.topic_id = f->topic_id,
                  .partition = f->partition,
                  .leader_epoch = f->leader_epoch,
                  .base = f->base,
                  .position = f->position,
                  .used = f->bytes,
                  .sequence = ++x->sequence},
        .data = data,
    };
    return 0;
}

static int on_frame(struct journal_scan *s, const struct journal_frame *f, const uint8_t *data,
                    uint64_t at)
{
    struct one *x = (struct one *)s;
    if (s->damaged > 0 && damaged_before(x, f))
        return 0; /* it would leave a hole */
    return range_add(x, f, data);
}

/* A damaged frame stands among the ranges without data until they are put into the files. */
static void on_damage(struct journal_scan *s, const struct journal_frame *f, uint64_t at)
{
    struct one *x = (struct one *)s;
    char id[UUID_TEXT_LEN + 1];
    if (f == NULL) {
        x->headless = true;
        log_error("storage",
                  "%s: a commit before byte %" PRIu64
                  " is damaged: what it held of partitions is lost, what follows is kept",
                  x->path, at);
        return;
    }
    uuid_format(&f->topic_id, id);
    log_error("storage",
              "%s: byte %" PRIu64 " is damaged: %u bytes of partition %d of the topic with id %s "
              "at byte %u of %020" PRId64 ".log are lost, and what follows them",
              x->path, at, f->bytes, f->partition, id, f->position, f->base);
    (void)range_add(x, f, NULL); /* without memory for it the next one fails */
}

static void drop_damaged(struct one *x)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < x->count; i++)
        if (x->ranges[i].data)
            x->ranges[kept++] = x->ranges[i];
    x->count = kept;
}

/* ---- a file ---- */

static int load(struct one *x)
{
    struct fs *fs = x->fs;
    struct io_file *file;
    int64_t size;
    int err = fs->ops->open(fs, x->path, IO_OPEN_READ | IO_OPEN_WRITE, &file);
    if (err)
        return fail(x, err, "opening the journal");
    err = fs->ops->settle(fs, file);
    if (err == 0)
        err = fs->ops->drop_cache(fs, file); /* what the medium has, not what looks written */
    if (err == 0)
        err = fs->ops->size(fs, file, &size);
    if (err == 0 && size >= ((int64_t)journal_blocks_max + 1) * journal_block_bytes)
        err = ERR_TOO_LARGE;
    x->image = err ? NULL : malloc((size_t)size + journal_head_bytes);
    if (err == 0 && x->image == NULL)
        err = ERR_NO_MEMORY;
    if (err == 0) {
        memset(x->image, 0, journal_head_bytes);
        int64_t got = fs->ops->pread(fs, file, x->image, (size_t)size, 0);
        err = got < 0 ? (int)got : 0;
        x->bytes = got < 0 ? 0 : (size_t)got;
    }
    fs->ops->close(fs, file);
    if (err)
        return fail(x, err, "reading the journal");
    err = journal_head_get(x->image, &x->head);
    if (err) {
        fail(x, err,
             err == ERR_UNSUPPORTED
                 ? "byte 8: a journal of another format version (remove the file to give its "
                   "records up)"
                 : "byte 0: the journal's header cannot be used (remove the file to give its "
                   "records up)");
        return ERR_INVALID;
    }
    if (x->bytes < (uint64_t)x->head.blocks * journal_block_bytes) {
        snprintf(x->why, x->why_size,
                 "%s: byte %zu: the file ends, and had %" PRIu64
                 " bytes: what was acknowledged may "
                 "be missing (remove the file to give its records up)",
                 x->path, x->bytes, (uint64_t)x->head.blocks * journal_block_bytes);
        return ERR_INVALID;
    }
    if (!uuid_eq(&x->head.dir, &x->o->id)) {
        char id[UUID_TEXT_LEN + 1];
        uuid_format(&x->head.dir, id);
        snprintf(
            x->why, x->why_size,
            "%s is the journal of another log dir (directory.id=%s): put that id back into this "
            "one's meta.properties if it was lost, or remove the file to give its records up",
            x->path, id);
        return ERR_INVALID;
    }
    return 0;
}

/*
 * Everything of it is in the files, and what comes now is not in it: it goes, at once and for good.
 * (Not a new header over the old one: a write of that which fails may leave half of it.)
 */
static int remove_it(struct one *x)
{
    if (PLANT(STALE_LAP))
        return 0;
    int err = x->fs->ops->unlink(x->fs, x->path);
    if (err == 0)
        err = x->fs->ops->sync_dir(x->fs, x->o->log_dir);
    return err ? fail(x, err, "removing the journal, which is in the segments") : 0;
}

static void report_add(struct journal_replay_report *all, const struct one *x,
                       const struct restore_report *r)
{
    all->journals++;
    all->commits += x->scan.commits;
    all->frames += x->scan.frames;
    all->damaged += x->scan.damaged;
    all->restored.partitions += r->partitions;
    all->restored.ranges += r->ranges;
    all->restored.bytes += r->bytes;
    all->restored.dropped += r->dropped;
    all->restored.refused += r->refused;
    all->restored.behind_gaps += r->behind_gaps;
}

static int replay_one(struct one *x, struct journal_replay_report *report)
{
    struct restore_report restored = {0};
    struct restore_options o = {.fs = x->fs,
                                .source = x->path,
                                .dirs = x->o->dirs,
                                .dir_count = x->o->dir_count,
                                .missing = x->o->missing,
                                .ctx = x->o->ctx};
    x->scan = (struct journal_scan){.frame = on_frame, .damage = on_damage};
    int err = load(x);
    if (err == 0 && !PLANT(JOURNAL_FORGOTTEN)) {
        err = journal_scan(&x->scan, x->image, x->bytes, &x->head);
        if (err)
            fail(x, err, "reading the journal");
    }
    o.gaps = x->headless;
    drop_damaged(x);
    if (err == 0)
        err = restore_ranges(&o, x->ranges, x->count, &restored, x->why, x->why_size);
    if (err == 0)
        err = remove_it(x);
    report_add(report, x, &restored);
    return err;
}

/* ---- a log dir ---- */

struct shards {
    uint32_t all[64];
    uint32_t count;
};

static int collect_shard(void *ctx, const char *name, bool is_dir)
{
    struct shards *s = ctx;
    uint32_t shard;
    if (!is_dir && s->count < sizeof(s->all) / sizeof(s->all[0]) &&
        journal_name_parse(name, &shard))
        s->all[s->count++] = shard;
    return 0;
}

int journal_replay(const struct journal_replay_options *o, struct journal_replay_report *report,
                   char *why, size_t why_size)
{
    struct shards shards = {.count = 0};
    *report = (struct journal_replay_report){0};
    int err = o->fs->ops->list(o->fs, o->log_dir, collect_shard, &shards);
    if (err) {
        snprintf(why, why_size, "%s: listing for journals: %s", o->log_dir, err_text(err));
        return err;
    }
    /* one that is kept does not hold the others up: all of them are asked about */
    for (uint32_t i = 0; i < shards.count && (err == 0 || err == ERR_BUSY); i++) {
        struct one x = {.o = o, .fs = o->fs, .why = why, .why_size = why_size};
        char name[journal_name_bytes_max];
        journal_name(shards.all[i], name);
        if (snprintf(x.path, sizeof(x.path), "%s/%s", o->log_dir, name) >= (int)sizeof(x.path))
            return ERR_TOO_LARGE;
        int one_err = replay_one(&x, report);
        err = one_err ? one_err : err;
        free(x.ranges);
        free(x.image);
    }
    return err;
}
