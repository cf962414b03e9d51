#include "storage/plog/tail.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/limits.h"
#include "storage/plant.h"

/* ERR_NO_MEMORY. */
static int collect(const struct tail_options *o, struct restore_range **out, uint32_t *count)
{
    uint32_t room = 0, n = 0;
    for (uint32_t i = 0; i < o->region_count; i++)
        room += region_count(&o->regions[i]);
    struct restore_range *ranges = calloc((size_t)room + 1, sizeof(*ranges));
    if (ranges == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < o->region_count; i++) {
        const struct region *g = &o->regions[i];
        for (uint32_t k = 0; k < g->chunks && n < room; k++) {
            struct restore_range *x = &ranges[n];
            if (!region_mark_read(&g->marks[k], &x->place))
                continue;
            x->data = g->data + (uint64_t)k * tail_chunk_bytes + x->place.start;
            n++;
        }
    }
    *out = ranges;
    *count = n;
    return 0;
}

int tail_replay(const struct tail_options *o, struct restore_report *report, char *why,
                size_t why_size)
{
    struct restore_range *ranges;
    uint32_t n;
    struct restore_options r = {.fs = o->fs,
                                .source = "named memory",
                                .create = true,
                                .dirs = o->dirs,
                                .dir_count = o->dir_count,
                                .missing = o->missing,
                                .ctx = o->ctx};
    *report = (struct restore_report){0};
    if (PLANT(TAIL_FORGOTTEN))
        return 0;
    int err = collect(o, &ranges, &n);
    if (err) {
        snprintf(why, why_size, "%s", err_text(err));
        return err;
    }
    err = restore_ranges(&r, ranges, n, report, why, why_size);
    free(ranges);
    return err;
}
