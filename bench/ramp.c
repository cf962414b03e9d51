#include "bench/ramp.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"

struct step {
    const char *kind;
    double offered, reached; /* requests a second; offered 0: closed loop */
    double p50, p99, max;    /* us */
    unsigned long long errors, unsent;
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

static void print_step(const struct step *s, bool json)
{
    if (!json)
        printf("  %-11s %12.0f %12.0f %10.1f %10.1f %10.1f %8llu %8llu%s\n", s->kind, s->offered,
               s->reached, s->p50, s->p99, s->max, s->errors, s->unsent,
               s->load_is_limit ? "  (the load is the limit)" : "");
}

static int one(struct ramp *r, const char *kind, double rate)
{
    int err = r->run(r->ctx, rate, r->result);
    const struct result *x = r->result;
    if (x->seconds > 0) {
        struct step *s = &r->steps[r->count++];
        *s = (struct step){.kind = kind,
                           .offered = rate,
                           .reached = (double)x->requests / x->seconds,
                           .p50 = (double)hist_quantile(&x->latency, 0.5) / 1e3,
                           .p99 = (double)hist_quantile(&x->latency, 0.99) / 1e3,
                           .max = (double)x->latency.max / 1e3,
                           .errors = x->errors,
                           .unsent = x->unsent,
                           .load_is_limit = result_load_is_limit(x)};
        print_step(s, r->o->json);
        if (s->reached > r->saturation)
            r->saturation = s->reached;
    }
    if (err)
        r->partial = "a run ended early";
    else if (x->errors)
        r->partial = "requests were refused";
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
    if (!r->o->json) {
        printf("  saturation  %12.0f requests/s\n", r->saturation);
        if (overload_share >= 0)
            printf("  under overload %.0f %% of the saturation came through\n",
                   100 * overload_share);
        if (r->partial)
            printf("  PARTIAL     %s\n", r->partial);
        return;
    }
    printf("{\"load\": \"ramp\", \"saturation_per_s\": %.0f, ", r->saturation);
    if (overload_share >= 0)
        printf("\"overload_share\": %.3f, ", overload_share);
    if (r->partial)
        printf("\"partial\": \"%s\", ", r->partial);
    printf("\"steps\": [");
    for (unsigned i = 0; i < r->count; i++) {
        const struct step *s = &r->steps[i];
        printf("%s{\"kind\": \"%s\", \"offered\": %.0f, \"reached\": %.0f, \"p50\": %.1f, \"p99\": "
               "%.1f, "
               "\"max\": %.1f, \"errors\": %llu, \"unsent\": %llu, \"client_is_limit\": %s}",
               i ? ", " : "", s->kind, s->offered, s->reached, s->p50, s->p99, s->max, s->errors,
               s->unsent, s->load_is_limit ? "true" : "false");
    }
    printf("]}\n");
}

int ramp_run(const struct ramp_options *options, ramp_run_fn *run, void *ctx)
{
    struct result *result = malloc(sizeof(*result));
    struct ramp r = {.o = options, .run = run, .ctx = ctx, .result = result};
    if (!result)
        return ERR_NO_MEMORY;
    if (!options->json)
        printf("  %-11s %12s %12s %10s %10s %10s %8s %8s\n", "", "offered/s", "reached/s", "p50 us",
               "p99 us", "max us", "errors", "unsent");
    int err = steps(&r);
    double share = -1, before = r.saturation;
    if (!err && options->overload > 0) {
        err = one(&r, "overload", options->overload * before);
        share = before > 0 && r.count ? r.steps[r.count - 1].reached / before : -1;
    }
    print_end(&r, share);
    free(result);
    return err ? err : r.partial ? ERR_INVALID : 0;
}
