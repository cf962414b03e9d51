/*
 * filter_mark: a trivial transform for the filter: XOR with a key byte, and a marker byte before
 * every `every` bytes so that the length changes. Under it the suites of a transport run again.
 *
 * Owner and memory: see filter.h; received mbufs that nobody shares are decoded in place.
 * Failure: another byte where a marker belongs is ERR_MALFORMED.
 */
#ifndef DATAPLANE_TRANSPORT_FILTER_MARK_H
#define DATAPLANE_TRANSPORT_FILTER_MARK_H

#include "dataplane/transport/filter.h"

#define filter_mark_byte 0xA7

/* The ctx of filter_options. */
struct filter_mark {
    uint8_t key;
    uint32_t every; /* 0: no markers */
};

extern const struct filter_ops filter_mark_ops;

#endif
