#include "base/clock.h"

#include <time.h>

static int64_t system_ns(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * CLOCK_NS_PER_S + ts.tv_nsec;
}

static int64_t system_mono(struct clock *clock)
{
    return system_ns(CLOCK_MONOTONIC);
}

static int64_t system_wall(struct clock *clock)
{
    return system_ns(CLOCK_REALTIME) / CLOCK_NS_PER_MS;
}

struct clock *clock_system(void)
{
    static struct clock clock = {system_mono, system_wall};
    return &clock;
}

static int64_t manual_mono(struct clock *clock)
{
    return ((struct clock_manual *)clock)->mono;
}

static int64_t manual_wall(struct clock *clock)
{
    return ((struct clock_manual *)clock)->wall / CLOCK_NS_PER_MS;
}

void clock_manual_init(struct clock_manual *c, int64_t mono_ns, int64_t wall_ms)
{
    *c = (struct clock_manual){{manual_mono, manual_wall}, mono_ns, wall_ms * CLOCK_NS_PER_MS};
}

void clock_manual_advance(struct clock_manual *c, int64_t ns)
{
    c->mono += ns;
    c->wall += ns;
}
