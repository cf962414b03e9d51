/* Bytes from the disk for readers of old data, and ahead of them. */
#include "storage/plog/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

#define block_floor(n) ((n) / write_block_bytes * write_block_bytes)

static struct streams *streams_of(const struct plog *p)
{
    return &p->env->shard->streams;
}

/* --- the shard's ------------------------------------------------------------------------------ */

static void queue_init(struct stream_queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void lru_remove(struct streams *all, struct stream *st)
{
    *st->prev = st->next;
    if (st->next)
        st->next->prev = st->prev;
    else
        all->lru_tail = st->prev;
}

static void lru_add(struct streams *all, struct stream *st)
{
    st->next = NULL;
    st->prev = all->lru_tail;
    *all->lru_tail = st;
    all->lru_tail = &st->next;
}

int streams_init(struct streams *all, struct plog_env *env)
{
    *all = (struct streams){.most = plog_shard_reads_max};
    all->all = calloc(plog_streams_max, sizeof(*all->all));
    all->blocks = calloc(plog_shard_reads_max, sizeof(*all->blocks));
    if (all->all == NULL || all->blocks == NULL ||
        cache_new_reads(&all->memory, env->mem, env->self, plog_reads_max) != 0) {
        streams_fini(all);
        return ERR_NO_MEMORY;
    }
    CHECK(cache_size(all->memory) >= plog_read_chunks_min);
    queue_init(&all->demand);
    queue_init(&all->ahead);
    all->lru_tail = &all->lru;
    for (uint32_t i = 0; i < plog_streams_max; i++) {
        all->all[i].blocks_tail = &all->all[i].blocks;
        lru_add(all, &all->all[i]);
    }
    for (uint32_t i = 0; i < plog_shard_reads_max; i++) {
        all->blocks[i].next = all->blocks_free;
        all->blocks_free = &all->blocks[i];
    }
    return 0;
}

void streams_fini(struct streams *all)
{
    free(all->all);
    free(all->blocks);
    cache_free(all->memory);
}

/* --- turns ------------------------------------------------------------------------------------ */

static void queue_add(struct stream *st)
{
    struct streams *all = streams_of(st->plog);
    struct stream_queue *q = st->issued < st->wanted ? &all->demand : &all->ahead;
    if (st->queued || st->issued >= st->stop)
        return;
    st->queued = true;
    st->queue_next = NULL;
    *q->tail = st;
    q->tail = &st->queue_next;
}

static bool queue_unlink(struct stream_queue *q, struct stream *st)
{
    for (struct stream **at = &q->head; *at; at = &(*at)->queue_next) {
        if (*at != st)
            continue;
        *at = st->queue_next;
        if (q->tail == &st->queue_next)
            q->tail = at;
        return true;
    }
    return false;
}

static void queue_remove(struct stream *st)
{
    struct streams *all = streams_of(st->plog);
    if (!st->queued)
        return;
    if (!queue_unlink(&all->demand, st))
        queue_unlink(&all->ahead, st);
    st->queued = false;
}

static struct stream *queue_next(struct streams *all)
{
    struct stream_queue *q = all->demand.head ? &all->demand : &all->ahead;
    struct stream *st = q->head;
    if (st == NULL)
        return NULL;
    queue_unlink(q, st);
    st->queued = false;
    return st;
}

/* --- requests --------------------------------------------------------------------------------- */

static uint32_t chunk_at(const struct stream *st, uint32_t position)
{
    return (position - st->base) / tail_chunk_bytes;
}

/* Blocks under way go on alone, with their chunks. */
static void orphan(struct stream *st)
{
    struct streams *all = streams_of(st->plog);
    while (st->blocks) {
        struct stream_block *b = st->blocks;
        st->blocks = b->next;
        b->stream = NULL;
        if (b->done) {
            b->next = all->blocks_free;
            all->blocks_free = b;
            continue;
        }
        if (PLANT(READ_REUSED)) {
            b->chunk_count = 0;
            continue;
        }
        for (uint32_t i = 0; i < b->chunk_count; i++)
            st->chunks[chunk_at(st, b->from) + i] = NULL;
    }
    st->blocks_tail = &st->blocks;
}

/* Lets go of everything; who its reader is stays known. */
static void empty(struct stream *st)
{
    if (st->plog == NULL)
        return;
    uint32_t from = st->wanted > st->next_position ? st->wanted : st->next_position;
    if (st->issued > from && st->ahead > 0)
        st->plog->env->reads.wasted_bytes += st->issued - from;
    queue_remove(st);
    orphan(st);
    for (uint32_t i = 0; i < st->chunk_count; i++)
        if (st->chunks[i])
            chunk_release(st->cache, st->chunks[i]);
    st->chunk_count = 0;
    st->have = st->issued = st->stop = st->wanted = st->base;
    st->err = 0;
}

/* Over the blocks that have ended, in order. */
static void advance(struct stream *st)
{
    struct streams *all = streams_of(st->plog);
    while (st->blocks && st->blocks->done) {
        struct stream_block *b = st->blocks;
        if (b->err && st->err == 0)
            st->err = b->err;
        if (st->err == 0)
            st->have = b->valid;
        st->blocks = b->next;
        if (st->blocks == NULL)
            st->blocks_tail = &st->blocks;
        b->next = all->blocks_free;
        all->blocks_free = b;
    }
}

static void block_orphaned(struct streams *all, struct stream_block *b)
{
    for (uint32_t i = 0; i < b->chunk_count; i++)
        chunk_release(b->cache, b->chunks[i]);
    b->next = all->blocks_free;
    all->blocks_free = b;
}

static void block_done(struct io_req *req, int64_t result)
{
    struct stream_block *b =
        (struct stream_block *)((char *)req - offsetof(struct stream_block, req));
    struct plog *p = b->plog;
    struct plog_env *env = p->env;
    struct streams *all = &env->shard->streams;
    plog_fail_flush(p); /* may take the stream from its block */
    struct stream *st = b->stream;
    struct read_op *op = st ? st->op : NULL;
    if (result >= 0 && result < (int64_t)(b->valid - b->from) && !PLANT(READ_UNWRITTEN))
        result = ERR_CORRUPT; /* the file is shorter than what was written to it */
    b->err = result < 0 ? (int)result : 0;
    b->done = true;
    if (result > 0)
        env->reads.disk_bytes += (uint64_t)result;
    env->reads.under_way = --all->under_way;
    segment_unpin(b->segment);
    if (st)
        advance(st);
    else
        block_orphaned(all, b);
    streams_issue(env);
    if (op)
        read_op_arrived(op);
    p->reads--; /* until here nobody may take the plog away */
    plog_detach_try(p);
}

static void block_fill(struct stream_block *b, struct stream *st)
{
    struct segment *s = st->segment;
    uint32_t cap = st->issued + stream_block_chunks_max * tail_chunk_bytes;
    uint32_t to = st->stop < cap ? st->stop : cap, pieces = 0;
    uint32_t bytes = to - st->issued;
    if (s->direct) /* the rest of the last block is read too, and does not count */
        bytes = block_floor(bytes + write_block_bytes - 1);
    *b = (struct stream_block){.stream = st,
                               .plog = st->plog,
                               .segment = s,
                               .cache = st->cache,
                               .from = st->issued,
                               .valid = to};
    for (uint32_t at = 0; at < bytes; at += tail_chunk_bytes) {
        struct chunk *chunk = st->chunks[chunk_at(st, st->issued) + pieces];
        b->chunks[pieces] = chunk;
        b->iov[pieces++] = (struct iovec){
            chunk->data, bytes - at < tail_chunk_bytes ? bytes - at : tail_chunk_bytes};
    }
    b->chunk_count = pieces;
    b->req = (struct io_req){.op = IO_READ,
                             .file = s->direct ? s->direct : s->file,
                             .iov = b->iov,
                             .iov_count = pieces,
                             .offset = st->issued,
                             .bytes = bytes,
                             .done = block_done};
}

static void issue_block(struct plog_env *env, struct stream *st)
{
    struct streams *all = &env->shard->streams;
    struct stream_block *b = all->blocks_free;
    all->blocks_free = b->next;
    block_fill(b, st);
    *st->blocks_tail = b;
    st->blocks_tail = &b->next;
    st->segment->pins++;
    st->plog->reads++;
    env->reads.under_way = ++all->under_way;
    env->reads.disk_requests++;
    if (b->from >= st->wanted)
        env->reads.ahead_bytes += b->valid - b->from;
    st->issued = b->valid;
    io_submit(env->io, &b->req);
    queue_add(st); /* behind the others */
}

/* While writes are under way, and a little longer, reads leave them room at the device. */
static uint32_t reads_allowed(const struct plog_env *env)
{
    int64_t since_ns = *env->now_ns - env->shard->wrote_ns;
    if (env->shard->writes_under_way > 0 || group_writing(env))
        return plog_busy_reads_max;
    return since_ns < plog_busy_ms * CLOCK_NS_PER_MS ? plog_busy_reads_max : plog_shard_reads_max;
}

void streams_issue(struct plog_env *env)
{
    struct streams *all = &env->shard->streams;
    env->reads.most = all->most = reads_allowed(env);
    while (all->blocks_free && all->under_way < all->most) {
        struct stream *st = queue_next(all);
        if (st == NULL)
            return;
        if (st->segment->file && st->segment->loaded)
            issue_block(env, st);
        else
            empty(st); /* it is being closed: nobody reads there now */
    }
}

/* --- one stream ------------------------------------------------------------------------------- */

static void leave(struct stream *st)
{
    empty(st);
    st->plog = NULL;
    st->segment = NULL;
    st->next_offset = -1;
    st->next_position = st->ahead = 0;
}

/*
 * Gives back chunks of readers that have not come again, the longest unused first, until n are free.
 * once: only of those that came once.
 */
static void reclaim(struct streams *all, uint32_t n, bool once)
{
    for (struct stream *st = all->lru; st && cache_available(all->memory) < n; st = st->next) {
        if (st->op || st->chunk_count == 0 || (once && st->ahead > 0))
            continue;
        empty(st);
        st->ahead /= 2;
    }
}

struct stream *stream_take(struct plog *p, int64_t offset, struct read_op *op)
{
    struct streams *all = streams_of(p);
    struct stream *st = all->lru;
    while (st && (st->op || st->plog != p || st->next_offset != offset))
        st = st->next;
    if (st) {
        st->ahead = st->ahead == 0 ? plog_ahead_bytes_min : st->ahead * 2;
        if (st->ahead > plog_ahead_bytes_max)
            st->ahead = plog_ahead_bytes_max;
    } else {
        st = all->lru;
        while (st->op) /* there are more streams than reads */
            st = st->next;
        leave(st);
        st->plog = p;
    }
    st->op = op;
    lru_remove(all, st);
    lru_add(all, st);
    return st;
}

void stream_give(struct stream *st)
{
    const struct plog *p = st->plog;
    struct streams *all = streams_of(p);
    st->op = NULL;
    if (p->failed || p->state != PLOG_ATTACHED || st->segment == NULL || st->segment->doomed ||
        st->cache != all->memory)
        leave(st);
    if (cache_wanted(all->memory) > 0) /* by a read that found nothing to reclaim when it came */
        reclaim(all, cache_wanted(all->memory), false);
}

void stream_restart(struct stream *st, struct segment *s, uint32_t position, struct cache *cache)
{
    empty(st);
    st->segment = s;
    st->cache = cache;
    st->base = block_floor(position);
    st->have = st->issued = st->stop = st->wanted = st->base;
}

void stream_seek(struct stream *st, struct segment *s, uint32_t position, struct cache *cache)
{
    bool within = st->segment == s && st->cache == cache && st->err == 0 && position >= st->base &&
                  position < st->stop;
    if (!within)
        stream_restart(st, s, position, cache);
}

/*
 * How far the disk is needed: the file has it, and from there on the tail cache has all of it. Chunks leave
 * the cache in any order; one that is there alone, with none behind it, ends nothing.
 */
static uint32_t disk_end(const struct stream *st, uint32_t from, uint32_t to)
{
    const struct segment *s = st->segment;
    uint32_t at = s->written < to && !PLANT(READ_UNWRITTEN) ? s->written : to;
    while (at > from) {
        uint32_t slot = (at - 1) / tail_chunk_bytes, begin = slot * tail_chunk_bytes;
        const struct chunk *chunk = slot < s->chunk_slots ? s->chunks[slot] : NULL;
        if (begin <= from || chunk == NULL || chunk->start > 0 || chunk->used < at - begin)
            break;
        at = begin;
    }
    return at;
}

/* Behind the chunks, up to `to`: what would be asked for, and how many chunks that takes. */
static uint32_t extent(const struct stream *st, uint32_t to, uint32_t *chunks)
{
    uint32_t whole = st->base + st->chunk_count * (uint32_t)tail_chunk_bytes;
    *chunks = 0;
    if (to <= st->stop || st->err || (st->stop != whole && st->chunk_count > 0))
        return st->stop; /* it ended within a chunk: as much as the disk had */
    uint64_t n = ((uint64_t)to - st->base + tail_chunk_bytes - 1) / tail_chunk_bytes;
    if (n > stream_chunks_max)
        n = stream_chunks_max;
    uint64_t end = st->base + n * tail_chunk_bytes;
    uint32_t stop = disk_end(st, st->stop, end < UINT32_MAX ? (uint32_t)end : UINT32_MAX);
    if (stop <= st->stop)
        return st->stop;
    *chunks = (stop - st->base + tail_chunk_bytes - 1) / tail_chunk_bytes - st->chunk_count;
    return stop;
}

static void extend(struct stream *st, uint32_t stop, struct chunk *list)
{
    for (; list; list = list->next)
        st->chunks[st->chunk_count++] = list;
    st->stop = stop;
}

int stream_want(struct stream *st, uint32_t to, uint32_t *chunks)
{
    struct streams *all = streams_of(st->plog);
    struct chunk *list;
    uint32_t stop = extent(st, to, chunks);
    st->wanted = to > st->wanted ? to : st->wanted;
    if (st->queued) { /* it may have become urgent */
        queue_remove(st);
        queue_add(st);
    }
    if (*chunks == 0)
        return 0;
    if (st->cache == all->memory)
        reclaim(all, *chunks, false);
    int err = cache_take(st->cache, *chunks, &list);
    if (err)
        return err;
    extend(st, stop, list);
    queue_add(st);
    streams_issue(st->plog->env);
    return 0;
}

void stream_consume(struct stream *st, uint32_t position)
{
    if (position >= st->have) {
        if (position >= st->stop || st->chunk_count == 0)
            stream_restart(st, st->segment, position, st->cache);
        return;
    }
    uint32_t n = chunk_at(st, position);
    for (uint32_t i = 0; i < n; i++)
        chunk_release(st->cache, st->chunks[i]);
    st->chunk_count -= n;
    memmove(st->chunks, st->chunks + n, st->chunk_count * sizeof(st->chunks[0]));
    st->base += n * (uint32_t)tail_chunk_bytes;
}

/*
 * Asks for what is before `to`, as far as memory allows. Half of the memory stays for reads that are
 * waited for. What readers left who came once is no reason not to read ahead.
 */
static void ahead_to(struct stream *st, uint64_t to)
{
    struct streams *all = streams_of(st->plog);
    uint32_t half = cache_size(all->memory) / 2;
    uint32_t chunks, block = stream_block_chunks_max * (uint32_t)tail_chunk_bytes;
    struct chunk *list;
    st->wanted = st->wanted < st->stop ? st->wanted : st->stop; /* nobody waits for more now */
    uint32_t stop = extent(st, to < UINT32_MAX ? (uint32_t)to : UINT32_MAX, &chunks);
    if (chunks == 0)
        return;
    reclaim(all, half + chunks, true);
    uint32_t room = cache_available(all->memory);
    if (room <= half)
        return;
    if (chunks > room - half) /* not so far, then */
        stop = extent(st, st->stop + (room - half) * (uint32_t)tail_chunk_bytes, &chunks);
    if (stop - st->stop < block && stop < st->segment->written)
        return; /* whole requests */
    if (cache_take(st->cache, chunks, &list) != 0)
        return;
    extend(st, stop, list);
    queue_add(st);
    streams_issue(st->plog->env);
}

/* The stream that waits for st's reader at the beginning of the next segment. */
static struct stream *successor(struct stream *st, struct segment *next)
{
    struct streams *all = streams_of(st->plog);
    struct stream *x = all->lru;
    while (x &&
           (x->op || x->plog != st->plog || x->segment != next || x->next_offset != next->base))
        x = x->next;
    if (x)
        return x;
    x = all->lru;
    while (x->op) /* there are more streams than reads */
        x = x->next;
    leave(x);
    x->plog = st->plog;
    x->next_offset = next->base;
    x->ahead = st->ahead / 2; /* it doubles when the reader comes */
    stream_restart(x, next, 0, all->memory);
    lru_remove(all, x);
    lru_add(all, x);
    return x;
}

void stream_read_ahead(struct stream *st, struct segment *next)
{
    uint64_t to = (uint64_t)st->next_position + st->ahead, end = st->segment->size;
    if (st->ahead == 0 || st->cache != streams_of(st->plog)->memory)
        return;
    ahead_to(st, to);
    if (next == NULL || to <= end || (st->stop < end && st->next_position < end))
        return;
    if (!segment_open_soon(next))
        return;
    ahead_to(successor(st, next), to - end);
    if (st->next_position >= end)
        st->next_offset = -1; /* the reader goes on there */
}

void streams_forget(struct plog *p, const struct segment *s)
{
    struct streams *all = streams_of(p);
    for (uint32_t i = 0; i < plog_streams_max; i++) {
        struct stream *st = &all->all[i];
        if (st->plog == p && st->op == NULL && (s == NULL || st->segment == s))
            leave(st);
    }
}
