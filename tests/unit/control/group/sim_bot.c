#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/unit/control/group/sim_impl.h"

static void act_in(struct sim *s, struct sim_bot *b, uint32_t ms)
{
    b->next_ns = s->rig.now.mono_ns + ms * MS;
    sim_touch(s, b);
}

static void *take(struct sim_call *call, size_t count, size_t size)
{
    void *p = arena_calloc(&call->arena, count, size);
    CHECK(p != NULL);
    return p;
}

static struct str text(struct sim_call *call, const char *cstr)
{
    return arena_str(&call->arena, str_from(cstr));
}

static void forget(struct sim_bot *b)
{
    b->member[0] = '\0';
    b->state = BOT_OUT;
    b->mask = 0;
}

/* --- requests --- */

static void send_join(struct sim *s, struct sim_bot *b)
{
    int16_t version = b->instance[0] ? (chance(s, 3) ? 7 : 9) : chance(s, 5) ? 3 : 9;
    struct sim_call *call =
        sim_call_new(s, SIM_JOIN, API_JoinGroup, version, b, b->group,
                     15000 + s->rig.options.settings.initial_rebalance_delay_ms);
    struct join_group_request *req = take(call, 1, sizeof(*req));
    join_group_request_init(req);
    req->group_id = text(call, b->group->name);
    req->member_id = text(call, b->member);
    req->group_instance_id = b->instance[0] ? text(call, b->instance) : STR_NULL;
    req->session_timeout_ms = b->session_ms;
    req->rebalance_timeout_ms = b->rebalance_ms;
    req->protocol_type = STR("consumer");
    req->n_protocols = chance(s, 3) ? 2 : 1;
    req->protocols = take(call, 2, sizeof(*req->protocols));
    for (int i = 0; i < 2; i++) {
        struct proto_bytes m = rig_subscription(chance(s, 20) ? "t1" : "t0");
        req->protocols[i].name = i ? STR("roundrobin") : STR("range");
        req->protocols[i].metadata =
            (struct proto_bytes){arena_dup(&call->arena, m.p, m.len), m.len};
    }
    coordinator_join(s->rig.c, &call->call, req, s->rig.now);
}

/* Partition p goes to member p modulo their number; at times the leader is careless. */
static void assign(struct sim *s, struct sim_bot *b, struct sim_call *call,
                   struct sync_group_request *req)
{
    req->assignments = take(call, (size_t)b->n_ids + 1, sizeof(*req->assignments));
    bool careless = !s->calm && chance(s, 20);
    for (int32_t i = 0; i < b->n_ids; i++) {
        uint32_t mask = 0;
        for (int32_t p = 0; p < sim_partitions; p++)
            if (p % b->n_ids == i)
                mask |= 1u << p;
        if (careless && chance(s, 4))
            continue;
        uint8_t *bytes = take(call, 1, 4);
        bytes_put_u32(bytes, mask);
        req->assignments[req->n_assignments++] =
            (struct sync_group_request_assignment){text(call, b->ids[i]), {bytes, 4}};
    }
    if (careless)
        req->assignments[req->n_assignments++] =
            (struct sync_group_request_assignment){STR("nobody"), PROTO_BYTES_EMPTY};
}

static void send_sync(struct sim *s, struct sim_bot *b)
{
    struct sim_call *call = sim_call_new(s, SIM_SYNC, API_SyncGroup, 5, b, b->group, 15000);
    struct sync_group_request *req = take(call, 1, sizeof(*req));
    sync_group_request_init(req);
    req->group_id = text(call, b->group->name);
    req->member_id = text(call, b->member);
    req->group_instance_id = b->instance[0] ? text(call, b->instance) : STR_NULL;
    req->generation_id = b->generation;
    req->protocol_type = STR("consumer");
    if (b->leader && !b->skip_assignment)
        assign(s, b, call, req);
    call->generation = b->generation;
    coordinator_sync(s->rig.c, &call->call, req, s->rig.now);
}

static void send_heartbeat(struct sim *s, struct sim_bot *b)
{
    struct sim_call *call = sim_call_new(s, SIM_HEARTBEAT, API_Heartbeat, 4, b, b->group, 0);
    struct heartbeat_request *req = take(call, 1, sizeof(*req));
    heartbeat_request_init(req);
    req->group_id = text(call, b->group->name);
    req->member_id = text(call, b->member);
    req->group_instance_id = b->instance[0] ? text(call, b->instance) : STR_NULL;
    req->generation_id = b->generation;
    coordinator_heartbeat(s->rig.c, &call->call, req, s->rig.now);
}

static void send_leave(struct sim *s, struct sim_bot *b)
{
    struct sim_call *call = sim_call_new(s, SIM_LEAVE, API_LeaveGroup, 5, b, b->group, 0);
    struct leave_group_request *req = take(call, 1, sizeof(*req));
    leave_group_request_init(req);
    req->group_id = text(call, b->group->name);
    req->members = take(call, 1, sizeof(*req->members));
    req->n_members = 1;
    bool by_name = b->instance[0] && chance(s, 2);
    req->members[0].member_id = by_name ? STR("") : text(call, b->member);
    req->members[0].group_instance_id = b->instance[0] ? text(call, b->instance) : STR_NULL;
    coordinator_leave(s->rig.c, &call->call, req, s->rig.now);
}

/* bot NULL: a consumer without membership (generation -1). */
static void send_commit(struct sim *s, struct sim_bot *b, struct sim_group *g, int32_t generation,
                        int32_t partition)
{
    struct sim_call *call = sim_call_new(s, SIM_COMMIT, API_OffsetCommit, 9, b, g, 0);
    struct offset_commit_request *req = take(call, 1, sizeof(*req));
    struct offset_commit_request_topic *t = take(call, 1, sizeof(*t));
    t->partitions = take(call, 1, sizeof(*t->partitions));
    offset_commit_request_init(req);
    call->value = s->next_value++;
    call->partition = partition;
    call->generation = generation;
    call->max_generation = g->max_generation;
    call->deletions = g->deletions;
    g->issued[partition] = call->value;
    *t->partitions =
        (struct offset_commit_request_partition){partition, call->value, -1, -1, STR_NULL};
    t->n_partitions = 1;
    t->name = STR("t0");
    req->group_id = text(call, g->name);
    req->member_id = b ? text(call, b->member) : STR("");
    req->group_instance_id = b && b->instance[0] ? text(call, b->instance) : STR_NULL;
    req->generation_id_or_member_epoch = generation;
    req->topics = t;
    req->n_topics = 1;
    coordinator_offset_commit(s->rig.c, &call->call, req, s->rig.now);
}

void sim_fetch(struct sim *s, struct sim_group *g)
{
    struct sim_call *call = sim_call_new(s, SIM_FETCH, API_OffsetFetch, 9, NULL, g, 0);
    struct offset_fetch_request_group *req = take(call, 1, sizeof(*req));
    call->partition = (int32_t)below(s, sim_partitions);
    call->acked = g->acked[call->partition];
    call->deletions = g->deletions;
    req->group_id = text(call, g->name);
    req->member_epoch = -1;
    req->topics = take(call, 1, sizeof(*req->topics));
    req->n_topics = 1;
    req->topics[0].name = STR("t0");
    req->topics[0].partition_indexes = &call->partition;
    req->topics[0].n_partition_indexes = 1;
    coordinator_offset_fetch(s->rig.c, &call->call, req, chance(s, 2), s->rig.now);
}

/* --- what a client does next --- */

static void act_stable(struct sim *s, struct sim_bot *b)
{
    uint32_t what = s->calm ? 2 + below(s, 2) : below(s, 40);
    act_in(s, b, (uint32_t)b->session_ms / 6 + below(s, (uint32_t)b->session_ms / 4));
    if (s->calm) /* soon enough for the shortest rebalance time-out */
        act_in(s, b, 500 + below(s, 500));
    if (what == 0) {
        b->alive = false; /* dies without a word; may come back */
        act_in(s, b, below(s, 40000));
    } else if (what == 1) {
        act_in(s, b, (uint32_t)b->session_ms + below(s, 20000)); /* hangs, then goes on */
    } else if (what % 2 == 0 && b->mask) {
        int32_t p = (int32_t)below(s, sim_partitions);
        send_commit(s, b, b->group, b->generation, p);
    } else if (what == 5) {
        send_leave(s, b);
    } else if (what == 7) {
        b->state = BOT_OUT; /* its subscription changed: joins again */
        act_in(s, b, 0);
    } else if (what == 9) {
        send_commit(s, b, b->group, b->generation - 1 - (int32_t)below(s, 2),
                    (int32_t)below(s, sim_partitions));
    } else {
        send_heartbeat(s, b);
    }
}

static void revive(struct sim *s, struct sim_bot *b)
{
    b->alive = true;
    if (!chance(s, 3))
        forget(b); /* a new process; else the old one goes on as if nothing had been */
    act_in(s, b, 1 + below(s, 200));
}

void bot_act(struct sim *s, struct sim_bot *b)
{
    if (!b->alive) {
        revive(s, b);
    } else if (b->state == BOT_STABLE) {
        act_stable(s, b);
    } else if (b->state == BOT_JOINED) {
        if (!s->calm && chance(s, 60)) {
            b->alive = false; /* joined, and never syncs */
            act_in(s, b, 1000 + below(s, 30000));
        } else {
            send_sync(s, b);
        }
    } else {
        send_join(s, b);
    }
}

void bot_lost(struct sim *s, struct sim_bot *b)
{
    if (b->state == BOT_JOINED)
        b->state = BOT_OUT;
    if (chance(s, 3))
        forget(b);
    act_in(s, b, 10 + below(s, 500));
}

/* --- answers --- */

static void joined(struct sim *s, struct sim_bot *b, const struct join_group_response *r)
{
    act_in(s, b, below(s, !s->calm && chance(s, 10) ? 3000 : 100));
    switch (r->error_code) {
    case 0:
        b->state = BOT_JOINED;
        b->generation = r->generation_id;
        b->leader = str_eq(r->leader, r->member_id);
        b->skip_assignment = r->skip_assignment;
        snprintf(b->member, sizeof(b->member), "%.*s", STR_ARG(r->member_id));
        free(b->ids);
        b->ids = calloc((size_t)r->n_members + 1, sizeof(*b->ids));
        CHECK(b->ids != NULL);
        b->n_ids = r->n_members;
        for (int32_t i = 0; i < r->n_members; i++)
            snprintf(b->ids[i], sim_id_bytes, "%.*s", STR_ARG(r->members[i].member_id));
        if (b->leader && b->n_ids == 0)
            problem(s, "a leader was told no members");
        break;
    case KERR_MEMBER_ID_REQUIRED:
        snprintf(b->member, sizeof(b->member), "%.*s", STR_ARG(r->member_id));
        break;
    case KERR_UNKNOWN_MEMBER_ID:
    case KERR_FENCED_INSTANCE_ID:
        forget(b);
        break;
    case KERR_REBALANCE_IN_PROGRESS:
    case KERR_COORDINATOR_NOT_AVAILABLE:
        act_in(s, b, 100);
        break;
    case KERR_GROUP_MAX_SIZE_REACHED:
        forget(b);
        b->refused = true;
        act_in(s, b, 5000);
        return;
    default:
        problem(s, "a join got an error that no client expects");
    }
    b->refused = false;
}

static void synced(struct sim *s, struct sim_bot *b, const struct sim_call *call,
                   const struct sync_group_response *r)
{
    act_in(s, b, below(s, 500));
    switch (r->error_code) {
    case 0:
        b->state = BOT_STABLE;
        b->mask = r->assignment.len == 4 ? bytes_get_u32(r->assignment.p) : 0;
        sim_owned(s, b->group, call->generation, b->instance[0] ? b->instance : b->member, b->mask);
        s->totals->rebalances++;
        if (!s->calm && b->mask == 0 && b->n_ids == 0 && chance(s, 3))
            b->state = BOT_OUT; /* nothing to do: ask again */
        break;
    case KERR_REBALANCE_IN_PROGRESS:
    case KERR_COORDINATOR_NOT_AVAILABLE:
        b->state = BOT_OUT;
        break;
    case KERR_UNKNOWN_MEMBER_ID:
    case KERR_ILLEGAL_GENERATION:
    case KERR_FENCED_INSTANCE_ID:
        forget(b);
        break;
    default:
        problem(s, "a sync got an error that no client expects");
    }
}

static void beaten(struct sim *s, struct sim_bot *b, int16_t kerr)
{
    switch (kerr) {
    case 0:
    case KERR_COORDINATOR_NOT_AVAILABLE:
        break;
    case KERR_REBALANCE_IN_PROGRESS:
        b->state = BOT_OUT;
        act_in(s, b, below(s, !s->calm && chance(s, 10) ? 8000 : 300));
        break;
    case KERR_UNKNOWN_MEMBER_ID:
    case KERR_ILLEGAL_GENERATION:
    case KERR_FENCED_INSTANCE_ID:
        forget(b);
        act_in(s, b, below(s, 300));
        break;
    default:
        problem(s, "a heartbeat got an error that no client expects");
    }
}

static void committed(struct sim *s, struct sim_call *call)
{
    const struct offset_commit_response *r = call->call.response;
    struct sim_group *g = call->group;
    int16_t kerr = r->topics[0].partitions[0].error_code;
    if (kerr == KERR_REBALANCE_IN_PROGRESS || kerr == KERR_UNKNOWN_MEMBER_ID ||
        kerr == KERR_ILLEGAL_GENERATION || kerr == KERR_FENCED_INSTANCE_ID ||
        kerr == KERR_COORDINATOR_NOT_AVAILABLE || kerr == KERR_GROUP_ID_NOT_FOUND)
        return;
    if (kerr != 0)
        problem(s, "a commit got an error that no client expects");
    s->totals->commits++;
    if (call->generation >= 0 && call->generation < call->max_generation &&
        call->deletions == g->deletions)
        problem(s, "a commit of an old generation was accepted");
    if (call->deletions == g->deletions && call->value > g->acked[call->partition])
        g->acked[call->partition] = call->value;
}

static void fetched(struct sim *s, const struct sim_call *call)
{
    const struct offset_fetch_response_group *r = call->call.response;
    const struct sim_group *g = call->group;
    if (r->error_code == KERR_COORDINATOR_NOT_AVAILABLE)
        return;
    if (r->error_code != 0 || r->topics[0].partitions[0].error_code != 0) {
        problem(s, "a fetch of offsets failed");
        return;
    }
    int64_t value = r->topics[0].partitions[0].committed_offset;
    if (call->deletions == g->deletions && value < call->acked)
        problem(s, "a committed offset was lost");
    if (value > g->issued[call->partition])
        problem(s, "an offset that nobody committed");
}

void bot_reply(struct sim *s, struct sim_call *call)
{
    struct sim_bot *b = call->bot;
    switch (call->kind) {
    case SIM_JOIN:
        if (b)
            joined(s, b, call->call.response);
        break;
    case SIM_SYNC:
        if (b)
            synced(s, b, call, call->call.response);
        break;
    case SIM_HEARTBEAT:
        if (b)
            beaten(s, b, ((struct heartbeat_response *)call->call.response)->error_code);
        break;
    case SIM_COMMIT:
        committed(s, call);
        break;
    case SIM_LEAVE:
        if (b) {
            forget(b);
            act_in(s, b, below(s, 10000));
        }
        break;
    case SIM_FETCH:
        fetched(s, call);
        break;
    case SIM_OTHER:
        break;
    }
}

/* --- disturbances --- */

/* A client gives up on its call; the coordinator learns it, or does not. */
static void hang_up(struct sim *s)
{
    struct sim_call *call = s->calls;
    for (uint32_t skip = below(s, 8); call && skip > 0; skip--)
        call = call->next;
    if (call == NULL || call->bot == NULL)
        return;
    struct sim_bot *b = call->bot;
    b->call = NULL;
    call->bot = NULL;
    bot_lost(s, b);
    if (chance(s, 2)) {
        coordinator_cancel(s->rig.c, &call->call);
        sim_call_free(s, call);
    }
}

static void delete_something(struct sim *s, struct sim_group *g)
{
    g->deletions++;
    g->max_generation = -1;
    memset(g->owners, 0, sizeof(g->owners));
    memset(g->acked, 0xff, sizeof(g->acked));
    if (chance(s, 2)) {
        struct sim_call *call = sim_call_new(s, SIM_OTHER, API_DeleteGroups, 2, NULL, g, 0);
        coordinator_delete(s->rig.c, &call->call, text(call, g->name), s->rig.now);
        return;
    }
    struct sim_call *call = sim_call_new(s, SIM_OTHER, API_OffsetDelete, 0, NULL, g, 0);
    struct offset_delete_request *req = take(call, 1, sizeof(*req));
    req->group_id = text(call, g->name);
    req->topics = take(call, 1, sizeof(*req->topics));
    req->n_topics = 1;
    req->topics[0].name = STR("t0");
    req->topics[0].partitions = take(call, 1, sizeof(*req->topics[0].partitions));
    req->topics[0].partitions[0].partition_index = (int32_t)below(s, sim_partitions);
    req->topics[0].n_partitions = 1;
    coordinator_offset_delete(s->rig.c, &call->call, req, s->rig.now);
}

void sim_disturb(struct sim *s)
{
    struct sim_group *g = &s->groups[below(s, s->n_groups)];
    uint32_t what = below(s, 20);
    if (what < 8) {
        sim_fetch(s, g);
    } else if (what < 13) {
        send_commit(s, NULL, g, -1, (int32_t)below(s, sim_partitions));
    } else if (what < 15) {
        hang_up(s);
    } else if (what == 15) {
        delete_something(s, g);
    } else if (what == 16) {
        struct sim_call *call = sim_call_new(s, SIM_OTHER, API_DescribeGroups, 6, NULL, g, 0);
        coordinator_describe(s->rig.c, &call->call, text(call, g->name), s->rig.now);
    } else if (what == 17) {
        struct sim_call *call = sim_call_new(s, SIM_OTHER, API_ListGroups, 5, NULL, g, 0);
        struct list_groups_request *req = take(call, 1, sizeof(*req));
        coordinator_list(s->rig.c, &call->call, req, s->rig.now);
    }
}
