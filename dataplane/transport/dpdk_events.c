/* What tcp tells, in the words of the contract. */
#include "base/check.h"
#include "base/err.h"
#include "dataplane/transport/dpdk_internal.h"

static struct dpdk_conn *conn_of(struct dpdk_transport *t, struct tcp_conn *tcp)
{
    struct tcp_tuple tuple = tcp_tuple(tcp);
    struct dpdk_conn *c = dpdk_conn_take(t);
    CHECK(c != NULL);
    c->tcp = tcp;
    c->state = DPDK_OPEN;
    dpdk_peer_of(&tuple, &c->head.peer);
    tcp_set_user(tcp, c);
    return c;
}

/* Closed at once, as a kernel's socket would be; a few at a time, others are reset. */
static int turn_away(struct dpdk_transport *t, struct tcp_conn *tcp)
{
    t->counters.refused++;
    if (t->refused_open == dpdk_spare_blocks)
        return ERR_FULL;
    struct dpdk_conn *c = conn_of(t, tcp);
    t->refused_open++;
    t->counters.open--;
    c->refused = c->close_wanted = true;
    dpdk_work(c);
    return 0;
}

static int on_accepted(void *ctx, struct tcp_conn *tcp, void *listener_user)
{
    struct dpdk_transport *t = ctx;
    const struct dpdk_listener *l = listener_user;
    if (t->counters.open >= t->o.conn_max)
        return turn_away(t, tcp);
    struct dpdk_conn *c = conn_of(t, tcp);
    if (t->o.events->accepted(t->o.events->ctx, &c->head, l->number) >= 0) {
        t->counters.accepted++;
        return 0;
    }
    dpdk_conn_release(c);
    return turn_away(t, tcp);
}

static void on_connected(void *ctx, struct tcp_conn *tcp)
{
    struct dpdk_conn *c = tcp_user(tcp);
    (void)ctx;
    if (c->close_wanted)
        return;
    c->state = DPDK_OPEN;
    c->head.opened_ns = (uint64_t)c->t->now_ns;
    c->t->o.events->connected(&c->head);
}

static void on_readable(void *ctx, struct tcp_conn *tcp)
{
    (void)ctx;
    dpdk_conn_step(tcp_user(tcp));
}

static void on_finished(void *ctx, struct tcp_conn *tcp)
{
    struct dpdk_conn *c = tcp_user(tcp);
    (void)ctx;
    c->finished = true;
    dpdk_conn_step(c);
}

static void on_sent(void *ctx, struct tcp_conn *tcp, uint64_t bytes)
{
    struct dpdk_conn *c = tcp_user(tcp);
    (void)ctx;
    CHECK(bytes <= c->head.tx_bytes);
    c->head.tx_bytes -= bytes;
    if (c->on_timed)
        c->deadline_ns = c->t->now_ns + dpdk_linger_idle_ns;
    c->t->o.events->sent(&c->head, bytes);
    if (c->state == DPDK_EOF)
        dpdk_conn_step(c);
}

static enum transport_close reason_of(const struct dpdk_conn *c, enum tcp_close_reason reason)
{
    if (c->close_wanted)
        return TRANSPORT_CLOSE_LOCAL;
    switch (reason) {
    case TCP_CLOSE_DONE:
    case TCP_CLOSE_ABORT: /* ours, because the peer had ended and took no more */
        return TRANSPORT_CLOSE_PEER;
    case TCP_CLOSE_TIMEOUT:
        return TRANSPORT_CLOSE_TIMEOUT;
    default:
        return TRANSPORT_CLOSE_RESET;
    }
}

static void on_closed(void *ctx, struct tcp_conn *tcp, enum tcp_close_reason reason)
{
    struct dpdk_conn *c = tcp_user(tcp);
    struct dpdk_transport *t = ctx;
    enum transport_close why = reason_of(c, reason);
    c->tcp = NULL; /* what the consumer still calls has no effect */
    if (c->refused) {
        t->refused_open--;
        t->counters.open++; /* release takes it away again */
    } else if (!t->ending) {
        t->counters.closed++;
        t->o.events->closed(&c->head, why);
    }
    dpdk_conn_release(c);
}

struct tcp_hooks dpdk_hooks(struct dpdk_transport *t)
{
    return (struct tcp_hooks){
        .accepted = on_accepted,
        .connected = on_connected,
        .readable = on_readable,
        .finished = on_finished,
        .sent = on_sent,
        .closed = on_closed,
        .ctx = t,
    };
}
