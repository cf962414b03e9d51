/* log: a partition's log on the machine's disk, the shard's part of it alone: batches in, ranges out, look-ups. */
#include <stdlib.h>

#include "bench/micro/micro.h"
#include "bench/micro/rig.h"
#include "storage/plog/index.h"

#define read_bytes    (1u << 20)
#define index_entries 4096

/* ---- append ---- */

static void run_append(void *ctx, uint32_t n)
{
    rig_append(ctx, n);
}

static void settle_append(void *ctx)
{
    rig_settle(ctx);
}

static void *setup_one(void)
{
    return rig_new(1, false);
}

static void *setup_many(void)
{
    return rig_new(150, false);
}

static void describe_append(const void *ctx, struct shim_note *note)
{
    note->bytes = ((const struct rig *)ctx)->batch.bytes;
}

/* ---- read ---- */

static void on_read(struct plog_read *r)
{
}

static void run_read(void *ctx, uint32_t n)
{
    struct rig *rig = ctx;
    for (uint32_t i = 0; i < n; i++) {
        struct plog_read r = {
            .offset = 0, .max_bytes = read_bytes, .min_one = true, .done = on_read};
        chain_init(&r.data);
        plog_read(rig->plog, &r);
        if (r.error || r.data.bytes == 0)
            abort(); /* all of it is in memory */
        chain_free(&r.data);
    }
}

static void *setup_read(void)
{
    struct rig *r = setup_many();
    for (uint32_t i = 0; r && i < 2; i++) {
        rig_append(r, rig_appends_max);
        rig_settle(r);
    }
    return r;
}

/* ---- index ---- */

static void index_free(void *ctx)
{
    struct index *x = ctx;
    free(x->map);
    free(x);
}

static void *setup_index(void)
{
    struct index *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    x->max = index_entries;
    x->map = calloc(index_entries, offset_index_entry_bytes);
    if (!x->map) {
        index_free(x);
        return NULL;
    }
    for (uint32_t i = 1; i <= index_entries; i++)
        offset_index_add(x, i * 37, i * 4200);
    return x;
}

static void run_index(void *ctx, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += offset_index_lookup(ctx, i * 2654435761u % (index_entries * 37));
    micro_keep(sum);
}

#define APPEND(title, make)                                                                        \
    {                                                                                              \
        .shim = {                                                                                  \
            .name = title,                                                                         \
            .burst = rig_appends_max,                                                              \
            .setup = make,                                                                         \
            .run = run_append,                                                                     \
            .settle = settle_append,                                                               \
            .teardown = rig_free,                                                                  \
            .describe = describe_append                                                            \
        }                                                                                          \
    }

static const struct micro_case cases[] = {
    APPEND("log_append/1", setup_one),
    APPEND("log_append/150", setup_many),
    {.shim = {.name = "log_read/1M",
              .burst = 16,
              .bytes = read_bytes,
              .setup = setup_read,
              .run = run_read,
              .teardown = rig_free}},
    {.shim = {.name = "index_lookup",
              .burst = 1024,
              .setup = setup_index,
              .run = run_index,
              .teardown = index_free}},
};
const struct micro_group micro_log = {cases, sizeof(cases) / sizeof(*cases)};
