/*
 * cable: what the bench's connections stand on: kernel sockets, or our own TCP on network ports.
 *
 * Purpose: one thread's transport, of either kind, behind transport.h; loads and yardsticks cannot
 * tell which it is. Owner: the thread that made it. Memory: the pools of one plan, and with ports
 * their packet buffers; taken in cable_up. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_CABLE_H
#define BENCH_CABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/rng.h"
#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/transport/dpdk.h"
#include "dataplane/transport/uring.h"

#define cable_memory_bytes (384 * MIB) /* of a single thread; of several, half of it each */
#define cable_packets      16384       /* buffers of a port's queue */

struct cable_options {
    const char *ports; /* as sluice.dpdk.ports (dpdk_ports.h); NULL or empty: kernel sockets */
    const struct dpdk_ports *open; /* those ports, open already and not to be closed; or NULL */
    const struct transport_events *events; /* outlives it */
    uint32_t conn_max;
    uint32_t threads, index; /* how many cables this process has (0: one), which this is */
};

struct cable {
    struct mem mem;
    struct ring ring;              /* kernel sockets */
    struct uring_transport *uring; /* one of the two */
    struct dpdk_transport *dpdk;
    struct dpdk_ports ports;
    struct rng rng;
    bool mem_up, ring_up, borrowed;
};

/* Megabytes of EAL's heap that it needs; 0: ports is no good (cable_up says why). */
uint32_t cable_eal_mb(const char *ports, uint32_t threads);

/* For cables that come and go on ports that stay. dpdk_ports_close ends it. */
int cable_ports_open(struct dpdk_ports *out, const char *ports, char *why, size_t why_size);

/* EAL must be up. On an error nothing is kept. */
int cable_up(struct cable *c, const struct cable_options *o, char *why, size_t why_size);

/* Waits until the ports have a link: a memif's other end may come later. ERR_TIMEOUT: 10 s. */
int cable_link(const struct cable *c, char *why, size_t why_size);

/* Connections are gone or reset. A zeroed cable is accepted. */
void cable_down(struct cable *c);

int cable_connect(struct cable *c, const struct sockaddr *address, void *user, struct tconn **out);

/* *port gets the port taken, if it was 0 (kernel sockets alone). */
int cable_listen(struct cable *c, const struct sockaddr *address, uint16_t *port);

/* The stages of a loop: receive (delivers events), then flush, last. Each returns work done. */
uint32_t cable_receive(struct cable *c, int64_t now_ns, uint32_t budget);
uint32_t cable_flush(struct cable *c, int64_t now_ns, uint32_t budget);

/* What passed the ports since they were opened; nothing on kernel sockets. */
struct cable_wire {
    uint64_t frames_in, frames_out, bytes_in, bytes_out;
};
struct cable_wire cable_wire(const struct cable *c);

/* A numeric IPv4 or IPv6 address. ERR_INVALID. */
int cable_address(const char *host, uint16_t port, struct sockaddr_storage *out);

#endif
