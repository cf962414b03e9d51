#include "control/group/classic.h"

#include "base/check.h"
#include "base/rng.h"

const char *classic_state_name(enum classic_state state)
{
    static const char *const names[] = {
        [CLASSIC_EMPTY] = "Empty",
        [CLASSIC_PREPARING_REBALANCE] = "PreparingRebalance",
        [CLASSIC_COMPLETING_REBALANCE] = "CompletingRebalance",
        [CLASSIC_STABLE] = "Stable",
        [CLASSIC_DEAD] = "Dead",
    };
    return names[state];
}

int classic_group_new(struct group *g)
{
    struct coordinator *c = g->c;
    CHECK(g->type == GROUP_NONE);
    struct classic_group *k = calloc(1, sizeof(*k));
    if (k == NULL)
        return ERR_NO_MEMORY;
    struct map *maps[] = {&k->by_id, &k->by_instance, &k->pending, &k->protocols, &k->subscribed};
    for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
        if (map_init(maps[i], 8, true, rng_u64(c->rng)) < 0) {
            while (i-- > 0)
                map_free(maps[i]);
            free(k);
            return ERR_NO_MEMORY;
        }
    k->members_end = &k->members;
    k->state = CLASSIC_EMPTY;
    k->previous = CLASSIC_DEAD;
    k->state_ms = c->now.wall_ms;
    k->join_timer.fire = classic_join_fired;
    k->sync_timer.fire = classic_sync_fired;
    k->group = g;
    group_set_type(g, GROUP_CLASSIC);
    g->classic = k;
    return 0;
}

static void subscribed_clear(struct classic_group *k)
{
    struct str *name;
    for (size_t cursor = 0; (name = map_next(&k->subscribed, &cursor));) {
        group_str_free(name);
        free(name);
    }
    map_free(&k->subscribed);
    k->subscribed_known = false;
}

void classic_group_free(struct group *g)
{
    struct classic_group *k = g->classic;
    while (k->members)
        classic_member_remove(g, k->members, KERR_UNKNOWN_MEMBER_ID);
    size_t cursor = 0;
    for (struct classic_pending *p; (p = map_next(&k->pending, &cursor));)
        classic_pending_free(g, p);
    struct classic_count *n;
    for (cursor = 0; (n = map_next(&k->protocols, &cursor));) {
        group_str_free(&n->name);
        free(n);
    }
    subscribed_clear(k);
    group_timer_cancel(g->c, &k->join_timer);
    group_timer_cancel(g->c, &k->sync_timer);
    map_free(&k->by_id);
    map_free(&k->by_instance);
    map_free(&k->pending);
    map_free(&k->protocols);
    group_str_free(&k->protocol_type);
    group_str_free(&k->protocol_name);
    group_str_free(&k->leader);
    group_str_free(&k->record);
    free(k);
    g->classic = NULL;
}

int classic_set_str(struct str *field, struct str value)
{
    bool ok = true;
    struct str copy = group_str_dup(value, &ok);
    if (!ok)
        return ERR_NO_MEMORY;
    group_str_free(field);
    *field = copy;
    return 0;
}

bool classic_uses_consumer_protocol(const struct classic_group *k)
{
    return str_eqz(k->protocol_type, "consumer");
}

bool classic_is_leader(const struct classic_group *k, const struct classic_member *m)
{
    return str_eq(k->leader, m->id);
}

int64_t classic_rebalance_timeout_ms(const struct classic_group *k)
{
    int64_t ms = 0;
    for (const struct classic_member *m = k->members; m; m = m->next)
        if (m->rebalance_ms > ms)
            ms = m->rebalance_ms;
    return ms;
}

void classic_transition(struct group *g, enum classic_state to)
{
    struct classic_group *k = g->classic;
    static const uint8_t from[] = {
        [CLASSIC_EMPTY] = 1 << CLASSIC_PREPARING_REBALANCE,
        [CLASSIC_PREPARING_REBALANCE] =
            1 << CLASSIC_STABLE | 1 << CLASSIC_COMPLETING_REBALANCE | 1 << CLASSIC_EMPTY,
        [CLASSIC_COMPLETING_REBALANCE] = 1 << CLASSIC_PREPARING_REBALANCE,
        [CLASSIC_STABLE] = 1 << CLASSIC_COMPLETING_REBALANCE,
    };
    CHECK(from[to] & 1 << k->state);
    k->previous = k->state;
    k->state = to;
    k->state_ms = g->c->now.wall_ms;
}

/* --- which topics --- */

bool classic_is_subscribed(const struct classic_group *k, struct str topic)
{
    if (!k->subscribed_known)
        return classic_uses_consumer_protocol(k);
    return map_get(&k->subscribed, topic.p, topic.len) != NULL;
}

static int subscribed_add(struct classic_group *k, struct str topic)
{
    if (map_get(&k->subscribed, topic.p, topic.len))
        return 0;
    bool ok = true;
    struct str *name = malloc(sizeof(*name));
    if (name == NULL)
        return ERR_NO_MEMORY;
    *name = group_str_dup(topic, &ok);
    if (!ok || map_put(&k->subscribed, name->p, name->len, name, NULL) < 0) {
        group_str_free(name);
        free(name);
        return ERR_NO_MEMORY;
    }
    return 0;
}

/* ConsumerProtocolSubscription up to v0's fields: version, topics, user data. */
static int subscription_parse(struct classic_group *k, struct str metadata)
{
    const uint8_t *p = (const uint8_t *)metadata.p;
    struct codec_in in = {p, p + metadata.len, p == NULL};
    if (codec_get_i16(&in) < 0)
        return ERR_MALFORMED;
    struct codec_in check = in;
    int32_t n = codec_get_count(&check, false, 2);
    for (int32_t i = 0; i < n && !check.bad; i++)
        if (str_is_null(codec_get_str(&check, false)))
            check.bad = true;
    codec_get_bytes(&check, false);
    if (check.bad || n < 0)
        return ERR_MALFORMED;
    codec_get_i32(&in);
    for (int32_t i = 0; i < n; i++)
        if (subscribed_add(k, codec_get_str(&in, false)) < 0)
            return ERR_NO_MEMORY;
    return 0;
}

void classic_compute_subscribed(struct group *g)
{
    struct classic_group *k = g->classic;
    struct map fresh;
    if (map_init(&fresh, 8, true, rng_u64(g->c->rng)) < 0) {
        group_fail(g->c, KERR_COORDINATOR_NOT_AVAILABLE);
        return;
    }
    subscribed_clear(k);
    k->subscribed = fresh;
    if (!classic_uses_consumer_protocol(k))
        return;
    if (k->n_members > 0 && str_is_null(k->protocol_name))
        return;
    struct str last = STR_NULL;
    for (struct classic_member *m = k->members; m; m = m->next) {
        struct str metadata = classic_member_metadata(m, k->protocol_name);
        if (!str_is_null(last) && str_eq(last, metadata))
            continue; /* most members of a group subscribe to the same */
        if (subscription_parse(k, metadata) < 0)
            return;
        last = metadata;
    }
    k->subscribed_known = true;
}

/* --- protocols --- */

/* Java's String.hashCode of the name spread over the 16 buckets of a HashMap: Kafka's order among
 * protocols with equal votes. */
static uint32_t java_bucket(struct str name)
{
    uint32_t h = 0;
    for (uint32_t i = 0; i < name.len; i++)
        h = h * 31 + (uint8_t)name.p[i];
    return (h ^ h >> 16) & 15;
}

struct str classic_select_protocol(const struct classic_group *k)
{
    struct {
        struct str name;
        uint32_t votes;
    } tally[group_protocols_max];
    uint32_t n = 0;
    for (const struct classic_member *m = k->members; m; m = m->next)
        for (uint32_t i = 0; i < m->n_protocols; i++) {
            struct str name = m->protocols[i].name;
            struct classic_count *count = map_get(&k->protocols, name.p, name.len);
            if (count == NULL || count->members != k->n_members)
                continue;
            uint32_t t = 0;
            while (t < n && !str_eq(tally[t].name, name))
                t++;
            if (t == n) {
                CHECK(n < group_protocols_max); /* the candidates are among one member's */
                tally[n].name = name;
                tally[n++].votes = 0;
            }
            tally[t].votes++;
            break;
        }
    struct str best = STR_NULL;
    uint32_t votes = 0;
    for (uint32_t t = 0; t < n; t++)
        if (tally[t].votes > votes ||
            (tally[t].votes == votes && java_bucket(tally[t].name) < java_bucket(best))) {
            best = tally[t].name;
            votes = tally[t].votes;
        }
    return best;
}
