#include "bench/load.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <rte_mbuf.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "bench/admin.h"
#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/transport/uring.h"

#define load_head_bytes_max  512
#define load_reply_bytes_max 512
#define load_frame_copy_max                                                                        \
    1400 /* frames up to this are copied into one mbuf, longer ones refer to the batch */
#define load_want_bytes    (1u << 20)
#define load_events_budget 256

struct load_conn {
    struct load *load;
    struct tconn *t;
    bool connected;
    uint32_t partition;
    int32_t next_correlation, next_reply;
    int64_t sent_ns[load_in_flight_max];
    struct rte_mbuf_ext_shared_info shared; /* one per conn: its count has 16 bits */
};

struct load {
    const struct load_options *o;
    struct load_result *result;
    struct ring ring;
    struct mem mem;
    struct uring_transport *transport;
    struct transport_events events;
    struct load_conn *conns;
    uint8_t head[load_head_bytes_max]; /* frame up to the batch */
    uint32_t head_len, correlation_at, partition_at;
    uint8_t *batch;
    uint32_t batch_len;
    bool measuring, stopping;
    uint32_t open, broken;
    uint64_t in_flight;
};

/* ---- the request, made once ---- */

static uint8_t *put_record(uint8_t *p, struct rng *rng, uint32_t index, uint32_t value_len)
{
    uint8_t body[32];
    size_t n = 0;
    body[n++] = 0;                        /* attributes */
    n += bytes_put_varint64(body + n, 0); /* timestamp delta */
    n += bytes_put_varint32(body + n, (int32_t)index);
    n += bytes_put_varint32(body + n, -1); /* no key */
    n += bytes_put_varint32(body + n, (int32_t)value_len);
    p += bytes_put_varint32(p, (int32_t)(n + value_len + 1));
    memcpy(p, body, n);
    p += n;
    rng_fill(rng, p, value_len);
    p += value_len;
    *p++ = 0; /* headers */
    return p;
}

/* A record batch of magic 2 without compression, timestamps now. */
static int make_batch(struct load *l)
{
    const struct load_options *o = l->o;
    struct rng rng;
    rng_seed(&rng, o->seed);
    l->batch = malloc(batch_header_bytes + (size_t)o->records * (o->record_bytes + 48));
    if (!l->batch)
        return ERR_NO_MEMORY;
    uint8_t *b = l->batch, *p = b + batch_header_bytes;
    for (uint32_t i = 0; i < o->records; i++)
        p = put_record(p, &rng, i, o->record_bytes);
    l->batch_len = (uint32_t)(p - b);
    uint64_t now = (uint64_t)clock_wall_ms(clock_system());
    bytes_put_u64(b, 0);
    bytes_put_u32(b + 8, l->batch_len - 12);
    bytes_put_u32(b + 12, UINT32_MAX);
    b[16] = 2;
    bytes_put_u16(b + 21, 0);
    bytes_put_u32(b + 23, o->records - 1);
    bytes_put_u64(b + 27, now);
    bytes_put_u64(b + 35, now);
    bytes_put_u64(b + 43, UINT64_MAX);
    bytes_put_u16(b + 51, UINT16_MAX);
    bytes_put_u32(b + 53, UINT32_MAX);
    bytes_put_u32(b + 57, o->records);
    bytes_put_u32(b + 17, crc32c(0, b + 21, l->batch_len - 21));
    return 0;
}

/* Produce v7: length, header v1, transactional id, acks, timeout, one topic, one partition. */
static void make_head(struct load *l)
{
    uint8_t *h = l->head, *p = h + 4;
    uint16_t topic_len = (uint16_t)strlen(l->o->topic);
    bytes_put_u16(p, 0);
    bytes_put_u16(p + 2, 7);
    l->correlation_at = (uint32_t)(p + 4 - h);
    bytes_put_u16(p + 8, 12);
    memcpy(p + 10, "sluice-bench", 12);
    p += 22;
    bytes_put_u16(p, UINT16_MAX);
    bytes_put_u16(p + 2, (uint16_t)l->o->acks);
    bytes_put_u32(p + 4, 30000);
    bytes_put_u32(p + 8, 1);
    bytes_put_u16(p + 12, topic_len);
    memcpy(p + 14, l->o->topic, topic_len);
    p += 14 + topic_len;
    bytes_put_u32(p, 1);
    l->partition_at = (uint32_t)(p + 4 - h);
    bytes_put_u32(p + 8, l->batch_len);
    p += 12;
    l->head_len = (uint32_t)(p - h);
    bytes_put_u32(h, l->head_len - 4 + l->batch_len);
}

/* ---- sending ---- */

static bool attach_batch(struct load_conn *c, struct chain *out)
{
    struct load *l = c->load;
    for (uint32_t off = 0; off < l->batch_len;) {
        uint32_t n = l->batch_len - off < 32768 ? l->batch_len - off : 32768;
        struct rte_mbuf *m = rte_pktmbuf_alloc(l->mem.ref_pool);
        if (!m)
            return false;
        rte_mbuf_ext_refcnt_update(&c->shared, 1);
        rte_pktmbuf_attach_extbuf(m, l->batch + off, RTE_BAD_IOVA, (uint16_t)n, &c->shared);
        m->data_off = 0;
        m->data_len = (uint16_t)n;
        m->pkt_len = n;
        chain_append(out, m);
        off += n;
    }
    return true;
}

static bool send_one(struct load_conn *c, int64_t now)
{
    struct load *l = c->load;
    struct chain out;
    chain_init(&out);
    bytes_put_u32(l->head + l->correlation_at, (uint32_t)c->next_correlation);
    bytes_put_u32(l->head + l->partition_at, c->partition);
    bool whole = l->head_len + l->batch_len <= load_frame_copy_max;
    bool ok = chain_append_bytes(&out, l->mem.tx_pool, l->head, l->head_len) == 0;
    if (ok && whole)
        ok = chain_append_bytes(&out, l->mem.tx_pool, l->batch, l->batch_len) == 0;
    else if (ok)
        ok = attach_batch(c, &out);
    if (!ok) {
        chain_free(&out);
        return false;
    }
    c->sent_ns[c->next_correlation % load_in_flight_max] = now;
    c->next_correlation++;
    c->partition = (c->partition + l->o->connections) % l->o->partitions;
    l->in_flight++;
    tconn_send(c->t, &out);
    return true;
}

static void fill_window(struct load_conn *c, int64_t now)
{
    while (!c->load->stopping &&
           (uint32_t)(c->next_correlation - c->next_reply) < c->load->o->in_flight)
        if (!send_one(c, now))
            return;
}

/* ---- replies ---- */

static void on_reply(struct load_conn *c, const uint8_t *reply, uint32_t len, int64_t now)
{
    struct load *l = c->load;
    uint32_t topic_len = (uint32_t)strlen(l->o->topic);
    uint32_t at = 4 + 4 + 2 + topic_len + 4 + 4;
    int32_t correlation = bytes_get_i32(reply);
    l->in_flight--;
    int16_t error = len >= at + 2 && correlation == c->next_reply ? bytes_get_i16(reply + at)
                                                                  : KERR_UNKNOWN_SERVER_ERROR;
    int64_t sent = c->sent_ns[c->next_reply % load_in_flight_max];
    c->next_reply++;
    if (error) {
        if (!l->result->errors++)
            l->result->first_error = error;
        return;
    }
    if (!l->measuring)
        return;
    l->result->requests++;
    l->result->records += l->o->records;
    l->result->bytes += l->batch_len;
    hist_record(&l->result->latency, (uint64_t)(now - sent));
}

static void on_readable(struct tconn *t)
{
    struct load_conn *c = t->user;
    int64_t now = clock_mono_ns(clock_system());
    uint8_t buf[load_reply_bytes_max];
    while (t->rx.bytes >= 4) {
        chain_copy_out(&t->rx, 0, buf, 4);
        uint32_t len = bytes_get_u32(buf);
        if (len > sizeof(buf)) {
            c->load->broken++;
            tconn_close(t, true);
            return;
        }
        if (t->rx.bytes < 4 + (uint64_t)len)
            break;
        chain_copy_out(&t->rx, 4, buf, len);
        chain_consume(&t->rx, 4 + (uint64_t)len);
        on_reply(c, buf, len, now);
    }
    tconn_want(t, load_want_bytes);
    fill_window(c, now);
}

static void on_connected(struct tconn *t)
{
    struct load_conn *c = t->user;
    c->connected = true;
    c->load->open++;
    tconn_want(t, load_want_bytes);
}

static void on_sent(struct tconn *t, uint64_t bytes)
{
}

static void on_closed(struct tconn *t, enum transport_close reason)
{
    struct load_conn *c = t->user;
    if (c->connected)
        c->load->open--;
    if (!c->load->stopping)
        c->load->broken++;
    c->connected = false;
    c->t = NULL;
}

static int on_accepted(void *ctx, struct tconn *t, uint32_t listener)
{
    return ERR_UNSUPPORTED;
}

/* ---- the run ---- */

static void step(struct load *l)
{
    ring_reap(&l->ring, load_events_budget);
    uring_transport_flush(l->transport, clock_mono_ns(clock_system()), load_events_budget);
    ring_submit(&l->ring);
}

/* Runs until the time is over, everything asked for is there (`until` says so), or a connection broke. */
static void spin(struct load *l, double seconds, bool (*until)(struct load *))
{
    int64_t end = clock_mono_ns(clock_system()) + (int64_t)(seconds * 1e9);
    while (clock_mono_ns(clock_system()) < end && !l->broken && !(until && until(l)))
        step(l);
}

static bool all_connected(struct load *l)
{
    return l->open == l->o->connections;
}

static bool all_answered(struct load *l)
{
    return l->in_flight == 0;
}

static bool all_closed(struct load *l)
{
    return l->open == 0;
}

static int open_conns(struct load *l, char *why, size_t why_size)
{
    const struct load_options *o = l->o;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(o->port)};
    if (inet_pton(AF_INET, o->host, &sa.sin_addr) != 1) {
        snprintf(why, why_size, "'%s' is not an IPv4 address", o->host);
        return ERR_INVALID;
    }
    for (uint32_t i = 0; i < o->connections; i++) {
        struct load_conn *c = &l->conns[i];
        c->load = l;
        c->partition = i % o->partitions;
        rte_mbuf_ext_refcnt_set(&c->shared, 1); /* our own hold: the batch outlives every mbuf */
        int err = uring_transport_connect(l->transport, (struct sockaddr *)&sa, c, &c->t);
        if (err) {
            snprintf(why, why_size, "connecting failed: %s", err_text(err));
            return err;
        }
    }
    spin(l, 10, all_connected);
    if (!all_connected(l)) {
        snprintf(why, why_size, "only %u of %u connections to %s:%u opened", l->open,
                 o->connections, o->host, o->port);
        return ERR_CLOSED;
    }
    return 0;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static int measure(struct load *l, char *why, size_t why_size)
{
    int64_t now = clock_mono_ns(clock_system());
    for (uint32_t i = 0; i < l->o->connections; i++)
        fill_window(&l->conns[i], now);
    spin(l, l->o->warmup_s, NULL);
    double cpu = cpu_seconds();
    int64_t start = clock_mono_ns(clock_system());
    l->measuring = true;
    spin(l, l->o->seconds, NULL);
    l->measuring = false;
    l->result->seconds = (double)(clock_mono_ns(clock_system()) - start) / 1e9;
    l->result->client_cpu_s = cpu_seconds() - cpu;
    l->stopping = true;
    if (l->broken) {
        snprintf(why, why_size, "a connection broke during the run");
        return ERR_CLOSED;
    }
    spin(l, 30, all_answered);
    if (!all_answered(l)) {
        snprintf(why, why_size, "%llu requests were never answered",
                 (unsigned long long)l->in_flight);
        return ERR_TIMEOUT;
    }
    for (uint32_t i = 0; i < l->o->connections; i++)
        tconn_close(l->conns[i].t, false);
    spin(l, 5, all_closed);
    return 0;
}

static int run(struct load *l, char *why, size_t why_size)
{
    const struct load_options *o = l->o;
    int err = 0;
    if (o->setup)
        err = admin_prepare_topic(o->host, o->port, l->mem.tx_pool, o->topic, o->partitions, why,
                                  why_size);
    if (!err)
        err = make_batch(l);
    if (err)
        return err;
    make_head(l);
    l->events =
        (struct transport_events){on_accepted, on_readable, on_sent, on_closed, on_connected, l};
    struct uring_options uo = {
        .ring = &l->ring, .mem = &l->mem, .events = &l->events, .conn_max = o->connections + 1};
    err = uring_transport_new(&l->transport, &uo);
    if (err) {
        snprintf(why, why_size, "transport: %s", err_text(err));
        return err;
    }
    err = open_conns(l, why, why_size);
    if (!err)
        err = measure(l, why, why_size);
    uring_transport_free(l->transport);
    return err;
}

int load_run(const struct load_options *options, struct load_result *out, char *why,
             size_t why_size)
{
    struct load *l = calloc(1, sizeof(*l));
    struct mem_plan plan;
    if (!l)
        return ERR_NO_MEMORY;
    memset(out, 0, sizeof(*out));
    hist_init(&out->latency);
    l->o = options;
    l->result = out;
    l->conns = calloc(options->connections, sizeof(*l->conns));
    int err = l->conns ? mem_plan_make(256 * MIB, 1, &plan) : ERR_NO_MEMORY;
    if (!err)
        err = mem_init(&l->mem, &plan, 0);
    if (err) {
        snprintf(why, why_size, "memory: %s", err_text(err));
    } else {
        err = ring_init(&l->ring, 1024, why, why_size);
        if (!err) {
            err = run(l, why, why_size);
            ring_fini(&l->ring);
        }
        mem_fini(&l->mem);
    }
    free(l->batch);
    free(l->conns);
    free(l);
    return err;
}
