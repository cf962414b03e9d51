/*
 * The one thing shards share: how many connections there are, in all and from each address, and
 * where each shard's request path is. The path's table is written before the shards start.
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

struct admission {
    pthread_mutex_t mutex;
    struct admission_options o;
    uint32_t conns;
    struct map by_address; /* of struct admitted */
    struct kafka *paths[shard_count_max];
};

int admission_new(struct admission **out, const struct admission_options *options)
{
    struct admission *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NO_MEMORY;
    a->o = *options;
    if (map_init(&a->by_address, 64, true, rng_entropy()) < 0) {
        free(a);
        return ERR_NO_MEMORY;
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
    free(a);
}

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

static int enter_locked(struct admission *a, const uint8_t address[16])
{
    if (a->conns >= a->o.conn_max)
        return ERR_FULL;
    struct admitted *e = admitted_get(a, address);
    if (e == NULL)
        return ERR_NO_MEMORY;
    if (e->conns >= a->o.conn_per_ip_max)
        return ERR_BUSY;
    e->conns++;
    a->conns++;
    return 0;
}

/* 0; ERR_FULL: too many in all; ERR_BUSY: too many from this address; ERR_NO_MEMORY. */
int admission_enter(struct admission *a, const struct sockaddr_storage *peer)
{
    uint8_t address[16];
    address_of(peer, address);
    pthread_mutex_lock(&a->mutex);
    int rc = enter_locked(a, address);
    pthread_mutex_unlock(&a->mutex);
    return rc;
}

void admission_leave(struct admission *a, const struct sockaddr_storage *peer)
{
    uint8_t address[16];
    address_of(peer, address);
    pthread_mutex_lock(&a->mutex);
    struct admitted *e = map_get(&a->by_address, address, 16);
    CHECK(e != NULL && e->conns > 0 && a->conns > 0);
    a->conns--;
    if (--e->conns == 0) {
        map_remove(&a->by_address, address, 16);
        free(e);
    }
    pthread_mutex_unlock(&a->mutex);
}

void admission_join(struct admission *a, uint32_t shard, struct kafka *k)
{
    pthread_mutex_lock(&a->mutex);
    a->paths[shard] = k;
    pthread_mutex_unlock(&a->mutex);
}

struct kafka *admission_peer(const struct admission *a, uint32_t shard)
{
    return a->paths[shard];
}
