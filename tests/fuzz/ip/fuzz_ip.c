/*
 * fuzz_ip: arbitrary frames, and the passing of time, into ip.
 *
 * The input is a list of records: a kind, two bytes of length, the bytes. Each frame lies in a heap
 * block of exactly its size, behind an external buffer, so that the sanitizers see one byte too
 * far.
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
    if (eal_up(&options, &state, NULL, 0) != 0)
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rng rng;
    struct ip_packet in;
    int64_t now = CLOCK_NS_PER_S;
    rng_seed(&rng, 1);
    struct ip *ip = stack_new(&rng, now);
    while (size > 3) {
        size_t n = bytes_get_u16(data + 1);
        uint8_t kind = data[0];
        n = n < size - 3 ? n : size - 3;
        if (kind % 4 == 0) {
            now += (int64_t)(n + 1) * CLOCK_NS_PER_MS;
            ip_run(ip, now);
        } else if (n > 0) {
            struct rte_mbuf *m = frame_of(data + 3, n);
            steer_frame(m, 3);
            enum ip_verdict v = ip_input(ip, 0, m, now, &in);
            while (v == IP_WHOLE) {
                m = in.whole;
                v = ip_input(ip, 0, m, now, &in);
            }
            if (v == IP_TCP)
                rte_pktmbuf_free(m);
        }
        data += 3 + n;
        size -= 3 + n;
    }
    ip_free(ip);
    if (rte_mempool_avail_count(pool) != bufs || rte_mempool_avail_count(ref_pool) != bufs)
        abort();
    return 0;
}
