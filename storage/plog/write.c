/*
 * Bytes to the disk. Writes begin in the order of the log, several may be under way; what they make
 * written moves in that order too. Where the promise is the medium (or there is no named memory) all
 * that was appended goes out at the end of a step; where the store was the acknowledgement, or a
 * journal has the bytes (group.c), large writes of whole blocks do, and the rest after some time, or
 * when memory or the journal gets short.
 */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "storage/plant.h"
#include "storage/plog/plog_internal.h"

#define block_floor(n) ((n) / write_block_bytes * write_block_bytes)

void plog_mark_dirty(struct plog *p)
{
    struct plog_env *env = p->env;
    if (p->dirty)
        return;
    p->dirty = true;
    p->dirty_next = NULL;
    if (env->dirty_tail)
        env->dirty_tail->dirty_next = p;
    else
        env->dirty_head = p;
    env->dirty_tail = p;
}

/* --- bytes that wait -------------------------------------------------------------------------- */

static void lazy_fire(struct wheel_timer *timer, int64_t now_ns)
{
    /* plog_env_run looks at the list; the timer only ends the sleep */
}

static int64_t lazy_ns(const struct plog_env *env)
{
    return (env->durability == PLOG_FSYNC ? plog_journal_drain_ms : plog_lazy_write_ms) *
           CLOCK_NS_PER_MS;
}

static void lazy_arm(struct plog_env *env)
{
    struct plog_shard *shard = env->shard;
    if (shard->lazy == NULL || wheel_armed(&shard->lazy_timer))
        return;
    shard->lazy_timer.fire = lazy_fire;
    wheel_arm(env->wheel, &shard->lazy_timer, shard->lazy->lazy_since_ns + lazy_ns(env));
}

void plog_lazy_add(struct plog *p)
{
    struct plog_shard *shard = p->env->shard;
    if (p->lazy)
        return;
    p->lazy = true;
    p->lazy_since_ns = *p->env->now_ns;
    p->lazy_next = NULL;
    *shard->lazy_tail = p;
    shard->lazy_tail = &p->lazy_next;
    lazy_arm(p->env);
}

void plog_lazy_remove(struct plog *p)
{
    struct plog_shard *shard = p->env->shard;
    struct plog **at = &shard->lazy;
    if (!p->lazy)
        return;
    while (*at != p)
        at = &(*at)->lazy_next;
    *at = p->lazy_next;
    if (shard->lazy_tail == &p->lazy_next)
        shard->lazy_tail = at;
    p->lazy = false;
}

void plog_drain(struct plog *p)
{
    if (p->submitted_total == p->appended_total)
        return;
    p->drain_total = p->appended_total;
    plog_mark_dirty(p);
}

void plog_grown(struct plog *p)
{
    plog_mark_dirty(p);
    if (plog_store_acks(p))
        plog_lazy_add(p);
}

/* The oldest ones whose time has come; all of them when half of the log memory waits for writes. */
static uint32_t lazy_run(struct plog_env *env, int64_t now_ns)
{
    struct plog_shard *shard = env->shard;
    bool pressed = shard->pressed || cache_dirty(env->cache) > cache_size(env->cache) / 2;
    uint32_t done = 0;
    shard->pressed = false;
    while (shard->lazy) {
        struct plog *p = shard->lazy;
        if (!pressed && now_ns - p->lazy_since_ns < lazy_ns(env))
            break;
        plog_lazy_remove(p);
        plog_drain(p);
        done++;
    }
    lazy_arm(env);
    return done;
}

/* --- the stage -------------------------------------------------------------------------------- */

/* p may be gone afterwards. */
static void dirty_step(struct plog *p)
{
    group_step(p);
    plog_write(p);
    if (p->fire_wanted)
        plog_fire(p);
    if (p->state == PLOG_DETACHING)
        plog_detach_try(p); /* p may be gone now */
}

uint32_t plog_env_run(void *ctx, int64_t now_ns, uint32_t budget)
{
    struct plog_env *env = ctx;
    uint32_t done = env->shard ? lazy_run(env, now_ns) : 0;
    if (env->shard)
        done += cache_run(env->shard->streams.memory, now_ns, budget);
    struct plog *last = env->dirty_tail;
    while (env->dirty_head && done < budget) {
        struct plog *p = env->dirty_head;
        env->dirty_head = p->dirty_next;
        if (env->dirty_head == NULL)
            env->dirty_tail = NULL;
        p->dirty = false;
        done++;
        dirty_step(p);
        if (p == last)
            break;
    }
    return env->shard ? done + group_run(env) : done;
}

/* --- what a completion means ------------------------------------------------------------------ */

/* Written chunks may be evicted; the last one as well, until something is appended to it. */
static void clean_chunks(struct plog *p, struct segment *s, uint32_t from)
{
    for (uint32_t slot = from / tail_chunk_bytes; slot < s->chunk_slots; slot++) {
        struct chunk *chunk = s->chunks[slot];
        uint64_t end = (uint64_t)slot * tail_chunk_bytes;
        if (chunk == NULL || end + chunk->used > s->written)
            break;
        chunk_clean(p->env->cache, chunk);
    }
}

static void op_give(struct plog *p, struct write_op *op)
{
    struct plog_shard *shard = p->env->shard;
    p->write_count--;
    op->next = shard->writes_free;
    shard->writes_free = op;
    struct plog *starved = shard->starved;
    shard->starved = NULL;
    while (starved) {
        struct plog *next = starved->dirty_next;
        starved->dirty = false;
        plog_mark_dirty(starved);
        starved = next;
    }
}

/* Its bytes are in the file; nothing if they counted before. */
static void op_count(struct plog *p, const struct write_op *op)
{
    struct segment *s = op->segment;
    uint32_t from = s->written;
    if (p->failed || from >= op->to)
        return;
    CHECK(op->from == from);
    s->written = op->to;
    p->written_total += op->to - from;
    journal_written(&p->journal, p->written_total);
    clean_chunks(p, s, from);
    if (s != plog_active(p))
        segment_seal(s);
}

/* The bug of WRITES_OUT_OF_ORDER: those that have not ended count with the one that has. */
static void plant_order(struct plog *p)
{
    for (const struct write_op *op = p->writes; op && PLANT(WRITES_OUT_OF_ORDER); op = op->next)
        op_count(p, op);
}

static void write_done(struct io_req *req, int64_t result)
{
    struct write_op *op = (struct write_op *)((char *)req - offsetof(struct write_op, req));
    struct plog *p = op->plog;
    char place[plog_place_bytes_max];
    op->done = true;
    p->env->shard->writes_under_way--;
    p->env->shard->wrote_ns = *p->env->now_ns;
    if (result < 0)
        plog_fail(p, (int)result, plog_place(place, "writing", op->segment, op->from));
    plog_fail_flush(p);
    plant_order(p);
    while (p->writes && p->writes->done) {
        struct write_op *first = p->writes;
        p->writes = first->next;
        if (p->writes == NULL)
            p->writes_tail = &p->writes;
        op_count(p, first);
        op_give(p, first);
    }
    if (p->failed) {
        if (p->writes == NULL)
            plog_fail_end(p);
        plog_detach_try(p);
        return;
    }
    plog_mark_dirty(p);
    plog_complete(p);
    plog_flush_check(p);
    plog_lookups_go(p);
    plog_detach_try(p);
}

/* --- writes ----------------------------------------------------------------------------------- */

/*
 * The oldest segment with bytes to write, or NULL: it waits for those before it, so that after a
 * power cut nothing of a later segment is there while an earlier one has a hole.
 */
static struct segment *write_segment(const struct plog *p)
{
    uint32_t i = p->segment_count - 1;
    while (i > 0 && p->segments[i - 1]->submitted < p->segments[i - 1]->size)
        i--;
    struct segment *s = p->segments[i];
    if (i > 0 && p->segments[i - 1]->written < p->segments[i - 1]->size)
        return NULL;
    return s->file && s->submitted < s->size ? s : NULL;
}

static bool write_now(const struct plog *p, const struct segment *s)
{
    return !(plog_store_acks(p) || group_acks(p)) || p->state == PLOG_DETACHING ||
           s != plog_active(p) || p->submitted_total < p->drain_total;
}

/* Where the next write of the segment ends; s->submitted: none now. */
static uint32_t write_end(const struct plog *p, const struct segment *s)
{
    uint32_t from = s->submitted, to = s->size;
    uint64_t most = from / tail_chunk_bytes * tail_chunk_bytes +
                    plog_write_chunks_max * (uint64_t)tail_chunk_bytes;
    if (from % write_block_bytes && p->writes)
        return from; /* the block that it begins in is under way */
    if (!write_now(p, s)) {
        uint32_t whole = block_floor(to);
        if (whole <= from || whole - from < plog_lazy_write_bytes)
            return from;
        to = whole;
    }
    if (to > most)
        to = (uint32_t)most;
    /*
     * The chunk begins within a block: what is before it is in the file alone. That block goes
     * through the page cache; the next one is whole again.
     */
    const struct chunk *chunk = s->chunks[from / tail_chunk_bytes];
    if (s->direct && chunk->start > block_floor(from) % tail_chunk_bytes &&
        to > block_floor(from) + write_block_bytes)
        to = block_floor(from) + write_block_bytes;
    return to;
}

/* The pieces of chunks from `at` to `to`. */
static uint32_t write_pieces(const struct segment *s, uint32_t at, uint32_t to, struct iovec *iov)
{
    uint32_t n = 0;
    while (at < to) {
        struct chunk *chunk = s->chunks[at / tail_chunk_bytes];
        uint32_t off = at % tail_chunk_bytes;
        uint32_t part = to - at < tail_chunk_bytes - off ? to - at : tail_chunk_bytes - off;
        CHECK(chunk != NULL && off >= chunk->start && off + part <= chunk->used);
        CHECK(n < plog_write_chunks_max);
        iov[n++] = (struct iovec){chunk->data + off, part};
        at += part;
    }
    return n;
}

/* Whole blocks from memory; the last one, if it is not whole, from op->block. */
static void write_blocks(struct write_op *op)
{
    struct segment *s = op->segment;
    uint32_t first = block_floor(op->from), whole = block_floor(op->to);
    uint32_t n = write_pieces(s, first, whole, op->iov);
    if (whole < op->to) {
        const struct chunk *chunk = s->chunks[whole / tail_chunk_bytes];
        uint32_t off = whole % tail_chunk_bytes, part = op->to - whole;
        CHECK(chunk != NULL && off >= chunk->start && off + part <= chunk->used);
        memcpy(op->block, chunk->data + off, part);
        memset(op->block + part, 0, write_block_bytes - part);
        op->iov[n++] = (struct iovec){op->block, write_block_bytes};
        s->grown = true;
        whole += write_block_bytes;
    }
    op->req.file = s->direct;
    op->req.offset = first;
    op->req.bytes = whole - first;
    op->req.iov_count = n;
}

static void write_bytes(struct write_op *op)
{
    op->req.file = op->segment->file;
    op->req.offset = op->from;
    op->req.bytes = op->to - op->from;
    op->req.iov_count = write_pieces(op->segment, op->from, op->to, op->iov);
}

static struct write_op *op_take(struct plog *p)
{
    struct plog_shard *shard = p->env->shard;
    struct write_op *op = shard->writes_free;
    if (op) {
        shard->writes_free = op->next;
        p->write_count++;
        return op;
    }
    if (!p->dirty) {
        p->dirty = true; /* in this list instead */
        p->dirty_next = shard->starved;
        shard->starved = p;
    }
    return NULL;
}

/* The bug of ACK_OVER_HOLE: what the journal has is taken for written. */
static void plant_hole(struct plog *p, struct segment *s)
{
    uint64_t over =
        p->journal.durable > p->submitted_total ? p->journal.durable - p->submitted_total : 0;
    over = block_floor(s->submitted + over);
    if (p->writes || over <= s->submitted || over > s->size)
        return;
    p->written_total += over - s->submitted;
    p->submitted_total = p->written_total;
    s->submitted = s->written = (uint32_t)over;
    journal_written(&p->journal, p->written_total);
}

static bool write_next(struct plog *p)
{
    struct segment *s = write_segment(p);
    if (PLANT(ACK_OVER_HOLE) && s)
        plant_hole(p, s);
    uint32_t to = s ? write_end(p, s) : 0;
    if (s == NULL || to == s->submitted)
        return false;
    struct write_op *op = op_take(p);
    if (op == NULL)
        return false;
    op->plog = p;
    op->segment = s;
    op->from = s->submitted;
    op->to = to;
    op->done = false;
    op->next = NULL;
    op->req = (struct io_req){
        .op = IO_WRITE,
        .durable = p->env->durability == PLOG_FSYNC && !PLANT(SKIPPED_FLUSH),
        .iov = op->iov,
        .done = write_done,
    };
    const struct chunk *chunk = s->chunks[op->from / tail_chunk_bytes];
    CHECK(chunk != NULL);
    if (s->direct && chunk->start <= block_floor(op->from) % tail_chunk_bytes)
        write_blocks(op);
    else
        write_bytes(op);
    *p->writes_tail = op;
    p->writes_tail = &op->next;
    s->submitted = to;
    p->submitted_total += to - op->from;
    p->env->writes++;
    p->env->shard->writes_under_way++;
    io_submit(p->env->io, &op->req);
    for (uint32_t at = op->from; PLANT(UNMARKED_EARLY) && at < to; at += tail_chunk_bytes)
        chunk_clean(p->env->cache, s->chunks[at / tail_chunk_bytes]);
    return true;
}

void plog_write(struct plog *p)
{
    if (p->failed || p->state == PLOG_DETACHED)
        return;
    segment_make_room(plog_active(p));
    while (p->write_count < plog_writes_max && write_next(p))
        ;
}
