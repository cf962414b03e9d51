#include "control/logdirs.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "control/meta/image.h"
#include "control/meta_properties.h"
#include "storage/io/sim.h"
#include "tests/unit/unit.h"

struct box {
    struct io_sim sim;
    struct clock_manual clock;
    struct rng rng;
    struct str paths[3];
    uint32_t path_count;
    struct str metadata_path;
    struct logdirs *dirs;
    char why[1024];
};

static void box_up(struct box *b)
{
    memset(b, 0, sizeof(*b));
    io_sim_init(&b->sim, unit_seed());
    clock_manual_init(&b->clock, 1, 1700000000000);
    rng_seed(&b->rng, unit_seed());
    b->paths[0] = STR("/data/a");
    b->paths[1] = STR("/data/b");
    b->paths[2] = STR("/data/deep/down/c");
    b->path_count = 2;
}

static int dirs_open(struct box *b, struct logdirs **out, int32_t node_id)
{
    struct logdirs_options o = {.fs = &b->sim.fs,
                                .clock = &b->clock.clock,
                                .rng = &b->rng,
                                .node_id = node_id,
                                .paths = {b->paths, b->path_count},
                                .metadata_path = b->metadata_path};
    return logdirs_open(out, &o, b->why, sizeof(b->why));
}

static void begin(struct box *b, struct logdirs *l, uint8_t cluster)
{
    struct uuid id = {{cluster}};
    CU_ASSERT_EQUAL_FATAL(logdirs_begin(l, &id, b->why, sizeof(b->why)), 0);
}

static bool has(struct box *b, const char *path)
{
    struct fs_stat st;
    return b->sim.fs.ops->stat(&b->sim.fs, path, &st) == 0;
}

static void directories_are_made_and_locked(void)
{
    struct box b;
    struct logdirs *second;
    box_up(&b);
    b.path_count = 3;
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_TRUE(has(&b, "/data/deep/down/c/.lock"));
    CU_ASSERT_EQUAL(b.dirs->data_count, 3);
    CU_ASSERT_EQUAL(logdirs_online_count(b.dirs), 3);
    CU_ASSERT_EQUAL(dirs_open(&b, &second, 1), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.why, "/data/a/.lock is already locked, by another process or"));
    logdirs_close(b.dirs);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    logdirs_close(b.dirs);
    logdirs_close(NULL);
    io_sim_free(&b.sim);
}

static void identities_are_written_once_and_checked(void)
{
    struct box b;
    struct uuid cluster;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 3), 0);
    CU_ASSERT_EQUAL(logdirs_cluster_id(b.dirs, &cluster, b.why, sizeof(b.why)), 0);
    CU_ASSERT_TRUE(uuid_is_zero(&cluster));
    begin(&b, b.dirs, 7);
    struct uuid first = b.dirs->dirs[0].id, second = b.dirs->dirs[1].id;
    CU_ASSERT_FALSE(uuid_eq(&first, &second));
    logdirs_close(b.dirs);

    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 3), 0);
    CU_ASSERT_TRUE(uuid_eq(&b.dirs->dirs[0].id, &first));
    CU_ASSERT_EQUAL(logdirs_by_id(b.dirs, &second), 1);
    CU_ASSERT_EQUAL(logdirs_by_id(b.dirs, &cluster), image_no_log_dir);
    CU_ASSERT_EQUAL(logdirs_cluster_id(b.dirs, &cluster, b.why, sizeof(b.why)), 0);
    CU_ASSERT_EQUAL(cluster.b[0], 7);
    logdirs_close(b.dirs);

    CU_ASSERT_EQUAL(dirs_open(&b, &b.dirs, 4), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.why, "node.id=3"));
    io_sim_free(&b.sim);
}

static void two_clusters_are_refused(void)
{
    struct box b;
    struct uuid cluster;
    box_up(&b);
    struct meta_properties p = {.cluster_id = {{8}}, .directory_id = {{1}}, .node_id = 1};
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    logdirs_close(b.dirs);
    CU_ASSERT_EQUAL(meta_properties_write(&b.sim.fs, "/data/b", &p, 0), 0);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_EQUAL(logdirs_cluster_id(b.dirs, &cluster, b.why, sizeof(b.why)), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.why, "/data/b"));
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

/* A start dies after it took the mark away, before the medium knew; then the power goes. */
static void the_clean_mark_does_not_come_back(void)
{
    struct box b;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_EQUAL(logdirs_mark_clean(b.dirs, 0, 1), 0);
    logdirs_close(b.dirs);
    CU_ASSERT_EQUAL_FATAL(b.sim.fs.ops->unlink(&b.sim.fs, "/data/a/.kafka_cleanshutdown"), 0);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_FALSE(b.dirs->dirs[0].clean);
    io_sim_crash(&b.sim, SIM_POWER_CUT);
    logdirs_close(b.dirs);
    io_sim_revive(&b.sim);
    CU_ASSERT_FALSE(has(&b, "/data/a/.kafka_cleanshutdown"));
    io_sim_free(&b.sim);
}

/* While it runs Kafka does not find meta.properties; after a clean stop it does, and no journal. */
static void meta_properties_hide_until_the_clean_stop(void)
{
    struct box b;
    struct io_file *f;
    struct fs *fs = &b.sim.fs;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    struct uuid id = b.dirs->dirs[0].id;
    CU_ASSERT_FALSE(has(&b, "/data/a/meta.properties"));
    CU_ASSERT_TRUE(has(&b, "/data/a/sluice-meta.properties"));
    logdirs_close(b.dirs); /* as after a crash */
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_TRUE(uuid_eq(&b.dirs->dirs[0].id, &id));
    begin(&b, b.dirs, 7);
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, "/data/a/sluice-journal-2", IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    fs->ops->close(fs, f);
    CU_ASSERT_EQUAL(logdirs_mark_clean(b.dirs, 0, 1), 0);
    CU_ASSERT_TRUE(has(&b, "/data/a/meta.properties"));
    CU_ASSERT_FALSE(has(&b, "/data/a/sluice-meta.properties"));
    CU_ASSERT_FALSE(has(&b, "/data/a/sluice-journal-2"));
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

static void put_text(struct box *b, const char *path, const char *text)
{
    struct io_file *f;
    struct fs *fs = &b->sim.fs;
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, path, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &f), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->pwrite(fs, f, text, strlen(text), 0), 0);
    fs->ops->close(fs, f);
}

static void foreign_files_are_understood_or_refused(void)
{
    static const struct {
        const char *text;
        int err;
        int32_t node_id;
    } cases[] = {
        {"#\n#Mon Jan 01\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\ndirectory.id=Fkm26yYZT0mm_Wsl8csbRw\n"
         "node.id=5\nversion=1\n",
         0, 5},
        {"version=0\nbroker.id=6\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n", 0, 6},
        {"version = 1\nnode.id : 5\ncluster.id 6mPI5dWpTkmC4KuN2MsizA\n", 0, 5},
        {"", ERR_INVALID, 0},
        {"version=2\nnode.id=5\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n", ERR_INVALID, 0},
        {"version=1\nnode.id=five\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n", ERR_INVALID, 0},
        {"version=1\nnode.id=99999999999\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\n", ERR_INVALID, 0},
        {"version=1\nnode.id=5\ncluster.id=short\n", ERR_INVALID, 0},
        {"version=1\nnode.id=5\n", ERR_INVALID, 0},
        {"version=1\nnode.id=5\ncluster.id=6mPI5dWpTkmC4KuN2MsizA\ndirectory.id=x\n", ERR_INVALID,
         0},
        {"version=1\n\\uZZZZ=1\n", ERR_MALFORMED, 0},
    };
    struct box b;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct meta_properties p = {.node_id = -7};
        put_text(&b, "/data/a/meta.properties", cases[i].text);
        int err = meta_properties_read(&b.sim.fs, "/data/a", &p, b.why, sizeof(b.why));
        CU_ASSERT_EQUAL(err, cases[i].err);
        CU_ASSERT_EQUAL(p.node_id, err ? -7 : cases[i].node_id);
        if (err)
            CU_ASSERT_PTR_NOT_NULL(strstr(b.why, "/data/a/meta.properties"));
    }
    struct meta_properties p;
    CU_ASSERT_EQUAL(meta_properties_read(&b.sim.fs, "/data/b", &p, b.why, sizeof(b.why)),
                    ERR_NOT_FOUND);
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

/* The mark is away on the medium before anything else is written, and comes back at the end. */
static void the_clean_mark_comes_and_goes(void)
{
    struct box b;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_FALSE(b.dirs->dirs[0].clean);
    CU_ASSERT_EQUAL(logdirs_mark_clean(b.dirs, 0, 3), 0);
    logdirs_close(b.dirs);
    CU_ASSERT_TRUE(has(&b, "/data/a/.kafka_cleanshutdown"));
    CU_ASSERT_FALSE(has(&b, "/data/b/.kafka_cleanshutdown"));

    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_TRUE(b.dirs->dirs[0].clean && !b.dirs->dirs[1].clean);
    logdirs_close(b.dirs);
    io_sim_crash(&b.sim, SIM_POWER_CUT);
    io_sim_revive(&b.sim);
    CU_ASSERT_FALSE(has(&b, "/data/a/.kafka_cleanshutdown"));
    io_sim_free(&b.sim);
}

static int stat_fails(struct fs *fs, const char *path, struct fs_stat *out)
{
    return strstr(path, "/data/b/.kafka_cleanshutdown") ? ERR_IO : ERR_NOT_FOUND;
}

/* Nobody knows whether the mark is there, and it would be believed after a crash. */
static void a_mark_that_cannot_be_seen_takes_the_dir_offline(void)
{
    struct box b;
    struct uuid id = {{7}};
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_EQUAL(logdirs_mark_clean(b.dirs, 1, 1), 0);
    logdirs_close(b.dirs);

    const struct fs_ops *honest = b.sim.fs.ops;
    struct fs_ops failing = *honest;
    failing.stat = stat_fails;
    for (uint32_t metadata = 0; metadata < 2; metadata++) {
        CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
        b.dirs->metadata = metadata;
        b.sim.fs.ops = &failing;
        int err = logdirs_begin(b.dirs, &id, b.why, sizeof(b.why));
        b.sim.fs.ops = honest;
        CU_ASSERT_EQUAL(err, metadata == 1 ? ERR_IO : 0);
        CU_ASSERT_TRUE(b.dirs->dirs[0].online && b.dirs->dirs[0].begun);
        CU_ASSERT_TRUE(metadata == 1 || !b.dirs->dirs[1].online);
        CU_ASSERT_FALSE(b.dirs->dirs[1].begun);
        logdirs_close(b.dirs);
        CU_ASSERT_TRUE(has(&b, "/data/b/.kafka_cleanshutdown"));
    }
    io_sim_free(&b.sim);
}

static void checkpoints_of_the_last_run_are_read(void)
{
    struct box b;
    struct checkpoint c = {0};
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_EQUAL(checkpoint_add(&c, STR("t-x"), 3, 77), 0);
    CU_ASSERT_EQUAL(checkpoint_write(&b.sim.fs, "/data/b", CHECKPOINT_LOG_START, &c), 0);
    checkpoint_free(&c);
    put_text(&b, "/data/b/" CHECKPOINT_RECOVERY_POINT, "nonsense");
    logdirs_close(b.dirs);
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    begin(&b, b.dirs, 7);
    CU_ASSERT_EQUAL(logdirs_offset(b.dirs, 1, LOG_DIR_LOG_START, STR("t-x"), 3), 77);
    CU_ASSERT_EQUAL(logdirs_offset(b.dirs, 1, LOG_DIR_LOG_START, STR("t-x"), 4), -1);
    CU_ASSERT_EQUAL(logdirs_offset(b.dirs, 0, LOG_DIR_LOG_START, STR("t-x"), 3), -1);
    CU_ASSERT_EQUAL(logdirs_offset(b.dirs, 1, LOG_DIR_RECOVERY_POINT, STR("t-x"), 3), -1);
    CU_ASSERT_TRUE(b.dirs->dirs[1].online);
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

static void a_broken_dir_is_offline_unless_it_holds_the_metadata(void)
{
    struct box b;
    box_up(&b);
    CU_ASSERT_EQUAL_FATAL(b.sim.fs.ops->mkdir(&b.sim.fs, "/data"), 0);
    put_text(&b, "/data/b", "a file where a directory should be");
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_TRUE(b.dirs->dirs[0].online && !b.dirs->dirs[1].online);
    CU_ASSERT_EQUAL(logdirs_choose(b.dirs), 0);
    b.dirs->dirs[0].partitions = 10;
    CU_ASSERT_EQUAL(logdirs_choose(b.dirs), 0);
    b.dirs->dirs[0].online = false;
    CU_ASSERT_EQUAL(logdirs_choose(b.dirs), image_no_log_dir);
    logdirs_close(b.dirs);

    b.paths[0] = STR("/data/b");
    b.paths[1] = STR("/data/a");
    CU_ASSERT_EQUAL(dirs_open(&b, &b.dirs, 1), ERR_EXISTS);
    CU_ASSERT_PTR_NOT_NULL(strstr(b.why, "/data/b"));
    b.metadata_path = STR("/data/a"); /* the metadata is elsewhere: only offline */
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_EQUAL(b.dirs->metadata, 1);
    logdirs_close(b.dirs);
    b.metadata_path = STR("/data/meta"); /* a dir of its own */
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    CU_ASSERT_TRUE(b.dirs->metadata == 2 && b.dirs->data_count == 2 && b.dirs->count == 3);
    CU_ASSERT_EQUAL(logdirs_choose(b.dirs), 1);
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

static void directories_can_be_put_aside_and_removed(void)
{
    struct box b;
    char long_name[256];
    struct fs *fs;
    box_up(&b);
    fs = &b.sim.fs;
    CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(fs->ops->mkdir(fs, "/data/a/t-0"), 0);
        CU_ASSERT_EQUAL(logdir_put_aside(fs, "/data/a", "t-0"), 0);
        CU_ASSERT_FALSE(has(&b, "/data/a/t-0"));
    }
    CU_ASSERT_TRUE(has(&b, "/data/a/t-0.00000000000000000000000000000000-stray"));
    CU_ASSERT_TRUE(has(&b, "/data/a/t-0.00000000000000000000000000000001-stray"));
    memset(long_name, 'n', 251);
    memcpy(long_name + 249, "-0", 3);
    char path[300];
    snprintf(path, sizeof(path), "/data/a/%s", long_name);
    CU_ASSERT_EQUAL(fs->ops->mkdir(fs, path), 0);
    CU_ASSERT_EQUAL(logdir_put_aside(fs, "/data/a", long_name), 0);

    CU_ASSERT_EQUAL(fs->ops->mkdir(fs, "/data/a/t-1"), 0);
    put_text(&b, "/data/a/t-1/x", "1");
    put_text(&b, "/data/a/t-1/partition.metadata", "version: 0\ntopic_id: 6mPI5dWpTkmC4KuN2MsizA");
    struct uuid id, expected;
    CU_ASSERT_EQUAL(uuid_parse(STR("6mPI5dWpTkmC4KuN2MsizA"), &expected), 0);
    CU_ASSERT_EQUAL(logdir_topic_id(fs, "/data/a", "t-1", &id), 0);
    CU_ASSERT_TRUE(uuid_eq(&id, &expected));
    CU_ASSERT_EQUAL(logdir_remove_partition(fs, "/data/a", STR("t"), 1), 0);
    CU_ASSERT_FALSE(has(&b, "/data/a/t-1"));
    CU_ASSERT_EQUAL(logdir_remove(fs, "/data/a", "t-1"), ERR_NOT_FOUND);
    CU_ASSERT_EQUAL(logdir_topic_id(fs, "/data/a", "t-1", &id), ERR_NOT_FOUND);
    logdirs_close(b.dirs);
    io_sim_free(&b.sim);
}

/* Cut off anywhere it leaves a directory that says whose it is, or one without files. */
static void a_removal_keeps_the_identity_to_the_end(void)
{
    for (uint64_t nth = 1; nth <= 4; nth++) {
        struct box b;
        struct uuid id;
        box_up(&b);
        struct fs *fs = &b.sim.fs;
        CU_ASSERT_EQUAL_FATAL(dirs_open(&b, &b.dirs, 1), 0);
        CU_ASSERT_EQUAL(fs->ops->mkdir(fs, "/data/a/t-1"), 0);
        put_text(&b, "/data/a/t-1/x", "1");
        put_text(&b, "/data/a/t-1/partition.metadata",
                 "version: 0\ntopic_id: 6mPI5dWpTkmC4KuN2MsizA");
        put_text(&b, "/data/a/t-1/y", "1");
        io_sim_fail(&b.sim, SIM_UNLINK, 1 + nth, ERR_IO); /* the first asks whether it is a link */
        CU_ASSERT_EQUAL(logdir_remove(fs, "/data/a", "t-1"), ERR_IO);
        CU_ASSERT_EQUAL(logdir_topic_id(fs, "/data/a", "t-1", &id), nth < 4 ? 0 : ERR_NOT_FOUND);
        CU_ASSERT_EQUAL(fs->ops->rmdir(fs, "/data/a/t-1"), nth < 4 ? ERR_EXISTS : 0);
        logdirs_close(b.dirs);
        io_sim_free(&b.sim);
    }
}

UNIT_MAIN("control/logdirs", UNIT_CASE(a_removal_keeps_the_identity_to_the_end),
          UNIT_CASE(directories_are_made_and_locked),
          UNIT_CASE(identities_are_written_once_and_checked), UNIT_CASE(two_clusters_are_refused),
          UNIT_CASE(the_clean_mark_does_not_come_back),
          UNIT_CASE(meta_properties_hide_until_the_clean_stop),
          UNIT_CASE(foreign_files_are_understood_or_refused),
          UNIT_CASE(the_clean_mark_comes_and_goes),
          UNIT_CASE(a_mark_that_cannot_be_seen_takes_the_dir_offline),
          UNIT_CASE(checkpoints_of_the_last_run_are_read),
          UNIT_CASE(a_broken_dir_is_offline_unless_it_holds_the_metadata),
          UNIT_CASE(directories_can_be_put_aside_and_removed))
