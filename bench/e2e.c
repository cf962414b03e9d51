#include "bench/e2e.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/rng.h"
#include "bench/admin.h"
#include "bench/client.h"
#include "bench/fetch.h"
#include "bench/pace.h"
#include "bench/produce.h"

#define fetch_wait_ms    500
#define fetch_part_bytes (1u << 20)
#define answer_wait_s    10

enum { CONN_PRODUCE, CONN_FETCH, CONN_COUNT };

struct e2e {
    const struct e2e_options *o;
    struct result *result;
    struct client *client;
    struct produce_head head;
    struct bench_batch batch;
    struct fetch_ask q;
    struct rng rng;
    int64_t first_offset; /* of the first record of this run */
    uint64_t sent, answered, received, counted_from;
    int64_t due_ns;
    int64_t due[e2e_behind_max]; /* by record number, a ring */
    bool opened, measuring, stopping, fetching;
};

static void send_fetch(struct e2e *l)
{
    struct chain out;
    chain_init(&out);
    l->q.correlation++;
    if (fetch_ask_put(&l->q, l->client->cable.mem.tx_pool, &out) < 0)
        return;
    l->fetching = true;
    tconn_send(l->client->conns[CONN_FETCH].t, &out);
}

static void send_record(struct e2e *l)
{
    struct chain out;
    chain_init(&out);
    produce_head_set(&l->head, (int32_t)l->sent, 0, l->batch.len);
    if (chain_append_bytes(&out, l->client->cable.mem.tx_pool, l->head.bytes, l->head.len) < 0 ||
        chain_append_bytes(&out, l->client->cable.mem.tx_pool, l->batch.bytes, l->batch.len) < 0) {
        chain_free(&out);
        return;
    }
    l->due[l->sent % e2e_behind_max] = l->due_ns;
    l->sent++;
    l->due_ns += pace_gap_ns(&l->rng, l->o->rate, l->o->poisson);
    tconn_send(l->client->conns[CONN_PRODUCE].t, &out);
}

static void on_turn(void *ctx, struct client_conn *cc, int64_t now)
{
    struct e2e *l = ctx;
    if (!l->opened)
        return;
    if (!l->fetching)
        send_fetch(l);
    while (!l->stopping && l->due_ns <= now && l->sent - l->received < e2e_behind_max)
        send_record(l);
}

static int on_produced(struct e2e *l, const struct chain *rx, uint32_t len)
{
    int16_t error = produce_reply_error(rx, len, l->o->topic, (int32_t)l->answered);
    l->answered++;
    if (error)
        result_error(l->result, error);
    return 0;
}

static int on_fetched(struct e2e *l, const struct chain *rx, uint32_t len, int64_t now)
{
    struct fetch_answer reply;
    if (fetch_answer_read(rx, len, &l->q, FETCH_VERIFY_CONTENTS, &reply) < 0)
        return ERR_MALFORMED;
    l->fetching = false;
    if (reply.error) {
        result_error(l->result, reply.error);
        return 0;
    }
    l->result->faults += reply.faults;
    uint64_t until = (uint64_t)(reply.next_offset - l->first_offset);
    for (; l->received < until; l->received++) {
        if (l->received >= l->sent)
            return ERR_MALFORMED; /* somebody else writes to this partition */
        if (l->received < l->counted_from || !l->measuring)
            continue;
        l->result->records++;
        result_slot_at(l->result, now)->records++;
        result_latency(l->result, now, l->due[l->received % e2e_behind_max]);
    }
    l->result->requests += l->measuring && reply.batches;
    l->result->bytes += l->measuring ? reply.bytes : 0;
    l->q.offset = reply.next_offset;
    return 0;
}

static int on_frame(struct client_conn *cc, const struct chain *rx, uint32_t len, int64_t now)
{
    struct e2e *l = cc->client->o.work.ctx;
    return cc->index == CONN_PRODUCE ? on_produced(l, rx, len) : on_fetched(l, rx, len, now);
}

static bool all_there(void *ctx)
{
    const struct e2e *l = ctx;
    return l->received == l->sent && l->answered == l->sent;
}

static int measure(struct e2e *l, char *why, size_t why_size)
{
    const struct e2e_options *o = l->o;
    struct result *r = l->result;
    l->due_ns = clock_mono_ns(clock_system());
    l->opened = true;
    client_spin(l->client, o->warmup_s, NULL, NULL);
    struct client_meter meter;
    client_meter_begin(&meter, l->client, o->broker_pid, o->seconds, r);
    l->counted_from = l->sent;
    l->measuring = true;
    client_spin(l->client, o->seconds, NULL, NULL);
    client_meter_end(&meter, l->client, o->broker_pid, r);
    l->stopping = true;
    if (!l->client->broken)
        client_drain(l->client, answer_wait_s, all_there, l);
    result_close(r);
    if (crew_stopping(o->member) && !l->client->broken)
        return ERR_CANCELLED;
    if (l->client->broken || !all_there(l)) {
        snprintf(why, why_size, "%s (sent %llu, answered %llu, received %llu)",
                 l->client->broken ? "a connection broke" : "records did not come back",
                 (unsigned long long)l->sent, (unsigned long long)l->answered,
                 (unsigned long long)l->received);
        return ERR_CLOSED;
    }
    return 0;
}

static int prepare(struct e2e *l, char *why, size_t why_size)
{
    const struct e2e_options *o = l->o;
    rng_seed(&l->rng, o->seed);
    struct client_options co = {o->host, o->port, CONN_COUNT, {on_frame, on_turn, l}, o->member};
    struct bench_batch_spec spec = {.records = 1, .value_bytes = o->record_bytes};
    int err = bench_batch_make(&l->batch, &spec, clock_wall_ms(clock_system()), &l->rng);
    if (!err)
        err = client_new(&l->client, &co, why, why_size);
    if (!err)
        err = admin_prepare_topic(crew_admin_host(o->member, o->host),
                                  crew_admin_port(o->member, o->port), l->client->cable.mem.tx_pool,
                                  o->topic, 1, why, why_size);
    if (!err)
        err = admin_list_offset(crew_admin_host(o->member, o->host),
                                crew_admin_port(o->member, o->port), l->client->cable.mem.tx_pool,
                                o->topic, 0, admin_latest, &l->first_offset, why, why_size);
    if (err)
        return err;
    produce_head_make(&l->head, o->topic, o->acks, l->batch.len);
    l->q = (struct fetch_ask){.topic = o->topic,
                              .bytes_max = fetch_part_bytes,
                              .max_wait_ms = fetch_wait_ms,
                              .bytes_min = 1,
                              .offset = l->first_offset};
    return client_open(l->client, why, why_size);
}

int e2e_run(const struct e2e_options *options, struct result *out, char *why, size_t why_size)
{
    struct e2e *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NO_MEMORY;
    l->o = options;
    l->result = out;
    out->rate = options->rate;
    int err = prepare(l, why, why_size);
    if (!err)
        err = measure(l, why, why_size);
    if (l->client && (!err || err == ERR_CANCELLED))
        client_close(l->client);
    client_free(l->client);
    bench_batch_free(&l->batch);
    free(l);
    return err;
}
