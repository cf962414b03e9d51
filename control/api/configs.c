/*
 * configs: DescribeConfigs for topics, the broker and consumer groups; ListConfigResources.
 *
 * Which settings there are and where they come from is control/config's (describe.h); here stand
 * the request's filters and Kafka's errors (ConfigHelper of Kafka 4.3).
 */
#include <stdlib.h>

#include "control/api/api.h"
#include "control/api/resource.h"
#include "control/config/describe.h"
#include "dataplane/proto/gen/describe_configs.h"
#include "dataplane/proto/gen/list_config_resources.h"

API_ENCODER(describe_configs_response)
API_ENCODER(list_config_resources_response)

static bool wanted(const struct describe_configs_request_resource *r, struct str name)
{
    if (r->n_configuration_keys <= 0)
        return true;
    for (int32_t i = 0; i < r->n_configuration_keys; i++)
        if (str_eq(r->configuration_keys[i], name))
            return true;
    return false;
}

static bool fill_synonyms(struct control_request *rq, struct describe_configs_response_config *out,
                          const struct config_entry *e)
{
    out->synonyms = arena_calloc(&rq->arena, e->synonym_count, sizeof(*out->synonyms));
    if (!out->synonyms)
        return false;
    out->n_synonyms = (int32_t)e->synonym_count;
    for (uint32_t i = 0; i < e->synonym_count; i++)
        out->synonyms[i] =
            (struct describe_configs_response_synonym){.name = e->synonyms[i].name,
                                                       .value = e->synonyms[i].value,
                                                       .source = (int8_t)e->synonyms[i].source};
    return true;
}

/* False if the arena is full. */
static bool fill_entries(struct control_request *rq, const struct describe_configs_request *req,
                         const struct describe_configs_request_resource *r,
                         struct describe_configs_response_result *out,
                         const struct config_entries *entries)
{
    out->configs = arena_calloc(&rq->arena, entries->count, sizeof(*out->configs));
    if (!out->configs)
        return false;
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct config_entry *e = &entries->items[i];
        if (!wanted(r, e->name))
            continue;
        struct describe_configs_response_config *c = &out->configs[out->n_configs++];
        describe_configs_response_config_init(c);
        c->name = e->name;
        c->value = e->value;
        c->read_only = e->is_read_only;
        c->config_source = (int8_t)e->source;
        c->is_default = rq->version == 0 && e->source == CONFIG_SOURCE_DEFAULT;
        c->is_sensitive = e->is_sensitive;
        c->config_type = (int8_t)e->type;
        c->documentation = req->include_documentation ? e->documentation : STR_NULL;
        if (req->include_synonyms && !fill_synonyms(rq, c, e))
            return false;
    }
    return true;
}

static int16_t describe_topic(struct control_request *rq, struct str name,
                              struct config_entries *entries, struct str *message)
{
    *message = topic_name_error(&rq->arena, name);
    if (!str_is_null(*message))
        return KERR_INVALID_TOPIC_EXCEPTION;
    const struct image_topic *t = api_topic(rq, name);
    *message = STR("");
    if (!t)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    struct config_pairs own;
    if (!resource_pairs(&rq->arena, &t->configs, &own) ||
        config_describe_topic(rq->control->config, own, &rq->arena, entries) < 0)
        return KERR_UNKNOWN_SERVER_ERROR;
    return 0;
}

static int16_t describe_broker(struct control_request *rq, struct str name,
                               struct config_entries *entries, struct str *message)
{
    const struct config *config = rq->control->config;
    if (name.len == 0)
        return config_describe_cluster(config, &rq->arena, entries) < 0 ? KERR_UNKNOWN_SERVER_ERROR
                                                                        : 0;
    int32_t id;
    if (!resource_broker_id(name, &id)) {
        *message = arena_printf(&rq->arena, "Broker id must be an integer, but it is: %.*s",
                                STR_ARG(name));
        return KERR_INVALID_REQUEST;
    }
    int32_t self = broker_node_id(rq->control->broker);
    if (id != self) {
        *message = arena_printf(
            &rq->arena, "Unexpected broker id, expected %d or empty string, but received %.*s",
            self, STR_ARG(name));
        return KERR_INVALID_REQUEST;
    }
    return config_describe_broker(config, &rq->arena, entries) < 0 ? KERR_UNKNOWN_SERVER_ERROR : 0;
}

static int16_t describe_group(struct control_request *rq, struct str name,
                              struct config_entries *entries, struct str *message)
{
    struct config_pairs own = {0};
    if (name.len == 0) {
        *message = STR("Group name must not be empty");
        return KERR_INVALID_REQUEST;
    }
    const struct image_group *known = image_group(&rq->control->image, name);
    if ((known && !resource_pairs(&rq->arena, &known->configs, &own)) ||
        config_describe_group(rq->control->config, own, &rq->arena, entries) < 0)
        return KERR_UNKNOWN_SERVER_ERROR;
    return 0;
}

/* Resources that have no settings here: loggers, client metrics. */
static int16_t describe_other(struct control_request *rq, int8_t type, struct str name,
                              struct str *message)
{
    int32_t id, self = broker_node_id(rq->control->broker);
    switch (type) {
    case RESOURCE_BROKER_LOGGER:
        if (name.len == 0)
            *message = STR("Broker id must not be empty");
        else if (!resource_broker_id(name, &id))
            *message = arena_printf(&rq->arena, "Broker id must be an integer, but it is: %.*s",
                                    STR_ARG(name));
        else if (id != self)
            *message =
                arena_printf(&rq->arena, "Unexpected broker id, expected %d but received %.*s",
                             self, STR_ARG(name));
        else
            return 0;
        return KERR_INVALID_REQUEST;
    default:
        if (name.len)
            return 0;
        *message = STR("Client metrics subscription name must not be empty");
        return KERR_INVALID_REQUEST;
    }
}

static bool describe_one(struct control_request *rq, const struct describe_configs_request *req,
                         const struct describe_configs_request_resource *r,
                         struct describe_configs_response_result *out)
{
    struct config_entries entries = {0};
    describe_configs_response_result_init(out);
    out->resource_type = r->resource_type;
    out->resource_name = r->resource_name;
    out->error_message = STR(""); /* stock Kafka's answer when there is no error */
    if (r->resource_type == RESOURCE_TOPIC)
        out->error_code = describe_topic(rq, r->resource_name, &entries, &out->error_message);
    else if (r->resource_type == RESOURCE_BROKER)
        out->error_code = describe_broker(rq, r->resource_name, &entries, &out->error_message);
    else if (r->resource_type == RESOURCE_GROUP)
        out->error_code = describe_group(rq, r->resource_name, &entries, &out->error_message);
    else
        out->error_code =
            describe_other(rq, r->resource_type, r->resource_name, &out->error_message);
    return out->error_code != 0 || fill_entries(rq, req, r, out, &entries);
}

void api_describe_configs(struct control_request *rq)
{
    struct describe_configs_request req;
    API_DECODE(rq, describe_configs_request, &req);
    struct describe_configs_response res;
    describe_configs_response_init(&res);
    int32_t n = req.n_resources > 0 ? req.n_resources : 0;
    API_ALLOC(rq, res.results, n);
    for (int32_t i = 0; i < n; i++) {
        const struct describe_configs_request_resource *r = &req.resources[i];
        if (!resource_type_known(r->resource_type)) {
            /* Kafka throws before it describes anything: every resource carries the error. */
            for (int32_t k = 0; k < n; k++) {
                describe_configs_response_result_init(&res.results[k]);
                res.results[k].resource_type = req.resources[k].resource_type;
                res.results[k].resource_name = req.resources[k].resource_name;
                res.results[k].error_code = KERR_INVALID_REQUEST;
                res.results[k].error_message = str_from(kerr_text(KERR_INVALID_REQUEST));
            }
            break;
        }
        if (!describe_one(rq, &req, r, &res.results[i])) {
            control_close(rq, "the request needs too much memory");
            return;
        }
    }
    res.n_results = n;
    control_reply(rq, &res, describe_configs_response_encode_any);
}

/* ---- ListConfigResources ---- */

static bool listed(const struct list_config_resources_request *req, int version, int8_t type)
{
    if (version == 0)
        return type == RESOURCE_CLIENT_METRICS;
    if (req->n_resource_types <= 0)
        return true;
    for (int32_t i = 0; i < req->n_resource_types; i++)
        if (req->resource_types[i] == type)
            return true;
    return false;
}

static void list_add(struct list_config_resources_response *res, struct str name, int8_t type)
{
    struct list_config_resources_response_config_resource *r =
        &res->config_resources[res->n_config_resources++];
    list_config_resources_response_config_resource_init(r);
    r->resource_name = name;
    r->resource_type = type;
}

/* Groups that have settings, topics, this broker and its loggers; nothing has client metrics. */
static void list_all(struct control_request *rq, const struct list_config_resources_request *req,
                     struct list_config_resources_response *res)
{
    const struct image *image = &rq->control->image;
    struct str self = arena_printf(&rq->arena, "%d", broker_node_id(rq->control->broker));
    size_t cursor = 0;
    if (listed(req, rq->version, RESOURCE_GROUP))
        for (struct image_group *g; (g = map_next(&image->groups, &cursor)) != NULL;)
            list_add(res, str_from(g->name), RESOURCE_GROUP);
    if (listed(req, rq->version, RESOURCE_BROKER_LOGGER))
        list_add(res, self, RESOURCE_BROKER_LOGGER);
    if (listed(req, rq->version, RESOURCE_BROKER))
        list_add(res, self, RESOURCE_BROKER);
    cursor = 0;
    if (listed(req, rq->version, RESOURCE_TOPIC))
        for (struct image_topic *t; (t = map_next(&image->by_name, &cursor)) != NULL;)
            if (t->state == IMAGE_TOPIC_LIVE)
                list_add(res, str_from(t->name), RESOURCE_TOPIC);
}

void api_list_config_resources(struct control_request *rq)
{
    struct list_config_resources_request req;
    API_DECODE(rq, list_config_resources_request, &req);
    const struct image *image = &rq->control->image;
    struct list_config_resources_response res;
    list_config_resources_response_init(&res);
    for (int32_t i = 0; i < req.n_resource_types; i++)
        if (!resource_type_known(req.resource_types[i]))
            res.error_code = KERR_UNSUPPORTED_VERSION; /* Kafka's answer to types it cannot list */
    if (res.error_code == 0) {
        API_ALLOC(rq, res.config_resources, image->groups.count + image->by_name.count + 2);
        list_all(rq, &req, &res);
    }
    control_reply(rq, &res, list_config_resources_response_encode_any);
}
