/* What may lie in a partition's directory, and what opening makes of it. */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

#define dir rig_dir "/topic-0/"

static struct rig r;
static struct plog *p;

/* 12 batches of one record in 4 segments; closed. */
static void up(enum plog_durability durability)
{
    struct rig_op op;
    rig_up(&r, unit_seed(), 64, durability);
    r.config.segment_bytes = 8000;
    r.config.index_interval_bytes = 100;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (int i = 0; i < 12; i++) {
        struct rig_record record = {i, "key", "value", 2500, 0};
        struct rig_batch_spec spec = rig_spec();
        struct rig_batch b = rig_batch_make(&spec, &record, 1);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
}

static void put_file(const char *path, const void *bytes, size_t n)
{
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(
        r.fs->ops->open(r.fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &f), 0);
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, bytes, n, 0), 0);
    r.fs->ops->close(r.fs, f);
}

static void change_byte(const char *path, int64_t at)
{
    struct io_file *f;
    uint8_t b;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    CU_ASSERT_EQUAL(r.fs->ops->pread(r.fs, f, &b, 1, at), 1);
    b ^= 0x10;
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, &b, 1, at), 0);
    CU_ASSERT_EQUAL(r.fs->ops->sync(r.fs, f), 0);
    r.fs->ops->close(r.fs, f);
}

static int64_t size_of(const char *path)
{
    struct fs_stat st;
    int err = r.fs->ops->stat(r.fs, path, &st);
    return err ? err : st.size;
}

static void expect(bool clean, int64_t start, int64_t end)
{
    struct plog_marks m;
    struct rig_read read;
    p = rig_open(&r, clean, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    plog_marks(p, &m);
    CU_ASSERT_EQUAL(m.log_start, start);
    CU_ASSERT_EQUAL(m.end, end);
    for (int64_t offset = start; offset < end; offset++) {
        CU_ASSERT_EQUAL(rig_read(&r, p, offset, 1, true, &read), 0);
        CU_ASSERT(read.size > 2500 && bytes_get_i64(read.bytes) == offset);
        rig_read_free(&read);
    }
}

static void down(void)
{
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    rig_down(&r);
}

static void test_missing_indexes(void)
{
    static const char *const files[] = {
        dir "00000000000000000003.index", dir "00000000000000000003.timeindex",
        dir "00000000000000000009.index", dir "00000000000000000009.timeindex",
        dir "00000000000000000000.index", dir "leader-epoch-checkpoint",
        dir "partition.metadata",         dir "00000000000000000012.snapshot"};
    up(PLOG_FSYNC);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        for (int clean = 0; clean < 2; clean++) {
            CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, files[i]), 0);
            expect(clean, 0, 12);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            CU_ASSERT(size_of(files[i]) > 0); /* made anew */
        }
    }
    expect(true, 0, 12);
    down();
}

static void test_corrupt_indexes(void)
{
    static const char *const files[] = {
        dir "00000000000000000003.index", dir "00000000000000000003.timeindex",
        dir "00000000000000000009.index", dir "00000000000000000009.timeindex"};
    static const uint8_t zeros[1200], noise[23] = {7, 7, 7};
    up(PLOG_FSYNC);
    for (size_t i = 0; i < 4; i++) {
        put_file(files[i], noise, sizeof(noise)); /* no whole number of entries */
        expect(true, 0, 12);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        put_file(files[i], zeros, sizeof(zeros)); /* preallocated by Kafka and never trimmed */
        expect(false, 0, 12);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        put_file(files[i], "", 0);
        expect(true, 0, 12);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    }
    expect(true, 0, 12);
    down();
}

static void test_stray_files(void)
{
    up(PLOG_FSYNC);
    put_file(dir "00000000000000000077.index", "12345678", 8);
    put_file(dir "00000000000000000077.timeindex", "", 0);
    put_file(dir "00000000000000000003.log.deleted", "x", 1);
    put_file(dir "00000000000000000003.log.cleaned", "x", 1);
    put_file(dir "leader-epoch-checkpoint.tmp", "x", 1);
    put_file(dir "00000000000000000005.snapshot", "x", 1);
    put_file(dir "00000000000000000099.snapshot", "x", 1);
    put_file(dir "notes.txt", "mine", 4);
    put_file(dir "12345.logs", "mine", 4);
    CU_ASSERT_EQUAL(r.fs->ops->mkdir(r.fs, dir "sub"), 0);
    expect(true, 0, 12);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000077.index"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000077.timeindex"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000003.log.deleted"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000003.log.cleaned"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "leader-epoch-checkpoint.tmp"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000005.snapshot"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000099.snapshot"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "notes.txt"), 4); /* not ours, not touched */
    CU_ASSERT_EQUAL(size_of(dir "12345.logs"), 4);
    down();
}

static void test_swap_is_finished(void)
{
    up(PLOG_FSYNC);
    CU_ASSERT_EQUAL(r.fs->ops->rename(r.fs, dir "00000000000000000003.log",
                                      dir "00000000000000000003.log.swap"),
                    0);
    CU_ASSERT_EQUAL(r.fs->ops->rename(r.fs, dir "00000000000000000003.index",
                                      dir "00000000000000000003.index.swap"),
                    0);
    expect(false, 0, 12);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000003.log.swap"), ERR_NOT_FOUND);
    down();
}

static void test_empty_and_short_files(void)
{
    static const uint8_t bytes[200] = {1, 2, 3};
    for (size_t n = 0; n < sizeof(bytes); n += 13) {
        up(PLOG_FSYNC);
        put_file(dir "00000000000000000012.log", bytes,
                 n); /* a new segment that never got a batch */
        expect(false, 0, 12);
        CU_ASSERT_EQUAL(size_of(dir "00000000000000000012.log"), 0);
        down();
    }
}

/* Two empty segments, the second behind a hole: it goes, or the log stays closed. */
static void test_empty_behind_a_hole(void)
{
    for (uint64_t nth = 1;; nth++) {
        struct plog *q = NULL;
        up(PLOG_FSYNC);
        put_file(dir "00000000000000000012.log", "", 0);
        put_file(dir "00000000000000000020.log", "", 0);
        uint64_t opened = r.sim.ops[SIM_OPEN];
        io_sim_fail(&r.sim, SIM_OPEN, nth, ERR_FULL);
        if (rig_try_open(&r, "topic", false, 0, -1, &q) == 0) {
            CU_ASSERT_EQUAL(q->end, 12);
            CU_ASSERT_EQUAL(size_of(dir "00000000000000000020.log"), ERR_NOT_FOUND);
            plog_close(q);
        }
        bool whole = r.sim.ops[SIM_OPEN] - opened < nth;
        r.sim.fault_count = 0;
        expect(false, 0, 12);
        down();
        if (whole)
            break;
    }
}

static void test_only_an_empty_file(void)
{
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    CU_ASSERT_EQUAL(r.fs->ops->mkdir(r.fs, rig_dir "/topic-0"), 0);
    put_file(dir "00000000000000000042.log", "", 0);
    expect(false, 42, 42);
    down();
}

static void test_bad_batch_in_the_middle(void)
{
    struct plog *q = NULL;
    up(PLOG_FSYNC);
    change_byte(dir "00000000000000000003.log", 3000);
    /* acked batches follow: not cut silently */
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, 0, -1, &q), ERR_CORRUPT);
    CU_ASSERT_PTR_NULL(q);
    CU_ASSERT(size_of(dir "00000000000000000006.log") > 0);
    /* below the recovery point nothing is scanned, as in Kafka */
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, 9, -1, &q), 0);
    CU_ASSERT_EQUAL(plog_close(q), 0);
    /* with the other promise it is cut there, as in Kafka; what follows must go before anything is written */
    r.env.durability = PLOG_OS;
    io_sim_fail(&r.sim, SIM_UNLINK, 1, ERR_IO);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, 0, -1, &q), ERR_IO);
    CU_ASSERT(size_of(dir "00000000000000000009.log") >= 0);
    expect(false, 0, 4);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000006.log"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000009.index"), ERR_NOT_FOUND);
    down();
}

/* Below the recovery point and after a clean stop no crash explains it, whatever the promise. */
static void test_bad_batch_without_index(void)
{
    static const enum plog_durability promises[] = {PLOG_FSYNC, PLOG_OS};
    for (int i = 0; i < 4; i++) {
        struct plog *q = NULL;
        up(promises[i % 2]);
        if (i >= 2) { /* the last segment has nothing */
            put_file(dir "00000000000000000012.log", "", 0);
            change_byte(dir "00000000000000000009.log", 3000);
            CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "00000000000000000009.index"), 0);
        }
        change_byte(dir "00000000000000000003.log", 3000);
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "00000000000000000003.index"), 0);
        CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_CORRUPT);
        CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, 9, -1, &q), ERR_CORRUPT);
        CU_ASSERT_PTR_NULL(q);
        change_byte(dir "00000000000000000003.log", 3000);
        if (i >= 2) {
            CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_CORRUPT);
            change_byte(dir "00000000000000000009.log", 3000);
        }
        expect(true, 0, 12); /* nothing was cut */
        down();
    }
}

/* Producers are read from the log: where there is no batch their state does not end silently. */
static void test_bad_header_below_producers(void)
{
    static const char *const snapshots[] = {
        dir "00000000000000000003.snapshot", dir "00000000000000000006.snapshot",
        dir "00000000000000000009.snapshot", dir "00000000000000000012.snapshot"};
    struct plog *q = NULL;
    up(PLOG_FSYNC);
    for (size_t i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, snapshots[i]), 0);
    int64_t magic = size_of(dir "00000000000000000003.log") / 3 + BATCH_MAGIC;
    change_byte(dir "00000000000000000003.log", magic);
    change_byte(snapshots[3], 3);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_CORRUPT);
    CU_ASSERT_PTR_NULL(q);
    change_byte(dir "00000000000000000003.log", magic);
    expect(true, 0, 12);
    down();
}

/* A damaged index only costs time there, too. */
static void test_bad_index_below_producers(void)
{
    up(PLOG_FSYNC);
    CU_ASSERT_EQUAL(r.fs->ops->rename(r.fs, dir "00000000000000000012.snapshot",
                                      dir "00000000000000000010.snapshot"),
                    0);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000009.index"), 2 * offset_index_entry_bytes);
    change_byte(dir "00000000000000000009.index", 7);
    expect(true, 0, 12);
    down();
}

/* What was flushed is not what a crash leaves: the last segment's, behind which nothing is. */
static void test_bad_batch_below_the_recovery_point(void)
{
    struct plog *q = NULL;
    struct io_file *f;
    const char *path = dir "00000000000000000009.log";
    up(PLOG_FSYNC);
    int64_t size = size_of(path);
    for (int way = 0; way < 2;
         way++) { /* a bit of the second of three batches; two of them cut off */
        if (way == 0)
            change_byte(path, 3000);
        CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_WRITE, &f), 0);
        if (way == 1)
            CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, size / 3), 0);
        r.fs->ops->close(r.fs, f);
        for (int64_t point = 11; point <= 12; point++) {
            CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, point, -1, &q), ERR_CORRUPT);
            CU_ASSERT_EQUAL(size_of(path), way == 0 ? size : size / 3); /* nothing is cut */
        }
        if (way == 0) /* as it was */
            change_byte(path, 3000);
    }
    /* an empty one behind it holds nothing back */
    put_file(dir "00000000000000000012.log", "", 0);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", false, 12, -1, &q), ERR_CORRUPT);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000012.log"), 0);
    /* up to what was flushed it is all there */
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, 10, -1, &q), 0);
    CU_ASSERT_EQUAL(plog_close(q), 0);
    expect(true, 0, 10);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    /* with the other promise it is cut there, as in Kafka */
    change_byte(path, 100);
    r.env.durability = PLOG_OS;
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, 10, -1, &q), 0);
    CU_ASSERT_EQUAL(q->end, 9);
    CU_ASSERT_EQUAL(plog_close(q), 0);
    rig_down(&r);
}

/* A clean stop flushed everything, whatever the promise: an end that is earlier now is nobody's crash. */
static void test_end_is_gone_after_a_clean_stop(void)
{
    struct plog *q = NULL;
    struct io_file *f;
    for (int mode = 0; mode < 2; mode++) {
        up(mode ? PLOG_OS : PLOG_FSYNC);
        CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", true, 12, -1, &q), 0);
        CU_ASSERT_EQUAL(plog_close(q), 0);
        const char *path = dir "00000000000000000009.log";
        CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_WRITE, &f), 0);
        CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 0), 0);
        r.fs->ops->close(r.fs, f);
        CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, 12, -1, &q), ERR_CORRUPT);
        CU_ASSERT_EQUAL(size_of(path), 0); /* nothing is changed */
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, path), 0);
        CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, 12, -1, &q), ERR_CORRUPT);
        /* with its line taken out of the checkpoint it opens with what there is */
        expect(true, 0, 9);
        down();
    }
}

/* A read that fails or comes short at the open says nothing of what the segment has: nothing is cut. */
static void reads_fail(enum plog_durability durability, enum fail_how how, int err)
{
    uint64_t nth = 1, met = 0;
    for (bool whole = false; !whole; nth++) {
        struct plog *q = NULL;
        struct io_file *f;
        up(durability);
        rig_use_fail(&r);
        CU_ASSERT_EQUAL_FATAL(
            r.fs->ops->open(r.fs, dir "00000000000000000003.log", IO_OPEN_READ | IO_OPEN_WRITE, &f),
            0);
        CU_ASSERT_EQUAL(r.fs->ops->truncate(r.fs, f, 20000), 0); /* room, not cut at the roll */
        r.fs->ops->close(r.fs, f);
        uint64_t at = r.fail.calls[FAIL_PREAD] + nth;
        io_fail_add(&r.fail, FAIL_PREAD, nth, how, err);
        met += rig_try_open(&r, "topic", false, 0, -1, &q) != 0;
        CU_ASSERT_EQUAL(plog_close(q), 0);
        whole = r.fail.calls[FAIL_PREAD] < at;
        r.fail.rule_count = 0;
        expect(false, 0, 12);
        down();
    }
    CU_ASSERT(met >= (how == FAIL_ERROR ? 6 : 1)); /* who reads on after a short one goes on */
}

static void test_reads_fail_at_open(void)
{
    static const enum plog_durability promises[] = {PLOG_FSYNC, PLOG_OS};
    log_set_level(LOG_LEVEL_ERROR + 1);
    for (int i = 0; i < 2; i++) {
        reads_fail(promises[i], FAIL_ERROR, ERR_IO);
        reads_fail(promises[i], FAIL_PART, 0);
    }
    log_set_level(LOG_LEVEL_INFO);
}

static void append_one(int i)
{
    struct rig_op op;
    struct rig_record record = {i, "key", "value", 2500, 0};
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    rig_append(&r, p, &b, &op);
    rig_batch_free(&b);
}

/* Every record below the end is what was appended there; returns the end. */
static int64_t end_of_whole(void)
{
    struct plog_marks m;
    struct rig_read read;
    plog_marks(p, &m);
    for (int64_t offset = 0; offset < m.end; offset++) {
        CU_ASSERT_EQUAL(rig_read(&r, p, offset, 1, true, &read), 0);
        CU_ASSERT(read.size > 2500 && bytes_get_i64(read.bytes) == offset);
        rig_read_free(&read);
    }
    return m.end;
}

/*
 * A flush fails; the process dies and the next one finds everything, in the page cache. It says what is
 * flushed, and then the power goes: that must be there, though no later flush fails.
 */
static void flush_that_failed(bool marked)
{
    uint32_t marks = 0;
    for (uint32_t round = 0; round < 40; round++) {
        struct plog_marks m;
        up(PLOG_OS);
        r.sim.no_direct = true; /* the page cache keeps what is not on the medium */
        p = rig_open(&r, true, NULL);
        io_sim_fail(&r.sim, SIM_SYNC, 1 + round % 10, ERR_IO);
        for (int i = 12; i < 24; i++)
            append_one(i);
        plog_marks(p, &m);
        CU_ASSERT(m.failed && m.high_watermark >= 12);
        r.sim.fault_count = 0;
        rig_crash(&r, p, SIM_PROCESS_DEATH);
        marks += size_of(dir "flush-failed") == 0;
        if (!marked)
            r.fs->ops->unlink(r.fs, dir "flush-failed");
        r.rewrite = !marked;
        p = rig_open(&r, false, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT(end_of_whole() >= m.high_watermark);
        int64_t point = plog_recovery_point(p);
        CU_ASSERT(point >= 12);
        CU_ASSERT_EQUAL(size_of(dir "flush-failed"), ERR_NOT_FOUND);
        rig_crash(&r, p, SIM_POWER_CUT);
        CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, point, -1, &p), 0);
        CU_ASSERT_EQUAL(plog_close(p), 0);
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT(end_of_whole() >= point);
        down();
    }
    CU_ASSERT(marks > 4); /* the other times it was an index or a snapshot */
}

static void test_flush_that_failed(void)
{
    flush_that_failed(true);
}

/* From `os` to `fsync`: what is found is promised anew, whatever happened to it before. */
static void test_rewrite(void)
{
    flush_that_failed(false);
}

/*
 * A power cut took the bytes of a segment that was deleted, and the deletion too: nobody misses them, and
 * the log goes on.
 */
static void test_bad_segment_below_the_start(void)
{
    for (int k = 0; k < 4; k++) {
        struct plog_marks m;
        up(k % 2 ? PLOG_OS : PLOG_FSYNC);
        change_byte(dir "00000000000000000000.log", 100);
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "00000000000000000000.index"), 0);
        CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, k / 2 ? 12 : 0, 3, &p), 0);
        plog_attach(p, &r.env);
        plog_marks(p, &m);
        CU_ASSERT(m.log_start == 3 && m.end == 12);
        plog_retention(p);
        rig_settle(&r);
        CU_ASSERT_EQUAL(size_of(dir "00000000000000000000.log"), ERR_NOT_FOUND);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        expect(true, 3, 12);
        down();
    }
}

static void test_other_topic_id(void)
{
    up(PLOG_FSYNC);
    struct plog *q = NULL;
    put_file(dir "partition.metadata", "version: 0\ntopic_id: BBBBBBBBBBBBBBBBBBBBBA", 43);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_EXISTS);
    static const char *const damaged[] = {
        "garbage",
        "version: 0\ntopic_id: BBBBBBBBBBBBBBBBBBBBB",
        "version: 0\ntopic_id: BBBBBBBBBBBBBBBBBBBBBB",
        "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA\nmore",
        "version: 0\ntopic_iD: AAAAAAAAAAAAAAAAAAAAAA",
        "version 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
        "Version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
        "version: \ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
    };
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        put_file(dir "partition.metadata", damaged[i], strlen(damaged[i]));
        CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_CORRUPT);
    }
    put_file(dir "partition.metadata", "version: 10\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA", 44);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, -1, &q), ERR_UNSUPPORTED);
    CU_ASSERT_PTR_NULL(q);
    rig_down(&r);
}

/* The log start is never ahead of the medium: a checkpoint that says so is wrong, not the log. */
static void test_log_start_behind_the_durable_end(void)
{
    char why[512] = "";
    up(PLOG_FSYNC);
    for (int clean = 0; clean < 2; clean++) {
        struct plog_open o = {.fs = r.fs,
                              .log_dir = rig_dir,
                              .topic = STR("topic"),
                              .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                              .config = r.config,
                              .clean = clean,
                              .recovery_point = 12,
                              .log_start = 13,
                              .wall_ms = r.wall_ms,
                              .durability = PLOG_FSYNC};
        CU_ASSERT_EQUAL(plog_open(&p, &o, why, sizeof(why)), ERR_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(why, rig_dir "/log-start-offset-checkpoint: log start 13 of "
                                                   "topic-0, whose log ends at 12"));
        o.log_start = 12; /* all of it was deleted */
        CU_ASSERT_EQUAL_FATAL(plog_open(&p, &o, why, sizeof(why)), 0);
        CU_ASSERT_EQUAL(plog_close(p), 0);
    }
    expect(true, 0, 12); /* nothing went */
    down();
}

static void test_log_start_behind_the_end(void)
{
    struct plog_marks m;
    up(PLOG_OS);
    io_sim_fail(&r.sim, SIM_UNLINK, 1, ERR_IO);
    CU_ASSERT_EQUAL(rig_try_open(&r, "topic", true, -1, 100, &p), ERR_IO);
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", true, -1, 100, &p), 0);
    plog_attach(p, &r.env);
    plog_marks(p, &m);
    CU_ASSERT_EQUAL(m.log_start, 100);
    CU_ASSERT_EQUAL(m.end, 100);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000003.log"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(dir "00000000000000000100.log"), 0);
    down();
}

static void test_leader_epochs(void)
{
    struct plog_open o = {0};
    struct rig_op op;
    int32_t found;
    int64_t end;
    up(PLOG_FSYNC);
    o = (struct plog_open){.fs = r.fs,
                           .log_dir = rig_dir,
                           .topic = STR("topic"),
                           .partition = 0,
                           .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                           .leader_epoch = 5,
                           .config = r.config,
                           .clean = true,
                           .recovery_point = -1,
                           .log_start = -1,
                           .wall_ms = r.wall_ms};
    CU_ASSERT_EQUAL_FATAL(plog_open(&p, &o, NULL, 0), 0);
    plog_attach(p, &r.env);
    struct rig_batch_spec spec = rig_spec();
    struct rig_batch b = rig_batch_random(&r, &spec, 3, 10);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    rig_batch_free(&b);
    plog_epoch_end(p, 0, &found, &end);
    CU_ASSERT(found == 0 && end == 12);
    plog_epoch_end(p, 3, &found, &end);
    CU_ASSERT(found == 0 && end == 12);
    plog_epoch_end(p, 5, &found, &end);
    CU_ASSERT(found == 5 && end == 15);
    plog_epoch_end(p, 6, &found, &end);
    CU_ASSERT(found == -1 && end == -1);
    CU_ASSERT_EQUAL(plog_epoch_at(p, 11), 0);
    CU_ASSERT_EQUAL(plog_epoch_at(p, 12), 5);
    /* the file is lost in a crash: the batches carry it */
    CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "leader-epoch-checkpoint"), 0);
    rig_crash(&r, p, SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, 0, -1, &p), 0);
    plog_attach(p, &r.env);
    plog_epoch_end(p, 0, &found, &end);
    CU_ASSERT(found == 0 && end == 12);
    CU_ASSERT_EQUAL(plog_epoch_at(p, 14), 5);
    down();
}

/* A crash in the middle of any operation of the recovery itself; then it succeeds. */
static void test_crash_during_recovery(void)
{
    for (uint64_t nth = 1; nth < 60; nth++) {
        up(PLOG_FSYNC);
        change_byte(dir "00000000000000000009.log", 3000);
        CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, dir "00000000000000000003.index"), 0);
        CU_ASSERT_EQUAL(r.fs->ops->sync_dir(r.fs, rig_dir), 0);
        io_sim_crash_at(&r.sim, nth, SIM_POWER_CUT);
        struct plog *q = NULL;
        int err = rig_try_open(&r, "topic", false, 0, -1, &q);
        if (err == 0)
            plog_close(q);
        if (r.sim.dead)
            rig_crash(&r, NULL, SIM_POWER_CUT);
        r.sim.die_at = 0;
        expect(false, 0, 10);
        down();
    }
}

/*
 * More sealed segments than may be open at once: the longest unused are closed, all stay readable.
 */
static void test_many_segments(void)
{
    struct rig_op op;
    struct rig_read read;
    enum { segments = plog_segments_open_max + 40 };
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.segment_bytes = 1;
    r.config.segment_index_bytes = 4096;
    p = rig_open(&r, true, NULL);
    for (int i = 0; i < segments; i++) {
        struct rig_batch_spec spec = rig_spec();
        struct rig_batch b = rig_batch_random(&r, &spec, 1, 10);
        r.config.segment_bytes = b.size;
        plog_configure(p, &r.config);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    CU_ASSERT(r.sim.open_files <= 2 * plog_segments_open_max + 2); /* each also with O_DIRECT */
    rig_detach(&r, p);
    plog_attach(p, &r.env);
    for (int i = 0; i < 2 * segments; i++) {
        int64_t offset = (int64_t)rng_below(&r.rng, segments);
        CU_ASSERT_EQUAL(rig_read(&r, p, offset, 1, true, &read), 0);
        CU_ASSERT(read.size > 61 && bytes_get_i64(read.bytes) == offset);
        rig_read_free(&read);
    }
    down();
}

UNIT_MAIN("plog/recover", UNIT_CASE(test_missing_indexes), UNIT_CASE(test_corrupt_indexes),
          UNIT_CASE(test_stray_files), UNIT_CASE(test_swap_is_finished),
          UNIT_CASE(test_empty_and_short_files), UNIT_CASE(test_empty_behind_a_hole),
          UNIT_CASE(test_only_an_empty_file), UNIT_CASE(test_bad_batch_in_the_middle),
          UNIT_CASE(test_bad_batch_without_index), UNIT_CASE(test_bad_header_below_producers),
          UNIT_CASE(test_bad_index_below_producers),
          UNIT_CASE(test_bad_batch_below_the_recovery_point),
          UNIT_CASE(test_end_is_gone_after_a_clean_stop), UNIT_CASE(test_other_topic_id),
          UNIT_CASE(test_log_start_behind_the_end),
          UNIT_CASE(test_log_start_behind_the_durable_end), UNIT_CASE(test_leader_epochs),
          UNIT_CASE(test_crash_during_recovery), UNIT_CASE(test_reads_fail_at_open),
          UNIT_CASE(test_flush_that_failed), UNIT_CASE(test_rewrite),
          UNIT_CASE(test_bad_segment_below_the_start), UNIT_CASE(test_many_segments))
