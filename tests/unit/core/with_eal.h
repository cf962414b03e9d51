/*
 * with_eal: EAL and mbuf pools for unit tests.
 *
 * EAL can be started once in a process, so tests that want different forms of it run in children.
 */
#ifndef TESTS_UNIT_CORE_WITH_EAL_H
#define TESTS_UNIT_CORE_WITH_EAL_H

#include <rte_mbuf.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/eal.h"
#include "tests/unit/unit.h"

/*
 * Starts EAL with this heap until the program's end; ends it, with a reason, if EAL does not start.
 * Without hugepages also where there are some: with them the heap would grow.
 */
static inline void with_eal_args(uint32_t memory_mb, const char *args)
{
    struct eal_options options = {.memory_mb = memory_mb, .extra_args = args};
    struct eal_state state;
    char why[512] = "";
    if (eal_up(&options, &state, why, sizeof(why)) != 0) {
        fprintf(stderr, "EAL does not start: %s\n", why);
        exit(1);
    }
    atexit(eal_down);
}

static inline void with_eal(uint32_t memory_mb)
{
    with_eal_args(memory_mb, "--no-huge");
}

/* A pool of mbufs with data_bytes of room behind the usual headroom; 0: without any. */
static inline struct rte_mempool *with_pool(const char *name, uint32_t bufs, uint16_t data_bytes)
{
    uint16_t room = data_bytes == 0 ? 0 : (uint16_t)(data_bytes + RTE_PKTMBUF_HEADROOM);
    struct rte_mempool *pool = rte_pktmbuf_pool_create(name, bufs, 0, 0, room, SOCKET_ID_ANY);
    if (pool == NULL) {
        fprintf(stderr, "no memory for the pool %s\n", name);
        exit(1);
    }
    return pool;
}

/* Runs fn in a child process; its result (0: passed) is the child's exit status. */
static inline int with_child(int (*fn)(const void *arg), const void *arg)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(fn(arg));
    int status = -1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

#endif
