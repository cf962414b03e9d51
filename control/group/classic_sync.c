#include "base/arena.h"
#include "control/group/classic.h"
#include "dataplane/proto/gen/describe_groups.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/sync_group.h"

/* --- SyncGroup --- */

void classic_sync_reply(struct group *g, struct classic_member *m, struct group_call *call)
{
    const struct classic_group *k = g->classic;
    struct arena *a = call->arena;
    struct sync_group_response *r = arena_calloc(a, 1, sizeof(*r));
    if (r) {
        sync_group_response_init(r);
        r->protocol_type = arena_str(a, k->protocol_type);
        r->protocol_name = arena_str(a, k->protocol_name);
        r->assignment = (struct proto_bytes){arena_dup(a, m->assignment.p, m->assignment.len),
                                             m->assignment.len};
        if (r->assignment.p == NULL || (k->protocol_name.p && r->protocol_name.p == NULL))
            r = NULL;
    }
    call->response = r;
    group_reply(g->c, call);
}

static bool differs(struct str asked, struct str has)
{
    return asked.p && has.p && !str_eq(asked, has);
}

static int16_t check_sync(const struct classic_group *k, const struct sync_group_request *req)
{
    int16_t kerr = classic_check_member(k, req->member_id, req->group_instance_id);
    if (kerr)
        return kerr;
    if (req->generation_id != k->generation)
        return KERR_ILLEGAL_GENERATION;
    if (differs(req->protocol_type, k->protocol_type) ||
        differs(req->protocol_name, k->protocol_name))
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    return k->state == CLASSIC_PREPARING_REBALANCE ? KERR_REBALANCE_IN_PROGRESS : 0;
}

/* Members that the leader left out get an empty assignment; ids that are no members' are ignored. */
static int store_assignments(struct classic_group *k, const struct sync_group_request *req)
{
    for (struct classic_member *m = k->members; m; m = m->next)
        classic_member_set_assignment(m, STR_NULL);
    for (int32_t i = 0; i < req->n_assignments; i++) {
        struct classic_member *m = classic_member_find(k, req->assignments[i].member_id);
        struct proto_bytes a = req->assignments[i].assignment;
        if (m && classic_member_set_assignment(m, (struct str){(const char *)a.p, a.len}) < 0)
            return ERR_NO_MEMORY;
    }
    return 0;
}

/* The leader's sync: the record of the generation; the rest when it is durable. */
static void sync_leader(struct group *g, const struct sync_group_request *req)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    bool stored = store_assignments(k, req) == 0;
    if (stored && classic_emit(g)) {
        if (c->open) { /* else the coordinator has failed */
            c->open->sync_group = g;
            c->open->sync_generation = k->generation;
        }
        return;
    }
    for (struct classic_member *m = k->members; m; m = m->next)
        classic_member_set_assignment(m, STR_NULL);
    classic_propagate(g, stored ? KERR_UNKNOWN_SERVER_ERROR : KERR_COORDINATOR_NOT_AVAILABLE);
    classic_prepare_rebalance(g);
}

void classic_sync(struct group *g, struct group_call *call, const struct sync_group_request *req)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    /* Members of an empty group are unknown, whatever else is wrong. */
    int16_t kerr = k->state == CLASSIC_EMPTY ? KERR_UNKNOWN_MEMBER_ID : check_sync(k, req);
    if (kerr) {
        group_reply_error(c, call, kerr);
        return;
    }
    struct classic_member *m = classic_member_find(k, req->member_id);
    if (k->state == CLASSIC_STABLE) {
        classic_sync_arrived(g, m);
        classic_sync_reply(g, m, call);
        return;
    }
    struct group_call *old = group_unpark(c, &m->sync_call);
    if (old)
        group_reply_error(c, old, KERR_REBALANCE_IN_PROGRESS);
    if (!group_park(c, call, &m->sync_call)) {
        group_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    m->awaiting_sync = true;
    classic_sync_arrived(g, m);
    if (classic_is_leader(k, m))
        sync_leader(g, req);
}

/* --- Heartbeat --- */

int16_t classic_heartbeat(struct group *g, const struct heartbeat_request *req)
{
    struct classic_group *k = g->classic;
    int16_t kerr = classic_check_member(k, req->member_id, req->group_instance_id);
    if (kerr)
        return kerr;
    if (req->generation_id != k->generation)
        return KERR_ILLEGAL_GENERATION;
    if (k->state == CLASSIC_EMPTY)
        return KERR_UNKNOWN_MEMBER_ID;
    classic_rearm_session(classic_member_find(k, req->member_id));
    return k->state == CLASSIC_PREPARING_REBALANCE ? KERR_REBALANCE_IN_PROGRESS : 0;
}

/* --- LeaveGroup --- */

static int16_t leave_one(struct group *g, const struct leave_group_request_member *who)
{
    struct classic_group *k = g->classic;
    struct classic_member *m;
    if (who->member_id.len == 0) { /* an administrator removes a static member */
        m = who->group_instance_id.p ? classic_member_static(k, who->group_instance_id) : NULL;
        if (m == NULL)
            return KERR_UNKNOWN_MEMBER_ID;
    } else {
        struct classic_pending *p = classic_pending_find(k, who->member_id);
        if (p) {
            classic_pending_remove(g, p);
            return 0;
        }
        int16_t kerr = classic_check_member(k, who->member_id, who->group_instance_id);
        if (kerr)
            return kerr;
        m = classic_member_find(k, who->member_id);
    }
    classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
    return 0;
}

void classic_leave(struct group *g, struct group_call *call, const struct leave_group_request *req)
{
    struct leave_group_request_member single = {.member_id = req->member_id};
    const struct leave_group_request_member *members = call->version < 3 ? &single : req->members;
    int32_t n = call->version < 3 ? 1 : req->n_members;
    struct leave_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    struct leave_group_response_member *out =
        arena_calloc(call->arena, (size_t)(n > 0 ? n : 0), sizeof(*out));
    if (r == NULL || out == NULL) {
        call->response = NULL;
        group_reply(g->c, call);
        return;
    }
    leave_group_response_init(r);
    bool any = false;
    for (int32_t i = 0; i < n; i++) {
        leave_group_response_member_init(&out[i]);
        out[i].member_id = members[i].member_id;
        out[i].group_instance_id = members[i].group_instance_id;
        out[i].error_code = leave_one(g, &members[i]);
        any = any || out[i].error_code == 0;
    }
    if (call->version < 3) {
        r->error_code = out[0].error_code;
    } else {
        r->members = out;
        r->n_members = n > 0 ? n : 0;
    }
    if (any && g->classic->state != CLASSIC_EMPTY)
        classic_rebalance_or_complete(g);
    call->response = r;
    group_reply(g->c, call);
}

/* --- DescribeGroups --- */

bool classic_describe(const struct group *g, struct group_call *call,
                      struct describe_groups_response_group *out)
{
    const struct classic_group *k = g->classic;
    struct arena *a = call->arena;
    bool ok = true;
    out->group_state = str_from(classic_state_name(k->state));
    out->protocol_type = arena_str(a, k->protocol_type.p ? k->protocol_type : STR(""));
    if (k->state == CLASSIC_STABLE)
        out->protocol_data = arena_str(a, k->protocol_name.p ? k->protocol_name : STR(""));
    out->members = arena_calloc(a, k->n_members, sizeof(*out->members));
    if (out->members == NULL)
        return false;
    for (const struct classic_member *m = k->members; m; m = m->next) {
        struct describe_groups_response_member *d = &out->members[out->n_members++];
        describe_groups_response_member_init(d);
        d->member_id = arena_str(a, m->id);
        d->group_instance_id = arena_str(a, m->instance_id);
        d->client_id = arena_str(a, m->client_id);
        d->client_host = arena_str(a, m->client_host);
        d->member_assignment = (struct proto_bytes){
            arena_dup(a, m->assignment.p, m->assignment.len), m->assignment.len};
        if (k->state == CLASSIC_STABLE) {
            struct str metadata = classic_member_metadata(m, k->protocol_name);
            d->member_metadata =
                (struct proto_bytes){arena_dup(a, metadata.p, metadata.len), metadata.len};
        }
        ok = ok && d->member_id.p && d->client_id.p && d->client_host.p && d->member_assignment.p &&
             d->member_metadata.p;
    }
    return ok && out->protocol_type.p && out->protocol_data.p;
}

/* --- OffsetCommit --- */

int16_t classic_check_commit(struct group *g, struct str member_id, struct str instance_id,
                             int32_t generation)
{
    struct classic_group *k = g->classic;
    if (generation < 0 && k->state == CLASSIC_EMPTY)
        return 0;
    if (generation >= 0 || member_id.len > 0 || !str_is_null(instance_id)) {
        int16_t kerr = classic_check_member(k, member_id, instance_id);
        if (kerr)
            return kerr;
        if (generation != k->generation)
            return KERR_ILLEGAL_GENERATION;
    } else if (k->state != CLASSIC_EMPTY) {
        return KERR_UNKNOWN_MEMBER_ID;
    }
    if (k->state == CLASSIC_COMPLETING_REBALANCE)
        return KERR_REBALANCE_IN_PROGRESS;
    struct classic_member *m = classic_member_find(k, member_id);
    if (m) /* a commit is a sign of life */
        classic_rearm_session(m);
    return 0;
}
