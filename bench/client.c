#include "bench/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

#define client_events_budget 16

static void break_conn(struct client_conn *c)
{
    c->client->broken++;
    if (c->t)
        tconn_close(c->t, true);
}

/* The receive limit: what is there of a frame begun, and room for the next. */
static uint64_t wanted(const struct tconn *t, uint32_t frame)
{
    uint64_t whole = 4 + (uint64_t)frame;
    return whole > t->rx.bytes + (1u << 20) ? whole - t->rx.bytes : 1u << 20;
}

/* Not once a connection is gone or all are to go: a turn may send on any of them. */
static bool may_send(const struct client *c)
{
    return c->broken == 0 && !c->stopping;
}

static void on_readable(struct tconn *t)
{
    struct client_conn *c = t->user;
    struct client *client = c->client;
    uint32_t len = 0;
    uint8_t word[4];
    while (t->rx.bytes >= 4) {
        len = bytes_get_u32(chain_peek(&t->rx, 4, word));
        if (len < 4 || len > client_frame_bytes_max) {
            break_conn(c);
            return;
        }
        if (t->rx.bytes < 4 + (uint64_t)len)
            break;
        chain_consume(&t->rx, 4);
        if (client->o.work.frame(c, &t->rx, len, client->now_ns) < 0) {
            break_conn(c);
            return;
        }
        chain_consume(&t->rx, len);
        len = 0;
    }
    tconn_want(t, wanted(t, len));
    if (may_send(client))
        client->o.work.turn(client->o.work.ctx, c, client->now_ns);
}

static void on_connected(struct tconn *t)
{
    struct client_conn *c = t->user;
    c->connected = true;
    c->client->open++;
    c->client->opening--;
    tconn_want(t, wanted(t, 0));
}

static void on_sent(struct tconn *t, uint64_t bytes)
{
}

static void on_closed(struct tconn *t, enum transport_close reason)
{
    struct client_conn *c = t->user;
    if (c->connected)
        c->client->open--;
    else
        c->client->opening--;
    if (!c->client->stopping)
        c->client->broken++;
    c->connected = false;
    c->t = NULL;
}

static int on_accepted(void *ctx, struct tconn *t, uint32_t listener)
{
    return ERR_UNSUPPORTED;
}

int client_new(struct client **out, const struct client_options *options, char *why,
               size_t why_size)
{
    struct client *c = calloc(1, sizeof(*c));
    if (!c)
        return ERR_NO_MEMORY;
    c->o = *options;
    c->conns = calloc(options->connections, sizeof(*c->conns));
    const struct crew_member *m = options->member;
    c->events =
        (struct transport_events){on_accepted, on_readable, on_sent, on_closed, on_connected, c};
    struct cable_options co = {.ports = m ? m->crew->net.ports : NULL,
                               .open = m ? m->crew->net.open : NULL,
                               .events = &c->events,
                               .conn_max = options->connections + 1,
                               .threads = m ? m->crew->threads : 1,
                               .index = m ? m->index : 0};
    int err = c->conns ? cable_up(&c->cable, &co, why, why_size) : ERR_NO_MEMORY;
    if (err) {
        client_free(c);
        return err;
    }
    for (uint32_t i = 0; i < options->connections; i++)
        c->conns[i] = (struct client_conn){.client = c, .index = i};
    *out = c;
    return 0;
}

void client_free(struct client *c)
{
    if (!c)
        return;
    cable_down(&c->cable);
    free(c->conns);
    free(c);
}

static void step(struct client *c)
{
    int64_t now = clock_mono_ns(clock_system());
    if (c->worked)
        c->busy_s += (double)(now - c->now_ns) / 1e9;
    c->now_ns = now;
    uint32_t work = cable_receive(&c->cable, now, client_events_budget);
    c->bursts += work > 0;
    if (c->o.work.turn && !c->opening && may_send(c))
        c->o.work.turn(c->o.work.ctx, NULL, c->now_ns);
    work += cable_flush(&c->cable, now, client_events_budget);
    c->worked = work > 0;
}

void client_spin(struct client *c, double seconds, bool (*until)(void *ctx), void *ctx)
{
    int64_t end = clock_mono_ns(clock_system()) + (int64_t)(seconds * 1e9);
    do {
        step(c);
    } while (c->now_ns < end && !c->broken && !(until && until(ctx)) &&
             !crew_stopping(c->o.member));
}

void client_drain(struct client *c, double seconds, bool (*until)(void *ctx), void *ctx)
{
    int64_t now = clock_mono_ns(clock_system()), end = now + (int64_t)(seconds * 1e9);
    int64_t soon = now + CLOCK_NS_PER_S;
    do {
        step(c);
    } while (c->now_ns < end && !c->broken && !until(ctx) &&
             !(c->now_ns > soon && crew_stopping(c->o.member)));
}

static bool none_opening(void *ctx)
{
    return ((struct client *)ctx)->opening == 0;
}

static bool all_closed(void *ctx)
{
    return ((struct client *)ctx)->open == 0;
}

int client_open(struct client *c, char *why, size_t why_size)
{
    struct sockaddr_storage sa;
    if (cable_address(c->o.host, c->o.port, &sa) < 0) {
        snprintf(why, why_size, "'%s' is not a numeric address", c->o.host);
        return ERR_INVALID;
    }
    int err = cable_link(&c->cable, why, why_size);
    if (err)
        return err;
    for (uint32_t i = 0; i < c->o.connections && !c->broken; i++) {
        err = cable_connect(&c->cable, (struct sockaddr *)&sa, &c->conns[i], &c->conns[i].t);
        if (err) {
            snprintf(why, why_size, "connecting failed: %s", err_text(err));
            return err;
        }
        c->opening++;
        if (c->opening >= client_connecting_max)
            client_spin(c, client_connect_wait_s, none_opening, c);
    }
    client_spin(c, client_connect_wait_s, none_opening, c);
    if (c->open != c->o.connections && crew_stopping(c->o.member))
        return ERR_CANCELLED;
    if (c->open != c->o.connections) {
        snprintf(why, why_size, "only %u of %u connections to %s port %u opened", c->open,
                 c->o.connections, c->o.host, c->o.port);
        return ERR_CLOSED;
    }
    return 0;
}

void client_close(struct client *c)
{
    c->stopping = true;
    for (uint32_t i = 0; i < c->o.connections; i++)
        if (c->conns[i].t)
            tconn_close(c->conns[i].t, false);
    c->broken = 0;
    client_drain(c, 5, all_closed, c);
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_THREAD, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

void client_meter_begin(struct client_meter *m, const struct client *c, int broker_pid,
                        double seconds, struct result *r)
{
    *m = (struct client_meter){.start_ns = clock_mono_ns(clock_system()),
                               .cpu_s = cpu_s(),
                               .busy_s = c->busy_s,
                               .wire = cable_wire(&c->cable),
                               .bursts = c->bursts,
                               .broker_cpu_s = process_cpu_s(broker_pid)};
    result_window(r, m->start_ns, seconds);
}

int64_t client_meter_end(const struct client_meter *m, const struct client *c, int broker_pid,
                         struct result *r)
{
    int64_t end = clock_mono_ns(clock_system());
    r->seconds = (double)(end - m->start_ns) / 1e9;
    r->client_cpu_s = cpu_s() - m->cpu_s;
    r->client_busy_s = c->busy_s - m->busy_s;
    struct cable_wire wire = cable_wire(&c->cable);
    r->frames_in = wire.frames_in - m->wire.frames_in;
    r->frames_out = wire.frames_out - m->wire.frames_out;
    r->wire_bytes = wire.bytes_in - m->wire.bytes_in + wire.bytes_out - m->wire.bytes_out;
    r->bursts = c->bursts - m->bursts;
    if (m->broker_cpu_s >= 0)
        r->broker_cpu_s = process_cpu_s(broker_pid) - m->broker_cpu_s;
    r->broker_rss_kb = process_rss_kb(broker_pid);
    return end;
}
