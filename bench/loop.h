/*
 * loop: both ends of a TCP echo over a cable in one thread: what a round trip costs each end.
 *
 * Purpose: two stacks of our own, each on its own port (the two ends of one memif), stepped in
 * turns on one core. No waiting is in the figure and no second core: it is the processor time of a
 * round trip, by end, also on a machine that does other things (the median over bursts counts).
 * Owner: the calling thread. Memory: two cables. Failure: a negative err with one line in `why`.
 */
#ifndef BENCH_LOOP_H
#define BENCH_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop_options {
    const char *ports[2]; /* server's, client's */
    const char *host;     /* the server's address */
    uint32_t connections, bytes;
    double seconds;
    bool json;
};

/* EAL must be up for both. Prints its result. */
int loop_run(const struct loop_options *options, char *why, size_t why_size);

#endif
