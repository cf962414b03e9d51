/* Group requests whose connection closes while they wait. */
#include <string.h>

#include "base/kerr.h"
#include "control/groups_impl.h"
#include "dataplane/proto/gen/find_coordinator.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/sync_group.h"
#include "dataplane/proto/header.h"
#include "tests/unit/control/api/ask.h"

#define hostile_joins 5000 /* more than groups_calls_max */

static struct ask ask;

/* A request that a shard has forwarded. */
struct pending {
    struct forward forward; /* first */
    bool done, cancelled;
};

static void pending_done(struct call *call)
{
    ((struct pending *)call)->done = true;
}

static void cancel_done(struct call *call)
{
    struct pending *p = (struct pending *)((char *)call - offsetof(struct pending, forward.cancel));
    p->cancelled = true;
}

static void begin(struct pending *p, int16_t key, int version, struct ask_bytes b)
{
    struct agent *shard = &ask.rig.shards[0].agent;
    p->forward = (struct forward){.api_key = key,
                                  .api_version = (int16_t)version,
                                  .client_id_len = -1,
                                  .peer = "127.0.0.1:1"};
    p->forward.call.run = control_forward_run;
    p->forward.call.done = pending_done;
    CU_ASSERT_EQUAL_FATAL(chain_append_bytes(&p->forward.body, ask.body_pool, b.p, b.n), 0);
    free(b.p);
    agent_enter(shard);
    agent_call(shard, &ask.rig.control.agent, &p->forward.call);
    agent_flush(shard);
}

static struct pending *start(int16_t key, int version, struct ask_bytes b)
{
    struct pending *p = calloc(1, sizeof(*p));
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    begin(p, key, version, b);
    rig_settle(&ask.rig);
    return p;
}

/* What a shard does when the connection closes. */
static void cancel(struct pending *p)
{
    struct agent *shard = &ask.rig.shards[0].agent;
    p->forward.cancel.run = control_forward_cancel;
    p->forward.cancel.done = cancel_done;
    agent_enter(shard);
    agent_call(shard, &ask.rig.control.agent, &p->forward.cancel);
    agent_flush(shard);
    rig_settle(&ask.rig);
}

static void end(struct pending *p)
{
    chain_free(&p->forward.body);
    chain_free(&p->forward.reply);
    free(p);
}

static struct ask_bytes join_bytes(int version, struct str group, struct str member)
{
    struct join_group_request_protocol protocol = {STR("range"), {(const uint8_t *)"", 0}};
    struct join_group_request q;
    join_group_request_init(&q);
    q.group_id = group;
    q.session_timeout_ms = 30000;
    q.rebalance_timeout_ms = 300000;
    q.member_id = member;
    q.protocol_type = STR("consumer");
    q.protocols = &protocol;
    q.n_protocols = 1;
    return ASK_BYTES(&ask, join_group, &q, version);
}

static void up(void)
{
    struct find_coordinator_request q = {.key = STR("g")};
    struct find_coordinator_response r;
    ask_up(&ask);
    for (int i = 0; i < 50; i++) {
        ASK(&ask, find_coordinator, API_FindCoordinator, 1, &q, &r);
        rig_sleep(&ask.rig, 100);
        if (r.error_code == 0)
            return;
    }
    CU_FAIL_FATAL("no coordinator");
}

static void joined(struct pending *p, struct join_group_response *r, int version)
{
    struct reader rd;
    int32_t correlation;
    CU_ASSERT_TRUE_FATAL(p->done && p->forward.reply.bytes > 0);
    reader_init_chain(&rd, &p->forward.reply);
    reader_i32(&rd);
    CU_ASSERT_EQUAL(
        proto_response_header_decode(&correlation, &rd, API_JoinGroup, (int16_t)version), 0);
    CU_ASSERT_EQUAL_FATAL(join_group_response_decode(r, &rd, version, &ask.arena), 0);
}

/* A member that stays, and thousands that join, wait for it, and close. */
static void joins_are_forgotten(void)
{
    struct join_group_response r;
    const struct groups *g;
    up();
    g = ask.rig.control.groups;
    struct pending *first = start(API_JoinGroup, 3, join_bytes(3, STR("g"), STR("")));
    for (int i = 0; i < 100 && !first->done; i++)
        rig_sleep(&ask.rig, 100);
    joined(first, &r, 3);
    CU_ASSERT_EQUAL(r.error_code, 0);
    for (int i = 0; i < hostile_joins; i++) {
        struct pending *p = start(API_JoinGroup, 3, join_bytes(3, STR("g"), STR("")));
        CU_ASSERT_FALSE_FATAL(p->done); /* never refused for want of room */
        CU_ASSERT_EQUAL_FATAL(g->calls, 1);
        cancel(p);
        CU_ASSERT_TRUE_FATAL(p->done && p->cancelled && p->forward.close);
        CU_ASSERT_EQUAL_FATAL(g->calls, 0);
        CU_ASSERT_EQUAL_FATAL(ask.rig.control.requests_in_work, 0);
        end(p);
    }
    /* Another group is as it was. */
    struct pending *other = start(API_JoinGroup, 3, join_bytes(3, STR("other"), STR("")));
    for (int i = 0; i < 100 && !other->done; i++)
        rig_sleep(&ask.rig, 100);
    joined(other, &r, 3);
    CU_ASSERT_EQUAL(r.error_code, 0);
    end(other);
    end(first);
    ask_down(&ask);
}

/* A cancel that comes when the answer is on its way, and one that comes twice as late. */
static void too_late(void)
{
    up();
    struct pending *p = start(API_JoinGroup, 9, join_bytes(9, STR("g"), STR("")));
    CU_ASSERT_TRUE(p->done); /* MEMBER_ID_REQUIRED */
    CU_ASSERT_PTR_NULL(p->forward.work);
    cancel(p);
    CU_ASSERT_TRUE(p->cancelled);
    CU_ASSERT_FALSE(p->forward.close);
    end(p);
    ask_down(&ask);
}

/* A sync that waits for the leader's. */
static void syncs_are_forgotten(void)
{
    struct join_group_response r[2];
    struct pending *join[2];
    up();
    for (int i = 0; i < 2; i++)
        join[i] = start(API_JoinGroup, 3, join_bytes(3, STR("g"), STR("")));
    for (int i = 0; i < 100 && !(join[0]->done && join[1]->done); i++)
        rig_sleep(&ask.rig, 100);
    for (int i = 0; i < 2; i++)
        joined(join[i], &r[i], 3);
    int follower = str_eq(r[0].leader, r[0].member_id) ? 1 : 0;
    struct sync_group_request q;
    sync_group_request_init(&q);
    q.group_id = STR("g");
    q.generation_id = r[follower].generation_id;
    q.member_id = r[follower].member_id;
    for (int i = 0; i < 100; i++) {
        struct pending *p = start(API_SyncGroup, 3, ASK_BYTES(&ask, sync_group, &q, 3));
        CU_ASSERT_FALSE_FATAL(p->done);
        cancel(p);
        CU_ASSERT_TRUE_FATAL(p->done && p->forward.close);
        CU_ASSERT_EQUAL_FATAL(ask.rig.control.groups->calls, 0);
        end(p);
    }
    /* The leader's sync finds the group whole. */
    q.member_id = r[!follower].member_id;
    struct pending *p = start(API_SyncGroup, 3, ASK_BYTES(&ask, sync_group, &q, 3));
    CU_ASSERT_TRUE(p->done && !p->forward.close);
    end(p);
    for (int i = 0; i < 2; i++)
        end(join[i]);
    ask_down(&ask);
}

/* A commit whose append does not become durable in time. */
static void late_commits_are_answered(void)
{
    struct offset_commit_request_partition part;
    struct offset_commit_request_topic t = {
        .name = STR("t"), .partitions = &part, .n_partitions = 1};
    struct offset_commit_request q;
    struct offset_commit_response r;
    struct reader rd;
    int32_t correlation;
    up();
    CU_ASSERT_EQUAL_FATAL(rig_create(&ask.rig, "t", 1), 0);
    offset_commit_request_init(&q);
    offset_commit_request_partition_init(&part);
    part.committed_offset = 5;
    part.committed_metadata = STR("");
    q.group_id = STR("g");
    q.member_id = STR("");
    q.topics = &t;
    q.n_topics = 1;
    struct ask_bytes b = ASK_BYTES(&ask, offset_commit, &q, 8);
    struct pending *p = calloc(1, sizeof(*p));
    CU_ASSERT_PTR_NOT_NULL_FATAL(p);
    begin(p, API_OffsetCommit, 8, b);
    /* Control alone runs: no shard writes anything. */
    struct control *c = &ask.rig.control;
    int32_t limit = config_int(c->config, CONFIG_OFFSETS_COMMIT_TIMEOUT_MS);
    control_step(c, ask.rig.now_ns);
    CU_ASSERT_EQUAL(c->requests_in_work, 1);
    control_step(c, ask.rig.now_ns + (limit - 10) * CLOCK_NS_PER_MS);
    CU_ASSERT_EQUAL(c->requests_in_work, 1);
    control_step(c, ask.rig.now_ns + (limit + 10) * CLOCK_NS_PER_MS);
    CU_ASSERT_EQUAL(c->requests_in_work, 0);
    CU_ASSERT_EQUAL(c->groups->calls, 0);
    rig_sleep(&ask.rig, limit + 20);
    CU_ASSERT_TRUE_FATAL(p->done && p->forward.reply.bytes > 0);
    reader_init_chain(&rd, &p->forward.reply);
    reader_i32(&rd);
    proto_response_header_decode(&correlation, &rd, API_OffsetCommit, 8);
    CU_ASSERT_EQUAL_FATAL(offset_commit_response_decode(&r, &rd, 8, &ask.arena), 0);
    CU_ASSERT_EQUAL(r.topics[0].partitions[0].error_code, KERR_COORDINATOR_NOT_AVAILABLE);
    end(p);
    /* The next one is in time. */
    p = start(API_OffsetCommit, 8, ASK_BYTES(&ask, offset_commit, &q, 8));
    CU_ASSERT_TRUE(p->done);
    CU_ASSERT_EQUAL(c->requests_in_work, 0);
    end(p);
    ask_down(&ask);
}

UNIT_MAIN("control/api/cancel", UNIT_CASE(joins_are_forgotten), UNIT_CASE(too_late),
          UNIT_CASE(syncs_are_forgotten), UNIT_CASE(late_commits_are_answered))
