/* ListOffsets: every special timestamp in every version, lookups, epochs, duplicates, errors. */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static struct list_offsets_response answer;

static void up(void)
{
    rig_up(&rig, NULL);
    topic = rig_topic_add(&rig, "events", 4, 0);
    client_up(&client, &rig, 0);
}

static void down(void)
{
    client_down(&client);
    rig_down(&rig);
}

struct ask {
    int32_t partition, leader_epoch, replica_id;
    int8_t isolation;
    struct str name;
};

static const struct list_offsets_response_partition *list_as(int16_t version, int64_t timestamp,
                                                             struct ask a)
{
    struct list_offsets_request_partition p = {a.partition, a.leader_epoch, timestamp};
    struct list_offsets_request_topic t = {a.name.p ? a.name : topic->view.name, &p, 1};
    struct list_offsets_request q = {.replica_id = a.replica_id,
                                     .isolation_level = a.isolation,
                                     .topics = &t,
                                     .n_topics = 1,
                                     .timeout_ms = 5};
    CU_ASSERT_FATAL(client_list(&client, version, &q, &answer));
    CU_ASSERT_EQUAL_FATAL(answer.n_topics, 1);
    CU_ASSERT(str_eq(answer.topics[0].name, t.name));
    CU_ASSERT_EQUAL_FATAL(answer.topics[0].n_partitions, 1);
    CU_ASSERT_EQUAL(answer.topics[0].partitions[0].partition_index, a.partition);
    return &answer.topics[0].partitions[0];
}

static const struct list_offsets_response_partition *list(int16_t version, int64_t timestamp)
{
    return list_as(version, timestamp, (struct ask){0, -1, -1, 0, STR_NULL});
}

/* Four batches of one record, at 1000, 1001, 1002 and 1003; the log starts at 1. */
static struct plog *filled(void)
{
    struct plog *log = rig_log(topic, 0);
    rig_fill(&rig, log, 4, 100);
    log->start = 1;
    log->epochs[0].epoch = 2;
    topic->partitions[0].leader_epoch = 6;
    return log;
}

static void special_timestamps(void)
{
    static const int since[] = {0, 1, 1, 7, 8, 9, 11, 100, 100};
    static const int64_t offset[] = {0, 4, 1, 3, 1, -1, -1, -1, -1};
    up();
    filled();
    for (int16_t v = 1; v <= 11; v++) {
        for (int64_t ts = -1; ts >= -8; ts--) {
            const struct list_offsets_response_partition *p = list(v, ts);
            bool known = v >= since[-ts];
            CU_ASSERT_EQUAL(p->error_code, known ? 0 : KERR_UNSUPPORTED_VERSION);
            CU_ASSERT_EQUAL(p->offset, known ? offset[-ts] : -1);
            CU_ASSERT_EQUAL(p->timestamp, known && ts == -3 ? 1003 : -1);
            int32_t epoch = ts == -1 ? 6 : ts >= -4 ? 2 : -1;
            CU_ASSERT_EQUAL(p->leader_epoch, known && v >= 4 ? epoch : -1);
        }
        CU_ASSERT_EQUAL(list(v, INT64_MIN)->error_code, KERR_UNSUPPORTED_VERSION);
    }
    down();
}

static void by_time(void)
{
    up();
    filled();
    for (int16_t v = 1; v <= 11; v++) {
        const struct list_offsets_response_partition *p = list(v, 1002);
        CU_ASSERT(p->error_code == 0 && p->offset == 2 && p->timestamp == 1002);
        CU_ASSERT_EQUAL(p->leader_epoch, v >= 4 ? 2 : -1);
        p = list(v, 0);
        CU_ASSERT(p->offset == 0 && p->timestamp == 1000);
        p = list(v, 1004);
        CU_ASSERT(p->error_code == 0 && p->offset == -1 && p->timestamp == -1);
        CU_ASSERT_EQUAL(p->leader_epoch, -1);
    }
    down();
}

/* A look-up that lacked memory is asked again by every client: the code is what its version knows. */
static void lookup_later(void)
{
    up();
    struct plog *log = filled();
    log->lookup_error = KERR_OFFSET_NOT_AVAILABLE;
    for (int16_t v = 1; v <= 11; v++) {
        const struct list_offsets_response_partition *p = list(v, 1002);
        CU_ASSERT_EQUAL(p->error_code,
                        v < 5 ? KERR_LEADER_NOT_AVAILABLE : KERR_OFFSET_NOT_AVAILABLE);
        CU_ASSERT_EQUAL(p->offset, -1);
    }
    down();
}

/* What is behind the reader's end is not found. */
static void isolation(void)
{
    up();
    struct plog *log = filled();
    log->stable = 2;
    struct ask committed = {0, -1, -1, 1, STR_NULL}, replica = {0, -1, -2, 1, STR_NULL};
    CU_ASSERT_EQUAL(list(2, -1)->offset, 4);
    CU_ASSERT_EQUAL(list_as(2, -1, committed)->offset, 2);
    CU_ASSERT_EQUAL(list_as(2, 1001, committed)->offset, 1);
    CU_ASSERT_EQUAL(list_as(2, 1002, committed)->offset, -1);
    CU_ASSERT_EQUAL(list_as(7, -3, committed)->offset, -1);
    log->hold_flush = true;
    log->high_watermark = 3;
    CU_ASSERT_EQUAL(list(2, -1)->offset, 3);
    CU_ASSERT_EQUAL(list_as(2, -1, replica)->offset, 4);
    CU_ASSERT_EQUAL(list_as(2, 1003, replica)->offset, 3);
    CU_ASSERT_EQUAL(list(2, 1003)->offset, -1);
    log->high_watermark = 4;
    log->stable = -1;
    down();
}

static void epochs_and_errors(void)
{
    up();
    struct plog *log = filled();
    struct ask a = {0, 5, -1, 0, STR_NULL};
    CU_ASSERT_EQUAL(list_as(4, -1, a)->error_code, KERR_FENCED_LEADER_EPOCH);
    CU_ASSERT_EQUAL(list_as(3, -1, a)->error_code, 0); /* not asked in that version */
    a.leader_epoch = 7;
    CU_ASSERT_EQUAL(list_as(9, -2, a)->error_code, KERR_UNKNOWN_LEADER_EPOCH);
    CU_ASSERT_EQUAL(answer.topics[0].partitions[0].offset, -1);
    a.leader_epoch = 6;
    CU_ASSERT_EQUAL(list_as(9, -2, a)->error_code, 0);
    a.partition = 4;
    CU_ASSERT_EQUAL(list_as(9, -2, a)->error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    a.partition = 0;
    a.name = STR("nobody");
    CU_ASSERT_EQUAL(list_as(5, -2, a)->error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    log->failed = true;
    CU_ASSERT_EQUAL(list(5, -1)->error_code, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(list(5, 10)->error_code, KERR_KAFKA_STORAGE_ERROR);
    log->failed = false;
    topic->partitions[0].plog = NULL;
    CU_ASSERT_EQUAL(list(5, -1)->error_code, KERR_KAFKA_STORAGE_ERROR);
    topic->partitions[0].plog = log;
    topic->partitions[0].leader_id = 1;
    CU_ASSERT_EQUAL(list(5, -1)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    down();
}

static void duplicates(void)
{
    up();
    filled();
    struct rig_topic *other = rig_topic_add(&rig, "other", 2, 0);
    struct list_offsets_request_partition p[] = {{0, -1, -1}, {1, -1, -1}, {0, -1, -2}};
    struct list_offsets_request_partition r[] = {{0, -1, -1}};
    struct list_offsets_request_partition s[] = {{1, -1, -2}, {3, -1, -2}};
    struct list_offsets_request_topic t[] = {
        {topic->view.name, p, 3}, {other->view.name, r, 1}, {topic->view.name, s, 2}};
    struct list_offsets_request q = {.replica_id = -1, .topics = t, .n_topics = 3};
    CU_ASSERT_FATAL(client_list(&client, 5, &q, &answer));
    CU_ASSERT_EQUAL_FATAL(answer.n_topics, 2);
    CU_ASSERT_EQUAL_FATAL(answer.topics[0].n_partitions, 3);
    const struct list_offsets_response_partition *a = answer.topics[0].partitions;
    CU_ASSERT(a[0].partition_index == 0 && a[0].error_code == KERR_INVALID_REQUEST);
    CU_ASSERT(a[1].partition_index == 1 && a[1].error_code == KERR_INVALID_REQUEST);
    CU_ASSERT(a[2].partition_index == 3 && a[2].error_code == 0);
    CU_ASSERT(answer.topics[1].partitions[0].error_code == 0);
    q.n_topics = 0;
    CU_ASSERT_FATAL(client_list(&client, 5, &q, &answer));
    CU_ASSERT_EQUAL(answer.n_topics, 0);
    down();
}

RIG_MAIN("dataplane/kafka/list_offsets", UNIT_CASE(special_timestamps), UNIT_CASE(by_time),
         UNIT_CASE(lookup_later), UNIT_CASE(isolation), UNIT_CASE(epochs_and_errors),
         UNIT_CASE(duplicates))
