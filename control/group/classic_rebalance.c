#include "base/check.h"
#include "control/group/classic.h"

/* Timers run as steps of their own; what they emit is one batch. */

void classic_rearm_session(struct classic_member *m)
{
    group_timer_arm(m->group->c, &m->session, m->session_ms);
}

static bool all_joined(const struct classic_group *k)
{
    return k->n_members == k->n_awaiting_join && k->pending.count == 0;
}

static void clear_pending_sync(struct group *g)
{
    struct classic_group *k = g->classic;
    for (struct classic_member *m = k->members; m && k->n_pending_sync; m = m->next)
        if (m->pending_sync) {
            m->pending_sync = false;
            k->n_pending_sync--;
        }
    group_timer_cancel(g->c, &k->sync_timer);
}

void classic_sync_arrived(struct group *g, struct classic_member *m)
{
    struct classic_group *k = g->classic;
    if (!m->pending_sync)
        return;
    m->pending_sync = false;
    if (--k->n_pending_sync == 0)
        group_timer_cancel(g->c, &k->sync_timer);
}

void classic_propagate(struct group *g, int16_t kerr)
{
    struct coordinator *c = g->c;
    for (struct classic_member *m = g->classic->members; m; m = m->next) {
        if (!m->awaiting_sync)
            continue;
        m->awaiting_sync = false;
        struct group_call *call = group_unpark(c, &m->sync_call);
        if (call && kerr)
            group_reply_error(c, call, kerr);
        else if (call)
            classic_sync_reply(g, m, call);
        /* Its session was not watched while it waited. */
        classic_rearm_session(m);
    }
}

/* --- the join phase ends --- */

/* True if a member that is there leads the group, or may lead it now. */
static bool elect_leader(struct group *g)
{
    struct classic_group *k = g->classic;
    if (str_is_null(k->leader))
        return false;
    const struct classic_member *leader = classic_member_find(k, k->leader);
    if (leader && leader->awaiting_join)
        return true;
    for (const struct classic_member *m = k->members; m; m = m->next)
        if (m->awaiting_join) {
            if (classic_set_str(&k->leader, m->id) < 0)
                group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
            return true;
        }
    return false;
}

static void remove_absent(struct group *g)
{
    for (struct classic_member *m = g->classic->members, *next; m; m = next) {
        next = m->next;
        if (!m->awaiting_join && str_is_null(m->instance_id))
            classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
    }
}

static void next_generation(struct group *g)
{
    struct classic_group *k = g->classic;
    /* Java's int: wraps around. */
    k->generation = (int32_t)((uint32_t)k->generation + 1);
    struct str protocol = k->n_members ? classic_select_protocol(k) : STR_NULL;
    if (classic_set_str(&k->protocol_name, protocol) < 0)
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
    classic_compute_subscribed(g);
    classic_transition(g, k->n_members ? CLASSIC_COMPLETING_REBALANCE : CLASSIC_EMPTY);
    clear_pending_sync(g);
}

static void complete_join(struct group *g)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    group_timer_cancel(c, &k->join_timer);
    k->initial = false;
    remove_absent(g);
    if (!elect_leader(g) && k->n_members > 0) {
        /* Only static members are left, and all are away: until their sessions end. */
        group_timer_arm(c, &k->join_timer, classic_rebalance_timeout_ms(k));
        return;
    }
    next_generation(g);
    if (k->state == CLASSIC_EMPTY) {
        if (!classic_emit(g))
            group_fail(c, KERR_UNKNOWN_SERVER_ERROR);
        return;
    }
    for (struct classic_member *m = k->members; m; m = m->next) {
        if (m->awaiting_join) {
            m->awaiting_join = false;
            k->n_awaiting_join--;
            struct group_call *call = group_unpark(c, &m->join_call);
            if (call)
                classic_join_reply(g, m, call);
        }
        classic_rearm_session(m);
        m->is_new = false;
        m->pending_sync = true;
        k->n_pending_sync++;
    }
    group_timer_arm(c, &k->sync_timer, classic_rebalance_timeout_ms(k));
}

void classic_maybe_complete_join(struct group *g)
{
    const struct classic_group *k = g->classic;
    if (k->state == CLASSIC_PREPARING_REBALANCE && k->previous != CLASSIC_EMPTY && all_joined(k))
        complete_join(g);
}

/* --- the join phase begins --- */

static void reset_assignments(struct group *g)
{
    for (struct classic_member *m = g->classic->members; m; m = m->next)
        classic_member_set_assignment(m, STR_NULL);
    classic_propagate(g, KERR_REBALANCE_IN_PROGRESS);
}

void classic_prepare_rebalance(struct group *g)
{
    struct coordinator *c = g->c;
    struct classic_group *k = g->classic;
    if (k->state == CLASSIC_COMPLETING_REBALANCE)
        reset_assignments(g);
    clear_pending_sync(g);
    bool initial = k->state == CLASSIC_EMPTY;
    classic_transition(g, CLASSIC_PREPARING_REBALANCE);
    if (initial) {
        int32_t delay = c->settings.initial_rebalance_delay_ms;
        int64_t left = classic_rebalance_timeout_ms(k) - delay;
        k->initial = true;
        k->delay_ms = delay;
        k->remaining_ms = left > 0 ? (int32_t)left : 0;
        k->new_member_added = false;
        group_timer_arm(c, &k->join_timer, delay);
    } else if (all_joined(k)) {
        complete_join(g);
    } else {
        group_timer_arm(c, &k->join_timer, classic_rebalance_timeout_ms(k));
    }
}

void classic_rebalance_or_complete(struct group *g)
{
    const struct classic_group *k = g->classic;
    if (k->state == CLASSIC_STABLE || k->state == CLASSIC_COMPLETING_REBALANCE ||
        k->state == CLASSIC_EMPTY)
        classic_prepare_rebalance(g);
    else
        classic_maybe_complete_join(g);
}

/* --- timers --- */

void classic_join_fired(struct wheel_timer *t, int64_t now_ns)
{
    (void)now_ns;
    struct classic_group *k = (void *)((char *)t - offsetof(struct classic_group, join_timer));
    struct group *g = k->group;
    if (k->initial && k->new_member_added && k->remaining_ms != 0) {
        int32_t initial_delay = g->c->settings.initial_rebalance_delay_ms;
        int32_t delay = initial_delay < k->remaining_ms ? initial_delay : k->remaining_ms;
        int32_t left = k->remaining_ms - k->delay_ms;
        k->new_member_added = false;
        k->delay_ms = delay;
        k->remaining_ms = left > 0 ? left : 0;
        group_timer_arm(g->c, t, delay);
    } else {
        complete_join(g);
    }
    group_step_end(g->c);
}

void classic_sync_fired(struct wheel_timer *t, int64_t now_ns)
{
    (void)now_ns;
    struct classic_group *k = (void *)((char *)t - offsetof(struct classic_group, sync_timer));
    struct group *g = k->group;
    if (k->n_pending_sync == 0)
        return;
    for (struct classic_member *m = k->members, *next; m; m = next) {
        next = m->next;
        if (m->pending_sync)
            classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
    }
    classic_prepare_rebalance(g);
    group_step_end(g->c);
}

/* A member or an id that was waited for is gone. */
static void after_removal(struct group *g)
{
    const struct classic_group *k = g->classic;
    if (k->state == CLASSIC_STABLE || k->state == CLASSIC_COMPLETING_REBALANCE)
        classic_prepare_rebalance(g);
    else if (k->state == CLASSIC_PREPARING_REBALANCE && all_joined(k))
        complete_join(g);
}

void classic_session_fired(struct wheel_timer *t, int64_t now_ns)
{
    (void)now_ns;
    struct classic_member *m = (void *)((char *)t - offsetof(struct classic_member, session));
    struct group *g = m->group;
    /* Who waits for an answer cannot send heartbeats. New ones are let go: nobody else can tell. */
    if (!m->is_new && (m->awaiting_join || m->awaiting_sync))
        return;
    classic_member_remove(g, m, KERR_UNKNOWN_MEMBER_ID);
    after_removal(g);
    group_step_end(g->c);
}

void classic_pending_fired(struct wheel_timer *t, int64_t now_ns)
{
    (void)now_ns;
    struct classic_pending *p = (void *)((char *)t - offsetof(struct classic_pending, session));
    struct group *g = p->group;
    classic_pending_remove(g, p);
    if (g->classic->state == CLASSIC_PREPARING_REBALANCE && all_joined(g->classic))
        complete_join(g);
    group_step_end(g->c);
}

void classic_assigned(struct group *g, int32_t generation)
{
    struct classic_group *k = g->classic;
    if (k->state != CLASSIC_COMPLETING_REBALANCE || k->generation != generation)
        return;
    classic_propagate(g, 0);
    classic_transition(g, CLASSIC_STABLE);
    g->c->stats.rebalances++;
}
