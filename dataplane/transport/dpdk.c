/* The life of a connection block, and the two stages. */
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"
#include "dataplane/transport/dpdk_internal.h"
#include "dataplane/transport/transport_internal.h"

#define linger_total_ns    (30 * CLOCK_NS_PER_S) /* after our close, whatever it does */
#define timed_check_ns     (20 * CLOCK_NS_PER_MS)
#define goodbye_rounds_max 64 /* bursts of resets; a port that takes nothing is not waited for */

void dpdk_work(struct dpdk_conn *c)
{
    if (c->on_work || c->state == DPDK_FREE)
        return;
    c->on_work = true;
    STAILQ_INSERT_TAIL(&c->t->work, c, work);
    c->t->work_count++;
}

/* ---- what the consumer calls ---- */

static void conn_send(struct tconn *head, struct chain *out)
{
    struct dpdk_conn *c = (struct dpdk_conn *)head;
    if (c->state == DPDK_FREE || c->close_wanted || c->fin_sent || c->tcp == NULL) {
        chain_free(out); /* nobody will take them */
        return;
    }
    head->tx_bytes += out->bytes;
    c->t->counters.tx_bytes += out->bytes;
    tcp_send(c->tcp, out);
    c->t->more = true;
}

static void conn_want(struct tconn *head, uint64_t bytes)
{
    struct dpdk_conn *c = (struct dpdk_conn *)head;
    head->want = bytes;
    if (c->state == DPDK_FREE || c->close_wanted || c->tcp == NULL)
        return;
    /*
     * The rest of a window that is under a segment would not be told (RFC 9293, 3.8.6.2.2), and
     * with it the last wanted bytes would not come: so a little is always read ahead.
     */
    tcp_window(c->tcp, bytes + c->t->read_ahead);
    if (bytes != 0 && tcp_readable(c->tcp) > 0)
        dpdk_work(c);
    c->t->more = true; /* the window may be worth telling */
}

static void conn_close(struct tconn *head, bool abort)
{
    struct dpdk_conn *c = (struct dpdk_conn *)head;
    if (c->state == DPDK_FREE)
        return;
    c->close_wanted = true;
    c->abort_wanted |= abort;
    head->want = 0;
    dpdk_work(c);
}

static const struct tconn_ops conn_ops = {
    .send = conn_send, .want = conn_want, .close = conn_close};

/* ---- blocks ---- */

struct dpdk_conn *dpdk_conn_take(struct dpdk_transport *t)
{
    struct dpdk_conn *c = STAILQ_FIRST(&t->free);
    if (c == NULL)
        return NULL;
    STAILQ_REMOVE_HEAD(&t->free, work);
    *c = (struct dpdk_conn){
        .head = {.ops = &conn_ops,
                 .events = t->o.events,
                 .id = ++t->next_id,
                 .opened_ns = (uint64_t)t->now_ns},
        .t = t,
    };
    t->counters.open++;
    return c;
}

void dpdk_conn_release(struct dpdk_conn *c)
{
    struct dpdk_transport *t = c->t;
    if (c->on_timed)
        LIST_REMOVE(c, timed);
    if (c->on_work) {
        STAILQ_REMOVE(&t->work, c, dpdk_conn, work);
        t->work_count--;
    }
    chain_free(&c->head.rx);
    c->tcp = NULL;
    c->on_work = c->on_timed = false;
    c->state = DPDK_FREE;
    STAILQ_INSERT_HEAD(&t->free, c, work);
    t->counters.open--;
}

static void deadline(struct dpdk_conn *c, int64_t total_ns)
{
    struct dpdk_transport *t = c->t;
    c->deadline_ns = t->now_ns + dpdk_linger_idle_ns;
    c->last_ns = total_ns == INT64_MAX ? INT64_MAX : t->now_ns + total_ns;
    if (c->on_timed)
        return;
    c->on_timed = true;
    LIST_INSERT_HEAD(&t->timed, c, timed);
}

/* ---- steps ---- */

static void deliver(struct dpdk_conn *c)
{
    struct dpdk_transport *t = c->t;
    struct chain got = {0};
    uint64_t ready = tcp_readable(c->tcp), n = ready < c->head.want ? ready : c->head.want;
    if (n == 0)
        return;
    n = tcp_recv(c->tcp, n, &got);
    if (n == 0) { /* no mbuf to cut with: once more, later */
        dpdk_work(c);
        return;
    }
    if (got.head == got.tail && transport_collapse(&c->head.rx, got.head))
        chain_free(&got);
    else
        chain_join(&c->head.rx, &got);
    c->head.want -= n;
    t->counters.rx_bytes += n;
    t->counters.rx_events++;
    t->o.events->readable(&c->head);
}

static void discard(struct dpdk_conn *c)
{
    struct chain got = {0};
    uint64_t n = tcp_recv(c->tcp, tcp_readable(c->tcp), &got);
    chain_free(&got);
    if (n == 0)
        return;
    c->discarded += n > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)n;
    c->deadline_ns = c->t->now_ns + dpdk_linger_idle_ns;
    if (c->discarded > dpdk_discard_bytes_max)
        tcp_abort(c->tcp);
    else
        tcp_window(c->tcp, dpdk_discard_bytes_max - c->discarded + 1);
}

static void fin(struct dpdk_conn *c)
{
    if (c->fin_sent)
        return;
    c->fin_sent = true;
    tcp_shutdown(c->tcp);
    c->t->more = true;
}

/* A close before anything was said by the peer's end, too: the block goes with tcp's closed. */
static void begin_close(struct dpdk_conn *c)
{
    if (c->abort_wanted || c->state == DPDK_CONNECTING) {
        tcp_abort(c->tcp);
        c->doomed = true;
        c->t->more = true;
        return;
    }
    if (c->state == DPDK_DRAIN)
        return;
    c->state = DPDK_DRAIN;
    deadline(c, linger_total_ns);
    tcp_window(c->tcp, dpdk_discard_bytes_max);
    fin(c);
}

void dpdk_conn_step(struct dpdk_conn *c)
{
    if (c->tcp == NULL || c->doomed)
        return;
    if (c->close_wanted) {
        begin_close(c);
        if (c->state == DPDK_DRAIN)
            discard(c);
        return;
    }
    if (c->state == DPDK_OPEN)
        deliver(c);
    if (c->state == DPDK_OPEN && !c->close_wanted && c->finished && tcp_readable(c->tcp) == 0) {
        c->state = DPDK_EOF;
        if (c->t->o.events->ended != NULL)
            c->t->o.events->ended(&c->head);
        else
            deadline(c, INT64_MAX);
    }
    if (c->state == DPDK_EOF && c->head.tx_bytes == 0 && c->t->o.events->ended == NULL)
        fin(c);
}

static void check_deadlines(struct dpdk_transport *t)
{
    struct dpdk_conn *c = LIST_FIRST(&t->timed), *next;
    for (; c != NULL; c = next) {
        next = LIST_NEXT(c, timed);
        if (c->doomed || (t->now_ns < c->deadline_ns && t->now_ns < c->last_ns))
            continue;
        c->doomed = true;
        tcp_abort(c->tcp);
        t->more = true;
    }
}

static uint32_t step_all(struct dpdk_transport *t, uint32_t budget)
{
    uint32_t count = t->work_count < budget ? t->work_count : budget;
    for (uint32_t i = 0; i < count; i++) {
        struct dpdk_conn *c = STAILQ_FIRST(&t->work);
        if (c == NULL)
            return i;
        STAILQ_REMOVE_HEAD(&t->work, work);
        t->work_count--;
        c->on_work = false;
        dpdk_conn_step(c);
    }
    return count;
}

/* ---- stages ---- */

static void timer_fire(struct wheel_timer *timer, int64_t now_ns)
{
    (void)timer;
    (void)now_ns; /* it only ends the sleep: flush runs in every step */
}

static void arm_timer(struct dpdk_transport *t)
{
    int64_t next = dpdk_transport_deadline(t);
    if (t->o.wheel == NULL || (wheel_armed(&t->timer) && t->timer.deadline_ns == next))
        return;
    if (next == INT64_MAX)
        wheel_cancel(t->o.wheel, &t->timer);
    else
        wheel_arm(t->o.wheel, &t->timer, next);
}

uint32_t dpdk_transport_receive(void *transport, int64_t now_ns, uint32_t budget)
{
    struct dpdk_transport *t = transport;
    t->now_ns = now_ns;
    uint32_t done = dpdk_net_receive(t->net, now_ns, budget);
    if (done > 0)
        t->more = dpdk_net_run(t->net, now_ns, budget);
    return done;
}

uint32_t dpdk_transport_flush(void *transport, int64_t now_ns, uint32_t budget)
{
    struct dpdk_transport *t = transport;
    t->now_ns = now_ns;
    check_deadlines(t);
    uint32_t done = step_all(t, budget);
    bool due = now_ns >= dpdk_net_deadline(t->net);
    if (t->more || due || done > 0)
        t->more = dpdk_net_run(t->net, now_ns, budget);
    else
        dpdk_net_send(t->net);
    arm_timer(t);
    return done + t->more;
}

int64_t dpdk_transport_deadline(const struct dpdk_transport *t)
{
    if (t->more || t->work_count > 0)
        return t->now_ns;
    int64_t next = dpdk_net_deadline(t->net);
    int64_t check = t->now_ns + timed_check_ns;
    return !LIST_EMPTY(&t->timed) && check < next ? check : next;
}

/* ---- parking ---- */

static void park(void *ctx, int64_t timeout_ns)
{
    struct dpdk_parking *p = ctx;
    if (p->transport != NULL) {
        int64_t now_ns = clock_mono_ns(p->clock);
        int64_t nap = dpdk_net_nap(p->transport->net, now_ns);
        if (nap != INT64_MAX && (timeout_ns < 0 || nap < timeout_ns))
            timeout_ns = nap;
    }
    p->below.park(p->below.ctx, timeout_ns);
}

static void wake(void *ctx)
{
    struct dpdk_parking *p = ctx;
    p->below.wake(p->below.ctx);
}

static bool kernel_works(void *ctx)
{
    const struct dpdk_parking *p = ctx;
    return p->below.kernel_works != NULL && p->below.kernel_works(p->below.ctx);
}

struct shard_parking dpdk_parking(struct dpdk_parking *p)
{
    return (struct shard_parking){
        .park = park, .wake = wake, .kernel_works = kernel_works, .ctx = p};
}

/* ---- the whole ---- */

/* Another shard was given frames: it is woken as a message would wake it (core/mailbox.c). */
static void wake_shard(void *ctx, uint32_t shard)
{
    struct dpdk_transport *t = ctx;
    struct agent *to = t->o.agents[shard];
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&to->parked, memory_order_relaxed) != 0 &&
        atomic_exchange(&to->parked, 0) == 1 && to->wake != NULL)
        to->wake(to);
}

static int net_make(struct dpdk_transport *t, int64_t now_ns)
{
    const struct dpdk_options *o = &t->o;
    const struct rte_mempool *pool = port_pool(o->ports->items[0].port, 0);
    uint64_t all = (uint64_t)pool->size * rte_pktmbuf_data_room_size((struct rte_mempool *)pool);
    struct dpdk_net_options n = {
        .ports = o->ports,
        .shard = o->shard,
        .shards = o->shards,
        .header_pool = o->mem->tx_pool,
        .ref_pool = o->mem->ref_pool,
        .rng = o->rng,
        .conn_max = o->conn_max + dpdk_spare_blocks,
        .rx_bytes_max = o->rx_bytes_max != 0 ? o->rx_bytes_max : all / 4 * 3,
        .dad_transmits = o->dad_transmits,
        .events = dpdk_hooks(t),
        .wake = o->agents != NULL ? wake_shard : NULL,
        .wake_ctx = t,
        .ring = o->ring,
    };
    return dpdk_net_new(&t->net, &n, now_ns);
}

int dpdk_transport_new(struct dpdk_transport **out, const struct dpdk_options *options,
                       int64_t now_ns)
{
    if (options->conn_max == 0 || options->conn_max > conn_count_max || options->ports->count == 0)
        return ERR_INVALID;
    struct dpdk_transport *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return ERR_NO_MEMORY;
    t->o = *options;
    t->now_ns = now_ns;
    t->timer.fire = timer_fire;
    uint32_t blocks = options->conn_max + dpdk_spare_blocks;
    STAILQ_INIT(&t->free);
    STAILQ_INIT(&t->work);
    LIST_INIT(&t->timed);
    t->conns = calloc(blocks, sizeof(*t->conns));
    int err = t->conns == NULL ? ERR_NO_MEMORY : net_make(t, now_ns);
    if (err) {
        dpdk_transport_free(t);
        return err;
    }
    for (uint32_t i = blocks; i-- > 0;)
        STAILQ_INSERT_HEAD(&t->free, &t->conns[i], work);
    t->tcp = dpdk_net_tcp(t->net);
    for (uint32_t i = 0; i < options->ports->count; i++) {
        uint32_t two = 2u * port_report(options->ports->items[i].port)->mtu;
        t->read_ahead = two > t->read_ahead ? two : t->read_ahead;
    }
    *out = t;
    return 0;
}

/*
 * As a kernel does for a process that ends: every peer is told, so that clients which wait for an answer do
 * not wait for their time-outs. The consumer hears nothing more.
 */
static void say_goodbye(struct dpdk_transport *t)
{
    bool more = false;
    t->ending = true;
    for (uint32_t i = 0; i < t->o.conn_max + dpdk_spare_blocks; i++) {
        struct dpdk_conn *c = &t->conns[i];
        if (c->state == DPDK_FREE || c->tcp == NULL || c->doomed)
            continue;
        c->doomed = more = true;
        tcp_abort(c->tcp);
    }
    for (int i = 0; more && i < goodbye_rounds_max; i++)
        more = dpdk_net_run(t->net, t->now_ns, UINT32_MAX);
}

void dpdk_transport_free(struct dpdk_transport *t)
{
    if (t == NULL)
        return;
    if (t->net != NULL && t->conns != NULL)
        say_goodbye(t);
    if (t->o.wheel != NULL)
        wheel_cancel(t->o.wheel, &t->timer);
    dpdk_net_free(t->net);
    for (uint32_t i = 0; t->conns != NULL && i < t->o.conn_max + dpdk_spare_blocks; i++)
        chain_free(&t->conns[i].head.rx);
    free(t->conns);
    free(t);
}

const struct dpdk_counters *dpdk_transport_counters(const struct dpdk_transport *t)
{
    return &t->counters;
}

struct dpdk_net *dpdk_transport_net(struct dpdk_transport *t)
{
    return t->net;
}
