/* The life of a connection block, and the stage that steps those with something to do. */
#include "dataplane/transport/uring_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

#define linger_idle_ns   (5 * CLOCK_NS_PER_S) /* after our close: the peer takes or sends nothing */
#define linger_total_ns  (30 * CLOCK_NS_PER_S) /* after our close, whatever it does */
#define connect_total_ns (30 * CLOCK_NS_PER_S)

void uring_work(struct uring_conn *c)
{
    if (c->on_work || c->state == CONN_FREE)
        return;
    if (c == c->t->stepping) { /* once more after this step, if it is still there */
        c->t->step_again = true;
        return;
    }
    c->on_work = true;
    STAILQ_INSERT_TAIL(&c->t->work, c, work);
    c->t->work_count++;
}

void uring_close_fd(struct uring_transport *t, int fd)
{
    io_uring_prep_close(ring_sqe(t->ring, NULL), fd);
}

/* ---- what the consumer calls ---- */

static void conn_send(struct tconn *head, struct chain *out)
{
    struct uring_conn *c = uring_conn_of(head);
    if (c->state == CONN_FREE || c->close_wanted || c->state >= CONN_DRAIN || c->error) {
        chain_free(out); /* nobody will take them */
        return;
    }
    head->tx_bytes += out->bytes;
    chain_join(&c->tx, out);
    uring_work(c);
}

static void conn_want(struct tconn *head, uint64_t bytes)
{
    struct uring_conn *c = uring_conn_of(head);
    head->want = bytes;
    bool surplus = c->recv_armed && c->arm_left > bytes;
    bool idle = !c->recv_armed && (bytes != 0 || !c->poll_armed);
    if (surplus || idle || (c->held.bytes != 0 && bytes != 0))
        uring_work(c);
}

static void conn_close(struct tconn *head, bool abort)
{
    struct uring_conn *c = uring_conn_of(head);
    c->close_wanted = true;
    c->abort_wanted |= abort;
    head->want = 0;
    uring_work(c);
}

static const struct tconn_ops conn_ops = {
    .send = conn_send, .want = conn_want, .close = conn_close};

/* ---- blocks ---- */

struct uring_conn *uring_conn_take(struct uring_transport *t, int fd)
{
    struct uring_conn *c = STAILQ_FIRST(&t->free);
    if (c == NULL)
        return NULL;
    STAILQ_REMOVE_HEAD(&t->free, work);
    *c = (struct uring_conn){
        .head = {.ops = &conn_ops,
                 .events = t->events,
                 .id = ++t->next_id,
                 .opened_ns = (uint64_t)t->now_ns},
        .t = t,
        .fd = fd,
    };
    uring_recv_conn_init(c);
    uring_send_conn_init(c);
    t->counters.open++;
    return c;
}

void uring_conn_release(struct uring_conn *c)
{
    struct uring_transport *t = c->t;
    CHECK(!c->recv_armed && !c->poll_armed && !c->connect_armed && c->sending == 0);
    if (c->on_starved)
        TAILQ_REMOVE(&t->starved, c, starved);
    if (c->on_timed)
        LIST_REMOVE(c, timed);
    CHECK(!c->on_work);
    chain_free(&c->head.rx);
    chain_free(&c->held);
    chain_free(&c->tx);
    c->state = CONN_FREE;
    STAILQ_INSERT_HEAD(&t->free, c, work);
    t->counters.open--;
}

static void deadline(struct uring_conn *c, int64_t idle_ns, int64_t total_ns)
{
    struct uring_transport *t = c->t;
    c->deadline_ns = t->now_ns + idle_ns;
    c->last_ns = total_ns == INT64_MAX ? INT64_MAX : t->now_ns + total_ns;
    if (!c->on_timed) {
        c->on_timed = true;
        LIST_INSERT_HEAD(&t->timed, c, timed);
    }
}

void uring_conn_progress(struct uring_conn *c)
{
    if (c->on_timed && c->state != CONN_CONNECTING)
        c->deadline_ns = c->t->now_ns + linger_idle_ns;
}

static void no_deadline(struct uring_conn *c)
{
    if (c->on_timed)
        LIST_REMOVE(c, timed);
    c->on_timed = false;
}

void uring_conn_end(struct uring_conn *c, enum transport_close reason)
{
    if (c->state == CONN_END || c->state == CONN_FREE)
        return;
    c->state = CONN_END;
    c->reason = (uint8_t)(c->close_wanted ? TRANSPORT_CLOSE_LOCAL : reason);
    no_deadline(c);
    uring_work(c);
}

void uring_conn_fail(struct uring_conn *c, int errnum)
{
    c->error = true;
    uring_conn_end(c, errnum == ETIMEDOUT ? TRANSPORT_CLOSE_TIMEOUT : TRANSPORT_CLOSE_RESET);
}

/* ---- steps ---- */

/* Our end: everything was sent. Not through the ring, which would hand it to a worker thread. */
static void send_fin(struct uring_conn *c)
{
    c->state = CONN_FIN;
    uring_conn_progress(c);
    if (shutdown(c->fd, SHUT_WR) != 0)
        uring_conn_fail(c, errno);
}

static void step_new(struct uring_conn *c)
{
    struct uring_transport *t = c->t;
    c->head.opened_ns = (uint64_t)t->now_ns;
    c->state = CONN_OPEN;
    if (t->events->accepted(t->events->ctx, &c->head, c->listener) >= 0) {
        t->counters.accepted++;
        return;
    }
    t->counters.refused++;
    uring_close_fd(t, c->fd);
    c->state = CONN_FREE;
    uring_conn_release(c);
}

static void step_open(struct uring_conn *c)
{
    uring_recv_step(c);
    if (c->state != CONN_OPEN || c->close_wanted)
        return;
    if (c->eof && c->held.bytes == 0) {
        c->state = CONN_EOF;
        if (c->t->events->ended != NULL)
            c->t->events->ended(&c->head);
        else
            deadline(c, linger_idle_ns, INT64_MAX);
    }
}

static void step_end(struct uring_conn *c)
{
    struct uring_transport *t = c->t;
    if (c->recv_armed || c->poll_armed || c->connect_armed || c->sending != 0) {
        if (!c->end_cancelled) {
            c->end_cancelled = true;
            io_uring_prep_cancel_fd(ring_sqe(t->ring, NULL), c->fd, IORING_ASYNC_CANCEL_ALL);
        }
        return;
    }
    if (c->abort_wanted) {
        struct linger hard = {.l_onoff = 1};
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    uring_close_fd(t, c->fd);
    t->counters.closed++;
    c->state = CONN_FREE; /* what the consumer still calls has no effect */
    if (!t->freeing)
        t->events->closed(&c->head, (enum transport_close)c->reason);
    uring_conn_release(c);
}

/* Issues the connect, later tells its success. */
static void step_connecting(struct uring_conn *c)
{
    if (c->connect_armed)
        return;
    if (!c->connected) {
        deadline(c, connect_total_ns, connect_total_ns);
        uring_listen_connect(c);
        return;
    }
    no_deadline(c);
    c->state = CONN_OPEN;
    c->head.opened_ns = (uint64_t)c->t->now_ns;
    c->t->events->connected(&c->head);
}

static void step_close_wanted(struct uring_conn *c)
{
    if (c->abort_wanted || c->state == CONN_CONNECTING || c->state == CONN_NEW) {
        uring_conn_end(c, TRANSPORT_CLOSE_LOCAL);
        return;
    }
    if (c->state == CONN_OPEN || c->state == CONN_EOF) {
        c->state = CONN_DRAIN;
        chain_free(&c->held);
        deadline(c, linger_idle_ns, linger_total_ns);
        if (c->recv_armed && !c->recv_cancelled) {
            c->recv_cancelled = true;
            io_uring_prep_cancel(ring_sqe(c->t->ring, NULL), &c->recv, 0);
        }
    }
}

static void conn_step(struct uring_conn *c)
{
    if (c->state == CONN_NEW && !c->close_wanted) {
        step_new(c);
        if (c->state == CONN_FREE)
            return;
    }
    if (c->close_wanted)
        step_close_wanted(c);
    if (c->state == CONN_CONNECTING)
        step_connecting(c);
    if (c->state == CONN_OPEN && !c->close_wanted)
        step_open(c);
    if (c->state == CONN_OPEN || c->state == CONN_EOF || c->state == CONN_DRAIN)
        uring_send_step(c);
    bool sent = c->tx.bytes == 0;
    if (c->state == CONN_EOF && sent && c->t->events->ended == NULL)
        uring_conn_end(c, TRANSPORT_CLOSE_PEER);
    if (c->state == CONN_DRAIN && sent) {
        if (c->eof)
            uring_conn_end(c, TRANSPORT_CLOSE_LOCAL);
        else
            send_fin(c);
    }
    if (c->state == CONN_FIN)
        uring_recv_discard_step(c);
    if (c->state == CONN_END)
        step_end(c);
}

static void check_deadlines(struct uring_transport *t)
{
    if (LIST_EMPTY(&t->timed) || t->now_ns < t->timed_next_ns)
        return;
    t->timed_next_ns = t->now_ns + uring_tick_ns;
    struct uring_conn *c = LIST_FIRST(&t->timed), *next;
    for (; c != NULL; c = next) {
        next = LIST_NEXT(c, timed);
        if (t->now_ns >= c->deadline_ns || t->now_ns >= c->last_ns)
            uring_conn_end(c,
                           c->state == CONN_EOF ? TRANSPORT_CLOSE_PEER : TRANSPORT_CLOSE_TIMEOUT);
    }
}

static void tick_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_transport *t =
        (struct uring_transport *)((char *)req - offsetof(struct uring_transport, tick));
    t->tick_armed = false;
}

/* A parked shard must come back to flush while something waits for time or for buffers. */
static void arm_tick(struct uring_transport *t)
{
    bool waits = !LIST_EMPTY(&t->timed) || !TAILQ_EMPTY(&t->starved) || t->accept_after_ns != 0;
    if (!waits || t->tick_armed || t->freeing)
        return;
    t->tick.done = tick_done;
    t->tick_time = (struct __kernel_timespec){.tv_nsec = uring_tick_ns};
    io_uring_prep_timeout(ring_sqe(t->ring, &t->tick), &t->tick_time, 0, 0);
    t->tick_armed = true;
}

uint32_t uring_transport_flush(void *transport, int64_t now_ns, uint32_t budget)
{
    struct uring_transport *t = transport;
    t->now_ns = now_ns;
    uring_recv_flush(t);
    uring_listen_flush(t);
    check_deadlines(t);
    uint32_t count = t->work_count < budget ? t->work_count : budget;
    for (uint32_t i = 0; i < count; i++) {
        struct uring_conn *c = STAILQ_FIRST(&t->work);
        STAILQ_REMOVE_HEAD(&t->work, work);
        t->work_count--;
        c->on_work = false;
        t->stepping = c;
        t->step_again = false;
        conn_step(c);
        t->stepping = NULL;
        if (t->step_again)
            uring_work(c);
    }
    arm_tick(t);
    return count;
}

/* ---- the whole ---- */

static int blocks_new(struct uring_transport *t)
{
    t->conns = calloc(t->options.conn_max, sizeof *t->conns);
    if (t->conns == NULL)
        return ERR_NO_MEMORY;
    STAILQ_INIT(&t->free);
    STAILQ_INIT(&t->work);
    TAILQ_INIT(&t->starved);
    LIST_INIT(&t->timed);
    for (uint32_t i = t->options.conn_max; i-- > 0;)
        STAILQ_INSERT_HEAD(&t->free, &t->conns[i], work);
    return 0;
}

int uring_transport_new(struct uring_transport **out, const struct uring_options *options)
{
    if (options->conn_max == 0 || options->conn_max > conn_count_max)
        return ERR_INVALID;
    if (!(options->ring->uring.features & IORING_FEAT_SUBMIT_STABLE))
        return ERR_UNSUPPORTED;
    struct uring_transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NO_MEMORY;
    t->ring = options->ring;
    t->mem = options->mem;
    t->events = options->events;
    t->options = *options;
    int err = blocks_new(t);
    if (err == 0)
        err = uring_send_init(t);
    if (err == 0)
        err = uring_recv_init(t);
    if (err < 0) {
        uring_recv_fini(t);
        uring_send_fini(t);
        free(t->conns);
        free(t);
        return err;
    }
    *out = t;
    return 0;
}

static bool listeners_idle(const struct uring_transport *t)
{
    for (uint32_t i = 0; i < t->listener_count; i++)
        if (t->listeners[i].armed)
            return false;
    return true;
}

/* All requests are cancelled: their completions come without waiting for any peer. */
static void end_all(struct uring_transport *t)
{
    uring_transport_stop_listening(t);
    for (uint32_t i = 0; i < t->options.conn_max; i++)
        if (t->conns[i].state != CONN_FREE)
            conn_close(&t->conns[i].head, true);
    for (int round = 0; t->counters.open != 0 || !listeners_idle(t) || t->tick_armed; round++) {
        CHECK(round < 1000);
        uring_transport_flush(t, t->now_ns, UINT32_MAX);
        ring_park(t->ring, uring_tick_ns);
        ring_reap(t->ring, UINT32_MAX);
    }
    ring_submit(t->ring);
}

/* After ring_fini: no completion comes any more. */
static void drop_all(struct uring_transport *t)
{
    for (uint32_t i = 0; i < t->listener_count; i++)
        if (!t->listeners[i].closing)
            close(t->listeners[i].fd);
    for (uint32_t i = 0; i < t->options.conn_max; i++) {
        struct uring_conn *c = &t->conns[i];
        if (c->state == CONN_FREE)
            continue;
        close(c->fd);
        chain_free(&c->head.rx);
        chain_free(&c->held);
        chain_free(&c->tx);
    }
}

void uring_transport_free(struct uring_transport *t)
{
    if (t == NULL)
        return;
    t->freeing = true;
    if (uring_ring_alive(t))
        end_all(t);
    else
        drop_all(t);
    uring_recv_fini(t);
    uring_send_fini(t);
    free(t->conns);
    free(t);
}

const struct uring_counters *uring_transport_counters(const struct uring_transport *t)
{
    return &t->counters;
}
