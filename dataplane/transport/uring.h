/*
 * uring: the transport over kernel sockets, on the shard's io_uring.
 *
 * Purpose: multishot accept, multishot receive with provided buffers (large mbufs of the shard's rx
 * pool, bundles, a byte cap per arm where the kernel knows it, else single receives of at most `want` bytes), batched
 * sends. Owner: one shard. Memory: connection blocks from a fixed table of conn_max; receive buffers
 * are mbufs. Received pieces that would leave a buffer under half full are copied together, so that
 * one-byte segments cannot pin the pool.
 * Failure: listen answers ERR_BUSY (address in use), ERR_PERMISSION, ERR_SYSTEM with errno kept in
 * *errnum. When buffers run out receiving pauses and resumes when some come back; nothing is lost.
 */
#ifndef DATAPLANE_TRANSPORT_URING_H
#define DATAPLANE_TRANSPORT_URING_H

#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/transport/transport.h"

struct uring_transport;

struct uring_options {
    struct ring *ring;
    struct mem *mem;
    const struct transport_events *events;
    uint32_t conn_max; /* connection blocks taken at start */
    uint32_t send_buffer_bytes,
        receive_buffer_bytes; /* SO_SNDBUF, SO_RCVBUF; 0: the kernel's choice */
    uint32_t listen_backlog;
};

int uring_transport_new(struct uring_transport **out, const struct uring_options *options);

/*
 * Open connections are reset, without events. Either on the ring's thread, or after ring_fini (then
 * on any). NULL is accepted.
 */
void uring_transport_free(struct uring_transport *t);

/*
 * Opens a listening socket with SO_REUSEPORT (each shard opens its own on the same address, the
 * kernel spreads connections). address is IPv4 or IPv6 (IPv6 any: dual stack). *port gets the port
 * the kernel chose if that was 0. `listener` is handed back in accepted events.
 */
int uring_transport_listen(struct uring_transport *t, const struct sockaddr *address,
                           uint32_t listener, uint16_t *port, int *errnum);

/*
 * True sharing hides a second broker on the same port (SO_REUSEPORT lets any process of the same user
 * in): whoever starts the shards asks once, before the first of them listens. ERR_BUSY: somebody
 * listens there.
 */
int uring_transport_probe(const struct sockaddr *address, int *errnum);

/* Starts an active open; the conn is returned at once, connected or closed follows. */
int uring_transport_connect(struct uring_transport *t, const struct sockaddr *address, void *user,
                            struct tconn **out);

/* Stops accepting (drain before a stop). */
void uring_transport_stop_listening(struct uring_transport *t);

/* The stage before the ring's submit: starts queued sends and re-arms; returns work done. */
uint32_t uring_transport_flush(void *t, int64_t now_ns, uint32_t budget);

struct uring_counters {
    uint64_t accepted, refused, closed, rx_bytes, rx_events, tx_bytes, sends, buffer_waits,
        collapsed, accept_errors;
    uint32_t open;
};
const struct uring_counters *uring_transport_counters(const struct uring_transport *t);

#endif
