/* What clients send that is no Kafka request, or half of one: nobody else notices. */
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/dataplane/kafka/kinds.h"

#define mutations 600 /* under each transport */

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

/* A fresh conn says this; true if it was closed for it, and the other client is still served. */
static bool closed_for(const void *bytes, size_t n)
{
    struct rig_client bad;
    client_up(&bad, &rig, 0);
    client_send(&bad, bytes, n);
    rig_settle(&rig);
    bool closed = !client_open(&bad) && client_take(&bad) == -1;
    client_down(&bad);
    struct wire w = kind_list(&rig, topic, 1);
    client_send(&client, w.p, w.n);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_LIST, 1));
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
        struct wire w = kind_wire(&rig, topic, kind, 7);
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
    struct wire w = kind_list(&rig, topic, 8);
    w.p = realloc(w.p, w.n + 3);
    memset(w.p + w.n, 0x55, 3);
    bytes_put_u32(w.p, (uint32_t)(w.n + 3 - 4));
    client_send(&client, w.p, w.n + 3);
    wire_free(&w);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_LIST, 8));
    down();
}

/* Whole requests with some bytes changed: whatever happens, the path lives on and leaks nothing. */
static void mutated(void)
{
    up(NULL);
    for (int i = 0; i < mutations; i++) {
        struct rig_client c;
        struct wire w = kind_wire(&rig, topic, i % 3, i);
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
    struct wire big = kind_produce(&rig, topic, 1, 100 * 1024);
    for (int i = 0; i < flood; i++) {
        client_up(&conns[i], &rig, 0);
        client_send(&conns[i], big.p, 2000);
    }
    rig_settle(&rig);
    CU_ASSERT(reserve()->used <= 1 * MIB && reserve()->used > 900 * 1024);
    CU_ASSERT(counters()->reserve_waits >= flood - 11);
    struct wire w = kind_list(&rig, topic, 1);
    client_send(&client, w.p, w.n);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_LIST, 1));
    /* Small ones even in two pieces. */
    client_send(&client, w.p, w.n / 2);
    rig_settle(&rig);
    client_send(&client, w.p + w.n / 2, w.n - w.n / 2);
    rig_settle(&rig);
    CU_ASSERT(kind_expect(&client, KIND_LIST, 1));
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

RIG_MAIN("dataplane/kafka/bad_input", UNIT_CASE(bad_lengths), UNIT_CASE(bad_headers),
         UNIT_CASE(content_ends_early), UNIT_CASE(mutated), UNIT_CASE(noise),
         UNIT_CASE(half_requests))
