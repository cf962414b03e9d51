/*
 * eal: DPDK's environment, up once per process.
 *
 * Purpose: EAL for any user: with hugepages (--in-memory) if enough are free, else --no-huge; never
 * PCI unless extra_args ask for it (-a, --allow); only the drivers that are named (-d). The calling
 * thread and the process are not pinned by it. Owner: main. Memory: EAL's own.
 * Failure: ERR_NO_MEMORY, ERR_INVALID or ERR_SYSTEM with a text in why; EAL's own log goes to `log`
 * from warning level on.
 */
#ifndef CORE_EAL_H
#define CORE_EAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define eal_args_max       64   /* arguments given to EAL, our own included */
#define eal_args_bytes_max 4096 /* length of extra_args */

struct eal_options {
    uint32_t memory_mb;     /* EAL's heap, see mem_plan_eal_mb */
    const char *extra_args; /* sluice.dpdk.eal.args, separated by blanks, or NULL */
};

struct eal_state {
    bool hugepages;
    uint32_t memory_mb;
};

/*
 * Once per process; a second call (also after eal_down) is ERR_EXISTS. ERR_INVALID: too many or too
 * long extra_args. ERR_NO_MEMORY, ERR_SYSTEM: EAL refused. why (may be NULL) gets one line.
 */
int eal_up(const struct eal_options *options, struct eal_state *out, char *why, size_t why_size);

/* Once, after all mempools are done with. Does nothing if EAL never was up. */
void eal_down(void);

#endif
