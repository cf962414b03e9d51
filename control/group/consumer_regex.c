/*
 * consumer_regex: which topics the expressions of a group name.
 *
 * An expression may be as bad as its author likes, and there may be 10,000 topics: the work is cut into
 * slices. A slice costs at most consumer_regex_slice (and one match), other groups and requests have
 * their turn before the next. The names are those of the moment at which the first slice began.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "control/group/consumer_step.h"
#include "control/group/regex_topic.h"

struct consumer_resolving {
    uint64_t version; /* of the metadata that the names are from */
    char *text;       /* of all names and expressions */
    struct str *names, *regexes;
    uint32_t n_names, n_regexes;
    uint32_t at_name, at_regex; /* what is next */
    struct topic_regex *re;     /* of at_regex; NULL: it begins, or does not compile */
    uint32_t *hits;             /* indexes of names */
    uint32_t n_hits, giveups;
};

void consumer_resolving_free(struct consumer_resolving *x)
{
    if (x == NULL)
        return;
    topic_regex_free(x->re);
    free(x->text);
    free(x->names);
    free(x->regexes);
    free(x->hits);
    free(x);
}

void consumer_resolve_if_due(struct consumer_step *s, bool fresh)
{
    uint32_t used = 0, resolved = 0;
    int64_t last = INT64_MIN / 2;
    bool stale = false;
    uint64_t version = s->topics->version(s->topics->ctx);
    size_t at = 0;
    for (struct consumer_regex *r; (r = map_next(&s->g->regexes, &at)) != NULL;) {
        used += r->members > 0;
        resolved += r->resolved;
        if (r->resolved && r->timestamp_ms > last)
            last = r->timestamp_ms;
        stale |= r->resolved && r->version != (int64_t)version;
    }
    if (used == 0 || s->g->resolve || s->now.wall_ms <= last + consumer_regex_pause_ms)
        return;
    s->g->resolve = fresh || stale || used != resolved ||
                    s->now.wall_ms > last + s->settings->consumer_regex_refresh_ms;
}

/* --- what there is to do --- */

struct counting {
    size_t bytes;
    uint32_t n;
};

static void count_topic(void *ctx, const struct group_topic *topic)
{
    struct counting *x = ctx;
    x->bytes += topic->name.len;
    x->n++;
}

struct copying {
    struct consumer_resolving *x;
    uint32_t room;
    char *at;
};

static void copy_topic(void *ctx, const struct group_topic *topic)
{
    struct copying *y = ctx;
    if (y->x->n_names == y->room)
        return;
    memcpy(y->at, topic->name.p, topic->name.len);
    y->x->names[y->x->n_names++] = (struct str){y->at, topic->name.len};
    y->at += topic->name.len;
}

static int text_cmp(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void copy_regexes(struct consumer_resolving *x, const struct consumer_group *g, char *to)
{
    size_t at = 0;
    for (struct consumer_regex *r; (r = map_next(&g->regexes, &at)) != NULL;) {
        if (r->members == 0)
            continue;
        memcpy(to, r->text.p, r->text.len);
        x->regexes[x->n_regexes++] = (struct str){to, r->text.len};
        to += r->text.len;
    }
    qsort(x->regexes, x->n_regexes, sizeof(*x->regexes), text_cmp);
}

/* NULL: no memory. */
static struct consumer_resolving *resolving_new(const struct consumer_step *s)
{
    struct consumer_resolving *x = calloc(1, sizeof(*x));
    struct counting n = {0};
    size_t at = 0, bytes = 1;
    if (x == NULL)
        return NULL;
    s->topics->each(s->topics->ctx, count_topic, &n);
    for (struct consumer_regex *r; (r = map_next(&s->g->regexes, &at)) != NULL;)
        bytes += r->text.len;
    x->version = s->topics->version(s->topics->ctx);
    x->text = malloc(n.bytes + bytes);
    x->names = calloc((size_t)n.n + 1, sizeof(*x->names));
    x->hits = calloc((size_t)n.n + 1, sizeof(*x->hits));
    x->regexes = calloc(s->g->regexes.count + 1, sizeof(*x->regexes));
    if (x->text == NULL || x->names == NULL || x->hits == NULL || x->regexes == NULL) {
        consumer_resolving_free(x);
        return NULL;
    }
    struct copying y = {x, n.n, x->text};
    s->topics->each(s->topics->ctx, copy_topic, &y);
    copy_regexes(x, s->g, y.at);
    return x;
}

/* --- one slice --- */

/* Says what the expression resolves to; true if that is news. */
static bool say_resolved(struct consumer_step *s, struct consumer_resolving *x)
{
    struct consumer_regex *r = consumer_regex_find(s->g, x->regexes[x->at_regex]);
    struct str *names = arena_calloc(s->scratch, (size_t)x->n_hits + 1, sizeof(*names));
    if (r == NULL || r->members == 0)
        return false; /* nobody wants to know any more */
    if (names == NULL) {
        s->err = ERR_NO_MEMORY;
        return false;
    }
    for (uint32_t i = 0; i < x->n_hits; i++)
        names[i] = x->names[x->hits[i]];
    uint32_t n = consumer_names_sort(names, x->n_hits);
    if (!consumer_fits(s, r->text, consumer_names_bytes(names, n)))
        n = 0; /* it cannot be recorded, in Kafka neither */
    bool news = n != (r->resolved ? r->topics->n : 0);
    for (uint32_t i = 0; !news && i < n; i++)
        news = !str_eq(names[i], r->topics->v[i]);
    struct consumer_record record = {.type = CONSUMER_RECORD_REGEX,
                                     .member = r->text,
                                     .topics = names,
                                     .n_topics = n,
                                     .version = (int64_t)x->version,
                                     .timestamp_ms = s->now.wall_ms};
    consumer_say(s, &record);
    return news;
}

/* Matches the expression at hand with names until all are done (true) or the slice is used up. */
static bool match_names(struct consumer_resolving *x, struct consumer_regex_turn *turn)
{
    const char *why;
    if (x->at_name == 0 && x->re == NULL && topic_regex_new(&x->re, x->regexes[x->at_regex], &why))
        return true; /* what does not compile any more matches nothing, as in Kafka */
    while (x->at_name < x->n_names && x->giveups < consumer_regex_giveups_max) {
        struct str name = x->names[x->at_name];
        bool limited = false;
        if (turn->cost >= consumer_regex_slice)
            return false;
        turn->cost += topic_regex_cost(x->re, name);
        if (topic_regex_matches(x->re, name, &limited))
            x->hits[x->n_hits++] = x->at_name;
        x->giveups += limited;
        x->at_name++;
    }
    if (x->giveups >= consumer_regex_giveups_max)
        x->n_hits = 0;
    return true;
}

static void next_regex(struct consumer_resolving *x)
{
    topic_regex_free(x->re);
    x->re = NULL;
    x->at_name = x->n_hits = x->giveups = 0;
    x->at_regex++;
}

void consumer_resolve(struct consumer_step *s, struct consumer_regex_turn *turn)
{
    bool bump = false;
    if (s->g->resolving == NULL && (s->g->resolving = resolving_new(s)) == NULL) {
        s->err = ERR_NO_MEMORY;
        return;
    }
    struct consumer_resolving *x = s->g->resolving;
    uint32_t wanted = x->n_regexes;
    while (x->at_regex < x->n_regexes && s->err == 0 && match_names(x, turn)) {
        bump |= say_resolved(s, x);
        turn->cost += regex_compile_cost;
        next_regex(x);
    }
    bool done = x->at_regex == x->n_regexes;
    if (done) {
        consumer_resolving_free(x);
        s->g->resolving = NULL;
        s->g->resolve = false;
    }
    /* News of a slice are said with it: a crash before the next loses nothing. */
    if (wanted == 0 || (!done && !bump))
        return;
    uint64_t hash = consumer_metadata_hash(s);
    if (!bump && hash == s->g->hash)
        return;
    consumer_say_epoch(s, s->g->epoch + 1, hash);
    consumer_refreshed(s);
}
