/*
 * alter_configs: IncrementalAlterConfigs (KIP-339) and AlterConfigs.
 *
 * Both become ops on one resource; control/config/alter.h says what they come to, topics.c or the
 * broker stores it. A resource changes as a whole or not at all.
 */
#include <errno.h>
#include <stdlib.h>

#include "control/api/api.h"
#include "control/api/resource.h"
#include "control/config/alter.h"
#include "dataplane/proto/gen/alter_configs.h"
#include "dataplane/proto/gen/incremental_alter_configs.h"

API_ENCODER(alter_configs_response)
API_ENCODER(incremental_alter_configs_response)

#define TOO_MUCH_MEMORY STR("The request needs too much memory.")

/* One resource of either request. */
struct alter_item {
    struct topic_op op;
    struct fan *fan;
    int8_t type;
    struct str name;
    struct config_op *ops;
    uint32_t op_count;
    bool repeated;
    int16_t error;
    struct str message;
};

struct alter_state {
    struct fan fan;
    enum config_alter_kind kind;
    bool validate_only;
    struct alter_item *items;
    int32_t count;
};

bool resource_broker_id(struct str name, int32_t *out)
{
    char text[16], *end;
    if (name.len == 0 || name.len >= sizeof(text))
        return false;
    memcpy(text, name.p, name.len);
    text[name.len] = '\0';
    bool digits = text[0] == '-' || text[0] == '+' || (text[0] >= '0' && text[0] <= '9');
    errno = 0;
    long v = strtol(text, &end, 10);
    if (!digits || end != text + name.len || errno || v < INT32_MIN || v > INT32_MAX)
        return false;
    *out = (int32_t)v;
    return true;
}

bool resource_pairs(struct arena *arena, const struct image_configs *from, struct config_pairs *out)
{
    struct config_pair *items = arena_calloc(arena, from->count, sizeof(*items));
    if (!items)
        return false;
    for (uint32_t i = 0; i < from->count; i++)
        items[i] =
            (struct config_pair){str_from(from->items[i].name), str_from(from->items[i].value)};
    *out = (struct config_pairs){items, from->count};
    return true;
}

static void fail(struct alter_item *item, int16_t error, struct str message)
{
    item->error = error;
    item->message = message;
}

static void alter_done(struct topic_op *op)
{
    struct alter_item *item = (struct alter_item *)op;
    if (op->error && !item->error)
        fail(item, op->error, str_from(op->message));
    fan_done(item->fan);
}

static struct topics_config *as_topics_configs(struct arena *arena, struct config_pairs pairs)
{
    struct topics_config *configs = arena_calloc(arena, pairs.count, sizeof(*configs));
    for (uint32_t i = 0; configs && i < pairs.count; i++)
        configs[i] = (struct topics_config){pairs.items[i].name, pairs.items[i].value};
    return configs;
}

/* What the ops come to with the topic's settings as they are now; NULL: it does not exist. */
static bool topic_result(struct alter_item *item, const struct image_topic *t,
                         struct config_alter_result *out)
{
    struct alter_state *s = (struct alter_state *)item->fan;
    struct control_request *rq = s->fan.rq;
    struct config_pairs current = {0};
    if ((t && !resource_pairs(&rq->arena, &t->configs, &current)) ||
        config_alter_topic(rq->control->config, s->kind, current, item->ops, item->op_count,
                           &rq->arena, out) < 0) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, TOO_MUCH_MEMORY);
        return false;
    }
    if (out->error)
        fail(item, out->error, out->message);
    return out->error == 0;
}

/* Others may have altered it since the request was looked at. */
static int16_t topic_prepare(struct topic_op *op, const struct image_topic *t)
{
    struct alter_item *item = (struct alter_item *)op;
    struct config_alter_result result;
    if (!topic_result(item, t, &result))
        return item->error;
    op->configs = as_topics_configs(&item->fan->rq->arena, result.pairs);
    op->config_count = result.pairs.count;
    if (!op->configs)
        fail(item, KERR_UNKNOWN_SERVER_ERROR, TOO_MUCH_MEMORY);
    return item->error;
}

static void alter_topic(struct alter_state *s, struct alter_item *item)
{
    struct control_request *rq = s->fan.rq;
    struct config_alter_result result;
    struct str bad = topic_name_error(&rq->arena, item->name);
    if (item->name.len == 0) {
        fail(item, KERR_INVALID_REQUEST, STR("Default topic resources are not allowed."));
        return;
    }
    if (!str_is_null(bad)) {
        fail(item, KERR_INVALID_TOPIC_EXCEPTION, bad);
        return;
    }
    const struct image_topic *t = api_topic(rq, item->name);
    if (!topic_result(item, t, &result))
        return;
    if (!t) {
        fail(item, KERR_UNKNOWN_TOPIC_OR_PARTITION,
             arena_printf(&rq->arena, "The topic '%.*s' does not exist.", STR_ARG(item->name)));
        return;
    }
    if (s->validate_only)
        return;
    item->op = (struct topic_op){
        .kind = TOPIC_CONFIGURE, .id = t->id, .prepare = topic_prepare, .done = alter_done};
    fan_add(&s->fan);
    topics_submit(rq->control, &item->op);
}

/* An empty name is the cluster's default, another one must be this broker's id. */
static int16_t broker_name_error(struct control_request *rq, struct alter_item *item,
                                 struct str *message)
{
    int32_t id, self = broker_node_id(rq->control->broker);
    if (item->name.len == 0)
        return 0;
    if (!resource_broker_id(item->name, &id)) {
        *message = arena_printf(&rq->arena, "Node id must be an integer, but it is: %.*s",
                                STR_ARG(item->name));
        return KERR_INVALID_REQUEST;
    }
    if (id != self) {
        *message = arena_printf(&rq->arena, "Unexpected broker id, expected %d, but received %.*s",
                                self, STR_ARG(item->name));
        return KERR_INVALID_REQUEST;
    }
    return 0;
}

static void alter_broker(struct alter_state *s, struct alter_item *item)
{
    struct control_request *rq = s->fan.rq;
    struct config_alter_result result;
    struct str message = STR_NULL;
    int16_t error = broker_name_error(rq, item, &message);
    if (error) {
        fail(item, error, message);
        return;
    }
    if (config_alter_broker(rq->control->config, s->kind, item->name, true, item->ops,
                            item->op_count, &rq->arena, &result) < 0) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, TOO_MUCH_MEMORY);
        return;
    }
    if (result.error) {
        fail(item, result.error, result.message);
        return;
    }
    struct topics_config *configs = as_topics_configs(&rq->arena, result.pairs);
    if (!configs) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, TOO_MUCH_MEMORY);
        return;
    }
    if (s->validate_only)
        return;
    error = broker_configure(rq->control, item->name.len == 0, configs, result.pairs.count);
    if (error)
        fail(item, error, STR_NULL);
}

static void alter_group(struct alter_state *s, struct alter_item *item)
{
    struct control_request *rq = s->fan.rq;
    struct config_alter_result result;
    struct config_pairs current = {0};
    if (item->name.len == 0) {
        fail(item, KERR_INVALID_REQUEST, STR("Default group resources are not allowed."));
        return;
    }
    const struct image_group *known = image_group(&rq->control->image, item->name);
    if ((known && !resource_pairs(&rq->arena, &known->configs, &current)) ||
        config_alter_group(rq->control->config, s->kind, current, item->ops, item->op_count,
                           &rq->arena, &result) < 0) {
        fail(item, KERR_UNKNOWN_SERVER_ERROR, TOO_MUCH_MEMORY);
        return;
    }
    if (result.error || s->validate_only) {
        fail(item, result.error, result.message);
        return;
    }
    struct topics_config *configs = as_topics_configs(&rq->arena, result.pairs);
    int16_t error = KERR_UNKNOWN_SERVER_ERROR;
    if (memchr(item->name.p, '\0', item->name.len))
        error = KERR_INVALID_REQUEST; /* names are C strings in the metadata */
    else if (configs)
        error = group_configure(rq->control, item->name, configs, result.pairs.count);
    if (error)
        fail(item, error,
             error == KERR_POLICY_VIOLATION ? STR("Too many groups have settings of their own.")
                                            : STR_NULL);
}

static void alter_all(struct alter_state *s)
{
    struct control_request *rq = s->fan.rq;
    for (int32_t i = 0; i < s->count; i++) {
        struct alter_item *item = &s->items[i];
        item->fan = &s->fan;
        item->message = STR_NULL;
        if (item->repeated)
            fail(item, KERR_INVALID_REQUEST, STR("Each resource must appear at most once."));
        else if (item->type == RESOURCE_TOPIC)
            alter_topic(s, item);
        else if (item->type == RESOURCE_BROKER)
            alter_broker(s, item);
        else if (item->type == RESOURCE_GROUP)
            alter_group(s, item);
        else
            fail(item, KERR_INVALID_REQUEST,
                 arena_printf(&rq->arena, "Unknown resource type %d", item->type));
    }
    fan_end(&s->fan);
}

/* Marks a type and name that stand twice in one request. */
static void mark_repeated(struct alter_state *s)
{
    for (int32_t i = 0; i < s->count; i++)
        for (int32_t k = 0; k < i; k++)
            if (s->items[i].type == s->items[k].type && str_eq(s->items[i].name, s->items[k].name))
                s->items[i].repeated = s->items[k].repeated = true;
}

/* Resources of one request; Kafka has no such bound, its tools send a handful. */
#define alter_resources_max 2000

static struct alter_state *state_new(struct control_request *rq, int32_t n,
                                     enum config_alter_kind kind, bool validate_only,
                                     void (*finish)(struct fan *))
{
    struct alter_state *s =
        n <= alter_resources_max ? arena_calloc(&rq->arena, 1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    fan_begin(&s->fan, rq, finish);
    s->kind = kind;
    s->validate_only = validate_only;
    s->count = n > 0 ? n : 0;
    s->items = arena_calloc(&rq->arena, (size_t)s->count, sizeof(*s->items));
    return s->items ? s : NULL;
}

static struct config_op *ops_new(struct control_request *rq, struct alter_item *item, int32_t n)
{
    item->op_count = (uint32_t)(n > 0 ? n : 0);
    item->ops = arena_calloc(&rq->arena, item->op_count, sizeof(*item->ops));
    return item->ops;
}

static void finish_incremental(struct fan *fan)
{
    struct alter_state *s = (struct alter_state *)fan;
    struct control_request *rq = fan->rq;
    struct incremental_alter_configs_response res;
    incremental_alter_configs_response_init(&res);
    API_ALLOC(rq, res.responses, s->count);
    res.n_responses = s->count;
    for (int32_t i = 0; i < s->count; i++) {
        incremental_alter_configs_response_resource_init(&res.responses[i]);
        res.responses[i].error_code = s->items[i].error;
        res.responses[i].error_message = s->items[i].message;
        res.responses[i].resource_type = s->items[i].type;
        res.responses[i].resource_name = s->items[i].name;
    }
    control_reply(rq, &res, incremental_alter_configs_response_encode_any);
}

void api_incremental_alter_configs(struct control_request *rq)
{
    struct incremental_alter_configs_request req;
    API_DECODE(rq, incremental_alter_configs_request, &req);
    struct alter_state *s = state_new(rq, req.n_resources, CONFIG_ALTER_INCREMENTAL,
                                      req.validate_only, finish_incremental);
    for (int32_t i = 0; s && i < s->count; i++) {
        const struct incremental_alter_configs_request_resource *r = &req.resources[i];
        struct config_op *ops = ops_new(rq, &s->items[i], r->n_configs);
        if (!ops) {
            s = NULL;
            break;
        }
        s->items[i].type = r->resource_type;
        s->items[i].name = r->resource_name;
        for (int32_t k = 0; k < r->n_configs; k++)
            ops[k] = (struct config_op){r->configs[k].name, r->configs[k].value,
                                        r->configs[k].config_operation};
    }
    if (!s) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    mark_repeated(s);
    alter_all(s);
}

static void finish_replace(struct fan *fan)
{
    struct alter_state *s = (struct alter_state *)fan;
    struct control_request *rq = fan->rq;
    struct alter_configs_response res;
    alter_configs_response_init(&res);
    API_ALLOC(rq, res.responses, s->count);
    res.n_responses = s->count;
    for (int32_t i = 0; i < s->count; i++) {
        alter_configs_response_resource_init(&res.responses[i]);
        res.responses[i].error_code = s->items[i].error;
        res.responses[i].error_message = s->items[i].message;
        res.responses[i].resource_type = s->items[i].type;
        res.responses[i].resource_name = s->items[i].name;
    }
    control_reply(rq, &res, alter_configs_response_encode_any);
}

void api_alter_configs(struct control_request *rq)
{
    struct alter_configs_request req;
    API_DECODE(rq, alter_configs_request, &req);
    struct alter_state *s =
        state_new(rq, req.n_resources, CONFIG_ALTER_REPLACE, req.validate_only, finish_replace);
    for (int32_t i = 0; s && i < s->count; i++) {
        const struct alter_configs_request_resource *r = &req.resources[i];
        struct config_op *ops = ops_new(rq, &s->items[i], r->n_configs);
        if (!ops) {
            s = NULL;
            break;
        }
        s->items[i].type = r->resource_type;
        s->items[i].name = r->resource_name;
        for (int32_t k = 0; k < r->n_configs; k++)
            ops[k] = (struct config_op){r->configs[k].name, r->configs[k].value, CONFIG_OP_SET};
    }
    if (!s) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    mark_repeated(s);
    alter_all(s);
}
