/*
 * Named log memory over a start: what a broker that died left in it is written, dropped or kept.
 * The order is that of broker_start: log dirs and metadata open, regions found, dirs begun, replay.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "control/broker_impl.h"
#include "tests/unit/control/rig.h"

#define chunks 4

struct world {
    struct rig rig;
    struct broker broker;
    struct str paths[rig_dirs];
    struct rng rng;
    int lines; /* where the broker's log goes */
    char text[8192], why[1024];
};

static struct world w;
static const char bytes[] = "a batch that was acknowledged and is in no file";

/* A topic with a partition in each log dir, served by a process that then died. */
static void world_up(void)
{
    memset(&w, 0, sizeof(w));
    rig_make(&w.rig, unit_seed());
    rng_seed(&w.rng, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&w.rig), 0);
    CU_ASSERT_EQUAL_FATAL(rig_create(&w.rig, "t", 2), 0);
    CU_ASSERT_EQUAL_FATAL(rig_create(&w.rig, "gone", 1), 0);
    w.paths[0] = STR("/data/a");
    w.paths[1] = STR("/data/b");
    w.lines = memfd_create("lines", 0);
    CU_ASSERT_FATAL(w.lines >= 0);
}

static void world_down(void)
{
    close(w.lines);
    rig_free(&w.rig);
}

/* What the log says since the last start. */
static bool said(const char *part)
{
    ssize_t n = pread(w.lines, w.text, sizeof(w.text) - 1, 0);
    CU_ASSERT_FATAL(n >= 0);
    w.text[n] = '\0';
    return strstr(w.text, part) != NULL;
}

/* A region as the process leaves it, with one mark. */
static void leave(const struct uuid *dir, uint32_t shard, const struct uuid *topic,
                  int32_t partition)
{
    struct region r;
    struct region_place place = {.topic_id = *topic,
                                 .partition = partition,
                                 .leader_epoch = 1,
                                 .sequence = 1 + shard,
                                 .used = sizeof(bytes)};
    CU_ASSERT_EQUAL_FATAL(region_make(&r, &w.rig.sim.fs, dir, shard, 2, chunks), 0);
    memcpy(r.data, bytes, sizeof(bytes));
    region_mark_store(&r.marks[0], region_mark_place(&r.marks[0], &place), sizeof(bytes));
    region_close(&r);
}

/* One start with so many of the log dirs, up to the point where logs are opened. */
static int tail_start(uint32_t dirs)
{
    struct broker *b = &w.broker;
    struct logdirs_options o = {.fs = &w.rig.sim.fs,
                                .clock = &w.rig.clock.clock,
                                .rng = &w.rng,
                                .node_id = 1,
                                .paths = {w.paths, dirs}};
    struct uuid cluster;
    *b = (struct broker){.config = w.rig.config, .seams.fs = &w.rig.sim.fs};
    w.why[0] = '\0';
    CU_ASSERT_EQUAL_FATAL(logdirs_open(&b->logdirs, &o, w.why, sizeof(w.why)), 0);
    CU_ASSERT_EQUAL_FATAL(image_init(&b->control.image), 0);
    struct meta_store_options m = {
        .fs = b->seams.fs, .dir = "/data/a", .snapshot_after_bytes = 1000000};
    CU_ASSERT_EQUAL_FATAL(
        meta_store_open(&b->control.store, &m, &b->control.image, w.why, sizeof(w.why)), 0);
    CU_ASSERT_EQUAL_FATAL(ftruncate(w.lines, 0), 0);
    CU_ASSERT_EQUAL_FATAL(lseek(w.lines, 0, SEEK_SET), 0);
    log_set_fd(w.lines);
    int err = broker_tail_open(b, w.why, sizeof(w.why));
    if (!err)
        err = logdirs_cluster_id(b->logdirs, &cluster, w.why, sizeof(w.why));
    if (!err)
        err = logdirs_begin(b->logdirs, &cluster, w.why, sizeof(w.why));
    if (!err)
        err = broker_tail_begin(b, w.why, sizeof(w.why));
    broker_tail_free(b);
    log_set_fd(STDERR_FILENO);
    meta_store_close(b->control.store);
    image_free(&b->control.image);
    logdirs_close(b->logdirs);
    return err;
}

static bool left(const struct uuid *dir, uint32_t shard)
{
    struct region r;
    int err = region_open(&r, &w.rig.sim.fs, dir, shard, w.text, sizeof(w.text));
    CU_ASSERT(err == 0 || err == ERR_NOT_FOUND);
    if (!err)
        region_close(&r);
    return !err;
}

static bool in_file(const char *path)
{
    struct fs *fs = &w.rig.sim.fs;
    struct io_file *f;
    char found[sizeof(bytes)] = "";
    if (fs->ops->open(fs, path, IO_OPEN_READ, &f) != 0)
        return false;
    int64_t n = fs->ops->pread(fs, f, found, sizeof(found), 0);
    fs->ops->close(fs, f);
    return n == sizeof(bytes) && memcmp(found, bytes, sizeof(bytes)) == 0;
}

/* The partition of t that lives in this log dir. */
static int32_t partition_in(uint32_t dir)
{
    const struct image_topic *t = rig_topic(&w.rig, "t");
    for (int32_t i = 0; i < t->partition_count; i++)
        if (uuid_eq(&t->partitions[i].directory, &w.rig.logdirs->dirs[dir].id))
            return i;
    CU_FAIL_FATAL("no partition in this log dir");
    return -1;
}

static void file_of(char out[64], uint32_t dir, int32_t partition)
{
    snprintf(out, 64, "/data/%c/t-%d/00000000000000000000.log", "ab"[dir], partition);
}

/* A broker that died left a region of each shard, with records for a file in each log dir. Its id. */
static struct uuid two_left(char first[64], char second[64])
{
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
    int32_t a = partition_in(0), b = partition_in(1);
    file_of(first, 0, a);
    file_of(second, 1, b);
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(&meta, 0, &t, a);
    leave(&meta, 1, &t, b);
    return meta;
}

/* Each region's records are in their files, in whichever log dir, and the regions are gone. */
static void what_was_left_is_written(void)
{
    char first[64], second[64];
    struct uuid meta = two_left(first, second);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    CU_ASSERT_TRUE(in_file(first) && in_file(second));
    CU_ASSERT_TRUE(said("of 2 partitions written to their files, 0 pieces"));
    CU_ASSERT_FALSE(left(&meta, 0) || left(&meta, 1));
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0); /* nothing is there any more, nothing is said */
    CU_ASSERT_FALSE(said("named memory"));
    world_down();
}

/* A topic that was deleted, one that never was, a partition that it does not have. */
static void what_has_no_topic_is_dropped(void)
{
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, gone = rig_topic(&w.rig, "gone")->id,
                t = rig_topic(&w.rig, "t")->id;
    CU_ASSERT_EQUAL_FATAL(rig_delete(&w.rig, "gone"), 0);
    rig_sleep(&w.rig, 120000); /* over file.delete.delay.ms: its directory is away */
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(&meta, 0, &gone, 0);
    leave(&meta, 1, &t, 2);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    CU_ASSERT_TRUE(said(": 0 bytes of 0 partitions written to their files, 2 pieces"));
    CU_ASSERT_FALSE(left(&meta, 0) || left(&meta, 1));
    world_down();
}

/* The partition's directory was taken away from a log dir that is there: dropped, and said. */
static void a_removed_partition_is_said(void)
{
    char name[96];
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
    int32_t b = partition_in(1);
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    CU_ASSERT_EQUAL(logdir_remove_partition(&w.rig.sim.fs, "/data/b", STR("t"), b), 0);
    leave(&meta, 0, &t, b);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    snprintf(name, sizeof(name), "t-%d: named memory holds records of it that have no place", b);
    CU_ASSERT_TRUE(said(name) && said("its directory was removed"));
    CU_ASSERT_FALSE(left(&meta, 0));
    world_down();
}

static void put_text(const char *path, const char *text)
{
    struct fs *fs = &w.rig.sim.fs;
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_TRUNCATE, &f), 0);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, text, strlen(text), 0), 0);
    fs->ops->close(fs, f);
}

/* partition.metadata is damaged: the records wait until it is right again. */
static void damaged_metadata_keeps_the_records(void)
{
    static const char *const damaged[] = {"garbage", "",
                                          "version: 0\ntopic_id: AQIDBAUGBwgJCgsMDQ4PEA"};
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        char file[64], path[64], id[UUID_TEXT_LEN + 1], right[64];
        world_up();
        struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
        int32_t b = partition_in(1);
        file_of(file, 1, b);
        snprintf(path, sizeof(path), "/data/b/t-%d/partition.metadata", b);
        uuid_format(&t, id);
        snprintf(right, sizeof(right), "version: 0\ntopic_id: %s", id);
        rig_crash(&w.rig, SIM_PROCESS_DEATH);
        leave(&meta, 0, &t, b);
        put_text(path, damaged[i]);
        CU_ASSERT_EQUAL(tail_start(rig_dirs), ERR_BUSY);
        CU_ASSERT_TRUE(said(path) && said(id));
        CU_ASSERT_TRUE(left(&meta, 0));
        put_text(path, right);
        CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
        CU_ASSERT_TRUE(in_file(file));
        CU_ASSERT_FALSE(left(&meta, 0));
        world_down();
    }
}

/* Records of a log dir that is not there now are kept: the start is refused until it is back. */
static void a_missing_log_dir_refuses_the_start(void)
{
    char file[64];
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
    int32_t b = partition_in(1);
    file_of(file, 1, b);
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(&meta, 0, &t, b);
    CU_ASSERT_EQUAL(tail_start(1), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "whose log dir is not there"));
    CU_ASSERT_TRUE(left(&meta, 0));
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    CU_ASSERT_TRUE(in_file(file));
    CU_ASSERT_FALSE(left(&meta, 0));
    world_down();
}

/* Another broker's region stays as it is; one that carries our name and is another's refuses. */
static void regions_of_others_are_left_alone(void)
{
    static const struct uuid other = {{0xee, 1, 2}};
    char file[64], name[fs_named_name_bytes_max + 1];
    struct fs *fs = &w.rig.sim.fs;
    struct fs_named from, to;
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
    int32_t a = partition_in(0);
    file_of(file, 0, a);
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(&other, 0, &t, a);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    CU_ASSERT_TRUE(left(&other, 0));
    CU_ASSERT_FALSE(in_file(file));

    region_name(&other, 0, name);
    CU_ASSERT_EQUAL_FATAL(fs->ops->map_named(fs, name, 0, &from), 0);
    region_name(&meta, 0, name);
    CU_ASSERT_EQUAL_FATAL(fs->ops->map_named(fs, name, from.bytes, &to), 0);
    memcpy(to.p, from.p, from.bytes);
    fs->ops->unmap_named(fs, &from);
    fs->ops->unmap_named(fs, &to);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "belongs to another log dir"));
    CU_ASSERT_PTR_NOT_NULL(strstr(w.why, name));
    CU_ASSERT_FALSE(in_file(file));
    CU_ASSERT_EQUAL(fs->ops->remove_named(fs, name), 0); /* as an operator does */
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    world_down();
}

/* An operator gives up the records of shard 0: those of the others are not among them. */
static void the_first_region_may_be_gone(void)
{
    char first[64], second[64], name[fs_named_name_bytes_max + 1];
    struct uuid meta = two_left(first, second);
    region_name(&meta, 0, name);
    CU_ASSERT_EQUAL(w.rig.sim.fs.ops->remove_named(&w.rig.sim.fs, name), 0);
    CU_ASSERT_EQUAL(tail_start(rig_dirs), 0);
    CU_ASSERT_TRUE(!in_file(first) && in_file(second));
    CU_ASSERT_FALSE(left(&meta, 1));
    world_down();
}

static void os_config(struct broker *b)
{
    static const char *const overrides[] = {"log.dirs=/data/a,/data/b", "node.id=1",
                                            "sluice.durability=os"};
    struct config_sources src = {.overrides = overrides, .override_count = 3};
    struct config_errors errs;
    config_errors_init(&errs);
    CU_ASSERT_EQUAL_FATAL(config_load(&b->config, &src, &errs), 0);
    config_errors_free(&errs);
}

/* What a start with `os` does with a fresh cache for each shard. */
static void os_begin(struct broker *b, struct cache *fresh[rig_shards])
{
    b->seams.fs = &w.rig.sim.fs;
    b->logdirs = w.rig.logdirs;
    b->shard_count = rig_shards;
    b->shards = calloc(rig_shards, sizeof(*b->shards));
    CU_ASSERT_PTR_NOT_NULL_FATAL(b->shards);
    for (uint32_t i = 0; i < rig_shards; i++) {
        CU_ASSERT_EQUAL_FATAL(
            cache_new(&fresh[i], &w.rig.shards[i].mem, &w.rig.shards[i].agent, plog_evict), 0);
        b->shards[i].cache = fresh[i];
    }
    log_set_fd(w.lines);
    CU_ASSERT_EQUAL(broker_tail_open(b, w.why, sizeof(w.why)), 0);
    CU_ASSERT_EQUAL(b->left_count, 0);
    CU_ASSERT_EQUAL(broker_tail_begin(b, w.why, sizeof(w.why)), 0);
}

static void os_end(struct broker *b, struct cache *fresh[rig_shards])
{
    for (uint32_t i = 0; i < rig_shards; i++)
        cache_free(fresh[i]);
    broker_tail_free(b);
    log_set_fd(STDERR_FILENO);
    free(b->shards);
}

/* With `os` each shard has a region; those that are empty at the end go, others stay with a line. */
static void os_mode_gives_each_shard_a_region(void)
{
    struct cache *fresh[rig_shards];
    struct broker b = {0};
    world_up();
    struct uuid meta = w.rig.logdirs->dirs[0].id, t = rig_topic(&w.rig, "t")->id;
    os_config(&b);
    for (int round = 0; round < 2; round++) {
        os_begin(&b, fresh);
        CU_ASSERT_EQUAL(b.region_count, rig_shards);
        for (uint32_t i = 0; i < rig_shards; i++)
            CU_ASSERT_TRUE(cache_named(fresh[i]));
        struct region_mark *m = &b.regions[1].marks[0];
        struct region_place place = {.topic_id = t, .sequence = 1, .used = 10};
        if (round == 1)
            region_mark_store(m, region_mark_place(m, &place), 10);
        os_end(&b, fresh);
        CU_ASSERT_EQUAL(left(&meta, 0), round == 1);
        CU_ASSERT_EQUAL(left(&meta, 1), round == 1);
    }
    CU_ASSERT_TRUE(said("holds records that are in no file: the next start writes them"));
    config_free(b.config);
    world_down();
}

static const struct fs_ops *plain;
static const char *caveat;

static int map_with_caveat(struct fs *fs, const char *name, uint64_t size, struct fs_named *out)
{
    int err = plain->map_named(fs, name, size, out);
    if (err == 0)
        out->caveat = caveat;
    return err;
}

/* Memory that goes with a container, or when its user logs out, is said at the start. */
static void memory_that_may_go_is_said(void)
{
    static const char *const caveats[] = {NULL, "it may go with the container"};
    for (int i = 0; i < 2; i++) {
        struct cache *fresh[rig_shards];
        struct broker b = {0};
        world_up();
        os_config(&b);
        plain = w.rig.sim.fs.ops;
        struct fs_ops with = *plain;
        with.map_named = map_with_caveat;
        w.rig.sim.fs.ops = &with;
        caveat = caveats[i];
        os_begin(&b, fresh);
        os_end(&b, fresh);
        w.rig.sim.fs.ops = plain;
        CU_ASSERT_TRUE(said("the store into it is the acknowledgement"));
        CU_ASSERT_EQUAL(said("what is acknowledged may not outlive a restart: it may go with the "
                             "container"),
                        caveat != NULL);
        CU_ASSERT_EQUAL(said("may not outlive a restart"), caveat != NULL);
        config_free(b.config);
        world_down();
    }
}

/* With sluice.durability=fsync nothing of it matters, and nothing is said. */
static void fsync_says_nothing_of_memory(void)
{
    struct cache *fresh[rig_shards];
    struct broker b = {0};
    world_up();
    b.config = w.rig.config;
    os_begin(&b, fresh);
    CU_ASSERT_EQUAL(b.region_count, 0);
    os_end(&b, fresh);
    CU_ASSERT_FALSE(said("memory") || said("outlive"));
    world_down();
}

UNIT_MAIN("control/broker/tail", UNIT_CASE(what_was_left_is_written),
          UNIT_CASE(what_has_no_topic_is_dropped), UNIT_CASE(a_removed_partition_is_said),
          UNIT_CASE(damaged_metadata_keeps_the_records),
          UNIT_CASE(a_missing_log_dir_refuses_the_start),
          UNIT_CASE(regions_of_others_are_left_alone), UNIT_CASE(the_first_region_may_be_gone),
          UNIT_CASE(os_mode_gives_each_shard_a_region), UNIT_CASE(memory_that_may_go_is_said),
          UNIT_CASE(fsync_says_nothing_of_memory))
