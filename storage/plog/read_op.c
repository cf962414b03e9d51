/* A read that needs the disk or must wait: taken, kept waiting, answered. What it reads is read.c's. */
#include "storage/plog/read_op.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"

/* --- answers ---------------------------------------------------------------------------------- */

void read_answer(struct plog *p, struct plog_read *r, int16_t error)
{
    r->error = error;
    r->high_watermark = p->high_watermark;
    r->last_stable_offset = p->stable;
    r->log_start_offset = p->log_start;
    if (error)
        chain_free(&r->data);
    r->done(r);
    p->reads--;
    plog_detach_try(p);
}

struct read_op *read_op_take(struct plog *p, struct plog_read *r)
{
    struct plog_shard *shard = p->env->shard;
    struct read_op *op = shard->ops_free;
    if (op == NULL) {
        r->next = NULL;
        if (shard->waiting_tail)
            shard->waiting_tail->next = r;
        else
            shard->waiting = r;
        shard->waiting_tail = r;
        return NULL;
    }
    shard->ops_free = op->next;
    *op = (struct read_op){.plog = p, .read = r};
    return op;
}

/* The next large batch may be read. */
static void large_give(struct read_op *op)
{
    struct plog_shard *shard = op->plog->env->shard;
    if (shard->large != op)
        return;
    struct read_op *next = shard->large_waiting;
    shard->large = NULL;
    if (next == NULL)
        return;
    shard->large_waiting = next->next;
    if (shard->large_waiting == NULL)
        shard->large_tail = &shard->large_waiting;
    shard->large = next;
    next->next = NULL;
    next->waiting = false;
    read_op_again(next);
}

/* It waits no more. */
static void op_wait_cancel(struct read_op *op)
{
    struct plog_shard *shard = op->plog->env->shard;
    op->waiting = false;
    if (op->waiter.prev)
        cache_wait_cancel(op->wait_cache, &op->waiter);
    for (struct read_op **at = &shard->large_waiting; *at; at = &(*at)->next) {
        if (*at != op)
            continue;
        *at = op->next;
        if (shard->large_tail == &op->next)
            shard->large_tail = at;
        return;
    }
}

/*
 * Reads that wait for a read_op begin, as long as there is one: some end without it. An answer that
 * comes from inside gives its op back here; then the loop that is under way goes on.
 */
static void waiting_go(struct plog_shard *shard)
{
    if (shard->serving)
        return;
    shard->serving = true;
    while (shard->waiting && shard->ops_free) {
        struct plog_read *r = shard->waiting;
        shard->waiting = r->next;
        if (shard->waiting == NULL)
            shard->waiting_tail = NULL;
        read_try(r->plog, r, NULL);
    }
    shard->serving = false;
}

static void op_give(struct read_op *op)
{
    struct plog_shard *shard = op->plog->env->shard;
    wheel_cancel(op->plog->env->wheel, &op->timer);
    if (op->stream)
        stream_give(op->stream);
    op->stream = NULL;
    if (op->segment)
        segment_unpin(op->segment);
    op->segment = NULL;
    large_give(op);
    cache_unhold(shard->streams.memory, op->holder, op->holder_chunks);
    op->holder = NULL;
    op->next = shard->ops_free;
    shard->ops_free = op;
    waiting_go(shard);
}

void read_op_answer(struct read_op *op, int16_t error)
{
    struct plog *p = op->plog;
    struct plog_read *r = op->read;
    op_give(op);
    read_answer(p, r, error);
}

/* The segment could not be opened: nothing is pinned. */
void read_op_fail(struct read_op *op, int16_t error)
{
    op->segment = NULL;
    read_op_answer(op, error);
}

void read_op_defer(struct read_op *op)
{
    op->segment = NULL;
    read_op_empty(op);
}

void read_op_empty(struct read_op *op)
{
    op->plog->env->reads.gaps++;
    chain_free(&op->read->data);
    read_op_answer(op, 0);
}

void read_op_corrupt(struct read_op *op, uint32_t at)
{
    char what[64];
    snprintf(what, sizeof(what), "%020" PRId64 ".log, byte %u: no batch", op->segment->base, at);
    plog_fail(op->plog, ERR_CORRUPT, what);
    read_op_answer(op, KERR_KAFKA_STORAGE_ERROR);
}

/* --- what one reader may hold ----------------------------------------------------------------- */

/*
 * With n readers that take nothing each holds an (n + 2)th of the memory, and two of these parts stay
 * for the others.
 */
bool read_op_hold(struct read_op *op, uint32_t bytes)
{
    struct cache *memory = op->plog->env->shard->streams.memory;
    uint64_t reader = op->read->reader;
    if (reader == 0 || op->holder)
        return true;
    uint32_t most = (cache_size(memory) - cache_lent_chunks(memory)) / plog_held_share;
    uint32_t held = cache_held(memory, reader);
    uint32_t want = (bytes + tail_chunk_bytes - 1) / tail_chunk_bytes;
    if (held > 0 && held >= most)
        return false;
    if (want > most - held)
        want = most > held ? most - held : 1;
    op->holder = cache_hold(memory, reader, want);
    op->holder_chunks = want;
    return true;
}

bool read_op_holds_too_much(const struct read_op *op, uint32_t bytes)
{
    struct cache *memory = op->plog->env->shard->streams.memory;
    return op->holder && (bytes - 1) / tail_chunk_bytes >= op->holder_chunks &&
           cache_held(memory, op->read->reader) > op->holder_chunks;
}

/* --- waiting for memory ----------------------------------------------------------------------- */

static void op_ready(struct cache_waiter *w)
{
    struct read_op *op = (struct read_op *)((char *)w - offsetof(struct read_op, waiter));
    op->waiting = false;
    if (op->plog->failed)
        read_op_answer(op, KERR_KAFKA_STORAGE_ERROR);
    else
        read_op_again(op);
}

static void op_late(struct wheel_timer *timer, int64_t now_ns)
{
    struct read_op *op = (struct read_op *)((char *)timer - offsetof(struct read_op, timer));
    if (!op->waiting) /* memory came, the disk is slow: no reason to give up */
        return;
    op_wait_cancel(op);
    read_op_empty(op);
}

bool read_op_may_wait(struct read_op *op)
{
    struct plog_env *env = op->plog->env;
    if (op->plog->state != PLOG_ATTACHED) {
        read_op_answer(op, KERR_NOT_LEADER_OR_FOLLOWER);
        return false;
    }
    env->reads.waits++;
    op->waiting = true;
    op->timer.fire = op_late;
    if (!wheel_armed(&op->timer))
        wheel_arm(env->wheel, &op->timer, *env->now_ns + plog_read_wait_ms * CLOCK_NS_PER_MS);
    return true;
}

void read_op_wait(struct read_op *op, struct cache *cache, uint32_t n)
{
    if (!read_op_may_wait(op))
        return;
    op->wait_cache = cache;
    op->waiter.ready = op_ready;
    op->waiter.chunks = n;
    cache_wait(cache, &op->waiter);
}

/* Those of a failed or leaving plog that wait for memory, or for their turn with a large batch. */
void plog_reads_give_up(struct plog *p)
{
    struct plog_shard *shard = p->env->shard;
    for (uint32_t i = 0; i < plog_reads_max; i++) {
        struct read_op *op = &shard->ops[i];
        if (op->plog != p || !op->waiting)
            continue;
        op_wait_cancel(op);
        read_op_answer(op, p->failed ? KERR_KAFKA_STORAGE_ERROR : KERR_NOT_LEADER_OR_FOLLOWER);
    }
    streams_forget(p, NULL);
}
