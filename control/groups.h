/*
 * groups: the edge around the group coordinators (control/group): their topic, their logs, their
 * clock.
 *
 * Purpose: one pure coordinator per partition of __consumer_offsets. This part creates the topic
 * when a group is first asked for, replays each partition into its coordinator, writes what the coordinators want
 * written, tells them the time and which topics change, and keeps the logs short.
 * Owner: the control thread. Memory: malloc; bounded by the coordinators' own limits and
 * groups_calls_max.
 * Invariants: a reply leaves after its records are durable (the coordinator's promise and ours);
 * records of a partition are appended in order; a log's prefix is dropped only after all live state
 * has been written anew behind it and is durable.
 * Failure: requests are answered with Kafka's coordinator errors; a log that fails takes its groups
 * along (NOT_COORDINATOR) and is loaded again when it can be.
 */
#ifndef CONTROL_GROUPS_H
#define CONTROL_GROUPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "base/uuid.h"
#include "control/group/coordinator.h"

struct control;
struct control_request;
struct groups;
struct group_partition;
struct image_topic;
struct metrics_lag;

#define GROUPS_TOPIC "__consumer_offsets"

#define groups_calls_max     2048      /* group requests of the broker that wait at once */
#define groups_loads_max     4         /* partitions loaded at once */
#define groups_rewrite_bytes (1 * MIB) /* a log shorter than this is never rewritten */
#define groups_rewrite_ratio 4         /* and one that is that many times its live state is */

int groups_new(struct groups **out, struct control *c);

/* Nothing may be under way (groups_stopped), or the shards are gone. NULL is accepted. */
void groups_free(struct groups *g);

/* Topics are running: coordinators of the topic's partitions are made and loaded, in the background. */
void groups_start(struct groups *g);

/* From now on the lag of all groups is worked out, every groups_lag_round_ns. lag outlives the groups. */
#define groups_lag_round_ns (5 * CLOCK_NS_PER_S)
void groups_lag_start(struct groups *g, struct metrics_lag *lag);

/* Answers who waits with COORDINATOR_NOT_AVAILABLE, and everybody from now on. */
void groups_stop(struct groups *g);
bool groups_stopped(const struct groups *g);

/* topics.c says what happened; NULL is accepted. */
enum groups_topic_event {
    GROUPS_TOPIC_CREATED,
    GROUPS_TOPIC_GROWN,
    GROUPS_TOPIC_DELETED,
    GROUPS_TOPIC_CONFIGURED
};
void groups_topic_event(struct groups *g, const struct image_topic *topic,
                        enum groups_topic_event event);

/* The settings of the broker or of groups changed. */
void groups_settings_changed(struct groups *g);

/* Makes the topic if it is not there. 0: it is there; else COORDINATOR_NOT_AVAILABLE. */
int16_t groups_topic_ensure(struct groups *g);

/*
 * The loaded coordinator of a group, or Kafka's error: NOT_COORDINATOR (there is no such log),
 * COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE.
 */
int16_t groups_find(struct groups *g, struct str group_id, struct group_partition **out);

/* Partitions in order, for requests about all groups; 0 before the topic is there. */
int32_t groups_count(const struct groups *g);
int16_t groups_at(struct groups *g, int32_t index, struct group_partition **out);

struct coordinator *group_partition_coordinator(struct group_partition *p);

/*
 * A request's part that a coordinator works on. Fill in the call's api_key, version, client_id,
 * client_host and arena, then call the coordinator and groups_pump; done runs once, maybe from inside
 * groups_pump, with the response in call.response (NULL: no memory).
 */
struct group_work {
    struct group_call call; /* first */
    void (*done)(struct group_work *w);
};

/* Fills in what every call needs from the request. */
void groups_call_init(struct group_work *w, struct control_request *rq,
                      void (*done)(struct group_work *w));

/*
 * Its connection is gone: the call is forgotten, done does not run; its effects stay (a member that
 * waited is in the group until its session ends, as in Kafka). p: whose coordinator was called.
 */
void groups_cancel(struct group_partition *p, struct group_work *w);

struct group_now groups_now(const struct groups *g);

/* After every call of a coordinator: moves records to the log, answers to the requests. */
void groups_pump(struct group_partition *p);

/* Java's String.hashCode of UTF-8 text, and the partition that Kafka gives a group. */
int32_t groups_java_hash(struct str text);
int32_t groups_partition_of(struct str group_id, int32_t partition_count);

struct groups_stats {
    int32_t partitions, active, loading;
    uint64_t rewrites, replayed_bytes, replayed_records, corrupt;
    int64_t load_ns; /* from the first start of a load until all were over, the last time */
};
void groups_stats(const struct groups *g, struct groups_stats *out);

#endif
