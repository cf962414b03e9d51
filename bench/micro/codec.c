/* codec: the generated codec of the requests that every client sends again and again, over mbufs as on a shard. */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "bench/micro/micro.h"
#include "dataplane/proto/gen/fetch.h"
#include "dataplane/proto/gen/list_offsets.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/gen/produce.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

#define arena_bytes      (64 * KIB)
#define pool_bufs        1023
#define partitions_max   10 /* of metadata and list_offsets */
#define produce_version  9
#define fetch_version    12
#define metadata_version 12
#define lookup_version   7
#define records_in_batch 150
#define topic_text       "bench-topic"
#define burst_ops        256

struct codec {
    struct rte_mempool *pool, *refs;
    struct chain wire; /* an encoded request */
    struct chain records;
    uint8_t arena[arena_bytes];
    int32_t node;
    union {
        struct produce_request produce_request;
        struct fetch_request fetch_request;
        struct metadata_request metadata_request;
        struct list_offsets_request list_offsets_request;
        struct produce_response produce_response;
        struct fetch_response fetch_response;
        struct metadata_response metadata_response;
        struct list_offsets_response list_offsets_response;
    };
    union {
        struct produce_request_topic produce_request;
        struct fetch_request_topic fetch_request;
        struct metadata_request_topic metadata_request;
        struct list_offsets_request_topic list_offsets_request;
        struct produce_response_topic produce_response;
        struct fetch_response_topic fetch_response;
        struct metadata_response_topic metadata_response;
        struct list_offsets_response_topic list_offsets_response;
    } topic;
    union {
        struct produce_request_partition produce_request;
        struct fetch_request_partition fetch_request;
        struct list_offsets_request_partition list_offsets_request[partitions_max];
        struct produce_response_partition produce_response;
        struct fetch_response_partition fetch_response;
        struct metadata_response_partition metadata_response[partitions_max];
        struct list_offsets_response_partition list_offsets_response[partitions_max];
    } part;
};

static void codec_free(void *ctx)
{
    struct codec *c = ctx;
    chain_free(&c->wire);
    chain_free(&c->records);
    rte_mempool_free(c->pool);
    rte_mempool_free(c->refs);
    free(c);
}

static bool put_records(struct codec *c)
{
    struct bench_batch b;
    struct bench_batch_spec spec = {.records = records_in_batch, .value_bytes = 100};
    struct rng rng;
    rng_seed(&rng, 1);
    if (bench_batch_make(&b, &spec, 0, &rng) < 0)
        return false;
    bool ok = chain_append_bytes(&c->records, c->pool, b.bytes, b.len) == 0;
    bench_batch_free(&b);
    return ok;
}

static struct codec *codec_new(void)
{
    struct codec *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    chain_init(&c->wire);
    chain_init(&c->records);
    c->pool = rte_pktmbuf_pool_create("micro-data", pool_bufs, 64, 0, 2048 + RTE_PKTMBUF_HEADROOM,
                                      SOCKET_ID_ANY);
    c->refs = rte_pktmbuf_pool_create("micro-refs", pool_bufs, 64, 0, 0, SOCKET_ID_ANY);
    if (!c->pool || !c->refs || !put_records(c)) {
        codec_free(c);
        return NULL;
    }
    return c;
}

/* ---- what is said ---- */

static void fill_produce_request(struct codec *c)
{
    produce_request_init(&c->produce_request);
    produce_request_topic_init(&c->topic.produce_request);
    produce_request_partition_init(&c->part.produce_request);
    c->part.produce_request.records = proto_records_of(&c->records);
    c->topic.produce_request.name = STR(topic_text);
    c->topic.produce_request.partition_data = &c->part.produce_request;
    c->topic.produce_request.n_partition_data = 1;
    c->produce_request.acks = 1;
    c->produce_request.topic_data = &c->topic.produce_request;
    c->produce_request.n_topic_data = 1;
}

static void fill_produce_response(struct codec *c)
{
    produce_response_init(&c->produce_response);
    produce_response_topic_init(&c->topic.produce_response);
    produce_response_partition_init(&c->part.produce_response);
    c->topic.produce_response.name = STR(topic_text);
    c->topic.produce_response.partition_responses = &c->part.produce_response;
    c->topic.produce_response.n_partition_responses = 1;
    c->produce_response.responses = &c->topic.produce_response;
    c->produce_response.n_responses = 1;
}

static void fill_fetch_request(struct codec *c)
{
    fetch_request_init(&c->fetch_request);
    fetch_request_topic_init(&c->topic.fetch_request);
    fetch_request_partition_init(&c->part.fetch_request);
    c->topic.fetch_request.topic = STR(topic_text);
    c->topic.fetch_request.partitions = &c->part.fetch_request;
    c->topic.fetch_request.n_partitions = 1;
    c->fetch_request.topics = &c->topic.fetch_request;
    c->fetch_request.n_topics = 1;
}

static void fill_fetch_response(struct codec *c)
{
    fetch_response_init(&c->fetch_response);
    fetch_response_topic_init(&c->topic.fetch_response);
    fetch_response_partition_init(&c->part.fetch_response);
    c->part.fetch_response.records = proto_records_of(&c->records);
    c->topic.fetch_response.topic = STR(topic_text);
    c->topic.fetch_response.partitions = &c->part.fetch_response;
    c->topic.fetch_response.n_partitions = 1;
    c->fetch_response.responses = &c->topic.fetch_response;
    c->fetch_response.n_responses = 1;
}

static void fill_metadata_request(struct codec *c)
{
    metadata_request_init(&c->metadata_request);
    metadata_request_topic_init(&c->topic.metadata_request);
    c->topic.metadata_request.name = STR(topic_text);
    c->metadata_request.topics = &c->topic.metadata_request;
    c->metadata_request.n_topics = 1;
}

static void fill_metadata_response(struct codec *c)
{
    metadata_response_init(&c->metadata_response);
    metadata_response_topic_init(&c->topic.metadata_response);
    for (int i = 0; i < partitions_max; i++) {
        struct metadata_response_partition *p = &c->part.metadata_response[i];
        metadata_response_partition_init(p);
        p->partition_index = i;
        p->replica_nodes = p->isr_nodes = &c->node;
        p->n_replica_nodes = p->n_isr_nodes = 1;
    }
    c->topic.metadata_response.name = STR(topic_text);
    c->topic.metadata_response.partitions = c->part.metadata_response;
    c->topic.metadata_response.n_partitions = partitions_max;
    c->metadata_response.topics = &c->topic.metadata_response;
    c->metadata_response.n_topics = 1;
}

static void fill_list_offsets_request(struct codec *c)
{
    list_offsets_request_init(&c->list_offsets_request);
    list_offsets_request_topic_init(&c->topic.list_offsets_request);
    for (int i = 0; i < partitions_max; i++) {
        list_offsets_request_partition_init(&c->part.list_offsets_request[i]);
        c->part.list_offsets_request[i].partition_index = i;
    }
    c->topic.list_offsets_request.name = STR(topic_text);
    c->topic.list_offsets_request.partitions = c->part.list_offsets_request;
    c->topic.list_offsets_request.n_partitions = partitions_max;
    c->list_offsets_request.topics = &c->topic.list_offsets_request;
    c->list_offsets_request.n_topics = 1;
}

static void fill_list_offsets_response(struct codec *c)
{
    list_offsets_response_init(&c->list_offsets_response);
    list_offsets_response_topic_init(&c->topic.list_offsets_response);
    for (int i = 0; i < partitions_max; i++)
        list_offsets_response_partition_init(&c->part.list_offsets_response[i]);
    c->topic.list_offsets_response.name = STR(topic_text);
    c->topic.list_offsets_response.partitions = c->part.list_offsets_response;
    c->topic.list_offsets_response.n_partitions = partitions_max;
    c->list_offsets_response.topics = &c->topic.list_offsets_response;
    c->list_offsets_response.n_topics = 1;
}

/* ---- cases ---- */

/* Decoding a request from the mbufs it arrived in; encoding a response into mbufs, which are freed again. */
#define API(api, version)                                                                          \
    static void *setup_##api##_request(void)                                                       \
    {                                                                                              \
        struct codec *c = codec_new();                                                             \
        struct writer w;                                                                           \
        if (!c)                                                                                    \
            return NULL;                                                                           \
        fill_##api##_request(c);                                                                   \
        writer_init(&w, c->pool);                                                                  \
        writer_set_refs(&w, c->refs);                                                              \
        api##_request_encode(&c->api##_request, &w, version);                                      \
        if (writer_finish(&w, &c->wire) < 0) {                                                     \
            codec_free(c);                                                                         \
            return NULL;                                                                           \
        }                                                                                          \
        return c;                                                                                  \
    }                                                                                              \
    static void run_##api##_decode(void *ctx, uint32_t n)                                          \
    {                                                                                              \
        struct codec *c = ctx;                                                                     \
        uint64_t bad = 0;                                                                          \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            struct api##_request got;                                                              \
            struct reader r;                                                                       \
            struct arena arena;                                                                    \
            arena_init_fixed(&arena, c->arena, sizeof(c->arena));                                  \
            reader_init_chain(&r, &c->wire);                                                       \
            bad += api##_request_decode(&got, &r, version, &arena) != 0;                           \
        }                                                                                          \
        if (bad)                                                                                   \
            abort();                                                                               \
    }                                                                                              \
    static void *setup_##api##_response(void)                                                      \
    {                                                                                              \
        struct codec *c = codec_new();                                                             \
        if (c)                                                                                     \
            fill_##api##_response(c);                                                              \
        return c;                                                                                  \
    }                                                                                              \
    static void run_##api##_encode(void *ctx, uint32_t n)                                          \
    {                                                                                              \
        struct codec *c = ctx;                                                                     \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            struct writer w;                                                                       \
            struct chain out;                                                                      \
            chain_init(&out);                                                                      \
            writer_init(&w, c->pool);                                                              \
            writer_set_refs(&w, c->refs);                                                          \
            api##_response_encode(&c->api##_response, &w, version);                                \
            if (writer_finish(&w, &out) < 0)                                                       \
                abort();                                                                           \
            chain_free(&out);                                                                      \
        }                                                                                          \
    }
API(produce, produce_version)
API(fetch, fetch_version)
API(metadata, metadata_version)
API(list_offsets, lookup_version)

#define CASES(api)                                                                                 \
    {.shim = {#api "_decode", burst_ops, 0, setup_##api##_request, run_##api##_decode, NULL,       \
              codec_free, NULL}},                                                                  \
    {                                                                                              \
        .shim = {                                                                                  \
            #api "_encode",                                                                        \
            burst_ops,                                                                             \
            0,                                                                                     \
            setup_##api##_response,                                                                \
            run_##api##_encode,                                                                    \
            NULL,                                                                                  \
            codec_free,                                                                            \
            NULL                                                                                   \
        }                                                                                          \
    }

static const struct micro_case cases[] = {CASES(produce), CASES(fetch), CASES(metadata),
                                          CASES(list_offsets)};
const struct micro_group micro_codec = {cases, sizeof(cases) / sizeof(*cases)};
