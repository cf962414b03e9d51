#include "tests/unit/dataplane/transport/world.h"

#include <arpa/inet.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/eal.h"

#define eal_mb          320
#define until_steps_max 200000
#define step_most_ns    (5 * CLOCK_NS_PER_MS)

static void eal_once(void)
{
    static bool up;
    char why[256] = "";
    struct eal_options options = {.memory_mb = eal_mb};
    struct eal_state state;
    if (up)
        return;
    if (eal_up(&options, &state, why, sizeof why) < 0) {
        fprintf(stderr, "EAL: %s\n", why);
        exit(1);
    }
    up = true;
    atexit(eal_down);
}

/* ---- the app ---- */

static struct app_conn *app_conn_new(struct app *app, struct tconn *c)
{
    CU_ASSERT_FATAL(app->count < app_conns_max);
    struct app_conn *a = &app->conns[app->count++];
    *a = (struct app_conn){.c = c, .used = true};
    return a;
}

void app_want(struct world *w, struct app_conn *a, uint64_t bytes)
{
    a->limit = a->got + bytes;
    w->app.calls++;
    tconn_want(a->c, bytes);
    w->app.calls--;
    CU_ASSERT_EQUAL(a->c->want, bytes);
}

void app_send(struct world *w, struct app_conn *a, struct chain *out)
{
    a->given += out->bytes;
    w->app.calls++;
    tconn_send(a->c, out);
    w->app.calls--;
    CU_ASSERT_EQUAL(out->bytes, 0);
    CU_ASSERT_EQUAL(a->c->tx_bytes, a->given - a->reported);
}

void app_send_pattern(struct world *w, struct app_conn *a, uint64_t bytes)
{
    uint8_t piece[1024];
    struct chain out = {0};
    for (uint64_t i = 0; i < bytes;) {
        size_t n = bytes - i < sizeof piece ? bytes - i : sizeof piece;
        for (size_t k = 0; k < n; k++)
            piece[k] = pattern(a->given + i + k);
        CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&out, w->mem.tx_pool, piece, n), 0);
        i += n;
    }
    app_send(w, a, &out);
}

void app_close(struct world *w, struct app_conn *a, bool abort)
{
    w->app.calls++;
    tconn_close(a->c, abort);
    w->app.calls--;
}

void app_sink(struct app_conn *a)
{
    struct chain *rx = &a->c->rx;
    uint64_t at = a->got - rx->bytes;
    while (rx->bytes > 0) {
        uint8_t piece[4096];
        size_t n = rx->bytes < sizeof piece ? rx->bytes : sizeof piece;
        bool right = true;
        chain_copy_out(rx, 0, piece, n);
        for (size_t i = 0; i < n; i++)
            right &= piece[i] == pattern(at + i);
        CU_ASSERT_TRUE(right);
        at += n;
        chain_consume(rx, n);
    }
}

/* Reads on as long as little is under way back to the peer. */
static void echo(struct world *w, struct app_conn *a)
{
    if (a->c->rx.bytes > 0) {
        struct chain out = a->c->rx;
        a->c->rx = (struct chain){0};
        app_send(w, a, &out);
    }
    uint64_t room = a->c->tx_bytes < echo_bytes_max ? echo_bytes_max - a->c->tx_bytes : 0;
    app_want(w, a, room);
}

static int on_accepted(void *ctx, struct tconn *c, uint32_t listener)
{
    struct world *w = ctx;
    CU_ASSERT_EQUAL(w->app.calls, 0);
    w->app.listener_seen = listener;
    if (w->app.refuse != 0)
        return w->app.refuse;
    struct app_conn *a = app_conn_new(&w->app, c);
    c->user = a;
    w->app.accepted++;
    app_want(w, a, w->app.want);
    return 0;
}

static void on_readable(struct tconn *c)
{
    struct app_conn *a = c->user;
    struct world *w = c->events->ctx;
    uint64_t before = a->limit - a->got; /* the want before this event */
    CU_ASSERT_EQUAL(w->app.calls, 0);
    CU_ASSERT_PTR_EQUAL(a->c, c);
    CU_ASSERT_TRUE(c->want < before);
    a->got = a->limit - c->want;
    if (w->app.mode == APP_SINK) {
        CU_ASSERT_TRUE(c->rx.bytes == before - c->want);
        app_sink(a);
        app_want(w, a, w->app.want);
    } else if (w->app.mode == APP_ECHO) {
        echo(w, a);
    }
}

static void on_sent(struct tconn *c, uint64_t bytes)
{
    struct app_conn *a = c->user;
    struct world *w = c->events->ctx;
    CU_ASSERT_EQUAL(w->app.calls, 0);
    CU_ASSERT_PTR_EQUAL(a->c, c);
    CU_ASSERT_TRUE(bytes > 0);
    a->reported += bytes;
    CU_ASSERT_TRUE(a->reported <= a->given);
    CU_ASSERT_EQUAL(c->tx_bytes, a->given - a->reported);
    if (w->app.mode == APP_ECHO)
        echo(w, a);
}

static void on_closed(struct tconn *c, enum transport_close reason)
{
    struct app_conn *a = c->user;
    struct world *w = c->events->ctx;
    CU_ASSERT_EQUAL(w->app.calls, 0);
    CU_ASSERT_PTR_EQUAL_FATAL(a->c, c); /* once only */
    a->c = NULL;
    a->reason = reason;
    w->app.closed++;
    w->app.reasons[reason]++;
}

/* All was delivered before; the app may still send. */
static void on_ended(struct tconn *c)
{
    struct app_conn *a = c->user;
    struct world *w = c->events->ctx;
    CU_ASSERT_EQUAL(w->app.calls, 0);
    CU_ASSERT_PTR_EQUAL(a->c, c);
    CU_ASSERT_FALSE(a->ended);
    a->ended = true;
    w->app.ended++;
}

static void on_connected(struct tconn *c)
{
    struct app_conn *a = c->user;
    struct world *w = c->events->ctx;
    CU_ASSERT_EQUAL(w->app.calls, 0);
    CU_ASSERT_FALSE(a->connected);
    a->connected = true;
    w->app.connected++;
}

/* ---- the world ---- */

static void mem_up(struct world *w)
{
    struct mem_plan plan = {
        .shards = 1,
        .rx_bufs = w->setup.rx_bufs,
        .tx_bufs = 8191,
        .ref_bufs = 4095,
        .log_chunks = 1,
        .request_bytes = MIB,
        .request_max = MIB,
    };
    int err = mem_init(&w->mem, &plan, 0);
    if (err < 0) {
        fprintf(stderr, "mem_init: %s\n", err_text(err));
        exit(1);
    }
    w->rx_before = rte_mempool_avail_count(w->mem.rx_pool);
    w->tx_before = rte_mempool_avail_count(w->mem.tx_pool);
    w->ref_before = rte_mempool_avail_count(w->mem.ref_pool);
}

static void listen_at(struct world *w)
{
    struct sockaddr *address = (struct sockaddr *)&w->address;
    uint16_t port = 0;
    int errnum = 0;
    if (w->kind->v6)
        *(struct sockaddr_in6 *)address =
            (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    else
        *(struct sockaddr_in *)address =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int err = w->kind->dpdk  ? world_dpdk_listen(w, address, 7, &port)
              : w->kind->sim ? sim_transport_listen(w->simt, address, 7, &port)
                             : uring_transport_listen(w->uring, address, 7, &port, &errnum);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    CU_ASSERT_NOT_EQUAL_FATAL(port, 0);
    if (w->kind->v6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

static void uring_up(struct world *w, const struct transport_events *events)
{
    char why[256] = "";
    int err = ring_init(&w->ring, 256, why, sizeof why);
    if (err < 0) {
        fprintf(stderr, "ring_init: %s\n", why);
        exit(1);
    }
    if (w->kind->single)
        w->ring.features.recv_bundle = w->ring.features.recv_multi_cap = false;
    struct uring_options options = {
        .ring = &w->ring,
        .mem = &w->mem,
        .events = events,
        .conn_max = w->setup.conn_max,
        .listen_backlog = 4096,
    };
    CU_ASSERT_EQUAL_FATAL(uring_transport_new(&w->uring, &options), 0);
}

static void sim_up(struct world *w, const struct transport_events *events)
{
    struct sim_options net = {
        .seed = unit_seed(),
        .delivery = w->kind->delivery,
        .fragments = w->kind->fragments,
        .latency_ns = 50 * CLOCK_NS_PER_US,
    };
    CU_ASSERT_EQUAL_FATAL(sim_new(&w->sim, &net), 0);
    struct sim_transport_options options = {
        .net = w->sim,
        .mem = &w->mem,
        .events = events,
        .conn_max = w->setup.conn_max,
    };
    CU_ASSERT_EQUAL_FATAL(sim_transport_new(&w->simt, &options), 0);
}

void world_init(struct world *w, const struct world_kind *kind, const struct world_setup *setup)
{
    static const struct world_setup defaults;
    eal_once();
    *w = (struct world){.kind = kind, .setup = setup != NULL ? *setup : defaults};
    if (w->setup.conn_max == 0)
        w->setup.conn_max = 64;
    if (w->setup.rx_bufs == 0)
        w->setup.rx_bufs = 512;
    rng_seed(&w->rng, unit_seed());
    w->app.events = (struct transport_events){
        .accepted = on_accepted,
        .readable = on_readable,
        .sent = on_sent,
        .closed = on_closed,
        .connected = on_connected,
        .ctx = w,
        .ended = w->setup.ended ? on_ended : NULL,
    };
    w->app.want = 64 * KIB;
    mem_up(w);
    const struct transport_events *events = &w->app.events;
    if (kind->mark != NULL) {
        struct filter_options options = {
            .ops = &filter_mark_ops,
            .ctx = (void *)(uintptr_t)kind->mark,
            .mem = &w->mem,
            .events = events,
            .conn_max = w->setup.conn_max,
        };
        CU_ASSERT_EQUAL_FATAL(filter_new(&w->filter, &options), 0);
        events = filter_lower_events(w->filter);
    }
    if (kind->dpdk)
        world_dpdk_up(w);
    else if (kind->sim)
        sim_up(w, events);
    else
        uring_up(w, events);
    listen_at(w);
    world_steps(w, 3);
}

void world_fini(struct world *w)
{
    if (w->kind->dpdk) {
        world_dpdk_down(w);
    } else if (w->kind->sim) {
        sim_transport_free(w->simt);
        sim_free(w->sim);
    } else {
        uring_transport_free(w->uring);
        ring_fini(&w->ring);
    }
    filter_free(w->filter);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(w->mem.rx_pool), w->rx_before);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(w->mem.tx_pool), w->tx_before);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(w->mem.ref_pool), w->ref_before);
    mem_fini(&w->mem);
}

static void sim_pass(struct world *w)
{
    if (w->filter != NULL)
        filter_flush(w->filter, w->now_ns, UINT32_MAX);
    int64_t next = sim_step(w->sim, w->now_ns + w->skip_ns);
    next -= w->skip_ns;
    /* time goes to the next event, but for far ones (lingers) in small steps */
    int64_t most = w->now_ns + CLOCK_NS_PER_MS;
    w->now_ns = next > w->now_ns && next < most ? next : most;
}

/* Real time, but for what a step cannot take: a test that stood still for seconds is no slow peer. */
static int64_t time_passes(struct world *w)
{
    int64_t real = clock_mono_ns(clock_system());
    int64_t step = w->real_ns != 0 ? real - w->real_ns : real;
    if (w->real_ns != 0 && step > step_most_ns)
        step = step_most_ns;
    w->real_ns = real;
    w->passed_ns += step;
    return w->passed_ns;
}

void world_step(struct world *w)
{
    if (w->kind->dpdk) {
        world_dpdk_pass(w);
        return;
    }
    if (w->kind->sim) {
        sim_pass(w);
        return;
    }
    w->now_ns = w->frozen_ns != 0 ? w->frozen_ns : time_passes(w) + w->skip_ns;
    uint32_t done = ring_reap(&w->ring, 256);
    if (w->filter != NULL)
        done += filter_flush(w->filter, w->now_ns, UINT32_MAX);
    done += uring_transport_flush(w->uring, w->now_ns, UINT32_MAX);
    ring_submit(&w->ring);
    if (done == 0 && !ring_ready(&w->ring))
        ring_park(&w->ring, CLOCK_NS_PER_MS);
}

void world_steps(struct world *w, int n)
{
    for (int i = 0; i < n; i++)
        world_step(w);
}

bool world_until(struct world *w, bool (*cond)(void *ctx), void *ctx)
{
    for (int i = 0; i < until_steps_max; i++) {
        if (cond(ctx))
            return true;
        world_step(w);
    }
    return cond(ctx);
}

uint32_t world_rx_used(const struct world *w)
{
    if (w->kind->dpdk)
        return world_dpdk_rx_used(w);
    return w->rx_before - rte_mempool_avail_count(w->mem.rx_pool);
}

uint32_t world_open(const struct world *w)
{
    if (w->filter != NULL)
        return filter_open(w->filter);
    if (w->kind->dpdk)
        return dpdk_transport_counters(world_dpdk_transport(w))->open;
    return w->kind->sim ? sim_transport_open(w->simt) : uring_transport_counters(w->uring)->open;
}

static int open_lower(void *ctx, void *user, struct tconn **out)
{
    struct world *w = ctx;
    const struct sockaddr *to = (const struct sockaddr *)&w->address;
    if (w->kind->dpdk)
        return dpdk_transport_connect(world_dpdk_transport(w), to, user, out);
    return w->kind->sim ? sim_transport_connect(w->simt, to, user, out)
                        : uring_transport_connect(w->uring, to, user, out);
}

int world_connect(struct world *w, const struct sockaddr_storage *to, struct app_conn **out)
{
    struct sockaddr_storage own = w->address;
    struct app_conn *a = app_conn_new(&w->app, NULL);
    w->address = *to;
    int err = w->filter != NULL ? filter_connect(w->filter, open_lower, w, a, &a->c)
                                : open_lower(w, a, &a->c);
    w->address = own;
    if (err < 0) {
        w->app.count--;
        return err;
    }
    a->active = true;
    *out = a;
    return 0;
}
