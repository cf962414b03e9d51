#include "base/clock.h"
#include "base/err.h"
#include "control/group/consumer_step.h"

/* Deadlines stand on the members; g->deadline_ns is a lower bound of them all. */

void consumer_timer_set(struct consumer_step *s, struct consumer_member *m, enum consumer_timer t,
                        int64_t ms)
{
    int64_t at = s->now.mono_ns + (ms > 0 ? ms : 0) * CLOCK_NS_PER_MS;
    m->deadline_ns[t] = at;
    if (t == CONSUMER_TIMER_REBALANCE)
        m->rebalance_epoch = m->cur.epoch;
    if (at < s->g->deadline_ns)
        s->g->deadline_ns = at;
}

void consumer_timer_clear(struct consumer_member *m, enum consumer_timer t)
{
    m->deadline_ns[t] = INT64_MAX;
}

void consumer_timers_start(struct consumer_step *s)
{
    size_t at = 0;
    for (struct consumer_member *m; (m = map_next(&s->g->members, &at)) != NULL;) {
        consumer_timer_set(s, m, CONSUMER_TIMER_SESSION, s->settings->consumer_session_timeout_ms);
        if (m->cur.state == CONSUMER_UNREVOKED)
            consumer_timer_set(s, m, CONSUMER_TIMER_REBALANCE, m->meta->rebalance_timeout_ms);
    }
}

uint32_t consumer_timers_due(struct consumer_step *s, struct str **ids)
{
    uint32_t due = 0, n = consumer_members(s->g);
    struct consumer_member **v = consumer_sorted(s);
    struct str *out = arena_calloc(s->scratch, n + 1, sizeof(*out));
    s->g->deadline_ns = INT64_MAX;
    if (v == NULL || out == NULL) {
        s->err = ERR_NO_MEMORY;
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        bool over = false;
        for (int t = 0; t < CONSUMER_TIMERS; t++) {
            int64_t *deadline = &v[i]->deadline_ns[t];
            if (*deadline <= s->now.mono_ns) {
                /* A member that left the epoch it was to leave is not slow. */
                over |= t != CONSUMER_TIMER_REBALANCE || v[i]->rebalance_epoch == v[i]->cur.epoch;
                *deadline = INT64_MAX;
            } else if (*deadline < s->g->deadline_ns) {
                s->g->deadline_ns = *deadline;
            }
        }
        if (over)
            out[due++] = arena_str(s->scratch, v[i]->id);
    }
    *ids = out;
    return due;
}
