#include "core/ring_probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "core/ring_compat.h"

#define probe_bufs      4
#define probe_buf_bytes 16
#define probe_sent      48 /* bytes that wait in the socket: more than one buffer */
#define probe_cap       32 /* bytes: more than one buffer, less than what waits */
#define probe_group     0

struct probe {
    struct io_uring uring;
    struct io_uring_buf_ring *bufs;
    size_t bufs_bytes;
    char data[probe_bufs][probe_buf_bytes];
};

static int bufs_register(struct probe *p)
{
    p->bufs_bytes = probe_bufs * sizeof(struct io_uring_buf);
    void *ring =
        mmap(NULL, p->bufs_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring == MAP_FAILED)
        return ERR_NO_MEMORY;
    p->bufs = ring;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)ring,
        .ring_entries = probe_bufs,
        .bgid = probe_group,
    };
    return io_uring_register_buf_ring(&p->uring, &reg, 0) == 0 ? 0 : ERR_UNSUPPORTED;
}

/* All buffers are free again: each try takes the same ones. */
static void bufs_refill(struct probe *p)
{
    for (int i = 0; i < probe_bufs; i++)
        io_uring_buf_ring_add(p->bufs, p->data[i], probe_buf_bytes, (unsigned short)i,
                              probe_bufs - 1, i);
    io_uring_buf_ring_advance(p->bufs, probe_bufs);
}

struct tried {
    int32_t first;  /* result of the first completion: bytes or -errno */
    int32_t total;  /* bytes of all completions */
    uint32_t count; /* completions */
};

static void collect(struct probe *p, struct tried *out)
{
    struct io_uring_cqe *cqe;
    io_uring_submit_and_get_events(&p->uring);
    while (io_uring_peek_cqe(&p->uring, &cqe) == 0) {
        if (out->count++ == 0)
            out->first = cqe->res;
        if (cqe->res > 0)
            out->total += cqe->res;
        io_uring_cqe_seen(&p->uring, cqe);
    }
}

/*
 * Receives on a fresh socket pair of which one end has been closed, so that every form of receive
 * comes to its end at once.
 */
static int try_receive(struct probe *p, uint16_t ioprio, uint32_t cap, struct tried *out)
{
    static const char text[probe_sent];
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return ERR_SYSTEM;
    ssize_t sent = write(fds[1], text, sizeof(text));
    close(fds[1]);
    bufs_refill(p);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->uring);
    io_uring_prep_recv_multishot(sqe, fds[0], NULL, 0, 0);
    sqe->ioprio |= ioprio;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = probe_group;
    ring_recv_cap(sqe, cap);
    *out = (struct tried){0};
    collect(p, out);
    close(fds[0]);
    return sent == (ssize_t)sizeof(text) && out->count > 0 ? 0 : ERR_SYSTEM;
}

static bool opcode_supported(struct io_uring *uring, int op)
{
    struct io_uring_probe *ops = io_uring_get_probe_ring(uring);
    bool yes = ops != NULL && io_uring_opcode_supported(ops, op);
    io_uring_free_probe(ops);
    return yes;
}

static int probe_all(struct probe *p, struct ring_features *out)
{
    struct ring_features found = *out;
    struct tried t;
    int err = bufs_register(p);
    if (err == 0)
        err = try_receive(p, 0, 0, &t);
    if (err != 0)
        return err;
    if (t.first != probe_buf_bytes)
        return ERR_UNSUPPORTED;

    err = try_receive(p, ring_recvsend_bundle, 0, &t);
    if (err != 0)
        return err;
    found.recv_bundle = t.first == probe_sent;
    err = try_receive(p, found.recv_bundle ? ring_recvsend_bundle : 0, probe_cap, &t);
    if (err != 0)
        return err;
    found.recv_multi_cap = t.total == probe_cap;
    found.send_zc = opcode_supported(&p->uring, IORING_OP_SENDMSG_ZC);
    *out = found;
    return 0;
}

int ring_probe(uint32_t setup_flags, struct ring_features *out)
{
    struct probe *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NO_MEMORY;
    int err = io_uring_queue_init(8, &p->uring, setup_flags);
    if (err != 0) {
        free(p);
        return err_from_errno(err);
    }
    err = probe_all(p, out);
    io_uring_queue_exit(&p->uring);
    if (p->bufs != NULL)
        munmap(p->bufs, p->bufs_bytes);
    free(p);
    return err;
}
