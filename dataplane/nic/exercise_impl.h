/* exercise_impl: what the files of the exercise share. Nobody else includes it. */
#ifndef DATAPLANE_NIC_EXERCISE_IMPL_H
#define DATAPLANE_NIC_EXERCISE_IMPL_H

#include <stdbool.h>

#include "dataplane/nic/exercise.h"
#include "dataplane/nic/lane.h"

/* One end of the cable: a lane for each shard, all polled by the one thread. */
struct exercise_end {
    struct port *port;
    struct lane *lanes[exercise_queues_max];
    uint32_t count, next;
};

/* Gives the driver what waits. */
void exercise_pump(struct exercise_end *e, int64_t now_ns);

/* A burst of the next lane that has one; the caller's. */
uint32_t exercise_hear(struct exercise_end *e, struct rte_mbuf **frames, uint32_t *lane);

/* exercise_ask.c: ARP, then echo requests of all sizes; text gets what came of it. */
bool exercise_ask(const struct exercise_options *o, struct exercise_end *e, const char **name,
                  char text[exercise_text_max]);

#endif
