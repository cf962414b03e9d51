/* sluice-bench: the load generator. Usage: sluice-bench help */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/kerr.h"
#include "bench/client.h"
#include "bench/e2e.h"
#include "bench/fetch.h"
#include "bench/idle.h"
#include "bench/null.h"
#include "bench/produce.h"
#include "core/eal.h"

#define topic_bytes_max 249

/* Everything that can be asked for, over all loads. */
struct settings {
    const char *host, *topic, *arrival, *spread;
    double port, partitions, connections, in_flight, records, record_bytes, acks, warmup, seconds,
        setup, rate, fetch_bytes, max_wait_ms, bytes_min, verify, broker_pid, seed, bytes, json;
};

enum { PRODUCE = 1, FETCH = 2, E2E = 4, IDLE = 8, NULL_BROKER = 16, LOADS = 15 };

struct option_row {
    const char *name;
    unsigned loads;   /* that know it */
    size_t at;        /* in struct settings */
    const char *text; /* a default; numbers have none */
    double value, min, max;
    const char *help;
};

#define NUM(name, loads, field, value, min, max, help)                                             \
    {                                                                                              \
        name, loads, offsetof(struct settings, field), NULL, value, min, max, help                 \
    }
#define TEXT(name, loads, field, text, help)                                                       \
    {                                                                                              \
        name, loads, offsetof(struct settings, field), text, 0, 0, 0, help                         \
    }

static const struct option_row option_rows[] = {
    TEXT("host", LOADS, host, "127.0.0.1", "numeric address of the broker, IPv4 or IPv6"),
    NUM("port", LOADS | NULL_BROKER, port, 9092, 0, 65535, "its port"),
    TEXT("topic", PRODUCE | FETCH | E2E, topic, "bench", "made if it is not there (produce, e2e)"),
    NUM("partitions", PRODUCE | FETCH, partitions, 4, 1, produce_partitions_max, ""),
    TEXT("spread", PRODUCE, spread, "round", "round: one partition after the other; keyed: random"),
    NUM("connections", PRODUCE | FETCH | IDLE, connections, 4, 1, client_conns_max, ""),
    NUM("in-flight", PRODUCE, in_flight, 5, 1, produce_in_flight_max - 1,
        "requests a connection keeps outstanding"),
    NUM("records", PRODUCE, records, 150, 1, 100000, "in a batch"),
    NUM("record-bytes", PRODUCE | E2E, record_bytes, 100, 0, 1000000, "of a value"),
    NUM("acks", PRODUCE | E2E, acks, 1, -1, 1, "1 or -1"),
    NUM("rate", PRODUCE | E2E, rate, 0, 0, 1e8, "requests a second; 0: closed loop (e2e: 1000)"),
    TEXT("arrival", PRODUCE | E2E, arrival, "constant", "of an open loop: constant or poisson"),
    NUM("fetch-bytes", FETCH, fetch_bytes, 1048576, 1, fetch_reply_bytes_max, "of a partition"),
    NUM("max-wait-ms", FETCH, max_wait_ms, 500, 0, 60000, ""),
    NUM("bytes-min", FETCH, bytes_min, 1, 0, fetch_reply_bytes_max, ""),
    NUM("verify", FETCH, verify, 0, 0, 1, "1: check offsets and checksums of what is read"),
    NUM("warmup", PRODUCE | FETCH | E2E, warmup, 1, 0, 600, "seconds that do not count"),
    NUM("seconds", LOADS | NULL_BROKER, seconds, 5, 0, 86400, ""),
    NUM("bytes", PRODUCE, bytes, 0, 0, 1e15, "ends when so many are acknowledged; 0: by time"),
    NUM("setup", PRODUCE, setup, 1, 0, 1, "0: do not make the topic (the null broker has none)"),
    NUM("broker-pid", LOADS, broker_pid, 0, 0, 1e9, "reports CPU and memory of that process too"),
    NUM("seed", PRODUCE | E2E, seed, 1, 0, 1e15, "of record bytes, keys and arrivals"),
    NUM("json", LOADS, json, 0, 0, 1, "1: one line of JSON instead of a table"),
};
#define option_count (sizeof(option_rows) / sizeof(*option_rows))

static const struct {
    const char *name;
    unsigned bit;
    const char *what;
} loads[] = {
    {"produce", PRODUCE, "closed loop, or open loop with --rate"},
    {"fetch", FETCH, "reads the topic from its start over and over"},
    {"e2e", E2E, "from produce to a waiting fetch, at a rate"},
    {"idle", IDLE, "connections that do nothing"},
    {"null", NULL_BROKER, "a broker that copies, checksums and answers: the limit"},
};
#define load_count (sizeof(loads) / sizeof(*loads))

static void usage(FILE *to)
{
    fprintf(to, "usage: sluice-bench <load> [--option value]...\n");
    for (size_t i = 0; i < load_count; i++)
        fprintf(to, "  %-10s %s\n", loads[i].name, loads[i].what);
    fprintf(to, "options (which loads know them; default):\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *o = &option_rows[i];
        char names[64] = "", value[32];
        for (size_t k = 0; k < load_count; k++)
            if (o->loads & loads[k].bit) {
                strcat(names, names[0] ? " " : "");
                strcat(names, loads[k].name);
            }
        snprintf(value, sizeof(value), "%g", o->value);
        fprintf(to, "  --%-13s (%s; %s) %s\n", o->name, names, o->text ? o->text : value, o->help);
    }
}

static bool set(struct settings *s, const struct option_row *o, const char *text)
{
    char *end;
    if (o->text) {
        *(const char **)((char *)s + o->at) = text;
        return true;
    }
    double v = strtod(text, &end);
    if (*end || end == text || !(v >= o->min && v <= o->max)) {
        fprintf(stderr, "sluice-bench: --%s is '%s', it must be a number from %g to %g\n", o->name,
                text, o->min, o->max);
        return false;
    }
    *(double *)((char *)s + o->at) = v;
    return true;
}

static bool parse(struct settings *s, unsigned load, int argc, char **argv)
{
    for (size_t i = 0; i < option_count; i++) {
        if (option_rows[i].text)
            *(const char **)((char *)s + option_rows[i].at) = option_rows[i].text;
        else
            *(double *)((char *)s + option_rows[i].at) = option_rows[i].value;
    }
    if (load == NULL_BROKER)
        s->port = s->seconds = 0;
    for (int i = 0; i < argc; i += 2) {
        const struct option_row *found = NULL;
        for (size_t k = 0; k < option_count && !found; k++)
            if (strncmp(argv[i], "--", 2) == 0 && strcmp(argv[i] + 2, option_rows[k].name) == 0 &&
                (option_rows[k].loads & load))
                found = &option_rows[k];
        if (!found || i + 1 == argc) {
            fprintf(stderr, "sluice-bench: %s '%s'\n",
                    found ? "no value for" : "this load has no option", argv[i]);
            return false;
        }
        if (!set(s, found, argv[i + 1]))
            return false;
    }
    return true;
}

static bool choice(const char *name, const char *text, const char *a, const char *b)
{
    if (strcmp(text, a) == 0 || strcmp(text, b) == 0)
        return true;
    fprintf(stderr, "sluice-bench: --%s is '%s', it must be %s or %s\n", name, text, a, b);
    return false;
}

static bool sensible(const struct settings *s, unsigned load)
{
    if (!choice("arrival", s->arrival, "constant", "poisson") ||
        !choice("spread", s->spread, "round", "keyed"))
        return false;
    if ((load & (PRODUCE | E2E)) && s->acks == 0) {
        fprintf(stderr, "sluice-bench: --acks must be 1 or -1: what is not acknowledged cannot be "
                        "counted\n");
        return false;
    }
    if (strlen(s->topic) == 0 || strlen(s->topic) > topic_bytes_max) {
        fprintf(stderr, "sluice-bench: the topic's name has 1 to %d bytes\n", topic_bytes_max);
        return false;
    }
    if (load == PRODUCE && s->connections > produce_conns_max) {
        fprintf(stderr, "sluice-bench: produce has at most %d connections\n", produce_conns_max);
        return false;
    }
    if (load != NULL_BROKER && (s->port == 0 || s->seconds < 0.1)) {
        fprintf(stderr, "sluice-bench: --port must be at least 1 and --seconds at least 0.1\n");
        return false;
    }
    return true;
}

static int run_load(const struct settings *s, unsigned load, struct result *r, char *why,
                    size_t why_size)
{
    if (load == IDLE) {
        struct idle_options o = {s->host, (uint16_t)s->port, (uint32_t)s->connections, s->seconds,
                                 (int)s->broker_pid};
        return idle_run(&o, s->json != 0, why, why_size);
    }
    if (load == FETCH) {
        struct fetch_options o = {.host = s->host,
                                  .port = (uint16_t)s->port,
                                  .topic = s->topic,
                                  .partitions = (uint32_t)s->partitions,
                                  .connections = (uint32_t)s->connections,
                                  .bytes_max = (uint32_t)s->fetch_bytes,
                                  .max_wait_ms = (uint32_t)s->max_wait_ms,
                                  .bytes_min = (uint32_t)s->bytes_min,
                                  .verify = s->verify != 0,
                                  .warmup_s = s->warmup,
                                  .seconds = s->seconds,
                                  .broker_pid = (int)s->broker_pid};
        return fetch_run(&o, r, why, why_size);
    }
    bool poisson = strcmp(s->arrival, "poisson") == 0;
    if (load == E2E) {
        struct e2e_options o = {.host = s->host,
                                .port = (uint16_t)s->port,
                                .topic = s->topic,
                                .record_bytes = (uint32_t)s->record_bytes,
                                .acks = (int16_t)s->acks,
                                .rate = s->rate > 0 ? s->rate : 1000,
                                .poisson = poisson,
                                .warmup_s = s->warmup,
                                .seconds = s->seconds,
                                .broker_pid = (int)s->broker_pid,
                                .seed = (uint64_t)s->seed};
        return e2e_run(&o, r, why, why_size);
    }
    struct produce_options o = {.host = s->host,
                                .port = (uint16_t)s->port,
                                .topic = s->topic,
                                .partitions = (uint32_t)s->partitions,
                                .keyed = strcmp(s->spread, "keyed") == 0,
                                .connections = (uint32_t)s->connections,
                                .in_flight = (uint32_t)s->in_flight,
                                .records = (uint32_t)s->records,
                                .record_bytes = (uint32_t)s->record_bytes,
                                .acks = (int16_t)s->acks,
                                .rate = s->rate,
                                .poisson = poisson,
                                .warmup_s = s->warmup,
                                .seconds = s->seconds,
                                .bytes_max = (uint64_t)s->bytes,
                                .setup = s->setup != 0,
                                .broker_pid = (int)s->broker_pid,
                                .seed = (uint64_t)s->seed};
    return produce_run(&o, r, why, why_size);
}

static int measure(const struct settings *s, unsigned load, const char *name)
{
    static struct result result;
    char why[256] = "";
    struct eal_options eal = {.memory_mb = client_eal_mb()};
    struct eal_state state;
    result_init(&result, name);
    int err = eal_up(&eal, &state, why, sizeof(why));
    if (!err)
        err = run_load(s, load, &result, why, sizeof(why));
    if (err) {
        fprintf(stderr, "sluice-bench: %s\n", why[0] ? why : err_text(err));
        return 1;
    }
    if (load == IDLE)
        return 0;
    if (s->json)
        result_json(&result);
    else
        result_table(&result);
    if (result.errors)
        fprintf(stderr,
                "sluice-bench: %llu requests were refused, the first with %s: not a clean figure\n",
                (unsigned long long)result.errors, kerr_name(result.first_error));
    if (result.faults)
        fprintf(stderr, "sluice-bench: what was read has %llu faults\n",
                (unsigned long long)result.faults);
    return result.errors || result.faults ? 1 : 0;
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    struct settings s;
    for (size_t i = 0; i < load_count; i++) {
        if (strcmp(command, loads[i].name) != 0)
            continue;
        if (!parse(&s, loads[i].bit, argc - 2, argv + 2) || !sensible(&s, loads[i].bit))
            return 1;
        if (loads[i].bit != NULL_BROKER)
            return measure(&s, loads[i].bit, loads[i].name);
        struct null_options o = {(uint16_t)s.port, (uint32_t)s.seconds};
        int err = null_run(&o);
        if (err)
            fprintf(stderr, "sluice-bench: null: %s\n", err_text(err));
        return err ? 1 : 0;
    }
    bool asked = strcmp(command, "help") == 0 || strcmp(command, "--help") == 0;
    usage(asked ? stdout : stderr);
    return asked ? 0 : 1;
}
