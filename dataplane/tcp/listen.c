/* LISTEN and SYN_RCVD of passive opens (RFC 9293 3.10.7.2 and 3.10.7.4, RFC 4987). */
#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"
#include "dataplane/tcp/parts.h"

struct tcp_listener *tcp_listener_find(struct tcp *t, const struct tcp_key *key)
{
    struct tcp_listener *any = NULL;
    for (uint32_t i = 0; i < t->o.listeners_max; i++) {
        struct tcp_listener *l = &t->listeners[i];
        if (!l->used || l->port != key->local_port)
            continue;
        if (l->any)
            any = l;
        else if (memcmp(&l->addr, &key->local, sizeof l->addr) == 0)
            return l;
    }
    return any;
}

static uint32_t initial_window(const struct tcp *t)
{
    return tcp_initial_window < t->o.rx_window_max ? tcp_initial_window : t->o.rx_window_max;
}

/* --- SYN-ACK --------------------------------------------------------------------------------------------- */

static void send_syn_ack(struct tcp *t, const struct tcp_synb *b, uint32_t ts_val)
{
    struct tcp_route route;
    struct tcp_addrs addrs = {b->key.local, b->key.remote};
    if (t->o.hooks.route(t->o.hooks.ctx, &addrs, &route) < 0)
        return;
    uint32_t headers = tcp_header_ip(&b->key) + TCP_HEADER;
    struct tcp_seg s = {.src = b->key.local_port,
                        .dst = b->key.remote_port,
                        .seq = b->iss,
                        .ack = b->irs + 1,
                        .flags = TCP_SYN | TCP_ACK,
                        .window = (uint16_t)initial_window(t),
                        .mss = (uint16_t)(route.mtu > headers + 64 ? route.mtu - headers : 64),
                        .has_scale = (b->flags & F_SCALE) != 0,
                        .scale = t->rcv_scale,
                        .sack_ok = (b->flags & F_SACK) != 0,
                        .has_ts = (b->flags & F_TS) != 0,
                        .ts_val = ts_val,
                        .ts_ecr = b->ts_recent};
    if (b->flags & F_ECN)
        s.flags |= TCP_ECE;
    tcp_emit_bare(t, &b->key, &s);
}

void tcp_syn_ack(struct tcp *t, struct tcp_synb *b)
{
    b->sent_at = t->now;
    send_syn_ack(t, b, tcp_ts_clock(t) + b->ts_offset);
}

/* --- LISTEN ------------------------------------------------------------------------------------------------ */

static void negotiate(const struct tcp *t, struct tcp_synb *b, const struct tcp_seg *s)
{
    const struct tcp_options *o = &t->o;
    b->irs = s->seq;
    b->mss = s->mss;
    b->window = s->window;
    b->ts_recent = s->ts_val;
    b->snd_scale = s->scale;
    bool ecn = (s->flags & (TCP_ECE | TCP_CWR)) == (TCP_ECE | TCP_CWR);
    b->flags = (uint8_t)((o->window_scaling && s->has_scale ? F_SCALE : 0) |
                         (o->timestamps && s->has_ts ? F_TS : 0) |
                         (o->sack && s->sack_ok ? F_SACK : 0) | (o->ecn && ecn ? F_ECN : 0));
}

static void syn_arrives(struct tcp *t, struct tcp_listener *l, const struct tcp_key *key,
                        const struct tcp_seg *s)
{
    t->stats.syns_in++;
    struct tcp_synb *b = l->pending < l->backlog ? tcp_synb_alloc(t) : NULL;
    if (b == NULL && !t->o.syn_cookies) {
        t->stats.syn_dropped++;
        return;
    }
    if (b == NULL) {
        struct tcp_synb stateless = {.key = *key};
        negotiate(t, &stateless, s);
        stateless.ts_offset = tcp_ts_offset(t, key);
        stateless.iss = tcp_cookie_make(t, key, s);
        if (!(stateless.flags & F_TS)) /* nowhere to keep them */
            stateless.flags = 0;
        t->stats.cookies_out++;
        send_syn_ack(t, &stateless, tcp_cookie_ts(t, &stateless));
        return;
    }
    b->key = *key;
    negotiate(t, b, s);
    b->iss = tcp_isn(t, key);
    b->ts_offset = tcp_ts_offset(t, key);
    b->listener = (uint8_t)(l - t->listeners);
    b->born_at = t->now;
    l->pending++;
    table_put(&t->table, key, table_ref_of(TCP_BLOCK_SYN, (uint32_t)(b - t->syns)));
    wheel_arm(&t->wheel, &b->wheel, t->now + t->o.rto_initial);
    tcp_syn_ack(t, b);
}

/* --- the handshake completes ---------------------------------------------------------------------------------- */

/* A conn from what b says; NULL: no block or no route. The table still has what it had. */
static struct tcp_conn *make_conn(struct tcp *t, const struct tcp_synb *b, const struct tcp_seg *s)
{
    struct tcp_route route;
    struct tcp_addrs addrs = {b->key.local, b->key.remote};
    if (t->o.hooks.route(t->o.hooks.ctx, &addrs, &route) < 0)
        return NULL;
    struct tcp_conn *c = tcp_conn_alloc(t);
    if (c == NULL) {
        t->stats.accept_stalled++;
        return NULL;
    }
    tcp_conn_setup(c, &b->key, &route);
    if (b->mss != 0)
        c->peer_mss = tcp_peer_mss(b->mss);
    c->flags = b->flags;
    c->snd_scale = b->flags & F_SCALE ? b->snd_scale : 0;
    c->rcv_scale = b->flags & F_SCALE ? t->rcv_scale : 0;
    c->irs = b->irs;
    c->iss = b->iss;
    c->ts_recent = b->ts_recent;
    c->ts_offset = b->ts_offset;
    c->rcv_nxt = c->rcv_acked = c->window_base = b->irs + 1;
    c->rcv_edge = c->rcv_nxt + (c->window < 65535 ? c->window : 65535);
    c->snd_una = c->snd_nxt = b->iss + 1;
    c->snd_wnd = (uint32_t)s->window << c->snd_scale;
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    c->retries = b->retries;
    tcp_conn_established(c);
    c->retries = 0;
    if (b->retries == 0 && b->sent_at != INT64_MIN)
        tcp_rtt_sample(c, t->now - b->sent_at);
    return c;
}

static void hand_to_listener(struct tcp *t, struct tcp_conn *c, uint32_t listener)
{
    c->listener = listener;
    c->listener_generation = t->listeners[listener].generation;
    c->listener_user = t->listeners[listener].user;
    tcp_event(c, EVENT_ACCEPTED);
}

/* A conn for the owner of a cookie; NULL: there is none, or no block (the peer's data will come again). */
static struct tcp_conn *cookie_conn(struct tcp *t, const struct tcp_key *key,
                                    const struct tcp_seg *s)
{
    struct tcp_synb b;
    if (t->o.syn_cookies && tcp_cookie_check(t, key, s, &b)) {
        struct tcp_conn *c = make_conn(t, &b, s);
        if (c != NULL) {
            c->flags |= F_COOKIE;
            t->stats.cookies_good++;
        }
        return c;
    }
    /* Only the byte after the SYN proves a cookie. Later ones that overtook it are no reason for
     * an RST while cookies are out: the peer sends again, first things first. */
    t->stats.cookies_bad++;
    if (t->now - t->cookie_at > TCP_COOKIE_LIFE)
        tcp_reset_answer(t, key, s);
    return NULL;
}

static void ack_arrives(struct tcp *t, struct tcp_listener *l, const struct tcp_key *key,
                        const struct tcp_seg *s, struct rte_mbuf *m)
{
    struct tcp_conn *c = cookie_conn(t, key, s);
    if (c == NULL) {
        rte_pktmbuf_free(m);
        return;
    }
    l->pending++;
    table_put(&t->table, key, table_ref_of(TCP_BLOCK_CONN, c->index));
    hand_to_listener(t, c, (uint32_t)(l - t->listeners));
    tcp_conn_input(c, s, m);
}

void tcp_listen_input(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s,
                      struct rte_mbuf *m)
{
    struct tcp_listener *l = tcp_listener_find(t, key);
    if (l == NULL) {
        t->stats.no_listener++;
        tcp_reset_answer(t, key, s);
    } else if (s->flags & TCP_RST) { /* nothing to reset */
    } else if (s->flags & TCP_ACK && !(s->flags & TCP_SYN)) {
        ack_arrives(t, l, key, s, m);
        return;
    } else if (s->flags & TCP_ACK) {
        tcp_reset_answer(t, key, s);
    } else if (s->flags & TCP_SYN && !(s->flags & TCP_FIN)) { /* both: a scanner's */
        syn_arrives(t, l, key, s);
    }
    rte_pktmbuf_free(m); /* text on a SYN is not kept: the peer sends it again */
}

/* --- SYN_RCVD ----------------------------------------------------------------------------------------------------- */

static void plain_ack(struct tcp *t, const struct tcp_synb *b)
{
    struct tcp_seg s = {.src = b->key.local_port,
                        .dst = b->key.remote_port,
                        .seq = b->iss + 1,
                        .ack = b->irs + 1,
                        .flags = TCP_ACK,
                        .has_ts = (b->flags & F_TS) != 0,
                        .ts_val = tcp_ts_clock(t) + b->ts_offset,
                        .ts_ecr = b->ts_recent};
    s.window = (uint16_t)(initial_window(t) >> (b->flags & F_SCALE ? t->rcv_scale : 0));
    if (tcp_challenge_allowed(t))
        tcp_emit_bare(t, &b->key, &s);
}

static void end_handshake(struct tcp *t, struct tcp_synb *b)
{
    tcp_listener_done(t, b->listener, t->listeners[b->listener].generation);
    table_remove(&t->table, &b->key);
    tcp_synb_release(b);
}

static bool handshake_acceptable(const struct tcp_synb *b, const struct tcp_seg *s)
{
    uint32_t next = b->irs + 1;
    if (b->flags & F_TS && s->has_ts && !(s->flags & TCP_RST) && seq_lt(s->ts_val, b->ts_recent))
        return false;
    return seq_ge(s->seq, next) && seq_le(s->seq, next + initial_window(b->tcp));
}

/* The SYN block becomes c (NULL: it stays, and the peer's ACK comes back with its data or the SYN-ACK's). */
static void complete(struct tcp *t, struct tcp_synb *b, struct tcp_conn *c, const struct tcp_seg *s,
                     struct rte_mbuf *m)
{
    if (c == NULL) {
        rte_pktmbuf_free(m);
        return;
    }
    uint32_t listener = b->listener;
    table_replace(&t->table, &b->key, table_ref_of(TCP_BLOCK_CONN, c->index));
    tcp_synb_release(b);
    hand_to_listener(t, c, listener);
    tcp_conn_input(c, s, m);
}

static void handshake_ack(struct tcp *t, struct tcp_synb *b, const struct tcp_seg *s,
                          struct rte_mbuf *m)
{
    if (s->ack != b->iss + 1) {
        /* A SYN that came twice: a cookie answered the first one, and the peer goes by that. */
        complete(t, b, cookie_conn(t, &b->key, s), s, m);
        return;
    }
    if (!s->has_ts) /* a middle box took the option out of our SYN-ACK: the peer knows of none */
        b->flags &= (uint8_t)~F_TS;
    complete(t, b, make_conn(t, b, s), s, m);
}

void tcp_synb_input(struct tcp *t, struct tcp_synb *b, const struct tcp_seg *s, struct rte_mbuf *m)
{
    if ((s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && s->seq == b->irs) {
        b->retries += b->retries == 0; /* the SYN again: our answer was lost, or is late */
        tcp_syn_ack(t, b);
    } else if (!handshake_acceptable(b, s)) {
        if (!(s->flags & TCP_RST))
            plain_ack(t, b);
    } else if (s->flags & TCP_RST) {
        if (s->seq == b->irs + 1)
            end_handshake(t, b);
        else
            plain_ack(t, b);
    } else if (s->flags & TCP_SYN) {
        plain_ack(t, b);
    } else if (s->flags & TCP_ACK) {
        handshake_ack(t, b, s, m);
        return;
    }
    rte_pktmbuf_free(m);
}
