/*
 * offsets: the committed offsets of a group, and their records.
 *
 * Purpose: store, look-up and removal by topic and partition; OffsetCommitKey and OffsetCommitValue.
 * Owner: the coordinator's thread. Memory: malloc, freed with the group or the last offset.
 * Invariant: g->n_offsets is the sum over its topics; a topic without offsets is not kept.
 */
#ifndef CONTROL_GROUP_OFFSETS_H
#define CONTROL_GROUP_OFFSETS_H

#include "control/group/codec.h"
#include "control/group/group.h"

struct group_offset *offsets_get(const struct group *g, struct str topic, int32_t partition);

/* Adds or replaces; metadata is copied. ERR_NO_MEMORY changes nothing. */
int offsets_put(struct group *g, struct str topic, const struct group_offset *offset);

/* False if there was none. May free the topic (pointers into it). */
bool offsets_remove(struct group *g, struct str topic, int32_t partition);

void offsets_free(struct group *g);

/* Topics in the order of names; malloc'd array of g->topics.count that the caller frees. NULL: no
 * memory, or no topic. */
struct group_topic_offsets **offsets_topics_sorted(const struct group *g);

/* --- records --- */

/* Puts key and value of an offset as Kafka 4.3 writes them. */
void offsets_encode(struct codec_out *key, struct codec_out *value, struct str group_id,
                    struct str topic, const struct group_offset *offset);
/* An upper bound of the bytes of a key and a value. */
size_t offsets_record_bytes(struct str group_id, struct str topic, struct str metadata);

/* Emits the record of an offset that was put, or a tombstone. */
void offsets_emit(struct group *g, struct str topic, const struct group_offset *offset);
void offsets_emit_tombstone(struct group *g, struct str topic, int32_t partition);

/* One record; group, topic and partition are of its key. */
int offsets_replay(struct coordinator *c, const uint8_t *key, size_t key_len, const uint8_t *value,
                   size_t value_len, int64_t producer_id);
int offsets_dump(const struct group *g, coordinator_record_fn *fn, void *ctx);

/* --- what removes them --- */

/* Tombstones for all (the group is deleted); in batches as large as they may be. */
void offsets_delete_all(struct group *g);
/* Kafka's cleanupGroupMetadata: expired offsets, then groups that hold nothing. */
void offsets_expire(struct coordinator *c);
void offsets_expiry_fired(struct wheel_timer *t, int64_t now_ns);

/* --- open transactions (txn.c) --- */

bool txn_pending(const struct coordinator *c, const struct group *g, struct str topic,
                 int32_t partition);
int txn_put(struct group *g, int64_t producer_id, struct str topic,
            const struct group_offset *offset);
/* A tombstone forgets pending offsets too. */
void txn_forget(struct group *g, struct str topic, int32_t partition);
void txn_end(struct coordinator *c, int64_t producer_id, bool commit);
void txn_free_all(struct coordinator *c);
/* Calls fn for each pending offset of the group's. */
void txn_each(const struct coordinator *c, const struct group *g,
              void (*fn)(void *ctx, struct str topic, int32_t partition), void *ctx);

#endif
