/*
 * Framing, admission by reserve, order of replies, slow readers, bad input, and the limits of a
 * conn.
 */
#include <rte_mempool.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/dataplane/kafka/rig.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static uint8_t batch[rig_batch_bytes_max];

static void up(const struct rig_options *o)
{
    log_set_level(LOG_LEVEL_ERROR); /* hundreds of bad conns */
    rig_up(&rig, o);
    topic = rig_topic_add(&rig, "events", 4, 0);
    client_up(&client, &rig, 0);
}

static void down(void)
{
    client_down(&client);
    rig_down(&rig);
}

static const struct kafka_counters *counters(void)
{
    return kafka_counters(rig.shards[0].kafka);
}

static struct reserve *reserve(void)
{
    return &rig.shards[0].shard.mem.requests;
}

static struct wire wire_produce(int32_t correlation, uint32_t body_bytes)
{
    struct one_produce o;
    uint32_t n = rig_batch(&rig, batch, 1, body_bytes, 1000);
    one_produce_up(&o, &rig, topic, 0, 1, batch, n);
    struct wire w = wire_of(&rig, produce, API_Produce, 9, correlation, &o.request);
    one_produce_down(&o);
    return w;
}

static struct wire wire_fetch(int32_t correlation, int32_t max_wait_ms)
{
    struct one_fetch o;
    one_fetch_up(&o, topic, 0, 0, max_wait_ms, max_wait_ms > 0 ? 1 << 24 : 0);
    return wire_of(&rig, fetch, API_Fetch, 12, correlation, &o.request);
}

static struct wire wire_list(int32_t correlation)
{
    struct list_offsets_request_partition p = {0, -1, -1};
    struct list_offsets_request_topic t = {topic->view.name, &p, 1};
    struct list_offsets_request q = {.replica_id = -1, .topics = &t, .n_topics = 1};
    return wire_of(&rig, list_offsets, API_ListOffsets, 7, correlation, &q);
}

static struct wire wire_other(int32_t correlation)
{
    return wire_request(&rig, API_Metadata, 1, correlation, STR("a client's name"), NULL, NULL);
}

static struct wire wire_kind(int kind, int32_t correlation)
{
    return kind == 0   ? wire_produce(correlation, 200)
           : kind == 1 ? wire_fetch(correlation, 0)
           : kind == 2 ? wire_list(correlation)
                       : wire_other(correlation);
}

static bool expect(struct rig_client *c, int kind, int32_t correlation)
{
    static const int16_t keys[] = {API_Produce, API_Fetch, API_ListOffsets, API_Metadata};
    static const int16_t versions[] = {9, 12, 7, 1};
    struct reader rd;
    return client_answer(c, keys[kind], versions[kind], correlation, &rd);
}

static void cut_at_every_byte(void)
{
    up(NULL);
    int32_t correlation = 0;
    for (int kind = 0; kind < 4; kind++) {
        struct wire first = wire_kind(kind, 0);
        for (size_t cut = 1; cut < first.n; cut++) {
            struct wire w = wire_kind(kind, ++correlation);
            client_send(&client, w.p, cut);
            rig_settle(&rig);
            CU_ASSERT_EQUAL(client_take(&client), -1);
            client_send(&client, w.p + cut, w.n - cut);
            rig_settle(&rig);
            CU_ASSERT(expect(&client, kind, correlation));
            wire_free(&w);
        }
        wire_free(&first);
    }
    CU_ASSERT_STRING_EQUAL(rig.last_client, "a client's name");
    CU_ASSERT_EQUAL(reserve()->used, 0);
    down();
}

static void byte_by_byte(enum sim_delivery delivery, bool fragments)
{
    struct rig_options o = {.sim = {.delivery = delivery, .fragments = fragments}};
    up(&o);
    for (int32_t i = 0; i < 40; i++) {
        struct wire w = wire_kind(i % 4, i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_pass(&rig, 3000); /* random pieces come a moment apart */
    for (int32_t i = 0; i < 40; i++)
        CU_ASSERT(expect(&client, i % 4, i));
    down();
}

static void delivered_in_pieces(void)
{
    byte_by_byte(SIM_BYTES, true);
    byte_by_byte(SIM_BYTES, false);
    byte_by_byte(SIM_RANDOM, true);
    byte_by_byte(SIM_RANDOM, false);
}

/* A fresh conn says this; true if it was closed for it, and the other client is still served. */
static bool closed_for(const void *bytes, size_t n)
{
    struct rig_client bad;
    client_up(&bad, &rig, 0);
    client_send(&bad, bytes, n);
    rig_settle(&rig);
    bool closed = !client_open(&bad) && client_take(&bad) == -1;
    client_down(&bad);
    struct wire w = wire_list(1);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 2, 1));
    return closed;
}

static void bad_lengths(void)
{
    up(NULL);
    CU_ASSERT(closed_for("\0\0\0\0", 4));
    CU_ASSERT(closed_for("\xff\xff\xff\xff", 4));
    CU_ASSERT(closed_for("\x80\0\0\0abc", 7));
    CU_ASSERT(closed_for("\x7f\xff\xff\xff", 4));
    CU_ASSERT(closed_for("\x16\x03\x01\x02\x00\x01\x00\x01", 8));
    CU_ASSERT(closed_for("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27));
    uint8_t limit[4];
    bytes_put_u32(limit, (uint32_t)rig.shards[0].shard.mem.request_max + 1);
    CU_ASSERT(closed_for(limit, 4));
    bytes_put_u32(limit, (uint32_t)rig.shards[0].shard.mem.request_max);
    CU_ASSERT(!closed_for(limit, 4));
    CU_ASSERT_EQUAL(counters()->conns_closed_bad, 7);
    down();
}

static void bad_headers(void)
{
    up(NULL);
    static const struct {
        int16_t key, version;
        bool closed;
    } cases[] = {{0, 2, true},   {0, 14, true}, {1, 3, true},  {1, 19, true}, {2, 0, true},
                 {2, 12, true},  {3, 99, true}, {99, 0, true}, {-1, 0, true}, {18, 99, false},
                 {18, 0, false}, {3, 0, false}, {4, 0, true},  {3, -1, true}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t b[15] = {0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0, 5, 0xff, 0xff, 0};
        bytes_put_u16(b + 4, (uint16_t)cases[i].key);
        bytes_put_u16(b + 6, (uint16_t)cases[i].version);
        CU_ASSERT_EQUAL(closed_for(b, sizeof(b)), cases[i].closed);
    }
    CU_ASSERT(closed_for("\0\0\0\1\0", 5));
    CU_ASSERT(closed_for("\0\0\0\xa\0\x12\0\0\0\0\0\1\x7f\xff", 14)); /* client id of 32767 bytes */
    CU_ASSERT_EQUAL(rig.last_key, 3);
    down();
}

/* A request whose length word is honest, and whose content stops short: closed, or answered. */
static void content_ends_early(void)
{
    up(NULL);
    for (int kind = 0; kind < 3; kind++) {
        struct wire w = wire_kind(kind, 7);
        for (size_t n = 5; n < w.n; n++) {
            bytes_put_u32(w.p, (uint32_t)(n - 4));
            struct rig_client c;
            client_up(&c, &rig, 0);
            client_send(&c, w.p, n);
            rig_settle(&rig);
            CU_ASSERT(!client_open(&c) || client_take(&c) >= 0);
            client_down(&c);
        }
        wire_free(&w);
    }
    /* What trails a message is ignored, as Kafka does. */
    struct wire w = wire_list(8);
    w.p = realloc(w.p, w.n + 3);
    memset(w.p + w.n, 0x55, 3);
    bytes_put_u32(w.p, (uint32_t)(w.n + 3 - 4));
    client_send(&client, w.p, w.n + 3);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 2, 8));
    down();
}

/* Whole requests with some bytes changed: whatever happens, the path lives on and leaks nothing. */
static void mutated(void)
{
    up(NULL);
    for (int i = 0; i < 3000; i++) {
        struct rig_client c;
        struct wire w = wire_kind(i % 3, i);
        for (uint64_t j = rng_below(&rig.rng, 6); j < 7; j++)
            w.p[4 + rng_below(&rig.rng, w.n - 4)] = (uint8_t)rng_u64(&rig.rng);
        client_up(&c, &rig, 0);
        client_send(&c, w.p, w.n);
        rig_settle(&rig);
        client_down(&c);
        wire_free(&w);
    }
    rig_pass(&rig, 1);
    CU_ASSERT_EQUAL(counters()->conns, 1);
    down();
}

static void noise(void)
{
    up(NULL);
    uint8_t b[512];
    for (int i = 0; i < 500; i++) {
        struct rig_client c;
        rng_fill(&rig.rng, b, sizeof(b));
        client_up(&c, &rig, 0);
        if (i % 2)
            bytes_put_u32(b, 200 + i % 100);
        client_send(&c, b, sizeof(b));
        rig_settle(&rig);
        client_down(&c);
    }
    CU_ASSERT_EQUAL(counters()->conns, 1);
    down();
}

/* More half requests than the budget holds: it is never overdrawn, whole requests go on. */
static void half_requests(void)
{
    enum { flood = 100 };
    static struct rig_client conns[flood];
    struct rig_options o = {.request_bytes = 1 * MIB, .kafka.partial_request_ns = CLOCK_NS_PER_S};
    up(&o);
    struct wire big = wire_produce(1, 100 * 1024);
    for (int i = 0; i < flood; i++) {
        client_up(&conns[i], &rig, 0);
        client_send(&conns[i], big.p, 2000);
    }
    rig_settle(&rig);
    CU_ASSERT(reserve()->used <= 1 * MIB && reserve()->used > 900 * 1024);
    CU_ASSERT(counters()->reserve_waits >= flood - 11);
    struct wire w = wire_list(1);
    client_send(&client, w.p, w.n);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 2, 1));
    /* Small ones even in two pieces. */
    client_send(&client, w.p, w.n / 2);
    rig_settle(&rig);
    client_send(&client, w.p + w.n / 2, w.n - w.n / 2);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 2, 1));
    wire_free(&w);
    /* Those that hold a reserve and do not go on make room for those that wait. */
    for (int round = 0; round < 10; round++) {
        rig_pass(&rig, 1100);
        CU_ASSERT(reserve()->used <= 1 * MIB);
    }
    int open = 0;
    for (int i = 0; i < flood; i++)
        open += client_open(&conns[i]);
    CU_ASSERT(open <= 10 && open > 0);
    CU_ASSERT_EQUAL(counters()->conns_closed_bad, (uint64_t)(flood - open));
    /* The last ones, which nobody waits for, are left alone and may complete. */
    for (int i = 0; i < flood; i++) {
        struct produce_response r;
        if (client_open(&conns[i])) {
            client_send(&conns[i], big.p + 2000, big.n - 2000);
            rig_settle(&rig);
            CU_ASSERT(client_take_produce(&conns[i], 9, 1, &r));
        }
        client_down(&conns[i]);
    }
    wire_free(&big);
    CU_ASSERT_EQUAL(reserve()->used, 0);
    CU_ASSERT(reserve()->peak <= 1 * MIB);
    down();
}

/* Honest large requests through a small budget: each waits its turn, all are served. */
static void reserve_is_shared(void)
{
    enum { n = 40 };
    static struct rig_client conns[n];
    struct rig_options o = {.request_bytes = 256 * KIB, .rx_bufs = 256, .sim.delivery = SIM_RANDOM};
    up(&o);
    struct wire w = wire_produce(5, 90 * 1024);
    for (int i = 0; i < n; i++)
        client_up(&conns[i], &rig, 0);
    size_t sent[n] = {0};
    int left = n;
    for (int round = 0; round < 20000 && left > 0; round++) {
        int i = (int)rng_below(&rig.rng, n);
        size_t piece = w.n - sent[i] < 5000 ? w.n - sent[i] : 5000;
        sent[i] += sim_client_send(conns[i].sim, w.p + sent[i], piece);
        rig_pass(&rig, 1);
        CU_ASSERT(reserve()->used <= 256 * KIB);
        struct produce_response r;
        if (sent[i] == w.n && client_take_produce(&conns[i], 9, 5, &r))
            left--;
    }
    CU_ASSERT_EQUAL(left, 0);
    for (int i = 0; i < n; i++)
        client_down(&conns[i]);
    wire_free(&w);
    down();
}

/* Anything but Produce runs alone on its conn, and in its place. */
static void one_at_a_time(void)
{
    up(NULL);
    rig.hold_forwards = true;
    static const int kinds[] = {0, 3, 0, 0, 3, 2, 1, 0};
    for (int32_t i = 0; i < 8; i++) {
        struct wire w = wire_kind(kinds[i], i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 0, 0));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 1);
    CU_ASSERT_EQUAL(rig.forward_count, 1);
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    for (int32_t i = 1; i < 4; i++)
        CU_ASSERT(expect(&client, kinds[i], i));
    CU_ASSERT_EQUAL(rig.forward_count, 1);
    rig.hold_forwards = false;
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    for (int32_t i = 4; i < 8; i++)
        CU_ASSERT(expect(&client, kinds[i], i));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    down();
}

static void control_closes(void)
{
    up(NULL);
    rig.close_forwards = true;
    struct wire a = wire_produce(1, 100), b = wire_other(2);
    client_send(&client, a.p, a.n);
    client_send(&client, b.p, b.n);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 0, 1));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT(!client_open(&client));
    wire_free(&a);
    wire_free(&b);
    down();
}

static void conn_gone_while_forwarded(void)
{
    up(NULL);
    rig.hold_forwards = true;
    struct wire w = wire_other(2);
    client_send(&client, w.p, w.n);
    rig_settle(&rig);
    sim_client_reset(client.sim);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(counters()->conns, 0);
    CU_ASSERT_EQUAL(counters()->requests_in_work, 1);
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(counters()->requests_in_work, 0);
    wire_free(&w);
    down();
}

/* A client that does not read: its unsent replies are bounded, then its requests wait. */
static void slow_reader(void)
{
    struct rig_options o = {.kafka.reply_bytes_max = 200 * KIB, .sim.window_bytes = 64 * KIB};
    up(&o);
    rig_fill(&rig, rig_log(topic, 0), 4, 40 * 1024);
    client.reading = false;
    for (int32_t i = 0; i < 50; i++) {
        struct wire w = wire_fetch(i, 0);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_settle(&rig);
    }
    uint64_t out = counters()->bytes_out;
    CU_ASSERT(out >= 200 * KIB && out <= 200 * KIB + 64 * KIB + 165 * KIB);
    /* Another client is served meanwhile. */
    struct rig_client other;
    client_up(&other, &rig, 0);
    struct wire w = wire_fetch(9, 0);
    client_send(&other, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(expect(&other, 1, 9));
    client_down(&other);
    client.reading = true;
    for (int32_t i = 0; i < 50; i++)
        CU_ASSERT(expect(&client, 1, i));
    down();
}

static void slots_run_out(void)
{
    enum { n = 10 };
    static struct rig_client conns[n];
    struct rig_options o = {.kafka.request_slots = 4};
    up(&o);
    rig.hold_forwards = true;
    for (int32_t i = 0; i < n; i++) {
        struct wire w = wire_other(i);
        client_up(&conns[i], &rig, 0);
        client_send(&conns[i], w.p, w.n);
        wire_free(&w);
    }
    rig_settle(&rig);
    CU_ASSERT_EQUAL(rig.forward_count, 4);
    for (int round = 0; round < 3; round++) {
        rig_answer_forwards(&rig);
        rig_settle(&rig);
    }
    for (int32_t i = 0; i < n; i++) {
        CU_ASSERT(expect(&conns[i], 3, i));
        client_down(&conns[i]);
    }
    down();
}

/* Consumers that wait for data do not keep the others out: the longest wait ends early. */
static void slots_of_waiting_fetches(void)
{
    enum { n = 6 };
    static struct rig_client conns[n];
    struct rig_options o = {.kafka.request_slots = 4};
    up(&o);
    for (int32_t i = 0; i < 4; i++) {
        struct wire w = wire_fetch(i, 100000);
        client_up(&conns[i], &rig, 0);
        client_send(&conns[i], w.p, w.n);
        wire_free(&w);
        rig_settle(&rig);
        CU_ASSERT_EQUAL(client_take(&conns[i]), -1);
    }
    struct wire w = wire_list(1);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(expect(&client, 2, 1));
    CU_ASSERT(expect(&conns[0], 1, 0));
    for (int32_t i = 1; i < 4; i++)
        CU_ASSERT_EQUAL(client_take(&conns[i]), -1);
    for (int32_t i = 0; i < 4; i++)
        client_down(&conns[i]);
    down();
}

static void parts_run_out(void)
{
    struct rig_options o = {.kafka.partition_ops = 8};
    up(&o);
    struct list_offsets_request_partition p[9];
    struct list_offsets_request_topic t = {topic->view.name, p, 8};
    struct list_offsets_request q = {.replica_id = -1, .topics = &t, .n_topics = 1};
    struct list_offsets_response r;
    for (int32_t i = 0; i < 9; i++)
        p[i] = (struct list_offsets_request_partition){i, -1, -1};
    CU_ASSERT(client_list(&client, 7, &q, &r));
    CU_ASSERT_EQUAL(r.topics[0].n_partitions, 8);
    /* Two conns, five parts each: the second waits for the first. */
    struct rig_client other;
    client_up(&other, &rig, 0);
    rig_log(topic, 0)->hold_flush = true;
    for (int32_t i = 0; i < 7; i++) {
        struct wire w = wire_produce(i, 100);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_settle(&rig);
    t.n_partitions = 5;
    struct wire w = wire_of(&rig, list_offsets, API_ListOffsets, 7, 3, &q);
    client_send(&other, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT_EQUAL(client_take(&other), -1);
    rig_log(topic, 0)->hold_flush = false;
    rig_settle(&rig);
    CU_ASSERT(expect(&other, 2, 3));
    client_down(&other);
    for (int32_t i = 0; i < 7; i++)
        CU_ASSERT(expect(&client, 0, i));
    /* More than there are at all. */
    t.n_partitions = 9;
    CU_ASSERT(!client_list(&client, 7, &q, &r));
    CU_ASSERT(!client_open(&client));
    down();
}

static void mbufs_run_out(void)
{
    struct rig_options o = {.tx_bufs = 32, .sim.window_bytes = 8 * KIB};
    up(&o);
    client.reading = false;
    struct rte_mempool *pool = rig.shards[0].shard.mem.tx_pool;
    struct rte_mbuf *held[32];
    uint32_t n = 0;
    while (n < 32 && (held[n] = rte_pktmbuf_alloc(pool)) != NULL)
        n++;
    for (int32_t i = 0; i < 4; i++) {
        struct wire w = i == 2 ? wire_list(i) : wire_produce(i, 100);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_pass(&rig, 2);
    CU_ASSERT_EQUAL(counters()->bytes_out, 0);
    for (uint32_t i = 0; i < n; i++)
        rte_pktmbuf_free(held[i]);
    rig_pass(&rig, 2);
    client.reading = true;
    for (int32_t i = 0; i < 4; i++)
        CU_ASSERT(expect(&client, i == 2 ? 2 : 0, i));
    down();
}

static void idle_conns(void)
{
    struct rig_options o = {.kafka.idle_ns = 3 * CLOCK_NS_PER_S};
    up(&o);
    struct rig_client quiet, waiting;
    client_up(&quiet, &rig, 0);
    client_up(&waiting, &rig, 0);
    struct wire w = wire_fetch(1, 8000);
    client_send(&waiting, w.p, w.n);
    wire_free(&w);
    for (int i = 0; i < 4; i++) {
        w = wire_list(i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_pass(&rig, 1000);
        CU_ASSERT(expect(&client, 2, i));
    }
    CU_ASSERT(!client_open(&quiet));
    CU_ASSERT(client_open(&client));
    CU_ASSERT(client_open(&waiting)); /* its fetch is not over */
    rig_pass(&rig, 4200);
    CU_ASSERT(expect(&waiting, 1, 1));
    rig_pass(&rig, 3500);
    CU_ASSERT(!client_open(&waiting));
    CU_ASSERT_EQUAL(counters()->conns_closed_bad, 0);
    client_down(&quiet);
    client_down(&waiting);
    down();
}

static void too_many_conns(void)
{
    struct rig_options o = {.admission = {.conn_max = 5, .conn_per_ip_max = 3}};
    rig_up(&rig, &o);
    struct rig_client c[6];
    for (int i = 0; i < 6; i++)
        client_up(&c[i], &rig, 0);
    CU_ASSERT_EQUAL(counters()->conns, 3); /* all clients of the rig have one address */
    for (int i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(client_open(&c[i]), i < 3);
    client_down(&c[0]);
    rig_pass(&rig, 1);
    client_up(&c[0], &rig, 0);
    CU_ASSERT(client_open(&c[0]));
    for (int i = 0; i < 6; i++)
        client_down(&c[i]);
    rig_down(&rig);
    o = (struct rig_options){.kafka.conn_max = 2};
    rig_up(&rig, &o);
    for (int i = 0; i < 3; i++)
        client_up(&c[i], &rig, 0);
    CU_ASSERT(client_open(&c[1]) && !client_open(&c[2]));
    for (int i = 0; i < 3; i++)
        client_down(&c[i]);
    rig_down(&rig);
}

static void drains(void)
{
    up(NULL);
    rig.hold_forwards = true;
    struct rig_client fetching;
    client_up(&fetching, &rig, 0);
    struct wire w = wire_fetch(1, 60000);
    client_send(&fetching, w.p, w.n);
    wire_free(&w);
    w = wire_other(2);
    client_send(&client, w.p, w.n);
    rig_settle(&rig);
    struct kafka *k = rig.shards[0].kafka;
    CU_ASSERT(!kafka_drain(k));
    client_send(&fetching, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(expect(&fetching, 1, 1)); /* at once */
    CU_ASSERT(!kafka_drain(k));         /* control has not answered */
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    CU_ASSERT(kafka_drain(k));
    CU_ASSERT(expect(&client, 3, 2));
    CU_ASSERT_EQUAL(client_take(&fetching), -1);
    CU_ASSERT_EQUAL(rig.forwarded, 1);
    client_down(&fetching);
    down();
}

static void stage_clocks(void)
{
    struct rig_options o = {.sim.latency_ns = 50000};
    up(&o);
    for (int32_t i = 0; i < 12; i++) {
        struct wire w = wire_kind(i % 4, i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_pass(&rig, 2);
        CU_ASSERT(expect(&client, i % 4, i));
    }
    const struct stage_clocks *clocks = kafka_stage_clocks(rig.shards[0].kafka);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_PRODUCE][0].count, 3);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_FETCH][0].count, 3);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_OTHER][0].count, 6);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_PRODUCE][STAMP_SENT].count, 3);
    down();
}

RIG_MAIN("dataplane/kafka/conn", UNIT_CASE(cut_at_every_byte), UNIT_CASE(delivered_in_pieces),
         UNIT_CASE(bad_lengths), UNIT_CASE(bad_headers), UNIT_CASE(content_ends_early),
         UNIT_CASE(mutated), UNIT_CASE(noise), UNIT_CASE(half_requests),
         UNIT_CASE(reserve_is_shared), UNIT_CASE(one_at_a_time), UNIT_CASE(control_closes),
         UNIT_CASE(conn_gone_while_forwarded), UNIT_CASE(slow_reader), UNIT_CASE(slots_run_out),
         UNIT_CASE(slots_of_waiting_fetches), UNIT_CASE(parts_run_out), UNIT_CASE(mbufs_run_out),
         UNIT_CASE(idle_conns), UNIT_CASE(too_many_conns), UNIT_CASE(drains),
         UNIT_CASE(stage_clocks))
