/*
 * reads: what reads of a shard's plogs did, counted.
 *
 * Purpose: for metrics. Owner: the shard; others may look without asking it. Memory: in plog_env.
 */
#ifndef STORAGE_PLOG_READS_H
#define STORAGE_PLOG_READS_H

#include <stdint.h>

struct plog_env;

struct plog_reads {
    uint64_t tail;            /* reads answered from log memory alone */
    uint64_t disk_requests;   /* to the disk, for the others */
    uint64_t disk_bytes;      /* that came */
    uint64_t ahead_bytes;     /* asked for before anybody wanted them */
    uint64_t wasted_bytes;    /* of these: dropped, since nobody came */
    uint64_t ahead_hits;      /* reads whose bytes were all there */
    uint64_t waits;           /* for memory, mbufs, or the turn of a large batch */
    uint64_t gaps;            /* reads answered with nothing, for want of memory */
    uint32_t under_way, most; /* requests, now; and so many may be */
};

/* Chunks of the memory that disk reads go to: all, free. Zeros before the first plog_attach. */
void plog_reads_chunks(const struct plog_env *env, uint32_t *all, uint32_t *free);

#endif
