#include "base/arena.h"
#include "control/group/classic.h"
#include "control/group/offsets.h"
#include "dataplane/proto/gen/offset_commit.h"

/* A request under work: topics as the metadata has them, and the answer under construction. */
struct commit {
    struct coordinator *c;
    struct group_call *call;
    const struct offset_commit_request *req;
    struct group_topic *topics; /* of each topic of the request; zero id: unknown */
    struct offset_commit_response *response;
    struct group *g;
};

static void reply(struct commit *m)
{
    m->call->response = m->response;
    group_reply(m->c, m->call);
}

static bool exists(const struct group_topic *t, int32_t partition)
{
    return !uuid_is_zero(&t->id) && partition >= 0 && partition < t->partition_count;
}

static int16_t refusal(const struct commit *m, const struct group_topic *t, int32_t partition)
{
    if (uuid_is_zero(&t->id) && m->call->version >= 10)
        return KERR_UNKNOWN_TOPIC_ID;
    return exists(t, partition) ? 0 : KERR_UNKNOWN_TOPIC_OR_PARTITION;
}

static void resolve(struct commit *m)
{
    const struct group_topics *look = &m->c->topics;
    for (int32_t i = 0; i < m->req->n_topics; i++) {
        const struct offset_commit_request_topic *t = &m->req->topics[i];
        struct group_topic *out = &m->topics[i];
        bool found = m->call->version >= 10 ? look->by_id(look->ctx, &t->topic_id, out)
                                            : look->by_name(look->ctx, t->name, out);
        if (!found)
            *out = (struct group_topic){0};
    }
}

/* Refused partitions first, then those that go on, as Kafka's builder orders them. */
static bool add_topic(struct commit *m, int32_t i)
{
    const struct offset_commit_request_topic *t = &m->req->topics[i];
    struct offset_commit_response_topic *out = &m->response->topics[m->response->n_topics];
    offset_commit_response_topic_init(out);
    out->name = t->name;
    out->topic_id = t->topic_id;
    out->partitions =
        arena_calloc(m->call->arena, (size_t)t->n_partitions, sizeof(*out->partitions));
    if (out->partitions == NULL)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (int32_t k = 0; k < t->n_partitions; k++) {
            int32_t partition = t->partitions[k].partition_index;
            int16_t kerr = refusal(m, &m->topics[i], partition);
            if ((kerr == 0) == (pass == 1))
                out->partitions[out->n_partitions++] =
                    (struct offset_commit_response_partition){partition, kerr};
        }
    m->response->n_topics++;
    return true;
}

static bool topic_is_refused(const struct commit *m, int32_t i)
{
    const struct offset_commit_request_topic *t = &m->req->topics[i];
    if (uuid_is_zero(&m->topics[i].id))
        return true;
    for (int32_t k = 0; k < t->n_partitions; k++)
        if (!exists(&m->topics[i], t->partitions[k].partition_index))
            return true;
    return false;
}

static bool build(struct commit *m)
{
    struct arena *a = m->call->arena;
    size_t n = (size_t)m->req->n_topics;
    m->topics = arena_calloc(a, n, sizeof(*m->topics));
    m->response = arena_calloc(a, 1, sizeof(*m->response));
    if (m->topics == NULL || m->response == NULL)
        return false;
    offset_commit_response_init(m->response);
    m->response->topics = arena_calloc(a, n, sizeof(*m->response->topics));
    if (m->response->topics == NULL)
        return false;
    resolve(m);
    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < m->req->n_topics; i++)
            if (topic_is_refused(m, i) == (pass == 0) &&
                (pass == 0 || m->req->topics[i].n_partitions > 0) && !add_topic(m, i))
                return false;
    return true;
}

/* Sets the error of every partition that has none. */
static bool fail_rest(struct commit *m, int16_t kerr)
{
    bool any = false;
    for (int32_t i = 0; i < m->response->n_topics; i++)
        for (int32_t k = 0; k < m->response->topics[i].n_partitions; k++)
            if (m->response->topics[i].partitions[k].error_code == 0) {
                m->response->topics[i].partitions[k].error_code = kerr;
                any = true;
            }
    return any;
}

/* --- the group --- */

static int16_t find_group(struct commit *m)
{
    struct coordinator *c = m->c;
    const struct offset_commit_request *req = m->req;
    m->g = group_find(c, req->group_id);
    if (m->g == NULL) {
        if (req->generation_id_or_member_epoch >= 0)
            return m->call->version >= 9 ? KERR_GROUP_ID_NOT_FOUND : KERR_ILLEGAL_GENERATION;
        /* A consumer without membership: a group that holds offsets. */
        struct group *g = group_room(c) ? group_find_or_make(c, req->group_id) : NULL;
        if (g == NULL || classic_group_new(g) < 0) {
            if (g)
                group_maybe_destroy(g);
            return KERR_COORDINATOR_NOT_AVAILABLE;
        }
        m->g = g;
    }
    if (m->g->type == GROUP_CLASSIC)
        return classic_check_commit(m->g, req->member_id, req->group_instance_id,
                                    req->generation_id_or_member_epoch);
    return c->consumer->check_commit(m->g, req->member_id, req->group_instance_id,
                                     req->generation_id_or_member_epoch, m->call->version);
}

/* Java counts a string in UTF-16 units. */
static uint32_t utf16_units(struct str s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s.len; i++) {
        uint8_t b = (uint8_t)s.p[i];
        n += (b & 0xc0) == 0x80 ? 0 : b >= 0xf0 ? 2 : 1;
    }
    return n;
}

static bool metadata_too_large(const struct commit *m, struct str metadata)
{
    return metadata.p && (int64_t)utf16_units(metadata) > m->c->settings.offset_metadata_max_bytes;
}

/* What concerns the request as a whole: consumer members' partitions, room, size of the batch. */
static int16_t check_all(const struct commit *m)
{
    const struct offset_commit_request *req = m->req;
    size_t bytes = 0;
    uint64_t fresh = 0;
    for (int32_t i = 0; i < req->n_topics; i++)
        for (int32_t k = 0; k < req->topics[i].n_partitions; k++) {
            const struct offset_commit_request_partition *p = &req->topics[i].partitions[k];
            const struct group_topic *t = &m->topics[i];
            if (!exists(t, p->partition_index) || metadata_too_large(m, p->committed_metadata))
                continue;
            if (m->g->type == GROUP_CONSUMER) {
                int16_t kerr = m->c->consumer->check_commit_partition(
                    m->g, req->member_id, req->generation_id_or_member_epoch, t,
                    p->partition_index);
                if (kerr)
                    return kerr;
            }
            bytes += offsets_record_bytes(req->group_id, t->name, p->committed_metadata);
            fresh += offsets_get(m->g, t->name, p->partition_index) == NULL;
        }
    if (m->g->n_offsets + fresh > m->c->settings.offsets_max)
        return KERR_INVALID_COMMIT_OFFSET_SIZE;
    return group_step_fits(m->c, bytes) ? 0 : KERR_UNKNOWN_SERVER_ERROR;
}

static void store_one(struct commit *m, const struct group_topic *t,
                      const struct offset_commit_request_partition *p)
{
    struct coordinator *c = m->c;
    int64_t retention = m->call->version <= 4 ? m->req->retention_time_ms : -1;
    struct group_offset offset = {
        .partition = p->partition_index,
        .leader_epoch = p->committed_leader_epoch < 0 ? -1 : p->committed_leader_epoch,
        .offset = p->committed_offset,
        .commit_ms = p->commit_timestamp == -1 ? c->now.wall_ms : p->commit_timestamp,
        .expire_ms = -1,
        .order = c->record_order + 1,
        .topic_id = t->id,
        .metadata = p->committed_metadata,
    };
    if (retention >= 0 && retention <= INT64_MAX - c->now.wall_ms)
        offset.expire_ms = c->now.wall_ms + retention;
    if (offsets_put(m->g, t->name, &offset) < 0) {
        group_fail(c, KERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    offsets_emit(m->g, t->name, &offset);
    c->stats.commits++;
}

static void mark_too_large(struct commit *m, int32_t topic, int32_t partition)
{
    const struct offset_commit_request_topic *t = &m->req->topics[topic];
    for (int32_t i = 0; i < m->response->n_topics; i++) {
        struct offset_commit_response_topic *out = &m->response->topics[i];
        if (m->call->version >= 10 ? !uuid_eq(&out->topic_id, &t->topic_id)
                                   : !str_eq(out->name, t->name))
            continue;
        for (int32_t k = 0; k < out->n_partitions; k++)
            if (out->partitions[k].partition_index == partition)
                out->partitions[k].error_code = KERR_OFFSET_METADATA_TOO_LARGE;
    }
}

static void store(struct commit *m)
{
    for (int32_t i = 0; i < m->req->n_topics; i++)
        for (int32_t k = 0; k < m->req->topics[i].n_partitions; k++) {
            const struct offset_commit_request_partition *p = &m->req->topics[i].partitions[k];
            if (!exists(&m->topics[i], p->partition_index))
                continue;
            if (metadata_too_large(m, p->committed_metadata))
                mark_too_large(m, i, p->partition_index);
            else
                store_one(m, &m->topics[i], p);
        }
}

void coordinator_offset_commit(struct coordinator *c, struct group_call *call,
                               const struct offset_commit_request *req, struct group_now now)
{
    struct commit m = {.c = c, .call = call, .req = req};
    bool works = group_step_begin(c, NULL, now);
    if (!build(&m)) {
        m.response = NULL;
        reply(&m);
        return;
    }
    bool any = false;
    for (int32_t i = 0; i < req->n_topics && !any; i++)
        for (int32_t k = 0; k < req->topics[i].n_partitions && !any; k++)
            any = exists(&m.topics[i], req->topics[i].partitions[k].partition_index);
    if (works && any) {
        int16_t kerr = find_group(&m);
        if (kerr == 0)
            kerr = check_all(&m);
        if (kerr)
            fail_rest(&m, kerr);
        else
            store(&m);
    }
    reply(&m);
    group_step_end(c);
}
