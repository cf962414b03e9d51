/* Steps: what a seed does, and in which proportions. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "storage/journal/format.h"
#include "storage/plog/shard.h"
#include "tests/sim/sim.h"

typedef void step_fn(struct world *w, struct sim_topic *t, struct sim_part *p);

/* ---- what steps do ---- */

static struct sim_flow *any_flow(struct world *w, struct sim_part *p)
{
    return &p->flows[rng_below(&w->rng, sim_flows_max)];
}

static void do_produce(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_produce(w, p, any_flow(w, p));
}

static void do_burst(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    for (uint64_t n = 2 + rng_below(&w->rng, 10); n > 0; n--)
        traffic_produce(w, p, any_flow(w, p));
}

/* Small batches here and there, and commits of them that pile up at the disk. */
static void do_scatter(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    for (uint64_t n = 3 + rng_below(&w->rng, 12); n > 0; n--) {
        t = &w->topics[rng_below(&w->rng, w->o.topics)];
        p = &t->parts[rng_below(&w->rng, w->o.parts)];
        traffic_produce(w, p, any_flow(w, p));
        if (rng_below(&w->rng, 2))
            world_push(w);
    }
}

static void do_repeat(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_repeat(w, p, any_flow(w, p));
}

static void do_fetch(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_fetch(w, p, false);
}

/* More readers of old data than there is memory for, and none takes its bytes for a while. */
static void do_crowd(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    for (uint64_t n = 8 + rng_below(&w->rng, 16); n > 0 && !w->disk.dead; n--) {
        traffic_fetch(w, p, rng_below(&w->rng, 4) == 0);
        for (uint64_t k = rng_below(&w->rng, 30); k > 0 && !w->disk.dead; k--)
            world_move(w);
    }
    if (rng_below(&w->rng, 2))
        world_sleep(w, plog_read_wait_ms + (int64_t)rng_below(&w->rng, 200) - 100);
}

static void do_follow(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_follow(w, p);
}

static void do_release(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_release(w, false);
}

static void do_wait(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_wait(w, p);
}

static void do_move(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    for (uint64_t n = 1 + rng_below(&w->rng, 40); n > 0 && !w->disk.dead; n--)
        world_move(w);
}

static void check_waiters(struct world *w)
{
    for (uint32_t i = 0; i < w->o.topics * w->o.parts && !w->disk.dead; i++) {
        struct sim_part *p = &w->topics[i / w->o.parts].parts[i % w->o.parts];
        struct plog_marks m;
        if (p->plog == NULL || p->waiter.prev == NULL)
            continue;
        plog_marks(p->plog, &m);
        MUST(w, m.failed || m.high_watermark == p->waits_for,
             "a reader waits at %" PRId64 ", the high watermark is %" PRId64, p->waits_for,
             m.high_watermark);
    }
}

/* flush.messages holds when nothing is under way; one that was altered from the next append on. */
static void check_flushed(struct world *w, const struct sim_topic *t, const struct sim_part *p)
{
    struct plog_marks m;
    if (p->plog == NULL || w->broken || w->disk.dead || w->o.durability != PLOG_OS || w->o.named ||
        t->altered)
        return;
    plog_marks(p->plog, &m);
    int64_t flushed = plog_recovery_point(p->plog);
    MUST(w, m.high_watermark - flushed < t->config.flush_messages,
         "flushed up to %" PRId64 ", there is %" PRId64 ", not more than %" PRId64 " may wait",
         flushed, m.high_watermark, t->config.flush_messages);
}

static void do_settle(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    world_settle(w);
    check_waiters(w);
    check_flushed(w, t, p);
}

static void do_sleep(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    world_sleep(w, 1 + (int64_t)rng_below(&w->rng, 100000));
    /* what timers begin (retention, writes that waited) is cut somewhere */
    if (rng_below(&w->rng, 3) == 0)
        io_sim_crash_at(&w->disk, 1 + rng_below(&w->rng, 30),
                        w->o.power && rng_below(&w->rng, 2) ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
}

static void do_delete_records(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_delete_records(w, p);
}

static void do_checkpoint(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    world_checkpoint(w);
}

static void do_restart(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    t->leader_epoch += (int32_t)rng_below(&w->rng, 2);
    world_stop(w);
    if (!w->disk.dead)
        world_start(w);
}

static void crash(struct world *w, struct sim_topic *t, enum sim_crash how)
{
    if (how == SIM_POWER_CUT && !w->o.power)
        return;
    t->leader_epoch += (int32_t)rng_below(&w->rng, 2);
    world_crash(w, how);
    world_start(w);
}

static void do_kill(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    crash(w, t, SIM_PROCESS_DEATH);
}

static void do_power(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    crash(w, t, SIM_POWER_CUT);
}

/* In the middle of whatever the disk is asked to do then. */
static void do_kill_at(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    io_sim_crash_at(&w->disk, 1 + rng_below(&w->rng, 60), SIM_PROCESS_DEATH);
}

static void do_power_at(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    if (w->o.power)
        io_sim_crash_at(&w->disk, 1 + rng_below(&w->rng, 60), SIM_POWER_CUT);
}

static void do_fault(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    enum sim_op op = (enum sim_op)rng_below(&w->rng, SIM_OP_COUNT);
    uint64_t nth = 1 + rng_below(&w->rng, 20);
    int err = rng_below(&w->rng, 3) ? ERR_IO : ERR_NO_SPACE;
    if (!w->o.faults || w->disk.fault_count == sim_faults_max)
        return;
    if (w->o.write_faults)
        op = SIM_WRITE;
    sim_trace(w, "operation %d fails with %s after %d", op, err_name(err), (int)nth);
    io_sim_fail(&w->disk, op, nth, err);
}

static void do_space(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    if (w->o.space)
        w->disk.bytes_limit = w->disk.bytes_limit ? 0 : w->disk.bytes + rng_below(&w->rng, 100000);
}

/* Somebody looked at the disk's free space. */
static void level_set(struct world *w, enum plog_space level)
{
    w->level = level;
    for (uint32_t i = 0; i < w->shard_count; i++)
        plog_env_space(&w->shards[i].env, sim_dir, level);
}

static void do_level(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    level_set(w, (enum plog_space)rng_below(&w->rng, PLOG_SPACE_FULL + 1));
}

/* Segments are deleted while a slow reader has the oldest, and the process may die in between. */
static void do_retire(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    traffic_fetch(w, p, true);
    world_sleep(w, 1000);
    for (uint64_t n = 2 + rng_below(&w->rng, 12); n > 0 && !w->disk.dead; n--)
        world_tick(w);
    if (!w->disk.dead && rng_below(&w->rng, 2))
        crash(w, t, SIM_PROCESS_DEATH);
}

static void do_create(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    if (t->state == TOPIC_ABSENT)
        topic_create(w, t);
}

static void do_delete(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    if (t->state == TOPIC_LIVE && !w->broken)
        topic_delete(w, t);
}

static const uint32_t segments_bytes[] = {2000, 5000, 20000, 100000, 400000};
static const uint32_t intervals[] = {1, 256, 4096};

static uint64_t one_of(struct rng *r, const uint32_t *values, uint32_t n)
{
    return values[rng_below(r, n)];
}

/* Never below a batch that was made: it would be refused when it is sent again. */
static int64_t at_least(uint64_t bytes, uint32_t batch_most)
{
    return bytes > batch_most ? (int64_t)bytes : batch_most;
}

static void do_alter(struct world *w, struct sim_topic *t, struct sim_part *p)
{
    struct plog_config *c = &t->config;
    if (t->state != TOPIC_LIVE)
        return;
    c->segment_bytes = at_least(one_of(&w->rng, segments_bytes, 5), t->batch_most);
    c->max_message_bytes = at_least(2000 + rng_below(&w->rng, 200000), t->batch_most);
    c->index_interval_bytes = (int64_t)one_of(&w->rng, intervals, 3);
    c->flush_messages = rng_below(&w->rng, 2) ? INT64_MAX : 1 + (int64_t)rng_below(&w->rng, 20);
    sim_trace(w,
              "segments of %" PRId64 ", batches of %" PRId64 ", index every %" PRId64
              ", flush after %" PRId64,
              c->segment_bytes, c->max_message_bytes, c->index_interval_bytes, c->flush_messages);
    t->altered = true;
    topic_configure(w, t);
}

static const struct {
    const char *name;
    step_fn *run;
    uint32_t weight;
} kinds[] = {
    {"produce", do_produce, 30},
    {"burst", do_burst, 8},
    {"scatter", do_scatter, 8},
    {"repeat", do_repeat, 6},
    {"fetch", do_fetch, 12},
    {"release", do_release, 8},
    {"move", do_move, 45},
    {"settle", do_settle, 3},
    {"sleep", do_sleep, 3},
    {"wait", do_wait, 2},
    {"delete-records", do_delete_records, 2},
    {"checkpoint", do_checkpoint, 3},
    {"restart", do_restart, 2},
    {"kill", do_kill, 2},
    {"power", do_power, 2},
    {"kill-at", do_kill_at, 2},
    {"power-at", do_power_at, 2},
    {"retire", do_retire, 2},
    {"fault", do_fault, 2},
    {"space", do_space, 1},
    {"level", do_level, 1},
    {"create", do_create, 4},
    {"delete", do_delete, 1},
    {"follow", do_follow, 10},
    {"crowd", do_crowd, 2},
    {"alter", do_alter, 0}, /* drawn apart, see program_draw */
};

#define kind_count   (sizeof(kinds) / sizeof(kinds[0]))
#define kind_alter   (kind_count - 1)
#define alter_one_in 25

/* ---- options and programs ---- */

void options_draw(struct sim_options *o, uint64_t seed, enum plog_durability durability,
                  uint32_t steps)
{
    struct rng r, own;
    rng_seed(&r, seed ^ 0x0b7105);
    rng_seed(&own, seed ^ 0xa17e5);
    *o = (struct sim_options){
        .seed = seed,
        .steps = steps,
        .durability = durability,
        .faults = rng_below(&r, 3) == 0,
        .write_faults = rng_below(&r, 3) == 0,
        .power = rng_below(&r, 2),
        .space = rng_below(&r, 8) == 0,
        .named = durability == PLOG_OS && rng_below(&r, 4),
        .topics = 1 + (uint32_t)rng_below(&r, sim_topics_max),
        .parts = 1 + (uint32_t)rng_below(&r, sim_parts_max),
        .chunks = 10 + (uint32_t)rng_below(&r, sim_chunks_max - 9),
        .segment_bytes = (int64_t)one_of(&r, segments_bytes, 5),
        .index_interval_bytes = (int64_t)one_of(&r, intervals, 3),
        .retention_ms = rng_below(&r, 4) ? -1 : 50000,
        .retention_bytes = rng_below(&r, 4) ? -1 : 50000,
        .flush_messages = rng_below(&r, 2) ? INT64_MAX : 1 + (int64_t)rng_below(&r, 20),
        .segment_ms = rng_below(&r, 2) ? INT64_MAX / 4 : 60000,
        .large_one_in = rng_below(&r, 3) ? 20 : 3,
        .buffered = rng_below(&r, 4) == 0,
        .journal_blocks = rng_below(&r, 4)
                              ? journal_blocks_min + (uint32_t)rng_below(&r, 1 + rng_below(&r, 64))
                              : 0,
        .catch_up = rng_below(&r, 4) == 0,
        .read_chunks =
            plog_read_chunks_min +
            (uint32_t)rng_below(&r, 1 + rng_below(&r, sim_chunks_max - plog_read_chunks_min + 1)),
        .alters = rng_below(&own, 3) == 0,
    };
}

void options_print(const struct sim_options *o)
{
    printf("seed %" PRIu64
           ": %s, %u steps, %u topics of %u partitions, %u chunks and %u for reads, segments of "
           "%" PRId64 ", index every %" PRId64 ", retention %" PRId64 " ms %" PRId64
           " bytes, flush after %" PRId64 ", journal of %u blocks%s%s%s%s%s%s\n",
           o->seed, o->durability == PLOG_FSYNC ? "fsync" : "os", o->steps, o->topics, o->parts,
           o->chunks, o->read_chunks, o->segment_bytes, o->index_interval_bytes, o->retention_ms,
           o->retention_bytes, o->flush_messages,
           o->durability == PLOG_FSYNC ? o->journal_blocks : 0, o->faults ? ", disk errors" : "",
           o->power ? ", power cuts" : "", o->named ? ", named memory" : "",
           o->buffered ? ", buffered" : "", o->space ? ", full disk" : "",
           o->alters ? ", alterations" : "");
}

const char *step_name(const struct sim_step *s)
{
    return kinds[s->kind].name;
}

void program_draw(const struct sim_options *o, struct sim_step *out)
{
    static const uint32_t factors[] = {0, 1, 1, 2, 4};
    uint32_t weights[kind_count], total = 0;
    struct rng r, own;
    rng_seed(&r, o->seed);
    rng_seed(&own, o->seed ^ 0xa17e5);
    for (uint32_t k = 0; k < kind_alter; k++) {
        weights[k] = kinds[k].weight * (uint32_t)one_of(&r, factors, 5);
        if (k == 0 && weights[k] == 0)
            weights[k] = kinds[k].weight;
        if (o->catch_up && kinds[k].run == do_follow)
            weights[k] = kinds[k].weight * 6;
        total += weights[k];
    }
    for (uint32_t i = 0; i < o->steps; i++) {
        uint64_t at = rng_below(&r, total);
        uint32_t k = 0;
        while (at >= weights[k])
            at -= weights[k++];
        out[i] = (struct sim_step){k, rng_u64(&r)};
        /* from numbers of their own: what seeds find without them they find as before */
        if (o->alters && rng_below(&own, alter_one_in) == 0)
            out[i].kind = kind_alter;
    }
}

/* ---- running ---- */

static void step_run(struct world *w, const struct sim_step *s)
{
    rng_seed(&w->rng, s->seed);
    rng_seed(&w->disk.rng, s->seed ^ 0xd15c);
    sim_trace(w, "%s", kinds[s->kind].name);
    struct sim_topic *t = &w->topics[rng_below(&w->rng, w->o.topics)];
    struct sim_part *p = &t->parts[rng_below(&w->rng, w->o.parts)];
    kinds[s->kind].run(w, t, p);
    if (w->disk.dead || (w->broken && rng_below(&w->rng, 4) == 0)) {
        world_crash(w, SIM_PROCESS_DEATH);
        world_start(w);
    }
    for (uint32_t i = 0; i < w->o.topics * w->o.parts; i++) {
        p = &w->topics[i / w->o.parts].parts[i % w->o.parts];
        if (p->plog && w->topics[i / w->o.parts].state == TOPIC_LIVE)
            model_marks(w, p);
    }
}

static void restart_broken(struct world *w)
{
    world_settle(w); /* an error of before may still be on its way */
    if (!w->broken)
        return;
    world_crash(w, SIM_PROCESS_DEATH);
    world_start(w);
}

/* With a disk that works again everything is answered and everything is there. */
static void heal(struct world *w)
{
    w->disk.fault_count = 0;
    w->disk.die_at = 0;
    w->disk.bytes_limit = 0;
    level_set(w, PLOG_SPACE_AMPLE);
    restart_broken(w);
    for (uint32_t i = 0; i < w->o.topics * w->o.parts; i++) {
        struct sim_topic *t = &w->topics[i / w->o.parts];
        struct sim_part *p = &t->parts[i % w->o.parts];
        if (t->state == TOPIC_ABSENT)
            topic_create(w, t);
        for (uint32_t k = 0; k < sim_flows_max; k++) {
            for (uint32_t n = 0; n < sim_open_max + 1; n++) {
                traffic_produce(w, p, &p->flows[k]);
                traffic_release(w, true);
                world_settle(w);
            }
            MUST(w, p->flows[k].open_count == 0, "batches are never answered");
        }
        check_waiters(w);
        model_read_all(w, p);
    }
    restart_broken(w); /* a journal that failed before is noticed when it is wanted */
}

void program_run(struct world *w, const struct sim_step *steps, const bool *skip, uint32_t n)
{
    world_start(w);
    topic_create(w, &w->topics[0]);
    for (uint32_t i = 0; i < n; i++) {
        w->step = i;
        if (skip == NULL || !skip[i])
            step_run(w, &steps[i]);
    }
    w->step = n;
    sim_trace(w, "heal");
    heal(w);
    world_stop(w);
    MUST(w, w->clean, "the last stop was not clean");
    world_start(w);
    world_stop(w);
}
