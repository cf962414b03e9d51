#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "tests/unit/dataplane/transport/conformance.h"

static const struct world_kind whole = {.name = "whole", .sim = true, .delivery = SIM_WHOLE};
static const struct world_kind random_cuts = {
    .name = "random", .sim = true, .delivery = SIM_RANDOM, .v6 = true};
static const struct world_kind bytes = {.name = "bytes", .sim = true, .delivery = SIM_BYTES};

CONFORMANCE_TESTS(CONFORMANCE_DEFINE, whole)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, random_cuts)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, bytes)

#define latency (50 * CLOCK_NS_PER_US) /* of a world's network */

static struct world w;

/* ---- what a run looks like: every event with its time and size, as one number ---- */

static uint64_t trace;

static void note(uint64_t what)
{
    trace = (trace ^ what) * 0x9E3779B97F4A7C15u;
    trace ^= trace >> 29;
}

static int note_accepted(void *ctx, struct tconn *c, uint32_t listener)
{
    note(1);
    tconn_want(c, 1 << 20);
    return 0;
}

static void note_readable(struct tconn *c)
{
    note(c->rx.bytes);
    struct chain out = c->rx;
    c->rx = (struct chain){0};
    tconn_send(c, &out);
    tconn_want(c, 1 << 20);
}

static void note_sent(struct tconn *c, uint64_t n)
{
    note(n << 32);
}

static void note_closed(struct tconn *c, enum transport_close reason)
{
    note(1000 + reason);
}

static void note_connected(struct tconn *c)
{
    note(2);
}

static const struct transport_events note_events = {
    .accepted = note_accepted,
    .readable = note_readable,
    .sent = note_sent,
    .closed = note_closed,
    .connected = note_connected,
};

static uint64_t run_noted(uint64_t seed)
{
    struct sim_options net = {.seed = seed, .delivery = SIM_RANDOM, .latency_ns = 1000};
    struct sim *s;
    struct sim_transport *t;
    struct sim_client *c[3];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t port;
    char junk[5000] = "";
    trace = 1;
    CU_ASSERT_EQUAL_FATAL(sim_new(&s, &net), 0);
    struct sim_transport_options o = {
        .net = s, .mem = &w.mem, .events = &note_events, .conn_max = 8};
    CU_ASSERT_EQUAL_FATAL(sim_transport_new(&t, &o), 0);
    CU_ASSERT_EQUAL_FATAL(sim_transport_listen(t, (struct sockaddr *)&at, 0, &port), 0);
    at.sin_port = htons(port);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL_FATAL(sim_connect(s, (struct sockaddr *)&at, &c[i]), 0);
    int64_t now = 0;
    for (int i = 0; i < 200; i++) {
        int64_t next = sim_step(s, now);
        note((uint64_t)now);
        if (i % 10 == 0)
            sim_client_send(c[i / 10 % 3], junk, (size_t)(i * 25));
        sim_client_receive(c[i % 3], junk, sizeof junk);
        now = next < now + 5000 ? next : now + 5000;
    }
    sim_transport_free(t);
    sim_free(s);
    return trace;
}

static void same_seed_same_run(void)
{
    world_init(&w, &whole, NULL);
    uint64_t seed = unit_seed();
    uint64_t first = run_noted(seed);
    CU_ASSERT_EQUAL(run_noted(seed), first);
    CU_ASSERT_NOT_EQUAL(run_noted(seed + 1), first);
    world_fini(&w);
}

static void latency_and_window(void)
{
    static char junk[100000];
    struct sim_client *c;
    world_init(&w, &whole, NULL);
    w.app.mode = APP_HOLD;
    w.app.want = 100;
    int64_t t0 = CLOCK_NS_PER_S;
    sim_step(w.sim, t0);
    CU_ASSERT_EQUAL_FATAL(sim_connect(w.sim, (struct sockaddr *)&w.address, &c), 0);
    CU_ASSERT_EQUAL(sim_step(w.sim, t0), t0 + latency);
    CU_ASSERT_EQUAL(sim_step(w.sim, t0 + latency - 1), t0 + latency);
    CU_ASSERT_EQUAL(w.app.accepted, 0);
    sim_step(w.sim, t0 + latency);
    CU_ASSERT_EQUAL(w.app.accepted, 1);
    int64_t t1 = t0 + latency;
    CU_ASSERT_EQUAL(sim_client_send(c, junk, sizeof junk), 64 * KIB); /* the window */
    CU_ASSERT_EQUAL(sim_client_send(c, junk, 1), 0);
    CU_ASSERT_EQUAL(sim_step(w.sim, t1 + latency - 1), t1 + latency);
    CU_ASSERT_EQUAL(w.app.conns[0].got, 0);
    CU_ASSERT_EQUAL(sim_step(w.sim, t1 + latency), INT64_MAX);
    CU_ASSERT_EQUAL(w.app.conns[0].got, 100);
    CU_ASSERT_EQUAL(sim_client_undelivered(c), 64 * KIB - 100);
    CU_ASSERT_EQUAL(sim_client_send(c, junk, sizeof junk), 100); /* as much as was taken */
    sim_client_reset(c);
    CU_ASSERT_EQUAL(sim_step(w.sim, t1 + latency), t1 + 2 * latency);
    CU_ASSERT_EQUAL(sim_step(w.sim, t1 + 2 * latency), INT64_MAX);
    CU_ASSERT_EQUAL(w.app.reasons[TRANSPORT_CLOSE_RESET], 1);
    w.now_ns = t1 + 2 * latency;
    world_fini(&w);
}

static bool connected(void *ctx)
{
    return w.app.connected == 1 && w.app.accepted == 1;
}

static bool closed(void *ctx)
{
    return w.app.closed == w.app.count;
}

static void broken_network(void)
{
    struct app_conn *a;
    world_init(&w, &random_cuts, NULL);
    CU_ASSERT_EQUAL_FATAL(world_connect(&w, &w.address, &a), 0);
    CU_ASSERT_TRUE_FATAL(world_until(&w, connected, NULL));
    app_send_pattern(&w, a, 1000);
    sim_break(a->c);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(w.app.reasons[TRANSPORT_CLOSE_RESET], 2);
    world_fini(&w);
}

/* As Linux does: closing over unread bytes resets. */
static void client_closes_unread(void)
{
    struct sim_client *c;
    world_init(&w, &whole, NULL);
    CU_ASSERT_EQUAL_FATAL(sim_connect(w.sim, (struct sockaddr *)&w.address, &c), 0);
    world_steps(&w, 3);
    app_send_pattern(&w, &w.app.conns[0], 100);
    world_steps(&w, 3);
    CU_ASSERT_EQUAL(sim_client_readable(c), 100);
    sim_client_close(c);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    CU_ASSERT_EQUAL(w.app.reasons[TRANSPORT_CLOSE_RESET], 1);
    world_fini(&w);
}

static void nobody_listens(void)
{
    struct sim_client *c;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(1)};
    world_init(&w, &whole, NULL);
    CU_ASSERT_EQUAL(sim_connect(w.sim, (struct sockaddr *)&at, &c), ERR_NOT_FOUND);
    sim_transport_stop_listening(w.simt);
    CU_ASSERT_EQUAL(sim_connect(w.sim, (struct sockaddr *)&w.address, &c), ERR_NOT_FOUND);
    world_fini(&w);
}

/* Each piece in an mbuf of its own: as many segments as bytes. */
static void fragments(void)
{
    static const struct world_kind kind = {
        .name = "fragments", .sim = true, .delivery = SIM_BYTES, .fragments = true};
    struct sim_client *c;
    world_init(&w, &kind, NULL);
    w.app.mode = APP_HOLD;
    CU_ASSERT_EQUAL_FATAL(sim_connect(w.sim, (struct sockaddr *)&w.address, &c), 0);
    CU_ASSERT_EQUAL(sim_client_send(c, "0123456789", 10), 10);
    world_steps(&w, 5);
    CU_ASSERT_EQUAL(w.app.conns[0].got, 10);
    CU_ASSERT_EQUAL(w.app.conns[0].c->rx.segs, 10);
    sim_client_close(c);
    CU_ASSERT_TRUE(world_until(&w, closed, NULL));
    world_fini(&w);
}

UNIT_MAIN("transport/sim",
          CONFORMANCE_TESTS(CONFORMANCE_CASE, whole)
              CONFORMANCE_TESTS(CONFORMANCE_CASE, random_cuts)
                  CONFORMANCE_TESTS(CONFORMANCE_CASE, bytes) UNIT_CASE(same_seed_same_run),
          UNIT_CASE(latency_and_window), UNIT_CASE(broken_network), UNIT_CASE(client_closes_unread),
          UNIT_CASE(nobody_listens), UNIT_CASE(fragments))
