/*
 * In-order and out-of-order payload (RFC 9293 3.10.7.4, seventh step), SACK and D-SACK reports.
 *
 * Out-of-order pieces are kept as the mbufs they came in, in a list ordered by sequence number,
 * without overlaps: what arrived first wins. A piece's first mbuf carries its place: hash.usr the
 * sequence number, pkt_len the bytes, tx_offload the next piece (free for use in received mbufs;
 * all three are cleared when the piece moves on).
 */
#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/tcp/parts.h"

#define COLLAPSE_ALWAYS 256 /* bytes: what is this small is copied if it fits */

static uint32_t piece_seq(const struct rte_mbuf *m)
{
    return m->hash.usr;
}
static uint32_t piece_end(const struct rte_mbuf *m)
{
    return m->hash.usr + m->pkt_len;
}
static struct rte_mbuf *piece_next(const struct rte_mbuf *m)
{
    return (struct rte_mbuf *)(uintptr_t)m->tx_offload;
}
static void piece_link(struct rte_mbuf *m, struct rte_mbuf *next)
{
    m->tx_offload = (uintptr_t)next;
}

/* --- memory -------------------------------------------------------------------------------------------- */

/* Whole buffers: an attacker's bytes cost what they pin, not what they are. */
uint32_t tcp_chain_memory(const struct rte_mbuf *m)
{
    uint32_t sum = 0;
    for (; m != NULL; m = m->next)
        sum += (uint32_t)sizeof *m + (RTE_MBUF_DIRECT(m) ? m->buf_len : 0);
    return sum;
}

static void charge(struct tcp_conn *c, uint32_t memory)
{
    c->rx_memory += memory;
    c->tcp->rx_memory += memory;
}

static void discharge(struct tcp_conn *c, uint32_t memory)
{
    c->rx_memory -= memory;
    c->tcp->rx_memory -= memory;
}

static uint32_t count_mbufs(const struct rte_mbuf *m)
{
    uint32_t n = 0;
    for (; m != NULL; m = m->next)
        n++;
    return n;
}

/* Copies a single small mbuf behind `tail` if that is ours alone; frees it then. */
static bool collapse(struct tcp_conn *c, struct rte_mbuf *tail, struct rte_mbuf *m, bool wasteful)
{
    if (tail == NULL || m->next != NULL || (m->data_len > COLLAPSE_ALWAYS && !wasteful) ||
        !RTE_MBUF_DIRECT(tail) || rte_mbuf_refcnt_read(tail) != 1 ||
        rte_pktmbuf_tailroom(tail) < m->data_len)
        return false;
    memcpy(rte_pktmbuf_mtod_offset(tail, void *, tail->data_len), rte_pktmbuf_mtod(m, void *),
           m->data_len);
    tail->data_len = (uint16_t)(tail->data_len + m->data_len);
    c->tcp->stats.collapsed++;
    rte_pktmbuf_free_seg(m);
    return true;
}

void tcp_ooo_free(struct tcp_conn *c)
{
    for (struct rte_mbuf *m = c->ooo, *next; m != NULL; m = next) {
        next = piece_next(m);
        m->tx_offload = 0;
        discharge(c, tcp_chain_memory(m));
        rte_pktmbuf_free(m);
    }
    c->ooo = c->ooo_last = NULL;
    c->ooo_mbufs = c->ooo_ranges = 0;
    c->recents = 0;
}

/* --- reports -------------------------------------------------------------------------------------------- */

void tcp_dsack_note(struct tcp_conn *c, uint32_t start, uint32_t end)
{
    if (!(c->flags & F_SACK) || start == end)
        return;
    if (c->flags & F_DSACK) { /* one report an ACK (RFC 2883 4); a range may have come in pieces */
        if (start == c->dsack.end)
            c->dsack.end = end;
        return;
    }
    c->flags |= F_DSACK;
    c->dsack = (struct tcp_block){start, end};
}

/* RFC 2018 4: the range with the newest segment first, then the most recently reported ones. */
static void remember(struct tcp_conn *c, uint32_t start, uint32_t end)
{
    struct tcp_block kept[TCP_SACK_BLOCKS];
    uint32_t n = 0;
    kept[n++] = (struct tcp_block){start, end};
    for (uint32_t i = 0; i < c->recents && n < TCP_SACK_BLOCKS; i++) {
        struct tcp_block b = c->recent[i];
        if (seq_lt(b.end, start) || seq_gt(b.start, end))
            kept[n++] = b;
    }
    memcpy(c->recent, kept, n * sizeof kept[0]);
    c->recents = (uint8_t)n;
}

static void forget_below(struct tcp_conn *c)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->recents; i++)
        if (seq_gt(c->recent[i].end, c->rcv_nxt))
            c->recent[n++] = c->recent[i];
    c->recents = (uint8_t)n;
}

uint32_t tcp_sack_report(struct tcp_conn *c, struct tcp_block *out, uint32_t max)
{
    uint32_t n = 0;
    if (c->flags & F_DSACK) {
        out[n++] = c->dsack;
        c->flags &= ~(uint32_t)F_DSACK;
        c->tcp->stats.dsacks_out++;
    }
    for (uint32_t i = 0; i < c->recents && n < max; i++) {
        out[n] = c->recent[i];
        if (c->flags & F_FIN_HELD && out[n].end == c->fin_in)
            out[n].end++; /* the FIN is held too */
        n++;
    }
    return n;
}

/* --- out of order ---------------------------------------------------------------------------------------- */

/* Puts `front` (all between prev and next) into the list; false if a limit forbids it: freed. */
static bool place(struct tcp_conn *c, struct rte_mbuf *prev, struct rte_mbuf *next, uint32_t seq,
                  struct chain *front)
{
    const struct tcp_options *o = &c->tcp->o;
    bool left = prev != NULL && piece_end(prev) == seq;
    bool right = next != NULL && piece_seq(next) == seq + (uint32_t)front->bytes;
    uint32_t mbufs = count_mbufs(front->head), memory = tcp_chain_memory(front->head);
    uint32_t bytes = (uint32_t)front->bytes;
    bool fits = c->ooo_mbufs + mbufs <= o->rx_segments_max &&
                (left || right || c->ooo_ranges < o->rx_ooo_ranges_max) &&
                c->tcp->rx_memory + memory <= o->rx_memory_max;
    if (!fits && seq != c->rcv_nxt) {
        c->tcp->stats.ooo_dropped++;
        chain_free(front);
        return false;
    }
    struct rte_mbuf *tail = prev;
    while (left && tail->next != NULL)
        tail = tail->next;
    c->ooo_ranges += 1 - (uint32_t)left - (uint32_t)right;
    if (left && collapse(c, tail, front->head, prev->pkt_len < tcp_chain_memory(prev) / 2)) {
        prev->pkt_len += bytes;
        return true;
    }
    struct rte_mbuf *m = front->head;
    m->hash.usr = seq;
    m->pkt_len = bytes;
    piece_link(m, next);
    if (prev != NULL)
        piece_link(prev, m);
    else
        c->ooo = m;
    if (next == NULL)
        c->ooo_last = m;
    c->ooo_mbufs += mbufs;
    charge(c, memory);
    return true;
}

/* Fills the holes that [seq, seq + bytes) covers; what is there already stays and is reported. */
static void insert(struct tcp_conn *c, uint32_t seq, struct chain *all)
{
    struct rte_mbuf *prev = NULL, *next = c->ooo;
    if (c->ooo_last != NULL && seq_ge(seq, piece_end(c->ooo_last))) {
        prev = c->ooo_last;
        next = NULL;
    }
    while (all->bytes > 0) {
        for (; next != NULL && seq_le(piece_end(next), seq); next = piece_next(next))
            prev = next;
        uint32_t n = (uint32_t)all->bytes;
        if (next != NULL && seq_le(piece_seq(next), seq)) {
            n = piece_end(next) - seq < n ? piece_end(next) - seq : n;
            tcp_dsack_note(c, seq, seq + n);
            chain_consume(all, n);
            seq += n;
            continue;
        }
        if (next != NULL && seq + n - piece_seq(next) < 1u << 31)
            n = piece_seq(next) - seq;
        struct chain front = {0};
        if (n == all->bytes)
            chain_join(&front, all);
        else if (chain_split(all, n, c->tcp->o.ref_pool, &front) < 0)
            break;
        if (!place(c, prev, next, seq, &front))
            break;
        /* the new piece, or the one that swallowed it, is the next `prev` */
        struct rte_mbuf *at = prev != NULL ? piece_next(prev) : c->ooo;
        prev = at == next ? prev : at;
        seq += n;
    }
    chain_free(all);
}

/* The contiguous range around seq. */
static bool range_of(const struct tcp_conn *c, uint32_t seq, struct tcp_block *out)
{
    for (struct rte_mbuf *m = c->ooo; m != NULL;) {
        struct tcp_block b = {piece_seq(m), piece_end(m)};
        for (m = piece_next(m); m != NULL && piece_seq(m) == b.end; m = piece_next(m))
            b.end = piece_end(m);
        if (seq_le(b.start, seq) && seq_lt(seq, b.end)) {
            *out = b;
            return true;
        }
    }
    return false;
}

/* --- in order ------------------------------------------------------------------------------------------------ */

static void deliver(struct tcp_conn *c, struct rte_mbuf *m, uint32_t len, bool charged)
{
    uint32_t memory = tcp_chain_memory(m);
    bool wasteful = c->rx.bytes * 2 < c->rx_memory;
    c->rcv_nxt += len;
    c->tcp->stats.bytes_in += len;
    if (collapse(c, c->rx.tail, m, wasteful)) {
        c->rx.bytes += len;
        if (charged)
            discharge(c, memory);
    } else {
        chain_append(&c->rx, m);
        if (!charged)
            charge(c, memory);
    }
    tcp_event(c, EVENT_READABLE);
}

static void drain(struct tcp_conn *c)
{
    struct rte_mbuf *m;
    while ((m = c->ooo) != NULL && piece_seq(m) == c->rcv_nxt) {
        struct rte_mbuf *next = piece_next(m);
        uint32_t len = m->pkt_len;
        c->ooo = next;
        if (next == NULL)
            c->ooo_last = NULL;
        c->ooo_ranges -= next == NULL || piece_seq(next) != piece_end(m);
        c->ooo_mbufs -= count_mbufs(m);
        m->tx_offload = 0;
        m->hash.usr = 0;
        deliver(c, m, len, true);
    }
    forget_below(c);
}

/* RFC 9293 3.8.6.3, RFC 5681 4.2: every second segment at once, otherwise soon. */
static void schedule_ack(struct tcp_conn *c)
{
    struct tcp *t = c->tcp;
    if (++c->ack_segments >= 2)
        c->flags |= F_ACK_NOW;
    if (c->flags & F_ACK_NOW) {
        tcp_want_output(c);
        return;
    }
    c->flags |= F_ACK_SOON;
    if (t->now + t->o.delayed_ack < c->ack_at)
        c->ack_at = t->now + t->o.delayed_ack;
}

void tcp_conn_data(struct tcp_conn *c, uint32_t seq, uint32_t len, struct rte_mbuf *m)
{
    struct tcp *t = c->tcp;
    if (seq == c->rcv_nxt && t->rx_memory >= t->o.rx_memory_max) {
        tcp_ooo_free(c); /* RFC 2018 8 allows it; what is next in order comes first */
        if (t->rx_memory >= t->o.rx_memory_max) {
            t->stats.memory_dropped++;
            rte_pktmbuf_free(m);
            return;
        }
    }
    if (seq == c->rcv_nxt && c->ooo == NULL) {
        deliver(c, m, len, false);
        schedule_ack(c);
        return;
    }
    struct chain all = {0};
    chain_append(&all, m);
    t->stats.ooo_in += seq != c->rcv_nxt;
    insert(c, seq, &all);
    struct tcp_block range;
    if (range_of(c, seq, &range))
        remember(c, range.start, range.end);
    drain(c);
    c->flags |= F_ACK_NOW; /* RFC 5681 4.2: at once, both above a hole and when one is filled */
    tcp_want_output(c);
}
