/*
 * dpdk_net: one shard's network: the ports' lanes, ip and tcp, joined.
 *
 * Purpose: moves frames from lanes through ip into tcp and segments the other way, tells both the
 * time, and answers tcp's questions about routes. The transport (dpdk.c), the bare TCP load and
 * tests stand on it.
 * Owner: one shard. Memory: taken in dpdk_net_new; received bytes lie in the ports' packet pools.
 * Failure: dpdk_net_new answers; later what finds no room or buffer is dropped and counted below.
 */
#ifndef DATAPLANE_TRANSPORT_DPDK_NET_H
#define DATAPLANE_TRANSPORT_DPDK_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/nic/lane.h"
#include "dataplane/tcp/tcp.h"
#include "dataplane/transport/dpdk_ports.h"

struct dpdk_net;

#define dpdk_loop_max 512 /* segments to ourselves on their way */

struct dpdk_net_options {
    const struct dpdk_ports *ports; /* open; outlives it */
    uint32_t shard, shards;
    struct rte_mempool *header_pool, *ref_pool;
    struct rng *rng;
    uint32_t conn_max;
    uint64_t rx_bytes_max;  /* received and not taken, whole buffers */
    uint32_t dad_transmits; /* see ip.h */
    /* Of these the events (accepted ... closed) and their ctx are used. */
    struct tcp_hooks events;
    void (*wake)(void *ctx, uint32_t shard); /* another shard was given frames; see lane.h */
    void *wake_ctx;
    struct ring *ring; /* waits for the ports' descriptors; NULL: every port is polled */
};

/* ERR_NO_MEMORY; ERR_INVALID: addresses, gateways and MTUs do not fit together. */
int dpdk_net_new(struct dpdk_net **out, const struct dpdk_net_options *o, int64_t now_ns);

/* Connections vanish without a word. After ring_fini or on the ring's thread. NULL is accepted. */
void dpdk_net_free(struct dpdk_net *n);

struct tcp *dpdk_net_tcp(struct dpdk_net *n);
const struct ip *dpdk_net_ip(const struct dpdk_net *n);
struct lane *dpdk_net_lane(struct dpdk_net *n, uint32_t port);

/* Frames in, at most about `budget`; their events come with dpdk_net_run. Returns frames. */
uint32_t dpdk_net_receive(struct dpdk_net *n, int64_t now_ns, uint32_t budget);

/* Timers, events, segments out, bursts to the ports. True: there is more to do at once. */
bool dpdk_net_run(struct dpdk_net *n, int64_t now_ns, uint32_t budget);

/* The bursts alone: frames that wait for the driver or that other shards handed over. */
void dpdk_net_send(struct dpdk_net *n);

/* When dpdk_net_run must be called next; INT64_MAX: only frames bring work. */
int64_t dpdk_net_deadline(const struct dpdk_net *n);

/*
 * How long a shard with nothing to do may sleep although frames may come: ports without a
 * descriptor are looked at in steps, short after traffic, longer when it stays quiet. INT64_MAX:
 * as long as it
 * likes, a frame ends the sleep. 0: do not sleep, frames wait.
 */
int64_t dpdk_net_nap(struct dpdk_net *n, int64_t now_ns);
#define dpdk_nap_ns_min   50000  /* wake-up latency after traffic; about 3.7 % of a core */
#define dpdk_nap_ns_max   500000 /* after dpdk_nap_quiet_ns without any; about 0.9 % */
#define dpdk_nap_quiet_ns 100000000

#endif
