/* steer: our hash against DPDK's Toeplitz, both directions alike, errors go where their tuple is. */
#include "dataplane/nic/steer.h"

#include <arpa/inet.h>
#include <rte_thash.h>
#include <string.h>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/unit/core/with_eal.h"

static struct rng rng;

static struct rte_mbuf *frame_of(const uint8_t *bytes, size_t n)
{
    static struct rte_mempool *pool;
    if (pool == NULL) {
        with_eal(32);
        pool = with_pool("steer", 15, 512);
    }
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), bytes, n);
    return m;
}

static uint32_t owner_of(const uint8_t *bytes, size_t n, uint32_t shards)
{
    struct rte_mbuf *m = frame_of(bytes, n);
    uint32_t owner = steer_frame(m, shards);
    rte_pktmbuf_free(m);
    return owner;
}

static void like_toeplitz(void)
{
    uint8_t key[steer_key_bytes];
    steer_key(key);
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 2000; i++) {
        uint8_t tuple[36];
        uint32_t words[9];
        size_t address = i % 2 ? 16 : 4, n = 2 * address + 4;
        uint16_t a, b;
        rng_fill(&rng, tuple, sizeof(tuple));
        for (size_t k = 0; k < n / 4; k++)
            words[k] = bytes_get_u32(tuple + 4 * k);
        memcpy(&a, tuple + 2 * address, 2);
        memcpy(&b, tuple + 2 * address + 2, 2);
        uint32_t want = rte_softrss(words, (uint32_t)(n / 4), key);
        CU_ASSERT_EQUAL(steer_hash(tuple, tuple + address, address, a, b), want);
        CU_ASSERT_EQUAL(steer_hash(tuple + address, tuple, address, b, a), want);
    }
}

/* Clients with ports in a row are spread. */
static void spreads(void)
{
    uint32_t at[4] = {0};
    uint32_t a = htonl(0x0a000001), b = htonl(0x0a000002);
    for (uint16_t port = 40000; port < 44000; port++)
        at[steer_owner(steer_hash(&a, &b, 4, htons(port), htons(9092)), 4)]++;
    for (int i = 0; i < 4; i++)
        CU_ASSERT_TRUE(at[i] > 800 && at[i] < 1200);
}

static size_t v4_frame(uint8_t *p, uint8_t proto, bool vlan)
{
    size_t at = 12;
    memset(p, 0, 128);
    if (vlan) {
        bytes_put_u16(p + 12, 0x8100);
        at = 16;
    }
    bytes_put_u16(p + at, 0x0800);
    uint8_t *ip = p + at + 2;
    ip[0] = 0x45;
    ip[9] = proto;
    rng_fill(&rng, ip + 12, 12);
    return (size_t)(ip - p) + 40;
}

static void frames(void)
{
    uint8_t p[160];
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 200; i++) {
        bool vlan = i % 2;
        size_t n = v4_frame(p, 6, vlan);
        const uint8_t *ip = p + (vlan ? 18 : 14);
        uint16_t a, b;
        memcpy(&a, ip + 20, 2);
        memcpy(&b, ip + 22, 2);
        uint32_t want = steer_owner(steer_hash(ip + 12, ip + 16, 4, a, b), 7);
        CU_ASSERT_EQUAL(owner_of(p, n, 7), want);
        CU_ASSERT_EQUAL(owner_of(p, n, 1), 0);
        for (size_t cut = 0; cut < n; cut++)
            CU_ASSERT_TRUE(owner_of(p, cut, 7) < 7);
        /* its fragments, the first one too, meet on one shard */
        bytes_put_u16(p + (vlan ? 18 : 14) + 6, i % 3 ? 0x2000 : 100);
        CU_ASSERT_EQUAL(owner_of(p, n, 7), 0);
        bytes_put_u16(p + (vlan ? 18 : 14) + 6, 0x4000);
        CU_ASSERT_EQUAL(owner_of(p, n, 7), want);
        /* an ICMP error that quotes it, from somebody else */
        uint8_t error[160];
        size_t head = v4_frame(error, 1, vlan) - 40;
        error[head + 20] = 3;
        memcpy(error + head + 28, ip, 28);
        CU_ASSERT_EQUAL(owner_of(error, head + 28 + 28, 7), want);
    }
}

/* Behind extension headers a segment belongs where it would without them. */
static void extensions(void)
{
    static const uint8_t kinds[] = {0, 60, 43, 44};
    uint8_t p[160] = {0};
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 200; i++) {
        memset(p, 0, sizeof(p));
        bytes_put_u16(p + 12, 0x86dd);
        p[14] = 0x60;
        p[20] = 6;
        rng_fill(&rng, p + 22, 32);
        rng_fill(&rng, p + 54, 4);
        uint32_t want = owner_of(p, 74, 7);
        uint8_t kind = kinds[i % 4], words = (uint8_t)(kind == 44 ? 0 : i % 3);
        size_t header = 8 * (1u + words);
        memmove(p + 54 + header, p + 54, 20);
        memset(p + 54, 0, header);
        p[20] = kind;
        p[54] = 6;
        p[55] = words;
        CU_ASSERT_EQUAL(owner_of(p, 74 + header, 7), want);
        for (size_t cut = 0; cut < 74 + header; cut++)
            CU_ASSERT_TRUE(owner_of(p, cut, 7) < 7);
        if (kind == 44) { /* pieces meet on one shard */
            p[57] = 1;
            CU_ASSERT_EQUAL(owner_of(p, 74 + header, 7), 0);
        }
    }
}

static void others(void)
{
    uint8_t p[160] = {0};
    bytes_put_u16(p + 12, 0x0806);
    CU_ASSERT_EQUAL(owner_of(p, 60, 3), STEER_ALL);
    size_t n = v4_frame(p, 17, false);
    CU_ASSERT_EQUAL(owner_of(p, n, 3), 0);
    memset(p, 0, sizeof(p));
    bytes_put_u16(p + 12, 0x86dd);
    p[14] = 0x60;
    p[20] = 58;
    p[54] = 135; /* neighbour solicitation */
    CU_ASSERT_EQUAL(owner_of(p, 86, 3), STEER_ALL);
    p[54] = 128; /* echo */
    CU_ASSERT_EQUAL(owner_of(p, 86, 3), 0);
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 20000; i++) { /* nothing that comes makes it read outside */
        rng_fill(&rng, p, sizeof(p));
        bytes_put_u16(p + 12, i % 2 ? 0x0800 : 0x86dd);
        p[14] = i % 2 ? (uint8_t)(0x40 | (p[14] & 15)) : 0x60;
        uint32_t owner = owner_of(p, rng_below(&rng, sizeof(p)), 5);
        CU_ASSERT_TRUE(owner < 5 || owner == STEER_ALL);
    }
}

UNIT_MAIN("nic/steer", UNIT_CASE(like_toeplitz), UNIT_CASE(spreads), UNIT_CASE(frames),
          UNIT_CASE(extensions), UNIT_CASE(others))
