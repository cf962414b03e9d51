/*
 * stats: the counters of a stack.
 *
 * Purpose: what a stack did and why it dropped, for metrics, tests and logs. Owner: the stack's
 * thread; a reader on another thread may see a counter late. They never feed a decision.
 */
#ifndef DATAPLANE_TCP_STATS_H
#define DATAPLANE_TCP_STATS_H

#include <stddef.h>
#include <stdint.h>

struct tcp;

struct tcp_stats {
#define X(name, text) uint64_t name;
#include "dataplane/tcp/stats.def"
#undef X
};

struct tcp_stat_name {
    const char *name, *text;
};

#define tcp_stats_count (sizeof(struct tcp_stats) / sizeof(uint64_t))

/* tcp_stats_count entries, in the order of the struct. */
const struct tcp_stat_name *tcp_stats_names(void);

const struct tcp_stats *tcp_stats_of(const struct tcp *t);

/* Blocks in use now. */
struct tcp_usage {
    uint32_t conns, syns, time_waits, descriptors;
    uint64_t rx_memory; /* bytes of whole buffers held for receivers */
};
struct tcp_usage tcp_usage_of(const struct tcp *t);

#endif
