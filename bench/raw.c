#include "bench/raw.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "bench/cable.h"

#define correlation    7
#define receive_bytes  16384
#define events_at_once 64
/* Of a reply of version 7 with one topic and one partition: all but the topic's name. */
#define reply_fixed_bytes 52

struct conn {
    int fd;
    uint8_t *burst;    /* in_flight requests side by side */
    uint64_t owed, at; /* bytes to send; where in burst they begin */
    int64_t *since_ns; /* of the requests under way, by number % in_flight */
    uint64_t replies;
    uint32_t have; /* bytes of a reply that is not whole */
    uint8_t reply[receive_bytes];
};

struct raw {
    const struct raw_options *o;
    struct result *result;
    struct bench_batch batch;
    struct conn *conns;
    uint32_t request_bytes, reply_bytes, name_bytes;
    int epoll;
    int64_t busy_ns;
    bool measuring;
    char *why;
    size_t why_size;
};

static int fail(struct raw *b, int err, const char *what)
{
    snprintf(b->why, b->why_size, "%s", what);
    return err;
}

/* Produce v7: header, acks=1, one topic, one partition, the batch. */
static void encode(const struct raw *b, uint8_t *p, uint32_t partition)
{
    uint32_t n = b->name_bytes;
    bytes_put_u32(p, b->request_bytes - 4);
    bytes_put_u16(p + 4, 0); /* Produce */
    bytes_put_u16(p + 6, 7);
    bytes_put_u32(p + 8, correlation);
    bytes_put_u16(p + 12, 4);
    memcpy(p + 14, "bare", 4);
    bytes_put_u16(p + 18, UINT16_MAX); /* no transactional id */
    bytes_put_u16(p + 20, 1);
    bytes_put_u32(p + 22, 30000);
    bytes_put_u32(p + 26, 1);
    bytes_put_u16(p + 30, (uint16_t)n);
    memcpy(p + 32, b->o->topic, n);
    bytes_put_u32(p + 32 + n, 1);
    bytes_put_u32(p + 36 + n, partition);
    bytes_put_u32(p + 40 + n, b->batch.len);
    memcpy(p + 44 + n, b->batch.bytes, b->batch.len);
}

static int open_conn(struct raw *b, uint32_t index, const struct sockaddr_storage *sa)
{
    struct conn *c = &b->conns[index];
    uint32_t window = b->o->in_flight;
    c->burst = malloc((size_t)window * b->request_bytes);
    c->since_ns = calloc(window, sizeof(*c->since_ns));
    if (!c->burst || !c->since_ns)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < window; i++)
        encode(b, c->burst + (size_t)i * b->request_bytes, index % b->o->partitions);
    c->owed = (uint64_t)window * b->request_bytes;
    c->fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len =
        sa->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)sa, len) < 0)
        return fail(b, ERR_IO, "no broker answers there");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u32 = index};
    return epoll_ctl(b->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0 ? ERR_IO : 0;
}

/* Until all is sent or the kernel takes no more. */
static int send_owed(struct raw *b, struct conn *c)
{
    uint64_t burst = (uint64_t)b->o->in_flight * b->request_bytes;
    while (c->owed) {
        uint64_t n = burst - c->at < c->owed ? burst - c->at : c->owed;
        ssize_t sent = send(c->fd, c->burst + c->at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN ? 0 : fail(b, ERR_CLOSED, "a connection broke");
        c->owed -= (uint64_t)sent;
        c->at = (c->at + (uint64_t)sent) % burst;
    }
    return 0;
}

static int take_reply(struct raw *b, struct conn *c, const uint8_t *p, int64_t now)
{
    if (bytes_get_u32(p) != b->reply_bytes - 4 || bytes_get_u32(p + 4) != correlation)
        return fail(b, ERR_MALFORMED, "an answer that was not asked for");
    int16_t error = bytes_get_i16(p + 22 + b->name_bytes);
    if (error) {
        result_error(b->result, error);
        snprintf(b->why, b->why_size, "a request was refused: %s", kerr_name(error));
        return ERR_IO;
    }
    int64_t *since = &c->since_ns[c->replies++ % b->o->in_flight];
    if (b->measuring) {
        result_count(b->result, now, b->batch.records, b->batch.len);
        result_latency(b->result, now, *since);
    }
    *since = now;
    c->owed += b->request_bytes;
    return 0;
}

static int receive(struct raw *b, struct conn *c, int64_t now)
{
    for (;;) {
        uint32_t room = receive_bytes - c->have, at = 0;
        ssize_t got = recv(c->fd, c->reply + c->have, room, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0)
            return fail(b, ERR_CLOSED, "a connection broke");
        c->have += (uint32_t)got;
        for (; c->have - at >= b->reply_bytes; at += b->reply_bytes) {
            int err = take_reply(b, c, c->reply + at, now);
            if (err)
                return err;
        }
        c->have -= at;
        memmove(c->reply, c->reply + at, c->have);
        if ((uint32_t)got < room)
            return 0;
    }
}

/* Never asleep, as the produce load. */
static int spin(struct raw *b, double seconds)
{
    struct epoll_event ev[events_at_once];
    int64_t now = clock_mono_ns(clock_system()), end = now + (int64_t)(seconds * 1e9);
    int err = 0;
    bool worked = false;
    while (!err && now < end && !crew_stopping(b->o->member)) {
        int n = epoll_wait(b->epoll, ev, events_at_once, 0);
        int64_t begin = now;
        now = clock_mono_ns(clock_system());
        b->busy_ns += worked ? now - begin : 0;
        worked = n > 0;
        for (int i = 0; i < n && !err; i++) {
            struct conn *c = &b->conns[ev[i].data.u32];
            if (ev[i].events & ~(uint32_t)EPOLLOUT)
                err = receive(b, c, now);
            if (!err)
                err = send_owed(b, c);
        }
    }
    return err;
}

static int measure(struct raw *b)
{
    int64_t begin = clock_mono_ns(clock_system());
    for (uint32_t i = 0; i < b->o->connections; i++)
        for (uint32_t k = 0; k < b->o->in_flight; k++)
            b->conns[i].since_ns[k] = begin;
    int err = spin(b, b->o->warmup_s);
    if (err)
        return err;
    begin = clock_mono_ns(clock_system());
    result_window(b->result, begin, b->o->seconds);
    b->measuring = true;
    b->busy_ns = 0;
    err = spin(b, b->o->seconds);
    b->result->seconds = (double)(clock_mono_ns(clock_system()) - begin) / 1e9;
    b->result->client_busy_s = b->result->busiest_s = (double)b->busy_ns / 1e9;
    result_close(b->result);
    return err ? err : crew_stopping(b->o->member) ? ERR_CANCELLED : 0;
}

static int prepare(struct raw *b)
{
    const struct raw_options *o = b->o;
    struct sockaddr_storage sa;
    struct rng rng;
    rng_seed(&rng, o->seed);
    if (cable_address(o->host, o->port, &sa) < 0)
        return fail(b, ERR_INVALID, "--host is not a numeric address");
    int err = bench_batch_make(&b->batch, &o->batch, clock_wall_ms(clock_system()), &rng);
    if (err)
        return err;
    b->request_bytes = 44 + b->name_bytes + b->batch.len;
    b->reply_bytes = reply_fixed_bytes + b->name_bytes;
    if ((uint64_t)b->request_bytes * o->in_flight * o->connections > raw_bytes_max)
        return fail(b, ERR_TOO_LARGE, "too much at once: fewer connections, requests or bytes");
    for (uint32_t i = 0; i < o->connections && !err; i++)
        err = open_conn(b, i, &sa);
    return err;
}

int raw_run(const struct raw_options *options, struct result *out, char *why, size_t why_size)
{
    struct raw b = {.o = options, .result = out, .why = why, .why_size = why_size};
    b.name_bytes = (uint32_t)strlen(options->topic);
    b.epoll = epoll_create1(EPOLL_CLOEXEC);
    b.conns = calloc(options->connections, sizeof(*b.conns));
    for (uint32_t i = 0; b.conns && i < options->connections; i++)
        b.conns[i].fd = -1;
    int err = b.conns && b.epoll >= 0 ? prepare(&b) : ERR_NO_MEMORY;
    if (!err)
        err = measure(&b);
    for (uint32_t i = 0; b.conns && i < options->connections; i++) {
        if (b.conns[i].fd >= 0)
            close(b.conns[i].fd);
        free(b.conns[i].burst);
        free(b.conns[i].since_ns);
    }
    free(b.conns);
    bench_batch_free(&b.batch);
    if (b.epoll >= 0)
        close(b.epoll);
    return err;
}
