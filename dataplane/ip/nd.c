/* nd: neighbour discovery for IPv6 (RFC 4861, 4862) and membership reports (RFC 3810). */
#include <string.h>

#include "dataplane/ip/ip_impl.h"
#include "dataplane/nic/checksum.h"

#define type_query          130 /* multicast listener query */
#define type_report         143 /* version 2 */
#define type_solicit_router 133
#define type_router         134
#define type_solicit        135
#define type_advert         136

#define option_source 1
#define option_target 2

#define flag_router    0x80
#define flag_solicited 0x40
#define flag_override  0x20

#define message_bytes 24 /* NS and NA without options */
#define option_bytes  8

static const struct ip_addr all_nodes = {{0xff, 0x02, [15] = 1}};
static const struct ip_addr all_routers = {{0xff, 0x02, [15] = 2}};
static const struct ip_addr all_mld_routers = {{0xff, 0x02, [15] = 0x16}};
static const struct ip_addr any;

static void multicast_mac(const struct ip_addr *a, uint8_t mac[6])
{
    mac[0] = mac[1] = 0x33;
    memcpy(mac + 2, a->b + 12, 4);
}

/* m starts at the ICMPv6 header, checksum zero. */
static void send_message(struct ip *ip, uint32_t iface, struct rte_mbuf *m,
                         const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *mac)
{
    uint8_t multicast[6];
    uint8_t *p = rte_pktmbuf_mtod(m, uint8_t *);
    uint64_t sum = checksum_pseudo(src->b, dst->b, 16, proto_icmpv6, m->pkt_len);
    uint16_t field = checksum_end(checksum_mbuf(sum, m, 0, m->pkt_len));
    memcpy(p + 2, &field, 2);
    frame_put_v6(m, src, dst, proto_icmpv6, 0, 255);
    if (mac == NULL) {
        multicast_mac(dst, multicast);
        mac = multicast;
    }
    ip->counters.nd_out++;
    frame_emit(ip, iface, m, mac, ethertype_v6);
}

/* Type, flags, target and (unless it is 0) the option with our MAC address. */
static struct rte_mbuf *message(struct ip *ip, uint32_t iface, uint8_t type, uint8_t flags,
                                const struct ip_addr *target, uint8_t option)
{
    struct rte_mbuf *m = frame_new(ip, message_bytes + option_bytes);
    if (m == NULL)
        return NULL;
    uint16_t len = option != 0 ? message_bytes + option_bytes : message_bytes;
    uint8_t *p = frame_append(m, len);
    p[0] = type;
    p[4] = flags;
    memcpy(p + 8, target->b, 16);
    if (option != 0) {
        p[message_bytes] = option;
        p[message_bytes + 1] = 1;
        memcpy(p + message_bytes + 2, ip->ifaces[iface].o.mac, 6);
    }
    return m;
}

void nd_ask(struct ip *ip, uint32_t iface, const struct ip_addr *from, const struct ip_addr *to,
            const uint8_t *mac)
{
    bool dad = ip_addr_is_any(from);
    struct ip_addr group = ip_addr_solicited(to);
    struct rte_mbuf *m = message(ip, iface, type_solicit, 0, to, dad ? 0 : option_source);
    if (m != NULL)
        send_message(ip, iface, m, from, mac != NULL ? to : &group, mac);
}

void nd_announce(struct ip *ip, uint32_t iface, const struct ip_addr *a)
{
    struct rte_mbuf *m = message(ip, iface, type_advert, flag_override, a, option_target);
    if (m != NULL)
        send_message(ip, iface, m, a, &all_nodes, NULL);
}

void nd_solicit_router(struct ip *ip, uint32_t iface)
{
    struct rte_mbuf *m = frame_new(ip, 8);
    if (m == NULL)
        return;
    uint8_t *p = frame_append(m, 8);
    p[0] = type_solicit_router;
    send_message(ip, iface, m, &any, &all_routers, NULL);
}

/* One record, "change to exclude nothing": a join. Behind a hop-by-hop header with router alert. */
void nd_join(struct ip *ip, uint32_t iface, const struct ip_addr *group)
{
    enum { report = 28, hop = 8 };
    static const uint8_t alert[hop] = {proto_icmpv6, 0, 5, 2, 0, 0, 1, 0};
    struct rte_mbuf *m = frame_new(ip, report);
    if (m == NULL)
        return;
    uint8_t *p = frame_append(m, report);
    p[0] = type_report;
    p[7] = 1;
    p[8] = 4;
    memcpy(p + 12, group->b, 16);
    uint64_t sum = checksum_pseudo(any.b, all_mld_routers.b, 16, proto_icmpv6, report);
    uint16_t field = checksum_end(checksum_mbuf(sum, m, 0, report));
    memcpy(p + 2, &field, 2);
    memcpy(rte_pktmbuf_prepend(m, hop), alert, hop);
    frame_put_v6(m, &any, &all_mld_routers, 0, 0, 1);
    uint8_t mac[6];
    multicast_mac(&all_mld_routers, mac);
    ip->counters.nd_out++;
    frame_emit(ip, iface, m, mac, ethertype_v6);
}

/* The MAC address in an option, or NULL. False in *good: the options are broken. */
static const uint8_t *find_option(const uint8_t *p, uint32_t len, uint8_t kind, bool *good)
{
    const uint8_t *found = NULL;
    for (uint32_t at = 0; at < len;) {
        uint32_t n = len - at >= 2 ? p[at + 1] * 8u : 0;
        if (n == 0 || n > len - at) {
            *good = false;
            return NULL;
        }
        if (p[at] == kind)
            found = p + at + 2;
        at += n;
    }
    return found;
}

static void duplicate(struct ip *ip, struct ip_address *a)
{
    char text[IP_ADDR_TEXT_MAX];
    ip_addr_text(&a->addr, text);
    a->tentative = false;
    a->duplicate = true;
    ip_changed(ip);
    a->next_ns = INT64_MAX;
    ip->counters.conflicts++;
    if (ip->o.leader)
        log_error("ip", "address %s is in use by somebody else: not used here", text);
}

static void solicited(struct ip *ip, uint32_t iface, const uint8_t *p, uint32_t len,
                      const struct ip_addr *src)
{
    bool good = true;
    struct ip_addr target = ip_addr_v6(p + 8);
    const uint8_t *mac = find_option(p + message_bytes, len - message_bytes, option_source, &good);
    struct ip_address *a = NULL;
    for (uint32_t i = 0; i < ip->ifaces[iface].address_count; i++)
        if (ip_addr_eq(&ip->ifaces[iface].addresses[i].addr, &target))
            a = &ip->ifaces[iface].addresses[i];
    if (!good || a == NULL || a->duplicate)
        return;
    if (a->tentative) { /* somebody else tries it, too (RFC 4862, 5.4.3) */
        if (ip_addr_is_any(src))
            duplicate(ip, a);
        return;
    }
    if (mac != NULL && !ip_addr_is_any(src))
        neighbor_learn(ip, iface, src, mac, true);
    if (!ip->o.leader)
        return;
    bool to_all = ip_addr_is_any(src);
    uint8_t flags = to_all ? flag_override : flag_override | flag_solicited;
    struct rte_mbuf *m = message(ip, iface, type_advert, flags, &target, option_target);
    struct neighbor *n = to_all ? NULL : neighbor_find(ip, iface, src);
    if (m == NULL)
        return;
    if (to_all || (n != NULL && n->state != NEIGHBOR_INCOMPLETE))
        send_message(ip, iface, m, &target, to_all ? &all_nodes : src, to_all ? NULL : n->mac);
    else
        rte_pktmbuf_free(m);
}

static void advertised(struct ip *ip, uint32_t iface, const uint8_t *p, uint32_t len)
{
    bool good = true;
    struct ip_addr target = ip_addr_v6(p + 8);
    const uint8_t *mac = find_option(p + message_bytes, len - message_bytes, option_target, &good);
    struct ip_iface *f = &ip->ifaces[iface];
    if (!good)
        return;
    for (uint32_t i = 0; i < f->address_count; i++) {
        struct ip_address *a = &f->addresses[i];
        if (!ip_addr_eq(&a->addr, &target))
            continue;
        if (a->tentative)
            duplicate(ip, a);
        else
            ip->counters.conflicts++;
        return;
    }
    struct neighbor *n = neighbor_find(ip, iface, &target);
    bool override = (p[4] & flag_override) != 0;
    if (n == NULL)
        return;
    if (mac != NULL && (override || n->state == NEIGHBOR_INCOMPLETE || memcmp(mac, n->mac, 6) == 0))
        neighbor_learn(ip, iface, &target, mac, false);
    else if (mac == NULL && n->state != NEIGHBOR_INCOMPLETE)
        neighbor_learn(ip, iface, &target, n->mac, false);
}

void nd_input(struct ip *ip, uint32_t iface, const struct rte_mbuf *m, uint32_t icmp_off,
              const struct ip_addr *src, const struct ip_addr *dst)
{
    const uint8_t *start = rte_pktmbuf_mtod(m, const uint8_t *), *p = start + icmp_off;
    uint32_t len = m->data_len - icmp_off;
    (void)dst;
    ip->counters.nd_in++;
    if (p[0] == type_query) {
        for (uint32_t i = 0; ip->o.leader && i < ip->ifaces[iface].address_count; i++) {
            const struct ip_addr *a = &ip->ifaces[iface].addresses[i].addr;
            struct ip_addr group = ip_addr_solicited(a);
            if (!ip_addr_is_v4(a))
                nd_join(ip, iface, &group);
        }
        return;
    }
    /* From off the link such a message cannot have its 255 hops any more. */
    if (start[7] != 255 || p[1] != 0 || m->data_len != m->pkt_len) {
        ip->counters.drop_header++;
        return;
    }
    if (p[0] == type_router && len >= 16)
        router_input(ip, iface, p, len, src);
    else if (p[0] == type_solicit && len >= message_bytes)
        solicited(ip, iface, p, len, src);
    else if (p[0] == type_advert && len >= message_bytes)
        advertised(ip, iface, p, len);
}
