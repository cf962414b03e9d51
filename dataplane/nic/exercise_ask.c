/* exercise_ask: a neighbour's answers to echo requests of every size, their content compared. */
#include <rte_mbuf.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "dataplane/nic/checksum.h"
#include "dataplane/nic/exercise_impl.h"
#include "dataplane/nic/port_impl.h"

#define ethertype_v4  0x0800
#define ethertype_arp 0x0806
#define proto_icmp    1
#define identifier    0x51ac
#define headers       42 /* Ethernet, IPv4, ICMP echo */
#define tries_max     3

struct asking {
    const struct exercise_options *o;
    struct exercise_end *e;
    uint8_t mac[6]; /* the neighbour's */
};

static struct rte_mbuf *frame_new(struct asking *a, const uint8_t *dst, uint16_t type, uint32_t n,
                                  uint8_t **p)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(a->e->port->pools[0]);
    if (m == NULL)
        return NULL;
    *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
    if (*p == NULL) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    memset(*p, 0, n);
    memcpy(*p, dst, 6);
    memcpy(*p + 6, a->e->port->report.mac, 6);
    bytes_put_u16(*p + 12, type);
    return m;
}

static void arp_write(const struct asking *a, uint8_t *p, bool reply, const uint8_t *mac)
{
    static const uint8_t form[6] = {0, 1, 8, 0, 6, 4};
    memcpy(p + 14, form, 6);
    bytes_put_u16(p + 20, reply ? 2 : 1);
    memcpy(p + 22, a->e->port->report.mac, 6);
    memcpy(p + 28, a->o->address, 4);
    memcpy(p + 32, mac, 6);
    memcpy(p + 38, a->o->neighbor, 4);
}

static void send_arp(struct asking *a, bool reply)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];
    uint8_t *p;
    struct rte_mbuf *m = frame_new(a, reply ? a->mac : everybody, ethertype_arp, 60, &p);
    if (m == NULL)
        return;
    arp_write(a, p, reply, reply ? a->mac : nobody);
    lane_send(a->e->lanes[0], m);
}

static uint8_t content(uint32_t number, uint32_t i)
{
    return (uint8_t)((number * 2654435761u + i * 40503u) >> 11);
}

static void send_echo(struct asking *a, uint32_t n, uint16_t number)
{
    uint8_t *p;
    struct rte_mbuf *m = frame_new(a, a->mac, ethertype_v4, n, &p);
    if (m == NULL)
        return;
    uint8_t *ip = p + 14, *icmp = p + 34;
    ip[0] = 0x45;
    bytes_put_u16(ip + 2, (uint16_t)(n - 14));
    bytes_put_u16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = proto_icmp;
    memcpy(ip + 12, a->o->address, 4);
    memcpy(ip + 16, a->o->neighbor, 4);
    icmp[0] = 8;
    bytes_put_u16(icmp + 4, identifier);
    bytes_put_u16(icmp + 6, number);
    for (uint32_t i = headers; i < n; i++)
        p[i] = content(number, i);
    uint16_t sum = checksum_end(checksum_add(0, ip, 20));
    memcpy(ip + 10, &sum, 2);
    sum = checksum_end(checksum_add(0, icmp, n - 34));
    memcpy(icmp + 2, &sum, 2);
    lane_send(a->e->lanes[0], m);
}

/* The neighbour asks too, and says where it is; both are heard here. */
static bool take_arp(struct asking *a, const uint8_t *p, uint32_t n)
{
    if (n < headers || memcmp(p + 28, a->o->neighbor, 4) != 0)
        return false;
    memcpy(a->mac, p + 22, 6);
    if (bytes_get_u16(p + 20) == 1 && memcmp(p + 38, a->o->address, 4) == 0)
        send_arp(a, true);
    return true;
}

enum answer { ANSWER_NONE, ANSWER_ARP, ANSWER_RIGHT, ANSWER_WRONG };

static enum answer look(struct asking *a, const struct rte_mbuf *m, uint32_t n, uint16_t number)
{
    uint8_t bytes[16384];
    const uint8_t *p = m->pkt_len <= sizeof(bytes) && m->pkt_len >= headers
                           ? rte_pktmbuf_read(m, 0, m->pkt_len, bytes)
                           : NULL;
    if (p == NULL)
        return ANSWER_NONE;
    if (bytes_get_u16(p + 12) == ethertype_arp)
        return take_arp(a, p, m->pkt_len) ? ANSWER_ARP : ANSWER_NONE;
    if (bytes_get_u16(p + 12) != ethertype_v4 || p[14] != 0x45 || p[23] != proto_icmp ||
        p[34] != 0 || bytes_get_u16(p + 38) != identifier || bytes_get_u16(p + 40) != number)
        return ANSWER_NONE;
    bool right =
        bytes_get_u16(p + 16) == n - 14 && checksum_fold(checksum_add(0, p + 34, n - 34)) == 0xffff;
    for (uint32_t i = headers; right && i < n; i++)
        right = p[i] == content(number, i);
    return right ? ANSWER_RIGHT : ANSWER_WRONG;
}

/* The best that comes within the time. */
static enum answer hear(struct asking *a, uint32_t n, uint16_t number, enum answer want)
{
    struct rte_mbuf *frames[lane_burst_max];
    uint32_t lane;
    int64_t now = clock_mono_ns(a->o->clock), until = now + a->o->wait_ns;
    enum answer best = ANSWER_NONE;
    for (; now < until && best < want; now = clock_mono_ns(a->o->clock)) {
        exercise_pump(a->e, now);
        for (uint32_t got = exercise_hear(a->e, frames, &lane); got-- > 0;) {
            enum answer is = look(a, frames[got], n, number);
            best = is > best ? is : best;
            rte_pktmbuf_free(frames[got]);
        }
    }
    return best;
}

bool exercise_ask(const struct exercise_options *o, struct exercise_end *e, const char **name,
                  char text[exercise_text_max])
{
    struct asking a = {.o = o, .e = e};
    enum answer is = ANSWER_NONE;
    uint32_t most = e->port->report.mtu + 14u, sent = 0;
    uint32_t step = (most - headers) / exercise_sizes_max + 1;
    *name = "neighbour";
    for (int i = 0; i < tries_max && is != ANSWER_ARP; i++) {
        send_arp(&a, false);
        is = hear(&a, 0, 0, ANSWER_ARP);
    }
    if (is != ANSWER_ARP) {
        snprintf(text, exercise_text_max, "nobody says where %u.%u.%u.%u is", o->neighbor[0],
                 o->neighbor[1], o->neighbor[2], o->neighbor[3]);
        return false;
    }
    for (uint32_t n = headers; n <= most; n = n == most || n + step < most ? n + step : most) {
        is = ANSWER_NONE;
        for (int i = 0; i < tries_max && is == ANSWER_NONE; i++) { /* a network may lose one */
            send_echo(&a, n, (uint16_t)++sent);
            is = hear(&a, n, (uint16_t)sent, ANSWER_RIGHT);
            is = is == ANSWER_ARP ? ANSWER_NONE : is;
        }
        if (is == ANSWER_RIGHT)
            continue;
        snprintf(text, exercise_text_max, "an echo of %u bytes %s", n,
                 is == ANSWER_WRONG ? "came back changed" : "did not come back");
        return false;
    }
    snprintf(text, exercise_text_max, "%u echoes of %u to %u bytes (MTU %u) came back as sent",
             sent, headers, most, e->port->report.mtu);
    return true;
}
