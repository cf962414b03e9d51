/* Group commit: what a journal makes durable, when segments follow, and the replay at every cut. */
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "storage/plog/checkpoint.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/move.h"
#include "tests/unit/storage/plog/rig.h"

#define journal_kb 256

static struct rig r;
static struct plog *p[rig_parts];
static struct rig_batch_spec spec;

/* A batch of one record. */
static struct rig_batch batch(uint32_t value_bytes)
{
    struct rig_record record = {.value = "value", .value_bytes = value_bytes};
    return rig_batch_make(&spec, &record, 1);
}

static int16_t append(uint32_t i, uint32_t value_bytes)
{
    struct rig_op op;
    struct rig_batch b = batch(value_bytes);
    int16_t err = rig_append(&r, p[i], &b, &op);
    rig_batch_free(&b);
    return err;
}

static void up(uint32_t chunks)
{
    rig_up(&r, unit_seed(), chunks, PLOG_FSYNC);
    rig_use_journals(&r, journal_kb * KIB);
    spec = rig_spec();
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    CU_ASSERT_EQUAL(append(0, 10), 0); /* the first one has the journal made */
    rig_settle(&r);
}

static void down(void)
{
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL(rig_close(&r, p[i]), 0);
    rig_down(&r);
}

static int64_t end(uint32_t i)
{
    struct plog_marks marks;
    plog_marks(p[i], &marks);
    CU_ASSERT_EQUAL(marks.high_watermark, marks.end);
    return marks.end;
}

/* Begins an append of each partition, and ends them together. */
static void append_all(uint32_t value_bytes)
{
    struct rig_op op[rig_parts];
    struct rig_batch b[rig_parts];
    for (uint32_t i = 0; i < rig_parts; i++) {
        b[i] = batch(value_bytes);
        CU_ASSERT_EQUAL_FATAL(rig_append_start(&r, p[i], &b[i], &op[i]), 0);
    }
    rig_settle(&r);
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_TRUE(op[i].done && op[i].append.error == 0);
        rig_batch_free(&b[i]);
    }
}

static void test_one_write(void)
{
    up(32);
    uint64_t before = r.sim.ops[SIM_WRITE];
    append_all(100);
    CU_ASSERT_EQUAL(r.sim.ops[SIM_WRITE], before + 1);
    CU_ASSERT_EQUAL(end(1), 1);
    CU_ASSERT_EQUAL(p[1]->written_total, 0);
    rig_sleep(&r, plog_journal_drain_ms + 1);
    rig_settle(&r);
    CU_ASSERT_EQUAL(p[1]->written_total, p[1]->appended_total);
    CU_ASSERT_EQUAL(journal_oldest(&p[1]->journal), UINT64_MAX);
    down();
}

/* At the limit the journal, one byte above it the segment, which then has all of it. */
static void test_switch(void)
{
    up(64);
    CU_ASSERT_EQUAL(append(1, 100), 0);
    CU_ASSERT_EQUAL(p[1]->written_total, 0);
    CU_ASSERT_EQUAL(append(1, plog_journal_bytes + 1), 0);
    CU_ASSERT_EQUAL(p[1]->written_total, p[1]->appended_total);
    CU_ASSERT_EQUAL(append(1, plog_journal_bytes - 200), 0);
    CU_ASSERT_TRUE(p[1]->written_total < p[1]->appended_total);
    down();
}

/* More than the journal holds goes through it: what is oldest is written to the segments. */
static void test_more_than_the_ring(void)
{
    up(64);
    for (uint32_t i = 0; i < 3 * journal_kb / 4; i++)
        append_all(500);
    CU_ASSERT_TRUE(p[0]->written_total > 0);
    int64_t ends[rig_parts];
    for (uint32_t i = 0; i < rig_parts; i++)
        ends[i] = end(i);
    CU_ASSERT_EQUAL(ends[1], 3 * journal_kb / 4);
    down();
}

/* Reads see what only the journal has on the medium. */
static void test_read(void)
{
    struct rig_read read;
    up(32);
    append_all(200);
    CU_ASSERT_EQUAL(rig_read(&r, p[2], 0, 100000, true, &read), 0);
    CU_ASSERT_TRUE(read.size > 200);
    rig_read_free(&read);
    down();
}

static void test_journal_fails(void)
{
    up(32);
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_IO);
    CU_ASSERT_EQUAL(append(1, 100), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_EQUAL(r.disk_errors, 1);
    CU_ASSERT_EQUAL(append(2, 100), 0); /* without it, until the log dir is taken down */
    CU_ASSERT_EQUAL(p[2]->written_total, p[2]->appended_total);
    rig_detach(&r, p[1]);
    plog_close(p[1]);
    for (uint32_t i = 0; i < rig_parts; i += 2)
        CU_ASSERT_EQUAL(rig_close(&r, p[i]), 0);
    rig_down(&r);
}

/*
 * A partition fails alone: the others go on through the journal, also when it has gone round, and
 * what it has of the failed one is there at the next start.
 */
static void test_one_fails(void)
{
    struct journal_replay_report report;
    up(64);
    for (uint32_t i = 0; i < 3; i++)
        append_all(300);
    plog_fail_alone(p[1], ERR_CORRUPT, "a test");
    for (uint32_t i = 0; i < journal_kb; i++) {
        CU_ASSERT_EQUAL(append(0, 500), 0);
        CU_ASSERT_EQUAL(append(2, 500), 0);
    }
    CU_ASSERT_EQUAL(append(0, 100), 0);
    CU_ASSERT_TRUE(p[0]->written_total < p[0]->appended_total); /* the journal took it */
    int64_t ends[rig_parts] = {end(0), 3, end(2)};
    rig_crash_parts(&r, p, SIM_POWER_CUT);
    CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
    CU_ASSERT_TRUE(report.damaged == 0 && report.restored.refused == 0);
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        CU_ASSERT_EQUAL(end(i), ends[i]);
    }
    down();
}

/* No room for a journal: each partition is flushed by itself. */
static void test_no_room(void)
{
    rig_up(&r, unit_seed(), 32, PLOG_FSYNC);
    rig_use_journals(&r, journal_kb * KIB);
    spec = rig_spec();
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    io_sim_fail(&r.sim, SIM_ALLOCATE, 1, ERR_NO_SPACE);
    for (uint32_t i = 0; i < 3; i++)
        append_all(100);
    CU_ASSERT_EQUAL(p[1]->written_total, p[1]->appended_total);
    CU_ASSERT_EQUAL(r.disk_errors, 0);
    down();
}

/* ---- the replay ---- */

/* Dies at the first operation, the second, ... until one comes through. */
static void replay_at_every_cut(enum sim_crash how)
{
    struct journal_replay_report report;
    up(32);
    for (uint32_t i = 0; i < 5; i++)
        append_all(300);
    int64_t ends[rig_parts];
    for (uint32_t i = 0; i < rig_parts; i++)
        ends[i] = end(i);
    rig_crash_parts(&r, p, how);
    uint32_t cuts = 0;
    uint64_t frames = 0; /* of the last replay that was not cut behind its end */
    for (;;) {
        io_sim_crash_at(&r.sim, cuts + 1, how);
        int err = rig_replay_journals(&r, &report);
        frames = report.frames ? report.frames : frames;
        if (!r.sim.dead) {
            CU_ASSERT_EQUAL(err, 0);
            break;
        }
        CU_ASSERT_NOT_EQUAL(err, 0);
        io_sim_revive(&r.sim);
        CU_ASSERT_TRUE_FATAL(++cuts < 1000);
    }
    r.sim.die_at = 0;
    CU_ASSERT_TRUE(cuts > 10);
    CU_ASSERT_EQUAL(report.damaged, 0);
    CU_ASSERT_EQUAL(report.restored.refused, 0);
    CU_ASSERT_TRUE(frames >= 5 * rig_parts);
    CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0); /* a new life: nothing counts any more */
    CU_ASSERT_EQUAL(report.frames, 0);
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        CU_ASSERT_EQUAL(end(i), ends[i]);
    }
    down();
}

static void test_replay_after_death(void)
{
    replay_at_every_cut(SIM_PROCESS_DEATH);
}

static void test_replay_after_power(void)
{
    replay_at_every_cut(SIM_POWER_CUT);
}

static struct io_file *journal_open(void)
{
    struct io_file *file;
    CU_ASSERT_EQUAL_FATAL(r.sim.fs.ops->open(&r.sim.fs, rig_dir "/sluice-journal-0",
                                             IO_OPEN_READ | IO_OPEN_WRITE, &file),
                          0);
    return file;
}

static void flip(int64_t at)
{
    struct io_file *file = journal_open();
    uint8_t byte;
    CU_ASSERT_EQUAL(r.sim.fs.ops->pread(&r.sim.fs, file, &byte, 1, at), 1);
    byte ^= 0x10;
    CU_ASSERT_EQUAL(r.sim.fs.ops->pwrite(&r.sim.fs, file, &byte, 1, at), 0);
    r.sim.fs.ops->close(&r.sim.fs, file);
}

/* Damage in one partition's frame: that one ends there, the others are whole. */
static void test_damaged_frame(void)
{
    struct journal_replay_report report;
    up(32);
    for (uint32_t i = 0; i < 8; i++)
        append_all(300);
    int64_t before = end(0);
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
    /* the first commit; its first frame's data */
    flip(journal_block_bytes + journal_data_at(rig_parts) + 5);
    CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
    CU_ASSERT_EQUAL(report.damaged, 1);
    uint32_t whole = 0;
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        whole += end(i) == (i == 0 ? before : 8);
    }
    CU_ASSERT_EQUAL(whole, rig_parts - 1);
    down();
}

/* Damage in a commit's own header: whose records it held nobody knows, but what is cut behind it is said. */
static void test_damaged_commit(void)
{
    struct journal_replay_report report;
    up(32);
    for (uint32_t i = 0; i < 8; i++)
        append_all(300);
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
    flip(journal_block_bytes + 9); /* the first commit */
    CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
    CU_ASSERT(report.damaged > 0);
    uint32_t cut = 0;
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        cut += end(i) < 8;
    }
    CU_ASSERT(cut > 0);
    CU_ASSERT_EQUAL(report.restored.behind_gaps, cut);
    down();
}

/* A damaged header, a foreign one: refused with a line that names the file, and nothing changes. */
static void test_refused(void)
{
    struct journal_replay_report report;
    char why[512] = "";
    up(32);
    append_all(300);
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
    struct journal_replay_options own = rig_replay_options(&r), other = own;
    other.id.b[3]++;
    CU_ASSERT_EQUAL(journal_replay(&other, &report, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "sluice-journal-0 is the journal of another log dir"));
    flip(20);
    CU_ASSERT_EQUAL(journal_replay(&own, &report, why, sizeof(why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "sluice-journal-0: byte 0"));
    flip(20);
    CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
    CU_ASSERT_TRUE(report.frames >= rig_parts);
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    CU_ASSERT_EQUAL(end(1), 1);
    down();
}

/* The disk fails when the journal is removed: it is whole at the next start, and after that it is gone. */
static void test_removal_fails(void)
{
    static const enum sim_op ops[] = {SIM_UNLINK, SIM_SYNC_DIR};
    for (uint32_t k = 0; k < sizeof(ops) / sizeof(ops[0]); k++) {
        struct journal_replay_report report;
        struct fs_stat st;
        up(32);
        append_all(300);
        rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
        io_sim_fail(&r.sim, ops[k], 1, ERR_IO);
        CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), ERR_IO);
        CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
        CU_ASSERT_EQUAL(r.sim.fs.ops->stat(&r.sim.fs, rig_dir "/sluice-journal-0", &st),
                        ERR_NOT_FOUND);
        for (uint32_t i = 0; i < rig_parts; i++)
            CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        CU_ASSERT_EQUAL(end(1), 1);
        down();
    }
}

/*
 * A journal that was cut, at its beginning, in its header or at its end: refused with the place where it ends,
 * since records that were acknowledged may be gone; without the file the logs have what their segments have.
 */
static void test_cut(void)
{
    static const int64_t sizes[] = {0, 30, journal_head_bytes, 5 * journal_block_bytes + 77, -1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct journal_replay_report report;
        struct fs_stat st;
        char why[512] = "", place[64];
        up(32);
        append_all(300);
        rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
        struct io_file *file = journal_open();
        CU_ASSERT_EQUAL(r.sim.fs.ops->size(&r.sim.fs, file, &st.size), 0);
        int64_t size = sizes[i] < 0 ? st.size - 1 : sizes[i];
        CU_ASSERT_EQUAL(r.sim.fs.ops->truncate(&r.sim.fs, file, size), 0);
        r.sim.fs.ops->close(&r.sim.fs, file);
        struct journal_replay_options o = rig_replay_options(&r);
        CU_ASSERT_EQUAL(journal_replay(&o, &report, why, sizeof(why)), ERR_INVALID);
        snprintf(place, sizeof(place), "sluice-journal-0: byte %lld",
                 size < journal_head_bytes ? 0LL : (long long)size);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, place));
        CU_ASSERT_PTR_NOT_NULL(strstr(why, "remove the file"));
        CU_ASSERT_EQUAL(r.sim.fs.ops->unlink(&r.sim.fs, rig_dir "/sluice-journal-0"), 0);
        CU_ASSERT_EQUAL(rig_replay_journals(&r, &report), 0);
        for (uint32_t k = 0; k < rig_parts; k++)
            CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, k, &p[k]), 0);
        down();
    }
}

/* Of a newer format version: refused as a damaged one is, and it stays as it is. */
static void test_newer_version(void)
{
    struct journal_replay_report report;
    char why[512] = "";
    uint8_t head[journal_head_bytes];
    up(32);
    append_all(300);
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
    for (uint8_t version = 2; version > 0; version--) {
        struct io_file *file = journal_open();
        CU_ASSERT_EQUAL(r.sim.fs.ops->pread(&r.sim.fs, file, head, sizeof(head), 0), sizeof(head));
        head[8] = version;
        uint64_t check = XXH3_64bits(head, 56);
        memcpy(head + 56, &check, sizeof(check));
        CU_ASSERT_EQUAL(r.sim.fs.ops->pwrite(&r.sim.fs, file, head, sizeof(head), 0), 0);
        r.sim.fs.ops->close(&r.sim.fs, file);
        struct journal_replay_options o = rig_replay_options(&r);
        int err = journal_replay(&o, &report, why, sizeof(why));
        CU_ASSERT_EQUAL(err, version == 1 ? 0 : ERR_INVALID);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "sluice-journal-0: byte 8: a journal of another format"));
    CU_ASSERT_TRUE(report.frames >= rig_parts);
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    CU_ASSERT_EQUAL(end(1), 1);
    down();
}

/* ---- partitions that are not where they were ---- */

static enum restore_missing keeps(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    struct uuid *asked = ctx;
    *asked = *topic_id;
    return RESTORE_KEEP;
}

static bool journal_there(void)
{
    struct fs_stat st;
    return r.fs->ops->stat(r.fs, rig_dir "/sluice-journal-0", &st) == 0;
}

/* partition.metadata is gone, empty, of other words or too large; as it was afterwards. */
static void metadata_spoil(uint32_t how, char *text, int64_t *n)
{
    static const char path[] = rig_dir "/b-0/partition.metadata";
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    *n = r.fs->ops->pread(r.fs, f, text, 200, 0);
    CU_ASSERT_FATAL(*n > 0);
    if (how == 1)
        CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 0), 0);
    if (how == 2)
        CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, "????????", 8, 12), 0);
    if (how == 3)
        CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 5000), 0);
    r.fs->ops->close(r.fs, f);
    if (how == 0)
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, path), 0);
}

/*
 * A partition of a topic that is there, whose directory does not say so: its records stay in the journal
 * until it does; those of a topic that is gone are dropped, and the journal with them.
 */
static void test_partition_not_known(void)
{
    for (uint32_t how = 0; how < 4; how++) {
        struct journal_replay_report report;
        struct uuid asked;
        char why[512], text[201];
        int64_t n;
        up(32);
        append_all(300);
        append_all(300);
        rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
        metadata_spoil(how, text, &n);
        struct journal_replay_options o = rig_replay_options(&r);
        o.missing = keeps;
        o.ctx = &asked;
        CU_ASSERT_EQUAL(journal_replay(&o, &report, why, sizeof(why)), ERR_BUSY);
        CU_ASSERT_EQUAL(asked.b[0], 2);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, rig_dir "/sluice-journal-0"));
        CU_ASSERT_TRUE_FATAL(journal_there());
        CU_ASSERT_EQUAL_FATAL(
            file_replace(r.fs, rig_dir "/b-0", "partition.metadata", text, (size_t)n), 0);
        CU_ASSERT_EQUAL(journal_replay(&o, &report, why, sizeof(why)), 0);
        CU_ASSERT_EQUAL(report.restored.dropped, 0);
        CU_ASSERT_FALSE(journal_there());
        for (uint32_t i = 0; i < rig_parts; i++)
            CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
        CU_ASSERT_EQUAL(end(1), 2);
        down();
    }
}

/*
 * The partition.metadata of one without records in the journal cannot be read (0: it is too large): no
 * matter here. Of one with records: they stay in the journal until it can be read.
 */
static void test_metadata_cannot_be_read(void)
{
    static const char path[] = rig_dir "/z-0/partition.metadata";
    for (uint64_t nth = 0, preads = 1; nth < preads; nth++) {
        struct journal_replay_report report = {0};
        struct uuid asked;
        struct io_file *f;
        char why[512] = "";
        up(32);
        append_all(300);
        rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
        CU_ASSERT_EQUAL_FATAL(r.fs->ops->mkdir(r.fs, rig_dir "/z-0"), 0);
        CU_ASSERT_EQUAL_FATAL(
            r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
        CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, nth ? 10 : 5000), 0);
        r.fs->ops->close(r.fs, f);
        struct journal_replay_options o = rig_replay_options(&r);
        o.missing = keeps;
        o.ctx = &asked;
        uint64_t before = r.sim.ops[SIM_PREAD];
        if (nth)
            io_sim_fail(&r.sim, SIM_PREAD, nth, ERR_IO);
        int err = journal_replay(&o, &report, why, sizeof(why));
        if (nth == 0) {
            CU_ASSERT_EQUAL(err, 0);
            preads = r.sim.ops[SIM_PREAD] - before + 1;
        }
        r.sim.fault_count = 0;
        CU_ASSERT_EQUAL(journal_there(), err != 0);
        if (err)
            CU_ASSERT_EQUAL(journal_replay(&o, &report, why, sizeof(why)), 0);
        CU_ASSERT_EQUAL(report.restored.dropped, 0);
        for (uint32_t i = 0; i < rig_parts; i++) {
            CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
            CU_ASSERT_EQUAL(end(i), i ? 1 : 2);
        }
        down();
    }
}

/* A partition's directory was moved to another log dir after the crash: its records are put there. */
static void test_partition_moved(void)
{
    static const char *const dirs[] = {rig_dir, "/other"};
    struct journal_replay_report report;
    char why[512];
    up(32);
    append_all(300);
    append_all(300);
    rig_crash_parts(&r, p, SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->mkdir(r.fs, "/other"), 0);
    move_dir(r.fs, rig_dir "/b-0", "/other/b-0");
    struct journal_replay_options o = rig_replay_options(&r);
    o.dirs = dirs;
    o.dir_count = 2;
    CU_ASSERT_EQUAL(journal_replay(&o, &report, why, sizeof(why)), 0);
    CU_ASSERT_EQUAL(report.restored.dropped, 0);
    move_dir(r.fs, "/other/b-0", rig_dir "/b-0");
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &p[i]), 0);
    CU_ASSERT_EQUAL(end(1), 2);
    down();
}

UNIT_MAIN("plog/group", UNIT_CASE(test_one_write), UNIT_CASE(test_switch),
          UNIT_CASE(test_more_than_the_ring), UNIT_CASE(test_read), UNIT_CASE(test_journal_fails),
          UNIT_CASE(test_one_fails), UNIT_CASE(test_no_room), UNIT_CASE(test_replay_after_death),
          UNIT_CASE(test_replay_after_power), UNIT_CASE(test_damaged_frame),
          UNIT_CASE(test_damaged_commit), UNIT_CASE(test_refused), UNIT_CASE(test_removal_fails),
          UNIT_CASE(test_cut), UNIT_CASE(test_newer_version), UNIT_CASE(test_partition_not_known),
          UNIT_CASE(test_metadata_cannot_be_read), UNIT_CASE(test_partition_moved))
