/*
 * shim: Google Benchmark behind a C interface; its implementation is the only C++ file of the project.
 *
 * Purpose: registers cases and runs them, with cycles and counted events for each operation beside the times.
 * Owner: the main thread of sluice-micro. Memory: the library's. Failure: shim_run returns an exit status.
 */
#ifndef BENCH_SHIM_SHIM_H
#define BENCH_SHIM_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What only a case that was set up knows. */
struct shim_note {
    uint64_t bytes;    /* that one operation works on; as it was: what the case says */
    const char *label; /* stands beside the name; lives as long as the case. NULL: none */
};

/* One case. All functions are called on the main thread, ctx is what setup returned. */
struct shim_case {
    const char *name;
    uint32_t burst;       /* operations of one run */
    uint64_t bytes;       /* that one operation works on; 0: no rate */
    void *(*setup)(void); /* NULL result: the case is reported as failed */
    void (*run)(void *ctx, uint32_t n);
    void (*settle)(void *ctx); /* after each run, not timed; may be NULL */
    void (*teardown)(void *ctx);
    void (*describe)(const void *ctx, struct shim_note *note); /* may be NULL */
    uint64_t (*events)(void); /* a counter, read around each run; reported as "allocs" */
};

/* The case outlives shim_run. */
void shim_add(const struct shim_case *c);

/* Parses the library's own options (--benchmark_filter, --benchmark_format, ...) and runs. */
int shim_run(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
