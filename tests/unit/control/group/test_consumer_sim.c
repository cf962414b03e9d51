/*
 * A seeded simulator of one group: members of both protocols that join, leave, die, lag, lose answers,
 * come back with old epochs, change their minds; topics that grow, come and go; a coordinator that
 * crashes. Held against it: no two members own a partition at once (by what the coordinator says, and
 * by what members believe while they are in the group); the state loaded from the log, whole or
 * compacted, is the live state; when the turmoil ends, every rebalance ends and every partition has
 * its owner.
 *
 * --seeds N and --from S: that many seeds from S on. Default: a few, of this minute. test_restarts is no
 * matter of chance: a short story, in which the coordinator ends before and after each batch it writes.
 */
#include "tests/unit/control/group/seeds.h"

#include <string.h>

#include "base/check.h"
#include "control/group/classic.h"
#include "control/group/codec.h"
#include "control/group/group.h"
#include "tests/unit/control/group/consumer_rig.h"

#define clients_max 300
#define step_ms     500
#define quiet_ms    (10 * 60 * 1000)
#define GROUP       "g"

enum phase { OUT, JOINING, SYNCING, IN };

struct client {
    bool up, classic;
    char id[80], instance[12]; /* instance "": dynamic */
    enum phase phase;
    int32_t epoch; /* or generation */
    bool full;     /* the last answer was lost: say everything again */
    uint32_t topics;
    bool by_regex;
    uint32_t held[rig_topics_max], want[rig_topics_max];
    int64_t next_ms; /* when it acts again */
    struct rig_call *waits;
    bool leader;
    bool blind;   /* it leads, and was not told: see take_join */
    uint32_t saw; /* a leader: the topics that it has assigned, as sim.changes counts */
};

struct sim {
    struct rig r;
    struct rng rng;
    uint64_t seed;
    struct client *clients;
    uint32_t n;
    uint32_t names;   /* counts member ids */
    uint32_t changes; /* counts those of the topics */
    bool quiet, mixed, failed;
    /* A story (test_restarts): batches so far; the crash is at this one, and it is in the log then. */
    bool story, keep;
    uint32_t batches, crash_at;
    uint32_t out; /* a client that is not in */
    int16_t last; /* the last error */
};

/* What was done in all runs; digest: of all that was drawn. */
static struct {
    uint64_t runs, steps, calls, records, crashes, digest;
} totals;

#define EXPECT(s, cond, ...)                                                                       \
    do {                                                                                           \
        if (!(cond) && !(s)->failed) {                                                             \
            (s)->failed = true;                                                                    \
            printf("seed %" PRIu64 " at %" PRId64 " ms: ", (s)->seed,                              \
                   (s)->r.now.mono_ns / 1000000);                                                  \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
        }                                                                                          \
    } while (0)

static bool chance(struct sim *s, uint32_t percent)
{
    return rng_below(&s->rng, 100) < percent;
}

static int64_t now_ms(const struct sim *s)
{
    return s->r.now.mono_ns / 1000000;
}

static void drop_all(struct client *c)
{
    memset(c->held, 0, sizeof(c->held));
    memset(c->want, 0, sizeof(c->want));
}

static void go_out(struct client *c)
{
    drop_all(c);
    c->phase = OUT;
    c->epoch = 0;
    c->leader = false;
}

/* --- members of the newer protocol --- */

static void new_id(struct sim *s, struct client *c)
{
    snprintf(c->id, sizeof(c->id), "m%u", s->names++);
}

static void send_beat(struct sim *s, struct client *c)
{
    bool join = c->phase == OUT, says = join || c->full || chance(s, 5);
    if (join) {
        drop_all(c);
        if (c->id[0] == '\0' || chance(s, 20))
            new_id(s, c);
    } else if (s->quiet || chance(s, 70)) {
        for (int t = 0; t < rig_topics_max; t++)
            c->held[t] &= c->want[t]; /* it has given back what it was told to */
    }
    struct beat b = {.group = GROUP,
                     .member = c->id,
                     .instance = c->instance[0] ? c->instance : NULL,
                     .assignor = c->topics & 2 ? "uniform" : NULL,
                     .epoch = join ? 0 : c->epoch,
                     .rebalance_ms = says ? 8000 : 0,
                     .names_given = says && !c->by_regex,
                     .topics = c->topics,
                     .regex = says ? (c->by_regex ? (c->topics & 1 ? "t[0-3]" : "t.*") : "") : NULL,
                     .holds_given = says || s->quiet || chance(s, 80),
                     .holds = c->held};
    if (says && c->by_regex)
        b.names_given = true, b.topics = 0;
    c->waits = crig_send(&s->r, 1, &b);
    c->full = false;
}

static void take_beat(struct sim *s, struct client *c)
{
    const struct consumer_group_heartbeat_response *p = c->waits->call.response;
    uint32_t parts[rig_topics_max];
    c->waits = NULL;
    if (!s->quiet && chance(s, 4)) {
        c->full = true; /* the answer is lost */
        return;
    }
    s->last = p->error_code;
    switch (p->error_code) {
    case 0:
        c->epoch = p->member_epoch;
        c->phase = IN;
        /* What is new it takes at once: the coordinator may rely on its next list being whole. */
        for (int t = 0; crig_assignment(p, parts) && t < rig_topics_max; t++) {
            c->want[t] = parts[t];
            c->held[t] |= parts[t];
        }
        break;
    case KERR_UNRELEASED_INSTANCE_ID:
        break; /* its former self is still there */
    case KERR_UNKNOWN_MEMBER_ID:
    case KERR_FENCED_MEMBER_EPOCH:
    case KERR_GROUP_ID_NOT_FOUND:
    case KERR_FENCED_INSTANCE_ID:
        go_out(c);
        if (p->error_code == KERR_FENCED_INSTANCE_ID)
            new_id(s, c);
        break;
    case KERR_COORDINATOR_NOT_AVAILABLE:
        c->full = true;
        break;
    default:
        EXPECT(s, false, "unexpected error %d of a heartbeat: %.*s", p->error_code,
               STR_ARG(p->error_message));
    }
}

/* --- members of the classic protocol (eager, assignor `range`) --- */

static struct proto_bytes subscription(struct sim *s, struct client *c, struct arena *a)
{
    struct codec_out o = {0};
    codec_put_i16(&o, 1);
    codec_put_i32(&o, __builtin_popcount(c->topics & 0xf));
    for (int i = 0; i < 4; i++)
        if (c->topics & 1u << i)
            codec_put_str(&o, (struct str){(char[]){'t', (char)('0' + i)}, 2});
    codec_put_i32(&o, -1);
    codec_put_i32(&o, 0); /* eager: it owns nothing when it joins */
    struct proto_bytes b = {arena_dup(a, o.p, o.len), o.len};
    codec_out_free(&o);
    return b;
}

static void send_join(struct sim *s, struct client *c)
{
    struct rig_call *call = rig_call(&s->r, API_JoinGroup, 5);
    struct join_group_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    struct join_group_request_protocol *p = arena_calloc(&call->arena, 1, sizeof(*p));
    drop_all(c);
    join_group_request_init(req);
    *p = (struct join_group_request_protocol){STR("range"), subscription(s, c, &call->arena)};
    req->group_id = STR(GROUP);
    req->session_timeout_ms = 10000;
    req->rebalance_timeout_ms = 12000;
    req->member_id = arena_str(&call->arena, str_from(c->id));
    req->group_instance_id = c->instance[0] ? str_from(c->instance) : STR_NULL;
    req->protocol_type = STR("consumer");
    req->protocols = p;
    req->n_protocols = 1;
    c->phase = JOINING;
    c->waits = call;
    coordinator_join(s->r.c, &call->call, req, s->r.now);
    rig_pump(&s->r);
}

static void set_id(struct client *c, struct str id)
{
    snprintf(c->id, sizeof(c->id), "%.*s", STR_ARG(id));
}

static void classic_error(struct sim *s, struct client *c, int16_t kerr)
{
    drop_all(c);
    c->phase = OUT;
    s->last = kerr;
    if (kerr == KERR_UNKNOWN_MEMBER_ID || kerr == KERR_FENCED_INSTANCE_ID ||
        kerr == KERR_INCONSISTENT_GROUP_PROTOCOL)
        c->id[0] = '\0';
    else
        EXPECT(s,
               kerr == KERR_REBALANCE_IN_PROGRESS || kerr == KERR_ILLEGAL_GENERATION ||
                   kerr == KERR_COORDINATOR_NOT_AVAILABLE,
               "unexpected error %d of a classic member", kerr);
}

static void put_assignment(struct arena *a, const uint32_t *parts, struct proto_bytes *out)
{
    struct codec_out o = {0};
    uint32_t topics = 0;
    for (int t = 0; t < 4; t++)
        topics += parts[t] != 0;
    codec_put_i16(&o, 1);
    codec_put_i32(&o, (int32_t)topics);
    for (int t = 0; t < 4; t++) {
        if (parts[t] == 0)
            continue;
        codec_put_str(&o, (struct str){(char[]){'t', (char)('0' + t)}, 2});
        codec_put_i32(&o, __builtin_popcount(parts[t]));
        for (int p = 0; p < 32; p++)
            if (parts[t] & 1u << p)
                codec_put_i32(&o, p);
    }
    codec_put_i32(&o, -1);
    *out = (struct proto_bytes){arena_dup(a, o.p, o.len), o.len};
    codec_out_free(&o);
}

/* The leader gives each partition of each topic to a subscriber in turn. */
static void lead(struct sim *s, struct client *c, const struct join_group_response *p,
                 struct arena *a, struct sync_group_request *req)
{
    c->saw = s->changes;
    uint32_t(*parts)[rig_topics_max] = arena_calloc(a, (size_t)p->n_members + 1, sizeof(*parts));
    req->assignments = arena_calloc(a, (size_t)p->n_members + 1, sizeof(*req->assignments));
    req->n_assignments = p->n_members;
    for (int t = 0; t < 4; t++)
        for (int i = 0, turn = 0; s->r.topics[t].name && i < s->r.topics[t].partitions; i++)
            for (int k = 0; k < p->n_members; k++, turn++) {
                const struct proto_bytes *m = &p->members[turn % p->n_members].metadata;
                if (memmem(m->p, m->len, (char[]){'t', (char)('0' + t)}, 2) == NULL)
                    continue;
                parts[turn++ % p->n_members][t] |= 1u << i;
                break;
            }
    for (int k = 0; k < p->n_members; k++) {
        req->assignments[k].member_id = arena_str(a, p->members[k].member_id);
        put_assignment(a, parts[k], &req->assignments[k].assignment);
    }
}

static void take_join(struct sim *s, struct client *c)
{
    const struct join_group_response *p = c->waits->call.response;
    c->waits = NULL;
    c->phase = OUT;
    if (!s->quiet && chance(s, 3))
        return; /* lost */
    if (p->error_code == KERR_MEMBER_ID_REQUIRED) {
        set_id(c, p->member_id);
        return;
    }
    if (p->error_code != 0) {
        classic_error(s, c, p->error_code);
        return;
    }
    set_id(c, p->member_id);
    c->epoch = p->generation_id;
    c->leader = str_eqz(p->leader, c->id);
    /* A static leader that comes back with a join older than version 9 is told its former id as the
     * leader's, lest it assigns anew (KIP-814): as with Kafka nobody notices a topic that grows then,
     * until someone joins. When the turmoil is over, this one does. */
    const struct group *g = group_find(s->r.c, str_from(GROUP));
    c->blind = !c->leader && p->leader.len > 0 && c->instance[0] && g->type == GROUP_CLASSIC &&
               str_eqz(g->classic->leader, c->id);
    struct rig_call *call = rig_call(&s->r, API_SyncGroup, 5);
    struct sync_group_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    sync_group_request_init(req);
    req->group_id = STR(GROUP);
    req->generation_id = c->epoch;
    req->member_id = arena_str(&call->arena, str_from(c->id));
    req->group_instance_id = c->instance[0] ? str_from(c->instance) : STR_NULL;
    req->protocol_type = STR("consumer");
    req->protocol_name = STR("range");
    if (c->leader)
        lead(s, c, p, &call->arena, req);
    c->phase = SYNCING;
    c->waits = call;
    coordinator_sync(s->r.c, &call->call, req, s->r.now);
    rig_pump(&s->r);
}

static void take_sync(struct sim *s, struct client *c)
{
    const struct sync_group_response *p = c->waits->call.response;
    struct codec_in in = {p->assignment.p, p->assignment.p + p->assignment.len, false};
    c->waits = NULL;
    if (p->error_code != 0) {
        classic_error(s, c, p->error_code);
        return;
    }
    c->phase = IN;
    codec_get_i16(&in);
    for (int32_t n = p->assignment.len ? codec_get_count(&in, false, 1) : 0; n > 0; n--) {
        struct str name = codec_get_str(&in, false);
        for (int32_t k = codec_get_count(&in, false, 4); k > 0; k--)
            c->held[name.p[1] - '0'] |= 1u << codec_get_i32(&in);
    }
    EXPECT(s, p->assignment.len == 0 || !in.bad, "an assignment cannot be read");
}

static void send_heartbeat(struct sim *s, struct client *c)
{
    struct rig_call *call = rig_call(&s->r, API_Heartbeat, 4);
    struct heartbeat_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    heartbeat_request_init(req);
    req->group_id = STR(GROUP);
    req->generation_id = c->epoch;
    req->member_id = arena_str(&call->arena, str_from(c->id));
    req->group_instance_id = c->instance[0] ? str_from(c->instance) : STR_NULL;
    c->waits = call;
    coordinator_heartbeat(s->r.c, &call->call, req, s->r.now);
    rig_pump(&s->r);
}

/* --- what clients do --- */

static void leave(struct sim *s, struct client *c)
{
    if (c->classic && c->id[0] && !c->instance[0]) {
        rig_leave(&s->r, GROUP, str_from(c->id));
    } else if (!c->classic && c->phase == IN) {
        struct beat b = {.group = GROUP,
                         .member = c->id,
                         .instance = c->instance[0] ? c->instance : NULL,
                         .epoch = c->instance[0] && chance(s, 70) ? -2 : -1};
        crig_send(&s->r, 1, &b);
    }
    go_out(c);
    c->id[0] = '\0';
    c->waits = NULL;
}

static void turmoil(struct sim *s, struct client *c)
{
    uint64_t dice = rng_below(&s->rng, 400);
    if (dice < 6) {
        leave(s, c);
        c->up = chance(s, 50);
    } else if (dice < 10) { /* dies without a word */
        go_out(c);
        c->id[0] = '\0';
        c->waits = NULL;
        c->up = false;
    } else if (dice < 16) { /* lags, for up to two sessions */
        c->next_ms = now_ms(s) + (int64_t)rng_below(&s->rng, 90000);
    } else if (dice < 22 && !c->classic) {
        c->topics = 1 + (uint32_t)rng_below(&s->rng, 15);
        c->by_regex = chance(s, 25);
        c->full = true;
    } else if (dice < 25 && s->mixed) { /* comes back with the other protocol */
        leave(s, c);
        c->classic = !c->classic;
        c->by_regex = false;
    }
}

static void act(struct sim *s, struct client *c)
{
    if (!c->up) {
        if (s->quiet || chance(s, 3))
            c->up = s->quiet ? c->up : true;
        return;
    }
    if (c->waits != NULL) {
        if (!c->waits->done)
            return;
        if (!c->classic)
            take_beat(s, c);
        else if (c->phase == JOINING)
            take_join(s, c);
        else if (c->phase == SYNCING)
            take_sync(s, c);
        else {
            int16_t kerr = ((struct heartbeat_response *)c->waits->call.response)->error_code;
            c->waits = NULL;
            if (kerr != 0)
                classic_error(s, c, kerr);
        }
        return;
    }
    if (now_ms(s) < c->next_ms)
        return;
    c->next_ms = now_ms(s) + 1000 + (int64_t)rng_below(&s->rng, 2000);
    if (!s->quiet)
        turmoil(s, c);
    if (!c->up || now_ms(s) + 3500 < c->next_ms)
        return;
    /* A leader whose metadata is fresh has the group assigned anew. */
    bool news = (c->leader && c->saw != s->changes) || (s->quiet && c->blind);
    if (!c->classic)
        send_beat(s, c);
    else if (c->phase == OUT || (c->phase == IN && news))
        send_join(s, c);
    else if (c->phase == IN)
        send_heartbeat(s, c);
}

/* --- what must hold --- */

static bool holds_only(const struct client *c, const struct consumer_member *m)
{
    for (int t = 0; t < rig_topics_max; t++) {
        if (c->held[t] == 0)
            continue;
        struct uuid id = rig_topic_id((char[]){'t', (char)('0' + t), '\0'});
        for (int p = 0; p < 32; p++)
            if (c->held[t] & 1u << p && !consumer_parts_find(&m->cur.assigned, &id, p) &&
                !consumer_parts_find(&m->cur.pending, &id, p))
                return false;
    }
    return true;
}

/* Owners are counted per partition: more than one is two members with one partition. */
static void check_owners(struct sim *s, const struct consumer_group *g)
{
    size_t at = 0;
    for (struct consumer_owned *o; (o = map_next(&g->owned, &at)) != NULL;)
        for (uint32_t p = 0; p < o->n; p++)
            EXPECT(s, o->count[p] <= 1, "partition %u of t%c has %u owners", p, o->topic.b[2],
                   o->count[p]);
    for (uint32_t i = 0; i < s->n; i++) {
        struct client *c = &s->clients[i];
        struct consumer_member *m = consumer_member_find(g, str_from(c->id));
        /* A member that the coordinator has taken out may not know; nor one whose session ended. */
        if (c->id[0] && c->phase == IN && m != NULL && m->cur.epoch > 0 &&
            m->meta->classic == c->classic && m->cur.epoch >= c->epoch)
            EXPECT(s, holds_only(c, m),
                   "member %s holds more than it was given (epoch %d of %d, state %d)", c->id,
                   c->epoch, m->cur.epoch, (int)m->cur.state);
    }
}

/* The group may have been made anew with this generation: who is not in it does not know yet. */
static bool is_member(const struct group *g, const struct client *c)
{
    return c->classic && c->phase == IN && classic_member_find(g->classic, str_from(c->id)) != NULL;
}

/* In a classic group: members of one generation hold nothing in common. */
static void check_generation(struct sim *s)
{
    const struct group *g = group_find(s->r.c, str_from(GROUP));
    if (g == NULL || g->type != GROUP_CLASSIC)
        return;
    for (uint32_t i = 0; i < s->n; i++)
        for (uint32_t k = i + 1; k < s->n && is_member(g, &s->clients[i]); k++) {
            const struct client *a = &s->clients[i], *b = &s->clients[k];
            for (int t = 0;
                 is_member(g, b) && a->epoch == b->epoch && strcmp(a->id, b->id) != 0 && t < 4; t++)
                EXPECT(s, (a->held[t] & b->held[t]) == 0, "%s and %s share t%d in generation %d",
                       a->id, b->id, t, a->epoch);
        }
}

static void check(struct sim *s)
{
    const struct consumer_group *g = crig_group(&s->r, GROUP);
    if (g != NULL)
        check_owners(s, g);
    else if (s->n <= 60)
        check_generation(s);
}

/* All is well: nobody is out, partitions are owned once each by those who subscribe. */
static bool settled(struct sim *s, const char **why)
{
    const struct consumer_group *g = crig_group(&s->r, GROUP);
    uint32_t owned[rig_topics_max] = {0}, wanted = 0, ups = 0;
    *why = "a member is not in";
    for (uint32_t i = 0; i < s->n; i++) {
        const struct client *c = &s->clients[i];
        if (!c->up)
            continue;
        ups++;
        if (c->phase != IN)
            return s->out = i, false;
        for (int t = 0; t < rig_topics_max; t++) {
            if (!c->classic && c->held[t] != c->want[t]) {
                *why = "a member has not done what it was told";
                return false;
            }
            if (owned[t] & c->held[t]) {
                *why = "two members hold one partition";
                return false;
            }
            owned[t] |= c->held[t];
        }
        wanted |= c->by_regex ? (c->topics & 1 ? 0xf : 0xff) : c->topics;
    }
    for (int t = 0; t < rig_topics_max; t++) {
        const struct rig_topic *topic = &s->r.topics[t];
        uint32_t all = topic->name && !topic->gone ? (1u << topic->partitions) - 1 : 0;
        *why = "a partition has no owner, or one that is not";
        if (owned[t] != (wanted & 1u << t ? all : 0))
            return false;
    }
    *why = "the group is not stable";
    if (g != NULL)
        return strcmp(ups ? "Stable" : "Empty", consumer_group_state(g)) == 0 &&
               consumer_members(g) == ups;
    return ups == 0 || strcmp(rig_state(&s->r, GROUP), "Stable") == 0;
}

/* --- the world --- */

static void change_topics(struct sim *s)
{
    static const char *const names[] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"};
    int t = (int)rng_below(&s->rng, s->mixed ? 4 : rig_topics_max);
    struct rig_topic *topic = &s->r.topics[t];
    if (topic->name == NULL)
        *topic = (struct rig_topic){names[t], 1 + (int32_t)rng_below(&s->rng, 6), false};
    else if (chance(s, 50) && topic->partitions < 30)
        topic->partitions++;
    else if (t >= 4 && !s->mixed)
        topic->gone = !topic->gone;
    s->changes++;
    coordinator_topics_changed(s->r.c, s->r.now);
    rig_pump(&s->r);
}

/* A crash: what was not durable is gone, and so are all answers that were on their way. */
static void crash(struct sim *s, uint32_t keep)
{
    for (uint32_t i = 0; i < s->n; i++) {
        struct client *c = &s->clients[i];
        if (c->waits == NULL)
            continue;
        c->waits = NULL;
        c->full = true;
        if (c->classic && c->phase != IN) {
            c->phase = OUT;
            drop_all(c);
        }
    }
    rig_crash(&s->r, keep);
    crig_reap(&s->r, true);
    totals.crashes++;
}

/* In a story each batch becomes durable by itself, but for one. */
static void write_batches(struct sim *s)
{
    while (s->story && s->r.n_pending > 0) {
        if (s->batches++ == s->crash_at)
            crash(s, s->keep);
        else
            rig_durable(&s->r, 1, 0);
    }
}

static void world_step(struct sim *s)
{
    if (!s->quiet) {
        if (chance(s, 2))
            change_topics(s);
        if (chance(s, 1))
            crash(s, 0);
        s->r.durable = chance(s, 70);
    } else {
        s->r.durable = !s->story;
    }
    if (s->r.durable || s->r.n_pending > 200)
        rig_durable(&s->r, s->r.n_pending, 0);
    else if (chance(s, 40))
        rig_durable(&s->r, (uint32_t)rng_below(&s->rng, s->r.n_pending + 1), 0);
    uint32_t turn = (uint32_t)rng_below(&s->rng, s->n);
    for (uint32_t i = 0; i < s->n && !s->failed; i++) {
        if (s->r.n_pending > 200)
            rig_durable(&s->r, s->r.n_pending, 0);
        act(s, &s->clients[(i + turn) % s->n]);
        write_batches(s);
    }
    rig_pass(&s->r, step_ms);
    write_batches(s);
    check(s);
    totals.steps++;
}

static void reap(struct sim *s)
{
    for (struct rig_call *call = s->r.calls; call != NULL; call = call->older)
        call->keep = false;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->clients[i].waits != NULL)
            s->clients[i].waits->keep = true;
    crig_reap(&s->r, false);
}

static void setup(struct sim *s, uint64_t seed)
{
    *s = (struct sim){.seed = seed};
    rng_seed(&s->rng, seed);
    crig_init(&s->r, seed + 1);
    s->mixed = seed % 3 != 0;
    s->n = seed % 64 == 7 ? 200 + (uint32_t)rng_below(&s->rng, 100)
                          : 2 + (uint32_t)rng_below(&s->rng, 20);
    if (chance(s, 50))
        s->r.options.settings.consumer_assignment_interval_ms = 1000;
    if (chance(s, 20))
        s->r.options.settings.append_bytes_max = 2000; /* batches are cut */
    rig_restart(&s->r);
    s->clients = calloc(s->n, sizeof(*s->clients));
    CHECK(s->clients != NULL);
    for (uint32_t i = 0; i < s->n; i++) {
        struct client *c = &s->clients[i];
        c->up = chance(s, 80);
        c->classic = s->mixed && chance(s, 50);
        c->topics = chance(s, 50) ? 3 : 1 + (uint32_t)rng_below(&s->rng, 15);
        c->by_regex = !c->classic && chance(s, 20);
        c->next_ms = (int64_t)rng_below(&s->rng, 5000);
        if (chance(s, 25))
            snprintf(c->instance, sizeof(c->instance), "i%u", i);
    }
}

/* False: the seed failed; it is printed. */
static bool run_seed(uint64_t seed)
{
    static struct sim s;
    const char *why = "";
    setup(&s, seed);
    int steps = s.n > 100 ? 120 : 300;
    for (int i = 0; i < steps && !s.failed; i++) {
        world_step(&s);
        reap(&s);
        if (i % 100 == 99 && s.n <= 100) {
            rig_durable(&s.r, s.r.n_pending, 0);
            EXPECT(&s, crig_replay_equals(&s.r), "the state is not what the log says");
        }
    }
    s.quiet = true;
    int64_t until = now_ms(&s) + quiet_ms;
    bool done = false;
    /* Settled, and still so a little later. */
    for (int calm = 0; !s.failed && !done && now_ms(&s) < until;) {
        world_step(&s);
        reap(&s);
        calm = settled(&s, &why) ? calm + 1 : 0;
        done = calm > 10;
    }
    EXPECT(&s, done, "not settled after %d ms: %s (%s, instance %s, %s, phase %d, error %d)",
           quiet_ms, why, s.clients[s.out].id, s.clients[s.out].instance,
           s.clients[s.out].classic ? "classic" : "consumer", s.clients[s.out].phase, s.last);
    if (s.n <= 100)
        EXPECT(&s, crig_replay_equals(&s.r), "the state is not what the log says, at the end");
    bool ok = !s.failed;
    totals.runs++;
    totals.calls += s.r.replies;
    totals.records += s.r.log_count;
    totals.digest = totals.digest * 31 + rng_u64(&s.rng);
    rig_free(&s.r);
    free(s.clients);
    return ok;
}

/* --- a restart in the middle of each step --- */

enum { STORY_STATIC = 8, STORY_KINDS = 16 }; /* bits 0 to 2: that client begins as a classic one */

static void story_begin(struct sim *s, int kind, uint32_t crash_at, bool keep)
{
    *s = (struct sim){.seed = (uint64_t)kind, .quiet = true, .mixed = true, .story = true};
    s->crash_at = crash_at;
    s->keep = keep;
    rng_seed(&s->rng, 1);
    crig_init(&s->r, 2);
    s->n = 3;
    s->clients = calloc(s->n, sizeof(*s->clients));
    CHECK(s->clients != NULL);
    for (uint32_t i = 0; i < s->n; i++) {
        struct client *c = &s->clients[i];
        c->up = i < 2;
        c->classic = kind & 1 << i;
        c->topics = 3;
        c->by_regex = i == 1 && !c->classic;
        if (kind & STORY_STATIC)
            snprintf(c->instance, sizeof(c->instance), "i%u", i);
    }
}

/* Two members; a third comes, a topic grows, one comes back with the other protocol, one dies. */
static void story_step(struct sim *s, int step)
{
    struct client *back = &s->clients[1];
    if (step == 24) {
        s->clients[2].up = true;
    } else if (step == 48) {
        s->r.topics[0].partitions++;
        s->changes++;
        coordinator_topics_changed(s->r.c, s->r.now);
    } else if (step == 72) {
        leave(s, back);
        back->classic = !back->classic;
        back->by_regex = false;
    } else if (step == 96) {
        go_out(&s->clients[0]);
        s->clients[0].waits = NULL;
        s->clients[0].up = false;
    }
    world_step(s);
    reap(s);
}

/* True if the story came to its crash. */
static bool story(int kind, uint32_t crash_at, bool keep)
{
    static struct sim s;
    const char *why = "";
    int calm = 0;
    story_begin(&s, kind, crash_at, keep);
    for (int step = 0; !s.failed && calm <= 10 && step < 1200; step++) {
        story_step(&s, step);
        calm = step > 96 && settled(&s, &why) ? calm + 1 : 0;
    }
    EXPECT(&s, calm > 10, "not settled (story %d, crash at %u, kept %d): %s", kind, crash_at, keep,
           why);
    EXPECT(&s, crig_replay_equals(&s.r), "the state is not what the log says (story %d, %u, %d)",
           kind, crash_at, keep);
    CU_ASSERT_FALSE(s.failed);
    bool crashed = s.batches > crash_at;
    rig_free(&s.r);
    free(s.clients);
    return crashed;
}

static void test_restarts(void)
{
    uint32_t points = 0;
    for (int kind = 0; kind < STORY_KINDS; kind++)
        for (uint32_t at = 0; story(kind, at, false); at++, points++)
            story(kind, at, true);
    printf("%u batches, a crash before and after each ", points);
    CU_ASSERT_TRUE(points > STORY_KINDS * 10);
}

static void test_seeds(void)
{
    uint64_t n, first = seeds_first(12, &n), bad = 0;
    memset(&totals, 0, sizeof(totals));
    for (uint64_t seed = first; seed < first + n && bad < 10; seed++)
        bad += !run_seed(seed);
    CU_ASSERT_EQUAL(bad, 0);
    printf("runs %" PRIu64 ", steps %" PRIu64 ", replies %" PRIu64 ", records %" PRIu64
           ", crashes %" PRIu64 ", digest %016" PRIx64 "\n",
           totals.runs, totals.steps, totals.calls, totals.records, totals.crashes, totals.digest);
    /* A run in which nothing happened proves nothing. */
    CU_ASSERT_TRUE(totals.records > 10 * n && totals.calls > 100 * n);
    CU_ASSERT_TRUE(n < 20 || totals.crashes > 0);
}

/* What earlier runs found; 61277 and 64165: a static leader that comes back and is not told (take_join). */
static void test_found(void)
{
    static const uint64_t seeds[] = {58750, 59369, 61277, 61295, 64165};
    for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
        CU_ASSERT_TRUE(run_seed(seeds[i]));
}

SEEDS_MAIN("consumer_sim", UNIT_CASE(test_found), UNIT_CASE(test_restarts), UNIT_CASE(test_seeds))
