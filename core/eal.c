#include "core/eal.h"

#include <errno.h>
#include <poll.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_interrupts.h>
#include <rte_log.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/log.h"

#define eal_cpus_bytes_max 2048  /* text of the list of usable CPUs */
#define interrupts_end_ms  30000 /* at most, until DPDK's interrupt thread stands still */

/* --- EAL's log as lines of ours -------------------------------------------------------------- */

/* Lines that say nothing an operator could act on, by a part of them. */
static const char *const log_noise[] = {
    "EAL: No free ", /* for each size of hugepages that has none, also when another is used */
    "Failed to register mp action", /* no second process joins ours */
    "start req to secondary",
    "rt-signal",    /* found none: on purpose, see nic/quirks.h */
    "multiq qdisc", /* of rte_flow, which is not used */
    "Specified qdisc kind is unknown",
    "Disabling rte flow support",
};

struct log_line {
    char text[LOG_LINE_BYTES_MAX];
    size_t used;
    char last[LOG_LINE_BYTES_MAX]; /* the last whole line: the reason when EAL refuses */
};

static void log_line_end(struct log_line *line)
{
    if (line->used == 0)
        return;
    line->text[line->used] = '\0';
    memcpy(line->last, line->text, line->used + 1);
    line->used = 0;
    for (size_t i = 0; i < sizeof(log_noise) / sizeof(log_noise[0]); i++)
        if (strstr(line->last, log_noise[i]) != NULL)
            return;
    if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_ERR)
        log_error("dpdk", "%s", line->last);
    else
        log_warn("dpdk", "%s", line->last);
}

static ssize_t log_cookie_write(void *cookie, const char *buf, size_t size)
{
    struct log_line *line = cookie;
    for (size_t i = 0; i < size; i++) {
        if (buf[i] == '\n')
            log_line_end(line);
        else if (line->used < sizeof(line->text) - 1)
            line->text[line->used++] = buf[i];
    }
    return (ssize_t)size;
}

static int log_cookie_close(void *cookie)
{
    free(cookie);
    return 0;
}

/* The stream lives until eal_down: EAL itself holds it. */
static FILE *log_stream_open(struct log_line **line)
{
    *line = calloc(1, sizeof(**line));
    if (*line == NULL)
        return NULL;
    cookie_io_functions_t io = {.write = log_cookie_write, .close = log_cookie_close};
    FILE *stream = fopencookie(*line, "w", io);
    if (stream == NULL)
        free(*line);
    else
        setvbuf(stream, NULL, _IOLBF, 0);
    return stream;
}

static void log_stream_close(void)
{
    FILE *stream = rte_log_get_stream();
    rte_openlog_stream(NULL);
    if (stream != rte_log_get_stream())
        fclose(stream);
}

/* --- arguments ------------------------------------------------------------------------------- */

struct eal_args {
    char *argv[eal_args_max + 1];
    int argc;
    char lcores[eal_cpus_bytes_max];
    char megabytes[16];
    char extra[eal_args_bytes_max];
};

static bool args_add(struct eal_args *args, char *arg)
{
    if (args->argc == eal_args_max)
        return false;
    args->argv[args->argc++] = arg;
    args->argv[args->argc] = NULL;
    return true;
}

static bool args_have(const struct eal_args *args, const char *prefix)
{
    for (int i = 0; i < args->argc; i++)
        if (strncmp(args->argv[i], prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static bool args_split_extra(struct eal_args *args, const char *extra)
{
    if (extra == NULL)
        return true;
    size_t n = strlen(extra);
    if (n >= sizeof(args->extra))
        return false;
    memcpy(args->extra, extra, n + 1);
    char *rest = args->extra;
    for (char *word; (word = strtok_r(rest, " \t\n", &rest)) != NULL;)
        if (!args_add(args, word))
            return false;
    return true;
}

/*
 * One lcore that floats over all CPUs of `cpus`: "0@(0-3,6)". EAL would otherwise start a thread
 * per CPU and pin the caller to the first.
 */
static bool lcores_text(const cpu_set_t *cpus, char *out, size_t size)
{
    int used = snprintf(out, size, "--lcores=0@(");
    const char *comma = "";
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, cpus))
            continue;
        int last = cpu;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, cpus))
            last++;
        used += snprintf(out + used, size - (size_t)used, "%s%d-%d", comma, cpu, last);
        if ((size_t)used + 2 >= size)
            return false;
        comma = ",";
        cpu = last;
    }
    snprintf(out + used, size - (size_t)used, ")");
    return true;
}

/* Our arguments, less those that the extra ones decide, then the extra ones. */
static bool args_make(struct eal_args *args, const struct eal_options *options, bool hugepages,
                      const cpu_set_t *cpus)
{
    memset(args, 0, sizeof(*args));
    struct eal_args *extra = calloc(1, sizeof(*extra));
    if (extra == NULL)
        return false;
    bool ok = args_split_extra(extra, options->extra_args) &&
              lcores_text(cpus, args->lcores, sizeof(args->lcores));
    bool pci = args_have(extra, "-a") || args_have(extra, "--allow");
    bool paging = args_have(extra, "--no-huge") || args_have(extra, "--in-memory") ||
                  args_have(extra, "--huge-dir");
    bool lcores = args_have(extra, "--lcores") || args_have(extra, "-l") || args_have(extra, "-c");
    free(extra);
    if (!ok)
        return false;

    snprintf(args->megabytes, sizeof(args->megabytes), "%u", options->memory_mb);
    ok = args_add(args, "sluice") && args_add(args, "--no-shconf") &&
         args_add(args, "--no-telemetry") && args_add(args, "--iova-mode=va") &&
         args_add(args, "--log-level=warning") && args_add(args, "-m") &&
         args_add(args, args->megabytes);
    if (ok && !lcores)
        ok = args_add(args, args->lcores);
    if (ok && !pci)
        ok = args_add(args, "--no-pci");
    if (ok && !paging)
        ok = args_add(args, hugepages ? "--in-memory" : "--no-huge");
    return ok && args_split_extra(args, options->extra_args);
}

/* --- hugepages ------------------------------------------------------------------------------- */

/*
 * True if the default-sized hugepages for this much memory can be had now. The kernel reserves them
 * at mmap, so that trying is surer than the counters in /sys/kernel/mm/hugepages.
 */
static bool hugepages_free(uint64_t bytes)
{
    bytes = (bytes + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
    void *p =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    if (p == MAP_FAILED)
        return false;
    munmap(p, bytes);
    return true;
}

/* --- up and down ----------------------------------------------------------------------------- */

static int refuse(int err, char *why, size_t why_size, const char *text, const char *detail)
{
    if (why != NULL && why_size > 0)
        snprintf(why, why_size, "%s%s%s", text, detail[0] != '\0' ? ": " : "", detail);
    return err;
}

/* rte_eal_init with our log; *last gets EAL's last words. */
static int init_logged(struct eal_args *args, char *last, size_t last_size)
{
    struct log_line *line;
    FILE *stream = log_stream_open(&line);
    if (stream == NULL)
        return ENOMEM;
    rte_log_set_global_level(RTE_LOG_WARNING);
    rte_openlog_stream(stream);
    int n = rte_eal_init(args->argc, args->argv);
    int errnum = rte_errno;
    if (n >= 0)
        return 0;
    fflush(stream);
    snprintf(last, last_size, "%s", line->last);
    log_stream_close();
    return errnum != 0 ? errnum : EINVAL;
}

static int up_checked(struct eal_args *args, const struct eal_options *options,
                      struct eal_state *out, char *why, size_t why_size)
{
    cpu_set_t cpus;
    if (pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus) != 0)
        return refuse(ERR_SYSTEM, why, why_size, "cannot read the CPU affinity", "");
    bool hugepages = hugepages_free(options->memory_mb * MIB);
    if (!args_make(args, options, hugepages, &cpus))
        return refuse(ERR_INVALID, why, why_size, "too many or too long EAL arguments",
                      options->extra_args != NULL ? options->extra_args : "");

    char last[LOG_LINE_BYTES_MAX] = "";
    int errnum = init_logged(args, last, sizeof(last));
    pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
    if (errnum == ENOMEM)
        return refuse(ERR_NO_MEMORY, why, why_size, "not enough memory for DPDK", last);
    if (errnum != 0)
        return refuse(ERR_SYSTEM, why, why_size, "DPDK's EAL does not start",
                      last[0] != '\0' ? last : strerror(errnum));
    *out = (struct eal_state){.hugepages = rte_eal_has_hugepages() != 0,
                              .memory_mb = options->memory_mb};
    return 0;
}

/* Also after eal_down: EAL can be started once in a process. */
static bool eal_is_up(void)
{
    return rte_eal_process_type() == RTE_PROC_PRIMARY && rte_eal_get_runtime_dir()[0] != '\0';
}

int eal_up(const struct eal_options *options, struct eal_state *out, char *why, size_t why_size)
{
    if (eal_is_up())
        return refuse(ERR_EXISTS, why, why_size, "DPDK's EAL is up already", "");
    struct eal_args *args = calloc(1, sizeof(*args));
    if (args == NULL)
        return refuse(ERR_NO_MEMORY, why, why_size, "not enough memory for DPDK", "");
    int err = up_checked(args, options, out, why, why_size);
    free(args);
    return err;
}

/* --- down ------------------------------------------------------------------------------------ */

/* What holds the interrupt thread; stays, since that thread is never joined. */
struct hold {
    struct rte_intr_handle *source;
    int begin, held; /* eventfds */
};

/* On EAL's interrupt thread, which does nothing else from then on. */
static void interrupts_hold(void *arg)
{
    const struct hold *hold = arg;
    eventfd_write(hold->held, 1);
    for (;;)
        pause();
}

static bool hold_begin(struct hold *hold)
{
    hold->begin = eventfd(1, EFD_CLOEXEC);
    hold->held = eventfd(0, EFD_CLOEXEC);
    hold->source = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
    return hold->begin >= 0 && hold->held >= 0 && hold->source != NULL &&
           rte_intr_fd_set(hold->source, hold->begin) == 0 &&
           rte_intr_type_set(hold->source, RTE_INTR_HANDLE_EXT) == 0 &&
           rte_intr_callback_register(hold->source, interrupts_hold, hold) == 0;
}

/*
 * rte_eal_cleanup (22.11) unmaps the memory that the interrupt thread reads its sources from, while
 * that thread runs: a device that was closed a moment ago crashes the process at its end. (An alarm
 * would not do: the cleanup waits for the end of one that runs.)
 */
static void interrupts_end(void)
{
    static struct hold hold;
    if (!hold_begin(&hold))
        return;
    struct pollfd held = {.fd = hold.held, .events = POLLIN};
    poll(&held, 1, interrupts_end_ms);
}

void eal_down(void)
{
    if (!eal_is_up())
        return;
    interrupts_end();
    rte_eal_cleanup();
    log_stream_close();
}
