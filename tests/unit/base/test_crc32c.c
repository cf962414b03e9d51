#include "base/crc32c.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

#include <string.h>

/* The definition, bit by bit (reflected polynomial 0x82f63b78). */
static uint32_t reference(const uint8_t *p, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void known_values(void)
{
    uint8_t zeros[32] = {0};
    CU_ASSERT(crc32c(0, "123456789", 9) ==
              0xe3069283); /* RFC 3720 B.4 and the catalogue's check value */
    CU_ASSERT(crc32c(0, zeros, 32) == 0x8a9136aa);
    CU_ASSERT(crc32c(0, "", 0) == 0);
}

static void pieces_and_copies_agree(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    static uint8_t src[70000], dst[70000];
    rng_fill(&rng, src, sizeof(src));
    for (int i = 0; i < 300; i++) {
        size_t n = rng_below(&rng, i < 250 ? 300 : sizeof(src));
        size_t cut = n ? rng_below(&rng, n) : 0;
        uint32_t want = reference(src, n);
        CU_ASSERT_FATAL(crc32c(0, src, n) == want);
        CU_ASSERT_FATAL(crc32c(crc32c(0, src, cut), src + cut, n - cut) == want);
        memset(dst, 0xa5, sizeof(dst));
        uint32_t crc = crc32c_copy(0, dst, src, cut);
        CU_ASSERT_FATAL(crc32c_copy(crc, dst + cut, src + cut, n - cut) == want);
        CU_ASSERT_FATAL(memcmp(src, dst, n) == 0);
        CU_ASSERT_FATAL(n == sizeof(dst) || dst[n] == 0xa5);
    }
}

UNIT_MAIN("crc32c", UNIT_CASE(known_values), UNIT_CASE(pieces_and_copies_agree))
