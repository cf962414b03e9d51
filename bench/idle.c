#include "bench/idle.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/err.h"
#include "bench/client.h"

#define pass_s   0.0005 /* of work between two sleeps */
#define sleep_ns 50000000

static int no_frames(struct client_conn *c, const struct chain *rx, uint32_t len, int64_t now_ns)
{
    return ERR_MALFORMED; /* nothing was asked */
}

static void no_turn(void *ctx, struct client_conn *c, int64_t now_ns)
{
}

/* Looks at the connections now and then, so that the load does not take the core it measures. */
static void hold(struct client *c, double seconds)
{
    struct timespec nap = {0, sleep_ns};
    for (double t = 0; t < seconds && !c->broken && !crew_stopping(c->o.member);
         t += (double)sleep_ns / 1e9) {
        nanosleep(&nap, NULL);
        client_spin(c, pass_s, NULL, NULL);
    }
}

int idle_run(const struct idle_options *o, bool json, char *why, size_t why_size)
{
    struct client *c;
    struct client_options co = {
        o->host, o->port, o->connections, {no_frames, no_turn, NULL}, o->member};
    uint64_t before = process_rss_kb(o->broker_pid);
    int err = client_new(&c, &co, why, why_size);
    if (err)
        return err;
    err = client_open(c, why, why_size);
    hold(c, 1);
    double cpu = process_cpu_s(o->broker_pid);
    hold(c, o->seconds);
    double used = process_cpu_s(o->broker_pid) - cpu;
    uint64_t after = process_rss_kb(o->broker_pid);
    if (!err && crew_stopping(o->member))
        err = ERR_CANCELLED;
    if (!err && c->broken) {
        snprintf(why, why_size, "%u connections were closed", c->broken);
        err = ERR_CLOSED;
    }
    if (!err && json)
        printf(
            "{\"load\": \"idle\", \"connections\": %u, \"seconds\": %.1f, \"broker_core_share\": "
            "%.5f, \"broker_bytes_per_connection\": %.0f}\n",
            c->open, o->seconds, used / o->seconds,
            ((double)after - (double)before) * 1024 / c->open);
    else if (!err)
        printf("idle: %u connections for %.1f s\n  broker       %.2f %% of a core, %.0f bytes more "
               "resident a connection\n",
               c->open, o->seconds, 100 * used / o->seconds,
               ((double)after - (double)before) * 1024 / c->open);
    client_close(c);
    client_free(c);
    return err;
}
