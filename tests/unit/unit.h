/*
 * unit: the frame of a unit test program on CUnit.
 *
 * A test file lists its cases with UNIT_CASE and ends in UNIT_MAIN. The seed of every random choice
 * is printed. It is always the same one, so that a change that passed here passes elsewhere, unless
 * SLUICE_TEST_SEED says another; seeds.py tries new ones.
 */
#ifndef TESTS_UNIT_UNIT_H
#define TESTS_UNIT_UNIT_H

#include <CUnit/Basic.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define unit_seed_default 20240229

struct unit_case {
    const char *name;
    void (*run)(void);
};

#define UNIT_CASE(function)                                                                        \
    {                                                                                              \
#function, function                                                                        \
    }

/* The seed of this run, printed once. */
static inline uint64_t unit_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *env = getenv("SLUICE_TEST_SEED");
        seed = env ? strtoull(env, NULL, 0) : unit_seed_default;
        printf("seed: SLUICE_TEST_SEED=%" PRIu64 "\n", seed);
    }
    return seed;
}

static inline int unit_run(const char *suite_name, const struct unit_case *cases, size_t count)
{
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_pSuite suite = CU_add_suite(suite_name, NULL, NULL);
    if (suite == NULL)
        return 1;
    for (size_t i = 0; i < count; i++)
        if (CU_add_test(suite, cases[i].name, cases[i].run) == NULL)
            return 1;
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_ErrorCode code = CU_basic_run_tests();
    unsigned failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
    unsigned run = CU_get_number_of_tests_run();
    CU_cleanup_registry();
    return code != CUE_SUCCESS || failed != 0 || run != count;
}

#define UNIT_MAIN(suite_name, ...)                                                                 \
    int main(void)                                                                                 \
    {                                                                                              \
        static const struct unit_case cases[] = {__VA_ARGS__};                                     \
        return unit_run(suite_name, cases, sizeof(cases) / sizeof(cases[0]));                      \
    }

#endif
