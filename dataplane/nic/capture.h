/*
 * capture: frames as they pass the lanes, for a pcap file, switched on and off while they run.
 *
 * Purpose: what tcpdump shows for a kernel interface. Each lane writes into memory of its own; whoever switched the
 * capture on takes it as one pcap stream, ordered by time. Nothing is written to a disk here.
 * Owner: `struct capture` belongs to its lane's shard, but for what capture_set_* touch under its lock; the set
 * belongs to the operator's side, any thread, one call at a time (a mutex sees to it).
 * Memory: a fixed share of the set's bytes for each lane, taken at the start, touched when used.
 * Cost: off, one comparison and branch a burst.
 * Failure: what does not fit any more is counted and left out.
 */
#ifndef DATAPLANE_NIC_CAPTURE_H
#define DATAPLANE_NIC_CAPTURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture;
struct capture_set;
struct rte_mbuf;

#define capture_lanes_max      512
#define capture_lane_bytes_min 65536

struct capture_filter {
    uint8_t address[16]; /* IPv6, or IPv4 as ::ffff:a.b.c.d; on either side */
    bool has_address;
    uint16_t port; /* of TCP, on either side; 0: any */
    uint32_t snap; /* bytes kept of each frame; 0: all */
};

/* bytes: of all lanes together. ERR_INVALID: no lanes, too many, or too few bytes for them;
 * ERR_NO_MEMORY. */
int capture_set_new(struct capture_set **out, uint64_t bytes, uint32_t lanes);

/* After the lanes are gone. NULL is accepted. */
void capture_set_free(struct capture_set *s);

/* The memory of lane `i`, for lane_capture. */
struct capture *capture_set_lane(struct capture_set *s, uint32_t i);

/* Switches on, with nothing captured yet. ERR_BUSY: it is on. */
int capture_set_start(struct capture_set *s, const struct capture_filter *filter);

struct capture_taken {
    char *pcap; /* the caller's, malloc'd */
    size_t bytes;
    uint64_t frames, missed; /* missed: matched, but there was no room left */
};

/* Switches off and hands out what was captured. ERR_NOT_FOUND: it is not on; ERR_NO_MEMORY. */
int capture_set_stop(struct capture_set *s, struct capture_taken *out);

/* The lane's side. wall_ns: time since 1970. */
void capture_frames(struct capture *c, struct rte_mbuf *const *frames, uint32_t n, int64_t wall_ns);

/* First in struct capture: the number of the capture that is on; 0: off. */
struct capture_switch {
    _Atomic uint32_t on;
};

static inline bool capture_on(const struct capture *c)
{
    const struct capture_switch *s = (const struct capture_switch *)c;
    return atomic_load_explicit(&s->on, memory_order_relaxed) != 0;
}

#endif
