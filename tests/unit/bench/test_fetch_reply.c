/* fetch_reply: requests that the codec understands, replies of the codec that are understood. */
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "bench/batch.h"
#include "bench/fetch.h"
#include "bench/pack.h"
#include "dataplane/proto/gen/fetch.h"
#include "dataplane/proto/header.h"
#include "tests/unit/core/with_eal.h"

#define topic_text       "a-topic"
#define fetch_key        1
#define version          11
#define frame_max        65536
#define sent_correlation 77

static struct rte_mempool *pool, *refs;
static uint8_t *scratch; /* NULL: compressed batches stay closed */

static struct fetch_ask asked(int64_t offset)
{
    return (struct fetch_ask){.topic = topic_text,
                              .correlation = sent_correlation,
                              .partition = 3,
                              .bytes_max = 4096,
                              .max_wait_ms = 250,
                              .bytes_min = 1,
                              .offset = offset,
                              .scratch = scratch};
}

static void test_request(void)
{
    struct fetch_ask q = asked(1234567890123);
    struct chain out;
    uint8_t frame[512];
    chain_init(&out);
    CU_ASSERT_EQUAL_FATAL(fetch_ask_put(&q, pool, &out), 0);
    uint32_t len = (uint32_t)out.bytes;
    chain_copy_out(&out, 0, frame, len);
    chain_free(&out);
    CU_ASSERT_EQUAL(bytes_get_u32(frame), len - 4);
    struct arena arena;
    struct reader r;
    struct fetch_request got;
    arena_init(&arena, 1 << 16);
    uint32_t body = 4 + 8 + 2 + 12; /* length, key, version, correlation, client id */
    CU_ASSERT_EQUAL(bytes_get_i16(frame + 4), fetch_key);
    CU_ASSERT_EQUAL(bytes_get_i16(frame + 6), version);
    CU_ASSERT_EQUAL(bytes_get_i32(frame + 8), sent_correlation);
    reader_init_memory(&r, frame + body, len - body);
    CU_ASSERT_EQUAL_FATAL(fetch_request_decode(&got, &r, version, &arena), 0);
    CU_ASSERT_EQUAL(got.max_wait_ms, 250);
    CU_ASSERT_EQUAL(got.session_epoch, -1);
    CU_ASSERT_EQUAL_FATAL(got.n_topics, 1);
    CU_ASSERT(str_eq(got.topics[0].topic, str_from(topic_text)));
    CU_ASSERT_EQUAL_FATAL(got.topics[0].n_partitions, 1);
    CU_ASSERT_EQUAL(got.topics[0].partitions[0].partition, 3);
    CU_ASSERT_EQUAL(got.topics[0].partitions[0].fetch_offset, 1234567890123);
    CU_ASSERT_EQUAL(got.topics[0].partitions[0].partition_max_bytes, 4096);
    arena_free(&arena);
}

/* The bytes of a reply with these records, made by the codec; returns its length. */
static uint32_t reply(uint8_t *frame, const uint8_t *records, uint32_t n, int16_t error,
                      uint32_t aborted)
{
    struct fetch_response_aborted_transaction gone[4] = {{1, 2}};
    struct fetch_response_partition p;
    struct fetch_response_topic t;
    struct fetch_response res;
    struct chain held, out;
    fetch_response_init(&res);
    fetch_response_topic_init(&t);
    fetch_response_partition_init(&p);
    chain_init(&held);
    chain_init(&out);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&held, pool, records, n), 0);
    p.partition_index = 3;
    p.error_code = error;
    p.high_watermark = 1000;
    p.aborted_transactions = gone;
    p.n_aborted_transactions = (int32_t)aborted;
    if (n)
        p.records = (struct proto_records){.view = {chain_pos_at(&held, 0), n}};
    t.topic = str_from(topic_text);
    t.partitions = &p;
    t.n_partitions = 1;
    res.responses = &t;
    res.n_responses = 1;
    struct writer w;
    writer_init(&w, pool);
    writer_set_refs(&w, refs);
    writer_i32(&w, sent_correlation);
    fetch_response_encode(&res, &w, version);
    CU_ASSERT_EQUAL_FATAL(writer_finish(&w, &out), 0);
    uint32_t len = (uint32_t)out.bytes;
    CU_ASSERT_FATAL(len <= frame_max);
    chain_copy_out(&out, 0, frame, len);
    chain_free(&out);
    chain_free(&held);
    return len;
}

static int answer(const uint8_t *frame, uint32_t len, uint32_t said, int64_t offset,
                  struct fetch_answer *a)
{
    struct fetch_ask q = asked(offset);
    struct chain rx;
    chain_init(&rx);
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&rx, pool, frame, len), 0);
    int err = len ? fetch_answer_read(&rx, said, &q, FETCH_VERIFY_CONTENTS, a) : ERR_MALFORMED;
    chain_free(&rx);
    return err;
}

/* Two batches of 5 and 7 records at these offsets. */
static uint32_t two_batches(uint8_t *out, int64_t first, int64_t second)
{
    struct rng rng;
    struct bench_batch b;
    uint32_t n = 0;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 2; i++) {
        struct bench_batch_spec spec = {.records = i ? 7 : 5, .value_bytes = 60};
        CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, &spec, 1700000000000, &rng), 0);
        memcpy(out + n, b.bytes, b.len);
        bytes_put_u64(out + n, (uint64_t)(i ? second : first));
        n += b.len;
        bench_batch_free(&b);
    }
    return n;
}

static uint8_t frame[frame_max], records[frame_max];

/* The checksum that a changed batch has now. */
static void checksum_again(uint8_t *batch)
{
    uint32_t len = 12 + bytes_get_u32(batch + bench_batch_length_at);
    bytes_put_u32(batch + bench_batch_crc_at,
                  crc32c(0, batch + bench_batch_covered_at, len - bench_batch_covered_at));
}

static void test_reply(void)
{
    struct fetch_answer a;
    uint32_t n = two_batches(records, 100, 105);
    uint32_t len = reply(frame, records, n, 0, 2);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 102, &a), 0);
    CU_ASSERT_EQUAL(a.error, 0);
    CU_ASSERT_EQUAL(a.batches, 2);
    CU_ASSERT_EQUAL(a.records, 12);
    CU_ASSERT_EQUAL(a.bytes, n);
    CU_ASSERT_EQUAL(a.next_offset, 112);
    CU_ASSERT_EQUAL(a.high_watermark, 1000);
    CU_ASSERT_EQUAL(a.faults, 0);
}

static void test_cut_batch_does_not_count(void)
{
    struct fetch_answer a;
    uint32_t n = two_batches(records, 100, 105);
    uint32_t len = reply(frame, records, n - 1, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
    CU_ASSERT_EQUAL(a.batches, 1);
    CU_ASSERT_EQUAL(a.next_offset, 105);
}

static void test_faults_are_seen(void)
{
    struct fetch_answer a;
    uint32_t n = two_batches(records, 100, 106); /* a hole */
    uint32_t len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
    CU_ASSERT_EQUAL(a.faults, 1);
    n = two_batches(records, 100, 105);
    records[n - 3] ^= 1; /* a flipped bit */
    len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
    CU_ASSERT_EQUAL(a.faults, 2); /* the checksum, and the value's own hash */
    n = two_batches(records, 100, 105);
    len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 99, &a), 0); /* begins behind what was asked */
    CU_ASSERT_EQUAL(a.faults, 1);
}

/* More or fewer offsets than records. */
static void test_counts_are_seen(void)
{
    for (int32_t delta = 3; delta <= 5; delta++) {
        struct fetch_answer a;
        uint32_t n = two_batches(records, 100, 100 + delta + 1);
        bytes_put_u32(records + bench_batch_delta_at, (uint32_t)delta);
        checksum_again(records);
        uint32_t len = reply(frame, records, n, 0, 0);
        CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
        CU_ASSERT_EQUAL(a.faults, delta == 4 ? 0 : 1);
    }
}

/* The first batch may begin before what was asked for, but not end there. */
static void test_batches_below_are_seen(void)
{
    for (int64_t offset = 100; offset <= 106; offset++) {
        struct fetch_answer a;
        uint32_t n = two_batches(records, 100, 105);
        uint32_t len = reply(frame, records, n, 0, 0);
        CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, offset, &a), 0);
        CU_ASSERT_EQUAL(a.faults, offset > 104 ? 1 : 0);
    }
}

static void test_offsets_beyond_all(void)
{
    struct fetch_answer a;
    uint32_t n = two_batches(records, INT64_MAX - 2, 105);
    uint32_t len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL(answer(frame, len, len, 100, &a), ERR_MALFORMED);
    n = two_batches(records, -1, 4);
    len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL(answer(frame, len, len, 0, &a), ERR_MALFORMED);
}

/* Nothing, though there is something: once may happen, again and again may not. */
static void test_nothing_is_seen(void)
{
    struct fetch_answer a = {0}, some = {.batches = 1, .next_offset = 7, .high_watermark = 1000};
    uint32_t empty = 0, len = reply(frame, records, 0, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 999, &a), 0);
    for (int i = 1; i < fetch_empty_max; i++)
        CU_ASSERT_FALSE(fetch_stuck(&empty, &a));
    CU_ASSERT_FALSE(fetch_stuck(&empty, &some));
    for (int i = 1; i < fetch_empty_max; i++)
        CU_ASSERT_FALSE(fetch_stuck(&empty, &a));
    CU_ASSERT(fetch_stuck(&empty, &a));
    CU_ASSERT_FALSE(fetch_stuck(&empty, &a));                    /* told once */
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 1000, &a), 0); /* the end of the log */
    empty = fetch_empty_max - 1;
    CU_ASSERT_FALSE(fetch_stuck(&empty, &a));
    CU_ASSERT_EQUAL(empty, 0);
}

/* A compressed batch of these plain records at offset 100; returns its bytes. */
static uint32_t packed_batch(uint8_t *out, enum pack_codec codec, const uint8_t *head,
                             const uint8_t *plain, size_t n)
{
    size_t len;
    memcpy(out, head, batch_header_bytes);
    CU_ASSERT_EQUAL_FATAL(
        pack(codec, plain, n, out + batch_header_bytes, frame_max - batch_header_bytes, &len), 0);
    bytes_put_u64(out, 100);
    bytes_put_u32(out + bench_batch_length_at, (uint32_t)(batch_header_bytes - 12 + len));
    bytes_put_u16(out + bench_batch_covered_at, (uint16_t)codec);
    checksum_again(out);
    return (uint32_t)(batch_header_bytes + len);
}

/* Values in compressed batches: looked at, unless there is nowhere to open them, which is told. */
static void test_compressed_contents(void)
{
    struct bench_batch_spec spec = {.records = 9, .value_bytes = 60};
    struct bench_batch b;
    struct rng rng;
    rng_seed(&rng, unit_seed());
    CU_ASSERT_EQUAL_FATAL(bench_batch_make(&b, &spec, 1700000000000, &rng), 0);
    uint8_t *plain = b.bytes + batch_header_bytes, *held = scratch;
    for (int codec = PACK_GZIP; codec < PACK_COUNT; codec++)
        for (int step = 0; step < 3; step++) { /* as it is; with a changed value; not opened */
            struct fetch_answer a;
            plain[b.len - batch_header_bytes - 3] ^= step > 0;
            uint32_t n = packed_batch(records, (enum pack_codec)codec, b.bytes, plain,
                                      b.len - batch_header_bytes);
            plain[b.len - batch_header_bytes - 3] ^= step > 0;
            uint32_t len = reply(frame, records, n, 0, 0);
            scratch = step < 2 ? held : NULL;
            CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
            CU_ASSERT_EQUAL(a.faults, step == 1 ? 1 : 0);
            CU_ASSERT_EQUAL(a.unchecked, step == 2 ? 1 : 0);
            CU_ASSERT_EQUAL(a.records, 9);
            scratch = held;
        }
    bench_batch_free(&b);
}

/* At the limit it is opened, and is no record of ours; one byte more is not opened. */
static void test_compressed_limit(void)
{
    uint8_t head[batch_header_bytes] = {0}, *zeros = calloc(1, fetch_plain_bytes_max + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(zeros);
    bytes_put_u32(head + bench_batch_records_at, 1);
    for (uint32_t more = 0; more < 2; more++) {
        struct fetch_answer a;
        uint32_t n =
            packed_batch(records, PACK_ZSTD, head, zeros, (size_t)fetch_plain_bytes_max + more);
        uint32_t len = reply(frame, records, n, 0, 0);
        CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
        CU_ASSERT_EQUAL(a.faults, more ? 0 : 1);
        CU_ASSERT_EQUAL(a.unchecked, more);
    }
    free(zeros);
}

/* A value that was changed, with a batch checksum that fits: only the value's own hash tells. */
static void test_contents_are_seen(void)
{
    struct fetch_answer a;
    uint32_t n = two_batches(records, 100, 105);
    records[n - 3] ^= 1;
    uint32_t at = n - 1, len2;
    for (at = 61; bytes_get_u64(records + at) != 105; at++) /* the second batch */
        ;
    len2 = 12 + bytes_get_u32(records + at + 8);
    CU_ASSERT_EQUAL_FATAL(at + len2, n);
    bytes_put_u32(records + at + 17, crc32c(0, records + at + 21, len2 - 21));
    uint32_t len = reply(frame, records, n, 0, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 100, &a), 0);
    CU_ASSERT_EQUAL(a.faults, 1);
    CU_ASSERT_EQUAL(a.records, 12);
}

/* Lengths and counts that lie, with a checksum that fits: faults or malformed, never a crash. */
static void test_lying_records(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 3000; i++) {
        struct fetch_answer a;
        uint32_t n = two_batches(records, 0, 5);
        for (int k = 0; k < 3; k++)
            records[57 + rng_below(&rng, n - 57)] = (uint8_t)rng_u64(&rng);
        uint32_t len = reply(frame, records, n, 0, 0);
        int err = answer(frame, len, len, 0, &a);
        CU_ASSERT(err == ERR_MALFORMED || a.faults > 0 || a.records == 12 || a.batches < 2);
    }
}

static void test_errors(void)
{
    struct fetch_answer a;
    uint32_t len = reply(frame, records, 0, KERR_OFFSET_OUT_OF_RANGE, 0);
    CU_ASSERT_EQUAL_FATAL(answer(frame, len, len, 5, &a), 0);
    CU_ASSERT_EQUAL(a.error, KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(a.next_offset, 5);
    bytes_put_u32(frame, sent_correlation + 1);
    CU_ASSERT_EQUAL(answer(frame, len, len, 5, &a), ERR_MALFORMED);
}

/* Cut at any byte, with the length told accordingly: malformed, or fewer batches, never a crash. */
static void test_cut_everywhere(void)
{
    uint32_t n = two_batches(records, 0, 5);
    uint32_t len = reply(frame, records, n, 0, 1);
    for (uint32_t cut = 1; cut < len; cut++) {
        struct fetch_answer a = {.batches = 99};
        int err = answer(frame, cut, cut, 0, &a);
        CU_ASSERT(err == ERR_MALFORMED);
        CU_ASSERT_EQUAL(a.batches, 99);
    }
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(test_request),
                                             UNIT_CASE(test_reply),
                                             UNIT_CASE(test_cut_batch_does_not_count),
                                             UNIT_CASE(test_faults_are_seen),
                                             UNIT_CASE(test_counts_are_seen),
                                             UNIT_CASE(test_batches_below_are_seen),
                                             UNIT_CASE(test_offsets_beyond_all),
                                             UNIT_CASE(test_nothing_is_seen),
                                             UNIT_CASE(test_compressed_contents),
                                             UNIT_CASE(test_compressed_limit),
                                             UNIT_CASE(test_contents_are_seen),
                                             UNIT_CASE(test_lying_records),
                                             UNIT_CASE(test_errors),
                                             UNIT_CASE(test_cut_everywhere)};
    with_eal(64);
    pool = with_pool("data", 1023, 1024);
    refs = with_pool("refs", 1023, 0);
    scratch = malloc(fetch_scratch_bytes);
    if (!scratch)
        return 1;
    int status = unit_run("bench/fetch_reply", cases, sizeof(cases) / sizeof(*cases));
    free(scratch);
    return status;
}
