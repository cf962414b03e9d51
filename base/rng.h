/*
 * rng: seeded randomness as a seam (xoshiro256**, Blackman and Vigna; seeded by splitmix64).
 *
 * Purpose: every random choice of the broker and its tests comes from a struct rng whose seed can
 * be printed and given again. Not for secrets. One owner, no locking.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);

/* A seed from the operating system's entropy; only main programs call it. */
uint64_t rng_entropy(void);

uint64_t rng_u64(struct rng *r);

/* Uniform in [0, n); n > 0. */
uint64_t rng_below(struct rng *r, uint64_t n);

void rng_fill(struct rng *r, void *buf, size_t n);

#endif
