#include "base/arena.h"
#include "control/group/group.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/consumer_group_describe.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "dataplane/proto/gen/delete_groups.h"
#include "dataplane/proto/gen/describe_groups.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/list_groups.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/offset_delete.h"
#include "dataplane/proto/gen/offset_fetch.h"
#include "dataplane/proto/gen/sync_group.h"

/* *out: the response that is there, or a new default one; NULL when the arena is full. */
#define RESPONSE(call, name)                                                                       \
    ({                                                                                             \
        struct name *made = (call)->response;                                                      \
        if (made == NULL) {                                                                        \
            made = arena_calloc((call)->arena, 1, sizeof(*made));                                  \
            if (made)                                                                              \
                name##_init(made);                                                                 \
            (call)->response = made;                                                               \
        }                                                                                          \
        made;                                                                                      \
    })

static void join_fail(struct group_call *call, int16_t kerr)
{
    struct join_group_response *r = RESPONSE(call, join_group_response);
    if (r == NULL)
        return;
    struct str member_id = r->member_id;
    join_group_response_init(r);
    r->member_id = member_id;
    r->error_code = kerr;
}

static void offset_commit_fail(struct group_call *call, int16_t kerr)
{
    struct offset_commit_response *r = call->response;
    if (r == NULL)
        return;
    for (int32_t i = 0; i < r->n_topics; i++)
        for (int32_t k = 0; k < r->topics[i].n_partitions; k++)
            if (r->topics[i].partitions[k].error_code == 0)
                r->topics[i].partitions[k].error_code = kerr;
}

/* v1 has no error of the group: each partition gets it. */
static void offset_fetch_fail(struct group_call *call, int16_t kerr)
{
    struct offset_fetch_response_group *r = call->response;
    if (r == NULL)
        return;
    if (call->version >= 2) {
        r->n_topics = 0;
        r->error_code = kerr;
        return;
    }
    for (int32_t i = 0; i < r->n_topics; i++)
        for (int32_t k = 0; k < r->topics[i].n_partitions; k++) {
            struct offset_fetch_response_group_partition *p = &r->topics[i].partitions[k];
            p->committed_offset = -1;
            p->committed_leader_epoch = -1;
            p->metadata = STR("");
            p->error_code = kerr;
        }
}

static void describe_fail(struct group_call *call, int16_t kerr)
{
    struct describe_groups_response_group *r = RESPONSE(call, describe_groups_response_group);
    if (r == NULL)
        return;
    struct str id = r->group_id;
    describe_groups_response_group_init(r);
    r->group_id = id;
    r->error_code = kerr;
}

static void consumer_describe_fail(struct group_call *call, int16_t kerr)
{
    struct consumer_group_describe_response_group *r =
        RESPONSE(call, consumer_group_describe_response_group);
    if (r == NULL)
        return;
    struct str id = r->group_id;
    consumer_group_describe_response_group_init(r);
    r->group_id = id;
    r->error_code = kerr;
}

static void sync_fail(struct group_call *call, int16_t kerr)
{
    struct sync_group_response *r = RESPONSE(call, sync_group_response);
    if (r == NULL)
        return;
    sync_group_response_init(r);
    r->error_code = kerr;
}

static void consumer_heartbeat_fail(struct group_call *call, int16_t kerr)
{
    struct consumer_group_heartbeat_response *r = RESPONSE(call, consumer_group_heartbeat_response);
    if (r == NULL)
        return;
    consumer_group_heartbeat_response_init(r);
    r->error_code = kerr;
}

void group_response_fail(struct group_call *call, int16_t kerr)
{
    switch (call->api_key) {
    case API_JoinGroup:
        join_fail(call, kerr);
        break;
    case API_SyncGroup:
        sync_fail(call, kerr);
        break;
    case API_Heartbeat: {
        struct heartbeat_response *r = RESPONSE(call, heartbeat_response);
        if (r)
            r->error_code = kerr;
        break;
    }
    case API_LeaveGroup: {
        struct leave_group_response *r = RESPONSE(call, leave_group_response);
        if (r) {
            r->n_members = 0;
            r->error_code = kerr;
        }
        break;
    }
    case API_OffsetCommit:
        offset_commit_fail(call, kerr);
        break;
    case API_OffsetFetch:
        offset_fetch_fail(call, kerr);
        break;
    case API_OffsetDelete: {
        struct offset_delete_response *r = RESPONSE(call, offset_delete_response);
        if (r) {
            r->n_topics = 0;
            r->error_code = kerr;
        }
        break;
    }
    case API_DeleteGroups: {
        struct delete_groups_response_result *r = RESPONSE(call, delete_groups_response_result);
        if (r)
            r->error_code = kerr;
        break;
    }
    case API_ListGroups: {
        struct list_groups_response *r = RESPONSE(call, list_groups_response);
        if (r) {
            r->n_groups = 0;
            r->error_code = kerr;
        }
        break;
    }
    case API_DescribeGroups:
        describe_fail(call, kerr);
        break;
    case API_ConsumerGroupHeartbeat:
        consumer_heartbeat_fail(call, kerr);
        break;
    case API_ConsumerGroupDescribe:
        consumer_describe_fail(call, kerr);
        break;
    default:
        call->response = NULL;
    }
}
