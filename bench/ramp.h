/*
 * ramp: how much a broker takes, and what it does with more.
 *
 * Purpose: open loops at rising rates until one is not reached (saturation), then one beyond it (overload), with what
 * got through as a ratio. A run is the caller's function. Owner: main. Memory: fixed. Failure: the run's error; what
 * was measured until then is printed and marked; so is a run in which anything was refused or came back wrong.
 */
#ifndef BENCH_RAMP_H
#define BENCH_RAMP_H

#include <stdbool.h>

#include "bench/result.h"

#define ramp_steps_max 40
#define ramp_reached_share                                                                         \
    0.95 /* of what was offered: a step that gets less is beyond saturation */

struct ramp_options {
    double rate;     /* of the first step */
    double factor;   /* from step to step; 0: one closed loop instead finds the saturation */
    double overload; /* times the saturation; 0: none */
    bool json;
    const struct hist
        *hiccup; /* gaps of an idle spin before the runs; NULL: none were looked for */
};

/* rate 0: closed loop. Fills out, which it has result_init'ed. */
typedef int ramp_run_fn(void *ctx, double rate, struct result *out);

/* True if what the step offered came through. */
bool ramp_reached(const struct result *step);

/* Prints its own table, or line of JSON. ERR_INVALID: requests were refused, or what came back was wrong. */
int ramp_run(const struct ramp_options *options, ramp_run_fn *run, void *ctx);

#endif
