#include "bench/cable.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"

#define cable_ring_entries 1024
#define cable_link_wait_s  10 /* for the other end of a memif */
#define cable_backlog      1024

static bool has_ports(const char *ports)
{
    return ports != NULL && ports[0] != '\0';
}

static int plan_memory(uint32_t threads, struct mem_plan *plan)
{
    return mem_plan_make(threads > 1 ? cable_memory_bytes / 2 : cable_memory_bytes, 1, plan);
}

uint32_t cable_eal_mb(const char *ports, uint32_t threads)
{
    struct mem_plan plan;
    struct dpdk_ports p;
    char why[256];
    if (plan_memory(threads, &plan) < 0)
        return 0;
    uint32_t mb = (threads > 0 ? threads : 1) * mem_plan_eal_mb(&plan);
    if (!has_ports(ports))
        return mb;
    if (dpdk_ports_parse(&p, ports, why, sizeof(why)) < 0)
        return 0;
    return mb + (uint32_t)(dpdk_ports_bytes(&p, 1, cable_packets) / MIB) + 16 * p.count;
}

static int kernel_up(struct cable *c, const struct cable_options *o, char *why, size_t why_size)
{
    int err = ring_init(&c->ring, cable_ring_entries, why, why_size);
    if (err)
        return err;
    c->ring_up = true;
    struct uring_options uo = {.ring = &c->ring,
                               .mem = &c->mem,
                               .events = o->events,
                               .conn_max = o->conn_max,
                               .listen_backlog = cable_backlog};
    err = uring_transport_new(&c->uring, &uo);
    if (err)
        snprintf(why, why_size, "transport: %s", err_text(err));
    return err;
}

/* A memif has a link when its other end is there. */
int cable_link(const struct cable *c, char *why, size_t why_size)
{
    int64_t end = clock_mono_ns(clock_system()) + cable_link_wait_s * CLOCK_NS_PER_S;
    for (uint32_t i = 0; i < c->ports.count; i++) {
        struct port_link link = {0};
        while (!link.up && clock_mono_ns(clock_system()) < end)
            port_link(c->ports.items[i].port, &link);
        if (!link.up) {
            snprintf(why, why_size, "port %s: no link after %d s", c->ports.items[i].device,
                     cable_link_wait_s);
            return ERR_TIMEOUT;
        }
    }
    return 0;
}

int cable_ports_open(struct dpdk_ports *out, const char *ports, char *why, size_t why_size)
{
    int err = dpdk_ports_parse(out, ports, why, why_size);
    return err ? err : dpdk_ports_open(out, 1, cable_packets, why, why_size);
}

static int ports_up(struct cable *c, const struct cable_options *o, char *why, size_t why_size)
{
    c->borrowed = o->open != NULL;
    int err = c->borrowed ? 0 : cable_ports_open(&c->ports, o->ports, why, why_size);
    if (err)
        return err;
    if (c->borrowed)
        c->ports = *o->open;
    struct dpdk_options d = {.ports = &c->ports,
                             .shards = 1,
                             .mem = &c->mem,
                             .rng = &c->rng,
                             .events = o->events,
                             .conn_max = o->conn_max,
                             .listen_backlog = cable_backlog};
    rng_seed(&c->rng, rng_entropy());
    err = dpdk_transport_new(&c->dpdk, &d, clock_mono_ns(clock_system()));
    if (err)
        snprintf(why, why_size, "transport: %s", err_text(err));
    return err;
}

int cable_up(struct cable *c, const struct cable_options *o, char *why, size_t why_size)
{
    struct mem_plan plan;
    *c = (struct cable){0};
    int err = plan_memory(o->threads, &plan);
    if (!err)
        err = mem_init(&c->mem, &plan, o->index);
    if (err) {
        snprintf(why, why_size, "memory: %s", err_text(err));
        return err;
    }
    c->mem_up = true;
    err = has_ports(o->ports) ? ports_up(c, o, why, why_size) : kernel_up(c, o, why, why_size);
    if (err)
        cable_down(c);
    return err;
}

void cable_down(struct cable *c)
{
    dpdk_transport_free(c->dpdk);
    if (c->ring_up) {
        uring_transport_free(c->uring);
        ring_fini(&c->ring);
    }
    if (!c->borrowed)
        dpdk_ports_close(&c->ports);
    if (c->mem_up)
        mem_fini(&c->mem);
    *c = (struct cable){0};
}

int cable_connect(struct cable *c, const struct sockaddr *address, void *user, struct tconn **out)
{
    return c->dpdk ? dpdk_transport_connect(c->dpdk, address, user, out)
                   : uring_transport_connect(c->uring, address, user, out);
}

int cable_listen(struct cable *c, const struct sockaddr *address, uint16_t *port)
{
    int errnum;
    return c->dpdk ? dpdk_transport_listen(c->dpdk, address, 0, port)
                   : uring_transport_listen(c->uring, address, 0, port, &errnum);
}

uint32_t cable_receive(struct cable *c, int64_t now_ns, uint32_t budget)
{
    return c->dpdk ? dpdk_transport_receive(c->dpdk, now_ns, budget) : ring_reap(&c->ring, budget);
}

uint32_t cable_flush(struct cable *c, int64_t now_ns, uint32_t budget)
{
    if (c->dpdk)
        return dpdk_transport_flush(c->dpdk, now_ns, budget);
    uint32_t work = uring_transport_flush(c->uring, now_ns, budget);
    ring_submit(&c->ring);
    return work;
}

struct cable_wire cable_wire(const struct cable *c)
{
    struct cable_wire sum = {0};
    for (uint32_t i = 0; c->dpdk != NULL && i < c->ports.count; i++) {
        const struct lane_counters *n =
            lane_counters(dpdk_net_lane(dpdk_transport_net(c->dpdk), i));
        sum.frames_in += n->rx_frames;
        sum.frames_out += n->tx_frames;
        sum.bytes_in += n->rx_bytes;
        sum.bytes_out += n->tx_bytes;
    }
    return sum;
}

int cable_address(const char *host, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return 0;
    }
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return 0;
    }
    return ERR_INVALID;
}
