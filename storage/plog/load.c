/* Opening and closing a plog: names, metadata, epochs; the scan of segments is in recover.c. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/loader.h"

#define metadata_file      "partition.metadata"
#define epochs_file        "leader-epoch-checkpoint"
#define small_file_max     (16 * MIB)
#define dir_name_bytes_max 255

int loader_fail(struct loader *l, int err, const char *file, const char *what)
{
    if (l->why && l->why_size)
        snprintf(l->why, l->why_size, "%s/%s: %s: %s", l->plog->dir, file, what, err_text(err));
    return err;
}

/* --- lists of names --------------------------------------------------------------------------- */

struct names {
    char **all;
    uint32_t count, room;
    int err;
};

static int names_add(void *ctx, const char *name, bool is_dir)
{
    struct names *n = ctx;
    if (n->count == n->room) {
        uint32_t room = n->room ? n->room * 2 : 32;
        char **all = realloc(n->all, room * sizeof(*all));
        if (all == NULL)
            return n->err = ERR_NO_MEMORY;
        n->all = all;
        n->room = room;
    }
    n->all[n->count] = malloc(strlen(name) + 2);
    if (n->all[n->count] == NULL)
        return n->err = ERR_NO_MEMORY;
    n->all[n->count][0] = is_dir ? '/' : '-';
    strcpy(n->all[n->count] + 1, name);
    n->count++;
    return 0;
}

static void names_free(struct names *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        free(n->all[i]);
    free(n->all);
    *n = (struct names){0};
}

static int names_list(struct fs *fs, const char *dir, struct names *out)
{
    *out = (struct names){0};
    int err = fs->ops->list(fs, dir, names_add, out);
    if (err == 0)
        err = out->err;
    if (err)
        names_free(out);
    return err;
}

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcmp(name + n - m, suffix) == 0;
}

/* Removes a directory with what is in it; of a symbolic link the link alone, which unlink takes. */
static int remove_tree(struct fs *fs, const char *dir)
{
    struct names names;
    if (fs->ops->unlink(fs, dir) == 0)
        return 0;
    int err = names_list(fs, dir, &names);
    if (err)
        return err;
    for (uint32_t i = 0; i < names.count && err == 0; i++) {
        char path[io_path_bytes_max];
        if (snprintf(path, sizeof(path), "%s/%s", dir, names.all[i] + 1) >= (int)sizeof(path))
            err = ERR_TOO_LARGE;
        else if (names.all[i][0] == '/')
            err = remove_tree(fs, path);
        else
            err = fs->ops->unlink(fs, path);
    }
    names_free(&names);
    return err ? err : fs->ops->rmdir(fs, dir);
}

int plog_sweep(struct fs *fs, const char *log_dir)
{
    struct names names;
    int err = names_list(fs, log_dir, &names);
    for (uint32_t i = 0; err == 0 && i < names.count; i++) {
        char path[io_path_bytes_max];
        if (names.all[i][0] != '/' || !ends_with(names.all[i], "-delete"))
            continue;
        if (snprintf(path, sizeof(path), "%s/%s", log_dir, names.all[i] + 1) >= (int)sizeof(path))
            err = ERR_TOO_LARGE;
        else
            err = remove_tree(fs, path);
    }
    names_free(&names);
    return err;
}

/* --- the files of the directory --------------------------------------------------------------- */

/* The offset in front of the suffix; false if the name is not of that form. */
static bool parse_offset(const char *name, const char *suffix, int64_t *out)
{
    size_t n = strlen(name), m = strlen(suffix);
    if (n <= m || strcmp(name + n - m, suffix) != 0 || n - m > 20)
        return false;
    int64_t v = 0;
    for (size_t i = 0; i < n - m; i++) {
        if (name[i] < '0' || name[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, name[i] - '0', &v))
            return false;
    }
    *out = v;
    return true;
}

static int offsets_add(int64_t **all, uint32_t *count, uint32_t *room, int64_t offset)
{
    if (*count == *room) {
        uint32_t more = *room ? *room * 2 : 16;
        int64_t *grown = realloc(*all, more * sizeof(**all));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        *all = grown;
        *room = more;
    }
    (*all)[(*count)++] = offset;
    return 0;
}

static int offset_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool has_base(const struct loader *l, int64_t base)
{
    return l->base_count &&
           bsearch(&base, l->bases, l->base_count, sizeof(*l->bases), offset_order);
}

static int unlink_name(struct loader *l, const char *name)
{
    char path[io_path_bytes_max];
    struct fs *fs = l->plog->fs;
    if (snprintf(path, sizeof(path), "%s/%s", l->plog->dir, name) >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    return fs->ops->unlink(fs, path);
}

/* What an interrupted deletion, compaction or replacement left behind. */
static bool is_leftover(const char *name)
{
    return ends_with(name, ".deleted") || ends_with(name, ".cleaned") || ends_with(name, ".tmp");
}

/* A compaction that had come as far as .swap is carried through, as Kafka does. */
static int finish_swap(struct loader *l, const char *name)
{
    char from[io_path_bytes_max], to[io_path_bytes_max];
    struct fs *fs = l->plog->fs;
    int keep = (int)(strlen(name) - strlen(".swap"));
    if (snprintf(from, sizeof(from), "%s/%s", l->plog->dir, name) >= (int)sizeof(from) ||
        snprintf(to, sizeof(to), "%s/%.*s", l->plog->dir, keep, name) >= (int)sizeof(to))
        return ERR_TOO_LARGE;
    return fs->ops->rename(fs, from, to);
}

static int clean_leftovers(struct loader *l, bool *again)
{
    struct names names;
    int err = names_list(l->plog->fs, l->plog->dir, &names);
    if (err)
        return loader_fail(l, err, ".", "listing");
    *again = false;
    for (uint32_t i = 0; i < names.count && err == 0; i++) {
        const char *name = names.all[i] + 1;
        if (names.all[i][0] == '/')
            continue;
        if (is_leftover(name))
            err = unlink_name(l, name);
        else if (ends_with(name, ".swap"))
            err = finish_swap(l, name);
        else
            continue;
        *again = true;
        if (err)
            loader_fail(l, err, name, "clearing");
    }
    names_free(&names);
    return err;
}

static int collect(struct loader *l, const struct names *names)
{
    int64_t offset;
    int err = 0;
    for (uint32_t i = 0; i < names->count && err == 0; i++) {
        const char *name = names->all[i] + 1;
        if (names->all[i][0] == '/')
            continue;
        if (parse_offset(name, ".log", &offset))
            err = offsets_add(&l->bases, &l->base_count, &l->base_room, offset);
        else if (parse_offset(name, ".snapshot", &offset))
            err = offsets_add(&l->snapshots, &l->snapshot_count, &l->snapshot_room, offset);
    }
    if (l->base_count)
        qsort(l->bases, l->base_count, sizeof(*l->bases), offset_order);
    if (l->snapshot_count)
        qsort(l->snapshots, l->snapshot_count, sizeof(*l->snapshots), offset_order);
    return err;
}

static int list_files(struct loader *l)
{
    static const char *const indexes[] = {".index", ".timeindex", ".txnindex"};
    bool again;
    int err = clean_leftovers(l, &again);
    struct names names;
    if (err)
        return err;
    err = names_list(l->plog->fs, l->plog->dir, &names);
    if (err)
        return loader_fail(l, err, ".", "listing");
    err = collect(l, &names);
    for (uint32_t i = 0; i < names.count && err == 0; i++) {
        int64_t offset;
        for (uint32_t k = 0; k < 3 && err == 0; k++)
            if (parse_offset(names.all[i] + 1, indexes[k], &offset) && !has_base(l, offset))
                err = unlink_name(l, names.all[i] + 1); /* an index without its segment */
    }
    names_free(&names);
    return err ? loader_fail(l, err, ".", "listing") : 0;
}

int loader_delete_segment(struct loader *l, int64_t base)
{
    static const char *const suffixes[] = {".log", ".index", ".timeindex", ".txnindex",
                                           ".snapshot"};
    char path[io_path_bytes_max];
    struct fs *fs = l->plog->fs;
    int kept = 0;
    for (uint32_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        int err = segment_path(l->plog, base, suffixes[i], path);
        if (err == 0)
            err = fs->ops->unlink(fs, path);
        if (i == 0 && err && err != ERR_NOT_FOUND)
            kept = err;
    }
    return kept;
}

/* --- partition.metadata, epochs --------------------------------------------------------------- */

/* 0: it is of this topic. Whatever is not exactly what a version 0 has is damage. */
static int metadata_parse(const char *text, size_t n, const struct uuid *id, struct uuid *found)
{
    static const char first[] = "version: ", second[] = "\ntopic_id: ";
    if (strlen(text) != n || strncmp(text, first, strlen(first)) != 0)
        return ERR_CORRUPT;
    const char *version = text + strlen(first);
    size_t digits = strspn(version, "0123456789"), blanks = strspn(version + digits, "\r");
    const char *at = version + digits + blanks;
    if (digits == 0 || *at != '\n')
        return ERR_CORRUPT;
    if (digits != 1 || version[0] != '0')
        return ERR_UNSUPPORTED;
    if (strncmp(at, second, strlen(second)) != 0)
        return ERR_CORRUPT;
    at += strlen(second);
    struct str value = {at, (uint32_t)strcspn(at, "\r\n")};
    if (uuid_parse(value, found) != 0 || strspn(at + value.len, "\r\n") != strlen(at + value.len))
        return ERR_CORRUPT;
    return uuid_eq(found, id) ? 0 : ERR_EXISTS;
}

static int metadata_refuse(struct loader *l, int err, const struct uuid *found)
{
    char what[80], id[UUID_TEXT_LEN + 1];
    if (err == ERR_EXISTS) {
        uuid_format(found, id);
        snprintf(what, sizeof(what), "is of the topic with id %s", id);
        return loader_fail(l, err, metadata_file, what);
    }
    return loader_fail(l, err, metadata_file,
                       err == ERR_UNSUPPORTED ? "is of no version known here" : "is damaged");
}

static int check_metadata(struct loader *l)
{
    struct plog *p = l->plog;
    char path[io_path_bytes_max], id[UUID_TEXT_LEN + 1], *text;
    size_t n;
    if (uuid_is_zero(&p->topic_id))
        return 0;
    if (snprintf(path, sizeof(path), "%s/" metadata_file, p->dir) >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    uuid_format(&p->topic_id, id);
    int err = file_load(p->fs, path, small_file_max, &text, &n);
    if (err == ERR_NOT_FOUND || (err == 0 && n == 0)) {
        char line[64];
        if (err == 0)
            free(text);
        int m = snprintf(line, sizeof(line), "version: 0\ntopic_id: %s", id);
        err = file_replace(p->fs, p->dir, metadata_file, line, (size_t)m);
        return err ? loader_fail(l, err, metadata_file, "writing") : 0;
    }
    if (err)
        return loader_own(loader_fail(l, err, metadata_file, "reading"));
    struct uuid found;
    err = metadata_parse(text, n, &p->topic_id, &found);
    free(text);
    return err ? metadata_refuse(l, err, &found) : 0;
}

static int load_epochs(struct loader *l)
{
    struct plog *p = l->plog;
    char path[io_path_bytes_max], *text;
    size_t n;
    if (snprintf(path, sizeof(path), "%s/" epochs_file, p->dir) >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    int err = file_load(p->fs, path, small_file_max, &text, &n);
    if (err == ERR_NOT_FOUND)
        return 0;
    if (err && err != ERR_CORRUPT)
        return loader_own(loader_fail(l, err, epochs_file, "reading"));
    if (err == 0) {
        err = n ? epochs_parse(&p->epochs, text, n) : 0;
        free(text);
    }
    /* like an empty one: the batches carry their epochs */
    if (err != ERR_CORRUPT)
        return err;
    log_warn("storage", "%s: damaged and not used: the batches say what they can", path);
    return 0;
}

static int save_epochs(struct plog *p)
{
    size_t n;
    char *text = epochs_format(&p->epochs, &n);
    if (text == NULL)
        return ERR_NO_MEMORY;
    int err = file_replace(p->fs, p->dir, epochs_file, text, n);
    free(text);
    if (err == 0)
        p->epochs_changed = false;
    return err;
}

static int settle_epochs(struct loader *l)
{
    struct plog *p = l->plog;
    bool changed = p->epochs_changed, assigned = false;
    changed |= epochs_truncate_end(&p->epochs, p->end);
    changed |= epochs_truncate_start(&p->epochs, p->log_start);
    int err = 0;
    if (p->leader_epoch >= 0 && p->leader_epoch > epochs_latest(&p->epochs))
        err = epochs_assign(&p->epochs, p->leader_epoch, p->end, &assigned);
    if (err == 0 && (changed || assigned))
        err = save_epochs(p);
    return err ? loader_fail(l, err, epochs_file, "writing") : 0;
}

/* --- open ------------------------------------------------------------------------------------- */

static void plog_free(struct plog *p)
{
    if (p == NULL)
        return;
    for (uint32_t i = 0; i < p->segment_count; i++)
        segment_free(p->segments[i]);
    while (p->doomed) {
        struct segment *s = p->doomed;
        p->doomed = s->next_doomed;
        segment_free(s);
    }
    free(p->segments);
    producers_free(&p->producers);
    epochs_free(&p->epochs);
    free(p->name);
    free(p->log_dir);
    free(p->dir);
    free(p);
}

static struct plog *plog_new(const struct plog_open *o)
{
    struct plog *p = calloc(1, sizeof(*p));
    char name[topic_name_bytes_max + 16];
    if (p == NULL)
        return NULL;
    snprintf(name, sizeof(name), "%.*s-%" PRId32, STR_ARG(o->topic), o->partition);
    p->name = strdup(name);
    p->log_dir = strdup(o->log_dir);
    size_t n = strlen(o->log_dir) + strlen(name) + 2;
    p->dir = malloc(n);
    if (p->name == NULL || p->log_dir == NULL || p->dir == NULL) {
        plog_free(p);
        return NULL;
    }
    snprintf(p->dir, n, "%s/%s", o->log_dir, name);
    p->fs = o->fs;
    p->topic_id = o->topic_id;
    p->partition = o->partition;
    p->config = o->config;
    p->leader_epoch = o->leader_epoch;
    p->first_unstable = p->snapshot_offset = -1;
    producers_init(&p->producers, bytes_get_u64(o->topic_id.b + 8));
    return p;
}

static int make_dir(struct loader *l)
{
    struct plog *p = l->plog;
    int err = p->fs->ops->mkdir(p->fs, p->dir);
    if (err == ERR_EXISTS) {
        if (l->open->clean)
            return 0;
        err = 0; /* a crash may have come before its name was durable */
    }
    if (err == 0)
        err = p->fs->ops->sync_dir(p->fs, p->log_dir);
    return err ? loader_fail(l, err, "", "creating") : 0;
}

/*
 * After a crash: a file that is there may be one whose name never reached the medium; what is
 * appended to it would go with it.
 */
static int keep_names(struct loader *l)
{
    struct plog *p = l->plog;
    int err = l->open->clean ? 0 : p->fs->ops->sync_dir(p->fs, p->dir);
    return err ? loader_fail(l, err, "", "syncing") : 0;
}

static void set_marks(struct plog *p)
{
    struct segment *active = plog_active(p);
    p->end = active->next;
    p->visible = active;
    p->visible_end = active->written = active->submitted = active->size;
    p->writes_tail = &p->writes;
    active->direct = segment_open_direct(active, IO_OPEN_READ | IO_OPEN_WRITE);
    p->high_watermark = p->flushed = p->end;
    p->first_unstable = producers_first_unstable(&p->producers);
    p->size_bytes = 0;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        p->segments[i]->name_kept = true; /* by the clean stop, or by keep_names */
        p->size_bytes += p->segments[i]->size;
    }
    plog_move_stable(p);
}

int plog_open(struct plog **out, const struct plog_open *o, char *why, size_t why_size)
{
    if (o->topic.len == 0 || o->topic.len > topic_name_bytes_max || o->partition < 0 ||
        strlen(o->log_dir) > io_path_bytes_max - 512)
        return ERR_INVALID;
    struct plog *p = plog_new(o);
    if (p == NULL)
        return ERR_NO_MEMORY;
    struct loader l = {.open = o, .plog = p, .why = why, .why_size = why_size};
    l.buffer = malloc(scan_buffer_bytes);
    int err = l.buffer ? make_dir(&l) : ERR_NO_MEMORY;
    if (err == 0)
        err = check_metadata(&l);
    if (err == 0)
        err = list_files(&l);
    if (err == 0)
        err = load_epochs(&l);
    bool marked = err == 0 && flush_mark_found(p);
    l.rewrite = o->durability == PLOG_OS && (o->rewrite || marked);
    if (err == 0)
        err = loader_recover(&l);
    if (err == 0)
        err = settle_epochs(&l);
    if (err == 0)
        err = loader_producers(&l);
    if (err == 0)
        err = keep_names(&l);
    free(l.bases);
    free(l.snapshots);
    free(l.buffer);
    if (err) {
        plog_free(p);
        return err;
    }
    if (marked)
        flush_mark_clear(p);
    set_marks(p);
    *out = p;
    return 0;
}

/* --- close ------------------------------------------------------------------------------------ */

/* The oldest first, and none behind one that stays: there must be no hole in front of what is left. */
static int unlink_doomed(struct plog *p)
{
    struct loader l = {.plog = p};
    static const char *const renamed[] = {".log.deleted", ".index.deleted", ".timeindex.deleted",
                                          ".txnindex.deleted", ".snapshot.deleted"};
    char path[io_path_bytes_max];
    for (struct segment *s = p->doomed; s; s = s->next_doomed) {
        int err = loader_delete_segment(&l, s->base);
        if (err)
            return err;
        for (uint32_t i = 0; i < sizeof(renamed) / sizeof(renamed[0]); i++)
            if (segment_path(p, s->base, renamed[i], path) == 0)
                p->fs->ops->unlink(p->fs, path);
    }
    return 0;
}

static int save_snapshot(struct plog *p)
{
    if (p->end <= p->snapshot_offset)
        return 0;
    size_t n = producers_snapshot_bytes(&p->producers);
    uint8_t *bytes = malloc(n);
    if (bytes == NULL)
        return ERR_NO_MEMORY;
    producers_snapshot(&p->producers, bytes);
    int err = segment_write_snapshot(p, p->end, bytes, n);
    free(bytes);
    return err;
}

static int save_all(struct plog *p)
{
    int err = 0;
    for (uint32_t i = 0; i < p->segment_count && err == 0; i++) {
        struct segment *s = p->segments[i];
        if (s->sealed)
            continue;
        segment_end_times(s);
        err = segment_cut(s);
        if (err == 0)
            err = flush_or_mark(p, s->file);
        if (err == 0)
            err = segment_write_indexes(s);
    }
    if (err == 0)
        err = save_snapshot(p);
    if (err == 0 && p->epochs_changed)
        err = save_epochs(p);
    return err ? err : p->fs->ops->sync_dir(p->fs, p->dir);
}

/* Of a failed log; its files stay: there may be no other that says where the log ends. */
static int close_error(const struct plog *p)
{
    if (p->disk_failed)
        return ERR_IO;
    return plog_err_is_want(p->failure) ? p->failure : ERR_CORRUPT; /* the log dir stays */
}

int plog_close(struct plog *p)
{
    if (p == NULL)
        return 0;
    CHECK(p->state == PLOG_OPENED || p->state == PLOG_DETACHED);
    int err;
    if (p->failed) {
        err = close_error(p);
    } else {
        int kept = unlink_doomed(p), saved = save_all(p);
        err = kept ? kept : saved;
    }
    plog_free(p);
    return err;
}

int plog_remove(struct plog *p)
{
    CHECK(p->state == PLOG_OPENED || p->state == PLOG_DETACHED);
    struct fs *fs = p->fs;
    char suffix[80], to[io_path_bytes_max], hex[33];
    for (uint32_t i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", p->topic_id.b[i]);
    int m = snprintf(suffix, sizeof(suffix), "-%" PRId32 ".%s-delete", p->partition, hex);
    int keep = (int)(strrchr(p->name, '-') - p->name);
    if (keep > dir_name_bytes_max - m)
        keep = dir_name_bytes_max - m;
    snprintf(to, sizeof(to), "%s/%.*s%s", p->log_dir, keep, p->name, suffix);
    int err = fs->ops->rename(fs, p->dir, to);
    if (err == ERR_EXISTS && remove_tree(fs, to) == 0)
        err = fs->ops->rename(fs, p->dir, to);
    if (err == 0)
        err = fs->ops->sync_dir(fs, p->log_dir);
    if (err == 0)
        err = remove_tree(fs, to);
    plog_free(p);
    return err;
}
