/* checksum: known sums, and the wide loop against the portable one at every length and offset. */
#include "dataplane/nic/checksum.h"

#include <string.h>

#include "base/rng.h"
#include "tests/unit/core/with_eal.h"

/* RFC 1071, section 3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2. */
static void rfc_example(void)
{
    const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, bytes, 8)), __builtin_bswap16(0xddf2));
    CU_ASSERT_EQUAL(checksum_end(checksum_add(0, bytes, 8)), __builtin_bswap16(0x220d));
}

static void odd_end(void)
{
    const uint8_t bytes[] = {0x12, 0x34, 0x56};
    CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, bytes, 3)), __builtin_bswap16(0x1234 + 0x5600));
    CU_ASSERT_EQUAL(checksum_fold(checksum_add(0, bytes, 0)), 0);
}

/* The plainest form of the definition. */
static uint16_t slow(const uint8_t *p, size_t n)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return __builtin_bswap16((uint16_t)sum);
}

/* 0 and ffff are the same sum; a checksum of zeros alone is 0 in every form. */
static bool same(uint16_t a, uint16_t b)
{
    return a % 0xffff == b % 0xffff;
}

static void all_lengths(void)
{
    uint8_t bytes[2100];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 3; round++) {
        if (round == 0)
            memset(bytes, 0xff, sizeof(bytes)); /* the most carries */
        else
            rng_fill(&rng, bytes, sizeof(bytes));
        for (size_t n = 0; n <= 2048; n++) {
            size_t off = rng_below(&rng, 40);
            uint16_t want = slow(bytes + off, n);
            CU_ASSERT_TRUE(same(checksum_fold(checksum_add(0, bytes + off, n)), want));
            CU_ASSERT_TRUE(same(checksum_fold(checksum_add_portable(0, bytes + off, n)), want));
        }
    }
}

static void large(void)
{
    static uint8_t bytes[65535];
    memset(bytes, 0xff, sizeof(bytes));
    CU_ASSERT_TRUE(same(checksum_fold(checksum_add(UINT64_MAX, bytes, sizeof(bytes))),
                        slow(bytes, sizeof(bytes))));
}

/* Chains cut at odd places, from any offset. */
static void chains(void)
{
    uint8_t bytes[600];
    struct rng rng;
    with_eal(32);
    struct rte_mempool *pool = with_pool("sums", 63, 256);
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 500; round++) {
        struct rte_mbuf *head = NULL, *last = NULL;
        size_t n = 0;
        rng_fill(&rng, bytes, sizeof(bytes));
        while (n < sizeof(bytes)) {
            struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
            CU_ASSERT_PTR_NOT_NULL_FATAL(m);
            size_t len = 1 + rng_below(&rng, 200);
            len = len < sizeof(bytes) - n ? len : sizeof(bytes) - n;
            memcpy(rte_pktmbuf_append(m, (uint16_t)len), bytes + n, len);
            n += len;
            if (head == NULL)
                head = m;
            else
                last->next = m;
            last = m;
        }
        uint32_t off = (uint32_t)rng_below(&rng, n), len = (uint32_t)rng_below(&rng, n - off + 1);
        CU_ASSERT_TRUE(
            same(checksum_fold(checksum_mbuf(0, head, off, len)), slow(bytes + off, len)));
        while (head != NULL) {
            last = head->next;
            rte_pktmbuf_free_seg(head);
            head = last;
        }
    }
}

UNIT_MAIN("nic/checksum", UNIT_CASE(rfc_example), UNIT_CASE(odd_end), UNIT_CASE(all_lengths),
          UNIT_CASE(large), UNIT_CASE(chains))
