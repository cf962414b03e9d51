#include "dataplane/tcp/wire.h"

#include "base/bytes.h"
#include "base/err.h"

enum {
    OPT_END = 0,
    OPT_NOP = 1,
    OPT_MSS = 2,
    OPT_SCALE = 3,
    OPT_SACK_OK = 4,
    OPT_SACK = 5,
    OPT_TS = 8,
};

#define ts_advised 0x0101080au /* NOP, NOP, timestamps: as RFC 7323 appendix A advises */

static uint8_t *put32(uint8_t *p, uint32_t v)
{
    bytes_put_u32(p, v);
    return p + 4;
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
    bytes_put_u16(p, v);
    return p + 2;
}

static void parse_sack(struct tcp_seg *s, const uint8_t *p, uint32_t len)
{
    uint32_t blocks = (len - 2) / 8;
    if ((len - 2) % 8 != 0 || blocks > TCP_SACK_BLOCKS)
        return;
    for (uint32_t i = 0; i < blocks; i++)
        s->sack[i] = (struct tcp_block){bytes_get_u32(p + 2 + 8 * i), bytes_get_u32(p + 6 + 8 * i)};
    s->sacks = (uint8_t)blocks;
}

/* One option of len bytes, kind and length included. Wrong lengths and places are ignored. */
static void parse_option(struct tcp_seg *s, const uint8_t *p, uint32_t len)
{
    bool syn = (s->flags & TCP_SYN) != 0;
    switch (p[0]) {
    case OPT_MSS:
        if (len == 4 && syn)
            s->mss = bytes_get_u16(p + 2);
        break;
    case OPT_SCALE:
        if (len == 3 && syn) {
            s->has_scale = true;
            s->scale = p[2] > TCP_SCALE_MAX ? TCP_SCALE_MAX : p[2]; /* RFC 7323 2.3 */
        }
        break;
    case OPT_SACK_OK:
        if (len == 2 && syn)
            s->sack_ok = true;
        break;
    case OPT_SACK:
        parse_sack(s, p, len);
        break;
    case OPT_TS:
        if (len == 10) {
            s->has_ts = true;
            s->ts_val = bytes_get_u32(p + 2);
            s->ts_ecr = bytes_get_u32(p + 6);
        }
        break;
    default:
        break;
    }
}

static void parse_options(struct tcp_seg *s, const uint8_t *p, uint32_t n)
{
    while (n > 0) {
        if (p[0] == OPT_END)
            return;
        if (p[0] == OPT_NOP) {
            p++;
            n--;
            continue;
        }
        if (n < 2 || p[1] < 2 || p[1] > n) /* RFC 9293 MUST-7: an illegal length must not hurt */
            return;
        uint32_t len = p[1];
        parse_option(s, p, len);
        p += len;
        n -= len;
    }
}

int tcp_wire_parse(const uint8_t *p, uint32_t have, uint32_t total, struct tcp_seg *out)
{
    if (have < TCP_HEADER)
        return ERR_MALFORMED;
    uint32_t header = (uint32_t)(p[12] >> 4) * 4;
    if (header < TCP_HEADER || header > have || header > total)
        return ERR_MALFORMED;
    struct tcp_seg *s = out;
    s->src = bytes_get_u16(p);
    s->dst = bytes_get_u16(p + 2);
    s->seq = bytes_get_u32(p + 4);
    s->ack = bytes_get_u32(p + 8);
    s->header = (uint8_t)header;
    s->flags = p[13];
    s->window = bytes_get_u16(p + 14);
    s->urgent = bytes_get_u16(p + 18);
    s->payload = total - header;
    s->mss = 0;
    s->sacks = 0;
    s->has_scale = s->has_ts = s->sack_ok = false;
    if (header == 32 && bytes_get_u32(p + 20) == ts_advised) {
        s->has_ts = true;
        s->ts_val = bytes_get_u32(p + 24);
        s->ts_ecr = bytes_get_u32(p + 28);
    } else if (header > TCP_HEADER) {
        parse_options(s, p + TCP_HEADER, header - TCP_HEADER);
    }
    return 0;
}

uint32_t tcp_wire_header_len(const struct tcp_seg *s)
{
    uint32_t n = TCP_HEADER;
    n += s->mss != 0 ? 4 : 0;
    n += s->has_scale ? 4 : 0;
    n += s->has_ts ? 12 : 0;
    if (s->sack_ok)
        n += s->has_ts ? 0 : 4; /* takes the place of the two NOPs before a timestamp */
    n += s->sacks > 0 ? 4 + 8u * s->sacks : 0;
    return n;
}

static uint8_t *write_options(const struct tcp_seg *s, uint8_t *p)
{
    if (s->mss != 0) {
        *p++ = OPT_MSS;
        *p++ = 4;
        p = put16(p, s->mss);
    }
    if (s->sack_ok) {
        *p++ = OPT_SACK_OK;
        *p++ = 2;
    }
    if (s->has_ts != s->sack_ok) {
        *p++ = OPT_NOP;
        *p++ = OPT_NOP;
    }
    if (s->has_ts) {
        *p++ = OPT_TS;
        *p++ = 10;
        p = put32(p, s->ts_val);
        p = put32(p, s->ts_ecr);
    }
    if (s->has_scale) {
        *p++ = OPT_NOP;
        *p++ = OPT_SCALE;
        *p++ = 3;
        *p++ = s->scale;
    }
    if (s->sacks > 0) {
        *p++ = OPT_NOP;
        *p++ = OPT_NOP;
        *p++ = OPT_SACK;
        *p++ = (uint8_t)(2 + 8 * s->sacks);
        for (uint32_t i = 0; i < s->sacks; i++) {
            p = put32(p, s->sack[i].start);
            p = put32(p, s->sack[i].end);
        }
    }
    return p;
}

/*
 * What nearly every segment has: timestamps and no other option. In words of eight bytes, as the
 * checksum reads them: a load over fresh smaller stores waits until they have left the store buffer.
 */
static uint32_t write_usual(const struct tcp_seg *s, uint8_t *p)
{
    bytes_put_u64(p, (uint64_t)s->src << 48 | (uint64_t)s->dst << 32 | s->seq);
    bytes_put_u64(p + 8, (uint64_t)s->ack << 32 | (TCP_HEADER + 12) / 4 << 28 |
                             (uint32_t)s->flags << 16 | s->window);
    bytes_put_u64(p + 16, (uint64_t)s->urgent << 32 | ts_advised);
    bytes_put_u64(p + 24, (uint64_t)s->ts_val << 32 | s->ts_ecr);
    return TCP_HEADER + 12;
}

uint32_t tcp_wire_write(const struct tcp_seg *s, uint8_t *p)
{
    bool others = s->mss != 0 || s->has_scale || s->sack_ok || s->sacks > 0;
    if (s->has_ts && !others)
        return write_usual(s, p);
    uint8_t *at = p;
    at = put16(at, s->src);
    at = put16(at, s->dst);
    at = put32(at, s->seq);
    at = put32(at, s->ack);
    uint32_t header = tcp_wire_header_len(s);
    *at++ = (uint8_t)(header / 4 << 4);
    *at++ = s->flags;
    at = put16(at, s->window);
    at = put16(at, 0);
    at = put16(at, s->urgent);
    write_options(s, at);
    return header;
}
