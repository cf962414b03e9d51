/*
 * Bits that turn in files that lie still: each file of a partition, one bit at a time. Whatever the
 * bit: the start ends, no read hands out what was not appended there, it is said which file, and the
 * damage stays the partition's (env->disk_error is for the log dir, and is not called).
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "storage/plog/batch.h"
#include "tests/unit/storage/plog/rig.h"

#define dir            rig_dir "/topic-0/"
#define appended       12
#define kept_bytes_max 4096
#define file_bytes_max 16384

static struct rig r;
static struct plog *p;
static int lines = -1; /* where the log goes */
static struct {
    uint8_t bytes[kept_bytes_max];
    uint32_t size;
} kept[appended]; /* as read before anything was damaged */

static struct {
    const char *path;
    uint8_t bytes[file_bytes_max];
    int64_t size;
} file;

static void lines_begin(void)
{
    if (lines < 0)
        lines = memfd_create("lines", 0);
    CHECK(lines >= 0 && ftruncate(lines, 0) == 0 && lseek(lines, 0, SEEK_SET) == 0);
    log_set_fd(lines);
}

static bool said(const char *part)
{
    static char text[65536];
    ssize_t n = pread(lines, text, sizeof(text) - 1, 0);
    CHECK(n >= 0);
    text[n] = '\0';
    return strstr(text, part) != NULL;
}

/* 12 batches of one record in 4 segments, an index entry for each but the first. */
static void up(void)
{
    struct rig_op op;
    struct rig_read read;
    rig_up(&r, unit_seed(), 64, PLOG_FSYNC);
    r.config.segment_bytes = 8000;
    r.config.index_interval_bytes = 100;
    p = rig_open(&r, true, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    for (int i = 0; i < appended; i++) {
        struct rig_record record = {i, "key", "value", 2500, 0};
        struct rig_batch_spec spec = rig_spec();
        spec.producer_id = 77;
        spec.producer_epoch = 0;
        spec.base_sequence = i;
        struct rig_batch b = rig_batch_make(&spec, &record, 1);
        CU_ASSERT_EQUAL_FATAL(rig_append(&r, p, &b, &op), 0);
        rig_batch_free(&b);
    }
    for (int i = 0; i < appended; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_read(&r, p, i, 1, true, &read), 0);
        CU_ASSERT_FATAL(read.size > 0 && read.size <= kept_bytes_max);
        memcpy(kept[i].bytes, read.bytes, read.size);
        kept[i].size = read.size;
        rig_read_free(&read);
    }
    CU_ASSERT_EQUAL(rig_close(&r, p), 0);
}

static struct io_file *file_open(uint32_t flags)
{
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(r.fs->ops->open(r.fs, file.path, flags, &f), 0);
    return f;
}

static void file_take(const char *path)
{
    file.path = path;
    struct io_file *f = file_open(IO_OPEN_READ);
    file.size = r.fs->ops->pread(r.fs, f, file.bytes, sizeof(file.bytes), 0);
    r.fs->ops->close(r.fs, f);
    CU_ASSERT_FATAL(file.size > 0 && file.size < file_bytes_max);
}

/* The file as it was, but for one bit; bit < 0: as it was. */
static void file_put(int64_t at, int bit)
{
    struct io_file *f = file_open(IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE);
    if (bit >= 0)
        file.bytes[at] ^= (uint8_t)(1 << bit);
    CU_ASSERT_EQUAL(r.fs->ops->pwrite(r.fs, f, file.bytes, (size_t)file.size, 0), 0);
    if (bit >= 0)
        file.bytes[at] ^= (uint8_t)(1 << bit);
    r.fs->ops->close(r.fs, f);
}

/* Reads every offset: the batch that was appended there, or (may_fail) the partition's error. */
static void read_all(int64_t at, int bit, bool may_fail, int damaged, int last)
{
    struct rig_read read;
    for (int i = 0; i < appended; i++) {
        int16_t error = rig_read(&r, p, i, 1, true, &read);
        bool right = error == 0 && read.size == kept[i].size &&
                     memcmp(read.bytes, kept[i].bytes, read.size) == 0;
        bool ok = right || (damaged >= 0 && i >= damaged && i <= last) ||
                  (may_fail && error == KERR_KAFKA_STORAGE_ERROR);
        if (!ok)
            printf("[%s byte %lld bit %d offset %d: error %d, %u bytes]\n", file.path,
                   (long long)at, bit, i, error, read.size);
        CU_ASSERT_TRUE(ok);
        rig_read_free(&read);
    }
    CU_ASSERT_EQUAL(r.disk_errors, 0);
}

static void on_looked_up(struct plog_time_lookup *l)
{
}

/* Index files: whatever is wrong in them costs time only. */
static void an_index_costs_time_only(void)
{
    static const char *const files[] = {
        dir "00000000000000000003.index", dir "00000000000000000003.timeindex",
        dir "00000000000000000009.index", dir "00000000000000000009.timeindex"};
    up();
    lines_begin();
    for (size_t k = 0; k < sizeof(files) / sizeof(files[0]); k++) {
        file_take(files[k]);
        for (int64_t at = 0; at < file.size; at++) {
            int bit = (int)rng_below(&r.rng, 8);
            file_put(at, bit);
            p = rig_open(&r, true, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            read_all(at, bit, false, -1, -1);
            struct plog_time_lookup l = {.timestamp_ms = rig_wall_ms + 4, .done = on_looked_up};
            plog_time_lookup(p, &l);
            rig_settle(&r);
            CU_ASSERT_EQUAL(l.error, 0);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            file_put(at, -1);
        }
    }
    log_set_fd(STDERR_FILENO);
    CU_ASSERT_TRUE(said(dir "00000000000000000003.index"));
    rig_down(&r);
}

static int16_t look_up(int64_t timestamp_ms, int64_t *offset)
{
    struct plog_time_lookup l = {.timestamp_ms = timestamp_ms, .done = on_looked_up};
    plog_time_lookup(p, &l);
    rig_settle(&r);
    *offset = l.offset;
    return l.error;
}

/* A sealed segment is opened for a read, or for a look-up by time, and an index is not to be had. */
static void an_index_that_cannot_be_read(void)
{
    static const char *const files[] = {dir "00000000000000000003.index",
                                        dir "00000000000000000003.timeindex"};
    struct rig_read read;
    int64_t offset;
    up();
    for (uint64_t k = 0; k < 2; k++) {
        for (int missing = 0; missing < 2; missing++) {
            for (int by_time = 0; by_time < 2; by_time++) {
                p = rig_open(&r, true, NULL);
                CU_ASSERT_PTR_NOT_NULL_FATAL(p);
                lines_begin();
                if (missing) {
                    CU_ASSERT_EQUAL(r.fs->ops->unlink(r.fs, files[k]), 0);
                } else {
                    io_sim_fail(&r.sim, SIM_OPEN, 2 + k, ERR_IO); /* behind the .log */
                }
                if (by_time) {
                    CU_ASSERT_EQUAL(look_up(rig_wall_ms + 4, &offset), 0);
                    CU_ASSERT_EQUAL(offset, 4);
                } else {
                    CU_ASSERT_EQUAL(rig_read(&r, p, 4, 1, true, &read), 0);
                    rig_read_free(&read);
                }
                read_all(0, -1, false, -1, -1);
                log_set_fd(STDERR_FILENO);
                CU_ASSERT_EQUAL(r.sim.fault_count, 0);
                CU_ASSERT_TRUE(said(dir "00000000000000000003.index or .timeindex: "));
                CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            }
        }
        p = rig_open(&r, true, NULL); /* made anew */
        file_take(files[k]);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    }
    rig_down(&r);
}

/* Data that cannot be opened or read is the partition's, also where it is searched by time. */
static void what_cannot_be_read_is_the_partitions(void)
{
    static const struct {
        enum sim_op op;
        uint64_t nth; /* the .log is opened first, and read behind its two indexes */
        bool by_time;
    } cases[] = {{SIM_OPEN, 1, false}, {SIM_OPEN, 1, true}, {SIM_PREAD, 3, true}};
    struct rig_read read;
    int64_t offset;
    up();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        io_sim_fail(&r.sim, cases[i].op, cases[i].nth, ERR_IO);
        if (cases[i].by_time) {
            CU_ASSERT_EQUAL(look_up(rig_wall_ms + 4, &offset), KERR_KAFKA_STORAGE_ERROR);
        } else {
            CU_ASSERT_EQUAL(rig_read(&r, p, 4, 1, true, &read), KERR_KAFKA_STORAGE_ERROR);
            rig_read_free(&read);
        }
        struct plog_marks marks;
        plog_marks(p, &marks);
        CU_ASSERT_TRUE(marks.failed);
        CU_ASSERT_EQUAL(r.disk_errors, 0);
        CU_ASSERT_EQUAL(rig_close(&r, p), ERR_CORRUPT); /* its log dir stays */
    }
    rig_down(&r);
}

/* Nothing vouches for the time in a time index: young records are not deleted for it. */
static void a_time_index_deletes_nothing(void)
{
    struct plog_marks marks;
    up();
    r.env.retention_check_ms = 100;
    r.config.retention_ms = 3600000;
    lines_begin();
    file_take(dir "00000000000000000000.timeindex");
    for (int64_t at = 0; at < file.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            file_put(at, bit);
            p = rig_open(&r, true, NULL);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            rig_sleep(&r, 200);
            plog_marks(p, &marks);
            CU_ASSERT_EQUAL(marks.log_start, 0);
            CU_ASSERT_EQUAL(marks.end, appended);
            CU_ASSERT_FALSE(marks.failed);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            file_put(at, -1);
        }
    }
    log_set_fd(STDERR_FILENO);
    CU_ASSERT_TRUE(said(dir "00000000000000000000.index or .timeindex: its last time is none"));
    rig_down(&r);
}

/*
 * The header of a batch that others follow. After a crash it is found and named with its byte; after
 * a clean stop nothing is scanned, and who reads it gets it as it is, as from Kafka, or an error.
 */
static void a_batch_is_the_partitions(void)
{
    char why[512];
    up();
    file_take(dir "00000000000000000003.log");
    int64_t from = kept[3].size;
    lines_begin();
    for (int64_t at = from; at < from + batch_header_bytes + 8; at++) {
        int bit = (int)rng_below(&r.rng, 8);
        file_put(at, bit);
        struct plog_open o = {
            .fs = r.fs,
            .log_dir = rig_dir,
            .topic = STR("topic"),
            .topic_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}},
            .config = r.config,
            .log_start = -1,
            .wall_ms = r.wall_ms,
            .durability = PLOG_FSYNC,
        };
        struct plog_marks marks;
        int err = plog_open(&p, &o, why, sizeof(why));
        int64_t in = at - from;
        if (in < BATCH_LEADER_EPOCH || in >= BATCH_MAGIC)
            CU_ASSERT_EQUAL(err, ERR_CORRUPT); /* the epoch is not under the checksum */
        if (err) {
            CU_ASSERT_PTR_NOT_NULL(strstr(why, dir "00000000000000000003.log: byte "));
        } else {
            plog_attach(p, &r.env);
            plog_marks(p, &marks);
            CU_ASSERT_EQUAL(marks.end, appended);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
        }
        file_put(at, bit);
        p = rig_open(&r, true, NULL);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        /* offsets are under no checksum that a read looks at: it may pass for a neighbour */
        bool offsets = in < BATCH_LENGTH || (in >= BATCH_LAST_DELTA && in < BATCH_LAST_DELTA + 4);
        read_all(at, bit, true, 4, offsets ? 5 : 4);
        plog_marks(p, &marks);
        CU_ASSERT_EQUAL(rig_close(&r, p), marks.failed ? ERR_CORRUPT : 0);
        file_put(at, -1);
    }
    log_set_fd(STDERR_FILENO);
    CU_ASSERT_TRUE(said("00000000000000000003.log, byte "));
    rig_down(&r);
}

/* Said, thrown away, and read from the log again: a retry is still known. */
static void a_snapshot_is_made_anew(void)
{
    struct rig_op op;
    up();
    struct rig_record record = {appended - 1, "key", "value", 2500, 0};
    struct rig_batch_spec spec = rig_spec();
    spec.producer_id = 77;
    spec.producer_epoch = 0;
    spec.base_sequence = appended - 1;
    struct rig_batch b = rig_batch_make(&spec, &record, 1);
    file_take(dir "00000000000000000012.snapshot");
    for (int64_t at = 0; at < file.size; at++) {
        lines_begin();
        file_put(at, (int)rng_below(&r.rng, 8));
        p = rig_open(&r, true, NULL);
        log_set_fd(STDERR_FILENO);
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        CU_ASSERT_TRUE(said(dir "00000000000000000012.snapshot"));
        CU_ASSERT_EQUAL(rig_append(&r, p, &b, &op), 0);
        CU_ASSERT_EQUAL(op.append.base_offset, appended - 1);
        CU_ASSERT_EQUAL(rig_close(&r, p), 0);
    }
    rig_batch_free(&b);
    rig_down(&r);
}

/* Text without a checksum, as Kafka has it: what is no list of epochs is said; nothing else suffers. */
static void leader_epochs_are_said(void)
{
    up();
    file_take(dir "leader-epoch-checkpoint");
    for (int64_t at = 0; at < file.size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            lines_begin();
            file_put(at, bit);
            p = rig_open(&r, at % 2, NULL);
            log_set_fd(STDERR_FILENO);
            CU_ASSERT_PTR_NOT_NULL_FATAL(p);
            uint8_t turned = file.bytes[at] ^ (uint8_t)(1 << bit);
            if (turned < ' ' && turned != '\n' && turned != '\t' && turned != '\r')
                CU_ASSERT_TRUE(said(dir "leader-epoch-checkpoint"));
            read_all(at, bit, false, -1, -1);
            CU_ASSERT_EQUAL(rig_close(&r, p), 0);
            file_put(at, -1);
        }
    }
    rig_down(&r);
}

UNIT_MAIN("plog/damage", UNIT_CASE(an_index_costs_time_only),
          UNIT_CASE(a_time_index_deletes_nothing), UNIT_CASE(an_index_that_cannot_be_read),
          UNIT_CASE(what_cannot_be_read_is_the_partitions), UNIT_CASE(a_batch_is_the_partitions),
          UNIT_CASE(a_snapshot_is_made_anew), UNIT_CASE(leader_epochs_are_said))
