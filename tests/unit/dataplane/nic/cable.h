/* cable: two ports joined in this process, by rings or by memif, and frames with known content. */
#ifndef TESTS_UNIT_DATAPLANE_NIC_CABLE_H
#define TESTS_UNIT_DATAPLANE_NIC_CABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/nic/lane.h"
#include "dataplane/nic/port.h"

struct cable {
    struct port *a, *b;
};

enum cable_kind { CABLE_RING, CABLE_MEMIF, CABLE_MEMIF_ZERO_COPY }; /* b is the client */

/* Waits for the link; asserts. Names are unique in the process. */
void cable_open(struct cable *c, enum cable_kind kind, uint16_t mtu, uint32_t shards);
void cable_close(struct cable *c);

/* A lane that needs no waking. */
struct lane *cable_lane(struct port *p, uint32_t shard);

enum cable_form { FORM_LINEAR, FORM_CHAIN, FORM_INDIRECT, FORM_EXTERNAL, FORM_COUNT };

/* A frame of n bytes with content made from `key`, in the form asked for. */
struct rte_mbuf *cable_frame(uint32_t n, uint32_t key, enum cable_form form);

/* True if it has exactly that content. */
bool cable_frame_is(const struct rte_mbuf *m, uint32_t n, uint32_t key);

/* All buffers that cable_frame took are back. */
bool cable_frames_back(void);

#endif
