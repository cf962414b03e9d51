#include "bench/crew.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_lcore.h>

#include "base/clock.h"
#include "base/err.h"

#define tick_ns (CLOCK_NS_PER_S / 2)

int crew_init(struct crew *crew, uint32_t threads, const char *load, _Atomic bool *interrupted)
{
    memset(crew, 0, sizeof(*crew));
    crew->threads = threads;
    crew->interrupted = interrupted;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_cond_init(&crew->changed, &attr);
    pthread_condattr_destroy(&attr);
    for (uint32_t i = 0; i < threads; i++) {
        crew->member[i] =
            (struct crew_member){.crew = crew, .index = i, .result = malloc(sizeof(struct result))};
        if (!crew->member[i].result) {
            crew_fini(crew);
            return ERR_NO_MEMORY;
        }
        result_init(crew->member[i].result, load);
    }
    return 0;
}

void crew_fini(struct crew *crew)
{
    for (uint32_t i = 0; i < crew->threads; i++)
        free(crew->member[i].result);
    pthread_cond_destroy(&crew->changed);
    pthread_mutex_destroy(&crew->lock);
}

bool crew_stopping(const struct crew_member *m)
{
    return m && (atomic_load_explicit(&m->crew->failed, memory_order_relaxed) ||
                 (m->crew->interrupted &&
                  atomic_load_explicit(m->crew->interrupted, memory_order_relaxed)));
}

/* The operator's stop comes without a signal on the condition: looked for twice a second. */
static void wait_a_little(struct crew *crew)
{
    int64_t until = clock_mono_ns(clock_system()) + tick_ns;
    struct timespec at = {until / CLOCK_NS_PER_S, until % CLOCK_NS_PER_S};
    pthread_cond_timedwait(&crew->changed, &crew->lock, &at);
}

static bool bypasses(const struct crew_member *m)
{
    return m && m->crew->net.ports && m->crew->net.ports[0];
}

const char *crew_admin_host(const struct crew_member *m, const char *host)
{
    return bypasses(m) ? m->crew->net.admin_host : host;
}

uint16_t crew_admin_port(const struct crew_member *m, uint16_t port)
{
    return bypasses(m) ? m->crew->net.admin_port : port;
}

int crew_meet(struct crew_member *m)
{
    if (!m)
        return 0;
    struct crew *crew = m->crew;
    pthread_mutex_lock(&crew->lock);
    uint32_t round = crew->round;
    if (++crew->arrived == crew->threads) {
        crew->arrived = 0;
        crew->round++;
        pthread_cond_broadcast(&crew->changed);
    }
    while (crew->round == round && !crew_stopping(m))
        wait_a_little(crew);
    pthread_mutex_unlock(&crew->lock);
    return crew_stopping(m) ? ERR_CANCELLED : 0;
}

static void *member_main(void *arg)
{
    struct crew_member *m = arg;
    struct crew *crew = m->crew;
    int registered = rte_thread_register(); /* caches of the mempools; without them only slower */
    m->err = crew->job(crew->ctx, m);
    if (registered == 0)
        rte_thread_unregister();
    pthread_mutex_lock(&crew->lock);
    if (m->err)
        atomic_store(&crew->failed, true);
    crew->ended++;
    pthread_cond_broadcast(&crew->changed);
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

static uint32_t start_all(struct crew *crew)
{
    sigset_t all, before;
    uint32_t started = 0;
    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; started < crew->threads; started++) {
        struct crew_member *m = &crew->member[started];
        if (pthread_create(&m->thread, NULL, member_main, m) != 0) {
            atomic_store(&crew->failed, true);
            break;
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

int crew_run(struct crew *crew, int (*job)(void *ctx, struct crew_member *m), void *ctx,
             void (*tick)(const struct crew *crew, double seconds), char *why)
{
    int64_t begin = clock_mono_ns(clock_system());
    crew->job = job;
    crew->ctx = ctx;
    uint32_t started = start_all(crew);
    pthread_mutex_lock(&crew->lock);
    while (crew->ended < started) {
        wait_a_little(crew);
        if (tick)
            tick(crew, (double)(clock_mono_ns(clock_system()) - begin) / 1e9);
    }
    pthread_mutex_unlock(&crew->lock);
    int err = started < crew->threads ? ERR_SYSTEM : 0;
    for (uint32_t i = 0; i < started; i++) {
        struct crew_member *m = &crew->member[i];
        pthread_join(m->thread, NULL);
        if (m->err && (!err || err == ERR_CANCELLED)) {
            err = m->err;
            memcpy(why, m->why, crew_why_max);
        }
    }
    return err;
}
