/*
 * consumer_heartbeat: the one request of the newer protocol (KIP-848), step by step.
 *
 * Purpose: ConsumerGroupHeartbeat as Kafka 4.3 answers it: join (epoch 0), stay, leave (-1), leave
 * but keep the static seat (-2). Used by consumer_ops.c, which finds, makes and converts groups.
 * Owner: the coordinator's thread. Memory: results are in the step's scratch arena.
 * Order: consumer_heartbeat_valid (the request alone), then for a join or stay
 * consumer_heartbeat_check on the group, which changes nothing, then consumer_heartbeat_run, which
 * cannot be refused; for a leave consumer_leave_check, then what it says.
 */
#ifndef CONTROL_GROUP_CONSUMER_HEARTBEAT_H
#define CONTROL_GROUP_CONSUMER_HEARTBEAT_H

#include "control/group/consumer_step.h"

struct consumer_group_heartbeat_request;

/* A checked request. */
struct consumer_beat {
    const struct consumer_group_heartbeat_request *req;
    struct str client_id, client_host;
    struct str member_id; /* the request's, or one made for it (v0) */
    struct consumer_holds holds;
    struct str *names; /* sorted; NULL: as before */
    uint32_t n_names;
    struct str replaces; /* id of the static member whose seat it takes, or null */
};

struct consumer_beat_reply {
    struct str member_id;
    int32_t epoch;
    bool has_assignment;
    const struct consumer_parts *assigned; /* the group's, until it changes */
};

/* Validates what needs no group. False: the fault says why. Only settings and scratch are used. */
bool consumer_heartbeat_valid(struct consumer_step *s,
                              const struct consumer_group_heartbeat_request *req, int16_t version,
                              struct consumer_fault *fault);

/* False: the fault says why. Fills beat from its req, client_id and client_host. */
bool consumer_heartbeat_check(struct consumer_step *s, struct consumer_beat *beat,
                              struct consumer_fault *fault);
void consumer_heartbeat_run(struct consumer_step *s, const struct consumer_beat *beat,
                            struct consumer_beat_reply *reply);

/*
 * Epoch -1 or -2. False: the fault says why. *stays: the seat is kept (-2) and the record is said;
 * else the member is to be fenced by the caller.
 */
bool consumer_leave_check(struct consumer_step *s,
                          const struct consumer_group_heartbeat_request *req, bool *stays,
                          struct consumer_fault *fault);

/* --- shared with classic members (consumer_classic.c) --- */

/* True if the group has room for this member. */
bool consumer_has_room(struct consumer_step *s, struct str member_id, struct consumer_fault *fault);
/* Takes the seat of the static member `old`: its subscription, target and partitions. */
void consumer_replace(struct consumer_step *s, struct str old, struct str member_id);
/*
 * The member says of itself what `meta` says: the records, a new group epoch and target if that
 * calls for them. True if its subscription changed. *bump tells whether the group's did.
 */
bool consumer_subscribe(struct consumer_step *s, struct str member_id,
                        const struct consumer_meta *meta);
/* A copy (scratch) that outlives the member it is from; NULL without memory. */
struct consumer_meta *consumer_keep_meta(struct consumer_step *s, const struct consumer_meta *from);
/* A member id that the coordinator makes: a random id as Kafka prints it (scratch). */
struct str consumer_uuid_text(struct consumer_step *s);

#endif
