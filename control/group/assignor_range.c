#include "control/group/assignor_spec.h"

#include <stdlib.h>

#include "base/err.h"

struct ranked {
    const struct assignor_member *member;
    uint32_t index; /* in the spec */
};

/* What is left to give of one topic. */
struct range {
    uint32_t subscribers;
    uint32_t next;  /* first partition not given */
    uint32_t given; /* members served */
};

static int ranked_cmp(const void *va, const void *vb)
{
    const struct ranked *a = va, *b = vb;
    bool sa = !str_is_null(a->member->instance_id), sb = !str_is_null(b->member->instance_id);
    if (sa && sb)
        return str_cmp(a->member->instance_id, b->member->instance_id);
    if (sa != sb)
        return sa ? -1 : 1;
    return str_cmp(a->member->id, b->member->id);
}

static void give(const struct assignor_topic *topic, struct range *r, uint32_t member,
                 int32_t *owner)
{
    uint32_t quota = topic->partitions / r->subscribers;
    if (r->given < topic->partitions % r->subscribers)
        quota++;
    r->given++;
    for (uint32_t i = 0; i < quota; i++)
        owner[topic->first + r->next++] = (int32_t)member;
}

int assignor_range(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch)
{
    struct ranked *rank = arena_calloc(scratch, spec->member_count, sizeof(*rank));
    struct range *ranges = arena_calloc(scratch, spec->topic_count, sizeof(*ranges));
    if (rank == NULL || ranges == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < spec->partition_count; i++)
        owner[i] = ASSIGNOR_NOBODY;
    for (uint32_t i = 0; i < spec->member_count; i++) {
        rank[i] = (struct ranked){&spec->members[i], i};
        for (uint32_t t = 0; t < spec->members[i].topic_count; t++)
            ranges[spec->members[i].topics[t]].subscribers++;
    }
    qsort(rank, spec->member_count, sizeof(*rank), ranked_cmp);
    for (uint32_t i = 0; i < spec->member_count; i++)
        for (uint32_t t = 0; t < rank[i].member->topic_count; t++) {
            uint32_t topic = rank[i].member->topics[t];
            give(&spec->topics[topic], &ranges[topic], rank[i].index, owner);
        }
    return 0;
}
