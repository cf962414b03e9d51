/*
 * world: two stacks, a network between them, applications on top, checkers all around.
 *
 * Purpose: one run of the simulator, from a seed. Each application sends a stream that is a function
 * of position and direction, so that any wrong, missing or extra byte shows at once; a watcher checks
 * each segment that leaves against what the peer has allowed. A breach aborts (CHECK) after the
 * seed was printed. Owner: one thread; EAL must be up.
 */
#ifndef TESTS_TCP_WORLD_H
#define TESTS_TCP_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"
#include "dataplane/tcp/stats.h"
#include "dataplane/tcp/tcp.h"
#include "tests/tcp/net.h"

#define world_pairs_max 32

struct rte_mempool;

/* Shared by all worlds of a process. */
struct world_pools {
    struct rte_mempool *rx, *tx, *header, *ref;
};
void world_pools_make(struct world_pools *p, uint32_t bufs);

/* How an application behaves; per connection and end. */
struct world_app {
    uint64_t to_send;   /* bytes */
    uint32_t chunk;     /* bytes given to tcp_send at once, at most */
    uint32_t piece;     /* bytes of a mbuf, at most */
    uint64_t queue_max; /* unacknowledged bytes at most */
    uint32_t window;    /* given to tcp_window */
    uint32_t read_max;  /* taken per read; 0: all */
    int64_t read_pause; /* between reads; 0: at once */
    int64_t send_pause; /* between chunks */
    bool close_early;   /* tcp_shutdown as soon as everything is queued */
    bool keepalive, nagle;
    /* state */
    struct tcp_conn *conn;
    struct world_host *host;
    int pair;
    uint64_t queued, acked, received;
    int64_t next_read, next_send;
    bool open, finished, shut, closed, want_read;
    int reason;
};

struct world_host {
    struct world *world;
    int index;
    struct tcp *tcp;
    struct tcp_route route;
    struct world_app app[world_pairs_max];
    int64_t poll; /* tcp_run at multiples of this time; 0: at once */
    int64_t next_run;
    int64_t batch_end;
};

/* What the watcher knows of a stream of sequence numbers. */
struct world_flow {
    uint16_t port; /* of the sender; 0: unused */
    bool seen_syn, two_iss, scaled, begun;
    uint8_t scale;
    uint32_t iss, iss_before; /* a SYN that came twice: a cookie and a block may answer it */
    uint32_t edge_given, edge_heard, ack_sent;
    bool any_given, any_heard, syn_heard;
    uint64_t bytes;
};

struct world {
    struct rng rng;
    struct world_pools *pools;
    struct net net;
    struct world_host host[2];
    struct tcp_options options[2];
    struct world_flow flow[2][world_pairs_max];
    int64_t now;
    int pairs;
    bool simultaneous, trace;
    uint64_t steps;
    unsigned avail[4];
};

void world_init(struct world *w, struct world_pools *pools, uint64_t seed);
/* Makes the stacks from w->options; opens all pairs from host 0 to host 1. */
void world_start(struct world *w);
/* Until both ends of all pairs are closed, or virtual time `until`. True: all closed. */
bool world_run(struct world *w, int64_t until);
/* All streams arrived whole and closed in order. */
void world_check_done(const struct world *w);
/* Lets TIME_WAIT pass, frees the stacks, checks that every mbuf is back. */
void world_end(struct world *w);

uint8_t world_byte(int host, int pair, uint64_t at);

#endif
