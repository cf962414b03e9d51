#include "dataplane/tcp/info.h"

#include <rte_mbuf.h>

#include "base/check.h"
#include "dataplane/tcp/parts.h"

static const struct tcp_stat_name stat_names[] = {
#define X(name, text) {#name, text},
#include "dataplane/tcp/stats.def"
#undef X
};
_Static_assert(sizeof stat_names / sizeof stat_names[0] == tcp_stats_count, "one name each");

const struct tcp_stat_name *tcp_stats_names(void)
{
    return stat_names;
}

const struct tcp_stats *tcp_stats_of(const struct tcp *t)
{
    return &t->stats;
}

struct tcp_usage tcp_usage_of(const struct tcp *t)
{
    return (struct tcp_usage){t->conns_used, t->syns_used, t->tws_used, t->descs_used,
                              t->rx_memory};
}

const char *tcp_state_name(enum tcp_state s)
{
    static const char *const names[] = {"CLOSED",     "SYN_SENT",   "SYN_RCVD",   "ESTABLISHED",
                                        "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT", "CLOSING",
                                        "LAST_ACK",   "TIME_WAIT"};
    return (unsigned)s < sizeof names / sizeof names[0] ? names[s] : "?";
}

void tcp_conn_info(const struct tcp_conn *c, struct tcp_conn_info *out)
{
    *out = (struct tcp_conn_info){
        .state = c->state,
        .snd_una = c->snd_una,
        .snd_nxt = c->snd_nxt,
        .snd_wnd = c->snd_wnd,
        .rcv_nxt = c->rcv_nxt,
        .rcv_edge = c->rcv_edge,
        .cwnd = c->cwnd,
        .ssthresh = c->ssthresh,
        .pipe = c->pipe,
        .mss = c->mss,
        .srtt = c->srtt,
        .rttvar = c->rttvar,
        .rto = c->rto,
        .min_rtt = c->min_rtt,
        .tx_queued = c->tx.bytes,
        .rx_held = c->rx.bytes,
        .ooo_segments = c->ooo_mbufs,
        .retransmits = c->rtx_count,
        .sack = (c->flags & F_SACK) != 0,
        .timestamps = (c->flags & F_TS) != 0,
        .scaling = (c->flags & F_SCALE) != 0,
        .ecn = (c->flags & F_ECN) != 0,
        .in_recovery = c->recovery != RECOVERY_OPEN,
    };
    for (const struct tcp_desc *d = c->descs; d != NULL; d = d->next)
        out->descriptors++;
}

/* --- invariants ----------------------------------------------------------------------------------------- */

static void verify_sent(const struct tcp_conn *c)
{
    uint32_t at = c->snd_una, pipe = 0, sacked = 0;
    for (const struct tcp_desc *d = c->descs; d != NULL; d = d->next) {
        CHECK(d->seq == at && d->len > 0);
        CHECK((d->flags & (DESC_SACKED | DESC_LOST)) != (DESC_SACKED | DESC_LOST));
        CHECK(!(d->flags & DESC_FIN) || d->next == NULL);
        CHECK(d->next != NULL || d == c->descs_end);
        at += d->len;
        if (d->flags & DESC_SACKED)
            sacked += d->len;
        else if (!(d->flags & DESC_LOST))
            pipe += d->len;
    }
    CHECK(at == c->snd_nxt && pipe == c->pipe && sacked == c->sacked);
    uint32_t data = c->snd_nxt - c->snd_una;
    if (c->flags & F_FIN_SENT && data > 0)
        data--;
    CHECK(data <= c->tx.bytes);
    uint32_t left = data; /* tx_pos is the place of snd_nxt */
    const struct rte_mbuf *m = c->tx.head;
    for (; m != NULL && m != c->tx_pos.seg; m = m->next)
        left -= m->data_len;
    CHECK(m == c->tx_pos.seg && (m == NULL ? c->tx.bytes == 0 : left == c->tx_pos.off));
    CHECK(c->cwnd >= c->mss || c->cwnd >= 1);
    CHECK(c->descs == NULL || c->timer != TIMER_NONE || c->flags & F_OUTPUT);
}

static void verify_received(const struct tcp_conn *c)
{
    CHECK(seq_le(c->rcv_nxt, c->rcv_edge));
    uint32_t mbufs = 0, ranges = 0, end = 0;
    uint64_t memory = tcp_chain_memory(c->rx.head);
    for (const struct rte_mbuf *m = c->ooo; m != NULL;) {
        CHECK(seq_gt(m->hash.usr, c->rcv_nxt) && seq_le(m->hash.usr + m->pkt_len, c->rcv_edge));
        CHECK(m == c->ooo || seq_ge(m->hash.usr, end));
        ranges += m == c->ooo || m->hash.usr != end;
        uint32_t bytes = 0;
        for (const struct rte_mbuf *part = m; part != NULL; part = part->next, mbufs++)
            bytes += part->data_len;
        CHECK(bytes == m->pkt_len);
        memory += tcp_chain_memory(m);
        end = m->hash.usr + m->pkt_len;
        const struct rte_mbuf *next = (const struct rte_mbuf *)(uintptr_t)m->tx_offload;
        CHECK(next != NULL || m == c->ooo_last);
        m = next;
    }
    CHECK(memory <= c->rx_memory); /* more: the start of a buffer that was handed on in part */
    CHECK(ranges == c->ooo_ranges && mbufs == c->ooo_mbufs);
}

void tcp_conn_verify(const struct tcp_conn *c)
{
    if (c->state < TCP_STATE_ESTABLISHED)
        return;
    verify_sent(c);
    verify_received(c);
}
