/*
 * ip: Ethernet, VLAN, ARP, IPv4, IPv6, ICMP and neighbour discovery for one shard.
 *
 * Purpose: takes frames and says which of them are TCP for us; answers what the network asks by
 * itself; takes TCP segments and makes frames of them, once the neighbour's address is known.
 * Owner: one shard. Pure: time is handed in, frames leave through `emit`; no device, no clock.
 * Memory: tables with limits, taken at the start; frames of its own come from `pool`.
 * Invariants: a frame given to ip_input or ip_output is handed back, emitted, kept in a bounded
 * queue,
 * or freed and counted; nothing that comes in is written to (buffers may be shared).
 * Failure: a bad frame is dropped and counted by reason; a full table evicts or drops.
 *
 * Several shards of one port each have a struct ip; ARP and neighbour discovery reach all of them,
 * and the leader alone answers.
 */
#ifndef DATAPLANE_IP_IP_H
#define DATAPLANE_IP_IP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/rng.h"
#include "dataplane/ip/addr.h"

struct ip;
struct rte_mbuf;
struct rte_mempool;

#define ip_ifaces_max        8
#define ip_addresses_max     16 /* of one interface, with those it makes itself */
#define ip_routes_max        64
#define ip_neighbors_default 4096
#define ip_incomplete_max    256 /* neighbours being asked for */
#define ip_pending_max       4   /* frames that wait for one neighbour */
#define ip_path_mtus_max     1024
#define ip_errors_per_second 100 /* ICMP errors that we send */
#define ip_mtu_v4_min        552 /* less is not believed of a path */
#define ip_mtu_v6_min        1280
#define ip_headroom          64 /* that ip_output wants in front of a segment */

/* Packets that arrive in fragments: what is kept of them at once, in all and of one. */
#define ip_fragment_packets_max 64
#define ip_fragment_pieces_max  64
#define ip_fragment_bytes_max   524288                /* of buffers, whole */
#define ip_fragment_ns          (30 * CLOCK_NS_PER_S) /* from the first piece that came */

struct ip_options {
    struct rte_mempool *pool; /* room for a frame of the largest MTU, to answer any echo */
    struct rng *rng;          /* outlives it */
    bool leader;
    uint32_t neighbors_max; /* 0: ip_neighbors_default */
    uint32_t
        dad_transmits; /* solicitations before an IPv6 address is used (RFC 4862); 0: at once */
    void (*emit)(void *ctx, uint32_t iface, struct rte_mbuf *frame);
    void *ctx;
};

struct ip_prefix {
    struct ip_addr addr;
    uint32_t bits; /* of 128 */
};

struct ip_iface_options {
    uint8_t mac[6];
    uint16_t mtu;
    uint16_t vlan;         /* 1 to 4094: frames are tagged, others are not seen; 0: untagged */
    bool checksum_offload; /* the port computes TCP checksums */
    bool rx_checksum;      /* the port has marked good checksums of received frames */
    bool accept_ra;        /* routers announce themselves (and prefixes) */
    bool autoconf;         /* an address for each prefix announced (SLAAC) */
    bool reassemble;       /* packets in fragments are put together; else dropped */
    const struct ip_prefix *addresses; /* copied */
    uint32_t address_count;
    struct ip_addr gateways[2]; /* all zero: none */
};

/* ERR_NO_MEMORY. */
int ip_new(struct ip **out, const struct ip_options *o);
void ip_free(struct ip *ip);

/*
 * Adds an interface and says so to the network (gratuitous ARP, duplicate address detection).
 * ERR_FULL; ERR_INVALID: no address, a bad MTU or VLAN, a gateway that no address reaches.
 */
int ip_add_iface(struct ip *ip, const struct ip_iface_options *o, int64_t now_ns, uint32_t *index);

enum ip_verdict {
    IP_DONE,        /* taken care of */
    IP_TCP,         /* the frame is a TCP segment now: it starts at the TCP header */
    IP_TOO_BIG,     /* a segment of ours was over a path's MTU */
    IP_UNREACHABLE, /* a segment of ours cannot be delivered */
    IP_WHOLE,       /* the last fragment of a packet: it is in `whole`, to be steered and put in */
};

struct ip_packet {
    struct ip_addr local, remote;
    uint8_t ecn;        /* IP_TCP: the header's two bits */
    bool checksum_good; /* IP_TCP: the card has verified the TCP checksum */
    /* IP_TOO_BIG, IP_UNREACHABLE: what was quoted */
    uint16_t local_port, remote_port;
    uint32_t seq, mtu;
    bool hard;              /* protocol or port unreachable */
    struct rte_mbuf *whole; /* IP_WHOLE: the caller's, a frame */
};

/* With IP_TCP the frame is the caller's again, else it is not. */
enum ip_verdict ip_input(struct ip *ip, uint32_t iface, struct rte_mbuf *frame, int64_t now_ns,
                         struct ip_packet *out);

struct ip_way {
    uint32_t iface;
    uint16_t mtu; /* of the path, as far as it is known */
    struct ip_addr next_hop;
};

/* The way from one of our addresses to a peer. ERR_NOT_FOUND: no route, or local is not ours. */
int ip_route(const struct ip *ip, const struct ip_addr *local, const struct ip_addr *remote,
             struct ip_way *out);

/* The address from which to reach remote. ERR_NOT_FOUND. */
int ip_source(const struct ip *ip, const struct ip_addr *remote, struct ip_addr *out);

/* True if it is an address of ours that may be used now. */
bool ip_is_local(const struct ip *ip, const struct ip_addr *a);

struct ip_segment {
    struct ip_addr local, remote;
    uint8_t ecn;
    uint8_t tcp_header; /* bytes */
    uint16_t mss;       /* pieces of a large segment, cut by the port; 0: none */
    bool checksum_offload;
};

/* Takes the segment, which starts at its TCP header, has pkt_len and nb_segs, and ip_headroom. */
void ip_output(struct ip *ip, struct rte_mbuf *segment, const struct ip_segment *s, int64_t now_ns);

/* The path MTU to remote is at most mtu now (kept for ten minutes). */
void ip_learn_mtu(struct ip *ip, const struct ip_addr *remote, uint32_t mtu, int64_t now_ns);

/* What is due: retries, expiry, announcements. */
void ip_run(struct ip *ip, int64_t now_ns);

/* When ip_run must be called next; INT64_MAX: only frames bring work. */
int64_t ip_next_deadline(const struct ip *ip);

/* The port came up again: announces our addresses anew. */
void ip_announce(struct ip *ip, uint32_t iface, int64_t now_ns);

#define IP_COUNTERS(X)                                                                             \
    X(frames_in)                                                                                   \
    X(tcp_in)                                                                                      \
    X(segments_out)                                                                                \
    X(arp_in)                                                                                      \
    X(arp_out)                                                                                     \
    X(nd_in)                                                                                       \
    X(nd_out)                                                                                      \
    X(echoes)                                                                                      \
    X(errors_in)                                                                                   \
    X(errors_out)                                                                                  \
    X(conflicts)                                                                                   \
    X(resolved)                                                                                    \
    X(unresolved)                                                                                  \
    X(drop_short)                                                                                  \
    X(drop_not_for_us)                                                                             \
    X(drop_vlan)                                                                                   \
    X(drop_ethertype)                                                                              \
    X(drop_header)                                                                                 \
    X(drop_checksum)                                                                               \
    X(fragments_in)                                                                                \
    X(reassembled)                                                                                 \
    X(fragments_refused) /* packets: pieces overlap, too many, or too large */                     \
    X(fragments_evicted) /* packets that gave way to newer ones */                                 \
    X(fragments_expired) /* packets */                                                             \
    X(drop_fragment)                                                                               \
    X(drop_source)                                                                                 \
    X(drop_protocol)                                                                               \
    X(drop_pending)                                                                                \
    X(drop_no_mbuf)                                                                                \
    X(drop_no_route)                                                                               \
    X(drop_error_rate)

struct ip_counters {
#define IP_COUNTER_FIELD(name) uint64_t name;
    IP_COUNTERS(IP_COUNTER_FIELD)
#undef IP_COUNTER_FIELD
};
const struct ip_counters *ip_counters(const struct ip *ip);

#endif
