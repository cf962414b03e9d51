/*
 * chain: a byte stream held in a linked list of mbufs.
 *
 * Purpose: the one shape in which bytes travel: received requests, replies, lent log memory.
 * Owner: one shard (or the control thread) at a time; a chain goes to another thread only by
 * message. Memory: a chain owns one reference on each mbuf in it. Mbufs may be shared
 * (rte_mbuf refcount) or external (log memory); bytes of a shared mbuf are never written.
 * Invariants: bytes == sum of data_len; head == NULL iff bytes == 0 and no mbuf is held; no mbuf of
 * length 0 stays in a chain. The mbufs' pkt_len and nb_segs are not maintained (a chain can be
 * longer than a DPDK packet); only `next` and data_len are meaningful. A buffer has at most
 * chain_refs_max references at once, since DPDK counts them in 16 bits.
 * Failure: functions that need an mbuf answer ERR_NO_MEMORY and leave the chain as it was.
 */
#ifndef CORE_CHAIN_H
#define CORE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define chain_refs_max 60000 /* references on one mbuf's buffer or one shared info */

struct rte_mbuf;
struct rte_mempool;

struct chain {
    struct rte_mbuf *head, *tail;
    uint64_t bytes;
    uint32_t segs;
};

/* A place inside a chain: valid while the chain keeps that mbuf. */
struct chain_pos {
    struct rte_mbuf *seg;
    uint32_t off; /* bytes into seg's data; off == data_len only at the very end of the chain */
};

/* A range of bytes that stays where it is (record data): start and length in bytes. */
struct chain_view {
    struct chain_pos at;
    uint32_t len;
};

static inline void chain_init(struct chain *c)
{
    *c = (struct chain){0};
}

/* Frees every mbuf; the chain is empty afterwards. NULL is accepted. */
void chain_free(struct chain *c);

/* Appends a list of mbufs linked by next (ownership passes); mbufs of length 0 are freed. */
void chain_append(struct chain *c, struct rte_mbuf *m);

/* Moves all of `from` to the end of c. */
void chain_join(struct chain *c, struct chain *from);

/* Copies n bytes to the end of c: fills tail room of an unshared last mbuf first, then new mbufs. */
int chain_append_bytes(struct chain *c, struct rte_mempool *pool, const void *p, size_t n);

/* Drops n bytes (n <= bytes) from the front, freeing mbufs that become empty. */
void chain_consume(struct chain *c, uint64_t n);

/*
 * Moves the first n bytes (n <= c->bytes) to the end of `out`. An mbuf that the cut divides is
 * shared: an indirect mbuf from `pool` covers the part given to `out`. ERR_NO_MEMORY (also when the
 * buffer has chain_refs_max references): both chains are as they were.
 */
int chain_split(struct chain *c, uint64_t n, struct rte_mempool *pool, struct chain *out);

/* Copies n bytes at byte offset off into dst; off + n <= bytes. */
void chain_copy_out(const struct chain *c, uint64_t off, void *dst, size_t n);

/* The first n bytes as one piece: in place if the first mbuf holds them, else copied to scratch. */
const void *chain_peek(const struct chain *c, size_t n, void *scratch);

struct chain_pos chain_pos_at(const struct chain *c, uint64_t off);

/* Walks a view piece by piece: sets *p and *n (bytes) and moves on; false at the end. */
bool chain_view_next(struct chain_view *v, const uint8_t **p, uint32_t *n);

/* Copies the first n bytes of the view (n <= v->len). */
void chain_view_copy(struct chain_view v, void *dst, size_t n);

/*
 * Appends references to the view's bytes to `out` without copying (indirect mbufs from pool).
 * ERR_NO_MEMORY: out is as it was.
 */
int chain_share(struct chain_view v, struct rte_mempool *pool, struct chain *out);

#endif
