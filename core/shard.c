#include "core/shard.h"

#include <rte_lcore.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "core/ring.h"

/* --- one pass -------------------------------------------------------------------------------- */

static uint32_t run_stage(struct shard *s, struct stage *stage)
{
    uint32_t units = stage->run(stage->ctx, s->now_ns, stage->budget);
    stage->units += units;
    return units;
}

/* The same with the time that each stage took; *at is the end of the stage before. */
static uint32_t run_stage_timed(struct shard *s, struct stage *stage, int64_t *at)
{
    uint32_t units = run_stage(s, stage);
    if (units > 0) {
        int64_t end = clock_mono_ns(s->clock);
        stage->busy_ns += end - *at;
        *at = end;
    }
    return units;
}

int64_t shard_step(struct shard *s, int64_t now_ns)
{
    agent_enter(&s->agent);
    /* Wall time to its own precision: read once a millisecond at most. */
    if (now_ns / CLOCK_NS_PER_MS != s->now_ns / CLOCK_NS_PER_MS || s->steps == 0)
        s->wall_ms = clock_wall_ms(s->clock);
    s->now_ns = now_ns;
    s->steps++;

    uint64_t units = 0;
    int64_t at = now_ns;
    for (uint32_t i = 0; i < s->stage_count; i++)
        units += s->options.stage_timing ? run_stage_timed(s, &s->stages[i], &at)
                                         : run_stage(s, &s->stages[i]);
    uint32_t waiting = agent_flush(&s->agent);

    if (units > 0)
        s->busy_steps++;
    if (units > 0 || waiting > 0)
        return now_ns;
    return wheel_next(&s->wheel);
}

/* --- the loop -------------------------------------------------------------------------------- */

/* Sleeps until `until` (INT64_MAX: until woken), unless mail or the end came meanwhile. */
static void park(struct shard *s, int64_t now_ns, int64_t until)
{
    if (!agent_park_begin(&s->agent))
        return;
    if (!atomic_load(&s->stop)) {
        s->parks++;
        s->options.parking.park(s->options.parking.ctx, until == INT64_MAX ? -1 : until - now_ns);
    }
    agent_park_end(&s->agent);
}

static void yield(struct shard *s)
{
    const struct shard_parking *p = &s->options.parking;
    if (p->kernel_works == NULL || !p->kernel_works(p->ctx))
        return;
    s->yields++;
    sched_yield();
}

static void loop(struct shard *s)
{
    int64_t step_ns = clock_mono_ns(s->clock);
    int64_t work_ns = step_ns; /* the last time at which there was work */
    while (!atomic_load_explicit(&s->stop, memory_order_acquire)) {
        int64_t until = shard_step(s, step_ns);
        bool busy = until <= step_ns;
        if (busy)
            work_ns = step_ns;
        bool tired = s->options.poll == SHARD_POLL_ADAPTIVE &&
                     step_ns - work_ns >= s->options.spin_ns && !busy;
        if (tired)
            park(s, step_ns, until);
        else if (!busy)
            yield(s);

        int64_t end_ns = clock_mono_ns(s->clock); /* the one reading: also the next step's time */
        if (busy)
            s->busy_ns += end_ns - step_ns;
        else if (!tired)
            s->idle_ns += end_ns - step_ns;
        step_ns = end_ns;
    }
}

static void pin(const struct shard *s)
{
    if (s->options.cpu < 0)
        return;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((unsigned)s->options.cpu, &cpus);
    if (pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0)
        log_warn("core", "%s: cannot be pinned to cpu %d", s->name, s->options.cpu);
}

static void *shard_main(void *arg)
{
    struct shard *s = arg;
    pin(s);
    /* An lcore id brings caches of the mempools; without one they work, only slower. */
    if (rte_thread_register() != 0)
        log_warn("core", "%s: DPDK has no lcore left for it", s->name);
    loop(s);
    rte_thread_unregister();
    return NULL;
}

int shard_start(struct shard *s)
{
    CHECK(!s->running);
    if (s->options.poll == SHARD_POLL_ADAPTIVE && s->options.parking.park == NULL)
        return ERR_INVALID;
    atomic_store(&s->stop, false);
    /* Signals are for main's thread: this one inherits a full mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&s->thread, NULL, shard_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum != 0)
        return ERR_SYSTEM;
    pthread_setname_np(s->thread, s->name);
    s->running = true;
    return 0;
}

void shard_stop(struct shard *s)
{
    if (!s->running)
        return;
    atomic_store(&s->stop, true);
    if (s->options.parking.wake != NULL)
        s->options.parking.wake(s->options.parking.ctx);
    pthread_join(s->thread, NULL);
    s->running = false;
}

/* --- making ---------------------------------------------------------------------------------- */

static void wake_agent(struct agent *a)
{
    struct shard *s = a->wake_ctx;
    if (s->options.parking.wake != NULL)
        s->options.parking.wake(s->options.parking.ctx);
}

int shard_init(struct shard *s, const struct shard_options *options, const struct mem_plan *plan)
{
    if (options->index >= shard_count_max)
        return ERR_INVALID;
    memset(s, 0, sizeof(*s));
    s->index = options->index;
    s->options = *options;
    s->clock = options->clock;
    snprintf(s->name, sizeof(s->name), "shard-%u", s->index);
    int err = agent_init(&s->agent, s->name, s->index, mailbox_slots_default, wake_agent, s);
    if (err != 0)
        return err;
    if (plan != NULL)
        err = mem_init(&s->mem, plan, s->index);
    if (err != 0) {
        agent_fini(&s->agent);
        return err;
    }
    rng_seed(&s->rng, options->seed);
    s->now_ns = clock_mono_ns(s->clock);
    s->wall_ms = clock_wall_ms(s->clock);
    wheel_init(&s->wheel, s->now_ns);
    return 0;
}

void shard_fini(struct shard *s)
{
    if (s == NULL)
        return;
    CHECK(!s->running);
    mem_fini(&s->mem);
    agent_fini(&s->agent);
}

int shard_add_stage(struct shard *s, const char *name, stage_fn *run, void *ctx, uint32_t budget)
{
    CHECK(!s->running);
    if (s->stage_count == shard_stages_max)
        return ERR_FULL;
    s->stages[s->stage_count++] =
        (struct stage){.name = name, .run = run, .ctx = ctx, .budget = budget};
    return 0;
}

/* --- the shard's own stages ------------------------------------------------------------------ */

static uint32_t run_mailbox(void *ctx, int64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    struct shard *s = ctx;
    return agent_receive(&s->agent, budget);
}

static uint32_t run_timers(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct shard *s = ctx;
    return wheel_run(&s->wheel, now_ns, budget);
}

int shard_stage_mailbox(struct shard *s, uint32_t budget)
{
    return shard_add_stage(s, "mailbox", run_mailbox, s, budget);
}

int shard_stage_timers(struct shard *s, uint32_t budget)
{
    return shard_add_stage(s, "timers", run_timers, s, budget);
}

static void park_ring(void *ctx, int64_t timeout_ns)
{
    ring_park(ctx, timeout_ns);
}

static void wake_ring(void *ctx)
{
    ring_wake(ctx);
}

static bool ring_kernel_works(void *ctx)
{
    const struct ring *r = ctx;
    return r->kernel_works > 0;
}

struct shard_parking shard_parking_ring(struct ring *ring)
{
    return (struct shard_parking){
        .park = park_ring, .wake = wake_ring, .kernel_works = ring_kernel_works, .ctx = ring};
}
