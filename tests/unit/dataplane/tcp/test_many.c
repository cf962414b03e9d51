/*
 * many: one stack with 100,000 connections at once: each opens, sends a request, gets its reply,
 * closes. What the stack takes for each is measured and bounded.
 *
 * The clients are not stacks: each is the numbers that it needs to say the next thing. The time is the
 * test's own, 1 us a segment.
 */
#include <malloc.h>
#include <string.h>

#include "base/err.h"
#include "dataplane/tcp/stats.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/wire.h"
#include "tests/tcp/world.h"
#include "tests/unit/core/with_eal.h"

#define CONNS   100000u
#define PORT    9092
#define REQUEST 100u
#define REPLY   200u
#define BURST   32u
/* Heap that the stack takes for each connection it may have: its block, its TIME_WAIT, its share of
 * the look-up table and of the descriptors. Buffers come on top, while they hold something. */
#define BYTES_PER_CONN_MAX 1024u

struct client {
    uint32_t iss, heard; /* heard: bytes of sequence space that the stack has sent */
    uint8_t fins, resets;
};

static struct world_pools pools;
static struct rng rng;
static struct tcp *tcp;
static struct client *clients;
static uint32_t open_conns, closed_conns, reply_bytes;
static int64_t now = 1000000000;

static struct tcp_addrs addrs_of(uint32_t i)
{
    return (struct tcp_addrs){tcp_addr_v4(0x0a000001), tcp_addr_v4(0x0a010000 + i / 1000)};
}

static uint16_t port_of(uint32_t i)
{
    return (uint16_t)(10000 + i % 1000);
}

static uint32_t client_of(const struct tcp_addr *remote, uint16_t port)
{
    return (uint32_t)(remote->b[14] << 8 | remote->b[15]) * 1000 + port - 10000;
}

static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer);
#else
    return false;
#endif
}

static size_t heap_bytes(void)
{
    struct mallinfo2 all = mallinfo2();
    return all.uordblks + all.hblkhd;
}

/* --- the stack's hooks -------------------------------------------------------------------------------------- */

static void on_emit(void *ctx, struct rte_mbuf *m, const struct tcp_out *out)
{
    struct tcp_seg s;
    if (tcp_wire_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len, &s) != 0)
        CU_FAIL_FATAL("a header that cannot be read");
    uint32_t i = client_of(&out->addrs.remote, s.dst);
    CU_ASSERT_TRUE_FATAL(i < CONNS);
    struct client *c = &clients[i];
    if (s.flags & TCP_SYN)
        c->iss = s.seq;
    uint32_t end = s.seq + tcp_seg_space(&s) - c->iss;
    c->heard = end > c->heard ? end : c->heard;
    c->fins += (s.flags & TCP_FIN) != 0;
    c->resets += (s.flags & TCP_RST) != 0;
    reply_bytes += s.payload;
    rte_pktmbuf_free(m);
}

static int on_route(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out)
{
    *out = (struct tcp_route){.mtu = 1500, .tso_max = 65000, .checksum_offload = true};
    return 0;
}

static int on_accepted(void *ctx, struct tcp_conn *c, void *listener_user)
{
    open_conns++;
    return 0;
}

static void on_connected(void *ctx, struct tcp_conn *c)
{
}

static void on_readable(void *ctx, struct tcp_conn *c)
{
    static const uint8_t bytes[REPLY];
    struct chain in = {0}, out = {0};
    if (tcp_recv(c, UINT64_MAX, &in) != REQUEST)
        CU_FAIL("a request that is not whole");
    chain_free(&in);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&out, pools.tx, bytes, REPLY), 0);
    tcp_send(c, &out);
}

static void on_finished(void *ctx, struct tcp_conn *c)
{
    tcp_close(c);
}

static void on_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
}

static void on_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    CU_ASSERT_EQUAL(reason, TCP_CLOSE_DONE);
    closed_conns++;
}

/* --- the clients -------------------------------------------------------------------------------------------- */

static void run(void)
{
    while (tcp_run(tcp, now, BURST)) {
    }
}

/* Client i says: these flags, from `seq` of its stream on, with all acknowledged that it heard. */
static void says(uint32_t i, uint8_t flags, uint32_t seq, uint32_t payload)
{
    struct client *c = &clients[i];
    struct tcp_seg s = {.src = port_of(i),
                        .dst = PORT,
                        .seq = i * 31 + seq,
                        .ack = flags & TCP_ACK ? c->iss + c->heard : 0,
                        .flags = flags,
                        .window = 65535,
                        .mss = flags & TCP_SYN ? 1460 : 0};
    uint8_t bytes[TCP_HEADER_MAX + REQUEST] = {0};
    uint32_t len = tcp_wire_write(&s, bytes) + payload;
    struct rte_mbuf *m = rte_pktmbuf_alloc(pools.rx);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes, len);
    struct tcp_addrs a = addrs_of(i);
    now += 1000;
    tcp_input(tcp, &a, m, TCP_IN_CHECKSUM_GOOD, now);
}

/* Each client says this, and acknowledges what it hears; in bursts, as a port hands them in. */
static void all_say(uint8_t flags, uint32_t seq, uint32_t payload)
{
    uint32_t next = seq + payload + ((flags & (TCP_SYN | TCP_FIN)) != 0);
    for (uint32_t at = 0; at < CONNS; at += BURST) {
        for (uint32_t i = at; i < at + BURST && i < CONNS; i++)
            says(i, flags, seq, payload);
        run();
        for (uint32_t i = at; i < at + BURST && i < CONNS; i++)
            says(i, TCP_ACK, next, 0);
        run();
    }
}

static void start_stack(void)
{
    struct tcp_options o = {.hooks = {on_emit, on_route, NULL, on_accepted, on_connected,
                                      on_readable, on_finished, on_sent, on_closed, NULL},
                            .header_pool = pools.header,
                            .ref_pool = pools.ref,
                            .rng = &rng};
    static const struct tcp_addr any;
    tcp_options_default(&o);
    o.conns_max = o.time_waits_max = CONNS;
    size_t before = heap_bytes();
    CU_ASSERT_EQUAL_FATAL(tcp_new(&o, now, &tcp), 0);
    CU_ASSERT_EQUAL_FATAL(tcp_listen(tcp, &any, PORT, 1024, NULL), 0);
    double each = (double)(heap_bytes() - before) / CONNS;
    printf("%.0f bytes a connection (at most %u) ", each, BYTES_PER_CONN_MAX);
    /* a sanitizer's allocator does not fill in mallinfo, which then says 0 */
    CU_ASSERT_TRUE(each <= BYTES_PER_CONN_MAX && (each > 500 || sanitized()));
}

static void a_hundred_thousand(void)
{
    with_eal(64);
    world_pools_make(&pools, 2047);
    rng_seed(&rng, unit_seed());
    unsigned rx = rte_mempool_avail_count(pools.rx), tx = rte_mempool_avail_count(pools.tx);
    clients = calloc(CONNS, sizeof *clients);
    CU_ASSERT_PTR_NOT_NULL_FATAL(clients);
    start_stack();

    all_say(TCP_SYN, 0, 0);
    CU_ASSERT_EQUAL(open_conns, CONNS);
    CU_ASSERT_EQUAL(tcp_usage_of(tcp).conns, CONNS);
    CU_ASSERT_EQUAL(tcp_stats_of(tcp)->cookies_out, 0);
    /* the next one finds no block, and nobody suffers for it */
    struct tcp_addrs stranger = addrs_of(0);
    stranger.remote.b[13] = 2;
    CU_ASSERT_EQUAL(tcp_connect(tcp, &stranger, 0, 1, NULL, now, &(struct tcp_conn *){NULL}),
                    ERR_FULL);

    all_say(TCP_ACK | TCP_PSH, 1, REQUEST);
    CU_ASSERT_EQUAL(reply_bytes, CONNS * REPLY);
    struct tcp_usage usage = tcp_usage_of(tcp);
    CU_ASSERT_EQUAL(usage.conns, CONNS);
    CU_ASSERT_EQUAL(usage.descriptors, 0);
    CU_ASSERT_EQUAL(usage.rx_memory, 0);
    /* idle connections hold no buffers */
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pools.rx), rx);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pools.tx), tx);

    all_say(TCP_FIN | TCP_ACK, 1 + REQUEST, 0);
    usage = tcp_usage_of(tcp);
    CU_ASSERT_EQUAL(closed_conns, CONNS);
    CU_ASSERT_EQUAL(usage.conns + usage.syns + usage.time_waits, 0);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < CONNS; i++)
        wrong += clients[i].fins != 1 || clients[i].resets != 0 || clients[i].heard != REPLY + 2;
    CU_ASSERT_EQUAL(wrong, 0);
    tcp_free(tcp);
    free(clients);
}

UNIT_MAIN("dataplane/tcp/many", UNIT_CASE(a_hundred_thousand))
