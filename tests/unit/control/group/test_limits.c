/* Each limit, just below and at it, with the error that a client sees. */
#include "base/check.h"
#include "tests/unit/control/group/rig.h"
#include "tests/unit/unit.h"

static void set(struct rig *r)
{
    CU_ASSERT_EQUAL(coordinator_set_settings(r->c, &r->options.settings), 0);
}

static int16_t join_error(const struct rig_call *call)
{
    return call->done ? rig_joined(call)->error_code : -100;
}

static void test_groups(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    r.options.settings.groups_max = 2;
    set(&r);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "a", NULL, NULL)), KERR_MEMBER_ID_REQUIRED);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "b", STR(""), -1, "t0", 0, 1)), 0);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "c", NULL, NULL)), KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "c", STR(""), -1, "t0", 0, 1)),
                    KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "c"), "Dead");
    CU_ASSERT_EQUAL(rig_delete(&r, "b"), 0);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "c", NULL, NULL)), KERR_MEMBER_ID_REQUIRED);
    rig_free(&r);
}

/* group.max.size, and our own limit below it; in each phase of a rebalance. */
static void test_members(void)
{
    for (int own = 0; own < 2; own++) {
        struct rig r;
        rig_init(&r, unit_seed());
        r.options.settings.max_size = own ? 100 : 2;
        r.options.settings.members_max = own ? 2 : 100;
        set(&r);
        struct rig_call *a = rig_join(&r, 3, "g", NULL, NULL);
        struct rig_call *b = rig_join(&r, 3, "g", NULL, NULL);
        CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", NULL, NULL)), KERR_GROUP_MAX_SIZE_REACHED);
        rig_pass(&r, 6100);
        CU_ASSERT_EQUAL(join_error(a), 0);
        CU_ASSERT_EQUAL(join_error(b), 0);
        CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", NULL, NULL)), KERR_GROUP_MAX_SIZE_REACHED);
        CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "g", NULL, NULL)), KERR_GROUP_MAX_SIZE_REACHED);
        CU_ASSERT_EQUAL(rig_leave(&r, "g", rig_joined(b)->member_id), 0);
        CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", NULL, NULL)), -100);
        rig_free(&r);
    }
}

/* A group that is larger than a group.max.size that was lowered sheds its last ones. */
static void test_smaller_max_size(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = rig_join(&r, 3, "g", NULL, NULL);
    rig_pass(&r, 6100);
    CU_ASSERT_TRUE(rig_sync(&r, "g", rig_joined(calls[0])->member_id, 1, 0, NULL)->done);
    r.options.settings.max_size = 2;
    rig_restart(&r);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", rig_joined(calls[1])->member_id.p, NULL)),
                    -100);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", rig_joined(calls[2])->member_id.p, NULL)),
                    -100);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", rig_joined(calls[0])->member_id.p, NULL)),
                    KERR_GROUP_MAX_SIZE_REACHED);
    rig_free(&r);
}

static void test_pending(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    r.options.settings.pending_members_max = 3;
    set(&r);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "g", NULL, NULL)), KERR_MEMBER_ID_REQUIRED);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "g", NULL, NULL)), KERR_GROUP_MAX_SIZE_REACHED);
    rig_pass(&r, 10100); /* their sessions */
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 9, "g", NULL, NULL)), KERR_MEMBER_ID_REQUIRED);
    rig_free(&r);
}

static void test_waiting(void)
{
    struct rig r;
    int32_t generation;
    struct coordinator_stats stats;
    rig_init(&r, unit_seed());
    struct str member = rig_stable(&r, "s", &generation);
    r.options.settings.waiting_calls_max = 2;
    set(&r);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "g", NULL, NULL)), -100);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "h", NULL, NULL)), -100);
    coordinator_stats(r.c, &stats);
    CU_ASSERT_EQUAL(stats.waiting_calls, 2);
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "i", NULL, NULL)), KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "i"), "Empty");
    CU_ASSERT_EQUAL(join_error(rig_join(&r, 3, "s", member.p, NULL)),
                    KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "s"), "Stable");
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "s", member, generation), 0);
    rig_free(&r);
}

static int16_t join_protocols(struct rig *r, int32_t n, uint32_t metadata_bytes)
{
    static struct join_group_request_protocol protocols[group_protocols_max + 1];
    static char names[group_protocols_max + 1][8];
    static uint8_t bytes[group_metadata_bytes_max + 1];
    for (int32_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof(names[i]), "p%d", i);
        protocols[i] = (struct join_group_request_protocol){str_from(names[i]),
                                                            {bytes, i == 0 ? metadata_bytes : 0}};
    }
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = STR("g");
    req.member_id = STR("");
    req.session_timeout_ms = 10000;
    req.rebalance_timeout_ms = 10000;
    req.protocol_type = STR("consumer");
    req.protocols = protocols;
    req.n_protocols = n;
    return join_error(rig_join_as(r, 3, &req));
}

static void test_protocols(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(join_protocols(&r, group_protocols_max, 10), -100);
    CU_ASSERT_EQUAL(join_protocols(&r, group_protocols_max + 1, 10),
                    KERR_INCONSISTENT_GROUP_PROTOCOL);
    CU_ASSERT_EQUAL(join_protocols(&r, 1, group_metadata_bytes_max - 2), -100);
    CU_ASSERT_EQUAL(join_protocols(&r, 1, group_metadata_bytes_max - 1), KERR_INVALID_REQUEST);
    rig_free(&r);
}

static void test_offsets(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    r.options.settings.offsets_max = 3;
    set(&r);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", STR(""), -1, "t0", i, 1)), 0);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", STR(""), -1, "t0", 3, 1)),
                    KERR_INVALID_COMMIT_OFFSET_SIZE);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", STR(""), -1, "t0", 2, 9)), 0);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 2), 9);
    rig_free(&r);
}

/* What does not fit into one batch: a commit and an assignment are refused, a deletion is split. */
static void test_batch(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str member = rig_stable(&r, "g", &generation);
    for (int t = 0; t < 4; t++)
        for (int p = 0; p < 4; p++)
            CU_ASSERT_EQUAL(
                rig_commit_error(rig_commit(&r, 9, "s", STR(""), -1, r.topics[t].name, p, 1)), 0);
    r.options.settings.append_bytes_max = 300;
    set(&r);
    struct rig_call *call = rig_commit(&r, 9, "g", member, generation, "t0", 0, 5);
    CU_ASSERT_EQUAL(rig_commit_error(call), 0);
    r.options.settings.append_bytes_max = 100;
    set(&r);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", member, generation, "t0", 0, 6)),
                    KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 5);
    r.options.settings.append_bytes_max = 300;
    set(&r);
    r.durable = false;
    struct rig_call *deletion = rig_call(&r, API_DeleteGroups, 2);
    coordinator_delete(r.c, &deletion->call, STR("s"), r.now);
    rig_pump(&r);
    CU_ASSERT_TRUE(r.n_pending > 1);
    while (r.n_pending > 1)
        rig_durable(&r, 1, 0);
    CU_ASSERT_FALSE(deletion->done);
    rig_durable(&r, 1, 0);
    CU_ASSERT_TRUE(deletion->done);
    r.durable = true;
    CU_ASSERT_TRUE(rig_same_after_replay(&r));
    /* The leader's record does not fit: its members are told, and the group tries again. */
    CU_ASSERT_TRUE(rig_join(&r, 3, "g", member.p, NULL)->done);
    r.options.settings.append_bytes_max = 100;
    set(&r);
    struct rig_call *sync = rig_sync(&r, "g", member, generation + 1, 0, NULL);
    CU_ASSERT_TRUE_FATAL(sync->done);
    CU_ASSERT_EQUAL(rig_synced(sync)->error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    CU_ASSERT_FALSE(coordinator_failed(r.c));
    rig_free(&r);
}

/* Time-outs of years: the timers bear them. */
static void test_long_timeouts(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    r.options.settings.max_session_timeout_ms = INT32_MAX;
    r.options.settings.offsets_retention_check_ms = INT64_MAX;
    rig_restart(&r);
    set(&r);
    struct join_group_request_protocol protocol = {STR("range"), rig_subscription("t0")};
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = STR("g");
    req.member_id = STR("");
    req.session_timeout_ms = INT32_MAX;
    req.rebalance_timeout_ms = INT32_MIN;
    req.protocol_type = STR("consumer");
    req.protocols = &protocol;
    req.n_protocols = 1;
    struct rig_call *call = rig_join_as(&r, 3, &req);
    rig_pass(&r, 3100);
    CU_ASSERT_EQUAL(join_error(call), 0);
    rig_free(&r);
}

static void test_settings(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct group_settings s = r.options.settings;
    s.max_size = 0;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &s), ERR_INVALID);
    s = r.options.settings;
    s.append_bytes_max = 0;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &s), ERR_INVALID);
    rig_free(&r);
}

/* A request whose answer does not fit its arena closes the connection, and harms nothing else. */
static void test_full_arena(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    rig_stable(&r, "g", &generation);
    static const int16_t apis[] = {API_JoinGroup,      API_SyncGroup,    API_Heartbeat,
                                   API_LeaveGroup,     API_OffsetCommit, API_OffsetFetch,
                                   API_DescribeGroups, API_DeleteGroups, API_ListGroups};
    for (size_t i = 0; i < sizeof(apis) / sizeof(apis[0]); i++) {
        struct rig_call *call = rig_call(&r, apis[i], 5);
        call->arena.limit = 4;
        struct join_group_request join = {.group_id = STR("g"), .member_id = STR("m")};
        struct sync_group_request sync = {.group_id = STR("g"), .member_id = STR("m")};
        struct heartbeat_request beat = {.group_id = STR("g"), .member_id = STR("m")};
        struct leave_group_request leave = {.group_id = STR("g")};
        struct offset_commit_request commit = {.group_id = STR("g"), .member_id = STR("m")};
        struct offset_fetch_request_group fetch = {.group_id = STR("g"), .n_topics = -1};
        struct list_groups_request list = {0};
        switch (apis[i]) {
        case API_JoinGroup:
            coordinator_join(r.c, &call->call, &join, r.now);
            break;
        case API_SyncGroup:
            coordinator_sync(r.c, &call->call, &sync, r.now);
            break;
        case API_Heartbeat:
            coordinator_heartbeat(r.c, &call->call, &beat, r.now);
            break;
        case API_LeaveGroup:
            coordinator_leave(r.c, &call->call, &leave, r.now);
            break;
        case API_OffsetCommit:
            coordinator_offset_commit(r.c, &call->call, &commit, r.now);
            break;
        case API_OffsetFetch:
            coordinator_offset_fetch(r.c, &call->call, &fetch, false, r.now);
            break;
        case API_DescribeGroups:
            coordinator_describe(r.c, &call->call, STR("g"), r.now);
            break;
        case API_DeleteGroups:
            coordinator_delete(r.c, &call->call, STR("none"), r.now);
            break;
        default:
            coordinator_list(r.c, &call->call, &list, r.now);
        }
        rig_pump(&r);
        CU_ASSERT_TRUE(call->done);
        CU_ASSERT_PTR_NULL(call->call.response);
    }
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Stable");
    rig_free(&r);
}

UNIT_MAIN("group limits", UNIT_CASE(test_groups), UNIT_CASE(test_members),
          UNIT_CASE(test_smaller_max_size), UNIT_CASE(test_pending), UNIT_CASE(test_waiting),
          UNIT_CASE(test_protocols), UNIT_CASE(test_offsets), UNIT_CASE(test_batch),
          UNIT_CASE(test_long_timeouts), UNIT_CASE(test_settings), UNIT_CASE(test_full_arena))
