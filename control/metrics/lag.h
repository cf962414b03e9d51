/*
 * lag: how far consumer groups are behind, as the control thread saw it last.
 *
 * Purpose: the one set of figures that nobody counts as it happens: the owner of the groups works it out
 * every few seconds, part by part, and leaves it here for the renderer.
 * Owner: none; a mutex guards it, held for a pointer's exchange or while it is written out.
 * Memory: malloc; at most lag_samples_max samples in all. Failure: metrics_lag_set, ERR_FULL: these
 * samples are dropped and counted.
 */
#ifndef CONTROL_METRICS_LAG_H
#define CONTROL_METRICS_LAG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define lag_samples_max     4000
#define lag_name_bytes_max  255 /* of a group; longer names are left out */
#define lag_label_bytes_max 1100
#define lag_parts_max       10000

struct text;

/* Of one group and topic: all partitions that the group has committed an offset for. */
struct lag_sample {
    char labels[lag_label_bytes_max]; /* group="...",topic="..." */
    int64_t records;
};

struct metrics_lag {
    pthread_mutex_t lock;
    struct lag_part {
        struct lag_sample *samples; /* malloc'd */
        uint32_t count;
    } * parts;
    uint32_t part_count, total;
    uint64_t dropped;
};

int metrics_lag_init(struct metrics_lag *l);
void metrics_lag_fini(struct metrics_lag *l);

/*
 * Replaces a part's samples; the array (malloc'd, may be NULL) is taken over in any case. ERR_FULL,
 * ERR_INVALID: no such part; ERR_NO_MEMORY; the part is empty then.
 */
int metrics_lag_set(struct metrics_lag *l, uint32_t part, struct lag_sample *samples,
                    uint32_t count);

/* Fills in the labels, escaped. False: the group's name is too long. */
bool lag_sample_init(struct lag_sample *s, struct str group, struct str topic);

void metrics_lag_write(struct metrics_lag *l, struct text *t);

#endif
