/* port_impl: what the files of nic share. Nobody else includes it. */
#ifndef DATAPLANE_NIC_PORT_IMPL_H
#define DATAPLANE_NIC_PORT_IMPL_H

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "dataplane/nic/port.h"
#include "dataplane/nic/quirks.h"

#define handover_slots 1024 /* frames on their way between two shards; one less fits */

struct port {
    const struct quirks *quirks;
    struct port_report report;
    uint32_t shards;
    uint16_t id;          /* DPDK's */
    bool probed, started; /* by us: to be undone */
    struct rte_mempool *pools[port_queues_max];
    int fds[port_queues_max];
    /* Frames for a shard from another's queue, and of shards without a queue to send. */
    struct rte_ring *rx_handover[shard_count_max], *tx_handover[shard_count_max];
};

#endif
