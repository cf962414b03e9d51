/*
 * end: our TCP on a port, with an application that does what lines on standard input say.
 *
 *   bypass_end PORT TCP-PORT [spoilt]
 *
 * PORT as sluice.dpdk.ports has it; prints "ready", ends with its input. spoilt: with offloads that
 * dataplane/nic/quirks.h rules out.
 *
 * One command a line, one line back when it is done and what it sends has left. Connections are
 * named by the peer's port. linux_end.py takes the same commands.
 *
 *   connect LOCAL REMOTE ADDRESS   active open                                 -> ok | refused
 *   send REMOTE N                  N more bytes of the stream 0, 1, ... 250, 0, ...  -> ok
 *   read REMOTE                    everything that came        -> read N CRC32 STATE
 *   shutdown | close | abort REMOTE                            -> ok
 *   emitted 0                      what left on all connections        -> emitted SEGMENTS BYTES
 *
 * STATE: none, opening, open, eof, reset, refused, timeout or closed (by a command before).
 */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "core/eal.h"
#include "core/mem.h"
#include "dataplane/tcp/stats.h"
#include "dataplane/transport/dpdk_net.h"

#define ends_max      2048
#define window_bytes  65536
#define packets       8191
#define pattern_cycle 251
#define send_max      65536
#define budget        1024
#define line_max      256

struct conn {
    struct tcp_conn *c; /* NULL: closed */
    uint16_t remote;
    bool opened, finished, ended;
    enum tcp_close_reason reason;
    struct chain rest; /* what was not read when it closed */
    uint64_t sent;
};

struct end {
    struct dpdk_net *net;
    struct mem mem;
    struct rng rng;
    struct dpdk_ports ports;
    struct conn conns[ends_max];
    uint32_t count;
    uint16_t port;
    bool spoilt;
};

static int64_t now(void)
{
    return clock_mono_ns(clock_system());
}

/* --- connections ------------------------------------------------------------------------------------ */

static struct conn *find(struct end *e, uint32_t remote)
{
    for (uint32_t i = e->count; i-- > 0;) /* the newest of a port */
        if (e->conns[i].remote == remote)
            return &e->conns[i];
    return NULL;
}

static struct conn *add(struct end *e, uint16_t remote)
{
    if (e->count == ends_max)
        return NULL;
    struct conn *c = &e->conns[e->count++];
    *c = (struct conn){.remote = remote};
    return c;
}

static int on_accepted(void *ctx, struct tcp_conn *t, void *user)
{
    struct end *e = ctx;
    struct conn *c = add(e, tcp_tuple(t).remote_port);
    if (c == NULL)
        return ERR_FULL;
    c->c = t;
    c->opened = true;
    tcp_set_user(t, c);
    tcp_window(t, window_bytes);
    return 0;
}

static void on_connected(void *ctx, struct tcp_conn *t)
{
    ((struct conn *)tcp_user(t))->opened = true;
}

static void on_readable(void *ctx, struct tcp_conn *t)
{
}

static void on_finished(void *ctx, struct tcp_conn *t)
{
    ((struct conn *)tcp_user(t))->finished = true;
}

static void on_sent(void *ctx, struct tcp_conn *t, uint64_t bytes)
{
}

static void on_closed(void *ctx, struct tcp_conn *t, enum tcp_close_reason reason)
{
    struct conn *c = tcp_user(t);
    tcp_recv(t, UINT64_MAX, &c->rest);
    c->c = NULL;
    c->reason = reason;
}

/* --- commands ------------------------------------------------------------------------------------------ */

static const char *state_of(const struct conn *c)
{
    if (c == NULL)
        return "none";
    if (c->ended)
        return "closed";
    if (c->c != NULL)
        return c->finished ? "eof" : c->opened ? "open" : "opening";
    switch (c->reason) {
    case TCP_CLOSE_DONE:
        return "eof";
    case TCP_CLOSE_TIMEOUT:
        return "timeout";
    case TCP_CLOSE_REFUSED:
    case TCP_CLOSE_UNREACHABLE:
        return "refused";
    default:
        return "reset";
    }
}

static void do_read(struct conn *c, char *out, size_t size)
{
    uint32_t crc = 0, n;
    uint64_t bytes = 0;
    const uint8_t *p;
    if (c != NULL && c->c != NULL && !c->ended)
        tcp_recv(c->c, UINT64_MAX, &c->rest);
    if (c != NULL && !c->ended) {
        struct chain_view v = {{c->rest.head, 0}, c->rest.bytes};
        bytes = c->rest.bytes;
        while (chain_view_next(&v, &p, &n))
            crc = (uint32_t)crc32(crc, p, n);
        chain_free(&c->rest);
        if (c->c != NULL)
            tcp_window(c->c, window_bytes);
    }
    snprintf(out, size, "read %llu %08x %s", (unsigned long long)bytes, crc, state_of(c));
}

static bool do_send(struct end *e, struct conn *c, uint32_t bytes)
{
    static uint8_t text[send_max];
    struct chain out = {0};
    if (c == NULL || c->c == NULL || bytes > send_max)
        return false;
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)(c->sent++ % pattern_cycle);
    if (chain_append_bytes(&out, e->mem.tx_pool, text, bytes) < 0)
        return false;
    tcp_send(c->c, &out);
    return true;
}

/* From the port's first address of the same IP. */
static bool addrs_to(const struct end *e, const char *address, struct tcp_addrs *out)
{
    const struct dpdk_port *p = &e->ports.items[0];
    struct in_addr v4;
    bool is_v4 = inet_pton(AF_INET, address, &v4) == 1;
    if (is_v4)
        out->remote = tcp_addr_v4(ntohl(v4.s_addr));
    else if (inet_pton(AF_INET6, address, out->remote.b) != 1)
        return false;
    for (uint32_t i = 0; i < p->address_count; i++) {
        memcpy(out->local.b, p->addresses[i].addr.b, sizeof(out->local.b));
        if (tcp_addr_is_v4(&out->local) == is_v4)
            return true;
    }
    return false;
}

static bool do_connect(struct end *e, uint32_t local, uint32_t remote, const char *address)
{
    struct tcp_addrs addrs;
    struct conn *c = add(e, (uint16_t)remote);
    if (c == NULL || !addrs_to(e, address, &addrs))
        return false;
    if (tcp_connect(dpdk_net_tcp(e->net), &addrs, (uint16_t)local, (uint16_t)remote, c, now(),
                    &c->c) < 0)
        return false;
    tcp_window(c->c, window_bytes);
    return true;
}

static bool do_end(struct conn *c, const char *how)
{
    if (c == NULL || c->c == NULL)
        return false;
    if (strcmp(how, "shutdown") == 0) {
        tcp_shutdown(c->c);
        return true;
    }
    c->ended = true;
    if (strcmp(how, "close") == 0)
        tcp_close(c->c);
    else
        tcp_abort(c->c);
    return true;
}

static void command(struct end *e, const char *line, char *out, size_t size)
{
    char what[16] = "", address[64] = "";
    unsigned a = 0, b = 0;
    bool ok = false;
    int n = sscanf(line, "%15s %u %u %63s", what, &a, &b, address);
    struct conn *c = find(e, a);
    if (n == 2 && strcmp(what, "read") == 0) {
        do_read(c, out, size);
        return;
    }
    if (n == 2 && strcmp(what, "emitted") == 0) {
        const struct tcp_stats *s = tcp_stats_of(dpdk_net_tcp(e->net));
        snprintf(out, size, "emitted %llu %llu", (unsigned long long)s->segments_out,
                 (unsigned long long)s->bytes_out);
        return;
    }
    if (n == 3 && strcmp(what, "send") == 0)
        ok = do_send(e, c, b);
    else if (n == 4 && strcmp(what, "connect") == 0)
        ok = do_connect(e, a, b, address);
    else if (n == 2)
        ok = do_end(c, what);
    snprintf(out, size, "%s", ok ? "ok" : "refused");
}

/* --- the loop -------------------------------------------------------------------------------------------- */

static void turn(struct end *e)
{
    bool more = true;
    while (more) {
        uint32_t got = dpdk_net_receive(e->net, now(), budget);
        more = dpdk_net_run(e->net, now(), budget) || got > 0;
    }
}

static void serve(struct end *e)
{
    char in[line_max], out[line_max];
    size_t have = 0;
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = lane_fd(dpdk_net_lane(e->net, 0)), .events = POLLIN}};
    for (;;) {
        turn(e);
        int64_t wait = (dpdk_net_deadline(e->net) - now()) / CLOCK_NS_PER_MS;
        poll(fds, 2, wait < 0 ? 0 : wait > 100 ? 100 : (int)wait + 1);
        if (!(fds[0].revents & (POLLIN | POLLHUP)))
            continue;
        ssize_t got = read(STDIN_FILENO, in + have, sizeof(in) - 1 - have);
        if (got <= 0)
            return;
        have += (size_t)got;
        in[have] = '\0';
        if (in[have - 1] != '\n') /* lines come one by one */
            continue;
        have = 0;
        turn(e);
        command(e, in, out, sizeof(out));
        turn(e);
        puts(out);
        fflush(stdout);
    }
}

static int open_spoilt(struct dpdk_port *p, char *why, size_t why_size)
{
    struct port_options o = {.device = p->device,
                             .netns = p->netns[0] ? p->netns : NULL,
                             .mtu = p->mtu,
                             .shards = 1,
                             .offloads = port_offloads_all,
                             .spoilt = true,
                             .pool_bufs = packets};
    return port_open(&p->port, &o, why, why_size);
}

static int net_up(struct end *e, char *why, size_t why_size)
{
    struct dpdk_net_options o = {.ports = &e->ports,
                                 .shards = 1,
                                 .header_pool = e->mem.tx_pool,
                                 .ref_pool = e->mem.ref_pool,
                                 .rng = &e->rng,
                                 .conn_max = ends_max,
                                 .rx_bytes_max = 16 * MIB,
                                 .events = {.accepted = on_accepted,
                                            .connected = on_connected,
                                            .readable = on_readable,
                                            .finished = on_finished,
                                            .sent = on_sent,
                                            .closed = on_closed,
                                            .ctx = e}};
    int err = e->spoilt ? open_spoilt(&e->ports.items[0], why, why_size)
                        : dpdk_ports_open(&e->ports, 1, packets, why, why_size);
    if (err)
        return err;
    rng_seed(&e->rng, rng_entropy());
    err = dpdk_net_new(&e->net, &o, now());
    if (!err)
        err = tcp_listen(dpdk_net_tcp(e->net), &(struct tcp_addr){{0}}, e->port, ends_max, NULL);
    if (err)
        snprintf(why, why_size, "the stack: %s", err_text(err));
    return err;
}

int main(int argc, char **argv)
{
    static struct end e;
    struct mem_plan plan;
    struct eal_state state;
    char why[512] = "usage: bypass_end PORT TCP-PORT [spoilt]";
    e.spoilt = argc == 4 && strcmp(argv[3], "spoilt") == 0;
    int err = argc == 3 || e.spoilt ? 0 : ERR_INVALID;
    if (!err)
        err = dpdk_ports_parse(&e.ports, argv[1], why, sizeof(why));
    if (!err)
        err = mem_plan_make(64 * MIB, 1, &plan);
    struct eal_options eo = {.extra_args = "--no-huge"};
    if (!err) {
        e.port = (uint16_t)atoi(argv[2]);
        eo.memory_mb =
            mem_plan_eal_mb(&plan) + (uint32_t)(dpdk_ports_bytes(&e.ports, 1, packets) / MIB) + 16;
        err = eal_up(&eo, &state, why, sizeof(why));
    }
    if (!err && (err = mem_init(&e.mem, &plan, 0)) < 0)
        snprintf(why, sizeof(why), "memory: %s", err_text(err));
    if (!err)
        err = net_up(&e, why, sizeof(why));
    if (err) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    serve(&e);
    dpdk_net_free(e.net);
    dpdk_ports_close(&e.ports);
    mem_fini(&e.mem);
    eal_down();
    return 0;
}
