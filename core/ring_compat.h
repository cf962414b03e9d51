/*
 * ring_compat: names of io_uring that liburing 2.3 does not have yet.
 *
 * Purpose: what newer kernels know, under names of our own; each use is guarded by a flag of struct
 * ring_features, which ring_init finds out by trying. Owner: none, constants and inline setters.
 */
#ifndef CORE_RING_COMPAT_H
#define CORE_RING_COMPAT_H

#include <liburing.h>
#include <stdint.h>

/* ioprio of RECV and SEND: fill or take several provided buffers at once; cqe->res is their sum. */
#define ring_recvsend_bundle (1U << 4)

/*
 * A multishot RECV ends itself (last completion without IORING_CQE_F_MORE) after this many bytes,
 * 0 for no cap. The kernel reads it from the field `optlen`, which liburing 2.3 calls file_index.
 * A receive is cut so that the cap is kept exactly.
 */
static inline void ring_recv_cap(struct io_uring_sqe *sqe, uint32_t bytes)
{
    sqe->file_index = bytes;
}

#endif
