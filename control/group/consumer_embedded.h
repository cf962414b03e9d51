/*
 * consumer_embedded: what classic consumers say to each other inside JoinGroup and SyncGroup.
 *
 * Purpose: ConsumerProtocolSubscription (versions 0 to 3) and ConsumerProtocolAssignment, which are
 * opaque to a classic group and must be understood when the protocols mix. A newer version is read
 * as version 3, as Kafka does. Pure. Memory: what is read points into the bytes, arrays are in the
 * arena. Failure: ERR_MALFORMED, ERR_NO_MEMORY.
 */
#ifndef CONTROL_GROUP_CONSUMER_EMBEDDED_H
#define CONTROL_GROUP_CONSUMER_EMBEDDED_H

#include "base/arena.h"
#include "control/group/codec.h"
#include "control/group/consumer_group.h"

struct group_topics;

#define consumer_embedded_version_max 3

struct consumer_embedded {
    struct str *topics; /* subscription: in order, each once */
    uint32_t n_topics;
    struct consumer_parts parts; /* owned or assigned, of topics that exist; epochs are 0 */
    struct str rack_id;          /* null: none */
    bool user_data;              /* there is some */
};

int consumer_subscription_read(struct str bytes, const struct group_topics *topics, struct arena *a,
                               struct consumer_embedded *out);
/* Empty bytes: nothing is assigned. */
int consumer_assignment_read(struct str bytes, const struct group_topics *topics, struct arena *a,
                             struct consumer_embedded *out);

/* The version that a subscription was written in, for the assignment; ERR_MALFORMED. */
int consumer_embedded_version(struct str subscription);
/* Topics that do not exist any more are left out. */
void consumer_assignment_write(struct codec_out *o, int version, const struct consumer_parts *parts,
                               const struct group_topics *topics);

#endif
