/*
 * steer: which shard a frame belongs to.
 *
 * Purpose: one rule for the network card's receive-side scaling, for the hand-over in software and
 * for active opens that choose a port: a Toeplitz hash whose key repeats every 16 bits, so that
 * both
 * directions of a connection hash alike and software needs one XOR per 16-bit word.
 * Pure; never fails. Works on the frame's first bytes alone and trusts none of them.
 */
#ifndef DATAPLANE_NIC_STEER_H
#define DATAPLANE_NIC_STEER_H

#include <stddef.h>
#include <stdint.h>

#define steer_key_bytes 40  /* for cards: the same two bytes, repeated */
#define steer_table     128 /* entries of the redirection table; a hash picks one by its low bits */

#define STEER_ALL UINT32_MAX /* every shard must see it: ARP, neighbour discovery */

struct rte_mbuf;

void steer_key(uint8_t key[steer_key_bytes]);

/* addresses of `bytes` (4 or 16) each and ports, all in network order, in either direction. */
uint32_t steer_hash(const void *a, const void *b, size_t bytes, uint16_t port_a, uint16_t port_b);

/* The owner of a hash among n shards (n >= 1): as a redirection table filled with i % n would. */
static inline uint32_t steer_owner(uint32_t hash, uint32_t n)
{
    return n == 1 ? 0 : (hash & (steer_table - 1)) % n;
}

/*
 * The owner of a frame: TCP by its tuple, ICMP errors by the tuple they quote, ARP and neighbour
 * discovery STEER_ALL, anything else (fragments too) shard 0.
 */
uint32_t steer_frame(const struct rte_mbuf *frame, uint32_t n);

#endif
