/* What is odd and no damage: clocks that jump, segments that are missing. */
#include <string.h>

#include "tests/unit/storage/plog/rig.h"

#define year_ms (365LL * 24 * 3600 * 1000)
#define dir     rig_dir "/topic-0/"

static struct rig r;
static struct plog *p;

static int16_t append(struct rig_op *op)
{
    struct rig_batch_spec spec = rig_spec();
    struct rig_record record = {.value = "odd", .value_bytes = 3000};
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    int16_t error = rig_append(&r, p, &b, op);
    rig_batch_free(&b);
    return error;
}

static void up(void)
{
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.segment_bytes = 8000;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void down(void)
{
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

/* The wall clock jumps by years, both ways: offsets stay dense, and every record is read. */
static void test_clock_jumps(void)
{
    static const int64_t jumps[] = {-20 * year_ms, 50 * year_ms, -30 * year_ms, 1, -1};
    struct rig_op op;
    struct rig_read read;
    int64_t next = 0;
    up();
    r.config.timestamp_type = PLOG_LOG_APPEND_TIME;
    r.config.segment_ms = 3600 * 1000;
    plog_configure(p, &r.config);
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        r.wall_ms += jumps[i];
        for (int k = 0; k < 3; k++) {
            CU_ASSERT_EQUAL(append(&op), 0);
            CU_ASSERT_EQUAL(op.append.base_offset, next++);
            CU_ASSERT_EQUAL(op.append.log_append_time_ms, r.wall_ms);
        }
    }
    for (int64_t at = 0; at < next; at++) {
        CU_ASSERT_EQUAL(rig_read(&r, p, at, 100, true, &read), 0);
        CU_ASSERT(read.size > 0);
        rig_read_free(&read);
    }
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, false, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_EQUAL(append(&op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, next);
    down();
}

/* As Kafka: a reader of what is missing gets what follows, and nothing else is touched. */
static void test_segment_missing(void)
{
    struct rig_op op;
    struct rig_read read;
    struct plog_marks before, after;
    up();
    for (int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(append(&op), 0);
    plog_marks(p, &before);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "00000000000000000004.log"), 0);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    plog_marks(p, &after);
    CU_ASSERT_EQUAL(after.log_start, 0);
    CU_ASSERT_EQUAL(after.end, before.end);
    CU_ASSERT_EQUAL(rig_read(&r, p, 4, 100, true, &read), 0);
    CU_ASSERT_FATAL(read.size >= 8);
    CU_ASSERT_EQUAL(bytes_get_u64(read.bytes), 6); /* the next segment's first batch */
    rig_read_free(&read);
    CU_ASSERT_EQUAL(append(&op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, before.end);
    down();
}

UNIT_MAIN("storage/plog/odd", UNIT_CASE(test_clock_jumps), UNIT_CASE(test_segment_missing))
