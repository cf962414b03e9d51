/*
 * shard: a core's run loop and what every stage of it shares.
 *
 * Purpose: one pass (`shard_step`) runs a table of stages in order, each with a budget; a thread is a
 * loop around it; a simulator calls it for many shards under virtual time. The shard knows its
 * stages only as functions with a context: the composition root (control/broker.c) registers them.
 * Owner: its thread; after shard_start nobody else touches it but through the mailbox (agent).
 * Memory: from its share of the budget, taken at start (struct mem).
 * Invariants: no stage blocks; `now` is read once per step from the handed-in clock.
 * Failure: shard_init and shard_start report; a running shard does not fail.
 */
#ifndef CORE_SHARD_H
#define CORE_SHARD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/rng.h"
#include "core/mailbox.h"
#include "core/mem.h"
#include "core/wheel.h"

#define shard_stages_max 16

/* Adaptive polling: as long as a parked thread takes to wake, so that spinning costs no more. */
#define shard_spin_ns_default 20000

struct ring;
struct shard;

/* Does at most `budget` units of work at time now; returns units done (0: idle). */
typedef uint32_t stage_fn(void *ctx, int64_t now_ns, uint32_t budget);

struct stage {
    const char *name;
    stage_fn *run;
    void *ctx;
    uint32_t budget;
    uint64_t units;
    int64_t busy_ns; /* time in passes that did something; 0 unless stage_timing */
};

/*
 * How an idle shard sleeps; given by the composition root (a ring, or steps of sleep, or nothing in
 * a simulator). A wake that comes before park makes that park return at once.
 */
struct shard_parking {
    void (*park)(void *ctx, int64_t timeout_ns); /* -1: until woken; returns early at any event */
    void (*wake)(void *ctx);                     /* from any thread */
    /*
     * True: the kernel has to run a thread for what this shard waits for, perhaps on this very core. Or NULL.
     * A shard that polls then offers the core after each idle step: the scheduler by itself would let
     * that thread wait for the next tick, 4 ms.
     */
    bool (*kernel_works)(void *ctx);
    void *ctx;
};

enum shard_poll { SHARD_POLL_ADAPTIVE, SHARD_POLL_ALWAYS };

struct shard_options {
    uint32_t index;
    int cpu; /* pin to this core; -1: not pinned */
    enum shard_poll poll;
    int64_t spin_ns; /* adaptive: how long to poll without work before parking */
    struct clock *clock;
    uint64_t seed;
    struct shard_parking parking;
    bool stage_timing; /* one more clock read for each stage that did something */
};

struct shard {
    uint32_t index;
    char name[16]; /* "shard-0": the agent's and the thread's */
    struct agent agent;
    struct wheel wheel;
    struct mem mem;
    struct rng rng;
    struct clock *clock;
    int64_t now_ns;  /* time of this step, monotonic */
    int64_t wall_ms; /* the same moment as wall time */
    struct shard_options options;
    struct stage stages[shard_stages_max];
    uint32_t stage_count;
    uint64_t steps, busy_steps, parks, yields;
    int64_t busy_ns, idle_ns; /* time in busy and in idle steps; parked time counts as neither */
    _Atomic bool stop;
    pthread_t thread;
    bool running;
};

/*
 * The agent's index in the broker is the shard's. plan NULL: no memory of its own (s->mem is zero).
 * ERR_NO_MEMORY, ERR_INVALID; nothing is kept on failure.
 */
int shard_init(struct shard *s, const struct shard_options *options, const struct mem_plan *plan);

/* The thread must have stopped. NULL is accepted. */
void shard_fini(struct shard *s);

/* In the order of running. The table is closed by shard_start. ERR_FULL. */
int shard_add_stage(struct shard *s, const char *name, stage_fn *run, void *ctx, uint32_t budget);

/* The shard's own two stages, "mailbox" and "timers", at the place of the call. */
int shard_stage_mailbox(struct shard *s, uint32_t budget);
int shard_stage_timers(struct shard *s, uint32_t budget);

/* Parking on a ring: its completions end the sleep, and so does ring_wake. */
struct shard_parking shard_parking_ring(struct ring *ring);

/*
 * One pass: receive -> ... -> transmit, as registered, with mailbox and timers at their place.
 * Returns the time at which it must be called again at the latest: now if any stage was busy or a
 * message waits for room, else the next timer's deadline, else INT64_MAX. Posted messages have been
 * flushed.
 */
int64_t shard_step(struct shard *s, int64_t now_ns);

/*
 * The loop around it, on a thread of its own: pinned, registered with EAL, all signals blocked,
 * parking when idle. ERR_INVALID: adaptive polling without parking. ERR_SYSTEM.
 */
int shard_start(struct shard *s);

/* Asks the loop to end after its current step and joins it. Does nothing if it does not run. */
void shard_stop(struct shard *s);

#endif
