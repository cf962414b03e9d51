#include "tests/unit/dataplane/nic/cable.h"

#include <rte_eth_ring.h>
#include <rte_ring.h>
#include <string.h>

#include "tests/unit/core/with_eal.h"

#define heap_mb       256
#define frame_bufs    4095
#define external_room (4 << 20) /* more than can be under way */

static struct rte_mempool *data_pool, *ref_pool;
static uint8_t external_bytes[external_room];
static struct rte_mbuf_ext_shared_info external_info;

static void external_freed(void *addr, void *opaque)
{
}

static void up(void)
{
    if (data_pool != NULL)
        return;
    with_eal_args(heap_mb, "--no-huge --single-file-segments"); /* the latter for zero copy */
    data_pool = with_pool("frames", frame_bufs, 10240);
    ref_pool = with_pool("refs", frame_bufs, 0);
    external_info.free_cb = external_freed;
    rte_mbuf_ext_refcnt_set(&external_info, 1);
}

static struct port *open_port(const char *device, uint16_t mtu, uint32_t shards)
{
    struct port_options o = {.device = device,
                             .mtu = mtu,
                             .shards = shards,
                             .offloads = port_offloads_all,
                             .pool_bufs = 4095};
    char why[512] = "";
    struct port *p = NULL;
    int err = port_open(&p, &o, why, sizeof(why));
    if (err != 0)
        fprintf(stderr, "%s\n", why);
    CU_ASSERT_EQUAL_FATAL(err, 0);
    return p;
}

static void ring_devices(uint32_t number, uint32_t queues)
{
    struct rte_ring *rings[2][8];
    char name[64];
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t q = 0; q < queues; q++) {
            snprintf(name, sizeof(name), "cable%u.%u.%u", number, side, q);
            rings[side][q] =
                rte_ring_create(name, 1024, SOCKET_ID_ANY, RING_F_SP_ENQ | RING_F_SC_DEQ);
            CU_ASSERT_PTR_NOT_NULL_FATAL(rings[side][q]);
        }
    for (uint32_t side = 0; side < 2; side++) {
        snprintf(name, sizeof(name), "cable%u_%u", number, side);
        CU_ASSERT_TRUE_FATAL(rte_eth_from_rings(name, rings[side], queues, rings[!side], queues,
                                                SOCKET_ID_ANY) >= 0);
    }
}

static bool both_up(const struct cable *c)
{
    struct port_link a, b;
    port_link(c->a, &a);
    port_link(c->b, &b);
    return a.up && b.up;
}

void cable_open(struct cable *c, enum cable_kind kind, uint16_t mtu, uint32_t shards)
{
    static uint32_t number;
    char a[128], b[128];
    up();
    number++;
    if (kind == CABLE_RING) {
        ring_devices(number, shards < 2 ? 1 : 2);
        snprintf(a, sizeof(a), "net_ring_cable%u_0", number);
        snprintf(b, sizeof(b), "net_ring_cable%u_1", number);
    } else {
        int id = (int)getpid();
        snprintf(a, sizeof(a), "net_memif%u,role=server,id=%u,socket=sluice-test-%d-%u", 2 * number,
                 number, id, number);
        snprintf(b, sizeof(b), "net_memif%u,role=client,id=%u,socket=sluice-test-%d-%u%s",
                 2 * number + 1, number, id, number,
                 kind == CABLE_MEMIF_ZERO_COPY ? ",zero-copy=yes" : "");
    }
    c->a = open_port(a, mtu, shards);
    c->b = open_port(b, mtu, shards);
    struct lane *la = cable_lane(c->a, 0), *lb = cable_lane(c->b, 0);
    struct rte_mbuf *frames[4];
    for (int i = 0; i < 60000 && !both_up(c); i++) {
        lane_receive(la, frames, 4); /* memif's client connects when it is polled */
        lane_receive(lb, frames, 4);
        usleep(1000);
    }
    CU_ASSERT_TRUE_FATAL(both_up(c));
    lane_free(la);
    lane_free(lb);
}

void cable_close(struct cable *c)
{
    port_close(c->a);
    port_close(c->b);
}

static void wake_nobody(void *ctx, uint32_t to)
{
}

struct lane *cable_lane(struct port *p, uint32_t shard)
{
    struct lane_options o = {.port = p, .shard = shard, .wake = wake_nobody};
    struct lane *l = NULL;
    CU_ASSERT_EQUAL_FATAL(lane_new(&l, &o), 0);
    return l;
}

static uint8_t content(uint32_t key, uint32_t i)
{
    return i < 12 ? 2 : (uint8_t)((key * 2654435761u + i * 40503u) >> 11);
}

static struct rte_mbuf *piece(uint32_t from, uint32_t n, uint32_t key)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(data_pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    uint8_t *p = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
    for (uint32_t i = 0; i < n; i++)
        p[i] = content(key, from + i);
    return m;
}

static struct rte_mbuf *referring(uint32_t from, uint32_t n, uint32_t key, bool external)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(ref_pool);
    CU_ASSERT_PTR_NOT_NULL_FATAL(m);
    if (external) {
        /* each frame its own place: a driver may look at it late */
        static uint32_t place;
        place = place + n > external_room ? 0 : place;
        for (uint32_t i = 0; i < n; i++)
            external_bytes[place + i] = content(key, from + i);
        rte_mbuf_ext_refcnt_update(&external_info, 1);
        rte_pktmbuf_attach_extbuf(m, external_bytes + place, 0, (uint16_t)n, &external_info);
        place += n;
    } else {
        struct rte_mbuf *direct = piece(from, n, key);
        rte_pktmbuf_attach(m, direct);
        rte_pktmbuf_free(direct);
    }
    m->data_len = (uint16_t)n;
    return m;
}

struct rte_mbuf *cable_frame(uint32_t n, uint32_t key, enum cable_form form)
{
    if (form == FORM_LINEAR)
        return piece(0, n, key);
    uint32_t head = 34 < n ? 34 : n;
    struct rte_mbuf *m = piece(0, head, key), *last = m;
    for (uint32_t at = head; at < n;) {
        uint32_t len = form == FORM_CHAIN ? (n - at + 1) / 2 : n - at;
        struct rte_mbuf *next = form == FORM_CHAIN ? piece(at, len, key)
                                                   : referring(at, len, key, form == FORM_EXTERNAL);
        last->next = next;
        last = next;
        m->nb_segs++;
        at += len;
    }
    m->pkt_len = n;
    return m;
}

bool cable_frame_is(const struct rte_mbuf *m, uint32_t n, uint32_t key)
{
    uint32_t at = 0;
    if (m->pkt_len != n)
        return false;
    for (; m != NULL; m = m->next)
        for (uint32_t i = 0; i < m->data_len; i++, at++)
            if (rte_pktmbuf_mtod(m, const uint8_t *)[i] != content(key, at))
                return false;
    return at == n;
}

bool cable_frames_back(void)
{
    return rte_mempool_avail_count(data_pool) == frame_bufs &&
           rte_mempool_avail_count(ref_pool) == frame_bufs &&
           rte_mbuf_ext_refcnt_read(&external_info) == 1;
}
