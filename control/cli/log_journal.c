#include "control/cli/log_journal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "storage/journal/scan.h"

struct look {
    struct journal_scan scan; /* first */
    const char *path;
    uint8_t *image;
    size_t bytes;
    int head_err; /* 0, or why nothing counts */
    struct journal_head head;
    uint8_t *counts; /* by block: in it begins the data of a frame that a start takes */
    uint64_t frame_bytes;
    char *why;
    size_t why_size;
};

bool log_is_journal(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return strncmp(name, journal_name_prefix, strlen(journal_name_prefix)) == 0;
}

/* Only the first fault is told. */
static void fault(struct look *l, uint64_t at, const char *what)
{
    if (l->why[0] == '\0')
        snprintf(l->why, l->why_size, "%s: byte %" PRIu64 ": %s", l->path, at, what);
}

/* ---- what a start would take ---- */

static int on_frame(struct journal_scan *s, const struct journal_frame *f, const uint8_t *data,
                    uint64_t at)
{
    struct look *l = (struct look *)s;
    l->counts[at / journal_block_bytes] = 1;
    l->frame_bytes += f->bytes;
    return 0;
}

static void on_damage(struct journal_scan *s, const struct journal_frame *f, uint64_t at)
{
    struct look *l = (struct look *)s;
    char id[UUID_TEXT_LEN + 1], text[256];
    if (f == NULL) {
        fault(l, at, "the commit before this one had ended, and is damaged");
        return;
    }
    l->counts[at / journal_block_bytes] = 1;
    uuid_format(&f->topic_id, id);
    snprintf(text, sizeof(text),
             "%u bytes of partition %d of the topic with id %s, at byte %u of %020" PRId64
             ".log, are damaged",
             f->bytes, f->partition, id, f->position, f->base);
    fault(l, at, text);
}

static int read_all(struct look *l, struct fs *fs)
{
    struct io_file *file;
    int64_t size;
    int err = fs->ops->open(fs, l->path, IO_OPEN_READ, &file);
    if (err)
        return err;
    err = fs->ops->size(fs, file, &size);
    if (err == 0 && size > (int64_t)journal_blocks_max * journal_block_bytes)
        err = ERR_TOO_LARGE;
    l->image = err ? NULL : calloc(1, (size_t)size + journal_head_bytes);
    l->counts = err ? NULL : calloc(1, (size_t)size / journal_block_bytes + 1);
    if (err == 0 && (l->image == NULL || l->counts == NULL))
        err = ERR_NO_MEMORY;
    if (err == 0) {
        int64_t got = fs->ops->pread(fs, file, l->image, (size_t)size, 0);
        err = got < 0 ? (int)got : 0;
        l->bytes = got < 0 ? 0 : (size_t)got;
    }
    fs->ops->close(fs, file);
    return err;
}

/* 0: it could be looked at, whatever is in it. */
static int look(struct look *l, struct fs *fs)
{
    l->scan = (struct journal_scan){.frame = on_frame, .damage = on_damage};
    int err = read_all(l, fs);
    if (err) {
        snprintf(l->why, l->why_size, "%s: %s", l->path, err_text(err));
        return err;
    }
    l->head_err = journal_head_get(l->image, &l->head);
    if (l->head_err == ERR_UNSUPPORTED)
        fault(l, 8, "a journal of another format version");
    else if (l->head_err)
        fault(l, 0, "the header is damaged: a start refuses it, whatever follows");
    else if (l->bytes < (uint64_t)l->head.blocks * journal_block_bytes)
        fault(l, l->bytes, "the file ends, and was longer: a start refuses it");
    return l->head_err ? 0 : journal_scan(&l->scan, l->image, l->bytes, &l->head);
}

static void look_free(struct look *l)
{
    free(l->image);
    free(l->counts);
}

/* ---- dump ---- */

static void dump_head(const struct look *l, FILE *out)
{
    char id[UUID_TEXT_LEN + 1];
    fprintf(out, "Dumping %s\n", l->path);
    if (l->head_err) {
        fprintf(out, "header: position: 0 isvalid: false (%s)\n",
                l->head_err == ERR_UNSUPPORTED ? "another format version" : "damaged");
        return;
    }
    uuid_format(&l->head.dir, id);
    fprintf(out,
            "header: position: 0 directoryId: %s shard: %u blocks: %u life: %016" PRIx64
            " fileBytes: %zu isvalid: true\n",
            id, l->head.shard, l->head.blocks, l->head.life, l->bytes);
}

static void dump_frames(const struct look *l, size_t start, const struct journal_commit *c,
                        FILE *out)
{
    const uint8_t *p = l->image + start;
    uint64_t at = journal_data_at(c->frames);
    for (uint32_t i = 0; i < c->frames; i++) {
        struct journal_frame f;
        uint64_t check;
        char id[UUID_TEXT_LEN + 1];
        journal_frame_get(p, i, &f, &check);
        uuid_format(&f.topic_id, id);
        bool right = at + f.bytes <= c->bytes && journal_data_check(p + at, f.bytes) == check;
        fprintf(out,
                "| position: %" PRIu64 " topicId: %s partition: %d leaderEpoch: %d baseOffset: "
                "%" PRId64 " segmentPosition: %u size: %u isvalid: %s\n",
                start + at, id, f.partition, f.leader_epoch, f.base, f.position, f.bytes,
                right ? "true" : "false");
        at += f.bytes;
    }
}

static bool counts(const struct look *l, size_t at, const struct journal_commit *c)
{
    for (size_t b = at / journal_block_bytes; b * journal_block_bytes < at + c->bytes; b++)
        if (l->counts[b])
            return true;
    return false;
}

static void dump_commits(const struct look *l, FILE *out)
{
    struct journal_commit c;
    for (size_t at = journal_block_bytes; at < l->bytes; at += journal_block_bytes) {
        if (!journal_commit_get(l->image + at, l->bytes - at, &c))
            continue;
        bool own = l->head_err || c.life == l->head.life;
        fprintf(out,
                "commit: position: %zu sequence: %" PRIu64 " tail: %" PRIu64 " done: %" PRIu64
                " size: %u frames: %u life: %016" PRIx64 " counts: %s\n",
                at, c.sequence, c.tail, c.done, c.bytes, c.frames, c.life,
                own && counts(l, at, &c) ? "true" : "false");
        dump_frames(l, at, &c, out);
    }
}

int log_journal_dump(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size)
{
    struct look l = {.path = path, .why = why, .why_size = why_size};
    why[0] = '\0';
    int err = look(&l, fs);
    if (err == 0) {
        dump_head(&l, out);
        dump_commits(&l, out);
    }
    look_free(&l);
    return err ? err : why[0] ? ERR_CORRUPT : 0;
}

int log_journal_check(struct fs *fs, const char *path, FILE *out, char *why, size_t why_size)
{
    struct look l = {.path = path, .why = why, .why_size = why_size};
    why[0] = '\0';
    int err = look(&l, fs);
    if (err == 0 && why[0] == '\0')
        fprintf(out,
                "%s: good: %" PRIu64 " commits that count, %" PRIu64 " frames, %" PRIu64
                " bytes of segments\n",
                path, l.scan.commits, l.scan.frames, l.frame_bytes);
    look_free(&l);
    return err ? err : why[0] ? ERR_CORRUPT : 0;
}
