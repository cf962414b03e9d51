/* ConsumerGroupHeartbeat (KIP-848), case by case. */
#include "tests/unit/unit.h"

#include <string.h>

#include "tests/unit/control/group/consumer_rig.h"

typedef struct consumer_group_heartbeat_response resp;

static const uint32_t nothing[rig_topics_max];

static uint32_t bits(const resp *p, int topic)
{
    uint32_t parts[rig_topics_max];
    return crig_assignment(p, parts) ? parts[topic] : UINT32_MAX;
}

static int count_bits(uint32_t v)
{
    return __builtin_popcount(v);
}

static void test_validation(void)
{
    static const struct {
        struct beat b;
        int16_t code;
        const char *message;
    } rows[] = {
        {{.group = "g"}, KERR_INVALID_REQUEST, "MemberId can't be empty."},
        {{.group = " ", .member = "m"}, KERR_INVALID_REQUEST, "GroupId can't be empty."},
        {{.group = "g", .member = "m", .instance = ""},
         KERR_INVALID_REQUEST,
         "InstanceId can't be empty."},
        {{.group = "g", .member = "m", .rack = " "},
         KERR_INVALID_REQUEST,
         "RackId can't be empty."},
        {{.group = "g", .member = "m"},
         KERR_INVALID_REQUEST,
         "RebalanceTimeoutMs must be provided in first request."},
        {{.group = "g", .member = "m", .rebalance_ms = 1},
         KERR_INVALID_REQUEST,
         "TopicPartitions must be empty when (re-)joining."},
        {{.group = "g", .member = "m", .rebalance_ms = 1, .holds_given = true},
         KERR_INVALID_REQUEST,
         "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."},
        {{.group = "g", .member = "m", .epoch = -2},
         KERR_INVALID_REQUEST,
         "InstanceId can't be null."},
        {{.group = "g", .member = "m", .epoch = -3},
         KERR_INVALID_REQUEST,
         "MemberEpoch is invalid."},
        {{.group = "g", .member = "m", .epoch = 1, .assignor = "sticky"},
         KERR_UNSUPPORTED_ASSIGNOR,
         "ServerAssignor sticky is not supported. Supported assignors: uniform, range."},
        {{.group = "g", .member = "m", .epoch = 1},
         KERR_GROUP_ID_NOT_FOUND,
         "Consumer group g not found."},
        {{.group = "g", .member = "m", .epoch = -1}, KERR_GROUP_ID_NOT_FOUND, "Group g not found."},
        {{.group = "g", .member = "m", .rebalance_ms = 1, .holds_given = true, .regex = "a("},
         KERR_INVALID_REGULAR_EXPRESSION,
         "SubscribedTopicRegex `a(` is not a valid regular expression: missing closing )."},
    };
    struct rig r;
    crig_init(&r, 1);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        resp *p = crig_beat(&r, &rows[i].b);
        CU_ASSERT_EQUAL(p->error_code, rows[i].code);
        if (!str_eqz(p->error_message, rows[i].message))
            printf("row %zu: %.*s\n", i, STR_ARG(p->error_message));
        CU_ASSERT(str_eqz(p->error_message, rows[i].message));
    }
    /* Nothing of this left a trace. */
    CU_ASSERT_EQUAL(r.log_count, 0);
    CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
    rig_free(&r);
}

/* In v0 the coordinator makes the member id. */
static void test_join_v0(void)
{
    struct rig r;
    struct beat b = {
        .group = "g", .rebalance_ms = 1000, .names_given = true, .topics = 1, .holds_given = true};
    crig_init(&r, 1);
    resp *p = crig_send(&r, 0, &b)->call.response;
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_id.len, UUID_TEXT_LEN);
    CU_ASSERT_EQUAL(p->member_epoch, 2);
    CU_ASSERT_EQUAL(p->heartbeat_interval_ms, 5000);
    CU_ASSERT_EQUAL(bits(p, 0), 15);
    rig_free(&r);
}

/* Two members share a topic: the second gets its half when the first has let go. */
static void test_two_members(void)
{
    struct rig r;
    uint32_t held[rig_topics_max] = {15};
    crig_init(&r, 1);
    resp *a = crig_join(&r, "g", "a", 1);
    CU_ASSERT_EQUAL(a->member_epoch, 2);
    CU_ASSERT_EQUAL(bits(a, 0), 15);
    resp *b = crig_join(&r, "g", "b", 1);
    CU_ASSERT_EQUAL(b->member_epoch, 3);
    CU_ASSERT_EQUAL(bits(b, 0), 0);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Reconciling");
    /* The first is told to keep half; its epoch stays until it has given the rest back. */
    a = crig_stay(&r, "g", "a", 2, NULL);
    uint32_t half = bits(a, 0);
    CU_ASSERT_EQUAL(a->member_epoch, 2);
    CU_ASSERT_EQUAL(count_bits(half), 2);
    /* Nothing new is no assignment. */
    a = crig_stay(&r, "g", "a", 2, held);
    CU_ASSERT_EQUAL(a->member_epoch, 2);
    CU_ASSERT_EQUAL(bits(a, 0), UINT32_MAX);
    b = crig_stay(&r, "g", "b", 3, nothing);
    CU_ASSERT_EQUAL(bits(b, 0), UINT32_MAX);
    held[0] = half;
    a = crig_stay(&r, "g", "a", 2, held);
    CU_ASSERT_EQUAL(a->member_epoch, 3);
    b = crig_stay(&r, "g", "b", 3, nothing);
    CU_ASSERT_EQUAL(bits(b, 0), 15u & ~half);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Stable");
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

static int16_t stay_code(struct rig *r, const char *member, int32_t epoch, const uint32_t *holds)
{
    return crig_stay(r, "g", member, epoch, holds)->error_code;
}

static void test_fencing(void)
{
    struct rig r;
    uint32_t all[rig_topics_max] = {15}, foreign[rig_topics_max] = {0, 1};
    crig_init(&r, 1);
    crig_join(&r, "g", "a", 1);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 3, NULL), KERR_FENCED_MEMBER_EPOCH);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 1, NULL), KERR_FENCED_MEMBER_EPOCH);
    CU_ASSERT_EQUAL(stay_code(&r, "x", 2, NULL), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 2, NULL), 0);
    /* The epoch goes on; the one before will do for a member that holds nothing foreign. */
    struct beat more = {.group = "g", .member = "a", .epoch = 2, .names_given = true, .topics = 3};
    CU_ASSERT_EQUAL(crig_beat(&r, &more)->member_epoch, 3);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 2, all), 0);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 2, NULL), KERR_FENCED_MEMBER_EPOCH);
    foreign[7] = 1;
    CU_ASSERT_EQUAL(stay_code(&r, "a", 2, foreign), KERR_FENCED_MEMBER_EPOCH);
    rig_free(&r);
}

static void test_leave_and_timeouts(void)
{
    struct rig r;
    uint32_t all[rig_topics_max] = {15};
    crig_init(&r, 1);
    crig_join(&r, "g", "a", 1);
    resp *p = crig_stay(&r, "g", "a", -1, NULL);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_epoch, -1);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Empty");
    crig_join(&r, "g", "a", 1);
    rig_pass(&r, 44000);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 1);
    rig_pass(&r, 2000);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 0);
    CU_ASSERT_EQUAL(stay_code(&r, "a", 5, NULL), KERR_UNKNOWN_MEMBER_ID);
    /* A member that does not give back in time is out: rebalance_timeout_ms is 10 s here. */
    int32_t epoch = crig_join(&r, "g", "a", 1)->member_epoch;
    crig_join(&r, "g", "b", 1);
    CU_ASSERT_EQUAL(count_bits(bits(crig_stay(&r, "g", "a", epoch, all), 0)), 2);
    for (int s = 0; s < 9; s++) {
        rig_pass(&r, 1000);
        CU_ASSERT_EQUAL(stay_code(&r, "a", epoch, all), 0);
    }
    rig_pass(&r, 2000);
    CU_ASSERT_EQUAL(stay_code(&r, "a", epoch, all), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

static resp *static_join(struct rig *r, const char *member, const char *instance)
{
    struct beat b = {.group = "g",
                     .member = member,
                     .instance = instance,
                     .rebalance_ms = 10000,
                     .names_given = true,
                     .topics = 1,
                     .holds_given = true};
    return crig_beat(r, &b);
}

static resp *static_stay(struct rig *r, const char *member, const char *instance, int32_t epoch)
{
    struct beat b = {.group = "g", .member = member, .instance = instance, .epoch = epoch};
    return crig_beat(r, &b);
}

static void test_static(void)
{
    struct rig r;
    crig_init(&r, 1);
    resp *p = static_join(&r, "a1", "i");
    int32_t epoch = p->member_epoch;
    CU_ASSERT_EQUAL(static_join(&r, "a2", "i")->error_code, KERR_UNRELEASED_INSTANCE_ID);
    CU_ASSERT_EQUAL(static_stay(&r, "a2", "i", epoch)->error_code, KERR_FENCED_INSTANCE_ID);
    CU_ASSERT_EQUAL(static_stay(&r, "a1", "k", epoch)->error_code, KERR_UNKNOWN_MEMBER_ID);
    p = static_stay(&r, "a1", "i", -2);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_epoch, -2);
    CU_ASSERT_EQUAL(crig_describe(&r, "g")->members[0].member_epoch, -2);
    /* Its successor takes the seat, with everything on it and no new group epoch. */
    int32_t group_epoch = crig_group(&r, "g")->epoch;
    p = static_join(&r, "a2", "i");
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->member_epoch, epoch);
    CU_ASSERT_EQUAL(bits(p, 0), 15);
    CU_ASSERT_EQUAL(crig_group(&r, "g")->epoch, group_epoch);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 1);
    /* A seat that nobody takes again is given up with the session. */
    static_stay(&r, "a2", "i", -2);
    rig_pass(&r, 46000);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 0);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

static void test_regex(void)
{
    struct rig r;
    struct beat b = {
        .group = "g", .member = "a", .rebalance_ms = 10000, .regex = "t[01]", .holds_given = true};
    crig_init(&r, 1);
    /* First nothing; the expression is resolved right after the answer, the next beat brings it. */
    resp *p = crig_beat(&r, &b);
    CU_ASSERT_EQUAL(p->member_epoch, 1);
    CU_ASSERT_EQUAL(bits(p, 0), 0);
    rig_pass(&r, 10);
    p = crig_stay(&r, "g", "a", 1, nothing);
    CU_ASSERT_EQUAL(p->member_epoch, 2);
    CU_ASSERT_EQUAL(bits(p, 0), 15);
    CU_ASSERT_EQUAL(bits(p, 1), 15);
    CU_ASSERT_EQUAL(bits(p, 2), 0);
    /* A new topic does not match; one that does comes with the next look, not within ten seconds. */
    r.topics[4] = (struct rig_topic){"t4", 2, false};
    coordinator_topics_changed(r.c, r.now);
    struct beat wide = {.group = "g", .member = "a", .epoch = 2, .regex = "t[0-9]"};
    crig_beat(&r, &wide);
    rig_pass(&r, 10);
    CU_ASSERT_FALSE(crig_group(&r, "g")->resolve);
    for (int i = 0; i < 11; i++) {
        rig_pass(&r, 1000);
        p = crig_stay(&r, "g", "a", crig_describe(&r, "g")->members[0].member_epoch, nothing);
        CU_ASSERT_EQUAL(p->error_code, 0);
    }
    uint32_t parts[rig_topics_max];
    struct beat full = {.group = "g",
                        .member = "a",
                        .epoch = p->member_epoch,
                        .rebalance_ms = 10000,
                        .regex = "t[0-9]",
                        .holds_given = true};
    CU_ASSERT(crig_assignment(crig_beat(&r, &full), parts));
    CU_ASSERT_EQUAL(parts[3], 15);
    CU_ASSERT_EQUAL(parts[4], 3);
    CU_ASSERT(crig_replay_equals(&r));
    /* Back to names: the expression's records go. */
    struct beat names = {.group = "g",
                         .member = "a",
                         .epoch = p->member_epoch,
                         .names_given = true,
                         .topics = 1,
                         .regex = ""};
    CU_ASSERT_EQUAL(crig_beat(&r, &names)->error_code, 0);
    CU_ASSERT_EQUAL(crig_group(&r, "g")->regexes.count, 0);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* Topics that grow, go and come are noticed by the next heartbeat. */
static void test_metadata(void)
{
    struct rig r;
    uint32_t held[rig_topics_max] = {15, 15};
    crig_init(&r, 1);
    CU_ASSERT_EQUAL(crig_join(&r, "g", "a", 0x13)->member_epoch, 2);
    r.topics[0].partitions = 6;
    coordinator_topics_changed(r.c, r.now);
    resp *p = crig_stay(&r, "g", "a", 2, held);
    CU_ASSERT_EQUAL(p->member_epoch, 3);
    CU_ASSERT_EQUAL(bits(p, 0), 63);
    held[0] = 63;
    r.topics[1].gone = true;
    r.topics[4] = (struct rig_topic){"t4", 1, false};
    coordinator_topics_changed(r.c, r.now);
    p = crig_stay(&r, "g", "a", 3, held);
    CU_ASSERT_EQUAL(bits(p, 1), 0);
    held[1] = 0;
    p = crig_stay(&r, "g", "a", p->member_epoch, held);
    CU_ASSERT_EQUAL(bits(p, 4), 1);
    CU_ASSERT_EQUAL(p->member_epoch, 4);
    uint32_t records = r.log_count;
    CU_ASSERT_EQUAL(stay_code(&r, "a", 4, NULL), 0);
    CU_ASSERT_EQUAL(r.log_count, records); /* a heartbeat without news writes nothing */
    rig_free(&r);
}

/* The next target waits for group.consumer.assignment.interval.ms. */
static void test_interval(void)
{
    struct rig r;
    crig_init(&r, 1);
    r.options.settings.consumer_assignment_interval_ms = 1000;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    CU_ASSERT_EQUAL(crig_join(&r, "g", "a", 1)->member_epoch, 2);
    CU_ASSERT_EQUAL(crig_join(&r, "g", "b", 1)->member_epoch, 2);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Assigning");
    rig_pass(&r, 1000);
    CU_ASSERT_EQUAL(count_bits(bits(crig_stay(&r, "g", "a", 2, NULL), 0)), 2);
    CU_ASSERT_STRING_EQUAL(crig_describe(&r, "g")->group_state.p, "Reconciling");
    rig_free(&r);
}

static void overrides(void *ctx, struct str group_id, struct group_settings *inout)
{
    if (str_eqz(group_id, "special")) {
        inout->consumer_session_timeout_ms = 60000;
        inout->consumer_heartbeat_interval_ms = 7000;
    }
}

static void test_settings(void)
{
    struct rig r;
    crig_init(&r, 1);
    r.options.overrides = (struct group_overrides){NULL, overrides};
    r.options.settings.consumer_max_size = 1;
    r.options.settings.n_consumer_assignors = 1;
    r.options.settings.consumer_assignors[0] = GROUP_ASSIGNOR_RANGE;
    rig_restart(&r);
    CU_ASSERT_EQUAL(crig_join(&r, "special", "a", 1)->heartbeat_interval_ms, 7000);
    CU_ASSERT_EQUAL(crig_join(&r, "g", "a", 1)->heartbeat_interval_ms, 5000);
    resp *p = crig_join(&r, "g", "b", 1);
    CU_ASSERT_EQUAL(p->error_code, KERR_GROUP_MAX_SIZE_REACHED);
    CU_ASSERT(str_eqz(p->error_message,
                      "The consumer group has reached its maximum capacity of 1 members."));
    CU_ASSERT(str_eqz(crig_describe(&r, "g")->assignor_name, "range"));
    rig_pass(&r, 50000);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 0);
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "special")), 1);
    rig_free(&r);
}

static int16_t commit(struct rig *r, const char *member, int32_t epoch, int partition)
{
    return rig_commit_error(rig_commit(r, 9, "g", str_from(member), epoch, "t0", partition, 7));
}

static void test_offsets(void)
{
    struct rig r;
    crig_init(&r, 1);
    crig_join(&r, "g", "a", 1);
    CU_ASSERT_EQUAL(commit(&r, "a", 2, 0), 0);
    CU_ASSERT_EQUAL(commit(&r, "a", 3, 0), KERR_STALE_MEMBER_EPOCH);
    CU_ASSERT_EQUAL(commit(&r, "x", 2, 0), KERR_UNKNOWN_MEMBER_ID);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 8, "g", STR("a"), 2, "t0", 0, 1)),
                    KERR_UNSUPPORTED_VERSION);
    /* An older epoch may still commit what it has held since. */
    struct beat more = {.group = "g", .member = "a", .epoch = 2, .names_given = true, .topics = 3};
    CU_ASSERT_EQUAL(crig_beat(&r, &more)->member_epoch, 3);
    CU_ASSERT_EQUAL(commit(&r, "a", 2, 0), 0);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", STR("a"), 2, "t1", 0, 1)),
                    KERR_STALE_MEMBER_EPOCH);
    CU_ASSERT_EQUAL(rig_delete(&r, "g"), KERR_NON_EMPTY_GROUP);
    crig_stay(&r, "g", "a", -1, NULL);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 7);
    CU_ASSERT_EQUAL(rig_delete(&r, "g"), 0);
    CU_ASSERT_EQUAL(crig_describe(&r, "g")->error_code, KERR_GROUP_ID_NOT_FOUND);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* A join with that many topic names. */
static int16_t join_names(struct rig *r, const char *member, int32_t n, int first)
{
    struct rig_call *call = rig_call(r, API_ConsumerGroupHeartbeat, 1);
    struct consumer_group_heartbeat_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    consumer_group_heartbeat_request_init(req);
    req->group_id = STR("g");
    req->member_id = str_from(member);
    req->rebalance_timeout_ms = 1000;
    req->topic_partitions = arena_calloc(&call->arena, 1, sizeof(*req->topic_partitions));
    req->n_topic_partitions = 0;
    req->subscribed_topic_names = arena_calloc(&call->arena, (size_t)n, sizeof(struct str));
    req->n_subscribed_topic_names = n;
    for (int32_t i = 0; i < n; i++)
        req->subscribed_topic_names[i] = arena_printf(&call->arena, "topic-%d", first + i);
    coordinator_consumer_heartbeat(r->c, &call->call, req, r->now);
    rig_pump(r);
    CU_ASSERT_TRUE_FATAL(call->done);
    return ((resp *)call->call.response)->error_code;
}

static void test_limits(void)
{
    struct rig r;
    char text[16];
    crig_init(&r, 1);
    CU_ASSERT_EQUAL(join_names(&r, "a", consumer_names_max + 1, 0), KERR_INVALID_REQUEST);
    CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
    CU_ASSERT_EQUAL(join_names(&r, "a", consumer_names_max, 0), 0);
    r.options.settings.members_max = 2;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    CU_ASSERT_EQUAL(join_names(&r, "b", 1, 0), 0);
    CU_ASSERT_EQUAL(join_names(&r, "c", 1, 0), KERR_GROUP_MAX_SIZE_REACHED);
    r.options.settings.members_max = 2000;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    for (int i = 0; i <= consumer_regexes_max; i++) {
        char member[16];
        snprintf(member, sizeof(member), "m%d", i);
        snprintf(text, sizeof(text), "x%d", i);
        struct beat b = {.group = "r",
                         .member = member,
                         .rebalance_ms = 1000,
                         .regex = text,
                         .holds_given = true};
        int16_t code = crig_beat(&r, &b)->error_code;
        CU_ASSERT_EQUAL(code, i < consumer_regexes_max ? 0 : KERR_INVALID_REQUEST);
        crig_reap(&r, false);
    }
    rig_free(&r);
}

UNIT_MAIN("consumer_group", UNIT_CASE(test_limits), UNIT_CASE(test_validation),
          UNIT_CASE(test_join_v0), UNIT_CASE(test_two_members), UNIT_CASE(test_fencing),
          UNIT_CASE(test_leave_and_timeouts), UNIT_CASE(test_static), UNIT_CASE(test_regex),
          UNIT_CASE(test_metadata), UNIT_CASE(test_interval), UNIT_CASE(test_settings),
          UNIT_CASE(test_offsets))
