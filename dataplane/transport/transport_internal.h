/* transport_internal: what several transports do alike. Only this folder includes it. */
#ifndef DATAPLANE_TRANSPORT_TRANSPORT_INTERNAL_H
#define DATAPLANE_TRANSPORT_TRANSPORT_INTERNAL_H

#include "dataplane/transport/transport.h"

struct rte_mbuf;
struct rte_mempool;

/*
 * True if m's bytes were copied behind the last ones of `to`; m is then the caller's to free. Done for
 * pieces under half a receive buffer that fit the tail room of an mbuf nobody shares, so that
 * one-byte segments cannot pin a pool.
 */
bool transport_collapse(struct chain *to, const struct rte_mbuf *m);

/*
 * Moves what c->want allows from `held` to c->rx and counts want down. Returns the bytes moved, or
 * ERR_NO_MEMORY (no mbuf from ref_pool to divide one; nothing moved).
 */
int64_t transport_deliver(struct tconn *c, struct chain *held, struct rte_mempool *ref_pool);

#endif
