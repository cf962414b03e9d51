#include "base/arena.h"
#include "control/group/offsets.h"
#include "dataplane/proto/gen/offset_fetch.h"

/* A request under work. */
struct fetch {
    struct coordinator *c;
    struct group_call *call;
    const struct offset_fetch_request_group *req;
    bool require_stable;
    struct group *g; /* NULL: no such group; then no offsets */
    struct offset_fetch_response_group *response;
};

static struct offset_fetch_response_group_partition no_offset(int32_t partition, int16_t kerr)
{
    return (struct offset_fetch_response_group_partition){
        .partition_index = partition,
        .committed_offset = -1,
        .committed_leader_epoch = -1,
        .metadata = STR(""),
        .error_code = kerr,
    };
}

static bool fill(const struct fetch *f, const struct group_offset *o,
                 struct offset_fetch_response_group_partition *out)
{
    *out = no_offset(o->partition, 0);
    out->committed_offset = o->offset;
    out->committed_leader_epoch = o->leader_epoch;
    if (o->metadata.len)
        out->metadata = arena_str(f->call->arena, o->metadata);
    return out->metadata.p != NULL;
}

static bool unstable(const struct fetch *f, struct str topic, int32_t partition)
{
    return f->require_stable && f->g && txn_pending(f->c, f->g, topic, partition);
}

/* --- named partitions --- */

static bool other_topic(const struct group_offset *o, const struct uuid *asked)
{
    return !uuid_is_zero(&o->topic_id) && !uuid_is_zero(asked) && !uuid_eq(&o->topic_id, asked);
}

/* name null: a topic id that nobody knows. */
static bool add_named(struct fetch *f, const struct offset_fetch_request_group_topic *t,
                      struct str name)
{
    struct offset_fetch_response_group_topic *out = &f->response->topics[f->response->n_topics++];
    offset_fetch_response_group_topic_init(out);
    out->name = str_is_null(name) ? STR("") : arena_str(f->call->arena, name);
    out->topic_id = t->topic_id;
    out->partitions =
        arena_calloc(f->call->arena, (size_t)t->n_partition_indexes, sizeof(*out->partitions));
    if (out->partitions == NULL || out->name.p == NULL)
        return false;
    for (int32_t i = 0; i < t->n_partition_indexes; i++) {
        int32_t partition = t->partition_indexes[i];
        struct offset_fetch_response_group_partition *p = &out->partitions[out->n_partitions++];
        const struct group_offset *o = f->g && name.p ? offsets_get(f->g, name, partition) : NULL;
        if (str_is_null(name))
            *p = no_offset(partition, KERR_UNKNOWN_TOPIC_ID);
        else if (unstable(f, name, partition))
            *p = no_offset(partition, KERR_UNSTABLE_OFFSET_COMMIT);
        else if (o == NULL || other_topic(o, &t->topic_id))
            *p = no_offset(partition, 0);
        else if (!fill(f, o, p))
            return false;
    }
    return true;
}

/* Unknown topics stand last, as in Kafka. */
static bool fetch_named(struct fetch *f)
{
    const struct group_topics *look = &f->c->topics;
    size_t n = (size_t)f->req->n_topics;
    f->response->topics = arena_calloc(f->call->arena, n, sizeof(*f->response->topics));
    if (f->response->topics == NULL)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < f->req->n_topics; i++) {
            const struct offset_fetch_request_group_topic *t = &f->req->topics[i];
            struct group_topic found = {.name = t->name};
            if (f->call->version >= 10 && !look->by_id(look->ctx, &t->topic_id, &found))
                found.name = STR_NULL;
            if (str_is_null(found.name) == (pass == 1) && !add_named(f, t, found.name))
                return false;
        }
    return true;
}

/* --- all of the group's --- */

static bool add_all_of(struct fetch *f, const struct group_topic_offsets *t)
{
    struct offset_fetch_response_group_topic *out = &f->response->topics[f->response->n_topics];
    offset_fetch_response_group_topic_init(out);
    if (f->call->version >= 10) {
        struct group_topic found;
        if (!f->c->topics.by_name(f->c->topics.ctx, t->name, &found))
            return true; /* no id to tell it by */
        out->topic_id = found.id;
    }
    out->name = arena_str(f->call->arena, t->name);
    out->partitions = arena_calloc(f->call->arena, t->count, sizeof(*out->partitions));
    if (out->name.p == NULL || out->partitions == NULL)
        return false;
    for (uint32_t i = 0; i < t->count; i++) {
        struct offset_fetch_response_group_partition *p = &out->partitions[out->n_partitions++];
        if (unstable(f, t->name, t->items[i].partition))
            *p = no_offset(t->items[i].partition, KERR_UNSTABLE_OFFSET_COMMIT);
        else if (!fill(f, &t->items[i], p))
            return false;
    }
    f->response->n_topics++;
    return true;
}

static bool fetch_all(struct fetch *f)
{
    struct group_topic_offsets **topics = f->g ? offsets_topics_sorted(f->g) : NULL;
    if (topics == NULL)
        return f->g == NULL || f->g->n_offsets == 0;
    size_t n = f->g->topics.count;
    f->response->topics = arena_calloc(f->call->arena, n, sizeof(*f->response->topics));
    bool ok = f->response->topics != NULL;
    for (size_t i = 0; i < n && ok; i++)
        ok = add_all_of(f, topics[i]);
    free(topics);
    return ok;
}

/* --- */

static int16_t check(const struct fetch *f)
{
    if (f->g == NULL || f->g->type != GROUP_CONSUMER)
        return 0;
    return f->c->consumer->check_fetch(f->g, f->req->member_id, f->req->member_epoch);
}

static bool answer(struct fetch *f, int16_t kerr)
{
    f->response = arena_calloc(f->call->arena, 1, sizeof(*f->response));
    if (f->response == NULL)
        return false;
    offset_fetch_response_group_init(f->response);
    f->response->group_id = f->req->group_id;
    if (kerr && f->call->version >= 2) {
        f->response->error_code = kerr;
        return true;
    }
    return f->req->n_topics < 0 ? fetch_all(f) : fetch_named(f);
}

void coordinator_offset_fetch(struct coordinator *c, struct group_call *call,
                              const struct offset_fetch_request_group *group, bool require_stable,
                              struct group_now now)
{
    bool works = group_step_begin(c, NULL, now);
    struct fetch f = {c, call, group, require_stable, NULL, NULL};
    f.g = works ? group_find(c, group->group_id) : NULL;
    int16_t kerr = works ? check(&f) : c->failed;
    if (!answer(&f, kerr))
        f.response = NULL;
    call->response = f.response;
    if (kerr && f.response)
        group_response_fail(call, kerr);
    group_reply(c, call);
    group_step_end(c);
}
