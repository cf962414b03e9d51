#include "core/chain.h"

#include <rte_mbuf.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

/* --- building -------------------------------------------------------------------------------- */

/* Links one mbuf of length > 0 whose `next` the caller no longer needs. */
static inline void link_seg(struct chain *c, struct rte_mbuf *m)
{
    m->next = NULL;
    if (c->tail != NULL)
        c->tail->next = m;
    else
        c->head = m;
    c->tail = m;
    c->bytes += m->data_len;
    c->segs++;
}

/* Unlinks the first mbuf; the caller owns it. */
static inline struct rte_mbuf *unlink_head(struct chain *c)
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

void chain_free(struct chain *c)
{
    if (c == NULL)
        return;
    for (struct rte_mbuf *m = c->head; m != NULL;) {
        struct rte_mbuf *next = m->next;
        rte_pktmbuf_free_seg(m);
        m = next;
    }
    chain_init(c);
}

void chain_append(struct chain *c, struct rte_mbuf *m)
{
    while (m != NULL) {
        struct rte_mbuf *next = m->next;
        if (m->data_len == 0)
            rte_pktmbuf_free_seg(m);
        else
            link_seg(c, m);
        m = next;
    }
}

void chain_join(struct chain *c, struct chain *from)
{
    if (from->head == NULL)
        return;
    if (c->tail != NULL)
        c->tail->next = from->head;
    else
        c->head = from->head;
    c->tail = from->tail;
    c->bytes += from->bytes;
    c->segs += from->segs;
    chain_init(from);
}

/* Bytes that may be written behind the data of m: none if anybody else may see its buffer. */
static uint32_t writable_tailroom(const struct rte_mbuf *m)
{
    if (m == NULL || !RTE_MBUF_DIRECT(m) || rte_mbuf_refcnt_read(m) != 1)
        return 0;
    return rte_pktmbuf_tailroom(m);
}

int chain_append_bytes(struct chain *c, struct rte_mempool *pool, const void *p, size_t n)
{
    const uint8_t *from = p;
    size_t fill = writable_tailroom(c->tail);
    if (fill > n)
        fill = n;

    /* New mbufs first, so that a failure leaves the chain as it was. */
    struct chain more;
    chain_init(&more);
    for (size_t done = fill; done < n;) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        uint32_t room = m != NULL ? rte_pktmbuf_tailroom(m) : 0;
        if (room == 0) {
            rte_pktmbuf_free(m);
            chain_free(&more);
            return ERR_NO_MEMORY;
        }
        size_t piece = n - done < room ? n - done : room;
        memcpy(rte_pktmbuf_mtod(m, void *), from + done, piece);
        m->data_len = (uint16_t)piece;
        link_seg(&more, m);
        done += piece;
    }
    if (fill > 0) {
        memcpy(rte_pktmbuf_mtod_offset(c->tail, void *, c->tail->data_len), from, fill);
        c->tail->data_len = (uint16_t)(c->tail->data_len + fill);
        c->bytes += fill;
    }
    chain_join(c, &more);
    return 0;
}

/* --- cutting and sharing --------------------------------------------------------------------- */

/* Drops n < data_len bytes from the front of the first mbuf. */
static inline void trim_head(struct chain *c, uint32_t n)
{
    c->head->data_off = (uint16_t)(c->head->data_off + n);
    c->head->data_len = (uint16_t)(c->head->data_len - n);
    c->bytes -= n;
}

void chain_consume(struct chain *c, uint64_t n)
{
    CHECK(n <= c->bytes);
    while (n > 0) {
        uint32_t len = c->head->data_len;
        if (n < len) {
            trim_head(c, (uint32_t)n);
            return;
        }
        n -= len;
        rte_pktmbuf_free_seg(unlink_head(c));
    }
}

/* References that keep the bytes of m alive: 16 bits, in its shared info or its direct mbuf. */
static uint32_t buffer_refs(struct rte_mbuf *m)
{
    if (RTE_MBUF_HAS_EXTBUF(m))
        return rte_mbuf_ext_refcnt_read(m->shinfo);
    return rte_mbuf_refcnt_read(RTE_MBUF_CLONED(m) ? rte_mbuf_from_indirect(m) : m);
}

/* An indirect mbuf over bytes [off, off + len) of m; NULL without memory or references left. */
static struct rte_mbuf *share_seg(struct rte_mbuf *m, uint32_t off, uint32_t len,
                                  struct rte_mempool *pool)
{
    if (buffer_refs(m) >= chain_refs_max)
        return NULL;
    struct rte_mbuf *shared = rte_pktmbuf_alloc(pool);
    if (shared == NULL)
        return NULL;
    rte_pktmbuf_attach(shared, m);
    shared->data_off = (uint16_t)(m->data_off + off);
    shared->data_len = (uint16_t)len;
    return shared;
}

int chain_split(struct chain *c, uint64_t n, struct rte_mempool *pool, struct chain *out)
{
    CHECK(n <= c->bytes);
    uint64_t whole = 0; /* bytes of the mbufs that pass to out as they are */
    struct rte_mbuf *cut = c->head;
    while (cut != NULL && whole + cut->data_len <= n) {
        whole += cut->data_len;
        cut = cut->next;
    }

    uint32_t part = (uint32_t)(n - whole);
    struct rte_mbuf *shared = NULL;
    if (part > 0) {
        CHECK(cut != NULL);
        shared = share_seg(cut, 0, part, pool);
        if (shared == NULL)
            return ERR_NO_MEMORY;
    }
    while (c->head != cut)
        link_seg(out, unlink_head(c));
    if (shared != NULL) {
        link_seg(out, shared);
        trim_head(c, part);
    }
    return 0;
}

int chain_share(struct chain_view v, struct rte_mempool *pool, struct chain *out)
{
    struct chain list;
    chain_init(&list);
    while (v.len > 0) {
        CHECK(v.at.seg != NULL);
        uint32_t left = v.at.seg->data_len - v.at.off;
        uint32_t len = left < v.len ? left : v.len;
        if (len > 0) {
            struct rte_mbuf *shared = share_seg(v.at.seg, v.at.off, len, pool);
            if (shared == NULL) {
                chain_free(&list);
                return ERR_NO_MEMORY;
            }
            link_seg(&list, shared);
        }
        v.len -= len;
        v.at = (struct chain_pos){v.at.seg->next, 0};
    }
    chain_join(out, &list);
    return 0;
}

/* --- reading --------------------------------------------------------------------------------- */

struct chain_pos chain_pos_at(const struct chain *c, uint64_t off)
{
    CHECK(off <= c->bytes);
    if (off == c->bytes)
        return (struct chain_pos){c->tail, c->tail != NULL ? c->tail->data_len : 0};
    struct rte_mbuf *m = c->head;
    while (m != NULL && off >= m->data_len) {
        off -= m->data_len;
        m = m->next;
    }
    return (struct chain_pos){m, (uint32_t)off};
}

bool chain_view_next(struct chain_view *v, const uint8_t **p, uint32_t *n)
{
    if (v->len == 0)
        return false;
    CHECK(v->at.seg != NULL);
    if (v->at.off == v->at.seg->data_len) {
        v->at = (struct chain_pos){v->at.seg->next, 0};
        CHECK(v->at.seg != NULL);
    }
    struct rte_mbuf *m = v->at.seg;
    uint32_t left = m->data_len - v->at.off;
    uint32_t len = left < v->len ? left : v->len;
    *p = rte_pktmbuf_mtod_offset(m, const uint8_t *, v->at.off);
    *n = len;
    v->len -= len;
    if (len == left && m->next != NULL)
        v->at = (struct chain_pos){m->next, 0};
    else
        v->at.off += len;
    return true;
}

void chain_view_copy(struct chain_view v, void *dst, size_t n)
{
    CHECK(n <= v.len);
    v.len = (uint32_t)n;
    uint8_t *to = dst;
    const uint8_t *p;
    uint32_t len;
    while (chain_view_next(&v, &p, &len)) {
        memcpy(to, p, len);
        to += len;
    }
}

void chain_copy_out(const struct chain *c, uint64_t off, void *dst, size_t n)
{
    CHECK(off <= c->bytes && n <= c->bytes - off);
    struct chain_pos at = chain_pos_at(c, off);
    uint8_t *to = dst;
    while (n > 0) {
        uint32_t left = at.seg->data_len - at.off;
        uint32_t len = n < left ? (uint32_t)n : left;
        memcpy(to, rte_pktmbuf_mtod_offset(at.seg, const uint8_t *, at.off), len);
        to += len;
        n -= len;
        at = (struct chain_pos){at.seg->next, 0};
    }
}

const void *chain_peek(const struct chain *c, size_t n, void *scratch)
{
    CHECK(n <= c->bytes);
    if (c->head != NULL && n <= c->head->data_len)
        return rte_pktmbuf_mtod(c->head, const void *);
    chain_copy_out(c, 0, scratch, n);
    return scratch;
}
