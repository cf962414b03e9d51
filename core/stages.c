#include "core/stages.h"

static const char *const stamp_names[STAMP_COUNT] = {
    [STAMP_RECEIVED] = "received", [STAMP_PARSED] = "parsed",   [STAMP_APPENDED] = "appended",
    [STAMP_DURABLE] = "durable",   [STAMP_REPLIED] = "replied", [STAMP_SENT] = "sent",
};

static const char *const class_names[STAGE_CLASS_COUNT] = {
    [STAGE_CLASS_PRODUCE] = "produce",
    [STAGE_CLASS_FETCH] = "fetch",
    [STAGE_CLASS_OTHER] = "other",
};

void stage_clocks_init(struct stage_clocks *c)
{
    for (int cls = 0; cls < STAGE_CLASS_COUNT; cls++)
        for (int i = 0; i < STAMP_COUNT; i++)
            hist_init(&c->gap[cls][i]);
}

/* A stamp before its predecessor (taken on another shard's clock reading) counts as no time. */
static uint64_t gap_ns(int64_t from, int64_t to)
{
    return to > from ? (uint64_t)(to - from) : 0;
}

void stage_clocks_record(struct stage_clocks *c, enum stage_class cls, const struct stamps *s)
{
    int64_t first = 0, last = 0;
    for (int i = 0; i < STAMP_COUNT; i++) {
        int64_t at = s->at[i];
        if (at == 0)
            continue;
        if (first == 0)
            first = at;
        else
            hist_record(&c->gap[cls][i], gap_ns(last, at));
        last = at;
    }
    if (first != 0)
        hist_record(&c->gap[cls][STAMP_RECEIVED], gap_ns(first, last));
}

bool stage_class_passes(enum stage_class cls, enum stamp stamp)
{
    return cls == STAGE_CLASS_PRODUCE || (stamp != STAMP_APPENDED && stamp != STAMP_DURABLE);
}

const char *stamp_name(enum stamp stamp)
{
    return (unsigned)stamp < STAMP_COUNT ? stamp_names[stamp] : "?";
}

const char *stage_class_name(enum stage_class cls)
{
    return (unsigned)cls < STAGE_CLASS_COUNT ? class_names[cls] : "?";
}
