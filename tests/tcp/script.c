#include "tests/tcp/script.h"

#include <ctype.h>
#include <inttypes.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "dataplane/tcp/info.h"
#include "dataplane/tcp/wire.h"

#define MS        1000000LL
#define START     (1000 * MS)
#define TOLERANCE (2 * MS) /* the wheel's tick, and rounding */
#define PEER_ISN  1000u
#define OUT_MAX   256
#define PORT_OURS 80
#define PORT_PEER 5000
#define PEERS_MAX 8

struct left {
    struct tcp_seg s;
    struct tcp_addrs addrs;
    int64_t at;
};

/* One of the hosts that talk to the stack, and its connection. */
struct peer {
    struct tcp_addrs addrs;
    struct tcp_conn *conn;
    uint32_t our_isn, isn_before, ts_heard;
    bool finished, closed;
    int reason;
    uint64_t acked;
};

struct script {
    const char *name;
    int line;
    bool failed;
    struct world_pools *pools;
    struct rng rng;
    struct tcp_options o;
    struct tcp_route route;
    struct tcp *tcp;
    struct peer peers[PEERS_MAX], *p; /* p: the one that the script's lines speak of */
    int64_t now;
    bool refuse, v6;
    uint32_t flooded; /* hosts so far */
    struct left out[OUT_MAX];
    uint32_t out_first, out_count;
};

static const struct tcp_addr *any_addr(void)
{
    static const struct tcp_addr any;
    return &any;
}

/* Host number `host` of the script's network: 10.0.0.0/8 or fd00::/64. */
static struct tcp_addr host_addr(const struct script *x, uint32_t host)
{
    struct tcp_addr a = {.b = {0xfd, [12] = (uint8_t)(host >> 24), (uint8_t)(host >> 16),
                               (uint8_t)(host >> 8), (uint8_t)host}};
    return x->v6 ? a : tcp_addr_v4(0x0a000000 + host);
}

static struct tcp_addrs addrs_of(const struct script *x, uint32_t host)
{
    return (struct tcp_addrs){host_addr(x, 1), host_addr(x, host)};
}

static struct peer *peer_at(struct script *x, const struct tcp_addrs *addrs)
{
    for (int i = 0; i < PEERS_MAX; i++)
        if (memcmp(&x->peers[i].addrs, addrs, sizeof *addrs) == 0)
            return &x->peers[i];
    return NULL;
}

/*
 * The checksum field as RFC 9293 3.1 and RFC 8200 8.1 define it, from the bytes of the pseudo header
 * one by one: shares nothing with the code under test. 0 over a segment whose field is right.
 */
static uint16_t plain_checksum(const struct tcp_addrs *a, const uint8_t *p, uint32_t len)
{
    bool v4 = tcp_addr_is_v4(&a->local);
    uint32_t from = v4 ? 12 : 0, sum = 6 + (len >> 16) + (len & 0xffff);
    for (uint32_t i = from; i < 16; i += 2)
        sum += (uint32_t)(a->local.b[i] << 8 | a->local.b[i + 1]) +
               (uint32_t)(a->remote.b[i] << 8 | a->remote.b[i + 1]);
    for (uint32_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)p[i] << 8 : p[i];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void fail(struct script *x, const char *why)
{
    if (!x->failed)
        printf("%s:%d: %s (at %.3f ms)\n", x->name, x->line, why, (double)(x->now - START) / MS);
    x->failed = true;
}

/* --- the stack's hooks ---------------------------------------------------------------------------------- */

static void on_emit(void *ctx, struct rte_mbuf *m, const struct tcp_out *out)
{
    struct script *x = ctx;
    struct tcp_seg s;
    uint8_t scratch[TCP_HEADER_MAX];
    const uint8_t *p = rte_pktmbuf_read(m, 0, out->header_len, scratch);
    CHECK(p != NULL && tcp_wire_parse(p, out->header_len, m->pkt_len, &s) == 0);
    s.ecn = out->ecn;
    /* RFC 9293 MUST-65: no MSS nor anything else but timestamps and SACK after the SYN */
    CHECK(s.flags & TCP_SYN ||
          s.header == TCP_HEADER + (s.has_ts ? 12u : 0) + (s.sacks > 0 ? 4 + 8u * s.sacks : 0));
    if (!out->checksum_offload) {
        static uint8_t all[65536];
        CHECK(m->pkt_len <= sizeof all);
        p = rte_pktmbuf_read(m, 0, m->pkt_len, all);
        CHECK(plain_checksum(&out->addrs, p, m->pkt_len) == 0);
    }
    struct peer *to = peer_at(x, &out->addrs);
    if (s.flags & TCP_SYN && to != NULL && s.seq != to->our_isn) {
        to->isn_before = to->our_isn;
        to->our_isn = s.seq;
    }
    if (s.has_ts && to != NULL)
        to->ts_heard = s.ts_val;
    if (x->out_count < OUT_MAX)
        x->out[(x->out_first + x->out_count++) % OUT_MAX] = (struct left){s, out->addrs, x->now};
    rte_pktmbuf_free(m);
}

static int on_route(void *ctx, const struct tcp_addrs *a, struct tcp_route *out)
{
    *out = ((struct script *)ctx)->route;
    return 0;
}

static struct peer *peer_of(struct script *x, const struct tcp_conn *c)
{
    struct tcp_tuple tuple = tcp_tuple(c);
    struct peer *p = peer_at(x, &tuple.addrs);
    CHECK(p != NULL); /* who took part in a flood completes no handshake */
    return p;
}

static int on_accepted(void *ctx, struct tcp_conn *c, void *listener_user)
{
    struct script *x = ctx;
    peer_of(x, c)->conn = c;
    return x->refuse ? -1 : 0;
}

static void on_connected(void *ctx, struct tcp_conn *c)
{
}

static void on_finished(void *ctx, struct tcp_conn *c)
{
    peer_of(ctx, c)->finished = true;
}

static void on_sent(void *ctx, struct tcp_conn *c, uint64_t bytes)
{
    peer_of(ctx, c)->acked += bytes;
}

static void on_closed(void *ctx, struct tcp_conn *c, enum tcp_close_reason reason)
{
    struct peer *p = peer_of(ctx, c);
    p->closed = true;
    p->reason = (int)reason;
    p->conn = NULL;
}

static void run(struct script *x)
{
    for (int i = 0; i < 100 && tcp_run(x->tcp, x->now, 64); i++) {
    }
}

static void advance(struct script *x, int64_t to)
{
    for (int64_t d; (d = tcp_next_deadline(x->tcp)) <= to;) {
        x->now = d > x->now ? d : x->now + 1000;
        run(x);
    }
    x->now = to > x->now ? to : x->now;
}

/* --- words ------------------------------------------------------------------------------------------------ */

/* The next word of the line, or NULL. */
static char *word(char **at)
{
    while (isspace((unsigned char)**at))
        (*at)++;
    if (**at == '\0')
        return NULL;
    char *start = *at;
    while (**at != '\0' && !isspace((unsigned char)**at))
        (*at)++;
    if (**at != '\0')
        *(*at)++ = '\0';
    return start;
}

static uint32_t number(struct script *x, char **at)
{
    char *w = word(at), *end = NULL;
    unsigned long v = w != NULL ? strtoul(w, &end, 0) : 0;
    if (w == NULL || *end != '\0')
        fail(x, "a number is missing");
    return (uint32_t)v;
}

static uint8_t flags_of(struct script *x, const char *w)
{
    uint8_t f = 0;
    for (; *w != '\0'; w++) {
        const char *all = "FSRP.UEW", *at = strchr(all, *w == 'A' ? '.' : *w);
        if (at == NULL)
            fail(x, "an unknown flag");
        else
            f |= (uint8_t)(1u << (at - all));
    }
    return f;
}

struct wanted {
    struct tcp_seg s;
    bool has_window, has_options;
    uint8_t fill; /* the payload's bytes */
    bool bad;     /* with a wrong checksum */
};

static void sack_words(struct script *x, char **at, struct wanted *w, uint32_t base)
{
    char *p;
    while ((p = word(at)) != NULL && w->s.sacks < TCP_SACK_BLOCKS) {
        unsigned a, b;
        if (sscanf(p, "%u:%u", &a, &b) != 2)
            fail(x, "a SACK block is a:b");
        w->s.sack[w->s.sacks++] = (struct tcp_block){base + a, base + b};
    }
}

static void segment_options(struct script *x, char **at, struct wanted *w, uint32_t ack_base)
{
    unsigned a, b = 0;
    for (char *p; (p = word(at)) != NULL;) {
        w->has_options |= strcmp(p, "win") != 0;
        if (strcmp(p, "ack") == 0) {
            w->s.ack = number(x, at) + ack_base;
            w->has_options = false;
        } else if (strcmp(p, "win") == 0) {
            w->s.window = (uint16_t)number(x, at);
            w->has_window = true;
        } else if (strcmp(p, "mss") == 0) {
            w->s.mss = (uint16_t)number(x, at);
        } else if (strcmp(p, "ws") == 0) {
            w->s.has_scale = true;
            w->s.scale = (uint8_t)number(x, at);
        } else if (strcmp(p, "sackok") == 0) {
            w->s.sack_ok = true;
        } else if (strcmp(p, "fill") == 0) {
            w->fill = (uint8_t)number(x, at);
        } else if (strcmp(p, "bad") == 0) {
            w->bad = true;
        } else if (strcmp(p, "ce") == 0) {
            w->s.ecn = 3;
        } else if (strcmp(p, "ect") == 0) {
            w->s.ecn = 2;
        } else if (strcmp(p, "ts") == 0 && (p = word(at)) != NULL &&
                   sscanf(p, "%u/%u", &a, &b) >= 1) {
            b = strstr(p, "/echo") != NULL ? x->p->ts_heard : b;
            w->s.has_ts = true;
            w->s.ts_val = a;
            w->s.ts_ecr = b;
        } else if (strcmp(p, "sack") == 0) {
            sack_words(x, at, w, ack_base);
        } else {
            fail(x, "an unknown word");
        }
    }
}

static struct wanted segment(struct script *x, char **at, bool ours)
{
    uint32_t seq_base = ours ? x->p->our_isn : PEER_ISN, ack_base = ours ? PEER_ISN : x->p->our_isn;
    struct wanted w = {.s = {.src = PORT_PEER, .dst = PORT_OURS, .window = 65535}};
    char *flags = word(at), *range = word(at);
    unsigned from, to, len;
    if (flags == NULL || range == NULL || sscanf(range, "%u:%u(%u)", &from, &to, &len) != 3) {
        fail(x, "a segment is FLAGS from:to(len) ...");
        return w;
    }
    if (to != from + len)
        fail(x, "from + len is not to");
    w.s.flags = flags_of(x, flags);
    w.s.seq = seq_base + from;
    w.s.payload = len;
    segment_options(x, at, &w, ack_base);
    return w;
}

/* --- segments ------------------------------------------------------------------------------------------------- */

static void arrive(struct script *x, const struct wanted *w, struct tcp_addrs a)
{
    uint8_t bytes[TCP_HEADER_MAX + 4096];
    uint32_t header = tcp_wire_write(&w->s, bytes);
    CHECK(w->s.payload <= 4096);
    memset(bytes + header, w->fill, w->s.payload);
    uint16_t sum = plain_checksum(&a, bytes, header + w->s.payload);
    sum ^= w->bad ? 1 : 0;
    bytes[16] = (uint8_t)(sum >> 8);
    bytes[17] = (uint8_t)sum;
    struct chain all = {0};
    CHECK(chain_append_bytes(&all, x->pools->rx, bytes, header + w->s.payload) == 0);
    all.head->pkt_len = header + w->s.payload;
    all.head->nb_segs = (uint16_t)all.segs;
    tcp_input(x->tcp, &a, all.head, w->s.ecn, x->now);
    run(x);
}

static void print_left(const struct script *x, const struct left *l)
{
    const struct tcp_seg *s = &l->s;
    printf("    left at %.3f: flags %02x seq %u len %u ack %u win %u mss %u ws %d sackok %d ts %d "
           "sacks %u",
           (double)(l->at - START) / MS, s->flags, s->seq - x->p->our_isn, s->payload,
           s->ack - PEER_ISN, s->window, s->mss, s->has_scale ? s->scale : -1, s->sack_ok,
           s->has_ts, s->sacks);
    for (uint32_t i = 0; i < s->sacks; i++)
        printf(" %u:%u", s->sack[i].start - PEER_ISN, s->sack[i].end - PEER_ISN);
    printf(" ecn %u\n", s->ecn);
}

static bool options_equal(const struct tcp_seg *a, const struct tcp_seg *b)
{
    if (a->mss != b->mss || a->has_scale != b->has_scale || a->sack_ok != b->sack_ok ||
        a->sacks != b->sacks || (a->ecn != 0 && a->ecn != b->ecn))
        return false;
    return memcmp(a->sack, b->sack, a->sacks * sizeof a->sack[0]) == 0;
}

static void expect(struct script *x, const struct wanted *w, int64_t at)
{
    if (x->out_count == 0)
        advance(x, at + TOLERANCE);
    if (x->out_count == 0) {
        fail(x, "nothing left");
        return;
    }
    struct left l = x->out[x->out_first];
    x->out_first = (x->out_first + 1) % OUT_MAX;
    x->out_count--;
    uint32_t seq = w->s.seq, ack = w->s.ack; /* our ISN may have become known just now */
    if (l.s.flags & TCP_SYN)
        seq = x->p->our_isn;
    bool same = memcmp(&l.addrs, &x->p->addrs, sizeof l.addrs) == 0 && l.s.src == w->s.dst &&
                l.s.dst == w->s.src && (l.s.flags & (w->s.flags | ~TCP_PSH)) == w->s.flags &&
                l.s.seq == seq && l.s.payload == w->s.payload &&
                (!(w->s.flags & TCP_ACK) || l.s.ack == ack) &&
                (!w->has_window || l.s.window == w->s.window) &&
                (!w->has_options || options_equal(&w->s, &l.s));
    bool in_time = l.at >= at - TOLERANCE && l.at <= at + TOLERANCE;
    if (same && in_time)
        return;
    fail(x, same ? "left at another time" : "another segment left");
    print_left(x, &l);
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void quiet(struct script *x)
{
    if (x->out_count == 0)
        return;
    fail(x, "a segment left that was not expected");
    print_left(x, &x->out[x->out_first]);
}

/*
 * N hosts send one SYN each and never anything else. Each must get one SYN-ACK, that for its SYN.
 * The hosts of a script's floods are all different.
 */
static void flood(struct script *x, uint32_t n)
{
    for (uint32_t i = 0; i < n && !x->failed; i++) {
        struct tcp_addrs a = addrs_of(x, 0x10000 + x->flooded++);
        struct wanted w = {.s = {.src = (uint16_t)(1024 + i % 60000),
                                 .dst = PORT_OURS,
                                 .seq = i * 65537,
                                 .flags = TCP_SYN,
                                 .window = 1000,
                                 .mss = 1460}};
        arrive(x, &w, a);
        struct left l = x->out[x->out_first];
        bool answered = x->out_count == 1 && memcmp(&l.addrs, &a, sizeof a) == 0 &&
                        l.s.dst == w.s.src && l.s.flags == (TCP_SYN | TCP_ACK) &&
                        l.s.ack == w.s.seq + 1;
        if (!answered)
            fail(x, "a SYN of the flood was not answered by its SYN-ACK alone");
        x->out_count = 0;
    }
}

static void app_send(struct script *x, uint32_t n)
{
    struct chain c = {0};
    static const uint8_t bytes[65536];
    CHECK(n <= sizeof bytes && chain_append_bytes(&c, x->pools->tx, bytes, n) == 0);
    tcp_send(x->p->conn, &c);
}

static void app_read(struct script *x, uint64_t max)
{
    struct chain c = {0};
    tcp_recv(x->p->conn, max, &c);
    chain_free(&c);
}

/* `reads N V`: the next N bytes are there and all of this value. */
static void app_reads(struct script *x, uint32_t n, uint32_t value)
{
    struct chain c = {0};
    bool same = tcp_recv(x->p->conn, n, &c) == n;
    for (struct rte_mbuf *m = c.head; m != NULL; m = m->next)
        for (uint32_t i = 0; i < m->data_len; i++)
            same = same && rte_pktmbuf_mtod(m, uint8_t *)[i] == value;
    chain_free(&c);
    if (!same)
        fail(x, "other bytes");
}

/* `most WHAT N`: no more than N of it. */
static void at_most(struct script *x, char **at)
{
    struct tcp_conn_info info = {0};
    struct tcp_usage usage = tcp_usage_of(x->tcp);
    if (x->p->conn != NULL)
        tcp_conn_info(x->p->conn, &info);
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {{"cwnd", info.cwnd},         {"descriptors", info.descriptors},
               {"memory", usage.rx_memory}, {"ooo", info.ooo_segments},
               {"syns", usage.syns},        {"time_waits", usage.time_waits},
               {"conns", usage.conns}};
    const char *name = word(at);
    uint64_t most = number(x, at);
    for (size_t i = 0; name != NULL && i < sizeof all / sizeof all[0]; i++)
        if (strcmp(all[i].name, name) == 0) {
            if (all[i].value > most) {
                fail(x, "more than that");
                printf("    %" PRIu64 "\n", all[i].value);
            }
            return;
        }
    fail(x, "no such figure");
}

static void is_state(struct script *x, const char *want)
{
    struct tcp_conn_info info = {0};
    if (x->p->conn != NULL)
        tcp_conn_info(x->p->conn, &info);
    if (want == NULL || strcmp(tcp_state_name(info.state), want) != 0) {
        fail(x, "another state");
        printf("    %s\n", tcp_state_name(info.state));
    }
}

static void is_closed(struct script *x, const char *want)
{
    static const char *const names[] = {"DONE",    "ABORT",   "RESET",
                                        "TIMEOUT", "REFUSED", "UNREACHABLE"};
    if (!x->p->closed || want == NULL || strcmp(names[x->p->reason], want) != 0) {
        fail(x, "closed otherwise, or not");
        printf("    %s\n", x->p->closed ? names[x->p->reason] : "open");
    }
}

static void is_stat(struct script *x, char **at)
{
    char *name = word(at);
    uint64_t want = number(x, at);
    const uint64_t *values = (const uint64_t *)tcp_stats_of(x->tcp);
    for (size_t i = 0; name != NULL && i < tcp_stats_count; i++)
        if (strcmp(tcp_stats_names()[i].name, name) == 0) {
            if (values[i] != want) {
                fail(x, "another count");
                printf("    %" PRIu64 "\n", values[i]);
            }
            return;
        }
    fail(x, "no such counter");
}

static void icmp(struct script *x, char **at)
{
    struct tcp_addrs a = x->p->addrs;
    char *kind = word(at);
    uint32_t seq = number(x, at) + x->p->our_isn;
    if (kind != NULL && strcmp(kind, "big") == 0)
        tcp_icmp_too_big(x->tcp, &a, PORT_OURS, PORT_PEER, seq, number(x, at), x->now);
    else
        tcp_icmp_unreachable(x->tcp, &a, PORT_OURS, PORT_PEER, seq, kind && !strcmp(kind, "hard"),
                             x->now);
}

/* False: no such command. */
static bool app_command(struct script *x, const char *c, char **at)
{
    bool needs_conn = strcmp(c, "is") && strcmp(c, "closed") && strcmp(c, "stat") &&
                      strcmp(c, "icmp") && strcmp(c, "acked") && strcmp(c, "finished") &&
                      strcmp(c, "most") && strcmp(c, "flood") && strcmp(c, "before");
    if (needs_conn && x->p->conn == NULL) {
        fail(x, "there is no connection");
        return true;
    }
    if (strcmp(c, "send") == 0)
        app_send(x, number(x, at));
    else if (strcmp(c, "shutdown") == 0)
        tcp_shutdown(x->p->conn);
    else if (strcmp(c, "close") == 0)
        tcp_close(x->p->conn);
    else if (strcmp(c, "abort") == 0)
        tcp_abort(x->p->conn);
    else if (strcmp(c, "before") == 0)
        x->p->our_isn = x->p->isn_before;
    else if (strcmp(c, "nagle") == 0)
        tcp_nagle(x->p->conn, true);
    else if (strcmp(c, "window") == 0)
        tcp_window(x->p->conn, number(x, at));
    else if (strcmp(c, "read") == 0)
        app_read(x, number(x, at));
    else if (strcmp(c, "reads") == 0) {
        uint32_t n = number(x, at);
        app_reads(x, n, number(x, at));
    } else if (strcmp(c, "most") == 0)
        at_most(x, at);
    else if (strcmp(c, "flood") == 0)
        flood(x, number(x, at));
    else if (strcmp(c, "icmp") == 0)
        icmp(x, at);
    else if (strcmp(c, "is") == 0)
        is_state(x, word(at));
    else if (strcmp(c, "closed") == 0)
        is_closed(x, word(at));
    else if (strcmp(c, "stat") == 0)
        is_stat(x, at);
    else if (strcmp(c, "readable") == 0 && tcp_readable(x->p->conn) != number(x, at))
        fail(x, "another number of bytes is readable");
    else if (strcmp(c, "acked") == 0 && x->p->acked != number(x, at))
        fail(x, "another number of bytes is acknowledged");
    else if (strcmp(c, "finished") == 0 && !x->p->finished)
        fail(x, "the peer's FIN was not reported");
    else
        return !strcmp(c, "readable") || !strcmp(c, "acked") || !strcmp(c, "finished");
    return true;
}

static void timed(struct script *x, const char *when, char **at)
{
    double ms = strtod(when[0] == '+' ? when + 1 : when, NULL);
    int64_t then = (int64_t)(ms * MS) + (when[0] == '+' ? x->now : START);
    char *c = word(at);
    if (c == NULL) {
        fail(x, "a command is missing");
        return;
    }
    if (strcmp(c, ">") == 0) {
        struct wanted w = segment(x, at, true);
        expect(x, &w, then > x->now ? then : x->now);
        return;
    }
    quiet(x);
    advance(x, then);
    quiet(x);
    if (strcmp(c, "<") == 0) {
        struct wanted w = segment(x, at, false);
        arrive(x, &w, x->p->addrs);
    } else if (strcmp(c, "idle") != 0) {
        if (!app_command(x, c, at))
            fail(x, "an unknown command");
        run(x);
    }
}

struct option {
    const char *name;
    size_t at, size;
    int64_t unit;
};
#define OPTION(name, field, unit)                                                                  \
    {                                                                                              \
        name, offsetof(struct tcp_options, field), sizeof(((struct tcp_options *)0)->field), unit  \
    }

static const struct option options[] = {
    OPTION("sack", sack, 1),
    OPTION("ts", timestamps, 1),
    OPTION("ws", window_scaling, 1),
    OPTION("ecn", ecn, 1),
    OPTION("cookies", syn_cookies, 1),
    OPTION("newreno", congestion, 1),
    OPTION("syns", syns_max, 1),
    OPTION("conns", conns_max, 1),
    OPTION("time_waits", time_waits_max, 1),
    OPTION("window_max", rx_window_max, 1),
    OPTION("memory_max", rx_memory_max, 1),
    OPTION("ranges_max", rx_ooo_ranges_max, 1),
    OPTION("challenges", challenge_acks_max, 1),
    OPTION("resets", resets_max, 1),
    OPTION("rto_min", rto_min, MS),
    OPTION("rto_max", rto_max, MS),
    OPTION("delack", delayed_ack, MS),
    OPTION("time_wait", time_wait, MS),
    OPTION("user_timeout", user_timeout, MS),
    OPTION("syn_timeout", syn_timeout, MS),
    OPTION("fin_wait2", fin_wait2_timeout, MS),
    OPTION("keep_idle", keepalive_idle, MS),
    OPTION("keep_interval", keepalive_interval, MS),
    OPTION("keep_probes", keepalive_probes, 1),
};

static void name_peers(struct script *x, bool v6)
{
    x->v6 = v6;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        x->peers[i].addrs = addrs_of(x, 2 + i);
}

static void set_options(struct script *x, char **at)
{
    for (char *p; (p = word(at)) != NULL;) {
        char *value = strchr(p, '=');
        if (value == NULL) {
            fail(x, "an option is name=value");
            return;
        }
        *value++ = '\0';
        int64_t v = strtoll(value, NULL, 0);
        bool found = false;
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
            if (strcmp(options[i].name, p) == 0) {
                int64_t scaled = v * options[i].unit;
                memcpy((char *)&x->o + options[i].at, &scaled, options[i].size);
                found = true;
            }
        if (strcmp(p, "mtu") == 0)
            x->route.mtu = (uint16_t)v;
        else if (strcmp(p, "tso") == 0)
            x->route = (struct tcp_route){x->route.mtu, (uint32_t)v, true};
        else if (strcmp(p, "refuse") == 0)
            x->refuse = v != 0;
        else if (strcmp(p, "v6") == 0)
            name_peers(x, v != 0);
        else if (!found)
            fail(x, "no such option");
    }
}

static void start(struct script *x, bool active)
{
    struct tcp_addrs a = x->p->addrs;
    CHECK(tcp_new(&x->o, x->now, &x->tcp) == 0);
    if (!active) {
        CHECK(tcp_listen(x->tcp, any_addr(), PORT_OURS, 16, x) == 0);
        return;
    }
    CHECK(tcp_connect(x->tcp, &a, PORT_OURS, PORT_PEER, x, x->now, &x->p->conn) == 0);
    run(x);
}

static void choose_peer(struct script *x, uint32_t n)
{
    if (n == 0 || n > PEERS_MAX)
        fail(x, "no such peer");
    else
        x->p = &x->peers[n - 1];
}

static void one_line(struct script *x, char *line)
{
    char *comment = strchr(line, '#');
    if (comment != NULL)
        *comment = '\0';
    char *at = line, *first = word(&at);
    if (first == NULL)
        return;
    if (strcmp(first, "opt") == 0)
        set_options(x, &at);
    else if (strcmp(first, "listen") == 0 || strcmp(first, "connect") == 0)
        start(x, first[0] == 'c');
    else if (x->tcp == NULL)
        fail(x, "listen or connect comes first");
    else if (strcmp(first, "peer") == 0)
        choose_peer(x, number(x, &at));
    else
        timed(x, first, &at);
}

bool script_run(const char *name, const char *text, struct world_pools *pools)
{
    struct script *x = calloc(1, sizeof *x);
    CHECK(x != NULL);
    x->name = name;
    x->pools = pools;
    x->now = START;
    x->route.mtu = 1500;
    x->p = x->peers;
    name_peers(x, false);
    rng_seed(&x->rng, 1);
    x->o.hooks = (struct tcp_hooks){on_emit,      on_route,    NULL,    on_accepted, on_connected,
                                    on_connected, on_finished, on_sent, on_closed,   x};
    x->o.header_pool = pools->header;
    x->o.ref_pool = pools->ref;
    x->o.rng = &x->rng;
    tcp_options_default(&x->o);
    unsigned before = rte_mempool_avail_count(pools->rx);
    char *copy = strdup(text), *rest = copy;
    for (char *line; !x->failed && (line = strsep(&rest, "\n")) != NULL;) {
        x->line++;
        one_line(x, line);
        for (int i = 0; i < PEERS_MAX; i++)
            if (x->peers[i].conn != NULL)
                tcp_conn_verify(x->peers[i].conn);
    }
    if (!x->failed)
        quiet(x);
    free(copy);
    tcp_free(x->tcp);
    CHECK(rte_mempool_avail_count(pools->rx) == before);
    bool ok = !x->failed;
    free(x);
    return ok;
}
