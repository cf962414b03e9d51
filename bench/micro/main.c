/* sluice-micro: the micro benchmarks. Options are Google Benchmark's: --benchmark_filter=..., --benchmark_format=json */
#include <stdlib.h>

#include "bench/micro/micro.h"

int main(int argc, char **argv)
{
    if (!micro_up())
        return 1;
    for (size_t g = 0; micro_groups(g); g++)
        for (size_t i = 0; i < micro_groups(g)->count; i++) {
            struct shim_case *c = malloc(sizeof(*c));
            if (!c)
                return 1;
            *c = micro_groups(g)->cases[i].shim;
            c->events = heap_calls;
            shim_add(c); /* lives as long as the program */
        }
    return shim_run(argc, argv);
}
