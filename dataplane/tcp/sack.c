/* The sender's scoreboard: which sent pieces are acknowledged, by ACK or SACK (RFC 2018, 2883, 6675). */
#include "base/check.h"
#include "dataplane/tcp/parts.h"

static bool in_pipe(const struct tcp_desc *d)
{
    return !(d->flags & (DESC_SACKED | DESC_LOST));
}

bool tcp_desc_split(struct tcp_conn *c, struct tcp_desc *d, uint32_t len)
{
    CHECK(len > 0 && len < d->len);
    struct tcp_desc *rest = tcp_desc_alloc(c->tcp);
    if (rest == NULL)
        return false;
    *rest = *d;
    rest->seq += len;
    rest->len -= len;
    d->len = len;
    d->flags &= (uint8_t)~DESC_FIN;
    d->next = rest;
    if (c->descs_end == d)
        c->descs_end = rest;
    return true;
}

void tcp_desc_lost(struct tcp_conn *c, struct tcp_desc *d)
{
    if (!in_pipe(d))
        return;
    d->flags |= DESC_LOST;
    c->pipe -= d->len;
}

void tcp_scoreboard_drop(struct tcp_conn *c)
{
    for (struct tcp_desc *d = c->descs, *next; d != NULL; d = next) {
        next = d->next;
        tcp_desc_release(c->tcp, d);
    }
    c->descs = c->descs_end = NULL;
    c->pipe = c->sacked = 0;
}

/* Karn: only what was sent once says something about time (RFC 6298 3). */
static void note_delivery(struct tcp_conn *c, const struct tcp_desc *d, struct tcp_acked *a)
{
    if (d->sends == 1)
        a->rtt = c->tcp->now - d->sent_at;
    else
        a->acked_retrans = true;
    tcp_rack_sample(c, d, a);
}

void tcp_scoreboard_ack(struct tcp_conn *c, uint32_t ack, struct tcp_acked *a)
{
    struct tcp_desc *d;
    while ((d = c->descs) != NULL && seq_le(d->seq + d->len, ack)) {
        if (d->flags & DESC_SACKED)
            c->sacked -= d->len;
        else
            note_delivery(c, d, a);
        if (in_pipe(d))
            c->pipe -= d->len;
        c->descs = d->next;
        if (c->descs == NULL)
            c->descs_end = NULL;
        tcp_desc_release(c->tcp, d);
    }
    if (d == NULL || seq_ge(d->seq, ack))
        return;
    uint32_t n = ack - d->seq;
    if (d->flags & DESC_SACKED)
        c->sacked -= n;
    else if (in_pipe(d))
        c->pipe -= n;
    if (d->sends == 1 && !(d->flags & DESC_SACKED))
        a->rtt = c->tcp->now - d->sent_at;
    d->seq += n;
    d->len -= n;
    if (d->flags & DESC_SHORT) {
        d->flags &= (uint8_t)~DESC_SHORT;
        tcp_desc_lost(c, d);
    }
}

static void mark_sacked(struct tcp_conn *c, struct tcp_desc *d, struct tcp_acked *a)
{
    if (in_pipe(d))
        c->pipe -= d->len;
    d->flags = (uint8_t)((d->flags & ~DESC_LOST) | DESC_SACKED);
    c->sacked += d->len;
    a->sacked_bytes += d->len;
    note_delivery(c, d, a);
}

/*
 * Marks what [start, end) covers. A piece is cut only at multiples of its segment size, so that tiny
 * blocks neither use up descriptors nor count as segments.
 */
static void sack_block(struct tcp_conn *c, uint32_t start, uint32_t end, struct tcp_acked *a)
{
    for (struct tcp_desc *d = c->descs; d != NULL && seq_lt(d->seq, end); d = d->next) {
        uint32_t stop = d->seq + d->len;
        if (d->flags & DESC_SACKED || seq_le(stop, start))
            continue;
        if (seq_lt(d->seq, start)) {
            uint32_t skip = (start - d->seq + d->mss - 1) / d->mss * d->mss;
            uint32_t from = d->seq + skip;
            bool whole = seq_ge(end, seq_min(from + d->mss, stop));
            if (skip < d->len && (!whole || !tcp_desc_split(c, d, skip)))
                return;
            continue; /* the rest of it is the next piece */
        }
        if (seq_gt(stop, end)) {
            uint32_t whole = (end - d->seq) / d->mss * d->mss;
            if (whole == 0 || !tcp_desc_split(c, d, whole))
                return;
        }
        mark_sacked(c, d, a);
    }
}

/* RFC 2883 4: a first block below the ACK, or inside the second, reports a duplicate. */
static bool is_dsack(const struct tcp_seg *s)
{
    const struct tcp_block *b = s->sack;
    if (!seq_lt(b[0].start, b[0].end))
        return false;
    if (seq_le(b[0].end, s->ack))
        return true;
    return s->sacks > 1 && seq_ge(b[0].start, b[1].start) && seq_le(b[0].end, b[1].end);
}

void tcp_scoreboard_sack(struct tcp_conn *c, const struct tcp_seg *s, struct tcp_acked *a)
{
    uint32_t first = 0;
    if (s->sacks > 0 && is_dsack(s)) {
        a->dsack = true;
        a->dsack_start = s->sack[0].start;
        a->dsack_end = s->sack[0].end;
        c->tcp->stats.dsacks_in++;
        first = 1;
    }
    for (uint32_t i = first; i < s->sacks; i++) {
        uint32_t start = s->sack[i].start, end = s->sack[i].end;
        if (seq_lt(start, end) && seq_ge(start, c->snd_una) && seq_le(end, c->snd_nxt))
            sack_block(c, start, end, a);
    }
}
