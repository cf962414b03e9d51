/*
 * consumer_group: one group of the newer protocol (KIP-848), as state alone.
 *
 * Purpose: members with their epochs and subscriptions, the group's epoch, the target assignment,
 * what each member holds, regular expressions and what they resolved to. Changed only by applying
 * records (consumer_record.h); what requests do is in the other consumer_*.c files, which emit a
 * record and apply it in one breath, so that replay and live state cannot differ.
 * Owner: the coordinator's thread. Memory: malloc; every object belongs to its group; sets of topic
 * names are shared by the members that have the same.
 * Invariants: owners count, per partition, the members that hold it (assigned or to be revoked); a
 * partition is handed out only at count 0, so two members never hold it. A name set is in the list
 * iff a member or a resolved expression uses it.
 * Failure: ERR_NO_MEMORY, ERR_MALFORMED (a partition number that cannot be). The state stays sound.
 */
#ifndef CONTROL_GROUP_CONSUMER_GROUP_H
#define CONTROL_GROUP_CONSUMER_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/str.h"
#include "base/uuid.h"
#include "core/wheel.h"

struct group;

/* Limits of our own; what is over them is INVALID_REQUEST. */
#define consumer_names_max       20000     /* topic names in one subscription */
#define consumer_group_names_max 1000000   /* in all different subscriptions of a group */
#define consumer_regexes_max     1000      /* different expressions of one group */
#define consumer_parts_max       1000000   /* partitions of one assignment */
#define consumer_scratch_max     (1 * GIB) /* memory of one step, given back after it */

/* Member epochs with a meaning. */
#define CONSUMER_JOIN         0
#define CONSUMER_LEAVE        (-1)
#define CONSUMER_LEAVE_STATIC (-2)

/* As in records; any other value reads as UNKNOWN. */
enum consumer_member_state {
    CONSUMER_STABLE = 0,
    CONSUMER_UNREVOKED = 1,  /* has to give partitions back first */
    CONSUMER_UNRELEASED = 2, /* waits for partitions that others still hold */
    CONSUMER_UNKNOWN = 127,
};

/* A partition and the epoch in which it was given to the member (0 where it does not matter). */
struct consumer_part {
    struct uuid topic;
    int32_t partition;
    int32_t epoch;
};

/* In the order of (topic, partition), each once. */
struct consumer_parts {
    struct consumer_part *v;
    uint32_t n;
};

/* Topic names in order, each once. */
struct consumer_names {
    struct consumer_names *next;
    uint32_t refs;
    uint32_t n;
    struct str v[];
};

struct consumer_proto {
    struct str name, data; /* a classic member's protocol and its metadata */
};

/* What a member says of itself. */
struct consumer_meta {
    struct str instance_id, rack_id; /* may be null */
    struct str client_id, client_host;
    struct str regex;    /* "" or null: none */
    struct str assignor; /* null: the default */
    int32_t rebalance_timeout_ms;
    const struct str *names; /* in order, each once */
    uint32_t n_names;
    bool classic; /* uses the classic protocol; else the rest is empty */
    int32_t session_timeout_ms;
    struct consumer_proto *protocols;
    uint32_t n_protocols;
};

/* Where a member is. */
struct consumer_current {
    int32_t epoch, previous_epoch;
    enum consumer_member_state state;
    struct consumer_parts assigned, pending; /* pending: it still has to give them back */
};

/* Timers of a member; those that are not set are INT64_MAX. */
enum consumer_timer {
    CONSUMER_TIMER_SESSION,
    CONSUMER_TIMER_REBALANCE, /* gives partitions back too slowly */
    CONSUMER_TIMER_JOIN,      /* a classic member that does not join again */
    CONSUMER_TIMER_SYNC,      /* ... or does not sync */
    CONSUMER_TIMERS,
};

struct consumer_member {
    struct str id;
    struct consumer_meta *meta; /* its names are the set's */
    struct consumer_names *names;
    struct consumer_current cur;
    int64_t deadline_ns[CONSUMER_TIMERS];
    int32_t rebalance_epoch; /* of the rebalance timer */
};

struct consumer_target {
    struct str member_id;
    struct consumer_parts parts; /* epochs are 0 */
};

struct consumer_regex {
    struct str text;
    uint32_t members; /* that use it */
    bool resolved;
    struct consumer_names *topics; /* iff resolved */
    int64_t version;               /* of the metadata then */
    int64_t timestamp_ms;
};

/* How many members hold each partition of a topic. */
struct consumer_owned {
    struct uuid topic;
    uint32_t n; /* partitions with a count */
    uint32_t *count;
};

struct consumer_resolving;

struct consumer_group {
    struct str id; /* the owner's memory */
    int32_t epoch;
    int32_t assignment_epoch; /* of the target assignment; -1: its record was removed */
    int64_t assignment_ms;    /* when it was made; 0: unknown */
    uint64_t hash;            /* of the subscribed topics' metadata */
    bool partition_metadata;  /* an old record of Kafka 4.0 is there */
    struct map members;       /* struct consumer_member by id */
    struct map statics;       /* struct consumer_member by instance id */
    struct map targets;       /* struct consumer_target by member id */
    struct map regexes;       /* struct consumer_regex by text */
    struct map owned;         /* struct consumer_owned by topic id */
    struct consumer_names *names;
    uint64_t n_names; /* in all of them */
    uint32_t n_classic;
    /* not persisted */
    int64_t refresh_ms;                   /* wall time at which the metadata is looked at again */
    int32_t refresh_epoch;                /* the group epoch of that decision */
    bool resolve;                         /* expressions wait to be resolved */
    struct consumer_resolving *resolving; /* how far that is; NULL: not begun */
    int64_t deadline_ns;                  /* no timer is due before; may be early */
    /* the coordinator's, consumer_ops.c */
    struct group *group;
    struct wheel_timer timer, resolve_timer;
};

int consumer_group_new(struct consumer_group **out, struct str id, uint64_t seed);
/* NULL is accepted. */
void consumer_group_free(struct consumer_group *g);
void consumer_resolving_free(struct consumer_resolving *x);

struct consumer_member *consumer_member_find(const struct consumer_group *g, struct str id);
struct consumer_member *consumer_static_find(const struct consumer_group *g, struct str instance);
struct consumer_target *consumer_target_find(const struct consumer_group *g, struct str member_id);
struct consumer_regex *consumer_regex_find(const struct consumer_group *g, struct str text);
uint32_t consumer_members(const struct consumer_group *g);

/* "Empty", "Assigning", "Reconciling", "Stable". */
const char *consumer_group_state(const struct consumer_group *g);

/* True if the member has what the target of that epoch gives it. */
bool consumer_reconciled(const struct consumer_member *m, int32_t epoch);

/* Members that hold the partition. */
uint32_t consumer_owners(const struct consumer_group *g, const struct uuid *topic,
                         int32_t partition);

/* Every member subscribes to the same topics by the same means. */
bool consumer_homogeneous(const struct consumer_group *g);

/* --- the effects of records; each copies what it is given --- */
void consumer_apply_epoch(struct consumer_group *g, int32_t epoch, uint64_t hash);
void consumer_apply_target_epoch(struct consumer_group *g, int32_t epoch, int64_t ms);
int consumer_apply_member(struct consumer_group *g, struct str id, const struct consumer_meta *m);
void consumer_apply_member_gone(struct consumer_group *g, struct str id);
int consumer_apply_target(struct consumer_group *g, struct str id,
                          const struct consumer_parts *parts);
void consumer_apply_target_gone(struct consumer_group *g, struct str id);
/* cur NULL: the record is gone, the member holds nothing and has epoch -1. */
int consumer_apply_current(struct consumer_group *g, struct str id,
                           const struct consumer_current *cur);
int consumer_apply_regex(struct consumer_group *g, struct str text, const struct str *topics,
                         uint32_t n_topics, int64_t version, int64_t timestamp_ms);
void consumer_apply_regex_gone(struct consumer_group *g, struct str text);

/* --- small things that several files use --- */
int consumer_part_cmp(const struct consumer_part *a, const struct consumer_part *b);
/* NULL if it is not there. */
const struct consumer_part *consumer_parts_find(const struct consumer_parts *p,
                                                const struct uuid *topic, int32_t partition);
/* Epochs count too. */
bool consumer_parts_equal(const struct consumer_parts *a, const struct consumer_parts *b);
bool consumer_meta_equal(const struct consumer_meta *a, const struct consumer_meta *b);
bool consumer_names_has(const struct consumer_names *set, struct str name);
/* Sorts and drops doubles, in place; returns the number left. */
uint32_t consumer_names_sort(struct str *v, uint32_t n);
/* True if it is an expression: neither null nor "". */
static inline bool consumer_has_regex(const struct consumer_meta *m)
{
    return m->regex.p != NULL && m->regex.len > 0;
}

#endif
