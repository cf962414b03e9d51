#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/parts.h"

/* --- options ------------------------------------------------------------------------------------ */

#define SECOND 1000000000LL

void tcp_options_default(struct tcp_options *o)
{
    *o = (struct tcp_options){
        .hooks = o->hooks,
        .header_pool = o->header_pool,
        .ref_pool = o->ref_pool,
        .rng = o->rng,
        .conns_max = 1024,
        .syns_max = 1024,
        .time_waits_max = 4096,
        .listeners_max = 16,
        .descriptors_max = 65536,
        .rx_window_max = 4 << 20,
        .rx_memory_max = 256ULL << 20,
        .rx_segments_max = 4096,
        .rx_ooo_ranges_max = 256,
        .copy_max = 256,
        .rto_min = 200 * TCP_MS,
        .rto_max = 60 * SECOND,
        .rto_initial = SECOND,
        .delayed_ack = 40 * TCP_MS,
        .syn_timeout = 180 * SECOND,
        .user_timeout = 120 * SECOND,
        .keepalive_interval = 75 * SECOND,
        .keepalive_probes = 9,
        .fin_wait2_timeout = 60 * SECOND,
        .time_wait = 60 * SECOND,
        .challenge_acks_max = 1000,
        .resets_max = 1000,
        .port_first = 32768,
        .port_last = 60999,
        .window_scaling = true,
        .timestamps = true,
        .sack = true,
        .ecn = true,
        .hystart = true,
        .syn_cookies = true,
    };
}

static bool options_valid(const struct tcp_options *o)
{
    const struct tcp_hooks *h = &o->hooks;
    return h->emit && h->route && h->accepted && h->connected && h->readable && h->finished &&
           h->sent && h->closed && o->header_pool != NULL && o->ref_pool != NULL &&
           o->rng != NULL && o->conns_max > 0 && o->conns_max < 1u << 28 && o->syns_max > 0 &&
           o->syns_max < 1u << 28 && o->time_waits_max > 0 && o->time_waits_max < 1u << 28 &&
           o->listeners_max > 0 && o->listeners_max < 256 && o->descriptors_max > 0 &&
           o->rx_window_max >= TCP_MSS_DEFAULT && o->rx_window_max <= 1u << 30 &&
           o->rx_memory_max > 0 && o->rx_segments_max > 0 && o->rx_ooo_ranges_max > 0 &&
           o->rto_min > 0 && o->rto_min <= o->rto_max && o->rto_initial >= o->rto_min &&
           o->rto_initial <= o->rto_max && o->delayed_ack >= 0 && o->delayed_ack <= 500 * TCP_MS &&
           o->syn_timeout > 0 && o->user_timeout > 0 && o->keepalive_idle >= 0 &&
           o->keepalive_interval > 0 && o->fin_wait2_timeout > 0 && o->time_wait > 0 &&
           o->port_first > 0 && o->port_first <= o->port_last &&
           rte_pktmbuf_data_room_size(o->header_pool) >= RTE_PKTMBUF_HEADROOM + TCP_HEADER_MAX;
}

/* --- making and ending ---------------------------------------------------------------------------- */

static const struct tcp_key *key_of(const void *ctx, table_ref ref)
{
    const struct tcp *t = ctx;
    uint32_t i = table_ref_index(ref);
    switch (table_ref_kind(ref)) {
    case TCP_BLOCK_CONN:
        return &t->conns[i].key;
    case TCP_BLOCK_SYN:
        return &t->syns[i].key;
    default:
        return &t->tws[i].key;
    }
}

static void *lines_alloc(size_t count, size_t size)
{
    size_t bytes = (count * size + 63) & ~(size_t)63;
    void *p = aligned_alloc(64, bytes);
    if (p != NULL)
        memset(p, 0, bytes);
    return p;
}

static void link_blocks(struct tcp *t)
{
    const struct tcp_options *o = &t->o;
    for (uint32_t i = 0; i < o->conns_max; i++) {
        t->conns[i].index = i;
        t->conns[i].tcp = t;
        TAILQ_INSERT_TAIL(&t->conns_free, &t->conns[i], event_link);
    }
    for (uint32_t i = o->syns_max; i-- > 0;) {
        t->syns[i].tcp = t;
        t->syns[i].wheel.next = (struct wheel_timer *)t->syns_free;
        t->syns_free = &t->syns[i];
    }
    for (uint32_t i = 0; i < o->time_waits_max; i++) {
        t->tws[i].index = i;
        TAILQ_INSERT_TAIL(&t->tws_free, &t->tws[i], link);
    }
    for (uint32_t i = o->descriptors_max; i-- > 0;) {
        t->descs[i].next = t->descs_free;
        t->descs_free = &t->descs[i];
    }
}

static void derive_keys(struct tcp *t)
{
    uint8_t *keys[] = {t->isn_key, t->cookie_key, t->ts_key};
    for (uint64_t k = 0; k < 3; k++)
        for (uint64_t half = 0; half < 2; half++) {
            uint64_t in[2] = {k, half};
            uint64_t out = tcp_siphash(t->o.secret, in, sizeof in);
            memcpy(keys[k] + 8 * half, &out, 8);
        }
}

int tcp_new(const struct tcp_options *o, int64_t now, struct tcp **out)
{
    if (!options_valid(o))
        return ERR_INVALID;
    struct tcp *t = lines_alloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NO_MEMORY;
    t->o = *o;
    t->now = now;
    t->sum = checksum_best();
    TAILQ_INIT(&t->conns_free);
    TAILQ_INIT(&t->outputs);
    TAILQ_INIT(&t->events);
    TAILQ_INIT(&t->tws_free);
    TAILQ_INIT(&t->tws_live);
    wheel_init(&t->wheel, now);
    t->tw_wheel.fire = tcp_tw_timer;
    while (65535ULL << t->rcv_scale < o->rx_window_max)
        t->rcv_scale++;
    derive_keys(t);
    t->second_at = now;
    t->challenge_left = o->challenge_acks_max;
    t->resets_left = o->resets_max;
    t->cookie_at = INT64_MIN / 2;
    t->conns = lines_alloc(o->conns_max, sizeof *t->conns);
    t->syns = lines_alloc(o->syns_max, sizeof *t->syns);
    t->tws = lines_alloc(o->time_waits_max, sizeof *t->tws);
    t->descs = lines_alloc(o->descriptors_max, sizeof *t->descs);
    t->listeners = calloc(o->listeners_max, sizeof *t->listeners);
    uint64_t seed = tcp_siphash(o->secret, "table", 5);
    int err =
        table_init(&t->table, o->conns_max + o->syns_max + o->time_waits_max, seed, key_of, t);
    if (err < 0 || !t->conns || !t->syns || !t->tws || !t->descs || !t->listeners) {
        tcp_free(t);
        return ERR_NO_MEMORY;
    }
    link_blocks(t);
    *out = t;
    return 0;
}

void tcp_free(struct tcp *t)
{
    if (t == NULL)
        return;
    if (t->conns != NULL)
        for (uint32_t i = 0; i < t->o.conns_max; i++) {
            chain_free(&t->conns[i].tx);
            chain_free(&t->conns[i].rx);
            tcp_ooo_free(&t->conns[i]);
        }
    table_free(&t->table);
    free(t->conns);
    free(t->syns);
    free(t->tws);
    free(t->descs);
    free(t->listeners);
    free(t);
}

/* --- blocks ------------------------------------------------------------------------------------------ */

struct tcp_conn *tcp_conn_alloc(struct tcp *t)
{
    struct tcp_conn *c = TAILQ_FIRST(&t->conns_free);
    if (c == NULL)
        return NULL;
    TAILQ_REMOVE(&t->conns_free, c, event_link);
    uint32_t index = c->index;
    memset(c, 0, sizeof *c);
    c->index = index;
    c->tcp = t;
    c->wheel.fire = tcp_conn_timer;
    c->timer_at = c->ack_at = c->keep_at = TCP_NEVER;
    c->listener = UINT32_MAX;
    t->conns_used++;
    return c;
}

void tcp_conn_release(struct tcp_conn *c)
{
    struct tcp *t = c->tcp;
    if (c->flags & F_OUTPUT)
        TAILQ_REMOVE(&t->outputs, c, output_link);
    if (c->flags & F_EVENTS)
        TAILQ_REMOVE(&t->events, c, event_link);
    c->flags = 0;
    wheel_cancel(&t->wheel, &c->wheel);
    tcp_scoreboard_drop(c);
    chain_free(&c->tx);
    chain_free(&c->rx);
    tcp_ooo_free(c);
    t->rx_memory -= c->rx_memory;
    c->rx_memory = 0;
    c->state = TCP_STATE_CLOSED;
    t->conns_used--;
    TAILQ_INSERT_HEAD(&t->conns_free, c, event_link);
}

struct tcp_desc *tcp_desc_alloc(struct tcp *t)
{
    struct tcp_desc *d = t->descs_free;
    if (d == NULL) {
        t->stats.no_descriptor++;
        return NULL;
    }
    t->descs_free = d->next;
    t->descs_used++;
    return d;
}

void tcp_desc_release(struct tcp *t, struct tcp_desc *d)
{
    d->next = t->descs_free;
    t->descs_free = d;
    t->descs_used--;
}

struct tcp_synb *tcp_synb_alloc(struct tcp *t)
{
    struct tcp_synb *b = t->syns_free;
    if (b == NULL)
        return NULL;
    t->syns_free = (struct tcp_synb *)b->wheel.next;
    memset(b, 0, sizeof *b);
    b->tcp = t;
    b->wheel.fire = tcp_synb_timer;
    t->syns_used++;
    return b;
}

void tcp_synb_release(struct tcp_synb *b)
{
    struct tcp *t = b->tcp;
    wheel_cancel(&t->wheel, &b->wheel);
    b->wheel.next = (struct wheel_timer *)t->syns_free;
    t->syns_free = b;
    t->syns_used--;
}

/* --- lists --------------------------------------------------------------------------------------------- */

void tcp_want_output(struct tcp_conn *c)
{
    if (c->flags & F_OUTPUT || c->state == TCP_STATE_CLOSED)
        return;
    c->flags |= F_OUTPUT;
    TAILQ_INSERT_TAIL(&c->tcp->outputs, c, output_link);
}

void tcp_event(struct tcp_conn *c, enum tcp_event e)
{
    c->events |= (uint8_t)e;
    if (c->flags & F_EVENTS)
        return;
    c->flags |= F_EVENTS;
    TAILQ_INSERT_TAIL(&c->tcp->events, c, event_link);
}

void tcp_conn_end(struct tcp_conn *c, enum tcp_close_reason reason, bool keep_rx)
{
    struct tcp *t = c->tcp;
    if (c->state == TCP_STATE_CLOSED)
        return;
    if (table_get(&t->table, &c->key) == table_ref_of(TCP_BLOCK_CONN, c->index))
        table_remove(&t->table, &c->key);
    c->state = TCP_STATE_CLOSED;
    c->close_reason = (uint8_t)reason;
    if (c->flags & F_OUTPUT)
        TAILQ_REMOVE(&t->outputs, c, output_link);
    c->flags &= ~(uint32_t)F_OUTPUT;
    c->timer = TIMER_NONE;
    c->timer_at = c->ack_at = c->keep_at = TCP_NEVER;
    wheel_cancel(&t->wheel, &c->wheel);
    tcp_scoreboard_drop(c);
    chain_free(&c->tx);
    c->tx_pos.seg = NULL;
    tcp_ooo_free(c);
    if (!keep_rx) {
        chain_free(&c->rx);
        t->rx_memory -= c->rx_memory;
        c->rx_memory = 0;
    }
    tcp_event(c, EVENT_CLOSED);
}

/* --- events ---------------------------------------------------------------------------------------------- */

void tcp_listener_done(struct tcp *t, uint32_t index, uint32_t generation)
{
    struct tcp_listener *l = &t->listeners[index];
    if (l->used && l->generation == generation && l->pending > 0)
        l->pending--;
}

/* False: the conn is gone. */
static bool deliver_accepted(struct tcp_conn *c)
{
    struct tcp *t = c->tcp;
    tcp_listener_done(t, c->listener, c->listener_generation);
    void *listener_user = c->listener_user;
    c->listener = UINT32_MAX;
    if (c->state != TCP_STATE_CLOSED) {
        t->stats.opened_passive++;
        if (t->o.hooks.accepted(t->o.hooks.ctx, c, listener_user) >= 0)
            return true;
        tcp_abort(c);
    }
    tcp_conn_release(c);
    return false;
}

static void deliver(struct tcp_conn *c)
{
    const struct tcp_hooks *h = &c->tcp->o.hooks;
    uint8_t e = c->events;
    c->events = 0;
    if (e & EVENT_ACCEPTED && !deliver_accepted(c))
        return;
    bool heard = c->state != TCP_STATE_CLOSED || c->close_reason == TCP_CLOSE_DONE;
    if (e & EVENT_CONNECTED && heard)
        h->connected(h->ctx, c);
    if (e & EVENT_READABLE && c->rx.bytes > 0 && !(c->flags & F_CLOSING))
        h->readable(h->ctx, c);
    if (e & EVENT_FINISHED && heard && !(c->flags & F_CLOSING))
        h->finished(h->ctx, c);
    if (e & EVENT_SENT && c->sent_bytes > 0) {
        uint64_t bytes = c->sent_bytes;
        c->sent_bytes = 0;
        h->sent(h->ctx, c, bytes);
    }
    if (!(e & EVENT_CLOSED))
        return;
    if (c->rx.bytes > 0 && c->close_reason == TCP_CLOSE_DONE && !(c->flags & F_CLOSING)) {
        c->events |= EVENT_CLOSED; /* tcp_recv links it again when the last byte is taken */
        return;
    }
    h->closed(h->ctx, c, c->close_reason);
    tcp_conn_release(c);
}

void tcp_deliver_events(struct tcp *t, uint32_t budget)
{
    for (struct tcp_conn *c; budget > 0 && (c = TAILQ_FIRST(&t->events)) != NULL; budget--) {
        TAILQ_REMOVE(&t->events, c, event_link);
        c->flags &= ~(uint32_t)F_EVENTS;
        deliver(c);
    }
}

/* --- what a handshake settles --------------------------------------------------------------------------- */

uint32_t tcp_isn(struct tcp *t, const struct tcp_key *key)
{
    /* RFC 6528: a clock of 4 us plus a keyed function of the tuple */
    return (uint32_t)((uint64_t)t->now / 4000) +
           (uint32_t)tcp_siphash(t->isn_key, key, sizeof *key);
}

uint32_t tcp_ts_offset(struct tcp *t, const struct tcp_key *key)
{
    if (!t->o.timestamps)
        return 0;
    return (uint32_t)tcp_siphash(t->ts_key, key, sizeof *key); /* RFC 7323 7.1 */
}

void tcp_conn_set_mss(struct tcp_conn *c)
{
    uint32_t mss = c->mss_path < c->peer_mss ? c->mss_path : c->peer_mss;
    if (c->flags & F_TS)
        mss -= mss > 12 ? 12 : 0;
    c->mss = (uint16_t)(mss > 0 ? mss : 1);
}

void tcp_conn_setup(struct tcp_conn *c, const struct tcp_key *key, const struct tcp_route *route)
{
    struct tcp *t = c->tcp;
    uint32_t headers = tcp_header_ip(key) + TCP_HEADER;
    c->key = *key;
    c->mss_path = (uint16_t)(route->mtu > headers + 64 ? route->mtu - headers : 64);
    c->tso_max = route->tso_max;
    c->checksum_offload = route->checksum_offload;
    c->peer_mss = tcp_addr_is_v4(&key->local) ? TCP_MSS_DEFAULT : TCP_MSS_DEFAULT_V6;
    c->rto = t->o.rto_initial;
    c->reo_mult = 1;
    c->min_rtt = c->min_rtt_next = INT64_MAX;
    c->heard_at = c->progress_at = c->output_at = t->now;
    c->oow_ack_at = -TCP_NEVER / 2;
    c->keep_idle = t->o.keepalive_idle;
    c->keep_interval = t->o.keepalive_interval;
    c->keep_probes_max = (uint8_t)t->o.keepalive_probes;
    c->window = tcp_initial_window < t->o.rx_window_max ? tcp_initial_window : t->o.rx_window_max;
}

void tcp_conn_established(struct tcp_conn *c)
{
    c->state = TCP_STATE_ESTABLISHED;
    c->recovery_point = c->rack_fack = c->reo_dsack_round = c->snd_una;
    c->ecn_point = c->snd_una - 1;
    c->tlp_end = c->hystart.round_end = c->snd_una;
    c->heard_at = c->progress_at = c->tcp->now;
    c->snd_wnd_max = c->snd_wnd;
    tcp_conn_set_mss(c);
    tcp_cc_init(c);
    tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
    tcp_keepalive_restart(c);
}
