/*
 * wire: the TCP header and its options on the wire (RFC 9293 3.1, 7323, 2018), and sequence
 * arithmetic.
 *
 * Purpose: bytes to struct tcp_seg and back. Pure functions, no state. Malformed input answers
 * ERR_MALFORMED; unknown options are skipped (RFC 9293 MUST-6).
 */
#ifndef DATAPLANE_TCP_WIRE_H
#define DATAPLANE_TCP_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"

#define TCP_FIN 0x01u
#define TCP_SYN 0x02u
#define TCP_RST 0x04u
#define TCP_PSH 0x08u
#define TCP_ACK 0x10u
#define TCP_URG 0x20u
#define TCP_ECE 0x40u
#define TCP_CWR 0x80u

#define TCP_HEADER      20u
#define TCP_HEADER_MAX  60u
#define TCP_SACK_BLOCKS 4u
#define TCP_SCALE_MAX   14u
/* RFC 9293 MUST-15: of a peer that says nothing, over IPv4 and IPv6 */
#define TCP_MSS_DEFAULT    536u
#define TCP_MSS_MIN        48u /* a peer that announces less gets this, else a byte costs a packet */
#define TCP_MSS_DEFAULT_V6 1220u

/* Sequence numbers compare modulo 2^32. */
static inline bool seq_lt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}
static inline bool seq_le(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) <= 0;
}
static inline bool seq_gt(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) > 0;
}
static inline bool seq_ge(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) >= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
    return seq_gt(a, b) ? a : b;
}
static inline uint32_t seq_min(uint32_t a, uint32_t b)
{
    return seq_lt(a, b) ? a : b;
}

struct tcp_block {
    uint32_t start, end; /* [start, end) */
};

/* A header in host order. Sequence space used: payload + SYN + FIN. */
struct tcp_seg {
    uint16_t src, dst;
    uint32_t seq, ack;
    uint8_t flags, header; /* header: bytes with options */
    uint16_t window;       /* as on the wire, unscaled */
    uint16_t urgent;
    uint32_t payload; /* bytes */
    /* options */
    uint16_t mss;  /* 0: none */
    uint8_t scale; /* valid if has_scale */
    uint8_t sacks; /* blocks in sack[] */
    uint8_t ecn;   /* of the IP header, input only */
    bool has_scale, has_ts, sack_ok;
    uint32_t ts_val, ts_ecr;
    struct tcp_block sack[TCP_SACK_BLOCKS];
};

static inline uint32_t tcp_seg_space(const struct tcp_seg *s)
{
    return s->payload + ((s->flags & TCP_SYN) != 0) + ((s->flags & TCP_FIN) != 0);
}

/*
 * Reads `have` contiguous bytes at p, which must hold the whole header; total: bytes of the segment.
 * ERR_MALFORMED: truncated, or a data offset out of range. A broken option list ends the options.
 */
int tcp_wire_parse(const uint8_t *p, uint32_t have, uint32_t total, struct tcp_seg *out);

/* Length of the header that tcp_wire_write makes of s, a multiple of 4. */
uint32_t tcp_wire_header_len(const struct tcp_seg *s);

/* Writes the header at p (tcp_wire_header_len bytes), checksum field 0; returns its length. */
uint32_t tcp_wire_write(const struct tcp_seg *s, uint8_t *p);

static inline uint16_t tcp_peer_mss(uint16_t announced)
{
    return announced < TCP_MSS_MIN ? TCP_MSS_MIN : announced;
}

#endif
