/* sluice-bench: the load generator. Usage: sluice-bench help */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/kerr.h"
#include "bench/load.h"
#include "bench/null.h"
#include "core/eal.h"
#include "core/mem.h"

static void usage(FILE *to)
{
    fprintf(
        to,
        "usage: sluice-bench produce [option value]...\n"
        "       sluice-bench null [--port N] [--seconds N]\n"
        "produce, closed loop on one thread:\n"
        "  --host A (127.0.0.1)  --port N (9092)     the broker; an IPv4 address\n"
        "  --topic T (bench)     --partitions N (4)  created if it is not there\n"
        "  --connections N (4)   --in-flight N (5)   requests each connection keeps outstanding\n"
        "  --records N (150)     --record-bytes N (100)\n"
        "  --acks -1|1 (1)       --warmup S (1)      --seconds S (5)\n"
        "  --setup 0|1 (1)       0: do not create the topic (the null broker has none)\n"
        "null: reads Produce requests, copies and checksums each batch, answers; nothing else\n");
}

/* The value of --name, or fallback. */
static const char *option(int argc, char **argv, const char *name, const char *fallback)
{
    for (int i = 2; i + 1 < argc; i += 2)
        if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, name) == 0)
            return argv[i + 1];
    return fallback;
}

static bool number(int argc, char **argv, const char *name, double fallback, double min, double max,
                   double *out)
{
    const char *text = option(argc, argv, name, NULL);
    char *end;
    *out = text ? strtod(text, &end) : fallback;
    if (text && (*end || *out < min || *out > max)) {
        fprintf(stderr, "sluice-bench: --%s is '%s', it must be a number from %g to %g\n", name,
                text, min, max);
        return false;
    }
    return true;
}

static bool known_options(int argc, char **argv, const char *const *names)
{
    for (int i = 2; i < argc; i += 2) {
        bool known = false;
        for (const char *const *n = names; *n; n++)
            known |= strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, *n) == 0;
        if (!known || i + 1 == argc) {
            fprintf(stderr, "sluice-bench: %s '%s'\n", known ? "no value for" : "unknown option",
                    argv[i]);
            return false;
        }
    }
    return true;
}

static void report(const struct load_result *r)
{
    const struct hist *h = &r->latency;
    printf("{\"seconds\": %.3f, \"requests\": %llu, \"records\": %llu, \"bytes\": %llu, "
           "\"errors\": %llu, "
           "\"requests_per_s\": %.0f, \"records_per_s\": %.0f, \"client_cpu_s\": %.3f, "
           "\"latency_us\": "
           "{\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f, \"max\": %.1f}}\n",
           r->seconds, (unsigned long long)r->requests, (unsigned long long)r->records,
           (unsigned long long)r->bytes, (unsigned long long)r->errors,
           (double)r->requests / r->seconds, (double)r->records / r->seconds, r->client_cpu_s,
           (double)hist_quantile(h, 0.5) / 1e3, (double)hist_quantile(h, 0.9) / 1e3,
           (double)hist_quantile(h, 0.99) / 1e3, (double)hist_quantile(h, 0.999) / 1e3,
           (double)h->max / 1e3);
}

static int produce(int argc, char **argv)
{
    static const char *const names[] = {
        "host",         "port", "topic",  "partitions", "connections", "in-flight", "records",
        "record-bytes", "acks", "warmup", "seconds",    "setup",       NULL};
    double port, partitions, connections, in_flight, records, record_bytes, acks, warmup, seconds,
        setup;
    if (!known_options(argc, argv, names) || !number(argc, argv, "port", 9092, 1, 65535, &port) ||
        !number(argc, argv, "partitions", 4, 1, load_partitions_max, &partitions) ||
        !number(argc, argv, "connections", 4, 1, load_conns_max, &connections) ||
        !number(argc, argv, "in-flight", 5, 1, load_in_flight_max - 1, &in_flight) ||
        !number(argc, argv, "records", 150, 1, 100000, &records) ||
        !number(argc, argv, "record-bytes", 100, 0, 1000000, &record_bytes) ||
        !number(argc, argv, "acks", 1, -1, 1, &acks) ||
        !number(argc, argv, "warmup", 1, 0, 600, &warmup) ||
        !number(argc, argv, "seconds", 5, 0.1, 3600, &seconds) ||
        !number(argc, argv, "setup", 1, 0, 1, &setup))
        return 1;
    struct load_options o = {.host = option(argc, argv, "host", "127.0.0.1"),
                             .port = (uint16_t)port,
                             .topic = option(argc, argv, "topic", "bench"),
                             .partitions = (uint32_t)partitions,
                             .connections = (uint32_t)connections,
                             .in_flight = (uint32_t)in_flight,
                             .records = (uint32_t)records,
                             .record_bytes = (uint32_t)record_bytes,
                             .acks = (int16_t)acks,
                             .warmup_s = warmup,
                             .seconds = seconds,
                             .setup = setup != 0,
                             .seed = 1};
    if (acks == 0 || strlen(o.topic) > 249) {
        fprintf(stderr, "sluice-bench: acks must be 1 or -1, the topic's name at most 249 bytes\n");
        return 1;
    }
    static struct load_result result;
    char why[256] = "";
    struct mem_plan plan;
    int err = mem_plan_make(256 * MIB, 1, &plan);
    struct eal_options eal = {.memory_mb = err ? 0 : mem_plan_eal_mb(&plan)};
    struct eal_state state;
    if (!err)
        err = eal_up(&eal, &state, why, sizeof(why));
    if (!err)
        err = load_run(&o, &result, why, sizeof(why));
    if (err) {
        fprintf(stderr, "sluice-bench: %s\n", why[0] ? why : err_text(err));
        return 1;
    }
    report(&result);
    if (result.errors) {
        fprintf(stderr,
                "sluice-bench: %llu requests were refused, the first with %s: not a clean figure\n",
                (unsigned long long)result.errors, kerr_name(result.first_error));
        return 1;
    }
    return 0;
}

static int null_broker(int argc, char **argv)
{
    static const char *const names[] = {"port", "seconds", NULL};
    double port, seconds;
    if (!known_options(argc, argv, names) || !number(argc, argv, "port", 0, 0, 65535, &port) ||
        !number(argc, argv, "seconds", 0, 0, 86400, &seconds))
        return 1;
    struct null_options o = {(uint16_t)port, (uint32_t)seconds};
    int err = null_run(&o);
    if (err)
        fprintf(stderr, "sluice-bench: null: %s\n", err_text(err));
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "produce") == 0)
        return produce(argc, argv);
    if (strcmp(command, "null") == 0)
        return null_broker(argc, argv);
    bool asked = strcmp(command, "help") == 0 || strcmp(command, "--help") == 0;
    usage(asked ? stdout : stderr);
    return asked ? 0 : 1;
}
