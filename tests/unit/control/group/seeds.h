/*
 * seeds: which seeds a simulator runs: --seeds N --from S, or SLUICE_SEEDS and SLUICE_SEED_FIRST, or a
 * few of this minute.
 */
#ifndef TESTS_UNIT_CONTROL_GROUP_SEEDS_H
#define TESTS_UNIT_CONTROL_GROUP_SEEDS_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

/* Puts the arguments where the tests look; false after a word about wrong ones. */
static inline bool seeds_arguments(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = strcmp(argv[i], "--seeds") == 0  ? "SLUICE_SEEDS"
                           : strcmp(argv[i], "--from") == 0 ? "SLUICE_SEED_FIRST"
                                                            : NULL;
        if (name == NULL || i + 1 == argc || argv[i + 1][strspn(argv[i + 1], "0123456789")]) {
            fprintf(stderr, "usage: %s [--seeds N] [--from S]\n", argv[0]);
            return false;
        }
        setenv(name, argv[i + 1], 1);
    }
    return true;
}

/* The first seed and how many; told on stdout. */
static inline uint64_t seeds_first(uint64_t usual_count, uint64_t *count)
{
    const char *n = getenv("SLUICE_SEEDS"), *from = getenv("SLUICE_SEED_FIRST");
    uint64_t first = from ? strtoull(from, NULL, 0) : n ? 0 : unit_seed() % 1000000;
    *count = n ? strtoull(n, NULL, 0) : usual_count;
    printf("seeds: --from %" PRIu64 " --seeds %" PRIu64 "\n", first, *count);
    return first;
}

#define SEEDS_MAIN(suite_name, ...)                                                                \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        static const struct unit_case cases[] = {__VA_ARGS__};                                     \
        if (!seeds_arguments(argc, argv))                                                          \
            return 2;                                                                              \
        return unit_run(suite_name, cases, sizeof(cases) / sizeof(cases[0]));                      \
    }

#endif
