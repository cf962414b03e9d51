/*
 * The store on a simulated disk. The property: whatever crash comes, the image of the next start is
 * that of some prefix of the appends, and of all that were answered before the crash.
 */
#include "control/meta/store.h"

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/rng.h"
#include "control/meta/frame.h"
#include "control/meta/load.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

#define DIR "/data"

struct disk {
    struct io_sim sim;
    struct image image;
    struct meta_store *store;
    char why[1024];
};

static void disk_up(struct disk *d, uint64_t seed)
{
    memset(d, 0, sizeof(*d));
    io_sim_init(&d->sim, seed);
    CU_ASSERT_EQUAL_FATAL(d->sim.fs.ops->mkdir(&d->sim.fs, DIR), 0);
    CU_ASSERT_EQUAL_FATAL(d->sim.fs.ops->sync_dir(&d->sim.fs, DIR), 0);
}

static int store_up(struct disk *d, uint64_t snapshot_after)
{
    struct meta_store_options o = {
        .fs = &d->sim.fs, .dir = DIR, .snapshot_after_bytes = snapshot_after};
    CU_ASSERT_EQUAL_FATAL(image_init(&d->image), 0);
    int err = meta_store_open(&d->store, &o, &d->image, d->why, sizeof(d->why));
    if (err)
        image_free(&d->image);
    return err;
}

static void store_down(struct disk *d)
{
    meta_store_close(d->store);
    d->store = NULL;
    image_free(&d->image);
}

/*
 * The step that takes the producer ids to n; two records, so that half a frame would show. Its number
 * has so many digits at least.
 */
static int append_wide(struct disk *d, int64_t n, int digits)
{
    char value[5000];
    snprintf(value, sizeof(value), "%0*lld", digits, (long long)n);
    struct meta_config config = {STR("step"), str_from(value)};
    struct meta_record r[2] = {
        {.type = META_BROKER_CONFIGS, .configs = &config, .config_count = 1},
        {.type = META_PRODUCER_IDS, .value = n},
    };
    return meta_store_append(d->store, r, 2);
}

static int append_step(struct disk *d, int64_t n)
{
    return append_wide(d, n, 1);
}

/* The step an image is at; the two records of a step agree. */
static int64_t step_of(const struct image *img)
{
    const char *text = image_configs_get(&img->broker, STR("step"));
    int64_t n = text ? atoll(text) : 0;
    CU_ASSERT_EQUAL(n, img->next_producer_id);
    CU_ASSERT_EQUAL(img->next_offset, 2 * n);
    return n;
}

static void a_new_directory_gets_a_log(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    CU_ASSERT_EQUAL(append_step(&d, 2), 0);
    store_down(&d);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), 2);
    store_down(&d);
    io_sim_free(&d.sim);
}

static void snapshots_replace_the_log(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1000), 0);
    int64_t n = 0;
    while (!meta_store_snapshot_due(d.store) && n < 1000)
        CU_ASSERT_EQUAL_FATAL(append_step(&d, ++n), 0);
    CU_ASSERT_TRUE(n > 5 && n < 100);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), 0);
    CU_ASSERT_FALSE(meta_store_snapshot_due(d.store));
    CU_ASSERT_EQUAL(append_step(&d, ++n), 0);
    store_down(&d);
    struct fs_stat st;
    CU_ASSERT_EQUAL(d.sim.fs.ops->stat(&d.sim.fs, DIR "/" meta_snapshot_name, &st), 0);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1000), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), n);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), 0);
    CU_ASSERT_EQUAL(append_step(&d, n + 1), 0);
    store_down(&d);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1000), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), n + 1);
    store_down(&d);
    io_sim_free(&d.sim);
}

/* Appends and snapshots until the crash; returns the last step that was answered. */
static int64_t work_until_crash(struct disk *d, struct rng *rng)
{
    int64_t n = 0;
    while (n < 40) {
        if (append_step(d, n + 1) != 0)
            return n;
        n++;
        if (rng_below(rng, 6) == 0 && meta_store_snapshot(d->store) != 0)
            return n;
    }
    return n;
}

static void crash_once(uint64_t seed, uint64_t at, enum sim_crash how)
{
    struct disk d;
    struct rng rng;
    disk_up(&d, seed);
    rng_seed(&rng, seed);
    io_sim_crash_at(&d.sim, at, how);
    int64_t answered = 0;
    if (store_up(&d, 1 << 20) == 0) {
        answered = work_until_crash(&d, &rng);
        store_down(&d);
    }
    if (!d.sim.dead)
        io_sim_crash(&d.sim, how);
    io_sim_revive(&d.sim);
    int err = store_up(&d, 1 << 20);
    if (err)
        printf("[seed %llu, op %llu: %s] ", (unsigned long long)seed, (unsigned long long)at,
               d.why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    int64_t step = step_of(&d.image);
    CU_ASSERT_TRUE(step == answered || step == answered + 1);
    CU_ASSERT_EQUAL(append_step(&d, step + 1), 0); /* and it goes on */
    store_down(&d);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), step + 1);
    store_down(&d);
    io_sim_free(&d.sim);
}

static void no_crash_loses_an_answered_append(void)
{
    uint64_t seed = unit_seed();
    for (uint64_t at = 1; at < 160; at++)
        for (uint64_t k = 0; k < 12; k++)
            crash_once(seed + k * 1000 + at, at, k % 3 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
}

static void patch(struct disk *d, const char *name, int64_t at, uint8_t mask)
{
    struct fs *fs = &d->sim.fs;
    struct io_file *file;
    uint8_t byte;
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, name, IO_OPEN_READ | IO_OPEN_WRITE, &file), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->pread(fs, file, &byte, 1, at), 1);
    byte ^= mask;
    CU_ASSERT_EQUAL_FATAL(fs->ops->pwrite(fs, file, &byte, 1, at), 0);
    fs->ops->close(fs, file);
}

static int64_t log_size(struct disk *d)
{
    struct fs_stat st;
    CU_ASSERT_EQUAL_FATAL(d->sim.fs.ops->stat(&d->sim.fs, DIR "/" meta_log_name, &st), 0);
    return st.size;
}

/* Damage before the last append is refused and named; damage in it looks torn and is cut. */
static void damage_in_the_middle_is_refused(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    int64_t ends[4];
    for (int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL_FATAL(append_step(&d, i + 1), 0);
        ends[i] = log_size(&d);
    }
    store_down(&d);
    for (int64_t at = 0; at < ends[2]; at++) {
        patch(&d, DIR "/" meta_log_name, at, 0x10);
        int err = store_up(&d, 1 << 20);
        CU_ASSERT_EQUAL(err, ERR_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(d.why, DIR "/" meta_log_name));
        CU_ASSERT_PTR_NOT_NULL(strstr(d.why, "byte"));
        if (err == 0)
            store_down(&d);
        patch(&d, DIR "/" meta_log_name, at, 0x10);
    }
    patch(&d, DIR "/" meta_log_name, ends[3] - 1, 0x10);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), 3);
    CU_ASSERT_EQUAL(log_size(&d), ends[2]);
    store_down(&d);
    io_sim_free(&d.sim);
}

static void damage_in_a_snapshot_is_refused(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), 0);
    store_down(&d);
    struct fs_stat st;
    CU_ASSERT_EQUAL(d.sim.fs.ops->stat(&d.sim.fs, DIR "/" meta_snapshot_name, &st), 0);
    for (int64_t at = 0; at < st.size; at++) {
        patch(&d, DIR "/" meta_snapshot_name, at, 0x08);
        CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), ERR_CORRUPT);
        CU_ASSERT_PTR_NOT_NULL(strstr(d.why, meta_snapshot_name));
        patch(&d, DIR "/" meta_snapshot_name, at, 0x08);
    }
    CU_ASSERT_EQUAL(d.sim.fs.ops->unlink(&d.sim.fs, DIR "/" meta_log_name), 0);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), ERR_CORRUPT);
    CU_ASSERT_PTR_NOT_NULL(strstr(d.why, "missing"));
    io_sim_free(&d.sim);
}

/* The version is in the head, under its checksum. */
static void make_version(struct disk *d, const char *name, uint32_t version)
{
    struct fs *fs = &d->sim.fs;
    struct io_file *file;
    uint8_t head[meta_head_bytes];
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, name, IO_OPEN_READ | IO_OPEN_WRITE, &file), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->pread(fs, file, head, sizeof(head), 0), sizeof(head));
    bytes_put_u32(head + 8, version);
    bytes_put_u32(head + 20, crc32c(0, head, 20));
    CU_ASSERT_EQUAL_FATAL(fs->ops->pwrite(fs, file, head, sizeof(head), 0), 0);
    fs->ops->close(fs, file);
}

static void a_newer_version_is_refused(void)
{
    static const char *const names[] = {DIR "/" meta_log_name, DIR "/" meta_snapshot_name};
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), 0);
    CU_ASSERT_EQUAL(append_step(&d, 2), 0);
    store_down(&d);
    for (int i = 0; i < 2; i++) {
        make_version(&d, names[i], 2);
        CU_ASSERT_EQUAL(store_up(&d, 1 << 20), ERR_UNSUPPORTED);
        CU_ASSERT_PTR_NOT_NULL(strstr(d.why, names[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(d.why, "newer format version"));
        make_version(&d, names[i], 1);
    }
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), 2);
    store_down(&d);
    io_sim_free(&d.sim);
}

static void a_full_disk_changes_nothing(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    io_sim_fail(&d.sim, SIM_PWRITE, 1, ERR_NO_SPACE);
    CU_ASSERT_EQUAL(append_step(&d, 2), ERR_NO_SPACE);
    CU_ASSERT_FALSE(meta_store_failed(d.store));
    CU_ASSERT_EQUAL(step_of(&d.image), 1);
    CU_ASSERT_EQUAL(append_step(&d, 2), 0);
    io_sim_fail(&d.sim, SIM_PWRITE, 1, ERR_NO_SPACE);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), ERR_NO_SPACE);
    CU_ASSERT_EQUAL(append_step(&d, 3), 0);
    store_down(&d);
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(step_of(&d.image), 3);
    store_down(&d);
    io_sim_free(&d.sim);
}

static void a_failed_flush_is_final(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    io_sim_fail(&d.sim, SIM_SYNC, 1, ERR_IO);
    CU_ASSERT_EQUAL(append_step(&d, 2), ERR_IO);
    CU_ASSERT_TRUE(meta_store_failed(d.store));
    CU_ASSERT_EQUAL(step_of(&d.image), 1);
    CU_ASSERT_EQUAL(append_step(&d, 2), ERR_IO);
    CU_ASSERT_EQUAL(meta_store_snapshot(d.store), ERR_IO);
    CU_ASSERT_FALSE(meta_store_snapshot_due(d.store));
    store_down(&d);
    io_sim_free(&d.sim);
}

/*
 * A flush failed and the broker was started again: the frame looks written and is not, and no later
 * flush fails for it. What is answered from then on survives a power cut.
 */
static void a_failed_flush_is_not_believed_later(void)
{
    for (uint64_t i = 0; i < 50; i++) {
        struct disk d;
        disk_up(&d, unit_seed() + i);
        CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
        CU_ASSERT_EQUAL(append_step(&d, 1), 0);
        io_sim_fail(&d.sim, SIM_SYNC, 1, ERR_IO);
        CU_ASSERT_EQUAL(append_wide(&d, 2, 4000), ERR_IO); /* some sectors */
        store_down(&d);
        CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
        int64_t step = step_of(&d.image);
        CU_ASSERT(step == 1 || step == 2);
        CU_ASSERT_EQUAL(append_step(&d, step + 1), 0);
        store_down(&d);
        io_sim_crash(&d.sim, SIM_POWER_CUT);
        io_sim_revive(&d.sim);
        CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
        CU_ASSERT_EQUAL(step_of(&d.image), step + 1);
        store_down(&d);
        io_sim_free(&d.sim);
    }
}

static void records_over_the_limits_change_nothing(void)
{
    struct disk d;
    disk_up(&d, unit_seed());
    CU_ASSERT_EQUAL_FATAL(store_up(&d, 1 << 20), 0);
    struct meta_record r = {.type = META_BROKER_CONFIGS, .config_count = meta_configs_max + 1};
    CU_ASSERT_EQUAL(meta_store_append(d.store, &r, 1), ERR_TOO_LARGE);
    CU_ASSERT_EQUAL(meta_store_append(d.store, &r, 0), 0);
    CU_ASSERT_EQUAL(append_step(&d, 1), 0);
    store_down(&d);
    io_sim_free(&d.sim);
}

UNIT_MAIN("control/meta/store", UNIT_CASE(a_new_directory_gets_a_log),
          UNIT_CASE(snapshots_replace_the_log), UNIT_CASE(no_crash_loses_an_answered_append),
          UNIT_CASE(damage_in_the_middle_is_refused), UNIT_CASE(damage_in_a_snapshot_is_refused),
          UNIT_CASE(a_newer_version_is_refused), UNIT_CASE(a_full_disk_changes_nothing),
          UNIT_CASE(a_failed_flush_is_final), UNIT_CASE(a_failed_flush_is_not_believed_later),
          UNIT_CASE(records_over_the_limits_change_nothing))
