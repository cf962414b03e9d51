#include "bench/ramp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

/* What a step's latency is told by; a quantile that too few answers lie beyond is not told. */
static const struct {
    const char *name;
    double q;
    uint64_t count_min;
} step_quantiles[] = {
    {"p50", 0.5, 0}, {"p99", 0.99, 0}, {"p99.9", 0.999, 1000}, {"p99.99", 0.9999, 10000}};
#define step_quantile_count (sizeof(step_quantiles) / sizeof(*step_quantiles))

struct step {
    const char *kind;
    double offered, reached;                /* requests a second; offered 0: closed loop */
    double us[step_quantile_count], max_us; /* -1: not told */
    double broker_share;                    /* of a core; -1: unknown */
    unsigned long long errors, faults, unsent;
    bool load_is_limit;
};

struct ramp {
    const struct ramp_options *o;
    ramp_run_fn *run;
    void *ctx;
    struct result *result;
    struct step steps[ramp_steps_max + 2];
    unsigned count;
    double saturation;
    const char *partial;
};

bool ramp_reached(const struct result *step)
{
    return (double)step->requests >= ramp_reached_share * step->rate * step->seconds;
}

static void print_cell(double value)
{
    if (value < 0)
        printf(" %9s", "-");
    else
        printf(" %9.1f", value);
}

static void print_head(void)
{
    printf("  %-11s %12s %12s", "", "offered/s", "reached/s");
    for (size_t i = 0; i < step_quantile_count; i++)
        printf(" %6s us", step_quantiles[i].name);
    printf(" %6s us %9s %8s %8s %8s\n", "max", "broker %", "errors", "faults", "unsent");
}

static void print_step(const struct step *s)
{
    printf("  %-11s %12.0f %12.0f", s->kind, s->offered, s->reached);
    for (size_t i = 0; i < step_quantile_count; i++)
        print_cell(s->us[i]);
    print_cell(s->max_us);
    print_cell(s->broker_share < 0 ? -1 : 100 * s->broker_share);
    printf(" %8llu %8llu %8llu%s\n", s->errors, s->faults, s->unsent,
           s->load_is_limit ? "  (the load is the limit)" : "");
}

static void step_json(const struct step *s)
{
    printf("{\"kind\": \"%s\", \"offered\": %.0f, \"reached\": %.0f, ", s->kind, s->offered,
           s->reached);
    for (size_t i = 0; i < step_quantile_count; i++)
        if (s->us[i] >= 0)
            printf("\"%s\": %.1f, ", step_quantiles[i].name, s->us[i]);
    printf("\"max\": %.1f, ", s->max_us);
    if (s->broker_share >= 0)
        printf("\"broker_core_share\": %.5f, ", s->broker_share);
    printf("\"errors\": %llu, \"faults\": %llu, \"unsent\": %llu, \"client_is_limit\": %s}",
           s->errors, s->faults, s->unsent, s->load_is_limit ? "true" : "false");
}

static struct step step_of(const char *kind, double rate, const struct result *x)
{
    struct step s = {.kind = kind,
                     .offered = rate,
                     .reached = (double)x->requests / x->seconds,
                     .max_us = (double)x->latency.max / 1e3,
                     .broker_share = x->broker_cpu_s >= 0 ? x->broker_cpu_s / x->seconds : -1,
                     .errors = x->errors,
                     .faults = x->faults,
                     .unsent = x->unsent,
                     .load_is_limit = result_load_is_limit(x)};
    for (size_t i = 0; i < step_quantile_count; i++)
        s.us[i] = x->latency.count >= step_quantiles[i].count_min
                      ? (double)hist_quantile(&x->latency, step_quantiles[i].q) / 1e3
                      : -1;
    return s;
}

static int one(struct ramp *r, const char *kind, double rate)
{
    int err = r->run(r->ctx, rate, r->result);
    const struct result *x = r->result;
    if (x->seconds > 0) {
        struct step *s = &r->steps[r->count++];
        *s = step_of(kind, rate, x);
        if (!r->o->json)
            print_step(s);
        if (s->reached > r->saturation)
            r->saturation = s->reached;
    }
    if (err)
        r->partial = "a run ended early";
    else if (x->errors)
        r->partial = "requests were refused";
    else if (x->faults)
        r->partial = "what came back was wrong";
    return err;
}

static int steps(struct ramp *r)
{
    double rate = r->o->rate;
    int err = 0;
    if (r->o->factor == 0)
        return one(r, "closed loop", 0);
    for (unsigned i = 0; i < ramp_steps_max && !err; i++, rate *= r->o->factor) {
        err = one(r, "step", rate);
        if (!ramp_reached(r->result))
            break;
    }
    return err;
}

static void print_end(const struct ramp *r, double overload_share)
{
    printf("  saturation  %12.0f requests/s\n", r->saturation);
    if (overload_share >= 0)
        printf("  under overload %.0f %% of the saturation came through\n", 100 * overload_share);
    if (r->o->hiccup)
        result_quantiles_line("hiccups us", r->o->hiccup);
    if (r->partial)
        printf("  PARTIAL     %s\n", r->partial);
}

static void ramp_json(const struct ramp *r, double overload_share)
{
    printf("{\"load\": \"ramp\", \"saturation_per_s\": %.0f", r->saturation);
    if (overload_share >= 0)
        printf(", \"overload_share\": %.3f", overload_share);
    if (r->partial)
        printf(", \"partial\": \"%s\"", r->partial);
    if (r->o->hiccup)
        result_quantiles_json("hiccup_us", r->o->hiccup);
    printf(", \"steps\": [");
    for (unsigned i = 0; i < r->count; i++) {
        printf("%s", i ? ", " : "");
        step_json(&r->steps[i]);
    }
    printf("]}\n");
}

int ramp_run(const struct ramp_options *options, ramp_run_fn *run, void *ctx)
{
    struct result *result = malloc(sizeof(*result));
    struct ramp r = {.o = options, .run = run, .ctx = ctx, .result = result};
    if (!result)
        return ERR_NO_MEMORY;
    result_init(result, "ramp");
    if (!options->json)
        print_head();
    int err = steps(&r);
    double share = -1, before = r.saturation;
    if (!err && options->overload > 0) {
        err = one(&r, "overload", options->overload * before);
        share = before > 0 && r.count ? r.steps[r.count - 1].reached / before : -1;
    }
    if (options->json)
        ramp_json(&r, share);
    else
        print_end(&r, share);
    free(result);
    return err ? err : r.partial ? ERR_INVALID : 0;
}
