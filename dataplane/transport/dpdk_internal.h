/*
 * dpdk_internal: what the files of the dpdk transport share. Nobody else includes this.
 *
 * Life of a block:
 *
 *   FREE -> CONNECTING -> OPEN -> EOF ---> FREE
 *   FREE ---------------->^  \--> DRAIN -->^
 *
 *   EOF    the peer has ended and all was delivered; what was sent still leaves, then our FIN
 *   DRAIN  closed by the consumer; what was sent still leaves, then FIN; received bytes are dropped
 *
 * tcp's `closed` leads to FREE from anywhere. A block on the work list is stepped by flush.
 */
#ifndef DATAPLANE_TRANSPORT_DPDK_INTERNAL_H
#define DATAPLANE_TRANSPORT_DPDK_INTERNAL_H

#include <sys/queue.h>

#include "base/clock.h"
#include "dataplane/transport/dpdk.h"

#define dpdk_listeners_max     16
#define dpdk_discard_bytes_max (1024 * 1024) /* dropped from a peer after our close, then RST */
#define dpdk_linger_idle_ns    (5 * CLOCK_NS_PER_S) /* after an end: no sign of the peer */
#define dpdk_spare_blocks      16 /* for connections that are refused, while they close */

enum { DPDK_FREE, DPDK_CONNECTING, DPDK_OPEN, DPDK_EOF, DPDK_DRAIN };

struct dpdk_conn {
    struct tconn head;
    struct dpdk_transport *t;
    struct tcp_conn *tcp;
    STAILQ_ENTRY(dpdk_conn) work; /* in work or free */
    LIST_ENTRY(dpdk_conn) timed;
    int64_t deadline_ns, last_ns; /* while on_timed */
    uint32_t discarded;
    uint8_t state;
    bool on_work, on_timed;
    bool finished, fin_sent, close_wanted, abort_wanted, doomed;
    bool refused; /* the consumer knows nothing of it */
};

struct dpdk_listener {
    struct tcp_addr addr;
    uint16_t port;
    uint32_t number;
};

STAILQ_HEAD(dpdk_queue, dpdk_conn);
LIST_HEAD(dpdk_timed, dpdk_conn);

struct dpdk_transport {
    struct dpdk_options o;
    struct dpdk_net *net;
    struct tcp *tcp;
    struct dpdk_conn *conns;
    struct dpdk_queue free, work;
    uint32_t work_count;
    struct dpdk_timed timed;
    struct dpdk_listener listeners[dpdk_listeners_max];
    uint32_t listener_count;
    uint32_t refused_open; /* at most dpdk_spare_blocks */
    struct dpdk_counters counters;
    struct wheel_timer timer;
    uint32_t read_ahead; /* bytes that a paused connection may hold: two packets */
    int64_t now_ns;
    uint64_t next_id;
    bool more; /* the last run left work */
    bool ending;
};

/* dpdk.c */
void dpdk_work(struct dpdk_conn *c);
struct dpdk_conn *dpdk_conn_take(struct dpdk_transport *t);
void dpdk_conn_release(struct dpdk_conn *c);
void dpdk_conn_step(struct dpdk_conn *c);

/* dpdk_events.c: tcp's hooks */
struct tcp_hooks dpdk_hooks(struct dpdk_transport *t);

/* dpdk_listen.c */
void dpdk_peer_of(const struct tcp_tuple *tuple, struct sockaddr_storage *out);

#endif
