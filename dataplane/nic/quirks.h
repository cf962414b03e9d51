/*
 * quirks: what drivers do wrong or differently, one table; nothing else knows a network card.
 *
 * Purpose: an entry names a driver and what a port must do for it. Each entry has a test that
 * checks the content of what arrives (tests/unit/dataplane/nic/test_port.c, tests/bypass). Found
 * with DPDK 22.11. Constant data; pure functions.
 */
#ifndef DATAPLANE_NIC_QUIRKS_H
#define DATAPLANE_NIC_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct quirks {
    const char *driver;  /* start of the device string: "net_tap", or "pci" for any physical card */
    const char *needs;   /* for the operator, when it cannot be opened */
    uint16_t mtu_max;    /* 0: as the driver says */
    uint16_t queues_max; /* 0: as the driver says */
    uint64_t no_offloads; /* transmit and receive offloads that it claims and that are not worth it
                             or wrong, see port.h */
    /* Sends only single, linear mbufs of the receive queue's own pool: others leave as garbage. */
    bool own_linear;
    /* Pool objects may not cross a page of 4 KiB (the kernel drops such frames) and must fill it: the
     * driver shows the kernel as many bytes as they have together. */
    bool page_bound;
    /* Longer frames than its bsize argument come out merged wrongly: bsize is set to fit. */
    bool bsize_arg;
    /* Reads only after a real-time signal to the process, and ours are blocked: finds none free. */
    bool rt_signals;
    /* Its receive queue has a file descriptor that becomes readable. */
    bool has_fd;
    /* Joins an interface (iface=) that exists as one more queue, and takes it down when closed. */
    bool joins_iface;
    /* The kernel's end of it has the same MAC address: ours differs by one bit. */
    bool shared_mac;
    /* A peer that leaves makes EAL's interrupt thread free what a close frees: closed there. */
    bool close_races;
    /* With zero-copy=yes the peer reads our memory, and dies of what is not EAL's: that is copied. */
    bool zero_copy_arg;
    /* max_rx_pktlen says less than it takes: not believed. */
    bool understates_length;
};

/* The entry for a device string ("net_tap0,iface=x", "0000:03:00.0"); NULL: no driver is known. */
const struct quirks *quirks_find(const char *device);

/* What applies, in words, one a call: i from 0 until NULL. */
const char *quirks_text(const struct quirks *q, uint32_t i);

/* True for "03:00.0" and "0000:03:00.0", also with arguments behind a comma. */
bool quirks_is_pci(const char *device);

/* "net_tap, net_af_xdp, ..." for messages. */
#define quirks_names "net_tap, net_af_xdp, net_memif, net_ring, net_pcap, or a PCI address"

#define memif_bsize_extra 22 /* Ethernet header, a VLAN tag and the CRC's place */

/*
 * The device string as the driver must get it. memif: `bsize` is added, or checked against mtu.
 * ERR_TOO_LARGE: it does not fit; ERR_RANGE: the bsize given is too small for the MTU.
 */
int quirks_device(const struct quirks *q, const char *device, uint16_t mtu, char *out, size_t size);

#endif
