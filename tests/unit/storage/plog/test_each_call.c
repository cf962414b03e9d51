/*
 * Each call of the disk made to fail in turn, by the failing backend, in four parts of a log dir's
 * life: while its logs are written, read and lose their oldest segments; at the start after a crash;
 * at a stop; when a partition is removed. Whatever fails: what was acked is there afterwards, byte for
 * byte, the partitions that it does not concern go on, and a start without a fault is whole.
 */
#include <string.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plog/plog_internal.h"
#include "tests/unit/storage/plog/rig.h"

#define rounds      24
#define offsets_max 200
#define calls_most  400 /* more of one operation than a part of the life has */
#define value_most  1500

struct part {
    struct plog *p;            /* NULL: not open */
    int64_t acked;             /* offsets below this one were, or were found after a start */
    int64_t start;             /* the largest log start that was seen */
    uint32_t crc[offsets_max]; /* of what was acked at each offset; 0: it was not */
};

struct fault {
    enum fail_op op;
    enum fail_how how;
    int err;
    uint32_t least; /* so often at least the operation is called there */
};

static struct rig r;
static struct part parts[rig_parts];
static struct plog_marks marks;
static uint32_t hurt; /* lives in which the fault was felt */

static bool failed(const struct part *t)
{
    plog_marks(t->p, &marks);
    return marks.failed;
}

/* --- traffic ---------------------------------------------------------------------------------- */

/* One record each, together. */
static void append_all(void)
{
    struct rig_op op[rig_parts];
    bool sent[rig_parts];
    uint32_t crc[rig_parts];
    struct rig_batch_spec spec = rig_spec();
    for (uint32_t i = 0; i < rig_parts; i++) {
        struct rig_batch b =
            rig_batch_random(&r, &spec, 1, 1 + (uint32_t)rng_below(&r.rng, value_most));
        crc[i] = bytes_get_u32(b.bytes + BATCH_CRC);
        sent[i] = rig_append_start(&r, parts[i].p, &b, &op[i]) == 0;
        rig_batch_free(&b);
    }
    rig_settle(&r);
    for (uint32_t i = 0; i < rig_parts; i++) {
        struct part *t = &parts[i];
        if (!sent[i])
            continue;
        CU_ASSERT_TRUE_FATAL(op[i].done);
        if (op[i].append.error) {
            CU_ASSERT_EQUAL(op[i].append.error, KERR_KAFKA_STORAGE_ERROR);
            CU_ASSERT_TRUE(failed(t));
            continue;
        }
        CU_ASSERT_FATAL(op[i].append.base_offset == t->acked && t->acked < offsets_max);
        t->crc[t->acked++] = crc[i];
    }
}

/* What was read is what was appended there; returns the offset behind it. */
static int64_t check_bytes(const struct part *t, const struct rig_read *read, int64_t offset)
{
    for (uint32_t at = 0; at + batch_header_bytes <= read->size; offset++) {
        const uint8_t *b = read->bytes + at;
        CU_ASSERT_EQUAL_FATAL(bytes_get_i64(b), offset);
        CU_ASSERT(t->crc[offset] == 0 || bytes_get_u32(b + BATCH_CRC) == t->crc[offset]);
        at += bytes_get_u32(b + BATCH_LENGTH) + batch_overhead_bytes;
        if (at > read->size)
            break;
    }
    return offset;
}

/* Somewhere in what is old; a partition whose disk fails says so, and no other thing is ever wrong. */
static void read_some(struct part *t)
{
    struct rig_read read;
    plog_marks(t->p, &marks);
    int64_t offset =
        marks.log_start + (int64_t)rng_below(&r.rng, (uint64_t)(marks.end - marks.log_start));
    int16_t error = rig_read(&r, t->p, offset, 5000, true, &read);
    if (error) {
        CU_ASSERT(error == KERR_KAFKA_STORAGE_ERROR && failed(t));
    } else {
        check_bytes(t, &read, offset);
    }
    rig_read_free(&read);
}

/* Appends and reads; every now and then timers: the journal is drained, old segments go. */
static void traffic(void)
{
    for (uint32_t i = 0; i < rounds; i++) {
        append_all();
        for (uint32_t k = 0; k < rig_parts; k++)
            read_some(&parts[k]);
        if (i % 8 == 7)
            rig_sleep(&r, plog_journal_drain_ms + 1);
        for (uint32_t k = 0; k < rig_parts; k++) {
            plog_marks(parts[k].p, &marks);
            if (marks.log_start > parts[k].start)
                parts[k].start = marks.log_start;
        }
    }
}

/* --- starts and ends -------------------------------------------------------------------------- */

/* As the composition root does; partitions from the first one on. */
static int start(uint32_t first)
{
    struct journal_replay_report report;
    int err = plog_sweep(r.fs, rig_dir);
    if (err == 0)
        err = rig_replay_journals(&r, &report);
    if (err == 0)
        CU_ASSERT(report.damaged == 0 && report.restored.refused == 0);
    for (uint32_t i = first; i < rig_parts && err == 0; i++)
        err = rig_open_part(&r, i, &parts[i].p);
    return err;
}

/* Of what is open, with or without the power. */
static void crash(uint64_t how)
{
    io_sim_crash(&r.sim, how % 2 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
    for (uint32_t i = 0; i < rig_parts; i++) {
        if (parts[i].p == NULL)
            continue;
        rig_detach(&r, parts[i].p);
        plog_close(parts[i].p);
        parts[i].p = NULL;
    }
    CU_ASSERT_EQUAL(r.fail.in_flight, 0);
    rig_crash(&r, NULL, SIM_PROCESS_DEATH);
}

/* Everything acked is there, and readable; what was not may be there too. */
static void check_part(struct part *t)
{
    struct plog_marks m;
    struct rig_read read;
    plog_marks(t->p, &m);
    CU_ASSERT_FATAL(m.end >= t->acked && m.end <= offsets_max && m.log_start <= t->start);
    for (int64_t offset = m.log_start; offset < m.end;) {
        CU_ASSERT_EQUAL_FATAL(rig_read(&r, t->p, offset, 100000, true, &read), 0);
        CU_ASSERT_FATAL(read.size >= batch_header_bytes);
        offset = check_bytes(t, &read, offset);
        rig_read_free(&read);
    }
    t->acked = m.end;
}

static void check_from(uint32_t first)
{
    for (uint32_t i = first; i < rig_parts; i++)
        check_part(&parts[i]);
}

/* Old segments that are in no memory, and a journal. One seed: the same calls up to the one that fails. */
static void up(void)
{
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    rig_use_fail(&r);
    rig_use_journals(&r, 64 * KIB); /* a few rounds, and it turns around */
    r.env.retention_check_ms = 500;
    r.config.segment_bytes = 8000;
    r.config.retention_bytes = 16000;
    r.config.file_delete_delay_ms = 1000;
    memset(parts, 0, sizeof(parts));
    CU_ASSERT_EQUAL_FATAL(start(0), 0);
    for (uint32_t i = 0; i < rounds; i++)
        append_all();
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_EQUAL(rig_close(&r, parts[i].p), 0);
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, i, &parts[i].p), 0);
    }
}

static uint64_t aim(const struct fault *f, uint64_t nth)
{
    io_fail_add(&r.fail, f->op, nth, f->how, f->err);
    return r.fail.calls[f->op] + nth;
}

/* True if the call that was aimed at came; from here on nothing fails any more. */
static bool hit(const struct fault *f, uint64_t at)
{
    bool reached = r.fail.calls[f->op] >= at;
    CU_ASSERT_EQUAL(r.fail.rule_count, !reached);
    r.fail.rule_count = 0;
    return reached;
}

/* After a start all goes on, and the stop is clean. */
static void down(void)
{
    append_all();
    for (uint32_t i = 0; i < rig_parts; i++) {
        CU_ASSERT_FALSE(failed(&parts[i]));
        CU_ASSERT_EQUAL(rig_close(&r, parts[i].p), 0);
    }
    rig_down(&r);
}

/* A file of a partition that is not to be read closes that partition. */
static bool is_own(const struct fault *f, int err)
{
    return err == ERR_CORRUPT && f->err == ERR_IO;
}

/* --- the four parts of its life --------------------------------------------------------------- */

/* Each is told of once; a read that fails is its partition's own matter. */
static void check_domain(const struct fault *f, bool reached)
{
    uint32_t bad = 0;
    for (uint32_t i = 0; i < rig_parts; i++)
        bad += failed(&parts[i]);
    hurt += bad > 0;
    if (!reached || (f->op == FAIL_ALLOCATE && f->err == ERR_NO_SPACE))
        CU_ASSERT_EQUAL(bad, 0); /* no room to make ahead is no failure */
    if (f->op == FAIL_READ || (f->op == FAIL_OPEN && r.disk_errors == 0)) {
        CU_ASSERT(bad <= 1 && r.disk_errors == 0); /* opened to be read, too */
        return;
    }
    /* or their journal says so, where its failed write held nothing of theirs */
    CU_ASSERT(r.disk_errors == bad || (bad == 0 && r.disk_errors == 1 && f->op == FAIL_WRITE));
    if (r.disk_errors)
        CU_ASSERT_EQUAL(r.last_disk_error, f->err);
}

static bool while_it_runs(const struct fault *f, uint64_t nth)
{
    int64_t before[rig_parts];
    up();
    uint64_t at = aim(f, nth);
    traffic();
    bool reached = hit(f, at);
    check_domain(f, reached);
    for (uint32_t i = 0; i < rig_parts; i++)
        before[i] = parts[i].acked;
    append_all();
    for (uint32_t i = 0; i < rig_parts; i++)
        CU_ASSERT_EQUAL(parts[i].acked, before[i] + !failed(&parts[i]));
    crash(nth);
    CU_ASSERT_EQUAL_FATAL(start(0), 0);
    check_from(0);
    down();
    return reached;
}

static bool while_it_starts(const struct fault *f, uint64_t nth)
{
    up();
    traffic();
    crash(nth);
    uint64_t at = aim(f, nth);
    int err = start(0);
    bool reached = hit(f, at);
    CU_ASSERT(err == 0 || (reached && (err == f->err || is_own(f, err))));
    hurt += err != 0;
    if (err) {
        crash(nth / 2);
        CU_ASSERT_EQUAL_FATAL(start(0), 0);
    }
    check_from(0);
    down();
    return reached;
}

static bool while_it_stops(const struct fault *f, uint64_t nth)
{
    up();
    traffic();
    uint64_t at = aim(f, nth);
    bool whole = true;
    for (uint32_t i = 0; i < rig_parts; i++) {
        whole = rig_close(&r, parts[i].p) == 0 && whole;
        parts[i].p = NULL;
    }
    if (whole) /* the journals go last */
        whole = journal_remove_all(r.fs, rig_dir) == 0;
    bool reached = hit(f, at);
    CU_ASSERT(whole || reached);
    hurt += !whole;
    crash(nth);
    CU_ASSERT_EQUAL_FATAL(start(0), 0);
    check_from(0);
    down();
    return reached;
}

static int count_removed(void *ctx, const char *name, bool is_dir)
{
    *(uint32_t *)ctx += strncmp(name, "a-", 2) == 0;
    return 0;
}

static uint32_t removed_left(void)
{
    uint32_t n = 0;
    CU_ASSERT_EQUAL(r.fs->ops->list(r.fs, rig_dir, count_removed, &n), 0);
    return n;
}

/* What said that it went is gone; what did not is swept or can be removed again. Others are whole. */
static bool while_one_goes(const struct fault *f, uint64_t nth)
{
    up();
    traffic();
    rig_detach(&r, parts[0].p);
    uint64_t at = aim(f, nth);
    int err = plog_remove(parts[0].p);
    bool reached = hit(f, at);
    CU_ASSERT(err == 0 || (reached && (err == f->err || is_own(f, err))));
    parts[0] = (struct part){0};
    hurt += err != 0;
    crash(nth);
    CU_ASSERT_EQUAL_FATAL(start(1), 0);
    check_from(1);
    if (removed_left()) {
        CU_ASSERT_FATAL(err != 0 && removed_left() == 1);
        CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, 0, &parts[0].p), 0);
        rig_detach(&r, parts[0].p);
        CU_ASSERT_EQUAL(plog_remove(parts[0].p), 0);
    }
    CU_ASSERT_EQUAL(removed_left(), 0);
    CU_ASSERT_EQUAL_FATAL(rig_open_part(&r, 0, &parts[0].p), 0);
    plog_marks(parts[0].p, &marks);
    CU_ASSERT_EQUAL(marks.end, 0);
    down();
    return reached;
}

static void each_call(bool (*life)(const struct fault *f, uint64_t nth), const struct fault *faults,
                      size_t n)
{
    log_set_level(LOG_LEVEL_ERROR + 1); /* what fails on purpose is said a hundred times */
    for (const struct fault *f = faults; f < faults + n; f++) {
        uint64_t nth = 1,
                 step = f->how == FAIL_ERROR ? 1 : 3; /* ways to fail: not each call each way */
        hurt = 0;
        while (nth < calls_most && life(f, nth))
            nth += step;
        CU_ASSERT(nth < calls_most && nth > f->least);
        CU_ASSERT(hurt > 0 || f->least == 0);
    }
    log_set_level(LOG_LEVEL_INFO);
}

#define EACH_CALL(life, ...)                                                                       \
    do {                                                                                           \
        static const struct fault faults[] = {__VA_ARGS__};                                        \
        each_call(life, faults, sizeof(faults) / sizeof(faults[0]));                               \
    } while (0)

static void test_running_writes(void)
{
    EACH_CALL(while_it_runs, {FAIL_WRITE, FAIL_ERROR, ERR_IO, rounds},
              {FAIL_WRITE, FAIL_PART, ERR_NO_SPACE, rounds},
              {FAIL_WRITE, FAIL_LATE, ERR_IO, rounds});
}

static void test_running_reads(void)
{
    EACH_CALL(while_it_runs, {FAIL_READ, FAIL_ERROR, ERR_IO, 3}, {FAIL_READ, FAIL_PART, ERR_IO, 3},
              {FAIL_READ, FAIL_PART, 0, 3}, {FAIL_READ, FAIL_LATE, ERR_IO, 3});
}

/* Deletion of segments is rename and unlink. */
static void test_running_files(void)
{
    EACH_CALL(while_it_runs, {FAIL_RENAME, FAIL_ERROR, ERR_IO, 10},
              {FAIL_UNLINK, FAIL_ERROR, ERR_IO, 10}, {FAIL_OPEN, FAIL_ERROR, ERR_IO, 3},
              {FAIL_PWRITE, FAIL_ERROR, ERR_IO, 3}, {FAIL_PWRITE, FAIL_PART, ERR_NO_SPACE, 3},
              {FAIL_TRUNCATE, FAIL_ERROR, ERR_IO, 0}, {FAIL_SYNC, FAIL_ERROR, ERR_IO, 3},
              {FAIL_SYNC_DIR, FAIL_ERROR, ERR_IO, 3}, {FAIL_ALLOCATE, FAIL_ERROR, ERR_NO_SPACE, 0},
              {FAIL_STAT, FAIL_ERROR, ERR_IO, 0});
}

static void test_start(void)
{
    EACH_CALL(while_it_starts, {FAIL_LIST, FAIL_ERROR, ERR_IO, 3},
              {FAIL_STAT, FAIL_ERROR, ERR_IO, 3}, {FAIL_OPEN, FAIL_ERROR, ERR_IO, 3},
              {FAIL_PREAD, FAIL_ERROR, ERR_IO, 3}, {FAIL_PREAD, FAIL_PART, ERR_IO, 3},
              {FAIL_PWRITE, FAIL_ERROR, ERR_IO, 3}, {FAIL_PWRITE, FAIL_PART, ERR_NO_SPACE, 3},
              {FAIL_TRUNCATE, FAIL_ERROR, ERR_IO, 0}, {FAIL_SYNC, FAIL_ERROR, ERR_IO, 3},
              {FAIL_SYNC_DIR, FAIL_ERROR, ERR_IO, 3}, {FAIL_RENAME, FAIL_ERROR, ERR_IO, 0},
              {FAIL_UNLINK, FAIL_ERROR, ERR_IO, 0});
}

static void test_stop(void)
{
    EACH_CALL(while_it_stops, {FAIL_WRITE, FAIL_ERROR, ERR_IO, 0},
              {FAIL_OPEN, FAIL_ERROR, ERR_IO, 3}, {FAIL_PWRITE, FAIL_ERROR, ERR_IO, 3},
              {FAIL_PWRITE, FAIL_PART, ERR_NO_SPACE, 3}, {FAIL_TRUNCATE, FAIL_ERROR, ERR_IO, 0},
              {FAIL_SYNC, FAIL_ERROR, ERR_IO, 3}, {FAIL_SYNC_DIR, FAIL_ERROR, ERR_IO, 3},
              {FAIL_LIST, FAIL_ERROR, ERR_IO, 1}, {FAIL_RENAME, FAIL_ERROR, ERR_IO, 0},
              {FAIL_UNLINK, FAIL_ERROR, ERR_IO, 1});
}

static void test_removal(void)
{
    EACH_CALL(while_one_goes, {FAIL_RENAME, FAIL_ERROR, ERR_IO, 0},
              {FAIL_SYNC_DIR, FAIL_ERROR, ERR_IO, 0}, {FAIL_LIST, FAIL_ERROR, ERR_IO, 0},
              {FAIL_UNLINK, FAIL_ERROR, ERR_IO, 3});
}

UNIT_MAIN("plog/each_call", UNIT_CASE(test_running_writes), UNIT_CASE(test_running_reads),
          UNIT_CASE(test_running_files), UNIT_CASE(test_start), UNIT_CASE(test_stop),
          UNIT_CASE(test_removal))
