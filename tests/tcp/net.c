#include "tests/tcp/net.h"

#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "dataplane/tcp/checksum.h"
#include "dataplane/tcp/wire.h"

#define MILLION 1000000u

void net_init(struct net *n, struct rng *rng)
{
    *n = (struct net){.rng = rng};
    for (int i = 0; i < 2; i++)
        n->path[i] = (struct net_path){.delay = 1000000, .mtu = 65535};
}

void net_packet_free(struct net_packet *p)
{
    if (p == NULL)
        return;
    free(p->bytes);
    free(p);
}

void net_free(struct net *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        net_packet_free(n->heap[i]);
    free(n->heap);
    n->heap = NULL;
    n->count = n->room = 0;
}

/* --- a heap by time ------------------------------------------------------------------------------------ */

static bool before(const struct net_packet *a, const struct net_packet *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

static void push(struct net *n, struct net_packet *p)
{
    if (n->count == n->room) {
        n->room = n->room ? n->room * 2 : 64;
        n->heap = realloc(n->heap, n->room * sizeof *n->heap);
        CHECK(n->heap != NULL);
    }
    p->order = n->order++;
    uint32_t i = n->count++;
    for (; i > 0 && before(p, n->heap[(i - 1) / 2]); i = (i - 1) / 2)
        n->heap[i] = n->heap[(i - 1) / 2];
    n->heap[i] = p;
}

int64_t net_next(const struct net *n)
{
    return n->count > 0 ? n->heap[0]->at : INT64_MAX;
}

struct net_packet *net_take(struct net *n, int64_t now)
{
    if (n->count == 0 || n->heap[0]->at > now)
        return NULL;
    struct net_packet *top = n->heap[0], *last = n->heap[--n->count];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= n->count)
            break;
        if (child + 1 < n->count && before(n->heap[child + 1], n->heap[child]))
            child++;
        if (!before(n->heap[child], last))
            break;
        n->heap[i] = n->heap[child];
        i = child;
    }
    if (n->count > 0)
        n->heap[i] = last;
    return top;
}

/* --- what happens under way -------------------------------------------------------------------------------- */

static bool chance(struct net *n, uint32_t millionths)
{
    return millionths > 0 && rng_below(n->rng, MILLION) < millionths;
}

static struct tcp_addrs turned(const struct tcp_addrs *a)
{
    return (struct tcp_addrs){a->remote, a->local};
}

static struct net_packet *packet_new(int to, const struct tcp_addrs *addrs, const uint8_t *bytes,
                                     uint32_t len, uint8_t ecn)
{
    struct net_packet *p = calloc(1, sizeof *p);
    CHECK(p != NULL);
    p->to = (uint8_t)to;
    p->addrs = *addrs;
    p->ecn = ecn;
    p->len = len;
    p->bytes = malloc(len > 0 ? len : 1);
    CHECK(p->bytes != NULL);
    memcpy(p->bytes, bytes, len);
    return p;
}

void net_inject(struct net *n, int to, const struct tcp_addrs *addrs, const uint8_t *bytes,
                uint32_t len, uint8_t ecn, int64_t at)
{
    struct net_packet *p = packet_new(to, addrs, bytes, len, ecn);
    p->at = at;
    push(n, p);
}

void net_checksum(const struct tcp_addrs *addrs, uint8_t *segment, uint32_t len)
{
    segment[16] = segment[17] = 0;
    uint16_t sum = checksum_pseudo(addrs, len);
    sum = (uint16_t)~checksum_add(sum, checksum_scalar(segment, len));
    bytes_put_u16(segment + 16, sum);
}

/* Overwrites one option kind of a SYN with NOPs, as some middle boxes do. */
static void strip_option(uint8_t *p, uint32_t header, uint8_t kind)
{
    for (uint32_t i = TCP_HEADER; i < header && p[i] != 0;) {
        if (p[i] == 1) {
            i++;
            continue;
        }
        if (i + 1 >= header || p[i + 1] < 2 || i + p[i + 1] > header)
            return;
        uint8_t len = p[i + 1];
        if (p[i] == kind)
            memset(p + i, 1, len);
        i += len;
    }
}

static void middle_box(const struct net_path *path, struct net_packet *p)
{
    uint32_t header = (uint32_t)(p->bytes[12] >> 4) * 4;
    if (!(p->bytes[13] & TCP_SYN))
        return;
    if (path->strip_mss)
        strip_option(p->bytes, header, 2);
    if (path->strip_scale)
        strip_option(p->bytes, header, 3);
    if (path->strip_sack)
        strip_option(p->bytes, header, 4);
    if (path->strip_ts)
        strip_option(p->bytes, header, 8);
    if (path->strip_ecn)
        p->bytes[13] &= (uint8_t) ~(TCP_ECE | TCP_CWR);
    struct tcp_addrs sender = turned(&p->addrs);
    net_checksum(&sender, p->bytes, p->len);
}

static bool lost(struct net *n, struct net_path *path)
{
    if (path->in_burst ? chance(n, path->burst_leave) : chance(n, path->burst_enter))
        path->in_burst = !path->in_burst;
    return path->down || chance(n, path->loss) || (path->in_burst && chance(n, 900000));
}

static void too_big(struct net *n, int host, const struct net_packet *p, int64_t now)
{
    struct tcp_addrs sender = turned(&p->addrs);
    struct net_packet *icmp = packet_new(host, &sender, p->bytes, p->len < 28 ? p->len : 28, 0);
    icmp->is_icmp = true;
    icmp->mtu = n->path[host].mtu;
    icmp->at = now + n->path[host].delay;
    push(n, icmp);
}

/* When it arrives; -1: the queue is full. */
static int64_t arrival(struct net *n, struct net_path *path, uint32_t size, int64_t now)
{
    int64_t at = now;
    if (path->rate > 0) {
        int64_t start = path->busy_until > now ? path->busy_until : now;
        int64_t waiting = (int64_t)((double)(start - now) * (double)path->rate / 1e9);
        if (path->queue > 0 && waiting + size > path->queue)
            return -1;
        path->busy_until = start + (int64_t)(size * 1e9 / (double)path->rate);
        at = path->busy_until;
    }
    at += path->delay;
    if (path->jitter > 0 && chance(n, path->reorder))
        at += (int64_t)rng_below(n->rng, (uint64_t)path->jitter + 1);
    return at;
}

static void one_packet(struct net *n, int host, struct net_packet *p, int64_t now)
{
    struct net_path *path = &n->path[host];
    uint32_t ip = tcp_addr_is_v4(&p->addrs.local) ? 20 : 40;
    n->sent++;
    if (n->watch != NULL)
        n->watch(n->ctx, host, p);
    if (p->len + ip > path->mtu) {
        if (path->icmp)
            too_big(n, host, p, now);
        n->lost++;
        net_packet_free(p);
        return;
    }
    middle_box(path, p);
    int64_t at = lost(n, path) ? -1 : arrival(n, path, p->len + ip, now);
    if (at < 0) {
        n->lost++;
        net_packet_free(p);
        return;
    }
    if (p->ecn != 0 && chance(n, path->mark))
        p->ecn = 3;
    if (chance(n, path->duplicate)) {
        net_inject(n, p->to, &p->addrs, p->bytes, p->len, p->ecn,
                   at + (int64_t)rng_below(n->rng, (uint64_t)path->jitter + 1000));
    }
    if (chance(n, path->corrupt)) {
        p->bytes[rng_below(n->rng, p->len)] ^= (uint8_t)(1u << rng_below(n->rng, 8));
        p->bad = true;
        n->corrupted++;
    }
    p->at = at;
    push(n, p);
}

/* A port with TSO: the header again for each piece (RFC 9293 has no word on it; DPDK's rte_gso has). */
void net_send(struct net *n, int host, struct rte_mbuf *m, const struct tcp_out *out, int64_t now)
{
    uint32_t total = m->pkt_len, header = out->header_len, bytes = 0, segs = 0;
    CHECK(rte_pktmbuf_headroom(m) >= 64 && m->data_len >= header);
    uint8_t *flat = malloc(total);
    CHECK(flat != NULL);
    for (const struct rte_mbuf *s = m; s != NULL; bytes += s->data_len, segs++, s = s->next) {
        CHECK(bytes + s->data_len <= total);
        memcpy(flat + bytes, rte_pktmbuf_mtod(s, void *), s->data_len);
    }
    CHECK(bytes == total && segs == m->nb_segs);
    rte_pktmbuf_free(m);
    CHECK(out->mss == 0 || out->checksum_offload);
    if (out->checksum_offload) /* the pseudo header's, without the length if it is to be cut */
        CHECK(bytes_get_u16(flat + 16) == checksum_pseudo(&out->addrs, out->mss != 0 ? 0 : total));
    uint32_t payload = total - header, step = out->mss != 0 ? out->mss : payload, done = 0;
    struct tcp_addrs addrs = turned(&out->addrs);
    uint32_t seq = bytes_get_u32(flat + 4);
    uint8_t flags = flat[13];
    do {
        uint32_t piece = payload - done < step ? payload - done : step;
        uint8_t segment[65536];
        memcpy(segment, flat, header);
        memcpy(segment + header, flat + header + done, piece);
        bytes_put_u32(segment + 4, seq + done);
        segment[13] = (uint8_t)(flags & ~(done > 0 ? TCP_CWR : 0) &
                                ~(done + piece < payload ? TCP_FIN | TCP_PSH : 0));
        if (out->checksum_offload)
            net_checksum(&out->addrs, segment, header + piece);
        one_packet(n, host, packet_new(!host, &addrs, segment, header + piece, out->ecn), now);
        done += piece;
    } while (done < payload);
    free(flat);
}
