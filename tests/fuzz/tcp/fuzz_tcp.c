/*
 * fuzz: structured segments against one stack. The first byte picks options; then each record is an
 * opcode and its arguments: a segment near the connection's numbers (flags, offsets, options, payload), raw
 * bytes as a segment, time that passes, or a call of the application. After each the invariants are
 * checked; at the end no mbuf may be missing.
 */
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "core/eal.h"
#include "dataplane/tcp/info.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/wire.h"
#include "tests/tcp/world.h"

struct fuzz {
    const uint8_t *p;
    size_t left;
    struct tcp *tcp;
    struct tcp_conn *conn;
    struct world_pools *pools;
    struct rng rng;
    int64_t now;
    uint32_t our_next, peer_next; /* what a peer would use */
};

static uint32_t take(struct fuzz *f, size_t n)
{
    uint32_t v = 0;
    for (; n > 0 && f->left > 0; n--, f->left--)
        v = v << 8 | *f->p++;
    return v;
}

static void on_emit(void *ctx, struct rte_mbuf *m, const struct tcp_out *out)
{
    struct fuzz *f = ctx;
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    struct tcp_seg s;
    CHECK(tcp_wire_parse(p, out->header_len, m->pkt_len, &s) == 0);
    f->our_next = s.seq + tcp_seg_space(&s);
    if (s.flags & TCP_ACK)
        f->peer_next = s.ack;
    rte_pktmbuf_free(m);
}

static int on_route(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out)
{
    *out = (struct tcp_route){.mtu = 1500, .tso_max = 20000, .checksum_offload = true};
    return 0;
}

static int on_accepted(void *ctx, struct tcp_conn *c, void *listener_user)
{
    struct fuzz *f = ctx;
    if (f->conn != NULL)
        return -1;
    f->conn = c;
    return 0;
}

static void on_event(void *ctx, struct tcp_conn *c)
{
}

static void on_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
}

static void on_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    struct fuzz *f = ctx;
    if (f->conn == c)
        f->conn = NULL;
}

static void input(struct fuzz *f, const uint8_t *bytes, uint32_t len, uint32_t flags)
{
    struct tcp_addrs a = {tcp_addr_v4(0x0a000001), tcp_addr_v4(0x0a000002)};
    struct chain all = {0};
    if (len == 0 || chain_append_bytes(&all, f->pools->rx, bytes, len) < 0)
        return;
    all.head->pkt_len = len;
    all.head->nb_segs = (uint16_t)all.segs;
    tcp_input(f->tcp, &a, all.head, flags, f->now);
}

static void near_segment(struct fuzz *f)
{
    uint8_t bytes[TCP_HEADER_MAX + 256] = {0};
    struct tcp_seg s = {.src = 5000, .dst = 80, .flags = (uint8_t)take(f, 1)};
    s.seq = f->peer_next + (uint32_t)(int16_t)take(f, 2);
    s.ack = f->our_next + (uint32_t)(int16_t)take(f, 2);
    s.window = (uint16_t)take(f, 2);
    uint8_t bits = (uint8_t)take(f, 1);
    s.has_ts = bits & 1;
    s.ts_val = s.has_ts ? take(f, 2) : 0;
    s.sacks = bits >> 1 & 3;
    for (uint32_t i = 0; i < s.sacks; i++) {
        s.sack[i].start = f->our_next + (uint32_t)(int16_t)take(f, 2);
        s.sack[i].end = s.sack[i].start + take(f, 2);
    }
    if (s.flags & TCP_SYN) {
        s.mss = (uint16_t)take(f, 2);
        s.has_scale = bits & 8;
        s.scale = bits >> 4;
        s.sack_ok = bits & 16;
        s.sacks = 0;
    }
    uint32_t payload = bits & 64 ? take(f, 1) : 0;
    uint32_t header = tcp_wire_write(&s, bytes);
    input(f, bytes, header + payload, TCP_IN_CHECKSUM_GOOD | (bits >> 7) * 3u);
}

static void raw_segment(struct fuzz *f)
{
    uint32_t len = take(f, 1);
    len = len < f->left ? len : (uint32_t)f->left;
    input(f, f->p, len, TCP_IN_CHECKSUM_GOOD);
    f->p += len;
    f->left -= len;
}

static void application(struct fuzz *f)
{
    struct chain c = {0};
    uint32_t what = take(f, 1), n = take(f, 2);
    if (f->conn == NULL)
        return;
    static const uint8_t bytes[65536];
    switch (what % 6) {
    case 0:
        if (chain_append_bytes(&c, f->pools->tx, bytes, n) == 0)
            tcp_send(f->conn, &c);
        break;
    case 1:
        tcp_recv(f->conn, n, &c);
        break;
    case 2:
        tcp_window(f->conn, n * 16);
        break;
    case 3:
        tcp_shutdown(f->conn);
        break;
    case 4:
        tcp_close(f->conn);
        break;
    default:
        tcp_abort(f->conn);
        break;
    }
    chain_free(&c);
}

static void step(struct fuzz *f)
{
    struct tcp_addrs a = {tcp_addr_v4(0x0a000001), tcp_addr_v4(0x0a000002)};
    switch (take(f, 1) % 8) {
    case 0:
        raw_segment(f);
        break;
    case 1:
        f->now += (int64_t)take(f, 2) * 1000000;
        break;
    case 2:
        application(f);
        break;
    case 3:
        tcp_icmp_too_big(f->tcp, &a, 80, 5000, f->our_next - take(f, 2), take(f, 2), f->now);
        break;
    default:
        near_segment(f);
        break;
    }
    tcp_run(f->tcp, f->now, 64);
    if (f->conn != NULL)
        tcp_conn_verify(f->conn);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world_pools pools;
    static const struct tcp_addr any;
    if (pools.rx == NULL) {
        struct eal_options eal = {.memory_mb = 64, .extra_args = "--no-huge"};
        struct eal_state state;
        CHECK(eal_up(&eal, &state, NULL, 0) == 0 && atexit(eal_down) == 0);
        world_pools_make(&pools, 2047);
    }
    struct fuzz f = {
        .p = data, .left = size, .pools = &pools, .now = 1000000000, .peer_next = 1000};
    struct tcp_options o = {.hooks = {on_emit, on_route, NULL, on_accepted, on_event, on_event,
                                      on_event, on_sent, on_closed, &f},
                            .header_pool = pools.header,
                            .ref_pool = pools.ref,
                            .rng = &f.rng};
    unsigned rx = rte_mempool_avail_count(pools.rx), tx = rte_mempool_avail_count(pools.tx);
    unsigned ref = rte_mempool_avail_count(pools.ref);
    rng_seed(&f.rng, 1);
    tcp_options_default(&o);
    o.conns_max = o.syns_max = o.time_waits_max = 4;
    o.descriptors_max = 64;
    uint32_t bits = take(&f, 1);
    o.sack = bits & 1;
    o.timestamps = bits & 2;
    o.ecn = bits & 4;
    o.congestion = bits & 8 ? TCP_NEWRENO : TCP_CUBIC;
    o.rx_segments_max = bits & 16 ? 8 : 4096;
    CHECK(tcp_new(&o, f.now, &f.tcp) == 0);
    CHECK(tcp_listen(f.tcp, &any, 80, 4, NULL) == 0);
    while (f.left > 0)
        step(&f);
    tcp_free(f.tcp);
    CHECK(rte_mempool_avail_count(pools.rx) == rx && rte_mempool_avail_count(pools.tx) == tx);
    CHECK(rte_mempool_avail_count(pools.ref) == ref);
    return 0;
}
