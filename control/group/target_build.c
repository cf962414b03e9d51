#include <stdlib.h>

#include "base/err.h"
#include "base/kerr.h"
#include "control/group/assignor_spec.h"
#include "control/group/consumer_step.h"

/* A topic that a member subscribes to and that exists. */
struct known {
    struct group_topic t;
    uint32_t index; /* in the spec, which is in the order of ids */
};

/* Members with the same names and the same expression share one of these. */
struct subscription {
    const struct consumer_names *names, *regex; /* regex NULL: none, or not resolved */
    uint32_t *topics;
    uint32_t n;
};

struct build {
    struct consumer_step *s;
    struct consumer_member **members;
    uint32_t n_members;
    struct subscription *subs;
    uint32_t n_subs;
    uint32_t *sub_of; /* per member */
    struct known *known;
    uint32_t n_known;
    struct assignor_topic *topics;
    struct assignor_member *spec_members;
    int32_t *prior, *owner;
    struct assignor_spec spec;
};

static void *take(struct build *b, size_t n, size_t size)
{
    void *p = arena_calloc(b->s->scratch, n + 1, size);
    if (p == NULL)
        b->s->err = ERR_NO_MEMORY;
    return p;
}

static bool find_subscriptions(struct build *b)
{
    b->subs = take(b, b->n_members, sizeof(*b->subs));
    b->sub_of = take(b, b->n_members, sizeof(*b->sub_of));
    if (b->s->err < 0)
        return false;
    for (uint32_t i = 0; i < b->n_members; i++) {
        const struct consumer_member *m = b->members[i];
        struct consumer_regex *r =
            consumer_has_regex(m->meta) ? consumer_regex_find(b->s->g, m->meta->regex) : NULL;
        const struct consumer_names *regex = r != NULL && r->resolved ? r->topics : NULL;
        uint32_t k = 0;
        while (k < b->n_subs && (b->subs[k].names != m->names || b->subs[k].regex != regex))
            k++;
        if (k == b->n_subs)
            b->subs[b->n_subs++] = (struct subscription){m->names, regex, NULL, 0};
        b->sub_of[i] = k;
    }
    return true;
}

static int known_id_cmp(const void *va, const void *vb, void *ctx)
{
    const struct known *known = ctx, *a = &known[*(const uint32_t *)va],
                       *b = &known[*(const uint32_t *)vb];
    return memcmp(a->t.id.b, b->t.id.b, sizeof(a->t.id.b));
}

static int known_name_cmp(const void *key, const void *item)
{
    return str_cmp(*(const struct str *)key, ((const struct known *)item)->t.name);
}

/* All topics of all subscriptions that exist, in the order of names; then numbered by id. */
static bool find_topics(struct build *b)
{
    size_t total = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_subs; i++)
        total += b->subs[i].names->n + (b->subs[i].regex ? b->subs[i].regex->n : 0);
    struct str *all = take(b, total, sizeof(*all));
    if (all == NULL)
        return false;
    for (uint32_t i = 0; i < b->n_subs; i++) {
        for (uint32_t k = 0; k < b->subs[i].names->n; k++)
            all[n++] = b->subs[i].names->v[k];
        for (uint32_t k = 0; b->subs[i].regex && k < b->subs[i].regex->n; k++)
            all[n++] = b->subs[i].regex->v[k];
    }
    n = consumer_names_sort(all, n);
    b->known = take(b, n, sizeof(*b->known));
    b->topics = take(b, n, sizeof(*b->topics));
    uint32_t *by_id = take(b, n, sizeof(*by_id));
    if (b->s->err < 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (b->s->topics->by_name(b->s->topics->ctx, all[i], &b->known[b->n_known].t)) {
            b->known[b->n_known].t.name = all[i];
            by_id[b->n_known] = b->n_known;
            b->n_known++;
        }
    qsort_r(by_id, b->n_known, sizeof(*by_id), known_id_cmp, b->known);
    for (uint32_t i = 0; i < b->n_known; i++) {
        struct known *k = &b->known[by_id[i]];
        k->index = i;
        b->topics[i] = (struct assignor_topic){k->t.id, (uint32_t)k->t.partition_count,
                                               b->spec.partition_count};
        b->spec.partition_count += (uint32_t)k->t.partition_count;
        if (b->spec.partition_count > consumer_parts_max) {
            consumer_refuse(b->s, &b->s->late, KERR_UNKNOWN_SERVER_ERROR,
                            "Failed to compute a new target assignment for epoch %d: over %d "
                            "partitions",
                            b->s->g->epoch, consumer_parts_max);
            return false;
        }
    }
    return true;
}

static int index_cmp(const void *va, const void *vb)
{
    uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;
    return a < b ? -1 : a > b;
}

static void add_names(struct build *b, struct subscription *sub, const struct consumer_names *set)
{
    for (uint32_t i = 0; set != NULL && i < set->n; i++) {
        const struct known *k =
            bsearch(&set->v[i], b->known, b->n_known, sizeof(*b->known), known_name_cmp);
        if (k != NULL)
            sub->topics[sub->n++] = k->index;
    }
}

static bool number_topics(struct build *b)
{
    for (uint32_t i = 0; i < b->n_subs; i++) {
        struct subscription *sub = &b->subs[i];
        uint32_t kept = 0;
        sub->topics = take(b, sub->names->n + (sub->regex ? sub->regex->n : 0), sizeof(uint32_t));
        if (sub->topics == NULL)
            return false;
        add_names(b, sub, sub->names);
        add_names(b, sub, sub->regex);
        qsort(sub->topics, sub->n, sizeof(uint32_t), index_cmp);
        for (uint32_t k = 0; k < sub->n; k++)
            if (kept == 0 || sub->topics[kept - 1] != sub->topics[k])
                sub->topics[kept++] = sub->topics[k];
        sub->n = kept;
    }
    return true;
}

/* Index of the topic in the spec; n_known: it is not there. */
static uint32_t topic_index(const struct build *b, const struct uuid *id)
{
    uint32_t lo = 0, hi = b->n_known;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int c = memcmp(b->topics[mid].id.b, id->b, sizeof(id->b));
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return b->n_known;
}

static bool fill_spec(struct build *b)
{
    b->spec_members = take(b, b->n_members, sizeof(*b->spec_members));
    b->prior = take(b, b->spec.partition_count, sizeof(*b->prior));
    b->owner = take(b, b->spec.partition_count, sizeof(*b->owner));
    if (b->s->err < 0)
        return false;
    for (uint32_t p = 0; p < b->spec.partition_count; p++)
        b->prior[p] = ASSIGNOR_NOBODY;
    for (uint32_t i = 0; i < b->n_members; i++) {
        const struct consumer_member *m = b->members[i];
        const struct subscription *sub = &b->subs[b->sub_of[i]];
        b->spec_members[i] =
            (struct assignor_member){m->id, m->meta->instance_id, sub->topics, sub->n};
        const struct consumer_target *t = consumer_target_find(b->s->g, m->id);
        uint32_t topic = b->n_known;
        for (uint32_t k = 0; t != NULL && k < t->parts.n; k++) {
            const struct consumer_part *p = &t->parts.v[k];
            if (k == 0 || !uuid_eq(&p->topic, &t->parts.v[k - 1].topic))
                topic = topic_index(b, &p->topic);
            if (topic < b->n_known && (uint32_t)p->partition < b->topics[topic].partitions)
                b->prior[b->topics[topic].first + (uint32_t)p->partition] = (int32_t)i;
        }
    }
    b->spec.members = b->spec_members;
    b->spec.member_count = b->n_members;
    b->spec.topics = b->topics;
    b->spec.topic_count = b->n_known;
    b->spec.prior = b->prior;
    b->spec.homogeneous = consumer_homogeneous(b->s->g) && b->n_subs <= 1;
    return true;
}

/* The assignor that most members ask for; the default if none asks, or on equal terms. */
static enum group_assignor choose(const struct build *b)
{
    static const struct str names[] = {
        [GROUP_ASSIGNOR_UNIFORM] = {"uniform", 7}, [GROUP_ASSIGNOR_RANGE] = {"range", 5}};
    const struct group_settings *set = b->s->settings;
    uint32_t votes[2] = {0, 0};
    for (uint32_t i = 0; i < b->n_members; i++)
        for (int k = 0; k < 2; k++)
            votes[k] += str_eq(b->members[i]->meta->assignor, names[k]);
    enum group_assignor best = set->consumer_assignors[0];
    for (uint32_t i = 0; i < set->n_consumer_assignors; i++)
        if (votes[set->consumer_assignors[i]] > votes[best])
            best = set->consumer_assignors[i];
    return best;
}

/* A target that could not be recorded is none, as with Kafka: the group keeps the one it has. */
static bool target_fits(struct build *b, struct str member, const struct consumer_parts *mine)
{
    if (consumer_fits(b->s, member, consumer_parts_bytes(mine)))
        return true;
    consumer_refuse(b->s, &b->s->late, KERR_UNKNOWN_SERVER_ERROR,
                    "Failed to compute a new target assignment for epoch %d: %u partitions of one "
                    "member are more than a record takes",
                    b->s->g->epoch, mine->n);
    return false;
}

/* Says what changed, member by member, and at last that it is the target of this epoch. */
static void say_targets(struct build *b)
{
    uint32_t *at = take(b, (size_t)b->n_members + 1, sizeof(*at));
    struct consumer_part *parts = take(b, b->spec.partition_count, sizeof(*parts));
    if (at == NULL || parts == NULL)
        return;
    for (uint32_t p = 0; p < b->spec.partition_count; p++)
        if (b->owner[p] != ASSIGNOR_NOBODY)
            at[b->owner[p] + 1]++;
    for (uint32_t i = 0; i < b->n_members; i++)
        at[i + 1] += at[i];
    for (uint32_t t = 0; t < b->n_known; t++)
        for (uint32_t i = 0; i < b->topics[t].partitions; i++) {
            int32_t owner = b->owner[b->topics[t].first + i];
            if (owner != ASSIGNOR_NOBODY)
                parts[at[owner]++] = (struct consumer_part){b->topics[t].id, (int32_t)i, 0};
        }
    for (uint32_t i = 0, first = 0; i < b->n_members; first = at[i++])
        if (!target_fits(b, b->members[i]->id,
                         &(struct consumer_parts){parts + first, at[i] - first}))
            return;
    for (uint32_t i = 0, first = 0; i < b->n_members; first = at[i++]) {
        struct consumer_parts mine = {parts + first, at[i] - first};
        const struct consumer_target *t = consumer_target_find(b->s->g, b->members[i]->id);
        if (t == NULL || !consumer_parts_equal(&t->parts, &mine))
            consumer_say_target(b->s, b->members[i]->id, &mine);
    }
    struct consumer_record done = {.type = CONSUMER_RECORD_TARGET_EPOCH,
                                   .epoch = b->s->g->epoch,
                                   .timestamp_ms = b->s->now.wall_ms};
    consumer_say(b->s, &done);
}

void target_update(struct consumer_step *s)
{
    const struct consumer_group *g = s->g;
    int64_t interval = s->settings->consumer_assignment_interval_ms;
    if (s->err < 0 || g->assignment_epoch >= g->epoch ||
        (g->assignment_ms != 0 && interval != 0 && s->now.wall_ms < g->assignment_ms + interval))
        return;
    struct build b = {.s = s, .members = consumer_sorted(s), .n_members = consumer_members(g)};
    if (b.members == NULL || !find_subscriptions(&b) || !find_topics(&b) || !number_topics(&b) ||
        !fill_spec(&b))
        return;
    int rc = choose(&b) == GROUP_ASSIGNOR_RANGE ? assignor_range(&b.spec, b.owner, s->scratch)
                                                : assignor_uniform(&b.spec, b.owner, s->scratch);
    if (rc < 0)
        s->err = rc;
    else
        say_targets(&b);
}
