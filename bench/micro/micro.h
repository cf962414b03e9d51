/*
 * micro: the operations that the request path is made of, one by one.
 *
 * Purpose: a table of cases for the micro benchmarks (sluice-micro) and for the test that no fast path takes heap
 * memory. Owner: the calling thread. Memory: setup may take heap, run may not where no_heap says so.
 * Failure: setup returns NULL.
 */
#ifndef BENCH_MICRO_MICRO_H
#define BENCH_MICRO_MICRO_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/shim/shim.h"

struct micro_case {
    struct shim_case shim; /* events is filled in by the program */
    bool heap;             /* it may allocate (none of the fast paths may) */
};

struct micro_group {
    const struct micro_case *cases;
    size_t count;
};

/* One for each file of cases. */
extern const struct micro_group micro_checksum, micro_codec, micro_log, micro_request, micro_base,
    micro_core;

/* All of them, in order; NULL after the last. */
const struct micro_group *micro_groups(size_t i);

/* EAL for the cases that need mbufs; once. false: it does not start, one line on stderr. */
bool micro_up(void);

/* Calls of malloc, calloc, realloc and posix_memalign in this process so far (see heap.c). */
uint64_t heap_calls(void);

/* Keeps the compiler from dropping what computed it. */
static inline void micro_keep(uint64_t v)
{
    __asm__ volatile("" : : "r"(v) : "memory");
}

#endif
