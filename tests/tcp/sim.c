/*
 * sim: runs scenarios of the network simulator from consecutive seeds.
 *
 *   sim [first [count]]     SLUICE_TEST_SEED gives the first seed when no argument does
 *   sim -t seed             one seed, each segment printed
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/tcp/scenario.h"
#include "tests/unit/core/with_eal.h"

static volatile uint64_t running;

static void on_abort(int sig)
{
    char text[64];
    int n = snprintf(text, sizeof text, "failing seed: %" PRIu64 "\n", running);
    if (write(STDERR_FILENO, text, (size_t)n) != n || sig == SIGALRM)
        _exit(1);
}

int main(int argc, char **argv)
{
    static struct world w;
    static struct world_pools pools;
    bool trace = argc == 3 && strcmp(argv[1], "-t") == 0;
    uint64_t first = argc > 1 ? strtoull(argv[trace ? 2 : 1], NULL, 0) : unit_seed();
    uint64_t count = trace ? 1 : argc > 2 ? strtoull(argv[2], NULL, 0) : 100;
    with_eal(256);
    world_pools_make(&pools, 16383);
    signal(SIGABRT, on_abort);
    signal(SIGALRM, on_abort);
    double virtual_s = 0;
    uint64_t packets = 0, steps = 0;
    for (uint64_t i = 0; i < count; i++) {
        running = first + i;
        alarm(60); /* a run that hangs in one step */
        virtual_s += (double)scenario_run(&w, &pools, running, trace) / 1e9;
        packets += w.net.sent;
        steps += w.steps;
    }
    printf("sim: seeds %" PRIu64 " to %" PRIu64 " passed, %" PRIu64 " packets, %" PRIu64
           " steps, %.0f s of virtual time\n",
           first, first + count - 1, packets, steps, virtual_s);
    return 0;
}
