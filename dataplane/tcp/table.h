/*
 * table: flat hash table from a connection's tuple to a reference of its block.
 *
 * Purpose: one look-up per received segment. Open addressing, linear probing, at most half full,
 * XXH3 with a secret seed, so that peers cannot choose colliding tuples. An entry is 8 bytes: part of
 * the hash and a reference; the key stands at the start of the block it names.
 * Owner: one stack. Memory: one array, taken in table_init. Never fails: it is sized for all blocks.
 */
#ifndef DATAPLANE_TCP_TABLE_H
#define DATAPLANE_TCP_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/tcp/tcp.h"

/* No padding: compared and hashed as bytes. Ports in host order. */
struct tcp_key {
    struct tcp_addr local, remote;
    uint16_t local_port, remote_port;
};
_Static_assert(sizeof(struct tcp_key) == 36, "no padding in the key");

enum tcp_block_kind { TCP_BLOCK_CONN = 1, TCP_BLOCK_SYN = 2, TCP_BLOCK_TIME_WAIT = 3 };

/* kind in the top 2 bits, index below. 0: empty. */
typedef uint32_t table_ref;

static inline table_ref table_ref_of(enum tcp_block_kind kind, uint32_t index)
{
    return (uint32_t)kind << 30 | index;
}
static inline enum tcp_block_kind table_ref_kind(table_ref r)
{
    return (enum tcp_block_kind)(r >> 30);
}
static inline uint32_t table_ref_index(table_ref r)
{
    return r & 0x3fffffff;
}

struct table_slot {
    uint32_t hash;
    table_ref ref;
};

struct table {
    struct table_slot *slots;
    uint32_t mask, count;
    uint64_t seed;
    /* The key of a block, for comparison and moves. */
    const struct tcp_key *(*key_of)(const void *ctx, table_ref ref);
    const void *ctx;
};

/* Room for `entries`. ERR_NO_MEMORY. */
int table_init(struct table *t, uint32_t entries, uint64_t seed,
               const struct tcp_key *(*key_of)(const void *ctx, table_ref ref), const void *ctx);
void table_free(struct table *t);

uint32_t table_hash(const struct table *t, const struct tcp_key *key);

/* 0: not there. */
table_ref table_get(const struct table *t, const struct tcp_key *key);

/* The key must not be there. */
void table_put(struct table *t, const struct tcp_key *key, table_ref ref);

/* The key must be there. */
void table_remove(struct table *t, const struct tcp_key *key);

/* Another block takes over the key (SYN block to conn, conn to TIME_WAIT). */
void table_replace(struct table *t, const struct tcp_key *key, table_ref ref);

#endif
