/*
 * sim: one run of the simulator of classic groups (test_sim.c says what it checks).
 */
#ifndef TESTS_UNIT_CONTROL_GROUP_SIM_H
#define TESTS_UNIT_CONTROL_GROUP_SIM_H

#include <stdint.h>

struct sim_totals {
    uint64_t runs, calls, rebalances, commits, crashes, comparisons, records;
    uint64_t digest; /* of all that was drawn: two runs of the same seeds have the same */
};

/* NULL, or what went wrong (static storage). */
const char *sim_run(uint64_t seed, struct sim_totals *totals);

#endif
