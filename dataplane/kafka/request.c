/*
 * request: the header, dispatch by API, and what all requests have in common: slots, kept bytes,
 * parts and their topics.
 */
#include <rte_mbuf.h>
#include <xxhash.h>

#include "dataplane/kafka/kafka_internal.h"

/* ---- dispatch ---- */

static bool header_read(struct conn *c, struct reader *rd, struct proto_request_header *h)
{
    int rc = proto_request_header_decode(h, rd, kafka_arena(c->k));
    if (rc == ERR_NOT_FOUND)
        conn_doom(c, "unknown API key %d (version %d)", h->api_key, h->api_version);
    else if (rc < 0)
        conn_doom(c, "malformed request header");
    else if (h->api_key != API_ApiVersions && !api_is_served(h->api_key, h->api_version))
        conn_doom(c, "version %d of %s is not served", h->api_version, api_name(h->api_key));
    else
        return true;
    return false;
}

/*
 * Kafka works on one request of a connection at a time; only Produce is let through side by side.
 */
static bool must_wait(const struct conn *c, int16_t api_key)
{
    if (c->inflight == 0)
        return false;
    return !c->produce_only || api_key != API_Produce || c->inflight >= conn_inflight_requests_max;
}

/* A whole frame is at the front of rx. LATER: it stays there; what it waits for brings it back. */
enum request_result request_start(struct conn *c)
{
    struct reader rd;
    struct proto_request_header h;
    reader_init(&rd, (struct chain_view){{c->tc->rx.head, 0}, c->need});
    if (c->inflight > 0 && c->tc->rx.head->data_len >= 2 &&
        must_wait(c, bytes_get_i16(rte_pktmbuf_mtod(c->tc->rx.head, void *))))
        return REQUEST_LATER;
    if (!header_read(c, &rd, &h) || must_wait(c, h.api_key))
        return REQUEST_LATER;
    switch (h.api_key) {
    case API_Produce:
        return produce_start(c, &h, &rd);
    case API_Fetch:
        return fetch_start(c, &h, &rd);
    case API_ListOffsets:
        return list_start(c, &h, &rd);
    default:
        return forward_start(c, &h, c->need - reader_left(&rd));
    }
}

/* ---- slots ---- */

/* NULL: none left, the conn waits. */
struct request *request_new(struct conn *c, const struct proto_request_header *h)
{
    struct kafka *k = c->k;
    struct request *r = NULL;
    if (link_alone(&k->waiting[CONN_WAITS_SLOT]))
        r = pool_take(&k->requests);
    if (r == NULL) {
        conn_line_up(c, CONN_WAITS_SLOT);
        return NULL;
    }
    k->counters.requests_in_work++;
    r->conn = c;
    r->k = k;
    r->next = NULL;
    r->parts = r->parts_tail = NULL;
    r->part_count = 0;
    r->pending = 1;
    r->api_key = h->api_key;
    r->api_version = h->api_version;
    r->correlation_id = h->correlation_id;
    r->frame_bytes = c->need;
    r->done = r->silent = r->close = false;
    r->errors = 0;
    r->reserved = 0;
    chain_init(&r->body);
    r->stamps = (struct stamps){.at[STAMP_RECEIVED] = c->received_ns};
    return r;
}

void request_drop(struct request *r)
{
    struct kafka *k = r->k;
    parts_free(r);
    chain_free(&r->body);
    if (r->reserved > 0)
        reserve_give(k->reserve, r->reserved);
    k->counters.requests_in_work--;
    pool_give(&k->requests, r);
}

void request_free(struct request *r)
{
    if (r->api_key == API_Fetch)
        fetch_release(r);
    else if (request_is_forwarded(r))
        chain_free(&r->forward.reply);
    request_drop(r);
}

void request_done(struct request *r)
{
    CHECK(!r->done);
    r->done = true;
    if (r->conn == NULL)
        request_free(r);
    else if (r->conn->head == r)
        reply_queue(r->conn);
}

void request_unpend(struct request *r)
{
    DCHECK(r->pending > 0);
    if (--r->pending == 0)
        request_done(r);
}

/* Moves the frame from rx to r->body. ERR_NO_MEMORY: nothing has happened. */
int request_take_body(struct conn *c, struct request *r)
{
    int rc = chain_split(&c->tc->rx, c->need, c->k->shard->mem.ref_pool, &r->body);
    if (rc < 0)
        return rc;
    r->reserved = c->reserved;
    c->reserved = 0;
    c->need = 0;
    return 0;
}

/*
 * The same for a request that has not begun: its bytes need a reserve. On failure nothing has
 * happened and the conn waits: ERR_BUSY (for a reserve) or ERR_NO_MEMORY (for an mbuf).
 */
int request_keep_body(struct conn *c, struct request *r)
{
    struct kafka *k = c->k;
    if (c->reserved == 0 && c->need > small_frame_bytes) {
        if (!link_alone(&k->waiting[CONN_WAITS_RESERVE]) || !reserve_take(k->reserve, c->need)) {
            conn_line_up(c, CONN_WAITS_RESERVE);
            return ERR_BUSY;
        }
        c->reserved = c->need;
    }
    int rc = request_take_body(c, r);
    if (rc < 0)
        conn_line_up(c, CONN_WAITS_SLOT);
    return rc;
}

/* ---- parts ---- */

struct part *part_new(struct request *r)
{
    struct part *p = pool_take(&r->k->parts);
    if (p == NULL)
        return NULL;
    p->next = p->run_tail = NULL;
    p->r = r;
    p->topic = NULL;
    p->partition = NULL;
    p->owner = r->k;
    p->error = 0;
    return p;
}

void part_append(struct request *r, struct part *p)
{
    if (r->parts_tail != NULL)
        r->parts_tail->next = p;
    else
        r->parts = p;
    r->parts_tail = p;
    p->next = NULL;
    r->part_count++;
}

void part_free(struct kafka *k, struct part *p)
{
    if (p->topic != NULL)
        view_drop(k->o.view, p->topic);
    if (p->r->api_key == API_Fetch) {
        chain_free(&p->fetch.read.data);
        chain_free(&p->fetch.pre);
    }
    pool_give(&k->parts, p);
}

void parts_free(struct request *r)
{
    while (r->parts != NULL) {
        struct part *p = r->parts;
        r->parts = p->next;
        part_free(r->k, p);
    }
    r->parts_tail = NULL;
    r->part_count = 0;
}

/* Sets the request's parts to a list that was put together anew. */
static void take_out_next(struct request *r, struct part *before)
{
    struct part *p = before->next;
    before->next = p->next;
    if (r->parts_tail == p)
        r->parts_tail = before;
    r->part_count--;
}

void topic_ref_read(struct topic_ref *ref, struct kafka *k, struct reader *rd, bool by_id,
                    bool flexible, uint32_t frame_bytes)
{
    *ref = (struct topic_ref){0};
    if (by_id) {
        ref->id = reader_uuid(rd);
        ref->topic = view_by_id(k->o.view, &ref->id);
    } else {
        ref->name = reader_any_str(rd, flexible, false, kafka_arena(k));
        if (rd->err != 0)
            return;
        ref->name_len = ref->name.len;
        ref->name_off = frame_bytes - (uint32_t)reader_left(rd) - ref->name.len;
        ref->topic = view_by_name(k->o.view, ref->name);
        const uint8_t *p = (const uint8_t *)ref->name.p;
        if (p >= k->scratch && p < k->scratch + scratch_bytes)
            ref->straddles = true;
    }
    if (ref->topic != NULL) {
        ref->name = ref->topic->name;
        ref->straddles = false;
    }
}

/* The partition may still be unknown (partition NULL). */
void part_refer(struct part *p, const struct topic_ref *ref, int32_t index)
{
    p->index = index;
    p->topic_id = ref->id;
    p->name = ref->straddles ? STR_NULL : ref->name;
    p->name_off = ref->name_off;
    p->name_len = ref->name_len;
    part_resolve(p, ref->topic);
}

void part_resolve(struct part *p, struct view_topic *topic)
{
    struct kafka *k = p->r->k;
    p->topic = topic;
    p->partition = NULL;
    p->owner = k;
    if (topic == NULL)
        return;
    view_hold(k->o.view, topic);
    if (p->index < 0 || p->index >= topic->partition_count)
        return;
    p->partition = &topic->partitions[p->index];
    if (p->partition->shard != k->shard->index)
        p->owner = kafka_peer(k, p->partition->shard);
}

/* KIP-320: the client's idea of the leadership against ours; -1: it has none. */
static int16_t part_epoch_error(const struct part *p, int32_t leader_epoch)
{
    if (leader_epoch == -1 || leader_epoch == p->partition->leader_epoch)
        return 0;
    return leader_epoch < p->partition->leader_epoch ? KERR_FENCED_LEADER_EPOCH
                                                     : KERR_UNKNOWN_LEADER_EPOCH;
}

/* Why a known partition cannot be used here, or 0; leader_epoch as the client sees it, or -1. */
int16_t part_partition_error(const struct part *p, int32_t leader_epoch)
{
    const struct view_partition *vp = p->partition;
    int32_t here = p->r->k->o.node_id;
    if (vp->plog == NULL && (vp->leader_id == here || vp->leader_id == -1))
        return KERR_KAFKA_STORAGE_ERROR;
    int16_t error = part_epoch_error(p, leader_epoch);
    if (error != 0)
        return error;
    return vp->plog == NULL || vp->leader_id != here ? KERR_NOT_LEADER_OR_FOLLOWER : 0;
}

void part_call(struct part *p, void (*run)(struct call *), void (*done)(struct call *))
{
    p->call.run = run;
    p->call.done = done;
    agent_call(p->r->k->self, p->owner->self, &p->call);
}

/*
 * An unknown topic's name is in r->body, in one piece or (p NULL) not; buf holds the longest name.
 */
struct str part_name(const struct part *p, void *buf)
{
    if (p->name.p != NULL)
        return p->name;
    chain_copy_out(&p->r->body, p->name_off, buf, p->name_len);
    return (struct str){buf, p->name_len};
}

bool parts_need_names(const struct request *r)
{
    for (const struct part *p = r->parts; p != NULL; p = p->next)
        if (p->topic == NULL && uuid_is_zero(&p->topic_id))
            return true;
    return false;
}

bool part_same_topic(const struct part *a, const struct part *b)
{
    if (a->topic != NULL || b->topic != NULL)
        return a->topic == b->topic;
    if (!uuid_is_zero(&a->topic_id) || !uuid_is_zero(&b->topic_id))
        return uuid_eq(&a->topic_id, &b->topic_id);
    if (a->name.p != NULL && b->name.p != NULL)
        return str_eq(a->name, b->name);
    return a->name_off == b->name_off;
}

static uint64_t topic_hash(const struct part *p)
{
    uint64_t seed = p->r->k->sessions.seed;
    if (p->topic != NULL)
        return XXH3_64bits_withSeed(p->topic->id.b, sizeof(p->topic->id.b), seed);
    if (!uuid_is_zero(&p->topic_id))
        return XXH3_64bits_withSeed(p->topic_id.b, sizeof(p->topic_id.b), seed);
    if (p->name.p != NULL)
        return XXH3_64bits_withSeed(p->name.p, p->name.len, seed);
    return seed ^ p->name_off;
}

/* The slot of an equal part seen since the stamp moved on, or the empty one where p belongs. */
static struct seen_slot *seen_find(struct kafka *k, const struct part *p, bool whole_topic)
{
    uint64_t hash = topic_hash(p);
    if (!whole_topic)
        hash = (hash + (uint32_t)p->index) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = (uint32_t)(hash >> 32) & k->seen_mask;; i = (i + 1) & k->seen_mask) {
        struct seen_slot *s = &k->seen[i];
        if (s->stamp != k->seen_stamp)
            return s;
        if (part_same_topic(s->part, p) && (whole_topic || s->part->index == p->index))
            return s;
    }
}

static void seen_begin(struct kafka *k)
{
    if (++k->seen_stamp == 0) {
        memset(k->seen, 0, ((size_t)k->seen_mask + 1) * sizeof(*k->seen));
        k->seen_stamp = 1;
    }
}

/* A partition that is named again is merged into its first mention. */
void parts_dedupe(struct request *r, void (*merge)(struct part *kept, struct part *again))
{
    struct kafka *k = r->k;
    if (r->part_count < 2)
        return;
    seen_begin(k);
    struct part *before = NULL;
    for (struct part *p = r->parts; p != NULL;) {
        struct part *next = p->next;
        struct seen_slot *s = seen_find(k, p, false);
        if (s->stamp == k->seen_stamp) {
            merge(s->part, p);
            take_out_next(r, before);
            part_free(k, p);
        } else {
            *s = (struct seen_slot){k->seen_stamp, p};
            before = p;
        }
        p = next;
    }
}

/* Brings the parts of a topic together where its first one stands, as Kafka's responses do. */
void parts_group(struct request *r)
{
    struct kafka *k = r->k;
    if (r->part_count < 3)
        return;
    seen_begin(k);
    struct part *before = NULL;
    for (struct part *first = r->parts; first != NULL;) {
        struct part *last = first;
        while (last->next != NULL && part_same_topic(first, last->next))
            last = last->next;
        struct part *next = last->next;
        struct seen_slot *s = seen_find(k, first, true);
        if (s->stamp == k->seen_stamp) {
            struct part *tail = s->part->run_tail;
            before->next = next;
            if (r->parts_tail == last)
                r->parts_tail = before;
            last->next = tail->next;
            tail->next = first;
            if (r->parts_tail == tail)
                r->parts_tail = last;
            if (before == tail)
                before = last;
            s->part->run_tail = last;
        } else {
            first->run_tail = last;
            *s = (struct seen_slot){k->seen_stamp, first};
            before = last;
        }
        first = next;
    }
}
