/*
 * scenario: what a seed makes of a world: paths, options, applications, events under way.
 *
 * Purpose: the same seed gives the same run. Pure but for the world it fills. Owner: one test.
 */
#ifndef TESTS_TCP_SCENARIO_H
#define TESTS_TCP_SCENARIO_H

#include "tests/tcp/world.h"

/* Runs the scenario of one seed to its end; a breach of a checker aborts. Returns virtual ns. */
int64_t scenario_run(struct world *w, struct world_pools *pools, uint64_t seed, bool trace);

#endif
