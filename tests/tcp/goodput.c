/*
 * goodput: what arrives per second under loss, from the simulator, compared with the table that is kept.
 *
 *   goodput table.txt     each row within a quarter of the kept one; exit 1 otherwise
 *   goodput --print       the table as it is now
 *
 * One stream of 6 MB over 1 Gbit/s, queue of one bandwidth-delay product (at least 64 kB), MTU 1,500,
 * window 4 MB, seed 1 to 3; the median. Times are virtual: the figures do not depend on the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "tests/tcp/world.h"
#include "tests/unit/core/with_eal.h"

#define BYTES 6000000u
#define RATE  125000000u

struct row {
    const char *name;
    enum tcp_congestion congestion;
    bool sack;
    uint32_t reorder;
};

static const struct row rows[] = {
    {"cubic", TCP_CUBIC, true, 0},
    {"newreno", TCP_NEWRENO, true, 0},
    {"cubic-nosack", TCP_CUBIC, false, 0},
    {"cubic-reorder", TCP_CUBIC, true, 50000},
};
static const uint32_t losses[] = {0, 1000, 10000}; /* millionths */
static const int64_t rtts[] = {1000000, 50000000};

static double once(struct world *w, struct world_pools *pools, const struct row *r, uint32_t loss,
                   int64_t rtt, uint64_t seed)
{
    world_init(w, pools, seed);
    for (int i = 0; i < 2; i++) {
        struct net_path *p = &w->net.path[i];
        p->delay = rtt / 2;
        p->rate = RATE;
        p->queue = (uint32_t)(RATE * (double)rtt / 1e9);
        if (p->queue < 64000)
            p->queue = 64000;
        p->loss = i == 0 ? loss : 0;
        p->reorder = i == 0 ? r->reorder : 0;
        p->jitter = rtt / 2;
        w->options[i].congestion = r->congestion;
        w->options[i].sack = r->sack;
        w->options[i].ecn = false;
        w->host[i].app[0].window = 4 << 20;
    }
    struct world_app *a = &w->host[0].app[0];
    a->to_send = BYTES;
    a->chunk = 65536;
    a->queue_max = 6 << 20;
    int64_t start = w->now;
    world_start(w);
    CHECK(world_run(w, start + 36000000000000));
    double seconds = (double)(w->now - start - rtt) / 1e9;
    world_check_done(w);
    world_end(w);
    return BYTES / seconds / 1e6;
}

static double median(double *v)
{
    double low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];
    return v[2] < low ? low : v[2] > high ? high : v[2];
}

static bool differs(const char *table, const char *key, double now)
{
    const char *at = strstr(table, key);
    if (at == NULL)
        return true;
    double kept = strtod(at + strlen(key), NULL);
    return now < kept * 0.75 || now > kept * 1.25 + 0.1;
}

int main(int argc, char **argv)
{
    static struct world w;
    static struct world_pools pools;
    static char table[16384];
    bool print = argc == 2 && strcmp(argv[1], "--print") == 0;
    if (!print) {
        FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
        if (f == NULL || fread(table, 1, sizeof table - 1, f) == 0)
            return 2;
        fclose(f);
    }
    with_eal(256);
    world_pools_make(&pools, 16383);
    int bad = 0;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
        for (size_t t = 0; t < 2; t++)
            for (size_t l = 0; l < sizeof losses / sizeof losses[0]; l++) {
                double v[3];
                for (uint64_t seed = 0; seed < 3; seed++)
                    v[seed] = once(&w, &pools, &rows[r], losses[l], rtts[t], seed + 1);
                char key[64];
                snprintf(key, sizeof key, "%-14s %3d ms %5.2f %% ", rows[r].name,
                         (int)(rtts[t] / 1000000), losses[l] / 1e4);
                double now = median(v);
                bool wrong = !print && differs(table, key, now);
                bad += wrong;
                printf("%s%8.2f%s\n", key, now, wrong ? "   <- not as kept" : "");
                fflush(stdout);
            }
    return bad > 0;
}
