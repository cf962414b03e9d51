#include "base/err.h"
#include "control/group/consumer_names.h"
#include "control/group/consumer_step.h"

/*
 * How a member gets from what it has to its target, one heartbeat at a time:
 *
 *   STABLE ----------- new target ----------> partitions to give back? -- yes --> UNREVOKED
 *      ^                                        | no                                |
 *      |                                        v                                   | given back
 *      +---- all free ---- partitions to get: free or held by others? <-------------+
 *                                               | some are held
 *                                               v
 *                                           UNRELEASED (gets the free ones, asks again)
 *
 * A partition is only given when nobody holds it, not even as one that it has to give back.
 */
struct split {
    struct consumer_parts keep, revoke, add, merged;
    bool unreleased;
};

/* Does the member subscribe to the topic, by name or by expression? A deleted topic: no. */
static bool subscribes(const struct consumer_step *s, const struct consumer_member *m,
                       const struct uuid *topic)
{
    struct group_topic t;
    if (!s->topics->by_id(s->topics->ctx, topic, &t))
        return false;
    if (consumer_names_has(m->names, t.name))
        return true;
    struct consumer_regex *r =
        consumer_has_regex(m->meta) ? consumer_regex_find(s->g, m->meta->regex) : NULL;
    return r != NULL && r->resolved && consumer_names_has(r->topics, t.name);
}

static bool holds_any(const struct consumer_holds *holds, const struct consumer_parts *of)
{
    if (!holds->given)
        return true;
    for (uint32_t i = 0; i < holds->parts.n; i++)
        if (consumer_parts_find(of, &holds->parts.v[i].topic, holds->parts.v[i].partition))
            return true;
    return false;
}

static void append(struct consumer_parts *p, struct consumer_part x)
{
    p->v[p->n++] = x;
}

static bool room(struct consumer_step *s, struct consumer_parts *p, size_t n)
{
    p->v = arena_calloc(s->scratch, n + 1, sizeof(*p->v));
    if (p->v == NULL)
        s->err = ERR_NO_MEMORY;
    return p->v != NULL;
}

/* Divides what the member has and what its target gives it. */
static bool divide(struct consumer_step *s, const struct consumer_member *m, struct split *x)
{
    static const struct consumer_parts none;
    const struct consumer_target *t = consumer_target_find(s->g, m->id);
    const struct consumer_parts *target = t ? &t->parts : &none, *has = &m->cur.assigned;
    size_t most = (size_t)target->n + has->n;
    const struct uuid *topic = NULL;
    bool wanted = false;
    if (!room(s, &x->keep, most) || !room(s, &x->revoke, most) || !room(s, &x->add, most) ||
        !room(s, &x->merged, most))
        return false;
    for (uint32_t i = 0, k = 0; i < has->n || k < target->n;) {
        int c = i == has->n      ? 1
                : k == target->n ? -1
                                 : consumer_part_cmp(&has->v[i], &target->v[k]);
        const struct consumer_part *p = c <= 0 ? &has->v[i] : &target->v[k];
        if (topic == NULL || !uuid_eq(topic, &p->topic))
            wanted = subscribes(s, m, &p->topic);
        topic = &p->topic;
        if (c == 0 && wanted) {
            append(&x->keep, *p);
            append(&x->merged, *p);
        } else if (c <= 0) {
            append(&x->revoke, *p);
        } else if (wanted && consumer_owners(s->g, &p->topic, p->partition) > 0 &&
                   !consumer_parts_find(&m->cur.pending, &p->topic, p->partition)) {
            x->unreleased = true;
        } else if (wanted) {
            struct consumer_part given = {p->topic, p->partition, s->g->assignment_epoch};
            append(&x->add, given);
            append(&x->merged, given);
        }
        i += c <= 0;
        k += c >= 0;
    }
    return true;
}

static bool next_assignment(struct consumer_step *s, const struct consumer_member *m, int32_t epoch,
                            const struct consumer_holds *holds, struct consumer_current *out)
{
    struct split x = {0};
    if (!divide(s, m, &x))
        return false;
    out->previous_epoch = m->cur.epoch;
    if (x.revoke.n > 0 && holds_any(holds, &x.revoke)) {
        out->state = CONSUMER_UNREVOKED;
        out->epoch = epoch;
        out->assigned = x.keep;
        out->pending = x.revoke;
        return true;
    }
    out->state = x.unreleased ? CONSUMER_UNRELEASED : CONSUMER_STABLE;
    out->epoch = s->g->assignment_epoch;
    out->assigned = x.merged;
    out->pending = (struct consumer_parts){0};
    return true;
}

/* The subscription changed, the target did not yet: what is not wanted any more goes back now. */
static bool update_assignment(struct consumer_step *s, const struct consumer_member *m,
                              const struct consumer_holds *holds, struct consumer_current *out)
{
    const struct consumer_parts *has = &m->cur.assigned, *had = &m->cur.pending;
    struct consumer_parts keep, pending;
    const struct uuid *topic = NULL;
    bool wanted = false;
    if (!room(s, &keep, has->n) || !room(s, &pending, (size_t)has->n + had->n))
        return false;
    keep.n = pending.n = 0;
    for (uint32_t i = 0, k = 0; i < has->n || k < had->n;) {
        int c = i == has->n ? 1 : k == had->n ? -1 : consumer_part_cmp(&has->v[i], &had->v[k]);
        if (c > 0) {
            append(&pending, had->v[k++]);
            continue;
        }
        if (topic == NULL || !uuid_eq(topic, &has->v[i].topic))
            wanted = subscribes(s, m, &has->v[i].topic);
        topic = &has->v[i].topic;
        append(wanted ? &keep : &pending, has->v[i++]);
        k += c == 0 && !wanted; /* the newer epoch stands */
    }
    if (keep.n == has->n)
        return false;
    out->previous_epoch = m->cur.epoch;
    out->assigned = keep;
    if (pending.n > 0 && holds_any(holds, &pending)) {
        out->state = CONSUMER_UNREVOKED;
        out->pending = pending;
    }
    return true;
}

static bool move(struct consumer_step *s, const struct consumer_member *m, bool changed,
                 const struct consumer_holds *holds, struct consumer_current *out)
{
    switch (m->cur.state) {
    case CONSUMER_STABLE:
        if (m->cur.epoch != s->g->assignment_epoch)
            return next_assignment(s, m, m->cur.epoch, holds, out);
        return changed && update_assignment(s, m, holds, out);
    case CONSUMER_UNREVOKED:
        if (!holds_any(holds, &m->cur.pending))
            return next_assignment(s, m, m->cur.epoch, holds, out);
        return changed && update_assignment(s, m, holds, out);
    case CONSUMER_UNRELEASED:
        return next_assignment(s, m, m->cur.epoch, holds, out);
    case CONSUMER_UNKNOWN:
        break;
    }
    return next_assignment(s, m, s->g->assignment_epoch, holds, out);
}

bool consumer_reconcile(struct consumer_step *s, struct consumer_member *m, bool changed,
                        const struct consumer_holds *holds)
{
    struct consumer_current next = m->cur;
    if (s->err < 0 || (!changed && consumer_reconciled(m, s->g->assignment_epoch)) ||
        !move(s, m, changed, holds, &next))
        return false;
    bool moved = !consumer_parts_equal(&next.assigned, &m->cur.assigned);
    if (!moved && next.epoch == m->cur.epoch && next.previous_epoch == m->cur.previous_epoch &&
        next.state == m->cur.state && consumer_parts_equal(&next.pending, &m->cur.pending))
        return false;
    consumer_say_current(s, m->id, &next);
    if (m->meta->classic)
        return moved;
    if (m->cur.state == CONSUMER_UNREVOKED)
        consumer_timer_set(s, m, CONSUMER_TIMER_REBALANCE, m->meta->rebalance_timeout_ms);
    else
        consumer_timer_clear(m, CONSUMER_TIMER_REBALANCE);
    return moved;
}
