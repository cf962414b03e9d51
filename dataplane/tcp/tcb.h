/*
 * tcb: the blocks of the stack; private to dataplane/tcp and its tests.
 *
 * Purpose: a connection (struct tcp_conn, at most 1 KiB), a handshake of a passive open (struct
 * tcp_synb), a TIME_WAIT (struct tcp_tw), a sent piece (struct tcp_desc), and the stack around them.
 * Owner: the stack's thread. Memory: arrays taken in tcp_new, free lists through them.
 *
 * Layout of struct tcp_conn, in cache lines of 64 bytes:
 *   0  what look-up and the acceptance test read: tuple, rcv_nxt, rcv_edge, snd_una, snd_nxt
 *   1  what an ACK and the next send touch: windows, cwnd, pipe, descriptors
 *   2  send queue and receive queue
 *   3+ timers, RTT, RACK, lists; congestion control and rare things last
 *
 * Send side:        snd_una          snd_nxt            snd_una + tx.bytes (+ FIN)
 *   --- acked ------+--- descriptors ---+--- not yet sent -----+
 *   tx starts at snd_una (once the SYN is acknowledged); descs cover [snd_una, snd_nxt) without gaps.
 * Receive side:     rcv_nxt - rx.bytes    rcv_nxt          rcv_edge
 *   --- taken ------+--- rx (in order) ---+--- ooo (with holes) --+
 */
#ifndef DATAPLANE_TCP_TCB_H
#define DATAPLANE_TCP_TCB_H

#include <stddef.h>
#include <sys/queue.h>

#include "core/wheel.h"
#include "dataplane/tcp/checksum.h"
#include "dataplane/tcp/info.h"
#include "dataplane/tcp/stats.h"
#include "dataplane/tcp/table.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/tcp/wire.h"

enum tcp_desc_flags {
    DESC_SACKED = 1,
    DESC_LOST = 2,    /* to be sent again; not in pipe */
    DESC_RETRANS = 4, /* sent more than once */
    DESC_SHORT = 16,  /* only its start was sent again: no descriptor was left to cut it */
    DESC_FIN = 8,     /* its last unit of sequence space is our FIN */
};

/* A piece of sequence space that was sent and is not cumulatively acknowledged. */
struct tcp_desc {
    uint32_t seq, len;
    int64_t sent_at; /* of the last transmission */
    struct tcp_desc *next;
    uint16_t mss; /* the piece left in segments of this size: SACK edges are cut at multiples */
    uint8_t flags, sends;
    uint32_t spare;
};
_Static_assert(sizeof(struct tcp_desc) == 32, "two descriptors in a cache line");

enum tcp_recovery { RECOVERY_OPEN, RECOVERY_FAST, RECOVERY_LOSS };

/* What the one retransmission timer of a conn waits for; they exclude each other (RFC 8985 8). */
enum tcp_timer { TIMER_NONE, TIMER_SYN, TIMER_RTO, TIMER_TLP, TIMER_REO, TIMER_PERSIST };

enum tcp_event {
    EVENT_ACCEPTED = 1,
    EVENT_CONNECTED = 2,
    EVENT_READABLE = 4,
    EVENT_FINISHED = 8,
    EVENT_SENT = 16,
    EVENT_CLOSED = 32,
};

enum tcp_flags {
    F_TS = 1 << 0,            /* negotiated */
    F_SACK = 1 << 1,          /* negotiated */
    F_ECN = 1 << 2,           /* negotiated */
    F_SCALE = 1 << 3,         /* negotiated */
    F_ACK_NOW = 1 << 4,       /* an ACK leaves with the next output */
    F_ACK_SOON = 1 << 5,      /* ack_at is set */
    F_FIN_QUEUED = 1 << 6,    /* a FIN follows the last byte of tx */
    F_FIN_SENT = 1 << 7,      /* snd_nxt is past it */
    F_FIN_IN = 1 << 8,        /* the peer's FIN is in order; rcv_nxt is past it */
    F_CLOSING = 1 << 9,       /* tcp_close: no more reading */
    F_NAGLE = 1 << 10,        /* */
    F_CWND_LIMITED = 1 << 11, /* the last output stopped at cwnd */
    F_ECE_OUT = 1 << 12,      /* CE was seen, CWR was not yet (RFC 3168 6.1.3) */
    F_CWR_OUT = 1 << 13,      /* cwnd was reduced: next new data carries CWR */
    F_TLP = 1 << 14,          /* a probe is out (tlp_end is valid) */
    F_TLP_RETRANS = 1 << 15,  /* and it was a retransmission */
    F_REORDERED = 1 << 16,    /* RACK: reordering was seen */
    F_ACTIVE = 1 << 17,       /* tcp_connect made it */
    F_EIFEL = 1 << 18,        /* eifel_ts is the timestamp of the first retransmission */
    F_SLOW_START = 1 << 19,   /* HyStart++: conservative slow start (CSS) is on */
    F_OUTPUT = 1 << 20,       /* linked in tcp->outputs */
    F_EVENTS = 1 << 21,       /* linked in tcp->events */
    F_DSACK = 1 << 22,        /* dsack is to be reported with the next ACK */
    F_WINDOW_SET = 1 << 23,   /* the consumer has called tcp_window */
    F_SYN_OUT = 1 << 24,      /* SYN (or SYN-ACK) is to be sent */
    F_PROBE_OUT = 1 << 25,    /* a window or keepalive probe is to be sent */
    F_REFUSED = 1 << 26,      /* no more events */
    F_TLP_OUT = 1 << 27,      /* a loss probe is to be sent */
    F_FIN_HELD = 1 << 28,     /* a FIN arrived out of order: fin_in is its place */
    F_COOKIE = 1 << 29,       /* a SYN cookie made it */
};

struct tcp_cubic {
    double w_max, k, w_est, cwnd_epoch; /* segments, seconds */
    int64_t epoch;                      /* ns; 0: none */
};

struct tcp_hystart {
    int64_t round_min, last_min, css_base; /* ns; INT64_MAX: none */
    uint32_t round_end;                    /* sequence number that ends the round */
    uint8_t samples, css_rounds, off;
};

struct tcp_conn {
    /* line 0 */
    struct tcp_key key;
    uint32_t rcv_nxt, snd_una, snd_nxt, rcv_edge;
    uint32_t flags;
    uint8_t state, rcv_scale, snd_scale, timer;
    uint32_t ts_recent;
    /* line 1 */
    uint32_t snd_wnd, snd_wl1, snd_wl2, snd_wnd_max;
    uint32_t cwnd, ssthresh, pipe;
    uint16_t mss, mss_path; /* mss: payload of a full segment; mss_path: with options */
    struct tcp_desc *descs, *descs_end;
    struct tcp *tcp;
    uint8_t events, recovery, ack_segments, dup_acks;
    uint32_t index;
    /* line 2 */
    struct chain tx, rx;
    /* line 3 */
    struct chain_pos tx_pos; /* of snd_nxt in tx; seg NULL: tx was empty then, or at its start */
    uint32_t recovery_point, rcv_acked; /* rcv_acked: the last ACK that we sent */
    int64_t ack_at, timer_at;           /* INT64_MAX: not set */
    int64_t srtt, rttvar;               /* ns; srtt 0: no sample yet */
    /* line 4 */
    int64_t rto;
    struct wheel_timer wheel;
    TAILQ_ENTRY(tcp_conn) output_link;
    int64_t keep_at; /* keepalive, FIN_WAIT_2; INT64_MAX: not set */
    /* line 5 */
    TAILQ_ENTRY(tcp_conn) event_link;
    void *user;
    uint64_t sent_bytes; /* for the `sent` event */
    int64_t heard_at;    /* last acceptable segment */
    int64_t progress_at; /* snd_una moved, or data started to wait */
    int64_t output_at;   /* last data sent */
    int64_t oow_ack_at;  /* last answer to a segment out of window without payload */
    /* RACK (RFC 8985) */
    int64_t rack_sent_at, rack_rtt, min_rtt, min_rtt_at, min_rtt_next;
    uint32_t rack_end, rack_fack, tlp_end, reo_dsack_round;
    uint8_t reo_mult, reo_persist, backoff, retries;
    /* receive side, out of order */
    struct rte_mbuf *ooo, *ooo_last; /* first and last piece; links: reassemble.c */
    uint32_t ooo_mbufs, ooo_ranges, fin_in;
    uint64_t rx_memory;                              /* bytes of whole buffers, rx and ooo */
    struct tcp_block recent[TCP_SACK_BLOCKS], dsack; /* SACK blocks, newest first */
    uint8_t recents, close_reason, keep_probes_max, keep_probes;
    uint32_t window;      /* as given to tcp_window, bytes beyond what was taken then */
    uint32_t window_base; /* sequence number that `window` counts from */
    /* congestion control */
    struct tcp_cubic cubic;
    struct tcp_hystart hystart;
    uint32_t sacked; /* bytes of pieces with DESC_SACKED */
    uint32_t prior_cwnd, prior_ssthresh, ecn_point, eifel_ts;
    /* rare */
    int64_t keep_idle, keep_interval;
    void *listener_user;
    uint32_t iss, irs, ts_offset, rtx_count, listener, listener_generation;
    uint32_t tso_max;
    uint16_t peer_mss, mss_before; /* mss_before: mss_path before a black hole was suspected */
    uint8_t full_rtos;
    bool checksum_offload;
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct tcp_conn, snd_wnd) == 64, "line 1");
_Static_assert(offsetof(struct tcp_conn, tx) == 128, "line 2");
_Static_assert(sizeof(struct tcp_conn) <= 1024, "a connection fits 1 KiB");

/* SYN_RCVD of a passive open. */
struct tcp_synb {
    struct tcp_key key;
    uint32_t irs, iss, ts_recent, ts_offset, window;
    uint16_t mss;      /* the peer's */
    uint8_t snd_scale; /* the peer's */
    uint8_t flags;     /* F_TS, F_SACK, F_ECN, F_SCALE */
    uint8_t retries, listener, stalled;
    int64_t born_at, sent_at;
    struct wheel_timer wheel; /* while free: next links the free list */
    struct tcp *tcp;
};
_Static_assert(sizeof(struct tcp_synb) <= 128, "a handshake fits two cache lines");

struct tcp_tw {
    struct tcp_key key;
    uint32_t rcv_nxt, snd_nxt, ts_recent, ts_offset, index;
    uint16_t window; /* as last offered, on the wire */
    uint8_t has_ts;
    struct tcp *tcp;
    int64_t until;
    TAILQ_ENTRY(tcp_tw) link; /* in order of `until`, or in the free list */
};
_Static_assert(sizeof(struct tcp_tw) <= 96, "a TIME_WAIT stays small");

struct tcp_listener {
    struct tcp_addr addr;
    uint16_t port;
    bool used, any;
    uint32_t backlog, pending; /* pending: SYN blocks and conns not yet accepted */
    uint32_t generation;
    void *user;
};

TAILQ_HEAD(tcp_conn_list, tcp_conn);
TAILQ_HEAD(tcp_tw_list, tcp_tw);

struct tcp {
    struct tcp_options o;
    int64_t now;
    struct table table;
    struct wheel wheel;
    checksum_fn sum;
    struct tcp_conn *conns;
    struct tcp_synb *syns;
    struct tcp_tw *tws;
    struct tcp_desc *descs, *descs_free;
    struct tcp_listener *listeners;
    struct tcp_conn_list conns_free, outputs, events;
    struct tcp_synb *syns_free;
    struct tcp_tw_list tws_free, tws_live;
    struct wheel_timer tw_wheel;
    uint64_t rx_memory;
    uint32_t conns_used, syns_used, tws_used, descs_used;
    uint8_t rcv_scale;
    uint8_t isn_key[16], cookie_key[16], ts_key[16];
    int64_t second_at; /* start of the second that the limits below count in */
    uint32_t challenge_left, resets_left;
    int64_t cookie_at; /* when the last cookie was sent; far in the past: never */
    struct tcp_stats stats;
};

#define TCP_NEVER       INT64_MAX
#define TCP_MS          1000000LL
#define TCP_COOKIE_LIFE (128000 * TCP_MS) /* after that a SYN cookie is not believed */

/* The timestamp clock ticks in milliseconds (RFC 7323 5.4). */
static inline uint32_t tcp_ts_clock(const struct tcp *t)
{
    return (uint32_t)((uint64_t)t->now / 1000000u);
}

static inline uint32_t tcp_header_ip(const struct tcp_key *key)
{
    return tcp_addr_is_v4(&key->local) ? 20 : 40;
}

#endif
