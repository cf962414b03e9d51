/*
 * heap: counts heap calls of the whole process by standing in front of the C library's own functions (whatever
 * the program defines is taken before the library). Under sanitizers, which do the same, nothing is counted.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "bench/micro/micro.h"

static _Atomic uint64_t calls;

uint64_t heap_calls(void)
{
    return atomic_load_explicit(&calls, memory_order_relaxed);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !defined(__clang__)
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static void count(void)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

void *malloc(size_t n)
{
    count();
    return __libc_malloc(n);
}

void *calloc(size_t times, size_t n)
{
    count();
    return __libc_calloc(times, n);
}

void *realloc(void *p, size_t n)
{
    count();
    return __libc_realloc(p, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
    count();
    void *p = __libc_memalign(align, n);
    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}
#endif
