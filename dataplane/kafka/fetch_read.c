/*
 * One round of reads for a Fetch: each partition in its order gets what the response's limit leaves
 * it, as if they were read one after the other (KIP-74), though reads run side by side as long as
 * that makes no difference: a read starts only when its limit does not depend on those under way.
 */
#include "dataplane/kafka/kafka_internal.h"

#define reply_bytes_floor                                                                          \
    (64 * KIB) /* a fetch may always ask for so much, however much is unsent */

static void issue(struct request *r);

/* Unsent replies hold log memory: what is left of half of it bounds the next ones. */
static int32_t reply_limit(const struct request *r)
{
    const struct kafka *k = r->k;
    uint64_t half = k->shard->mem.log_bytes / 2;
    uint64_t room = half > k->unsent ? (half - k->unsent) / 4 : 0;
    if (room < reply_bytes_floor)
        room = reply_bytes_floor;
    uint64_t limit = r->fetch.max_bytes > 0 ? (uint64_t)r->fetch.max_bytes : 0;
    if (limit > k->o.fetch_bytes_max)
        limit = k->o.fetch_bytes_max;
    return (int32_t)(limit < room ? limit : room < INT32_MAX ? room : INT32_MAX);
}

/* ---- one partition ---- */

static void part_read_done(struct part *p)
{
    struct request *r = p->r;
    struct fetch_state *f = &r->fetch;
    struct plog_read *read = &p->fetch.read;
    int64_t end = f->isolation == 1 ? read->last_stable_offset : read->high_watermark;
    if (read->error == 0 && p->fetch.below_zero && p->fetch.offset < end)
        read->error = KERR_UNKNOWN_SERVER_ERROR;
    p->error = read->error;
    if (p->error != 0 || p->fetch.diverging_epoch >= 0)
        f->hurry = true;
    if (p->error != 0) {
        chain_free(&read->data);
        read->high_watermark = read->last_stable_offset = read->log_start_offset = -1;
    }
    f->reading--;
    f->promised -= p->fetch.limit;
    f->bytes += read->data.bytes;
    if (!f->issuing)
        issue(r);
}

static void remote_done(struct call *call)
{
    struct part *p = container_of(call, struct part, call);
    p->fetch.reported = p->fetch.available;
    part_read_done(p);
}

static void answer(struct part *p)
{
    if (p->owner == p->r->k) {
        part_read_done(p);
        return;
    }
    p->fetch.available = p->fetch.read.error == 0 ? fetch_available(p) : 0;
    call_finish(&p->call);
}

static void read_done(struct plog_read *read)
{
    answer(container_of(read, struct part, fetch.read));
}

/*
 * KIP-595: does the log that the client has read still agree with ours? True if it was answered
 * without a read: an error, or the point from where on they differ.
 */
static bool diverges(struct part *p)
{
    struct fetch_part *fp = &p->fetch;
    struct plog *plog = p->partition->plog;
    struct plog_marks marks;
    int32_t epoch;
    int64_t end;
    if (fp->last_epoch < 0)
        return false;
    plog_marks(plog, &marks);
    plog_epoch_end(plog, fp->last_epoch, &epoch, &end);
    fp->read.high_watermark = marks.high_watermark;
    fp->read.last_stable_offset = marks.stable;
    fp->read.log_start_offset = marks.log_start;
    fp->read.error = 0;
    if (epoch < 0 || end < 0 || fp->offset < marks.log_start) {
        fp->read.error = KERR_OFFSET_OUT_OF_RANGE;
        return true;
    }
    if (epoch >= fp->last_epoch && end >= fp->offset)
        return false;
    fp->diverging_epoch = epoch;
    fp->diverging_end = end;
    return true;
}

/* On the partition's shard. */
static void read_here(struct part *p)
{
    struct fetch_part *fp = &p->fetch;
    if (diverges(p)) {
        answer(p);
        return;
    }
    fp->read.offset = fp->offset;
    fp->read.max_bytes = fp->limit;
    fp->read.read_committed = p->r->fetch.isolation == 1;
    fp->read.done = read_done;
    plog_read(p->partition->plog, &fp->read);
}

static void remote_run(struct call *call)
{
    read_here(container_of(call, struct part, call));
}

/* The topic was deleted while the fetch waited. */
static bool topic_gone(const struct part *p)
{
    const struct kafka *k = p->r->k;
    return p->topic->removal[k->shard->index] != NULL &&
           view_by_id(k->o.view, &p->topic->id) == NULL;
}

static void start_read(struct part *p)
{
    struct fetch_part *fp = &p->fetch;
    fp->diverging_epoch = -1;
    fp->diverging_end = -1;
    fp->read.error = 0;
    fp->read.reader = conn_number(p->r->conn);
    chain_init(&fp->read.data);
    if (topic_gone(p)) {
        fp->read.error = KERR_UNKNOWN_TOPIC_OR_PARTITION;
        part_read_done(p);
    } else if (p->owner == p->r->k) {
        read_here(p);
    } else {
        part_call(p, remote_run, remote_done);
    }
}

/* ---- the round ---- */

/*
 * Several reads may have run as "the first with data, whatever its size": only the first that had
 * some keeps a batch over its limit.
 */
static void keep_one_oversize(struct request *r)
{
    bool first = true;
    for (struct part *p = r->parts; p != NULL; p = p->next) {
        struct chain *data = &p->fetch.read.data;
        if (data->bytes == 0)
            continue;
        if (!first && data->bytes > p->fetch.limit) {
            r->fetch.bytes -= data->bytes;
            chain_free(data);
        }
        first = false;
    }
}

static void drop_data(struct request *r)
{
    for (struct part *p = r->parts; p != NULL; p = p->next)
        chain_free(&p->fetch.read.data);
    r->fetch.bytes = 0;
}

static void round_done(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    keep_one_oversize(r);
    bool idle = r->parts == NULL || r->parts->fetch.erroneous; /* nothing to wait for */
    int64_t min_bytes = f->min_bytes < f->max_bytes ? f->min_bytes : f->max_bytes;
    if (f->phase == FETCH_READ && r->conn != NULL && !r->conn->ended && f->max_wait_ms > 0 &&
        !idle && !f->hurry && (int64_t)f->bytes < min_bytes && !r->k->draining) {
        drop_data(r);
        fetch_wait(r);
        return;
    }
    for (struct part *p = r->parts; p != NULL; p = p->next)
        r->errors += p->error != 0;
    r->k->counters.record_bytes_out += f->bytes;
    f->phase = FETCH_DONE;
    request_unpend(r);
}

static bool readable(const struct part *p)
{
    return p->error == 0;
}

/* True if p's read was started; false: its limit depends on reads under way. */
static bool try_start(struct request *r, struct part *p)
{
    struct fetch_state *f = &r->fetch;
    uint64_t max = (uint64_t)f->max_bytes;
    uint64_t limit = max > f->bytes ? max - f->bytes : 0;
    uint64_t own = p->fetch.max_bytes > 0 ? (uint64_t)p->fetch.max_bytes : 0;
    if (own < limit)
        limit = own;
    if (f->reading > 0 && f->bytes + f->promised + limit > max)
        return false;
    p->fetch.limit = (uint32_t)limit;
    p->fetch.below_zero = p->fetch.max_bytes < 0 || f->below_zero;
    p->fetch.read.min_one = f->bytes == 0 && !p->fetch.below_zero;
    f->below_zero = false;
    f->reading++;
    f->promised += limit;
    f->cursor = p->next;
    start_read(p);
    return true;
}

static void issue(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    f->issuing = true;
    while (f->cursor != NULL && !f->cursor->fetch.erroneous) {
        struct part *p = f->cursor;
        if (!readable(p)) {
            f->hurry = true;
            f->cursor = p->next;
        } else if (!try_start(r, p)) {
            break;
        }
    }
    bool all_started = f->cursor == NULL || f->cursor->fetch.erroneous;
    f->issuing = false;
    if (all_started && f->reading == 0)
        round_done(r);
}

/* Reads all partitions; answers, or (first round only) waits for more data. */
void fetch_begin(struct request *r)
{
    struct fetch_state *f = &r->fetch;
    f->max_bytes = reply_limit(r);
    f->bytes = f->promised = 0;
    f->cursor = r->parts;
    issue(r);
}
