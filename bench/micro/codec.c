/*
 * codec: the generated codec of the requests that every client sends again and again, over mbufs as on a shard. The
 * broker itself decodes Produce, Fetch and ListOffsets by hand: what that takes is in request.c.
 */
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/arena.h"
#include "base/limits.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "bench/micro/micro.h"
#include "dataplane/proto/gen/fetch.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/list_offsets.h"
#include "dataplane/proto/gen/metadata.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/offset_fetch.h"
#include "dataplane/proto/gen/produce.h"
#include "dataplane/proto/reader.h"
#include "dataplane/proto/writer.h"

#define arena_bytes       (64 * KIB)
#define pool_bufs         1023
#define partitions_max    10 /* of all but produce and fetch */
#define produce_version   9
#define fetch_version     12
#define metadata_version  12
#define lookup_version    7
#define beat_version      4
#define commit_version    9
#define committed_version 9
#define records_in_batch  150
#define topic_text        "bench-topic"
#define group_text        "bench-group"
#define member_text       "consumer-1-5f6bd9a2-7d0c-4e0b-9f8e-3c1f2a4b5d6e" /* as long as they are */
#define burst_ops         256

struct codec {
    struct rte_mempool *pool, *refs;
    struct chain wire; /* an encoded request */
    struct chain records;
    uint8_t arena[arena_bytes];
    uint64_t bytes; /* of the message, without records: these are passed on by reference */
    int32_t node, index[partitions_max];
    union {
        struct produce_request produce_request;
        struct fetch_request fetch_request;
        struct metadata_request metadata_request;
        struct list_offsets_request list_offsets_request;
        struct produce_response produce_response;
        struct fetch_response fetch_response;
        struct metadata_response metadata_response;
        struct list_offsets_response list_offsets_response;
        struct heartbeat_request heartbeat_request;
        struct heartbeat_response heartbeat_response;
        struct offset_commit_request offset_commit_request;
        struct offset_commit_response offset_commit_response;
        struct offset_fetch_request offset_fetch_request;
        struct offset_fetch_response offset_fetch_response;
    };
    union {
        struct offset_fetch_request_group offset_fetch_request;
        struct offset_fetch_response_group offset_fetch_response;
    } group;
    union {
        struct produce_request_topic produce_request;
        struct fetch_request_topic fetch_request;
        struct metadata_request_topic metadata_request;
        struct list_offsets_request_topic list_offsets_request;
        struct produce_response_topic produce_response;
        struct fetch_response_topic fetch_response;
        struct metadata_response_topic metadata_response;
        struct list_offsets_response_topic list_offsets_response;
        struct offset_commit_request_topic offset_commit_request;
        struct offset_commit_response_topic offset_commit_response;
        struct offset_fetch_request_group_topic offset_fetch_request;
        struct offset_fetch_response_group_topic offset_fetch_response;
    } topic;
    union {
        struct produce_request_partition produce_request;
        struct fetch_request_partition fetch_request;
        struct list_offsets_request_partition list_offsets_request[partitions_max];
        struct produce_response_partition produce_response;
        struct fetch_response_partition fetch_response;
        struct metadata_response_partition metadata_response[partitions_max];
        struct list_offsets_response_partition list_offsets_response[partitions_max];
        struct offset_commit_request_partition offset_commit_request[partitions_max];
        struct offset_commit_response_partition offset_commit_response[partitions_max];
        struct offset_fetch_response_group_partition offset_fetch_response[partitions_max];
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

/* A member of a classic group that says it is there. */
static void fill_heartbeat_request(struct codec *c)
{
    heartbeat_request_init(&c->heartbeat_request);
    c->heartbeat_request.group_id = STR(group_text);
    c->heartbeat_request.member_id = STR(member_text);
    c->heartbeat_request.generation_id = 7;
}

static void fill_heartbeat_response(struct codec *c)
{
    heartbeat_response_init(&c->heartbeat_response);
}

static void fill_offset_commit_request(struct codec *c)
{
    offset_commit_request_init(&c->offset_commit_request);
    offset_commit_request_topic_init(&c->topic.offset_commit_request);
    for (int i = 0; i < partitions_max; i++) {
        struct offset_commit_request_partition *p = &c->part.offset_commit_request[i];
        offset_commit_request_partition_init(p);
        p->partition_index = i;
        p->committed_offset = 123456789;
        p->committed_metadata = STR("");
    }
    c->topic.offset_commit_request.name = STR(topic_text);
    c->topic.offset_commit_request.partitions = c->part.offset_commit_request;
    c->topic.offset_commit_request.n_partitions = partitions_max;
    c->offset_commit_request.group_id = STR(group_text);
    c->offset_commit_request.member_id = STR(member_text);
    c->offset_commit_request.generation_id_or_member_epoch = 7;
    c->offset_commit_request.topics = &c->topic.offset_commit_request;
    c->offset_commit_request.n_topics = 1;
}

static void fill_offset_commit_response(struct codec *c)
{
    offset_commit_response_init(&c->offset_commit_response);
    offset_commit_response_topic_init(&c->topic.offset_commit_response);
    for (int i = 0; i < partitions_max; i++) {
        offset_commit_response_partition_init(&c->part.offset_commit_response[i]);
        c->part.offset_commit_response[i].partition_index = i;
    }
    c->topic.offset_commit_response.name = STR(topic_text);
    c->topic.offset_commit_response.partitions = c->part.offset_commit_response;
    c->topic.offset_commit_response.n_partitions = partitions_max;
    c->offset_commit_response.topics = &c->topic.offset_commit_response;
    c->offset_commit_response.n_topics = 1;
}

static void fill_offset_fetch_request(struct codec *c)
{
    offset_fetch_request_init(&c->offset_fetch_request);
    offset_fetch_request_group_init(&c->group.offset_fetch_request);
    offset_fetch_request_group_topic_init(&c->topic.offset_fetch_request);
    for (int i = 0; i < partitions_max; i++)
        c->index[i] = i;
    c->topic.offset_fetch_request.name = STR(topic_text);
    c->topic.offset_fetch_request.partition_indexes = c->index;
    c->topic.offset_fetch_request.n_partition_indexes = partitions_max;
    c->group.offset_fetch_request.group_id = STR(group_text);
    c->group.offset_fetch_request.topics = &c->topic.offset_fetch_request;
    c->group.offset_fetch_request.n_topics = 1;
    c->offset_fetch_request.groups = &c->group.offset_fetch_request;
    c->offset_fetch_request.n_groups = 1;
}

static void fill_offset_fetch_response(struct codec *c)
{
    offset_fetch_response_init(&c->offset_fetch_response);
    offset_fetch_response_group_init(&c->group.offset_fetch_response);
    offset_fetch_response_group_topic_init(&c->topic.offset_fetch_response);
    for (int i = 0; i < partitions_max; i++) {
        struct offset_fetch_response_group_partition *p = &c->part.offset_fetch_response[i];
        offset_fetch_response_group_partition_init(p);
        p->partition_index = i;
        p->committed_offset = 123456789;
        p->metadata = STR("");
    }
    c->topic.offset_fetch_response.name = STR(topic_text);
    c->topic.offset_fetch_response.partitions = c->part.offset_fetch_response;
    c->topic.offset_fetch_response.n_partitions = partitions_max;
    c->group.offset_fetch_response.group_id = STR(group_text);
    c->group.offset_fetch_response.topics = &c->topic.offset_fetch_response;
    c->group.offset_fetch_response.n_topics = 1;
    c->offset_fetch_response.groups = &c->group.offset_fetch_response;
    c->offset_fetch_response.n_groups = 1;
}

/* ---- cases ---- */

/* The bytes that the codec itself reads or writes. A message longer than the records has them in it. */
static void measure(struct codec *c, const struct chain *wire)
{
    c->bytes = wire->bytes - (wire->bytes > c->records.bytes ? c->records.bytes : 0);
}

static void describe(const void *ctx, struct shim_note *note)
{
    note->bytes = ((const struct codec *)ctx)->bytes;
}

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
        measure(c, &c->wire);                                                                      \
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
    static void encode_##api(struct codec *c, struct chain *out)                                   \
    {                                                                                              \
        struct writer w;                                                                           \
        chain_init(out);                                                                           \
        writer_init(&w, c->pool);                                                                  \
        writer_set_refs(&w, c->refs);                                                              \
        api##_response_encode(&c->api##_response, &w, version);                                    \
        if (writer_finish(&w, out) < 0)                                                            \
            abort();                                                                               \
    }                                                                                              \
    static void *setup_##api##_response(void)                                                      \
    {                                                                                              \
        struct codec *c = codec_new();                                                             \
        struct chain once;                                                                         \
        if (!c)                                                                                    \
            return NULL;                                                                           \
        fill_##api##_response(c);                                                                  \
        encode_##api(c, &once);                                                                    \
        measure(c, &once);                                                                         \
        chain_free(&once);                                                                         \
        return c;                                                                                  \
    }                                                                                              \
    static void run_##api##_encode(void *ctx, uint32_t n)                                          \
    {                                                                                              \
        struct codec *c = ctx;                                                                     \
        for (uint32_t i = 0; i < n; i++) {                                                         \
            struct chain out;                                                                      \
            encode_##api(c, &out);                                                                 \
            chain_free(&out);                                                                      \
        }                                                                                          \
    }
API(produce, produce_version)
API(fetch, fetch_version)
API(metadata, metadata_version)
API(list_offsets, lookup_version)
API(heartbeat, beat_version)
API(offset_commit, commit_version)
API(offset_fetch, committed_version)

#define CASE(title, make, fn)                                                                      \
    {                                                                                              \
        .shim = {                                                                                  \
            .name = title,                                                                         \
            .burst = burst_ops,                                                                    \
            .setup = make,                                                                         \
            .run = fn,                                                                             \
            .teardown = codec_free,                                                                \
            .describe = describe                                                                   \
        }                                                                                          \
    }
#define CASES(api)                                                                                 \
    CASE(#api "_decode", setup_##api##_request, run_##api##_decode),                               \
        CASE(#api "_encode", setup_##api##_response, run_##api##_encode)

static const struct micro_case cases[] = {
    CASES(produce),   CASES(fetch),         CASES(metadata),     CASES(list_offsets),
    CASES(heartbeat), CASES(offset_commit), CASES(offset_fetch),
};
const struct micro_group micro_codec = {cases, sizeof(cases) / sizeof(*cases)};
