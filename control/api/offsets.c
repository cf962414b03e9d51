/*
 * offsets: OffsetCommit, OffsetFetch and OffsetDelete.
 */
#include "control/api/groups.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/offset_delete.h"
#include "dataplane/proto/gen/offset_fetch.h"

API_ENCODER(offset_commit_response)
API_ENCODER(offset_fetch_response)
API_ENCODER(offset_delete_response)

/* ---- OffsetCommit ---- */

/* The error for every partition, as Kafka's getErrorResponse. */
static void commit_refuse(struct control_request *rq, const struct offset_commit_request *req,
                          int16_t error)
{
    struct offset_commit_response res;
    offset_commit_response_init(&res);
    int32_t n = req->n_topics > 0 ? req->n_topics : 0;
    API_ALLOC(rq, res.topics, n);
    for (int32_t i = 0; i < n; i++) {
        const struct offset_commit_request_topic *from = &req->topics[i];
        struct offset_commit_response_topic *to = &res.topics[res.n_topics++];
        int32_t parts = from->n_partitions > 0 ? from->n_partitions : 0;
        offset_commit_response_topic_init(to);
        to->name = from->name;
        to->topic_id = from->topic_id;
        API_ALLOC(rq, to->partitions, parts);
        to->n_partitions = parts;
        for (int32_t k = 0; k < parts; k++) {
            offset_commit_response_partition_init(&to->partitions[k]);
            to->partitions[k].partition_index = from->partitions[k].partition_index;
            to->partitions[k].error_code = error;
        }
    }
    control_reply(rq, &res, offset_commit_response_encode_any);
}

/* The commit may still become durable, and count: Kafka's answer is the same. */
static void commit_late(struct control_request *rq, const void *req)
{
    commit_refuse(rq, req, KERR_COORDINATOR_NOT_AVAILABLE);
}

void api_offset_commit(struct control_request *rq)
{
    struct offset_commit_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, offset_commit_request, req);
    int16_t error = groups_find(api_groups(rq), req->group_id, &p);
    if (error) {
        commit_refuse(rq, req, error);
        return;
    }
    struct group_call *call = group_single(rq, p, offset_commit_response_encode_any);
    if (!call)
        return;
    group_single_deadline(rq, config_int(rq->control->config, CONFIG_OFFSETS_COMMIT_TIMEOUT_MS),
                          commit_late, req);
    coordinator_offset_commit(group_partition_coordinator(p), call, req,
                              groups_now(api_groups(rq)));
    groups_pump(p);
}

/* ---- OffsetDelete ---- */

void api_offset_delete(struct control_request *rq)
{
    struct offset_delete_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, offset_delete_request, req);
    int16_t error = req->group_id.len == 0 ? KERR_INVALID_GROUP_ID
                                           : groups_find(api_groups(rq), req->group_id, &p);
    if (error) {
        struct offset_delete_response res;
        offset_delete_response_init(&res);
        res.error_code = error;
        control_reply(rq, &res, offset_delete_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, offset_delete_response_encode_any);
    if (!call)
        return;
    coordinator_offset_delete(group_partition_coordinator(p), call, req,
                              groups_now(api_groups(rq)));
    groups_pump(p);
}

/* ---- OffsetFetch ---- */

struct fetch_state {
    struct fan fan;
    struct offset_fetch_request req;
    struct offset_fetch_response res;
};

static void fetch_put(struct group_item *item, const void *response)
{
    struct offset_fetch_response_group *out = item->out;
    if (response)
        *out = *(const struct offset_fetch_response_group *)response;
    else
        out->error_code = KERR_UNKNOWN_SERVER_ERROR;
}

/* Versions 1-7 ask for one group in flat fields; here it looks like one of many. */
static bool fetch_unflatten(struct fetch_state *s)
{
    struct arena *arena = &s->fan.rq->arena;
    struct offset_fetch_request *req = &s->req;
    struct offset_fetch_request_group *group = arena_calloc(arena, 1, sizeof(*group));
    int32_t n = req->n_topics > 0 ? req->n_topics : 0;
    if (!group)
        return false;
    offset_fetch_request_group_init(group);
    group->group_id = req->group_id;
    group->n_topics = req->n_topics;
    if (req->n_topics >= 0) {
        group->topics = arena_calloc(arena, (size_t)n, sizeof(*group->topics));
        if (!group->topics)
            return false;
    }
    for (int32_t i = 0; i < n; i++) {
        offset_fetch_request_group_topic_init(&group->topics[i]);
        group->topics[i].name = req->topics[i].name;
        group->topics[i].partition_indexes = req->topics[i].partition_indexes;
        group->topics[i].n_partition_indexes = req->topics[i].n_partition_indexes;
    }
    req->groups = group;
    req->n_groups = 1;
    return true;
}

/* Version 1 has no error of the group: each partition asked for carries it. */
static bool fetch_spread_error(struct fetch_state *s, struct offset_fetch_response_group *g)
{
    struct arena *arena = &s->fan.rq->arena;
    const struct offset_fetch_request *req = &s->req;
    g->topics = arena_calloc(arena, (size_t)req->n_topics, sizeof(*g->topics));
    if (!g->topics)
        return false;
    g->n_topics = req->n_topics;
    for (int32_t i = 0; i < req->n_topics; i++) {
        int32_t n = req->topics[i].n_partition_indexes > 0 ? req->topics[i].n_partition_indexes : 0;
        struct offset_fetch_response_group_topic *t = &g->topics[i];
        offset_fetch_response_group_topic_init(t);
        t->name = req->topics[i].name;
        t->partitions = arena_calloc(arena, (size_t)n, sizeof(*t->partitions));
        if (!t->partitions)
            return false;
        t->n_partitions = n;
        for (int32_t k = 0; k < n; k++) {
            offset_fetch_response_group_partition_init(&t->partitions[k]);
            t->partitions[k].partition_index = req->topics[i].partition_indexes[k];
            t->partitions[k].committed_offset = -1;
            t->partitions[k].metadata = STR("");
            t->partitions[k].error_code = g->error_code;
        }
    }
    return true;
}

static bool fetch_flatten(struct fetch_state *s)
{
    struct arena *arena = &s->fan.rq->arena;
    struct offset_fetch_response_group *g = &s->res.groups[0];
    if (s->fan.rq->version == 1 && g->error_code && s->req.n_topics > 0 &&
        !fetch_spread_error(s, g))
        return false;
    s->res.topics =
        arena_calloc(arena, (size_t)(g->n_topics > 0 ? g->n_topics : 0), sizeof(*s->res.topics));
    if (!s->res.topics)
        return false;
    for (int32_t i = 0; i < g->n_topics; i++) {
        const struct offset_fetch_response_group_topic *from = &g->topics[i];
        struct offset_fetch_response_topic *to = &s->res.topics[s->res.n_topics++];
        offset_fetch_response_topic_init(to);
        to->name = from->name;
        to->n_partitions = from->n_partitions;
        to->partitions = arena_calloc(arena, (size_t)from->n_partitions, sizeof(*to->partitions));
        if (!to->partitions)
            return false;
        for (int32_t k = 0; k < from->n_partitions; k++)
            to->partitions[k] = (struct offset_fetch_response_partition){
                .partition_index = from->partitions[k].partition_index,
                .committed_offset = from->partitions[k].committed_offset,
                .committed_leader_epoch = from->partitions[k].committed_leader_epoch,
                .metadata = from->partitions[k].metadata,
                .error_code = from->partitions[k].error_code};
    }
    s->res.error_code = g->error_code;
    s->res.groups = NULL;
    s->res.n_groups = 0;
    return true;
}

static void fetch_finish(struct fan *fan)
{
    struct fetch_state *s = (struct fetch_state *)fan;
    if (fan->rq->version < 8 && !fetch_flatten(s))
        control_close(fan->rq, "the request needs too much memory");
    else
        control_reply(fan->rq, &s->res, offset_fetch_response_encode_any);
}

static void fetch_one(struct fetch_state *s, struct group_item *item,
                      const struct offset_fetch_request_group *group,
                      struct offset_fetch_response_group *out)
{
    struct group_partition *p;
    struct groups *g = api_groups(s->fan.rq);
    offset_fetch_response_group_init(out);
    out->group_id = group->group_id;
    out->error_code = groups_find(g, group->group_id, &p);
    if (out->error_code)
        return;
    struct group_call *call = group_item_begin(item, &s->fan, fetch_put, out);
    coordinator_offset_fetch(group_partition_coordinator(p), call, group, s->req.require_stable,
                             groups_now(g));
    groups_pump(p);
}

void api_offset_fetch(struct control_request *rq)
{
    struct fetch_state *s;
    struct group_item *items;
    API_ALLOC(rq, s, 1);
    API_DECODE(rq, offset_fetch_request, &s->req);
    offset_fetch_response_init(&s->res);
    s->fan.rq = rq;
    if (rq->version < 8 && !fetch_unflatten(s)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    int32_t n = s->req.n_groups > 0 ? s->req.n_groups : 0;
    if (n > api_groups_max) {
        control_close(rq, "it names more than api_groups_max groups");
        return;
    }
    API_ALLOC(rq, items, n);
    API_ALLOC(rq, s->res.groups, n);
    s->res.n_groups = n;
    fan_begin(&s->fan, rq, fetch_finish);
    for (int32_t i = 0; i < n; i++)
        fetch_one(s, &items[i], &s->req.groups[i], &s->res.groups[i]);
    fan_end(&s->fan);
}
