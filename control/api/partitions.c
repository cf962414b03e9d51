/*
 * partitions: requests that ask or change partitions' logs through their shards: DeleteRecords,
 * OffsetForLeaderEpoch and DescribeProducers.
 *
 * Each partition named becomes one partition_call; the reply goes when all are back (struct fan).
 */
#include "control/api/api.h"
#include "dataplane/proto/gen/delete_records.h"
#include "dataplane/proto/gen/describe_producers.h"
#include "dataplane/proto/gen/offset_for_leader_epoch.h"
#include "storage/plog/plog.h"

API_ENCODER(delete_records_response)
API_ENCODER(offset_for_leader_epoch_response)
API_ENCODER(describe_producers_response)

/* Producers of one partition that DescribeProducers tells at most. */
#define describe_producers_max 10000

static struct image_partition *find_partition(struct image_topic *t, int32_t index)
{
    return t && index >= 0 && index < t->partition_count ? &t->partitions[index] : NULL;
}

/* ---- DeleteRecords ---- */

struct delete_part {
    struct partition_call pc;
    struct fan *fan;
    int64_t offset, low;
    int16_t error;
    struct delete_records_response_partition *out;
};

struct delete_state {
    struct fan fan;
    struct delete_records_response res;
};

static void delete_run(struct call *call)
{
    struct delete_part *d = (struct delete_part *)call;
    d->error = plog_delete_records(d->pc.plog, d->offset, &d->low);
    call_finish(call);
}

static void delete_done(struct call *call)
{
    struct delete_part *d = (struct delete_part *)call;
    d->out->error_code = d->error;
    d->out->low_watermark = d->error ? -1 : d->low;
    fan_done(d->fan);
}

static void delete_finish(struct fan *fan)
{
    struct delete_state *s = (struct delete_state *)fan;
    control_reply(fan->rq, &s->res, delete_records_response_encode_any);
}

static int16_t delete_start(struct delete_state *s, struct image_topic *t, struct delete_part *d,
                            int32_t index)
{
    if (!find_partition(t, index))
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    if (t->internal)
        return KERR_INVALID_TOPIC_EXCEPTION;
    fan_add(&s->fan);
    int16_t error =
        partition_call_start(s->fan.rq->control, t, index, &d->pc, delete_run, delete_done);
    if (error)
        s->fan.pending--;
    return error;
}

void api_delete_records(struct control_request *rq)
{
    struct delete_records_request req;
    API_DECODE(rq, delete_records_request, &req);
    struct delete_state *s;
    API_ALLOC(rq, s, 1);
    delete_records_response_init(&s->res);
    uint64_t total = 0;
    for (int32_t i = 0; i < req.n_topics; i++)
        total += req.topics[i].n_partitions > 0 ? (uint64_t)req.topics[i].n_partitions : 0;
    struct delete_part *parts;
    struct delete_records_response_partition *outs;
    API_ALLOC(rq, parts, total);
    API_ALLOC(rq, outs, total);
    API_ALLOC(rq, s->res.topics, req.n_topics > 0 ? req.n_topics : 0);
    fan_begin(&s->fan, rq, delete_finish);
    for (int32_t i = 0; i < req.n_topics; i++) {
        const struct delete_records_request_topic *from = &req.topics[i];
        if (from->n_partitions <= 0)
            continue; /* Kafka groups its answer by partition */
        struct delete_records_response_topic *to = &s->res.topics[s->res.n_topics++];
        delete_records_response_topic_init(to);
        to->name = from->name;
        to->partitions = outs;
        struct image_topic *t = api_topic(rq, from->name);
        for (int32_t k = 0; k < from->n_partitions; k++, parts++, outs++) {
            delete_records_response_partition_init(outs);
            outs->partition_index = from->partitions[k].partition_index;
            outs->low_watermark = -1;
            to->n_partitions++;
            parts->fan = &s->fan;
            parts->offset = from->partitions[k].offset;
            parts->out = outs;
            int16_t error = delete_start(s, t, parts, outs->partition_index);
            if (error)
                outs->error_code = error;
        }
    }
    fan_end(&s->fan);
}

/* ---- OffsetForLeaderEpoch (KIP-101, KIP-320) ---- */

struct epoch_part {
    struct partition_call pc;
    struct fan *fan;
    int32_t epoch;
    struct offset_for_leader_epoch_response_partition *out;
    int32_t found_epoch;
    int64_t end_offset;
};

struct epoch_state {
    struct fan fan;
    struct offset_for_leader_epoch_response res;
};

static void epoch_run(struct call *call)
{
    struct epoch_part *e = (struct epoch_part *)call;
    plog_epoch_end(e->pc.plog, e->epoch, &e->found_epoch, &e->end_offset);
    call_finish(call);
}

static void epoch_done(struct call *call)
{
    struct epoch_part *e = (struct epoch_part *)call;
    e->out->leader_epoch = e->found_epoch;
    e->out->end_offset = e->end_offset;
    fan_done(e->fan);
}

static void epoch_finish(struct fan *fan)
{
    struct epoch_state *s = (struct epoch_state *)fan;
    control_reply(fan->rq, &s->res, offset_for_leader_epoch_response_encode_any);
}

/* What the asker believes to be the leader's epoch, against ours (KIP-320). -1: does not say. */
static int16_t current_epoch_error(int32_t asked, int32_t ours)
{
    if (asked == -1 || asked == ours)
        return 0;
    return asked < ours ? KERR_FENCED_LEADER_EPOCH : KERR_UNKNOWN_LEADER_EPOCH;
}

static int16_t epoch_start(struct epoch_state *s, struct image_topic *t, struct epoch_part *e,
                           const struct offset_for_leader_epoch_request_partition *from)
{
    struct image_partition *p = find_partition(t, from->partition);
    if (!p)
        return KERR_UNKNOWN_TOPIC_OR_PARTITION;
    int16_t error = current_epoch_error(from->current_leader_epoch, p->leader_epoch);
    if (error)
        return error;
    fan_add(&s->fan);
    error =
        partition_call_start(s->fan.rq->control, t, from->partition, &e->pc, epoch_run, epoch_done);
    if (error)
        s->fan.pending--;
    return error;
}

void api_offset_for_leader_epoch(struct control_request *rq)
{
    struct offset_for_leader_epoch_request req;
    API_DECODE(rq, offset_for_leader_epoch_request, &req);
    struct epoch_state *s;
    API_ALLOC(rq, s, 1);
    offset_for_leader_epoch_response_init(&s->res);
    uint64_t total = 0;
    for (int32_t i = 0; i < req.n_topics; i++)
        total += req.topics[i].n_partitions > 0 ? (uint64_t)req.topics[i].n_partitions : 0;
    struct epoch_part *parts;
    struct offset_for_leader_epoch_response_partition *outs;
    API_ALLOC(rq, parts, total);
    API_ALLOC(rq, outs, total);
    API_ALLOC(rq, s->res.topics, req.n_topics > 0 ? req.n_topics : 0);
    fan_begin(&s->fan, rq, epoch_finish);
    for (int32_t i = 0; i < req.n_topics; i++) {
        const struct offset_for_leader_epoch_request_topic *from = &req.topics[i];
        struct offset_for_leader_epoch_response_topic *to = &s->res.topics[s->res.n_topics++];
        offset_for_leader_epoch_response_topic_init(to);
        to->topic = from->topic;
        to->partitions = outs;
        struct image_topic *t = api_topic(rq, from->topic);
        for (int32_t k = 0; k < from->n_partitions; k++, parts++, outs++) {
            offset_for_leader_epoch_response_partition_init(outs);
            outs->partition = from->partitions[k].partition;
            outs->leader_epoch = -1;
            outs->end_offset = -1;
            to->n_partitions++;
            parts->fan = &s->fan;
            parts->epoch = from->partitions[k].leader_epoch;
            parts->out = outs;
            int16_t error = epoch_start(s, t, parts, &from->partitions[k]);
            if (error)
                outs->error_code = error;
        }
    }
    fan_end(&s->fan);
}

/* ---- DescribeProducers (KIP-664) ---- */

struct producers_part {
    struct partition_call pc;
    struct fan *fan;
    struct describe_producers_response_partition *out;
    struct plog_producer *found; /* room for `room`, taken when the count is known */
    uint32_t room, count;
};

struct producers_state {
    struct fan fan;
    struct describe_producers_response res;
};

static void producers_run(struct call *call)
{
    struct producers_part *p = (struct producers_part *)call;
    p->count = plog_producers(p->pc.plog, p->found, p->room);
    call_finish(call);
}

static void producers_fill(struct producers_part *p)
{
    struct arena *arena = &p->fan->rq->arena;
    uint32_t n = p->count < p->room ? p->count : p->room;
    p->out->active_producers = arena_calloc(arena, n, sizeof(*p->out->active_producers));
    if (!p->out->active_producers) {
        p->out->error_code = KERR_UNKNOWN_SERVER_ERROR;
        return;
    }
    p->out->n_active_producers = (int32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        const struct plog_producer *from = &p->found[i];
        p->out->active_producers[i] = (struct describe_producers_response_active_producer){
            .producer_id = from->producer_id,
            .producer_epoch = from->producer_epoch,
            .last_sequence = from->last_sequence,
            .last_timestamp = from->last_timestamp_ms,
            .coordinator_epoch = from->coordinator_epoch,
            .current_txn_start_offset = from->current_txn_start_offset};
    }
}

static void producers_done(struct call *call)
{
    struct producers_part *p = (struct producers_part *)call;
    uint32_t want = p->count < describe_producers_max ? p->count : describe_producers_max;
    if (want > p->room) {
        /* The first visit counted; the second one brings them. */
        struct plog_producer *found = arena_calloc(&p->fan->rq->arena, want, sizeof(*found));
        struct image_topic *t = p->pc.topic;
        if (found) {
            p->found = found;
            p->room = want;
            if (partition_call_start(p->fan->rq->control, t, p->pc.partition, &p->pc, producers_run,
                                     producers_done) == 0)
                return;
        }
        p->out->error_code = KERR_UNKNOWN_SERVER_ERROR;
    } else {
        producers_fill(p);
    }
    fan_done(p->fan);
}

static void producers_finish(struct fan *fan)
{
    struct producers_state *s = (struct producers_state *)fan;
    control_reply(fan->rq, &s->res, describe_producers_response_encode_any);
}

static void producers_partition(struct producers_state *s, struct image_topic *t, struct str name,
                                struct producers_part *part, int32_t index)
{
    struct control_request *rq = s->fan.rq;
    struct str bad = topic_name_error(&rq->arena, name);
    int16_t error;
    part->out->partition_index = index;
    if (!str_is_null(bad)) {
        part->out->error_code = KERR_INVALID_TOPIC_EXCEPTION;
        part->out->error_message = bad;
        return;
    }
    if (!t) {
        part->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        part->out->error_message = str_from(kerr_text(KERR_UNKNOWN_TOPIC_OR_PARTITION));
        return;
    }
    if (!find_partition(t, index)) {
        part->out->error_code = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    fan_add(&s->fan);
    error = partition_call_start(rq->control, t, index, &part->pc, producers_run, producers_done);
    if (error) {
        s->fan.pending--;
        part->out->error_code = error;
    }
}

void api_describe_producers(struct control_request *rq)
{
    struct describe_producers_request req;
    API_DECODE(rq, describe_producers_request, &req);
    struct producers_state *s;
    API_ALLOC(rq, s, 1);
    describe_producers_response_init(&s->res);
    uint64_t total = 0;
    for (int32_t i = 0; i < req.n_topics; i++)
        total +=
            req.topics[i].n_partition_indexes > 0 ? (uint64_t)req.topics[i].n_partition_indexes : 0;
    struct producers_part *parts;
    struct describe_producers_response_partition *outs;
    API_ALLOC(rq, parts, total);
    API_ALLOC(rq, outs, total);
    API_ALLOC(rq, s->res.topics, req.n_topics > 0 ? req.n_topics : 0);
    fan_begin(&s->fan, rq, producers_finish);
    for (int32_t i = 0; i < req.n_topics; i++) {
        const struct describe_producers_request_topic *from = &req.topics[i];
        struct describe_producers_response_topic *to = &s->res.topics[s->res.n_topics++];
        describe_producers_response_topic_init(to);
        to->name = from->name;
        to->partitions = outs;
        struct image_topic *t = api_topic(rq, from->name);
        for (int32_t k = 0; k < from->n_partition_indexes; k++, parts++, outs++) {
            describe_producers_response_partition_init(outs);
            outs->error_message = STR_NULL;
            to->n_partitions++;
            parts->fan = &s->fan;
            parts->out = outs;
            producers_partition(s, t, from->name, parts, from->partition_indexes[k]);
        }
    }
    fan_end(&s->fan);
}
