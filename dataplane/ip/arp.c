/* arp: RFC 826, with the announcements and the defence of RFC 5227. */
#include <string.h>

#include "dataplane/ip/ip_impl.h"

#define arp_bytes   28
#define arp_request 1
#define arp_reply   2

static void send_arp(struct ip *ip, uint32_t iface, uint16_t op, const struct ip_addr *from,
                     const struct ip_addr *to, const uint8_t *to_mac)
{
    struct rte_mbuf *m = frame_new(ip, arp_bytes);
    if (m == NULL)
        return;
    uint8_t *p = frame_append(m, arp_bytes);
    bytes_put_u16(p, 1); /* Ethernet */
    bytes_put_u16(p + 2, ethertype_v4);
    p[4] = 6;
    p[5] = 4;
    bytes_put_u16(p + 6, op);
    memcpy(p + 8, ip->ifaces[iface].o.mac, 6);
    memcpy(p + 14, from->b + 12, 4);
    if (to_mac != NULL)
        memcpy(p + 18, to_mac, 6);
    memcpy(p + 24, to->b + 12, 4);
    ip->counters.arp_out++;
    frame_emit(ip, iface, m, to_mac != NULL ? to_mac : mac_broadcast, ethertype_arp);
}

void arp_ask(struct ip *ip, uint32_t iface, const struct ip_addr *from, const struct ip_addr *to,
             const uint8_t *mac)
{
    send_arp(ip, iface, arp_request, from, to, mac);
}

void arp_announce(struct ip *ip, uint32_t iface, const struct ip_addr *a)
{
    send_arp(ip, iface, arp_request, a, a, NULL);
}

static void conflict(struct ip *ip, uint32_t iface, struct ip_address *a, const uint8_t *mac)
{
    char text[IP_ADDR_TEXT_MAX];
    ip->counters.conflicts++;
    if (!ip->o.leader)
        return;
    ip_addr_text(&a->addr, text);
    if (log_limit_pass(&ip->log_limit, ip->now_ns, NULL))
        log_warn("ip", "address %s is also used by %02x:%02x:%02x:%02x:%02x:%02x", text, mac[0],
                 mac[1], mac[2], mac[3], mac[4], mac[5]);
    if (a->defended_ns != 0 && ip->now_ns - a->defended_ns < defend_ns)
        return;
    a->defended_ns = ip->now_ns;
    arp_announce(ip, iface, &a->addr);
}

void arp_input(struct ip *ip, uint32_t iface, struct rte_mbuf *m)
{
    struct ip_iface *f = &ip->ifaces[iface];
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    ip->counters.arp_in++;
    if (m->data_len < arp_bytes || bytes_get_u16(p) != 1 || bytes_get_u16(p + 2) != ethertype_v4 ||
        p[4] != 6 || p[5] != 4) {
        ip_drop(m, &ip->counters.drop_header);
        return;
    }
    uint16_t op = bytes_get_u16(p + 6);
    struct ip_addr sender = ip_addr_v4(p + 14), target = ip_addr_v4(p + 24);
    const uint8_t *mac = p + 8;
    bool ours = memcmp(mac, f->o.mac, 6) == 0;
    struct ip_address *same = ip_address_of(f, &sender), *wanted = ip_address_of(f, &target);
    if (same != NULL && !ours) {
        conflict(ip, iface, same, mac);
    } else if (!ours && !ip_addr_is_any(&sender) && !ip_addr_is_multicast(&sender)) {
        neighbor_learn(ip, iface, &sender, mac, wanted != NULL);
    }
    if (op == arp_request && wanted != NULL && same == NULL && !ours && ip->o.leader)
        send_arp(ip, iface, arp_reply, &wanted->addr, &sender, mac);
    rte_pktmbuf_free(m);
}
