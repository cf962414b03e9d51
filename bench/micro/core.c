/* core: timers, a shard's empty loop, a message to another core and back. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/micro/micro.h"
#include "core/mailbox.h"
#include "core/shard.h"
#include "core/wheel.h"

#define timers_max 1000
#define spin_max   10000 /* looks at the mailbox before the other thread gets the core */

/* ---- timers ---- */

struct timers {
    struct wheel wheel;
    struct wheel_timer timer[timers_max];
    int64_t now_ns;
};

static void on_fire(struct wheel_timer *t, int64_t now_ns)
{
}

static void *timers_new(void)
{
    struct timers *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    wheel_init(&t->wheel, 0);
    for (uint32_t i = 0; i < timers_max; i++)
        t->timer[i].fire = on_fire;
    return t;
}

static void run_arm_cancel(void *ctx, uint32_t n)
{
    struct timers *t = ctx;
    for (uint32_t i = 0; i < n; i++) {
        struct wheel_timer *x = &t->timer[i % timers_max];
        wheel_arm(&t->wheel, x, t->now_ns + (int64_t)(i % 997 + 1) * CLOCK_NS_PER_MS * 7);
        wheel_cancel(&t->wheel, x);
    }
}

/* Arms as many as the burst and lets all of them fire, a second apart at most. */
static void run_arm_fire(void *ctx, uint32_t n)
{
    struct timers *t = ctx;
    for (uint32_t i = 0; i < n; i++)
        wheel_arm(&t->wheel, &t->timer[i % timers_max],
                  t->now_ns + (int64_t)(i % 997 + 1) * CLOCK_NS_PER_MS);
    t->now_ns += CLOCK_NS_PER_S;
    wheel_run(&t->wheel, t->now_ns, n);
}

/* ---- a shard with nothing to do ---- */

static void *shard_make(void)
{
    struct shard *s = calloc(1, sizeof(*s));
    struct shard_options o = {
        .cpu = -1, .poll = SHARD_POLL_ALWAYS, .clock = clock_system(), .seed = 1};
    if (!s || shard_init(s, &o, NULL) != 0) {
        free(s);
        return NULL;
    }
    if (shard_stage_mailbox(s, 64) || shard_stage_timers(s, 64)) {
        shard_fini(s);
        free(s);
        return NULL;
    }
    return s;
}

static void shard_unmake(void *ctx)
{
    shard_fini(ctx);
    free(ctx);
}

/* With the one reading of the clock that a running shard has in each pass. */
static void run_empty_step(void *ctx, uint32_t n)
{
    struct shard *s = ctx;
    for (uint32_t i = 0; i < n; i++)
        shard_step(s, clock_mono_ns(s->clock));
}

/* ---- from core to core ---- */

struct hop {
    struct agent here, there;
    struct call call;
    pthread_t thread;
    _Atomic bool stop, started;
    bool answered;
};

static void on_run(struct call *call)
{
    call_finish(call);
}

static void on_done(struct call *call)
{
    struct hop *h = (struct hop *)((char *)call - offsetof(struct hop, call));
    h->answered = true;
}

static void poll_mail(struct agent *a, uint32_t *idle)
{
    *idle = agent_receive(a, 16) ? 0 : *idle + 1;
    agent_flush(a);
    if (*idle > spin_max) { /* a machine with one core */
        sched_yield();
        *idle = 0;
    }
}

static void *there_main(void *arg)
{
    struct hop *h = arg;
    uint32_t idle = 0;
    agent_enter(&h->there);
    atomic_store(&h->started, true);
    while (!atomic_load_explicit(&h->stop, memory_order_relaxed))
        poll_mail(&h->there, &idle);
    return NULL;
}

static void hop_free(void *ctx)
{
    struct hop *h = ctx;
    atomic_store(&h->stop, true);
    if (atomic_load(&h->started))
        pthread_join(h->thread, NULL);
    agent_fini(&h->there);
    agent_fini(&h->here);
    free(h);
}

static void *hop_new(void)
{
    struct hop *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->call.run = on_run;
    h->call.done = on_done;
    if (agent_init(&h->here, "here", 0, 64, NULL, NULL) ||
        agent_init(&h->there, "there", 1, 64, NULL, NULL) ||
        pthread_create(&h->thread, NULL, there_main, h)) {
        hop_free(h);
        return NULL;
    }
    while (!atomic_load(&h->started))
        sched_yield();
    return h;
}

static void run_hop(void *ctx, uint32_t n)
{
    struct hop *h = ctx;
    uint32_t idle = 0;
    agent_enter(&h->here);
    for (uint32_t i = 0; i < n; i++) {
        h->answered = false;
        agent_call(&h->here, &h->there, &h->call);
        agent_flush(&h->here);
        while (!h->answered)
            poll_mail(&h->here, &idle);
    }
}

static const struct micro_case cases[] = {
    {.shim = {"timer_arm_cancel", 1000, 0, timers_new, run_arm_cancel, NULL, free, NULL}},
    {.shim = {"timer_arm_fire", 1000, 0, timers_new, run_arm_fire, NULL, free, NULL}},
    {.shim = {"shard_empty_step", 1024, 0, shard_make, run_empty_step, NULL, shard_unmake, NULL}},
    {.shim = {"mailbox_round_trip", 64, 0, hop_new, run_hop, NULL, hop_free, NULL}},
};
const struct micro_group micro_core = {cases, sizeof(cases) / sizeof(*cases)};
