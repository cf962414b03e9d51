#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "dataplane/proto/reader.h"
#include "tests/unit/unit.h"
#include "wire.h"

/* Runs `check` over the bytes, whole and cut in two at every place. */
static void at_every_cut(const void *bytes, size_t n, void (*check)(struct reader *r))
{
    for (size_t cut = 0; cut <= n; cut++) {
        struct chain c = wire_chain_cut(bytes, n, cut);
        struct reader r;
        reader_init_chain(&r, &c);
        check(&r);
        wire_free(&c);
    }
}

static void check_integers(struct reader *r)
{
    CU_ASSERT_EQUAL(reader_left(r), 2 + 1 + 2 + 2 + 4 + 4 + 8 + 8);
    CU_ASSERT_TRUE(reader_bool(r));
    CU_ASSERT_FALSE(reader_bool(r));
    CU_ASSERT_EQUAL(reader_i8(r), -2);
    CU_ASSERT_EQUAL(reader_i16(r), -2);
    CU_ASSERT_EQUAL(reader_u16(r), 0xfffe);
    CU_ASSERT_EQUAL(reader_i32(r), 0x01020304);
    CU_ASSERT_EQUAL(reader_u32(r), 0xfffffffe);
    CU_ASSERT_EQUAL(reader_i64(r), INT64_C(0x0102030405060708));
    CU_ASSERT_EQUAL(reader_f64(r), 1.5);
    CU_ASSERT_EQUAL(reader_left(r), 0);
    CU_ASSERT_EQUAL(r->err, 0);
    CU_ASSERT_EQUAL(reader_i8(r), 0);
    CU_ASSERT_EQUAL(r->err, ERR_MALFORMED);
}

static void integers(void)
{
    static const uint8_t bytes[] = {7,    0,    0xfe, 0xff, 0xfe, 0xff, 0xfe, 1, 2, 3, 4,
                                    0xff, 0xff, 0xff, 0xfe, 1,    2,    3,    4, 5, 6, 7,
                                    8,    0x3f, 0xf8, 0,    0,    0,    0,    0, 0};
    at_every_cut(bytes, sizeof(bytes), check_integers);
}

static void check_uvarints(struct reader *r)
{
    static const uint32_t values[] = {0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, UINT32_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        CU_ASSERT_EQUAL(reader_uvarint(r), values[i]);
    CU_ASSERT_EQUAL(r->err, 0);
    CU_ASSERT_EQUAL(reader_uvarint(r), 0); /* five bytes, each saying that more follow */
    CU_ASSERT_EQUAL(r->err, ERR_MALFORMED);
}

static void uvarints(void)
{
    /* The last value but one has bits above 32, which are dropped. */
    static const uint8_t bytes[] = {0,    1,    0x7f, 0x80, 1,    0xac, 2,    0xff, 0x7f, 0x80,
                                    0x80, 1,    0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff,
                                    0xff, 0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    at_every_cut(bytes, sizeof(bytes), check_uvarints);
}

static void check_strings(struct reader *r)
{
    struct arena arena;
    arena_init(&arena, 4096);
    CU_ASSERT_TRUE(str_eq(reader_str(r, false, &arena), STR("abc")));
    struct str empty = reader_str(r, false, &arena);
    CU_ASSERT_TRUE(!str_is_null(empty) && empty.len == 0);
    CU_ASSERT_TRUE(str_is_null(reader_str(r, true, &arena)));
    CU_ASSERT_TRUE(str_eq(reader_compact_str(r, false, &arena), STR("xyz")));
    CU_ASSERT_TRUE(str_is_null(reader_compact_str(r, true, &arena)));
    struct proto_bytes b = reader_bytes(r, false, &arena);
    CU_ASSERT_TRUE(b.len == 2 && memcmp(b.p, "pq", 2) == 0);
    b = reader_compact_bytes(r, true, &arena);
    CU_ASSERT_TRUE(b.p == NULL);
    CU_ASSERT_EQUAL(r->err, 0);
    CU_ASSERT_EQUAL(reader_left(r), 0);
    CU_ASSERT_TRUE(arena.used <= 8); /* at most the one value that the cut divides */
    arena_free(&arena);
}

static void strings(void)
{
    static const uint8_t bytes[] = {0,   3,   'a', 'b', 'c', 0, 0, 0xff, 0xff, 4, 'x',
                                    'y', 'z', 0,   0,   0,   0, 2, 'p',  'q',  0};
    at_every_cut(bytes, sizeof(bytes), check_strings);
}

/* One primitive on plain memory; answers the reader's error. */
#define MEMORY_ERR(call, ...)                                                                      \
    ({                                                                                             \
        static const uint8_t bytes_[] = {__VA_ARGS__};                                             \
        struct reader r_, *r = &r_;                                                                \
        reader_init_memory(r, bytes_, sizeof(bytes_));                                             \
        (void)(call);                                                                              \
        r->err;                                                                                    \
    })

static void nulls_and_lengths(void)
{
    struct arena a;
    arena_init(&a, 4096);
    /* Any negative length is null, as in Kafka; null is malformed where it is not allowed. */
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_str(r, true, &a), 0x80, 0), 0);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_str(r, false, &a), 0xff, 0xff), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_compact_str(r, false, &a), 0), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_bytes(r, false, &a), 0xff, 0, 0, 0), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_records(r, false), 0xff, 0, 0, 0), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_records(r, true), 0xff, 0, 0, 0), 0);
    /* Longer than what is left, or than any string may be. */
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_str(r, true, &a), 0, 2, 'a'), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_bytes(r, true, &a), 0x7f, 0xff, 0xff, 0xff, 1),
                    ERR_MALFORMED);
    /* Records are views into mbufs: plain memory has none. */
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_records(r, true), 0, 0, 0, 1, 'a'), ERR_MALFORMED);
    arena_free(&a);
}

static void string_limit(void)
{
    size_t n = PROTO_STRING_BYTES_MAX + 4;
    uint8_t *bytes = malloc(n);
    memset(bytes, 'a', n);
    for (unsigned extra = 0; extra < 2; extra++) {
        uint32_t prefix = PROTO_STRING_BYTES_MAX + 1 + extra;
        bytes[0] = (uint8_t)(prefix | 0x80);
        bytes[1] = (uint8_t)(prefix >> 7 | 0x80);
        bytes[2] = (uint8_t)(prefix >> 14);
        struct reader r;
        reader_init_memory(&r, bytes, n);
        struct str s = reader_compact_str(&r, false, NULL);
        CU_ASSERT_EQUAL(r.err, extra ? ERR_MALFORMED : 0);
        CU_ASSERT_EQUAL(s.len, extra ? 0 : PROTO_STRING_BYTES_MAX);
    }
    free(bytes);
}

static void counts(void)
{
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_array_len(r, false, 1), 0, 0, 0, 2, 1, 1), 0);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_array_len(r, false, 2), 0, 0, 0, 2, 1, 1), ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_array_len(r, false, 4), 0x3b, 0x9a, 0xca, 0, 1, 1, 1, 1),
                    ERR_MALFORMED); /* a billion */
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_compact_array_len(r, false, 4), 0x81, 0x94, 0xeb, 0xdc, 3, 1),
                    ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_array_len(r, false, 1), 0xff, 0xff, 0xff, 0xff),
                    ERR_MALFORMED);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_array_len(r, true, 1), 0x80, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_compact_array_len(r, true, 1), 0), 0);
    /* A compact count above 2^31 wraps to a negative one in Kafka: null. */
    CU_ASSERT_EQUAL(MEMORY_ERR(reader_compact_array_len(r, true, 1), 0xff, 0xff, 0xff, 0xff, 0x0f),
                    0);
}

static void arena_at_its_limit(void)
{
    uint8_t room[64];
    struct arena arena;
    arena_init_fixed(&arena, room, sizeof(room));
    struct reader r;
    reader_init_memory(&r, "0123456789", 10);
    CU_ASSERT_PTR_NOT_NULL(reader_alloc(&r, &arena, 4, 8));
    CU_ASSERT_PTR_NULL(reader_alloc(&r, &arena, 0, 8));
    CU_ASSERT_PTR_NULL(reader_alloc(&r, &arena, -1, 8));
    CU_ASSERT_EQUAL(r.err, 0);
    CU_ASSERT_PTR_NULL(reader_alloc(&r, &arena, 9, 8));
    CU_ASSERT_EQUAL(r.err, ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    reader_fail(&r, ERR_MALFORMED); /* the first error stays */
    CU_ASSERT_EQUAL(r.err, ERR_NO_MEMORY);
}

static void straddling_string_needs_arena(void)
{
    uint8_t room[8];
    struct arena arena;
    arena_init_fixed(&arena, room, 1);
    struct chain c = wire_chain_cut("\0\4abcd", 6, 4);
    struct reader r;
    reader_init_chain(&r, &c);
    CU_ASSERT_TRUE(str_is_null(reader_str(&r, false, &arena)));
    CU_ASSERT_EQUAL(r.err, ERR_NO_MEMORY);
    wire_free(&c);
}

static void views(void)
{
    static const char text[] = "abcdefghij";
    for (size_t cut = 0; cut <= 10; cut++) {
        struct chain c = wire_chain_cut(text, 10, cut);
        struct reader r;
        reader_init(&r, (struct chain_view){chain_pos_at(&c, 1), 8}); /* bcdefghi */
        struct chain_view head = reader_view(&r, 3);
        struct chain_view none = reader_view(&r, 0);
        reader_skip(&r, 1);
        struct chain_view tail = reader_view(&r, 4);
        CU_ASSERT_EQUAL(r.err, 0);
        CU_ASSERT_EQUAL(reader_left(&r), 0);
        char got[8];
        chain_view_copy(head, got, 3);
        chain_view_copy(tail, got + 3, 4);
        CU_ASSERT_EQUAL(memcmp(got, "bcdfghi", 7), 0);
        CU_ASSERT_EQUAL(none.len, 0);
        reader_skip(&r, 1);
        CU_ASSERT_EQUAL(r.err, ERR_MALFORMED);
        CU_ASSERT_EQUAL(reader_view(&r, 1).len, 0);
        wire_free(&c);
    }
}

static void empty_range(void)
{
    struct chain c;
    chain_init(&c);
    struct reader r;
    reader_init_chain(&r, &c);
    CU_ASSERT_EQUAL(reader_left(&r), 0);
    CU_ASSERT_EQUAL(reader_view(&r, 0).len, 0);
    CU_ASSERT_EQUAL(r.err, 0);
    CU_ASSERT_EQUAL(reader_i64(&r), 0);
    CU_ASSERT_EQUAL(r.err, ERR_MALFORMED);
}

static void check_tags(struct reader *r)
{
    reader_skip_tags(r);
    CU_ASSERT_EQUAL(r->err, 0);
    CU_ASSERT_EQUAL(reader_i8(r), 'z');
}

static void tags(void)
{
    static const uint8_t bytes[] = {3, 0, 2, 'a', 'b', 5, 0, 0x80, 1, 1, 'c', 'z'};
    at_every_cut(bytes, sizeof(bytes), check_tags);
    CU_ASSERT_EQUAL(MEMORY_ERR((reader_skip_tags(r), 0), 1, 0, 3, 'a', 'b'), ERR_MALFORMED);
    /* Four billion tags in nine bytes end with the bytes. */
    CU_ASSERT_EQUAL(MEMORY_ERR((reader_skip_tags(r), 0), 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 0),
                    ERR_MALFORMED);
}

static void tag_size_must_fit(void)
{
    struct reader r;
    reader_init_memory(&r, "\0\4\0\0\0\1", 6);
    struct reader_tag tag = reader_tag_begin(&r);
    reader_i32(&r);
    reader_tag_end(&r, tag);
    CU_ASSERT_EQUAL(r.err, 0);
    reader_init_memory(&r, "\0\5\0\0\0\1\1", 7);
    tag = reader_tag_begin(&r);
    reader_i32(&r);
    reader_tag_end(&r, tag);
    CU_ASSERT_EQUAL(r.err, ERR_MALFORMED);
}

static void random_cuts(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    uint8_t bytes[1000];
    rng_fill(&rng, bytes, sizeof(bytes));
    for (int round = 0; round < 200; round++) {
        struct chain c = wire_chain(bytes, sizeof(bytes), &rng, 1 + rng_below(&rng, 40));
        struct reader r;
        reader_init_chain(&r, &c);
        size_t at = 0;
        while (r.err == 0 && at < sizeof(bytes)) {
            uint8_t got[64];
            size_t n = 1 + rng_below(&rng, sizeof(got));
            if (at + n > sizeof(bytes))
                break;
            if (rng_below(&rng, 2))
                reader_copy(&r, got, n);
            else
                chain_view_copy(reader_view(&r, (uint32_t)n), got, n);
            CU_ASSERT_EQUAL(memcmp(got, bytes + at, n), 0);
            at += n;
            CU_ASSERT_EQUAL(reader_left(&r), sizeof(bytes) - at);
        }
        wire_free(&c);
    }
}

UNIT_MAIN("proto/reader", UNIT_CASE(integers), UNIT_CASE(uvarints), UNIT_CASE(strings),
          UNIT_CASE(nulls_and_lengths), UNIT_CASE(string_limit), UNIT_CASE(counts),
          UNIT_CASE(arena_at_its_limit), UNIT_CASE(straddling_string_needs_arena), UNIT_CASE(views),
          UNIT_CASE(empty_range), UNIT_CASE(tags), UNIT_CASE(tag_size_must_fit),
          UNIT_CASE(random_cuts))
