#include "dataplane/nic/capture.h"

#include <pthread.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"

/* The classic format with nanoseconds (pcap-savefile(5)), in this machine's byte order. */
struct file_header {
    uint32_t magic;
    uint16_t major, minor;
    uint32_t zone, sigfigs, snap, link;
};

struct frame_header {
    uint32_t seconds, nanoseconds, kept, length;
};

#define magic_nanoseconds 0xa1b23c4d
#define link_ethernet     1
#define snap_max          262144
#define proto_tcp         6

/*
 * The lane takes a new number under the lock and begins anew; from then on it alone writes, and moves
 * `used` behind whole frames. Who reads up to `used` with the same number sees frames that do not change,
 * until the next start.
 */
struct capture {
    struct capture_switch sw; /* first */
    pthread_mutex_t lock;     /* of asked */
    struct capture_filter asked;
    _Atomic uint32_t running; /* the number whose frames are in memory */
    _Atomic uint64_t used, missed;
    struct capture_filter filter; /* the lane's copy */
    uint8_t *memory;
    uint64_t size;
};

struct capture_set {
    pthread_mutex_t lock;
    uint32_t on, last; /* numbers; on 0: off */
    uint32_t count;
    struct capture lanes[];
};

int capture_set_new(struct capture_set **out, uint64_t bytes, uint32_t lanes)
{
    if (lanes == 0 || lanes > capture_lanes_max || bytes / lanes < capture_lane_bytes_min)
        return ERR_INVALID;
    struct capture_set *s = calloc(1, sizeof(*s) + lanes * sizeof(s->lanes[0]));
    if (s == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&s->lock, NULL);
    for (; s->count < lanes; s->count++) {
        struct capture *c = &s->lanes[s->count];
        c->size = bytes / lanes;
        c->memory = malloc(c->size);
        if (c->memory == NULL) {
            capture_set_free(s);
            return ERR_NO_MEMORY;
        }
        pthread_mutex_init(&c->lock, NULL);
    }
    *out = s;
    return 0;
}

void capture_set_free(struct capture_set *s)
{
    for (uint32_t i = 0; s != NULL && i < s->count; i++) {
        pthread_mutex_destroy(&s->lanes[i].lock);
        free(s->lanes[i].memory);
    }
    if (s != NULL)
        pthread_mutex_destroy(&s->lock);
    free(s);
}

struct capture *capture_set_lane(struct capture_set *s, uint32_t i)
{
    return i < s->count ? &s->lanes[i] : NULL;
}

/* ---- the lane's side ---- */

/* False: somebody changes the filter right now; with the next burst then. */
static bool begin(struct capture *c, uint32_t number)
{
    if (pthread_mutex_trylock(&c->lock) != 0)
        return false;
    c->filter = c->asked;
    pthread_mutex_unlock(&c->lock);
    atomic_store_explicit(&c->used, 0, memory_order_relaxed);
    atomic_store_explicit(&c->missed, 0, memory_order_relaxed);
    atomic_store_explicit(&c->running, number, memory_order_release);
    return true;
}

static bool address_is(const uint8_t *p, bool v4, const struct capture_filter *f)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (v4)
        return memcmp(f->address, mapped, 12) == 0 && memcmp(p, f->address + 12, 4) == 0;
    return memcmp(p, f->address, 16) == 0;
}

/* A frame of the address; of a port, only a first (or whole) TCP packet of it. */
static bool matches(const struct rte_mbuf *m, const struct capture_filter *f)
{
    const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);
    size_t n = m->data_len, at = 14;
    if (!f->has_address && f->port == 0)
        return true;
    if (n < at)
        return false;
    uint16_t type = bytes_get_u16(p + 12);
    if (type == 0x8100 && n >= 18) {
        type = bytes_get_u16(p + 16);
        at = 18;
    }
    bool v4 = type == 0x0800 && n >= at + 20, v6 = type == 0x86dd && n >= at + 40;
    const uint8_t *ip = p + at;
    if (!v4 && !v6)
        return false;
    if (f->has_address && !address_is(ip + (v4 ? 12 : 8), v4, f) &&
        !address_is(ip + (v4 ? 16 : 24), v4, f))
        return false;
    if (f->port == 0)
        return true;
    size_t tcp = at + (v4 ? (size_t)(ip[0] & 15) * 4 : 40);
    return ip[v4 ? 9 : 6] == proto_tcp && n >= tcp + 4 &&
           (bytes_get_u16(p + tcp) == f->port || bytes_get_u16(p + tcp + 2) == f->port);
}

static void keep(struct capture *c, const struct rte_mbuf *m, int64_t wall_ns)
{
    uint32_t snap = c->filter.snap != 0 ? c->filter.snap : snap_max;
    uint32_t kept = m->pkt_len < snap ? m->pkt_len : snap;
    uint64_t at = atomic_load_explicit(&c->used, memory_order_relaxed);
    struct frame_header head = {(uint32_t)(wall_ns / CLOCK_NS_PER_S),
                                (uint32_t)(wall_ns % CLOCK_NS_PER_S), kept, m->pkt_len};
    if (at + sizeof(head) + kept > c->size) {
        atomic_fetch_add_explicit(&c->missed, 1, memory_order_relaxed);
        return;
    }
    memcpy(c->memory + at, &head, sizeof(head));
    at += sizeof(head);
    for (uint32_t left = kept; left > 0 && m != NULL; m = m->next) {
        uint32_t n = m->data_len < left ? m->data_len : left;
        memcpy(c->memory + at, rte_pktmbuf_mtod(m, const void *), n);
        at += n;
        left -= n;
    }
    atomic_store_explicit(&c->used, at, memory_order_release);
}

void capture_frames(struct capture *c, struct rte_mbuf *const *frames, uint32_t n, int64_t wall_ns)
{
    uint32_t number = atomic_load_explicit(&c->sw.on, memory_order_acquire);
    if (number == 0)
        return;
    if (number != atomic_load_explicit(&c->running, memory_order_relaxed) && !begin(c, number))
        return;
    for (uint32_t i = 0; i < n; i++)
        if (matches(frames[i], &c->filter))
            keep(c, frames[i], wall_ns);
}

/* ---- the operator's side ---- */

int capture_set_start(struct capture_set *s, const struct capture_filter *filter)
{
    int err = ERR_BUSY;
    pthread_mutex_lock(&s->lock);
    if (s->on == 0) {
        s->last = s->last == UINT32_MAX ? 1 : s->last + 1;
        s->on = s->last;
        for (uint32_t i = 0; i < s->count; i++) {
            struct capture *c = &s->lanes[i];
            pthread_mutex_lock(&c->lock);
            c->asked = *filter;
            pthread_mutex_unlock(&c->lock);
            atomic_store_explicit(&c->sw.on, s->on, memory_order_release);
        }
        err = 0;
    }
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* What a lane has of the capture that is on. */
struct part {
    const uint8_t *at, *end;
};

static struct part part_of(const struct capture *c, uint32_t number, uint64_t *missed)
{
    if (atomic_load_explicit(&c->running, memory_order_acquire) != number)
        return (struct part){NULL, NULL}; /* no frame passed it */
    *missed += atomic_load_explicit(&c->missed, memory_order_relaxed);
    uint64_t used = atomic_load_explicit(&c->used, memory_order_acquire);
    return (struct part){c->memory, c->memory + used};
}

static bool earlier(const struct frame_header *a, const struct frame_header *b)
{
    return a->seconds != b->seconds ? a->seconds < b->seconds : a->nanoseconds < b->nanoseconds;
}

/* The part whose next frame is the oldest; NULL: all are empty. */
static struct part *oldest(struct part *parts, uint32_t count, struct frame_header *head)
{
    struct part *found = NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct frame_header h;
        if (parts[i].at == parts[i].end)
            continue;
        memcpy(&h, parts[i].at, sizeof(h));
        if (found == NULL || earlier(&h, head)) {
            found = &parts[i];
            *head = h;
        }
    }
    return found;
}

static void merge(struct part *parts, uint32_t count, struct capture_taken *out)
{
    struct file_header file = {magic_nanoseconds, 2, 4, 0, 0, snap_max, link_ethernet};
    struct frame_header head;
    struct part *p;
    memcpy(out->pcap, &file, sizeof(file));
    out->bytes = sizeof(file);
    while ((p = oldest(parts, count, &head)) != NULL) {
        size_t n = sizeof(head) + head.kept;
        memcpy(out->pcap + out->bytes, p->at, n);
        out->bytes += n;
        out->frames++;
        p->at += n;
    }
}

static int take(struct capture_set *s, struct capture_taken *out)
{
    struct part *parts = calloc(s->count, sizeof(*parts));
    size_t bytes = sizeof(struct file_header);
    *out = (struct capture_taken){.pcap = NULL};
    for (uint32_t i = 0; parts != NULL && i < s->count; i++) {
        parts[i] = part_of(&s->lanes[i], s->on, &out->missed);
        bytes += (size_t)(parts[i].end - parts[i].at);
    }
    if (parts != NULL)
        out->pcap = malloc(bytes);
    if (out->pcap != NULL)
        merge(parts, s->count, out);
    free(parts);
    return out->pcap != NULL ? 0 : ERR_NO_MEMORY;
}

int capture_set_stop(struct capture_set *s, struct capture_taken *out)
{
    int err = ERR_NOT_FOUND;
    pthread_mutex_lock(&s->lock);
    for (uint32_t i = 0; i < s->count; i++)
        atomic_store_explicit(&s->lanes[i].sw.on, 0, memory_order_release);
    if (s->on != 0)
        err = take(s, out);
    s->on = 0;
    pthread_mutex_unlock(&s->lock);
    return err;
}
