/*
 * ring_probe: which newer receives this kernel takes, found out by doing them.
 *
 * Purpose: private to ring.c. A small ring of its own, a socket pair with some bytes in it and four
 * provided buffers: each form of multishot receive is tried once and answers at submission.
 * Owner: the caller; nothing stays. Fails with ERR_UNSUPPORTED when even the plain form is refused,
 * or ERR_SYSTEM.
 */
#ifndef CORE_RING_PROBE_H
#define CORE_RING_PROBE_H

#include "core/ring.h"

/* Sets recv_bundle, recv_multi_cap and send_zc of *out. setup_flags: IORING_SETUP_*, not disabled. */
int ring_probe(uint32_t setup_flags, struct ring_features *out);

#endif
