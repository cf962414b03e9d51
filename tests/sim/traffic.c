/* Producers and readers. */
#include <inttypes.h>
#include <rte_mbuf.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "core/chain.h"
#include "storage/plog/batch.h"
#include "storage/plog/shard.h"
#include "tests/sim/sim.h"

static void enter(struct world *w, const struct sim_part *p)
{
    agent_enter(&w->shards[p->shard].agent);
}

static struct rte_mempool *mbufs(void)
{
    static struct rte_mempool *pool;
    if (pool == NULL)
        pool =
            rte_pktmbuf_pool_create("sim", 1023, 0, 0, 1024 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    CHECK(pool != NULL);
    return pool;
}

/* The batch as a client sends it: offset 0 and no epoch, in mbufs cut at random. */
static void chain_of(struct world *w, const struct sim_batch *b, struct chain *out)
{
    uint8_t front[16];
    memcpy(front, b->bytes, sizeof(front));
    memset(front, 0, 8);
    memset(front + 12, 0xff, 4);
    chain_init(out);
    for (uint32_t at = 0; at < b->size;) {
        struct rte_mbuf *m = rte_pktmbuf_alloc(mbufs());
        CHECK(m != NULL);
        uint32_t n = rng_below(&w->rng, 8) ? 1024 : 16 + (uint32_t)rng_below(&w->rng, 200);
        if (n > b->size - at)
            n = b->size - at;
        memcpy(rte_pktmbuf_append(m, (uint16_t)n), at ? b->bytes + at : front,
               at || n < sizeof(front) ? n : sizeof(front));
        if (at == 0 && n > sizeof(front))
            memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, sizeof(front)), b->bytes + sizeof(front),
                   n - sizeof(front));
        m->next = NULL;
        chain_append(out, m);
        at += n;
    }
}

/* ---- appends ---- */

static void append_free(struct sim_append *a)
{
    batch_release(a->batch);
    a->batch = NULL;
}

static void flow_drop(struct sim_flow *f, uint32_t i)
{
    batch_release(f->open[i]);
    f->open_count--;
    memmove(f->open + i, f->open + i + 1, (f->open_count - i) * sizeof(f->open[0]));
}

static void flow_answered(struct world *w, struct sim_append *a)
{
    struct sim_flow *f = a->flow;
    for (uint32_t i = 0; i < f->open_count; i++) {
        if (f->open[i] != a->batch)
            continue;
        MUST(w, i == 0, "answered out of order: serial %" PRIu64, a->batch->serial);
        flow_drop(f, 0);
        if (f->sent > 0)
            f->sent--;
        return;
    }
}

static bool unknown_to_snapshot(int16_t error)
{
    return error == KERR_OUT_OF_ORDER_SEQUENCE_NUMBER || error == KERR_DUPLICATE_SEQUENCE_NUMBER;
}

static void append_answered(struct world *w, struct sim_append *a)
{
    const struct plog_append *x = &a->append;
    struct sim_batch *b = a->batch;
    struct plog_marks m;
    if (w->disk.dead)
        return; /* nobody hears it */
    if (x->error == 0) {
        plog_marks(a->part->plog, &m);
        MUST(w, x->base_offset == b->base,
             "serial %" PRIu64 " is answered with offset %" PRId64 ", it is at %" PRId64, b->serial,
             x->base_offset, b->base);
        MUST(w, b->base + b->records <= m.high_watermark, "acked before it is durable");
        sim_trace(w, "acked %" PRIu64 " at %" PRId64, b->serial, b->base);
        w->acks++;
        b->acked = true;
        if (b->base + b->records > a->part->acked)
            a->part->acked = b->base + b->records;
        flow_answered(w, a);
    } else if (a->repeat && b != a->flow->newest && unknown_to_snapshot(x->error)) {
        flow_answered(w, a); /* older than what a snapshot keeps: refused, and not there twice */
    } else {
        plog_marks(a->part->plog, &m);
        MUST(w, x->error == KERR_KAFKA_STORAGE_ERROR && (m.failed || w->level >= PLOG_SPACE_LOW),
             "serial %" PRIu64 ": error %d", b->serial, x->error);
    }
}

static void on_appended(struct plog_append *x)
{
    struct sim_append *a = (struct sim_append *)x;
    MUST(a->world, !a->done, "answered twice");
    a->done = true;
    if (!a->sent)
        return;
    append_answered(a->world, a);
    append_free(a);
}

/* False: it was not taken now. */
static bool batch_send(struct world *w, struct sim_topic *t, struct sim_part *p, struct sim_flow *f,
                       struct sim_batch *b)
{
    uint32_t i = 0;
    while (i < sim_appends_max && w->appends[i].batch)
        i++;
    if (i == sim_appends_max || p->plog == NULL)
        return false;
    struct sim_append *a = &w->appends[i];
    struct chain chain;
    *a = (struct sim_append){.world = w, .part = p, .flow = f, .batch = b, .repeat = b->base >= 0};
    a->append.from_client = true;
    a->append.done = on_appended;
    b->refs++;
    chain_of(w, b, &chain);
    a->append.records = (struct chain_view){chain_pos_at(&chain, 0), b->size};
    enter(w, p);
    int err = plog_append(p->plog, &a->append);
    chain_free(&chain);
    MUST(w, err == 0 || err == ERR_FULL, "plog_append: %s", err_name(err));
    bool taken = err == 0 && !(a->done && a->append.error);
    if (taken && !a->repeat)
        model_accept(w, p, b, t->leader_epoch);
    sim_trace(w, "%s-%u: serial %" PRIu64 ", %u bytes, %s %" PRId64, t == w->topics ? "a" : "b",
              (unsigned)(p - t->parts), b->serial, b->size,
              err         ? "no room"
              : a->repeat ? "again"
              : taken     ? "appended at"
                          : "refused",
              b->base);
    w->repeats += a->repeat;
    a->sent = true;
    if (err || a->done) {
        if (err == 0)
            append_answered(w, a);
        append_free(a);
    }
    return taken;
}

static struct sim_topic *topic_of(struct world *w, const struct sim_part *p)
{
    for (uint32_t i = 0; i < sim_topics_max; i++)
        if (p >= w->topics[i].parts && p < w->topics[i].parts + sim_parts_max)
            return &w->topics[i];
    return NULL;
}

static void newest_is(struct sim_flow *f, struct sim_batch *b)
{
    if (f->id < 0 || (f->newest && f->newest->base >= b->base))
        return;
    batch_release(f->newest);
    f->newest = b;
    b->refs++;
}

/*
 * What came into the log, was not answered before a crash, and was deleted since: with it the
 * producer may be forgotten (as in Kafka), so that it would be appended again. Not sent again.
 */
static void drop_deleted(struct sim_part *p, struct sim_flow *f)
{
    struct plog_marks m;
    plog_marks(p->plog, &m);
    while (f->sent < f->open_count && f->open[f->sent]->base >= 0 &&
           f->open[f->sent]->base < m.log_start)
        flow_drop(f, f->sent);
}

void traffic_produce(struct world *w, struct sim_part *p, struct sim_flow *f)
{
    struct sim_topic *t = topic_of(w, p);
    if (p->plog == NULL)
        return;
    drop_deleted(p, f);
    if (f->sent < f->open_count) {
        struct sim_batch *b = f->open[f->sent];
        uint32_t before = f->open_count;
        f->sent++;
        if (batch_send(w, t, p, f, b))
            newest_is(f, b);
        else if (f->open_count == before)
            f->sent--;
        return;
    }
    if (f->open_count == sim_open_max)
        return;
    struct sim_batch *b = batch_new(w, t, f, w->wall_ms);
    if (f->id >= 0) {
        f->open[f->open_count++] = b;
        f->sent++;
        b->refs++;
    }
    uint32_t records = b->records;
    if (batch_send(w, t, p, f, b)) {
        f->sequence += (int32_t)records;
        newest_is(f, b);
    } else if (f->id >= 0) {
        f->open_count--;
        f->sent--;
        batch_release(b);
    }
    batch_release(b);
}

void traffic_repeat(struct world *w, struct sim_part *p, struct sim_flow *f)
{
    struct plog_marks m;
    if (p->plog == NULL || f->id < 0)
        return;
    uint64_t which = rng_below(&w->rng, f->sent + 1);
    struct sim_batch *b = which < f->sent ? f->open[which] : f->newest;
    plog_marks(p->plog, &m);
    /* what was deleted may be forgotten, with its producer */
    if (b && f->sent == f->open_count && b->base >= m.log_start)
        batch_send(w, topic_of(w, p), p, f, b);
}

/* ---- reads ---- */

#define read_wait_ns (plog_read_wait_ms * CLOCK_NS_PER_MS)

static void read_free(struct world *w, struct sim_read *r)
{
    enter(w, r->part);
    chain_free(&r->read.data);
    free(r->copy);
    r->copy = NULL;
    r->part = NULL;
}

static void read_compare(struct world *w, struct sim_read *r)
{
    uint8_t *now = malloc(r->bytes + 1);
    CHECK(now != NULL);
    chain_copy_out(&r->read.data, 0, now, r->bytes);
    MUST(w, memcmp(now, r->copy, r->bytes) == 0,
         "an answer of %" PRIu64 " bytes from %" PRId64 " changed while it was being sent",
         r->bytes, r->read.offset);
    free(now);
}

/* Where a reader goes on that has these bytes from the batch of `offset` on. */
static int64_t behind(const uint8_t *bytes, uint64_t n, int64_t offset)
{
    for (uint64_t at = 0; n - at >= BATCH_LAST_DELTA + 4;) {
        uint64_t size = batch_overhead_bytes + bytes_get_u32(bytes + at + BATCH_LENGTH);
        if (size > n - at)
            break;
        offset = bytes_get_i64(bytes + at) + bytes_get_i32(bytes + at + BATCH_LAST_DELTA) + 1;
        at += size;
    }
    return offset;
}

static void on_data(struct world *w, struct sim_read *r)
{
    struct plog_read *x = &r->read;
    model_bytes(w, r->part, x->offset, r->copy, r->bytes, x->high_watermark);
    if (x->high_watermark > r->part->seen)
        r->part->seen = x->high_watermark;
    w->fetched += r->bytes;
    if (r->cursor)
        *r->cursor = behind(r->copy, r->bytes, x->offset);
}

static void on_read(struct plog_read *x)
{
    struct sim_read *r = (struct sim_read *)x;
    struct world *w = r->world;
    struct plog_marks m;
    MUST(w, !r->done, "answered twice");
    r->done = true;
    r->bytes = x->data.bytes;
    r->copy = malloc(r->bytes + 1);
    CHECK(r->copy != NULL);
    chain_copy_out(&x->data, 0, r->copy, r->bytes);
    if (r->cursor)
        *r->cursor = x->offset;
    if (w->disk.dead)
        return;
    plog_marks(r->part->plog, &m);
    if (x->error == KERR_OFFSET_OUT_OF_RANGE) {
        MUST(w, x->offset < m.log_start || x->offset > x->high_watermark,
             "offset %" PRId64 " is out of range", x->offset);
    } else if (x->error == KERR_KAFKA_STORAGE_ERROR) {
        MUST(w, m.failed, "reading %" PRId64 ": a storage error of a log that works", x->offset);
        MUST(w, w->o.faults || w->o.space, "reading %" PRId64 ": an error out of nothing",
             x->offset);
        w->broken = true; /* the partition alone: the next start opens it */
    } else if (x->error) {
        MUST(w, x->error == KERR_NOT_LEADER_OR_FOLLOWER, "reading %" PRId64 ": error %d", x->offset,
             x->error);
    } else {
        MUST(w, x->high_watermark <= m.high_watermark, "a high watermark from the future");
        MUST(w, r->bytes > 0 || !r->due || w->gaps || w->now_ns - r->begin_ns >= read_wait_ns,
             "reading %" PRId64 ": nothing, and nobody waited for memory", x->offset);
        on_data(w, r);
    }
}

static struct sim_read *read_new(struct world *w, struct sim_part *p)
{
    for (uint32_t i = 0; i < sim_reads_max && p->plog; i++) {
        struct sim_read *r = &w->reads[i];
        if (r->part)
            continue;
        *r = (struct sim_read){.world = w, .part = p};
        return r;
    }
    return NULL;
}

static void read_begin(struct world *w, struct sim_part *p, struct sim_read *r)
{
    struct plog_marks m;
    plog_marks(p->plog, &m);
    int64_t end = r->read.read_committed ? m.stable : m.high_watermark;
    r->due = r->read.min_one && r->read.offset >= m.log_start && r->read.offset < end;
    r->begin_ns = w->now_ns;
    enter(w, p);
    plog_read(p->plog, &r->read);
}

void traffic_fetch(struct world *w, struct sim_part *p, bool oldest)
{
    struct plog_marks m;
    struct sim_read *r = read_new(w, p);
    if (r == NULL)
        return;
    plog_marks(p->plog, &m);
    uint64_t span = (uint64_t)(m.end - m.log_start) + 2;
    r->read = (struct plog_read){
        .offset = m.log_start + (int64_t)rng_below(&w->rng, span),
        .max_bytes = (uint32_t)rng_below(&w->rng, rng_below(&w->rng, 2) ? 1000 : 200000),
        .min_one = rng_below(&w->rng, 2),
        .read_committed = rng_below(&w->rng, 2),
        .done = on_read,
    };
    if (oldest)
        r->read.offset = m.log_start;
    read_begin(w, p, r);
}

void traffic_follow(struct world *w, struct sim_part *p)
{
    int64_t *cursor = &p->cursors[rng_below(&w->rng, sim_cursors_max)];
    for (uint64_t n = 1 + rng_below(&w->rng, 12); n > 0 && !w->disk.dead; n--) {
        struct plog_marks m;
        struct sim_read *r = *cursor < 0 ? NULL : read_new(w, p);
        if (r == NULL)
            return;
        plog_marks(p->plog, &m);
        if (*cursor < m.log_start || *cursor >= m.high_watermark)
            *cursor = m.log_start;
        r->read = (struct plog_read){
            .offset = *cursor,
            .max_bytes = (uint32_t)rng_below(&w->rng, rng_below(&w->rng, 2) ? 3000 : 80000),
            .min_one = rng_below(&w->rng, 8) > 0,
            .done = on_read,
        };
        r->cursor = cursor;
        *cursor = -1;
        read_begin(w, p, r);
        for (uint32_t i = 0; i < 40 && !r->done && !w->disk.dead; i++)
            world_move(w);
        if (rng_below(&w->rng, 2))
            traffic_release(w, false);
    }
}

void traffic_release(struct world *w, bool all)
{
    for (uint32_t i = 0; i < sim_reads_max; i++) {
        struct sim_read *r = &w->reads[i];
        if (r->part == NULL || !r->done || (!all && rng_below(&w->rng, 2)))
            continue;
        read_compare(w, r);
        read_free(w, r);
    }
}

/* ---- the rest ---- */

static void on_fire(struct plog_waiter *waiter)
{
    ((struct sim_part *)((char *)waiter - offsetof(struct sim_part, waiter)))->waits_for = -1;
}

void traffic_wait(struct world *w, struct sim_part *p)
{
    struct plog_marks m;
    if (p->plog == NULL || p->waiter.prev)
        return;
    plog_marks(p->plog, &m);
    p->waits_for = m.high_watermark;
    p->waiter.fire = on_fire;
    enter(w, p);
    plog_wait(p->plog, &p->waiter);
}

void traffic_delete_records(struct world *w, struct sim_part *p)
{
    struct plog_marks m;
    int64_t low = -1;
    if (p->plog == NULL || w->broken)
        return;
    plog_marks(p->plog, &m);
    int64_t to = -1;
    if (rng_below(&w->rng, 4))
        to = m.log_start +
             (int64_t)rng_below(&w->rng, (uint64_t)(m.high_watermark - m.log_start) + 1);
    enter(w, p);
    int16_t err = plog_delete_records(p->plog, to, &low);
    MUST(w, err == 0, "deleting records up to %" PRId64 ": error %d", to, err);
    MUST(w, low == (to < 0 ? m.high_watermark : to), "deleted up to %" PRId64 " for %" PRId64, low,
         to);
    if (low > p->asked)
        p->asked = low;
    sim_trace(w, "records before %" PRId64 " deleted", low);
    /* until the log start is written a crash may bring them back, as in Kafka */
    if (rng_below(&w->rng, 2) && world_checkpoint(w) && !w->disk.dead && low > p->deleted)
        p->deleted = low;
}

void traffic_forget_part(struct world *w, struct sim_part *p)
{
    for (uint32_t i = 0; i < sim_appends_max; i++)
        MUST(w, w->appends[i].batch == NULL || w->appends[i].part != p,
             "serial %" PRIu64 " is never answered", w->appends[i].batch->serial);
    for (uint32_t i = 0; i < sim_reads_max; i++) {
        struct sim_read *r = &w->reads[i];
        if (r->part != p)
            continue;
        MUST(w, r->done, "a read from %" PRId64 " is never answered", r->read.offset);
        read_compare(w, r);
        read_free(w, r);
    }
    for (uint32_t i = 0; i < sim_flows_max; i++)
        p->flows[i].sent = 0;
    for (uint32_t i = 0; i < sim_cursors_max; i++)
        p->cursors[i] = 0; /* begins anew at the log start */
}

void traffic_forget(struct world *w)
{
    for (uint32_t t = 0; t < w->o.topics; t++)
        for (uint32_t k = 0; k < w->o.parts; k++)
            traffic_forget_part(w, &w->topics[t].parts[k]);
}
