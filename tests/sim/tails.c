/* Named log memory: what the broker before left is put into the files, and the shards get new. */
#include "base/check.h"
#include "storage/plog/tail.h"
#include "tests/sim/sim.h"

static const struct uuid dir_id = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static int tails_replay(struct world *w, const struct region *left, uint32_t n)
{
    const char *dirs[] = {sim_dir};
    struct restore_report report;
    char why[512] = "";
    struct tail_options o = {
        .fs = &w->disk.fs,
        .regions = left,
        .region_count = n,
        .dirs = dirs,
        .dir_count = w->clean ? 0 : 1,
        .missing = world_missing,
        .ctx = w,
    };
    int err = tail_replay(&o, &report, why, sizeof(why));
    if (err == 0)
        MUST(w, report.refused == 0, "named memory is refused: %s", why);
    sim_trace(w, "named memory: %u ranges, %d bytes, %u dropped", report.ranges, (int)report.bytes,
              report.dropped);
    return err;
}

static int tails_make(struct world *w)
{
    int err = 0;
    for (uint32_t i = 0; i < w->shard_count && err == 0; i++) {
        err = region_make(&w->regions[i], &w->disk.fs, &dir_id, i, w->shard_count,
                          cache_size(w->shards[i].cache));
        if (err == 0)
            w->region_count++;
    }
    for (uint32_t i = 0; i < w->shard_count && err == 0; i++)
        cache_use_region(w->shards[i].cache, &w->regions[i]);
    return err;
}

int tails_begin(struct world *w)
{
    struct region left[sim_shards_max];
    uint32_t n = 0;
    int err = 0;
    char why[512];
    for (uint32_t i = 0; i < sim_shards_max && err == 0; i++) {
        err = region_open(&left[n], &w->disk.fs, &dir_id, i, why, sizeof(why));
        n += err == 0;
        if (err == ERR_NOT_FOUND)
            err = 0;
    }
    if (err == 0 && n > 0)
        err = tails_replay(w, left, n);
    while (n > 0) {
        n--;
        if (err == 0)
            err = region_remove(&left[n]);
        else
            region_close(&left[n]);
    }
    if (err == 0 && w->o.named)
        err = tails_make(w);
    return err;
}

/* The shards are gone. What is in no file stays for the next start. */
void tails_end(struct world *w, bool clean)
{
    uint32_t left = 0;
    for (uint32_t i = 0; i < w->region_count; i++)
        left += region_count(&w->regions[i]);
    MUST(w, !clean || left == 0, "%u pieces are left in named memory after a clean stop", left);
    while (w->region_count > 0) {
        struct region *r = &w->regions[--w->region_count];
        if (left == 0)
            region_remove(r);
        region_close(r);
    }
}
