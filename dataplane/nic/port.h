/*
 * port: one DPDK ethdev, opened, negotiated and reported.
 *
 * Purpose: opens any device by its DPDK string, works around its driver's quirks (quirks.h), asks
 * for offloads and says what it got. Frames go in and out through a shard's lane (lane.h).
 * Owner: the composition root opens before the shards run and closes after they have ended; in
 * between, each queue belongs to one shard. Memory: one packet pool for each shard that polls a
 * queue, from EAL's heap (port_pool_bytes).
 * Failure: port_open answers an err and one line for the operator that says what is missing.
 */
#ifndef DATAPLANE_NIC_PORT_H
#define DATAPLANE_NIC_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

struct port;
struct rte_mempool;

/* Offloads, as a set. Each has a software form; see offload.h. */
#define port_tx_checksum  (1ull << 0) /* IPv4 header and TCP checksums on sending */
#define port_rx_checksum  (1ull << 1) /* the same on receiving */
#define port_tso          (1ull << 2) /* large segments are cut by the card */
#define port_scatter      (1ull << 3) /* frames as chains of mbufs on sending */
#define port_rss          (1ull << 4) /* frames spread over queues by our key (steer.h) */
#define port_offloads_all ((1ull << 5) - 1)

#define port_count_max      8
#define port_device_max     256 /* bytes of a device string */
#define port_mtu_min        576 /* IPv4; IPv6 needs 1,280 */
#define port_mtu_default    1500
#define port_queues_max     shard_count_max
#define port_rx_descriptors 1024
#define port_tx_descriptors 1024
#define port_netns_max      64
#define port_room_bytes_min 2048 /* of a packet buffer, behind the headroom */

struct port_options {
    const char *device; /* DPDK's string, "net_tap0,iface=sluice0"; an ethdev that is open already
                           is taken by its name */
    const char *netns;  /* name under /run/netns (or a path) to open it in; NULL: here */
    uint16_t mtu;       /* of the IP packet; 0: port_mtu_default */
    uint32_t shards;    /* queues wanted: one for each */
    uint64_t offloads;  /* asked for */
    bool spoilt;        /* offloads that quirks.h rules out are taken all the same: for tests */
    bool unshared;      /* ERR_BUSY rather than join an interface that somebody may use */
    uint32_t pool_bufs; /* packet buffers for each queue, at least 2 * port_rx_descriptors */
};

struct port_report {
    char device[port_device_max];
    char driver[32];
    uint8_t mac[6];
    uint16_t mtu, queues;
    uint16_t queues_max;                 /* that the device could have */
    uint64_t asked, offered, negotiated; /* offloads */
    bool steered;      /* the card itself brings a connection's frames to its shard's queue */
    bool has_fd;       /* idle shards wait on a file descriptor; else they sleep in steps */
    uint32_t tso_max;  /* payload bytes of one large segment */
    uint16_t segs_max; /* mbufs of one frame that is not large */
};

struct port_link {
    bool up, full_duplex;
    uint32_t mbps;
};

/* What the card counted. */
struct port_counters {
    uint64_t rx_frames, tx_frames, rx_bytes, tx_bytes;
    uint64_t rx_missed, rx_errors, rx_no_mbuf, tx_errors;
};

/*
 * ERR_NOT_FOUND: no such driver or device; ERR_PERMISSION, ERR_NO_MEMORY, ERR_UNSUPPORTED (an MTU
 * it cannot do), ERR_INVALID, ERR_BUSY, ERR_SYSTEM. why gets one line.
 */
int port_open(struct port **out, const struct port_options *options, char *why, size_t why_size);

/* Lanes on it are gone. Every mbuf of its pools must have come back. NULL is accepted. */
void port_close(struct port *p);

const struct port_report *port_report(const struct port *p);

/* From any thread; asks the driver. */
void port_link(const struct port *p, struct port_link *out);
void port_counters(const struct port *p, struct port_counters *out);

/* The packet pool of queue q (q < report's queues). */
struct rte_mempool *port_pool(const struct port *p, uint32_t q);

/* Bytes of EAL's heap that a device's pool of so many buffers for this MTU takes, at most. */
uint64_t port_pool_bytes(const char *device, uint32_t bufs, uint16_t mtu);

/* The file descriptor of queue q, or -1. */
int port_queue_fd(const struct port *p, uint32_t q);

/* "10 Gb/s up, rx checksum, ..." for logs and `sluice ports`. */
void port_text(const struct port *p, char *out, size_t size);

#endif
