#include "dataplane/nic/offload.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/nic/port.h"
#include "dataplane/nic/steer.h"

#define tx_checksum_flags (RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM)
#define rx_checksum_flags (RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM)
#define rss_flags         (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP)

static bool has(uint64_t set, uint64_t flags)
{
    return (set & flags) == flags;
}

uint64_t offload_offered(const struct rte_eth_dev_info *info)
{
    uint64_t set = 0;
    if (has(info->tx_offload_capa, tx_checksum_flags))
        set |= port_tx_checksum;
    if (has(info->rx_offload_capa, rx_checksum_flags))
        set |= port_rx_checksum;
    if (has(info->tx_offload_capa,
            tx_checksum_flags | RTE_ETH_TX_OFFLOAD_TCP_TSO | RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
        set |= port_tso;
    if (has(info->tx_offload_capa, RTE_ETH_TX_OFFLOAD_MULTI_SEGS))
        set |= port_scatter;
    bool key = info->hash_key_size == 0 || info->hash_key_size >= steer_key_bytes;
    if ((info->flow_type_rss_offloads & rss_flags) != 0 && info->reta_size >= steer_table && key)
        set |= port_rss;
    return set;
}

uint64_t offload_negotiate(uint64_t asked, uint64_t offered, const struct quirks *q)
{
    uint64_t set = asked & offered & ~(q != NULL ? q->no_offloads : 0);
    if (!has(set, port_tx_checksum | port_scatter))
        set &= ~port_tso; /* large segments are chains, and their checksums the card's */
    return set;
}

void offload_configure(uint64_t negotiated, const struct rte_eth_dev_info *info,
                       struct rte_eth_conf *conf)
{
    if (negotiated & port_tx_checksum)
        conf->txmode.offloads |= tx_checksum_flags;
    if (negotiated & port_tso)
        conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_TCP_TSO;
    if (negotiated & port_scatter)
        conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    if (negotiated & port_rx_checksum)
        conf->rxmode.offloads |= rx_checksum_flags;
    if (negotiated & port_rss) {
        conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf->rx_adv_conf.rss_conf.rss_hf = info->flow_type_rss_offloads & rss_flags;
    }
}

struct rte_mbuf *offload_linear(const struct rte_mbuf *frame, struct rte_mempool *pool)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    if (m == NULL || rte_pktmbuf_tailroom(m) < frame->pkt_len) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    uint8_t *to = rte_pktmbuf_mtod(m, uint8_t *);
    for (const struct rte_mbuf *seg = frame; seg != NULL; seg = seg->next) {
        memcpy(to, rte_pktmbuf_mtod(seg, const void *), seg->data_len);
        to += seg->data_len;
    }
    m->data_len = (uint16_t)frame->pkt_len;
    m->pkt_len = frame->pkt_len;
    m->ol_flags |= frame->ol_flags & RTE_MBUF_F_TX_OFFLOAD_MASK;
    m->tx_offload = frame->tx_offload;
    return m;
}

void offload_text(uint64_t set, char *out, size_t size)
{
    static const char *const names[] = {"tx-checksum", "rx-checksum", "tso", "scatter", "rss"};
    size_t used = 0;
    snprintf(out, size, "none");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && used < size; i++)
        if (set >> i & 1)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", names[i]);
}
