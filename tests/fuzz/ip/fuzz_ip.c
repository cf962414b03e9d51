/*
 * fuzz_ip: arbitrary frames, and the passing of time, into ip.
 *
 * The input is a list of records: a kind, two bytes of length, the bytes: time that passes, a
 * frame, or what makes a fragment with whole headers. The latter are of packets whose every byte
 * follows from its place, so that what comes out can be checked as long as no other frame was there.
 * Each frame lies in a heap block of exactly its size, behind an external buffer, so that the
 * sanitizers see one byte too far.
 */
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "core/eal.h"
#include "dataplane/ip/ip.h"
#include "dataplane/nic/steer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define bufs 1023

struct block {
    struct rte_mbuf_ext_shared_info info;
    uint8_t *bytes;
};

static struct rte_mempool *pool, *ref_pool;

static void block_freed(void *addr, void *opaque)
{
    struct block *b = opaque;
    (void)addr;
    free(b->bytes);
    free(b);
}

static void emitted(void *ctx, uint32_t iface, struct rte_mbuf *frame)
{
    uint32_t bytes = 0;
    (void)ctx;
    (void)iface;
    for (const struct rte_mbuf *m = frame; m != NULL; m = m->next)
        bytes += m->data_len;
    if (bytes != frame->pkt_len || steer_frame(frame, 3) > STEER_ALL)
        abort();
    rte_pktmbuf_free(frame);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct eal_options options = {.memory_mb = 64, .extra_args = "--no-huge"};
    struct eal_state state;
    (void)argc;
    (void)argv;
    if (eal_up(&options, &state, NULL, 0) != 0 || atexit(eal_down) != 0)
        abort();
    pool = rte_pktmbuf_pool_create("fuzz", bufs, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ref_pool = rte_pktmbuf_pool_create("refs", bufs, 0, 0, 0, SOCKET_ID_ANY);
    if (pool == NULL || ref_pool == NULL)
        abort();
    return 0;
}

static struct rte_mbuf *frame_of(const uint8_t *bytes, size_t n)
{
    struct block *b = calloc(1, sizeof(*b));
    struct rte_mbuf *m = rte_pktmbuf_alloc(ref_pool);
    if (b == NULL || m == NULL || (b->bytes = malloc(n)) == NULL)
        abort();
    memcpy(b->bytes, bytes, n);
    b->info.free_cb = block_freed;
    b->info.fcb_opaque = b;
    rte_mbuf_ext_refcnt_set(&b->info, 1);
    rte_pktmbuf_attach_extbuf(m, b->bytes, 0, (uint16_t)n, &b->info);
    m->data_len = (uint16_t)n;
    m->pkt_len = (uint32_t)n;
    return m;
}

static struct ip *stack_new(struct rng *rng, int64_t now)
{
    static const struct ip_prefix addresses[] = {
        {{{[10] = 0xff, 0xff, 10, 0, 0, 2}}, 120},
        {{{0xfd, [15] = 2}}, 64},
    };
    struct ip_options o = {.pool = pool,
                           .rng = rng,
                           .leader = true,
                           .neighbors_max = 16,
                           .dad_transmits = 1,
                           .emit = emitted};
    struct ip_iface_options fo = {.mac = {2, 0, 0, 0, 0, 1},
                                  .mtu = 1500,
                                  .accept_ra = true,
                                  .autoconf = true,
                                  .reassemble = true,
                                  .addresses = addresses,
                                  .address_count = 2};
    struct ip *ip;
    uint32_t iface;
    if (ip_new(&ip, &o) != 0 || ip_add_iface(ip, &fo, now, &iface) != 0)
        abort();
    return ip;
}

/* --- fragments ----------------------------------------------------------------------------- */

#define fragment_bytes_max 1400
#define headers_bytes_max  (14 + 40 + 8)

static uint8_t text_at(uint32_t place)
{
    return (uint8_t)(place * 167 + (place >> 8));
}

/* Ethernet and IPv4 from 10.0.0.9, with a good header checksum. Returns bytes. */
static size_t headers_v4(uint8_t *p, uint8_t id, uint32_t at, bool more, size_t text)
{
    static const uint8_t addresses[8] = {10, 0, 0, 9, 10, 0, 0, 2};
    uint8_t *h = p + 14;
    bytes_put_u16(p + 12, 0x0800);
    h[0] = 0x45;
    bytes_put_u16(h + 2, (uint16_t)(20 + text));
    bytes_put_u16(h + 4, id);
    bytes_put_u16(h + 6, (uint16_t)((more ? 0x2000 : 0) | at / 8));
    h[8] = 64;
    h[9] = 6;
    memcpy(h + 12, addresses, sizeof(addresses));
    uint32_t sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += bytes_get_u16(h + i);
    sum = (sum & 0xffff) + (sum >> 16);
    bytes_put_u16(h + 10, (uint16_t) ~((sum & 0xffff) + (sum >> 16)));
    return 14 + 20;
}

/* Ethernet, IPv6 from fd00::9 and a fragment header. */
static size_t headers_v6(uint8_t *p, uint8_t id, uint32_t at, bool more, size_t text)
{
    uint8_t *h = p + 14;
    bytes_put_u16(p + 12, 0x86dd);
    h[0] = 0x60;
    bytes_put_u16(h + 4, (uint16_t)(8 + text));
    h[6] = 44;
    h[7] = 64;
    h[8] = h[24] = 0xfd;
    h[23] = 9;
    h[39] = 2;
    h[40] = 6;
    bytes_put_u16(h + 42, (uint16_t)(at | more));
    bytes_put_u32(h + 44, id);
    return 14 + 40 + 8;
}

/* From four bytes: which packet, where in it, how long, whether more follows. */
static struct rte_mbuf *fragment_of(const uint8_t *d)
{
    uint8_t frame[headers_bytes_max + fragment_bytes_max] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9};
    bool more = d[0] & 1, v6 = d[0] & 2;
    uint8_t id = d[0] >> 2 & 3;
    uint32_t at = bytes_get_u16(d + 1) % 2048 * 8u;
    size_t text = (size_t)d[3] % (fragment_bytes_max / 8 - 2) * 8 + (more ? 8 : d[0] >> 4);
    size_t head =
        v6 ? headers_v6(frame, id, at, more, text) : headers_v4(frame, id, at, more, text);
    for (size_t i = 0; i < text; i++)
        frame[head + i] = text_at(at + (uint32_t)i);
    return frame_of(frame, head + text);
}

static void check_text(const struct rte_mbuf *m)
{
    uint32_t place = 0;
    for (uint32_t total = m->pkt_len; m != NULL && place < total; m = m->next)
        for (uint32_t i = 0; i < m->data_len; i++, place++)
            if (rte_pktmbuf_mtod(m, const uint8_t *)[i] != text_at(place))
                abort();
}

/* --- one input ----------------------------------------------------------------------------- */

static void take(struct ip *ip, struct rte_mbuf *m, int64_t now, bool checked)
{
    struct ip_packet in;
    steer_frame(m, 3);
    enum ip_verdict v = ip_input(ip, 0, m, now, &in);
    while (v == IP_WHOLE) {
        m = in.whole;
        v = ip_input(ip, 0, m, now, &in);
    }
    if (v != IP_TCP)
        return;
    if (checked)
        check_text(m);
    rte_pktmbuf_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rng rng;
    int64_t now = CLOCK_NS_PER_S;
    bool frames = false;
    rng_seed(&rng, 1);
    struct ip *ip = stack_new(&rng, now);
    if (size > 0 && data[0] & 0x80) { /* its addresses are its own by then */
        now += 5 * CLOCK_NS_PER_S;
        ip_run(ip, now);
    }
    while (size > 3) {
        size_t n = bytes_get_u16(data + 1);
        uint8_t kind = data[0];
        n = n < size - 3 ? n : size - 3;
        if (kind % 4 == 0) {
            now += (int64_t)(n + 1) * CLOCK_NS_PER_MS;
            ip_run(ip, now);
        } else if (kind % 4 == 1 && n >= 4) {
            take(ip, fragment_of(data + 3), now, !frames);
        } else if (n > 0) {
            frames = true;
            take(ip, frame_of(data + 3, n), now, false);
        }
        data += 3 + n;
        size -= 3 + n;
    }
    ip_free(ip);
    if (rte_mempool_avail_count(pool) != bufs || rte_mempool_avail_count(ref_pool) != bufs)
        abort();
    return 0;
}
