/*
 * delete_topics: DeleteTopics by name or id, and CreatePartitions.
 *
 * Checks in the order of ControllerApis and ReplicationControlManager; the work itself is topics.c's.
 */
#include "control/api/api.h"
#include "dataplane/proto/gen/create_partitions.h"
#include "dataplane/proto/gen/delete_topics.h"

API_ENCODER(delete_topics_response)
API_ENCODER(create_partitions_response)

struct delete_item {
    struct topic_op op;
    struct fan *fan;
    struct delete_topics_response_topic *out;
};

struct delete_state {
    struct fan fan;
    struct delete_topics_response res;
};

static void delete_finish(struct fan *fan)
{
    struct delete_state *s = (struct delete_state *)fan;
    control_reply(fan->rq, &s->res, delete_topics_response_encode_any);
}

static void delete_done(struct topic_op *op)
{
    struct delete_item *item = (struct delete_item *)op;
    item->out->error_code = op->error;
    if (op->error)
        item->out->error_message = str_from(op->message ? op->message : kerr_text(op->error));
    fan_done(item->fan);
}

static void delete_error(struct delete_topics_response_topic *out, int16_t error,
                         const char *message)
{
    out->error_code = error;
    out->error_message = str_from(message ? message : kerr_text(error));
}

/* Marks topics that the request names twice, by name or by id. False: no memory. */
static bool mark_repeats(struct control_request *rq, const struct delete_topics_request_topic *all,
                         int32_t n, enum api_repeat *repeated)
{
    struct str *keys = arena_calloc(&rq->arena, (size_t)n, sizeof(*keys));
    if (!keys)
        return false;
    for (int32_t i = 0; i < n; i++)
        keys[i] = all[i].name;
    if (!api_mark_repeats(rq, keys, n, repeated))
        return false;
    for (int32_t i = 0; i < n; i++) {
        bool by_id = str_is_null(all[i].name) && !uuid_is_zero(&all[i].topic_id);
        keys[i] = by_id ? (struct str){(const char *)all[i].topic_id.b, 16} : STR_NULL;
    }
    return api_mark_repeats(rq, keys, n, repeated);
}

static void delete_one(struct delete_state *s, const struct delete_topics_request_topic *want,
                       bool repeated, bool also_by_id, struct delete_item *item)
{
    struct control_request *rq = s->fan.rq;
    struct delete_topics_response_topic *out = item->out;
    out->name = want->name;
    out->topic_id = want->topic_id;
    bool by_id = str_is_null(want->name);
    if (by_id && uuid_is_zero(&want->topic_id)) {
        delete_error(out, KERR_INVALID_REQUEST, "Neither topic name nor id were specified.");
        return;
    }
    if (!by_id && !uuid_is_zero(&want->topic_id)) {
        delete_error(out, KERR_INVALID_REQUEST,
                     "You may not specify both topic name and topic id.");
        return;
    }
    if (repeated) {
        delete_error(out, KERR_INVALID_REQUEST,
                     by_id ? "Duplicate topic id." : "Duplicate topic name.");
        return;
    }
    struct image_topic *t =
        by_id ? image_by_id(&rq->control->image, &want->topic_id) : api_topic(rq, want->name);
    if (!t || t->state != IMAGE_TOPIC_LIVE) {
        delete_error(out, by_id ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION, NULL);
        return;
    }
    out->name = arena_str(&rq->arena, str_from(t->name)); /* the topic may be gone at the reply */
    out->topic_id = t->id;
    if (also_by_id) {
        delete_error(out, KERR_INVALID_REQUEST,
                     "The provided topic name maps to an ID that was already supplied.");
        return;
    }
    item->op = (struct topic_op){.kind = TOPIC_DELETE, .id = t->id, .done = delete_done};
    fan_add(&s->fan);
    topics_submit(rq->control, &item->op);
}

/*
 * A topic given by name in one place and by id in another: the name's place is answered, the id's is
 * not. False: no memory.
 */
static bool mark_same_topics(struct control_request *rq,
                             const struct delete_topics_request_topic *all, int32_t n,
                             enum api_repeat *same)
{
    struct str *ids = arena_calloc(&rq->arena, (size_t)n, sizeof(*ids));
    if (!ids)
        return false;
    for (int32_t i = 0; i < n; i++) {
        const struct uuid *id = &all[i].topic_id;
        if (!str_is_null(all[i].name)) {
            const struct image_topic *t = uuid_is_zero(id) ? api_topic(rq, all[i].name) : NULL;
            id = t ? &t->id : NULL;
        }
        if (id && !uuid_is_zero(id))
            ids[i] = (struct str){(const char *)id->b, sizeof(id->b)};
    }
    return api_mark_repeats(rq, ids, n, same);
}

/* Versions before 6 give names only. */
static bool collect_wanted(struct control_request *rq, const struct delete_topics_request *req,
                           struct delete_topics_request_topic **all, int32_t *n)
{
    if (rq->version >= 6) {
        *all = req->topics;
        *n = req->n_topics > 0 ? req->n_topics : 0;
        return true;
    }
    *n = req->n_topic_names > 0 ? req->n_topic_names : 0;
    *all = arena_calloc(&rq->arena, (size_t)*n, sizeof(**all));
    for (int32_t i = 0; *all && i < *n; i++)
        (*all)[i].name = req->topic_names[i];
    return *all != NULL;
}

/* What refuses every topic of the request alike. */
static bool whole_request_error(struct control_request *rq, int32_t timeout_ms,
                                struct delete_topics_response_topic *out)
{
    if (!config_bool(rq->control->config, CONFIG_DELETE_TOPIC_ENABLE))
        delete_error(out, rq->version < 3 ? KERR_INVALID_REQUEST : KERR_TOPIC_DELETION_DISABLED,
                     rq->version < 3 ? "Topic deletion is disabled." : NULL);
    else if (timeout_ms <= 0)
        out->error_code = KERR_REQUEST_TIMED_OUT; /* over before it began, as in Kafka */
    return out->error_code != 0;
}

struct delete_marks {
    enum api_repeat *repeated, *same;
};

void api_delete_topics(struct control_request *rq)
{
    struct delete_topics_request req;
    API_DECODE(rq, delete_topics_request, &req);
    struct delete_topics_request_topic *all;
    int32_t n;
    struct delete_state *s;
    struct delete_item *items;
    API_ALLOC(rq, s, 1);
    if (!collect_wanted(rq, &req, &all, &n)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    delete_topics_response_init(&s->res);
    API_ALLOC(rq, s->res.responses, n);
    API_ALLOC(rq, items, n);
    struct delete_marks marks;
    API_ALLOC(rq, marks.repeated, n);
    API_ALLOC(rq, marks.same, n);
    if (!mark_repeats(rq, all, n, marks.repeated) || !mark_same_topics(rq, all, n, marks.same)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    fan_begin(&s->fan, rq, delete_finish);
    for (int32_t i = 0; i < n; i++) {
        bool by_id = str_is_null(all[i].name);
        if (marks.repeated[i] == API_REPEATED_LATER ||
            (!marks.repeated[i] && marks.same[i] && by_id))
            continue; /* answered once, in the other place */
        struct delete_topics_response_topic *out = &s->res.responses[s->res.n_responses++];
        delete_topics_response_topic_init(out);
        out->error_message = STR_NULL;
        out->name = all[i].name;
        out->topic_id = all[i].topic_id;
        items[i].fan = &s->fan;
        items[i].out = out;
        if (!whole_request_error(rq, req.timeout_ms, out))
            delete_one(s, &all[i], marks.repeated[i], marks.same[i] && !by_id, &items[i]);
    }
    fan_end(&s->fan);
}

/* ---- CreatePartitions ---- */

struct grow_item {
    struct topic_op op;
    struct fan *fan;
    struct create_partitions_response_result *out;
};

struct grow_state {
    struct fan fan;
    struct create_partitions_response res;
};

static void grow_finish(struct fan *fan)
{
    struct grow_state *s = (struct grow_state *)fan;
    control_reply(fan->rq, &s->res, create_partitions_response_encode_any);
}

static void grow_done(struct topic_op *op)
{
    struct grow_item *item = (struct grow_item *)op;
    item->out->error_code = op->error;
    if (op->error)
        item->out->error_message = str_from(op->message ? op->message : kerr_text(op->error));
    fan_done(item->fan);
}

static int16_t grow_error(struct control_request *rq,
                          const struct create_partitions_request_topic *want,
                          const struct image_topic *t, struct str *message)
{
    if (!t)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (want->count == t->partition_count) {
        *message =
            arena_printf(&rq->arena, "Topic already has %d partition(s).", t->partition_count);
        return KERR_INVALID_PARTITIONS;
    }
    if (want->count < t->partition_count) {
        *message = arena_printf(
            &rq->arena, "The topic %s currently has %d partition(s); %d would not be an increase.",
            t->name, t->partition_count, want->count);
        return KERR_INVALID_PARTITIONS;
    }
    if (want->count > topic_partitions_max) {
        *message = arena_printf(&rq->arena, "A topic may have at most %d partitions here.",
                                topic_partitions_max);
        return KERR_INVALID_PARTITIONS;
    }
    int32_t additional = want->count - t->partition_count;
    if (want->n_assignments >= 0 && want->n_assignments != additional) {
        *message = arena_printf(
            &rq->arena,
            "Attempted to add %d additional partition(s), but only %d assignment(s) were "
            "specified.",
            additional, want->n_assignments);
        return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    for (int32_t i = 0; i < want->n_assignments; i++) {
        *message = api_assignment_error(rq, want->assignments[i].broker_ids,
                                        want->assignments[i].n_broker_ids, 1);
        if (!str_is_null(*message))
            return KERR_INVALID_REPLICA_ASSIGNMENT;
    }
    return 0;
}

static void grow_one(struct grow_state *s, const struct create_partitions_request_topic *want,
                     bool repeated, bool validate_only, struct grow_item *item)
{
    struct control_request *rq = s->fan.rq;
    item->out->name = want->name;
    if (repeated) {
        item->out->error_code = KERR_INVALID_REQUEST;
        item->out->error_message = STR("Duplicate topic name.");
        return;
    }
    struct image_topic *t = api_topic(rq, want->name);
    struct str message = STR_NULL;
    item->out->error_code = grow_error(rq, want, t, &message);
    if (item->out->error_code) {
        item->out->error_message = message;
        return;
    }
    if (validate_only)
        return;
    item->op = (struct topic_op){
        .kind = TOPIC_GROW, .id = t->id, .partition_count = want->count, .done = grow_done};
    fan_add(&s->fan);
    topics_submit(rq->control, &item->op);
}

void api_create_partitions(struct control_request *rq)
{
    struct create_partitions_request req;
    API_DECODE(rq, create_partitions_request, &req);
    struct grow_state *s;
    struct grow_item *items;
    int32_t n = req.n_topics > 0 ? req.n_topics : 0;
    API_ALLOC(rq, s, 1);
    create_partitions_response_init(&s->res);
    API_ALLOC(rq, s->res.results, n);
    API_ALLOC(rq, items, n);
    struct str *names;
    enum api_repeat *repeated;
    API_ALLOC(rq, names, n);
    API_ALLOC(rq, repeated, n);
    for (int32_t i = 0; i < n; i++)
        names[i] = req.topics[i].name;
    if (!api_mark_repeats(rq, names, n, repeated)) {
        control_close(rq, "the request needs too much memory");
        return;
    }
    fan_begin(&s->fan, rq, grow_finish);
    for (int32_t i = 0; i < n; i++) {
        if (repeated[i] == API_REPEATED_LATER)
            continue; /* a name given twice is answered once */
        struct create_partitions_response_result *out = &s->res.results[s->res.n_results++];
        create_partitions_response_result_init(out);
        out->error_message = STR_NULL;
        items[i].fan = &s->fan;
        items[i].out = out;
        grow_one(s, &req.topics[i], repeated[i], req.validate_only, &items[i]);
    }
    fan_end(&s->fan);
}
