/*
 * wire: bytes for codec tests, held so that the sanitizers see every overrun.
 *
 * Purpose: chains whose mbufs each stand in a heap block of exactly their size (mempools hide
 * overruns from ASan), and one real mempool for what is written. Owner: the test program. Chains
 * made here are given back with wire_free, never with chain_free.
 */
#ifndef TESTS_PROTO_WIRE_H
#define TESTS_PROTO_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "core/chain.h"

struct rng;
struct rte_mempool;

/* EAL, before the first pool and after the last; aborts on failure. */
void wire_start(void);
void wire_stop(void);

/* A pool of `count` mbufs with `room` bytes each; aborts on failure. */
struct rte_mempool *wire_pool(unsigned count, uint16_t room);

/* n bytes cut into pieces of 1..piece_max bytes chosen by rng; rng NULL: pieces of piece_max. */
struct chain wire_chain(const void *p, size_t n, struct rng *rng, size_t piece_max);

/* n bytes in two pieces: the first holds `cut` bytes (0 <= cut <= n). */
struct chain wire_chain_cut(const void *p, size_t n, size_t cut);

/* Checks that nobody else holds a reference, then frees. */
void wire_free(struct chain *c);

/* The chain's bytes in one malloc'd block of exactly their size (never NULL); caller frees. */
uint8_t *wire_flat(const struct chain *c);

/* Lower-case hex to a malloc'd block of exactly *n bytes; "-" is nothing. Aborts on bad input. */
uint8_t *wire_unhex(const char *hex, size_t *n);

#endif
