/* Ranges out: from the tail's chunks, or from the disk through chunks of their own. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"

#define read_cached_bytes_max (8 * MIB) /* of one read answered from cached chunks */
#define lend_pieces           32

/* --- windows ---------------------------------------------------------------------------------- */

/* Extends over cached chunks from `at` on, until `limit` or a hole. */
static struct window window_cached(const struct segment *s, uint32_t at, uint32_t limit)
{
    struct window w = {s->chunks, 0, at};
    while (w.end < limit && w.end / tail_chunk_bytes < s->chunk_slots) {
        const struct chunk *chunk = s->chunks[w.end / tail_chunk_bytes];
        uint32_t off = w.end % tail_chunk_bytes;
        if (chunk == NULL || off < chunk->start || off >= chunk->used)
            break;
        w.end += chunk->used - off;
        if (chunk->used < tail_chunk_bytes)
            break;
    }
    if (w.end > limit)
        w.end = limit;
    return w;
}

static bool window_copy(const struct window *w, uint32_t at, uint8_t *dst, uint32_t n)
{
    if (at > w->end || n > w->end - at)
        return false;
    while (n > 0) {
        uint32_t off = (at - w->base) % tail_chunk_bytes;
        uint32_t part = n < tail_chunk_bytes - off ? n : tail_chunk_bytes - off;
        memcpy(dst, w->chunks[(at - w->base) / tail_chunk_bytes]->data + off, part);
        dst += part;
        at += part;
        n -= part;
    }
    return true;
}

enum scan_result { SCAN_FOUND, SCAN_MORE, SCAN_CORRUPT };

/*
 * Walks batch headers from *at to the first batch that ends at or behind `offset`; *bytes is its
 * size. SCAN_MORE: the window ends before; *at is the batch that could not be looked at.
 */
static enum scan_result scan(const struct segment *s, const struct window *w, uint32_t *at,
                             int64_t offset, uint32_t *bytes)
{
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    while (window_copy(w, *at, raw, BATCH_MAGIC + 1)) {
        batch_decode(raw, &h);
        int64_t last = h.base_offset; /* of the old formats: the offset of the last message in it */
        if (h.bytes < batch_overhead_bytes + batch_length_min || h.bytes > segment_bytes_max ||
            h.base_offset < s->base || h.base_offset >= s->next)
            return SCAN_CORRUPT;
        if (raw[BATCH_MAGIC] >= 2) {
            if (!window_copy(w, *at, raw, BATCH_LAST_DELTA + 4))
                return SCAN_MORE;
            last += bytes_get_i32(raw + BATCH_LAST_DELTA);
        }
        if (last < h.base_offset || last >= s->next)
            return SCAN_CORRUPT;
        if (last >= offset) {
            *bytes = h.bytes;
            return SCAN_FOUND;
        }
        *at += h.bytes;
    }
    return SCAN_MORE;
}

/*
 * Whether the offset index points at a batch from which the offset can be found. Index entries have no
 * checksum; a wrong one would hand out bytes from the middle of a batch, or leave batches out.
 */
static bool entry_right(const struct window *w, const struct segment *s, uint32_t at,
                        int64_t offset)
{
    uint8_t raw[batch_header_bytes];
    if (!window_copy(w, at, raw, BATCH_MAGIC + 1))
        return false;
    uint32_t length = bytes_get_u32(raw + BATCH_LENGTH);
    int64_t base = bytes_get_i64(raw);
    return raw[BATCH_MAGIC] <= 2 && length >= batch_length_min &&
           length <= segment_bytes_max - batch_overhead_bytes && base >= s->base && base <= offset;
}

static void index_drop(struct segment *s, uint32_t at)
{
    char what[64];
    snprintf(what, sizeof(what), "an entry names byte %u, where no batch begins", at);
    segment_distrust(s, what);
    s->offsets.entries = 0;
}

/*
 * Where a committed read of [from, to) must end: before the batch that holds the last stable
 * offset, while a transaction is open.
 */
static uint32_t stable_end(const struct plog *p, const struct segment *s, const struct plog_read *r,
                           const struct window *w, uint32_t from, uint32_t to)
{
    uint32_t bytes, at = from;
    if (!r->read_committed || p->stable == p->high_watermark)
        return to;
    scan(s, w, &at, p->stable, &bytes);
    return at < to ? at : to;
}

/* Lends [from, to) of the window. ERR_NO_MEMORY: *lent says how far it came. */
static int window_lend(struct cache *cache, const struct window *w, uint32_t from, uint32_t to,
                       struct chain *out, uint32_t *lent)
{
    struct cache_piece pieces[lend_pieces];
    *lent = from;
    while (*lent < to) {
        uint32_t n = 0, at = *lent;
        while (at < to && n < lend_pieces) {
            uint32_t off = (at - w->base) % tail_chunk_bytes;
            uint32_t part = to - at < tail_chunk_bytes - off ? to - at : tail_chunk_bytes - off;
            struct chunk *chunk = w->chunks[(at - w->base) / tail_chunk_bytes];
            pieces[n++] = (struct cache_piece){chunk, off, part};
            at += part;
        }
        int err = cache_lend(cache, pieces, n, out);
        if (err)
            return err;
        *lent = at;
    }
    return 0;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void read_try(struct plog *p, struct plog_read *r, struct read_op *op);

static void read_answer(struct plog *p, struct plog_read *r, int16_t error)
{
    r->error = error;
    r->high_watermark = p->high_watermark;
    r->last_stable_offset = p->stable;
    r->log_start_offset = p->log_start;
    if (error)
        chain_free(&r->data);
    p->reads--;
    r->done(r);
    plog_detach_try(p);
}

static struct read_op *op_take(struct plog *p, struct plog_read *r)
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

static void op_drop_chunks(struct read_op *op)
{
    for (uint32_t i = 0; i < op->chunk_count; i++)
        chunk_release(op->plog->env->cache, op->chunks[i]);
    op->chunk_count = 0;
}

/* Gives the op back and lets the next read that waits for one begin. */
static void op_give(struct read_op *op)
{
    struct plog_shard *shard = op->plog->env->shard;
    op_drop_chunks(op);
    if (op->segment)
        segment_unpin(op->segment);
    op->segment = NULL;
    op->next = shard->ops_free;
    shard->ops_free = op;
    struct plog_read *r = shard->waiting;
    if (r == NULL)
        return;
    shard->waiting = r->next;
    if (shard->waiting == NULL)
        shard->waiting_tail = NULL;
    read_try(r->plog, r, NULL);
}

static void op_answer(struct read_op *op, int16_t error)
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
    op_answer(op, error);
}

/* --- from the disk ---------------------------------------------------------------------------- */

static void op_read(struct read_op *op);
static void op_ready(struct cache_waiter *w);

/* Goes on when n chunks can be taken (0: when the cache runs next); not during a detach. */
static void op_wait(struct read_op *op, uint32_t n)
{
    if (op->plog->state != PLOG_ATTACHED) {
        op_answer(op, KERR_NOT_LEADER_OR_FOLLOWER);
        return;
    }
    op->waiter.ready = op_ready;
    op->waiter.chunks = n;
    cache_wait(op->plog->env->cache, &op->waiter);
}

static void op_lend(struct read_op *op)
{
    struct plog *p = op->plog;
    uint32_t to = op->window.end < op->end ? op->window.end : op->end;
    if (to >= op->batch_end)
        to = stable_end(p, op->segment, op->read, &op->window, op->batch_end, to);
    int err =
        window_lend(p->env->cache, &op->window, op->position, to, &op->read->data, &op->position);
    if (err) { /* no mbufs or lend blocks now */
        op_wait(op, 0);
        return;
    }
    op_drop_chunks(op);
    if (op->position < op->batch_end)
        op_read(op);
    else
        op_answer(op, 0);
}

/* The bytes at `at` are no batch: the partition's own damage. */
static void op_corrupt(struct read_op *op, uint32_t at)
{
    char what[64];
    snprintf(what, sizeof(what), "%020" PRId64 ".log, byte %u: no batch", op->segment->base, at);
    plog_fail(op->plog, ERR_CORRUPT, what);
    op_answer(op, KERR_KAFKA_STORAGE_ERROR);
}

/* The answer's range is known: the first batch begins at op->position. */
static void op_found(struct read_op *op, uint32_t bytes)
{
    struct plog_read *r = op->read;
    if (bytes > r->max_bytes && !r->min_one) {
        op_answer(op, 0); /* a first batch that does not fit is left out */
        return;
    }
    uint32_t budget =
        r->max_bytes < plog_read_disk_bytes_max ? r->max_bytes : (uint32_t)plog_read_disk_bytes_max;
    if (budget < bytes)
        budget = bytes;
    op->found = true;
    op->batch_end = op->position + bytes;
    op->end = budget < op->limit - op->position ? op->position + budget : op->limit;
    if (op->batch_end > op->limit) {
        op_corrupt(op, op->position);
        return;
    }
    op_lend(op);
}

/*
 * There is no batch at or behind the offset in this segment: offsets are missing at its end
 * (compacted, or lost). The answer begins with the next segment's first batch, as Kafka's does.
 */
static void op_next_segment(struct read_op *op)
{
    struct plog *p = op->plog;
    uint32_t i = 0;
    while (i < p->segment_count && p->segments[i]->base <= op->segment->base)
        i++;
    if (i == p->segment_count || p->state != PLOG_ATTACHED) {
        op_answer(op, 0);
        return;
    }
    segment_unpin(op->segment);
    op->segment = p->segments[i];
    if (segment_open_for(op->segment, op))
        read_op_resume(op);
}

static void op_filled(struct read_op *op)
{
    uint32_t bytes, before = op->position;
    if (op->found) {
        op_lend(op);
        return;
    }
    if (op->indexed && !entry_right(&op->window, op->segment, before, op->read->offset)) {
        index_drop(op->segment, before);
        op_drop_chunks(op);
        op->indexed = false;
        op->position = 0;
        op_read(op);
        return;
    }
    op->indexed = false;
    enum scan_result found =
        scan(op->segment, &op->window, &op->position, op->read->offset, &bytes);
    if (found == SCAN_FOUND) {
        op_found(op, bytes);
        return;
    }
    op_drop_chunks(op);
    if (op->position >= op->limit && found == SCAN_MORE) {
        op_next_segment(op);
        return;
    }
    if (found == SCAN_CORRUPT || op->position == before) {
        op_corrupt(op, op->position);
        return;
    }
    op_read(op);
}

static void op_have(struct read_op *op)
{
    op->window = (struct window){op->chunks, op->position, op->position + op->want};
    op_filled(op);
}

static void op_read_done(struct io_req *req, int64_t result)
{
    struct read_op *op = (struct read_op *)((char *)req - offsetof(struct read_op, req));
    struct plog *p = op->plog;
    if (result >= 0 && (uint64_t)result < req->bytes)
        result = ERR_CORRUPT; /* the file is shorter than what was written to it */
    if (result < 0)
        plog_fail(p, (int)result, "reading");
    if (p->failed) {
        op_answer(op, KERR_KAFKA_STORAGE_ERROR);
        return;
    }
    op_have(op);
}

static void op_ready(struct cache_waiter *w)
{
    struct read_op *op = (struct read_op *)((char *)w - offsetof(struct read_op, waiter));
    if (op->plog->failed)
        op_answer(op, KERR_KAFKA_STORAGE_ERROR);
    else if (op->segment == NULL)
        read_try(op->plog, op->read, op);
    else if (op->chunk_count > 0)
        op_lend(op);
    else
        op_read(op);
}

/*
 * How much to read at op->position: the rest of a known range, or what is likely to hold the
 * answer.
 */
static uint32_t op_want(const struct read_op *op)
{
    uint32_t left = op->limit - op->position;
    uint32_t want;
    if (op->found) {
        want = op->end - op->position;
    } else {
        uint64_t slack = (uint64_t)op->plog->config.index_interval_bytes + tail_chunk_bytes;
        uint64_t bytes = op->read->max_bytes + slack;
        want =
            bytes < plog_read_disk_bytes_max ? (uint32_t)bytes : (uint32_t)plog_read_disk_bytes_max;
    }
    if (want > plog_read_disk_bytes_max)
        want = plog_read_disk_bytes_max;
    /* a read takes at most a quarter of a small log memory: it must come true */
    uint32_t share = cache_size(op->plog->env->cache) / 4;
    if (want / tail_chunk_bytes >= share)
        want = (share ? share : 1) * tail_chunk_bytes;
    return want < left ? want : left;
}

/*
 * What is acknowledged but not written yet is in tail chunks, and in no file: bytes
 * [from, op->position + want) are copied.
 */
static void op_copy(struct read_op *op, uint32_t from)
{
    const struct segment *s = op->segment;
    uint32_t to = op->position + op->want;
    for (uint32_t at = from; at < to;) {
        const struct chunk *chunk = s->chunks[at / tail_chunk_bytes];
        uint32_t off = at % tail_chunk_bytes, in = at - op->position;
        uint8_t *dst = op->chunks[in / tail_chunk_bytes]->data + in % tail_chunk_bytes;
        CHECK(chunk != NULL && off >= chunk->start && off < chunk->used);
        uint32_t n = chunk->used - off;
        if (n > tail_chunk_bytes - in % tail_chunk_bytes)
            n = tail_chunk_bytes - in % tail_chunk_bytes;
        if (n > to - at)
            n = to - at;
        memcpy(dst, chunk->data + off, n);
        at += n;
    }
}

static void op_read(struct read_op *op)
{
    struct plog *p = op->plog;
    uint32_t want = op_want(op);
    uint32_t n = (want + tail_chunk_bytes - 1) / tail_chunk_bytes;
    struct chunk *list;
    if (cache_take(p->env->cache, n, &list)) {
        op_wait(op, n);
        return;
    }
    uint32_t written = op->segment->written, disk = want;
    if (op->position + want > written)
        disk = written > op->position ? written - op->position : 0;
    uint32_t pieces = 0;
    for (uint32_t i = 0; i < n; i++, list = list->next) {
        uint32_t at = i * tail_chunk_bytes;
        op->chunks[i] = list;
        if (at < disk)
            op->iov[pieces++] = (struct iovec){
                list->data, disk - at < tail_chunk_bytes ? disk - at : tail_chunk_bytes};
    }
    op->chunk_count = n;
    op->want = want;
    if (disk < want)
        op_copy(op, op->position + disk);
    if (disk == 0) {
        op_have(op);
        return;
    }
    op->req = (struct io_req){
        .op = IO_READ,
        .file = op->segment->file,
        .iov = op->iov,
        .iov_count = pieces,
        .offset = op->position,
        .bytes = disk,
        .done = op_read_done,
    };
    p->env->reads_disk++;
    io_submit(p->env->io, &op->req);
}

void plog_reads_give_up(struct plog *p)
{
    struct plog_shard *shard = p->env->shard;
    for (uint32_t i = 0; i < plog_reads_max; i++) {
        struct read_op *op = &shard->ops[i];
        if (op->plog != p || op->waiter.prev == NULL)
            continue;
        cache_wait_cancel(p->env->cache, &op->waiter);
        op_answer(op, p->failed ? KERR_KAFKA_STORAGE_ERROR : KERR_NOT_LEADER_OR_FOLLOWER);
    }
}

/* The segment is open and pinned. */
void read_op_resume(struct read_op *op)
{
    struct segment *s = op->segment;
    op->limit = segment_visible(s);
    op->position = op->read->offset > s->base
                       ? offset_index_lookup(&s->offsets, (uint32_t)(op->read->offset - s->base))
                       : 0;
    op->indexed = op->position > 0;
    if (op->position >= op->limit)
        op_next_segment(op);
    else
        op_read(op);
}

/* --- reads ------------------------------------------------------------------------------------ */

enum cached { CACHED_DONE, CACHED_NO, CACHED_WAIT };

/* Answers from cached chunks if they hold the range's begin. */
static enum cached read_cached(struct plog *p, struct plog_read *r, struct segment *s,
                               uint32_t limit)
{
    uint32_t at =
        r->offset > s->base ? offset_index_lookup(&s->offsets, (uint32_t)(r->offset - s->base)) : 0;
    uint32_t bytes, lent;
    uint64_t reach =
        (uint64_t)at + r->max_bytes + (uint64_t)p->config.index_interval_bytes + tail_chunk_bytes;
    struct window w = window_cached(s, at, reach < limit ? (uint32_t)reach : limit);
    if (at > 0 && w.end > at && !entry_right(&w, s, at, r->offset))
        return CACHED_NO; /* looked at again, and told, on the way to the disk */
    if (scan(s, &w, &at, r->offset, &bytes) != SCAN_FOUND)
        return CACHED_NO;
    if (bytes > r->max_bytes && !r->min_one)
        return CACHED_DONE;
    uint32_t budget =
        r->max_bytes < read_cached_bytes_max ? r->max_bytes : (uint32_t)read_cached_bytes_max;
    if (budget < bytes)
        budget = bytes;
    if (budget > limit - at)
        budget = limit - at;
    w = window_cached(s, at, at + budget);
    if (w.end < at + bytes)
        return CACHED_NO;
    w.end = stable_end(p, s, r, &w, at, w.end);
    int err = window_lend(p->env->cache, &w, at, w.end, &r->data, &lent);
    if (err && lent < at + bytes) {
        chain_free(&r->data);
        return CACHED_WAIT;
    }
    p->env->reads_tail++;
    return CACHED_DONE;
}

/*
 * Finds the segment, answers from the cache or goes to the disk. op: one that r already has, or
 * NULL.
 */
static void read_try(struct plog *p, struct plog_read *r, struct read_op *op)
{
    if (p->failed || p->state != PLOG_ATTACHED || r->offset < p->log_start || r->offset > p->end) {
        int16_t error = p->failed                   ? KERR_KAFKA_STORAGE_ERROR
                        : p->state != PLOG_ATTACHED ? KERR_NOT_LEADER_OR_FOLLOWER
                                                    : KERR_OFFSET_OUT_OF_RANGE;
        if (op)
            op_answer(op, error);
        else
            read_answer(p, r, error);
        return;
    }
    int64_t end = r->read_committed ? p->stable : p->high_watermark;
    uint32_t i = plog_segment_at(p, r->offset);
    while (i + 1 < p->segment_count && r->offset >= p->segments[i]->next)
        i++; /* behind the segment's last batch: a gap, or its end */
    struct segment *s = p->segments[i];
    enum cached cached = CACHED_DONE;
    if (r->offset < end && (r->max_bytes > 0 || r->min_one))
        cached = s->loaded ? read_cached(p, r, s, segment_visible(s)) : CACHED_NO;
    if (cached == CACHED_DONE) {
        if (op)
            op_answer(op, 0);
        else
            read_answer(p, r, 0);
        return;
    }
    if (op == NULL && (op = op_take(p, r)) == NULL)
        return;
    if (cached == CACHED_WAIT) {
        op_wait(op, 0);
        return;
    }
    op->segment = s;
    if (segment_open_for(s, op))
        read_op_resume(op);
}

void plog_read(struct plog *p, struct plog_read *r)
{
    r->plog = p;
    r->next = NULL;
    chain_init(&r->data);
    p->reads++;
    read_try(p, r, NULL);
}
