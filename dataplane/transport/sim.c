/* The simulated network and the transports on it. */
#include "dataplane/transport/sim_internal.h"

#include <netinet/in.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"

#define default_window    (64 * 1024)
#define linger_idle_ns    (5 * CLOCK_NS_PER_S)
#define memory_retry_ns   CLOCK_NS_PER_MS
#define hold_ns_max       20000 /* SIM_RANDOM: the rest of a piece comes that much later */
#define step_rounds_max   1000
#define first_server_port 20000
#define first_client_port 40000

/* ---- ends ---- */

int sim_end_init(struct sim_end *e, struct sim *s)
{
    e->net = s;
    e->deadline_ns = sim_never;
    return sim_pipe_init(&e->in, s->options.window_bytes);
}

void sim_end_fini(struct sim_end *e)
{
    if (e->peer != NULL)
        e->peer->peer = NULL;
    e->peer = NULL;
    chain_free(&e->head.rx);
    chain_free(&e->tx);
    sim_pipe_free(&e->in);
}

uint32_t sim_end_put(struct sim_end *e, const void *p, uint32_t n)
{
    struct sim *s = e->net;
    if (e->peer == NULL) { /* the bytes travel, and a reset comes back */
        int64_t at = s->now_ns + 2 * s->options.latency_ns;
        if (at < e->in.reset_at)
            e->in.reset_at = at;
        return n;
    }
    uint32_t room = sim_pipe_room(&e->peer->in);
    if (n > room)
        n = room;
    sim_pipe_write(&e->peer->in, p, n, s->now_ns + s->options.latency_ns);
    return n;
}

void sim_end_fin(struct sim_end *e)
{
    if (!e->fin_sent && e->peer != NULL)
        e->peer->in.fin_at = e->net->now_ns + e->net->options.latency_ns;
    e->fin_sent = true;
}

void sim_end_reset(struct sim_end *e)
{
    int64_t at = e->net->now_ns + e->net->options.latency_ns;
    if (e->peer != NULL && at < e->peer->in.reset_at)
        e->peer->in.reset_at = at;
}

void sim_break(struct tconn *c)
{
    struct sim_end *e = (struct sim_end *)c;
    sim_end_reset(e);
    e->in.reset_at = e->net->now_ns + e->net->options.latency_ns;
}

/* ---- what the consumer calls ---- */

static void end_send(struct tconn *head, struct chain *out)
{
    struct sim_end *e = (struct sim_end *)head;
    if (e->close_wanted) {
        chain_free(out);
        return;
    }
    head->tx_bytes += out->bytes;
    chain_join(&e->tx, out);
}

static void end_want(struct tconn *head, uint64_t bytes)
{
    head->want = ((struct sim_end *)head)->close_wanted ? 0 : bytes;
}

static void end_close(struct tconn *head, bool abort)
{
    struct sim_end *e = (struct sim_end *)head;
    e->close_wanted = true;
    e->abort_wanted |= abort;
    head->want = 0;
}

static const struct tconn_ops end_ops = {.send = end_send, .want = end_want, .close = end_close};

static struct sim_end *end_new(struct sim_transport *t)
{
    struct sim_end *e = calloc(1, sizeof *e);
    if (e == NULL || sim_end_init(e, t->net) < 0) {
        free(e);
        return NULL;
    }
    e->t = t;
    e->head.ops = &end_ops;
    e->head.events = t->events;
    e->head.id = ++t->net->next_id;
    LIST_INSERT_HEAD(&t->ends, e, link);
    t->open++;
    return e;
}

static void end_free(struct sim_end *e)
{
    LIST_REMOVE(e, link);
    e->t->open--;
    sim_end_fini(e);
    free(e);
}

static void client_address(struct sim *s, struct sockaddr_storage *out, sa_family_t family)
{
    in_port_t port = htons(s->next_port);
    s->next_port = s->next_port == UINT16_MAX ? first_client_port : (uint16_t)(s->next_port + 1);
    if (family == AF_INET6)
        *(struct sockaddr_in6 *)out = (struct sockaddr_in6){
            .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = port};
    else
        *(struct sockaddr_in *)out = (struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = port};
}

struct sim_end *sim_end_accepting(struct sim_listener *l, struct sim_end *from)
{
    struct sim *s = l->t->net;
    struct sim_end *e = end_new(l->t);
    if (e == NULL)
        return NULL;
    e->state = SIM_ACCEPTING;
    e->listener = l->number;
    e->open_at = s->now_ns + s->options.latency_ns;
    client_address(s, &e->head.peer, l->address.ss_family);
    e->peer = from;
    from->peer = e;
    return e;
}

/* ---- one end's step ---- */

struct step {
    struct sim_end *e;
    int64_t now_ns;
    uint32_t budget, done;
    bool gone;
};

static void finish(struct step *st, enum transport_close reason)
{
    struct sim_end *e = st->e;
    e->close_wanted = true; /* what the consumer still calls has no effect */
    st->done++;
    st->gone = true;
    e->t->events->closed(&e->head, reason);
    end_free(e);
}

static void step_opening(struct step *st)
{
    struct sim_end *e = st->e;
    if (e->state > SIM_CONNECTING || st->now_ns < e->open_at)
        return;
    st->done++;
    e->head.opened_ns = (uint64_t)st->now_ns;
    if (e->state == SIM_CONNECTING) {
        if (e->refused) {
            finish(st, TRANSPORT_CLOSE_RESET);
            return;
        }
        e->state = SIM_OPEN;
        e->t->events->connected(&e->head);
        return;
    }
    e->state = SIM_OPEN;
    bool full = e->t->open > e->t->conn_max;
    if (!full && e->t->events->accepted(e->t->events->ctx, &e->head, e->listener) >= 0)
        return;
    sim_end_fin(e);
    st->gone = true;
    end_free(e);
}

static uint32_t piece_size(struct sim *s, uint32_t most)
{
    if (s->options.delivery == SIM_BYTES)
        return 1;
    if (s->options.delivery == SIM_WHOLE)
        return most;
    switch (rng_below(&s->rng, 4)) {
    case 0:
        return 1;
    case 1:
        return 1 + (uint32_t)rng_below(&s->rng, most < 64 ? most : 64);
    case 2:
        return 1 + (uint32_t)rng_below(&s->rng, most);
    default:
        return most;
    }
}

/* ERR_NO_MEMORY: nothing was taken. */
static int deliver_piece(struct sim_end *e, uint32_t n)
{
    struct rte_mempool *pool = e->t->mem->rx_pool;
    uint8_t *bytes = e->in.bytes + e->in.taken % e->in.size;
    if (e->net->options.fragments) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        if (m == NULL)
            return ERR_NO_MEMORY;
        memcpy(rte_pktmbuf_mtod(m, void *), bytes, n);
        m->data_len = (uint16_t)n;
        chain_append(&e->head.rx, m);
    } else {
        int err = chain_append_bytes(&e->head.rx, pool, bytes, n);
        if (err < 0)
            return err;
    }
    sim_pipe_take(&e->in, NULL, n);
    e->head.want -= n;
    return 0;
}

static void step_deliver(struct step *st)
{
    struct sim_end *e = st->e;
    while (e->state == SIM_OPEN && !e->close_wanted && st->done < st->budget &&
           st->now_ns >= e->hold_until) {
        uint64_t most = e->in.arrived - e->in.taken;
        if (most > e->head.want)
            most = e->head.want;
        uint32_t line =
            e->in.size - (uint32_t)(e->in.taken % e->in.size); /* up to the ring's end */
        if (most > line)
            most = line;
        if (most > rx_buffer_bytes)
            most = rx_buffer_bytes;
        if (most == 0)
            return;
        if (deliver_piece(e, piece_size(e->net, (uint32_t)most)) < 0) {
            e->hold_until = st->now_ns + memory_retry_ns;
            return;
        }
        st->done++;
        e->t->events->readable(&e->head);
        if (e->net->options.delivery == SIM_RANDOM && rng_below(&e->net->rng, 4) == 0)
            e->hold_until = st->now_ns + 1 + (int64_t)rng_below(&e->net->rng, hold_ns_max);
    }
}

static void step_send(struct step *st)
{
    struct sim_end *e = st->e;
    uint64_t sent = 0;
    while (e->tx.bytes > 0 && !e->fin_sent && e->state > SIM_CONNECTING) {
        struct rte_mbuf *m = e->tx.head;
        uint32_t n = sim_end_put(e, rte_pktmbuf_mtod(m, void *), m->data_len);
        if (n == 0)
            break;
        chain_consume(&e->tx, n);
        sent += n;
    }
    if (sent == 0)
        return;
    st->done++;
    e->head.tx_bytes -= sent;
    if (e->deadline_ns != sim_never)
        e->deadline_ns = st->now_ns + linger_idle_ns;
    e->t->events->sent(&e->head, sent);
}

static void step_ending(struct step *st)
{
    struct sim_end *e = st->e;
    bool peer_ended = e->in.fin_at <= st->now_ns && e->in.taken == e->in.written;
    if (e->close_wanted && e->state < SIM_DRAIN) {
        bool opening = e->state <= SIM_CONNECTING;
        e->state = SIM_DRAIN;
        e->deadline_ns = st->now_ns + linger_idle_ns;
        if (e->abort_wanted || opening) {
            sim_end_reset(e);
            finish(st, TRANSPORT_CLOSE_LOCAL);
            return;
        }
    } else if (e->state == SIM_OPEN && peer_ended) {
        e->state = SIM_EOF;
        st->done++;
        if (e->t->events->ended != NULL)
            e->t->events->ended(&e->head);
        else
            e->deadline_ns = st->now_ns + linger_idle_ns;
    }
    if (e->state == SIM_DRAIN && e->tx.bytes == 0) {
        sim_end_fin(e);
        e->state = SIM_FIN;
        e->deadline_ns = st->now_ns + linger_idle_ns;
    }
    if (e->state >= SIM_DRAIN) {
        sim_pipe_take(&e->in, NULL, (uint32_t)(e->in.arrived - e->in.taken));
        peer_ended = e->in.fin_at <= st->now_ns && e->in.taken == e->in.written;
    }
    bool late = st->now_ns >= e->deadline_ns;
    if (e->state == SIM_EOF && e->t->events->ended == NULL && (e->tx.bytes == 0 || late)) {
        sim_end_fin(e);
        finish(st, TRANSPORT_CLOSE_PEER);
    } else if ((e->state == SIM_FIN && peer_ended) ||
               (e->state >= SIM_DRAIN && (late || e->abort_wanted))) {
        if (!peer_ended)
            sim_end_reset(e);
        finish(st, TRANSPORT_CLOSE_LOCAL);
    }
}

static int64_t end_next(const struct sim_end *e, int64_t now_ns)
{
    int64_t next = sim_pipe_next(&e->in, now_ns);
    if (e->state <= SIM_CONNECTING && e->open_at < next)
        next = e->open_at;
    if (e->hold_until > now_ns && e->hold_until < next)
        next = e->hold_until;
    return e->deadline_ns < next ? e->deadline_ns : next;
}

static uint32_t end_step(struct sim_end *e, int64_t now_ns, uint32_t budget)
{
    struct step st = {.e = e, .now_ns = now_ns, .budget = budget};
    struct sim_transport *t = e->t;
    sim_pipe_advance(&e->in, now_ns);
    if (e->in.reset_at <= now_ns && e->state != SIM_ACCEPTING) {
        finish(&st, e->close_wanted ? TRANSPORT_CLOSE_LOCAL : TRANSPORT_CLOSE_RESET);
        return st.done;
    }
    step_opening(&st);
    if (!st.gone)
        step_deliver(&st);
    if (!st.gone && !e->abort_wanted)
        step_send(&st);
    if (!st.gone)
        step_ending(&st);
    if (!st.gone) {
        int64_t next = end_next(e, now_ns);
        t->next_ns = next < t->next_ns ? next : t->next_ns;
    }
    return st.done;
}

uint32_t sim_transport_flush(void *transport, int64_t now_ns, uint32_t budget)
{
    struct sim_transport *t = transport;
    uint32_t done = 0;
    t->net->now_ns = now_ns;
    t->next_ns = sim_never;
    struct sim_end *e = LIST_FIRST(&t->ends), *next;
    for (; e != NULL; e = next) {
        next = LIST_NEXT(e, link);
        if (done < budget)
            done += end_step(e, now_ns, budget - done);
        else
            t->next_ns = now_ns;
    }
    return done;
}

/* ---- the network ---- */

int sim_new(struct sim **out, const struct sim_options *options)
{
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->options = *options;
    if (s->options.window_bytes == 0)
        s->options.window_bytes = default_window;
    rng_seed(&s->rng, options->seed);
    s->next_port = first_client_port;
    *out = s;
    return 0;
}

void sim_free(struct sim *s)
{
    if (s == NULL)
        return;
    while (!LIST_EMPTY(&s->clients)) {
        struct sim_client *c = LIST_FIRST(&s->clients);
        LIST_REMOVE(c, link);
        sim_end_fini(&c->end);
        free(c);
    }
    free(s);
}

int64_t sim_next(const struct sim *s)
{
    int64_t next = sim_never;
    const struct sim_transport *t;
    const struct sim_client *c;
    LIST_FOREACH(t, &s->transports, link)
    next = t->next_ns < next ? t->next_ns : next;
    LIST_FOREACH(c, &s->clients, link)
    {
        int64_t at = c->closed ? sim_never : sim_pipe_next(&c->end.in, s->now_ns);
        if (at > s->now_ns && at < next)
            next = at;
    }
    return next;
}

int64_t sim_step(struct sim *s, int64_t now_ns)
{
    uint32_t done = 1;
    s->now_ns = now_ns;
    for (int round = 0; done > 0 && round < step_rounds_max; round++) {
        done = 0;
        struct sim_transport *t;
        LIST_FOREACH(t, &s->transports, link)
        done += sim_transport_flush(t, now_ns, UINT32_MAX);
    }
    return sim_next(s);
}

/* ---- transports ---- */

int sim_transport_new(struct sim_transport **out, const struct sim_transport_options *options)
{
    struct sim_transport *t = calloc(1, sizeof *t);
    if (t == NULL)
        return ERR_NO_MEMORY;
    t->net = options->net;
    t->mem = options->mem;
    t->events = options->events;
    t->conn_max = options->conn_max;
    t->next_ns = sim_never;
    LIST_INSERT_HEAD(&t->net->transports, t, link);
    *out = t;
    return 0;
}

void sim_transport_free(struct sim_transport *t)
{
    if (t == NULL)
        return;
    sim_transport_stop_listening(t);
    while (!LIST_EMPTY(&t->ends)) {
        struct sim_end *e = LIST_FIRST(&t->ends);
        sim_end_reset(e);
        end_free(e);
    }
    LIST_REMOVE(t, link);
    free(t);
}

uint32_t sim_transport_open(const struct sim_transport *t)
{
    return t->open;
}

static in_port_t *port_of(struct sockaddr_storage *a)
{
    return a->ss_family == AF_INET6 ? &((struct sockaddr_in6 *)a)->sin6_port
                                    : &((struct sockaddr_in *)a)->sin_port;
}

static bool copy_address(struct sockaddr_storage *out, const struct sockaddr *a)
{
    memset(out, 0, sizeof *out);
    if (a->sa_family != AF_INET && a->sa_family != AF_INET6)
        return false;
    memcpy(out, a,
           a->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    return true;
}

int sim_transport_listen(struct sim_transport *t, const struct sockaddr *address, uint32_t listener,
                         uint16_t *port)
{
    struct sim *s = t->net;
    struct sim_listener l = {.t = t, .number = listener};
    if (!copy_address(&l.address, address))
        return ERR_INVALID;
    if (s->listener_count == sim_listeners_max)
        return ERR_FULL;
    if (*port_of(&l.address) == 0)
        *port_of(&l.address) = htons((uint16_t)(first_server_port + s->listener_count));
    *port = ntohs(*port_of(&l.address));
    s->listeners[s->listener_count++] = l;
    return 0;
}

void sim_transport_stop_listening(struct sim_transport *t)
{
    struct sim *s = t->net;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->listener_count; i++)
        if (s->listeners[i].t != t)
            s->listeners[kept++] = s->listeners[i];
    s->listener_count = kept;
}

static bool listens(const struct sim_listener *l, const struct sockaddr_storage *to)
{
    if (l->address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)&l->address;
        bool any = memcmp(&a->sin6_addr, &in6addr_any, sizeof in6addr_any) == 0;
        if (to->ss_family == AF_INET)
            return any && ((const struct sockaddr_in *)to)->sin_port == a->sin6_port;
        const struct sockaddr_in6 *b = (const struct sockaddr_in6 *)to;
        return a->sin6_port == b->sin6_port &&
               (any || memcmp(&a->sin6_addr, &b->sin6_addr, sizeof a->sin6_addr) == 0);
    }
    if (to->ss_family != AF_INET)
        return false;
    const struct sockaddr_in *a = (const struct sockaddr_in *)&l->address;
    const struct sockaddr_in *b = (const struct sockaddr_in *)to;
    return a->sin_port == b->sin_port &&
           (a->sin_addr.s_addr == INADDR_ANY || a->sin_addr.s_addr == b->sin_addr.s_addr);
}

struct sim_listener *sim_listener_for(struct sim *s, const struct sockaddr *address)
{
    struct sockaddr_storage to;
    struct sim_listener *found = NULL;
    uint32_t seen = 0;
    if (!copy_address(&to, address))
        return NULL;
    for (uint32_t i = 0; i < s->listener_count; i++)
        if (listens(&s->listeners[i], &to) && rng_below(&s->rng, ++seen) == 0)
            found = &s->listeners[i];
    return found;
}

int sim_transport_connect(struct sim_transport *t, const struct sockaddr *address, void *user,
                          struct tconn **out)
{
    struct sim *s = t->net;
    struct sockaddr_storage to;
    if (!copy_address(&to, address))
        return ERR_INVALID;
    if (t->open >= t->conn_max)
        return ERR_FULL;
    struct sim_end *e = end_new(t);
    if (e == NULL)
        return ERR_NO_MEMORY;
    struct sim_listener *l = sim_listener_for(s, address);
    e->state = SIM_CONNECTING;
    e->open_at = s->now_ns + 2 * s->options.latency_ns;
    e->refused = l == NULL;
    e->head.peer = to;
    e->head.user = user;
    if (l != NULL && sim_end_accepting(l, e) == NULL) {
        end_free(e);
        return ERR_NO_MEMORY;
    }
    *out = &e->head;
    return 0;
}
