#include <stdlib.h>

#define XXH_STATIC_LINKING_ONLY /* the state is a value */
#include <xxhash.h>

#include "base/err.h"
#include "control/group/consumer_step.h"
#include "control/group/regex_topic.h"

/*
 * Kafka 4.3: XXH3 over the magic byte 0, the id as two little-endian longs, the name as UTF-16LE
 * and its length, the partition count, and each partition's number (no racks). Topic names are
 * ASCII.
 */
static void put_le(XXH3_state_t *h, uint64_t v, size_t bytes)
{
    uint8_t b[8];
    for (size_t i = 0; i < bytes; i++)
        b[i] = (uint8_t)(v >> (8 * i));
    XXH3_64bits_update(h, b, bytes);
}

uint64_t consumer_topic_hash(const struct group_topic *t)
{
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    put_le(&h, 0, 1);
    put_le(&h, bytes_get_u64(t->id.b), 8);
    put_le(&h, bytes_get_u64(t->id.b + 8), 8);
    for (uint32_t i = 0; i < t->name.len; i++)
        put_le(&h, (uint8_t)t->name.p[i], 2);
    put_le(&h, t->name.len, 4);
    put_le(&h, (uint32_t)t->partition_count, 4);
    for (int32_t i = 0; i < t->partition_count; i++)
        put_le(&h, (uint32_t)i, 4);
    return XXH3_64bits_digest(&h);
}

uint64_t consumer_metadata_hash(struct consumer_step *s)
{
    size_t total = 0;
    uint32_t n = 0, found = 0;
    for (struct consumer_names *set = s->g->names; set != NULL; set = set->next)
        total += set->n;
    struct str *all = arena_calloc(s->scratch, total + 1, sizeof(*all));
    if (all == NULL) {
        s->err = ERR_NO_MEMORY;
        return 0;
    }
    for (struct consumer_names *set = s->g->names; set != NULL; set = set->next)
        for (uint32_t i = 0; i < set->n; i++)
            all[n++] = set->v[i];
    n = consumer_names_sort(all, n);
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    for (uint32_t i = 0; i < n; i++) {
        struct group_topic t;
        if (!s->topics->by_name(s->topics->ctx, all[i], &t))
            continue;
        put_le(&h, consumer_topic_hash(&t), 8);
        found++;
    }
    return found > 0 ? XXH3_64bits_digest(&h) : 0;
}

bool consumer_metadata_due(const struct consumer_step *s)
{
    return s->now.wall_ms >= s->g->refresh_ms || s->g->epoch < s->g->refresh_epoch;
}

static void refreshed(struct consumer_step *s)
{
    s->g->refresh_ms = s->now.wall_ms + INT32_MAX;
    s->g->refresh_epoch = s->g->epoch;
}

void consumer_refresh(struct consumer_step *s, bool bump)
{
    uint64_t hash = consumer_metadata_hash(s);
    if (bump || hash != s->g->hash)
        consumer_say_epoch(s, s->g->epoch + 1, hash);
    refreshed(s);
    if (s->g->partition_metadata)
        consumer_say_gone(s, CONSUMER_RECORD_PARTITIONS, STR_NULL);
}

/* --- expressions --- */

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

/* One expression against every topic. */
struct resolving {
    struct topic_regex *re;
    struct str *names;
    uint32_t n, room, giveups;
    struct arena *arena;
    bool failed;
};

static void match_topic(void *ctx, const struct group_topic *topic)
{
    struct resolving *x = ctx;
    bool limited = false;
    if (x->failed || x->giveups >= consumer_regex_giveups_max)
        return;
    if (!topic_regex_matches(x->re, topic->name, &limited)) {
        x->giveups += limited;
        return;
    }
    if (x->n == x->room) {
        struct str *more = arena_calloc(x->arena, x->room * 2 + 64, sizeof(*more));
        if (more == NULL) {
            x->failed = true;
            return;
        }
        if (x->n > 0)
            memcpy(more, x->names, x->n * sizeof(*more));
        x->names = more;
        x->room = x->room * 2 + 64;
    }
    x->names[x->n++] = topic->name;
}

static int text_cmp(const void *a, const void *b)
{
    return str_cmp((*(struct consumer_regex *const *)a)->text,
                   (*(struct consumer_regex *const *)b)->text);
}

/* Says what the expression resolves to; true if that is news. */
static bool resolve_one(struct consumer_step *s, struct consumer_regex *r)
{
    struct resolving x = {.arena = s->scratch};
    const char *why;
    /* What does not compile any more matches nothing, as in Kafka. */
    if (topic_regex_new(&x.re, r->text, &why) == 0) {
        s->topics->each(s->topics->ctx, match_topic, &x);
        topic_regex_free(x.re);
    }
    if (x.giveups >= consumer_regex_giveups_max)
        x.n = 0;
    x.n = consumer_names_sort(x.names, x.n);
    bool news = x.n != (r->resolved ? r->topics->n : 0);
    for (uint32_t i = 0; !news && i < x.n; i++)
        news = !str_eq(x.names[i], r->topics->v[i]);
    struct consumer_record record = {.type = CONSUMER_RECORD_REGEX,
                                     .member = r->text,
                                     .topics = x.names,
                                     .n_topics = x.n,
                                     .version = (int64_t)s->topics->version(s->topics->ctx),
                                     .timestamp_ms = s->now.wall_ms};
    if (x.failed)
        s->err = ERR_NO_MEMORY;
    consumer_say(s, &record);
    return news;
}

void consumer_resolve(struct consumer_step *s)
{
    uint32_t n = 0;
    bool bump = false;
    struct consumer_regex **v =
        arena_calloc(s->scratch, s->g->regexes.count + 1, sizeof(struct consumer_regex *));
    s->g->resolve = false;
    if (v == NULL) {
        s->err = ERR_NO_MEMORY;
        return;
    }
    size_t at = 0;
    for (struct consumer_regex *r; (r = map_next(&s->g->regexes, &at)) != NULL;)
        if (r->members > 0)
            v[n++] = r;
    qsort(v, n, sizeof(struct consumer_regex *), text_cmp);
    for (uint32_t i = 0; i < n; i++)
        bump |= resolve_one(s, v[i]);
    uint64_t hash = consumer_metadata_hash(s);
    if (n == 0 || (!bump && hash == s->g->hash))
        return;
    consumer_say_epoch(s, s->g->epoch + 1, hash);
    refreshed(s);
}
