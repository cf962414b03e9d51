/*
 * uring_internal: what the files of the uring transport share. Nobody else includes this.
 *
 * uring.c owns the life of a connection block, uring_listen.c how connections come to be,
 * uring_recv.c and uring_send.c the two directions.
 *
 * Life of a block (`state`), each arrow taken in uring_conn_step, which only flush calls:
 *
 *   FREE -> NEW -----------> OPEN -> DRAIN -> FIN -> END -> FREE
 *   FREE -> CONNECTING ->----^  \------> EOF -------^
 *
 *   NEW         accepted by the kernel, the consumer has not been told
 *   CONNECTING  active open under way
 *   OPEN        both directions
 *   EOF         the peer has ended and all was delivered; what was sent still leaves
 *   DRAIN       closed by the consumer; what was sent still leaves, received bytes are dropped
 *   FIN         our end was sent; waits for the peer's
 *   END         no more I/O; waits for requests in the ring, then tells `closed` and is FREE
 *
 * From any state an error or an abort leads to END. Invariants:
 *   - a block is not FREE while the ring holds a request of it;
 *   - what is armed may deliver at most arm_left bytes, and arm_left <= want when it was armed;
 *     bytes over a want that was lowered since wait in `held`, and nothing overtakes them;
 *   - bytes [0, sending) of `tx` are with the kernel and stay where they are.
 */
#ifndef DATAPLANE_TRANSPORT_URING_INTERNAL_H
#define DATAPLANE_TRANSPORT_URING_INTERNAL_H

#include <sys/queue.h>
#include <sys/uio.h>

#include "base/log.h"
#include "core/mem.h"
#include "core/ring.h"
#include "dataplane/transport/uring.h"

struct rte_mbuf;

#define uring_listeners_max   16
#define uring_rx_entries_max  512           /* buffers lent to the kernel at once */
#define uring_rx_refill_batch 32            /* fewer free places are not worth a refill */
#define uring_arm_bytes_max   (1024 * 1024) /* one arm of a receive */
#define uring_send_bytes_max                                                                       \
    (256 * 1024)                     /* one send: the grain of `sent` and of a linger's progress */
#define uring_send_iov_max      256  /* pieces of one send */
#define uring_iov_entries       4096 /* pieces of all sends between two submits */
#define uring_msg_entries       512  /* vectored sends between two submits */
#define uring_discard_bytes_max (1024 * 1024) /* dropped from a peer after our close, then RST */
#define uring_tick_ns           (20 * 1000000LL) /* flush comes at least this often while something waits */
#define uring_accept_pause_ns   (100 * 1000000LL) /* after accept ran out of descriptors */

struct uring_conn {
    struct tconn head;
    struct uring_transport *t;
    STAILQ_ENTRY(uring_conn) work; /* in work or free */
    TAILQ_ENTRY(uring_conn) starved;
    LIST_ENTRY(uring_conn) timed;
    struct ring_req recv, send, poll, connect;
    struct chain tx;   /* given by the consumer, the first `sending` bytes are with the kernel */
    struct chain held; /* received over `want` (want was lowered after arming) */
    uint32_t sending;
    uint32_t arm_left;  /* bytes that the armed receive may still deliver */
    uint32_t discarded; /* dropped since our close */
    int fd;
    uint32_t listener;
    int64_t deadline_ns; /* while on_timed: give up if there was no progress until then */
    int64_t last_ns;     /* while on_timed: give up whatever the progress */
    uint8_t state, reason;
    bool on_work, on_starved, on_timed;
    bool recv_armed, recv_cancelled, poll_armed, connect_armed; /* requests in the ring */
    bool eof, rdhup, error; /* seen of the peer: end; end while paused; failure */
    bool connected, close_wanted, abort_wanted, end_cancelled;
};

enum { CONN_FREE, CONN_NEW, CONN_CONNECTING, CONN_OPEN, CONN_EOF, CONN_DRAIN, CONN_FIN, CONN_END };

_Static_assert(sizeof(struct uring_conn) <= 512, "an idle connection costs little (limit: 1 KiB)");

struct uring_listener {
    struct ring_req req;
    struct uring_transport *t;
    int fd;
    uint32_t number; /* the consumer's */
    bool armed, closing;
};

STAILQ_HEAD(uring_queue, uring_conn);
TAILQ_HEAD(uring_waiters, uring_conn);
LIST_HEAD(uring_timed, uring_conn);

struct uring_transport {
    struct ring *ring;
    struct mem *mem;
    const struct transport_events *events;
    struct uring_options options;
    struct uring_counters counters;
    int64_t now_ns; /* of the last flush */
    uint64_t next_id;

    struct uring_conn *conns;
    struct uring_queue free;
    struct uring_queue work; /* flush steps these */
    uint32_t work_count;
    struct uring_conn *stepping; /* in flush: this one is being stepped */
    bool step_again;
    struct uring_waiters
        starved;              /* want to receive, no buffer was left; first come, first served */
    struct uring_timed timed; /* with a deadline */
    int64_t timed_next_ns;    /* next look at `timed` */

    struct uring_listener listeners[uring_listeners_max];
    uint32_t listener_count;
    bool accept_single;      /* the kernel knows no multishot accept */
    int64_t accept_after_ns; /* paused until then; 0: not paused */
    struct log_limit refused_limit, accept_limit;
    uint64_t refused_full, refused_logged; /* no block was free */
    int accept_errno;                      /* to be logged */

    struct io_uring_buf_ring *rx_ring;
    size_t rx_ring_size;
    struct rte_mbuf *
        *rx_slot; /* by buffer id, which is its place in the ring; NULL: not with the kernel */
    uint16_t rx_tail, rx_mask, rx_group;
    uint32_t rx_entries, rx_lent;
    struct rte_mbuf *rx_spare[64]; /* emptied at once, not yet lent again */
    uint32_t rx_spare_count;
    bool rx_low; /* under a quarter of the pool is left */

    struct iovec *iov;
    struct msghdr *msg;
    uint32_t iov_used, msg_used;

    struct ring_req tick;
    struct __kernel_timespec tick_time;
    bool tick_armed, freeing;
};

static inline struct uring_conn *uring_conn_of(struct tconn *c)
{
    return (struct uring_conn *)c;
}

static inline bool uring_ring_alive(const struct uring_transport *t)
{
    return t->ring->wake_fd >= 0;
}

/* uring.c */
void uring_work(struct uring_conn *c); /* flush will step it */
struct uring_conn *uring_conn_take(struct uring_transport *t, int fd);
void uring_conn_release(struct uring_conn *c); /* without an event; nothing of it in the ring */
void uring_conn_end(struct uring_conn *c, enum transport_close reason);
void uring_conn_fail(struct uring_conn *c, int errnum); /* errno of a socket call */
void uring_conn_progress(struct uring_conn *c); /* the peer did something: a linger goes on */
void uring_close_fd(struct uring_transport *t, int fd);

/* uring_listen.c */
void uring_listen_flush(struct uring_transport *t);
void uring_listen_connect(struct uring_conn *c); /* puts the connect into the ring */

/* uring_recv.c */
int uring_recv_init(struct uring_transport *t);
void uring_recv_fini(struct uring_transport *t);
void uring_recv_flush(
    struct uring_transport *t); /* lends buffers again, wakes who waits for them */
void uring_recv_conn_init(struct uring_conn *c);
void uring_recv_step(struct uring_conn *c); /* OPEN: held bytes, arm, cancel, watch while paused */
void uring_recv_discard_step(struct uring_conn *c); /* FIN: drop what comes */

/* uring_send.c */
int uring_send_init(struct uring_transport *t);
void uring_send_fini(struct uring_transport *t);
void uring_send_conn_init(struct uring_conn *c);
void uring_send_step(struct uring_conn *c);

#endif
