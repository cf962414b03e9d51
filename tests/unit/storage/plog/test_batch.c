/* Every error that a batch from a client can meet, with what Kafka 4.3 answers. */
#include <string.h>

#include "base/crc32c.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

static void up(void)
{
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

/* Down again, after a look that nothing wrong went into the log. */
static void down(int64_t end)
{
    struct plog_marks marks;
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.end, end);
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 1 << 20, true, &read), 0);
    uint32_t at = 0;
    while (at + batch_header_bytes <= read.size) {
        struct batch_header h;
        batch_decode(read.bytes + at, &h);
        if (h.bytes > read.size - at)
            break; /* cut by the read's limit */
        CU_ASSERT_EQUAL_FATAL(
            h.crc, crc32c(0, read.bytes + at + BATCH_ATTRIBUTES, h.bytes - BATCH_ATTRIBUTES));
        at += h.bytes;
    }
    rig_read_free(&read);
    struct cache_stats stats;
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks);
    rig_down(&r);
}

static struct rig_batch good(void)
{
    static const struct rig_record records[] = {
        {0, "k1", "v1", 0, 0}, {5, "k2", "v2", 100, 1}, {3, NULL, NULL, 0, 0}};
    struct rig_batch_spec spec = rig_spec();
    return rig_batch_make(&spec, records, 3);
}

static int16_t try_bytes(const void *bytes, uint32_t n, struct rig_op *op)
{
    struct rig_batch b = {(uint8_t *)(uintptr_t)bytes, n};
    return rig_append(&r, p, &b, op);
}

static void set_i16(uint8_t *at, int v)
{
    bytes_put_u16(at, (uint16_t)v);
}

static void set_i32(uint8_t *at, int32_t v)
{
    bytes_put_u32(at, (uint32_t)v);
}

static void set_i64(uint8_t *at, int64_t v)
{
    bytes_put_u64(at, (uint64_t)v);
}

/* What a case does to a good batch; sealed: the checksum is made right afterwards. */
struct header_case {
    const char *name;
    enum batch_field field;
    uint32_t bytes;
    int64_t value;
    bool sealed;
    int16_t error;
    bool start_known; /* Kafka's answer carries the log start offset */
};

static const struct header_case header_cases[] = {
    {"magic 0", BATCH_MAGIC, 1, 0, true, KERR_INVALID_RECORD, false},
    {"magic 1", BATCH_MAGIC, 1, 1, true, KERR_INVALID_RECORD, false},
    {"magic 3", BATCH_MAGIC, 1, 3, true, KERR_CORRUPT_MESSAGE, false},
    {"magic -1", BATCH_MAGIC, 1, 255, true, KERR_CORRUPT_MESSAGE, false},
    {"length 13", BATCH_LENGTH, 4, 13, false, KERR_CORRUPT_MESSAGE, false},
    {"length -1", BATCH_LENGTH, 4, -1, false, KERR_CORRUPT_MESSAGE, false},
    {"length past the end", BATCH_LENGTH, 4, 100000, false, KERR_INVALID_RECORD, false},
    {"length 2^31-1", BATCH_LENGTH, 4, INT32_MAX, false, KERR_INVALID_RECORD, false},
    {"length shorter than a header", BATCH_LENGTH, 4, 20, false, KERR_CORRUPT_MESSAGE, false},
    {"checksum", BATCH_CRC, 4, 12345, false, KERR_CORRUPT_MESSAGE, false},
    {"base offset 1", BATCH_BASE_OFFSET, 8, 1, true, KERR_INVALID_RECORD, true},
    {"base offset -1", BATCH_BASE_OFFSET, 8, -1, true, KERR_INVALID_RECORD, true},
    {"codec 5", BATCH_ATTRIBUTES, 2, 5, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"codec 7", BATCH_ATTRIBUTES, 2, 7, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"control batch", BATCH_ATTRIBUTES, 2, batch_control, true, KERR_INVALID_RECORD, true},
    {"said to be gzip", BATCH_ATTRIBUTES, 2, CODEC_GZIP, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"said to be snappy", BATCH_ATTRIBUTES, 2, CODEC_SNAPPY, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"said to be LZ4", BATCH_ATTRIBUTES, 2, CODEC_LZ4, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"said to be zstd", BATCH_ATTRIBUTES, 2, CODEC_ZSTD, true, KERR_UNKNOWN_SERVER_ERROR, true},
    {"count 0", BATCH_COUNT, 4, 0, true, KERR_INVALID_RECORD, true},
    {"count -1", BATCH_COUNT, 4, -1, true, KERR_INVALID_RECORD, true},
    {"count too small", BATCH_COUNT, 4, 2, true, KERR_INVALID_RECORD, true},
    {"count too large", BATCH_COUNT, 4, 4, true, KERR_INVALID_RECORD, true},
    {"count 10^9", BATCH_COUNT, 4, 1000000000, true, KERR_INVALID_RECORD, true},
    {"last delta -1", BATCH_LAST_DELTA, 4, -1, true, KERR_INVALID_RECORD, true},
    {"last delta too large", BATCH_LAST_DELTA, 4, 9, true, KERR_INVALID_RECORD, true},
    {"last delta 2^31-1", BATCH_LAST_DELTA, 4, INT32_MAX, true, KERR_INVALID_RECORD, true},
    {"producer without sequence", BATCH_PRODUCER_ID, 8, 5, true, KERR_INVALID_RECORD, true},
};

static void test_header_fields(void)
{
    up();
    for (size_t i = 0; i < sizeof(header_cases) / sizeof(header_cases[0]); i++) {
        const struct header_case *c = &header_cases[i];
        struct rig_batch b = good();
        struct rig_op op;
        uint8_t *at = b.bytes + c->field;
        if (c->bytes == 1)
            *at = (uint8_t)c->value;
        else if (c->bytes == 2)
            set_i16(at, (int)c->value);
        else if (c->bytes == 4)
            set_i32(at, (int32_t)c->value);
        else
            set_i64(at, c->value);
        if (c->sealed)
            rig_batch_seal(&b);
        int16_t error = rig_append(&r, p, &b, &op);
        if (error != c->error)
            printf("%s: %s instead of %s\n", c->name, kerr_name(error), kerr_name(c->error));
        CU_ASSERT_EQUAL(error, c->error);
        CU_ASSERT_EQUAL(op.append.base_offset, -1);
        CU_ASSERT_EQUAL(op.append.log_start_offset, c->start_known ? 0 : -1);
        CU_ASSERT_EQUAL(op.append.record_error_count, 0);
        rig_batch_free(&b);
    }
    /* both count and last delta lie, in agreement */
    for (int n = 1; n < 6; n++) {
        struct rig_batch b = good();
        struct rig_op op;
        set_i32(b.bytes + BATCH_COUNT, n);
        set_i32(b.bytes + BATCH_LAST_DELTA, n - 1);
        rig_batch_seal(&b);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), n == 3 ? 0 : KERR_INVALID_RECORD);
        rig_batch_free(&b);
    }
    down(3);
}

/* Only max.message.bytes is a limit below batch_bytes_max. What is not the header is not looked at. */
static void test_largest(void)
{
    struct batch_rules rules = {.from_client = true, .max_bytes = INT32_MAX};
    struct batch_header h;
    uint8_t raw[batch_header_bytes];
    bool marks_known;
    up();
    struct rig_batch b = good();
    struct chain chain;
    for (int over = 0; over < 2; over++) {
        uint32_t bytes = (uint32_t)batch_bytes_max + (uint32_t)over;
        int16_t want = over ? KERR_MESSAGE_TOO_LARGE : 0;
        bytes_put_u32(b.bytes + BATCH_LENGTH, bytes - batch_overhead_bytes);
        rig_chain(&r, b.bytes, b.size, &chain);
        struct chain_view view = {chain_pos_at(&chain, 0), bytes};
        CU_ASSERT_EQUAL(batch_check(view, &rules, raw, &h, &marks_known), want);
        rules.max_bytes = bytes - 1;
        CU_ASSERT_EQUAL(batch_check(view, &rules, raw, &h, &marks_known), KERR_MESSAGE_TOO_LARGE);
        rules.max_bytes = INT32_MAX;
        chain_free(&chain);
    }
    rig_batch_free(&b);
    down(0);
}

/* A batch cut short at every byte, and more than one batch. */
static void test_lengths(void)
{
    struct rig_op op;
    up();
    struct rig_batch b = good();
    for (uint32_t n = 0; n < b.size; n++)
        CU_ASSERT_EQUAL(try_bytes(b.bytes, n, &op), KERR_INVALID_RECORD);
    uint8_t two[4096];
    memcpy(two, b.bytes, b.size);
    memcpy(two + b.size, b.bytes, b.size);
    CU_ASSERT_EQUAL(try_bytes(two, b.size * 2, &op), KERR_INVALID_RECORD);
    /* what is no whole batch behind the first one is dropped, as Kafka does */
    CU_ASSERT_EQUAL(try_bytes(two, b.size * 2 - 1, &op), 0);
    CU_ASSERT_EQUAL(try_bytes(two, b.size + 5, &op), 0);
    memset(two + b.size, 0, 100);
    CU_ASSERT_EQUAL(try_bytes(two, b.size + 11, &op), 0);
    CU_ASSERT_EQUAL(try_bytes(two, b.size + 12, &op), KERR_CORRUPT_MESSAGE);
    rig_batch_free(&b);
    down(9);
}

static void test_sizes(void)
{
    struct rig_op op;
    up();
    struct rig_batch b = good();
    struct plog_config c = rig_config();
    c.max_message_bytes = b.size - 1;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_MESSAGE_TOO_LARGE);
    CU_ASSERT_EQUAL(op.append.log_start_offset, -1);
    c.max_message_bytes = b.size;
    c.segment_bytes = b.size - 1;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_RECORD_LIST_TOO_LARGE);
    c.segment_bytes = b.size;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    /* more than half of the log memory can never be had */
    struct rig_batch_spec spec = rig_spec();
    struct rig_record big = {0, "k", "v", 40 * tail_chunk_bytes, 0};
    b = rig_batch_make(&spec, &big, 1);
    c = rig_config();
    c.max_message_bytes = INT32_MAX;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_MESSAGE_TOO_LARGE);
    CU_ASSERT_PTR_NOT_NULL_FATAL(op.append.error_message);
    CU_ASSERT_PTR_NOT_NULL(strstr(op.append.error_message, "sluice.memory"));
    rig_batch_free(&b);
    down(3);
}

/*
 * Bytes of a plain record section changed one by one: never accepted with a structure that does not
 * parse.
 */
static void test_record_structure(void)
{
    struct rig_op op;
    up();
    int accepted = 0, refused = 0;
    struct rig_batch b = good();
    for (uint32_t at = batch_header_bytes; at < b.size; at++) {
        uint8_t before = b.bytes[at];
        for (int k = 0; k < 3; k++) {
            b.bytes[at] = k == 0 ? 0xff : k == 1 ? (uint8_t)(before ^ 1) : (uint8_t)(before + 2);
            rig_batch_seal(&b);
            int16_t error = rig_append(&r, p, &b, &op);
            CU_ASSERT(error == 0 || error == KERR_INVALID_RECORD ||
                      error == KERR_INVALID_TIMESTAMP);
            accepted += error == 0;
            refused += error != 0;
        }
        b.bytes[at] = before;
    }
    CU_ASSERT(accepted > 50 && refused > 30);
    rig_batch_free(&b);
    down(3 * accepted);
}

static void test_offset_deltas(void)
{
    struct rig_op op;
    up();
    /* one record: length, attributes, timestamp delta, then the offset delta */
    struct rig_batch b = good();
    CU_ASSERT_EQUAL_FATAL(b.bytes[batch_header_bytes + 3], 0);
    for (int delta = 1; delta < 100; delta++) {
        b.bytes[batch_header_bytes + 3] = (uint8_t)delta;
        rig_batch_seal(&b);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_INVALID_RECORD);
    }
    rig_batch_free(&b);
    down(0);
}

static void test_zstd_before_version_7(void)
{
    struct rig_op op = {0};
    up();
    struct rig_batch_spec spec = rig_spec();
    spec.codec = CODEC_ZSTD;
    struct rig_batch b = rig_batch_random(&r, &spec, 3, 50);
    struct chain chain;
    rig_chain(&r, b.bytes, b.size, &chain);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(op.append.error, 0);
    op.done = false;
    op.append.zstd_refused = true;
    op.append.records = (struct chain_view){chain_pos_at(&chain, 0), b.size};
    CU_ASSERT_EQUAL(plog_append(p, &op.append), 0);
    CU_ASSERT_EQUAL(op.append.error, KERR_UNSUPPORTED_COMPRESSION_TYPE);
    chain_free(&chain);
    rig_batch_free(&b);
    down(3);
}

static int16_t append_at(int64_t timestamp, struct rig_op *op)
{
    struct rig_record records[2] = {{0, "a", "b", 0, 0},
                                    {timestamp - rig_wall_ms, "c", "dd", 0, 0}};
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_make(&spec, records, 2);
    int16_t error = rig_append(&r, p, &b, op);
    rig_batch_free(&b);
    return error;
}

static void test_timestamps(void)
{
    struct rig_op op;
    up();
    struct plog_config c = rig_config();
    c.timestamp_before_max_ms = 1000;
    c.timestamp_after_max_ms = 2000;
    plog_configure(p, &c);
    CU_ASSERT_EQUAL(append_at(rig_wall_ms - 1000, &op), 0);
    CU_ASSERT_EQUAL(op.append.log_append_time_ms, -1);
    CU_ASSERT_EQUAL(append_at(rig_wall_ms + 2000, &op), 0);
    CU_ASSERT_EQUAL(append_at(-1, &op), 0); /* no timestamp */
    CU_ASSERT_EQUAL(append_at(rig_wall_ms - 1001, &op), KERR_INVALID_TIMESTAMP);
    CU_ASSERT_EQUAL(op.append.record_error_count, 1);
    CU_ASSERT_EQUAL(op.append.record_errors[0].index, 1);
    CU_ASSERT_STRING_EQUAL(op.append.record_errors[0].message,
                           "Timestamp 1699999998999 of message with offset 1 is out of range. The "
                           "timestamp should be within [1699999999000, 1700000002000]");
    CU_ASSERT_STRING_EQUAL(op.append.error_message,
                           "One or more records have been rejected due to invalid timestamp");
    CU_ASSERT_EQUAL(op.append.log_start_offset, 0);
    CU_ASSERT_EQUAL(append_at(rig_wall_ms + 2001, &op), KERR_INVALID_TIMESTAMP);
    CU_ASSERT_EQUAL(append_at(INT64_MAX, &op), KERR_INVALID_TIMESTAMP);
    down(6);
}

/*
 * The client's largest timestamp in the header is made right, with the checksum (looked at by
 * down).
 */
static void test_max_timestamp_is_corrected(void)
{
    struct rig_op op;
    struct rig_read read;
    up();
    struct rig_batch b = good();
    set_i64(b.bytes + BATCH_MAX_TIMESTAMP, rig_wall_ms + 999);
    rig_batch_seal(&b);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 4096, true, &read), 0);
    struct batch_header h;
    batch_decode(read.bytes, &h);
    CU_ASSERT_EQUAL(h.max_timestamp, rig_wall_ms + 5);
    rig_read_free(&read);
    rig_batch_free(&b);
    down(3);
}

static void test_log_append_time(void)
{
    struct rig_op op;
    struct rig_read read;
    struct batch_header h;
    up();
    struct plog_config c = rig_config();
    c.timestamp_type = PLOG_LOG_APPEND_TIME;
    c.timestamp_before_max_ms = 0;
    plog_configure(p, &c);
    rig_sleep(&r, 777);
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct rig_batch_spec spec = rig_spec();
        spec.codec = (enum batch_codec)codec;
        struct rig_batch b = rig_batch_random(&r, &spec, 5, 30000);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        CU_ASSERT_EQUAL(op.append.log_append_time_ms, rig_wall_ms + 777);
        CU_ASSERT_EQUAL(rig_read(&r, p, op.append.base_offset, 1, true, &read), 0);
        batch_decode(read.bytes, &h);
        CU_ASSERT_EQUAL(h.attributes, batch_log_append_time | codec);
        CU_ASSERT_EQUAL(h.max_timestamp, rig_wall_ms + 777);
        rig_read_free(&read);
        /* a producer may not claim that type itself */
        set_i16(b.bytes + BATCH_ATTRIBUTES, batch_log_append_time | codec);
        rig_batch_seal(&b);
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_INVALID_TIMESTAMP);
        CU_ASSERT_EQUAL(op.append.record_error_count, 5);
        CU_ASSERT_EQUAL(op.append.log_append_time_ms, -1);
        rig_batch_free(&b);
    }
    down(5 * CODEC_COUNT);
}

static void test_compacted_needs_keys(void)
{
    struct rig_op op;
    up();
    struct plog_config c = rig_config();
    c.cleanup_compact = true;
    plog_configure(p, &c);
    struct rig_record records[40];
    for (int i = 0; i < 40; i++)
        records[i] = (struct rig_record){0, i % 2 ? NULL : "key", "value", 0, 0};
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_make(&spec, records, 40);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_INVALID_RECORD);
    CU_ASSERT_EQUAL(op.append.record_error_count, plog_record_errors_max);
    CU_ASSERT_EQUAL(op.append.record_errors[2].index, 5);
    CU_ASSERT_STRING_EQUAL(
        op.append.record_errors[2].message,
        "Compacted topic cannot accept message without key in topic partition topic-0");
    CU_ASSERT_STRING_EQUAL(
        op.append.error_message,
        "One or more records have been rejected due to 20 record errors in total, and only showing "
        "the first three errors at most: ["
        "RecordError(batchIndex=1, message='Compacted topic cannot accept message without key in "
        "topic partition topic-0'), "
        "RecordError(batchIndex=3, message='Compacted topic cannot accept message without key in "
        "topic partition topic-0'), "
        "RecordError(batchIndex=5, message='Compacted topic cannot accept message without key in "
        "topic partition topic-0')]");
    rig_batch_free(&b);
    records[0].key = "";
    b = rig_batch_make(&spec, records, 1); /* an empty key is one */
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    down(1);
}

/* Records that lie across chunk ends at every possible place. */
static void test_straddling_chunks(void)
{
    struct rig_op op;
    up();
    struct plog_config c = rig_config();
    c.max_message_bytes = 1 << 22;
    plog_configure(p, &c);
    int64_t next = 0;
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct rig_batch_spec spec = rig_spec();
        spec.codec = (enum batch_codec)codec;
        for (int i = 0; i < 60; i++) {
            uint32_t n = 1 + (uint32_t)rng_below(&r.rng, 60);
            struct rig_batch b = rig_batch_random(&r, &spec, n, (uint32_t)rng_below(&r.rng, 3000));
            CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
            CU_ASSERT_EQUAL(op.append.base_offset, next);
            next += n;
            rig_batch_free(&b);
        }
    }
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 3, 250000); /* over many chunks */
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    down(next + 3);
}

UNIT_MAIN("plog/batch", UNIT_CASE(test_header_fields), UNIT_CASE(test_lengths),
          UNIT_CASE(test_sizes), UNIT_CASE(test_largest), UNIT_CASE(test_record_structure),
          UNIT_CASE(test_offset_deltas), UNIT_CASE(test_zstd_before_version_7),
          UNIT_CASE(test_timestamps), UNIT_CASE(test_max_timestamp_is_corrected),
          UNIT_CASE(test_log_append_time), UNIT_CASE(test_compacted_needs_keys),
          UNIT_CASE(test_straddling_chunks))
