/*
 * Receiving: a ring of buffers lent to the kernel, whose memory is the data room of rx mbufs.
 *
 * A buffer's id is its place in the ring, so a bundle's buffers are id, id + 1, ... A place is used
 * again once its completion has been seen, in ring order. Some kernels shorten an entry that they
 * looked at for an arm with few bytes left, and leave it so: lengths are read from the ring.
 */
#include "dataplane/transport/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/sockios.h>

#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "core/ring_compat.h"
#include "dataplane/transport/transport_internal.h"

#define rx_groups_tried   64
#define starved_arm_bytes (4 * rx_buffer_bytes) /* one arm while others wait for buffers */
#define small_piece_bytes (rx_buffer_bytes / 8) /* moved to small mbufs while the pool is low */
#define discard_arm_bytes (256 * 1024)

/* ---- the buffers ---- */

static uint32_t entries_for(const struct rte_mempool *pool)
{
    uint32_t n = uring_rx_entries_max;
    while (n > 1 && n > pool->size / 2)
        n /= 2;
    return n;
}

static int register_ring(struct uring_transport *t)
{
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)t->rx_ring,
        .ring_entries = t->rx_entries,
    };
    int err = -EEXIST;
    for (uint16_t group = 0; group < rx_groups_tried && err == -EEXIST; group++) {
        reg.bgid = t->rx_group = group;
        err = io_uring_register_buf_ring(&t->ring->uring, &reg, 0);
    }
    return err;
}

int uring_recv_init(struct uring_transport *t)
{
    t->rx_entries = entries_for(t->mem->rx_pool);
    t->rx_mask = (uint16_t)(t->rx_entries - 1);
    void *ring = NULL;
    size_t size = t->rx_entries * sizeof(struct io_uring_buf);
    size = (size + 4095) & ~(size_t)4095;
    t->rx_slot = calloc(t->rx_entries, sizeof(struct rte_mbuf *));
    if (t->rx_slot == NULL || posix_memalign(&ring, 4096, size) != 0)
        return ERR_NO_MEMORY;
    memset(ring, 0, size);
    t->rx_ring = ring;
    int err = register_ring(t);
    if (err < 0) {
        free(ring);
        t->rx_ring = NULL;
        return err == -ENOMEM ? ERR_NO_MEMORY : ERR_UNSUPPORTED;
    }
    return 0;
}

void uring_recv_fini(struct uring_transport *t)
{
    if (t->rx_ring != NULL) {
        if (uring_ring_alive(t))
            CHECK(io_uring_unregister_buf_ring(&t->ring->uring, t->rx_group) == 0);
        for (uint32_t i = 0; i < t->rx_entries; i++)
            rte_pktmbuf_free(t->rx_slot[i]);
    }
    while (t->rx_spare_count > 0)
        rte_pktmbuf_free(t->rx_spare[--t->rx_spare_count]);
    free(t->rx_ring);
    free(t->rx_slot);
}

static void spare(struct uring_transport *t, struct rte_mbuf *m)
{
    uint32_t room = sizeof t->rx_spare / sizeof t->rx_spare[0];
    if (t->rx_spare_count == room) {
        rte_pktmbuf_free(m);
        return;
    }
    rte_pktmbuf_reset(m);
    t->rx_spare[t->rx_spare_count++] = m;
}

/* At most n empty mbufs. */
static uint32_t fresh(struct uring_transport *t, struct rte_mbuf **out, uint32_t n)
{
    uint32_t got = 0;
    while (got < n && t->rx_spare_count > 0)
        out[got++] = t->rx_spare[--t->rx_spare_count];
    if (got < n && rte_pktmbuf_alloc_bulk(t->mem->rx_pool, out + got, n - got) == 0)
        return n;
    while (got < n && (out[got] = rte_pktmbuf_alloc(t->mem->rx_pool)) != NULL)
        got++;
    return got;
}

static void refill(struct uring_transport *t)
{
    struct rte_mbuf *batch[uring_rx_refill_batch];
    bool more = true;
    while (more) {
        uint32_t room = 0;
        while (room < uring_rx_refill_batch && t->rx_lent + room < t->rx_entries &&
               t->rx_slot[(t->rx_tail + room) & t->rx_mask] == NULL)
            room++;
        uint32_t n = fresh(t, batch, room);
        for (uint32_t i = 0; i < n; i++) {
            uint16_t id = (t->rx_tail + i) & t->rx_mask;
            t->rx_slot[id] = batch[i];
            io_uring_buf_ring_add(t->rx_ring, rte_pktmbuf_mtod(batch[i], void *), rx_buffer_bytes,
                                  id, t->rx_mask, (int)i);
        }
        io_uring_buf_ring_advance(t->rx_ring, (int)n);
        t->rx_tail = (uint16_t)(t->rx_tail + n);
        t->rx_lent += n;
        more = n == uring_rx_refill_batch;
    }
    /* without what lcores cache: a look at all of those would cost more than the refill */
    t->rx_low = rte_mempool_ops_get_count(t->mem->rx_pool) < t->mem->rx_pool->size / 4;
}

static void starve(struct uring_conn *c)
{
    if (c->on_starved)
        return;
    c->on_starved = true;
    c->t->counters.buffer_waits++;
    TAILQ_INSERT_TAIL(&c->t->starved, c, starved);
}

void uring_recv_flush(struct uring_transport *t)
{
    if (t->freeing)
        return;
    uint32_t batch = t->rx_entries < 2 * uring_rx_refill_batch ? 1 : uring_rx_refill_batch;
    if (t->rx_entries - t->rx_lent >= batch || !TAILQ_EMPTY(&t->starved))
        refill(t);
    for (uint32_t n = t->rx_lent; n > 0 && !TAILQ_EMPTY(&t->starved); n--) {
        struct uring_conn *c = TAILQ_FIRST(&t->starved);
        TAILQ_REMOVE(&t->starved, c, starved);
        c->on_starved = false;
        uring_work(c);
    }
}

/* ---- what was received ---- */

/* Copies m's bytes elsewhere if they are too few for a buffer of their own: m is free again. */
static bool collapse(struct uring_transport *t, struct chain *to, struct rte_mbuf *m)
{
    if (transport_collapse(to, m))
        return true;
    /* many connections with the start of a request each must not hold a whole buffer each */
    return t->rx_low && m->data_len <= small_piece_bytes &&
           chain_append_bytes(to, t->mem->tx_pool, rte_pktmbuf_mtod(m, void *), m->data_len) == 0;
}

static void take_piece(struct uring_conn *c, struct rte_mbuf *m)
{
    struct uring_transport *t = c->t;
    if (c->state != CONN_OPEN || c->close_wanted) {
        spare(t, m);
        return;
    }
    struct chain *to = &c->held;
    if (c->held.bytes == 0 && m->data_len <= c->head.want) {
        to = &c->head.rx;
        c->head.want -= m->data_len;
    }
    if (collapse(t, to, m)) {
        t->counters.collapsed++;
        spare(t, m);
    } else {
        chain_append(to, m);
    }
}

/* The buffers of one completion: `bytes` from buffer `id` on, each filled before the next. */
static void take_buffers(struct uring_conn *c, uint16_t id, uint32_t bytes)
{
    struct uring_transport *t = c->t;
    do {
        struct rte_mbuf *m = t->rx_slot[id];
        CHECK(m != NULL);
        uint32_t room = t->rx_ring->bufs[id].len;
        uint32_t n = bytes < room ? bytes : room;
        CHECK(room <= rx_buffer_bytes && (n > 0 || bytes == 0));
        t->rx_slot[id] = NULL;
        t->rx_lent--;
        id = (id + 1) & t->rx_mask;
        bytes -= n;
        m->data_len = (uint16_t)n;
        if (n == 0)
            spare(t, m);
        else
            take_piece(c, m);
    } while (bytes > 0);
}

static void recv_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_conn *c = (struct uring_conn *)((char *)req - offsetof(struct uring_conn, recv));
    struct uring_transport *t = c->t;
    if (!(cqe_flags & IORING_CQE_F_MORE)) {
        c->recv_armed = c->recv_cancelled = false;
        uring_work(c);
    }
    uint64_t before = c->head.rx.bytes;
    if (cqe_flags & IORING_CQE_F_BUFFER)
        take_buffers(c, (uint16_t)(cqe_flags >> IORING_CQE_BUFFER_SHIFT),
                     res > 0 ? (uint32_t)res : 0);
    if (res > 0) {
        c->arm_left -= (uint32_t)res < c->arm_left ? (uint32_t)res : c->arm_left;
        t->counters.rx_bytes += (uint32_t)res;
        t->counters.rx_events++;
        if (c->head.rx.bytes != before && !t->freeing)
            t->events->readable(&c->head);
    } else if (res == 0) {
        c->eof = true;
    } else if (res == -ENOBUFS) {
        starve(c);
    } else if (res != -ECANCELED && res != -EAGAIN && res != -EINTR) {
        uring_conn_fail(c, -res);
    }
}

/* ---- arming ---- */

static void arm(struct uring_conn *c)
{
    struct uring_transport *t = c->t;
    const struct ring_features *f = &t->ring->features;
    if (t->rx_lent == 0) {
        starve(c);
        return;
    }
    uint64_t most = TAILQ_EMPTY(&t->starved) ? uring_arm_bytes_max : starved_arm_bytes;
    uint32_t n = (uint32_t)(c->head.want < most ? c->head.want : most);
    struct io_uring_sqe *sqe = ring_sqe(t->ring, &c->recv);
    if (f->recv_bundle && f->recv_multi_cap) {
        io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
        sqe->ioprio |= ring_recvsend_bundle;
        ring_recv_cap(sqe, n);
    } else {
        io_uring_prep_recv(sqe, c->fd, NULL, n, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = t->rx_group;
    c->arm_left = n;
    c->recv_armed = true;
}

static void poll_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_conn *c = (struct uring_conn *)((char *)req - offsetof(struct uring_conn, poll));
    c->poll_armed = false;
    uring_work(c);
    if (res < 0 || c->recv_armed) /* an armed receive sees the same by itself */
        return;
    if (res & (POLLERR | POLLHUP)) {
        int errnum = 0;
        socklen_t len = sizeof errnum;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
        uring_conn_fail(c, errnum != 0 ? errnum : ECONNRESET);
    } else if (res & POLLRDHUP) {
        int unread = 0;
        c->rdhup = true;
        if (ioctl(c->fd, SIOCINQ, &unread) == 0 && unread == 0)
            c->eof = true; /* nothing is lost by noticing it now */
    }
}

/* While nothing is read only this tells of a peer that is gone. */
static void watch(struct uring_conn *c)
{
    if (c->poll_armed)
        return;
    unsigned mask = POLLERR | POLLHUP | (c->rdhup || c->eof ? 0u : POLLRDHUP);
    io_uring_prep_poll_add(ring_sqe(c->t->ring, &c->poll), c->fd, mask);
    c->poll_armed = true;
}

static void deliver_held(struct uring_conn *c)
{
    int64_t n = transport_deliver(&c->head, &c->held, c->t->mem->ref_pool);
    if (n < 0)
        uring_work(c); /* again when mbufs came back */
    if (n > 0)
        c->t->events->readable(&c->head);
}

void uring_recv_conn_init(struct uring_conn *c)
{
    c->recv.done = recv_done;
    c->poll.done = poll_done;
}

void uring_recv_step(struct uring_conn *c)
{
    deliver_held(c);
    if (c->close_wanted)
        return;
    if (c->recv_armed) {
        if (c->arm_left > c->head.want && !c->recv_cancelled) {
            c->recv_cancelled = true;
            io_uring_prep_cancel(ring_sqe(c->t->ring, NULL), &c->recv, 0);
        }
        return;
    }
    bool may = c->head.want != 0 && c->held.bytes == 0 && !c->eof && !c->on_starved;
    if (may)
        arm(c);
    if (!c->recv_armed && !(c->eof && c->held.bytes == 0))
        watch(c);
}

/* ---- after our end was sent ---- */

static void discard_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_conn *c = (struct uring_conn *)((char *)req - offsetof(struct uring_conn, recv));
    c->recv_armed = false;
    uring_work(c);
    if (res > 0)
        c->discarded += (uint32_t)res;
    else if (res == 0)
        c->eof = true;
    else if (res != -ECANCELED && res != -EAGAIN && res != -EINTR)
        uring_conn_fail(c, -res);
}

void uring_recv_discard_step(struct uring_conn *c)
{
    if (c->recv_armed)
        return;
    if (c->eof || c->discarded >= uring_discard_bytes_max) {
        uring_conn_end(c, TRANSPORT_CLOSE_LOCAL);
        return;
    }
    c->recv.done = discard_done;
    /* MSG_TRUNC on a stream drops the bytes without copying: no buffer is needed */
    io_uring_prep_recv(ring_sqe(c->t->ring, &c->recv), c->fd, NULL, discard_arm_bytes, MSG_TRUNC);
    c->recv_armed = true;
}
