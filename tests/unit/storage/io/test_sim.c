/* The simulated disk: what it keeps, what it loses, and that a seed replays. */
#include <string.h>

#include "base/err.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

struct waited {
    struct io_req req;
    int64_t result;
    int times;
};

static void on_done(struct io_req *req, int64_t result)
{
    struct waited *w = (struct waited *)req;
    w->result = result;
    w->times++;
}

static struct io_file *open_file(struct io_sim *s, const char *path)
{
    struct io_file *f = NULL;
    CU_ASSERT_EQUAL_FATAL(
        s->fs.ops->open(&s->fs, path, IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    return f;
}

static int64_t size_of(struct io_sim *s, const char *path)
{
    struct fs_stat st;
    int err = s->fs.ops->stat(&s->fs, path, &st);
    return err ? err : st.size;
}

static void up(struct io_sim *s, uint64_t seed)
{
    io_sim_init(s, seed);
    CU_ASSERT_EQUAL(s->fs.ops->mkdir(&s->fs, "/d"), 0);
    CU_ASSERT_EQUAL(s->fs.ops->sync_dir(&s->fs, "/d"), 0);
}

static void test_files_and_names(void)
{
    struct io_sim s;
    struct fs *fs = &s.fs;
    char buf[8];
    up(&s, 1);
    struct io_file *f = open_file(&s, "/d/a"), *g;
    CU_ASSERT_EQUAL(fs->ops->open(fs, "/none/a", IO_OPEN_WRITE | IO_OPEN_CREATE, &g),
                    ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, "abcdef", 6, 2), 0);
    CU_ASSERT_EQUAL(fs->ops->pread(fs, f, buf, 8, 1), 7);
    CU_ASSERT_EQUAL(memcmp(buf, "\0abcdef", 7), 0);
    CU_ASSERT_EQUAL(fs->ops->rename(fs, "/d/a", "/d/b"), 0);
    CU_ASSERT_EQUAL(size_of(&s, "/d/a"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(size_of(&s, "/d/b"), 8);
    CU_ASSERT_EQUAL(fs->ops->rmdir(fs, "/d"), ERR_EXISTS);
    CU_ASSERT_EQUAL(fs->ops->rename(fs, "/d", "/e"), 0);
    CU_ASSERT_EQUAL(size_of(&s, "/e/b"), 8);
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, "/e/b"), 0);
    CU_ASSERT_EQUAL(fs->ops->rmdir(fs, "/e"), 0);
    fs->ops->close(fs, f);
    io_sim_free(&s);
}

static void test_process_death_keeps_written(void)
{
    struct io_sim s;
    up(&s, 2);
    struct io_file *f = open_file(&s, "/d/a");
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "abc", 3, 0), 0);
    io_sim_crash(&s, SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "xyz", 3, 0), ERR_CANCELLED);
    s.fs.ops->close(&s.fs, f);
    io_sim_revive(&s);
    CU_ASSERT_EQUAL(size_of(&s, "/d/a"), 3);
    char buf[3];
    f = open_file(&s, "/d/a");
    CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, 3, 0), 3);
    CU_ASSERT_EQUAL(memcmp(buf, "abc", 3), 0);
    s.fs.ops->close(&s.fs, f);
    io_sim_free(&s);
}

/* Over many seeds: what was synced always stays, what was not is sometimes lost, also in part. */
static void test_power_cut_loses_unflushed(void)
{
    int lost = 0, kept = 0, mixed = 0, nameless = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct io_sim s;
        uint8_t data[4 * sim_sector_bytes], buf[4 * sim_sector_bytes];
        up(&s, seed);
        struct io_file *f = open_file(&s, "/d/synced");
        memset(data, 'a', sizeof(data));
        CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, data, sizeof(data), 0), 0);
        CU_ASSERT_EQUAL(s.fs.ops->sync(&s.fs, f), 0);
        CU_ASSERT_EQUAL(s.fs.ops->sync_dir(&s.fs, "/d"), 0);
        memset(data, 'b', sizeof(data));
        CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, data, sizeof(data), 0), 0);
        struct io_file *g = open_file(&s, "/d/unsynced");
        io_sim_crash(&s, SIM_POWER_CUT);
        s.fs.ops->close(&s.fs, f);
        s.fs.ops->close(&s.fs, g);
        io_sim_revive(&s);
        CU_ASSERT_EQUAL(size_of(&s, "/d/synced"), (int64_t)sizeof(data));
        nameless += size_of(&s, "/d/unsynced") == ERR_NOT_FOUND;
        f = open_file(&s, "/d/synced");
        CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, sizeof(buf), 0), (int64_t)sizeof(buf));
        int old = 0;
        for (int i = 0; i < 4; i++) {
            uint8_t first = buf[i * sim_sector_bytes];
            CU_ASSERT(first == 'a' || first == 'b');
            for (int k = 1; k < sim_sector_bytes; k++) /* a sector is old or new */
                CU_ASSERT_EQUAL(buf[i * sim_sector_bytes + k], first);
            old += first == 'a';
        }
        lost += old == 4;
        kept += old == 0;
        mixed += old > 0 && old < 4;
        s.fs.ops->close(&s.fs, f);
        io_sim_free(&s);
    }
    CU_ASSERT(lost > 0 && kept > 0 && mixed > 0 && nameless > 0 && nameless < 200);
}

static void test_durable_write_survives(void)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct io_sim s;
        up(&s, seed);
        struct io_file *f = open_file(&s, "/d/a");
        CU_ASSERT_EQUAL(s.fs.ops->sync_dir(&s.fs, "/d"), 0);
        char data[] = "durable", buf[8];
        struct iovec iov = {data, 8};
        struct waited w = {.req = {.op = IO_WRITE,
                                   .durable = true,
                                   .file = f,
                                   .iov = &iov,
                                   .iov_count = 1,
                                   .bytes = 8,
                                   .done = on_done}};
        io_submit(&s.io, &w.req);
        CU_ASSERT_EQUAL(w.times, 0);
        CU_ASSERT_TRUE(io_sim_step(&s));
        CU_ASSERT_EQUAL(w.result, 8);
        io_sim_crash(&s, SIM_POWER_CUT);
        s.fs.ops->close(&s.fs, f);
        io_sim_revive(&s);
        f = open_file(&s, "/d/a");
        CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, 8, 0), 8);
        CU_ASSERT_EQUAL(memcmp(buf, data, 8), 0);
        s.fs.ops->close(&s.fs, f);
        io_sim_free(&s);
    }
}

static void test_faults_and_space(void)
{
    struct io_sim s;
    up(&s, 3);
    struct io_file *f = open_file(&s, "/d/a");
    io_sim_fail(&s, SIM_PWRITE, 2, ERR_IO);
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "a", 1, 0), 0);
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "a", 1, 0), ERR_IO);
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "a", 1, 0), 0);
    s.bytes_limit = s.bytes + 4;
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "12345678", 8, 1), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(size_of(&s, "/d/a"), 5); /* what fitted */
    CU_ASSERT_EQUAL(s.fs.ops->allocate(&s.fs, f, 100), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(s.fs.ops->truncate(&s.fs, f, 0), 0);
    CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, "1234", 4, 0), 0);
    io_sim_fail(&s, SIM_FLUSH, 1, ERR_IO);
    struct waited w = {.req = {.op = IO_FLUSH, .file = f, .done = on_done}};
    io_submit(&s.io, &w.req);
    CU_ASSERT_TRUE(io_sim_step(&s));
    CU_ASSERT_EQUAL(w.result, ERR_IO);
    CU_ASSERT_FALSE(io_sim_step(&s));
    s.fs.ops->close(&s.fs, f);
    io_sim_free(&s);
}

/* Completions come in an order of the seed: the same one again, others with other seeds. */
static uint64_t completion_order(uint64_t seed)
{
    struct io_sim s;
    up(&s, seed);
    struct io_file *f = open_file(&s, "/d/a");
    struct waited w[8];
    uint64_t order = 0;
    for (int i = 0; i < 8; i++) {
        w[i] = (struct waited){.req = {.op = IO_FLUSH, .file = f, .done = on_done}};
        io_submit(&s.io, &w[i].req);
    }
    for (int n = 0; n < 8; n++) {
        CU_ASSERT_TRUE(io_sim_step(&s));
        for (int i = 0; i < 8; i++) {
            if (w[i].times == 1) {
                order = order * 8 + (uint64_t)i;
                w[i].times = 2;
            }
        }
    }
    s.fs.ops->close(&s.fs, f);
    io_sim_free(&s);
    return order;
}

static void test_order_replays(void)
{
    int different = 0;
    for (uint64_t seed = 1; seed < 20; seed++) {
        CU_ASSERT_EQUAL(completion_order(seed), completion_order(seed));
        different += completion_order(seed) != completion_order(seed + 1);
    }
    CU_ASSERT(different > 10);
}

/* Named memory: kept as it was when the process died; gone after a power cut. */
static void test_named_memory(void)
{
    struct io_sim s;
    struct fs_named m;
    up(&s, 4);
    CU_ASSERT_EQUAL(s.fs.ops->map_named(&s.fs, "a", 0, &m), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(s.fs.ops->map_named(&s.fs, "a", 5000, &m), 0);
    CU_ASSERT(!m.existed && m.bytes == 8192 && m.p[8191] == 0);
    m.p[0] = 'a';
    io_sim_crash(&s, SIM_PROCESS_DEATH);
    m.p[0] = 'z'; /* by the dead */
    s.fs.ops->unmap_named(&s.fs, &m);
    io_sim_revive(&s);
    CU_ASSERT_EQUAL_FATAL(s.fs.ops->map_named(&s.fs, "a", 1, &m), 0);
    CU_ASSERT(m.existed && m.bytes == 8192 && m.p[0] == 'a');
    io_sim_crash(&s, SIM_POWER_CUT);
    s.fs.ops->unmap_named(&s.fs, &m);
    io_sim_revive(&s);
    CU_ASSERT_EQUAL(s.fs.ops->map_named(&s.fs, "a", 0, &m), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL_FATAL(s.fs.ops->map_named(&s.fs, "b", 1, &m), 0);
    s.fs.ops->unmap_named(&s.fs, &m);
    CU_ASSERT_EQUAL(s.fs.ops->remove_named(&s.fs, "b"), 0);
    CU_ASSERT_EQUAL(s.fs.ops->remove_named(&s.fs, "b"), ERR_NOT_FOUND);
    io_sim_free(&s);
}

/* A name is on the medium when its own directory was synced, and not when another one was. */
static void test_names_by_directory(void)
{
    int lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct io_sim s;
        up(&s, seed);
        CU_ASSERT_EQUAL(s.fs.ops->mkdir(&s.fs, "/d/in"), 0);
        struct io_file *f = open_file(&s, "/d/in/a");
        CU_ASSERT_EQUAL(s.fs.ops->sync(&s.fs, f), 0);
        CU_ASSERT_EQUAL(s.fs.ops->sync_dir(&s.fs, seed % 2 ? "/d" : "/d/in"), 0);
        io_sim_crash(&s, SIM_POWER_CUT);
        s.fs.ops->close(&s.fs, f);
        io_sim_revive(&s);
        if (seed % 2)
            CU_ASSERT(size_of(&s, "/d/in") == 0);
        lost += size_of(&s, "/d/in/a") == ERR_NOT_FOUND;
        kept += size_of(&s, "/d/in/a") == 0;
        io_sim_free(&s);
    }
    CU_ASSERT(lost > 10 && kept > 10);
}

/* What a failed flush left looks written, and no later flush makes it so; dropping the cache tells. */
static void test_failed_flush_is_suspect(void)
{
    int lies = 0;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct io_sim s;
        uint8_t data[sim_sector_bytes], buf[sim_sector_bytes];
        memset(data, 'a', sizeof(data));
        up(&s, seed);
        struct io_file *f = open_file(&s, "/d/a");
        CU_ASSERT_EQUAL(s.fs.ops->sync_dir(&s.fs, "/d"), 0);
        CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, data, sizeof(data), 0), 0);
        io_sim_fail(&s, SIM_SYNC, 1, ERR_IO);
        CU_ASSERT_EQUAL(s.fs.ops->sync(&s.fs, f), ERR_IO);
        CU_ASSERT_EQUAL(s.fs.ops->sync(&s.fs, f), 0); /* says nothing about what was before */
        CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, sizeof(buf), 0), sim_sector_bytes);
        CU_ASSERT_EQUAL(memcmp(buf, data, sizeof(buf)), 0);
        CU_ASSERT_EQUAL(s.fs.ops->drop_cache(&s.fs, f), 0);
        CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, sizeof(buf), 0), sim_sector_bytes);
        uint8_t told = buf[0];
        lies += told != 'a';
        io_sim_crash(&s, SIM_POWER_CUT);
        s.fs.ops->close(&s.fs, f);
        io_sim_revive(&s);
        f = open_file(&s, "/d/a");
        CU_ASSERT_EQUAL(s.fs.ops->pread(&s.fs, f, buf, sizeof(buf), 0), sim_sector_bytes);
        CU_ASSERT_EQUAL(buf[0], told);
        s.fs.ops->close(&s.fs, f);
        io_sim_free(&s);
    }
    CU_ASSERT(lies > 10 && lies < 90);
}

/* What O_DIRECT asks for is asked for. */
static void test_direct_wants_alignment(void)
{
    static _Alignas(4096) uint8_t data[8192];
    struct io_sim s;
    struct io_file *f;
    up(&s, 5);
    CU_ASSERT_EQUAL_FATAL(
        s.fs.ops->open(&s.fs, "/d/a",
                       IO_OPEN_READ | IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT, &f),
        0);
    static const struct {
        uint32_t at, bytes, offset;
        bool good;
    } cases[] = {{0, 4096, 0, true},
                 {512, 512, 512, true},
                 {0, 100, 0, false},
                 {8, 512, 0, false},
                 {0, 512, 100, false}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct iovec iov = {data + cases[i].at, cases[i].bytes};
        struct waited w = {.req = {.op = IO_WRITE,
                                   .file = f,
                                   .iov = &iov,
                                   .iov_count = 1,
                                   .offset = cases[i].offset,
                                   .bytes = cases[i].bytes,
                                   .done = on_done}};
        io_submit(&s.io, &w.req);
        CU_ASSERT_TRUE(io_sim_step(&s));
        CU_ASSERT_EQUAL(w.result, cases[i].good ? (int64_t)cases[i].bytes : ERR_INVALID);
        CU_ASSERT_EQUAL(s.fs.ops->pwrite(&s.fs, f, iov.iov_base, iov.iov_len, cases[i].offset),
                        cases[i].good ? 0 : ERR_INVALID);
    }
    s.fs.ops->close(&s.fs, f);
    io_sim_free(&s);
}

UNIT_MAIN("io/sim", UNIT_CASE(test_files_and_names), UNIT_CASE(test_process_death_keeps_written),
          UNIT_CASE(test_power_cut_loses_unflushed), UNIT_CASE(test_durable_write_survives),
          UNIT_CASE(test_faults_and_space), UNIT_CASE(test_order_replays),
          UNIT_CASE(test_named_memory), UNIT_CASE(test_names_by_directory),
          UNIT_CASE(test_failed_flush_is_suspect), UNIT_CASE(test_direct_wants_alignment))
