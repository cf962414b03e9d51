#include "dataplane/nic/lane.h"

#include <rte_memory.h>
#include <rte_ring.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "dataplane/nic/guard.h"
#include "dataplane/nic/offload.h"
#include "dataplane/nic/port_impl.h"
#include "dataplane/nic/steer.h"

#define link_bytes_max  18
#define ahead_bytes_max 256 /* of a frame: headers and what small messages have */

struct lane {
    const struct port *port;
    struct lane_options options;
    uint32_t shard, shards;
    int rx_queue, tx_queue; /* -1: none of its own */
    uint32_t tx_via;        /* the shard that sends for us, without a queue */
    bool must_copy, prepare, steer, more;
    bool eal_memory; /* the driver shows memory of EAL's alone to its peer */
    uint32_t frame_max;
    uint32_t pending_first, pending_count; /* ring of frames that wait for the driver */
    uint32_t prepared;                     /* the first of them, which it has made ready */
    struct rte_mbuf *pending[lane_pending_max];
    struct guard *guard; /* NULL: the driver takes nothing away while it is polled */
    uint64_t woken;      /* shards given frames since the last flush */
    struct capture *capture;
    int64_t wall_offset_ns, now_ns;
    int64_t stuck_ns; /* when the driver began to take nothing; 0: it takes */
    struct lane_counters counters;
};

static const char *const drop_texts[LANE_DROP_COUNT] = {
    [LANE_DROP_RX_HANDOVER] = "receive hand-over full",
    [LANE_DROP_RX_COPY] = "no buffer to copy for other shards",
    [LANE_DROP_TX_FULL] = "transmit queue full",
    [LANE_DROP_TX_STUCK] = "the driver takes nothing",
    [LANE_DROP_TX_HANDOVER] = "transmit hand-over full",
    [LANE_DROP_TX_NO_MBUF] = "no buffer to copy for the driver",
    [LANE_DROP_TX_LENGTH] = "over the port's length",
    [LANE_DROP_TX_REFUSED] = "the driver refuses the frame",
};

const char *lane_drop_text(enum lane_drop reason)
{
    return reason < LANE_DROP_COUNT ? drop_texts[reason] : "?";
}

int lane_new(struct lane **out, const struct lane_options *options)
{
    const struct port *p = options->port;
    if (options->shard >= p->shards || (p->shards > 1 && options->wake == NULL))
        return ERR_INVALID;
    struct lane *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return ERR_NO_MEMORY;
    uint32_t queues = p->report.queues;
    l->port = p;
    l->options = *options;
    l->shard = options->shard;
    l->shards = p->shards;
    l->rx_queue = l->shard < queues ? (int)l->shard : -1;
    l->tx_queue = l->rx_queue;
    l->tx_via = l->shard % queues;
    l->must_copy = p->quirks->own_linear;
    l->prepare = (p->report.negotiated & port_tx_checksum) != 0;
    if (p->quirks->close_races && l->rx_queue >= 0)
        l->guard = guard_of(p->id, (uint16_t)l->rx_queue);
    l->eal_memory = p->quirks->zero_copy_arg && strstr(p->report.device, "zero-copy=yes") != NULL;
    l->steer = l->shards > 1 && !p->report.steered;
    l->frame_max = (uint32_t)p->report.mtu + link_bytes_max;
    *out = l;
    return 0;
}

void lane_free(struct lane *l)
{
    if (l == NULL)
        return;
    for (uint32_t i = 0; i < l->pending_count; i++)
        rte_pktmbuf_free(l->pending[(l->pending_first + i) % lane_pending_max]);
    free(l);
}

static void drop(struct lane *l, struct rte_mbuf *frame, enum lane_drop reason)
{
    l->counters.drops[reason]++;
    rte_pktmbuf_free(frame);
}

/* ---- receiving ---- */

static void hand_over(struct lane *l, struct rte_mbuf *frame, uint32_t to)
{
    if (rte_ring_enqueue(l->port->rx_handover[to], frame) != 0) {
        drop(l, frame, LANE_DROP_RX_HANDOVER);
        return;
    }
    l->counters.rx_handed++;
    l->woken |= 1ULL << to;
}

static void hand_to_all(struct lane *l, const struct rte_mbuf *frame)
{
    for (uint32_t to = 0; to < l->shards; to++) {
        if (to == l->shard)
            continue;
        struct rte_mbuf *copy = offload_linear(frame, l->port->pools[l->rx_queue]);
        if (copy == NULL)
            l->counters.drops[LANE_DROP_RX_COPY]++;
        else
            hand_over(l, copy, to);
    }
}

/* Keeps the frames of this shard; returns how many. */
static uint32_t sort_out(struct lane *l, struct rte_mbuf **frames, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t owner = steer_frame(frames[i], l->shards);
        if (owner == STEER_ALL)
            hand_to_all(l, frames[i]);
        if (owner == STEER_ALL || owner == l->shard)
            frames[kept++] = frames[i];
        else
            hand_over(l, frames[i], owner);
    }
    return kept;
}

static void count_received(struct lane *l, struct rte_mbuf **frames, uint32_t n)
{
    l->counters.rx_frames += n;
    for (uint32_t i = 0; i < n; i++)
        l->counters.rx_bytes += frames[i]->pkt_len;
    if (l->capture != NULL && capture_on(l->capture))
        capture_frames(l->capture, frames, n, l->now_ns + l->wall_offset_ns);
}

static void wake_others(struct lane *l)
{
    for (; l->woken != 0; l->woken &= l->woken - 1)
        l->options.wake(l->options.ctx, (uint32_t)__builtin_ctzll(l->woken));
}

static uint16_t receive_burst(struct lane *l, struct rte_mbuf **frames, uint16_t n)
{
    if (l->guard == NULL)
        return rte_eth_rx_burst(l->port->id, (uint16_t)l->rx_queue, frames, n);
    guard_enter(l->guard);
    n = rte_eth_rx_burst(l->port->id, (uint16_t)l->rx_queue, frames, n);
    guard_leave(l->guard);
    return n;
}

/* Small frames whole: a driver without copies leaves all of it in the other processor's cache. */
static void fetch_ahead(struct rte_mbuf *frame)
{
    const uint8_t *p = rte_pktmbuf_mtod(frame, const uint8_t *);
    uint32_t n = frame->data_len < ahead_bytes_max ? frame->data_len : ahead_bytes_max;
    rte_mbuf_prefetch_part2(frame);
    rte_prefetch0(p);
    for (uint32_t at = RTE_CACHE_LINE_SIZE; at < n; at += RTE_CACHE_LINE_SIZE)
        rte_prefetch0(p + at);
}

uint32_t lane_receive(struct lane *l, struct rte_mbuf **frames, uint32_t max)
{
    CHECK(max <= lane_burst_max);
    uint32_t n = 0;
    l->more = false;
    if (l->shards > 1) {
        n = rte_ring_dequeue_burst(l->port->rx_handover[l->shard], (void **)frames, max, NULL);
        l->more = n == max;
    }
    if (l->rx_queue >= 0 && n < max) {
        uint16_t room = (uint16_t)(max - n);
        uint16_t got = receive_burst(l, frames + n, room);
        l->more |= got == room;
        for (uint16_t i = 0; i < got; i++)
            fetch_ahead(frames[n + i]);
        n += l->steer ? sort_out(l, frames + n, got) : got;
        wake_others(l);
    }
    count_received(l, frames, n);
    return n;
}

bool lane_pass(struct lane *l, struct rte_mbuf *frame)
{
    uint32_t owner = steer_frame(frame, l->shards);
    if (owner == l->shard || owner == STEER_ALL)
        return false;
    hand_over(l, frame, owner);
    wake_others(l);
    return true;
}

bool lane_more(const struct lane *l)
{
    return l->more;
}

/* ---- sending ---- */

uint32_t lane_room(const struct lane *l)
{
    if (l->tx_queue < 0)
        return rte_ring_free_count(l->port->tx_handover[l->tx_via]);
    return lane_pending_max - l->pending_count;
}

static void enqueue(struct lane *l, struct rte_mbuf *frame)
{
    if (l->pending_count == lane_pending_max) {
        drop(l, frame, LANE_DROP_TX_FULL);
        return;
    }
    l->pending[(l->pending_first + l->pending_count++) % lane_pending_max] = frame;
}

/* The driver takes only linear frames of its own pool. */
static struct rte_mbuf *copied(struct lane *l, struct rte_mbuf *frame)
{
    struct rte_mbuf *copy = offload_linear(frame, l->port->pools[l->tx_queue]);
    if (copy == NULL) {
        drop(l, frame, LANE_DROP_TX_NO_MBUF);
        return NULL;
    }
    l->counters.tx_copied++;
    rte_pktmbuf_free(frame);
    return copy;
}

static bool has_foreign(const struct rte_mbuf *m)
{
    for (; m != NULL; m = m->next)
        if (RTE_MBUF_HAS_EXTBUF(m) && rte_mem_virt2memseg_list(m->buf_addr) == NULL)
            return true;
    return false;
}

static bool needs_copy(const struct lane *l, const struct rte_mbuf *frame)
{
    if (l->eal_memory && has_foreign(frame))
        return true;
    if (frame->nb_segs > l->port->report.segs_max && !(frame->ol_flags & RTE_MBUF_F_TX_TCP_SEG))
        return true;
    return l->must_copy || (frame->nb_segs > 1 && !(l->port->report.negotiated & port_scatter));
}

static void queue_own(struct lane *l, struct rte_mbuf *frame)
{
    if (needs_copy(l, frame))
        frame = copied(l, frame);
    if (frame != NULL)
        enqueue(l, frame);
}

void lane_send(struct lane *l, struct rte_mbuf *frame)
{
    bool large = (frame->ol_flags & RTE_MBUF_F_TX_TCP_SEG) != 0;
    if (frame->pkt_len > l->frame_max && !large) {
        drop(l, frame, LANE_DROP_TX_LENGTH);
        return;
    }
    if (l->capture != NULL && capture_on(l->capture))
        capture_frames(l->capture, &frame, 1, l->now_ns + l->wall_offset_ns);
    l->counters.tx_bytes += frame->pkt_len;
    l->counters.tx_frames++;
    if (l->tx_queue >= 0) {
        queue_own(l, frame);
    } else if (rte_ring_enqueue(l->port->tx_handover[l->tx_via], frame) != 0) {
        drop(l, frame, LANE_DROP_TX_HANDOVER);
    } else {
        l->counters.tx_handed++;
        l->woken |= 1ULL << l->tx_via;
    }
}

static void take_handed(struct lane *l)
{
    struct rte_mbuf *frames[lane_burst_max];
    uint32_t room = lane_pending_max - l->pending_count;
    uint32_t max = room < lane_burst_max ? room : lane_burst_max;
    uint32_t n = rte_ring_dequeue_burst(l->port->tx_handover[l->shard], (void **)frames, max, NULL);
    for (uint32_t i = 0; i < n; i++)
        queue_own(l, frames[i]);
}

/* What is old is of no use to anybody: TCP has sent it again by then. */
static void check_stuck(struct lane *l, uint32_t sent)
{
    if (sent > 0 || l->pending_count == 0) {
        l->stuck_ns = 0;
    } else if (l->stuck_ns == 0) {
        l->stuck_ns = l->now_ns;
    } else if (l->now_ns - l->stuck_ns > lane_stuck_ns) {
        for (uint32_t i = 0; i < l->pending_count; i++)
            drop(l, l->pending[(l->pending_first + i) % lane_pending_max], LANE_DROP_TX_STUCK);
        l->pending_count = 0;
        l->prepared = 0;
        l->stuck_ns = 0;
    }
}

/*
 * Drivers finish what a card is asked to do (rte_ethdev.h demands it before a burst), once for each
 * frame, and say which they cannot. Returns how many of the first n are ready; a first one that is
 * refused is dropped.
 */
static uint32_t made_ready(struct lane *l, struct rte_mbuf **frames, uint32_t n)
{
    if (!l->prepare)
        return n;
    if (l->prepared < n)
        l->prepared += rte_eth_tx_prepare(l->port->id, (uint16_t)l->tx_queue, frames + l->prepared,
                                          (uint16_t)(n - l->prepared));
    if (l->prepared == 0) {
        drop(l, frames[0], LANE_DROP_TX_REFUSED);
        l->pending_first = (l->pending_first + 1) % lane_pending_max;
        l->pending_count--;
    }
    return l->prepared < n ? l->prepared : n;
}

static uint16_t send_burst(struct lane *l, struct rte_mbuf **frames, uint16_t n)
{
    if (l->guard == NULL)
        return rte_eth_tx_burst(l->port->id, (uint16_t)l->tx_queue, frames, n);
    guard_enter(l->guard);
    n = rte_eth_tx_burst(l->port->id, (uint16_t)l->tx_queue, frames, n);
    guard_leave(l->guard);
    return n;
}

uint32_t lane_flush(struct lane *l)
{
    if (l->tx_queue < 0) {
        wake_others(l);
        return 0;
    }
    if (l->shards > 1)
        take_handed(l);
    uint32_t sent = 0;
    while (l->pending_count > 0) {
        uint32_t line = lane_pending_max - l->pending_first; /* up to the ring's end */
        struct rte_mbuf **frames = l->pending + l->pending_first;
        uint32_t n = made_ready(l, frames, l->pending_count < line ? l->pending_count : line);
        uint16_t taken = n > 0 ? send_burst(l, frames, (uint16_t)n) : 0;
        l->prepared -= l->prepare ? taken : 0;
        l->pending_first = (l->pending_first + taken) % lane_pending_max;
        l->pending_count -= taken;
        sent += taken;
        if (taken < n)
            break;
    }
    check_stuck(l, sent);
    return sent;
}

/* ---- answers ---- */

bool lane_waits(const struct lane *l)
{
    return l->pending_count > 0;
}

int lane_fd(const struct lane *l)
{
    return l->rx_queue >= 0 ? l->port->fds[l->rx_queue] : -1;
}

bool lane_has_queue(const struct lane *l)
{
    return l->rx_queue >= 0;
}

bool lane_has_handover(const struct lane *l)
{
    if (l->shards == 1)
        return false;
    return rte_ring_count(l->port->rx_handover[l->shard]) > 0 ||
           (l->tx_queue >= 0 && rte_ring_count(l->port->tx_handover[l->shard]) > 0);
}

void lane_capture(struct lane *l, struct capture *c, int64_t wall_offset_ns)
{
    l->capture = c;
    l->wall_offset_ns = wall_offset_ns;
}

void lane_now(struct lane *l, int64_t now_ns)
{
    l->now_ns = now_ns;
}

const struct lane_counters *lane_counters(const struct lane *l)
{
    return &l->counters;
}

const struct port *lane_port(const struct lane *l)
{
    return l->port;
}
