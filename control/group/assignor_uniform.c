#include "control/group/assignor_spec.h"

#include "base/check.h"
#include "base/err.h"

/*
 * The homogeneous case. Every member may have total / members partitions, and total % members of
 * them one more. The extra ones go to members in order, but a member that does not use its extra
 * one now passes it on while members follow that may: so what they hold need not move.
 */
struct quotas {
    uint32_t minimum;
    uint32_t extra;    /* members that may still get one more */
    uint32_t *missing; /* per member: how many it still gets */
    uint32_t *held;    /* per member: how many it had */
};

/* Keeps what a member had up to its quota: sets quota used; answers what it may keep. */
static uint32_t quota_of(struct quotas *q, uint32_t member, uint32_t members_after)
{
    bool has_extra = q->extra > 0;
    uint32_t quota = q->minimum + (has_extra ? 1 : 0);
    uint32_t keep = q->held[member] < quota ? q->held[member] : quota;
    uint32_t left = quota - keep;
    /* members_after counts those that follow: all of them could still take the extra ones. */
    if (left > 0 && has_extra && members_after + 1 > q->extra) {
        left--;
        has_extra = false;
    }
    if (has_extra)
        q->extra--;
    q->missing[member] = left;
    return keep;
}

static int homogeneous(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch)
{
    struct quotas q = {.minimum = spec->partition_count / spec->member_count,
                       .extra = spec->partition_count % spec->member_count,
                       .missing = arena_calloc(scratch, spec->member_count, sizeof(uint32_t)),
                       .held = arena_calloc(scratch, spec->member_count, sizeof(uint32_t))};
    uint32_t *keep = arena_calloc(scratch, spec->member_count, sizeof(uint32_t));
    if (q.missing == NULL || q.held == NULL || keep == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t p = 0; p < spec->partition_count; p++)
        if (spec->prior[p] != ASSIGNOR_NOBODY)
            q.held[spec->prior[p]]++;
    for (uint32_t m = 0; m < spec->member_count; m++)
        keep[m] = quota_of(&q, m, spec->member_count - m - 1);
    for (uint32_t p = 0; p < spec->partition_count; p++) {
        int32_t had = spec->prior[p];
        owner[p] = ASSIGNOR_NOBODY;
        if (had != ASSIGNOR_NOBODY && keep[had] > 0) {
            keep[had]--;
            owner[p] = had;
        }
    }
    uint32_t m = 0;
    for (uint32_t p = 0; p < spec->partition_count; p++) {
        if (owner[p] != ASSIGNOR_NOBODY)
            continue;
        while (m < spec->member_count && q.missing[m] == 0)
            m++;
        CHECK(m < spec->member_count);
        q.missing[m]--;
        owner[p] = (int32_t)m;
    }
    return 0;
}

/* True if the member subscribes to the topic; its indices are ascending. */
static bool subscribes(const struct assignor_member *m, uint32_t topic)
{
    uint32_t lo = 0, hi = m->topic_count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->topics[mid] < topic)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < m->topic_count && m->topics[lo] == topic;
}

int assignor_uniform(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch)
{
    if (spec->member_count == 0) {
        for (uint32_t p = 0; p < spec->partition_count; p++)
            owner[p] = ASSIGNOR_NOBODY;
        return 0;
    }
    if (spec->homogeneous)
        return homogeneous(spec, owner, scratch);
    for (uint32_t t = 0; t < spec->topic_count; t++)
        for (uint32_t i = 0; i < spec->topics[t].partitions; i++) {
            uint32_t p = spec->topics[t].first + i;
            int32_t had = spec->prior[p];
            bool stays = had != ASSIGNOR_NOBODY && subscribes(&spec->members[had], t);
            owner[p] = stays ? had : ASSIGNOR_NOBODY;
        }
    return assignor_balance(spec, owner, scratch);
}
