/* sim_internal: pipes, ends and the network, shared by the files of the sim transport. */
#ifndef DATAPLANE_TRANSPORT_SIM_INTERNAL_H
#define DATAPLANE_TRANSPORT_SIM_INTERNAL_H

#include <sys/queue.h>

#include "base/rng.h"
#include "dataplane/transport/sim.h"

#define sim_never         INT64_MAX
#define sim_listeners_max 64
#define sim_marks_max     64

/*
 * One direction: a ring of `size` bytes. Stream positions only grow:
 * taken <= arrived <= written <= taken + size.
 */
struct sim_pipe {
    uint8_t *bytes;
    uint32_t size;
    uint64_t written, arrived, taken;
    struct {
        uint64_t end; /* bytes before it ... */
        int64_t at;   /* ... arrive at */
    } marks[sim_marks_max];
    uint32_t mark_first, mark_count;
    int64_t fin_at, reset_at; /* sim_never: none */
};

int sim_pipe_init(struct sim_pipe *p, uint32_t size);
void sim_pipe_free(struct sim_pipe *p);
uint32_t sim_pipe_room(const struct sim_pipe *p);
void sim_pipe_write(struct sim_pipe *p, const void *src, uint32_t n, int64_t at); /* n <= room */
void sim_pipe_advance(struct sim_pipe *p, int64_t now_ns);
void sim_pipe_take(struct sim_pipe *p, void *dst,
                   uint32_t n); /* n <= arrived - taken; dst may be NULL */
int64_t sim_pipe_next(const struct sim_pipe *p, int64_t now_ns); /* next arrival after now */

enum sim_state {
    SIM_ACCEPTING,  /* accepted is told at open_at */
    SIM_CONNECTING, /* connected, or closed if refused, is told at open_at */
    SIM_OPEN,
    SIM_EOF,   /* the peer ended and all was delivered */
    SIM_DRAIN, /* closed by the consumer, bytes still leave */
    SIM_FIN,   /* our FIN has left */
};

/* One end of a connection: a transport's (t != NULL) or a client's. */
struct sim_end {
    struct tconn head; /* of a transport's end */
    struct sim *net;
    struct sim_transport *t;
    struct sim_end *peer; /* NULL: it is gone */
    LIST_ENTRY(sim_end) link;
    struct sim_pipe in;
    struct chain tx; /* waits for the window */
    int64_t open_at, hold_until, deadline_ns;
    uint32_t listener;
    enum sim_state state;
    bool refused, close_wanted, abort_wanted, fin_sent;
};

struct sim_client {
    struct sim_end end;
    LIST_ENTRY(sim_client) link;
    bool closed, reset;
};

struct sim_listener {
    struct sim_transport *t;
    struct sockaddr_storage address;
    uint32_t number;
};

LIST_HEAD(sim_ends, sim_end);

struct sim_transport {
    struct sim *net;
    struct mem *mem;
    const struct transport_events *events;
    uint32_t conn_max, open;
    struct sim_ends ends;
    int64_t next_ns; /* next event, as of the last flush */
    LIST_ENTRY(sim_transport) link;
};

struct sim {
    struct sim_options options;
    struct rng rng;
    int64_t now_ns;
    uint64_t next_id;
    uint16_t next_port;
    struct sim_listener listeners[sim_listeners_max];
    uint32_t listener_count;
    LIST_HEAD(, sim_transport) transports;
    LIST_HEAD(, sim_client) clients;
};

/* One of those that listen on the address, or NULL. */
struct sim_listener *sim_listener_for(struct sim *s, const struct sockaddr *address);

/* The accepting end of a new connection to l, or NULL (ERR_NO_MEMORY). `from` is not linked yet. */
struct sim_end *sim_end_accepting(struct sim_listener *l, struct sim_end *from);

int sim_end_init(struct sim_end *e, struct sim *s);
void sim_end_fini(struct sim_end *e); /* unlinks it from its peer */

/* What an end does to its peer; both work without a peer. */
uint32_t sim_end_put(struct sim_end *e, const void *p, uint32_t n); /* bytes taken */
void sim_end_fin(struct sim_end *e);
void sim_end_reset(struct sim_end *e);

#endif
