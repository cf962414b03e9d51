#include "base/hist.h"

#include <string.h>

#define SUB_COUNT (1u << HIST_SUB_BITS)
#define VALUE_MAX ((1ull << (HIST_EXPONENTS + HIST_SUB_BITS)) - 1)

void hist_init(struct hist *h)
{
    memset(h, 0, sizeof(*h));
    h->min = UINT64_MAX;
}

/* Values under 32 have a bucket each; above, each power of two is divided into 32. */
uint32_t hist_bucket_index(uint64_t value)
{
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    if (value < SUB_COUNT)
        return (uint32_t)value;
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value) - HIST_SUB_BITS;
    return ((shift + 1) << HIST_SUB_BITS) + (uint32_t)((value >> shift) - SUB_COUNT);
}

uint64_t hist_bucket_floor(uint32_t index)
{
    if (index < SUB_COUNT)
        return index;
    uint32_t shift = (index >> HIST_SUB_BITS) - 1;
    return (uint64_t)(SUB_COUNT + (index & (SUB_COUNT - 1))) << shift;
}

void hist_record_n(struct hist *h, uint64_t value, uint64_t n)
{
    h->bucket[hist_bucket_index(value)] += n;
    h->count += n;
    h->sum += value * n;
    if (value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
}

void hist_record(struct hist *h, uint64_t value)
{
    hist_record_n(h, value, 1);
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (uint32_t i = 0; i < HIST_BUCKETS; i++)
        into->bucket[i] += from->bucket[i];
    into->count += from->count;
    into->sum += from->sum;
    if (from->count && from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t hist_quantile(const struct hist *h, double q)
{
    if (h->count == 0)
        return 0;
    uint64_t rank = (uint64_t)(q * (double)h->count + 0.5);
    if (rank < 1)
        rank = 1;
    if (rank > h->count)
        rank = h->count;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank) {
            uint64_t edge = i + 1 < HIST_BUCKETS ? hist_bucket_floor(i + 1) - 1 : h->max;
            return edge < h->max ? edge : h->max;
        }
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
