#include "control/process.h"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

static uint64_t raise_limit(__rlimit_resource_t which)
{
    struct rlimit r;
    if (getrlimit(which, &r) != 0)
        return 0;
    if (r.rlim_cur != r.rlim_max) {
        rlim_t before = r.rlim_cur;
        r.rlim_cur = r.rlim_max;
        if (setrlimit(which, &r) != 0)
            r.rlim_cur = before;
    }
    return r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)r.rlim_cur;
}

struct process_limits process_limits_raise(void)
{
    return (struct process_limits){.files = raise_limit(RLIMIT_NOFILE),
                                   .locked_bytes = raise_limit(RLIMIT_MEMLOCK)};
}

uint32_t process_cpu_count(void)
{
    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0)
        return 1;
    int n = CPU_COUNT(&cpus);
    return n > 0 ? (uint32_t)n : 1;
}

void process_ignore_sigpipe(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, NULL);
}
