/* worker: jobs run one after the other elsewhere, answers come back, the end loses none. */
#include "core/worker.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/unit.h"

#define jobs_max 3000

static struct worker worker;
static struct agent tester;

struct job {
    struct call call;
    uint32_t number;
    pthread_t ran_on;
    bool done;
};

static struct job jobs[jobs_max];
static uint32_t ran, finished, out_of_order;

static void job_run(struct call *call)
{
    struct job *j = (struct job *)call;
    j->ran_on = pthread_self();
    if (j->number != ran++)
        out_of_order++;
    if (j->number % 500 == 0)
        usleep(1000); /* it may block */
    call_finish(call);
}

static void job_done(struct call *call)
{
    ((struct job *)call)->done = true;
    finished++;
}

static void set_up(void)
{
    ran = finished = out_of_order = 0;
    memset(jobs, 0, sizeof(jobs));
    CU_ASSERT_EQUAL_FATAL(worker_init(&worker, "files", shard_count_max + 1), 0);
    CU_ASSERT_EQUAL_FATAL(agent_init(&tester, "tester", shard_count_max, 64, NULL, NULL), 0);
}

static void tear_down(void)
{
    worker_fini(&worker);
    agent_fini(&tester);
}

static void give(uint32_t number)
{
    jobs[number] = (struct job){.call = {.run = job_run, .done = job_done}, .number = number};
    agent_call(&tester, &worker.agent, &jobs[number].call);
}

static void jobs_come_back(void)
{
    set_up();
    CU_ASSERT_EQUAL_FATAL(worker_start(&worker), 0);
    /* The tester's mailbox of 64 overflows: answers wait in the worker's outbox. */
    for (uint32_t i = 0; i < jobs_max; i++)
        give(i);
    agent_flush(&tester);
    while (finished < jobs_max) {
        if (agent_receive(&tester, 16) == 0)
            usleep(100);
        agent_flush(&tester);
    }
    CU_ASSERT_EQUAL(out_of_order, 0);
    for (uint32_t i = 0; i < jobs_max; i++)
        CU_ASSERT(jobs[i].done && !pthread_equal(jobs[i].ran_on, pthread_self()));
    worker_stop(&worker);
    tear_down();
}

/* It sleeps without mail, and each single job wakes it. */
static void one_at_a_time(void)
{
    set_up();
    CU_ASSERT_EQUAL_FATAL(worker_start(&worker), 0);
    for (uint32_t i = 0; i < 300; i++) {
        if (i % 3 == 0)
            usleep(50);
        give(i);
        agent_flush(&tester);
        while (finished <= i)
            if (agent_receive(&tester, 1) == 0)
                sched_yield(); /* one core for both */
    }
    worker_stop(&worker);
    CU_ASSERT_EQUAL(ran, 300);
    tear_down();
}

static void the_end_finishes_what_is_queued(void)
{
    for (int round = 0; round < 20; round++) {
        set_up();
        CU_ASSERT_EQUAL_FATAL(worker_start(&worker), 0);
        for (uint32_t i = 0; i < 40; i++)
            give(i);
        agent_flush(&tester);
        worker_stop(&worker);
        CU_ASSERT_EQUAL(ran, 40);
        agent_receive(&tester, 64);
        CU_ASSERT_EQUAL(finished, 40);
        tear_down();
    }
}

/* Answers that nobody takes do not keep it from ending: the one log line is expected. */
static void the_end_comes_although_nobody_listens(void)
{
    set_up();
    CU_ASSERT_EQUAL_FATAL(worker_start(&worker), 0);
    for (uint32_t i = 0; i < 100; i++)
        give(i);
    agent_flush(&tester);
    worker_stop(&worker);
    CU_ASSERT_EQUAL(ran, 100);
    CU_ASSERT_EQUAL(agent_receive(&tester, 1000), 63); /* what its ring holds */
    tear_down();
}

static void steps_without_a_thread(void)
{
    set_up();
    for (uint32_t i = 0; i < 10; i++)
        give(i);
    agent_flush(&tester);
    CU_ASSERT_EQUAL(worker_step(&worker, 4), 4);
    CU_ASSERT_EQUAL(agent_receive(&tester, 16), 4);
    CU_ASSERT_EQUAL(worker_step(&worker, 16), 6);
    CU_ASSERT_EQUAL(worker_step(&worker, 16), 0);
    CU_ASSERT_EQUAL(agent_receive(&tester, 16), 6);
    CU_ASSERT(pthread_equal(jobs[9].ran_on, pthread_self()));
    worker_stop(&worker); /* does not run: nothing to do */
    tear_down();
    worker_fini(NULL);
}

static void bad_index(void)
{
    CU_ASSERT_EQUAL(worker_init(&worker, "files", agent_count_max), ERR_INVALID);
}

UNIT_MAIN("core/worker", UNIT_CASE(jobs_come_back), UNIT_CASE(one_at_a_time),
          UNIT_CASE(the_end_finishes_what_is_queued),
          UNIT_CASE(the_end_comes_although_nobody_listens), UNIT_CASE(steps_without_a_thread),
          UNIT_CASE(bad_index))
