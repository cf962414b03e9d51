#include "dataplane/nic/guard.h"

#include <rte_config.h>
#include <sched.h>

#include "base/check.h"
#include "dataplane/nic/port.h"

/* Of the whole process, like EAL's ports: the driver calls back with nothing of ours. */
static struct guard guards[RTE_MAX_ETHPORTS][port_queues_max];

struct guard *guard_of(uint16_t port, uint16_t queue)
{
    CHECK(port < RTE_MAX_ETHPORTS && queue < port_queues_max);
    return &guards[port][queue];
}

/* Names given by the linker. */
void __real_memif_free_regions(void *dev);
void __wrap_memif_free_regions(void *dev) __attribute__((used));

/*
 * In place of the driver's own (deps/meson.build: --wrap). Which port it is cannot be told from
 * outside of DPDK, so it waits for all that are guarded.
 */
void __wrap_memif_free_regions(void *dev)
{
    const struct guard *g = &guards[0][0];
    atomic_thread_fence(memory_order_seq_cst);
    for (size_t i = 0; i < sizeof(guards) / sizeof(*g); i++)
        while (atomic_load_explicit(&g[i].inside, memory_order_acquire))
            sched_yield();
    __real_memif_free_regions(dev);
}
