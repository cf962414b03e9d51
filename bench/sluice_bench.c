/* sluice-bench: the load generator. Usage: sluice-bench help */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/kerr.h"
#include "bench/client.h"
#include "bench/disk.h"
#include "bench/e2e.h"
#include "bench/echo.h"
#include "bench/fetch.h"
#include "bench/frames.h"
#include "bench/idle.h"
#include "bench/loop.h"
#include "bench/null.h"
#include "bench/options.h"
#include "bench/produce.h"
#include "bench/ramp.h"
#include "bench/raw.h"
#include "bench/scrape.h"
#include "bench/serve.h"
#include "core/eal.h"

#define hiccup_spin_s      0.3
#define status_interrupted 130 /* as shells say SIGINT */

static _Atomic bool interrupted;

static void on_signal(int signum)
{
    if (atomic_exchange(&interrupted, true))
        _exit(status_interrupted); /* asked twice */
}

/* One run of a load with these settings. */
struct run {
    struct settings s;
    enum load load;
    bool progress;
    struct dpdk_ports ports; /* of --ports, open while loads come and go on them */
    char why[crew_why_max];
};

/* Member index's part of n things that are dealt out in order. */
static uint32_t share_start(uint32_t n, uint32_t members, uint32_t index)
{
    return (uint32_t)((uint64_t)n * index / members);
}

static uint32_t producing_threads(const struct run *run)
{
    return (uint32_t)run->s.threads;
}

static struct flow_options flow_options(const struct run *run, struct crew_member *m)
{
    const struct settings *s = &run->s;
    uint32_t all = (uint32_t)s->connections, threads = producing_threads(run);
    uint32_t first = share_start(all, threads, m->index);
    uint32_t mine = share_start(all, threads, m->index + 1) - first;
    return (struct flow_options){.host = s->host,
                                 .port = (uint16_t)s->port,
                                 .connections = mine,
                                 .in_flight = (uint32_t)s->in_flight,
                                 .rate = s->rate * mine / all,
                                 .poisson = strcmp(s->arrival, "poisson") == 0,
                                 .overload = s->ramp || s->overload,
                                 .warmup_s = s->warmup,
                                 .seconds = s->seconds,
                                 .bytes_max = (uint64_t)(s->bytes / threads),
                                 .broker_pid = m->index ? 0 : (int)s->broker_pid,
                                 .seed = (uint64_t)s->seed + m->index,
                                 .member = m};
}

static int produce_job(const struct run *run, struct crew_member *m)
{
    const struct settings *s = &run->s;
    struct produce_options o = {
        .flow = flow_options(run, m),
        .topic = s->topic,
        .partitions = (uint32_t)s->partitions,
        .keyed = strcmp(s->spread, "keyed") == 0,
        .first_conn = share_start((uint32_t)s->connections, producing_threads(run), m->index),
        .all_conns = (uint32_t)s->connections,
        .batch = {.records = (uint32_t)s->records,
                  .value_bytes = (uint32_t)s->record_bytes,
                  .value_spread = (enum spread)options_choice(options_spreads, s->record_spread),
                  .codec = (enum pack_codec)options_choice(options_codecs, s->compression),
                  .random_pct = (uint32_t)s->random_pct},
        .batch_spread = (enum spread)options_choice(options_spreads, s->batch_spread),
        .idempotent = s->idempotent != 0,
        .acks = (int16_t)s->acks,
        .setup = s->setup != 0};
    return produce_run(&o, m->result, m->why, sizeof(m->why));
}

static int fetch_job(const struct run *run, struct crew_member *m)
{
    const struct settings *s = &run->s;
    bool mixed = run->load == LOAD_MIXED;
    uint32_t all = (uint32_t)(mixed ? s->fetch_connections : s->connections);
    uint32_t threads = mixed ? 1 : (uint32_t)s->threads, index = mixed ? 0 : m->index;
    uint32_t first = share_start(all, threads, index);
    uint32_t mine = share_start(all, threads, index + 1) - first;
    struct fetch_options o = {.host = s->host,
                              .port = (uint16_t)s->port,
                              .topic = s->topic,
                              .partitions = (uint32_t)s->partitions,
                              .connections = mine,
                              .first_conn = first,
                              .bytes_max = (uint32_t)s->fetch_bytes,
                              .max_wait_ms = (uint32_t)s->max_wait_ms,
                              .bytes_min = (uint32_t)s->bytes_min,
                              .verify = (enum fetch_verify)s->verify,
                              .follow = mixed || s->follow,
                              .rate = mixed ? 0 : s->rate * mine / all,
                              .poisson = strcmp(s->arrival, "poisson") == 0,
                              .seed = (uint64_t)s->seed + index,
                              .warmup_s = s->warmup,
                              .seconds = s->seconds,
                              .broker_pid = m->index ? 0 : (int)s->broker_pid,
                              .member = m};
    if (mixed)
        m->result->load = "fetch";
    return fetch_run(&o, m->result, m->why, sizeof(m->why));
}

static int e2e_job(const struct run *run, struct crew_member *m)
{
    const struct settings *s = &run->s;
    struct e2e_options o = {.host = s->host,
                            .port = (uint16_t)s->port,
                            .topic = s->topic,
                            .record_bytes = (uint32_t)s->record_bytes,
                            .acks = (int16_t)s->acks,
                            .rate = s->rate > 0 ? s->rate : 1000,
                            .poisson = strcmp(s->arrival, "poisson") == 0,
                            .warmup_s = s->warmup,
                            .seconds = s->seconds,
                            .broker_pid = (int)s->broker_pid,
                            .seed = (uint64_t)s->seed,
                            .member = m};
    return e2e_run(&o, m->result, m->why, sizeof(m->why));
}

static int raw_job(const struct run *run, struct crew_member *m)
{
    const struct settings *s = &run->s;
    struct raw_options o = {.host = s->host,
                            .port = (uint16_t)s->port,
                            .topic = s->topic,
                            .partitions = (uint32_t)s->partitions,
                            .connections = (uint32_t)s->connections,
                            .in_flight = (uint32_t)s->in_flight,
                            .batch = {.records = (uint32_t)s->records,
                                      .value_bytes = (uint32_t)s->record_bytes,
                                      .random_pct = 100},
                            .warmup_s = s->warmup,
                            .seconds = s->seconds,
                            .seed = (uint64_t)s->seed,
                            .member = m};
    return raw_run(&o, m->result, m->why, sizeof(m->why));
}

static int job(void *ctx, struct crew_member *m)
{
    const struct run *run = ctx;
    const struct settings *s = &run->s;
    switch (run->load) {
    case LOAD_FETCH:
        return fetch_job(run, m);
    case LOAD_E2E:
        return e2e_job(run, m);
    case LOAD_ECHO: {
        struct flow_options o = flow_options(run, m);
        return echo_run(&o, (uint32_t)s->frame_bytes, m->result, m->why, sizeof(m->why));
    }
    case LOAD_IDLE: {
        struct idle_options o = {s->host,    (uint16_t)s->port,  (uint32_t)s->connections,
                                 s->seconds, (int)s->broker_pid, m};
        return idle_run(&o, s->json != 0, m->result, m->why, sizeof(m->why));
    }
    case LOAD_DISK: {
        struct disk_options o = {s->folder,
                                 (uint32_t)s->block,
                                 (uint32_t)s->depth,
                                 strcmp(s->way, "read") == 0,
                                 s->warmup,
                                 s->seconds,
                                 m};
        return disk_run(&o, m->result, m->why, sizeof(m->why));
    }
    case LOAD_RAW:
        return raw_job(run, m);
    case LOAD_MIXED:
        return m->index < producing_threads(run) ? produce_job(run, m) : fetch_job(run, m);
    default:
        return produce_job(run, m);
    }
}

/* The live line; counts of running threads are read without a lock (torn at worst). */
static void progress(const struct crew *crew, double seconds)
{
    uint64_t records = 0, errors = 0;
    uint32_t open = 0;
    for (uint32_t i = 0; i < crew->threads; i++) {
        records += crew->member[i].result->records;
        errors += crew->member[i].result->errors;
        open += crew->member[i].result->open;
    }
    if (((const struct run *)crew->ctx)->load == LOAD_IDLE)
        fprintf(stderr, "\r%6.1f s: %u connections held", seconds, open);
    else
        fprintf(stderr, "\r%6.1f s: %llu records%s", seconds, (unsigned long long)records,
                errors ? ", ERRORS" : "");
    if (crew->ended == crew->threads)
        fprintf(stderr, "\n");
    fflush(stderr);
}

/* second gets the fetches of a mixed run. What was measured before an error is in out, marked. */
static int run_once(struct run *run, struct result *out, struct result *second)
{
    struct crew crew;
    uint32_t threads = producing_threads(run) + (run->load == LOAD_MIXED);
    int err = crew_init(&crew, threads, load_name(run->load), &interrupted);
    if (err)
        return err;
    crew.net = (struct crew_net){run->s.ports, run->ports.count ? &run->ports : NULL,
                                 run->s.admin_host, (uint16_t)run->s.admin_port};
    err = crew_run(&crew, job, run, run->progress ? progress : NULL, run->why);
    uint32_t ours = producing_threads(run);
    *out = *crew.member[0].result;
    for (uint32_t i = 1; i < ours; i++)
        result_merge(out, crew.member[i].result);
    if (threads > ours)
        *second = *crew.member[ours].result;
    crew_fini(&crew);
    if (err && !run->why[0])
        snprintf(run->why, sizeof(run->why), "%s",
                 atomic_load(&interrupted) ? "interrupted" : err_text(err));
    if (err)
        out->partial = run->why;
    if (err && threads > ours)
        second->partial = run->why;
    return err;
}

static int ramp_step(void *ctx, double rate, struct result *out)
{
    struct run *run = ctx;
    run->s.rate = rate;
    return run_once(run, out, NULL);
}

static bool say_faults(const struct result *r)
{
    if (r->errors)
        fprintf(stderr,
                "sluice-bench: %llu requests were refused, the first with %s: not a clean figure\n",
                (unsigned long long)r->errors, kerr_name(r->first_error));
    if (r->faults)
        fprintf(stderr, "sluice-bench: what was read has %llu faults\n",
                (unsigned long long)r->faults);
    if (result_load_is_limit(r))
        fprintf(stderr,
                "sluice-bench: the load's busiest thread was busy all the time: the load is "
                "what was measured, not the broker\n");
    return r->errors || r->faults;
}

/* What was measured, and what the broker counted meanwhile (NULL: not known). */
static void tell(const struct run *run, const struct result *result, const struct result *second,
                 const struct scrape *broker)
{
    char *more = NULL;
    size_t len;
    FILE *to = run->s.json && broker ? open_memstream(&more, &len) : NULL;
    if (to) {
        scrape_json(broker, to);
        fclose(to);
    }
    if (run->s.json) {
        result_json(result, second, more);
    } else {
        result_table(result);
        if (second)
            result_table(second);
        if (broker)
            scrape_table(broker, stdout);
    }
    free(more);
}

/* The end of what the broker counted; a run that was good without it ends with its error. */
static int scraped(struct run *run, struct scrape **broker, int err)
{
    char why[crew_why_max] = "";
    int own = *broker ? scrape_end(*broker, why, sizeof(why)) : 0;
    if (own) {
        scrape_free(*broker);
        *broker = NULL;
    }
    if (own && !err)
        snprintf(run->why, sizeof(run->why), "%s", why[0] ? why : err_text(own));
    return err ? err : own;
}

static int measure_one(struct run *run)
{
    static struct result result, second, hiccups;
    struct scrape *broker = NULL;
    bool mixed = run->load == LOAD_MIXED;
    int err = 0;
    result_init(&result, load_name(run->load));
    result_init(&second, "fetch");
    result_init(&hiccups, "");
    if (run->s.metrics[0])
        err = scrape_begin(&broker, run->s.metrics, run->why, sizeof(run->why));
    if (!err && run->load != LOAD_IDLE)
        result_hiccups(&hiccups, hiccup_spin_s);
    if (!err)
        err = scraped(run, &broker, run_once(run, &result, &second));
    if (run->load != LOAD_IDLE && (!err || result.seconds > 0)) {
        result.hiccup = hiccups.hiccup;
        tell(run, &result, mixed ? &second : NULL, broker);
    }
    scrape_free(broker);
    if (err)
        fprintf(stderr, "sluice-bench: %s\n", run->why[0] ? run->why : err_text(err));
    bool faulty = say_faults(&result);
    if (mixed)
        faulty = say_faults(&second) || faulty;
    if (atomic_load(&interrupted))
        return status_interrupted;
    return err || faulty ? 1 : 0;
}

static int measure_ramp(struct run *run)
{
    static struct result hiccups;
    struct ramp_options o = {.rate = run->s.rate > 0 ? run->s.rate : 1000,
                             .factor = run->s.ramp,
                             .overload = run->s.overload,
                             .json = run->s.json != 0,
                             .hiccup = &hiccups.hiccup};
    result_init(&hiccups, "");
    result_hiccups(&hiccups, hiccup_spin_s);
    int err = ramp_run(&o, ramp_step, run);
    if (err)
        fprintf(stderr, "sluice-bench: %s\n",
                run->why[0] ? run->why
                            : "requests were refused or answered wrongly: not a clean figure");
    return atomic_load(&interrupted) ? status_interrupted : err != 0;
}

/* EAL, as much of it as the cables need. */
static int environment(const struct run *run, uint32_t threads)
{
    const struct settings *s = &run->s;
    char why[crew_why_max] = "";
    uint32_t peer = run->load == LOAD_LOOP ? cable_eal_mb(s->peer_ports, 1) : 0;
    struct eal_options eal = {.memory_mb = cable_eal_mb(s->ports, threads) + peer,
                              .extra_args = s->ports[0] ? "--single-file-segments" : NULL};
    struct eal_state state;
    int err = eal_up(&eal, &state, why, sizeof(why));
    if (err)
        fprintf(stderr, "sluice-bench: %s\n", why[0] ? why : err_text(err));
    return err;
}

static int measure(struct run *run)
{
    uint32_t threads = producing_threads(run) + (run->load == LOAD_MIXED);
    struct sigaction stop = {.sa_handler = on_signal};
    if (environment(run, threads) < 0)
        return 1;
    atexit(eal_down);
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    if (run->s.ports[0] &&
        cable_ports_open(&run->ports, run->s.ports, run->why, sizeof(run->why)) < 0) {
        fprintf(stderr, "sluice-bench: %s\n", run->why);
        return 1;
    }
    int status = run->s.ramp || run->s.overload ? measure_ramp(run) : measure_one(run);
    dpdk_ports_close(&run->ports);
    return status;
}

/* What stands on a port and is no load on a broker: frames, both ends, servers. */
static int bare(struct run *run)
{
    const struct settings *s = &run->s;
    static struct result result;
    int err = environment(run, 1);
    if (err)
        return 1;
    if (run->load == LOAD_LOOP) {
        struct loop_options o = {{s->ports, s->peer_ports}, s->host,    (uint32_t)s->connections,
                                 (uint32_t)s->frame_bytes,  s->seconds, s->json != 0};
        err = loop_run(&o, run->why, sizeof(run->why));
    } else if (run->load == LOAD_NULL) {
        struct serve_options o = {s->echo ? SERVE_ECHO : SERVE_NULL, s->host, (uint16_t)s->port,
                                  s->ports, s->seconds};
        err = serve_run(&o, run->why, sizeof(run->why));
    } else {
        struct frames_options o = {
            s->ports,  s->echo == 0, (uint32_t)s->frame_bytes, (uint32_t)s->outstanding,
            s->warmup, s->seconds};
        result_init(&result, "frames");
        err = frames_run(&o, &result, run->why, sizeof(run->why));
        if (!err && o.ask && s->json)
            result_json(&result, NULL, NULL);
        else if (!err && o.ask)
            result_table(&result);
        if (!err && result.faults) {
            snprintf(run->why, sizeof(run->why), "frames came back changed: not a clean figure");
            err = ERR_CORRUPT;
        }
    }
    if (err)
        fprintf(stderr, "sluice-bench: %s\n", run->why[0] ? run->why : err_text(err));
    return err != 0;
}

static int serve_null(const struct settings *s)
{
    struct null_options o = {s->host, (uint16_t)s->port, s->seconds, s->echo != 0, s->write};
    char why[crew_why_max] = "";
    int err = null_run(&o, why, sizeof(why));
    if (err)
        fprintf(stderr, "sluice-bench: null: %s\n", why[0] ? why : err_text(err));
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    struct run run = {.load = load_by_name(command)};
    if (!run.load) {
        bool asked = strcmp(command, "help") == 0 || strcmp(command, "--help") == 0;
        if (*command && !asked)
            fprintf(stderr, "sluice-bench: there is no load '%s'\n", command);
        options_usage(asked ? stdout : stderr);
        return asked ? 0 : 1;
    }
    if (!options_parse(&run.s, run.load, argc - 2, argv + 2))
        return 1;
    int shown = options_choice("auto always never", run.s.progress);
    run.progress = shown == 1 || (shown == 0 && isatty(STDERR_FILENO));
    if (run.load & (LOAD_FRAMES | LOAD_LOOP) || (run.load == LOAD_NULL && run.s.ports[0]))
        return bare(&run);
    return run.load == LOAD_NULL ? serve_null(&run.s) : measure(&run);
}
