/*
 * Produce, versions 3-13, written by hand: decode in place, append, answer. No byte of a batch is
 * touched here but its header; the plog copies it out of the received mbufs.
 */
#include <stdio.h>

#include "dataplane/kafka/kafka_internal.h"
#include "dataplane/kafka/produce_batch.h"

#define admin_client_id                                                                            \
    "__admin_client" /* AdminUtils.ADMIN_CLIENT_ID: may write to internal topics */

/* ---- decode ---- */

static int decode_partition(struct request *r, struct reader *rd, const struct topic_ref *ref,
                            bool flexible)
{
    int32_t index = reader_i32(rd);
    struct proto_records records = reader_any_records(rd, flexible, true);
    uint32_t end = r->frame_bytes - (uint32_t)reader_left(rd);
    if (flexible)
        reader_skip_tags(rd);
    if (rd->err != 0)
        return rd->err;
    struct part *p = part_new(r);
    if (p == NULL)
        return ERR_FULL;
    part_append(r, p);
    part_refer(p, ref, index);
    struct produce_part *pp = &p->produce;
    pp->append.records = records.is_null ? (struct chain_view){0} : records.view;
    pp->rec_len = pp->append.records.len;
    pp->rec_off = end - pp->rec_len;
    return 0;
}

static int decode_topic(struct request *r, struct reader *rd, int version)
{
    bool flexible = version >= 9;
    struct topic_ref ref;
    topic_ref_read(&ref, r->k, rd, version >= 13, flexible, r->frame_bytes);
    int32_t n = reader_any_array_len(rd, flexible, false, flexible ? 6 : 8);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_partition(r, rd, &ref, flexible);
        if (rc < 0)
            return rc;
    }
    if (flexible)
        reader_skip_tags(rd);
    return rd->err;
}

/* ERR_FULL: no parts left; ERR_MALFORMED. */
static int produce_decode(struct request *r, struct reader *rd)
{
    int version = r->api_version;
    bool flexible = version >= 9;
    reader_any_str(rd, flexible, true, kafka_arena(r->k)); /* transactional id: see refuse_all */
    r->produce.acks = reader_i16(rd);
    reader_i32(rd); /* timeout: there are no replicas to wait for */
    int32_t n = reader_any_array_len(rd, flexible, false, version >= 13 ? 18 : flexible ? 3 : 6);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_topic(r, rd, version);
        if (rc < 0)
            return rc;
    }
    if (flexible)
        reader_skip_tags(rd);
    return rd->err;
}

/* The last mention of a partition counts, as in Kafka, where they are keys of a map. */
static void merge_again(struct part *kept, struct part *again)
{
    kept->produce.append.records = again->produce.append.records;
    kept->produce.rec_off = again->produce.rec_off;
    kept->produce.rec_len = again->produce.rec_len;
}

/* ---- answers of a part ---- */

static void answer_blank(struct part *p, int16_t error)
{
    struct plog_append *a = &p->produce.append;
    a->error = error;
    a->error_message = NULL;
    a->base_offset = a->log_append_time_ms = a->log_start_offset = -1;
    a->record_error_count = 0;
}

static void part_answered(struct part *p)
{
    struct request *r = p->r;
    struct plog_append *a = &p->produce.append;
    if (a->error != 0) {
        r->errors++;
        r->produce.failed = true;
    } else {
        r->k->counters.records_in += p->produce.records;
        r->k->counters.record_bytes_in += p->produce.rec_len;
    }
    r->stamps.at[STAMP_APPENDED] = a->appended_ns;
    r->stamps.at[STAMP_DURABLE] = a->durable_ns;
    if (r->pending == 1 && r->produce.acks == 0) {
        r->silent = true;
        r->close = r->produce.failed;
    }
    request_unpend(r);
}

static void remote_done(struct call *call)
{
    part_answered(container_of(call, struct part, call));
}

static void append_done(struct plog_append *a)
{
    struct part *p = container_of(a, struct part, produce.append);
    if (p->owner == p->r->k)
        part_answered(p);
    else
        call_finish(&p->call);
}

/* ---- append, on the partition's shard; k is that shard's ---- */

static void park(struct kafka *k, struct part *p)
{
    p->produce.park_next = NULL;
    p->produce.parked = true;
    if (k->parked_tail != NULL)
        k->parked_tail->produce.park_next = p;
    else
        k->parked_head = p;
    k->parked_tail = p;
}

/* What an append of so many bytes takes at most. */
static uint32_t append_chunks(const struct part *p)
{
    return p->produce.rec_len / tail_chunk_bytes + 2;
}

static void await_log_memory(struct kafka *k)
{
    uint32_t chunks = append_chunks(k->parked_head);
    k->park_waiter.chunks = chunks < k->park_chunks ? chunks : k->park_chunks;
    cache_wait(k->o.cache, &k->park_waiter);
}

/* Partitions that failed hold the log memory until the next start (sluice.durability=os). */
static void answer_hopeless(struct part *p)
{
    answer_blank(p, KERR_KAFKA_STORAGE_ERROR);
    p->produce.append.error_message = "log memory is held by partitions that failed";
    append_done(&p->produce.append);
}

/* True if the log took or refused it; false: no log memory now. */
static bool try_append(struct part *p)
{
    struct plog_append *a = &p->produce.append;
    int rc = plog_append(p->partition->plog, a);
    if (rc == ERR_FULL && cache_hopeless(p->owner->o.cache, append_chunks(p))) {
        answer_hopeless(p);
        return true;
    }
    if (rc == ERR_FULL)
        return false;
    if (rc < 0) {
        answer_blank(p, KERR_UNKNOWN_SERVER_ERROR);
        append_done(a);
    }
    return true;
}

/* One line for all appends of the shard: none overtakes, so the order per conn stays. */
static void append_here(struct kafka *k, struct part *p)
{
    p->produce.parked = false;
    if (k->parked_head != NULL) {
        park(k, p);
    } else if (!try_append(p)) {
        park(k, p);
        await_log_memory(k);
    }
}

void produce_unpark(struct cache_waiter *w)
{
    struct kafka *k = container_of(w, struct kafka, park_waiter);
    while (k->parked_head != NULL) {
        struct part *p = k->parked_head;
        struct part *next = p->produce.park_next; /* p may be answered and gone after the append */
        if (!try_append(p)) {
            await_log_memory(k);
            return;
        }
        k->parked_head = next;
        if (next == NULL)
            k->parked_tail = NULL;
    }
}

static void remote_run(struct call *call)
{
    struct part *p = container_of(call, struct part, call);
    append_here(p->owner, p);
}

/* ---- the request ---- */

/* Kafka refuses the whole request: every partition gets the error. */
static void refuse_all(struct request *r, int16_t error)
{
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        answer_blank(p, error);
        if (r->produce.message[0] != '\0')
            p->produce.append.error_message = r->produce.message;
        p->produce.check = error;
    }
}

/*
 * The outer form of all batches. True: refused as a whole. Transactional batches are refused with
 * what Kafka says when they are not authorized: fatal to the client, at once.
 */
static bool check_batches(struct request *r)
{
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        struct batch_look look;
        struct produce_part *pp = &p->produce;
        batch_look(&look, pp->append.records, r->api_version);
        if (look.corrupt) {
            batch_corrupt_text(&look, r->produce.message, sizeof(r->produce.message));
            refuse_all(r, KERR_CORRUPT_MESSAGE);
            return true;
        }
        if (look.transactional) {
            refuse_all(r, KERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
            return true;
        }
        pp->check = look.error;
        pp->records = look.records;
        pp->rec_len = pp->append.records.len = look.bytes;
    }
    return false;
}

static int16_t part_error(const struct part *p, bool internal_allowed)
{
    const struct request *r = p->r;
    if (p->topic == NULL)
        return r->api_version >= 13 ? KERR_UNKNOWN_TOPIC_ID : KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (p->partition == NULL)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (p->produce.check != 0)
        return p->produce.check;
    if (r->produce.acks < -1 || r->produce.acks > 1)
        return KERR_INVALID_REQUIRED_ACKS;
    if (p->topic->internal && !internal_allowed)
        return KERR_INVALID_TOPIC_EXCEPTION;
    return part_partition_error(p, -1);
}

/* Answers what can be answered without a log; true if a batch must outlive its receive buffer. */
static bool sort_parts(struct request *r, bool internal_allowed)
{
    bool keep = false;
    if (check_batches(r))
        return parts_need_names(r);
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        p->error = part_error(p, internal_allowed);
        if (p->error != 0)
            answer_blank(p, p->error);
        else if (p->owner != r->k)
            keep = true;
        p->produce.check = p->error;
    }
    return keep || parts_need_names(r);
}

static void place_records(struct part *p)
{
    p->produce.append.records.at = chain_pos_at(&p->r->body, p->produce.rec_off);
}

static void start_append(struct part *p)
{
    struct request *r = p->r;
    struct plog_append *a = &p->produce.append;
    a->from_client = true;
    a->zstd_refused = r->api_version < 7;
    a->done = append_done;
    a->appended_ns = a->durable_ns = 0;
    a->error_message = NULL;
    a->record_error_count = 0;
    r->pending++;
    if (r->body.bytes > 0)
        place_records(p);
    if (p->owner == r->k)
        append_here(r->k, p);
    else
        part_call(p, remote_run, remote_done);
}

/* Batches that the log could not take yet leave the receive buffer with the request. */
static void keep_parked(struct conn *c, struct request *r)
{
    struct kafka *k = r->k;
    if (request_take_body(c, r) == 0) {
        for (struct part *p = r->parts; p != NULL; p = p->next)
            if (p->produce.check == 0 && p->owner == k && p->produce.parked)
                place_records(p);
        return;
    }
    /* No mbuf to keep them by: the client tries again. The line is ours alone, it was empty. */
    cache_wait_cancel(k->o.cache, &k->park_waiter);
    while (k->parked_head != NULL) {
        struct part *p = k->parked_head;
        k->parked_head = p->produce.park_next;
        answer_blank(p, KERR_NOT_ENOUGH_REPLICAS);
        part_answered(p);
    }
    k->parked_tail = NULL;
}

static void produce_run(struct conn *c, struct request *r)
{
    bool parked = false;
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        if (p->produce.check != 0)
            continue;
        start_append(p);
        parked |= p->owner == r->k && p->produce.parked;
    }
    if (parked && r->body.bytes == 0)
        keep_parked(c, r);
}

static enum request_result cannot_start(struct conn *c, struct request *r, int rc)
{
    struct kafka *k = c->k;
    uint32_t parts = r->part_count;
    request_drop(r);
    if (rc != ERR_FULL)
        conn_doom(c, "malformed Produce request");
    else if (parts >= k->parts.count)
        conn_doom(c, "its Produce request names more than %u partitions", k->parts.count);
    else
        conn_line_up(c, CONN_WAITS_SLOT);
    return REQUEST_LATER;
}

enum request_result produce_start(struct conn *c, const struct proto_request_header *h,
                                  struct reader *rd)
{
    struct kafka *k = c->k;
    if (k->parked_head != NULL) {
        conn_line_up(c, CONN_WAITS_LOG);
        return REQUEST_LATER;
    }
    bool internal_allowed = str_eq(h->client_id, STR(admin_client_id));
    struct request *r = request_new(c, h);
    if (r == NULL)
        return REQUEST_LATER;
    r->produce.failed = false;
    r->produce.message[0] = '\0';
    int rc = produce_decode(r, rd);
    if (rc < 0)
        return cannot_start(c, r, rc);
    parts_dedupe(r, merge_again);
    parts_group(r);
    if (sort_parts(r, internal_allowed) && request_keep_body(c, r) < 0) {
        request_drop(r);
        return REQUEST_LATER;
    }
    k->counters.requests[API_Produce]++;
    r->stamps.at[STAMP_PARSED] = kafka_clock(k);
    conn_push(c, r);
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        if (p->produce.check != 0) {
            r->produce.failed = true;
            r->errors++;
        }
    }
    produce_run(c, r);
    conn_frame_taken(c, r);
    if (r->pending == 1 && r->produce.acks == 0) {
        r->silent = true;
        r->close = r->produce.failed;
    }
    request_unpend(r);
    return REQUEST_TAKEN;
}

/* ---- the response ---- */

static void encode_record_errors(struct writer *w, const struct plog_append *a, bool flexible)
{
    writer_any_array_len(w, flexible, (int32_t)a->record_error_count, false);
    for (uint32_t i = 0; i < a->record_error_count; i++) {
        writer_i32(w, a->record_errors[i].index);
        writer_any_str(w, flexible, str_from(a->record_errors[i].message), true);
        if (flexible)
            writer_no_tags(w);
    }
}

/* KIP-951: with NOT_LEADER_OR_FOLLOWER goes who leads now. */
static bool tells_leader(const struct part *p)
{
    return p->r->api_version >= 10 && p->partition != NULL &&
           p->produce.append.error == KERR_NOT_LEADER_OR_FOLLOWER &&
           (p->partition->leader_id != -1 || p->partition->leader_epoch != -1);
}

static void encode_partition(struct writer *w, const struct part *p, int version)
{
    const struct plog_append *a = &p->produce.append;
    bool flexible = version >= 9;
    writer_i32(w, p->index);
    writer_i16(w, a->error);
    writer_i64(w, a->base_offset);
    writer_i64(w, a->log_append_time_ms);
    if (version >= 5)
        writer_i64(w, a->log_start_offset);
    if (version >= 8) {
        encode_record_errors(w, a, flexible);
        writer_any_str(w, flexible, str_from(a->error_message), true);
    }
    if (!flexible)
        return;
    if (!tells_leader(p)) {
        writer_no_tags(w);
        return;
    }
    writer_uvarint(w, 1);
    writer_tag(w, 0, 9);
    writer_i32(w, p->partition->leader_id);
    writer_i32(w, p->partition->leader_epoch);
    writer_no_tags(w);
}

void produce_encode(struct request *r, struct writer *w)
{
    int version = r->api_version;
    bool flexible = version >= 9, leader_here = false;
    int32_t topics = 0;
    struct writer_frame frame = reply_open(w, r);
    for (struct part *p = r->parts, *last = NULL; p != NULL; last = p, p = p->next)
        topics += last == NULL || !part_same_topic(last, p);
    writer_any_array_len(w, flexible, topics, false);
    for (struct part *p = r->parts; p != NULL;) {
        int32_t n = 0;
        struct part *end = p;
        for (; end != NULL && part_same_topic(p, end); end = end->next)
            n++;
        reply_topic(w, p, version >= 13, flexible);
        writer_any_array_len(w, flexible, n, false);
        for (; p != end; p = p->next) {
            encode_partition(w, p, version);
            leader_here |= tells_leader(p) && p->partition->leader_id == r->k->o.node_id;
        }
        if (flexible)
            writer_no_tags(w);
    }
    writer_i32(w, 0); /* throttle time */
    if (flexible) {
        bool endpoint = leader_here && reply_endpoint_of(r) != NULL;
        writer_uvarint(w, endpoint);
        if (endpoint)
            reply_endpoint(w, r);
    }
    writer_frame_end(w, frame);
}
