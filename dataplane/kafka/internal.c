#include "dataplane/kafka/internal.h"

#include <rte_mbuf.h>
#include <stddef.h>

#include "base/err.h"
#include "base/kerr.h"

/* A piece of batch under one mbuf: as much as its data_len can say, in whole cache lines. */
#define piece_bytes 65472
#define pieces_max  ((internal_batch_bytes_max + piece_bytes - 1) / piece_bytes)

static void append_answered(struct plog_append *p)
{
    struct internal_append *a =
        (struct internal_append *)((char *)p - offsetof(struct internal_append, append));
    a->error = p->error;
    a->base_offset = p->base_offset;
    a->done(a);
}

static void answer(struct internal_append *a, int16_t error)
{
    a->error = error;
    a->base_offset = -1;
    a->done(a);
}

/* The plog reads the records during the call alone, so their mbufs may lie on the stack. */
static int append_now(struct internal_append *a)
{
    struct rte_mbuf pieces[pieces_max];
    uint32_t n = 0;
    for (uint32_t at = 0; at < a->bytes; at += piece_bytes, n++) {
        uint32_t left = a->bytes - at;
        struct rte_mbuf *m = &pieces[n];
        m->buf_addr = (void *)(uintptr_t)(a->batch + at);
        m->data_off = 0;
        m->data_len = (uint16_t)(left < piece_bytes ? left : piece_bytes);
        m->next = left > piece_bytes ? m + 1 : NULL;
    }
    a->append = (struct plog_append){
        .records = {.at = {.seg = pieces, .off = 0}, .len = a->bytes},
        .from_client = false,
        .done = append_answered,
    };
    return plog_append(a->plog, &a->append);
}

static void lane_run(struct cache_waiter *w);

static uint32_t append_chunks(const struct internal_append *a)
{
    return a->bytes / tail_chunk_bytes + 2;
}

static void lane_wait(struct internal_lane *lane)
{
    struct internal_append *a = lane->head;
    uint32_t chunks = append_chunks(a), half = cache_size(a->cache) / 2;
    lane->waiter.ready = lane_run;
    lane->waiter.chunks = chunks < half ? chunks : half;
    cache_wait(a->cache, &lane->waiter);
}

/* True if the log took or refused it; false: no log memory now. The append may be gone afterwards. */
static bool lane_try(struct internal_append *a)
{
    int err = append_now(a);
    bool hopeless = err == ERR_FULL && cache_hopeless(a->cache, append_chunks(a));
    if (err == ERR_FULL && !hopeless)
        return false;
    if (hopeless)
        answer(a, KERR_KAFKA_STORAGE_ERROR);
    else if (err < 0)
        answer(a, KERR_UNKNOWN_SERVER_ERROR);
    return true;
}

static void lane_run(struct cache_waiter *w)
{
    struct internal_lane *lane =
        (struct internal_lane *)((char *)w - offsetof(struct internal_lane, waiter));
    while (lane->head) {
        struct internal_append *a = lane->head, *next = a->next;
        lane->head = next; /* before the answer: the lane may go with its last append */
        if (!next)
            lane->tail = NULL;
        if (!lane_try(a)) {
            lane->head = a;
            if (!next)
                lane->tail = a;
            lane_wait(lane);
            return;
        }
        if (!next)
            return;
    }
}

void internal_append_start(struct internal_append *a)
{
    struct internal_lane *lane = a->lane;
    if (a->bytes > internal_batch_bytes_max) {
        answer(a, KERR_MESSAGE_TOO_LARGE);
        return;
    }
    if (!lane->head && lane_try(a))
        return;
    a->next = NULL;
    if (lane->tail) {
        lane->tail->next = a;
        lane->tail = a;
        return;
    }
    lane->head = lane->tail = a;
    lane_wait(lane);
}

static void read_answered(struct plog_read *p)
{
    struct internal_read *r =
        (struct internal_read *)((char *)p - offsetof(struct internal_read, read));
    r->error = p->error;
    r->data = p->data;
    r->log_start = p->log_start_offset;
    r->end = p->high_watermark;
    r->done(r);
}

void internal_read_start(struct internal_read *r)
{
    chain_init(&r->data);
    r->read = (struct plog_read){
        .offset = r->offset, .max_bytes = r->bytes_max, .min_one = true, .done = read_answered};
    plog_read(r->plog, &r->read);
}
