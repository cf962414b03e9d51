/* route: which way a packet goes, and how large it may be there. The tables are small: walked. */
#include "base/err.h"
#include "dataplane/ip/ip_impl.h"

int route_add(struct ip *ip, const struct ip_addr *prefix, uint32_t bits,
              const struct ip_addr *gateway, uint32_t iface, int64_t until_ns)
{
    route_remove(ip, prefix, bits, gateway, iface);
    if (ip->route_count == ip_routes_max)
        return ERR_FULL;
    ip->routes[ip->route_count++] = (struct ip_route_entry){
        .prefix = *prefix, .bits = bits, .gateway = *gateway, .iface = iface, .until_ns = until_ns};
    ip_changed(ip);
    ip_due(ip, until_ns);
    return 0;
}

void route_remove(struct ip *ip, const struct ip_addr *prefix, uint32_t bits,
                  const struct ip_addr *gateway, uint32_t iface)
{
    for (uint32_t i = 0; i < ip->route_count; i++) {
        const struct ip_route_entry *r = &ip->routes[i];
        if (r->bits != bits || r->iface != iface || !ip_addr_in(&r->prefix, prefix, bits) ||
            !ip_addr_eq(&r->gateway, gateway))
            continue;
        ip->routes[i] = ip->routes[--ip->route_count];
        ip_changed(ip);
        return;
    }
}

int64_t route_expire(struct ip *ip)
{
    int64_t next = INT64_MAX;
    for (uint32_t i = 0; i < ip->route_count;) {
        struct ip_route_entry *r = &ip->routes[i];
        if (r->until_ns <= ip->now_ns) {
            *r = ip->routes[--ip->route_count];
            ip_changed(ip);
            continue;
        }
        next = r->until_ns < next ? r->until_ns : next;
        i++;
    }
    return next;
}

/* The longest prefix, on an interface that has `local` if that is given. */
static const struct ip_route_entry *best(const struct ip *ip, const struct ip_addr *local,
                                         const struct ip_addr *remote)
{
    const struct ip_route_entry *found = NULL;
    for (uint32_t i = 0; i < ip->route_count; i++) {
        const struct ip_route_entry *r = &ip->routes[i];
        if ((found != NULL && r->bits <= found->bits) || !ip_addr_in(remote, &r->prefix, r->bits))
            continue;
        struct ip_iface *f = (struct ip_iface *)&ip->ifaces[r->iface];
        if (local == NULL || ip_address_of(f, local) != NULL)
            found = r;
    }
    return found;
}

static uint32_t path_slot(const struct ip_addr *remote)
{
    uint64_t a = bytes_get_u64(remote->b), b = bytes_get_u64(remote->b + 8);
    return (uint32_t)(((a ^ b) * 0x9E3779B97F4A7C15u) >> 32) % ip_path_mtus_max;
}

static uint16_t path_mtu(const struct ip *ip, const struct ip_addr *remote, uint16_t mtu)
{
    if (ip->path_mtu_count == 0)
        return mtu;
    const struct path_mtu *p = &ip->path_mtus[path_slot(remote)];
    bool known = p->until_ns > ip->now_ns && ip_addr_eq(&p->remote, remote);
    return known && p->mtu < mtu ? p->mtu : mtu;
}

void ip_learn_mtu(struct ip *ip, const struct ip_addr *remote, uint32_t mtu, int64_t now_ns)
{
    uint32_t least = ip_addr_is_v4(remote) ? ip_mtu_v4_min : ip_mtu_v6_min;
    mtu = mtu < least ? least : mtu > UINT16_MAX ? UINT16_MAX : mtu;
    ip->now_ns = now_ns;
    ip->path_mtu_count++;
    ip->path_mtus[path_slot(remote)] = (struct path_mtu){
        .remote = *remote, .mtu = (uint16_t)mtu, .until_ns = now_ns + path_mtu_ns};
}

/* Of the subnet that r leads to directly; one of two addresses has none (RFC 3021). */
static bool is_broadcast(const struct ip_route_entry *r, const struct ip_addr *remote)
{
    if (!ip_addr_is_v4(remote) || !ip_addr_is_any(&r->gateway) || r->bits < 96 || r->bits > 126)
        return false;
    uint32_t hosts = UINT32_MAX >> (r->bits - 96);
    return (bytes_get_u32(remote->b + 12) & hosts) == hosts;
}

int ip_route(const struct ip *ip, const struct ip_addr *local, const struct ip_addr *remote,
             struct ip_way *out)
{
    const struct ip_route_entry *r = best(ip, local, remote);
    if (r == NULL || ip_addr_is_multicast(remote) || ip_addr_is_any(remote) ||
        is_broadcast(r, remote))
        return ERR_NOT_FOUND;
    *out = (struct ip_way){
        .iface = r->iface,
        .mtu = path_mtu(ip, remote, ip->ifaces[r->iface].mtu),
        .next_hop = ip_addr_is_any(&r->gateway) ? *remote : r->gateway,
    };
    return 0;
}

/* The usable address that shares most with remote: a longer common prefix is nearer. */
int ip_source(const struct ip *ip, const struct ip_addr *remote, struct ip_addr *out)
{
    const struct ip_route_entry *r = best(ip, NULL, remote);
    const struct ip_address *found = NULL;
    uint32_t most = 0;
    if (r == NULL)
        return ERR_NOT_FOUND;
    const struct ip_iface *f = &ip->ifaces[r->iface];
    for (uint32_t i = 0; i < f->address_count; i++) {
        const struct ip_address *a = &f->addresses[i];
        if (a->tentative || a->duplicate || ip_addr_is_v4(&a->addr) != ip_addr_is_v4(remote) ||
            ip_addr_is_link_local(&a->addr) != ip_addr_is_link_local(remote))
            continue;
        uint32_t bits = 1;
        while (bits <= 128 && ip_addr_in(&a->addr, remote, bits))
            bits++;
        if (found == NULL || bits > most) {
            found = a;
            most = bits;
        }
    }
    if (found == NULL)
        return ERR_NOT_FOUND;
    *out = found->addr;
    return 0;
}
