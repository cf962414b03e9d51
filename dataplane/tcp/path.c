/* What the way to the peer carries: ICMP, path MTU, black holes (RFC 1191, 5461, 5927, 8201, 4821). */
#include "dataplane/tcp/parts.h"

#define MTU_MIN_V4         576  /* below, ICMP is not believed: RFC 9293 MUST-15's default fits */
#define MTU_MIN_V6         1280 /* RFC 8200 5 */
#define BLACK_HOLE_RTOS    2    /* timeouts in a row of a segment above the least size */
#define BLACK_HOLE_MSS     1220
#define BLACK_HOLE_MSS_MIN 536

/* RFC 1191 7.1: the next lower MTU that is common. */
static uint32_t plateau_below(uint32_t mtu)
{
    static const uint16_t plateau[] = {32000, 17914, 8166, 4352, 2002, 1492, 1280, 1006};
    for (size_t i = 0; i < sizeof plateau / sizeof plateau[0]; i++)
        if (plateau[i] < mtu)
            return plateau[i];
    return MTU_MIN_V4;
}

static struct tcp_conn *conn_of(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                                uint16_t remote_port)
{
    struct tcp_key key = {addrs->local, addrs->remote, local_port, remote_port};
    table_ref ref = table_get(&t->table, &key);
    if (ref == 0 || table_ref_kind(ref) != TCP_BLOCK_CONN)
        return NULL;
    return &t->conns[table_ref_index(ref)];
}

/* RFC 5927 4.1: it must quote something that we have in flight. */
static bool in_flight(const struct tcp_conn *c, uint32_t seq)
{
    return seq_ge(seq, c->snd_una) && seq_lt(seq, c->snd_nxt);
}

void tcp_path_lower(struct tcp_conn *c, uint16_t mss_path)
{
    c->mss_path = mss_path;
    tcp_conn_set_mss(c);
    if (c->state < TCP_STATE_ESTABLISHED)
        return;
    bool any = false;
    for (struct tcp_desc *d = c->descs; d != NULL; d = d->next)
        if (d->len > c->mss && d->mss > c->mss && !(d->flags & DESC_SACKED)) {
            tcp_desc_lost(c, d);
            any = true;
        }
    if (c->cwnd < 2u * c->mss)
        c->cwnd = 2u * c->mss;
    if (any && c->recovery == RECOVERY_OPEN) { /* not congestion: cwnd stays (RFC 1191 6.5) */
        tcp_cc_save(c);
        c->recovery = RECOVERY_FAST;
        c->recovery_point = c->snd_nxt;
    }
    tcp_want_output(c);
}

void tcp_icmp_too_big(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                      uint16_t remote_port, uint32_t seq, uint32_t mtu, int64_t now)
{
    if (now > t->now)
        t->now = now;
    struct tcp_conn *c = conn_of(t, addrs, local_port, remote_port);
    if (c == NULL || !in_flight(c, seq))
        return;
    uint32_t headers = tcp_header_ip(&c->key) + TCP_HEADER;
    uint32_t floor = tcp_addr_is_v4(&c->key.local) ? MTU_MIN_V4 : MTU_MIN_V6;
    if (mtu == 0)
        mtu = plateau_below(c->mss_path + headers);
    if (mtu < floor)
        mtu = floor;
    if (mtu - headers >= c->mss_path)
        return;
    t->stats.pmtu_lowered++;
    tcp_path_lower(c, (uint16_t)(mtu - headers));
}

void tcp_icmp_unreachable(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                          uint16_t remote_port, uint32_t seq, bool hard, int64_t now)
{
    if (now > t->now)
        t->now = now;
    struct tcp_conn *c = conn_of(t, addrs, local_port, remote_port);
    if (c == NULL || !in_flight(c, seq))
        return;
    if (hard && c->state < TCP_STATE_ESTABLISHED)
        tcp_conn_end(c, TCP_CLOSE_UNREACHABLE, false);
}

/*
 * A router that drops large segments without a word. Two timeouts in a row of a large segment lower the
 * size in steps; if even small segments bring no progress, size was not the reason and comes back.
 */
void tcp_path_timeout(struct tcp_conn *c)
{
    bool v4 = tcp_addr_is_v4(&c->key.local);
    uint16_t floor = v4 ? BLACK_HOLE_MSS_MIN : BLACK_HOLE_MSS;
    bool large = c->descs->len + TCP_HEADER_MAX - TCP_HEADER > floor || c->mss_before != 0;
    if (!large || ++c->full_rtos < BLACK_HOLE_RTOS)
        return;
    c->full_rtos = 0;
    uint16_t used = c->mss_path < c->peer_mss ? c->mss_path : c->peer_mss;
    if (used > floor) {
        if (c->mss_before == 0)
            c->mss_before = c->mss_path;
        c->tcp->stats.black_holes++;
        tcp_path_lower(c, used > BLACK_HOLE_MSS ? BLACK_HOLE_MSS : floor);
    } else if (c->mss_before != 0) {
        c->mss_path = c->mss_before;
        c->mss_before = 0;
        tcp_conn_set_mss(c);
    }
}
