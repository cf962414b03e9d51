/*
 * decompress: the records of a compressed batch as a stream, in fixed memory.
 *
 * Purpose: gzip, snappy (xerial frames and raw), LZ4 frames and zstd, as Kafka's clients write
 * them, each produced piece by piece, so that a bomb costs time but no memory.
 * Owner: a shard (or a worker) owns one struct unzip and uses it for one batch at a time.
 * Memory: one anonymous mapping of unzip_memory_bytes, touched as far as a batch needs it; what a
 * rare large window touched is given back after the batch. No heap after unzip_new.
 * Failure: the reader's err is ERR_MALFORMED for a stream that is broken, cut short, or needs more
 * than the named limits.
 */
#ifndef STORAGE_PLOG_DECOMPRESS_H
#define STORAGE_PLOG_DECOMPRESS_H

#include "storage/plog/batch.h"

#define unzip_window_bytes_max                                                                     \
    (128 * MIB) /* zstd: its own default limit (2^27), as Kafka's clients have it */
#define unzip_block_bytes_max (4 * MIB) /* LZ4: the largest block of its frame format */
#define unzip_history_bytes                                                                        \
    (32 * MIB) /* snappy: how far back a copy may reach; encoders of blocks above 64 KiB do it */
#define unzip_keep_bytes (8 * MIB) /* touched memory that stays for the next batch */

struct unzip;

/* ERR_NO_MEMORY. */
int unzip_new(struct unzip **out);
void unzip_free(struct unzip *u);

/*
 * A reader of the decompressed bytes of `in`, which stays where it is until the stream was read.
 * Valid until the next unzip_open of the same unzip. codec is one of gzip, snappy, LZ4, zstd.
 */
struct reader *unzip_open(struct unzip *u, enum batch_codec codec, struct reader *in);

/* After the batch: gives back what a large window touched. */
void unzip_close(struct unzip *u);

#endif
