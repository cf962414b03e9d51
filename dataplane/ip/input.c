/* input: from a frame to a TCP segment; everything else is answered or dropped here. */
#include <string.h>

#include "dataplane/ip/ip_impl.h"
#include "dataplane/nic/checksum.h"

static bool bad_source(const struct ip *ip, const struct ip_addr *src)
{
    return ip_addr_is_any(src) || ip_addr_is_multicast(src) || ip_is_local(ip, src);
}

static enum ip_verdict tcp_for_us(struct ip *ip, struct rte_mbuf *m, uint32_t header,
                                  struct ip_packet *out)
{
    rte_pktmbuf_adj(m, (uint16_t)header);
    ip->counters.tcp_in++;
    (void)out;
    return IP_TCP;
}

static enum ip_verdict done(struct rte_mbuf *m, enum ip_verdict v)
{
    rte_pktmbuf_free(m);
    return v;
}

static enum ip_verdict drop(struct rte_mbuf *m, uint64_t *counter)
{
    ip_drop(m, counter);
    return IP_DONE;
}

static bool for_us(const struct ip *ip, uint32_t iface, const struct ip_addr *dst)
{
    return ip_address_of((struct ip_iface *)&ip->ifaces[iface], dst) != NULL;
}

/* ---- IPv4 ---- */

static enum ip_verdict deliver_v4(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                                  uint32_t header, struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    if (p[9] == proto_tcp)
        return tcp_for_us(ip, m, header, out);
    if (p[9] == proto_icmp) {
        struct icmp_in in = {m, iface, header, out->remote, out->local};
        return done(m, icmp_input_v4(ip, &in, out));
    }
    if (ip->o.leader)
        icmp_refuse(ip, m, &out->remote, &out->local, p[9] == proto_udp ? 3 : 2);
    return drop(m, &ip->counters.drop_protocol);
}

static enum ip_verdict piece(struct ip *ip, const struct fragment_in *in, struct ip_packet *out)
{
    out->whole = fragment_input(ip, in);
    return out->whole != NULL ? IP_WHOLE : IP_DONE;
}

static enum ip_verdict piece_v4(struct ip *ip, uint32_t iface, struct rte_mbuf *m, uint32_t header,
                                struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    uint16_t word = bytes_get_u16(p + 6);
    struct fragment_in in = {
        .m = m,
        .src = out->remote,
        .dst = out->local,
        .iface = iface,
        .id = bytes_get_u16(p + 4),
        .header = header,
        .start = header,
        .offset = (word & 0x1fff) * 8u,
        .more = (word & 0x2000) != 0,
        .protocol = p[9],
        .ecn = out->ecn,
    };
    return piece(ip, &in, out);
}

static enum ip_verdict input_v4(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                                struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    if (m->data_len < v4_bytes)
        return drop(m, &ip->counters.drop_short);
    uint32_t header = (uint32_t)(p[0] & 15) * 4, total = bytes_get_u16(p + 2);
    if (p[0] >> 4 != 4 || header < v4_bytes || total < header)
        return drop(m, &ip->counters.drop_header);
    if (m->data_len < header || m->pkt_len < total)
        return drop(m, &ip->counters.drop_short);
    bool checked = (m->ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD &&
                   ip->ifaces[iface].o.rx_checksum;
    if (!checked && checksum_fold(checksum_add_small(0, p, header)) != 0xffff)
        return drop(m, &ip->counters.drop_checksum);
    out->remote = ip_addr_v4(p + 12);
    out->local = ip_addr_v4(p + 16);
    out->ecn = p[1] & 3;
    if (!for_us(ip, iface, &out->local))
        return drop(m, &ip->counters.drop_not_for_us);
    if (bad_source(ip, &out->remote))
        return drop(m, &ip->counters.drop_source);
    frame_cut(m, total);
    if ((bytes_get_u16(p + 6) & 0x3fff) != 0) /* more fragments, or not the first */
        return piece_v4(ip, iface, m, header, out);
    return deliver_v4(ip, iface, m, header, out);
}

/* ---- IPv6 ---- */

static enum ip_verdict piece_v6(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                                const struct upper *up, struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, up->at);
    uint16_t word = bytes_get_u16(p + 2);
    struct fragment_in in = {
        .m = m,
        .src = out->remote,
        .dst = out->local,
        .iface = iface,
        .id = bytes_get_u32(p + 4),
        .header = up->at,
        .start = up->at + 8,
        .next_at = up->next_at,
        .offset = word & 0xfff8,
        .more = (word & 1) != 0,
        .protocol = p[0],
        .ecn = out->ecn,
    };
    return piece(ip, &in, out);
}

static enum ip_verdict deliver_v6(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                                  struct ip_packet *out, bool unicast)
{
    struct upper up;
    if (!upper_find(ip, m, &up))
        return drop(m, up.counter);
    if (up.refused) {
        if (up.tell && (ip->o.leader || up.protocol == proto_tcp)) /* TCP comes to one shard */
            icmp_problem(ip, m, &out->remote, &out->local, up.code, up.pointer);
        return drop(m, up.counter);
    }
    if (up.protocol == next_fragment)
        return unicast ? piece_v6(ip, iface, m, &up, out) : drop(m, &ip->counters.drop_fragment);
    if (up.protocol == proto_icmpv6) {
        struct icmp_in in = {m, iface, up.at, out->remote, out->local};
        return done(m, icmp_input_v6(ip, &in, out));
    }
    if (!unicast)
        return drop(m, &ip->counters.drop_not_for_us);
    if (up.protocol == proto_tcp)
        return tcp_for_us(ip, m, up.at, out);
    if (!ip->o.leader || up.protocol == next_none)
        return drop(m, &ip->counters.drop_protocol);
    if (up.protocol == proto_udp)
        icmp_refuse(ip, m, &out->remote, &out->local, 4);
    else
        icmp_problem(ip, m, &out->remote, &out->local, ICMP_PROBLEM_HEADER, up.next_at);
    return drop(m, &ip->counters.drop_protocol);
}

/* Groups that we are in: all nodes, and the solicited-node groups of our addresses. */
static bool group_of_ours(const struct ip *ip, uint32_t iface, const struct ip_addr *dst)
{
    static const struct ip_addr all_nodes = {{0xff, 0x02, [15] = 1}};
    const struct ip_iface *f = &ip->ifaces[iface];
    if (ip_addr_eq(dst, &all_nodes))
        return true;
    for (uint32_t i = 0; i < f->address_count; i++) {
        struct ip_addr group = ip_addr_solicited(&f->addresses[i].addr);
        if (!ip_addr_is_v4(&f->addresses[i].addr) && ip_addr_eq(dst, &group))
            return true;
    }
    return false;
}

static enum ip_verdict input_v6(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                                struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    if (m->data_len < v6_bytes)
        return drop(m, &ip->counters.drop_short);
    uint32_t total = v6_bytes + bytes_get_u16(p + 4);
    if (p[0] >> 4 != 6)
        return drop(m, &ip->counters.drop_header);
    if (m->pkt_len < total)
        return drop(m, &ip->counters.drop_short);
    out->remote = ip_addr_v6(p + 8);
    out->local = ip_addr_v6(p + 24);
    out->ecn = (p[1] >> 4) & 3;
    bool unicast = for_us(ip, iface, &out->local);
    if (!unicast && !group_of_ours(ip, iface, &out->local))
        return drop(m, &ip->counters.drop_not_for_us);
    /* The unspecified address asks whether an address is taken, and nothing else. */
    if (ip_addr_is_v4(&out->remote) ||
        (bad_source(ip, &out->remote) && (!ip_addr_is_any(&out->remote) || unicast)))
        return drop(m, &ip->counters.drop_source);
    frame_cut(m, total);
    return deliver_v6(ip, iface, m, out, unicast);
}

/* ---- frames ---- */

static bool to_us(const struct ip_iface *f, const uint8_t *dst)
{
    return memcmp(dst, f->o.mac, 6) == 0 || (dst[0] & 1) != 0;
}

enum ip_verdict ip_input(struct ip *ip, uint32_t iface, struct rte_mbuf *m, int64_t now_ns,
                         struct ip_packet *out)
{
    const struct ip_iface *f = &ip->ifaces[iface];
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    uint32_t link = ether_bytes + (f->o.vlan != 0 ? vlan_bytes : 0);
    ip->now_ns = now_ns;
    ip->counters.frames_in++;
    *out = (struct ip_packet){.checksum_good =
                                  f->o.rx_checksum && (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) ==
                                                          RTE_MBUF_F_RX_L4_CKSUM_GOOD};
    if (m->data_len < link)
        return drop(m, &ip->counters.drop_short);
    if (!to_us(f, p))
        return drop(m, &ip->counters.drop_not_for_us);
    bool tagged = bytes_get_u16(p + 12) == ethertype_vlan;
    if (tagged != (f->o.vlan != 0) || (tagged && (bytes_get_u16(p + 14) & 0x0fff) != f->o.vlan))
        return drop(m, &ip->counters.drop_vlan);
    bool multicast_frame = (p[0] & 1) != 0;
    uint16_t type = bytes_get_u16(p + link - 2);
    rte_pktmbuf_adj(m, (uint16_t)link);
    if (type == ethertype_arp) {
        arp_input(ip, iface, m);
        return IP_DONE;
    }
    if (type == ethertype_v4 && !multicast_frame) /* RFC 1122, 3.3.6: no TCP to many */
        return input_v4(ip, iface, m, out);
    if (type == ethertype_v6)
        return input_v6(ip, iface, m, out);
    return drop(m, type == ethertype_v4 ? &ip->counters.drop_not_for_us
                                        : &ip->counters.drop_ethertype);
}
