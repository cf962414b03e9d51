/* common: topic names, endpoints and assignments, shared by the handlers. */
#include "control/api/api.h"

#include "base/check.h"

#define TOPIC_NAME_CHARS "other than ASCII alphanumerics, '.', '_' and '-'"

/* prefix + name + suffix; printf would stop at a NUL that a name may hold. */
static struct str around(struct arena *arena, const char *prefix, struct str name,
                         const char *suffix)
{
    size_t before = strlen(prefix), after = strlen(suffix);
    char *p = arena_alloc(arena, before + name.len + after);
    if (!p)
        return STR_NULL;
    memcpy(p, prefix, before);
    memcpy(p + before, name.p, name.len);
    memcpy(p + before + name.len, suffix, after);
    return (struct str){p, (uint32_t)(before + name.len + after)};
}

static bool topic_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

/* Java counts UTF-16 units: a sequence of four bytes is two of them. */
static uint32_t java_length(struct str s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        n += (c & 0xc0) != 0x80;
        n += (c & 0xf8) == 0xf0;
    }
    return n;
}

struct str topic_name_error(struct arena *arena, struct str name)
{
    if (name.len == 0)
        return STR("Topic name is invalid: the empty string is not allowed");
    if (str_eqz(name, "."))
        return STR("Topic name is invalid: '.' is not allowed");
    if (str_eqz(name, ".."))
        return STR("Topic name is invalid: '..' is not allowed");
    if (java_length(name) > topic_name_bytes_max)
        return arena_printf(arena,
                            "Topic name is invalid: the length of '%.*s' is longer than the max "
                            "allowed length %d",
                            STR_ARG(name), topic_name_bytes_max);
    for (uint32_t i = 0; i < name.len; i++)
        if (!topic_char(name.p[i]))
            return around(arena, "Topic name is invalid: '", name,
                          "' contains one or more characters " TOPIC_NAME_CHARS);
    return STR_NULL;
}

static char unified(char c)
{
    return c == '.' ? '_' : c;
}

const struct image_topic *topic_name_collision(const struct image *image, struct str name)
{
    if (!memchr(name.p, '.', name.len) && !memchr(name.p, '_', name.len))
        return NULL;
    size_t cursor = 0;
    for (const struct image_topic *t; (t = map_next(&image->by_name, &cursor)) != NULL;) {
        if (strlen(t->name) != name.len || memcmp(t->name, name.p, name.len) == 0)
            continue;
        uint32_t i = 0;
        while (i < name.len && unified(t->name[i]) == unified(name.p[i]))
            i++;
        if (i == name.len)
            return t;
    }
    return NULL;
}

bool topic_name_is_internal(struct str name)
{
    return str_eqz(name, "__consumer_offsets") || str_eqz(name, "__transaction_state") ||
           str_eqz(name, "__share_group_state");
}

struct image_topic *api_topic(struct control_request *rq, struct str name)
{
    struct image_topic *t = image_by_name(&rq->control->image, name);
    return t && t->state == IMAGE_TOPIC_LIVE ? t : NULL;
}

static const struct config_listener *request_listener(const struct control_request *rq)
{
    uint32_t count;
    const struct config_listener *all = config_listeners(rq->control->config, &count);
    CHECK(rq->forward->listener < count);
    return &all[rq->forward->listener];
}

struct str api_advertised_host(const struct control_request *rq)
{
    return request_listener(rq)->advertised_host;
}

int32_t api_advertised_port(const struct control_request *rq)
{
    int32_t port = request_listener(rq)->advertised_port;
    return port ? port : broker_listener_port(rq->control->broker, rq->forward->listener);
}

bool api_mark_repeats(struct control_request *rq, const struct str *keys, int32_t n,
                      enum api_repeat *repeats)
{
    struct map seen;
    if (map_init(&seen, (size_t)n, true, rng_u64(&rq->control->rng)) < 0)
        return false;
    bool ok = true;
    for (int32_t i = 0; ok && i < n; i++) {
        if (str_is_null(keys[i]))
            continue;
        enum api_repeat *first = map_get(&seen, keys[i].p, keys[i].len);
        if (first) {
            *first = API_REPEATED_FIRST;
            repeats[i] = API_REPEATED_LATER;
        } else {
            ok = map_put(&seen, keys[i].p, keys[i].len, &repeats[i], NULL) == 0;
        }
    }
    map_free(&seen);
    return ok;
}

struct str api_cluster_id(struct control_request *rq)
{
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&rq->control->image.cluster_uuid, text);
    return arena_str(&rq->arena, str_from(text));
}

struct str api_assignment_error(struct control_request *rq, const int32_t *broker_ids,
                                int32_t count, int32_t replicas_before)
{
    if (count <= 0)
        return STR("The manual partition assignment includes an empty replica list.");
    int32_t self = broker_node_id(rq->control->broker), unknown = 0;
    bool has_unknown = false;
    int32_t seen = 0;
    for (int32_t i = 0; i < count; i++) {
        if (broker_ids[i] == self) {
            seen++;
        } else if (!has_unknown || broker_ids[i] < unknown) {
            has_unknown = true;
            unknown = broker_ids[i];
        }
    }
    /* Kafka walks the ids in order and stops at the first fault. */
    if (has_unknown && (unknown < self || seen < 2))
        return arena_printf(
            &rq->arena,
            "The manual partition assignment includes broker %d, but no such broker "
            "is registered.",
            unknown);
    if (seen > 1)
        return arena_printf(
            &rq->arena, "The manual partition assignment includes the broker %d more than once.",
            self);
    if (replicas_before >= 0 && count != replicas_before)
        return arena_printf(
            &rq->arena,
            "The manual partition assignment includes a partition with %d replica(s), "
            "but this is not consistent with previous partitions, which have %d "
            "replica(s).",
            count, replicas_before);
    return STR_NULL;
}
