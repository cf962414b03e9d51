/*
 * result: what a load counted, and how it is told.
 *
 * Purpose: one struct for every load; a line of JSON for machines or a few lines for people.
 * Owner: the thread that counts; another may read the counts meanwhile (torn at worst). Memory: fixed (histograms are
 * large: keep it off the stack). Failure: none.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

#define result_slots_max 40 /* pieces of the measured time, for latency over time */
#define result_busy_max  95 /* per cent; busier than that, the load is what is measured */
#define result_codes_max 16 /* Kafka error codes told apart; further ones count together */

struct result_code {
    int16_t error;
    uint64_t count;
};

struct result_slot {
    uint64_t records;
    struct hist latency;
};

struct result {
    const char *load;
    uint32_t threads;
    uint32_t open; /* connections held (idle) */
    double seconds;
    uint64_t requests, records, bytes;
    uint64_t errors; /* replies with an error code: they are in no other count */
    int16_t first_error;
    struct result_code by_code[result_codes_max]; /* in the order in which they came */
    uint32_t codes;
    uint64_t other_codes; /* errors for which by_code had no room */
    uint64_t faults;      /* what --verify found wrong */
    uint64_t unchecked;   /* batches in which --verify 2 could not look at the values */
    uint64_t unsent;      /* due, and not sent when the time was over (overload) */
    double rate;          /* requests a second asked for; 0: closed loop */
    struct hist latency;  /* ns; in an open loop from the time at which the request was due */
    struct hist hiccup;   /* ns between two looks at the clock of an idle spin before the run */
    double client_cpu_s, client_busy_s; /* the load spins: busy is what it needed; sum of threads */
    double busiest_s;                   /* client_busy_s of the busiest thread */
    double broker_cpu_s;                /* -1: unknown */
    uint64_t broker_rss_kb;             /* 0: unknown */
    /* of the load's own stack; all 0 on kernel sockets: frames, their bytes both ways, bursts received */
    uint64_t frames_in, frames_out, wire_bytes, bursts;
    const char *partial; /* why it ended early, else NULL */
    /* latency over time; latency above is their sum once result_close was called */
    struct result_slot slot[result_slots_max];
    int64_t slot_ns, slot_end_ns, start_ns;
    uint32_t slot_at;
};

void result_init(struct result *r, const char *load);

/* The measured time begins and should take that long. */
void result_window(struct result *r, int64_t start_ns, double seconds);

/* now_ns never goes back. */
struct result_slot *result_next_slot(struct result *r, int64_t now_ns);
static inline struct result_slot *result_slot_at(struct result *r, int64_t now_ns)
{
    return now_ns < r->slot_end_ns ? &r->slot[r->slot_at] : result_next_slot(r, now_ns);
}

/* One answer with so much in it; its latency is told apart: in an open loop it may count when this does not. */
static inline void result_count(struct result *r, int64_t now_ns, uint64_t records, uint64_t bytes)
{
    r->requests++;
    r->records += records;
    r->bytes += bytes;
    result_slot_at(r, now_ns)->records += records;
}
static inline void result_latency(struct result *r, int64_t now_ns, int64_t since_ns)
{
    hist_record(&result_slot_at(r, now_ns)->latency, (uint64_t)(now_ns - since_ns));
}
/* A reply with this error code, not KERR_NONE. */
void result_error(struct result *r, int16_t error);

/* How many replies had it; 0 also for one that found no room in the table. */
uint64_t result_errors_of(const struct result *r, int16_t error);

/* Sums the slots up. Once, at the end. */
void result_close(struct result *r);

/* Adds another thread's closed result of the same stretch. */
void result_merge(struct result *into, const struct result *from);

/* second: what ran beside it (mixed), or NULL. more: further fields as JSON, or NULL. */
void result_json(const struct result *r, const struct result *second, const char *more);
void result_table(const struct result *r);

/* A histogram of ns by its quantiles in us: a line, or a field of an object that has one already. */
void result_quantiles_line(const char *name, const struct hist *h);
void result_quantiles_json(const char *name, const struct hist *h);

/* True if the load could not have gone faster itself. */
bool result_load_is_limit(const struct result *r);

/* Spins for that long and records every gap between two looks at the clock. */
void result_hiccups(struct result *r, double seconds);

/* CPU seconds and resident KiB of another process of this machine; -1 and 0 if it cannot be read. */
double process_cpu_s(int pid);
uint64_t process_rss_kb(int pid);

#endif
