/* Idempotent producers through the log: duplicates, gaps, restarts. */
#include <string.h>

#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

static void up(enum plog_durability durability)
{
    rig_up(&r, unit_seed(), 64, durability);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static struct rig_batch make(int64_t id, int16_t epoch, int32_t sequence, uint32_t n)
{
    struct rig_batch_spec spec = rig_spec();
    spec.producer_id = id;
    spec.producer_epoch = epoch;
    spec.base_sequence = sequence;
    return rig_batch_random(&r, &spec, n, 30);
}

static int16_t append(int64_t id, int16_t epoch, int32_t sequence, uint32_t n, struct rig_op *op)
{
    struct rig_batch b = make(id, epoch, sequence, n);
    int16_t error = rig_append(&r, p, &b, op);
    rig_batch_free(&b);
    return error;
}

static void test_rules(void)
{
    struct rig_op op;
    up(PLOG_FSYNC);
    CU_ASSERT_EQUAL(append(9, 0, 0, 3, &op), 0);
    CU_ASSERT_EQUAL(append(9, 0, 3, 2, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 3);
    CU_ASSERT_EQUAL(append(9, 0, 0, 3, &op), 0); /* again: answered with the first one's offset */
    CU_ASSERT_EQUAL(op.append.base_offset, 0);
    CU_ASSERT_EQUAL(r.env.duplicates, 1);
    CU_ASSERT_EQUAL(append(9, 0, 6, 1, &op), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CU_ASSERT_EQUAL(op.append.log_start_offset, 0);
    CU_ASSERT_EQUAL(append(9, 2, 0, 1, &op), 0);
    CU_ASSERT_EQUAL(append(9, 1, 1, 1, &op), KERR_INVALID_PRODUCER_EPOCH);
    struct plog_marks marks;
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.end, 6);
    struct plog_producer list[4];
    CU_ASSERT_EQUAL(plog_producers(p, list, 4), 1);
    CU_ASSERT_EQUAL(list[0].producer_id, 9);
    CU_ASSERT_EQUAL(list[0].producer_epoch, 2);
    CU_ASSERT_EQUAL(list[0].last_sequence, 0);
    CU_ASSERT_EQUAL(plog_producers(p, NULL, 0), 1);
    rig_close(&r, p);
    rig_down(&r);
}

static void test_transactional_is_refused(void)
{
    struct rig_op op;
    up(PLOG_FSYNC);
    struct rig_batch_spec spec = rig_spec();
    spec.producer_id = 5;
    spec.producer_epoch = 0;
    spec.base_sequence = 0;
    spec.attributes = batch_transactional;
    struct rig_batch b = rig_batch_random(&r, &spec, 1, 10);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), KERR_INVALID_TXN_STATE);
    rig_batch_free(&b);
    rig_close(&r, p);
    rig_down(&r);
}

/* The retry of a batch that is not durable yet is answered when it is, and not before. */
static void test_duplicate_waits_for_the_original(void)
{
    struct rig_op first, again;
    up(PLOG_FSYNC);
    struct rig_batch b = make(9, 0, 0, 3);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &first), 0);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &again), 0);
    CU_ASSERT_FALSE(first.done || again.done);
    plog_env_run(&r.env, r.now_ns, 8); /* the write is under way */
    CU_ASSERT_FALSE(first.done || again.done);
    rig_settle(&r);
    CU_ASSERT_TRUE(first.done && again.done);
    CU_ASSERT_EQUAL(first.append.error, 0);
    CU_ASSERT_EQUAL(again.append.error, 0);
    CU_ASSERT_EQUAL(again.append.base_offset, 0);
    rig_batch_free(&b);
    rig_close(&r, p);
    rig_down(&r);
}

/* If the original's write fails the duplicate is not acked either. */
static void test_duplicate_fails_with_the_original(void)
{
    struct rig_op first, again;
    up(PLOG_FSYNC);
    struct rig_batch b = make(9, 0, 0, 3);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &first), 0);
    CU_ASSERT_EQUAL(rig_append_start(&r, p, &b, &again), 0);
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_IO);
    rig_settle(&r);
    CU_ASSERT_EQUAL(first.append.error, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(again.append.error, KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(again.append.base_offset, -1);
    rig_batch_free(&b);
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_close(p), ERR_IO);
    rig_down(&r);
}

/* Clean stop, process death: the state is known again, from a snapshot or from the batches. */
static void test_restarts(void)
{
    struct rig_op op;
    up(PLOG_FSYNC);
    for (int32_t round = 0; round < 12; round++) {
        for (int64_t id = 1; id < 6; id++)
            CU_ASSERT_EQUAL(append(id, 0, round * 2, 2, &op), 0);
        int64_t last = op.append.base_offset;
        if (round % 3 == 0) {
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            p = rig_open(&r, true, NULL);
        } else if (round % 3 == 1) {
            rig_crash(&r, p, SIM_POWER_CUT);
            p = rig_open(&r, false, NULL);
        }
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_EQUAL(append(5, 0, round * 2, 2, &op), 0); /* the retry of the last one */
        CU_ASSERT_EQUAL(op.append.base_offset, last);
        CU_ASSERT_EQUAL(append(5, 0, round * 2 + 3, 1, &op), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    }
    struct plog_marks marks;
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.end, 12 * 5 * 2);
    rig_close(&r, p);
    rig_down(&r);
}

/* A snapshot that is corrupt, the only one, is removed and the batches are replayed. */
static void corrupt_snapshot(bool clean)
{
    struct rig_op op;
    struct io_file *f;
    up(PLOG_FSYNC);
    CU_ASSERT_EQUAL(append(3, 0, 0, 4, &op), 0);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    const char *path = rig_dir "/topic-0/00000000000000000004.snapshot";
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, "x", 1, 20), 0);
    r.fs->ops->close(r.fs, f);
    p = rig_open(&r, clean, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_EQUAL(append(3, 0, 5, 1, &op), KERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    CU_ASSERT_EQUAL(append(3, 0, 0, 4, &op), 0); /* the retry: no second time */
    CU_ASSERT_EQUAL(op.append.base_offset, 0);
    CU_ASSERT_EQUAL(append(3, 0, 4, 1, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 4);
    rig_close(&r, p);
    rig_down(&r);
}

static void test_corrupt_snapshot(void)
{
    corrupt_snapshot(false);
    corrupt_snapshot(true);
}

static void test_expiry(void)
{
    struct rig_op op;
    up(PLOG_FSYNC);
    r.env.retention_check_ms = 1000;
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    CU_ASSERT_EQUAL(append(3, 0, 0, 4, &op), 0);
    CU_ASSERT_EQUAL(plog_producers(p, NULL, 0), 1);
    r.wall_ms += rig_config().producer_expiration_ms + 1000;
    rig_sleep(&r, 2000);
    CU_ASSERT_EQUAL(plog_producers(p, NULL, 0), 0);
    rig_close(&r, p);
    rig_down(&r);
}

UNIT_MAIN("plog/idempotent", UNIT_CASE(test_rules), UNIT_CASE(test_transactional_is_refused),
          UNIT_CASE(test_duplicate_waits_for_the_original),
          UNIT_CASE(test_duplicate_fails_with_the_original), UNIT_CASE(test_restarts),
          UNIT_CASE(test_corrupt_snapshot), UNIT_CASE(test_expiry))
