/* What is lost and what follows: RACK-TLP (RFC 8985), NewReno without SACK (RFC 6582), RTO (RFC 6298). */
#include "dataplane/tcp/parts.h"

#define DUP_THRESH   3
#define REO_MULT_MAX 16
#define REO_PERSIST  16 /* recoveries until a widened window is forgotten */

/* --- RACK ---------------------------------------------------------------------------------------------- */

static bool sent_after(int64_t at, uint32_t end, int64_t than_at, uint32_t than_end)
{
    return at > than_at || (at == than_at && seq_gt(end, than_end));
}

void tcp_rack_sample(struct tcp_conn *c, const struct tcp_desc *d, struct tcp_acked *a)
{
    int64_t rtt = c->tcp->now - d->sent_at;
    uint32_t end = d->seq + d->len;
    if (d->sends > 1) { /* 6.2 step 2: is it the retransmission that was acknowledged? */
        uint32_t sent_ts = (uint32_t)((uint64_t)d->sent_at / 1000000u) + c->ts_offset;
        if (a->has_ecr && seq_lt(a->ts_ecr, sent_ts))
            return;
        if (rtt < c->min_rtt)
            return;
    }
    if (c->rack_sent_at == 0 || sent_after(d->sent_at, end, c->rack_sent_at, c->rack_end)) {
        c->rack_sent_at = d->sent_at;
        c->rack_end = end;
        c->rack_rtt = rtt;
    }
    if (seq_gt(end, c->rack_fack)) /* step 3 */
        c->rack_fack = end;
    else if (seq_lt(end, c->rack_fack) && d->sends == 1)
        c->flags |= F_REORDERED;
}

/* 6.2 step 4: a D-SACK says that the window was too small. */
void tcp_rack_reordering(struct tcp_conn *c, const struct tcp_acked *a)
{
    if (a->dsack && seq_ge(c->snd_una, c->reo_dsack_round)) {
        c->reo_mult += c->reo_mult < REO_MULT_MAX;
        c->reo_persist = REO_PERSIST;
        c->reo_dsack_round = c->snd_nxt;
    }
}

static int64_t reordering_window(const struct tcp_conn *c)
{
    if (!(c->flags & F_REORDERED) &&
        (c->recovery != RECOVERY_OPEN || c->sacked >= DUP_THRESH * (uint32_t)c->mss))
        return 0;
    if (c->min_rtt == INT64_MAX)
        return c->srtt;
    int64_t window = c->reo_mult * (c->min_rtt / 4);
    return window < c->srtt ? window : c->srtt;
}

bool tcp_rack_detect(struct tcp_conn *c)
{
    if (c->timer == TIMER_REO)
        tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
    if (c->rack_sent_at == 0)
        return false;
    int64_t window = reordering_window(c), wait = 0;
    bool any = false;
    for (struct tcp_desc *d = c->descs; d != NULL; d = d->next) {
        if (d->flags & (DESC_SACKED | DESC_LOST) ||
            !sent_after(c->rack_sent_at, c->rack_end, d->sent_at, d->seq + d->len))
            continue;
        int64_t left = d->sent_at + c->rack_rtt + window - c->tcp->now;
        if (left <= 0) {
            tcp_desc_lost(c, d);
            any = true;
        } else if (left > wait) {
            wait = left;
        }
    }
    if (wait > 0)
        tcp_timer_set(c, TIMER_REO, c->tcp->now + wait);
    return any;
}

/* --- entering and leaving -------------------------------------------------------------------------------- */

void tcp_recovery_enter(struct tcp_conn *c)
{
    tcp_cc_save(c);
    tcp_cc_loss(c);
    c->recovery = RECOVERY_FAST;
    c->recovery_point = c->snd_nxt;
    c->flags &= ~(uint32_t)(F_TLP | F_TLP_RETRANS | F_TLP_OUT);
    c->tcp->stats.fast_recoveries++;
}

void tcp_recovery_timeout(struct tcp_conn *c)
{
    if (c->recovery != RECOVERY_LOSS) {
        tcp_cc_save(c);
        tcp_cc_timeout(c);
        c->flags &= ~(uint32_t)F_EIFEL;
    } else {
        c->cwnd = c->mss;
    }
    bool reneged = c->descs->flags & DESC_SACKED; /* RFC 2018 8: then no SACK can be trusted */
    c->tcp->stats.reneged += reneged;
    for (struct tcp_desc *d = c->descs; d != NULL; d = d->next) {
        if (reneged && d->flags & DESC_SACKED) {
            d->flags &= (uint8_t)~DESC_SACKED;
            c->sacked -= d->len;
            c->pipe += d->len;
        }
        tcp_desc_lost(c, d);
    }
    c->recovery = RECOVERY_LOSS;
    c->recovery_point = c->snd_nxt;
    c->dup_acks = 0;
    c->flags &= ~(uint32_t)(F_TLP | F_TLP_RETRANS | F_TLP_OUT);
}

static void leave(struct tcp_conn *c)
{
    if (c->recovery == RECOVERY_FAST) {
        /* RFC 6582 3.2 step 3: no burst at the end */
        uint32_t quiet = (c->pipe > c->mss ? c->pipe : c->mss) + c->mss;
        if (!(c->flags & F_SACK) && c->cwnd > quiet)
            c->cwnd = quiet;
    }
    if (c->reo_persist > 0 && --c->reo_persist == 0)
        c->reo_mult = 1;
    c->recovery = RECOVERY_OPEN;
    c->dup_acks = 0;
    c->flags &= ~(uint32_t)F_EIFEL;
}

/* RFC 3522: the ACK answers what was sent before the timeout's retransmission. */
static bool timeout_was_spurious(const struct tcp_conn *c, const struct tcp_acked *a)
{
    return c->recovery == RECOVERY_LOSS && c->flags & F_EIFEL && a->bytes > 0 && a->has_ecr &&
           seq_lt(a->ts_ecr, c->eifel_ts);
}

static void undo_timeout(struct tcp_conn *c)
{
    for (struct tcp_desc *d = c->descs; d != NULL; d = d->next)
        if (d->flags & DESC_LOST) {
            d->flags &= (uint8_t)~DESC_LOST;
            c->pipe += d->len;
        }
    tcp_cc_undo(c);
    c->recovery = RECOVERY_OPEN;
    c->flags &= ~(uint32_t)F_EIFEL;
    c->tcp->stats.spurious_rtos++;
}

/* --- loss probes (RFC 8985 7.4) ---------------------------------------------------------------------------- */

static void probe_answered(struct tcp_conn *c, const struct tcp_acked *a, bool duplicate)
{
    if (!(c->flags & F_TLP) || seq_lt(a->ack, c->tlp_end))
        return;
    bool done = !(c->flags & F_TLP_RETRANS) || (a->dsack && a->dsack_end == c->tlp_end) ||
                (a->ack == c->tlp_end && duplicate && a->sacked_bytes == 0);
    bool repaired = !done && seq_gt(a->ack, c->tlp_end);
    if (!done && !repaired)
        return;
    c->flags &= ~(uint32_t)(F_TLP | F_TLP_RETRANS);
    if (repaired && c->recovery == RECOVERY_OPEN)
        tcp_cc_loss(c); /* the probe hid a loss from congestion control */
}

/* --- without SACK ------------------------------------------------------------------------------------------- */

static void lose_first(struct tcp_conn *c)
{
    struct tcp_desc *d = c->descs;
    if (d->len > c->mss)
        (void)tcp_desc_split(c, d, c->mss); /* without a descriptor: more than needed is sent */
    tcp_desc_lost(c, d);
}

static bool newreno(struct tcp_conn *c, const struct tcp_acked *a, bool duplicate)
{
    if (duplicate && c->dup_acks < 255) {
        c->dup_acks++;
        if (c->dup_acks != DUP_THRESH || c->recovery != RECOVERY_OPEN ||
            seq_lt(c->snd_una, c->recovery_point))
            return false;
        lose_first(c);
        return true;
    }
    if (a->bytes == 0)
        return false;
    if (c->recovery == RECOVERY_FAST && c->descs != NULL) { /* partial ACK: the next hole */
        uint32_t left = a->bytes / c->mss;
        c->dup_acks = (uint8_t)(c->dup_acks > left ? c->dup_acks - left : 0);
        lose_first(c);
        return true;
    }
    c->dup_acks = 0;
    return false;
}

void tcp_recovery_after_ack(struct tcp_conn *c, struct tcp_acked *a, bool duplicate)
{
    if (timeout_was_spurious(c, a))
        undo_timeout(c);
    probe_answered(c, a, duplicate);
    if (c->recovery != RECOVERY_OPEN && seq_ge(c->snd_una, c->recovery_point))
        leave(c);
    bool lost = false;
    if (!(c->flags & F_SACK)) {
        lost = newreno(c, a, duplicate);
    } else if (c->descs != NULL) {
        tcp_rack_reordering(c, a);
        if (c->sacked > 0 || c->recovery != RECOVERY_OPEN || a->acked_retrans)
            lost = tcp_rack_detect(c);
    }
    if (lost && c->recovery == RECOVERY_OPEN)
        tcp_recovery_enter(c);
}
