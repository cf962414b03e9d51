/*
 * Fetch, versions 4-18: the request and its session context. Reading is in fetch_read.c, waiting in
 * waiters.c, the response in fetch_reply.c.
 */
#include "dataplane/kafka/kafka_internal.h"

#define session_epoch_initial 0    /* make a session */
#define session_epoch_final   (-1) /* no session; ends the one that is named */

/* ---- decode ---- */

void fetch_part_init(struct part *p)
{
    struct fetch_part *fp = &p->fetch;
    fp->diverging_epoch = -1;
    fp->diverging_end = -1;
    fp->state = FETCH_PART_IDLE;
    fp->erroneous = fp->lost = fp->armed = false;
    fp->include = true;
    fp->limit = 0;
    fp->available = fp->reported = 0;
    chain_init(&fp->read.data);
    chain_init(&fp->pre);
    fp->read.high_watermark = fp->read.last_stable_offset = fp->read.log_start_offset = -1;
    fp->waiter.prev = NULL;
    link_init(&fp->fired_link);
    fp->cached = NULL;
}

static int decode_partition(struct request *r, struct reader *rd, const struct topic_ref *ref)
{
    int version = r->api_version;
    int32_t index = reader_i32(rd);
    int32_t leader_epoch = version >= 9 ? reader_i32(rd) : -1;
    int64_t offset = reader_i64(rd);
    int32_t last_epoch = version >= 12 ? reader_i32(rd) : -1;
    int64_t log_start = version >= 5 ? reader_i64(rd) : -1;
    int32_t max_bytes = reader_i32(rd);
    if (version >= 12)
        reader_skip_tags(rd); /* directory id and high watermark: of followers */
    if (rd->err != 0)
        return rd->err;
    struct part *p = part_new(r);
    if (p == NULL)
        return ERR_FULL;
    fetch_part_init(p);
    part_append(r, p);
    part_refer(p, ref, index);
    struct fetch_part *fp = &p->fetch;
    fp->leader_epoch = leader_epoch < 0 ? -1 : leader_epoch;
    fp->offset = offset;
    fp->last_epoch = last_epoch;
    fp->log_start = log_start;
    fp->max_bytes = max_bytes;
    return 0;
}

static int decode_topic(struct request *r, struct reader *rd)
{
    int version = r->api_version;
    bool flexible = version >= 12;
    struct topic_ref ref;
    topic_ref_read(&ref, r->k, rd, version >= 13, flexible, r->frame_bytes);
    int32_t n = reader_any_array_len(rd, flexible, false, 16);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_partition(r, rd, &ref);
        if (rc < 0)
            return rc;
    }
    if (flexible)
        reader_skip_tags(rd);
    return rd->err;
}

typedef void forgotten_fn(struct request *r, const struct topic_ref *ref, int32_t index);

/* Each partition of the forgotten topics to fn (NULL: only checked). */
static void read_forgotten(struct request *r, struct reader *rd, forgotten_fn *fn)
{
    int version = r->api_version;
    bool flexible = version >= 12;
    int32_t topics = reader_any_array_len(rd, flexible, false,
                                          version >= 13 ? 18
                                          : flexible    ? 3
                                                        : 6);
    for (int32_t i = 0; i < topics && rd->err == 0; i++) {
        struct topic_ref ref;
        topic_ref_read(&ref, r->k, rd, version >= 13, flexible, r->frame_bytes);
        int32_t n = reader_any_array_len(rd, flexible, false, 4);
        for (int32_t j = 0; j < n && rd->err == 0; j++) {
            int32_t index = reader_i32(rd);
            if (fn != NULL && rd->err == 0)
                fn(r, &ref, index);
        }
        if (flexible)
            reader_skip_tags(rd);
    }
}

/* Tagged fields: only the replica state (tag 1) means something here. */
static void read_tags(struct request *r, struct reader *rd)
{
    uint32_t n = reader_uvarint(rd);
    for (; n > 0 && rd->err == 0; n--) {
        struct reader_tag tag = reader_tag_begin(rd);
        if (tag.number == 0) {
            reader_compact_str(rd, true, kafka_arena(r->k)); /* the cluster's id */
        } else if (tag.number == 1 && r->api_version >= 15) {
            r->fetch.replica_id = reader_i32(rd);
            reader_i64(rd);
            reader_skip_tags(rd);
        } else {
            reader_skip(rd, tag.size);
        }
        reader_tag_end(rd, tag);
    }
}

static void decode_head(struct request *r, struct reader *rd)
{
    struct fetch_state *f = &r->fetch;
    int version = r->api_version;
    f->replica_id = version <= 14 ? reader_i32(rd) : -1;
    f->max_wait_ms = reader_i32(rd);
    f->min_bytes = reader_i32(rd);
    f->max_bytes = reader_i32(rd);
    f->below_zero = f->max_bytes < 0;
    f->isolation = reader_i8(rd);
    f->session_id = version >= 7 ? reader_i32(rd) : 0;
    f->session_epoch = version >= 7 ? reader_i32(rd) : session_epoch_final;
}

static int fetch_decode(struct request *r, struct reader *rd)
{
    int version = r->api_version;
    bool flexible = version >= 12;
    decode_head(r, rd);
    int32_t n = reader_any_array_len(rd, flexible, false, version >= 13 ? 18 : flexible ? 3 : 6);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_topic(r, rd);
        if (rc < 0)
            return rc;
    }
    if (version >= 7) {
        uint64_t left = reader_left(rd);
        read_forgotten(r, rd, NULL);
        if (left - reader_left(rd) > (flexible ? 1 : 4))
            r->fetch.forgotten_off = r->frame_bytes - left;
    }
    if (version >= 11)
        reader_any_str(rd, flexible, false, kafka_arena(r->k)); /* rack id */
    if (flexible)
        read_tags(r, rd);
    return rd->err;
}

/* As in the map that Kafka puts them into: the first place, the last values. */
static void merge_again(struct part *kept, struct part *again)
{
    kept->fetch.leader_epoch = again->fetch.leader_epoch;
    kept->fetch.offset = again->fetch.offset;
    kept->fetch.last_epoch = again->fetch.last_epoch;
    kept->fetch.log_start = again->fetch.log_start;
    kept->fetch.max_bytes = again->fetch.max_bytes;
}

/* ---- the session context ---- */

static bool is_full(const struct fetch_state *f)
{
    return f->session_epoch == session_epoch_initial || f->session_epoch == session_epoch_final;
}

static void refuse_session(struct request *r, int16_t error)
{
    parts_free(r);
    r->fetch.context = FETCH_REFUSED;
    r->fetch.session_id = 0;
    r->fetch.error = error;
    r->errors++;
}

/* As Kafka answers what it trips over. Before topic ids each partition has the error, too. */
static void refuse_whole(struct request *r, int16_t error)
{
    r->fetch.context = FETCH_REFUSED;
    r->fetch.error = error;
    if (r->api_version >= 13)
        parts_free(r);
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        p->fetch.erroneous = true;
        p->error = error;
    }
    r->errors++;
}

static void forget_one(struct request *r, const struct topic_ref *ref, int32_t index)
{
    struct session *session = r->fetch.session;
    session_forget(&r->k->sessions, session, &ref->id, session->by_id ? STR("") : ref->name, index);
}

static void forget_all(struct request *r)
{
    struct reader rd;
    uint64_t off = r->fetch.forgotten_off;
    if (off == 0)
        return;
    reader_init(&rd,
                (struct chain_view){chain_pos_at(&r->body, off), (uint32_t)(r->frame_bytes - off)});
    read_forgotten(r, &rd, forget_one);
}

static struct view_topic *resolve_cached(struct kafka *k, struct session_topic *t)
{
    if (!t->by_id)
        return view_by_name(k->o.view, (struct str){t->name, t->name_len});
    struct view_topic *topic = view_by_id(k->o.view, &t->id);
    if (topic != NULL && t->name_len == 0 && topic->name.len <= topic_name_bytes_max) {
        memcpy(t->name, topic->name.p, topic->name.len);
        t->name_len = topic->name.len;
    }
    return topic;
}

/* The parts of the request are all partitions of its session, in the session's order. */
static void parts_from_session(struct request *r)
{
    struct kafka *k = r->k;
    struct session *session = r->fetch.session;
    struct session_topic *last = NULL;
    struct view_topic *topic = NULL;
    parts_free(r);
    for (struct link *l = session->parts.next; l != &session->parts; l = l->next) {
        struct session_part *sp = container_of(l, struct session_part, link);
        struct part *p = part_new(r);
        CHECK(p != NULL); /* counted before the session was changed */
        fetch_part_init(p);
        part_append(r, p);
        if (sp->topic != last) {
            last = sp->topic;
            topic = resolve_cached(k, last);
        }
        p->index = sp->index;
        p->topic_id = last->by_id ? last->id : UUID_ZERO;
        p->name = (struct str){last->name, last->name_len};
        part_resolve(p, topic);
        p->fetch.cached = sp;
        p->fetch.offset = sp->offset;
        p->fetch.log_start = sp->log_start;
        p->fetch.max_bytes = sp->max_bytes;
        p->fetch.leader_epoch = sp->leader_epoch;
        p->fetch.last_epoch = sp->last_epoch;
    }
}

static void continue_session(struct request *r, struct session *session)
{
    struct sessions *s = &r->k->sessions;
    struct fetch_state *f = &r->fetch;
    struct session_part *sp;
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        if (session_put(s, session, p, &sp) < 0) {
            /* No room for more partitions: the consumer starts again with a full request. */
            session_remove(s, session);
            refuse_session(r, KERR_FETCH_SESSION_ID_NOT_FOUND);
            return;
        }
    }
    f->session = session;
    forget_all(r);
    if (session->count == 0) {
        f->session = NULL;
        f->session_id = 0;
        session_remove(s, session);
        f->context = FETCH_SESSIONLESS;
        return;
    }
    session_hold(session);
    session_touch(s, session, kafka_clock(r->k));
    session->epoch = session_next_epoch(session->epoch);
    f->session_epoch = session->epoch; /* expected when the response is made */
    f->context = FETCH_INCREMENTAL;
    parts_from_session(r);
}

static void open_context(struct request *r)
{
    struct sessions *s = &r->k->sessions;
    struct fetch_state *f = &r->fetch;
    struct session *session = f->session_id != 0 ? session_find(s, f->session_id) : NULL;
    if (is_full(f)) {
        if (session != NULL)
            session_remove(s, session);
        f->session_id = 0;
        f->context = f->session_epoch == session_epoch_final ? FETCH_SESSIONLESS : FETCH_FULL;
    } else if (session == NULL) {
        refuse_session(r, KERR_FETCH_SESSION_ID_NOT_FOUND);
    } else if (session->epoch != f->session_epoch) {
        refuse_session(r, KERR_INVALID_FETCH_SESSION_EPOCH);
    } else if (session->by_id != (r->api_version >= 13)) {
        refuse_session(r, KERR_FETCH_SESSION_TOPIC_ID_ERROR);
    } else {
        continue_session(r, session);
    }
}

/* ---- which partitions can be read ---- */

/* A session's topic id that is gone, while its name may have come back with another id. */
static void classify_lost_id(struct part *p)
{
    const struct session_part *sp = p->fetch.cached;
    p->fetch.erroneous = true;
    p->error = KERR_UNKNOWN_TOPIC_ID;
    if (sp == NULL || sp->topic->name_len == 0)
        return;
    struct str name = {sp->topic->name, sp->topic->name_len};
    const struct view_topic *now = view_by_name(p->r->k->o.view, name);
    p->error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (now != NULL && p->index >= 0 && p->index < now->partition_count) {
        p->fetch.erroneous = false;
        p->error = KERR_INCONSISTENT_TOPIC_ID;
    }
}

static void classify(struct part *p)
{
    const struct fetch_state *f = &p->r->fetch;
    if (p->topic == NULL && !uuid_is_zero(&p->topic_id)) {
        classify_lost_id(p);
        return;
    }
    if (p->partition == NULL) {
        p->fetch.erroneous = true;
        /* Of the zero id no topic is known either. */
        p->error = p->topic == NULL && p->r->api_version >= 13 ? KERR_UNKNOWN_TOPIC_ID
                                                               : KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    p->error = part_partition_error(p, p->fetch.leader_epoch);
    /* There are no followers yet: whoever says that it is one is not in the replica set. */
    if (p->error == 0 && f->replica_id >= 0)
        p->error =
            p->fetch.leader_epoch >= 0 ? KERR_UNKNOWN_LEADER_EPOCH : KERR_NOT_LEADER_OR_FOLLOWER;
}

/* Partitions that are never read stand last in the response, as in Kafka. */
static void sort_parts(struct request *r)
{
    struct part *bad = NULL, **bad_end = &bad, *p = r->parts;
    r->parts = r->parts_tail = NULL;
    r->part_count = 0;
    while (p != NULL) {
        struct part *next = p->next;
        classify(p);
        if (p->fetch.erroneous) {
            p->next = NULL;
            *bad_end = p;
            bad_end = &p->next;
        } else {
            part_append(r, p);
        }
        p = next;
    }
    while (bad != NULL) {
        p = bad;
        bad = p->next;
        part_append(r, p);
    }
}

/* ---- start ---- */

static void state_init(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    f->forgotten_off = 0;
    f->session = NULL;
    f->phase = FETCH_READ;
    f->context = FETCH_SESSIONLESS;
    f->issuing = f->settled = f->hurry = false;
    f->error = 0;
    f->cursor = NULL;
    f->reading = f->remote = 0;
    f->bytes = f->promised = f->available = 0;
    f->timer.prev = NULL;
    link_init(&f->wait_link);
    link_init(&f->ready_link);
}

void fetch_release(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    if (f->session != NULL) {
        parts_free(r); /* they point into it */
        session_drop(&r->k->sessions, f->session);
    }
    f->session = NULL;
}

static enum request_result cannot_start(struct conn *c, struct request *r, uint32_t parts, int rc)
{
    uint32_t most = c->k->parts.count;
    request_drop(r);
    if (rc != ERR_FULL)
        conn_doom(c, "malformed Fetch request");
    else if (parts > most)
        conn_doom(c, "its Fetch request names more than %u partitions", most);
    else
        conn_line_up(c, CONN_WAITS_SLOT);
    return REQUEST_LATER;
}

/* Parts that an incremental request will need at most, beside those it has named. */
static uint32_t session_parts_needed(const struct request *r)
{
    const struct fetch_state *f = &r->fetch;
    if (is_full(f))
        return 0;
    const struct session *session = session_find(&r->k->sessions, f->session_id);
    return session != NULL ? session->count : 0;
}

enum request_result fetch_start(struct conn *c, const struct proto_request_header *h,
                                struct reader *rd)
{
    struct kafka *k = c->k;
    struct request *r = request_new(c, h);
    if (r == NULL)
        return REQUEST_LATER;
    state_init(r);
    int rc = fetch_decode(r, rd);
    if (rc < 0)
        return cannot_start(c, r, r->part_count + 1, rc);
    parts_dedupe(r, merge_again);
    uint32_t more = session_parts_needed(r);
    if (more > k->parts.free)
        return cannot_start(c, r, r->part_count + more, ERR_FULL);
    bool keep = parts_need_names(r) || r->fetch.forgotten_off != 0;
    if (keep && request_keep_body(c, r) < 0) {
        request_drop(r);
        return REQUEST_LATER;
    }
    conn_frame_taken(c, r);
    conn_push(c, r);
    k->counters.requests[API_Fetch]++;
    r->stamps.at[STAMP_PARSED] = kafka_clock(k);
    open_context(r);
    sort_parts(r);
    bool reads = r->parts != NULL && !r->parts->fetch.erroneous;
    if (reads && r->fetch.isolation != 0 && r->fetch.isolation != 1)
        refuse_whole(r, KERR_UNKNOWN_SERVER_ERROR);
    fetch_begin(r);
    return REQUEST_TAKEN;
}
