/*
 * capture: `sluice capture`: packets of a running broker's ports, into a pcap file.
 *
 * Purpose: switches the broker's capture on over sluice.metrics.listener, waits, switches it off and writes what
 * comes to a file. Owner: the calling thread. Memory: a buffer of some KiB. Failure: an err with a line in why.
 */
#ifndef CONTROL_CLI_CAPTURE_H
#define CONTROL_CLI_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#define capture_seconds_default 10

struct capture_order {
    const char *broker;  /* address of sluice.metrics.listener */
    const char *file;    /* replaced */
    const char *address; /* only packets from or to it; NULL: all */
    uint32_t port, snap; /* 0: all */
    uint32_t seconds;    /* until SIGINT at the latest */
};

/* *bytes gets the file's length. ERR_REFUSED-like answers of the broker: ERR_INVALID, its line in why. */
int capture_run(const struct capture_order *o, uint64_t *bytes, char *why, size_t why_size);

#endif
