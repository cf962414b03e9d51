/*
 * Offsets by timestamp, against a plain search over what was appended. Allocations of the look-up are wrapped by
 * the linker, so that they fail when a test says so.
 */
#include <string.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

#define records_max 4000

static struct rig r;
static struct plog *p;
static int64_t timestamps[records_max]; /* by offset */
static int64_t end, start;

static void on_found(struct plog_time_lookup *l)
{
    *(bool *)l->state = true;
}

static struct plog_time_lookup find(int64_t timestamp)
{
    bool done = false;
    struct plog_time_lookup l = {.timestamp_ms = timestamp, .done = on_found, .state = &done};
    plog_time_lookup(p, &l);
    rig_settle(&r);
    CU_ASSERT_TRUE(done);
    return l;
}

static void append(uint32_t n, enum batch_codec codec)
{
    struct rig_record records[32];
    struct rig_op op;
    for (uint32_t i = 0; i < n; i++) {
        timestamps[end] = rig_wall_ms + end * 3 + (int64_t)rng_below(&r.rng, 60);
        records[i] = (struct rig_record){timestamps[end] - rig_wall_ms, "key", "value", 200, 0};
        end++;
    }
    struct rig_batch_spec spec = rig_spec();
    spec.codec = codec;
    struct rig_batch b = rig_batch_make(&spec, records, n);
    CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
}

/*
 * As Kafka finds it: the first segment whose largest timestamp is large enough, in it the first
 * such record. Segments are in offset order, so that is the first such record at all.
 */
static int64_t expected(int64_t timestamp)
{
    for (int64_t i = start; i < end; i++)
        if (timestamps[i] >= timestamp)
            return i;
    return -1;
}

static void check_all(void)
{
    for (int i = 0; i < 120; i++) {
        int64_t t = rig_wall_ms - 100 + (int64_t)rng_below(&r.rng, (uint64_t)end * 3 + 300);
        struct plog_time_lookup l = find(t);
        CU_ASSERT_EQUAL(l.error, 0);
        int64_t want = expected(t);
        if (l.offset != want)
            printf("%lld instead of %lld\n", (long long)l.offset, (long long)want);
        CU_ASSERT_EQUAL(l.offset, want);
        CU_ASSERT_EQUAL(l.found_timestamp_ms, want < 0 ? -1 : timestamps[want]);
        CU_ASSERT_EQUAL(l.leader_epoch, want < 0 ? -1 : 0);
    }
    int64_t newest = start;
    for (int64_t i = start; i < end; i++)
        if (timestamps[i] > timestamps[newest])
            newest = i;
    struct plog_time_lookup l = find(PLOG_TIME_MAX);
    CU_ASSERT_EQUAL(l.error, 0);
    CU_ASSERT_EQUAL(l.found_timestamp_ms, end > start ? timestamps[newest] : -1);
    CU_ASSERT_EQUAL(l.offset, end > start ? newest : -1);
}

static void test_lookups(void)
{
    end = start = 0;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.segment_bytes = 30000;
    r.config.index_interval_bytes = 1000;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_EQUAL(find(rig_wall_ms).offset, -1);
    CU_ASSERT_EQUAL(find(PLOG_TIME_MAX).offset, -1);
    for (int i = 0; i < 100; i++)
        append(1 + (uint32_t)rng_below(&r.rng, 20), (enum batch_codec)(i % CODEC_COUNT));
    check_all();
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, true, NULL); /* sealed segments are closed now */
    check_all();
    int64_t low;
    start = end / 2;
    CU_ASSERT_EQUAL(plog_delete_records(p, start, &low), 0);
    rig_settle(&r);
    /* the segment that holds the log start has older records too: they are not the answer */
    struct plog_time_lookup l = find(timestamps[start]);
    CU_ASSERT(l.offset >= start);
    rig_crash(&r, p, SIM_POWER_CUT);
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, 0, start, &p), 0);
    plog_attach(p, &r.env);
    for (int64_t i = end - 30; i < end; i++)
        CU_ASSERT_EQUAL(find(timestamps[i]).offset, expected(timestamps[i]));
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

/* A record that is appended but not durable is not found. */
static void test_not_before_it_is_visible(void)
{
    struct rig_op op;
    end = start = 0;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    append(3, CODEC_NONE);
    struct rig_record record = {50000, "k", "v", 0, 0};
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &op), 0);
    bool done = false;
    struct plog_time_lookup l = {
        .timestamp_ms = rig_wall_ms + 50000, .done = on_found, .state = &done};
    plog_time_lookup(p, &l);
    rig_settle(&r);
    CU_ASSERT_TRUE(done && op.done);
    CU_ASSERT_EQUAL(l.offset, -1);
    CU_ASSERT_EQUAL(find(rig_wall_ms + 50000).offset, 3);
    rig_batch_free(&b);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

/* ---- want of memory ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
int __real_unzip_new(struct unzip **out);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
int __wrap_unzip_new(struct unzip **out);

static size_t denied_bytes; /* 0: nothing is; allocations of so many bytes are refused */
static bool calloc_denied;  /* the next one */
static bool unzip_denied;

void *__wrap_malloc(size_t n)
{
    return n == denied_bytes && n > 0 ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    if (calloc_denied) {
        calloc_denied = false;
        return NULL;
    }
    return __real_calloc(count, n);
}

int __wrap_unzip_new(struct unzip **out)
{
    return unzip_denied ? ERR_NO_MEMORY : __real_unzip_new(out);
}

/* Neither the log nor its disk is to blame: who asks again gets the answer. */
static void expect_again(void)
{
    int64_t t = timestamps[end / 2];
    struct plog_time_lookup l = find(t);
    CU_ASSERT_EQUAL(l.error, KERR_OFFSET_NOT_AVAILABLE);
    CU_ASSERT_EQUAL(l.offset, -1);
    CU_ASSERT_EQUAL(r.disk_errors, 0);
    CU_ASSERT_FALSE(p->failed);
    denied_bytes = 0;
    unzip_denied = false;
    l = find(t);
    CU_ASSERT_EQUAL(l.error, 0);
    CU_ASSERT_EQUAL(l.offset, expected(t));
}

static void test_want_of_memory(void)
{
    end = start = 0;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    for (int i = 0; i < 20; i++)
        append(10, CODEC_ZSTD);
    denied_bytes = 64 * KIB; /* what of a batch is read at once */
    expect_again();
    unzip_denied = true;
    expect_again();
    io_sim_fail(&r.sim, SIM_OPEN, 1, ERR_FULL); /* too many open files */
    expect_again();
    io_sim_fail(&r.sim, SIM_PREAD, 1, ERR_NO_MEMORY);
    expect_again();
    calloc_denied = true; /* the look-up itself */
    expect_again();
    check_all();
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

/* A batch of many pieces of the buffer that it is read through, plain and compressed. */
static void test_large_batches(void)
{
    static const enum batch_codec codecs[] = {CODEC_NONE, CODEC_LZ4};
    enum { n = 30 };
    struct rig_record records[n];
    struct rig_op op;
    end = start = 0;
    rig_up(&r, unit_seed(), 256, PLOG_FSYNC);
    r.config.max_message_bytes = 8 * MIB;
    p = rig_open(&r, true, NULL);
    for (int c = 0; c < 2; c++) {
        struct rig_batch_spec spec = rig_spec();
        spec.codec = codecs[c];
        for (int i = 0; i < n; i++) {
            timestamps[end] = rig_wall_ms + end * 10;
            records[i] = (struct rig_record){end++ * 10, "key", "value",
                                             (uint32_t)rng_below(&r.rng, 50000), 0};
        }
        struct rig_batch b = rig_batch_make(&spec, records, n);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    check_all();
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

static void test_log_append_time(void)
{
    end = start = 0;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.timestamp_type = PLOG_LOG_APPEND_TIME;
    p = rig_open(&r, true, NULL);
    for (int i = 0; i < 5; i++) {
        append(4, CODEC_LZ4);
        rig_sleep(&r, 1000);
    }
    CU_ASSERT_EQUAL(find(rig_wall_ms).offset, 0);
    CU_ASSERT_EQUAL(find(rig_wall_ms + 1).offset, 4);
    CU_ASSERT_EQUAL(find(rig_wall_ms + 4000).offset, 16);
    CU_ASSERT_EQUAL(find(rig_wall_ms + 4001).offset, -1);
    CU_ASSERT_EQUAL(find(PLOG_TIME_MAX).offset, 16);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

UNIT_MAIN("plog/lookup", UNIT_CASE(test_lookups), UNIT_CASE(test_not_before_it_is_visible),
          UNIT_CASE(test_log_append_time), UNIT_CASE(test_want_of_memory),
          UNIT_CASE(test_large_batches))
