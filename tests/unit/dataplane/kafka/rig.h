/*
 * rig: request paths of one or two shards in one thread, on the simulated network and under virtual
 * time, with doubles for the logs and for control; and clients that speak the generated codec.
 *
 * RIG_MAIN runs a program's cases once for each transport of the rig: sim alone, and sim under a
 * filter that changes every byte and the length (filter_mark). The cases cannot tell which.
 */
#ifndef TESTS_UNIT_DATAPLANE_KAFKA_RIG_H
#define TESTS_UNIT_DATAPLANE_KAFKA_RIG_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "core/shard.h"
#include "dataplane/kafka/forward.h"
#include "dataplane/kafka/kafka.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/fetch.h"
#include "dataplane/proto/gen/list_offsets.h"
#include "dataplane/proto/gen/produce.h"
#include "dataplane/proto/header.h"
#include "dataplane/transport/filter_mark.h"
#include "dataplane/transport/sim.h"
#include "tests/unit/dataplane/kafka/plog_double.h"
#include "tests/unit/unit.h"

#define rig_shards_max    2
#define rig_listeners_max 2
#define rig_topics_max    16
#define rig_node_id       7
#define rig_forwards_max  64

struct rig_options {
    uint32_t shards;            /* 0: 1 */
    struct kafka_options kafka; /* members that are not 0 replace the rig's */
    uint64_t request_bytes;     /* of mem.requests; 0: 8 MiB */
    uint32_t rx_bufs, tx_bufs, ref_bufs, log_chunks;
    struct sim_options sim;
    struct admission_options admission;
    enum plog_durability durability; /* of real logs */
};

struct rig_shard {
    struct shard shard;
    struct view view;
    struct cache *cache;
    struct sim_transport *transport;
    struct filter *filter; /* NULL: none */
    struct kafka *kafka;
    struct plog *logs;                   /* of the doubles */
    struct rig_disk *disk;               /* of the real ones */
    uint32_t rx_free, tx_free, ref_free; /* mbufs at the start */
};

struct rig_topic {
    struct view_topic view;
    char name[topic_name_bytes_max + 1];
    struct view_partition partitions[64];
    struct view_update updates[rig_shards_max];
    uint32_t updates_done;
};

struct rig {
    struct rig_options o;
    struct clock_manual clock;
    struct rng rng;
    struct sim *sim;
    struct sockaddr_storage address[rig_shards_max][rig_listeners_max];
    struct rig_shard shards[rig_shards_max];
    uint32_t shard_count;
    struct admission *admission;
    struct agent control;
    struct rig_topic topics[rig_topics_max];
    uint32_t topic_count;
    bool hold_forwards, close_forwards;
    struct forward *forwards[rig_forwards_max]; /* held */
    uint32_t forward_count, forwarded;
    bool hold_cancels;
    struct call *cancels[rig_forwards_max]; /* held */
    uint32_t cancel_count, cancelled;
    int16_t last_key, last_version;
    char last_client[client_id_bytes_max + 1];
    uint64_t last_body_bytes;
};

/* Runs all cases under every transport; the result of main. */
int rig_run(const char *suite_name, const struct unit_case *cases, size_t count);

#define RIG_MAIN(suite_name, ...)                                                                  \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct unit_case cases[] = {__VA_ARGS__};                                     \
        return rig_run(suite_name, cases, sizeof(cases) / sizeof(cases[0]));                       \
    }

void rig_up(struct rig *g, const struct rig_options *options);

/* Takes all down and asserts that nothing leaked: mbufs, reserves, users. */
void rig_down(struct rig *g);

/* Everything that can happen now. */
void rig_settle(struct rig *g);

/* Lets virtual time pass in steps of a millisecond. */
void rig_pass(struct rig *g, int64_t ms);

/* Partitions are spread over the shards in turn, from `first_shard` on. */
struct rig_topic *rig_topic_add(struct rig *g, const char *name, int32_t partitions,
                                uint32_t first_shard);
void rig_topic_remove(struct rig *g, struct rig_topic *t);
struct plog *rig_log(struct rig_topic *t, int32_t partition);
void rig_answer_forwards(struct rig *g);
void rig_answer_cancels(struct rig *g);
void rig_answer_one_forward(struct rig *g,
                            uint32_t index); /* of those held; the last takes its place */

/* ---- logs: doubles (rig_double.c) or real ones (rig_real.c), chosen when a test is linked ---- */

void rig_logs_up(struct rig *g, struct rig_shard *s); /* makes the cache, adds the stages */
struct plog *rig_logs_open(struct rig *g, struct rig_shard *s, const struct rig_topic *t,
                           int32_t partition);
void rig_logs_release(struct rig *g);                   /* lets go what is held, before the end */
void rig_logs_down(struct rig *g, struct rig_shard *s); /* when the request path is gone */

/* ---- batches ---- */

#define rig_batch_bytes_max (1u << 20)

/* A batch of `records` records whose bytes are `body_bytes` of noise; returns its length. */
uint32_t rig_batch(struct rig *g, uint8_t *out, int32_t records, uint32_t body_bytes,
                   int64_t max_ms);

/* ---- clients ---- */

struct rig_client {
    struct rig *g;
    struct sim_client *sim;
    uint8_t *out; /* for the wire: bytes that the window has not taken yet */
    size_t out_at, out_len, out_room;
    uint32_t tx_until, rx_until; /* bytes before the filter's next marker */
    uint8_t *in;
    size_t in_len, in_room;
    bool reading; /* false: leaves everything unread */
    struct arena arena;
    struct chain answer; /* the frame last taken, without its length */
    int32_t correlation;
};

void client_up(struct rig_client *c, struct rig *g, uint32_t shard); /* at listener 0 */
void client_up_at(struct rig_client *c, struct rig *g, uint32_t shard, uint32_t listener);
void client_down(struct rig_client *c);
void client_send(struct rig_client *c, const void *p,
                 size_t n); /* all of it, stepping if need be */

/* Without stepping; returns how many bytes were taken, 0 while earlier ones have not left. */
size_t client_send_some(struct rig_client *c, const void *p, size_t n);
bool client_open(const struct rig_client *c);

/* Bytes of a whole request, length word included; from an encoder of the generated codec. */
struct wire {
    uint8_t *p;
    size_t n;
};
typedef int wire_encode(const void *message, struct writer *w, int version);
struct wire wire_request(struct rig *g, int16_t key, int16_t version, int32_t correlation,
                         struct str client_id, const void *message, wire_encode *put);
#define wire_of(g, api, key, version, correlation, message)                                        \
    wire_request(g, key, version, correlation, STR("rig"), message,                                \
                 (wire_encode *)(void *)api##_request_encode)
void wire_free(struct wire *w);

/* Takes the next whole frame, if it is there, into c->answer; -1: none. Returns its bytes. */
int64_t client_take(struct rig_client *c);

/* Takes the next frame, checks its correlation id, and leaves a reader at the body. */
bool client_answer(struct rig_client *c, int16_t key, int16_t version, int32_t correlation,
                   struct reader *rd);

/* One request and its answer, decoded by the generated codec; false if there was none. */
bool client_produce(struct rig_client *c, int16_t version, const struct produce_request *q,
                    struct produce_response *out);
bool client_fetch(struct rig_client *c, int16_t version, const struct fetch_request *q,
                  struct fetch_response *out);
bool client_list(struct rig_client *c, int16_t version, const struct list_offsets_request *q,
                 struct list_offsets_response *out);
bool client_take_produce(struct rig_client *c, int16_t version, int32_t correlation,
                         struct produce_response *out);
bool client_take_fetch(struct rig_client *c, int16_t version, int32_t correlation,
                       struct fetch_response *out);

/* A Produce request for one partition; `records` are plain bytes, kept by the caller. */
struct one_produce {
    struct produce_request request;
    struct produce_request_topic topic;
    struct produce_request_partition partition;
    struct chain records;
};
void one_produce_up(struct one_produce *o, struct rig *g, const struct rig_topic *t,
                    int32_t partition, int16_t acks, const void *records, uint32_t n);
void one_produce_down(struct one_produce *o);

/* A Fetch request for one partition. */
struct one_fetch {
    struct fetch_request request;
    struct fetch_request_topic topic;
    struct fetch_request_partition partition;
};
void one_fetch_up(struct one_fetch *o, const struct rig_topic *t, int32_t partition, int64_t offset,
                  int32_t max_wait_ms, int32_t min_bytes);

/* Doubles only: appends batches to a log directly. */
void rig_fill(struct rig *g, struct plog *log, uint32_t batches, uint32_t body_bytes);

#endif
