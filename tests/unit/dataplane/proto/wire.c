#include "wire.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/rng.h"
#include "core/eal.h"

void wire_start(void)
{
    char why[256] = "";
    struct eal_options options = {.memory_mb = 64};
    struct eal_state state;
    if (eal_up(&options, &state, why, sizeof(why)) < 0) {
        fprintf(stderr, "EAL: %s\n", why);
        abort();
    }
}

void wire_stop(void)
{
    eal_down();
}

struct rte_mempool *wire_pool(unsigned count, uint16_t room)
{
    static int made;
    char name[32];
    snprintf(name, sizeof(name), "wire-%d", made++);
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create(name, count, 0, 0, (uint16_t)(RTE_PKTMBUF_HEADROOM + room), 0);
    CHECK(pool != NULL);
    return pool;
}

/*
 * A direct mbuf outside any pool: struct and data in one block, as DPDK expects (an indirect mbuf
 * finds its direct one by address), the data ending where the block ends.
 */
static struct rte_mbuf *make_mbuf(const uint8_t *p, size_t n)
{
    void *block;
    CHECK(posix_memalign(&block, 64, sizeof(struct rte_mbuf) + n) == 0);
    struct rte_mbuf *m = block;
    memset(m, 0, sizeof(*m));
    m->buf_addr = m + 1;
    m->buf_len = (uint16_t)n;
    m->data_len = (uint16_t)n;
    m->pkt_len = (uint32_t)n;
    m->nb_segs = 1;
    rte_mbuf_refcnt_set(m, 1);
    memcpy(m->buf_addr, p, n);
    return m;
}

struct chain wire_chain(const void *p, size_t n, struct rng *rng, size_t piece_max)
{
    struct chain c;
    chain_init(&c);
    const uint8_t *from = p;
    while (n > 0) {
        size_t piece = rng ? 1 + rng_below(rng, piece_max) : piece_max;
        piece = piece < n ? piece : n;
        chain_append(&c, make_mbuf(from, piece));
        from += piece;
        n -= piece;
    }
    return c;
}

struct chain wire_chain_cut(const void *p, size_t n, size_t cut)
{
    struct chain c;
    chain_init(&c);
    if (cut > 0)
        chain_append(&c, make_mbuf(p, cut));
    if (cut < n)
        chain_append(&c, make_mbuf((const uint8_t *)p + cut, n - cut));
    return c;
}

void wire_free(struct chain *c)
{
    for (struct rte_mbuf *m = c->head; m != NULL;) {
        struct rte_mbuf *next = m->next;
        CHECK(rte_mbuf_refcnt_read(m) == 1);
        free(m);
        m = next;
    }
    chain_init(c);
}

uint8_t *wire_flat(const struct chain *c)
{
    uint8_t *p = malloc(c->bytes ? c->bytes : 1);
    CHECK(p != NULL);
    if (c->bytes)
        chain_copy_out(c, 0, p, c->bytes);
    return p;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    CHECK(c >= 'a' && c <= 'f');
    return c - 'a' + 10;
}

uint8_t *wire_unhex(const char *hex, size_t *n)
{
    size_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex);
    CHECK(len % 2 == 0);
    uint8_t *p = malloc(len / 2 + (len == 0));
    CHECK(p != NULL);
    for (size_t i = 0; i < len; i += 2)
        p[i / 2] = (uint8_t)(digit(hex[i]) << 4 | digit(hex[i + 1]));
    *n = len / 2;
    return p;
}
