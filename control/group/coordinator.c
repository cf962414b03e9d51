#include "control/group/coordinator.h"

#include "base/check.h"
#include "base/rng.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"

/* Timers that fire in one tick at most; the rest follow in the next. */
#define tick_timers_max 10000

int coordinator_new(struct coordinator **out, const struct coordinator_options *options,
                    struct group_now now)
{
    if (!group_settings_valid(&options->settings))
        return ERR_INVALID;
    struct coordinator *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->settings = options->settings;
    c->rng = options->rng;
    c->topics = options->topics;
    c->overrides = options->overrides;
    c->regex_turn = options->regex_turn ? options->regex_turn : &c->own_regex_turn;
    c->consumer = options->consumer;
    c->now = now;
    c->groups_end = &c->groups;
    c->in_flight_end = &c->in_flight;
    c->appends_end = &c->appends;
    c->replies.end = &c->replies.head;
    c->held.end = &c->held.head;
    c->parked.end = &c->parked.head;
    c->next_seq = 1;
    c->expiry.fire = offsets_expiry_fired;
    wheel_init(&c->wheel, now.mono_ns);
    if (map_init(&c->by_id, 64, true, rng_u64(c->rng)) < 0) {
        free(c);
        return ERR_NO_MEMORY;
    }
    if (map_init(&c->txns, 8, true, rng_u64(c->rng)) < 0) {
        map_free(&c->by_id);
        free(c);
        return ERR_NO_MEMORY;
    }
    *out = c;
    return 0;
}

/* Calls that are forgotten: nobody may touch them afterwards. */
static void forget_calls(struct coordinator *c)
{
    for (struct group_call *call; (call = c->parked.head);)
        coordinator_cancel(c, call);
    for (struct group_call *call; (call = c->held.head);)
        coordinator_cancel(c, call);
    for (struct group_call *call; (call = c->replies.head);)
        coordinator_cancel(c, call);
}

void coordinator_free(struct coordinator *c)
{
    if (c == NULL)
        return;
    forget_calls(c);
    group_free_all(c);
    txn_free_all(c);
    group_appends_free(c);
    map_free(&c->by_id);
    free(c);
}

int coordinator_set_settings(struct coordinator *c, const struct group_settings *settings)
{
    if (!group_settings_valid(settings))
        return ERR_INVALID;
    c->settings = *settings;
    return 0;
}

/* --- replay --- */

int coordinator_replay(struct coordinator *c, const uint8_t *key, size_t key_len,
                       const uint8_t *value, size_t value_len, int64_t producer_id)
{
    struct codec_in in = {key, key + key_len, key == NULL};
    int16_t type = codec_get_i16(&in);
    if (in.bad)
        return ERR_MALFORMED;
    c->record_order++;
    if (type == 0 || type == 1)
        return offsets_replay(c, in.p, (size_t)(in.end - in.p), value, value_len, producer_id);
    if (type == 2) {
        struct str id = codec_get_str(&in, false);
        if (in.bad || str_is_null(id))
            return ERR_MALFORMED;
        return classic_replay(c, id, value, value_len);
    }
    if (c->consumer == NULL)
        return ERR_UNSUPPORTED;
    return c->consumer->replay(c, type, in.p, (size_t)(in.end - in.p), value, value_len);
}

void coordinator_replay_marker(struct coordinator *c, int64_t producer_id, bool commit)
{
    c->record_order++;
    txn_end(c, producer_id, commit);
}

void coordinator_loaded(struct coordinator *c, struct group_now now)
{
    if (!group_step_begin(c, NULL, now))
        return;
    c->loaded = true;
    for (struct group *g = c->groups, *next; g; g = next) {
        next = g->next;
        if (g->type == GROUP_CLASSIC)
            classic_loaded(g);
        else if (g->type == GROUP_CONSUMER)
            c->consumer->loaded(g);
        group_step_end(c);
    }
    group_timer_arm(c, &c->expiry, c->settings.offsets_retention_check_ms);
}

/* --- appends and time --- */

void coordinator_appended(struct coordinator *c, uint64_t seq, int16_t kerr, struct group_now now)
{
    c->now = now;
    struct group_pending_append *a = group_append_pop(c, seq);
    CHECK(a != NULL);
    if (kerr)
        group_fail(c, group_append_error(kerr));
    if (c->failed == 0) {
        c->durable_seq = seq;
        if (a->sync_group)
            classic_assigned(a->sync_group, a->sync_generation);
        group_release(c);
        group_step_end(c);
    }
    group_append_free(a);
}

bool coordinator_failed(const struct coordinator *c)
{
    return c->failed != 0;
}

void coordinator_close(struct coordinator *c, int16_t kerr)
{
    group_fail(c, kerr);
}

void coordinator_tick(struct coordinator *c, struct group_now now)
{
    if (group_step_begin(c, NULL, now))
        wheel_run(&c->wheel, now.mono_ns, tick_timers_max);
}

int64_t coordinator_next_deadline(const struct coordinator *c)
{
    return c->failed ? INT64_MAX : wheel_next(&c->wheel);
}

void coordinator_topics_changed(struct coordinator *c, struct group_now now)
{
    if (c->consumer == NULL || !group_step_begin(c, NULL, now))
        return;
    for (struct group *g = c->groups, *next; g; g = next) {
        next = g->next;
        if (g->type == GROUP_CONSUMER)
            c->consumer->topics_changed(g);
        group_step_end(c);
    }
}

/* --- the state, told --- */

static int by_id(const void *a, const void *b)
{
    const struct group *const *x = a, *const *y = b;
    return str_cmp((*x)->id, (*y)->id);
}

int coordinator_dump(const struct coordinator *c, coordinator_record_fn *fn, void *ctx)
{
    size_t n = 0;
    const struct group **groups = calloc(c->by_id.count + 1, sizeof(struct group *));
    if (groups == NULL)
        return ERR_NO_MEMORY;
    for (const struct group *g = c->groups; g; g = g->next)
        groups[n++] = g;
    qsort(groups, n, sizeof(struct group *), by_id);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (groups[i]->type == GROUP_CLASSIC)
            rc = classic_dump(groups[i], fn, ctx);
        else if (groups[i]->type == GROUP_CONSUMER)
            rc = c->consumer->dump(groups[i], fn, ctx);
        if (rc == 0 && groups[i]->type != GROUP_NONE)
            rc = offsets_dump(groups[i], fn, ctx);
    }
    free(groups);
    return rc;
}

bool coordinator_has_pending_transactions(const struct coordinator *c)
{
    return c->txns.count > 0;
}

void coordinator_each_offset(const struct coordinator *c, coordinator_offset_fn *fn, void *ctx)
{
    for (const struct group *g = c->groups; g; g = g->next) {
        const struct group_topic_offsets *t;
        if (g->type != GROUP_NONE)
            for (size_t cursor = 0; (t = map_next(&g->topics, &cursor));)
                for (uint32_t i = 0; i < t->count; i++)
                    fn(ctx, g->id, t->name, t->items[i].partition, t->items[i].offset);
    }
}

void coordinator_stats(const struct coordinator *c, struct coordinator_stats *out)
{
    *out = c->stats;
    out->groups = c->n_groups;
    out->waiting_calls = c->n_parked;
    for (const struct group *g = c->groups; g; g = g->next)
        if (g->type == GROUP_CLASSIC) {
            out->classic[g->classic->state]++;
        } else if (g->type == GROUP_CONSUMER) {
            out->consumer++;
            out->members += c->consumer->members(g);
        }
}
