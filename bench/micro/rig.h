/*
 * rig: a shard with one partition's log on the machine's disk, for the micro benchmarks.
 *
 * Purpose: what log.c and request.c stand on: ring, disk, log memory, worker and log, run by hand on one thread.
 * What the disk does is waited for between the runs, and the log is made anew before it grows large.
 * Owner: the calling thread. Memory: heap and EAL, until rig_free. Failure: rig_new returns NULL; a disk that
 * fails later ends the program.
 */
#ifndef BENCH_MICRO_RIG_H
#define BENCH_MICRO_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/chain.h"
#include "core/ring.h"
#include "core/shard.h"
#include "core/worker.h"
#include "storage/cache/cache.h"
#include "storage/io/io.h"
#include "storage/plog/plog.h"

#define rig_appends_max 64 /* appends between two settlings */

struct rig;
struct rig_append {
    struct plog_append a;
    struct rig *rig;
};

struct rig {
    char dir[64];
    struct ring ring;
    struct io_uring_backend io;
    struct shard shard; /* its memory, timers and agent; it has no stages */
    struct worker worker;
    struct cache *cache;
    struct region region;
    bool up,
        named; /* named: log memory under a name, as the broker has it: the store is the answer */
    struct plog_env env;
    struct plog *plog;
    struct rte_mempool *pool;
    struct chain batch; /* a valid batch */
    uint64_t appended;  /* bytes in the log */
    uint32_t waiting;   /* appends not answered */
    struct rig_append append[rig_appends_max];
};

/* The rig's batch has so many records of 100 bytes. */
struct rig *rig_new(uint32_t records, bool named);
void rig_free(void *rig);

/* The shard's agent is the current one afterwards. True: something was done. */
bool rig_turn(struct rig *r);

/* Until nothing is under way. With a log that has grown large a new one takes its place (r->plog). */
void rig_settle(struct rig *r);

/* Appends the batch n times (n <= rig_appends_max); the answers may need rig_settle. */
void rig_append(struct rig *r, uint32_t n);

#endif
