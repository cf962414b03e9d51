#include "storage/plog/epochs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "storage/plog/checkpoint.h"

#define epoch_line_bytes_max 40

void epochs_free(struct epochs *e)
{
    free(e->entries);
    *e = (struct epochs){0};
}

int32_t epochs_latest(const struct epochs *e)
{
    return e->count ? e->entries[e->count - 1].epoch : -1;
}

int epochs_assign(struct epochs *e, int32_t epoch, int64_t start, bool *changed)
{
    const struct epoch_entry *last = e->count ? &e->entries[e->count - 1] : NULL;
    if (changed)
        *changed = false;
    if (last && last->epoch == epoch && start >= last->start)
        return 0;
    if (e->count == e->room) {
        uint32_t room = e->room ? e->room * 2 : 4;
        struct epoch_entry *entries = realloc(e->entries, room * sizeof(*entries));
        if (entries == NULL)
            return ERR_NO_MEMORY;
        e->entries = entries;
        e->room = room;
    }
    while (e->count &&
           (e->entries[e->count - 1].epoch >= epoch || e->entries[e->count - 1].start >= start))
        e->count--;
    e->entries[e->count++] = (struct epoch_entry){epoch, start};
    if (changed)
        *changed = true;
    return 0;
}

void epochs_end(const struct epochs *e, int32_t epoch, int64_t log_end, int32_t *found,
                int64_t *end)
{
    *found = -1;
    *end = -1;
    if (epoch == -1 || e->count == 0)
        return;
    if (epoch == epochs_latest(e)) {
        *found = epoch;
        *end = log_end;
        return;
    }
    uint32_t higher = 0;
    while (higher < e->count && e->entries[higher].epoch <= epoch)
        higher++;
    if (higher == e->count)
        return;
    *found = higher == 0 ? epoch : e->entries[higher - 1].epoch;
    *end = e->entries[higher].start;
}

int32_t epochs_at(const struct epochs *e, int64_t offset)
{
    int32_t epoch = -1;
    for (uint32_t i = 0; i < e->count && e->entries[i].start <= offset; i++)
        epoch = e->entries[i].epoch;
    return epoch;
}

bool epochs_truncate_start(struct epochs *e, int64_t start)
{
    uint32_t gone = 0;
    while (gone < e->count && e->entries[gone].start <= start)
        gone++;
    if (gone == 0)
        return false;
    /* the epoch that is in force at the new start stays, from there on */
    uint32_t keep = gone - 1;
    bool same = keep == 0 && e->entries[0].start == start;
    memmove(e->entries, e->entries + keep, (e->count - keep) * sizeof(*e->entries));
    e->count -= keep;
    e->entries[0].start = start;
    return !same;
}

bool epochs_truncate_end(struct epochs *e, int64_t end)
{
    uint32_t before = e->count;
    while (e->count && e->entries[e->count - 1].start >= end)
        e->count--;
    return e->count != before;
}

char *epochs_format(const struct epochs *e, size_t *n)
{
    size_t room = epoch_line_bytes_max * (e->count + 2u), at = 0;
    char *text = malloc(room);
    if (text == NULL)
        return NULL;
    at += (size_t)snprintf(text, room, "0\n%" PRIu32 "\n", e->count);
    for (uint32_t i = 0; i < e->count; i++)
        at += (size_t)snprintf(text + at, room - at, "%" PRId32 " %" PRId64 "\n",
                               e->entries[i].epoch, e->entries[i].start);
    *n = at;
    return text;
}

int epochs_parse(struct epochs *e, const char *text, size_t n)
{
    int64_t version, count, fields[2];
    struct text_lines lines = {text, text + n};
    e->count = 0;
    if (!text_numbers(&lines, &version, 1) || version != 0 || !text_numbers(&lines, &count, 1))
        return ERR_CORRUPT;
    for (int64_t i = 0; i < count; i++) {
        if (!text_numbers(&lines, fields, 2) || fields[0] < 0 || fields[0] > INT32_MAX ||
            fields[1] < 0) {
            e->count = 0;
            return ERR_CORRUPT;
        }
        int err = epochs_assign(e, (int32_t)fields[0], fields[1], NULL);
        if (err) {
            e->count = 0;
            return err;
        }
    }
    return lines.p == lines.end ? 0 : ERR_CORRUPT;
}
