#include "control/metrics/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_mempool.h>

#include "base/check.h"
#include "base/err.h"
#include "control/metrics/lag.h"
#include "control/metrics/text.h"
#include "control/space.h"
#include "core/shard.h"
#include "core/stages.h"
#include "dataplane/kafka/kafka.h"
#include "dataplane/nic/lane.h"
#include "dataplane/proto/apis.h"
#include "storage/cache/cache.h"
#include "storage/io/io.h"
#include "storage/plog/plog.h"

#define label_bytes_max 128

typedef void metric_fn(struct text *t, const struct metrics *m);

static void write_build_info(struct text *t, const struct metrics *m)
{
    text_sample(t, "version=\"" SLUICE_VERSION "\"", 1);
}

static void write_ready(struct text *t, const struct metrics *m)
{
    text_sample(t, NULL, atomic_load(&m->state) == METRICS_READY);
}

static void write_uptime(struct text *t, const struct metrics *m)
{
    text_sample(t, NULL, (double)(clock_mono_ns(m->clock) - m->started_ns) / 1e9);
}

/* One sample for each shard. */
static void each_shard(struct text *t, const struct metrics *m,
                       double (*value)(const struct metrics_shard *s))
{
    for (uint32_t i = 0; i < m->shard_count; i++) {
        char label[label_bytes_max];
        snprintf(label, sizeof(label), "shard=\"%u\"", i);
        text_sample(t, label, value(&m->shards[i]));
    }
}

/* One sample: the sum over the shards. */
static void all_shards(struct text *t, const struct metrics *m,
                       double (*value)(const struct metrics_shard *s))
{
    double sum = 0;
    for (uint32_t i = 0; i < m->shard_count; i++)
        sum += value(&m->shards[i]);
    text_sample(t, NULL, sum);
}

#define VALUE(name, expression)                                                                    \
    static double value_##name(const struct metrics_shard *s)                                      \
    {                                                                                              \
        return (double)(expression);                                                               \
    }
#define PER_SHARD(name, expression)                                                                \
    VALUE(name, expression)                                                                        \
    static void write_##name(struct text *t, const struct metrics *m)                              \
    {                                                                                              \
        each_shard(t, m, value_##name);                                                            \
    }
#define SUMMED(name, expression)                                                                   \
    VALUE(name, expression)                                                                        \
    static void write_##name(struct text *t, const struct metrics *m)                              \
    {                                                                                              \
        all_shards(t, m, value_##name);                                                            \
    }

SUMMED(messages_in, kafka_counters(s->kafka)->records_in)
SUMMED(record_bytes_in, kafka_counters(s->kafka)->record_bytes_in)
SUMMED(record_bytes_out, kafka_counters(s->kafka)->record_bytes_out)
PER_SHARD(bytes_in, kafka_counters(s->kafka)->bytes_in)
PER_SHARD(bytes_out, kafka_counters(s->kafka)->bytes_out)
PER_SHARD(connections, kafka_counters(s->kafka)->conns)
PER_SHARD(requests_in_work, kafka_counters(s->kafka)->requests_in_work)
PER_SHARD(conns_closed_bad, kafka_counters(s->kafka)->conns_closed_bad)
PER_SHARD(reserve_waits, kafka_counters(s->kafka)->reserve_waits)
PER_SHARD(reserve_used, s->shard->mem.requests.used)
PER_SHARD(reserve_limit, s->shard->mem.requests.limit)
PER_SHARD(shard_busy, (double)s->shard->busy_ns / 1e9)
PER_SHARD(shard_idle, (double)s->shard->idle_ns / 1e9)
PER_SHARD(shard_steps, s->shard->steps)
PER_SHARD(shard_parks, s->shard->parks)
PER_SHARD(shard_yields, s->shard->yields)

/* The shards see the errors in what they answer themselves; the others' answers come to them whole. */
static bool tells_errors(int16_t key)
{
    return key == API_Produce || key == API_Fetch || key == API_ListOffsets;
}

static void write_by_api(struct text *t, const struct metrics *m, bool errors)
{
    for (int16_t key = 0; key < api_key_count; key++) {
        uint64_t n = 0, seen = 0;
        if (errors && !tells_errors(key))
            continue;
        char label[label_bytes_max];
        for (uint32_t i = 0; i < m->shard_count; i++) {
            const struct kafka_counters *c = kafka_counters(m->shards[i].kafka);
            n += errors ? c->errors[key] : c->requests[key];
            seen += c->requests[key] + c->errors[key];
        }
        snprintf(label, sizeof(label), "request=\"%s\"", api_name(key));
        if (seen)
            text_sample(t, label, (double)n);
    }
}

static void write_requests(struct text *t, const struct metrics *m)
{
    write_by_api(t, m, false);
}

static void write_errors(struct text *t, const struct metrics *m)
{
    write_by_api(t, m, true);
}

/* ---- stage clocks ---- */

static const char *stage_name(enum stamp stamp)
{
    return stamp == STAMP_RECEIVED ? "total" : stamp_name(stamp);
}

static void write_stage_sum(struct text *t, const struct metrics *m, enum stage_class cls,
                            enum stamp stamp)
{
    struct hist sum;
    char label[label_bytes_max];
    hist_init(&sum);
    for (uint32_t i = 0; i < m->shard_count; i++)
        hist_merge(&sum, &kafka_stage_clocks(m->shards[i].kafka)->gap[cls][stamp]);
    snprintf(label, sizeof(label), "class=\"%s\",stage=\"%s\"", stage_class_name(cls),
             stage_name(stamp));
    text_hist(t, label, &sum);
}

static void write_stage_seconds(struct text *t, const struct metrics *m)
{
    for (int cls = 0; cls < STAGE_CLASS_COUNT; cls++)
        for (int stamp = 0; stamp < STAMP_COUNT; stamp++)
            if (stage_class_passes(cls, stamp))
                write_stage_sum(t, m, cls, stamp);
}

/* Buckets of every shard would be too many lines: quantiles, and only where there is something. */
static void write_shard_stages(struct text *t, const struct metrics *m, uint32_t shard)
{
    const struct stage_clocks *clocks = kafka_stage_clocks(m->shards[shard].kafka);
    for (int cls = 0; cls < STAGE_CLASS_COUNT; cls++) {
        for (int stamp = 0; stamp < STAMP_COUNT; stamp++) {
            const struct hist *h = &clocks->gap[cls][stamp];
            char label[label_bytes_max];
            snprintf(label, sizeof(label), "shard=\"%u\",class=\"%s\",stage=\"%s\"", shard,
                     stage_class_name(cls), stage_name(stamp));
            if (h->count > 0)
                text_summary(t, label, h);
        }
    }
}

static void write_shard_stage_seconds(struct text *t, const struct metrics *m)
{
    for (uint32_t i = 0; i < m->shard_count; i++)
        write_shard_stages(t, m, i);
}

/* ---- buffers ---- */

static void write_pool_buffers(struct text *t, const struct metrics *m)
{
    for (uint32_t i = 0; i < m->shard_count; i++) {
        const struct mem *mem = &m->shards[i].shard->mem;
        const struct {
            const char *name;
            const struct rte_mempool *pool;
        } pools[] = {{"rx", mem->rx_pool}, {"tx", mem->tx_pool}, {"ref", mem->ref_pool}};
        for (size_t k = 0; k < sizeof(pools) / sizeof(*pools); k++) {
            char label[label_bytes_max];
            const char *form = "shard=\"%u\",pool=\"%s\",state=\"%s\"";
            snprintf(label, sizeof(label), form, i, pools[k].name, "free");
            text_sample(t, label, rte_mempool_avail_count(pools[k].pool));
            snprintf(label, sizeof(label), form, i, pools[k].name, "all");
            text_sample(t, label, pools[k].pool->size);
        }
    }
}

/* ---- network ports ---- */

void metrics_lane_add(struct metrics *m, const struct lane_counters *counters, uint32_t shard,
                      const char *device)
{
    CHECK(m->lane_count < metrics_lanes_max);
    struct metrics_lane *l = &m->lanes[m->lane_count++];
    l->counters = counters;
    l->shard = shard;
    snprintf(l->port, sizeof(l->port), "%.*s", (int)strcspn(device, ",\"\\\n"), device);
}

static void lane_sample(struct text *t, const struct metrics_lane *l, const char *name,
                        const char *value, uint64_t n)
{
    char label[label_bytes_max];
    snprintf(label, sizeof(label), "shard=\"%u\",port=\"%s\",%s=\"%s\"", l->shard, l->port, name,
             value);
    text_sample(t, label, (double)n);
}

static void write_port_frames(struct text *t, const struct metrics *m)
{
    for (const struct metrics_lane *l = m->lanes; l < m->lanes + m->lane_count; l++) {
        lane_sample(t, l, "way", "in", l->counters->rx_frames);
        lane_sample(t, l, "way", "out", l->counters->tx_frames);
    }
}

static void write_port_bytes(struct text *t, const struct metrics *m)
{
    for (const struct metrics_lane *l = m->lanes; l < m->lanes + m->lane_count; l++) {
        lane_sample(t, l, "way", "in", l->counters->rx_bytes);
        lane_sample(t, l, "way", "out", l->counters->tx_bytes);
    }
}

static void write_port_handed(struct text *t, const struct metrics *m)
{
    for (const struct metrics_lane *l = m->lanes; l < m->lanes + m->lane_count; l++) {
        lane_sample(t, l, "way", "in", l->counters->rx_handed);
        lane_sample(t, l, "way", "out", l->counters->tx_handed);
    }
}

static void write_port_drops(struct text *t, const struct metrics *m)
{
    static const char *const reasons[LANE_DROP_COUNT] = {
        [LANE_DROP_RX_HANDOVER] = "rx_handover", [LANE_DROP_RX_COPY] = "rx_copy",
        [LANE_DROP_TX_FULL] = "tx_full",         [LANE_DROP_TX_STUCK] = "tx_stuck",
        [LANE_DROP_TX_HANDOVER] = "tx_handover", [LANE_DROP_TX_NO_MBUF] = "tx_no_buffer",
        [LANE_DROP_TX_LENGTH] = "tx_length",     [LANE_DROP_TX_REFUSED] = "tx_refused",
    };
    for (const struct metrics_lane *l = m->lanes; l < m->lanes + m->lane_count; l++)
        for (int i = 0; i < LANE_DROP_COUNT; i++)
            lane_sample(t, l, "reason", reasons[i], l->counters->drops[i]);
}

/* ---- log memory ---- */

static struct cache_stats stats_of(const struct metrics_shard *s)
{
    struct cache_stats stats;
    cache_stats(s->cache, &stats);
    return stats;
}

static void write_cache_chunks(struct text *t, const struct metrics *m)
{
    for (uint32_t i = 0; i < m->shard_count; i++) {
        struct cache_stats s = stats_of(&m->shards[i]);
        const struct {
            const char *name;
            uint32_t n;
        } states[] = {{"all", s.chunks}, {"free", s.free}, {"dirty", s.dirty}, {"lent", s.lent}};
        for (size_t k = 0; k < sizeof(states) / sizeof(*states); k++) {
            char label[label_bytes_max];
            snprintf(label, sizeof(label), "shard=\"%u\",state=\"%s\"", i, states[k].name);
            text_sample(t, label, states[k].n);
        }
    }
}

PER_SHARD(cache_evictions, stats_of(s).evictions)
PER_SHARD(cache_waits, stats_of(s).waits)

/* ---- the disk ---- */

PER_SHARD(disk_writes, s->disk->writes)
PER_SHARD(disk_write_bytes, s->disk->write_bytes)
PER_SHARD(disk_flushes, s->disk->flushes)

/* ---- reads of old data ---- */

PER_SHARD(read_requests, s->plogs->reads.disk_requests)
PER_SHARD(read_bytes, s->plogs->reads.disk_bytes)
PER_SHARD(read_ahead_bytes, s->plogs->reads.ahead_bytes)
PER_SHARD(read_ahead_wasted, s->plogs->reads.wasted_bytes)
PER_SHARD(read_ahead_hits, s->plogs->reads.ahead_hits)
PER_SHARD(read_under_way, s->plogs->reads.under_way)
PER_SHARD(read_waits, s->plogs->reads.waits)
PER_SHARD(read_gaps, s->plogs->reads.gaps)

static void write_read_chunks(struct text *t, const struct metrics *m)
{
    for (uint32_t i = 0; i < m->shard_count; i++) {
        char label[label_bytes_max];
        uint32_t all, left;
        plog_reads_chunks(m->shards[i].plogs, &all, &left);
        snprintf(label, sizeof(label), "shard=\"%u\",state=\"all\"", i);
        text_sample(t, label, all);
        snprintf(label, sizeof(label), "shard=\"%u\",state=\"free\"", i);
        text_sample(t, label, left);
    }
}

/* ---- log dirs ---- */

static void dir_sample(struct text *t, const struct metrics_dir *d, double value)
{
    char label[io_path_bytes_max + label_bytes_max];
    size_t n = (size_t)snprintf(label, sizeof(label), "log_dir=\"");
    for (const char *c = d->path; *c && n + 4 < sizeof(label); c++) {
        if (*c == '"' || *c == '\\')
            label[n++] = '\\';
        label[n++] = *c;
    }
    snprintf(label + n, sizeof(label) - n, "\"");
    text_sample(t, label, value);
}

#define PER_DIR(name, expression)                                                                  \
    static void write_##name(struct text *t, const struct metrics *m)                              \
    {                                                                                              \
        for (const struct metrics_dir *d = m->dirs; d < m->dirs + m->dir_count; d++)               \
            if (atomic_load(&d->space->total))                                                     \
                dir_sample(t, d, (double)(expression));                                            \
    }

PER_DIR(dir_free, atomic_load(&d->space->available))
PER_DIR(dir_mark, atomic_load(&d->space->mark))
PER_DIR(dir_level, atomic_load(&d->space->level))

static void write_group_lag(struct text *t, const struct metrics *m)
{
    if (m->lag)
        metrics_lag_write(m->lag, t);
}

static void write_resident(struct text *t, const struct metrics *m)
{
    unsigned long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");
    int n = f ? fscanf(f, "%lu %lu", &size, &resident) : 0;
    if (f)
        fclose(f);
    if (n == 2)
        text_sample(t, NULL, (double)resident * (double)sysconf(_SC_PAGESIZE));
}

static void write_cpu(struct text *t, const struct metrics *m)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) == 0)
        text_sample(t, NULL,
                    (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                        (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}

static void write_fds(struct text *t, const struct metrics *m)
{
    DIR *dir = opendir("/proc/self/fd");
    long n = 0;
    if (!dir)
        return;
    for (const struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    closedir(dir);
    text_sample(t, NULL, (double)(n - 1)); /* without the one just opened */
}

static const struct {
    const char *name, *type, *help;
    metric_fn *write;
} table[] = {
#define METRIC(function, name, type, labels, help) {name, type, help, write_##function},
#include "control/metrics/metrics.def"
#undef METRIC
};

int metrics_render(const struct metrics *m, char **out, size_t *len)
{
    struct text t = {0};
    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        text_metric(&t, table[i].name, table[i].type, table[i].help);
        table[i].write(&t, m);
    }
    return text_take(&t, out, len);
}
