/*
 * micro: every operation of the micro benchmarks runs, and none of the fast paths takes heap memory. No time is
 * asserted.
 */
#include <stdlib.h>

#include "bench/micro/micro.h"
#include "tests/unit/unit.h"

static bool counting;

static void run_case(const struct micro_case *c)
{
    void *ctx = c->shim.setup();
    CU_ASSERT_PTR_NOT_NULL_FATAL(ctx);
    struct shim_note note = {0};
    if (c->shim.describe) {
        c->shim.describe(ctx, &note);
        CU_ASSERT(note.bytes > 0 || note.label != NULL);
    }
    uint64_t before = 0, after = 0;
    for (int i = 0; i < 4; i++) { /* the last one counts: pools and tables are warm */
        before = heap_calls();
        c->shim.run(ctx, c->shim.burst);
        after = heap_calls();
        if (c->shim.settle)
            c->shim.settle(ctx);
    }
    if (counting && !c->heap && after != before)
        printf("\n%s: %llu heap calls in %u operations\n", c->shim.name,
               (unsigned long long)(after - before), c->shim.burst);
    CU_ASSERT(c->heap || after == before);
    c->shim.teardown(ctx);
}

static void run_group(size_t g)
{
    const struct micro_group *group = micro_groups(g);
    CU_ASSERT_PTR_NOT_NULL_FATAL(group);
    for (size_t i = 0; i < group->count; i++)
        run_case(&group->cases[i]);
}

static void test_checksum(void)
{
    run_group(0);
}

static void test_codec(void)
{
    run_group(1);
}

static void test_log(void)
{
    run_group(2);
}

static void test_request(void)
{
    run_group(3);
}

static void test_base(void)
{
    run_group(4);
}

static void test_core(void)
{
    run_group(5);
}

/* What counts is really in front of the C library (not in builds with sanitizers). */
static void test_counter_counts(void)
{
    CU_ASSERT_PTR_NULL(micro_groups(6));
    uint64_t before = heap_calls();
    void *volatile p = malloc(1);
    counting = heap_calls() > before;
    free(p);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
    CU_ASSERT(counting);
#endif
}

int main(void)
{
    static const struct unit_case cases[] = {UNIT_CASE(test_counter_counts),
                                             UNIT_CASE(test_checksum),
                                             UNIT_CASE(test_codec),
                                             UNIT_CASE(test_log),
                                             UNIT_CASE(test_request),
                                             UNIT_CASE(test_base),
                                             UNIT_CASE(test_core)};
    if (!micro_up())
        return 1;
    return unit_run("bench/micro", cases, sizeof(cases) / sizeof(*cases));
}
