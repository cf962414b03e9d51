/* ip: the stack as a whole: interfaces, addresses, what is due, what goes out. */
#include "dataplane/ip/ip.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/ip/ip_impl.h"

static const struct ip_addr any;

int ip_new(struct ip **out, const struct ip_options *o)
{
    struct ip *ip = calloc(1, sizeof(*ip));
    if (ip == NULL)
        return ERR_NO_MEMORY;
    ip->o = *o;
    if (ip->o.neighbors_max == 0)
        ip->o.neighbors_max = ip_neighbors_default;
    ip->next_ns = INT64_MAX;
    ip->generation = 1;
    ip->path_mtus = calloc(ip_path_mtus_max, sizeof(*ip->path_mtus));
    if (ip->path_mtus == NULL || fragments_init(ip) < 0 || neighbor_init(ip) < 0) {
        ip_free(ip);
        return ERR_NO_MEMORY;
    }
    *out = ip;
    return 0;
}

void ip_free(struct ip *ip)
{
    if (ip == NULL)
        return;
    neighbor_fini(ip);
    fragments_fini(ip);
    free(ip->path_mtus);
    free(ip);
}

/* ---- addresses ---- */

struct ip_address *ip_address_of(struct ip_iface *f, const struct ip_addr *a)
{
    for (uint32_t i = 0; i < f->address_count; i++)
        if (ip_addr_eq(&f->addresses[i].addr, a) && !f->addresses[i].tentative &&
            !f->addresses[i].duplicate)
            return &f->addresses[i];
    return NULL;
}

bool ip_is_local(const struct ip *ip, const struct ip_addr *a)
{
    for (uint32_t i = 0; i < ip->iface_count; i++)
        if (ip_address_of((struct ip_iface *)&ip->ifaces[i], a) != NULL)
            return true;
    return false;
}

/* Every shard waits out the detection; the leader alone asks. */
static void address_begin(struct ip *ip, uint32_t iface, struct ip_address *a)
{
    bool v4 = ip_addr_is_v4(&a->addr);
    ip_changed(ip);
    a->tentative = !v4 && ip->o.dad_transmits > 0;
    a->left = (uint8_t)(a->tentative ? ip->o.dad_transmits : announce_count);
    a->next_ns = ip->now_ns;
    ip_due(ip, a->next_ns);
    if (!v4 && ip->o.leader) {
        struct ip_addr group = ip_addr_solicited(&a->addr);
        nd_join(ip, iface, &group);
    }
}

int ip_address_add(struct ip *ip, uint32_t iface, const struct ip_prefix *p, int64_t until_ns)
{
    struct ip_iface *f = &ip->ifaces[iface];
    if (f->address_count == ip_addresses_max)
        return ERR_FULL;
    int err = route_add(ip, &p->addr, p->bits, &any, iface, until_ns);
    if (err)
        return err;
    struct ip_address *a = &f->addresses[f->address_count++];
    *a = (struct ip_address){.addr = p->addr, .bits = p->bits, .until_ns = until_ns};
    address_begin(ip, iface, a);
    return 0;
}

static void address_expire(struct ip *ip, struct ip_iface *f)
{
    for (uint32_t i = 0; i < f->address_count;) {
        if (f->addresses[i].until_ns > ip->now_ns) {
            ip_due(ip, f->addresses[i++].until_ns);
            continue;
        }
        f->addresses[i] = f->addresses[--f->address_count];
        ip_changed(ip);
    }
}

static void address_step(struct ip *ip, uint32_t iface, struct ip_address *a)
{
    if (a->next_ns > ip->now_ns) {
        ip_due(ip, a->next_ns);
        return;
    }
    if (a->left == 0) { /* the last question stayed unanswered */
        a->next_ns = INT64_MAX;
        if (!a->tentative)
            return;
        a->tentative = false;
        ip_changed(ip);
        if (ip->o.leader)
            nd_announce(ip, iface, &a->addr);
        return;
    }
    a->left--;
    a->next_ns = ip->now_ns + (a->tentative ? neighbor_retry_ns : announce_ns);
    ip_due(ip, a->next_ns);
    if (!ip->o.leader)
        return;
    if (a->tentative)
        nd_ask(ip, iface, &any, &a->addr, NULL);
    else if (ip_addr_is_v4(&a->addr))
        arp_announce(ip, iface, &a->addr);
    else
        nd_announce(ip, iface, &a->addr);
}

void ip_announce(struct ip *ip, uint32_t iface, int64_t now_ns)
{
    struct ip_iface *f = &ip->ifaces[iface];
    ip->now_ns = now_ns;
    for (uint32_t i = 0; i < f->address_count; i++)
        if (!f->addresses[i].duplicate)
            address_begin(ip, iface, &f->addresses[i]);
}

/* ---- interfaces ---- */

static bool has_v6(const struct ip_iface_options *o)
{
    for (uint32_t i = 0; i < o->address_count; i++)
        if (!ip_addr_is_v4(&o->addresses[i].addr))
            return true;
    return o->accept_ra || o->autoconf;
}

static bool reached(const struct ip_iface_options *o, const struct ip_addr *gateway)
{
    if (ip_addr_is_link_local(gateway))
        return has_v6(o);
    for (uint32_t i = 0; i < o->address_count; i++)
        if (ip_addr_in(gateway, &o->addresses[i].addr, o->addresses[i].bits))
            return true;
    return false;
}

static bool sound(const struct ip_iface_options *o)
{
    bool v6 = has_v6(o);
    if ((o->address_count == 0 && !o->autoconf) || o->address_count > ip_addresses_max - 4)
        return false;
    for (uint32_t i = 0; i < o->address_count; i++)
        if (ip_addr_is_any(&o->addresses[i].addr) || ip_addr_is_multicast(&o->addresses[i].addr))
            return false;
    for (uint32_t i = 0; i < 2; i++)
        if (!ip_addr_is_any(&o->gateways[i]) && !reached(o, &o->gateways[i]))
            return false;
    return o->mtu >= (v6 ? ip_mtu_v6_min : 576) && o->vlan < 4095;
}

static int iface_fill(struct ip *ip, uint32_t index, const struct ip_iface_options *o)
{
    static const struct ip_addr link_local = {{0xfe, 0x80}};
    int err = 0;
    if (has_v6(o)) {
        struct ip_prefix own = {ip_addr_from_mac(&link_local, o->mac), 64};
        err = ip_address_add(ip, index, &own, INT64_MAX);
    }
    for (uint32_t i = 0; i < o->address_count && !err; i++)
        err = ip_address_add(ip, index, &o->addresses[i], INT64_MAX);
    for (uint32_t i = 0; i < 2 && !err; i++) {
        struct ip_addr zero = any;
        bool v4 = ip_addr_is_v4(&o->gateways[i]);
        if (v4)
            zero = ip_addr_v4("\0\0\0");
        if (!ip_addr_is_any(&o->gateways[i]))
            err = route_add(ip, &zero, v4 ? 96 : 0, &o->gateways[i], index, INT64_MAX);
    }
    return err;
}

int ip_add_iface(struct ip *ip, const struct ip_iface_options *o, int64_t now_ns, uint32_t *index)
{
    if (!sound(o))
        return ERR_INVALID;
    if (ip->iface_count == ip_ifaces_max)
        return ERR_FULL;
    struct ip_iface *f = &ip->ifaces[ip->iface_count];
    *f = (struct ip_iface){.o = *o, .mtu = o->mtu, .solicit_ns = INT64_MAX};
    f->o.addresses = NULL;
    ip->now_ns = now_ns;
    int err = iface_fill(ip, ip->iface_count, o);
    if (err)
        return err;
    if (o->accept_ra) {
        f->solicits_left = router_solicits_max;
        f->solicit_ns = now_ns;
    }
    *index = ip->iface_count++;
    return 0;
}

/* ---- time ---- */

static void solicit_step(struct ip *ip, uint32_t iface)
{
    struct ip_iface *f = &ip->ifaces[iface];
    if (f->solicits_left == 0)
        return;
    if (f->solicit_ns <= ip->now_ns) {
        f->solicits_left--;
        f->solicit_ns = ip->now_ns + router_solicit_ns;
        if (ip->o.leader)
            nd_solicit_router(ip, iface);
    }
    if (f->solicits_left > 0)
        ip_due(ip, f->solicit_ns);
}

void ip_run(struct ip *ip, int64_t now_ns)
{
    ip->now_ns = now_ns;
    if (now_ns < ip->next_ns)
        return;
    ip->next_ns = INT64_MAX;
    for (uint32_t i = 0; i < ip->iface_count; i++) {
        struct ip_iface *f = &ip->ifaces[i];
        address_expire(ip, f);
        for (uint32_t k = 0; k < f->address_count; k++)
            address_step(ip, i, &f->addresses[k]);
        solicit_step(ip, i);
    }
    fragments_run(ip);
    neighbor_run(ip);
    ip_due(ip, route_expire(ip));
}

int64_t ip_next_deadline(const struct ip *ip)
{
    return ip->next_ns;
}

/* ---- output ---- */

static void ask_card(struct rte_mbuf *m, const struct ip_segment *s, bool v4)
{
    m->l4_len = s->tcp_header;
    m->ol_flags |= RTE_MBUF_F_TX_TCP_CKSUM;
    /* The card fills the IPv4 checksum of each piece, and wants the field to be zero. */
    m->ol_flags |= v4 ? RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM : RTE_MBUF_F_TX_IPV6;
    if (s->mss != 0) {
        m->ol_flags |= RTE_MBUF_F_TX_TCP_SEG;
        m->tso_segsz = s->mss;
    }
    if (v4)
        memset(rte_pktmbuf_mtod_offset(m, uint8_t *, 10), 0, 2);
}

static uint32_t found_slot(const struct ip_segment *s)
{
    uint32_t a, b;
    memcpy(&a, s->local.b + 12, 4);
    memcpy(&b, s->remote.b + 12, 4);
    return ((a ^ b) * 0x9E3779B1u) >> 26;
}
_Static_assert(ip_found_max == 1 << (32 - 26), "the slot's bits");

/* The way out as ip_route says it, from the last time if nothing has changed. NULL: none. */
static const struct ip_found *way_out(struct ip *ip, const struct ip_segment *s)
{
    struct ip_found *f = &ip->found[found_slot(s)];
    struct ip_way way;
    if (f->generation == ip->generation && ip_addr_eq(&f->remote, &s->remote) &&
        ip_addr_eq(&f->local, &s->local))
        return f;
    if (ip_route(ip, &s->local, &s->remote, &way) < 0)
        return NULL;
    *f = (struct ip_found){s->local, s->remote, way.next_hop, way.iface, ip->generation};
    return f;
}

void ip_output(struct ip *ip, struct rte_mbuf *m, const struct ip_segment *s, int64_t now_ns)
{
    bool v4 = ip_addr_is_v4(&s->remote);
    ip->now_ns = now_ns;
    const struct ip_found *way = way_out(ip, s);
    if (way == NULL) {
        ip_drop(m, &ip->counters.drop_no_route);
        return;
    }
    CHECK(rte_pktmbuf_headroom(m) >= ip_headroom);
    if (v4)
        frame_put_v4(m, &s->local, &s->remote, proto_tcp, s->ecn);
    else
        frame_put_v6(m, &s->local, &s->remote, proto_tcp, s->ecn, 64);
    if (s->checksum_offload)
        ask_card(m, s, v4);
    ip->counters.segments_out++;
    neighbor_send(ip, way->iface, &s->local, &way->next_hop, m);
}

const struct ip_counters *ip_counters(const struct ip *ip)
{
    return &ip->counters;
}
