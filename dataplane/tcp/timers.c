/* What happens when nothing arrives: one wheel timer per connection carries three deadlines. */
#include "dataplane/tcp/parts.h"

#define WORST_DELAYED_ACK (200 * TCP_MS)  /* RFC 8985 7.2: WCDelAckT */
#define SYN_LOST_RTO      (3000 * TCP_MS) /* RFC 6298 5.7 */

void tcp_timer_set(struct tcp_conn *c, enum tcp_timer kind, int64_t at)
{
    c->timer = (uint8_t)kind;
    c->timer_at = at;
}

void tcp_timer_sync(struct tcp_conn *c)
{
    int64_t at = c->timer_at < c->ack_at ? c->timer_at : c->ack_at;
    if (c->keep_at < at)
        at = c->keep_at;
    struct wheel *w = &c->tcp->wheel;
    if (at == TCP_NEVER)
        wheel_cancel(w, &c->wheel);
    else if (!wheel_armed(&c->wheel) || c->wheel.deadline_ns > at)
        wheel_arm(w, &c->wheel, at);
    /* armed too early: it fires, finds nothing due and is armed again, which is rarer than moving it */
}

/*
 * While the window is closed, two of what is sent fit into the user timeout: a peer that answers each of
 * them keeps its connection, whatever the timeout is (RFC 9293 MUST-37).
 */
static int64_t backed_off(const struct tcp_conn *c)
{
    int64_t rto = c->rto, max = c->tcp->o.rto_max, half = c->tcp->o.user_timeout / 2;
    if (c->snd_wnd == 0 && half < max)
        max = half;
    for (uint8_t i = 0; i < c->backoff && rto < max; i++)
        rto *= 2;
    return rto < max ? rto : max;
}

/* RFC 6298 5.1-5.3: from the first piece in flight or the last progress. */
static int64_t rto_deadline(const struct tcp_conn *c)
{
    int64_t base = c->descs->sent_at > c->progress_at ? c->descs->sent_at : c->progress_at;
    if (c->flags & F_TLP && c->output_at > base)
        base = c->output_at;
    return base + backed_off(c);
}

static bool probe_fits(const struct tcp_conn *c)
{
    return c->flags & F_SACK && !(c->flags & F_TLP) && c->recovery == RECOVERY_OPEN &&
           c->srtt > 0 && c->sacked == 0;
}

void tcp_timer_rearm(struct tcp_conn *c)
{
    if (c->state < TCP_STATE_ESTABLISHED)
        return;
    if (c->descs == NULL) {
        if (!tcp_output_waits(c))
            tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
        else if (c->timer != TIMER_PERSIST)
            tcp_timer_set(c, TIMER_PERSIST, c->tcp->now + backed_off(c));
        return;
    }
    int64_t at = rto_deadline(c);
    enum tcp_timer kind = TIMER_RTO;
    if (probe_fits(c)) {
        int64_t pto = 2 * c->srtt + (c->pipe <= c->mss ? WORST_DELAYED_ACK : 0);
        if (c->tcp->now + pto < at) {
            at = c->tcp->now + pto;
            kind = TIMER_TLP;
        }
    }
    if (c->timer == TIMER_REO && c->timer_at < at)
        return;
    tcp_timer_set(c, kind, at);
}

static void give_up(struct tcp_conn *c)
{
    c->tcp->stats.timeouts++;
    if (c->state != TCP_STATE_SYN_SENT)
        tcp_send_rst(c);
    tcp_conn_end(c, TCP_CLOSE_TIMEOUT, false);
}

static int64_t latest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static void syn_fired(struct tcp_conn *c, int64_t now)
{
    if (now - c->progress_at >= c->tcp->o.syn_timeout) {
        give_up(c);
        return;
    }
    c->retries += c->retries < 255;
    c->rto = c->rto * 2 < c->tcp->o.rto_max ? c->rto * 2 : c->tcp->o.rto_max;
    c->flags |= F_SYN_OUT;
    tcp_want_output(c);
}

static void rto_fired(struct tcp_conn *c, int64_t now)
{
    struct tcp *t = c->tcp;
    if (c->descs == NULL)
        return;
    int64_t since = c->snd_wnd == 0 ? latest(c->heard_at, c->progress_at) : c->progress_at;
    if (now - since >= t->o.user_timeout) {
        give_up(c);
        return;
    }
    t->stats.rtos++;
    tcp_path_timeout(c);
    c->backoff += c->backoff < 30;
    tcp_recovery_timeout(c);
    tcp_want_output(c);
}

static void persist_fired(struct tcp_conn *c, int64_t now)
{
    if (!tcp_output_waits(c) || c->descs != NULL)
        return;
    if (now - latest(c->heard_at, c->progress_at) >= c->tcp->o.user_timeout) {
        give_up(c);
        return;
    }
    c->backoff += c->backoff < 30;
    tcp_output_override(c);
    tcp_timer_rearm(c);
}

static void main_fired(struct tcp_conn *c, int64_t now)
{
    enum tcp_timer kind = c->timer;
    tcp_timer_set(c, TIMER_NONE, TCP_NEVER);
    switch (kind) {
    case TIMER_SYN:
        syn_fired(c, now);
        break;
    case TIMER_RTO:
        rto_fired(c, now);
        break;
    case TIMER_TLP:
        c->flags |= F_TLP_OUT;
        tcp_want_output(c);
        break;
    case TIMER_REO:
        if (tcp_rack_detect(c)) {
            c->tcp->stats.reo_marks++;
            if (c->recovery == RECOVERY_OPEN)
                tcp_recovery_enter(c);
        }
        tcp_want_output(c);
        if (c->timer == TIMER_NONE)
            tcp_timer_rearm(c);
        break;
    case TIMER_PERSIST:
        persist_fired(c, now);
        break;
    case TIMER_NONE:
        break;
    }
}

/* --- keepalive and FIN_WAIT_2 -------------------------------------------------------------------------- */

void tcp_keepalive_restart(struct tcp_conn *c)
{
    c->keep_at = TCP_NEVER;
    if (c->state == TCP_STATE_FIN_WAIT_2 && c->flags & F_CLOSING)
        c->keep_at = c->progress_at + c->tcp->o.fin_wait2_timeout;
    else if (c->state >= TCP_STATE_ESTABLISHED && c->keep_idle > 0)
        c->keep_at = c->heard_at + c->keep_idle;
    tcp_timer_sync(c);
}

/* RFC 9293 3.8.4: only when nothing is in flight and nothing was heard. */
static void keep_fired(struct tcp_conn *c, int64_t now)
{
    c->keep_at = TCP_NEVER;
    if (c->state == TCP_STATE_FIN_WAIT_2 && c->flags & F_CLOSING) {
        c->tcp->stats.timeouts++;
        tcp_conn_end(c, TCP_CLOSE_TIMEOUT, false);
        return;
    }
    if (c->keep_idle == 0)
        return;
    if (now < c->heard_at + c->keep_idle) {
        c->keep_at = c->heard_at + c->keep_idle;
        return;
    }
    c->keep_at = now + c->keep_interval;
    if (c->descs != NULL || tcp_output_waits(c))
        return;
    if (c->keep_probes >= c->keep_probes_max) {
        give_up(c);
        return;
    }
    c->keep_probes++;
    c->tcp->stats.keepalives_out++;
    c->flags |= F_PROBE_OUT;
    tcp_want_output(c);
}

void tcp_conn_timer(struct wheel_timer *w, int64_t now)
{
    struct tcp_conn *c = (struct tcp_conn *)((char *)w - offsetof(struct tcp_conn, wheel));
    if (c->timer_at <= now)
        main_fired(c, now);
    if (c->ack_at <= now) {
        c->ack_at = TCP_NEVER;
        if (c->flags & F_ACK_SOON)
            c->flags |= F_ACK_NOW;
        tcp_want_output(c);
    }
    if (c->keep_at <= now)
        keep_fired(c, now);
    if (c->state != TCP_STATE_CLOSED)
        tcp_timer_sync(c);
}

void tcp_synb_timer(struct wheel_timer *w, int64_t now)
{
    struct tcp_synb *b = (struct tcp_synb *)((char *)w - offsetof(struct tcp_synb, wheel));
    struct tcp *t = b->tcp;
    if (now - b->born_at >= t->o.syn_timeout) {
        tcp_listener_done(t, b->listener, t->listeners[b->listener].generation);
        table_remove(&t->table, &b->key);
        tcp_synb_release(b);
        return;
    }
    b->retries += b->retries < 255;
    int64_t rto = t->o.rto_initial;
    for (uint8_t i = 0; i < b->retries && rto < t->o.rto_max; i++)
        rto *= 2;
    wheel_arm(&t->wheel, &b->wheel, now + (rto < t->o.rto_max ? rto : t->o.rto_max));
    tcp_syn_ack(t, b);
}

/* --- round-trip time (RFC 6298 2) ------------------------------------------------------------------------- */

void tcp_rtt_sample(struct tcp_conn *c, int64_t rtt)
{
    const struct tcp_options *o = &c->tcp->o;
    if (rtt < 1)
        rtt = 1;
    if (c->srtt == 0) {
        c->srtt = rtt;
        c->rttvar = rtt / 2;
    } else {
        int64_t delta = c->srtt > rtt ? c->srtt - rtt : rtt - c->srtt;
        c->rttvar += (delta - c->rttvar) / 4;
        c->srtt += (rtt - c->srtt) / 8;
        c->srtt = c->srtt > 0 ? c->srtt : 1;
    }
    int64_t margin = 4 * c->rttvar > TCP_MS ? 4 * c->rttvar : TCP_MS; /* G: the wheel's tick */
    int64_t rto = c->srtt + margin;
    c->rto = rto < o->rto_min ? o->rto_min : rto > o->rto_max ? o->rto_max : rto;
    c->backoff = 0;
    /* Windowed minimum (RFC 8985 6.2): the smaller of two halves of ten seconds. */
    int64_t now = c->tcp->now;
    if (now - c->min_rtt_at > 10000 * TCP_MS) {
        c->min_rtt = c->min_rtt_next;
        c->min_rtt_next = INT64_MAX;
        c->min_rtt_at = now;
    }
    c->min_rtt_next = rtt < c->min_rtt_next ? rtt : c->min_rtt_next;
    c->min_rtt = rtt < c->min_rtt ? rtt : c->min_rtt;
}
