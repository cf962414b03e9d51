#include "tests/unit/control/rig.h"

#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "control/groups.h"

#define rig_wall_ms 1700000000000

static uint32_t pools_made; /* names of mempools are unique in a process */

static void load_config(struct rig *r)
{
    static const char *const overrides[] = {"log.dirs=/data/a,/data/b", "node.id=1",
                                            "sluice.disk.reserve.bytes=8192"};
    struct config_sources src = {.overrides = overrides, .override_count = 3};
    struct config_errors errs;
    config_errors_init(&errs);
    CHECK(config_load(&r->config, &src, &errs) == 0);
    config_errors_free(&errs);
}

void rig_make(struct rig *r, uint64_t seed)
{
    static bool eal;
    if (!eal)
        with_eal(64);
    eal = true;
    memset(r, 0, sizeof(*r));
    r->seed = seed;
    r->wall_ms = rig_wall_ms;
    r->now_ns = 1000000000;
    clock_manual_init(&r->clock, r->now_ns, r->wall_ms);
    io_sim_init(&r->sim, seed);
    r->sim.wall_ms = r->wall_ms;
    load_config(r);
}

static void shard_failed(struct plog_env *env, struct plog *plog, int err)
{
    struct rig_shard *s = env->ctx;
    for (uint32_t i = 0; i < rig_dirs; i++)
        if (strcmp(plog_log_dir(plog), s->rig->logdirs->dirs[i].path) == 0)
            topics_dir_failed(s->rig->control.topics, i, err);
}

static void shard_up(struct rig *r, uint32_t index)
{
    static const struct mem_plan plan = {.total_bytes = 64 * MIB,
                                         .shards = rig_shards,
                                         .rx_bufs = 64,
                                         .tx_bufs = 64,
                                         .ref_bufs = 1024,
                                         .log_chunks = 64,
                                         .read_chunks = 32,
                                         .request_bytes = 1 * MIB,
                                         .request_max = 1 * MIB};
    struct rig_shard *s = &r->shards[index];
    memset(s, 0, sizeof(*s));
    s->rig = r;
    CHECK(agent_init(&s->agent, "shard", index, 256, NULL, NULL) == 0);
    CHECK(mem_init(&s->mem, &plan, pools_made++) == 0);
    CHECK(view_init(&s->view, index, r->seed) == 0);
    CHECK(cache_new(&s->cache, &s->mem, &s->agent, plog_evict) == 0);
    wheel_init(&s->wheel, r->now_ns);
    s->plogs = (struct plog_env){.self = &s->agent,
                                 .worker = &r->workers[index % rig_workers].agent,
                                 .wheel = &s->wheel,
                                 .mem = &s->mem,
                                 .cache = s->cache,
                                 .io = &r->sim.io,
                                 .fs = &r->sim.fs,
                                 .clock = &r->clock.clock,
                                 .now_ns = &r->now_ns,
                                 .wall_ms = &r->wall_ms,
                                 .durability = PLOG_FSYNC,
                                 .disk_error = shard_failed,
                                 .ctx = s};
}

static void agents_up(struct rig *r)
{
    for (uint32_t i = 0; i < rig_workers; i++)
        CHECK(worker_init(&r->workers[i], "worker", rig_shards + 1 + i) == 0);
    for (uint32_t i = 0; i < rig_shards; i++)
        shard_up(r, i);
    struct control_options o = {.agent_index = rig_shards,
                                .config = r->config,
                                .clock = &r->clock.clock,
                                .seed = ++r->seed};
    CHECK(control_init(&r->control, &o) == 0);
    r->up = true;
}

static int dirs_up(struct rig *r)
{
    struct logdirs_options o = {.fs = &r->sim.fs,
                                .clock = &r->clock.clock,
                                .rng = &r->control.rng,
                                .node_id = 1,
                                .paths = config_log_dirs(r->config)};
    int err = logdirs_open(&r->logdirs, &o, r->why, sizeof(r->why));
    if (err)
        return err;
    struct meta_store_options m = {
        .fs = &r->sim.fs, .dir = r->logdirs->dirs[0].path, .snapshot_after_bytes = 2000};
    err = meta_store_open(&r->control.store, &m, &r->control.image, r->why, sizeof(r->why));
    if (!err)
        err = logdirs_cluster_id(r->logdirs, &r->cluster, r->why, sizeof(r->why));
    if (!err && uuid_is_zero(&r->cluster))
        r->cluster = uuid_random(&r->control.rng);
    if (!err)
        logdirs_make_room(r->logdirs, config_long(r->config, CONFIG_SLUICE_DISK_FREE_BYTES),
                          config_long(r->config, CONFIG_SLUICE_DISK_RESERVE_BYTES));
    if (!err)
        err = logdirs_begin(r->logdirs, &r->cluster, r->why, sizeof(r->why));
    struct meta_record boot = {.type = META_BOOT, .value = (int64_t)r->control.image.boots + 1};
    if (!err)
        err = meta_store_append(r->control.store, &boot, 1);
    return err ? err : control_apply_configs(&r->control);
}

static int topics_up(struct rig *r)
{
    struct topics_options o = {.shard_count = rig_shards,
                               .worker_count = rig_workers,
                               .logdirs = r->logdirs,
                               .fs = &r->sim.fs,
                               .node_id = 1};
    for (uint32_t i = 0; i < rig_shards; i++)
        o.shards[i] =
            (struct topics_shard){&r->shards[i].agent, &r->shards[i].view, &r->shards[i].plogs};
    for (uint32_t i = 0; i < rig_workers; i++)
        o.workers[i] = &r->workers[i].agent;
    CHECK(topics_new(&r->control.topics, &r->control, &o) == 0);
    return topics_start(r->control.topics);
}

int rig_start(struct rig *r)
{
    r->why[0] = '\0';
    agents_up(r);
    int err = dirs_up(r);
    if (!err)
        err = topics_up(r);
    if (!err)
        rig_settle(r);
    if (!err && !topics_started(r->control.topics))
        err = ERR_IO;
    return err;
}

bool rig_step(struct rig *r)
{
    bool busy = false;
    for (uint32_t i = 0; i < rig_shards && !r->hold_shards; i++) {
        struct rig_shard *s = &r->shards[i];
        agent_enter(&s->agent);
        busy |= agent_receive(&s->agent, 64) > 0;
        busy |= wheel_run(&s->wheel, r->now_ns, 64) > 0;
        busy |= cache_run(s->cache, r->now_ns, 16) > 0;
        busy |= plog_env_run(&s->plogs, r->now_ns, 64) > 0;
        agent_flush(&s->agent);
    }
    busy |= io_sim_step(&r->sim);
    for (uint32_t i = 0; i < rig_workers && !r->hold_workers; i++)
        busy |= worker_step(&r->workers[i], 16) > 0;
    agent_enter(&r->control.agent);
    busy |= control_step(&r->control, r->now_ns) <= r->now_ns;
    return busy;
}

void rig_settle(struct rig *r)
{
    int quiet = 0;
    for (uint32_t i = 0; i < 200000 && quiet < 2; i++)
        quiet = rig_step(r) ? 0 : quiet + 1;
}

void rig_sleep(struct rig *r, int64_t ms)
{
    clock_manual_advance(&r->clock, ms * 1000000);
    r->now_ns += ms * 1000000;
    r->wall_ms += ms;
    rig_settle(r);
}

static void agents_down(struct rig *r)
{
    groups_free(r->control.groups);
    topics_free(r->control.topics);
    meta_store_close(r->control.store);
    logdirs_close(r->logdirs);
    r->logdirs = NULL;
    for (uint32_t i = 0; i < rig_shards; i++) {
        struct rig_shard *s = &r->shards[i];
        plog_env_fini(&s->plogs);
        cache_free(s->cache);
        view_fini(&s->view);
        mem_fini(&s->mem);
        agent_fini(&s->agent);
    }
    for (uint32_t i = 0; i < rig_workers; i++)
        worker_fini(&r->workers[i]);
    control_fini(&r->control);
    r->up = false;
}

bool rig_stop(struct rig *r)
{
    bool clean = false;
    groups_stop(r->control.groups);
    rig_settle(r);
    if (r->control.topics) {
        topics_stop(r->control.topics);
        rig_settle(r);
        clean = topics_stopped(r->control.topics);
        for (uint32_t i = 0; i < rig_dirs && clean; i++)
            clean = topics_dir_closed_clean(r->control.topics, i) &&
                    logdirs_mark_clean(r->logdirs, i, r->control.image.boots) == 0;
    }
    agents_down(r);
    return clean;
}

void rig_crash(struct rig *r, enum sim_crash how)
{
    if (!r->sim.dead)
        io_sim_crash(&r->sim, how);
    if (r->up) {
        r->hold_shards = r->hold_workers = false;
        /* Nothing works on a dead disk: what runs comes to its end, and memory can be freed. */
        rig_settle(r);
        if (r->control.topics) {
            topics_stop(r->control.topics);
            rig_settle(r);
        }
        agents_down(r);
    }
    io_sim_revive(&r->sim);
}

void rig_free(struct rig *r)
{
    if (r->up)
        rig_stop(r);
    config_free(r->config);
    io_sim_free(&r->sim);
}

struct rig_op {
    struct topic_op op; /* first */
    char name[topic_name_bytes_max + 1];
    bool done, abandoned;
};

static void op_done(struct topic_op *op)
{
    struct rig_op *x = (struct rig_op *)op;
    x->done = true;
    if (x->abandoned)
        free(x);
}

/*
 * An op that a failed broker never answers lives on until it is freed by an answer during the stop.
 */
static int16_t submit(struct rig *r, struct topic_op op, const char *name)
{
    struct rig_op *x = calloc(1, sizeof(*x));
    CHECK(x != NULL && strlen(name) < sizeof(x->name));
    x->op = op;
    memcpy(x->name, name, strlen(name) + 1);
    x->op.name = str_from(x->name);
    x->op.done = op_done;
    topics_submit(&r->control, &x->op);
    int quiet = 0;
    for (uint32_t i = 0; i < 100000 && !x->done && quiet < 2; i++)
        quiet = rig_step(r) ? 0 : quiet + 1;
    if (!x->done) {
        x->abandoned = true;
        return INT16_MIN;
    }
    int16_t error = x->op.error;
    free(x);
    return error;
}

int16_t rig_create(struct rig *r, const char *name, int32_t partitions)
{
    return submit(r, (struct topic_op){.kind = TOPIC_CREATE, .partition_count = partitions}, name);
}

int16_t rig_delete(struct rig *r, const char *name)
{
    return submit(r, (struct topic_op){.kind = TOPIC_DELETE, .id = rig_topic(r, name)->id}, name);
}

struct image_topic *rig_topic(struct rig *r, const char *name)
{
    return image_by_name(&r->control.image, str_from(name));
}

bool rig_has(struct rig *r, const char *path)
{
    struct fs_stat st;
    return r->sim.fs.ops->stat(&r->sim.fs, path, &st) == 0;
}

struct count {
    const char *part;
    uint32_t n;
};

static int count_name(void *ctx, const char *name, bool is_dir)
{
    struct count *c = ctx;
    c->n += strstr(name, c->part) != NULL;
    return 0;
}

uint32_t rig_count(struct rig *r, const char *dir, const char *part)
{
    struct count c = {.part = part};
    CHECK(r->sim.fs.ops->list(&r->sim.fs, dir, count_name, &c) == 0);
    return c.n;
}
