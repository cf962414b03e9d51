#include "dataplane/nic/quirks.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dataplane/nic/port.h"

static const struct quirks table[] = {
    {
        .driver = "net_tap",
        .needs = "CAP_NET_ADMIN, /dev/net/tun and an interface name that is free",
        .mtu_max = 1500,
        .queues_max = 4, /* pairs; more are opened and stay deaf */
        /* done in software inside, byte by byte, or by the kernel on the other side */
        .no_offloads = port_tx_checksum | port_rx_checksum | port_tso,
        .rt_signals = true,
        .joins_iface = true,
        .shared_mac = true,
        .has_fd = true,
    },
    {
        .driver = "net_af_xdp",
        .needs = "CAP_NET_ADMIN and CAP_BPF, an interface that exists (iface=), and its queue free",
        .mtu_max = 3542,
        .queues_max = 1, /* on veth one device for each queue */
        .no_offloads = port_tx_checksum | port_rx_checksum | port_tso,
        .own_linear = true,
        .page_bound = true,
        .understates_length = true,
    },
    {
        .driver = "net_memif",
        .needs = "a role (role=server or client) and a socket path that may be made or opened "
                 "(socket=)",
        .no_offloads = port_tx_checksum | port_rx_checksum | port_tso,
        .bsize_arg = true,
        .zero_copy_arg = true,
        .close_races = true,
        .understates_length = true, /* says 1,518 */
    },
    {
        .driver = "net_ring",
        .needs = "memory",
        .no_offloads = port_tx_checksum | port_rx_checksum | port_tso,
        .understates_length = true,
    },
    {
        .driver = "net_pcap",
        .needs = "CAP_NET_RAW for an interface (iface=), or readable files (rx_pcap=, tx_pcap=)",
        .no_offloads = port_tx_checksum | port_rx_checksum | port_tso,
        .understates_length = true,
    },
    {
        .driver = "pci",
        .needs = "the card bound to vfio-pci (dpdk-devbind.py), an IOMMU, hugepages, and access to "
                 "/dev/vfio",
    },
};

bool quirks_is_pci(const char *device)
{
    unsigned domain, bus, slot, function;
    int used = 0;
    if (sscanf(device, "%4x:%2x:%2x.%1u%n", &domain, &bus, &slot, &function, &used) != 4)
        if (sscanf(device, "%2x:%2x.%1u%n", &bus, &slot, &function, &used) != 3)
            return false;
    return device[used] == '\0' || device[used] == ',';
}

const struct quirks *quirks_find(const char *device)
{
    bool pci = quirks_is_pci(device);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        size_t n = strlen(table[i].driver);
        if (pci ? strcmp(table[i].driver, "pci") == 0
                : strncmp(device, table[i].driver, n) == 0 &&
                      (device[n] == '_' || device[n] == ',' || device[n] == '\0' ||
                       isdigit((unsigned char)device[n])))
            return &table[i];
    }
    return NULL;
}

const char *quirks_text(const struct quirks *q, uint32_t i)
{
    const struct {
        bool applies;
        const char *text;
    } all[] = {
        {q->mtu_max != 0, "takes no larger MTU than it was seen to carry"},
        {q->queues_max != 0, "more queues than it serves can be opened: they are not"},
        {q->no_offloads != 0,
         "its offloads of checksums and segments are not taken: software, or wrong"},
        {q->own_linear, "sends only whole buffers of its own pool: others are copied"},
        {q->page_bound, "loses buffers that cross a page of 4 KiB: none does"},
        {q->bsize_arg, "merges frames over its buffer size wrongly: bsize is set to fit the MTU"},
        {q->rt_signals, "waits for a real-time signal before it reads: it finds none free"},
        {q->joins_iface, "joins an interface that exists as one more queue"},
        {q->shared_mac, "the kernel's end has the same MAC address: ours differs by one bit"},
        {q->close_races, "a peer that leaves races with closing: closed on EAL's own thread"},
        {q->zero_copy_arg, "zero-copy=yes shows the peer our memory: what is not EAL's is copied"},
        {q->understates_length, "says a shorter frame than it takes: not believed"},
    };
    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
        if (all[k].applies && i-- == 0)
            return all[k].text;
    return NULL;
}

int quirks_device(const struct quirks *q, const char *device, uint16_t mtu, char *out, size_t size)
{
    unsigned needed = (unsigned)mtu + memif_bsize_extra;
    const char *given = q->bsize_arg ? strstr(device, ",bsize=") : NULL;
    if (given != NULL && strtoul(given + strlen(",bsize="), NULL, 10) < needed)
        return ERR_RANGE;
    unsigned bsize = 2048; /* the driver's own default, or the next multiple that fits */
    while (bsize < needed)
        bsize += 1024;
    int n = q->bsize_arg && given == NULL ? snprintf(out, size, "%s,bsize=%u", device, bsize)
                                          : snprintf(out, size, "%s", device);
    return n >= 0 && (size_t)n < size ? 0 : ERR_TOO_LARGE;
}
