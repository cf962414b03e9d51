/* The real file system: every op of the table, and its errors. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "storage/io/io.h"
#include "tests/unit/unit.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", dir, name);
    return path[turn];
}

static void make_dir(void)
{
    strcpy(dir, "/tmp/sluice_fs_XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static int count_names(void *ctx, const char *name, bool is_dir)
{
    int *counts = ctx;
    counts[is_dir]++;
    return 0;
}

static int stop_at_first(void *ctx, const char *name, bool is_dir)
{
    ++*(int *)ctx;
    return 1;
}

static void test_files(void)
{
    struct fs *fs = fs_real();
    struct io_file *f;
    struct fs_stat st;
    char buf[16];
    int64_t size;
    make_dir();
    CU_ASSERT_EQUAL(fs->ops->open(fs, in_dir("a"), IO_OPEN_READ, &f), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, in_dir("a"),
                      IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &f),
        0);
    struct io_file *g;
    CU_ASSERT_EQUAL(
        fs->ops->open(fs, in_dir("a"), IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &g),
        ERR_EXISTS);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, "hello world", 11, 5), 0);
    CU_ASSERT_EQUAL(fs->ops->size(fs, f, &size), 0);
    CU_ASSERT_EQUAL(size, 16);
    CU_ASSERT_EQUAL(fs->ops->pread(fs, f, buf, 5, 5), 5);
    CU_ASSERT_EQUAL(memcmp(buf, "hello", 5), 0);
    CU_ASSERT_EQUAL(fs->ops->pread(fs, f, buf, 16, 11), 5); /* short at the end */
    CU_ASSERT_EQUAL(fs->ops->pread(fs, f, buf, 16, 99), 0);
    CU_ASSERT_EQUAL(fs->ops->truncate(fs, f, 3), 0);
    CU_ASSERT_EQUAL(fs->ops->allocate(fs, f, 8192), 0);
    CU_ASSERT_EQUAL(fs->ops->sync(fs, f), 0);
    fs->ops->close(fs, f);
    fs->ops->close(fs, NULL);
    CU_ASSERT_EQUAL(fs->ops->stat(fs, in_dir("a"), &st), 0);
    CU_ASSERT_EQUAL(st.size, 8192);
    CU_ASSERT_FALSE(st.is_dir);
    CU_ASSERT_EQUAL(fs->ops->rename(fs, in_dir("a"), in_dir("b")), 0);
    CU_ASSERT_EQUAL(fs->ops->stat(fs, in_dir("a"), &st), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, in_dir("b")), 0);
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, in_dir("b")), ERR_NOT_FOUND);
    rmdir(dir);
}

static void test_directories(void)
{
    struct fs *fs = fs_real();
    struct io_file *f;
    make_dir();
    CU_ASSERT_EQUAL(fs->ops->mkdir(fs, in_dir("d")), 0);
    CU_ASSERT_EQUAL(fs->ops->mkdir(fs, in_dir("d")), ERR_EXISTS);
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, in_dir("f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    fs->ops->close(fs, f);
    int counts[2] = {0, 0}, seen = 0;
    CU_ASSERT_EQUAL(fs->ops->list(fs, dir, count_names, counts), 0);
    CU_ASSERT_EQUAL(counts[0], 1);
    CU_ASSERT_EQUAL(counts[1], 1);
    CU_ASSERT_EQUAL(fs->ops->list(fs, dir, stop_at_first, &seen), 0);
    CU_ASSERT_EQUAL(seen, 1);
    CU_ASSERT_EQUAL(fs->ops->list(fs, in_dir("none"), count_names, counts), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fs->ops->sync_dir(fs, dir), 0);
    CU_ASSERT_EQUAL(fs->ops->sync_dir(fs, in_dir("none")), ERR_NOT_FOUND);
    uint64_t total = 0, available = 0;
    CU_ASSERT_EQUAL(fs->ops->space(fs, dir, &total, &available), 0);
    CU_ASSERT(total > 0 && available <= total);
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, in_dir("f")), 0);
    CU_ASSERT_EQUAL(fs->ops->rmdir(fs, in_dir("d")), 0);
    CU_ASSERT_EQUAL(fs->ops->rmdir(fs, dir), 0);
}

static void test_settle(void)
{
    struct fs *fs = fs_real();
    struct io_file *f;
    int64_t size = 0;
    char buf[16];
    make_dir();
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, in_dir("a"), IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, "hello", 5, 0), 0);
    CU_ASSERT_EQUAL(fs->ops->settle(fs, f), 0);
    CU_ASSERT_EQUAL(fs->ops->size(fs, f, &size), 0);
    CU_ASSERT_EQUAL(size, 5);
    CU_ASSERT(fs->ops->pread(fs, f, buf, sizeof(buf), 0) == 5 && memcmp(buf, "hello", 5) == 0);
    fs->ops->close(fs, f);
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, in_dir("a"), IO_OPEN_READ, &f), 0);
    CU_ASSERT(fs->ops->settle(fs, f) < 0); /* it cannot be written, so that nothing was told */
    fs->ops->close(fs, f);
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, in_dir("a")), 0);
    rmdir(dir);
}

/* Neither a child gets it nor this process once more, as when a log dir is named twice. */
static void test_lock(void)
{
    struct fs *fs = fs_real();
    struct io_file *f;
    make_dir();
    CU_ASSERT_EQUAL_FATAL(fs->ops->lock(fs, in_dir(".lock"), &f), 0);
    struct io_file *again;
    CU_ASSERT_EQUAL(fs->ops->lock(fs, in_dir("./.lock"), &again), ERR_BUSY);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        struct io_file *g;
        _exit(fs->ops->lock(fs, in_dir(".lock"), &g) == ERR_BUSY ? 0 : 1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    fs->ops->close(fs, f);
    CU_ASSERT_EQUAL(fs->ops->lock(fs, in_dir(".lock"), &f), 0);
    fs->ops->close(fs, f);
    fs->ops->unlink(fs, in_dir(".lock"));
    rmdir(dir);
}

static void test_permission(void)
{
    struct fs *fs = fs_real();
    struct io_file *f;
    make_dir();
    chmod(dir, 0500);
    int err = fs->ops->open(fs, in_dir("f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &f);
    if (geteuid() == 0) { /* root may do everything */
        CU_ASSERT_EQUAL(err, 0);
        fs->ops->close(fs, f);
        fs->ops->unlink(fs, in_dir("f"));
    } else {
        CU_ASSERT_EQUAL(err, ERR_PERMISSION);
    }
    chmod(dir, 0700);
    rmdir(dir);
}

/* What a process stored is there for the next one, with the size that it had. */
static void test_named_memory(void)
{
    struct fs *fs = fs_real();
    struct fs_named m;
    char name[64];
    snprintf(name, sizeof(name), "test-%d_x", (int)getpid());
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, "../x", 4096, &m), ERR_INVALID);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, "", 4096, &m), ERR_INVALID);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_NOT_FOUND);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool ok = fs->ops->map_named(fs, name, 100000, &m) == 0 && !m.existed;
        for (uint64_t i = 0; ok && i < m.bytes; i++)
            ok = m.p[i] == 0;
        if (ok)
            memset(m.p, 'k', 100000);
        if (ok)
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status = -1;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_FATAL(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    CU_ASSERT_EQUAL_FATAL(fs->ops->map_named(fs, name, 500, &m), 0);
    CU_ASSERT(m.existed && m.bytes >= 100000 && (uintptr_t)m.p % 4096 == 0);
    CU_ASSERT(m.p[0] == 'k' && m.p[99999] == 'k');
    fs->ops->unmap_named(fs, &m);
    CU_ASSERT_PTR_NULL(m.p);
    fs->ops->unmap_named(fs, &m);
    CU_ASSERT_EQUAL(fs->ops->remove_named(fs, name), 0);
    CU_ASSERT_EQUAL(fs->ops->remove_named(fs, name), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 1ULL << 50, &m), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_NOT_FOUND); /* nothing is left */
}

static struct {
    int err;          /* errno of setmntent */
    const char *path; /* instead of the kernel's table */
} mounts;

FILE *__real_setmntent(const char *path, const char *how);
FILE *__wrap_setmntent(const char *path, const char *how);
FILE *__wrap_setmntent(const char *path, const char *how)
{
    errno = mounts.err;
    return mounts.err ? NULL : __real_setmntent(mounts.path ? mounts.path : path, how);
}

/* Where it may be cannot be looked at: that must not pass for memory that is not there. */
static void test_named_memory_cannot_be_found(void)
{
    struct fs *fs = fs_real();
    struct fs_named m;
    char name[64], line[256];
    snprintf(name, sizeof(name), "test-%d_y", (int)getpid());
    mounts.err = EMFILE;
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_FULL);
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 4096, &m), ERR_FULL);
    CU_ASSERT_EQUAL(fs->ops->remove_named(fs, name), ERR_FULL);
    mounts.err = ENOMEM;
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_NO_MEMORY);
    mounts.err = ENOENT; /* no /proc */
    CU_ASSERT_EQUAL(fs->ops->map_named(fs, name, 0, &m), ERR_NOT_FOUND);
    mounts.err = 0;
    make_dir();
    mounts.path = in_dir("mounts");
    for (int gone = 0; gone < 2; gone++) { /* a mount that is broken; one that is gone meanwhile */
        FILE *f = fopen(mounts.path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL(f);
        snprintf(line, sizeof(line), "none %s hugetlbfs rw 0 0\n",
                 in_dir(gone ? "none" : "mounts/under"));
        fputs(line, f);
        fclose(f);
        int err = fs->ops->map_named(fs, name, 0, &m);
        CU_ASSERT(gone ? err == ERR_NOT_FOUND : err != ERR_NOT_FOUND && err != 0);
    }
    unlink(mounts.path);
    mounts.path = NULL;
    rmdir(dir);
}

UNIT_MAIN("io/fs", UNIT_CASE(test_files), UNIT_CASE(test_directories), UNIT_CASE(test_settle),
          UNIT_CASE(test_lock), UNIT_CASE(test_permission), UNIT_CASE(test_named_memory),
          UNIT_CASE(test_named_memory_cannot_be_found))
