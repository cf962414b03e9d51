/* How connections come to be: listening, and active opens. */
#include <netinet/in.h>
#include <string.h>

#include "base/err.h"
#include "dataplane/transport/dpdk_internal.h"

/* ::, 0.0.0.0 and their IPv4-mapped form all mean any. ERR_INVALID: another family. */
static int from_sockaddr(const struct sockaddr *a, struct tcp_addr *addr, uint16_t *port)
{
    static const struct tcp_addr any;
    if (a->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)a;
        *addr = tcp_addr_v4(ntohl(in->sin_addr.s_addr));
        if (in->sin_addr.s_addr == htonl(INADDR_ANY))
            *addr = any;
        *port = ntohs(in->sin_port);
        return 0;
    }
    if (a->sa_family != AF_INET6)
        return ERR_INVALID;
    const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)a;
    memcpy(addr->b, &in->sin6_addr, sizeof(addr->b));
    *port = ntohs(in->sin6_port);
    return 0;
}

void dpdk_peer_of(const struct tcp_tuple *tuple, struct sockaddr_storage *out)
{
    const uint8_t *b = tuple->addrs.remote.b;
    memset(out, 0, sizeof(*out));
    if (tcp_addr_is_v4(&tuple->addrs.remote)) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(tuple->remote_port);
        memcpy(&in->sin_addr, b + 12, 4);
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)out;
        in->sin6_family = AF_INET6;
        in->sin6_port = htons(tuple->remote_port);
        memcpy(&in->sin6_addr, b, 16);
    }
}

/* Also one that is still being checked for duplicates: it will be ours. */
static bool ours(const struct dpdk_transport *t, const struct tcp_addr *a)
{
    static const struct tcp_addr any;
    if (memcmp(a, &any, sizeof(any)) == 0)
        return true;
    for (uint32_t i = 0; i < t->o.ports->count; i++) {
        const struct dpdk_port *p = &t->o.ports->items[i];
        for (uint32_t k = 0; k < p->address_count; k++)
            if (memcmp(p->addresses[k].addr.b, a->b, sizeof(a->b)) == 0)
                return true;
    }
    struct ip_addr made; /* one that we made from a router's prefix */
    memcpy(made.b, a->b, sizeof(made.b));
    return ip_is_local(dpdk_net_ip(t->net), &made);
}

int dpdk_transport_listen(struct dpdk_transport *t, const struct sockaddr *address,
                          uint32_t listener, uint16_t *port)
{
    struct dpdk_listener *l = &t->listeners[t->listener_count];
    if (t->listener_count == dpdk_listeners_max)
        return ERR_FULL;
    *l = (struct dpdk_listener){.number = listener};
    int err = from_sockaddr(address, &l->addr, &l->port);
    if (!err && l->port == 0)
        err = ERR_INVALID;
    if (!err && !ours(t, &l->addr))
        err = ERR_NOT_FOUND;
    if (!err)
        err = tcp_listen(t->tcp, &l->addr, l->port, t->o.listen_backlog, l);
    if (err)
        return err;
    t->listener_count++;
    *port = l->port;
    return 0;
}

void dpdk_transport_stop_listening(struct dpdk_transport *t)
{
    for (uint32_t i = 0; i < t->listener_count; i++)
        tcp_unlisten(t->tcp, &t->listeners[i].addr, t->listeners[i].port);
    t->listener_count = 0;
}

int dpdk_transport_connect(struct dpdk_transport *t, const struct sockaddr *address, void *user,
                           struct tconn **out)
{
    struct tcp_addrs addrs;
    struct ip_addr remote, local;
    uint16_t port;
    int err = from_sockaddr(address, &addrs.remote, &port);
    if (err)
        return err;
    memcpy(remote.b, addrs.remote.b, sizeof(remote.b));
    if (ip_is_local(dpdk_net_ip(t->net), &remote))
        local = remote;
    else if ((err = ip_source(dpdk_net_ip(t->net), &remote, &local)) < 0)
        return err;
    memcpy(addrs.local.b, local.b, sizeof(addrs.local.b));
    if (t->counters.open >= t->o.conn_max)
        return ERR_FULL;
    struct dpdk_conn *c = dpdk_conn_take(t);
    err = c == NULL ? ERR_FULL : tcp_connect(t->tcp, &addrs, 0, port, c, t->now_ns, &c->tcp);
    if (err) {
        if (c != NULL)
            dpdk_conn_release(c);
        return err;
    }
    c->state = DPDK_CONNECTING;
    c->head.user = user;
    memcpy(&c->head.peer, address,
           address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                         : sizeof(struct sockaddr_in6));
    t->more = true;
    *out = &c->head;
    return 0;
}
