/*
 * image: the metadata as it is now, in memory.
 *
 * Purpose: topics, partitions, configs and counters, changed only by applying records
 * (meta/record.h) in order; pure: no clock, no disk, no randomness in it.
 * Owner: the control thread. Memory: malloc; strings belong to the image.
 * Invariants: a topic is in by_name iff it is not DELETING; names are unique there; ids are unique
 * for ever. Applying a record that does not fit the image is ERR_CORRUPT and changes nothing.
 */
#ifndef CONTROL_META_IMAGE_H
#define CONTROL_META_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/str.h"
#include "base/uuid.h"

struct plog;
struct view_topic;

#define image_no_log_dir UINT32_MAX

/* name -> value overrides, sorted by name. */
struct image_configs {
    struct image_config {
        char *name, *value;
    } * items;
    uint32_t count;
};

/* NULL if not set. */
const char *image_configs_get(const struct image_configs *c, struct str name);

enum image_topic_state { IMAGE_TOPIC_CREATING, IMAGE_TOPIC_LIVE, IMAGE_TOPIC_DELETING };

struct image_partition {
    int32_t leader_epoch;      /* as of now, counts restarts too */
    int32_t leader_epoch_base; /* as recorded */
    int32_t partition_epoch;
    struct uuid directory; /* of the log dir, as recorded */
    uint32_t log_dir;      /* index into the log dirs or image_no_log_dir; set by topics.c */
    /* runtime, not persisted; set by topics.c */
    uint32_t shard;
    struct plog *plog; /* NULL: offline (its log dir failed, or it could not be opened) */
    bool unopened;     /* at the start: its entries in the checkpoints stay as they were then */
};

struct image_topic {
    struct uuid id;
    char *name;
    bool internal;
    enum image_topic_state state;
    int32_t partition_count;
    int32_t partition_capacity; /* room in the array, which moves when it grows */
    struct image_partition *partitions;
    struct image_configs configs;
    struct view_topic *view; /* what the shards see now; topics.c */
    void *work;              /* a running operation; topics.c */
};

/* A consumer group that has settings of its own. */
struct image_group {
    char *name;
    struct image_configs configs; /* at least one */
};

struct image {
    struct map by_name, by_id;    /* struct image_topic */
    struct map groups;            /* struct image_group, by name */
    struct image_configs broker;  /* dynamic configs of this broker */
    struct image_configs cluster; /* cluster-wide dynamic defaults ("" broker) */
    struct uuid cluster_uuid;
    int64_t next_producer_id;
    int64_t next_offset; /* of the metadata log */
    uint64_t boots;      /* starts of this broker, counted in the log */
    bool os_durability;  /* of the last start's record */
};

struct meta_record;

int image_init(struct image *img);

/* Gives the maps a seed of their own; only while the image is empty. */
void image_seed(struct image *img, uint64_t seed);

/* NULL is accepted. What topics.c hung onto topics (view, work) must be gone. */
void image_free(struct image *img);

/* ERR_CORRUPT: the record does not fit; ERR_NO_MEMORY. Strings are copied. */
int image_apply(struct image *img, const struct meta_record *record);

/*
 * Calls fn with records that make this image out of an empty one, in order; stops at and returns
 * the first nonzero answer. A record is valid during the call.
 */
typedef int image_record_fn(void *ctx, const struct meta_record *record);
int image_records(const struct image *img, image_record_fn *fn, void *ctx);

struct image_topic *image_by_name(const struct image *img, struct str name);
struct image_topic *image_by_id(const struct image *img, const struct uuid *id);

/* NULL if the group has no settings of its own. */
const struct image_group *image_group(const struct image *img, struct str name);

/* Live topics in the order of names; malloc'd array that the caller frees. */
int image_topics_sorted(const struct image *img, struct image_topic ***out, uint32_t *count);

#endif
