/* icmp: echo, what others say about our segments, and what we say about theirs (RFC 792, 4443). */
#include <string.h>

#include "dataplane/ip/ip_impl.h"
#include "dataplane/nic/checksum.h"

#define v4_echo_reply   0
#define v4_unreachable  3
#define v4_echo         8
#define v4_need_frag    4
#define v6_unreachable  1
#define v6_too_big      2
#define v6_problem      4
#define v6_echo         128
#define v6_echo_reply   129
#define quote_bytes_max 512 /* of a packet that we complain about */

static uint16_t sum_v6(const struct rte_mbuf *m, uint32_t off, uint32_t len,
                       const struct ip_addr *src, const struct ip_addr *dst)
{
    uint64_t sum = checksum_pseudo(src->b, dst->b, 16, proto_icmpv6, len);
    return checksum_end(checksum_mbuf(sum, m, off, len));
}

/* The checksum of an ICMP message that starts m, then its IP header and the way out. */
static void send_icmp(struct ip *ip, struct rte_mbuf *m, const struct ip_addr *src,
                      const struct ip_addr *dst)
{
    uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
    struct ip_way way;
    memset(p + 2, 0, 2);
    if (ip_route(ip, src, dst, &way) < 0) {
        ip_drop(m, &ip->counters.drop_no_route);
        return;
    }
    uint16_t sum;
    if (ip_addr_is_v4(dst)) {
        sum = checksum_end(checksum_mbuf(0, m, 0, m->pkt_len));
        memcpy(p + 2, &sum, 2);
        frame_put_v4(m, src, dst, proto_icmp, 0);
    } else {
        sum = sum_v6(m, 0, m->pkt_len, src, dst);
        memcpy(p + 2, &sum, 2);
        frame_put_v6(m, src, dst, proto_icmpv6, 0, 64);
    }
    neighbor_send(ip, way.iface, src, &way.next_hop, m);
}

static void echo(struct ip *ip, const struct icmp_in *in, uint8_t type)
{
    uint32_t len = in->m->pkt_len - in->icmp_off;
    struct rte_mbuf *m = frame_new(ip, len);
    if (m == NULL)
        return;
    uint8_t *p = frame_append(m, len);
    const void *from = rte_pktmbuf_read(in->m, in->icmp_off, len, p);
    if (from != p)
        memcpy(p, from, len);
    p[0] = type;
    ip->counters.echoes++;
    send_icmp(ip, m, &in->dst, &in->src);
}

/* The tuple of a quoted TCP segment of ours: its ports and sequence number. */
static bool quoted_tcp(const struct ip *ip, const uint8_t *tcp, const struct ip_addr *src,
                       const struct ip_addr *dst, struct ip_packet *out)
{
    if (!ip_is_local(ip, src))
        return false;
    out->local = *src;
    out->remote = *dst;
    out->local_port = bytes_get_u16(tcp);
    out->remote_port = bytes_get_u16(tcp + 2);
    out->seq = bytes_get_u32(tcp + 4);
    return true;
}

static bool quoted_v4(const struct ip *ip, const uint8_t *p, uint32_t len, struct ip_packet *out)
{
    if (len < v4_bytes || p[0] >> 4 != 4 || p[9] != proto_tcp)
        return false;
    uint32_t header = (uint32_t)(p[0] & 15) * 4;
    if (header < v4_bytes || len < header + 8 || (bytes_get_u16(p + 6) & 0x1fff) != 0)
        return false;
    struct ip_addr src = ip_addr_v4(p + 12), dst = ip_addr_v4(p + 16);
    return quoted_tcp(ip, p + header, &src, &dst, out);
}

static bool quoted_v6(const struct ip *ip, const uint8_t *p, uint32_t len, struct ip_packet *out)
{
    if (len < v6_bytes + 8 || p[0] >> 4 != 6 || p[6] != proto_tcp)
        return false;
    struct ip_addr src = ip_addr_v6(p + 8), dst = ip_addr_v6(p + 24);
    return quoted_tcp(ip, p + v6_bytes, &src, &dst, out);
}

enum ip_verdict icmp_input_v4(struct ip *ip, const struct icmp_in *in, struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod_offset(in->m, const uint8_t *, in->icmp_off);
    uint32_t len = in->m->pkt_len - in->icmp_off, here = in->m->data_len - in->icmp_off;
    if (here < 8) {
        ip->counters.drop_short++;
        return IP_DONE;
    }
    if (checksum_fold(checksum_mbuf(0, in->m, in->icmp_off, len)) != 0xffff) {
        ip->counters.drop_checksum++;
        return IP_DONE;
    }
    if (p[0] == v4_echo && ip->o.leader && !ip_addr_is_multicast(&in->dst))
        echo(ip, in, v4_echo_reply);
    if (p[0] != v4_unreachable || !quoted_v4(ip, p + 8, here - 8, out))
        return IP_DONE;
    ip->counters.errors_in++;
    out->mtu = bytes_get_u16(p + 6);
    out->hard = p[1] == 2 || p[1] == 3;
    return p[1] == v4_need_frag ? IP_TOO_BIG : IP_UNREACHABLE;
}

enum ip_verdict icmp_input_v6(struct ip *ip, const struct icmp_in *in, struct ip_packet *out)
{
    const uint8_t *p = rte_pktmbuf_mtod_offset(in->m, const uint8_t *, in->icmp_off);
    uint32_t len = in->m->pkt_len - in->icmp_off, here = in->m->data_len - in->icmp_off;
    if (here < 8) {
        ip->counters.drop_short++;
        return IP_DONE;
    }
    if (sum_v6(in->m, in->icmp_off, len, &in->src, &in->dst) != 0) {
        ip->counters.drop_checksum++;
        return IP_DONE;
    }
    if (p[0] >= 130 && p[0] <= 137)
        nd_input(ip, in->iface, in->m, in->icmp_off, &in->src, &in->dst);
    if (p[0] == v6_echo && ip->o.leader && !ip_addr_is_multicast(&in->dst))
        echo(ip, in, v6_echo_reply);
    if ((p[0] != v6_unreachable && p[0] != v6_too_big) || !quoted_v6(ip, p + 8, here - 8, out))
        return IP_DONE;
    ip->counters.errors_in++;
    out->mtu = bytes_get_u32(p + 4);
    out->hard = p[1] == 4;
    return p[0] == v6_too_big ? IP_TOO_BIG : IP_UNREACHABLE;
}

/* An error about the packet m, which it quotes; `word` is what the type has behind the checksum. */
static void complain(struct ip *ip, const struct rte_mbuf *m, const struct ip_addr *src,
                     const struct ip_addr *dst, uint8_t type, uint8_t code, uint32_t word)
{
    uint32_t quote = m->pkt_len < quote_bytes_max ? m->pkt_len : quote_bytes_max;
    if (ip_addr_is_multicast(dst) || !frame_error_allowed(ip))
        return;
    struct rte_mbuf *e = frame_new(ip, 8 + quote);
    if (e == NULL)
        return;
    uint8_t *p = frame_append(e, 8 + quote);
    p[0] = type;
    p[1] = code;
    bytes_put_u32(p + 4, word);
    const void *from = rte_pktmbuf_read(m, 0, quote, p + 8);
    if (from != p + 8)
        memcpy(p + 8, from, quote);
    ip->counters.errors_out++;
    send_icmp(ip, e, dst, src);
}

void icmp_refuse(struct ip *ip, const struct rte_mbuf *m, const struct ip_addr *src,
                 const struct ip_addr *dst, uint8_t code)
{
    complain(ip, m, src, dst, ip_addr_is_v4(src) ? v4_unreachable : v6_unreachable, code, 0);
}

void icmp_problem(struct ip *ip, const struct rte_mbuf *m, const struct ip_addr *src,
                  const struct ip_addr *dst, uint8_t code, uint32_t pointer)
{
    complain(ip, m, src, dst, v6_problem, code, pointer);
}
