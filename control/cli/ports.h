/*
 * ports: what a network port can do, seen by opening it.
 *
 * Purpose: `sluice ports <device>...`: opens each device as the broker would, prints driver, link,
 * MTU, queues, what became of each offload, and the driver's quirks, then closes it. A device that
 * a running broker holds is refused by its driver. Owner: the calling thread; EAL is brought up
 * here if it is not yet, and taken down by the caller (eal_down). Memory: EAL's heap.
 * Failure: a device that is refused is a line like the others; the rest is still looked at.
 */
#ifndef CONTROL_CLI_PORTS_H
#define CONTROL_CLI_PORTS_H

#include <stdint.h>
#include <stdio.h>

#define ports_queues_default 1
#define ports_wait_ms_max    3000 /* for a card's link */

/*
 * devices: each a DPDK device string, also with the fields of sluice.dpdk.ports (mtu=, netns=; an
 * address has no effect). count: at most port_count_max; queues: asked for, 1 to port_queues_max.
 * Returns how many were refused. ERR_INVALID: too many of either; else EAL did not start; why gets
 * one line.
 */
int ports_print(const char *const *devices, uint32_t count, uint32_t queues, FILE *out, char *why,
                size_t why_size);

#endif
