#include "core/ring.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "core/ring_probe.h"

#define submit_tries_max 1000 /* a kernel short of memory for this long is out of it */

#define setup_common (IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_TASKRUN_FLAG)
#define setup_defer  (setup_common | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN)
#define setup_coop   (setup_common | IORING_SETUP_COOP_TASKRUN)

/* --- making ---------------------------------------------------------------------------------- */

/* kernel.io_uring_disabled: 0, 1 (only for the privileged), 2 (nobody); -1 if there is none. */
static int io_uring_disabled(void)
{
    FILE *f = fopen("/proc/sys/kernel/io_uring_disabled", "re");
    if (f == NULL)
        return -1;
    int value = -1;
    if (fscanf(f, "%d", &value) != 1)
        value = -1;
    fclose(f);
    return value;
}

/* One line for the operator: what stands in the way and what to switch. */
static int refuse(int errnum, char *why, size_t why_size)
{
    char text[256];
    int err = err_from_errno(errnum);
    int disabled = io_uring_disabled();
    if ((errnum == EPERM || errnum == EACCES || errnum == ENOSYS) && disabled > 0) {
        err = ERR_PERMISSION;
        snprintf(text, sizeof(text),
                 "io_uring is switched off on this host (kernel.io_uring_disabled=%d): "
                 "run sysctl kernel.io_uring_disabled=0",
                 disabled);
    } else if (errnum == EPERM || errnum == EACCES) {
        err = ERR_PERMISSION;
        snprintf(
            text, sizeof(text),
            "io_uring is forbidden here, most likely by the container's seccomp profile: allow "
            "io_uring_setup, io_uring_enter and io_uring_register in it");
    } else if (errnum == ENOSYS) {
        err = ERR_UNSUPPORTED;
        snprintf(text, sizeof(text),
                 "this kernel has no io_uring, or a seccomp profile hides it: Linux 6.0 or newer "
                 "with CONFIG_IO_URING is needed, or a profile that allows io_uring_setup");
    } else if (errnum == EINVAL) {
        err = ERR_UNSUPPORTED;
        snprintf(text, sizeof(text),
                 "this kernel's io_uring is too old: Linux 6.0 or newer is needed");
    } else if (errnum == ENOMEM) {
        err = ERR_NO_MEMORY;
        snprintf(text, sizeof(text),
                 "not enough memory for an io_uring: raise the limit of locked memory (ulimit -l)");
    } else {
        snprintf(text, sizeof(text), "cannot make an io_uring: %s", strerror(errnum));
    }
    if (why != NULL && why_size > 0)
        snprintf(why, why_size, "%s", text);
    return err;
}

static int uring_make(struct io_uring *uring, uint32_t sq_entries, uint32_t flags)
{
    struct io_uring_params params = {
        .flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
        .cq_entries = sq_entries * ring_cq_factor,
    };
    return -io_uring_queue_init_params(sq_entries, uring, &params);
}

static void wake_done(struct ring_req *req, int32_t res, uint32_t cqe_flags)
{
    (void)res;
    (void)cqe_flags;
    struct ring *r = (struct ring *)((char *)req - offsetof(struct ring, wake_req));
    r->wake_armed = false;
}

int ring_init(struct ring *r, uint32_t sq_entries, char *why, size_t why_size)
{
    CHECK(sq_entries > 0 && (sq_entries & (sq_entries - 1)) == 0);
    struct ring made = {.wake_fd = -1, .wake_req = {.done = wake_done}};
    uint32_t flags = setup_defer;
    int errnum = uring_make(&made.uring, sq_entries, flags);
    if (errnum == EINVAL) {
        flags = setup_coop;
        errnum = uring_make(&made.uring, sq_entries, flags);
    }
    if (errnum != 0)
        return refuse(errnum, why, why_size);
    made.features.defer_taskrun = flags == setup_defer;

    /* Blocking on purpose: an armed read of a non-blocking one would answer EAGAIN. */
    made.wake_fd = eventfd(0, EFD_CLOEXEC);
    int err = made.wake_fd < 0 ? ERR_SYSTEM : ring_probe(flags, &made.features);
    if (err != 0) {
        ring_fini(&made);
        return refuse(err == ERR_UNSUPPORTED ? EINVAL : errno, why, why_size);
    }
    *r = made;
    return 0;
}

void ring_fini(struct ring *r)
{
    if (r == NULL)
        return;
    io_uring_queue_exit(&r->uring);
    if (r->wake_fd >= 0)
        close(r->wake_fd);
    r->wake_fd = -1;
}

void ring_workers(struct ring *r, const cpu_set_t *cpus)
{
    CHECK(!r->enabled);
    r->has_workers = true;
    r->worker_cpus = *cpus;
}

void ring_enable(struct ring *r)
{
    if (r->enabled)
        return;
    r->enabled = true;
    /* io_uring_enable_rings of liburing 2.3 is declared, yet not in its shared library. */
    CHECK(io_uring_register((unsigned)r->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) ==
          0);
    io_uring_register_ring_fd(&r->uring); /* spares each call a look-up; refused: no harm */
    /* only now the thread has what the kernel keeps of it, and no worker is there yet */
    if (r->has_workers)
        io_uring_register_iowq_aff(&r->uring, sizeof(r->worker_cpus), &r->worker_cpus);
}

/* --- submitting ------------------------------------------------------------------------------ */

static inline bool kernel_has_work(const struct ring *r)
{
    unsigned flags = __atomic_load_n(r->uring.sq.kflags, __ATOMIC_RELAXED);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Answers of io_uring_enter that pass by themselves. */
static bool passing(int err)
{
    return err >= 0 || err == -EINTR || err == -EAGAIN || err == -EBUSY || err == -ETIME;
}

/* One call: submits, and runs deferred work so that its completions show. */
static void enter(struct ring *r)
{
    ring_enable(r);
    r->enters++;
    CHECK(passing(io_uring_submit_and_get_events(&r->uring)));
    r->queued = io_uring_sq_ready(&r->uring);
}

void ring_room(struct ring *r, uint32_t n)
{
    CHECK(n <= r->uring.sq.ring_entries);
    for (int tries = 0; io_uring_sq_space_left(&r->uring) < n; tries++) {
        CHECK(tries < submit_tries_max);
        if (tries > 0)
            sched_yield();
        enter(r);
    }
}

struct io_uring_sqe *ring_sqe(struct ring *r, struct ring_req *req)
{
    ring_room(r, 1);
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
    CHECK(sqe != NULL);
    memset(sqe, 0, sizeof(*sqe));
    io_uring_sqe_set_data(sqe, req);
    r->queued++;
    return sqe;
}

void ring_submit(struct ring *r)
{
    if (r->queued > 0)
        enter(r);
}

/* --- completing ------------------------------------------------------------------------------ */

bool ring_ready(const struct ring *r)
{
    return io_uring_cq_ready(&r->uring) > 0 || kernel_has_work(r);
}

uint32_t ring_reap(struct ring *r, uint32_t budget)
{
    uint32_t done = 0;
    if (io_uring_cq_ready(&r->uring) == 0 && kernel_has_work(r))
        enter(r);
    while (done < budget && io_uring_cq_ready(&r->uring) > 0) {
        struct io_uring_cq *cq = &r->uring.cq;
        struct io_uring_cqe cqe = cq->cqes[*cq->khead & cq->ring_mask];
        io_uring_cq_advance(&r->uring, 1);
        struct ring_req *req = (struct ring_req *)(uintptr_t)cqe.user_data;
        if (req != NULL)
            req->done(req, cqe.res, cqe.flags);
        done++;
    }
    return done;
}

/* --- sleeping -------------------------------------------------------------------------------- */

static void arm_wake(struct ring *r)
{
    if (r->wake_armed)
        return;
    struct io_uring_sqe *sqe = ring_sqe(r, &r->wake_req);
    io_uring_prep_read(sqe, r->wake_fd, &r->wake_value, sizeof(r->wake_value), 0);
    r->wake_armed = true;
}

void ring_park(struct ring *r, int64_t timeout_ns)
{
    arm_wake(r);
    if (timeout_ns == 0 || io_uring_cq_ready(&r->uring) > 0) {
        ring_submit(r);
        return;
    }
    ring_enable(r);
    struct __kernel_timespec ts = {
        .tv_sec = timeout_ns / CLOCK_NS_PER_S,
        .tv_nsec = timeout_ns % CLOCK_NS_PER_S,
    };
    struct io_uring_cqe *cqe;
    r->enters++;
    CHECK(passing(
        io_uring_submit_and_wait_timeout(&r->uring, &cqe, 1, timeout_ns < 0 ? NULL : &ts, NULL)));
    r->queued = io_uring_sq_ready(&r->uring);
}

void ring_wake(struct ring *r)
{
    uint64_t one = 1;
    while (write(r->wake_fd, &one, sizeof(one)) < 0)
        CHECK(errno == EINTR);
}

/* --- as stages ------------------------------------------------------------------------------- */

uint32_t ring_stage_reap(void *ctx, int64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    return ring_reap(ctx, budget);
}

uint32_t ring_stage_submit(void *ctx, int64_t now_ns, uint32_t budget)
{
    (void)now_ns;
    (void)budget;
    ring_submit(ctx);
    return 0;
}
