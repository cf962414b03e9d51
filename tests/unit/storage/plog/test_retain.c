/* Old segments: by size, by age, by the log start; delete-records. */
#include <string.h>

#include "base/log.h"
#include "tests/unit/storage/plog/rig.h"

static struct rig r;
static struct plog *p;

/* `segments` segments of some batches each, one second apart; the active one has a batch too. */
static void up(uint32_t segments)
{
    struct rig_op op;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.segment_bytes = 8000;
    r.config.file_delete_delay_ms = 500;
    r.env.retention_check_ms = 100;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (uint32_t i = 0; i < segments * 3; i++) {
        struct rig_record record = {0, "key", "value", 2500, 0};
        struct rig_batch_spec spec = rig_spec();
        spec.base_timestamp = rig_wall_ms + i * 1000;
        struct rig_batch b = rig_batch_make(&spec, &record, 1);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
}

static struct plog_marks marks(void)
{
    struct plog_marks m;
    plog_marks(p, &m);
    return m;
}

static void configure(int64_t bytes, int64_t ms)
{
    struct plog_config c = r.config;
    c.retention_bytes = bytes;
    c.retention_ms = ms;
    plog_configure(p, &c);
}

struct suffix_count {
    const char *suffix;
    uint32_t found;
};

static int count_suffix(void *ctx, const char *name, bool is_dir)
{
    struct suffix_count *want = ctx;
    size_t n = strlen(name), m = strlen(want->suffix);
    if (n >= m && strcmp(name + n - m, want->suffix) == 0)
        want->found++;
    return 0;
}

static uint32_t files(const char *suffix)
{
    struct suffix_count want = {suffix, 0};
    CU_ASSERT_EQUAL(r.fs->ops->list(r.fs, rig_dir "/topic-0", count_suffix, &want), 0);
    return want.found;
}

static void down(void)
{
    struct cache_stats stats;
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    cache_stats(r.cache, &stats);
    CU_ASSERT_EQUAL(stats.free, stats.chunks);
    rig_down(&r);
}

static void test_by_size(void)
{
    up(10);
    CU_ASSERT_EQUAL(files(".log"), 10);
    configure(marks().size_bytes, -1);
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(marks().log_start, 0); /* exactly the size: nothing goes */
    configure(marks().size_bytes - 7600 * 3, -1);
    rig_sleep(&r, 200);
    /*
     * three batches of a bit over 2500 bytes a segment: deleted while what is over is not less than
     * a segment
     */
    CU_ASSERT(marks().log_start == 6 || marks().log_start == 9);
    uint32_t gone = (uint32_t)marks().log_start / 3;
    CU_ASSERT_EQUAL(files(".log"), 10 - gone);
    CU_ASSERT_EQUAL(files(".log.deleted"), gone);
    CU_ASSERT_EQUAL(files(".snapshot"), 9 - (gone - 1));
    rig_sleep(&r, 600);
    CU_ASSERT_EQUAL(files(".deleted"), 0);
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, marks().log_start - 1, 100, true, &read),
                    KERR_OFFSET_OUT_OF_RANGE);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(rig_read(&r, p, marks().log_start, 100, true, &read), 0);
    CU_ASSERT(read.size > 0);
    rig_read_free(&read);
    down();
}

static void test_by_age(void)
{
    up(5); /* timestamps 0 to 14 s after the start */
    configure(-1, 60000);
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(marks().log_start, 0);
    rig_sleep(&r, 60000 + 2000 - 200);
    CU_ASSERT_EQUAL(marks().log_start, 0); /* exactly the age of the first segment's newest */
    rig_sleep(&r, 101);
    CU_ASSERT_EQUAL(marks().log_start, 3);
    rig_sleep(&r, 3000);
    CU_ASSERT_EQUAL(marks().log_start, 6);
    /* all of it: the active segment goes too, the log goes on at the end */
    rig_sleep(&r, 100000);
    CU_ASSERT_EQUAL(marks().log_start, 15);
    CU_ASSERT_EQUAL(marks().end, 15);
    CU_ASSERT_EQUAL(marks().size_bytes, 0);
    rig_sleep(&r, 1000);
    CU_ASSERT_EQUAL(files(".log"), 1);
    CU_ASSERT_EQUAL(files(".deleted"), 0);
    struct rig_op op;
    struct rig_batch_spec spec = rig_spec();
    spec.base_timestamp = r.wall_ms;
    struct rig_batch b = rig_batch_random(&r, &spec, 2, 10);
    CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
    CU_ASSERT_EQUAL(op.append.base_offset, 15);
    CU_ASSERT_EQUAL(op.append.log_start_offset, 15);
    rig_batch_free(&b);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_EQUAL(marks().log_start, 15);
    CU_ASSERT_EQUAL(marks().end, 17);
    down();
}

/* A byte of the last entry of a segment's time index: its timestamp is years ago, and still rises. */
static void make_look_old(const char *path)
{
    struct io_file *f;
    struct fs_stat st;
    uint8_t year;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->stat(r.fs, path, &st), 0);
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    for (int64_t at = 3; at < st.size; at += 12) { /* every entry's */
        CU_ASSERT_EQUAL(r.fs->ops->pread(r.fs, f, &year, 1, at), 1);
        year ^= 0x80;
        CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, &year, 1, at), 0);
    }
    CU_ASSERT_EQUAL(r.fs->ops->sync(r.fs, f), 0);
    r.fs->ops->close(r.fs, f);
}

/* After a start ages are known from the time indexes alone, until the batches were looked at. */
static void test_by_age_after_a_start(void)
{
    up(5); /* timestamps 0 to 14 s after the start */
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    for (int i = 0; i < 15; i += 3) {
        char path[80];
        snprintf(path, sizeof(path), rig_dir "/topic-0/%020d.timeindex", i);
        make_look_old(path);
    }
    r.config.retention_ms = 60000;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(marks().log_start, 0);
    rig_sleep(&r, 60000 + 2000 - 200);
    CU_ASSERT_EQUAL(marks().log_start, 0);
    rig_sleep(&r, 101);
    CU_ASSERT_EQUAL(marks().log_start, 3);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    p = rig_open(&r, true, NULL); /* a right one lets it go, several at once */
    rig_sleep(&r, 6001);
    CU_ASSERT_EQUAL(marks().log_start, 9);
    rig_sleep(&r, 100000); /* the active one too */
    CU_ASSERT_EQUAL(marks().log_start, 15);
    CU_ASSERT_EQUAL(marks().size_bytes, 0);
    down();
}

/* Where the batches cannot be read the file's time counts; where memory is short it is asked again. */
static void test_age_of_what_cannot_be_read(void)
{
    static const int errors[] = {ERR_IO, ERR_NO_MEMORY};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        up(3);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        make_look_old(rig_dir "/topic-0/00000000000000000000.timeindex");
        r.config.retention_ms = 60000;
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        for (uint64_t nth = 3; nth <= 4; nth++) /* behind the two indexes */
            io_sim_fail(&r.sim, SIM_PREAD, nth, errors[i]);
        rig_sleep(&r, 200);
        CU_ASSERT_EQUAL(r.sim.fault_count, 0);
        CU_ASSERT_EQUAL(marks().log_start, 0);
        CU_ASSERT_FALSE(marks().failed);
        rig_sleep(&r, 59000);
        CU_ASSERT_EQUAL(marks().log_start, 0);
        rig_sleep(&r, 100000);
        CU_ASSERT_EQUAL(marks().log_start, 9);
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        down();
    }
}

static void test_compact_only_keeps(void)
{
    up(5);
    struct plog_config c = r.config;
    c.cleanup_delete = false;
    c.cleanup_compact = true;
    c.retention_bytes = 0;
    c.retention_ms = 0;
    plog_configure(p, &c);
    rig_sleep(&r, 1000000);
    CU_ASSERT_EQUAL(marks().log_start, 0);
    int64_t low = -7;
    CU_ASSERT_EQUAL(plog_delete_records(p, 3, &low), KERR_POLICY_VIOLATION);
    down();
}

static void test_delete_records(void)
{
    int64_t low = -7;
    up(5);
    CU_ASSERT_EQUAL(plog_delete_records(p, 16, &low), KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(plog_delete_records(p, -2, &low), KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(low, -7);
    CU_ASSERT_EQUAL(plog_delete_records(p, 4, &low), 0);
    CU_ASSERT_EQUAL(low, 4);
    rig_settle(&r);
    CU_ASSERT_EQUAL(files(".log"), 5); /* segments go with the next check, as in Kafka */
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(files(".log"), 4);                   /* the first one is wholly before it */
    CU_ASSERT_EQUAL(plog_delete_records(p, 2, &low), 0); /* never back */
    CU_ASSERT_EQUAL(low, 4);
    struct rig_read read;
    CU_ASSERT_EQUAL(rig_read(&r, p, 3, 100, true, &read), KERR_OFFSET_OUT_OF_RANGE);
    CU_ASSERT_EQUAL(read.read.log_start_offset, 4);
    rig_read_free(&read);
    CU_ASSERT_EQUAL(plog_delete_records(p, -1, &low), 0);
    CU_ASSERT_EQUAL(low, 15);
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(marks().log_start, 15);
    CU_ASSERT_EQUAL(marks().stable, 15);
    CU_ASSERT_EQUAL(files(".log"), 1); /* the active one stays */
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    /* control's checkpoint brings the log start back */
    CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", true, -1, 15, &p), 0);
    plog_attach(p, &r.env);
    CU_ASSERT_EQUAL(marks().log_start, 15);
    CU_ASSERT_EQUAL(marks().end, 15);
    down();
}

/* A deletion waits for the readers of the segment, and what they were lent stays. */
static void on_read(struct plog_read *read)
{
}

static void test_reader_of_a_deleted_segment(void)
{
    int64_t low;
    up(5);
    rig_detach(&r, p); /* drops what is cached: reads go to the disk */
    plog_attach(p, &r.env);
    struct plog_read read = {.offset = 0, .max_bytes = 5000, .min_one = true, .done = on_read};
    plog_read(p, &read);
    CU_ASSERT_EQUAL(plog_delete_records(p, 9, &low), 0);
    r.now_ns += 200 * 1000000LL; /* the check comes while the read is under way */
    rig_settle(&r);
    CU_ASSERT_EQUAL(read.error, 0);
    CU_ASSERT(read.data.bytes > 2500);
    rig_sleep(&r, 2000);
    CU_ASSERT_EQUAL(files(".deleted"), 0);
    uint8_t base[8];
    chain_copy_out(&read.data, 0, base, 8);
    CU_ASSERT_EQUAL(bytes_get_i64(base), 0);
    chain_free(&read.data);
    down();
}

static void test_stop_before_the_unlink(void)
{
    int64_t low;
    up(5);
    CU_ASSERT_EQUAL(plog_delete_records(p, 9, &low), 0);
    rig_sleep(&r, 200);
    CU_ASSERT_EQUAL(files(".log.deleted"), 3);
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    CU_ASSERT_EQUAL(files(".deleted"), 0);
    p = rig_open(&r, true, NULL);
    CU_ASSERT_EQUAL(marks().log_start, 9);
    down();
}

/* All is too old, and the new segment cannot be made: offsets must not begin again. */
static void test_no_file_for_the_new_segment(void)
{
    static const int errors[] = {ERR_NO_SPACE, ERR_IO};
    log_set_level(LOG_LEVEL_ERROR + 1);
    for (uint32_t segments = 1; segments <= 4; segments += 3) {
        for (int i = 0; i < 2; i++) {
            up(segments);
            int64_t end = marks().end;
            configure(-1, 1000);
            io_sim_fail(&r.sim, SIM_OPEN, 1, errors[i]);
            rig_sleep(&r, 60000);
            CU_ASSERT(marks().failed);
            CU_ASSERT_EQUAL(marks().log_start, end);
            CU_ASSERT(rig_close(&r, p) != 0);
            /* the checkpoints are those of before */
            CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, 0, -1, &p), 0);
            plog_attach(p, &r.env);
            CU_ASSERT_EQUAL(marks().end, end);
            down();
        }
    }
    log_set_level(LOG_LEVEL_INFO);
}

/* Without any segment the checkpoints say which offsets were given out. */
static void test_no_segments(void)
{
    static const int64_t cases[][3] = {{9, 4, 9}, {4, 9, 9}, {-1, 9, 9}, {9, -1, 9}, {-1, -1, 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
        CU_ASSERT_EQUAL_FATAL(rig_try_open(&r, "topic", false, cases[i][0], cases[i][1], &p), 0);
        plog_attach(p, &r.env);
        CU_ASSERT_EQUAL(marks().log_start, cases[i][2]);
        CU_ASSERT_EQUAL(marks().end, cases[i][2]);
        down();
    }
}

UNIT_MAIN("plog/retain", UNIT_CASE(test_by_size), UNIT_CASE(test_by_age),
          UNIT_CASE(test_by_age_after_a_start), UNIT_CASE(test_age_of_what_cannot_be_read),
          UNIT_CASE(test_compact_only_keeps), UNIT_CASE(test_delete_records),
          UNIT_CASE(test_reader_of_a_deleted_segment), UNIT_CASE(test_stop_before_the_unlink),
          UNIT_CASE(test_no_file_for_the_new_segment), UNIT_CASE(test_no_segments))
