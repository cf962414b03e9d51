/*
 * Offsets that a transaction has written and not yet committed: they come out of logs that Kafka
 * wrote (a directory taken over with a transaction open).
 */
#include "base/check.h"
#include "control/group/offsets.h"

struct txn_offset {
    struct txn_offset *next;
    struct group *group;
    struct str topic; /* malloc'd */
    struct group_offset offset;
};

struct group_txn {
    int64_t producer_id;
    struct txn_offset *offsets;
};

static void offset_free(struct txn_offset *o)
{
    group_str_free(&o->topic);
    group_str_free(&o->offset.metadata);
    free(o);
}

static bool is_for(const struct txn_offset *o, const struct group *g, struct str topic,
                   int32_t partition)
{
    return o->group == g && o->offset.partition == partition && str_eq(o->topic, topic);
}

static void remove_one(struct group_txn *t, struct group *g, struct str topic, int32_t partition)
{
    for (struct txn_offset **link = &t->offsets; *link;) {
        struct txn_offset *o = *link;
        if (!is_for(o, g, topic, partition)) {
            link = &o->next;
            continue;
        }
        *link = o->next;
        offset_free(o);
        g->n_pending_offsets--;
    }
}

static struct group_txn *txn_make(struct coordinator *c, int64_t producer_id)
{
    struct group_txn *t = map_get(&c->txns, &producer_id, sizeof(producer_id));
    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return NULL;
    t->producer_id = producer_id;
    if (map_put(&c->txns, &t->producer_id, sizeof(t->producer_id), t, NULL) < 0) {
        free(t);
        return NULL;
    }
    return t;
}

int txn_put(struct group *g, int64_t producer_id, struct str topic,
            const struct group_offset *offset)
{
    struct group_txn *t = txn_make(g->c, producer_id);
    struct txn_offset *o = t ? calloc(1, sizeof(*o)) : NULL;
    if (o == NULL)
        return ERR_NO_MEMORY;
    bool ok = true;
    o->group = g;
    o->offset = *offset;
    o->topic = group_str_dup(topic, &ok);
    o->offset.metadata = group_str_dup(offset->metadata, &ok);
    if (!ok) {
        offset_free(o);
        return ERR_NO_MEMORY;
    }
    remove_one(t, g, topic, offset->partition);
    o->next = t->offsets;
    t->offsets = o;
    g->n_pending_offsets++;
    return 0;
}

bool txn_pending(const struct coordinator *c, const struct group *g, struct str topic,
                 int32_t partition)
{
    if (g->n_pending_offsets == 0)
        return false;
    const struct group_txn *t;
    for (size_t cursor = 0; (t = map_next(&c->txns, &cursor));)
        for (const struct txn_offset *o = t->offsets; o; o = o->next)
            if (is_for(o, g, topic, partition))
                return true;
    return false;
}

void txn_each(const struct coordinator *c, const struct group *g,
              void (*fn)(void *ctx, struct str topic, int32_t partition), void *ctx)
{
    const struct group_txn *t;
    if (g->n_pending_offsets)
        for (size_t cursor = 0; (t = map_next(&c->txns, &cursor));)
            for (const struct txn_offset *o = t->offsets; o; o = o->next)
                if (o->group == g)
                    fn(ctx, o->topic, o->offset.partition);
}

void txn_forget(struct group *g, struct str topic, int32_t partition)
{
    struct group_txn *t;
    if (g->n_pending_offsets)
        for (size_t cursor = 0; (t = map_next(&g->c->txns, &cursor));)
            remove_one(t, g, topic, partition);
}

void txn_end(struct coordinator *c, int64_t producer_id, bool commit)
{
    struct group_txn *t = map_remove(&c->txns, &producer_id, sizeof(producer_id));
    if (t == NULL)
        return;
    for (struct txn_offset *o = t->offsets, *next; o; o = next) {
        next = o->next;
        struct group *g = o->group;
        /* A commit without a transaction that came later in the log wins. */
        const struct group_offset *now = offsets_get(g, o->topic, o->offset.partition);
        if (commit && (now == NULL || now->order < o->offset.order) &&
            offsets_put(g, o->topic, &o->offset) < 0)
            group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
        g->n_pending_offsets--;
        group_maybe_destroy(g);
        offset_free(o);
    }
    free(t);
}

void txn_free_all(struct coordinator *c)
{
    struct group_txn *t;
    for (size_t cursor = 0; (t = map_next(&c->txns, &cursor));) {
        for (struct txn_offset *o = t->offsets, *next; o; o = next) {
            next = o->next;
            offset_free(o);
        }
        free(t);
    }
    map_free(&c->txns);
}
