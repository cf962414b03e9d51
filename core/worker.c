#include "core/worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

#define worker_burst 16

/* Answers whose receiver's mailbox is full are tried again after this long. */
#define worker_retry_ms 1

static void wake_worker(struct agent *a)
{
    struct worker *w = a->wake_ctx;
    uint64_t one = 1;
    while (write(w->wake_fd, &one, sizeof(one)) < 0)
        CHECK(errno == EINTR);
}

int worker_init(struct worker *w, const char *name, uint32_t agent_index)
{
    memset(w, 0, sizeof(*w));
    w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (w->wake_fd < 0)
        return ERR_SYSTEM;
    int err = agent_init(&w->agent, name, agent_index, mailbox_slots_default, wake_worker, w);
    if (err != 0)
        close(w->wake_fd);
    return err;
}

void worker_fini(struct worker *w)
{
    if (w == NULL)
        return;
    CHECK(!w->running);
    agent_fini(&w->agent);
    close(w->wake_fd);
}

/* Waits for mail, or for a millisecond if answers are still to be sent. */
static void sleep_until_mail(struct worker *w, uint32_t waiting)
{
    if (!agent_park_begin(&w->agent))
        return;
    if (waiting > 0 || !atomic_load(&w->stop)) {
        struct pollfd wake = {.fd = w->wake_fd, .events = POLLIN};
        poll(&wake, 1, waiting > 0 ? worker_retry_ms : -1);
        uint64_t count;
        if (read(w->wake_fd, &count, sizeof(count)) < 0)
            CHECK(errno == EAGAIN || errno == EINTR);
    }
    agent_park_end(&w->agent);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    uint32_t stop_tries = 0;
    agent_enter(&w->agent);
    for (;;) {
        /* Read before the mailbox: what was posted before the stop is seen and done. */
        bool stop = atomic_load(&w->stop);
        uint32_t done = agent_receive(&w->agent, worker_burst);
        uint32_t waiting = agent_flush(&w->agent);
        if (done > 0)
            continue;
        if (stop && (waiting == 0 || ++stop_tries == worker_stop_tries_max)) {
            if (waiting > 0)
                log_error("core", "%s: %u answers were not taken", w->agent.name, waiting);
            return NULL;
        }
        sleep_until_mail(w, waiting);
    }
}

uint32_t worker_step(struct worker *w, uint32_t budget)
{
    struct agent *before = agent_current();
    agent_enter(&w->agent);
    uint32_t done = agent_receive(&w->agent, budget);
    agent_flush(&w->agent);
    agent_enter(before);
    return done;
}

int worker_start(struct worker *w)
{
    CHECK(!w->running);
    atomic_store(&w->stop, false);
    /* Signals are for main's thread: this one inherits a full mask. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int errnum = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (errnum != 0)
        return ERR_SYSTEM;
    pthread_setname_np(w->thread, w->agent.name);
    w->running = true;
    return 0;
}

void worker_stop(struct worker *w)
{
    if (!w->running)
        return;
    atomic_store(&w->stop, true);
    wake_worker(&w->agent);
    pthread_join(w->thread, NULL);
    w->running = false;
}
