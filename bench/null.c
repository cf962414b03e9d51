#include "bench/null.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "bench/cable.h"

#define null_request_bytes_max (2 * MIB)
#define null_conn_max          4096
#define null_file_bytes        (1024 * MIB)
#define null_ring_bytes        (64 * MIB)
#define null_spin_ns           (100 * CLOCK_NS_PER_US) /* looks again and again that long before it sleeps */
#define null_recv_bytes        (128 * KIB) /* stays in the cache until it is copied on */
#define null_events_max        64
#define null_backlog           1024

struct null_conn {
    int fd;
    uint32_t have;    /* bytes in buf */
    uint32_t out_len; /* unsent reply bytes */
    uint8_t *buf;     /* null_request_bytes_max */
    uint8_t out[16384];
};

struct null_broker {
    int epoll, listener;
    uint8_t *ring;
    uint64_t ring_at, offset, crc;
    bool echo;
    int file;         /* -1: none */
    uint64_t file_at; /* begins anew at null_file_bytes */
    struct null_conn *conns[null_conn_max];
};

static volatile sig_atomic_t null_stop;

static void on_signal(int signum)
{
    null_stop = 1;
}

static void conn_free(struct null_broker *b, struct null_conn *c)
{
    b->conns[c->fd] = NULL;
    close(c->fd);
    free(c->buf);
    free(c);
}

/* A position in a request; p is NULL after a read beyond the end. */
struct cut {
    const uint8_t *p, *end;
};

static const uint8_t *take(struct cut *c, uint32_t n)
{
    const uint8_t *at = c->p;
    if (at == NULL || n > (size_t)(c->end - at)) {
        c->p = NULL;
        return NULL;
    }
    c->p = at + n;
    return at;
}

static const uint8_t *take_string(struct cut *c, uint16_t *len)
{
    const uint8_t *n = take(c, 2);
    *len = n && bytes_get_i16(n) > 0 ? bytes_get_u16(n) : 0;
    return n ? take(c, *len) : NULL;
}

/* Into the operating system's cache, which writes it when it likes. */
static bool write_batch(struct null_broker *b, const uint8_t *p, uint32_t bytes)
{
    if (b->file_at + bytes > null_file_bytes)
        b->file_at = 0;
    if (pwrite(b->file, p, bytes, (off_t)b->file_at) != (ssize_t)bytes)
        return false;
    b->file_at += bytes;
    return true;
}

/* A file without a name: it is gone with the program. */
static int open_file(struct null_broker *b, const char *folder)
{
    b->file = *folder ? open(folder, O_TMPFILE | O_RDWR, 0600) : -1;
    return *folder && b->file < 0 ? err_from_errno(errno) : 0;
}

/* Writes the Produce v3-7 reply for the one partition; returns its bytes, 0 if the request is malformed. */
static uint32_t answer(struct null_broker *b, const uint8_t *req, uint32_t len, uint8_t *out)
{
    struct cut c = {req, req + len};
    uint16_t n;
    const uint8_t *head = take(&c, 8);
    if (!head || bytes_get_i16(head) != 0)
        return 0;
    take_string(&c, &n); /* client id */
    take_string(&c, &n); /* transactional id */
    take(&c, 2 + 4 + 4); /* acks, timeout, topics */
    const uint8_t *topic = take_string(&c, &n);
    const uint8_t *part = take(&c, 4 + 4 + 4);
    if (!topic || !part || n > 255)
        return 0;
    uint32_t bytes = bytes_get_u32(part + 8);
    const uint8_t *batch = take(&c, bytes);
    if (!batch || bytes < batch_header_bytes)
        return 0;
    if (b->ring_at + bytes > null_ring_bytes)
        b->ring_at = 0;
    b->crc = crc32c_copy(0, b->ring + b->ring_at, batch, bytes);
    if (b->file >= 0 && !write_batch(b, b->ring + b->ring_at, bytes))
        return 0;
    b->ring_at += bytes;
    uint8_t *o = out + 4;
    memcpy(o, head + 4, 4); /* correlation id */
    bytes_put_u32(o + 4, 1);
    bytes_put_u16(o + 8, n);
    memcpy(o + 10, topic, n);
    o += 10 + n;
    bytes_put_u32(o, 1);
    memcpy(o + 4, part + 4, 4);
    bytes_put_u16(o + 8, 0);
    bytes_put_u64(o + 10, b->offset);
    bytes_put_u64(o + 18, UINT64_MAX);
    bytes_put_u64(o + 26, 0);
    bytes_put_u32(o + 34, 0);
    b->offset += bytes_get_u32(batch + 57);
    uint32_t total = (uint32_t)(o + 38 - out);
    bytes_put_u32(out, total - 4);
    return total;
}

static bool send_all(int fd, const uint8_t *p, uint32_t len)
{
    for (uint32_t sent = 0; sent < len;) {
        ssize_t n = send(fd, p + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n <= 0)
            return false;
        sent += (uint32_t)n;
    }
    return true;
}

static bool flush(struct null_conn *c)
{
    bool sent = send_all(c->fd, c->out, c->out_len);
    c->out_len = 0;
    return sent;
}

static bool send_back(struct null_conn *c)
{
    bool sent = send_all(c->fd, c->buf, c->have);
    c->have = 0;
    return sent;
}

/* Answers every whole request in the buffer and keeps the rest. */
static bool serve(struct null_broker *b, struct null_conn *c)
{
    uint32_t at = 0;
    while (c->have - at >= 4) {
        uint32_t len = bytes_get_u32(c->buf + at);
        if (len < 8 || len > null_request_bytes_max - 4)
            return false;
        if (c->have - at - 4 < len)
            break;
        if (sizeof(c->out) - c->out_len < 512 && !flush(c))
            return false;
        uint32_t n = answer(b, c->buf + at + 4, len, c->out + c->out_len);
        if (n == 0)
            return false;
        c->out_len += n;
        at += 4 + len;
    }
    memmove(c->buf, c->buf + at, c->have - at);
    c->have -= at;
    return flush(c);
}

static void on_readable(struct null_broker *b, struct null_conn *c)
{
    uint32_t room = null_request_bytes_max - c->have;
    ssize_t n = recv(c->fd, c->buf + c->have, room < null_recv_bytes ? room : null_recv_bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_free(b, c);
        return;
    }
    c->have += (uint32_t)n;
    if (!(b->echo ? send_back(c) : serve(b, c)))
        conn_free(b, c);
}

static void on_accept(struct null_broker *b)
{
    int fd = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct null_conn *c = fd < null_conn_max ? calloc(1, sizeof(*c)) : NULL;
    if (c)
        c->buf = malloc(null_request_bytes_max);
    if (!c || !c->buf) {
        free(c);
        close(fd);
        return;
    }
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    c->fd = fd;
    b->conns[fd] = c;
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void say_ready(const struct sockaddr_storage *sa)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)sa;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)sa;
    char text[INET6_ADDRSTRLEN] = "";
    if (sa->ss_family == AF_INET6)
        printf("null ready [%s]:%u\n", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text)),
               ntohs(v6->sin6_port));
    else
        printf("null ready %s:%u\n", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text)),
               ntohs(v4->sin_port));
    fflush(stdout);
}

static int listen_on(struct null_broker *b, const struct null_options *o, char *why,
                     size_t why_size)
{
    struct sockaddr_storage sa;
    int one = 1;
    if (cable_address(o->host, o->port, &sa) < 0) {
        snprintf(why, why_size, "'%s' is not a numeric address", o->host);
        return ERR_INVALID;
    }
    socklen_t len =
        sa.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    struct epoll_event ev = {.events = EPOLLIN};
    b->listener = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ev.data.fd = b->listener;
    if (b->listener < 0 || setsockopt(b->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
        bind(b->listener, (struct sockaddr *)&sa, len) || listen(b->listener, null_backlog) ||
        getsockname(b->listener, (struct sockaddr *)&sa, &len) ||
        epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->listener, &ev)) {
        int err = err_from_errno(errno);
        snprintf(why, why_size, "cannot listen on %s port %u: %s", o->host, o->port, err_text(err));
        return err;
    }
    say_ready(&sa);
    return 0;
}

static void null_free(struct null_broker *b)
{
    for (int i = 0; i < null_conn_max; i++)
        if (b->conns[i])
            conn_free(b, b->conns[i]);
    if (b->epoll >= 0)
        close(b->epoll);
    if (b->listener >= 0)
        close(b->listener);
    if (b->file >= 0)
        close(b->file);
    free(b->ring);
    free(b);
}

int null_run(const struct null_options *options, char *why, size_t why_size)
{
    struct null_broker *b = calloc(1, sizeof(*b));
    if (!b)
        return ERR_NO_MEMORY;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    b->listener = b->file = -1;
    b->echo = options->echo;
    b->epoll = epoll_create1(0);
    b->ring = malloc(null_ring_bytes);
    int err = b->ring && b->epoll >= 0 ? open_file(b, options->write) : ERR_NO_MEMORY;
    if (err)
        snprintf(why, why_size, "%s", err_text(err));
    else
        err = listen_on(b, options, why, why_size);
    int64_t now = clock_mono_ns(clock_system()), busy = now;
    int64_t end = options->seconds > 0 ? now + (int64_t)(options->seconds * 1e9) : INT64_MAX;
    for (; !err && !null_stop && now < end; now = clock_mono_ns(clock_system())) {
        struct epoll_event ev[null_events_max];
        int n = epoll_wait(b->epoll, ev, null_events_max, now - busy < null_spin_ns ? 0 : 100);
        if (n > 0)
            busy = now;
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == b->listener)
                on_accept(b);
            else if (b->conns[ev[i].data.fd])
                on_readable(b, b->conns[ev[i].data.fd]);
        }
    }
    null_free(b);
    return err;
}
