/*
 * rig: a group coordinator with a log, topics and time made for tests.
 *
 * The log is an array of records; with `durable` true an append is durable at once, else when the
 * test calls rig_durable. rig_restart loads a new coordinator from the durable records.
 */
#ifndef TESTS_UNIT_CONTROL_GROUP_RIG_H
#define TESTS_UNIT_CONTROL_GROUP_RIG_H

#include "base/kerr.h"
#include "base/rng.h"
#include "control/group/coordinator.h"
#include "dataplane/proto/apis.h"
#include "dataplane/proto/gen/delete_groups.h"
#include "dataplane/proto/gen/describe_groups.h"
#include "dataplane/proto/gen/heartbeat.h"
#include "dataplane/proto/gen/join_group.h"
#include "dataplane/proto/gen/leave_group.h"
#include "dataplane/proto/gen/list_groups.h"
#include "dataplane/proto/gen/offset_commit.h"
#include "dataplane/proto/gen/offset_delete.h"
#include "dataplane/proto/gen/offset_fetch.h"
#include "dataplane/proto/gen/sync_group.h"

struct rig_record {
    uint8_t *key, *value; /* value NULL: tombstone */
    uint32_t key_len, value_len;
};

struct rig_batch {
    uint64_t seq;
    uint32_t first, count; /* of the log */
};

struct rig_topic {
    const char *name;
    int32_t partitions;
    bool gone;
};

#define rig_topics_max 8

/* True where a sanitizer looks on: then memory is given back at once, else it is kept for reuse. */
static inline bool rig_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer);
#else
    return false;
#endif
}

/* A request and its answer; freed with the rig. */
struct rig_call {
    struct group_call call; /* first */
    struct arena arena;
    bool done;
    bool keep; /* its answer is still to be read: crig_reap leaves it, unless all go */
    struct rig_call *older;
};

struct rig {
    struct coordinator *c;
    struct coordinator_options options;
    struct rng rng;
    struct group_now now;
    bool durable;
    struct rig_record *log;
    uint32_t log_count, log_capacity;
    struct rig_batch pending[256];
    uint32_t n_pending;
    struct rig_topic topics[rig_topics_max]; /* "t0" to "t3", four partitions */
    struct rig_call *calls, *spare;          /* spare: reaped, for reuse */
    uint32_t replies;                        /* taken so far */
    /* set: gets each reply, which is then not a rig_call */
    void (*on_reply)(void *ctx, struct group_call *call);
    void *on_reply_ctx;
};

void rig_init(struct rig *r, uint64_t seed);
/* Frees the coordinator, the log and all calls. */
void rig_free(struct rig *r);

/* Takes outputs until there are none; calls become done. */
void rig_pump(struct rig *r);
/* Makes the oldest n pending appends durable (or fail), then pumps. */
void rig_durable(struct rig *r, uint32_t n, int16_t kerr);
/* A crash: waiting calls never end; of the appends under way the first `keep` are in the log. */
void rig_crash(struct rig *r, uint32_t keep);
static inline void rig_restart(struct rig *r)
{
    rig_crash(r, 0);
}

/* Whether a coordinator loaded from the whole log, and one loaded from the live one's dump, have the
 * state of the live one. */
bool rig_same_after_replay(struct rig *r);

/* Time passes; ticks at each deadline in between. */
void rig_pass(struct rig *r, int64_t ms);

struct rig_call *rig_call(struct rig *r, int16_t api, int16_t version);
struct uuid rig_topic_id(const char *name);

/* Requests with the usual fields; all of them pump. instance and member may be NULL. */
struct rig_call *rig_join(struct rig *r, int16_t version, const char *group, const char *member,
                          const char *instance);
struct rig_call *rig_join_as(struct rig *r, int16_t version, const struct join_group_request *req);
struct rig_call *rig_sync(struct rig *r, const char *group, struct str member, int32_t generation,
                          int32_t n, const struct sync_group_request_assignment *assignments);
int16_t rig_heartbeat(struct rig *r, const char *group, struct str member, int32_t generation);
int16_t rig_leave(struct rig *r, const char *group, struct str member);
/* One partition of "t0" and so on. */
struct rig_call *rig_commit(struct rig *r, int16_t version, const char *group, struct str member,
                            int32_t generation, const char *topic, int32_t partition,
                            int64_t offset);
/* The error of the one partition; -100: no answer yet. */
int16_t rig_commit_error(const struct rig_call *call);
/* The committed offset, -1: none. */
int64_t rig_fetch(struct rig *r, const char *group, const char *topic, int32_t partition);
int16_t rig_delete(struct rig *r, const char *group);
/* The group's state as DescribeGroups tells it. */
const char *rig_state(struct rig *r, const char *group);

static inline struct join_group_response *rig_joined(const struct rig_call *call)
{
    return call->call.response;
}

static inline struct sync_group_response *rig_synced(const struct rig_call *call)
{
    return call->call.response;
}

/* A stable group of one member by version 3 (no MEMBER_ID_REQUIRED); its member id. */
struct str rig_stable(struct rig *r, const char *group, int32_t *generation);

/* A subscription of the consumer protocol, version 0; static storage, four at a time. */
struct proto_bytes rig_subscription(const char *topic);

#endif
