#include "control/group/assignor_spec.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/*
 * Mixed subscriptions. Partitions without an owner go, topic by topic, to the least loaded
 * subscriber; topics with the most partitions per subscriber come first, since they leave the least
 * choice. Then partitions move, within a topic, from the most to the least loaded subscriber while
 * their loads differ by more than one. Each move lowers the sum of squared loads, so it ends.
 */
struct pick { /* a heap entry; stale if load is not the member's load any more */
    uint32_t member, load;
};

struct heap {
    struct pick *v;
    uint32_t n;
    bool most; /* the most loaded on top, else the least */
};

struct balance {
    const struct assignor_spec *spec;
    int32_t *owner;
    uint32_t *load;        /* per member */
    uint32_t *order;       /* topics as they are treated */
    uint32_t *subscribers; /* of all topics, one after the other */
    uint32_t *first;       /* per topic: index of its first subscriber; one more at the end */
    struct heap least, most;
    int32_t *chain;  /* per member: a partition of the topic at hand that it owns, or -1 */
    int32_t *behind; /* per partition of that topic: the next one of the same owner, or -1 */
};

static bool above(const struct heap *h, struct pick a, struct pick b)
{
    if (a.load != b.load)
        return h->most ? a.load > b.load : a.load < b.load;
    return h->most ? a.member > b.member : a.member < b.member;
}

static void heap_push(struct heap *h, struct pick x)
{
    uint32_t i = h->n++;
    while (i > 0 && above(h, x, h->v[(i - 1) / 2])) {
        h->v[i] = h->v[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->v[i] = x;
}

static void heap_pop(struct heap *h)
{
    struct pick x = h->v[--h->n];
    uint32_t i = 0;
    for (uint32_t c = 1; c < h->n; c = 2 * i + 1) {
        if (c + 1 < h->n && above(h, h->v[c + 1], h->v[c]))
            c++;
        if (!above(h, h->v[c], x))
            break;
        h->v[i] = h->v[c];
        i = c;
    }
    h->v[i] = x;
}

/* Removes stale entries; false if the heap is empty. */
static bool heap_top(struct heap *h, const uint32_t *load, uint32_t *member)
{
    while (h->n > 0 && h->v[0].load != load[h->v[0].member])
        heap_pop(h);
    if (h->n == 0)
        return false;
    *member = h->v[0].member;
    return true;
}

static int order_cmp(const void *va, const void *vb, void *ctx)
{
    const struct balance *b = ctx;
    uint32_t x = *(const uint32_t *)va, y = *(const uint32_t *)vb;
    uint64_t px = b->spec->topics[x].partitions, py = b->spec->topics[y].partitions;
    uint64_t sx = b->first[x + 1] - b->first[x], sy = b->first[y + 1] - b->first[y];
    if (px * sy != py * sx)
        return px * sy > py * sx ? -1 : 1;
    if (sx != sy)
        return sx < sy ? -1 : 1;
    return x < y ? -1 : x > y;
}

static void list_subscribers(struct balance *b)
{
    const struct assignor_spec *s = b->spec;
    for (uint32_t m = 0; m < s->member_count; m++)
        for (uint32_t t = 0; t < s->members[m].topic_count; t++)
            b->first[s->members[m].topics[t] + 1]++;
    for (uint32_t t = 0; t < s->topic_count; t++)
        b->first[t + 1] += b->first[t];
    uint32_t *at = b->order; /* borrowed as write positions */
    memcpy(at, b->first, s->topic_count * sizeof(*at));
    for (uint32_t m = 0; m < s->member_count; m++)
        for (uint32_t t = 0; t < s->members[m].topic_count; t++)
            b->subscribers[at[s->members[m].topics[t]]++] = m;
    for (uint32_t t = 0; t < s->topic_count; t++)
        b->order[t] = t;
    qsort_r(b->order, s->topic_count, sizeof(*b->order), order_cmp, b);
}

static int balance_init(struct balance *b, struct arena *scratch)
{
    const struct assignor_spec *s = b->spec;
    size_t pairs = 0, widest = 1;
    for (uint32_t m = 0; m < s->member_count; m++)
        pairs += s->members[m].topic_count;
    for (uint32_t t = 0; t < s->topic_count; t++)
        if (s->topics[t].partitions > widest)
            widest = s->topics[t].partitions;
    size_t picks = s->member_count + 2 * widest + 2; /* a move pushes two entries into each heap */
    b->load = arena_calloc(scratch, s->member_count + 1, sizeof(uint32_t));
    b->order = arena_calloc(scratch, s->topic_count + 1, sizeof(uint32_t));
    b->first = arena_calloc(scratch, (size_t)s->topic_count + 1, sizeof(uint32_t));
    b->subscribers = arena_calloc(scratch, pairs + 1, sizeof(uint32_t));
    b->least.v = arena_calloc(scratch, picks, sizeof(struct pick));
    b->most.v = arena_calloc(scratch, picks, sizeof(struct pick));
    b->chain = arena_calloc(scratch, s->member_count + 1, sizeof(int32_t));
    b->behind = arena_calloc(scratch, widest, sizeof(int32_t));
    if (!b->load || !b->order || !b->first || !b->subscribers || !b->least.v || !b->most.v ||
        !b->chain || !b->behind)
        return ERR_NO_MEMORY;
    b->most.most = true;
    for (uint32_t p = 0; p < s->partition_count; p++)
        if (b->owner[p] != ASSIGNOR_NOBODY)
            b->load[b->owner[p]]++;
    list_subscribers(b);
    return 0;
}

static void heap_fill(struct balance *b, struct heap *h, uint32_t topic)
{
    h->n = 0;
    for (uint32_t i = b->first[topic]; i < b->first[topic + 1]; i++)
        heap_push(h, (struct pick){b->subscribers[i], b->load[b->subscribers[i]]});
}

/* Gives the partitions that nobody owns to the least loaded subscribers. */
static void place(struct balance *b, uint32_t topic)
{
    const struct assignor_topic *t = &b->spec->topics[topic];
    if (b->first[topic] == b->first[topic + 1])
        return;
    heap_fill(b, &b->least, topic);
    for (uint32_t i = 0; i < t->partitions; i++) {
        uint32_t member;
        if (b->owner[t->first + i] != ASSIGNOR_NOBODY || !heap_top(&b->least, b->load, &member))
            continue;
        heap_pop(&b->least);
        b->owner[t->first + i] = (int32_t)member;
        b->load[member]++;
        heap_push(&b->least, (struct pick){member, b->load[member]});
    }
}

/* Moves one partition of the topic between members, if their loads are too far apart. */
static bool move_one(struct balance *b, const struct assignor_topic *t)
{
    uint32_t from, to;
    while (heap_top(&b->most, b->load, &from) && b->chain[from] < 0)
        heap_pop(&b->most); /* owns nothing of this topic */
    if (b->most.n == 0 || !heap_top(&b->least, b->load, &to) || b->load[from] - b->load[to] <= 1 ||
        b->load[from] <= b->load[to])
        return false;
    heap_pop(&b->most);
    heap_pop(&b->least);
    int32_t p = b->chain[from];
    b->chain[from] = b->behind[p];
    b->behind[p] = b->chain[to];
    b->chain[to] = p;
    b->owner[t->first + (uint32_t)p] = (int32_t)to;
    b->load[from]--;
    b->load[to]++;
    for (int i = 0; i < 2; i++) {
        uint32_t m = i ? to : from;
        heap_push(&b->least, (struct pick){m, b->load[m]});
        heap_push(&b->most, (struct pick){m, b->load[m]});
    }
    return true;
}

/* Evens out one topic; true if something moved. */
static bool even_out(struct balance *b, uint32_t topic)
{
    const struct assignor_topic *t = &b->spec->topics[topic];
    if (b->first[topic + 1] - b->first[topic] < 2)
        return false;
    for (uint32_t i = b->first[topic]; i < b->first[topic + 1]; i++)
        b->chain[b->subscribers[i]] = -1;
    for (uint32_t i = 0; i < t->partitions; i++) {
        int32_t o = b->owner[t->first + i];
        b->behind[i] = b->chain[o];
        b->chain[o] = (int32_t)i;
    }
    heap_fill(b, &b->least, topic);
    heap_fill(b, &b->most, topic);
    bool moved = false;
    /* A partition moves once per round at most: the heaps have room for that. */
    for (uint32_t i = 0; i < t->partitions && move_one(b, t); i++)
        moved = true;
    return moved;
}

int assignor_balance(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch)
{
    struct balance b = {.spec = spec, .owner = owner};
    int rc = balance_init(&b, scratch);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < spec->topic_count; i++)
        place(&b, b.order[i]);
    for (int round = 0; round < assignor_balance_rounds_max; round++) {
        bool moved = false;
        for (uint32_t i = 0; i < spec->topic_count; i++)
            moved |= even_out(&b, b.order[i]);
        if (!moved)
            break;
    }
    return 0;
}
