/*
 * probe: what a durable write costs on a device, whatever its size.
 *
 * Purpose: a piece is worth a place in the journal while moving its bytes (which are written again,
 * to the segment) takes less time than a durable write of its own. Where that turns depends on the
 * device: its latency times its bandwidth, measured here when a journal is made.
 * Owner, memory: the worker that makes the journal; blocking, one buffer while it runs.
 */
#ifndef STORAGE_JOURNAL_PROBE_H
#define STORAGE_JOURNAL_PROBE_H

#include "base/clock.h"
#include "storage/io/io.h"

#define probe_small_writes 9 /* of one block, each made durable */
#define probe_large_writes 3
#define probe_large_bytes  (1 * MIB)
#define probe_time_ms_max  300 /* no write begins later */

/*
 * Writes zeros at the end of the file, which has them there already. *out: bytes that move in the
 * time that a durable write takes beside moving its bytes; 0: the clock saw nothing, or a large write
 * took no longer than a small one. ERR_NO_MEMORY and what the disk answers.
 */
int probe_run(struct fs *fs, struct io_file *file, uint64_t file_bytes, struct clock *clock,
              uint64_t *out);

/* The judgement alone: medians of durable writes of so many bytes, in ns. Pure. */
uint64_t probe_worth(int64_t small_ns, uint64_t small_bytes, int64_t large_ns,
                     uint64_t large_bytes);

#endif
