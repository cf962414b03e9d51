/* The store is the acknowledgement: named log memory, what is written from it, and its replay. */
#include <string.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;
static struct rig_batch_spec spec;

static void up(uint32_t chunks)
{
    rig_up(&r, unit_seed(), chunks, PLOG_OS);
    rig_use_named(&r);
    spec = rig_spec();
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void down(void)
{
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    CU_ASSERT_EQUAL(region_count(&r.region), 0);
    rig_down(&r);
}

/* Appends without a step of anything; the answer must be there. */
static void append(uint32_t records, uint32_t value_bytes)
{
    struct rig_op op;
    struct rig_batch b = rig_batch_random(&r, &spec, records, value_bytes);
    CU_ASSERT_EQUAL_FATAL(rig_append_start(&r, p, &b, &op), 0);
    CU_ASSERT_TRUE_FATAL(op.done);
    CU_ASSERT_EQUAL(op.append.error, 0);
    rig_batch_free(&b);
}

static int64_t end(void)
{
    struct plog_marks marks;
    plog_marks(p, &marks);
    CU_ASSERT_EQUAL(marks.high_watermark, marks.end);
    return marks.end;
}

static uint64_t writes(void)
{
    return r.sim.ops[SIM_WRITE];
}

static void crash_and_open(void)
{
    rig_crash(&r, p, SIM_PROCESS_DEATH);
    p = rig_open(&r, false, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
}

static void test_store_is_the_ack(void)
{
    up(32);
    uint64_t before = writes();
    append(3, 100);
    append(5, 100);
    rig_settle(&r);
    CU_ASSERT_EQUAL(end(), 8);
    CU_ASSERT_EQUAL(writes(), before); /* nothing is in a file yet */
    CU_ASSERT_EQUAL(region_count(&r.region), 1);
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 100000, true, &read), 0);
    CU_ASSERT(read.size > 0);
    crash_and_open();
    CU_ASSERT_EQUAL(end(), 8);
    struct rig_read again;
    CU_ASSERT_EQUAL(rig_read(&r, p, 0, 100000, true, &again), 0);
    CU_ASSERT_EQUAL_FATAL(again.size, read.size);
    CU_ASSERT_EQUAL(memcmp(again.bytes, read.bytes, read.size), 0);
    rig_read_free(&read);
    rig_read_free(&again);
    down();
}

static void test_written_after_a_while(void)
{
    up(32);
    append(3, 100);
    rig_sleep(&r, plog_lazy_write_ms - 1);
    CU_ASSERT_EQUAL(region_count(&r.region), 1);
    rig_sleep(&r, 2);
    CU_ASSERT_EQUAL(region_count(&r.region), 0);
    append(1, 100); /* behind what is in the file: the block is written again */
    CU_ASSERT_EQUAL(region_count(&r.region), 1);
    rig_sleep(&r, plog_lazy_write_ms + 1);
    CU_ASSERT_EQUAL(region_count(&r.region), 0);
    crash_and_open();
    CU_ASSERT_EQUAL(r.tail.ranges, 0);
    CU_ASSERT_EQUAL(end(), 4);
    down();
}

/* Large writes of whole blocks do not wait; the rest of the last block does. */
static void test_large_writes(void)
{
    up(64);
    uint64_t before = writes();
    uint32_t bytes = 0;
    while (bytes < plog_lazy_write_bytes + 70000) {
        struct plog_marks marks;
        append(4, 2000);
        rig_settle(&r);
        plog_marks(p, &marks);
        bytes = (uint32_t)marks.size_bytes;
        CU_ASSERT(bytes >= plog_lazy_write_bytes || writes() == before);
    }
    CU_ASSERT_EQUAL(writes(), before + 1);
    CU_ASSERT(region_count(&r.region) >= 1);
    CU_ASSERT(region_count(&r.region) <= 3);
    int64_t last = end();
    crash_and_open();
    CU_ASSERT_EQUAL(end(), last);
    down();
}

/* More than the log memory holds: appends push what waits to the disk. */
static void test_pressure(void)
{
    up(8);
    int64_t records = 0;
    for (uint32_t i = 0; i < 400; i++) {
        struct rig_op op;
        struct rig_batch b = rig_batch_random(&r, &spec, 2, 3000);
        int err;
        while ((err = rig_append_start(&r, p, &b, &op)) == ERR_FULL)
            CU_ASSERT_TRUE_FATAL(rig_step(&r));
        CU_ASSERT_EQUAL(err, 0);
        CU_ASSERT_TRUE(op.done);
        rig_batch_free(&b);
        records += 2;
    }
    CU_ASSERT_EQUAL(end(), records);
    crash_and_open();
    CU_ASSERT_EQUAL(end(), records);
    down();
}

/* The bytes outlive a disk that refuses them: the next start writes them. */
static void test_failed_write(void)
{
    up(32);
    append(3, 100);
    append(40, 2000);
    int64_t last = end();
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_NO_SPACE);
    rig_sleep(&r, plog_lazy_write_ms + 1);
    CU_ASSERT_EQUAL(r.disk_errors, 1);
    CU_ASSERT(region_count(&r.region) >= 1);
    rig_detach(&r, p);
    CU_ASSERT_EQUAL(plog_close(p), ERR_IO);
    CU_ASSERT(region_count(&r.region) >= 1);
    rig_crash(&r, NULL, SIM_PROCESS_DEATH);
    p = rig_open(&r, false, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    CU_ASSERT_EQUAL(end(), last);
    down();
}

/* Reads that begin in the file and end in memory alone, and look-ups that want the file. */
static void test_reads_across(void)
{
    up(16);
    for (uint32_t i = 0; i < 60; i++) {
        append(2, 4000);
        if (i % 8 == 0)
            rig_sleep(&r, plog_lazy_write_ms + 1);
        struct rig_read read;
        int64_t at = (int64_t)rng_below(&r.rng, (uint64_t)end());
        CU_ASSERT_EQUAL(rig_read(&r, p, at, 60000, true, &read), 0);
        CU_ASSERT(read.size >= batch_header_bytes);
        CU_ASSERT_EQUAL(bytes_get_i64(read.bytes), at / 2 * 2);
        rig_read_free(&read);
    }
    down();
}

static void on_looked_up(struct plog_time_lookup *l)
{
    l->state = l;
}

static void test_lookup_waits_for_the_file(void)
{
    up(32);
    append(3, 100);
    struct plog_time_lookup l = {.timestamp_ms = rig_wall_ms, .done = on_looked_up};
    CU_ASSERT_EQUAL(region_count(&r.region), 1);
    plog_time_lookup(p, &l);
    rig_settle(&r);
    CU_ASSERT_PTR_EQUAL(l.state, &l);
    CU_ASSERT_EQUAL(l.error, 0);
    CU_ASSERT_EQUAL(l.offset, 0);
    CU_ASSERT_EQUAL(region_count(&r.region), 0);
    down();
}

static void test_flush_writes_first(void)
{
    up(32);
    r.config.flush_messages = 4;
    plog_configure(p, &r.config);
    append(3, 100);
    append(3, 100);
    rig_sleep(&r, plog_lazy_write_ms + 1);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_FLUSH], 1);
    CU_ASSERT_EQUAL(plog_recovery_point(p), 6);
    io_sim_crash(&r.sim, SIM_POWER_CUT);
    crash_and_open();
    CU_ASSERT_EQUAL(end(), 6);
    down();
}

/* A topic of another id has the name now: what the old one left goes nowhere. */
static void test_other_topic(void)
{
    up(32);
    append(3, 100);
    rig_crash(&r, p, SIM_PROCESS_DEATH); /* replays into the directory */
    CU_ASSERT_EQUAL(r.tail.partitions, 1);
    p = rig_open(&r, false, NULL);
    append(2, 100);
    io_sim_crash(&r.sim, SIM_PROCESS_DEATH);
    rig_detach(&r, p);
    plog_close(p);
    region_close(&r.region);
    io_sim_revive(&r.sim);
    char path[64] = rig_dir "/topic-0/partition.metadata";
    struct io_file *file;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_WRITE | IO_OPEN_TRUNCATE, &file), 0);
    const char *text = "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAQ";
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, file, text, strlen(text), 0), 0);
    r.fs->ops->close(r.fs, file);
    rig_crash(&r, NULL, SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL(r.tail.partitions, 0);
    CU_ASSERT_EQUAL(r.tail.dropped, 1);
    rig_down(&r);
}

/* Another program appended after the broker died: its bytes are not overwritten. */
static void test_another_program_wrote(void)
{
    up(32);
    append(3, 100);
    io_sim_crash(&r.sim, SIM_PROCESS_DEATH);
    rig_detach(&r, p);
    plog_close(p);
    region_close(&r.region);
    io_sim_revive(&r.sim);
    struct io_file *file;
    CU_ASSERT_EQUAL_FATAL(
        r.fs->ops->open(r.fs, rig_dir "/topic-0/00000000000000000000.log", IO_OPEN_WRITE, &file),
        0);
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, file, "stranger", 8, 60), 0);
    r.fs->ops->close(r.fs, file);
    r.named = false; /* by hand: the rig expects that nothing is refused */
    rig_crash(&r, NULL, SIM_PROCESS_DEATH);
    struct region left;
    char why[256] = "";
    static const struct uuid id = {{9, 9, 9}};
    CU_ASSERT_EQUAL_FATAL(region_open(&left, r.fs, &id, 0, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(region_count(&left), 1);
    const char *dir = rig_dir;
    struct tail_options o = {
        .fs = r.fs, .regions = &left, .region_count = 1, .dirs = &dir, .dir_count = 1};
    struct restore_report report;
    CU_ASSERT_EQUAL(tail_replay(&o, &report, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(report.refused, 1);
    CU_ASSERT_EQUAL(report.ranges, 0);
    region_close(&left);
    rig_down(&r);
}

static enum restore_missing keep(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    *(int32_t *)ctx = partition;
    return RESTORE_KEEP;
}

/* The log dir is not there now: the start must not go on as if nothing had been acknowledged. */
static void test_missing_dir(void)
{
    up(32);
    append(3, 100);
    char why[256] = "";
    int32_t asked = -1;
    struct tail_options o = {
        .fs = r.fs, .regions = &r.region, .region_count = 1, .missing = keep, .ctx = &asked};
    struct restore_report report;
    CU_ASSERT_EQUAL(tail_replay(&o, &report, why, sizeof(why)), ERR_BUSY);
    CU_ASSERT_EQUAL(asked, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "log dir is not there"));
    CU_ASSERT_EQUAL(region_count(&r.region), 1);
    down();
}

static uint32_t kept(void)
{
    struct cache_stats stats;
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free + stats.kept, stats.chunks);
    return stats.kept;
}

static void on_detached(struct plog_detach *d)
{
}

/* What a failed partition keeps for the next start goes with its topic, and nothing of another one. */
static void test_removed_after_it_failed(void)
{
    struct plog *parts[2];
    rig_up(&r, unit_seed(), 32, PLOG_OS);
    rig_use_named(&r);
    spec = rig_spec();
    for (uint32_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p), 0);
        parts[i] = p;
        append(2, 40000); /* two chunks, or three */
        io_sim_fail(&r.sim, SIM_WRITE, i + 1, ERR_IO);
    }
    rig_sleep(&r, plog_lazy_write_ms + 1);
    uint32_t all = kept(), marked = region_count(&r.region);
    CU_ASSERT(all >= 2 && marked == all);
    struct plog_detach d = {.done = on_detached, .removing = true};
    plog_detach(parts[0], &d);
    rig_settle(&r);
    CU_ASSERT_EQUAL(plog_remove(parts[0]), 0);
    uint32_t left = kept();
    CU_ASSERT(left > 0 && left < all);
    CU_ASSERT_EQUAL(region_count(&r.region), left);
    rig_crash(&r, parts[1], SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, 1, &p), 0);
    CU_ASSERT_EQUAL(end(), 2);
    down();
}

UNIT_MAIN("plog/tail", UNIT_CASE(test_store_is_the_ack), UNIT_CASE(test_written_after_a_while),
          UNIT_CASE(test_large_writes), UNIT_CASE(test_pressure), UNIT_CASE(test_failed_write),
          UNIT_CASE(test_reads_across), UNIT_CASE(test_lookup_waits_for_the_file),
          UNIT_CASE(test_flush_writes_first), UNIT_CASE(test_other_topic),
          UNIT_CASE(test_another_program_wrote), UNIT_CASE(test_missing_dir),
          UNIT_CASE(test_removed_after_it_failed))
