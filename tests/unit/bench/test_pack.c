/* pack: what was packed comes back, what does not fit or was cut is said to be so. */
#include <snappy-c.h>
#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "bench/pack.h"
#include "tests/unit/unit.h"

#define plain_max 100000
#define room_max  (plain_max + 100)

static uint8_t plain[plain_max], back[room_max];

/* Half of it does not compress. */
static void fill(size_t n)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    memset(plain, 'x', n);
    rng_fill(&rng, plain, n / 2);
}

static uint8_t *packed_of(enum pack_codec codec, size_t n, size_t *len)
{
    size_t room = pack_bound(codec, n);
    uint8_t *packed = malloc(room);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    CU_ASSERT_EQUAL_FATAL(pack(codec, plain, n, packed, room, len), 0);
    return packed;
}

static void test_there_and_back(void)
{
    static const size_t sizes[] = {1, 61, 32768, 32769, plain_max};
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++)
        for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
            size_t len, got = 0, n = sizes[i];
            fill(n);
            uint8_t *packed = packed_of((enum pack_codec)codec, n, &len);
            CU_ASSERT_EQUAL(unpack((enum pack_codec)codec, packed, len, back, n, &got), 0);
            CU_ASSERT_EQUAL(got, n);
            CU_ASSERT_EQUAL(memcmp(back, plain, n), 0);
            free(packed);
        }
}

static void test_no_room(void)
{
    fill(plain_max);
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++) {
        size_t len, got;
        uint8_t *packed = packed_of((enum pack_codec)codec, plain_max, &len);
        CU_ASSERT_EQUAL(unpack((enum pack_codec)codec, packed, len, back, plain_max - 1, &got),
                        ERR_TOO_LARGE);
        free(packed);
    }
}

/* Snappy's blocks may end anywhere: then there is less of it. */
static void test_cut(void)
{
    size_t n = 300;
    fill(n);
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++) {
        size_t len;
        uint8_t *packed = packed_of((enum pack_codec)codec, n, &len);
        for (size_t cut = 0; cut < len; cut++) {
            size_t got = 0;
            uint8_t *piece = malloc(cut + 1); /* of its own, so that a read beyond it is seen */
            CU_ASSERT_PTR_NOT_NULL_FATAL(piece);
            memcpy(piece, packed, cut);
            int err = unpack((enum pack_codec)codec, piece, cut, back, room_max, &got);
            CU_ASSERT(err == ERR_CORRUPT || (err == 0 && got < n));
            free(piece);
        }
        free(packed);
    }
}

static void test_snappy_without_blocks(void)
{
    size_t n = 5000, got = 0, len = snappy_max_compressed_length(n);
    uint8_t *packed = malloc(len);
    CU_ASSERT_PTR_NOT_NULL_FATAL(packed);
    fill(n);
    CU_ASSERT_EQUAL_FATAL(snappy_compress((const char *)plain, n, (char *)packed, &len), SNAPPY_OK);
    CU_ASSERT_EQUAL(unpack(PACK_SNAPPY, packed, len, back, n, &got), 0);
    CU_ASSERT_EQUAL(got, n);
    CU_ASSERT_EQUAL(memcmp(back, plain, n), 0);
    free(packed);
}

static void test_damaged(void)
{
    struct rng rng;
    size_t n = 2000;
    fill(n);
    rng_seed(&rng, unit_seed());
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++) {
        size_t len;
        uint8_t *packed = packed_of((enum pack_codec)codec, n, &len);
        for (int i = 0; i < 500; i++) {
            size_t got, at = rng_below(&rng, len);
            uint8_t was = packed[at];
            packed[at] = (uint8_t)rng_u64(&rng);
            int err = unpack((enum pack_codec)codec, packed, len, back, room_max, &got);
            CU_ASSERT(err == 0 || err == ERR_CORRUPT || err == ERR_TOO_LARGE ||
                      err == ERR_NO_MEMORY);
            CU_ASSERT(err != 0 || got <= room_max);
            packed[at] = was;
        }
        free(packed);
    }
}

UNIT_MAIN("bench/pack", UNIT_CASE(test_there_and_back), UNIT_CASE(test_no_room),
          UNIT_CASE(test_cut), UNIT_CASE(test_snappy_without_blocks), UNIT_CASE(test_damaged))
