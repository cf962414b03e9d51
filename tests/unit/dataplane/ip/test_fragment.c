/* ip: packets in fragments: any order, both families, limits, overlaps, floods. */
#include <string.h>

#include "tests/unit/core/with_eal.h"
#include "tests/unit/dataplane/ip/rig.h"

#define bufs        2047
#define payload_max 8192
#define frame_max   2048

static struct rig r;
static uint8_t payload[payload_max];
static uint32_t next_id = 1;
static struct rte_mempool *pool; /* of buffers as large as a port's */
static const struct rig_options both = {.addresses = {"10.0.0.2/24", "fd00::2/64"}};

struct piece {
    uint32_t from, to;
    bool more;
};

static void fill(uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        payload[i] = (uint8_t)(i * 7 + (i >> 8));
}

static void up(const struct rig_options *o)
{
    rig_up(&r, o, true);
    if (pool == NULL)
        pool = with_pool("fragments", bufs, 2048);
}

static void down(void)
{
    rig_down(&r);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(pool), bufs);
}

static enum ip_verdict enter(const uint8_t *p, uint32_t n, struct ip_packet *in)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), p, n);
    return ip_input(r.ip, r.iface, m, r.now, in);
}

/* A fragment as a frame; returns its length. v6: with a fragment header (and a destination one). */
static uint32_t fragment(uint8_t *p, bool v6, uint32_t id, uint8_t protocol, const struct piece *k)
{
    uint32_t n = k->to - k->from;
    if (v6) {
        memset(p + 54, 0, 16);
        p[54] = 44; /* destination options, padded */
        p[56] = 1;
        p[57] = 4;
        p[62] = protocol;
        bytes_put_u16(p + 64, (uint16_t)(k->from | k->more));
        bytes_put_u32(p + 66, id);
        memcpy(p + 70, payload + k->from, n);
        return rig_v6(p, "fd00::9", "fd00::2", 60, 64, 16 + n);
    }
    memcpy(p + 34, payload + k->from, n);
    uint32_t bytes = rig_v4(p, "10.0.0.9", "10.0.0.2", protocol, n);
    bytes_put_u16(p + 18, (uint16_t)id);
    bytes_put_u16(p + 20, (uint16_t)(k->from / 8 | (k->more ? 0x2000 : 0)));
    memset(p + 24, 0, 2);
    uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
    memcpy(p + 24, &sum, 2);
    return bytes;
}

static enum ip_verdict feed(bool v6, uint32_t id, uint32_t from, uint32_t to, bool more,
                            struct rte_mbuf **whole)
{
    uint8_t p[frame_max];
    struct ip_packet in;
    struct piece k = {from, to, more};
    enum ip_verdict v = enter(p, fragment(p, v6, id, 6, &k), &in);
    if (whole != NULL)
        *whole = in.whole;
    else if (v == IP_WHOLE)
        rte_pktmbuf_free(in.whole);
    return v;
}

/* The frame that came out goes in again: a TCP segment with the whole payload. */
static void is_segment(struct rte_mbuf *whole, uint32_t n, uint8_t ecn)
{
    static uint8_t bytes[payload_max];
    struct ip_packet in;
    CU_ASSERT_EQUAL_FATAL(ip_input(r.ip, r.iface, whole, r.now, &in), IP_TCP);
    CU_ASSERT_EQUAL_FATAL(whole->pkt_len, n);
    CU_ASSERT_EQUAL(in.ecn, ecn);
    CU_ASSERT_TRUE(whole->data_len >= (n < 60 ? n : 60)); /* a TCP header lies in one piece */
    uint32_t segs = 0, len = 0;
    for (const struct rte_mbuf *m = whole; m != NULL; m = m->next, segs++)
        len += m->data_len;
    CU_ASSERT_EQUAL(segs, whole->nb_segs);
    CU_ASSERT_EQUAL(len, n);
    CU_ASSERT_EQUAL(memcmp(rte_pktmbuf_read(whole, 0, n, bytes), payload, n), 0);
    rte_pktmbuf_free(whole);
}

/* Cuts n bytes at random places, mixes the pieces, repeats some. */
static void random_packet(bool v6, struct rng *rng)
{
    struct piece pieces[64];
    uint32_t count = 0, n = 20 + (uint32_t)rng_below(rng, payload_max - 20), id = next_id++;
    for (uint32_t at = 0; at < n; count++) {
        uint32_t least = n / 50 + 8, len = (least + (uint32_t)rng_below(rng, 1400 - least)) & ~7u;
        uint32_t to = at + len < n ? at + len : n;
        pieces[count] = (struct piece){at, to, to < n};
        at = to;
    }
    if (count == 1) /* whole already */
        return;
    for (uint32_t i = count - 1; i > 0; i--) {
        uint32_t k = (uint32_t)rng_below(rng, i + 1);
        struct piece swap = pieces[i];
        pieces[i] = pieces[k];
        pieces[k] = swap;
    }
    fill(n);
    for (uint32_t i = 0; i < count; i++) {
        struct rte_mbuf *whole = NULL;
        bool last = i + 1 == count;
        if (!last && rng_below(rng, 4) == 0)
            feed(v6, id, pieces[i].from, pieces[i].to, pieces[i].more, NULL);
        enum ip_verdict v = feed(v6, id, pieces[i].from, pieces[i].to, pieces[i].more, &whole);
        CU_ASSERT_EQUAL_FATAL(v, last ? IP_WHOLE : IP_DONE);
        if (last)
            is_segment(whole, n, 0);
    }
}

static void any_order(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    up(&both);
    for (int i = 0; i < 400; i++)
        random_packet(i % 2 != 0, &rng);
    CU_ASSERT_TRUE(ip_counters(r.ip)->reassembled > 350);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_refused, 0);
    down();
}

/* Pieces of 8 bytes: TCP's header in three of them. */
static void tiny_pieces(void)
{
    struct rte_mbuf *whole = NULL;
    up(&both);
    fill(64);
    for (int v6 = 0; v6 < 2; v6++)
        for (uint32_t at = 0; at < 64; at += 8) {
            enum ip_verdict v = feed(v6, 5, at, at + 8, at < 56, &whole);
            CU_ASSERT_EQUAL(v, at < 56 ? IP_DONE : IP_WHOLE);
            if (v == IP_WHOLE)
                is_segment(whole, 64, 0);
        }
    /* as many as may be, and one more: the packet is given up, and stays so */
    for (int more = 0; more < 2; more++) {
        uint32_t count = ip_fragment_pieces_max + (uint32_t)more;
        fill(count * 8);
        enum ip_verdict v = IP_DONE;
        for (uint32_t i = 0; i < count; i++)
            v = feed(true, 6 + (uint32_t)more, i * 8, i * 8 + 8, i + 1 < count, &whole);
        CU_ASSERT_EQUAL(v, more ? IP_DONE : IP_WHOLE);
        if (v == IP_WHOLE)
            is_segment(whole, count * 8, 0);
    }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_refused, 1);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_fragment, ip_fragment_pieces_max + 1);
    down();
}

/* RFC 5722: whatever overlaps ends the packet, also for pieces that come later. */
static void overlaps_end_the_packet(void)
{
    static const struct piece wrong[] = {
        {8, 24, true},   {16, 40, true},    {0, 16, true},    {0, 72, true},
        {24, 32, false}, {104, 112, false}, {48, 120, false}, {120, 128, true},
    };
    up(&both);
    fill(256);
    for (int v6 = 0; v6 < 2; v6++)
        for (uint32_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
            uint32_t id = 100 + i;
            uint64_t before = ip_counters(r.ip)->fragments_refused;
            feed(v6, id, 0, 8, true, NULL);
            feed(v6, id, 16, 32, true, NULL);
            feed(v6, id, 64, 96, true, NULL);
            feed(v6, id, 96, 112, false, NULL);
            feed(v6, id, wrong[i].from, wrong[i].to, wrong[i].more, NULL);
            CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_refused, before + 1);
            CU_ASSERT_EQUAL(feed(v6, id, 8, 16, true, NULL), IP_DONE);
            CU_ASSERT_EQUAL(feed(v6, id, 32, 64, true, NULL), IP_DONE);
        }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->reassembled, 0);
    down();
}

static void impossible_pieces(void)
{
    up(&both);
    fill(1024);
    uint64_t want = 0;
    for (int v6 = 0; v6 < 2; v6++) {
        feed(v6, 1, 0, 13, true, NULL);  /* not a multiple of 8, and more to come */
        feed(v6, 1, 16, 16, true, NULL); /* empty */
        want += 2;
        CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_fragment, want);
    }
    /* over 65,535 with its header: the "ping of death" */
    uint8_t p[frame_max];
    struct ip_packet in;
    struct piece k = {0, 100, false};
    uint32_t n = fragment(p, false, 9, 6, &k);
    bytes_put_u16(p + 20, 0x1fff);
    memset(p + 24, 0, 2);
    uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
    memcpy(p + 24, &sum, 2);
    CU_ASSERT_EQUAL(enter(p, n, &in), IP_DONE);
    n = fragment(p, true, 9, 6, &k);
    bytes_put_u16(p + 64, 0xfff8);
    CU_ASSERT_EQUAL(enter(p, n, &in), IP_DONE);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_fragment, want + 2);
    /* neighbour discovery does not come in fragments (RFC 6980) */
    payload[0] = 135;
    k = (struct piece){0, 8, true};
    CU_ASSERT_EQUAL(enter(p, fragment(p, true, 10, 58, &k), &in), IP_DONE);
    k = (struct piece){8, 32, false};
    CU_ASSERT_EQUAL(enter(p, fragment(p, true, 10, 58, &k), &in), IP_DONE);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->nd_in, 0);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->reassembled, 0);
    down();
}

static void expire(void)
{
    up(&both);
    fill(64);
    feed(false, 1, 0, 8, true, NULL);
    rig_time(&r, ip_fragment_ns / 2);
    feed(false, 2, 0, 8, true, NULL);
    rig_time(&r, ip_fragment_ns / 2);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_expired, 1);
    CU_ASSERT_EQUAL(feed(false, 1, 8, 16, false, NULL), IP_DONE); /* too late: a new packet */
    CU_ASSERT_EQUAL(feed(false, 2, 8, 16, false, NULL), IP_WHOLE);
    rig_time(&r, ip_fragment_ns);
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_expired, 2);
    down();
}

/* First pieces without end: a packet whose pieces come together gets through, memory stays. */
static void flood(void)
{
    struct rte_mbuf *whole = NULL;
    up(&both);
    fill(2000);
    for (uint32_t i = 0; i < 5000; i++) {
        feed(i % 2, 1000 + i, 0, 1400, true, NULL);
        CU_ASSERT_TRUE(bufs - rte_mempool_avail_count(pool) <= ip_fragment_packets_max);
        if (i % 100 != 99)
            continue;
        feed(false, 1, 0, 1400, true, NULL);
        for (uint32_t k = 0; k < ip_fragment_packets_max - 1; k++)
            feed(true, 10000 + i * 100 + k, 0, 1400, true, NULL);
        CU_ASSERT_EQUAL_FATAL(feed(false, 1, 1400, 2000, false, &whole), IP_WHOLE);
        is_segment(whole, 2000, 0);
    }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->reassembled, 50);
    CU_ASSERT_TRUE(ip_counters(r.ip)->fragments_evicted > 5000);
    down();
}

/* The same with large buffers, several for each piece: the limit of bytes comes first. */
static void flood_of_bytes(void)
{
    up(&both);
    fill(1400);
    uint32_t before = rig_bufs_free(), most = ip_fragment_bytes_max / rig_buf_bytes;
    for (uint32_t i = 0; i < 1000; i++) {
        uint8_t p[frame_max];
        struct piece k = {0, 1400, true};
        rig_feed(&r, p, fragment(p, false, i, 6, &k), NULL, NULL);
        CU_ASSERT_TRUE(before - rig_bufs_free() <= most);
    }
    CU_ASSERT_TRUE(before - rig_bufs_free() > most / 2);
    /* one packet over it gives itself up */
    fill(payload_max);
    uint64_t refused = ip_counters(r.ip)->fragments_refused;
    for (uint32_t i = 0; i < 40; i++) {
        uint8_t p[frame_max];
        struct piece k = {i * 200, i * 200 + 200, true};
        rig_feed(&r, p, fragment(p, false, 5000, 6, &k), NULL, NULL);
    }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->fragments_refused, refused + 1);
    CU_ASSERT_EQUAL(rig_bufs_free(), before);
    down();
}

static void congestion_marks(void)
{
    static const struct {
        uint8_t first, second;
        int want; /* -1: dropped */
    } cases[] = {{0, 0, 0}, {2, 2, 2}, {2, 3, 3}, {3, 1, 3}, {3, 0, -1}, {0, 3, -1}};
    up(&both);
    fill(64);
    for (int v6 = 0; v6 < 2; v6++)
        for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct ip_packet in;
            for (uint32_t k = 0; k < 2; k++) {
                uint8_t p[frame_max], mark = k ? cases[i].second : cases[i].first;
                struct piece part = {k * 32, k * 32 + 32, k == 0};
                uint32_t n = fragment(p, v6, 300 + i, 6, &part);
                if (v6) {
                    p[15] = (uint8_t)(mark << 4);
                } else {
                    p[15] = mark;
                    memset(p + 24, 0, 2);
                    uint16_t sum = checksum_end(checksum_add_portable(0, p + 14, 20));
                    memcpy(p + 24, &sum, 2);
                }
                enter(p, n, &in);
            }
            CU_ASSERT_EQUAL_FATAL(in.whole != NULL, cases[i].want >= 0);
            if (in.whole != NULL)
                is_segment(in.whole, 64, (uint8_t)cases[i].want);
        }
    down();
}

static void tagged_and_switched_off(void)
{
    struct rte_mbuf *whole = NULL;
    struct rig_options o = both;
    o.drop_fragments = true;
    up(&o);
    fill(64);
    for (int v6 = 0; v6 < 2; v6++) {
        feed(v6, 1, 0, 8, true, NULL);
        CU_ASSERT_EQUAL(feed(v6, 1, 8, 64, false, NULL), IP_DONE);
    }
    CU_ASSERT_EQUAL(ip_counters(r.ip)->drop_fragment, 4);
    down();

    o = both;
    o.vlan = 77;
    up(&o);
    for (uint32_t k = 0; k < 2; k++) {
        uint8_t p[frame_max];
        struct ip_packet in;
        struct piece part = {k * 32, k * 32 + 32, k == 0};
        uint32_t n = fragment(p, false, 3, 6, &part);
        memmove(p + 18, p + 14, n - 14);
        bytes_put_u16(p + 12, 0x8100);
        bytes_put_u16(p + 14, 77);
        bytes_put_u16(p + 16, 0x0800);
        enum ip_verdict v = enter(p, n + 4, &in);
        CU_ASSERT_EQUAL_FATAL(v, k ? IP_WHOLE : IP_DONE);
        whole = in.whole;
    }
    is_segment(whole, 64, 0);
    down();
}

UNIT_MAIN("ip/fragment", UNIT_CASE(any_order), UNIT_CASE(tiny_pieces),
          UNIT_CASE(overlaps_end_the_packet), UNIT_CASE(impossible_pieces), UNIT_CASE(expire),
          UNIT_CASE(flood), UNIT_CASE(flood_of_bytes), UNIT_CASE(congestion_marks),
          UNIT_CASE(tagged_and_switched_off))
