/*
 * control_loop: the thread around control_step: libuv, and nothing else knows of it.
 *
 * Purpose: sleeps until mail, a timer or a stop request wakes it.
 * Owner: the thread that calls control_loop_run; control_loop_wake and control_loop_stop may be
 * called from any
 * thread and from signal handlers. Memory: embedded libuv handles. Failure: ERR_SYSTEM at init.
 */
#ifndef CONTROL_CONTROL_LOOP_H
#define CONTROL_CONTROL_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

#include "control/control.h"

struct control_loop {
    uv_loop_t loop;
    uv_async_t async;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_timer_t timer;
    struct control *control;
    bool (*until)(void *ctx); /* asked after each pass; true ends the run */
    void *ctx;
    int64_t deadline_ns; /* of this run */
    bool closing;        /* neither stop requests nor failures end a run any more */
    _Atomic bool stop;
};

int control_loop_init(struct control_loop *l, struct control *control);
void control_loop_fini(struct control_loop *l);

/* For control_options.wake; wake_ctx is the loop. */
void control_loop_wake(struct agent *agent);

/* Ends the run, this one or the next. */
void control_loop_stop(struct control_loop *l);

/*
 * Runs until `until` says so (NULL: never), control_loop_stop, a failure of control, or timeout_ns
 * (-1: none). 0: until,
 * ERR_CANCELLED: stopped or failed, ERR_TIMEOUT.
 */
int control_loop_run(struct control_loop *l, bool (*until)(void *ctx), void *ctx,
                     int64_t timeout_ns);

/*
 * From now on neither a stop request nor a failure of control ends a run: it is the stop that runs.
 */
void control_loop_closing(struct control_loop *l);

#endif
