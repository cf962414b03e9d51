#include "bench/idle.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "bench/client.h"

#define pass_s   0.0005 /* of work between two sleeps */
#define sleep_ns 50000000
#define settle_s 1 /* between the last open and the first look at the broker */

/* What was seen of the broker; each only if it could be read at both ends. */
struct held {
    uint32_t connections;
    double seconds;
    bool cpu_known, memory_known;
    double core_share, bytes_each;
    const char *partial; /* why it ended early, else NULL */
};

static int no_frames(struct client_conn *c, const struct chain *rx, uint32_t len, int64_t now_ns)
{
    return ERR_MALFORMED; /* nothing was asked */
}

static void no_turn(void *ctx, struct client_conn *c, int64_t now_ns)
{
}

/* Looks at the connections now and then, so that the load does not take the core it measures. */
static double hold(struct client *c, double seconds)
{
    struct timespec nap = {0, sleep_ns};
    int64_t begin = clock_mono_ns(clock_system()), now = begin;
    int64_t end = begin + (int64_t)(seconds * 1e9);
    while (now < end && !c->broken && !crew_stopping(c->o.member)) {
        nanosleep(&nap, NULL);
        client_spin(c, pass_s, NULL, NULL);
        now = clock_mono_ns(clock_system());
    }
    return (double)(now - begin) / 1e9;
}

static void print_json(const struct held *h)
{
    printf("{\"load\": \"idle\", \"connections\": %u, \"seconds\": %.1f", h->connections,
           h->seconds);
    if (h->cpu_known)
        printf(", \"broker_core_share\": %.5f", h->core_share);
    if (h->memory_known)
        printf(", \"broker_bytes_per_connection\": %.0f", h->bytes_each);
    if (h->partial)
        printf(", \"partial\": \"%s\"", h->partial);
    printf("}\n");
}

static void print_text(const struct held *h)
{
    printf("idle: %u connections for %.1f s\n", h->connections, h->seconds);
    if (h->partial)
        printf("  PARTIAL      %s\n", h->partial);
    printf("  broker       ");
    if (h->cpu_known)
        printf("%.2f %% of a core, ", 100 * h->core_share);
    else
        printf("CPU not measured, ");
    if (h->memory_known)
        printf("%.0f bytes more resident a connection\n", h->bytes_each);
    else
        printf("memory not measured%s\n", h->cpu_known ? "" : " (--broker-pid tells whose)");
}

/* Holds what is open and looks at the broker before and after. */
static void measure(struct client *c, const struct idle_options *o, uint64_t kb_before,
                    struct held *h)
{
    hold(c, settle_s);
    h->connections = c->open;
    double before = process_cpu_s(o->broker_pid);
    h->seconds = hold(c, o->seconds);
    double after = process_cpu_s(o->broker_pid);
    uint64_t kb_after = process_rss_kb(o->broker_pid);
    h->cpu_known = before >= 0 && after >= before && h->seconds > 0;
    if (h->cpu_known)
        h->core_share = (after - before) / h->seconds;
    h->memory_known = kb_before > 0 && kb_after > 0 && h->connections > 0;
    if (h->memory_known)
        h->bytes_each = ((double)kb_after - (double)kb_before) * 1024 / h->connections;
}

int idle_run(const struct idle_options *o, bool json, struct result *out, char *why,
             size_t why_size)
{
    struct client *c;
    struct held h = {0};
    struct client_options co = {
        o->host, o->port, o->connections, {no_frames, no_turn, NULL}, o->member};
    uint64_t kb_before = process_rss_kb(o->broker_pid);
    int err = client_new(&c, &co, why, why_size);
    if (err)
        return err;
    err = client_open(c, why, why_size);
    if (!err) {
        out->open = c->open;
        measure(c, o, kb_before, &h);
        if (c->broken) {
            snprintf(why, why_size, "%u connections were closed", c->broken);
            h.partial = why;
            err = ERR_CLOSED;
        } else if (crew_stopping(o->member)) {
            h.partial = "interrupted";
            err = ERR_CANCELLED;
        }
        if (h.seconds > 0 && json)
            print_json(&h);
        else if (h.seconds > 0)
            print_text(&h);
    }
    client_close(c);
    client_free(c);
    return err;
}
