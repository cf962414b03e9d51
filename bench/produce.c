#include "bench/produce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "bench/admin.h"
#include "bench/client.h"
#include "bench/pace.h"

#define frame_copy_max     1400 /* frames up to this are copied, longer ones refer to the batch */
#define extbuf_bytes_max   32768
#define reply_bytes_max    512
#define answer_wait_s      30
#define produce_api        0
#define produce_version    7
#define hiccup_spin_s      0.3
#define reply_fixed_before 18 /* correlation, topics, name's length, partitions, index */

struct produce_conn {
    struct produce *load;
    uint32_t partition;
    int32_t next_correlation, next_reply;
    int64_t due_ns[produce_in_flight_max];
    struct rte_mbuf_ext_shared_info shared; /* one per conn: its count has 16 bits */
};

struct produce {
    const struct produce_options *o;
    struct result *result;
    struct client *client;
    struct produce_conn *conns;
    struct produce_head head;
    struct bench_batch batch;
    struct rng rng;
    bool measuring, stopping;
    uint64_t in_flight;
    /* open loop: of the next request, of the first one measured, of the last one */
    int64_t due_ns, first_ns, last_ns;
    uint32_t next_conn;
};

void produce_head_make(struct produce_head *h, const char *topic, int16_t acks, uint32_t batch_len)
{
    uint8_t *p = h->bytes + 4;
    uint16_t topic_len = (uint16_t)strlen(topic);
    bytes_put_u16(p, produce_api);
    bytes_put_u16(p + 2, produce_version);
    h->correlation_at = (uint32_t)(p + 4 - h->bytes);
    bytes_put_u16(p + 8, 12);
    memcpy(p + 10, "sluice-bench", 12);
    p += 22;
    bytes_put_u16(p, UINT16_MAX); /* no transactional id */
    bytes_put_u16(p + 2, (uint16_t)acks);
    bytes_put_u32(p + 4, 30000); /* time-out in ms */
    bytes_put_u32(p + 8, 1);
    bytes_put_u16(p + 12, topic_len);
    memcpy(p + 14, topic, topic_len);
    p += 14 + topic_len;
    bytes_put_u32(p, 1);
    h->partition_at = (uint32_t)(p + 4 - h->bytes);
    bytes_put_u32(p + 8, batch_len);
    p += 12;
    h->len = (uint32_t)(p - h->bytes);
    bytes_put_u32(h->bytes, h->len - 4 + batch_len);
}

int16_t produce_reply_error(const struct chain *rx, uint32_t len, const char *topic,
                            int32_t correlation)
{
    uint8_t buf[reply_bytes_max];
    uint32_t at = reply_fixed_before + (uint32_t)strlen(topic);
    if (len > sizeof(buf) || len < at + 2)
        return KERR_UNKNOWN_SERVER_ERROR;
    const uint8_t *reply = chain_peek(rx, len, buf);
    return bytes_get_i32(reply) == correlation ? bytes_get_i16(reply + at)
                                               : KERR_UNKNOWN_SERVER_ERROR;
}

/* ---- sending ---- */

static bool attach_batch(struct produce_conn *c, struct chain *out)
{
    struct produce *l = c->load;
    for (uint32_t off = 0; off < l->batch.len;) {
        uint32_t left = l->batch.len - off, n = left < extbuf_bytes_max ? left : extbuf_bytes_max;
        struct rte_mbuf *m = rte_pktmbuf_alloc(l->client->mem.ref_pool);
        if (!m)
            return false;
        rte_mbuf_ext_refcnt_update(&c->shared, 1);
        rte_pktmbuf_attach_extbuf(m, l->batch.bytes + off, RTE_BAD_IOVA, (uint16_t)n, &c->shared);
        m->data_off = 0;
        m->data_len = (uint16_t)n;
        m->pkt_len = n;
        chain_append(out, m);
        off += n;
    }
    return true;
}

/* Appends one request to out; false: no mbufs (nothing was appended). */
static bool put_request(struct produce_conn *c, struct chain *out, int64_t due_ns)
{
    struct produce *l = c->load;
    struct chain one;
    chain_init(&one);
    if (l->o->keyed)
        c->partition = (uint32_t)rng_below(&l->rng, l->o->partitions);
    bytes_put_u32(l->head.bytes + l->head.correlation_at, (uint32_t)c->next_correlation);
    bytes_put_u32(l->head.bytes + l->head.partition_at, c->partition);
    struct rte_mempool *pool = l->client->mem.tx_pool;
    if (l->head.len + l->batch.len <= frame_copy_max) {
        uint8_t frame[frame_copy_max];
        memcpy(frame, l->head.bytes, l->head.len);
        memcpy(frame + l->head.len, l->batch.bytes, l->batch.len);
        if (chain_append_bytes(out, pool, frame, l->head.len + l->batch.len) < 0)
            return false;
    } else {
        if (chain_append_bytes(&one, pool, l->head.bytes, l->head.len) < 0 ||
            !attach_batch(c, &one)) {
            chain_free(&one);
            return false;
        }
        chain_join(out, &one);
    }
    c->due_ns[c->next_correlation % produce_in_flight_max] = due_ns;
    c->next_correlation++;
    if (!l->o->keyed)
        c->partition = (c->partition + l->o->connections) % l->o->partitions;
    l->in_flight++;
    return true;
}

static bool has_room(const struct produce_conn *c)
{
    return (uint32_t)(c->next_correlation - c->next_reply) < c->load->o->in_flight;
}

static void fill_window(struct produce *l, struct client_conn *cc, int64_t now)
{
    struct produce_conn *c = cc->work;
    struct chain out;
    chain_init(&out);
    while (has_room(c) && put_request(c, &out, now))
        ;
    if (out.bytes)
        tconn_send(cc->t, &out);
}

/* Sends what is due. A request that finds every window full keeps its place: it is late, and counted so. */
static void send_due(struct produce *l, int64_t now)
{
    while (l->due_ns <= now && l->due_ns <= l->last_ns) {
        struct client_conn *cc = NULL;
        for (uint32_t i = 0; i < l->o->connections && !cc; i++) {
            struct client_conn *try = &l->client->conns[(l->next_conn + i) % l->o->connections];
            if (has_room(try->work))
                cc = try;
        }
        if (!cc)
            return;
        struct chain out;
        chain_init(&out);
        if (!put_request(cc->work, &out, l->due_ns))
            return;
        tconn_send(cc->t, &out);
        l->next_conn = (cc->index + 1) % l->o->connections;
        l->due_ns += pace_gap_ns(&l->rng, l->o->rate, l->o->poisson);
    }
}

static void on_turn(void *ctx, struct client_conn *cc, int64_t now)
{
    struct produce *l = ctx;
    if (l->stopping)
        return;
    if (l->o->rate > 0)
        send_due(l, now);
    else if (cc)
        fill_window(l, cc, now);
}

/* ---- replies ---- */

static int on_frame(struct client_conn *cc, const struct chain *rx, uint32_t len, int64_t now)
{
    struct produce_conn *c = cc->work;
    struct produce *l = c->load;
    struct result *r = l->result;
    int16_t error = produce_reply_error(rx, len, l->o->topic, c->next_reply);
    int64_t due = c->due_ns[c->next_reply % produce_in_flight_max];
    c->next_reply++;
    l->in_flight--;
    if (error) {
        if (!r->errors++)
            r->first_error = error;
        return 0;
    }
    if (l->measuring) {
        r->requests++;
        r->records += l->batch.records;
        r->bytes += l->batch.len;
    }
    /* In an open loop the wait of what was due but came later than the end belongs to the figure. */
    if (l->o->rate > 0 ? due >= l->first_ns : l->measuring)
        hist_record(&r->latency, (uint64_t)(now - due));
    return 0;
}

/* ---- the run ---- */

static bool all_answered(void *ctx)
{
    const struct produce *l = ctx;
    return l->in_flight == 0 && (l->o->rate == 0 || l->due_ns > l->last_ns);
}

static bool enough(void *ctx)
{
    const struct produce *l = ctx;
    return l->o->bytes_max > 0 && l->result->bytes >= l->o->bytes_max;
}

static int measure(struct produce *l, char *why, size_t why_size)
{
    const struct produce_options *o = l->o;
    struct result *r = l->result;
    int64_t now = clock_mono_ns(clock_system());
    l->due_ns = now;
    l->first_ns = l->last_ns = INT64_MAX;
    for (uint32_t i = 0; i < o->connections && o->rate == 0; i++)
        fill_window(l, &l->client->conns[i], now);
    client_spin(l->client, o->warmup_s, NULL, NULL);
    struct client_meter meter;
    client_meter_begin(&meter, l->client, o->broker_pid);
    l->first_ns = meter.start_ns;
    l->measuring = true;
    client_spin(l->client, o->seconds, enough, l);
    int64_t end = client_meter_end(&meter, l->client, o->broker_pid, r);
    l->measuring = false;
    l->stopping = o->rate == 0;
    l->last_ns = end;
    if (!l->client->broken)
        client_spin(l->client, answer_wait_s, all_answered, l);
    if (l->client->broken) {
        snprintf(why, why_size, "a connection broke during the run");
        return ERR_CLOSED;
    }
    if (!all_answered(l)) {
        snprintf(why, why_size, "%llu requests were never answered%s",
                 (unsigned long long)l->in_flight,
                 o->rate > 0 ? ", or never sent: the rate is beyond the broker" : "");
        return ERR_TIMEOUT;
    }
    return 0;
}

static int prepare(struct produce *l, char *why, size_t why_size)
{
    const struct produce_options *o = l->o;
    rng_seed(&l->rng, o->seed);
    int err = bench_batch_make(&l->batch, o->records, o->record_bytes,
                               clock_wall_ms(clock_system()), &l->rng);
    if (err)
        return err;
    produce_head_make(&l->head, o->topic, o->acks, l->batch.len);
    struct client_options co = {o->host, o->port, o->connections, {on_frame, on_turn, l}};
    err = client_new(&l->client, &co, why, why_size);
    if (err)
        return err;
    for (uint32_t i = 0; i < o->connections; i++) {
        l->conns[i].load = l;
        l->conns[i].partition = i % o->partitions;
        l->client->conns[i].work = &l->conns[i];
        rte_mbuf_ext_refcnt_set(&l->conns[i].shared, 1); /* our hold: the batch outlives mbufs */
    }
    if (o->setup)
        err = admin_prepare_topic(o->host, o->port, l->client->mem.tx_pool, o->topic, o->partitions,
                                  why, why_size);
    l->stopping = true; /* nothing is sent while connections open */
    if (!err)
        err = client_open(l->client, why, why_size);
    l->stopping = false;
    return err;
}

int produce_run(const struct produce_options *options, struct result *out, char *why,
                size_t why_size)
{
    struct produce *l = calloc(1, sizeof(*l));
    struct produce_conn *conns = calloc(options->connections, sizeof(*conns));
    int err = l && conns ? 0 : ERR_NO_MEMORY;
    if (!err) {
        *l = (struct produce){.o = options, .result = out, .conns = conns};
        out->rate = options->rate;
        result_hiccups(out, hiccup_spin_s);
        err = prepare(l, why, why_size);
        if (!err)
            err = measure(l, why, why_size);
        if (!err)
            client_close(l->client);
        client_free(l->client);
        free(l->batch.bytes);
    }
    free(conns);
    free(l);
    return err;
}
