#include "base/err.h"
#include "base/map.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

#include <string.h>

#define KEYS 500

struct item {
    char key[16];
    size_t len;
    bool in;
};

static void against_a_plain_array(void)
{
    static struct item items[KEYS];
    struct rng rng;
    rng_seed(&rng, unit_seed());
    struct map m;
    CU_ASSERT_FATAL(map_init(&m, 8, true, rng_u64(&rng)) == 0);
    for (int i = 0; i < KEYS; i++)
        items[i].len = (size_t)snprintf(items[i].key, sizeof(items[i].key), "key-%d", i);
    size_t count = 0;
    for (int step = 0; step < 200000; step++) {
        struct item *it = &items[rng_below(&rng, KEYS)];
        void *old = NULL;
        if (rng_below(&rng, 2)) {
            CU_ASSERT_FATAL(map_put(&m, it->key, it->len, it, &old) == 0);
            CU_ASSERT_FATAL(old == (it->in ? it : NULL));
            count += !it->in;
            it->in = true;
        } else {
            CU_ASSERT_FATAL(map_remove(&m, it->key, it->len) == (it->in ? it : NULL));
            count -= it->in;
            it->in = false;
        }
        struct item *other = &items[rng_below(&rng, KEYS)];
        CU_ASSERT_FATAL(map_get(&m, other->key, other->len) == (other->in ? other : NULL));
        CU_ASSERT_FATAL(m.count == count);
    }
    size_t cursor = 0, seen = 0;
    for (struct item *it; (it = map_next(&m, &cursor)) != NULL; seen++)
        CU_ASSERT_FATAL(it->in);
    CU_ASSERT(seen == count);
    map_free(&m);
    map_free(NULL);
}

static void fixed_capacity(void)
{
    struct map m;
    char key[20][4];
    CU_ASSERT_FATAL(map_init(&m, 10, false, 1) == 0);
    for (int i = 0; i < 20; i++) {
        snprintf(key[i], sizeof(key[i]), "%d", i);
        CU_ASSERT(map_put(&m, key[i], strlen(key[i]), key[i], NULL) == (i < 10 ? 0 : ERR_FULL));
    }
    CU_ASSERT(m.count == 10 && map_get(&m, "15", 2) == NULL);
    CU_ASSERT(map_put(&m, key[3], 1, key[3], NULL) == 0);
    map_free(&m);
}

UNIT_MAIN("map", UNIT_CASE(against_a_plain_array), UNIT_CASE(fixed_capacity))
