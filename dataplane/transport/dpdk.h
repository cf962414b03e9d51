/*
 * dpdk: the transport over our own TCP on network ports.
 *
 * Purpose: the contract of transport.h on top of dpdk_net: no kernel between the card's queue and
 * the request. Zero copy both ways: c->rx holds the packet buffers of the port, and what is sent is
 * referred to until the peer has acknowledged it.
 * Owner: one shard. Memory: connection blocks from a fixed table; received bytes in the ports'
 * packet pools (small pieces are copied together), counted as whole buffers up to rx_bytes_max.
 * Failure: listen answers ERR_NOT_FOUND for an address that no port has. Without buffers the
 * network seems to lose packets; nothing is lost.
 *
 * Two stages: dpdk_transport_receive where the ring's reap stage stands, dpdk_transport_flush where
 * uring_transport_flush does. Parking: dpdk_parking around the ring's.
 */
#ifndef DATAPLANE_TRANSPORT_DPDK_H
#define DATAPLANE_TRANSPORT_DPDK_H

#include "core/shard.h"
#include "dataplane/transport/dpdk_net.h"
#include "dataplane/transport/transport.h"

struct dpdk_transport;

struct dpdk_options {
    const struct dpdk_ports *ports; /* open; outlives it */
    uint32_t shard, shards;
    struct mem *mem;
    struct rng *rng;
    const struct transport_events *events;
    uint32_t conn_max;
    uint32_t listen_backlog;
    uint64_t rx_bytes_max; /* 0: three quarters of a queue's packet pool */
    uint32_t dad_transmits;
    struct ring *ring;     /* NULL: ports are polled */
    struct wheel *wheel;   /* is armed for the next deadline; NULL: the caller asks for it */
    struct agent **agents; /* of all shards, by index, to wake them; NULL: one shard */
};

/* ERR_INVALID (also: addresses and gateways that do not fit), ERR_NO_MEMORY. */
int dpdk_transport_new(struct dpdk_transport **out, const struct dpdk_options *options,
                       int64_t now_ns);

/* As uring_transport_free; peers are told, by resets. */
void dpdk_transport_free(struct dpdk_transport *t);

/*
 * As uring_transport_listen; every shard listens on the same address, frames find their shard.
 * *port gets the address's port, which is not 0 here (ERR_INVALID). ERR_EXISTS: taken.
 */
int dpdk_transport_listen(struct dpdk_transport *t, const struct sockaddr *address,
                          uint32_t listener, uint16_t *port);

int dpdk_transport_connect(struct dpdk_transport *t, const struct sockaddr *address, void *user,
                           struct tconn **out);

void dpdk_transport_stop_listening(struct dpdk_transport *t);

/* Stages. */
uint32_t dpdk_transport_receive(void *t, int64_t now_ns, uint32_t budget);
uint32_t dpdk_transport_flush(void *t, int64_t now_ns, uint32_t budget);

/* When flush must be called next; INT64_MAX: only frames or calls bring work. */
int64_t dpdk_transport_deadline(const struct dpdk_transport *t);

struct dpdk_counters {
    uint64_t accepted, refused, closed, rx_bytes, rx_events, tx_bytes;
    uint32_t open;
};
const struct dpdk_counters *dpdk_transport_counters(const struct dpdk_transport *t);
struct dpdk_net *dpdk_transport_net(struct dpdk_transport *t);

/* A shard's sleep that ports without a descriptor cut into steps. `clock` gives the time. */
struct dpdk_parking {
    struct dpdk_transport *transport; /* NULL: as if there were no ports */
    struct shard_parking below;
    struct clock *clock;
};
struct shard_parking dpdk_parking(struct dpdk_parking *p);

#endif
