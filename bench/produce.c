#include "bench/produce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/kerr.h"
#include "bench/admin.h"

#define frame_copy_max     1400 /* frames up to this are copied, longer ones refer to the batch */
#define extbuf_bytes_max   32768
#define reply_bytes_max    512
#define produce_api        0
#define produce_version    7
#define reply_fixed_before 18 /* correlation, topics, name's length, partitions, index */

struct produce_conn {
    uint32_t partition;
    int64_t producer_id;
    int16_t epoch;
    int32_t *sequence;                      /* of the next record, by partition */
    uint8_t batch[flow_in_flight_max];      /* which one each request carries */
    struct rte_mbuf_ext_shared_info shared; /* one per conn: its count has 16 bits */
};

struct produce {
    const struct produce_options *o;
    struct result *result;
    struct flow *flow;
    struct produce_conn *conns;
    int32_t *sequences;
    struct produce_head head;
    struct bench_batch batch[produce_batches_max];
    uint32_t batches;
};

void produce_head_make(struct produce_head *h, const char *topic, int16_t acks, uint32_t batch_len)
{
    uint8_t *p = h->bytes + 4;
    uint16_t topic_len = (uint16_t)strlen(topic);
    bytes_put_u16(p, produce_api);
    bytes_put_u16(p + 2, produce_version);
    h->correlation_at = (uint32_t)(p + 4 - h->bytes);
    bytes_put_u16(p + 8, 12);
    memcpy(p + 10, "sluice-bench", 12);
    p += 22;
    bytes_put_u16(p, UINT16_MAX); /* no transactional id */
    bytes_put_u16(p + 2, (uint16_t)acks);
    bytes_put_u32(p + 4, 30000); /* time-out in ms */
    bytes_put_u32(p + 8, 1);
    bytes_put_u16(p + 12, topic_len);
    memcpy(p + 14, topic, topic_len);
    p += 14 + topic_len;
    bytes_put_u32(p, 1);
    h->partition_at = (uint32_t)(p + 4 - h->bytes);
    h->batch_len_at = h->partition_at + 4;
    h->len = h->batch_len_at + 4;
    produce_head_set(h, 0, 0, batch_len);
}

void produce_head_set(struct produce_head *h, int32_t correlation, uint32_t partition,
                      uint32_t batch_len)
{
    bytes_put_u32(h->bytes, h->len - 4 + batch_len);
    bytes_put_u32(h->bytes + h->correlation_at, (uint32_t)correlation);
    bytes_put_u32(h->bytes + h->partition_at, partition);
    bytes_put_u32(h->bytes + h->batch_len_at, batch_len);
}

int16_t produce_reply_error(const struct chain *rx, uint32_t len, const char *topic,
                            int32_t correlation)
{
    uint8_t buf[reply_bytes_max];
    uint32_t at = reply_fixed_before + (uint32_t)strlen(topic);
    if (len > sizeof(buf) || len < at + 2)
        return KERR_UNKNOWN_SERVER_ERROR;
    const uint8_t *reply = chain_peek(rx, len, buf);
    return bytes_get_i32(reply) == correlation ? bytes_get_i16(reply + at)
                                               : KERR_UNKNOWN_SERVER_ERROR;
}

/* ---- sending ---- */

/* Refers to the batch from byte `off` on. */
static bool attach_batch(struct produce *l, struct produce_conn *c, const struct bench_batch *b,
                         uint32_t off, struct chain *out)
{
    while (off < b->len) {
        uint32_t left = b->len - off, n = left < extbuf_bytes_max ? left : extbuf_bytes_max;
        struct rte_mbuf *m = rte_pktmbuf_alloc(flow_client(l->flow)->cable.mem.ref_pool);
        if (!m)
            return false;
        rte_mbuf_ext_refcnt_update(&c->shared, 1);
        rte_pktmbuf_attach_extbuf(m, b->bytes + off, RTE_BAD_IOVA, (uint16_t)n, &c->shared);
        m->data_off = 0;
        m->data_len = (uint16_t)n;
        m->pkt_len = n;
        chain_append(out, m);
        off += n;
    }
    return true;
}

/* The request's head and, if it is stamped, the batch's header go as a copy; the rest if it is short. */
static bool put_frame(struct produce *l, struct produce_conn *c, const struct bench_batch *b,
                      struct chain *out)
{
    struct rte_mempool *pool = flow_client(l->flow)->cable.mem.tx_pool;
    uint8_t frame[frame_copy_max];
    uint32_t n = l->head.len, from = 0;
    memcpy(frame, l->head.bytes, n);
    if (l->o->idempotent) {
        bench_batch_stamp(b, c->producer_id, c->epoch, c->sequence[c->partition], frame + n);
        from = batch_header_bytes;
        n += from;
    }
    if (l->head.len + b->len <= frame_copy_max) {
        memcpy(frame + n, b->bytes + from, b->len - from);
        return chain_append_bytes(out, pool, frame, l->head.len + b->len) == 0;
    }
    struct chain one;
    chain_init(&one);
    if (chain_append_bytes(&one, pool, frame, n) < 0 || !attach_batch(l, c, b, from, &one)) {
        chain_free(&one);
        return false;
    }
    chain_join(out, &one);
    return true;
}

static bool put(void *ctx, uint32_t conn, uint32_t n, struct chain *out)
{
    struct produce *l = ctx;
    struct produce_conn *c = &l->conns[conn];
    const struct produce_options *o = l->o;
    uint32_t which = l->batches > 1 ? (uint32_t)rng_below(flow_rng(l->flow), l->batches) : 0;
    const struct bench_batch *b = &l->batch[which];
    if (o->keyed)
        c->partition = (uint32_t)rng_below(flow_rng(l->flow), o->partitions);
    produce_head_set(&l->head, (int32_t)n, c->partition, b->len);
    if (!put_frame(l, c, b, out))
        return false;
    if (o->idempotent) /* wraps from INT32_MAX to 0 */
        c->sequence[c->partition] =
            (int32_t)((uint32_t)(c->sequence[c->partition] + (int64_t)b->records) & INT32_MAX);
    c->batch[n % flow_in_flight_max] = (uint8_t)which;
    if (!o->keyed)
        c->partition = (c->partition + o->all_conns) % o->partitions;
    return true;
}

static struct flow_worth answer(void *ctx, uint32_t conn, uint32_t n, const struct chain *rx,
                                uint32_t len)
{
    struct produce *l = ctx;
    const struct bench_batch *b = &l->batch[l->conns[conn].batch[n % flow_in_flight_max]];
    return (struct flow_worth){.error = produce_reply_error(rx, len, l->o->topic, (int32_t)n),
                               .records = b->records,
                               .bytes = b->len};
}

/* ---- the run ---- */

static int make_batches(struct produce *l, char *why, size_t why_size)
{
    const struct produce_options *o = l->o;
    bool vary = o->batch_spread != SPREAD_FIXED || o->batch.value_spread != SPREAD_FIXED;
    int64_t wall_ms = clock_wall_ms(clock_system());
    int err = 0;
    for (uint32_t i = 0; i < (vary ? produce_batches_max : 1) && !err; i++) {
        struct bench_batch_spec spec = o->batch;
        spec.records = spread_draw(o->batch_spread, o->batch.records, flow_rng(l->flow));
        err = bench_batch_make(&l->batch[i], &spec, wall_ms, flow_rng(l->flow));
        l->batches += !err;
    }
    if (err)
        snprintf(why, why_size, "batches cannot be made: %s", err_text(err));
    return err;
}

static int make_producers(struct produce *l, char *why, size_t why_size)
{
    const struct produce_options *o = l->o;
    uint32_t conns = o->flow.connections;
    if ((uint64_t)conns * o->partitions > produce_sequences_max) {
        snprintf(why, why_size,
                 "connections times partitions is over %u, the limit of --idempotent",
                 produce_sequences_max);
        return ERR_TOO_LARGE;
    }
    l->sequences = calloc((size_t)conns * o->partitions, sizeof(*l->sequences));
    int err = l->sequences ? 0 : ERR_NO_MEMORY;
    for (uint32_t i = 0; i < conns && !err; i++) {
        struct produce_conn *c = &l->conns[i];
        c->sequence = l->sequences + (size_t)i * o->partitions;
        err = admin_producer_id(crew_admin_host(o->flow.member, o->flow.host),
                                crew_admin_port(o->flow.member, o->flow.port),
                                flow_client(l->flow)->cable.mem.tx_pool, &c->producer_id, &c->epoch,
                                why, why_size);
    }
    return err;
}

static int prepare(struct produce *l, char *why, size_t why_size)
{
    const struct produce_options *o = l->o;
    int err = make_batches(l, why, why_size);
    if (err)
        return err;
    produce_head_make(&l->head, o->topic, o->acks, l->batch[0].len);
    for (uint32_t i = 0; i < o->flow.connections; i++) {
        l->conns[i].partition = (o->first_conn + i) % o->partitions;
        rte_mbuf_ext_refcnt_set(&l->conns[i].shared, 1); /* our hold: the batch outlives mbufs */
    }
    bool first = !o->flow.member || o->flow.member->index == 0;
    if (o->setup && first)
        err = admin_prepare_topic(crew_admin_host(o->flow.member, o->flow.host),
                                  crew_admin_port(o->flow.member, o->flow.port),
                                  flow_client(l->flow)->cable.mem.tx_pool, o->topic, o->partitions,
                                  why, why_size);
    if (!err)
        err = crew_meet(o->flow.member); /* the topic is there */
    if (!err && o->idempotent)
        err = make_producers(l, why, why_size);
    return err;
}

int produce_run(const struct produce_options *options, struct result *out, char *why,
                size_t why_size)
{
    static const struct flow_ops ops = {put, answer};
    struct produce *l = calloc(1, sizeof(*l));
    struct produce_conn *conns = calloc(options->flow.connections, sizeof(*conns));
    int err = l && conns ? 0 : ERR_NO_MEMORY;
    if (!err) {
        *l = (struct produce){.o = options, .result = out, .conns = conns};
        err = flow_new(&l->flow, &options->flow, &ops, l, out, why, why_size);
        if (!err)
            err = prepare(l, why, why_size);
        if (!err)
            err = flow_run(l->flow, why, why_size);
        flow_free(l->flow);
        for (uint32_t i = 0; i < l->batches; i++)
            bench_batch_free(&l->batch[i]);
        free(l->sequences);
    }
    free(conns);
    free(l);
    return err;
}
