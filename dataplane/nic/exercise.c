#include "dataplane/nic/exercise.h"

#include <rte_mbuf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "dataplane/nic/checksum.h"
#include "dataplane/nic/exercise_impl.h"
#include "dataplane/nic/port_impl.h"
#include "dataplane/nic/steer.h"

#define ethertype_ours 0x88b5 /* IEEE 802: for local experiments; nobody else listens to it */
#define ethertype_v4   0x0800
#define magic          0x51ac1ce5
#define data_at        22 /* behind the link header, the magic word and the key */
#define tcp_frame      94
#define window         32 /* frames under way: fewer than any driver's queue */

static void line(struct exercise *x, const char *name, enum exercise_state state, const char *form,
                 ...)
{
    struct exercise_line *l = &x->lines[x->count++];
    va_list args;
    l->name = name;
    l->state = state;
    x->failed += state == EXERCISE_FAILED;
    va_start(args, form);
    vsnprintf(l->text, sizeof(l->text), form, args);
    va_end(args);
}

/* ---- one end of the cable ---- */

static void wake_nobody(void *ctx, uint32_t to)
{
    (void)ctx;
    (void)to; /* every lane is polled here */
}

static int end_open(struct exercise_end *e, struct port *port)
{
    *e = (struct exercise_end){.port = port};
    if (port->shards > exercise_queues_max)
        return ERR_INVALID;
    for (; e->count < port->shards; e->count++) {
        struct lane_options o = {.port = port, .shard = e->count, .wake = wake_nobody};
        int err = lane_new(&e->lanes[e->count], &o);
        if (err)
            return err;
    }
    return 0;
}

static void end_close(struct exercise_end *e)
{
    for (uint32_t i = 0; i < e->count; i++)
        lane_free(e->lanes[i]);
}

void exercise_pump(struct exercise_end *e, int64_t now_ns)
{
    for (uint32_t i = 0; i < e->count; i++) {
        lane_now(e->lanes[i], now_ns);
        lane_flush(e->lanes[i]);
    }
}

uint32_t exercise_hear(struct exercise_end *e, struct rte_mbuf **frames, uint32_t *lane)
{
    for (uint32_t i = 0; i < e->count; i++) {
        *lane = e->next++ % e->count;
        uint32_t n = lane_receive(e->lanes[*lane], frames, lane_burst_max);
        if (n > 0)
            return n;
    }
    return 0;
}

/* ---- frames of ours ---- */

static uint8_t content(uint32_t key, uint32_t i)
{
    return (uint8_t)((key * 2654435761u + i * 40503u) >> 11);
}

static void head_write(uint8_t *p, const struct exercise_end *from, const struct exercise_end *to,
                       uint16_t type)
{
    memcpy(p, to->port->report.mac, 6);
    memcpy(p + 6, from->port->report.mac, 6);
    bytes_put_u16(p + 12, type);
}

/* A frame of n bytes in one buffer or two; NULL: no buffer. */
static struct rte_mbuf *frame_make(struct exercise_end *from, const struct exercise_end *to,
                                   uint32_t n, uint32_t key, bool chained)
{
    struct rte_mempool *pool = from->port->pools[0];
    uint32_t first = chained ? data_at + 5 : n;
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool), *rest = NULL;
    if (m != NULL && chained && (rest = rte_pktmbuf_alloc(pool)) == NULL) {
        rte_pktmbuf_free(m);
        m = NULL;
    }
    if (m == NULL)
        return NULL;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)first);
    if (p == NULL) { /* over one buffer */
        rte_pktmbuf_free(m);
        rte_pktmbuf_free(rest);
        return NULL;
    }
    head_write(p, from, to, ethertype_ours);
    bytes_put_u32(p + 14, magic);
    bytes_put_u32(p + 18, key);
    for (uint32_t i = data_at; i < first; i++)
        p[i] = content(key, i);
    if (rest != NULL) {
        uint8_t *q = (uint8_t *)rte_pktmbuf_append(rest, (uint16_t)(n - first));
        CHECK(q != NULL); /* so does a whole frame */
        for (uint32_t i = first; i < n; i++)
            q[i - first] = content(key, i);
        rte_pktmbuf_chain(m, rest);
    }
    return m;
}

static bool is_ours(const struct rte_mbuf *m, uint16_t type)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    return m->data_len >= data_at && bytes_get_u16(p + 12) == type &&
           (type != ethertype_ours || bytes_get_u32(p + 14) == magic);
}

static uint32_t key_of(const struct rte_mbuf *m)
{
    return bytes_get_u32(rte_pktmbuf_mtod_offset(m, const uint8_t *, 18));
}

static bool is_right(const struct rte_mbuf *m, uint32_t n, uint32_t key)
{
    uint32_t at = 0;
    if (m->pkt_len != n)
        return false;
    for (; m != NULL; m = m->next)
        for (uint32_t i = 0; i < m->data_len; i++, at++)
            if (at >= data_at && rte_pktmbuf_mtod(m, const uint8_t *)[i] != content(key, at))
                return false;
    return at == n;
}

/* Frames of ours of this type, until one comes or the time is over. */
static uint32_t wait_for(const struct exercise_options *o, struct exercise_end *from,
                         struct exercise_end *to, uint16_t type, struct rte_mbuf **frames,
                         uint32_t *lane, int64_t wait_ns)
{
    int64_t now = clock_mono_ns(o->clock), until = now + wait_ns;
    for (bool last = false; !last; now = clock_mono_ns(o->clock)) {
        last = now >= until; /* one look more: this thread may have stood still */
        exercise_pump(from, now);
        if (to != from)
            exercise_pump(to, now);
        uint32_t n = exercise_hear(to, frames, lane), kept = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (is_ours(frames[i], type))
                frames[kept++] = frames[i];
            else
                rte_pktmbuf_free(frames[i]);
        }
        if (kept > 0)
            return kept;
    }
    return 0;
}

/* ---- what is looked at ---- */

static void check_link(const struct exercise_options *o, struct exercise *x, struct exercise_end *a,
                       struct exercise_end *b)
{
    int64_t begin = clock_mono_ns(o->clock), now = begin;
    struct rte_mbuf *frames[lane_burst_max];
    struct port_link la, lb;
    uint32_t lane;
    do {
        for (uint32_t n = exercise_hear(b, frames, &lane);
             n-- > 0;) /* memif connects when polled */
            rte_pktmbuf_free(frames[n]);
        for (uint32_t n = exercise_hear(a, frames, &lane); n-- > 0;)
            rte_pktmbuf_free(frames[n]);
        port_link(a->port, &la);
        port_link(b->port, &lb);
        now = clock_mono_ns(o->clock);
    } while (!(la.up && lb.up) && now - begin < 10 * o->wait_ns);
    bool up = la.up && lb.up;
    line(x, "link", up ? EXERCISE_OK : EXERCISE_FAILED, "%s, %u Mb/s%s",
         up       ? "up"
         : !la.up ? "down"
                  : "the second port's is down",
         la.mbps, la.full_duplex ? "" : ", half duplex");
}

/* NULL: it came as it was sent; else what is wrong. */
static const char *cross(const struct exercise_options *o, struct exercise_end *from,
                         struct exercise_end *to, uint32_t n, uint32_t key, bool chained)
{
    struct rte_mbuf *frames[lane_burst_max], *m = frame_make(from, to, n, key, chained);
    uint32_t lane;
    if (m == NULL)
        return "no buffer";
    lane_send(from->lanes[0], m);
    uint32_t got = wait_for(o, from, to, ethertype_ours, frames, &lane, o->wait_ns);
    const char *wrong = got == 0                       ? "lost"
                        : got > 1                      ? "came more than once"
                        : !is_right(frames[0], n, key) ? "changed"
                                                       : NULL;
    for (uint32_t i = 0; i < got; i++)
        rte_pktmbuf_free(frames[i]);
    return wrong;
}

static void check_content(const struct exercise_options *o, struct exercise *x,
                          struct exercise_end *a, struct exercise_end *b)
{
    uint32_t most = a->port->report.mtu + 14u, sent = 0;
    uint32_t step = (most - 60) / exercise_sizes_max + 1;
    for (uint32_t form = 0; form < 4; form++) { /* each way, in one buffer and in two */
        struct exercise_end *from = form % 2 ? b : a, *to = form % 2 ? a : b;
        if (a == b && form % 2)
            continue;
        for (uint32_t n = 60; n <= most; n = n == most || n + step < most ? n + step : most) {
            const char *wrong = cross(o, from, to, n, ++sent, form >= 2);
            if (wrong == NULL)
                continue;
            line(x, "content", EXERCISE_FAILED, "a frame of %u bytes in %u buffer(s) %s", n,
                 form / 2 + 1, wrong);
            return;
        }
    }
    line(x, "content", EXERCISE_OK, "%u frames of 60 to %u bytes (MTU %u) came as they were sent",
         sent, most, a->port->report.mtu);
}

static void check_order(const struct exercise_options *o, struct exercise *x,
                        struct exercise_end *a, struct exercise_end *b)
{
    struct rte_mbuf *frames[lane_burst_max];
    uint32_t sent = 0, got = 0, wrong = 0, lane;
    int64_t begin = clock_mono_ns(o->clock);
    while (got < exercise_frames) {
        while (sent < exercise_frames && sent - got < window) {
            struct rte_mbuf *m = frame_make(a, b, 60 + sent % 1000, sent, false);
            if (m == NULL)
                break;
            lane_send(a->lanes[0], m);
            sent++;
        }
        uint32_t n = wait_for(o, a, b, ethertype_ours, frames, &lane, o->wait_ns);
        for (uint32_t i = 0; i < n; i++, got++) {
            uint32_t key = key_of(frames[i]);
            wrong += key != got || !is_right(frames[i], 60 + key % 1000, key);
            rte_pktmbuf_free(frames[i]);
        }
        if (n == 0)
            break;
    }
    int64_t ns = clock_mono_ns(o->clock) - begin;
    if (got < exercise_frames || wrong > 0)
        line(x, "order", EXERCISE_FAILED, "%u of %u frames came, %u changed or out of order", got,
             exercise_frames, wrong);
    else
        line(x, "order", EXERCISE_OK, "%u frames in order, %.0f thousand a second", got,
             (double)got / ((double)ns / 1e9) / 1e3);
}

/* A TCP segment of a made-up connection; its checksums by the port where it can. */
static struct rte_mbuf *segment_make(struct exercise_end *from, const struct exercise_end *to,
                                     uint32_t number)
{
    static const uint8_t net[8] = {198, 18, 0, 1, 198, 18, 0, 2}; /* for benchmarks: RFC 2544 */
    struct rte_mbuf *m = rte_pktmbuf_alloc(from->port->pools[0]);
    if (m == NULL)
        return NULL;
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, tcp_frame), *ip = p + 14, *tcp = ip + 20;
    CHECK(p != NULL);
    memset(p, 0, tcp_frame);
    head_write(p, from, to, ethertype_v4);
    ip[0] = 0x45;
    bytes_put_u16(ip + 2, tcp_frame - 14);
    ip[8] = 64;
    ip[9] = 6;
    memcpy(ip + 12, net, 8);
    bytes_put_u16(tcp, (uint16_t)(10000 + number));
    bytes_put_u16(tcp + 2, 9092);
    bytes_put_u32(tcp + 4, magic);
    tcp[12] = 5 << 4;
    for (uint32_t i = 54; i < tcp_frame; i++)
        p[i] = content(number, i);
    uint64_t pseudo = checksum_pseudo(ip + 12, ip + 16, 4, 6, tcp_frame - 34);
    uint16_t sum = checksum_fold(pseudo);
    if (from->port->report.negotiated & port_tx_checksum) {
        m->l2_len = 14;
        m->l3_len = 20;
        m->l4_len = 20;
        m->ol_flags |= RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM | RTE_MBUF_F_TX_TCP_CKSUM;
        memcpy(tcp + 16, &sum, 2);
        return m;
    }
    sum = checksum_end(checksum_add(pseudo, tcp, tcp_frame - 34));
    memcpy(tcp + 16, &sum, 2);
    sum = checksum_end(checksum_add(0, ip, 20));
    memcpy(ip + 10, &sum, 2);
    return m;
}

static bool segment_sound(const struct rte_mbuf *m)
{
    const uint8_t *ip = rte_pktmbuf_mtod_offset(m, const uint8_t *, 14);
    uint64_t sum = checksum_pseudo(ip + 12, ip + 16, 4, 6, tcp_frame - 34);
    return m->data_len == tcp_frame && checksum_fold(checksum_add(0, ip, 20)) == 0xffff &&
           checksum_fold(checksum_add(sum, ip + 20, tcp_frame - 34)) == 0xffff;
}

struct spread {
    uint32_t at[exercise_queues_max];
    uint32_t got, astray, unsound, unmarked;
};

static void spread_count(struct spread *s, const struct exercise_end *b, struct rte_mbuf *m,
                         uint32_t lane)
{
    uint64_t marks = m->ol_flags & (RTE_MBUF_F_RX_L4_CKSUM_MASK | RTE_MBUF_F_RX_IP_CKSUM_MASK);
    s->got++;
    s->at[lane]++;
    s->astray += steer_frame(m, b->count) != lane;
    s->unsound += !segment_sound(m);
    s->unmarked += (b->port->report.negotiated & port_rx_checksum) &&
                   marks != (RTE_MBUF_F_RX_L4_CKSUM_GOOD | RTE_MBUF_F_RX_IP_CKSUM_GOOD);
    rte_pktmbuf_free(m);
}

static void spread_lines(struct exercise *x, const struct exercise_end *a,
                         const struct exercise_end *b, const struct spread *s)
{
    const struct port_report *r = &b->port->report;
    uint32_t least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        least = s->at[i] < least ? s->at[i] : least;
        most = s->at[i] > most ? s->at[i] : most;
    }
    bool lost = s->got < exercise_tuples;
    if (b->count == 1)
        line(x, "spread", EXERCISE_SKIPPED, "one queue for one shard (--queues N asks for more)");
    else
        line(x, "spread", lost || s->astray > 0 || least == 0 ? EXERCISE_FAILED : EXERCISE_OK,
             "%u connections: %u to %u for each of %u shards, %u queues, %s; %u went astray",
             s->got, least, most, b->count, r->queues, r->steered ? "by the port" : "in software",
             s->astray);
    const char *out = a->port->report.negotiated & port_tx_checksum ? "the port" : "software";
    const char *in = r->negotiated & port_rx_checksum ? "the port" : "software";
    line(x, "checksums", lost || s->unsound > 0 || s->unmarked > 0 ? EXERCISE_FAILED : EXERCISE_OK,
         "%u segments came, %u wrong, %u not marked good (out: %s, in: %s)", s->got, s->unsound,
         s->unmarked, out, in);
}

static void check_spread(const struct exercise_options *o, struct exercise *x,
                         struct exercise_end *a, struct exercise_end *b)
{
    struct rte_mbuf *frames[lane_burst_max];
    struct spread s = {.got = 0};
    uint32_t sent = 0, lane;
    while (s.got < exercise_tuples) {
        while (sent < exercise_tuples && sent - s.got < window) {
            struct rte_mbuf *m = segment_make(a, b, sent);
            if (m == NULL)
                break;
            lane_send(a->lanes[sent++ % a->count], m);
        }
        uint32_t n = wait_for(o, a, b, ethertype_v4, frames, &lane, o->wait_ns);
        for (uint32_t i = 0; i < n; i++)
            spread_count(&s, b, frames[i], lane);
        if (n == 0)
            break;
    }
    spread_lines(x, a, b, &s);
}

/* ---- all of it ---- */

/* A frame to itself comes back on a loop, and nowhere else. */
static bool hears_itself(const struct exercise_options *o, struct exercise_end *a)
{
    struct rte_mbuf *frames[lane_burst_max], *m = frame_make(a, a, 60, 0, false);
    uint32_t lane;
    if (m == NULL)
        return false;
    lane_send(a->lanes[0], m);
    uint32_t n = wait_for(o, a, a, ethertype_ours, frames, &lane, o->wait_ns);
    for (uint32_t i = 0; i < n; i++)
        rte_pktmbuf_free(frames[i]);
    return n > 0;
}

static void run(const struct exercise_options *o, struct exercise *x, struct exercise_end *a,
                struct exercise_end *b)
{
    bool pair = a != b;
    check_link(o, x, a, b);
    if (x->failed > 0)
        return;
    if (o->neighbor != NULL) {
        const char *name;
        char text[exercise_text_max];
        bool ok = exercise_ask(o, a, &name, text);
        line(x, name, ok ? EXERCISE_OK : EXERCISE_FAILED, "%s", text);
    }
    if (!pair && !hears_itself(o, a)) {
        line(x, "loop", o->neighbor != NULL ? EXERCISE_SKIPPED : EXERCISE_FAILED,
             "what it sends does not come back: name a second port on the same cable%s",
             o->neighbor != NULL ? "" : ", or a neighbour (--ping)");
        return;
    }
    line(x, "loop", EXERCISE_OK, pair ? "between two ports" : "the port hears itself");
    check_content(o, x, a, b);
    check_order(o, x, a, b);
    if (pair)
        check_order(o, x, b, a);
    check_spread(o, x, a, b);
}

int exercise_run(const struct exercise_options *options, struct exercise *out)
{
    struct exercise_options o = *options;
    struct exercise_end a, b = {.count = 0};
    memset(out, 0, sizeof(*out));
    if (o.wait_ns == 0)
        o.wait_ns = exercise_wait_ns;
    int err = end_open(&a, o.port);
    if (!err && o.other != NULL)
        err = end_open(&b, o.other);
    if (!err)
        run(&o, out, &a, o.other != NULL ? &b : &a);
    end_close(&a);
    end_close(&b);
    return err;
}
