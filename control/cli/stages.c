#include "control/cli/stages.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "control/cli/http.h"

#define stages_max    32
#define buckets_max   64
#define name_max      32
#define bucket_prefix "sluice_stage_seconds_bucket{"

/* One histogram of the page: counts up to and with each edge. */
struct stage {
    char class_name[name_max], stage_name[name_max];
    double edge[buckets_max]; /* seconds */
    uint64_t below[buckets_max];
    int n;
};

/* The edge below which a share q of the counts lies, in us; half a bucket's width is its error. */
static double percentile(const struct stage *s, double q)
{
    uint64_t all = s->below[s->n - 1], want = (uint64_t)(q * (double)all + 0.5);
    for (int i = 0; i < s->n; i++)
        if (s->below[i] >= want)
            return s->edge[i] * 1e6;
    return s->edge[s->n - 1] * 1e6;
}

static struct stage *stage_of(struct stage *stages, int *n, const char *cls, const char *name)
{
    for (int i = 0; i < *n; i++)
        if (strcmp(stages[i].class_name, cls) == 0 && strcmp(stages[i].stage_name, name) == 0)
            return &stages[i];
    if (*n == stages_max)
        return NULL;
    struct stage *s = &stages[(*n)++];
    snprintf(s->class_name, sizeof(s->class_name), "%s", cls);
    snprintf(s->stage_name, sizeof(s->stage_name), "%s", name);
    s->n = 0;
    return s;
}

static void read_line(const char *line, struct stage *stages, int *n)
{
    char cls[name_max], name[name_max], edge[name_max];
    unsigned long long count;
    if (sscanf(line, bucket_prefix "class=\"%31[a-z_]\",stage=\"%31[a-z_]\",le=\"%31[^\"]\"} %llu",
               cls, name, edge, &count) != 4)
        return;
    struct stage *s = stage_of(stages, n, cls, name);
    if (s && s->n < buckets_max && strcmp(edge, "+Inf") != 0) {
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
        read_line(line, stages, &n);
    if (n > 0)
        fprintf(out, "%-10s %-10s %14s %12s %12s %12s\n", "class", "stage", "count", "p50 us <",
                "p99 us <", "p99.9 us <");
    for (int i = 0; i < n; i++) {
        const struct stage *s = &stages[i];
        if (s->n == 0 || s->below[s->n - 1] == 0)
            continue;
        fprintf(out, "%-10s %-10s %14llu %12.1f %12.1f %12.1f\n", s->class_name, s->stage_name,
                (unsigned long long)s->below[s->n - 1], percentile(s, 0.5), percentile(s, 0.99),
                percentile(s, 0.999));
    }
    free(stages);
    return n > 0 ? 0 : ERR_MALFORMED;
}

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

int stages_print(const char *address, FILE *out, char *why, size_t why_size)
{
    int fd = http_ask(address, "GET", "/metrics", why, why_size);
    if (fd < 0)
        return fd;
    char *page = malloc(stages_page_bytes_max);
    int err = page ? read_page(fd, page, stages_page_bytes_max) : ERR_NO_MEMORY;
    close(fd);
    if (!err)
        err = stages_table(page, out);
    if (err)
        snprintf(why, why_size, "%s does not show stage clocks: %s", address, err_text(err));
    free(page);
    return err;
}
