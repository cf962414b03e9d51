#include "bench/result.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/kerr.h"

static const struct {
    const char *name;
    double q;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};
#define quantile_count (sizeof(quantiles) / sizeof(*quantiles))

#define code_name_bytes 16

void result_init(struct result *r, const char *load)
{
    memset(r, 0, sizeof(*r));
    hist_init(&r->latency);
    hist_init(&r->hiccup);
    for (uint32_t i = 0; i < result_slots_max; i++)
        hist_init(&r->slot[i].latency);
    r->load = load;
    r->threads = 1;
    r->broker_cpu_s = -1;
    r->slot_end_ns = INT64_MAX;
}

void result_window(struct result *r, int64_t start_ns, double seconds)
{
    r->start_ns = start_ns;
    r->slot_ns = (int64_t)(seconds * 1e9 / result_slots_max) + 1;
    r->slot_end_ns = start_ns + r->slot_ns;
    r->slot_at = 0;
}

struct result_slot *result_next_slot(struct result *r, int64_t now_ns)
{
    int64_t at = (now_ns - r->start_ns) / r->slot_ns;
    r->slot_at = at < result_slots_max ? (uint32_t)at : result_slots_max - 1;
    r->slot_end_ns = at < result_slots_max - 1 ? r->start_ns + (at + 1) * r->slot_ns : INT64_MAX;
    return &r->slot[r->slot_at];
}

static void count_code(struct result *r, int16_t error, uint64_t n)
{
    for (uint32_t i = 0; i < r->codes; i++)
        if (r->by_code[i].error == error) {
            r->by_code[i].count += n;
            return;
        }
    if (r->codes < result_codes_max)
        r->by_code[r->codes++] = (struct result_code){error, n};
    else
        r->other_codes += n;
}

void result_error(struct result *r, int16_t error)
{
    if (!r->errors++)
        r->first_error = error;
    count_code(r, error, 1);
}

uint64_t result_errors_of(const struct result *r, int16_t error)
{
    for (uint32_t i = 0; i < r->codes; i++)
        if (r->by_code[i].error == error)
            return r->by_code[i].count;
    return 0;
}

void result_close(struct result *r)
{
    for (uint32_t i = 0; i < result_slots_max; i++)
        hist_merge(&r->latency, &r->slot[i].latency);
    r->busiest_s = r->client_busy_s;
}

void result_merge(struct result *into, const struct result *from)
{
    into->threads++;
    if (from->seconds > into->seconds)
        into->seconds = from->seconds;
    into->requests += from->requests;
    into->records += from->records;
    into->bytes += from->bytes;
    if (from->errors && !into->errors)
        into->first_error = from->first_error;
    into->errors += from->errors;
    for (uint32_t i = 0; i < from->codes; i++)
        count_code(into, from->by_code[i].error, from->by_code[i].count);
    into->other_codes += from->other_codes;
    into->faults += from->faults;
    into->unchecked += from->unchecked;
    into->unsent += from->unsent;
    into->rate += from->rate;
    into->client_cpu_s += from->client_cpu_s;
    into->client_busy_s += from->client_busy_s;
    into->frames_in += from->frames_in;
    into->frames_out += from->frames_out;
    into->wire_bytes += from->wire_bytes;
    into->bursts += from->bursts;
    if (from->busiest_s > into->busiest_s)
        into->busiest_s = from->busiest_s;
    hist_merge(&into->latency, &from->latency);
    for (uint32_t i = 0; i < result_slots_max; i++) {
        into->slot[i].records += from->slot[i].records;
        hist_merge(&into->slot[i].latency, &from->slot[i].latency);
    }
}

static double busy_share(const struct result *r)
{
    return r->seconds > 0 ? 100 * r->busiest_s / r->seconds : 0;
}

bool result_load_is_limit(const struct result *r)
{
    return busy_share(r) > result_busy_max;
}

void result_quantiles_json(const char *name, const struct hist *h)
{
    printf(", \"%s\": {", name);
    for (size_t i = 0; i < quantile_count; i++)
        printf("\"%s\": %.1f, ", quantiles[i].name, (double)hist_quantile(h, quantiles[i].q) / 1e3);
    printf("\"max\": %.1f}", (double)h->max / 1e3);
}

/* [seconds from the start, records/s, p50, p99, max] of each piece in which something came. */
static void timeline_json(const struct result *r)
{
    double piece_s = (double)r->slot_ns / 1e9;
    const char *before = "";
    printf(", \"timeline\": [");
    for (uint32_t i = 0; i < result_slots_max && r->slot_ns > 0; i++) {
        const struct hist *h = &r->slot[i].latency;
        if (!h->count && i * piece_s > r->seconds)
            continue;
        printf("%s[%.3f, %.0f, %.1f, %.1f, %.1f]", before, i * piece_s,
               (double)r->slot[i].records / piece_s, (double)hist_quantile(h, 0.5) / 1e3,
               (double)hist_quantile(h, 0.99) / 1e3, (double)h->max / 1e3);
        before = ", ";
    }
    printf("]");
}

/* A code that Kafka does not have is told by its number. */
static const char *code_name(int16_t error, char text[code_name_bytes])
{
    const char *name = kerr_name(error);
    if (error == KERR_UNKNOWN_SERVER_ERROR || strcmp(name, kerr_name(KERR_UNKNOWN_SERVER_ERROR)))
        return name;
    snprintf(text, code_name_bytes, "code %d", error);
    return text;
}

static void codes_json(const struct result *r)
{
    char text[code_name_bytes];
    printf(", \"errors_by_code\": {");
    for (uint32_t i = 0; i < r->codes; i++)
        printf("%s\"%s\": %llu", i ? ", " : "", code_name(r->by_code[i].error, text),
               (unsigned long long)r->by_code[i].count);
    if (r->other_codes)
        printf(", \"other\": %llu", (unsigned long long)r->other_codes);
    printf("}");
}

static void codes_line(const struct result *r)
{
    char text[code_name_bytes];
    printf("  errors       %llu:", (unsigned long long)r->errors);
    for (uint32_t i = 0; i < r->codes; i++)
        printf("%s %s %llu", i ? "," : "", code_name(r->by_code[i].error, text),
               (unsigned long long)r->by_code[i].count);
    if (r->other_codes)
        printf(", other %llu", (unsigned long long)r->other_codes);
    printf("\n");
}

static void fields_json(const struct result *r)
{
    double s = r->seconds > 0 ? r->seconds : 1;
    printf("\"load\": \"%s\", \"threads\": %u, \"seconds\": %.3f, \"requests\": %llu, "
           "\"records\": %llu, \"bytes\": %llu, \"errors\": %llu, \"faults\": %llu, "
           "\"unsent\": %llu, \"rate\": %.1f, \"requests_per_s\": %.0f, \"records_per_s\": %.0f, "
           "\"client_cpu_s\": %.3f, \"client_busy_s\": %.3f, \"client_is_limit\": %s",
           r->load, r->threads, r->seconds, (unsigned long long)r->requests,
           (unsigned long long)r->records, (unsigned long long)r->bytes,
           (unsigned long long)r->errors, (unsigned long long)r->faults,
           (unsigned long long)r->unsent, r->rate, (double)r->requests / s, (double)r->records / s,
           r->client_cpu_s, r->client_busy_s, result_load_is_limit(r) ? "true" : "false");
    if (r->frames_in)
        printf(
            ", \"frames_in\": %llu, \"frames_out\": %llu, \"wire_bytes\": %llu, \"bursts\": %llu",
            (unsigned long long)r->frames_in, (unsigned long long)r->frames_out,
            (unsigned long long)r->wire_bytes, (unsigned long long)r->bursts);
    if (r->unchecked)
        printf(", \"unchecked\": %llu", (unsigned long long)r->unchecked);
    if (r->partial)
        printf(", \"partial\": \"%s\"", r->partial);
    if (r->errors)
        printf(", \"first_error\": \"%s\"", kerr_name(r->first_error));
    codes_json(r);
    if (r->broker_cpu_s >= 0)
        printf(", \"broker_cpu_s\": %.3f, \"broker_rss_kb\": %llu", r->broker_cpu_s,
               (unsigned long long)r->broker_rss_kb);
    result_quantiles_json("latency_us", &r->latency);
    timeline_json(r);
}

void result_json(const struct result *r, const struct result *second, const char *more)
{
    printf("{");
    fields_json(r);
    result_quantiles_json("hiccup_us", &r->hiccup);
    if (second) {
        printf(", \"%s\": {", second->load);
        fields_json(second);
        printf("}");
    }
    if (more)
        printf(", %s", more);
    printf("}\n");
}

void result_quantiles_line(const char *name, const struct hist *h)
{
    printf("  %-12s", name);
    for (size_t i = 0; i < quantile_count; i++)
        printf(" %s %.1f", quantiles[i].name, (double)hist_quantile(h, quantiles[i].q) / 1e3);
    printf(" max %.1f\n", (double)h->max / 1e3);
}

void result_table(const struct result *r)
{
    double s = r->seconds > 0 ? r->seconds : 1;
    printf("%s: %.1f s, %s loop", r->load, r->seconds, r->rate > 0 ? "open" : "closed");
    if (r->rate > 0)
        printf(" at %.0f requests/s", r->rate);
    if (r->threads > 1)
        printf(", %u threads", r->threads);
    if (r->partial)
        printf("\n  PARTIAL      %s", r->partial);
    printf("\n  rate         %.0f requests/s, %.0f records/s, %.1f MB/s\n", (double)r->requests / s,
           (double)r->records / s, (double)r->bytes / s / 1e6);
    result_quantiles_line("latency us", &r->latency);
    if (r->hiccup.count)
        result_quantiles_line("hiccups us", &r->hiccup);
    printf("  CPU          load busy %.0f %% of its busiest thread%s", busy_share(r),
           result_load_is_limit(r) ? " (it is the limit, not the broker)" : "");
    if (r->broker_cpu_s >= 0)
        printf(", broker %.0f %%, resident %.1f MB", 100 * r->broker_cpu_s / s,
               (double)r->broker_rss_kb / 1024);
    printf("\n");
    if (r->unsent)
        printf("  unsent       %llu were due and could not be sent\n",
               (unsigned long long)r->unsent);
    if (r->errors)
        codes_line(r);
    if (r->unchecked)
        printf("  unchecked    %llu compressed batches: the values in them were not looked at\n",
               (unsigned long long)r->unchecked);
    if (r->faults)
        printf("  faults       %llu in what was read\n", (unsigned long long)r->faults);
}

void result_hiccups(struct result *r, double seconds)
{
    int64_t last = clock_mono_ns(clock_system()), end = last + (int64_t)(seconds * 1e9);
    while (last < end) {
        int64_t now = clock_mono_ns(clock_system());
        hist_record(&r->hiccup, (uint64_t)(now - last));
        last = now;
    }
}

double process_cpu_s(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *f = pid > 0 ? fopen(path, "r") : NULL;
    if (!f)
        return -1;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    text[n] = 0;
    const char *after = strrchr(text, ')'); /* the name may hold spaces */
    unsigned long user, system;
    if (!after ||
        sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
        return -1;
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

uint64_t process_rss_kb(int pid)
{
    char path[64];
    unsigned long size, resident;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *f = pid > 0 ? fopen(path, "r") : NULL;
    if (!f)
        return 0;
    int n = fscanf(f, "%lu %lu", &size, &resident);
    fclose(f);
    return n == 2 ? (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024 : 0;
}
