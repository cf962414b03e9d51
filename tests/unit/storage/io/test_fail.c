/* The failing disk: over the simulated one, what fails and how; the rest is handed on. */
#include <string.h>

#include "base/err.h"
#include "storage/io/fail.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

struct waited {
    struct io_req req;
    int64_t result;
    int times;
};

static struct io_sim sim;
static struct io_fail fail;

static void up(void)
{
    io_sim_init(&sim, 1);
    io_fail_init(&fail, &sim.fs, &sim.io, 2);
}

static void on_done(struct io_req *req, int64_t result)
{
    struct waited *w = (struct waited *)req;
    w->result = result;
    w->times++;
}

static struct io_file *open_file(const char *path)
{
    struct io_file *f = NULL;
    CU_ASSERT_EQUAL_FATAL(
        fail.fs.ops->open(&fail.fs, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    return f;
}

static void start(struct waited *w, enum io_op op, struct io_file *file, struct iovec *iov,
                  int64_t offset)
{
    *w = (struct waited){.req = {.op = op,
                                 .file = file,
                                 .iov = iov,
                                 .iov_count = iov ? 1 : 0,
                                 .offset = offset,
                                 .bytes = iov ? iov->iov_len : 0,
                                 .done = on_done}};
    io_submit(&fail.io, &w->req);
    CU_ASSERT_EQUAL(w->times, 0); /* never from inside */
}

static void settle(void)
{
    while (io_sim_step(&sim) || io_fail_run(&fail))
        ;
    CU_ASSERT_EQUAL(fail.in_flight, 0);
}

/* Each blocking op hands on, and fails when its turn comes. */
static void test_blocking(void)
{
    struct fs *fs = &fail.fs;
    struct fs_stat st;
    struct fs_named named;
    struct io_file *f, *g;
    uint64_t total, available;
    int64_t size;
    char buf[4];
    up();
    const struct fs_ops *ops = fs->ops;
#define FAILS(op, err, call)                                                                       \
    do {                                                                                           \
        io_fail_add(&fail, op, 1, FAIL_ERROR, err);                                                \
        CU_ASSERT_EQUAL(ops->call, err);                                                           \
    } while (0)
    FAILS(FAIL_MKDIR, ERR_NO_SPACE, mkdir(fs, "/d"));
    CU_ASSERT_EQUAL(ops->mkdir(fs, "/d"), 0);
    FAILS(FAIL_OPEN, ERR_PERMISSION, open(fs, "/d/a", IO_OPEN_WRITE | IO_OPEN_CREATE, &f));
    CU_ASSERT_EQUAL(ops->stat(fs, "/d/a", &st), ERR_NOT_FOUND);
    f = open_file("/d/a");
    FAILS(FAIL_PWRITE, ERR_IO, pwrite(fs, f, "abc", 3, 0));
    CU_ASSERT_EQUAL(ops->pwrite(fs, f, "abc", 3, 0), 0);
    FAILS(FAIL_PREAD, ERR_IO, pread(fs, f, buf, 3, 0));
    CU_ASSERT_EQUAL(ops->pread(fs, f, buf, 3, 0), 3);
    FAILS(FAIL_STAT, ERR_IO, size(fs, f, &size));
    FAILS(FAIL_STAT, ERR_IO, stat(fs, "/d/a", &st));
    CU_ASSERT_EQUAL(ops->size(fs, f, &size), 0);
    CU_ASSERT_EQUAL(size, 3);
    FAILS(FAIL_TRUNCATE, ERR_IO, truncate(fs, f, 1));
    FAILS(FAIL_TRUNCATE, ERR_IO, settle(fs, f));
    FAILS(FAIL_ALLOCATE, ERR_NO_SPACE, allocate(fs, f, 100));
    FAILS(FAIL_SYNC, ERR_IO, sync(fs, f));
    FAILS(FAIL_SYNC, ERR_IO, drop_cache(fs, f));
    FAILS(FAIL_SYNC_DIR, ERR_IO, sync_dir(fs, "/d"));
    FAILS(FAIL_RENAME, ERR_IO, rename(fs, "/d/a", "/d/b"));
    FAILS(FAIL_UNLINK, ERR_IO, unlink(fs, "/d/a"));
    FAILS(FAIL_UNLINK, ERR_IO, rmdir(fs, "/d"));
    FAILS(FAIL_LIST, ERR_IO, list(fs, "/d", NULL, NULL));
    FAILS(FAIL_SPACE, ERR_IO, space(fs, "/d", &total, &available));
    FAILS(FAIL_LOCK, ERR_BUSY, lock(fs, "/d/.lock", &g));
    FAILS(FAIL_MAP_NAMED, ERR_NO_SPACE, map_named(fs, "n", 1, &named));
    CU_ASSERT_EQUAL(ops->map_named(fs, "n", 1, &named), 0);
    ops->unmap_named(fs, &named);
    FAILS(FAIL_UNLINK, ERR_IO, remove_named(fs, "n"));
    CU_ASSERT_EQUAL(ops->remove_named(fs, "n"), 0);
    CU_ASSERT_EQUAL(ops->truncate(fs, f, 1), 0);
    CU_ASSERT_EQUAL(ops->allocate(fs, f, 100), 0);
    CU_ASSERT_EQUAL(ops->sync(fs, f), 0);
    CU_ASSERT_EQUAL(ops->sync_dir(fs, "/d"), 0);
    CU_ASSERT_EQUAL(ops->rename(fs, "/d/a", "/d/b"), 0);
    CU_ASSERT_EQUAL(fail.rule_count, 0);
    ops->close(fs, f);
    io_sim_free(&sim);
#undef FAILS
}

static void test_part_of_a_write(void)
{
    static uint8_t data[4096];
    struct waited w;
    struct iovec iov = {data, sizeof(data)};
    struct fs_stat st;
    int parts = 0;
    memset(data, 'x', sizeof(data));
    up();
    for (int i = 0; i < 40; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/f%d", i);
        struct io_file *f = open_file(path);
        io_fail_add(&fail, FAIL_WRITE, 1, FAIL_PART, ERR_NO_SPACE);
        start(&w, IO_WRITE, f, &iov, 0);
        settle();
        CU_ASSERT(w.times == 1 && w.result == ERR_NO_SPACE);
        CU_ASSERT_EQUAL(fail.fs.ops->stat(&fail.fs, path, &st), 0);
        parts += st.size > 0 && st.size < (int64_t)sizeof(data);
        fail.fs.ops->close(&fail.fs, f);
    }
    CU_ASSERT(parts > 10);
    io_sim_free(&sim);
}

/* Of a read a front part comes, and behind it the buffer stays as it was; with the error, or as the file's end. */
static void test_part_of_a_read(void)
{
    static uint8_t data[4096], buf[4096];
    struct waited w;
    struct iovec iov = {buf, sizeof(buf)};
    int parts = 0;
    memset(data, 'x', sizeof(data));
    up();
    struct io_file *f = open_file("/a");
    CU_ASSERT_EQUAL(fail.fs.ops->pwrite(&fail.fs, f, data, sizeof(data), 0), 0);
    for (int i = 0; i < 80; i++) {
        int err = i % 2 ? ERR_IO : 0;
        bool blocking = i % 4 < 2;
        memset(buf, 'y', sizeof(buf));
        io_fail_add(&fail, blocking ? FAIL_PREAD : FAIL_READ, 1, FAIL_PART, err);
        int64_t got;
        if (blocking) {
            got = fail.fs.ops->pread(&fail.fs, f, buf, sizeof(buf), 0);
        } else {
            start(&w, IO_READ, f, &iov, 0);
            settle();
            CU_ASSERT_EQUAL(w.times, 1);
            got = w.result;
        }
        uint8_t *end = memchr(buf, 'y', sizeof(buf));
        CU_ASSERT_PTR_NOT_NULL_FATAL(end);
        CU_ASSERT_EQUAL(got, err ? err : end - buf);
        parts += end > buf;
    }
    CU_ASSERT(parts > 40);
    CU_ASSERT_EQUAL(fail.fs.ops->pread(&fail.fs, f, buf, sizeof(buf), 0), sizeof(buf));
    CU_ASSERT_EQUAL(memcmp(buf, data, sizeof(buf)), 0);
    fail.fs.ops->close(&fail.fs, f);
    io_sim_free(&sim);
}

/* Any request may be late, and then they come in another order than those that are not; nothing fails. */
static void test_lag(void)
{
    static struct waited w[64];
    uint32_t late = 0, at_once = 0;
    up();
    struct io_file *f = open_file("/a");
    io_fail_lag(&fail, 3);
    for (uint32_t i = 0; i < 64; i++)
        start(&w[i], IO_FLUSH, f, NULL, 0);
    while (io_sim_step(&sim))
        ;
    for (uint32_t i = 0; i < 64; i++)
        at_once += w[i].times == 1;
    while (io_fail_run(&fail))
        late++;
    CU_ASSERT(at_once > 20 && at_once < 60 && late == 1);
    io_fail_lag(&fail, 0);
    start(&w[0], IO_FLUSH, f, NULL, 0);
    CU_ASSERT(io_sim_step(&sim) && w[0].times == 1);
    for (uint32_t i = 0; i < 64; i++)
        CU_ASSERT(w[i].times == 1 && w[i].result == 0);
    CU_ASSERT_EQUAL(fail.in_flight, 0);
    fail.fs.ops->close(&fail.fs, f);
    io_sim_free(&sim);
}

/* A flush that fails was not done; the next one is. Late ones come in another order. */
static void test_flush_and_late(void)
{
    struct waited w[8];
    int order_kept = 0;
    up();
    struct io_file *f = open_file("/a");
    io_fail_add(&fail, FAIL_FLUSH, 1, FAIL_ERROR, ERR_IO);
    start(&w[0], IO_FLUSH, f, NULL, 0);
    settle();
    CU_ASSERT_EQUAL(w[0].result, ERR_IO);
    CU_ASSERT_EQUAL(sim.ops[SIM_FLUSH], 0);
    start(&w[0], IO_FLUSH, f, NULL, 0);
    settle();
    CU_ASSERT_EQUAL(w[0].result, 0);
    CU_ASSERT_EQUAL(sim.ops[SIM_FLUSH], 1);
    for (int round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < 8; i++) {
            io_fail_add(&fail, FAIL_FLUSH, 1, FAIL_LATE, i == 3 ? ERR_IO : 0);
            start(&w[i], IO_FLUSH, f, NULL, 0);
        }
        while (io_sim_step(&sim))
            ;
        for (int i = 0; i < 8; i++)
            CU_ASSERT_EQUAL(w[i].times, 0); /* done below, and not told */
        order_kept += fail.requests[0].outer == &w[0].req;
        CU_ASSERT_EQUAL(io_fail_run(&fail), 8);
        for (int i = 0; i < 8; i++)
            CU_ASSERT(w[i].times == 1 && w[i].result == (i == 3 ? ERR_IO : 0));
    }
    CU_ASSERT(order_kept > 0);
    fail.fs.ops->close(&fail.fs, f);
    io_sim_free(&sim);
}

static void test_limits(void)
{
    up();
    for (uint32_t i = 0; i < io_fail_rules_max; i++)
        io_fail_add(&fail, FAIL_FLUSH, i + 1, FAIL_ERROR, ERR_IO);
    static struct waited w[io_fail_requests_max];
    struct io_file *f = open_file("/a");
    for (uint32_t i = 0; i < io_fail_requests_max; i++)
        start(&w[i], IO_FLUSH, f, NULL, 0);
    CU_ASSERT_EQUAL(fail.in_flight, io_fail_requests_max);
    settle();
    for (uint32_t i = 0; i < io_fail_requests_max; i++)
        CU_ASSERT_EQUAL(w[i].result, i < io_fail_rules_max ? ERR_IO : 0);
    fail.fs.ops->close(&fail.fs, f);
    io_sim_free(&sim);
}

UNIT_MAIN("io/fail", UNIT_CASE(test_blocking), UNIT_CASE(test_part_of_a_write),
          UNIT_CASE(test_part_of_a_read), UNIT_CASE(test_flush_and_late), UNIT_CASE(test_lag),
          UNIT_CASE(test_limits))
