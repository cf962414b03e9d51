/* The other end: a non-blocking kernel socket or a client of the simulated network. */
#include "tests/unit/dataplane/transport/world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool peer_open(struct world *w, struct peer *p)
{
    const struct sockaddr *to = (const struct sockaddr *)&w->address;
    *p = (struct peer){.w = w, .fd = -1};
    if (w->kind->sim)
        return sim_connect(w->sim, to, &p->client) == 0;
    if (w->kind->dpdk)
        return peer_dpdk_open(w, p);
    socklen_t len = w->kind->v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    p->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CU_ASSERT_TRUE_FATAL(p->fd >= 0);
    int err = connect(p->fd, to, len); /* loopback: the handshake is done inside */
    return err == 0 || errno == EINPROGRESS;
}

static size_t put(struct peer *p, const uint8_t *bytes, size_t n)
{
    if (p->client != NULL)
        return sim_client_send(p->client, bytes, n);
    if (p->w->kind->dpdk)
        return peer_dpdk_put(p, bytes, n);
    ssize_t done = p->fd < 0 ? 0 : send(p->fd, bytes, n, MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN && errno != ENOTCONN)
        p->reset = true;
    return done > 0 ? (size_t)done : 0;
}

static bool put_out(struct peer *p)
{
    if (p->out_len > 0) {
        size_t done = put(p, p->out + p->out_at, p->out_len);
        p->out_at += done;
        p->out_len -= done;
    }
    return p->out_len == 0;
}

size_t peer_send_raw(struct peer *p, const void *bytes, size_t n)
{
    return put(p, bytes, n);
}

size_t peer_send(struct peer *p, size_t n)
{
    const struct filter_mark *mark = p->w->kind->mark;
    size_t taken = 0;
    while (put_out(p) && taken < n && !p->reset) {
        size_t part = n - taken < peer_out_bytes ? n - taken : peer_out_bytes;
        p->out_at = 0;
        for (size_t i = 0; i < part; i++) {
            uint8_t byte = pattern(p->sent++);
            if (mark != NULL && mark->every != 0 && p->tx_until-- == 0) {
                p->out[p->out_len++] = filter_mark_byte;
                p->tx_until = mark->every - 1;
            }
            p->out[p->out_len++] = byte ^ (mark != NULL ? mark->key : 0);
        }
        taken += part;
    }
    return taken;
}

static size_t get(struct peer *p, uint8_t *bytes, size_t n)
{
    if (p->client != NULL) {
        size_t done = sim_client_receive(p->client, bytes, n);
        enum sim_client_state state = sim_client_state(p->client);
        p->ended |= state == SIM_CLIENT_ENDED;
        p->reset |= state == SIM_CLIENT_RESET;
        return done;
    }
    if (p->w->kind->dpdk)
        return peer_dpdk_get(p, bytes, n);
    ssize_t done = recv(p->fd, bytes, n, 0);
    p->ended |= done == 0;
    p->reset |= done < 0 && errno != EAGAIN;
    return done > 0 ? (size_t)done : 0;
}

size_t peer_receive(struct peer *p, size_t n)
{
    const struct filter_mark *mark = p->w->kind->mark;
    uint8_t bytes[16384];
    size_t all = 0;
    while (all < n) {
        size_t most = n - all < sizeof bytes ? n - all : sizeof bytes;
        size_t wire = get(p, bytes, most);
        if (wire == 0)
            break;
        for (size_t i = 0; i < wire; i++) {
            if (mark != NULL && mark->every != 0 && p->rx_until == 0) {
                p->wrong |= bytes[i] != filter_mark_byte;
                p->rx_until = mark->every;
                continue;
            }
            p->rx_until--;
            uint8_t plain = bytes[i] ^ (mark != NULL ? mark->key : 0);
            p->wrong |= plain != pattern(p->received++);
            all++;
        }
    }
    return all;
}

void peer_shutdown(struct peer *p)
{
    if (p->client != NULL)
        sim_client_shutdown(p->client);
    else if (p->w->kind->dpdk && p->tcp != NULL)
        tcp_shutdown(p->tcp);
    else if (!p->w->kind->dpdk)
        shutdown(p->fd, SHUT_WR);
}

void peer_close(struct peer *p)
{
    if (p->client != NULL)
        sim_client_close(p->client);
    else if (p->w->kind->dpdk)
        peer_dpdk_close(p, false);
    else if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

void peer_reset(struct peer *p)
{
    struct linger hard = {.l_onoff = 1};
    if (p->client != NULL) {
        sim_client_reset(p->client);
        return;
    }
    if (p->w->kind->dpdk) {
        peer_dpdk_close(p, true);
        return;
    }
    if (p->fd >= 0)
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_close(p);
}
