#include "tests/unit/control/group/sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/unit/control/group/sim_impl.h"

/* How long an append may take: usually little, at times long. */
#define append_fast_ms 20
#define append_slow_ms 2000
#define calm_ms        90000

/* --- who is next --- */

/* When the bot acts; INT64_MAX: not before something else happens. */
static int64_t bot_due(const struct sim *s, uint32_t i)
{
    if (i >= s->n_bots)
        return INT64_MAX;
    const struct sim_bot *b = &s->bots[i];
    return b->call == NULL && (b->alive || !s->calm) ? b->next_ns : INT64_MAX;
}

/* One match of the tournament; the first of equals wins. */
static void play(struct sim *s, uint32_t at)
{
    uint16_t left = s->first_bot[2 * at], right = s->first_bot[2 * at + 1];
    s->first_bot[at] = bot_due(s, right) < bot_due(s, left) ? right : left;
}

void sim_touch(struct sim *s, const struct sim_bot *b)
{
    for (uint32_t at = (s->leaves + (uint32_t)(b - s->bots)) / 2; at > 0; at /= 2)
        play(s, at);
}

static void touch_all(struct sim *s)
{
    for (s->leaves = 2; s->leaves < s->n_bots;)
        s->leaves *= 2;
    for (uint32_t i = 0; i < s->leaves; i++)
        s->first_bot[s->leaves + i] = (uint16_t)i;
    for (uint32_t at = s->leaves - 1; at > 0; at--)
        play(s, at);
}

static struct sim_bot *next_bot(struct sim *s)
{
    uint32_t i = s->first_bot[1];
    return bot_due(s, i) == INT64_MAX ? NULL : &s->bots[i];
}

/* --- calls --- */

struct sim_call *sim_call_new(struct sim *s, enum sim_kind kind, int16_t api, int16_t version,
                              struct sim_bot *bot, struct sim_group *group, int64_t wait_ms)
{
    struct sim_call *call = s->spare;
    if (call != NULL) {
        struct arena arena = call->arena;
        s->spare = call->next;
        *call = (struct sim_call){.arena = arena};
    } else {
        call = calloc(1, sizeof(*call));
        CHECK(call != NULL);
        arena_init(&call->arena, 16 << 20);
    }
    call->call = (struct group_call){.api_key = api,
                                     .version = version,
                                     .client_id = STR("sim"),
                                     .client_host = STR("/127.0.0.1"),
                                     .arena = &call->arena};
    call->kind = kind;
    call->bot = bot;
    call->group = group;
    /* Replies wait for appends, which queue behind slow ones. */
    call->deadline_ns = s->rig.now.mono_ns + (wait_ms + 6 * append_slow_ms) * MS;
    call->next = s->calls;
    call->prev = &s->calls;
    if (s->calls)
        s->calls->prev = &call->next;
    s->calls = call;
    if (bot) {
        bot->call = call;
        sim_touch(s, bot);
    }
    s->totals->calls++;
    return call;
}

/* Kept for reuse: most of the time went into giving memory back. Not where a sanitizer looks on. */
void sim_call_free(struct sim *s, struct sim_call *call)
{
    *call->prev = call->next;
    if (call->next)
        call->next->prev = call->prev;
    if (rig_sanitized()) {
        arena_free(&call->arena);
        free(call);
        return;
    }
    arena_reset(&call->arena);
    call->next = s->spare;
    s->spare = call;
}

static void on_reply(void *ctx, struct group_call *base)
{
    struct sim *s = ctx;
    struct sim_call *call = (struct sim_call *)base;
    if (base->response == NULL)
        problem(s, "a reply without a response");
    else
        bot_reply(s, call);
    if (call->bot && call->bot->call == call) {
        call->bot->call = NULL;
        sim_touch(s, call->bot);
    }
    sim_call_free(s, call);
}

void sim_pump(struct sim *s)
{
    rig_pump(&s->rig);
    while (s->n_due < s->rig.n_pending) {
        int64_t wait = below(s, append_fast_ms) * MS;
        if (!s->calm && chance(s, 200))
            wait = below(s, append_slow_ms) * MS;
        int64_t due = s->rig.now.mono_ns + wait;
        if (s->n_due && due < s->append_due[s->n_due - 1])
            due = s->append_due[s->n_due - 1];
        s->append_due[s->n_due++] = due;
    }
}

void sim_owned(struct sim *s, struct sim_group *g, int32_t generation, const char *owner,
               uint32_t mask)
{
    if (generation < g->max_generation)
        problem(s, "a generation went back");
    if (generation > g->max_generation) {
        g->max_generation = generation;
        memset(g->owners, 0, sizeof(g->owners));
    }
    for (int p = 0; p < sim_partitions; p++) {
        if (!(mask & 1u << p))
            continue;
        if (g->owners[p][0] && strcmp(g->owners[p], owner) != 0)
            problem(s, "a partition has two owners in one generation");
        snprintf(g->owners[p], sim_id_bytes, "%s", owner);
    }
}

/* --- what happens to the coordinator --- */

static void compare(struct sim *s)
{
    s->totals->comparisons++;
    if (!rig_same_after_replay(&s->rig))
        problem(s, "the replayed state is not the live one");
}

static void restart(struct sim *s, uint32_t keep)
{
    rig_crash(&s->rig, keep);
    s->n_due = 0;
    s->totals->crashes++;
    for (struct sim_call *call; (call = s->calls);) {
        struct sim_bot *b = call->bot;
        sim_call_free(s, call);
        if (b) {
            b->call = NULL;
            bot_lost(s, b); /* and touches it */
        }
    }
    sim_pump(s);
}

static void crash(struct sim *s)
{
    compare(s);
    restart(s, below(s, s->rig.n_pending + 1));
}

static void append_ends(struct sim *s)
{
    s->n_due--;
    memmove(&s->append_due[0], &s->append_due[1], s->n_due * sizeof(s->append_due[0]));
    if (s->failures && !s->calm && chance(s, 300)) {
        /* The log refuses: everybody is told, and it loads again without (or with) the batch. */
        uint32_t keep = below(s, 2);
        struct rig_batch kept = s->rig.pending[0];
        rig_durable(&s->rig, 1, KERR_NOT_ENOUGH_REPLICAS);
        if (!coordinator_failed(s->rig.c))
            problem(s, "a failed append did not fail the coordinator");
        memmove(&s->rig.pending[1], &s->rig.pending[0],
                s->rig.n_pending * sizeof(s->rig.pending[0]));
        s->rig.pending[0] = kept;
        s->rig.n_pending++;
        if (s->calls)
            problem(s, "a call was not answered when the coordinator failed");
        restart(s, keep);
        return;
    }
    rig_durable(&s->rig, 1, 0);
}

/* --- time --- */

static void check_waits(struct sim *s)
{
    for (const struct sim_call *call = s->calls; call; call = call->next)
        if (s->rig.now.mono_ns > call->deadline_ns)
            problem(s, call->kind == SIM_JOIN   ? "a join waits for too long"
                       : call->kind == SIM_SYNC ? "a sync waits for too long"
                                                : "a call waits for too long");
}

static void move_to(struct sim *s, int64_t ns)
{
    if (ns <= s->rig.now.mono_ns)
        return;
    s->rig.now.wall_ms += ns / MS - s->rig.now.mono_ns / MS;
    s->rig.now.mono_ns = ns;
}

/* One event: an append, a timer or a client, whichever is first. */
static void step(struct sim *s, int64_t until)
{
    struct sim_bot *b = next_bot(s);
    int64_t timer = coordinator_next_deadline(s->rig.c);
    int64_t append = s->n_due ? s->append_due[0] : INT64_MAX;
    int64_t bot = b ? b->next_ns : INT64_MAX;
    int64_t first = append < timer ? append : timer;
    first = bot < first ? bot : first;
    move_to(s, first < until ? first : until);
    if (first >= until)
        return;
    if (append == first) {
        append_ends(s);
    } else if (bot == first) {
        bot_act(s, b);
    } else {
        coordinator_tick(s->rig.c, s->rig.now);
        if (timer <= s->rig.now.mono_ns)
            move_to(s, s->rig.now.mono_ns + MS); /* a bound that may be early */
    }
    sim_pump(s);
}

static void run_until(struct sim *s, int64_t until)
{
    uint32_t steps = 0;
    while (s->rig.now.mono_ns < until && s->problem == NULL) {
        step(s, until);
        if (++steps % 64 == 0)
            check_waits(s);
        if (s->calm)
            continue;
        if (s->crashes && chance(s, 600))
            crash(s);
        if (chance(s, 2000))
            compare(s);
        if (chance(s, 30))
            sim_disturb(s);
        sim_pump(s);
    }
    check_waits(s);
}

/* --- a run --- */

static uint32_t pick_bots(struct sim *s)
{
    if (chance(s, 60))
        return 100 + below(s, sim_bots_max - 100);
    if (chance(s, 10))
        return 20 + below(s, 60);
    return 1 + below(s, 16);
}

static void setup(struct sim *s, uint64_t seed)
{
    rng_seed(&s->rng, seed);
    rig_init(&s->rig, seed + 1);
    struct group_settings settings = s->rig.options.settings;
    settings.initial_rebalance_delay_ms = chance(s, 3) ? 0 : (int32_t)below(s, 4000);
    if (chance(s, 10))
        settings.max_size = 2 + (int32_t)below(s, 6);
    s->rig.options.settings = settings;
    CHECK(coordinator_set_settings(s->rig.c, &settings) == 0);
    s->rig.durable = false;
    s->rig.on_reply = on_reply;
    s->rig.on_reply_ctx = s;
    s->rig.topics[0].partitions = sim_partitions;
    s->next_value = 1;
    s->crashes = !chance(s, 3);
    s->failures = chance(s, 2);
    s->n_groups = 1 + below(s, sim_groups_max);
    s->n_bots = pick_bots(s);
    for (uint32_t i = 0; i < s->n_groups; i++) {
        snprintf(s->groups[i].name, sizeof(s->groups[i].name), "g%u", i);
        memset(s->groups[i].acked, 0xff, sizeof(s->groups[i].acked));
        memset(s->groups[i].issued, 0xff, sizeof(s->groups[i].issued));
        s->groups[i].max_generation = -1;
    }
    uint32_t statics = below(s, 4); /* how many of four are static */
    for (uint32_t i = 0; i < s->n_bots; i++) {
        struct sim_bot *b = &s->bots[i];
        b->group = &s->groups[below(s, s->n_groups)];
        b->alive = true;
        b->session_ms = 6000 + (int32_t)below(s, 6000);
        b->rebalance_ms = 2000 + (int32_t)below(s, 14000);
        b->next_ns = s->rig.now.mono_ns + below(s, 20000) * MS;
        if (below(s, 4) < statics)
            snprintf(b->instance, sizeof(b->instance), "i%u", i);
    }
    touch_all(s);
}

/* All that live are members of one generation, and own everything. */
static void check_end(struct sim *s, struct sim_group *g)
{
    uint32_t owned = 0, live = 0;
    int32_t generation = -1;
    for (uint32_t i = 0; i < s->n_bots; i++) {
        const struct sim_bot *b = &s->bots[i];
        if (b->group != g || !b->alive || b->refused)
            continue;
        live++;
        if (b->state != BOT_STABLE)
            problem(s, "a member is not in its group at the end");
        if (generation >= 0 && b->generation != generation)
            problem(s, "members are in different generations at the end");
        generation = b->generation;
        if (owned & b->mask)
            problem(s, "a partition has two owners at the end");
        owned |= b->mask;
    }
    if (live && owned != UINT32_MAX)
        problem(s, "a partition has no owner at the end");
}

const char *sim_run(uint64_t seed, struct sim_totals *totals)
{
    struct sim *s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->totals = totals;
    setup(s, seed);
    run_until(s, s->rig.now.mono_ns + (20000 + below(s, 60000)) * MS);
    s->calm = true;
    touch_all(s);
    for (uint32_t i = 0; i < s->n_groups; i++)
        sim_fetch(s, &s->groups[i]);
    sim_pump(s);
    run_until(s, s->rig.now.mono_ns + calm_ms / 3 * MS);
    /* A careless leader's last assignment may stand: it assigns once more. */
    for (uint32_t i = 0; i < s->n_bots; i++)
        if (s->bots[i].state == BOT_STABLE && s->bots[i].alive)
            s->bots[i].state = BOT_OUT;
    run_until(s, s->rig.now.mono_ns + calm_ms * MS);
    for (uint32_t i = 0; i < s->n_groups && !s->problem; i++) {
        check_end(s, &s->groups[i]);
        sim_fetch(s, &s->groups[i]);
    }
    sim_pump(s);
    run_until(s, s->rig.now.mono_ns + append_slow_ms * MS);
    if (s->problem == NULL)
        compare(s);
    totals->runs++;
    totals->records += s->rig.log_count;
    totals->digest = totals->digest * 31 + rng_u64(&s->rng);
    const char *what = s->problem;
    coordinator_free(s->rig.c); /* forgets the calls before they go */
    s->rig.c = NULL;
    while (s->calls)
        sim_call_free(s, s->calls);
    for (struct sim_call *call; (call = s->spare);) {
        s->spare = call->next;
        arena_free(&call->arena);
        free(call);
    }
    for (uint32_t i = 0; i < s->n_bots; i++)
        free(s->bots[i].ids);
    rig_free(&s->rig);
    free(s);
    return what;
}
