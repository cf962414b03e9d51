#include <stdlib.h>
#include <xxhash.h>

#include "dataplane/kafka/kafka_internal.h"

static uint32_t pow2_at_least(uint32_t n)
{
    uint32_t p = 64;
    while (p < n)
        p *= 2;
    return p;
}

int sessions_init(struct sessions *s, uint32_t slots, uint32_t shard, struct rng *rng)
{
    *s = (struct sessions){.rng = rng, .seed = rng_u64(rng)};
    s->id_range = INT32_MAX / shard_count_max;
    s->id_first = (int32_t)shard * s->id_range;
    link_init(&s->used);
    uint32_t parts = pow2_at_least(session_partitions_max);
    uint32_t topics = pow2_at_least(session_topics_max);
    s->part_mask = parts - 1;
    s->topic_mask = topics - 1;
    s->part_hash = calloc(parts, sizeof(*s->part_hash));
    s->topic_hash = calloc(topics, sizeof(*s->topic_hash));
    if (s->part_hash == NULL || s->topic_hash == NULL ||
        pool_init(&s->slots, sizeof(struct session), slots) < 0 ||
        pool_init(&s->parts, sizeof(struct session_part), session_partitions_max) < 0 ||
        pool_init(&s->topics, sizeof(struct session_topic), session_topics_max) < 0 ||
        map_init(&s->by_id, slots, false, s->seed) < 0)
        return ERR_NO_MEMORY;
    return 0;
}

void sessions_fini(struct sessions *s)
{
    map_free(&s->by_id);
    pool_fini(&s->slots);
    pool_fini(&s->parts);
    pool_fini(&s->topics);
    free(s->part_hash);
    free(s->topic_hash);
}

/* ---- topics of a session ---- */

static uint64_t topic_hash(const struct sessions *s, const struct session *session,
                           const struct uuid *id, struct str name)
{
    uint64_t seed = s->seed ^ (uint32_t)session->id;
    return session->by_id ? XXH3_64bits_withSeed(id->b, sizeof(id->b), seed)
                          : XXH3_64bits_withSeed(name.p, name.len, seed);
}

static bool topic_is(const struct session_topic *t, const struct session *session,
                     const struct uuid *id, struct str name)
{
    if (t->session != session)
        return false;
    if (session->by_id)
        return uuid_eq(&t->id, id);
    return t->name_len == name.len && memcmp(t->name, name.p, name.len) == 0;
}

static struct session_topic *topic_find(const struct sessions *s, const struct session *session,
                                        const struct uuid *id, struct str name)
{
    uint64_t hash = topic_hash(s, session, id, name);
    struct session_topic *t = s->topic_hash[hash & s->topic_mask];
    while (t != NULL && !(t->hash == hash && topic_is(t, session, id, name)))
        t = t->hash_next;
    return t;
}

/*
 * Names longer than a topic may have belong to topics that do not exist: such a session is
 * refused.
 */
static struct session_topic *topic_add(struct sessions *s, struct session *session,
                                       const struct uuid *id, struct str name)
{
    if (name.len > topic_name_bytes_max)
        return NULL;
    struct session_topic *t = pool_take(&s->topics);
    if (t == NULL)
        return NULL;
    t->session = session;
    t->by_id = session->by_id;
    t->id = *id;
    t->refs = 0;
    t->name_len = name.len;
    if (name.len > 0)
        memcpy(t->name, name.p, name.len);
    t->hash = topic_hash(s, session, id, name);
    t->hash_next = s->topic_hash[t->hash & s->topic_mask];
    s->topic_hash[t->hash & s->topic_mask] = t;
    return t;
}

static void topic_drop(struct sessions *s, struct session_topic *t)
{
    if (--t->refs > 0)
        return;
    struct session_topic **at = &s->topic_hash[t->hash & s->topic_mask];
    while (*at != t)
        at = &(*at)->hash_next;
    *at = t->hash_next;
    pool_give(&s->topics, t);
}

/* ---- partitions of a session ---- */

static uint32_t part_slot(const struct sessions *s, const struct session_topic *t, int32_t index)
{
    uint64_t hash = (t->hash + (uint32_t)index) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(hash >> 32) & s->part_mask;
}

static struct session_part *part_find(const struct sessions *s, const struct session_topic *t,
                                      int32_t index)
{
    struct session_part *p = s->part_hash[part_slot(s, t, index)];
    while (p != NULL && !(p->topic == t && p->index == index))
        p = p->hash_next;
    return p;
}

static void part_remove(struct sessions *s, struct session_part *p)
{
    struct session_part **at = &s->part_hash[part_slot(s, p->topic, p->index)];
    while (*at != p)
        at = &(*at)->hash_next;
    *at = p->hash_next;
    link_remove(&p->link);
    p->session->count--;
    topic_drop(s, p->topic);
    pool_give(&s->parts, p);
}

void session_part_params(struct session_part *sp, const struct part *p)
{
    sp->max_bytes = p->fetch.max_bytes;
    sp->offset = p->fetch.offset;
    sp->log_start = p->fetch.log_start;
    sp->leader_epoch = p->fetch.leader_epoch;
    sp->last_epoch = p->fetch.last_epoch;
}

static int part_add(struct sessions *s, struct session *session, struct session_topic *t,
                    int32_t index, struct session_part **out)
{
    struct session_part *sp = pool_take(&s->parts);
    if (sp == NULL)
        return ERR_FULL;
    uint32_t slot = part_slot(s, t, index);
    sp->session = session;
    sp->topic = t;
    sp->index = index;
    sp->high_watermark = sp->local_start = -1;
    sp->hash_next = s->part_hash[slot];
    s->part_hash[slot] = sp;
    link_init(&sp->link);
    link_push(&session->parts, &sp->link);
    session->count++;
    t->refs++;
    *out = sp;
    return 0;
}

/*
 * Adds the partition or updates what is asked of it. ERR_FULL: no room; the session is as it was.
 */
int session_put(struct sessions *s, struct session *session, const struct part *p,
                struct session_part **out)
{
    uint8_t buf[PROTO_STRING_BYTES_MAX];
    struct str name = p->topic != NULL ? p->topic->name
                      : session->by_id ? STR("")
                                       : part_name(p, buf);
    struct session_topic *t = topic_find(s, session, &p->topic_id, name);
    struct session_part *sp = t != NULL ? part_find(s, t, p->index) : NULL;
    if (t == NULL)
        t = topic_add(s, session, &p->topic_id, name);
    if (t == NULL)
        return ERR_FULL;
    if (sp == NULL && part_add(s, session, t, p->index, &sp) < 0) {
        t->refs++;
        topic_drop(s, t);
        return ERR_FULL;
    }
    session_part_params(sp, p);
    *out = sp;
    return 0;
}

void session_forget(struct sessions *s, struct session *session, const struct uuid *id,
                    struct str name, int32_t index)
{
    struct session_topic *t = topic_find(s, session, id, name);
    struct session_part *sp = t != NULL ? part_find(s, t, index) : NULL;
    if (sp != NULL)
        part_remove(s, sp);
}

/* ---- sessions ---- */

struct session *session_find(struct sessions *s, int32_t id)
{
    return map_get(&s->by_id, &id, sizeof(id));
}

static void session_destroy(struct sessions *s, struct session *session)
{
    while (!link_alone(&session->parts))
        part_remove(s, container_of(session->parts.next, struct session_part, link));
    pool_give(&s->slots, session);
}

void session_hold(struct session *session)
{
    session->users++;
}

void session_drop(struct sessions *s, struct session *session)
{
    CHECK(session->users > 0);
    if (--session->users == 0 && session->detached)
        session_destroy(s, session);
}

/* Out of the cache at once; its memory when no request uses it. */
void session_remove(struct sessions *s, struct session *session)
{
    CHECK(!session->detached);
    map_remove(&s->by_id, &session->id, sizeof(session->id));
    link_remove(&session->used_link);
    session->detached = true;
    if (session->users == 0)
        session_destroy(s, session);
}

void session_touch(struct sessions *s, struct session *session, int64_t now_ns)
{
    session->used_ns = now_ns;
    link_remove(&session->used_link);
    link_push(&s->used, &session->used_link);
}

static struct session *stale_session(struct sessions *s, int64_t now_ns)
{
    for (struct link *l = s->used.next; l != &s->used; l = l->next) {
        struct session *session = container_of(l, struct session, used_link);
        if (now_ns - session->used_ns <= session_evict_ms * CLOCK_NS_PER_MS)
            return NULL;
        if (session->users == 0)
            return session;
    }
    return NULL;
}

/* The smallest of those that are not new, if the one that asks is at least as large. */
static struct session *lesser_session(struct sessions *s, uint32_t partitions, int64_t now_ns)
{
    struct session *least = NULL;
    for (struct link *l = s->used.next; l != &s->used; l = l->next) {
        struct session *session = container_of(l, struct session, used_link);
        if (session->users > 0 ||
            now_ns - session->created_ns <= session_evict_ms * CLOCK_NS_PER_MS)
            continue;
        if (least == NULL || session->count < least->count)
            least = session;
    }
    return least != NULL && least->count < partitions ? least : NULL;
}

static bool make_room(struct sessions *s, uint32_t partitions, int64_t now_ns)
{
    if (s->slots.free > 0)
        return true;
    struct session *victim = stale_session(s, now_ns);
    if (victim == NULL)
        victim = lesser_session(s, partitions, now_ns);
    if (victim == NULL)
        return false;
    s->evictions++;
    session_remove(s, victim);
    return true;
}

static int32_t new_id(struct sessions *s)
{
    for (;;) {
        int32_t id = s->id_first + (int32_t)rng_below(s->rng, (uint64_t)s->id_range);
        if (id != 0 && session_find(s, id) == NULL)
            return id;
    }
}

/* An empty session; NULL: there is no room for one with so many partitions. */
struct session *session_create(struct sessions *s, uint32_t partitions, bool by_id, int64_t now_ns)
{
    if (!make_room(s, partitions, now_ns) || s->parts.free < partitions)
        return NULL;
    struct session *session = pool_take(&s->slots);
    if (session == NULL)
        return NULL;
    *session = (struct session){
        .id = new_id(s),
        .epoch = 1,
        .by_id = by_id,
        .created_ns = now_ns,
        .used_ns = now_ns,
    };
    link_init(&session->parts);
    link_init(&session->used_link);
    CHECK(map_put(&s->by_id, &session->id, sizeof(session->id), session, NULL) == 0);
    link_push(&s->used, &session->used_link);
    return session;
}
