#include "control/cli/ports.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "control/cli/ports_impl.h"
#include "core/eal.h"
#include "dataplane/nic/offload.h"
#include "dataplane/nic/quirks.h"
#include "dataplane/transport/dpdk_ports.h"

#define packet_bufs   (2 * port_rx_descriptors - 1) /* of a queue */
#define eal_mb_base   32
#define eal_mb_port   8 /* rings and queues of one */
#define link_step_ms  100
#define offload_kinds 5

/* ---- before EAL ---- */

void ports_parse(struct looked_at *l, const char *device)
{
    char text[dpdk_text_bytes_max];
    struct dpdk_ports *parsed = calloc(1, sizeof(*parsed));
    l->device = device;
    /* an address is not needed to look: ra=auto stands for one */
    int n = snprintf(text, sizeof(text), "%s;ra=auto", device);
    if (parsed == NULL)
        snprintf(l->refusal, sizeof(l->refusal), "%s", err_text(ERR_NO_MEMORY));
    else if (n < 0 || (size_t)n >= sizeof(text))
        snprintf(l->refusal, sizeof(l->refusal), "the device string is too long");
    else if (dpdk_ports_parse(parsed, text, l->refusal, sizeof(l->refusal)) == 0)
        l->port = parsed->items[0];
    if (parsed && l->refusal[0] == '\0' && parsed->count != 1)
        snprintf(l->refusal, sizeof(l->refusal), "a blank is in it");
    free(parsed);
}

int ports_eal(const struct looked_at *all, uint32_t count, uint32_t queues, char *why,
              size_t why_size)
{
    char args[eal_args_bytes_max];
    struct eal_state state;
    struct dpdk_ports *ports = calloc(1, sizeof(*ports));
    if (ports == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        if (all[i].refusal[0] == '\0')
            ports->items[ports->count++] = all[i].port;
    uint64_t bytes = dpdk_ports_bytes(ports, queues, packet_bufs);
    struct eal_options o = {
        .memory_mb = (uint32_t)(bytes / MIB) + eal_mb_base + eal_mb_port * ports->count,
        .extra_args = args,
    };
    int err = dpdk_ports_eal_args(ports, args, sizeof(args));
    if (!err)
        err = eal_up(&o, &state, why, why_size);
    free(ports);
    return err == ERR_EXISTS ? 0 : err;
}

/* ---- one port ---- */

/* Cards need seconds to agree with the other end. */
static struct port_link link_of(const struct looked_at *l)
{
    struct port_link link;
    port_link(l->port.port, &link);
    for (int ms = 0; !link.up && quirks_is_pci(l->device) && ms < ports_wait_ms_max;
         ms += link_step_ms) {
        usleep(link_step_ms * 1000);
        port_link(l->port.port, &link);
    }
    return link;
}

static void offloads_print(const struct port_report *r, const struct quirks *q, FILE *out)
{
    for (int i = 0; i < offload_kinds; i++) {
        char name[32];
        uint64_t one = 1ull << i;
        offload_text(one, name, sizeof(name));
        const char *by = r->negotiated & one ? "done by the port"
                         : one & port_tso    ? "segments are cut by our TCP"
                                             : "done in software";
        const char *reason = r->negotiated & one         ? ""
                             : !(r->offered & one)       ? " (not offered)"
                             : q && q->no_offloads & one ? " (offered, not trusted: a quirk)"
                                                         : " (offered, not without the others)";
        fprintf(out, "  %-12s %s, %s%s\n", name, r->asked & one ? "asked for" : "not asked for", by,
                reason);
    }
}

static void report_print(const struct looked_at *l, uint32_t queues, FILE *out)
{
    const struct port_report *r = port_report(l->port.port);
    const struct quirks *q = quirks_find(l->device);
    struct port_link link = link_of(l);
    fprintf(out, "  %-12s %s\n", "driver", r->driver);
    fprintf(out, "  %-12s %s", "link", link.up ? "up" : "down");
    if (link.up && link.mbps > 0)
        fprintf(out, ", %u Mb/s%s", link.mbps, link.full_duplex ? "" : " half duplex");
    fprintf(out, "\n  %-12s %02x:%02x:%02x:%02x:%02x:%02x\n", "MAC", r->mac[0], r->mac[1],
            r->mac[2], r->mac[3], r->mac[4], r->mac[5]);
    fprintf(out, "  %-12s %u\n", "MTU", r->mtu);
    fprintf(out, "  %-12s %u asked for, %u made, %u possible\n", "queues", queues, r->queues,
            r->queues_max);
    fprintf(out, "  %-12s %s\n", "steering",
            queues == 1  ? "not needed: one queue for one shard"
            : r->steered ? "by the port"
                         : "in software: shards hand frames over");
    offloads_print(r, q, out);
    fprintf(out, "  %-12s %s\n", "idle", r->has_fd ? "waits on a descriptor" : "sleeps in steps");
    for (uint32_t i = 0; q && quirks_text(q, i) != NULL; i++)
        fprintf(out, "  %-12s %s\n", "quirk", quirks_text(q, i));
}

bool ports_open(struct looked_at *l, uint32_t queues)
{
    struct port_options o = {
        .device = l->port.device,
        .netns = l->port.netns[0] ? l->port.netns : NULL,
        .mtu = l->port.mtu,
        .shards = queues,
        .offloads = port_offloads_all,
        .unshared = true,
        .pool_bufs = packet_bufs,
    };
    return l->refusal[0] == '\0' &&
           port_open(&l->port.port, &o, l->refusal, sizeof(l->refusal)) == 0;
}

static bool look(struct looked_at *l, uint32_t queues, FILE *out)
{
    fprintf(out, "%s\n", l->device);
    if (!ports_open(l, queues)) {
        fprintf(out, "  %-12s %s\n", "refused", l->refusal);
        return false;
    }
    report_print(l, queues, out);
    port_close(l->port.port);
    return true;
}

int ports_print(const char *const *devices, uint32_t count, uint32_t queues, FILE *out, char *why,
                size_t why_size)
{
    int refused = 0;
    if (count > port_count_max || queues == 0 || queues > port_queues_max) {
        snprintf(why, why_size, "at most %d devices, and 1 to %d queues", port_count_max,
                 port_queues_max);
        return ERR_INVALID;
    }
    struct looked_at *all = calloc(count + 1, sizeof(*all));
    if (all == NULL)
        return ERR_NO_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        ports_parse(&all[i], devices[i]);
    int err = ports_eal(all, count, queues, why, why_size);
    for (uint32_t i = 0; !err && i < count; i++)
        refused += !look(&all[i], queues, out);
    free(all);
    return err ? err : refused;
}
