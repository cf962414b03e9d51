#include "control/group/consumer_group.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/group/consumer_names.h"

int consumer_group_new(struct consumer_group **out, struct str id, uint64_t seed)
{
    struct consumer_group *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return ERR_NO_MEMORY;
    g->id = id;
    g->epoch = g->assignment_epoch = 1;
    g->deadline_ns = INT64_MAX;
    struct map *maps[] = {&g->members, &g->statics, &g->targets, &g->regexes, &g->owned};
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        if (map_init(maps[i], 8, true, seed) < 0) {
            consumer_group_free(g);
            return ERR_NO_MEMORY;
        }
    *out = g;
    return 0;
}

static void member_free(struct consumer_group *g, struct consumer_member *m)
{
    consumer_names_put(g, m->names);
    free(m->meta);
    free(m->cur.assigned.v);
    free(m->cur.pending.v);
    free(m);
}

static void regex_free(struct consumer_group *g, struct consumer_regex *r)
{
    consumer_names_put(g, r->topics);
    free(r);
}

void consumer_group_free(struct consumer_group *g)
{
    if (g == NULL)
        return;
    size_t at = 0;
    for (struct consumer_member *m; (m = map_next(&g->members, &at)) != NULL;)
        member_free(g, m);
    at = 0;
    for (struct consumer_regex *r; (r = map_next(&g->regexes, &at)) != NULL;)
        regex_free(g, r);
    at = 0;
    for (struct consumer_target *t; (t = map_next(&g->targets, &at)) != NULL;) {
        free(t->parts.v);
        free(t);
    }
    at = 0;
    for (struct consumer_owned *o; (o = map_next(&g->owned, &at)) != NULL;) {
        free(o->count);
        free(o);
    }
    consumer_resolving_free(g->resolving);
    map_free(&g->members);
    map_free(&g->statics);
    map_free(&g->targets);
    map_free(&g->regexes);
    map_free(&g->owned);
    free(g);
}

struct consumer_member *consumer_member_find(const struct consumer_group *g, struct str id)
{
    return map_get(&g->members, id.p, id.len);
}

struct consumer_member *consumer_static_find(const struct consumer_group *g, struct str instance)
{
    return str_is_null(instance) ? NULL : map_get(&g->statics, instance.p, instance.len);
}

struct consumer_target *consumer_target_find(const struct consumer_group *g, struct str member_id)
{
    return map_get(&g->targets, member_id.p, member_id.len);
}

struct consumer_regex *consumer_regex_find(const struct consumer_group *g, struct str text)
{
    return str_is_null(text) ? NULL : map_get(&g->regexes, text.p, text.len);
}

uint32_t consumer_members(const struct consumer_group *g)
{
    return (uint32_t)g->members.count;
}

bool consumer_reconciled(const struct consumer_member *m, int32_t epoch)
{
    return m->cur.state == CONSUMER_STABLE && m->cur.epoch == epoch;
}

const char *consumer_group_state(const struct consumer_group *g)
{
    if (g->members.count == 0)
        return "Empty";
    if (g->epoch > g->assignment_epoch)
        return "Assigning";
    size_t at = 0;
    for (struct consumer_member *m; (m = map_next(&g->members, &at)) != NULL;)
        if (!consumer_reconciled(m, g->assignment_epoch))
            return "Reconciling";
    return "Stable";
}

bool consumer_homogeneous(const struct consumer_group *g)
{
    size_t at = 0;
    struct consumer_member *first = map_next(&g->members, &at);
    if (first == NULL)
        return true;
    bool regex = consumer_has_regex(first->meta);
    if (regex && first->names->n > 0)
        return false;
    for (struct consumer_member *m; (m = map_next(&g->members, &at)) != NULL;)
        if (m->names != first->names || regex != consumer_has_regex(m->meta) ||
            (regex && !str_eq(m->meta->regex, first->meta->regex)))
            return false;
    return true;
}

uint32_t consumer_owners(const struct consumer_group *g, const struct uuid *topic,
                         int32_t partition)
{
    const struct consumer_owned *o = map_get(&g->owned, topic->b, sizeof(topic->b));
    return o != NULL && partition >= 0 && (uint32_t)partition < o->n ? o->count[partition] : 0;
}

/* --- owners --- */

static int owned_room(struct consumer_group *g, const struct uuid *topic, uint32_t n,
                      struct consumer_owned **out)
{
    struct consumer_owned *o = map_get(&g->owned, topic->b, sizeof(topic->b));
    if (o == NULL) {
        o = calloc(1, sizeof(*o));
        if (o == NULL)
            return ERR_NO_MEMORY;
        o->topic = *topic;
        int rc = map_put(&g->owned, o->topic.b, sizeof(o->topic.b), o, NULL);
        if (rc < 0) {
            free(o);
            return rc;
        }
    }
    if (n > o->n) {
        uint32_t *count = realloc(o->count, n * sizeof(*count));
        if (count == NULL)
            return ERR_NO_MEMORY;
        memset(count + o->n, 0, (n - o->n) * sizeof(*count));
        o->count = count;
        o->n = n;
    }
    *out = o;
    return 0;
}

/* Makes room for all counts, so that counting itself cannot fail. */
static int owned_prepare(struct consumer_group *g, const struct consumer_parts *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct consumer_owned *o;
        if (p->v[i].partition < 0 || p->v[i].partition >= topic_partitions_max)
            return ERR_MALFORMED;
        /* Partitions are in order: the last one of a topic decides. */
        if (i + 1 < p->n && uuid_eq(&p->v[i].topic, &p->v[i + 1].topic))
            continue;
        int rc = owned_room(g, &p->v[i].topic, (uint32_t)p->v[i].partition + 1, &o);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void owned_add(struct consumer_group *g, const struct consumer_parts *p, int by)
{
    struct consumer_owned *o = NULL;
    for (uint32_t i = 0; i < p->n; i++) {
        if (o == NULL || !uuid_eq(&o->topic, &p->v[i].topic))
            o = map_get(&g->owned, p->v[i].topic.b, sizeof(p->v[i].topic.b));
        o->count[p->v[i].partition] += (uint32_t)by;
    }
}

/* Topics that nobody holds a partition of are forgotten. */
static void owned_trim(struct consumer_group *g, const struct consumer_parts *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        const struct uuid *topic = &p->v[i].topic;
        if (i + 1 < p->n && uuid_eq(topic, &p->v[i + 1].topic))
            continue;
        struct consumer_owned *o = map_get(&g->owned, topic->b, sizeof(topic->b));
        while (o != NULL && o->n > 0 && o->count[o->n - 1] == 0)
            o->n--;
        if (o != NULL && o->n == 0) {
            map_remove(&g->owned, topic->b, sizeof(topic->b));
            free(o->count);
            free(o);
        }
    }
}

/* --- records --- */

void consumer_apply_epoch(struct consumer_group *g, int32_t epoch, uint64_t hash)
{
    g->epoch = epoch;
    g->hash = hash;
}

void consumer_apply_target_epoch(struct consumer_group *g, int32_t epoch, int64_t ms)
{
    g->assignment_epoch = epoch;
    g->assignment_ms = ms;
}

static struct consumer_regex *regex_get(struct consumer_group *g, struct str text)
{
    struct consumer_regex *r = consumer_regex_find(g, text);
    if (r != NULL)
        return r;
    r = malloc(sizeof(*r) + text.len);
    if (r == NULL)
        return NULL;
    *r = (struct consumer_regex){.text = {(char *)(r + 1), text.len}};
    memcpy(r + 1, text.p, text.len);
    if (map_put(&g->regexes, r->text.p, r->text.len, r, NULL) < 0) {
        free(r);
        return NULL;
    }
    return r;
}

static void regex_drop_unused(struct consumer_group *g, struct consumer_regex *r)
{
    if (r == NULL || r->members > 0 || r->resolved)
        return;
    map_remove(&g->regexes, r->text.p, r->text.len);
    regex_free(g, r);
}

static struct consumer_member *member_get(struct consumer_group *g, struct str id)
{
    static const struct consumer_meta nothing = {
        .client_id = {"", 0}, .client_host = {"", 0}, .regex = {"", 0}, .rebalance_timeout_ms = -1};
    struct consumer_member *m = consumer_member_find(g, id);
    if (m != NULL)
        return m;
    m = malloc(sizeof(*m) + id.len);
    if (m == NULL)
        return NULL;
    *m = (struct consumer_member){.id = {(char *)(m + 1), id.len},
                                  .cur = {.epoch = 0, .previous_epoch = -1}};
    memcpy(m + 1, id.p, id.len);
    for (int i = 0; i < CONSUMER_TIMERS; i++)
        m->deadline_ns[i] = INT64_MAX;
    m->names = consumer_names_get(g, NULL, 0);
    m->meta = m->names ? consumer_meta_copy(&nothing, m->names) : NULL;
    if (m->meta == NULL || map_put(&g->members, m->id.p, m->id.len, m, NULL) < 0) {
        member_free(g, m);
        return NULL;
    }
    return m;
}

static void static_forget(struct consumer_group *g, struct consumer_member *m)
{
    struct str instance = m->meta->instance_id;
    if (consumer_static_find(g, instance) == m)
        map_remove(&g->statics, instance.p, instance.len);
}

/* Names the member at its seat. The key lives in the meta that is stored. */
static int static_note(struct consumer_group *g, struct consumer_member *m,
                       const struct consumer_meta *meta)
{
    struct str instance = meta->instance_id;
    if (str_is_null(instance))
        return 0;
    map_remove(&g->statics, instance.p, instance.len); /* its key is another member's */
    return map_put(&g->statics, instance.p, instance.len, m, NULL);
}

int consumer_apply_member(struct consumer_group *g, struct str id, const struct consumer_meta *in)
{
    struct consumer_member *m = member_get(g, id);
    struct consumer_names *names = m ? consumer_names_get(g, in->names, in->n_names) : NULL;
    struct consumer_meta *meta = names ? consumer_meta_copy(in, names) : NULL;
    struct consumer_regex *regex = NULL;
    if (meta == NULL || (consumer_has_regex(in) && (regex = regex_get(g, meta->regex)) == NULL)) {
        free(meta);
        consumer_names_put(g, names);
        return ERR_NO_MEMORY;
    }
    static_forget(g, m);
    int rc = static_note(g, m, meta);
    if (regex != NULL)
        regex->members++;
    if (consumer_has_regex(m->meta)) {
        struct consumer_regex *old = consumer_regex_find(g, m->meta->regex);
        old->members--;
        regex_drop_unused(g, old);
    }
    g->n_classic += (uint32_t)meta->classic - (uint32_t)m->meta->classic;
    consumer_names_put(g, m->names);
    free(m->meta);
    m->names = names;
    m->meta = meta;
    return rc;
}

void consumer_apply_member_gone(struct consumer_group *g, struct str id)
{
    struct consumer_member *m = consumer_member_find(g, id);
    if (m == NULL)
        return;
    static_forget(g, m);
    if (consumer_has_regex(m->meta)) {
        struct consumer_regex *old = consumer_regex_find(g, m->meta->regex);
        old->members--;
        regex_drop_unused(g, old);
    }
    g->n_classic -= m->meta->classic;
    owned_add(g, &m->cur.assigned, -1);
    owned_add(g, &m->cur.pending, -1);
    owned_trim(g, &m->cur.assigned);
    owned_trim(g, &m->cur.pending);
    map_remove(&g->members, m->id.p, m->id.len);
    member_free(g, m);
}

int consumer_apply_target(struct consumer_group *g, struct str id,
                          const struct consumer_parts *parts)
{
    struct consumer_parts copy;
    int rc = consumer_parts_copy(&copy, parts);
    if (rc < 0)
        return rc;
    struct consumer_target *t = consumer_target_find(g, id);
    if (t == NULL) {
        t = malloc(sizeof(*t) + id.len);
        if (t != NULL) {
            *t = (struct consumer_target){.member_id = {(char *)(t + 1), id.len}};
            memcpy(t + 1, id.p, id.len);
        }
        if (t == NULL || map_put(&g->targets, t->member_id.p, t->member_id.len, t, NULL) < 0) {
            free(t);
            free(copy.v);
            return ERR_NO_MEMORY;
        }
    }
    free(t->parts.v);
    t->parts = copy;
    return 0;
}

void consumer_apply_target_gone(struct consumer_group *g, struct str id)
{
    struct consumer_target *t = map_remove(&g->targets, id.p, id.len);
    if (t != NULL)
        free(t->parts.v);
    free(t);
}

int consumer_apply_current(struct consumer_group *g, struct str id,
                           const struct consumer_current *in)
{
    static const struct consumer_current gone = {-1, -1, CONSUMER_STABLE, {0}, {0}};
    struct consumer_member *m = in ? member_get(g, id) : consumer_member_find(g, id);
    if (m == NULL)
        return in ? ERR_NO_MEMORY : 0;
    struct consumer_current cur = in ? *in : gone, old = m->cur;
    cur.assigned.v = cur.pending.v = NULL;
    int rc = 0;
    if (in != NULL && (rc = owned_prepare(g, &in->assigned)) == 0 &&
        (rc = owned_prepare(g, &in->pending)) == 0 &&
        (rc = consumer_parts_copy(&cur.assigned, &in->assigned)) == 0)
        rc = consumer_parts_copy(&cur.pending, &in->pending);
    if (rc < 0) {
        free(cur.assigned.v);
        return rc;
    }
    owned_add(g, &old.assigned, -1);
    owned_add(g, &old.pending, -1);
    owned_add(g, &cur.assigned, 1);
    owned_add(g, &cur.pending, 1);
    owned_trim(g, &old.assigned);
    owned_trim(g, &old.pending);
    m->cur = cur;
    free(old.assigned.v);
    free(old.pending.v);
    return 0;
}

int consumer_apply_regex(struct consumer_group *g, struct str text, const struct str *topics,
                         uint32_t n_topics, int64_t version, int64_t timestamp_ms)
{
    struct consumer_names *names = consumer_names_get(g, topics, n_topics);
    struct consumer_regex *r = names ? regex_get(g, text) : NULL;
    if (r == NULL) {
        consumer_names_put(g, names);
        return ERR_NO_MEMORY;
    }
    consumer_names_put(g, r->topics);
    r->topics = names;
    r->resolved = true;
    r->version = version;
    r->timestamp_ms = timestamp_ms;
    return 0;
}

void consumer_apply_regex_gone(struct consumer_group *g, struct str text)
{
    struct consumer_regex *r = consumer_regex_find(g, text);
    if (r == NULL)
        return;
    consumer_names_put(g, r->topics);
    r->topics = NULL;
    r->resolved = false;
    regex_drop_unused(g, r);
}
