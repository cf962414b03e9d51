/* base: hash tables, the histogram. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hist.h"
#include "base/map.h"
#include "base/rng.h"
#include "bench/micro/micro.h"

#define keys_max  1000
#define key_bytes 32

struct table {
    struct map map;
    char key[2 * keys_max][key_bytes]; /* the second half is not in the map */
    uint32_t len[2 * keys_max];
};

static void table_free(void *ctx)
{
    struct table *t = ctx;
    map_free(&t->map);
    free(t);
}

static void *table_new(void)
{
    struct table *t = malloc(sizeof(*t));
    if (!t || map_init(&t->map, 2 * keys_max, false, 1) != 0) {
        free(t);
        return NULL;
    }
    for (uint32_t i = 0; i < 2 * keys_max; i++) {
        t->len[i] = (uint32_t)snprintf(t->key[i], key_bytes, "topic-of-some-length-%u", i);
        if (i < keys_max && map_put(&t->map, t->key[i], t->len[i], t->key[i], NULL) != 0) {
            table_free(t);
            return NULL;
        }
    }
    return t;
}

static void run_hit(void *ctx, uint32_t n)
{
    const struct table *t = ctx;
    uint64_t found = 0;
    for (uint32_t i = 0; i < n; i++)
        found += map_get(&t->map, t->key[i % keys_max], t->len[i % keys_max]) != NULL;
    micro_keep(found);
}

static void run_miss(void *ctx, uint32_t n)
{
    const struct table *t = ctx;
    uint64_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = keys_max + i % keys_max;
        found += map_get(&t->map, t->key[k], t->len[k]) != NULL;
    }
    micro_keep(found);
}

static void run_put_remove(void *ctx, uint32_t n)
{
    struct table *t = ctx;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t k = keys_max + i % keys_max;
        map_put(&t->map, t->key[k], t->len[k], t->key[k], NULL);
        map_remove(&t->map, t->key[k], t->len[k]);
    }
}

static void *hist_make(void)
{
    struct hist *h = malloc(sizeof(*h));
    if (h)
        hist_init(h);
    return h;
}

static void run_hist(void *ctx, uint32_t n)
{
    uint64_t v = 1;
    for (uint32_t i = 0; i < n; i++) {
        v = v * 6364136223846793005ull + 1442695040888963407ull;
        hist_record(ctx, v >> 40);
    }
}

static const struct micro_case cases[] = {
    {.shim = {.name = "map_get_hit",
              .burst = 1000,
              .setup = table_new,
              .run = run_hit,
              .teardown = table_free}},
    {.shim = {.name = "map_get_miss",
              .burst = 1000,
              .setup = table_new,
              .run = run_miss,
              .teardown = table_free}},
    {.shim = {.name = "map_put_remove",
              .burst = 1000,
              .setup = table_new,
              .run = run_put_remove,
              .teardown = table_free}},
    {.shim = {.name = "hist_record",
              .burst = 4096,
              .setup = hist_make,
              .run = run_hist,
              .teardown = free}},
};
const struct micro_group micro_base = {cases, sizeof(cases) / sizeof(*cases)};
