#include "bench/loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hist.h"
#include "bench/cable.h"

#define loop_port       9092
#define loop_events     1024
#define loop_want_bytes (1u << 20)
#define loop_bytes_max  1024
#define loop_open_s     10
#define loop_group      128 /* steps of some milliseconds, which a busy host leaves alone now and then */

enum { SERVER, CLIENT };

struct end {
    struct cable cable;
    struct transport_events events;
    struct hist step;            /* ns of a step in which every connection had its turn */
    uint64_t group_ns, least_ns; /* of loop_group such steps: those under way, the fastest */
    uint32_t grouped;
    uint64_t bytes, turned;
};

struct loop {
    const struct loop_options *o;
    struct end ends[2];
    uint32_t open;
    uint64_t trips;
    bool stop;
    uint8_t message[loop_bytes_max];
};

static void want_more(struct tconn *t)
{
    if (t->want < loop_want_bytes / 2)
        tconn_want(t, loop_want_bytes);
}

static int on_accepted(void *ctx, struct tconn *t, uint32_t listener)
{
    tconn_want(t, loop_want_bytes);
    return 0;
}

static void on_server_readable(struct tconn *t)
{
    struct loop *l = t->events->ctx;
    struct chain back = {0};
    l->ends[SERVER].turned++;
    chain_join(&back, &t->rx);
    want_more(t);
    tconn_send(t, &back);
}

static void say(struct loop *l, struct tconn *t)
{
    struct chain out = {0};
    if (chain_append_bytes(&out, l->ends[CLIENT].cable.mem.tx_pool, l->message, l->o->bytes) >= 0)
        tconn_send(t, &out);
}

static void on_client_readable(struct tconn *t)
{
    struct loop *l = t->events->ctx;
    l->ends[CLIENT].turned++;
    if (t->rx.bytes < l->o->bytes)
        return;
    chain_consume(&t->rx, l->o->bytes);
    want_more(t);
    l->trips++;
    if (!l->stop)
        say(l, t);
}

static void on_connected(struct tconn *t)
{
    struct loop *l = t->events->ctx;
    l->open++;
    tconn_want(t, loop_want_bytes);
}

static void on_sent(struct tconn *t, uint64_t bytes)
{
}

static void on_closed(struct tconn *t, enum transport_close reason)
{
}

static void count_step(struct end *e, uint64_t ns)
{
    hist_record(&e->step, ns);
    e->group_ns += ns;
    if (++e->grouped < loop_group)
        return;
    if (e->least_ns == 0 || e->group_ns < e->least_ns)
        e->least_ns = e->group_ns;
    e->group_ns = e->grouped = 0;
}

static double least(const struct loop *l, int which)
{
    return (double)l->ends[which].least_ns / loop_group / l->o->connections;
}

/* One pass; its time counts if every connection was served in it. */
static void step(struct loop *l, int which)
{
    struct end *e = &l->ends[which];
    int64_t now = clock_mono_ns(clock_system());
    e->turned = 0;
    cable_receive(&e->cable, now, loop_events);
    cable_flush(&e->cable, now, loop_events);
    if (e->turned == l->o->connections)
        count_step(e, (uint64_t)(clock_mono_ns(clock_system()) - now));
}

static void spin(struct loop *l, double seconds, uint32_t open)
{
    int64_t end = clock_mono_ns(clock_system()) + (int64_t)(seconds * 1e9);
    while (clock_mono_ns(clock_system()) < end && l->open < open) {
        step(l, CLIENT);
        step(l, SERVER);
    }
}

static int end_up(struct loop *l, int which, char *why, size_t why_size)
{
    struct end *e = &l->ends[which];
    e->events = (struct transport_events){
        on_accepted,  which == SERVER ? on_server_readable : on_client_readable,
        on_sent,      on_closed,
        on_connected, l};
    hist_init(&e->step);
    struct cable_options o = {.ports = l->o->ports[which],
                              .events = &e->events,
                              .conn_max = l->o->connections + 1,
                              .index = (uint32_t)which};
    return cable_up(&e->cable, &o, why, why_size);
}

static int open_all(struct loop *l, char *why, size_t why_size)
{
    struct sockaddr_storage sa;
    uint16_t port;
    int err = cable_address(l->o->host, loop_port, &sa);
    for (int i = SERVER; !err && i <= CLIENT; i++)
        err = end_up(l, i, why, why_size);
    if (!err)
        err = cable_listen(&l->ends[SERVER].cable, (struct sockaddr *)&sa, &port);
    if (!err)
        err = cable_link(&l->ends[CLIENT].cable, why, why_size);
    struct tconn **conns = calloc(l->o->connections, sizeof(struct tconn *));
    for (uint32_t i = 0; !err && i < l->o->connections; i++)
        err = cable_connect(&l->ends[CLIENT].cable, (struct sockaddr *)&sa, NULL, &conns[i]);
    if (!err)
        spin(l, loop_open_s, l->o->connections);
    if (!err && l->open < l->o->connections)
        err = ERR_TIMEOUT;
    for (uint32_t i = 0; !err && i < l->o->connections; i++)
        say(l, conns[i]);
    free(conns);
    return err;
}

static void report(const struct loop *l, double seconds)
{
    if (l->o->json) {
        const struct hist *a = &l->ends[SERVER].step, *b = &l->ends[CLIENT].step;
        double n = l->o->connections;
        printf(
            "{\"load\": \"loop\", \"connections\": %u, \"server_ns\": %.1f, \"client_ns\": %.1f, "
            "\"server_least_ns\": %.1f, \"client_least_ns\": %.1f}\n",
            l->o->connections, (double)hist_quantile(a, 0.1) / n, (double)hist_quantile(b, 0.1) / n,
            least(l, SERVER), least(l, CLIENT));
        return;
    }
    printf("loop: %u connections, %u bytes, %.0f round trips/s on one core\n", l->o->connections,
           l->o->bytes, (double)l->trips / seconds);
    for (int i = SERVER; i <= CLIENT; i++) {
        const struct hist *h = &l->ends[i].step;
        double n = l->o->connections;
        printf("  %s  ns a message: least %.1f p10 %.0f p50 %.0f p90 %.0f (%llu bursts)\n",
               i == SERVER ? "server" : "client", least(l, i), (double)hist_quantile(h, 0.1) / n,
               (double)hist_quantile(h, 0.5) / n, (double)hist_quantile(h, 0.9) / n,
               (unsigned long long)h->count);
    }
}

int loop_run(const struct loop_options *options, char *why, size_t why_size)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l)
        return ERR_NO_MEMORY;
    l->o = options;
    if (options->bytes > loop_bytes_max) {
        snprintf(why, why_size, "at most %d bytes a message", loop_bytes_max);
        free(l);
        return ERR_RANGE;
    }
    int err = open_all(l, why, why_size);
    if (!err) {
        spin(l, options->seconds / 4, UINT32_MAX);
        l->trips = 0;
        for (int i = SERVER; i <= CLIENT; i++) {
            hist_init(&l->ends[i].step);
            l->ends[i].least_ns = l->ends[i].group_ns = l->ends[i].grouped = 0;
        }
        spin(l, options->seconds, UINT32_MAX);
        report(l, options->seconds);
    }
    l->stop = true;
    cable_down(&l->ends[CLIENT].cable);
    cable_down(&l->ends[SERVER].cable);
    free(l);
    return err;
}
