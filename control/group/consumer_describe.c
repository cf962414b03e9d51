#include <stdlib.h>

#include "base/err.h"
#include "control/group/consumer_live.h"
#include "dataplane/proto/gen/consumer_group_describe.h"

/* The group told: to clients as ConsumerGroupDescribe, to the log as records. */

/* Partitions of topics that exist; b (may be NULL) is merged in. */
static bool fill_parts(const struct group *g, struct arena *arena, const struct consumer_parts *a,
                       const struct consumer_parts *b,
                       struct consumer_group_describe_response_assignment *out)
{
    static const struct consumer_parts none;
    const struct group_topics *topics = &g->c->topics;
    size_t most = (size_t)a->n + (b ? b->n : 0) + 1;
    b = b ? b : &none;
    struct consumer_group_describe_response_topic *t = arena_calloc(arena, most, sizeof(*t));
    int32_t *partitions = arena_calloc(arena, most, sizeof(*partitions));
    const struct uuid *last = NULL;
    bool exists = false;
    if (t == NULL || partitions == NULL)
        return false;
    out->topic_partitions = t;
    for (uint32_t i = 0, k = 0; i < a->n || k < b->n;) {
        bool first = k == b->n || (i < a->n && consumer_part_cmp(&a->v[i], &b->v[k]) <= 0);
        const struct consumer_part *p = first ? &a->v[i++] : &b->v[k++];
        struct group_topic topic;
        if (last == NULL || !uuid_eq(last, &p->topic)) {
            last = &p->topic;
            exists = topics->by_id(topics->ctx, &p->topic, &topic);
            if (exists)
                t[out->n_topic_partitions++] = (struct consumer_group_describe_response_topic){
                    p->topic, arena_str(arena, topic.name), partitions, 0};
        }
        if (exists) {
            *partitions++ = p->partition;
            t[out->n_topic_partitions - 1].n_partitions++;
        }
    }
    return true;
}

static bool fill_member(const struct group *g, struct arena *arena, const struct consumer_member *m,
                        struct consumer_group_describe_response_member *out)
{
    static const struct consumer_parts none;
    const struct consumer_target *t = consumer_target_find(g->consumer, m->id);
    out->member_id = arena_str(arena, m->id);
    out->instance_id = arena_str(arena, m->meta->instance_id);
    out->rack_id = arena_str(arena, m->meta->rack_id);
    out->member_epoch = m->cur.epoch;
    out->client_id = arena_str(arena, m->meta->client_id);
    out->client_host = arena_str(arena, m->meta->client_host);
    out->subscribed_topic_regex = arena_str(arena, m->meta->regex);
    out->member_type = m->meta->classic ? 0 : 1;
    out->subscribed_topic_names =
        arena_calloc(arena, m->names->n + 1, sizeof(*out->subscribed_topic_names));
    if (out->subscribed_topic_names == NULL)
        return false;
    for (uint32_t i = 0; i < m->names->n; i++)
        out->subscribed_topic_names[i] = arena_str(arena, m->names->v[i]);
    out->n_subscribed_topic_names = (int32_t)m->names->n;
    return fill_parts(g, arena, &m->cur.assigned, &m->cur.pending, &out->assignment) &&
           fill_parts(g, arena, t ? &t->parts : &none, NULL, &out->target_assignment) &&
           !str_is_null(out->member_id) && !str_is_null(out->client_host);
}

/* The assignor that most members want; Kafka shows the default if none says. */
static struct str assignor_of(const struct consumer_group *k, const struct group_settings *set)
{
    static const struct str names[] = {
        [GROUP_ASSIGNOR_UNIFORM] = {"uniform", 7}, [GROUP_ASSIGNOR_RANGE] = {"range", 5}};
    uint32_t votes[2] = {0, 0};
    enum group_assignor best = set->consumer_assignors[0];
    size_t at = 0;
    for (struct consumer_member *m; (m = map_next(&k->members, &at)) != NULL;)
        for (int i = 0; i < 2; i++)
            votes[i] += str_eq(m->meta->assignor, names[i]);
    for (uint32_t i = 0; i < set->n_consumer_assignors; i++)
        if (votes[set->consumer_assignors[i]] > votes[best])
            best = set->consumer_assignors[i];
    return names[best];
}

bool consumer_describe(const struct group *g, struct group_call *call,
                       struct consumer_group_describe_response_group *out)
{
    struct consumer_act a;
    consumer_act_begin(&a, g->c, g->id, g->consumer);
    uint32_t n = consumer_members(g->consumer);
    struct consumer_member **v = consumer_sorted(&a.s);
    out->members = arena_calloc(call->arena, n + 1, sizeof(*out->members));
    bool ok = v != NULL && out->members != NULL;
    for (uint32_t i = 0; ok && i < n; i++) {
        consumer_group_describe_response_member_init(&out->members[i]);
        ok = fill_member(g, call->arena, v[i], &out->members[i]);
    }
    out->n_members = (int32_t)n;
    out->group_state = str_from(consumer_group_state(g->consumer));
    out->group_epoch = g->consumer->epoch;
    out->assignment_epoch = g->consumer->assignment_epoch;
    out->assignor_name = assignor_of(g->consumer, &a.settings);
    a.s.err = 0; /* the answer alone is missing */
    consumer_act_end(&a, NULL);
    return ok;
}

/* --- records --- */

struct teller {
    const struct consumer_group *g;
    coordinator_record_fn *fn;
    void *ctx;
    int rc;
};

static void tell(struct teller *t, struct consumer_record r)
{
    struct codec_out key = {0}, value = {0};
    if (t->rc != 0)
        return;
    r.group = t->g->id;
    consumer_record_write(&r, &key, &value);
    struct group_record out = {key.p, key.len, r.tombstone ? NULL : value.p, value.len};
    t->rc = key.failed || value.failed ? ERR_NO_MEMORY : t->fn(t->ctx, &out);
    codec_out_free(&key);
    codec_out_free(&value);
}

/* The maps hold values whose first or named field is a struct str: sorted by that. */
struct entry {
    struct str key;
    const void *value;
};

static int entry_cmp(const void *a, const void *b)
{
    return str_cmp(((const struct entry *)a)->key, ((const struct entry *)b)->key);
}

static struct entry *entries(const struct map *m, size_t key_offset)
{
    struct entry *v = calloc(m->count + 1, sizeof(*v));
    size_t at = 0, n = 0;
    for (const char *p; v != NULL && (p = map_next(m, &at)) != NULL; n++)
        v[n] = (struct entry){*(const struct str *)(p + key_offset), p};
    if (v != NULL)
        qsort(v, n, sizeof(*v), entry_cmp);
    return v;
}

static void tell_all(struct teller *t, const struct entry *members, const struct entry *targets,
                     const struct entry *regexes)
{
    const struct consumer_group *g = t->g;
    for (size_t i = 0; i < g->members.count; i++) {
        const struct consumer_member *m = members[i].value;
        tell(t, (struct consumer_record){
                    .type = CONSUMER_RECORD_MEMBER, .member = m->id, .meta = *m->meta});
    }
    tell(t, (struct consumer_record){
                .type = CONSUMER_RECORD_EPOCH, .epoch = g->epoch, .hash = g->hash});
    if (g->partition_metadata)
        tell(t, (struct consumer_record){.type = CONSUMER_RECORD_PARTITIONS});
    for (size_t i = 0; i < g->targets.count; i++) {
        const struct consumer_target *x = targets[i].value;
        tell(t, (struct consumer_record){
                    .type = CONSUMER_RECORD_TARGET, .member = x->member_id, .parts = x->parts});
    }
    tell(t, (struct consumer_record){.type = CONSUMER_RECORD_TARGET_EPOCH,
                                     .epoch = g->assignment_epoch,
                                     .timestamp_ms = g->assignment_ms});
    for (size_t i = 0; i < g->members.count; i++) {
        const struct consumer_member *m = members[i].value;
        tell(t, (struct consumer_record){
                    .type = CONSUMER_RECORD_CURRENT, .member = m->id, .cur = m->cur});
    }
    for (size_t i = 0; i < g->regexes.count; i++) {
        const struct consumer_regex *r = regexes[i].value;
        if (r->resolved)
            tell(t, (struct consumer_record){.type = CONSUMER_RECORD_REGEX,
                                             .member = r->text,
                                             .topics = r->topics->v,
                                             .n_topics = r->topics->n,
                                             .version = r->version,
                                             .timestamp_ms = r->timestamp_ms});
    }
}

int consumer_dump(const struct consumer_group *g, coordinator_record_fn *fn, void *ctx)
{
    struct teller t = {g, fn, ctx, 0};
    struct entry *members = entries(&g->members, offsetof(struct consumer_member, id));
    struct entry *targets = entries(&g->targets, offsetof(struct consumer_target, member_id));
    struct entry *regexes = entries(&g->regexes, offsetof(struct consumer_regex, text));
    if (members == NULL || targets == NULL || regexes == NULL)
        t.rc = ERR_NO_MEMORY;
    else
        tell_all(&t, members, targets, regexes);
    free(members);
    free(targets);
    free(regexes);
    return t.rc;
}

struct tombs {
    void (*emit)(void *ctx, const struct group_record *);
    void *ctx;
};

static int emit_tomb(void *ctx, const struct group_record *r)
{
    const struct tombs *t = ctx;
    t->emit(t->ctx, r);
    return 0;
}

static void tell_gone(struct teller *t, enum consumer_record_type type, const struct entry *v,
                      size_t n)
{
    for (size_t i = 0; i < n; i++)
        tell(t, (struct consumer_record){.type = type, .member = v[i].key, .tombstone = true});
}

void consumer_tombstones(struct consumer_step *s,
                         void (*emit)(void *ctx, const struct group_record *), void *ctx)
{
    const struct consumer_group *g = s->g;
    struct tombs tombs = {emit, ctx};
    struct teller t = {g, emit_tomb, &tombs, 0};
    struct entry *members = entries(&g->members, offsetof(struct consumer_member, id));
    struct entry *targets = entries(&g->targets, offsetof(struct consumer_target, member_id));
    struct entry *regexes = entries(&g->regexes, offsetof(struct consumer_regex, text));
    if (members == NULL || targets == NULL || regexes == NULL) {
        s->err = ERR_NO_MEMORY;
    } else {
        tell_gone(&t, CONSUMER_RECORD_CURRENT, members, g->members.count);
        tell_gone(&t, CONSUMER_RECORD_TARGET, targets, g->targets.count);
        tell(&t, (struct consumer_record){.type = CONSUMER_RECORD_TARGET_EPOCH, .tombstone = true});
        tell_gone(&t, CONSUMER_RECORD_MEMBER, members, g->members.count);
        tell_gone(&t, CONSUMER_RECORD_REGEX, regexes, g->regexes.count);
        tell(&t, (struct consumer_record){.type = CONSUMER_RECORD_PARTITIONS, .tombstone = true});
        tell(&t, (struct consumer_record){.type = CONSUMER_RECORD_EPOCH, .tombstone = true});
        if (t.rc != 0)
            s->err = t.rc;
    }
    free(members);
    free(targets);
    free(regexes);
}
