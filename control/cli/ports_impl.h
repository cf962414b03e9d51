/* ports_impl: what `sluice ports` and `sluice nic` share: a device from its string to an open port. */
#ifndef CONTROL_CLI_PORTS_IMPL_H
#define CONTROL_CLI_PORTS_IMPL_H

#include "dataplane/transport/dpdk_ports.h"

/* One device of the command line. */
struct looked_at {
    struct dpdk_port port;
    const char *device;
    char refusal[1024]; /* empty: it can be tried */
};

/* What is wrong with the string becomes the refusal. */
void ports_parse(struct looked_at *l, const char *device);

/* Brings EAL up for those that are not refused. */
int ports_eal(const struct looked_at *all, uint32_t count, uint32_t queues, char *why,
              size_t why_size);

/* False: the refusal says why. */
bool ports_open(struct looked_at *l, uint32_t queues);

#endif
