/*
 * The hand-written codec of Produce, Fetch and ListOffsets against the generated one, on random
 * messages of every version: the same requests are understood and refused, and what is answered is
 * byte for byte what the generated encoder writes.
 */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/dataplane/kafka/rig.h"

#define topics_max 5
#define parts_max  6

static struct rig rig;
static struct rig_client client;
static struct rig_topic *known[3];
static uint8_t batch[4096];

struct random_topic {
    struct str name;
    struct uuid id;
    int32_t n, index[parts_max];
};

static uint32_t below(uint64_t n)
{
    return (uint32_t)rng_below(&rig.rng, n);
}

static void up(void)
{
    struct rig_options o = {.sim = {.fragments = true, .delivery = SIM_RANDOM}, .rx_bufs = 8192};
    log_set_level(LOG_LEVEL_ERROR);
    rig_up(&rig, &o);
    known[0] = rig_topic_add(&rig, "a", 3, 0);
    known[1] = rig_topic_add(&rig, "a-topic-with-a-name-of-some-length", 5, 0);
    known[2] = rig_topic_add(&rig, "x.y_z", 1, 0);
    known[2]->partitions[0].leader_id = 99;
    known[2]->partitions[0].leader_epoch = 3;
    known[1]->view.internal = true;
    rig_log(known[0], 2)->append_error = KERR_INVALID_TIMESTAMP;
    rig_log(known[0], 2)->append_record_errors = 3;
    rig_log(known[0], 2)->append_message = "no";
    client_up(&client, &rig, 0);
}

static void down(void)
{
    client_down(&client);
    rig_down(&rig);
}

static void random_topics(struct random_topic *t, int32_t n)
{
    static char names[topics_max][300];
    for (int32_t i = 0; i < n; i++) {
        t[i].n = 1 + (int32_t)below(parts_max);
        if (below(4) > 0) {
            struct rig_topic *k = known[below(3)];
            t[i].name = k->view.name;
            t[i].id = k->view.id;
        } else {
            uint32_t len = below(300);
            memset(names[i], 'a' + i, sizeof(names[i]));
            t[i].name = (struct str){names[i], len};
            t[i].id = uuid_random(&rig.rng);
        }
        for (int32_t j = 0; j < t[i].n; j++)
            t[i].index[j] = (int32_t)below(7) - 1;
    }
}

/* Sends it in its frame, in random pieces, and lets the time pass that this takes. */
static void send_wire(struct rig_client *c, struct wire w)
{
    client_send(c, w.p, w.n);
    wire_free(&w);
    for (int i = 0; i < 500 && client_open(c) && sim_client_readable(c->sim) == 0; i++)
        rig_pass(&rig, 1);
    rig_pass(&rig, 2);
}

typedef int decode_fn(void *out, struct reader *rd, int version, struct arena *arena);
typedef int encode_fn(const void *in, struct writer *w, int version);

/* The answer's body, decoded and encoded again by the generated codec, is the same bytes. */
static void check_answer(int16_t key, int16_t version, int32_t correlation, void *message,
                         decode_fn *decode, encode_fn *encode)
{
    struct reader rd;
    struct writer w;
    struct chain again = {0};
    CU_ASSERT_FATAL(client_answer(&client, key, version, correlation, &rd));
    uint64_t n = reader_left(&rd), head = client.answer.bytes - n;
    CU_ASSERT_EQUAL_FATAL(decode(message, &rd, version, &client.arena), 0);
    CU_ASSERT_EQUAL(reader_left(&rd), 0);
    writer_init(&w, rig.shards[0].shard.mem.tx_pool);
    CU_ASSERT_EQUAL(encode(message, &w, version), 0);
    CU_ASSERT_EQUAL_FATAL(writer_finish(&w, &again), 0);
    CU_ASSERT_EQUAL_FATAL(again.bytes, n);
    uint8_t *a = malloc(n), *b = malloc(n);
    chain_copy_out(&client.answer, head, a, n);
    chain_copy_out(&again, 0, b, n);
    CU_ASSERT_EQUAL(memcmp(a, b, n), 0);
    free(a);
    free(b);
    chain_free(&again);
}

/* ---- Produce ---- */

struct random_produce {
    struct random_topic t[topics_max];
    struct produce_request request;
    struct produce_request_topic topics[topics_max];
    struct produce_request_partition parts[topics_max][parts_max];
    struct chain records[topics_max][parts_max];
};

static void random_produce(struct random_produce *p)
{
    memset(p, 0, sizeof(*p));
    int32_t n = (int32_t)below(topics_max);
    random_topics(p->t, n);
    produce_request_init(&p->request);
    p->request.acks = below(8) ? 1 : 3;
    if (below(2))
        p->request.transactional_id = STR("some transaction");
    p->request.topic_data = p->topics;
    p->request.n_topic_data = n;
    for (int32_t i = 0; i < n; i++) {
        p->topics[i] =
            (struct produce_request_topic){p->t[i].name, p->t[i].id, p->parts[i], p->t[i].n};
        for (int32_t j = 0; j < p->t[i].n; j++) {
            uint32_t len = rig_batch(&rig, batch, 1 + (int32_t)below(9), below(400), 7);
            if (below(9) == 0)
                len = 20;
            chain_append_bytes(&p->records[i][j], rig.shards[0].shard.mem.tx_pool, batch, len);
            p->parts[i][j].index = p->t[i].index[j];
            p->parts[i][j].records =
                below(9) ? proto_records_of(&p->records[i][j]) : PROTO_RECORDS_NULL;
        }
    }
}

static void free_produce(struct random_produce *p)
{
    for (int i = 0; i < topics_max; i++)
        for (int j = 0; j < parts_max; j++)
            chain_free(&p->records[i][j]);
}

/* The batch that counts for a partition is in its log: the last one named. */
static void check_appended(const struct random_produce *p, const struct produce_response_topic *t,
                           const struct produce_response_partition *a)
{
    struct proto_records last = PROTO_RECORDS_NULL;
    for (int32_t i = 0; i < p->request.n_topic_data; i++)
        for (int32_t j = 0; j < p->t[i].n; j++)
            if (p->t[i].index[j] == a->index &&
                (str_eq(p->t[i].name, t->name) || uuid_eq(&p->t[i].id, &t->topic_id)))
                last = p->parts[i][j].records;
    CU_ASSERT_FATAL(!last.is_null);
    struct plog *log = rig_log(known[0], a->index);
    const struct double_batch *b = &log->batches[log->count - 1];
    static uint8_t bytes[4096];
    CU_ASSERT_EQUAL(b->base, a->base_offset);
    CU_ASSERT_EQUAL_FATAL(b->len, last.view.len);
    chain_view_copy(last.view, bytes, b->len);
    CU_ASSERT_EQUAL(memcmp(bytes + 8, log->bytes + b->pos + 8, b->len - 8), 0);
}

static void produce(void)
{
    up();
    int appended = 0, refused = 0;
    for (int32_t i = 0; i < 330; i++) {
        static struct random_produce p;
        int16_t v = (int16_t)(3 + i % 11);
        struct produce_response r;
        random_produce(&p);
        send_wire(&client, wire_of(&rig, produce, API_Produce, v, i, &p.request));
        check_answer(API_Produce, v, i, &r, (decode_fn *)(void *)produce_response_decode,
                     (encode_fn *)(void *)produce_response_encode);
        for (int32_t t = 0; t < r.n_responses; t++)
            for (int32_t j = 0; j < r.responses[t].n_partition_responses; j++) {
                const struct produce_response_partition *a = &r.responses[t].partition_responses[j];
                if (a->error_code == 0)
                    check_appended(&p, &r.responses[t], a);
                *(a->error_code == 0 ? &appended : &refused) += 1;
            }
        free_produce(&p);
    }
    CU_ASSERT(appended > 50 && refused > 50);
    down();
}

/* ---- Fetch ---- */

struct random_fetch {
    struct random_topic t[topics_max];
    struct fetch_request request;
    struct fetch_request_topic topics[topics_max];
    struct fetch_request_partition parts[topics_max][parts_max];
    struct fetch_request_forgotten_topic forgotten[2];
};

static void random_fetch(struct random_fetch *f, int16_t version)
{
    memset(f, 0, sizeof(*f));
    int32_t n = (int32_t)below(topics_max);
    random_topics(f->t, n);
    fetch_request_init(&f->request);
    f->request.max_bytes = below(3) ? 1 << 20 : 5000;
    f->request.isolation_level = (int8_t)below(2);
    f->request.topics = f->topics;
    f->request.n_topics = n;
    f->request.rack_id = STR("a rack");
    f->request.session_epoch = below(2) ? 0 : -1;
    if (version >= 12 && below(2))
        f->request.cluster_id = STR("a cluster");
    if (below(4) == 0) {
        if (version <= 14)
            f->request.replica_id = 5;
        else
            f->request.replica_state = (struct fetch_request_replica_state){5, 77};
    }
    for (int32_t i = 0; i < n; i++) {
        f->topics[i] =
            (struct fetch_request_topic){f->t[i].name, f->t[i].id, f->parts[i], f->t[i].n};
        for (int32_t j = 0; j < f->t[i].n; j++) {
            struct fetch_request_partition *p = &f->parts[i][j];
            fetch_request_partition_init(p);
            p->partition = f->t[i].index[j];
            p->fetch_offset = below(12);
            p->partition_max_bytes = below(2) ? 1 << 20 : 800;
            p->current_leader_epoch = (int32_t)below(3) - 1;
            p->last_fetched_epoch = version >= 12 ? (int32_t)below(4) - 1 : -1;
            p->log_start_offset = below(3);
            if (version >= 17)
                p->replica_directory_id = below(2) ? uuid_random(&rig.rng) : UUID_ZERO;
            if (version >= 18)
                p->high_watermark = below(100);
        }
    }
    if (version >= 7 && below(2)) {
        static int32_t gone[] = {1, 2, 3};
        for (int i = 0; i < 2; i++)
            f->forgotten[i] = (struct fetch_request_forgotten_topic){known[i]->view.name,
                                                                     known[i]->view.id, gone, 3};
        f->request.forgotten_topics_data = f->forgotten;
        f->request.n_forgotten_topics_data = 2;
    }
}

static void fetch(void)
{
    up();
    for (int i = 0; i < 3; i++) {
        rig_log(known[0], i)->append_error = 0;
        rig_fill(&rig, rig_log(known[0], i), 10, 300);
    }
    rig_log(known[0], 0)->epochs[0].epoch = 1;
    rig_log(known[0], 0)->epochs[1].epoch = 2;
    rig_log(known[0], 0)->epochs[1].start = 5;
    rig_log(known[0], 0)->epoch_count = 2;
    rig_log(known[1], 2)->failed = true;
    for (int32_t i = 0; i < 450; i++) {
        static struct random_fetch f;
        int16_t v = (int16_t)(4 + i % 15);
        struct fetch_response r;
        random_fetch(&f, v);
        send_wire(&client, wire_of(&rig, fetch, API_Fetch, v, i, &f.request));
        check_answer(API_Fetch, v, i, &r, (decode_fn *)(void *)fetch_response_decode,
                     (encode_fn *)(void *)fetch_response_encode);
    }
    down();
}

/* ---- ListOffsets ---- */

static void list_offsets(void)
{
    up();
    rig_log(known[0], 2)->append_error = 0;
    rig_fill(&rig, rig_log(known[0], 2), 10, 30);
    for (int32_t i = 0; i < 330; i++) {
        int16_t v = (int16_t)(1 + i % 11);
        struct random_topic t[topics_max];
        struct list_offsets_request_topic topics[topics_max];
        struct list_offsets_request_partition parts[topics_max][parts_max];
        int32_t n = (int32_t)below(topics_max);
        random_topics(t, n);
        struct list_offsets_request q = {
            .replica_id = below(3) ? -1 : -2, .topics = topics, .n_topics = n};
        q.isolation_level = v >= 2 ? (int8_t)below(2) : 0;
        for (int32_t j = 0; j < n; j++) {
            topics[j] = (struct list_offsets_request_topic){t[j].name, parts[j], t[j].n};
            for (int32_t k = 0; k < t[j].n; k++)
                parts[j][k] = (struct list_offsets_request_partition){
                    t[j].index[k], (int32_t)below(3) - 1,
                    below(2) ? 1000 + below(12) : -(int64_t)below(9)};
        }
        struct list_offsets_response r;
        send_wire(&client, wire_of(&rig, list_offsets, API_ListOffsets, v, i, &q));
        check_answer(API_ListOffsets, v, i, &r, (decode_fn *)(void *)list_offsets_response_decode,
                     (encode_fn *)(void *)list_offsets_response_encode);
    }
    down();
}

/* ---- what is refused ---- */

/* The generated decoder's verdict on the body of a request. */
static bool generated_takes(const struct wire *w, int16_t key, int16_t version, void *message,
                            decode_fn *decode, struct chain *kept)
{
    struct reader rd;
    struct proto_request_header h;
    static struct arena arena;
    arena_free(&arena);
    arena_init(&arena, 64 * MIB);
    chain_free(kept);
    CU_ASSERT_EQUAL(chain_append_bytes(kept, rig.shards[0].shard.mem.tx_pool, w->p + 4, w->n - 4),
                    0);
    reader_init_chain(&rd, kept);
    CU_ASSERT_EQUAL_FATAL(proto_request_header_decode(&h, &rd, &arena), 0);
    CU_ASSERT(h.api_key == key && h.api_version == version);
    int rc = decode(message, &rd, version, &arena);
    if (rc == 0 && key == API_Produce && ((struct produce_request *)message)->acks == 0)
        rc = 1; /* no answer to compare */
    if (rc == 0 && key == API_Fetch)
        rc = ((struct fetch_request *)message)->max_wait_ms > 0 ? 1 : 0;
    if (rc != 0 && rc != 1)
        CU_ASSERT_EQUAL(rc, ERR_MALFORMED);
    static bool verdict;
    verdict = rc >= 0;
    return verdict;
}

static struct wire random_wire(int kind, int16_t version)
{
    static struct random_produce p;
    static struct random_fetch f;
    struct wire w;
    if (kind == 0) {
        random_produce(&p);
        w = wire_of(&rig, produce, API_Produce, version, 1, &p.request);
        free_produce(&p);
        return w;
    }
    random_fetch(&f, version);
    return wire_of(&rig, fetch, API_Fetch, version, 1, &f.request);
}

static void mutate(struct wire *w, int round)
{
    const size_t head = 4 + 8 + 2 + 3 + 1; /* length, header, client id "rig", tags */
    if (w->n <= head)
        return;
    if (round % 2) {
        w->n = head + below(w->n - head);
        bytes_put_u32(w->p, (uint32_t)(w->n - 4));
    } else {
        for (uint32_t i = below(4); i < 4; i++)
            w->p[head + below(w->n - head)] = (uint8_t)rng_u64(&rig.rng);
    }
}

static void same_verdict(void)
{
    up();
    struct chain kept = {0};
    int taken = 0, refused = 0;
    for (int round = 0; round < 1500; round++) {
        int kind = round / 2 % 2;
        int16_t key = kind == 0 ? API_Produce : API_Fetch;
        int16_t v = (int16_t)(kind == 0 ? 3 + below(11) : 4 + below(15));
        union {
            struct produce_request p;
            struct fetch_request f;
        } m;
        struct wire w = random_wire(kind, v);
        mutate(&w, round);
        bool takes = generated_takes(&w, key, v, &m,
                                     kind == 0 ? (decode_fn *)(void *)produce_request_decode
                                               : (decode_fn *)(void *)fetch_request_decode,
                                     &kept);
        struct rig_client c;
        client_up(&c, &rig, 0);
        uint64_t bad = kafka_counters(rig.shards[0].kafka)->conns_closed_bad;
        send_wire(&c, w);
        bool closed = kafka_counters(rig.shards[0].kafka)->conns_closed_bad > bad;
        if (!(kind == 0 && takes && m.p.acks == 0))
            CU_ASSERT_EQUAL(closed, !takes);
        client_down(&c);
        *(takes ? &taken : &refused) += 1;
    }
    CU_ASSERT(taken > 200 && refused > 200);
    chain_free(&kept);
    down();
}

RIG_MAIN("dataplane/kafka/codec", UNIT_CASE(produce), UNIT_CASE(fetch), UNIT_CASE(list_offsets),
         UNIT_CASE(same_verdict))
