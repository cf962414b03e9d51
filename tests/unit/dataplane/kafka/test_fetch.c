/* Fetch: versions, limits (KIP-74), waiting and waking, errors, epochs; without sessions. */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static struct fetch_response answer;

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

static const struct fetch_response_partition *only(void)
{
    CU_ASSERT_EQUAL_FATAL(answer.n_responses, 1);
    CU_ASSERT_EQUAL_FATAL(answer.responses[0].n_partitions, 1);
    return &answer.responses[0].partitions[0];
}

static const struct fetch_response_partition *fetch(int16_t version, const struct one_fetch *o)
{
    CU_ASSERT_FATAL(client_fetch(&client, version, &o->request, &answer));
    CU_ASSERT_EQUAL(answer.error_code, 0);
    return only();
}

static int64_t base_of(struct proto_records records)
{
    uint8_t b[8];
    chain_view_copy(records.view, b, 8);
    return bytes_get_i64(b);
}

static void every_version(void)
{
    up(NULL);
    struct plog *log = rig_log(topic, 1);
    rig_fill(&rig, log, 3, 200);
    log->start = 0;
    for (int16_t v = 4; v <= 18; v++) {
        struct one_fetch o;
        one_fetch_up(&o, topic, 1, 1, 100, 1);
        const struct fetch_response_partition *p = fetch(v, &o);
        CU_ASSERT_EQUAL(p->partition_index, 1);
        CU_ASSERT_EQUAL(p->error_code, 0);
        CU_ASSERT_EQUAL(p->high_watermark, 3);
        CU_ASSERT_EQUAL(p->last_stable_offset, 3);
        CU_ASSERT_EQUAL(p->log_start_offset, v >= 5 ? 0 : -1);
        CU_ASSERT_EQUAL(p->preferred_read_replica, -1);
        CU_ASSERT_EQUAL(p->n_aborted_transactions, -1);
        CU_ASSERT_EQUAL(p->records.view.len, 2 * 261);
        CU_ASSERT_EQUAL(base_of(p->records), 1);
        CU_ASSERT_EQUAL(answer.session_id, 0);
        if (v >= 13)
            CU_ASSERT(uuid_eq(&answer.responses[0].topic_id, &topic->view.id))
        else
            CU_ASSERT(str_eq(answer.responses[0].topic, topic->view.name));
        o.request.isolation_level = 1;
        p = fetch(v, &o);
        CU_ASSERT_EQUAL(p->n_aborted_transactions, 0);
        CU_ASSERT_EQUAL(p->records.view.len, 2 * 261);
    }
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->record_bytes_out, 15 * 2 * 2 * 261);
    down();
}

static void isolation(void)
{
    up(NULL);
    struct plog *log = rig_log(topic, 0);
    rig_fill(&rig, log, 4, 100);
    log->stable = 2;
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 0, 0, 1);
    CU_ASSERT_EQUAL(fetch(11, &o)->records.view.len, 4 * 161);
    o.request.isolation_level = 1;
    const struct fetch_response_partition *p = fetch(11, &o);
    CU_ASSERT_EQUAL(p->records.view.len, 2 * 161);
    CU_ASSERT_EQUAL(p->last_stable_offset, 2);
    CU_ASSERT_EQUAL(p->high_watermark, 4);
    o.request.isolation_level = 5;
    CU_ASSERT_FATAL(client_fetch(&client, 11, &o.request, &answer));
    CU_ASSERT_EQUAL(answer.error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(only()->error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_FATAL(client_fetch(&client, 13, &o.request, &answer));
    CU_ASSERT_EQUAL(answer.error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(answer.n_responses, 0);
    log->stable = -1;
    down();
}

struct many {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition parts[64];
};

static void many_up(struct many *m, int32_t n, int32_t part_max, int32_t max, int32_t wait,
                    int32_t min)
{
    memset(m, 0, sizeof(*m));
    fetch_request_init(&m->request);
    m->topic = (struct fetch_request_topic){topic->view.name, topic->view.id, m->parts, n};
    for (int32_t i = 0; i < n; i++) {
        fetch_request_partition_init(&m->parts[i]);
        m->parts[i].partition = i;
        m->parts[i].partition_max_bytes = part_max;
    }
    m->request.topics = &m->topic;
    m->request.n_topics = 1;
    m->request.max_bytes = max;
    m->request.max_wait_ms = wait;
    m->request.min_bytes = min;
}

static uint32_t got(int i)
{
    CU_ASSERT_EQUAL(answer.responses[0].partitions[i].error_code, 0);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[i].partition_index, i);
    return answer.responses[0].partitions[i].records.view.len;
}

/* Batches of 1,061 bytes in all four partitions. */
static void limits(void)
{
    up(NULL);
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), 5, 1000);
    struct many m;
    many_up(&m, 4, 1 << 20, 1 << 20, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(got(i), 5 * 1061);
    many_up(&m, 4, 2500, 1 << 20, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(got(i), 2 * 1061);
    /* The response's limit is used up in the order of partitions. */
    many_up(&m, 4, 1 << 20, 7500, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT(got(0) == 5 * 1061 && got(1) == 2 * 1061 && got(2) == 0 && got(3) == 0);
    /* One batch always goes, of the first partition that has any. */
    many_up(&m, 4, 10, 10, 0, 0);
    m.parts[0].fetch_offset = 5;
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT(got(0) == 0 && got(1) == 1061 && got(2) == 0 && got(3) == 0);
    many_up(&m, 4, 10, 1 << 20, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT(got(0) == 1061 && got(1) == 0 && got(2) == 0 && got(3) == 0);
    many_up(&m, 4, 0, 0, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT(got(0) == 1061 && got(1) == 0);
    /* Below zero Kafka trips, where there is anything to read; of the response's limit once. */
    many_up(&m, 4, 1 << 20, -1, 0, 0);
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT(got(1) == 1061 && got(2) == 0);
    many_up(&m, 4, -5, 1 << 20, 0, 0);
    m.parts[3].fetch_offset = 5;
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT_EQUAL(answer.responses[0].partitions[2].error_code, KERR_UNKNOWN_SERVER_ERROR);
    CU_ASSERT_EQUAL(got(3), 0);
    down();
}

/* The same, with logs that answer later and in any order. */
static void limits_of_slow_reads(void)
{
    up(NULL);
    for (int i = 0; i < 4; i++) {
        rig_fill(&rig, rig_log(topic, i), 5, 1000);
        rig_log(topic, i)->hold_reads = true;
    }
    static const struct {
        int32_t part_max, max;
        uint32_t want[4];
    } cases[] = {
        {2500, 1 << 20, {2122, 2122, 2122, 2122}},
        {1 << 20, 7500, {5305, 2122, 0, 0}},
        {10, 1 << 20, {1061, 0, 0, 0}},
        {3000, 5000, {2122, 2122, 0, 0}},
    };
    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
        struct many m;
        many_up(&m, 4, cases[c].part_max, cases[c].max, 0, 0);
        struct wire w = wire_of(&rig, fetch, API_Fetch, 11, 50, &m.request);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_settle(&rig);
        for (int round = 0; round < 4; round++)
            for (int i = 3; i >= 0; i--) {
                plog_double_release_reads(rig_log(topic, i));
                rig_settle(&rig);
            }
        CU_ASSERT_FATAL(client_take_fetch(&client, 11, 50, &answer));
        for (int i = 0; i < 4; i++)
            CU_ASSERT_EQUAL(got(i), cases[c].want[i]);
    }
    down();
}

static void start_fetch(const struct fetch_request *q, int32_t correlation)
{
    struct wire w = wire_of(&rig, fetch, API_Fetch, 12, correlation, q);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
}

static void waits_for_data(void)
{
    up(NULL);
    struct one_fetch o;
    one_fetch_up(&o, topic, 2, 0, 500, 1);
    start_fetch(&o.request, 1);
    rig_pass(&rig, 300);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    /* A fetch that waits on this conn delays no other conn. */
    struct rig_client other;
    client_up(&other, &rig, 0);
    struct one_fetch now;
    one_fetch_up(&now, topic, 2, 0, 0, 1);
    struct fetch_response r;
    CU_ASSERT(client_fetch(&other, 12, &now.request, &r));
    rig_fill(&rig, rig_log(topic, 2), 1, 100);
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &answer));
    CU_ASSERT_EQUAL(only()->records.view.len, 161);
    CU_ASSERT_EQUAL(only()->high_watermark, 1);
    client_down(&other);
    down();
}

static void waits_in_vain(void)
{
    up(NULL);
    struct one_fetch o;
    one_fetch_up(&o, topic, 2, 0, 500, 1);
    start_fetch(&o.request, 1);
    rig_pass(&rig, 498);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_pass(&rig, 4);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &answer));
    CU_ASSERT_EQUAL(only()->records.view.len, 0);
    CU_ASSERT(!only()->records.is_null);
    CU_ASSERT_EQUAL(only()->error_code, 0);
    down();
}

/* min_bytes over several partitions; what is there counts. */
static void waits_for_enough(void)
{
    up(NULL);
    rig_fill(&rig, rig_log(topic, 0), 1, 100);
    struct many m;
    many_up(&m, 4, 1 << 20, 1 << 20, 500, 500);
    start_fetch(&m.request, 1);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_fill(&rig, rig_log(topic, 3), 1, 100);
    rig_settle(&rig);
    rig_fill(&rig, rig_log(topic, 3), 1, 100);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_fill(&rig, rig_log(topic, 1), 1, 100);
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &answer));
    CU_ASSERT(got(0) == 161 && got(1) == 161 && got(2) == 0 && got(3) == 2 * 161);
    /* Not more than max_bytes is ever waited for. */
    many_up(&m, 4, 1 << 20, 300, 500, 100000);
    CU_ASSERT(client_fetch(&client, 12, &m.request, &answer));
    /* The deadline brings what there is. */
    many_up(&m, 4, 1 << 20, 1 << 20, 50, 100000);
    start_fetch(&m.request, 2);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_pass(&rig, 52);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 2, &answer));
    CU_ASSERT(got(3) == 2 * 161);
    down();
}

static void waiting_ends_with_the_log(void)
{
    up(NULL);
    struct many m;
    many_up(&m, 4, 1 << 20, 1 << 20, 500, 1);
    start_fetch(&m.request, 1);
    rig_log(topic, 1)->failed = true;
    plog_double_fire(rig_log(topic, 1));
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &answer));
    CU_ASSERT_EQUAL(answer.responses[0].partitions[1].error_code, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(answer.responses[0].partitions[1].high_watermark, -1);
    CU_ASSERT_EQUAL(got(0), 0);
    rig_log(topic, 1)->failed = false;
    /* A waiter that fires without news goes on waiting. */
    start_fetch(&m.request, 2);
    plog_double_fire(rig_log(topic, 0));
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_fill(&rig, rig_log(topic, 0), 1, 10);
    rig_settle(&rig);
    CU_ASSERT(client_take_fetch(&client, 12, 2, &answer));
    down();
}

static void topic_removed_while_waiting(void)
{
    up(NULL);
    struct one_fetch o;
    one_fetch_up(&o, topic, 2, 0, 100000, 1);
    start_fetch(&o.request, 1);
    rig_topic_remove(&rig, topic);
    CU_ASSERT_EQUAL(topic->updates_done, 1);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &answer));
    CU_ASSERT_EQUAL(only()->error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    down();
}

static void conn_gone_while_waiting(void)
{
    up(NULL);
    struct many m;
    many_up(&m, 4, 1 << 20, 1 << 20, 100000, 1);
    start_fetch(&m.request, 1);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 1);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_PTR_NULL(rig_log(topic, i)->waiters);
    down();
}

static void conn_gone_while_reading(void)
{
    up(NULL);
    rig_fill(&rig, rig_log(topic, 0), 3, 1000);
    rig_log(topic, 0)->hold_reads = true;
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 0, 100, 1);
    start_fetch(&o.request, 1);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 1);
    plog_double_release_reads(rig_log(topic, 0));
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    down();
}

static void errors(void)
{
    up(NULL);
    rig_fill(&rig, rig_log(topic, 0), 3, 100);
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 4, 1000, 1);
    const struct fetch_response_partition *p = fetch(11, &o); /* an error does not wait */
    CU_ASSERT_EQUAL(p->error_code, KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT(p->high_watermark == -1 && p->last_stable_offset == -1 && p->log_start_offset == -1);
    CU_ASSERT_EQUAL(p->n_aborted_transactions, -1);
    o.partition.fetch_offset = -1;
    CU_ASSERT_EQUAL(fetch(11, &o)->error_code, KERR_OFFSET_OUT_OF_RANGE);
    o.partition.fetch_offset = 0;
    topic->partitions[0].leader_epoch = 5;
    o.partition.current_leader_epoch = 4;
    CU_ASSERT_EQUAL(fetch(9, &o)->error_code, KERR_FENCED_LEADER_EPOCH);
    CU_ASSERT_EQUAL(only()->current_leader.leader_id, -1);
    CU_ASSERT_EQUAL(fetch(16, &o)->error_code, KERR_FENCED_LEADER_EPOCH);
    CU_ASSERT_EQUAL(only()->current_leader.leader_id, rig_node_id);
    CU_ASSERT_EQUAL(only()->current_leader.leader_epoch, 5);
    CU_ASSERT_EQUAL(answer.n_node_endpoints, 0);
    o.partition.current_leader_epoch = 6;
    CU_ASSERT_EQUAL(fetch(9, &o)->error_code, KERR_UNKNOWN_LEADER_EPOCH);
    o.partition.current_leader_epoch = 5;
    CU_ASSERT_EQUAL(fetch(9, &o)->error_code, 0);
    CU_ASSERT_EQUAL(fetch(8, &o)->error_code, 0);
    rig_log(topic, 0)->failed = true;
    CU_ASSERT_EQUAL(fetch(6, &o)->error_code, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(fetch(5, &o)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    rig_log(topic, 0)->failed = false;
    topic->partitions[0].leader_id = 8;
    CU_ASSERT_EQUAL(fetch(12, &o)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    topic->partitions[0].leader_id = rig_node_id;
    down();
}

/* KIP-951: who is told to look for the leader is told where it is. */
static void leader_hints(void)
{
    static const struct kafka_endpoint here = {STR("broker.example"), 19092, STR_NULL};
    struct rig_options o = {.kafka = {.endpoints = &here, .endpoint_count = 1}};
    up(&o);
    struct one_fetch f;
    one_fetch_up(&f, topic, 0, 0, 1000, 1);
    topic->partitions[0].leader_epoch = 5;
    f.partition.current_leader_epoch = 4;
    for (int16_t v = 12; v <= 18; v++) {
        CU_ASSERT_EQUAL(fetch(v, &f)->error_code, KERR_FENCED_LEADER_EPOCH);
        CU_ASSERT_EQUAL_FATAL(answer.n_node_endpoints, v >= 16 ? 1 : 0);
        if (v < 16)
            continue;
        CU_ASSERT_EQUAL(answer.node_endpoints[0].node_id, rig_node_id);
        CU_ASSERT(str_eqz(answer.node_endpoints[0].host, "broker.example"));
        CU_ASSERT_EQUAL(answer.node_endpoints[0].port, 19092);
        CU_ASSERT(str_is_null(answer.node_endpoints[0].rack));
    }
    topic->partitions[0].leader_id = 9; /* of another broker nothing more is known here */
    f.partition.current_leader_epoch = 5;
    CU_ASSERT_EQUAL(fetch(16, &f)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    CU_ASSERT_EQUAL(only()->current_leader.leader_id, 9);
    CU_ASSERT_EQUAL(answer.n_node_endpoints, 0);
    topic->partitions[0].leader_id = rig_node_id;
    struct one_produce p;
    struct produce_response r;
    uint8_t batch[200];
    rig_log(topic, 0)->append_error = KERR_NOT_LEADER_OR_FOLLOWER;
    one_produce_up(&p, &rig, topic, 0, 1, batch, rig_batch(&rig, batch, 1, 100, 1));
    for (int16_t v = 9; v <= 13; v++) {
        CU_ASSERT(client_produce(&client, v, &p.request, &r));
        CU_ASSERT_EQUAL(r.n_node_endpoints, v >= 10 ? 1 : 0);
        CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].current_leader.leader_epoch,
                        v >= 10 ? 5 : -1);
    }
    one_produce_down(&p);
    down();
}

static void followers(void)
{
    up(NULL);
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 0, 1000, 1);
    o.request.replica_id = 3;
    CU_ASSERT_EQUAL(fetch(12, &o)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    o.partition.current_leader_epoch = 0;
    CU_ASSERT_EQUAL(fetch(12, &o)->error_code, KERR_UNKNOWN_LEADER_EPOCH);
    o.request.replica_id = -1;
    o.request.replica_state.replica_id = 3;
    CU_ASSERT_EQUAL(fetch(15, &o)->error_code, KERR_UNKNOWN_LEADER_EPOCH);
    CU_ASSERT_EQUAL(fetch(18, &o)->error_code, KERR_UNKNOWN_LEADER_EPOCH);
    down();
}

/* Unknown partitions stand behind the known ones, and do not end the waiting for those. */
static void unknown_ones(void)
{
    up(NULL);
    struct fetch_request_partition a, b[2];
    fetch_request_partition_init(&a);
    a.partition_max_bytes = 1 << 20;
    b[0] = b[1] = a;
    b[0].partition = 77;
    b[1].partition = 1;
    struct fetch_request_topic t[2] = {{STR("nobody"), {{1}}, &a, 1},
                                       {topic->view.name, topic->view.id, b, 2}};
    struct fetch_request q;
    fetch_request_init(&q);
    q.topics = t;
    q.n_topics = 2;
    q.max_wait_ms = 100;
    q.min_bytes = 1;
    for (int16_t v = 4; v <= 18; v += 7) {
        struct wire w = wire_of(&rig, fetch, API_Fetch, v, 3, &q);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_pass(&rig, 90);
        CU_ASSERT_EQUAL(client_take(&client), -1);
        rig_pass(&rig, 12);
        CU_ASSERT_FATAL(client_take_fetch(&client, v, 3, &answer));
        CU_ASSERT_EQUAL_FATAL(answer.n_responses, 3);
        CU_ASSERT_EQUAL(answer.responses[0].partitions[0].partition_index, 1);
        CU_ASSERT_EQUAL(answer.responses[0].partitions[0].error_code, 0);
        CU_ASSERT_EQUAL(answer.responses[1].partitions[0].error_code,
                        v >= 13 ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION);
        CU_ASSERT_EQUAL(answer.responses[1].partitions[0].n_aborted_transactions, 0);
        CU_ASSERT(v >= 13 || str_eqz(answer.responses[1].topic, "nobody"));
        CU_ASSERT_EQUAL(answer.responses[2].partitions[0].partition_index, 77);
        CU_ASSERT_EQUAL(answer.responses[2].partitions[0].error_code,
                        KERR_UNKNOWN_TOPIC_OR_PARTITION);
    }
    /* Nothing but unknown ones: at once. */
    q.n_topics = 1;
    CU_ASSERT(client_fetch(&client, 11, &q, &answer));
    q.n_topics = 0;
    CU_ASSERT(client_fetch(&client, 11, &q, &answer));
    CU_ASSERT_EQUAL(answer.n_responses, 0);
    down();
}

static void named_twice(void)
{
    up(NULL);
    rig_fill(&rig, rig_log(topic, 0), 3, 100);
    struct many m;
    many_up(&m, 4, 1 << 20, 1 << 20, 0, 1);
    m.parts[3].partition = 0;
    m.parts[3].fetch_offset = 2;
    CU_ASSERT(client_fetch(&client, 11, &m.request, &answer));
    CU_ASSERT_EQUAL(answer.responses[0].n_partitions, 3);
    CU_ASSERT_EQUAL(got(0), 161); /* the last offset, at the first place */
    down();
}

static void diverging(void)
{
    up(NULL);
    struct plog *log = rig_log(topic, 0);
    rig_fill(&rig, log, 6, 100);
    log->epochs[0].epoch = 1;
    log->epochs[1].epoch = 4;
    log->epochs[1].start = 3;
    log->epoch_count = 2;
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 5, 1000, 1);
    o.partition.last_fetched_epoch = 4;
    CU_ASSERT_EQUAL(fetch(12, &o)->records.view.len, 161);
    CU_ASSERT_EQUAL(only()->diverging_epoch.epoch, -1);
    o.partition.last_fetched_epoch = 3; /* we know only that 1 ends at 3 */
    const struct fetch_response_partition *p = fetch(12, &o);
    CU_ASSERT_EQUAL(p->error_code, 0);
    CU_ASSERT_EQUAL(p->records.view.len, 0);
    CU_ASSERT(p->diverging_epoch.epoch == 1 && p->diverging_epoch.end_offset == 3);
    CU_ASSERT_EQUAL(p->high_watermark, 6);
    o.partition.last_fetched_epoch = 1; /* offset 5 is behind its end */
    CU_ASSERT_EQUAL(fetch(17, &o)->diverging_epoch.end_offset, 3);
    o.partition.fetch_offset = 3;
    CU_ASSERT_EQUAL(fetch(12, &o)->records.view.len, 3 * 161);
    o.partition.last_fetched_epoch = 0;
    CU_ASSERT_EQUAL(fetch(12, &o)->error_code, KERR_OFFSET_OUT_OF_RANGE);
    o.partition.last_fetched_epoch = 9;
    CU_ASSERT_EQUAL(fetch(12, &o)->error_code, KERR_OFFSET_OUT_OF_RANGE);
    down();
}

/* A produced record is in the answer of the fetch that waited for it in the same step. */
static void end_to_end(void)
{
    up(NULL);
    struct rig_client producer;
    static uint8_t batch[1000];
    client_up(&producer, &rig, 0);
    for (int64_t i = 0; i < 50; i++) {
        struct one_fetch o;
        struct one_produce q;
        struct produce_response r;
        one_fetch_up(&o, topic, 3, i, 500, 1);
        start_fetch(&o.request, (int32_t)i);
        one_produce_up(&q, &rig, topic, 3, 1, batch, rig_batch(&rig, batch, 1, 100, 5));
        CU_ASSERT(client_produce(&producer, 9, &q.request, &r));
        one_produce_down(&q);
        CU_ASSERT_FATAL(client_take_fetch(&client, 12, (int32_t)i, &answer));
        CU_ASSERT_EQUAL(base_of(only()->records), i);
    }
    CU_ASSERT_EQUAL(rig.clock.mono, 1000 * CLOCK_NS_PER_MS);
    client_down(&producer);
    down();
}

RIG_MAIN("dataplane/kafka/fetch", UNIT_CASE(every_version), UNIT_CASE(isolation), UNIT_CASE(limits),
         UNIT_CASE(limits_of_slow_reads), UNIT_CASE(waits_for_data), UNIT_CASE(waits_in_vain),
         UNIT_CASE(waits_for_enough), UNIT_CASE(waiting_ends_with_the_log),
         UNIT_CASE(topic_removed_while_waiting), UNIT_CASE(conn_gone_while_waiting),
         UNIT_CASE(conn_gone_while_reading), UNIT_CASE(errors), UNIT_CASE(leader_hints),
         UNIT_CASE(followers), UNIT_CASE(unknown_ones), UNIT_CASE(named_twice),
         UNIT_CASE(diverging), UNIT_CASE(end_to_end))
