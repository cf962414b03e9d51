#include "tests/tcp/world.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/tcp/info.h"
#include "dataplane/tcp/wire.h"

#define PORT_SERVER 9092
#define PORT_CLIENT 40000

uint8_t world_byte(int host, int pair, uint64_t at)
{
    return (uint8_t)(at * 131 + (at >> 8) * 7 + (at >> 16) + (uint64_t)host * 89 +
                     (uint64_t)pair * 17);
}

void world_pools_make(struct world_pools *p, uint32_t bufs)
{
    uint16_t room = RTE_PKTMBUF_HEADROOM;
    p->rx = rte_pktmbuf_pool_create("rx", bufs, 0, 0, (uint16_t)(room + 2048), SOCKET_ID_ANY);
    p->tx = rte_pktmbuf_pool_create("tx", bufs, 0, 0, (uint16_t)(room + 2048), SOCKET_ID_ANY);
    p->header =
        rte_pktmbuf_pool_create("header", bufs, 0, 0, (uint16_t)(room + 384), SOCKET_ID_ANY);
    p->ref = rte_pktmbuf_pool_create("ref", bufs, 0, 0, 0, SOCKET_ID_ANY);
    CHECK(p->rx && p->tx && p->header && p->ref);
}

static void count_pools(const struct world_pools *p, unsigned out[4])
{
    out[0] = rte_mempool_avail_count(p->rx);
    out[1] = rte_mempool_avail_count(p->tx);
    out[2] = rte_mempool_avail_count(p->header);
    out[3] = rte_mempool_avail_count(p->ref);
}

/* --- the watcher ------------------------------------------------------------------------------------------ */

static int pair_of(const struct world *w, const struct tcp_seg *s)
{
    uint16_t port = s->src >= PORT_CLIENT ? s->src : s->dst;
    int pair = port - PORT_CLIENT;
    return pair >= 0 && pair < w->pairs ? pair : -1;
}

static void watch_payload(struct world *w, int host, int pair, const struct tcp_seg *s,
                          const uint8_t *payload)
{
    struct world_flow *f = &w->flow[host][pair];
    if (s->payload == 0)
        return;
    uint32_t at = s->seq - (f->iss + 1);
    CHECK(f->seen_syn && at + s->payload <= w->host[host].app[pair].to_send);
    for (uint32_t i = 0; i < s->payload; i++)
        CHECK(payload[i] == world_byte(host, pair, (uint64_t)at + i));
    CHECK(f->any_heard && seq_le(s->seq + s->payload, f->edge_heard)); /* never beyond the window */
    f->bytes += s->payload;
}

static void watch_ack(struct world_flow *f, const struct tcp_seg *s)
{
    if (!(s->flags & TCP_ACK) || s->flags & TCP_RST)
        return;
    uint32_t unit = s->flags & TCP_SYN || !f->scaled ? 0 : f->scale;
    uint32_t edge = s->ack + ((uint32_t)s->window << unit);
    if (f->any_given) {
        CHECK(seq_ge(s->ack, f->ack_sent));                /* RCV.NXT never goes back */
        CHECK(seq_gt(edge + (1u << unit), f->edge_given)); /* nor the edge, but for rounding */
    }
    f->edge_given = f->any_given ? seq_max(edge, f->edge_given) : edge;
    f->ack_sent = s->ack;
    f->any_given = true;
}

static void trace(const struct world *w, int host, const struct tcp_seg *s, const char *what)
{
    printf("%12.6f %s host %d %5u>%5u %c%c%c%c seq %u ack %u win %u len %u sacks %u\n",
           (double)w->now / 1e9, what, host, s->src, s->dst, s->flags & TCP_SYN ? 'S' : '.',
           s->flags & TCP_FIN ? 'F' : '.', s->flags & TCP_RST ? 'R' : '.',
           s->flags & TCP_ACK ? 'A' : '.', s->seq, s->ack, s->window, s->payload, s->sacks);
    for (uint32_t i = 0; i < s->sacks; i++)
        printf("%25s[%u, %u)\n", "", s->sack[i].start, s->sack[i].end);
}

static void watch(void *ctx, int host, const struct net_packet *p)
{
    struct world *w = ctx;
    struct tcp_seg s;
    CHECK(tcp_wire_parse(p->bytes, p->len, p->len, &s) == 0);
    if (w->trace)
        trace(w, host, &s, "out");
    CHECK(p->len + (tcp_addr_is_v4(&p->addrs.local) ? 20 : 40) <= w->host[host].route.mtu);
    int pair = pair_of(w, &s);
    if (pair < 0)
        return;
    struct world_flow *f = &w->flow[host][pair];
    if (s.flags & TCP_SYN) {
        CHECK(!f->seen_syn || f->iss == s.seq || !w->host[host].app[pair].open);
        if (f->seen_syn && f->iss != s.seq) {
            f->iss_before = f->iss;
            f->two_iss = true;
        }
        f->seen_syn = true;
        f->iss = s.seq;
        f->scale = s.has_scale ? s.scale : 0;
    } else if (!(s.flags & TCP_RST) && !f->begun) { /* the peer has chosen one of two numbers */
        f->begun = true;
        if (f->two_iss && s.seq - f->iss_before <= w->host[host].app[pair].to_send + 1)
            f->iss = f->iss_before;
    }
    watch_payload(w, host, pair, &s, p->bytes + s.header);
    watch_ack(f, &s);
}

/* What a host hears decides what it may send. */
static void heard(struct world *w, int host, const struct net_packet *p)
{
    struct tcp_seg s;
    if (tcp_wire_parse(p->bytes, p->len, p->len, &s) < 0)
        return;
    if (w->trace && p->bad)
        trace(w, host, &s, "bad");
    if (p->bad)
        return;
    if (w->trace)
        trace(w, host, &s, " in");
    int pair = pair_of(w, &s);
    if (pair < 0)
        return;
    struct world_flow *mine = &w->flow[host][pair], *peer = &w->flow[!host][pair];
    if (s.flags & TCP_SYN && s.has_scale && !mine->syn_heard) { /* both must have offered it */
        mine->scaled = peer->scaled = true;
    } else if (s.flags & TCP_SYN && !s.has_scale) {
        mine->scaled = peer->scaled = false;
    }
    mine->syn_heard |= (s.flags & TCP_SYN) != 0;
    if (!(s.flags & TCP_ACK) && !(s.flags & TCP_SYN && mine->seen_syn))
        return;
    uint32_t base = s.flags & TCP_ACK ? s.ack : mine->iss + 1;
    uint32_t edge =
        base + ((uint32_t)s.window << (s.flags & TCP_SYN || !peer->scaled ? 0 : peer->scale));
    mine->edge_heard = mine->any_heard ? seq_max(edge, mine->edge_heard) : edge;
    mine->any_heard = true;
}

/* --- applications ------------------------------------------------------------------------------------------- */

static bool chunk_of(struct world *w, struct world_app *a, uint64_t n, struct chain *out)
{
    for (uint64_t done = 0; done < n;) {
        uint32_t piece = 1 + (uint32_t)rng_below(&w->rng, a->piece);
        if (piece > n - done)
            piece = (uint32_t)(n - done);
        struct rte_mbuf *m = rte_pktmbuf_alloc(w->pools->tx);
        if (m == NULL)
            return false;
        uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)piece);
        for (uint32_t i = 0; i < piece; i++)
            p[i] = world_byte(a->host->index, a->pair, a->queued + done + i);
        chain_append(out, m);
        done += piece;
    }
    return true;
}

static void app_end(struct world_app *a)
{
    if (!a->shut && a->queued == a->to_send && (a->close_early || a->finished)) {
        a->shut = true;
        tcp_shutdown(a->conn);
    }
    if (a->finished && a->shut && tcp_readable(a->conn) == 0 && !a->closed)
        tcp_close(a->conn);
}

static void app_send(struct world *w, struct world_app *a)
{
    if (!a->open || a->closed || w->now < a->next_send)
        return;
    while (a->queued < a->to_send && a->queued - a->acked < a->queue_max) {
        uint64_t n = 1 + rng_below(&w->rng, a->chunk);
        if (n > a->to_send - a->queued)
            n = a->to_send - a->queued;
        struct chain out = {0};
        if (!chunk_of(w, a, n, &out)) {
            chain_free(&out);
            a->next_send = w->now + 1000000; /* the pool is empty */
            break;
        }
        a->queued += n;
        tcp_send(a->conn, &out);
        if (a->send_pause > 0) {
            a->next_send = w->now + (int64_t)rng_below(&w->rng, (uint64_t)a->send_pause + 1);
            break;
        }
    }
    app_end(a);
}

static void app_read(struct world *w, struct world_app *a)
{
    if (!a->open || a->closed || !a->want_read || w->now < a->next_read)
        return;
    struct chain in = {0};
    uint64_t max = a->read_max > 0 ? 1 + rng_below(&w->rng, a->read_max) : UINT64_MAX;
    uint64_t got = tcp_recv(a->conn, max, &in);
    CHECK(got == in.bytes);
    for (struct rte_mbuf *m = in.head; m != NULL; m = m->next) {
        const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
        for (uint32_t i = 0; i < m->data_len; i++)
            CHECK(p[i] == world_byte(!a->host->index, a->pair, a->received + i));
        a->received += m->data_len;
    }
    chain_free(&in);
    CHECK(a->received <= a->host->world->host[!a->host->index].app[a->pair].to_send);
    a->want_read = tcp_readable(a->conn) > 0;
    a->next_read =
        a->read_pause > 0 ? w->now + (int64_t)rng_below(&w->rng, (uint64_t)a->read_pause + 1) : 0;
    tcp_window(a->conn, a->window);
    app_end(a);
}

static void start_app(struct world_app *a, struct tcp_conn *c)
{
    a->conn = c;
    a->open = true;
    tcp_set_user(c, a);
    tcp_window(c, a->window);
    if (a->keepalive)
        tcp_keepalive(c, 2000000000, 1000000000, 200);
    tcp_nagle(c, a->nagle);
    app_send(a->host->world, a);
}

static int on_accepted(void *ctx, struct tcp_conn *c, void *listener_user)
{
    struct world_host *h = ctx;
    CHECK(listener_user == h);
    struct tcp_tuple t = tcp_tuple(c);
    CHECK(t.local_port == PORT_SERVER);
    int pair = t.remote_port - PORT_CLIENT;
    CHECK(pair >= 0 && pair < h->world->pairs && !h->app[pair].open);
    start_app(&h->app[pair], c);
    return 0;
}

static void on_connected(void *ctx, struct tcp_conn *c)
{
    start_app(tcp_user(c), c);
}

static void on_readable(void *ctx, struct tcp_conn *c)
{
    struct world_app *a = tcp_user(c);
    a->want_read = true;
    app_read(a->host->world, a);
}

static void on_finished(void *ctx, struct tcp_conn *c)
{
    struct world_app *a = tcp_user(c);
    CHECK(!a->finished);
    a->finished = true;
    app_end(a);
}

static void on_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
    struct world_app *a = tcp_user(c);
    a->acked += bytes;
    CHECK(a->acked <= a->queued);
    app_send(a->host->world, a);
}

static void on_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    struct world_app *a = tcp_user(c);
    CHECK(!a->closed);
    a->closed = true;
    a->reason = (int)reason;
    a->conn = NULL;
}

static void on_emit(void *ctx, struct rte_mbuf *m, const struct tcp_out *out)
{
    struct world_host *h = ctx;
    net_send(&h->world->net, h->index, m, out, h->world->now);
}

static int on_route(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out)
{
    *out = ((struct world_host *)ctx)->route;
    return 0;
}

/* --- the world ------------------------------------------------------------------------------------------------ */

void world_init(struct world *w, struct world_pools *pools, uint64_t seed)
{
    memset(w, 0, sizeof *w);
    rng_seed(&w->rng, seed);
    w->pools = pools;
    w->pairs = 1;
    w->now = 1000000000;
    count_pools(pools, w->avail);
    net_init(&w->net, &w->rng);
    w->net.watch = watch;
    w->net.ctx = w;
    for (int i = 0; i < 2; i++) {
        struct tcp_options *o = &w->options[i];
        o->hooks = (struct tcp_hooks){on_emit,     on_route,    NULL,    on_accepted, on_connected,
                                      on_readable, on_finished, on_sent, on_closed,   &w->host[i]};
        o->header_pool = pools->header;
        o->ref_pool = pools->ref;
        o->rng = &w->rng;
        tcp_options_default(o);
        o->conns_max = o->syns_max = o->time_waits_max = world_pairs_max;
        o->listeners_max = 2;
        o->descriptors_max = 16384;
        rng_fill(&w->rng, o->secret, sizeof o->secret);
        w->host[i] = (struct world_host){.world = w, .index = i, .route = {.mtu = 1500}};
        for (int k = 0; k < world_pairs_max; k++)
            w->host[i].app[k] = (struct world_app){.chunk = 16384,
                                                   .piece = 2048,
                                                   .queue_max = 256 << 10,
                                                   .window = 256 << 10,
                                                   .close_early = true,
                                                   .host = &w->host[i],
                                                   .pair = k};
    }
}

static struct tcp_addrs addrs_of(int host)
{
    struct tcp_addr a = tcp_addr_v4(0x0a000001), b = tcp_addr_v4(0x0a000002);
    return host == 0 ? (struct tcp_addrs){a, b} : (struct tcp_addrs){b, a};
}

void world_start(struct world *w)
{
    static const struct tcp_addr any;
    for (int i = 0; i < 2; i++)
        CHECK(tcp_new(&w->options[i], w->now, &w->host[i].tcp) == 0);
    if (!w->simultaneous)
        CHECK(tcp_listen(w->host[1].tcp, &any, PORT_SERVER, world_pairs_max, &w->host[1]) == 0);
    for (int host = 0; host < (w->simultaneous ? 2 : 1); host++) {
        struct tcp_addrs addrs = addrs_of(host);
        for (int k = 0; k < w->pairs; k++) {
            uint16_t client = (uint16_t)(PORT_CLIENT + k);
            uint16_t local = host == 0 ? client : PORT_SERVER;
            uint16_t remote = host == 0 ? PORT_SERVER : client;
            CHECK(tcp_connect(w->host[host].tcp, &addrs, local, remote, &w->host[host].app[k],
                              w->now, &w->host[host].app[k].conn) == 0);
        }
    }
}

/* As a port would have received it: into one or several mbufs. */
static struct rte_mbuf *to_mbufs(struct world *w, const struct net_packet *p)
{
    struct chain all = {0};
    uint32_t first = rng_below(&w->rng, 8) == 0 ? 1 + (uint32_t)rng_below(&w->rng, p->len) : p->len;
    for (uint32_t done = 0; done < p->len;) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(w->pools->rx);
        if (m == NULL) {
            chain_free(&all);
            return NULL;
        }
        uint32_t piece = p->len - done < 2048 ? p->len - done : 2048;
        if (done == 0 && first < piece)
            piece = first;
        memcpy(rte_pktmbuf_append(m, (uint16_t)piece), p->bytes + done, piece);
        chain_append(&all, m);
        done += piece;
    }
    all.head->pkt_len = p->len;
    all.head->nb_segs = (uint16_t)all.segs;
    return all.head;
}

static void deliver(struct world *w, struct net_packet *p)
{
    struct world_host *h = &w->host[p->to];
    if (p->is_icmp) {
        tcp_icmp_too_big(h->tcp, &p->addrs, bytes_get_u16(p->bytes), bytes_get_u16(p->bytes + 2),
                         bytes_get_u32(p->bytes + 4), p->mtu, w->now);
    } else {
        struct rte_mbuf *m = to_mbufs(w, p);
        heard(w, p->to, p);
        if (m != NULL)
            tcp_input(h->tcp, &p->addrs, m, p->ecn, w->now);
    }
    net_packet_free(p);
}

static int64_t next_time(struct world *w)
{
    int64_t at = net_next(&w->net);
    for (int i = 0; i < 2; i++) {
        struct world_host *h = &w->host[i];
        int64_t d = tcp_next_deadline(h->tcp);
        if (d < h->next_run)
            d = h->next_run;
        at = d < at ? d : at;
        for (int k = 0; k < w->pairs; k++) {
            struct world_app *a = &h->app[k];
            if (!a->open || a->closed)
                continue;
            if (a->want_read && a->next_read < at)
                at = a->next_read;
            if (a->queued < a->to_send && a->queued - a->acked < a->queue_max && a->next_send < at)
                at = a->next_send;
        }
    }
    return at;
}

static void run_host(struct world *w, struct world_host *h)
{
    for (int k = 0; k < w->pairs; k++) {
        app_read(w, &h->app[k]);
        app_send(w, &h->app[k]);
    }
    if (w->now < h->next_run)
        return;
    for (int i = 0; i < 1000 && tcp_run(h->tcp, w->now, 64); i++) {
    }
    if (h->poll > 0)
        h->next_run = (w->now / h->poll + 1) * h->poll;
    for (int k = 0; k < w->pairs && w->steps % 4 == 0; k++)
        if (h->app[k].conn != NULL && !h->app[k].closed && h->app[k].open)
            tcp_conn_verify(h->app[k].conn);
}

static bool all_closed(const struct world *w)
{
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < w->pairs; k++)
            if (!w->host[i].app[k].closed)
                return false;
    return true;
}

bool world_run(struct world *w, int64_t until)
{
    while (!all_closed(w)) {
        int64_t at = next_time(w);
        if (at == INT64_MAX || at > until || ++w->steps > 20000000) {
            w->now = at > until && until > w->now ? until : w->now;
            return false;
        }
        w->now = at > w->now ? at : w->now + 1;
        struct net_packet *p;
        while ((p = net_take(&w->net, w->now)) != NULL)
            deliver(w, p);
        run_host(w, &w->host[0]);
        run_host(w, &w->host[1]);
    }
    return true;
}

void world_check_done(const struct world *w)
{
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < w->pairs; k++) {
            const struct world_app *a = &w->host[i].app[k], *peer = &w->host[!i].app[k];
            CHECK(a->closed && a->reason == TCP_CLOSE_DONE);
            CHECK(a->queued == a->to_send && a->acked == a->to_send);
            CHECK(a->received == peer->to_send && a->finished);
        }
    uint64_t dropped = 0;
    for (int i = 0; i < 2; i++) {
        const struct tcp_stats *s = tcp_stats_of(w->host[i].tcp);
        dropped += s->bad_checksum + s->bad_header;
    }
    CHECK(dropped <= w->net.corrupted);
}

void world_end(struct world *w)
{
    int64_t end = w->now + 10000000000000;
    for (int64_t at; (at = next_time(w)) < end;) { /* what is under way, TIME_WAIT */
        w->now = at > w->now ? at : w->now + 1;
        struct net_packet *p;
        while ((p = net_take(&w->net, w->now)) != NULL)
            deliver(w, p);
        run_host(w, &w->host[0]);
        run_host(w, &w->host[1]);
    }
    for (int i = 0; i < 2; i++) {
        if (all_closed(w)) {
            struct tcp_usage u = tcp_usage_of(w->host[i].tcp);
            CHECK(u.conns == 0 && u.syns == 0 && u.time_waits == 0 && u.descriptors == 0 &&
                  u.rx_memory == 0);
        }
        tcp_free(w->host[i].tcp);
    }
    net_free(&w->net);
    unsigned now[4];
    count_pools(w->pools, now);
    CHECK(memcmp(now, w->avail, sizeof now) == 0);
}
