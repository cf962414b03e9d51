/*
 * crc32c: Castagnoli checksum (RFC 3720, as in Kafka's record batches), on ISA-L.
 *
 * Values are the finished checksum; extending takes the finished value of what came before. Pure.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Checksum of n bytes, continuing from crc (0 at the start). */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);

/*
 * Copies n bytes from src to dst (not overlapping) and returns the checksum continued from crc.
 * Goes chunk by chunk so that each byte is checksummed while it is in the first-level cache.
 */
uint32_t crc32c_copy(uint32_t crc, void *dst, const void *src, size_t n);

#endif
