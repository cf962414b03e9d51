/*
 * view: a shard's read-only picture of the topics.
 *
 * Purpose: the request path finds a partition's owner without asking anybody. Topics are immutable
 * objects made by the control thread; a shard's view is two flat maps of pointers to them (by
 * name, by id), changed only by messages from control: put one in, take one out.
 * Owner: the maps belong to their shard; a view_topic belongs to control and is lent to every
 * shard from view_put until that shard has answered the update that removed it. A shard answers
 * only when none of its requests uses the topic any more (`users`), so control may then close the
 * plogs.
 * Failure: ERR_NO_MEMORY of view_put; the control thread retries or gives up the topic.
 */
#ifndef DATAPLANE_KAFKA_VIEW_H
#define DATAPLANE_KAFKA_VIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/uuid.h"
#include "core/mailbox.h"

struct plog;
struct view_update;

struct view_partition {
    struct plog *plog;   /* only the owning shard may look inside; NULL: offline */
    struct agent *owner; /* agent of the shard that owns it */
    uint32_t shard;      /* its index */
    int32_t leader_id;   /* broker id; -1: no leader */
    int32_t leader_epoch;
};

struct view_topic {
    struct uuid id;
    struct str name;
    bool internal; /* clients may not produce to it (but __consumer_offsets readers may fetch) */
    int32_t partition_count;
    struct view_partition *partitions;
    uint32_t users[shard_count_max];              /* requests in work, each shard its own cell */
    struct view_update *removal[shard_count_max]; /* set while that shard waits for users == 0 */
    void *control;                                /* control's own */
};

struct view {
    struct map by_name, by_id;
    uint32_t shard;
    uint64_t removals; /* updates so far that had to wait for requests: delayed ones end early */
};

int view_init(struct view *v, uint32_t shard, uint64_t seed);
void view_fini(struct view *v);

/* NULL if unknown. */
struct view_topic *view_by_name(const struct view *v, struct str name);
struct view_topic *view_by_id(const struct view *v, const struct uuid *id);

/* A request's hold on a topic. */
void view_hold(struct view *v, struct view_topic *t);
void view_drop(struct view *v, struct view_topic *t);

/*
 * Control's message to one shard: take `remove` out, put `add` in (either may be NULL; a topic
 * that gained partitions is a new object under the same id and name). done runs on control when
 * the shard no longer uses `remove`.
 */
struct view_update {
    struct call call; /* run is set by view_update_init */
    struct view *view;
    struct view_topic *add, *remove;
    int result; /* 0 or ERR_NO_MEMORY (add was not put in) */
};
void view_update_init(struct view_update *u, struct view *v, struct view_topic *add,
                      struct view_topic *remove, void (*done)(struct call *call));

#endif
