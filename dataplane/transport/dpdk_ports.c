#include "dataplane/transport/dpdk_ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "dataplane/nic/quirks.h"

static int refuse(const struct dpdk_port *p, const char *field, const char *text, char *why,
                  size_t size)
{
    snprintf(why, size, "sluice.dpdk.ports: port %s: %s%s%s", p->device, field,
             field[0] ? ": " : "", text);
    return ERR_INVALID;
}

/* ---- parsing ---- */

static bool number(const char *text, long least, long most, uint16_t *out)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (end == text || *end != '\0' || n < least || n > most)
        return false;
    *out = (uint16_t)n;
    return true;
}

static const char *set_gateway(struct dpdk_port *p, const char *value)
{
    struct ip_addr a;
    if (ip_addr_parse(value, &a) < 0 || ip_addr_is_any(&a))
        return "an IPv4 or IPv6 address is wanted";
    struct ip_addr *slot = &p->gateways[ip_addr_is_v4(&a) ? 0 : 1];
    if (!ip_addr_is_any(slot))
        return "one for each family";
    *slot = a;
    return NULL;
}

static const char *set_address(struct dpdk_port *p, const char *value)
{
    if (p->address_count == dpdk_addresses_max)
        return "too many addresses";
    struct ip_prefix *a = &p->addresses[p->address_count];
    if (ip_addr_parse_prefix(value, &a->addr, &a->bits) < 0)
        return "an address with its prefix is wanted, like 10.9.0.2/24";
    p->address_count++;
    return NULL;
}

/* NULL: taken; else what is wrong. */
static const char *set_field(struct dpdk_port *p, const char *name, const char *value)
{
    if (strcmp(name, "address") == 0)
        return set_address(p, value);
    if (strcmp(name, "gateway") == 0)
        return set_gateway(p, value);
    if (strcmp(name, "mtu") == 0)
        return number(value, port_mtu_min, 9216, &p->mtu) ? NULL : "576 to 9216 is wanted";
    if (strcmp(name, "vlan") == 0)
        return number(value, 1, 4094, &p->vlan) ? NULL : "1 to 4094 is wanted";
    if (strcmp(name, "netns") == 0) {
        size_t n = strlen(value);
        if (n == 0 || n >= sizeof(p->netns))
            return "the name of a network namespace is wanted";
        memcpy(p->netns, value, n + 1);
        return NULL;
    }
    if (strcmp(name, "ra") == 0) {
        p->autoconf = strcmp(value, "auto") == 0;
        p->accept_ra = p->autoconf || strcmp(value, "on") == 0;
        return p->accept_ra ? NULL : "on or auto is wanted";
    }
    if (strcmp(name, "fragments") == 0) {
        p->drop_fragments = strcmp(value, "drop") == 0;
        return p->drop_fragments || strcmp(value, "join") == 0 ? NULL : "join or drop is wanted";
    }
    return "no such field; known: address, gateway, mtu, vlan, netns, ra, fragments";
}

static bool reached(const struct dpdk_port *p, const struct ip_addr *gateway)
{
    if (ip_addr_is_any(gateway) || ip_addr_is_link_local(gateway))
        return true;
    for (uint32_t i = 0; i < p->address_count; i++)
        if (ip_addr_in(gateway, &p->addresses[i].addr, p->addresses[i].bits))
            return true;
    return false;
}

static int parse_port(struct dpdk_port *p, char *text, char *why, size_t why_size)
{
    char *rest = text;
    char *device = strsep(&rest, ";");
    *p = (struct dpdk_port){.mtu = port_mtu_default};
    snprintf(p->device, sizeof(p->device), "%s", device);
    if (strlen(device) >= sizeof(p->device))
        return refuse(p, "", "the device string is too long", why, why_size);
    if (quirks_find(device) == NULL)
        return refuse(p, "", "no such driver; known: " quirks_names, why, why_size);
    for (char *field; (field = strsep(&rest, ";")) != NULL;) {
        char *value = strchr(field, '=');
        if (value == NULL)
            return refuse(p, field, "name=value is wanted", why, why_size);
        *value++ = '\0';
        const char *wrong = set_field(p, field, value);
        if (wrong != NULL)
            return refuse(p, field, wrong, why, why_size);
    }
    if (p->address_count == 0 && !p->autoconf)
        return refuse(p, "address", "at least one is wanted", why, why_size);
    for (int i = 0; i < 2; i++)
        if (!reached(p, &p->gateways[i]))
            return refuse(p, "gateway", "no address of the port reaches it", why, why_size);
    return 0;
}

int dpdk_ports_parse(struct dpdk_ports *out, const char *text, char *why, size_t why_size)
{
    char copy[dpdk_text_bytes_max];
    struct dpdk_ports made = {.count = 0};
    if (strlen(text) >= sizeof(copy)) {
        snprintf(why, why_size, "sluice.dpdk.ports is too long");
        return ERR_INVALID;
    }
    strcpy(copy, text);
    char *rest = copy;
    for (char *word; (word = strtok_r(rest, " \t\n", &rest)) != NULL;) {
        if (made.count == port_count_max) {
            snprintf(why, why_size, "sluice.dpdk.ports: at most %d ports", port_count_max);
            return ERR_FULL;
        }
        int err = parse_port(&made.items[made.count], word, why, why_size);
        if (err)
            return err;
        made.count++;
    }
    if (made.count == 0) {
        snprintf(why, why_size,
                 "sluice.dpdk.ports is empty: sluice.transport=dpdk needs a port, like "
                 "net_tap0,iface=sluice0;address=10.9.0.2/24");
        return ERR_INVALID;
    }
    *out = made;
    return 0;
}

int dpdk_ports_eal_args(const struct dpdk_ports *p, char *out, size_t size)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < p->count; i++) {
        if (!quirks_is_pci(p->items[i].device))
            continue;
        used += (size_t)snprintf(out + used, size - used, "%s-a %s", used ? " " : "",
                                 p->items[i].device);
        if (used >= size)
            return ERR_TOO_LARGE;
    }
    return 0;
}

uint64_t dpdk_ports_bytes(const struct dpdk_ports *p, uint32_t shards, uint32_t packets)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->count; i++)
        bytes += shards * port_pool_bytes(p->items[i].device, packets, p->items[i].mtu);
    return bytes;
}

/* ---- opening ---- */

static int open_one(struct dpdk_port *p, uint32_t shards, uint32_t packets, char *why,
                    size_t why_size)
{
    struct port_options o = {
        .device = p->device,
        .netns = p->netns[0] ? p->netns : NULL,
        .mtu = p->mtu,
        .shards = shards,
        .offloads = port_offloads_all,
        .pool_bufs = packets,
    };
    char text[512];
    int err = port_open(&p->port, &o, why, why_size);
    if (err)
        return err;
    port_text(p->port, text, sizeof(text));
    log_info("nic", "%s", text);
    return 0;
}

int dpdk_ports_open(struct dpdk_ports *p, uint32_t shards, uint32_t packets, char *why,
                    size_t why_size)
{
    for (uint32_t i = 0; i < p->count; i++) {
        int err = open_one(&p->items[i], shards, packets, why, why_size);
        if (err) {
            dpdk_ports_close(p);
            return err;
        }
    }
    return 0;
}

void dpdk_ports_close(struct dpdk_ports *p)
{
    for (uint32_t i = 0; i < p->count; i++) {
        port_close(p->items[i].port);
        p->items[i].port = NULL;
    }
}
