/*
 * consumer_rig: the rig with KIP-848 on, its requests, and looks into consumer groups.
 */
#ifndef TESTS_UNIT_CONTROL_GROUP_CONSUMER_RIG_H
#define TESTS_UNIT_CONTROL_GROUP_CONSUMER_RIG_H

#include "control/group/consumer_group.h"
#include "dataplane/proto/gen/consumer_group_describe.h"
#include "dataplane/proto/gen/consumer_group_heartbeat.h"
#include "tests/unit/control/group/rig.h"

/* What a heartbeat says; zero and NULL mean: not said. */
struct beat {
    const char *group, *member, *instance, *rack, *assignor, *regex;
    int32_t epoch;
    int32_t rebalance_ms; /* 0: -1 */
    bool names_given;     /* else null */
    uint32_t topics;      /* bit i: "t<i>" */
    bool holds_given;
    const uint32_t *holds; /* per topic a bit per partition; NULL: none */
};

/* The rig with settings that assign at once. */
void crig_init(struct rig *r, uint64_t seed);
/* Sends it; the answer is there when call->done. */
struct rig_call *crig_send(struct rig *r, int16_t version, const struct beat *b);
/* Sends it in durable mode; the answer. */
struct consumer_group_heartbeat_response *crig_beat(struct rig *r, const struct beat *b);
/* A first heartbeat: epoch 0, these topics. */
struct consumer_group_heartbeat_response *crig_join(struct rig *r, const char *group,
                                                    const char *member, uint32_t topics);
/* A later one that says what it holds. */
struct consumer_group_heartbeat_response *crig_stay(struct rig *r, const char *group,
                                                    const char *member, int32_t epoch,
                                                    const uint32_t *holds);
/* Partitions of an answer, per topic; false: no assignment in it. */
bool crig_assignment(const struct consumer_group_heartbeat_response *resp, uint32_t *parts);
struct consumer_group_describe_response_group *crig_describe(struct rig *r, const char *group);
/* The consumer group, or NULL. */
const struct consumer_group *crig_group(const struct rig *r, const char *group);
/* Frees calls that are done (all: those that never will be, too, after a restart). */
void crig_reap(struct rig *r, bool all);

/* True if a coordinator loaded from the log, as it is and compacted, has the same state as c. */
bool crig_replay_equals(struct rig *r);

#endif
