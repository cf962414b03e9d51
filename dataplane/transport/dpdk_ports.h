/*
 * dpdk_ports: the ports of a process: what sluice.dpdk.ports says, opened.
 *
 * Purpose: parses the setting, opens the ports, and hands them to every shard's stack.
 * Owner: the composition root; shards read it. Memory: one block for all ports, pools from EAL's
 * heap.
 * Failure: one line in why that names the port and what is missing.
 *
 * The setting: ports separated by blanks; each a DPDK device string, then fields behind semicolons:
 *
 *   net_tap0,iface=sluice0;address=10.9.0.2/24;gateway=10.9.0.1;mtu=1500;netns=lab
 *
 *   address=A/N  one of ours, IPv4 or IPv6; up to dpdk_addresses_max of them
 *   gateway=A    the default route, one for each family
 *   vlan=N       frames carry this tag
 *   mtu=N        of the IP packet; port_mtu_default without
 *   netns=NAME   network namespace in which a driver makes or finds its interface
 *   fragments=drop  packets that come in fragments are not put together
 *   ra=on        listen to IPv6 router advertisements; ra=auto: and make addresses from them
 */
#ifndef DATAPLANE_TRANSPORT_DPDK_PORTS_H
#define DATAPLANE_TRANSPORT_DPDK_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dataplane/ip/ip.h"
#include "dataplane/nic/port.h"

#define dpdk_addresses_max  8    /* of one port */
#define dpdk_packets_min    4095 /* packet buffers of a queue, at least */
#define dpdk_text_bytes_max 4096 /* of the setting */

struct dpdk_port {
    char device[port_device_max];
    char netns[port_netns_max]; /* empty: none */
    uint16_t mtu, vlan;
    bool accept_ra, autoconf, drop_fragments;
    struct ip_prefix addresses[dpdk_addresses_max];
    uint32_t address_count;
    struct ip_addr gateways[2];
    struct port *port; /* NULL: not open */
};

struct dpdk_ports {
    struct dpdk_port items[port_count_max];
    uint32_t count;
};

/* ERR_INVALID, ERR_FULL. Nothing is opened. */
int dpdk_ports_parse(struct dpdk_ports *out, const char *text, char *why, size_t why_size);

/*
 * Arguments that EAL must get for them ("-a 0000:03:00.0 ..."), since cards are found at its start;
 * empty for virtual devices. ERR_TOO_LARGE.
 */
int dpdk_ports_eal_args(const struct dpdk_ports *p, char *out, size_t size);

/* Bytes of EAL's heap for `packets` buffers in each queue, with as many queues as shards. */
uint64_t dpdk_ports_bytes(const struct dpdk_ports *p, uint32_t shards, uint32_t packets);

/* Opens all or none. */
int dpdk_ports_open(struct dpdk_ports *p, uint32_t shards, uint32_t packets, char *why,
                    size_t why_size);

/* After every shard's stack is gone. Closed ones are passed over. */
void dpdk_ports_close(struct dpdk_ports *p);

#endif
