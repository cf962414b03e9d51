/*
 * lane: a shard's way in and out of a port.
 *
 * Purpose: receives bursts of the frames that belong to the shard, whichever queue they came to,
 * and
 * sends bursts, whether the shard has a queue of its own or not. Where a port has fewer queues than
 * shards, or does not steer by our hash, frames are handed over in rings between shards.
 * Owner: its shard. Memory: the lane is one block; frames belong to whoever holds them.
 * Invariants: a frame given to lane_send is sent or freed and counted, never lost track of; frames
 * leave in order; the frames of one connection reach one shard.
 * Failure: no room, no buffer: the frame is dropped and counted by reason, as a network would.
 */
#ifndef DATAPLANE_NIC_LANE_H
#define DATAPLANE_NIC_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/nic/capture.h"
#include "dataplane/nic/port.h"

struct lane;
struct rte_mbuf;

#define lane_burst_max   64   /* frames of one lane_receive */
#define lane_pending_max 2048 /* frames that wait for room in the queue */

#define lane_stuck_ns 20000000

enum lane_drop {
    LANE_DROP_RX_HANDOVER, /* the other shard's ring is full */
    LANE_DROP_RX_COPY,     /* a frame for every shard, and no buffer for a copy */
    LANE_DROP_TX_FULL,     /* too many frames wait for the queue */
    LANE_DROP_TX_STUCK,    /* the driver took nothing for lane_stuck_ns: link down */
    LANE_DROP_TX_HANDOVER, /* the sending shard's ring is full */
    LANE_DROP_TX_NO_MBUF,  /* the driver wants a copy, and there is no buffer */
    LANE_DROP_TX_LENGTH,   /* longer than the port can send */
    LANE_DROP_TX_REFUSED,  /* the driver finds something wrong with what it is asked to do */
    LANE_DROP_COUNT
};

struct lane_counters {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t rx_handed, tx_handed; /* given to another shard */
    uint64_t tx_copied;            /* made linear for the driver */
    uint64_t drops[LANE_DROP_COUNT];
};

const char *lane_drop_text(enum lane_drop reason);

struct lane_options {
    struct port *port;
    uint32_t shard;
    /* Called on this thread: shard `to` has been given frames and may be asleep. May be NULL if the
     * port has one shard. */
    void (*wake)(void *ctx, uint32_t to);
    void *ctx;
};

int lane_new(struct lane **out, const struct lane_options *options);

/* Frames that wait are dropped. NULL is accepted. */
void lane_free(struct lane *l);

/* At most `max` frames of this shard (max <= lane_burst_max); 0: nothing came. */
uint32_t lane_receive(struct lane *l, struct rte_mbuf **frames, uint32_t max);

/*
 * A frame that came out of others (a packet put together from fragments) and may belong to another
 * shard: true if it was handed over to it (or dropped and counted), false if it is this one's.
 */
bool lane_pass(struct lane *l, struct rte_mbuf *frame);

/* True if the last lane_receive found a full burst or handed-over frames remain: call it again. */
bool lane_more(const struct lane *l);

/* Frames that lane_send will take before it drops. */
uint32_t lane_room(const struct lane *l);

/* Takes a whole frame: pkt_len, nb_segs and offload flags set. It leaves with the next flush. */
void lane_send(struct lane *l, struct rte_mbuf *frame);

/* Gives the driver what waits, and other shards what they send for us; returns frames sent. */
uint32_t lane_flush(struct lane *l);

/* True if frames wait for room in the driver: flush again soon. */
bool lane_waits(const struct lane *l);

/* What keeps a sleeping shard's lane from being served: -1 without a descriptor of its own. */
int lane_fd(const struct lane *l);

/* True if this shard polls a queue; else it lives by hand-over alone. */
bool lane_has_queue(const struct lane *l);

/* For the check before sleeping: frames wait in the rings for this shard. */
bool lane_has_handover(const struct lane *l);

/* Memory to capture into, before the lane is used; it outlives the lane. wall_offset_ns: from
 * monotonic to wall time. */
void lane_capture(struct lane *l, struct capture *c, int64_t wall_offset_ns);

/* The time that captured frames carry, monotonic; set once a step. */
void lane_now(struct lane *l, int64_t now_ns);

const struct lane_counters *lane_counters(const struct lane *l);
const struct port *lane_port(const struct lane *l);

#endif
