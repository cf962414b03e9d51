/* shard: the step under handed-in time, many shards without threads, and the parked thread. */
#include "core/shard.h"

#include <sched.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/hist.h"
#include "core/ring.h"
#include "tests/unit/core/with_eal.h"

static struct shard one, two;
static struct clock_manual manual;

static void manual_shard(struct shard *s, uint32_t index)
{
    clock_manual_init(&manual, 1000 * CLOCK_NS_PER_MS, 1700000000000);
    struct shard_options options = {.index = index, .cpu = -1, .clock = &manual.clock, .seed = 1};
    CU_ASSERT_EQUAL_FATAL(shard_init(s, &options, NULL), 0);
}

struct worked {
    char *trace;
    char letter;
    uint32_t work;
    int64_t now;
    uint32_t budget;
};

static uint32_t work(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct worked *w = ctx;
    size_t n = strlen(w->trace);
    w->trace[n] = w->letter;
    w->trace[n + 1] = '\0';
    w->now = now_ns;
    w->budget = budget;
    uint32_t units = w->work < budget ? w->work : budget;
    w->work -= units;
    return units;
}

static void stages_run_in_order(void)
{
    manual_shard(&one, 0);
    char trace[64] = "";
    struct worked a = {trace, 'a', 0, 0, 0}, b = {trace, 'b', 5, 0, 0}, c = {trace, 'c', 0, 0, 0};
    CU_ASSERT_EQUAL(shard_add_stage(&one, "a", work, &a, 10), 0);
    CU_ASSERT_EQUAL(shard_add_stage(&one, "b", work, &b, 3), 0);
    CU_ASSERT_EQUAL(shard_add_stage(&one, "c", work, &c, 7), 0);
    int64_t now = manual.mono + 5;
    CU_ASSERT_EQUAL(shard_step(&one, now), now);         /* b did 3 of 5 */
    CU_ASSERT_EQUAL(shard_step(&one, now + 1), now + 1); /* and the rest */
    CU_ASSERT_EQUAL(shard_step(&one, now + 2), INT64_MAX);
    CU_ASSERT_STRING_EQUAL(trace, "abcabcabc");
    CU_ASSERT(a.budget == 10 && b.budget == 3 && c.budget == 7);
    CU_ASSERT(a.now == now + 2 && one.now_ns == now + 2);
    CU_ASSERT(one.steps == 3 && one.busy_steps == 2);
    CU_ASSERT(one.stages[1].units == 5 && one.stages[1].busy_ns == 0);
    shard_fini(&one);
    shard_fini(NULL);
}

static void the_table_is_bounded(void)
{
    manual_shard(&one, 0);
    char trace[64] = "";
    struct worked w = {trace, 'a', 0, 0, 0};
    for (int i = 0; i < shard_stages_max; i++)
        CU_ASSERT_EQUAL(shard_add_stage(&one, "a", work, &w, 1), 0);
    CU_ASSERT_EQUAL(shard_add_stage(&one, "a", work, &w, 1), ERR_FULL);
    CU_ASSERT_EQUAL(shard_stage_timers(&one, 1), ERR_FULL);
    shard_fini(&one);
    struct shard_options options = {.index = shard_count_max, .clock = &manual.clock};
    CU_ASSERT_EQUAL(shard_init(&one, &options, NULL), ERR_INVALID);
}

static void wall_time_follows(void)
{
    manual_shard(&one, 0);
    shard_step(&one, manual.mono);
    CU_ASSERT_EQUAL(one.wall_ms, 1700000000000);
    clock_manual_advance(&manual, 3 * CLOCK_NS_PER_MS);
    shard_step(&one, manual.mono);
    CU_ASSERT_EQUAL(one.wall_ms, 1700000000003);
    shard_fini(&one);
}

static uint32_t advance(void *ctx, int64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    (void)budget;
    clock_manual_advance(&manual, *(int64_t *)ctx);
    return *(int64_t *)ctx >= 100;
}

static void stages_are_timed_on_request(void)
{
    manual_shard(&one, 0);
    one.options.stage_timing = true;
    int64_t idle = 7, slow = 100, slower = 400;
    shard_add_stage(&one, "slow", advance, &slow, 1);
    shard_add_stage(&one, "idle", advance, &idle, 1);
    shard_add_stage(&one, "slower", advance, &slower, 1);
    shard_step(&one, manual.mono);
    CU_ASSERT_EQUAL(one.stages[0].busy_ns, 100);
    CU_ASSERT_EQUAL(one.stages[1].busy_ns, 0);
    CU_ASSERT_EQUAL(one.stages[2].busy_ns, 407); /* what found nothing counts with the next */
    shard_fini(&one);
}

struct fired {
    struct wheel_timer timer;
    int64_t at;
};

static void on_fire(struct wheel_timer *t, int64_t now)
{
    ((struct fired *)t)->at = now;
}

static void timers_give_the_next_step(void)
{
    manual_shard(&one, 0);
    CU_ASSERT_EQUAL(shard_stage_timers(&one, 8), 0);
    struct fired f = {.timer.fire = on_fire};
    int64_t now = manual.mono;
    CU_ASSERT_EQUAL(shard_step(&one, now), INT64_MAX);
    wheel_arm(&one.wheel, &f.timer, now + 10 * CLOCK_NS_PER_MS);
    int steps = 0;
    while (f.at == 0) {
        int64_t next = shard_step(&one, now);
        CU_ASSERT_FATAL(next >= now && steps++ < 5);
        now = next;
    }
    CU_ASSERT_EQUAL(f.at, manual.mono + 10 * CLOCK_NS_PER_MS);
    shard_fini(&one);
}

/* Two shards, no thread: a call goes over and comes back by steps alone. */
struct hop {
    struct call call;
    int ran, done;
};

static void hop_run(struct call *call)
{
    ((struct hop *)call)->ran++;
    call_finish(call);
}

static void hop_done(struct call *call)
{
    ((struct hop *)call)->done++;
}

static void shards_in_a_simulator(void)
{
    manual_shard(&one, 0);
    manual_shard(&two, 1);
    shard_stage_mailbox(&one, 16);
    shard_stage_mailbox(&two, 16);
    struct hop hop = {.call = {.run = hop_run, .done = hop_done}};
    agent_call(&one.agent, &two.agent, &hop.call);
    CU_ASSERT_EQUAL(shard_step(&one, manual.mono), INT64_MAX);
    CU_ASSERT_EQUAL(shard_step(&two, manual.mono), manual.mono);
    CU_ASSERT(hop.ran == 1 && hop.done == 0);
    CU_ASSERT_EQUAL(shard_step(&one, manual.mono), manual.mono);
    CU_ASSERT_EQUAL(hop.done, 1);
    shard_fini(&one);
    shard_fini(&two);
}

/* --- threads --------------------------------------------------------------------------------- */

struct rig {
    struct shard shard;
    struct ring ring;
    uint64_t steps_before;
};

static struct rig rigs[2];

static void rig_up(struct rig *rig, uint32_t index, const struct mem_plan *plan)
{
    char why[256];
    CU_ASSERT_EQUAL_FATAL(ring_init(&rig->ring, 64, why, sizeof(why)), 0);
    struct shard_options options = {
        .index = index,
        .cpu = -1,
        .poll = SHARD_POLL_ADAPTIVE,
        .spin_ns = shard_spin_ns_default,
        .clock = clock_system(),
        .seed = index,
        .parking = shard_parking_ring(&rig->ring),
    };
    CU_ASSERT_EQUAL_FATAL(shard_init(&rig->shard, &options, plan), 0);
    shard_add_stage(&rig->shard, "reap", ring_stage_reap, &rig->ring, 64);
    shard_stage_mailbox(&rig->shard, 64);
    shard_stage_timers(&rig->shard, 64);
    shard_add_stage(&rig->shard, "submit", ring_stage_submit, &rig->ring, 0);
}

static void rig_down(struct rig *rig)
{
    shard_stop(&rig->shard);
    shard_stop(&rig->shard);
    shard_fini(&rig->shard);
    ring_fini(&rig->ring);
}

#define spins_max 1024

/* The test's own thread as an agent that polls. */
static struct agent tester;

static void wait_for(const int *value, int want)
{
    for (uint32_t spins = 1; *value < want; spins++) {
        if (spins % spins_max == 0)
            sched_yield(); /* one core for all */
        agent_receive(&tester, 16);
        agent_flush(&tester);
    }
}

static double cpu_ms(pthread_t thread)
{
    clockid_t id;
    struct timespec ts = {0};
    if (pthread_getcpuclockid(thread, &id) == 0)
        clock_gettime(id, &ts);
    return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void parked_shards_answer(void)
{
    static struct hist h;
    hist_init(&h);
    rig_up(&rigs[0], 0, NULL);
    CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[0].shard), 0);
    struct hop hop = {.call = {.run = hop_run, .done = hop_done}};
    for (int i = 0; i < 2000; i++) {
        if (i % 10 == 0)
            usleep(100); /* longer than it spins */
        int64_t start = clock_mono_ns(clock_system());
        agent_call(&tester, &rigs[0].shard.agent, &hop.call);
        agent_flush(&tester);
        wait_for(&hop.done, i + 1);
        if (i % 10 == 0)
            hist_record(&h, (uint64_t)(clock_mono_ns(clock_system()) - start));
    }
    pthread_t thread = rigs[0].shard.thread;
    double before = cpu_ms(thread);
    usleep(500000);
    double idle = cpu_ms(thread) - before;
    rig_down(&rigs[0]);
    agent_fini(&tester);
    printf("call to a parked shard and back: p50 %lu ns, p99 %lu ns\n",
           (unsigned long)hist_quantile(&h, 0.5), (unsigned long)hist_quantile(&h, 0.99));
    printf("idle shard: %.3f %% of a core, %lu parks, %lu steps\n", idle / 5,
           (unsigned long)rigs[0].shard.parks, (unsigned long)rigs[0].shard.steps);
    CU_ASSERT_EQUAL(hop.done, 2000);
    CU_ASSERT(rigs[0].shard.parks > 0);
    CU_ASSERT(rigs[0].shard.busy_ns > 0 && rigs[0].shard.idle_ns > 0);
}

/* A message goes round: tester -> shard 0 -> shard 1 -> tester; sleeps in between. */
struct relay {
    struct msg msg;
    struct shard *at;
    int rounds;
};

static void relay_home(struct msg *msg)
{
    ((struct relay *)msg)->rounds++;
}

static void relay_second(struct msg *msg)
{
    msg->deliver = relay_home;
    agent_post(&rigs[1].shard.agent, &tester, msg);
}

static void relay_first(struct msg *msg)
{
    msg->deliver = relay_second;
    agent_post(&rigs[0].shard.agent, &rigs[1].shard.agent, msg);
}

static void shards_wake_each_other(void)
{
    rig_up(&rigs[0], 0, NULL);
    rig_up(&rigs[1], 1, NULL);
    CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[0].shard), 0);
    CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[1].shard), 0);
    struct relay relays[8] = {0};
    for (int i = 0; i < 500; i++) {
        int at_once = 1 + i % 8;
        for (int k = 0; k < at_once; k++) {
            relays[k].msg.deliver = relay_first;
            relays[k].rounds = 0;
            agent_post(&tester, &rigs[0].shard.agent, &relays[k].msg);
        }
        agent_flush(&tester);
        for (int k = 0; k < at_once; k++)
            wait_for(&relays[k].rounds, 1);
        if (i % 20 == 0)
            usleep(100);
    }
    rig_down(&rigs[0]);
    rig_down(&rigs[1]);
    agent_fini(&tester);
}

/* A parked shard wakes by itself for its timer; the timer arms itself again on its thread. */
struct ticking {
    struct wheel_timer timer;
    struct shard *shard;
    int left;
    int64_t first_ns, last_ns; /* of the shard's own time, which may be a step behind ours */
    struct hop *last;
};

static void tick(struct wheel_timer *t, int64_t now)
{
    struct ticking *k = (struct ticking *)t;
    k->last_ns = now;
    if (--k->left > 0)
        wheel_arm(&k->shard->wheel, t, now + 3 * CLOCK_NS_PER_MS);
    else
        call_finish(&k->last->call);
}

static struct ticking ticking;

static void start_ticking(struct call *call)
{
    (void)call;
    ticking.first_ns = ticking.shard->now_ns;
    tick(&ticking.timer, ticking.shard->now_ns);
}

static void timers_wake_a_parked_shard(void)
{
    rig_up(&rigs[0], 0, NULL);
    CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[0].shard), 0);
    struct hop hop = {.call = {.run = start_ticking, .done = hop_done}};
    ticking =
        (struct ticking){.timer.fire = tick, .shard = &rigs[0].shard, .left = 11, .last = &hop};
    agent_call(&tester, &rigs[0].shard.agent, &hop.call);
    agent_flush(&tester);
    wait_for(&hop.done, 1);
    CU_ASSERT(ticking.last_ns - ticking.first_ns >= 30 * CLOCK_NS_PER_MS);
    rig_down(&rigs[0]);
    /* of ten intervals; where the machine took the core away for longer there is nothing to wait for */
    CU_ASSERT(rigs[0].shard.parks >= 3);
    agent_fini(&tester);
}

/* While the kernel works for it a shard that polls offers its core; otherwise it never does. */
static void a_polling_shard_yields(void)
{
    for (uint32_t works = 0; works < 2; works++) {
        rig_up(&rigs[0], 0, NULL);
        rigs[0].ring.kernel_works = works;
        rigs[0].shard.options.poll = SHARD_POLL_ALWAYS;
        CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
        CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[0].shard), 0);
        struct hop hop = {.call = {.run = start_ticking, .done = hop_done}};
        ticking =
            (struct ticking){.timer.fire = tick, .shard = &rigs[0].shard, .left = 3, .last = &hop};
        agent_call(&tester, &rigs[0].shard.agent, &hop.call);
        agent_flush(&tester);
        wait_for(&hop.done, 1);
        shard_stop(&rigs[0].shard);
        CU_ASSERT_EQUAL(rigs[0].shard.yields > 0, works > 0);
        rigs[0].ring.kernel_works = 0;
        rig_down(&rigs[0]);
        agent_fini(&tester);
    }
}

/* The shard's thread has an lcore, so that its mempools have caches; always polling, pinned. */
static struct rte_mbuf *from_shard;
static unsigned lcore_of_shard;

static void take_mbuf(struct call *call)
{
    from_shard = rte_pktmbuf_alloc(rigs[0].shard.mem.rx_pool);
    lcore_of_shard = rte_lcore_id();
    call_finish(call);
}

static void memory_of_a_shard(void)
{
    struct mem_plan plan;
    CU_ASSERT_EQUAL_FATAL(mem_plan_make(memory_bytes_min, 1, &plan), 0);
    with_eal(mem_plan_eal_mb(&plan));
    rig_up(&rigs[0], 0, &plan);
    rigs[0].shard.options.cpu = 0;
    rigs[0].shard.options.poll = SHARD_POLL_ALWAYS;
    CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL_FATAL(shard_start(&rigs[0].shard), 0);
    struct hop hop = {.call = {.run = take_mbuf, .done = hop_done}};
    agent_call(&tester, &rigs[0].shard.agent, &hop.call);
    agent_flush(&tester);
    wait_for(&hop.done, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(from_shard);
    CU_ASSERT(lcore_of_shard != rte_lcore_id() && lcore_of_shard < RTE_MAX_LCORE);
    rte_pktmbuf_free(from_shard); /* on another thread: allowed */
    shard_stop(&rigs[0].shard);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(rigs[0].shard.mem.rx_pool), plan.rx_bufs);
    CU_ASSERT_EQUAL(rigs[0].shard.parks, 0);
    rig_down(&rigs[0]);
    agent_fini(&tester);
    /* A second shard of the size does not fit: nothing stays behind. */
    struct shard_options options = {.index = 1, .clock = clock_system()};
    struct mem_plan big = plan;
    big.rx_bufs *= 4;
    CU_ASSERT_EQUAL(shard_init(&two, &options, &big), ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(shard_init(&two, &options, &plan), 0);
    /* Adaptive polling without a way to sleep is refused. */
    CU_ASSERT_EQUAL(shard_start(&two), ERR_INVALID);
    shard_fini(&two);
}

UNIT_MAIN("core/shard", UNIT_CASE(stages_run_in_order), UNIT_CASE(the_table_is_bounded),
          UNIT_CASE(wall_time_follows), UNIT_CASE(stages_are_timed_on_request),
          UNIT_CASE(timers_give_the_next_step), UNIT_CASE(shards_in_a_simulator),
          UNIT_CASE(memory_of_a_shard), UNIT_CASE(parked_shards_answer),
          UNIT_CASE(shards_wake_each_other), UNIT_CASE(timers_wake_a_parked_shard),
          UNIT_CASE(a_polling_shard_yields))
