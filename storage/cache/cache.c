#include "storage/cache/cache.h"

#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "storage/cache/holder.h"
#include "storage/plant.h"

/* One per reply range (or per lend_chunks_max chunks of it): the holds that its mbufs share. */
struct lend {
    struct rte_mbuf_ext_shared_info shared;
    struct msg home;
    struct cache *cache;
    struct lend *next;
    struct holder *holder; /* for whom it is counted; NULL: nobody */
    uint32_t count;
    struct chunk *held[lend_chunks_max];
};

#define lends_min        1024
#define lend_piece_bytes 32768 /* an mbuf's length is 16 bits: a whole chunk takes two */

struct cache {
    struct mem *mem;
    struct agent *self;
    cache_evict_fn *evict;
    struct chunk *chunks;
    struct lend *lends, *lends_free;
    struct chunk *free;
    struct chunk *lru, **lru_tail; /* oldest first */
    struct cache_waiter *waiters, **waiters_tail;
    uint32_t chunk_count, free_count, lru_count, dirty_count, lent_count, kept_count;
    uint32_t lent_chunks;
    struct holders holders; /* of read memory */
    struct region *region;  /* NULL: none */
    uint64_t sequence;      /* of the last mark */
    uint64_t evictions, waits;
};

/* reads: how many may count chunks (cache_hold) that are not lent yet; 0: no readers. */
static int cache_over(struct cache **out, struct mem *mem, uint8_t *base, uint64_t bytes,
                      struct agent *self, cache_evict_fn *evict, uint32_t reads)
{
    struct cache *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->mem = mem;
    c->self = self;
    c->evict = evict;
    c->chunk_count = (uint32_t)(bytes / tail_chunk_bytes);
    uint32_t lends = c->chunk_count * 2 > lends_min ? c->chunk_count * 2 : lends_min;
    c->chunks = calloc(c->chunk_count ? c->chunk_count : 1, sizeof(*c->chunks));
    c->lends = calloc(lends, sizeof(*c->lends));
    if (c->chunks == NULL || c->lends == NULL ||
        (reads > 0 && holders_init(&c->holders, lends + reads) != 0)) {
        cache_free(c);
        return ERR_NO_MEMORY;
    }
    for (uint32_t i = c->chunk_count; i-- > 0;) {
        c->chunks[i].data = base + (uint64_t)i * tail_chunk_bytes;
        c->chunks[i].next = c->free;
        c->free = &c->chunks[i];
    }
    c->free_count = c->chunk_count;
    for (uint32_t i = lends; i-- > 0;) {
        c->lends[i].cache = c;
        c->lends[i].next = c->lends_free;
        c->lends_free = &c->lends[i];
    }
    c->lru_tail = &c->lru;
    c->waiters_tail = &c->waiters;
    *out = c;
    return 0;
}

int cache_new(struct cache **out, struct mem *mem, struct agent *self, cache_evict_fn *evict)
{
    return cache_over(out, mem, mem->log_base, mem->log_bytes, self, evict, 0);
}

int cache_new_reads(struct cache **out, struct mem *mem, struct agent *self, uint32_t reads)
{
    return cache_over(out, mem, mem->read_base, mem->read_bytes, self, NULL, reads);
}

void cache_free(struct cache *c)
{
    if (c == NULL)
        return;
    free(c->chunks);
    free(c->lends);
    holders_fini(&c->holders);
    free(c);
}

void cache_use_region(struct cache *c, struct region *r)
{
    CHECK(c->free_count == c->chunk_count && r->chunks == c->chunk_count);
    mem_log_use(c->mem, r->data);
    for (uint32_t i = 0; i < c->chunk_count; i++)
        c->chunks[i].data = r->data + (uint64_t)i * tail_chunk_bytes;
    c->region = r;
}

bool cache_named(const struct cache *c)
{
    return c->region != NULL;
}

static void lru_add(struct cache *c, struct chunk *chunk)
{
    chunk->lru_next = NULL;
    chunk->lru_prev = c->lru_tail;
    *c->lru_tail = chunk;
    c->lru_tail = &chunk->lru_next;
    c->lru_count++;
}

static void lru_remove(struct cache *c, struct chunk *chunk)
{
    if (chunk->lru_prev == NULL)
        return;
    *chunk->lru_prev = chunk->lru_next;
    if (chunk->lru_next)
        chunk->lru_next->lru_prev = chunk->lru_prev;
    else
        c->lru_tail = chunk->lru_prev;
    chunk->lru_prev = NULL;
    c->lru_count--;
}

static struct region_mark *mark_of(struct cache *c, struct chunk *chunk)
{
    return &c->region->marks[chunk - c->chunks];
}

static void unmark(struct cache *c, struct chunk *chunk)
{
    if (c->region)
        region_mark_clear(mark_of(c, chunk));
}

void chunk_mark(struct cache *c, struct chunk *chunk, const struct region_place *place)
{
    if (c->region == NULL || PLANT(UNMARKED))
        return;
    CHECK(!chunk->clean && chunk->used > chunk->start);
    struct region_mark *m = mark_of(c, chunk);
    if (!chunk->placed) {
        struct region_place all = *place;
        all.position = (uint32_t)chunk->file_pos;
        all.start = chunk->start;
        all.sequence = ++c->sequence;
        chunk->place_hash = region_mark_place(m, &all);
        chunk->placed = true;
    }
    region_mark_store(m, chunk->place_hash, chunk->used);
}

void chunk_keep(struct cache *c, struct chunk *chunk)
{
    CHECK(!chunk->clean);
    chunk->owner = NULL;
    chunk->kept = true;
    c->kept_count++;
}

static void chunk_free(struct cache *c, struct chunk *chunk)
{
    if (!chunk->clean) {
        c->dirty_count--;
        unmark(c, chunk);
    }
    lru_remove(c, chunk);
    chunk->owner = NULL;
    chunk->next = c->free;
    c->free = chunk;
    c->free_count++;
}

uint32_t cache_available(const struct cache *c)
{
    return c->free_count + c->lru_count;
}

uint32_t cache_dirty(const struct cache *c)
{
    return c->dirty_count;
}

uint32_t cache_size(const struct cache *c)
{
    return c->chunk_count;
}

uint32_t cache_kept(const struct cache *c)
{
    return c->kept_count;
}

bool cache_hopeless(const struct cache *c, uint32_t n)
{
    return c->kept_count > 0 && n > c->chunk_count - c->kept_count;
}

static void evict_oldest(struct cache *c)
{
    struct chunk *chunk = c->lru;
    CHECK(chunk != NULL && chunk->refs == 1);
    c->evictions++;
    c->evict(chunk);
    chunk->refs = 0;
    chunk_free(c, chunk);
}

int cache_take(struct cache *c, uint32_t n, struct chunk **out_list)
{
    if (n > cache_available(c))
        return ERR_FULL;
    while (c->free_count < n)
        evict_oldest(c);
    struct chunk *list = NULL, **tail = &list;
    for (uint32_t i = 0; i < n; i++) {
        struct chunk *chunk = c->free;
        c->free = chunk->next;
        chunk->used = 0;
        chunk->start = 0;
        chunk->refs = 1;
        chunk->file_pos = 0;
        chunk->clean = false;
        chunk->placed = false;
        chunk->owner = NULL;
        chunk->next = NULL;
        *tail = chunk;
        tail = &chunk->next;
    }
    c->free_count -= n;
    c->dirty_count += n;
    *out_list = list;
    return 0;
}

void chunk_release(struct cache *c, struct chunk *chunk)
{
    CHECK(chunk->refs > 0);
    if (--chunk->refs == 0)
        chunk_free(c, chunk);
    else if (chunk->refs == 1 && chunk->clean && chunk->owner)
        lru_add(c, chunk);
}

void cache_drop_kept(struct cache *c, const struct uuid *topic_id, int32_t partition)
{
    for (uint32_t i = 0; c->kept_count > 0 && i < c->chunk_count; i++) {
        struct chunk *chunk = &c->chunks[i];
        if (!chunk->kept)
            continue;
        const struct region_mark *m = mark_of(c, chunk);
        if (m->partition != partition || memcmp(m->topic_id, topic_id->b, sizeof(m->topic_id)) != 0)
            continue;
        chunk->kept = false;
        c->kept_count--;
        chunk_release(c, chunk);
    }
}

void chunk_clean(struct cache *c, struct chunk *chunk)
{
    if (chunk->clean)
        return;
    chunk->clean = true;
    c->dirty_count--;
    unmark(c, chunk);
    if (chunk->refs == 1)
        lru_add(c, chunk);
}

void chunk_dirty(struct cache *c, struct chunk *chunk)
{
    if (!chunk->clean)
        return;
    chunk->clean = false;
    c->dirty_count++;
    lru_remove(c, chunk);
}

static void lend_done(struct lend *lend)
{
    struct cache *c = lend->cache;
    for (uint32_t i = 0; i < lend->count; i++) {
        c->lent_chunks -= --lend->held[i]->lends == 0;
        chunk_release(c, lend->held[i]);
    }
    if (lend->holder && lend->count > 0)
        holders_drop(&c->holders, lend->holder, lend->count);
    lend->holder = NULL;
    lend->count = 0;
    lend->next = c->lends_free;
    c->lends_free = lend;
    c->lent_count--;
}

static void lend_deliver(struct msg *msg)
{
    lend_done((struct lend *)((char *)msg - offsetof(struct lend, home)));
}

/*
 * The last mbuf of a lend block was freed, on whatever thread that was. Without an agent on the
 * thread the process is being taken down by its main thread, which owns everything then.
 */
static void lend_freed(void *addr, void *opaque)
{
    struct lend *lend = opaque;
    struct agent *here = agent_current();
    if (here == NULL || here == lend->cache->self) {
        lend_done(lend);
        return;
    }
    lend->home.deliver = lend_deliver;
    agent_post(here, lend->cache->self, &lend->home);
}

static struct lend *lend_open(struct cache *c)
{
    struct lend *lend = c->lends_free;
    if (lend == NULL)
        return NULL;
    c->lends_free = lend->next;
    lend->shared.free_cb = lend_freed;
    lend->shared.fcb_opaque = lend;
    rte_mbuf_ext_refcnt_set(&lend->shared, 0);
    lend->count = 0;
    c->lent_count++;
    return lend;
}

/* mbufs for one piece, at the end of `out`; each counts in the lend block. */
static bool lend_piece(struct cache *c, struct lend *lend, const struct cache_piece *piece,
                       struct chain *out)
{
    for (uint32_t at = 0; at < piece->len;) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(c->mem->ref_pool);
        if (m == NULL)
            return false;
        uint32_t n = piece->len - at < lend_piece_bytes ? piece->len - at : lend_piece_bytes;
        uint8_t *p = piece->chunk->data + piece->off + at;
        rte_pktmbuf_attach_extbuf(m, p, (rte_iova_t)(uintptr_t)p, (uint16_t)n, &lend->shared);
        rte_mbuf_ext_refcnt_update(&lend->shared, 1);
        m->data_off = 0;
        m->data_len = (uint16_t)n;
        m->pkt_len = n;
        chain_append(out, m);
        at += n;
    }
    return true;
}

static void lend_hold(struct cache *c, struct lend *lend, struct chunk *chunk, uint64_t reader)
{
    if (PLANT(BUFFER_REUSED))
        return;
    lend->held[lend->count++] = chunk;
    chunk->refs++;
    c->lent_chunks += chunk->lends++ == 0;
    if (reader != 0 && c->holders.all)
        lend->holder = holders_add(&c->holders, reader, 1);
    lru_remove(c, chunk);
}

uint32_t cache_held(const struct cache *c, uint64_t reader)
{
    return reader && c->holders.all ? holders_chunks(&c->holders, reader) : 0;
}

uint32_t cache_lent_chunks(const struct cache *c)
{
    return c->lent_chunks;
}

struct holder *cache_hold(struct cache *c, uint64_t reader, uint32_t n)
{
    return reader && c->holders.all ? holders_add(&c->holders, reader, n) : NULL;
}

void cache_unhold(struct cache *c, struct holder *holder, uint32_t n)
{
    if (holder)
        holders_drop(&c->holders, holder, n);
}

int cache_lend(struct cache *c, uint64_t reader, const struct cache_piece *pieces, uint32_t n,
               struct chain *out)
{
    struct chain made;
    chain_init(&made);
    struct lend *lend = NULL;
    for (uint32_t i = 0; i < n; i++) {
        if (pieces[i].len == 0)
            continue;
        if (lend == NULL || lend->count == lend_chunks_max) {
            lend = lend_open(c);
            if (lend == NULL)
                goto fail;
        }
        lend_hold(c, lend, pieces[i].chunk, reader);
        if (!lend_piece(c, lend, &pieces[i], &made))
            goto fail;
    }
    chain_join(out, &made);
    return 0;
fail:
    /* freeing its last mbuf gives a lend block back; one that has no mbuf is given back here */
    if (lend && rte_mbuf_ext_refcnt_read(&lend->shared) == 0)
        lend_done(lend);
    chain_free(&made);
    return ERR_NO_MEMORY;
}

void cache_wait(struct cache *c, struct cache_waiter *w)
{
    CHECK(w->prev == NULL);
    c->waits++;
    w->next = NULL;
    w->prev = c->waiters_tail;
    *c->waiters_tail = w;
    c->waiters_tail = &w->next;
}

void cache_wait_cancel(struct cache *c, struct cache_waiter *w)
{
    if (w->prev == NULL)
        return;
    *w->prev = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        c->waiters_tail = w->prev;
    w->prev = NULL;
}

uint32_t cache_wanted(const struct cache *c)
{
    return c->waiters ? c->waiters->chunks : 0;
}

/* The first waiter has its answer: what it wants is there, or never will be. */
static bool first_is_due(const struct cache *c)
{
    uint32_t n = c->waiters->chunks;
    return cache_available(c) >= n || cache_hopeless(c, n);
}

/*
 * Only those that wait now: one that waits again from inside `ready` has its turn in the next run.
 */
uint32_t cache_run(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct cache *c = ctx;
    uint32_t done = 0;
    struct cache_waiter *last = NULL;
    if (c->waiters)
        last =
            (struct cache_waiter *)((char *)c->waiters_tail - offsetof(struct cache_waiter, next));
    while (c->waiters && done < budget && first_is_due(c)) {
        struct cache_waiter *w = c->waiters;
        cache_wait_cancel(c, w);
        done++;
        bool end = w == last;
        w->ready(w);
        if (end)
            break;
    }
    return done;
}

void cache_stats(const struct cache *c, struct cache_stats *out)
{
    *out = (struct cache_stats){
        .chunks = c->chunk_count,
        .free = c->free_count,
        .dirty = c->dirty_count,
        .lent = c->lent_count,
        .kept = c->kept_count,
        .evictions = c->evictions,
        .waits = c->waits,
    };
}
