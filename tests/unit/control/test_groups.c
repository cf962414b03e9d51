#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/kerr.h"
#include "control/groups.h"
#include "control/groups_impl.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/offset_fetch.h"
#include "storage/plog/plog.h"
#include "tests/unit/control/rig.h"

/* A request without a connection: what a handler would hold. */
struct asked {
    struct group_work work; /* first */
    struct control_request rq;
    struct forward forward;
    bool done;
    int16_t error;
    int64_t offset;
    char group[64];
};

static void asked_init(struct asked *a, struct rig *r, const char *group, int16_t api,
                       int16_t version, void (*done)(struct group_work *))
{
    memset(a, 0, sizeof(*a));
    snprintf(a->group, sizeof(a->group), "%s", group);
    a->forward.api_key = api;
    a->forward.api_version = version;
    snprintf(a->forward.peer, sizeof(a->forward.peer), "127.0.0.1:4711");
    a->rq = (struct control_request){
        .control = &r->control, .forward = &a->forward, .version = version};
    arena_init(&a->rq.arena, request_arena_bytes_max);
    groups_call_init(&a->work, &a->rq, done);
}

static void asked_end(struct asked *a)
{
    arena_free(&a->rq.arena);
}

/* ---- commits ---- */

struct commit {
    struct asked a; /* first */
    struct offset_commit_request req;
    struct offset_commit_request_topic topic;
    struct offset_commit_request_partition partition;
};

static void commit_done(struct group_work *w)
{
    struct commit *c = (struct commit *)w;
    const struct offset_commit_response *res = w->call.response;
    CU_ASSERT_PTR_NOT_NULL_FATAL(res);
    CU_ASSERT_EQUAL_FATAL(res->n_topics, 1);
    c->a.done = true;
    c->a.error = res->topics[0].partitions[0].error_code;
}

/* Starts it; the error if there is no coordinator. */
static int16_t commit_start(struct commit *c, struct rig *r, const char *group, int32_t partition,
                            int64_t offset, const char *metadata)
{
    struct group_partition *p;
    int16_t error = groups_find(r->control.groups, str_from(group), &p);
    if (error)
        return error;
    asked_init(&c->a, r, group, 8, 8, commit_done);
    offset_commit_request_init(&c->req);
    offset_commit_request_topic_init(&c->topic);
    offset_commit_request_partition_init(&c->partition);
    c->req.group_id = str_from(c->a.group);
    c->req.member_id = STR("");
    c->req.topics = &c->topic;
    c->req.n_topics = 1;
    c->topic.name = STR("orders");
    c->topic.partitions = &c->partition;
    c->topic.n_partitions = 1;
    c->partition.partition_index = partition;
    c->partition.committed_offset = offset;
    c->partition.committed_metadata = str_from(metadata);
    coordinator_offset_commit(group_partition_coordinator(p), &c->a.work.call, &c->req,
                              groups_now(r->control.groups));
    groups_pump(p);
    return 0;
}

static int16_t commit(struct rig *r, const char *group, int32_t partition, int64_t offset)
{
    struct commit c;
    int16_t error = commit_start(&c, r, group, partition, offset, "note");
    if (error)
        return error;
    rig_settle(r);
    CU_ASSERT_TRUE_FATAL(c.a.done);
    asked_end(&c.a);
    return c.a.error;
}

/* ---- fetches ---- */

static void fetch_done(struct group_work *w)
{
    struct asked *a = (struct asked *)w;
    const struct offset_fetch_response_group *res = w->call.response;
    CU_ASSERT_PTR_NOT_NULL_FATAL(res);
    a->done = true;
    a->error = res->error_code;
    a->offset = res->n_topics ? res->topics[0].partitions[0].committed_offset : -1;
}

/* The committed offset; -1: none; -1000 minus an error of the coordinator. */
static int64_t committed(struct rig *r, const char *group, int32_t partition)
{
    struct asked a;
    struct group_partition *p;
    struct offset_fetch_request_group req;
    struct offset_fetch_request_group_topic topic;
    int16_t error = groups_find(r->control.groups, str_from(group), &p);
    if (error)
        return -1000 - error;
    asked_init(&a, r, group, 9, 8, fetch_done);
    offset_fetch_request_group_init(&req);
    offset_fetch_request_group_topic_init(&topic);
    req.group_id = str_from(group);
    req.topics = &topic;
    req.n_topics = 1;
    topic.name = STR("orders");
    topic.partition_indexes = &partition;
    topic.n_partition_indexes = 1;
    coordinator_offset_fetch(group_partition_coordinator(p), &a.work.call, &req, false,
                             groups_now(r->control.groups));
    groups_pump(p);
    rig_settle(r);
    CU_ASSERT_TRUE_FATAL(a.done);
    asked_end(&a);
    return a.error ? -1000 - a.error : a.offset;
}

/* ---- the broker ---- */

static void groups_up(struct rig *r)
{
    CU_ASSERT_EQUAL_FATAL(groups_new(&r->control.groups, &r->control), 0);
    groups_start(r->control.groups);
}

static void start(struct rig *r)
{
    rig_make(r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(r), 0);
    groups_up(r);
    CU_ASSERT_EQUAL_FATAL(rig_create(r, "orders", 4), 0);
    CU_ASSERT_EQUAL(groups_topic_ensure(r->control.groups), KERR_COORDINATOR_NOT_AVAILABLE);
    rig_settle(r);
    CU_ASSERT_EQUAL(groups_topic_ensure(r->control.groups), 0);
}

static void again(struct rig *r)
{
    CU_ASSERT_EQUAL_FATAL(rig_start(r), 0);
    groups_up(r);
    rig_settle(r);
}

static void finish(struct rig *r)
{
    CU_ASSERT_TRUE(rig_stop(r));
    rig_free(r);
}

static struct group_partition *partition_of(struct rig *r, const char *group)
{
    struct groups *g = r->control.groups;
    return &g->partitions[groups_partition_of(str_from(group), g->count)];
}

static struct plog_marks marks_of(struct rig *r, const char *group)
{
    struct image_topic *t = rig_topic(r, GROUPS_TOPIC);
    struct plog_marks marks;
    plog_marks(t->partitions[partition_of(r, group)->index].plog, &marks);
    return marks;
}

/* ---- tests ---- */

static void groups_go_where_kafka_puts_them(void)
{
    CU_ASSERT_EQUAL(groups_java_hash(STR("")), 0);
    CU_ASSERT_EQUAL(groups_java_hash(STR("hello")), 99162322);
    CU_ASSERT_EQUAL(groups_java_hash(STR("polygenelubricants")), INT32_MIN);
    CU_ASSERT_EQUAL(groups_java_hash(STR("gr\xc3\xbc\xc3\x9f"
                                         "e")),
                    98768023);
    CU_ASSERT_EQUAL(groups_java_hash(STR("\xf0\x9f\x98\x80")), 1772899);
    CU_ASSERT_EQUAL(groups_partition_of(STR("polygenelubricants"), 50), 0);
    CU_ASSERT_EQUAL(groups_partition_of(STR("hello"), 50), 22);
    CU_ASSERT_EQUAL(groups_partition_of(STR("test-group"), 50), 12);
    /* what is no UTF-8 reads as U+FFFD, one for each byte that fits nowhere */
    CU_ASSERT_EQUAL(groups_java_hash(STR("\xff")), 0xfffd);
    CU_ASSERT_EQUAL(groups_java_hash(STR("\xed\xa0\x80")), groups_java_hash(STR("\xff\xff\xff")));
}

static void the_topic_is_made_on_first_need(void)
{
    struct rig r;
    start(&r);
    struct image_topic *t = rig_topic(&r, GROUPS_TOPIC);
    CU_ASSERT_PTR_NOT_NULL_FATAL(t);
    CU_ASSERT_TRUE(t->internal);
    CU_ASSERT_EQUAL(t->partition_count, 50);
    CU_ASSERT_STRING_EQUAL(image_configs_get(&t->configs, STR("cleanup.policy")), "compact");
    CU_ASSERT_STRING_EQUAL(image_configs_get(&t->configs, STR("compression.type")), "producer");
    CU_ASSERT_STRING_EQUAL(image_configs_get(&t->configs, STR("segment.bytes")), "104857600");
    struct groups_stats stats;
    groups_stats(r.control.groups, &stats);
    CU_ASSERT_EQUAL(stats.active, 50);
    CU_ASSERT_EQUAL(stats.loading, 0);
    finish(&r);
}

static void before_the_topic_there_is_no_coordinator(void)
{
    struct rig r;
    rig_make(&r, unit_seed());
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1000 - KERR_COORDINATOR_NOT_AVAILABLE);
    groups_up(&r);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1000 - KERR_NOT_COORDINATOR);
    finish(&r);
}

static void commits_survive_stops_and_power_cuts(void)
{
    struct rig r;
    start(&r);
    for (int i = 0; i < 40; i++) {
        char group[32];
        snprintf(group, sizeof(group), "group-%d", i);
        CU_ASSERT_EQUAL(commit(&r, group, i % 4, 1000 + i), 0);
    }
    for (int round = 0; round < 2; round++) {
        if (round > 0)
            rig_crash(&r, SIM_POWER_CUT);
        CU_ASSERT_TRUE(round > 0 || rig_stop(&r));
        again(&r);
        for (int i = 0; i < 40; i++) {
            char group[32];
            snprintf(group, sizeof(group), "group-%d", i);
            CU_ASSERT_EQUAL(committed(&r, group, i % 4), 1000 + i);
            CU_ASSERT_EQUAL(committed(&r, group, (i + 1) % 4), -1);
        }
    }
    finish(&r);
}

static void a_reply_waits_for_the_disk(void)
{
    struct rig r;
    struct commit c;
    start(&r);
    r.hold_shards = true;
    CU_ASSERT_EQUAL(commit_start(&c, &r, "g", 0, 5, ""), 0);
    rig_settle(&r);
    CU_ASSERT_FALSE(c.a.done);
    r.hold_shards = false;
    rig_settle(&r);
    CU_ASSERT_TRUE(c.a.done);
    CU_ASSERT_EQUAL(c.a.error, 0);
    asked_end(&c.a);
    finish(&r);
}

static void requests_during_a_load_are_put_off(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    groups_up(&r);
    CU_ASSERT_TRUE(r.control.groups->loading <= groups_loads_max);
    struct group_partition *p;
    CU_ASSERT_EQUAL(groups_find(r.control.groups, STR("g"), &p), KERR_COORDINATOR_LOAD_IN_PROGRESS);
    rig_settle(&r);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), 7);
    finish(&r);
}

static void the_topic_may_be_deleted(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, GROUPS_TOPIC), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1000 - KERR_NOT_COORDINATOR);
    CU_ASSERT_EQUAL(groups_topic_ensure(r.control.groups), KERR_COORDINATOR_NOT_AVAILABLE);
    rig_settle(&r);
    CU_ASSERT_EQUAL(groups_topic_ensure(r.control.groups), 0);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 8), 0);
    finish(&r);
}

static void a_deleted_topic_takes_its_offsets(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    CU_ASSERT_EQUAL(rig_delete(&r, "orders"), 0);
    rig_sleep(&r, 150); /* told to all coordinators together, a moment later */
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1);
    CU_ASSERT_EQUAL_FATAL(rig_create(&r, "orders", 4), 0);
    rig_crash(&r, SIM_POWER_CUT);
    again(&r);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1);
    finish(&r);
}

/* Records that nobody can read, between good ones. */
static void corrupt_records_are_passed_over(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    struct group_partition *p = partition_of(&r, "g");
    static const struct record_item bad[] = {
        {(const uint8_t *)"\0\1\0\x7f", 4, (const uint8_t *)"x", 1}, /* a cut key */
        {(const uint8_t *)"\x7f\0zzz", 5, (const uint8_t *)"x", 1},  /* a type nobody knows */
    };
    CU_ASSERT_EQUAL(internal_log_append(&p->log, bad, 2, r.wall_ms, groups_rewrite_tag), 0);
    rig_settle(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 1, 8), 0);
    CU_ASSERT_TRUE(rig_stop(&r));
    again(&r);
    struct groups_stats stats;
    groups_stats(r.control.groups, &stats);
    CU_ASSERT_EQUAL(stats.corrupt, 1);
    CU_ASSERT_EQUAL(stats.replayed_records, 4);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), 7);
    CU_ASSERT_EQUAL(committed(&r, "g", 1), 8);
    finish(&r);
}

/* A load that the shard had no memory for says nothing about the log: it is tried again. */
static void a_load_that_is_starved_is_tried_again(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    io_sim_fail(&r.sim, SIM_READ, 1, ERR_NO_MEMORY);
    groups_up(&r);
    rig_settle(&r);
    CU_ASSERT_EQUAL(r.sim.fault_count, 0);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1000 - KERR_NOT_COORDINATOR);
    CU_ASSERT_NOT_EQUAL(commit(&r, "g", 1, 8), 0);
    rig_sleep(&r, groups_retry_ns / CLOCK_NS_PER_MS + 1);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), 7);
    finish(&r);
}

/* Kafka's format 2 */
#define batch_length_at     8
#define batch_last_delta_at 23
#define batch_header_bytes  61

/* The log of "g" ends in a batch that says of itself that it has one record; it has two. */
static void damage_end(struct rig *r)
{
    static uint8_t bytes[4096];
    char path[io_path_bytes_max + 64];
    struct fs *fs = &r->sim.fs;
    struct io_file *f;
    struct group_partition *p = partition_of(r, "g");
    uint32_t dir = rig_topic(r, GROUPS_TOPIC)->partitions[p->index].log_dir;
    snprintf(path, sizeof(path), "%s/" GROUPS_TOPIC "-%d/%020d.log", r->logdirs->dirs[dir].path,
             p->index, 0);
    CU_ASSERT_EQUAL_FATAL(fs->ops->open(fs, path, IO_OPEN_READ | IO_OPEN_WRITE, &f), 0);
    int64_t n = fs->ops->pread(fs, f, bytes, sizeof(bytes), 0), last = 0, at = 0;
    while (at + batch_header_bytes <= n && bytes_get_u32(bytes + at + batch_length_at) != 0) {
        last = at;
        at += 12 + bytes_get_u32(bytes + at + batch_length_at);
    }
    CU_ASSERT_EQUAL_FATAL(bytes_get_u32(bytes + last + batch_last_delta_at), 1);
    CU_ASSERT_EQUAL(fs->ops->pwrite(fs, f, "\0\0\0\0", 4, last + batch_last_delta_at), 0);
    fs->ops->close(fs, f);
}

/* What could not be loaded is not dropped by a rewrite of what could. */
static void a_log_that_is_cut_is_not_rewritten(void)
{
    struct rig r;
    struct groups_stats stats;
    static const struct record_item two[] = {{(const uint8_t *)"\x7f\0zzz", 5, NULL, 0},
                                             {(const uint8_t *)"\x7f\0zzz", 5, NULL, 0}};
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    CU_ASSERT_EQUAL(
        internal_log_append(&partition_of(&r, "g")->log, two, 2, r.wall_ms, groups_rewrite_tag), 0);
    rig_settle(&r);
    CU_ASSERT_TRUE(rig_stop(&r));
    CU_ASSERT_EQUAL_FATAL(rig_start(&r), 0);
    groups_up(&r);
    damage_end(&r);
    rig_settle(&r);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), 7);
    struct group_partition *p = partition_of(&r, "g");
    CU_ASSERT_EQUAL_FATAL(p->state, GROUP_PARTITION_ACTIVE);
    CU_ASSERT_TRUE(p->cut);
    p->replay_bytes = groups_rewrite_bytes; /* long due */
    CU_ASSERT_EQUAL(commit(&r, "g", 1, 8), 0);
    rig_settle(&r);
    groups_stats(r.control.groups, &stats);
    CU_ASSERT_EQUAL(stats.rewrites, 0);
    CU_ASSERT_EQUAL(marks_of(&r, "g").log_start, 0);
    finish(&r);
}

static void a_failing_disk_ends_a_group_until_it_is_back(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 0, 7), 0);
    struct image_topic *t = rig_topic(&r, GROUPS_TOPIC);
    uint32_t dir = t->partitions[partition_of(&r, "g")->index].log_dir;
    if (dir == 0) { /* the metadata's: the broker stops */
        finish(&r);
        return;
    }
    io_sim_fail(&r.sim, SIM_WRITE, 1, ERR_IO);
    int16_t error = commit(&r, "g", 0, 9);
    CU_ASSERT_TRUE(error == KERR_NOT_COORDINATOR || error == KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_EQUAL(committed(&r, "g", 0), -1000 - KERR_NOT_COORDINATOR);
    rig_stop(&r);
    again(&r);
    int64_t found = committed(&r, "g", 0); /* the refused commit may have reached the disk */
    CU_ASSERT_TRUE(found == 7 || found == 9);
    finish(&r);
}

/* ---- replay stays short ---- */

#define noisy_metadata_bytes 4000

static const char *noise(void)
{
    static char text[noisy_metadata_bytes + 1];
    memset(text, 'n', noisy_metadata_bytes);
    return text;
}

/* Commits until the log of the group has been rewritten `times` times; the last offset committed. */
static int64_t commit_until_rewritten(struct rig *r, uint64_t times)
{
    struct groups_stats stats;
    int64_t offset = 0;
    do {
        struct commit c;
        CU_ASSERT_EQUAL_FATAL(commit_start(&c, r, "g", 0, ++offset, noise()), 0);
        rig_settle(r);
        CU_ASSERT_TRUE_FATAL(c.a.done && c.a.error == 0);
        asked_end(&c.a);
        groups_stats(r->control.groups, &stats);
    } while (stats.rewrites < times && offset < 5000);
    return offset;
}

static void a_long_log_is_rewritten(void)
{
    struct rig r;
    start(&r);
    CU_ASSERT_EQUAL(commit(&r, "g", 1, 77), 0);
    int64_t last = commit_until_rewritten(&r, 3);
    CU_ASSERT_TRUE(last < 5000);
    rig_settle(&r);
    struct plog_marks marks = marks_of(&r, "g");
    CU_ASSERT_TRUE(marks.log_start > 3 * 200);
    CU_ASSERT_TRUE(marks.end - marks.log_start < 10);
    for (int how = 0; how < 3; how++) {
        if (how > 0)
            rig_crash(&r, how == 1 ? SIM_PROCESS_DEATH : SIM_POWER_CUT);
        CU_ASSERT_TRUE(how > 0 || rig_stop(&r));
        again(&r);
        CU_ASSERT_EQUAL(committed(&r, "g", 0), last);
        CU_ASSERT_EQUAL(committed(&r, "g", 1), 77);
        struct groups_stats stats;
        groups_stats(r.control.groups, &stats);
        CU_ASSERT_TRUE(how > 0 || stats.replayed_bytes < groups_rewrite_bytes);
    }
    finish(&r);
}

/* The power goes at any call to the disk around a rewrite: every answered commit is there. */
static void a_crash_within_a_rewrite_loses_nothing(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    for (int round = 0; round < 12; round++) {
        struct rig r;
        start(&r);
        CU_ASSERT_EQUAL(commit(&r, "g", 1, 77), 0);
        struct group_partition *p = partition_of(&r, "g");
        p->replay_bytes = groups_rewrite_bytes - 3 * noisy_metadata_bytes; /* nearly due */
        int64_t answered = 0;
        io_sim_crash_at(&r.sim, 1 + rng_below(&rng, 24),
                        round % 2 ? SIM_POWER_CUT : SIM_PROCESS_DEATH);
        for (int64_t i = 1; i < 20 && !r.sim.dead; i++) {
            struct commit c;
            if (commit_start(&c, &r, "g", 0, i, noise()))
                break;
            rig_settle(&r);
            CU_ASSERT_TRUE_FATAL(c.a.done);
            asked_end(&c.a);
            if (c.a.error)
                break;
            answered = i;
        }
        rig_crash(&r, SIM_POWER_CUT);
        again(&r);
        int64_t found = committed(&r, "g", 0);
        if (found < answered)
            printf("round %d: %lld answered, %lld found\n", round, (long long)answered,
                   (long long)found);
        CU_ASSERT_TRUE(found >= answered || answered == 0);
        CU_ASSERT_EQUAL(committed(&r, "g", 1), 77);
        finish(&r);
    }
}

/* ---- the largest batch ---- */

static void configured(struct topic_op *op)
{
    CU_ASSERT_EQUAL_FATAL(op->error, 0);
}

static void max_message_bytes(struct rig *r, const char *text)
{
    const struct topics_config own = {STR("max.message.bytes"), str_from(text)};
    struct topic_op op = {.kind = TOPIC_CONFIGURE,
                          .id = rig_topic(r, GROUPS_TOPIC)->id,
                          .configs = &own,
                          .config_count = 1,
                          .done = configured};
    topics_submit(&r->control, &op);
    rig_settle(r);
}

/* The log takes a batch with as much in one record as the settings allow. */
static void largest_is_taken(struct rig *r, uint32_t expected)
{
    static uint8_t value[internal_batch_bytes_max];
    struct group_settings s;
    struct group_partition *p = partition_of(r, "g");
    int64_t before = marks_of(r, "g").end;
    groups_settings_of(r->control.groups, &s);
    CU_ASSERT_EQUAL_FATAL(s.append_bytes_max, expected);
    struct record_item item = {(const uint8_t *)"\x7f\0zzz", 5, value, expected - 32 - 5};
    CU_ASSERT_EQUAL(internal_log_append(&p->log, &item, 1, r->wall_ms, groups_rewrite_tag), 0);
    rig_settle(r);
    CU_ASSERT_EQUAL(marks_of(r, "g").end, before + 1);
}

static int16_t commit_noise(struct rig *r)
{
    struct commit c;
    CU_ASSERT_EQUAL_FATAL(commit_start(&c, r, "g", 0, 7, noise()), 0);
    rig_settle(r);
    CU_ASSERT_TRUE_FATAL(c.a.done);
    asked_end(&c.a);
    return c.a.error;
}

static void a_batch_is_as_large_as_the_topic_takes(void)
{
    struct rig r;
    start(&r);
    largest_is_taken(&r, 1048588 - batch_header_bytes);
    max_message_bytes(&r, "3000000");
    largest_is_taken(&r, internal_batch_bytes_max - batch_header_bytes);
    max_message_bytes(&r, "3000");
    largest_is_taken(&r, 3000 - batch_header_bytes);
    CU_ASSERT_EQUAL(commit_noise(&r), KERR_UNKNOWN_SERVER_ERROR);
    max_message_bytes(&r, "5000");
    CU_ASSERT_EQUAL(commit_noise(&r), 0);
    finish(&r);
}

/* ---- waiting calls ---- */

struct join {
    struct asked a; /* first */
    struct join_group_request req;
    struct join_group_request_protocol protocol;
};

static void join_done(struct group_work *w)
{
    struct join *j = (struct join *)w;
    const struct join_group_response *res = w->call.response;
    CU_ASSERT_PTR_NOT_NULL_FATAL(res);
    j->a.done = true;
    j->a.error = res->error_code;
}

static int16_t join_start(struct join *j, struct rig *r, const char *group)
{
    struct group_partition *p;
    int16_t error = groups_find(r->control.groups, str_from(group), &p);
    if (error)
        return error;
    asked_init(&j->a, r, group, 11, 3, join_done);
    join_group_request_init(&j->req);
    j->req.group_id = str_from(j->a.group);
    j->req.member_id = STR("");
    j->req.protocol_type = STR("consumer");
    j->req.session_timeout_ms = j->req.rebalance_timeout_ms = 30000;
    join_group_request_protocol_init(&j->protocol);
    j->protocol.name = STR("range");
    j->req.protocols = &j->protocol;
    j->req.n_protocols = 1;
    coordinator_join(group_partition_coordinator(p), &j->a.work.call, &j->req,
                     groups_now(r->control.groups));
    groups_pump(p);
    return 0;
}

static void a_join_waits_for_its_time(void)
{
    struct rig r;
    struct join j;
    start(&r);
    CU_ASSERT_EQUAL(join_start(&j, &r, "g"), 0);
    rig_settle(&r);
    CU_ASSERT_FALSE(j.a.done);
    rig_sleep(&r, 2900);
    CU_ASSERT_FALSE(j.a.done);
    rig_sleep(&r, 200); /* group.initial.rebalance.delay.ms is over */
    CU_ASSERT_TRUE(j.a.done);
    CU_ASSERT_EQUAL(j.a.error, 0);
    asked_end(&j.a);
    finish(&r);
}

static void a_stop_answers_who_waits(void)
{
    struct rig r;
    struct join j;
    struct group_partition *p;
    start(&r);
    CU_ASSERT_EQUAL(join_start(&j, &r, "g"), 0);
    groups_stop(r.control.groups);
    rig_settle(&r);
    CU_ASSERT_TRUE(j.a.done);
    CU_ASSERT_EQUAL(j.a.error, KERR_COORDINATOR_NOT_AVAILABLE);
    CU_ASSERT_TRUE(groups_stopped(r.control.groups));
    CU_ASSERT_EQUAL(groups_find(r.control.groups, STR("g"), &p), KERR_COORDINATOR_NOT_AVAILABLE);
    asked_end(&j.a);
    finish(&r);
}

static void waiting_calls_are_bounded(void)
{
    struct rig r;
    struct group_partition *p;
    struct join *joins = calloc(groups_calls_max, sizeof(*joins));
    start(&r);
    for (int i = 0; i < groups_calls_max; i++) {
        char group[32];
        snprintf(group, sizeof(group), "g-%d", i);
        CU_ASSERT_EQUAL(join_start(&joins[i], &r, group), 0);
    }
    CU_ASSERT_EQUAL(groups_find(r.control.groups, STR("one-more"), &p),
                    KERR_COORDINATOR_LOAD_IN_PROGRESS);
    rig_sleep(&r, 3100);
    rig_sleep(&r, 10);
    for (int i = 0; i < groups_calls_max; i++) {
        CU_ASSERT_TRUE(joins[i].a.done);
        asked_end(&joins[i].a);
    }
    CU_ASSERT_EQUAL(groups_find(r.control.groups, STR("one-more"), &p), 0);
    free(joins);
    finish(&r);
}

UNIT_MAIN("control/groups", UNIT_CASE(groups_go_where_kafka_puts_them),
          UNIT_CASE(the_topic_is_made_on_first_need),
          UNIT_CASE(before_the_topic_there_is_no_coordinator),
          UNIT_CASE(commits_survive_stops_and_power_cuts), UNIT_CASE(a_reply_waits_for_the_disk),
          UNIT_CASE(requests_during_a_load_are_put_off), UNIT_CASE(the_topic_may_be_deleted),
          UNIT_CASE(a_deleted_topic_takes_its_offsets), UNIT_CASE(corrupt_records_are_passed_over),
          UNIT_CASE(a_load_that_is_starved_is_tried_again),
          UNIT_CASE(a_log_that_is_cut_is_not_rewritten),
          UNIT_CASE(a_failing_disk_ends_a_group_until_it_is_back),
          UNIT_CASE(a_long_log_is_rewritten), UNIT_CASE(a_crash_within_a_rewrite_loses_nothing),
          UNIT_CASE(a_batch_is_as_large_as_the_topic_takes), UNIT_CASE(a_join_waits_for_its_time),
          UNIT_CASE(a_stop_answers_who_waits), UNIT_CASE(waiting_calls_are_bounded))
