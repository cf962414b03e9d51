/*
 * offload: what is negotiated; that frames keep what they ask of the card; that the driver makes
 * them ready before a burst, once, and that one which it refuses holds up no other.
 *
 * No virtual driver has all of this: a ring is dressed up as a card, and hands over the mbufs
 * themselves, so that they can be looked at.
 */
#include "dataplane/nic/offload.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <string.h>

#include "dataplane/nic/port_impl.h"
#include "tests/unit/dataplane/nic/cable.h"
#include "tests/unit/unit.h"

#define burst 8

static struct port *dressed(struct port *p, uint64_t offloads)
{
    p->report.negotiated = offloads;
    return p;
}

static void negotiates(void)
{
    static const struct quirks none, no_tso = {.no_offloads = port_tso},
                                     no_sums = {.no_offloads = port_tx_checksum};
    struct rte_eth_dev_info info = {.tx_offload_capa = RTE_ETH_TX_OFFLOAD_TCP_TSO};
    struct rte_eth_conf conf = {0};
    const uint64_t large = port_tx_checksum | port_tso | port_scatter;
    CU_ASSERT_EQUAL(offload_offered(&info), 0); /* TSO without checksums and chains is of no use */
    info.tx_offload_capa |= RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
    CU_ASSERT_EQUAL(offload_offered(&info), port_tx_checksum);
    info.tx_offload_capa |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    CU_ASSERT_EQUAL(offload_offered(&info), large);
    CU_ASSERT_EQUAL(offload_negotiate(port_offloads_all, large, &none), large);
    CU_ASSERT_EQUAL(offload_negotiate(port_offloads_all, large, &no_tso), large & ~port_tso);
    CU_ASSERT_EQUAL(offload_negotiate(port_offloads_all, large, &no_sums), port_scatter);
    CU_ASSERT_EQUAL(offload_negotiate(port_offloads_all, large, NULL), large);
    CU_ASSERT_EQUAL(offload_negotiate(port_tso | port_scatter, large, &none), port_scatter);
    offload_configure(large, &info, &conf);
    CU_ASSERT_EQUAL(conf.txmode.offloads, info.tx_offload_capa);
}

static struct rte_mbuf *large_frame(uint32_t n, uint32_t key)
{
    struct rte_mbuf *m = cable_frame(n, key, n > 100 ? FORM_CHAIN : FORM_LINEAR);
    m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG | RTE_MBUF_F_TX_TCP_CKSUM | RTE_MBUF_F_TX_IP_CKSUM |
                   RTE_MBUF_F_TX_IPV4;
    m->l2_len = 14;
    m->l3_len = 20;
    m->l4_len = 32;
    m->tso_segsz = 1448;
    return m;
}

/* What arrives at b is n frames with the keys from `first` on; their flags and lengths as asked. */
static void arrive(struct lane *a, struct lane *b, uint32_t n, const uint32_t *bytes,
                   const uint32_t *keys)
{
    struct rte_mbuf *frames[burst];
    lane_flush(a);
    CU_ASSERT_EQUAL_FATAL(lane_receive(b, frames, burst), n);
    for (uint32_t i = 0; i < n; i++) {
        CU_ASSERT_TRUE(cable_frame_is(frames[i], bytes[i], keys[i]));
        CU_ASSERT_EQUAL(frames[i]->l4_len, 32);
        CU_ASSERT_EQUAL(frames[i]->tso_segsz, 1448);
        CU_ASSERT_TRUE((frames[i]->ol_flags & RTE_MBUF_F_TX_TCP_CKSUM) != 0);
        rte_pktmbuf_free(frames[i]);
    }
}

/* Large ones pass though they are longer than the MTU; copies ask for the same as the original. */
static void large_and_copied(void)
{
    struct cable c;
    cable_open(&c, CABLE_RING, 1500, 1);
    dressed(c.a, port_tx_checksum | port_tso | port_scatter)->report.segs_max = 2;
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    lane_send(a, large_frame(8000, 1));
    lane_send(a, large_frame(1200, 2));
    struct rte_mbuf *small = large_frame(1300, 3); /* more pieces than the card takes for it */
    CU_ASSERT_TRUE(small->nb_segs > 2);
    small->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG;
    lane_send(a, small);
    arrive(a, b, 3, (uint32_t[]){8000, 1200, 1300}, (uint32_t[]){1, 2, 3});
    CU_ASSERT_EQUAL(lane_counters(a)->tx_copied, 1);
    lane_free(a);
    dressed(c.a, port_tx_checksum); /* no chains at all */
    a = cable_lane(c.a, 0);
    small = large_frame(1300, 4);
    small->ol_flags &= ~RTE_MBUF_F_TX_TCP_SEG;
    lane_send(a, small);
    arrive(a, b, 1, (uint32_t[]){1300}, (uint32_t[]){4});
    CU_ASSERT_EQUAL(lane_counters(a)->tx_copied, 1);
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

/* ---- a driver that must make frames ready ---- */

static uint32_t prepared;

static uint16_t prepare(void *queue, struct rte_mbuf **frames, uint16_t n)
{
    for (uint16_t i = 0; i < n; i++) {
        if (frames[i]->tso_segsz == 0)
            return i;
        prepared++;
    }
    return n;
}

static void made_ready(void)
{
    struct cable c;
    cable_open(&c, CABLE_RING, 1500, 1);
    struct rte_eth_fp_ops *ops = &rte_eth_fp_ops[c.a->id];
    eth_tx_prep_t before = ops->tx_pkt_prepare;
    ops->tx_pkt_prepare = prepare;
    dressed(c.a, port_tx_checksum | port_tso | port_scatter);
    struct lane *a = cable_lane(c.a, 0), *b = cable_lane(c.b, 0);
    prepared = 0;
    for (uint32_t key = 0; key < 6; key++) {
        struct rte_mbuf *m = large_frame(1400, key);
        if (key == 0 || key == 2 || key == 3) /* refused */
            m->tso_segsz = 0;
        lane_send(a, m);
    }
    arrive(a, b, 3, (uint32_t[]){1400, 1400, 1400}, (uint32_t[]){1, 4, 5});
    CU_ASSERT_EQUAL(lane_counters(a)->drops[LANE_DROP_TX_REFUSED], 3);
    CU_ASSERT_EQUAL(prepared, 3);

    /* more than the ring takes: what waits is not made ready again, and goes later */
    struct rte_mbuf *frames[burst];
    prepared = 0;
    for (uint32_t key = 0; key < 1200; key++)
        lane_send(a, large_frame(100, key));
    for (uint32_t key = 0; key < 1200;) {
        lane_flush(a);
        uint32_t n = lane_receive(b, frames, burst);
        CU_ASSERT_TRUE_FATAL(n > 0);
        for (uint32_t i = 0; i < n; i++, key++) {
            CU_ASSERT_TRUE(cable_frame_is(frames[i], 100, key));
            rte_pktmbuf_free(frames[i]);
        }
    }
    CU_ASSERT_EQUAL(prepared, 1200);
    ops->tx_pkt_prepare = before;
    lane_free(a);
    lane_free(b);
    cable_close(&c);
    CU_ASSERT_TRUE(cable_frames_back());
}

UNIT_MAIN("nic/offload", UNIT_CASE(negotiates), UNIT_CASE(large_and_copied), UNIT_CASE(made_ready))
