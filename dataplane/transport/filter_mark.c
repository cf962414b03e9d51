#include "dataplane/transport/filter_mark.h"

#include <rte_mbuf.h>

#include "base/err.h"

#define wrap_bytes 512

struct mark_state {
    struct filter_mark how;
    uint32_t rx_until, tx_until; /* bytes before the next marker */
};

static int mark_open(void *ctx, void *state, bool active)
{
    struct mark_state *s = state;
    s->how = *(const struct filter_mark *)ctx;
    return 0;
}

static void mark_close(void *state)
{
}

/* Decodes n bytes from src to dst (dst <= src); returns how many, or ERR_MALFORMED. */
static int decode(struct mark_state *s, const uint8_t *src, uint32_t n, uint8_t *dst)
{
    uint8_t *at = dst;
    for (uint32_t i = 0; i < n; i++) {
        if (s->how.every != 0 && s->rx_until == 0) {
            if (src[i] != filter_mark_byte)
                return ERR_MALFORMED;
            s->rx_until = s->how.every;
            continue;
        }
        s->rx_until--;
        *at++ = src[i] ^ s->how.key;
    }
    return (int)(at - dst);
}

/* A private copy of a shared mbuf's bytes, or m itself. NULL: no memory. */
static struct rte_mbuf *writable(struct mem *mem, struct rte_mbuf *m)
{
    if (RTE_MBUF_DIRECT(m) && rte_mbuf_refcnt_read(m) == 1)
        return m;
    struct rte_mbuf *copy = rte_pktmbuf_alloc(mem->rx_pool);
    if (copy == NULL || rte_pktmbuf_tailroom(copy) < m->data_len) {
        rte_pktmbuf_free(copy);
        return NULL;
    }
    rte_memcpy(rte_pktmbuf_mtod(copy, void *), rte_pktmbuf_mtod(m, void *), m->data_len);
    copy->data_len = m->data_len;
    return copy;
}

/* Detaches the first mbuf of a chain. */
static struct rte_mbuf *pop(struct chain *c)
{
    struct rte_mbuf *m = c->head;
    c->head = m->next;
    if (c->head == NULL)
        c->tail = NULL;
    c->bytes -= m->data_len;
    c->segs--;
    m->next = NULL;
    return m;
}

static int mark_unwrap(void *state, struct mem *mem, struct chain *wire, struct chain *plain,
                       struct chain *reply)
{
    struct mark_state *s = state;
    while (wire->bytes > 0) {
        struct rte_mbuf *m = writable(mem, wire->head);
        if (m == NULL)
            return ERR_NO_MEMORY;
        struct rte_mbuf *old = pop(wire);
        if (old != m)
            rte_pktmbuf_free_seg(old);
        uint8_t *bytes = rte_pktmbuf_mtod(m, uint8_t *);
        int n = decode(s, bytes, m->data_len, bytes);
        m->data_len = n > 0 ? (uint16_t)n : 0;
        chain_append(plain, m);
        if (n < 0)
            return n;
    }
    return 0;
}

static int mark_wrap(void *state, struct mem *mem, struct chain *plain, uint64_t wire_max,
                     struct chain *wire)
{
    struct mark_state *s = state;
    uint8_t in[wrap_bytes], out[2 * wrap_bytes];
    while (plain->bytes > 0 && wire->bytes < wire_max) {
        uint32_t n = plain->bytes < wrap_bytes ? (uint32_t)plain->bytes : wrap_bytes;
        uint32_t until = s->tx_until, made = 0;
        chain_copy_out(plain, 0, in, n);
        for (uint32_t i = 0; i < n; i++) {
            if (s->how.every != 0 && until == 0) {
                out[made++] = filter_mark_byte;
                until = s->how.every;
            }
            until--;
            out[made++] = in[i] ^ s->how.key;
        }
        int err = chain_append_bytes(wire, mem->tx_pool, out, made);
        if (err < 0)
            return err;
        s->tx_until = until;
        chain_consume(plain, n);
    }
    return 0;
}

static int mark_finish(void *state, struct mem *mem, struct chain *wire)
{
    return 0;
}

static uint64_t mark_wire_want(const void *state, uint64_t left, uint64_t plain)
{
    const struct mark_state *s = state;
    uint64_t wire = plain;
    if (s->how.every != 0 && plain > s->rx_until)
        wire += (plain - s->rx_until + s->how.every - 1) / s->how.every;
    return wire > left ? wire - left : 0;
}

const struct filter_ops filter_mark_ops = {
    .state_bytes = sizeof(struct mark_state),
    .open = mark_open,
    .close = mark_close,
    .unwrap = mark_unwrap,
    .wrap = mark_wrap,
    .finish = mark_finish,
    .wire_want = mark_wire_want,
};
