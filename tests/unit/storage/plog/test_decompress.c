/* Streams of the four codecs: whole, cut, broken, and bombs. */
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/check.h"
#include "base/rng.h"
#include "storage/plog/decompress.h"
#include "tests/unit/unit.h"

/*
 * A reader that hands out pieces of random length, each from exact heap memory so that overreads
 * show.
 */
struct pieces {
    struct reader r;
    const uint8_t *bytes;
    size_t n, at;
    struct rng *rng;
    uint8_t *piece;
    size_t longest;
};

static bool pieces_more(struct reader *r)
{
    struct pieces *s = (struct pieces *)r;
    if (s->at == s->n)
        return false;
    size_t n = 1 + rng_below(s->rng, s->longest);
    if (n > s->n - s->at)
        n = s->n - s->at;
    free(s->piece);
    s->piece = malloc(n);
    memcpy(s->piece, s->bytes + s->at, n);
    s->at += n;
    r->p = s->piece;
    r->end = r->p + n;
    return true;
}

static struct rng rng;
static struct unzip *unzip;

/* Decompresses; the result's length, or -1 when the stream is broken. out may be NULL. */
static int64_t decompress(enum batch_codec codec, const void *bytes, size_t n, uint8_t *out,
                          size_t room, size_t longest_piece)
{
    struct pieces s = {
        .r = {.more = pieces_more}, .bytes = bytes, .n = n, .rng = &rng, .longest = longest_piece};
    struct reader *r = unzip_open(unzip, codec, &s.r);
    int64_t total = 0;
    while (reader_more(r)) {
        size_t have = (size_t)(r->end - r->p);
        if (out) {
            CU_ASSERT_FATAL(total + (int64_t)have <= (int64_t)room);
            memcpy(out + total, r->p, have);
        }
        total += (int64_t)have;
        r->p = r->end;
    }
    if (r->err)
        total = -1;
    unzip_close(unzip);
    free(s.piece);
    return total;
}

struct stream {
    uint8_t *bytes;
    size_t n;
};

static struct stream gzip_stream(const uint8_t *p, size_t n)
{
    z_stream z = {0};
    CHECK(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    struct stream s = {malloc(deflateBound(&z, n) + 64), 0};
    z.next_in = (uint8_t *)(uintptr_t)p;
    z.avail_in = (uInt)n;
    z.next_out = s.bytes;
    z.avail_out = (uInt)deflateBound(&z, n) + 64;
    CHECK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    s.n = z.total_out;
    deflateEnd(&z);
    return s;
}

static struct stream snappy_stream(const uint8_t *p, size_t n, bool raw)
{
    static const uint8_t magic[16] = {0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0,
                                      0,    0,   0,   1,   0,   0,   0,   1};
    size_t block = raw ? n + 1 : 32768;
    struct stream s = {malloc(snappy_max_compressed_length(n) + n / 100 + 4096), 0};
    if (!raw) {
        memcpy(s.bytes, magic, 16);
        s.n = 16;
    }
    size_t at = 0;
    do {
        size_t part = n - at < block ? n - at : block, room = snappy_max_compressed_length(part);
        uint8_t *to = s.bytes + s.n + (raw ? 0 : 4);
        CHECK(snappy_compress((const char *)p + at, part, (char *)to, &room) == SNAPPY_OK);
        if (!raw)
            bytes_put_u32(to - 4, (uint32_t)room);
        s.n += room + (raw ? 0 : 4);
        at += part;
    } while (at < n);
    return s;
}

static struct stream lz4_stream(const uint8_t *p, size_t n, int block_size, bool checksums)
{
    LZ4F_preferences_t prefs = {
        .frameInfo = {.blockMode = LZ4F_blockIndependent,
                      .blockSizeID = (LZ4F_blockSizeID_t)block_size,
                      .contentChecksumFlag = checksums ? LZ4F_contentChecksumEnabled : 0,
                      .blockChecksumFlag = checksums ? LZ4F_blockChecksumEnabled : 0,
                      .contentSize = checksums ? n : 0}};
    size_t room = LZ4F_compressFrameBound(n, &prefs);
    struct stream s = {malloc(room), 0};
    s.n = LZ4F_compressFrame(s.bytes, room, p, n, &prefs);
    CHECK(!LZ4F_isError(s.n));
    return s;
}

static struct stream zstd_stream(const uint8_t *p, size_t n, int level)
{
    struct stream s = {malloc(ZSTD_compressBound(n)), 0};
    s.n = ZSTD_compress(s.bytes, ZSTD_compressBound(n), p, n, level);
    CHECK(!ZSTD_isError(s.n));
    return s;
}

#define forms 9

static struct stream make(int form, const uint8_t *p, size_t n, enum batch_codec *codec)
{
    static const enum batch_codec codecs[forms] = {CODEC_GZIP, CODEC_SNAPPY, CODEC_SNAPPY,
                                                   CODEC_LZ4,  CODEC_LZ4,    CODEC_LZ4,
                                                   CODEC_ZSTD, CODEC_ZSTD,   CODEC_LZ4};
    *codec = codecs[form];
    switch (form) {
    case 0:
        return gzip_stream(p, n);
    case 1:
        return snappy_stream(p, n, false);
    case 2:
        return snappy_stream(p, n, true);
    case 3:
        return lz4_stream(p, n, LZ4F_max64KB, false);
    case 4:
        return lz4_stream(p, n, LZ4F_max256KB, true);
    case 5:
        return lz4_stream(p, n, LZ4F_max4MB, false);
    case 6:
        return zstd_stream(p, n, 3);
    case 7:
        return zstd_stream(p, n, 12);
    default:
        return lz4_stream(p, n, LZ4F_max1MB, true);
    }
}

/* Text-like, random or repeating bytes. */
static uint8_t *plain(size_t n, int kind)
{
    uint8_t *p = malloc(n + 1);
    rng_fill(&rng, p, n);
    for (size_t i = 0; i < n && kind != 0; i++)
        p[i] = kind == 1 ? "etaoin shrdlu"[p[i] % 13] : (uint8_t)(i / 5000);
    return p;
}

static void up(void)
{
    rng_seed(&rng, unit_seed());
    CU_ASSERT_EQUAL_FATAL(unzip_new(&unzip), 0);
}

static void down(void)
{
    unzip_free(unzip);
}

static void test_whole_streams(void)
{
    static const size_t sizes[] = {0, 1, 2, 61, 1000, 32768, 65536, 65537, 200000, 900000};
    up();
    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        for (int kind = 0; kind < 3; kind++) {
            size_t n = sizes[k];
            uint8_t *p = plain(n, kind), *out = malloc(n + 1);
            for (int form = 0; form < forms; form++) {
                enum batch_codec codec;
                struct stream s = make(form, p, n, &codec);
                size_t longest = k % 2 ? 65536 : 1 + rng_below(&rng, n > 100000 ? 30000 : 40);
                int64_t got = decompress(codec, s.bytes, s.n, out, n, longest);
                if (got != (int64_t)n)
                    printf("form %d kind %d size %zu: %lld\n", form, kind, n, (long long)got);
                CU_ASSERT_EQUAL(got, (int64_t)n);
                CU_ASSERT_EQUAL(memcmp(out, p, n), 0);
                free(s.bytes);
            }
            free(p);
            free(out);
        }
    }
    down();
}

/* One literal of n bytes, then copies of 64 bytes from `back` bytes before, with distances of 4 bytes. */
static struct stream far_copies(const uint8_t *p, uint32_t n, uint32_t back, uint32_t copies)
{
    struct stream s = {malloc(5 + 5 + n + 5 * (size_t)copies), 0};
    for (uint32_t left = n + 64 * copies; left > 0 || s.n == 0; left >>= 7)
        s.bytes[s.n++] = (uint8_t)((left & 0x7f) | (left >> 7 ? 0x80 : 0));
    s.bytes[s.n++] = 63 << 2; /* a literal whose length follows in 4 bytes */
    for (int i = 0; i < 4; i++)
        s.bytes[s.n++] = (uint8_t)((n - 1) >> 8 * i);
    memcpy(s.bytes + s.n, p, n);
    s.n += n;
    for (uint32_t k = 0; k < copies; k++) {
        s.bytes[s.n++] = 63 << 2 | 3;
        for (int i = 0; i < 4; i++)
            s.bytes[s.n++] = (uint8_t)(back >> 8 * i);
    }
    return s;
}

/* The window of an encoder is as large as its block: over its moves, at the limit, and one byte beyond. */
static void test_snappy_far_copies(void)
{
    static const uint32_t literals[] = {70000, 1 * MIB, unzip_history_bytes,
                                        unzip_history_bytes + 5 * 128 * KIB + 77};
    up();
    for (size_t k = 0; k < sizeof(literals) / sizeof(literals[0]); k++) {
        uint32_t n = literals[k], copies = k < 3 ? 2000 : 600000;
        size_t all = n + 64 * (size_t)copies;
        uint32_t backs[] = {n < unzip_history_bytes ? n : unzip_history_bytes, 65537, 64, 1};
        uint8_t *p = plain(all, 0), *out = malloc(all);
        for (size_t i = 0; i < (k < 2 ? sizeof(backs) / sizeof(backs[0]) : 1); i++) {
            struct stream s = far_copies(p, n, backs[i], copies);
            for (size_t at = n; at < all; at++)
                p[at] = p[at - backs[i]];
            CU_ASSERT_EQUAL(decompress(CODEC_SNAPPY, s.bytes, s.n, out, all, 65536), (int64_t)all);
            CU_ASSERT_EQUAL(memcmp(out, p, all), 0);
            free(s.bytes);
        }
        struct stream beyond = far_copies(p, n, backs[0] + 1, copies);
        CU_ASSERT(decompress(CODEC_SNAPPY, beyond.bytes, beyond.n, out, all, 65536) < 0);
        free(beyond.bytes);
        free(p);
        free(out);
    }
    down();
}

/*
 * A stream that is cut anywhere is never taken for a whole one, but for what Kafka does not look at
 * either.
 */
static void test_cut_streams(void)
{
    up();
    uint8_t *p = plain(3000, 1), *out = malloc(3000);
    for (int form = 0; form < forms; form++) {
        enum batch_codec codec;
        struct stream s = make(form, p, 3000, &codec);
        for (size_t n = 0; n < s.n; n++) {
            int64_t got = decompress(codec, s.bytes, n, out, 3000, 64);
            bool all = got == 3000 && memcmp(out, p, 3000) == 0;
            /*
             * an LZ4 frame's content checksum may be missing; snappy frames end anywhere between
             * two
             */
            CU_ASSERT(got == -1 || (all && codec == CODEC_LZ4) || (got == 0 && n == 0) ||
                      (got == 0 && form == 1 && n == 16));
        }
        free(s.bytes);
    }
    free(p);
    free(out);
    down();
}

/* Flipped bits: an error or other bytes, never a fault. */
static void test_broken_streams(void)
{
    up();
    uint8_t *p = plain(100000, 1);
    for (int form = 0; form < forms; form++) {
        enum batch_codec codec;
        struct stream s = make(form, p, 100000, &codec);
        for (int i = 0; i < 400; i++) {
            uint32_t flips = 1 + (uint32_t)rng_below(&rng, 4);
            uint8_t *copy = malloc(s.n);
            memcpy(copy, s.bytes, s.n);
            for (uint32_t k = 0; k < flips; k++)
                copy[rng_below(&rng, i % 2      ? s.n
                                     : s.n < 40 ? s.n
                                                : 40)] ^= (uint8_t)(1 << rng_below(&rng, 8));
            CU_ASSERT(decompress(codec, copy, s.n, NULL, 0, 3000) >= -1);
            free(copy);
        }
        free(s.bytes);
    }
    for (int codec = CODEC_GZIP; codec < CODEC_COUNT; codec++) {
        for (int i = 0; i < 300; i++) {
            uint8_t noise[300];
            size_t n = rng_below(&rng, sizeof(noise));
            rng_fill(&rng, noise, n);
            CU_ASSERT(decompress((enum batch_codec)codec, noise, n, NULL, 0, 50) >= -1);
        }
    }
    free(p);
    down();
}

/* 48 MiB of zeros out of little: passes through, in fixed memory. */
static void test_bombs(void)
{
    up();
    size_t n = 48 << 20;
    uint8_t *p = calloc(n, 1);
    for (int form = 0; form < forms; form++) {
        enum batch_codec codec;
        if (form == 1 || form == 7) /* xerial frames and level 12 take long to make */
            continue;
        struct stream s = make(form, p, n, &codec);
        CU_ASSERT_EQUAL(decompress(codec, s.bytes, s.n, NULL, 0, 65536), (int64_t)n);
        free(s.bytes);
    }
    free(p);
    down();
}

static void test_several_members(void)
{
    up();
    uint8_t *p = plain(5000, 1), out[10000];
    struct stream (*const makers[])(const uint8_t *, size_t) = {gzip_stream};
    struct stream a = makers[0](p, 3000), b = makers[0](p + 3000, 2000);
    uint8_t both[20000];
    memcpy(both, a.bytes, a.n);
    memcpy(both + a.n, b.bytes, b.n);
    CU_ASSERT_EQUAL(decompress(CODEC_GZIP, both, a.n + b.n, out, 5000, 7), 5000);
    CU_ASSERT_EQUAL(memcmp(out, p, 5000), 0);
    free(a.bytes);
    free(b.bytes);
    a = zstd_stream(p, 3000, 3);
    b = zstd_stream(p + 3000, 2000, 3);
    memcpy(both, a.bytes, a.n);
    memcpy(both + a.n, b.bytes, b.n);
    CU_ASSERT_EQUAL(decompress(CODEC_ZSTD, both, a.n + b.n, out, 5000, 7), 5000);
    CU_ASSERT_EQUAL(memcmp(out, p, 5000), 0);
    free(a.bytes);
    free(b.bytes);
    free(p);
    down();
}

/* Dependent blocks are refused, as Kafka's decoder does. */
static void test_lz4_dependent_blocks(void)
{
    up();
    uint8_t *p = plain(200000, 1);
    LZ4F_preferences_t prefs = {
        .frameInfo = {.blockMode = LZ4F_blockLinked, .blockSizeID = LZ4F_max64KB}};
    size_t room = LZ4F_compressFrameBound(200000, &prefs);
    uint8_t *bytes = malloc(room);
    size_t n = LZ4F_compressFrame(bytes, room, p, 200000, &prefs);
    CU_ASSERT_EQUAL(decompress(CODEC_LZ4, bytes, n, NULL, 0, 1000), -1);
    free(bytes);
    free(p);
    down();
}

UNIT_MAIN("plog/decompress", UNIT_CASE(test_whole_streams), UNIT_CASE(test_cut_streams),
          UNIT_CASE(test_snappy_far_copies), UNIT_CASE(test_broken_streams), UNIT_CASE(test_bombs),
          UNIT_CASE(test_several_members), UNIT_CASE(test_lz4_dependent_blocks))
