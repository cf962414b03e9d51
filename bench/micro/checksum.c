/* checksum: CRC32C, the copy that computes it, and the loop that all others are compared with. */
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/rng.h"
#include "bench/micro/micro.h"

#define buffer_bytes      (1u << 20)
#define calibration_steps 1000

struct buffers {
    uint32_t n;
    uint8_t *from, *to;
};

static void *buffers(uint32_t n)
{
    struct buffers *b = malloc(sizeof(*b));
    uint8_t *mem = malloc(2 * (size_t)buffer_bytes);
    struct rng rng;
    if (!b || !mem) {
        free(b);
        free(mem);
        return NULL;
    }
    rng_seed(&rng, n);
    rng_fill(&rng, mem, 2 * (size_t)buffer_bytes);
    *b = (struct buffers){n, mem, mem + buffer_bytes};
    return b;
}

static void buffers_free(void *ctx)
{
    struct buffers *b = ctx;
    free(b->from);
    free(b);
}

static void run_crc(void *ctx, uint32_t n)
{
    const struct buffers *b = ctx;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < n; i++)
        crc = crc32c(crc, b->from, b->n);
    micro_keep(crc);
}

static void run_copy(void *ctx, uint32_t n)
{
    const struct buffers *b = ctx;
    uint32_t crc = 0;
    for (uint32_t i = 0; i < n; i++)
        crc = crc32c_copy(crc, b->to, b->from, b->n);
    micro_keep(crc);
}

static void run_memcpy(void *ctx, uint32_t n)
{
    const struct buffers *b = ctx;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(b->to, b->from, b->n);
        micro_keep(b->to[i % b->n]);
    }
}

/* A chain of multiplications and shifts that no machine does side by side: what a cycle is worth here. */
static void run_calibration(void *ctx, uint32_t n)
{
    uint64_t v = 88172645463325252ull;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < calibration_steps; k++) {
            v ^= v >> 12;
            v *= 2685821657736338717ull;
        }
    micro_keep(v);
}

#define SETUP(bytes)                                                                               \
    static void *setup_##bytes(void)                                                               \
    {                                                                                              \
        return buffers(bytes);                                                                     \
    }
SETUP(64)
SETUP(1024)
SETUP(16384)
SETUP(65536)
SETUP(1048576)

#define CASE(title, fn, size, ops)                                                                 \
    {                                                                                              \
        .shim = {                                                                                  \
            .name = title "/" #size,                                                               \
            .burst = ops,                                                                          \
            .bytes = size,                                                                         \
            .setup = setup_##size,                                                                 \
            .run = fn,                                                                             \
            .teardown = buffers_free                                                               \
        }                                                                                          \
    }
#define SIZES(title, fn)                                                                           \
    CASE(title, fn, 64, 4096), CASE(title, fn, 1024, 1024), CASE(title, fn, 16384, 64),            \
        CASE(title, fn, 65536, 16), CASE(title, fn, 1048576, 2)

static const struct micro_case cases[] = {
    {.shim = {.name = "calibration",
              .burst = 16,
              .setup = setup_64,
              .run = run_calibration,
              .teardown = buffers_free}},
    SIZES("crc32c", run_crc),
    SIZES("crc32c_copy", run_copy),
    SIZES("memcpy", run_memcpy),
};
const struct micro_group micro_checksum = {cases, sizeof(cases) / sizeof(*cases)};
