/* ip_impl: what the files of ip share. Nobody else includes it. */
#ifndef DATAPLANE_IP_IP_IMPL_H
#define DATAPLANE_IP_IP_IMPL_H

#include <rte_mbuf.h>
#include <string.h>
#include <sys/queue.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "dataplane/ip/ip.h"

#define ether_bytes    14
#define vlan_bytes     4
#define ethertype_v4   0x0800
#define ethertype_arp  0x0806
#define ethertype_vlan 0x8100
#define ethertype_v6   0x86dd

#define proto_icmp   1
#define proto_tcp    6
#define proto_udp    17
#define proto_icmpv6 58

#define next_fragment 44 /* IPv6's fragment header */
#define next_none     59 /* IPv6: nothing follows */

#define v4_bytes 20
#define v6_bytes 40

#define neighbor_fresh_ns   (30 * CLOCK_NS_PER_S)  /* used without a question (RFC 4861: 30 s) */
#define neighbor_expire_ns  (600 * CLOCK_NS_PER_S) /* forgotten when not used */
#define neighbor_retry_ns   CLOCK_NS_PER_S
#define neighbor_tries_max  3
#define path_mtu_ns         (600 * CLOCK_NS_PER_S) /* RFC 1191, section 6.3 */
#define defend_ns           (10 * CLOCK_NS_PER_S)  /* RFC 5227, section 2.4 */
#define announce_count      2                      /* RFC 5227 */
#define announce_ns         (2 * CLOCK_NS_PER_S)
#define router_solicits_max 3
#define router_solicit_ns   (4 * CLOCK_NS_PER_S)

enum neighbor_state {
    NEIGHBOR_INCOMPLETE, /* asked for, no answer yet */
    NEIGHBOR_KNOWN,
    NEIGHBOR_PROBED, /* known, old, used, and asked for again */
};

struct neighbor_key {
    struct ip_addr addr;
    uint32_t iface;
};

struct neighbor {
    struct neighbor_key key;     /* the map's */
    TAILQ_ENTRY(neighbor) use;   /* oldest use first */
    TAILQ_ENTRY(neighbor) asked; /* INCOMPLETE and PROBED, the next question's order */
    int64_t confirmed_ns, used_ns, ask_ns;
    struct rte_mbuf *pending[ip_pending_max];
    struct ip_addr asker; /* our address that asks */
    uint8_t mac[6], state, tries, pending_count;
    bool router;
};
TAILQ_HEAD(neighbor_list, neighbor);

struct ip_address {
    struct ip_addr addr;
    uint32_t bits;
    int64_t until_ns; /* of an announced prefix; INT64_MAX: ours for good */
    int64_t next_ns;  /* next solicitation or announcement; INT64_MAX: none */
    uint8_t left;     /* of those */
    bool tentative, duplicate;
    int64_t defended_ns;
};

struct ip_iface {
    struct ip_iface_options o; /* `addresses` is not kept */
    uint16_t mtu;
    struct ip_address addresses[ip_addresses_max];
    uint32_t address_count;
    int64_t solicit_ns; /* next router solicitation */
    uint8_t solicits_left;
};

struct ip_route_entry {
    struct ip_addr prefix, gateway; /* gateway any: on the link */
    uint32_t bits, iface;
    int64_t until_ns;
};

/* What ip_output found for a pair of addresses; valid while nothing has changed since. */
struct ip_found {
    struct ip_addr local, remote, next_hop;
    uint32_t iface;
    uint32_t generation; /* of the tables it was found in; 0: empty */
};
#define ip_found_max 64 /* a direct-mapped table */

struct path_mtu {
    struct ip_addr remote;
    uint16_t mtu;
    int64_t until_ns;
};

struct ip {
    struct ip_options o;
    struct ip_counters counters;
    struct ip_iface ifaces[ip_ifaces_max];
    uint32_t iface_count;
    struct ip_route_entry routes[ip_routes_max];
    uint32_t route_count;
    uint32_t generation; /* of routes and addresses; never 0 */
    struct ip_found found[ip_found_max];
    struct neighbor *neighbors, *last; /* last: the neighbour used most recently */
    struct map by_addr;
    struct neighbor_list unused, used, asked;
    uint32_t asked_count;
    struct fragments *fragments;
    struct path_mtu *path_mtus; /* a direct-mapped table */
    uint32_t path_mtu_count;
    int64_t next_ns; /* lower bound of the next deadline */
    int64_t now_ns;
    int64_t error_second; /* ICMP errors sent in it */
    uint32_t errors_sent;
    struct log_limit log_limit;
};

static const uint8_t mac_broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static inline void ip_due(struct ip *ip, int64_t at_ns)
{
    ip->next_ns = at_ns < ip->next_ns ? at_ns : ip->next_ns;
}

static inline void ip_drop(struct rte_mbuf *frame, uint64_t *counter)
{
    (*counter)++;
    rte_pktmbuf_free(frame);
}

/* Routes or addresses have changed. */
static inline void ip_changed(struct ip *ip)
{
    if (++ip->generation == 0) { /* what is that old must not become valid again */
        memset(ip->found, 0, sizeof(ip->found));
        ip->generation = 1;
    }
}

/* ip.c */
struct ip_address *ip_address_of(struct ip_iface *f, const struct ip_addr *a);
/* Adds one to an interface and its route; DAD or an announcement begins. ERR_FULL. */
int ip_address_add(struct ip *ip, uint32_t iface, const struct ip_prefix *p, int64_t until_ns);

/* frame.c: frames that ip makes itself */
/* An empty mbuf with room for `bytes` behind link headers, not yet appended; NULL: counted. */
struct rte_mbuf *frame_new(struct ip *ip, uint32_t bytes);
/* Adds n zero bytes at the end of the last mbuf, which has room for them. */
uint8_t *frame_append(struct rte_mbuf *m, uint32_t n);
/* Puts Ethernet header (and tag) in front and emits. */
void frame_emit(struct ip *ip, uint32_t iface, struct rte_mbuf *m, const uint8_t dst[6],
                uint16_t ethertype);
/* Cuts the chain to n bytes (n <= pkt_len). */
void frame_cut(struct rte_mbuf *m, uint32_t n);
/* A header in front of a packet: protocol, addresses; length is what the mbuf has. */
void frame_put_v4(struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t protocol, uint8_t tos);
void frame_put_v6(struct rte_mbuf *m, const struct ip_addr *src, const struct ip_addr *dst,
                  uint8_t protocol, uint8_t traffic_class, uint8_t hops);
/* True if an ICMP error may be sent now. */
bool frame_error_allowed(struct ip *ip);

/* fragment.c */
struct fragment_in {
    struct rte_mbuf *m; /* starts at the IP header, pkt_len exact */
    struct ip_addr src, dst;
    uint32_t iface, id;
    uint32_t header,
        start;        /* bytes of the IP header without fragment header; where payload starts */
    uint32_t next_at; /* IPv6: where the header says that the fragment header follows */
    uint32_t offset;  /* of the payload in the packet's */
    bool more;
    uint8_t protocol, ecn;
};
int fragments_init(struct ip *ip);
void fragments_fini(struct ip *ip);
void fragments_run(struct ip *ip);
/* Takes the piece. The packet, as a frame that came whole, if it was the last one; else NULL. */
struct rte_mbuf *fragment_input(struct ip *ip, const struct fragment_in *in);

/* neighbor.c */
int neighbor_init(struct ip *ip);
void neighbor_fini(struct ip *ip);
/* Sends an IP packet (no link header yet) to next_hop, or keeps it until its address is known. */
void neighbor_send(struct ip *ip, uint32_t iface, const struct ip_addr *from,
                   const struct ip_addr *next_hop, struct rte_mbuf *m);
/* Somebody said where addr is. create: also if we did not ask. */
void neighbor_learn(struct ip *ip, uint32_t iface, const struct ip_addr *addr, const uint8_t mac[6],
                    bool create);
struct neighbor *neighbor_find(const struct ip *ip, uint32_t iface, const struct ip_addr *addr);
void neighbor_run(struct ip *ip);

/* arp.c */
void arp_input(struct ip *ip, uint32_t iface, struct rte_mbuf *m);
void arp_ask(struct ip *ip, uint32_t iface, const struct ip_addr *from, const struct ip_addr *to,
             const uint8_t *mac); /* mac NULL: everybody */
void arp_announce(struct ip *ip, uint32_t iface, const struct ip_addr *a);

/* nd.c: after the ICMPv6 checksum was verified; dst_mac of the frame is not looked at */
void nd_input(struct ip *ip, uint32_t iface, const struct rte_mbuf *m, uint32_t icmp_off,
              const struct ip_addr *src, const struct ip_addr *dst);
void nd_ask(struct ip *ip, uint32_t iface, const struct ip_addr *from, const struct ip_addr *to,
            const uint8_t *mac);
void nd_announce(struct ip *ip, uint32_t iface, const struct ip_addr *a);
void nd_solicit_router(struct ip *ip, uint32_t iface);
void nd_join(struct ip *ip, uint32_t iface, const struct ip_addr *group);

/* router.c: what routers announce */
void router_input(struct ip *ip, uint32_t iface, const uint8_t *icmp, uint32_t len,
                  const struct ip_addr *src);

/* icmp.c */
struct icmp_in {
    const struct rte_mbuf *m; /* starts at the IP header, pkt_len exact */
    uint32_t iface, icmp_off; /* offset of the ICMP header */
    struct ip_addr src, dst;
};
enum ip_verdict icmp_input_v4(struct ip *ip, const struct icmp_in *in, struct ip_packet *out);
enum ip_verdict icmp_input_v6(struct ip *ip, const struct icmp_in *in, struct ip_packet *out);
/* Destination unreachable about the packet m (starts at its IP header): protocol or port. */
void icmp_refuse(struct ip *ip, const struct rte_mbuf *m, const struct ip_addr *src,
                 const struct ip_addr *dst, uint8_t code);
/* What is wrong in the packet m stands `pointer` bytes behind its start. IPv6 alone. */
enum icmp_problem { ICMP_PROBLEM_FIELD, ICMP_PROBLEM_HEADER, ICMP_PROBLEM_OPTION };
void icmp_problem(struct ip *ip, const struct rte_mbuf *m, const struct ip_addr *src,
                  const struct ip_addr *dst, uint8_t code, uint32_t pointer);

/* extension.c */
struct upper {
    uint32_t at;       /* where the upper protocol's header starts, or a fragment header */
    uint32_t next_at;  /* where the header before it names it */
    uint32_t pointer;  /* refused: icmp_problem's */
    uint64_t *counter; /* of what is dropped */
    uint8_t protocol;  /* next_fragment: a piece of a packet */
    uint8_t code;
    bool refused, tell; /* an extension header forbids to take the packet; its sender is told so */
};
/* Past the extension headers of a packet that starts m. False: they are broken or too many. */
bool upper_find(struct ip *ip, const struct rte_mbuf *m, struct upper *out);

/* route.c */
int route_add(struct ip *ip, const struct ip_addr *prefix, uint32_t bits,
              const struct ip_addr *gateway, uint32_t iface, int64_t until_ns);
void route_remove(struct ip *ip, const struct ip_addr *prefix, uint32_t bits,
                  const struct ip_addr *gateway, uint32_t iface);
int64_t route_expire(struct ip *ip);

#endif
