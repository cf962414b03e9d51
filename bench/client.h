/*
 * client: the connections of a load, on one thread, over any transport.
 *
 * Purpose: opens n connections to one address, cuts what arrives into Kafka frames and hands each to
 * the work that uses them; keeps time and CPU. It knows nothing of what the frames say.
 * Owner: its thread. Memory: mbufs from one plan, one block per connection; nothing is
 * allocated while a load runs. Failure: a negative err with one line in `why`; a connection that
 * breaks ends the run (client.broken).
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/cable.h"
#include "bench/crew.h"
#include "bench/result.h"

#define client_conns_max        20000
#define client_frame_bytes_max  (128u << 20)
#define client_connect_wait_s   30
#define client_connecting_max   16 /* opens under way at once: twice that fits a backlog of 50 */
#define client_quick_recv_bytes 4096

struct client;

struct client_conn {
    struct client *client;
    struct tconn *t;
    uint32_t index;
    bool connected;
    void *work; /* what the work keeps for this connection */
};

/* What a load does. All are called on the client's thread. */
struct client_work {
    /* A whole frame of len bytes (without the length word) is at the head of rx, which the client
     * then drops. A negative err breaks the connection. */
    int (*frame)(struct client_conn *c, const struct chain *rx, uint32_t len, int64_t now_ns);
    /* After each burst of frames, and once per pass for open loops (c: NULL): the place to send, on any connection.
     * Not once one of them broke. */
    void (*turn)(void *ctx, struct client_conn *c, int64_t now_ns);
    void *ctx;
};

struct client_options {
    const char *host; /* numeric, IPv4 or IPv6 */
    uint16_t port;
    uint32_t connections;
    struct client_work work;
    struct crew_member *member; /* whose thread this is; NULL: alone */
};

struct client {
    struct client_options o;
    struct cable cable;
    struct transport_events events;
    struct client_conn *conns;
    uint32_t opening, open, broken;
    bool stopping;
    bool worked;
    int64_t now_ns;  /* of this pass */
    double busy_s;   /* spent in passes that found something to do (the loop spins otherwise) */
    uint64_t bursts; /* passes in which something was received */
};

/* Memory and transport; EAL must be up with cable_eal_mb. On an error nothing is kept. */
int client_new(struct client **out, const struct client_options *options, char *why,
               size_t why_size);
void client_free(struct client *c);

/* Opens all connections. ERR_CLOSED: not all of them in client_connect_wait_s. */
int client_open(struct client *c, char *why, size_t why_size);

/* Runs until the time is over, `until` is true (may be NULL), a connection broke, or the crew stops. */
void client_spin(struct client *c, double seconds, bool (*until)(void *ctx), void *ctx);

/* The same at the end of a run: when the crew stops, it still waits a second. */
void client_drain(struct client *c, double seconds, bool (*until)(void *ctx), void *ctx);

/* Orderly end of all connections, at most 5 s. */
void client_close(struct client *c);

/* What a measured stretch costs: the thread's time and the broker's (broker_pid 0: unknown). */
struct client_meter {
    int64_t start_ns;
    double cpu_s, busy_s, broker_cpu_s;
    struct cable_wire wire;
    uint64_t bursts;
};

/* The stretch should take that long; r's latency over time begins here. */
void client_meter_begin(struct client_meter *m, const struct client *c, int broker_pid,
                        double seconds, struct result *r);

/* Fills r's seconds, CPU and memory; returns the end's time. */
int64_t client_meter_end(const struct client_meter *m, const struct client *c, int broker_pid,
                         struct result *r);

#endif
