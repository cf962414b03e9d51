/* A segment arrives: RFC 9293 3.10.7, its steps in its order. */
#include <rte_mbuf.h>

#include "base/check.h"
#include "dataplane/tcp/parts.h"

#define OUT_OF_WINDOW_PAUSE (100 * TCP_MS)                 /* between answers to empty segments */
#define TS_VALID            (24LL * 86400 * 1000 * TCP_MS) /* RFC 7323 5.5: 24 days */

/* --- challenge ACKs (RFC 5961) -------------------------------------------------------------------------- */

bool tcp_challenge_allowed(struct tcp *t)
{
    if (t->challenge_left == 0) {
        t->stats.challenge_limited++;
        return false;
    }
    t->challenge_left--;
    t->stats.challenge_acks++;
    return true;
}

void tcp_challenge_ack(struct tcp_conn *c)
{
    if (c->flags & F_ACK_NOW || !tcp_challenge_allowed(c->tcp))
        return;
    c->flags |= F_ACK_NOW;
    tcp_want_output(c);
}

/* --- first step: is it acceptable? ------------------------------------------------------------------------ */

static uint32_t receive_window(const struct tcp_conn *c)
{
    return seq_gt(c->rcv_edge, c->rcv_nxt) ? c->rcv_edge - c->rcv_nxt : 0;
}

/* RFC 9293 table 6; an empty segment right at the edge passes, for the sake of its ACK. */
static bool acceptable(const struct tcp_conn *c, const struct tcp_seg *s)
{
    uint32_t len = tcp_seg_space(s), window = receive_window(c);
    uint32_t edge = c->rcv_nxt + window;
    if (s->seq == c->rcv_nxt) /* with a closed window too: its ACK and RST count (MUST-66) */
        return true;
    if (len == 0)
        return seq_ge(s->seq, c->rcv_nxt) && seq_le(s->seq, edge);
    return seq_lt(s->seq, edge) && seq_gt(s->seq + len, c->rcv_nxt);
}

/* Answers what is not acceptable; empty segments at a bounded pace, so that two ends never loop. */
static void answer_unacceptable(struct tcp_conn *c, const struct tcp_seg *s)
{
    struct tcp *t = c->tcp;
    if (s->payload == 0 && !(s->flags & (TCP_SYN | TCP_FIN))) {
        if (t->now - c->oow_ack_at < OUT_OF_WINDOW_PAUSE)
            return;
        c->oow_ack_at = t->now;
    }
    c->flags |= F_ACK_NOW;
    tcp_want_output(c);
}

static bool timestamp_fits(struct tcp_conn *c, const struct tcp_seg *s)
{
    if (!(c->flags & F_TS) || s->flags & TCP_RST)
        return true;
    if (!s->has_ts && c->state == TCP_STATE_SYN_RCVD) { /* a middle box took it out of our SYN */
        c->flags &= ~(uint32_t)F_TS;
        return true;
    }
    if (!s->has_ts) { /* RFC 7323 3.2: dropped in silence */
        c->tcp->stats.paws_dropped++;
        return false;
    }
    if (seq_ge(s->ts_val, c->ts_recent) || c->tcp->now - c->heard_at > TS_VALID)
        return true;
    c->tcp->stats.paws_dropped++;
    answer_unacceptable(c, s);
    return false;
}

static bool check_sequence(struct tcp_conn *c, const struct tcp_seg *s)
{
    if (!timestamp_fits(c, s))
        return false;
    if (acceptable(c, s))
        return true;
    if (s->flags & TCP_RST)
        return false;
    c->tcp->stats.out_of_window++;
    if (s->payload > 0 && seq_le(s->seq + s->payload, c->rcv_nxt)) {
        c->tcp->stats.duplicates_in++;
        tcp_dsack_note(c, s->seq, s->seq + s->payload);
    }
    answer_unacceptable(c, s);
    return false;
}

/* --- second and fourth step: RST, SYN ------------------------------------------------------------------------ */

/* RFC 5961 3.2: only the exact sequence number resets. */
static void check_reset(struct tcp_conn *c, const struct tcp_seg *s)
{
    if (s->seq != c->rcv_nxt) {
        tcp_challenge_ack(c);
        return;
    }
    c->tcp->stats.resets_in++;
    bool over = c->state == TCP_STATE_CLOSING || c->state == TCP_STATE_LAST_ACK;
    enum tcp_close_reason reason = TCP_CLOSE_RESET;
    if (over && c->tx.bytes == 0)
        reason = TCP_CLOSE_DONE;
    else if (c->state == TCP_STATE_SYN_RCVD)
        reason = TCP_CLOSE_REFUSED;
    tcp_conn_end(c, reason, reason == TCP_CLOSE_DONE);
}

/* --- fifth step: ACK -------------------------------------------------------------------------------------------- */

static void learn_window(struct tcp_conn *c, const struct tcp_seg *s)
{
    c->snd_wnd = (uint32_t)s->window
                 << (s->flags & TCP_SYN || !(c->flags & F_SCALE) ? 0 : c->snd_scale);
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
}

/* Both SYNs are acknowledged: data may flow. */
static void opened(struct tcp_conn *c, const struct tcp_seg *s)
{
    bool once = c->retries == 0, shutdown = (c->flags & F_FIN_QUEUED) != 0;
    c->snd_una = s->ack;
    learn_window(c, s);
    tcp_conn_established(c);
    if (once)
        tcp_rtt_sample(c, c->tcp->now - c->output_at);
    else
        c->rto = 3000 * TCP_MS < c->tcp->o.rto_max ? 3000 * TCP_MS : c->tcp->o.rto_max;
    c->retries = 0;
    c->tcp->stats.opened_active++;
    tcp_event(c, EVENT_CONNECTED);
    if (shutdown)
        c->state = TCP_STATE_FIN_WAIT_1;
    tcp_want_output(c);
}

static bool check_ack(struct tcp_conn *c, const struct tcp_seg *s)
{
    if (c->state == TCP_STATE_SYN_RCVD) {
        if (s->ack != c->snd_nxt) {
            tcp_reset_answer(c->tcp, &c->key, s);
            return false;
        }
        opened(c, s);
    }
    if (!tcp_conn_ack(c, s))
        return false;
    bool fin_acked = c->flags & F_FIN_SENT && c->snd_una == c->snd_nxt;
    if (!fin_acked)
        return true;
    if (c->state == TCP_STATE_FIN_WAIT_1) {
        c->state = TCP_STATE_FIN_WAIT_2;
        tcp_keepalive_restart(c);
    } else if (c->state == TCP_STATE_CLOSING) {
        tcp_tw_enter(c);
        return false;
    } else if (c->state == TCP_STATE_LAST_ACK) {
        if (c->flags & F_COOKIE) /* its first text, if it comes once more, would open it again */
            tcp_tw_enter(c);
        else
            tcp_conn_end(c, TCP_CLOSE_DONE, true);
        return false;
    }
    return true;
}

/* --- seventh and eighth step: text, FIN ------------------------------------------------------------------------ */

static bool may_receive(const struct tcp_conn *c)
{
    return (c->state == TCP_STATE_ESTABLISHED || c->state == TCP_STATE_FIN_WAIT_1 ||
            c->state == TCP_STATE_FIN_WAIT_2) &&
           !(c->flags & F_FIN_IN);
}

/* Cuts the payload to the window and hands it on; takes m. */
static void take_text(struct tcp_conn *c, const struct tcp_seg *s, struct rte_mbuf *m)
{
    bool fits = s->seq == c->rcv_nxt && s->payload <= receive_window(c);
    if (fits && !(c->flags & F_FIN_HELD)) { /* nothing to cut */
        tcp_conn_data(c, s->seq, s->payload, m);
        return;
    }
    uint32_t seq = s->seq, len = s->payload, edge = c->rcv_nxt + receive_window(c);
    struct chain piece = {0};
    chain_append(&piece, m);
    if (c->flags & F_FIN_HELD && seq_gt(edge, c->fin_in))
        edge = c->fin_in;
    if (seq_lt(seq, c->rcv_nxt)) {
        uint32_t old = seq_min(c->rcv_nxt, seq + len) - seq;
        c->flags |= F_ACK_NOW; /* the peer should learn soon that it sent in vain */
        tcp_want_output(c);
        tcp_dsack_note(c, seq, seq + old);
        chain_consume(&piece, old);
        seq += old;
        len -= old;
    }
    if (seq_gt(seq + len, edge)) {
        len = seq_gt(edge, seq) ? edge - seq : 0;
        c->flags |= F_ACK_NOW;
        tcp_want_output(c);
    }
    if (len == 0) {
        chain_free(&piece);
        c->flags |= F_ACK_NOW;
        tcp_want_output(c);
        return;
    }
    struct rte_mbuf *last = piece.head;
    for (uint32_t left = len;; last = last->next) { /* cut off the end */
        if (last->data_len >= left) {
            last->data_len = (uint16_t)left;
            struct rte_mbuf *rest = last->next;
            last->next = NULL;
            while (rest != NULL) {
                struct rte_mbuf *next = rest->next;
                rte_pktmbuf_free_seg(rest);
                rest = next;
            }
            break;
        }
        left -= last->data_len;
    }
    tcp_conn_data(c, seq, len, piece.head);
}

static void take_fin(struct tcp_conn *c)
{
    c->rcv_nxt++;
    if (seq_lt(c->rcv_edge, c->rcv_nxt))
        c->rcv_edge = c->rcv_nxt;
    c->flags = (c->flags & ~(uint32_t)F_FIN_HELD) | F_FIN_IN | F_ACK_NOW;
    tcp_ooo_free(c);
    tcp_event(c, EVENT_FINISHED);
    tcp_want_output(c);
    if (c->state == TCP_STATE_ESTABLISHED)
        c->state = TCP_STATE_CLOSE_WAIT;
    else if (c->state == TCP_STATE_FIN_WAIT_1)
        c->state = TCP_STATE_CLOSING;
    else if (c->state == TCP_STATE_FIN_WAIT_2)
        tcp_tw_enter(c);
}

static void check_text(struct tcp_conn *c, const struct tcp_seg *s, struct rte_mbuf *m)
{
    if (!may_receive(c)) {
        rte_pktmbuf_free(m);
        return;
    }
    uint32_t fin_at = s->seq + s->payload;
    bool fin = s->flags & TCP_FIN && !(c->flags & F_FIN_HELD) && seq_ge(fin_at, c->rcv_nxt) &&
               (seq_lt(fin_at, c->rcv_edge) || fin_at == c->rcv_nxt);
    if (s->payload > 0 && c->flags & F_CLOSING && seq_gt(s->seq + s->payload, c->rcv_nxt)) {
        rte_pktmbuf_free(m); /* RFC 9293 3.6.1: data after close is lost, the peer must know */
        tcp_send_rst(c);
        tcp_conn_end(c, TCP_CLOSE_ABORT, false);
        return;
    }
    if (s->payload > 0)
        take_text(c, s, m);
    else
        rte_pktmbuf_free(m);
    if (fin) {
        c->fin_in = fin_at;
        c->flags |= F_FIN_HELD | F_ACK_NOW;
        tcp_want_output(c);
    }
    if (c->flags & F_FIN_HELD && c->rcv_nxt == c->fin_in)
        take_fin(c);
}

/* --- SYN_SENT (3.10.7.3) ------------------------------------------------------------------------------------------ */

static void learn_options(struct tcp_conn *c, const struct tcp_seg *s)
{
    const struct tcp_options *o = &c->tcp->o;
    c->irs = s->seq;
    c->rcv_nxt = s->seq + 1;
    c->rcv_acked = c->rcv_nxt;
    c->window_base = c->rcv_nxt;
    c->rcv_edge = c->rcv_nxt + (c->window < 65535 ? c->window : 65535);
    if (s->mss != 0)
        c->peer_mss = tcp_peer_mss(s->mss);
    if (o->window_scaling && s->has_scale) {
        c->flags |= F_SCALE;
        c->snd_scale = s->scale;
        c->rcv_scale = c->tcp->rcv_scale;
    }
    if (o->timestamps && s->has_ts) {
        c->flags |= F_TS;
        c->ts_recent = s->ts_val;
    }
    if (o->sack && s->sack_ok)
        c->flags |= F_SACK;
    if (o->ecn && (s->flags & (TCP_ECE | TCP_CWR)) == TCP_ECE && s->flags & TCP_ACK &&
        c->retries < 2)
        c->flags |= F_ECN;
}

static void syn_sent_input(struct tcp_conn *c, const struct tcp_seg *s)
{
    bool ack = (s->flags & TCP_ACK) != 0;
    if (ack && s->ack != c->snd_nxt) {
        tcp_reset_answer(c->tcp, &c->key, s);
        return;
    }
    if (s->flags & TCP_RST) {
        if (ack) {
            c->tcp->stats.resets_in++;
            tcp_conn_end(c, TCP_CLOSE_REFUSED, false);
        }
        return;
    }
    if (!(s->flags & TCP_SYN) || c->snd_nxt == c->snd_una)
        return;
    learn_options(c, s);
    if (ack) {
        opened(c, s);
        c->flags |= F_ACK_NOW;
    } else { /* simultaneous open */
        c->state = TCP_STATE_SYN_RCVD;
        learn_window(c, s);
        c->flags |= F_SYN_OUT;
        tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
        tcp_want_output(c);
    }
}

/* --- the steps together --------------------------------------------------------------------------------------------- */

static void congestion_bits(struct tcp_conn *c, const struct tcp_seg *s)
{
    if (!(c->flags & F_ECN))
        return;
    if (s->flags & TCP_CWR)
        c->flags &= ~(uint32_t)F_ECE_OUT;
    if (s->ecn == 3 && s->payload > 0) {
        c->flags |= F_ECE_OUT;
        c->tcp->stats.ecn_marks_in++;
    }
}

void tcp_conn_input(struct tcp_conn *c, const struct tcp_seg *s, struct rte_mbuf *m)
{
    if (c->state == TCP_STATE_SYN_SENT) {
        syn_sent_input(c, s);
        goto drop;
    }
    if (!check_sequence(c, s))
        goto drop;
    if (s->flags & TCP_RST) {
        check_reset(c, s);
        goto drop;
    }
    if (s->flags & TCP_SYN) { /* RFC 5961 4.2 */
        tcp_challenge_ack(c);
        goto drop;
    }
    if (!(s->flags & TCP_ACK))
        goto drop;
    if (!check_ack(c, s))
        goto drop;
    congestion_bits(c, s);
    if (s->payload > 0 || s->flags & TCP_FIN) {
        check_text(c, s, m);
        m = NULL;
    }
    if (c->state != TCP_STATE_CLOSED && !(c->flags & F_OUTPUT))
        tcp_timer_sync(c);
drop:
    rte_pktmbuf_free(m);
}

static bool checksum_good(struct tcp *t, const struct tcp_addrs *addrs, const struct rte_mbuf *m)
{
    uint16_t sum = checksum_pseudo(addrs, m->pkt_len);
    return checksum_add(sum, checksum_chain(t->sum, m, m->pkt_len)) == 0xffff;
}

static void dispatch(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s,
                     struct rte_mbuf *m)
{
    table_ref ref = table_get(&t->table, key);
    uint32_t i = table_ref_index(ref);
    if (ref == 0) {
        tcp_listen_input(t, key, s, m);
        return;
    }
    switch (table_ref_kind(ref)) {
    case TCP_BLOCK_CONN:
        tcp_conn_input(&t->conns[i], s, m);
        return;
    case TCP_BLOCK_SYN:
        tcp_synb_input(t, &t->syns[i], s, m);
        return;
    case TCP_BLOCK_TIME_WAIT:
        tcp_tw_input(t, &t->tws[i], s, m);
        return;
    }
}

/* Header bytes in one piece: in place, or copied if the mbufs divide them. */
static const uint8_t *header_of(const struct rte_mbuf *m, uint8_t *scratch, uint32_t *have)
{
    *have = m->data_len;
    if (m->data_len >= TCP_HEADER_MAX || m->next == NULL)
        return rte_pktmbuf_mtod(m, const uint8_t *);
    *have = m->pkt_len < TCP_HEADER_MAX ? m->pkt_len : TCP_HEADER_MAX;
    return rte_pktmbuf_read(m, 0, *have, scratch);
}

/* The payload alone. */
static struct rte_mbuf *cut_header(struct rte_mbuf *m, uint32_t header)
{
    if (m->data_len > header) {
        m->data_off = (uint16_t)(m->data_off + header);
        m->data_len = (uint16_t)(m->data_len - header);
        return m;
    }
    struct chain all = {0};
    chain_append(&all, m);
    chain_consume(&all, header);
    return all.head;
}

void tcp_input(struct tcp *t, const struct tcp_addrs *addrs, struct rte_mbuf *m, uint32_t flags,
               int64_t now)
{
    if (now > t->now)
        t->now = now;
    t->stats.segments_in++;
    struct tcp_seg s;
    uint8_t scratch[TCP_HEADER_MAX];
    uint32_t have;
    const uint8_t *p = header_of(m, scratch, &have);
    if (p == NULL || tcp_wire_parse(p, have, m->pkt_len, &s) < 0) {
        t->stats.bad_header++;
        rte_pktmbuf_free(m);
        return;
    }
    if (!(flags & TCP_IN_CHECKSUM_GOOD) && !checksum_good(t, addrs, m)) {
        t->stats.bad_checksum++;
        rte_pktmbuf_free(m);
        return;
    }
    s.ecn = flags & TCP_IN_ECN;
    struct tcp_key key = {addrs->local, addrs->remote, s.dst, s.src};
    if (s.payload == 0) {
        rte_pktmbuf_free(m);
        m = NULL;
    } else {
        m = cut_header(m, s.header);
    }
    dispatch(t, &key, &s, m);
}
