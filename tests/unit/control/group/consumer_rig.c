#include "tests/unit/control/group/consumer_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "control/group/codec.h"
#include "control/group/consumer_ops.h"
#include "control/group/group.h"

static const char *const topic_names[rig_topics_max] = {"t0", "t1", "t2", "t3",
                                                        "t4", "t5", "t6", "t7"};

/* Changes with every change of a topic. */
static uint64_t version(void *ctx)
{
    const struct rig *r = ctx;
    uint64_t v = 1;
    for (int i = 0; i < rig_topics_max; i++)
        v = v * 1000003 +
            (r->topics[i].name && !r->topics[i].gone ? (uint64_t)r->topics[i].partitions + 1 : 0);
    return v;
}

void crig_init(struct rig *r, uint64_t seed)
{
    rig_init(r, seed);
    r->options.consumer = &consumer_protocol_ops;
    r->options.topics.version = version;
    r->options.settings.consumer_assignment_interval_ms = 0;
    rig_restart(r);
}

struct rig_call *crig_send(struct rig *r, int16_t api_version, const struct beat *b)
{
    struct rig_call *call = rig_call(r, API_ConsumerGroupHeartbeat, api_version);
    struct consumer_group_heartbeat_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    consumer_group_heartbeat_request_init(req);
    req->group_id = arena_str(&call->arena, str_from(b->group));
    req->member_id = arena_str(&call->arena, b->member ? str_from(b->member) : STR(""));
    req->instance_id = arena_str(&call->arena, str_from(b->instance));
    req->rack_id = str_from(b->rack);
    req->server_assignor = str_from(b->assignor);
    req->subscribed_topic_regex = str_from(b->regex);
    req->member_epoch = b->epoch;
    req->rebalance_timeout_ms = b->rebalance_ms ? b->rebalance_ms : -1;
    if (b->names_given) {
        req->n_subscribed_topic_names = 0;
        req->subscribed_topic_names =
            arena_calloc(&call->arena, rig_topics_max, sizeof(struct str));
        for (int i = 0; i < rig_topics_max; i++)
            if (b->topics & 1u << i)
                req->subscribed_topic_names[req->n_subscribed_topic_names++] =
                    str_from(topic_names[i]);
    }
    if (b->holds_given) {
        req->n_topic_partitions = 0;
        req->topic_partitions =
            arena_calloc(&call->arena, rig_topics_max, sizeof(*req->topic_partitions));
        for (int i = 0; b->holds && i < rig_topics_max; i++) {
            if (b->holds[i] == 0)
                continue;
            struct consumer_group_heartbeat_request_topic *t =
                &req->topic_partitions[req->n_topic_partitions++];
            t->topic_id = rig_topic_id(topic_names[i]);
            t->partitions = arena_calloc(&call->arena, 32, sizeof(int32_t));
            for (int p = 0; p < 32; p++)
                if (b->holds[i] & 1u << p)
                    t->partitions[t->n_partitions++] = p;
        }
    }
    coordinator_consumer_heartbeat(r->c, &call->call, req, r->now);
    rig_pump(r);
    return call;
}

struct consumer_group_heartbeat_response *crig_beat(struct rig *r, const struct beat *b)
{
    struct rig_call *call = crig_send(r, 1, b);
    CHECK(call->done);
    return call->call.response;
}

struct consumer_group_heartbeat_response *crig_join(struct rig *r, const char *group,
                                                    const char *member, uint32_t topics)
{
    struct beat b = {.group = group,
                     .member = member,
                     .rebalance_ms = 10000,
                     .names_given = true,
                     .topics = topics,
                     .holds_given = true};
    return crig_beat(r, &b);
}

struct consumer_group_heartbeat_response *crig_stay(struct rig *r, const char *group,
                                                    const char *member, int32_t epoch,
                                                    const uint32_t *holds)
{
    struct beat b = {.group = group,
                     .member = member,
                     .epoch = epoch,
                     .holds_given = holds != NULL,
                     .holds = holds};
    return crig_beat(r, &b);
}

bool crig_assignment(const struct consumer_group_heartbeat_response *resp, uint32_t *parts)
{
    memset(parts, 0, rig_topics_max * sizeof(*parts));
    if (resp->assignment == NULL)
        return false;
    for (int32_t i = 0; i < resp->assignment->n_topic_partitions; i++) {
        const struct consumer_group_heartbeat_response_topic *t =
            &resp->assignment->topic_partitions[i];
        for (int32_t k = 0; k < t->n_partitions; k++)
            parts[t->topic_id.b[2] - '0'] |= 1u << t->partitions[k];
    }
    return true;
}

struct consumer_group_describe_response_group *crig_describe(struct rig *r, const char *group)
{
    struct rig_call *call = rig_call(r, API_ConsumerGroupDescribe, 1);
    coordinator_consumer_describe(r->c, &call->call, str_from(group), r->now);
    rig_pump(r);
    CHECK(call->done);
    return call->call.response;
}

const struct consumer_group *crig_group(const struct rig *r, const char *group)
{
    struct group *g = group_find(r->c, str_from(group));
    return g && g->type == GROUP_CONSUMER ? g->consumer : NULL;
}

void crig_reap(struct rig *r, bool all)
{
    for (struct rig_call **at = &r->calls, *call; (call = *at) != NULL;) {
        if (!all && (!call->done || call->keep)) {
            at = &call->older;
            continue;
        }
        *at = call->older;
        if (rig_sanitized()) {
            arena_free(&call->arena);
            free(call);
            continue;
        }
        arena_reset(&call->arena);
        call->older = r->spare;
        r->spare = call;
    }
}

/* --- replay --- */

static int gather(void *ctx, const struct group_record *rec)
{
    struct codec_out *o = ctx;
    codec_put_bytes(o, rec->key, rec->key_len);
    codec_put_bytes(o, rec->value, rec->value_len);
    return o->failed;
}

/* Marks the last record of each key. */
static bool *last_of_keys(const struct rig *r)
{
    struct map seen;
    bool *last = calloc(r->log_count + 1, sizeof(*last));
    CHECK(last != NULL && map_init(&seen, 64, true, 1) == 0);
    for (uint32_t i = r->log_count; i-- > 0;) {
        last[i] = map_get(&seen, r->log[i].key, r->log[i].key_len) == NULL;
        if (last[i])
            CHECK(map_put(&seen, r->log[i].key, r->log[i].key_len, &r->log[i], NULL) == 0);
    }
    map_free(&seen);
    return last;
}

/* last NULL: of the whole log; else of what a compaction would leave. */
static struct codec_out dump_replayed(struct rig *r, const bool *last)
{
    struct codec_out o = {0};
    struct coordinator *c;
    struct rng rng = r->rng; /* the live one draws on undisturbed */
    struct coordinator_options options = r->options;
    options.rng = &rng;
    CHECK(coordinator_new(&c, &options, r->now) == 0);
    for (uint32_t i = 0; i < r->log_count; i++)
        if (last == NULL || last[i])
            CHECK(coordinator_replay(c, r->log[i].key, r->log[i].key_len, r->log[i].value,
                                     r->log[i].value_len, -1) == 0);
    CHECK(coordinator_dump(c, gather, &o) == 0);
    coordinator_free(c);
    return o;
}

bool crig_replay_equals(struct rig *r)
{
    struct codec_out live = {0};
    bool same = true;
    bool *last = last_of_keys(r);
    CHECK(coordinator_dump(r->c, gather, &live) == 0);
    for (int compacted = 0; compacted < 2; compacted++) {
        struct codec_out o = dump_replayed(r, compacted ? last : NULL);
        if (o.len != live.len || (o.len > 0 && memcmp(o.p, live.p, o.len) != 0)) {
            printf("replay of the %s log differs: %u bytes, live %u\n",
                   compacted ? "compacted" : "whole", o.len, live.len);
            same = false;
        }
        codec_out_free(&o);
    }
    codec_out_free(&live);
    free(last);
    return same;
}
