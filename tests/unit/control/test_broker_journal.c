/*
 * Journals over a start: what a broker that died left in them is written, dropped or kept, by what the
 * metadata knows. The order is that of broker_start: log dirs and metadata open, dirs begun, replay.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "control/broker_impl.h"
#include "storage/journal/format.h"
#include "storage/plog/checkpoint.h"
#include "tests/unit/control/rig.h"
#include "tests/unit/storage/move.h"

#define image_blocks journal_blocks_min

static struct world {
    struct rig rig;
    struct broker broker;
    struct str paths[rig_dirs];
    struct rng rng;
    int lines; /* where the broker's log goes */
    bool online[rig_dirs];
    struct uuid topic; /* t's */
    char text[8192], why[2048];
} w;

static const char bytes[] = "a batch that was acknowledged and is in no segment";

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

static bool said(const char *part)
{
    ssize_t n = pread(w.lines, w.text, sizeof(w.text) - 1, 0);
    CU_ASSERT_FATAL(n >= 0);
    w.text[n] = '\0';
    return strstr(w.text, part) != NULL;
}

/* A journal as the process leaves it, with one frame: the first bytes of the partition. */
static void leave(uint32_t dir, const struct uuid *id, const struct uuid *topic, int32_t partition)
{
    static uint8_t image[image_blocks * journal_block_bytes];
    struct fs *fs = &w.rig.sim.fs;
    struct io_file *f;
    uint8_t *p = image + journal_block_bytes;
    struct journal_head h = {.dir = *id, .shard = 0, .blocks = image_blocks, .life = 77};
    struct journal_frame frame = {
        .topic_id = *topic, .partition = partition, .leader_epoch = 1, .bytes = sizeof(bytes)};
    struct journal_commit c = {.life = 77,
                               .sequence = 1,
                               .tail = 1,
                               .bytes = journal_data_at(1) + sizeof(bytes),
                               .frames = 1};
    memset(image, 0, sizeof(image));
    journal_head_put(image, &h);
    memcpy(p + journal_data_at(1), bytes, sizeof(bytes));
    journal_frame_put(p, 0, &frame, p + journal_data_at(1));
    journal_commit_put(p, &c);
    CU_ASSERT_EQUAL_FATAL(
        fs->ops->open(fs, dir ? "/data/b/sluice-journal-0" : "/data/a/sluice-journal-0",
                      IO_OPEN_WRITE | IO_OPEN_CREATE, &f),
        0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->pwrite(fs, f, image, sizeof(image), 0), 0);
    fs->ops->close(fs, f);
}

static bool left(uint32_t dir)
{
    return rig_has(&w.rig, dir ? "/data/b/sluice-journal-0" : "/data/a/sluice-journal-0");
}

/* One start up to the point where logs are opened. */
static int journals_start(void)
{
    struct broker *b = &w.broker;
    struct logdirs_options o = {.fs = &w.rig.sim.fs,
                                .clock = &w.rig.clock.clock,
                                .rng = &w.rng,
                                .node_id = 1,
                                .paths = {w.paths, rig_dirs}};
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
    int err = logdirs_cluster_id(b->logdirs, &cluster, w.why, sizeof(w.why));
    if (!err)
        err = logdirs_begin(b->logdirs, &cluster, w.why, sizeof(w.why));
    if (!err)
        err = broker_journals_begin(b, w.why, sizeof(w.why));
    log_set_fd(STDERR_FILENO);
    for (uint32_t i = 0; i < rig_dirs; i++)
        w.online[i] = b->logdirs->dirs[i].online;
    meta_store_close(b->control.store);
    image_free(&b->control.image);
    logdirs_close(b->logdirs);
    return err;
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

static const char *path_of(uint32_t dir, int32_t partition, const char *name)
{
    static char path[4][96];
    static uint32_t next;
    char *out = path[next++ % 4];
    snprintf(out, sizeof(path[0]), "/data/%c/t-%d%s%s", "ab"[dir], partition, name ? "/" : "",
             name ? name : "");
    return out;
}

#define first_segment "00000000000000000000.log"

/* The journal of log dir `dir` has a record of the partition that lives in it; then the process died. */
static int32_t died_with(uint32_t dir)
{
    world_up();
    struct uuid id = w.rig.logdirs->dirs[dir].id;
    int32_t partition = partition_in(dir);
    w.topic = rig_topic(&w.rig, "t")->id;
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(dir, &id, &w.topic, partition);
    return partition;
}

static void what_was_left_is_written(void)
{
    int32_t b = died_with(1);
    CU_ASSERT_EQUAL(journals_start(), 0);
    CU_ASSERT_TRUE(in_file(path_of(1, b, first_segment)));
    CU_ASSERT_TRUE(said("of 1 partitions written to their segments, 0 pieces"));
    CU_ASSERT_TRUE(!left(1) && w.online[1]);
    world_down();
}

/* A topic that was deleted; a partition that the topic does not have. */
static void what_has_no_topic_is_dropped(void)
{
    world_up();
    struct uuid a = w.rig.logdirs->dirs[0].id, b = w.rig.logdirs->dirs[1].id,
                gone = rig_topic(&w.rig, "gone")->id, t = rig_topic(&w.rig, "t")->id;
    CU_ASSERT_EQUAL_FATAL(rig_delete(&w.rig, "gone"), 0);
    rig_sleep(&w.rig, 120000); /* over file.delete.delay.ms: its directory is away */
    rig_crash(&w.rig, SIM_PROCESS_DEATH);
    leave(0, &a, &gone, 0);
    leave(1, &b, &t, 2);
    CU_ASSERT_EQUAL(journals_start(), 0);
    CU_ASSERT_TRUE(said("0 bytes of 0 partitions written to their segments, 1 pieces"));
    CU_ASSERT_TRUE(!left(0) && !left(1) && w.online[0] && w.online[1]);
    world_down();
}

/* partition.metadata lost, emptied or removed with its directory: the log dir is offline until it is back. */
static void a_partition_that_is_not_known_keeps_its_journal(void)
{
    for (int how = 0; how < 3; how++) {
        char name[64], id[UUID_TEXT_LEN + 1], text[96];
        struct fs *fs = &w.rig.sim.fs;
        int32_t b = died_with(1);
        uuid_format(&w.topic, id);
        int err = how == 2 ? fs->ops->rename(fs, path_of(1, b, NULL), "/data/b/aside")
                           : fs->ops->unlink(fs, path_of(1, b, "partition.metadata"));
        if (how == 1)
            err = file_replace(fs, path_of(1, b, NULL), "partition.metadata", "", 0);
        CU_ASSERT_EQUAL(err, 0);
        for (int start = 0; start < 2; start++) {
            CU_ASSERT_EQUAL(journals_start(), 0);
            CU_ASSERT_TRUE(left(1) && !w.online[1] && w.online[0]);
            snprintf(name, sizeof(name), "acknowledged records of t-%d", b);
            CU_ASSERT_TRUE(said(name) && said(id) && said("log dir /data/b is offline"));
        }
        if (how == 2)
            CU_ASSERT_EQUAL(fs->ops->rename(fs, "/data/b/aside", path_of(1, b, NULL)), 0);
        int n = snprintf(text, sizeof(text), "version: 0\ntopic_id: %s\n", id);
        CU_ASSERT_EQUAL(
            file_replace(fs, path_of(1, b, NULL), "partition.metadata", text, (size_t)n), 0);
        CU_ASSERT_EQUAL(journals_start(), 0);
        CU_ASSERT_TRUE(in_file(path_of(1, b, first_segment)));
        CU_ASSERT_TRUE(!left(1) && w.online[1]);
        world_down();
    }
}

/* In the log dir of the metadata: refused. */
static void the_metadata_dir_refuses_the_start(void)
{
    int32_t a = died_with(0);
    CU_ASSERT_EQUAL(w.rig.sim.fs.ops->unlink(&w.rig.sim.fs, path_of(0, a, "partition.metadata")),
                    0);
    CU_ASSERT_EQUAL(journals_start(), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "/data/a: a journal has acknowledged records of t-"));
    CU_ASSERT_TRUE(left(0));
    world_down();
}

/* The directory was moved to the other log dir after the crash: written there. */
static void a_moved_partition_is_found(void)
{
    int32_t b = died_with(1);
    move_dir(&w.rig.sim.fs, path_of(1, b, NULL), path_of(0, b, NULL));
    CU_ASSERT_EQUAL(journals_start(), 0);
    CU_ASSERT_TRUE(in_file(path_of(0, b, first_segment)));
    CU_ASSERT_TRUE(!left(1) && w.online[1]);
    world_down();
}

/* Moved, and not to be known there: to go on without the journal's log dir would serve it without them. */
static void a_moved_partition_that_is_not_known_refuses_the_start(void)
{
    int32_t b = died_with(1);
    struct fs *fs = &w.rig.sim.fs;
    CU_ASSERT_EQUAL(fs->ops->unlink(fs, path_of(1, b, "partition.metadata")), 0);
    move_dir(fs, path_of(1, b, NULL), path_of(0, b, NULL));
    CU_ASSERT_EQUAL(journals_start(), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(w.why, "it would be opened without them in /data/a"));
    CU_ASSERT_TRUE(left(1));
    world_down();
}

UNIT_MAIN("control/broker/journal", UNIT_CASE(what_was_left_is_written),
          UNIT_CASE(what_has_no_topic_is_dropped),
          UNIT_CASE(a_partition_that_is_not_known_keeps_its_journal),
          UNIT_CASE(the_metadata_dir_refuses_the_start), UNIT_CASE(a_moved_partition_is_found),
          UNIT_CASE(a_moved_partition_that_is_not_known_refuses_the_start))
