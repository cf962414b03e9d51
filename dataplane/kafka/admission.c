/*
 * The one thing shards share: how many connections there are, in all, on each listener and from each
 * address, and where each shard's request path is. The path's table is written before the shards
 * start.
 */
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/map.h"
#include "dataplane/kafka/kafka_internal.h"

struct admitted {
    uint8_t address[16]; /* IPv6, or IPv4 mapped into it */
    uint32_t conns;
};

/* What one shard has. */
struct admitted_shard {
    uint32_t conns[admission_listeners_max];
    uint32_t claimed;      /* of its conns: it is closing them for the limit */
    _Atomic uint32_t owed; /* of the others: it has to close so many */
    struct kafka *path;
};

struct admission {
    pthread_mutex_t mutex;
    struct admission_options o; /* overrides are a copy */
    uint32_t conns;
    struct admitted_shard shards[shard_count_max];
    struct map by_address; /* of struct admitted */
};

static int options_copy(struct admission_options *to, const struct admission_options *from)
{
    if (from->override_count > admission_overrides_max ||
        from->listener_count > admission_listeners_max)
        return ERR_TOO_LARGE;
    struct admission_override *copy = NULL;
    if (from->override_count > 0) {
        copy = calloc(from->override_count, sizeof(*copy));
        if (copy == NULL)
            return ERR_NO_MEMORY;
        memcpy(copy, from->overrides, from->override_count * sizeof(*copy));
    }
    *to = *from;
    to->overrides = copy;
    return 0;
}

int admission_new(struct admission **out, const struct admission_options *options)
{
    struct admission *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NO_MEMORY;
    int rc = options_copy(&a->o, options);
    if (rc == 0)
        rc = map_init(&a->by_address, 64, true, rng_entropy());
    if (rc < 0) {
        free((void *)a->o.overrides);
        free(a);
        return rc;
    }
    CHECK(pthread_mutex_init(&a->mutex, NULL) == 0);
    *out = a;
    return 0;
}

void admission_free(struct admission *a)
{
    if (a == NULL)
        return;
    size_t cursor = 0;
    for (struct admitted *e; (e = map_next(&a->by_address, &cursor)) != NULL;)
        free(e);
    map_free(&a->by_address);
    pthread_mutex_destroy(&a->mutex);
    free((void *)a->o.overrides);
    free(a);
}

/* ---- limits ---- */

/* Kafka's rule: the listener between brokers is not kept out, and not cut, by max.connections. */
static bool is_protected(const struct admission *a, uint32_t listener)
{
    return a->o.protects_listener && listener == a->o.protected_listener;
}

static uint32_t limit_of_listener(const struct admission *a, uint32_t listener)
{
    return listener < a->o.listener_count ? a->o.listener_max[listener] : UINT32_MAX;
}

static uint32_t on_listener(const struct admission *a, uint32_t listener)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < shard_count_max; i++)
        n += a->shards[i].conns[listener];
    return n;
}

static uint32_t limit_of_address(const struct admission *a, const uint8_t address[16])
{
    for (uint32_t i = 0; i < a->o.override_count; i++)
        if (memcmp(a->o.overrides[i].address, address, 16) == 0)
            return a->o.overrides[i].conn_max;
    return a->o.conn_per_ip_max;
}

uint32_t admission_owed(const struct admission *a, uint32_t shard)
{
    return atomic_load_explicit(&a->shards[shard].owed, memory_order_relaxed);
}

/* Conns that the shard could still be told to close. */
static uint32_t closable(const struct admission *a, uint32_t shard)
{
    const struct admitted_shard *s = &a->shards[shard];
    uint32_t n = 0;
    for (uint32_t i = 0; i < admission_listeners_max; i++)
        n += is_protected(a, i) ? 0 : s->conns[i];
    return n - s->claimed - admission_owed(a, shard);
}

static void owe(struct admission *a, uint32_t shard, uint32_t n)
{
    atomic_store_explicit(&a->shards[shard].owed, n, memory_order_relaxed);
}

/* After a change: each shard owes its part of what is over, by the conns that it has. */
static void spread_excess(struct admission *a)
{
    uint32_t going = 0, rest = 0;
    for (uint32_t i = 0; i < shard_count_max; i++)
        going += a->shards[i].claimed + admission_owed(a, i);
    uint32_t stay = a->conns - going, max = a->o.conn_max;
    uint32_t more = stay > max ? stay - max : 0;
    for (uint32_t i = 0; i < shard_count_max && more > 0; i++)
        rest += closable(a, i);
    for (uint32_t i = 0; i < shard_count_max && more > 0 && rest > 0; i++) {
        uint32_t own = closable(a, i);
        uint64_t part = ((uint64_t)more * own + rest - 1) / rest;
        uint32_t take = part < own ? (uint32_t)part : own;
        owe(a, i, admission_owed(a, i) + take);
        more -= take;
        rest -= own;
    }
    for (uint32_t i = 0; i < shard_count_max && stay < max; i++) {
        uint32_t owed = admission_owed(a, i), less = owed < max - stay ? owed : max - stay;
        owe(a, i, owed - less);
        stay += less;
    }
}

int admission_set(struct admission *a, const struct admission_options *options)
{
    struct admission_options made;
    int rc = options_copy(&made, options);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&a->mutex);
    const struct admission_override *old = a->o.overrides;
    a->o = made;
    spread_excess(a);
    pthread_mutex_unlock(&a->mutex);
    free((void *)old);
    return 0;
}

uint32_t admission_excess(const struct admission *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < shard_count_max; i++)
        n += admission_owed(a, i);
    return n;
}

bool admission_claim(struct admission *a, uint32_t shard, uint32_t listener)
{
    pthread_mutex_lock(&a->mutex);
    uint32_t owed = admission_owed(a, shard);
    bool claimed = owed > 0 && !is_protected(a, listener);
    owe(a, shard, owed - claimed);
    a->shards[shard].claimed += claimed;
    pthread_mutex_unlock(&a->mutex);
    return claimed;
}

/* ---- connections ---- */

static void address_of(const struct sockaddr_storage *peer, uint8_t out[16])
{
    memset(out, 0, 16);
    if (peer->ss_family == AF_INET6) {
        memcpy(out, &((const struct sockaddr_in6 *)peer)->sin6_addr, 16);
    } else if (peer->ss_family == AF_INET) {
        out[10] = out[11] = 0xff;
        memcpy(out + 12, &((const struct sockaddr_in *)peer)->sin_addr, 4);
    }
}

static struct admitted *admitted_get(struct admission *a, const uint8_t address[16])
{
    struct admitted *e = map_get(&a->by_address, address, 16);
    if (e != NULL)
        return e;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return NULL;
    memcpy(e->address, address, 16);
    if (map_put(&a->by_address, e->address, 16, e, NULL) < 0) {
        free(e);
        return NULL;
    }
    return e;
}

static const char *enter_locked(struct admission *a, const uint8_t address[16], uint32_t shard,
                                uint32_t listener)
{
    if (on_listener(a, listener) >= limit_of_listener(a, listener))
        return "max.connections of the listener is reached";
    if (a->conns >= a->o.conn_max && !is_protected(a, listener))
        return "max.connections is reached";
    if (limit_of_address(a, address) == 0)
        return "max.connections.per.ip is 0 for it";
    struct admitted *e = admitted_get(a, address);
    if (e == NULL)
        return "no memory";
    if (e->conns >= limit_of_address(a, address))
        return "max.connections.per.ip is reached";
    e->conns++;
    a->conns++;
    a->shards[shard].conns[listener]++;
    spread_excess(a);
    return NULL;
}

const char *admission_enter(struct admission *a, const struct sockaddr_storage *peer,
                            uint32_t shard, uint32_t listener)
{
    uint8_t address[16];
    CHECK(listener < admission_listeners_max);
    address_of(peer, address);
    pthread_mutex_lock(&a->mutex);
    const char *refusal = enter_locked(a, address, shard, listener);
    pthread_mutex_unlock(&a->mutex);
    return refusal;
}

void admission_leave(struct admission *a, const struct sockaddr_storage *peer, uint32_t shard,
                     uint32_t listener, bool claimed)
{
    struct admitted_shard *s = &a->shards[shard];
    uint8_t address[16];
    address_of(peer, address);
    pthread_mutex_lock(&a->mutex);
    struct admitted *e = map_get(&a->by_address, address, 16);
    CHECK(e != NULL && e->conns > 0 && a->conns > 0 && s->conns[listener] > 0);
    if (!claimed && !is_protected(a, listener) && closable(a, shard) == 0)
        owe(a, shard, admission_owed(a, shard) - 1); /* gone by itself */
    a->conns--;
    s->conns[listener]--;
    s->claimed -= claimed;
    spread_excess(a);
    if (--e->conns == 0) {
        map_remove(&a->by_address, address, 16);
        free(e);
    }
    pthread_mutex_unlock(&a->mutex);
}

/* ---- the paths ---- */

void admission_join(struct admission *a, uint32_t shard, struct kafka *k)
{
    pthread_mutex_lock(&a->mutex);
    a->shards[shard].path = k;
    pthread_mutex_unlock(&a->mutex);
}

struct kafka *admission_peer(const struct admission *a, uint32_t shard)
{
    return a->shards[shard].path;
}
