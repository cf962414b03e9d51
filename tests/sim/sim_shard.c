/*
 * sim_shard: the simulator of one broker's storage.
 *
 *   sim_shard [--seed N] [--seeds N] [--mode fsync|os|both] [--steps N] [--minutes N] [--keep 1,5-9] [--trace]
 *             [--no-shrink] [--with faults|power|named]... [--plant NAME] [--plants all|NAME]
 *
 * Runs seeds from --seed on (default: from the clock), each in both modes by default. A run that
 * fails is shrunk: the shortest list of steps found that still fails is printed with its trace, and
 * with the arguments that repeat it. Exit 1: a seed failed. --plant runs them with that bug; --plants
 * looks for seeds that find it, and exits with 1 if none does.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "core/eal.h"
#include "storage/journal/format.h"
#include "storage/plog/shard.h"
#include "tests/sim/sim.h"

#define steps_max       100000
#define run_seconds     120 /* of processor time, of one seed; longer means that it hangs */
#define plant_seeds_max UINT64_C(1500)
#define shrink_tries    400

/* What a child tells, also when it dies. */
struct told {
    uint64_t seed;
    enum plog_durability durability;
    uint64_t seeds, acks, fetched, starts, deaths, cuts, repeats, errors, frames;
    uint64_t disk_reads, ahead, hits, gaps, catch_ups; /* catch_ups: runs that read the disk */
    char failure[1024];
};

struct args {
    uint64_t seed, seeds;
    uint32_t steps;
    int64_t minutes;
    bool fsync, os, trace, shrink;
    const char *keep, *plant, *plants;
};

static struct told *told;
static bool tracing;
static struct sim_options forced;       /* what every run has, besides what its seed says */
static const struct sim_plant *planted; /* NULL: no bug on purpose */

void sim_fail(struct world *w, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = snprintf(told->failure, sizeof(told->failure), "step %u, %s:%d: ", w->step, file, line);
    vsnprintf(told->failure + n, sizeof(told->failure) - (size_t)n, format, args);
    va_end(args);
    fflush(stdout);
    _exit(1);
}

void sim_trace(const struct world *w, const char *format, ...)
{
    va_list args;
    if (!tracing)
        return;
    va_start(args, format);
    printf("  %4u %8" PRIu64 " ", w->step, w->disk.calls);
    vprintf(format, args);
    printf("\n");
    va_end(args);
}

/* ---- in the child ---- */

static void eal(void)
{
    if (!tracing)
        log_set_fd(open("/dev/null", O_WRONLY | O_CLOEXEC));
    struct eal_options options = {.memory_mb = 64, .extra_args = "--no-huge"};
    struct eal_state state;
    char why[512] = "";
    if (eal_up(&options, &state, why, sizeof(why)) != 0) {
        fprintf(stderr, "EAL does not start: %s\n", why);
        exit(2);
    }
}

/* The run of a seed; what the planted bug needs is there. */
static void draw(struct sim_options *o, uint64_t seed, enum plog_durability durability,
                 uint32_t steps)
{
    options_draw(o, seed, durability, steps);
    o->faults |= forced.faults;
    o->power |= forced.power;
    o->buffered |= forced.buffered;
    if (planted) { /* what a bug needs is not in the way of others */
        o->journal_blocks = forced.journal_blocks;
        o->alters = false;
    }
    o->write_faults |= forced.write_faults;
    if (forced.retention_bytes) { /* several segments go at once */
        o->retention_bytes = forced.retention_bytes;
        o->segment_bytes = forced.retention_bytes / 5;
    }
    o->named |= forced.named && durability == PLOG_OS;
    if (forced.catch_up) { /* old data is in no chunk, and is read by several */
        o->catch_up = true;
        o->chunks = 10;
        o->read_chunks = plog_read_chunks_min;
        o->segment_bytes = 400000;
        o->large_one_in = 3;
    }
}

static void run_seed(uint64_t seed, enum plog_durability durability, uint32_t steps,
                     const bool *skip)
{
    static struct sim_step program[steps_max];
    static struct world w;
    struct sim_options o;
    draw(&o, seed, durability, steps);
    program_draw(&o, program);
    plant_set(planted ? planted->plant : PLANT_NONE, &w);
    told->seed = seed;
    told->durability = durability;
    world_up(&w, &o);
    w.tracing = tracing;
    program_run(&w, program, skip, steps);
    told->acks += w.acks;
    told->fetched += w.fetched;
    told->starts += w.starts;
    told->deaths += w.deaths;
    told->cuts += w.cuts;
    told->repeats += w.repeats;
    told->errors += w.errors;
    told->frames += w.frames;
    world_down(&w);
    told->disk_reads += w.disk_reads;
    told->ahead += w.ahead;
    told->hits += w.hits;
    told->gaps += w.gaps_read;
    told->catch_ups += w.disk_reads > 0;
}

/* Nothing in a run waits, so a process that stood still for an hour has not used it. */
static void hang_alarm(void)
{
    const struct itimerval timer = {.it_value.tv_sec = run_seconds};
    CHECK(setitimer(ITIMER_PROF, &timer, NULL) == 0);
}

static void child_seeds(const struct args *a, uint64_t from, uint64_t count)
{
    eal();
    for (uint64_t seed = from; seed < from + count; seed++) {
        hang_alarm();
        if (a->fsync)
            run_seed(seed, PLOG_FSYNC, a->steps, NULL);
        if (a->os)
            run_seed(seed, PLOG_OS, a->steps, NULL);
        told->seeds++;
    }
    eal_down();
    exit(0);
}

/* ---- in the parent ---- */

/* True: the child came to its end without a failure. */
static bool child_wait(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
        exit(2);
    if (told->failure[0] == '\0')
        snprintf(told->failure, sizeof(told->failure), "the process ended with %s %d",
                 WIFSIGNALED(status) ? "signal" : "status",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static bool try_program(uint64_t seed, enum plog_durability durability, uint32_t steps,
                        const bool *skip, bool trace)
{
    struct told before = *told;
    told->failure[0] = '\0';
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        hang_alarm();
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (!trace)
            dup2(null, STDERR_FILENO);
        tracing = trace;
        eal();
        run_seed(seed, durability, steps, skip);
        eal_down();
        exit(0);
    }
    bool ok = child_wait(pid);
    if (ok)
        *told = before;
    return ok;
}

/* Leaves out each run of `part` steps without which it still fails; true if there was one. */
static bool leave_out(uint64_t seed, enum plog_durability durability, uint32_t n, bool *skip,
                      uint32_t part, uint32_t *tries)
{
    static bool saved[steps_max];
    bool fewer = false;
    for (uint32_t at = 0; at < n && *tries < shrink_tries; at += part) {
        uint32_t some = n - at < part ? n - at : part, left = 0;
        for (uint32_t i = 0; i < some; i++) {
            saved[i] = skip[at + i];
            left += !saved[i];
            skip[at + i] = true;
        }
        if (left == 0)
            continue;
        ++*tries;
        if (try_program(seed, durability, n, skip, false))
            memcpy(skip + at, saved, some * sizeof(*saved));
        else
            fewer = true;
    }
    return fewer;
}

/* Leaves out runs of steps, shorter and shorter ones, until each step that is left is needed. */
static void shrink(uint64_t seed, enum plog_durability durability, uint32_t *steps, bool *skip)
{
    uint32_t tries = 0, n = *steps;
    while (n > 1 && tries < 12 && ++tries && !try_program(seed, durability, n / 2, skip, false))
        n /= 2;
    uint32_t part = n > 1 ? n / 2 : 1;
    while (tries < shrink_tries) {
        bool fewer = leave_out(seed, durability, n, skip, part, &tries);
        if (part == 1 && !fewer)
            break;
        part = part > 1 ? part / 2 : 1;
    }
    *steps = n;
}

static void keep_print(const bool *skip, uint32_t n)
{
    const char *between = "";
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = i;
        if (skip[i])
            continue;
        while (i + 1 < n && !skip[i + 1])
            i++;
        printf(from == i ? "%s%u" : "%s%u-%u", between, from, i);
        between = ",";
    }
}

static void keep_parse(const char *text, bool *skip, uint32_t n)
{
    memset(skip, true, n);
    while (*text) {
        char *end;
        unsigned long from = strtoul(text, &end, 10), to = from;
        if (*end == '-')
            to = strtoul(end + 1, &end, 10);
        for (unsigned long i = from; i <= to && i < n; i++)
            skip[i] = false;
        if (end == text)
            break;
        text = *end == ',' ? end + 1 : end;
    }
}

static void report(const struct args *a)
{
    static bool skip[steps_max];
    uint64_t seed = told->seed;
    enum plog_durability durability = told->durability;
    const char *mode = durability == PLOG_FSYNC ? "fsync" : "os";
    uint32_t steps = a->steps;
    struct sim_options o;
    printf("FAILED seed %" PRIu64 " (--mode %s --steps %u): %s\n", seed, mode, steps,
           told->failure);
    if (!a->shrink)
        return;
    if (try_program(seed, durability, steps, skip, false)) {
        printf("it does not fail again: the run depends on something besides its seed\n");
        return;
    }
    shrink(seed, durability, &steps, skip);
    draw(&o, seed, durability, steps);
    options_print(&o);
    try_program(seed, durability, steps, skip, true);
    printf("%s\nagain: sim_shard", told->failure);
    if (planted)
        printf(" --plant %s", planted->name);
    else
        printf("%s%s%s", forced.faults ? " --with faults" : "", forced.power ? " --with power" : "",
               forced.named ? " --with named" : "");
    printf(" --seed %" PRIu64 " --mode %s --steps %u --keep ", seed, mode, steps);
    keep_print(skip, steps);
    printf("\n");
}

static bool run_seeds(const struct args *a, uint64_t from, uint64_t count)
{
    fflush(stdout);
    told->failure[0] = '\0';
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child_seeds(a, from, count);
    if (child_wait(pid))
        return true;
    report(a);
    return false;
}

/* From here on runs have the bug, and what it needs. */
static void plant_force(struct args *a, const struct sim_plant *p)
{
    planted = p;
    forced = (struct sim_options){.faults = p->faults,
                                  .power = p->power,
                                  .named = p->named,
                                  .buffered = p->buffered,
                                  .journal_blocks = p->journal ? journal_blocks_min : 0,
                                  .write_faults = p->write_faults,
                                  .catch_up = p->catch_up,
                                  .retention_bytes = p->retention ? 10000 : 0};
    a->fsync = p->durability == PLOG_FSYNC;
    a->os = !a->fsync;
}

static const struct sim_plant *plant_named(const char *name)
{
    for (uint32_t i = 0; i < sim_plant_count; i++)
        if (strcmp(sim_plants[i].name, name) == 0)
            return &sim_plants[i];
    return NULL;
}

/* True if the planted bug is found within so many seeds. */
static bool plant_found(struct args a, const struct sim_plant *p)
{
    const uint64_t some = 20;
    plant_force(&a, p);
    for (uint64_t done = 0; done < plant_seeds_max; done += some) {
        fflush(stdout);
        told->failure[0] = '\0';
        uint64_t before = told->seeds;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
            dup2(null, STDERR_FILENO);
            child_seeds(&a, a.seed + p->from + done, some);
        }
        if (!child_wait(pid)) {
            printf("%-22s found by seed %" PRIu64 " of %" PRIu64 ": %.100s\n", p->name,
                   p->from + done + told->seeds - before + 1, plant_seeds_max, told->failure);
            return true;
        }
    }
    printf("%-22s NOT FOUND in %" PRIu64 " seeds: %s\n", p->name, plant_seeds_max,
           plant_text(p->plant));
    return false;
}

static int plants_all(const struct args *a, const char *only)
{
    uint32_t missed = 0, tried = 0;
    for (uint32_t i = 0; i < sim_plant_count; i++) {
        const struct sim_plant *p = &sim_plants[i];
        if (strcmp(only, "all") != 0 && strcmp(only, p->name) != 0)
            continue;
        tried++;
        missed += !plant_found(*a, p);
    }
    printf("%u planted bugs, %u not found\n", tried, missed);
    return missed > 0 || tried == 0;
}

static bool arg_number(const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 0);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse(int argc, char **argv, struct args *a)
{
    uint64_t n;
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--trace") == 0) {
            a->trace = true;
            continue;
        }
        if (strcmp(name, "--no-shrink") == 0) {
            a->shrink = false;
            continue;
        }
        i++;
        bool number = arg_number(value, &n);
        if (strcmp(name, "--seed") == 0 && number)
            a->seed = n;
        else if (strcmp(name, "--seeds") == 0 && number)
            a->seeds = n;
        else if (strcmp(name, "--minutes") == 0 && number)
            a->minutes = (int64_t)n;
        else if (strcmp(name, "--steps") == 0 && number && n > 0 && n <= steps_max)
            a->steps = (uint32_t)n;
        else if (strcmp(name, "--keep") == 0 && value[strspn(value, "0123456789,-")] == '\0')
            a->keep = value;
        else if (strcmp(name, "--plant") == 0 && plant_named(value))
            a->plant = value;
        else if (strcmp(name, "--with") == 0 && strcmp(value, "faults") == 0)
            forced.faults = true;
        else if (strcmp(name, "--with") == 0 && strcmp(value, "power") == 0)
            forced.power = true;
        else if (strcmp(name, "--with") == 0 && strcmp(value, "named") == 0)
            forced.named = true;
        else if (strcmp(name, "--plants") == 0)
            a->plants = value;
        else if (strcmp(name, "--mode") == 0 && strcmp(value, "fsync") == 0)
            a->os = false;
        else if (strcmp(name, "--mode") == 0 && strcmp(value, "os") == 0)
            a->fsync = false;
        else if (strcmp(name, "--mode") != 0 || strcmp(value, "both") != 0)
            return false;
    }
    return true;
}

static int replay(const struct args *a)
{
    static bool skip[steps_max];
    struct sim_options o;
    enum plog_durability durability = a->fsync ? PLOG_FSYNC : PLOG_OS;
    if (a->keep)
        keep_parse(a->keep, skip, a->steps);
    draw(&o, a->seed, durability, a->steps);
    options_print(&o);
    bool ok = try_program(a->seed, durability, a->steps, skip, true);
    printf("%s\n", ok ? "passed" : told->failure);
    return !ok;
}

int main(int argc, char **argv)
{
    struct args a = {.seeds = 1, .steps = 200, .fsync = true, .os = true, .shrink = true};
    struct clock *clock = clock_system();
    a.seed = (uint64_t)clock_wall_ms(clock) * 1000;
    if (!parse(argc, argv, &a)) {
        fprintf(stderr,
                "usage: sim_shard [--seed N] [--seeds N] [--mode fsync|os|both] [--steps N]\n"
                "                 [--minutes N] [--keep 1,5-9] [--trace] [--no-shrink]\n"
                "                 [--with faults|power|named]... [--plant NAME]\n"
                "                 [--plants all|NAME]\n");
        return 2;
    }
    if (a.plant)
        plant_force(&a, plant_named(a.plant));
    told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(told != MAP_FAILED);
    if (a.plants)
        return plants_all(&a, a.plants);
    if (a.keep || a.trace)
        return replay(&a);
    printf("seeds from %" PRIu64 ", %u steps\n", a.seed, a.steps);
    const uint64_t batch = 500;
    int64_t begin = clock_mono_ns(clock), end = begin + a.minutes * 60 * CLOCK_NS_PER_S;
    bool ok = true;
    for (uint64_t done = 0; ok && (a.minutes ? clock_mono_ns(clock) < end : done < a.seeds);
         done += batch)
        ok = run_seeds(&a, a.seed + done,
                       a.minutes || a.seeds - done > batch ? batch : a.seeds - done);
    printf("%" PRIu64 " seeds in %.1f s: %" PRIu64 " acks, %" PRIu64 " repeats, %" PRIu64
           " bytes fetched, %" PRIu64 " starts, %" PRIu64 " deaths, %" PRIu64
           " power cuts, %" PRIu64 " disk errors, %" PRIu64 " journal frames replayed, %" PRIu64
           " reads of the disk in %" PRIu64 " runs, %" PRIu64 " bytes read ahead, %" PRIu64
           " answers from them, %" PRIu64 " without memory; %s\n",
           told->seeds, (double)(clock_mono_ns(clock) - begin) / 1e9, told->acks, told->repeats,
           told->fetched, told->starts, told->deaths, told->cuts, told->errors, told->frames,
           told->disk_reads, told->catch_ups, told->ahead, told->hits, told->gaps,
           ok ? "nothing lost" : "FAILED");
    return !ok;
}
