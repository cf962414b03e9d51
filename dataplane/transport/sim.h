/*
 * sim: the transport in memory, under virtual time.
 *
 * Purpose: tests of the request path without sockets, and whole-broker simulation. A network (struct
 * sim) joins transports (struct sim_transport, one per shard of any broker in the process, behind the
 * contract of transport.h) and clients (struct sim_client, driven byte by byte by a test). Every
 * direction of a connection is a pipe with a latency and a window: what is in flight or has not been
 * taken by the receiver, as a kernel's socket buffers would hold it; `sent` tells what went into it.
 * Same seed and same calls: same run.
 * Owner: one thread for all of a network. Memory: connections and pipes are malloc'd when opened (this
 * is no data path); delivered bytes are mbufs of the transport's mem.
 * Failure: an empty mbuf pool delays deliveries; nothing is lost.
 */
#ifndef DATAPLANE_TRANSPORT_SIM_H
#define DATAPLANE_TRANSPORT_SIM_H

#include <stddef.h>

#include "core/mem.h"
#include "dataplane/transport/transport.h"

struct sim;
struct sim_transport;
struct sim_client;

/* How the bytes that have arrived are cut into readable events. */
enum sim_delivery {
    SIM_WHOLE,  /* all at once */
    SIM_RANDOM, /* random pieces, some of them only in the next step */
    SIM_BYTES,  /* one by one */
};

struct sim_options {
    uint64_t seed;
    enum sim_delivery delivery;
    bool fragments;        /* each piece in an mbuf of its own, the hardest case for parsers */
    int64_t latency_ns;    /* one way */
    uint32_t window_bytes; /* of each direction; 0: 64 KiB */
};

int sim_new(struct sim **out, const struct sim_options *options);

/* All transports are freed before; clients go with it. */
void sim_free(struct sim *s);

/*
 * Steps every transport at now_ns until none has anything left to do at that time, at most 1,000
 * rounds. Returns the time of the next event (INT64_MAX: only the callers can cause one).
 */
int64_t sim_step(struct sim *s, int64_t now_ns);

/* The time of the next event of any transport, as of the last step. */
int64_t sim_next(const struct sim *s);

/* ---- transports ---- */

struct sim_transport_options {
    struct sim *net;
    struct mem *mem;
    const struct transport_events *events;
    uint32_t conn_max; /* one more is refused */
};

int sim_transport_new(struct sim_transport **out, const struct sim_transport_options *options);

/* Its connections are reset, without events. */
void sim_transport_free(struct sim_transport *t);

/*
 * As uring_transport_listen: several transports may listen on one address, a connection goes to one
 * of them by chance. An any-address listens to every address of its family. ERR_FULL, ERR_INVALID.
 */
int sim_transport_listen(struct sim_transport *t, const struct sockaddr *address, uint32_t listener,
                         uint16_t *port);
void sim_transport_stop_listening(struct sim_transport *t);

/* connected, or closed with RESET if nobody listens, follows. ERR_FULL, ERR_NO_MEMORY. */
int sim_transport_connect(struct sim_transport *t, const struct sockaddr *address, void *user,
                          struct tconn **out);

/* The stage. Delivers at most budget events; returns how many. */
uint32_t sim_transport_flush(void *t, int64_t now_ns, uint32_t budget);

/* Connections of the transport that are not closed. */
uint32_t sim_transport_open(const struct sim_transport *t);

/* The network breaks c's connection: both ends see a reset after the latency. */
void sim_break(struct tconn *c);

/* ---- clients; everything happens at the time of the last step ---- */

/* ERR_NOT_FOUND: nobody listens there. ERR_NO_MEMORY. */
int sim_connect(struct sim *s, const struct sockaddr *address, struct sim_client **out);

/* Puts at most what the window takes into flight; returns how many bytes (0: full or closed). */
size_t sim_client_send(struct sim_client *c, const void *p, size_t n);

/* Takes at most n bytes that have arrived, which reopens the window. */
size_t sim_client_receive(struct sim_client *c, void *p, size_t n);

void sim_client_shutdown(struct sim_client *c); /* no more bytes from us, reading goes on */
void sim_client_close(struct sim_client *c);    /* bytes that still come are answered by a reset */
void sim_client_reset(struct sim_client *c);

enum sim_client_state {
    SIM_CLIENT_OPEN,
    SIM_CLIENT_ENDED, /* the other end has sent its FIN and all bytes were received */
    SIM_CLIENT_RESET, /* reset or refused */
};
enum sim_client_state sim_client_state(const struct sim_client *c);

size_t sim_client_readable(const struct sim_client *c); /* arrived, not received yet */
uint64_t
sim_client_undelivered(const struct sim_client *c); /* sent, and the tconn has not got it */

#endif
