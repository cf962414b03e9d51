/*
 * Replies: framed, in the order of requests, and as few sends as may be. Encoding waits for the
 * moment of sending, so that the small replies of a step share mbufs; an encoder that runs out of
 * mbufs has lost nothing, and is run again when some have come back.
 */
#include "dataplane/kafka/reply.h"

#include <rte_mbuf.h>

#include "dataplane/kafka/kafka_internal.h"

void reply_begin(struct writer *w, struct rte_mempool *pool, struct rte_mempool *ref_pool,
                 int16_t api_key, int16_t api_version, int32_t correlation_id)
{
    (void)ref_pool;
    writer_init(w, pool);
    writer_i32(w, 0); /* the length, at the very front of the first mbuf */
    int rc = proto_response_header_encode(correlation_id, w, api_key, api_version);
    if (rc < 0)
        writer_fail(w, rc);
}

int reply_end(struct writer *w, struct chain *out)
{
    struct chain frame;
    chain_init(&frame);
    int rc = writer_finish(w, &frame);
    if (rc < 0)
        return rc;
    if (frame.bytes - frame_prefix_bytes > INT32_MAX) {
        chain_free(&frame);
        return ERR_TOO_LARGE;
    }
    CHECK(frame.head->data_len >= frame_prefix_bytes);
    bytes_put_u32(rte_pktmbuf_mtod(frame.head, void *),
                  (uint32_t)(frame.bytes - frame_prefix_bytes));
    chain_join(out, &frame);
    return 0;
}

struct writer_frame reply_open(struct writer *w, const struct request *r)
{
    struct writer_frame frame = writer_frame_begin(w);
    writer_i32(w, r->correlation_id);
    if (api_response_header_version(r->api_key, r->api_version) >= 1)
        writer_no_tags(w);
    return frame;
}

void reply_topic(struct writer *w, const struct part *p, bool by_id, bool flexible)
{
    if (by_id) {
        writer_uuid(w, p->topic_id);
        return;
    }
    uint8_t name[PROTO_STRING_BYTES_MAX];
    writer_any_str(w, flexible, part_name(p, name), false);
}

const struct kafka_endpoint *reply_endpoint_of(const struct request *r)
{
    const struct kafka_options *o = &r->k->o;
    if (r->conn == NULL || o->endpoints == NULL || r->conn->listener >= o->endpoint_count)
        return NULL;
    return &o->endpoints[r->conn->listener];
}

/* The array of node endpoints with this broker alone, as the value of tagged field 0. */
static void write_endpoint(struct writer *w, const struct kafka_endpoint *e, int32_t node_id)
{
    writer_compact_array_len(w, 1, false);
    writer_i32(w, node_id);
    writer_compact_str(w, e->host, false);
    writer_i32(w, e->port);
    writer_compact_str(w, e->rack, true);
    writer_no_tags(w);
}

void reply_endpoint(struct writer *w, const struct request *r)
{
    const struct kafka_endpoint *e = reply_endpoint_of(r);
    struct writer count;
    writer_init_count(&count);
    write_endpoint(&count, e, r->k->o.node_id);
    writer_tag(w, 0, (uint32_t)writer_bytes(&count));
    write_endpoint(w, e, r->k->o.node_id);
}

/* ---- sending ---- */

void reply_queue(struct conn *c)
{
    if (link_alone(&c->flush_link))
        link_push(&c->k->flush, &c->flush_link);
}

/* What one flush of a conn works on. */
struct flush {
    struct conn *c;
    struct chain out;
    struct writer w;          /* replies encoded since the last settle */
    bool open;                /* w is in use */
    struct request *settled;  /* first request whose reply is not in `out` for good */
    bool close, close_failed; /* the latter: a Produce that has no reply to tell its error */
};

static void follow_to_wire(struct flush *f, const struct request *r)
{
    struct conn *c = f->c;
    enum stage_class cls = r->api_key == API_Produce ? STAGE_CLASS_PRODUCE
                           : r->api_key == API_Fetch ? STAGE_CLASS_FETCH
                                                     : STAGE_CLASS_OTHER;
    if (c->sampled || r->silent) {
        stage_clocks_record(&c->k->clocks, cls, &r->stamps);
        return;
    }
    c->sampled = true;
    c->sample_class = (uint8_t)cls;
    c->sample = r->stamps;
    c->sample_left = c->unsent + f->out.bytes;
}

/* The replies up to `end` are in `out` now: their requests are over. */
static void settle(struct flush *f, struct request *end)
{
    int64_t now = kafka_clock(f->c->k);
    while (f->settled != end) {
        struct request *r = f->settled;
        f->settled = r->next;
        f->close |= r->close;
        f->close_failed |= r->close && r->api_key == API_Produce;
        r->stamps.at[STAMP_REPLIED] = now;
        if (r->errors > 0)
            f->c->k->counters.errors[r->api_key & 127] += r->errors;
        follow_to_wire(f, r);
        conn_answered(f->c, r);
    }
}

static int close_writer(struct flush *f, struct request *end)
{
    if (f->open) {
        f->open = false;
        int rc = writer_finish(&f->w, &f->out);
        if (rc < 0)
            return rc;
    }
    settle(f, end);
    return 0;
}

static int flush_small(struct flush *f, struct request *r)
{
    if (!f->open) {
        writer_init(&f->w, f->c->k->shard->mem.tx_pool);
        f->open = true;
    }
    if (r->api_key == API_Produce)
        produce_encode(r, &f->w);
    else
        list_encode(r, &f->w);
    return f->w.err;
}

static int flush_large(struct flush *f, struct request *r)
{
    struct request *next = r->next;
    int rc = close_writer(f, r);
    if (rc < 0)
        return rc;
    if (r->api_key == API_Fetch)
        rc = fetch_encode(r, &f->out);
    else
        chain_join(&f->out, &r->forward.reply);
    if (rc < 0)
        return rc;
    settle(f, next);
    return 0;
}

static int flush_one(struct flush *f, struct request *r)
{
    if (r->silent)
        return 0;
    if (r->api_key == API_Produce || r->api_key == API_ListOffsets)
        return flush_small(f, r);
    return flush_large(f, r);
}

static void send_out(struct flush *f)
{
    struct conn *c = f->c;
    struct kafka *k = c->k;
    if (f->out.bytes == 0)
        return;
    c->unsent += f->out.bytes;
    k->unsent += f->out.bytes;
    k->counters.bytes_out += f->out.bytes;
    c->slow = c->unsent > k->o.reply_bytes_max;
    tconn_send(c->tc, &f->out);
}

void reply_flush(struct conn *c)
{
    struct flush f; /* not the writer: close_writer and flush_small know whether it is in use */
    f.c = c;
    f.settled = c->head;
    f.out = (struct chain){0};
    f.open = f.close = f.close_failed = false;
    if (c->closing)
        return;
    int rc = 0;
    struct request *r = c->head;
    while (r != NULL && r->done && rc == 0 && !f.close) {
        struct request *next = r->next;
        bool last = r->close;
        rc = flush_one(&f, r);
        if (rc < 0)
            break;
        r = next;
        if (last)
            break;
    }
    if (rc == 0)
        rc = close_writer(&f, r);
    else if (f.open)
        writer_abort(&f.w);
    send_out(&f);
    if (rc == ERR_NO_MEMORY)
        reply_queue(c); /* again in the next run: what was sent gives mbufs back */
    else if (rc < 0) {
        conn_doom(c, "a reply could not be encoded: %s", err_text(rc));
        conn_close(c, true);
    }
    if (f.close_failed)
        conn_doom(c, "a Produce request with acks=0 failed");
    if (f.close)
        conn_close(c,
                   false); /* what was started behind it is not answered, as if it had not come */
    else if (c->doomed && c->inflight == 0)
        conn_close_when_answered(c);
    else if ((c->need > 0 || c->tc->rx.bytes > 0) && link_alone(&c->resume_link))
        link_push(&c->k->resume, &c->resume_link);
}
