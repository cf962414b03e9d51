#include "bench/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "bench/admin.h"
#include "bench/client.h"
#include "bench/pace.h"

#define answer_wait_s 30

struct fetch_conn {
    struct fetch_ask q;
    int64_t start_offset; /* of the partition */
    int64_t since_ns;     /* when the request was sent, or due in an open loop */
    bool waiting;
    uint32_t empty; /* see fetch_stuck */
};

struct fetch {
    const struct fetch_options *o;
    struct result *result;
    struct client *client;
    struct fetch_conn *conns;
    uint8_t *scratch;
    bool measuring, stopping;
    uint32_t waiting;
    /* open loop: of the next request, of the first one measured, of the last one */
    int64_t due_ns, first_ns, last_ns;
    uint32_t next_conn;
    struct rng rng;
};

/* since_ns: from when on the latency counts. False: no memory. */
static bool send_next(struct fetch *l, struct client_conn *cc, int64_t since_ns)
{
    struct fetch_conn *c = cc->work;
    struct chain out;
    chain_init(&out);
    c->q.correlation++;
    if (fetch_ask_put(&c->q, l->client->cable.mem.tx_pool, &out) < 0)
        return false;
    c->since_ns = since_ns;
    c->waiting = true;
    l->waiting++;
    tconn_send(cc->t, &out);
    return true;
}

/* Sends what is due. A request that finds every connection waiting keeps its place: it is late, and counted so. */
static void send_due(struct fetch *l, int64_t now)
{
    while (l->due_ns <= now && l->due_ns <= l->last_ns) {
        struct client_conn *free_conn = NULL;
        for (uint32_t i = 0; i < l->o->connections && !free_conn; i++) {
            uint32_t at = (l->next_conn + i) % l->o->connections;
            if (!l->conns[at].waiting)
                free_conn = &l->client->conns[at];
        }
        if (!free_conn || !send_next(l, free_conn, l->due_ns))
            return;
        l->next_conn = (free_conn->index + 1) % l->o->connections;
        l->due_ns += pace_gap_ns(&l->rng, l->o->rate, l->o->poisson);
    }
}

static int on_frame(struct client_conn *cc, const struct chain *rx, uint32_t len, int64_t now)
{
    struct fetch *l = cc->client->o.work.ctx;
    struct fetch_conn *c = cc->work;
    struct result *r = l->result;
    struct fetch_answer reply;
    if (!c->waiting || fetch_answer_read(rx, len, &c->q, l->o->verify, &reply) < 0)
        return ERR_MALFORMED;
    c->waiting = false;
    l->waiting--;
    if (reply.error) {
        result_error(r, reply.error);
        return 0;
    }
    bool more = reply.next_offset < reply.high_watermark;
    c->q.offset = more || l->o->follow ? reply.next_offset : c->start_offset;
    r->faults += reply.faults + (l->o->verify && fetch_stuck(&c->empty, &reply));
    r->unchecked += reply.unchecked;
    if (l->measuring)
        result_count(r, now, reply.records, reply.bytes);
    /* In an open loop the wait of what was due but came later than the end belongs to the figure. */
    if (l->o->rate > 0 ? c->since_ns >= l->first_ns : l->measuring)
        result_latency(r, now, c->since_ns);
    return 0;
}

static void on_turn(void *ctx, struct client_conn *cc, int64_t now)
{
    struct fetch *l = ctx;
    if (l->stopping)
        return;
    if (l->o->rate > 0)
        send_due(l, now);
    else if (cc && !((struct fetch_conn *)cc->work)->waiting)
        send_next(l, cc, now);
}

static bool all_answered(void *ctx)
{
    const struct fetch *l = ctx;
    return l->waiting == 0 && (l->o->rate == 0 || l->stopping || l->due_ns > l->last_ns);
}

static int measure(struct fetch *l, char *why, size_t why_size)
{
    const struct fetch_options *o = l->o;
    struct result *r = l->result;
    int64_t now = clock_mono_ns(clock_system());
    l->due_ns = now;
    l->first_ns = l->last_ns = INT64_MAX;
    l->stopping = false;
    for (uint32_t i = 0; i < o->connections && o->rate == 0; i++)
        send_next(l, &l->client->conns[i], now);
    client_spin(l->client, o->warmup_s, NULL, NULL);
    struct client_meter meter;
    client_meter_begin(&meter, l->client, o->broker_pid, o->seconds, r);
    l->first_ns = meter.start_ns;
    l->measuring = true;
    client_spin(l->client, o->seconds, NULL, NULL);
    l->measuring = false;
    l->last_ns = client_meter_end(&meter, l->client, o->broker_pid, r);
    l->stopping = o->rate == 0 || crew_stopping(o->member);
    if (!l->client->broken)
        client_drain(l->client, answer_wait_s, all_answered, l);
    result_close(r);
    if (crew_stopping(o->member) && !l->client->broken)
        return ERR_CANCELLED;
    if (l->client->broken || !all_answered(l)) {
        snprintf(why, why_size, "%s",
                 l->client->broken ? "a connection broke, or an answer was malformed"
                 : o->rate > 0     ? "requests were never answered, or never sent: the rate is "
                                     "beyond the broker"
                                   : "requests were never answered");
        return ERR_CLOSED;
    }
    if (r->records == 0 && !r->errors) {
        snprintf(why, why_size, "topic %s gave no records: fill it first (sluice-bench produce)",
                 o->topic);
        return ERR_NOT_FOUND;
    }
    return 0;
}

static int prepare(struct fetch *l, char *why, size_t why_size)
{
    const struct fetch_options *o = l->o;
    struct client_options co = {
        o->host, o->port, o->connections, {on_frame, on_turn, l}, o->member};
    int err = client_new(&l->client, &co, why, why_size);
    if (!err)
        err = crew_meet(o->member); /* the topic is there */
    for (uint32_t i = 0; i < o->connections && !err; i++) {
        struct fetch_conn *c = &l->conns[i];
        c->q = (struct fetch_ask){.topic = o->topic,
                                  .partition = (o->first_conn + i) % o->partitions,
                                  .bytes_max = o->bytes_max,
                                  .max_wait_ms = o->max_wait_ms,
                                  .bytes_min = o->bytes_min,
                                  .scratch = l->scratch};
        l->client->conns[i].work = c;
        err = admin_list_offset(crew_admin_host(o->member, o->host),
                                crew_admin_port(o->member, o->port), l->client->cable.mem.tx_pool,
                                o->topic, c->q.partition, admin_earliest, &c->start_offset, why,
                                why_size);
        c->q.offset = c->start_offset;
    }
    l->stopping = true; /* nothing is sent while connections open */
    if (!err)
        err = client_open(l->client, why, why_size);
    return err ? err : crew_meet(o->member);
}

int fetch_run(const struct fetch_options *options, struct result *out, char *why, size_t why_size)
{
    struct fetch *l = calloc(1, sizeof(*l));
    struct fetch_conn *conns = calloc(options->connections, sizeof(*conns));
    bool open_batches = options->verify == FETCH_VERIFY_CONTENTS;
    uint8_t *scratch = open_batches ? malloc(fetch_scratch_bytes) : NULL;
    int err = l && conns && (scratch || !open_batches) ? 0 : ERR_NO_MEMORY;
    if (!err) {
        *l = (struct fetch){.o = options, .result = out, .conns = conns, .scratch = scratch};
        out->rate = options->rate;
        rng_seed(&l->rng, options->seed);
        err = prepare(l, why, why_size);
        if (!err)
            err = measure(l, why, why_size);
        if (l->client && (!err || err == ERR_CANCELLED))
            client_close(l->client);
        client_free(l->client);
    }
    free(scratch);
    free(conns);
    free(l);
    return err;
}
