/* Congestion control: CUBIC (RFC 9438), NewReno (RFC 5681), HyStart++ (RFC 9406), IW10 (RFC 6928). */
#include <math.h>

#include "dataplane/tcp/parts.h"

#define CUBIC_C       0.4
#define CUBIC_BETA    0.7
#define CWND_MAX      (1u << 30)
#define SLOW_LIMIT    8 /* segments that one ACK may add in slow start (RFC 9406 4.2: L) */
#define HS_RTT_MIN    (4 * TCP_MS)
#define HS_RTT_MAX    (16 * TCP_MS)
#define HS_SAMPLES    8
#define HS_CSS_SHRINK 4
#define HS_CSS_ROUNDS 5
#define HS_DIVISOR    8

uint32_t tcp_cc_initial(uint32_t mss)
{
    uint32_t floor = 2 * mss > 14600 ? 2 * mss : 14600;
    return 10 * mss < floor ? 10 * mss : floor;
}

static void round_start(struct tcp_conn *c)
{
    c->hystart.last_min = c->hystart.round_min;
    c->hystart.round_min = INT64_MAX;
    c->hystart.samples = 0;
    c->hystart.round_end = c->snd_nxt;
}

void tcp_cc_init(struct tcp_conn *c)
{
    c->cwnd = tcp_cc_initial(c->mss);
    if (c->tcp->o.rto_initial > 0 && c->retries > 0)
        c->cwnd = c->mss; /* RFC 5681 3.1: a SYN was lost */
    c->ssthresh = CWND_MAX;
    c->hystart.round_min = c->hystart.last_min = c->hystart.css_base = INT64_MAX;
    c->hystart.off = !c->tcp->o.hystart;
    round_start(c);
}

/* --- HyStart++ ---------------------------------------------------------------------------------------------- */

static void css_enter(struct tcp_conn *c)
{
    c->flags |= F_SLOW_START;
    c->hystart.css_base = c->hystart.round_min;
    c->hystart.css_rounds = 0;
}

static void hystart_sample(struct tcp_conn *c, int64_t rtt)
{
    struct tcp_hystart *h = &c->hystart;
    if (rtt >= 0) {
        h->round_min = rtt < h->round_min ? rtt : h->round_min;
        h->samples += h->samples < 255;
    }
    if (h->samples < HS_SAMPLES || h->round_min == INT64_MAX)
        return;
    if (c->flags & F_SLOW_START) {
        if (h->round_min < h->css_base) { /* the rise was noise */
            h->css_base = INT64_MAX;
            c->flags &= ~(uint32_t)F_SLOW_START;
        }
        return;
    }
    if (h->last_min == INT64_MAX)
        return;
    int64_t thresh = h->last_min / HS_DIVISOR;
    thresh = thresh < HS_RTT_MIN ? HS_RTT_MIN : thresh > HS_RTT_MAX ? HS_RTT_MAX : thresh;
    if (h->round_min >= h->last_min + thresh)
        css_enter(c);
}

static void hystart(struct tcp_conn *c, int64_t rtt)
{
    if (c->hystart.off)
        return;
    hystart_sample(c, rtt);
    if (seq_lt(c->snd_una, c->hystart.round_end))
        return;
    if (c->flags & F_SLOW_START && ++c->hystart.css_rounds >= HS_CSS_ROUNDS) {
        c->ssthresh = c->cwnd;
        c->flags &= ~(uint32_t)F_SLOW_START;
    }
    round_start(c);
}

/* --- growth ----------------------------------------------------------------------------------------------------- */

static void slow_start(struct tcp_conn *c, uint32_t bytes, int64_t rtt)
{
    uint32_t add = bytes < SLOW_LIMIT * (uint32_t)c->mss ? bytes : SLOW_LIMIT * (uint32_t)c->mss;
    if (c->flags & F_SLOW_START)
        add /= HS_CSS_SHRINK;
    c->cwnd += add;
    hystart(c, rtt);
}

static void newreno_grow(struct tcp_conn *c, uint32_t bytes)
{
    uint64_t add = (uint64_t)c->mss * bytes / c->cwnd; /* a segment per window (RFC 5681 3.1) */
    c->cwnd += add > 0 ? (uint32_t)add : 1;
}

static void epoch_start(struct tcp_conn *c, double cwnd)
{
    struct tcp_cubic *q = &c->cubic;
    q->epoch = c->tcp->now;
    q->cwnd_epoch = cwnd;
    q->w_est = cwnd;
    if (q->w_max > cwnd) {
        q->k = cbrt((q->w_max - cwnd) / CUBIC_C);
    } else {
        q->k = 0;
        q->w_max = cwnd;
    }
}

static void cubic_grow(struct tcp_conn *c, uint32_t bytes)
{
    struct tcp_cubic *q = &c->cubic;
    double mss = c->mss, cwnd = c->cwnd / mss, acked = bytes / mss;
    if (q->epoch == 0)
        epoch_start(c, cwnd);
    double t = (double)(c->tcp->now - q->epoch) / 1e9;
    double ahead = t + (double)c->srtt / 1e9 - q->k, here = t - q->k;
    double target = CUBIC_C * ahead * ahead * ahead + q->w_max;
    double w_cubic = CUBIC_C * here * here * here + q->w_max;
    target = target < cwnd ? cwnd : target > 1.5 * cwnd ? 1.5 * cwnd : target;
    /* 4.3: as fast as Reno would be, with alpha 1 once the old maximum is reached */
    double alpha = q->w_est < q->w_max ? 3 * (1 - CUBIC_BETA) / (1 + CUBIC_BETA) : 1;
    q->w_est += alpha * acked / cwnd;
    double next = w_cubic < q->w_est ? (q->w_est > cwnd ? q->w_est : cwnd)
                                     : cwnd + (target - cwnd) / cwnd * acked;
    double bytes_next = next * mss;
    c->cwnd = bytes_next < CWND_MAX ? (uint32_t)bytes_next : CWND_MAX;
}

void tcp_cc_acked(struct tcp_conn *c, uint32_t bytes, int64_t rtt)
{
    if (c->cwnd >= CWND_MAX / 2)
        return;
    if (c->cwnd < c->ssthresh)
        slow_start(c, bytes, rtt);
    else if (c->tcp->o.congestion == TCP_NEWRENO)
        newreno_grow(c, bytes);
    else
        cubic_grow(c, bytes);
}

/* --- reduction ----------------------------------------------------------------------------------------------------- */

static uint32_t reduced(struct tcp_conn *c)
{
    uint32_t floor = 2u * c->mss, next;
    if (c->tcp->o.congestion == TCP_NEWRENO) {
        next = (c->snd_nxt - c->snd_una) / 2; /* RFC 5681 equation 4 */
    } else {
        double cwnd = (double)c->cwnd / c->mss;
        bool falling = cwnd < c->cubic.w_max; /* 4.7: fast convergence */
        c->cubic.w_max = falling ? cwnd * (1 + CUBIC_BETA) / 2 : cwnd;
        c->cubic.epoch = 0;
        next = (uint32_t)(c->cwnd * CUBIC_BETA);
    }
    return next > floor ? next : floor;
}

void tcp_cc_loss(struct tcp_conn *c)
{
    c->ssthresh = reduced(c);
    if (c->ssthresh < c->cwnd)
        c->cwnd = c->ssthresh;
    c->flags &= ~(uint32_t)F_SLOW_START;
    c->hystart.off = true; /* RFC 9406 4.2: for the initial slow start only */
}

void tcp_cc_timeout(struct tcp_conn *c)
{
    c->ssthresh = reduced(c);
    c->cwnd = c->mss;
    c->flags &= ~(uint32_t)F_SLOW_START;
    c->hystart.off = true;
}

/* RFC 5681 4.1: after an idle time the window says nothing any more. */
void tcp_cc_idle(struct tcp_conn *c)
{
    int64_t idle = c->tcp->now - c->output_at;
    if (idle <= c->rto)
        return;
    uint32_t restart = tcp_cc_initial(c->mss);
    c->cwnd = c->cwnd < restart ? c->cwnd : restart;
    if (c->cubic.epoch != 0)
        c->cubic.epoch += idle; /* RFC 9438 5.8: idle time does not count */
}

void tcp_cc_save(struct tcp_conn *c)
{
    c->prior_cwnd = c->cwnd;
    c->prior_ssthresh = c->ssthresh;
}

void tcp_cc_undo(struct tcp_conn *c)
{
    c->cwnd = c->cwnd > c->prior_cwnd ? c->cwnd : c->prior_cwnd;
    c->ssthresh = c->prior_ssthresh;
    c->cubic.epoch = 0;
}
