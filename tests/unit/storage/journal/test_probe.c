/* What a device of known speed is judged to be worth. */
#include "base/err.h"
#include "base/limits.h"
#include "storage/journal/probe.h"
#include "tests/unit/unit.h"

/* A device that takes so long for a flush, and for a KiB. */
static struct device {
    struct fs fs;
    struct clock_manual clock;
    int64_t flush_ns, kib_ns;
    uint32_t writes, fail_at;
    uint64_t lowest;
} device;

static int device_pwrite(struct fs *fs, struct io_file *file, const void *buf, size_t n,
                         int64_t off)
{
    device.writes++;
    if ((uint64_t)off < device.lowest)
        device.lowest = (uint64_t)off;
    if (device.writes == device.fail_at)
        return ERR_IO;
    clock_manual_advance(&device.clock, device.kib_ns * (int64_t)(n / KIB));
    return 0;
}

static int device_sync(struct fs *fs, struct io_file *file)
{
    clock_manual_advance(&device.clock, device.flush_ns);
    return 0;
}

static const struct fs_ops device_ops = {.pwrite = device_pwrite, .sync = device_sync};

static int run(int64_t flush_ns, int64_t kib_ns, uint64_t bytes, uint64_t *worth)
{
    device = (struct device){.fs = {&device_ops},
                             .flush_ns = flush_ns,
                             .kib_ns = kib_ns,
                             .fail_at = device.fail_at,
                             .lowest = UINT64_MAX};
    clock_manual_init(&device.clock, 1, 1);
    return probe_run(&device.fs, NULL, bytes, &device.clock.clock, worth);
}

/* Latency times bandwidth. */
static void test_worth(void)
{
    uint64_t worth = 1;
    CU_ASSERT_EQUAL(run(40000, 1000, 64 * MIB, &worth), 0);
    CU_ASSERT(worth >= 40 * KIB - 2 && worth <= 40 * KIB);
    CU_ASSERT_EQUAL(device.writes, probe_small_writes + probe_large_writes);
    CU_ASSERT_EQUAL(device.lowest, 63 * MIB);
    CU_ASSERT_EQUAL(run(8000000, 10000, 128 * KIB, &worth), 0); /* slow, and a small file */
    CU_ASSERT(worth >= 800 * KIB - 2 && worth <= 800 * KIB);
    CU_ASSERT_EQUAL(device.lowest, 0);
    CU_ASSERT_EQUAL(run(0, 1000, MIB, &worth), 0); /* a flush costs nothing */
    CU_ASSERT_EQUAL(worth, 0);
    CU_ASSERT_EQUAL(run(1000, 0, MIB, &worth), 0); /* moving bytes costs nothing: cannot be told */
    CU_ASSERT_EQUAL(worth, 0);
    CU_ASSERT_EQUAL(probe_worth(-5, 4096, 100, MIB), 0);
    CU_ASSERT_EQUAL(probe_worth(100, 4096, 50, MIB), 0);
}

/* Of a device that takes seconds each kind is written once. */
static void test_slow(void)
{
    uint64_t worth;
    CU_ASSERT_EQUAL(run(2000000000, 1000, MIB, &worth), 0);
    CU_ASSERT_EQUAL(device.writes, 2);
}

static void test_errors(void)
{
    uint64_t worth = 77;
    for (uint32_t at = 1; at <= probe_small_writes + probe_large_writes; at++) {
        device.fail_at = at;
        CU_ASSERT_EQUAL(run(40000, 1000, MIB, &worth), ERR_IO);
    }
    device.fail_at = 0;
    CU_ASSERT_EQUAL(worth, 77);
}

UNIT_MAIN("journal/probe", UNIT_CASE(test_worth), UNIT_CASE(test_slow), UNIT_CASE(test_errors))
