/* core: timers, a shard's empty loop, the stage clocks, a message to another core and back. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/micro/micro.h"
#include "core/mailbox.h"
#include "core/shard.h"
#include "core/stages.h"
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

/* ---- stage clocks ---- */

#define stage_readings                                                                             \
    4 /* parsed, appended, durable, replied; received and sent are the step's own */

static void *stages_new(void)
{
    struct stage_clocks *c = malloc(sizeof(*c));
    if (c)
        stage_clocks_init(c);
    return c;
}

static void run_reading(void *ctx, uint32_t n)
{
    struct clock *clock = clock_system();
    for (uint32_t i = 0; i < n; i++)
        micro_keep((uint64_t)clock_mono_ns(clock));
}

/* All that a Produce request which is followed to the wire costs; one of a burst is, the others lack `sent`. */
static void run_stages(void *ctx, uint32_t n)
{
    struct clock *clock = clock_system();
    int64_t step = clock_mono_ns(clock);
    for (uint32_t i = 0; i < n; i++) {
        struct stamps s;
        s.at[STAMP_RECEIVED] = step;
        for (int k = STAMP_PARSED; k < STAMP_PARSED + stage_readings; k++)
            s.at[k] = clock_mono_ns(clock);
        s.at[STAMP_SENT] = step + CLOCK_NS_PER_MS;
        stage_clocks_record(ctx, STAGE_CLASS_PRODUCE, &s);
    }
}

/* ---- from core to core ---- */

struct hop {
    struct agent here, there;
    cpu_set_t before; /* of the calling thread */
    int cpu;          /* of the other thread; -1: any */
    char label[64];
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

/* A number in a CPU's topology; -1: not told. */
static int topology(int cpu, const char *what)
{
    char path[96];
    int n = -1;
    snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/%s", cpu, what);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

static bool same_core(int a, int b)
{
    return topology(a, "core_id") == topology(b, "core_id") &&
           topology(a, "physical_package_id") == topology(b, "physical_package_id");
}

static void pin(pthread_t thread, int cpu)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    pthread_setaffinity_np(thread, sizeof(one), &one);
}

/* The first CPU this process may use and, if there is one, a CPU of another core; or of the same. */
static void choose_cpus(struct hop *h)
{
    int first = -1, second = -1;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        if (!CPU_ISSET(i, &h->before))
            continue;
        if (first < 0)
            first = i;
        else if (second < 0 || (same_core(first, second) && !same_core(first, i)))
            second = i;
    }
    h->cpu = second;
    if (second < 0) {
        snprintf(h->label, sizeof(h->label), "one CPU for both");
        return;
    }
    snprintf(h->label, sizeof(h->label), "CPUs %d and %d%s", first, second,
             same_core(first, second) ? ", one core" : "");
    pin(pthread_self(), first);
}

static void describe_hop(const void *ctx, struct shim_note *note)
{
    note->label = ((const struct hop *)ctx)->label;
}

static void hop_free(void *ctx)
{
    struct hop *h = ctx;
    atomic_store(&h->stop, true);
    if (atomic_load(&h->started))
        pthread_join(h->thread, NULL);
    agent_fini(&h->there);
    agent_fini(&h->here);
    pthread_setaffinity_np(pthread_self(), sizeof(h->before), &h->before);
    free(h);
}

static void *hop_new(void)
{
    struct hop *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->call.run = on_run;
    h->call.done = on_done;
    if (pthread_getaffinity_np(pthread_self(), sizeof(h->before), &h->before)) {
        free(h);
        return NULL;
    }
    if (agent_init(&h->here, "here", 0, 64, NULL, NULL) ||
        agent_init(&h->there, "there", 1, 64, NULL, NULL) ||
        pthread_create(&h->thread, NULL, there_main, h)) {
        hop_free(h);
        return NULL;
    }
    choose_cpus(h);
    if (h->cpu >= 0)
        pin(h->thread, h->cpu);
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
    {.shim = {.name = "timer_arm_cancel",
              .burst = 1000,
              .setup = timers_new,
              .run = run_arm_cancel,
              .teardown = free}},
    {.shim = {.name = "timer_arm_fire",
              .burst = 1000,
              .setup = timers_new,
              .run = run_arm_fire,
              .teardown = free}},
    {.shim = {.name = "shard_empty_step",
              .burst = 1024,
              .setup = shard_make,
              .run = run_empty_step,
              .teardown = shard_unmake}},
    {.shim = {.name = "clock_reading",
              .burst = 1024,
              .setup = stages_new,
              .run = run_reading,
              .teardown = free}},
    {.shim = {.name = "stage_clocks_record",
              .burst = 1024,
              .setup = stages_new,
              .run = run_stages,
              .teardown = free}},
    {.shim = {.name = "mailbox_round_trip",
              .burst = 64,
              .setup = hop_new,
              .run = run_hop,
              .teardown = hop_free,
              .describe = describe_hop}},
};
const struct micro_group micro_core = {cases, sizeof(cases) / sizeof(*cases)};
