/* checksum: both variants against a byte-wise model, over pieces of all lengths; SipHash's vectors. */
#include "dataplane/tcp/checksum.h"

#include <string.h>

#include "core/chain.h"
#include "dataplane/tcp/siphash.h"
#include "dataplane/tcp/tcp.h"
#include "tests/unit/core/with_eal.h"

static uint16_t model(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void variants(void)
{
    static uint8_t bytes[70000];
    struct rng r;
    rng_seed(&r, unit_seed());
    rng_fill(&r, bytes, sizeof bytes);
    memset(bytes + 40000, 0xff, 30000);
    for (int i = 0; i < 4000; i++) {
        size_t n = i < 300 ? (size_t)i : rng_below(&r, 65536);
        const uint8_t *p = bytes + rng_below(&r, sizeof bytes - n);
        uint16_t want = model(p, n);
        CU_ASSERT_EQUAL_FATAL(checksum_scalar(p, n), want);
        if (checksum_has_avx2())
            CU_ASSERT_EQUAL_FATAL(checksum_avx2(p, n), want);
    }
}

static void chains(void)
{
    with_eal(16);
    struct rte_mempool *pool = with_pool("sum", 255, 100);
    struct rng r;
    rng_seed(&r, unit_seed());
    for (int i = 0; i < 500; i++) {
        uint8_t flat[4000];
        struct chain c = {0};
        size_t n = 0;
        for (int k = 0; k < 20; k++) {
            uint16_t piece = (uint16_t)(1 + rng_below(&r, 100));
            struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
            rng_fill(&r, flat + n, piece);
            memcpy(rte_pktmbuf_append(m, piece), flat + n, piece);
            chain_append(&c, m);
            n += piece;
        }
        uint32_t len = (uint32_t)rng_below(&r, n + 1);
        CU_ASSERT_EQUAL_FATAL(checksum_chain(checksum_best(), c.head, len), model(flat, len));
        chain_free(&c);
    }
}

/* RFC 1071's arithmetic on a pseudo header worked out by hand. */
static void pseudo_header(void)
{
    struct tcp_addrs a = {tcp_addr_v4(0x0a000001), tcp_addr_v4(0x0a000002)};
    struct tcp_addrs back = {a.remote, a.local};
    CU_ASSERT_EQUAL(checksum_pseudo(&a, 20), 0x0a00 + 1 + 0x0a00 + 2 + 6 + 20);
    CU_ASSERT_EQUAL(checksum_pseudo(&a, 20), checksum_pseudo(&back, 20));
    struct tcp_addrs six = {{{0x20, 1, [15] = 1}}, {{0x20, 1, [15] = 2}}};
    CU_ASSERT_EQUAL(checksum_pseudo(&six, 20), 0x2001 + 1 + 0x2001 + 2 + 6 + 20);
}

/* The first, second and last vector of the reference implementation: key 00..0f, text 00, 01, ... */
static void siphash_vectors(void)
{
    uint8_t key[16], text[64];
    for (uint8_t i = 0; i < 64; i++)
        text[i] = i;
    memcpy(key, text, 16);
    CU_ASSERT_EQUAL(tcp_siphash(key, text, 0), 0x726fdb47dd0e0e31ULL);
    CU_ASSERT_EQUAL(tcp_siphash(key, text, 1), 0x74f839c593dc67fdULL);
    CU_ASSERT_EQUAL(tcp_siphash(key, text, 15), 0xa129ca6149be45e5ULL);
}

UNIT_MAIN("dataplane/tcp/checksum", UNIT_CASE(variants), UNIT_CASE(chains),
          UNIT_CASE(pseudo_header), UNIT_CASE(siphash_vectors))
