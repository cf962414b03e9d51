/* conformance: the tests that every transport passes, in every kind of world. */
#ifndef TESTS_UNIT_DATAPLANE_TRANSPORT_CONFORMANCE_H
#define TESTS_UNIT_DATAPLANE_TRANSPORT_CONFORMANCE_H

#include "tests/unit/dataplane/transport/world.h"

#define CONFORMANCE_TESTS(X, world)                                                                \
    X(world, accepts)                                                                              \
    X(world, refuses)                                                                              \
    X(world, echoes)                                                                               \
    X(world, keeps_want)                                                                           \
    X(world, lowers_want)                                                                          \
    X(world, slow_reader)                                                                          \
    X(world, ended)                                                                                \
    X(world, half_close)                                                                           \
    X(world, peer_resets)                                                                          \
    X(world, peer_closes_while_paused)                                                             \
    X(world, ends_over_unwanted_bytes)                                                             \
    X(world, closes_orderly)                                                                       \
    X(world, aborts)                                                                               \
    X(world, lingers)                                                                              \
    X(world, lingers_for_progress)                                                                 \
    X(world, drops_what_comes_after_close)                                                         \
    X(world, one_byte_segments)                                                                    \
    X(world, many_half_sent)                                                                       \
    X(world, pool_runs_out)                                                                        \
    X(world, one_more_than_conn_max)                                                               \
    X(world, churn)                                                                                \
    X(world, random_ends)                                                                          \
    X(world, active_open)                                                                          \
    X(world, freed_while_busy)

#define CONFORMANCE_DECLARE(world, test) void conformance_##test(const struct world_kind *kind);
CONFORMANCE_TESTS(CONFORMANCE_DECLARE, all)

/* One function per world and test, and its line in the list of cases. */
#define CONFORMANCE_DEFINE(world, test)                                                            \
    static void world##_##test(void)                                                               \
    {                                                                                              \
        conformance_##test(&world);                                                                \
    }
#define CONFORMANCE_CASE(world, test) {#world " " #test, world##_##test},

#endif
