/*
 * group_admin: what tools ask about groups: ListGroups, DescribeGroups, ConsumerGroupDescribe and
 * DeleteGroups.
 */
#include "control/api/groups.h"
#include "dataplane/proto/gen/consumer_group_describe.h"
#include "dataplane/proto/gen/delete_groups.h"
#include "dataplane/proto/gen/describe_groups.h"
#include "dataplane/proto/gen/list_groups.h"

API_ENCODER(list_groups_response)
API_ENCODER(describe_groups_response)
API_ENCODER(consumer_group_describe_response)
API_ENCODER(delete_groups_response)

#define CLOSE_IF_TOO_MANY(rq, n)                                                                   \
    do {                                                                                           \
        if ((n) > api_groups_max) {                                                                \
            control_close((rq), "it names more than api_groups_max groups");                       \
            return;                                                                                \
        }                                                                                          \
    } while (0)

/* ---- ListGroups ---- */

struct list_state {
    struct fan fan;
    struct list_groups_request req;
    struct list_groups_response res;
    struct group_item *items;
    const struct list_groups_response **parts;
    int32_t n_parts;
};

static void list_put(struct group_item *item, const void *response)
{
    struct list_state *s = (struct list_state *)item->fan;
    const struct list_groups_response *part = response;
    if (part)
        s->parts[s->n_parts++] = part;
    else
        s->res.error_code = KERR_UNKNOWN_SERVER_ERROR;
}

static void list_finish(struct fan *fan)
{
    struct list_state *s = (struct list_state *)fan;
    int32_t total = 0;
    for (int32_t i = 0; i < s->n_parts; i++) {
        total += s->parts[i]->n_groups;
        if (s->parts[i]->error_code)
            s->res.error_code = s->parts[i]->error_code;
    }
    struct list_groups_response_group *all =
        arena_calloc(&fan->rq->arena, (size_t)total, sizeof(*all));
    if (!all) {
        control_close(fan->rq, "the request needs too much memory");
        return;
    }
    for (int32_t i = 0; i < s->n_parts && !s->res.error_code; i++)
        for (int32_t k = 0; k < s->parts[i]->n_groups; k++)
            all[s->res.n_groups++] = s->parts[i]->groups[k];
    s->res.groups = all;
    control_reply(fan->rq, &s->res, list_groups_response_encode_any);
}

/* A partition that is loaded later makes the whole answer an error; one that is away does not. */
static void list_partition(struct list_state *s, int32_t index)
{
    struct group_partition *p;
    struct groups *g = api_groups(s->fan.rq);
    int16_t error = groups_at(g, index, &p);
    if (error && error != KERR_NOT_COORDINATOR)
        s->res.error_code = error;
    if (error)
        return;
    struct group_call *call = group_item_begin(&s->items[index], &s->fan, list_put, NULL);
    coordinator_list(group_partition_coordinator(p), call, &s->req, groups_now(g));
    groups_pump(p);
}

void api_list_groups(struct control_request *rq)
{
    struct list_state *s;
    API_ALLOC(rq, s, 1);
    API_DECODE(rq, list_groups_request, &s->req);
    list_groups_response_init(&s->res);
    struct groups *g = api_groups(rq);
    int32_t n = g ? groups_count(g) : 0;
    API_ALLOC(rq, s->items, n);
    API_ALLOC(rq, s->parts, n);
    fan_begin(&s->fan, rq, list_finish);
    for (int32_t i = 0; i < n; i++)
        list_partition(s, i);
    fan_end(&s->fan);
}

/* ---- DescribeGroups ---- */

struct describe_state {
    struct fan fan;
    bool operations;
    struct describe_groups_response res;
};

static void describe_put(struct group_item *item, const void *response)
{
    struct describe_state *s = (struct describe_state *)item->fan;
    struct describe_groups_response_group *out = item->out;
    if (response)
        *out = *(const struct describe_groups_response_group *)response;
    else
        out->error_code = KERR_UNKNOWN_SERVER_ERROR;
    if (s->operations && !out->error_code)
        out->authorized_operations = API_GROUP_OPERATIONS;
}

static void describe_finish(struct fan *fan)
{
    struct describe_state *s = (struct describe_state *)fan;
    control_reply(fan->rq, &s->res, describe_groups_response_encode_any);
}

void api_describe_groups(struct control_request *rq)
{
    struct describe_groups_request req;
    API_DECODE(rq, describe_groups_request, &req);
    CLOSE_IF_TOO_MANY(rq, req.n_groups);
    int32_t n = req.n_groups > 0 ? req.n_groups : 0;
    struct describe_state *s;
    struct group_item *items;
    API_ALLOC(rq, s, 1);
    API_ALLOC(rq, items, n);
    describe_groups_response_init(&s->res);
    API_ALLOC(rq, s->res.groups, n);
    s->res.n_groups = n;
    s->operations = req.include_authorized_operations;
    fan_begin(&s->fan, rq, describe_finish);
    for (int32_t i = 0; i < n; i++) {
        struct describe_groups_response_group *out = &s->res.groups[i];
        struct group_partition *p;
        describe_groups_response_group_init(out);
        out->group_id = req.groups[i];
        out->error_code = groups_find(api_groups(rq), req.groups[i], &p);
        if (out->error_code)
            continue;
        struct group_call *call = group_item_begin(&items[i], &s->fan, describe_put, out);
        coordinator_describe(group_partition_coordinator(p), call, req.groups[i],
                             groups_now(api_groups(rq)));
        groups_pump(p);
    }
    fan_end(&s->fan);
}

/* ---- ConsumerGroupDescribe (KIP-848) ---- */

struct consumer_describe_state {
    struct fan fan;
    bool operations;
    struct consumer_group_describe_response res;
};

static void consumer_describe_put(struct group_item *item, const void *response)
{
    struct consumer_describe_state *s = (struct consumer_describe_state *)item->fan;
    struct consumer_group_describe_response_group *out = item->out;
    if (response)
        *out = *(const struct consumer_group_describe_response_group *)response;
    else
        out->error_code = KERR_UNKNOWN_SERVER_ERROR;
    if (s->operations && !out->error_code)
        out->authorized_operations = API_GROUP_OPERATIONS;
}

static void consumer_describe_finish(struct fan *fan)
{
    struct consumer_describe_state *s = (struct consumer_describe_state *)fan;
    control_reply(fan->rq, &s->res, consumer_group_describe_response_encode_any);
}

void api_consumer_group_describe(struct control_request *rq)
{
    struct consumer_group_describe_request req;
    API_DECODE(rq, consumer_group_describe_request, &req);
    CLOSE_IF_TOO_MANY(rq, req.n_group_ids);
    int32_t n = req.n_group_ids > 0 ? req.n_group_ids : 0;
    struct consumer_describe_state *s;
    struct group_item *items;
    API_ALLOC(rq, s, 1);
    API_ALLOC(rq, items, n);
    consumer_group_describe_response_init(&s->res);
    API_ALLOC(rq, s->res.groups, n);
    s->res.n_groups = n;
    s->operations = req.include_authorized_operations;
    fan_begin(&s->fan, rq, consumer_describe_finish);
    for (int32_t i = 0; i < n; i++) {
        struct consumer_group_describe_response_group *out = &s->res.groups[i];
        struct group_partition *p;
        consumer_group_describe_response_group_init(out);
        out->group_id = req.group_ids[i];
        out->error_code = groups_find(api_groups(rq), req.group_ids[i], &p);
        if (out->error_code)
            continue;
        struct group_call *call = group_item_begin(&items[i], &s->fan, consumer_describe_put, out);
        coordinator_consumer_describe(group_partition_coordinator(p), call, req.group_ids[i],
                                      groups_now(api_groups(rq)));
        groups_pump(p);
    }
    fan_end(&s->fan);
}

/* ---- DeleteGroups ---- */

struct delete_state {
    struct fan fan;
    struct delete_groups_response res;
};

static void delete_put(struct group_item *item, const void *response)
{
    struct delete_groups_response_result *out = item->out;
    if (response)
        *out = *(const struct delete_groups_response_result *)response;
    else
        out->error_code = KERR_UNKNOWN_SERVER_ERROR;
}

static void delete_finish(struct fan *fan)
{
    struct delete_state *s = (struct delete_state *)fan;
    control_reply(fan->rq, &s->res, delete_groups_response_encode_any);
}

/* A name given twice is answered once. */
void api_delete_groups(struct control_request *rq)
{
    struct delete_groups_request req;
    API_DECODE(rq, delete_groups_request, &req);
    CLOSE_IF_TOO_MANY(rq, req.n_groups_names);
    int32_t n = req.n_groups_names > 0 ? req.n_groups_names : 0;
    struct delete_state *s;
    struct group_item *items;
    enum api_repeat *repeats;
    API_ALLOC(rq, s, 1);
    API_ALLOC(rq, items, n);
    API_ALLOC(rq, repeats, n);
    delete_groups_response_init(&s->res);
    API_ALLOC(rq, s->res.results, n);
    if (!api_mark_repeats(rq, req.groups_names, n, repeats)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    fan_begin(&s->fan, rq, delete_finish);
    for (int32_t i = 0; i < n; i++) {
        struct group_partition *p;
        if (repeats[i] == API_REPEATED_LATER)
            continue;
        struct delete_groups_response_result *out = &s->res.results[s->res.n_results++];
        delete_groups_response_result_init(out);
        out->group_id = req.groups_names[i];
        out->error_code = groups_find(api_groups(rq), req.groups_names[i], &p);
        if (out->error_code)
            continue;
        struct group_call *call = group_item_begin(&items[i], &s->fan, delete_put, out);
        coordinator_delete(group_partition_coordinator(p), call, req.groups_names[i],
                           groups_now(api_groups(rq)));
        groups_pump(p);
    }
    fan_end(&s->fan);
}
