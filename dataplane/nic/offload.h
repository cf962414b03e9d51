/*
 * offload: what a card does for us, and the same in software.
 *
 * Purpose: turns the offloads that are asked for and offered into a device configuration; brings a
 * frame into the form that a port can send. Pure but for taking mbufs from a pool.
 */
#ifndef DATAPLANE_NIC_OFFLOAD_H
#define DATAPLANE_NIC_OFFLOAD_H

#include <stdint.h>

#include "dataplane/nic/quirks.h"

struct rte_eth_conf;
struct rte_eth_dev_info;
struct rte_mbuf;
struct rte_mempool;

/* What the device says that it can, in our words. */
uint64_t offload_offered(const struct rte_eth_dev_info *info);

/* Asked for, offered, and not spoilt by a quirk. NULL: quirks do not matter. */
uint64_t offload_negotiate(uint64_t asked, uint64_t offered, const struct quirks *q);

/* Writes the negotiated set into a configuration. */
void offload_configure(uint64_t negotiated, const struct rte_eth_dev_info *info,
                       struct rte_eth_conf *conf);

/*
 * One mbuf of `pool` with the frame's bytes and what it asks of the card; NULL without memory or if it does not fit
 * one buffer (the frame stays with the caller either way).
 */
struct rte_mbuf *offload_linear(const struct rte_mbuf *frame, struct rte_mempool *pool);

/* "tx-checksum rx-checksum tso ..." */
void offload_text(uint64_t set, char *out, size_t size);

#endif
