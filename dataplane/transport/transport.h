/*
 * transport: the contract between connections and whatever carries their bytes.
 *
 * Purpose: Kafka code sees connections that are accepted, become readable, get bytes acknowledged
 * and close; it cannot tell kernel sockets (uring), our own TCP (dpdk), memory (sim) or a filter on
 * top of one of them apart.
 * Owner: a tconn belongs to one shard; all calls and all events happen on that shard.
 * Memory: `rx` holds mbufs from the shard's rx pool until the consumer takes them; chains given to
 * tconn_send belong to the transport, which frees each mbuf once it will not read it again.
 * Invariants:
 *   - no event is delivered from inside a tconn_* call; events come from the transport's stage;
 *   - between two events the consumer may take any part of rx and may leave any part there;
 *   - a transport never delivers more than `want` bytes beyond what was delivered when want was set;
 *   - closed is the last event, delivered exactly once for each accepted (or connected) conn, also
 *     after tconn_close; afterwards the tconn is gone;
 *   - bytes are sent in the order of tconn_send.
 * Failure: tconn_send cannot fail; a broken peer shows as closed.
 */
#ifndef DATAPLANE_TRANSPORT_TRANSPORT_H
#define DATAPLANE_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "core/chain.h"

struct tconn;
struct transport;

enum transport_close {
    TRANSPORT_CLOSE_PEER = 0,    /* orderly end by the peer; everything it sent was delivered; never
                                    with `ended`, which leaves the close to the consumer */
    TRANSPORT_CLOSE_LOCAL = 1,   /* tconn_close was called */
    TRANSPORT_CLOSE_RESET = 2,   /* reset or other socket error */
    TRANSPORT_CLOSE_TIMEOUT = 3, /* the transport gave up on the peer */
};

/* What the consumer is told. All members are required, but connected (for active opens) and ended. */
struct transport_events {
    /* A new conn of listener `listener` (the number given to listen). The consumer sets c->user and
     * calls tconn_want; returning a negative err refuses: the transport closes it without further events. */
    int (*accepted)(void *ctx, struct tconn *c, uint32_t listener);
    /* c->rx has grown. */
    void (*readable)(struct tconn *c);
    /* `bytes` of what was sent are with the peer's host (or its kernel) and no longer held. */
    void (*sent)(struct tconn *c, uint64_t bytes);
    void (*closed)(struct tconn *c, enum transport_close reason);
    /* An active open succeeded; failure shows as closed with RESET or TIMEOUT. */
    void (*connected)(struct tconn *c);
    void *ctx;
    /*
     * The peer sends no more, and all of it was delivered: once. What is sent still leaves, and the
     * consumer calls tconn_close when it is done with what it has. NULL: the transport closes then.
     */
    void (*ended)(struct tconn *c);
};

struct tconn_ops {
    void (*send)(struct tconn *c, struct chain *out);
    void (*want)(struct tconn *c, uint64_t bytes);
    void (*close)(struct tconn *c, bool abort);
};

/* The common head of every transport's connection block. */
struct tconn {
    const struct tconn_ops *ops;
    const struct transport_events *events;
    void *user;        /* the consumer's */
    struct chain rx;   /* delivered bytes that the consumer has not taken */
    uint64_t want;     /* bytes that may still be delivered; counts down */
    uint64_t tx_bytes; /* sent, not yet reported by `sent` */
    uint64_t id;       /* unique on its shard, for logs */
    uint64_t opened_ns;
    struct sockaddr_storage peer;
};

/* Takes all of `out` (empty afterwards). Bytes leave at the latest at the end of the shard's step. */
static inline void tconn_send(struct tconn *c, struct chain *out)
{
    c->ops->send(c, out);
}

/*
 * Sets how many more bytes may be delivered from now on; 0 stops reading (the peer sees a closed
 * window once the kernel's or stack's own buffer is full). Not additive.
 */
static inline void tconn_want(struct tconn *c, uint64_t bytes)
{
    c->ops->want(c, bytes);
}

/* Orderly: what was sent still leaves, then FIN. Abort: RST, unsent bytes are dropped. Idempotent. */
static inline void tconn_close(struct tconn *c, bool abort)
{
    c->ops->close(c, abort);
}

/* "127.0.0.1:54321" or "[::1]:54321" into out. */
#define TCONN_PEER_TEXT_MAX 64
void tconn_peer_text(const struct tconn *c, char out[TCONN_PEER_TEXT_MAX]);

#endif
