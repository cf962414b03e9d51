#include "bench/options.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bench/client.h"
#include "bench/crew.h"
#include "bench/disk.h"
#include "bench/echo.h"
#include "bench/fetch.h"
#include "bench/frames.h"
#include "bench/produce.h"

#define topic_bytes_max 249

enum {
    P = LOAD_PRODUCE,
    F = LOAD_FETCH,
    E = LOAD_E2E,
    I = LOAD_IDLE,
    N = LOAD_NULL,
    ECHO = LOAD_ECHO,
    M = LOAD_MIXED,
    D = LOAD_DISK,
    FRAMES = LOAD_FRAMES,
    LOOP = LOAD_LOOP,
    RAW = LOAD_RAW,
    ALL = P | F | E | I | ECHO | M, /* that speak to a broker */
};

struct option_row {
    const char *name;
    unsigned loads;      /* that know it */
    size_t at;           /* in struct settings */
    const char *text;    /* a default; numbers have none */
    const char *choices; /* of a text, separated by blanks; NULL: any */
    double value, min, max;
    const char *help;
};

#define NUM(name, loads, field, value, min, max, help)                                             \
    {                                                                                              \
        name, loads, offsetof(struct settings, field), NULL, NULL, value, min, max, help           \
    }
#define TEXT(name, loads, field, text, choices, help)                                              \
    {                                                                                              \
        name, loads, offsetof(struct settings, field), text, choices, 0, 0, 0, help                \
    }

static const struct option_row option_rows[] = {
    TEXT("host", ALL | N | LOOP | RAW, host, "127.0.0.1", NULL,
         "numeric address of the broker (null: to listen on), IPv4 or IPv6"),
    NUM("port", ALL | RAW, port, 9092, 1, 65535, "its port"),
    NUM("port", N, port, 0, 0, 65535, "its port; 0: a free one, which it prints"),
    TEXT("ports", ALL | N | FRAMES | LOOP, ports, "", NULL,
         "our own TCP on these, as sluice.dpdk.ports; empty: kernel sockets"),
    TEXT("peer-ports", LOOP, peer_ports, "", NULL, "the cable's other end"),
    TEXT("admin-host", P | F | E | M, admin_host, "127.0.0.1", NULL,
         "with --ports: a listener of the broker on kernel sockets, where topics are made"),
    NUM("admin-port", P | F | E | M, admin_port, 9092, 1, 65535, "its port"),
    NUM("outstanding", FRAMES, outstanding, 32, 1, frames_outstanding_max, "frames under way"),
    TEXT("topic", P | F | E | M | RAW, topic, "bench", NULL,
         "made if it is not there (not by fetch and raw)"),
    NUM("threads", P | F | ECHO, threads, 1, 1, crew_threads_max,
        "each with its part of the connections and of the rate"),
    NUM("partitions", P | F | M | RAW, partitions, 4, 1, produce_partitions_max, ""),
    TEXT("spread", P | M, spread, "round", "round keyed",
         "round: one partition after the other; keyed: random"),
    NUM("connections", P | F | I | ECHO | M | LOOP | RAW, connections, 4, 1, client_conns_max, ""),
    NUM("in-flight", P | ECHO | M | RAW, in_flight, 5, 1, flow_in_flight_max - 1,
        "requests a connection keeps outstanding"),
    NUM("records", P | M | RAW, records, 150, 1, 100000, "in a batch"),
    TEXT("batch-spread", P | M, batch_spread, "fixed", options_spreads, "of records around that"),
    NUM("record-bytes", P | E | M | RAW, record_bytes, 100, 0, 1000000, "of a value"),
    TEXT("record-spread", P | M, record_spread, "fixed", options_spreads, "of bytes around that"),
    TEXT("compression", P | M, compression, "none", options_codecs, ""),
    NUM("random-pct", P | M, random_pct, 100, 1, 100, "of a value is random, the rest one letter"),
    NUM("idempotent", P | M, idempotent, 0, 0, 1,
        "1: each connection is an idempotent producer (acks -1)"),
    NUM("acks", P | E | M, acks, 1, -1, 1, "1 or -1"),
    NUM("rate", P | F | E | ECHO | M, rate, 0, 0, 1e8,
        "requests a second; 0: closed loop (e2e, ramp: 1000)"),
    TEXT("arrival", P | F | E | ECHO | M, arrival, "constant", "constant poisson",
         "of an open loop"),
    NUM("ramp", P | ECHO, ramp, 0, 0, 10,
        "open loops, each so many times faster, until the rate is not reached"),
    NUM("overload", P | ECHO, overload, 0, 0, 100,
        "so many times the rate that was reached (ramp or closed loop) is offered then"),
    NUM("frame-bytes", ECHO | FRAMES | LOOP, frame_bytes, 64, echo_bytes_min, echo_bytes_max, ""),
    NUM("fetch-connections", M, fetch_connections, 4, 1, client_conns_max,
        "on a thread of its own"),
    NUM("fetch-bytes", F | M, fetch_bytes, 1048576, 1, fetch_reply_bytes_max, "of a partition"),
    NUM("max-wait-ms", F | M, max_wait_ms, 500, 0, 60000, ""),
    NUM("bytes-min", F | M, bytes_min, 1, 0, fetch_reply_bytes_max, ""),
    NUM("verify", F | M, verify, 0, 0, 2,
        "1: check offsets and checksums of what is read; 2: and each value's own hash"),
    NUM("follow", F, follow, 0, 0, 1, "1: wait at the log's end instead of beginning anew"),
    NUM("echo", N | FRAMES, echo, 0, 0, 1, "1: sends back what comes"),
    TEXT("write", N, write, "", NULL,
         "a folder: batches are also written there, without a promise (kernel sockets alone)"),
    TEXT("folder", D, folder, ".", NULL, "where the file is"),
    TEXT("way", D, way, "write", "write read", "write: each on the medium before it counts"),
    NUM("block", D, block, 4096, 4096, 16777216, "bytes of a request, a multiple of 4096"),
    NUM("depth", D, depth, 1, 1, disk_depth_max, "requests under way"),
    NUM("warmup", (ALL & ~I) | D | FRAMES | RAW, warmup, 1, 0, 600, "seconds that do not count"),
    NUM("seconds", ALL | D | RAW, seconds, 5, 0.1, 86400, "that count"),
    NUM("seconds", FRAMES | LOOP, seconds, 5, 0, 86400, "that count; an echo: 0: until a signal"),
    NUM("seconds", N, seconds, 0, 0, 86400, "0: until a signal"),
    NUM("bytes", P, bytes, 0, 0, 1e15, "ends when so many are acknowledged; 0: by time"),
    NUM("setup", P, setup, 1, 0, 1, "0: do not make the topic (the null broker has none)"),
    NUM("broker-pid", ALL, broker_pid, 0, 0, 1e9, "reports CPU and memory of that process too"),
    TEXT("metrics", P | F | E | M | RAW, metrics, "", NULL,
         "host:port of sluice.metrics.listener: tells what its counters and stages moved by"),
    NUM("seed", P | F | E | ECHO | M | RAW, seed, 1, 0, 1e15, "of bytes, sizes, keys and arrivals"),
    NUM("json", ALL | D | FRAMES | LOOP | RAW, json, 0, 0, 1,
        "1: one line of JSON instead of a table"),
    TEXT("progress", ALL | D | RAW, progress, "auto", "auto always never",
         "a live line on stderr; auto: on a terminal"),
};
#define option_count (sizeof(option_rows) / sizeof(*option_rows))

static const struct {
    const char *name;
    enum load load;
    const char *what;
} loads[] = {
    {"produce", LOAD_PRODUCE, "closed loop, or open loop with --rate, --ramp, --overload"},
    {"fetch", LOAD_FETCH, "reads the topic from its start over and over; open loop with --rate"},
    {"mixed", LOAD_MIXED, "produce, and beside it fetches that follow"},
    {"e2e", LOAD_E2E,
     "from produce to a waiting fetch, at a rate: one connection each, one partition"},
    {"idle", LOAD_IDLE, "connections that do nothing"},
    {"echo", LOAD_ECHO, "bare frames to an echo server (null --echo 1) and back"},
    {"disk", LOAD_DISK, "durable writes (or reads) of the disk alone: the yardstick"},
    {"raw", LOAD_RAW, "the barest produce client: the yardstick of produce itself"},
    {"frames", LOAD_FRAMES, "Ethernet frames to an echo (--echo 1) and back, no TCP: the cable"},
    {"loop", LOAD_LOOP, "both ends of a TCP echo in one thread: what a round trip costs each"},
    {"null", LOAD_NULL, "a broker that copies, checksums and answers: the limit"},
};
#define load_count (sizeof(loads) / sizeof(*loads))

enum load load_by_name(const char *name)
{
    for (size_t i = 0; i < load_count; i++)
        if (strcmp(name, loads[i].name) == 0)
            return loads[i].load;
    return 0;
}

const char *load_name(enum load load)
{
    for (size_t i = 0; i < load_count; i++)
        if (load == loads[i].load)
            return loads[i].name;
    return "?";
}

void options_usage(FILE *to)
{
    fprintf(to, "usage: sluice-bench <load> [--option value]...\n");
    for (size_t i = 0; i < load_count; i++)
        fprintf(to, "  %-10s %s\n", loads[i].name, loads[i].what);
    fprintf(to, "options (which loads know them; default):\n");
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *o = &option_rows[i];
        fprintf(to, "  --%-17s (", o->name);
        for (size_t k = 0; k < load_count; k++)
            if (o->loads & loads[k].load)
                fprintf(to, "%s ", loads[k].name);
        if (o->text)
            fprintf(to, "; %s) %s%s%s\n", o->text, o->help, o->choices ? ": " : "",
                    o->choices ? o->choices : "");
        else
            fprintf(to, "; %g) %s\n", o->value, o->help);
    }
}

int options_choice(const char *choices, const char *text)
{
    size_t n = strlen(text);
    for (int i = 0; *choices; i++) {
        size_t word = strcspn(choices, " ");
        if (word == n && strncmp(choices, text, n) == 0)
            return i;
        choices += word + (choices[word] == ' ');
    }
    return -1;
}

static bool set(struct settings *s, const struct option_row *o, const char *text)
{
    char *end;
    if (o->text) {
        if (o->choices && options_choice(o->choices, text) < 0) {
            fprintf(stderr, "sluice-bench: --%s is '%s', it must be one of: %s\n", o->name, text,
                    o->choices);
            return false;
        }
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

static bool refuse(const char *text)
{
    fprintf(stderr, "sluice-bench: %s\n", text);
    return false;
}

static bool sensible(const struct settings *s, enum load load)
{
    if ((load & (P | E | M)) && s->acks == 0)
        return refuse("--acks must be 1 or -1: what is not acknowledged cannot be counted");
    if (s->idempotent && s->acks != -1)
        return refuse("--idempotent needs --acks -1, as Kafka's own producers do");
    if (strlen(s->topic) == 0 || strlen(s->topic) > topic_bytes_max)
        return refuse("the topic's name has 1 to 249 bytes");
    if ((load & (P | ECHO | M)) && s->connections > flow_conns_max)
        return refuse("this load has at most 4096 connections");
    if ((load & (P | F | ECHO)) && s->threads > s->connections)
        return refuse("--threads is more than --connections");
    if (load == LOAD_FETCH && s->rate && s->follow)
        return refuse("--follow waits for what comes: not with --rate (mixed measures followers)");
    if (s->ramp && s->ramp < 1.05)
        return refuse("--ramp is the factor from one step to the next, at least 1.05");
    if ((s->ramp || s->overload) && s->bytes)
        return refuse("--bytes ends a run early: not with --ramp or --overload");
    if (s->overload && !s->ramp && s->rate)
        return refuse("--overload finds the rate itself: without --rate, or with --ramp");
    if (s->metrics[0] && (s->ramp || s->overload))
        return refuse("--metrics is of one run: not with --ramp or --overload");
    if (load == LOAD_DISK && (uint32_t)s->block % 4096)
        return refuse("--block must be a multiple of 4096");
    if ((load & (FRAMES | LOOP)) && s->ports[0] == '\0')
        return refuse("--ports is wanted");
    if (s->ports[0] == '\0' && (strcmp(s->admin_host, "127.0.0.1") != 0 || s->admin_port != 9092))
        return refuse(
            "--admin-host and --admin-port are for --ports: else topics are made at --port");
    if (s->ports[0] && s->threads > 1)
        return refuse("--ports takes one thread");
    if (s->write[0] && s->echo)
        return refuse("--write is for batches: not with --echo, which has none");
    if (s->write[0] && s->ports[0])
        return refuse("--write is not there on our own TCP: not with --ports");
    return true;
}

/* Those of options that one of these loads knows; an option with several rows has a default for each load. */
static void set_defaults(struct settings *s, unsigned of)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct option_row *o = &option_rows[i];
        if (!(o->loads & of))
            continue;
        if (o->text)
            *(const char **)((char *)s + o->at) = o->text;
        else
            *(double *)((char *)s + o->at) = o->value;
    }
}

bool options_parse(struct settings *s, enum load load, int argc, char **argv)
{
    set_defaults(s, ~0u);
    set_defaults(s, load);
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
    return sensible(s, load);
}
