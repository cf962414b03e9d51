/*
 * classic: a group of the classic protocol (JoinGroup, SyncGroup), as Kafka's ClassicGroup.
 *
 * Purpose: members, their protocols, the states of a rebalance; pure like all of this folder.
 * Owner: the coordinator's thread. Memory: malloc, freed with the group.
 * Invariants: n_awaiting_join counts members with awaiting_join; members have no id, and static
 * members no instance id, in common; EMPTY has no members; STABLE and COMPLETING_REBALANCE have
 * some. A call is parked in join_call only while awaiting_join, in sync_call only while awaiting_sync.
 */
#ifndef CONTROL_GROUP_CLASSIC_H
#define CONTROL_GROUP_CLASSIC_H

#include "control/group/codec.h"
#include "control/group/group.h"

struct join_group_request_protocol;
struct describe_groups_response_group;

/* How long a member may wait in its first join, as nobody can tell that it is alive. */
#define classic_new_member_join_ms 300000

enum classic_state {
    CLASSIC_EMPTY,
    CLASSIC_PREPARING_REBALANCE,
    CLASSIC_COMPLETING_REBALANCE,
    CLASSIC_STABLE,
    CLASSIC_DEAD, /* never held: a dead group is gone */
};

struct classic_protocol {
    struct str name, metadata; /* in the member's block */
};

struct classic_member {
    struct classic_member *next, **prev; /* in the order of joining */
    struct group *group;
    struct str id, instance_id, client_id, client_host; /* instance_id null: dynamic */
    int32_t rebalance_ms, session_ms;
    struct classic_protocol *protocols; /* one block with names and metadata, the best first */
    uint32_t n_protocols;
    struct str assignment; /* malloc'd; empty p may be NULL */
    struct group_call *join_call, *sync_call;
    bool awaiting_join, awaiting_sync; /* true also when the call was cancelled */
    bool is_new;                       /* has not been in a generation */
    bool pending_sync;                 /* of this generation */
    struct wheel_timer session;
};

/* A member id that was given out (MEMBER_ID_REQUIRED) and has not joined. */
struct classic_pending {
    struct group *group;
    struct str id;
    struct wheel_timer session;
};

/* How many members offer a protocol. */
struct classic_count {
    struct str name; /* malloc'd */
    uint32_t members;
};

struct classic_group {
    enum classic_state state, previous;
    int64_t state_ms; /* wall time of the last transition; -1: not known */
    int32_t generation;
    struct str protocol_type, protocol_name, leader; /* malloc'd or null */
    struct classic_member *members, **members_end;
    struct map by_id, by_instance; /* struct classic_member */
    struct map pending;            /* struct classic_pending */
    struct map protocols;          /* struct classic_count */
    uint32_t n_members, n_awaiting_join, n_pending_sync;
    bool leaderless;                /* so says the record that it was loaded from */
    bool new_member_added;          /* during the initial rebalance */
    bool initial;                   /* join_timer runs an initial rebalance */
    int32_t delay_ms, remaining_ms; /* of the initial rebalance */
    bool subscribed_known;          /* protocol "consumer" and its metadata was legible */
    struct map subscribed;          /* names (struct str, malloc'd) */
    struct wheel_timer join_timer, sync_timer;
    struct str record; /* the value last written or replayed; null: none */
    struct group *group;
};

/* --- life --- */

/* Makes the group (GROUP_NONE) an EMPTY classic one, without a record. ERR_NO_MEMORY. */
int classic_group_new(struct group *g);
/* Frees members, timers and memory; parked calls get UNKNOWN_MEMBER_ID. g->type is the caller's. */
void classic_group_free(struct group *g);

/* "Empty", "PreparingRebalance", ... */
const char *classic_state_name(enum classic_state state);

/* --- members --- */

struct classic_member *classic_member_find(const struct classic_group *k, struct str id);
struct classic_member *classic_member_static(const struct classic_group *k, struct str instance_id);

/* What a new member is made of; all is copied. */
struct classic_member_spec {
    struct str id, instance_id, client_id, client_host, protocol_type;
    int32_t rebalance_ms, session_ms;
    const struct join_group_request_protocol *protocols;
    int32_t n_protocols;
};
/* NULL: no memory. The first member gives the group its protocol type and is its leader. */
struct classic_member *classic_member_add(struct group *g, const struct classic_member_spec *spec);
/* Calls that it waits in get this error; the next member becomes leader if it was. */
void classic_member_remove(struct group *g, struct classic_member *m, int16_t kerr);
/* Replaces what it offers. ERR_NO_MEMORY: nothing is changed. */
int classic_member_set_protocols(struct group *g, struct classic_member *m,
                                 const struct join_group_request_protocol *protocols, int32_t n);
/* A static member comes back under a new id (malloc'd, taken over). ERR_NO_MEMORY. */
int classic_member_rename(struct group *g, struct classic_member *m, struct str new_id);
/* Empty or a malloc'd copy. ERR_NO_MEMORY. */
int classic_member_set_assignment(struct classic_member *m, struct str assignment);
/* Its metadata for a protocol; null if it does not offer that. */
struct str classic_member_metadata(const struct classic_member *m, struct str protocol);
bool classic_member_matches(const struct classic_member *m,
                            const struct join_group_request_protocol *protocols, int32_t n);
/* 0, UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID. */
int16_t classic_check_member(const struct classic_group *k, struct str member_id,
                             struct str instance_id);

struct classic_pending *classic_pending_find(const struct classic_group *k, struct str id);
/* id is malloc'd and taken over. ERR_NO_MEMORY. */
int classic_pending_add(struct group *g, struct str id, int32_t session_ms);
void classic_pending_remove(struct group *g, struct classic_pending *p);
/* Without taking it out of the map. */
void classic_pending_free(struct group *g, struct classic_pending *p);

/* --- the group --- */

bool classic_supports(const struct classic_group *k, struct str type,
                      const struct join_group_request_protocol *protocols, int32_t n);
/* The protocol with the most votes among those that all offer. Null if there is none. */
struct str classic_select_protocol(const struct classic_group *k);
bool classic_is_leader(const struct classic_group *k, const struct classic_member *m);
bool classic_uses_consumer_protocol(const struct classic_group *k);
bool classic_is_subscribed(const struct classic_group *k, struct str topic);
int64_t classic_rebalance_timeout_ms(const struct classic_group *k);
/* Of one JoinGroup: version 0 has none, and the session's counts. */
int32_t classic_join_rebalance_ms(const struct group_call *call,
                                  const struct join_group_request *req);
void classic_transition(struct group *g, enum classic_state to);
/* ERR_NO_MEMORY leaves the old value. A null is stored as null. */
int classic_set_str(struct str *field, struct str value);
/* Reads the members' subscriptions of the protocol "consumer". */
void classic_compute_subscribed(struct group *g);

/* --- records (classic_record.c) --- */

/* Emits the group's record as it is now; false if it does not fit into a batch (nothing emitted). */
bool classic_emit(struct group *g);
void classic_emit_tombstone(struct group *g);
int classic_replay(struct coordinator *c, struct str group_id, const uint8_t *value, size_t len);
int classic_dump(const struct group *g, coordinator_record_fn *fn, void *ctx);
void classic_loaded(struct group *g);

/* --- rebalance (classic_rebalance.c) --- */

void classic_prepare_rebalance(struct group *g);
/* A rebalance if the state allows one to begin, else the end of the join phase if all are there. */
void classic_rebalance_or_complete(struct group *g);
void classic_maybe_complete_join(struct group *g);
void classic_rearm_session(struct classic_member *m);
/* The record with this generation's assignment is durable. */
void classic_assigned(struct group *g, int32_t generation);
/* Answers every sync that waits, with the assignments (0) or this error. */
void classic_propagate(struct group *g, int16_t kerr);
/* The member has sent its sync. */
void classic_sync_arrived(struct group *g, struct classic_member *m);
void classic_session_fired(struct wheel_timer *t, int64_t now_ns);
void classic_pending_fired(struct wheel_timer *t, int64_t now_ns);
void classic_join_fired(struct wheel_timer *t, int64_t now_ns);
void classic_sync_fired(struct wheel_timer *t, int64_t now_ns);

/* --- requests --- */

void classic_join(struct coordinator *c, struct group_call *call,
                  const struct join_group_request *req);
void classic_join_reply_error(struct coordinator *c, struct group_call *call, int16_t kerr,
                              struct str member_id);
/* Of this generation, to a member; members for the leader. */
void classic_join_reply(struct group *g, struct classic_member *m, struct group_call *call);
void classic_sync(struct group *g, struct group_call *call, const struct sync_group_request *req);
void classic_sync_reply(struct group *g, struct classic_member *m, struct group_call *call);
int16_t classic_heartbeat(struct group *g, const struct heartbeat_request *req);
void classic_leave(struct group *g, struct group_call *call, const struct leave_group_request *req);
bool classic_describe(const struct group *g, struct group_call *call,
                      struct describe_groups_response_group *out);
int16_t classic_check_commit(struct group *g, struct str member_id, struct str instance_id,
                             int32_t generation);

#endif
