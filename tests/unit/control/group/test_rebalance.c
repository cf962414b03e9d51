/* How a rebalance goes: delays and time-outs, leaders, protocols, static members, generations. */
#include "base/check.h"
#include "tests/unit/control/group/rig.h"
#include "tests/unit/unit.h"

static const struct sync_group_request_assignment *assign_one(struct str member, const char *what)
{
    static struct sync_group_request_assignment a[2];
    static int turn;
    struct sync_group_request_assignment *out = &a[turn++ % 2];
    *out = (struct sync_group_request_assignment){member,
                                                  {(const uint8_t *)what, (uint32_t)strlen(what)}};
    return out;
}

/* The first rebalance waits group.initial.rebalance.delay.ms, again with each new member, but no
 * longer than the rebalance time-out (20 s here). */
static void test_initial_delay(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *first = rig_join(&r, 3, "g", NULL, NULL);
    rig_pass(&r, 2900);
    CU_ASSERT_FALSE(first->done);
    rig_pass(&r, 200);
    CU_ASSERT_TRUE(first->done);
    CU_ASSERT_EQUAL(rig_joined(first)->generation_id, 1);
    struct rig_call *early = rig_join(&r, 3, "h", NULL, NULL);
    struct rig_call *late[7];
    for (int i = 0; i < 7; i++) {
        rig_pass(&r, 2500);
        CU_ASSERT_FALSE(early->done);
        late[i] = rig_join(&r, 3, "h", NULL, NULL);
    }
    rig_pass(&r, 2600); /* 20.1 s, though a member came within the last delay */
    CU_ASSERT_TRUE(early->done);
    CU_ASSERT_TRUE(late[6]->done);
    CU_ASSERT_EQUAL(rig_joined(early)->error_code, 0);
    CU_ASSERT_TRUE(str_eq(rig_joined(early)->leader, rig_joined(early)->member_id));
    CU_ASSERT_EQUAL(rig_joined(early)->n_members, 8);
    CU_ASSERT_EQUAL(rig_joined(late[6])->n_members, 0);
    rig_free(&r);
}

/* A new member rebalances the group; each gets its own assignment, when the record is durable. */
static void test_two_members(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str a = rig_stable(&r, "g", &generation);
    struct rig_call *b_join = rig_join(&r, 9, "g", NULL, NULL);
    CU_ASSERT_EQUAL(rig_joined(b_join)->error_code, KERR_MEMBER_ID_REQUIRED);
    struct str b = rig_joined(b_join)->member_id;
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation), 0); /* a pending id disturbs nobody */
    b_join = rig_join(&r, 9, "g", b.p, NULL);
    CU_ASSERT_FALSE(b_join->done);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation), KERR_REBALANCE_IN_PROGRESS);
    struct rig_call *a_join = rig_join(&r, 9, "g", a.p, NULL);
    CU_ASSERT_TRUE(a_join->done && b_join->done);
    CU_ASSERT_EQUAL(rig_joined(a_join)->generation_id, generation + 1);
    CU_ASSERT_TRUE(str_eq(rig_joined(b_join)->leader, a));
    CU_ASSERT_EQUAL(rig_joined(a_join)->n_members, 2);
    r.durable = false;
    struct rig_call *b_sync = rig_sync(&r, "g", b, generation + 1, 0, NULL);
    struct rig_call *a_sync = rig_sync(&r, "g", a, generation + 1, 1, assign_one(b, "for b"));
    CU_ASSERT_FALSE(a_sync->done || b_sync->done);
    rig_durable(&r, 1, 0);
    CU_ASSERT_TRUE(a_sync->done && b_sync->done);
    CU_ASSERT_EQUAL(rig_synced(a_sync)->assignment.len, 0);
    CU_ASSERT_EQUAL(rig_synced(b_sync)->assignment.len, 5);
    CU_ASSERT_TRUE(str_eqz(rig_synced(b_sync)->protocol_name, "range"));
    r.durable = true;
    rig_restart(&r); /* the group is there as it was */
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", b, generation + 1), 0);
    CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", b, generation + 1, 0, NULL))->assignment.len, 5);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", b, generation), KERR_ILLEGAL_GENERATION);
    rig_free(&r);
}

/* Who does not come back within the rebalance time-out is out, and another one leads. */
static void test_rebalance_timeout(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str a = rig_stable(&r, "g", &generation);
    struct rig_call *b_join = rig_join(&r, 3, "g", NULL, NULL);
    for (int i = 0; i < 9; i++) { /* alive, but does not join */
        rig_pass(&r, 2000);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation), KERR_REBALANCE_IN_PROGRESS);
    }
    CU_ASSERT_FALSE(b_join->done);
    rig_pass(&r, 2100);
    CU_ASSERT_TRUE(b_join->done);
    CU_ASSERT_EQUAL(rig_joined(b_join)->n_members, 1);
    CU_ASSERT_TRUE(str_eq(rig_joined(b_join)->leader, rig_joined(b_join)->member_id));
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation), KERR_UNKNOWN_MEMBER_ID);
    rig_free(&r);
}

/* Who joins and never syncs is out after the rebalance time-out; the others are not stuck. */
static void test_sync_timeout(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str a = rig_stable(&r, "g", &generation);
    struct rig_call *b_join = rig_join(&r, 3, "g", NULL, NULL);
    rig_join(&r, 3, "g", a.p, NULL);
    struct str b = rig_joined(b_join)->member_id;
    struct rig_call *b_sync = rig_sync(&r, "g", b, generation + 1, 0, NULL);
    for (int i = 0; i < 9; i++) { /* the leader is alive, but does not sync */
        rig_pass(&r, 2000);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation + 1), 0);
    }
    CU_ASSERT_FALSE(b_sync->done);
    rig_pass(&r, 2100);
    CU_ASSERT_TRUE(b_sync->done);
    CU_ASSERT_EQUAL(rig_synced(b_sync)->error_code, KERR_REBALANCE_IN_PROGRESS);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", a, generation + 1), KERR_UNKNOWN_MEMBER_ID);
    b_join = rig_join(&r, 3, "g", b.p, NULL);
    CU_ASSERT_TRUE(b_join->done);
    CU_ASSERT_EQUAL(rig_joined(b_join)->n_members, 1);
    rig_free(&r);
}

static struct join_group_request request_with(const char *group, struct str member,
                                              struct join_group_request_protocol *protocols,
                                              int32_t n)
{
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = str_from(group);
    req.member_id = member;
    req.session_timeout_ms = 10000;
    req.rebalance_timeout_ms = 20000;
    req.protocol_type = STR("consumer");
    req.protocols = protocols;
    req.n_protocols = n;
    return req;
}

/* The members vote among the protocols that all of them have. */
static void test_protocol_votes(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct proto_bytes m = {(const uint8_t *)"x", 1};
    struct join_group_request_protocol ab[] = {{STR("a"), m}, {STR("b"), m}, {STR("only1"), m}};
    struct join_group_request_protocol ba[] = {{STR("only2"), m}, {STR("b"), m}, {STR("a"), m}};
    struct join_group_request_protocol bb[] = {{STR("b"), m}, {STR("b"), m}, {STR("a"), m}};
    struct join_group_request_protocol none[] = {{STR("c"), m}};
    struct join_group_request reqs[] = {request_with("g", STR(""), ab, 3),
                                        request_with("g", STR(""), ba, 3),
                                        request_with("g", STR(""), bb, 3)};
    struct rig_call *calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = rig_join_as(&r, 3, &reqs[i]);
    struct join_group_request bad = request_with("g", STR(""), none, 1);
    CU_ASSERT_EQUAL(rig_joined(rig_join_as(&r, 3, &bad))->error_code,
                    KERR_INCONSISTENT_GROUP_PROTOCOL);
    bad.n_protocols = 0;
    CU_ASSERT_EQUAL(rig_joined(rig_join_as(&r, 3, &bad))->error_code,
                    KERR_INCONSISTENT_GROUP_PROTOCOL);
    rig_pass(&r, 6100);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE_FATAL(calls[i]->done);
        CU_ASSERT_TRUE(str_eqz(rig_joined(calls[i])->protocol_name, "b"));
    }
    rig_free(&r);
}

/* A static member that comes back takes its place, without a rebalance; the old one is fenced. */
static void test_static(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *join = rig_join(&r, 9, "g", NULL, "one");
    rig_pass(&r, 3100);
    struct str old = rig_joined(join)->member_id;
    CU_ASSERT_EQUAL(strncmp(old.p, "one-", 4), 0);
    CU_ASSERT_TRUE(rig_sync(&r, "g", old, 1, 1, assign_one(old, "mine"))->done);
    struct rig_call *again = rig_join(&r, 9, "g", NULL, "one");
    CU_ASSERT_TRUE_FATAL(again->done);
    struct str new = rig_joined(again)->member_id;
    CU_ASSERT_EQUAL(rig_joined(again)->generation_id, 1);
    CU_ASSERT_TRUE(rig_joined(again)->skip_assignment);
    CU_ASSERT_EQUAL(rig_joined(again)->n_members, 1);
    CU_ASSERT_FALSE(str_eq(old, new));
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, 1), KERR_UNKNOWN_MEMBER_ID);
    struct rig_call *fenced = rig_join(&r, 9, "g", old.p, "one");
    CU_ASSERT_EQUAL(rig_joined(fenced)->error_code, KERR_FENCED_INSTANCE_ID);
    CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", new, 1, 0, NULL))->assignment.len, 4);
    rig_restart(&r); /* the new id is in the log */
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", new, 1), 0);
    /* A client that cannot skip the assignment must not find itself the leader. */
    struct rig_call *v7 = rig_join(&r, 7, "g", NULL, "one");
    CU_ASSERT_EQUAL(rig_joined(v7)->error_code, 0);
    CU_ASSERT_FALSE(str_eq(rig_joined(v7)->leader, rig_joined(v7)->member_id));
    CU_ASSERT_EQUAL(rig_joined(v7)->n_members, 0);
    rig_free(&r);
}

/* In a rebalance that completes, the leader may know the old id already: assign anew. */
static void test_static_in_rebalance(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str a = rig_stable(&r, "g", &generation);
    struct rig_call *b = rig_join(&r, 9, "g", NULL, "b");
    struct rig_call *b2 = rig_join(&r, 9, "g", NULL, "b"); /* while it is prepared */
    CU_ASSERT_EQUAL(rig_joined(b)->error_code, KERR_FENCED_INSTANCE_ID);
    CU_ASSERT_FALSE(b2->done);
    rig_join(&r, 9, "g", a.p, NULL);
    CU_ASSERT_TRUE(b2->done);
    struct rig_call *sync = rig_sync(&r, "g", rig_joined(b2)->member_id, generation + 1, 0, NULL);
    CU_ASSERT_FALSE(sync->done);
    struct rig_call *b3 = rig_join(&r, 9, "g", NULL, "b"); /* while it completes */
    CU_ASSERT_EQUAL(rig_synced(sync)->error_code, KERR_FENCED_INSTANCE_ID);
    CU_ASSERT_FALSE(b3->done);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    rig_free(&r);
}

/* LeaveGroup by several members, by instance id, and what the newer versions tell of each. */
static void test_leave(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *one = rig_join(&r, 9, "g", NULL, "one");
    struct rig_call *two = rig_join(&r, 3, "g", NULL, NULL);
    struct rig_call *pending = rig_join(&r, 9, "g", NULL, NULL);
    rig_pass(&r, 6100);
    CU_ASSERT_TRUE_FATAL(one->done && two->done);
    struct rig_call *call = rig_call(&r, API_LeaveGroup, 5);
    struct leave_group_request_member members[] = {
        {STR(""), STR("one"), STR("because")},
        {rig_joined(pending)->member_id, STR_NULL, STR_NULL},
        {STR("stranger"), STR_NULL, STR_NULL},
        {STR("stranger"), STR("one"), STR_NULL}, /* is gone by now */
        {STR(""), STR_NULL, STR_NULL},
    };
    static const int16_t want[] = {0, 0, KERR_UNKNOWN_MEMBER_ID, KERR_UNKNOWN_MEMBER_ID,
                                   KERR_UNKNOWN_MEMBER_ID};
    struct leave_group_request req;
    leave_group_request_init(&req);
    req.group_id = STR("g");
    req.members = members;
    req.n_members = 5;
    coordinator_leave(r.c, &call->call, &req, r.now);
    rig_pump(&r);
    const struct leave_group_response *resp = call->call.response;
    CU_ASSERT_EQUAL(resp->error_code, 0);
    CU_ASSERT_EQUAL_FATAL(resp->n_members, 5);
    for (int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(resp->members[i].error_code, want[i]);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", rig_joined(two)->member_id, 1),
                    KERR_REBALANCE_IN_PROGRESS);
    rig_free(&r);
}

/* A member that waits, and whose connection went away, is not answered, and leaves by its session. */
static void test_cancel(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str a = rig_stable(&r, "g", &generation);
    struct rig_call *b = rig_join(&r, 3, "g", NULL, NULL);
    coordinator_cancel(r.c, &b->call);
    coordinator_cancel(r.c, &b->call);
    struct rig_call *again = rig_join(&r, 3, "g", a.p, NULL);
    CU_ASSERT_TRUE(again->done);
    CU_ASSERT_FALSE(b->done);
    CU_ASSERT_EQUAL(rig_joined(again)->n_members, 2);
    CU_ASSERT_TRUE(rig_sync(&r, "g", a, generation + 1, 0, NULL)->done);
    for (int i = 0; i < 3; i++) {
        rig_pass(&r, 4000);
        rig_heartbeat(&r, "g", a, generation + 1);
    }
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    again = rig_join(&r, 3, "g", a.p, NULL);
    CU_ASSERT_EQUAL(rig_joined(again)->n_members, 1);
    /* One that waits for its append, and one whose reply is ready. */
    r.durable = false;
    struct rig_call *commit = rig_commit(&r, 9, "s", STR(""), -1, "t0", 0, 1);
    coordinator_cancel(r.c, &commit->call);
    rig_durable(&r, 1, 0);
    CU_ASSERT_FALSE(commit->done);
    CU_ASSERT_EQUAL(rig_fetch(&r, "s", "t0", 0), 1);
    rig_free(&r);
}

/* Whoever waits is told when the partition moves away. */
static void test_close(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *join = rig_join(&r, 3, "g", NULL, NULL);
    coordinator_close(r.c, KERR_NOT_COORDINATOR);
    rig_pump(&r);
    CU_ASSERT_TRUE_FATAL(join->done);
    CU_ASSERT_EQUAL(rig_joined(join)->error_code, KERR_NOT_COORDINATOR);
    CU_ASSERT_EQUAL(coordinator_next_deadline(r.c), INT64_MAX);
    rig_free(&r);
}

static int32_t list(struct rig *r, const char *state, const char *type)
{
    struct rig_call *call = rig_call(r, API_ListGroups, 5);
    struct str s = str_from(state), t = str_from(type);
    struct list_groups_request req = {&s, state != NULL, &t, type != NULL};
    coordinator_list(r->c, &call->call, &req, r->now);
    rig_pump(r);
    return ((struct list_groups_response *)call->call.response)->n_groups;
}

static void test_list(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    rig_stable(&r, "stable", &generation);
    rig_join(&r, 3, "preparing", NULL, NULL);
    rig_commit(&r, 9, "empty", STR(""), -1, "t0", 0, 1);
    static const struct {
        const char *state, *type;
        int32_t groups;
    } cases[] = {{NULL, NULL, 3},
                 {"Stable", NULL, 1},
                 {" sTaBLe ", NULL, 1},
                 {"Unknown", NULL, 0},
                 {NULL, "classic", 3},
                 {NULL, "CLASSIC", 3},
                 {NULL, "consumer", 0},
                 {NULL, "nonsense", 0},
                 {"empty", "Classic", 1},
                 {"empty", "consumer", 0},
                 {"PREPARINGREBALANCE", NULL, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_EQUAL(list(&r, cases[i].state, cases[i].type), cases[i].groups);
    rig_free(&r);
}

static void test_describe(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    for (int16_t v = 5; v <= 6; v++) {
        struct rig_call *call = rig_call(&r, API_DescribeGroups, v);
        coordinator_describe(r.c, &call->call, STR("none"), r.now);
        rig_pump(&r);
        const struct describe_groups_response_group *d = call->call.response;
        CU_ASSERT_TRUE(str_eqz(d->group_state, "Dead"));
        CU_ASSERT_EQUAL(d->error_code, v >= 6 ? KERR_GROUP_ID_NOT_FOUND : 0);
        CU_ASSERT_TRUE(v < 6 ? str_is_null(d->error_message)
                             : str_eqz(d->error_message, "Group none not found."));
    }
    rig_free(&r);
}

UNIT_MAIN("group rebalance", UNIT_CASE(test_initial_delay), UNIT_CASE(test_two_members),
          UNIT_CASE(test_rebalance_timeout), UNIT_CASE(test_sync_timeout),
          UNIT_CASE(test_protocol_votes), UNIT_CASE(test_static),
          UNIT_CASE(test_static_in_rebalance), UNIT_CASE(test_leave), UNIT_CASE(test_cancel),
          UNIT_CASE(test_close), UNIT_CASE(test_list), UNIT_CASE(test_describe))
