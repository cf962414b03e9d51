/* ip over IPv6: neighbour discovery, duplicates, routers, extension headers; random bytes. */
#include <string.h>

#include "tests/unit/dataplane/ip/rig.h"

static struct rig r;
static uint8_t p[2048];
static const struct rig_options plain = {.addresses = {"fd00::2/64"}, .gateways = {"fd00::1"}};

#define link_local_own "fe80::ff:fe00:aa"

/* A solicitation or advertisement with its option. */
static uint32_t nd(uint8_t type, const char *src, const char *dst, const char *target,
                   uint8_t flags, const uint8_t *mac)
{
    struct ip_addr t = rig_addr(target);
    uint32_t len = mac != NULL ? 32 : 24;
    memset(p + 54, 0, 32);
    p[54] = type;
    p[58] = flags;
    memcpy(p + 62, t.b, 16);
    if (mac != NULL) {
        p[78] = type == 135 ? 1 : 2;
        p[79] = 1;
        memcpy(p + 80, mac, 6);
    }
    uint32_t n = rig_v6(p, src, dst, 58, 255, len);
    rig_sum_v6(p, 54, len);
    return n;
}

static void learn_peer(const char *addr)
{
    rig_feed(&r, p, nd(135, addr, "ff02::1:ff00:2", "fd00::2", 0, peer_mac), NULL, NULL);
    rig_clear(&r);
}

static void check_sum(const uint8_t *f, uint32_t n)
{
    uint64_t sum = checksum_pseudo(f + 22, f + 38, 16, 58, n - 54);
    CU_ASSERT_EQUAL(checksum_fold(checksum_add_portable(sum, f + 54, n - 54)), 0xffff);
}

static void answers_solicitations(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    rig_feed(&r, p, nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::2", 0, peer_mac), NULL, NULL);
    const uint8_t *f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(n, 86);
    CU_ASSERT_EQUAL(memcmp(f, peer_mac, 6), 0);
    CU_ASSERT_EQUAL(f[21], 255);
    CU_ASSERT_EQUAL(f[54], 136);
    CU_ASSERT_EQUAL(f[58], 0x60); /* solicited, override */
    CU_ASSERT_EQUAL(f[78], 2);
    CU_ASSERT_EQUAL(memcmp(f + 80, rig_mac, 6), 0);
    check_sum(f, n);
    rig_clear(&r);
    /* from off the link; not for us; with a broken option; asked by detection */
    uint32_t len = nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::2", 0, peer_mac);
    p[21] = 254;
    rig_feed(&r, p, len, NULL, NULL);
    rig_feed(&r, p, nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::1:2", 0, peer_mac), NULL, NULL);
    len = nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::2", 0, peer_mac);
    p[79] = 0;
    rig_sum_v6(p, 54, 32);
    rig_feed(&r, p, len, NULL, NULL);
    CU_ASSERT_EQUAL(r.out_count, 0);
    rig_feed(&r, p, nd(135, "::", "ff02::1:ff00:2", "fd00::2", 0, NULL), NULL, NULL);
    f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(f[58], 0x20);
    CU_ASSERT_EQUAL(memcmp(f, "\x33\x33\0\0\0\1", 6), 0);
    rig_down(&r);
}

static void resolves(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    rig_output(&r, "fd00::2", "fd00::9", 100);
    const uint8_t *f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(memcmp(f, "\x33\x33\xff\0\0\x09", 6), 0);
    CU_ASSERT_EQUAL(f[54], 135);
    CU_ASSERT_EQUAL(f[78], 1);
    check_sum(f, n);
    rig_clear(&r);
    rig_feed(&r, p, nd(136, "fd00::9", "fd00::2", "fd00::9", 0x60, peer_mac), NULL, NULL);
    f = rig_only(&r, &n);
    CU_ASSERT_EQUAL(n, 54 + 120);
    CU_ASSERT_EQUAL(memcmp(f, peer_mac, 6), 0);
    CU_ASSERT_EQUAL(bytes_get_u16(f + 18), 120);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 14), 0x60200000); /* ECT(0) */
    CU_ASSERT_EQUAL(f[20], 6);
    CU_ASSERT_EQUAL(f[54 + 30], (uint8_t)(30 * 7));
    rig_clear(&r);
    /* without override another address is not believed, with it it is */
    static const uint8_t other[6] = {2, 9, 9, 9, 9, 9};
    rig_feed(&r, p, nd(136, "fd00::9", "fd00::2", "fd00::9", 0, other), NULL, NULL);
    rig_output(&r, "fd00::2", "fd00::9", 1);
    CU_ASSERT_EQUAL(memcmp(rig_only(&r, &n), peer_mac, 6), 0);
    rig_clear(&r);
    rig_feed(&r, p, nd(136, "fd00::9", "fd00::2", "fd00::9", 0x20, other), NULL, NULL);
    rig_output(&r, "fd00::2", "fd00::9", 1);
    CU_ASSERT_EQUAL(memcmp(rig_only(&r, &n), other, 6), 0);
    rig_down(&r);
}

static void detects_duplicates(void)
{
    struct rig_options o = plain;
    struct ip_addr a = rig_addr("fd00::2"), own = rig_addr(link_local_own);
    o.dad_transmits = 1;
    rig_up(&r, &o, false);
    rig_time(&r, 0);
    CU_ASSERT_FALSE(ip_is_local(r.ip, &a)); /* not before the question is answered */
    CU_ASSERT_EQUAL(
        rig_feed(&r, p, nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::2", 0, peer_mac), NULL, NULL),
        IP_DONE);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->nd_out, 4); /* two joins, two questions, no answer */
    rig_time(&r, CLOCK_NS_PER_S);
    CU_ASSERT_TRUE(ip_is_local(r.ip, &a));
    CU_ASSERT_TRUE(ip_is_local(r.ip, &own));
    rig_down(&r);

    for (int i = 0; i < 2; i++) { /* somebody has it; somebody else asks for it as well */
        rig_up(&r, &o, false);
        rig_time(&r, 0);
        uint32_t n = i == 0 ? nd(136, "fd00::2", "ff02::1", "fd00::2", 0x20, peer_mac)
                            : nd(135, "::", "ff02::1:ff00:2", "fd00::2", 0, NULL);
        rig_feed(&r, p, n, NULL, NULL);
        rig_time(&r, 10 * CLOCK_NS_PER_S);
        CU_ASSERT_FALSE(ip_is_local(r.ip, &a));
        CU_ASSERT_TRUE(ip_is_local(r.ip, &own));
        CU_ASSERT_EQUAL(ip_counters(r.ip)->conflicts, 1);
        rig_down(&r);
    }
}

static uint32_t advert(const char *src, uint16_t lifetime, uint32_t valid, uint32_t mtu)
{
    struct ip_addr prefix = rig_addr("2001:db8:5::");
    memset(p + 54, 0, 80);
    p[54] = 134;
    bytes_put_u16(p + 60, lifetime);
    p[70] = 1; /* source */
    p[71] = 1;
    memcpy(p + 72, peer_mac, 6);
    p[78] = 3; /* prefix */
    p[79] = 4;
    p[80] = 64;
    p[81] = 0xc0;
    bytes_put_u32(p + 82, valid);
    memcpy(p + 94, prefix.b, 16);
    p[110] = 5; /* MTU */
    p[111] = 1;
    bytes_put_u32(p + 114, mtu);
    uint32_t n = rig_v6(p, src, "ff02::1", 58, 255, 64);
    rig_sum_v6(p, 54, 64);
    return n;
}

static void hears_routers(void)
{
    struct rig_options o = {.addresses = {"fd00::2/64"}, .accept_ra = true, .autoconf = true};
    struct ip_addr local = rig_addr("fd00::2"), far = rig_addr("2600::1"),
                   near = rig_addr("2001:db8:5::77"), router = rig_addr("fe80::1"),
                   made = rig_addr("2001:db8:5:0:0:ff:fe00:aa");
    struct ip_way way;
    uint32_t n;
    rig_up(&r, &o, false);
    rig_time(&r, 0);
    uint32_t solicits = 0;
    for (uint32_t i = 0; i < r.out_count; i++)
        solicits += rig_frame(&r, i, &n)[54] == 133;
    CU_ASSERT_EQUAL(solicits, 1);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), ERR_NOT_FOUND);
    rig_feed(&r, p, advert("fd00::1", 100, 100, 1400), NULL, NULL); /* no router's address */
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), ERR_NOT_FOUND);
    rig_feed(&r, p, advert("fe80::1", 100, 50, 1400), NULL, NULL);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&way.next_hop, &router));
    CU_ASSERT_EQUAL(way.mtu, 1400);
    CU_ASSERT_TRUE(ip_is_local(r.ip, &made));
    CU_ASSERT_EQUAL(ip_route(r.ip, &made, &near, &way), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&way.next_hop, &near));
    rig_clear(&r);
    rig_time(&r, 20 * CLOCK_NS_PER_S); /* no more solicitations */
    for (uint32_t i = 0; i < r.out_count; i++)
        CU_ASSERT_NOT_EQUAL(rig_frame(&r, i, &n)[54], 133);
    rig_time(&r, 31 * CLOCK_NS_PER_S); /* the prefix ends first, then the router */
    CU_ASSERT_FALSE(ip_is_local(r.ip, &made));
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &near, &way), 0);
    CU_ASSERT_TRUE(ip_addr_eq(&way.next_hop, &router));
    rig_feed(&r, p, advert("fe80::1", 0, 0, 1400), NULL, NULL); /* it says farewell */
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), ERR_NOT_FOUND);
    rig_feed(&r, p, advert("fe80::1", 10, 10, 1400), NULL, NULL);
    rig_time(&r, 11 * CLOCK_NS_PER_S);
    CU_ASSERT_EQUAL(ip_route(r.ip, &local, &far, &way), ERR_NOT_FOUND);
    rig_down(&r);
}

static void echoes_and_errors(void)
{
    struct ip_packet in;
    uint32_t n;
    rig_up(&r, &plain, true);
    learn_peer("fd00::9");
    for (uint32_t len = 8; len < 1400; len += 301) {
        memset(p + 54, 0x33, len);
        p[54] = 128;
        p[55] = 0;
        uint32_t size = rig_v6(p, "fd00::9", "fd00::2", 58, 64, len);
        rig_sum_v6(p, 54, len);
        rig_feed(&r, p, size, NULL, NULL);
        const uint8_t *f = rig_only(&r, &n);
        CU_ASSERT_EQUAL(f[54], 129);
        CU_ASSERT_EQUAL(n, size);
        check_sum(f, n);
        rig_clear(&r);
    }
    /* packet too big, quoting a segment of ours */
    uint8_t quoted[128] = {0};
    bytes_put_u16(quoted + 54, 9092);
    bytes_put_u16(quoted + 56, 5555);
    bytes_put_u32(quoted + 58, 77);
    rig_v6(quoted, "fd00::2", "2600::1", 6, 64, 20);
    memset(p + 54, 0, 8);
    p[54] = 2;
    bytes_put_u32(p + 58, 1300);
    memcpy(p + 62, quoted + 14, 60);
    uint32_t size = rig_v6(p, "fd00::1", "fd00::2", 58, 64, 68);
    rig_sum_v6(p, 54, 68);
    CU_ASSERT_EQUAL(rig_feed(&r, p, size, &in, NULL), IP_TOO_BIG);
    CU_ASSERT_EQUAL(in.mtu, 1300);
    CU_ASSERT_EQUAL(in.local_port, 9092);
    CU_ASSERT_EQUAL(in.seq, 77);
    rig_down(&r);
}

/* As in ip4; an IPv6 header has no checksum. */
static void asks_the_card(void)
{
    uint32_t n;
    rig_up(&r, &plain, true);
    learn_peer("fd00::9");
    for (uint16_t mss = 0; mss <= 1000; mss += 1000) {
        rig_output_card(&r, "fd00::2", "fd00::9", 3000, mss);
        const uint8_t *f = rig_only(&r, &n);
        CU_ASSERT_EQUAL(n, 54 + 20 + 3000);
        CU_ASSERT_EQUAL(bytes_get_u16(f + 18), 20 + 3000);
        const struct rte_mbuf *m = r.out[0];
        CU_ASSERT_EQUAL(m->l2_len, 14);
        CU_ASSERT_EQUAL(m->l3_len, 40);
        CU_ASSERT_EQUAL(m->l4_len, 20);
        CU_ASSERT_EQUAL(m->tso_segsz, mss);
        CU_ASSERT_EQUAL(m->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK,
                        RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM |
                            (mss != 0 ? RTE_MBUF_F_TX_TCP_SEG : 0));
        rig_clear(&r);
    }
    rig_down(&r);
}

static void extension_headers(void)
{
    struct rte_mbuf *m = NULL;
    rig_up(&r, &plain, true);
    /* hop-by-hop (8), destination (16), an atomic fragment header, then TCP */
    memset(p + 54, 0, 200);
    p[54] = 60;
    p[62] = 44;
    p[63] = 1;
    p[78] = 6;
    p[79] = 0x55; /* reserved */
    for (uint32_t i = 0; i < 30; i++)
        p[86 + i] = (uint8_t)i;
    uint32_t n = rig_v6(p, "fd00::9", "fd00::2", 0, 64, 32 + 30);
    CU_ASSERT_EQUAL_FATAL(rig_feed(&r, p, n, NULL, &m), IP_TCP);
    CU_ASSERT_EQUAL(m->pkt_len, 30);
    CU_ASSERT_EQUAL(rte_pktmbuf_mtod(m, uint8_t *)[7], 7);
    rte_pktmbuf_free(m);
    p[81] = 1; /* more fragments */
    CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_in, 1);
    p[81] = 0;
    for (uint32_t cut = 0; cut < n; cut++)
        CU_ASSERT_EQUAL(rig_feed(&r, p, cut, NULL, NULL), IP_DONE);
    memset(p + 54, 0, 62); /* for ever */
    CU_ASSERT_EQUAL(rig_feed(&r, p, n, NULL, NULL), IP_DONE);
    rig_down(&r);
}

/* A TCP segment or what else `protocol` is, behind one extension header with these six bytes. */
static enum ip_verdict behind(uint8_t header, const uint8_t six[6], const char *to,
                              uint8_t protocol, uint8_t first)
{
    memset(p + 54, 0, 100);
    p[54] = protocol;
    memcpy(p + 56, six, 6);
    p[62] = first;
    uint32_t n = rig_v6(p, "fd00::9", to, header, 64, 8 + 30);
    rig_clear(&r);
    return rig_feed(&r, p, n, NULL, NULL);
}

/* The one frame that left is a parameter problem about p. */
static void check_problem(uint8_t code, uint32_t pointer)
{
    uint32_t n;
    const uint8_t *f = rig_only(&r, &n);
    CU_ASSERT_EQUAL_FATAL(n, 54 + 8 + 40 + 38);
    CU_ASSERT_EQUAL(f[20], 58);
    CU_ASSERT_EQUAL(f[54], 4);
    CU_ASSERT_EQUAL(f[55], code);
    CU_ASSERT_EQUAL(bytes_get_u32(f + 58), pointer);
    CU_ASSERT_EQUAL(memcmp(f + 62, p + 14, 78), 0);
    check_sum(f, n);
}

/* RFC 8200, 4.2: what an unknown option's number asks for. */
static void unknown_options(void)
{
    static const uint8_t headers[] = {0, 60};
    rig_up(&r, &plain, true);
    learn_peer("fd00::9");
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t h = headers[i];
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x1e, 4}, "fd00::2", 6, 0), IP_TCP);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){1, 1, 0, 0, 0x1e, 0}, "fd00::2", 6, 0), IP_TCP);
        uint64_t dropped = ip_counters(r.ip)->drop_header;
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x5e, 4}, "fd00::2", 6, 0), IP_DONE);
        CU_ASSERT_EQUAL(r.out_count, 0);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x9e, 4}, "fd00::2", 6, 0), IP_DONE);
        check_problem(2, 42);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0, 1, 0, 0xde, 1, 0}, "fd00::2", 6, 0), IP_DONE);
        check_problem(2, 45);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x9e, 5}, "fd00::2", 6, 0), IP_DONE); /* too long */
        CU_ASSERT_EQUAL(r.out_count, 0);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){1, 3, 0, 0, 0, 0x9e}, "fd00::2", 6, 0), IP_DONE);
        CU_ASSERT_EQUAL(r.out_count, 0); /* its length is beyond the header */
        CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_header, dropped + 5);
        /* not about errors, about other ICMP yes; nobody is told about what went to a group */
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x9e, 4}, "fd00::2", 58, 1), IP_DONE);
        CU_ASSERT_EQUAL(r.out_count, 0);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x9e, 4}, "fd00::2", 58, 128), IP_DONE);
        check_problem(2, 42);
        CU_ASSERT_EQUAL(behind(h, (uint8_t[6]){0x9e, 4}, "ff02::1", 58, 128), IP_DONE);
        CU_ASSERT_EQUAL(r.out_count, 0);
    }
    rig_down(&r);
}

/* RFC 8200, 4 and 4.4: headers that we do not know, in the wrong place, or with hops to go. */
static void unknown_headers(void)
{
    rig_up(&r, &plain, true);
    learn_peer("fd00::9");
    CU_ASSERT_EQUAL(behind(60, (uint8_t[6]){1, 4}, "fd00::2", 253, 0), IP_DONE);
    check_problem(1, 40);
    CU_ASSERT_EQUAL(behind(253, (uint8_t[6]){1, 4}, "fd00::2", 6, 0), IP_DONE);
    check_problem(1, 6);
    CU_ASSERT_EQUAL(behind(60, (uint8_t[6]){1, 4}, "fd00::2", 0, 6), IP_DONE); /* in front or not */
    check_problem(1, 40);
    CU_ASSERT_EQUAL(behind(43, (uint8_t[6]){0, 1}, "fd00::2", 6, 0), IP_DONE);
    check_problem(0, 42);
    CU_ASSERT_EQUAL(behind(43, (uint8_t[6]){0, 0}, "fd00::2", 6, 0), IP_TCP);
    CU_ASSERT_EQUAL(behind(60, (uint8_t[6]){1, 4}, "fd00::2", 59, 0),
                    IP_DONE); /* nothing follows */
    CU_ASSERT_EQUAL(r.out_count, 0);
    rig_down(&r);
}

/* Random changes to good frames of all kinds: nothing reads outside, nothing is lost. */
static void random_frames(void)
{
    static const char *const v4[] = {"10.0.0.9", "10.0.0.2"};
    struct rig_options o = {
        .addresses = {"fd00::2/64", "10.0.0.2/24"}, .accept_ra = true, .autoconf = true};
    rig_up(&r, &o, true);
    for (int i = 0; i < 60000; i++) {
        uint32_t n = 0;
        memset(p, 0, 300);
        switch (rng_below(&r.rng, 6)) {
        case 0:
            n = nd(135, "fd00::9", "ff02::1:ff00:2", "fd00::2", 0, peer_mac);
            break;
        case 1:
            n = nd(136, "fd00::9", "fd00::2", "fd00::9", 0x60, peer_mac);
            break;
        case 2:
            n = advert("fe80::1", 100, 100, 1400);
            break;
        case 3:
            n = rig_arp(p, 1 + i % 2, peer_mac, v4[0], v4[1]);
            break;
        case 4:
            p[34] = 3;
            rig_sum_v4(p + 34, 60);
            n = rig_v4(p, v4[0], v4[1], 1, 60);
            break;
        default:
            n = rig_v6(p, "fd00::9", "fd00::2", (uint8_t)rng_below(&r.rng, 64), 64, 100);
            break;
        }
        for (uint64_t k = rng_below(&r.rng, 4); k > 0; k--)
            p[12 + rng_below(&r.rng, n - 12)] = (uint8_t)rng_below(&r.rng, 256);
        if (n > 86 && rng_below(&r.rng, 2))
            rig_sum_v6(p, 54, bytes_get_u16(p + 18) <= 200 ? bytes_get_u16(p + 18) : 64);
        rig_feed(&r, p, rng_below(&r.rng, 8) ? n : (uint32_t)rng_below(&r.rng, n + 1), NULL, NULL);
        rig_clear(&r);
        if (i % 16 == 0)
            rig_time(&r, (int64_t)rng_below(&r.rng, CLOCK_NS_PER_S));
    }
    rig_down(&r);
}

UNIT_MAIN("ip/ip6", UNIT_CASE(answers_solicitations), UNIT_CASE(resolves),
          UNIT_CASE(detects_duplicates), UNIT_CASE(hears_routers), UNIT_CASE(echoes_and_errors),
          UNIT_CASE(asks_the_card), UNIT_CASE(extension_headers), UNIT_CASE(unknown_options),
          UNIT_CASE(unknown_headers), UNIT_CASE(random_frames))
