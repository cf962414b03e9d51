/*
 * rig: control, topics, log dirs and metadata over stepped shards and workers on a simulated disk.
 *
 * No threads: rig_step runs everybody's mail once, in turn. Two shards, two workers, two log dirs.
 */
#ifndef TESTS_UNIT_CONTROL_RIG_H
#define TESTS_UNIT_CONTROL_RIG_H

#include "control/control.h"
#include "control/logdirs.h"
#include "control/meta/store.h"
#include "control/topics.h"
#include "core/worker.h"
#include "dataplane/kafka/view.h"
#include "storage/cache/cache.h"
#include "storage/io/sim.h"
#include "storage/plog/plog.h"
#include "tests/unit/core/with_eal.h"

#define rig_shards  2
#define rig_workers 2
#define rig_dirs    2

struct rig_shard {
    struct agent agent;
    struct wheel wheel;
    struct mem mem;
    struct cache *cache;
    struct plog_env plogs;
    struct view view;
    struct rig *rig;
};

struct rig {
    struct io_sim sim;
    struct clock_manual clock;
    int64_t now_ns, wall_ms;
    uint64_t seed;
    struct config *config;
    struct control control;
    struct logdirs *logdirs;
    struct rig_shard shards[rig_shards];
    struct worker workers[rig_workers];
    struct uuid cluster;
    bool up;
    bool hold_shards, hold_workers; /* their mail waits */
    char why[512];
};

/* A disk and a configuration; nothing runs yet. */
void rig_make(struct rig *r, uint64_t seed);

/* A start: locks, metadata, boot record, topics. 0, or what refused it with r->why. */
int rig_start(struct rig *r);

/* A clean stop and everything freed. True: the marks of a clean stop were written. */
bool rig_stop(struct rig *r);

/* The process is gone (io_sim_crash has happened or happens now); the disk is back afterwards. */
void rig_crash(struct rig *r, enum sim_crash how);

void rig_free(struct rig *r);

/* False: nothing was done. */
bool rig_step(struct rig *r);
void rig_settle(struct rig *r);
void rig_sleep(struct rig *r, int64_t ms);

/* Submits and settles; the op's error. */
int16_t rig_create(struct rig *r, const char *name, int32_t partitions);
int16_t rig_delete(struct rig *r, const char *name);

struct image_topic *rig_topic(struct rig *r, const char *name);

/* Whether dir/name is there. */
bool rig_has(struct rig *r, const char *path);

/* Names in a directory that contain `part`. */
uint32_t rig_count(struct rig *r, const char *dir, const char *part);

#endif
