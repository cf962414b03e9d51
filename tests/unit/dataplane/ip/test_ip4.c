/* ip over IPv4: ARP, headers, echo, errors, routes, limits; frames as bytes. */
#include <string.h>

#include "tests/unit/dataplane/ip/rig.h"

static struct rig r;
static uint8_t p[2048];
static const struct rig_options plain = {.addresses = {"10.0.0.2/24"}, .gateways = {"10.0.0.1"}};

static void learn_peer(const char *addr)
{
    rig_feed(&r, p, rig_arp(p, 1, peer_mac, addr, "10.0.0.2"), NULL, NULL);
    rig_clear(&r);
}

static void announces_itself(void)
{
    static const uint8_t want[42] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0,  0, 0, 0, 0xaa, 8, 6, 0, 1, 8, 0,  6, 4, 0,
        1,    2,    0,    0,    0,    0,    0xaa, 10, 0, 0, 2, 0,    0, 0, 0, 0, 0, 10, 0, 0, 2};
    uint32_t n;
    rig_up(&r, &plain, false);
    rig_time(&r, 0);
    CU_ASSERT_EQUAL(memcmp(rig_only(&r, &n), want, 42), 0);
    CU_ASSERT_EQUAL(n, 42);
    rig_time(&r, 10 * CLOCK_NS_PER_S);
    CU_ASSERT_EQUAL(r.out_count, 2); /* and once more */
    rig_time(&r, 100 * CLOCK_NS_PER_S);
    CU_ASSERT_EQUAL(r.out_count, 2);
    ip_announce(r.ip, r.iface, r.now); /* the link came back */
    rig_time(&r, 0);
    CU_ASSERT_EQUAL(r.out_count, 3);
    rig_down(&r);
}

static void answers_arp(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    rig_feed(&r, p, rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.2"), NULL, NULL);
    const uint8_t *f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(memcmp(f, peer_mac, 6), 0);
    CU_ASSERT_EQUAL(memcmp(f + 6, rig_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u16(f + 20), 2);
    CU_ASSERT_EQUAL(memcmp(f + 22, rig_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 28), 0x0a000002);
    CU_ASSERT_EQUAL(memcmp(f + 32, peer_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 38), 0x0a000009);
    rig_clear(&r);
    /* not for us; and a probe (sender 0.0.0.0) is answered, but teaches nothing */
    rig_feed(&r, p, rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.3"), NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 0);
    rig_feed(&r, p, rig_arp(p, 1, peer_mac, "0.0.0.0", "10.0.0.2"), NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 1);
    /* broken ones */
    uint32_t len = rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.2");
    p[18] = 5;
    rig_clear(&r);
    rig_feed(&r, p, len, NULL, NULL);
    rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.2");
    rig_feed(&r, p, 41, NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 0);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_header, 2);
    rig_down(&r);
}

/* Of several shards the leader alone answers; all learn. */
static void follower_is_silent(void)
{
    struct rig_options o = plain;
    o.follower = true;
    rig_up(&r, &o, false);
    rig_time(&r, 10 * CLOCK_NS_PER_S);
    rig_feed(&r, p, rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.2"), NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 0);
    rig_output(&r, "10.0.0.2", "10.0.0.9", 10);
    CU_ASSERT_EQUAL(r.out_count, 1);
    rig_down(&r);
}

static void conflicts_are_defended(void)
{
    static const uint8_t other[6] = {2, 0, 0, 0, 0, 0xcc};
    rig_up(&r, &plain, true);
    for (int i = 0; i < 5; i++)
        rig_feed(&r, p, rig_arp(p, 2, other, "10.0.0.2", "10.0.0.9"), NULL, NULL);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->conflicts, 5);
    CU_ASSERT_EQUAL(r.out_count, 1); /* once in ten seconds */
    rig_time(&r, 11 * CLOCK_NS_PER_S);
    rig_feed(&r, p, rig_arp(p, 2, other, "10.0.0.2", "10.0.0.9"), NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 2);
    rig_feed(&r, p, rig_arp(p, 2, rig_mac, "10.0.0.2", "10.0.0.2"), NULL, NULL); /* our own */
    CU_ASSERT_EQUAL(ip_counters(r.ip)->conflicts, 6);
    rig_down(&r);
}

static void check_segment(uint32_t i, const char *to, uint32_t payload)
{
    uint32_t n;
    const uint8_t *f = rig_frame(&r, i, &n);
    struct ip_addr dst = rig_addr(to);
    CU_ASSERT_EQUAL(n, 54 + payload);
    CU_ASSERT_EQUAL(memcmp(f, peer_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u16(f + 12), 0x0800);
    CU_ASSERT_EQUAL(f[14], 0x45);
    CU_ASSERT_EQUAL(f[15], 2); /* ECT(0) */
    CU_ASSERT_EQUAL(bytes_get_u16(f + 16), 40 + payload);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 18), 0x4000); /* identification 0, not to be fragmented */
    CU_ASSERT_EQUAL(f[22], 64);
    CU_ASSERT_EQUAL(f[23], 6);
    CU_ASSERT_EQUAL(checksum_fold(checksum_add_portable(0, f + 14, 20)), 0xffff);
    CU_ASSERT_EQUAL(memcmp(f + 30, dst.b + 12, 4), 0);
    for (uint32_t k = 0; k < 20 + payload; k++)
        CU_ASSERT_EQUAL_FATAL(f[34 + k], (uint8_t)(k * 7));
}

static void resolves_and_sends(void)
{
    rig_up(&r, &plain, true);
    for (uint32_t i = 0; i < 6; i++)
        rig_output(&r, "10.0.0.2", "10.0.0.9", 300 + i);
    CU_ASSERT_EQUAL(r.out_count, 1); /* one question; two of six frames had to give way */
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_pending, 2);
    rig_clear(&r);
    rig_feed(&r, p, rig_arp(p, 2, peer_mac, "10.0.0.9", "10.0.0.2"), NULL, NULL);
    CU_ASSERT_EQUAL_FATAL(r.out_count, 4);
    for (uint32_t i = 0; i < 4; i++)
        check_segment(i, "10.0.0.9", 302 + i);
    rig_clear(&r);
    rig_output(&r, "10.0.0.2", "10.0.0.9", 1400);
    CU_ASSERT_EQUAL(r.out_count, 1);
    check_segment(0, "10.0.0.9", 1400);
    /* through the gateway: the frame goes to its MAC, the packet to the peer */
    rig_clear(&r);
    rig_output(&r, "10.0.0.2", "192.168.7.7", 5);
    rig_clear(&r);
    rig_feed(&r, p, rig_arp(p, 2, peer_mac, "10.0.0.1", "10.0.0.2"), NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 1);
    check_segment(0, "192.168.7.7", 5);
    rig_down(&r);
}

static void gives_up_and_asks_again(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    rig_output(&r, "10.0.0.2", "10.0.0.9", 1);
    for (int i = 0; i < 10; i++)
        rig_time(&r, CLOCK_NS_PER_S);
    CU_ASSERT_EQUAL(r.out_count, 3);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->unresolved, 1);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_pending, 1);
    learn_peer("10.0.0.9");
    rig_output(&r, "10.0.0.2", "10.0.0.9", 1);
    CU_ASSERT_EQUAL(r.out_count, 1);
    rig_clear(&r);
    /* old: still used, and asked for beside it, of the neighbour alone */
    rig_time(&r, 31 * CLOCK_NS_PER_S);
    rig_output(&r, "10.0.0.2", "10.0.0.9", 1);
    CU_ASSERT_EQUAL_FATAL(r.out_count, 2);
    CU_ASSERT_EQUAL(memcmp(rig_frame(&r, 0, &n), peer_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u16(rig_frame(&r, 0, &n) + 12), 0x0806);
    /* it moved: gratuitous ARP of one that we know */
    static const uint8_t moved[6] = {2, 9, 9, 9, 9, 9};
    rig_feed(&r, p, rig_arp(p, 1, moved, "10.0.0.9", "10.0.0.9"), NULL, NULL);
    rig_clear(&r);
    rig_output(&r, "10.0.0.2", "10.0.0.9", 1);
    CU_ASSERT_EQUAL(memcmp(rig_only(&r, &n), moved, 6), 0);
    rig_down(&r);
}

static void cache_is_bounded(void)
{
    struct rig_options o = {.addresses = {"10.0.0.2/16"}, .neighbors_max = 8};
    char text[32];
    rig_up(&r, &o, true);
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "10.0.1.%d", i);
        learn_peer(text);
    }
    rig_output(&r, "10.0.0.2", "10.0.1.39", 1);
    CU_ASSERT_EQUAL(r.out_count, 1);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->arp_out, 42); /* 2 announcements, 40 answers: it was known */
    rig_clear(&r);
    rig_down(&r);

    o.neighbors_max = 1000; /* at most so many questions under way */
    rig_up(&r, &o, true);
    for (int i = 0; i < ip_incomplete_max + 20; i++) {
        snprintf(text, sizeof(text), "10.0.%d.%d", 2 + i / 250, 1 + i % 250);
        rig_output(&r, "10.0.0.2", text, 1);
    }
    CU_ASSERT_EQUAL(r.out_count, ip_incomplete_max);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_pending, 20);
    rig_down(&r);
}

static uint32_t tcp_packet(const char *src, const char *dst, uint32_t payload)
{
    for (uint32_t i = 0; i < 20 + payload; i++)
        p[34 + i] = (uint8_t)(i * 3);
    return rig_v4(p, src, dst, 6, 20 + payload);
}

static void takes_segments(void)
{
    struct ip_packet in;
    struct rte_mbuf *m = NULL;
    uint8_t bytes[1600];
    rig_up(&r, &plain, true);
    for (uint32_t payload = 0; payload <= 1460; payload += 73) {
        uint32_t n = tcp_packet("192.168.1.1", "10.0.0.2", payload);
        p[15] = 3; /* ECN: CE */
        p[24] = p[25] = 0;
        uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
        memcpy(p + 24, &sum, 2);
        uint32_t padded = n < 60 ? 60 : n + 5;
        CU_ASSERT_EQUAL_FATAL(rig_feed(&r, p, padded, &in, &m), IP_TCP);
        CU_ASSERT_EQUAL(m->pkt_len, 20 + payload);
        CU_ASSERT_EQUAL(in.ecn, 3);
        CU_ASSERT_FALSE(in.checksum_good);
        struct ip_addr want = rig_addr("192.168.1.1");
        CU_ASSERT_TRUE(ip_addr_eq(&in.remote, &want));
        const uint8_t *got = rte_pktmbuf_read(m, 0, m->pkt_len, bytes);
        for (uint32_t i = 0; i < 20 + payload; i++)
            CU_ASSERT_EQUAL_FATAL(got[i], (uint8_t)(i * 3));
        rte_pktmbuf_free(m);
    }
    rig_down(&r);
}

static void skips_options(void)
{
    struct rte_mbuf *m = NULL;
    rig_up(&r, &plain, true);
    tcp_packet("10.0.0.9", "10.0.0.2", 10);
    memmove(p + 34 + 8, p + 34, 30);
    memset(p + 34, 1, 8); /* no-operation options */
    p[14] = 0x47;
    bytes_put_u16(p + 16, 58);
    p[24] = p[25] = 0;
    uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 28));
    memcpy(p + 24, &sum, 2);
    CU_ASSERT_EQUAL_FATAL(rig_feed(&r, p, 72, NULL, &m), IP_TCP);
    CU_ASSERT_EQUAL(m->pkt_len, 30);
    CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, uint8_t *)[5], 15);
    rte_pktmbuf_free(m);
    rig_down(&r);
}

static void drops_what_is_wrong(void)
{
    const struct ip_counters *c;
    rig_up(&r, &plain, true);
    c = ip_counters(r.ip);
    uint32_t n = tcp_packet("10.0.0.9", "10.0.0.2", 10);
    for (uint32_t cut = 0; cut < n; cut++)
        CU_ASSERT_EQUAL(rig_feed(&r, p, cut, NULL, NULL), IP_DONE);
    CU_ASSERT_EQUAL(c->drop_short, n);
    for (uint32_t i = 14; i < 34; i++) { /* any flipped bit of the header */
        p[i] ^= 4;
        CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
        p[i] ^= 4;
    }
    n = tcp_packet("10.0.0.9", "10.0.0.3", 10);
    uint64_t before = c->drop_not_for_us;
    CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    tcp_packet("10.0.0.9", "10.0.0.2", 10);
    p[5] ^= 1; /* somebody else's MAC */
    CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    memset(p, 0xff, 6); /* TCP to everybody */
    CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    CU_ASSERT_EQUAL(c->drop_not_for_us, before + 3);
    const char *bad[] = {"0.0.0.0", "224.0.0.1", "255.255.255.255", "10.0.0.2"};
    for (int i = 0; i < 4; i++) {
        n = tcp_packet(bad[i], "10.0.0.2", 10);
        CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    }
    CU_ASSERT_EQUAL(c->drop_source, 4);
    for (int i = 0; i < 2; i++) {
        n = tcp_packet("10.0.0.9", "10.0.0.2", 10);
        bytes_put_u16(p + 20, i ? 0x2000 : 1); /* more fragments; an offset */
        p[24] = p[25] = 0;
        uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
        memcpy(p + 24, &sum, 2);
        CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    }
    CU_ASSERT_EQUAL(c->fragments_in, 2); /* what becomes of them: test_fragment.c */
    CU_ASSERT_EQUAL(r.out_count, 0);
    rig_down(&r);
}

static void echoes(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    learn_peer("10.0.0.9");
    for (uint32_t len = 8; len <= 1480; len += 123) {
        for (uint32_t i = 0; i < len; i++)
            p[34 + i] = (uint8_t)(i * 11);
        p[34] = 8;
        p[35] = 0;
        rig_sum_v4(p + 34, len);
        uint32_t in = rig_v4(p, "10.0.0.9", "10.0.0.2", 1, len);
        rig_feed(&r, p, in, NULL, NULL);
        const uint8_t *f = rig_only(&r, &n);
        CU_ASSERT_EQUAL(n, 34 + len);
        CU_ASSERT_EQUAL(f[34], 0);
        CU_ASSERT_EQUAL(bytes_get_u32(f + 26), 0x0a000002);
        CU_ASSERT_EQUAL(checksum_fold(checksum_add_portable(0, f + 34, len)), 0xffff);
        CU_ASSERT_EQUAL(memcmp(f + 38, p + 38, len - 4), 0);
        rig_clear(&r);
        p[in - 1] ^= 1;
        rig_feed(&r, p, in, NULL, NULL);
        CU_ASSERT_EQUAL(r.out_count, 0);
    }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_checksum, 12);
    rig_down(&r);
}

static void refuses_other_protocols(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    learn_peer("10.0.0.9");
    memset(p + 34, 5, 100);
    uint32_t in = rig_v4(p, "10.0.0.9", "10.0.0.2", 17, 100);
    for (int i = 0; i < ip_errors_per_second + 50; i++)
        rig_feed(&r, p, in, NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, ip_errors_per_second);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_error_rate, 50);
    const uint8_t *f = rig_frame(&r, 0, &n);
    CU_ASSERT_EQUAL(f[34], 3);
    CU_ASSERT_EQUAL(f[35], 3);
    CU_ASSERT_EQUAL(checksum_fold(checksum_add_portable(0, f + 34, n - 34)), 0xffff);
    CU_ASSERT_EQUAL(memcmp(f + 42, p + 14, 120), 0);
    rig_down(&r);
}

static void hears_errors(void)
{
    struct ip_packet in;
    uint8_t *icmp = p + 34;
    rig_up(&r, &plain, true);
    for (int i = 0; i < 4; i++) {
        static const uint8_t codes[] = {4, 3, 1, 4};
        uint8_t quoted[64];
        memset(icmp, 0, 36);
        rig_v4(quoted, i == 3 ? "10.0.0.77" : "10.0.0.2", "192.168.1.1", 6, 20);
        memcpy(icmp + 8, quoted + 14, 20);
        bytes_put_u16(icmp + 28, 9092);
        bytes_put_u16(icmp + 30, 40000);
        bytes_put_u32(icmp + 32, 0xdeadbeef);
        icmp[0] = 3;
        icmp[1] = codes[i];
        bytes_put_u16(icmp + 6, 1400);
        rig_sum_v4(icmp, 36);
        enum ip_verdict v = rig_feed(&r, p, rig_v4(p, "172.16.0.1", "10.0.0.2", 1, 36), &in, NULL);
        CU_ASSERT_EQUAL(v, i == 0 ? IP_TOO_BIG : i < 3 ? IP_UNREACHABLE : IP_DONE);
        if (i == 3) /* it quotes nothing of ours */
            break;
        struct ip_addr local = rig_addr("10.0.0.2"), remote = rig_addr("192.168.1.1");
        CU_ASSERT_TRUE(ip_addr_eq(&in.local, &local) && ip_addr_eq(&in.remote, &remote));
        CU_ASSERT_EQUAL(in.local_port, 9092);
        CU_ASSERT_EQUAL(in.remote_port, 40000);
        CU_ASSERT_EQUAL(in.seq, 0xdeadbeef);
        CU_ASSERT_EQUAL(in.hard, i == 1);
        CU_ASSERT_TRUE(i != 0 || in.mtu == 1400);
    }
    rig_down(&r);
}

static void routes(void)
{
    struct ip_way way;
    struct ip_addr local = rig_addr("10.0.0.2"), a = rig_addr("10.0.0.9"), b = rig_addr("8.8.8.8"),
                   got, not_ours = rig_addr("10.0.0.3"), gateway = rig_addr("10.0.0.1");
    rig_up(&r, &plain, true);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &a, &way), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&way.next_hop, &a));
    CU_ASSERT_EQUAL(way.mtu, 1500);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &b, &way), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&way.next_hop, &gateway));
    CU_ASSERT_EQUAL(ip_route(r.ip, &not_ours, &a, &way), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(ip_source(r.ip, &b, &got), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&got, &local));
    /* to one host alone: not to a group, a subnet, everybody; another subnet's broadcast is unknown */
    static const char *const many[] = {"10.0.0.255", "224.0.0.1", "255.255.255.255", "0.0.0.0"};
    for (uint32_t i = 0; i < 4; i++) {
        struct ip_addr to = rig_addr(many[i]);
        CU_ASSERT_EQUAL(ip_route(r.ip, &local, &to, &way), ERR_NOT_FOUND);
    }
    struct ip_addr far = rig_addr("10.0.1.255");
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), 0);
    /* a path's MTU, its floor, and its end */
    ip_learn_mtu(r.ip, &b, 1300, r.now);
    ip_route(r.ip, &local, &b, &way);
    CU_ASSERT_EQUAL(way.mtu, 1300);
    ip_learn_mtu(r.ip, &b, 68, r.now);
    ip_route(r.ip, &local, &b, &way);
    CU_ASSERT_EQUAL(way.mtu, ip_mtu_v4_min);
    rig_time(&r, 601 * CLOCK_NS_PER_S);
    ip_route(r.ip, &local, &b, &way);
    CU_ASSERT_EQUAL(way.mtu, 1500);
    rig_output(&r, "10.0.0.3", "10.0.0.9", 1);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_no_route, 1);
    rig_down(&r);
}

/* RFC 3021: where a subnet has two addresses, both are hosts. */
static void pairs(void)
{
    struct rig_options o = {.addresses = {"10.0.0.2/31", "10.0.1.1/30"}};
    struct ip_addr local = rig_addr("10.0.0.2"), peer = rig_addr("10.0.0.3"),
                   other = rig_addr("10.0.1.1"), last = rig_addr("10.0.1.3");
    struct ip_way way;
    rig_up(&r, &o, true);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &peer, &way), 0);
    CU_ASSERT_EQUAL(ip_route(r.ip, &other, &last, &way), ERR_NOT_FOUND);
    rig_down(&r);
}

static void tagged(void)
{
    struct rig_options o = plain;
    uint32_t n;
    o.vlan = 7;
    rig_up(&r, &o, true);
    uint32_t len = rig_arp(p, 1, peer_mac, "10.0.0.9", "10.0.0.2");
    rig_feed(&r, p, len, NULL, NULL); /* untagged: not ours */
    CU_ASSERT_EQUAL(r.out_count, 0);
    memmove(p + 16, p + 12, len - 12);
    bytes_put_u16(p + 12, 0x8100);
    bytes_put_u16(p + 14, 0xe007); /* with a priority */
    rig_feed(&r, p, len + 4, NULL, NULL);
    const uint8_t *f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 12), 0x81000007);
    CU_ASSERT_EQUAL(bytes_get_u16(f + 16), 0x0806);
    bytes_put_u16(p + 14, 8);
    rig_feed(&r, p, len + 4, NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 1);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_vlan, 2);
    rig_down(&r);
}

/* What rte_mbuf_core.h demands of who sets RTE_MBUF_F_TX_TCP_SEG; ip6 has the same for IPv6. */
static void asks_the_card(void)
{
    struct rig_options o = plain;
    for (uint16_t vlan = 0; vlan < 2; vlan++) {
        o.vlan = vlan;
        rig_up(&r, &o, true);
        uint32_t n, link = vlan ? 18 : 14;
        for (uint16_t mss = 0; mss <= 1000; mss += 1000) {
            rig_output_card(&r, "10.0.0.2", "10.0.0.9", 3000, mss);
            if (mss == 0) { /* waits until it is known where the peer is */
                uint32_t len = rig_arp(p, 2, peer_mac, "10.0.0.9", "10.0.0.2");
                rig_clear(&r);
                memmove(p + link - 2, p + 12, len - 12);
                if (vlan)
                    bytes_put_u32(p + 12, 0x81000001);
                rig_feed(&r, p, len + link - 14, NULL, NULL);
            }
            const uint8_t *f = rig_only(&r, &n);
            CU_ASSERT_EQUAL(n, link + 20 + 20 + 3000);
            CU_ASSERT_EQUAL(bytes_get_u16(f + link + 2), 20 + 20 + 3000);
            CU_ASSERT_EQUAL(bytes_get_u16(f + link + 10), 0); /* the card sums each piece */
            const struct rte_mbuf *m = r.out[0];
            CU_ASSERT_EQUAL(m->l2_len, link);
            CU_ASSERT_EQUAL(m->l3_len, 20);
            CU_ASSERT_EQUAL(m->l4_len, 20);
            CU_ASSERT_EQUAL(m->tso_segsz, mss);
            CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK,
                            RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM |
                                (mss != 0 ? RTE_MBUF_F_TX_TCP_SEG : 0));
            rig_clear(&r);
        }
        rig_down(&r);
    }
}

static void refused_interfaces(void)
{
    struct ip_prefix one = {rig_addr("10.0.0.2"), 120};
    struct ip_iface_options o = {.mtu = 1500, .addresses = &one, .address_count = 1}, bad;
    uint32_t index;
    rig_up(&r, &plain, true);
    bad = o;
    bad.mtu = 500;
    CU_ASSERT_EQUAL(ip_add_iface(r.ip, &bad, r.now, &index), ERR_INVALID);
    bad = o;
    bad.address_count = 0;
    CU_ASSERT_EQUAL(ip_add_iface(r.ip, &bad, r.now, &index), ERR_INVALID);
    bad = o;
    bad.gateways[0] = rig_addr("10.0.1.1");
    CU_ASSERT_EQUAL(ip_add_iface(r.ip, &bad, r.now, &index), ERR_INVALID);
    bad = o;
    bad.vlan = 4095;
    CU_ASSERT_EQUAL(ip_add_iface(r.ip, &bad, r.now, &index), ERR_INVALID);
    for (int i = 1; i < ip_ifaces_max; i++)
        CU_ASSERT_EQUAL(ip_add_iface(r.ip, &o, r.now, &index), 0);
    CU_ASSERT_EQUAL(ip_add_iface(r.ip, &o, r.now, &index), ERR_FULL);
    rig_down(&r);
}

UNIT_MAIN("ip/ip4", UNIT_CASE(announces_itself), UNIT_CASE(answers_arp),
          UNIT_CASE(follower_is_silent), UNIT_CASE(conflicts_are_defended),
          UNIT_CASE(resolves_and_sends), UNIT_CASE(gives_up_and_asks_again),
          UNIT_CASE(cache_is_bounded), UNIT_CASE(takes_segments), UNIT_CASE(skips_options),
          UNIT_CASE(drops_what_is_wrong), UNIT_CASE(echoes), UNIT_CASE(refuses_other_protocols),
          UNIT_CASE(hears_errors), UNIT_CASE(routes), UNIT_CASE(pairs), UNIT_CASE(tagged),
          UNIT_CASE(asks_the_card), UNIT_CASE(refused_interfaces))
