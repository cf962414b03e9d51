/*
 * map: a flat hash map (open addressing, linear probing, XXH3) from byte keys to pointers.
 *
 * Purpose: look-ups by name or id on shards and in the control thread.
 * Owner: one thread. Memory: the table is malloc'd; keys are NOT copied, they live in the values
 * (a name inside the struct that is stored) and outlive their entry. With a capacity given and
 * `grow` false, nothing is allocated after map_init. Failure: map_put answers ERR_FULL or
 * ERR_NO_MEMORY and changes nothing. The seed makes hash flooding useless to clients.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_slot {
    uint64_t hash; /* 0: empty */
    const void *key;
    uint32_t key_len;
    void *value;
};

struct map {
    struct map_slot *slots;
    size_t mask;  /* slots - 1, slots a power of two */
    size_t count; /* entries */
    size_t limit; /* entries at most before growing (or ERR_FULL) */
    uint64_t seed;
    bool grow;
};

/* Room for `capacity` entries (at least 8). ERR_NO_MEMORY. */
int map_init(struct map *m, size_t capacity, bool grow, uint64_t seed);
void map_free(struct map *m);

void *map_get(const struct map *m, const void *key, size_t key_len);

/* Adds or replaces; *old (may be NULL) gets the value replaced or NULL. */
int map_put(struct map *m, const void *key, size_t key_len, void *value, void **old);

/* Removes and returns the value; NULL if there was none. */
void *map_remove(struct map *m, const void *key, size_t key_len);

/* Iteration in no promised order: start with *cursor = 0 until NULL. No changes meanwhile. */
void *map_next(const struct map *m, size_t *cursor);

#endif
