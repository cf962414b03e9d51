#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/kerr.h"
#include "control/config/config.h"
#include "storage/plog/checkpoint.h"
#include "tests/unit/control/rig.h"

/* What both shards see of a topic; NULL unless they agree. */
static struct view_topic *seen(struct rig *r, const char *name)
{
    struct view_topic *a = view_by_name(&r->shards[0].view, str_from(name));
    struct view_topic *b = view_by_name(&r->shards[1].view, str_from(name));
    return a == b ? a : NULL;
}

static bool has_partition(struct rig *r, const char *name, int32_t partition)
{
    char a[300], b[300];
    snprintf(a, sizeof(a), "/data/a/%s-%d", name, partition);
    snprintf(b, sizeof(b), "/data/b/%s-%d", name, partition);
    return rig_has(r, a) != rig_has(r, b);
}

static void created_topics_are_seen_by_all(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "orders", 10), 0);
    struct image_topic *t = rig_topic(&r, "orders");
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT_EQUAL(t->state, IMAGE_TOPIC_LIVE);
    struct view_topic *v = seen(&r, "orders");
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT_PTR_EQUAL(view_by_id(&r.shards[1].view, &t->id), v);
    CU_ASSERT_EQUAL(v->partition_count, 10);
    uint32_t in_shard[rig_shards] = {0}, in_dir[rig_dirs] = {0};
    for (int32_t i = 0; i < 10; i++) {
        CU_ASSERT_PTR_NOT_NULL(v->partitions[i].plog);
        CU_ASSERT_EQUAL(v->partitions[i].leader_id, 1);
        CU_ASSERT_EQUAL(v->partitions[i].leader_epoch, 0);
        CU_ASSERT_PTR_EQUAL(v->partitions[i].owner, &r.shards[v->partitions[i].shard].agent);
        CU_ASSERT_TRUE(has_partition(&r, "orders", i));
        in_shard[v->partitions[i].shard]++;
        in_dir[t->partitions[i].log_dir]++;
    }
    CU_ASSERT_TRUE(in_shard[0] > 0 && in_shard[1] > 0);
    CU_ASSERT_EQUAL(in_dir[0], 5); /* the fewest partitions each time */
    CU_ASSERT_EQUAL(in_dir[1], 5);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

/* A creation that fails half way writes once more: none is begun where that has no room. */
static void a_full_metadata_disk_refuses_creations(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    struct log_dir *metadata = &r.logdirs->dirs[r.logdirs->metadata];
    atomic_store(&metadata->space.level, PLOG_SPACE_FULL);
    CU_ASSERT_EQUAL(rig_create(&r, "orders", 1), KERR_KAFKA_STORAGE_ERROR);
    CU_ASSERT_PTR_NULL(rig_topic(&r, "orders"));
    atomic_store(&metadata->space.level, PLOG_SPACE_LOW);
    CU_ASSERT_EQUAL(rig_create(&r, "orders", 1), 0);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

/* Where the start could not write the checkpoints they speak of older topics: the others come first. */
static void new_topics_avoid_old_checkpoints(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_TRUE(r.logdirs->dirs[0].checkpointed && !r.logdirs->dirs[0].stale);
    r.logdirs->dirs[0].stale = true;
    CU_ASSERT_EQUAL(rig_create(&r, "orders", 4), 0);
    struct image_topic *t = rig_topic(&r, "orders");
    for (int32_t i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(t->partitions[i].log_dir, 1);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void refusals_leave_nothing(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "a", 1), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "a", 1), KERR_TOPIC_ALREADY_EXISTS);
    CU_ASSERT_EQUAL(rig_create(&r, "b", 0), KERR_POLICY_VIOLATION);
    CU_ASSERT_EQUAL(rig_create(&r, "b", topic_partitions_max + 1), KERR_POLICY_VIOLATION);
    CU_ASSERT_PTR_NULL(rig_topic(&r, "b"));
    CU_ASSERT_EQUAL(r.control.image.by_id.count, 1);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

struct waiting {
    struct topic_op op;
    bool done;
};

static void waiting_done(struct topic_op *op)
{
    ((struct waiting *)op)->done = true;
}

static void start_op(struct rig *r, struct waiting *w, enum topic_op_kind kind, const char *name,
                     int32_t partitions)
{
    struct image_topic *t = rig_topic(r, name);
    *w = (struct waiting){.op = {.kind = kind,
                                 .name = str_from(name),
                                 .id = t ? t->id : (struct uuid){{9}},
                                 .partition_count = partitions,
                                 .done = waiting_done}};
    topics_submit(&r->control, &w->op);
}

/* A deletion is answered when no shard sees the topic; its name is free at once. */
static void names_can_be_used_again_at_once(void)
{
    struct rig r;
    struct waiting gone, back, unknown, late;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    start_op(&r, &unknown, TOPIC_DELETE, "t", 0);
    CU_ASSERT_TRUE(unknown.done && unknown.op.error == KERR_UNKNOWN_TOPIC_ID);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 3), 0);
    struct uuid first = rig_topic(&r, "t")->id;
    r.hold_workers = true; /* the files cannot go yet */
    start_op(&r, &gone, TOPIC_DELETE, "t", 0);
    late = (struct waiting){
        .op = {.kind = TOPIC_GROW, .id = first, .partition_count = 9, .done = waiting_done}};
    topics_submit(&r.control, &late.op);
    CU_ASSERT_TRUE(late.done && late.op.error == KERR_UNKNOWN_TOPIC_ID);
    rig_settle(&r);
    CU_ASSERT_TRUE(gone.done && gone.op.error == 0);
    CU_ASSERT_PTR_NULL(view_by_name(&r.shards[0].view, STR("t")));
    CU_ASSERT_PTR_NULL(view_by_name(&r.shards[1].view, STR("t")));
    CU_ASSERT_TRUE(has_partition(&r, "t", 0));
    start_op(&r, &back, TOPIC_CREATE, "t", 1);
    rig_settle(&r);
    CU_ASSERT_FALSE(back.done);
    r.hold_workers = false;
    rig_settle(&r);
    CU_ASSERT_TRUE(back.done && back.op.error == 0);
    CU_ASSERT_FALSE(uuid_eq(&back.op.created_id, &first));
    CU_ASSERT_PTR_NULL(image_by_id(&r.control.image, &first));
    CU_ASSERT_TRUE(has_partition(&r, "t", 0));
    CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "t-0") + rig_count(&r, "/data/b", "t-0"), 1);
    CU_ASSERT_FALSE(has_partition(&r, "t", 1) || has_partition(&r, "t", 2));
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void files_wait_for_requests(void)
{
    struct rig r;
    struct waiting gone;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 1), 0);
    struct view_topic *v = seen(&r, "t");
    view_hold(&r.shards[1].view, v); /* a request of shard 1 is at work on it */
    start_op(&r, &gone, TOPIC_DELETE, "t", 0);
    rig_settle(&r);
    CU_ASSERT_TRUE(gone.done && gone.op.error == 0);
    CU_ASSERT_TRUE(has_partition(&r, "t", 0));
    CU_ASSERT_STRING_EQUAL(v->name.p, "t");
    view_drop(&r.shards[1].view, v);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.control.image.by_id.count, 0);
    CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "t-0") + rig_count(&r, "/data/b", "t-0"), 0);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void topics_grow(void)
{
    struct rig r;
    struct waiting grow, less;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 2), 0);
    struct plog *kept = seen(&r, "t")->partitions[1].plog;
    start_op(&r, &grow, TOPIC_GROW, "t", 5);
    start_op(&r, &less, TOPIC_GROW, "t", 5);
    rig_settle(&r);
    CU_ASSERT_TRUE(grow.done && grow.op.error == 0);
    CU_ASSERT_TRUE(less.done && less.op.error == KERR_INVALID_PARTITIONS);
    struct view_topic *v = seen(&r, "t");
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    CU_ASSERT_EQUAL(v->partition_count, 5);
    CU_ASSERT_PTR_EQUAL(v->partitions[1].plog, kept);
    for (int32_t i = 0; i < 5; i++)
        CU_ASSERT_TRUE(v->partitions[i].plog != NULL && has_partition(&r, "t", i));
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void settings_are_stored_and_applied(void)
{
    struct rig r;
    struct waiting op;
    struct topics_config configs[2] = {{STR("retention.ms"), STR("1000")},
                                       {STR("max.message.bytes"), STR("2000")}};
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 3), 0);
    op = (struct waiting){.op = {.kind = TOPIC_CONFIGURE,
                                 .id = rig_topic(&r, "t")->id,
                                 .configs = configs,
                                 .config_count = 2,
                                 .done = waiting_done}};
    topics_submit(&r.control, &op.op);
    rig_settle(&r);
    CU_ASSERT_TRUE(op.done && op.op.error == 0);
    struct topics_config broker = {STR("log.retention.ms"), STR("5000")};
    CU_ASSERT_EQUAL(broker_configure(&r.control, true, &broker, 1), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(config_retention_ms(r.control.config), 5000);
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    const struct image_topic *t = rig_topic(&r, "t");
    CU_ASSERT_STRING_EQUAL(image_configs_get(&t->configs, STR("retention.ms")), "1000");
    CU_ASSERT_STRING_EQUAL(image_configs_get(&t->configs, STR("max.message.bytes")), "2000");
    CU_ASSERT_EQUAL(config_retention_ms(r.control.config), 5000);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

struct marks_call {
    struct partition_call pc; /* first */
    struct plog_marks marks;
    bool hold, done;
};

static void marks_run(struct call *call)
{
    struct marks_call *m = (struct marks_call *)call;
    plog_marks(m->pc.plog, &m->marks);
    if (!m->hold)
        call_finish(call);
}

static void marks_done(struct call *call)
{
    ((struct marks_call *)call)->done = true;
}

static void calls_keep_a_topic_open(void)
{
    struct rig r;
    struct waiting gone;
    struct marks_call m = {.hold = true}, late = {0};
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 1), 0);
    struct image_topic *t = rig_topic(&r, "t");
    CU_ASSERT_EQUAL(partition_call_start(&r.control, t, 1, &late.pc, marks_run, marks_done),
                    KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_EQUAL(partition_call_start(&r.control, t, 0, &m.pc, marks_run, marks_done), 0);
    start_op(&r, &gone, TOPIC_DELETE, "t", 0);
    rig_settle(&r);
    CU_ASSERT_TRUE(gone.done && !m.done);
    CU_ASSERT_EQUAL(partition_call_start(&r.control, t, 0, &late.pc, marks_run, marks_done),
                    KERR_UNKNOWN_TOPIC_OR_PARTITION);
    CU_ASSERT_TRUE(has_partition(&r, "t", 0));
    call_finish(&m.pc.call);
    agent_flush(&r.shards[t->partitions[0].shard].agent);
    rig_settle(&r);
    CU_ASSERT_TRUE(m.done);
    CU_ASSERT_EQUAL(m.marks.end, 0);
    CU_ASSERT_FALSE(has_partition(&r, "t", 0));
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void a_disk_that_is_full_leaves_no_topic(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "before", 2), 0);
    for (uint64_t nth = 1; nth < 12; nth++) {
        io_sim_fail(&r.sim, SIM_PWRITE, nth, ERR_NO_SPACE);
        int16_t error = rig_create(&r, "t", 2);
        rig_settle(&r);
        r.sim.fault_count = 0;
        CU_ASSERT_TRUE(error == 0 || error == KERR_KAFKA_STORAGE_ERROR);
        if (error == 0) {
            CU_ASSERT_EQUAL(rig_delete(&r, "t"), 0);
            rig_settle(&r);
        }
        CU_ASSERT_FALSE(r.control.failed);
        CU_ASSERT_PTR_NULL(rig_topic(&r, "t"));
        CU_ASSERT_EQUAL(r.control.image.by_id.count, 1);
        CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "t-0") + rig_count(&r, "/data/b", "t-0"), 0);
    }
    CU_ASSERT_EQUAL(rig_create(&r, "t", 2), 0);
    rig_stop(&r);
    rig_free(&r);
}

/* Whether a checkpoint file still names partition 0 of the topic. */
static bool checkpoint_names(struct rig *r, const char *name)
{
    const char *dirs[] = {"/data/a", "/data/b"};
    bool found = false;
    for (int i = 0; i < 2; i++) {
        struct checkpoint c = {0};
        CU_ASSERT_EQUAL_FATAL(checkpoint_read(&r->sim.fs, dirs[i], CHECKPOINT_RECOVERY_POINT, &c),
                              0);
        found = found || checkpoint_find(&c, str_from(name), 0) >= 0;
        checkpoint_free(&c);
    }
    return found;
}

/*
 * While a file names a partition of it a deleted topic's name is not free: the next topic of that
 * name would begin at the old one's offsets. The pass that could not be written is repeated, and
 * nobody waits for it at a stop.
 */
static bool name_is_held(uint64_t nth, bool stop_early)
{
    struct rig r;
    struct waiting gone, back;
    rig_make(&r, unit_seed() + nth);
    int64_t pass_ms = 0;
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 1), 0);
    pass_ms = config_int(r.config, CONFIG_LOG_FLUSH_OFFSET_CHECKPOINT_INTERVAL_MS) + 1;
    rig_sleep(&r, pass_ms);
    CU_ASSERT_TRUE_FATAL(checkpoint_names(&r, "t"));
    struct uuid id = rig_topic(&r, "t")->id;
    io_sim_fail(&r.sim, SIM_PWRITE, nth, ERR_NO_SPACE);
    start_op(&r, &gone, TOPIC_DELETE, "t", 0);
    rig_settle(&r);
    r.sim.fault_count = 0;
    bool named = checkpoint_names(&r, "t");
    bool held = named && rig_topic(&r, "t") == NULL;
    CU_ASSERT_TRUE(gone.done);
    CU_ASSERT_TRUE(!named || image_by_id(&r.control.image, &id) != NULL);
    if (held) {
        start_op(&r, &back, TOPIC_CREATE, "t", 1);
        rig_settle(&r);
        CU_ASSERT_FALSE(back.done);
    }
    if (held && !stop_early) {
        rig_sleep(&r, pass_ms);
        CU_ASSERT_TRUE(back.done && back.op.error == 0);
    }
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_TRUE(!held || back.done);
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_TRUE(rig_topic(&r, "t") != NULL || !checkpoint_names(&r, "t"));
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
    return held;
}

static void a_name_is_free_when_no_checkpoint_has_it(void)
{
    uint32_t held = 0;
    for (uint64_t nth = 1; nth < 12; nth++)
        for (int stop_early = 0; stop_early < 2; stop_early++)
            held += name_is_held(nth, stop_early);
    CU_ASSERT_TRUE(held >= 2);
}

static void a_failed_dir_takes_its_partitions_offline(void)
{
    struct rig r;
    struct marks_call m = {0};
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 4), 0);
    topics_dir_failed(r.control.topics, 1, ERR_IO);
    rig_settle(&r);
    CU_ASSERT_FALSE(r.control.failed);
    struct image_topic *t = rig_topic(&r, "t");
    struct view_topic *v = seen(&r, "t");
    CU_ASSERT_PTR_NOT_NULL_FATAL(v);
    for (int32_t i = 0; i < 4; i++) {
        bool online = t->partitions[i].log_dir == 0;
        CU_ASSERT_EQUAL(t->partitions[i].plog != NULL, online);
        CU_ASSERT_EQUAL(v->partitions[i].plog != NULL, online);
        CU_ASSERT_EQUAL(v->partitions[i].leader_id, online ? 1 : -1);
        CU_ASSERT_EQUAL(partition_call_start(&r.control, t, i, &m.pc, marks_run, marks_done),
                        online ? 0 : KERR_KAFKA_STORAGE_ERROR);
        rig_settle(&r);
    }
    CU_ASSERT_EQUAL(rig_create(&r, "u", 4), 0); /* all in the dir that is left */
    CU_ASSERT_EQUAL(rig_topic(&r, "u")->partitions[3].log_dir, 0);
    topics_dir_failed(r.control.topics, 0, ERR_IO);
    CU_ASSERT_TRUE(r.control.failed); /* it holds the metadata */
    rig_settle(&r);
    CU_ASSERT_FALSE(rig_stop(&r));
    rig_free(&r);
}

static void a_clean_stop_is_picked_up(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_FALSE(r.logdirs->dirs[0].clean);
    CU_ASSERT_EQUAL(rig_create(&r, "a", 3), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "b", 1), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "b"), 0);
    struct uuid id = rig_topic(&r, "a")->id;
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/.kafka_cleanshutdown"));
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/.kafka_cleanshutdown"));
    CU_ASSERT_TRUE(rig_has(&r, "/data/b/recovery-point-offset-checkpoint"));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_TRUE(r.logdirs->dirs[0].clean && r.logdirs->dirs[1].clean);
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/.kafka_cleanshutdown"));
    CU_ASSERT_TRUE(uuid_eq(&rig_topic(&r, "a")->id, &id));
    CU_ASSERT_PTR_NULL(rig_topic(&r, "b"));
    CU_ASSERT_EQUAL(seen(&r, "a")->partitions[2].leader_epoch, 1);
    CU_ASSERT_EQUAL(logdirs_offset(r.logdirs, rig_topic(&r, "a")->partitions[0].log_dir,
                                   LOG_DIR_RECOVERY_POINT, STR("a"), 0),
                    0);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

static void make_partition_dir(struct rig *r, const char *path)
{
    struct fs *fs = &r->sim.fs;
    char file[512];
    struct io_file *f;
    CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, path), 0);
    snprintf(file, sizeof(file), "%s/00000000000000000000.log", path);
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, file, IO_OPEN_WRITE | IO_OPEN_CREATE, &f), 0);
    fs->ops->close(fs, f);
    CU_ASSERT_EQUAL_FATAL(fs->ops->sync_dir(fs, path), 0);
}

static void strangers_are_put_aside(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 2), 0);
    uint32_t home = rig_topic(&r, "t")->partitions[0].log_dir;
    CU_ASSERT_TRUE(rig_stop(&r));
    make_partition_dir(&r, "/data/a/unknown-0");                       /* no such topic */
    make_partition_dir(&r, "/data/b/t-7");                             /* no such partition */
    make_partition_dir(&r, home == 0 ? "/data/b/t-0" : "/data/a/t-0"); /* twice */
    make_partition_dir(&r, "/data/a/gone-0.0123-delete");
    CU_ASSERT_EQUAL(r.sim.fs.ops->mkdir(&r.sim.fs, "/data/a/empty-0"), 0);
    make_partition_dir(&r, "/data/a/lost+found");
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/unknown-0"));
    CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "unknown-0."), 1);
    CU_ASSERT_EQUAL(rig_count(&r, "/data/b", "t-7."), 1);
    CU_ASSERT_FALSE(rig_has(&r, "/data/a/empty-0"));
    CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "-stray") + rig_count(&r, "/data/b", "-stray"), 3);
    CU_ASSERT_EQUAL(rig_count(&r, "/data/a", "-delete"), 0);
    CU_ASSERT_TRUE(rig_has(&r, "/data/a/lost+found"));
    CU_ASSERT_TRUE(has_partition(&r, "t", 0));
    CU_ASSERT_EQUAL(rig_topic(&r, "t")->partitions[0].log_dir, home);
    CU_ASSERT_PTR_NOT_NULL(seen(&r, "t")->partitions[0].plog);
    CU_ASSERT_TRUE(rig_stop(&r));
    rig_free(&r);
}

struct move {
    struct fs *fs;
    const char *from, *to;
};

/* One file of a directory is copied to the other and removed. */
static int move_file(void *ctx, const char *name, bool is_dir)
{
    const struct move *m = ctx;
    char from[256], to[256];
    struct io_file *in, *out;
    int64_t size;
    snprintf(from, sizeof(from), "%s/%s", m->from, name);
    snprintf(to, sizeof(to), "%s/%s", m->to, name);
    CU_ASSERT_EQUAL_FATAL(m->fs->ops->open(m->fs, from, IO_OPEN_READ, &in), 0);
    CU_ASSERT_EQUAL_FATAL(m->fs->ops->open(m->fs, to, IO_OPEN_WRITE | IO_OPEN_CREATE, &out), 0);
    CU_ASSERT_EQUAL_FATAL(m->fs->ops->size(m->fs, in, &size), 0);
    uint8_t *bytes = malloc((size_t)size + 1);
    CU_ASSERT_EQUAL(m->fs->ops->pread(m->fs, in, bytes, (size_t)size, 0), size);
    CU_ASSERT_EQUAL(m->fs->ops->pwrite(m->fs, out, bytes, (size_t)size, 0), 0);
    free(bytes);
    m->fs->ops->close(m->fs, in);
    m->fs->ops->close(m->fs, out);
    return 0;
}

static int unlink_file(void *ctx, const char *name, bool is_dir)
{
    const struct move *m = ctx;
    char from[256];
    snprintf(from, sizeof(from), "%s/%s", m->from, name);
    CU_ASSERT_EQUAL_FATAL(m->fs->ops->unlink(m->fs, from), 0);
    return 0;
}

/* What an operator does who moves a partition between two file systems. */
static void move_dir(struct fs *fs, const char *from, const char *to)
{
    struct move m = {fs, from, to};
    CU_ASSERT_EQUAL_FATAL(fs->ops->mkdir(fs, to), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->list(fs, from, move_file, &m), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->list(fs, from, unlink_file, &m), 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->rmdir(fs, from), 0);
}

/* A partition that was moved to another log dir while the broker was down stays there. */
static void moved_partitions_are_found(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(rig_create(&r, "t", 1), 0);
    uint32_t home = rig_topic(&r, "t")->partitions[0].log_dir;
    CU_ASSERT_TRUE(rig_stop(&r));
    const char *from = home == 0 ? "/data/a/t-0" : "/data/b/t-0";
    const char *to = home == 0 ? "/data/b/t-0" : "/data/a/t-0";
    move_dir(&r.sim.fs, from, to);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
        CU_ASSERT_EQUAL(rig_topic(&r, "t")->partitions[0].log_dir, 1 - home);
        CU_ASSERT_FALSE(rig_has(&r, from));
        CU_ASSERT_TRUE(rig_stop(&r));
    }
    rig_free(&r);
}

/* A start that fails before topics are begun leaves each dir as it was: crashed is not clean. */
static void a_stop_before_the_start_changes_no_mark(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    for (int start = 0; start < 2; start++) {
        struct topics *t;
        struct topics_options o = {
            .shard_count = rig_shards, .worker_count = rig_workers, .fs = &r.sim.fs, .node_id = 1};
        CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
        o.logdirs = r.logdirs;
        for (uint32_t i = 0; i < rig_workers; i++)
            o.workers[i] = &r.workers[i].agent;
        CU_ASSERT_EQUAL_FATAL(topics_new(&t, &r.control, &o), 0);
        topics_stop(t);
        CU_ASSERT_TRUE(topics_stopped(t));
        for (uint32_t i = 0; i < rig_dirs; i++) {
            CU_ASSERT_EQUAL(r.logdirs->dirs[i].clean, start == 1);
            CU_ASSERT_EQUAL(topics_dir_closed_clean(t, i), start == 1);
        }
        topics_free(t);
        CU_ASSERT_TRUE(rig_stop(&r)); /* the next start finds both marks */
    }
    rig_free(&r);
}

static void producer_ids_never_repeat(void)
{
    struct rig r;
    int64_t last = -1;
    rig_make(&r, unit_seed());
    for (int start = 0; start < 4; start++) {
        CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
        for (int i = 0; i < 1500; i++) {
            int64_t id;
            CU_ASSERT_EQUAL_FATAL(topics_next_producer_id(&r.control, &id), 0);
            CU_ASSERT_TRUE_FATAL(id > last);
            last = id;
        }
        if (start % 2)
            rig_stop(&r);
        else
            rig_crash(&r, start == 0 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
    }
    rig_free(&r);
}

UNIT_MAIN("control/topics", UNIT_CASE(created_topics_are_seen_by_all),
          UNIT_CASE(a_full_metadata_disk_refuses_creations),
          UNIT_CASE(new_topics_avoid_old_checkpoints), UNIT_CASE(refusals_leave_nothing),
          UNIT_CASE(names_can_be_used_again_at_once), UNIT_CASE(files_wait_for_requests),
          UNIT_CASE(topics_grow), UNIT_CASE(settings_are_stored_and_applied),
          UNIT_CASE(calls_keep_a_topic_open), UNIT_CASE(a_disk_that_is_full_leaves_no_topic),
          UNIT_CASE(a_name_is_free_when_no_checkpoint_has_it),
          UNIT_CASE(a_failed_dir_takes_its_partitions_offline),
          UNIT_CASE(a_clean_stop_is_picked_up), UNIT_CASE(strangers_are_put_aside),
          UNIT_CASE(moved_partitions_are_found), UNIT_CASE(a_stop_before_the_start_changes_no_mark),
          UNIT_CASE(producer_ids_never_repeat))
