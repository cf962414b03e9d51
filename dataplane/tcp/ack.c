/* The fifth step of RFC 9293 3.10.7.4: what an acknowledgment brings. */
#include <rte_mbuf.h>

#include "base/check.h"
#include "dataplane/tcp/parts.h"

/* Gives back n acknowledged bytes; tx_pos stays at the same byte of the stream. */
static void release_sent(struct tcp_conn *c, uint32_t n)
{
    c->sent_bytes += n;
    while (n > 0) {
        struct rte_mbuf *head = c->tx.head;
        uint32_t len = head->data_len, cut = n < len ? n : len;
        bool here = c->tx_pos.seg == head;
        chain_consume(&c->tx, cut);
        n -= cut;
        if (here)
            c->tx_pos = cut == len ? (struct chain_pos){c->tx.head, 0}
                                   : (struct chain_pos){head, c->tx_pos.off - cut};
    }
    tcp_event(c, EVENT_SENT);
}

static void cumulative(struct tcp_conn *c, const struct tcp_seg *s, struct tcp_acked *a)
{
    a->bytes = s->ack - c->snd_una;
    tcp_scoreboard_ack(c, s->ack, a);
    bool fin = c->flags & F_FIN_SENT && s->ack == c->snd_nxt;
    if (a->bytes - fin > 0)
        release_sent(c, a->bytes - fin);
    c->snd_una = s->ack;
    c->progress_at = c->tcp->now;
    c->full_rtos = 0;
    c->retries = 0;
}

static void measure(struct tcp_conn *c, const struct tcp_seg *s, struct tcp_acked *a)
{
    if (a->rtt < 0 && a->bytes > 0 && a->has_ecr && s->ts_ecr != 0) {
        /* RFC 7323 4.1: the timestamp tells retransmissions apart, to a millisecond */
        uint32_t ms = tcp_ts_clock(c->tcp) + c->ts_offset - s->ts_ecr;
        if (ms < 1u << 20)
            a->rtt = (int64_t)ms * TCP_MS;
    }
    if (a->rtt >= 0)
        tcp_rtt_sample(c, a->rtt);
}

/*
 * SND.WL1 and SND.WL2: an old segment does not change the window. A segment that acknowledges
 * something new is not old, even if it carries a retransmission: its window counts from its ACK.
 */
static void update_window(struct tcp_conn *c, const struct tcp_seg *s, bool advanced)
{
    if (!advanced &&
        (seq_lt(s->seq, c->snd_wl1) || (s->seq == c->snd_wl1 && seq_lt(s->ack, c->snd_wl2))))
        return;
    c->snd_wnd = (uint32_t)s->window << (c->flags & F_SCALE ? c->snd_scale : 0);
    c->snd_wl1 = s->seq;
    c->snd_wl2 = s->ack;
    if (c->snd_wnd > c->snd_wnd_max)
        c->snd_wnd_max = c->snd_wnd;
    if (c->timer == TIMER_PERSIST && c->snd_wnd > 0) {
        c->backoff = 0;
        tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
    }
}

/*
 * RFC 3168 6.1.2: at most once per window of data, that is once something was acknowledged that left
 * after the last reduction; also by the ACK that leaves nothing in flight.
 */
static void congestion_mark(struct tcp_conn *c, const struct tcp_seg *s, bool had_flight)
{
    if (!(c->flags & F_ECN) || !had_flight || seq_le(c->snd_una, c->ecn_point))
        return;
    if (!(s->flags & TCP_ECE)) {
        c->ecn_point = c->snd_una - 1; /* never far behind, for the comparison's sake */
        return;
    }
    if (c->recovery != RECOVERY_OPEN)
        return;
    tcp_cc_loss(c);
    c->ecn_point = c->snd_nxt;
    c->flags |= F_CWR_OUT;
    c->tcp->stats.ecn_reductions++;
}

static bool is_duplicate(const struct tcp_conn *c, const struct tcp_seg *s)
{
    uint32_t window = (uint32_t)s->window << (c->flags & F_SCALE ? c->snd_scale : 0);
    return s->ack == c->snd_una && c->descs != NULL && tcp_seg_space(s) == 0 &&
           window == c->snd_wnd; /* RFC 5681 2 */
}

/* The peer is there, and it was not somebody who guessed a sequence number (RFC 5961 5.2). */
static void heard(struct tcp_conn *c, const struct tcp_seg *s)
{
    /* RFC 7323 4.3: only segments that span the last ACK sent move it */
    if (c->flags & F_TS && s->has_ts && seq_le(s->seq, c->rcv_acked) &&
        seq_ge(s->ts_val, c->ts_recent))
        c->ts_recent = s->ts_val;
    c->heard_at = c->tcp->now;
    c->keep_probes = 0;
}

bool tcp_conn_ack(struct tcp_conn *c, const struct tcp_seg *s)
{
    uint32_t oldest = c->snd_una - (c->snd_wnd_max > 65535 ? c->snd_wnd_max : 65535);
    if (seq_gt(s->ack, c->snd_nxt) || seq_lt(s->ack, oldest)) { /* RFC 5961 5.2 */
        c->tcp->stats.bad_ack++;
        tcp_challenge_ack(c);
        return false;
    }
    heard(c, s);
    struct tcp_acked a = {
        .rtt = -1, .ack = s->ack, .has_ecr = s->has_ts && c->flags & F_TS, .ts_ecr = s->ts_ecr};
    bool duplicate = is_duplicate(c, s);
    if (seq_gt(s->ack, c->snd_una))
        cumulative(c, s, &a);
    if (s->sacks > 0 && c->flags & F_SACK && s->ack == c->snd_una)
        tcp_scoreboard_sack(c, s, &a);
    measure(c, s, &a);
    if (s->ack == c->snd_una)
        update_window(c, s, a.bytes > 0);
    congestion_mark(c, s, a.bytes > 0 || c->descs != NULL);
    bool limited = (c->flags & F_CWND_LIMITED) != 0;
    tcp_recovery_after_ack(c, &a, duplicate);
    if (a.bytes > 0 && c->recovery != RECOVERY_FAST && limited)
        tcp_cc_acked(c, a.bytes, a.rtt);
    if (c->descs == NULL || a.bytes > 0 || a.sacked_bytes > 0)
        tcp_timer_rearm(c);
    if (tcp_output_waits(c) || c->recovery != RECOVERY_OPEN)
        tcp_want_output(c);
    return true;
}
