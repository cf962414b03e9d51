/* cluster: DescribeCluster and DescribeTopicPartitions (KIP-966). */
#include "control/api/api.h"
#include "dataplane/proto/gen/describe_cluster.h"
#include "dataplane/proto/gen/describe_topic_partitions.h"

#include <stdlib.h>

API_ENCODER(describe_cluster_response)
API_ENCODER(describe_topic_partitions_response)

enum { ENDPOINT_BROKER = 1, ENDPOINT_CONTROLLER = 2 };

void api_describe_cluster(struct control_request *rq)
{
    struct describe_cluster_request req;
    API_DECODE(rq, describe_cluster_request, &req);
    struct describe_cluster_response res;
    struct describe_cluster_response_broker me;
    describe_cluster_response_init(&res);
    describe_cluster_response_broker_init(&me);
    res.endpoint_type = ENDPOINT_BROKER;
    if (rq->version >= 1 && req.endpoint_type != ENDPOINT_BROKER) {
        bool known = req.endpoint_type == ENDPOINT_CONTROLLER;
        res.error_code = known ? KERR_MISMATCHED_ENDPOINT_TYPE : KERR_UNSUPPORTED_ENDPOINT_TYPE;
        res.error_message =
            known ? STR("The request was sent to an endpoint of type BROKER, but we wanted an "
                        "endpoint of type CONTROLLER")
                  : arena_printf(&rq->arena, "Unsupported endpoint type %d", req.endpoint_type);
        res.endpoint_type = ENDPOINT_BROKER;
        res.cluster_id = STR("");
        control_reply(rq, &res, describe_cluster_response_encode_any);
        return;
    }
    me.broker_id = broker_node_id(rq->control->broker);
    me.host = api_advertised_host(rq);
    me.port = api_advertised_port(rq);
    me.rack = STR_NULL;
    res.cluster_id = api_cluster_id(rq);
    res.controller_id = me.broker_id;
    res.brokers = &me;
    res.n_brokers = 1;
    if (req.include_cluster_authorized_operations)
        res.cluster_authorized_operations = API_CLUSTER_OPERATIONS;
    control_reply(rq, &res, describe_cluster_response_encode_any);
}

/* One page of a listing: how many partitions may still go into it. */
struct page {
    struct control_request *rq;
    struct describe_topic_partitions_response *res;
    int32_t room;
    int32_t *self;
    bool full_arena;
};

static void fill_partition(struct describe_topic_partitions_response_partition *p,
                           const struct image_partition *from, int32_t index, int32_t *self)
{
    describe_topic_partitions_response_partition_init(p);
    p->partition_index = index;
    p->leader_epoch = from->leader_epoch;
    p->replica_nodes = self;
    p->n_replica_nodes = 1;
    p->isr_nodes = self;
    p->n_isr_nodes = 1;
    p->eligible_leader_replicas = self;
    p->n_eligible_leader_replicas = 0;
    p->last_known_elr = self;
    p->n_last_known_elr = 0;
    p->leader_id = from->plog ? *self : -1;
    if (!from->plog) {
        p->error_code = KERR_LEADER_NOT_AVAILABLE;
        p->offline_replicas = self;
        p->n_offline_replicas = 1;
    }
}

/* Adds a topic from partition `first` on; false when the page ended inside (or before) it. */
static bool add_topic(struct page *page, const struct image_topic *t, int32_t first)
{
    struct describe_topic_partitions_response *res = page->res;
    struct arena *arena = &page->rq->arena;
    int32_t left = first < t->partition_count ? t->partition_count - first : 0;
    int32_t take = left < page->room ? left : page->room;
    struct describe_topic_partitions_response_topic *out = &res->topics[res->n_topics++];
    describe_topic_partitions_response_topic_init(out);
    out->name = str_from(t->name);
    out->topic_id = t->id;
    out->is_internal = t->internal;
    out->topic_authorized_operations = API_TOPIC_OPERATIONS;
    out->partitions = arena_calloc(arena, (size_t)take, sizeof(*out->partitions));
    if (!out->partitions) {
        page->full_arena = true;
        return false;
    }
    out->n_partitions = take;
    for (int32_t i = 0; i < take; i++)
        fill_partition(&out->partitions[i], &t->partitions[first + i], first + i, page->self);
    page->room -= take;
    if (take == left)
        return true;
    res->next_cursor = arena_calloc(arena, 1, sizeof(*res->next_cursor));
    if (res->next_cursor)
        *res->next_cursor =
            (struct describe_topic_partitions_response_cursor){out->name, first + take};
    return false;
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Names asked for, or all, sorted and without repeats, from the cursor on. NULL: no memory. */
static struct str *page_names(struct control_request *rq,
                              const struct describe_topic_partitions_request *req, struct str from,
                              uint32_t *count)
{
    struct image_topic **all = NULL;
    uint32_t n = (uint32_t)(req->n_topics > 0 ? req->n_topics : 0);
    if (n == 0 && image_topics_sorted(&rq->control->image, &all, &n) < 0)
        return NULL;
    struct str *names = arena_calloc(&rq->arena, n, sizeof(*names));
    uint32_t kept = 0;
    for (uint32_t i = 0; names && i < n; i++) {
        struct str name = all ? str_from(all[i]->name) : req->topics[i].name;
        if (str_is_null(from) || str_cmp(name, from) >= 0)
            names[kept++] = name;
    }
    free(all);
    if (!names)
        return NULL;
    qsort(names, kept, sizeof(*names), by_name);
    *count = 0;
    for (uint32_t i = 0; i < kept; i++)
        if (i == 0 || !str_eq(names[i], names[i - 1]))
            names[(*count)++] = names[i];
    return names;
}

static void fill_pages(struct page *page, const struct describe_topic_partitions_request *req,
                       const struct str *names, uint32_t count)
{
    struct describe_topic_partitions_response *res = page->res;
    for (uint32_t i = 0; i < count; i++) {
        const struct image_topic *t = api_topic(page->rq, names[i]);
        bool at_cursor = req->cursor && str_eq(names[i], req->cursor->topic_name);
        if (page->room == 0) {
            res->next_cursor = arena_calloc(&page->rq->arena, 1, sizeof(*res->next_cursor));
            if (res->next_cursor)
                *res->next_cursor = (struct describe_topic_partitions_response_cursor){names[i], 0};
            return;
        }
        if (!t) {
            struct describe_topic_partitions_response_topic *out = &res->topics[res->n_topics++];
            describe_topic_partitions_response_topic_init(out);
            out->name = names[i];
            out->is_internal = topic_name_is_internal(names[i]);
            out->topic_authorized_operations = API_TOPIC_OPERATIONS;
            out->error_code = str_is_null(topic_name_error(&page->rq->arena, names[i]))
                                  ? KERR_UNKNOWN_TOPIC_OR_PARTITION
                                  : KERR_INVALID_TOPIC_EXCEPTION;
            continue;
        }
        if (!add_topic(page, t, at_cursor ? req->cursor->partition_index : 0))
            return;
    }
}

void api_describe_topic_partitions(struct control_request *rq)
{
    struct describe_topic_partitions_request req;
    API_DECODE(rq, describe_topic_partitions_request, &req);
    struct describe_topic_partitions_response res;
    describe_topic_partitions_response_init(&res);
    struct str from = req.cursor ? req.cursor->topic_name : STR_NULL;
    uint32_t count = 0;
    struct str *names = page_names(rq, &req, from, &count);
    int64_t limit = config_int(rq->control->config, CONFIG_MAX_REQUEST_PARTITION_SIZE_LIMIT);
    if (req.response_partition_limit < limit)
        limit = req.response_partition_limit;
    int32_t *self;
    API_ALLOC(rq, self, 1);
    API_ALLOC(rq, res.topics, req.n_topics > (int32_t)count ? (uint32_t)req.n_topics : count);
    *self = broker_node_id(rq->control->broker);
    struct page page = {rq, &res, limit < 1 ? 1 : (int32_t)limit, self, names == NULL};
    if (names) {
        bool listed = !req.cursor || req.n_topics <= 0;
        for (uint32_t i = 0; !listed && i < count; i++)
            listed = str_eq(names[i], from);
        if (!listed || (req.cursor && req.cursor->partition_index < 0)) {
            /* Kafka answers with getErrorResponse: each topic carries the error. */
            for (int32_t i = 0; i < req.n_topics; i++) {
                struct describe_topic_partitions_response_topic *t = &res.topics[res.n_topics++];
                describe_topic_partitions_response_topic_init(t);
                t->name = req.topics[i].name;
                t->error_code = KERR_INVALID_REQUEST;
            }
        } else {
            fill_pages(&page, &req, names, count);
        }
    }
    if (page.full_arena) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    control_reply(rq, &res, describe_topic_partitions_response_encode_any);
}
