#include "dataplane/nic/port.h"

#include <errno.h>
#include <net/if.h>
#include <rte_alarm.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "dataplane/nic/netns.h"
#include "dataplane/nic/offload.h"
#include "dataplane/nic/port_impl.h"
#include "dataplane/nic/steer.h"

#define link_bytes         18 /* Ethernet header and a VLAN tag */
#define rt_signals_max     64
#define page_bytes         4096
#define object_extra_bytes 256 /* mbuf, mempool header and padding, at most */

static int refuse(const struct port_options *o, int err, char *why, size_t size, const char *text)
{
    snprintf(why, size, "port %s: %s", o->device, text);
    return err;
}

/* ---- pools ---- */

static uint32_t room_bytes(uint16_t mtu)
{
    uint32_t room = (uint32_t)mtu + link_bytes;
    return (room < port_room_bytes_min ? port_room_bytes_min : RTE_ALIGN(room, 64)) +
           RTE_PKTMBUF_HEADROOM;
}

uint64_t port_pool_bytes(const char *device, uint32_t bufs, uint16_t mtu)
{
    const struct quirks *q = quirks_find(device);
    uint64_t object = room_bytes(mtu) + object_extra_bytes;
    if (q != NULL && q->page_bound && object < page_bytes)
        object = object > page_bytes / 2 ? page_bytes : page_bytes / (page_bytes / object);
    uint64_t caches = RTE_MAX_LCORE * sizeof(struct rte_mempool_cache);
    return bufs * (object + 2 * sizeof(void *)) + caches + 64 * KIB;
}

/*
 * An mbuf and its room. Where objects may not cross pages they fill them: the driver takes their
 * number times their size for the length of the pool, and what padding pushes behind that does not
 * exist for the kernel. Frames sent from there vanish, and so do buffers given to receive into.
 */
static uint32_t element_bytes(const struct port *p)
{
    uint32_t n = (uint32_t)sizeof(struct rte_mbuf) + room_bytes(p->report.mtu);
    uint32_t header = RTE_ALIGN((uint32_t)sizeof(struct rte_mempool_objhdr), RTE_MEMPOOL_ALIGN);
    if (!p->quirks->page_bound || n + header > page_bytes)
        return n;
    return page_bytes / (page_bytes / (n + header)) / RTE_MEMPOOL_ALIGN * RTE_MEMPOOL_ALIGN -
           header;
}

/*
 * The pool begins in the middle of a page and its first object at the next: the last ones lie behind
 * the driver's end. They are taken out for good.
 */
static bool withdraw_outside(struct rte_mempool *pool)
{
    const struct rte_mempool_memhdr *chunk = STAILQ_FIRST(&pool->mem_list);
    uint32_t object = pool->header_size + pool->elt_size + pool->trailer_size;
    uintptr_t end = (uintptr_t)chunk->addr + (uintptr_t)pool->populated_size * object;
    struct rte_mbuf **all = calloc(pool->populated_size, sizeof(*all));
    uint32_t n = 0;
    if (all == NULL)
        return false;
    while (n < pool->populated_size && rte_mempool_get(pool, (void **)&all[n]) == 0)
        n++;
    for (uint32_t i = 0; i < n; i++)
        if ((uintptr_t)all[i] + pool->elt_size <= end)
            rte_mempool_put(pool, all[i]);
    free(all);
    return true;
}

/*
 * As rte_pktmbuf_pool_create, but objects may cross pages where the driver allows it: with pages of
 * 4 KiB that would waste almost half.
 */
static struct rte_mempool *pool_make(const struct port *p, uint32_t q, uint32_t bufs)
{
    char name[RTE_MEMPOOL_NAMESIZE];
    snprintf(name, sizeof(name), "port%u.%u", p->id, q);
    struct rte_pktmbuf_pool_private room = {
        .mbuf_data_room_size = (uint16_t)(element_bytes(p) - sizeof(struct rte_mbuf)),
    };
    unsigned flags = p->quirks->page_bound ? RTE_MEMPOOL_F_NO_SPREAD : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
    struct rte_mempool *pool =
        rte_mempool_create_empty(name, bufs, element_bytes(p), 256,
                                 sizeof(struct rte_pktmbuf_pool_private), SOCKET_ID_ANY, flags);
    if (pool == NULL)
        return NULL;
    if (rte_mempool_set_ops_byname(pool, "ring_mt_rts", NULL) != 0)
        goto failed;
    rte_pktmbuf_pool_init(pool, &room);
    if (rte_mempool_populate_default(pool) < (int)bufs)
        goto failed;
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    if (p->quirks->page_bound && !withdraw_outside(pool))
        goto failed;
    return pool;
failed:
    rte_mempool_free(pool);
    return NULL;
}

/* ---- probing ---- */

static void signal_ignored(int sig)
{
    (void)sig;
}

struct signals {
    struct sigaction before[rt_signals_max];
    bool taken;
};

/* While every real-time signal has a handler, the tap driver has none and reads without waiting. */
static void signals_take(struct signals *s, const struct quirks *q)
{
    s->taken = q->rt_signals;
    for (int sig = SIGRTMIN; s->taken && sig <= SIGRTMAX; sig++) {
        struct sigaction ours = {.sa_handler = signal_ignored, .sa_flags = SA_RESTART};
        sigaction(sig, &ours, &s->before[sig - SIGRTMIN]);
    }
}

static void signals_give(const struct signals *s)
{
    for (int sig = SIGRTMIN; s->taken && sig <= SIGRTMAX; sig++)
        sigaction(sig, &s->before[sig - SIGRTMIN], NULL);
}

static int probe_error(const struct port *p, const struct port_options *o, int errnum, char *why,
                       size_t size)
{
    char text[512];
    errnum = errnum < 0 ? -errnum : errnum;
    /* drivers answer -1, which is EPERM, for anything */
    bool said = errnum != EPERM || geteuid() != 0;
    snprintf(text, sizeof(text), "cannot be opened (%s); %s needs %s",
             said ? strerror(errnum) : "the driver refuses", p->quirks->driver, p->quirks->needs);
    int err = said && (errnum == EPERM || errnum == EACCES) ? ERR_PERMISSION
              : errnum == ENOMEM                            ? ERR_NO_MEMORY
                                                            : ERR_NOT_FOUND;
    return refuse(o, err, why, size, text);
}

/* In the network namespace where the driver would look. */
static bool iface_exists(const char *device)
{
    char name[IF_NAMESIZE];
    const char *at = strstr(device, ",iface=");
    if (at == NULL)
        return false;
    at += strlen(",iface=");
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, ","), at);
    return if_nametoindex(name) != 0;
}

static int probe(struct port *p, const struct port_options *o, char *why, size_t size)
{
    char device[port_device_max + 32], name[port_device_max];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(o->device, ","), o->device);
    if (rte_eth_dev_get_port_by_name(name, &p->id) == 0)
        return 0; /* open already: a card that EAL found, or rings of this process */
    if (o->unshared && p->quirks->joins_iface && iface_exists(o->device))
        return refuse(o, ERR_BUSY, why, size, "its interface exists: a broker may be using it");
    int err = quirks_device(p->quirks, o->device, p->report.mtu, device, sizeof(device));
    if (err == ERR_RANGE)
        return refuse(o, ERR_INVALID, why, size, "bsize must be at least the MTU and 22");
    if (err)
        return refuse(o, err, why, size, "the device string is too long");
    int answer = rte_dev_probe(device);
    if (answer < 0)
        return probe_error(p, o, answer, why, size);
    p->probed = true;
    if (rte_eth_dev_get_port_by_name(name, &p->id) != 0)
        return refuse(o, ERR_NOT_FOUND, why, size, "the device is no network port");
    return 0;
}

/* ---- configuring ---- */

static uint16_t smallest(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t n = a < b ? a : b;
    return (uint16_t)(n < c ? n : c);
}

static int negotiate(struct port *p, const struct port_options *o,
                     const struct rte_eth_dev_info *info, char *why, size_t size)
{
    struct port_report *r = &p->report;
    char text[128];
    const struct quirks *q = p->quirks;
    uint32_t most = q->queues_max != 0 ? q->queues_max : port_queues_max;
    r->queues_max = smallest(most, info->max_rx_queues, info->max_tx_queues);
    r->queues = smallest(o->shards, r->queues_max, r->queues_max);
    r->asked = o->offloads;
    r->offered = offload_offered(info);
    r->negotiated = offload_negotiate(o->offloads, r->offered, o->spoilt ? NULL : q);
    r->segs_max = info->tx_desc_lim.nb_mtu_seg_max;
    if (r->segs_max == 0) /* the driver does not say */
        r->segs_max = UINT16_MAX;
    r->tso_max = (r->negotiated & port_tso) ? 60000 : 0;
    r->has_fd = q->has_fd;
    snprintf(r->driver, sizeof(r->driver), "%s", info->driver_name);

    uint32_t mtu_max = q->mtu_max != 0 ? q->mtu_max : UINT16_MAX;
    if (!q->understates_length && info->max_mtu < mtu_max)
        mtu_max = info->max_mtu;
    if (r->mtu > mtu_max) {
        snprintf(text, sizeof(text), "an MTU of %u is over this device's %u", r->mtu, mtu_max);
        return refuse(o, ERR_UNSUPPORTED, why, size, text);
    }
    return r->queues > 0 ? 0 : refuse(o, ERR_UNSUPPORTED, why, size, "the device has no queues");
}

static int queues_make(struct port *p, const struct port_options *o, char *why, size_t size)
{
    for (uint16_t q = 0; q < p->report.queues; q++) {
        p->pools[q] = pool_make(p, q, o->pool_bufs);
        if (p->pools[q] == NULL)
            return refuse(o, ERR_NO_MEMORY, why, size, "not enough memory for packet buffers");
        int err = rte_eth_rx_queue_setup(p->id, q, port_rx_descriptors, (unsigned)SOCKET_ID_ANY,
                                         NULL, p->pools[q]);
        if (err == 0)
            err = rte_eth_tx_queue_setup(p->id, q, port_tx_descriptors, (unsigned)SOCKET_ID_ANY,
                                         NULL);
        if (err != 0)
            return refuse(o, err_from_errno(err), why, size, "a queue cannot be set up");
    }
    return 0;
}

/* Frames of one connection come to one queue, that of the shard which steer_owner names. */
static bool steer_in_hardware(const struct port *p, const struct rte_eth_dev_info *info)
{
    uint8_t key[steer_key_bytes];
    steer_key(key);
    struct rte_eth_rss_conf rss = {
        .rss_key = key,
        .rss_key_len = steer_key_bytes,
        .rss_hf = info->flow_type_rss_offloads &
                  (RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP),
    };
    if (rte_eth_dev_rss_hash_update(p->id, &rss) != 0)
        return false;
    struct rte_eth_rss_reta_entry64 reta[RTE_ETH_RSS_RETA_SIZE_512 / RTE_ETH_RETA_GROUP_SIZE];
    if (info->reta_size > RTE_ETH_RSS_RETA_SIZE_512)
        return false;
    memset(reta, 0, sizeof(reta));
    for (uint32_t i = 0; i < info->reta_size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &reta[i / RTE_ETH_RETA_GROUP_SIZE];
        group->mask = UINT64_MAX;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)steer_owner(i, p->report.queues);
    }
    return rte_eth_dev_rss_reta_update(p->id, reta, info->reta_size) == 0;
}

/* Some virtual devices have none: a locally administered one, made from the device's name. */
static void mac_take(struct port *p)
{
    struct port_report *r = &p->report;
    struct rte_ether_addr mac = {{0}};
    rte_eth_macaddr_get(p->id, &mac);
    memcpy(r->mac, mac.addr_bytes, sizeof(r->mac));
    if (p->quirks->shared_mac)
        r->mac[5] ^= 1;
    if (!rte_is_zero_ether_addr(&mac))
        return;
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *c = r->device; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    r->mac[0] = 0x02;
    r->mac[1] = 0x53;
    memcpy(r->mac + 2, &hash, sizeof(hash));
}

static int start(struct port *p, const struct port_options *o, const struct rte_eth_dev_info *info,
                 char *why, size_t size)
{
    struct port_report *r = &p->report;
    if (!p->quirks->understates_length || r->mtu != port_mtu_default) {
        int err = rte_eth_dev_set_mtu(p->id, r->mtu);
        if (err != 0 && err != -ENOTSUP && !p->quirks->understates_length)
            return refuse(o, err_from_errno(err), why, size, "the MTU cannot be set");
    }
    int err = rte_eth_dev_start(p->id);
    if (err != 0)
        return refuse(o, err_from_errno(err), why, size, "the device cannot be started");
    p->started = true;
    rte_eth_allmulticast_enable(p->id); /* neighbour discovery; not every driver filters */
    if ((r->negotiated & port_rss) && r->queues == p->shards && r->queues > 1)
        r->steered = steer_in_hardware(p, info);
    for (uint16_t q = 0; q < r->queues; q++)
        p->fds[q] = r->has_fd ? rte_eth_dev_rx_intr_ctl_q_get_fd(p->id, q) : -1;
    mac_take(p);
    return 0;
}

static int configure(struct port *p, const struct port_options *o, char *why, size_t size)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf;
    memset(&conf, 0, sizeof(conf));
    if (rte_eth_dev_info_get(p->id, &info) != 0)
        return refuse(o, ERR_SYSTEM, why, size, "the driver does not answer");
    int err = negotiate(p, o, &info, why, size);
    if (err)
        return err;
    offload_configure(p->report.negotiated, &info, &conf);
    conf.intr_conf.rxq = p->quirks->has_fd; /* makes the queues' descriptors known */
    int answer = rte_eth_dev_configure(p->id, p->report.queues, p->report.queues, &conf);
    if (answer != 0)
        return refuse(o, err_from_errno(answer), why, size, "the driver refuses the configuration");
    err = queues_make(p, o, why, size);
    return err ? err : start(p, o, &info, why, size);
}

static struct rte_ring *handover_make(const struct port *p, const char *way, uint32_t shard)
{
    char name[RTE_RING_NAMESIZE];
    snprintf(name, sizeof(name), "%s%u.%u", way, p->id, shard);
    return rte_ring_create(name, handover_slots, SOCKET_ID_ANY, RING_F_SC_DEQ);
}

static bool handovers_make(struct port *p)
{
    for (uint32_t i = 0; p->shards > 1 && i < p->shards; i++) {
        p->rx_handover[i] = handover_make(p, "hrx", i);
        p->tx_handover[i] = i < p->report.queues ? handover_make(p, "htx", i) : NULL;
        if (p->rx_handover[i] == NULL || (i < p->report.queues && p->tx_handover[i] == NULL))
            return false;
    }
    return true;
}

/* Drivers make their interface when they are probed, and its queues when those are set up. */
static int bring_up(struct port *p, const struct port_options *o, char *why, size_t size)
{
    struct signals signals;
    struct netns home;
    int err = netns_enter(&home, o->netns);
    if (err)
        return refuse(o, err, why, size,
                      err == ERR_NOT_FOUND ? "there is no such network namespace"
                                           : "no permission to enter the network namespace");
    signals_take(&signals, p->quirks);
    err = probe(p, o, why, size);
    if (!err)
        err = configure(p, o, why, size);
    signals_give(&signals);
    netns_leave(&home);
    return err;
}

int port_open(struct port **out, const struct port_options *o, char *why, size_t why_size)
{
    uint16_t mtu = o->mtu != 0 ? o->mtu : port_mtu_default;
    if (strlen(o->device) >= port_device_max)
        return refuse(o, ERR_INVALID, why, why_size, "the device string is too long");
    if (mtu < port_mtu_min || o->shards == 0 || o->shards > port_queues_max)
        return refuse(o, ERR_INVALID, why, why_size, "the MTU must be at least 576");
    const struct quirks *q = quirks_find(o->device);
    if (q == NULL)
        return refuse(o, ERR_NOT_FOUND, why, why_size, "no such driver; known: " quirks_names);
    struct port *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return refuse(o, ERR_NO_MEMORY, why, why_size, err_text(ERR_NO_MEMORY));
    p->quirks = q;
    p->shards = o->shards;
    p->report.mtu = mtu;
    p->id = RTE_MAX_ETHPORTS;
    snprintf(p->report.device, sizeof(p->report.device), "%s", o->device);
    int err = bring_up(p, o, why, why_size);
    if (!err && !handovers_make(p))
        err = refuse(o, ERR_NO_MEMORY, why, why_size, err_text(ERR_NO_MEMORY));
    if (err) {
        port_close(p);
        return err;
    }
    *out = p;
    return 0;
}

static void ring_drain(struct rte_ring *ring)
{
    void *frame;
    while (ring != NULL && rte_ring_dequeue(ring, &frame) == 0)
        rte_pktmbuf_free(frame);
    rte_ring_free(ring);
}

static void device_stop(struct port *p)
{
    if (p->started)
        rte_eth_dev_stop(p->id);
}

static void device_close(struct port *p)
{
    if (p->probed && p->id < RTE_MAX_ETHPORTS)
        rte_eth_dev_close(p->id);
}

struct alarm {
    struct port *port; /* NULL: nothing to do */
    sem_t done;
};

static void alarm_run(void *ctx)
{
    struct alarm *a = ctx;
    if (a->port != NULL) {
        device_stop(a->port);
        device_close(a->port);
    }
    sem_post(&a->done);
}

/* Alarms run on the thread that also answers the peer: one after the other. */
static bool alarm_wait(struct port *p)
{
    struct alarm a = {.port = p};
    sem_init(&a.done, 0, 0);
    bool set = rte_eal_alarm_set(1, alarm_run, &a) == 0;
    while (set && sem_wait(&a.done) != 0)
        ; /* a signal came */
    sem_destroy(&a.done);
    return set;
}

/*
 * Then that thread reads its list of descriptors anew, and a clean-up of EAL would free that
 * meanwhile. One alarm may come in the same burst as the order to do so; the next is behind it.
 */
static bool device_end_serial(struct port *p)
{
    bool ended = alarm_wait(p);
    for (int i = 0; i < 2 && ended && alarm_wait(NULL); i++)
        ;
    return ended;
}

void port_close(struct port *p)
{
    if (p == NULL)
        return;
    struct rte_eth_dev_info info = {0};
    if (p->id < RTE_MAX_ETHPORTS)
        rte_eth_dev_info_get(p->id, &info);
    bool ended = p->probed && p->quirks->close_races && device_end_serial(p);
    if (!ended)
        device_stop(p);
    for (uint32_t i = 0; i < shard_count_max; i++) {
        ring_drain(p->rx_handover[i]);
        ring_drain(p->tx_handover[i]);
    }
    if (!ended)
        device_close(p);
    if (p->probed && info.device != NULL)
        rte_dev_remove(info.device);
    for (uint32_t q = 0; q < port_queues_max; q++)
        rte_mempool_free(p->pools[q]);
    free(p);
}

/* ---- answers ---- */

const struct port_report *port_report(const struct port *p)
{
    return &p->report;
}

void port_link(const struct port *p, struct port_link *out)
{
    struct rte_eth_link link = {0};
    rte_eth_link_get_nowait(p->id, &link);
    *out = (struct port_link){
        .up = link.link_status == RTE_ETH_LINK_UP,
        .full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX,
        .mbps = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed,
    };
}

void port_counters(const struct port *p, struct port_counters *out)
{
    struct rte_eth_stats s = {0};
    rte_eth_stats_get(p->id, &s);
    *out = (struct port_counters){
        .rx_frames = s.ipackets,
        .tx_frames = s.opackets,
        .rx_bytes = s.ibytes,
        .tx_bytes = s.obytes,
        .rx_missed = s.imissed,
        .rx_errors = s.ierrors,
        .rx_no_mbuf = s.rx_nombuf,
        .tx_errors = s.oerrors,
    };
}

struct rte_mempool *port_pool(const struct port *p, uint32_t q)
{
    return q < p->report.queues ? p->pools[q] : NULL;
}

int port_queue_fd(const struct port *p, uint32_t q)
{
    return q < p->report.queues ? p->fds[q] : -1;
}

void port_text(const struct port *p, char *out, size_t size)
{
    const struct port_report *r = &p->report;
    struct port_link link;
    char set[64];
    port_link(p, &link);
    offload_text(r->negotiated, set, sizeof(set));
    snprintf(out, size,
             "%s: %s, link %s, %02x:%02x:%02x:%02x:%02x:%02x, MTU %u, %u queues for %u shards%s, "
             "offloads %s, idle: %s",
             r->device, r->driver, link.up ? "up" : "down", r->mac[0], r->mac[1], r->mac[2],
             r->mac[3], r->mac[4], r->mac[5], r->mtu, r->queues, p->shards,
             r->queues == p->shards ? "" : " (handed over in software)", set,
             r->has_fd ? "waits" : "sleeps in steps");
}
