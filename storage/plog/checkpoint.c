#include "storage/plog/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* --- small files ------------------------------------------------------------------------------ */

int file_replace(struct fs *fs, const char *dir, const char *name, const void *bytes, size_t n)
{
    char path[io_path_bytes_max], temp[io_path_bytes_max];
    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path) ||
        snprintf(temp, sizeof(temp), "%s/%s.tmp", dir, name) >= (int)sizeof(temp))
        return ERR_TOO_LARGE;
    struct io_file *file;
    int err = fs->ops->open(fs, temp, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &file);
    if (err)
        return err;
    err = fs->ops->pwrite(fs, file, bytes, n, 0);
    if (err == 0)
        err = fs->ops->sync(fs, file);
    fs->ops->close(fs, file);
    if (err == 0)
        err = fs->ops->rename(fs, temp, path);
    if (err == 0)
        err = fs->ops->sync_dir(fs, dir);
    return err;
}

int file_load(struct fs *fs, const char *path, size_t max, char **out, size_t *n)
{
    struct io_file *file;
    int err = fs->ops->open(fs, path, IO_OPEN_READ, &file);
    if (err)
        return err;
    int64_t size = 0;
    char *text = NULL;
    err = fs->ops->size(fs, file, &size);
    if (err == 0 && (uint64_t)size > max)
        err = ERR_CORRUPT;
    if (err == 0 && (text = malloc((size_t)size + 1)) == NULL)
        err = ERR_NO_MEMORY;
    int64_t have = 0;
    if (err == 0 && (have = fs->ops->pread(fs, file, text, (size_t)size, 0)) < 0)
        err = (int)have;
    fs->ops->close(fs, file);
    if (err) {
        free(text);
        return err;
    }
    text[have] = '\0';
    *out = text;
    *n = (size_t)have;
    return 0;
}

static bool line_take(struct text_lines *lines, const char **p, const char **end)
{
    if (lines->p >= lines->end)
        return false;
    const char *nl = memchr(lines->p, '\n', (size_t)(lines->end - lines->p));
    *p = lines->p;
    *end = nl ? nl : lines->end;
    lines->p = nl ? nl + 1 : lines->end;
    return true;
}

static void skip_blanks(const char **p, const char *end)
{
    while (*p < end && (**p == ' ' || **p == '\t' || **p == '\r'))
        (*p)++;
}

static bool number(const char **p, const char *end, int64_t *out)
{
    skip_blanks(p, end);
    bool minus = *p < end && **p == '-';
    if (minus)
        (*p)++;
    int64_t v = 0;
    const char *from = *p;
    while (*p < end && **p >= '0' && **p <= '9') {
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, **p - '0', &v))
            return false;
        (*p)++;
    }
    if (*p == from)
        return false;
    *out = minus ? -v : v;
    skip_blanks(p, end);
    return true;
}

bool text_numbers(struct text_lines *lines, int64_t *out, uint32_t n)
{
    const char *p, *end;
    if (!line_take(lines, &p, &end))
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!number(&p, end, &out[i]))
            return false;
    return p == end;
}

/* --- offsets per partition -------------------------------------------------------------------- */

void checkpoint_free(struct checkpoint *c)
{
    free(c->entries);
    *c = (struct checkpoint){0};
}

int checkpoint_add(struct checkpoint *c, struct str topic, int32_t partition, int64_t offset)
{
    if (topic.len > topic_name_bytes_max)
        return ERR_TOO_LARGE;
    if (c->count == c->room) {
        uint32_t room = c->room ? c->room * 2 : 16;
        struct checkpoint_entry *entries = realloc(c->entries, room * sizeof(*entries));
        if (entries == NULL)
            return ERR_NO_MEMORY;
        c->entries = entries;
        c->room = room;
    }
    struct checkpoint_entry *e = &c->entries[c->count++];
    memcpy(e->topic, topic.p, topic.len);
    e->topic[topic.len] = '\0';
    e->partition = partition;
    e->offset = offset;
    return 0;
}

static int entry_order(const void *a, const void *b)
{
    const struct checkpoint_entry *x = a, *y = b;
    int c = strcmp(x->topic, y->topic);
    return c ? c : (x->partition > y->partition) - (x->partition < y->partition);
}

void checkpoint_sort(struct checkpoint *c)
{
    if (c->count)
        qsort(c->entries, c->count, sizeof(*c->entries), entry_order);
}

int64_t checkpoint_find(const struct checkpoint *c, struct str topic, int32_t partition)
{
    struct checkpoint_entry key = {.partition = partition};
    if (topic.len > topic_name_bytes_max || c->count == 0)
        return -1;
    memcpy(key.topic, topic.p, topic.len);
    const struct checkpoint_entry *e =
        bsearch(&key, c->entries, c->count, sizeof(*c->entries), entry_order);
    return e ? e->offset : -1;
}

static bool parse_entry(struct text_lines *lines, struct checkpoint *out, int *err)
{
    const char *p, *end;
    int64_t partition, offset;
    if (!line_take(lines, &p, &end))
        return false;
    skip_blanks(&p, end);
    const char *name = p;
    while (p < end && *p != ' ' && *p != '\t')
        p++;
    struct str topic = {name, (uint32_t)(p - name)};
    if (topic.len == 0 || topic.len > topic_name_bytes_max || !number(&p, end, &partition) ||
        !number(&p, end, &offset) || p != end || partition < 0 || partition > INT32_MAX)
        return false;
    *err = checkpoint_add(out, topic, (int32_t)partition, offset);
    return *err == 0;
}

static int checkpoint_parse(const char *text, size_t n, struct checkpoint *out)
{
    struct text_lines lines = {text, text + n};
    int64_t version, count;
    int err = 0;
    if (!text_numbers(&lines, &version, 1) || version != 0 || !text_numbers(&lines, &count, 1))
        return ERR_CORRUPT;
    for (int64_t i = 0; i < count; i++)
        if (!parse_entry(&lines, out, &err))
            return err ? err : ERR_CORRUPT;
    return lines.p == lines.end ? 0 : ERR_CORRUPT;
}

int checkpoint_read(struct fs *fs, const char *log_dir, const char *name, struct checkpoint *out)
{
    char path[io_path_bytes_max], *text;
    size_t n;
    struct checkpoint made = {0};
    if (snprintf(path, sizeof(path), "%s/%s", log_dir, name) >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    int err = file_load(fs, path, checkpoint_file_bytes_max, &text, &n);
    if (err == ERR_NOT_FOUND) {
        *out = made;
        return 0;
    }
    if (err)
        return err;
    err = n == 0 ? 0 : checkpoint_parse(text, n, &made);
    free(text);
    if (err) {
        checkpoint_free(&made);
        return err;
    }
    checkpoint_sort(&made);
    *out = made;
    return 0;
}

int checkpoint_write(struct fs *fs, const char *log_dir, const char *name,
                     const struct checkpoint *c)
{
    size_t room = 64 + (size_t)c->count * (topic_name_bytes_max + 48), at;
    char *text = malloc(room);
    if (text == NULL)
        return ERR_NO_MEMORY;
    at = (size_t)snprintf(text, room, "0\n%" PRIu32 "\n", c->count);
    for (uint32_t i = 0; i < c->count; i++)
        at += (size_t)snprintf(text + at, room - at, "%s %" PRId32 " %" PRId64 "\n",
                               c->entries[i].topic, c->entries[i].partition, c->entries[i].offset);
    int err = file_replace(fs, log_dir, name, text, at);
    free(text);
    return err;
}
