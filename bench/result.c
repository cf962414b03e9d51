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

void result_init(struct result *r, const char *load)
{
    memset(r, 0, sizeof(*r));
    hist_init(&r->latency);
    hist_init(&r->hiccup);
    r->load = load;
    r->broker_cpu_s = -1;
}

static void quantiles_json(const char *name, const struct hist *h)
{
    printf(", \"%s\": {", name);
    for (size_t i = 0; i < quantile_count; i++)
        printf("\"%s\": %.1f, ", quantiles[i].name, (double)hist_quantile(h, quantiles[i].q) / 1e3);
    printf("\"max\": %.1f}", (double)h->max / 1e3);
}

void result_json(const struct result *r)
{
    printf("{\"load\": \"%s\", \"seconds\": %.3f, \"requests\": %llu, \"records\": %llu, "
           "\"bytes\": %llu, \"errors\": %llu, \"faults\": %llu, \"rate\": %.1f, "
           "\"requests_per_s\": %.0f, \"records_per_s\": %.0f, \"client_cpu_s\": %.3f, "
           "\"client_busy_s\": %.3f",
           r->load, r->seconds, (unsigned long long)r->requests, (unsigned long long)r->records,
           (unsigned long long)r->bytes, (unsigned long long)r->errors,
           (unsigned long long)r->faults, r->rate, (double)r->requests / r->seconds,
           (double)r->records / r->seconds, r->client_cpu_s, r->client_busy_s);
    if (r->errors)
        printf(", \"first_error\": \"%s\"", kerr_name(r->first_error));
    if (r->broker_cpu_s >= 0)
        printf(", \"broker_cpu_s\": %.3f, \"broker_rss_kb\": %llu", r->broker_cpu_s,
               (unsigned long long)r->broker_rss_kb);
    quantiles_json("latency_us", &r->latency);
    quantiles_json("hiccup_us", &r->hiccup);
    printf("}\n");
}

static void quantiles_line(const char *name, const struct hist *h)
{
    printf("  %-12s", name);
    for (size_t i = 0; i < quantile_count; i++)
        printf(" %s %.1f", quantiles[i].name, (double)hist_quantile(h, quantiles[i].q) / 1e3);
    printf(" max %.1f\n", (double)h->max / 1e3);
}

void result_table(const struct result *r)
{
    printf("%s: %.1f s, %s loop", r->load, r->seconds, r->rate > 0 ? "open" : "closed");
    if (r->rate > 0)
        printf(" at %.0f requests/s", r->rate);
    printf("\n  rate         %.0f requests/s, %.0f records/s, %.1f MB/s\n",
           (double)r->requests / r->seconds, (double)r->records / r->seconds,
           (double)r->bytes / r->seconds / 1e6);
    quantiles_line("latency us", &r->latency);
    quantiles_line("hiccups us", &r->hiccup);
    double share = 100 * r->client_busy_s / r->seconds;
    printf("  CPU          load busy %.0f %%%s", share,
           share > 95 ? " (it is the limit, not the broker)" : "");
    if (r->broker_cpu_s >= 0)
        printf(", broker %.0f %%, resident %.1f MB", 100 * r->broker_cpu_s / r->seconds,
               (double)r->broker_rss_kb / 1024);
    printf("\n");
    if (r->errors)
        printf("  errors       %llu, the first %s\n", (unsigned long long)r->errors,
               kerr_name(r->first_error));
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
