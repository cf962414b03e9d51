/*
 * crew: the threads of a load: one start, one stop, a result of each.
 *
 * Purpose: runs a job on n threads, lets them begin to measure together, ends all of them when one fails
 * or when the operator asks. Owner: the main thread, which waits in crew_run; a member belongs to its
 * thread. Memory: one result for each member, malloc'd. Failure: the first error of a member is the crew's.
 */
#ifndef BENCH_CREW_H
#define BENCH_CREW_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bench/result.h"

struct dpdk_ports;

#define crew_threads_max 16
#define crew_why_max     256

struct crew_member {
    struct crew *crew;
    uint32_t index; /* 0 makes the topic and asks for the broker's CPU and memory */
    struct result *result;
    int err;
    char why[crew_why_max];
    pthread_t thread;
};

/* What a crew reaches its broker through. */
struct crew_net {
    const char *ports; /* our own TCP on these (cable.h); NULL or empty: kernel sockets */
    const struct dpdk_ports *open; /* the same, open */
    const char *admin_host;        /* with ports: where topics are made, over kernel sockets */
    uint16_t admin_port;
};

struct crew {
    struct crew_net net; /* set between crew_init and crew_run; empty after crew_init */
    uint32_t threads;
    int (*job)(void *ctx, struct crew_member *m);
    void *ctx;
    struct crew_member member[crew_threads_max];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint32_t arrived, round, ended;
    _Atomic bool failed;
    _Atomic bool *interrupted; /* the operator's; set in a signal handler */
};

/* threads: 1 to crew_threads_max. ERR_NO_MEMORY. Each job's result is result_init'ed with that load. */
int crew_init(struct crew *crew, uint32_t threads, const char *load, _Atomic bool *interrupted);
void crew_fini(struct crew *crew);

/*
 * Runs the job on every thread and waits for all of them; `tick` (may be NULL) is called about twice a second
 * meanwhile, on the caller's thread. Returns the first member's error that was not a consequence of another's, and
 * copies its text to why (crew_why_max bytes).
 */
int crew_run(struct crew *crew, int (*job)(void *ctx, struct crew_member *m), void *ctx,
             void (*tick)(const struct crew *crew, double seconds), char *why);

/* Where m's topics are made: what net says, else the address given. m may be NULL. */
const char *crew_admin_host(const struct crew_member *m, const char *host);
uint16_t crew_admin_port(const struct crew_member *m, uint16_t port);

/* Waits for all other members. ERR_CANCELLED: one of them failed, or the operator stops. */
int crew_meet(struct crew_member *m);

/* True: end at once, what is measured so far counts as partial. m may be NULL (no crew). */
bool crew_stopping(const struct crew_member *m);

#endif
