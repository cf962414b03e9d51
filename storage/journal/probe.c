/* Durable writes, small and large, timed. */
#include "storage/journal/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "storage/journal/format.h"

struct probe {
    struct fs *fs;
    struct io_file *file;
    struct clock *clock;
    int64_t until_ns;
    const void *zeros;
};

static int time_order(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The median of at most `most` writes, at least of one. */
static int timed(const struct probe *p, uint64_t at, size_t bytes, uint32_t most, int64_t *median)
{
    int64_t took[probe_small_writes];
    uint32_t n = 0;
    while (n < most) {
        int64_t from = clock_mono_ns(p->clock);
        if (n > 0 && from > p->until_ns)
            break;
        int err = p->fs->ops->pwrite(p->fs, p->file, p->zeros, bytes, (int64_t)at);
        if (err == 0)
            err = p->fs->ops->sync(p->fs, p->file);
        if (err)
            return err;
        took[n++] = clock_mono_ns(p->clock) - from;
    }
    qsort(took, n, sizeof(took[0]), time_order);
    *median = took[n / 2];
    return 0;
}

uint64_t probe_worth(int64_t small_ns, uint64_t small_bytes, int64_t large_ns, uint64_t large_bytes)
{
    if (small_ns <= 0 || large_ns <= small_ns || large_bytes <= small_bytes)
        return 0;
    double ns_a_byte = (double)(large_ns - small_ns) / (double)(large_bytes - small_bytes);
    double fixed_ns = (double)small_ns - ns_a_byte * (double)small_bytes;
    return fixed_ns > 0 ? (uint64_t)(fixed_ns / ns_a_byte) : 0;
}

int probe_run(struct fs *fs, struct io_file *file, uint64_t file_bytes, struct clock *clock,
              uint64_t *out)
{
    size_t large = file_bytes < probe_large_bytes ? (size_t)file_bytes : probe_large_bytes;
    void *zeros = aligned_alloc(journal_block_bytes, large);
    if (zeros == NULL)
        return ERR_NO_MEMORY;
    memset(zeros, 0, large);
    struct probe p = {.fs = fs,
                      .file = file,
                      .clock = clock,
                      .until_ns = clock_mono_ns(clock) + probe_time_ms_max * CLOCK_NS_PER_MS,
                      .zeros = zeros};
    int64_t small_ns, large_ns;
    uint64_t at = file_bytes - large;
    int err = timed(&p, at, journal_block_bytes, probe_small_writes, &small_ns);
    if (err == 0)
        err = timed(&p, at, large, probe_large_writes, &large_ns);
    free(zeros);
    if (err)
        return err;
    *out = probe_worth(small_ns, journal_block_bytes, large_ns, large);
    return 0;
}
