/*
 * filter: a transport on top of a transport, which transforms the bytes both ways. The seat of TLS.
 *
 * Purpose: the consumer of a filter sees the contract of transport.h and plain bytes; the transport
 * below sees a consumer and wire bytes. What happens to the bytes stands in a table of functions.
 * Owner: the shard that owns the lower transport. Memory: connection blocks with the transform's state
 * are taken at start; plain bytes to be sent wait in the filter until wire bytes were made of them
 * and at most filter_wire_bytes_max of those are with the lower transport at once, so that a slow
 * reader pins little more than that of the pools.
 * Invariants: those of transport.h; want is kept to the byte for plain bytes, and the lower
 * transport's want follows from wire_want. `sent` counts plain bytes whose wire bytes were all sent.
 * Failure: malformed wire bytes abort the connection (closed with RESET). An empty pool delays.
 *
 * Wiring: filter_new; the lower transport is made with filter_lower_events(f); the stage filter_flush
 * stands before the lower transport's flush.
 */
#ifndef DATAPLANE_TRANSPORT_FILTER_H
#define DATAPLANE_TRANSPORT_FILTER_H

#include <stddef.h>

#include "core/mem.h"
#include "dataplane/transport/transport.h"

#define filter_wire_bytes_max (64 * 1024) /* with the lower transport, of one connection */
#define filter_marks_max      8           /* sends whose plain size is remembered apart */

/*
 * A transform. Its functions see one connection's state and chains; they neither block nor call the
 * transports. All answer 0 or an error; ERR_NO_MEMORY (a pool is empty) is tried again later.
 */
struct filter_ops {
    size_t state_bytes;

    /* state is zeroed; active: we connected (a TLS client). An error refuses the connection. */
    int (*open)(void *ctx, void *state, bool active);
    void (*close)(void *state);

    /*
     * Takes what it can use of `wire` (an incomplete rest may stay or move into the state), appends
     * plain bytes to `plain`, and wire bytes that it wants to send of its own (a handshake, an alert)
     * to `reply`, also when it fails. ERR_MALFORMED and others: the connection is aborted after
     * `reply` was sent.
     */
    int (*unwrap)(void *state, struct mem *mem, struct chain *wire, struct chain *plain,
                  struct chain *reply);

    /*
     * Takes plain bytes from the front and appends their wire bytes, stopping at about wire_max of
     * them. Bytes in `plain` may be shared and are not written to. ERR_NEED_MORE: not possible before
     * unwrap got further (a handshake); `plain` is as it was. ERR_NO_MEMORY: what was taken is
     * complete in `wire`.
     */
    int (*wrap)(void *state, struct mem *mem, struct chain *plain, uint64_t wire_max,
                struct chain *wire);

    /* The last wire bytes before an orderly close (close_notify). */
    int (*finish)(void *state, struct mem *mem, struct chain *wire);

    /*
     * How many more wire bytes may be read when `plain` more plain bytes are wanted and `left` wire
     * bytes are there already; may be more than 0 for plain == 0 (a handshake). Plain bytes over what
     * was wanted are kept by the filter.
     */
    uint64_t (*wire_want)(const void *state, uint64_t left, uint64_t plain);
};

struct filter;

struct filter_options {
    const struct filter_ops *ops;
    void *ctx; /* for ops->open */
    struct mem *mem;
    const struct transport_events *events;
    uint32_t conn_max; /* of the lower transport; one more is refused */
};

int filter_new(struct filter **out, const struct filter_options *options);

/* The lower transport is freed before (its connections end there without events). */
void filter_free(struct filter *f);

/* For the lower transport's options. Valid while the filter is. */
const struct transport_events *filter_lower_events(const struct filter *f);

/*
 * An active open through the filter: calls open_lower with the `user` to give the lower conn. Its
 * error is answered, and ERR_FULL.
 */
int filter_connect(struct filter *f, int (*open_lower)(void *lower, void *user, struct tconn **out),
                   void *lower, void *user, struct tconn **out);

/* The stage: what waited for memory or for an event of its own. Returns connections looked at. */
uint32_t filter_flush(void *f, int64_t now_ns, uint32_t budget);

/* Connections that are not closed. */
uint32_t filter_open(const struct filter *f);

#endif
