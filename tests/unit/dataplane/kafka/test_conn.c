/*
 * Framing, admission by reserve, order of replies, slow readers, and the limits of a conn.
 */
#include <rte_mempool.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/dataplane/kafka/kinds.h"

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;

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

static void cut_at_every_byte(void)
{
    up(NULL);
    int32_t correlation = 0;
    for (int kind = 0; kind < 4; kind++) {
        struct wire first = kind_wire(&rig, topic, kind, 0);
        for (size_t cut = 1; cut < first.n; cut++) {
            struct wire w = kind_wire(&rig, topic, kind, ++correlation);
            client_send(&client, w.p, cut);
            rig_settle(&rig);
            CU_ASSERT_EQUAL(client_take(&client), -1);
            client_send(&client, w.p + cut, w.n - cut);
            rig_settle(&rig);
            CU_ASSERT(kind_expect(&client, kind, correlation));
            wire_free(&w);
        }
        wire_free(&first);
    }
    CU_ASSERT_STRING_EQUAL(rig.last_client, kind_client);
    CU_ASSERT_EQUAL(reserve()->used, 0);
    down();
}

/* A client id is cut between characters, whatever their length. */
static void long_client_ids(void)
{
    static const char *const chars[] = {"a", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    for (uint32_t bytes = 1; bytes <= 4; bytes++)
        for (uint32_t lead = 0; lead < 4; lead++) {
            char id[client_id_bytes_max + 16];
            uint32_t n = lead, fits = lead;
            memset(id, 'a', lead);
            for (; n < client_id_bytes_max + 4; n += bytes) {
                memcpy(id + n, chars[bytes - 1], bytes);
                fits += n + bytes <= client_id_bytes_max ? bytes : 0;
            }
            up(NULL);
            struct wire w = wire_request(&rig, 3, 9, 1, (struct str){id, n}, NULL, NULL);
            client_send(&client, w.p, w.n);
            rig_settle(&rig);
            CU_ASSERT_EQUAL(rig.forwarded, 1);
            CU_ASSERT_EQUAL(strlen(rig.last_client), fits);
            wire_free(&w);
            down();
        }
}

static void byte_by_byte(enum sim_delivery delivery, bool fragments)
{
    struct rig_options o = {.sim = {.delivery = delivery, .fragments = fragments}};
    up(&o);
    for (int32_t i = 0; i < 40; i++) {
        struct wire w = kind_wire(&rig, topic, i % 4, i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_pass(&rig, 3000); /* random pieces come a moment apart */
    for (int32_t i = 0; i < 40; i++)
        CU_ASSERT(kind_expect(&client, i % 4, i));
    down();
}

static void delivered_in_pieces(void)
{
    byte_by_byte(SIM_BYTES, true);
    byte_by_byte(SIM_BYTES, false);
    byte_by_byte(SIM_RANDOM, true);
    byte_by_byte(SIM_RANDOM, false);
}

/* Honest large requests through a small budget: each waits its turn, all are served. */
static void reserve_is_shared(void)
{
    enum { n = 40 };
    static struct rig_client conns[n];
    struct rig_options o = {.request_bytes = 256 * KIB, .rx_bufs = 256, .sim.delivery = SIM_RANDOM};
    up(&o);
    struct wire w = kind_produce(&rig, topic, 5, 90 * 1024);
    for (int i = 0; i < n; i++)
        client_up(&conns[i], &rig, 0);
    size_t sent[n] = {0};
    int left = n;
    for (int round = 0; round < 20000 && left > 0; round++) {
        int i = (int)rng_below(&rig.rng, n);
        size_t piece = w.n - sent[i] < 5000 ? w.n - sent[i] : 5000;
        sent[i] += client_send_some(&conns[i], w.p + sent[i], piece);
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
        struct wire w = kind_wire(&rig, topic, kinds[i], i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
    }
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_PRODUCE, 0));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 1);
    CU_ASSERT_EQUAL(rig.forward_count, 1);
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    for (int32_t i = 1; i < 4; i++)
        CU_ASSERT(kind_expect(&client, kinds[i], i));
    CU_ASSERT_EQUAL(rig.forward_count, 1);
    rig.hold_forwards = false;
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    for (int32_t i = 4; i < 8; i++)
        CU_ASSERT(kind_expect(&client, kinds[i], i));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    down();
}

static void control_closes(void)
{
    up(NULL);
    rig.close_forwards = true;
    struct wire a = kind_produce(&rig, topic, 1, 100), b = kind_other(&rig, 2);
    client_send(&client, a.p, a.n);
    client_send(&client, b.p, b.n);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_PRODUCE, 1));
    CU_ASSERT_EQUAL(client_take(&client), -1);
    CU_ASSERT(!client_open(&client));
    wire_free(&a);
    wire_free(&b);
    down();
}

/* The slot comes back when the answer and the cancel have, in either order. */
static void conn_gone_while_forwarded(void)
{
    for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
        up(NULL);
        rig.hold_forwards = rig.hold_cancels = true;
        struct wire w = kind_other(&rig, 2);
        client_send(&client, w.p, w.n);
        rig_settle(&rig);
        CU_ASSERT_EQUAL(rig.cancelled, 0);
        sim_client_reset(client.sim);
        rig_settle(&rig);
        CU_ASSERT_EQUAL(counters()->conns, 0);
        CU_ASSERT_EQUAL(rig.cancelled, 1);
        for (int i = 0; i < 2; i++) {
            CU_ASSERT_EQUAL(counters()->requests_in_work, 1);
            if ((i == 0) == (cancel_first == 1))
                rig_answer_cancels(&rig);
            else
                rig_answer_forwards(&rig);
            rig_settle(&rig);
        }
        CU_ASSERT_EQUAL(counters()->requests_in_work, 0);
        wire_free(&w);
        down();
    }
}

/* Control answers many conns in any order: each gets its own, and in its place. */
static void forwards_answered_backwards(void)
{
    enum { n = 12 };
    static struct rig_client conns[n];
    up(NULL);
    rig.hold_forwards = true;
    for (int32_t i = 0; i < n; i++) {
        client_up(&conns[i], &rig, 0);
        struct wire a = kind_other(&rig, 100 + i), b = kind_produce(&rig, topic, 200 + i, 50);
        client_send(&conns[i], a.p, a.n);
        client_send(&conns[i], b.p, b.n);
        wire_free(&a);
        wire_free(&b);
    }
    rig_settle(&rig);
    CU_ASSERT_EQUAL_FATAL(rig.forward_count, n);
    CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, 0);
    for (uint32_t left = n; left > 0; left--) {
        rig_answer_one_forward(&rig, left % 3 == 0 ? 0 : left - 1);
        rig_pass(&rig, 5);
        CU_ASSERT_EQUAL(rig_log(topic, 0)->appends, n + 1 - left);
    }
    for (int32_t i = 0; i < n; i++) {
        CU_ASSERT(kind_expect(&conns[i], KIND_OTHER, 100 + i));
        CU_ASSERT(kind_expect(&conns[i], KIND_PRODUCE, 200 + i));
        CU_ASSERT_EQUAL(client_take(&conns[i]), -1);
        client_down(&conns[i]);
    }
    down();
}

static void hold(bool on)
{
    struct plog *log = rig_log(topic, 0);
    rig.hold_forwards = on && rng_below(&rig.rng, 2) == 0;
    log->hold_flush = on && rng_below(&rig.rng, 2) == 0;
    log->hold_reads = on && rng_below(&rig.rng, 2) == 0;
    if (!on) {
        rig_answer_forwards(&rig);
        plog_double_release_reads(log);
        rig_settle(&rig);
    }
}

/* Some requests, the last cut anywhere. */
static void send_some(struct rig_client *c, int32_t round)
{
    uint64_t count = 1 + rng_below(&rig.rng, 6);
    c->reading = rng_below(&rig.rng, 3) > 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t kind = rng_below(&rig.rng, 6);
        struct wire w = kind == 4   ? kind_fetch(&rig, topic, round, 100000)
                        : kind == 5 ? kind_produce(&rig, topic, round, 20000)
                                    : kind_wire(&rig, topic, (int)kind, round);
        client_send_some(c, w.p, i + 1 < count ? w.n : rng_below(&rig.rng, w.n + 1));
        wire_free(&w);
        if (rng_below(&rig.rng, 2) == 0)
            rig_pass(&rig, 1);
    }
}

/* A conn ends anywhere in anything: nothing of it is left, whatever was under way. */
static void closed_in_the_middle(void)
{
    enum { rounds = 200 };
    struct rig_options o = {.sim = {.delivery = SIM_RANDOM, .latency_ns = 20000}};
    up(&o);
    for (int32_t round = 0; round < rounds; round++) {
        struct rig_client c;
        hold(true);
        client_up(&c, &rig, 0);
        send_some(&c, round);
        switch (rng_below(&rig.rng, 3)) {
        case 0:
            sim_client_reset(c.sim);
            break;
        case 1:
            sim_client_shutdown(c.sim);
            rig_pass(&rig, 1);
            break;
        default:
            break;
        }
        client_down(&c);
        rig_pass(&rig, (int64_t)rng_below(&rig.rng, 3));
        hold(false);
        int passes = 0;
        do
            rig_pass(&rig, 1); /* it is accepted, then what it sent comes in pieces, then its end */
        while (counters()->conns > 1 && ++passes < 500);
        CU_ASSERT_EQUAL(counters()->conns, 1);
        CU_ASSERT_EQUAL(counters()->requests_in_work, 0);
        CU_ASSERT_EQUAL(reserve()->used, 0);
        CU_ASSERT_PTR_NULL(rig_log(topic, 0)->waiters);
    }
    struct wire w = kind_list(&rig, topic, 5);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_pass(&rig, 200); /* it comes in random pieces */
    CU_ASSERT(kind_expect(&client, KIND_LIST, 5));
    down(); /* counts every mbuf */
}

/*
 * Kafka's Selector: who sent and left has sent. More than may be in flight, behind a request that waits,
 * with a part of one at the end, and the peer's end right behind: each whole one is worked on.
 */
static void ended_behind_requests(void)
{
    enum { n = 3 * conn_inflight_requests_max };
    struct rig_options o = {.sim = {.delivery = SIM_RANDOM, .latency_ns = 20000}};
    up(&o);
    for (int round = 0; round < 8; round++) {
        struct rig_client c;
        uint64_t before = rig_log(topic, 0)->appends;
        client_up(&c, &rig, 0);
        rig.hold_forwards = round & 1;
        rig_log(topic, 0)->hold_flush = round & 2;
        if (round & 4) { /* an answer to who has left altogether is answered by a reset */
            struct wire first = kind_wire(&rig, topic, KIND_OTHER, 1);
            client_send(&c, first.p, first.n);
            wire_free(&first);
        }
        for (int32_t i = 0; i <= n; i++) {
            struct wire w = kind_silent(&rig, topic, i, 100);
            client_send_some(&c, w.p, i < n ? w.n : w.n / 2);
            wire_free(&w);
        }
        if (round & 4) {
            sim_client_shutdown(c.sim);
            rig_pass(&rig, 500);
        } else {
            sim_client_close(c.sim);
            rig_pass(&rig, 500);
        }
        rig.hold_forwards = false;
        rig_log(topic, 0)->hold_flush = false;
        rig_answer_forwards(&rig);
        rig_settle(&rig);
        rig_pass(&rig, 500);
        CU_ASSERT_EQUAL(rig_log(topic, 0)->appends - before, n);
        if (round & 4)
            CU_ASSERT(kind_expect(&c, KIND_OTHER, 1));
        client_down(&c);
        CU_ASSERT_EQUAL(counters()->conns, 1);
        CU_ASSERT_EQUAL(counters()->requests_in_work, 0);
    }
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
        struct wire w = kind_fetch(&rig, topic, i, 0);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_settle(&rig);
    }
    uint64_t out = counters()->bytes_out;
    CU_ASSERT(out >= 200 * KIB && out <= 200 * KIB + 64 * KIB + 165 * KIB);
    /* Another client is served meanwhile. */
    struct rig_client other;
    client_up(&other, &rig, 0);
    struct wire w = kind_fetch(&rig, topic, 9, 0);
    client_send(&other, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&other, KIND_FETCH, 9));
    client_down(&other);
    client.reading = true;
    for (int32_t i = 0; i < 50; i++)
        CU_ASSERT(kind_expect(&client, KIND_FETCH, i));
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
        struct wire w = kind_other(&rig, i);
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
        CU_ASSERT(kind_expect(&conns[i], KIND_OTHER, i));
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
        struct wire w = kind_fetch(&rig, topic, i, 100000);
        client_up(&conns[i], &rig, 0);
        client_send(&conns[i], w.p, w.n);
        wire_free(&w);
        rig_settle(&rig);
        CU_ASSERT_EQUAL(client_take(&conns[i]), -1);
    }
    struct wire w = kind_list(&rig, topic, 1);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_LIST, 1));
    CU_ASSERT(kind_expect(&conns[0], KIND_FETCH, 0));
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
        struct wire w = kind_produce(&rig, topic, i, 100);
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
    CU_ASSERT(kind_expect(&other, KIND_LIST, 3));
    client_down(&other);
    for (int32_t i = 0; i < 7; i++)
        CU_ASSERT(kind_expect(&client, KIND_PRODUCE, i));
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
        struct wire w = i == 2 ? kind_list(&rig, topic, i) : kind_produce(&rig, topic, i, 100);
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
        CU_ASSERT(kind_expect(&client, i == 2 ? 2 : 0, i));
    down();
}

static void idle_conns(void)
{
    struct rig_options o = {.kafka.idle_ns = 3 * CLOCK_NS_PER_S};
    up(&o);
    struct rig_client quiet, waiting;
    client_up(&quiet, &rig, 0);
    client_up(&waiting, &rig, 0);
    struct wire w = kind_fetch(&rig, topic, 1, 8000);
    client_send(&waiting, w.p, w.n);
    wire_free(&w);
    for (int i = 0; i < 4; i++) {
        w = kind_list(&rig, topic, i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_pass(&rig, 1000);
        CU_ASSERT(kind_expect(&client, KIND_LIST, i));
    }
    CU_ASSERT(!client_open(&quiet));
    CU_ASSERT(client_open(&client));
    CU_ASSERT(client_open(&waiting)); /* its fetch is not over */
    rig_pass(&rig, 4200);
    CU_ASSERT(kind_expect(&waiting, KIND_FETCH, 1));
    rig_pass(&rig, 3500);
    CU_ASSERT(!client_open(&waiting));
    CU_ASSERT_EQUAL(counters()->conns_closed_bad, 0);
    client_down(&quiet);
    client_down(&waiting);
    down();
}

static void drains(void)
{
    up(NULL);
    rig.hold_forwards = true;
    struct rig_client fetching;
    client_up(&fetching, &rig, 0);
    struct wire w = kind_fetch(&rig, topic, 1, 60000);
    client_send(&fetching, w.p, w.n);
    wire_free(&w);
    w = kind_other(&rig, 2);
    client_send(&client, w.p, w.n);
    rig_settle(&rig);
    struct kafka *k = rig.shards[0].kafka;
    CU_ASSERT(!kafka_drain(k));
    client_send(&fetching, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&fetching, KIND_FETCH, 1)); /* at once */
    CU_ASSERT(!kafka_drain(k));                       /* control has not answered */
    rig_answer_forwards(&rig);
    rig_settle(&rig);
    CU_ASSERT(kafka_drain(k));
    CU_ASSERT(kind_expect(&client, KIND_OTHER, 2));
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
        struct wire w = kind_wire(&rig, topic, i % 4, i);
        client_send(&client, w.p, w.n);
        wire_free(&w);
        rig_pass(&rig, 2);
        CU_ASSERT(kind_expect(&client, i % 4, i));
    }
    const struct stage_clocks *clocks = kafka_stage_clocks(rig.shards[0].kafka);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_PRODUCE][0].count, 3);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_FETCH][0].count, 3);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_OTHER][0].count, 6);
    CU_ASSERT_EQUAL(clocks->gap[STAGE_CLASS_PRODUCE][STAMP_SENT].count, 3);
    down();
}

RIG_MAIN("dataplane/kafka/conn", UNIT_CASE(cut_at_every_byte), UNIT_CASE(long_client_ids),
         UNIT_CASE(delivered_in_pieces), UNIT_CASE(forwards_answered_backwards),
         UNIT_CASE(closed_in_the_middle), UNIT_CASE(ended_behind_requests),
         UNIT_CASE(reserve_is_shared), UNIT_CASE(one_at_a_time), UNIT_CASE(control_closes),
         UNIT_CASE(conn_gone_while_forwarded), UNIT_CASE(slow_reader), UNIT_CASE(slots_run_out),
         UNIT_CASE(slots_of_waiting_fetches), UNIT_CASE(parts_run_out), UNIT_CASE(mbufs_run_out),
         UNIT_CASE(idle_conns), UNIT_CASE(drains), UNIT_CASE(stage_clocks))
