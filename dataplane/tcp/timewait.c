/* TIME_WAIT: small blocks in a list ordered by their end (RFC 9293 3.6.1, RFC 1337, RFC 6191). */
#include <rte_mbuf.h>

#include "dataplane/tcp/parts.h"

void tcp_tw_remove(struct tcp_tw *w)
{
    struct tcp *t = w->tcp;
    table_remove(&t->table, &w->key);
    TAILQ_REMOVE(&t->tws_live, w, link);
    TAILQ_INSERT_HEAD(&t->tws_free, w, link);
    t->tws_used--;
}

static void start(struct tcp *t, struct tcp_tw *w)
{
    w->until = t->now + t->o.time_wait;
    TAILQ_INSERT_TAIL(&t->tws_live, w, link);
    if (!wheel_armed(&t->tw_wheel))
        wheel_arm(&t->wheel, &t->tw_wheel, TAILQ_FIRST(&t->tws_live)->until);
}

static void answer(struct tcp *t, const struct tcp_tw *w)
{
    struct tcp_seg s = {.src = w->key.local_port,
                        .dst = w->key.remote_port,
                        .seq = w->snd_nxt,
                        .ack = w->rcv_nxt,
                        .flags = TCP_ACK,
                        .window = w->window,
                        .has_ts = w->has_ts,
                        .ts_val = tcp_ts_clock(t) + w->ts_offset,
                        .ts_ecr = w->ts_recent};
    tcp_emit_bare(t, &w->key, &s);
}

void tcp_tw_enter(struct tcp_conn *c)
{
    struct tcp *t = c->tcp;
    struct tcp_tw *w = TAILQ_FIRST(&t->tws_free);
    if (w == NULL) {
        t->stats.time_wait_recycled++;
        tcp_tw_remove(TAILQ_FIRST(&t->tws_live));
        w = TAILQ_FIRST(&t->tws_free);
    }
    TAILQ_REMOVE(&t->tws_free, w, link);
    t->tws_used++;
    w->tcp = t;
    w->key = c->key;
    w->rcv_nxt = c->rcv_nxt;
    w->snd_nxt = c->snd_nxt;
    w->ts_recent = c->ts_recent;
    w->ts_offset = c->ts_offset;
    uint32_t window = (c->rcv_edge - c->rcv_nxt) >> (c->flags & F_SCALE ? c->rcv_scale : 0);
    w->window = (uint16_t)(window < 65535 ? window : 65535);
    w->has_ts = (c->flags & F_TS) != 0;
    table_replace(&t->table, &w->key, table_ref_of(TCP_BLOCK_TIME_WAIT, w->index));
    start(t, w);
    if (c->flags & F_ACK_NOW)
        answer(t, w);
    tcp_conn_end(c, TCP_CLOSE_DONE, true);
}

void tcp_tw_timer(struct wheel_timer *timer, int64_t now)
{
    struct tcp *t = (struct tcp *)((char *)timer - offsetof(struct tcp, tw_wheel));
    struct tcp_tw *w;
    while ((w = TAILQ_FIRST(&t->tws_live)) != NULL && w->until <= now)
        tcp_tw_remove(w);
    if (w != NULL)
        wheel_arm(&t->wheel, &t->tw_wheel, w->until);
}

/* RFC 6191 2 and RFC 9293 MAY-2: a SYN that cannot be an old one. */
static bool may_reuse(const struct tcp_tw *w, const struct tcp_seg *s)
{
    if ((s->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
        return false;
    if (w->has_ts && s->has_ts && s->ts_val != w->ts_recent)
        return seq_gt(s->ts_val, w->ts_recent);
    return seq_gt(s->seq, w->rcv_nxt);
}

void tcp_tw_input(struct tcp *t, struct tcp_tw *w, const struct tcp_seg *s, struct rte_mbuf *m)
{
    if (may_reuse(w, s) && tcp_listener_find(t, &w->key) != NULL) {
        struct tcp_key key = w->key;
        t->stats.time_wait_reused++;
        tcp_tw_remove(w);
        tcp_listen_input(t, &key, s, m);
        return;
    }
    rte_pktmbuf_free(m);
    if (s->flags & TCP_RST) /* RFC 1337: an RST does not end TIME_WAIT */
        return;
    if (s->flags & TCP_SYN || w->has_ts != s->has_ts ||
        (s->has_ts && seq_lt(s->ts_val, w->ts_recent))) {
        if (tcp_challenge_allowed(t))
            answer(t, w);
        return;
    }
    uint32_t end = s->seq + tcp_seg_space(s);
    if (tcp_seg_space(s) == 0 && s->seq == w->rcv_nxt)
        return;                                    /* a plain ACK asks for nothing */
    if (s->flags & TCP_FIN && end == w->rcv_nxt) { /* the FIN again: 2 MSL start anew */
        TAILQ_REMOVE(&t->tws_live, w, link);
        start(t, w);
    }
    answer(t, w);
}
