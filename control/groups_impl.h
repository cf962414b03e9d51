/* groups_impl: what the files groups*.c share. Nobody else includes it. */
#ifndef CONTROL_GROUPS_IMPL_H
#define CONTROL_GROUPS_IMPL_H

#include "control/control.h"
#include "control/groups.h"
#include "control/internal_log.h"
#include "core/wheel.h"

#define groups_retry_ns         (5 * CLOCK_NS_PER_S) /* before a log that failed is loaded again */
#define groups_corrupt_told_max 20                   /* lines in the log of one load */

enum group_partition_state {
    GROUP_PARTITION_WAITING, /* for its turn to be loaded, or for the next try */
    GROUP_PARTITION_LOADING,
    GROUP_PARTITION_ACTIVE,
    GROUP_PARTITION_OFFLINE, /* its log cannot be read now */
    GROUP_PARTITION_CLOSED,  /* the topic went, or the broker stops */
};

struct group_partition {
    struct groups *groups;
    int32_t index;
    enum group_partition_state state;
    struct coordinator *coordinator;
    struct internal_log log;
    struct wheel_timer timer; /* the coordinator's next deadline; the next try to load */
    bool pumping, again;
    /* of the log, as far as replay is concerned */
    uint64_t replay_bytes, live_bytes;
    int64_t rewrite_from;  /* offset of the first batch of the running rewrite, -1: not known yet */
    uint32_t rewrite_left; /* its batches that are not durable yet */
    uint64_t rewrite_number;
    bool rewriting;
    /* of the running load, or the last one */
    uint64_t records;
    uint32_t corrupt;
    bool cut; /* the log was not read to its end: what is behind that is nowhere else */
    struct group_partition *retired_next;
};

struct groups_deleted_topic {
    struct groups_deleted_topic *next;
    struct group_topic topic; /* its name is text */
    char text[];
};

struct groups {
    struct control *control;
    struct uuid topic_id;
    struct group_partition *partitions;
    int32_t count;
    struct group_partition *retired; /* arrays of topics that went, until nothing is under way */
    int32_t loading, waiting;
    uint32_t calls;                        /* group_works under way */
    struct consumer_regex_turn regex_turn; /* of all coordinators */
    uint64_t topics_version;
    bool topics_changed;
    struct groups_deleted_topic *deleted;
    struct wheel_timer topics_timer;
    struct metrics_lag *lag; /* NULL: not worked out */
    struct wheel_timer lag_timer;
    int32_t lag_next; /* partition */
    bool creating, started, stopping;
    int64_t load_began_ns;
    struct groups_stats stats;
};

/* ---- groups_topic.c ---- */
void groups_topics_init(struct groups *g, struct group_topics *out);
/* Arms the step that tells the coordinators. */
void groups_topics_touch(struct groups *g);
void groups_topics_fire(struct wheel_timer *timer, int64_t now_ns);
void groups_deleted_free(struct groups *g);

/* ---- groups_settings.c ---- */
void groups_settings_of(const struct groups *g, struct group_settings *out);
/* What a group has of its own, from the metadata. */
void groups_overrides_init(struct groups *g, struct group_overrides *out);
uint32_t groups_append_bytes_max(const struct groups *g);

/* ---- groups_load.c ---- */
/* Starts loads of waiting partitions, as many as may run. */
void groups_load_next(struct groups *g);
/* The coordinator or its log failed: thrown away, to be loaded again. */
void group_partition_reload(struct group_partition *p, bool at_once);

/* ---- groups_partition.c ---- */
void group_partition_init(struct group_partition *p, struct groups *g, int32_t index,
                          const struct uuid *topic_id);
/* Answers who waits; the log goes to its end by itself. */
void group_partition_close(struct group_partition *p, int16_t kerr);
void group_partition_appended(void *ctx, uint64_t tag, int16_t kerr, int64_t base_offset,
                              uint32_t bytes);
/* Hands the coordinator's replies to their owners, and its records to the log. */
void group_partition_arm(struct group_partition *p);
void group_partition_fire(struct wheel_timer *timer, int64_t now_ns);

/* ---- groups_rewrite.c ---- */
/* Tags of a rewrite's appends: this bit and its number; the coordinator's are plain sequences. */
#define groups_rewrite_tag (1ULL << 63)
void group_rewrite_check(struct group_partition *p);
void group_rewrite_appended(struct group_partition *p, uint64_t tag, int16_t kerr,
                            int64_t base_offset, uint32_t bytes);

#endif
