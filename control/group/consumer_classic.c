#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "control/group/classic.h"
#include "control/group/consumer_embedded.h"
#include "control/group/consumer_live.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/sync_group.h"

/*
 * Members of the classic protocol in a consumer group: each join is a heartbeat in disguise, a sync
 * fetches what it brought, and heartbeats send the member to join again when there is news.
 */

static int16_t can_join(struct consumer_act *a, const struct join_group_request *req)
{
    const struct consumer_group *g = a->s.g;
    struct consumer_fault f;
    if (a->settings.consumer_migration == GROUP_MIGRATION_DISABLED)
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    if (!consumer_has_room(&a->s, req->member_id, &f))
        return f.code;
    if (!str_eqz(req->protocol_type, "consumer") || req->n_protocols <= 0 ||
        req->n_protocols > group_protocols_max)
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    for (int32_t i = 0; i < req->n_protocols; i++) {
        uint32_t with = 0;
        size_t at = 0;
        for (struct consumer_member *m; (m = map_next(&g->members, &at)) != NULL;)
            for (uint32_t k = 0; m->meta->classic && k < m->meta->n_protocols; k++)
                if (str_eq(m->meta->protocols[k].name, req->protocols[i].name)) {
                    with++;
                    break;
                }
        if (with == g->n_classic)
            return 0;
    }
    return KERR_INCONSISTENT_GROUP_PROTOCOL;
}

/* What the join says of the member. 0 or a Kafka error. */
static int16_t join_meta(struct consumer_act *a, const struct group_call *call,
                         const struct join_group_request *req, const struct consumer_member *m,
                         struct consumer_embedded *said, struct consumer_meta *out)
{
    const struct proto_bytes *best = &req->protocols[0].metadata;
    struct str bytes = {(const char *)best->p, best->len};
    size_t total = 0;
    struct consumer_proto *protocols =
        arena_calloc(&a->scratch, (size_t)req->n_protocols, sizeof(*protocols));
    if (protocols == NULL || consumer_subscription_read(bytes, a->s.topics, &a->scratch, said) < 0)
        return KERR_UNKNOWN_SERVER_ERROR; /* Kafka's answer to a malformed subscription */
    for (int32_t i = 0; i < req->n_protocols; i++) {
        const struct proto_bytes *data = &req->protocols[i].metadata;
        protocols[i] = (struct consumer_proto){req->protocols[i].name,
                                               {data->p ? (const char *)data->p : "", data->len}};
        total += (size_t)protocols[i].name.len + data->len;
    }
    if (total > group_metadata_bytes_max ||
        a->s.g->n_names + said->n_topics > consumer_group_names_max)
        return KERR_INVALID_REQUEST;
    /* The member may be replaced before this is said. */
    struct consumer_meta *before = m ? consumer_keep_meta(&a->s, m->meta) : NULL;
    *out = before ? *before : (struct consumer_meta){.rebalance_timeout_ms = -1};
    if (!str_is_null(req->group_instance_id))
        out->instance_id = req->group_instance_id;
    if (said->rack_id.len > 0)
        out->rack_id = said->rack_id;
    int32_t rebalance_ms = classic_join_rebalance_ms(call, req);
    if (rebalance_ms != -1)
        out->rebalance_timeout_ms = rebalance_ms;
    out->names = said->topics;
    out->n_names = said->n_topics;
    out->regex = STR("");
    out->client_id = call->client_id.p ? call->client_id : STR("");
    out->client_host = call->client_host.p ? call->client_host : STR("");
    out->classic = true;
    out->session_timeout_ms = req->session_timeout_ms;
    out->protocols = protocols;
    out->n_protocols = (uint32_t)req->n_protocols;
    /* Kafka's answer when the record is larger than a batch. */
    return consumer_fits(&a->s, req->member_id, consumer_meta_bytes(out))
               ? 0
               : KERR_UNKNOWN_SERVER_ERROR;
}

/* Kafka 4.3: an unknown static member takes the seat of whoever has it; a known one must be it. */
static int16_t find_seat(struct consumer_act *a, const struct join_group_request *req,
                         struct str member_id, struct str *replaces)
{
    struct consumer_member *m = consumer_static_find(a->s.g, req->group_instance_id);
    *replaces = STR_NULL;
    if (str_is_null(req->group_instance_id))
        return 0;
    if (req->member_id.len == 0) {
        if (m != NULL)
            *replaces = arena_str(&a->scratch, m->id);
        return 0;
    }
    if (m == NULL)
        return KERR_UNKNOWN_MEMBER_ID;
    return str_eq(m->id, member_id) ? 0 : KERR_FENCED_INSTANCE_ID;
}

static void reply_join(struct consumer_act *a, struct group_call *call, struct str member_id,
                       int32_t generation, struct str protocol)
{
    struct join_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r != NULL) {
        join_group_response_init(r);
        r->member_id = arena_str(call->arena, member_id);
        r->generation_id = generation;
        r->protocol_type = STR("consumer");
        r->protocol_name = arena_str(call->arena, protocol);
        if (str_is_null(r->member_id) || str_is_null(r->protocol_name))
            r = NULL;
    }
    call->response = r;
    group_reply(a->c, call);
}

/* Everything is checked: the member joins. */
static void join(struct consumer_act *a, struct group *g, struct group_call *call,
                 const struct join_group_request *req, struct str member_id, struct str replaces,
                 const struct consumer_meta *meta, const struct consumer_embedded *said)
{
    struct consumer_holds holds = {true, said->parts};
    struct consumer_member *old = consumer_static_find(a->s.g, req->group_instance_id);
    struct str was = old ? arena_str(&a->scratch, old->id) : STR_NULL;
    bool downgrade = old != NULL && !old->meta->classic && consumer_may_downgrade(a, &was, 1);
    /* The only member of the group may be the one that is replaced. */
    downgrade |= old != NULL && !old->meta->classic && consumer_members(a->s.g) == 1 &&
                 (a->settings.consumer_migration == GROUP_MIGRATION_DOWNGRADE ||
                  a->settings.consumer_migration == GROUP_MIGRATION_BIDIRECTIONAL);
    if (!str_is_null(replaces))
        consumer_replace(&a->s, replaces, member_id);
    bool changed = consumer_subscribe(&a->s, member_id, meta);
    downgrade = downgrade && consumer_fits_classic(a, NULL, 0);
    if (!downgrade)
        target_update(&a->s);
    struct consumer_member *m = consumer_member_find(a->s.g, member_id);
    if (a->s.err < 0 || m == NULL) {
        group_fail(a->c, KERR_COORDINATOR_NOT_AVAILABLE);
        classic_join_reply_error(a->c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        return;
    }
    if (!downgrade)
        consumer_reconcile(&a->s, m, changed, &holds);
    int32_t generation = downgrade ? a->s.g->epoch : m->cur.epoch;
    consumer_timer_clear(m, CONSUMER_TIMER_JOIN);
    consumer_timer_clear(m, CONSUMER_TIMER_REBALANCE);
    consumer_timer_set(&a->s, m, CONSUMER_TIMER_SESSION, req->session_timeout_ms);
    consumer_timer_set(&a->s, m, CONSUMER_TIMER_SYNC, classic_join_rebalance_ms(call, req));
    struct str protocol = arena_str(&a->scratch, m->meta->protocols[0].name);
    if (downgrade)
        consumer_downgrade(a, g, NULL, 0);
    if (a->s.late.code != 0)
        classic_join_reply_error(a->c, call, a->s.late.code, STR(""));
    else
        reply_join(a, call, member_id, generation, protocol);
}

void consumer_classic_join(struct group *g, struct group_call *call,
                           const struct join_group_request *req)
{
    struct consumer_act a;
    struct consumer_meta meta;
    struct consumer_embedded said = {0};
    struct str replaces = STR_NULL, member_id = req->member_id;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    int16_t kerr = can_join(&a, req);
    if (kerr == 0 && member_id.len == 0)
        member_id = consumer_uuid_text(&a.s);
    if (kerr == 0 && str_is_null(req->group_instance_id) && req->member_id.len == 0 &&
        call->version >= 4) {
        classic_join_reply_error(g->c, call, KERR_MEMBER_ID_REQUIRED, member_id);
        consumer_act_end(&a, g);
        return;
    }
    if (kerr == 0)
        kerr = find_seat(&a, req, member_id, &replaces);
    const struct consumer_member *m =
        consumer_member_find(g->consumer, str_is_null(replaces) ? member_id : replaces);
    if (kerr == 0)
        kerr = join_meta(&a, call, req, m, &said, &meta);
    if (kerr != 0)
        classic_join_reply_error(g->c, call, kerr, STR(""));
    else
        join(&a, g, call, req, member_id, replaces, &meta, &said);
    consumer_act_end(&a, a.s.g != NULL ? g : NULL);
}

/* The classic member of that id and seat in that generation. 0 or a Kafka error. */
static int16_t find_member(const struct consumer_group *g, struct str id, struct str instance,
                           int32_t generation, struct consumer_member **out)
{
    struct consumer_member *m =
        str_is_null(instance) ? consumer_member_find(g, id) : consumer_static_find(g, instance);
    if (m == NULL)
        return KERR_UNKNOWN_MEMBER_ID;
    if (!str_eq(m->id, id))
        return KERR_FENCED_INSTANCE_ID;
    if (!m->meta->classic)
        return KERR_UNKNOWN_MEMBER_ID;
    if (m->cur.epoch != generation)
        return KERR_ILLEGAL_GENERATION;
    *out = m;
    return 0;
}

/* It has to join again, within its rebalance time-out from the first time that it is told. */
static void expect_join(struct consumer_act *a, struct consumer_member *m)
{
    if (m->deadline_ns[CONSUMER_TIMER_JOIN] == INT64_MAX)
        consumer_timer_set(&a->s, m, CONSUMER_TIMER_JOIN, m->meta->rebalance_timeout_ms);
}

static int16_t check_sync(struct consumer_act *a, const struct sync_group_request *req,
                          struct consumer_member **out)
{
    int16_t kerr =
        find_member(a->s.g, req->member_id, req->group_instance_id, req->generation_id, out);
    struct consumer_member *m = *out;
    if (kerr != 0)
        return kerr;
    if ((!str_is_null(req->protocol_type) && !str_eqz(req->protocol_type, "consumer")) ||
        (!str_is_null(req->protocol_name) &&
         (m->meta->n_protocols == 0 || !str_eq(req->protocol_name, m->meta->protocols[0].name))))
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    if (a->s.g->assignment_epoch > m->cur.epoch && m->cur.state != CONSUMER_UNREVOKED) {
        expect_join(a, m);
        return KERR_REBALANCE_IN_PROGRESS;
    }
    return 0;
}

void consumer_classic_sync(struct group *g, struct group_call *call,
                           const struct sync_group_request *req)
{
    struct consumer_act a;
    struct consumer_member *m = NULL;
    struct codec_out o = {0};
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    int16_t kerr = check_sync(&a, req, &m);
    int version = kerr == 0 ? consumer_embedded_version(m->meta->protocols[0].data) : 0;
    if (kerr == 0 && version < 0)
        kerr = KERR_UNKNOWN_SERVER_ERROR;
    if (kerr != 0) {
        group_reply_error(g->c, call, kerr);
    } else {
        struct sync_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
        consumer_assignment_write(&o, version, &m->cur.assigned, a.s.topics);
        void *copy = o.failed ? NULL : arena_dup(call->arena, o.p, o.len);
        if (r != NULL) {
            sync_group_response_init(r);
            r->protocol_type = req->protocol_type;
            r->protocol_name = req->protocol_name;
            r->assignment = (struct proto_bytes){copy, o.len};
        }
        call->response = copy ? r : NULL;
        consumer_timer_clear(m, CONSUMER_TIMER_SYNC);
        consumer_timer_set(&a.s, m, CONSUMER_TIMER_SESSION, m->meta->session_timeout_ms);
        group_reply(g->c, call);
    }
    codec_out_free(&o);
    consumer_act_end(&a, g);
}

/* Does an unreleased partition of its target still have another owner? */
static bool still_waits(const struct consumer_group *g, const struct consumer_member *m)
{
    const struct consumer_target *t = consumer_target_find(g, m->id);
    for (uint32_t i = 0; t != NULL && i < t->parts.n; i++) {
        const struct consumer_part *p = &t->parts.v[i];
        if (!consumer_parts_find(&m->cur.assigned, &p->topic, p->partition) &&
            consumer_owners(g, &p->topic, p->partition) > 0)
            return true;
    }
    return false;
}

void consumer_classic_heartbeat(struct group *g, struct group_call *call,
                                const struct heartbeat_request *req)
{
    struct consumer_act a;
    struct consumer_member *m = NULL;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    int16_t kerr =
        find_member(g->consumer, req->member_id, req->group_instance_id, req->generation_id, &m);
    if (kerr == 0) {
        consumer_timer_set(&a.s, m, CONSUMER_TIMER_SESSION, m->meta->session_timeout_ms);
        if (m->cur.epoch < g->consumer->assignment_epoch || m->cur.state == CONSUMER_UNREVOKED ||
            (m->cur.state == CONSUMER_UNRELEASED && !still_waits(g->consumer, m))) {
            kerr = KERR_REBALANCE_IN_PROGRESS;
            expect_join(&a, m);
        }
    }
    group_reply_error(g->c, call, kerr);
    consumer_act_end(&a, g);
}

/* 0 or the error of one member that wants to leave; *id is its own then. */
static int16_t check_leave(const struct consumer_group *g, struct str member_id,
                           struct str instance, struct str *id)
{
    struct consumer_member *m = str_is_null(instance) ? consumer_member_find(g, member_id)
                                                      : consumer_static_find(g, instance);
    if (m == NULL)
        return KERR_UNKNOWN_MEMBER_ID;
    if (!str_is_null(instance) && member_id.len > 0 && !str_eq(m->id, member_id))
        return KERR_FENCED_INSTANCE_ID;
    *id = m->id;
    return 0;
}

void consumer_classic_leave(struct group *g, struct group_call *call,
                            const struct leave_group_request *req)
{
    struct consumer_act a;
    bool single = call->version < 3;
    int32_t n = single ? 1 : req->n_members > 0 ? req->n_members : 0;
    uint32_t leaving = 0;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    struct leave_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    struct leave_group_response_member *out =
        arena_calloc(call->arena, (size_t)n + 1, sizeof(*out));
    struct str *ids = arena_calloc(&a.scratch, (size_t)n + 1, sizeof(*ids));
    for (int32_t i = 0; r != NULL && out != NULL && ids != NULL && i < n; i++) {
        struct str member_id = single ? req->member_id : req->members[i].member_id;
        struct str instance = single ? STR_NULL : req->members[i].group_instance_id;
        struct str id = STR_NULL;
        int16_t kerr = check_leave(g->consumer, member_id, instance, &id);
        out[i] = (struct leave_group_response_member){member_id, instance, kerr};
        if (kerr == 0)
            ids[leaving++] = arena_str(&a.scratch, id);
    }
    if (ids != NULL)
        leaving = consumer_names_sort(ids, leaving);
    consumer_fence_or_downgrade(&a, g, ids, leaving);
    if (r != NULL && out != NULL) {
        leave_group_response_init(r);
        r->error_code = single && n > 0 ? out[0].error_code : 0;
        r->members = single ? NULL : out;
        r->n_members = single ? 0 : n;
    }
    call->response = out != NULL ? r : NULL;
    group_reply(g->c, call);
    consumer_act_end(&a, a.s.g != NULL ? g : NULL);
}
