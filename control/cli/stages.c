#include "control/cli/stages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "control/cli/http.h"

#define stages_max     32
#define shard_rows_max 4096
#define buckets_max    256
#define name_max       32
#define quantiles_max  3
#define sum_prefix     "sluice_stage_seconds_bucket{"
#define shard_prefix   "sluice_shard_stage_seconds"

static const char *const quantile_text[quantiles_max] = {"0.5", "0.99", "0.999"};

/* ---- the shards together: histograms ---- */

/* One histogram of the page: counts up to and with each edge. */
struct stage {
    char class_name[name_max], stage_name[name_max];
    double edge[buckets_max]; /* seconds */
    uint64_t below[buckets_max];
    uint64_t all; /* beyond the last edge too */
    int n;
};

/*
 * The time under which a share q of the counts lies, in us: taken to lie evenly in their bucket, as Prometheus
 * does it. What is beyond the last edge is told as that edge.
 */
static double percentile(const struct stage *s, double q)
{
    double want = q * (double)s->all, from = 0;
    uint64_t before = 0;
    for (int i = 0; i < s->n; i++) {
        if ((double)s->below[i] >= want && s->below[i] > before) {
            double part = (want - (double)before) / (double)(s->below[i] - before);
            return (from + (s->edge[i] - from) * part) * 1e6;
        }
        from = s->edge[i];
        before = s->below[i];
    }
    return from * 1e6;
}

static struct stage *stage_of(struct stage *stages, int *n, const char *cls, const char *name)
{
    for (int i = *n - 1; i >= 0; i--)
        if (strcmp(stages[i].class_name, cls) == 0 && strcmp(stages[i].stage_name, name) == 0)
            return &stages[i];
    if (*n == stages_max)
        return NULL;
    struct stage *s = &stages[(*n)++];
    snprintf(s->class_name, sizeof(s->class_name), "%s", cls);
    snprintf(s->stage_name, sizeof(s->stage_name), "%s", name);
    return s;
}

static void read_bucket(const char *line, struct stage *stages, int *n)
{
    char cls[name_max], name[name_max], edge[name_max];
    unsigned long long count;
    if (sscanf(line, sum_prefix "class=\"%31[a-z_]\",stage=\"%31[a-z_]\",le=\"%31[^\"]\"} %llu",
               cls, name, edge, &count) != 4)
        return;
    struct stage *s = stage_of(stages, n, cls, name);
    if (!s)
        return;
    s->all = count; /* they come in rising order */
    if (s->n < buckets_max && strcmp(edge, "+Inf") != 0) {
        s->edge[s->n] = strtod(edge, NULL);
        s->below[s->n++] = count;
    }
}

int stages_table(char *page, FILE *out)
{
    struct stage *stages = calloc(stages_max, sizeof(*stages));
    char *save = NULL;
    int n = 0;
    if (!stages)
        return ERR_NO_MEMORY;
    for (char *line = strtok_r(page, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        read_bucket(line, stages, &n);
    if (n > 0)
        fprintf(out, "%-10s %-10s %14s %12s %12s %12s\n", "class", "stage", "count", "p50 us",
                "p99 us", "p99.9 us");
    for (int i = 0; i < n; i++) {
        const struct stage *s = &stages[i];
        if (s->all > 0)
            fprintf(out, "%-10s %-10s %14llu %12.2f %12.2f %12.2f\n", s->class_name, s->stage_name,
                    (unsigned long long)s->all, percentile(s, 0.5), percentile(s, 0.99),
                    percentile(s, 0.999));
    }
    free(stages);
    return n > 0 ? 0 : ERR_MALFORMED;
}

/* ---- each shard: quantiles ---- */

struct row {
    unsigned shard;
    char class_name[name_max], stage_name[name_max];
    double seconds[quantiles_max];
    unsigned long long count;
};

/* The lines of a row stand together. */
static struct row *row_of(struct row *rows, int *n, const struct row *named)
{
    struct row *last = *n > 0 ? &rows[*n - 1] : NULL;
    if (last && last->shard == named->shard && strcmp(last->class_name, named->class_name) == 0 &&
        strcmp(last->stage_name, named->stage_name) == 0)
        return last;
    if (*n == shard_rows_max)
        return NULL;
    rows[*n] = *named;
    return &rows[(*n)++];
}

static void read_quantile(const char *line, struct row *rows, int *n)
{
    struct row r = {0};
    char q[name_max];
    double seconds;
    unsigned long long count;
    if (sscanf(line,
               shard_prefix "{shard=\"%u\",class=\"%31[a-z_]\",stage=\"%31[a-z_]\",quantile=\"%31"
                            "[0-9.]\"} %lf",
               &r.shard, r.class_name, r.stage_name, q, &seconds) == 5) {
        struct row *to = row_of(rows, n, &r);
        for (int i = 0; to && i < quantiles_max; i++)
            if (strcmp(q, quantile_text[i]) == 0)
                to->seconds[i] = seconds;
    } else if (sscanf(line,
                      shard_prefix
                      "_count{shard=\"%u\",class=\"%31[a-z_]\",stage=\"%31[a-z_]\"} %llu",
                      &r.shard, r.class_name, r.stage_name, &count) == 4) {
        struct row *to = row_of(rows, n, &r);
        if (to)
            to->count = count;
    }
}

int stages_shards(char *page, FILE *out)
{
    struct row *rows = calloc(shard_rows_max, sizeof(*rows));
    char *save = NULL;
    bool there = false;
    int n = 0;
    if (!rows)
        return ERR_NO_MEMORY;
    for (char *line = strtok_r(page, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        there |= strncmp(line, "# TYPE " shard_prefix " ", strlen("# TYPE " shard_prefix " ")) == 0;
        read_quantile(line, rows, &n);
    }
    if (there)
        fprintf(out, "%-5s %-10s %-10s %14s %12s %12s %12s\n", "shard", "class", "stage", "count",
                "p50 us", "p99 us", "p99.9 us");
    for (int i = 0; i < n && there; i++)
        fprintf(out, "%-5u %-10s %-10s %14llu %12.2f %12.2f %12.2f\n", rows[i].shard,
                rows[i].class_name, rows[i].stage_name, rows[i].count, rows[i].seconds[0] * 1e6,
                rows[i].seconds[1] * 1e6, rows[i].seconds[2] * 1e6);
    free(rows);
    return there ? 0 : ERR_MALFORMED;
}

/* ---- from a broker ---- */

/* The whole answer, NUL-terminated. */
static int read_page(int fd, char *page, size_t size)
{
    size_t have = 0;
    ssize_t got = 1;
    while (got > 0 && have < size - 1) {
        got = recv(fd, page + have, size - 1 - have, 0);
        have += got > 0 ? (size_t)got : 0;
    }
    page[have] = 0;
    return got < 0 ? ERR_CLOSED : 0;
}

int stages_print(const char *address, bool by_shard, FILE *out, char *why, size_t why_size)
{
    int fd = http_ask(address, "GET", "/metrics", why, why_size);
    if (fd < 0)
        return fd;
    char *page = malloc(stages_page_bytes_max);
    int err = page ? read_page(fd, page, stages_page_bytes_max) : ERR_NO_MEMORY;
    close(fd);
    if (!err)
        err = by_shard ? stages_shards(page, out) : stages_table(page, out);
    if (err)
        snprintf(why, why_size, "%s does not show stage clocks: %s", address, err_text(err));
    free(page);
    return err;
}
