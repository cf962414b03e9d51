/* calls: OPEN as RFC 9293 3.9.1.1 wants it, the choice of ports (RFC 6056) and of ISNs (RFC 6528). */
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/wire.h"
#include "tests/tcp/world.h"
#include "tests/unit/core/with_eal.h"

#define PORTS 8u

static struct world_pools pools;
static struct rng rng;
static struct tcp_seg last; /* that left */
static uint32_t left;
static bool no_way;

static void on_emit(void *ctx, struct rte_mbuf *m, const struct tcp_out *out)
{
    CU_ASSERT_EQUAL(tcp_wire_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, m->pkt_len, &last),
                    0);
    left++;
    rte_pktmbuf_free(m);
}

static int on_route(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out)
{
    *out = (struct tcp_route){.mtu = 1500};
    return no_way ? ERR_NOT_FOUND : 0;
}

/* Half of the ports belong to another shard. */
static bool on_owns(void *ctx, const struct tcp_addrs *a, uint16_t local, uint16_t remote)
{
    return local % 2 == 0;
}

static int on_accepted(void *ctx, struct tcp_conn *c, void *user)
{
    return 0;
}

static void on_conn(void *ctx, struct tcp_conn *c)
{
}

static void on_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
}

static void on_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
}

static struct tcp *stack(uint8_t secret)
{
    if (pools.rx == NULL) {
        with_eal(64);
        world_pools_make(&pools, 511);
        rng_seed(&rng, unit_seed());
    }
    struct tcp_options o = {.hooks = {on_emit, on_route, on_owns, on_accepted, on_conn, on_conn,
                                      on_conn, on_sent, on_closed, NULL},
                            .header_pool = pools.header,
                            .ref_pool = pools.ref,
                            .rng = &rng};
    tcp_options_default(&o);
    o.secret[0] = secret;
    o.listeners_max = 2;
    o.port_first = 40000;
    o.port_last = 40000 + 2 * PORTS - 1;
    struct tcp *t = NULL;
    CU_ASSERT_EQUAL_FATAL(tcp_new(&o, 1000000000, &t), 0);
    return t;
}

static struct tcp_addrs to(uint32_t host)
{
    return (struct tcp_addrs){tcp_addr_v4(0x0a000001), tcp_addr_v4(0x0a000000 + host)};
}

/* MUST-41: a passive open fails or is one more; MUST-42: also beside an active open of its port. */
static void passive_opens(void)
{
    static const struct tcp_addr any;
    struct tcp *t = stack(1);
    struct tcp_addrs a = to(2);
    struct tcp_conn *c;
    CU_ASSERT_EQUAL(tcp_connect(t, &a, 80, 9000, NULL, 1000000000, &c), 0);
    tcp_run(t, 1000000000, 8);
    CU_ASSERT_EQUAL(last.flags & (TCP_SYN | TCP_ACK), TCP_SYN);
    CU_ASSERT_EQUAL(tcp_listen(t, &any, 80, 4, NULL), 0);
    CU_ASSERT_EQUAL(tcp_listen(t, &any, 80, 4, NULL), ERR_EXISTS);
    CU_ASSERT_EQUAL(tcp_listen(t, &a.local, 80, 4, NULL), 0); /* MUST-43: one address of ours */
    CU_ASSERT_EQUAL(tcp_listen(t, &any, 81, 4, NULL), ERR_FULL);
    CU_ASSERT_EQUAL(tcp_listen(t, &any, 0, 4, NULL), ERR_INVALID);
    tcp_unlisten(t, &any, 80);
    CU_ASSERT_EQUAL(tcp_listen(t, &any, 81, 4, NULL), 0);
    tcp_free(t);
}

/* RFC 6056: of the range, free, ours; the same one again only for another peer; ERR_RANGE at the end. */
static void ports(void)
{
    struct tcp *t = stack(1);
    struct tcp_addrs a = to(2), b = to(3);
    struct tcp_conn *c;
    uint32_t seen = 0, first[8] = {0};
    for (uint32_t i = 0; i < PORTS; i++) {
        CU_ASSERT_EQUAL_FATAL(tcp_connect(t, &a, 0, 9000, NULL, 1000000000, &c), 0);
        uint16_t port = tcp_tuple(c).local_port;
        CU_ASSERT_TRUE_FATAL(port >= 40000 && port < 40000 + 2 * PORTS && port % 2 == 0);
        seen |= 1u << (port - 40000);
    }
    CU_ASSERT_EQUAL(seen, 0x5555); /* each once */
    CU_ASSERT_EQUAL(tcp_connect(t, &a, 0, 9000, NULL, 1000000000, &c), ERR_RANGE);
    CU_ASSERT_EQUAL(tcp_connect(t, &a, 40002, 9000, NULL, 1000000000, &c), ERR_EXISTS);
    CU_ASSERT_EQUAL(tcp_connect(t, &a, 0, 0, NULL, 1000000000, &c), ERR_INVALID);
    CU_ASSERT_EQUAL(tcp_connect(t, &b, 40002, 9000, NULL, 1000000000, &c), 0);
    no_way = true; /* MUST-46: what route refuses (a multicast address) is refused here */
    CU_ASSERT_EQUAL(tcp_connect(t, &b, 0, 9000, NULL, 1000000000, &c), ERR_NOT_FOUND);
    no_way = false;
    tcp_free(t);
    /* the first of a range is not always the same: over 256 stacks each is the first at some time */
    for (int i = 0; i < 256; i++) {
        t = stack(1);
        CU_ASSERT_EQUAL_FATAL(tcp_connect(t, &a, 0, 9000, NULL, 1000000000, &c), 0);
        first[(tcp_tuple(c).local_port - 40000) / 2]++;
        tcp_free(t);
    }
    for (uint32_t i = 0; i < PORTS; i++)
        CU_ASSERT_TRUE(first[i] > 0);
}

static uint32_t isn(uint8_t secret, uint32_t host, uint16_t port, int64_t now)
{
    struct tcp *t = stack(secret);
    struct tcp_addrs a = to(host);
    struct tcp_conn *c;
    CU_ASSERT_EQUAL_FATAL(tcp_connect(t, &a, port, 9000, NULL, now, &c), 0);
    uint32_t before = left;
    tcp_run(t, now, 8);
    CU_ASSERT_EQUAL_FATAL(left, before + 1);
    tcp_free(t);
    return last.seq;
}

/* MUST-8: 1 each 4 us; SHLD-1, MUST-9: from a place that the tuple and the secret give. */
static void isns(void)
{
    int64_t at = 5000000000;
    uint32_t one = isn(1, 2, 1000, at);
    CU_ASSERT_EQUAL(isn(1, 2, 1000, at), one);
    CU_ASSERT_EQUAL(isn(1, 2, 1000, at + 4000000), one + 1000);
    CU_ASSERT_EQUAL(isn(1, 2, 1000, at + (4000LL << 32)), one); /* 4.77 hours around */
    CU_ASSERT_NOT_EQUAL(isn(1, 2, 1001, at), one);
    CU_ASSERT_NOT_EQUAL(isn(1, 3, 1000, at), one);
    CU_ASSERT_NOT_EQUAL(isn(2, 2, 1000, at), one);
}

/* What RFC 9293 says about the defaults: MUST-23, SHLD-11, MUST-40, MUST-25 and MUST-29. */
static void defaults(void)
{
    struct tcp_options o = {0};
    tcp_options_default(&o);
    CU_ASSERT_TRUE(o.syn_timeout >= 180 * CLOCK_NS_PER_S);
    CU_ASSERT_TRUE(o.user_timeout >= 100 * CLOCK_NS_PER_S);
    CU_ASSERT_TRUE(o.delayed_ack < CLOCK_NS_PER_S / 2);
    CU_ASSERT_TRUE(o.keepalive_probes > 1);
    CU_ASSERT_TRUE(o.ecn && o.sack && o.timestamps && o.window_scaling && o.syn_cookies);
}

UNIT_MAIN("dataplane/tcp/calls", UNIT_CASE(passive_opens), UNIT_CASE(ports), UNIT_CASE(isns),
          UNIT_CASE(defaults))
