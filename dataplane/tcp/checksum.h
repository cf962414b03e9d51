/*
 * checksum: the Internet checksum (RFC 1071) over bytes and mbuf chains.
 *
 * Purpose: TCP's checksum where the port does not compute it. Pure; the wide variant is chosen once
 * at start by what the processor has. A sum is a 32-bit value that is folded at the end.
 */
#ifndef DATAPLANE_TCP_CHECKSUM_H
#define DATAPLANE_TCP_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct tcp_addrs;

/* Ones' complement sum of n bytes in network order, folded to 16 bits, not inverted. */
typedef uint16_t (*checksum_fn)(const uint8_t *p, size_t n);

uint16_t checksum_scalar(const uint8_t *p, size_t n);
uint16_t checksum_avx2(const uint8_t *p, size_t n); /* only where checksum_has_avx2() */
bool checksum_has_avx2(void);

/* The fastest variant that this processor runs. */
checksum_fn checksum_best(void);

/* Sum of `len` bytes of the mbuf chain from its start, any piece lengths. */
uint16_t checksum_chain(checksum_fn fn, const struct rte_mbuf *m, uint32_t len);

/* Sum of the pseudo header (RFC 9293 3.1, RFC 8200 8.1); either direction; len 0 as DPDK's TSO wants it. */
uint16_t checksum_pseudo(const struct tcp_addrs *addrs, uint32_t len);

static inline uint16_t checksum_add(uint16_t a, uint16_t b)
{
    uint32_t s = (uint32_t)a + b;
    return (uint16_t)((s & 0xffff) + (s >> 16));
}

#endif
