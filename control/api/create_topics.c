/*
 * create_topics: CreateTopics.
 *
 * The happy path: name, settings and placement are checked, topics.c makes the topic, the reply
 * tells its id and effective settings. Checks and their order are those of ControllerApis.createTopics
 * and ReplicationControlManager.createTopics of Kafka 4.3.
 */
#include "control/api/api.h"
#include "control/config/alter.h"
#include "control/config/describe.h"
#include "dataplane/proto/gen/create_topics.h"

API_ENCODER(create_topics_response)

/* Partitions that one request may ask for (Kafka's MAX_PARTITIONS_PER_BATCH). */
#define create_partitions_per_request_max 10000

struct create_item {
    struct topic_op op;
    struct fan *fan;
    const struct create_topics_request_topic *want;
    struct create_topics_response_topic *out;
    struct config_pairs configs; /* what will be stored */
    int32_t partitions;
    int16_t replicas;
};

struct create_state {
    struct fan fan;
    struct create_topics_response res;
};

static void create_finish(struct fan *fan)
{
    struct create_state *s = (struct create_state *)fan;
    control_reply(fan->rq, &s->res, create_topics_response_encode_any);
}

static void fail(struct create_item *item, int16_t error, struct str message)
{
    item->out->error_code = error;
    item->out->error_message = message;
    item->out->configs = NULL;
    item->out->n_configs = 0;
    item->out->num_partitions = -1;
    item->out->replication_factor = -1;
}

/* What the topic looks like: partition count, replicas, effective settings (KIP-525). */
static bool fill_success(struct create_item *item)
{
    struct control_request *rq = item->fan->rq;
    struct config_entries entries;
    if (config_describe_created(rq->control->config, item->configs, &rq->arena, &entries) < 0)
        return false;
    uint32_t count = entries.count;
    struct create_topics_response_topic *out = item->out;
    out->configs = arena_calloc(&rq->arena, count, sizeof(*out->configs));
    if (!out->configs)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        /* the broker's settings may be replaced before the creation ends */
        struct str value = arena_str(&rq->arena, entries.items[i].value);
        if (!value.p && entries.items[i].value.p)
            return false;
        out->configs[i] =
            (struct create_topics_response_config){.name = entries.items[i].name,
                                                   .value = value,
                                                   .read_only = entries.items[i].is_read_only,
                                                   .config_source = (int8_t)entries.items[i].source,
                                                   .is_sensitive = entries.items[i].is_sensitive};
    }
    out->n_configs = (int32_t)count;
    out->num_partitions = item->partitions;
    out->replication_factor = item->replicas;
    return true;
}

static void create_done(struct topic_op *op)
{
    struct create_item *item = (struct create_item *)op;
    if (op->error)
        fail(item, op->error, str_from(op->message ? op->message : kerr_text(op->error)));
    else
        item->out->topic_id = op->created_id;
    fan_done(item->fan);
}

/* ---- checks ---- */

static int16_t name_error(struct control_request *rq, struct str name, struct str *message)
{
    if (str_eqz(name, "__cluster_metadata")) {
        *message = STR("Creation of internal topic __cluster_metadata is prohibited.");
        return KERR_INVALID_REQUEST;
    }
    if (api_topic(rq, name)) {
        *message = arena_printf(&rq->arena, "Topic '%.*s' already exists.", STR_ARG(name));
        return KERR_TOPIC_ALREADY_EXISTS;
    }
    const struct image_topic *other =
        name.len ? topic_name_collision(&rq->control->image, name) : NULL;
    if (other) {
        *message = arena_printf(&rq->arena, "Topic '%.*s' collides with existing topic: %s",
                                STR_ARG(name), other->name);
        return KERR_INVALID_TOPIC_EXCEPTION;
    }
    *message = topic_name_error(&rq->arena, name);
    return str_is_null(*message) ? 0 : KERR_INVALID_TOPIC_EXCEPTION;
}

static int16_t configs_error(struct control_request *rq, struct create_item *item,
                             struct str *message)
{
    const struct create_topics_request_topic *want = item->want;
    uint32_t n = (uint32_t)(want->n_configs > 0 ? want->n_configs : 0);
    struct config_op *ops = arena_calloc(&rq->arena, n, sizeof(*ops));
    struct config_alter_result result;
    for (uint32_t i = 0; ops && i < n; i++)
        ops[i] = (struct config_op){want->configs[i].name, want->configs[i].value, CONFIG_OP_SET};
    if (!ops || config_alter_topic(rq->control->config, CONFIG_ALTER_CREATE,
                                   (struct config_pairs){0}, ops, n, &rq->arena, &result) < 0) {
        *message = STR("The request needs too much memory.");
        return KERR_UNKNOWN_SERVER_ERROR;
    }
    *message = result.message;
    item->configs = result.pairs;
    return result.error;
}

static int16_t assignments_error(struct control_request *rq, struct create_item *item,
                                 struct str *message)
{
    const struct create_topics_request_topic *want = item->want;
    if (want->replication_factor != -1) {
        *message = STR("A manual partition assignment was specified, but replication factor was "
                       "not set to -1.");
        return KERR_INVALID_REQUEST;
    }
    if (want->num_partitions != -1) {
        *message = STR(
            "A manual partition assignment was specified, but numPartitions was not set to -1.");
        return KERR_INVALID_REQUEST;
    }
    bool *seen = arena_calloc(&rq->arena, (size_t)want->n_assignments, sizeof(*seen));
    bool gap = seen == NULL;
    int32_t before = -1;
    for (int32_t i = 0; seen && i < want->n_assignments; i++) {
        const struct create_topics_request_assignment *a = &want->assignments[i];
        bool fits = a->partition_index >= 0 && a->partition_index < want->n_assignments;
        if (fits && seen[a->partition_index]) {
            *message = arena_printf(&rq->arena,
                                    "Found multiple manual partition assignments for partition %d",
                                    a->partition_index);
            return KERR_INVALID_REPLICA_ASSIGNMENT;
        }
        *message = api_assignment_error(rq, a->broker_ids, a->n_broker_ids, before);
        if (!str_is_null(*message))
            return KERR_INVALID_REPLICA_ASSIGNMENT;
        before = a->n_broker_ids;
        if (fits)
            seen[a->partition_index] = true;
        gap |= !fits;
    }
    if (gap) {
        *message = STR("partitions should be a consecutive 0-based integer sequence");
        return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    item->partitions = want->n_assignments;
    item->replicas = 1;
    return 0;
}

static int16_t placement_error(struct control_request *rq, struct create_item *item,
                               struct str *message)
{
    const struct create_topics_request_topic *want = item->want;
    const struct config *config = rq->control->config;
    if (want->n_assignments > 0)
        return assignments_error(rq, item, message);
    if (want->replication_factor < -1 || want->replication_factor == 0) {
        *message = STR("Replication factor must be larger than 0, or -1 to use the default value.");
        return KERR_INVALID_REPLICATION_FACTOR;
    }
    if (want->num_partitions < -1 || want->num_partitions == 0) {
        *message = STR("Number of partitions was set to an invalid non-positive value.");
        return KERR_INVALID_PARTITIONS;
    }
    item->partitions = want->num_partitions == -1 ? config_int(config, CONFIG_NUM_PARTITIONS)
                                                  : want->num_partitions;
    item->replicas = want->replication_factor == -1
                         ? (int16_t)config_int(config, CONFIG_DEFAULT_REPLICATION_FACTOR)
                         : want->replication_factor;
    if (item->replicas > 1) {
        *message = arena_printf(
            &rq->arena,
            "Unable to replicate the partition %d time(s): The target replication factor of %d "
            "cannot be reached because only 1 broker(s) are registered or some brokers have all "
            "their log directories cordoned.",
            item->replicas, item->replicas);
        return KERR_INVALID_REPLICATION_FACTOR;
    }
    return 0;
}

/* ---- the request ---- */

static void create_one(struct create_state *s, struct create_item *item, bool validate_only)
{
    struct control_request *rq = s->fan.rq;
    struct str message = STR_NULL;
    int16_t error = name_error(rq, item->want->name, &message);
    if (!error)
        error = configs_error(rq, item, &message);
    if (!error)
        error = placement_error(rq, item, &message);
    if (error) {
        fail(item, error, message);
        return;
    }
    if (!fill_success(item)) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, STR("The request needs too much memory."));
        return;
    }
    if (validate_only) {
        item->out->topic_id = uuid_random(&rq->control->rng);
        return;
    }
    struct topics_config *configs = arena_calloc(&rq->arena, item->configs.count, sizeof(*configs));
    if (!configs) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, STR("The request needs too much memory."));
        return;
    }
    for (uint32_t i = 0; i < item->configs.count; i++)
        configs[i] =
            (struct topics_config){item->configs.items[i].name, item->configs.items[i].value};
    item->op = (struct topic_op){.kind = TOPIC_CREATE,
                                 .name = item->want->name,
                                 .partition_count = item->partitions,
                                 .internal = topic_name_is_internal(item->want->name),
                                 .configs = configs,
                                 .config_count = item->configs.count,
                                 .done = create_done};
    fan_add(&s->fan);
    topics_submit(rq->control, &item->op);
}

/* Kafka refuses the whole request when it asks for too many partitions at once. */
static bool asks_too_much(const struct control_request *rq, const struct create_topics_request *req)
{
    int64_t total = 0;
    for (int32_t i = 0; i < req->n_topics; i++) {
        const struct create_topics_request_topic *t = &req->topics[i];
        if (t->n_assignments > 0)
            total += t->n_assignments;
        else if (t->num_partitions == -1)
            total += config_int(rq->control->config, CONFIG_NUM_PARTITIONS);
        else if (t->num_partitions > 0)
            total += t->num_partitions;
    }
    return total > create_partitions_per_request_max;
}

static void create_all(struct create_state *s, const struct create_topics_request *req,
                       const enum api_repeat *repeated, struct create_item *items)
{
    bool too_much = asks_too_much(s->fan.rq, req);
    for (int32_t i = 0; i < req->n_topics; i++) {
        if (repeated[i] == API_REPEATED_LATER)
            continue; /* a name given twice is answered once */
        struct create_item *item = &items[i];
        item->fan = &s->fan;
        item->want = &req->topics[i];
        item->out = &s->res.topics[s->res.n_topics++];
        create_topics_response_topic_init(item->out);
        item->out->name = item->want->name;
        item->out->error_message = STR_NULL;
        if (req->timeout_ms <= 0)
            fail(item, KERR_REQUEST_TIMED_OUT, STR_NULL); /* over before it began, as in Kafka */
        else if (repeated[i])
            fail(item, KERR_INVALID_REQUEST, STR("Duplicate topic name."));
        else if (too_much)
            fail(item, KERR_POLICY_VIOLATION,
                 STR("Excessively large number of partitions per request."));
        else
            create_one(s, item, req->validate_only);
    }
}

void api_create_topics(struct control_request *rq)
{
    struct create_topics_request *req;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, create_topics_request, req);
    int32_t n = req->n_topics > 0 ? req->n_topics : 0;
    struct create_state *s;
    struct create_item *items;
    struct str *names;
    enum api_repeat *repeated;
    API_ALLOC(rq, s, 1);
    API_ALLOC(rq, items, n);
    API_ALLOC(rq, names, n);
    API_ALLOC(rq, repeated, n);
    create_topics_response_init(&s->res);
    API_ALLOC(rq, s->res.topics, n);
    for (int32_t i = 0; i < n; i++)
        names[i] = req->topics[i].name;
    if (!api_mark_repeats(rq, names, n, repeated)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    fan_begin(&s->fan, rq, create_finish);
    create_all(s, req, repeated, items);
    fan_end(&s->fan);
}
