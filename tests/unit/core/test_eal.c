/* eal: up for anybody, once, without pinning; each case in a child, since EAL starts once. */
#include "core/eal.h"

#include <rte_eal.h>
#include <rte_lcore.h>
#include <rte_mempool.h>
#include <sched.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tests/unit/core/with_eal.h"

static int fail(const char *what)
{
    printf("failed: %s\n", what);
    fflush(stdout);
    return 1;
}

static int up_once(const void *arg)
{
    (void)arg;
    cpu_set_t before, after;
    sched_getaffinity(0, sizeof(before), &before);
    struct eal_options options = {.memory_mb = 32};
    struct eal_state state;
    char why[256] = "";
    if (eal_up(&options, &state, why, sizeof(why)) != 0)
        return fail(why);
    sched_getaffinity(0, sizeof(after), &after);
    if (!CPU_EQUAL(&before, &after))
        return fail("the caller was pinned");
    if (state.memory_mb != 32 || state.hugepages != (rte_eal_has_hugepages() != 0))
        return fail("state");
    if (rte_lcore_count() != 1)
        return fail("EAL made threads for other lcores");
    if (eal_up(&options, &state, why, sizeof(why)) != ERR_EXISTS || why[0] == '\0')
        return fail("a second start");
    struct rte_mempool *pool = with_pool("p", 15, 64);
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    if (m == NULL)
        return fail("no mbuf");
    rte_pktmbuf_free(m);
    rte_mempool_free(pool);
    if (rte_thread_register() != 0 && rte_lcore_id() != 0)
        return fail("threads cannot register");
    eal_down();
    return eal_up(&options, &state, NULL, 0) == ERR_EXISTS ? 0 : fail("a start after the end");
}

static int refused(const char *args, int want)
{
    struct eal_options options = {.memory_mb = 32, .extra_args = args};
    struct eal_state state = {.memory_mb = 7};
    char why[256] = "";
    /* EAL answers a wrong argument with pages of usage. */
    if (freopen("/dev/null", "w", stdout) == NULL || freopen("/dev/null", "w", stderr) == NULL)
        return 2;
    int err = eal_up(&options, &state, why, sizeof(why));
    if (err != want || why[0] == '\0' || state.memory_mb != 7)
        return fail(why);
    return 0;
}

static int bad_argument(const void *arg)
{
    (void)arg;
    return refused("--no-such-option", ERR_SYSTEM);
}

static int too_many_arguments(const void *arg)
{
    (void)arg;
    char args[3 * eal_args_max + 1] = "";
    for (int i = 0; i < eal_args_max; i++)
        strcat(args, "-v ");
    return refused(args, ERR_INVALID);
}

static int too_long_arguments(const void *arg)
{
    (void)arg;
    static char args[eal_args_bytes_max + 1];
    memset(args, 'x', eal_args_bytes_max);
    return refused(args, ERR_INVALID);
}

static int extra_arguments_win(const void *arg)
{
    (void)arg;
    struct eal_options options = {.memory_mb = 32, .extra_args = " --no-huge\t--lcores=3@0  "};
    struct eal_state state;
    char why[256] = "";
    if (eal_up(&options, &state, why, sizeof(why)) != 0)
        return fail(why);
    if (rte_get_main_lcore() != 3 || state.hugepages)
        return fail("not taken");
    eal_down();
    return 0;
}

/* Nothing of EAL on standard output or error at a normal start. */
static int quiet(const void *arg)
{
    int fd = *(const int *)arg;
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    struct eal_options options = {.memory_mb = 32};
    struct eal_state state;
    int err = eal_up(&options, &state, NULL, 0);
    eal_down();
    return err != 0;
}

static void starts_once(void)
{
    CU_ASSERT_EQUAL(with_child(up_once, NULL), 0);
}

static void an_ordinary_user_may(void)
{
    if (geteuid() != 0) { /* then starts_once was that already */
        CU_ASSERT_EQUAL(with_child(up_once, NULL), 0);
        return;
    }
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(setgid(65534) != 0 || setuid(65534) != 0 ? 99 : up_once(NULL));
    int status;
    CU_ASSERT(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void refusals_say_why(void)
{
    CU_ASSERT_EQUAL(with_child(bad_argument, NULL), 0);
    CU_ASSERT_EQUAL(with_child(too_many_arguments, NULL), 0);
    CU_ASSERT_EQUAL(with_child(too_long_arguments, NULL), 0);
}

static void extra_arguments(void)
{
    CU_ASSERT_EQUAL(with_child(extra_arguments_win, NULL), 0);
}

static void says_nothing(void)
{
    FILE *f = tmpfile();
    int fd = fileno(f);
    CU_ASSERT_EQUAL(with_child(quiet, &fd), 0);
    CU_ASSERT_EQUAL(lseek(fd, 0, SEEK_END), 0);
    fclose(f);
}

UNIT_MAIN("core/eal", UNIT_CASE(starts_once), UNIT_CASE(an_ordinary_user_may),
          UNIT_CASE(refusals_say_why), UNIT_CASE(extra_arguments), UNIT_CASE(says_nothing))
