/*
 * exercise: puts a port through what the broker will ask of it, and says what held.
 *
 * Purpose: `sluice nic test`: link, content of frames of every size and form, order under load, the spread over
 * queues, checksums; over a way back: a device that hears itself, a second port on the same
 * cable, or a neighbour that answers echo requests.
 * Owner: one thread, which alone uses the ports meanwhile. Memory: buffers of the ports' own pools;
 * a few KiB. Failure: what does not hold is a line of the result; only ERR_NO_MEMORY is an error.
 */
#ifndef DATAPLANE_NIC_EXERCISE_H
#define DATAPLANE_NIC_EXERCISE_H

#include <stdint.h>

#include "base/clock.h"
#include "dataplane/nic/port.h"

#define exercise_lines_max  8
#define exercise_text_max   160
#define exercise_wait_ns    (500 * CLOCK_NS_PER_MS) /* for one frame; ten times as long for the link */
#define exercise_frames     10000                   /* of the load in order */
#define exercise_tuples     2000                    /* of the spread */
#define exercise_sizes_max  256                     /* of each form */
#define exercise_queues_max 16

enum exercise_state { EXERCISE_OK, EXERCISE_FAILED, EXERCISE_SKIPPED };

struct exercise_line {
    const char *name;
    enum exercise_state state;
    char text[exercise_text_max];
};

struct exercise {
    struct exercise_line lines[exercise_lines_max];
    uint32_t count, failed;
};

struct exercise_options {
    struct clock *clock;
    int64_t wait_ns; /* 0: exercise_wait_ns */
    struct port *port;
    struct port *other;     /* hears what the port sends and the other way round; NULL: none */
    const uint8_t *address; /* IPv4 of ours and of the neighbour to ask, 4 bytes each; NULL: none */
    const uint8_t *neighbor;
};

/* ERR_NO_MEMORY, ERR_INVALID: over exercise_queues_max shards. */
int exercise_run(const struct exercise_options *options, struct exercise *out);

#endif
