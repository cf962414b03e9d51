/*
 * topics: the life of topics: created, grown, configured, deleted, in steps over several threads.
 *
 * Purpose: API handlers ask for a change here. An operation is: check, metadata record (durable),
 * plogs opened by workers, attached to their shards, views published; deletion goes the other way.
 * Owner: the control thread. Operations on different topics run side by side; on one topic one
 * after the other.
 * Failure: `done` gets a KERR_* and a message; a failed create leaves nothing behind.
 */
#ifndef CONTROL_TOPICS_H
#define CONTROL_TOPICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/str.h"
#include "base/uuid.h"
#include "control/meta/image.h"
#include "core/mailbox.h"

struct control;
struct logdirs;
struct plog_env;
struct topics;
struct view;

#define topics_workers_max 15 /* agents beside shards and control */

struct topics_config {
    struct str name, value;
};

struct topic_op;
typedef void topic_done_fn(struct topic_op *op);

/* The last two are our own: a log dir failed; the broker's settings changed. */
enum topic_op_kind {
    TOPIC_CREATE,
    TOPIC_DELETE,
    TOPIC_GROW,
    TOPIC_CONFIGURE,
    TOPIC_OFFLINE,
    TOPIC_RECONFIGURE
};

/* Embedded in the handler's state (or malloc'd by internal users); stays valid until done. */
struct topic_op {
    enum topic_op_kind kind;
    /* in */
    struct str name;         /* CREATE; the bytes stay valid until done */
    struct uuid id;          /* DELETE, GROW, CONFIGURE */
    int32_t partition_count; /* CREATE, GROW (new total) */
    bool internal;
    const struct topics_config *configs; /* CREATE: overrides, CONFIGURE: the whole new set */
    uint32_t config_count;
    /*
     * CONFIGURE: called when its turn comes, may be NULL. What the new set is depends on those that
     * came before: it is made here, from the set in force, which it may point into. KERR_*, with
     * `message`.
     */
    int16_t (*prepare)(struct topic_op *op, const struct image_topic *topic);
    topic_done_fn *done; /* may be called from inside topics_submit */
    void *ctx;
    /* out */
    int16_t error;
    const char *message; /* static or in the op's text */
    char text[256];
    struct uuid created_id;
    /* private */
    struct topic_op *next;
    void *work;
};

/* The parts that topics work with; all outlive it. */
struct topics_shard {
    struct agent *agent;
    struct view *view;
    struct plog_env *plogs;
};

struct topics_options {
    struct topics_shard shards[shard_count_max];
    uint32_t shard_count;
    struct agent *workers[topics_workers_max];
    uint32_t worker_count;
    struct logdirs *logdirs;
    struct fs *fs;
    int32_t node_id;
    bool recover_os; /* what is found was written under sluice.durability=os, not closed cleanly */
    bool rewrite;    /* recover_os, and this run promises the medium */
};

/* c->store and c->image are there. ERR_NO_MEMORY. */
int topics_new(struct topics **out, struct control *c, const struct topics_options *options);

/* Everything must be closed (topics_stop) or never started. NULL is accepted. */
void topics_free(struct topics *t);

/*
 * Recovers: strays put aside, deletions finished, every partition opened and attached, views
 * published, checkpoints written. Asynchronous: topics_started says when it is over. A partition
 * that cannot
 * be opened is offline, with a line in the log. ERR_NO_MEMORY.
 */
int topics_start(struct topics *t);
bool topics_started(const struct topics *t);

/* Partitions that are open or given up, and how many there are, for a line about progress. */
void topics_progress(const struct topics *t, uint32_t *done, uint32_t *all);

/* Clean stop: takes no operation any more, finishes what runs, detaches and closes all plogs,
 * writes
 * the checkpoints. Asynchronous: topics_stopped. No shard may use a topic any more. */
void topics_stop(struct topics *t);
bool topics_stopped(const struct topics *t);

/* After topics_stopped: whether every plog of that dir was closed without an error. */
bool topics_dir_closed_clean(const struct topics *t, uint32_t dir);

/* A disk of that log dir failed: its partitions go offline; the broker stops if it holds the
 * metadata or
 * is the last one. */
void topics_dir_failed(struct topics *t, uint32_t dir, int err);

/* Writes the checkpoints of all dirs now (the periodic job). */
void topics_checkpoint(struct topics *t);

/* The caller has validated names, counts and configs (Kafka's errors are the handler's business);
 * what can
 * race is checked again here: TOPIC_ALREADY_EXISTS, UNKNOWN_TOPIC_ID, KAFKA_STORAGE_ERROR, POLICY
 * limits. */
void topics_submit(struct control *c, struct topic_op *op);

/*
 * Dynamic broker configs (cluster: the "" resource): persists the whole new set and applies it.
 * KERR_*.
 */
int16_t broker_configure(struct control *c, bool cluster, const struct topics_config *configs,
                         uint32_t count);

/*
 * Settings of one consumer group (GROUP resources): persists the whole new set, empty: none; in force
 * at once. POLICY_VIOLATION over group_configs_max groups that have settings; other KERR_*.
 */
#define group_configs_max 10000
int16_t group_configure(struct control *c, struct str group_id, const struct topics_config *configs,
                        uint32_t count);

/*
 * A fresh producer id, never given before, kill -9 included (blocks are reserved durably). ERR_* on
 * a failing disk.
 */
int topics_next_producer_id(struct control *c, int64_t *out);

/*
 * Runs fn for one partition's plog on its shard and done back on control: DeleteRecords,
 * OffsetForLeaderEpoch, DescribeProducers, DescribeLogDirs, marks.
 */
struct partition_call {
    struct call call;
    struct plog *plog;
    struct plog_env *plogs; /* of the plog's shard */
    struct image_topic *topic;
    int32_t partition;
    int16_t error;
    void *ctx;
    void (*user_done)(struct call *call); /* private */
};
/* KERR_UNKNOWN_TOPIC_OR_PARTITION / KERR_KAFKA_STORAGE_ERROR at once (done is not called), or 0.
 * The topic
 * cannot be deleted under a running call. */
int16_t partition_call_start(struct control *c, struct image_topic *t, int32_t partition,
                             struct partition_call *pc, void (*run)(struct call *),
                             void (*done)(struct call *));

#endif
