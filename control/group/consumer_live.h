/*
 * consumer_live: a consumer group inside its coordinator; shared by consumer_ops.c, consumer_classic.c
 * and consumer_convert.c only.
 *
 * Purpose: makes a step out of a coordinator's one, and ends it: timers armed, failures passed on.
 * Owner: the coordinator's thread. Memory: a struct consumer_act lives on the stack of one call.
 */
#ifndef CONTROL_GROUP_CONSUMER_LIVE_H
#define CONTROL_GROUP_CONSUMER_LIVE_H

#include "control/group/consumer_heartbeat.h"
#include "control/group/group.h"

struct classic_group;

/* One act: the step, and what it is made of. */
struct consumer_act {
    struct consumer_step s;
    struct group_settings settings;
    struct arena scratch;
    struct coordinator *c;
};

/* group_id: whose settings; consumer: may be NULL, then s.g is set later. */
void consumer_act_begin(struct consumer_act *a, struct coordinator *c, struct str group_id,
                        struct consumer_group *consumer);
/* g: the group whose timers are armed; NULL or no consumer group (any more): none are. */
void consumer_act_end(struct consumer_act *a, struct group *g);

/* Hangs a group of this id's onto the coordinator: *out. The consumer group is taken over. False: no
 * memory, or too many groups; then it is freed. */
bool consumer_attach(struct coordinator *c, struct str id, struct consumer_group *consumer,
                     struct group **out);

/* Removes members, with what follows from it: if only classic members are left, the group becomes a
 * classic one (then it is not GROUP_CONSUMER any more, and a->s.g is NULL). */
void consumer_fence_or_downgrade(struct consumer_act *a, struct group *g, const struct str *ids,
                                 uint32_t n);

/* Tombstones of all records of the group. */
void consumer_tombstones(struct consumer_step *s,
                         void (*emit)(void *ctx, const struct group_record *), void *ctx);
/* consumer_protocol.dump. */
int consumer_dump(const struct consumer_group *g, coordinator_record_fn *fn, void *ctx);
bool consumer_describe(const struct group *g, struct group_call *call,
                       struct consumer_group_describe_response_group *out);

/* --- between the protocols (consumer_convert.c) --- */

/* A consumer group with the members of a classic one. False: the fault says why. */
bool consumer_from_classic(struct consumer_act *a, const struct classic_group *k, struct str id,
                           struct consumer_group **out, struct consumer_fault *fault);
/* The classic group's waiting calls are answered, it gives way to the consumer group made of it, and
 * the records say so. False: no memory. */
bool consumer_upgrade(struct consumer_act *a, struct group *classic,
                      struct consumer_group *consumer, struct group **out);
/* True if, without these members, only classic ones are left and the group may become classic. */
bool consumer_may_downgrade(struct consumer_act *a, const struct str *gone, uint32_t n);
/* True if, without these members, the record of the classic group is sure to fit into a batch. */
bool consumer_fits_classic(struct consumer_act *a, const struct str *gone, uint32_t n);
/*
 * Becomes a classic group of its remaining members, which rebalances; a->s.g is NULL after. Always:
 * none of them was ever told that it leads, so without it nobody would notice a topic that grows.
 */
void consumer_downgrade(struct consumer_act *a, struct group *g, const struct str *gone,
                        uint32_t n);

/* --- classic members of consumer groups (consumer_classic.c) --- */
void consumer_classic_join(struct group *g, struct group_call *call,
                           const struct join_group_request *req);
void consumer_classic_sync(struct group *g, struct group_call *call,
                           const struct sync_group_request *req);
void consumer_classic_heartbeat(struct group *g, struct group_call *call,
                                const struct heartbeat_request *req);
void consumer_classic_leave(struct group *g, struct group_call *call,
                            const struct leave_group_request *req);

#endif
