/*
 * echo: frames that come back as they were sent: what transport, kernel and wire cost without a protocol.
 *
 * Purpose: a load for an echo server (sluice-bench null --echo 1). A frame is its length word, its number, and a
 * pattern; each is compared when it comes back. Owner: one thread. Memory: one frame. Failure: a negative err
 * with one line in `why`; frames that come back changed are faults.
 */
#ifndef BENCH_ECHO_H
#define BENCH_ECHO_H

#include "bench/flow.h"

#define echo_bytes_min 16
#define echo_bytes_max 65536

/* frame_bytes: all of a frame, length word included. */
int echo_run(const struct flow_options *options, uint32_t frame_bytes, struct result *out,
             char *why, size_t why_size);

#endif
