#include "tests/tcp/scenario.h"

#include <stdio.h>

#include "base/check.h"

#define MS     1000000LL
#define SECOND 1000000000LL

static uint64_t pick(struct rng *r, const uint64_t *from, size_t n)
{
    return from[rng_below(r, n)];
}
#define PICK(r, ...)                                                                               \
    pick(r, (const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / 8)

static bool one_in(struct rng *r, uint64_t n)
{
    return rng_below(r, n) == 0;
}

static void random_path(struct world *w, struct net_path *p)
{
    struct rng *r = &w->rng;
    p->delay = (int64_t)PICK(r, 5000, 50000, 500000, 1000000, 10000000, 50000000, 150000000);
    p->loss = (uint32_t)PICK(r, 0, 0, 1000, 10000, 50000, 200000);
    p->duplicate = (uint32_t)PICK(r, 0, 0, 0, 1000, 50000);
    p->corrupt = (uint32_t)PICK(r, 0, 0, 0, 1000, 50000);
    p->reorder = (uint32_t)PICK(r, 0, 0, 0, 10000, 300000, 1000000);
    p->jitter = p->reorder > 0 ? (int64_t)rng_below(r, (uint64_t)p->delay * 2 + 1) : 0;
    p->mark = (uint32_t)PICK(r, 0, 0, 10000, 300000);
    if (one_in(r, 5)) {
        p->burst_enter = 5000;
        p->burst_leave = 200000;
    }
    p->rate = PICK(r, 0, 0, 100000, 1250000, 12500000, 125000000);
    p->queue = (uint32_t)PICK(r, 0, 6000, 30000, 300000);
    p->icmp = one_in(r, 2);
}

/* Options are lost in both directions or on the SYN alone: else no stack could know. */
static void middle_boxes(struct world *w)
{
    struct rng *r = &w->rng;
    struct net_path *to = &w->net.path[0], *back = &w->net.path[1];
    if (!one_in(r, 4))
        return;
    to->strip_ts = one_in(r, 2);
    back->strip_ts = one_in(r, 2);
    to->strip_sack = one_in(r, 2);
    back->strip_sack = one_in(r, 2);
    to->strip_scale = one_in(r, 2);
    back->strip_scale = to->strip_scale && (w->simultaneous || one_in(r, 2));
    to->strip_mss = one_in(r, 2);
    back->strip_mss = one_in(r, 2);
    to->strip_ecn = one_in(r, 2);
    back->strip_ecn = one_in(r, 2);
}

static void random_options(struct world *w, int host)
{
    struct rng *r = &w->rng;
    struct tcp_options *o = &w->options[host];
    o->sack = !one_in(r, 5);
    o->timestamps = !one_in(r, 4);
    o->window_scaling = !one_in(r, 6);
    o->ecn = one_in(r, 2);
    o->hystart = one_in(r, 2);
    o->congestion = one_in(r, 3) ? TCP_NEWRENO : TCP_CUBIC;
    o->copy_max = (uint32_t)PICK(r, 0, 64, 256, 100000);
    o->delayed_ack = (int64_t)PICK(r, 0, 1000000, 40000000, 500000000);
    o->rto_min = (int64_t)PICK(r, 5000000, 200000000, 1000000000);
    o->rto_initial = SECOND;
    o->rx_window_max = (uint32_t)PICK(r, 4000, 65535, 300000, 4 << 20);
    o->descriptors_max = (uint32_t)PICK(r, 16, 200, 16384);
    o->rx_segments_max = (uint32_t)PICK(r, 4, 100, 4096);
    o->rx_ooo_ranges_max = (uint32_t)PICK(r, 2, 16, 256);
    o->rx_memory_max = PICK(r, 100000, 1000000, 256 << 20);
    o->user_timeout = o->syn_timeout = 36000 * SECOND;
    o->time_wait = 3600 * SECOND; /* longer than any row of lost retransmissions */
    struct tcp_route *route = &w->host[host].route;
    route->mtu = (uint16_t)PICK(r, 576, 1280, 1500, 1500, 3500, 9000);
    route->checksum_offload = one_in(r, 2);
    if (route->checksum_offload)
        route->tso_max = (uint32_t)PICK(r, 0, 8000, 65000);
    w->host[host].poll = (int64_t)PICK(r, 0, 0, 20000, 1000000, 7000000);
}

static uint64_t stream_length(struct rng *r)
{
    switch (rng_below(r, 6)) {
    case 0:
        return 0;
    case 1:
        return 1 + rng_below(r, 3);
    case 2:
        return rng_below(r, 3000);
    case 3:
    case 4:
        return rng_below(r, 100000);
    default:
        return rng_below(r, 400000);
    }
}

static void random_app(struct world *w, struct world_app *a)
{
    struct rng *r = &w->rng;
    a->to_send = stream_length(r);
    a->chunk = (uint32_t)PICK(r, 200, 3000, 60000);
    a->piece = (uint32_t)PICK(r, 20, 700, 2048);
    a->queue_max = PICK(r, 5000, 100000, 1000000);
    if (a->piece == 20 && a->host->world->options[a->host->index].copy_max == 0)
        a->piece = 700; /* each would be an mbuf of a segment */
    if (a->piece == 20 && a->queue_max > 20000)
        a->queue_max = 20000;
    a->window = (uint32_t)PICK(r, 600, 5000, 70000, 1 << 20);
    a->read_max = (uint32_t)PICK(r, 0, 0, 0, 300, 10000);
    a->read_pause = (int64_t)PICK(r, 0, 0, 0, 100000, 20000000);
    a->send_pause = (int64_t)PICK(r, 0, 0, 0, 100000, 20000000);
    a->close_early = one_in(r, 2);
    a->keepalive = one_in(r, 4);
    a->nagle = one_in(r, 4);
    if (a->read_max == 300 || a->chunk == 200) /* keeps a run short */
        a->read_pause /= 10;
}

/* The ends wait for each other if neither closes first. */
static void end_somewhere(struct world *w)
{
    for (int k = 0; k < w->pairs; k++)
        if (!w->host[0].app[k].close_early && !w->host[1].app[k].close_early)
            w->host[rng_below(&w->rng, 2)].app[k].close_early = true;
}

static void with_cookies(struct world *w)
{
    w->options[1].syns_max = 1;
    w->options[1].syn_cookies = true;
    for (int i = 0; i < 2; i++) {
        struct net_path *p = &w->net.path[i];
        p->loss = p->loss > 10000 ? 10000 : p->loss;
        p->burst_enter = p->burst_leave = p->corrupt = 0;
        p->queue = 0;
        p->rate = 0;
    }
    w->net.path[1].strip_ts = false; /* the timestamp is where a cookie keeps the scale */
    w->pairs = 4;
    for (int k = 0; k < 4; k++) /* a client that waits for the server would wait for ever */
        w->host[0].app[k].to_send += w->host[0].app[k].to_send == 0;
}

static void change_on_the_way(struct world *w)
{
    struct rng *r = &w->rng;
    struct net_path *p = &w->net.path[rng_below(r, 2)];
    switch (rng_below(r, 4)) {
    case 0:
        p->mtu = (uint16_t)PICK(r, 576, 1000, 1280, 1500, 9000);
        break;
    case 1:
        p->down = !p->down;
        break;
    case 2:
        p->delay = (int64_t)PICK(r, 5000, 1000000, 50000000);
        break;
    default:
        p->loss = (uint32_t)PICK(r, 0, 10000, 100000);
        break;
    }
}

int64_t scenario_run(struct world *w, struct world_pools *pools, uint64_t seed, bool trace)
{
    world_init(w, pools, seed);
    struct rng *r = &w->rng;
    w->trace = trace;
    w->pairs = 1 + (int)rng_below(r, 4);
    w->simultaneous = one_in(r, 12);
    for (int i = 0; i < 2; i++) {
        random_path(w, &w->net.path[i]);
        random_options(w, i);
        for (int k = 0; k < world_pairs_max; k++)
            random_app(w, &w->host[i].app[k]);
    }
    middle_boxes(w);
    bool cookies = !w->simultaneous && one_in(r, 8);
    if (cookies)
        with_cookies(w);
    end_somewhere(w);
    world_start(w);
    int64_t start = w->now;
    bool done = false;
    if (one_in(r, 3) && !cookies) {
        for (int i = 0; i < 6 && !done; i++) {
            done = world_run(w, w->now + (int64_t)rng_below(r, 400) * MS);
            change_on_the_way(w);
        }
        w->net.path[0].down = w->net.path[1].down = false;
    }
    if (!done)
        done = world_run(w, w->now + 24 * 3600 * SECOND);
    CHECK(done); /* eventual progress */
    int64_t took = w->now - start;
    world_check_done(w);
    world_end(w);
    return took;
}
