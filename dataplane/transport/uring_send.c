/*
 * Sending: what was given in a step leaves in one request, one in flight per connection.
 *
 * The kernel copies the list of pieces when it takes the entry (IORING_FEAT_SUBMIT_STABLE), so one
 * small arena serves all connections: it is empty again after each submit.
 */
#include "dataplane/transport/uring_internal.h"

#include <errno.h>
#include <rte_mbuf.h>
#include <stdlib.h>

#include "base/err.h"

#define send_flags (MSG_NOSIGNAL | MSG_WAITALL) /* all: one completion, however slow the peer */

int uring_send_init(struct uring_transport *t)
{
    t->iov = calloc(uring_iov_entries, sizeof *t->iov);
    t->msg = calloc(uring_msg_entries, sizeof *t->msg);
    return t->iov != NULL && t->msg != NULL ? 0 : ERR_NO_MEMORY;
}

void uring_send_fini(struct uring_transport *t)
{
    free(t->iov);
    free(t->msg);
}

/* Room for one vectored send. */
static struct iovec *arena(struct uring_transport *t)
{
    bool full =
        t->iov_used + uring_send_iov_max > uring_iov_entries || t->msg_used == uring_msg_entries;
    if (full)
        ring_submit(t->ring);
    if (t->ring->queued == 0)
        t->iov_used = t->msg_used = 0;
    return t->iov + t->iov_used;
}

static void send_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_conn *c = (struct uring_conn *)((char *)req - offsetof(struct uring_conn, send));
    struct uring_transport *t = c->t;
    c->sending = 0;
    uring_work(c);
    if (res > 0) {
        chain_consume(&c->tx, (uint64_t)res);
        c->head.tx_bytes -= (uint32_t)res;
        t->counters.tx_bytes += (uint32_t)res;
        uring_conn_progress(c);
        if (!t->freeing)
            t->events->sent(&c->head, (uint64_t)res);
    } else if (res != -ECANCELED && res != -EAGAIN && res != -EINTR) {
        uring_conn_fail(c, res == 0 ? EPIPE : -res);
    }
}

void uring_send_conn_init(struct uring_conn *c)
{
    c->send.done = send_done;
}

void uring_send_step(struct uring_conn *c)
{
    struct uring_transport *t = c->t;
    if (c->sending != 0 || c->tx.bytes == 0)
        return;
    struct iovec *iov = arena(t);
    uint32_t n = 0, bytes = 0;
    for (struct rte_mbuf *m = c->tx.head; m != NULL && n < uring_send_iov_max; m = m->next) {
        if (n > 0 && bytes + m->data_len > uring_send_bytes_max)
            break;
        iov[n++] = (struct iovec){.iov_base = rte_pktmbuf_mtod(m, void *), .iov_len = m->data_len};
        bytes += m->data_len;
    }
    struct io_uring_sqe *sqe = ring_sqe(t->ring, &c->send);
    if (n == 1) {
        io_uring_prep_send(sqe, c->fd, iov->iov_base, iov->iov_len, send_flags);
    } else {
        struct msghdr *msg = &t->msg[t->msg_used++];
        *msg = (struct msghdr){.msg_iov = iov, .msg_iovlen = n};
        t->iov_used += n;
        io_uring_prep_sendmsg(sqe, c->fd, msg, send_flags);
    }
    c->sending = bytes;
    t->counters.sends++;
}
