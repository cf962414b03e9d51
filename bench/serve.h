/*
 * serve: the yardsticks' servers over the transport contract, so also on our own TCP.
 *
 * Purpose: `echo` sends back every byte (what TCP costs, with no request in it); `null` is the null
 * broker of null.h on any transport: it copies and checksums each batch and answers.
 * Owner: the calling thread, until the time is over or SIGTERM. Memory: one cable, and 64 MiB for
 * the batches. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_SERVE_H
#define BENCH_SERVE_H

#include <stddef.h>
#include <stdint.h>

enum serve_what { SERVE_ECHO, SERVE_NULL };

struct serve_options {
    enum serve_what what;
    const char *host; /* numeric address to listen on */
    uint16_t port;
    const char *ports; /* see cable.h */
    double seconds;    /* 0: until a signal */
};

/* EAL must be up with cable_eal_mb. Prints one line when it listens. */
int serve_run(const struct serve_options *options, char *why, size_t why_size);

#endif
