/*
 * guard: bursts against a driver that takes its memory away while it is polled.
 *
 * Purpose: when a memif peer leaves, the driver (22.11) unmaps the rings on EAL's interrupt thread,
 * whatever the shards are doing. Lanes of such ports (quirks: close_races) say when they are inside a
 * burst; the driver's memif_free_regions is linked through this file and first waits until each was
 * seen outside. The driver has taken back its connected flag by then, and a burst looks at that first:
 * later ones keep out.
 * Owner: a slot belongs to the lane with that queue; the interrupt thread only reads. Memory: one
 * table by port, since the driver knows nothing of ours. Never fails; the wait lasts for a burst.
 */
#ifndef DATAPLANE_NIC_GUARD_H
#define DATAPLANE_NIC_GUARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct guard {
    _Alignas(64) _Atomic bool inside;
};

/* Of a port (below RTE_MAX_ETHPORTS) and a queue (below port_queues_max). */
struct guard *guard_of(uint16_t port, uint16_t queue);

static inline void guard_enter(struct guard *g)
{
    atomic_store_explicit(&g->inside, true, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst); /* before the flag is read; pairs with the wait */
}

static inline void guard_leave(struct guard *g)
{
    atomic_store_explicit(&g->inside, false, memory_order_release);
}

#endif
