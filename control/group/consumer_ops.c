#include "control/group/consumer_ops.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/rng.h"
#include "control/group/classic.h"
#include "control/group/consumer_live.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"

#define OWNER_OF(timer, field)                                                                     \
    ((struct consumer_group *)((char *)(timer)-offsetof(struct consumer_group, field)))

/* A batch that would grow too large is cut: any prefix of these records is a sound state. */
static void emit(void *ctx, const struct group_record *r)
{
    struct coordinator *c = ctx;
    if (!group_step_fits(c, (size_t)r->key_len + r->value_len))
        group_step_end(c);
    group_emit(c, r->key, r->key_len, r->value, r->value_len);
}

void consumer_act_begin(struct consumer_act *a, struct coordinator *c, struct str group_id,
                        struct consumer_group *consumer)
{
    a->c = c;
    a->settings = c->settings;
    if (c->overrides.get != NULL)
        c->overrides.get(c->overrides.ctx, group_id, &a->settings);
    arena_init(&a->scratch, consumer_scratch_max);
    a->s = (struct consumer_step){.g = consumer,
                                  .settings = &a->settings,
                                  .topics = &c->topics,
                                  .rng = c->rng,
                                  .now = c->now,
                                  .emit = emit,
                                  .emit_ctx = c,
                                  .scratch = &a->scratch};
}

static void arm(struct coordinator *c, struct consumer_group *k)
{
    if (k->deadline_ns != INT64_MAX) {
        int64_t ns = k->deadline_ns - c->now.mono_ns;
        group_timer_arm(c, &k->timer, ns > 0 ? (ns + WHEEL_TICK_NS - 1) / WHEEL_TICK_NS : 0);
    }
    if (k->resolve && !wheel_armed(&k->resolve_timer))
        group_timer_arm(c, &k->resolve_timer, k->resolving != NULL ? 1 : 0);
}

void consumer_act_end(struct consumer_act *a, struct group *g)
{
    if (a->s.err < 0)
        group_fail(a->c, KERR_COORDINATOR_NOT_AVAILABLE);
    else if (g != NULL && g->type == GROUP_CONSUMER)
        arm(a->c, g->consumer);
    arena_free(&a->scratch);
}

/* --- timers --- */

static void fired(struct wheel_timer *t, int64_t now_ns)
{
    struct group *g = OWNER_OF(t, timer)->group;
    struct coordinator *c = g->c;
    struct consumer_act a;
    struct str *ids = NULL;
    consumer_act_begin(&a, c, g->id, g->consumer);
    uint32_t n = consumer_timers_due(&a.s, &ids);
    /* One at a time: the first may turn the group into a classic one, which has its own timers. */
    for (uint32_t i = 0; i < n && a.s.err == 0 && a.s.g != NULL; i++)
        consumer_fence_or_downgrade(&a, g, &ids[i], 1);
    consumer_act_end(&a, a.s.g != NULL ? g : NULL);
    group_step_end(c);
}

/* False: not in this turn of the thread. */
static bool slice_begins(const struct coordinator *c, struct consumer_regex_turn *turn)
{
    if (turn->mono_ns == c->now.mono_ns)
        return turn->cost < consumer_regex_slice;
    if (c->now.mono_ns < turn->next_ns)
        return false;
    *turn = (struct consumer_regex_turn){.mono_ns = c->now.mono_ns};
    return true;
}

static void resolve_fired(struct wheel_timer *t, int64_t now_ns)
{
    struct group *g = OWNER_OF(t, resolve_timer)->group;
    struct coordinator *c = g->c;
    struct consumer_regex_turn *turn = c->regex_turn;
    struct consumer_act a;
    if (!slice_begins(c, turn)) { /* another group's */
        wheel_arm(&c->wheel, t, turn->next_ns);
        return;
    }
    consumer_act_begin(&a, c, g->id, g->consumer);
    consumer_resolve(&a.s, turn);
    turn->next_ns =
        c->now.mono_ns + (int64_t)(1 + 2 * turn->cost / consumer_regex_slice) * CLOCK_NS_PER_MS;
    consumer_act_end(&a, g);
    group_step_end(c);
}

bool consumer_attach(struct coordinator *c, struct str id, struct consumer_group *consumer,
                     struct group **out)
{
    struct group *g = group_find_or_make(c, id);
    if (g == NULL) {
        consumer_group_free(consumer);
        group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
        return false;
    }
    group_set_type(g, GROUP_CONSUMER);
    g->consumer = consumer;
    consumer->id = g->id;
    consumer->group = g;
    consumer->timer.fire = fired;
    consumer->resolve_timer.fire = resolve_fired;
    *out = g;
    return true;
}

static void ops_free(struct group *g)
{
    group_timer_cancel(g->c, &g->consumer->timer);
    group_timer_cancel(g->c, &g->consumer->resolve_timer);
    consumer_group_free(g->consumer);
    g->consumer = NULL;
}

void consumer_fence_or_downgrade(struct consumer_act *a, struct group *g, const struct str *ids,
                                 uint32_t n)
{
    if (n == 0)
        return;
    if (consumer_may_downgrade(a, ids, n))
        consumer_downgrade(a, g, ids, n);
    else
        consumer_fence(&a->s, ids, n);
}

/* --- replay --- */

static int ops_replay(struct coordinator *c, int16_t type, const uint8_t *key, size_t key_len,
                      const uint8_t *value, size_t value_len)
{
    struct consumer_record r;
    struct consumer_group *k;
    struct arena scratch;
    arena_init(&scratch, consumer_scratch_max);
    int rc = consumer_record_read(&r, type, key, key_len, value, value_len, &scratch);
    struct group *g = rc == 0 ? group_find(c, r.group) : NULL;
    if (rc == 0 && (g == NULL || g->type != GROUP_CONSUMER) && !r.tombstone) {
        if (g != NULL) { /* a classic group whose tombstone is missing gives way */
            classic_group_free(g);
            group_set_type(g, GROUP_NONE);
        }
        rc = consumer_group_new(&k, r.group, rng_u64(c->rng));
        if (rc == 0 && !consumer_attach(c, r.group, k, &g))
            rc = ERR_NO_MEMORY;
    }
    if (rc == 0 && g != NULL && g->type == GROUP_CONSUMER) {
        if (r.type == CONSUMER_RECORD_EPOCH && r.tombstone) {
            ops_free(g);
            group_set_type(g, GROUP_NONE);
        } else {
            rc = consumer_record_apply(g->consumer, &r);
        }
    }
    arena_free(&scratch);
    return rc;
}

static void ops_loaded(struct group *g)
{
    struct consumer_act a;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    consumer_timers_start(&a.s);
    consumer_act_end(&a, g);
}

/* --- ConsumerGroupHeartbeat --- */

static void reply_fault(struct coordinator *c, struct group_call *call,
                        const struct consumer_fault *fault)
{
    struct consumer_group_heartbeat_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r != NULL) {
        consumer_group_heartbeat_response_init(r);
        r->error_code = fault->code;
        r->error_message = arena_str(call->arena, fault->message);
    }
    call->response = r;
    group_reply(c, call);
}

static bool fill_assignment(struct group_call *call, const struct consumer_parts *p,
                            struct consumer_group_heartbeat_response *r)
{
    struct consumer_group_heartbeat_response_assignment *out =
        arena_calloc(call->arena, 1, sizeof(*out));
    struct consumer_group_heartbeat_response_topic *topics =
        arena_calloc(call->arena, p->n + 1, sizeof(*topics));
    int32_t *partitions = arena_calloc(call->arena, p->n + 1, sizeof(*partitions));
    if (out == NULL || topics == NULL || partitions == NULL)
        return false;
    out->topic_partitions = topics;
    for (uint32_t i = 0; i < p->n; i++) {
        partitions[i] = p->v[i].partition;
        if (i == 0 || !uuid_eq(&p->v[i].topic, &p->v[i - 1].topic)) {
            topics[out->n_topic_partitions].topic_id = p->v[i].topic;
            topics[out->n_topic_partitions++].partitions = &partitions[i];
        }
        topics[out->n_topic_partitions - 1].n_partitions++;
    }
    r->assignment = out;
    return true;
}

static void reply_beat(struct consumer_act *a, struct group_call *call,
                       const struct consumer_beat_reply *beat, int32_t interval_ms)
{
    struct consumer_group_heartbeat_response *r = arena_calloc(call->arena, 1, sizeof(*r));
    if (r != NULL) {
        consumer_group_heartbeat_response_init(r);
        r->member_id = arena_str(call->arena, beat->member_id);
        r->member_epoch = beat->epoch;
        r->heartbeat_interval_ms = interval_ms;
        if (beat->has_assignment && !fill_assignment(call, beat->assigned, r))
            r = NULL;
    }
    call->response = r;
    group_reply(a->c, call);
}

/* Epochs -1 and -2. */
static void leave(struct consumer_act *a, struct group *g, struct group_call *call,
                  const struct consumer_group_heartbeat_request *req)
{
    struct consumer_fault fault = {0};
    struct consumer_beat_reply beat = {.member_id = req->member_id, .epoch = req->member_epoch};
    bool stays;
    if (g == NULL || g->type != GROUP_CONSUMER) {
        consumer_refuse(&a->s, &fault, KERR_GROUP_ID_NOT_FOUND,
                        g ? "Group %.*s is not a consumer group." : "Group %.*s not found.",
                        STR_ARG(req->group_id));
        reply_fault(a->c, call, &fault);
        return;
    }
    a->s.g = g->consumer;
    if (!consumer_leave_check(&a->s, req, &stays, &fault)) {
        reply_fault(a->c, call, &fault);
        return;
    }
    if (!stays) {
        struct str id = arena_str(&a->scratch, req->member_id);
        consumer_fence_or_downgrade(a, g, &id, 1);
    }
    reply_beat(a, call, &beat, 0); /* a leaving member is not told an interval */
}

/* The consumer group that a join or stay is for: as it is, or a detached one to be attached. */
static bool find_or_make(struct consumer_act *a, struct group *g,
                         const struct consumer_group_heartbeat_request *req,
                         struct consumer_group **out, struct consumer_fault *fault)
{
    bool join = req->member_epoch == CONSUMER_JOIN;
    if (g != NULL && g->type == GROUP_CONSUMER) {
        *out = g->consumer;
        return true;
    }
    if (!join) {
        consumer_refuse(&a->s, fault, KERR_GROUP_ID_NOT_FOUND,
                        g ? "Group %.*s is not a consumer group."
                          : "Consumer group %.*s not found.",
                        STR_ARG(req->group_id));
        return false;
    }
    if (g != NULL && g->classic->state != CLASSIC_EMPTY)
        return consumer_from_classic(a, g->classic, req->group_id, out, fault);
    if (g == NULL && !group_room(a->c)) {
        consumer_refuse(&a->s, fault, KERR_COORDINATOR_NOT_AVAILABLE, "Too many groups.");
        return false;
    }
    int rc = consumer_group_new(out, req->group_id, rng_u64(a->c->rng));
    if (rc < 0)
        a->s.err = rc;
    return rc == 0;
}

/* The group of a checked join gets its place. */
static bool settle(struct consumer_act *a, struct group **g, struct str id)
{
    struct consumer_group *consumer = a->s.g;
    if (*g != NULL && (*g)->type == GROUP_CONSUMER)
        return true;
    if (*g != NULL && (*g)->classic->state != CLASSIC_EMPTY)
        return consumer_upgrade(a, *g, consumer, g);
    if (*g != NULL) {
        classic_emit_tombstone(*g);
        classic_group_free(*g);
        group_set_type(*g, GROUP_NONE);
    }
    return consumer_attach(a->c, id, consumer, g);
}

static void join_or_stay(struct consumer_act *a, struct group **g, struct group_call *call,
                         const struct consumer_group_heartbeat_request *req)
{
    struct consumer_fault fault = {0};
    struct consumer_beat beat = {.req = req,
                                 .client_id = call->client_id.p ? call->client_id : STR(""),
                                 .client_host = call->client_host.p ? call->client_host : STR("")};
    struct consumer_beat_reply reply = {.member_id = STR("")};
    struct consumer_group *k = NULL;
    bool ok = find_or_make(a, *g, req, &k, &fault);
    a->s.g = k;
    ok = ok && consumer_heartbeat_check(&a->s, &beat, &fault);
    if (!ok && k != NULL && k->group == NULL) {
        consumer_group_free(k);
        a->s.g = NULL;
    }
    if (ok && settle(a, g, req->group_id)) {
        consumer_heartbeat_run(&a->s, &beat, &reply);
        fault = a->s.late;
    }
    if (a->s.err < 0)
        group_fail(a->c, KERR_COORDINATOR_NOT_AVAILABLE);
    if (fault.code != 0)
        reply_fault(a->c, call, &fault);
    else
        reply_beat(a, call, &reply, a->settings.consumer_heartbeat_interval_ms);
}

static void ops_heartbeat(struct coordinator *c, struct group_call *call,
                          const struct consumer_group_heartbeat_request *req)
{
    struct consumer_act a;
    struct consumer_fault fault = {0};
    consumer_act_begin(&a, c, req->group_id, NULL);
    struct group *g = group_find(c, req->group_id);
    if (!consumer_heartbeat_valid(&a.s, req, call->version, &fault))
        reply_fault(c, call, &fault);
    else if (req->member_epoch < CONSUMER_JOIN)
        leave(&a, g, call, req);
    else
        join_or_stay(&a, &g, call, req);
    consumer_act_end(&a, a.s.g != NULL ? g : NULL);
}

/* --- the rest --- */

static const char *ops_state(const struct group *g)
{
    return consumer_group_state(g->consumer);
}

static bool ops_is_empty(const struct group *g)
{
    return consumer_members(g->consumer) == 0;
}

static uint32_t ops_members(const struct group *g)
{
    return consumer_members(g->consumer);
}

static bool ops_is_subscribed(const struct group *g, struct str topic)
{
    for (const struct consumer_names *set = g->consumer->names; set != NULL; set = set->next)
        if (consumer_names_has(set, topic))
            return true;
    return false;
}

static int16_t ops_check_commit(struct group *g, struct str member_id, struct str instance_id,
                                int32_t epoch, int16_t api_version)
{
    if (epoch < 0 && consumer_members(g->consumer) == 0)
        return 0;
    const struct consumer_member *m = consumer_member_find(g->consumer, member_id);
    if (m == NULL)
        return KERR_UNKNOWN_MEMBER_ID;
    if (!m->meta->classic && api_version < 9)
        return KERR_UNSUPPORTED_VERSION;
    if (epoch > m->cur.epoch)
        return m->meta->classic ? KERR_ILLEGAL_GENERATION : KERR_STALE_MEMBER_EPOCH;
    return 0;
}

/* An older epoch may commit for partitions that the member has had since then (KIP-1251). */
static int16_t ops_check_commit_partition(struct group *g, struct str member_id, int32_t epoch,
                                          const struct group_topic *topic, int32_t partition)
{
    const struct consumer_member *m = consumer_member_find(g->consumer, member_id);
    if (m == NULL || epoch == m->cur.epoch)
        return 0;
    const struct consumer_part *p =
        topic ? consumer_parts_find(&m->cur.assigned, &topic->id, partition) : NULL;
    if (p == NULL && topic != NULL)
        p = consumer_parts_find(&m->cur.pending, &topic->id, partition);
    if (p != NULL && epoch >= p->epoch)
        return 0;
    return m->meta->classic ? KERR_ILLEGAL_GENERATION : KERR_STALE_MEMBER_EPOCH;
}

static int16_t ops_check_fetch(struct group *g, struct str member_id, int32_t epoch)
{
    if (str_is_null(member_id) && epoch < 0)
        return 0;
    const struct consumer_member *m = consumer_member_find(g->consumer, member_id);
    if (m == NULL)
        return KERR_UNKNOWN_MEMBER_ID;
    if (epoch != m->cur.epoch)
        return m->meta->classic ? KERR_ILLEGAL_GENERATION : KERR_STALE_MEMBER_EPOCH;
    return 0;
}

static void ops_emit_tombstones(struct group *g)
{
    struct consumer_act a;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    consumer_tombstones(&a.s, emit, g->c);
    consumer_act_end(&a, NULL);
}

static void ops_topics_changed(struct group *g)
{
    g->consumer->refresh_ms = 0; /* the next heartbeat looks */
    g->consumer->refresh_epoch = 0;
}

static int ops_dump(const struct group *g, coordinator_record_fn *fn, void *ctx)
{
    return consumer_dump(g->consumer, fn, ctx);
}

const struct consumer_protocol consumer_protocol_ops = {
    .free = ops_free,
    .replay = ops_replay,
    .loaded = ops_loaded,
    .heartbeat = ops_heartbeat,
    .describe = consumer_describe,
    .join = consumer_classic_join,
    .sync = consumer_classic_sync,
    .classic_heartbeat = consumer_classic_heartbeat,
    .leave = consumer_classic_leave,
    .state = ops_state,
    .is_empty = ops_is_empty,
    .is_subscribed = ops_is_subscribed,
    .members = ops_members,
    .check_commit = ops_check_commit,
    .check_commit_partition = ops_check_commit_partition,
    .check_fetch = ops_check_fetch,
    .emit_tombstones = ops_emit_tombstones,
    .topics_changed = ops_topics_changed,
    .dump = ops_dump,
};
