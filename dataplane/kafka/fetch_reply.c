/*
 * The response of a Fetch. Record data joins it by reference: the bytes between two partitions'
 * data are encoded into mbufs of their own, and all of it is put together when everything is there.
 */
#include <rte_mbuf.h>

#include "dataplane/kafka/kafka_internal.h"

/* ---- what goes into the response, and what the session remembers of it ---- */

/* CachedPartition.maybeUpdateResponseData: is there anything new for the client? */
static bool has_news(struct session_part *sp, const struct part *p)
{
    const struct plog_read *read = &p->fetch.read;
    bool news = read->data.bytes > 0 || p->fetch.diverging_epoch >= 0;
    if (sp->high_watermark != read->high_watermark) {
        sp->high_watermark = read->high_watermark;
        news = true;
    }
    if (sp->local_start != read->log_start_offset) {
        sp->local_start = read->log_start_offset;
        news = true;
    }
    if (p->error != 0) {
        sp->high_watermark = -1; /* sent again when the error is gone */
        news = true;
    }
    return news;
}

static void settle_incremental(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    struct session *session = f->session;
    f->session_id = session->id;
    if (session->epoch != f->session_epoch) {
        /* Another request went on with the session meanwhile. */
        f->error = KERR_INVALID_FETCH_SESSION_EPOCH;
        for (struct part *p = r->parts; p != NULL; p = p->next)
            p->fetch.include = false;
        return;
    }
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        struct session_part *sp = p->fetch.cached;
        p->fetch.include = has_news(sp, p);
        if (p->fetch.read.data.bytes > 0) {
            link_remove(&sp->link); /* to the end: the others are served first next time */
            link_push(&session->parts, &sp->link);
        }
    }
}

static void settle_full(struct request *r)
{
    struct sessions *s = &r->k->sessions;
    struct session *session =
        session_create(s, r->part_count, r->api_version >= 13, kafka_clock(r->k));
    r->fetch.session_id = 0;
    if (session == NULL)
        return;
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        struct session_part *sp;
        if (session_put(s, session, p, &sp) < 0) {
            session_remove(s, session);
            return;
        }
        sp->high_watermark = p->fetch.read.high_watermark;
        sp->local_start = p->fetch.read.log_start_offset;
    }
    r->fetch.session_id = session->id;
}

/* Once, when the response is first encoded. */
static void settle_session(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    if (f->settled)
        return;
    f->settled = true;
    if (f->context == FETCH_INCREMENTAL)
        settle_incremental(r);
    else if (f->context == FETCH_FULL)
        settle_full(r);
}

/* ---- encoding ---- */

static struct part *next_included(struct part *p)
{
    while (p != NULL && !p->fetch.include)
        p = p->next;
    return p;
}

static bool tells_leader(const struct part *p)
{
    return p->r->api_version >= 16 && p->partition != NULL &&
           (p->error == KERR_NOT_LEADER_OR_FOLLOWER || p->error == KERR_FENCED_LEADER_EPOCH) &&
           (p->partition->leader_id != -1 || p->partition->leader_epoch != -1);
}

/* Older clients take a storage error for an unknown one and would not look for a new leader. */
static int16_t wire_error(const struct part *p)
{
    if (p->error == KERR_KAFKA_STORAGE_ERROR && p->r->api_version <= 5)
        return KERR_NOT_LEADER_OR_FOLLOWER;
    return p->error;
}

/*
 * Aborted transactions: none yet. Kafka writes an empty list where it would look for them, else
 * null.
 */
static bool lists_aborted(const struct part *p)
{
    if (p->fetch.erroneous)
        return true;
    return p->r->fetch.isolation == 1 && p->error == 0 && p->fetch.diverging_epoch < 0;
}

static void encode_head(struct writer *w, const struct part *p, int version)
{
    const struct plog_read *read = &p->fetch.read;
    bool flexible = version >= 12;
    writer_i32(w, p->index);
    writer_i16(w, wire_error(p));
    writer_i64(w, read->high_watermark);
    writer_i64(w, read->last_stable_offset);
    if (version >= 5)
        writer_i64(w, read->log_start_offset);
    writer_any_array_len(w, flexible, lists_aborted(p) ? 0 : -1, true);
    if (version >= 11)
        writer_i32(w, -1); /* preferred read replica */
    if (flexible)
        writer_uvarint(w, (uint32_t)read->data.bytes + 1);
    else
        writer_i32(w, (int32_t)read->data.bytes);
}

static void encode_tags(struct writer *w, const struct part *p)
{
    bool diverging = p->fetch.diverging_epoch >= 0, leader = tells_leader(p);
    writer_uvarint(w, (uint32_t)diverging + (uint32_t)leader);
    if (diverging) {
        writer_tag(w, 0, 13);
        writer_i32(w, p->fetch.diverging_epoch);
        writer_i64(w, p->fetch.diverging_end);
        writer_no_tags(w);
    }
    if (leader) {
        writer_tag(w, 1, 9);
        writer_i32(w, p->partition->leader_id);
        writer_i32(w, p->partition->leader_epoch);
        writer_no_tags(w);
    }
}

/* What was written since the last data goes before p's data. */
static int cut_before_data(struct request *r, struct writer *w, struct part *p)
{
    if (p->fetch.read.data.bytes == 0)
        return w->err;
    int rc = writer_finish(w, &p->fetch.pre);
    writer_init(w, r->k->shard->mem.tx_pool);
    return rc;
}

static int encode_topic(struct request *r, struct writer *w, struct part **at)
{
    int version = r->api_version;
    bool flexible = version >= 12;
    struct part *p = *at, *end = p;
    int32_t n = 0;
    for (; end != NULL && part_same_topic(p, end); end = next_included(end->next))
        n++;
    reply_topic(w, p, version >= 13, flexible);
    writer_any_array_len(w, flexible, n, false);
    for (; p != end; p = next_included(p->next)) {
        encode_head(w, p, version);
        int rc = cut_before_data(r, w, p);
        if (rc < 0)
            return rc;
        if (flexible)
            encode_tags(w, p);
    }
    if (flexible)
        writer_no_tags(w);
    *at = end;
    return w->err;
}

static void encode_front(struct request *r, struct writer *w)
{
    int version = r->api_version;
    writer_i32(w, 0); /* the length: patched when it is known */
    writer_i32(w, r->correlation_id);
    if (version >= 12)
        writer_no_tags(w);
    writer_i32(w, 0); /* throttle time */
    if (version >= 7) {
        writer_i16(w, r->fetch.error);
        writer_i32(w, r->fetch.session_id);
    }
    int32_t topics = 0;
    for (struct part *p = next_included(r->parts), *last = NULL; p != NULL;
         last = p, p = next_included(p->next))
        topics += last == NULL || !part_same_topic(last, p);
    writer_any_array_len(w, version >= 12, topics, false);
}

static void encode_back(struct request *r, struct writer *w)
{
    if (r->api_version < 12)
        return;
    bool endpoint = false;
    for (struct part *p = next_included(r->parts); p != NULL; p = next_included(p->next))
        endpoint |= tells_leader(p) && p->partition->leader_id == r->k->o.node_id;
    endpoint = endpoint && r->fetch.replica_id < 0 && reply_endpoint_of(r) != NULL;
    writer_uvarint(w, endpoint);
    if (endpoint)
        reply_endpoint(w, r);
}

static int encode_pieces(struct request *r, struct chain *tail)
{
    struct writer w;
    writer_init(&w, r->k->shard->mem.tx_pool);
    encode_front(r, &w);
    int rc = w.err;
    for (struct part *p = next_included(r->parts); p != NULL && rc == 0;)
        rc = encode_topic(r, &w, &p);
    encode_back(r, &w);
    if (rc < 0) {
        writer_abort(&w);
        return rc;
    }
    return writer_finish(&w, tail);
}

/* ERR_NO_MEMORY: nothing is lost, encode again later. */
int fetch_encode(struct request *r, struct chain *out)
{
    struct chain frame, tail;
    chain_init(&frame);
    chain_init(&tail);
    settle_session(r);
    int rc = encode_pieces(r, &tail);
    if (rc < 0) {
        for (struct part *p = r->parts; p != NULL; p = p->next)
            chain_free(&p->fetch.pre);
        return rc;
    }
    for (struct part *p = next_included(r->parts); p != NULL; p = next_included(p->next)) {
        chain_join(&frame, &p->fetch.pre);
        chain_join(&frame, &p->fetch.read.data);
    }
    chain_join(&frame, &tail);
    CHECK(frame.head->data_len >= frame_prefix_bytes);
    bytes_put_u32(rte_pktmbuf_mtod(frame.head, void *),
                  (uint32_t)(frame.bytes - frame_prefix_bytes));
    chain_join(out, &frame);
    return 0;
}
