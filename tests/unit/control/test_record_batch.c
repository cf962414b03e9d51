#include <string.h>
#include <zlib.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/rng.h"
#include "control/record_batch.h"
#include "storage/plog/batch.h"
#include "tests/unit/unit.h"

#define seen_max 4096

struct seen {
    uint32_t records, markers, corrupt;
    bool committed;
    int64_t offsets[seen_max], bad_offset, producer_id;
    uint32_t key_len[seen_max], value_len[seen_max];
    bool tombstone[seen_max];
    uint8_t first_key[seen_max];
    int stop_after; /* 0: never */
};

static int on_record(void *ctx, const struct record_view *r)
{
    struct seen *s = ctx;
    uint32_t i = s->records++;
    if (i < seen_max) {
        s->offsets[i] = r->offset;
        s->key_len[i] = r->item.key_len;
        s->value_len[i] = r->item.value_len;
        s->tombstone[i] = r->item.value == NULL;
        s->first_key[i] = r->item.key_len ? r->item.key[0] : 0;
    }
    s->producer_id = r->producer_id;
    return s->stop_after && (int)s->records == s->stop_after ? ERR_NO_MEMORY : 0;
}

static int on_marker(void *ctx, int64_t producer_id, bool commit)
{
    struct seen *s = ctx;
    s->markers++;
    s->producer_id = producer_id;
    s->committed = commit;
    return 0;
}

static void on_corrupt(void *ctx, int64_t offset, const char *what)
{
    struct seen *s = ctx;
    CU_ASSERT_PTR_NOT_NULL(what);
    s->corrupt++;
    s->bad_offset = offset;
}

static struct record_visitor visitor(struct seen *s)
{
    return (struct record_visitor){s, on_record, on_marker, on_corrupt};
}

static void seal(uint8_t *p, uint32_t n, int64_t base)
{
    bytes_put_u64(p, (uint64_t)base);
    bytes_put_u32(p + BATCH_LENGTH, n - batch_overhead_bytes);
    bytes_put_u32(p + BATCH_CRC, crc32c(0, p + BATCH_ATTRIBUTES, n - BATCH_ATTRIBUTES));
}

/* Three records, the second one a tombstone, at `base`; appended to out. */
static uint32_t three(uint8_t *out, int64_t base)
{
    const struct record_item items[] = {{(const uint8_t *)"key", 3, (const uint8_t *)"value", 5},
                                        {(const uint8_t *)"gone", 4, NULL, 0},
                                        {(const uint8_t *)"x", 1, (const uint8_t *)"", 0}};
    uint8_t *p;
    uint32_t n;
    CU_ASSERT_EQUAL_FATAL(record_batch_build(items, 3, 1700000000000, &p, &n), 0);
    CU_ASSERT_TRUE(n <= record_batch_bytes_max_of(items, 3));
    memcpy(out, p, n);
    free(p);
    seal(out, n, base);
    return n;
}

static int64_t walk(const uint8_t *p, size_t n, int64_t from, struct seen *s)
{
    struct record_walk w;
    struct record_visitor v = visitor(s);
    record_walk_init(&w, from);
    int64_t walked = record_walk(&w, p, n, &v);
    record_walk_free(&w);
    return walked;
}

static void what_is_built_is_read(void)
{
    uint8_t log[1024];
    uint32_t n = three(log, 10);
    n += three(log + n, 13);
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(log, n, 0, &s), n);
    CU_ASSERT_EQUAL_FATAL(s.records, 6);
    for (uint32_t i = 0; i < 6; i++)
        CU_ASSERT_EQUAL(s.offsets[i], 10 + i);
    CU_ASSERT_TRUE(s.tombstone[1] && !s.tombstone[0] && !s.tombstone[2]);
    CU_ASSERT_EQUAL(s.key_len[4], 4);
    CU_ASSERT_EQUAL(s.value_len[3], 5);
    CU_ASSERT_EQUAL(s.value_len[5], 0);
    CU_ASSERT_EQUAL(s.first_key[5], 'x');
    CU_ASSERT_EQUAL(s.corrupt, 0);
}

static void many_records_and_long_ones(void)
{
    enum { many = 3000 };
    static uint8_t big[300000];
    struct record_item *items = calloc(many, sizeof(*items));
    for (uint32_t i = 0; i < many; i++)
        items[i] = (struct record_item){big, i % 200, i % 3 ? big : NULL, i % 3 ? i % 77 : 0};
    items[1234] = (struct record_item){big, 1000, big, sizeof(big)};
    uint8_t *p;
    uint32_t n;
    CU_ASSERT_EQUAL_FATAL(record_batch_build(items, many, 1, &p, &n), 0);
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(p, n, 0, &s), n);
    CU_ASSERT_EQUAL_FATAL(s.records, many);
    for (uint32_t i = 0; i < many; i++) {
        CU_ASSERT_EQUAL(s.key_len[i], items[i].key_len);
        CU_ASSERT_EQUAL(s.value_len[i], items[i].value_len);
        CU_ASSERT_EQUAL(s.tombstone[i], items[i].value == NULL);
    }
    free(p);
    free(items);
}

static void a_cut_batch_is_left(void)
{
    uint8_t log[1024];
    uint32_t one = three(log, 0), n = one + three(log + one, 3);
    for (uint32_t cut = 0; cut < n; cut++) {
        struct seen s = {0};
        CU_ASSERT_EQUAL(walk(log, cut, 0, &s), cut < one ? 0 : one);
        CU_ASSERT_EQUAL(s.records, cut < one ? 0 : 3);
    }
}

static void offsets_below_the_start_are_passed(void)
{
    uint8_t log[1024];
    uint32_t n = three(log, 0);
    n += three(log + n, 3);
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(log, n, 4, &s), n);
    CU_ASSERT_EQUAL_FATAL(s.records, 2);
    CU_ASSERT_EQUAL(s.offsets[0], 4);
}

static void a_corrupt_batch_is_told_once(void)
{
    uint8_t log[2048];
    uint32_t one = three(log, 0), two = three(log + one, 3), n = one + two;
    n += three(log + n, 6);
    log[one + two - 1] ^= 1;
    struct record_walk w;
    struct seen s = {0};
    struct record_visitor v = visitor(&s);
    record_walk_init(&w, 0);
    CU_ASSERT_EQUAL(record_walk(&w, log, n, &v), n);
    CU_ASSERT_EQUAL(s.records, 6);
    CU_ASSERT_EQUAL(s.offsets[3], 6);
    CU_ASSERT_EQUAL(s.corrupt, 1);
    CU_ASSERT_EQUAL(s.bad_offset, 3);
    CU_ASSERT_EQUAL(w.next_offset, 9);
    record_walk_free(&w);
    /* alone in its piece: the second look goes past it, and it is told no second time */
    s = (struct seen){0};
    record_walk_init(&w, 3);
    CU_ASSERT_EQUAL(record_walk(&w, log + one, two, &v), two);
    CU_ASSERT_EQUAL(w.next_offset, 4);
    CU_ASSERT_EQUAL(record_walk(&w, log + one, two, &v), two);
    CU_ASSERT_EQUAL(w.next_offset, 6);
    CU_ASSERT_EQUAL(s.corrupt, 1);
    record_walk_free(&w);
}

static void a_corrupt_record_ends_its_batch_alone(void)
{
    uint8_t log[1024];
    uint32_t one = three(log, 0);
    log[batch_header_bytes] = 0x7f; /* the first record's length */
    seal(log, one, 0);
    uint32_t n = one + three(log + one, 3);
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(log, n, 0, &s), n);
    CU_ASSERT_EQUAL(s.corrupt, 1);
    CU_ASSERT_EQUAL(s.bad_offset, 0);
    CU_ASSERT_EQUAL(s.records, 3);
    CU_ASSERT_EQUAL(s.offsets[0], 3);
}

static void no_batch_at_all_ends_the_walk(void)
{
    uint8_t log[256] = {0};
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(log, sizeof(log), 0, &s), ERR_CORRUPT);
    uint32_t n = three(log, 0); /* zeros behind a batch: the batch counts */
    CU_ASSERT_EQUAL(walk(log, sizeof(log), 0, &s), n);
    CU_ASSERT_EQUAL(s.records, 3);
}

static void markers_end_transactions(void)
{
    static const uint8_t commit[] = {0, 0, 0, 1}, abort_[] = {0, 0, 0, 0};
    for (int i = 0; i < 2; i++) {
        struct record_item item = {i ? commit : abort_, 4, (const uint8_t *)"\0\0\0\0\0\0", 6};
        uint8_t *p;
        uint32_t n;
        CU_ASSERT_EQUAL_FATAL(record_batch_build(&item, 1, 0, &p, &n), 0);
        bytes_put_u16(p + BATCH_ATTRIBUTES, batch_control | batch_transactional);
        bytes_put_u64(p + BATCH_PRODUCER_ID, 77);
        seal(p, n, 5);
        struct seen s = {0};
        CU_ASSERT_EQUAL(walk(p, n, 0, &s), n);
        CU_ASSERT_EQUAL(s.markers, 1);
        CU_ASSERT_EQUAL(s.records, 0);
        CU_ASSERT_EQUAL(s.producer_id, 77);
        CU_ASSERT_EQUAL(s.committed, i == 1);
        free(p);
    }
}

/* The batch's records through gzip, as a foreign directory may hold them. */
static uint32_t gzip_batch(uint8_t *p, uint32_t n, int64_t base)
{
    uint8_t packed[4096];
    z_stream z = {0};
    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = p + batch_header_bytes;
    z.avail_in = n - batch_header_bytes;
    z.next_out = packed;
    z.avail_out = sizeof(packed);
    CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
    uint32_t bytes = (uint32_t)z.total_out;
    deflateEnd(&z);
    memcpy(p + batch_header_bytes, packed, bytes);
    bytes_put_u16(p + BATCH_ATTRIBUTES, CODEC_GZIP);
    seal(p, batch_header_bytes + bytes, base);
    return batch_header_bytes + bytes;
}

static void compressed_batches_are_read(void)
{
    uint8_t log[2048];
    uint32_t one = gzip_batch(log, three(log, 0), 0);
    uint32_t two = gzip_batch(log + one, three(log + one, 3), 3);
    struct seen s = {0};
    CU_ASSERT_EQUAL(walk(log, one + two, 0, &s), one + two);
    CU_ASSERT_EQUAL_FATAL(s.records, 6);
    CU_ASSERT_EQUAL(s.value_len[3], 5);
    /* a stream that is broken under a right checksum */
    log[batch_header_bytes + 12] ^= 0x55;
    seal(log, one, 0);
    s = (struct seen){0};
    CU_ASSERT_EQUAL(walk(log, one + two, 0, &s), one + two);
    CU_ASSERT_EQUAL(s.corrupt, 1);
    CU_ASSERT_EQUAL(s.records, 3);
}

static void a_visitor_ends_the_walk(void)
{
    uint8_t log[1024];
    uint32_t n = three(log, 0);
    struct seen s = {.stop_after = 2};
    CU_ASSERT_EQUAL(walk(log, n, 0, &s), ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(s.records, 2);
}

/* Bytes changed at random, half the time under a right checksum: nothing is read outside. */
static void noise_is_survived(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    uint32_t told = 0;
    for (int round = 0; round < 20000; round++) {
        uint8_t whole[2048];
        uint32_t one = three(whole, 0), n = one + three(whole + one, 3);
        if (round % 3 == 0)
            n = gzip_batch(whole, one, 0);
        uint32_t changes = 1 + (uint32_t)rng_below(&rng, 4);
        for (uint32_t i = 0; i < changes; i++)
            whole[rng_below(&rng, n)] = (uint8_t)rng_u64(&rng);
        if (round % 2 && round % 3 == 0)
            bytes_put_u32(whole + BATCH_CRC,
                          crc32c(0, whole + BATCH_ATTRIBUTES, n - BATCH_ATTRIBUTES));
        uint8_t *exact = malloc(n);
        memcpy(exact, whole, n);
        struct seen s = {0};
        CU_ASSERT_TRUE(walk(exact, n, 0, &s) <= (int64_t)n);
        told += s.corrupt;
        free(exact);
    }
    CU_ASSERT_TRUE(told > 1000);
}

UNIT_MAIN("control/record_batch", UNIT_CASE(what_is_built_is_read),
          UNIT_CASE(many_records_and_long_ones), UNIT_CASE(a_cut_batch_is_left),
          UNIT_CASE(offsets_below_the_start_are_passed), UNIT_CASE(a_corrupt_batch_is_told_once),
          UNIT_CASE(a_corrupt_record_ends_its_batch_alone),
          UNIT_CASE(no_batch_at_all_ends_the_walk), UNIT_CASE(markers_end_transactions),
          UNIT_CASE(compressed_batches_are_read), UNIT_CASE(a_visitor_ends_the_walk),
          UNIT_CASE(noise_is_survived))
