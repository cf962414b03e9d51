/* Classic members and members of the newer protocol in one group; groups that change protocol. */
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/control/group/consumer_rig.h"

typedef struct consumer_group_heartbeat_response resp;

static struct join_group_response *join(struct rig *r, const char *member, const char *instance)
{
    struct rig_call *call = rig_join(r, 5, "g", member, instance);
    return call->done ? call->call.response : NULL;
}

static struct sync_group_response *sync_of(struct rig *r, struct str member, int32_t generation)
{
    struct rig_call *call = rig_sync(r, "g", member, generation, 0, NULL);
    return call->done ? call->call.response : NULL;
}

/* A stable classic group with this one member, which leads it and has taken all of t0. */
static struct str classic_seat(struct rig *r, const char *instance, int32_t *generation)
{
    static const uint8_t all_of_t0[] = {0, 0, 0, 0, 0, 1, 0,   2,   't', '0', 0, 0,
                                        0, 4, 0, 0, 0, 0, 0,   0,   0,   1,   0, 0,
                                        0, 2, 0, 0, 0, 3, 255, 255, 255, 255};
    struct rig_call *call = rig_join(r, instance ? 5 : 3, "g", NULL, instance);
    rig_pass(r, 4000);
    struct join_group_response *p = call->call.response;
    struct sync_group_request_assignment mine = {p->member_id, {all_of_t0, sizeof(all_of_t0)}};
    *generation = p->generation_id;
    CU_ASSERT_TRUE(rig_sync(r, "g", p->member_id, p->generation_id, 1, &mine)->done);
    CU_ASSERT_STRING_EQUAL(rig_state(r, "g"), "Stable");
    return p->member_id;
}

static struct str classic_alone(struct rig *r, int32_t *generation)
{
    return classic_seat(r, NULL, generation);
}

/* The first member of the newer protocol turns a classic group into a consumer group. */
static void test_upgrade_and_back(void)
{
    struct rig r;
    int32_t generation;
    uint32_t parts[rig_topics_max];
    crig_init(&r, 1);
    struct str old = classic_alone(&r, &generation);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 8, "g", old, generation, "t0", 0, 5)), 0);
    resp *p = crig_join(&r, "g", "new", 1);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_epoch, generation + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(crig_group(&r, "g"));
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 2);
    CU_ASSERT(crig_assignment(p, parts));
    CU_ASSERT_EQUAL(parts[0], 0); /* the classic member still has them */
    CU_ASSERT(crig_replay_equals(&r));
    struct consumer_group_describe_response_group *d = crig_describe(&r, "g");
    for (int i = 0; i < d->n_members; i++)
        CU_ASSERT_EQUAL(d->members[i].member_type, !str_eq(d->members[i].member_id, old));
    /* It is sent to join again, gives up everything (eager), and gets its half. */
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation), KERR_REBALANCE_IN_PROGRESS);
    char member[64];
    snprintf(member, sizeof(member), "%.*s", STR_ARG(old));
    struct join_group_response *j = join(&r, member, NULL);
    CU_ASSERT_EQUAL_FATAL(j->error_code, 0);
    CU_ASSERT_EQUAL(j->generation_id, generation + 1);
    CU_ASSERT(str_eqz(j->protocol_name, "range"));
    struct sync_group_response *s = sync_of(&r, j->member_id, j->generation_id);
    CU_ASSERT_EQUAL(s->error_code, 0);
    CU_ASSERT(s->assignment.len > 20);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation + 1), 0);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation), KERR_ILLEGAL_GENERATION);
    CU_ASSERT(crig_assignment(crig_stay(&r, "g", "new", generation + 1, parts), parts));
    CU_ASSERT_EQUAL(__builtin_popcount(parts[0]), 2);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Stable");
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 5);
    /* The last one of the newer protocol goes: a classic group again, in a rebalance. */
    CU_ASSERT_EQUAL(crig_stay(&r, "g", "new", -1, NULL)->error_code, 0);
    CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation + 1), KERR_REBALANCE_IN_PROGRESS);
    j = join(&r, member, NULL);
    CU_ASSERT_EQUAL_FATAL(j->error_code, 0);
    CU_ASSERT(str_eq(j->leader, old));
    CU_ASSERT(crig_replay_equals(&r));
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 5);
    rig_free(&r);
}

static void test_policies(void)
{
    struct rig r;
    int32_t generation;
    crig_init(&r, 1);
    r.options.settings.consumer_migration = GROUP_MIGRATION_DISABLED;
    rig_restart(&r);
    classic_alone(&r, &generation);
    resp *p = crig_join(&r, "g", "new", 1);
    CU_ASSERT_EQUAL(p->error_code, KERR_GROUP_ID_NOT_FOUND);
    CU_ASSERT(str_eqz(p->error_message, "Cannot upgrade classic group g to consumer group because "
                                        "online upgrade is disabled."));
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Stable");
    rig_free(&r);
    crig_init(&r, 1);
    crig_join(&r, "g", "new", 1);
    r.options.settings.consumer_migration = GROUP_MIGRATION_DISABLED;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    CU_ASSERT_EQUAL(join(&r, NULL, "i")->error_code, KERR_INCONSISTENT_GROUP_PROTOCOL);
    rig_free(&r);
    /* Downgrade not allowed: the classic member stays in a consumer group. */
    crig_init(&r, 1);
    r.options.settings.consumer_migration = GROUP_MIGRATION_UPGRADE;
    rig_restart(&r);
    classic_alone(&r, &generation);
    crig_join(&r, "g", "new", 1);
    crig_stay(&r, "g", "new", -1, NULL);
    CU_ASSERT_PTR_NOT_NULL(crig_group(&r, "g"));
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* Empty groups of the other kind just give way; a failed join leaves them alone. */
static void test_empty_groups(void)
{
    struct rig r;
    int32_t generation;
    crig_init(&r, 1);
    struct str old = classic_alone(&r, &generation);
    CU_ASSERT_EQUAL(rig_leave(&r, "g", old), 0);
    struct beat bad = {
        .group = "g", .member = "m", .rebalance_ms = 1, .regex = "(", .holds_given = true};
    CU_ASSERT_EQUAL(crig_beat(&r, &bad)->error_code, KERR_INVALID_REGULAR_EXPRESSION);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Empty");
    CU_ASSERT_EQUAL(crig_join(&r, "g", "m", 1)->member_epoch, 2);
    CU_ASSERT(crig_replay_equals(&r));
    crig_stay(&r, "g", "m", -1, NULL);
    struct rig_call *call = rig_join(&r, 3, "g", NULL, NULL);
    CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
    rig_pass(&r, 4000);
    CU_ASSERT_TRUE(call->done);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/*
 * A classic static member takes over the seat of the last one of the newer protocol. It is not told
 * that it leads, nor is anybody: so the group rebalances, and the next join is a leader's. Also when
 * the topic has grown meanwhile, and when the coordinator starts anew in between.
 */
static void test_static_takeover(void)
{
    static const struct beat b = {.group = "g",
                                  .member = "a",
                                  .instance = "i",
                                  .rebalance_ms = 10000,
                                  .names_given = true,
                                  .topics = 1,
                                  .holds_given = true};
    for (int way = 0; way < 4; way++) {
        struct rig r;
        char member[64];
        crig_init(&r, 1);
        int32_t epoch = crig_beat(&r, &b)->member_epoch;
        if (way & 1) {
            r.topics[0].partitions = 6;
            coordinator_topics_changed(r.c, r.now);
        }
        struct join_group_response *j = join(&r, NULL, "i");
        CU_ASSERT_PTR_NOT_NULL_FATAL(j);
        CU_ASSERT_EQUAL(j->error_code, 0);
        CU_ASSERT_EQUAL(j->generation_id, epoch + (way & 1));
        CU_ASSERT_EQUAL(j->leader.len, 0);
        CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
        CU_ASSERT(crig_replay_equals(&r));
        if (way & 2)
            rig_restart(&r);
        CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
        snprintf(member, sizeof(member), "%.*s", STR_ARG(j->member_id));
        CU_ASSERT_EQUAL(sync_of(&r, j->member_id, j->generation_id)->error_code,
                        KERR_REBALANCE_IN_PROGRESS);
        j = join(&r, member, "i");
        CU_ASSERT_PTR_NOT_NULL_FATAL(j);
        CU_ASSERT_EQUAL(j->error_code, 0);
        CU_ASSERT(str_eqz(j->leader, member));
        CU_ASSERT_EQUAL(j->n_members, 1);
        CU_ASSERT_EQUAL(j->generation_id, epoch + (way & 1) + 1);
        rig_free(&r);
    }
}

/*
 * A member of the newer protocol takes the seat of the only classic one and wants the same topics: what
 * the classic group had not assigned is assigned all the same.
 */
static void test_static_upgrade(void)
{
    struct rig r;
    int32_t generation;
    uint32_t parts[rig_topics_max];
    struct beat b = {.group = "g",
                     .member = "a",
                     .instance = "i",
                     .rebalance_ms = 10000,
                     .names_given = true,
                     .topics = 1,
                     .holds_given = true};
    /* The topic has grown since the leader looked. */
    crig_init(&r, 1);
    classic_seat(&r, "i", &generation);
    r.topics[0].partitions = 6;
    coordinator_topics_changed(r.c, r.now);
    resp *p = crig_beat(&r, &b);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_epoch, generation + 1);
    CU_ASSERT_TRUE(crig_assignment(p, parts));
    CU_ASSERT_EQUAL(parts[0], 0x3f);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 1);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
    /* Its first rebalance is not over: nothing is assigned. */
    crig_init(&r, 1);
    CU_ASSERT_PTR_NULL(join(&r, NULL, "i"));
    p = crig_beat(&r, &b);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_TRUE(crig_assignment(p, parts));
    CU_ASSERT_EQUAL(parts[0], 0xf);
    CU_ASSERT_STRING_EQUAL(consumer_group_state(crig_group(&r, "g")), "Stable");
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

static void test_classic_timeouts(void)
{
    struct rig r;
    int32_t generation;
    crig_init(&r, 1);
    struct str old = classic_alone(&r, &generation);
    crig_join(&r, "g", "new", 1);
    /* It heartbeats but does not join again: out after its rebalance time-out of 20 s. */
    for (int s = 0; s < 19; s++) {
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation), KERR_REBALANCE_IN_PROGRESS);
        rig_pass(&r, 1000);
        crig_stay(&r, "g", "new", generation + 1, NULL);
    }
    rig_pass(&r, 2000);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", old, generation), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 1);
    rig_free(&r);
}

/* Version 0 of JoinGroup has no rebalance time-out: the session's counts. */
static void test_oldest_join(void)
{
    static const uint8_t subscription[] = {0, 0, 0, 0, 0, 1, 0, 2, 't', '0', 255, 255, 255, 255};
    struct join_group_request_protocol protocol = {STR("range"),
                                                   {subscription, sizeof(subscription)}};
    struct join_group_request req;
    struct rig r;
    crig_init(&r, 1);
    crig_join(&r, "g", "new", 1);
    join_group_request_init(&req);
    req.group_id = STR("g");
    req.member_id = STR("");
    req.session_timeout_ms = 10000;
    req.protocol_type = STR("consumer");
    req.protocols = &protocol;
    req.n_protocols = 1;
    CU_ASSERT_EQUAL(req.rebalance_timeout_ms, -1);
    struct rig_call *call = rig_join_as(&r, 0, &req);
    CU_ASSERT_TRUE_FATAL(call->done);
    struct join_group_response *j = call->call.response;
    CU_ASSERT_EQUAL_FATAL(j->error_code, 0);
    struct str member = j->member_id;
    int32_t generation = j->generation_id;
    rig_pass(&r, 9000);
    CU_ASSERT_EQUAL_FATAL(consumer_members(crig_group(&r, "g")), 2);
    CU_ASSERT_EQUAL(sync_of(&r, member, generation)->error_code, 0);
    rig_free(&r);
}

/* Unknown members, wrong generations, protocols that nobody else speaks. */
static void test_bad_requests(void)
{
    struct rig r;
    crig_init(&r, 1);
    crig_join(&r, "g", "new", 1);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("x"), 1), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("new"), 2), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(rig_leave(&r, "g", STR("x")), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(sync_of(&r, STR("new"), 2)->error_code, KERR_UNKNOWN_MEMBER_ID);
    struct join_group_response *j = join(&r, NULL, NULL);
    CU_ASSERT_EQUAL(j->error_code, KERR_MEMBER_ID_REQUIRED);
    struct join_group_request req;
    struct join_group_request_protocol protocol = {STR("range"), {(const uint8_t *)"\0", 1}};
    join_group_request_init(&req);
    req.group_id = STR("g");
    req.session_timeout_ms = 10000;
    req.member_id = STR("y");
    req.protocol_type = STR("connect");
    req.protocols = &protocol;
    req.n_protocols = 1;
    struct rig_call *call = rig_join_as(&r, 5, &req);
    CU_ASSERT_EQUAL(rig_joined(call)->error_code, KERR_INCONSISTENT_GROUP_PROTOCOL);
    req.protocol_type = STR("consumer");
    call = rig_join_as(&r, 5, &req);
    CU_ASSERT_EQUAL(rig_joined(call)->error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 1);
    rig_free(&r);
}

UNIT_MAIN("consumer_mixed", UNIT_CASE(test_upgrade_and_back), UNIT_CASE(test_policies),
          UNIT_CASE(test_empty_groups), UNIT_CASE(test_static_takeover),
          UNIT_CASE(test_static_upgrade), UNIT_CASE(test_classic_timeouts),
          UNIT_CASE(test_oldest_join), UNIT_CASE(test_bad_requests))
