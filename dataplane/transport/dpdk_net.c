#include "dataplane/transport/dpdk_net.h"

#include <poll.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "dataplane/nic/steer.h"

#define link_check_ns CLOCK_NS_PER_S
#define pieces_each   64 /* unacknowledged pieces for each connection, on average */
#define pieces_max    262144
#define pieces_min    16384

_Static_assert(sizeof(struct ip_addr) == sizeof(struct tcp_addr), "one form of address");

/* A port of this shard, and the wait for its descriptor. */
struct net_port {
    struct ring_req poll; /* first */
    struct dpdk_net *net;
    struct lane *lane;
    uint32_t iface;
    bool readable, armed;
    bool link_up;
};

struct dpdk_net {
    struct dpdk_net_options o;
    struct net_port ports[port_count_max];
    uint32_t port_count;
    struct ip *ip;
    struct tcp *tcp;
    int64_t now_ns, traffic_ns, link_ns;
    struct rte_mbuf *loop[dpdk_loop_max];
    struct tcp_addrs loop_addrs[dpdk_loop_max];
    uint32_t loop_first, loop_count;
    uint64_t loop_drops;
    bool freeing;
};

static struct ip_addr to_ip(const struct tcp_addr *a)
{
    struct ip_addr out;
    memcpy(out.b, a->b, sizeof(out.b));
    return out;
}

static struct tcp_addr to_tcp(const struct ip_addr *a)
{
    struct tcp_addr out;
    memcpy(out.b, a->b, sizeof(out.b));
    return out;
}

/* ---- what tcp asks and sends ---- */

/* To ourselves: comes back with the next receive. */
static void loop_put(struct dpdk_net *n, struct rte_mbuf *m, const struct tcp_addrs *addrs)
{
    if (n->loop_count == dpdk_loop_max) {
        n->loop_drops++;
        rte_pktmbuf_free(m);
        return;
    }
    uint32_t at = (n->loop_first + n->loop_count++) % dpdk_loop_max;
    n->loop[at] = m;
    n->loop_addrs[at] = (struct tcp_addrs){.local = addrs->remote, .remote = addrs->local};
}

static void on_emit(void *ctx, struct rte_mbuf *segment, const struct tcp_out *out)
{
    struct dpdk_net *n = ctx;
    struct ip_segment s = {
        .local = to_ip(&out->addrs.local),
        .remote = to_ip(&out->addrs.remote),
        .ecn = out->ecn,
        .tcp_header = out->header_len,
        .mss = out->mss,
        .checksum_offload = out->checksum_offload,
    };
    if (ip_is_local(n->ip, &s.remote))
        loop_put(n, segment, &out->addrs);
    else
        ip_output(n->ip, segment, &s, n->now_ns);
}

static int on_route(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out)
{
    struct dpdk_net *n = ctx;
    struct ip_addr local = to_ip(&addrs->local), remote = to_ip(&addrs->remote);
    struct ip_way way;
    int err = ip_route(n->ip, &local, &remote, &way);
    if (err)
        return err;
    const struct port_report *r = port_report(lane_port(n->ports[way.iface].lane));
    *out = (struct tcp_route){.mtu = way.mtu};
    if (ip_is_local(n->ip, &remote))
        return 0;
    out->tso_max = r->tso_max;
    out->checksum_offload = (r->negotiated & port_tx_checksum) != 0;
    return 0;
}

static bool on_owns(void *ctx, const struct tcp_addrs *addrs, uint16_t local_port,
                    uint16_t remote_port)
{
    struct dpdk_net *n = ctx;
    size_t skip = tcp_addr_is_v4(&addrs->local) ? 12 : 0;
    uint32_t hash = steer_hash(addrs->local.b + skip, addrs->remote.b + skip, 16 - skip,
                               __builtin_bswap16(local_port), __builtin_bswap16(remote_port));
    return steer_owner(hash, n->o.shards) == n->o.shard;
}

static void on_frame(void *ctx, uint32_t iface, struct rte_mbuf *frame)
{
    struct dpdk_net *n = ctx;
    struct lane *l = n->ports[iface].lane;
    if (lane_room(l) < lane_pending_max / 2)
        lane_flush(l);
    lane_send(l, frame);
}

/* ---- events, passed on: tcp knows one context ---- */

static int pass_accepted(void *ctx, struct tcp_conn *c, void *listener_user)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    return h->accepted(h->ctx, c, listener_user);
}

static void pass_connected(void *ctx, struct tcp_conn *c)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    h->connected(h->ctx, c);
}

static void pass_readable(void *ctx, struct tcp_conn *c)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    h->readable(h->ctx, c);
}

static void pass_finished(void *ctx, struct tcp_conn *c)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    h->finished(h->ctx, c);
}

static void pass_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    h->sent(h->ctx, c, bytes);
}

static void pass_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    const struct tcp_hooks *h = &((struct dpdk_net *)ctx)->o.events;
    h->closed(h->ctx, c, reason);
}

/* ---- frames in ---- */

static void take_frame(struct dpdk_net *n, struct net_port *p, struct rte_mbuf *m)
{
    struct ip_packet in;
    enum ip_verdict v = ip_input(n->ip, p->iface, m, n->now_ns, &in);
    while (v == IP_WHOLE) {
        m = in.whole;
        if (lane_pass(p->lane, m))
            return;
        v = ip_input(n->ip, p->iface, m, n->now_ns, &in);
    }
    if (v == IP_DONE)
        return;
    struct tcp_addrs addrs = {to_tcp(&in.local), to_tcp(&in.remote)};
    if (v == IP_TCP) {
        uint32_t flags = in.ecn | (in.checksum_good ? TCP_IN_CHECKSUM_GOOD : 0);
        tcp_input(n->tcp, &addrs, m, flags, n->now_ns);
    } else if (v == IP_TOO_BIG) {
        tcp_icmp_too_big(n->tcp, &addrs, in.local_port, in.remote_port, in.seq, in.mtu, n->now_ns);
    } else {
        tcp_icmp_unreachable(n->tcp, &addrs, in.local_port, in.remote_port, in.seq, in.hard,
                             n->now_ns);
    }
}

static void poll_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct net_port *p = (struct net_port *)req;
    (void)cqe_flags;
    p->armed = false;
    p->readable = res != -ECANCELED;
}

static bool by_descriptor(const struct net_port *p)
{
    return p->net->o.ring != NULL && lane_fd(p->lane) >= 0;
}

/* The descriptor is watched once it has been read empty. */
static void watch(struct net_port *p)
{
    p->readable = false;
    if (p->armed || p->net->freeing)
        return;
    struct io_uring_sqe *sqe = ring_sqe(p->net->o.ring, &p->poll);
    io_uring_prep_poll_add(sqe, lane_fd(p->lane), POLLIN);
    p->armed = true;
}

static uint32_t receive_port(struct dpdk_net *n, struct net_port *p, uint32_t budget)
{
    struct rte_mbuf *frames[lane_burst_max];
    uint32_t done = 0;
    bool waits = by_descriptor(p);
    if (waits && !p->readable && !lane_has_handover(p->lane)) {
        if (!p->armed)
            watch(p);
        return 0;
    }
    do {
        uint32_t room = budget - done < lane_burst_max ? budget - done : lane_burst_max;
        uint32_t got = lane_receive(p->lane, frames, room);
        for (uint32_t i = 0; i < got; i++)
            take_frame(n, p, frames[i]);
        done += got;
    } while (lane_more(p->lane) && done < budget);
    if (waits && p->readable && !lane_more(p->lane))
        watch(p);
    return done;
}

static uint32_t receive_loop(struct dpdk_net *n)
{
    uint32_t count = n->loop_count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = n->loop_first;
        struct tcp_addrs addrs = n->loop_addrs[at];
        n->loop_first = (at + 1) % dpdk_loop_max;
        n->loop_count--;
        tcp_input(n->tcp, &addrs, n->loop[at], TCP_IN_CHECKSUM_GOOD, n->now_ns);
    }
    return count;
}

uint32_t dpdk_net_receive(struct dpdk_net *n, int64_t now_ns, uint32_t budget)
{
    n->now_ns = now_ns;
    uint32_t done = receive_loop(n);
    for (uint32_t i = 0; i < n->port_count; i++) {
        lane_now(n->ports[i].lane, now_ns);
        done += receive_port(n, &n->ports[i], budget);
    }
    if (done > 0)
        n->traffic_ns = now_ns;
    return done;
}

/* ---- out, and time ---- */

/* A port that comes up again says who we are: switches and neighbours may have forgotten. */
static void check_links(struct dpdk_net *n)
{
    n->link_ns = n->now_ns + link_check_ns;
    for (uint32_t i = 0; i < n->port_count; i++) {
        struct net_port *p = &n->ports[i];
        struct port_link link;
        port_link(lane_port(p->lane), &link);
        if (link.up == p->link_up)
            continue;
        p->link_up = link.up;
        log_info("nic", "%s: link %s", port_report(lane_port(p->lane))->device,
                 link.up ? "up" : "down");
        if (link.up)
            ip_announce(n->ip, p->iface, n->now_ns);
    }
}

bool dpdk_net_run(struct dpdk_net *n, int64_t now_ns, uint32_t budget)
{
    n->now_ns = now_ns;
    bool more = tcp_run(n->tcp, now_ns, budget);
    ip_run(n->ip, now_ns);
    if (n->o.shard == 0 && now_ns >= n->link_ns)
        check_links(n);
    for (uint32_t i = 0; i < n->port_count; i++) {
        struct lane *l = n->ports[i].lane;
        if (lane_flush(l) > 0)
            n->traffic_ns = now_ns;
        more |= lane_waits(l);
    }
    return more || n->loop_count > 0;
}

void dpdk_net_send(struct dpdk_net *n)
{
    for (uint32_t i = 0; i < n->port_count; i++)
        lane_flush(n->ports[i].lane);
}

int64_t dpdk_net_deadline(const struct dpdk_net *n)
{
    int64_t tcp = tcp_next_deadline(n->tcp), ip = ip_next_deadline(n->ip);
    int64_t next = tcp < ip ? tcp : ip;
    return n->o.shard == 0 && n->link_ns < next ? n->link_ns : next;
}

int64_t dpdk_net_nap(struct dpdk_net *n, int64_t now_ns)
{
    int64_t nap = INT64_MAX;
    for (uint32_t i = 0; i < n->port_count; i++) {
        struct net_port *p = &n->ports[i];
        if (lane_has_handover(p->lane) || p->readable)
            return 0;
        if (lane_has_queue(p->lane) && !by_descriptor(p))
            nap = now_ns - n->traffic_ns < dpdk_nap_quiet_ns ? dpdk_nap_ns_min : dpdk_nap_ns_max;
    }
    return nap;
}

/* ---- making ---- */

static int tcp_make(struct dpdk_net *n, int64_t now_ns)
{
    struct tcp_options t;
    uint64_t pieces = (uint64_t)n->o.conn_max * pieces_each;
    tcp_options_default(&t);
    t.hooks = (struct tcp_hooks){
        .emit = on_emit,
        .route = on_route,
        .owns = n->o.shards > 1 ? on_owns : NULL,
        .accepted = pass_accepted,
        .connected = pass_connected,
        .readable = pass_readable,
        .finished = pass_finished,
        .sent = pass_sent,
        .closed = pass_closed,
        .ctx = n,
    };
    t.header_pool = n->o.header_pool;
    t.ref_pool = n->o.ref_pool;
    t.rng = n->o.rng;
    rng_fill(n->o.rng, t.secret, sizeof(t.secret));
    t.conns_max = n->o.conn_max;
    t.rx_memory_max = n->o.rx_bytes_max;
    pieces = pieces > pieces_max ? pieces_max : pieces;
    t.descriptors_max = pieces < pieces_min ? pieces_min : (uint32_t)pieces;
    return tcp_new(&t, now_ns, &n->tcp);
}

static int port_make(struct dpdk_net *n, const struct dpdk_port *from, int64_t now_ns)
{
    struct net_port *p = &n->ports[n->port_count];
    struct lane_options lo = {
        .port = from->port, .shard = n->o.shard, .wake = n->o.wake, .ctx = n->o.wake_ctx};
    const struct port_report *r = port_report(from->port);
    struct ip_iface_options fo = {
        .mtu = r->mtu,
        .vlan = from->vlan,
        .checksum_offload = (r->negotiated & port_tx_checksum) != 0,
        .rx_checksum = (r->negotiated & port_rx_checksum) != 0,
        .accept_ra = from->accept_ra,
        .autoconf = from->autoconf,
        .reassemble = !from->drop_fragments,
        .addresses = from->addresses,
        .address_count = from->address_count,
        .gateways = {from->gateways[0], from->gateways[1]},
    };
    memcpy(fo.mac, r->mac, sizeof(fo.mac));
    *p = (struct net_port){.poll.done = poll_done, .net = n, .link_up = true, .readable = true};
    int err = lane_new(&p->lane, &lo);
    if (err)
        return err;
    n->port_count++;
    return ip_add_iface(n->ip, &fo, now_ns, &p->iface);
}

int dpdk_net_new(struct dpdk_net **out, const struct dpdk_net_options *o, int64_t now_ns)
{
    struct dpdk_net *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return ERR_NO_MEMORY;
    n->o = *o;
    n->now_ns = n->traffic_ns = now_ns;
    n->link_ns = now_ns + link_check_ns;
    struct ip_options io = {
        .pool = port_pool(o->ports->items[0].port, 0),
        .rng = o->rng,
        .leader = o->shard == 0,
        .dad_transmits = o->dad_transmits,
        .emit = on_frame,
        .ctx = n,
    };
    int err = ip_new(&n->ip, &io);
    if (!err)
        err = tcp_make(n, now_ns);
    for (uint32_t i = 0; i < o->ports->count && !err; i++)
        err = port_make(n, &o->ports->items[i], now_ns);
    if (err) {
        dpdk_net_free(n);
        return err;
    }
    *out = n;
    return 0;
}

static void polls_cancel(struct dpdk_net *n)
{
    bool alive = n->o.ring != NULL && n->o.ring->wake_fd >= 0;
    for (uint32_t i = 0; alive && i < n->port_count; i++) {
        struct net_port *p = &n->ports[i];
        if (!p->armed)
            continue;
        io_uring_prep_poll_remove(ring_sqe(n->o.ring, NULL), (uint64_t)(uintptr_t)&p->poll);
        while (p->armed) {
            ring_park(n->o.ring, CLOCK_NS_PER_MS);
            ring_reap(n->o.ring, UINT32_MAX);
        }
    }
}

void dpdk_net_free(struct dpdk_net *n)
{
    if (n == NULL)
        return;
    n->freeing = true;
    polls_cancel(n);
    tcp_free(n->tcp);
    ip_free(n->ip);
    for (uint32_t i = 0; i < n->loop_count; i++)
        rte_pktmbuf_free(n->loop[(n->loop_first + i) % dpdk_loop_max]);
    for (uint32_t i = 0; i < n->port_count; i++)
        lane_free(n->ports[i].lane);
    free(n);
}

struct tcp *dpdk_net_tcp(struct dpdk_net *n)
{
    return n->tcp;
}

const struct ip *dpdk_net_ip(const struct dpdk_net *n)
{
    return n->ip;
}

struct lane *dpdk_net_lane(struct dpdk_net *n, uint32_t port)
{
    return n->ports[port].lane;
}
