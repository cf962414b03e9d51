/* The io_uring backend on a real file. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rng.h"
#include "storage/io/io.h"
#include "tests/unit/unit.h"

struct waited {
    struct io_req req;
    int64_t result;
    int times;
};

static struct ring ring;
static struct io_uring_backend backend;
static struct io_file *file;
static char path[64];

static void on_done(struct io_req *req, int64_t result)
{
    struct waited *w = (struct waited *)req;
    w->result = result;
    w->times++;
}

static bool setup(uint32_t flags)
{
    char why[256] = "";
    if (ring_init(&ring, 8, why, sizeof(why)) != 0) {
        printf("skipped: %s ", why);
        return false;
    }
    io_uring_backend_init(&backend, &ring);
    strcpy(path, "/tmp/sluice_uring_XXXXXX");
    close(mkstemp(path));
    struct fs *fs = fs_real();
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, path, flags, &file), 0);
    return true;
}

static void teardown(void)
{
    struct fs *fs = fs_real();
    fs->ops->close(fs, file);
    fs->ops->unlink(fs, path);
    ring_fini(&ring);
}

static void run(struct waited *w)
{
    w->times = 0;
    io_submit(&backend.io, &w->req);
    CU_ASSERT_EQUAL(w->times, 0); /* never from inside */
    bool flushes = w->req.op == IO_FLUSH || w->req.durable;
    CU_ASSERT_EQUAL(ring.kernel_works, flushes ? 1 : 0);
    for (int i = 0; i < 12000 && w->times == 0; i++) {
        ring_submit(&ring);
        if (!ring_ready(&ring))
            ring_park(&ring, 10000000);
        ring_reap(&ring, 64);
    }
    CU_ASSERT_EQUAL(w->times, 1);
    CU_ASSERT_EQUAL(ring.kernel_works, 0);
}

static void transfer(struct waited *w, enum io_op op, const struct iovec *iov, uint32_t count,
                     int64_t offset, bool durable)
{
    *w = (struct waited){.req = {.op = op,
                                 .file = file,
                                 .iov = iov,
                                 .iov_count = count,
                                 .offset = offset,
                                 .durable = durable,
                                 .done = on_done}};
    for (uint32_t i = 0; i < count; i++)
        w->req.bytes += iov[i].iov_len;
    run(w);
}

static void test_write_and_read(void)
{
    if (!setup(IO_OPEN_READ | IO_OPEN_WRITE))
        return;
    char a[] = "first", b[] = "second", in[16] = "";
    struct iovec out[2] = {{a, 5}, {b, 6}}, back[2] = {{in, 3}, {in + 3, 13}};
    struct waited w;
    transfer(&w, IO_WRITE, out, 2, 100, true);
    CU_ASSERT_EQUAL(w.result, 11);
    transfer(&w, IO_READ, back, 2, 100, false);
    CU_ASSERT_EQUAL(w.result, 11); /* short: the end of the file */
    CU_ASSERT_EQUAL(memcmp(in, "firstsecond", 11), 0);
    transfer(&w, IO_READ, back, 2, 5000, false);
    CU_ASSERT_EQUAL(w.result, 0);
    transfer(&w, IO_FLUSH, NULL, 0, 0, false);
    CU_ASSERT_EQUAL(w.result, 0);
    transfer(&w, IO_WRITE, out, 0, 0, false);
    CU_ASSERT_EQUAL(w.result, 0);
    CU_ASSERT_EQUAL(backend.in_flight, 0);
    CU_ASSERT_EQUAL(backend.write_bytes, 11);
    CU_ASSERT_EQUAL(backend.errors, 0);
    teardown();
}

/* More elements than the kernel takes at once, of odd lengths. */
static void test_many_elements(void)
{
    if (!setup(IO_OPEN_READ | IO_OPEN_WRITE))
        return;
    enum { count = IOV_MAX * 2 + 300 };
    struct rng rng;
    rng_seed(&rng, unit_seed());
    static uint8_t data[count * 40], back[count * 40];
    static struct iovec out[count], in[count];
    rng_fill(&rng, data, sizeof(data));
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        size_t n = 1 + rng_below(&rng, 39);
        out[i] = (struct iovec){data + at, n};
        in[i] = (struct iovec){back + at, n};
        at += n;
    }
    struct waited w;
    transfer(&w, IO_WRITE, out, count, 7, false);
    CU_ASSERT_EQUAL(w.result, (int64_t)at);
    transfer(&w, IO_READ, in, count, 7, false);
    CU_ASSERT_EQUAL(w.result, (int64_t)at);
    CU_ASSERT_EQUAL(memcmp(data, back, at), 0);
    teardown();
}

static void test_errors(void)
{
    if (!setup(IO_OPEN_READ))
        return;
    char a[] = "x";
    struct iovec iov = {a, 1};
    struct waited w;
    transfer(&w, IO_WRITE, &iov, 1, 0, false);
    CU_ASSERT(w.result < 0);
    CU_ASSERT_EQUAL(backend.errors, 1);
    CU_ASSERT_EQUAL(backend.in_flight, 0);
    teardown();
}

/* With O_DIRECT the end of a file that is no whole block is found, and not asked for again. */
static void test_direct_end(void)
{
    static uint8_t bytes[16384] __attribute__((aligned(4096))),
        back[16384] __attribute__((aligned(4096)));
    if (!setup(IO_OPEN_READ | IO_OPEN_WRITE))
        return;
    struct fs *fs = fs_real();
    struct io_file *direct = NULL;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, file, bytes, 9001, 0), 0);
    if (fs->ops->open(fs, path, IO_OPEN_READ | IO_OPEN_DIRECT, &direct) == 0) {
        struct iovec iov[2] = {{back, 8192}, {back + 8192, 8192}};
        struct waited w = {.req = {.op = IO_READ,
                                   .file = direct,
                                   .iov = iov,
                                   .iov_count = 2,
                                   .bytes = sizeof(back),
                                   .done = on_done}};
        run(&w);
        CU_ASSERT_EQUAL(w.result, 9001);
        CU_ASSERT_EQUAL(memcmp(back, bytes, 9001), 0);
        fs->ops->close(fs, direct);
    } else {
        printf("skipped: no O_DIRECT ");
    }
    teardown();
}

UNIT_MAIN("io/uring", UNIT_CASE(test_write_and_read), UNIT_CASE(test_many_elements),
          UNIT_CASE(test_errors), UNIT_CASE(test_direct_end))
