/*
 * siphash: SipHash-2-4 (Aumasson and Bernstein), the keyed function behind ISNs (RFC 6528), SYN
 * cookies and timestamp offsets. Pure.
 */
#ifndef DATAPLANE_TCP_SIPHASH_H
#define DATAPLANE_TCP_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t tcp_siphash(const uint8_t key[16], const void *p, size_t n);

#endif
