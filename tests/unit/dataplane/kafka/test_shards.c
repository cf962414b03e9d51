/* Two shards in one thread: partitions that another shard owns, for every kind of request. */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic; /* partition 0 is on shard 0, 1 on shard 1, ... */
static uint8_t batch[rig_batch_bytes_max];

static void up(void)
{
    struct rig_options o = {.shards = 2};
    rig_up(&rig, &o);
    topic = rig_topic_add(&rig, "events", 4, 0);
    client_up(&client, &rig, 0);
}

static void down(void)
{
    client_down(&client);
    rig_down(&rig);
}

static void send_produce(struct rig_client *c, int32_t correlation, int32_t partition)
{
    struct one_produce o;
    one_produce_up(&o, &rig, topic, partition, 1, batch, rig_batch(&rig, batch, 1, 5000, 1000));
    struct wire w = wire_of(&rig, produce, API_Produce, 9, correlation, &o.request);
    one_produce_down(&o);
    client_send(c, w.p, w.n);
    wire_free(&w);
}

static void produce_everywhere(void)
{
    up();
    for (int32_t i = 0; i < 40; i++)
        send_produce(&client, i, i % 4);
    rig_settle(&rig);
    for (int32_t i = 0; i < 40; i++) {
        struct produce_response r;
        CU_ASSERT_FATAL(client_take_produce(&client, 9, i, &r));
        const struct produce_response_partition *p = &r.responses[0].partition_responses[0];
        CU_ASSERT(p->error_code == 0 && p->base_offset == i / 4);
    }
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(rig_log(topic, i)->appends, 10);
    down();
}

/* One request over both shards, with a partition that nobody knows. */
static void one_request_many_shards(void)
{
    up();
    struct chain rec = {0};
    uint32_t n = rig_batch(&rig, batch, 2, 3000, 1000);
    chain_append_bytes(&rec, rig.shards[0].shard.mem.rx_pool, batch, n);
    struct proto_records r = proto_records_of(&rec);
    struct produce_request_partition p[] = {{3, r}, {0, r}, {9, r}, {1, r}, {2, r}};
    struct produce_request_topic t = {topic->view.name, topic->view.id, p, 5};
    struct produce_request q = {.acks = -1, .topic_data = &t, .n_topic_data = 1};
    struct produce_response a;
    for (int16_t v = 3; v <= 13; v++) {
        CU_ASSERT_FATAL(client_produce(&client, v, &q, &a));
        for (int i = 0; i < 5; i++) {
            CU_ASSERT_EQUAL(a.responses[0].partition_responses[i].index, p[i].index);
            CU_ASSERT_EQUAL(a.responses[0].partition_responses[i].error_code,
                            i == 2 ? KERR_UNKNOWN_TOPIC_OR_PARTITION : 0);
        }
    }
    const struct plog *log = rig_log(topic, 3);
    CU_ASSERT_EQUAL(log->appends, 11);
    CU_ASSERT_EQUAL(memcmp(log->bytes + log->batches[10].pos + 61, batch + 61, 3000), 0);
    chain_free(&rec);
    down();
}

/* The owner has no log memory: appends of a conn keep their order there. */
static void owner_without_memory(void)
{
    up();
    struct rig_shard *owner = &rig.shards[1];
    struct chunk *taken = NULL;
    CU_ASSERT_EQUAL_FATAL(cache_take(owner->cache, 64, &taken), 0);
    rig_log(topic, 1)->no_memory = true;
    for (int32_t i = 0; i < 8; i++) {
        send_produce(&client, i, 1);
        rig_settle(&rig);
    }
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_log(topic, 1)->no_memory = false;
    send_produce(&client, 8, 1); /* does not overtake */
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    while (taken != NULL) {
        struct chunk *next = taken->next;
        chunk_release(owner->cache, taken);
        taken = next;
    }
    cache_run(owner->cache, rig.clock.mono, 100);
    rig_settle(&rig);
    for (int32_t i = 0; i < 9; i++) {
        struct produce_response r;
        CU_ASSERT_FATAL(client_take_produce(&client, 9, i, &r));
        CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].base_offset, i);
    }
    down();
}

static void conn_gone(void)
{
    up();
    rig_log(topic, 1)->hold_flush = true;
    send_produce(&client, 1, 1);
    rig_settle(&rig);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 1);
    CU_ASSERT(rig.shards[0].shard.mem.requests.used > 0);
    rig_topic_remove(&rig, topic);
    CU_ASSERT_EQUAL(topic->updates_done, 1); /* of shard 1, which has no request with it */
    rig_log(topic, 1)->hold_flush = false;
    rig_settle(&rig);
    CU_ASSERT_EQUAL(topic->updates_done, 2);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    CU_ASSERT_EQUAL(rig.shards[0].shard.mem.requests.used, 0);
    down();
}

struct many {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition parts[4];
};

static void many_up(struct many *m, int32_t part_max, int32_t max, int32_t wait, int32_t min)
{
    memset(m, 0, sizeof(*m));
    fetch_request_init(&m->request);
    m->topic = (struct fetch_request_topic){topic->view.name, topic->view.id, m->parts, 4};
    for (int32_t i = 0; i < 4; i++) {
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

static void check_sizes(const struct fetch_response *r, uint32_t a, uint32_t b, uint32_t c,
                        uint32_t d)
{
    uint32_t want[] = {a, b, c, d};
    CU_ASSERT_EQUAL_FATAL(r->responses[0].n_partitions, 4);
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(r->responses[0].partitions[i].error_code, 0);
        CU_ASSERT_EQUAL(r->responses[0].partitions[i].records.view.len, want[i]);
    }
}

static void fetch_everywhere(void)
{
    up();
    struct many m;
    struct fetch_response r;
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), 5, 1000);
    many_up(&m, 1 << 20, 1 << 20, 0, 0);
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    check_sizes(&r, 5305, 5305, 5305, 5305);
    many_up(&m, 1 << 20, 7500, 0, 0);
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    check_sizes(&r, 5305, 2122, 0, 0);
    many_up(&m, 10, 1 << 20, 0, 0);
    m.parts[0].fetch_offset = 5;
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    check_sizes(&r, 0, 1061, 0, 0);
    m.parts[1].fetch_offset = 6;
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    CU_ASSERT_EQUAL(r.responses[0].partitions[1].error_code, KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(r.responses[0].partitions[1].high_watermark, -1);
    down();
}

static void start_fetch(const struct many *m, int32_t correlation)
{
    struct wire w = wire_of(&rig, fetch, API_Fetch, 12, correlation, &m->request);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
}

static void no_waiter_left(void)
{
    for (int i = 0; i < 4; i++)
        CU_ASSERT_PTR_NULL(rig_log(topic, i)->waiters);
}

static void delayed_fetch(void)
{
    up();
    struct many m;
    struct fetch_response r;
    many_up(&m, 1 << 20, 1 << 20, 500, 300);
    start_fetch(&m, 1);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_fill(&rig, rig_log(topic, 1), 1, 100); /* too little */
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_fill(&rig, rig_log(topic, 3), 1, 100);
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 1, &r));
    check_sizes(&r, 0, 161, 0, 161);
    no_waiter_left();
    /* The deadline takes the waits back. */
    many_up(&m, 1 << 20, 1 << 20, 100, 30000);
    start_fetch(&m, 2);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_pass(&rig, 102);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 2, &r));
    check_sizes(&r, 0, 161, 0, 161);
    no_waiter_left();
    /* So does an error on the other shard, */
    start_fetch(&m, 3);
    rig_log(topic, 3)->failed = true;
    plog_double_fire(rig_log(topic, 3));
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_fetch(&client, 12, 3, &r));
    CU_ASSERT_EQUAL(r.responses[0].partitions[3].error_code, KERR_KAFKA_STORAGE_ERROR);
    rig_log(topic, 3)->failed = false;
    no_waiter_left();
    /* and the end of the conn. */
    start_fetch(&m, 4);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    no_waiter_left();
    down();
}

/* News and deadlines that cross on the way between the shards. */
static void crossing(void)
{
    up();
    static struct rig_client readers[6];
    static int32_t correlation[6];
    for (int i = 0; i < 6; i++)
        client_up(&readers[i], &rig, (uint32_t)i % 2);
    struct many m;
    int answers = 0;
    bool waiting[6] = {false};
    for (int round = 0; round < 3000; round++) {
        int i = (int)rng_below(&rig.rng, 6);
        struct fetch_response r;
        if (!waiting[i]) {
            many_up(&m, 1 << 20, 1 << 20, (int32_t)rng_below(&rig.rng, 4), 200);
            for (int j = 0; j < 4; j++)
                m.parts[j].fetch_offset = rig_log(topic, j)->end;
            struct wire w = wire_of(&rig, fetch, API_Fetch, 12, ++correlation[i], &m.request);
            client_send_some(&readers[i], w.p, w.n);
            wire_free(&w);
            waiting[i] = true;
        }
        if (rng_below(&rig.rng, 3) == 0)
            rig_fill(&rig, rig_log(topic, (int)rng_below(&rig.rng, 4)), 1, 100);
        /* Steps of one shard at a time, so that messages cross. */
        for (uint64_t k = rng_below(&rig.rng, 4); k > 0; k--) {
            sim_step(rig.sim, rig.clock.mono);
            shard_step(&rig.shards[rng_below(&rig.rng, 2)].shard, rig.clock.mono);
        }
        if (rng_below(&rig.rng, 4) == 0)
            clock_manual_advance(&rig.clock, CLOCK_NS_PER_MS);
        if (waiting[i] && client_take_fetch(&readers[i], 12, correlation[i], &r)) {
            waiting[i] = false;
            answers++;
        }
    }
    rig_pass(&rig, 10);
    for (int i = 0; i < 6; i++) {
        struct fetch_response r;
        if (waiting[i])
            CU_ASSERT(client_take_fetch(&readers[i], 12, correlation[i], &r));
        client_down(&readers[i]);
    }
    CU_ASSERT(answers > 500);
    no_waiter_left();
    down();
}

static void list_offsets(void)
{
    up();
    for (int i = 0; i < 4; i++)
        rig_fill(&rig, rig_log(topic, i), (uint32_t)i + 1, 100);
    struct list_offsets_request_partition p[] = {
        {0, -1, -1}, {1, -1, -1}, {2, -1, 1001}, {3, -1, 1003}};
    struct list_offsets_request_topic t = {topic->view.name, p, 4};
    struct list_offsets_request q = {.replica_id = -1, .topics = &t, .n_topics = 1};
    struct list_offsets_response r;
    CU_ASSERT(client_list(&client, 7, &q, &r));
    static const int64_t want[] = {1, 2, 1, 3};
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(r.topics[0].partitions[i].error_code, 0);
        CU_ASSERT_EQUAL(r.topics[0].partitions[i].offset, want[i]);
    }
    rig_log(topic, 3)->failed = true;
    CU_ASSERT(client_list(&client, 7, &q, &r));
    CU_ASSERT_EQUAL(r.topics[0].partitions[3].error_code, KERR_KAFKA_STORAGE_ERROR);
    down();
}

/* A session of one shard is not found on another; ids never collide. */
static void sessions_stay_at_home(void)
{
    up();
    struct rig_client other;
    struct fetch_response r;
    struct many m;
    client_up(&other, &rig, 1);
    many_up(&m, 1 << 20, 1 << 20, 0, 0);
    m.request.session_epoch = 0;
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    int32_t here = r.session_id;
    CU_ASSERT(client_fetch(&other, 12, &m.request, &r));
    int32_t there = r.session_id;
    CU_ASSERT(here != 0 && there != 0);
    CU_ASSERT_EQUAL(here / (INT32_MAX / shard_count_max), 0);
    CU_ASSERT_EQUAL(there / (INT32_MAX / shard_count_max), 1);
    m.request.session_id = here;
    m.request.session_epoch = 1;
    CU_ASSERT(client_fetch(&other, 12, &m.request, &r));
    CU_ASSERT_EQUAL(r.error_code, KERR_FETCH_SESSION_ID_NOT_FOUND);
    CU_ASSERT(client_fetch(&client, 12, &m.request, &r));
    CU_ASSERT_EQUAL(r.error_code, 0);
    client_down(&other);
    down();
}

RIG_MAIN("dataplane/kafka/shards", UNIT_CASE(produce_everywhere),
         UNIT_CASE(one_request_many_shards), UNIT_CASE(owner_without_memory), UNIT_CASE(conn_gone),
         UNIT_CASE(fetch_everywhere), UNIT_CASE(delayed_fetch), UNIT_CASE(crossing),
         UNIT_CASE(list_offsets), UNIT_CASE(sessions_stay_at_home))
