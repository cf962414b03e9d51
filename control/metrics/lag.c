#include "control/metrics/lag.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/metrics/text.h"

int metrics_lag_init(struct metrics_lag *l)
{
    *l = (struct metrics_lag){0};
    return pthread_mutex_init(&l->lock, NULL) == 0 ? 0 : ERR_SYSTEM;
}

void metrics_lag_fini(struct metrics_lag *l)
{
    for (uint32_t i = 0; i < l->part_count; i++)
        free(l->parts[i].samples);
    free(l->parts);
    pthread_mutex_destroy(&l->lock);
    *l = (struct metrics_lag){0};
}

static int reserve(struct metrics_lag *l, uint32_t part)
{
    if (part >= lag_parts_max)
        return ERR_INVALID;
    if (part < l->part_count)
        return 0;
    struct lag_part *grown = realloc(l->parts, sizeof(*grown) * ((size_t)part + 1));
    if (!grown)
        return ERR_NO_MEMORY;
    memset(grown + l->part_count, 0, sizeof(*grown) * (part + 1 - l->part_count));
    l->parts = grown;
    l->part_count = part + 1;
    return 0;
}

int metrics_lag_set(struct metrics_lag *l, uint32_t part, struct lag_sample *samples,
                    uint32_t count)
{
    struct lag_sample *old = samples;
    pthread_mutex_lock(&l->lock);
    int err = reserve(l, part);
    if (!err) {
        struct lag_part *p = &l->parts[part];
        uint32_t others = l->total - p->count;
        if (count > lag_samples_max - others) {
            err = ERR_FULL;
            l->dropped += count;
            count = 0;
        }
        old = p->samples;
        *p = (struct lag_part){err ? NULL : samples, count};
        l->total = others + count;
    }
    pthread_mutex_unlock(&l->lock);
    if (err && old != samples)
        free(samples);
    free(old);
    return err;
}

/* A label's value: backslash, quote and line feed are escaped. */
static char *put_value(char *p, struct str s)
{
    for (uint32_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '\\' || c == '"' || c == '\n')
            *p++ = '\\';
        *p++ = c == '\n' ? 'n' : c == '\0' ? '?' : c;
    }
    return p;
}

_Static_assert(lag_label_bytes_max >
                   2 * (lag_name_bytes_max + 249) + sizeof("group=\"\",topic=\"\""),
               "room for the longest names, all of it escaped");

bool lag_sample_init(struct lag_sample *s, struct str group, struct str topic)
{
    if (group.len > lag_name_bytes_max || topic.len > 249)
        return false;
    char *p = stpcpy(s->labels, "group=\"");
    p = stpcpy(put_value(p, group), "\",topic=\"");
    stpcpy(put_value(p, topic), "\"");
    s->records = 0;
    return true;
}

void metrics_lag_write(struct metrics_lag *l, struct text *t)
{
    pthread_mutex_lock(&l->lock);
    for (uint32_t i = 0; i < l->part_count; i++)
        for (uint32_t k = 0; k < l->parts[i].count; k++)
            text_sample(t, l->parts[i].samples[k].labels, (double)l->parts[i].samples[k].records);
    pthread_mutex_unlock(&l->lock);
}
