/*
 * world: a transport under test with its consumer (app) and the clients at the other end (peers).
 *
 * The same tests run against every kind of world: kernel sockets, the simulated network, and
 * filters
 * over both. Everything happens in one thread; world_step lets each part do what it can.
 */
#ifndef TESTS_UNIT_DATAPLANE_TRANSPORT_WORLD_H
#define TESTS_UNIT_DATAPLANE_TRANSPORT_WORLD_H

#include <netinet/in.h>

#include "base/rng.h"
#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/transport/dpdk.h"
#include "dataplane/transport/filter_mark.h"
#include "dataplane/transport/sim.h"
#include "dataplane/transport/uring.h"
#include "tests/unit/unit.h"

struct world_kind {
    const char *name;
    bool sim, dpdk, v6;
    bool single;    /* uring without bundles and byte caps, as on older kernels */
    bool fragments; /* sim */
    enum sim_delivery delivery;
    const struct filter_mark *mark; /* NULL: no filter */
};

struct world_setup {
    uint32_t conn_max; /* 0: 64 */
    uint32_t rx_bufs;  /* 0: 512 */
    bool ended;        /* the app wants to be told of the peer's end */
};

#define app_conns_max 4096

/* The consumer's side of one connection. It checks the contract at each event. */
struct app_conn {
    struct tconn *c;          /* NULL: closed */
    uint64_t got, limit;      /* bytes delivered in all; may be delivered in all */
    uint64_t given, reported; /* to tconn_send; by sent */
    enum transport_close reason;
    bool used, connected, active, ended;
};

enum app_mode {
    APP_HOLD, /* leaves everything in rx */
    APP_SINK, /* checks against the pattern and drops */
    APP_ECHO, /* sends it back, at most echo_bytes_max under way */
};

#define echo_bytes_max (256 * 1024)

struct app {
    struct transport_events events;
    struct app_conn conns[app_conns_max];
    uint32_t count; /* conns used, in order of acceptance or opening */
    uint32_t accepted, connected, ended, closed, reasons[4];
    enum app_mode mode;
    uint64_t want; /* of new conns, and kept up in APP_SINK */
    int refuse;    /* answered by accepted if not 0 */
    int calls;     /* inside a tconn_* call: no event may come */
    uint32_t listener_seen;
};

struct world {
    const struct world_kind *kind;
    struct world_setup setup;
    struct rng rng;
    struct mem mem;
    struct app app;
    struct ring ring;
    struct uring_transport *uring;
    struct sim *sim;
    struct sim_transport *simt;
    struct world_dpdk *dpdk; /* see world_dpdk.c */
    struct filter *filter;
    struct sockaddr_storage address; /* where it listens */
    int64_t now_ns, skip_ns;
    int64_t real_ns, passed_ns; /* of the system's clock: seen last, passed so far (uring) */
    int64_t frozen_ns;          /* time stands still there, if not 0 (uring) */
    uint32_t rx_before, tx_before, ref_before;
    uint32_t peers;
};

void world_init(struct world *w, const struct world_kind *kind, const struct world_setup *setup);

/* Frees everything and asserts that every mbuf is back. */
void world_fini(struct world *w);

/* One pass of all parts; waits up to a millisecond of real time if nothing happened. */
void world_step(struct world *w);
void world_steps(struct world *w, int n);

/* Steps until cond answers true; false after far too many steps. */
bool world_until(struct world *w, bool (*cond)(void *ctx), void *ctx);

uint32_t world_rx_used(const struct world *w);
uint32_t world_open(const struct world *w);
int world_connect(struct world *w, const struct sockaddr_storage *to, struct app_conn **out);

/* The app's calls, which keep the books. */
void app_want(struct world *w, struct app_conn *a, uint64_t bytes);
void app_send(struct world *w, struct app_conn *a, struct chain *out);
void app_send_pattern(struct world *w, struct app_conn *a, uint64_t bytes);
void app_close(struct world *w, struct app_conn *a, bool abort);
void app_sink(struct app_conn *a); /* checks and drops what is in rx */

/* Byte i of every test stream. */
static inline uint8_t pattern(uint64_t i)
{
    return (uint8_t)((i * 2654435761u) >> 13);
}

/* world_dpdk.c: two stacks of ours, joined by rings: a transport, and bare connections. */
struct world_dpdk;
void world_dpdk_up(struct world *w);
void world_dpdk_down(struct world *w);
void world_dpdk_pass(struct world *w);
int world_dpdk_listen(struct world *w, const struct sockaddr *address, uint32_t listener,
                      uint16_t *port);
struct dpdk_transport *world_dpdk_transport(const struct world *w);
uint32_t world_dpdk_rx_used(const struct world *w);

/* ---- peers ---- */

#define peer_out_bytes 4096

struct peer {
    struct world *w;
    int fd;
    struct sim_client *client;
    struct tcp_conn *tcp;
    uint64_t tcp_held;               /* given to tcp, not acknowledged */
    bool tcp_finished;               /* its peer's end was seen */
    struct chain tcp_rest;           /* not read when it closed */
    uint8_t out[2 * peer_out_bytes]; /* encoded, not taken yet */
    size_t out_at, out_len;
    uint32_t tx_until, rx_until; /* the filter's markers */
    uint64_t sent, received;     /* plain bytes; what was sent and came is pattern(i) */
    bool ended, reset, wrong;    /* seen: FIN, reset, bytes that are not the pattern */
};

/* world_dpdk.c: the same for a bare connection of ours */
bool peer_dpdk_open(struct world *w, struct peer *p);
size_t peer_dpdk_put(struct peer *p, const uint8_t *bytes, size_t n);
size_t peer_dpdk_get(struct peer *p, uint8_t *bytes, size_t n);
void peer_dpdk_close(struct peer *p, bool reset);

bool peer_open(struct world *w, struct peer *p); /* false: refused at once */
size_t peer_send(struct peer *p, size_t n);      /* the next pattern bytes; how many were taken */
size_t peer_send_raw(struct peer *p, const void *bytes, size_t n);
size_t peer_receive(struct peer *p, size_t n); /* at most n, checked */
void peer_shutdown(struct peer *p);
void peer_close(struct peer *p);
void peer_reset(struct peer *p);

#endif
