/*
 * request: the request path of a shard, whole: from a frame in the receive chain to the bytes of its reply, by its
 * public header. Length, header, decoding in place, topic, append (or read), order, reply. The log is as the broker
 * has it with sluice.durability=os: the store into named log memory is the answer. Left out are the socket and the
 * loop's other stages; one request a step, so that nothing of a step is shared.
 */
#include <stddef.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/limits.h"
#include "bench/micro/micro.h"
#include "bench/micro/rig.h"
#include "dataplane/kafka/kafka.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/fetch.h"
#include "dataplane/proto/gen/produce.h"
#include "dataplane/proto/header.h"
#include "dataplane/transport/transport.h"

#define produce_version 9
#define fetch_version   12
#define fetch_bytes     (1u << 20)
#define topic_text      "bench-topic"
#define client_text     "bench"
#define turns_max       100

/* A connection that takes every reply at once. */
struct path {
    struct rig *rig;
    struct view view;
    bool has_view, published, open;
    struct view_partition partition;
    struct view_topic topic;
    struct view_update update;
    struct kafka *kafka;
    struct tconn conn;
    struct chain frame; /* a request, as it is received */
    uint64_t unreported;
    uint64_t replies;
};

/* ---- the connection ---- */

static struct path *path_of(struct tconn *c)
{
    return (struct path *)((char *)c - offsetof(struct path, conn));
}

static void take_reply(struct tconn *c, struct chain *out)
{
    path_of(c)->unreported += out->bytes;
    path_of(c)->replies++;
    chain_free(out);
}

static void take_want(struct tconn *c, uint64_t bytes)
{
    c->want = bytes;
}

static void refuse_close(struct tconn *c, bool now)
{
    abort(); /* the request was not understood */
}

static const struct tconn_ops ops = {take_reply, take_want, refuse_close};

/* ---- one request ---- */

static void request(struct path *p)
{
    struct shard *s = &p->rig->shard;
    struct chain_view frame = {chain_pos_at(&p->frame, 0), (uint32_t)p->frame.bytes};
    const struct transport_events *events = kafka_events(p->kafka);
    s->now_ns = clock_mono_ns(s->clock);
    if (p->conn.want < frame.len || chain_share(frame, s->mem.ref_pool, &p->conn.rx) < 0)
        abort();
    p->conn.want -= frame.len;
    events->readable(&p->conn);
    kafka_run(p->kafka, s->now_ns, 64);
    uint64_t bytes = p->unreported;
    p->unreported = 0;
    events->sent(&p->conn, bytes);
}

/* n requests, all of them answered without an error, or there is no figure. */
static void requests(struct path *p, uint32_t n, int16_t key)
{
    const struct kafka_counters *c = kafka_counters(p->kafka);
    uint64_t replies = p->replies;
    agent_enter(&p->rig->shard.agent);
    for (uint32_t i = 0; i < n; i++)
        request(p);
    if (p->replies != replies + n || c->errors[key] > 0)
        abort();
}

static void run_produce(void *ctx, uint32_t n)
{
    struct path *p = ctx;
    uint64_t before = kafka_counters(p->kafka)->record_bytes_in;
    requests(p, n, API_Produce);
    uint64_t bytes = kafka_counters(p->kafka)->record_bytes_in - before;
    if (bytes != n * p->rig->batch.bytes)
        abort();
    p->rig->appended += bytes;
}

static void settle_produce(void *ctx)
{
    struct path *p = ctx;
    rig_settle(p->rig);
    p->partition.plog = p->rig->plog;
}

static void run_fetch(void *ctx, uint32_t n)
{
    struct path *p = ctx;
    uint64_t before = kafka_counters(p->kafka)->record_bytes_out;
    requests(p, n, API_Fetch);
    if (kafka_counters(p->kafka)->record_bytes_out - before != (uint64_t)n * fetch_bytes)
        abort();
}

/* ---- up and down ---- */

static void refuse_call(struct call *call)
{
    abort(); /* nothing here is for the control thread */
}

static void on_published(struct call *call)
{
    struct path *p = (struct path *)((char *)call - offsetof(struct path, update.call));
    p->published = p->update.result == 0;
}

static bool publish(struct path *p)
{
    struct agent *control = &p->rig->worker.agent;
    p->partition = (struct view_partition){
        .plog = p->rig->plog, .owner = &p->rig->shard.agent, .leader_id = 1};
    p->topic = (struct view_topic){
        .id = {{1}}, .name = STR(topic_text), .partition_count = 1, .partitions = &p->partition};
    view_update_init(&p->update, &p->view, &p->topic, NULL, on_published);
    agent_enter(control);
    agent_call(control, &p->rig->shard.agent, &p->update.call);
    agent_flush(control);
    for (int i = 0; i < turns_max && !p->published; i++)
        rig_turn(p->rig);
    return p->published;
}

static bool connect_to(struct path *p)
{
    struct rig *r = p->rig;
    struct kafka_options o = {.shard = &r->shard,
                              .view = &p->view,
                              .cache = r->cache,
                              .plogs = &r->env,
                              .control = &r->worker.agent,
                              .forward_run = refuse_call,
                              .forward_cancel = refuse_call,
                              .node_id = 1,
                              .conn_max = 4,
                              .request_slots = 256,
                              .partition_ops = 256,
                              .request_bytes_max = r->shard.mem.request_max,
                              .reply_bytes_max = 4 * MIB,
                              .partial_request_ns = CLOCK_NS_PER_S,
                              .fetch_session_slots = 1,
                              .fetch_bytes_max = 55 * MIB};
    if (kafka_new(&p->kafka, &o) < 0)
        return false;
    p->conn = (struct tconn){.ops = &ops, .events = kafka_events(p->kafka)};
    p->open = p->conn.events->accepted(p->conn.events->ctx, &p->conn, 0) == 0;
    return p->open;
}

static void path_free(void *ctx)
{
    struct path *p = ctx;
    if (p->open) {
        p->conn.events->closed(&p->conn, TRANSPORT_CLOSE_PEER);
        kafka_run(p->kafka, p->rig->shard.now_ns, 64);
    }
    kafka_free(p->kafka);
    if (p->has_view)
        view_fini(&p->view);
    chain_free(&p->frame);
    if (p->rig)
        rig_free(p->rig);
    free(p);
}

static struct path *path_new(uint32_t records)
{
    struct path *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    chain_init(&p->frame);
    p->rig = rig_new(records, true);
    p->has_view = p->rig && view_init(&p->view, 0, 1) == 0;
    if (!p->has_view || !publish(p) || !connect_to(p)) {
        path_free(p);
        return NULL;
    }
    return p;
}

/* ---- what is asked ---- */

/* In receive buffers, as a transport delivers it; the records are no references any more. */
static bool receive(struct path *p, struct writer *w)
{
    struct chain out;
    chain_init(&out);
    if (writer_finish(w, &out) < 0)
        return false;
    uint8_t *flat = malloc(out.bytes);
    size_t n = out.bytes;
    if (flat)
        chain_copy_out(&out, 0, flat, n);
    chain_free(&out);
    bool ok = flat && chain_append_bytes(&p->frame, p->rig->shard.mem.rx_pool, flat, n) == 0;
    free(flat);
    return ok;
}

static bool ask_produce(struct path *p)
{
    struct produce_request q;
    struct produce_request_topic t;
    struct produce_request_partition part;
    struct proto_request_header h = {API_Produce, produce_version, 1, STR(client_text)};
    struct writer w;
    produce_request_init(&q);
    produce_request_topic_init(&t);
    produce_request_partition_init(&part);
    part.records = proto_records_of(&p->rig->batch);
    t.name = STR(topic_text);
    t.partition_data = &part;
    t.n_partition_data = 1;
    q.acks = 1;
    q.topic_data = &t;
    q.n_topic_data = 1;
    writer_init(&w, p->rig->shard.mem.tx_pool);
    writer_set_refs(&w, p->rig->shard.mem.ref_pool);
    struct writer_frame frame = writer_frame_begin(&w);
    proto_request_header_encode(&h, &w);
    produce_request_encode(&q, &w, produce_version);
    writer_frame_end(&w, frame);
    return receive(p, &w);
}

static bool ask_fetch(struct path *p)
{
    struct fetch_request q;
    struct fetch_request_topic t;
    struct fetch_request_partition part;
    struct proto_request_header h = {API_Fetch, fetch_version, 1, STR(client_text)};
    struct writer w;
    fetch_request_init(&q);
    fetch_request_topic_init(&t);
    fetch_request_partition_init(&part);
    part.partition_max_bytes = fetch_bytes;
    t.topic = STR(topic_text);
    t.partitions = &part;
    t.n_partitions = 1;
    q.replica_id = -1;
    q.session_epoch = -1;
    q.min_bytes = 1;
    q.max_bytes = fetch_bytes;
    q.topics = &t;
    q.n_topics = 1;
    writer_init(&w, p->rig->shard.mem.tx_pool);
    struct writer_frame frame = writer_frame_begin(&w);
    proto_request_header_encode(&h, &w);
    fetch_request_encode(&q, &w, fetch_version);
    writer_frame_end(&w, frame);
    return receive(p, &w);
}

static struct path *produce_new(uint32_t records)
{
    struct path *p = path_new(records);
    if (p && !ask_produce(p)) {
        path_free(p);
        return NULL;
    }
    return p;
}

static void *setup_one(void)
{
    return produce_new(1);
}

static void *setup_many(void)
{
    return produce_new(150);
}

static void *setup_fetch(void)
{
    struct path *p = path_new(150);
    if (p && !ask_fetch(p)) {
        path_free(p);
        return NULL;
    }
    for (uint32_t i = 0; p && i < 2; i++) {
        rig_append(p->rig, rig_appends_max);
        rig_settle(p->rig);
    }
    return p;
}

static void describe_produce(const void *ctx, struct shim_note *note)
{
    note->bytes = ((const struct path *)ctx)->frame.bytes;
}

#define PRODUCE(title, make)                                                                       \
    {                                                                                              \
        .shim = {                                                                                  \
            .name = title,                                                                         \
            .burst = rig_appends_max,                                                              \
            .setup = make,                                                                         \
            .run = run_produce,                                                                    \
            .settle = settle_produce,                                                              \
            .teardown = path_free,                                                                 \
            .describe = describe_produce                                                           \
        }                                                                                          \
    }

static const struct micro_case cases[] = {
    PRODUCE("produce_request/1", setup_one),
    PRODUCE("produce_request/150", setup_many),
    {.shim = {.name = "fetch_request/1M",
              .burst = 16,
              .bytes = fetch_bytes,
              .setup = setup_fetch,
              .run = run_fetch,
              .teardown = path_free}},
};
const struct micro_group micro_request = {cases, sizeof(cases) / sizeof(*cases)};
