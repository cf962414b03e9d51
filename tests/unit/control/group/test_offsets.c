/* Committed offsets: errors, versions, expiry, removal. */
#include "base/check.h"
#include "tests/unit/control/group/rig.h"
#include "tests/unit/unit.h"

#define DAY_MS (24LL * 3600 * 1000)

static void commit_simple(struct rig *r, const char *group, const char *topic, int64_t offset)
{
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(r, 9, group, STR(""), -1, topic, 0, offset)), 0);
}

static void test_versions(void)
{
    for (int16_t v = 1; v <= 10; v++) {
        struct rig r;
        rig_init(&r, unit_seed());
        struct rig_call *call = rig_commit(&r, v, "g", STR(""), -1, "t1", 2, 77);
        CU_ASSERT_EQUAL(rig_commit_error(call), 0);
        CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 2), 77);
        CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 1), -1);
        CU_ASSERT_EQUAL(rig_fetch(&r, "other", "t1", 2), -1);
        rig_restart(&r);
        CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 2), 77);
        CU_ASSERT_TRUE(rig_same_after_replay(&r));
        rig_free(&r);
    }
}

static void test_errors(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    static const struct {
        int16_t version;
        int32_t generation;
        const char *topic;
        int32_t partition;
        int16_t kerr;
    } cases[] = {
        {9, -1, "none", 0, KERR_UNKNOWN_TOPIC_OR_PARTITION},
        {9, -1, "t0", 4, KERR_UNKNOWN_TOPIC_OR_PARTITION},
        {9, -1, "t0", -1, KERR_UNKNOWN_TOPIC_OR_PARTITION},
        {10, -1, "none", 0, KERR_UNKNOWN_TOPIC_ID},
        {10, -1, "t0", 4, KERR_UNKNOWN_TOPIC_OR_PARTITION},
        {8, 1, "t0", 0, KERR_ILLEGAL_GENERATION},
        {9, 1, "t0", 0, KERR_GROUP_ID_NOT_FOUND},
        {8, 1, "none", 0, KERR_UNKNOWN_TOPIC_OR_PARTITION}, /* before the group is looked at */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CU_ASSERT_EQUAL(
            rig_commit_error(rig_commit(&r, cases[i].version, "g", STR("m"), cases[i].generation,
                                        cases[i].topic, cases[i].partition, 1)),
            cases[i].kerr);
    CU_ASSERT_EQUAL(r.log_count, 0);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Dead");
    /* An empty group id is a group to commit to, as with Kafka. */
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "", STR(""), -1, "t0", 0, 5)), 0);
    CU_ASSERT_EQUAL(rig_fetch(&r, "", "t0", 0), 5);
    rig_free(&r);
}

/* One request with metadata of this many bytes, of a letter or of U+1F600 (two UTF-16 units). */
static int16_t commit_metadata(struct rig *r, uint32_t bytes, bool wide)
{
    struct rig_call *call = rig_call(r, API_OffsetCommit, 9);
    char *text = arena_alloc(&call->arena, bytes);
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = wide ? "\xf0\x9f\x98\x80"[i % 4] : 'x';
    struct offset_commit_request_partition parts[2] = {{0, 1, -1, -1, {text, bytes}},
                                                       {1, 2, -1, -1, STR_NULL}};
    struct offset_commit_request_topic t = {STR("t0"), UUID_ZERO, parts, 2};
    struct offset_commit_request req;
    offset_commit_request_init(&req);
    req.group_id = STR("g");
    req.member_id = STR("");
    req.topics = &t;
    req.n_topics = 1;
    coordinator_offset_commit(r->c, &call->call, &req, r->now);
    rig_pump(r);
    const struct offset_commit_response *resp = call->call.response;
    CU_ASSERT_EQUAL(resp->topics[0].partitions[1].error_code, 0);
    return resp->topics[0].partitions[0].error_code;
}

static void test_metadata_limit(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(commit_metadata(&r, 4096, false), 0);
    CU_ASSERT_EQUAL(commit_metadata(&r, 4097, false), KERR_OFFSET_METADATA_TOO_LARGE);
    CU_ASSERT_EQUAL(commit_metadata(&r, 8192, true), 0);
    CU_ASSERT_EQUAL(commit_metadata(&r, 8196, true), KERR_OFFSET_METADATA_TOO_LARGE);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 1), 2);
    rig_free(&r);
}

/* All topics, by name and by id; an id that is not the committed one's shows no offset. */
static void test_fetch(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    commit_simple(&r, "g", "t1", 11);
    commit_simple(&r, "g", "t0", 10);
    for (int16_t v = 8; v <= 10; v++) {
        struct rig_call *call = rig_call(&r, API_OffsetFetch, v);
        struct offset_fetch_request_group req = {
            .group_id = STR("g"), .member_epoch = -1, .n_topics = -1};
        coordinator_offset_fetch(r.c, &call->call, &req, false, r.now);
        rig_pump(&r);
        const struct offset_fetch_response_group *resp = call->call.response;
        struct uuid id = rig_topic_id("t1");
        CU_ASSERT_EQUAL_FATAL(resp->n_topics, 2);
        CU_ASSERT_TRUE(str_eqz(resp->topics[1].name, "t1"));
        CU_ASSERT_EQUAL(uuid_eq(&resp->topics[1].topic_id, &id), v >= 10);
        CU_ASSERT_EQUAL(resp->topics[1].partitions[0].committed_offset, 11);
        CU_ASSERT_EQUAL(resp->topics[1].partitions[0].committed_leader_epoch, 5);
        CU_ASSERT_TRUE(str_eqz(resp->topics[1].partitions[0].metadata, "note"));
    }
    struct rig_call *call = rig_call(&r, API_OffsetFetch, 10);
    int32_t zero = 0;
    struct offset_fetch_request_group_topic topics[2] = {{STR(""), rig_topic_id("none"), &zero, 1},
                                                         {STR(""), rig_topic_id("t0"), &zero, 1}};
    struct offset_fetch_request_group req = {
        .group_id = STR("g"), .member_epoch = -1, .topics = topics, .n_topics = 2};
    coordinator_offset_fetch(r.c, &call->call, &req, false, r.now);
    rig_pump(&r);
    const struct offset_fetch_response_group *resp = call->call.response;
    CU_ASSERT_EQUAL_FATAL(resp->n_topics, 2); /* the unknown one last */
    CU_ASSERT_EQUAL(resp->topics[0].partitions[0].committed_offset, 10);
    CU_ASSERT_EQUAL(resp->topics[1].partitions[0].error_code, KERR_UNKNOWN_TOPIC_ID);
    CU_ASSERT_EQUAL(resp->topics[1].partitions[0].committed_offset, -1);
    rig_free(&r);
}

static int16_t offset_delete(struct rig *r, const char *group, const char *topic, int16_t *part)
{
    struct rig_call *call = rig_call(r, API_OffsetDelete, 0);
    struct offset_delete_request_partition p = {0};
    struct offset_delete_request_topic t = {str_from(topic), &p, 1};
    struct offset_delete_request req = {str_from(group), &t, 1};
    coordinator_offset_delete(r->c, &call->call, &req, r->now);
    rig_pump(r);
    const struct offset_delete_response *resp = call->call.response;
    *part = resp->n_topics ? resp->topics[0].partitions[0].error_code : -100;
    return resp->error_code;
}

static void test_delete(void)
{
    struct rig r;
    int16_t part;
    int32_t generation;
    rig_init(&r, unit_seed());
    CU_ASSERT_EQUAL(offset_delete(&r, "", "t0", &part), KERR_INVALID_GROUP_ID);
    CU_ASSERT_EQUAL(offset_delete(&r, "g", "t0", &part), KERR_GROUP_ID_NOT_FOUND);
    struct str member = rig_stable(&r, "g", &generation); /* subscribes to t0 */
    for (int t = 0; t < 2; t++)
        CU_ASSERT_EQUAL(rig_commit_error(
                            rig_commit(&r, 9, "g", member, generation, t ? "t1" : "t0", 0, 40 + t)),
                        0);
    CU_ASSERT_EQUAL(offset_delete(&r, "g", "t0", &part), 0);
    CU_ASSERT_EQUAL(part, KERR_GROUP_SUBSCRIBED_TO_TOPIC);
    CU_ASSERT_EQUAL(offset_delete(&r, "g", "t1", &part), 0);
    CU_ASSERT_EQUAL(part, 0);
    CU_ASSERT_EQUAL(offset_delete(&r, "g", "none", &part), 0);
    CU_ASSERT_EQUAL(part, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 40);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 0), -1);
    rig_restart(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 40);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 0), -1);
    CU_ASSERT_EQUAL(rig_leave(&r, "g", member), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "g"), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "g"), KERR_GROUP_ID_NOT_FOUND);
    rig_restart(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), -1);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "g"), "Dead");
    rig_free(&r);
}

/* A group with members of another protocol type keeps its offsets. */
static void test_delete_connect(void)
{
    struct rig r;
    int16_t part;
    rig_init(&r, unit_seed());
    struct join_group_request_protocol protocol = {STR("sessioned"), {(const uint8_t *)"x", 1}};
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = STR("connect");
    req.session_timeout_ms = 10000;
    req.rebalance_timeout_ms = 10000;
    req.member_id = STR("");
    req.protocol_type = STR("connect");
    req.protocols = &protocol;
    req.n_protocols = 1;
    rig_join_as(&r, 3, &req);
    CU_ASSERT_EQUAL(offset_delete(&r, "connect", "t0", &part), KERR_NON_EMPTY_GROUP);
    rig_free(&r);
}

/* Offsets expire when nobody needs them, and groups with their last offset. */
static void test_expiry(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    r.options.settings.offsets_retention_ms = 7 * DAY_MS;
    r.options.settings.offsets_retention_check_ms = DAY_MS / 24;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    rig_restart(&r); /* the first check by the new interval */
    commit_simple(&r, "simple", "t0", 1);
    struct str member = rig_stable(&r, "left", &generation);
    CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "left", member, generation, "t0", 0, 2)), 0);
    rig_pass(&r, 1000);
    CU_ASSERT_EQUAL(rig_leave(&r, "left", member), 0);
    r.now.mono_ns += 6 * DAY_MS * 1000000;
    r.now.wall_ms += 6 * DAY_MS;
    coordinator_tick(r.c, r.now);
    rig_pump(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "simple", "t0", 0), 1);
    CU_ASSERT_EQUAL(rig_fetch(&r, "left", "t0", 0), 2);
    commit_simple(&r, "simple", "t1", 3); /* young */
    r.now.mono_ns += 2 * DAY_MS * 1000000;
    r.now.wall_ms += 2 * DAY_MS;
    coordinator_tick(r.c, r.now);
    rig_pump(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "simple", "t0", 0), -1);
    CU_ASSERT_EQUAL(rig_fetch(&r, "simple", "t1", 0), 3);
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "simple"), "Empty");
    CU_ASSERT_STRING_EQUAL(rig_state(&r, "left"), "Dead");
    CU_ASSERT_TRUE(rig_same_after_replay(&r));
    rig_free(&r);
}

/* Version 1 tells for each offset when it is from; -1: now. Expiry counts from then. */
static void test_expiry_from_timestamp(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    r.options.settings.offsets_retention_ms = 7 * DAY_MS;
    r.options.settings.offsets_retention_check_ms = DAY_MS / 24;
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    rig_restart(&r);
    struct rig_call *call = rig_call(&r, API_OffsetCommit, 1);
    struct offset_commit_request_partition p[2] = {{0, 1, -1, r.now.wall_ms - 6 * DAY_MS, STR_NULL},
                                                   {1, 2, -1, -1, STR_NULL}};
    struct offset_commit_request_topic topic = {STR("t1"), UUID_ZERO, p, 2};
    struct offset_commit_request req;
    offset_commit_request_init(&req);
    req.group_id = STR("old");
    req.member_id = STR("");
    req.topics = &topic;
    req.n_topics = 1;
    coordinator_offset_commit(r.c, &call->call, &req, r.now);
    rig_pump(&r);
    CU_ASSERT_EQUAL(rig_commit_error(call), 0);
    CU_ASSERT_EQUAL(rig_fetch(&r, "old", "t1", 0), 1);
    r.now.mono_ns += 2 * DAY_MS * 1000000;
    r.now.wall_ms += 2 * DAY_MS;
    coordinator_tick(r.c, r.now);
    rig_pump(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "old", "t1", 0), -1);
    CU_ASSERT_EQUAL(rig_fetch(&r, "old", "t1", 1), 2);
    CU_ASSERT_TRUE(rig_same_after_replay(&r));
    rig_free(&r);
}

/* While consumers are there, offsets of topics that they do not read expire, others stay. */
static void test_expiry_subscribed(void)
{
    struct rig r;
    int32_t generation;
    rig_init(&r, unit_seed());
    r.options.settings.offsets_retention_ms = 5000;
    r.options.settings.offsets_retention_check_ms = 1000;
    rig_restart(&r);
    CU_ASSERT_EQUAL(coordinator_set_settings(r.c, &r.options.settings), 0);
    struct str member = rig_stable(&r, "g", &generation);
    for (int t = 0; t < 2; t++)
        CU_ASSERT_EQUAL(rig_commit_error(
                            rig_commit(&r, 9, "g", member, generation, t ? "t1" : "t0", 0, 40 + t)),
                        0);
    /* Versions 2 to 4 may bring a retention of their own. */
    struct rig_call *call = rig_call(&r, API_OffsetCommit, 4);
    struct offset_commit_request_partition p = {1, 9, -1, -1, STR_NULL};
    struct offset_commit_request_topic topic = {STR("t1"), UUID_ZERO, &p, 1};
    struct offset_commit_request req;
    offset_commit_request_init(&req);
    req.group_id = STR("g");
    req.member_id = member;
    req.generation_id_or_member_epoch = generation;
    req.retention_time_ms = 60000;
    req.topics = &topic;
    req.n_topics = 1;
    coordinator_offset_commit(r.c, &call->call, &req, r.now);
    rig_pump(&r);
    for (int i = 0; i < 8; i++) {
        rig_pass(&r, 1000);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", member, generation), 0);
    }
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), 40);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 0), -1);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 1), 9);
    CU_ASSERT_TRUE(rig_same_after_replay(&r));
    rig_free(&r);
}

static void test_topics_deleted(void)
{
    struct rig r;
    rig_init(&r, unit_seed());
    commit_simple(&r, "g", "t0", 1);
    commit_simple(&r, "g", "t1", 2);
    struct group_topic gone = {STR("t0"), rig_topic_id("t0"), 4};
    struct group_topic newer = {STR("t1"), rig_topic_id("another"), 4};
    coordinator_topics_deleted(r.c, &newer, 1, r.now); /* another topic of that name */
    coordinator_topics_deleted(r.c, &gone, 1, r.now);
    rig_pump(&r);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), -1);
    CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t1", 0), 2);
    CU_ASSERT_TRUE(rig_same_after_replay(&r));
    rig_free(&r);
}

/* What is not durable is told to nobody, and a failed append to all who wait. */
static void test_durability(void)
{
    static const struct {
        int16_t append, client;
    } errors[] = {{KERR_NOT_ENOUGH_REPLICAS, KERR_COORDINATOR_NOT_AVAILABLE},
                  {KERR_REQUEST_TIMED_OUT, KERR_COORDINATOR_NOT_AVAILABLE},
                  {KERR_UNKNOWN_TOPIC_OR_PARTITION, KERR_COORDINATOR_NOT_AVAILABLE},
                  {KERR_NOT_LEADER_OR_FOLLOWER, KERR_NOT_COORDINATOR},
                  {KERR_KAFKA_STORAGE_ERROR, KERR_NOT_COORDINATOR},
                  {KERR_MESSAGE_TOO_LARGE, KERR_UNKNOWN_SERVER_ERROR}};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct rig r;
        rig_init(&r, unit_seed());
        r.durable = false;
        struct rig_call *first = rig_commit(&r, 9, "g", STR(""), -1, "t0", 0, 1);
        struct rig_call *second = rig_commit(&r, 9, "g", STR(""), -1, "t0", 0, 2);
        CU_ASSERT_FALSE(first->done);
        CU_ASSERT_EQUAL(rig_fetch(&r, "g", "t0", 0), -100); /* waits too */
        rig_durable(&r, 1, 0);
        CU_ASSERT_EQUAL(rig_commit_error(first), 0);
        CU_ASSERT_FALSE(second->done);
        rig_durable(&r, 1, errors[i].append);
        CU_ASSERT_EQUAL(rig_commit_error(second), errors[i].client);
        CU_ASSERT_TRUE(coordinator_failed(r.c));
        CU_ASSERT_EQUAL(rig_commit_error(rig_commit(&r, 9, "g", STR(""), -1, "t0", 0, 3)),
                        errors[i].client);
        CU_ASSERT_EQUAL(rig_heartbeat(&r, "g", STR("m"), 1), errors[i].client);
        rig_free(&r);
    }
}

UNIT_MAIN("group offsets", UNIT_CASE(test_versions), UNIT_CASE(test_errors),
          UNIT_CASE(test_metadata_limit), UNIT_CASE(test_fetch), UNIT_CASE(test_delete),
          UNIT_CASE(test_delete_connect), UNIT_CASE(test_expiry),
          UNIT_CASE(test_expiry_from_timestamp), UNIT_CASE(test_expiry_subscribed),
          UNIT_CASE(test_topics_deleted), UNIT_CASE(test_durability))
