/*
 * group_members: what members of a group send: JoinGroup, SyncGroup, Heartbeat, LeaveGroup and
 * ConsumerGroupHeartbeat (KIP-848).
 *
 * The coordinator of the group decides (control/group); here a request finds it and its answer goes back.
 */
#include "control/api/groups.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/sync_group.h"

API_ENCODER(sync_group_response)
API_ENCODER(heartbeat_response)
API_ENCODER(leave_group_response)
API_ENCODER(consumer_group_heartbeat_response)

/* No protocol is null in the versions that know null, else empty (JoinGroupResponse's constructor). */
static int join_group_response_encode_any(const void *response, struct writer *w, int version)
{
    struct join_group_response res = *(const struct join_group_response *)response;
    if (res.protocol_name.len == 0)
        res.protocol_name = version >= 7 ? STR_NULL : STR("");
    return join_group_response_encode(&res, w, version);
}

static int16_t find(struct control_request *rq, struct str group_id, struct group_partition **out)
{
    return group_id.len == 0 ? KERR_INVALID_GROUP_ID : groups_find(api_groups(rq), group_id, out);
}

void api_join_group(struct control_request *rq)
{
    struct join_group_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, join_group_request, req);
    int16_t error = find(rq, req->group_id, &p);
    if (error) {
        struct join_group_response res;
        join_group_response_init(&res);
        res.error_code = error;
        res.member_id = req->member_id;
        control_reply(rq, &res, join_group_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, join_group_response_encode_any);
    if (!call)
        return;
    coordinator_join(group_partition_coordinator(p), call, req, groups_now(api_groups(rq)));
    groups_pump(p);
}

void api_sync_group(struct control_request *rq)
{
    struct sync_group_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, sync_group_request, req);
    /* KIP-559: from version 5 on a member says what it believes the protocol to be. */
    bool complete =
        rq->version < 5 || (!str_is_null(req->protocol_type) && !str_is_null(req->protocol_name));
    int16_t error = complete ? find(rq, req->group_id, &p) : KERR_INCONSISTENT_GROUP_PROTOCOL;
    if (error) {
        struct sync_group_response res;
        sync_group_response_init(&res);
        res.error_code = error;
        control_reply(rq, &res, sync_group_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, sync_group_response_encode_any);
    if (!call)
        return;
    coordinator_sync(group_partition_coordinator(p), call, req, groups_now(api_groups(rq)));
    groups_pump(p);
}

void api_heartbeat(struct control_request *rq)
{
    struct heartbeat_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, heartbeat_request, req);
    int16_t error = find(rq, req->group_id, &p);
    if (error) {
        struct heartbeat_response res;
        heartbeat_response_init(&res);
        /* The member goes on: the group it knows is on its way from the log (as in Kafka). */
        res.error_code = error == KERR_COORDINATOR_LOAD_IN_PROGRESS ? 0 : error;
        control_reply(rq, &res, heartbeat_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, heartbeat_response_encode_any);
    if (!call)
        return;
    coordinator_heartbeat(group_partition_coordinator(p), call, req, groups_now(api_groups(rq)));
    groups_pump(p);
}

void api_leave_group(struct control_request *rq)
{
    struct leave_group_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, leave_group_request, req);
    int16_t error = find(rq, req->group_id, &p);
    if (error) {
        struct leave_group_response res;
        leave_group_response_init(&res);
        res.error_code = error;
        control_reply(rq, &res, leave_group_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, leave_group_response_encode_any);
    if (!call)
        return;
    coordinator_leave(group_partition_coordinator(p), call, req, groups_now(api_groups(rq)));
    groups_pump(p);
}

void api_consumer_group_heartbeat(struct control_request *rq)
{
    struct consumer_group_heartbeat_request *req;
    struct group_partition *p;
    API_ALLOC(rq, req, 1);
    API_DECODE(rq, consumer_group_heartbeat_request, req);
    int16_t error = req->group_id.len == 0 ? 0 : groups_find(api_groups(rq), req->group_id, &p);
    if (error || req->group_id.len == 0) {
        struct consumer_group_heartbeat_response res;
        consumer_group_heartbeat_response_init(&res);
        res.error_code = error ? error : KERR_INVALID_REQUEST;
        res.error_message = error ? STR_NULL : STR("GroupId can't be empty.");
        control_reply(rq, &res, consumer_group_heartbeat_response_encode_any);
        return;
    }
    struct group_call *call = group_single(rq, p, consumer_group_heartbeat_response_encode_any);
    if (!call)
        return;
    coordinator_consumer_heartbeat(group_partition_coordinator(p), call, req,
                                   groups_now(api_groups(rq)));
    groups_pump(p);
}
