/* Offsets by timestamp: found on the worker, since it may have to read and decompress. */
#include <stdlib.h>

#include "base/check.h"
#include "storage/plog/plog_internal.h"

#define lookup_read_bytes (64 * KIB)

struct lookup {
    struct job job;
    struct plog_time_lookup *l;
    struct lookup *next; /* waits until s is written up to end */
    struct segment *s;   /* pinned */
    int64_t base;        /* its base offset */
    int64_t target;      /* ms */
    bool newest;         /* the record with the largest timestamp */
    int64_t from;        /* smallest offset that may be the answer */
    int64_t limit;       /* first offset that may not */
    uint32_t at, end;    /* positions: where to begin, what may be read */
    bool indexed;        /* `at` is known: the indexes were in memory */
    uint8_t *piece;      /* lookup_read_bytes, while it runs */
    /* result */
    int64_t offset, timestamp_ms;
    int32_t epoch;
};

/* Reads n bytes at a position; 0 or an error. */
static int read_at(struct job *job, uint32_t at, void *buf, size_t n)
{
    struct fs *fs = job->plog->fs;
    int64_t got = fs->ops->pread(fs, job->file, buf, n, at);
    if (got < 0)
        return (int)got;
    return (size_t)got == n ? 0 : ERR_CORRUPT;
}

/* The file's bytes, piece by piece: a batch may be larger than any buffer. */
struct file_reader {
    struct reader r;
    struct lookup *k;
    uint32_t at, left; /* what is behind the piece at hand */
    int err;           /* of the file */
};

static bool file_more(struct reader *r)
{
    struct file_reader *f = (struct file_reader *)r;
    uint32_t n = f->left < lookup_read_bytes ? f->left : (uint32_t)lookup_read_bytes;
    if (n == 0 || f->err)
        return false;
    f->err = read_at(&f->k->job, f->at, f->k->piece, n);
    if (f->err)
        return false;
    r->p = f->k->piece;
    r->end = r->p + n;
    f->at += n;
    f->left -= n;
    return true;
}

/* Walks the records of the batch at `at`. 1: found. */
static int search_batch(struct lookup *k, const struct batch_header *h, uint32_t at)
{
    struct file_reader file = {.r = {.p = k->piece, .end = k->piece, .more = file_more},
                               .k = k,
                               .at = at + batch_header_bytes,
                               .left = h->bytes - batch_header_bytes};
    struct reader *r = &file.r;
    struct unzip *unzip = NULL;
    struct record_info info;
    int err = batch_codec(h) != CODEC_NONE ? unzip_new(&unzip) : 0, found = 0;
    if (err == 0) {
        if (unzip)
            r = unzip_open(unzip, batch_codec(h), &file.r);
        for (int32_t i = 0; i < h->count && record_next(r, h, &info) == 0; i++) {
            int64_t offset = h->base_offset + info.offset_delta;
            bool hit = k->newest ? info.timestamp_ms == k->target : info.timestamp_ms >= k->target;
            if (!hit || offset < k->from)
                continue;
            k->offset = offset;
            k->timestamp_ms = info.timestamp_ms;
            k->epoch = h->leader_epoch;
            found = 1;
            break;
        }
    }
    unzip_free(unzip);
    if (err == 0)
        err = file.err;
    return err ? err : found;
}

static int search(struct lookup *k, uint32_t at)
{
    uint8_t raw[batch_header_bytes];
    struct batch_header h;
    while (at + batch_header_bytes <= k->end) {
        int err = read_at(&k->job, at, raw, sizeof(raw));
        if (err)
            return err;
        batch_decode(raw, &h);
        if (h.bytes < batch_header_bytes || h.bytes > k->end - at || raw[BATCH_MAGIC] < 2)
            return h.bytes < batch_overhead_bytes + batch_length_min || h.bytes > k->end - at
                       ? ERR_CORRUPT
                       : 0; /* the old formats are not searched */
        bool hit = k->newest ? h.max_timestamp == k->target : h.max_timestamp >= k->target;
        if (hit && batch_last_offset(&h) >= k->from) {
            err = search_batch(k, &h, at);
            if (err)
                return err < 0 ? err : 0;
        }
        at += h.bytes;
    }
    return 0;
}

/* The position from which the segment is searched (LogSegment.findOffsetByTimestamp). */
static uint32_t start_position(const struct lookup *k, const struct segment *s,
                               const struct index *offsets, const struct index *times)
{
    uint32_t relative, from = k->from > s->base ? (uint32_t)(k->from - s->base) : 0;
    if (k->newest && s->max_timestamp_offset >= s->base)
        from = (uint32_t)(s->max_timestamp_offset - s->base);
    else if (!k->newest && time_index_lookup(times, k->target, &relative) && relative > from)
        from = relative;
    return offset_index_lookup(offsets, from);
}

static void lookup_run(struct job *job)
{
    struct lookup *k = (struct lookup *)job;
    struct fs *fs = job->plog->fs;
    struct index offsets, times;
    void *memory = NULL;
    char path[io_path_bytes_max];
    job->err = segment_path(job->plog, k->base, ".log", path);
    if (job->err == 0)
        job->err = fs->ops->open(fs, path, IO_OPEN_READ, &job->file);
    if (job->err)
        return;
    if (!k->indexed) {
        job->err = segment_use_indexes(k->s, &offsets, &times, &memory);
        if (job->err == 0)
            k->at = start_position(k, k->s, &offsets, &times);
        free(memory);
    }
    if (job->err == 0 && (k->piece = malloc(lookup_read_bytes)) == NULL)
        job->err = ERR_NO_MEMORY;
    if (job->err == 0)
        job->err = search(k, k->at);
    if (job->err == ERR_CORRUPT && k->at > 0) {
        segment_distrust(k->s, "an entry names a byte where no batch begins");
        job->err = search(k, 0);
    }
    free(k->piece);
    fs->ops->close(fs, job->file);
}

static void lookup_answer(struct plog *p, struct plog_time_lookup *l, int16_t error)
{
    l->error = error;
    p->reads--;
    l->done(l);
}

static void lookup_done(struct job *job)
{
    struct lookup *k = (struct lookup *)job;
    struct plog *p = job->plog;
    struct plog_time_lookup *l = k->l;
    int16_t error = 0;
    segment_unpin(k->s);
    plog_fail_flush(p);
    if (plog_err_is_want(job->err)) {
        plog_want_tell(p, job->err, "looking up a timestamp");
        error = KERR_OFFSET_NOT_AVAILABLE; /* clients ask again */
    } else if (job->err)
        plog_fail_alone(p, job->err, "looking up a timestamp");
    else if (k->offset >= 0 && k->offset < k->limit) {
        l->offset = k->offset;
        l->found_timestamp_ms = k->timestamp_ms;
        l->leader_epoch = k->epoch;
    }
    free(k);
    lookup_answer(p, l, p->failed ? KERR_KAFKA_STORAGE_ERROR : error);
}

void plog_lookups_go(struct plog *p)
{
    struct lookup **at = &p->lookups;
    while (*at) {
        struct lookup *k = *at;
        if (k->s->written < k->end && !p->failed) {
            at = &k->next;
            continue;
        }
        *at = k->next;
        k->job.plog = p;
        if (p->failed)
            lookup_done(&k->job);
        else
            job_start(p, NULL, &k->job, lookup_run, lookup_done);
    }
}

/*
 * The segment that holds the answer, or NULL. Segments that end before the log start are there only
 * until the next look at retention.
 */
static struct segment *find_segment(const struct plog *p, const struct lookup *k)
{
    struct segment *best = NULL;
    for (uint32_t i = 0; i < p->segment_count; i++) {
        struct segment *s = p->segments[i];
        if (i + 1 < p->segment_count && p->segments[i + 1]->base <= k->from)
            continue;
        if (k->newest) {
            if (s->max_timestamp >= 0 && (!best || s->max_timestamp > best->max_timestamp))
                best = s;
        } else if (s->max_timestamp >= k->target) {
            return s;
        }
    }
    return best;
}

void plog_time_lookup(struct plog *p, struct plog_time_lookup *l)
{
    l->plog = p;
    l->offset = l->found_timestamp_ms = -1;
    l->leader_epoch = -1;
    p->reads++;
    if (p->failed || p->state != PLOG_ATTACHED) {
        lookup_answer(p, l, p->failed ? KERR_KAFKA_STORAGE_ERROR : KERR_NOT_LEADER_OR_FOLLOWER);
        return;
    }
    struct lookup *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        plog_want_tell(p, ERR_NO_MEMORY, "looking up a timestamp");
        lookup_answer(p, l, KERR_OFFSET_NOT_AVAILABLE);
        return;
    }
    k->l = l;
    k->newest = l->timestamp_ms == PLOG_TIME_MAX;
    k->target = l->timestamp_ms;
    k->from = p->log_start;
    k->limit = l->read_committed ? p->stable : p->high_watermark;
    k->offset = -1;
    struct segment *s = find_segment(p, k);
    if (s == NULL || segment_visible(s) == 0) {
        free(k);
        lookup_answer(p, l, 0);
        return;
    }
    if (k->newest)
        k->target = s->max_timestamp;
    k->s = s;
    k->base = s->base;
    k->end = segment_visible(s);
    k->indexed = s->loaded;
    if (s->loaded)
        k->at = start_position(k, s, &s->offsets, &s->times);
    s->pins++;
    k->next = p->lookups;
    p->lookups = k;
    plog_lookups_go(p);
    if (p->lookups)
        plog_drain(p);
}
