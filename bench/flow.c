#include "bench/flow.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "bench/pace.h"

#define answer_wait_s 30

struct flow_conn {
    uint32_t sent, answered; /* numbers of the next ones */
    int64_t due_ns[flow_in_flight_max];
};

struct flow {
    const struct flow_options *o;
    const struct flow_ops *ops;
    void *ctx;
    struct result *result;
    struct client *client;
    struct flow_conn *conns;
    struct rng rng;
    bool measuring, stopping;
    uint64_t in_flight;
    /* open loop: of the next request, of the first one measured, of the last one */
    int64_t due_ns, first_ns, last_ns;
    uint32_t next_conn;
};

struct client *flow_client(struct flow *f)
{
    return f->client;
}

struct rng *flow_rng(struct flow *f)
{
    return &f->rng;
}

/* ---- sending ---- */

static bool put(struct flow *f, uint32_t conn, struct chain *out, int64_t due_ns)
{
    struct flow_conn *c = &f->conns[conn];
    if (!f->ops->put(f->ctx, conn, c->sent, out))
        return false;
    c->due_ns[c->sent % flow_in_flight_max] = due_ns;
    c->sent++;
    f->in_flight++;
    return true;
}

static bool has_room(const struct flow *f, uint32_t conn)
{
    return f->conns[conn].sent - f->conns[conn].answered < f->o->in_flight;
}

static void fill_window(struct flow *f, struct client_conn *cc, int64_t now)
{
    struct chain out;
    chain_init(&out);
    while (has_room(f, cc->index) && put(f, cc->index, &out, now))
        ;
    if (out.bytes)
        tconn_send(cc->t, &out);
}

/* Sends what is due. A request that finds every window full keeps its place: it is late, and counted so. */
static void send_due(struct flow *f, int64_t now)
{
    while (f->due_ns <= now && f->due_ns <= f->last_ns) {
        struct client_conn *cc = NULL;
        for (uint32_t i = 0; i < f->o->connections && !cc; i++) {
            uint32_t at = (f->next_conn + i) % f->o->connections;
            if (has_room(f, at))
                cc = &f->client->conns[at];
        }
        if (!cc)
            return;
        struct chain out;
        chain_init(&out);
        if (!put(f, cc->index, &out, f->due_ns))
            return;
        tconn_send(cc->t, &out);
        f->next_conn = (cc->index + 1) % f->o->connections;
        f->due_ns += pace_gap_ns(&f->rng, f->o->rate, f->o->poisson);
    }
}

static void on_turn(void *ctx, struct client_conn *cc, int64_t now)
{
    struct flow *f = ctx;
    if (f->stopping)
        return;
    if (f->o->rate > 0)
        send_due(f, now);
    else if (cc)
        fill_window(f, cc, now);
}

/* ---- answers ---- */

static int on_frame(struct client_conn *cc, const struct chain *rx, uint32_t len, int64_t now)
{
    struct flow *f = cc->client->o.work.ctx;
    struct flow_conn *c = &f->conns[cc->index];
    if (c->answered == c->sent)
        return ERR_MALFORMED; /* nothing was asked */
    struct flow_worth worth = f->ops->answer(f->ctx, cc->index, c->answered, rx, len);
    int64_t due = c->due_ns[c->answered % flow_in_flight_max];
    c->answered++;
    f->in_flight--;
    if (worth.error) {
        result_error(f->result, worth.error);
        return 0;
    }
    if (f->measuring)
        result_count(f->result, now, worth.records, worth.bytes);
    /* In an open loop the wait of what was due but came later than the end belongs to the figure. */
    if (f->o->rate > 0 ? due >= f->first_ns : f->measuring)
        result_latency(f->result, now, due);
    return 0;
}

/* ---- the run ---- */

static bool all_answered(void *ctx)
{
    const struct flow *f = ctx;
    return f->in_flight == 0 && (f->o->rate == 0 || f->stopping || f->due_ns > f->last_ns);
}

static bool enough(void *ctx)
{
    const struct flow *f = ctx;
    return f->o->bytes_max > 0 && f->result->bytes >= f->o->bytes_max;
}

/* What was due and found no room: it waited at least until now. */
static void count_unsent(struct flow *f, int64_t end)
{
    for (; f->due_ns <= end; f->due_ns += pace_gap_ns(&f->rng, f->o->rate, f->o->poisson)) {
        f->result->unsent++;
        result_latency(f->result, end, f->due_ns);
    }
    f->stopping = true;
}

static int verdict(const struct flow *f, char *why, size_t why_size)
{
    if (f->client->broken) {
        snprintf(why, why_size, "a connection broke during the run");
        return ERR_CLOSED;
    }
    if (crew_stopping(f->o->member))
        return ERR_CANCELLED;
    if (!all_answered((void *)f)) {
        snprintf(why, why_size, "%llu requests were never answered%s",
                 (unsigned long long)f->in_flight,
                 f->o->rate > 0 ? ", or never sent: the rate is beyond the broker" : "");
        return ERR_TIMEOUT;
    }
    return 0;
}

static int measure(struct flow *f, char *why, size_t why_size)
{
    const struct flow_options *o = f->o;
    int64_t now = clock_mono_ns(clock_system());
    f->due_ns = now;
    f->first_ns = f->last_ns = INT64_MAX;
    for (uint32_t i = 0; i < o->connections && o->rate == 0; i++)
        fill_window(f, &f->client->conns[i], now);
    client_spin(f->client, o->warmup_s, NULL, NULL);
    struct client_meter meter;
    client_meter_begin(&meter, f->client, o->broker_pid, o->seconds, f->result);
    f->first_ns = meter.start_ns;
    f->measuring = true;
    client_spin(f->client, o->seconds, enough, f);
    int64_t end = client_meter_end(&meter, f->client, o->broker_pid, f->result);
    f->measuring = false;
    f->last_ns = end;
    if (o->rate == 0 || crew_stopping(o->member))
        f->stopping = true;
    else if (o->overload)
        count_unsent(f, end);
    if (!f->client->broken)
        client_drain(f->client, answer_wait_s, all_answered, f);
    result_close(f->result);
    return verdict(f, why, why_size);
}

int flow_new(struct flow **out, const struct flow_options *options, const struct flow_ops *ops,
             void *ctx, struct result *result, char *why, size_t why_size)
{
    struct flow *f = calloc(1, sizeof(*f));
    if (!f)
        return ERR_NO_MEMORY;
    *f = (struct flow){.o = options,
                       .ops = ops,
                       .ctx = ctx,
                       .result = result,
                       .conns = calloc(options->connections, sizeof(*f->conns))};
    result->rate = options->rate;
    rng_seed(&f->rng, options->seed);
    struct client_options co = {.host = options->host,
                                .port = options->port,
                                .connections = options->connections,
                                .work = {on_frame, on_turn, f},
                                .member = options->member};
    int err = f->conns ? client_new(&f->client, &co, why, why_size) : ERR_NO_MEMORY;
    if (err) {
        flow_free(f);
        return err;
    }
    *out = f;
    return 0;
}

int flow_run(struct flow *f, char *why, size_t why_size)
{
    f->stopping = true; /* nothing is sent while connections open */
    int err = client_open(f->client, why, why_size);
    if (!err)
        err = crew_meet(f->o->member);
    if (!err) {
        f->stopping = false;
        err = measure(f, why, why_size);
    }
    if (!err || err == ERR_CANCELLED)
        client_close(f->client);
    return err;
}

void flow_free(struct flow *f)
{
    if (!f)
        return;
    client_free(f->client);
    free(f->conns);
    free(f);
}
