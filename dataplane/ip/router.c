/* router: what a router's advertisement changes (RFC 4861, 6.3.4; RFC 4862, 5.5.3). */
#include <string.h>

#include "dataplane/ip/ip_impl.h"

#define option_source 1
#define option_prefix 3
#define option_mtu    5

#define prefix_on_link 0x80
#define prefix_auto    0x40

static const struct ip_addr any;

static int64_t until(const struct ip *ip, uint32_t seconds)
{
    if (seconds == UINT32_MAX)
        return INT64_MAX;
    return ip->now_ns + (int64_t)seconds * CLOCK_NS_PER_S;
}

static void autoconf(struct ip *ip, uint32_t iface, const struct ip_addr *prefix, uint32_t valid)
{
    struct ip_iface *f = &ip->ifaces[iface];
    struct ip_prefix own = {ip_addr_from_mac(prefix, f->o.mac), 64};
    for (uint32_t i = 0; i < f->address_count; i++) {
        struct ip_address *a = &f->addresses[i];
        if (!ip_addr_eq(&a->addr, &own.addr))
            continue;
        if (a->until_ns != INT64_MAX)
            a->until_ns = until(ip, valid);
        return;
    }
    if (valid > 0)
        ip_address_add(ip, iface, &own, until(ip, valid));
}

static void prefix_option(struct ip *ip, uint32_t iface, const uint8_t *p)
{
    uint32_t valid = bytes_get_u32(p + 4);
    struct ip_addr prefix = ip_addr_v6(p + 16);
    uint8_t bits = p[2];
    if (bits > 128 || ip_addr_is_link_local(&prefix) || ip_addr_is_multicast(&prefix) ||
        ip_addr_is_v4(&prefix))
        return;
    if ((p[3] & prefix_on_link) && valid > 0)
        route_add(ip, &prefix, bits, &any, iface, until(ip, valid));
    else if (p[3] & prefix_on_link)
        route_remove(ip, &prefix, bits, &any, iface);
    if ((p[3] & prefix_auto) && bits == 64 && ip->ifaces[iface].o.autoconf)
        autoconf(ip, iface, &prefix, valid);
}

static void mtu_option(struct ip *ip, uint32_t iface, const uint8_t *p)
{
    struct ip_iface *f = &ip->ifaces[iface];
    uint32_t mtu = bytes_get_u32(p + 4);
    if (mtu >= ip_mtu_v6_min && mtu <= f->o.mtu)
        f->mtu = (uint16_t)mtu;
}

void router_input(struct ip *ip, uint32_t iface, const uint8_t *icmp, uint32_t len,
                  const struct ip_addr *src)
{
    struct ip_iface *f = &ip->ifaces[iface];
    if (!f->o.accept_ra || !ip_addr_is_link_local(src))
        return;
    for (uint32_t at = 16; at < len;) { /* all or nothing */
        uint32_t n = len - at >= 2 ? icmp[at + 1] * 8u : 0;
        if (n == 0 || n > len - at) {
            ip->counters.drop_header++;
            return;
        }
        at += n;
    }
    f->solicits_left = 0;
    uint32_t lifetime = bytes_get_u16(icmp + 6);
    if (lifetime > 0)
        route_add(ip, &any, 0, src, iface, until(ip, lifetime));
    else
        route_remove(ip, &any, 0, src, iface);
    for (uint32_t at = 16; at < len; at += icmp[at + 1] * 8u) {
        const uint8_t *p = icmp + at;
        if (p[0] == option_source)
            neighbor_learn(ip, iface, src, p + 2, true);
        else if (p[0] == option_prefix && p[1] == 4)
            prefix_option(ip, iface, p);
        else if (p[0] == option_mtu && p[1] == 1)
            mtu_option(ip, iface, p);
    }
}
