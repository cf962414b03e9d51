/* exercise: what holds is ok; a cable that loses, changes or swaps frames is found out. */
#include "dataplane/nic/exercise.h"

#include <pthread.h>
#include <rte_eth_ring.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "tests/unit/core/with_eal.h"

#define frame_wait_ns (100 * CLOCK_NS_PER_MS)
#define good_wait_ns                                                                               \
    (120 * CLOCK_NS_PER_S) /* nothing is lost there: only a busy machine takes long */
#define heap_mb 256        /* ports are closed one after the other */

enum fault { FAULT_NONE, FAULT_CUT, FAULT_LOSES, FAULT_FLIPS, FAULT_SWAPS, FAULT_DOUBLES };

/* A thread between the rings of two ports, each way. */
struct relay {
    struct rte_ring *out[2], *in[2]; /* of each port */
    enum fault fault;
    _Atomic bool end;
    uint32_t passed;
};

static struct rte_ring *ring_new(uint32_t number, const char *what, int side)
{
    char name[32];
    snprintf(name, sizeof(name), "x%u%s%d", number, what, side);
    struct rte_ring *r = rte_ring_create(name, 1024, SOCKET_ID_ANY, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(r);
    return r;
}

static void give(struct relay *r, int to, struct rte_mbuf *m)
{
    if (rte_ring_enqueue(r->in[to], m) != 0)
        rte_pktmbuf_free(m);
}

static void pass(struct relay *r, int to, struct rte_mbuf *m)
{
    bool now = ++r->passed % 700 == 0;
    if (now && r->fault == FAULT_LOSES) {
        rte_pktmbuf_free(m);
        return;
    }
    if (now && r->fault == FAULT_FLIPS)
        *rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len - 1) ^= 1;
    if (now && r->fault == FAULT_DOUBLES)
        give(r, to, rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX));
    give(r, to, m);
}

static void *relay_run(void *ctx)
{
    struct relay *r = ctx;
    while (!atomic_load(&r->end)) {
        for (int from = 0; from < 2; from++) {
            void *frames[32];
            uint32_t n = rte_ring_dequeue_burst(r->out[from], frames, 32, NULL);
            for (uint32_t i = 0; r->fault == FAULT_SWAPS && i + 1 < n; i += 2) {
                void *first = frames[i];
                frames[i] = frames[i + 1];
                frames[i + 1] = first;
            }
            for (uint32_t i = 0; i < n; i++) {
                if (r->fault == FAULT_CUT)
                    rte_pktmbuf_free(frames[i]);
                else
                    pass(r, !from, frames[i]);
            }
        }
        usleep(20);
    }
    return NULL;
}

static struct port *port_of(struct relay *r, uint32_t number, int side, uint32_t shards)
{
    char name[64], device[80], why[256] = "";
    struct port *p = NULL;
    snprintf(name, sizeof(name), "x%u_%d", number, side);
    CU_ASSERT_TRUE_FATAL(
        rte_eth_from_rings(name, &r->in[side], 1, &r->out[side], 1, SOCKET_ID_ANY) >= 0);
    snprintf(device, sizeof(device), "net_ring_%s", name);
    struct port_options o = {
        .device = device, .shards = shards, .offloads = port_offloads_all, .pool_bufs = 4095};
    CU_ASSERT_EQUAL_FATAL(port_open(&p, &o, why, sizeof(why)), 0);
    return p;
}

static void exercise_over(enum fault fault, uint32_t shards, struct exercise *x)
{
    static uint32_t number;
    struct relay r = {.fault = fault};
    pthread_t thread;
    number++;
    for (int side = 0; side < 2; side++) {
        r.out[side] = ring_new(number, "out", side);
        r.in[side] = ring_new(number, "in", side);
    }
    struct port *a = port_of(&r, number, 0, shards), *b = port_of(&r, number, 1, shards);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, relay_run, &r), 0);
    struct exercise_options o = {.clock = clock_system(),
                                 .wait_ns = fault == FAULT_NONE ? good_wait_ns : frame_wait_ns,
                                 .port = a,
                                 .other = b};
    CU_ASSERT_EQUAL(exercise_run(&o, x), 0);
    atomic_store(&r.end, true);
    pthread_join(thread, NULL);
    for (int side = 0; side < 2; side++) {
        void *m;
        while (rte_ring_dequeue(r.out[side], &m) == 0 || rte_ring_dequeue(r.in[side], &m) == 0)
            rte_pktmbuf_free(m);
    }
    port_close(a);
    port_close(b);
}

static enum exercise_state state_of(const struct exercise *x, const char *name)
{
    enum exercise_state state = EXERCISE_SKIPPED;
    for (uint32_t i = 0; i < x->count; i++)
        if (strcmp(x->lines[i].name, name) == 0 && state != EXERCISE_FAILED)
            state = x->lines[i].state;
    return state;
}

static void good_cable(void)
{
    static const char *const names[] = {"link", "loop", "content", "order", "spread", "checksums"};
    struct exercise x;
    with_eal(heap_mb);
    exercise_over(FAULT_NONE, 3, &x);
    CU_ASSERT_EQUAL(x.failed, 0);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        CU_ASSERT_EQUAL(state_of(&x, names[i]), EXERCISE_OK);
    exercise_over(FAULT_NONE, 1, &x);
    CU_ASSERT_EQUAL(x.failed, 0);
    CU_ASSERT_EQUAL(state_of(&x, "spread"), EXERCISE_SKIPPED);
}

static void bad_cables(void)
{
    static const struct {
        enum fault fault;
        const char *failed, *too;
    } cases[] = {{FAULT_CUT, "content", "order"},
                 {FAULT_LOSES, "order", "checksums"},
                 {FAULT_FLIPS, "order", "checksums"},
                 {FAULT_SWAPS, "order", "order"},
                 {FAULT_DOUBLES, "order", "order"}};
    struct exercise x;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        exercise_over(cases[i].fault, 2, &x);
        CU_ASSERT_TRUE(x.failed > 0);
        CU_ASSERT_EQUAL(state_of(&x, cases[i].failed), EXERCISE_FAILED);
        CU_ASSERT_EQUAL(state_of(&x, cases[i].too), EXERCISE_FAILED);
    }
}

static void alone(void)
{
    char why[256] = "";
    struct port *p = NULL;
    struct exercise x;
    struct port_options o = {.device = "net_ring9", .shards = 1, .pool_bufs = 4095};
    CU_ASSERT_EQUAL_FATAL(port_open(&p, &o, why, sizeof(why)), 0);
    struct exercise_options e = {.clock = clock_system(), .wait_ns = good_wait_ns, .port = p};
    CU_ASSERT_EQUAL(exercise_run(&e, &x), 0); /* a ring hears itself */
    CU_ASSERT_EQUAL(x.failed, 0);
    CU_ASSERT_EQUAL(state_of(&x, "content"), EXERCISE_OK);
    port_close(p);
    char device[64]; /* nobody at the other end */
    snprintf(device, sizeof(device), "net_memif9,role=server,socket=sluice-exercise-%d", getpid());
    o.device = device;
    CU_ASSERT_EQUAL_FATAL(port_open(&p, &o, why, sizeof(why)), 0);
    e.port = p;
    e.wait_ns = frame_wait_ns;
    CU_ASSERT_EQUAL(exercise_run(&e, &x), 0);
    CU_ASSERT_EQUAL(x.failed, 1);
    CU_ASSERT_EQUAL(state_of(&x, "link"), EXERCISE_FAILED);
    port_close(p);
}

UNIT_MAIN("nic/exercise", UNIT_CASE(good_cable), UNIT_CASE(bad_cables), UNIT_CASE(alone))
