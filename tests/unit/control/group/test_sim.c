/*
 * A simulator of classic groups: members that join, lag, die, come back with old generations,
 * static and dynamic, commit offsets; a coordinator whose appends take time and that crashes at
 * any point and loads what the log has. One seed is one run.
 *
 * --seeds N: how many runs (default few), --from S: the first seed.
 *
 * What must hold:
 *   - no partition has two owners in one generation;
 *   - generations go up;
 *   - no call waits longer than the time-outs of the group allow;
 *   - an acked commit is of the generation that was current, and is never lost;
 *   - a coordinator loaded from the log has the state of the live one, from its dump too;
 *   - when the disturbances end, every live member is in a stable group, all partitions are owned.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "tests/unit/control/group/seeds.h"
#include "tests/unit/control/group/sim.h"

static void test_seeds(void)
{
    uint64_t count, first = seeds_first(60, &count);
    struct sim_totals totals = {0};
    uint64_t bad = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *problem = sim_run(seed, &totals);
        if (problem == NULL)
            continue;
        printf("seed %" PRIu64 ": %s\n", seed, problem);
        if (++bad > 10)
            break;
    }
    CU_ASSERT_EQUAL(bad, 0);
    printf("runs %" PRIu64 ", calls %" PRIu64 ", rebalances %" PRIu64 ", commits %" PRIu64
           ", crashes %" PRIu64 ", comparisons %" PRIu64 ", records %" PRIu64 ", digest %016" PRIx64
           "\n",
           totals.runs, totals.calls, totals.rebalances, totals.commits, totals.crashes,
           totals.comparisons, totals.records, totals.digest);
    /* A run in which nothing happened proves nothing. */
    CU_ASSERT_TRUE(totals.rebalances > count && totals.commits > count);
    CU_ASSERT_TRUE(count < 20 || (totals.crashes > 0 && totals.comparisons > 0));
}

SEEDS_MAIN("group simulator", UNIT_CASE(test_seeds))
