/*
 * What is large: 10,000 topics, names and metadata of megabytes, members with more partitions than a record
 * takes. It works, or is refused with Kafka's error; never does a record leave that the log would refuse
 * (the rig checks each batch), for that would fail all groups of the coordinator.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "control/group/codec.h"
#include "control/group/group.h"
#include "tests/unit/control/group/consumer_rig.h"
#include "tests/unit/unit.h"

#define many_topics 10000

typedef struct consumer_group_heartbeat_response resp;

/* Topics 00000...a to 09999...a, `partitions` each. */
static struct {
    char names[many_topics][256];
    uint32_t len;
    int32_t partitions;
} many;

static void fill(uint32_t i, struct group_topic *out)
{
    *out = (struct group_topic){
        {many.names[i], many.len}, {{1, 0, (uint8_t)(i >> 8), (uint8_t)i}}, many.partitions};
}

static bool by_name(void *ctx, struct str name, struct group_topic *out)
{
    uint32_t i = 0;
    for (uint32_t k = 0; k < 5 && k < name.len; k++)
        i = i * 10 + (uint32_t)(name.p[k] - '0');
    if (i >= many_topics)
        return false;
    fill(i, out);
    return str_eq(out->name, name);
}

static bool by_id(void *ctx, const struct uuid *id, struct group_topic *out)
{
    uint32_t i = (uint32_t)id->b[2] << 8 | id->b[3];
    if (i >= many_topics)
        return false;
    fill(i, out);
    return uuid_eq(id, &out->id);
}

static void each(void *ctx, void (*fn)(void *, const struct group_topic *), void *fn_ctx)
{
    for (uint32_t i = 0; i < many_topics; i++) {
        struct group_topic t;
        fill(i, &t);
        fn(fn_ctx, &t);
    }
}

static uint64_t version(void *ctx)
{
    return 1;
}

static void up(struct rig *r, uint32_t name_bytes, int32_t partitions)
{
    many.len = name_bytes;
    many.partitions = partitions;
    for (uint32_t i = 0; i < many_topics; i++) {
        char digits[8];
        snprintf(digits, sizeof(digits), "%05u", i);
        memset(many.names[i], 'a', name_bytes);
        memcpy(many.names[i], digits, 5);
        many.names[i][name_bytes] = '\0';
    }
    crig_init(r, 1);
    r->options.topics = (struct group_topics){r, by_name, by_id, each, version};
    rig_restart(r);
}

/* A heartbeat; n_names < 0: none given. holds: from an answer, or NULL. */
static resp *beat(struct rig *r, const char *member, int32_t epoch, int32_t n_names,
                  const resp *holds)
{
    struct rig_call *call = rig_call(r, API_ConsumerGroupHeartbeat, 1);
    struct consumer_group_heartbeat_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    consumer_group_heartbeat_request_init(req);
    req->group_id = STR("g");
    req->member_id = str_from(member);
    req->member_epoch = epoch;
    req->rebalance_timeout_ms = epoch == 0 ? 10000 : -1;
    req->n_subscribed_topic_names = n_names;
    req->subscribed_topic_names =
        arena_calloc(&call->arena, (size_t)(n_names < 0 ? 0 : n_names) + 1, sizeof(struct str));
    for (int32_t i = 0; i < n_names; i++)
        req->subscribed_topic_names[i] = (struct str){many.names[i], many.len};
    req->n_topic_partitions = epoch == 0 ? 0 : -1;
    if (holds != NULL && holds->assignment != NULL) {
        int32_t n = req->n_topic_partitions = holds->assignment->n_topic_partitions;
        req->topic_partitions =
            arena_calloc(&call->arena, (size_t)n + 1, sizeof(*req->topic_partitions));
        for (int32_t i = 0; i < n; i++) {
            req->topic_partitions[i].topic_id = holds->assignment->topic_partitions[i].topic_id;
            req->topic_partitions[i].partitions = holds->assignment->topic_partitions[i].partitions;
            req->topic_partitions[i].n_partitions =
                holds->assignment->topic_partitions[i].n_partitions;
        }
    }
    coordinator_consumer_heartbeat(r->c, &call->call, req, r->now);
    rig_pump(r);
    CU_ASSERT_TRUE_FATAL(call->done);
    CU_ASSERT_FALSE_FATAL(coordinator_failed(r->c));
    return call->call.response;
}

static int32_t topics_of(const resp *p)
{
    return p->error_code == 0 && p->assignment ? p->assignment->n_topic_partitions : -1;
}

/* The group of another member of this coordinator works. */
static void others_live(struct rig *r)
{
    CU_ASSERT_FALSE(coordinator_failed(r->c));
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(r, 9, "other", STR(""), -1, many.names[0], 0, 7)),
                    0);
}

static void test_ten_thousand_topics(void)
{
    struct rig r;
    up(&r, 30, 1);
    resp *a = beat(&r, "a", 0, many_topics, NULL);
    CU_ASSERT_EQUAL(topics_of(a), many_topics);
    /* A second one wants the same: each gets its half when the first has given back. */
    resp *b = beat(&r, "b", 0, many_topics, NULL);
    CU_ASSERT_EQUAL(topics_of(b), 0);
    a = beat(&r, "a", a->member_epoch, -1, a);
    CU_ASSERT_EQUAL(topics_of(a), many_topics / 2);
    a = beat(&r, "a", a->member_epoch, -1, a);
    CU_ASSERT_EQUAL(a->error_code, 0);
    rig_restart(&r);
    b = beat(&r, "b", b->member_epoch, -1, NULL);
    CU_ASSERT_EQUAL(topics_of(b), many_topics / 2);
    CU_ASSERT_STRING_EQUAL(consumer_group_state(crig_group(&r, "g")), "Stable");
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
    /* By an expression. */
    up(&r, 30, 1);
    struct beat by = {
        .group = "g", .member = "a", .rebalance_ms = 10000, .regex = "0.*", .holds_given = true};
    a = crig_beat(&r, &by);
    rig_pass(&r, 20000);
    a = beat(&r, "a", a->member_epoch, -1, NULL);
    CU_ASSERT_EQUAL(topics_of(a), many_topics);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* Names of two megabytes: no record takes them. */
static void test_long_names(void)
{
    struct rig r;
    up(&r, 200, 1);
    CU_ASSERT_EQUAL(beat(&r, "a", 0, many_topics, NULL)->error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_PTR_NULL(crig_group(&r, "g"));
    CU_ASSERT_EQUAL(r.log_count, 0);
    others_live(&r);
    /* A member that wants more than before keeps what it had. */
    resp *a = beat(&r, "a", 0, 4000, NULL);
    CU_ASSERT_EQUAL(topics_of(a), 4000);
    CU_ASSERT_EQUAL(beat(&r, "a", a->member_epoch, many_topics, a)->error_code,
                    KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(beat(&r, "a", a->member_epoch, -1, a)->error_code, 0);
    CU_ASSERT_EQUAL(consumer_member_find(crig_group(&r, "g"), STR("a"))->names->n, 4000);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
    /* An expression that means them all means nothing; one that means fewer works. */
    up(&r, 200, 1);
    for (int all = 0; all < 2; all++) {
        struct beat by = {.group = "g",
                          .member = all ? "all" : "few",
                          .rebalance_ms = 10000,
                          .regex = all ? "0.*" : "00[0-3].*",
                          .holds_given = true};
        int32_t epoch = crig_beat(&r, &by)->member_epoch;
        rig_pass(&r, 20000);
        CU_ASSERT_EQUAL(topics_of(beat(&r, by.member, epoch, -1, NULL)), all ? -1 : 400);
    }
    CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 2);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* More partitions than one member's record takes; two members share them. */
static void test_many_partitions(void)
{
    struct rig r;
    up(&r, 30, topic_partitions_max);
    resp *p = beat(&r, "a", 0, 2, NULL);
    CU_ASSERT_EQUAL(p->error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_PTR_NOT_NULL(strstr(p->error_message.p, "200000 partitions of one member"));
    others_live(&r);
    p = beat(&r, "b", 0, 2, NULL);
    int32_t partitions = 0;
    for (int32_t i = 0; i < topics_of(p); i++)
        partitions += p->assignment->topic_partitions[i].n_partitions;
    CU_ASSERT_EQUAL(partitions, topic_partitions_max);
    CU_ASSERT_EQUAL(beat(&r, "a", 0, 2, NULL)->error_code, 0);
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* --- members of the classic protocol --- */

/* A subscription to the first n topics, with this much user data. */
static struct proto_bytes subscription(struct arena *a, uint32_t n, uint32_t user_data)
{
    struct codec_out o = {0};
    uint8_t *zeros = calloc(1, user_data + 1);
    codec_put_i16(&o, 1);
    codec_put_i32(&o, (int32_t)n);
    for (uint32_t i = 0; i < n; i++)
        codec_put_str(&o, (struct str){many.names[i], many.len});
    codec_put_bytes(&o, zeros, user_data);
    codec_put_i32(&o, 0);
    struct proto_bytes b = {arena_dup(a, o.p, o.len), o.len};
    CHECK(zeros != NULL && b.p != NULL);
    codec_out_free(&o);
    free(zeros);
    return b;
}

static struct rig_call *join(struct rig *r, const char *member, const char *instance, uint32_t n,
                             uint32_t user_data)
{
    struct rig_call *call = rig_call(r, API_JoinGroup, 3 + 2 * (instance != NULL));
    struct join_group_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    struct join_group_request_protocol *p = arena_calloc(&call->arena, 1, sizeof(*p));
    join_group_request_init(req);
    *p = (struct join_group_request_protocol){STR("range"),
                                              subscription(&call->arena, n, user_data)};
    req->group_id = STR("g");
    req->session_timeout_ms = 10000;
    req->rebalance_timeout_ms = 10000;
    req->member_id = arena_str(&call->arena, str_from(member));
    req->group_instance_id = str_from(instance);
    req->protocol_type = STR("consumer");
    req->protocols = p;
    req->n_protocols = 1;
    coordinator_join(r->c, &call->call, req, r->now);
    rig_pump(r);
    CU_ASSERT_FALSE(coordinator_failed(r->c));
    return call;
}

static int16_t join_error(const struct rig_call *call)
{
    return call->done ? rig_joined(call)->error_code : -100;
}

/* A subscription to 10,000 topics, by the classic protocol, then in a group of both. */
static void test_classic_topics(void)
{
    struct rig r;
    up(&r, 30, 1);
    struct rig_call *call = join(&r, "", NULL, many_topics, 0);
    rig_pass(&r, 4000);
    CU_ASSERT_EQUAL_FATAL(join_error(call), 0);
    struct str id = rig_joined(call)->member_id;
    int32_t generation = rig_joined(call)->generation_id;
    CU_ASSERT_EQUAL(rig_synced(rig_sync(&r, "g", id, generation, 0, NULL))->error_code, 0);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Stable");
    resp *p = beat(&r, "new", 0, many_topics, NULL);
    CU_ASSERT_EQUAL(topics_of(p), many_topics / 2);
    call = join(&r, id.p, NULL, many_topics, 0);
    CU_ASSERT_EQUAL(join_error(call), 0);
    struct rig_call *sync = rig_sync(&r, "g", id, rig_joined(call)->generation_id, 0, NULL);
    CU_ASSERT_EQUAL(rig_synced(sync)->error_code, 0);
    CU_ASSERT(rig_synced(sync)->assignment.len > many_topics / 2 * 30);
    CU_ASSERT_EQUAL(beat(&r, "new", -1, -1, NULL)->error_code, 0);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    CU_ASSERT(crig_replay_equals(&r));
    rig_free(&r);
}

/* Metadata of a megabyte in a group of the newer protocol, and in one that shall become one. */
static void test_large_metadata(void)
{
    struct rig r;
    up(&r, 30, 1);
    resp *p = beat(&r, "new", 0, 1, NULL);
    uint32_t log = r.log_count;
    CU_ASSERT_EQUAL(join_error(join(&r, "big", NULL, 1, 1000000)), KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(join_error(join(&r, "big", NULL, 1, 2000000)), KERR_INVALID_REQUEST);
    CU_ASSERT_EQUAL(r.log_count, log);
    CU_ASSERT_EQUAL(beat(&r, "new", p->member_epoch, -1, p)->error_code, 0);
    rig_free(&r);
    up(&r, 30, 1);
    struct rig_call *call = join(&r, "", NULL, 1, 1000000);
    p = beat(&r, "new", 0, 1, NULL);
    CU_ASSERT_EQUAL(p->error_code, KERR_GROUP_ID_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(p->error_message.p, "larger than a record"));
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "PreparingRebalance");
    rig_pass(&r, 4000);
    CU_ASSERT_EQUAL(join_error(call), 0); /* it is not hurt */
    others_live(&r);
    rig_free(&r);
}

/* The record of a classic group would not take what a consumer group's records take one by one. */
static void test_large_downgrade(void)
{
    struct rig r;
    for (int seat = 0; seat < 2; seat++) {
        up(&r, 30, 2);
        struct beat b = {.group = "g",
                         .member = "new",
                         .instance = seat ? "i" : NULL,
                         .rebalance_ms = 10000,
                         .regex = "00000.*",
                         .holds_given = true};
        crig_beat(&r, &b);
        struct rig_call *one = join(&r, "one", NULL, 1, 600000);
        struct rig_call *two = join(&r, "two", NULL, 1, 600000);
        CU_ASSERT_EQUAL_FATAL(join_error(one), 0);
        CU_ASSERT_EQUAL_FATAL(join_error(two), 0);
        int16_t kerr =
            seat ? join_error(join(&r, "", "i", 1, 10)) : beat(&r, "new", -1, -1, NULL)->error_code;
        CU_ASSERT_EQUAL(kerr, 0);
        CU_ASSERT_PTR_NOT_NULL_FATAL(crig_group(&r, "g"));
        CU_ASSERT_EQUAL(consumer_members(crig_group(&r, "g")), 2 + (uint32_t)seat);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("one"), rig_joined(one)->generation_id),
                        KERR_REBALANCE_IN_PROGRESS);
        CU_ASSERT(crig_replay_equals(&r));
        /* Their sessions end as ever; the last one fits again. */
        rig_pass(&r, 30000);
        CU_ASSERT_FALSE(coordinator_failed(r.c));
        CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Empty");
        CU_ASSERT(crig_replay_equals(&r));
        rig_free(&r);
    }
}

UNIT_MAIN("group large", UNIT_CASE(test_ten_thousand_topics), UNIT_CASE(test_long_names),
          UNIT_CASE(test_many_partitions), UNIT_CASE(test_classic_topics),
          UNIT_CASE(test_large_metadata), UNIT_CASE(test_large_downgrade))
