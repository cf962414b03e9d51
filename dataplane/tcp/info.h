/*
 * info: what a connection looks like from outside, for tests, checkers, logs and the tool.
 *
 * Purpose: a copy of the figures that matter; reading it changes nothing. Owner: the stack's thread.
 */
#ifndef DATAPLANE_TCP_INFO_H
#define DATAPLANE_TCP_INFO_H

#include <stdbool.h>
#include <stdint.h>

struct tcp_conn;

/* RFC 9293 3.3.2. LISTEN, SYN_RCVD of passive opens and TIME_WAIT live in smaller blocks. */
enum tcp_state {
    TCP_STATE_CLOSED = 0,
    TCP_STATE_SYN_SENT,
    TCP_STATE_SYN_RCVD, /* here: a simultaneous open only */
    TCP_STATE_ESTABLISHED,
    TCP_STATE_FIN_WAIT_1,
    TCP_STATE_FIN_WAIT_2,
    TCP_STATE_CLOSE_WAIT,
    TCP_STATE_CLOSING,
    TCP_STATE_LAST_ACK,
    TCP_STATE_TIME_WAIT,
};

struct tcp_conn_info {
    enum tcp_state state;
    uint32_t snd_una, snd_nxt, snd_wnd, rcv_nxt, rcv_edge;
    uint32_t cwnd, ssthresh, pipe;      /* bytes */
    uint16_t mss;                       /* payload bytes of a full segment, options taken off */
    int64_t srtt, rttvar, rto, min_rtt; /* ns */
    uint64_t tx_queued, rx_held;        /* bytes */
    uint32_t descriptors, ooo_segments, retransmits;
    bool sack, timestamps, scaling, ecn, in_recovery;
};

void tcp_conn_info(const struct tcp_conn *c, struct tcp_conn_info *out);

const char *tcp_state_name(enum tcp_state s);

/* CHECKs every invariant of the conn's block that can be checked; for tests and fuzzing. */
void tcp_conn_verify(const struct tcp_conn *c);

#endif
