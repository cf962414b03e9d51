/*
 * worker: a thread for what may block: creating, recovering, renaming and deleting files.
 *
 * Purpose: an agent whose calls (core/mailbox.h `struct call`) run one after the other off the
 * shards. A job's `run` does its blocking work through the synchronous file seam and calls
 * call_finish. In a simulator there is no thread: worker_step runs the mail inline.
 * Owner: the composition root. Failure: worker_start answers ERR_SYSTEM.
 */
#ifndef CORE_WORKER_H
#define CORE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/mailbox.h"

/* Milliseconds that a worker which stops tries to send answers to a receiver that takes none. */
#define worker_stop_tries_max 500

struct worker {
    struct agent agent;
    pthread_t thread;
    int wake_fd; /* eventfd */
    _Atomic bool stop;
    bool running;
};

/* agent_index: unique in the broker; shards have the indexes below shard_count_max. ERR_*. */
int worker_init(struct worker *w, const char *name, uint32_t agent_index);

/* The thread must have stopped. NULL is accepted. */
void worker_fini(struct worker *w);

/* Runs at most budget jobs inline (simulation and tests). */
uint32_t worker_step(struct worker *w, uint32_t budget);

int worker_start(struct worker *w);

/*
 * Finishes what was posted before, sends the answers, then joins. Stop workers before the agents
 * that wait for their answers: after worker_stop_tries_max the rest is given up, with a log line.
 */
void worker_stop(struct worker *w);

#endif
