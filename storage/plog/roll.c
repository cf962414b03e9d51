/* New segments. */
#include <stdlib.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"

/* Kafka's LogSegment.shouldRoll. An empty segment stays: the next one would have its name. */
bool plog_roll_needed(const struct plog *p, uint32_t bytes, int64_t max_timestamp,
                      int64_t last_offset)
{
    const struct segment *s = plog_active(p);
    const struct plog_config *c = &p->config;
    int64_t segment_bytes =
        c->segment_bytes < segment_bytes_max ? c->segment_bytes : segment_bytes_max;
    if (s->size == 0)
        return false;
    if ((int64_t)s->size > segment_bytes - (int64_t)bytes)
        return true;
    /* the room for chunks was measured when the segment began */
    if ((uint64_t)s->size + bytes > (uint64_t)s->chunk_slots * tail_chunk_bytes)
        return true;
    if (offset_index_full(&s->offsets) || time_index_full(&s->times))
        return true;
    if (last_offset - s->base > INT32_MAX)
        return true;
    if (s->first_timestamp < 0)
        return *p->env->wall_ms - s->created_ms > c->segment_ms;
    /* what the header says, which may be anything: no difference that overflows */
    return max_timestamp > s->first_timestamp && max_timestamp - s->first_timestamp > c->segment_ms;
}

int plog_roll(struct plog *p)
{
    struct segment *old = plog_active(p), *s;
    CHECK(old->size > 0);
    if (p->rolls_pending >= plog_rolls_pending_max)
        return ERR_FULL;
    size_t n = producers_snapshot_bytes(&p->producers);
    uint8_t *snapshot = malloc(n);
    if (snapshot == NULL)
        return ERR_NO_MEMORY;
    int err = segment_new(&s, p, p->end, (uint64_t)p->config.segment_bytes);
    if (err) {
        free(snapshot);
        return err;
    }
    err = segment_index_room(s, (uint64_t)p->config.segment_index_bytes);
    if (err == 0)
        err = plog_add_segment(p, s);
    if (err) {
        free(snapshot);
        segment_free(s);
        return err;
    }
    producers_snapshot(&p->producers, snapshot);
    old->snapshot = snapshot;
    old->snapshot_bytes = n;
    p->snapshot_offset = p->end;
    segment_end_times(old);
    old->modified_ms = *p->env->wall_ms;
    s->created_ms = s->modified_ms = *p->env->wall_ms;
    p->rolls_pending++;
    segment_create(s);
    if (old->written == old->size)
        segment_seal(old);
    return 0;
}
