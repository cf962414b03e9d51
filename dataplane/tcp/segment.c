/* Segments made: headers, payload references, checksums. */
#include <rte_mbuf.h>
#include <string.h>

#include "base/err.h"
#include "dataplane/tcp/parts.h"

#define SEGMENT_MBUFS_MAX 16 /* of one emitted segment, header included: what drivers take */

/* --- windows ---------------------------------------------------------------------------------------- */

static uint32_t window_limit(const struct tcp_conn *c)
{
    uint32_t scaled = 65535u << (c->flags & F_SCALE ? c->rcv_scale : 0);
    uint32_t max = c->tcp->o.rx_window_max;
    return scaled < max ? scaled : max;
}

/* The right edge that consumer and memory would allow; never left of what was promised. */
static uint32_t wanted_edge(const struct tcp_conn *c)
{
    uint32_t edge = seq_min(c->window_base + c->window, c->rcv_nxt + window_limit(c));
    bool full = c->tcp->rx_memory >= c->tcp->o.rx_memory_max ||
                c->rx_memory > 4ULL * c->window + (256u << 10);
    return full || seq_lt(edge, c->rcv_edge) ? c->rcv_edge : edge;
}

/* RFC 9293 3.8.6.2.2: the edge moves by a full segment or half the window, or not at all. */
static uint16_t offer_window(struct tcp_conn *c)
{
    uint32_t edge = wanted_edge(c);
    uint32_t grow = edge - c->rcv_edge;
    if (grow >= c->mss || grow >= c->window / 2)
        c->rcv_edge = edge;
    uint32_t window = c->rcv_edge - c->rcv_nxt;
    if (seq_lt(c->rcv_edge, c->rcv_nxt))
        window = 0;
    window >>= c->flags & F_SCALE ? c->rcv_scale : 0;
    return (uint16_t)(window > 65535 ? 65535 : window);
}

void tcp_conn_moved_window(struct tcp_conn *c)
{
    uint32_t grow = wanted_edge(c) - c->rcv_edge;
    uint32_t left = c->rcv_edge - c->rcv_nxt;
    bool half_used = left < c->window / 2 && grow >= 2u * c->mss;
    bool shut = left < c->mss && grow > 0 && (grow >= c->mss || grow >= c->window / 2);
    if (!half_used && !shut)
        return;
    c->flags |= F_ACK_NOW;
    tcp_want_output(c);
}

/* --- headers ----------------------------------------------------------------------------------------- */

void tcp_conn_header(struct tcp_conn *c, struct tcp_seg *s, uint8_t flags, uint32_t seq)
{
    *s = (struct tcp_seg){.src = c->key.local_port,
                          .dst = c->key.remote_port,
                          .seq = seq,
                          .ack = c->rcv_nxt,
                          .flags = flags,
                          .window = offer_window(c)};
    if (c->flags & F_TS) {
        s->has_ts = true;
        s->ts_val = tcp_ts_clock(c->tcp) + c->ts_offset;
        s->ts_ecr = c->ts_recent;
    }
    if (c->flags & F_ECE_OUT && !(flags & TCP_RST))
        s->flags |= TCP_ECE;
    if (c->flags & F_SACK && !(flags & TCP_RST))
        s->sacks = (uint8_t)tcp_sack_report(c, s->sack, s->has_ts ? 3 : 4);
    c->rcv_acked = c->rcv_nxt;
    c->ack_segments = 0;
    c->ack_at = TCP_NEVER;
    c->flags &= ~(uint32_t)(F_ACK_NOW | F_ACK_SOON);
}

static void finish(struct tcp *t, const struct tcp_key *key, struct rte_mbuf *h, uint32_t header,
                   uint32_t mss, bool offload, uint8_t ecn)
{
    struct tcp_out out = {{key->local, key->remote}, (uint16_t)mss, (uint8_t)header, ecn, offload};
    uint8_t *p = rte_pktmbuf_mtod(h, uint8_t *);
    uint16_t sum = checksum_pseudo(&out.addrs, mss != 0 ? 0 : h->pkt_len);
    if (!offload)
        sum = (uint16_t)~checksum_add(sum, checksum_chain(t->sum, h, h->pkt_len));
    p[16] = (uint8_t)(sum >> 8);
    p[17] = (uint8_t)sum;
    t->stats.segments_out++;
    t->o.hooks.emit(t->o.hooks.ctx, h, &out);
}

void tcp_emit_bare(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s)
{
    struct rte_mbuf *h = rte_pktmbuf_alloc(t->o.header_pool);
    if (h == NULL) {
        t->stats.no_mbuf++;
        return;
    }
    uint32_t header = tcp_wire_write(s, rte_pktmbuf_mtod(h, uint8_t *));
    h->data_len = (uint16_t)header;
    h->pkt_len = header;
    finish(t, key, h, header, 0, false, 0);
}

/* --- payload ----------------------------------------------------------------------------------------- */

struct build {
    struct tcp *t;
    struct rte_mbuf *head, *tail; /* tail: where copies may go if it is ours */
    bool tail_ours;
};

static bool link_mbuf(struct build *b, struct rte_mbuf *m, bool ours)
{
    b->tail->next = m;
    b->tail = m;
    b->tail_ours = ours;
    b->head->nb_segs++;
    return true;
}

/* Copies small pieces, refers to large ones. Returns bytes, 0: no more mbufs fit, or ERR_NO_MEMORY. */
static int add_piece(struct build *b, struct rte_mbuf *from, uint32_t off, uint32_t len)
{
    struct tcp *t = b->t;
    bool small = len <= t->o.copy_max;
    if (small && !b->tail_ours && b->head->nb_segs < SEGMENT_MBUFS_MAX) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(t->o.header_pool);
        if (m == NULL)
            return ERR_NO_MEMORY;
        link_mbuf(b, m, true);
    }
    if (small && b->tail_ours && rte_pktmbuf_tailroom(b->tail) >= len) {
        memcpy(rte_pktmbuf_mtod_offset(b->tail, void *, b->tail->data_len),
               rte_pktmbuf_mtod_offset(from, void *, off), len);
        b->tail->data_len = (uint16_t)(b->tail->data_len + len);
        return (int)len;
    }
    if (b->head->nb_segs >= SEGMENT_MBUFS_MAX)
        return 0;
    struct chain ref = {0};
    struct chain_view view = {{from, off}, len};
    if (chain_share(view, t->o.ref_pool, &ref) < 0)
        return ERR_NO_MEMORY;
    ref.head->ol_flags &= RTE_MBUF_F_INDIRECT | RTE_MBUF_F_EXTERNAL;
    ref.head->tx_offload = 0;
    link_mbuf(b, ref.head, false);
    return (int)len;
}

static int add_payload(struct build *b, struct chain_pos *pos, uint32_t len)
{
    uint32_t done = 0;
    struct chain_pos at = *pos;
    while (done < len) {
        while (at.off == at.seg->data_len)
            at = (struct chain_pos){at.seg->next, 0};
        uint32_t piece = at.seg->data_len - at.off;
        if (piece > len - done)
            piece = len - done;
        int got = add_piece(b, at.seg, at.off, piece);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        at.off += piece;
        done += piece;
    }
    *pos = at;
    return (int)done;
}

int tcp_emit_data(struct tcp_conn *c, struct tcp_seg *s, struct chain_pos *pos, uint32_t len,
                  uint32_t mss)
{
    struct tcp *t = c->tcp;
    struct rte_mbuf *h = rte_pktmbuf_alloc(t->o.header_pool);
    if (h == NULL) {
        t->stats.no_mbuf++;
        return ERR_NO_MEMORY;
    }
    uint32_t header = tcp_wire_header_len(s);
    h->data_len = (uint16_t)header;
    struct build b = {t, h, h, true};
    int got = len > 0 ? add_payload(&b, pos, len) : 0;
    if (got < 0) {
        rte_pktmbuf_free(h);
        t->stats.no_mbuf++;
        return got;
    }
    if ((uint32_t)got < len)
        s->flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    h->pkt_len = header + (uint32_t)got;
    tcp_wire_write(s, rte_pktmbuf_mtod(h, uint8_t *));
    t->stats.bytes_out += (uint32_t)got;
    bool tso = (uint32_t)got > mss;
    finish(t, &c->key, h, header, tso ? mss : 0, c->checksum_offload, s->ecn);
    return got;
}

/* --- RST ------------------------------------------------------------------------------------------------ */

/* RFC 9293 3.5.2, group 1: an answer to a segment that belongs to no connection. */
void tcp_reset_answer(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *in)
{
    if (in->flags & TCP_RST)
        return;
    if (t->resets_left == 0) {
        t->stats.resets_limited++;
        return;
    }
    t->resets_left--;
    struct tcp_seg s = {.src = key->local_port, .dst = key->remote_port, .flags = TCP_RST};
    if (in->flags & TCP_ACK) {
        s.seq = in->ack;
    } else {
        s.flags |= TCP_ACK;
        s.ack = in->seq + tcp_seg_space(in);
    }
    t->stats.resets_out++;
    tcp_emit_bare(t, key, &s);
}

void tcp_send_rst(struct tcp_conn *c)
{
    struct tcp_seg s;
    tcp_conn_header(c, &s, TCP_RST | TCP_ACK, c->snd_nxt);
    c->tcp->stats.resets_out++;
    tcp_emit_bare(c->tcp, &c->key, &s);
}
