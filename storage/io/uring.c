/* The real asynchronous backend: requests become entries of the shard's one io_uring. */
#include "storage/io/io.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/io/file.h"

#define direct_unit_bytes 512
#define part_bytes_max    (1U << 30) /* of one request: whole blocks of any device */

#ifndef RWF_DSYNC
#define RWF_DSYNC 0x00000002
#endif

static void request_done(struct ring_req *ring, int32_t res, uint32_t cqe_flags);

/* A flush is made by a thread of the kernel, also the one that follows a durable write. */
static bool flushes(const struct io_req *req)
{
    return req->op == IO_FLUSH || (req->op == IO_WRITE && req->durable);
}

/* Puts what is left of the request into the submission queue: from byte `finished` on. */
static void request_queue(struct io_req *req)
{
    struct io_uring_backend *b = (struct io_uring_backend *)req->io;
    struct io_uring_sqe *sqe = ring_sqe(b->ring, &req->ring);
    req->ring.done = request_done;
    if (req->op == IO_FLUSH) {
        io_uring_prep_fsync(sqe, req->file->fd, IORING_FSYNC_DATASYNC);
        return;
    }
    if (req->finished == req->bytes) {
        io_uring_prep_nop(sqe);
        return;
    }
    uint64_t skip = req->finished;
    uint32_t i = 0;
    while (skip >= req->iov[i].iov_len)
        skip -= req->iov[i++].iov_len;
    uint64_t at = (uint64_t)req->offset + req->finished;
    uint32_t left = req->iov_count - i;
    if (skip || left == 1) {
        /* the rest of one element; the elements after it follow in a request of their own */
        uint8_t *p = (uint8_t *)req->iov[i].iov_base + skip;
        uint64_t n = req->iov[i].iov_len - skip;
        unsigned part = n > part_bytes_max ? part_bytes_max : (unsigned)n;
        if (req->op == IO_READ)
            io_uring_prep_read(sqe, req->file->fd, p, part, at);
        else
            io_uring_prep_write(sqe, req->file->fd, p, part, at);
    } else {
        unsigned count = left > IOV_MAX ? IOV_MAX : left;
        if (req->op == IO_READ)
            io_uring_prep_readv(sqe, req->file->fd, req->iov + i, count, at);
        else
            io_uring_prep_writev(sqe, req->file->fd, req->iov + i, count, at);
    }
    if (req->op == IO_WRITE && req->durable)
        sqe->rw_flags = RWF_DSYNC;
}

static void request_finish(struct io_req *req, int64_t result)
{
    struct io_uring_backend *b = (struct io_uring_backend *)req->io;
    b->in_flight--;
    if (flushes(req))
        b->ring->kernel_works--;
    if (result < 0)
        b->errors++;
    else if (req->op == IO_READ)
        b->read_bytes += (uint64_t)result;
    else if (req->op == IO_WRITE)
        b->write_bytes += (uint64_t)result;
    req->done(req, result);
}

/* With O_DIRECT only the file's end cuts a unit; a read could not go on in the middle of one. */
static bool cut_at_end(const struct io_req *req)
{
    return req->op == IO_READ && req->file->direct && req->finished % direct_unit_bytes;
}

static void request_done(struct ring_req *ring, int32_t res, uint32_t cqe_flags)
{
    struct io_req *req = (struct io_req *)((char *)ring - offsetof(struct io_req, ring));
    if (res == -EINTR || res == -EAGAIN) {
        request_queue(req);
        return;
    }
    if (res < 0) {
        request_finish(req, err_from_errno(res));
        return;
    }
    if (req->op == IO_FLUSH) {
        request_finish(req, 0);
        return;
    }
    req->finished += (uint32_t)res;
    CHECK(req->finished <= req->bytes);
    if (req->finished == req->bytes) {
        request_finish(req, (int64_t)req->bytes);
    } else if (res == 0 || cut_at_end(req)) {
        /* the end of the file, or a device that takes no more */
        request_finish(req, req->op == IO_READ ? (int64_t)req->finished : ERR_IO);
    } else {
        request_queue(req);
    }
}

static void backend_submit(struct io *io, struct io_req *req)
{
    struct io_uring_backend *b = (struct io_uring_backend *)io;
    req->io = io;
    req->finished = 0;
    b->in_flight++;
    if (flushes(req))
        b->ring->kernel_works++;
    if (req->op == IO_READ)
        b->reads++;
    else if (req->op == IO_WRITE)
        b->writes++;
    else
        b->flushes++;
    request_queue(req);
}

static const struct io_ops uring_ops = {.submit = backend_submit};

void io_uring_backend_init(struct io_uring_backend *b, struct ring *ring)
{
    *b = (struct io_uring_backend){.io = {&uring_ops}, .ring = ring};
}
