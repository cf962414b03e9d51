#include "base/bytes.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

static void big_endian(void)
{
    uint8_t b[8];
    bytes_put_u16(b, 0x0102);
    CU_ASSERT(b[0] == 1 && b[1] == 2 && bytes_get_u16(b) == 0x0102);
    bytes_put_u32(b, 0xfffefdfc);
    CU_ASSERT(b[0] == 0xff && b[3] == 0xfc && bytes_get_i32(b) == -66052);
    bytes_put_u64(b, 0x0102030405060708);
    CU_ASSERT(b[0] == 1 && b[7] == 8 && bytes_get_u64(b) == 0x0102030405060708);
    bytes_put_u16(b, 0xffff);
    CU_ASSERT(bytes_get_i16(b) == -1);
}

static void known_varints(void)
{
    uint8_t b[VARINT64_BYTES_MAX];
    CU_ASSERT(bytes_put_uvarint32(b, 0) == 1 && b[0] == 0);
    CU_ASSERT(bytes_put_uvarint32(b, 300) == 2 && b[0] == 0xac && b[1] == 0x02);
    CU_ASSERT(bytes_put_varint32(b, -1) == 1 && b[0] == 1);
    CU_ASSERT(bytes_put_varint32(b, 1) == 1 && b[0] == 2);
    CU_ASSERT(bytes_put_uvarint32(b, UINT32_MAX) == 5 && b[4] == 0x0f);
    CU_ASSERT(bytes_put_varint64(b, INT64_MIN) == 10);
}

static void varints_round_trip_and_cut(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 100000; i++) {
        uint64_t v = rng_u64(&rng) >> rng_below(&rng, 64);
        uint8_t b[VARINT64_BYTES_MAX];
        uint64_t u64 = ~v;
        size_t n = bytes_put_uvarint64(b, v);
        CU_ASSERT_FATAL(bytes_get_uvarint64(b, n, &u64) == (int)n && u64 == v);
        CU_ASSERT_FATAL(bytes_get_uvarint64(b, n - 1, &u64) == ERR_NEED_MORE && u64 == v);
        int64_t s64 = 0;
        n = bytes_put_varint64(b, (int64_t)v);
        CU_ASSERT_FATAL(bytes_get_varint64(b, n, &s64) == (int)n && s64 == (int64_t)v);
        uint32_t u32 = 0;
        n = bytes_put_uvarint32(b, (uint32_t)v);
        CU_ASSERT_FATAL(n == bytes_uvarint32_len((uint32_t)v));
        CU_ASSERT_FATAL(bytes_get_uvarint32(b, n, &u32) == (int)n && u32 == (uint32_t)v);
        int32_t s32 = 0;
        n = bytes_put_varint32(b, (int32_t)v);
        CU_ASSERT_FATAL(bytes_get_varint32(b, n, &s32) == (int)n && s32 == (int32_t)v);
    }
}

static void too_long(void)
{
    uint8_t b[11];
    memset(b, 0xff, sizeof(b));
    uint32_t u32 = 7;
    CU_ASSERT(bytes_get_uvarint32(b, 11, &u32) == ERR_MALFORMED && u32 == 7);
    uint64_t u64 = 7;
    CU_ASSERT(bytes_get_uvarint64(b, 11, &u64) == ERR_MALFORMED && u64 == 7);
}

/* What Kafka 4.3.1's ByteUtils makes of the same bytes. */
static void excess_bits_are_dropped(void)
{
    uint8_t b[11];
    memset(b, 0xff, sizeof(b));
    uint32_t u32 = 7;
    int32_t s32 = 7;
    b[4] = 0x10;
    CU_ASSERT(bytes_get_uvarint32(b, 5, &u32) == 5 && u32 == 268435455);
    CU_ASSERT(bytes_get_varint32(b, 5, &s32) == 5 && s32 == -134217728);
    b[4] = 0x7f;
    CU_ASSERT(bytes_get_uvarint32(b, 11, &u32) == 5 && u32 == UINT32_MAX);
    b[4] = 0xff;
    int64_t s64 = 7;
    static const uint8_t last[] = {0x01, 0x7f, 0x02, 0x42};
    static const int64_t want[] = {INT64_MIN, INT64_MIN, INT64_MIN / 2, INT64_MIN / 2};
    for (int i = 0; i < 4; i++) {
        b[9] = last[i];
        CU_ASSERT(bytes_get_varint64(b, 11, &s64) == 10 && s64 == want[i]);
    }
}

UNIT_MAIN("bytes", UNIT_CASE(big_endian), UNIT_CASE(known_varints),
          UNIT_CASE(varints_round_trip_and_cut), UNIT_CASE(too_long),
          UNIT_CASE(excess_bits_are_dropped))
