#include "base/arena.h"
#include "base/rng.h"
#include "tests/unit/unit.h"

static void limit_is_exact(void)
{
    struct arena a;
    arena_init(&a, 64);
    CU_ASSERT(arena_alloc(&a, 60) != NULL);
    CU_ASSERT(arena_alloc(&a, 1) == NULL);
    arena_reset(&a);
    CU_ASSERT(arena_alloc(&a, 64) != NULL);
    CU_ASSERT(arena_alloc(&a, 0) != NULL);
    CU_ASSERT(arena_calloc(&a, SIZE_MAX / 2, 16) == NULL);
    CU_ASSERT(arena_alloc(&a, SIZE_MAX) == NULL);
    arena_free(&a);
}

static void pieces_do_not_overlap(void)
{
    struct rng rng;
    rng_seed(&rng, unit_seed());
    struct arena a;
    arena_init(&a, 1 << 20);
    for (int round = 0; round < 20; round++) {
        unsigned char *piece[200];
        size_t len[200];
        int n = 0;
        for (; n < 200; n++) {
            len[n] = rng_below(&rng, 9000);
            piece[n] = arena_alloc(&a, len[n]);
            if (!piece[n])
                break;
            CU_ASSERT(((uintptr_t)piece[n] & 7) == 0);
            memset(piece[n], n, len[n]);
        }
        CU_ASSERT_FATAL(n > 100);
        for (int i = 0; i < n; i++)
            for (size_t k = 0; k < len[i]; k++)
                CU_ASSERT_FATAL(piece[i][k] == (unsigned char)i);
        arena_reset(&a);
    }
    arena_free(&a);
    arena_free(NULL);
}

static void fixed_never_leaves_its_buffer(void)
{
    unsigned char buf[129];
    struct arena a;
    arena_init_fixed(&a, buf + 1, 128);
    size_t total = 0;
    unsigned char *p;
    while ((p = arena_alloc(&a, 8)) != NULL) {
        CU_ASSERT(p >= buf + 1 && p + 8 <= buf + 129);
        total += 8;
    }
    CU_ASSERT(total >= 120 && total <= 128);
    arena_reset(&a);
    CU_ASSERT(arena_alloc(&a, 8) != NULL);
    arena_free(&a);
}

static void strings(void)
{
    struct arena a;
    arena_init(&a, 1000);
    struct str s = arena_str(&a, STR("topic"));
    CU_ASSERT(s.len == 5 && strcmp(s.p, "topic") == 0);
    CU_ASSERT(str_is_null(arena_str(&a, STR_NULL)));
    struct str f = arena_printf(&a, "%s-%d", "topic", 3);
    CU_ASSERT(str_eqz(f, "topic-3"));
    CU_ASSERT(str_is_null(arena_printf(&a, "%*d", 2000, 1)));
    arena_free(&a);
}

UNIT_MAIN("arena", UNIT_CASE(limit_is_exact), UNIT_CASE(pieces_do_not_overlap),
          UNIT_CASE(fixed_never_leaves_its_buffer), UNIT_CASE(strings))
