#include "tests/unit/dataplane/transport/conformance.h"

#include <string.h>

#include "base/clock.h"
#include "base/err.h"

/* A condition on the world, so that world_until can wait for it. */
struct wait {
    struct world *w;
    struct peer *p;
    struct app_conn *a;
    uint64_t n;
};

static bool accepted(void *ctx)
{
    struct wait *x = ctx;
    return x->w->app.accepted >= x->n;
}

static bool closed(void *ctx)
{
    struct wait *x = ctx;
    return x->w->app.closed >= x->n;
}

static bool none_open(void *ctx)
{
    struct wait *x = ctx;
    return world_open(x->w) == 0;
}

static bool got(void *ctx)
{
    struct wait *x = ctx;
    return x->a->got >= x->n;
}

static bool reported_all(void *ctx)
{
    struct wait *x = ctx;
    return x->a->reported == x->a->given;
}

static bool peer_has(void *ctx)
{
    struct wait *x = ctx;
    peer_receive(x->p, x->n - x->p->received);
    return x->p->received >= x->n;
}

static bool peer_over(void *ctx)
{
    struct wait *x = ctx;
    peer_receive(x->p, UINT32_MAX);
    return x->p->ended || x->p->reset;
}

static bool peer_sent(void *ctx)
{
    struct wait *x = ctx;
    if (x->p->sent < x->n)
        peer_send(x->p, x->n - x->p->sent);
    return x->p->sent >= x->n && (x->p->out_len == 0 || peer_send(x->p, 0) == 0) &&
           x->p->out_len == 0;
}

/* A peer and its accepted connection. */
static struct app_conn *pair(struct world *w, struct peer *p)
{
    uint32_t before = w->app.count;
    CU_ASSERT_TRUE_FATAL(peer_open(w, p));
    struct wait x = {.w = w, .n = w->app.accepted + 1};
    CU_ASSERT_TRUE_FATAL(world_until(w, accepted, &x));
    return &w->app.conns[before];
}

static struct world *start(const struct world_kind *kind, enum app_mode mode,
                           struct world_setup setup)
{
    struct world *w = malloc(sizeof *w);
    CU_ASSERT_PTR_NOT_NULL_FATAL(w);
    world_init(w, kind, &setup);
    w->app.mode = mode;
    return w;
}

static void finish(struct world *w)
{
    struct wait x = {.w = w};
    CU_ASSERT_TRUE(world_until(w, none_open, &x));
    CU_ASSERT_EQUAL(w->app.closed, w->app.count);
    world_fini(w);
    free(w);
}

#define WAIT(w_, cond, ...)                                                                        \
    do {                                                                                           \
        struct wait wait_ = {.w = (w_), __VA_ARGS__};                                              \
        CU_ASSERT_TRUE_FATAL(world_until((w_), cond, &wait_));                                     \
    } while (0)

void conformance_accepts(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_SINK, (struct world_setup){0});
    struct peer a, b;
    struct app_conn *ca = pair(w, &a), *cb = pair(w, &b);
    char text[TCONN_PEER_TEXT_MAX];
    tconn_peer_text(ca->c, text);
    CU_ASSERT_EQUAL(strncmp(text, kind->v6 ? "[::1]:" : "127.0.0.1:", kind->v6 ? 6 : 10), 0);
    CU_ASSERT_TRUE(atoi(strrchr(text, ':') + 1) > 0);
    CU_ASSERT_NOT_EQUAL(ca->c->id, cb->c->id);
    CU_ASSERT_TRUE(ca->c->opened_ns > 0);
    CU_ASSERT_EQUAL(w->app.listener_seen, 7);
    peer_close(&a);
    peer_close(&b);
    WAIT(w, closed, .n = 2);
    CU_ASSERT_EQUAL(w->app.reasons[TRANSPORT_CLOSE_PEER], 2);
    finish(w);
}

void conformance_refuses(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_SINK, (struct world_setup){0});
    struct peer p;
    w->app.refuse = ERR_FULL;
    CU_ASSERT_TRUE_FATAL(peer_open(w, &p));
    WAIT(w, peer_over, .p = &p);
    CU_ASSERT_FALSE(p.reset); /* an end that a client understands */
    CU_ASSERT_EQUAL(w->app.closed, 0);
    peer_close(&p);
    w->app.refuse = 0;
    pair(w, &p); /* the block is free again, others are welcome */
    peer_close(&p);
    finish(w);
}

static void echo_one(struct world *w, struct peer *p, uint64_t bytes)
{
    uint64_t until = p->sent + bytes;
    int idle = 0;
    while (p->received < until && idle < 100000 && !p->reset && !p->ended) {
        uint64_t before = p->sent + p->received;
        if (p->sent < until)
            peer_send(p, until - p->sent);
        else
            peer_send(p, 0);
        peer_receive(p, 1 + rng_below(&w->rng, 300000));
        world_step(w);
        idle = p->sent + p->received == before ? idle + 1 : 0;
    }
    CU_ASSERT_EQUAL_FATAL(p->received, until);
    CU_ASSERT_FALSE(p->wrong);
}

void conformance_echoes(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_ECHO, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint64_t most = kind->sim && kind->delivery == SIM_BYTES ? 100 * KIB : 3 * MIB;
    uint64_t sizes[] = {
        1, 2, 100, 16384, 16385, rng_below(&w->rng, most), rng_below(&w->rng, most), most};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        echo_one(w, &p, sizes[i] + 1);
    WAIT(w, reported_all, .a = a);
    CU_ASSERT_EQUAL(a->given, p.received);
    peer_close(&p);
    finish(w);
}

/* A peer that sends all it can is read to the byte as far as want says, and not further. */
void conformance_keeps_want(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){.rx_bufs = 1024});
    struct peer p;
    w->app.want = 0;
    struct app_conn *a = pair(w, &p);
    uint64_t allowed = 0, total = 300 * KIB;
    for (int round = 0; allowed < total; round++) {
        uint64_t more =
            round < 3 ? (uint64_t)round : 1 + rng_below(&w->rng, round % 4 ? 40000 : 20);
        if (p.sent < total)
            peer_send(&p, total - p.sent);
        else
            peer_send(&p, 0);
        app_want(w, a, more);
        allowed += more;
        if (allowed > total)
            break;
        WAIT(w, got, .a = a, .n = allowed);
        world_steps(w, 3);
        CU_ASSERT_EQUAL_FATAL(a->got, allowed);
        CU_ASSERT_EQUAL(a->c->want, 0);
        CU_ASSERT_EQUAL(a->c->rx.bytes, a->got);
        if (round % 5 == 4) { /* the peer may go on once the buffers below are emptied */
            for (int i = 0; i < 3; i++) {
                peer_send(&p, p.sent < total ? total - p.sent : 0);
                world_step(w);
            }
            CU_ASSERT_EQUAL_FATAL(a->got, allowed);
        }
    }
    WAIT(w, peer_sent, .p = &p, .n = total);
    WAIT(w, got, .a = a, .n = total);
    world_steps(w, 3);
    CU_ASSERT_EQUAL(a->got, total);
    app_sink(a);
    peer_close(&p);
    finish(w);
}

/* Lowering want holds at once, also when more was already allowed and is on its way. */
void conformance_lowers_want(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){.rx_bufs = 1024});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint64_t total = 200 * KIB;
    for (int round = 0; a->got < total; round++) {
        peer_send(&p, p.sent < total ? total - p.sent : 0);
        app_want(w, a, 50000);
        world_steps(w, (int)rng_below(&w->rng, 3));
        uint64_t low = rng_below(&w->rng, 700), now = a->got;
        app_want(w, a, low);
        world_steps(w, 4);
        CU_ASSERT_TRUE_FATAL(a->got <= now + low);
        CU_ASSERT_TRUE_FATAL(round < 100000);
    }
    CU_ASSERT_EQUAL(a->got, total);
    app_sink(a);
    peer_close(&p);
    app_want(w, a, 1);
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_PEER);
    finish(w);
}

/* Bytes that nobody reads stay counted as ours; reading on reports each once. */
void conformance_slow_reader(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint64_t total = 12 * MIB;
    /* external to the pool: one buffer, referred to many times, as log memory is */
    for (uint64_t i = 0; i < total / (64 * KIB); i++) {
        app_send_pattern(w, a, 64 * KIB);
        world_steps(w, 2);
        if (a->c->tx_bytes > MIB)
            break;
    }
    world_steps(w, 20);
    uint64_t stuck = a->reported;
    CU_ASSERT_TRUE(stuck < a->given);
    CU_ASSERT_EQUAL(a->c->tx_bytes, a->given - stuck);
    world_steps(w, 20);
    CU_ASSERT_EQUAL(a->reported, stuck);
    WAIT(w, peer_has, .p = &p, .n = a->given);
    WAIT(w, reported_all, .a = a);
    CU_ASSERT_EQUAL(a->c->tx_bytes, 0);
    CU_ASSERT_FALSE(p.wrong);
    peer_close(&p);
    finish(w);
}

/* The peer ends its side and still gets what was sent until everything it sent was delivered. */
static bool ended(void *ctx)
{
    struct wait *x = ctx;
    return x->w->app.ended >= x->n;
}

/*
 * Who wants to be told of the peer's end has all that it sent before, and the conn until it closes: what
 * it sends later still arrives. Paused first, so that bytes and end wait together.
 */
void conformance_ended(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){.ended = true});
    struct peer p;
    w->app.want = 0;
    for (uint64_t i = 0; i < 6; i++) {
        struct app_conn *a = pair(w, &p);
        uint64_t n = i == 0 ? 0 : 1 + rng_below(&w->rng, 3000);
        WAIT(w, peer_sent, .p = &p, .n = n);
        peer_shutdown(&p);
        if (n == 0) /* with nothing to deliver it is told at once */
            WAIT(w, ended, .n = i + 1);
        world_steps(w, 20);
        CU_ASSERT_EQUAL(a->ended, n == 0);
        app_want(w, a, 64 * KIB);
        WAIT(w, ended, .n = i + 1);
        CU_ASSERT(a->ended && a->got == n);
        world_steps(w, 50);
        CU_ASSERT_EQUAL(w->app.closed, i);
        CU_ASSERT_EQUAL(w->app.ended, i + 1);
        app_sink(a);
        app_send_pattern(w, a, 5000);
        if (i % 2)
            WAIT(w, reported_all, .a = a);
        app_close(w, a, false);
        WAIT(w, peer_over, .p = &p);
        CU_ASSERT(p.ended && !p.reset);
        CU_ASSERT_EQUAL(p.received, 5000);
        WAIT(w, closed, .n = i + 1);
        CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
        peer_close(&p);
    }
    finish(w);
}

void conformance_half_close(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_ECHO, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint64_t n = 20 * KIB + rng_below(&w->rng, 30 * KIB);
    WAIT(w, peer_sent, .p = &p, .n = n);
    peer_shutdown(&p);
    WAIT(w, peer_over, .p = &p);
    CU_ASSERT_TRUE(p.ended && !p.reset);
    CU_ASSERT_EQUAL(p.received, n);
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_PEER);
    CU_ASSERT_EQUAL(a->got, n);
    CU_ASSERT_EQUAL(a->reported, n);
    peer_close(&p);
    finish(w);
}

void conformance_peer_resets(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_SINK, (struct world_setup){0});
    struct peer p;
    for (int i = 0; i < 4; i++) {
        w->app.want = i < 2 ? 64 * KIB : 0; /* while reading, and while paused */
        struct app_conn *a = pair(w, &p);
        if (i % 2 == 1) {
            peer_send(&p, 1000);
            world_steps(w, 5);
        }
        peer_reset(&p);
        WAIT(w, closed, .n = (uint64_t)i + 1);
        CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_RESET);
    }
    finish(w);
}

void conformance_peer_closes_while_paused(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    w->app.want = 0;
    struct app_conn *a = pair(w, &p);
    world_steps(w, 5);
    peer_close(&p); /* nothing is unread: noticed without reading */
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_PEER);

    a = pair(w, &p);
    peer_send(&p, 3000);
    world_steps(w, 5);
    peer_close(&p); /* 3,000 bytes are: they come first, however late */
    world_steps(w, 20);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->c);
    app_want(w, a, 1000);
    WAIT(w, got, .a = a, .n = 1000);
    world_steps(w, 20);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->c);
    CU_ASSERT_EQUAL(a->got, 1000);
    app_sink(a);
    app_want(w, a, 5000);
    WAIT(w, closed, .n = 2);
    CU_ASSERT_EQUAL(a->got, 3000);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_PEER);
    finish(w);
}

/* Bytes over a lowered want come before the end of the peer, however late they are wanted. */
void conformance_ends_over_unwanted_bytes(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    world_steps(w, 3);
    CU_ASSERT_EQUAL(peer_send(&p, 9000), 9000);
    peer_shutdown(&p);
    app_want(w, a, 100); /* with 64 KiB allowed until now */
    for (uint64_t want = 100; want < 9000; want += 1000) {
        WAIT(w, got, .a = a, .n = want);
        world_steps(w, 20);
        CU_ASSERT_PTR_NOT_NULL_FATAL(a->c);
        CU_ASSERT_EQUAL_FATAL(a->got, want);
        app_sink(a);
        app_want(w, a, 1000);
    }
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->got, 9000);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_PEER);
    peer_close(&p);
    finish(w);
}

void conformance_closes_orderly(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint64_t n = 400 * KIB + rng_below(&w->rng, 100 * KIB);
    app_send_pattern(w, a, n);
    app_close(w, a, false);
    app_close(w, a, false);
    WAIT(w, peer_over, .p = &p);
    CU_ASSERT_TRUE(p.ended && !p.reset);
    CU_ASSERT_EQUAL(p.received, n);
    CU_ASSERT_FALSE(p.wrong);
    peer_close(&p);
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
    CU_ASSERT_EQUAL(a->reported, n);
    finish(w);
}

void conformance_aborts(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    for (int i = 0; i < 3; i++) {
        struct app_conn *a = pair(w, &p);
        if (i >= 1)
            app_send_pattern(w, a, MIB);
        if (i == 2) {
            world_steps(w, 5); /* part of it is with the kernel */
            app_close(w, a, false);
        }
        app_close(w, a, true);
        WAIT(w, closed, .n = (uint64_t)i + 1);
        CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
        WAIT(w, peer_over, .p = &p);
        CU_ASSERT_TRUE(p.reset);
        peer_close(&p);
    }
    finish(w);
}

/* A peer that neither ends nor reads is given up after the linger. */
void conformance_lingers(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer quiet, stuck;
    struct app_conn *a = pair(w, &quiet), *b = pair(w, &stuck);
    app_close(w, a, false);
    app_send_pattern(w, b, 8 * MIB);
    app_close(w, b, false);
    world_steps(w, 50);
    CU_ASSERT_EQUAL(w->app.closed, 0);
    w->skip_ns += 6 * CLOCK_NS_PER_S;
    WAIT(w, closed, .n = 2);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
    CU_ASSERT_EQUAL(b->reason, TRANSPORT_CLOSE_LOCAL);
    CU_ASSERT_TRUE(b->reported < b->given);
    peer_close(&quiet);
    peer_close(&stuck);
    finish(w);
}

/* A peer that reads slowly gets all of it, though each pause is near the linger's end. */
void conformance_lingers_for_progress(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    app_send_pattern(w, a, 10 * MIB);
    app_close(w, a, false);
    for (uint64_t part = MIB; part <= 10 * MIB; part += MIB) {
        WAIT(w, peer_has, .p = &p, .n = part);
        world_steps(w, 5);
        w->skip_ns += 2 * CLOCK_NS_PER_S;
    }
    WAIT(w, peer_over, .p = &p);
    CU_ASSERT_TRUE(p.ended && !p.reset && !p.wrong);
    peer_close(&p);
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->reported, 10 * MIB);
    finish(w);
}

/* What a client still sends does not cost it the last reply. */
void conformance_drops_what_comes_after_close(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    w->app.want = 0;
    struct app_conn *a = pair(w, &p);
    peer_send(&p, 30000);
    world_steps(w, 5);
    app_send_pattern(w, a, 5000);
    app_close(w, a, false);
    peer_send(&p, 1000);
    WAIT(w, peer_over, .p = &p);
    CU_ASSERT_TRUE(p.ended && !p.reset);
    CU_ASSERT_EQUAL(p.received, 5000);
    peer_close(&p);
    WAIT(w, closed, .n = 1);
    CU_ASSERT_EQUAL(a->got, 0);
    finish(w);
}

void conformance_one_byte_segments(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    struct peer p;
    struct app_conn *a = pair(w, &p);
    uint32_t before = world_rx_used(w);
    for (uint64_t i = 1; i <= 3000; i++) {
        WAIT(w, peer_sent, .p = &p, .n = i);
        if (!kind->sim || i % 100 == 0)
            WAIT(w, got, .a = a, .n = i);
    }
    CU_ASSERT_EQUAL(a->got, 3000);
    CU_ASSERT_TRUE(kind->fragments || world_rx_used(w) <= before + 4);
    CU_ASSERT_TRUE(kind->fragments || a->c->rx.segs <= 4);
    app_sink(a);
    peer_close(&p);
    finish(w);
}

/* Connections with the start of something each do not keep another one from working. */
void conformance_many_half_sent(const struct world_kind *kind)
{
    enum { many = 300 };
    struct world *w = start(kind, APP_HOLD, (struct world_setup){.conn_max = 400, .rx_bufs = 1024});
    static struct peer p[many], other;
    for (int i = 0; i < many; i++) {
        struct app_conn *a = pair(w, &p[i]);
        uint64_t n = 1 + rng_below(&w->rng, 90);
        WAIT(w, peer_sent, .p = &p[i], .n = n);
        WAIT(w, got, .a = a, .n = n);
        app_want(w, a, 0);
    }
    w->app.mode = APP_ECHO;
    pair(w, &other);
    echo_one(w, &other, 200 * KIB);
    for (int i = 0; i < many; i++)
        peer_close(&p[i]);
    peer_close(&other);
    WAIT(w, closed, .n = many + 1);
    CU_ASSERT_EQUAL(w->app.reasons[TRANSPORT_CLOSE_PEER], many + 1);
    finish(w);
}

static bool app_holds(void *ctx)
{
    struct wait *x = ctx;
    uint64_t all = 0;
    for (uint32_t i = 0; i < x->w->app.count; i++)
        all += x->w->app.conns[i].got;
    for (uint32_t i = 0; i < x->w->peers; i++)
        if (x->p[i].sent < 100000)
            peer_send(&x->p[i], 100000 - x->p[i].sent);
        else
            peer_send(&x->p[i], 0);
    return all >= x->n;
}

/* The app keeps all it gets until the pool is empty; then it lets go, and nothing was lost. */
void conformance_pool_runs_out(const struct world_kind *kind)
{
    enum { many = 24 };
    struct world *w = start(kind, APP_HOLD, (struct world_setup){.rx_bufs = 63});
    static struct peer p[many];
    w->app.want = 100000;
    w->peers = many;
    for (int i = 0; i < many; i++)
        pair(w, &p[i]);
    for (int i = 0; i < 300; i++) {
        app_holds(&(struct wait){.w = w, .p = p});
        world_step(w);
    }
    uint64_t all = 0;
    for (int i = 0; i < many; i++)
        all += w->app.conns[i].got;
    CU_ASSERT_TRUE(all > 0 && all < many * 100000);
    for (int i = 0; i < many; i++)
        app_sink(&w->app.conns[i]);
    for (int round = 0; all < many * 100000; round++) {
        CU_ASSERT_TRUE_FATAL(round < 20000);
        app_holds(&(struct wait){.w = w, .p = p});
        world_step(w);
        all = 0;
        for (int i = 0; i < many; i++) {
            app_sink(&w->app.conns[i]);
            all += w->app.conns[i].got;
        }
    }
    for (int i = 0; i < many; i++)
        peer_close(&p[i]);
    for (int i = 0; i < many; i++)
        app_want(w, &w->app.conns[i], 1);
    WAIT(w, closed, .n = many);
    CU_ASSERT_EQUAL(w->app.reasons[TRANSPORT_CLOSE_PEER], many);
    finish(w);
}

void conformance_one_more_than_conn_max(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_ECHO, (struct world_setup){.conn_max = 4});
    struct peer p[4], extra;
    for (int i = 0; i < 4; i++)
        pair(w, &p[i]);
    CU_ASSERT_TRUE_FATAL(peer_open(w, &extra));
    WAIT(w, peer_over, .p = &extra);
    peer_close(&extra);
    CU_ASSERT_EQUAL(w->app.accepted, 4);
    CU_ASSERT_EQUAL(world_open(w), 4);
    for (int i = 0; i < 4; i++)
        echo_one(w, &p[i], 1000);
    peer_close(&p[2]);
    WAIT(w, closed, .n = 1);
    world_steps(w, 3);
    pair(w, &p[2]);
    echo_one(w, &p[2], 1000);
    for (int i = 0; i < 4; i++)
        peer_close(&p[i]);
    finish(w);
}

void conformance_churn(const struct world_kind *kind)
{
    enum { batch = 50, rounds = 24 };
    struct world *w = start(kind, APP_ECHO, (struct world_setup){.conn_max = 2 * batch});
    static struct peer p[batch];
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < batch; i++)
            CU_ASSERT_TRUE_FATAL(peer_open(w, &p[i]));
        WAIT(w, accepted, .n = (uint64_t)(r + 1) * batch);
        for (int i = 0; i < batch; i += 5)
            echo_one(w, &p[i], 1 + rng_below(&w->rng, 3000));
        for (int i = 0; i < batch; i++) {
            if (rng_below(&w->rng, 3) == 0)
                peer_reset(&p[i]);
            else
                peer_close(&p[i]);
        }
        WAIT(w, closed, .n = (uint64_t)(r + 1) * batch);
    }
    CU_ASSERT_EQUAL(w->app.accepted, batch * rounds);
    finish(w);
}

/* Either side ends in any way while bytes are under way: each conn is closed once, nothing leaks. */
void conformance_random_ends(const struct world_kind *kind)
{
    enum { batch = 40, rounds = 6 };
    struct world *w = start(kind, APP_ECHO, (struct world_setup){.conn_max = 2 * batch});
    static struct peer p[batch];
    for (int r = 0; r < rounds; r++) {
        uint32_t first = w->app.count;
        for (int i = 0; i < batch; i++)
            CU_ASSERT_TRUE_FATAL(peer_open(w, &p[i]));
        WAIT(w, accepted, .n = (uint64_t)(r + 1) * batch);
        for (int i = 0; i < batch; i++)
            peer_send(&p[i], 1 + rng_below(&w->rng, 200000));
        for (int i = 0; i < batch; i++) {
            struct app_conn *a = &w->app.conns[first + (uint32_t)i];
            world_steps(w, (int)rng_below(&w->rng, 2));
            switch (rng_below(&w->rng, 5)) {
            case 0:
                peer_reset(&p[i]);
                break;
            case 1:
                peer_close(&p[i]);
                break;
            case 2:
                peer_shutdown(&p[i]);
                break;
            default:
                if (a->c != NULL)
                    app_close(w, a, rng_below(&w->rng, 2) == 0);
                break;
            }
        }
        world_steps(w, 5);
        for (int i = 0; i < batch; i++)
            peer_close(&p[i]);
        WAIT(w, closed, .n = (uint64_t)(r + 1) * batch);
    }
    finish(w);
}

static bool connected(void *ctx)
{
    struct wait *x = ctx;
    return x->a->connected || x->a->c == NULL;
}

void conformance_active_open(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_SINK, (struct world_setup){0});
    struct app_conn *a;
    uint32_t server = w->app.count + 1;
    CU_ASSERT_EQUAL_FATAL(world_connect(w, &w->address, &a), 0);
    app_want(w, a, w->app.want);
    app_send_pattern(w, a, 100000); /* before it is connected: leaves once it is */
    WAIT(w, connected, .a = a);
    CU_ASSERT_PTR_NOT_NULL_FATAL(a->c);
    WAIT(w, accepted, .n = 1);
    struct app_conn *b = &w->app.conns[server];
    WAIT(w, got, .a = b, .n = 100000);
    app_send_pattern(w, b, 77777);
    WAIT(w, got, .a = a, .n = 77777);
    app_close(w, a, false);
    WAIT(w, closed, .n = 2);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
    CU_ASSERT_EQUAL(b->reason, TRANSPORT_CLOSE_PEER);

    struct sockaddr_storage nobody = w->address; /* port 1 */
    if (kind->v6)
        ((struct sockaddr_in6 *)&nobody)->sin6_port = htons(1);
    else
        ((struct sockaddr_in *)&nobody)->sin_port = htons(1);
    CU_ASSERT_EQUAL_FATAL(world_connect(w, &nobody, &a), 0);
    WAIT(w, closed, .n = 3);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_RESET);
    CU_ASSERT_FALSE(a->connected);
    CU_ASSERT_EQUAL(w->app.connected, 1);

    CU_ASSERT_EQUAL_FATAL(world_connect(w, &w->address, &a), 0);
    app_close(w, a, true); /* before anything happened */
    WAIT(w, closed, .n = 4);
    CU_ASSERT_EQUAL(a->reason, TRANSPORT_CLOSE_LOCAL);
    for (int i = 0; i < 30; i++)
        world_step(w);
    finish(w);
}

void conformance_freed_while_busy(const struct world_kind *kind)
{
    struct world *w = start(kind, APP_HOLD, (struct world_setup){0});
    static struct peer p[8];
    for (int i = 0; i < 8; i++) {
        struct app_conn *a = pair(w, &p[i]);
        peer_send(&p[i], 50000);
        app_send_pattern(w, a, MIB / 2);
        world_steps(w, i);
        if (i == 5)
            app_close(w, a, false);
        if (i == 6)
            app_want(w, a, 0);
    }
    world_fini(w); /* asserts that all mbufs are back */
    for (int i = 0; i < 8; i++)
        if (!kind->sim && !kind->dpdk)
            peer_close(&p[i]);
    free(w);
}
