/* How connections come to be: listening sockets, accept, active open. */
#include "dataplane/transport/uring_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static socklen_t address_len(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET)
        return sizeof(struct sockaddr_in);
    return a->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
}

static uint16_t address_port(const struct sockaddr_storage *a)
{
    if (a->ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)a)->sin6_port);
    return ntohs(((const struct sockaddr_in *)a)->sin_port);
}

static int set_int(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof value);
}

/* Set on the listening socket: accepted ones inherit all of it, which saves calls per connection. */
static int set_options(const struct uring_transport *t, int fd)
{
    const struct uring_options *o = &t->options;
    if (set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1) != 0 ||
        set_int(fd, SOL_SOCKET, SO_KEEPALIVE, 1) != 0)
        return -1;
    if (o->send_buffer_bytes != 0 &&
        set_int(fd, SOL_SOCKET, SO_SNDBUF, (int)o->send_buffer_bytes) != 0)
        return -1;
    if (o->receive_buffer_bytes != 0 &&
        set_int(fd, SOL_SOCKET, SO_RCVBUF, (int)o->receive_buffer_bytes) != 0)
        return -1;
    return 0;
}

static int bound_socket(const struct sockaddr *address, bool share)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool v6 = address->sa_family == AF_INET6;
    if (set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
        (!share || set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0) &&
        (!v6 || set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0) &&
        bind(fd, address, address_len(address)) == 0)
        return fd;
    int errnum = errno;
    close(fd);
    errno = errnum;
    return -1;
}

static int listen_error(int errnum, int *out)
{
    *out = errnum;
    if (errnum == EADDRINUSE)
        return ERR_BUSY;
    return errnum == EACCES || errnum == EPERM ? ERR_PERMISSION : ERR_SYSTEM;
}

int uring_transport_probe(const struct sockaddr *address, int *errnum)
{
    if (address_len(address) == 0)
        return ERR_INVALID;
    int fd = bound_socket(address, false);
    if (fd < 0)
        return listen_error(errno, errnum);
    close(fd);
    return 0;
}

int uring_transport_listen(struct uring_transport *t, const struct sockaddr *address,
                           uint32_t listener, uint16_t *port, int *errnum)
{
    if (address_len(address) == 0)
        return ERR_INVALID;
    if (t->listener_count == uring_listeners_max)
        return ERR_FULL;
    int fd = bound_socket(address, true);
    if (fd < 0)
        return listen_error(errno, errnum);
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    int backlog = t->options.listen_backlog != 0 ? (int)t->options.listen_backlog : SOMAXCONN;
    if (set_options(t, fd) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &len) != 0) {
        int err = listen_error(errno, errnum);
        close(fd);
        return err;
    }
    *port = address_port(&bound);
    struct uring_listener *l = &t->listeners[t->listener_count++];
    *l = (struct uring_listener){.t = t, .fd = fd, .number = listener};
    return 0;
}

void uring_transport_stop_listening(struct uring_transport *t)
{
    t->accept_after_ns = 0;
    for (uint32_t i = 0; i < t->listener_count; i++) {
        struct uring_listener *l = &t->listeners[i];
        if (l->closing)
            continue;
        l->closing = true;
        if (l->armed)
            io_uring_prep_cancel(ring_sqe(t->ring, NULL), &l->req, 0);
        uring_close_fd(t, l->fd);
    }
}

/* ---- accept ---- */

/* An IPv4 client of a dual-stack listener is shown as one. */
static void unmap_v4(struct sockaddr_storage *peer)
{
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)peer;
    if (peer->ss_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
        return;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6->sin6_port};
    memcpy(&v4.sin_addr, &v6->sin6_addr.s6_addr[12], sizeof v4.sin_addr);
    memset(peer, 0, sizeof *peer);
    memcpy(peer, &v4, sizeof v4);
}

static void accepted_fd(struct uring_listener *l, int fd)
{
    struct uring_transport *t = l->t;
    struct uring_conn *c = l->closing ? NULL : uring_conn_take(t, fd);
    if (c == NULL) {
        if (!l->closing) {
            t->counters.refused++;
            t->refused_full++;
        }
        uring_close_fd(t, fd);
        return;
    }
    socklen_t len = sizeof c->head.peer;
    if (getpeername(fd, (struct sockaddr *)&c->head.peer, &len) != 0)
        c->head.peer.ss_family = AF_UNSPEC; /* gone already, the next receive says so */
    unmap_v4(&c->head.peer);
    c->state = CONN_NEW;
    c->listener = l->number;
    uring_work(c);
}

static void accept_failed(struct uring_transport *t, int errnum)
{
    t->counters.accept_errors++;
    switch (errnum) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: /* trying at once again would spin: the backlog stays non-empty */
        t->accept_after_ns = t->now_ns + uring_accept_pause_ns;
        t->accept_errno = errnum;
        break;
    case EINVAL: /* no multishot accept before Linux 5.19 */
        if (!t->accept_single)
            t->accept_single = true;
        else
            t->accept_after_ns = t->now_ns + uring_accept_pause_ns;
        break;
    default: /* ECONNABORTED, EPERM and the like concern one connection */
        break;
    }
}

static void accept_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_listener *l =
        (struct uring_listener *)((char *)req - offsetof(struct uring_listener, req));
    if (!(cqe_flags & IORING_CQE_F_MORE))
        l->armed = false;
    if (res >= 0)
        accepted_fd(l, res);
    else if (!l->closing)
        accept_failed(l->t, -res);
}

static void arm_accept(struct uring_listener *l)
{
    struct uring_transport *t = l->t;
    l->req.done = accept_done;
    struct io_uring_sqe *sqe = ring_sqe(t->ring, &l->req);
    if (t->accept_single)
        io_uring_prep_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
    else
        io_uring_prep_multishot_accept(sqe, l->fd, NULL, NULL, SOCK_CLOEXEC);
    l->armed = true;
}

static void log_accepts(struct uring_transport *t)
{
    if (t->refused_full != t->refused_logged &&
        log_limit_pass(&t->refused_limit, t->now_ns, NULL)) {
        log_warn("transport",
                 "closed %llu new connections: all %u connection blocks of the shard are in use",
                 (unsigned long long)(t->refused_full - t->refused_logged), t->options.conn_max);
        t->refused_logged = t->refused_full;
    }
    if (t->accept_errno != 0 && log_limit_pass(&t->accept_limit, t->now_ns, NULL))
        log_warn("transport", "accept: %s; trying again", strerror(t->accept_errno));
    t->accept_errno = 0;
}

void uring_listen_flush(struct uring_transport *t)
{
    log_accepts(t);
    if (t->now_ns < t->accept_after_ns)
        return;
    t->accept_after_ns = 0;
    for (uint32_t i = 0; i < t->listener_count; i++)
        if (!t->listeners[i].armed && !t->listeners[i].closing)
            arm_accept(&t->listeners[i]);
}

/* ---- active open ---- */

int uring_transport_connect(struct uring_transport *t, const struct sockaddr *address, void *user,
                            struct tconn **out)
{
    socklen_t len = address_len(address);
    if (len == 0)
        return ERR_INVALID;
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    struct uring_conn *c = set_options(t, fd) == 0 ? uring_conn_take(t, fd) : NULL;
    if (c == NULL) {
        close(fd);
        return t->counters.open == t->options.conn_max ? ERR_FULL : ERR_SYSTEM;
    }
    memcpy(&c->head.peer, address, len);
    c->head.user = user;
    c->state = CONN_CONNECTING;
    uring_work(c);
    *out = &c->head;
    return 0;
}

static void connect_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    struct uring_conn *c =
        (struct uring_conn *)((char *)req - offsetof(struct uring_conn, connect));
    c->connect_armed = false;
    c->connected = res == 0;
    uring_work(c);
    if (res < 0 && c->state == CONN_CONNECTING)
        uring_conn_fail(c, -res);
}

void uring_listen_connect(struct uring_conn *c)
{
    const struct sockaddr *peer = (const struct sockaddr *)&c->head.peer;
    c->connect.done = connect_done;
    c->connect_armed = true;
    io_uring_prep_connect(ring_sqe(c->t->ring, &c->connect), c->fd, peer, address_len(peer));
}
