/* rig: one struct ip, frames made from bytes, and what it emits. */
#ifndef TESTS_UNIT_DATAPLANE_IP_RIG_H
#define TESTS_UNIT_DATAPLANE_IP_RIG_H

#include <rte_mbuf.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "dataplane/ip/ip.h"
#include "dataplane/nic/checksum.h"
#include "tests/unit/unit.h"

#define rig_out_max 1024

struct rig {
    struct ip *ip;
    struct rng rng;
    uint32_t iface;
    int64_t now;
    struct rte_mbuf *out[rig_out_max];
    uint32_t out_count;
};

struct rig_options {
    const char *addresses[4]; /* "10.0.0.2/24" */
    const char *gateways[2];
    uint16_t mtu, vlan;
    bool follower, accept_ra, autoconf, drop_fragments;
    uint32_t dad_transmits, neighbors_max;
};

static const uint8_t rig_mac[6] = {2, 0, 0, 0, 0, 0xaa};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0xbb};

/* With the addresses' announcements already emitted and dropped (settle), unless told otherwise. */
void rig_up(struct rig *r, const struct rig_options *o, bool settle);
void rig_down(struct rig *r); /* asserts that every buffer is back */

uint32_t rig_bufs_free(void);
#define rig_buf_bytes (10240 + RTE_PKTMBUF_HEADROOM) /* of one buffer */

void rig_clear(struct rig *r);            /* drops what was emitted */
void rig_time(struct rig *r, int64_t ns); /* moves time and runs what is due */

/* Bytes to an mbuf; `pieces` over 1: chained after 64 bytes. */
struct rte_mbuf *rig_mbuf(const void *bytes, uint32_t n, uint32_t pieces);

/* Feeds a frame; an IP_TCP segment is kept in *segment if that is not NULL, else freed. */
enum ip_verdict rig_feed(struct rig *r, const void *bytes, uint32_t n, struct ip_packet *packet,
                         struct rte_mbuf **segment);

/* The only frame emitted since the last clear; its bytes (linear copy) and length. */
const uint8_t *rig_only(struct rig *r, uint32_t *n);
const uint8_t *rig_frame(struct rig *r, uint32_t i, uint32_t *n);

struct ip_addr rig_addr(const char *text);

/* Builders; each returns the length. Link header for us from the peer is put in front. */
uint32_t rig_ether(uint8_t *p, uint16_t type);
uint32_t rig_arp(uint8_t *p, uint16_t op, const uint8_t *mac, const char *from, const char *to);
/* IPv4/IPv6 packet with `len` bytes of payload already at p + link + header. */
uint32_t rig_v4(uint8_t *p, const char *src, const char *dst, uint8_t protocol, uint32_t len);
uint32_t rig_v6(uint8_t *p, const char *src, const char *dst, uint8_t protocol, uint8_t hops,
                uint32_t len);
/* Fills in the ICMPv6 checksum at offset `at` of a frame made by rig_v6. */
void rig_sum_v6(uint8_t *p, uint32_t at, uint32_t len);
void rig_sum_v4(uint8_t *icmp, uint32_t len);

/* Sends a bare TCP segment of n payload bytes through ip_output. */
void rig_output(struct rig *r, const char *from, const char *to, uint32_t n);
/* The same with the checksum, and the cutting if mss is not 0, left to the card. */
void rig_output_card(struct rig *r, const char *from, const char *to, uint32_t n, uint16_t mss);

#endif
