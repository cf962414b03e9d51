#include "base/arena.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"
#include "dataplane/proto/gen/consumer_group_describe.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "dataplane/proto/gen/delete_groups.h"
#include "dataplane/proto/gen/describe_groups.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/sync_group.h"

/* --- members of the classic protocol --- */

static int16_t check_join(const struct coordinator *c, const struct join_group_request *req)
{
    if (req->group_id.len == 0)
        return KERR_INVALID_GROUP_ID;
    if (req->session_timeout_ms < c->settings.min_session_timeout_ms ||
        req->session_timeout_ms > c->settings.max_session_timeout_ms)
        return KERR_INVALID_SESSION_TIMEOUT;
    return 0;
}

void coordinator_join(struct coordinator *c, struct group_call *call,
                      const struct join_group_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    int16_t kerr = check_join(c, req);
    struct group *g = kerr ? NULL : group_find(c, req->group_id);
    if (kerr) {
        classic_join_reply_error(c, call, kerr, req->member_id);
    } else if (g && g->type == GROUP_CONSUMER && !c->consumer->is_empty(g)) {
        c->consumer->join(g, call, req);
    } else {
        if (g && g->type == GROUP_CONSUMER) { /* empty: it becomes a classic one */
            c->consumer->emit_tombstones(g);
            c->consumer->free(g);
            group_set_type(g, GROUP_NONE);
        }
        classic_join(c, call, req);
    }
    group_step_end(c);
}

void coordinator_sync(struct coordinator *c, struct group_call *call,
                      const struct sync_group_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    struct group *g = group_find(c, req->group_id);
    if (req->group_id.len == 0)
        group_reply_error(c, call, KERR_INVALID_GROUP_ID);
    else if (g == NULL || (g->type == GROUP_CONSUMER && c->consumer->is_empty(g)))
        group_reply_error(c, call, KERR_UNKNOWN_MEMBER_ID);
    else if (g->type == GROUP_CONSUMER)
        c->consumer->sync(g, call, req);
    else
        classic_sync(g, call, req);
    group_step_end(c);
}

void coordinator_heartbeat(struct coordinator *c, struct group_call *call,
                           const struct heartbeat_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    struct group *g = group_find(c, req->group_id);
    if (req->group_id.len == 0)
        group_reply_error(c, call, KERR_INVALID_GROUP_ID);
    else if (g == NULL)
        group_reply_error(c, call, KERR_UNKNOWN_MEMBER_ID);
    else if (g->type == GROUP_CONSUMER)
        c->consumer->classic_heartbeat(g, call, req);
    else
        group_reply_error(c, call,
                          classic_heartbeat(g, req)); /* 0 is the answer that all is well */
    group_step_end(c);
}

/* Everybody that wants to leave is unknown. */
static void leave_unknown(struct coordinator *c, struct group_call *call,
                          const struct leave_group_request *req)
{
    struct leave_group_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r)
        leave_group_response_init(r);
    if (r && call->version < 3) {
        r->error_code = KERR_UNKNOWN_MEMBER_ID;
    } else if (r) {
        int32_t n = req->n_members > 0 ? req->n_members : 0;
        r->members = arena_calloc(call->arena, (size_t)n, sizeof(*r->members));
        for (int32_t i = 0; i < n && r->members; i++)
            r->members[r->n_members++] = (struct leave_group_response_member){
                req->members[i].member_id, req->members[i].group_instance_id,
                KERR_UNKNOWN_MEMBER_ID};
        if (r->members == NULL)
            r = NULL;
    }
    call->response = r;
    group_reply(c, call);
}

void coordinator_leave(struct coordinator *c, struct group_call *call,
                       const struct leave_group_request *req, struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    struct group *g = group_find(c, req->group_id);
    if (req->group_id.len == 0)
        group_reply_error(c, call, KERR_INVALID_GROUP_ID);
    else if (g == NULL)
        leave_unknown(c, call, req);
    else if (g->type == GROUP_CONSUMER)
        c->consumer->leave(g, call, req);
    else
        classic_leave(g, call, req);
    group_step_end(c);
}

/* --- members of the consumer protocol --- */

void coordinator_consumer_heartbeat(struct coordinator *c, struct group_call *call,
                                    const struct consumer_group_heartbeat_request *req,
                                    struct group_now now)
{
    if (!group_step_begin(c, call, now))
        return;
    if (c->consumer && c->settings.consumer_enabled)
        c->consumer->heartbeat(c, call, req);
    else
        group_reply_error(c, call, KERR_UNSUPPORTED_VERSION);
    group_step_end(c);
}

void coordinator_consumer_describe(struct coordinator *c, struct group_call *call,
                                   struct str group_id, struct group_now now)
{
    group_step_begin(c, NULL, now);
    struct consumer_group_describe_response_group *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r) {
        consumer_group_describe_response_group_init(r);
        r->group_id = arena_str(call->arena, group_id);
        struct group *g = c->failed ? NULL : group_find(c, group_id);
        if (c->consumer == NULL || !c->settings.consumer_enabled) {
            r->error_code = KERR_UNSUPPORTED_VERSION;
        } else if (group_id.len == 0) {
            r->error_code = KERR_INVALID_GROUP_ID;
        } else if (g == NULL || g->type != GROUP_CONSUMER) {
            r->error_code = KERR_GROUP_ID_NOT_FOUND;
            r->error_message = arena_printf(
                call->arena, g ? "Group %.*s is not a consumer group." : "Group %.*s not found.",
                STR_ARG(group_id));
        } else if (!c->consumer->describe(g, call, r)) {
            r = NULL;
        }
    }
    call->response = r && r->group_id.p ? r : NULL;
    group_reply(c, call);
    group_step_end(c);
}

/* --- administration --- */

void coordinator_describe(struct coordinator *c, struct group_call *call, struct str group_id,
                          struct group_now now)
{
    group_step_begin(c, NULL, now);
    struct describe_groups_response_group *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r) {
        describe_groups_response_group_init(r);
        r->group_id = arena_str(call->arena, group_id);
        struct group *g = c->failed ? NULL : group_find(c, group_id);
        if (g && g->type == GROUP_CLASSIC) {
            if (!classic_describe(g, call, r))
                r = NULL;
        } else {
            r->group_state = str_from(classic_state_name(CLASSIC_DEAD));
            if (call->version >= 6) {
                r->error_code = KERR_GROUP_ID_NOT_FOUND;
                r->error_message = arena_printf(
                    call->arena, g ? "Group %.*s is not a classic group." : "Group %.*s not found.",
                    STR_ARG(group_id));
            }
        }
    }
    call->response = r && r->group_id.p ? r : NULL;
    group_reply(c, call);
    group_step_end(c);
}

static int16_t delete_group(struct coordinator *c, struct str group_id)
{
    struct group *g = group_find(c, group_id);
    if (g == NULL)
        return KERR_GROUP_ID_NOT_FOUND;
    bool empty =
        g->type == GROUP_CLASSIC ? g->classic->state == CLASSIC_EMPTY : c->consumer->is_empty(g);
    if (!empty)
        return KERR_NON_EMPTY_GROUP;
    group_delete(g);
    return 0;
}

void coordinator_delete(struct coordinator *c, struct group_call *call, struct str group_id,
                        struct group_now now)
{
    bool works = group_step_begin(c, NULL, now);
    struct delete_groups_response_result *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r) {
        delete_groups_response_result_init(r);
        r->group_id = arena_str(call->arena, group_id);
        if (works)
            r->error_code = delete_group(c, group_id);
    }
    call->response = r && r->group_id.p ? r : NULL;
    group_reply(c, call);
    group_step_end(c);
}
