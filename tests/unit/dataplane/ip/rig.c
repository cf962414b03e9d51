#include "tests/unit/dataplane/ip/rig.h"

#include <string.h>

#include "tests/unit/core/with_eal.h"

#define bufs 2047

static struct rte_mempool *pool;

static void on_emit(void *ctx, uint32_t iface, struct rte_mbuf *frame)
{
    struct rig *r = ctx;
    CU_ASSERT_FATAL(r->out_count < rig_out_max);
    CU_ASSERT_EQUAL(iface, r->iface);
    uint32_t bytes = 0, segs = 0;
    for (const struct rte_mbuf *m = frame; m != NULL; m = m->next, segs++)
        bytes += m->data_len;
    CU_ASSERT_EQUAL(bytes, frame->pkt_len);
    CU_ASSERT_EQUAL(segs, frame->nb_segs);
    r->out[r->out_count++] = frame;
}

struct ip_addr rig_addr(const char *text)
{
    struct ip_addr a;
    CU_ASSERT_EQUAL_FATAL(ip_addr_parse(text, &a), 0);
    return a;
}

void rig_up(struct rig *r, const struct rig_options *o, bool settle)
{
    struct ip_prefix addresses[4];
    if (pool == NULL) {
        with_eal(64);
        pool = with_pool("ip", bufs, 10240);
    }
    memset(r, 0, sizeof(*r));
    rng_seed(&r->rng, unit_seed());
    r->now = 100 * CLOCK_NS_PER_S;
    struct ip_options io = {.pool = pool,
                            .rng = &r->rng,
                            .leader = !o->follower,
                            .neighbors_max = o->neighbors_max,
                            .dad_transmits = o->dad_transmits,
                            .emit = on_emit,
                            .ctx = r};
    CU_ASSERT_EQUAL_FATAL(ip_new(&r->ip, &io), 0);
    struct ip_iface_options fo = {.mtu = o->mtu != 0 ? o->mtu : 1500,
                                  .vlan = o->vlan,
                                  .accept_ra = o->accept_ra,
                                  .autoconf = o->autoconf,
                                  .reassemble = !o->drop_fragments,
                                  .addresses = addresses};
    memcpy(fo.mac, rig_mac, 6);
    for (; fo.address_count < 4 && o->addresses[fo.address_count] != NULL; fo.address_count++) {
        struct ip_prefix *p = &addresses[fo.address_count];
        CU_ASSERT_EQUAL_FATAL(
            ip_addr_parse_prefix(o->addresses[fo.address_count], &p->addr, &p->bits), 0);
    }
    for (int i = 0; i < 2; i++)
        if (o->gateways[i] != NULL)
            fo.gateways[i] = rig_addr(o->gateways[i]);
    CU_ASSERT_EQUAL_FATAL(ip_add_iface(r->ip, &fo, r->now, &r->iface), 0);
    if (!settle)
        return;
    for (int i = 0; i < 10; i++)
        rig_time(r, 2 * CLOCK_NS_PER_S);
    rig_clear(r);
}

void rig_down(struct rig *r)
{
    rig_clear(r);
    ip_free(r->ip);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), bufs);
}

uint32_t rig_bufs_free(void)
{
    return rte_mempool_avail_count(pool);
}

void rig_clear(struct rig *r)
{
    for (uint32_t i = 0; i < r->out_count; i++)
        rte_pktmbuf_free(r->out[i]);
    r->out_count = 0;
}

void rig_time(struct rig *r, int64_t ns)
{
    r->now += ns;
    ip_run(r->ip, r->now);
    CU_ASSERT_TRUE(ip_next_deadline(r->ip) > r->now);
}

struct rte_mbuf *rig_mbuf(const void *bytes, uint32_t n, uint32_t pieces)
{
    struct rte_mbuf *head = rte_pktmbuf_alloc(pool), *last = head;
    uint32_t first = pieces > 1 && n > 64 ? 64 : n;
    const uint8_t *p = bytes;
    CU_ASSERT_PTR_NOT_NULL_FATAL(head);
    if (first > 0)
        memcpy(rte_pktmbuf_append(head, (uint16_t)first), p, first);
    for (uint32_t at = first; at < n;) {
        uint32_t len = (n - at) / (pieces - 1) > 0 ? (n - at) / (pieces - 1) : n - at;
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        CU_ASSERT_PTR_NOT_NULL_FATAL(m);
        memcpy(rte_pktmbuf_append(m, (uint16_t)len), p + at, len);
        last->next = m;
        last = m;
        head->nb_segs++;
        at += len;
    }
    head->pkt_len = n;
    return head;
}

enum ip_verdict rig_feed(struct rig *r, const void *bytes, uint32_t n, struct ip_packet *packet,
                         struct rte_mbuf **segment)
{
    struct ip_packet own;
    struct rte_mbuf *m = rig_mbuf(bytes, n, n > 200 ? 3 : 1);
    enum ip_verdict v = ip_input(r->ip, r->iface, m, r->now, packet != NULL ? packet : &own);
    if (v == IP_TCP && segment != NULL)
        *segment = m;
    else if (v == IP_TCP)
        rte_pktmbuf_free(m);
    return v;
}

const uint8_t *rig_frame(struct rig *r, uint32_t i, uint32_t *n)
{
    static uint8_t bytes[10240];
    CU_ASSERT_FATAL(i < r->out_count);
    const struct rte_mbuf *m = r->out[i];
    *n = m->pkt_len;
    const void *p = rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
    if (p != bytes)
        memcpy(bytes, p, m->pkt_len);
    return bytes;
}

const uint8_t *rig_only(struct rig *r, uint32_t *n)
{
    CU_ASSERT_EQUAL_FATAL(r->out_count, 1);
    return rig_frame(r, 0, n);
}

uint32_t rig_ether(uint8_t *p, uint16_t type)
{
    memcpy(p, rig_mac, 6);
    memcpy(p + 6, peer_mac, 6);
    bytes_put_u16(p + 12, type);
    return 14;
}

uint32_t rig_arp(uint8_t *p, uint16_t op, const uint8_t *mac, const char *from, const char *to)
{
    struct ip_addr a = rig_addr(from), b = rig_addr(to);
    memset(p, 0, 60);
    rig_ether(p, 0x0806);
    if (op == 1)
        memset(p, 0xff, 6);
    bytes_put_u16(p + 14, 1);
    bytes_put_u16(p + 16, 0x0800);
    p[18] = 6;
    p[19] = 4;
    bytes_put_u16(p + 20, op);
    memcpy(p + 22, mac, 6);
    memcpy(p + 28, a.b + 12, 4);
    memcpy(p + 38, b.b + 12, 4);
    return 60;
}

uint32_t rig_v4(uint8_t *p, const char *src, const char *dst, uint8_t protocol, uint32_t len)
{
    struct ip_addr a = rig_addr(src), b = rig_addr(dst);
    rig_ether(p, 0x0800);
    memset(p + 14, 0, 20);
    p[14] = 0x45;
    bytes_put_u16(p + 16, (uint16_t)(20 + len));
    p[22] = 64;
    p[23] = protocol;
    memcpy(p + 26, a.b + 12, 4);
    memcpy(p + 30, b.b + 12, 4);
    uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
    memcpy(p + 24, &sum, 2);
    return 34 + len;
}

uint32_t rig_v6(uint8_t *p, const char *src, const char *dst, uint8_t protocol, uint8_t hops,
                uint32_t len)
{
    struct ip_addr a = rig_addr(src), b = rig_addr(dst);
    rig_ether(p, 0x86dd);
    if (ip_addr_is_multicast(&b)) {
        p[0] = p[1] = 0x33;
        memcpy(p + 2, b.b + 12, 4);
    }
    bytes_put_u32(p + 14, 6u << 28);
    bytes_put_u16(p + 18, (uint16_t)len);
    p[20] = protocol;
    p[21] = hops;
    memcpy(p + 22, a.b, 16);
    memcpy(p + 38, b.b, 16);
    return 54 + len;
}

void rig_sum_v4(uint8_t *icmp, uint32_t len)
{
    memset(icmp + 2, 0, 2);
    uint16_t sum = checksum_end(checksum_add_portable(0, icmp, len));
    memcpy(icmp + 2, &sum, 2);
}

void rig_sum_v6(uint8_t *p, uint32_t at, uint32_t len)
{
    memset(p + at + 2, 0, 2);
    uint64_t sum = checksum_pseudo(p + 22, p + 38, 16, 58, len);
    uint16_t field = checksum_end(checksum_add_portable(sum, p + at, len));
    memcpy(p + at + 2, &field, 2);
}

static void output(struct rig *r, struct ip_segment s, uint32_t n)
{
    uint8_t bytes[8192];
    CU_ASSERT_TRUE_FATAL(n + 20 <= sizeof(bytes));
    for (uint32_t i = 0; i < n + 20; i++)
        bytes[i] = (uint8_t)(i * 7);
    ip_output(r->ip, rig_mbuf(bytes, n + 20, n > 200 ? 3 : 1), &s, r->now);
}

void rig_output(struct rig *r, const char *from, const char *to, uint32_t n)
{
    output(r,
           (struct ip_segment){
               .local = rig_addr(from), .remote = rig_addr(to), .ecn = 2, .tcp_header = 20},
           n);
}

void rig_output_card(struct rig *r, const char *from, const char *to, uint32_t n, uint16_t mss)
{
    output(r,
           (struct ip_segment){.local = rig_addr(from),
                               .remote = rig_addr(to),
                               .tcp_header = 20,
                               .mss = mss,
                               .checksum_offload = true},
           n);
}
