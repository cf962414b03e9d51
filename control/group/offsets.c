#include "control/group/offsets.h"

#include "base/check.h"

static struct group_topic_offsets *topic_get(const struct group *g, struct str topic)
{
    return map_get(&g->topics, topic.p, topic.len);
}

/* Where the partition is or would be. */
static uint32_t position(const struct group_topic_offsets *t, int32_t partition)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (t->items[mid].partition < partition)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

struct group_offset *offsets_get(const struct group *g, struct str topic, int32_t partition)
{
    struct group_topic_offsets *t = topic_get(g, topic);
    if (t == NULL)
        return NULL;
    uint32_t i = position(t, partition);
    return i < t->count && t->items[i].partition == partition ? &t->items[i] : NULL;
}

static void topic_free(struct group *g, struct group_topic_offsets *t)
{
    map_remove(&g->topics, t->name.p, t->name.len);
    group_str_free(&t->name);
    free(t->items);
    free(t);
}

static struct group_topic_offsets *topic_make(struct group *g, struct str topic)
{
    struct group_topic_offsets *t = topic_get(g, topic);
    if (t)
        return t;
    bool ok = true;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->name = group_str_dup(topic, &ok);
    if (!ok || map_put(&g->topics, t->name.p, t->name.len, t, NULL) < 0) {
        group_str_free(&t->name);
        free(t);
        return NULL;
    }
    return t;
}

static int topic_insert(struct group_topic_offsets *t, uint32_t at)
{
    if (t->count == t->capacity) {
        uint32_t capacity = t->capacity ? t->capacity * 2 : 2;
        struct group_offset *items = realloc(t->items, capacity * sizeof(*items));
        if (items == NULL)
            return ERR_NO_MEMORY;
        t->items = items;
        t->capacity = capacity;
    }
    memmove(&t->items[at + 1], &t->items[at], (t->count - at) * sizeof(*t->items));
    t->items[at] = (struct group_offset){0};
    t->count++;
    return 0;
}

int offsets_put(struct group *g, struct str topic, const struct group_offset *offset)
{
    bool ok = true;
    struct str metadata = group_str_dup(offset->metadata.len ? offset->metadata : STR_NULL, &ok);
    struct group_topic_offsets *t = ok ? topic_make(g, topic) : NULL;
    if (t == NULL) {
        group_str_free(&metadata);
        return ERR_NO_MEMORY;
    }
    uint32_t i = position(t, offset->partition);
    if (i == t->count || t->items[i].partition != offset->partition) {
        if (topic_insert(t, i) < 0) {
            group_str_free(&metadata);
            if (t->count == 0)
                topic_free(g, t);
            return ERR_NO_MEMORY;
        }
        g->n_offsets++;
        g->c->stats.offsets++;
    } else {
        group_str_free(&t->items[i].metadata);
    }
    t->items[i] = *offset;
    t->items[i].metadata = metadata;
    return 0;
}

bool offsets_remove(struct group *g, struct str topic, int32_t partition)
{
    struct group_topic_offsets *t = topic_get(g, topic);
    uint32_t i = t ? position(t, partition) : 0;
    if (t == NULL || i == t->count || t->items[i].partition != partition)
        return false;
    group_str_free(&t->items[i].metadata);
    memmove(&t->items[i], &t->items[i + 1], (t->count - i - 1) * sizeof(*t->items));
    t->count--;
    g->n_offsets--;
    g->c->stats.offsets--;
    if (t->count == 0)
        topic_free(g, t);
    return true;
}

void offsets_free(struct group *g)
{
    struct group_topic_offsets *t;
    for (size_t cursor = 0; (t = map_next(&g->topics, &cursor));) {
        for (uint32_t i = 0; i < t->count; i++)
            group_str_free(&t->items[i].metadata);
        group_str_free(&t->name);
        free(t->items);
        free(t);
    }
    map_free(&g->topics);
    g->topics = (struct map){0};
    g->c->stats.offsets -= g->n_offsets;
    g->n_offsets = 0;
}

static int by_name(const void *a, const void *b)
{
    const struct group_topic_offsets *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

struct group_topic_offsets **offsets_topics_sorted(const struct group *g)
{
    size_t n = 0;
    struct group_topic_offsets **out =
        calloc(g->topics.count, sizeof(struct group_topic_offsets *));
    struct group_topic_offsets *t;
    if (out == NULL || g->topics.count == 0) {
        free(out);
        return NULL;
    }
    for (size_t cursor = 0; (t = map_next(&g->topics, &cursor));)
        out[n++] = t;
    qsort(out, n, sizeof(struct group_topic_offsets *), by_name);
    return out;
}
