#include "core/wheel.h"

#include <string.h>

#include "base/check.h"

#define level_bits 6
#define slot_mask  (WHEEL_SLOTS - 1)

_Static_assert(WHEEL_SLOTS == 1 << level_bits, "a slot index is one group of bits");
_Static_assert(INT64_MAX / WHEEL_TICK_NS < 1LL << (level_bits * WHEEL_LEVELS - 1),
               "every tick has a place");

static int64_t deadline_tick(int64_t deadline_ns)
{
    return deadline_ns / WHEEL_TICK_NS + (deadline_ns % WHEEL_TICK_NS > 0);
}

static int64_t tick_ns(int64_t tick)
{
    return tick > INT64_MAX / WHEEL_TICK_NS ? WHEEL_NEVER : tick * WHEEL_TICK_NS;
}

void wheel_init(struct wheel *w, int64_t now_ns)
{
    CHECK(now_ns >= 0);
    memset(w, 0, sizeof(*w));
    w->now_tick = now_ns / WHEEL_TICK_NS;
    w->due_end = &w->due;
}

/* --- lists ----------------------------------------------------------------------------------- */

static void due_append(struct wheel *w, struct wheel_timer *t)
{
    t->next = NULL;
    t->prev = w->due_end;
    *w->due_end = t;
    w->due_end = &t->next;
}

static void slot_push(struct wheel *w, unsigned level, unsigned index, struct wheel_timer *t)
{
    struct wheel_timer **head = &w->slot[level][index];
    t->next = *head;
    t->prev = head;
    if (t->next != NULL)
        t->next->prev = &t->next;
    *head = t;
    w->occupied[level] |= 1ULL << index;
}

static void unlink_timer(struct wheel *w, struct wheel_timer *t)
{
    *t->prev = t->next;
    if (t->next != NULL)
        t->next->prev = t->prev;
    else if (w->due_end == &t->next)
        w->due_end = t->prev;
    /* The last one of a slot takes the slot's bit with it. */
    uintptr_t at = (uintptr_t)t->prev - (uintptr_t)w->slot;
    if (at < sizeof(w->slot) && *t->prev == NULL) {
        size_t i = at / sizeof(w->slot[0][0]);
        w->occupied[i / WHEEL_SLOTS] &= ~(1ULL << (i % WHEEL_SLOTS));
    }
    t->next = NULL;
    t->prev = NULL;
}

static void place(struct wheel *w, struct wheel_timer *t)
{
    int64_t tick = deadline_tick(t->deadline_ns);
    if (tick <= w->now_tick) {
        due_append(w, t);
        return;
    }
    uint64_t differs = (uint64_t)tick ^ (uint64_t)w->now_tick;
    unsigned level = (63 - (unsigned)__builtin_clzll(differs)) / level_bits;
    slot_push(w, level, (unsigned)(tick >> (level * level_bits)) & slot_mask, t);
}

/* --- arm and cancel -------------------------------------------------------------------------- */

void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t deadline_ns)
{
    wheel_cancel(w, t);
    t->deadline_ns = deadline_ns;
    place(w, t);
    w->armed++;
}

void wheel_cancel(struct wheel *w, struct wheel_timer *t)
{
    if (!wheel_armed(t))
        return;
    unlink_timer(w, t);
    w->armed--;
}

/* --- time passes ----------------------------------------------------------------------------- */

/* The first tick at which a slot must be emptied, and its level; -1 if there is none. */
static int64_t next_event(const struct wheel *w, unsigned *level)
{
    for (unsigned l = 0; l < WHEEL_LEVELS; l++) {
        if (w->occupied[l] == 0)
            continue;
        int64_t index = __builtin_ctzll(w->occupied[l]);
        unsigned shift = l * level_bits;
        *level = l;
        return (w->now_tick >> (shift + level_bits) << (shift + level_bits)) | index << shift;
    }
    return -1;
}

/* Moves the timers of one slot down: to lower levels, or to the due list. */
static void empty_slot(struct wheel *w, unsigned level, unsigned index)
{
    struct wheel_timer *t = w->slot[level][index];
    w->slot[level][index] = NULL;
    w->occupied[level] &= ~(1ULL << index);
    while (t != NULL) {
        struct wheel_timer *next = t->next;
        place(w, t);
        t = next;
    }
}

static void advance(struct wheel *w, int64_t target_tick)
{
    while (w->now_tick < target_tick) {
        unsigned level = 0;
        int64_t tick = next_event(w, &level);
        if (tick < 0 || tick > target_tick) {
            w->now_tick = target_tick;
            return;
        }
        w->now_tick = tick;
        empty_slot(w, level, (unsigned)(tick >> (level * level_bits)) & slot_mask);
    }
}

uint32_t wheel_run(struct wheel *w, int64_t now_ns, uint32_t budget)
{
    advance(w, now_ns / WHEEL_TICK_NS);
    if (w->due == NULL)
        return 0;
    /* What is armed from here on comes behind this mark. */
    struct wheel_timer mark = {0};
    due_append(w, &mark);
    uint32_t fired = 0;
    while (fired < budget && w->due != &mark) {
        struct wheel_timer *t = w->due;
        wheel_cancel(w, t);
        t->fire(t, now_ns);
        fired++;
    }
    unlink_timer(w, &mark);
    return fired;
}

int64_t wheel_next(const struct wheel *w)
{
    if (w->due != NULL)
        return tick_ns(w->now_tick);
    unsigned level;
    int64_t tick = next_event(w, &level);
    return tick < 0 ? WHEEL_NEVER : tick_ns(tick);
}
