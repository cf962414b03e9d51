/*
 * ListOffsets, versions 1-11: an offset for a timestamp, or for one of the special ones.
 */
#include "dataplane/kafka/kafka_internal.h"

#define ts_latest           (-1) /* the high watermark, or the last stable offset */
#define ts_earliest         (-2)
#define ts_max              (-3) /* the record with the largest timestamp */
#define ts_earliest_local   (-4) /* KIP-405: all our records are local */
#define ts_latest_tiered    (-5) /* KIP-1005: none is remote */
#define ts_earliest_upload  (-6) /* KIP-1023: none waits for upload */
#define replica_consumer    (-1)
#define isolation_committed 1

/* The first version that knows a special timestamp; a large one for those that nobody knows. */
static int timestamp_since(int64_t timestamp)
{
    static const int8_t since[] = {[1] = 1, [2] = 1, [3] = 7, [4] = 8, [5] = 9, [6] = 11};
    if (timestamp >= 0)
        return 0;
    return timestamp >= ts_earliest_upload ? since[-timestamp] : INT32_MAX;
}

/* ---- decode ---- */

static int decode_partition(struct request *r, struct reader *rd, const struct topic_ref *ref,
                            bool flexible)
{
    int32_t index = reader_i32(rd);
    int32_t leader_epoch = r->api_version >= 4 ? reader_i32(rd) : -1;
    int64_t timestamp = reader_i64(rd);
    if (flexible)
        reader_skip_tags(rd);
    if (rd->err != 0)
        return rd->err;
    struct part *p = part_new(r);
    if (p == NULL)
        return ERR_FULL;
    part_append(r, p);
    part_refer(p, ref, index);
    p->list.leader_epoch = leader_epoch;
    p->list.timestamp = timestamp;
    p->list.offset = p->list.found_ms = -1;
    p->list.epoch = -1;
    return 0;
}

static int decode_topic(struct request *r, struct reader *rd, bool flexible)
{
    struct topic_ref ref;
    topic_ref_read(&ref, r->k, rd, false, flexible, r->frame_bytes);
    int32_t n = reader_any_array_len(rd, flexible, false, 12);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_partition(r, rd, &ref, flexible);
        if (rc < 0)
            return rc;
    }
    if (flexible)
        reader_skip_tags(rd);
    return rd->err;
}

static int list_decode(struct request *r, struct reader *rd)
{
    bool flexible = r->api_version >= 6;
    r->list.replica_id = reader_i32(rd);
    r->list.isolation = r->api_version >= 2 ? reader_i8(rd) : 0;
    int32_t n = reader_any_array_len(rd, flexible, false, flexible ? 3 : 6);
    for (int32_t i = 0; i < n && rd->err == 0; i++) {
        int rc = decode_topic(r, rd, flexible);
        if (rc < 0)
            return rc;
    }
    if (r->api_version >= 10)
        reader_i32(rd); /* timeout: of reads from remote storage */
    if (flexible)
        reader_skip_tags(rd);
    return rd->err;
}

static void merge_again(struct part *kept, struct part *again)
{
    (void)again;
    kept->error = KERR_INVALID_REQUEST;
}

/* ---- on the partition's shard ---- */

static void answered(struct part *p)
{
    if (p->error != 0) {
        p->r->errors++;
        p->list.offset = p->list.found_ms = -1;
        p->list.epoch = -1;
    }
    request_unpend(p->r);
}

static void remote_done(struct call *call)
{
    answered(container_of(call, struct part, call));
}

static void finish(struct part *p)
{
    if (p->owner == p->r->k)
        answered(p);
    else
        call_finish(&p->call);
}

/* What this reader may see: a consumer up to the high watermark or the last stable offset. */
static int64_t fetchable_end(const struct part *p)
{
    const struct list_state *q = &p->r->list;
    struct plog_marks marks;
    plog_marks(p->partition->plog, &marks);
    if (q->replica_id != replica_consumer)
        return marks.end;
    return q->isolation == isolation_committed ? marks.stable : marks.high_watermark;
}

static void lookup_done(struct plog_time_lookup *l)
{
    struct part *p = container_of(l, struct part, list.lookup);
    p->error = l->error;
    if (l->error == KERR_OFFSET_NOT_AVAILABLE && p->r->api_version < 5)
        p->error =
            KERR_LEADER_NOT_AVAILABLE; /* as Kafka tells clients before KIP-207 to ask again */
    if (l->error == 0 && l->offset >= 0 && l->offset < fetchable_end(p)) {
        p->list.offset = l->offset;
        p->list.found_ms = l->found_timestamp_ms;
        p->list.epoch = l->leader_epoch;
    }
    finish(p);
}

static void look_up(struct part *p)
{
    struct plog_time_lookup *l = &p->list.lookup;
    l->timestamp_ms = p->list.timestamp == ts_max ? PLOG_TIME_MAX : p->list.timestamp;
    l->read_committed = p->r->list.isolation == isolation_committed;
    l->done = lookup_done;
    l->error = 0;
    l->offset = l->found_timestamp_ms = -1;
    l->leader_epoch = -1;
    plog_time_lookup(p->partition->plog, l);
}

static void answer_here(struct part *p)
{
    struct plog *plog = p->partition->plog;
    struct plog_marks marks;
    plog_marks(plog, &marks);
    if (marks.failed) {
        p->error = KERR_KAFKA_STORAGE_ERROR;
        finish(p);
        return;
    }
    switch (p->list.timestamp) {
    case ts_latest:
        p->list.offset = fetchable_end(p);
        p->list.epoch = p->partition->leader_epoch;
        break;
    case ts_earliest:
    case ts_earliest_local:
        p->list.offset = marks.log_start;
        p->list.epoch = plog_epoch_at(plog, marks.log_start);
        break;
    case ts_latest_tiered:
    case ts_earliest_upload:
        break; /* offset -1 */
    default:
        look_up(p);
        return;
    }
    finish(p);
}

static void remote_run(struct call *call)
{
    answer_here(container_of(call, struct part, call));
}

/* ---- the request ---- */

static int16_t part_error(const struct part *p)
{
    if (p->r->list.isolation < 0 || p->r->list.isolation > isolation_committed)
        return KERR_UNKNOWN_SERVER_ERROR; /* Kafka trips over it */
    if (p->error != 0)
        return p->error;
    if (p->r->api_version < timestamp_since(p->list.timestamp))
        return KERR_UNSUPPORTED_VERSION;
    if (p->partition == NULL)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    return part_partition_error(p, p->list.leader_epoch);
}

static enum request_result cannot_start(struct conn *c, struct request *r, int rc)
{
    uint32_t parts = r->part_count, most = c->k->parts.count;
    request_drop(r);
    if (rc != ERR_FULL)
        conn_doom(c, "malformed ListOffsets request");
    else if (parts >= most)
        conn_doom(c, "its ListOffsets request names more than %u partitions", most);
    else
        conn_line_up(c, CONN_WAITS_SLOT);
    return REQUEST_LATER;
}

enum request_result list_start(struct conn *c, const struct proto_request_header *h,
                               struct reader *rd)
{
    struct request *r = request_new(c, h);
    if (r == NULL)
        return REQUEST_LATER;
    int rc = list_decode(r, rd);
    if (rc < 0)
        return cannot_start(c, r, rc);
    parts_dedupe(r, merge_again);
    parts_group(r);
    if (parts_need_names(r) && request_keep_body(c, r) < 0) {
        request_drop(r);
        return REQUEST_LATER;
    }
    c->k->counters.requests[API_ListOffsets]++;
    r->stamps.at[STAMP_PARSED] = kafka_clock(c->k);
    conn_push(c, r);
    conn_frame_taken(c, r);
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        r->pending++;
        p->error = part_error(p);
        if (p->error != 0)
            answered(p);
        else if (p->owner == r->k)
            answer_here(p);
        else
            part_call(p, remote_run, remote_done);
    }
    request_unpend(r);
    return REQUEST_TAKEN;
}

/* ---- the response ---- */

static void encode_partition(struct writer *w, const struct part *p, int version)
{
    writer_i32(w, p->index);
    writer_i16(w, p->error);
    writer_i64(w, p->list.found_ms);
    writer_i64(w, p->list.offset);
    if (version >= 4)
        writer_i32(w, p->list.epoch);
    if (version >= 6)
        writer_no_tags(w);
}

void list_encode(struct request *r, struct writer *w)
{
    int version = r->api_version;
    bool flexible = version >= 6;
    int32_t topics = 0;
    struct writer_frame frame = reply_open(w, r);
    if (version >= 2)
        writer_i32(w, 0); /* throttle time */
    for (struct part *p = r->parts, *last = NULL; p != NULL; last = p, p = p->next)
        topics += last == NULL || !part_same_topic(last, p);
    writer_any_array_len(w, flexible, topics, false);
    for (struct part *p = r->parts; p != NULL;) {
        int32_t n = 0;
        struct part *end = p;
        for (; end != NULL && part_same_topic(p, end); end = end->next)
            n++;
        reply_topic(w, p, false, flexible);
        writer_any_array_len(w, flexible, n, false);
        for (; p != end; p = p->next)
            encode_partition(w, p, version);
        if (flexible)
            writer_no_tags(w);
    }
    if (flexible)
        writer_no_tags(w);
    writer_frame_end(w, frame);
}
