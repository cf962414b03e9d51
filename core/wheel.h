/*
 * wheel: a hierarchical timer wheel driven by handed-in time (Varghese and Lauck, scheme 7).
 *
 * Purpose: all timers of one shard (and of pure state machines in tests). Tick 1 ms; a timer fires
 * in the first wheel_run whose `now` is at or after its deadline rounded up to a whole tick: never
 * early, at most a tick late beyond the caller's own pace. Timers of earlier ticks fire first.
 * Owner: one thread. Memory: timers are embedded in their owners; the wheel allocates nothing and
 * must not be moved while a timer is armed. Times are not negative. Never fails. Arm and cancel are
 * O(1); a jump of time costs by the timers it passes, not by its length.
 * Invariants: a timer on level l agrees with now_tick in all 6-bit groups above l and is ahead of it
 * in group l. So the lowest level that is occupied holds the earliest timers, and no slot holds
 * timers of two rounds.
 */
#ifndef CORE_WHEEL_H
#define CORE_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_NS 1000000LL
#define WHEEL_LEVELS  8 /* 64^8 ticks are more than all of int64 nanoseconds */
#define WHEEL_SLOTS   64
#define WHEEL_NEVER   INT64_MAX

struct wheel_timer {
    struct wheel_timer *next, **prev; /* prev == NULL: not armed */
    int64_t deadline_ns;
    void (*fire)(struct wheel_timer *timer, int64_t now_ns);
};

struct wheel {
    struct wheel_timer *slot[WHEEL_LEVELS][WHEEL_SLOTS];
    uint64_t occupied[WHEEL_LEVELS];    /* bitmap of non-empty slots */
    struct wheel_timer *due, **due_end; /* passed already, waiting for a run's budget */
    int64_t now_tick;
    uint64_t armed;
};

void wheel_init(struct wheel *w, int64_t now_ns);

/* (Re)arms; fire is set by the owner beforehand. A deadline in the past fires in the next run. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t deadline_ns);

/* Does nothing if it is not armed. */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);

static inline bool wheel_armed(const struct wheel_timer *t)
{
    return t->prev != 0;
}

/*
 * Fires what is due, at most budget timers (the rest in the next run); returns how many. A timer
 * that a fired one arms for the past waits for the next run. fire must not call wheel_run. Time that
 * goes backwards is ignored.
 */
uint32_t wheel_run(struct wheel *w, int64_t now_ns, uint32_t budget);

/*
 * The time at which wheel_run should be called next, or WHEEL_NEVER: a lower bound of the next time
 * a timer fires, exact when that is near. A run at that time brings the bound forward, at most
 * WHEEL_LEVELS times for one timer.
 */
int64_t wheel_next(const struct wheel *w);

#endif
