/* wheel: every timer against a plain list, at each scale of time. */
#include "core/wheel.h"

#include "base/rng.h"
#include "tests/unit/unit.h"

#define timers_max 200
#define no_budget  UINT32_MAX

struct timed {
    struct wheel_timer timer;
    bool armed;    /* the model's view */
    int fired;     /* in this run */
    int64_t order; /* of firing, in this run */
};

static struct timed timers[timers_max];
static int64_t fire_count, fired_now;

static int64_t tick_of(int64_t deadline)
{
    return deadline / WHEEL_TICK_NS + (deadline % WHEEL_TICK_NS > 0);
}

static void on_fire(struct wheel_timer *t, int64_t now)
{
    struct timed *timed = (struct timed *)t;
    timed->fired++;
    timed->order = fire_count++;
    fired_now = now;
}

/* A span whose size is spread evenly over the powers of two up to 2^bits ns. */
static int64_t span(struct rng *rng, unsigned bits)
{
    return (int64_t)(rng_u64(rng) >> (64 - 1 - rng_below(rng, bits)));
}

static void arm(struct wheel *w, struct timed *t, int64_t deadline)
{
    wheel_arm(w, &t->timer, deadline);
    t->armed = true;
}

/* After a run with no limit: exactly the due ones have fired, each once. */
static void check_run(int64_t now, uint32_t fired)
{
    uint32_t want = 0;
    for (int i = 0; i < timers_max; i++) {
        struct timed *t = &timers[i];
        bool due = t->armed && tick_of(t->timer.deadline_ns) <= now / WHEEL_TICK_NS;
        CU_ASSERT_EQUAL(t->fired, due);
        if (due) {
            t->armed = false;
            want++;
        }
        t->fired = 0;
        CU_ASSERT_EQUAL(wheel_armed(&t->timer), t->armed);
    }
    CU_ASSERT_EQUAL(fired, want);
    if (fired > 0)
        CU_ASSERT_EQUAL(fired_now, now);
}

static int64_t earliest(void)
{
    int64_t min = INT64_MAX;
    for (int i = 0; i < timers_max; i++)
        if (timers[i].armed && tick_of(timers[i].timer.deadline_ns) < min)
            min = tick_of(timers[i].timer.deadline_ns);
    return min == INT64_MAX ? WHEEL_NEVER : min * WHEEL_TICK_NS;
}

static void against_a_list(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 20; round++) {
        /* Up to 2^61 ns (73 years) of time, so that every level is used. */
        unsigned bits = 10 + (unsigned)rng_below(&rng, 52);
        int64_t now = span(&rng, bits);
        struct wheel w;
        wheel_init(&w, now);
        for (int i = 0; i < timers_max; i++)
            timers[i] = (struct timed){.timer.fire = on_fire};
        for (int step = 0; step < 5000 && now < INT64_MAX / 4; step++) {
            struct timed *t = &timers[rng_below(&rng, timers_max)];
            switch (rng_below(&rng, 8)) {
            case 0:
                wheel_cancel(&w, &t->timer);
                t->armed = false;
                break;
            case 1: { /* the past */
                int64_t back = span(&rng, bits);
                arm(&w, t, back < now ? now - back : 0);
                break;
            }
            case 2:
                now += span(&rng, bits);
                check_run(now, wheel_run(&w, now, no_budget));
                break;
            case 3: { /* exactly to the next event: nothing due may have been passed */
                int64_t next = wheel_next(&w), first = earliest();
                CU_ASSERT(next <= (first > now ? first : now));
                if (next < INT64_MAX / 4 && next > now) {
                    now = next;
                    check_run(now, wheel_run(&w, now, no_budget));
                }
                break;
            }
            default:
                arm(&w, t, now + span(&rng, bits));
            }
            CU_ASSERT((wheel_next(&w) == WHEEL_NEVER) == (earliest() == WHEEL_NEVER));
        }
        for (int i = 0; i < timers_max; i++)
            wheel_cancel(&w, &timers[i].timer);
        CU_ASSERT_EQUAL(w.armed, 0);
        CU_ASSERT_EQUAL(wheel_next(&w), WHEEL_NEVER);
        for (int l = 0; l < WHEEL_LEVELS; l++)
            CU_ASSERT_EQUAL(w.occupied[l], 0);
    }
}

/* From each distance, following wheel_next alone fires on the tick after at most LEVELS + 1 runs. */
static void next_makes_progress(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 20000; i++) {
        int64_t now = span(&rng, 61);
        struct wheel w;
        wheel_init(&w, now);
        struct timed t = {.timer.fire = on_fire};
        int64_t deadline = now + 1 + span(&rng, 61);
        wheel_arm(&w, &t.timer, deadline);
        int runs = 0;
        while (t.fired == 0) {
            int64_t next = wheel_next(&w);
            CU_ASSERT_FATAL(next > now && runs++ <= WHEEL_LEVELS);
            now = next;
            wheel_run(&w, now, no_budget);
        }
        CU_ASSERT(now >= deadline && now - deadline < WHEEL_TICK_NS);
    }
}

static void never_early_at_most_a_tick_late(void)
{
    struct wheel w;
    wheel_init(&w, 5 * WHEEL_TICK_NS);
    struct timed t = {.timer.fire = on_fire};
    wheel_arm(&w, &t.timer, 7 * WHEEL_TICK_NS + 1);
    CU_ASSERT_EQUAL(wheel_run(&w, 8 * WHEEL_TICK_NS - 1, no_budget), 0);
    CU_ASSERT_EQUAL(wheel_next(&w), 8 * WHEEL_TICK_NS);
    CU_ASSERT_EQUAL(wheel_run(&w, 8 * WHEEL_TICK_NS, no_budget), 1);
    wheel_arm(&w, &t.timer, 9 * WHEEL_TICK_NS);
    CU_ASSERT_EQUAL(wheel_run(&w, 9 * WHEEL_TICK_NS - 1, no_budget), 0);
    CU_ASSERT_EQUAL(wheel_run(&w, 9 * WHEEL_TICK_NS, no_budget), 1);
    /* Time that goes back changes nothing. */
    wheel_arm(&w, &t.timer, 12 * WHEEL_TICK_NS);
    CU_ASSERT_EQUAL(wheel_run(&w, 3 * WHEEL_TICK_NS, no_budget), 0);
    CU_ASSERT_EQUAL(wheel_run(&w, 12 * WHEEL_TICK_NS, no_budget), 1);
}

static void earlier_ticks_fire_first(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    struct wheel w;
    wheel_init(&w, 0);
    for (int i = 0; i < timers_max; i++) {
        timers[i] = (struct timed){.timer.fire = on_fire};
        wheel_arm(&w, &timers[i].timer, span(&rng, 50));
    }
    CU_ASSERT_EQUAL(wheel_run(&w, INT64_MAX, no_budget), timers_max);
    for (int i = 0; i < timers_max; i++)
        for (int j = 0; j < timers_max; j++)
            if (tick_of(timers[i].timer.deadline_ns) < tick_of(timers[j].timer.deadline_ns))
                CU_ASSERT(timers[i].order < timers[j].order);
}

static void the_rest_waits_for_the_next_run(void)
{
    struct wheel w;
    wheel_init(&w, 0);
    for (int i = 0; i < 10; i++) {
        timers[i] = (struct timed){.timer.fire = on_fire};
        wheel_arm(&w, &timers[i].timer, (i + 1) * WHEEL_TICK_NS);
    }
    int64_t now = 100 * WHEEL_TICK_NS;
    CU_ASSERT_EQUAL(wheel_run(&w, now, 4), 4);
    CU_ASSERT_EQUAL(w.armed, 6);
    CU_ASSERT(wheel_next(&w) <= now);
    wheel_cancel(&w, &timers[9].timer); /* the last of the due list */
    wheel_cancel(&w, &timers[6].timer);
    CU_ASSERT_EQUAL(wheel_run(&w, now, 0), 0);
    wheel_arm(&w, &timers[0].timer, now);
    CU_ASSERT_EQUAL(wheel_run(&w, now, no_budget), 5);
    CU_ASSERT_EQUAL(timers[0].fired, 2);
    CU_ASSERT_EQUAL(timers[6].fired + timers[9].fired, 0);
    CU_ASSERT_EQUAL(wheel_next(&w), WHEEL_NEVER);
}

struct busy {
    struct wheel_timer timer;
    struct wheel *wheel;
    struct wheel_timer *victim;
    int fired;
};

static void fire_again(struct wheel_timer *t, int64_t now)
{
    struct busy *b = (struct busy *)t;
    b->fired++;
    wheel_arm(b->wheel, &b->timer, now - 1);
    if (b->victim != NULL)
        wheel_cancel(b->wheel, b->victim);
}

/* A timer that arms itself for the past cannot keep a run going; one may cancel another. */
static void firing_arms_and_cancels(void)
{
    struct wheel w;
    wheel_init(&w, 0);
    struct timed victim = {.timer.fire = on_fire};
    struct busy b = {.timer.fire = fire_again, .wheel = &w, .victim = &victim.timer};
    wheel_arm(&w, &b.timer, WHEEL_TICK_NS);
    wheel_arm(&w, &victim.timer, 2 * WHEEL_TICK_NS);
    CU_ASSERT_EQUAL(wheel_run(&w, 2 * WHEEL_TICK_NS, no_budget), 1);
    CU_ASSERT_EQUAL(victim.fired, 0);
    CU_ASSERT_EQUAL(wheel_run(&w, 2 * WHEEL_TICK_NS, no_budget), 1);
    CU_ASSERT_EQUAL(b.fired, 2);
    CU_ASSERT_EQUAL(w.armed, 1);
}

static void never_is_a_deadline(void)
{
    struct wheel w;
    wheel_init(&w, 0);
    struct timed t = {.timer.fire = on_fire};
    wheel_arm(&w, &t.timer, WHEEL_NEVER);
    CU_ASSERT_EQUAL(wheel_run(&w, INT64_MAX, no_budget), 0);
    CU_ASSERT(wheel_armed(&t.timer));
    CU_ASSERT_EQUAL(wheel_next(&w), WHEEL_NEVER);
    wheel_arm(&w, &t.timer, INT64_MAX / WHEEL_TICK_NS * WHEEL_TICK_NS);
    CU_ASSERT_EQUAL(wheel_run(&w, INT64_MAX, no_budget), 1);
    wheel_cancel(&w, &t.timer);
}

UNIT_MAIN("core/wheel", UNIT_CASE(against_a_list), UNIT_CASE(next_makes_progress),
          UNIT_CASE(never_early_at_most_a_tick_late), UNIT_CASE(earlier_ticks_fire_first),
          UNIT_CASE(the_rest_waits_for_the_next_run), UNIT_CASE(firing_arms_and_cancels),
          UNIT_CASE(never_is_a_deadline))
