/* Log memory: taken, evicted, lent, given back, also from another thread. */
#include <pthread.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "base/rng.h"
#include "core/chain.h"
#include "storage/cache/cache.h"
#include "tests/unit/core/with_eal.h"

#define chunk_count 16

static struct mem mem;
static struct agent self;
static struct cache *cache;
static struct chunk *evicted[64];
static uint32_t evicted_count;
static struct chunk *held[chunk_count]; /* of test_conservation */

static void on_evict(struct chunk *chunk)
{
    CHECK(chunk->refs == 1 && chunk->owner == &cache);
    evicted[evicted_count++ % 64] = chunk;
    chunk->owner = NULL;
    for (uint32_t i = 0; i < chunk_count; i++)
        if (held[i] == chunk)
            held[i] = NULL;
}

static void up(void)
{
    static bool eal;
    static uint32_t made;
    if (!eal)
        with_eal(32);
    eal = true;
    struct mem_plan plan = {.total_bytes = 64 * MIB,
                            .shards = 1,
                            .rx_bufs = 16,
                            .tx_bufs = 16,
                            .ref_bufs = 255,
                            .log_chunks = chunk_count,
                            .request_bytes = MIB,
                            .request_max = MIB};
    CU_ASSERT_EQUAL_FATAL(mem_init(&mem, &plan, made++), 0);
    CU_ASSERT_EQUAL_FATAL(agent_init(&self, "shard", 0, 64, NULL, NULL), 0);
    agent_enter(&self);
    CU_ASSERT_EQUAL_FATAL(cache_new(&cache, &mem, &self, on_evict), 0);
    evicted_count = 0;
}

static void down(void)
{
    struct cache_stats stats;
    cache_stats(cache, &stats);
    CU_ASSERT_EQUAL(stats.free + stats.kept, stats.chunks);
    CU_ASSERT_EQUAL(stats.lent, 0);
    CU_ASSERT_EQUAL(stats.dirty, stats.kept);
    cache_free(cache);
    agent_fini(&self);
    mem_fini(&mem);
}

static void own(struct chunk *list)
{
    for (; list; list = list->next)
        list->owner = &cache;
}

static void drop(struct chunk *chunk)
{
    chunk->owner = NULL;
    chunk_release(cache, chunk);
}

static void drop_list(struct chunk *list)
{
    while (list) {
        struct chunk *next = list->next;
        drop(list);
        list = next;
    }
}

static void test_all_or_none(void)
{
    struct chunk *a, *b = NULL, *none = (struct chunk *)1;
    up();
    CU_ASSERT_EQUAL(cache_take(cache, 0, &b), 0);
    CU_ASSERT_PTR_NULL(b);
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count + 1, &none), ERR_FULL);
    CU_ASSERT_PTR_EQUAL(none, (struct chunk *)1);
    CU_ASSERT_EQUAL(cache_take(cache, 10, &a), 0);
    CU_ASSERT_EQUAL(cache_take(cache, 7, &b), ERR_FULL);
    CU_ASSERT_EQUAL(cache_available(cache), 6);
    uint32_t n = 0;
    for (struct chunk *c = a; c; c = c->next, n++)
        memset(c->data, (int)n, tail_chunk_bytes); /* distinct and whole */
    CU_ASSERT_EQUAL(n, 10);
    drop_list(a);
    down();
}

static void test_oldest_clean_is_evicted(void)
{
    struct chunk *a, *b, *c;
    up();
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count, &a), 0);
    own(a);
    CU_ASSERT_EQUAL(cache_take(cache, 1, &b), ERR_FULL); /* dirty ones stay */
    struct chunk *first = a, *second = a->next, *rest = second->next;
    chunk_clean(cache, second);
    chunk_clean(cache, first);
    chunk_dirty(cache, second);
    CU_ASSERT_EQUAL(cache_available(cache), 1);
    chunk_clean(cache, second);
    CU_ASSERT_EQUAL(cache_take(cache, 1, &b), 0);
    CU_ASSERT_PTR_EQUAL(evicted[0], first);
    CU_ASSERT_EQUAL(cache_take(cache, 1, &c), 0);
    CU_ASSERT_PTR_EQUAL(evicted[1], second);
    CU_ASSERT_EQUAL(evicted_count, 2);
    drop(b);
    drop(c);
    drop_list(rest);
    down();
}

static void test_lent_is_not_evicted(void)
{
    struct chunk *a, *b;
    struct chain out;
    up();
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count, &a), 0);
    own(a);
    for (struct chunk *c = a; c; c = c->next) {
        memset(c->data, 'x', tail_chunk_bytes);
        chunk_clean(cache, c);
    }
    chain_init(&out);
    struct cache_piece pieces[2] = {{a, 0, tail_chunk_bytes}, {a->next, 10, 100}};
    struct chunk *lent = a;
    CU_ASSERT_EQUAL(cache_lend(cache, 0, pieces, 2, &out), 0);
    CU_ASSERT_EQUAL(out.bytes, tail_chunk_bytes + 100);
    CU_ASSERT_EQUAL(cache_available(cache), chunk_count - 2);
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count - 1, &b), ERR_FULL);
    struct chunk *second = a->next, *others;
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count - 2, &others), 0);
    CU_ASSERT_EQUAL(evicted_count, chunk_count - 2);
    /* the owner lets go while it is lent: the bytes stay until the reply is freed */
    drop(lent);
    uint8_t seen[32];
    chain_copy_out(&out, 1000, seen, sizeof(seen));
    CU_ASSERT_EQUAL(seen[0], 'x');
    CU_ASSERT_EQUAL(cache_available(cache), 0);
    chain_free(&out);
    CU_ASSERT_EQUAL(cache_available(cache), 2);
    drop(second);
    drop_list(others);
    down();
}

/* A range of more chunks than one lend block holds. */
static void test_long_range(void)
{
    struct chunk *a;
    struct chain out;
    up();
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count, &a), 0);
    struct cache_piece pieces[chunk_count * 2];
    uint32_t n = 0;
    for (struct chunk *c = a; c; c = c->next) {
        memset(c->data, 'a' + (int)n, tail_chunk_bytes);
        pieces[n] = (struct cache_piece){c, 0, tail_chunk_bytes};
        pieces[n + chunk_count] = (struct cache_piece){c, 5, 1};
        n++;
    }
    chain_init(&out);
    CU_ASSERT_EQUAL(cache_lend(cache, 0, pieces, chunk_count * 2, &out), 0);
    CU_ASSERT_EQUAL(out.bytes, (uint64_t)chunk_count * (tail_chunk_bytes + 1));
    for (uint32_t i = 0; i < chunk_count; i++) {
        uint8_t b;
        chain_copy_out(&out, (uint64_t)i * tail_chunk_bytes + 77, &b, 1);
        CU_ASSERT_EQUAL(b, 'a' + i);
        chain_copy_out(&out, (uint64_t)chunk_count * tail_chunk_bytes + i, &b, 1);
        CU_ASSERT_EQUAL(b, 'a' + i);
    }
    chain_free(&out);
    drop_list(a);
    down();
}

static void test_no_mbufs_changes_nothing(void)
{
    struct chunk *a;
    struct chain out;
    up();
    CU_ASSERT_EQUAL(cache_take(cache, 1, &a), 0);
    chain_init(&out);
    struct cache_piece piece = {a, 0, 1};
    uint32_t lent = 0;
    while (cache_lend(cache, 0, &piece, 1, &out) == 0)
        lent++;
    CU_ASSERT(lent >= 200 && lent <= 255);
    CU_ASSERT_EQUAL(out.bytes, lent);
    CU_ASSERT_EQUAL(a->refs, lent + 1);
    chain_free(&out);
    CU_ASSERT_EQUAL(a->refs, 1);
    drop(a);
    down();
}

struct waiting {
    struct cache_waiter waiter;
    struct chunk *got;
    int order;
    bool again;
};
static int wait_order;

static void on_ready(struct cache_waiter *w)
{
    struct waiting *x = (struct waiting *)w;
    x->order = ++wait_order;
    if (x->again) {
        x->again = false;
        cache_wait(cache, w);
    } else {
        CU_ASSERT_EQUAL(cache_take(cache, w->chunks, &x->got), 0);
    }
}

static void test_waiters_are_served_in_order(void)
{
    struct chunk *a;
    up();
    wait_order = 0;
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count, &a), 0);
    struct waiting big = {.waiter = {.ready = on_ready, .chunks = 4}};
    struct waiting small = {.waiter = {.ready = on_ready, .chunks = 1}, .again = true};
    struct waiting gone = {.waiter = {.ready = on_ready, .chunks = 1}};
    cache_wait(cache, &big.waiter);
    cache_wait(cache, &gone.waiter);
    cache_wait(cache, &small.waiter);
    cache_wait_cancel(cache, &gone.waiter);
    cache_wait_cancel(cache, &gone.waiter);
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 0);
    struct chunk *next = a->next;
    drop(a);
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 0); /* the small one does not overtake */
    for (int i = 0; i < 4; i++) {
        a = next;
        next = a->next;
        drop(a);
    }
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 2); /* waits again: its turn is in the next run */
    CU_ASSERT_EQUAL(big.order, 1);
    CU_ASSERT_EQUAL(small.order, 2);
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 1);
    CU_ASSERT_EQUAL(gone.order, 0);
    drop_list(big.got);
    drop_list(small.got);
    drop_list(next);
    down();
}

static struct agent other;

static void on_told(struct cache_waiter *w)
{
    struct chunk *none;
    ((struct waiting *)w)->order = ++wait_order;
    CU_ASSERT_EQUAL(cache_take(cache, w->chunks, &none), ERR_FULL);
}

/* What is kept comes back at the next start alone: who needs it is told, others go on. */
static void test_kept_is_no_hope(void)
{
    struct chunk *a, *rest;
    up();
    wait_order = 0;
    CU_ASSERT_EQUAL(cache_take(cache, 3, &a), 0);
    CU_ASSERT_EQUAL(cache_take(cache, chunk_count - 3, &rest), 0);
    struct waiting big = {.waiter = {.ready = on_told, .chunks = chunk_count - 2}};
    struct waiting fits = {.waiter = {.ready = on_ready, .chunks = chunk_count - 3}};
    cache_wait(cache, &big.waiter);
    cache_wait(cache, &fits.waiter);
    CU_ASSERT_FALSE(cache_hopeless(cache, chunk_count + 1)); /* nothing is kept */
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 0);
        struct chunk *next = a->next;
        chunk_keep(cache, a);
        a = next;
    }
    CU_ASSERT_EQUAL(cache_kept(cache), 3);
    CU_ASSERT(cache_hopeless(cache, chunk_count - 2) && !cache_hopeless(cache, chunk_count - 3));
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 1);
    CU_ASSERT(big.order == 1 && fits.order == 0);
    drop_list(rest);
    CU_ASSERT_EQUAL(cache_run(cache, 0, 8), 1);
    CU_ASSERT_EQUAL(fits.order, 2);
    drop_list(fits.got);
    down();
}

static void *free_elsewhere(void *arg)
{
    agent_enter(&other);
    chain_free(arg);
    agent_flush(&other);
    agent_enter(NULL);
    return NULL;
}

/* The last mbuf is freed on another thread: the chunk comes home by message, not in place. */
static void test_comes_home_by_message(void)
{
    struct chunk *a;
    struct chain out;
    pthread_t thread;
    up();
    CU_ASSERT_EQUAL_FATAL(agent_init(&other, "other", 1, 64, NULL, NULL), 0);
    CU_ASSERT_EQUAL(cache_take(cache, 1, &a), 0);
    chain_init(&out);
    struct cache_piece piece = {a, 0, tail_chunk_bytes};
    CU_ASSERT_EQUAL(cache_lend(cache, 0, &piece, 1, &out), 0);
    CU_ASSERT_EQUAL(pthread_create(&thread, NULL, free_elsewhere, &out), 0);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(a->refs, 2);
    CU_ASSERT_EQUAL(agent_receive(&self, 8), 1);
    CU_ASSERT_EQUAL(a->refs, 1);
    drop(a);
    agent_fini(&other);
    down();
}

/* Random use: nothing is lost, nothing is given twice. */
static void test_conservation(void)
{
    struct rng rng;
    struct chain chains[8];
    up();
    rng_seed(&rng, unit_seed());
    for (int i = 0; i < 8; i++)
        chain_init(&chains[i]);
    for (int step = 0; step < 20000; step++) {
        uint32_t i = (uint32_t)rng_below(&rng, chunk_count);
        switch (rng_below(&rng, 5)) {
        case 0:
            if (held[i] == NULL && cache_take(cache, 1, &held[i]) == 0)
                held[i]->owner = &cache;
            for (uint32_t k = 0; k < chunk_count; k++)
                CU_ASSERT(k == i || held[k] == NULL || held[k] != held[i]);
            break;
        case 1:
            if (held[i])
                chunk_clean(cache, held[i]);
            break;
        case 2:
            if (held[i])
                chunk_dirty(cache, held[i]);
            break;
        case 3:
            if (held[i]) {
                struct cache_piece piece = {held[i], 0,
                                            1 + (uint32_t)rng_below(&rng, tail_chunk_bytes)};
                cache_lend(cache, 0, &piece, 1, &chains[rng_below(&rng, 8)]);
            }
            break;
        default:
            chain_free(&chains[rng_below(&rng, 8)]);
            if (held[i] && rng_below(&rng, 2)) {
                drop(held[i]);
                held[i] = NULL;
            }
        }
    }
    for (int i = 0; i < 8; i++)
        chain_free(&chains[i]);
    for (uint32_t i = 0; i < chunk_count; i++)
        if (held[i])
            drop(held[i]);
    memset(held, 0, sizeof(held));
    down();
}

UNIT_MAIN("cache", UNIT_CASE(test_all_or_none), UNIT_CASE(test_oldest_clean_is_evicted),
          UNIT_CASE(test_lent_is_not_evicted), UNIT_CASE(test_long_range),
          UNIT_CASE(test_no_mbufs_changes_nothing), UNIT_CASE(test_waiters_are_served_in_order),
          UNIT_CASE(test_kept_is_no_hope), UNIT_CASE(test_comes_home_by_message),
          UNIT_CASE(test_conservation))
