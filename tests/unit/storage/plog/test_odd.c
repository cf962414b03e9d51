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

/* A segment in the middle that somebody cut to nothing: as one that is missing. */
static void test_segment_empty(void)
{
    struct rig_op op;
    struct rig_read read;
    struct io_file *file;
    for (int clean = 0; clean < 2; clean++) {
        up();
        for (int i = 0; i < 10; i++)
            CU_ASSERT_EQUAL(append(&op), 0);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, dir "00000000000000000004.log",
                                              IO_OPEN_WRITE | IO_OPEN_TRUNCATE, &file),
                              0);
        r.fs->ops->close(r.fs, file);
        p = rig_open(&r, clean, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        for (int64_t at = 0; at < 10; at++) {
            CU_ASSERT_EQUAL(rig_read(&r, p, at, 100, true, &read), 0);
            CU_ASSERT_FATAL(read.size >= 8);
            CU_ASSERT_EQUAL(bytes_get_i64(read.bytes), at == 4 || at == 5 ? 6 : at);
            rig_read_free(&read);
        }
        CU_ASSERT_EQUAL(append(&op), 0);
        CU_ASSERT_EQUAL(op.append.base_offset, 10);
        down();
    }
}

/* The disk says that one file is far larger than it is: what a hole in a file looks like. */
static struct fs_ops lying;
static const struct fs_ops *honest;
static const char *large;
static int64_t large_bytes;
static struct io_file *large_file;

static int lie_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    int err = honest->open(fs, path, flags, out);
    if (err == 0 && strcmp(path, large) == 0)
        large_file = *out;
    return err;
}

static void lie_close(struct fs *fs, struct io_file *file)
{
    if (file == large_file)
        large_file = NULL;
    honest->close(fs, file);
}

static int lie_size(struct fs *fs, struct io_file *file, int64_t *out)
{
    int err = honest->size(fs, file, out);
    if (err == 0 && file == large_file)
        *out = large_bytes;
    return err;
}

static int lie_stat(struct fs *fs, const char *path, struct fs_stat *out)
{
    int err = honest->stat(fs, path, out);
    if (err == 0 && strcmp(path, large) == 0)
        out->size = large_bytes;
    return err;
}

static void lie(const char *path, int64_t bytes)
{
    honest = r.fs->ops;
    lying = *honest;
    lying.open = lie_open;
    lying.close = lie_close;
    lying.size = lie_size;
    lying.stat = lie_stat;
    large = path;
    large_bytes = bytes;
    large_file = NULL;
    r.fs->ops = &lying;
}

/* What can be made anew is, without reading it; what cannot keeps the partition closed. */
static void test_oversized_files(void)
{
    static const struct {
        const char *path;
        int64_t bytes;
        int err;
    } files[] = {
        {dir "00000000000000000004.log", 3LL << 30, ERR_CORRUPT},
        {dir "00000000000000000008.log", 3LL << 30, ERR_CORRUPT},
        {dir "00000000000000000004.index", 1LL << 40, 0},
        {dir "00000000000000000004.timeindex", (1LL << 40) / 12 * 12, 0},
        {dir "00000000000000000008.index", 1LL << 40, 0},
        {dir "leader-epoch-checkpoint", 1LL << 40, 0},
        {dir "00000000000000000010.snapshot", 1LL << 40, 0},
        {dir "partition.metadata", 1LL << 40, ERR_CORRUPT},
    };
    struct rig_op op;
    struct rig_read read;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct fs_stat st;
        up();
        for (int k = 0; k < 10; k++)
            CU_ASSERT_EQUAL(append(&op), 0);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        CU_ASSERT_EQUAL_FATAL(r.fs->ops->stat(r.fs, files[i].path, &st), 0);
        lie(files[i].path, files[i].bytes);
        CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", true, -1, -1, &p), files[i].err);
        if (files[i].err == 0) {
            plog_attach(p, &r.env);
            for (int64_t at = 0; at < 10; at++) {
                CU_ASSERT_EQUAL(rig_read(&r, p, at, 100, true, &read), 0);
                CU_ASSERT(read.size >= 8 && bytes_get_i64(read.bytes) == at);
                rig_read_free(&read);
            }
            r.fs->ops = honest;
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        }
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        r.fs->ops = honest;
        rig_down(&r);
    }
}

/* partition.metadata of a version that is not known here: refused, not taken for another topic's. */
static void test_newer_metadata(void)
{
    static const char text[] = "version: 1\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA";
    struct io_file *file;
    up();
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    CU_ASSERT_EQUAL_FATAL(
        r.fs->ops->open(r.fs, dir "partition.metadata", IO_OPEN_WRITE | IO_OPEN_TRUNCATE, &file),
        0);
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, file, text, sizeof(text) - 1, 0), 0);
    r.fs->ops->close(r.fs, file);
    char why[512] = "";
    struct plog_open o = {.fs = r.fs,
                          .log_dir = r.log_dir,
                          .topic = str_from("topic"),
                          .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
                          .config = r.config,
                          .clean = true,
                          .recovery_point = -1,
                          .log_start = -1};
    CU_ASSERT_EQUAL(plog_open(&p, &o, why, sizeof(why)), ERR_UNSUPPORTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "topic-0/partition.metadata: is of no version known here"));
    rig_down(&r);
}

UNIT_MAIN("storage/plog/odd", UNIT_CASE(test_clock_jumps), UNIT_CASE(test_segment_missing),
          UNIT_CASE(test_segment_empty), UNIT_CASE(test_oversized_files),
          UNIT_CASE(test_newer_metadata))
