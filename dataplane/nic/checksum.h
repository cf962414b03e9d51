/*
 * checksum: the Internet checksum (RFC 1071), fast enough to stand in for a network card.
 *
 * Purpose: sums over memory and over mbuf chains; the loop with 32-byte vectors is taken where the
 * CPU has them, else a portable one. Pure: no state, never fails.
 * A sum is any uint64 whose ones' complement fold is the sum so far; checksum_fold ends it. Sums of
 * pieces may be added only if each piece but the last has an even length; checksum_mbuf takes care
 * of odd ones.
 */
#ifndef DATAPLANE_NIC_CHECKSUM_H
#define DATAPLANE_NIC_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rte_mbuf;

/* Ends around so that the sum never overflows: 2^64 is 1 modulo 2^16 - 1. */
static inline uint64_t checksum_carry(uint64_t sum, uint64_t word)
{
    sum += word;
    return sum + (sum < word);
}

/* As checksum_add, in line: for headers. */
static inline uint64_t checksum_add_small(uint64_t sum, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (; n >= 8; at += 8, n -= 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sum = checksum_carry(sum, word);
    }
    if (n >= 4) {
        uint32_t half;
        memcpy(&half, at, 4);
        sum = checksum_carry(sum, half);
        at += 4;
        n -= 4;
    }
    uint64_t last = 0; /* the missing byte of an odd end is zero */
    for (size_t i = 0; i < n; i++)
        last |= (uint64_t)at[i] << (8 * i);
    return checksum_carry(sum, last);
}

/* Adds n bytes of p, as 16-bit words in memory order. */
uint64_t checksum_add(uint64_t sum, const void *p, size_t n);

/* The same by the portable loop alone: what checksum_add is tested against. */
uint64_t checksum_add_portable(uint64_t sum, const void *p, size_t n);

/* Adds the n bytes at offset off of a chain (off + n <= its length). */
uint64_t checksum_mbuf(uint64_t sum, const struct rte_mbuf *m, uint32_t off, uint32_t n);

/* 16 bits, not complemented, in memory order. */
static inline uint16_t checksum_fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* What goes into a header's checksum field. */
static inline uint16_t checksum_end(uint64_t sum)
{
    return (uint16_t)~checksum_fold(sum);
}

/* The pseudo header of TCP and ICMPv6: addresses of `bytes` (4 or 16) each, protocol, length. */
static inline uint64_t checksum_pseudo(const void *src, const void *dst, size_t bytes,
                                       uint8_t protocol, uint32_t len)
{
    uint64_t sum = checksum_add_portable(0, src, bytes);
    sum = checksum_add_portable(sum, dst, bytes);
    return sum + __builtin_bswap16(protocol) + __builtin_bswap32(len);
}

#endif
