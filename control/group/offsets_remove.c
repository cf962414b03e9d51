#include "base/arena.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"
#include "dataplane/proto/gen/offset_delete.h"

static bool is_subscribed(const struct group *g, struct str topic)
{
    return g->type == GROUP_CLASSIC ? classic_is_subscribed(g->classic, topic)
                                    : g->c->consumer->is_subscribed(g, topic);
}

/* A tombstone in a batch that may end anywhere; the offset itself too. */
static void drop(struct group *g, struct str topic, int32_t partition)
{
    struct coordinator *c = g->c;
    if (!group_step_fits(c, offsets_record_bytes(g->id, topic, STR_NULL)))
        group_step_end(c);
    offsets_emit_tombstone(g, topic, partition);
    txn_forget(g, topic, partition);
    offsets_remove(g, topic, partition);
}

/* --- OffsetDelete --- */

struct deletion {
    struct coordinator *c;
    struct group_call *call;
    const struct offset_delete_request *req;
    struct offset_delete_response *response;
    struct group *g;
};

static bool partition_exists(struct coordinator *c, struct str topic, int32_t partition)
{
    struct group_topic t;
    return c->topics.by_name(c->topics.ctx, topic, &t) && partition >= 0 &&
           partition < t.partition_count;
}

static int16_t delete_one(struct deletion *d, struct str topic, int32_t partition)
{
    struct group *g = d->g;
    if (is_subscribed(g, topic))
        return KERR_GROUP_SUBSCRIBED_TO_TOPIC;
    if (offsets_get(g, topic, partition) || txn_pending(d->c, g, topic, partition)) {
        drop(g, topic, partition);
        d->c->stats.deletions++;
    }
    return 0;
}

/* Partitions that do not exist stand first, as in Kafka. */
static bool delete_topic(struct deletion *d, int32_t i)
{
    const struct offset_delete_request_topic *t = &d->req->topics[i];
    struct offset_delete_response_topic *out = &d->response->topics[d->response->n_topics++];
    offset_delete_response_topic_init(out);
    out->name = t->name;
    out->partitions =
        arena_calloc(d->call->arena, (size_t)t->n_partitions, sizeof(*out->partitions));
    if (out->partitions == NULL)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t k = 0; k < t->n_partitions; k++) {
            int32_t partition = t->partitions[k].partition_index;
            bool there = partition_exists(d->c, t->name, partition);
            if (there != (pass == 1))
                continue;
            out->partitions[out->n_partitions++] = (struct offset_delete_response_partition){
                partition,
                there ? delete_one(d, t->name, partition) : KERR_UNKNOWN_TOPIC_OR_PARTITION};
        }
    return true;
}

static int16_t check_delete(const struct group *g)
{
    if (g == NULL)
        return KERR_GROUP_ID_NOT_FOUND;
    if (g->type == GROUP_CLASSIC && g->classic->state != CLASSIC_EMPTY &&
        !classic_uses_consumer_protocol(g->classic))
        return KERR_NON_EMPTY_GROUP;
    return 0;
}

/* A topic has refused partitions, or is refused whole; those stand before the others. */
static bool has_unknown(const struct deletion *d, int32_t i)
{
    const struct offset_delete_request_topic *t = &d->req->topics[i];
    struct group_topic found;
    if (!d->c->topics.by_name(d->c->topics.ctx, t->name, &found))
        return true;
    for (int32_t k = 0; k < t->n_partitions; k++)
        if (!partition_exists(d->c, t->name, t->partitions[k].partition_index))
            return true;
    return false;
}

static bool delete_topics(struct deletion *d)
{
    size_t n = (size_t)d->req->n_topics;
    d->response->topics = arena_calloc(d->call->arena, n, sizeof(*d->response->topics));
    if (d->response->topics == NULL)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < d->req->n_topics; i++) {
            bool unknown = has_unknown(d, i);
            if (unknown == (pass == 0) && (unknown || d->req->topics[i].n_partitions > 0) &&
                !delete_topic(d, i))
                return false;
        }
    return true;
}

void coordinator_offset_delete(struct coordinator *c, struct group_call *call,
                               const struct offset_delete_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    struct deletion d = {c, call, req, NULL, NULL};
    int16_t kerr = req->group_id.len == 0 ? KERR_INVALID_GROUP_ID : 0;
    if (kerr == 0) {
        d.g = group_find(c, req->group_id);
        kerr = check_delete(d.g);
    }
    d.response = arena_calloc(call->arena, 1, sizeof(*d.response));
    if (d.response) {
        offset_delete_response_init(d.response);
        d.response->error_code = kerr;
        if (kerr == 0 && !delete_topics(&d))
            d.response = NULL;
    }
    call->response = d.response;
    group_reply(c, call);
    group_step_end(c);
}

/* --- the whole group --- */

struct drop_list {
    struct group *g;
    struct str topic[64];
    int32_t partition[64];
    uint32_t n;
};

static void collect_pending(void *ctx, struct str topic, int32_t partition)
{
    struct drop_list *l = ctx;
    if (l->n < sizeof(l->topic) / sizeof(l->topic[0])) {
        bool ok = true;
        l->topic[l->n] = group_str_dup(topic, &ok);
        l->partition[l->n] = partition;
        l->n += ok;
    }
}

/* t goes with its last offset. */
static void delete_topic_offsets(struct group *g, struct group_topic_offsets *t)
{
    bool ok = true;
    struct str name = group_str_dup(t->name, &ok);
    if (!ok)
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    for (uint32_t n = t->count; ok && n > 0; n--) {
        drop(g, name, t->items[n - 1].partition);
        g->c->stats.deletions++;
    }
    group_str_free(&name);
}

void offsets_delete_all(struct group *g)
{
    struct coordinator *c = g->c;
    struct group_topic_offsets **topics = offsets_topics_sorted(g);
    if (topics == NULL && g->n_offsets)
        group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
    for (size_t i = 0, n = topics ? g->topics.count : 0; i < n; i++)
        delete_topic_offsets(g, topics[i]);
    free(topics);
    struct drop_list l;
    do {
        l = (struct drop_list){.g = g};
        txn_each(c, g, collect_pending, &l);
        for (uint32_t i = 0; i < l.n; i++) {
            drop(g, l.topic[i], l.partition[i]);
            group_str_free(&l.topic[i]);
        }
    } while (l.n > 0);
}

/* --- expiry --- */

/* From when the retention of an offset counts; false: it does not expire now. */
static bool expiry_base(const struct group *g, const struct group_offset *o, int64_t *base)
{
    *base = o->commit_ms;
    if (g->type == GROUP_CONSUMER)
        return true;
    const struct classic_group *k = g->classic;
    if (str_is_null(k->protocol_type))
        return true; /* offsets of a consumer without membership */
    if (k->state == CLASSIC_EMPTY) {
        if (k->state_ms >= 0)
            *base = k->state_ms;
        return true;
    }
    return k->state == CLASSIC_STABLE && classic_uses_consumer_protocol(k) && k->subscribed_known;
}

static bool is_expired(const struct group *g, const struct group_offset *o)
{
    const struct coordinator *c = g->c;
    int64_t base;
    if (!expiry_base(g, o, &base))
        return false;
    if (o->expire_ms >= 0)
        return c->now.wall_ms >= o->expire_ms;
    return c->now.wall_ms - base >= c->settings.offsets_retention_ms;
}

static void expire_topic(struct group *g, struct str topic)
{
    struct group_topic_offsets *t = map_get(&g->topics, topic.p, topic.len);
    for (uint32_t i = t ? t->count : 0; i-- > 0;) {
        int32_t partition = t->items[i].partition;
        bool last = t->count == 1;
        if (!is_expired(g, &t->items[i]) || txn_pending(g->c, g, topic, partition))
            continue;
        drop(g, topic, partition);
        g->c->stats.expired++;
        if (last)
            return; /* t is gone */
    }
}

static void expire_offsets(struct group *g)
{
    struct group_topic_offsets **topics = offsets_topics_sorted(g);
    size_t n = topics ? g->topics.count : 0;
    for (size_t i = 0; i < n; i++) {
        bool ok = true;
        if (is_subscribed(g, topics[i]->name))
            continue;
        struct str name = group_str_dup(topics[i]->name, &ok);
        if (ok)
            expire_topic(g, name);
        group_str_free(&name);
    }
    free(topics);
}

static bool is_empty(const struct group *g)
{
    return g->type == GROUP_CLASSIC ? g->classic->state == CLASSIC_EMPTY
                                    : g->c->consumer->is_empty(g);
}

void offsets_expire(struct coordinator *c)
{
    for (struct group *g = c->groups, *next; g; g = next) {
        next = g->next;
        if (g->type == GROUP_NONE)
            continue;
        expire_offsets(g);
        if (g->n_offsets == 0 && g->n_pending_offsets == 0 && is_empty(g))
            group_delete(g);
    }
    group_step_end(c);
}

void offsets_expiry_fired(struct wheel_timer *t, int64_t now_ns)
{
    (void)now_ns;
    struct coordinator *c = (void *)((char *)t - offsetof(struct coordinator, expiry));
    offsets_expire(c);
    group_timer_arm(c, t, c->settings.offsets_retention_check_ms);
}

/* --- topics that are gone --- */

static void topic_gone(struct group *g, const struct group_topic *topic)
{
    struct group_topic_offsets *t = map_get(&g->topics, topic->name.p, topic->name.len);
    for (uint32_t i = t ? t->count : 0; i-- > 0;) {
        const struct group_offset *o = &t->items[i];
        bool last = t->count == 1;
        if (!uuid_is_zero(&o->topic_id) && !uuid_eq(&o->topic_id, &topic->id))
            continue; /* of a newer topic with this name */
        drop(g, topic->name, o->partition);
        if (last)
            return;
    }
}

void coordinator_topics_deleted(struct coordinator *c, const struct group_topic *topics, size_t n,
                                struct group_now now)
{
    if (!group_step_begin(c, NULL, now))
        return;
    for (struct group *g = c->groups, *next; g; g = next) {
        next = g->next;
        for (size_t i = 0; i < n; i++)
            topic_gone(g, &topics[i]);
        group_maybe_destroy(g);
    }
    group_step_end(c);
}
