/* The broker's life: shards up and down, starts, stops, crashes. */
#include <inttypes.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/journal/journal.h"
#include "storage/plog/checkpoint.h"
#include "tests/sim/sim.h"

#define clean_mark ".kafka_cleanshutdown"
#define wall_start 1700000000000LL

static void on_disk_error(struct plog_env *env, struct plog *plog, int err)
{
    struct world *w = env->ctx;
    w->broken = true;
    w->errors++;
    MUST(w, w->disk.dead || w->o.faults || w->o.space, "a disk error out of nothing: %s",
         err_name(err));
}

/* Memory and mbufs are of the process: they cost much to make, and hold nothing between runs. */
static const struct mem *shard_memory(uint32_t i)
{
    static struct mem mems[sim_shards_max];
    static bool made[sim_shards_max];
    struct mem_plan plan = {
        .total_bytes = 64 * MIB,
        .shards = sim_shards_max,
        .rx_bufs = 64,
        .tx_bufs = 64,
        .ref_bufs = 2048,
        .log_chunks = sim_chunks_max,
        .read_chunks = sim_chunks_max,
        .request_bytes = 1 * MIB,
        .request_max = 1 * MIB,
    };
    if (!made[i])
        CHECK(mem_init(&mems[i], &plan, i) == 0);
    made[i] = true;
    return &mems[i];
}

static void shard_up(struct world *w, uint32_t i)
{
    static const char *const names[sim_shards_max] = {"shard0", "shard1", "shard2"};
    struct sim_shard *s = &w->shards[i];
    CHECK(agent_init(&s->agent, names[i], i, 256, NULL, NULL) == 0);
    wheel_init(&s->wheel, w->now_ns);
    s->mem = *shard_memory(i);
    s->mem.log_bytes = (uint64_t)w->o.chunks * tail_chunk_bytes;
    s->mem.log_foreign = true;
    s->mem.read_bytes = (uint64_t)w->o.read_chunks * tail_chunk_bytes;
    CHECK(cache_new(&s->cache, &s->mem, &s->agent, plog_evict) == 0);
    s->env = (struct plog_env){
        .self = &s->agent,
        .worker = &w->worker.agent,
        .wheel = &s->wheel,
        .mem = &s->mem,
        .cache = s->cache,
        .io = &w->disk.io,
        .fs = &w->disk.fs,
        .clock = &w->clock.clock,
        .now_ns = &w->now_ns,
        .wall_ms = &w->wall_ms,
        .durability = w->o.durability,
        .disk_error = on_disk_error,
        .ctx = w,
        .retention_check_ms = 500,
        .journal_bytes = (uint64_t)w->o.journal_blocks * journal_block_bytes,
        .rng = &w->rng,
        .dir_id = journals_dir_id,
    };
}

static void machine_up(struct world *w)
{
    CHECK(worker_init(&w->worker, "worker", shard_count_max) == 0);
    w->level = PLOG_SPACE_AMPLE;
    w->shard_count = 1 + (uint32_t)rng_below(&w->rng, sim_shards_max);
    for (uint32_t i = 0; i < w->shard_count; i++)
        shard_up(w, i);
    w->up = true;
    w->broken = false;
}

static void machine_down(struct world *w)
{
    for (uint32_t i = 0; i < w->shard_count; i++) {
        struct cache_stats stats;
        cache_stats(w->shards[i].cache, &stats);
        MUST(w, stats.free + stats.kept == stats.chunks && stats.lent == 0,
             "shard %u keeps %u of %u chunks, %u lent", i, stats.chunks - stats.free, stats.chunks,
             stats.lent);
        uint32_t all, free_chunks;
        plog_reads_chunks(&w->shards[i].env, &all, &free_chunks);
        MUST(w, free_chunks == all, "shard %u keeps %u of %u chunks of read memory", i,
             all - free_chunks, all);
        MUST(w, w->shards[i].env.reads.under_way == 0, "shard %u still reads", i);
        w->disk_reads += w->shards[i].env.reads.disk_requests;
        w->ahead += w->shards[i].env.reads.ahead_bytes;
        w->hits += w->shards[i].env.reads.ahead_hits;
        w->gaps_read += w->shards[i].env.reads.gaps;
        plog_env_fini(&w->shards[i].env);
        cache_free(w->shards[i].cache);
        agent_fini(&w->shards[i].agent);
    }
    worker_fini(&w->worker);
    w->up = false;
}

/* ---- moving ---- */

static bool move_shard(struct world *w, struct sim_shard *s)
{
    agent_enter(&s->agent);
    switch (rng_below(&w->rng, 4)) {
    case 0:
        return plog_env_run(&s->env, w->now_ns, 64) > 0;
    case 1:
        agent_flush(&s->agent);
        return agent_receive(&s->agent, 1 + (uint32_t)rng_below(&w->rng, 8)) > 0;
    case 2:
        return cache_run(s->cache, w->now_ns, 16) > 0;
    default:
        return wheel_run(&s->wheel, w->now_ns, 64) > 0;
    }
}

bool world_move(struct world *w)
{
    uint64_t what = rng_below(&w->rng, w->shard_count * 2 + 2);
    if (what == 0) {
        agent_enter(&w->worker.agent);
        bool busy = worker_step(&w->worker, 1) > 0;
        agent_flush(&w->worker.agent);
        return busy;
    }
    struct sim_shard *s = &w->shards[(what - 1) % w->shard_count];
    if (what & 1) {
        agent_enter(&s->agent);
        return io_sim_step(&w->disk);
    }
    return move_shard(w, s);
}

void world_push(struct world *w)
{
    for (uint32_t i = 0; i < w->shard_count; i++) {
        agent_enter(&w->shards[i].agent);
        plog_env_run(&w->shards[i].env, w->now_ns, 64);
    }
}

void world_tick(struct world *w)
{
    for (uint32_t i = 0; i < w->shard_count; i++) {
        struct sim_shard *s = &w->shards[i];
        agent_enter(&s->agent);
        wheel_run(&s->wheel, w->now_ns, 64);
        plog_env_run(&s->env, w->now_ns, 64);
        agent_flush(&s->agent);
        agent_receive(&s->agent, 64);
    }
    agent_enter(&w->worker.agent);
    worker_step(&w->worker, 1);
    agent_flush(&w->worker.agent);
}

/* Every part of the machine once. */
static bool move_all(struct world *w)
{
    bool busy = false;
    for (uint32_t i = 0; i < w->shard_count; i++) {
        struct sim_shard *s = &w->shards[i];
        agent_enter(&s->agent);
        busy |= cache_run(s->cache, w->now_ns, 16) > 0;
        busy |= plog_env_run(&s->env, w->now_ns, 64) > 0;
        busy |= io_sim_step(&w->disk);
        agent_flush(&s->agent);
        busy |= agent_receive(&s->agent, 64) > 0;
        busy |= wheel_run(&s->wheel, w->now_ns, 64) > 0;
    }
    agent_enter(&w->worker.agent);
    busy |= worker_step(&w->worker, 16) > 0;
    agent_flush(&w->worker.agent);
    return busy || w->disk.in_flight > 0;
}

void world_settle(struct world *w)
{
    uint32_t i = 0;
    while (move_all(w))
        MUST(w, i++ < sim_settle_max, "the machine does not come to rest");
}

void world_sleep(struct world *w, int64_t ms)
{
    w->now_ns += ms * CLOCK_NS_PER_MS;
    w->wall_ms += ms;
    w->disk.wall_ms = w->wall_ms;
}

/* ---- partitions ---- */

static struct plog_config first_config(const struct world *w)
{
    return (struct plog_config){
        .segment_bytes = w->o.segment_bytes,
        .segment_ms = w->o.segment_ms,
        .segment_index_bytes = 4096,
        .index_interval_bytes = w->o.index_interval_bytes,
        .retention_ms = w->o.retention_ms,
        .retention_bytes = w->o.retention_bytes,
        .file_delete_delay_ms = 1000,
        .max_message_bytes = 1 << 20,
        .timestamp_before_max_ms = INT64_MAX,
        .timestamp_after_max_ms = 3600000,
        .flush_messages = w->o.flush_messages,
        .flush_ms = INT64_MAX,
        .producer_expiration_ms = INT64_MAX / 4,
        .timestamp_type = PLOG_CREATE_TIME,
        .cleanup_delete = true,
    };
}

static const char *topic_name(const struct world *w, const struct sim_topic *t)
{
    static const char *const names[sim_topics_max] = {"orders", "a.b_c-1"};
    return names[t - w->topics];
}

struct found {
    struct checkpoint recovery, start;
};

/* Opens one partition; an error is one of the disk, which is allowed to fail or dead. */
static int part_open(struct world *w, struct sim_topic *t, uint32_t k, const struct found *found)
{
    struct sim_part *p = &t->parts[k];
    char why[512] = "";
    struct str name = str_from(topic_name(w, t));
    struct plog_open o = {
        .fs = &w->disk.fs,
        .log_dir = sim_dir,
        .topic = name,
        .partition = (int32_t)k,
        .topic_id = t->id,
        .leader_epoch = t->leader_epoch,
        .config = t->config,
        .clean = w->clean && found,
        .recovery_point = found ? checkpoint_find(&found->recovery, name, (int32_t)k) : -1,
        .log_start = found ? checkpoint_find(&found->start, name, (int32_t)k) : -1,
        .wall_ms = w->wall_ms,
        .durability = w->o.durability,
    };
    int err = plog_open(&p->plog, &o, why, sizeof(why));
    if (err) {
        p->plog = NULL;
        MUST(w, w->disk.dead || w->o.faults || w->o.space || why[0] != '\0',
             "an error without a reason");
        /* files of its own that cannot be read close the partition alone: ERR_CORRUPT */
        bool unreadable = err == ERR_CORRUPT && w->o.faults && strstr(why, err_text(ERR_IO));
        MUST(w, w->disk.dead || err == ERR_IO || err == ERR_NO_SPACE || unreadable,
             "%s does not open: %s (%s)", o.topic.p, why, err_name(err));
        return err;
    }
    p->shard = (uint32_t)((t->id.b[0] + k) % w->shard_count);
    agent_enter(&w->shards[p->shard].agent);
    plog_attach(p->plog, &w->shards[p->shard].env);
    return 0;
}

struct detaching {
    struct plog_detach detach;
    bool done;
};

static void on_detached(struct plog_detach *d)
{
    ((struct detaching *)d)->done = true;
}

static void part_detach(struct world *w, struct sim_part *p)
{
    struct detaching d = {.detach.done = on_detached};
    agent_enter(&w->shards[p->shard].agent);
    plog_wait_cancel(&p->waiter);
    plog_detach(p->plog, &d.detach);
    world_settle(w);
    MUST(w, d.done, "a partition is never detached");
}

void topic_create(struct world *w, struct sim_topic *t)
{
    t->state = TOPIC_LIVE;
    t->config = first_config(w);
    t->altered = false;
    t->batch_most = 0;
    t->leader_epoch = 0;
    t->incarnation++;
    for (uint32_t i = 0; i < sizeof(t->id.b); i++)
        t->id.b[i] = (uint8_t)rng_below(&w->rng, 256);
    for (uint32_t k = 0; k < w->o.parts; k++) {
        for (uint32_t i = 0; i < sim_flows_max; i++)
            t->parts[k].flows[i] = (struct sim_flow){.id = i ? w->producer_ids++ : -1};
        if (part_open(w, t, k, NULL) != 0)
            w->broken = true; /* the next start opens it */
    }
}

void topic_configure(struct world *w, struct sim_topic *t)
{
    for (struct sim_part *p = t->parts; p < t->parts + w->o.parts; p++) {
        if (p->plog == NULL)
            continue;
        agent_enter(&w->shards[p->shard].agent);
        plog_configure(p->plog, &t->config);
    }
}

/* Deletion as the control thread does it: detach, remove the files, forget. */
void topic_delete(struct world *w, struct sim_topic *t)
{
    bool whole = true;
    t->state = TOPIC_REMOVING;
    for (uint32_t k = 0; k < w->o.parts; k++) {
        struct sim_part *p = &t->parts[k];
        if (p->plog) {
            part_detach(w, p);
            traffic_forget_part(w, p);
            whole &= plog_remove(p->plog) == 0;
        }
        p->plog = NULL;
        model_clear(p);
    }
    /* a line that stays would be taken for the next topic's of that name */
    if (whole && world_checkpoint(w) && !w->disk.dead)
        t->state = TOPIC_ABSENT;
    else
        w->broken = true;
}

static int trace_name(void *ctx, const char *name, bool is_dir)
{
    struct world *w = ((void **)ctx)[0];
    const char *dir = ((void **)ctx)[1];
    char path[io_path_bytes_max];
    struct fs_stat st;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (w->disk.fs.ops->stat(&w->disk.fs, path, &st) == 0)
        sim_trace(w, "    %s %s%" PRId64, path, is_dir ? "/ " : "", st.size);
    if (is_dir)
        w->disk.fs.ops->list(&w->disk.fs, path, trace_name, (void *[]){w, path});
    return 0;
}

/* What the disk holds now, by what the operating system says. */
static void trace_files(struct world *w)
{
    if (!w->tracing)
        return;
    uint64_t calls = w->disk.calls, lists = w->disk.ops[SIM_LIST];
    w->disk.calls = w->disk.ops[SIM_LIST] = 0;
    w->disk.fs.ops->list(&w->disk.fs, sim_dir, trace_name, (void *[]){w, sim_dir});
    w->disk.calls = calls;
    w->disk.ops[SIM_LIST] = lists;
}

/* ---- starts and stops ---- */

#define each_part(w, t, p)                                                                         \
    for (struct sim_topic *t = (struct sim_topic *)(w)->topics; t < (w)->topics + (w)->o.topics;   \
         t++)                                                                                      \
        for (struct sim_part *p = t->parts; p < t->parts + (w)->o.parts; p++)

/* One line of the checkpoint files; log starts of 0 are left out, as in Kafka. */
static void note_part(struct world *w, const struct sim_topic *t, const struct sim_part *p,
                      bool stopping, struct found *out)
{
    struct plog_marks marks;
    struct str name = str_from(topic_name(w, t));
    plog_marks(p->plog, &marks);
    int64_t point = stopping && !marks.failed ? marks.end : plog_recovery_point(p->plog);
    CHECK(checkpoint_add(&out->recovery, name, (int32_t)(p - t->parts), point) == 0);
    if (marks.log_start > 0)
        CHECK(checkpoint_add(&out->start, name, (int32_t)(p - t->parts), marks.log_start) == 0);
}

static void note_all(struct world *w, bool stopping, struct found *out)
{
    *out = (struct found){{0}, {0}};
    each_part(w, t, p) if (p->plog && t->state == TOPIC_LIVE) note_part(w, t, p, stopping, out);
}

static int found_write(struct world *w, const struct found *f)
{
    struct fs *fs = &w->disk.fs;
    int err = checkpoint_write(fs, sim_dir, CHECKPOINT_LOG_START, &f->start);
    return err ? err : checkpoint_write(fs, sim_dir, CHECKPOINT_RECOVERY_POINT, &f->recovery);
}

static void found_free(struct found *f)
{
    checkpoint_free(&f->recovery);
    checkpoint_free(&f->start);
}

static bool all_open(const struct world *w)
{
    each_part(w, t, p) if (t->state == TOPIC_LIVE && p->plog == NULL) return false;
    return true;
}

bool world_checkpoint(struct world *w)
{
    struct found f;
    if (!all_open(w)) /* what is not open would lose its line */
        return false;
    note_all(w, false, &f);
    bool written = found_write(w, &f) == 0;
    w->broken |= !written;
    found_free(&f);
    return written;
}

static int start_marks(struct world *w, struct found *found)
{
    struct fs *fs = &w->disk.fs;
    struct fs_stat st;
    int err = checkpoint_read(fs, sim_dir, CHECKPOINT_RECOVERY_POINT, &found->recovery);
    if (!err)
        err = checkpoint_read(fs, sim_dir, CHECKPOINT_LOG_START, &found->start);
    bool clean = fs->ops->stat(fs, sim_dir "/" clean_mark, &st) == 0;
    MUST(w, !clean || w->clean || w->disk.dead, "a clean mark after an unclean stop");
    w->clean = clean;
    if (!err && clean)
        err = fs->ops->unlink(fs, sim_dir "/" clean_mark);
    if (!err) /* a start before may have died between the two */
        err = fs->ops->sync_dir(fs, sim_dir);
    if (!err)
        err = plog_sweep(fs, sim_dir);
    return err;
}

/* As the broker answers: what lives keeps its records, also while its directory cannot say its name. */
enum restore_missing world_missing(void *ctx, const struct uuid *topic_id, int32_t partition)
{
    struct world *w = ctx;
    for (const struct sim_topic *t = w->topics; t < w->topics + w->o.topics; t++) {
        char path[io_path_bytes_max];
        struct fs_stat st;
        if (w->clean || t->state != TOPIC_LIVE || !uuid_eq(&t->id, topic_id))
            continue;
        snprintf(path, sizeof(path), "%s/%s-%d", sim_dir, topic_name(w, t), partition);
        MUST(w, w->disk.fs.ops->stat(&w->disk.fs, path, &st) != ERR_NOT_FOUND,
             "acknowledged records of %s, whose directory is not there", path);
        return RESTORE_KEEP;
    }
    return RESTORE_DROP;
}

static int start_once(struct world *w)
{
    struct found found = {{0}, {0}};
    machine_up(w);
    int err = start_marks(w, &found);
    if (!err)
        err = journals_begin(w);
    if (!err)
        err = tails_begin(w);
    each_part(w, t, p)
    {
        if (err || t->state == TOPIC_ABSENT)
            continue;
        err = part_open(w, t, (uint32_t)(p - t->parts), &found);
        if (!err && t->state == TOPIC_LIVE)
            model_front(w, p);
    }
    found_free(&found);
    return err;
}

void world_start(struct world *w)
{
    for (uint32_t tries = 0;; tries++) {
        w->gaps |= w->lossy;
        MUST(w, tries < sim_start_tries, "the broker does not start");
        if (tries > sim_start_tries / 2)
            w->disk.fault_count = 0, w->disk.die_at = 0, w->disk.bytes_limit = 0;
        uint64_t calls = w->disk.calls;
        trace_files(w);
        w->starts++;
        int err = start_once(w);
        MUST(w, w->disk.calls - calls < sim_start_ops_max, "a start of %" PRIu64 " operations",
             w->disk.calls - calls);
        each_part(w, t, p) if (err == 0 && t->state == TOPIC_LIVE) model_recovered(w, p);
        if (err == 0 && !w->disk.dead)
            break;
        sim_trace(w, "the start fails: %s", err ? err_name(err) : "it died");
        world_crash(w, SIM_PROCESS_DEATH);
    }
    w->clean = false;
    w->lossy &= w->broken; /* what could not be read yet is looked at after the next start */
    for (uint32_t i = 0; i < w->o.topics; i++)
        if (w->topics[i].state == TOPIC_REMOVING)
            topic_delete(w, &w->topics[i]);
}

/* Every partition off its shard; what was under way has its answer. */
static void shards_down(struct world *w)
{
    traffic_release(w, true);
    each_part(w, t, p)
    {
        if (p->plog == NULL)
            continue;
        part_detach(w, p);
    }
    traffic_forget(w);
}

/* What a device forgets when its flush fails was not promised in `os` mode: like a power cut. */
static void flushes_look(struct world *w)
{
    if (w->disk.taken_back > w->taken_back && w->o.durability == PLOG_OS)
        w->lossy = true;
    w->taken_back = w->disk.taken_back;
}

void world_stop(struct world *w)
{
    if (w->disk.dead)
        return;
    shards_down(w);
    /* noted when nothing is under way any more, written when the files are closed */
    struct found f;
    bool whole = !w->broken && all_open(w);
    note_all(w, true, &f);
    each_part(w, t, p)
    {
        if (p->plog == NULL)
            continue;
        if (t->state == TOPIC_LIVE)
            model_marks(w, p); /* retention may have come meanwhile */
        int err = plog_close(p->plog);
        MUST(w, err == 0 || w->disk.dead || w->o.faults || w->o.space, "closing fails: %s",
             err_name(err));
        whole &= err == 0;
        p->plog = NULL;
    }
    if (whole)
        whole = journal_remove_all(&w->disk.fs, sim_dir) == 0;
    if (whole)
        whole = found_write(w, &f) == 0;
    found_free(&f);
    w->clean = whole; /* from here on the mark may be there */
    if (whole)
        whole = file_replace(&w->disk.fs, sim_dir, clean_mark, "{}", 2) == 0;
    machine_down(w);
    tails_end(w, whole && !w->disk.dead);
    flushes_look(w);
    sim_trace(w, "stopped %s", whole ? "cleanly" : "not cleanly");
    if (w->disk.dead) {
        world_crash(w, w->disk.die_how);
        return;
    }
    for (struct sim_topic *t = w->topics; whole && t < w->topics + w->o.topics; t++)
        for (uint32_t k = 0; t->state == TOPIC_LIVE && k < w->o.parts; k++)
            files_check(w, topic_name(w, t), k, &t->parts[k]);
}

void world_crash(struct world *w, enum sim_crash how)
{
    each_part(w, t, p)
    {
        if (p->plog == NULL)
            continue;
        if (t->state == TOPIC_LIVE) /* what is being removed may begin anywhere */
            model_marks(w, p);
        p->flushed = plog_recovery_point(p->plog);
    }
    if (!w->disk.dead)
        io_sim_crash(&w->disk, how);
    else
        how = w->disk.die_how;
    sim_trace(w, "%s", how == SIM_POWER_CUT ? "power cut" : "process death");
    *(how == SIM_POWER_CUT ? &w->cuts : &w->deaths) += 1;
    if (how == SIM_POWER_CUT && w->o.durability == PLOG_OS)
        w->lossy = true;
    flushes_look(w);
    if (w->up) {
        shards_down(w);
        each_part(w, t, p)
        {
            plog_close(p->plog);
            p->plog = NULL;
        }
        machine_down(w);
        tails_end(w, false);
    }
    io_sim_revive(&w->disk);
}

void world_up(struct world *w, const struct sim_options *o)
{
    *w = (struct world){.o = *o, .now_ns = CLOCK_NS_PER_S, .wall_ms = wall_start};
    rng_seed(&w->rng, o->seed);
    io_sim_init(&w->disk, o->seed ^ 0x5a5a);
    w->disk.wall_ms = w->wall_ms;
    w->disk.no_direct = o->buffered;
    clock_manual_init(&w->clock, w->now_ns, w->wall_ms);
    struct fs *fs = &w->disk.fs;
    CHECK(fs->ops->mkdir(fs, sim_dir) == 0 && fs->ops->sync_dir(fs, sim_dir) == 0);
}

void world_down(struct world *w)
{
    each_part(w, t, p) model_clear(p);
    io_sim_free(&w->disk);
}
