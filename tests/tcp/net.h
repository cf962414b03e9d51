/*
 * net: a seeded network between two hosts, in virtual time; for tests of dataplane/tcp.
 *
 * Purpose: takes segments as a port would (cuts TSO, fills nothing in), loses, delays, duplicates,
 * reorders, corrupts and alters them, and hands them back in order of time. Owner: one test.
 * Memory: packets are heap copies of exact size, so that a sanitizer sees reads beyond them.
 */
#ifndef TESTS_TCP_NET_H
#define TESTS_TCP_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "dataplane/tcp/tcp.h"

struct rte_mbuf;

/* One direction. Probabilities in 1/1,000,000, times in ns. */
struct net_path {
    int64_t delay, jitter;
    uint32_t loss, duplicate, corrupt, reorder, mark;
    uint32_t burst_enter, burst_leave; /* Gilbert: while inside, nine of ten are lost */
    uint64_t rate;                     /* bytes a second; 0: no limit */
    uint32_t queue;                    /* bytes that wait at most; 0: no limit */
    uint16_t mtu;                      /* larger packets are dropped */
    bool icmp;                         /* and the sender is told */
    bool strip_ts, strip_sack, strip_scale, strip_mss, strip_ecn; /* of SYNs */
    bool down;                                                    /* everything is lost */
    /* state */
    bool in_burst;
    int64_t busy_until;
};

struct net_packet {
    int64_t at;
    uint64_t order;
    uint8_t to; /* host 0 or 1 */
    uint8_t ecn;
    bool bad;               /* corrupted: a checksum must find it */
    bool is_icmp;           /* too big; `bytes` quotes the segment */
    uint16_t mtu;           /* of the ICMP */
    struct tcp_addrs addrs; /* as the receiver sees it */
    uint32_t len;
    uint8_t *bytes; /* the TCP segment */
};

struct net {
    struct rng *rng;
    struct net_path path[2]; /* path[h]: what host h sends */
    struct net_packet **heap;
    uint32_t count, room;
    uint64_t order;
    uint64_t sent, lost, corrupted; /* packets */
    /* Sees each packet that leaves a host, before anything happens to it. */
    void (*watch)(void *ctx, int host, const struct net_packet *p);
    void *ctx;
};

void net_init(struct net *n, struct rng *rng);
void net_free(struct net *n);

/* A segment as `emit` gets it. Takes m. */
void net_send(struct net *n, int host, struct rte_mbuf *m, const struct tcp_out *out, int64_t now);

/* A packet of the test's own making (attacks, scripts): delivered to host `to` at `at`. */
void net_inject(struct net *n, int to, const struct tcp_addrs *addrs, const uint8_t *bytes,
                uint32_t len, uint8_t ecn, int64_t at);

/* INT64_MAX: nothing under way. */
int64_t net_next(const struct net *n);

/* The next packet if it is due; the caller frees it with net_packet_free. */
struct net_packet *net_take(struct net *n, int64_t now);
void net_packet_free(struct net_packet *p);

/* Fills in the TCP checksum of a contiguous segment. addrs as its sender sees them. */
void net_checksum(const struct tcp_addrs *addrs, uint8_t *segment, uint32_t len);

#endif
