/* Produce: every version, every answer that needs no disk, order, acks, log memory. */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static uint8_t batch[rig_batch_bytes_max];

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

/* Sends one batch to one partition; the only partition of the answer. */
static const struct produce_response_partition *
produce(int16_t version, int32_t partition, int16_t acks, const void *records, uint32_t n)
{
    static struct produce_response r;
    struct one_produce o;
    one_produce_up(&o, &rig, topic, partition, acks, records, n);
    bool ok = client_produce(&client, version, &o.request, &r);
    one_produce_down(&o);
    CU_ASSERT_FATAL(ok);
    CU_ASSERT_EQUAL_FATAL(r.n_responses, 1);
    CU_ASSERT_EQUAL_FATAL(r.responses[0].n_partition_responses, 1);
    if (version >= 13)
        CU_ASSERT(uuid_eq(&r.responses[0].topic_id, &topic->view.id))
    else
        CU_ASSERT(str_eq(r.responses[0].name, topic->view.name));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].index, partition);
    return &r.responses[0].partition_responses[0];
}

static int16_t produce_error(int16_t version, const void *records, uint32_t n)
{
    return produce(version, 0, 1, records, n)->error_code;
}

static void every_version(void)
{
    up(NULL);
    int64_t next = 0;
    uint64_t bytes = 0;
    for (int16_t v = 3; v <= 13; v++) {
        uint32_t n = rig_batch(&rig, batch, 5, 300, 1000);
        bytes += n;
        const struct produce_response_partition *p = produce(v, 1, v % 2 ? 1 : -1, batch, n);
        CU_ASSERT_EQUAL(p->error_code, 0);
        CU_ASSERT_EQUAL(p->base_offset, next);
        CU_ASSERT_EQUAL(p->log_append_time_ms, -1);
        CU_ASSERT_EQUAL(p->log_start_offset, v >= 5 ? 0 : -1);
        next += 5;
    }
    const struct plog *log = rig_log(topic, 1);
    CU_ASSERT_EQUAL(log->end, next);
    CU_ASSERT_EQUAL(memcmp(log->bytes + log->used - 300, batch + 61, 300), 0);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests[API_Produce], 11);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->records_in, 55);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->record_bytes_in, bytes);
    down();
}

static void batch_is_looked_at(void)
{
    up(NULL);
    uint32_t n = rig_batch(&rig, batch, 1, 50, 1000);
    CU_ASSERT_EQUAL(produce_error(9, batch, 0), KERR_INVALID_RECORD);
    CU_ASSERT_EQUAL(produce_error(9, batch, 11), KERR_INVALID_RECORD);
    CU_ASSERT_EQUAL(produce_error(9, batch, 16), KERR_INVALID_RECORD);
    CU_ASSERT_EQUAL(produce_error(9, batch, n - 1), KERR_INVALID_RECORD);
    batch[16] = 1;
    CU_ASSERT_EQUAL(produce_error(9, batch, n), KERR_INVALID_RECORD);
    batch[16] = 3;
    CU_ASSERT_EQUAL(produce_error(9, batch, n), KERR_CORRUPT_MESSAGE);
    batch[16] = 2;
    batch[22] = 4; /* zstd */
    CU_ASSERT_EQUAL(produce_error(6, batch, n), KERR_UNSUPPORTED_COMPRESSION_TYPE);
    CU_ASSERT_EQUAL(produce_error(7, batch, n), 0);
    batch[22] = 0x10; /* transactional */
    CU_ASSERT_EQUAL(produce_error(9, batch, n), KERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    n = rig_batch(&rig, batch, 1, 50, 1000);
    memcpy(batch + n, batch, n);
    CU_ASSERT_EQUAL(produce_error(9, batch, 2 * n), KERR_INVALID_RECORD);
    /* Less than a batch behind the first is dropped, as Kafka drops it. */
    CU_ASSERT_EQUAL(produce_error(9, batch, n + 30), 0);
    const struct plog *log = rig_log(topic, 0);
    CU_ASSERT_EQUAL(log->batches[log->count - 1].len, n);
    bytes_put_u32(batch + 8, 13);
    const struct produce_response_partition *p = produce(9, 0, 1, batch, n);
    CU_ASSERT_EQUAL(p->error_code, KERR_CORRUPT_MESSAGE);
    CU_ASSERT(
        str_eqz(p->error_message, "Record size 13 is less than the minimum record overhead (14)"));
    CU_ASSERT_EQUAL(p->base_offset, -1);
    down();
}

static void unknown_and_unfit(void)
{
    up(NULL);
    struct rig_topic stranger = {.view = {.name = STR("nobody")}};
    struct rig_topic *known = topic;
    uint32_t n = rig_batch(&rig, batch, 1, 50, 1000);
    topic = &stranger;
    CU_ASSERT_EQUAL(produce_error(3, batch, n), KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(produce_error(12, batch, n), KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(produce_error(13, batch, n), KERR_UNKNOWN_TOPIC_ID);
    stranger.view.id = uuid_random(&rig.rng);
    CU_ASSERT_EQUAL(produce_error(13, batch, n), KERR_UNKNOWN_TOPIC_ID);
    topic = known;
    CU_ASSERT_EQUAL(produce(9, 4, 1, batch, n)->error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(produce(9, -1, 1, batch, n)->error_code, KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(produce(9, 0, 2, batch, n)->error_code, KERR_INVALID_REQUIRED_ACKS);
    CU_ASSERT_EQUAL(produce(9, 0, -2, batch, n)->error_code, KERR_INVALID_REQUIRED_ACKS);
    topic->view.internal = true;
    CU_ASSERT_EQUAL(produce(9, 0, 1, batch, n)->error_code, KERR_INVALID_TOPIC_EXCEPTION);
    topic->view.internal = false;
    topic->partitions[0].plog = NULL;
    CU_ASSERT_EQUAL(produce(9, 0, 1, batch, n)->error_code, KERR_KAFKA_STORAGE_ERROR);
    topic->partitions[1].leader_id = 3;
    topic->partitions[1].leader_epoch = 11;
    CU_ASSERT_EQUAL(produce(9, 1, 1, batch, n)->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    const struct produce_response_partition *p = produce(10, 1, 1, batch, n);
    CU_ASSERT_EQUAL(p->error_code, KERR_NOT_LEADER_OR_FOLLOWER);
    CU_ASSERT(p->current_leader.leader_id == 3 && p->current_leader.leader_epoch == 11);
    CU_ASSERT_EQUAL(rig_log(topic, 1)->appends, 0);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->errors[API_Produce], 12);
    topic->partitions[0].plog = rig.shards[0].logs; /* whichever: for taking down */
    down();
}

static void errors_of_the_log(void)
{
    up(NULL);
    uint32_t n = rig_batch(&rig, batch, 1, 50, 1000);
    struct plog *log = rig_log(topic, 2);
    log->append_error = KERR_INVALID_RECORD;
    log->append_message = "two of them are wrong";
    log->append_record_errors = 2;
    log->start = 42;
    const struct produce_response_partition *p = produce(8, 2, 1, batch, n);
    CU_ASSERT_EQUAL(p->error_code, KERR_INVALID_RECORD);
    CU_ASSERT_EQUAL(p->base_offset, -1);
    CU_ASSERT_EQUAL(p->log_start_offset, 42);
    CU_ASSERT(str_eqz(p->error_message, "two of them are wrong"));
    CU_ASSERT_EQUAL_FATAL(p->n_record_errors, 2);
    CU_ASSERT_EQUAL(p->record_errors[1].batch_index, 3);
    CU_ASSERT(str_is_null(p->record_errors[0].batch_index_error_message));
    CU_ASSERT(str_eqz(p->record_errors[1].batch_index_error_message, "odd"));
    log->append_error = 0;
    log->append_time_ms = 1234567;
    CU_ASSERT_EQUAL(produce(8, 2, 1, batch, n)->log_append_time_ms, 1234567);
    down();
}

/* Several topics and partitions, some bad, a partition and a topic named twice. */
static void many_in_one(void)
{
    up(NULL);
    struct rig_topic *other = rig_topic_add(&rig, "other", 2, 0);
    struct chain rec[3] = {0};
    uint32_t n = rig_batch(&rig, batch, 3, 50, 1000);
    for (int i = 0; i < 3; i++)
        chain_append_bytes(&rec[i], rig.shards[0].shard.mem.rx_pool, batch, n);
    struct proto_records ok = proto_records_of(&rec[0]), again = proto_records_of(&rec[1]);
    struct produce_request_partition a[] = {{0, ok}, {9, ok}, {1, ok}};
    struct produce_request_partition b[] = {{1, ok}};
    struct produce_request_partition c[] = {{3, ok}, {0, again}};
    struct produce_request_partition d[] = {{0, PROTO_RECORDS_NULL}};
    struct produce_request_topic topics[] = {
        {topic->view.name, topic->view.id, a, 3},
        {other->view.name, other->view.id, b, 1},
        {topic->view.name, topic->view.id, c, 2},
        {STR("nobody"), {{9}}, d, 1},
    };
    struct produce_request q;
    produce_request_init(&q);
    q.acks = 1;
    q.topic_data = topics;
    q.n_topic_data = 4;
    for (int16_t v = 3; v <= 13; v++) {
        struct produce_response r;
        CU_ASSERT_FATAL(client_produce(&client, v, &q, &r));
        CU_ASSERT_EQUAL_FATAL(r.n_responses, 3);
        const struct produce_response_topic *t = &r.responses[0];
        CU_ASSERT_EQUAL_FATAL(t->n_partition_responses, 4);
        int32_t index[] = {0, 9, 1, 3};
        for (int i = 0; i < 4; i++) {
            CU_ASSERT_EQUAL(t->partition_responses[i].index, index[i]);
            CU_ASSERT_EQUAL(t->partition_responses[i].error_code,
                            i == 1 ? KERR_UNKNOWN_TOPIC_OR_PARTITION : 0);
        }
        CU_ASSERT_EQUAL(r.responses[1].partition_responses[0].error_code, 0);
        CU_ASSERT_EQUAL(r.responses[2].partition_responses[0].error_code,
                        v >= 13 ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION);
        CU_ASSERT(v >= 13 || str_eqz(r.responses[2].name, "nobody"));
    }
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 11);
    CU_ASSERT_EQUAL(rig_log(topic, 3)->appends, 11);
    CU_ASSERT_EQUAL(rig_log(other, 1)->appends, 11);
    for (int i = 0; i < 3; i++)
        chain_free(&rec[i]);
    down();
}

static void null_records(void)
{
    up(NULL);
    struct one_produce o;
    struct produce_response r;
    one_produce_up(&o, &rig, topic, 0, 1, "", 0);
    o.partition.records = PROTO_RECORDS_NULL;
    for (int16_t v = 3; v <= 13; v += 5) {
        CU_ASSERT_FATAL(client_produce(&client, v, &o.request, &r));
        CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, KERR_INVALID_RECORD);
    }
    o.request.n_topic_data = 0;
    CU_ASSERT_FATAL(client_produce(&client, 9, &o.request, &r));
    CU_ASSERT_EQUAL(r.n_responses, 0);
    one_produce_down(&o);
    down();
}

static struct wire wire_produce(int16_t version, int32_t correlation, int32_t partition,
                                int16_t acks, int32_t records)
{
    struct one_produce o;
    uint32_t n = rig_batch(&rig, batch, records, 100, 1000);
    one_produce_up(&o, &rig, topic, partition, acks, batch, n);
    struct wire w = wire_of(&rig, produce, API_Produce, version, correlation, &o.request);
    one_produce_down(&o);
    return w;
}

static void send_produce(int16_t version, int32_t correlation, int32_t partition, int16_t acks)
{
    struct wire w = wire_produce(version, correlation, partition, acks, 1);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
}

/* Requests are appended side by side, and answered in their order. */
static void pipelined(void)
{
    up(NULL);
    rig_log(topic, 0)->hold_flush = true;
    rig_log(topic, 2)->hold_flush = true;
    for (int32_t i = 0; i < 10; i++)
        send_produce(9, i, i % 3, 1);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 4);
    CU_ASSERT_EQUAL(rig_log(topic, 1)->appends, 3);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    struct produce_response r;
    rig_log(topic, 0)->hold_flush = false;
    rig_settle(&rig);
    CU_ASSERT(client_take_produce(&client, 9, 0, &r));
    CU_ASSERT(client_take_produce(&client, 9, 1, &r));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    rig_log(topic, 2)->hold_flush = false;
    rig_settle(&rig);
    for (int32_t i = 2; i < 10; i++)
        CU_ASSERT(client_take_produce(&client, 9, i, &r));
    down();
}

static void inflight_is_bounded(void)
{
    up(NULL);
    rig_log(topic, 0)->hold_flush = true;
    for (int32_t i = 0; i < conn_inflight_requests_max + 20; i++)
        send_produce(9, i, 0, 1);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, conn_inflight_requests_max);
    rig_log(topic, 0)->hold_flush = false;
    rig_settle(&rig);
    struct produce_response r;
    for (int32_t i = 0; i < conn_inflight_requests_max + 20; i++)
        CU_ASSERT(client_take_produce(&client, 9, i, &r));
    down();
}

static void without_acks(void)
{
    up(NULL);
    send_produce(9, 1, 0, 0);
    send_produce(9, 2, 0, 0);
    send_produce(9, 3, 0, 1);
    struct produce_response r;
    CU_ASSERT(client_take_produce(&client, 9, 3, &r));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 3);
    CU_ASSERT(client_open(&client));
    /* An error has no reply to travel in: the conn is closed, what was before it is answered. */
    struct wire a = wire_produce(9, 4, 0, 1, 1), b = wire_produce(9, 5, 77, 0, 1),
                c = wire_produce(9, 6, 0, 1, 1);
    client_send(&client, a.p, a.n);
    client_send(&client, b.p, b.n);
    client_send(&client, c.p, c.n);
    rig_settle(&rig);
    CU_ASSERT(client_take_produce(&client, 9, 4, &r));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT(!client_open(&client));
    wire_free(&a);
    wire_free(&b);
    wire_free(&c);
    down();
}

static void acks_0_error_from_the_log(void)
{
    up(NULL);
    rig_log(topic, 0)->append_error = KERR_MESSAGE_TOO_LARGE;
    send_produce(9, 1, 0, 0);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT(!client_open(&client));
    down();
}

/*
 * Without log memory appends wait in one line, and new ones stay unread; then all go on in order.
 */
static void no_log_memory(void)
{
    up(NULL);
    struct rig_client second;
    client_up(&second, &rig, 0);
    struct rig_shard *s = &rig.shards[0];
    struct chunk *taken = NULL;
    CU_ASSERT_EQUAL_FATAL(cache_take(s->cache, 64, &taken), 0);
    for (int i = 0; i < 3; i++)
        rig_log(topic, i)->no_memory = true;
    for (int32_t i = 0; i < 6; i++)
        send_produce(9, i, i % 3, 1);
    struct wire w = wire_produce(9, 77, 1, 1, 1);
    client_send(&second, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT(kafka_counters(s->kafka)->requests_in_work <= 2);
    for (int i = 0; i < 3; i++)
        rig_log(topic, i)->no_memory = false;
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&client), -1); /* nobody said that there is memory */
    while (taken != NULL) {
        struct chunk *next = taken->next;
        chunk_release(s->cache, taken);
        taken = next;
    }
    cache_run(s->cache, rig.clock.mono, 100);
    rig_settle(&rig);
    struct produce_response r;
    for (int32_t i = 0; i < 6; i++) {
        CU_ASSERT(client_take_produce(&client, 9, i, &r));
        CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, 0);
    }
    CU_ASSERT(client_take_produce(&second, 9, 77, &r));
    client_down(&second);
    down();
}

/*
 * Partitions that failed hold log memory until the next start: an append that it is too little for
 * is told so, also one that waited before, and one that fits goes on.
 */
static void log_memory_is_kept(void)
{
    up(NULL);
    struct rig_shard *s = &rig.shards[0];
    struct chunk *taken = NULL;
    struct produce_response r;
    uint32_t chunks = cache_size(s->cache);
    CU_ASSERT_EQUAL_FATAL(cache_take(s->cache, chunks, &taken), 0);
    rig_log(topic, 0)->no_memory = true;
    send_produce(9, 1, 0, 1);
    send_produce(9, 2, 1, 1); /* behind it in the line */
    CU_ASSERT_EQUAL(client_take(&client), -1);
    for (uint32_t i = 0; i < chunks; i++) {
        if (i == chunks - 1) /* two could come back until now, as many as it may take */
            CU_ASSERT_EQUAL(client_take(&client), -1);
        struct chunk *next = taken->next;
        chunk_keep(s->cache, taken);
        taken = next;
        cache_run(s->cache, rig.clock.mono, 100);
        if (i < chunks - 2)
            rig_settle(&rig);
    }
    rig_settle(&rig);
    CU_ASSERT_FATAL(client_take_produce(&client, 9, 1, &r));
    struct produce_response_partition *p = &r.responses[0].partition_responses[0];
    CU_ASSERT_EQUAL(p->error_code, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(p->base_offset, -1);
    CU_ASSERT(p->error_message.len > 0);
    CU_ASSERT_FATAL(client_take_produce(&client, 9, 2, &r));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, 0);
    send_produce(9, 3, 0, 1); /* and who comes later */
    CU_ASSERT_FATAL(client_take_produce(&client, 9, 3, &r));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, KERR_KAFKA_STORAGE_ERROR);
    down();
}

static void conn_gone_before_the_answer(void)
{
    up(NULL);
    rig_log(topic, 0)->hold_flush = true;
    send_produce(9, 1, 0, 1);
    send_produce(9, 2, 0, 1);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 2);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->conns, 0);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 2);
    rig_log(topic, 0)->hold_flush = false;
    rig_settle(&rig);
    CU_ASSERT_EQUAL(kafka_counters(rig.shards[0].kafka)->requests_in_work, 0);
    down();
}

static void topic_is_held_while_in_use(void)
{
    up(NULL);
    rig_log(topic, 0)->hold_flush = true;
    send_produce(9, 1, 0, 1);
    rig_topic_remove(&rig, topic);
    CU_ASSERT_EQUAL(topic->updates_done, 0);
    uint32_t n = rig_batch(&rig, batch, 1, 50, 1000);
    (void)n;
    send_produce(9, 2, 0, 1); /* knows it no more */
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 1);
    rig_log(topic, 0)->hold_flush = false;
    rig_settle(&rig);
    CU_ASSERT_EQUAL(topic->updates_done, 1);
    struct produce_response r;
    CU_ASSERT(client_take_produce(&client, 9, 1, &r));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code, 0);
    CU_ASSERT(client_take_produce(&client, 9, 2, &r));
    CU_ASSERT_EQUAL(r.responses[0].partition_responses[0].error_code,
                    KERR_UNKNOWN_TOPIC_OR_PARTITION);
    down();
}

RIG_MAIN("dataplane/kafka/produce", UNIT_CASE(every_version), UNIT_CASE(batch_is_looked_at),
         UNIT_CASE(unknown_and_unfit), UNIT_CASE(errors_of_the_log), UNIT_CASE(many_in_one),
         UNIT_CASE(null_records), UNIT_CASE(pipelined), UNIT_CASE(inflight_is_bounded),
         UNIT_CASE(without_acks), UNIT_CASE(acks_0_error_from_the_log), UNIT_CASE(no_log_memory),
         UNIT_CASE(log_memory_is_kept), UNIT_CASE(conn_gone_before_the_answer),
         UNIT_CASE(topic_is_held_while_in_use))
