/*
 * clock: time as a seam.
 *
 * Purpose: the only way to ask for the time. Pure code gets `now` handed in; the edges (shard
 * threads, the control thread) own a struct clock, and a simulator gives them a virtual one.
 * Monotonic time is in nanoseconds from an arbitrary start; wall time in milliseconds since 1970
 * (Kafka's timestamps).
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

#define CLOCK_NS_PER_US 1000LL
#define CLOCK_NS_PER_MS 1000000LL
#define CLOCK_NS_PER_S  1000000000LL

struct clock {
    int64_t (*mono_ns)(struct clock *clock);
    int64_t (*wall_ms)(struct clock *clock);
};

static inline int64_t clock_mono_ns(struct clock *clock)
{
    return clock->mono_ns(clock);
}

static inline int64_t clock_wall_ms(struct clock *clock)
{
    return clock->wall_ms(clock);
}

/* The machine's clocks (CLOCK_MONOTONIC, CLOCK_REALTIME). Stateless, shared by all threads. */
struct clock *clock_system(void);

/* A clock that moves only when told to. Owned by the test or simulator. */
struct clock_manual {
    struct clock clock;
    int64_t mono, wall; /* both in ns */
};
void clock_manual_init(struct clock_manual *c, int64_t mono_ns, int64_t wall_ms);
void clock_manual_advance(struct clock_manual *c, int64_t ns);

#endif
