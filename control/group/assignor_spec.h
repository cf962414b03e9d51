/*
 * assignor_spec: who shall own which partition of a consumer group (KIP-848, on the broker).
 *
 * Purpose: the two assignors of Kafka, `uniform` and `range`, as pure functions from a description
 * of the group to one owner per partition. That a partition has at most one owner is so by the form
 * of the answer: an array with one entry per partition.
 * Owner: none, no state. Memory: the caller's arrays; scratch memory comes from an arena.
 * Invariants: the answer depends on the spec alone (same spec, same answer); a partition is owned
 * by a member that subscribes to its topic, or by nobody if no member does.
 * Failure: ERR_NO_MEMORY (scratch), nothing is promised about *owner then.
 */
#ifndef CONTROL_GROUP_ASSIGNOR_SPEC_H
#define CONTROL_GROUP_ASSIGNOR_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "base/uuid.h"

/* Rounds over all topics in which the uniform assignor evens out a mixed group, at most. */
#define assignor_balance_rounds_max 256

#define ASSIGNOR_NOBODY (-1)

struct assignor_topic {
    struct uuid id;
    uint32_t partitions;
    uint32_t first; /* index of its partition 0 among all partitions */
};

struct assignor_member {
    struct str id;
    struct str instance_id; /* null: a dynamic member */
    const uint32_t *topics; /* indices of subscribed topics, ascending, each once */
    uint32_t topic_count;
};

struct assignor_spec {
    const struct assignor_member *members; /* in the order of ids */
    uint32_t member_count;
    const struct assignor_topic *topics; /* in the order of ids */
    uint32_t topic_count;
    uint32_t partition_count; /* of all topics together */
    const int32_t *prior;     /* per partition: index of the member that had it, ASSIGNOR_NOBODY */
    bool homogeneous;         /* all members subscribe to the same topics, to all of the spec */
};

/*
 * As even as can be, and as few partitions moved as that allows. A group whose members subscribe to
 * the same topics gets loads that differ by one at most; in a mixed group no single partition can
 * be moved so that the loads of two members come closer by more than one.
 */
int assignor_uniform(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch);

/*
 * Per topic, ranges of neighbouring partitions to the subscribers in order: static members first,
 * by instance id, then the others by member id. Topics with equal numbers of partitions and the
 * same subscribers are divided alike (co-partitioning). Prior owners do not matter.
 */
int assignor_range(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch);

/* The part of assignor_uniform for mixed groups; owner is in and out. */
int assignor_balance(const struct assignor_spec *spec, int32_t *owner, struct arena *scratch);

#endif
