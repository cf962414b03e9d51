/*
 * consumer_step: one event of a consumer group: what it needs, and the moves that events share.
 *
 * Purpose: requests and timers of consumer groups are functions of (group, step): they read the
 * metadata, time and settings that the step hands in, and change the group by saying records.
 * Owner: the coordinator's thread; a step lives for one call. Memory: scratch is the step's arena.
 * Invariants: what can be refused is checked before the first record is said.
 * Failure: sticky in `err` (no memory): the group may then lack what was said; load it anew.
 */
#ifndef CONTROL_GROUP_CONSUMER_STEP_H
#define CONTROL_GROUP_CONSUMER_STEP_H

#include "base/arena.h"
#include "control/group/consumer_group.h"
#include "control/group/consumer_record.h"
#include "control/group/coordinator.h"

#define consumer_record_spare_bytes 64    /* what key, header and log add to a record */
#define consumer_regex_pause_ms     10000 /* Kafka: between two resolutions of a group, at least */
#define consumer_regex_giveups_max  16 /* matches at a limit, then the expression matches nothing */

/*
 * What matching may cost in one turn of the thread, in the unit of topic_regex_cost: about a
 * millisecond of the worst patterns, and a thousand topics of usual ones.
 */
#define consumer_regex_slice 4000000

struct rng;

/* A Kafka error with its words; code 0: none. */
struct consumer_fault {
    int16_t code;
    struct str message;
};

struct consumer_step {
    struct consumer_group *g;
    const struct group_settings *settings; /* as they hold for this group */
    const struct group_topics *topics;
    struct rng *rng;
    struct group_now now;
    /* Takes each record as it is said; it is valid during the call. */
    void (*emit)(void *ctx, const struct group_record *record);
    void *emit_ctx;
    struct arena *scratch;
    struct consumer_fault late; /* what was said stands, but no target could be made */
    int err;
};

/* What a member says that it holds. */
struct consumer_holds {
    bool given;                  /* else: as before */
    struct consumer_parts parts; /* in order */
};

/* Writes, emits and applies a record; its group id is filled in. */
void consumer_say(struct consumer_step *s, struct consumer_record *r);
void consumer_say_gone(struct consumer_step *s, enum consumer_record_type type, struct str member);
void consumer_say_current(struct consumer_step *s, struct str member,
                          const struct consumer_current *cur);
void consumer_say_meta(struct consumer_step *s, struct str member,
                       const struct consumer_meta *meta);
void consumer_say_target(struct consumer_step *s, struct str member,
                         const struct consumer_parts *parts);
void consumer_say_epoch(struct consumer_step *s, int32_t epoch, uint64_t hash);

/*
 * True if a record of this member with a value of that many bytes is sure to fit into a batch. One that
 * does not would fail the whole coordinator, so it is to be refused before anything is said. Room is
 * kept for the id of a member that takes this one's seat.
 */
bool consumer_fits(const struct consumer_step *s, struct str member, size_t value_bytes);

/* Fills a fault; the message is in the scratch arena, to be copied if it lives longer. */
void consumer_refuse(struct consumer_step *s, struct consumer_fault *f, int16_t code,
                     const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* --- metadata (consumer_metadata.c) --- */

/* Kafka 4.3's hash of one topic's metadata. */
uint64_t consumer_topic_hash(const struct group_topic *t);
/* Of all topics that the group subscribes to and that exist; 0: none do. */
uint64_t consumer_metadata_hash(struct consumer_step *s);
/* True if it is time to look at the metadata again. */
bool consumer_metadata_due(const struct consumer_step *s);
/* Says a new group epoch if bump, or if the metadata changed. */
void consumer_refresh(struct consumer_step *s, bool bump);
/* The metadata has been looked at for the epoch that the group has now. */
void consumer_refreshed(struct consumer_step *s);

/* --- expressions (consumer_regex.c) --- */

/*
 * Resolves the group's expressions as far as the turn allows; says those that are finished, and a new
 * epoch if something changed. g->resolve stays set until all are.
 */
void consumer_resolve(struct consumer_step *s, struct consumer_regex_turn *turn);
/* Sets g->resolve if it is time to; fresh: an expression came that is not resolved. */
void consumer_resolve_if_due(struct consumer_step *s, bool fresh);

/* --- target (target_build.c) --- */

/* Makes a new target assignment if there is a newer group epoch and the interval has passed. */
void target_update(struct consumer_step *s);

/* --- the member's own assignment (consumer_reconcile.c) --- */

/*
 * One move of the member towards its target. changed: its subscription did. True if the partitions
 * assigned to it are others than before.
 */
bool consumer_reconcile(struct consumer_step *s, struct consumer_member *m, bool changed,
                        const struct consumer_holds *holds);

/* --- timers (consumer_timer.c) --- */

void consumer_timer_set(struct consumer_step *s, struct consumer_member *m, enum consumer_timer t,
                        int64_t ms);
void consumer_timer_clear(struct consumer_member *m, enum consumer_timer t);
/* All is replayed: sessions, and the time to give partitions back. */
void consumer_timers_start(struct consumer_step *s);
/* Ids of members whose time is over (scratch), in order; sets g->deadline_ns anew. */
uint32_t consumer_timers_due(struct consumer_step *s, struct str **ids);

/* --- members go (consumer_leave.c) --- */

/* They are removed for good, and the group gets a new epoch. ids are not of these members. */
void consumer_fence(struct consumer_step *s, const struct str *ids, uint32_t n);
/* The members in the order of their ids (scratch); NULL without memory. */
struct consumer_member **consumer_sorted(struct consumer_step *s);

#endif
