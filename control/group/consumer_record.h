/*
 * consumer_record: the records of consumer groups in __consumer_offsets, as Kafka 4.3 has them.
 *
 * Purpose: one struct for all seven types; bytes from it, bytes to it, its effect on a group. Values
 * are version 0, in Kafka's compact form with tagged fields; unknown tags are passed over.
 * Owner: values only. Memory: a record that was read points into its bytes, its arrays are in the
 * arena given. Failure: ERR_MALFORMED, ERR_UNSUPPORTED (type or value version), ERR_NO_MEMORY.
 */
#ifndef CONTROL_GROUP_CONSUMER_RECORD_H
#define CONTROL_GROUP_CONSUMER_RECORD_H

#include "base/arena.h"
#include "control/group/codec.h"
#include "control/group/consumer_group.h"

/* Types: the first two bytes of a key. */
enum consumer_record_type {
    CONSUMER_RECORD_EPOCH = 3,        /* ConsumerGroupMetadata: epoch, hash */
    CONSUMER_RECORD_PARTITIONS = 4,   /* ...PartitionMetadata, of Kafka 4.0; tombstones since */
    CONSUMER_RECORD_MEMBER = 5,       /* ...MemberMetadata: meta */
    CONSUMER_RECORD_TARGET_EPOCH = 6, /* ...TargetAssignmentMetadata: epoch, timestamp_ms */
    CONSUMER_RECORD_TARGET = 7,       /* ...TargetAssignmentMember: parts */
    CONSUMER_RECORD_CURRENT = 8,      /* ...CurrentMemberAssignment: cur */
    CONSUMER_RECORD_REGEX = 16,       /* ...RegularExpression: topics, version, timestamp_ms */
};

struct consumer_record {
    enum consumer_record_type type;
    struct str group;
    struct str member; /* MEMBER, TARGET, CURRENT; REGEX: the expression */
    bool tombstone;
    int32_t epoch;
    uint64_t hash;
    int64_t timestamp_ms, version;
    struct consumer_meta meta;
    struct consumer_parts parts;
    struct consumer_current cur;
    const struct str *topics;
    uint32_t n_topics;
};

/* key begins behind its type; value NULL: a tombstone. */
int consumer_record_read(struct consumer_record *out, int16_t type, const uint8_t *key,
                         size_t key_len, const uint8_t *value, size_t value_len, struct arena *a);

/* Appends key (with its type) and value; a tombstone leaves value as it is. */
void consumer_record_write(const struct consumer_record *r, struct codec_out *key,
                           struct codec_out *value);

/* Bytes of the values of MEMBER and of CURRENT (which TARGET's are below), at most. */
size_t consumer_meta_bytes(const struct consumer_meta *m);
size_t consumer_parts_bytes(const struct consumer_parts *p);
size_t consumer_names_bytes(const struct str *v, uint32_t n);

/*
 * Changes the group as the record says. A tombstone of EPOCH leaves the group to the caller, who
 * removes it.
 */
int consumer_record_apply(struct consumer_group *g, const struct consumer_record *r);

#endif
