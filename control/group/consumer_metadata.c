#define XXH_STATIC_LINKING_ONLY /* the state is a value */
#include <xxhash.h>

#include "base/err.h"
#include "control/group/consumer_step.h"

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

void consumer_refreshed(struct consumer_step *s)
{
    s->g->refresh_ms = s->now.wall_ms + INT32_MAX;
    s->g->refresh_epoch = s->g->epoch;
}

void consumer_refresh(struct consumer_step *s, bool bump)
{
    uint64_t hash = consumer_metadata_hash(s);
    if (bump || hash != s->g->hash)
        consumer_say_epoch(s, s->g->epoch + 1, hash);
    consumer_refreshed(s);
    if (s->g->partition_metadata)
        consumer_say_gone(s, CONSUMER_RECORD_PARTITIONS, STR_NULL);
}
