#include "dataplane/tcp/tcp.h"

#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/tcp/parts.h"

/* --- addresses ------------------------------------------------------------------------------------ */

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct tcp_addr tcp_addr_v4(uint32_t host_order)
{
    struct tcp_addr a;
    memcpy(a.b, v4_prefix, sizeof v4_prefix);
    uint32_t net = __builtin_bswap32(host_order);
    memcpy(a.b + 12, &net, 4);
    return a;
}

/* --- listeners -------------------------------------------------------------------------------------- */

static struct tcp_listener *listener_exact(struct tcp *t, const struct tcp_addr *addr,
                                           uint16_t port)
{
    for (uint32_t i = 0; i < t->o.listeners_max; i++) {
        struct tcp_listener *l = &t->listeners[i];
        if (l->used && l->port == port && memcmp(&l->addr, addr, sizeof *addr) == 0)
            return l;
    }
    return NULL;
}

int tcp_listen(struct tcp *t, const struct tcp_addr *addr, uint16_t port, uint32_t backlog,
               void *user)
{
    static const struct tcp_addr any;
    if (port == 0 || backlog == 0)
        return ERR_INVALID;
    if (listener_exact(t, addr, port) != NULL)
        return ERR_EXISTS;
    for (uint32_t i = 0; i < t->o.listeners_max; i++) {
        struct tcp_listener *l = &t->listeners[i];
        if (l->used)
            continue;
        *l = (struct tcp_listener){.addr = *addr,
                                   .port = port,
                                   .used = true,
                                   .any = memcmp(addr, &any, sizeof any) == 0,
                                   .backlog = backlog,
                                   .generation = l->generation + 1,
                                   .user = user};
        return 0;
    }
    return ERR_FULL;
}

void tcp_unlisten(struct tcp *t, const struct tcp_addr *addr, uint16_t port)
{
    struct tcp_listener *l = listener_exact(t, addr, port);
    if (l == NULL)
        return;
    l->used = false;
    uint8_t index = (uint8_t)(l - t->listeners);
    for (uint32_t i = 0; i < t->o.syns_max; i++) {
        struct tcp_synb *b = &t->syns[i];
        if (!wheel_armed(&b->wheel) || b->listener != index)
            continue;
        table_remove(&t->table, &b->key);
        tcp_synb_release(b);
    }
}

/* --- active open -------------------------------------------------------------------------------------- */

static bool port_free(struct tcp *t, const struct tcp_key *key, const struct tcp_addrs *addrs)
{
    if (table_get(&t->table, key) != 0)
        return false;
    const struct tcp_hooks *h = &t->o.hooks;
    return h->owns == NULL || h->owns(h->ctx, addrs, key->local_port, key->remote_port);
}

/* RFC 6056 3.3.1: a random start, then each port of the range once. */
static int choose_port(struct tcp *t, struct tcp_key *key, const struct tcp_addrs *addrs)
{
    uint32_t range = (uint32_t)t->o.port_last - t->o.port_first + 1;
    uint32_t start = (uint32_t)rng_below(t->o.rng, range);
    for (uint32_t i = 0; i < range; i++) {
        key->local_port = (uint16_t)(t->o.port_first + (start + i) % range);
        if (port_free(t, key, addrs))
            return 0;
    }
    return ERR_RANGE;
}

int tcp_connect(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                uint16_t remote_port, void *user, int64_t now, struct tcp_conn **out)
{
    if (remote_port == 0)
        return ERR_INVALID;
    if (now > t->now)
        t->now = now;
    struct tcp_route route;
    int err = t->o.hooks.route(t->o.hooks.ctx, addrs, &route);
    if (err < 0)
        return err;
    struct tcp_key key = {addrs->local, addrs->remote, local_port, remote_port};
    if (TAILQ_EMPTY(&t->conns_free))
        return ERR_FULL;
    if (local_port == 0) {
        err = choose_port(t, &key, addrs);
        if (err < 0)
            return err;
    } else if (table_get(&t->table, &key) != 0) {
        return ERR_EXISTS;
    }
    struct tcp_conn *c = tcp_conn_alloc(t);
    tcp_conn_setup(c, &key, &route);
    c->user = user;
    c->state = TCP_STATE_SYN_SENT;
    c->flags |= F_ACTIVE | F_SYN_OUT;
    c->iss = tcp_isn(t, &key);
    c->snd_una = c->snd_nxt = c->iss;
    c->ts_offset = tcp_ts_offset(t, &key);
    table_put(&t->table, &key, table_ref_of(TCP_BLOCK_CONN, c->index));
    tcp_want_output(c);
    *out = c;
    return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------ */

void tcp_send(struct tcp_conn *c, struct chain *out)
{
    if (c->state == TCP_STATE_CLOSED || c->flags & F_FIN_QUEUED) {
        chain_free(out);
        return;
    }
    if (out->bytes == 0)
        return;
    if (c->tx.bytes == 0)
        c->progress_at = c->tcp->now;
    chain_join(&c->tx, out);
    if (c->tx_pos.seg == NULL)
        c->tx_pos = (struct chain_pos){c->tx.head, 0};
    if (c->state >= TCP_STATE_ESTABLISHED)
        tcp_want_output(c);
}

uint64_t tcp_readable(const struct tcp_conn *c)
{
    return c->rx.bytes;
}

/* Copies what is small behind the consumer's last buffer, so that tiny segments pin no buffers. */
static void hand_over(struct chain *out, struct rte_mbuf *m)
{
    struct rte_mbuf *tail = out->tail;
    if (tail == NULL || m->data_len > 256 || !RTE_MBUF_DIRECT(tail) ||
        rte_mbuf_refcnt_read(tail) != 1 || rte_pktmbuf_tailroom(tail) < m->data_len) {
        chain_append(out, m);
        return;
    }
    memcpy(rte_pktmbuf_mtod_offset(tail, void *, tail->data_len), rte_pktmbuf_mtod(m, void *),
           m->data_len);
    tail->data_len = (uint16_t)(tail->data_len + m->data_len);
    out->bytes += m->data_len;
    rte_pktmbuf_free_seg(m);
}

uint64_t tcp_recv(struct tcp_conn *c, uint64_t max, struct chain *out)
{
    struct chain *rx = &c->rx;
    uint64_t before = rx->bytes, left = max < before ? max : before, memory = 0;
    while (rx->head != NULL && rx->head->data_len <= left) {
        struct rte_mbuf *m = rx->head;
        rx->head = m->next;
        if (rx->head == NULL)
            rx->tail = NULL;
        rx->bytes -= m->data_len;
        rx->segs--;
        left -= m->data_len;
        m->next = NULL;
        memory += tcp_chain_memory(m);
        hand_over(out, m);
    }
    if (left > 0)
        (void)chain_split(rx, left, c->tcp->o.ref_pool, out); /* without an mbuf: fewer bytes */
    memory = memory < c->rx_memory ? memory : c->rx_memory;
    c->rx_memory -= memory;
    c->tcp->rx_memory -= memory;
    if (rx->bytes == 0 && c->events & EVENT_CLOSED)
        tcp_event(c, EVENT_CLOSED);
    return before - rx->bytes;
}

void tcp_window(struct tcp_conn *c, uint64_t bytes)
{
    uint32_t max = c->tcp->o.rx_window_max;
    c->window = bytes < max ? (uint32_t)bytes : max;
    c->window_base = c->rcv_nxt - (uint32_t)c->rx.bytes - ((c->flags & F_FIN_IN) != 0);
    c->flags |= F_WINDOW_SET;
    if (c->state >= TCP_STATE_ESTABLISHED && !(c->flags & F_FIN_IN))
        tcp_conn_moved_window(c);
}

/* --- ends --------------------------------------------------------------------------------------------------- */

void tcp_shutdown(struct tcp_conn *c)
{
    if (c->flags & F_FIN_QUEUED)
        return;
    switch (c->state) {
    case TCP_STATE_SYN_SENT:
        tcp_conn_end(c, TCP_CLOSE_ABORT, false);
        return;
    case TCP_STATE_SYN_RCVD: /* the FIN waits until ESTABLISHED */
        break;
    case TCP_STATE_ESTABLISHED:
        c->state = TCP_STATE_FIN_WAIT_1;
        break;
    case TCP_STATE_CLOSE_WAIT:
        c->state = TCP_STATE_LAST_ACK;
        break;
    default:
        return;
    }
    if (c->tx.bytes == 0)
        c->progress_at = c->tcp->now;
    c->flags |= F_FIN_QUEUED;
    tcp_want_output(c);
}

void tcp_close(struct tcp_conn *c)
{
    if (c->flags & F_CLOSING)
        return;
    if (c->state == TCP_STATE_CLOSED) {
        c->flags |= F_CLOSING;
        if (c->events & EVENT_CLOSED)
            tcp_event(c, EVENT_CLOSED);
        return;
    }
    if (c->rx.bytes > 0) { /* RFC 9293 3.10.4, RFC 2525 2.17: the peer learns of the loss */
        tcp_abort(c);
        return;
    }
    tcp_shutdown(c);
    c->flags |= F_CLOSING;
    if (c->state == TCP_STATE_FIN_WAIT_2)
        tcp_keepalive_restart(c);
}

void tcp_abort(struct tcp_conn *c)
{
    if (c->state == TCP_STATE_CLOSED) {
        tcp_close(c);
        return;
    }
    if (c->state != TCP_STATE_SYN_SENT)
        tcp_send_rst(c);
    c->flags |= F_CLOSING;
    tcp_conn_end(c, TCP_CLOSE_ABORT, false);
}

/* --- the rest ------------------------------------------------------------------------------------------------- */

void *tcp_user(const struct tcp_conn *c)
{
    return c->user;
}

void tcp_set_user(struct tcp_conn *c, void *user)
{
    c->user = user;
}

struct tcp_tuple tcp_tuple(const struct tcp_conn *c)
{
    return (struct tcp_tuple){{c->key.local, c->key.remote}, c->key.local_port, c->key.remote_port};
}

void tcp_keepalive(struct tcp_conn *c, int64_t idle, int64_t interval, uint32_t probes)
{
    c->keep_idle = idle > 0 ? idle : 0;
    c->keep_interval = interval > 0 ? interval : c->tcp->o.keepalive_interval;
    c->keep_probes_max = (uint8_t)(probes < 255 ? probes : 255);
    tcp_keepalive_restart(c);
}

void tcp_nagle(struct tcp_conn *c, bool on)
{
    c->flags = on ? c->flags | F_NAGLE : c->flags & ~(uint32_t)F_NAGLE;
}

/* The limits per second. A random part hides how many of them others have used (RFC 5961 7). */
static void refill(struct tcp *t)
{
    if (t->now - t->second_at < 1000 * TCP_MS)
        return;
    t->second_at = t->now;
    uint32_t half = t->o.challenge_acks_max / 2;
    t->challenge_left = half + (uint32_t)rng_below(t->o.rng, t->o.challenge_acks_max + 1ULL);
    t->resets_left = t->o.resets_max;
}

bool tcp_run(struct tcp *t, int64_t now, uint32_t budget)
{
    if (now > t->now)
        t->now = now;
    refill(t);
    wheel_run(&t->wheel, t->now, budget);
    tcp_deliver_events(t, budget);
    uint32_t left = budget;
    for (struct tcp_conn *c; left > 0 && (c = TAILQ_FIRST(&t->outputs)) != NULL; left--) {
        TAILQ_REMOVE(&t->outputs, c, output_link);
        c->flags &= ~(uint32_t)F_OUTPUT;
        tcp_conn_output(c);
    }
    return !TAILQ_EMPTY(&t->outputs) || !TAILQ_EMPTY(&t->events) || wheel_next(&t->wheel) <= t->now;
}

int64_t tcp_next_deadline(const struct tcp *t)
{
    if (!TAILQ_EMPTY(&t->outputs) || !TAILQ_EMPTY(&t->events))
        return 0;
    return wheel_next(&t->wheel);
}
