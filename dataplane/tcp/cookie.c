/*
 * SYN cookies (RFC 4987 3.6): the state of a handshake in the sequence number that we choose.
 *
 *   bits 31-27: the time in units of 64 s, modulo 32
 *   bits 26-24: the peer's MSS, as an index
 *   bits 23-0:  keyed hash of tuple, peer's ISN and the 8 bits above
 * With timestamps the low 6 bits of the first TSval hold scale (15: none), SACK and ECN.
 */
#include <string.h>

#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/parts.h"

static const uint16_t mss_table[8] = {216, 536, 1200, 1220, 1400, 1440, 1460, 8900};

static uint32_t time_unit(const struct tcp *t)
{
    return (uint32_t)((uint64_t)t->now / (64000ULL * 1000000)) & 31;
}

static uint32_t hash24(const struct tcp *t, const struct tcp_key *key, uint32_t isn, uint32_t top)
{
    struct {
        struct tcp_key key;
        uint32_t isn, top;
    } in = {*key, isn, top};
    _Static_assert(sizeof in == sizeof(struct tcp_key) + 8, "no padding");
    return (uint32_t)tcp_siphash(t->cookie_key, &in, sizeof in) & 0xffffff;
}

uint32_t tcp_cookie_make(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *syn)
{
    uint32_t unsaid = tcp_addr_is_v4(&key->local) ? TCP_MSS_DEFAULT : TCP_MSS_DEFAULT_V6;
    uint32_t mss = syn->mss != 0 ? syn->mss : unsaid, index = 7;
    while (index > 0 && mss_table[index] > mss)
        index--;
    uint32_t top = time_unit(t) << 3 | index;
    t->cookie_at = t->now;
    return top << 24 | hash24(t, key, syn->seq, top);
}

uint32_t tcp_cookie_ts(struct tcp *t, const struct tcp_synb *b)
{
    uint32_t scale = b->flags & F_SCALE ? b->snd_scale : 15;
    uint32_t bits = scale | (b->flags & F_SACK ? 16 : 0) | (b->flags & F_ECN ? 32 : 0);
    uint32_t clock = tcp_ts_clock(t), value = (clock & ~63u) | bits;
    if (seq_gt(value, clock))
        value -= 64; /* never ahead of the clock (PAWS) */
    return value + b->ts_offset;
}

bool tcp_cookie_check(struct tcp *t, const struct tcp_key *key, const struct tcp_seg *s,
                      struct tcp_synb *b)
{
    if (t->now - t->cookie_at > TCP_COOKIE_LIFE) /* none can be valid */
        return false;
    uint32_t cookie = s->ack - 1, isn = s->seq - 1, top = cookie >> 24;
    uint32_t age = (time_unit(t) - (top >> 3)) & 31;
    if (age > 1 || (cookie & 0xffffff) != hash24(t, key, isn, top))
        return false;
    memset(b, 0, sizeof *b);
    b->key = *key;
    b->irs = isn;
    b->iss = cookie;
    b->mss = mss_table[top & 7];
    b->ts_offset = tcp_ts_offset(t, key);
    b->sent_at = INT64_MIN; /* unknown: no round-trip time */
    if (t->o.timestamps && s->has_ts) {
        uint32_t bits = s->ts_ecr - b->ts_offset;
        b->flags |= F_TS;
        b->ts_recent = s->ts_val;
        if ((bits & 15) <= TCP_SCALE_MAX && t->o.window_scaling) {
            b->flags |= F_SCALE;
            b->snd_scale = bits & 15;
        }
        b->flags |= bits & 16 && t->o.sack ? F_SACK : 0;
        b->flags |= bits & 32 && t->o.ecn ? F_ECN : 0;
    }
    return true;
}
