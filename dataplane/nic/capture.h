/*
 * capture: frames as they pass a lane, into a pcap file.
 *
 * Purpose: what tcpdump shows for a kernel interface. Off, it costs one comparison with NULL a
 * burst.
 * Owner: one lane, hence one thread, at a time; opened and closed by anybody while the lane does
 * not have it. Memory: one block. Failure: capture_open answers; a full disk or the byte limit ends
 * the capture, and it says so in its counters.
 */
#ifndef DATAPLANE_NIC_CAPTURE_H
#define DATAPLANE_NIC_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

struct capture;
struct rte_mbuf;

struct capture_options {
    const char *path;
    uint32_t snap_bytes; /* of each frame; 0: all */
    uint64_t bytes_max;  /* of the file; 0: capture_bytes_default */
    uint16_t port;       /* only TCP frames from or to this port; 0: every frame */
};

#define capture_bytes_default (1024ULL * 1024 * 1024)

/* ERR_PERMISSION, ERR_IO, ERR_NO_MEMORY. An existing file is replaced. */
int capture_open(struct capture **out, const struct capture_options *options);

/* Writes out what is buffered. NULL is accepted. */
void capture_close(struct capture *c);

/* wall_ns: time since 1970. */
void capture_frames(struct capture *c, struct rte_mbuf *const *frames, uint32_t n, int64_t wall_ns);

struct capture_counters {
    uint64_t seen, written, bytes;
    bool ended; /* at its limit, or the file cannot be written */
};
const struct capture_counters *capture_counters(const struct capture *c);

#endif
