#include "bench/scrape.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "bench/cable.h"

#define host_max      80
#define kind_max      16
#define bucket_prefix "sluice_stage_seconds_bucket{"

/* The counters and stages of one page; names point into it. */
struct page {
    char *text;
    struct scrape_counter counter[scrape_counters_max];
    struct scrape_stage stage[scrape_stages_max];
    uint32_t counters, stages;
};

struct scrape {
    char host[host_max];
    uint16_t port;
    struct page before, after; /* after holds the differences once it was read */
};

/* ---- the page ---- */

static int ask(const struct scrape *s, char *why, size_t why_size)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\nHost: sluice\r\n\r\n";
    struct sockaddr_storage sa;
    struct timeval wait = {.tv_sec = scrape_wait_s};
    if (cable_address(s->host, s->port, &sa) < 0) {
        snprintf(why, why_size, "--metrics: '%s' is not a numeric address", s->host);
        return ERR_INVALID;
    }
    int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ||
        connect(fd, (struct sockaddr *)&sa, sizeof(sa)) ||
        send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != sizeof(request) - 1) {
        if (fd >= 0)
            close(fd);
        snprintf(why, why_size,
                 "--metrics: nobody answers at %s port %u: is sluice.metrics.listener set?",
                 s->host, s->port);
        return ERR_CLOSED;
    }
    return fd;
}

/* Until the other end closes; NUL-terminated. */
static int receive(int fd, char *text)
{
    int64_t end = clock_mono_ns(clock_system()) + scrape_wait_s * CLOCK_NS_PER_S;
    size_t have = 0;
    ssize_t got = 1;
    while (got > 0) {
        if (have == scrape_page_bytes_max)
            return ERR_TOO_LARGE;
        if (clock_mono_ns(clock_system()) > end)
            return ERR_TIMEOUT;
        got = recv(fd, text + have, scrape_page_bytes_max - have, 0);
        have += got > 0 ? (size_t)got : 0;
    }
    text[have] = '\0';
    return got < 0 ? ERR_CLOSED : 0;
}

static struct scrape_stage *stage_of(struct page *p, const char *class_name, const char *name)
{
    for (uint32_t i = 0; i < p->stages; i++)
        if (strcmp(p->stage[i].class_name, class_name) == 0 &&
            strcmp(p->stage[i].stage_name, name) == 0)
            return &p->stage[i];
    if (p->stages == scrape_stages_max)
        return NULL;
    struct scrape_stage *s = &p->stage[p->stages++];
    *s = (struct scrape_stage){0};
    snprintf(s->class_name, sizeof(s->class_name), "%s", class_name);
    snprintf(s->stage_name, sizeof(s->stage_name), "%s", name);
    return s;
}

static void read_bucket(struct page *p, const char *line)
{
    char class_name[scrape_name_max], name[scrape_name_max], edge[scrape_name_max];
    double count;
    if (sscanf(line, bucket_prefix "class=\"%31[a-z_]\",stage=\"%31[a-z_]\",le=\"%31[^\"]\"} %lf",
               class_name, name, edge, &count) != 4)
        return;
    struct scrape_stage *s = stage_of(p, class_name, name);
    if (s && strcmp(edge, "+Inf") == 0) {
        s->count = (uint64_t)count;
    } else if (s && s->edges < scrape_edges_max) {
        s->edge[s->edges] = strtod(edge, NULL);
        s->below[s->edges++] = (uint64_t)count;
    }
}

/* line: name{labels} value, which is cut apart. */
static void read_counter(struct page *p, char *line)
{
    char *blank = strrchr(line, ' ');
    if (!blank || p->counters == scrape_counters_max)
        return;
    *blank = '\0';
    p->counter[p->counters++] = (struct scrape_counter){line, strtod(blank + 1, NULL)};
}

/* Takes p->text apart. */
static int read_page(struct page *p)
{
    char kind[kind_max] = "", *save = NULL;
    p->counters = p->stages = 0;
    for (char *line = strtok_r(p->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (line[0] == '#')
            sscanf(line, "# TYPE %*s %15s", kind);
        else if (strcmp(kind, "counter") == 0)
            read_counter(p, line);
        else if (strncmp(line, bucket_prefix, strlen(bucket_prefix)) == 0)
            read_bucket(p, line);
    }
    return p->counters ? 0 : ERR_MALFORMED;
}

static int fetch_page(struct scrape *s, struct page *p, char *why, size_t why_size)
{
    p->text = malloc(scrape_page_bytes_max + 1);
    int fd = p->text ? ask(s, why, why_size) : ERR_NO_MEMORY;
    if (fd < 0)
        return fd;
    int err = receive(fd, p->text);
    close(fd);
    if (!err)
        err = strncmp(p->text, "HTTP/1.", 7) == 0 && strncmp(p->text + 8, " 200", 4) == 0
                  ? read_page(p)
                  : ERR_MALFORMED;
    if (err)
        snprintf(why, why_size, "--metrics: %s port %u does not show Sluice's counters: %s",
                 s->host, s->port, err_text(err));
    return err;
}

/* ---- the difference ---- */

static double value_of(const struct page *p, const char *name, uint32_t hint)
{
    if (hint < p->counters && strcmp(p->counter[hint].name, name) == 0)
        return p->counter[hint].value;
    for (uint32_t i = 0; i < p->counters; i++)
        if (strcmp(p->counter[i].name, name) == 0)
            return p->counter[i].value;
    return 0;
}

/* False: it went back. before: NULL if there was none. */
static bool stage_minus(struct scrape_stage *s, const struct scrape_stage *before)
{
    if (!before)
        return true;
    for (uint32_t i = 0; i < s->edges && i < before->edges; i++) {
        if (s->below[i] < before->below[i])
            return false;
        s->below[i] -= before->below[i];
    }
    if (s->count < before->count)
        return false;
    s->count -= before->count;
    return true;
}

static int differences(struct scrape *s)
{
    struct page *p = &s->after;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->counters; i++) {
        double moved = p->counter[i].value - value_of(&s->before, p->counter[i].name, i);
        if (moved < 0)
            return ERR_RANGE;
        if (moved > 0)
            p->counter[kept++] = (struct scrape_counter){p->counter[i].name, moved};
    }
    p->counters = kept;
    kept = 0;
    for (uint32_t i = 0; i < p->stages; i++) {
        struct scrape_stage *now = &p->stage[i];
        if (!stage_minus(now, stage_of(&s->before, now->class_name, now->stage_name)))
            return ERR_RANGE;
        if (now->count)
            p->stage[kept++] = *now;
    }
    p->stages = kept;
    return 0;
}

int scrape_begin(struct scrape **out, const char *address, char *why, size_t why_size)
{
    struct scrape *s = calloc(1, sizeof(*s));
    const char *colon = strrchr(address, ':');
    size_t len = colon ? (size_t)(colon - address) : 0;
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;
    bool brackets = len > 2 && address[0] == '[' && address[len - 1] == ']';
    int err = s ? 0 : ERR_NO_MEMORY;
    if (!err && (len == 0 || len >= host_max || port == 0 || port > UINT16_MAX)) {
        snprintf(why, why_size, "--metrics: '%s' is not an address and a port", address);
        err = ERR_INVALID;
    }
    if (!err) {
        snprintf(s->host, sizeof(s->host), "%.*s", (int)(brackets ? len - 2 : len),
                 address + brackets);
        s->port = (uint16_t)port;
        err = fetch_page(s, &s->before, why, why_size);
    }
    if (err) {
        scrape_free(s);
        return err;
    }
    *out = s;
    return 0;
}

int scrape_end(struct scrape *s, char *why, size_t why_size)
{
    int err = fetch_page(s, &s->after, why, why_size);
    if (err)
        return err;
    err = differences(s);
    if (err)
        snprintf(why, why_size, "--metrics: counters went back: the broker was started anew");
    return err;
}

int scrape_of(struct scrape **out, const char *before, const char *after)
{
    struct scrape *s = calloc(1, sizeof(*s));
    if (!s)
        return ERR_NO_MEMORY;
    s->before.text = strdup(before);
    s->after.text = strdup(after);
    int err = s->before.text && s->after.text ? read_page(&s->before) : ERR_NO_MEMORY;
    if (!err)
        err = read_page(&s->after);
    if (!err)
        err = differences(s);
    if (err) {
        scrape_free(s);
        return err;
    }
    *out = s;
    return 0;
}

void scrape_free(struct scrape *s)
{
    if (!s)
        return;
    free(s->before.text);
    free(s->after.text);
    free(s);
}

/* ---- telling ---- */

uint32_t scrape_counters(const struct scrape *s, const struct scrape_counter **out)
{
    *out = s->after.counter;
    return s->after.counters;
}

uint32_t scrape_stages(const struct scrape *s, const struct scrape_stage **out)
{
    *out = s->after.stage;
    return s->after.stages;
}

double scrape_quantile_us(const struct scrape_stage *stage, double q)
{
    for (uint32_t i = 0; i < stage->edges; i++)
        if ((double)stage->below[i] >= q * (double)stage->count)
            return stage->edge[i] * 1e6;
    return stage->edges ? stage->edge[stage->edges - 1] * 1e6 : 0;
}

static void quoted(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', to);
        if ((unsigned char)*text >= ' ')
            fputc(*text, to);
    }
    fputc('"', to);
}

void scrape_json(const struct scrape *s, FILE *to)
{
    fprintf(to, "\"broker\": {\"counters\": {");
    for (uint32_t i = 0; i < s->after.counters; i++) {
        fprintf(to, "%s", i ? ", " : "");
        quoted(to, s->after.counter[i].name);
        fprintf(to, ": %.15g", s->after.counter[i].value);
    }
    fprintf(to, "}, \"stages\": [");
    for (uint32_t i = 0; i < s->after.stages; i++) {
        const struct scrape_stage *g = &s->after.stage[i];
        fprintf(to,
                "%s{\"class\": \"%s\", \"stage\": \"%s\", \"count\": %llu, \"p50_us\": %.1f, "
                "\"p99_us\": %.1f, \"p99.9_us\": %.1f}",
                i ? ", " : "", g->class_name, g->stage_name, (unsigned long long)g->count,
                scrape_quantile_us(g, 0.5), scrape_quantile_us(g, 0.99),
                scrape_quantile_us(g, 0.999));
    }
    fprintf(to, "]}");
}

void scrape_table(const struct scrape *s, FILE *to)
{
    fprintf(to, "broker, from before the warm-up to the end:\n  %-8s %-10s %12s %12s %12s %12s\n",
            "class", "stage", "count", "p50 us <", "p99 us <", "p99.9 us <");
    for (uint32_t i = 0; i < s->after.stages; i++) {
        const struct scrape_stage *g = &s->after.stage[i];
        fprintf(to, "  %-8s %-10s %12llu %12.1f %12.1f %12.1f\n", g->class_name, g->stage_name,
                (unsigned long long)g->count, scrape_quantile_us(g, 0.5),
                scrape_quantile_us(g, 0.99), scrape_quantile_us(g, 0.999));
    }
    for (uint32_t i = 0; i < s->after.counters; i++)
        fprintf(to, "  %-70s %.15g\n", s->after.counter[i].name, s->after.counter[i].value);
}
