/*
 * pack: compression of a batch's records in the framings that Kafka's clients write, and back.
 *
 * Purpose: gzip; Snappy in the blocks of xerial's snappy-java; LZ4 frames (independent 64 KiB blocks); Zstandard.
 * Pure but for the libraries' own malloc. Failure: ERR_NO_MEMORY, ERR_SYSTEM (a library refused);
 * unpack also ERR_CORRUPT and ERR_TOO_LARGE (it does not fit).
 */
#ifndef BENCH_PACK_H
#define BENCH_PACK_H

#include <stddef.h>
#include <stdint.h>

#include "bench/batch.h"

/* Bytes that n plain ones need at most. */
size_t pack_bound(enum pack_codec codec, size_t n);

/* room: at least pack_bound; *len gets the bytes written. */
int pack(enum pack_codec codec, const uint8_t *plain, size_t n, uint8_t *out, size_t room,
         size_t *len);

/* All of it into out; *len gets the bytes. Snappy also without xerial's blocks. */
int unpack(enum pack_codec codec, const uint8_t *packed, size_t n, uint8_t *out, size_t room,
           size_t *len);

#endif
