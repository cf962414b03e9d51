/*
 * neighbor: whose MAC address is behind an address on the link; ARP's and ND's common part.
 * A bounded cache: the entry that was used longest ago gives way.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/ip/ip_impl.h"

#define key_bytes (sizeof(struct ip_addr) + sizeof(uint32_t))
_Static_assert(sizeof(struct neighbor_key) == key_bytes, "the map compares it byte by byte");

int neighbor_init(struct ip *ip)
{
    uint32_t max = ip->o.neighbors_max;
    TAILQ_INIT(&ip->unused);
    TAILQ_INIT(&ip->used);
    TAILQ_INIT(&ip->asked);
    ip->neighbors = calloc(max, sizeof(*ip->neighbors));
    if (ip->neighbors == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < max; i++)
        TAILQ_INSERT_TAIL(&ip->unused, &ip->neighbors[i], use);
    return map_init(&ip->by_addr, max, false, rng_u64(ip->o.rng));
}

static void pending_drop(struct ip *ip, struct neighbor *n)
{
    for (uint8_t i = 0; i < n->pending_count; i++)
        ip_drop(n->pending[i], &ip->counters.drop_pending);
    n->pending_count = 0;
}

void neighbor_fini(struct ip *ip)
{
    struct neighbor *n;
    TAILQ_FOREACH(n, &ip->used, use)
    pending_drop(ip, n);
    free(ip->neighbors);
    map_free(&ip->by_addr);
}

struct neighbor *neighbor_find(const struct ip *ip, uint32_t iface, const struct ip_addr *addr)
{
    struct neighbor_key key = {*addr, iface};
    if (ip->last != NULL && memcmp(&ip->last->key, &key, key_bytes) == 0)
        return ip->last;
    return map_get(&ip->by_addr, &key, key_bytes);
}

static void no_question(struct ip *ip, struct neighbor *n)
{
    if (n->state == NEIGHBOR_KNOWN)
        return;
    TAILQ_REMOVE(&ip->asked, n, asked);
    ip->asked_count--;
    n->state = NEIGHBOR_KNOWN;
}

static void forget(struct ip *ip, struct neighbor *n)
{
    no_question(ip, n);
    pending_drop(ip, n);
    map_remove(&ip->by_addr, &n->key, key_bytes);
    TAILQ_REMOVE(&ip->used, n, use);
    TAILQ_INSERT_HEAD(&ip->unused, n, use);
    if (ip->last == n)
        ip->last = NULL;
}

static struct neighbor *add(struct ip *ip, uint32_t iface, const struct ip_addr *addr)
{
    if (TAILQ_EMPTY(&ip->unused))
        forget(ip, TAILQ_FIRST(&ip->used));
    struct neighbor *n = TAILQ_FIRST(&ip->unused);
    TAILQ_REMOVE(&ip->unused, n, use);
    memset(n, 0, sizeof(*n));
    n->key = (struct neighbor_key){*addr, iface};
    n->state = NEIGHBOR_KNOWN;
    n->used_ns = ip->now_ns;
    CHECK(map_put(&ip->by_addr, &n->key, key_bytes, n, NULL) == 0);
    TAILQ_INSERT_TAIL(&ip->used, n, use);
    return n;
}

/* ---- questions ---- */

static void ask(struct ip *ip, struct neighbor *n)
{
    const uint8_t *mac = n->state == NEIGHBOR_PROBED ? n->mac : NULL;
    n->tries++;
    n->ask_ns = ip->now_ns + neighbor_retry_ns;
    ip_due(ip, n->ask_ns);
    if (ip_addr_is_v4(&n->key.addr))
        arp_ask(ip, n->key.iface, &n->asker, &n->key.addr, mac);
    else
        nd_ask(ip, n->key.iface, &n->asker, &n->key.addr, mac);
}

static void begin_question(struct ip *ip, struct neighbor *n, enum neighbor_state state,
                           const struct ip_addr *asker)
{
    n->state = (uint8_t)state;
    n->tries = 0;
    n->asker = *asker;
    TAILQ_INSERT_TAIL(&ip->asked, n, asked);
    ip->asked_count++;
    ask(ip, n);
}

void neighbor_run(struct ip *ip)
{
    struct neighbor *n, *next;
    for (n = TAILQ_FIRST(&ip->asked); n != NULL; n = next) {
        next = TAILQ_NEXT(n, asked);
        if (n->ask_ns > ip->now_ns) {
            ip_due(ip, n->ask_ns);
            continue;
        }
        if (n->tries < neighbor_tries_max) {
            ask(ip, n);
            continue;
        }
        ip->counters.unresolved++;
        forget(ip, n);
    }
    n = TAILQ_FIRST(&ip->used);
    while (n != NULL && n->used_ns + neighbor_expire_ns <= ip->now_ns) {
        forget(ip, n);
        n = TAILQ_FIRST(&ip->used);
    }
    if (n != NULL)
        ip_due(ip, n->used_ns + neighbor_expire_ns);
}

/* ---- sending ---- */

static uint16_t ethertype_of(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) ? ethertype_v4 : ethertype_v6;
}

static void keep(struct ip *ip, struct neighbor *n, struct rte_mbuf *m)
{
    if (n->pending_count == ip_pending_max) { /* the oldest gives way (RFC 1122, 2.3.2.2) */
        ip_drop(n->pending[0], &ip->counters.drop_pending);
        memmove(n->pending, n->pending + 1, (ip_pending_max - 1) * sizeof(n->pending[0]));
        n->pending_count--;
    }
    n->pending[n->pending_count++] = m;
}

static void touch(struct ip *ip, struct neighbor *n)
{
    if (ip->last == n && ip->now_ns - n->used_ns < CLOCK_NS_PER_S)
        return; /* still the last of the list, or nearly */
    n->used_ns = ip->now_ns;
    ip->last = n;
    TAILQ_REMOVE(&ip->used, n, use);
    TAILQ_INSERT_TAIL(&ip->used, n, use);
}

void neighbor_send(struct ip *ip, uint32_t iface, const struct ip_addr *from,
                   const struct ip_addr *next_hop, struct rte_mbuf *m)
{
    struct neighbor *n = neighbor_find(ip, iface, next_hop);
    if (n == NULL) {
        if (ip->asked_count >= ip_incomplete_max) {
            ip_drop(m, &ip->counters.drop_pending);
            return;
        }
        n = add(ip, iface, next_hop);
        ip_due(ip, ip->now_ns + neighbor_expire_ns);
        begin_question(ip, n, NEIGHBOR_INCOMPLETE, from);
    }
    touch(ip, n);
    if (n->state == NEIGHBOR_INCOMPLETE) {
        keep(ip, n, m);
        return;
    }
    if (n->state == NEIGHBOR_KNOWN && ip->now_ns - n->confirmed_ns > neighbor_fresh_ns &&
        ip->asked_count < ip_incomplete_max)
        begin_question(ip, n, NEIGHBOR_PROBED, from);
    frame_emit(ip, iface, m, n->mac, ethertype_of(next_hop));
}

void neighbor_learn(struct ip *ip, uint32_t iface, const struct ip_addr *addr, const uint8_t mac[6],
                    bool create)
{
    struct neighbor *n = neighbor_find(ip, iface, addr);
    if ((mac[0] & 1) != 0) /* nobody is behind a multicast address */
        return;
    if (n == NULL) {
        if (!create)
            return;
        n = add(ip, iface, addr);
        ip_due(ip, ip->now_ns + neighbor_expire_ns);
    }
    if (n->state == NEIGHBOR_INCOMPLETE)
        ip->counters.resolved++;
    no_question(ip, n);
    memcpy(n->mac, mac, 6);
    n->confirmed_ns = ip->now_ns;
    uint8_t count = n->pending_count;
    n->pending_count = 0;
    for (uint8_t i = 0; i < count; i++)
        frame_emit(ip, iface, n->pending[i], n->mac, ethertype_of(addr));
}
