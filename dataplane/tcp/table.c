#include "dataplane/tcp/table.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"
#include "base/err.h"

int table_init(struct table *t, uint32_t entries, uint64_t seed,
               const struct tcp_key *(*key_of)(const void *ctx, table_ref ref), const void *ctx)
{
    uint32_t slots = 16;
    while (slots < entries * 2ULL)
        slots *= 2;
    struct table_slot *mem = calloc(slots, sizeof *mem);
    if (mem == NULL)
        return ERR_NO_MEMORY;
    *t = (struct table){mem, slots - 1, 0, seed, key_of, ctx};
    return 0;
}

void table_free(struct table *t)
{
    if (t != NULL)
        free(t->slots);
}

uint32_t table_hash(const struct table *t, const struct tcp_key *key)
{
    return (uint32_t)XXH3_64bits_withSeed(key, sizeof *key, t->seed);
}

/* Word by word: no call, and the ports, which differ most often, first. */
static inline bool same(const struct tcp_key *a, const struct tcp_key *b)
{
    uint64_t x[4], y[4];
    uint32_t p, q;
    memcpy(&p, &a->local_port, 4);
    memcpy(&q, &b->local_port, 4);
    memcpy(x, a, 32);
    memcpy(y, b, 32);
    return p == q && ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/* The slot of the key, or the empty slot where the search ended. */
static uint32_t find(const struct table *t, const struct tcp_key *key, uint32_t hash)
{
    uint32_t i = hash & t->mask;
    for (; t->slots[i].ref != 0; i = (i + 1) & t->mask)
        if (t->slots[i].hash == hash && same(t->key_of(t->ctx, t->slots[i].ref), key))
            break;
    return i;
}

table_ref table_get(const struct table *t, const struct tcp_key *key)
{
    return t->slots[find(t, key, table_hash(t, key))].ref;
}

void table_put(struct table *t, const struct tcp_key *key, table_ref ref)
{
    uint32_t hash = table_hash(t, key);
    uint32_t i = find(t, key, hash);
    CHECK(t->slots[i].ref == 0 && t->count < t->mask);
    t->slots[i] = (struct table_slot){hash, ref};
    t->count++;
}

void table_replace(struct table *t, const struct tcp_key *key, table_ref ref)
{
    uint32_t i = find(t, key, table_hash(t, key));
    CHECK(t->slots[i].ref != 0);
    t->slots[i].ref = ref;
}

/* Closes the gap: entries behind it that may move back do, so that no tombstones are needed. */
void table_remove(struct table *t, const struct tcp_key *key)
{
    uint32_t gap = find(t, key, table_hash(t, key));
    CHECK(t->slots[gap].ref != 0);
    for (uint32_t i = (gap + 1) & t->mask; t->slots[i].ref != 0; i = (i + 1) & t->mask) {
        uint32_t home = t->slots[i].hash & t->mask;
        if (((i - home) & t->mask) >= ((i - gap) & t->mask)) {
            t->slots[gap] = t->slots[i];
            gap = i;
        }
    }
    t->slots[gap] = (struct table_slot){0, 0};
    t->count--;
}
