/*
 * Incremental fetch sessions (KIP-227): ids, epochs, what is left out, what is forgotten,
 * eviction.
 */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static struct fetch_response answer;

struct ask {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition parts[8];
    struct fetch_request_forgotten_topic forgotten;
    int32_t forget[8];
};

static void up(const struct rig_options *o)
{
    rig_up(&rig, o);
    topic = rig_topic_add(&rig, "events", 4, 0);
    client_up(&client, &rig, 0);
}

static void down(void)
{
    client_down(&client);
    rig_down(&rig);
}

static void ask_up(struct ask *a, int32_t session_id, int32_t epoch)
{
    memset(a, 0, sizeof(*a));
    fetch_request_init(&a->request);
    a->topic = (struct fetch_request_topic){topic->view.name, topic->view.id, a->parts, 0};
    a->request.topics = &a->topic;
    a->request.session_id = session_id;
    a->request.session_epoch = epoch;
    a->request.max_bytes = 1 << 20;
}

static void ask_for(struct ask *a, int32_t partition, int64_t offset)
{
    struct fetch_request_partition *p = &a->parts[a->topic.n_partitions++];
    fetch_request_partition_init(p);
    p->partition = partition;
    p->fetch_offset = offset;
    p->partition_max_bytes = 1 << 20;
    a->request.n_topics = 1;
}

static void ask_forget(struct ask *a, int32_t partition)
{
    a->forgotten.topic = topic->view.name;
    a->forgotten.topic_id = topic->view.id;
    a->forgotten.partitions = a->forget;
    a->forget[a->forgotten.n_partitions++] = partition;
    a->request.forgotten_topics_data = &a->forgotten;
    a->request.n_forgotten_topics_data = 1;
}

static int32_t parts(void)
{
    int32_t n = 0;
    for (int32_t i = 0; i < answer.n_responses; i++)
        n += answer.responses[i].n_partitions;
    return n;
}

static int16_t ask(int16_t version, struct ask *a)
{
    CU_ASSERT_FATAL(client_fetch(&client, version, &a->request, &answer));
    return answer.error_code;
}

static int32_t open_session(int16_t version)
{
    struct ask a;
    ask_up(&a, 0, 0);
    for (int32_t i = 0; i < 4; i++)
        ask_for(&a, i, 0);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(parts(), 4);
    CU_ASSERT_NOT_EQUAL(answer.session_id, 0);
    return answer.session_id;
}

static int32_t index_of(int32_t i)
{
    return answer.responses[0].partitions[i].partition_index;
}

static void only_news(int16_t version)
{
    up(NULL);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), 1, 100);
    int32_t id = open_session(version);
    struct ask a;
    /* All offsets move on; then there is nothing to tell. */
    ask_up(&a, id, 1);
    for (int32_t i = 0; i < 4; i++)
        ask_for(&a, i, 1);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(parts(), 0);
    CU_ASSERT_EQUAL(answer.session_id, id);
    ask_up(&a, id, 2);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(parts(), 0);
    /* New data in one partition. */
    rig_fill(&rig, rig_log(topic, 2), 1, 100);
    ask_up(&a, id, 3);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 1);
    CU_ASSERT_EQUAL(index_of(0), 2);
    /* A moved start, an error, and the end of the error. */
    rig_log(topic, 2)->start = 1;
    rig_log(topic, 0)->start = 1;
    ask_up(&a, id, 4);
    ask_for(&a, 2, 2);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(parts(), 2);
    rig_log(topic, 1)->failed = true;
    ask_up(&a, id, 5);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 1);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, KERR_KAFKA_STORAGE_ERROR);
    rig_log(topic, 1)->failed = false;
    ask_up(&a, id, 6);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 1);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, 0);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].high_watermark, 1);
    down();
}

static void news_by_name(void)
{
    only_news(7);
    only_news(12);
}

static void news_by_id(void)
{
    only_news(13);
    only_news(18);
}

static void ids_and_epochs(void)
{
    up(NULL);
    struct ask a;
    ask_up(&a, 12345, 7);
    CU_ASSERT_EQUAL(ask(11, &a), KERR_FETCH_SESSION_ID_NOT_FOUND);
    CU_ASSERT_EQUAL(answer.session_id, 0);
    int32_t id = open_session(11);
    ask_up(&a, id, 2);
    CU_ASSERT_EQUAL(ask(11, &a), KERR_INVALID_FETCH_SESSION_EPOCH);
    ask_up(&a, id, 1);
    CU_ASSERT_EQUAL(ask(13, &a), KERR_FETCH_SESSION_TOPIC_ID_ERROR);
    CU_ASSERT_EQUAL(ask(11, &a), 0);
    CU_ASSERT_EQUAL(ask(11, &a), KERR_INVALID_FETCH_SESSION_EPOCH);
    /* A full request ends the session that it names, and opens a new one. */
    ask_up(&a, id, 0);
    ask_for(&a, 0, 0);
    CU_ASSERT_EQUAL(ask(11, &a), 0);
    int32_t next = answer.session_id;
    CU_ASSERT(next != 0 && next != id);
    ask_up(&a, id, 2);
    CU_ASSERT_EQUAL(ask(11, &a), KERR_FETCH_SESSION_ID_NOT_FOUND);
    /* The final epoch ends it without another. */
    ask_up(&a, next, -1);
    ask_for(&a, 0, 0);
    CU_ASSERT_EQUAL(ask(11, &a), 0);
    CU_ASSERT_EQUAL(answer.session_id, 0);
    CU_ASSERT_EQUAL(parts(), 1);
    ask_up(&a, next, 1);
    CU_ASSERT_EQUAL(ask(11, &a), KERR_FETCH_SESSION_ID_NOT_FOUND);
    down();
}

static void added_and_forgotten(int16_t version)
{
    up(NULL);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), 1, 100);
    struct ask a;
    ask_up(&a, 0, 0);
    ask_for(&a, 1, 1);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    int32_t id = answer.session_id;
    ask_up(&a, id, 1);
    ask_for(&a, 3, 0);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 1);
    CU_ASSERT_EQUAL(index_of(0), 3);
    ask_up(&a, id, 2);
    ask_forget(&a, 3);
    ask_forget(&a, 2); /* not in it */
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(parts(), 0);
    /* Without partitions it is no session any more. */
    ask_up(&a, id, 3);
    ask_forget(&a, 1);
    CU_ASSERT_EQUAL(ask(version, &a), 0);
    CU_ASSERT_EQUAL(answer.session_id, 0);
    ask_up(&a, id, 4);
    CU_ASSERT_EQUAL(ask(version, &a), KERR_FETCH_SESSION_ID_NOT_FOUND);
    down();
}

static void forgetting(void)
{
    added_and_forgotten(7);
    added_and_forgotten(12);
    added_and_forgotten(13);
}

/* Who got data goes to the end of the line: with a small limit all have their turn. */
static void rotation(void)
{
    up(NULL);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), 10, 1000);
    struct ask a;
    int64_t offset[4] = {0};
    ask_up(&a, 0, 0);
    for (int32_t i = 0; i < 4; i++)
        ask_for(&a, i, 0);
    a.request.max_bytes = 1500;
    CU_ASSERT_EQUAL(ask(12, &a), 0);
    int32_t id = answer.session_id, served[4] = {0};
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].records.view.len, 1061);
    offset[0] = 1;
    for (int32_t round = 1; round < 9; round++) {
        ask_up(&a, id, round);
        a.request.max_bytes = 1500;
        for (int32_t i = 0; i < 4; i++)
            ask_for(&a, i, offset[i]);
        CU_ASSERT_EQUAL(ask(12, &a), 0);
        CU_ASSERT_EQUAL_FATAL(parts(), 1);
        served[index_of(0)]++;
        offset[index_of(0)]++;
    }
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(served[i], 2);
    down();
}

/* Topics that do not exist are in the session too, and come to life in it. */
static void unknown_topics(void)
{
    up(NULL);
    struct rig_topic stranger = {.view = {.name = STR("nobody"), .id = {{5}}}};
    struct rig_topic *known = topic;
    for (int16_t v = 12; v <= 13; v++) {
        struct ask a;
        topic = &stranger;
        ask_up(&a, 0, 0);
        ask_for(&a, 0, 0);
        CU_ASSERT_EQUAL(ask(v, &a), 0);
        CU_ASSERT_EQUAL_FATAL(parts(), 1);
        int32_t id = answer.session_id;
        int16_t error = v >= 13 ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
        CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, error);
        ask_up(&a, id, 1);
        CU_ASSERT_EQUAL(ask(v, &a), 0);
        CU_ASSERT_EQUAL_FATAL(parts(), 1); /* errors are told each time */
        CU_ASSERT(v >= 13 || str_eqz(answer.responses[0].topic, "nobody"));
    }
    topic = known;
    down();
}

/* A topic deleted, and made again under its name, while a session by ids knows it. */
static void recreated(void)
{
    up(NULL);
    int32_t id = open_session(13);
    rig_topic_remove(&rig, topic);
    struct ask a;
    ask_up(&a, id, 1);
    CU_ASSERT_EQUAL(ask(13, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 4);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    struct rig_topic *again = rig_topic_add(&rig, "events", 4, 0);
    CU_ASSERT(!uuid_eq(&again->view.id, &topic->view.id));
    ask_up(&a, id, 2);
    CU_ASSERT_EQUAL(ask(13, &a), 0);
    CU_ASSERT_EQUAL_FATAL(parts(), 4);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, KERR_INCONSISTENT_TOPIC_ID);
    down();
}

static void two_conns_one_session(void)
{
    up(NULL);
    struct rig_client other;
    client_up(&other, &rig, 0);
    int32_t id = open_session(12);
    struct ask a;
    ask_up(&a, id, 1);
    a.request.max_wait_ms = 500;
    a.request.min_bytes = 1;
    struct wire w = wire_of(&rig, fetch, API_Fetch, 12, 99, &a.request);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    /* Another conn goes on with the session while the first waits. */
    struct fetch_response r;
    ask_up(&a, id, 2);
    ask_forget(&a, 0);
    CU_ASSERT(client_fetch(&other, 12, &a.request, &r));
    CU_ASSERT_EQUAL(r.error_code, 0);
    rig_pass(&rig, 502);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 99, &answer));
    CU_ASSERT_EQUAL(answer.error_code, KERR_INVALID_FETCH_SESSION_EPOCH);
    CU_ASSERT_EQUAL(answer.session_id, id);
    /* It is ended by a third request while the second waits. */
    ask_up(&a, id, 3);
    a.request.max_wait_ms = 500;
    a.request.min_bytes = 1;
    w = wire_of(&rig, fetch, API_Fetch, 12, 100, &a.request);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    ask_up(&a, id, -1);
    CU_ASSERT(client_fetch(&other, 12, &a.request, &r));
    rig_pass(&rig, 502);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 100, &answer));
    CU_ASSERT_EQUAL(answer.error_code, 0);
    client_down(&other);
    down();
}

static void eviction(void)
{
    struct rig_options o = {.kafka.fetch_session_slots = 3};
    up(&o);
    int32_t id[4];
    struct ask a;
    for (int i = 0; i < 3; i++) {
        ask_up(&a, 0, 0);
        for (int32_t j = 0; j <= i; j++)
            ask_for(&a, j, 0);
        CU_ASSERT_EQUAL(ask(12, &a), 0);
        id[i] = answer.session_id;
        CU_ASSERT_NOT_EQUAL(id[i], 0);
    }
    /* All are new: nobody makes room. */
    ask_up(&a, 0, 0);
    for (int32_t j = 0; j < 4; j++)
        ask_for(&a, j, 0);
    CU_ASSERT_EQUAL(ask(12, &a), 0);
    CU_ASSERT_EQUAL(answer.session_id, 0);
    CU_ASSERT_EQUAL(parts(), 4);
    /* Not new, but used of late: the smallest goes, for a larger one. */
    for (int32_t k = 0; k < 3; k++) {
        rig_pass(&rig, 60000);
        for (int i = 0; i < 3; i++) {
            struct ask again;
            ask_up(&again, id[i], 1 + k);
            CU_ASSERT_EQUAL(ask(12, &again), 0);
        }
    }
    CU_ASSERT_EQUAL(ask(12, &a), 0);
    id[3] = answer.session_id;
    CU_ASSERT_NOT_EQUAL(id[3], 0);
    struct ask old;
    ask_up(&old, id[0], 4);
    CU_ASSERT_EQUAL(ask(12, &old), KERR_FETCH_SESSION_ID_NOT_FOUND);
    ask_up(&old, 0, 0);
    ask_for(&old, 0, 0);
    CU_ASSERT_EQUAL(ask(12, &old), 0);
    CU_ASSERT_EQUAL(answer.session_id, 0); /* not larger than any */
    /* Unused for long: any may take its place. */
    rig_pass(&rig, 125000);
    CU_ASSERT_EQUAL(ask(12, &old), 0);
    CU_ASSERT_NOT_EQUAL(answer.session_id, 0);
    down();
}

RIG_MAIN("dataplane/kafka/session", UNIT_CASE(news_by_name), UNIT_CASE(news_by_id),
         UNIT_CASE(ids_and_epochs), UNIT_CASE(forgetting), UNIT_CASE(rotation),
         UNIT_CASE(unknown_topics), UNIT_CASE(recreated), UNIT_CASE(two_conns_one_session),
         UNIT_CASE(eviction))
