/*
 * tcp: TCP (RFC 9293 and companions, docs/tcp.md) as a library without clock, NIC or IP.
 *
 * Purpose: accepts segments, produces segments, names its next deadline. One `struct tcp` is one
 * shard's stack: its connections, SYN and TIME_WAIT blocks, look-up table and timer wheel.
 * Owner: one thread. Time is handed in (ns, never backwards), randomness too.
 * Memory: everything is taken in tcp_new; afterwards only mbufs of the given pools. Segments handed
 * to tcp_input belong to the stack at once; segments handed to `emit` belong to the callee.
 * Invariants:
 *   - events come from tcp_run alone; `emit` and `route` are also called from tcp_input and the ICMP
 *     entries (RST, SYN-ACK), `emit` from tcp_abort and tcp_close (RST), `route` and `owns` from
 *     tcp_connect;
 *   - inside accepted, connected, readable, finished, sent and closed every function on a conn may
 *     be called (not tcp_run, tcp_input, tcp_free); inside emit, route and owns none;
 *   - closed is the last event of a conn, exactly once after accepted or tcp_connect, unless
 *     accepted refused it; then the handle is dead;
 *   - bytes reach the consumer in order, exactly once, never beyond the window it gave.
 * How it fails: without mbufs or descriptors it sends later or drops what came in, as if the
 * network had lost it; blocks at their limit refuse new connections, SYN floods get cookies.
 */
#ifndef DATAPLANE_TCP_TCP_H
#define DATAPLANE_TCP_TCP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/rng.h"
#include "core/chain.h"

struct rte_mbuf;
struct rte_mempool;
struct tcp;
struct tcp_conn;

/* IPv6, or IPv4 as ::ffff:a.b.c.d; network byte order. */
struct tcp_addr {
    uint8_t b[16];
};

/* Seen from us: local is the destination of what comes in and the source of what goes out. */
struct tcp_addrs {
    struct tcp_addr local, remote;
};

struct tcp_addr tcp_addr_v4(uint32_t host_order);
static inline bool tcp_addr_is_v4(const struct tcp_addr *a)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(a->b, mapped, sizeof(mapped)) == 0;
}

/* What the layer below says about the way to a peer. */
struct tcp_route {
    uint16_t mtu;          /* of the IP packet in bytes, headers included; path MTU if known */
    uint32_t tso_max;      /* payload bytes that one emitted segment may carry; 0: no TSO */
    bool checksum_offload; /* the port fills in the TCP checksum */
};

/* How a segment wants to leave. */
struct tcp_out {
    struct tcp_addrs addrs;
    uint16_t mss;          /* TSO: cut the payload into pieces of this many bytes; 0: as it is */
    uint8_t header_len;    /* TCP header and options, bytes; all in the first mbuf */
    uint8_t ecn;           /* ECN field of the IP header: 0 or 2 (ECT(0)) */
    bool checksum_offload; /* the checksum field holds the pseudo header's sum, as DPDK wants it
                              (without the length when mss != 0); else it is complete */
};

enum tcp_close_reason {
    TCP_CLOSE_DONE = 0,        /* both directions ended in order */
    TCP_CLOSE_ABORT = 1,       /* tcp_abort, or tcp_close with unread data */
    TCP_CLOSE_RESET = 2,       /* the peer sent RST */
    TCP_CLOSE_TIMEOUT = 3,     /* retransmissions, probes or keepalives stayed unanswered */
    TCP_CLOSE_REFUSED = 4,     /* active open: RST to our SYN */
    TCP_CLOSE_UNREACHABLE = 5, /* active open: ICMP said so; or no route */
};

struct tcp_hooks {
    /* The segment: TCP header first, pkt_len and nb_segs kept, >= 64 bytes of headroom. */
    void (*emit)(void *ctx, struct rte_mbuf *segment, const struct tcp_out *out);
    /* 0 and *out, or a negative err: no way there. */
    int (*route)(void *ctx, const struct tcp_addrs *addrs, struct tcp_route *out);
    /* Would segments of this tuple arrive at this shard? NULL: always. For active opens. */
    bool (*owns)(void *ctx, const struct tcp_addrs *addrs, uint16_t local_port,
                 uint16_t remote_port);
    /* A passive open is complete. Negative: refused, RST, no further events. */
    int (*accepted)(void *ctx, struct tcp_conn *c, void *listener_user);
    void (*connected)(void *ctx, struct tcp_conn *c);
    void (*readable)(void *ctx, struct tcp_conn *c); /* tcp_readable(c) has grown */
    void (*finished)(void *ctx, struct tcp_conn *c); /* the peer's FIN: nothing more will come */
    void (*sent)(void *ctx, struct tcp_conn *c, uint64_t bytes); /* acknowledged, given back */
    void (*closed)(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason);
    void *ctx;
};

enum tcp_congestion { TCP_CUBIC = 0, TCP_NEWRENO = 1 };

/* tcp_options_default fills all but the first block. Times in ns. */
struct tcp_options {
    struct tcp_hooks hooks;
    struct rte_mempool
        *header_pool;             /* data room >= 128 + 60; more is used to copy small payloads */
    struct rte_mempool *ref_pool; /* indirect mbufs that refer to payload */
    struct rng *rng;              /* outlives the stack */
    uint8_t secret[16];           /* of ISNs, SYN cookies and the look-up table */

    uint32_t conns_max, syns_max, time_waits_max, listeners_max;
    uint32_t descriptors_max;   /* sent, unacknowledged pieces of the whole stack (32 bytes each) */
    uint32_t rx_window_max;     /* bytes; largest window ever offered, gives the scale */
    uint64_t rx_memory_max;     /* whole buffers held for in-order and out-of-order data */
    uint32_t rx_segments_max;   /* out-of-order mbufs of one conn */
    uint32_t rx_ooo_ranges_max; /* holes of one conn at most this many */
    uint32_t copy_max;          /* payloads up to this many bytes are copied behind the header */
    int64_t rto_min, rto_max, rto_initial;
    int64_t delayed_ack;            /* at most 500 ms (RFC 9293 MUST-40) */
    int64_t syn_timeout;            /* R2 of a SYN; RFC 9293: >= 180 s */
    int64_t user_timeout;           /* R2 of data and FIN; RFC 9293: >= 100 s */
    int64_t keepalive_idle;         /* 0: off (the default, MUST-25) */
    int64_t keepalive_interval;     /* between probes */
    uint32_t keepalive_probes;      /* unanswered ones until TIMEOUT */
    int64_t fin_wait2_timeout;      /* after tcp_close, without a FIN from the peer */
    int64_t time_wait;              /* 2 MSL */
    uint32_t challenge_acks_max;    /* a second, whole stack (RFC 5961) */
    uint32_t resets_max;            /* RSTs a second without a connection */
    uint16_t port_first, port_last; /* active opens without a port of their own */
    enum tcp_congestion congestion;
    bool window_scaling, timestamps, sack, ecn, hystart;
    bool syn_cookies;
};

void tcp_options_default(struct tcp_options *o);

/* ERR_NO_MEMORY, ERR_INVALID (a limit of 0, times out of order). */
int tcp_new(const struct tcp_options *o, int64_t now, struct tcp **out);

/* Drops everything without a word to peers and without events. NULL is accepted. */
void tcp_free(struct tcp *t);

/*
 * Listens on addr (all zero: any, v4 and v6) and port. backlog: connections not yet accepted.
 * ERR_EXISTS, ERR_FULL, ERR_INVALID. tcp_unlisten ends it; open connections stay.
 */
int tcp_listen(struct tcp *t, const struct tcp_addr *addr, uint16_t port, uint32_t backlog,
               void *user);
void tcp_unlisten(struct tcp *t, const struct tcp_addr *addr, uint16_t port);

/*
 * Active open; local_port 0: chosen (RFC 6056, and so that `owns` agrees). The SYN leaves with the
 * next tcp_run; the outcome shows as connected or closed. ERR_FULL (conns), ERR_EXISTS (tuple in
 * use), ERR_RANGE (no port left), what route says.
 */
int tcp_connect(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                uint16_t remote_port, void *user, int64_t now, struct tcp_conn **out);

#define TCP_IN_ECN           3u        /* ECN field of the IP header */
#define TCP_IN_CHECKSUM_GOOD (1u << 2) /* the port has checked the TCP checksum */

/*
 * A segment from the network. Data starts at the TCP header; pkt_len is header and payload alone (no
 * padding of the link). Takes the mbuf in every case. Events follow in the next tcp_run.
 */
void tcp_input(struct tcp *t, const struct tcp_addrs *addrs, struct rte_mbuf *segment,
               uint32_t flags, int64_t now);

/*
 * ICMP about a segment of ours: addrs as we see them, ports and seq from the quoted header. Ignored
 * unless seq is in flight (RFC 5927). mtu 0: unknown (old router), a plateau below is taken.
 */
void tcp_icmp_too_big(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                      uint16_t remote_port, uint32_t seq, uint32_t mtu, int64_t now);

/* hard: protocol or port unreachable; ends an active open only (RFC 5461), otherwise noted. */
void tcp_icmp_unreachable(struct tcp *t, const struct tcp_addrs *addrs, uint16_t local_port,
                          uint16_t remote_port, uint32_t seq, bool hard, int64_t now);

/*
 * Timers that are due, then events, then output; events and output of at most `budget` conns each.
 * True: there is more to do at once. Call it after each burst of tcp_input and at each deadline.
 */
bool tcp_run(struct tcp *t, int64_t now, uint32_t budget);

/* When tcp_run must be called next: 0 if at once, INT64_MAX if only input can bring work. */
int64_t tcp_next_deadline(const struct tcp *t);

/* Queues all of `out` (empty afterwards); after tcp_close or tcp_shutdown it is dropped. */
void tcp_send(struct tcp_conn *c, struct chain *out);

/* In-order bytes that wait for tcp_recv. */
uint64_t tcp_readable(const struct tcp_conn *c);

/* Moves up to max bytes to the end of out; less only when a cut finds no indirect mbuf. Returns bytes. */
uint64_t tcp_recv(struct tcp_conn *c, uint64_t max, struct chain *out);

/*
 * The consumer will take `bytes` more, counted from the bytes already taken with tcp_recv; this (and
 * memory) drives the advertised window. What was advertised is never taken back (SHLD-14). A new
 * conn starts with tcp_initial_window, so call it in accepted or connected.
 */
void tcp_window(struct tcp_conn *c, uint64_t bytes);
#define tcp_initial_window 65535 /* bytes offered on SYN and SYN-ACK before tcp_window was called */

/* Half-close: what was sent still leaves, then FIN; reading goes on. */
void tcp_shutdown(struct tcp_conn *c);

/* Shutdown and no more reading: unread data, now or later, is answered with RST. Idempotent. */
void tcp_close(struct tcp_conn *c);

/* RST; closed(ABORT) follows in the next tcp_run. Idempotent. */
void tcp_abort(struct tcp_conn *c);

void *tcp_user(const struct tcp_conn *c);
void tcp_set_user(struct tcp_conn *c, void *user);

/* Ports in host order. */
struct tcp_tuple {
    struct tcp_addrs addrs;
    uint16_t local_port, remote_port;
};
struct tcp_tuple tcp_tuple(const struct tcp_conn *c);

/* Keepalive of one conn: idle 0 turns it off. */
void tcp_keepalive(struct tcp_conn *c, int64_t idle, int64_t interval, uint32_t probes);

/* Nagle's algorithm (RFC 9293 SHLD-7); off by default, since consumers send whole replies. */
void tcp_nagle(struct tcp_conn *c, bool on);

/* Counters: dataplane/tcp/stats.h; figures of a conn for logs and tests: dataplane/tcp/info.h. */

#endif
