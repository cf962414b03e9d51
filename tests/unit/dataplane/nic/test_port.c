/* port and lane: whatever form a frame has, its content arrives; quirks per driver; refusals. */
#include "dataplane/nic/port.h"

#include <arpa/inet.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "dataplane/nic/quirks.h"
#include "dataplane/nic/steer.h"
#include "tests/unit/dataplane/nic/cable.h"
#include "tests/unit/unit.h"
#include <unistd.h>

/* Sends one, receives one; both lanes are flushed so that rings give their buffers back. */
static void cross(struct lane *from, struct lane *to, uint32_t n, uint32_t key,
                  enum cable_form form)
{
    struct rte_mbuf *frames[8];
    lane_send(from, cable_frame(n, key, form));
    uint32_t got = 0;
    for (int i = 0; i < 2000 && got == 0; i++) {
        lane_flush(from);
        got = lane_receive(to, frames, 8);
        if (got == 0 && i > 100)
            usleep(100);
    }
    CU_ASSERT_EQUAL_FATAL(got, 1);
    CU_ASSERT_TRUE(cable_frame_is(frames[0], n, key));
    rte_pktmbuf_free(frames[0]);
}

static void all_sizes(enum cable_kind kind, uint16_t mtu)
{
    struct cable c;
    cable_open(&c, kind, mtu, 1);
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    uint32_t step = mtu > 2000 ? 97 : 7, most = mtu + 14u;
    for (uint32_t form = 0; form < FORM_COUNT; form++) {
        for (uint32_t n = 60; n < most; n += step)
            cross(n % 2 ? a : b, n % 2 ? b : a, n, n * 31 + form, (enum cable_form)form);
        cross(a, b, most, 5, (enum cable_form)form);
        cross(b, a, most, 6, (enum cable_form)form);
    }
    const struct lane_counters *count = lane_counters(a);
    CU_ASSERT_EQUAL(count->drops[LANE_DROP_TX_LENGTH], 0);
    CU_ASSERT_TRUE(count->rx_frames > 10 && count->tx_frames > 10);
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

static void ring_content(void)
{
    all_sizes(CABLE_RING, 1500);
}

/* With the default bsize of 2,048 frames over it would come out merged wrongly. */
static void memif_content(void)
{
    all_sizes(CABLE_MEMIF, 1500);
}

static void memif_jumbo_content(void)
{
    all_sizes(CABLE_MEMIF, 9000);
}

/* Frames that the driver still refers to come back with its next burst. */
static void settle(struct lane *from, struct lane *to)
{
    struct rte_mbuf *frames[8];
    for (int i = 0; i < 4; i++) {
        lane_flush(from);
        for (uint32_t n = lane_receive(to, frames, 8); n-- > 0;)
            rte_pktmbuf_free(frames[n]);
    }
}

/*
 * A client with zero-copy=yes shows the peer its memory: what is EAL's goes as it is, what is not (log
 * memory in external buffers) is copied, since the peer dies of it. A server copies by itself.
 */
static void zero_copy_shows_eal_memory_alone(void)
{
    struct cable c;
    cable_open(&c, CABLE_MEMIF_ZERO_COPY, 1500, 1);
    struct lane *server = cable_lane(c.a, 0), *client = cable_lane(c.b, 0);
    for (uint32_t form = 0; form < FORM_COUNT; form++) {
        uint64_t before = lane_counters(client)->tx_copied;
        for (uint32_t n = 60; n <= 1514; n += 727) {
            cross(client, server, n, n + form, (enum cable_form)form);
            cross(server, client, n, n + form, (enum cable_form)form);
        }
        uint64_t copied = lane_counters(client)->tx_copied - before;
        CU_ASSERT_EQUAL(copied, form == FORM_EXTERNAL ? 3 : 0);
    }
    CU_ASSERT_EQUAL(lane_counters(server)->tx_copied, 0);
    settle(client, server);
    lane_free(server);
    lane_free(client);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

static void bursts_in_order(void)
{
    struct cable c;
    struct rte_mbuf *frames[lane_burst_max];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    cable_open(&c, CABLE_MEMIF, 1500, 1);
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    uint32_t sent = 0, got = 0;
    for (int i = 0; i < 100000 && got < 3000; i++) {
        for (uint64_t k = rng_below(&rng, 90); k > 0 && sent < 3000 && lane_room(a) > 0; k--) {
            lane_send(a, cable_frame(60 + sent % 1400, sent, (enum cable_form)(sent % FORM_COUNT)));
            sent++;
        }
        lane_flush(a);
        uint32_t n = lane_receive(b, frames, 1 + (uint32_t)rng_below(&rng, lane_burst_max));
        for (uint32_t k = 0; k < n; k++, got++) {
            CU_ASSERT_TRUE(cable_frame_is(frames[k], 60 + got % 1400, got));
            rte_pktmbuf_free(frames[k]);
        }
    }
    CU_ASSERT_EQUAL(got, 3000);
    CU_ASSERT_EQUAL(lane_counters(a)->tx_frames, 3000);
    CU_ASSERT_EQUAL(lane_counters(b)->rx_frames, 3000);
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

static void full_queue_drops_and_counts(void)
{
    struct cable c;
    cable_open(&c, CABLE_RING, 1500, 1);
    struct lane *a = cable_lane(c.a, 0);
    CU_ASSERT_EQUAL(lane_room(a), lane_pending_max);
    for (uint32_t i = 0; i < lane_pending_max; i++)
        lane_send(a, cable_frame(60, i, FORM_LINEAR));
    CU_ASSERT_EQUAL(lane_room(a), 0);
    lane_send(a, cable_frame(60, 1, FORM_CHAIN));
    CU_ASSERT_EQUAL(lane_counters(a)->drops[LANE_DROP_TX_FULL], 1);
    lane_send(a, cable_frame(1519, 1, FORM_CHAIN));
    CU_ASSERT_EQUAL(lane_counters(a)->drops[LANE_DROP_TX_LENGTH], 1);
    lane_free(a);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

/* ---- hand-over: five shards on two queues ---- */

#define shards_five 5

static struct rte_mbuf *tuple_frame(uint16_t port, uint32_t *owner)
{
    struct rte_mbuf *m = cable_frame(80, port, FORM_LINEAR);
    uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t src = htonl(0x0a000001), dst = htonl(0x0a000002);
    bytes_put_u16(p + 12, 0x0800);
    p[14] = 0x45;
    bytes_put_u16(p + 20, 0);
    p[23] = 6;
    memcpy(p + 26, &src, 4);
    memcpy(p + 30, &dst, 4);
    bytes_put_u16(p + 34, port);
    bytes_put_u16(p + 36, 9092);
    *owner = steer_owner(steer_hash(&src, &dst, 4, htons(port), htons(9092)), shards_five);
    return m;
}

static void fewer_queues_than_shards(void)
{
    struct cable c;
    struct lane *a[shards_five], *b[shards_five];
    struct rte_mbuf *frames[lane_burst_max];
    uint32_t want[shards_five] = {0}, got[shards_five] = {0};
    cable_open(&c, CABLE_RING, 1500, shards_five);
    CU_ASSERT_EQUAL(port_report(c.a)->queues, 2);
    CU_ASSERT_FALSE(port_report(c.a)->steered);
    for (uint32_t i = 0; i < shards_five; i++) {
        a[i] = cable_lane(c.a, i);
        b[i] = cable_lane(c.b, i);
        CU_ASSERT_EQUAL(lane_has_queue(a[i]), i < 2);
    }
    for (uint16_t port = 30000; port < 30400; port++) {
        uint32_t owner;
        lane_send(a[port % shards_five], tuple_frame(port, &owner));
        want[owner]++;
    }
    for (int round = 0; round < 20; round++)
        for (uint32_t i = 0; i < shards_five; i++) {
            lane_flush(a[i]);
            lane_flush(b[i]);
            uint32_t n = lane_receive(b[i], frames, lane_burst_max);
            for (uint32_t k = 0; k < n; k++) {
                CU_ASSERT_EQUAL(steer_frame(frames[k], shards_five), i);
                rte_pktmbuf_free(frames[k]);
            }
            got[i] += n;
        }
    for (uint32_t i = 0; i < shards_five; i++) {
        CU_ASSERT_EQUAL(got[i], want[i]);
        CU_ASSERT_TRUE(want[i] > 0);
        CU_ASSERT_EQUAL(lane_counters(a[i])->tx_handed, i < 2 ? 0 : 80);
        CU_ASSERT_FALSE(lane_has_handover(b[i]));
    }

    /* what was put together from fragments finds its owner too */
    for (uint16_t port = 40000; port < 40020; port++) {
        uint32_t owner, n;
        struct rte_mbuf *whole = tuple_frame(port, &owner);
        bool passed = lane_pass(b[0], whole);
        CU_ASSERT_EQUAL(passed, owner != 0);
        CU_ASSERT_EQUAL(lane_has_handover(b[owner]), passed);
        n = passed ? lane_receive(b[owner], frames, lane_burst_max) : 1;
        CU_ASSERT_EQUAL(n, 1);
        CU_ASSERT_TRUE(!passed || frames[0] == whole);
        rte_pktmbuf_free(whole);
    }

    /* ARP is for everybody */
    struct rte_mbuf *arp = cable_frame(60, 1, FORM_LINEAR);
    bytes_put_u16(rte_pktmbuf_mtod(arp, uint8_t *) + 12, 0x0806);
    lane_send(a[4], arp);
    lane_flush(a[4]);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < shards_five; i++) {
            lane_flush(a[i]);
            uint32_t n = lane_receive(b[i], frames, lane_burst_max);
            got[i] = round == 0 ? n : got[i] + n;
            for (uint32_t k = 0; k < n; k++)
                rte_pktmbuf_free(frames[k]);
        }
    for (uint32_t i = 0; i < shards_five; i++)
        CU_ASSERT_EQUAL(got[i], 1);
    for (uint32_t i = 0; i < shards_five; i++) {
        lane_free(a[i]);
        lane_free(b[i]);
    }
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

/* ---- refusals ---- */

static void refused(const char *device, uint16_t mtu, int want, const char *part)
{
    char why[512] = "";
    struct port *p = NULL;
    struct port_options o = {.device = device, .mtu = mtu, .shards = 1, .pool_bufs = 2047};
    CU_ASSERT_EQUAL(port_open(&p, &o, why, sizeof(why)), want);
    CU_ASSERT_PTR_NULL(p);
    if (strstr(why, part) == NULL || strchr(why, '\n') != NULL) {
        printf("\nrefused with: %s\n", why);
        CU_FAIL("the line says something else");
    }
}

static void refusals(void)
{
    struct cable c; /* EAL is up */
    cable_open(&c, CABLE_RING, 1500, 1);
    refused("net_nothing0", 1500, ERR_NOT_FOUND, "no such driver; known: net_tap");
    refused("net_memif90,role=server,bsize=1500", 1500, ERR_INVALID, "bsize must be at least");
    refused("net_memif90,role=waiter", 1500, ERR_NOT_FOUND, "net_memif needs a role");
    refused("net_memif90", 100, ERR_INVALID, "MTU must be at least 576");
    refused("net_af_xdp0,iface=sluice-none", 1500, ERR_NOT_FOUND, "an interface that exists");
    refused("0000:ff:1f.7", 1500, ERR_NOT_FOUND, "bound to vfio-pci");
    cable_close(&c);
}

static void quirk_table(void)
{
    char out[port_device_max];
    CU_ASSERT_PTR_NULL(quirks_find("net_tapestry"));
    CU_ASSERT_PTR_NULL(quirks_find(""));
    CU_ASSERT_PTR_NULL(quirks_find("eth0"));
    CU_ASSERT_STRING_EQUAL(quirks_find("net_tap0,iface=x")->driver, "net_tap");
    CU_ASSERT_STRING_EQUAL(quirks_find("0000:03:00.0")->driver, "pci");
    CU_ASSERT_STRING_EQUAL(quirks_find("03:00.0,arg=1")->driver, "pci");
    CU_ASSERT_EQUAL(quirks_find("net_tap0")->queues_max, 4);
    CU_ASSERT_TRUE(quirks_find("net_af_xdp0")->own_linear);
    const struct quirks *memif = quirks_find("net_memif0");
    CU_ASSERT_EQUAL(quirks_device(memif, "net_memif0", 9000, out, sizeof(out)), 0);
    CU_ASSERT_STRING_EQUAL(out, "net_memif0,bsize=9216");
    CU_ASSERT_EQUAL(quirks_device(memif, "net_memif0,bsize=1522", 1500, out, sizeof(out)), 0);
    CU_ASSERT_STRING_EQUAL(out, "net_memif0,bsize=1522");
    CU_ASSERT_EQUAL(quirks_device(memif, "net_memif0,bsize=1521", 1500, out, sizeof(out)),
                    ERR_RANGE);
    CU_ASSERT_EQUAL(quirks_device(memif, "net_memif0", 1500, out, 12), ERR_TOO_LARGE);
}

/* ---- capture ---- */

#define capture_header 24 /* of the file; 16 more in front of each frame */

/* Frames of two ports in turn, 1,000,000,007 ns apart. */
static void pass_frames(struct lane *a, struct lane *b, int count)
{
    struct rte_mbuf *frames[8];
    for (int i = 0; i < count; i++) {
        uint32_t owner;
        lane_send(a, tuple_frame((uint16_t)(31000 + i % 2), &owner));
        lane_flush(a);
        lane_now(b, 1000000007LL * i);
        CU_ASSERT_EQUAL_FATAL(lane_receive(b, frames, 8), 1);
        rte_pktmbuf_free(frames[0]);
    }
}

/* What was written can be read back by DPDK's own reader. */
static void read_back(const struct capture_taken *taken, uint32_t count)
{
    struct rte_mbuf *frames[8];
    char path[] = "/tmp/sluice-capture-XXXXXX", device[128], why[256] = "";
    int fd = mkstemp(path);
    CU_ASSERT_EQUAL(write(fd, taken->pcap, taken->bytes), (ssize_t)taken->bytes);
    close(fd);
    snprintf(device, sizeof(device), "net_pcap0,rx_pcap=%s,tx_pcap=/dev/null", path);
    struct port *p;
    struct port_options po = {.device = device, .shards = 1, .pool_bufs = 2047};
    CU_ASSERT_EQUAL_FATAL(port_open(&p, &po, why, sizeof(why)), 0);
    struct lane *l = cable_lane(p, 0);
    CU_ASSERT_EQUAL_FATAL(lane_receive(l, frames, 8), count);
    for (uint32_t i = 0; i < count; i++) {
        CU_ASSERT_EQUAL(frames[i]->pkt_len, 80);
        CU_ASSERT_EQUAL(bytes_get_u16(rte_pktmbuf_mtod(frames[i], uint8_t *) + 34), 31000);
        rte_pktmbuf_free(frames[i]);
    }
    lane_free(l);
    port_close(p);
    unlink(path);
}

static uint64_t captured(struct capture_set *set, struct lane *a, struct lane *b, int count,
                         const struct capture_filter *filter)
{
    struct capture_taken taken;
    CU_ASSERT_EQUAL_FATAL(capture_set_start(set, filter), 0);
    pass_frames(a, b, count);
    CU_ASSERT_EQUAL_FATAL(capture_set_stop(set, &taken), 0);
    free(taken.pcap);
    return taken.frames;
}

static void captures(void)
{
    struct cable c;
    struct capture_set *set;
    struct capture_taken taken;
    struct capture_filter port = {.port = 31000}, all = {.port = 0};
    struct capture_filter ours = {.has_address = true, .address = {[10] = 255, 255, 10, 0, 0, 2}};
    struct capture_filter nobody = {.has_address = true, .address = {[10] = 255, 255, 10, 0, 0, 9}};
    CU_ASSERT_EQUAL(capture_set_new(&set, capture_lane_bytes_min * 2 - 1, 2), ERR_INVALID);
    CU_ASSERT_EQUAL_FATAL(capture_set_new(&set, capture_lane_bytes_min * 2, 2), 0);
    CU_ASSERT_PTR_NULL(capture_set_lane(set, 2));
    cable_open(&c, CABLE_RING, 1500, 1);
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    lane_capture(b, capture_set_lane(set, 1), 0);
    pass_frames(a, b, 8);
    CU_ASSERT_EQUAL(capture_set_stop(set, &taken), ERR_NOT_FOUND);

    CU_ASSERT_EQUAL(capture_set_start(set, &port), 0);
    CU_ASSERT_EQUAL(capture_set_start(set, &port), ERR_BUSY);
    pass_frames(a, b, 7); /* every other one matches */
    CU_ASSERT_EQUAL_FATAL(capture_set_stop(set, &taken), 0);
    CU_ASSERT_EQUAL(taken.frames, 4);
    CU_ASSERT_EQUAL(taken.missed, 0);
    CU_ASSERT_EQUAL(taken.bytes, capture_header + 4 * 96);
    read_back(&taken, 4);
    free(taken.pcap);

    pass_frames(a, b, 8); /* off again */
    CU_ASSERT_EQUAL(captured(set, a, b, 0, &all), 0);
    CU_ASSERT_EQUAL(captured(set, a, b, 5, &all), 5);
    CU_ASSERT_EQUAL(captured(set, a, b, 5, &ours), 5);
    CU_ASSERT_EQUAL(captured(set, a, b, 5, &nobody), 0);

    /* at its limit: what fits, and the rest is counted */
    CU_ASSERT_EQUAL(capture_set_start(set, &all), 0);
    pass_frames(a, b, 1000);
    CU_ASSERT_EQUAL_FATAL(capture_set_stop(set, &taken), 0);
    CU_ASSERT_EQUAL(taken.frames, capture_lane_bytes_min / 96);
    CU_ASSERT_EQUAL(taken.frames + taken.missed, 1000);
    free(taken.pcap);
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    capture_set_free(set);
}

/* Frames of two lanes come in the order of their times. */
static void captures_merge(void)
{
    struct cable c;
    struct capture_set *set;
    struct capture_taken taken;
    struct capture_filter short_ones = {.snap = 60};
    CU_ASSERT_EQUAL_FATAL(capture_set_new(&set, capture_lane_bytes_min * 2, 2), 0);
    cable_open(&c, CABLE_RING, 1500, 1);
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    lane_capture(a, capture_set_lane(set, 0), 0);
    lane_capture(b, capture_set_lane(set, 1), 0);
    CU_ASSERT_EQUAL(capture_set_start(set, &short_ones), 0);
    for (int i = 0; i < 6; i++) { /* sent at even, received at odd seconds */
        struct rte_mbuf *frames[8];
        lane_now(a, 2 * i * CLOCK_NS_PER_S);
        lane_now(b, (2 * i + 1) * CLOCK_NS_PER_S);
        lane_send(a, cable_frame(100, 1, FORM_CHAIN));
        lane_flush(a);
        CU_ASSERT_EQUAL(lane_receive(b, frames, 8), 1);
        rte_pktmbuf_free(frames[0]);
    }
    CU_ASSERT_EQUAL_FATAL(capture_set_stop(set, &taken), 0);
    CU_ASSERT_EQUAL_FATAL(taken.bytes, capture_header + 12 * (16 + 60));
    for (uint32_t i = 0; i < 12; i++) {
        uint32_t head[4];
        memcpy(head, taken.pcap + capture_header + i * 76, sizeof(head));
        CU_ASSERT_EQUAL(head[0], i);
        CU_ASSERT_EQUAL(head[2], 60);
        CU_ASSERT_EQUAL(head[3], 100);
    }
    free(taken.pcap);
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    capture_set_free(set);
    CU_ASSERT_TRUE(cable_frames_back());
}

UNIT_MAIN("nic/port", UNIT_CASE(quirk_table), UNIT_CASE(ring_content), UNIT_CASE(memif_content),
          UNIT_CASE(memif_jumbo_content), UNIT_CASE(zero_copy_shows_eal_memory_alone),
          UNIT_CASE(bursts_in_order), UNIT_CASE(full_queue_drops_and_counts),
          UNIT_CASE(fewer_queues_than_shards), UNIT_CASE(refusals), UNIT_CASE(captures),
          UNIT_CASE(captures_merge))
