/* Every state of a classic group against every event: the error and the state after it. */
#include "tests/unit/control/group/rig.h"
#include "tests/unit/unit.h"

enum state { NONE, EMPTY, PREPARING, COMPLETING, STABLE, state_count };

enum event {
    JOIN_NEW,        /* by version 3, without an id */
    JOIN_NEW_V4,     /* by version 4: an id is given out */
    JOIN_MEMBER,     /* the leader of the group, as before */
    JOIN_STRANGER,   /* an id that nobody gave out */
    JOIN_OTHER_TYPE, /* protocol type "connect" */
    SYNC,
    SYNC_OLD,
    SYNC_STRANGER,
    HEARTBEAT,
    HEARTBEAT_OLD,
    HEARTBEAT_STRANGER,
    LEAVE,
    LEAVE_STRANGER,
    COMMIT,
    COMMIT_OLD,
    COMMIT_STRANGER,
    COMMIT_SIMPLE, /* generation -1, no member */
    DELETE,
    SESSION_ENDS, /* of all members */
    event_count
};

/* What a call shows: an error, or that it waits. */
#define WAITS (-100)

static const char *const names[] = {"Dead", "Empty", "PreparingRebalance", "CompletingRebalance",
                                    "Stable"};

struct expect {
    int16_t kerr;
    enum state after;
};

/* SESSION_ENDS is 0: there is no answer to look at. */
static const struct expect table[state_count][event_count] =
    {
        [NONE] =
            {
                [JOIN_NEW] = {WAITS, PREPARING},
                [JOIN_NEW_V4] = {KERR_MEMBER_ID_REQUIRED, EMPTY},
                [JOIN_MEMBER] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [JOIN_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [JOIN_OTHER_TYPE] = {WAITS, PREPARING},
                [SYNC] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [SYNC_OLD] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [SYNC_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [HEARTBEAT] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [HEARTBEAT_OLD] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [HEARTBEAT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [LEAVE] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [LEAVE_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, NONE},
                [COMMIT] = {KERR_ILLEGAL_GENERATION, NONE},
                [COMMIT_OLD] = {KERR_ILLEGAL_GENERATION, NONE},
                [COMMIT_STRANGER] = {KERR_ILLEGAL_GENERATION, NONE},
                [COMMIT_SIMPLE] = {0, EMPTY},
                [DELETE] = {KERR_GROUP_ID_NOT_FOUND, NONE},
                [SESSION_ENDS] = {0, NONE},
            },
        [EMPTY] =
            {
                [JOIN_NEW] = {WAITS, PREPARING},
                [JOIN_NEW_V4] = {KERR_MEMBER_ID_REQUIRED, EMPTY},
                [JOIN_MEMBER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [JOIN_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [JOIN_OTHER_TYPE] = {WAITS, PREPARING},
                [SYNC] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [SYNC_OLD] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [SYNC_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [HEARTBEAT] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [HEARTBEAT_OLD] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [HEARTBEAT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [LEAVE] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [LEAVE_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [COMMIT] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [COMMIT_OLD] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [COMMIT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, EMPTY},
                [COMMIT_SIMPLE] = {0, EMPTY},
                [DELETE] = {0, NONE},
                [SESSION_ENDS] = {0, EMPTY},
            },
        [PREPARING] =
            {
                [JOIN_NEW] = {WAITS, PREPARING},
                [JOIN_NEW_V4] = {KERR_MEMBER_ID_REQUIRED, PREPARING},
                [JOIN_MEMBER] = {0, COMPLETING}, /* the last one that was missing */
                [JOIN_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [JOIN_OTHER_TYPE] = {KERR_INCONSISTENT_GROUP_PROTOCOL, PREPARING},
                [SYNC] = {KERR_REBALANCE_IN_PROGRESS, PREPARING},
                [SYNC_OLD] = {KERR_ILLEGAL_GENERATION, PREPARING},
                [SYNC_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [HEARTBEAT] = {KERR_REBALANCE_IN_PROGRESS, PREPARING},
                [HEARTBEAT_OLD] = {KERR_ILLEGAL_GENERATION, PREPARING},
                [HEARTBEAT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [LEAVE] = {0, COMPLETING}, /* the other one waits already */
                [LEAVE_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [COMMIT] = {0, PREPARING},
                [COMMIT_OLD] = {KERR_ILLEGAL_GENERATION, PREPARING},
                [COMMIT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [COMMIT_SIMPLE] = {KERR_UNKNOWN_MEMBER_ID, PREPARING},
                [DELETE] = {KERR_NON_EMPTY_GROUP, PREPARING},
                [SESSION_ENDS] = {0, COMPLETING}, /* the new one has not begun to be watched */
            },
        [COMPLETING] =
            {
                [JOIN_NEW] = {WAITS, PREPARING},
                [JOIN_NEW_V4] = {KERR_MEMBER_ID_REQUIRED, COMPLETING},
                [JOIN_MEMBER] = {0, COMPLETING}, /* its answer once more */
                [JOIN_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [JOIN_OTHER_TYPE] = {KERR_INCONSISTENT_GROUP_PROTOCOL, COMPLETING},
                [SYNC] = {0, STABLE},
                [SYNC_OLD] = {KERR_ILLEGAL_GENERATION, COMPLETING},
                [SYNC_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [HEARTBEAT] = {0, COMPLETING},
                [HEARTBEAT_OLD] = {KERR_ILLEGAL_GENERATION, COMPLETING},
                [HEARTBEAT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [LEAVE] = {0, PREPARING},
                [LEAVE_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [COMMIT] = {KERR_REBALANCE_IN_PROGRESS, COMPLETING},
                [COMMIT_OLD] = {KERR_ILLEGAL_GENERATION, COMPLETING},
                [COMMIT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [COMMIT_SIMPLE] = {KERR_UNKNOWN_MEMBER_ID, COMPLETING},
                [DELETE] = {KERR_NON_EMPTY_GROUP, COMPLETING},
                [SESSION_ENDS] = {0, EMPTY},
            },
        [STABLE] =
            {
                [JOIN_NEW] = {WAITS, PREPARING},
                [JOIN_NEW_V4] = {KERR_MEMBER_ID_REQUIRED, STABLE},
                [JOIN_MEMBER] = {0, COMPLETING}, /* the leader forces a rebalance, alone in it */
                [JOIN_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [JOIN_OTHER_TYPE] = {KERR_INCONSISTENT_GROUP_PROTOCOL, STABLE},
                [SYNC] = {0, STABLE},
                [SYNC_OLD] = {KERR_ILLEGAL_GENERATION, STABLE},
                [SYNC_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [HEARTBEAT] = {0, STABLE},
                [HEARTBEAT_OLD] = {KERR_ILLEGAL_GENERATION, STABLE},
                [HEARTBEAT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [LEAVE] = {0, EMPTY},
                [LEAVE_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [COMMIT] = {0, STABLE},
                [COMMIT_OLD] = {KERR_ILLEGAL_GENERATION, STABLE},
                [COMMIT_STRANGER] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [COMMIT_SIMPLE] = {KERR_UNKNOWN_MEMBER_ID, STABLE},
                [DELETE] = {KERR_NON_EMPTY_GROUP, STABLE},
                [SESSION_ENDS] = {0, EMPTY},
            },
};

/* The group "g" in a state; its leader and generation, if it has (had) some. */
static void arrange(struct rig *r, enum state state, struct str *leader, int32_t *generation)
{
    *leader = STR("nobody");
    *generation = 1;
    if (state == NONE)
        return;
    *leader = rig_stable(r, "g", generation);
    if (state == EMPTY) {
        CU_ASSERT_EQUAL(rig_leave(r, "g", *leader), 0);
    } else if (state == PREPARING || state == COMPLETING) {
        struct rig_call *other = rig_join(r, 3, "g", NULL, NULL);
        CU_ASSERT_FALSE(other->done);
    }
    if (state == COMPLETING) {
        struct rig_call *again = rig_join(r, 3, "g", leader->p, NULL);
        CU_ASSERT_TRUE(again->done);
        *generation = rig_joined(again)->generation_id;
    }
    CU_ASSERT_STRING_EQUAL(rig_state(r, "g"), names[state]);
}

static int16_t join_error(const struct rig_call *call)
{
    return call->done ? rig_joined(call)->error_code : WAITS;
}

static int16_t join_event(struct rig *r, enum event event, struct str leader)
{
    if (event == JOIN_OTHER_TYPE) {
        struct join_group_request_protocol protocol = {STR("range"), rig_subscription("t0")};
        struct join_group_request req;
        join_group_request_init(&req);
        req.group_id = STR("g");
        req.session_timeout_ms = 10000;
        req.rebalance_timeout_ms = 20000;
        req.member_id = STR("");
        req.protocol_type = STR("connect");
        req.protocols = &protocol;
        req.n_protocols = 1;
        return join_error(rig_join_as(r, 3, &req));
    }
    const char *member = event == JOIN_MEMBER     ? leader.p
                         : event == JOIN_STRANGER ? "stranger"
                                                  : NULL;
    return join_error(rig_join(r, event == JOIN_NEW_V4 ? 4 : 3, "g", member, NULL));
}

static int16_t run_event(struct rig *r, enum event event, struct str leader, int32_t generation)
{
    struct str stranger = STR("stranger");
    struct rig_call *sync;
    switch (event) {
    case SYNC:
    case SYNC_OLD:
    case SYNC_STRANGER:
        sync = rig_sync(r, "g", event == SYNC_STRANGER ? stranger : leader,
                        generation - (event == SYNC_OLD), 0, NULL);
        return sync->done ? rig_synced(sync)->error_code : WAITS;
    case HEARTBEAT:
    case HEARTBEAT_OLD:
    case HEARTBEAT_STRANGER:
        return rig_heartbeat(r, "g", event == HEARTBEAT_STRANGER ? stranger : leader,
                             generation - (event == HEARTBEAT_OLD));
    case LEAVE:
    case LEAVE_STRANGER:
        return rig_leave(r, "g", event == LEAVE ? leader : stranger);
    case COMMIT:
    case COMMIT_OLD:
    case COMMIT_STRANGER:
        return rig_commit_error(rig_commit(r, 8, "g", event == COMMIT_STRANGER ? stranger : leader,
                                           generation - (event == COMMIT_OLD), "t0", 0, 7));
    case COMMIT_SIMPLE:
        return rig_commit_error(rig_commit(r, 8, "g", STR(""), -1, "t0", 0, 7));
    case DELETE:
        return rig_delete(r, "g");
    case SESSION_ENDS:
        rig_pass(r, 10002);
        return 0;
    default:
        return join_event(r, event, leader);
    }
}

static void test_table(void)
{
    for (int s = 0; s < state_count; s++)
        for (int e = 0; e < event_count; e++) {
            struct rig r;
            struct str leader;
            int32_t generation;
            rig_init(&r, unit_seed());
            arrange(&r, (enum state)s, &leader, &generation);
            int16_t kerr = run_event(&r, (enum event)e, leader, generation);
            const char *after = rig_state(&r, "g");
            const struct expect *want = &table[s][e];
            if (kerr != want->kerr || strcmp(after, names[want->after]) != 0)
                printf("state %s event %d: error %d (want %d), then %s (want %s)\n", names[s], e,
                       kerr, want->kerr, after, names[want->after]);
            CU_ASSERT_EQUAL(kerr, want->kerr);
            CU_ASSERT_STRING_EQUAL(after, names[want->after]);
            rig_free(&r);
        }
}

/* Requests that name no group, and time-outs outside the limits. */
static void test_request_checks(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(rig_joined(rig_join(&r, 9, "", NULL, NULL))->error_code, KERR_INVALID_GROUP_ID);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "", STR("m"), 1), KERR_INVALID_GROUP_ID);
    CU_ASSERT_EQUAL(rig_leave(&r, "", STR("m")), KERR_INVALID_GROUP_ID);
    CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "", STR("m"), 1, 0, NULL))->error_code,
                    KERR_INVALID_GROUP_ID);
    struct join_group_request_protocol protocol = {STR("range"), rig_subscription("t0")};
    static const struct {
        int32_t session;
        int16_t kerr;
    } sessions[] = {
        {INT32_MIN, KERR_INVALID_SESSION_TIMEOUT}, {0, KERR_INVALID_SESSION_TIMEOUT},
        {5999, KERR_INVALID_SESSION_TIMEOUT},      {6000, KERR_MEMBER_ID_REQUIRED},
        {1800000, KERR_MEMBER_ID_REQUIRED},        {1800001, KERR_INVALID_SESSION_TIMEOUT},
        {INT32_MAX, KERR_INVALID_SESSION_TIMEOUT}};
    for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
        struct join_group_request req;
        join_group_request_init(&req);
        req.group_id = STR("g");
        req.member_id = STR("");
        req.session_timeout_ms = sessions[i].session;
        req.rebalance_timeout_ms = INT32_MAX;
        req.protocol_type = STR("consumer");
        req.protocols = &protocol;
        req.n_protocols = 1;
        CU_ASSERT_EQUAL(rig_joined(rig_join_as(&r, 9, &req))->error_code, sessions[i].kerr);
    }
    rig_free(&r);
}

/* A sync that names another protocol than the group's. */
static void test_sync_protocol(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str member = rig_stable(&r, "g", &generation);
    static const struct {
        const char *type, *name;
        int16_t kerr;
    } cases[] = {{"consumer", "range", 0},
                 {NULL, NULL, 0},
                 {"connect", "range", KERR_INCONSISTENT_GROUP_PROTOCOL},
                 {"consumer", "sticky", KERR_INCONSISTENT_GROUP_PROTOCOL}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig_call *call = rig_call(&r, API_SyncGroup, 5);
        struct sync_group_request req;
        sync_group_request_init(&req);
        req.group_id = STR("g");
        req.member_id = member;
        req.generation_id = generation;
        req.protocol_type = str_from(cases[i].type);
        req.protocol_name = str_from(cases[i].name);
        coordinator_sync(r.c, &call->call, &req, r.now);
        rig_pump(&r);
        CU_ASSERT_EQUAL(rig_synced(call)->error_code, cases[i].kerr);
        if (cases[i].kerr == 0)
            CU_ASSERT_EQUAL(rig_synced(call)->assignment.len, 3);
    }
    rig_free(&r);
}

UNIT_MAIN("group states", UNIT_CASE(test_table), UNIT_CASE(test_request_checks),
          UNIT_CASE(test_sync_protocol))
