#include "tests/unit/control/group/rig.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"

static const struct rig_topic *topic_find(const struct rig *r, struct str name)
{
    for (int i = 0; i < rig_topics_max; i++)
        if (r->topics[i].name && !r->topics[i].gone && str_eqz(name, r->topics[i].name))
            return &r->topics[i];
    return NULL;
}

struct uuid rig_topic_id(const char *name)
{
    struct uuid id = {{0}};
    id.b[0] = 0x7f;
    for (size_t i = 0; name[i] && i < 15; i++)
        id.b[i + 1] = (uint8_t)name[i];
    return id;
}

static void topic_fill(const struct rig_topic *t, struct group_topic *out)
{
    *out = (struct group_topic){str_from(t->name), rig_topic_id(t->name), t->partitions};
}

static bool by_name(void *ctx, struct str name, struct group_topic *out)
{
    const struct rig_topic *t = topic_find(ctx, name);
    if (t)
        topic_fill(t, out);
    return t != NULL;
}

static bool by_id(void *ctx, const struct uuid *id, struct group_topic *out)
{
    const struct rig *r = ctx;
    for (int i = 0; i < rig_topics_max; i++) {
        const struct rig_topic *t = &r->topics[i];
        if (t->name && !t->gone) {
            struct uuid have = rig_topic_id(t->name);
            if (uuid_eq(&have, id)) {
                topic_fill(t, out);
                return true;
            }
        }
    }
    return false;
}

static void each(void *ctx, void (*fn)(void *, const struct group_topic *), void *fn_ctx)
{
    const struct rig *r = ctx;
    for (int i = 0; i < rig_topics_max; i++)
        if (r->topics[i].name && !r->topics[i].gone) {
            struct group_topic t;
            topic_fill(&r->topics[i], &t);
            fn(fn_ctx, &t);
        }
}

static uint64_t version(void *ctx)
{
    (void)ctx;
    return 1;
}

void rig_init(struct rig *r, uint64_t seed)
{
    static const char *const names[] = {"t0", "t1", "t2", "t3"};
    *r = (struct rig){.durable = true, .now = {1000000000, 1700000000000}};
    for (int i = 0; i < 4; i++)
        r->topics[i] = (struct rig_topic){names[i], 4, false};
    rng_seed(&r->rng, seed);
    group_settings_init(&r->options.settings);
    r->options.rng = &r->rng;
    r->options.topics = (struct group_topics){r, by_name, by_id, each, version};
    CHECK(coordinator_new(&r->c, &r->options, r->now) == 0);
    coordinator_loaded(r->c, r->now);
}

static void records_free(struct rig *r, uint32_t from)
{
    for (uint32_t i = from; i < r->log_count; i++) {
        free(r->log[i].key);
        free(r->log[i].value);
    }
    r->log_count = from;
}

static void calls_free(struct rig_call *list)
{
    for (struct rig_call *call; (call = list);) {
        list = call->older;
        arena_free(&call->arena);
        free(call);
    }
}

void rig_free(struct rig *r)
{
    coordinator_free(r->c);
    records_free(r, 0);
    free(r->log);
    calls_free(r->calls);
    calls_free(r->spare);
}

static uint8_t *copy(const uint8_t *p, uint32_t n)
{
    uint8_t *q = malloc(n + 1);
    CHECK(q != NULL);
    memcpy(q, p, n);
    return q;
}

static void log_append(struct rig *r, const struct group_append *a)
{
    CHECK(a->n_records > 0 && r->n_pending < 256);
    CHECK(a->bytes <= r->options.settings.append_bytes_max);
    r->pending[r->n_pending++] = (struct rig_batch){a->seq, r->log_count, a->n_records};
    for (uint32_t i = 0; i < a->n_records; i++) {
        const struct group_record *from = &a->records[i];
        if (r->log_count == r->log_capacity) {
            r->log_capacity = r->log_capacity ? r->log_capacity * 2 : 64;
            r->log = realloc(r->log, r->log_capacity * sizeof(*r->log));
            CHECK(r->log != NULL);
        }
        r->log[r->log_count++] = (struct rig_record){
            copy(from->key, from->key_len), from->value ? copy(from->value, from->value_len) : NULL,
            from->key_len, from->value_len};
    }
}

static void durable_one(struct rig *r, int16_t kerr)
{
    CHECK(r->n_pending > 0);
    uint64_t seq = r->pending[0].seq;
    r->n_pending--;
    for (uint32_t i = 0; i < r->n_pending; i++)
        r->pending[i] = r->pending[i + 1];
    coordinator_appended(r->c, seq, kerr, r->now);
}

void rig_pump(struct rig *r)
{
    struct group_outputs out;
    while (coordinator_take(r->c, &out)) {
        for (struct group_call *call = out.replies, *next; call; call = next) {
            next = call->next;
            r->replies++;
            if (r->on_reply)
                r->on_reply(r->on_reply_ctx, call);
            else
                ((struct rig_call *)call)->done = true;
        }
        for (const struct group_append *a = out.appends, *next; a; a = next) {
            next = a->next;
            log_append(r, a);
        }
        while (r->durable && r->n_pending > 0)
            durable_one(r, 0);
    }
}

void rig_durable(struct rig *r, uint32_t n, int16_t kerr)
{
    while (n-- > 0 && r->n_pending > 0)
        durable_one(r, kerr);
    rig_pump(r);
}

void rig_crash(struct rig *r, uint32_t keep)
{
    uint32_t durable = keep < r->n_pending ? r->pending[keep].first : r->log_count;
    coordinator_free(r->c);
    r->n_pending = 0;
    records_free(r, durable);
    CHECK(coordinator_new(&r->c, &r->options, r->now) == 0);
    for (uint32_t i = 0; i < r->log_count; i++)
        CHECK(coordinator_replay(r->c, r->log[i].key, r->log[i].key_len, r->log[i].value,
                                 r->log[i].value_len, -1) == 0);
    coordinator_loaded(r->c, r->now);
    rig_pump(r);
}

/* --- comparison --- */

struct image {
    uint8_t *p;
    size_t len, capacity;
};

static void image_add(struct image *m, const void *p, uint32_t n)
{
    if (m->len + n + 4 > m->capacity) {
        m->capacity = (m->len + n + 4) * 2;
        m->p = realloc(m->p, m->capacity);
        CHECK(m->p != NULL);
    }
    memcpy(m->p + m->len, &n, 4);
    if (n)
        memcpy(m->p + m->len + 4, p, n);
    m->len += n + 4;
}

static int image_record(void *ctx, const struct group_record *record)
{
    image_add(ctx, record->key, record->key_len);
    image_add(ctx, record->value, record->value_len);
    return 0;
}

static int replay_record(void *ctx, const struct group_record *record)
{
    return coordinator_replay(ctx, record->key, record->key_len, record->value, record->value_len,
                              -1);
}

bool rig_same_after_replay(struct rig *r)
{
    struct coordinator_options options = r->options;
    struct coordinator *from_log, *from_dump;
    struct image images[3] = {{0}};
    struct rng rng;
    rng_seed(&rng, 1);
    options.rng = &rng;
    CHECK(coordinator_new(&from_log, &options, r->now) == 0);
    CHECK(coordinator_new(&from_dump, &options, r->now) == 0);
    for (uint32_t i = 0; i < r->log_count; i++)
        CHECK(coordinator_replay(from_log, r->log[i].key, r->log[i].key_len, r->log[i].value,
                                 r->log[i].value_len, -1) == 0);
    CHECK(coordinator_dump(r->c, replay_record, from_dump) == 0);
    CHECK(coordinator_dump(r->c, image_record, &images[0]) == 0);
    CHECK(coordinator_dump(from_log, image_record, &images[1]) == 0);
    CHECK(coordinator_dump(from_dump, image_record, &images[2]) == 0);
    bool same = true;
    for (int i = 1; i < 3; i++)
        same = same && images[i].len == images[0].len &&
               (images[0].len == 0 || memcmp(images[i].p, images[0].p, images[0].len) == 0);
    for (int i = 0; i < 3; i++)
        free(images[i].p);
    coordinator_free(from_log);
    coordinator_free(from_dump);
    return same;
}

void rig_pass(struct rig *r, int64_t ms)
{
    int64_t until = r->now.mono_ns + ms * 1000000;
    while (r->now.mono_ns < until) {
        int64_t next = coordinator_next_deadline(r->c);
        if (next > until)
            next = until;
        if (next <= r->now.mono_ns)
            next = r->now.mono_ns + 1000000; /* the wheel's tick */
        r->now.wall_ms += next / 1000000 - r->now.mono_ns / 1000000;
        r->now.mono_ns = next;
        coordinator_tick(r->c, r->now);
        rig_pump(r);
    }
}

struct rig_call *rig_call(struct rig *r, int16_t api, int16_t version)
{
    struct rig_call *call = r->spare;
    if (call != NULL) {
        struct arena arena = call->arena;
        r->spare = call->older;
        *call = (struct rig_call){.arena = arena};
    } else {
        call = calloc(1, sizeof(*call));
        CHECK(call != NULL);
        arena_init(&call->arena, 4 << 20);
    }
    call->call = (struct group_call){.api_key = api,
                                     .version = version,
                                     .client_id = STR("client"),
                                     .client_host = STR("/127.0.0.1"),
                                     .arena = &call->arena};
    call->older = r->calls;
    r->calls = call;
    return call;
}

struct proto_bytes rig_subscription(const char *topic)
{
    static uint8_t buf[4][64];
    static int turn;
    uint8_t *p = buf[turn++ % 4];
    size_t n = strlen(topic);
    bytes_put_u16(p, 0);
    bytes_put_u32(p + 2, 1);
    bytes_put_u16(p + 6, (uint16_t)n);
    memcpy(p + 8, topic, n);
    bytes_put_u32(p + 8 + n, UINT32_MAX);
    return (struct proto_bytes){p, (uint32_t)n + 12};
}

struct rig_call *rig_join_as(struct rig *r, int16_t version, const struct join_group_request *req)
{
    struct rig_call *call = rig_call(r, API_JoinGroup, version);
    coordinator_join(r->c, &call->call, req, r->now);
    rig_pump(r);
    return call;
}

struct rig_call *rig_join(struct rig *r, int16_t version, const char *group, const char *member,
                          const char *instance)
{
    struct join_group_request_protocol protocol = {STR("range"), rig_subscription("t0")};
    struct join_group_request req;
    join_group_request_init(&req);
    req.group_id = str_from(group);
    req.session_timeout_ms = 10000;
    req.rebalance_timeout_ms = 20000;
    req.member_id = member ? str_from(member) : STR("");
    req.group_instance_id = str_from(instance);
    req.protocol_type = STR("consumer");
    req.protocols = &protocol;
    req.n_protocols = 1;
    return rig_join_as(r, version, &req);
}

struct rig_call *rig_sync(struct rig *r, const char *group, struct str member, int32_t generation,
                          int32_t n, const struct sync_group_request_assignment *assignments)
{
    struct rig_call *call = rig_call(r, API_SyncGroup, 5);
    struct sync_group_request req;
    sync_group_request_init(&req);
    req.group_id = str_from(group);
    req.generation_id = generation;
    req.member_id = member;
    req.assignments = (struct sync_group_request_assignment *)(uintptr_t)assignments;
    req.n_assignments = n;
    coordinator_sync(r->c, &call->call, &req, r->now);
    rig_pump(r);
    return call;
}

int16_t rig_heartbeat(struct rig *r, const char *group, struct str member, int32_t generation)
{
    struct rig_call *call = rig_call(r, API_Heartbeat, 4);
    struct heartbeat_request req;
    heartbeat_request_init(&req);
    req.group_id = str_from(group);
    req.generation_id = generation;
    req.member_id = member;
    coordinator_heartbeat(r->c, &call->call, &req, r->now);
    rig_pump(r);
    return call->done ? ((struct heartbeat_response *)call->call.response)->error_code : -100;
}

int16_t rig_leave(struct rig *r, const char *group, struct str member)
{
    struct rig_call *call = rig_call(r, API_LeaveGroup, 2);
    struct leave_group_request req;
    leave_group_request_init(&req);
    req.group_id = str_from(group);
    req.member_id = member;
    coordinator_leave(r->c, &call->call, &req, r->now);
    rig_pump(r);
    return call->done ? ((struct leave_group_response *)call->call.response)->error_code : -100;
}

struct rig_call *rig_commit(struct rig *r, int16_t version, const char *group, struct str member,
                            int32_t generation, const char *topic, int32_t partition,
                            int64_t offset)
{
    struct rig_call *call = rig_call(r, API_OffsetCommit, version);
    struct offset_commit_request *req = arena_calloc(&call->arena, 1, sizeof(*req));
    struct offset_commit_request_topic *t = arena_calloc(&call->arena, 1, sizeof(*t));
    struct offset_commit_request_partition *p = arena_calloc(&call->arena, 1, sizeof(*p));
    offset_commit_request_init(req);
    *p = (struct offset_commit_request_partition){partition, offset, 5, -1, STR("note")};
    t->name = version < 10 ? str_from(topic) : STR("");
    t->topic_id = version < 10 ? UUID_ZERO : rig_topic_id(topic);
    t->partitions = p;
    t->n_partitions = 1;
    req->group_id = str_from(group);
    req->generation_id_or_member_epoch = generation;
    req->member_id = member;
    req->topics = t;
    req->n_topics = 1;
    coordinator_offset_commit(r->c, &call->call, req, r->now);
    rig_pump(r);
    return call;
}

int16_t rig_commit_error(const struct rig_call *call)
{
    const struct offset_commit_response *resp = call->call.response;
    return call->done ? resp->topics[0].partitions[0].error_code : -100;
}

int64_t rig_fetch(struct rig *r, const char *group, const char *topic, int32_t partition)
{
    struct rig_call *call = rig_call(r, API_OffsetFetch, 8);
    struct offset_fetch_request_group_topic t = {str_from(topic), UUID_ZERO, &partition, 1};
    struct offset_fetch_request_group req = {
        .group_id = str_from(group), .member_epoch = -1, .topics = &t, .n_topics = 1};
    coordinator_offset_fetch(r->c, &call->call, &req, true, r->now);
    rig_pump(r);
    const struct offset_fetch_response_group *resp = call->call.response;
    return call->done && resp->error_code == 0 ? resp->topics[0].partitions[0].committed_offset
                                               : -100;
}

int16_t rig_delete(struct rig *r, const char *group)
{
    struct rig_call *call = rig_call(r, API_DeleteGroups, 2);
    coordinator_delete(r->c, &call->call, str_from(group), r->now);
    rig_pump(r);
    const struct delete_groups_response_result *resp = call->call.response;
    return call->done ? resp->error_code : -100;
}

const char *rig_state(struct rig *r, const char *group)
{
    struct rig_call *call = rig_call(r, API_DescribeGroups, 5);
    coordinator_describe(r->c, &call->call, str_from(group), r->now);
    rig_pump(r);
    const struct describe_groups_response_group *resp = call->call.response;
    return call->done ? resp->group_state.p : "no answer";
}

struct str rig_stable(struct rig *r, const char *group, int32_t *generation)
{
    struct rig_call *join = rig_join(r, 3, group, NULL, NULL);
    rig_pass(r, r->options.settings.initial_rebalance_delay_ms + 2);
    CHECK(join->done && rig_joined(join)->error_code == 0);
    *generation = rig_joined(join)->generation_id;
    struct str member = rig_joined(join)->member_id;
    struct sync_group_request_assignment a = {member, {(const uint8_t *)"all", 3}};
    struct rig_call *sync = rig_sync(r, group, member, *generation, 1, &a);
    CHECK(!r->durable || (sync->done && rig_synced(sync)->error_code == 0));
    return member;
}
