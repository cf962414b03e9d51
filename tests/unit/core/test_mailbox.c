/* mailbox: order, overflow into the outbox, calls, and no lost wake between threads. */
#include "core/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hist.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

struct note {
    struct msg msg;
    uint32_t value;
};

static uint32_t seen[4096], seen_count;

static void on_note(struct msg *msg)
{
    seen[seen_count++] = ((struct note *)msg)->value;
}

static void count_wake(struct agent *a)
{
    (*(int *)a->wake_ctx)++;
}

/* The structs are large: kept off the stack. */
static struct agent alice, bob;
static int alice_wakes, bob_wakes;

static void two_agents(uint32_t slots)
{
    alice_wakes = bob_wakes = 0;
    seen_count = 0;
    CU_ASSERT_EQUAL_FATAL(agent_init(&alice, "alice", 0, slots, count_wake, &alice_wakes), 0);
    CU_ASSERT_EQUAL_FATAL(
        agent_init(&bob, "bob", agent_count_max - 1, slots, count_wake, &bob_wakes), 0);
}

static void no_agents(void)
{
    agent_fini(&alice);
    agent_fini(&bob);
}

static void bad_arguments(void)
{
    CU_ASSERT_EQUAL(agent_init(&alice, "x", agent_count_max, 8, NULL, NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(agent_init(&alice, "x", 0, 9, NULL, NULL), ERR_INVALID);
    CU_ASSERT_EQUAL(agent_init(&alice, "x", 0, 0, NULL, NULL), ERR_INVALID);
    agent_fini(NULL);
}

static void what_does_not_fit_waits_in_order(void)
{
    two_agents(8);
    struct note notes[100];
    for (uint32_t i = 0; i < 100; i++) {
        notes[i] = (struct note){.msg.deliver = on_note, .value = i};
        agent_post(&alice, &bob, &notes[i].msg);
    }
    CU_ASSERT_EQUAL(agent_flush(&alice), 93); /* a ring of 8 holds 7 */
    CU_ASSERT_EQUAL(agent_flush(&alice), 93);
    uint32_t got = 0;
    while (got < 100) {
        uint32_t n = agent_receive(&bob, 3);
        CU_ASSERT_FATAL(n > 0);
        got += n;
        agent_flush(&alice);
    }
    CU_ASSERT_EQUAL(agent_flush(&alice), 0);
    CU_ASSERT_EQUAL(agent_receive(&bob, 100), 0);
    for (uint32_t i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(seen[i], i);
    CU_ASSERT_EQUAL(bob_wakes, 0);
    no_agents();
}

static void a_parked_agent_is_woken_once(void)
{
    two_agents(16);
    struct note notes[4];
    for (uint32_t i = 0; i < 4; i++)
        notes[i] = (struct note){.msg.deliver = on_note, .value = i};
    CU_ASSERT(agent_park_begin(&bob));
    agent_post(&alice, &bob, &notes[0].msg);
    agent_post(&alice, &bob, &notes[1].msg);
    CU_ASSERT_EQUAL(bob_wakes, 0);
    agent_flush(&alice);
    CU_ASSERT_EQUAL(bob_wakes, 1);
    agent_post(&alice, &bob, &notes[2].msg);
    agent_flush(&alice);
    CU_ASSERT_EQUAL(bob_wakes, 1); /* it is on its way already */
    agent_park_end(&bob);
    CU_ASSERT(agent_has_mail(&bob));
    CU_ASSERT_FALSE(agent_park_begin(&bob));
    CU_ASSERT_EQUAL(agent_receive(&bob, 10), 3);
    CU_ASSERT_FALSE(agent_has_mail(&bob));
    /* Not parked: nobody is woken. */
    agent_post(&alice, &bob, &notes[3].msg);
    agent_flush(&alice);
    CU_ASSERT_EQUAL(bob_wakes, 1);
    CU_ASSERT_EQUAL(agent_receive(&bob, 10), 1);
    no_agents();
}

static void an_agent_writes_to_itself(void)
{
    two_agents(2);
    struct note notes[5];
    for (uint32_t i = 0; i < 5; i++) {
        notes[i] = (struct note){.msg.deliver = on_note, .value = i};
        agent_post(&alice, &alice, &notes[i].msg);
    }
    CU_ASSERT_FALSE(agent_park_begin(&alice));
    for (uint32_t i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(agent_receive(&alice, 10), 1);
        CU_ASSERT_EQUAL(agent_flush(&alice), i < 3 ? 3 - i : 0);
    }
    CU_ASSERT_EQUAL(seen_count, 5);
    CU_ASSERT_EQUAL(seen[4], 4);
    CU_ASSERT_EQUAL(alice_wakes, 0);
    no_agents();
}

struct sum {
    struct call call;
    int a, b, result;
    int ran, done;
};

static void sum_run(struct call *call)
{
    struct sum *s = (struct sum *)call;
    s->ran++;
    s->result = s->a + s->b;
    call_finish(call);
}

static void sum_done(struct call *call)
{
    ((struct sum *)call)->done++;
}

static void calls(void)
{
    two_agents(8);
    struct sum s = {.call = {.run = sum_run, .done = sum_done}, .a = 2, .b = 3};
    agent_call(&alice, &bob, &s.call);
    agent_flush(&alice);
    CU_ASSERT_EQUAL(s.ran, 0);
    CU_ASSERT_EQUAL(agent_receive(&bob, 10), 1);
    agent_flush(&bob);
    CU_ASSERT(s.ran == 1 && s.done == 0);
    CU_ASSERT_EQUAL(agent_receive(&alice, 10), 1);
    CU_ASSERT(s.done == 1 && s.result == 5);
    /* To itself: at once. */
    agent_call(&alice, &alice, &s.call);
    CU_ASSERT(s.ran == 2 && s.done == 2);
    CU_ASSERT_FALSE(agent_has_mail(&alice));
    no_agents();
}

/* --- threads --------------------------------------------------------------------------------- */

/* An agent on a thread that sleeps on an eventfd. */
struct sleeper {
    struct agent agent;
    int fd;
    _Atomic bool stop;
    uint64_t sleeps;
};

static void sleeper_wake(struct agent *a)
{
    struct sleeper *s = a->wake_ctx;
    uint64_t one = 1;
    if (write(s->fd, &one, sizeof(one)) != sizeof(one))
        abort();
}

static void sleeper_init(struct sleeper *s, uint32_t index, uint32_t slots)
{
    s->fd = eventfd(0, EFD_CLOEXEC);
    s->sleeps = 0;
    atomic_store(&s->stop, false);
    CU_ASSERT_EQUAL_FATAL(agent_init(&s->agent, "sleeper", index, slots, sleeper_wake, s), 0);
}

static void sleeper_fini(struct sleeper *s)
{
    agent_fini(&s->agent);
    close(s->fd);
}

/* One round: mail, or sleep until there is some. Waiting messages are tried again each ms. */
static uint32_t sleeper_step(struct sleeper *s)
{
    uint32_t done = agent_receive(&s->agent, 64);
    uint32_t waiting = agent_flush(&s->agent);
    if (done > 0 || !agent_park_begin(&s->agent))
        return done;
    struct pollfd p = {.fd = s->fd, .events = POLLIN};
    uint64_t count;
    s->sleeps++;
    if (poll(&p, 1, waiting > 0 ? 1 : -1) == 1 && read(s->fd, &count, sizeof(count)) < 0)
        abort();
    agent_park_end(&s->agent);
    return 0;
}

#define senders_max 3
#define letters_max 256
#define rounds      40

struct sender;

struct letter {
    struct msg msg;
    struct sender *from;
    uint32_t serial;
};

/* A sender posts all its letters, waits until all have come back, and starts again. */
struct sender {
    struct sleeper self;
    pthread_t thread;
    struct letter letters[letters_max];
    uint32_t back, expected; /* expected: next serial, of the receiver's thread */
    uint32_t out_of_order;
    struct rng rng;
};

static struct sleeper receiver;
static struct sender senders[senders_max];
static uint32_t received;

static void letter_back(struct msg *msg)
{
    ((struct letter *)msg)->from->back++;
}

static void letter_arrives(struct msg *msg)
{
    struct letter *l = (struct letter *)msg;
    if (l->serial != l->from->expected++)
        l->from->out_of_order++;
    received++;
    msg->deliver = letter_back;
    agent_post(&receiver.agent, &l->from->self.agent, msg);
}

static void *sender_main(void *arg)
{
    struct sender *s = arg;
    uint32_t serial = 0;
    for (int round = 0; round < rounds; round++) {
        uint32_t n = 1 + (uint32_t)rng_below(&s->rng, letters_max);
        s->back = 0;
        for (uint32_t i = 0; i < n; i++) {
            s->letters[i] = (struct letter){.msg.deliver = letter_arrives, .from = s};
            s->letters[i].serial = serial++;
            agent_post(&s->self.agent, &receiver.agent, &s->letters[i].msg);
            if (rng_below(&s->rng, 10) == 0)
                agent_flush(&s->self.agent);
        }
        while (s->back < n)
            sleeper_step(&s->self);
    }
    return NULL;
}

static void *receiver_main(void *arg)
{
    (void)arg;
    while (!atomic_load(&receiver.stop))
        sleeper_step(&receiver);
    return NULL;
}

/* Small rings and short rounds: many sleeps and overflows. A lost wake would hang the test. */
static void no_wake_is_lost(void)
{
    received = 0;
    sleeper_init(&receiver, senders_max, 16);
    pthread_t thread;
    for (uint32_t i = 0; i < senders_max; i++) {
        senders[i].expected = senders[i].out_of_order = 0;
        rng_seed(&senders[i].rng, unit_seed() + i);
        sleeper_init(&senders[i].self, i, 16);
    }
    pthread_create(&thread, NULL, receiver_main, NULL);
    for (uint32_t i = 0; i < senders_max; i++)
        pthread_create(&senders[i].thread, NULL, sender_main, &senders[i]);
    uint32_t sent = 0;
    for (uint32_t i = 0; i < senders_max; i++) {
        pthread_join(senders[i].thread, NULL);
        CU_ASSERT_EQUAL(senders[i].out_of_order, 0);
        sent += senders[i].expected;
    }
    atomic_store(&receiver.stop, true);
    sleeper_wake(&receiver.agent);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(received, sent);
    printf("%u letters, receiver slept %lu times\n", received, (unsigned long)receiver.sleeps);
    for (uint32_t i = 0; i < senders_max; i++)
        sleeper_fini(&senders[i].self);
    sleeper_fini(&receiver);
}

/* --- how long it takes (printed, not judged) ------------------------------------------------- */

static _Atomic bool echo_sleeps;

static void *echo_main(void *arg)
{
    (void)arg;
    uint32_t spins = 0;
    while (!atomic_load(&receiver.stop)) {
        if (atomic_load_explicit(&echo_sleeps, memory_order_relaxed)) {
            sleeper_step(&receiver);
            continue;
        }
        uint32_t got = agent_receive(&receiver.agent, 64);
        agent_flush(&receiver.agent);
        spins = got ? 0 : spins + 1;
        if (spins == 1024) {
            sched_yield(); /* one core for both */
            spins = 0;
        }
    }
    return NULL;
}

static void measure(const char *what, int times, int pause_us)
{
    static struct hist h;
    hist_init(&h);
    struct sender *s = &senders[0];
    for (int i = 0; i < times; i++) {
        if (pause_us > 0)
            usleep((unsigned)pause_us);
        s->back = 0;
        s->letters[0] = (struct letter){.msg.deliver = letter_arrives, .from = s};
        s->letters[0].serial = s->expected;
        int64_t start = clock_mono_ns(clock_system());
        agent_post(&s->self.agent, &receiver.agent, &s->letters[0].msg);
        agent_flush(&s->self.agent);
        for (uint32_t spins = 1; s->back == 0; spins++) {
            agent_receive(&s->self.agent, 1);
            if (spins % 1024 == 0)
                sched_yield(); /* one core for both */
        }
        hist_record(&h, (uint64_t)(clock_mono_ns(clock_system()) - start));
    }
    printf("%s: round trip p50 %lu ns, p99 %lu ns\n", what, (unsigned long)hist_quantile(&h, 0.5),
           (unsigned long)hist_quantile(&h, 0.99));
}

static void latencies(void)
{
    senders[0].expected = 0;
    sleeper_init(&receiver, 1, 64);
    sleeper_init(&senders[0].self, 0, 64);
    atomic_store(&echo_sleeps, false);
    pthread_t thread;
    pthread_create(&thread, NULL, echo_main, NULL);
    measure("polling receiver", 2000, 0);
    atomic_store(&echo_sleeps, true);
    measure("parked receiver", 200, 100);
    atomic_store(&receiver.stop, true);
    sleeper_wake(&receiver.agent);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(senders[0].expected, 2200);
    sleeper_fini(&senders[0].self);
    sleeper_fini(&receiver);
}

UNIT_MAIN("core/mailbox", UNIT_CASE(bad_arguments), UNIT_CASE(what_does_not_fit_waits_in_order),
          UNIT_CASE(a_parked_agent_is_woken_once), UNIT_CASE(an_agent_writes_to_itself),
          UNIT_CASE(calls), UNIT_CASE(no_wake_is_lost), UNIT_CASE(latencies))
