#include "base/arena.h"
#include "control/group/classic.h"
#include "dataplane/proto/gen/join_group.h"

void classic_join_reply_error(struct coordinator *c, struct group_call *call, int16_t kerr,
                              struct str member_id)
{
    struct join_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r) {
        join_group_response_init(r);
        r->error_code = kerr;
        r->member_id = arena_str(call->arena, member_id);
        if (str_is_null(r->member_id))
            r = NULL;
    }
    call->response = r;
    group_reply(c, call);
}

/* What the leader is told of all members. False: the arena is full. */
static bool list_members(const struct classic_group *k, struct arena *a,
                         struct join_group_response *r)
{
    r->members = arena_calloc(a, k->n_members, sizeof(*r->members));
    if (r->members == NULL)
        return false;
    bool ok = true;
    for (const struct classic_member *m = k->members; m; m = m->next) {
        struct join_group_response_member *out = &r->members[r->n_members++];
        struct str metadata = classic_member_metadata(m, k->protocol_name);
        join_group_response_member_init(out);
        out->member_id = arena_str(a, m->id);
        out->group_instance_id = arena_str(a, m->instance_id);
        out->metadata = (struct proto_bytes){arena_dup(a, metadata.p, metadata.len), metadata.len};
        ok = ok && out->member_id.p && out->metadata.p &&
             (str_is_null(m->instance_id) || out->group_instance_id.p);
    }
    return ok;
}

static struct join_group_response *join_response(struct group *g, const struct classic_member *m,
                                                 struct group_call *call, bool with_members)
{
    const struct classic_group *k = g->classic;
    struct arena *a = call->arena;
    struct join_group_response *r = arena_calloc(a, 1, sizeof(*r));
    if (r == NULL)
        return NULL;
    join_group_response_init(r);
    r->generation_id = k->generation;
    r->protocol_type = arena_str(a, k->protocol_type);
    r->protocol_name = arena_str(a, k->protocol_name);
    r->leader = arena_str(a, k->leader.p ? k->leader : STR(""));
    r->member_id = arena_str(a, m->id);
    if (r->protocol_name.p == NULL && call->version < 7)
        r->protocol_name = STR("");
    if (r->leader.p == NULL || r->member_id.p == NULL)
        return NULL;
    return !with_members || list_members(k, a, r) ? r : NULL;
}

void classic_join_reply(struct group *g, struct classic_member *m, struct group_call *call)
{
    call->response = join_response(g, m, call, classic_is_leader(g->classic, m));
    group_reply(g->c, call);
}

/* Parks the call in the member; an older one of the same member is told to come again. */
static bool await_join(struct group *g, struct classic_member *m, struct group_call *call)
{
    struct coordinator *c = g->c;
    struct group_call *old = group_unpark(c, &m->join_call);
    if (old)
        classic_join_reply_error(c, old, KERR_REBALANCE_IN_PROGRESS, m->id);
    if (!group_park(c, call, &m->join_call))
        return false;
    if (!m->awaiting_join) {
        m->awaiting_join = true;
        g->classic->n_awaiting_join++;
    }
    return true;
}

int32_t classic_join_rebalance_ms(const struct group_call *call,
                                  const struct join_group_request *req)
{
    return call->version == 0 ? req->session_timeout_ms : req->rebalance_timeout_ms;
}

/* --- new members --- */

static void add_member(struct group *g, struct group_call *call,
                       const struct join_group_request *req, struct str id)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    struct classic_member_spec spec = {
        .id = id,
        .instance_id = req->group_instance_id,
        .client_id = call->client_id,
        .client_host = call->client_host,
        .protocol_type = req->protocol_type,
        .rebalance_ms = classic_join_rebalance_ms(call, req),
        .session_ms = req->session_timeout_ms,
        .protocols = req->protocols,
        .n_protocols = req->n_protocols,
    };
    struct classic_member *m = classic_member_add(g, &spec);
    struct classic_pending *pending = classic_pending_find(k, id);
    if (pending)
        classic_pending_remove(g, pending);
    if (m == NULL || !await_join(g, m, call)) {
        if (m)
            classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
        classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        classic_maybe_complete_join(g);
        return;
    }
    m->is_new = true;
    if (k->state == CLASSIC_PREPARING_REBALANCE && k->previous == CLASSIC_EMPTY)
        k->new_member_added = true;
    group_timer_arm(c, &m->session, classic_new_member_join_ms);
    classic_rebalance_or_complete(g);
}

/*
 * In STABLE the group goes on as it is, if the protocol stays (and the record that tells the new id
 * fits into a batch); else it rebalances.
 */
static void rejoin_stable(struct group *g, struct classic_member *m, struct group_call *call,
                          struct str old_leader)
{
    struct classic_group *k = g->classic;
    if (!str_eq(k->protocol_name, classic_select_protocol(k)) || !classic_emit(g)) {
        if (!await_join(g, m, call))
            classic_join_reply_error(g->c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        classic_rebalance_or_complete(g);
        return;
    }
    bool leader = classic_is_leader(k, m);
    bool skip = call->version >= 9;
    struct join_group_response *r = join_response(g, m, call, leader && skip);
    if (r && skip)
        r->skip_assignment = leader;
    else if (r) /* an old client that finds itself the leader would assign anew */
        r->leader = arena_str(call->arena, old_leader);
    call->response = r && r->leader.p ? r : NULL;
    group_reply(g->c, call);
}

/* A static member came back without its id; new_id is taken over. */
static void replace_static(struct group *g, struct classic_member *m, struct group_call *call,
                           const struct join_group_request *req, struct str new_id)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    struct str old_leader = arena_str(call->arena, k->leader.p ? k->leader : STR(""));
    if (classic_member_set_protocols(g, m, req->protocols, req->n_protocols) < 0 ||
        classic_member_rename(g, m, new_id) < 0) {
        group_str_free(&new_id);
        classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        return;
    }
    /* The first session still runs by the old time-out, as in Kafka. */
    classic_rearm_session(m);
    m->rebalance_ms = classic_join_rebalance_ms(call, req);
    m->session_ms = req->session_timeout_ms;
    if (k->state == CLASSIC_STABLE) {
        rejoin_stable(g, m, call, old_leader);
        return;
    }
    if (!await_join(g, m, call)) {
        classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        return;
    }
    /* The leader may have been told the old id already: assign anew. */
    if (k->state == CLASSIC_COMPLETING_REBALANCE)
        classic_prepare_rebalance(g);
    else
        classic_maybe_complete_join(g);
}

static void join_new(struct group *g, struct group_call *call, const struct join_group_request *req)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    if (!classic_supports(k, req->protocol_type, req->protocols, req->n_protocols)) {
        classic_join_reply_error(c, call, KERR_INCONSISTENT_GROUP_PROTOCOL, STR(""));
        return;
    }
    bool is_static = !str_is_null(req->group_instance_id);
    struct str id = group_member_id(c, is_static ? req->group_instance_id : call->client_id);
    struct classic_member *old =
        is_static ? classic_member_static(k, req->group_instance_id) : NULL;
    if (str_is_null(id)) {
        classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
    } else if (old) {
        replace_static(g, old, call, req, id); /* takes the id over */
    } else if (is_static || call->version < 4) {
        add_member(g, call, req, id);
        group_str_free(&id);
    } else if (k->pending.count >= c->settings.pending_members_max) {
        classic_join_reply_error(c, call, KERR_GROUP_MAX_SIZE_REACHED, STR(""));
        group_str_free(&id);
    } else if (classic_pending_add(g, id, req->session_timeout_ms) < 0) { /* or takes it over */
        classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
        group_str_free(&id);
    } else {
        classic_join_reply_error(c, call, KERR_MEMBER_ID_REQUIRED, id);
    }
}

/* --- members that join again --- */

static void rejoin(struct group *g, struct classic_member *m, struct group_call *call,
                   const struct join_group_request *req)
{
    if (classic_member_set_protocols(g, m, req->protocols, req->n_protocols) < 0 ||
        !await_join(g, m, call)) {
        classic_join_reply_error(g->c, call, KERR_COORDINATOR_NOT_AVAILABLE, m->id);
        return;
    }
    m->rebalance_ms = classic_join_rebalance_ms(call, req);
    m->session_ms = req->session_timeout_ms;
    classic_rebalance_or_complete(g);
}

static void join_existing(struct group *g, struct group_call *call,
                          const struct join_group_request *req)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    if (!classic_supports(k, req->protocol_type, req->protocols, req->n_protocols)) {
        classic_join_reply_error(c, call, KERR_INCONSISTENT_GROUP_PROTOCOL, req->member_id);
        return;
    }
    if (classic_pending_find(k, req->member_id)) {
        /* An id is pending for dynamic members alone; Kafka fails here. */
        if (!str_is_null(req->group_instance_id))
            classic_join_reply_error(c, call, KERR_UNKNOWN_SERVER_ERROR, STR(""));
        else
            add_member(g, call, req, req->member_id);
        return;
    }
    int16_t kerr = classic_check_member(k, req->member_id, req->group_instance_id);
    if (kerr) {
        classic_join_reply_error(c, call, kerr, req->member_id);
        if (call->response && call->version >= 7)
            ((struct join_group_response *)call->response)->protocol_name = STR_NULL;
        return;
    }
    struct classic_member *m = classic_member_find(k, req->member_id);
    bool same = classic_member_matches(m, req->protocols, req->n_protocols);
    bool leader = classic_is_leader(k, m);
    if (k->state == CLASSIC_PREPARING_REBALANCE || !same ||
        (k->state == CLASSIC_STABLE && leader)) {
        rejoin(g, m, call, req);
        return;
    }
    /* Its answer may have been lost: this generation once more. */
    call->response = join_response(g, m, call, leader);
    group_reply(c, call);
}

/* --- */

/* Kafka's acceptJoiningMember: whether the size of the group allows it. */
static bool accepts(const struct coordinator *c, const struct classic_group *k, struct str id)
{
    uint32_t most = (uint32_t)c->settings.max_size < c->settings.members_max
                        ? (uint32_t)c->settings.max_size
                        : c->settings.members_max;
    const struct classic_member *m = id.len ? classic_member_find(k, id) : NULL;
    switch (k->state) {
    case CLASSIC_PREPARING_REBALANCE:
        return (m && m->awaiting_join) || k->n_awaiting_join < most;
    case CLASSIC_COMPLETING_REBALANCE:
    case CLASSIC_STABLE:
        return m || k->n_members < most;
    case CLASSIC_EMPTY:
    case CLASSIC_DEAD:
        break;
    }
    return true;
}

static void refuse_size(struct group *g, struct group_call *call,
                        const struct join_group_request *req)
{
    struct classic_group *k = g->classic;
    struct classic_member *m = classic_member_find(k, req->member_id);
    struct classic_pending *p = classic_pending_find(k, req->member_id);
    if (m)
        classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
    if (p)
        classic_pending_remove(g, p);
    classic_join_reply_error(g->c, call, KERR_GROUP_MAX_SIZE_REACHED, STR(""));
}

/* 0, or why the request is refused before any group is looked at. */
static int16_t check_limits(const struct join_group_request *req)
{
    if (req->n_protocols > group_protocols_max)
        return KERR_INCONSISTENT_GROUP_PROTOCOL;
    size_t bytes = 0;
    for (int32_t i = 0; i < req->n_protocols; i++)
        bytes += (size_t)req->protocols[i].name.len + req->protocols[i].metadata.len;
    return bytes > group_metadata_bytes_max ? KERR_INVALID_REQUEST : 0;
}

void classic_join(struct coordinator *c, struct group_call *call,
                  const struct join_group_request *req)
{
    bool unknown = req->member_id.len == 0;
    int16_t kerr = check_limits(req);
    if (kerr) {
        classic_join_reply_error(c, call, kerr, req->member_id);
        return;
    }
    struct group *g = group_find(c, req->group_id);
    bool made = g == NULL;
    if (made && !unknown) {
        classic_join_reply_error(c, call, KERR_UNKNOWN_MEMBER_ID, req->member_id);
        return;
    }
    if (made) {
        g = group_room(c) ? group_find_or_make(c, req->group_id) : NULL;
        if (g == NULL || classic_group_new(g) < 0) {
            if (g)
                group_maybe_destroy(g);
            classic_join_reply_error(c, call, KERR_COORDINATOR_NOT_AVAILABLE, STR(""));
            return;
        }
        /* The group's first record, so that it exists after a restart. */
        if (!classic_emit(g))
            group_fail(c, KERR_UNKNOWN_SERVER_ERROR);
    }
    if (!accepts(c, g->classic, req->member_id))
        refuse_size(g, call, req);
    else if (unknown)
        join_new(g, call, req);
    else
        join_existing(g, call, req);
}
