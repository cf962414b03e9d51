/*
 * No heap on the request path: malloc and its kin are wrapped by the linker for everything that is
 * linked into this program, and must not be called while warm requests are served.
 */
#include <string.h>

#include "base/err.h"
#include "tests/unit/dataplane/kafka/rig.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static volatile uint64_t calls; /* the compiler believes that malloc does not touch it */

void *__wrap_malloc(size_t n)
{
    calls++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    calls++;
    return __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    calls++;
    return __real_realloc(p, n);
}

static struct rig rig;
static struct rig_client client;
static struct rig_topic *topic;
static uint8_t batch[4096];

/* Heap calls of the request path for one request and its answer. */
static uint64_t heap_calls(struct wire w)
{
    client_send(&client, w.p, w.n);
    wire_free(&w);
    calls = 0;
    rig_pass(&rig, 3);
    uint64_t n = calls;
    CU_ASSERT(client_take(&client) > 0);
    return n;
}

static struct wire wire_produce(int16_t version, int32_t partition)
{
    struct one_produce o;
    one_produce_up(&o, &rig, topic, partition, 1, batch, rig_batch(&rig, batch, 3, 3000, 5));
    struct wire w = wire_of(&rig, produce, API_Produce, version, 1, &o.request);
    one_produce_down(&o);
    return w;
}

static struct wire wire_fetch(int16_t version, int32_t partition, int64_t offset, int32_t wait,
                              int32_t session, int32_t epoch)
{
    struct one_fetch o;
    one_fetch_up(&o, topic, partition, offset, wait, 1);
    o.request.session_id = session;
    o.request.session_epoch = epoch;
    return wire_of(&rig, fetch, API_Fetch, version, 1, &o.request);
}

static void requests(void)
{
    struct rig_options o = {.shards = 2};
    rig_up(&rig, &o);
    topic = rig_topic_add(&rig, "events", 2, 0);
    client_up(&client, &rig, 0);
    heap_calls(wire_produce(9, 0));
    uint64_t n = 0;
    for (int16_t v = 3; v <= 13; v++)
        for (int32_t p = 0; p < 2; p++)
            n += heap_calls(wire_produce(v, p));
    CU_ASSERT_EQUAL(n, 0);
    for (int16_t v = 4; v <= 18; v++)
        for (int32_t p = 0; p < 2; p++) {
            n += heap_calls(wire_fetch(v, p, 0, 0, 0, -1));
            n += heap_calls(wire_fetch(v, p, rig_log(topic, p)->end, 2, 0, -1)); /* waits */
        }
    CU_ASSERT_EQUAL(n, 0);
    for (int i = 0; i < 200; i++) /* sessions come, and go with the next full request */
        n += heap_calls(wire_fetch(12, 0, 0, 0, 0, 0));
    CU_ASSERT_EQUAL(n, 0);
    client_down(&client);
    rig_down(&rig);
}

static void the_count_counts(void)
{
    calls = 0;
    void *volatile p = malloc(1);
    free(p);
    CU_ASSERT_EQUAL(calls, 1);
    calls = 0;
    struct rng rng;
    struct map map;
    rng_seed(&rng, 1);
    CU_ASSERT_EQUAL(map_init(&map, 8, false, rng_u64(&rng)), 0); /* in a library of ours */
    CU_ASSERT(calls > 0);
    map_free(&map);
}

RIG_MAIN("dataplane/kafka/no_heap", UNIT_CASE(the_count_counts), UNIT_CASE(requests))
