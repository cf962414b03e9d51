/*
 * Members as no client should behave: they never sync, two of them use one static id, their time-outs are
 * zero or years. Whoever behaves is served within the time-outs that the group has.
 */
#include <string.h>

#include "tests/unit/control/group/consumer_rig.h"
#include "tests/unit/unit.h"

static struct rig_call *join_with(struct rig *r, const char *group, const char *member,
                                  int32_t session_ms, int32_t rebalance_ms)
{
    struct join_group_request_protocol protocol = {STR("range"), rig_subscription("t0")};
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = str_from(group);
    req.session_timeout_ms = session_ms;
    req.rebalance_timeout_ms = rebalance_ms;
    req.member_id = str_from(member);
    req.protocol_type = STR("consumer");
    req.protocols = &protocol;
    req.n_protocols = 1;
    return rig_join_as(r, 3, &req);
}

static int16_t join_error(const struct rig_call *call)
{
    return call->done ? rig_joined(call)->error_code : -100;
}

/* It keeps its session and joins each time, but never syncs: again and again, and others get through. */
static void test_never_syncs(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    struct str good = rig_stable(&r, "g", &generation); /* rebalance time-out 20 s */
    for (int round = 0; round < 3; round++) {
        struct rig_call *bad = rig_join(&r, 3, "g", NULL, NULL);
        struct rig_call *again = rig_join(&r, 3, "g", good.p, NULL);
        CU_ASSERT_EQUAL_FATAL(join_error(again), 0);
        CU_ASSERT_EQUAL_FATAL(join_error(bad), 0);
        generation = rig_joined(again)->generation_id;
        struct sync_group_request_assignment all = {good, {(const uint8_t *)"all", 3}};
        CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", good, generation, 1, &all))->error_code, 0);
        int32_t waited = 0;
        int16_t kerr = 0;
        for (; kerr == 0 && waited < 30; waited++) {
            rig_pass(&r, 1000);
            rig_heartbeat(&r, "g", rig_joined(bad)->member_id, generation);
            kerr = rig_heartbeat(&r, "g", good, generation);
        }
        CU_ASSERT_EQUAL(kerr, KERR_REBALANCE_IN_PROGRESS);
        CU_ASSERT(waited >= 19 && waited <= 21);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", rig_joined(bad)->member_id, generation),
                        KERR_UNKNOWN_MEMBER_ID);
        again = rig_join(&r, 3, "g", good.p, NULL);
        CU_ASSERT_EQUAL_FATAL(join_error(again), 0);
        CU_ASSERT_EQUAL(rig_joined(again)->n_members, 1);
        generation = rig_joined(again)->generation_id;
        CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", good, generation, 1, &all))->error_code, 0);
    }
    CU_ASSERT(rig_same_after_replay(&r));
    rig_free(&r);
}

/* A classic member of a group of the newer protocol that never syncs: what it was given goes to others. */
static void test_never_syncs_mixed(void)
{
    struct rig r;
    uint32_t parts[rig_topics_max], all[rig_topics_max] = {15};
    crig_init(&r, 1);
    int32_t epoch = crig_join(&r, "g", "new", 1)->member_epoch;
    struct rig_call *bad = join_with(&r, "g", "bad", 30000, 12000);
    CU_ASSERT_EQUAL_FATAL(join_error(bad), 0);
    struct consumer_group_heartbeat_response *p = crig_stay(&r, "g", "new", epoch, all);
    CU_ASSERT(crig_assignment(p, parts));
    p = crig_stay(&r, "g", "new", p->member_epoch, parts);
    int32_t waited = 0;
    for (; consumer_members(crig_group(&r, "g")) > 1 && waited < 30; waited++) {
        rig_pass(&r, 1000);
        rig_heartbeat(&r, "g", STR("bad"), rig_joined(bad)->generation_id);
        p = crig_stay(&r, "g", "new", p->member_epoch, NULL);
        CU_ASSERT_EQUAL(p->error_code, 0);
    }
    CU_ASSERT(waited >= 11 && waited <= 13);
    p = crig_stay(&r, "g", "new", p->member_epoch, parts);
    p = crig_stay(&r, "g", "new", p->member_epoch, NULL);
    CU_ASSERT_STRING_EQUAL(consumer_group_state(crig_group(&r, "g")), "Stable");
    CU_ASSERT_EQUAL(
        consumer_owners(crig_group(&r, "g"), &(struct uuid[]){rig_topic_id("t0")}[0], 0), 1);
    CU_ASSERT_EQUAL(consumer_member_find(crig_group(&r, "g"), STR("new"))->cur.assigned.n, 4);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* --- two members with one static id --- */

static int16_t static_beat(struct rig *r, struct str member, int32_t generation)
{
    struct rig_call *call = rig_call(r, API_Heartbeat, 4);
    struct heartbeat_request req;
    heartbeat_request_init(&req);
    req.group_id = STR("g");
    req.member_id = member;
    req.group_instance_id = STR("i");
    req.generation_id = generation;
    coordinator_heartbeat(r->c, &call->call, &req, r->now);
    rig_pump(r);
    return call->done ? ((struct heartbeat_response *)call->call.response)->error_code : -100;
}

/* Two processes that both insist: the newer always has the seat, the older is always told so. */
static void test_one_static_id(void)
{
    for (int mixed = 0; mixed < 2; mixed++) {
        struct rig r;
        crig_init(&r, 1);
        if (mixed)
            crig_join(&r, "g", "new", 2);
        struct rig_call *a = rig_join(&r, 5, "g", NULL, "i"), *b = NULL;
        rig_pass(&r, 3100);
        CU_ASSERT_EQUAL_FATAL(join_error(a), 0);
        for (int turn = 0; turn < 6; turn++, a = b) {
            rig_sync(&r, "g", rig_joined(a)->member_id, rig_joined(a)->generation_id, 0, NULL);
            b = rig_join(&r, 5, "g", NULL, "i");
            CU_ASSERT_EQUAL_FATAL(join_error(b), 0);
            CU_ASSERT_FALSE(str_eq(rig_joined(a)->member_id, rig_joined(b)->member_id));
            CU_ASSERT_EQUAL(static_beat(&r, rig_joined(a)->member_id, rig_joined(a)->generation_id),
                            KERR_FENCED_INSTANCE_ID);
            struct rig_call *fenced = rig_join(&r, 5, "g", rig_joined(a)->member_id.p, "i");
            CU_ASSERT_EQUAL(join_error(fenced), KERR_FENCED_INSTANCE_ID);
            CU_ASSERT_EQUAL(static_beat(&r, rig_joined(b)->member_id, rig_joined(b)->generation_id),
                            0);
        }
        const struct consumer_group *g = crig_group(&r, "g");
        CU_ASSERT_EQUAL(g != NULL, mixed);
        if (g != NULL) {
            CU_ASSERT_EQUAL(consumer_members(g), 2);
        }
        CU_ASSERT(crig_replay_equals(&r));
        rig_free(&r);
    }
}

/* One of each protocol: only a classic one gives way, one of the newer protocol holds its seat. */
static void test_one_static_id_both_protocols(void)
{
    struct rig r;
    struct beat b = {.group = "g",
                     .member = "n1",
                     .instance = "i",
                     .rebalance_ms = 10000,
                     .names_given = true,
                     .topics = 1,
                     .holds_given = true};
    crig_init(&r, 1);
    crig_join(&r, "g", "other", 2); /* keeps the group one of the newer protocol */
    struct rig_call *classic = rig_join(&r, 5, "g", NULL, "i");
    CU_ASSERT_EQUAL_FATAL(join_error(classic), 0);
    struct consumer_group_heartbeat_response *p = crig_beat(&r, &b);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(
        static_beat(&r, rig_joined(classic)->member_id, rig_joined(classic)->generation_id),
        KERR_FENCED_INSTANCE_ID);
    b.member = "n2";
    CU_ASSERT_EQUAL(crig_beat(&r, &b)->error_code, KERR_UNRELEASED_INSTANCE_ID);
    struct beat stay = {.group = "g", .member = "n1", .instance = "i", .epoch = p->member_epoch};
    CU_ASSERT_EQUAL(crig_beat(&r, &stay)->error_code, 0);
    /* A classic one takes it all the same (Kafka 4.3): the other finds out. */
    classic = rig_join(&r, 5, "g", NULL, "i");
    CU_ASSERT_EQUAL(join_error(classic), 0);
    CU_ASSERT_EQUAL(crig_beat(&r, &stay)->error_code, KERR_FENCED_INSTANCE_ID);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 2);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* --- time-outs of zero and of years --- */

/*
 * A rebalance time-out of zero, as with Kafka: whoever has not synced at once is out, and so is whoever has
 * not joined when another one comes. Nobody waits, and a member with a time of its own is served.
 */
static void test_rebalance_of_zero(void)
{
    static const int32_t none[] = {0, -1, INT32_MIN};
    for (int i = 0; i < 3; i++) {
        struct rig r;
        rig_init(&r, unit_seed());
        struct rig_call *a = join_with(&r, "g", "", 10000, none[i]);
        rig_pass(&r, 3100);
        CU_ASSERT_EQUAL_FATAL(join_error(a), 0);
        CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", rig_joined(a)->member_id,
                                            rig_joined(a)->generation_id, 0, NULL))
                            ->error_code,
                        KERR_UNKNOWN_MEMBER_ID);
        CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Empty");
        struct rig_call *b = join_with(&r, "g", "", 10000, 20000);
        rig_pass(&r, 3100);
        CU_ASSERT_EQUAL_FATAL(join_error(b), 0);
        struct str good = rig_joined(b)->member_id;
        struct rig_call *sync = rig_sync(&r, "g", good, rig_joined(b)->generation_id, 0, NULL);
        CU_ASSERT_EQUAL(rig_synced(sync)->error_code, 0);
        struct rig_call *c = join_with(&r, "g", "", 10000, none[i]);
        b = join_with(&r, "g", good.p, 10000, none[i]);
        CU_ASSERT_EQUAL(join_error(b), 0);
        CU_ASSERT_EQUAL(join_error(c), 0);
        sync = rig_sync(&r, "g", good, rig_joined(b)->generation_id, 0, NULL);
        CU_ASSERT_EQUAL(rig_synced(sync)->error_code, 0);
        rig_pass(&r, 100); /* the other one has not synced */
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", rig_joined(c)->member_id, 3),
                        KERR_UNKNOWN_MEMBER_ID);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", good, rig_joined(b)->generation_id),
                        KERR_UNKNOWN_MEMBER_ID); /* nor joined anew */
        CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Empty");
        CU_ASSERT_FALSE(coordinator_failed(r.c));
        rig_free(&r);
    }
}

/* Of years: a member that does not join again holds the others up to its session, not for years. */
static void test_rebalance_of_years(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    struct rig_call *a = join_with(&r, "g", "", 10000, INT32_MAX);
    rig_pass(&r, 3100);
    CU_ASSERT_EQUAL_FATAL(join_error(a), 0);
    rig_sync(&r, "g", rig_joined(a)->member_id, rig_joined(a)->generation_id, 0, NULL);
    struct rig_call *b = join_with(&r, "g", "", 10000, INT32_MAX);
    rig_pass(&r, 9000);
    CU_ASSERT_FALSE(b->done);
    rig_pass(&r, 1500);
    CU_ASSERT_EQUAL(join_error(b), 0);
    CU_ASSERT_EQUAL(rig_joined(b)->n_members, 1);
    rig_free(&r);
}

/* The newer protocol: what must be given back within no time, or within 24 days. */
static void test_give_back_of_zero_and_years(void)
{
    for (int years = 0; years < 2; years++) {
        struct rig r;
        uint32_t all[rig_topics_max] = {15};
        crig_init(&r, 1);
        struct rig_call *call = rig_call(&r, API_ConsumerGroupHeartbeat, 1);
        struct str topic = STR("t0");
        struct consumer_group_heartbeat_request req;
        consumer_group_heartbeat_request_init(&req);
        req.group_id = STR("g");
        req.member_id = STR("a");
        req.rebalance_timeout_ms = years ? INT32_MAX : 0;
        req.subscribed_topic_names = &topic;
        req.n_subscribed_topic_names = 1;
        req.n_topic_partitions = 0;
        coordinator_consumer_heartbeat(r.c, &call->call, &req, r.now);
        rig_pump(&r);
        struct consumer_group_heartbeat_response *p = call->call.response;
        CU_ASSERT_EQUAL_FATAL(p->error_code, 0);
        int32_t epoch = p->member_epoch;
        CU_ASSERT_EQUAL(crig_join(&r, "g", "b", 1)->error_code, 0);
        crig_stay(&r, "g", "a", epoch, all); /* is told to give two back */
        for (int s = 0; s < 60; s++) {
            rig_pass(&r, 1000);
            crig_stay(&r, "g", "a", epoch, all);
            crig_stay(&r, "g", "b", crig_group(&r, "g")->epoch, NULL);
        }
        bool in = consumer_member_find(crig_group(&r, "g"), STR("a")) != NULL;
        CU_ASSERT_EQUAL(in, years == 1);
        /* But not without heartbeats. */
        rig_pass(&r, 46000);
        CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 0);
        CU_ASSERT(crig_replay_equals(&r));
        rig_free(&r);
    }
}

/* Offsets kept for no time, for longer than there is time, or as the broker says. */
static void test_kept_of_zero_and_years(void)
{
    static const struct {
        int64_t retention_ms;
        bool stays;
    } cases[] = {{0, false}, {INT64_MAX, true}, {1LL << 62, true}, {-1, true}, {INT64_MIN, true}};
    struct rig r;
    rig_init(&r, unit_seed());
    for (int i = 0; i < 5; i++) {
        char group[8];
        snprintf(group, sizeof(group), "g%d", i);
        struct rig_call *call = rig_call(&r, API_OffsetCommit, 4);
        struct offset_commit_request_partition part = {0, 5, -1, -1, STR("")};
        struct offset_commit_request_topic t = {STR("t0"), UUID_ZERO, &part, 1};
        struct offset_commit_request req;
        offset_commit_request_init(&req);
        req.group_id = str_from(group);
        req.member_id = STR("");
        req.retention_time_ms = cases[i].retention_ms;
        req.topics = &t;
        req.n_topics = 1;
        coordinator_offset_commit(r.c, &call->call, &req, r.now);
        rig_pump(&r);
        CU_ASSERT_EQUAL(rig_commit_error(call), 0);
    }
    rig_restart(&r);
    rig_pass(&r, 2 * r.options.settings.offsets_retention_check_ms);
    for (int i = 0; i < 5; i++) {
        char group[8];
        snprintf(group, sizeof(group), "g%d", i);
        CU_ASSERT_EQUAL(rig_fetch(&r, group, "t0", 0), cases[i].stays ? 5 : -1);
    }
    CU_ASSERT(rig_same_after_replay(&r));
    rig_free(&r);
}

UNIT_MAIN("bad members", UNIT_CASE(test_never_syncs), UNIT_CASE(test_never_syncs_mixed),
          UNIT_CASE(test_one_static_id), UNIT_CASE(test_one_static_id_both_protocols),
          UNIT_CASE(test_rebalance_of_zero), UNIT_CASE(test_rebalance_of_years),
          UNIT_CASE(test_give_back_of_zero_and_years), UNIT_CASE(test_kept_of_zero_and_years))
