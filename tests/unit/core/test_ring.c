/* ring: requests and completions, the features found, sleep and wake, refusals by the system. */
#include "core/ring.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/hist.h"
#include "core/ring_compat.h"
#include "tests/unit/unit.h"

struct counted {
    struct ring_req req;
    int32_t res, sum;
    uint32_t flags;
    int completions;
};

static void on_done(struct ring_req *req, int32_t res, uint32_t flags)
{
    struct counted *c = (struct counted *)req;
    c->res = res;
    if (res > 0)
        c->sum += res;
    c->flags = flags;
    c->completions++;
}

static void ring_up(struct ring *r, uint32_t entries)
{
    char why[256] = "";
    int err = ring_init(r, entries, why, sizeof(why));
    if (err != 0)
        printf("ring_init: %s\n", why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
}

static void reap_all(struct ring *r, struct counted *c, int completions)
{
    while (c->completions < completions) {
        ring_submit(r);
        if (ring_reap(r, 16) == 0)
            ring_park(r, 1000 * CLOCK_NS_PER_MS);
    }
}

static void requests_complete(void)
{
    struct ring r;
    ring_up(&r, 8);
    CU_ASSERT_FALSE(ring_ready(&r));
    ring_submit(&r);
    CU_ASSERT_EQUAL(r.enters, 0); /* nothing queued, no call */

    struct counted c = {.req.done = on_done};
    io_uring_prep_nop(ring_sqe(&r, &c.req));
    io_uring_prep_nop(ring_sqe(&r, NULL)); /* nobody asks for its completion */
    CU_ASSERT_EQUAL(r.queued, 2);
    ring_submit(&r);
    CU_ASSERT_EQUAL(r.enters, 1);
    CU_ASSERT_EQUAL(r.queued, 0);
    CU_ASSERT(ring_ready(&r));
    CU_ASSERT_EQUAL(ring_reap(&r, 1), 1);
    CU_ASSERT_EQUAL(ring_reap(&r, 10), 1);
    CU_ASSERT(c.completions == 1 && c.res == 0);
    CU_ASSERT_EQUAL(ring_reap(&r, 10), 0);
    CU_ASSERT_EQUAL(r.enters, 1);
    ring_fini(&r);
    ring_fini(NULL);
}

/* An entry is clean, whatever the one before it in the same place said. */
static void entries_are_cleared(void)
{
    struct ring r;
    ring_up(&r, 2);
    struct io_uring_sqe zero;
    memset(&zero, 0, sizeof(zero));
    for (int i = 0; i < 5; i++) {
        struct io_uring_sqe *sqe = ring_sqe(&r, NULL);
        CU_ASSERT_EQUAL(memcmp(sqe, &zero, sizeof(zero)), 0);
        sqe->buf_index = 7;
        sqe->file_index = 0;
        sqe->opcode = IORING_OP_NOP;
        sqe->user_data = 0;
    }
    ring_fini(&r);
}

static void a_full_queue_submits_itself(void)
{
    struct ring r;
    ring_up(&r, 4);
    struct counted c = {.req.done = on_done};
    for (int i = 0; i < 100; i++)
        io_uring_prep_nop(ring_sqe(&r, &c.req));
    ring_submit(&r);
    /* More completions than the completion queue holds: the rest waits in the kernel. */
    reap_all(&r, &c, 100);
    CU_ASSERT_EQUAL(c.completions, 100);

    /* A linked chain is not cut. */
    for (int i = 0; i < 3; i++)
        io_uring_prep_nop(ring_sqe(&r, &c.req));
    uint64_t enters = r.enters;
    ring_room(&r, 2);
    CU_ASSERT_EQUAL(r.enters, enters + 1);
    ring_room(&r, 4);
    CU_ASSERT_EQUAL(r.enters, enters + 1);
    ring_fini(&r);
}

struct resubmit {
    struct ring_req req;
    struct ring *ring;
    int left;
};

static void submit_again(struct ring_req *req, int32_t res, uint32_t flags)
{
    (void)res;
    (void)flags;
    struct resubmit *s = (struct resubmit *)req;
    if (s->left-- > 0)
        io_uring_prep_nop(ring_sqe(s->ring, req));
}

static void completions_may_submit(void)
{
    struct ring r;
    ring_up(&r, 2);
    struct resubmit all[8];
    for (int i = 0; i < 8; i++) {
        all[i] = (struct resubmit){.req.done = submit_again, .ring = &r, .left = 20};
        io_uring_prep_nop(ring_sqe(&r, &all[i].req));
    }
    uint32_t done = 0;
    while (done < 8 * 21) {
        ring_submit(&r);
        done += ring_reap(&r, 5);
    }
    for (int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(all[i].left, -1);
    CU_ASSERT_FALSE(ring_ready(&r));
    ring_fini(&r);
}

/* --- features -------------------------------------------------------------------------------- */

#define bufs_count 8
#define buf_bytes  64

static struct io_uring_buf_ring *bufs;
static uint8_t buf_data[bufs_count][buf_bytes];

static void bufs_up(struct ring *r)
{
    bufs = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)bufs, .ring_entries = bufs_count};
    CU_ASSERT_EQUAL_FATAL(io_uring_register_buf_ring(&r->uring, &reg, 0), 0);
    for (int i = 0; i < bufs_count; i++)
        io_uring_buf_ring_add(bufs, buf_data[i], buf_bytes, (unsigned short)i, bufs_count - 1, i);
    io_uring_buf_ring_advance(bufs, bufs_count);
}

static struct io_uring_sqe *arm_receive(struct ring *r, struct counted *c, int fd)
{
    struct io_uring_sqe *sqe = ring_sqe(r, &c->req);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    if (r->features.recv_bundle)
        sqe->ioprio |= ring_recvsend_bundle;
    return sqe;
}

/* Buffers may be registered before the ring has its owner; a receive stops at its cap. */
static void receives_end_at_their_cap(void)
{
    struct ring r;
    ring_up(&r, 8);
    printf("bundle %d, cap %d, send_zc %d, defer_taskrun %d\n", r.features.recv_bundle,
           r.features.recv_multi_cap, r.features.send_zc, r.features.defer_taskrun);
    bufs_up(&r);
    int fds[2];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct counted c = {.req.done = on_done};
    struct io_uring_sqe *sqe = arm_receive(&r, &c, fds[0]);
    if (r.features.recv_multi_cap)
        ring_recv_cap(sqe, 150);
    ring_submit(&r);
    static const uint8_t sent[300] = {1, 2, 3};
    CU_ASSERT_EQUAL(write(fds[1], sent, sizeof(sent)), sizeof(sent));
    if (!r.features.recv_multi_cap) {
        printf("this kernel has no cap of a multishot receive: not tested\n");
    } else {
        while (c.completions == 0 || (c.flags & IORING_CQE_F_MORE) != 0)
            reap_all(&r, &c, c.completions + 1);
        CU_ASSERT_EQUAL(c.sum, 150);
        if (r.features.recv_bundle)
            CU_ASSERT(c.completions <= 2);
    }
    close(fds[0]);
    close(fds[1]);
    ring_fini(&r);
    munmap(bufs, 4096);
}

/* The kernel drops what is in flight; nothing is delivered, nothing is touched later. */
static void the_end_cancels(void)
{
    struct ring r;
    ring_up(&r, 8);
    bufs_up(&r);
    int fds[2];
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    struct counted c = {.req.done = on_done};
    arm_receive(&r, &c, fds[0]);
    ring_park(&r, 1);
    ring_fini(&r);
    CU_ASSERT_EQUAL(write(fds[1], "x", 1), 1);
    CU_ASSERT_EQUAL(c.completions, 0);
    close(fds[0]);
    close(fds[1]);
    munmap(bufs, 4096);
}

/* --- sleep and wake -------------------------------------------------------------------------- */

static void parking_ends(void)
{
    struct ring r;
    ring_up(&r, 8);
    int64_t start = clock_mono_ns(clock_system());
    ring_park(&r, 2 * CLOCK_NS_PER_MS);
    CU_ASSERT(clock_mono_ns(clock_system()) - start >= 2 * CLOCK_NS_PER_MS);
    CU_ASSERT_EQUAL(ring_reap(&r, 8), 0);
    /* A wake before the park ends it. Without a limit: a lost one would hang. */
    ring_wake(&r);
    ring_park(&r, -1);
    CU_ASSERT_EQUAL(ring_reap(&r, 8), 1);
    /* A completion ends it too, and so does one that nobody has reaped yet. */
    struct counted c = {.req.done = on_done};
    io_uring_prep_nop(ring_sqe(&r, &c.req));
    ring_park(&r, -1);
    ring_park(&r, -1);
    CU_ASSERT_EQUAL(ring_reap(&r, 8), 1);
    ring_wake(&r);
    ring_park(&r, -1);
    CU_ASSERT_EQUAL(ring_reap(&r, 8), 1);
    ring_park(&r, 0);
    ring_fini(&r);
}

struct pinger {
    struct ring ring;
    _Atomic uint32_t asked, answered;
    uint32_t rounds;
};

/* Answers each question after a sleep; the question is posted before the wake. */
static void *answer(void *arg)
{
    struct pinger *p = arg;
    uint32_t seen = 0;
    while (seen < p->rounds) {
        ring_park(&p->ring, -1);
        ring_reap(&p->ring, 8);
        seen = atomic_load(&p->asked);
        atomic_store(&p->answered, seen);
    }
    return NULL;
}

/* The ring is made here, and owned by the thread that first parks on it. */
static void no_wake_is_lost(void)
{
    static struct pinger p;
    static struct hist h;
    hist_init(&h);
    ring_up(&p.ring, 8);
    p.rounds = 3000;
    atomic_store(&p.asked, 0);
    atomic_store(&p.answered, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, answer, &p);
    for (uint32_t i = 1; i <= p.rounds; i++) {
        if (i % 16 == 0)
            usleep(100); /* often enough it really sleeps */
        int64_t start = clock_mono_ns(clock_system());
        atomic_store(&p.asked, i);
        ring_wake(&p.ring);
        for (uint32_t spins = 1; atomic_load(&p.answered) < i; spins++)
            if (spins % 1024 == 0)
                sched_yield(); /* one core for both */
        if (i % 16 == 0)
            hist_record(&h, (uint64_t)(clock_mono_ns(clock_system()) - start));
    }
    pthread_join(thread, NULL);
    printf("wake of a parked ring: p50 %lu ns, p99 %lu ns\n", (unsigned long)hist_quantile(&h, 0.5),
           (unsigned long)hist_quantile(&h, 0.99));
    ring_fini(&p.ring);
    CU_ASSERT_EQUAL(atomic_load(&p.answered), p.rounds);
}

/* --- refusals -------------------------------------------------------------------------------- */

/* In a child: io_uring_setup answers errnum, as a container's profile would make it. */
static int refused_with(uint32_t errnum, int want)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errnum),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(filter) / sizeof(filter[0]), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        return 2;
    struct ring r;
    memset(&r, 0x5a, sizeof(r));
    char why[256] = "";
    int err = ring_init(&r, 8, why, sizeof(why));
    printf("errno %u: %s\n", errnum, why);
    fflush(stdout);
    if (err != want || strstr(why, "io_uring") == NULL || strchr(why, '\n') != NULL)
        return 1;
    return ((unsigned char *)&r)[0] == 0x5a ? 0 : 3; /* untouched */
}

static int in_child(uint32_t errnum, int want)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(refused_with(errnum, want));
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void refusals_say_what_to_enable(void)
{
    CU_ASSERT_EQUAL(in_child(EPERM, ERR_PERMISSION), 0);
    CU_ASSERT_EQUAL(in_child(ENOSYS, ERR_UNSUPPORTED), 0);
    CU_ASSERT_EQUAL(in_child(EINVAL, ERR_UNSUPPORTED), 0);
    CU_ASSERT_EQUAL(in_child(ENOMEM, ERR_NO_MEMORY), 0);
}

/* ---- the kernel's threads ---- */

/* The CPUs of a thread "iou-wrk-...", of which there is one at most; false: there is none. */
static bool worker_cpus(char *out, size_t size)
{
    DIR *d = opendir("/proc/self/task");
    bool found = false;
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    for (struct dirent *e; !found && (e = readdir(d)) != NULL;) {
        char path[320], line[256];
        bool worker = false;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
        FILE *f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f)) {
            worker |= strncmp(line, "Name:\tiou-", 10) == 0;
            if (worker && strncmp(line, "Cpus_allowed_list:\t", 19) == 0) {
                line[strcspn(line, "\n")] = '\0';
                snprintf(out, size, "%.60s", line + 19);
                found = true;
            }
        }
        if (f)
            fclose(f);
    }
    closedir(d);
    return found;
}

struct pinned {
    int cpu, other;
    bool ran;
    char cpus[64];
};

/* A thread that is pinned, as a shard is, and has a file flushed. */
static void *flush_pinned(void *arg)
{
    struct pinned *p = arg;
    struct ring r;
    struct counted c = {.req.done = on_done};
    cpu_set_t set;
    ring_up(&r, 8);
    CPU_ZERO(&set);
    CPU_SET((unsigned)p->other, &set);
    ring_workers(&r, &set);
    CPU_ZERO(&set);
    CPU_SET((unsigned)p->cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    int fd = memfd_create("flushed", 0);
    io_uring_prep_fsync(ring_sqe(&r, &c.req), fd, 0);
    reap_all(&r, &c, 1);
    p->ran = worker_cpus(p->cpus, sizeof(p->cpus)) && c.res == 0;
    close(fd);
    ring_fini(&r);
    return NULL;
}

/* Not on the owner's core, where the kernel would put them. */
static void workers_are_kept_off(void)
{
    cpu_set_t set;
    struct pinned p = {.cpu = -1, .other = -1};
    CU_ASSERT_EQUAL_FATAL(sched_getaffinity(0, sizeof(set), &set), 0);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((unsigned)i, &set)) {
            p.other = p.cpu;
            p.cpu = i;
        }
    if (p.other < 0)
        return; /* one CPU: there is no elsewhere */
    char other[16];
    pthread_t thread;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, flush_pinned, &p), 0);
    pthread_join(thread, NULL);
    snprintf(other, sizeof(other), "%d", p.other);
    CU_ASSERT_TRUE(p.ran);
    CU_ASSERT_STRING_EQUAL(p.cpus, other);
}

UNIT_MAIN("core/ring", UNIT_CASE(requests_complete), UNIT_CASE(entries_are_cleared),
          UNIT_CASE(a_full_queue_submits_itself), UNIT_CASE(completions_may_submit),
          UNIT_CASE(receives_end_at_their_cap), UNIT_CASE(the_end_cancels), UNIT_CASE(parking_ends),
          UNIT_CASE(no_wake_is_lost), UNIT_CASE(refusals_say_what_to_enable),
          UNIT_CASE(workers_are_kept_off))
