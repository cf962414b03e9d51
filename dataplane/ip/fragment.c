/*
 * fragment: packets put together again (RFC 791, RFC 8200 section 4.5).
 *
 * What is kept is bounded three ways: packets, pieces of one packet, bytes of buffers. A new packet that finds
 * no room takes that of the oldest, so that a flood delays nobody for longer than it lasts. Pieces
 * that overlap end their packet for good (RFC 5722): what an inspecting box saw and what we would
 * see could differ. Exact repetitions are the network's and are passed over.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dataplane/ip/ip_impl.h"
#include "dataplane/nic/checksum.h"

#define packet_bytes_max 65535
#define head_bytes_max   256 /* of the payload, copied to stand behind the header in one piece */
#define header_bytes_max 256
#define ecn_ce           3
#define nd_first         133 /* ICMPv6: neighbour discovery, never in fragments (RFC 6980) */
#define nd_last          137

struct piece {
    uint32_t from, to; /* of the payload; `to` excluded */
    struct rte_mbuf *m;
};

struct packet {
    struct ip_addr src, dst;
    int64_t since_ns;
    uint32_t iface, id;
    uint32_t have, total;   /* payload bytes; total 0: the last piece has not come */
    uint32_t kept;          /* bytes of the buffers that hold them */
    uint32_t header, start; /* of the first piece: IP header without fragment header; payload */
    uint32_t next_at;       /* of the first piece, IPv6: where its protocol stands; 0: IPv4 */
    uint16_t count;
    uint8_t protocol, ecn, ecns; /* of the first piece; ecns: a set of those seen */
    bool dead;
    struct piece pieces[ip_fragment_pieces_max];
};

/* A flood looks at the first two lines of arrays alone: the packets are large. */
struct fragments {
    uint64_t order[ip_fragment_packets_max]; /* the older the smaller; 0: free */
    uint32_t hash[ip_fragment_packets_max];
    uint64_t kept, orders;
    uint32_t used;
    struct packet packets[ip_fragment_packets_max];
};

int fragments_init(struct ip *ip)
{
    ip->fragments = calloc(1, sizeof(*ip->fragments));
    return ip->fragments == NULL ? ERR_NO_MEMORY : 0;
}

static void pieces_free(struct ip *ip, struct packet *k)
{
    for (uint32_t i = 0; i < k->count; i++)
        ip_drop(k->pieces[i].m, &ip->counters.drop_fragment);
    ip->fragments->kept -= k->kept;
    k->count = 0;
    k->kept = 0;
}

static void packet_end(struct ip *ip, uint32_t i)
{
    struct fragments *f = ip->fragments;
    pieces_free(ip, &f->packets[i]);
    f->order[i] = 0;
    f->used--;
}

void fragments_fini(struct ip *ip)
{
    struct fragments *f = ip->fragments;
    for (uint32_t i = 0; f != NULL && i < ip_fragment_packets_max; i++)
        if (f->order[i] != 0)
            packet_end(ip, i);
    free(f);
}

void fragments_run(struct ip *ip)
{
    struct fragments *f = ip->fragments;
    for (uint32_t i = 0; f->used > 0 && i < ip_fragment_packets_max; i++) {
        if (f->order[i] == 0)
            continue;
        if (f->packets[i].since_ns + ip_fragment_ns > ip->now_ns) {
            ip_due(ip, f->packets[i].since_ns + ip_fragment_ns);
            continue;
        }
        ip->counters.fragments_expired += !f->packets[i].dead;
        packet_end(ip, i);
    }
}

/* ---- finding room ---- */

static uint32_t hash_of(const struct fragment_in *in)
{
    uint32_t src[4], dst[4], hash = in->id * 0x9E3779B1u;
    memcpy(src, in->src.b, sizeof(src));
    memcpy(dst, in->dst.b, sizeof(dst));
    for (int i = 0; i < 4; i++)
        hash = (hash ^ src[i] ^ dst[i]) * 0x85EBCA6Bu;
    return hash;
}

static bool is_of(const struct packet *k, const struct fragment_in *in)
{
    return k->id == in->id && k->iface == in->iface &&
           (in->next_at != 0 || k->protocol == in->protocol) && ip_addr_eq(&k->src, &in->src) &&
           ip_addr_eq(&k->dst, &in->dst);
}

/* Makes the oldest packet give way, `but` aside. False: there is no other. */
static bool evict_oldest(struct ip *ip, uint32_t but)
{
    const struct fragments *f = ip->fragments;
    uint32_t oldest = ip_fragment_packets_max;
    for (uint32_t i = 0; i < ip_fragment_packets_max; i++)
        if (i != but && f->order[i] != 0 &&
            (oldest == ip_fragment_packets_max || f->order[i] < f->order[oldest]))
            oldest = i;
    if (oldest == ip_fragment_packets_max)
        return false;
    ip->counters.fragments_evicted++;
    packet_end(ip, oldest);
    return true;
}

static uint32_t packet_free(const struct fragments *f)
{
    uint32_t i = 0;
    while (i < ip_fragment_packets_max && f->order[i] != 0)
        i++;
    return i;
}

/* The packet that the piece belongs to, a new one if need be. */
static uint32_t packet_of(struct ip *ip, const struct fragment_in *in)
{
    struct fragments *f = ip->fragments;
    uint32_t hash = hash_of(in);
    for (uint32_t i = 0; i < ip_fragment_packets_max; i++)
        if (f->hash[i] == hash && f->order[i] != 0 && is_of(&f->packets[i], in))
            return i;
    uint32_t i = packet_free(f);
    if (i == ip_fragment_packets_max && evict_oldest(ip, i))
        i = packet_free(f);
    f->packets[i] = (struct packet){.src = in->src,
                                    .dst = in->dst,
                                    .since_ns = ip->now_ns,
                                    .iface = in->iface,
                                    .id = in->id,
                                    .protocol = in->protocol};
    f->hash[i] = hash;
    f->order[i] = ++f->orders;
    f->used++;
    ip_due(ip, ip->now_ns + ip_fragment_ns);
    return i;
}

static uint32_t buffers_of(const struct rte_mbuf *m)
{
    uint32_t n = 0;
    for (; m != NULL; m = m->next)
        n += m->buf_len;
    return n;
}

/* False: not even alone does it fit. */
static bool make_room(struct ip *ip, uint32_t but, uint32_t bytes)
{
    while (ip->fragments->kept + bytes > ip_fragment_bytes_max)
        if (!evict_oldest(ip, but))
            return false;
    return true;
}

/* ---- taking a piece ---- */

enum fit { FIT_NEW, FIT_AGAIN, FIT_WRONG };

/* Where it belongs among the others; overlaps and ends that contradict each other are wrong. */
static enum fit fits(const struct packet *k, const struct fragment_in *in, uint32_t to,
                     uint32_t *place)
{
    uint32_t i = 0;
    while (i < k->count && k->pieces[i].from < in->offset)
        i++;
    *place = i;
    if (i < k->count && k->pieces[i].from == in->offset && k->pieces[i].to == to)
        return FIT_AGAIN;
    if ((i > 0 && k->pieces[i - 1].to > in->offset) || (i < k->count && k->pieces[i].from < to))
        return FIT_WRONG;
    if (k->total != 0 && (to > k->total || !in->more))
        return FIT_WRONG;
    if (!in->more && i < k->count)
        return FIT_WRONG;
    return FIT_NEW;
}

static void put(struct ip *ip, struct packet *k, const struct fragment_in *in, uint32_t to,
                uint32_t place)
{
    uint32_t bytes = buffers_of(in->m);
    memmove(&k->pieces[place + 1], &k->pieces[place], (k->count - place) * sizeof(k->pieces[0]));
    k->pieces[place] = (struct piece){in->offset, to, in->m};
    k->count++;
    k->have += to - in->offset;
    k->kept += bytes;
    k->ecns |= (uint8_t)(1 << in->ecn);
    ip->fragments->kept += bytes;
    if (!in->more)
        k->total = to;
    if (in->offset == 0) {
        k->header = in->header;
        k->start = in->start;
        k->next_at = in->next_at;
        k->protocol = in->protocol;
        k->ecn = in->ecn;
    } else {
        rte_pktmbuf_adj(in->m, (uint16_t)in->start);
    }
}

/* ---- the whole packet ---- */

/* Takes n bytes off the front; empty buffers go too. NULL: nothing is left. */
static struct rte_mbuf *cut_front(struct rte_mbuf *m, uint32_t n)
{
    while (m != NULL && n >= m->data_len) {
        struct rte_mbuf *next = m->next;
        n -= m->data_len;
        if (next != NULL) {
            next->pkt_len = m->pkt_len - m->data_len;
            next->nb_segs = (uint16_t)(m->nb_segs - 1);
        }
        m->next = NULL;
        m->nb_segs = 1;
        rte_pktmbuf_free_seg(m);
        m = next;
    }
    if (m != NULL && n > 0)
        rte_pktmbuf_adj(m, (uint16_t)n);
    return m;
}

/* The pieces' payload as one chain; the packet has none any more. */
static struct rte_mbuf *chain_of(struct ip *ip, struct packet *k)
{
    struct rte_mbuf *chain = NULL;
    for (uint32_t i = k->count; i-- > 0;) {
        struct rte_mbuf *m = cut_front(k->pieces[i].m, i == 0 ? k->start : 0);
        if (chain != NULL)
            rte_pktmbuf_chain(m, chain); /* pieces are not empty, and at most 64 with few buffers */
        chain = m;
    }
    k->count = 0;
    ip->fragments->kept -= k->kept;
    k->kept = 0;
    return chain;
}

/* RFC 3168, section 5.3: congestion on the way of one piece is the packet's; 0 to 3, or -1. */
static int ecn_of(const struct packet *k)
{
    if (!(k->ecns & 1 << ecn_ce))
        return k->ecn;
    return k->ecns & 1 ? -1 : ecn_ce;
}

static void header_mend(uint8_t *p, const struct packet *k, uint8_t ecn)
{
    if (k->next_at != 0) {
        bytes_put_u16(p + 4, (uint16_t)(k->header - v6_bytes + k->total));
        p[1] = (uint8_t)((p[1] & ~0x30) | ecn << 4);
        p[k->next_at] = k->protocol;
        return;
    }
    p[1] = (uint8_t)((p[1] & ~3) | ecn);
    bytes_put_u16(p + 2, (uint16_t)(k->header + k->total));
    memset(p + 6, 0, 2);
    memset(p + 10, 0, 2);
    uint16_t sum = checksum_end(checksum_add_small(0, p, k->header));
    memcpy(p + 10, &sum, 2);
}

static bool is_discovery(const struct packet *k, const uint8_t *payload)
{
    return k->next_at != 0 && k->protocol == proto_icmpv6 && payload[0] >= nd_first &&
           payload[0] <= nd_last;
}

/* A frame as if it had come whole; NULL: dropped. */
static struct rte_mbuf *join(struct ip *ip, struct packet *k)
{
    const struct ip_iface_options *o = &ip->ifaces[k->iface].o;
    uint32_t link = ether_bytes + (o->vlan != 0 ? vlan_bytes : 0);
    uint32_t pull = k->total < head_bytes_max ? k->total : head_bytes_max;
    int ecn = ecn_of(k);
    struct rte_mbuf *head = ecn < 0 ? NULL : frame_new(ip, link + k->header + pull);
    if (head == NULL)
        return NULL;
    uint8_t *p = frame_append(head, link + k->header + pull), *payload = p + link + k->header;
    memcpy(p + link, rte_pktmbuf_mtod(k->pieces[0].m, void *), k->header);
    struct rte_mbuf *chain = chain_of(ip, k);
    const void *from = rte_pktmbuf_read(chain, 0, pull, payload);
    if (from != payload)
        memcpy(payload, from, pull);
    chain = cut_front(chain, pull);
    if (chain != NULL)
        rte_pktmbuf_chain(head, chain);
    if (is_discovery(k, payload)) {
        ip_drop(head, &ip->counters.drop_fragment);
        return NULL;
    }
    memcpy(p, o->mac, 6);
    if (o->vlan != 0) {
        bytes_put_u16(p + 12, ethertype_vlan);
        bytes_put_u16(p + 14, o->vlan);
    }
    bytes_put_u16(p + link - 2, k->next_at != 0 ? ethertype_v6 : ethertype_v4);
    header_mend(p + link, k, (uint8_t)ecn);
    return head;
}

static bool sound(const struct fragment_in *in, uint32_t bytes)
{
    if (bytes == 0 || in->header > header_bytes_max || (in->more && bytes % 8 != 0))
        return false;
    return in->header + in->offset + bytes <= packet_bytes_max;
}

static void drop_piece(struct ip *ip, const struct fragment_in *in)
{
    ip_drop(in->m, &ip->counters.drop_fragment);
}

struct rte_mbuf *fragment_input(struct ip *ip, const struct fragment_in *in)
{
    uint32_t bytes = in->m->pkt_len - in->start, to = in->offset + bytes, place = 0;
    ip->counters.fragments_in++;
    if (!ip->ifaces[in->iface].o.reassemble || !sound(in, bytes)) {
        drop_piece(ip, in);
        return NULL;
    }
    uint32_t i = packet_of(ip, in);
    struct packet *k = &ip->fragments->packets[i];
    enum fit fit = k->dead ? FIT_AGAIN : fits(k, in, to, &place);
    if (fit == FIT_NEW &&
        (k->count == ip_fragment_pieces_max || !make_room(ip, i, buffers_of(in->m))))
        fit = FIT_WRONG;
    if (fit != FIT_NEW)
        drop_piece(ip, in);
    if (fit == FIT_WRONG) { /* what is still to come is dropped too */
        ip->counters.fragments_refused++;
        pieces_free(ip, k);
        k->dead = true;
    }
    if (fit != FIT_NEW)
        return NULL;
    put(ip, k, in, to, place);
    if (k->total == 0 || k->have != k->total)
        return NULL;
    struct rte_mbuf *whole = join(ip, k);
    ip->counters.reassembled += whole != NULL;
    packet_end(ip, i);
    return whole;
}
