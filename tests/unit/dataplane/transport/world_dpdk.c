/*
 * Two stacks of ours under virtual time, joined by rings: 127.0.0.2 with the transport under test,
 * 127.0.0.1 with bare connections (struct peer), each with a socket's buffers of 64 KiB.
 */
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <string.h>

#include "base/clock.h"
#include "tests/unit/dataplane/transport/world.h"

#define ring_slots  4096
#define packet_bufs 8191
#define peer_bufs   8191
#define peer_buffer 65536
#define first_port  20000
#define step_ns     (20 * CLOCK_NS_PER_US) /* the least that a pass takes */

struct world_dpdk {
    struct dpdk_ports ports[2];
    struct dpdk_transport *server;
    struct dpdk_net *client;
    struct mem client_mem;
    struct rng rng;
    uint32_t rx_before;
    uint32_t tx_bufs; /* rings pass them by pointer: what the app keeps its peers are short of */
};

/* The devices live as long as the process; ports are opened on them for each world. */
static struct rte_ring *rings[2];
static struct world_dpdk *left_over; /* of a test that ended in a failure */

static void devices_once(void)
{
    if (rings[0] != NULL)
        return;
    for (int i = 0; i < 2; i++) {
        char name[32];
        snprintf(name, sizeof name, "world%d", i);
        rings[i] = rte_ring_create(name, ring_slots, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
        CU_ASSERT_PTR_NOT_NULL_FATAL(rings[i]);
    }
    CU_ASSERT_FATAL(rte_eth_from_rings("w0", &rings[0], 1, &rings[1], 1, SOCKET_ID_ANY) >= 0);
    CU_ASSERT_FATAL(rte_eth_from_rings("w1", &rings[1], 1, &rings[0], 1, SOCKET_ID_ANY) >= 0);
}

static void drain(void)
{
    void *m;
    for (int i = 0; i < 2; i++)
        while (rte_ring_dequeue(rings[i], &m) == 0)
            rte_pktmbuf_free(m);
}

/* ---- peers ---- */

static int peer_accepted(void *ctx, struct tcp_conn *c, void *user)
{
    return -1; /* nobody connects to a peer */
}

static void peer_connected(void *ctx, struct tcp_conn *c)
{
}

static void peer_readable(void *ctx, struct tcp_conn *c)
{
}

static void peer_finished(void *ctx, struct tcp_conn *c)
{
    struct peer *p = tcp_user(c);
    if (p != NULL)
        p->tcp_finished = true;
}

static void peer_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
    struct peer *p = tcp_user(c);
    if (p != NULL)
        p->tcp_held -= bytes;
}

static void peer_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    struct peer *p = tcp_user(c);
    if (p == NULL)
        return;
    if (reason == TCP_CLOSE_DONE)
        tcp_recv(c, UINT64_MAX, &p->tcp_rest);
    p->tcp = NULL;
    p->reset |= reason != TCP_CLOSE_DONE;
}

bool peer_dpdk_open(struct world *w, struct peer *p)
{
    struct tcp_tuple to = {0};
    if (w->kind->v6) {
        to.addrs.local.b[15] = 1;
        to.addrs.remote.b[15] = 2;
        to.remote_port = ntohs(((struct sockaddr_in6 *)&w->address)->sin6_port);
    } else {
        to.addrs.local = tcp_addr_v4(0x7f000001);
        to.addrs.remote = tcp_addr_v4(0x7f000002);
        to.remote_port = ntohs(((struct sockaddr_in *)&w->address)->sin_port);
    }
    int err = tcp_connect(dpdk_net_tcp(w->dpdk->client), &to.addrs, 0, to.remote_port, p,
                          w->now_ns + w->skip_ns, &p->tcp);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    tcp_window(p->tcp, peer_buffer);
    return true;
}

size_t peer_dpdk_put(struct peer *p, const uint8_t *bytes, size_t n)
{
    struct chain out = {0};
    if (p->tcp == NULL || p->tcp_held >= peer_buffer)
        return 0;
    size_t room = peer_buffer - p->tcp_held;
    n = n < room ? n : room;
    if (n == 0 || chain_append_bytes(&out, p->w->dpdk->client_mem.tx_pool, bytes, n) < 0)
        return 0;
    p->tcp_held += n;
    tcp_send(p->tcp, &out);
    return n;
}

size_t peer_dpdk_get(struct peer *p, uint8_t *bytes, size_t n)
{
    struct chain in = {0}, *from = p->tcp != NULL ? &in : &p->tcp_rest;
    if (p->tcp != NULL)
        tcp_recv(p->tcp, n, &in);
    size_t got = from->bytes < n ? from->bytes : n;
    chain_copy_out(from, 0, bytes, got);
    chain_consume(from, got);
    if (p->tcp != NULL && got > 0)
        tcp_window(p->tcp, peer_buffer);
    p->ended |= got == 0 && p->tcp_finished;
    return got;
}

void peer_dpdk_close(struct peer *p, bool reset)
{
    chain_free(&p->tcp_rest);
    if (p->tcp == NULL)
        return;
    tcp_set_user(p->tcp, NULL);
    if (reset)
        tcp_abort(p->tcp);
    else
        tcp_close(p->tcp);
    p->tcp = NULL;
}

/* ---- the world ---- */

static void port_up(struct world_dpdk *d, int i, bool v6)
{
    char text[128], why[256];
    snprintf(text, sizeof text, "net_ring_w%d;address=%s%d/%d", i, v6 ? "::" : "127.0.0.", 2 - i,
             v6 ? 64 : 8);
    int err = dpdk_ports_parse(&d->ports[i], text, why, sizeof why);
    if (err == 0)
        err = dpdk_ports_open(&d->ports[i], 1, packet_bufs, why, sizeof why);
    if (err != 0)
        fprintf(stderr, "%s\n", why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
}

void world_dpdk_up(struct world *w)
{
    struct world_dpdk *d = calloc(1, sizeof *d);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    if (left_over != NULL)
        for (int i = 0; i < 2; i++)
            dpdk_ports_close(&left_over->ports[i]);
    w->dpdk = left_over = d;
    devices_once();
    rng_seed(&d->rng, unit_seed());
    for (int i = 0; i < 2; i++)
        port_up(d, i, w->kind->v6);
    d->tx_bufs = w->filter == NULL && w->setup.rx_bufs < 100 ? 1023 : peer_bufs;
    struct mem_plan plan = {
        .shards = 1, .rx_bufs = 15, .tx_bufs = d->tx_bufs, .ref_bufs = peer_bufs, .log_chunks = 1};
    CU_ASSERT_EQUAL_FATAL(mem_init(&d->client_mem, &plan, 1), 0);
    struct dpdk_options server = {
        .ports = &d->ports[0],
        .shards = 1,
        .mem = &w->mem,
        .rng = &d->rng,
        .events = w->filter != NULL ? filter_lower_events(w->filter) : &w->app.events,
        .conn_max = w->setup.conn_max,
        .listen_backlog = 4096,
        .rx_bytes_max = (uint64_t)w->setup.rx_bufs * rx_buffer_bytes,
    };
    w->now_ns = CLOCK_NS_PER_S;
    CU_ASSERT_EQUAL_FATAL(dpdk_transport_new(&d->server, &server, w->now_ns), 0);
    struct dpdk_net_options client = {
        .ports = &d->ports[1],
        .shards = 1,
        .header_pool = d->client_mem.tx_pool,
        .ref_pool = d->client_mem.ref_pool,
        .rng = &d->rng,
        .conn_max = 2 * app_conns_max,
        .rx_bytes_max = 64 * MIB,
        .events = {.accepted = peer_accepted,
                   .connected = peer_connected,
                   .readable = peer_readable,
                   .finished = peer_finished,
                   .sent = peer_sent,
                   .closed = peer_closed},
    };
    CU_ASSERT_EQUAL_FATAL(dpdk_net_new(&d->client, &client, w->now_ns), 0);
    d->rx_before = rte_mempool_avail_count(d->client_mem.tx_pool);
}

void world_dpdk_down(struct world *w)
{
    struct world_dpdk *d = w->dpdk;
    dpdk_transport_free(d->server);
    dpdk_net_free(d->client);
    filter_free(w->filter); /* it holds buffers of the peers: rings pass them on by pointer */
    w->filter = NULL;
    drain();
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(rte_mempool_avail_count(port_pool(d->ports[i].items[0].port, 0)),
                        packet_bufs);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(d->client_mem.tx_pool), d->tx_bufs);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(d->client_mem.ref_pool), peer_bufs);
    mem_fini(&d->client_mem);
    dpdk_ports_close(&d->ports[0]);
    dpdk_ports_close(&d->ports[1]);
    left_over = NULL;
    free(d);
}

void world_dpdk_pass(struct world *w)
{
    struct world_dpdk *d = w->dpdk;
    int64_t now = w->now_ns + w->skip_ns;
    dpdk_net_receive(d->client, now, UINT32_MAX);
    dpdk_net_run(d->client, now, UINT32_MAX);
    dpdk_transport_receive(d->server, now, UINT32_MAX);
    if (w->filter != NULL)
        filter_flush(w->filter, now, UINT32_MAX);
    dpdk_transport_flush(d->server, now, UINT32_MAX);
    bool frames = rte_ring_count(rings[0]) + rte_ring_count(rings[1]) > 0;
    int64_t next = dpdk_transport_deadline(d->server), other = dpdk_net_deadline(d->client);
    next = (other < next ? other : next) - w->skip_ns;
    int64_t least = w->now_ns + step_ns, most = w->now_ns + (frames ? step_ns : CLOCK_NS_PER_MS);
    w->now_ns = next < least ? least : next > most ? most : next;
}

int world_dpdk_listen(struct world *w, const struct sockaddr *address, uint32_t listener,
                      uint16_t *port)
{
    struct sockaddr_storage at = w->address;
    (void)address;
    if (w->kind->v6) {
        ((struct sockaddr_in6 *)&at)->sin6_addr = (struct in6_addr){{{[15] = 2}}};
        ((struct sockaddr_in6 *)&at)->sin6_port = htons(first_port);
    } else {
        ((struct sockaddr_in *)&at)->sin_addr.s_addr = htonl(0x7f000002);
        ((struct sockaddr_in *)&at)->sin_port = htons(first_port);
    }
    w->address = at;
    return dpdk_transport_listen(w->dpdk->server, (struct sockaddr *)&at, listener, port);
}

struct dpdk_transport *world_dpdk_transport(const struct world *w)
{
    return w->dpdk->server;
}

uint32_t world_dpdk_rx_used(const struct world *w)
{
    const struct world_dpdk *d = w->dpdk;
    return d->rx_before - rte_mempool_avail_count(d->client_mem.tx_pool);
}
