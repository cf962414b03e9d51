/* log_dirs: DescribeLogDirs: sizes of partitions by log dir, free and total space (KIP-827). */
#include "control/api/api.h"
#include "dataplane/proto/gen/describe_log_dirs.h"
#include "storage/plog/plog.h"

API_ENCODER(describe_log_dirs_response)

struct size_part {
    struct partition_call pc;
    struct fan *fan;
    struct describe_log_dirs_response_partition *out;
    struct plog_marks marks;
};

struct dirs_state {
    struct fan fan;
    struct describe_log_dirs_response res;
};

static void size_run(struct call *call)
{
    struct size_part *p = (struct size_part *)call;
    plog_marks(p->pc.plog, &p->marks);
    call_finish(call);
}

static void size_done(struct call *call)
{
    struct size_part *p = (struct size_part *)call;
    p->out->partition_size = p->marks.size_bytes;
    fan_done(p->fan);
}

static void dirs_finish(struct fan *fan)
{
    struct dirs_state *s = (struct dirs_state *)fan;
    control_reply(fan->rq, &s->res, describe_log_dirs_response_encode_any);
}

/* Whether the request names this partition (all, if it names none). */
static bool wanted(const struct describe_log_dirs_request *req, const struct image_topic *t,
                   int32_t index)
{
    if (req->n_topics < 0)
        return true;
    for (int32_t i = 0; i < req->n_topics; i++) {
        if (!str_eqz(req->topics[i].topic, t->name))
            continue;
        for (int32_t k = 0; k < req->topics[i].n_partitions; k++)
            if (req->topics[i].partitions[k] == index)
                return true;
    }
    return false;
}

/* The partitions of one topic in one log dir. False if the arena is full. */
static bool add_topic(struct dirs_state *s, struct describe_log_dirs_response_result *dir,
                      uint32_t dir_index, const struct describe_log_dirs_request *req,
                      struct image_topic *t)
{
    struct control_request *rq = s->fan.rq;
    struct describe_log_dirs_response_topic *out = &dir->topics[dir->n_topics];
    describe_log_dirs_response_topic_init(out);
    out->name = arena_str(&rq->arena, str_from(t->name)); /* it may be deleted before the answer */
    out->partitions =
        arena_calloc(&rq->arena, (size_t)t->partition_count, sizeof(*out->partitions));
    struct size_part *parts = arena_calloc(&rq->arena, (size_t)t->partition_count, sizeof(*parts));
    if (!out->name.p || !out->partitions || !parts)
        return false;
    for (int32_t i = 0; i < t->partition_count; i++) {
        if (t->partitions[i].log_dir != dir_index || !t->partitions[i].plog || !wanted(req, t, i))
            continue;
        struct describe_log_dirs_response_partition *p = &out->partitions[out->n_partitions];
        describe_log_dirs_response_partition_init(p);
        p->partition_index = i;
        parts[i].fan = &s->fan;
        parts[i].out = p;
        fan_add(&s->fan);
        if (partition_call_start(rq->control, t, i, &parts[i].pc, size_run, size_done))
            s->fan.pending--;
        else
            out->n_partitions++;
    }
    if (out->n_partitions > 0)
        dir->n_topics++;
    return true;
}

static bool add_dir(struct dirs_state *s, uint32_t index,
                    const struct describe_log_dirs_request *req)
{
    struct control *c = s->fan.rq->control;
    struct describe_log_dirs_response_result *dir = &s->res.results[s->res.n_results++];
    describe_log_dirs_response_result_init(dir);
    dir->log_dir = str_from(broker_log_dir(c->broker, index));
    dir->total_bytes = -1;
    dir->usable_bytes = -1;
    if (!broker_log_dir_online(c->broker, index)) {
        dir->error_code = KERR_KAFKA_STORAGE_ERROR;
        return true;
    }
    uint64_t total, available;
    if (broker_log_dir_space(c->broker, index, &total, &available) == 0) {
        dir->total_bytes = (int64_t)total;
        dir->usable_bytes = (int64_t)available;
    }
    dir->topics = arena_calloc(&s->fan.rq->arena, c->image.by_name.count, sizeof(*dir->topics));
    bool ok = dir->topics != NULL;
    size_t cursor = 0;
    for (struct image_topic *t; ok && (t = map_next(&c->image.by_name, &cursor)) != NULL;)
        if (t->state == IMAGE_TOPIC_LIVE)
            ok = add_topic(s, dir, index, req, t);
    return ok;
}

void api_describe_log_dirs(struct control_request *rq)
{
    struct describe_log_dirs_request req;
    API_DECODE(rq, describe_log_dirs_request, &req);
    struct dirs_state *s;
    API_ALLOC(rq, s, 1);
    describe_log_dirs_response_init(&s->res);
    uint32_t dirs = broker_log_dir_count(rq->control->broker);
    API_ALLOC(rq, s->res.results, dirs);
    fan_begin(&s->fan, rq, dirs_finish);
    bool ok = true;
    for (uint32_t i = 0; ok && i < dirs; i++)
        ok = add_dir(s, i, &req);
    if (!ok)
        s->res.error_code =
            KERR_UNKNOWN_SERVER_ERROR; /* the arena is full: what was counted stands */
    fan_end(&s->fan);
}
