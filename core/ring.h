/*
 * ring: the one io_uring of a shard: disk, sockets, wake-ups and sleep.
 *
 * Purpose: storage/io and transport/uring put their requests into the same submission queue, so
 * that one system call a loop submits all of it and one wait covers all of it.
 * Owner: any thread may make it and register buffers with it; the thread that first submits, parks
 * or calls ring_enable owns it from then on, and no other may call anything but ring_wake.
 * Memory: each request embeds a struct ring_req, which stays valid until its last completion (a
 * completion without IORING_CQE_F_MORE). After ring_fini no more completions come.
 * A loop is: ring_reap, work, ring_submit; that is one system call a loop with submissions, and
 * none without, since the kernel's deferred work is run by the submitting call or, when the
 * completion queue is empty, by ring_reap.
 * Failure: ring_init answers ERR_PERMISSION or ERR_UNSUPPORTED where io_uring is forbidden or too
 * old, with a text for the operator. ring_sqe submits when the queue is full and therefore always
 * returns an entry; it CHECKs that the kernel takes submissions.
 */
#ifndef CORE_RING_H
#define CORE_RING_H

#include <liburing.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ring_sq_entries_default 256
#define ring_cq_factor          4 /* completion entries for each submission entry */

struct ring_req {
    /* res and flags as in the completion entry */
    void (*done)(struct ring_req *req, int32_t res, uint32_t cqe_flags);
};

struct ring_features {
    bool recv_bundle;    /* IORING_RECVSEND_BUNDLE (6.10), see ring_compat.h */
    bool recv_multi_cap; /* byte cap of a multishot receive (6.17), see ring_compat.h */
    bool send_zc;        /* IORING_OP_SENDMSG_ZC (6.1) */
    bool defer_taskrun;  /* IORING_SETUP_DEFER_TASKRUN (6.1) */
};

struct ring {
    struct io_uring uring;
    struct ring_features features;
    bool enabled;     /* has an owner */
    bool has_workers; /* worker_cpus counts */
    cpu_set_t worker_cpus;
    int wake_fd; /* eventfd; a read of it is armed while parked */
    uint64_t wake_value;
    bool wake_armed;
    struct ring_req wake_req;
    uint64_t enters; /* io_uring_enter calls, for "system calls per request" */
    uint32_t queued; /* entries not submitted yet */
    /* Requests under way that a thread of the kernel ends (a flush); who submits them counts them. */
    uint32_t kernel_works;
};

/*
 * sq_entries: a power of two. Probes the features with real operations on a socket pair (under
 * 5 ms). why (may be NULL) gets one line that says what to enable when the kernel or a container
 * profile forbids io_uring. ERR_PERMISSION, ERR_UNSUPPORTED, ERR_NO_MEMORY, ERR_SYSTEM.
 */
int ring_init(struct ring *r, uint32_t sq_entries, char *why, size_t why_size);

/* Requests in flight are cancelled by the kernel without a completion. NULL is accepted. */
void ring_fini(struct ring *r);

/*
 * Where the kernel's threads run that do for the owner what it must not wait for (flushes, writes
 * through the page cache). Otherwise they get the owner's CPUs: of one that is pinned and polls, the
 * core that it never leaves. Before there is an owner; a kernel that refuses it leaves it at that.
 */
void ring_workers(struct ring *r, const cpu_set_t *cpus);

/* Makes the calling thread the owner; implied by the first submission. Again: does nothing. */
void ring_enable(struct ring *r);

/* A cleared submission entry whose completion goes to req->done (NULL: completion ignored). */
struct io_uring_sqe *ring_sqe(struct ring *r, struct ring_req *req);

/*
 * Makes sure that the next n calls of ring_sqe (n <= the queue's size) do not submit in between: a
 * chain of linked entries must not be cut.
 */
void ring_room(struct ring *r, uint32_t n);

/* Submits what is queued (no call if nothing is). */
void ring_submit(struct ring *r);

/* Handles at most budget completions; returns how many. done may queue and submit. */
uint32_t ring_reap(struct ring *r, uint32_t budget);

/*
 * Submits and sleeps until a completion, a ring_wake, or timeout_ns (-1: no limit). May return
 * early. Completions are left for ring_reap.
 */
void ring_park(struct ring *r, int64_t timeout_ns);

/* From any thread: ends a ring_park (now or the next one). One write(2). */
void ring_wake(struct ring *r);

/* True if completions wait to be reaped, or the kernel has work that makes some. */
bool ring_ready(const struct ring *r);

/* ring_reap and ring_submit as stages of a shard (core/shard.h); ctx is the struct ring. */
uint32_t ring_stage_reap(void *ctx, int64_t now_ns, uint32_t budget);
uint32_t ring_stage_submit(void *ctx, int64_t now_ns, uint32_t budget);

#endif
