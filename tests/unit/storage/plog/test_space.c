/* What a log takes and refuses while its disk fills up; nothing else changes. */
#include <string.h>

#include "storage/plog/space.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

static void up(void)
{
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void down(void)
{
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

static void appended(struct plog_append *a)
{
    ((struct rig_op *)a)->done = true;
}

/* One record of so many bytes, of a client or of a coordinator. */
static int16_t append(bool from_client, uint32_t bytes, struct rig_op *op)
{
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 1, bytes);
    struct chain chain;
    rig_chain(&r, b.bytes, b.size, &chain);
    *op = (struct rig_op){.append = {.from_client = from_client,
                                     .done = appended,
                                     .records = {chain_pos_at(&chain, 0), b.size}}};
    CU_ASSERT_EQUAL_FATAL(plog_append(p, &op->append), 0);
    chain_free(&chain);
    rig_batch_free(&b);
    rig_settle(&r);
    CU_ASSERT_TRUE(op->done);
    return op->append.error;
}

static void test_levels(void)
{
    struct rig_op op;
    struct rig_read read;
    struct plog_marks marks;
    int64_t low;
    up();
    CU_ASSERT_EQUAL(append(true, 100, &op), 0);
    plog_env_space(&r.env, rig_dir, PLOG_SPACE_TIGHT);
    CU_ASSERT_EQUAL(append(true, 100, &op), 0);
    plog_env_space(&r.env, rig_dir, PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(append(true, 100, &op), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(op.append.base_offset, -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(op.append.error_message, "nearly full"));
    CU_ASSERT_EQUAL(append(false, 100, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 2);
    plog_env_space(&r.env, rig_dir, PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(append(true, 100, &op), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(append(false, 100, &op), KERR_KAFKA_STORAGE_ERROR);
    /* reading and deleting go on, and the log is not FAILED */
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 10000, true, &read), 0);
    CU_ASSERT(read.size > 0);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(plog_delete_records(p, 2, &low), 0);
    CU_ASSERT_EQUAL(low, 2);
    plog_marks(p, &marks);
    CU_ASSERT_FALSE(marks.failed);
    CU_ASSERT_EQUAL(marks.end, 3);
    CU_ASSERT_EQUAL(r.disk_errors, 0);
    plog_env_space(&r.env, rig_dir, PLOG_SPACE_AMPLE);
    CU_ASSERT_EQUAL(append(true, 100, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 3);
    down();
}

/* What another log dir has left is its own. */
static void test_other_dir(void)
{
    struct rig_op op;
    up();
    plog_env_space(&r.env, "/elsewhere", PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(append(true, 100, &op), 0);
    down();
}

/* The shard hears of a dir before it has a log in it. */
static void test_told_before(void)
{
    struct rig_op op;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    plog_env_space(&r.env, rig_dir, PLOG_SPACE_LOW);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_EQUAL(append(true, 100, &op), KERR_KAFKA_STORAGE_ERROR);
    down();
}

/* Refused batches take no room at all; and none is made ahead while it is short. */
static void test_no_room_ahead(void)
{
    struct rig_op op;
    for (int tight = 0; tight < 2; tight++) {
        up();
        plog_env_space(&r.env, rig_dir, tight ? PLOG_SPACE_TIGHT : PLOG_SPACE_AMPLE);
        uint64_t made = r.sim.ops[SIM_ALLOCATE];
        for (int i = 0; i < 20; i++)
            CU_ASSERT_EQUAL(append(true, 10000, &op), 0);
        CU_ASSERT_EQUAL(r.sim.ops[SIM_ALLOCATE] > made, tight == 0);
        plog_env_space(&r.env, rig_dir, PLOG_SPACE_LOW);
        uint64_t bytes = r.sim.bytes;
        for (int i = 0; i < 20; i++)
            CU_ASSERT_EQUAL(append(true, 10000, &op), KERR_KAFKA_STORAGE_ERROR);
        CU_ASSERT_EQUAL(r.sim.bytes, bytes);
        down();
    }
}

/* Room takes a small part of what the disk has left; logs that ask at once do not fill it. */
static void test_room_is_a_part_of_what_is_left(void)
{
    struct rig_op op;
    for (int small = 0; small < 2; small++) {
        up();
        r.sim.bytes_limit = r.sim.bytes + (small ? 4 * MIB : 400 * MIB);
        uint64_t made = r.sim.ops[SIM_ALLOCATE];
        for (int i = 0; i < 30; i++)
            CU_ASSERT_EQUAL(append(true, 10000, &op), 0);
        CU_ASSERT_EQUAL(r.sim.ops[SIM_ALLOCATE] > made, small == 0);
        down();
    }
}

UNIT_MAIN("storage/plog/space", UNIT_CASE(test_levels), UNIT_CASE(test_other_dir),
          UNIT_CASE(test_told_before), UNIT_CASE(test_no_room_ahead),
          UNIT_CASE(test_room_is_a_part_of_what_is_left))
