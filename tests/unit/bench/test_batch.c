/* batch: what the load sends is a batch that the log takes, plain and compressed, stamped or not. */
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "storage/plog/batch.h"
#include "storage/plog/decompress.h"
#include "storage/plog/validate.h"
#include "tests/unit/core/with_eal.h"

#define wall_ms 1700000000000

static struct rte_mempool *pool;
static struct rng rng;

static void check_records(const struct bench_batch *b, const struct batch_header *h)
{
    struct validate_rules rules = {
        .now_ms = wall_ms, .before_max_ms = INT64_MAX, .after_max_ms = 3600000};
    struct validate_result out;
    struct reader in, *records = &in;
    struct unzip *unzip = NULL;
    reader_init(&in, b->bytes + batch_header_bytes, b->len - batch_header_bytes);
    if (batch_codec(h) != CODEC_NONE) {
        CU_ASSERT_EQUAL_FATAL(unzip_new(&unzip), 0);
        records = unzip_open(unzip, batch_codec(h), &in);
    }
    CU_ASSERT_EQUAL(validate_records(records, h, &rules, &out), 0);
    CU_ASSERT_EQUAL(out.error_count, 0);
    unzip_free(unzip);
}

static void check_one(const struct bench_batch_spec *spec)
{
    struct bench_batch b;
    CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, spec, wall_ms, &rng), 0);
    CU_ASSERT_EQUAL(b.records, spec->records);
    struct chain c;
    chain_init(&c);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&c, pool, b.bytes, b.len), 0);
    struct batch_rules rules = {.from_client = true, .max_bytes = 1 << 20};
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    bool marks;
    CU_ASSERT_EQUAL(
        batch_check((struct chain_view){chain_pos_at(&c, 0), b.len}, &rules, raw, &h, &marks), 0);
    CU_ASSERT_EQUAL(batch_check_fields(&h, true), 0);
    CU_ASSERT_EQUAL(h.last_delta, (int32_t)spec->records - 1);
    CU_ASSERT_EQUAL(h.crc, crc32c(0, b.bytes + BATCH_ATTRIBUTES, b.len - BATCH_ATTRIBUTES));
    CU_ASSERT_EQUAL((int)batch_codec(&h), (int)spec->codec);
    check_records(&b, &h);
    chain_free(&c);
    bench_batch_free(&b);
}

static void test_batches(void)
{
    static const struct bench_batch_spec specs[] = {
        {.records = 1},
        {.records = 1, .value_bytes = 100},
        {.records = 150, .value_bytes = 100},
        {.records = 600, .value_bytes = 100},
        {.records = 1, .value_bytes = 100000},
        {.records = 200, .value_bytes = 100, .value_spread = SPREAD_UNIFORM},
        {.records = 200, .value_bytes = 100, .value_spread = SPREAD_EXPONENTIAL},
    };
    for (size_t i = 0; i < sizeof(specs) / sizeof(*specs); i++)
        check_one(&specs[i]);
}

static void test_codecs(void)
{
    for (int codec = PACK_NONE; codec < PACK_COUNT; codec++)
        for (uint32_t value = 0; value < 3000; value = value * 7 + 5)
            for (uint32_t random = 1; random <= 100; random += 33) {
                struct bench_batch_spec spec = {.records = 90,
                                                .value_bytes = value,
                                                .codec = (enum pack_codec)codec,
                                                .random_pct = random};
                check_one(&spec);
            }
}

static void test_compression_makes_it_smaller(void)
{
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++) {
        struct bench_batch_spec spec = {
            .records = 100, .value_bytes = 100, .codec = (enum pack_codec)codec, .random_pct = 20};
        struct bench_batch b;
        CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, &spec, wall_ms, &rng), 0);
        CU_ASSERT(b.len < 6000);
        bench_batch_free(&b);
    }
}

/* The checksum of a stamped header is what a pass over the whole batch would give. */
static void test_stamp(void)
{
    struct bench_batch_spec spec = {.records = 20, .value_bytes = 50};
    struct bench_batch b;
    CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, &spec, wall_ms, &rng), 0);
    for (int i = 0; i < 100; i++) {
        uint8_t header[batch_header_bytes];
        struct batch_header h;
        int64_t id = (int64_t)(rng_u64(&rng) >> 1);
        int32_t sequence = (int32_t)rng_below(&rng, INT32_MAX);
        bench_batch_stamp(&b, id, (int16_t)i, sequence, header);
        batch_decode(header, &h);
        CU_ASSERT_EQUAL(h.producer_id, id);
        CU_ASSERT_EQUAL(h.producer_epoch, i);
        CU_ASSERT_EQUAL(h.base_sequence, sequence);
        uint32_t crc = crc32c(0, header + BATCH_ATTRIBUTES, batch_header_bytes - BATCH_ATTRIBUTES);
        CU_ASSERT_EQUAL(h.crc,
                        crc32c(crc, b.bytes + batch_header_bytes, b.len - batch_header_bytes));
    }
    bench_batch_free(&b);
}

static void test_spreads(void)
{
    uint64_t uniform = 0, exponential = 0;
    for (int i = 0; i < 20000; i++) {
        uint32_t u = spread_draw(SPREAD_UNIFORM, 100, &rng);
        uint32_t e = spread_draw(SPREAD_EXPONENTIAL, 100, &rng);
        CU_ASSERT_EQUAL(spread_draw(SPREAD_FIXED, 100, &rng), 100);
        CU_ASSERT(u >= 1 && u <= 200);
        CU_ASSERT(e >= 1 && e <= 1000);
        uniform += u;
        exponential += e;
    }
    CU_ASSERT(uniform > 20000 * 97 && uniform < 20000 * 104);
    CU_ASSERT(exponential > 20000 * 95 && exponential < 20000 * 105);
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(test_batches), UNIT_CASE(test_codecs),
                                             UNIT_CASE(test_compression_makes_it_smaller),
                                             UNIT_CASE(test_stamp), UNIT_CASE(test_spreads)};
    with_eal(64);
    pool = with_pool("data", 1023, 1024);
    rng_seed(&rng, unit_seed());
    return unit_run("bench/batch", cases, sizeof(cases) / sizeof(*cases));
}
