/* frame: the frames that ip makes itself, and the headers it puts in front of others. */
#include <string.h>

#include "base/check.h"
#include "dataplane/ip/ip_impl.h"
#include "dataplane/nic/checksum.h"

struct rte_mbuf *frame_new(struct ip *ip, uint32_t bytes)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(ip->o.pool);
    if (m != NULL && (rte_pktmbuf_headroom(m) < ip_headroom || rte_pktmbuf_tailroom(m) < bytes)) {
        rte_pktmbuf_free(m);
        m = NULL;
    }
    if (m == NULL)
        ip->counters.drop_no_mbuf++;
    return m;
}

uint8_t *frame_append(struct rte_mbuf *m, uint32_t n)
{
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
    CHECK(p != NULL);
    return memset(p, 0, n);
}

void frame_emit(struct ip *ip, uint32_t iface, struct rte_mbuf *m, const uint8_t dst[6],
                uint16_t ethertype)
{
    const struct ip_iface_options *o = &ip->ifaces[iface].o;
    uint32_t link = ether_bytes + (o->vlan != 0 ? vlan_bytes : 0);
    uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, (uint16_t)link);
    CHECK(p != NULL);
    memcpy(p, dst, 6);
    memcpy(p + 6, o->mac, 6);
    if (o->vlan != 0) {
        bytes_put_u16(p + 12, ethertype_vlan);
        bytes_put_u16(p + 14, o->vlan);
    }
    bytes_put_u16(p + link - 2, ethertype);
    m->l2_len = link;
    ip->o.emit(ip->o.ctx, iface, m);
}

void frame_cut(struct rte_mbuf *m, uint32_t n)
{
    if (m->data_len == n && m->nb_segs == 1) { /* not next: that is in the mbuf's second line */
        m->pkt_len = n;
        return;
    }
    struct rte_mbuf *head = m;
    uint32_t left = n;
    head->pkt_len = n;
    head->nb_segs = 1;
    while (left > m->data_len) {
        left -= m->data_len;
        m = m->next;
        head->nb_segs++;
    }
    struct rte_mbuf *rest = m->next;
    m->data_len = (uint16_t)left;
    m->next = NULL;
    while (rest != NULL) {
        struct rte_mbuf *next = rest->next;
        rte_pktmbuf_free_seg(rest);
        rest = next;
    }
}

void frame_put_v4(struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t protocol, uint8_t tos)
{
    uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, v4_bytes);
    CHECK(p != NULL);
    /* A large segment's length is set by the card for each piece. */
    uint32_t len = m->pkt_len > UINT16_MAX ? UINT16_MAX : m->pkt_len;
    /* Whole words, summed before they are stored: a load over fresh smaller stores waits for them. */
    uint32_t first = __builtin_bswap32(0x45000000u | (uint32_t)tos << 16 | len);
    uint32_t flags = __builtin_bswap32(0x4000); /* never fragmented: identification 0 (RFC 6864) */
    uint32_t third = __builtin_bswap32(64u << 24 | (uint32_t)protocol << 16), from, to;
    memcpy(&from, src->b + 12, 4);
    memcpy(&to, dst->b + 12, 4);
    uint16_t sum = checksum_end((uint64_t)first + flags + third + from + to);
    third |= (uint32_t)sum << 16;
    memcpy(p, &first, 4);
    memcpy(p + 4, &flags, 4);
    memcpy(p + 8, &third, 4);
    memcpy(p + 12, &from, 4);
    memcpy(p + 16, &to, 4);
    m->l3_len = v4_bytes;
}

void frame_put_v6(struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t protocol, uint8_t traffic_class, uint8_t hops)
{
    uint32_t len = m->pkt_len;
    uint8_t *p = (uint8_t *)rte_pktmbuf_prepend(m, v6_bytes);
    CHECK(p != NULL);
    bytes_put_u32(p, 6u << 28 | (uint32_t)traffic_class << 20);
    bytes_put_u16(p + 4, (uint16_t)(len > UINT16_MAX ? UINT16_MAX : len));
    p[6] = protocol;
    p[7] = hops;
    memcpy(p + 8, src->b, 16);
    memcpy(p + 24, dst->b, 16);
    m->l3_len = v6_bytes;
}

bool frame_error_allowed(struct ip *ip)
{
    int64_t second = ip->now_ns / CLOCK_NS_PER_S;
    if (second != ip->error_second) {
        ip->error_second = second;
        ip->errors_sent = 0;
    }
    if (ip->errors_sent == ip_errors_per_second) {
        ip->counters.drop_error_rate++;
        return false;
    }
    ip->errors_sent++;
    return true;
}
