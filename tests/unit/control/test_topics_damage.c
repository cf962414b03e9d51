/*
 * What is offline when something is wrong on a disk: a partition for what is wrong with its own files,
 * the log dir for what says that the disk fails; the rest is served. The log says which file it was.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/internal_log.h"
#include "storage/plog/checkpoint.h"
#include "tests/unit/control/rig.h"

#define part_count 4
#define appends    3
#define opened_max 16

/* A call of one kind for a path with this in it fails. */
enum fault_op {
    FAULT_OPEN,
    FAULT_PREAD,
    FAULT_MKDIR,
    FAULT_LIST,
    FAULT_STAT,
    FAULT_SPACE,
    FAULT_RENAME
};

struct world {
    struct rig rig;
    int32_t bad, good; /* the first partitions in /data/b and in /data/a */
    int lines;         /* where the log goes */
    char text[65536];
    struct internal_log logs[part_count];
    uint32_t answers;
    int16_t answer; /* the last one */
    /* the fault */
    enum fault_op op;
    char path[128];
    int err; /* 0: none */
    uint32_t hits;
    struct io_file *opened[opened_max];
};

static struct world w;
static const struct fs_ops *honest;
static struct fs_ops failing;

/* ---- the fault ---- */

static bool hit(enum fault_op op, const char *path)
{
    bool is = w.err && w.op == op && strstr(path, w.path) != NULL;
    w.hits += is;
    return is;
}

static int fail_open(struct fs *fs, const char *path, uint32_t flags, struct io_file **out)
{
    if (hit(FAULT_OPEN, path))
        return w.err;
    int err = honest->open(fs, path, flags, out);
    for (int i = 0; i < opened_max && err == 0 && w.err && strstr(path, w.path) != NULL; i++)
        if (w.opened[i] == NULL) {
            w.opened[i] = *out;
            break;
        }
    return err;
}

static void fail_close(struct fs *fs, struct io_file *file)
{
    for (int i = 0; i < opened_max; i++)
        if (w.opened[i] == file)
            w.opened[i] = NULL;
    honest->close(fs, file);
}

static int64_t fail_pread(struct fs *fs, struct io_file *file, void *buf, size_t n, int64_t off)
{
    for (int i = 0; i < opened_max; i++)
        if (w.opened[i] == file && hit(FAULT_PREAD, w.path))
            return w.err;
    return honest->pread(fs, file, buf, n, off);
}

static int fail_mkdir(struct fs *fs, const char *path)
{
    return hit(FAULT_MKDIR, path) ? w.err : honest->mkdir(fs, path);
}

static int fail_list(struct fs *fs, const char *path, fs_list_fn *fn, void *ctx)
{
    return hit(FAULT_LIST, path) ? w.err : honest->list(fs, path, fn, ctx);
}

static int fail_stat(struct fs *fs, const char *path, struct fs_stat *out)
{
    return hit(FAULT_STAT, path) ? w.err : honest->stat(fs, path, out);
}

static int fail_space(struct fs *fs, const char *path, uint64_t *total, uint64_t *available)
{
    return hit(FAULT_SPACE, path) ? w.err : honest->space(fs, path, total, available);
}

static int fail_rename(struct fs *fs, const char *from, const char *to)
{
    return hit(FAULT_RENAME, from) ? w.err : honest->rename(fs, from, to);
}

static void fault(enum fault_op op, int err, const char *path)
{
    memset(w.opened, 0, sizeof(w.opened));
    w.op = op;
    w.err = err;
    w.hits = 0;
    snprintf(w.path, sizeof(w.path), "%s", path);
}

/* In `name` of the partition that is to be hit. */
static void fault_in_partition(enum fault_op op, int err, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "/data/b/t-%d%s", w.bad, name);
    fault(op, err, path);
}

/* ---- the world ---- */

static void on_appended(void *ctx, uint64_t tag, int16_t kerr, int64_t base, uint32_t bytes)
{
    w.answers++;
    w.answer = kerr;
}

/* KERR_* of one batch with one record. */
static int16_t append(int32_t partition, uint32_t value_bytes)
{
    static uint8_t value[600000];
    struct internal_log *l = &w.logs[partition];
    struct record_item item = {(const uint8_t *)"key", 3, value, value_bytes};
    uint32_t before = w.answers;
    internal_log_init(l, &w.rig.control, &rig_topic(&w.rig, "t")->id, partition);
    l->appended = on_appended;
    CU_ASSERT_EQUAL_FATAL(internal_log_append(l, &item, 1, w.rig.wall_ms, 1), 0);
    rig_settle(&w.rig);
    CU_ASSERT_EQUAL_FATAL(w.answers, before + 1);
    return w.answer;
}

static void lines_begin(void)
{
    CU_ASSERT_EQUAL_FATAL(ftruncate(w.lines, 0), 0);
    CU_ASSERT_EQUAL_FATAL(lseek(w.lines, 0, SEEK_SET), 0);
    log_set_fd(w.lines);
}

/* What the log says since lines_begin. */
static bool said(const char *part)
{
    ssize_t n = pread(w.lines, w.text, sizeof(w.text) - 1, 0);
    CU_ASSERT_FATAL(n >= 0);
    w.text[n] = '\0';
    bool is = strstr(w.text, part) != NULL;
    if (!is)
        printf("[not said: %s; but: %s]\n", part, w.text);
    return is;
}

static int32_t first_in(uint32_t dir)
{
    const struct image_topic *t = rig_topic(&w.rig, "t");
    for (int32_t i = 0; i < t->partition_count; i++)
        if (t->partitions[i].log_dir == dir)
            return i;
    CU_FAIL_FATAL("no partition in this log dir");
    return -1;
}

/* A topic with records in each partition, two of which are in each log dir. */
static void up(void)
{
    memset(&w, 0, sizeof(w));
    rig_make(&w.rig, unit_seed());
    honest = w.rig.sim.fs.ops;
    failing = *honest;
    failing.open = fail_open;
    failing.close = fail_close;
    failing.pread = fail_pread;
    failing.mkdir = fail_mkdir;
    failing.list = fail_list;
    failing.stat = fail_stat;
    failing.space = fail_space;
    failing.rename = fail_rename;
    w.rig.sim.fs.ops = &failing;
    w.lines = memfd_create("lines", 0);
    CU_ASSERT_FATAL(w.lines >= 0);
    lines_begin();
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    CU_ASSERT_EQUAL_FATAL(rig_create(&w.rig, "t", part_count), 0);
    w.good = first_in(0);
    w.bad = first_in(1);
    for (int32_t p = 0; p < part_count; p++)
        for (int i = 0; i < appends; i++)
            CU_ASSERT_EQUAL_FATAL(append(p, 100), 0);
}

static void down(void)
{
    w.err = 0;
    rig_free(&w.rig);
    log_set_fd(STDERR_FILENO);
    close(w.lines);
}

static struct plog *plog_of(int32_t partition)
{
    return rig_topic(&w.rig, "t")->partitions[partition].plog;
}

static int64_t end_of(int32_t partition)
{
    struct plog_marks marks;
    CU_ASSERT_PTR_NOT_NULL_FATAL(plog_of(partition));
    plog_marks(plog_of(partition), &marks);
    return marks.end;
}

static bool online(uint32_t dir)
{
    return w.rig.logdirs->dirs[dir].online;
}

/* The one partition is offline, and nothing else. */
static void only_the_partition(void)
{
    CU_ASSERT_TRUE(online(0) && online(1));
    CU_ASSERT_FALSE(w.rig.control.failed);
    for (int32_t p = 0; p < part_count; p++) {
        CU_ASSERT_EQUAL(plog_of(p) == NULL, p == w.bad);
        if (p != w.bad)
            CU_ASSERT_EQUAL(end_of(p), appends);
    }
    CU_ASSERT_EQUAL(append(w.good, 10), 0);
}

static void the_log_dir(void)
{
    const struct image_topic *t = rig_topic(&w.rig, "t");
    CU_ASSERT_TRUE(online(0) && !online(1));
    CU_ASSERT_FALSE(w.rig.control.failed);
    for (int32_t p = 0; p < part_count; p++)
        CU_ASSERT_EQUAL(plog_of(p) != NULL, t->partitions[p].log_dir == 0);
    CU_ASSERT_EQUAL(append(w.good, 10), 0);
    CU_ASSERT_TRUE(said("/data/b is offline"));
}

/* The next start, when all is well again. */
static void all_is_there(int64_t at_least)
{
    w.err = 0;
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    for (int32_t p = 0; p < part_count; p++)
        CU_ASSERT(end_of(p) >= (p == w.bad ? at_least : appends));
    CU_ASSERT_EQUAL(rig_count(&w.rig, "/data/a", "-stray"), 0);
    CU_ASSERT_EQUAL(rig_count(&w.rig, "/data/b", "-stray"), 0);
}

/* ---- partition.metadata ---- */

static void metadata_path(char out[64])
{
    snprintf(out, 64, "/data/b/t-%d/partition.metadata", w.bad);
}

static void put_file(const char *path, const char *text)
{
    struct fs *fs = &w.rig.sim.fs;
    struct io_file *f;
    if (text == NULL) {
        CU_ASSERT_EQUAL_FATAL(fs->ops->unlink(fs, path), 0);
        return;
    }
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &f), 0);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, text, strlen(text), 0), 0);
    fs->ops->close(fs, f);
}

static bool file_is(const char *path, const char *text)
{
    char found[256];
    struct fs *fs = &w.rig.sim.fs;
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, path, IO_OPEN_READ, &f), 0);
    int64_t n = fs->ops->pread(fs, f, found, sizeof(found), 0);
    fs->ops->close(fs, f);
    return n == (int64_t)strlen(text) && memcmp(found, text, (size_t)n) == 0;
}

/* What is left of the file is not touched; with the right one back every record is there. */
static void metadata_refused(const char *text, const char *reason)
{
    char path[64], id[UUID_TEXT_LEN + 1], right[64], line[256];
    up();
    metadata_path(path);
    uuid_format(&rig_topic(&w.rig, "t")->id, id);
    snprintf(right, sizeof(right), "version: 0\ntopic_id: %s", id);
    CU_ASSERT_TRUE(file_is(path, right));
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    put_file(path, text);
    lines_begin();
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    only_the_partition();
    snprintf(line, sizeof(line), "partition t-%d is offline: %s: %s", w.bad, path, reason);
    CU_ASSERT_TRUE(said(line));
    CU_ASSERT_TRUE(file_is(path, text));
    CU_ASSERT_FALSE(rig_stop(&w.rig)); /* its log dir is not marked clean */
    put_file(path, right);
    all_is_there(appends);
    down();
}

static void damaged_metadata_keeps_a_partition_closed(void)
{
    metadata_refused("garbage", "is damaged");
    metadata_refused("version: 0\ntopic_id: ", "is damaged");
    metadata_refused("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4P!A", "is damaged");
    metadata_refused("version: 1\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA", "is of no version known here");
    /* A bit of the id may have turned: what may be the partition's own records is not put aside. */
    metadata_refused("version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA",
                     "is of the topic with id AQIDBAUGBwgJCgsMDQ4PEA");
}

/* As in Kafka, whose older versions had none. */
static void missing_metadata_is_made_anew(void)
{
    static const char *const texts[] = {"", NULL};
    for (int i = 0; i < 2; i++) {
        char path[64], id[UUID_TEXT_LEN + 1], right[64];
        up();
        metadata_path(path);
        uuid_format(&rig_topic(&w.rig, "t")->id, id);
        snprintf(right, sizeof(right), "version: 0\ntopic_id: %s", id);
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        put_file(path, texts[i]);
        all_is_there(appends);
        CU_ASSERT_TRUE(file_is(path, right));
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

/* What the file system refuses for whatever reason is no other topic's directory. */
static void refusals_are_no_strays(void)
{
    static const int errors[] = {EINVAL, EMFILE, ENOMEM};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        up();
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        fault_in_partition(FAULT_OPEN, err_from_errno(errors[i]), "/partition.metadata");
        lines_begin();
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        CU_ASSERT(w.hits > 0);
        only_the_partition();
        CU_ASSERT_TRUE(said("/partition.metadata: reading"));
        rig_stop(&w.rig);
        all_is_there(appends);
        down();
    }
}

/* A new partition takes the place of what somebody put there; it is kept. */
static void what_is_in_the_way_is_put_aside(void)
{
    static const char *const texts[] = {"garbage", "version: 7\n",
                                        "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA"};
    struct fs *fs = &w.rig.sim.fs;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        up();
        CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, "/data/a/u-0"), 0);
        CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, "/data/b/u-0"), 0);
        put_file("/data/a/u-0/partition.metadata", texts[i]);
        put_file("/data/b/u-0/partition.metadata", texts[i]);
        CU_ASSERT_EQUAL(rig_create(&w.rig, "u", 1), 0);
        CU_ASSERT_TRUE(said("u-0 was in the way of a new partition: renamed to -stray"));
        CU_ASSERT_EQUAL(
            rig_count(&w.rig, "/data/a", "-stray") + rig_count(&w.rig, "/data/b", "-stray"), 1);
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

/* Of a creation that fails nothing is left, and what was there before stays. */
static void a_failed_creation_removes_its_own_only(void)
{
    static const char *const texts[] = {"version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA", "garbage"};
    static const char *const dirs[] = {"/data/a/u-0", "/data/b/u-0"};
    static const char log[] = "00000000000000000000.log";
    struct fs *fs = &w.rig.sim.fs;
    for (size_t i = 0; i < 6; i++) {
        char path[96];
        up();
        for (size_t k = 0; k < 2 && i < 4; k++) {
            CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, dirs[k]), 0);
            snprintf(path, sizeof(path), "%s/partition.metadata", dirs[k]);
            put_file(path, texts[i % 2]);
            snprintf(path, sizeof(path), "%s/%s", dirs[k], log);
            put_file(path, "records");
        }
        if (i < 2)
            fault(FAULT_RENAME, ERR_IO, "/u-0");
        else if (i < 4)
            fault(FAULT_OPEN, ERR_NO_MEMORY, "/u-0/partition.metadata");
        else
            fault(FAULT_OPEN, ERR_NO_MEMORY, i == 4 ? "/u-0/partition.metadata" : log);
        CU_ASSERT_NOT_EQUAL(rig_create(&w.rig, "u", 1), 0);
        CU_ASSERT(w.hits > 0);
        w.err = 0;
        CU_ASSERT_PTR_NULL(rig_topic(&w.rig, "u"));
        for (size_t k = 0; k < 2; k++) {
            snprintf(path, sizeof(path), "%s/%s", dirs[k], log);
            CU_ASSERT_EQUAL(rig_has(&w.rig, path), i < 4);
            CU_ASSERT_EQUAL(rig_has(&w.rig, dirs[k]), i < 4);
        }
        down();
    }
}

/* A log dir that was away while its topic was deleted and made anew does not claim a partition. */
static void an_older_topic_of_the_name_claims_nothing(void)
{
    char path[64], file[96];
    struct fs *fs = &w.rig.sim.fs;
    up();
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    snprintf(path, sizeof(path), "/data/a/t-%d", w.bad); /* found before the one in b */
    snprintf(file, sizeof(file), "%s/partition.metadata", path);
    CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, path), 0);
    put_file(file, "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA");
    fault(FAULT_LIST, ERR_IO, "/data/b"); /* b is away, and nobody may take its partitions */
    lines_begin();
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    CU_ASSERT_TRUE(said("it is of another topic of this name"));
    CU_ASSERT_EQUAL(rig_count(&w.rig, "/data/a", "-stray"), 1);
    CU_ASSERT_TRUE(
        uuid_eq(&rig_topic(&w.rig, "t")->partitions[w.bad].directory, &w.rig.logdirs->dirs[1].id));
    rig_stop(&w.rig);
    w.err = 0;
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    CU_ASSERT_EQUAL(end_of(w.bad), appends);
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    down();
}

/* Nor does one whose id nobody can read, as long as the partition may be where it was. */
static void what_cannot_be_told_claims_nothing(void)
{
    static const char *const texts[] = {"garbage", NULL};
    for (int i = 0; i < 2; i++) {
        char path[64], file[96];
        struct fs *fs = &w.rig.sim.fs;
        up();
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        snprintf(path, sizeof(path), "/data/a/t-%d", w.bad);
        snprintf(file, sizeof(file), "%s/partition.metadata", path);
        CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, path), 0);
        if (texts[i])
            put_file(file, texts[i]);
        fault(FAULT_LIST, ERR_IO, "/data/b");
        lines_begin();
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        const struct image_partition *p = &rig_topic(&w.rig, "t")->partitions[w.bad];
        CU_ASSERT_TRUE(said("it is not known whose it is"));
        CU_ASSERT_PTR_NULL(p->plog);
        CU_ASSERT_TRUE(uuid_eq(&p->directory, &w.rig.logdirs->dirs[1].id));
        CU_ASSERT_TRUE(rig_has(&w.rig, path));
        rig_stop(&w.rig);
        w.err = 0;
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        CU_ASSERT_EQUAL(end_of(w.bad), appends);
        CU_ASSERT_EQUAL(rig_count(&w.rig, "/data/a", "-stray"), texts[i] != NULL); /* was empty */
        CU_ASSERT_EQUAL(rig_count(&w.rig, "/data/b", "-stray"), 0);
        CU_ASSERT_FALSE(rig_has(&w.rig, path));
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

/* ---- what cannot be read at a start ---- */

static void crashed(void)
{
    up();
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    lines_begin();
}

static void unreadable_files_are_the_partitions(void)
{
    static const struct {
        enum fault_op op;
        const char *name;
    } cases[] = {
        {FAULT_PREAD, "/00000000000000000000.log"},
        {FAULT_STAT, "/00000000000000000000.log"},
        {FAULT_PREAD, "/partition.metadata"},
        {FAULT_PREAD, "/leader-epoch-checkpoint"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[64];
        crashed();
        fault_in_partition(cases[i].op, ERR_IO, cases[i].name);
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        CU_ASSERT(w.hits > 0);
        only_the_partition();
        snprintf(line, sizeof(line), "partition t-%d is offline: /data/b/t-%d/", w.bad, w.bad);
        CU_ASSERT_TRUE(said(line) && said("input/output error"));
        CU_ASSERT_FALSE(rig_stop(&w.rig));
        all_is_there(appends);
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

/* Names cannot be made or listed: nothing can be trusted to be made in that log dir. */
static void directories_that_fail_are_the_log_dirs(void)
{
    static const struct {
        enum fault_op op;
        const char *path;
    } cases[] = {{FAULT_MKDIR, "/data/b/t-"}, {FAULT_LIST, "/data/b/t-"}, {FAULT_LIST, "/data/b"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        crashed();
        fault(cases[i].op, ERR_IO, cases[i].path);
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        CU_ASSERT(w.hits > 0);
        the_log_dir();
        CU_ASSERT_FALSE(rig_stop(&w.rig));
        all_is_there(appends);
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

/*
 * With fsync that cannot be: nothing is removed, and the line names the checkpoint; at each start,
 * though checkpoints are written at its end and at the stop.
 */
static void a_log_start_behind_the_end(void)
{
    static const char path[] = "/data/b/log-start-offset-checkpoint";
    char text[64], line[64];
    crashed();
    snprintf(text, sizeof(text), "0\n1\nt %d 1000\n", w.bad);
    put_file(path, text);
    snprintf(line, sizeof(line), "partition t-%d is offline", w.bad);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
        if (i == 0)
            only_the_partition(); /* and appends to the others */
        CU_ASSERT_TRUE(said(line) && said("log-start-offset-checkpoint") && said("1000"));
        CU_ASSERT_FALSE(rig_stop(&w.rig));
        CU_ASSERT_TRUE(file_is(path, text));
        lines_begin();
    }
    put_file(path, NULL);
    all_is_there(appends);
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    down();
}

/* ---- while it runs ---- */

static const int gone[] = {EIO, ESTALE, EUCLEAN, ENODEV, ENXIO, EROFS, EACCES, ETIMEDOUT, ENOENT};

/* Checkpoints, and the look at the free space, are how the end of a dir without load is noticed. */
static void a_disk_that_is_gone_is_noticed(void)
{
    for (size_t i = 0; i < 2 * sizeof(gone) / sizeof(gone[0]); i++) {
        int err = err_from_errno(gone[i / 2]);
        up();
        lines_begin();
        if (i % 2)
            fault(FAULT_OPEN, err, "/data/b/recovery-point-offset-checkpoint");
        else
            fault(FAULT_SPACE, err, "/data/b");
        rig_sleep(&w.rig, 70000);
        CU_ASSERT(w.hits > 0);
        the_log_dir();
        CU_ASSERT_FALSE(rig_stop(&w.rig));
        all_is_there(appends);
        down();
    }
}

/* A full disk, or want of anything of the process, is not its end. */
static void want_is_no_end(void)
{
    static const int wants[] = {ENOSPC, EDQUOT, ENOMEM, EMFILE};
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        up();
        fault(FAULT_OPEN, err_from_errno(wants[i]), "/data/b/recovery-point-offset-checkpoint");
        rig_sleep(&w.rig, 70000);
        CU_ASSERT(w.hits > 0);
        CU_ASSERT_TRUE(online(0) && online(1));
        CU_ASSERT_EQUAL(append(w.bad, 10), 0);
        w.err = 0;
        CU_ASSERT_TRUE(rig_stop(&w.rig));
        down();
    }
}

static int64_t recovery_point(void)
{
    struct checkpoint c = {0};
    CU_ASSERT_EQUAL_FATAL(
        checkpoint_read(&w.rig.sim.fs, "/data/b", "recovery-point-offset-checkpoint", &c), 0);
    int64_t point = checkpoint_find(&c, STR("t"), w.bad);
    checkpoint_free(&c);
    return point;
}

/* Else the files of a segment that was deleted unsealed may be back, and are not looked at. */
static void a_recovery_point_waits_for_the_log_start(void)
{
    up();
    rig_sleep(&w.rig, 70000);
    int64_t before = recovery_point();
    CU_ASSERT_EQUAL(append(w.bad, 10), 0);
    fault(FAULT_OPEN, ERR_NO_SPACE, "/data/b/log-start-offset-checkpoint");
    rig_sleep(&w.rig, 70000);
    CU_ASSERT(w.hits > 0);
    CU_ASSERT_EQUAL(recovery_point(), before);
    w.err = 0;
    rig_sleep(&w.rig, 70000);
    CU_ASSERT_EQUAL(recovery_point(), before + 1);
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    down();
}

/* The mark of a clean stop would say that nothing is to be looked at. */
static void a_stop_without_checkpoints_is_not_clean(void)
{
    up();
    fault(FAULT_OPEN, ERR_NO_SPACE, "/data/b/log-start-offset-checkpoint");
    CU_ASSERT_FALSE(rig_stop(&w.rig));
    CU_ASSERT(w.hits > 0);
    w.err = 0;
    CU_ASSERT_TRUE(rig_has(&w.rig, "/data/a/.kafka_cleanshutdown"));
    CU_ASSERT_FALSE(rig_has(&w.rig, "/data/b/.kafka_cleanshutdown"));
    all_is_there(appends);
    CU_ASSERT_TRUE(rig_stop(&w.rig));
    down();
}

static void configured(struct topic_op *op)
{
    CU_ASSERT_EQUAL_FATAL(op->error, 0);
}

static void small_segments(void)
{
    static const struct topics_config small = {STR("segment.bytes"), STR("1048576")};
    struct topic_op op = {.kind = TOPIC_CONFIGURE,
                          .id = rig_topic(&w.rig, "t")->id,
                          .configs = &small,
                          .config_count = 1,
                          .done = configured};
    topics_submit(&w.rig.control, &op);
    rig_settle(&w.rig);
}

/* A write, or the flush of a segment that is full: a file system that has become read-only, say. */
static void a_write_that_is_refused_is_the_log_dirs(void)
{
    static const enum sim_op ops[] = {SIM_WRITE, SIM_SYNC};
    for (size_t i = 0; i < 2 * sizeof(gone) / sizeof(gone[0]); i++) {
        char line[64];
        up();
        small_segments();
        lines_begin();
        io_sim_fail(&w.rig.sim, ops[i % 2], 1, err_from_errno(gone[i / 2]));
        int64_t acked = appends;
        for (int k = 0; k < 6 && online(1); k++)
            acked += append(w.bad, 400000) == 0;
        CU_ASSERT_EQUAL(w.rig.sim.fault_count, 0);
        the_log_dir();
        CU_ASSERT_EQUAL(append(w.bad, 10), KERR_KAFKA_STORAGE_ERROR);
        snprintf(line, sizeof(line), "t-%d", w.bad);
        CU_ASSERT_TRUE(said(line));
        rig_crash(&w.rig, SIM_POWER_CUT);
        all_is_there(acked);
        down();
    }
}

UNIT_MAIN("control/topics/damage", UNIT_CASE(damaged_metadata_keeps_a_partition_closed),
          UNIT_CASE(missing_metadata_is_made_anew), UNIT_CASE(refusals_are_no_strays),
          UNIT_CASE(what_is_in_the_way_is_put_aside),
          UNIT_CASE(a_failed_creation_removes_its_own_only),
          UNIT_CASE(an_older_topic_of_the_name_claims_nothing),
          UNIT_CASE(what_cannot_be_told_claims_nothing),
          UNIT_CASE(unreadable_files_are_the_partitions),
          UNIT_CASE(directories_that_fail_are_the_log_dirs), UNIT_CASE(a_log_start_behind_the_end),
          UNIT_CASE(a_disk_that_is_gone_is_noticed), UNIT_CASE(want_is_no_end),
          UNIT_CASE(a_recovery_point_waits_for_the_log_start),
          UNIT_CASE(a_stop_without_checkpoints_is_not_clean),
          UNIT_CASE(a_write_that_is_refused_is_the_log_dirs))
