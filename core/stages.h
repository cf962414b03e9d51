/*
 * stages: stage clocks. Where do a request's microseconds go?
 *
 * Purpose: each request carries stamps taken from its shard's clock; when its reply has left they
 * are turned into per-stage durations and recorded in the shard's histograms. They never feed a
 * decision. Owner: the shard; another thread may read the histograms (see base/hist.h).
 * Memory: fixed. Never fails.
 */
#ifndef CORE_STAGES_H
#define CORE_STAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

enum stamp {
    STAMP_RECEIVED,
    STAMP_PARSED,
    STAMP_APPENDED,
    STAMP_DURABLE,
    STAMP_REPLIED,
    STAMP_SENT,
    STAMP_COUNT
};
enum stage_class { STAGE_CLASS_PRODUCE, STAGE_CLASS_FETCH, STAGE_CLASS_OTHER, STAGE_CLASS_COUNT };

/* Monotonic ns; 0: the request did not pass this point. */
struct stamps {
    int64_t at[STAMP_COUNT];
};

struct stage_clocks {
    /* [class][i]: ns from the stamp before to stamp i; [class][0]: from the first to the last */
    struct hist gap[STAGE_CLASS_COUNT][STAMP_COUNT];
};

void stage_clocks_init(struct stage_clocks *c);

/* Points that the request did not pass are left out; a request without stamps is not counted. */
void stage_clocks_record(struct stage_clocks *c, enum stage_class cls, const struct stamps *s);

/* False: no request of this class passes that point. STAMP_RECEIVED stands for the total. */
bool stage_class_passes(enum stage_class cls, enum stamp stamp);

/* Static text, for export; "?" for no such value. */
const char *stamp_name(enum stamp stamp);
const char *stage_class_name(enum stage_class cls);

#endif
