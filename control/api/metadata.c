/*
 * metadata: brokers, topics and their partitions' leaders; creates topics on first mention.
 *
 * The happy path: names or ids are looked up in the image and described. A name that is not there is
 * created if the broker and the request allow it, and answered UNKNOWN_TOPIC_OR_PARTITION this
 * once, as Kafka does: clients ask again. Rules of KafkaApis.handleTopicMetadataRequest.
 */
#include "control/api/api.h"
#include "dataplane/proto/gen/metadata.h"

#include <stdlib.h>

#include "base/log.h"

API_ENCODER(metadata_response)

/* Topics being created because somebody named them; more wait for a client's next try. */
#define auto_create_running_max 1000

struct auto_create {
    struct topic_op op;
    struct control *control;
    char name[topic_name_bytes_max + 1];
};

/* The answer is UNKNOWN_TOPIC_OR_PARTITION all the same: only the log tells why no topic appears. */
static void not_created(struct control *c, struct str name, const char *why, const char *of)
{
    uint64_t suppressed = 0;
    if (log_limit_pass(&c->auto_create_limit, c->now_ns, &suppressed))
        log_warn("metadata",
                 "topic '%.*s' is not created on first mention: %s%s (%llu lines suppressed)",
                 STR_ARG(name), why, of, (unsigned long long)suppressed);
}

static void auto_created(struct topic_op *op)
{
    struct auto_create *a = op->ctx;
    if (op->error)
        not_created(a->control, op->name, op->message ? op->message : kerr_text(op->error), "");
    a->control->auto_creates--;
    free(a);
}

/* What CreateTopics would refuse. */
static bool refused(struct control *c, struct str name)
{
    const struct image_topic *other = topic_name_collision(&c->image, name);
    bool replicas = config_int(c->config, CONFIG_DEFAULT_REPLICATION_FACTOR) > 1;
    if (other)
        not_created(c, name, "it collides with existing topic ", other->name);
    else if (replicas)
        not_created(c, name, "default.replication.factor is above 1, the number of brokers", "");
    return other || replicas;
}

static void auto_create(struct control *c, struct str name)
{
    if (c->auto_creates >= auto_create_running_max || refused(c, name))
        return;
    struct auto_create *a = calloc(1, sizeof(*a));
    if (!a)
        return;
    memcpy(a->name, name.p, name.len);
    a->control = c;
    a->op =
        (struct topic_op){.kind = TOPIC_CREATE,
                          .name = {a->name, name.len},
                          .partition_count = (int32_t)config_int(c->config, CONFIG_NUM_PARTITIONS),
                          .done = auto_created,
                          .ctx = a};
    c->auto_creates++;
    topics_submit(c, &a->op);
}

static void fill_partition(struct metadata_response_partition *p,
                           const struct image_partition *from, int32_t index, int32_t *self)
{
    metadata_response_partition_init(p);
    p->partition_index = index;
    p->replica_nodes = self;
    p->n_replica_nodes = 1;
    p->isr_nodes = self;
    p->n_isr_nodes = 1;
    p->leader_epoch = from->leader_epoch;
    if (from->plog) {
        p->leader_id = *self;
    } else {
        p->leader_id = -1;
        p->error_code = KERR_LEADER_NOT_AVAILABLE;
        p->offline_replicas = self;
        p->n_offline_replicas = 1;
    }
}

/* False if the arena is full. */
static bool fill_topic(struct control_request *rq, struct metadata_response_topic *t,
                       const struct image_topic *from, bool operations, int32_t *self)
{
    t->name = str_from(from->name);
    t->topic_id = from->id;
    t->is_internal = from->internal;
    t->partitions = arena_calloc(&rq->arena, (size_t)from->partition_count, sizeof(*t->partitions));
    if (!t->partitions)
        return false;
    t->n_partitions = from->partition_count;
    for (int32_t i = 0; i < from->partition_count; i++)
        fill_partition(&t->partitions[i], &from->partitions[i], i, self);
    if (operations)
        t->topic_authorized_operations = API_TOPIC_OPERATIONS;
    return true;
}

static int16_t unknown_name(struct control_request *rq, struct str name, bool create)
{
    if (!str_is_null(topic_name_error(&rq->arena, name)))
        return KERR_INVALID_TOPIC_EXCEPTION;
    if (create && !topic_name_is_internal(name))
        auto_create(rq->control, name);
    return KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool fill_named(struct control_request *rq, const struct metadata_request *req,
                       struct metadata_response *res, int32_t *self)
{
    const struct control *c = rq->control;
    bool create =
        req->allow_auto_topic_creation && config_bool(c->config, CONFIG_AUTO_CREATE_TOPICS_ENABLE);
    bool by_id = false;
    struct str *keys = arena_calloc(&rq->arena, (size_t)req->n_topics, sizeof(*keys));
    enum api_repeat *repeats = arena_calloc(&rq->arena, (size_t)req->n_topics, sizeof(*repeats));
    if (!keys || !repeats)
        return false;
    for (int32_t i = 0; i < req->n_topics; i++)
        by_id |= !uuid_is_zero(&req->topics[i].topic_id);
    for (int32_t i = 0; i < req->n_topics; i++)
        keys[i] =
            by_id ? (struct str){(const char *)req->topics[i].topic_id.b, 16} : req->topics[i].name;
    if (!api_mark_repeats(rq, keys, req->n_topics, repeats))
        return false;
    for (int32_t i = 0; i < req->n_topics; i++) {
        const struct metadata_request_topic *want = &req->topics[i];
        if (repeats[i] == API_REPEATED_LATER)
            continue;
        struct metadata_response_topic *t = &res->topics[res->n_topics++];
        metadata_response_topic_init(t);
        struct image_topic *found;
        if (by_id) {
            if (uuid_is_zero(&want->topic_id)) {
                res->n_topics--; /* Kafka looks at ids alone once there is one */
                continue;
            }
            found = image_by_id(&c->image, &want->topic_id);
            if (!found || found->state != IMAGE_TOPIC_LIVE) {
                t->error_code = KERR_UNKNOWN_TOPIC_ID;
                t->name = STR_NULL;
                t->topic_id = want->topic_id;
                continue;
            }
        } else {
            found = api_topic(rq, want->name);
            if (!found) {
                t->name = want->name;
                t->is_internal = topic_name_is_internal(want->name);
                t->error_code = unknown_name(rq, want->name, create);
                continue;
            }
        }
        if (!fill_topic(rq, t, found, req->include_topic_authorized_operations, self))
            return false;
    }
    return true;
}

static bool fill_all(struct control_request *rq, const struct metadata_request *req,
                     struct metadata_response *res, int32_t *self)
{
    struct image_topic **topics;
    uint32_t count;
    if (image_topics_sorted(&rq->control->image, &topics, &count) < 0)
        return false;
    bool ok = true;
    res->topics = arena_calloc(&rq->arena, count, sizeof(*res->topics));
    ok = res->topics != NULL;
    for (uint32_t i = 0; ok && i < count; i++) {
        struct metadata_response_topic *t = &res->topics[res->n_topics++];
        metadata_response_topic_init(t);
        ok = fill_topic(rq, t, topics[i], req->include_topic_authorized_operations, self);
    }
    free(topics);
    return ok;
}

/* Requests that Kafka rejects as a whole: ids and null names before version 12. */
static bool names_fit_version(const struct metadata_request *req, int version)
{
    for (int32_t i = 0; version < 12 && i < req->n_topics; i++)
        if (str_is_null(req->topics[i].name) || !uuid_is_zero(&req->topics[i].topic_id))
            return false;
    for (int32_t i = 0; i < req->n_topics; i++)
        if (str_is_null(req->topics[i].name) && uuid_is_zero(&req->topics[i].topic_id))
            return false;
    return true;
}

static void refuse(struct control_request *rq, const struct metadata_request *req)
{
    struct metadata_response res;
    metadata_response_init(&res);
    API_ALLOC(rq, res.topics, req->n_topics > 0 ? req->n_topics : 0);
    for (int32_t i = 0; i < req->n_topics; i++) {
        struct metadata_response_topic *t = &res.topics[res.n_topics++];
        metadata_response_topic_init(t);
        t->error_code = KERR_INVALID_REQUEST;
        t->name = str_is_null(req->topics[i].name) ? STR("") : req->topics[i].name;
        t->topic_id = req->topics[i].topic_id;
    }
    control_reply(rq, &res, metadata_response_encode_any);
}

void api_metadata(struct control_request *rq)
{
    struct metadata_request req;
    API_DECODE(rq, metadata_request, &req);
    if (!names_fit_version(&req, rq->version)) {
        refuse(rq, &req);
        return;
    }
    struct metadata_response res;
    metadata_response_init(&res);
    int32_t *self;
    API_ALLOC(rq, self, 1);
    *self = broker_node_id(rq->control->broker);
    struct metadata_response_broker me;
    metadata_response_broker_init(&me);
    me.node_id = *self;
    me.host = api_advertised_host(rq);
    me.port = api_advertised_port(rq);
    me.rack = STR_NULL;
    res.brokers = &me;
    res.n_brokers = 1;
    res.controller_id = *self;
    res.cluster_id = api_cluster_id(rq);
    if (req.include_cluster_authorized_operations)
        res.cluster_authorized_operations = API_CLUSTER_OPERATIONS;
    /* Version 0 has no null: an empty list asks for all. */
    bool ok;
    if (req.n_topics < 0 || (rq->version == 0 && req.n_topics == 0)) {
        ok = fill_all(rq, &req, &res, self);
    } else {
        API_ALLOC(rq, res.topics, req.n_topics);
        ok = fill_named(rq, &req, &res, self);
    }
    if (!ok) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    control_reply(rq, &res, metadata_response_encode_any);
}
