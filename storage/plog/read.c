/*
 * Ranges out: from the tail's chunks, or from the disk through a stream (stream.h). A read from the
 * disk finds its first batch from an index entry on, or goes on where its reader's last answer ended.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "storage/plant.h"
#include "storage/plog/read_op.h"
#include "storage/plog/span.h"

#define read_cached_bytes_max (8 * MIB) /* of one read answered from cached chunks */
#define log_share             4 /* of log memory: a piece of a large batch is at most that */

/* --- what is at hand -------------------------------------------------------------------------- */

/*
 * Whether the offset index points at a batch from which the offset can be found. Index entries have no
 * checksum; a wrong one would hand out bytes from the middle of a batch, or leave batches out.
 */
static bool entry_right(const struct span *sp, const struct segment *s, uint32_t at, int64_t offset)
{
    uint8_t raw[batch_header_bytes];
    if (!span_copy(sp, at, raw, BATCH_MAGIC + 1))
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
                           const struct span *sp, uint32_t from, uint32_t to)
{
    uint32_t bytes, at = from;
    if (!r->read_committed || p->stable == p->high_watermark)
        return to;
    span_scan(sp, s, &at, p->stable, &bytes);
    return at < to ? at : to;
}

/* What the stream has, and what the tail cache has behind it, from op->position on. */
static struct span op_span(const struct read_op *op)
{
    struct stream *st = op->stream;
    struct window disk = {st->chunks, st->base, st->have, st->cache};
    return span_joined(op->segment, &disk, op->position, op->limit);
}

/* --- from the disk ---------------------------------------------------------------------------- */

static void op_read(struct read_op *op);
static void op_filled(struct read_op *op);
static void op_large(struct read_op *op);
static void op_more(struct read_op *op, uint32_t to);

/* Goes on now, or when the stream has what is wanted. */
static void op_progress(struct read_op *op)
{
    struct stream *st = op->stream;
    char place[plog_place_bytes_max];
    op->fetching = false;
    bool wants = st->have < op->reach && plog_err_is_want(st->err);
    if (wants)
        plog_want_tell(op->plog, st->err, "reading");
    else if (st->have < op->reach && st->err && !op->plog->failed)
        plog_fail_alone(op->plog, st->err, plog_place(place, "reading", op->segment, st->have));
    if (op->plog->failed)
        read_op_answer(op, KERR_KAFKA_STORAGE_ERROR);
    else if (wants)
        read_op_empty(op);
    else if (st->have < op->reach)
        op->fetching = true;
    else
        op_filled(op);
}

void read_op_arrived(struct read_op *op)
{
    if (op->fetching)
        op_progress(op);
}

/* There are not so many chunks now. */
static void op_starve(struct read_op *op, uint32_t to, uint32_t chunks)
{
    struct stream *st = op->stream;
    uint32_t left = cache_available(st->cache);
    if (!op->found && left > 1 && left < chunks) { /* a smaller answer */
        to = st->stop + (left - 1) * (uint32_t)tail_chunk_bytes;
        if (stream_want(st, to, &chunks) == 0) {
            op->reach = to < st->stop ? to : st->stop;
            op_progress(op);
            return;
        }
    }
    if (!op->found && st->stop > op->position && st->stop - op->position >= batch_header_bytes) {
        op->reach = st->stop; /* what was read ahead */
        op_progress(op);
        return;
    }
    if ((!op->read->min_one && !op->large) || PLANT(READ_GIVES_UP)) {
        read_op_empty(op);
        return;
    }
    /* nothing is held while it waits, so that no two wait for each other */
    stream_restart(st, op->segment, op->position, st->cache);
    chunks = (to - st->base + tail_chunk_bytes - 1) / tail_chunk_bytes;
    if (cache_hopeless(st->cache, chunks))
        read_op_answer(op, KERR_KAFKA_STORAGE_ERROR); /* failed partitions hold the memory */
    else
        read_op_wait(op, st->cache, chunks);
}

/* Makes sure that the bytes up to `to` are at hand. */
static void op_more(struct read_op *op, uint32_t to)
{
    struct stream *st = op->stream;
    uint32_t chunks;
    if (to > op->limit)
        to = op->limit;
    int err = stream_want(st, to, &chunks);
    if (err == 0 && st->stop <= st->have && st->have < to && op_span(op).end < to) {
        /* the disk had no more when it was asked; now it has, or the tail cache */
        if (op->restarts++ > stream_chunks_max) {
            read_op_corrupt(op, op->position);
            return;
        }
        stream_restart(st, op->segment, op->position, st->cache);
        err = stream_want(st, to, &chunks);
    }
    if (err) {
        op_starve(op, to, chunks);
        return;
    }
    op->reach = to < st->stop ? to : st->stop;
    op_progress(op);
}

/* The segment that goes on where this one ends. */
static struct segment *segment_behind(const struct segment *s)
{
    const struct plog *p = s->plog;
    uint32_t i = plog_segment_at(p, s->base) + 1;
    return i < p->segment_count && p->segments[i]->base == s->next ? p->segments[i] : NULL;
}

/* Where the answer's reader goes on, and what is read ahead of it. */
static void op_follow(struct read_op *op, const struct span *sp, uint32_t from, uint32_t to)
{
    struct stream *st = op->stream;
    struct segment *s = op->segment;
    if (st->cache != op->plog->env->shard->streams.memory)
        return;
    uint32_t at = offset_index_before(&s->offsets, to > 0 ? to - 1 : 0);
    st->next_offset = -1;
    if (at <= from || !span_last(sp, s, at, to, &st->next_position, &st->next_offset))
        span_last(sp, s, from, to, &st->next_position, &st->next_offset);
    if (st->next_offset < 0)
        return;
    stream_consume(st, st->next_position);
    if (op->plog->state == PLOG_ATTACHED && !s->doomed)
        stream_read_ahead(st, segment_behind(s));
}

static void op_lend(struct read_op *op)
{
    struct plog *p = op->plog;
    struct span sp = op_span(op);
    uint32_t from = op->position, to = sp.end < op->end ? sp.end : op->end;
    if (to >= op->batch_end && !op->large)
        to = stable_end(p, op->segment, op->read, &sp, op->batch_end, to);
    if (span_lend(&sp, from, to, op->read->reader, &op->read->data) != 0) {
        read_op_wait(op, p->env->cache, 0); /* no mbufs or lend blocks now */
        return;
    }
    op->position = to;
    op->restarts = 0;
    if (to < op->batch_end) {
        op_large(op);
        return;
    }
    op_follow(op, &sp, from, to);
    read_op_answer(op, 0);
}

/* A broker with more memory wrote it: ours cannot lend the whole of it, however long a read waits. */
static bool never_fits(struct read_op *op, uint32_t bytes)
{
    struct plog *p = op->plog;
    struct plog_shard *shard = p->env->shard;
    uint32_t all = cache_size(p->env->cache);
    uint64_t suppressed;
    if (bytes / tail_chunk_bytes + 2 <= all)
        return false;
    if (log_limit_pass(&shard->large_told, *p->env->now_ns, &suppressed))
        log_error("storage",
                  "%s/%020" PRId64 ".log, byte %u: a batch of %u bytes cannot be read with %" PRIu64
                  " bytes of log memory: raise sluice.memory",
                  p->dir, op->segment->base, op->position, bytes, (uint64_t)all * tail_chunk_bytes);
    return true;
}

/* Offsets are missing where a committed read begins, and what follows belongs to an open transaction. */
static bool behind_stable(const struct read_op *op, const struct span *sp)
{
    const struct plog *p = op->plog;
    return op->read->read_committed && p->stable < p->high_watermark &&
           span_base_offset(sp, op->segment, op->position) >= p->stable;
}

/* The answer's range is known: the first batch begins at op->position. */
static void op_found(struct read_op *op, const struct span *sp, uint32_t bytes)
{
    struct plog_read *r = op->read;
    struct plog_shard *shard = op->plog->env->shard;
    uint64_t memory = (uint64_t)cache_size(shard->streams.memory) * tail_chunk_bytes;
    if ((bytes > r->max_bytes && !r->min_one) || behind_stable(op, sp)) {
        read_op_answer(op, 0); /* a first batch that does not fit is left out */
        return;
    }
    if (bytes > op->limit - op->position) {
        read_op_corrupt(op, op->position);
        return;
    }
    if (never_fits(op, bytes)) {
        read_op_answer(op, KERR_UNKNOWN_SERVER_ERROR);
        return;
    }
    if (read_op_holds_too_much(op, bytes)) {
        read_op_empty(op);
        return;
    }
    uint32_t budget =
        r->max_bytes < plog_read_disk_bytes_max ? r->max_bytes : (uint32_t)plog_read_disk_bytes_max;
    if (op->holder && budget > op->holder_chunks * (uint64_t)tail_chunk_bytes)
        budget = op->holder_chunks * (uint32_t)tail_chunk_bytes;
    if (budget < bytes)
        budget = bytes;
    op->found = true;
    op->batch_end = op->position + bytes;
    op->end = budget < op->limit - op->position ? op->position + budget : op->limit;
    op->large = bytes > plog_read_batch_bytes_max || bytes > memory / plog_read_batch_share;
    read_op_again(op);
}

/* Once for a segment: where nothing is compacted somebody took a file away, or cut it. */
static void gap_tell(struct segment *s, int64_t offset, int64_t next)
{
    const struct plog *p = s->plog;
    if (s->gap_told || p->config.cleanup_compact)
        return;
    s->gap_told = true;
    log_warn("storage",
             "%s/%020" PRId64 ".log ends before offset %" PRId64 ", and the next segment begins at "
             "%" PRId64 ": records are missing",
             p->dir, s->base, offset, next);
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
        read_op_answer(op, 0);
        return;
    }
    gap_tell(op->segment, op->read->offset, p->segments[i]->base);
    stream_give(op->stream);
    op->stream = NULL;
    segment_unpin(op->segment);
    op->segment = p->segments[i];
    if (segment_open_for(op->segment, op))
        read_op_resume(op);
}

/* The place to begin at was wrong: from the segment's beginning. */
static void op_from_start(struct read_op *op)
{
    op->indexed = op->followed = false;
    op->position = 0;
    stream_restart(op->stream, op->segment, 0, op->stream->cache);
    op_read(op);
}

/* True: where the search begins is a batch, as far as can be seen. */
static bool op_began_right(struct read_op *op, const struct span *sp)
{
    struct segment *s = op->segment;
    if (op->followed && span_base_offset(sp, s, op->position) != op->read->offset) {
        op->followed = false; /* offsets are missing here, or an index entry was wrong */
        op->position = offset_index_lookup(&s->offsets, (uint32_t)(op->read->offset - s->base));
        op->indexed = op->position > 0;
        stream_seek(op->stream, s, op->position, op->stream->cache);
        op_read(op);
        return false;
    }
    if (op->indexed && !entry_right(sp, s, op->position, op->read->offset)) {
        index_drop(s, op->position);
        op_from_start(op);
        return false;
    }
    op->indexed = op->followed = false;
    return true;
}

static void op_filled(struct read_op *op)
{
    uint32_t bytes, before = op->position;
    struct span sp = op_span(op);
    if (op->found) {
        if (op->large || sp.end >= op->batch_end)
            op_lend(op);
        else
            op_more(op, op->batch_end);
        return;
    }
    uint32_t header = before + batch_header_bytes; /* of a batch in the old formats more is there */
    if (sp.end < header && sp.end < op->limit) {
        op_more(op, header);
        return;
    }
    if (!op_began_right(op, &sp))
        return;
    enum scan_result found = span_scan(&sp, op->segment, &op->position, op->read->offset, &bytes);
    if (found == SCAN_FOUND) {
        op_found(op, &sp, bytes);
        return;
    }
    if (op->position >= op->limit && found == SCAN_MORE) {
        op_next_segment(op);
        return;
    }
    if (found == SCAN_CORRUPT || (op->position == before && sp.end >= op->limit)) {
        read_op_corrupt(op, op->position);
        return;
    }
    op->restarts = 0;
    stream_seek(op->stream, op->segment, op->position, op->stream->cache);
    stream_consume(op->stream, op->position);
    op_read(op);
}

/*
 * How much to read at op->position: the rest of a known range, or what is likely to hold the
 * answer.
 */
static uint32_t op_want(const struct read_op *op)
{
    uint32_t left = op->limit - op->position;
    uint32_t share = cache_size(op->plog->env->shard->streams.memory) / plog_read_share;
    uint64_t want = op->read->max_bytes;
    if (!op->followed)
        want += (uint64_t)op->plog->config.index_interval_bytes;
    if (want > plog_read_disk_bytes_max)
        want = plog_read_disk_bytes_max;
    if (op->holder && op->holder_chunks < share)
        share = op->holder_chunks;
    if (want > (uint64_t)share * tail_chunk_bytes) /* others want some, too */
        want = (uint64_t)share * tail_chunk_bytes;
    if (want < batch_header_bytes)
        want = batch_header_bytes;
    return want < left ? (uint32_t)want : left;
}

static void op_read(struct read_op *op)
{
    struct stream *st = op->stream;
    if (!read_op_hold(op, op_want(op))) {
        read_op_empty(op);
        return;
    }
    uint32_t to = op->position + op_want(op);
    if (op->followed && st->ahead && st->have >= to)
        op->plog->env->reads.ahead_hits++;
    op_more(op, to);
}

/* The next piece of a batch that is too large for the read memory. */
static void op_large(struct read_op *op)
{
    struct plog_shard *shard = op->plog->env->shard;
    struct cache *log = op->plog->env->cache;
    uint64_t most = (uint64_t)cache_size(log) / log_share * tail_chunk_bytes;
    if (shard->large && shard->large != op) {
        if (!read_op_may_wait(op))
            return;
        op->next = NULL;
        *shard->large_tail = op;
        shard->large_tail = &op->next;
        return;
    }
    shard->large = op;
    op->end = op->batch_end;
    if (most > plog_read_disk_bytes_max)
        most = plog_read_disk_bytes_max;
    if (most < tail_chunk_bytes)
        most = tail_chunk_bytes;
    stream_restart(op->stream, op->segment, op->position, log);
    uint32_t left = op->batch_end - op->stream->base; /* whole chunks, so that none is lent twice */
    op_more(op, op->stream->base + (left < most ? left : (uint32_t)most));
}

void read_op_again(struct read_op *op)
{
    if (op->segment == NULL)
        read_try(op->plog, op->read, op);
    else if (!op->found)
        op_read(op);
    else if (op->large)
        op_large(op);
    else if (op_span(op).end >= op->batch_end)
        op_lend(op);
    else
        op_more(op, op->batch_end);
}

/* The segment is open and pinned. */
void read_op_resume(struct read_op *op)
{
    struct segment *s = op->segment;
    struct plog *p = op->plog;
    struct stream *st = op->stream = stream_take(p, op->read->offset, op);
    op->limit = segment_visible(s);
    op->followed = st->next_offset == op->read->offset && st->segment == s;
    op->position = op->followed ? st->next_position
                   : op->read->offset > s->base
                       ? offset_index_lookup(&s->offsets, (uint32_t)(op->read->offset - s->base))
                       : 0;
    op->indexed = !op->followed && op->position > 0;
    if (!op->followed)
        st->next_offset = -1; /* next_position is not of this segment */
    stream_seek(st, s, op->position, p->env->shard->streams.memory);
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
    uint32_t bytes;
    uint64_t reach =
        (uint64_t)at + r->max_bytes + (uint64_t)p->config.index_interval_bytes + tail_chunk_bytes;
    struct span sp = span_cached(s, at, reach < limit ? (uint32_t)reach : limit);
    if (at > 0 && sp.end > at && !entry_right(&sp, s, at, r->offset))
        return CACHED_NO; /* looked at again, and told, on the way to the disk */
    if (span_scan(&sp, s, &at, r->offset, &bytes) != SCAN_FOUND)
        return CACHED_NO;
    if (bytes > r->max_bytes && !r->min_one)
        return CACHED_DONE;
    uint32_t budget =
        r->max_bytes < read_cached_bytes_max ? r->max_bytes : (uint32_t)read_cached_bytes_max;
    if (budget < bytes)
        budget = bytes;
    if (budget > limit - at)
        budget = limit - at;
    sp = span_cached(s, at, at + budget);
    if (sp.end < at + bytes)
        return CACHED_NO;
    uint32_t to = stable_end(p, s, r, &sp, at, sp.end);
    if (span_lend(&sp, at, to, 0, &r->data) != 0)
        return CACHED_WAIT;
    p->env->reads.tail++;
    return CACHED_DONE;
}

void read_try(struct plog *p, struct plog_read *r, struct read_op *op)
{
    if (p->failed || p->state != PLOG_ATTACHED || r->offset < p->log_start || r->offset > p->end) {
        int16_t error = p->failed                   ? KERR_KAFKA_STORAGE_ERROR
                        : p->state != PLOG_ATTACHED ? KERR_NOT_LEADER_OR_FOLLOWER
                                                    : KERR_OFFSET_OUT_OF_RANGE;
        if (op)
            read_op_answer(op, error);
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
            read_op_answer(op, 0);
        else
            read_answer(p, r, 0);
        return;
    }
    if (op == NULL && (op = read_op_take(p, r)) == NULL)
        return;
    if (cached == CACHED_WAIT) {
        read_op_wait(op, p->env->cache, 0);
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
