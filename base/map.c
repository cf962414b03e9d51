#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* At most 3/4 full: linear probing stays short. */
static size_t map_slots_for(size_t capacity)
{
    size_t slots = 16;
    while (slots - slots / 4 < capacity)
        slots *= 2;
    return slots;
}

static uint64_t map_hash(const struct map *m, const void *key, size_t len)
{
    uint64_t h = XXH3_64bits_withSeed(key, len, m->seed);
    return h ? h : 1;
}

int map_init(struct map *m, size_t capacity, bool grow, uint64_t seed)
{
    size_t n = map_slots_for(capacity < 8 ? 8 : capacity);
    struct map_slot *slots = calloc(n, sizeof(*slots));
    if (!slots)
        return ERR_NO_MEMORY;
    *m =
        (struct map){.slots = slots, .mask = n - 1, .limit = n - n / 4, .seed = seed, .grow = grow};
    if (!grow && capacity >= 8)
        m->limit = capacity;
    return 0;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    free(m->slots);
    *m = (struct map){0};
}

/* The key's slot, or the empty one where it would go. */
static struct map_slot *map_find(const struct map *m, uint64_t hash, const void *key, size_t len)
{
    for (size_t i = hash & m->mask;; i = (i + 1) & m->mask) {
        struct map_slot *s = &m->slots[i];
        if (s->hash == 0)
            return s;
        if (s->hash == hash && s->key_len == len && memcmp(s->key, key, len) == 0)
            return s;
    }
}

void *map_get(const struct map *m, const void *key, size_t key_len)
{
    if (m->count == 0)
        return NULL;
    return map_find(m, map_hash(m, key, key_len), key, key_len)->value;
}

static int map_grow(struct map *m)
{
    size_t n = (m->mask + 1) * 2;
    struct map_slot *old = m->slots;
    struct map_slot *slots = calloc(n, sizeof(*slots));
    if (!slots)
        return ERR_NO_MEMORY;
    size_t old_n = m->mask + 1;
    m->slots = slots;
    m->mask = n - 1;
    m->limit = n - n / 4;
    for (size_t i = 0; i < old_n; i++)
        if (old[i].hash)
            *map_find(m, old[i].hash, old[i].key, old[i].key_len) = old[i];
    free(old);
    return 0;
}

int map_put(struct map *m, const void *key, size_t key_len, void *value, void **old)
{
    CHECK(value != NULL);
    uint64_t hash = map_hash(m, key, key_len);
    struct map_slot *s = map_find(m, hash, key, key_len);
    if (s->hash == 0) {
        if (m->count >= m->limit) {
            if (!m->grow)
                return ERR_FULL;
            int err = map_grow(m);
            if (err)
                return err;
            s = map_find(m, hash, key, key_len);
        }
        m->count++;
    }
    if (old)
        *old = s->value;
    *s = (struct map_slot){hash, key, (uint32_t)key_len, value};
    return 0;
}

/* Backward-shift deletion (Knuth 6.4, algorithm R): no tombstones. */
void *map_remove(struct map *m, const void *key, size_t key_len)
{
    struct map_slot *s = map_find(m, map_hash(m, key, key_len), key, key_len);
    if (s->hash == 0)
        return NULL;
    void *value = s->value;
    size_t hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & m->mask; m->slots[i].hash; i = (i + 1) & m->mask) {
        size_t home = m->slots[i].hash & m->mask;
        if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->count--;
    return value;
}

void *map_next(const struct map *m, size_t *cursor)
{
    while (*cursor <= m->mask) {
        struct map_slot *s = &m->slots[(*cursor)++];
        if (s->hash)
            return s->value;
    }
    return NULL;
}
