#include "bench/frames.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "bench/cable.h"

#define burst_max      64
#define ethertype_test 0x88b5 /* for local experiments (IEEE 802) */
#define stall_s        10
#define clock_bursts   32 /* bursts between two looks at the clock */

struct frames {
    const struct frames_options *o;
    struct result *result;
    struct port *port;
    uint16_t id; /* DPDK's */
    struct rte_mempool *pool;
    uint64_t sent, returned, wrong;
    int64_t now_ns, moved_ns;
};

static volatile sig_atomic_t frames_stop;

static void on_signal(int signum)
{
    frames_stop = 1;
}

/* What the driver does not take at once is tried again: nothing is dropped here. */
static void send_all(struct frames *f, struct rte_mbuf **m, uint16_t n)
{
    uint16_t done = 0;
    while (done < n && !frames_stop)
        done += rte_eth_tx_burst(f->id, 0, m + done, (uint16_t)(n - done));
    if (done < n)
        rte_pktmbuf_free_bulk(m + done, n - done);
}

static void echo_turn(struct frames *f)
{
    struct rte_mbuf *m[burst_max];
    uint16_t n = rte_eth_rx_burst(f->id, 0, m, burst_max);
    for (uint16_t i = 0; i < n; i++) {
        uint8_t swap[6], *p = rte_pktmbuf_mtod(m[i], uint8_t *);
        memcpy(swap, p, 6);
        memcpy(p, p + 6, 6);
        memcpy(p + 6, swap, 6);
    }
    f->returned += n;
    send_all(f, m, n);
}

static void ask_fill(struct frames *f)
{
    struct rte_mbuf *m[burst_max];
    uint64_t room = f->o->outstanding - (f->sent - f->returned);
    uint16_t n = (uint16_t)(room < burst_max ? room : burst_max);
    if (n == 0 || rte_pktmbuf_alloc_bulk(f->pool, m, n) < 0)
        return;
    for (uint16_t i = 0; i < n; i++) {
        uint8_t *p = rte_pktmbuf_mtod(m[i], uint8_t *);
        memset(p, 0xff, 12);
        bytes_put_u16(p + 12, ethertype_test);
        bytes_put_u64(p + 14, f->sent + i);
        m[i]->data_len = (uint16_t)(14 + f->o->bytes);
        m[i]->pkt_len = m[i]->data_len;
    }
    f->sent += n;
    send_all(f, m, n);
}

/* Frames come back in order; others than ours are passed over. */
static void ask_take(struct frames *f)
{
    struct rte_mbuf *m[burst_max];
    uint16_t n = rte_eth_rx_burst(f->id, 0, m, burst_max);
    for (uint16_t i = 0; i < n; i++) {
        const uint8_t *p = rte_pktmbuf_mtod(m[i], const uint8_t *);
        if (m[i]->data_len < 22 || bytes_get_u16(p + 12) != ethertype_test)
            continue;
        f->wrong += bytes_get_u64(p + 14) != f->returned;
        f->returned++;
    }
    if (n > 0) {
        f->moved_ns = f->now_ns;
        rte_pktmbuf_free_bulk(m, n);
    }
}

static void spin(struct frames *f, double seconds)
{
    int64_t now = clock_mono_ns(clock_system());
    int64_t end = seconds > 0 ? now + (int64_t)(seconds * 1e9) : INT64_MAX;
    f->moved_ns = now;
    for (; now < end && !frames_stop; now = clock_mono_ns(clock_system())) {
        f->now_ns = now;
        for (int i = 0; i < clock_bursts; i++) {
            if (f->o->ask) {
                ask_fill(f);
                ask_take(f);
            } else {
                echo_turn(f);
            }
        }
        if (f->o->ask && now - f->moved_ns > stall_s * CLOCK_NS_PER_S)
            return;
    }
}

static int measure(struct frames *f, char *why, size_t why_size)
{
    if (!f->o->ask) {
        spin(f, f->o->seconds);
        return 0;
    }
    spin(f, f->o->warmup_s);
    uint64_t before = f->returned;
    int64_t start = clock_mono_ns(clock_system());
    spin(f, f->o->seconds);
    f->result->seconds = (double)(clock_mono_ns(clock_system()) - start) / 1e9;
    f->result->requests = f->returned - before;
    f->result->bytes = f->result->requests * f->o->bytes;
    f->result->faults = f->wrong;
    if (f->now_ns - f->moved_ns > stall_s * CLOCK_NS_PER_S) {
        snprintf(why, why_size, "no frame came back for %d s", stall_s);
        return ERR_TIMEOUT;
    }
    return 0;
}

int frames_run(const struct frames_options *options, struct result *out, char *why, size_t why_size)
{
    struct frames f = {.o = options, .result = out};
    struct cable cable = {0};
    char name[port_device_max];
    int err = dpdk_ports_parse(&cable.ports, options->ports, why, why_size);
    if (!err)
        err = dpdk_ports_open(&cable.ports, 1, cable_packets, why, why_size);
    if (!err && !options->ask) {
        printf("frames ready\n");
        fflush(stdout);
    } else if (!err) {
        err = cable_link(&cable, why, why_size);
    }
    if (!err) {
        const char *device = cable.ports.items[0].device;
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(device, ","), device);
        f.port = cable.ports.items[0].port;
        f.pool = port_pool(f.port, 0);
        err = rte_eth_dev_get_port_by_name(name, &f.id) == 0 ? 0 : ERR_NOT_FOUND;
    }
    if (!err && options->bytes > port_report(f.port)->mtu) {
        snprintf(why, why_size, "the frame is longer than the port's MTU");
        err = ERR_RANGE;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (!err)
        err = measure(&f, why, why_size);
    dpdk_ports_close(&cable.ports);
    return err;
}
