#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/transport/conformance.h"

static const struct filter_mark xor_only = {.key = 0x5A};
static const struct filter_mark marked = {.key = 0x33, .every = 100};

static const struct world_kind xor_uring = {.name = "xor over uring", .mark = &xor_only};
static const struct world_kind marked_uring = {.name = "marks over uring", .mark = &marked};
static const struct world_kind xor_sim = {
    .name = "xor over sim", .sim = true, .delivery = SIM_RANDOM, .mark = &xor_only};
static const struct world_kind marked_sim = {
    .name = "marks over sim", .sim = true, .delivery = SIM_RANDOM, .mark = &marked};

CONFORMANCE_TESTS(CONFORMANCE_DEFINE, xor_uring)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, marked_uring)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, xor_sim)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, marked_sim)

static struct world w;

static bool accepted(void *ctx)
{
    return w.app.accepted >= 1;
}

static bool closed(void *ctx)
{
    return w.app.closed >= w.app.count;
}

static struct app_conn *pair(struct peer *p)
{
    CU_ASSERT_TRUE_FATAL(peer_open(&w, p));
    CU_ASSERT_TRUE_FATAL(world_until(&w, accepted, NULL));
    return &w.app.conns[0];
}

static void malformed(const struct world_kind *kind)
{
    world_init(&w, kind, NULL);
    w.app.mode = APP_HOLD;
    struct peer p;
    struct app_conn *a = pair(&p);
    CU_ASSERT_EQUAL(peer_send(&p, 150), 150);
    CU_ASSERT_EQUAL(
        peer_send_raw(&p, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 60),
        60);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_RESET);
    CU_ASSERT_TRUE(a->got <= 200);
    peer_close(&p);
    world_fini(&w);
}

static void malformed_over_uring(void)
{
    malformed(&marked_uring);
}

static void malformed_over_sim(void)
{
    malformed(&marked_sim);
}

/* A reader that does not read pins about filter_wire_bytes_max, however much it is sent. */
static void slow_reader_pins_little(void)
{
    world_init(&w, &xor_sim, NULL);
    w.app.mode = APP_HOLD;
    struct peer p;
    struct app_conn *a = pair(&p);
    struct rte_mbuf *big = rte_pktmbuf_alloc(w.mem.rx_pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(big);
    big->data_len = 16000;
    memset(rte_pktmbuf_mtod(big, void *), 0, 16000);
    uint32_t before = rte_mempool_avail_count(w.mem.tx_pool);
    struct chain lent = {0}, out = {0};
    chain_append(&lent, big);
    for (int i = 0; i < 100; i++) {
        struct chain_view view = {.at = {.seg = big}, .len = 16000};
        CU_ASSERT_EQUAL_FATAL(chain_share(view, w.mem.ref_pool, &out), 0);
    }
    app_send(&w, a, &out);
    world_steps(&w, 50);
    uint32_t used = before - rte_mempool_avail_count(w.mem.tx_pool);
    CU_ASSERT_TRUE(used * tx_buffer_bytes <= filter_wire_bytes_max + 2 * tx_buffer_bytes);
    CU_ASSERT_TRUE(a->reported < a->given);
    for (int i = 0; i < 5000 && a->reported < a->given; i++) {
        peer_receive(&p, UINT32_MAX);
        world_step(&w);
    }
    CU_ASSERT_EQUAL(a->reported, 1600000);
    peer_close(&p);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    chain_free(&lent);
    world_fini(&w);
}

/* Without mbufs to encode into, sends wait; nothing is lost. */
static void encoding_waits_for_memory(void)
{
    static struct rte_mbuf *all[8192];
    world_init(&w, &marked_sim, NULL);
    w.app.mode = APP_HOLD;
    struct peer p;
    struct app_conn *a = pair(&p);
    struct chain out = {0};
    uint8_t bytes[5000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = pattern(i);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&out, w.mem.rx_pool, bytes, sizeof bytes), 0);
    uint32_t n = 0;
    while ((all[n] = rte_pktmbuf_alloc(w.mem.tx_pool)) != NULL)
        n++;
    app_send(&w, a, &out);
    world_steps(&w, 20);
    peer_receive(&p, UINT32_MAX);
    CU_ASSERT_EQUAL(a->reported, 0);
    CU_ASSERT_EQUAL(p.received, 0);
    rte_pktmbuf_free_bulk(all, n);
    for (int i = 0; i < 200 && p.received < sizeof bytes; i++) {
        world_step(&w);
        peer_receive(&p, UINT32_MAX);
    }
    CU_ASSERT_EQUAL(p.received, sizeof bytes);
    CU_ASSERT_FALSE(p.wrong);
    world_steps(&w, 5);
    CU_ASSERT_EQUAL(a->reported, sizeof bytes);
    peer_close(&p);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    world_fini(&w);
}

/* ---- a transform with a handshake, as TLS has: "H" is answered by "W", then bytes go plain ---- */

struct shake {
    bool active, hello_sent, done, bye;
};

static int shake_open(void *ctx, void *state, bool active)
{
    ((struct shake *)state)->active = active;
    return 0;
}

static void shake_close(void *state)
{
}

static int shake_unwrap(void *state, struct mem *mem, struct chain *wire, struct chain *plain,
                        struct chain *reply)
{
    struct shake *s = state;
    if (s->active && !s->hello_sent) {
        s->hello_sent = true;
        return chain_append_bytes(reply, mem->tx_pool, "H", 1);
    }
    if (!s->done && wire->bytes > 0) {
        char c;
        chain_copy_out(wire, 0, &c, 1);
        if (c != (s->active ? 'W' : 'H')) {
            chain_append_bytes(reply, mem->tx_pool, "!", 1); /* an alert */
            return ERR_MALFORMED;
        }
        chain_consume(wire, 1);
        s->done = true;
        if (!s->active && chain_append_bytes(reply, mem->tx_pool, "W", 1) < 0)
            return ERR_NO_MEMORY;
    }
    if (!s->done)
        return ERR_NEED_MORE;
    chain_join(plain, wire);
    return 0;
}

static int shake_wrap(void *state, struct mem *mem, struct chain *plain, uint64_t wire_max,
                      struct chain *wire)
{
    if (!((struct shake *)state)->done)
        return ERR_NEED_MORE;
    chain_join(wire, plain);
    return 0;
}

static int shake_finish(void *state, struct mem *mem, struct chain *wire)
{
    return chain_append_bytes(wire, mem->tx_pool, "B", 1);
}

static uint64_t shake_wire_want(const void *state, uint64_t left, uint64_t plain)
{
    bool done = ((const struct shake *)state)->done;
    return (plain > 0 ? plain + 1000 : 0) + !done; /* by the record, so to say */
}

static const struct filter_ops shake_ops = {
    .state_bytes = sizeof(struct shake),
    .open = shake_open,
    .close = shake_close,
    .unwrap = shake_unwrap,
    .wrap = shake_wrap,
    .finish = shake_finish,
    .wire_want = shake_wire_want,
};

static struct peer raw;

static void shake_world(void)
{
    static const struct world_kind kind = {.name = "sim", .sim = true, .delivery = SIM_WHOLE};
    world_init(&w, &kind, NULL);
    struct filter_options options = {
        .ops = &shake_ops, .mem = &w.mem, .events = &w.app.events, .conn_max = 8};
    /* the sim is made anew, with the filter between */
    sim_transport_free(w.simt);
    CU_ASSERT_EQUAL_FATAL(filter_new(&w.filter, &options), 0);
    struct sim_transport_options lower = {
        .net = w.sim, .mem = &w.mem, .events = filter_lower_events(w.filter), .conn_max = 8};
    CU_ASSERT_EQUAL_FATAL(sim_transport_new(&w.simt, &lower), 0);
    uint16_t port;
    CU_ASSERT_EQUAL_FATAL(sim_transport_listen(w.simt, (struct sockaddr *)&w.address, 7, &port), 0);
    w.app.mode = APP_HOLD;
}

static size_t raw_receive(char *out, size_t n)
{
    world_steps(&w, 10);
    return sim_client_receive(raw.client, out, n);
}

static void handshake(void)
{
    char in[32] = "";
    shake_world();
    w.app.want = 0; /* the handshake goes on all the same */
    struct app_conn *a = pair(&raw);
    app_send_pattern(&w, a, 10); /* waits for it */
    CU_ASSERT_EQUAL(raw_receive(in, sizeof in), 0);
    CU_ASSERT_EQUAL(a->reported, 0);
    peer_send_raw(&raw, "Habc", 4);
    CU_ASSERT_EQUAL(raw_receive(in, sizeof in), 11);
    CU_ASSERT_EQUAL(in[0], 'W');
    CU_ASSERT_EQUAL((uint8_t)in[10], pattern(9));
    CU_ASSERT_EQUAL(a->reported, 10);
    CU_ASSERT_EQUAL(a->got, 0);
    app_want(&w, a, 2);
    world_steps(&w, 5);
    CU_ASSERT_EQUAL(a->got, 2);
    app_want(&w, a, 2);
    world_steps(&w, 5);
    CU_ASSERT_EQUAL(a->got, 3);
    app_close(&w, a, false);
    CU_ASSERT_EQUAL(raw_receive(in, sizeof in), 1);
    CU_ASSERT_EQUAL(in[0], 'B');
    CU_ASSERT_EQUAL(sim_client_state(raw.client), SIM_CLIENT_ENDED);
    peer_close(&raw);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
    world_fini(&w);
}

/* Bytes that were decoded but not wanted yet come before the end of the peer. */
static void decoded_bytes_before_the_end(void)
{
    char in[8];
    shake_world();
    w.app.want = 1;
    struct app_conn *a = pair(&raw);
    peer_send_raw(&raw, "Habcdef", 7);
    world_steps(&w, 5);
    CU_ASSERT_EQUAL(a->got, 1);
    CU_ASSERT_EQUAL(raw_receive(in, sizeof in), 1);
    peer_close(&raw);
    world_steps(&w, 20);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->c);
    CU_ASSERT_EQUAL(a->got, 1);
    app_want(&w, a, 100);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(a->got, 6);
    world_fini(&w);
}

/* The lower transport reads to the byte what the wanted bytes need. */
static void lower_reads_no_more_than_needed(void)
{
    struct peer p;
    world_init(&w, &marked_sim, NULL);
    w.app.mode = APP_HOLD;
    w.app.want = 250;
    struct app_conn *a = pair(&p);
    CU_ASSERT_EQUAL(peer_send(&p, 1000), 1000); /* 1,010 on the wire */
    world_steps(&w, 50);
    CU_ASSERT_EQUAL(a->got, 250);
    CU_ASSERT_EQUAL(sim_client_undelivered(p.client), 1010 - 253);
    peer_reset(&p);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    world_fini(&w);
}

static void handshake_fails(void)
{
    char in[8] = "";
    shake_world();
    struct app_conn *a = pair(&raw);
    peer_send_raw(&raw, "GET /", 5);
    CU_ASSERT_EQUAL(raw_receive(in, sizeof in), 1); /* the alert arrives before the end */
    CU_ASSERT_EQUAL(in[0], '!');
    peer_close(&raw);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_RESET);
    CU_ASSERT_EQUAL(a->got, 0);
    world_fini(&w);
}

static bool both_open(void *ctx)
{
    return w.app.accepted == 1 && w.app.connected == 1 && w.app.conns[0].got == 1000;
}

/* Both ends are ours: the active one speaks first. */
static void handshake_active(void)
{
    struct app_conn *a;
    shake_world();
    CU_ASSERT_EQUAL_FATAL(world_connect(&w, &w.address, &a), 0);
    app_want(&w, a, 5000);
    CU_ASSERT_TRUE_FATAL(world_until(&w, accepted, NULL));
    app_send_pattern(&w, &w.app.conns[1], 1000);
    CU_ASSERT_TRUE(world_until(&w, both_open, NULL));
    app_sink(a);
    app_close(&w, a, true);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    world_fini(&w);
}

UNIT_MAIN("transport/filter",
          CONFORMANCE_TESTS(CONFORMANCE_CASE, xor_uring)
              CONFORMANCE_TESTS(CONFORMANCE_CASE, marked_uring) CONFORMANCE_TESTS(CONFORMANCE_CASE,
                                                                                  xor_sim)
                  CONFORMANCE_TESTS(CONFORMANCE_CASE, marked_sim) UNIT_CASE(malformed_over_uring),
          UNIT_CASE(malformed_over_sim), UNIT_CASE(slow_reader_pins_little),
          UNIT_CASE(encoding_waits_for_memory), UNIT_CASE(handshake), UNIT_CASE(handshake_fails),
          UNIT_CASE(handshake_active), UNIT_CASE(decoded_bytes_before_the_end),
          UNIT_CASE(lower_reads_no_more_than_needed))
