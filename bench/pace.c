#include "bench/pace.h"

#include <math.h>

#include "base/rng.h"

#define fraction_values 9007199254740993.0 /* 2^53 + 1 */

int64_t pace_gap_ns(struct rng *rng, double rate, bool poisson)
{
    double mean = 1e9 / rate;
    if (!poisson)
        return (int64_t)mean;
    double u = ((double)(rng_u64(rng) >> 11) + 1) / fraction_values; /* in (0, 1) */
    return (int64_t)(-log(u) * mean);
}
