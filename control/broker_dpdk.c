/*
 * broker_dpdk: network ports for the listeners whose sluice.transport is dpdk: their share of the
 * memory, opened before the shards, closed after them, and the transport on each shard.
 */
#include <stdio.h>

#include "base/err.h"
#include "base/log.h"
#include "base/rng.h"
#include "control/broker_impl.h"

#define packet_share      4    /* one part in so many of sluice.memory becomes packet buffers */
#define packet_bytes_used 1000 /* request bytes that a packet buffer is counted on to hold */
#define port_eal_mb       8    /* rings and queues of one port, in EAL's heap */

static bool wanted(const struct broker *b)
{
    for (uint32_t i = 0; i < b->listeners.count; i++)
        if (b->listeners.items[i].serves &&
            b->listeners.items[i].config->transport == CONFIG_TRANSPORT_DPDK)
            return true;
    return false;
}

static int text_get(const struct broker *b, char *out, size_t size, char *why, size_t why_size)
{
    struct str text = STR("");
    if (config_has(b->config, CONFIG_SLUICE_DPDK_PORTS))
        text = config_string(b->config, CONFIG_SLUICE_DPDK_PORTS);
    if (text.len >= size) {
        snprintf(why, why_size, "sluice.dpdk.ports is too long");
        return ERR_TOO_LARGE;
    }
    snprintf(out, size, "%.*s", STR_ARG(text));
    return 0;
}

static bool has_address(const struct dpdk_ports *p, const struct sockaddr_storage *a)
{
    struct ip_addr want = a->ss_family == AF_INET6
                              ? ip_addr_v6(&((const struct sockaddr_in6 *)a)->sin6_addr)
                              : ip_addr_v4(&((const struct sockaddr_in *)a)->sin_addr);
    bool made = false; /* a port makes addresses that are not known yet */
    for (uint32_t i = 0; i < p->count; i++) {
        made |= p->items[i].autoconf;
        for (uint32_t k = 0; k < p->items[i].address_count; k++)
            if (ip_addr_eq(&p->items[i].addresses[k].addr, &want))
                return true;
    }
    return ip_addr_is_any(&want) || (made && a->ss_family == AF_INET6);
}

static int addresses_check(const struct broker *b, char *why, size_t why_size)
{
    for (uint32_t i = 0; i < b->listeners.count; i++) {
        const struct listener *l = &b->listeners.items[i];
        if (!l->serves || l->config->transport != CONFIG_TRANSPORT_DPDK ||
            has_address(&b->ports, &l->address))
            continue;
        snprintf(why, why_size, "listener %.*s: %.*s is no address of a port in sluice.dpdk.ports",
                 STR_ARG(l->config->name), STR_ARG(l->config->host));
        return ERR_INVALID;
    }
    return 0;
}

int broker_dpdk_plan(struct broker *b, uint64_t *memory, char *why, size_t why_size)
{
    char text[dpdk_text_bytes_max];
    if (!wanted(b)) {
        if (config_has(b->config, CONFIG_SLUICE_DPDK_PORTS))
            log_warn("broker", "sluice.dpdk.ports has no effect: no listener's sluice.transport is "
                               "dpdk");
        return 0;
    }
    int err = text_get(b, text, sizeof(text), why, why_size);
    if (!err)
        err = dpdk_ports_parse(&b->ports, text, why, why_size);
    if (!err)
        err = addresses_check(b, why, why_size);
    if (err)
        return err;
    uint64_t budget = *memory / packet_share;
    uint64_t thousand = dpdk_ports_bytes(&b->ports, b->shard_count, 1000);
    b->packets = (uint32_t)(budget * 1000 / thousand);
    if (b->packets < dpdk_packets_min) {
        snprintf(why, why_size,
                 "sluice.memory=%llu is too little for the packet buffers of %u ports and %u "
                 "shards",
                 (unsigned long long)*memory, b->ports.count, b->shard_count);
        return ERR_TOO_LARGE;
    }
    *memory -= budget;
    return 0;
}

void broker_dpdk_bound(struct broker *b)
{
    uint64_t held = (uint64_t)b->packets * packet_bytes_used;
    if (b->ports.count == 0 || held >= b->plan.request_bytes)
        return;
    b->plan.request_bytes = held;
    if (b->plan.request_max > held / 2)
        b->plan.request_max = held / 2;
}

uint32_t broker_dpdk_eal_mb(const struct broker *b)
{
    uint64_t bytes = dpdk_ports_bytes(&b->ports, b->shard_count, b->packets);
    return (uint32_t)(bytes / MIB) + 1 + b->ports.count * port_eal_mb;
}

int broker_dpdk_open(struct broker *b, char *why, size_t why_size)
{
    return dpdk_ports_open(&b->ports, b->shard_count, b->packets, why, why_size);
}

int broker_dpdk_captures(struct broker *b, char *why, size_t why_size)
{
    struct clock *clock = b->seams.clock;
    int64_t bytes = config_long(b->config, CONFIG_SLUICE_CAPTURE_BYTES);
    int64_t wall_offset = clock_wall_ms(clock) * CLOCK_NS_PER_MS - clock_mono_ns(clock);
    uint32_t lanes = b->shard_count * b->ports.count;
    if (bytes == 0 || lanes == 0)
        return 0;
    int err = capture_set_new(&b->captures, (uint64_t)bytes, lanes);
    if (err) {
        snprintf(why, why_size, "sluice.capture.bytes=%lld: %s (at least %d for each of %u lanes)",
                 (long long)bytes, err_text(err), capture_lane_bytes_min, lanes);
        return err;
    }
    for (uint32_t i = 0; i < lanes; i++) {
        struct dpdk_net *n = dpdk_transport_net(b->shards[i / b->ports.count].dpdk);
        lane_capture(dpdk_net_lane(n, i % b->ports.count), capture_set_lane(b->captures, i),
                     wall_offset);
    }
    return 0;
}

int broker_dpdk_shard(struct broker_shard *s, uint32_t conn_max)
{
    struct broker *b = s->broker;
    struct dpdk_options o = {
        .ports = &b->ports,
        .shard = s->shard.index,
        .shards = b->shard_count,
        .mem = &s->shard.mem,
        .rng = &s->shard.rng,
        .events = s->filter ? filter_lower_events(s->filter) : kafka_events(s->kafka),
        .conn_max = conn_max,
        .listen_backlog = (uint32_t)config_int(b->config, CONFIG_SOCKET_LISTEN_BACKLOG_SIZE),
        .dad_transmits = 1,
        .ring = &s->ring,
        .wheel = &s->shard.wheel,
        .agents = b->shard_count > 1 ? b->agents : NULL,
    };
    if (b->ports.count == 0)
        return 0;
    b->agents[s->shard.index] = &s->shard.agent;
    int err = dpdk_transport_new(&s->dpdk, &o, clock_mono_ns(b->seams.clock));
    s->parking.transport = s->dpdk;
    return err;
}
