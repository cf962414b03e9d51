/* chain: bytes held against a flat model, references counted, failures without traces. */
#include "core/chain.h"

#include <string.h>

#include "base/err.h"
#include "base/rng.h"
#include "tests/unit/core/with_eal.h"

#define room_bytes  64
#define model_bytes 4096

static struct rte_mempool *data_pool, *ref_pool;
static unsigned data_avail, ref_avail;

static void pools(void)
{
    if (data_pool == NULL) {
        with_eal(32);
        data_pool = with_pool("data", 255, room_bytes);
        ref_pool = with_pool("ref", 255, 0);
        data_avail = rte_mempool_avail_count(data_pool);
        ref_avail = rte_mempool_avail_count(ref_pool);
    }
}

/* Every mbuf is back. */
static void check_returned(void)
{
    CU_ASSERT_EQUAL(rte_mempool_avail_count(data_pool), data_avail);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(ref_pool), ref_avail);
}

/* The invariants of the header, and the content. */
static void check_chain(const struct chain *c, const uint8_t *want, size_t n)
{
    uint64_t bytes = 0;
    uint32_t segs = 0;
    struct rte_mbuf *last = NULL;
    for (struct rte_mbuf *m = c->head; m != NULL; m = m->next) {
        CU_ASSERT(m->data_len > 0);
        CU_ASSERT(bytes + m->data_len <= n &&
                  memcmp(rte_pktmbuf_mtod(m, void *), want + bytes, m->data_len) == 0);
        bytes += m->data_len;
        segs++;
        last = m;
    }
    CU_ASSERT_EQUAL(bytes, n);
    CU_ASSERT_EQUAL(c->bytes, n);
    CU_ASSERT_EQUAL(c->segs, segs);
    CU_ASSERT_PTR_EQUAL(c->tail, last);
}

struct model {
    struct chain chain;
    uint8_t bytes[model_bytes];
    size_t n;
};

static void model_append(struct model *m, const uint8_t *p, size_t n)
{
    memcpy(m->bytes + m->n, p, n);
    m->n += n;
}

static void model_drop(struct model *m, size_t n)
{
    memmove(m->bytes, m->bytes + n, m->n - n);
    m->n -= n;
}

static void append_random(struct model *m, struct rng *rng)
{
    uint8_t bytes[300];
    size_t n = rng_below(rng, sizeof(bytes) + 1);
    if (m->n + n > sizeof(m->bytes))
        return;
    rng_fill(rng, bytes, n);
    uint32_t segs = m->chain.segs;
    if (chain_append_bytes(&m->chain, data_pool, bytes, n) == 0)
        model_append(m, bytes, n);
    else
        CU_ASSERT_EQUAL(m->chain.segs, segs);
}

static void split_random(struct model *from, struct model *to, struct rng *rng)
{
    size_t n = rng_below(rng, from->n + 1);
    if (to->n + n > sizeof(to->bytes))
        return;
    int err = chain_split(&from->chain, n, ref_pool, &to->chain);
    if (err == 0) {
        model_append(to, from->bytes, n);
        model_drop(from, n);
    } else {
        CU_ASSERT_EQUAL(err, ERR_NO_MEMORY);
    }
}

static void share_random(struct model *from, struct model *to, struct rng *rng)
{
    size_t off = rng_below(rng, from->n + 1);
    size_t n = rng_below(rng, from->n - off + 1);
    if (to->n + n > sizeof(to->bytes))
        return;
    struct chain_view v = {.at = chain_pos_at(&from->chain, off), .len = (uint32_t)n};
    if (chain_share(v, ref_pool, &to->chain) == 0)
        model_append(to, from->bytes + off, n);
}

static void join_or_consume(struct model *from, struct model *to, struct rng *rng)
{
    if (rng_below(rng, 4) == 0 && to->n + from->n <= sizeof(to->bytes)) {
        chain_join(&to->chain, &from->chain);
        model_append(to, from->bytes, from->n);
        from->n = 0;
    } else {
        size_t n = rng_below(rng, from->n + 1);
        chain_consume(&from->chain, n);
        model_drop(from, n);
    }
}

static void read_random(const struct model *m, struct rng *rng)
{
    uint8_t got[model_bytes];
    size_t off = rng_below(rng, m->n + 1);
    size_t n = rng_below(rng, m->n - off + 1);
    chain_copy_out(&m->chain, off, got, n);
    CU_ASSERT(memcmp(got, m->bytes + off, n) == 0);
    CU_ASSERT(memcmp(chain_peek(&m->chain, n, got), m->bytes, n) == 0);

    struct chain_view v = {.at = chain_pos_at(&m->chain, off), .len = (uint32_t)n};
    chain_view_copy(v, got, n);
    CU_ASSERT(memcmp(got, m->bytes + off, n) == 0);
    const uint8_t *p;
    uint32_t len;
    size_t at = off;
    while (chain_view_next(&v, &p, &len)) {
        CU_ASSERT(len > 0 && memcmp(p, m->bytes + at, len) == 0);
        at += len;
        /* The place behind the piece is the one that chain_pos_at names. */
        struct chain_pos pos = chain_pos_at(&m->chain, at);
        CU_ASSERT(v.at.seg == pos.seg && v.at.off == pos.off);
    }
    CU_ASSERT_EQUAL(at, off + n);
}

static void random_operations(void)
{
    pools();
    struct rng rng;
    rng_seed(&rng, unit_seed());
    static struct model models[3];
    memset(models, 0, sizeof(models));
    for (int step = 0; step < 20000; step++) {
        struct model *a = &models[rng_below(&rng, 3)];
        struct model *b = &models[rng_below(&rng, 3)];
        switch (rng_below(&rng, 5)) {
        case 0:
            append_random(a, &rng);
            break;
        case 1:
            if (a != b)
                split_random(a, b, &rng);
            break;
        case 2:
            if (a != b)
                share_random(a, b, &rng);
            break;
        case 3:
            if (a != b)
                join_or_consume(a, b, &rng);
            break;
        default:
            read_random(a, &rng);
        }
        check_chain(&a->chain, a->bytes, a->n);
        check_chain(&b->chain, b->bytes, b->n);
    }
    for (int i = 0; i < 3; i++)
        chain_free(&models[i].chain);
    check_returned();
}

static void append_fills_the_tail(void)
{
    pools();
    struct chain c, part;
    chain_init(&c);
    chain_init(&part);
    uint8_t bytes[3 * room_bytes];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes, 10), 0);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes + 10, room_bytes - 10), 0);
    CU_ASSERT_EQUAL(c.segs, 1);
    /* A shared buffer is not written, although it has room. */
    chain_consume(&c, room_bytes);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes, 20), 0);
    CU_ASSERT_EQUAL(chain_split(&c, 10, ref_pool, &part), 0);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes + 20, 5), 0);
    CU_ASSERT_EQUAL(c.segs, 2);
    check_chain(&part, bytes, 10);
    check_chain(&c, bytes + 10, 15);
    /* Once the other reference has gone it may be: but only the last mbuf is looked at. */
    chain_free(&part);
    chain_consume(&c, 10);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes + 25, 30), 0);
    CU_ASSERT_EQUAL(c.segs, 1);
    check_chain(&c, bytes + 20, 35);
    chain_free(&c);
    chain_free(NULL);
    check_returned();
}

static void empty_mbufs_are_freed(void)
{
    pools();
    struct chain c;
    chain_init(&c);
    struct rte_mbuf *a = rte_pktmbuf_alloc(data_pool), *b = rte_pktmbuf_alloc(data_pool);
    b->data_len = 3;
    memcpy(rte_pktmbuf_mtod(b, void *), "abc", 3);
    a->next = b;
    b->next = rte_pktmbuf_alloc(data_pool);
    chain_append(&c, a);
    check_chain(&c, (const uint8_t *)"abc", 3);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(data_pool), data_avail - 1);
    chain_consume(&c, 3);
    check_chain(&c, NULL, 0);
    check_returned();
}

/* Takes all of a pool but `left`; give_back returns them. */
static struct rte_mbuf *taken[512];

static unsigned take_all_but(struct rte_mempool *pool, unsigned left)
{
    unsigned n = rte_mempool_avail_count(pool) - left;
    for (unsigned i = 0; i < n; i++)
        taken[i] = rte_pktmbuf_alloc(pool);
    return n;
}

static void give_back(unsigned n)
{
    rte_pktmbuf_free_bulk(taken, n);
}

static void failures_leave_no_trace(void)
{
    pools();
    uint8_t bytes[200] = {1, 2, 3};
    struct chain c, out;
    chain_init(&c);
    chain_init(&out);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes, 10), 0);
    unsigned n = take_all_but(data_pool, 1);
    /* The tail takes 54, one mbuf 64, and one is missing. */
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes, 150), ERR_NO_MEMORY);
    check_chain(&c, bytes, 10);
    CU_ASSERT_EQUAL(rte_mempool_avail_count(data_pool), 1);
    give_back(n);

    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, bytes + 10, 150), 0);
    n = take_all_but(ref_pool, 1);
    struct chain_view all = {.at = chain_pos_at(&c, 0), .len = 160};
    CU_ASSERT_EQUAL(chain_share(all, ref_pool, &out), ERR_NO_MEMORY);
    check_chain(&out, NULL, 0);
    struct rte_mbuf *last = rte_pktmbuf_alloc(ref_pool);
    CU_ASSERT_EQUAL(chain_split(&c, 70, ref_pool, &out), ERR_NO_MEMORY);
    check_chain(&out, NULL, 0);
    check_chain(&c, bytes, 160);
    /* A cut between two mbufs needs none. */
    CU_ASSERT_EQUAL(chain_split(&c, room_bytes, ref_pool, &out), 0);
    rte_pktmbuf_free(last);
    give_back(n);
    chain_free(&c);
    chain_free(&out);
    /* A pool without data room cannot hold bytes. */
    CU_ASSERT_EQUAL(chain_append_bytes(&c, ref_pool, bytes, 1), ERR_NO_MEMORY);
    check_returned();
}

static unsigned ext_freed;

static void ext_free(void *addr, void *opaque)
{
    (void)opaque;
    free(addr);
    ext_freed++;
}

/* Log memory travels as an external buffer: shared by shares of shares, freed with the last one. */
static void external_buffers(void)
{
    pools();
    struct rte_mbuf_ext_shared_info info = {.free_cb = ext_free};
    rte_mbuf_ext_refcnt_set(&info, 1);
    uint8_t *bytes = malloc(100);
    for (int i = 0; i < 100; i++)
        bytes[i] = (uint8_t)i;
    struct rte_mbuf *m = rte_pktmbuf_alloc(ref_pool);
    rte_pktmbuf_attach_extbuf(m, bytes, 0, 100, &info);
    m->data_len = 100;
    struct chain c, once, twice;
    chain_init(&c);
    chain_init(&once);
    chain_init(&twice);
    chain_append(&c, m);

    struct chain_view v = {.at = chain_pos_at(&c, 10), .len = 80};
    CU_ASSERT_EQUAL(chain_share(v, ref_pool, &once), 0);
    CU_ASSERT_EQUAL(chain_split(&once, 30, ref_pool, &twice), 0);
    CU_ASSERT_EQUAL(rte_mbuf_ext_refcnt_read(&info), 3);
    check_chain(&twice, bytes + 10, 30);
    check_chain(&once, bytes + 40, 50);
    /* No room in memory that is not ours: new bytes go to a new mbuf. */
    CU_ASSERT_EQUAL(chain_append_bytes(&once, data_pool, "x", 1), 0);
    CU_ASSERT_EQUAL(once.segs, 2);
    chain_free(&c);
    chain_free(&once);
    CU_ASSERT_EQUAL(ext_freed, 0);
    chain_free(&twice);
    CU_ASSERT_EQUAL(ext_freed, 1);
    check_returned();
}

static void references_are_bounded(void)
{
    pools();
    struct chain c, out;
    chain_init(&c);
    chain_init(&out);
    CU_ASSERT_EQUAL(chain_append_bytes(&c, data_pool, "abcdef", 6), 0);
    struct chain_view v = {.at = chain_pos_at(&c, 1), .len = 4};
    rte_mbuf_refcnt_set(c.head, chain_refs_max - 1);
    CU_ASSERT_EQUAL(chain_share(v, ref_pool, &out), 0);
    CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(c.head), chain_refs_max);
    CU_ASSERT_EQUAL(chain_share(v, ref_pool, &out), ERR_NO_MEMORY);
    CU_ASSERT_EQUAL(chain_split(&c, 2, ref_pool, &out), ERR_NO_MEMORY);
    /* An indirect mbuf counts on its direct one. */
    struct chain_view again = {.at = chain_pos_at(&out, 0), .len = 1};
    struct chain none;
    chain_init(&none);
    CU_ASSERT_EQUAL(chain_share(again, ref_pool, &none), ERR_NO_MEMORY);
    check_chain(&out, (const uint8_t *)"bcde", 4);
    check_chain(&c, (const uint8_t *)"abcdef", 6);
    rte_mbuf_refcnt_set(c.head, 2);
    chain_free(&c);
    chain_free(&out);
    check_returned();

    struct rte_mbuf_ext_shared_info info = {.free_cb = ext_free};
    rte_mbuf_ext_refcnt_set(&info, 1);
    struct rte_mbuf *m = rte_pktmbuf_alloc(ref_pool);
    rte_pktmbuf_attach_extbuf(m, malloc(8), 0, 8, &info);
    m->data_len = 8;
    chain_append(&c, m);
    rte_mbuf_ext_refcnt_set(&info, chain_refs_max);
    v = (struct chain_view){.at = chain_pos_at(&c, 0), .len = 8};
    CU_ASSERT_EQUAL(chain_share(v, ref_pool, &out), ERR_NO_MEMORY);
    rte_mbuf_ext_refcnt_set(&info, 1);
    chain_free(&c);
    check_returned();
}

UNIT_MAIN("core/chain", UNIT_CASE(random_operations), UNIT_CASE(append_fills_the_tail),
          UNIT_CASE(empty_mbufs_are_freed), UNIT_CASE(failures_leave_no_trace),
          UNIT_CASE(external_buffers), UNIT_CASE(references_are_bounded))
