/*
 * metrics: the broker's figures in Prometheus' text format.
 *
 * Purpose: one table (metrics.def) of what is exported; the values are read where they are counted.
 * Owner: whoever renders, on a thread of its own: the shards' counters only grow and are read
 * without asking the shards, so that a scrape costs them nothing; a reader sees totals that are a
 * moment apart at worst.
 * Memory: the text is malloc'd. Failure: ERR_NO_MEMORY, ERR_TOO_LARGE (metrics_text_bytes_max).
 */
#ifndef CONTROL_METRICS_METRICS_H
#define CONTROL_METRICS_METRICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "control/config/config.h"

#define metrics_text_bytes_max (4u << 20)

struct cache;
struct capture_set;
struct kafka;
struct lane_counters;
struct plog_env;
struct shard;
struct space;

/* The parts of one shard; they outlive the metrics. */
struct metrics_shard {
    const struct shard *shard;
    const struct kafka *kafka;
    const struct cache *cache;
    const struct plog_env *plogs;
    const struct io_uring_backend *disk;
};

#define metrics_lanes_max     (shard_count_max * 8) /* of every shard one for each port */
#define metrics_port_name_max 32

/* A shard's way in and out of a network port; the counters outlive the metrics. */
struct metrics_lane {
    const struct lane_counters *counters;
    uint32_t shard;
    char port[metrics_port_name_max]; /* the device string up to its arguments */
};

/* A log dir's room; outlives the metrics. */
struct metrics_dir {
    const char *path;
    const struct space *space;
};

enum metrics_state { METRICS_STARTING, METRICS_READY, METRICS_STOPPING };

struct metrics_lag;

struct metrics {
    struct metrics_shard shards[shard_count_max];
    uint32_t shard_count;
    struct metrics_lane lanes[metrics_lanes_max];
    struct metrics_dir dirs[config_log_dirs_max];
    uint32_t dir_count;
    uint32_t lane_count; /* 0: no listener's transport is dpdk */
    struct clock *clock;
    int64_t started_ns;
    struct metrics_lag *lag;      /* NULL: nobody works it out */
    struct capture_set *captures; /* NULL: sluice.capture.bytes is 0, or there are no ports */
    _Atomic int state;            /* enum metrics_state, set by the broker */
};

/* device: a device string. At most metrics_lanes_max, before anybody renders. */
void metrics_lane_add(struct metrics *m, const struct lane_counters *counters, uint32_t shard,
                      const char *device);

/* *out: a text that the caller frees with free, *len its bytes. */
int metrics_render(const struct metrics *m, char **out, size_t *len);

#endif
