/*
 * pace: when the next request of an open loop is due.
 *
 * Purpose: gaps of a constant or a Poisson arrival. Pure, seeded. Never fails.
 */
#ifndef BENCH_PACE_H
#define BENCH_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct rng;

/* ns from one arrival to the next; rate a second, over 0. */
int64_t pace_gap_ns(struct rng *rng, double rate, bool poisson);

#endif
