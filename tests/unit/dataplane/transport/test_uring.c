#include <arpa/inet.h>
#include <errno.h>
#include <rte_mempool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "tests/unit/dataplane/transport/conformance.h"

static const struct world_kind v4 = {.name = "v4"};
static const struct world_kind v6 = {.name = "v6", .v6 = true};
static const struct world_kind single = {.name = "single", .single = true};

CONFORMANCE_TESTS(CONFORMANCE_DEFINE, v4)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, v6)
CONFORMANCE_TESTS(CONFORMANCE_DEFINE, single)

#define many_max 1000

static struct world w;
static struct peer peers[many_max];

static bool accepted_all(void *ctx)
{
    return w.app.accepted >= *(uint32_t *)ctx;
}

/* Tells the peer too, which sees a reset when it sends. */
static bool was_reset(void *ctx)
{
    struct peer *p = ctx;
    peer_send(p, 1);
    return p->reset;
}

static bool got_all_sent(void *ctx)
{
    uint64_t got = 0, sent = 0;
    for (uint32_t i = 0; i < *(uint32_t *)ctx; i++) {
        got += w.app.conns[i].got;
        sent += peers[i].sent;
    }
    return got == sent;
}

static bool closed_all(void *ctx)
{
    return w.app.closed >= w.app.count;
}

static void open_peers(uint32_t n)
{
    uint32_t all = w.app.accepted + n;
    for (uint32_t i = 0; i < n; i++)
        CU_ASSERT_TRUE_FATAL(peer_open(&w, &peers[i]));
    CU_ASSERT_TRUE_FATAL(world_until(&w, accepted_all, &all));
}

static void close_peers(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        peer_close(&peers[i]);
    CU_ASSERT_TRUE(world_until(&w, closed_all, NULL));
    world_fini(&w);
}

/* One request and its reply on each of n conns; true if all came back. */
static bool round_trip(uint32_t n, uint32_t each, size_t bytes)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < each; k++)
            peer_send(&peers[i], bytes);
    uint32_t done = 0;
    for (int step = 0; done < n && step < 10000; step++) {
        world_step(&w);
        done = 0;
        for (uint32_t i = 0; i < n; i++) {
            peer_receive(&peers[i], UINT32_MAX);
            done += peers[i].received == peers[i].sent;
        }
    }
    return done == n;
}

/* The calls of a loop serve all connections; none is made for a request of its own. */
static void system_calls(void)
{
    static const struct {
        uint32_t conns, each;
        double most;
    } loads[] = {{1, 1, 2.5}, {4, 16, 0.2}, {256, 1, 0.1}};
    world_init(&w, &v4, &(struct world_setup){.conn_max = 300, .rx_bufs = 1024});
    w.app.mode = APP_ECHO;
    w.app.want = echo_bytes_max;
    open_peers(256);
    for (size_t l = 0; l < sizeof loads / sizeof loads[0]; l++) {
        uint64_t before = w.ring.enters;
        uint32_t requests = 0;
        for (int r = 0; r < 50; r++) {
            CU_ASSERT_TRUE_FATAL(round_trip(loads[l].conns, loads[l].each, 170));
            requests += loads[l].conns * loads[l].each;
        }
        double per = (double)(w.ring.enters - before) / requests;
        printf("\n    %u conns x %u of 170 B: %.3f system calls a request", loads[l].conns,
               loads[l].each, per);
        CU_ASSERT_TRUE(per <= loads[l].most);
    }
    printf("\n  ");
    close_peers(256);
}

/* An idle connection holds no receive buffer, and few armed ones cost no more than the ring. */
static void idle_conns_hold_nothing(void)
{
    world_init(&w, &v4, &(struct world_setup){.conn_max = many_max, .rx_bufs = 511});
    w.app.mode = APP_ECHO;
    uint32_t lent = world_rx_used(&w);
    open_peers(many_max);
    CU_ASSERT_TRUE_FATAL(round_trip(many_max, 1, 100));
    world_steps(&w, 3);
    CU_ASSERT_TRUE(lent <= 256);
    /* and at most 64 that wait emptied for the next refill, and one batch of it */
    CU_ASSERT_TRUE(world_rx_used(&w) <= lent + 64);
    close_peers(many_max);
}

/* More connections with half a request than the pool has buffers: others still work. */
static void half_sent_beyond_the_pool(void)
{
    enum { half = 600 };
    world_init(&w, &v4, &(struct world_setup){.conn_max = many_max, .rx_bufs = 127});
    w.app.mode = APP_HOLD;
    open_peers(half);
    for (uint32_t i = 0; i < half; i++) {
        peer_send(&peers[i], 1 + rng_below(&w.rng, 40));
        if (i % 10 == 0)
            world_step(&w);
    }
    CU_ASSERT_TRUE(world_until(&w, got_all_sent, &(uint32_t){half}));
    w.app.mode = APP_ECHO;
    uint32_t all = w.app.accepted + 1;
    struct peer other;
    CU_ASSERT_TRUE_FATAL(peer_open(&w, &other));
    CU_ASSERT_TRUE_FATAL(world_until(&w, accepted_all, &all));
    for (int i = 0; i < 20000 && other.received < 100000; i++) {
        peer_send(&other, other.sent < 100000 ? 100000 - other.sent : 0);
        peer_receive(&other, 100000);
        world_step(&w);
    }
    CU_ASSERT_EQUAL(other.received, 100000);
    CU_ASSERT_FALSE(other.wrong);
    peer_close(&other);
    close_peers(half);
}

/* Arms for a few bytes and a flood share the ring of buffers: each byte goes to the right one. */
static void small_and_large_arms(void)
{
    world_init(&w, &v4, &(struct world_setup){.conn_max = 64, .rx_bufs = 1024});
    w.app.mode = APP_HOLD;
    w.app.want = 5;
    open_peers(20);
    world_steps(&w, 3);
    w.app.mode = APP_SINK;
    w.app.want = 300000;
    uint32_t all = 21;
    struct peer *flood = &peers[20];
    CU_ASSERT_TRUE_FATAL(peer_open(&w, flood));
    CU_ASSERT_TRUE_FATAL(world_until(&w, accepted_all, &all));
    for (int i = 0; i < 20000 && w.app.conns[20].got < 4000000; i++) {
        peer_send(flood, flood->sent < 4000000 ? 4000000 - flood->sent : 0);
        if (i == 5)
            for (int k = 0; k < 20; k++)
                peer_send(&peers[k], 5);
        world_step(&w);
    }
    CU_ASSERT_EQUAL(w.app.conns[20].got, 4000000); /* each byte was checked by the sink */
    for (int k = 0; k < 20; k++)
        CU_ASSERT_EQUAL(w.app.conns[k].got, 5);
    w.app.mode = APP_HOLD;
    for (int k = 0; k < 20; k++)
        app_want(&w, &w.app.conns[k], 1);
    close_peers(21);
}

static void dual_stack(void)
{
    world_init(&w, &v4, NULL);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_addr = in6addr_any};
    uint16_t port = 0;
    int errnum = 0;
    CU_ASSERT_EQUAL_FATAL(
        uring_transport_listen(w.uring, (struct sockaddr *)&any, 9, &port, &errnum), 0);
    world_steps(&w, 2);
    ((struct sockaddr_in *)&w.address)->sin_port = htons(port);
    open_peers(1);
    char text[TCONN_PEER_TEXT_MAX];
    tconn_peer_text(w.app.conns[0].c, text);
    CU_ASSERT_EQUAL(strncmp(text, "127.0.0.1:", 10), 0);
    CU_ASSERT_EQUAL(w.app.listener_seen, 9);
    close_peers(1);
}

static void taken_addresses(void)
{
    world_init(&w, &v4, NULL);
    struct sockaddr *own = (struct sockaddr *)&w.address;
    struct sockaddr_in other = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in foreign = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr("192.0.2.1")};
    socklen_t len = sizeof other;
    uint16_t port = 0;
    int errnum = 0;
    CU_ASSERT_EQUAL(uring_transport_probe(own, &errnum), ERR_BUSY);
    CU_ASSERT_EQUAL(errnum, EADDRINUSE);
    CU_ASSERT_EQUAL(uring_transport_probe((struct sockaddr *)&other, &errnum), 0);

    int fd = socket(AF_INET, SOCK_STREAM, 0); /* somebody who does not share */
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&other, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&other, &len), 0);
    CU_ASSERT_EQUAL(uring_transport_listen(w.uring, (struct sockaddr *)&other, 0, &port, &errnum),
                    ERR_BUSY);
    CU_ASSERT_EQUAL(uring_transport_listen(w.uring, (struct sockaddr *)&foreign, 0, &port, &errnum),
                    ERR_SYSTEM);
    CU_ASSERT_EQUAL(errnum, EADDRNOTAVAIL);
    CU_ASSERT_EQUAL(port, 0);
    close(fd);
    world_fini(&w);
}

/* Two transports on one address, as two shards have it: the kernel gives both their share. */
static void shared_port(void)
{
    static struct world second;
    world_init(&w, &v4, NULL);
    world_init(&second, &v4, NULL);
    uint16_t port = 0;
    int errnum = 0;
    CU_ASSERT_EQUAL_FATAL(
        uring_transport_listen(second.uring, (struct sockaddr *)&w.address, 1, &port, &errnum), 0);
    world_steps(&second, 3);
    for (int i = 0; i < 60; i++)
        CU_ASSERT_TRUE_FATAL(peer_open(&w, &peers[i]));
    for (int i = 0; i < 2000 && w.app.accepted + second.app.accepted < 60; i++) {
        world_step(&w);
        world_step(&second);
    }
    CU_ASSERT_EQUAL(w.app.accepted + second.app.accepted, 60);
    CU_ASSERT_TRUE(w.app.accepted > 0 && second.app.accepted > 0);
    for (int i = 0; i < 60; i++)
        peer_close(&peers[i]);
    world_fini(&second);
    CU_ASSERT_TRUE(world_until(&w, closed_all, NULL));
    world_fini(&w);
}

/* Out of descriptors: no spinning, and once there are some again the backlog is served. */
static void descriptors_run_out(void)
{
    struct rlimit usual, few = {.rlim_cur = 64};
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &usual), 0);
    few.rlim_max = usual.rlim_max;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &few), 0);
    world_init(&w, &v4, NULL);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_TRUE_FATAL(peer_open(&w, &peers[i]));
    int taken[64], n = 0;
    while (n < 64 && (taken[n] = dup(STDOUT_FILENO)) >= 0)
        n++;
    CU_ASSERT_TRUE_FATAL(n > 0 && n < 64);
    w.frozen_ns = w.now_ns;
    world_steps(&w, 30);
    CU_ASSERT_EQUAL(w.app.accepted, 0);
    CU_ASSERT_EQUAL(uring_transport_counters(w.uring)->accept_errors, 1);
    while (n > 0)
        close(taken[--n]);
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &usual), 0);
    w.frozen_ns += CLOCK_NS_PER_S;
    uint32_t all = 3;
    CU_ASSERT_TRUE(world_until(&w, accepted_all, &all));
    close_peers(3);
}

static void stops_listening(void)
{
    world_init(&w, &v4, NULL);
    w.app.mode = APP_ECHO;
    open_peers(2);
    uring_transport_stop_listening(w.uring);
    world_steps(&w, 5);
    struct peer late;
    peer_open(&w, &late);
    CU_ASSERT_TRUE(world_until(&w, was_reset, &late));
    CU_ASSERT_EQUAL(w.app.accepted, 2);
    CU_ASSERT_TRUE(round_trip(2, 1, 1000));
    peer_close(&late);
    close_peers(2);
}

/* The ring first, as when a shard's thread has ended: nothing is waited for, nothing leaks. */
static void freed_after_the_ring(void)
{
    world_init(&w, &v4, NULL);
    w.app.mode = APP_HOLD;
    open_peers(8);
    for (int i = 0; i < 8; i++) {
        peer_send(&peers[i], 30000);
        app_send_pattern(&w, &w.app.conns[i], 500000);
    }
    world_steps(&w, 4);
    ring_fini(&w.ring);
    uring_transport_free(w.uring);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(w.mem.rx_pool), w.rx_before);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(w.mem.tx_pool), w.tx_before);
    mem_fini(&w.mem);
    for (int i = 0; i < 8; i++)
        peer_close(&peers[i]);
}

static void counts(void)
{
    world_init(&w, &v4, &(struct world_setup){.conn_max = 2});
    w.app.mode = APP_ECHO;
    open_peers(2);
    peer_open(&w, &peers[2]);
    CU_ASSERT_TRUE(round_trip(2, 1, 5000));
    world_steps(&w, 3);
    const struct uring_counters *c = uring_transport_counters(w.uring);
    CU_ASSERT_EQUAL(c->accepted, 2);
    CU_ASSERT_EQUAL(c->refused, 1);
    CU_ASSERT_EQUAL(c->open, 2);
    CU_ASSERT_EQUAL(c->rx_bytes, 10000);
    CU_ASSERT_EQUAL(c->tx_bytes, 10000);
    CU_ASSERT_TRUE(c->rx_events >= 2 && c->sends >= 2);
    for (int i = 0; i < 3; i++)
        peer_close(&peers[i]);
    CU_ASSERT_TRUE(world_until(&w, closed_all, NULL));
    CU_ASSERT_EQUAL(c->closed, 2);
    CU_ASSERT_EQUAL(c->open, 0);
    world_fini(&w);
}

UNIT_MAIN("transport/uring",
          CONFORMANCE_TESTS(CONFORMANCE_CASE, v4) CONFORMANCE_TESTS(CONFORMANCE_CASE, v6)
              CONFORMANCE_TESTS(CONFORMANCE_CASE, single) UNIT_CASE(system_calls),
          UNIT_CASE(idle_conns_hold_nothing), UNIT_CASE(half_sent_beyond_the_pool),
          UNIT_CASE(small_and_large_arms), UNIT_CASE(dual_stack), UNIT_CASE(taken_addresses),
          UNIT_CASE(shared_port), UNIT_CASE(descriptors_run_out), UNIT_CASE(stops_listening),
          UNIT_CASE(freed_after_the_ring), UNIT_CASE(counts))
