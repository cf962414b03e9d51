/* What leaves: retransmissions, new data, FIN, probes, ACKs, in this order. */
#include <rte_mbuf.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/tcp/parts.h"

#define OUTPUT_BURST_MAX (256u << 10) /* bytes of one conn in one run; the rest in the next */
#define SEND_AGAIN       TCP_MS       /* after a lack of mbufs or descriptors */

static uint32_t min32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static void try_later(struct tcp_conn *c)
{
    int64_t at = c->tcp->now + SEND_AGAIN;
    if (at < c->ack_at)
        c->ack_at = at;
}

/* Payload that a full segment with header s holds (RFC 6691: options are taken off). */
static uint32_t segment_room(const struct tcp_conn *c, const struct tcp_seg *s)
{
    uint32_t base = min32(c->mss_path, c->peer_mss);
    uint32_t options = tcp_wire_header_len(s) - TCP_HEADER;
    return base > options ? base - options : 1;
}

static uint32_t allowance(const struct tcp_conn *c)
{
    uint32_t pipe = c->pipe;
    if (!(c->flags & F_SACK) &&
        c->recovery !=
            RECOVERY_LOSS) /* each duplicate ACK says that a segment has left (RFC 5681 3.2) */
        pipe -= min32(pipe, (uint32_t)c->dup_acks * c->mss);
    return c->cwnd > pipe ? c->cwnd - pipe : 0;
}

/* Up to `len` bytes, more than one segment only if the port cuts them. */
static uint32_t burst_size(const struct tcp_conn *c, uint32_t len, uint32_t room)
{
    if (len <= room || c->tso_max <= room || !c->checksum_offload)
        return min32(len, room);
    uint32_t most = min32(c->tso_max, 65535 - TCP_HEADER_MAX - 40);
    return len <= most ? len : most / room * room;
}

/* --- SYN --------------------------------------------------------------------------------------------- */

static void send_syn(struct tcp_conn *c)
{
    struct tcp *t = c->tcp;
    const struct tcp_options *o = &t->o;
    bool answer = c->state == TCP_STATE_SYN_RCVD;
    c->flags &= ~(uint32_t)(F_SYN_OUT | F_ACK_NOW | F_ACK_SOON);
    c->ack_at = TCP_NEVER;
    struct tcp_seg s = {.src = c->key.local_port,
                        .dst = c->key.remote_port,
                        .seq = c->iss,
                        .flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN,
                        .ack = answer ? c->rcv_nxt : 0,
                        .window = (uint16_t)min32(c->window, 65535),
                        .mss = c->mss_path,
                        .scale = t->rcv_scale,
                        .has_scale = answer ? (c->flags & F_SCALE) != 0 : o->window_scaling,
                        .has_ts = answer ? (c->flags & F_TS) != 0 : o->timestamps,
                        .sack_ok = answer ? (c->flags & F_SACK) != 0 : o->sack,
                        .ts_val = tcp_ts_clock(t) + c->ts_offset,
                        .ts_ecr = answer ? c->ts_recent : 0};
    if (o->ecn && !answer && c->retries < 2) /* RFC 3168 6.1.1.1: without ECN if it gets lost */
        s.flags |= TCP_ECE | TCP_CWR;
    c->snd_nxt = c->iss + 1;
    c->output_at = t->now;
    if (c->timer != TIMER_SYN)
        tcp_timer_set(c, TIMER_SYN, t->now + c->rto);
    tcp_emit_bare(t, &c->key, &s);
}

/* --- retransmission ------------------------------------------------------------------------------------- */

/* A place in tx that is known: the search for a later one starts there. */
struct place {
    struct chain_pos pos;
    uint32_t seq;
};

static struct chain_pos seek(const struct tcp_conn *c, struct place *near, uint32_t seq)
{
    if (near->pos.seg == NULL || seq_gt(near->seq, seq))
        *near = (struct place){{c->tx.head, 0}, c->snd_una};
    uint32_t left = seq - near->seq;
    while (left > 0 && left >= near->pos.seg->data_len - near->pos.off) {
        left -= near->pos.seg->data_len - near->pos.off;
        near->pos = (struct chain_pos){near->pos.seg->next, 0};
    }
    near->pos.off += left;
    near->seq = seq;
    return near->pos;
}

/* Accounts for d having been sent again, all of it. */
static void note_sent_again(struct tcp_conn *c, struct tcp_desc *d, const struct tcp_seg *s,
                            uint32_t room)
{
    if (d->flags & DESC_LOST)
        c->pipe += d->len;
    d->flags = (uint8_t)((d->flags & ~DESC_LOST) | DESC_RETRANS);
    d->mss = (uint16_t)room;
    d->sent_at = c->tcp->now;
    d->sends += d->sends < 255;
    c->rtx_count++;
    c->tcp->stats.retransmits++;
    if (!(c->flags & F_EIFEL) && c->recovery == RECOVERY_LOSS && s->has_ts) {
        c->flags |= F_EIFEL;
        c->eifel_ts = s->ts_val;
    }
}

/*
 * Sends d again, or as much of its start as fits a segment; it is cut there if a descriptor is left,
 * otherwise its rest is lost again with the next ACK. False: stop for now.
 */
static bool send_again(struct tcp_conn *c, struct tcp_desc *d, struct place *near)
{
    struct tcp_seg s;
    uint32_t ack_flags = c->flags & (F_ACK_NOW | F_ACK_SOON | F_DSACK);
    int64_t ack_at = c->ack_at;
    tcp_conn_header(c, &s, TCP_ACK, d->seq);
    uint32_t room = segment_room(c, &s);
    uint32_t payload = d->len - ((d->flags & DESC_FIN) != 0);
    uint32_t size = burst_size(c, payload, room);
    s.flags |= size > 0 ? TCP_PSH : 0;
    s.flags |= size == payload && d->flags & DESC_FIN ? TCP_FIN : 0;
    struct chain_pos pos = {0};
    if (size > 0)
        pos = seek(c, near, d->seq);
    int got = tcp_emit_data(c, &s, &pos, size, room);
    if (got < 0) {
        c->flags |= ack_flags;
        c->ack_at = ack_at;
        try_later(c);
        return false;
    }
    bool whole = (uint32_t)got == payload || tcp_desc_split(c, d, (uint32_t)got);
    note_sent_again(c, d, &s, room);
    d->flags |= whole ? 0 : DESC_SHORT;
    return true;
}

/* RFC 6675 5 (C): lost pieces first, while pipe leaves room; the first one in any case. */
static bool send_lost(struct tcp_conn *c)
{
    bool any = false;
    if (c->recovery == RECOVERY_OPEN)
        return false;
    struct place near = {0};
    for (struct tcp_desc *d = c->descs; d != NULL; d = d->next) {
        if (!(d->flags & DESC_LOST))
            continue;
        if (allowance(c) < min32(d->len, c->mss) && c->pipe > 0 && d != c->descs)
            break;
        if (!send_again(c, d, &near))
            break;
        any = true;
    }
    return any;
}

/* --- new data ---------------------------------------------------------------------------------------------- */

static uint32_t unsent(const struct tcp_conn *c)
{
    if (c->flags & F_FIN_SENT)
        return 0;
    return (uint32_t)c->tx.bytes - (c->snd_nxt - c->snd_una);
}

static uint32_t usable_window(const struct tcp_conn *c)
{
    uint32_t edge = c->snd_una + c->snd_wnd;
    return seq_gt(edge, c->snd_nxt) ? edge - c->snd_nxt : 0;
}

/* Nagle and the sender's side of silly-window avoidance (RFC 9293 3.8.6.2.1). */
static bool worth_sending(const struct tcp_conn *c, uint32_t n, uint32_t waiting, uint32_t room)
{
    if (n >= room)
        return true;
    if (n == waiting)
        return !(c->flags & F_NAGLE) || c->snd_nxt == c->snd_una || c->flags & F_FIN_QUEUED;
    return n > 0 && n >= c->snd_wnd_max / 2;
}

/* Sends n bytes from snd_nxt, and the FIN if it follows and `fin`. False: nothing went. */
static bool send_piece(struct tcp_conn *c, uint32_t n, bool fin)
{
    struct tcp *t = c->tcp;
    /* the last eighth is kept for what must be cut to be sent again */
    bool spare = t->descs_used < t->o.descriptors_max - t->o.descriptors_max / 8;
    struct tcp_desc *d = spare ? tcp_desc_alloc(t) : NULL;
    if (d == NULL) {
        if (c->descs == NULL) /* else an ACK gives descriptors back */
            try_later(c);
        return false;
    }
    struct tcp_seg s;
    tcp_conn_header(c, &s, TCP_ACK, c->snd_nxt);
    uint32_t room = segment_room(c, &s);
    n = burst_size(c, n, room);
    bool last = n == unsent(c);
    fin = fin && last;
    s.flags |= (uint8_t)((last && n > 0 ? TCP_PSH : 0) | (fin ? TCP_FIN : 0));
    s.ecn = c->flags & F_ECN && n > 0 ? 2 : 0;
    bool cwr = c->flags & F_CWR_OUT && n > 0;
    s.flags |= cwr ? TCP_CWR : 0;
    int got = tcp_emit_data(c, &s, &c->tx_pos, n, room);
    if (got < 0) {
        tcp_desc_release(t, d);
        c->flags |= F_ACK_NOW;
        try_later(c);
        return false;
    }
    if (cwr)
        c->flags &= ~(uint32_t)F_CWR_OUT;
    fin = fin && (uint32_t)got == n;
    *d = (struct tcp_desc){c->snd_nxt,     (uint32_t)got + fin, t->now, NULL,
                           (uint16_t)room, fin ? DESC_FIN : 0,  1,      0};
    if (c->descs == NULL)
        c->descs = d;
    else
        c->descs_end->next = d;
    c->descs_end = d;
    c->snd_nxt += d->len;
    c->pipe += d->len;
    c->output_at = t->now;
    if (fin)
        c->flags |= F_FIN_SENT;
    return true;
}

static bool fin_waits(const struct tcp_conn *c)
{
    return (c->flags & (F_FIN_QUEUED | F_FIN_SENT)) == F_FIN_QUEUED;
}

bool tcp_output_waits(const struct tcp_conn *c)
{
    return unsent(c) > 0 || fin_waits(c);
}

void tcp_output_override(struct tcp_conn *c)
{
    uint32_t n = min32(unsent(c), usable_window(c));
    if (n > 0 && c->descs == NULL && send_piece(c, n, false))
        return;
    c->flags |= F_PROBE_OUT;
    c->tcp->stats.probes_out++;
    tcp_want_output(c);
}

/* True: something was sent. */
static bool send_new(struct tcp_conn *c)
{
    uint32_t start = c->snd_nxt;
    c->flags &= ~(uint32_t)F_CWND_LIMITED;
    for (;;) {
        uint32_t waiting = unsent(c);
        if (waiting == 0 && !fin_waits(c))
            break;
        uint32_t window = usable_window(c), allowed = allowance(c);
        if (window == 0)
            break;
        if (c->snd_nxt - start >= OUTPUT_BURST_MAX) {
            tcp_want_output(c);
            break;
        }
        if (allowed < min32(waiting, c->mss)) {
            c->flags |= F_CWND_LIMITED;
            break;
        }
        uint32_t n = min32(min32(waiting, window), allowed);
        if (n < waiting && n > c->mss) /* no short segment in the middle */
            n = n / c->mss * c->mss;
        if (waiting > 0 && !worth_sending(c, n, waiting, c->mss))
            break;
        if (!send_piece(c, n, fin_waits(c) && window > n))
            break;
    }
    return c->snd_nxt != start;
}

/* RFC 8985 7.3: new data if there is and may be, else the last segment again. */
static bool send_tail_probe(struct tcp_conn *c)
{
    c->flags &= ~(uint32_t)F_TLP_OUT;
    if (c->descs == NULL)
        return false;
    uint32_t n = min32(min32(unsent(c), usable_window(c)), c->mss);
    bool sent = n > 0 && send_piece(c, n, false);
    c->flags &= ~(uint32_t)F_TLP_RETRANS;
    if (!sent) {
        struct tcp_desc *d = c->descs_end;
        uint32_t keep = d->len > c->mss ? (d->len - 1) / c->mss * c->mss : 0;
        if (keep > 0 && tcp_desc_split(c, d, keep))
            d = d->next;
        struct place near = {0};
        if (d->flags & DESC_SACKED || !send_again(c, d, &near))
            return false;
        c->flags |= F_TLP_RETRANS;
    }
    c->flags |= F_TLP;
    c->tlp_end = c->snd_nxt;
    c->tcp->stats.tlps++;
    return true;
}

/* --- the rest -------------------------------------------------------------------------------------------------- */

static void send_ack(struct tcp_conn *c, uint32_t seq)
{
    struct tcp_seg s;
    struct chain_pos none = {0};
    tcp_conn_header(c, &s, TCP_ACK, seq);
    if (tcp_emit_data(c, &s, &none, 0, 1) < 0) {
        c->flags |= F_ACK_NOW;
        try_later(c);
    }
}

void tcp_conn_output(struct tcp_conn *c)
{
    if (c->state == TCP_STATE_CLOSED)
        return;
    if (c->state < TCP_STATE_ESTABLISHED) {
        if (c->flags & F_SYN_OUT)
            send_syn(c);
        else if (c->flags & F_ACK_NOW)
            send_ack(c, c->snd_nxt);
        tcp_timer_sync(c);
        return;
    }
    if (c->descs == NULL && c->tx.bytes > 0)
        tcp_cc_idle(c);
    bool probe = (c->flags & F_TLP_OUT) != 0;
    bool sent = probe && send_tail_probe(c);
    sent |= send_lost(c);
    bool fresh = send_new(c);
    if (c->flags & F_PROBE_OUT)
        send_ack(c, c->snd_una - 1); /* old sequence number: the peer must answer */
    else if (c->flags & F_ACK_NOW && !(sent || fresh))
        send_ack(c, c->snd_nxt);
    c->flags &= ~(uint32_t)F_PROBE_OUT;
    if (sent || fresh || c->timer == TIMER_NONE)
        tcp_timer_rearm(c);
    tcp_timer_sync(c);
}
