#include "control/internal_log.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/err.h"
#include "base/kerr.h"
#include "base/log.h"
#include "control/control.h"
#include "storage/plog/plog.h"

#define CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

struct internal_write {
    struct partition_call pc; /* first */
    struct internal_append op;
    struct internal_log *log;
    struct internal_write *next;
    uint64_t tag;
    uint8_t *batch;
    uint32_t bytes;
    int16_t error;
    bool done;
};

struct internal_load {
    struct partition_call pc; /* first */
    struct internal_read op;
    struct internal_log *log;
    struct record_walk walk;
    struct record_visitor visitor;
    void (*done)(void *ctx, const struct internal_load_result *result);
    struct internal_load_result result;
    uint32_t piece_bytes;
    uint8_t *piece;
    size_t piece_room;
    uint64_t gaps; /* of the shard, when the read began */
    bool started;
    bool starved; /* the read may be empty because the shard was short of something */
};

struct internal_drop {
    struct partition_call pc; /* first */
    struct internal_log *log;
    int64_t offset;
};

void internal_log_init(struct internal_log *l, struct control *c, const struct uuid *topic_id,
                       int32_t partition)
{
    *l = (struct internal_log){.control = c, .topic_id = *topic_id, .partition = partition};
    l->tail = &l->head;
}

bool internal_log_busy(const struct internal_log *l)
{
    return l->with_shard > 0 || l->load || l->drops > 0;
}

static int16_t call_start(struct internal_log *l, struct partition_call *pc,
                          void (*run)(struct call *), void (*done)(struct call *))
{
    struct image_topic *t = image_by_id(&l->control->image, &l->topic_id);
    if (!t)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    return partition_call_start(l->control, t, l->partition, pc, run, done);
}

/* ---- append ---- */

static void write_free(struct internal_write *w)
{
    free(w->batch);
    free(w);
}

static void send_more(struct internal_log *l);

/* Answers from the head of the queue, as far as they are there. */
static void deliver(struct internal_log *l)
{
    if (l->delivering)
        return;
    l->delivering = true;
    while (l->head && l->head->done) {
        struct internal_write *w = l->head;
        l->head = w->next;
        if (!l->head)
            l->tail = &l->head;
        l->queued_bytes -= w->bytes;
        int16_t error = w->error;
        int64_t base = error ? -1 : w->op.base_offset;
        if (error && !l->broken)
            l->broken = error;
        l->appended(l->ctx, w->tag, error, base, w->bytes);
        write_free(w);
    }
    if (!l->head)
        l->broken = 0;
    l->delivering = false;
}

static void on_shard_done(struct internal_append *op)
{
    call_finish(&CONTAINER(op, struct internal_write, op)->pc.call);
}

static void on_shard(struct call *call)
{
    struct internal_write *w = (struct internal_write *)call;
    w->op.plog = w->pc.plog;
    w->op.cache = w->pc.plogs->cache;
    internal_append_start(&w->op);
}

static void write_done(struct call *call)
{
    struct internal_write *w = (struct internal_write *)call;
    struct internal_log *l = w->log;
    w->done = true;
    w->error = w->op.error;
    l->with_shard--;
    deliver(l);
    send_more(l);
    deliver(l);
}

static void send_more(struct internal_log *l)
{
    while (l->unsent && l->with_shard < internal_log_window_max) {
        struct internal_write *w = l->unsent;
        l->unsent = w->next;
        int16_t error = l->broken ? l->broken : call_start(l, &w->pc, on_shard, write_done);
        if (error) {
            w->done = true;
            w->error = error;
        } else {
            l->with_shard++;
        }
    }
}

int internal_log_append(struct internal_log *l, const struct record_item *items, uint32_t n,
                        int64_t timestamp_ms, uint64_t tag)
{
    struct internal_write *w = calloc(1, sizeof(*w));
    if (!w)
        return ERR_NO_MEMORY;
    int err = record_batch_build(items, n, timestamp_ms, &w->batch, &w->bytes);
    if (!err && w->bytes > internal_batch_bytes_max)
        err = ERR_TOO_LARGE;
    if (!err && l->queued_bytes + w->bytes > internal_log_bytes_max)
        err = ERR_FULL;
    if (err) {
        write_free(w);
        return err;
    }
    w->log = l;
    w->tag = tag;
    w->op.lane = &l->lane;
    w->op.batch = w->batch;
    w->op.bytes = w->bytes;
    w->op.done = on_shard_done;
    l->queued_bytes += w->bytes;
    *l->tail = w;
    l->tail = &w->next;
    if (!l->unsent)
        l->unsent = w;
    send_more(l);
    deliver(l);
    return 0;
}

void internal_log_discard(struct internal_log *l)
{
    struct internal_write **at = &l->head;
    while (*at && *at != l->unsent)
        at = &(*at)->next;
    struct internal_write *w = *at;
    *at = NULL;
    l->tail = at;
    l->unsent = NULL;
    while (w) {
        struct internal_write *next = w->next;
        l->queued_bytes -= w->bytes;
        write_free(w);
        w = next;
    }
}

/* ---- load ---- */

static void load_read(struct internal_load *x);

static void load_end(struct internal_load *x, int err)
{
    struct internal_log *l = x->log;
    struct internal_load_result result = x->result;
    void (*done)(void *, const struct internal_load_result *) = x->done;
    result.err = err;
    l->load = NULL;
    record_walk_free(&x->walk);
    free(x->piece);
    free(x);
    done(l->ctx, &result);
}

static void load_on_shard_done(struct internal_read *op)
{
    struct internal_load *x = CONTAINER(op, struct internal_load, op);
    x->starved = x->pc.plogs->reads.gaps != x->gaps;
    call_finish(&x->pc.call);
}

static void load_on_shard(struct call *call)
{
    struct internal_load *x = (struct internal_load *)call;
    x->op.plog = x->pc.plog;
    x->gaps = x->pc.plogs->reads.gaps;
    if (!x->started) {
        struct plog_marks marks;
        plog_marks(x->op.plog, &marks);
        x->op.offset = marks.log_start;
    }
    internal_read_start(&x->op);
}

static int load_keep(struct internal_load *x)
{
    size_t n = x->op.data.bytes;
    if (n > x->piece_room) {
        uint8_t *grown = realloc(x->piece, n);
        if (!grown)
            return ERR_NO_MEMORY;
        x->piece = grown;
        x->piece_room = n;
    }
    chain_copy_out(&x->op.data, 0, x->piece, n);
    return 0;
}

/* One piece: 1: go on; 0: the end; or an err. */
static int load_piece(struct internal_load *x)
{
    size_t n = x->op.data.bytes;
    int64_t before = x->walk.next_offset;
    if (n == 0)
        return x->walk.next_offset >= x->result.end ? 0 : x->starved ? ERR_FULL : ERR_CORRUPT;
    int err = load_keep(x);
    if (err)
        return err;
    int64_t walked = record_walk(&x->walk, x->piece, n, &x->visitor);
    if (walked < 0)
        return (int)walked;
    x->result.bytes += (uint64_t)walked;
    if (x->walk.next_offset >= x->result.end)
        return 0;
    return x->walk.next_offset > before ? 1 : ERR_CORRUPT;
}

static void load_done(struct call *call)
{
    struct internal_load *x = (struct internal_load *)call;
    int16_t error = x->op.error;
    if (!error && !x->started) {
        x->started = true;
        record_walk_init(&x->walk, x->op.offset);
        x->result.log_start = x->op.log_start;
        x->result.end = x->op.end;
    }
    int next = error ? ERR_IO : load_piece(x);
    chain_free(&x->op.data);
    if (error == KERR_OFFSET_OUT_OF_RANGE && x->started && x->op.log_start > x->walk.next_offset) {
        x->walk.next_offset = x->op.log_start; /* deleted meanwhile */
        next = 1;
    }
    if (next == 1)
        load_read(x);
    else
        load_end(x, next);
}

static void load_read(struct internal_load *x)
{
    x->op.offset = x->walk.next_offset;
    x->op.bytes_max = x->piece_bytes;
    x->op.done = load_on_shard_done;
    if (call_start(x->log, &x->pc, load_on_shard, load_done))
        load_end(x, ERR_NOT_FOUND);
}

int internal_log_load(struct internal_log *l, uint32_t piece_bytes,
                      const struct record_visitor *visitor,
                      void (*done)(void *ctx, const struct internal_load_result *result))
{
    CHECK(!l->load);
    struct internal_load *x = calloc(1, sizeof(*x));
    if (!x)
        return ERR_NO_MEMORY;
    x->log = l;
    x->visitor = *visitor;
    x->done = done;
    x->piece_bytes = piece_bytes;
    x->op.bytes_max = piece_bytes;
    x->op.done = load_on_shard_done;
    if (call_start(l, &x->pc, load_on_shard, load_done)) {
        free(x);
        return ERR_NOT_FOUND;
    }
    l->load = x;
    return 0;
}

/* ---- drop ---- */

static void drop_on_shard(struct call *call)
{
    struct internal_drop *d = (struct internal_drop *)call;
    plog_drop_before(d->pc.plog, d->offset);
    call_finish(call);
}

static void drop_done(struct call *call)
{
    struct internal_drop *d = (struct internal_drop *)call;
    d->log->drops--;
    free(d);
}

void internal_log_drop_before(struct internal_log *l, int64_t offset)
{
    struct internal_drop *d = calloc(1, sizeof(*d));
    if (!d)
        return;
    d->log = l;
    d->offset = offset;
    if (call_start(l, &d->pc, drop_on_shard, drop_done) == 0)
        l->drops++;
    else
        free(d);
}
