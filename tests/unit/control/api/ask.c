#include "tests/unit/control/api/ask.h"

#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "control/broker_impl.h"
#include "control/groups.h"
#include "dataplane/proto/header.h"

#define body_bufs  4095
#define reply_bufs 1023
#define waits_max  100 /* steps of virtual time that an answer may take */

static struct rte_mempool *pool_make(const char *what, uint32_t count)
{
    static uint32_t made; /* names are unique in a process */
    char name[32];
    snprintf(name, sizeof(name), "%s%u", what, made++);
    struct rte_mempool *p = rte_pktmbuf_pool_create(
        name, count, 0, 0, RTE_PKTMBUF_HEADROOM + tx_buffer_bytes, SOCKET_ID_ANY);
    CHECK(p != NULL);
    return p;
}

/* Just enough of a broker for the handlers: settings, log dirs, listeners without ports. */
static void broker_up(struct ask *a)
{
    struct broker_seams seams = {.clock = &a->rig.clock.clock, .fs = &a->rig.sim.fs};
    char why[128];
    CHECK(broker_new(&a->broker, a->rig.config, &seams, why, sizeof(why)) == 0);
    a->broker->logdirs = a->rig.logdirs;
    a->rig.control.broker = a->broker;
}

void ask_up(struct ask *a)
{
    memset(a, 0, sizeof(*a));
    rng_seed(&a->rng, unit_seed());
    rig_make(&a->rig, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&a->rig), 0);
    CU_ASSERT_EQUAL_FATAL(groups_new(&a->rig.control.groups, &a->rig.control), 0);
    groups_start(a->rig.control.groups);
    a->body_pool = pool_make("ask-body", body_bufs);
    a->rig.control.reply_pool = pool_make("ask-reply", reply_bufs);
    a->rig.control.reply_ref_pool = pool_make("ask-ref", reply_bufs);
    a->body_free = rte_mempool_avail_count(a->body_pool);
    a->reply_free = rte_mempool_avail_count(a->rig.control.reply_pool);
    arena_init(&a->arena, 64 * MIB);
    broker_up(a);
}

void ask_down(struct ask *a)
{
    chain_free(&a->reply);
    arena_free(&a->arena);
    CU_ASSERT_EQUAL(a->rig.control.requests_in_work, 0);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(a->body_pool), a->body_free);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(a->rig.control.reply_pool), a->reply_free);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(a->rig.control.reply_ref_pool), reply_bufs);
    rte_mempool_free(a->body_pool);
    CU_ASSERT_TRUE(rig_stop(&a->rig));
    a->broker->logdirs = NULL; /* the rig's */
    broker_free(a->broker);
    rig_free(&a->rig);
}

struct ask_bytes ask_encode(struct ask *a, ask_encoder *encode, const void *message, int version)
{
    struct writer w;
    struct chain out = {0};
    writer_init(&w, a->body_pool);
    CHECK(encode(message, &w, version) == 0);
    CHECK(writer_finish(&w, &out) == 0);
    struct ask_bytes b = {malloc(out.bytes + 1), out.bytes};
    CHECK(b.p != NULL);
    chain_copy_out(&out, 0, b.p, b.n);
    chain_free(&out);
    return b;
}

struct asked {
    struct forward forward; /* its call is its first member */
    bool done;
};

static void asked_done(struct call *call)
{
    ((struct asked *)call)->done = true;
}

/* Answers that wait for time (a time-out of the request) get it in steps. */
static void wait_done(struct ask *a, const struct asked *x)
{
    for (int i = 0; i < waits_max && !x->done; i++) {
        rig_settle(&a->rig);
        if (!x->done)
            rig_sleep(&a->rig, 1000);
    }
    CU_ASSERT_FATAL(x->done);
}

bool ask_raw(struct ask *a, int16_t key, int version, const void *bytes, size_t n,
             struct reader *rd)
{
    static const struct asked blank;
    struct asked *x = malloc(sizeof(*x));
    struct agent *shard = &a->rig.shards[0].agent;
    int32_t correlation = (int32_t)rng_u64(&a->rng), got = 0;
    CHECK(x != NULL);
    *x = blank;
    chain_free(&a->reply);
    arena_reset(&a->arena);
    x->forward = (struct forward){.api_key = key,
                                  .api_version = (int16_t)version,
                                  .correlation_id = correlation,
                                  .client_id_len = -1,
                                  .peer = "127.0.0.1:1"};
    x->forward.call.run = control_forward_run;
    x->forward.call.done = asked_done;
    if (n > 0)
        CHECK(chain_append_bytes(&x->forward.body, a->body_pool, bytes, n) == 0);
    agent_enter(shard);
    agent_call(shard, &a->rig.control.agent, &x->forward.call);
    agent_flush(shard);
    wait_done(a, x);
    chain_free(&x->forward.body);
    a->reply = x->forward.reply;
    bool closed = x->forward.close;
    free(x);
    CU_ASSERT_EQUAL(closed, a->reply.bytes == 0);
    if (closed)
        return false;
    reader_init_chain(rd, &a->reply);
    CU_ASSERT_EQUAL(reader_i32(rd), (int32_t)a->reply.bytes - 4);
    CU_ASSERT_EQUAL(proto_response_header_decode(&got, rd, key, (int16_t)version), 0);
    CU_ASSERT_EQUAL(got, correlation);
    return true;
}
