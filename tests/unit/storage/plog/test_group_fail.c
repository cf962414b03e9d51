/*
 * Several partitions with a journal, and each disk operation of its life made to fail in turn: when it
 * is made, when it is written, when its ring turns around, when it is drained, at rolls and at the end.
 * The property: what was acked is there after a crash and a replay, and what did not fail goes on.
 */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

#define rounds     40
#define calls_most 400 /* more of one operation than the script has */
#define value_most 1500

static struct rig r;
static struct plog *p[rig_parts];
static int64_t acked[rig_parts]; /* offsets below this one were acked */

static bool failed(uint32_t i)
{
    struct plog_marks marks;
    plog_marks(p[i], &marks);
    return marks.failed;
}

/* One record each, together. */
static void append_all(void)
{
    struct rig_op op[rig_parts];
    bool sent[rig_parts];
    struct rig_batch_spec spec = rig_spec();
    for (uint32_t i = 0; i < rig_parts; i++) {
        struct rig_batch b =
            rig_batch_random(&r, &spec, 1, 1 + (uint32_t)rng_below(&r.rng, value_most));
        sent[i] = rig_append_start(&r, p[i], &b, &op[i]) == 0;
        rig_batch_free(&b);
    }
    rig_settle(&r);
    for (uint32_t i = 0; i < rig_parts; i++) {
        if (!sent[i])
            continue;
        CU_ASSERT_TRUE_FATAL(op[i].done);
        if (op[i].append.error == 0) {
            CU_ASSERT_EQUAL(op[i].append.base_offset, acked[i]);
            acked[i] = op[i].append.base_offset + 1;
        } else {
            CU_ASSERT_EQUAL(op[i].append.error, KERR_KAFKA_STORAGE_ERROR);
            CU_ASSERT_TRUE(failed(i));
        }
    }
}

static void script(void)
{
    for (uint32_t i = 0; i < rounds; i++) {
        append_all();
        if (i % 8 == 7)
            rig_sleep(&r, plog_journal_drain_ms + 1);
    }
}

static void up(uint64_t seed)
{
    rig_up(&r, seed, 64, PLOG_FSYNC);
    rig_use_journals(&r, 64 * KIB); /* a few rounds, and it turns around */
    r.config.segment_bytes = 12000; /* some rolls */
    memset(acked, 0, sizeof(acked));
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
}

static void recover(void)
{
    struct journal_replay_report report;
    CU_ASSERT_EQUAL_FATAL(rig_replay_journals(&r, &report), 0);
    CU_ASSERT_EQUAL(report.damaged, 0);
    CU_ASSERT_EQUAL(report.restored.refused, 0);
    for (uint32_t i = 0; i < rig_parts; i++) {
        struct plog_marks marks;
        struct rig_read read;
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        plog_marks(p[i], &marks);
        CU_ASSERT(marks.end >= acked[i]);
        if (acked[i] > 0) {
            CU_ASSERT_EQUAL(rig_read(&r, p[i], acked[i] - 1, 100000, true, &read), 0);
            CU_ASSERT(read.size > 0);
            rig_read_free(&read);
        }
        acked[i] = marks.end;
    }
}

/* How far an operation's calls of the script go; what fails is found by the caller. */
static bool fault_at(enum sim_op op, uint64_t nth, int err)
{
    up(unit_seed() + nth);
    uint64_t at = r.sim.ops[op] + nth;
    io_sim_fail(&r.sim, op, nth, err);
    script();
    bool reached = r.sim.ops[op] >= at;
    r.sim.fault_count = 0;
    uint32_t bad = 0;
    for (uint32_t i = 0; i < rig_parts; i++)
        bad += failed(i);
    /* each says so once; or their journal, where its failed write held nothing of theirs */
    CU_ASSERT(r.disk_errors == bad || (bad == 0 && r.disk_errors == 1 && op == SIM_WRITE));
    if (!reached || (op == SIM_ALLOCATE && err == ERR_NO_SPACE))
        CU_ASSERT_EQUAL(bad, 0); /* no room to make ahead is no failure */
    if (r.disk_errors)
        CU_ASSERT_EQUAL(r.last_disk_error, err);
    /* those that did not fail go on, until their log dir is taken down */
    int64_t before[rig_parts];
    memcpy(before, acked, sizeof(before));
    append_all();
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL(acked[i], before[i] + !failed(i));
    rig_crash_parts(&r, p, nth % 2 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
    recover();
    append_all();
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL(rig_close(&r, p[i]), 0);
    rig_down(&r);
    return reached;
}

static void each_call(enum sim_op op, int err, uint64_t least)
{
    uint64_t nth = 1;
    log_set_level(LOG_LEVEL_ERROR + 1); /* what fails on purpose is said a hundred times */
    while (nth < calls_most && fault_at(op, nth, err))
        nth++;
    log_set_level(LOG_LEVEL_INFO);
    CU_ASSERT(nth < calls_most);
    CU_ASSERT(nth > least);
}

static void test_every_write(void)
{
    each_call(SIM_WRITE, ERR_IO, rounds);
    each_call(SIM_WRITE, ERR_NO_SPACE, rounds);
}

static void test_every_file(void)
{
    each_call(SIM_OPEN, ERR_IO, 3);
    each_call(SIM_PWRITE, ERR_IO, 3);
    each_call(SIM_PWRITE, ERR_NO_SPACE, 3);
    each_call(SIM_TRUNCATE, ERR_IO, 3);
}

static void test_every_sync(void)
{
    each_call(SIM_SYNC, ERR_IO, 3);
    each_call(SIM_SYNC_DIR, ERR_IO, 3);
}

static void test_every_allocation(void)
{
    each_call(SIM_ALLOCATE, ERR_NO_SPACE, 0);
    each_call(SIM_ALLOCATE, ERR_IO, 0);
}

UNIT_MAIN("plog/group_fail", UNIT_CASE(test_every_write), UNIT_CASE(test_every_file),
          UNIT_CASE(test_every_sync), UNIT_CASE(test_every_allocation))
