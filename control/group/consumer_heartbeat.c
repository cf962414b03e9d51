#include "control/group/consumer_heartbeat.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "control/group/consumer_names.h"
#include "control/group/regex_topic.h"

/* Java's String.trim().isEmpty(), for strings that are not null. */
static bool blank(struct str s)
{
    for (uint32_t i = 0; i < s.len; i++)
        if ((uint8_t)s.p[i] > ' ')
            return false;
    return !str_is_null(s);
}

static bool invalid(struct consumer_step *s, struct consumer_fault *f, const char *text)
{
    consumer_refuse(s, f, KERR_INVALID_REQUEST, "%s", text);
    return false;
}

static bool valid_join(struct consumer_step *s, const struct consumer_group_heartbeat_request *req,
                       struct consumer_fault *f)
{
    if (req->rebalance_timeout_ms == -1)
        return invalid(s, f, "RebalanceTimeoutMs must be provided in first request.");
    if (req->n_topic_partitions != 0)
        return invalid(s, f, "TopicPartitions must be empty when (re-)joining.");
    if (req->n_subscribed_topic_names < 0 && str_is_null(req->subscribed_topic_regex))
        return invalid(s, f,
                       "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when "
                       "(re-)joining.");
    return true;
}

static bool valid_assignor(struct consumer_step *s, struct str name, struct consumer_fault *f)
{
    static const char *const names[] = {
        [GROUP_ASSIGNOR_UNIFORM] = "uniform", [GROUP_ASSIGNOR_RANGE] = "range"};
    char list[128] = "";
    size_t n = 0;
    if (str_is_null(name))
        return true;
    for (uint32_t i = 0; i < s->settings->n_consumer_assignors; i++) {
        const char *have = names[s->settings->consumer_assignors[i]];
        if (str_eqz(name, have))
            return true;
        n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i ? ", " : "", have);
    }
    consumer_refuse(s, f, KERR_UNSUPPORTED_ASSIGNOR,
                    "ServerAssignor %.*s is not supported. Supported assignors: %s.", STR_ARG(name),
                    list);
    return false;
}

bool consumer_heartbeat_valid(struct consumer_step *s,
                              const struct consumer_group_heartbeat_request *req, int16_t version,
                              struct consumer_fault *f)
{
    bool needs_id = version >= 1 || req->member_epoch > 0 || req->member_epoch == CONSUMER_LEAVE;
    if (needs_id && blank(req->member_id))
        return invalid(s, f, "MemberId can't be empty.");
    if (blank(req->group_id))
        return invalid(s, f, "GroupId can't be empty.");
    if (blank(req->instance_id))
        return invalid(s, f, "InstanceId can't be empty.");
    if (blank(req->rack_id))
        return invalid(s, f, "RackId can't be empty.");
    if (req->member_epoch == CONSUMER_JOIN && !valid_join(s, req, f))
        return false;
    if (req->member_epoch == CONSUMER_LEAVE_STATIC && str_is_null(req->instance_id))
        return invalid(s, f, "InstanceId can't be null.");
    if (req->member_epoch < CONSUMER_LEAVE_STATIC)
        return invalid(s, f, "MemberEpoch is invalid.");
    if (req->n_subscribed_topic_names > consumer_names_max)
        return invalid(s, f, "SubscribedTopicNames has too many names.");
    return valid_assignor(s, req->server_assignor, f);
}

bool consumer_has_room(struct consumer_step *s, struct str member_id, struct consumer_fault *f)
{
    uint32_t most = s->settings->members_max;
    if ((uint32_t)s->settings->consumer_max_size < most)
        most = (uint32_t)s->settings->consumer_max_size;
    if (consumer_members(s->g) < most || consumer_member_find(s->g, member_id) != NULL)
        return true;
    consumer_refuse(s, f, KERR_GROUP_MAX_SIZE_REACHED,
                    "The consumer group has reached its maximum capacity of %u members.", most);
    return false;
}

struct str consumer_uuid_text(struct consumer_step *s)
{
    struct uuid id = uuid_random(s->rng);
    char text[UUID_TEXT_LEN + 1];
    uuid_format(&id, text);
    struct str made = arena_str(s->scratch, (struct str){text, UUID_TEXT_LEN});
    if (str_is_null(made))
        s->err = ERR_NO_MEMORY;
    return made;
}

/* --- check --- */

static bool fenced(struct consumer_step *s, struct consumer_fault *f, const char *how,
                   int32_t received, int32_t known)
{
    consumer_refuse(s, f, KERR_FENCED_MEMBER_EPOCH,
                    "The consumer group member has a %s member epoch (%d) than the one known by "
                    "the group coordinator (%d). The member must abandon all its partitions and "
                    "rejoin.",
                    how, received, known);
    return false;
}

/* The last answer may have been lost: the previous epoch will do if it holds nothing foreign. */
static bool epoch_ok(struct consumer_step *s, const struct consumer_member *m,
                     const struct consumer_beat *b, struct consumer_fault *f)
{
    int32_t received = b->req->member_epoch;
    bool subset = b->holds.given;
    if (received == CONSUMER_JOIN)
        return true;
    if (received > m->cur.epoch)
        return fenced(s, f, "greater", received, m->cur.epoch);
    for (uint32_t i = 0; subset && i < b->holds.parts.n; i++)
        subset = consumer_parts_find(&m->cur.assigned, &b->holds.parts.v[i].topic,
                                     b->holds.parts.v[i].partition) != NULL;
    if (received < m->cur.epoch && !(received == m->cur.previous_epoch && subset))
        return fenced(s, f, "smaller", received, m->cur.epoch);
    return true;
}

static bool find_dynamic(struct consumer_step *s, const struct consumer_beat *b,
                         struct consumer_member **out, struct consumer_fault *f)
{
    *out = consumer_member_find(s->g, b->member_id);
    if (*out == NULL && b->req->member_epoch != CONSUMER_JOIN) {
        consumer_refuse(s, f, KERR_UNKNOWN_MEMBER_ID, "Member %.*s is not a member of group %.*s.",
                        STR_ARG(b->member_id), STR_ARG(s->g->id));
        return false;
    }
    return *out == NULL || epoch_ok(s, *out, b, f);
}

static bool find_static(struct consumer_step *s, struct consumer_beat *b,
                        struct consumer_member **out, struct consumer_fault *f)
{
    struct str instance = b->req->instance_id;
    struct consumer_member *m = *out = consumer_static_find(s->g, instance);
    if (b->req->member_epoch == CONSUMER_JOIN) {
        if (m == NULL) {
            *out = consumer_member_find(s->g, b->member_id);
            return true;
        }
        if (!m->meta->classic && m->cur.epoch != CONSUMER_LEAVE_STATIC) {
            consumer_refuse(s, f, KERR_UNRELEASED_INSTANCE_ID,
                            "Static member %.*s with instance id %.*s cannot join the group "
                            "because the instance id is owned by %.*s member.",
                            STR_ARG(b->member_id), STR_ARG(instance), STR_ARG(m->id));
            return false;
        }
        b->replaces = arena_str(s->scratch, m->id);
        return true;
    }
    if (m == NULL) {
        consumer_refuse(s, f, KERR_UNKNOWN_MEMBER_ID, "Instance id %.*s is unknown.",
                        STR_ARG(instance));
        return false;
    }
    if (!str_eq(m->id, b->member_id)) {
        consumer_refuse(s, f, KERR_FENCED_INSTANCE_ID,
                        "Static member %.*s with instance id %.*s was fenced by member %.*s.",
                        STR_ARG(b->member_id), STR_ARG(instance), STR_ARG(m->id));
        return false;
    }
    return epoch_ok(s, m, b, f);
}

/* A new expression must compile, and there are not too many of them. */
static bool regex_ok(struct consumer_step *s, const struct consumer_beat *b,
                     struct consumer_fault *f)
{
    struct str text = b->req->subscribed_topic_regex;
    const struct consumer_regex *known = consumer_regex_find(s->g, text);
    struct topic_regex *re = NULL;
    const char *why = "";
    if (str_is_null(text) || text.len == 0 || (known != NULL && known->members > 0))
        return true;
    if (s->g->regexes.count >= consumer_regexes_max)
        return invalid(s, f, "The group has too many different regular expressions.");
    int rc = topic_regex_new(&re, text, &why);
    topic_regex_free(re);
    if (rc == ERR_INVALID)
        consumer_refuse(s, f, KERR_INVALID_REGULAR_EXPRESSION,
                        "SubscribedTopicRegex `%.*s` is not a valid regular expression: %s.",
                        STR_ARG(text), why);
    else if (rc < 0)
        s->err = rc;
    return rc == 0;
}

static int part_cmp(const void *a, const void *b)
{
    return consumer_part_cmp(a, b);
}

static bool copy_lists(struct consumer_step *s, struct consumer_beat *b)
{
    const struct consumer_group_heartbeat_request *req = b->req;
    size_t n = 0;
    for (int32_t t = 0; t < req->n_topic_partitions; t++)
        n += (size_t)req->topic_partitions[t].n_partitions;
    b->holds.given = req->n_topic_partitions >= 0;
    b->holds.parts.v = arena_calloc(s->scratch, n + 1, sizeof(struct consumer_part));
    if (b->holds.parts.v == NULL)
        s->err = ERR_NO_MEMORY;
    for (int32_t t = 0; s->err == 0 && t < req->n_topic_partitions; t++)
        for (int32_t i = 0; i < req->topic_partitions[t].n_partitions; i++)
            b->holds.parts.v[b->holds.parts.n++] = (struct consumer_part){
                req->topic_partitions[t].topic_id, req->topic_partitions[t].partitions[i], 0};
    qsort(b->holds.parts.v, b->holds.parts.n, sizeof(struct consumer_part), part_cmp);
    if (req->n_subscribed_topic_names < 0)
        return s->err == 0;
    b->names = arena_dup(s->scratch, req->subscribed_topic_names,
                         (size_t)req->n_subscribed_topic_names * sizeof(struct str));
    if (b->names == NULL) {
        s->err = ERR_NO_MEMORY;
        return false;
    }
    b->n_names = consumer_names_sort(b->names, (uint32_t)req->n_subscribed_topic_names);
    return s->err == 0;
}

/* What the member said before, overlaid with what it says now. */
static struct consumer_meta overlay(const struct consumer_member *m, const struct consumer_beat *b)
{
    struct consumer_meta meta = {.regex = STR(""), .rebalance_timeout_ms = -1};
    const struct consumer_group_heartbeat_request *req = b->req;
    if (m != NULL)
        meta = *m->meta;
    if (!str_is_null(req->instance_id))
        meta.instance_id = req->instance_id;
    if (!str_is_null(req->rack_id))
        meta.rack_id = req->rack_id;
    if (req->rebalance_timeout_ms != -1)
        meta.rebalance_timeout_ms = req->rebalance_timeout_ms;
    if (!str_is_null(req->server_assignor))
        meta.assignor = req->server_assignor;
    if (!str_is_null(req->subscribed_topic_regex))
        meta.regex = req->subscribed_topic_regex;
    if (b->names != NULL) {
        meta.names = b->names;
        meta.n_names = b->n_names;
    }
    meta.client_id = b->client_id;
    meta.client_host = b->client_host;
    meta.classic = false;
    meta.session_timeout_ms = 0;
    meta.protocols = NULL;
    meta.n_protocols = 0;
    return meta;
}

/* Kafka's answer when the record of a member is larger than a batch. */
static bool meta_fits(struct consumer_step *s, const struct consumer_member *m,
                      const struct consumer_beat *b, struct consumer_fault *f)
{
    const struct consumer_group_heartbeat_request *req = b->req;
    if (m != NULL && b->names == NULL && str_is_null(b->replaces) &&
        str_is_null(req->instance_id) && str_is_null(req->rack_id) &&
        str_is_null(req->subscribed_topic_regex))
        return true; /* nothing new */
    if (!str_is_null(b->replaces))
        m = consumer_member_find(s->g, b->replaces);
    struct consumer_meta meta = overlay(m, b);
    if (consumer_fits(s, b->member_id, consumer_meta_bytes(&meta)))
        return true;
    consumer_refuse(s, f, KERR_UNKNOWN_SERVER_ERROR,
                    "The member's metadata is larger than a record may be.");
    return false;
}

bool consumer_heartbeat_check(struct consumer_step *s, struct consumer_beat *b,
                              struct consumer_fault *f)
{
    struct consumer_member *m = NULL;
    b->member_id = b->req->member_id;
    if (!consumer_has_room(s, b->member_id, f))
        return false;
    if (b->member_id.len == 0)
        b->member_id = consumer_uuid_text(s);
    if (s->err < 0 || !copy_lists(s, b))
        return false;
    if (!(str_is_null(b->req->instance_id) ? find_dynamic(s, b, &m, f) : find_static(s, b, &m, f)))
        return false;
    if (s->g->n_names + b->n_names > consumer_group_names_max)
        return invalid(s, f, "The group's subscriptions have too many names.");
    if (m != NULL && m->cur.state == CONSUMER_UNKNOWN &&
        (!b->holds.given || b->holds.parts.n > 0)) {
        consumer_refuse(s, f, KERR_FENCED_MEMBER_EPOCH,
                        "The consumer group member is in a unknown state. The member must abandon "
                        "all its partitions and rejoin.");
        return false;
    }
    return regex_ok(s, b, f) && meta_fits(s, m, b, f);
}

/* --- run --- */

void consumer_heartbeat_run(struct consumer_step *s, const struct consumer_beat *b,
                            struct consumer_beat_reply *reply)
{
    const struct consumer_group_heartbeat_request *req = b->req;
    if (!str_is_null(b->replaces))
        consumer_replace(s, b->replaces, b->member_id);
    struct consumer_meta meta = overlay(consumer_member_find(s->g, b->member_id), b);
    bool changed = consumer_subscribe(s, b->member_id, &meta);
    target_update(s);
    struct consumer_member *m = consumer_member_find(s->g, b->member_id);
    if (s->err < 0 || m == NULL)
        return;
    bool moved = consumer_reconcile(s, m, changed, &b->holds);
    consumer_timer_set(s, m, CONSUMER_TIMER_SESSION, s->settings->consumer_session_timeout_ms);
    consumer_timer_clear(m, CONSUMER_TIMER_JOIN);
    consumer_timer_clear(m, CONSUMER_TIMER_SYNC);
    bool full = req->rebalance_timeout_ms != -1 && req->n_topic_partitions >= 0 &&
                (req->n_subscribed_topic_names >= 0 || !str_is_null(req->subscribed_topic_regex));
    reply->member_id = m->id;
    reply->epoch = m->cur.epoch;
    reply->has_assignment = req->member_epoch == CONSUMER_JOIN || full || moved;
    reply->assigned = &m->cur.assigned;
}
