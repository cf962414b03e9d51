#include "bench/serve.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "bench/batch.h"
#include "bench/cable.h"

#define serve_conns_max    4096
#define serve_events       16
#define serve_want_bytes   (1u << 20) /* told to the peer; renewed when half of it has come */
#define serve_frame_max    (2u * MIB)
#define serve_ring_bytes   (64 * MIB)
#define serve_header_bytes 512 /* of a produce request up to its batch */
#define serve_produce_api  0

struct serve {
    const struct serve_options *o;
    struct cable cable;
    struct transport_events events;
    uint8_t *ring;
    uint64_t ring_at, offset;
    uint32_t crc;
};

static volatile sig_atomic_t serve_stop;

static void on_signal(int signum)
{
    serve_stop = 1;
}

static void want_more(struct tconn *t)
{
    if (t->want < serve_want_bytes / 2)
        tconn_want(t, serve_want_bytes);
}

/* ---- echo ---- */

static void echo_readable(struct tconn *t)
{
    struct chain back = {0};
    chain_join(&back, &t->rx);
    want_more(t);
    tconn_send(t, &back);
}

/* ---- null ---- */

/* A position in a request's first bytes; p is NULL after a read beyond the end. */
struct cut {
    const uint8_t *p, *end;
};

static const uint8_t *take(struct cut *c, uint32_t n)
{
    const uint8_t *at = c->p;
    if (at == NULL || n > (size_t)(c->end - at)) {
        c->p = NULL;
        return NULL;
    }
    c->p = at + n;
    return at;
}

static const uint8_t *take_string(struct cut *c, uint16_t *len)
{
    const uint8_t *n = take(c, 2);
    *len = n && bytes_get_i16(n) > 0 ? bytes_get_u16(n) : 0;
    return n ? take(c, *len) : NULL;
}

/* What a Produce v3-7 request for one partition says before its batch. */
struct asked {
    const uint8_t *correlation, *topic, *partition;
    uint16_t topic_len;
    uint32_t batch_at, batch_len, records;
};

static bool parse(const uint8_t *p, uint32_t have, uint32_t len, struct asked *a)
{
    struct cut c = {p, p + have};
    uint16_t n;
    const uint8_t *head = take(&c, 8);
    if (!head || bytes_get_i16(head) != serve_produce_api)
        return false;
    take_string(&c, &n); /* client id */
    take_string(&c, &n); /* transactional id */
    take(&c, 2 + 4 + 4); /* acks, timeout, topics */
    a->topic = take_string(&c, &a->topic_len);
    const uint8_t *part = take(&c, 4 + 4 + 4);
    const uint8_t *batch = part ? c.p : NULL;
    if (!a->topic || !take(&c, batch_header_bytes) || a->topic_len > 249)
        return false;
    a->correlation = head + 4;
    a->partition = part + 4;
    a->batch_at = (uint32_t)(batch - p);
    a->batch_len = bytes_get_u32(part + 8);
    a->records = bytes_get_u32(batch + bench_batch_records_at);
    return a->batch_len >= batch_header_bytes && a->batch_len <= len - a->batch_at;
}

/* The one pass over the batch that a broker makes, too. */
static void store(struct serve *s, const struct chain *rx, const struct asked *a)
{
    struct chain_view v = {chain_pos_at(rx, a->batch_at), a->batch_len};
    const uint8_t *p;
    uint32_t n, crc = 0;
    if (s->ring_at + a->batch_len > serve_ring_bytes)
        s->ring_at = 0;
    while (chain_view_next(&v, &p, &n)) {
        crc = crc32c_copy(crc, s->ring + s->ring_at, p, n);
        s->ring_at += n;
    }
    s->crc = crc;
    s->offset += a->records;
}

static uint32_t reply_write(const struct serve *s, const struct asked *a, uint8_t *out)
{
    uint8_t *o = out + 4;
    memcpy(o, a->correlation, 4);
    bytes_put_u32(o + 4, 1);
    bytes_put_u16(o + 8, a->topic_len);
    memcpy(o + 10, a->topic, a->topic_len);
    o += 10 + a->topic_len;
    bytes_put_u32(o, 1);
    memcpy(o + 4, a->partition, 4);
    bytes_put_u16(o + 8, 0);
    bytes_put_u64(o + 10, s->offset);
    bytes_put_u64(o + 18, UINT64_MAX);
    bytes_put_u64(o + 26, 0);
    bytes_put_u32(o + 34, 0);
    uint32_t total = (uint32_t)(o + 38 - out);
    bytes_put_u32(out, total - 4);
    return total;
}

/* Answers one whole request at the head of rx, without its length word. */
static bool answer(struct serve *s, const struct chain *rx, uint32_t len, struct chain *out)
{
    uint8_t scratch[serve_header_bytes], reply[serve_header_bytes];
    struct asked a;
    uint32_t have = len < sizeof(scratch) ? len : (uint32_t)sizeof(scratch);
    if (!parse(chain_peek(rx, have, scratch), have, len, &a))
        return false;
    store(s, rx, &a);
    uint32_t n = reply_write(s, &a, reply);
    return chain_append_bytes(out, s->cable.mem.tx_pool, reply, n) >= 0;
}

static void null_readable(struct tconn *t)
{
    struct serve *s = t->events->ctx;
    struct chain out = {0};
    uint8_t word[4];
    bool good = true;
    while (good && t->rx.bytes >= 4) {
        uint32_t len = bytes_get_u32(chain_peek(&t->rx, 4, word));
        good = len >= 8 && len <= serve_frame_max;
        if (!good || t->rx.bytes < 4 + (uint64_t)len)
            break;
        chain_consume(&t->rx, 4);
        good = answer(s, &t->rx, len, &out);
        chain_consume(&t->rx, len);
    }
    want_more(t);
    if (out.bytes > 0)
        tconn_send(t, &out);
    if (!good)
        tconn_close(t, true);
}

/* ---- both ---- */

static int on_accepted(void *ctx, struct tconn *t, uint32_t listener)
{
    tconn_want(t, serve_want_bytes);
    return 0;
}

static void on_sent(struct tconn *t, uint64_t bytes)
{
}

static void on_closed(struct tconn *t, enum transport_close reason)
{
}

static int start(struct serve *s, char *why, size_t why_size)
{
    const struct serve_options *o = s->o;
    struct sockaddr_storage sa;
    uint16_t port = o->port;
    if (cable_address(o->host, o->port, &sa) < 0) {
        snprintf(why, why_size, "'%s' is not a numeric address", o->host);
        return ERR_INVALID;
    }
    struct cable_options co = {
        .ports = o->ports, .events = &s->events, .conn_max = serve_conns_max};
    int err = cable_up(&s->cable, &co, why, why_size);
    if (err)
        return err;
    err = cable_listen(&s->cable, (struct sockaddr *)&sa, &port);
    if (err) {
        snprintf(why, why_size, "cannot listen on %s port %u: %s", o->host, o->port, err_text(err));
        return err;
    }
    printf("%s ready %s:%u\n", o->what == SERVE_ECHO ? "echo" : "null", o->host, port);
    fflush(stdout);
    return 0;
}

int serve_run(const struct serve_options *options, char *why, size_t why_size)
{
    struct serve *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NO_MEMORY;
    s->o = options;
    s->events = (struct transport_events){.accepted = on_accepted,
                                          .readable = options->what == SERVE_ECHO ? echo_readable
                                                                                  : null_readable,
                                          .sent = on_sent,
                                          .closed = on_closed,
                                          .ctx = s};
    s->ring = malloc(serve_ring_bytes);
    int err = s->ring ? start(s, why, why_size) : ERR_NO_MEMORY;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int64_t now = clock_mono_ns(clock_system());
    int64_t end = options->seconds > 0 ? now + (int64_t)(options->seconds * 1e9) : INT64_MAX;
    for (; !err && !serve_stop && now < end; now = clock_mono_ns(clock_system())) {
        cable_receive(&s->cable, now, serve_events);
        cable_flush(&s->cable, now, serve_events);
    }
    cable_down(&s->cable);
    free(s->ring);
    free(s);
    return err;
}
